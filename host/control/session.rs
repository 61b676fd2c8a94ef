//! One connection, as the host sees it: what waits to be written, what ends with it, and who may end it.
//!
//! Two threads work for it: one reads and carries out requests, one writes, so that a client that does not read keeps up
//! nobody but itself. Everything that waits here is bounded: answers by not reading the next request, notifications
//! by dropping and counting them.

use std::{
    any::Any,
    collections::VecDeque,
    io::{self, Write},
    mem,
    net::Shutdown,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::{socket::Stream, wire};

/// How many notifications may wait to be written, and how many bytes of them.
const NOTIFICATIONS: Load = Load { lines: 1024, bytes: 4 << 20 };

/// No request is begun while so much of answers waits.
const ANSWERS: Load = Load { lines: 64, bytes: 1 << 20 };

/// As much is written at once. The system tells that a client has read something only when it has read all of such a
/// piece, so small ones tell a slow client from one that does not read.
const PIECE: usize = 4096;

/// How long a connection that was asked to end may take for it, before it is cut off.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// One connection.
pub(crate) struct Session {
    stream: Stream,
    patience: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Load {
    lines: usize,
    bytes: usize,
}

struct State {
    waiting: VecDeque<(Kind, Vec<u8>)>,
    answers: Load,
    notifications: Load,
    /// Notifications that found no room. While there are some, no other is taken: the count has to stand in their place.
    dropped: u64,
    /// Notifications that were lost before they came here: the count stands before the next one that is taken.
    missed: u64,
    kept: Vec<Box<dyn Any + Send>>,
    /// What the next request may go on with.
    laid: Option<Box<dyn Any + Send>>,
    request: Option<(String, Instant)>,
    /// When the client last sent something.
    heard: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Answer,
    Notification,
    /// About the connection itself; always taken.
    Own,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Open,
    /// No further request is begun; what waits is still written.
    Leaving,
    /// Nothing more will be put in the queue.
    Over,
    /// The writer has ended.
    Done,
}

impl Session {
    pub(super) fn new(stream: Stream, patience: Duration) -> io::Result<Self> {
        stream.set_write_timeout(Some(patience))?;
        let state = State {
            waiting: VecDeque::from([(Kind::Own, wire::hello())]),
            answers: Load::default(),
            notifications: Load::default(),
            dropped: 0,
            missed: 0,
            kept: Vec::new(),
            laid: None,
            request: None,
            heard: Instant::now(),
            stage: Stage::Open,
        };
        Ok(Self { stream, patience, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Tells the client something without being asked. Never waits: if too much waits already, this is dropped, and the
    /// client is told how many were.
    pub(crate) fn notify(&self, method: &str, params: &impl Serialize) {
        {
            let mut state = self.state.lock();
            if state.stage != Stage::Open || state.refuses() {
                return;
            }
        }
        // Outside of the lock: the writer need not wait for it.
        let line = wire::notification(method, params);
        let mut state = self.state.lock();
        if state.stage != Stage::Open || state.refuses() {
            return;
        }
        let Ok(line) = line else {
            state.dropped += 1;
            return;
        };
        let missed = mem::take(&mut state.missed);
        if missed > 0 {
            state.put(Kind::Own, wire::dropped(missed));
        }
        state.put(Kind::Notification, line);
        self.changed.notify_all();
    }

    /// So many notifications are lost that were to come before the next: they came faster than they could be told. Never
    /// waits.
    pub(crate) fn missed(&self, count: u64) {
        self.state.lock().missed += count;
    }

    /// Keeps what is to be dropped when the connection ends. A connection that keeps something is not idle.
    pub(crate) fn keep(&self, what: Box<dyn Any + Send>) {
        let mut state = self.state.lock();
        if state.stage < Stage::Over {
            state.kept.push(what);
            return;
        }
        drop(state);
        drop(what);
    }

    /// Lays something ready for the next request, in place of what lay there. It goes when the connection ends.
    pub(crate) fn lay(&self, what: Box<dyn Any + Send>) {
        let mut state = self.state.lock();
        let before = if state.stage < Stage::Over { state.laid.replace(what) } else { Some(what) };
        drop(state);
        drop(before);
    }

    /// Takes what was laid ready, if it is one.
    pub(crate) fn take<T: Any + Send>(&self) -> Option<Box<T>> {
        let laid = self.state.lock().laid.take()?;
        laid.downcast().ok()
    }

    /// Whether the other side has gone, or is not to be told anything any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().stage >= Stage::Over
    }

    /// How many things it keeps.
    pub(crate) fn kept(&self) -> usize {
        self.state.lock().kept.len()
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Something has come; a whole line counts as a request under way until it is answered.
    pub(super) fn heard(&self, whole: bool) {
        let mut state = self.state.lock();
        state.heard = Instant::now();
        if whole {
            state.request = Some((String::new(), state.heard));
        }
    }

    /// The request that is under way is one for this method.
    pub(super) fn begin(&self, method: &str) {
        self.state.lock().request = Some((method.chars().take(100).collect(), Instant::now()));
    }

    /// The request is done; there may be a line to send. Waits until there is room for the next. False if there is to be
    /// no next.
    pub(super) fn done(&self, answer: Option<Vec<u8>>) -> bool {
        let mut state = self.state.lock();
        state.request = None;
        if let Some(line) = answer
            && state.stage < Stage::Over
        {
            state.put(Kind::Answer, line);
            self.changed.notify_all();
        }
        while state.stage == Stage::Open && state.answers.reaches(ANSWERS) {
            self.changed.wait(&mut state);
        }
        state.stage == Stage::Open
    }

    /// The method that is being carried out, and since when.
    pub(super) fn request(&self) -> Option<(String, Instant)> {
        self.state.lock().request.clone()
    }

    /// Since when it is idle; None if it is not, or ends already.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        let idle = state.stage == Stage::Open
            && state.request.is_none()
            && state.kept.is_empty()
            && state.answers.lines == 0;
        idle.then_some(state.heard)
    }

    /// Ends the connection, and says why: what waits is still written, no further request is begun.
    pub(super) fn end(&self, why: &str) {
        let mut state = self.state.lock();
        if state.stage != Stage::Open {
            return;
        }
        state.stage = Stage::Leaving;
        state.put(Kind::Own, wire::bye(why));
        self.changed.notify_all();
        // The thread that reads finds the end.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Ends it at once.
    pub(super) fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let mut state = self.state.lock();
        state.stage = state.stage.max_of(Stage::Over);
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// Writes until the connection is over and nothing waits any more. Answers with why it could not.
    pub(super) fn write(&self) -> io::Result<()> {
        let outcome = loop {
            let Some((kind, line)) = self.next() else { break Ok(()) };
            let written = self.write_line(&line);
            let mut state = self.state.lock();
            state.take(kind, line.len());
            self.changed.notify_all();
            if let Err(error) = written {
                break Err(error);
            }
        };
        if outcome.is_err() {
            self.cut();
        }
        self.state.lock().stage = Stage::Done;
        self.changed.notify_all();
        outcome
    }

    /// Nothing will be asked any more: lets go of what was kept, and waits until what waits is written.
    pub(super) fn finish(&self) {
        let kept = {
            let mut state = self.state.lock();
            state.stage = state.stage.max_of(Stage::Over);
            self.changed.notify_all();
            (mem::take(&mut state.kept), state.laid.take())
        };
        // Whatever it does when it is dropped, it does without our lock.
        drop(kept);
        let deadline = Instant::now() + self.patience;
        let mut state = self.state.lock();
        while state.stage != Stage::Done {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        drop(state);
        // Somebody may still hold the session; the client is not to wait for that.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn next(&self) -> Option<(Kind, Vec<u8>)> {
        let mut state = self.state.lock();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                return Some(line);
            }
            if state.stage >= Stage::Over {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        for mut piece in line.chunks(PIECE) {
            while !piece.is_empty() {
                match (&self.stream).write(piece) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => piece = &piece[written..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// Is there no room for a notification? Then it is counted.
    fn refuses(&mut self) -> bool {
        let refused = self.dropped > 0 || self.notifications.reaches(NOTIFICATIONS);
        self.dropped += u64::from(refused);
        refused
    }

    fn put(&mut self, kind: Kind, line: Vec<u8>) {
        if let Some(load) = self.load(kind) {
            load.lines += 1;
            load.bytes += line.len();
        }
        self.waiting.push_back((kind, line));
    }

    /// A line of so many bytes has been written.
    fn take(&mut self, kind: Kind, bytes: usize) {
        if let Some(load) = self.load(kind) {
            load.lines -= 1;
            load.bytes -= bytes;
        }
        // Not before half of the queue is free, or every second line would be a count.
        let half = Load { lines: NOTIFICATIONS.lines / 2, bytes: NOTIFICATIONS.bytes / 2 };
        if self.dropped > 0 && self.stage < Stage::Over && !self.notifications.reaches(half) {
            let count = mem::take(&mut self.dropped) + mem::take(&mut self.missed);
            self.put(Kind::Own, wire::dropped(count));
        }
    }

    fn load(&mut self, kind: Kind) -> Option<&mut Load> {
        match kind {
            Kind::Answer => Some(&mut self.answers),
            Kind::Notification => Some(&mut self.notifications),
            Kind::Own => None,
        }
    }
}

impl Load {
    fn reaches(self, limit: Self) -> bool {
        self.lines >= limit.lines || self.bytes >= limit.bytes
    }
}

impl Stage {
    fn max_of(self, other: Self) -> Self {
        if self < other { other } else { self }
    }
}
