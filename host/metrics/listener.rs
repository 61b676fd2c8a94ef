//! The HTTP server for metrics: one thread for all connections, and one more while a page is being put together.
//!
//! The thread never waits for anybody: sockets do not block, and it looks at them in turn. Whoever is slow or silent has
//! a deadline; where there are more connections than places, the one that has been silent longest makes room. So a
//! scraper that asks is answered, whatever else is connected. The page comes from a thread of its own, since what it
//! tells may wait for a disk; the deadline counts for it too.
//!
//! While nobody is connected the thread sleeps in `accept`. The end wakes it by connecting.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind as Io, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::*},
        mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::http::{self, LONGEST_HEAD, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// How many connections there may be at once.
const PLACES: usize = 128;

/// How many are taken in before those that are there have their turn.
const AT_ONCE: usize = 32;

/// How long the thread rests when nobody had anything for it: at first, and at most.
const REST: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(10)];

/// How long it rests when the system has no more sockets, or no thread, for it.
const RECOVERY: Duration = Duration::from_millis(100);

/// How long a connection stays after its answer, for the other side to read it: closing earlier, with bytes of it
/// unread, would take the answer back.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a stop waits before it tries again to wake the thread.
const WAKE_AGAIN: Duration = Duration::from_millis(20);

/// How a listener is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long a request may take to come, the page to be put together, and an answer to be taken: each.
    pub(crate) step: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { step: Duration::from_secs(5) }
    }
}

/// An address that is taken, where nobody is answered yet.
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// A listener at work.
pub(crate) struct Listener {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    handle: JoinHandle<()>,
    /// Nothing is ever sent: it is cut when the thread is about to end.
    ended: Receiver<()>,
}

