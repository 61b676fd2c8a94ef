//! The host's side: lets clients in, a bounded number of them, and carries out what they ask for.
//!
//! Each connection has a thread that reads and carries out, and one that writes (see `session`). Plain threads, because
//! requests may block as long as plugins do, and because there are few of them: as many as `CONNECTIONS`.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::Value;

use super::{
    LONGEST_REQUEST, Methods, PATIENCE, Refusal,
    lines::{Line, Lines},
    session::{GRACE, Session},
    socket::{Place, Stream},
    wire::{self, Failure, Request},
};
use crate::{
    error::{Error, ErrorKind, Result},
    lanes::panic_text,
};

/// How many connections there may be.
pub(super) const CONNECTIONS: usize = 64;

/// The stack of a thread that carries out requests: what loads a plugin runs on it. Only what is used of it takes memory.
const STACK: usize = 2 << 20;

/// The stack of a thread that only writes.
const SMALL_STACK: usize = 128 << 10;

/// How long to wait before accepting is tried again where the system has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// What is told of failures that no client hears of.
type Told = Box<dyn Fn(&Error) + Send + Sync>;

/// The control socket of a running host.
pub(crate) struct Control {
    shared: Arc<Shared>,
    door: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    place: Place,
    patience: Duration,
    methods: Arc<dyn Methods>,
    report: Told,
    closing: AtomicBool,
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    /// The thread of the door is there.
    open: bool,
    last: u64,
    connections: BTreeMap<u64, Connection>,
    /// Threads that have nothing more to do than to end.
    ended: Vec<JoinHandle<()>>,
}

struct Connection {
    session: Arc<Session>,
    thread: JoinHandle<()>,
}

impl Control {
    /// Serves the socket in the folder `data`, whose lock the caller has. It is made in the folder `private`, on the same
    /// file system, which nobody else can enter. `report` is told what goes wrong while it is served.
    ///
    /// # Errors
    ///
    /// CONFLICT: something else is in its place, and stays there. UNAVAILABLE: it cannot be made.
    pub(crate) fn start(
        data: &Path,
        private: &Path,
        methods: Arc<dyn Methods>,
        report: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_with(PATIENCE, data, private, methods, report)
    }