/// Puts the page together.
type Page = Arc<dyn Fn() -> String + Send + Sync>;

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: it is not of this machine alone. CONFLICT: another has it. UNAVAILABLE: it cannot be had.
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        if !address.ip().is_loopback() {
            let text = format!(
                "metrics.listen: {address} can be reached from other machines: take a loopback address, as 127.0.0.1:{}",
                address.port()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let taken = TcpListener::bind(address).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        taken.map_err(|error| match error.kind() {
            Io::AddrInUse => Error::new(ErrorKind::Conflict, format!("metrics.listen: {address} is in use"))
                .mend("take another port (0: any that is free), or end the program that has it"),
            _ => Error::new(
                ErrorKind::Unavailable,
                format!("metrics.listen: {address} cannot be had: {error}"),
            )
            .mend("take another address or port"),
        })
    }

    /// Answers from here on, until `Listener::stop`. `page` is called on a thread of its own, once at a time.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the system has no thread for it.
    pub(crate) fn serve(
        self,
        patience: Patience,
        page: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Listener> {
        let Self { listener, address } = self;
        let stop = Arc::new(AtomicBool::new(false));
        let (at_end, ended) = mpsc::channel();
        let server = Server {
            listener,
            port: address.port(),
            patience,
            stop: stop.clone(),
            connections: VecDeque::new(),
            pages: Pages { page: Arc::new(page), under_way: None },
        };
        let serve = move || {
            server.run();
            drop(at_end);
        };
        let handle = thread::Builder::new().name("pintle-metrics".into()).spawn(serve).map_err(|error| {
            let text = format!("metrics.listen: the system has no thread for it: {error}");
            Error::new(ErrorKind::Unavailable, text)
        })?;
        Ok(Listener { address, stop, thread: Mutex::new(Some(Thread { handle, ended })) })
    }
}

impl Listener {
    /// Where it listens: with the port that the system chose, if it was to choose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and all connections; false if its thread has not ended by the deadline and is left behind.
    pub(crate) fn stop(&self, deadline: Instant) -> bool {
        let Some(Thread { handle, ended }) = self.thread.lock().take() else { return true };
        self.stop.store(true, Release);
        loop {
            // Where there is no socket left to wake it with, it may be awake, or there is one soon.
            drop(TcpStream::connect_timeout(&self.address, WAKE_AGAIN));
            match ended.recv_timeout(WAKE_AGAIN) {
                Err(RecvTimeoutError::Disconnected) => return handle.join().is_ok(),
                Err(RecvTimeoutError::Timeout) | Ok(()) if Instant::now() >= deadline => return false,
                Err(RecvTimeoutError::Timeout) | Ok(()) => {}
            }
        }
    }
}

/// What the thread has.
struct Server {
    listener: TcpListener,
    port: u16,
    patience: Patience,
    stop: Arc<AtomicBool>,
    /// Those that are there longest in front.
    connections: VecDeque<Connection>,
    pages: Pages,
}

struct Connection {
    stream: TcpStream,
    deadline: Instant,
    at: At,
}

/// How far a connection is.
enum At {
    /// Its request comes in.
    Asking(Vec<u8>),
    /// It waits for a page that is begun after it has asked; `body`: not only for the head of the answer.
    Waiting { body: bool, since: Instant },
    /// Its answer goes out, so much of which has gone.
    Answering(Arc<str>, usize),
    /// It may read its answer.
    Parting,
}

/// What came of looking at a connection.
#[derive(PartialEq, Eq)]
enum Look {
    Nothing,
    Progress,
    Over,
}

impl Server {
    fn run(mut self) {
        let mut rest = REST[0];
        while !self.stop.load(Acquire) {
            let now = Instant::now();
            let taken = self.take_in();
            let mut progress = *taken.as_ref().unwrap_or(&false);
            let (port, patience) = (self.port, self.patience);
            self.connections.retain_mut(|connection| {
                let look = connection.look(now, port, patience);
                progress |= look != Look::Nothing;
                look != Look::Over
            });
            progress |= self.hand_out();
            rest = match (progress, taken.is_err()) {
                (_, true) => RECOVERY,
                (true, false) => REST[0],
                (false, false) => (rest * 2).min(REST[1]),
            };
            if !progress || taken.is_err() {
                self.pages.rest(rest);
            }
        }
    }

    /// Takes in who has connected; waits for somebody if nobody is there. An error is the system's.
    fn take_in(&mut self) -> io::Result<bool> {
        let idle = self.connections.is_empty() && self.pages.under_way.is_none();
        self.listener.set_nonblocking(!idle)?;
        let mut taken = false;
        for _ in 0..AT_ONCE {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == Io::WouldBlock => return Ok(taken),
                // It was gone before it was taken in.
                Err(error) if matches!(error.kind(), Io::ConnectionAborted | Io::Interrupted) => continue,
                Err(error) => return Err(error),
            };
            taken = true;
            if idle {
                self.listener.set_nonblocking(true)?;
            }
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.connections.len() >= PLACES {
                self.make_room();
            }
            let deadline = Instant::now() + self.patience.step;
            self.connections.push_back(Connection { stream, deadline, at: At::Asking(Vec::new()) });
            if self.stop.load(Acquire) {
                break;
            }
        }
        Ok(taken)
    }

    /// The one that is there longest goes: of those that have been answered, then of those that have not asked.
    fn make_room(&mut self) {
        let rank = |connection: &Connection| match connection.at {
            At::Parting => 0,
            At::Asking(_) => 1,
            At::Answering(..) => 2,
            At::Waiting { .. } => 3,
        };
        // Of those that are alike it finds the first.
        let out = self.connections.iter().enumerate().min_by_key(|(_, connection)| rank(connection));
        if let Some((at, _)) = out {
            self.connections.remove(at);
        }
    }

    /// Gives a page that is ready to those who asked before it was begun, and has the next one begun.
    fn hand_out(&mut self) -> bool {
        let ready = self.pages.ready();
        if let Some((begun, outcome)) = &ready {
            let answers = [false, true].map(|body| match outcome {
                Some(text) => Arc::<str>::from(http::metrics(text, body)),
                None => http::refusal(http::UNAVAILABLE, "the host panicked: please report it").into(),
            });
            for connection in &mut self.connections {
                if let At::Waiting { body, since } = connection.at
                    && since <= *begun
                {
                    connection.answer(answers[usize::from(body)].clone(), self.patience);
                }
            }
        }
        let waits = |connection: &Connection| matches!(connection.at, At::Waiting { .. });
        if self.pages.under_way.is_none() && self.connections.iter().any(waits) {
            self.pages.begin();
        }
        ready.is_some()
    }
}

impl Connection {
    fn look(&mut self, now: Instant, port: u16, patience: Patience) -> Look {
        let late = now >= self.deadline;
        match &mut self.at {
            At::Asking(bytes) => match read(&mut self.stream, bytes) {
                Ok(0) if bytes.is_empty() => Look::Over,
                Ok(0) => {
                    let why = "the request ended before its head did";
                    self.answer(http::refusal(http::BAD_REQUEST, why).into(), patience)
                }
                Ok(_) => match http::read(bytes, port) {
                    Wanted::More => Look::Progress,
                    Wanted::Metrics { body } => {
                        self.deadline = now + patience.step;
                        self.at = At::Waiting { body, since: Instant::now() };
                        Look::Progress
                    }
                    Wanted::Answer(answer) => self.answer(answer.into(), patience),
                },
                Err(error) if !would_block(&error) => Look::Over,
                Err(_) if late => {
                    let why = format!("the head of a request may take {:?}", patience.step);
                    self.answer(http::refusal(http::TIMEOUT, &why).into(), patience)
                }
                Err(_) => Look::Nothing,
            },
            At::Waiting { .. } if late => {
                let why = "the host could not tell its numbers in time: a disk of it may hang";
                self.answer(http::refusal(http::UNAVAILABLE, why).into(), patience)
            }
            At::Waiting { .. } => Look::Nothing,
            // However fast it takes it now: the deadline is for all of it.
            At::Answering(..) if late => Look::Over,
            At::Answering(answer, gone) => match self.stream.write(&answer.as_bytes()[*gone..]) {
                Ok(0) => Look::Over,
                Ok(more) => {
                    *gone += more;
                    if *gone == answer.len() {
                        self.part(now);
                    }
                    Look::Progress
                }
                Err(error) if would_block(&error) => Look::Nothing,
                Err(_) => Look::Over,
            },
            At::Parting => {
                // What still comes is not read for its own sake, and not for longer than the deadline.
                let mut rest = [0; 4096];
                match self.stream.read(&mut rest) {
                    Ok(0) => Look::Over,
                    _ if late => Look::Over,
                    Ok(_) => Look::Progress,
                    Err(error) if would_block(&error) => Look::Nothing,
                    Err(_) => Look::Over,
                }
            }
        }
    }

    fn answer(&mut self, answer: Arc<str>, patience: Patience) -> Look {
        self.deadline = Instant::now() + patience.step;
        self.at = At::Answering(answer, 0);
        Look::Progress
    }

    fn part(&mut self, now: Instant) {
        // One that is gone already is found so at the next look.
        let _ = self.stream.shutdown(Shutdown::Write);
        self.deadline = now + FAREWELL;
        self.at = At::Parting;
    }
}

/// Reads what there is, up to the longest head; tells how many bytes came.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut more = [0; 2048];
    let room = LONGEST_HEAD.saturating_sub(bytes.len()).clamp(1, more.len());
    let came = stream.read(&mut more[..room])?;
    bytes.extend_from_slice(&more[..came]);
    Ok(came)
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), Io::WouldBlock | Io::Interrupted)
}

/// Pages, put together one at a time on threads of their own.
struct Pages {
    page: Page,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    begun: Instant,
    comes: Receiver<String>,
    /// What came while the thread rested.
    came: Option<Outcome>,
}

/// A page; none: putting it together has panicked.
type Outcome = Option<String>;

impl Pages {
    fn begin(&mut self) {
        let (tell, comes) = mpsc::channel();
        let (page, begun) = (self.page.clone(), Instant::now());
        let work = move || {
            // Nobody waits any more if the listener has ended.
            let _ = tell.send(page());
        };
        // Where there is no thread for it now there may be one at the next look.
        if thread::Builder::new().name("pintle-scrape".into()).spawn(work).is_ok() {
            self.under_way = Some(UnderWay { begun, comes, came: None });
        }
    }

    /// What became of the page that was under way, if it is known now, and when it was begun.
    fn ready(&mut self) -> Option<(Instant, Outcome)> {
        let under_way = self.under_way.as_mut()?;
        let outcome = under_way.came.take().or_else(|| match under_way.comes.try_recv() {
            Ok(text) => Some(Some(text)),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        })?;
        self.under_way.take().map(|under_way| (under_way.begun, outcome))
    }

    /// Rests, unless a page comes.
    fn rest(&mut self, rest: Duration) {
        let Some(UnderWay { comes, came: came @ None, .. }) = &mut self.under_way else {
            return thread::sleep(rest);
        };
        *came = match comes.recv_timeout(rest) {
            Ok(text) => Some(Some(text)),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => None,
        };
    }
}

#[cfg(test)]
mod tests;