    /// The same, with clients that may let everything lie for as long as `patience`.
    pub(super) fn start_with(
        patience: Duration,
        data: &Path,
        private: &Path,
        methods: Arc<dyn Methods>,
        report: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Result<Self> {
        let place = Place::make(data, private)?;
        let shared = Arc::new(Shared {
            place,
            patience,
            methods,
            report: Box::new(report),
            closing: AtomicBool::new(false),
            table: Mutex::new(Table { open: true, ..Table::default() }),
            changed: Condvar::new(),
        });
        let served = shared.clone();
        // Taken now, before somebody else takes the last.
        let reserve = shared.place.reserve();
        let door = spawn("pintle-control", SMALL_STACK, move || {
            if catch_unwind(AssertUnwindSafe(|| served.accept(reserve))).is_err() {
                let text = "the host panicked at its control socket, which lets nobody in any more";
                (served.report)(&Error::new(ErrorKind::Panic, text).mend("please report it"));
            }
            served.table.lock().open = false;
            served.changed.notify_all();
        });
        match door {
            Ok(door) => Ok(Self { shared, door: Mutex::new(Some(door)) }),
            Err(error) => {
                shared.place.shut();
                let text = format!("there is no control socket: no thread can be made for it: {error}");
                Err(Error::new(ErrorKind::Unavailable, text))
            }
        }
    }

    /// Lets nobody in any more, tells all clients that the host stops, and ends their connections. Waits for that until
    /// the deadline; requests that are under way go on, and `close` tells what became of them.
    pub(crate) fn shut(&self, deadline: Instant) {
        let Shared { place, closing, table, .. } = &*self.shared;
        if closing.swap(true, SeqCst) {
            return;
        }
        place.shut();
        self.shared.changed.notify_all();
        for connection in table.lock().connections.values() {
            connection.session.end("the host stops");
        }
        let grace = GRACE.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let table = self.shared.wait_until(Instant::now() + grace, Table::is_over);
        for connection in table.connections.values().filter(|connection| !connection.is_own()) {
            connection.session.cut();
        }
        drop(table);
        drop(self.shared.wait_until(deadline, Table::is_over));
    }

    /// Shuts it, and waits for its threads. What does not end by the deadline is left behind and named. May be called by
    /// a method; the second call does nothing.
    pub(crate) fn close(&self, deadline: Instant) -> Vec<String> {
        let Some(door) = self.door.lock().take() else { return Vec::new() };
        self.shut(deadline);
        let mut table = self.shared.wait_until(deadline, Table::is_over);
        let left = table.connections.values().filter(|connection| !connection.is_own());
        let left = left.map(Connection::describe).collect();
        let ended = std::mem::take(&mut table.ended);
        let door = (!table.open).then_some(door);
        drop(table);
        for thread in ended.into_iter().chain(door) {
            join(thread);
        }
        left
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.close(Instant::now() + GRACE);
    }
}

impl Shared {
    /// The thread of the door. It has a descriptor in reserve, for the system wants one before it even looks whether
    /// somebody waits.
    fn accept(self: &Arc<Self>, mut reserve: Option<OwnedFd>) {
        let listener = self.place.listener();
        let mut failing = false;
        loop {
            match listener.accept() {
                // Whoever has knocked already is not to wait for a hello that never comes.
                Ok(_) if self.closing.load(SeqCst) => {}
                Ok((stream, _)) => {
                    failing = false;
                    if let Err(error) = self.admit(stream) {
                        (self.report)(&error);
                    }
                    reserve = reserve.or_else(|| self.place.reserve());
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                // There is no descriptor left: the one in reserve lets the next client in.
                Err(_) if reserve.take().is_some() => {}
                Err(_) if self.closing.load(SeqCst) => break,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let text = format!("the control socket cannot let anybody in for now: {error}");
                        (self.report)(&Error::new(ErrorKind::Unavailable, text));
                    }
                    // Whether anybody waits at all is not known now, and whoever has just come is to have his say.
                    self.end_idle(GRACE);
                    let mut table = self.table.lock();
                    if !self.closing.load(SeqCst) {
                        self.changed.wait_for(&mut table, PAUSE);
                    }
                }
            }
        }
    }

    /// Lets a client in, if there is a place or somebody is idle. Says why not otherwise, to both sides.
    fn admit(self: &Arc<Self>, stream: Stream) -> Result<()> {
        let refuse = |stream: &Stream, error: &Error| {
            let line = wire::answer(None, &Err(Failure::of_error(error)));
            // It has room: nothing was written to it before.
            let _ = stream.set_nonblocking(true).and_then(|()| io::Write::write(&mut &*stream, &line));
        };
        let mut table = self.table.lock();
        for thread in std::mem::take(&mut table.ended) {
            join(thread);
        }
        if table.connections.len() >= CONNECTIONS {
            drop(table);
            self.end_idle(Duration::ZERO);
            let has_room = |table: &Table| table.connections.len() < CONNECTIONS;
            table = self.wait_until(Instant::now() + GRACE, has_room);
            if !has_room(&table) {
                let text = format!("all {CONNECTIONS} connections to the control socket are in use");
                let error = Error::new(ErrorKind::Busy, text).mend("end one of them, or try again later");
                refuse(&stream, &error);
                return Ok(());
            }
        }
        if self.closing.load(SeqCst) {
            return Ok(());
        }
        let no_thread = |error: io::Error| {
            let text = format!("the control socket cannot serve one more client: {error}");
            Error::new(ErrorKind::Busy, text)
        };
        let session = Arc::new(Session::new(stream, self.patience).map_err(no_thread)?);
        let number = table.last + 1;
        let (shared, served) = (self.clone(), session.clone());
        let writer = session.clone();
        let spawned = spawn("pintle-writer", SMALL_STACK, move || writer.write()).and_then(|writer| {
            spawn("pintle-request", STACK, move || {
                // Methods are caught on their own; this is for the connection not to stay in the table.
                let _ = catch_unwind(AssertUnwindSafe(|| shared.serve(&served)));
                let _ = catch_unwind(AssertUnwindSafe(|| served.finish()));
                if let Ok(Err(error)) = writer.join()
                    && error.kind() == io::ErrorKind::WouldBlock
                {
                    let text = format!(
                        "a client of the control socket has read nothing for {:?}, and was disconnected",
                        shared.patience
                    );
                    (shared.report)(&Error::new(ErrorKind::Timeout, text));
                }
                shared.leave(number);
            })
        });
        match spawned {
            Ok(thread) => {
                table.last = number;
                table.connections.insert(number, Connection { session, thread });
                Ok(())
            }
            Err(error) => {
                drop(table);
                let error = no_thread(error);
                refuse(session.stream(), &error);
                session.cut();
                self.end_idle(Duration::ZERO);
                Err(error)
            }
        }
    }

    /// The thread of a connection, until its client has ended or is to.
    fn serve(&self, session: &Arc<Session>) {
        let mut lines = Lines::new(session.stream(), LONGEST_REQUEST);
        while let Ok(line) = lines.next(|whole| session.heard(whole)) {
            let answer = match line {
                Line::End => break,
                Line::TooLong => Some(wire::answer(None, &Err(Failure::too_long()))),
                Line::Whole(line) => match Request::parse(line) {
                    None => None,
                    Some(Err((id, failure))) => Some(wire::answer(id, &Err(failure))),
                    Some(Ok(request)) => {
                        let outcome = self.carry_out(&request, session);
                        request.id.map(|id| wire::answer(Some(id), &outcome))
                    }
                },
            };
            if !session.done(answer) {
                break;
            }
        }
    }

    fn carry_out(&self, request: &Request<'_>, session: &Arc<Session>) -> Result<Value, Failure> {
        let (method, known) = (&*request.method, self.methods.names());
        let refused = |refusal| Failure::of_refusal(refusal, method, known);
        if !known.contains(&method) {
            return Err(refused(Refusal::UnknownMethod));
        }
        let params = request.params().map_err(refused)?;
        session.begin(method);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.methods.answer(method, params, session)));
        let outcome = outcome.unwrap_or_else(|panic| {
            let panic = panic_text(&*panic);
            let text = format!("the host panicked in `{method}` of the control socket: {panic}");
            let error = Error::new(ErrorKind::Panic, text).mend("please report it");
            (self.report)(&error);
            Err(error.into())
        });
        outcome.map_err(refused)
    }

    /// Makes the connection go that has been idle longest, if that is long enough.
    fn end_idle(&self, enough: Duration) {
        let table = self.table.lock();
        let sessions = table.connections.values().map(|connection| &connection.session);
        let idle = sessions.filter_map(|session| Some((session.idle_since()?, session)));
        let idle = idle.filter(|(since, _)| since.elapsed() >= enough);
        if let Some((_, session)) = idle.min_by_key(|(since, _)| *since) {
            session.end("others wait, and this connection has been idle longest");
        }
    }

    /// A connection is over.
    fn leave(&self, number: u64) {
        let mut table = self.table.lock();
        if let Some(connection) = table.connections.remove(&number) {
            table.ended.push(connection.thread);
        }
        self.changed.notify_all();
    }

    fn wait_until(&self, deadline: Instant, reached: impl Fn(&Table) -> bool) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock();
        while !reached(&table) {
            if self.changed.wait_until(&mut table, deadline).timed_out() {
                break;
            }
        }
        table
    }
}

impl Table {
    /// Has everybody gone, but for a caller of ours?
    fn is_over(&self) -> bool {
        !self.open && self.connections.values().all(Connection::is_own)
    }
}

impl Connection {
    fn is_own(&self) -> bool {
        self.thread.thread().id() == thread::current().id()
    }

    fn describe(&self) -> String {
        match self.session.request() {
            Some((method, since)) => {
                format!("the control socket: `{method}`, for {} s", since.elapsed().as_secs())
            }
            None => "the control socket: a connection".into(),
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.into()).stack_size(stack).spawn(work)
}

/// All that such a thread does is caught where it happens.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        let _ = thread.join();
    }
}
