//! Between those who log and the target: a bounded buffer that nobody waits for, and one thread that empties it.
//!
//! Two byte buffers change places: records go into one while the thread writes the other. The lock is held for
//! one copy of one record. Where the buffer is full a record is dropped and counted, and the next one that finds
//! room is preceded by a notice. Where the target fails, what was not written is kept and tried again.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How long a record that is not urgent may wait for company.
const LINGER: Duration = Duration::from_millis(20);
/// This much is worth a write of its own; more would only push the buffer out of the processor's cache.
const BATCH: usize = 256 << 10;
const FIRST_RETRY: Duration = Duration::from_millis(10);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// What was logged, since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were taken.
    pub taken: u64,
    /// Records that were lost: the buffer was full, the log was shut down, or the target failed to the end.
    pub lost: u64,
    /// How often a write to the target failed.
    pub write_errors: u64,
}

/// Makes the line that tells how many records were lost.
pub(super) type Notice = Box<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;
/// Called with what befalls the target, which cannot tell it itself.
pub(super) type Alarm = Box<dyn Fn(Trouble<'_>) + Send + Sync>;
pub(super) type Target = Box<dyn Write + Send>;

/// What befalls a target.
pub(super) enum Trouble<'e> {
    /// It begins to fail.
    Fails(&'e io::Error),
    /// It has failed to the end: so many records are lost.
    Lost(u64),
}

pub(super) struct Buffer {
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// For the writer: something is to be done.
    work: Condvar,
    /// For `flush` and `shutdown`: something was done.
    done: Condvar,
    limit: usize,
    batch: usize,
    notice: Notice,
    alarm: Alarm,
}

#[derive(Default)]
struct State {
    filling: Vec<u8>,
    /// Lost since the last notice.
    untold: u64,
    /// Records that went out or were given up.
    settled: u64,
    counts: Counts,
    idle: bool,
    hurry: bool,
    closing: bool,
    closed: bool,
    next_target: Option<Target>,
}

impl Buffer {
    pub(super) fn start(target: Target, limit: usize, notice: Notice, alarm: Alarm) -> io::Result<Self> {
        // The whole size at once: growing would copy under the lock, and pages cost nothing until touched.
        let [mut filling, mut batch] = [Vec::new(), Vec::new()];
        filling.try_reserve_exact(limit)?;
        batch.try_reserve_exact(limit)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { filling, ..State::default() }),
            work: Condvar::new(),
            done: Condvar::new(),
            limit,
            batch: BATCH.min(limit / 2),
            notice,
            alarm,
        });
        let writer = Writer { shared: Arc::clone(&shared), batch, target };
        let thread = thread::Builder::new().name("pintle-log".into()).spawn(|| writer.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes one line, or counts it as lost. Never waits for the target.
    pub(super) fn push(&self, line: &[u8], urgent: bool) {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        let full = state.filling.len() + line.len() > shared.limit && !state.filling.is_empty();
        if full || state.closing {
            state.counts.lost += 1;
            // After the end there is no line any more in which to tell it.
            state.untold += u64::from(!state.closing);
            return;
        }
        state.tell_losses(&shared.notice);
        state.filling.extend_from_slice(line);
        state.counts.taken += 1;
        let wake = state.idle || (!state.hurry && (urgent || state.filling.len() >= shared.batch));
        if wake {
            state.hurry |= urgent || state.filling.len() >= shared.batch;
            state.idle = false;
            drop(state);
            shared.work.notify_one();
        }
    }

    /// Goes on with another target; what was taken before still goes to the old one if that is being written to.
    pub(super) fn switch(&self, target: Target) {
        self.shared.state.lock().next_target = Some(target);
        self.shared.work.notify_one();
    }

    /// Waits until everything taken before is out. False: the time was up first.
    pub(super) fn flush(&self, deadline: Instant) -> bool {
        let mut state = self.shared.state.lock();
        let goal = state.counts.taken;
        if state.settled < goal || state.untold > 0 {
            state.hurry = true;
            self.shared.work.notify_one();
        }
        while state.settled < goal && !state.closed {
            if self.shared.done.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.settled >= goal
    }

    /// Takes no more, writes what is there and ends the thread. False: the time was up first, and a target that
    /// hangs still holds the thread.
    pub(super) fn shutdown(&self, deadline: Instant) -> bool {
        let mut state = self.shared.state.lock();
        state.closing = true;
        self.shared.work.notify_one();
        while !state.closed {
            if self.shared.done.wait_until(&mut state, deadline).timed_out() && !state.closed {
                return false;
            }
        }
        drop(state);
        if let Some(thread) = self.thread.lock().take() {
            // It has nothing left to do; a panic in a target's own `write` was already printed.
            drop(thread.join());
        }
        true
    }

    pub(super) fn counts(&self) -> Counts {
        self.shared.state.lock().counts
    }
}

impl State {
    fn tell_losses(&mut self, notice: &Notice) {
        if self.untold > 0 {
            notice(mem::take(&mut self.untold), &mut self.filling);
        }
    }
}

/// The thread's side.
struct Writer {
    shared: Arc<Shared>,
    batch: Vec<u8>,
    target: Target,
}

/// However the thread ends, also by a panic in a target's `write`, nobody waits for it any more.
struct Closed(Arc<Shared>);

impl Drop for Closed {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closing = true;
        state.closed = true;
        state.counts.lost += state.counts.taken - state.settled;
        // Nothing is taken any more, and a host that has stopped is kept for as long as the process lives.
        state.filling = Vec::new();
        self.0.done.notify_all();
    }
}

impl Writer {
    fn run(mut self) {
        let _closed = Closed(Arc::clone(&self.shared));
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        loop {
            self.wait_for_work(&mut state);
            state.tell_losses(&shared.notice);
            state.hurry = false;
            let taken = state.counts.taken;
            let next_target = state.next_target.take();
            let last = state.closing && state.filling.is_empty();
            mem::swap(&mut state.filling, &mut self.batch);
            MutexGuard::unlocked(&mut state, || {
                if let Some(target) = next_target {
                    self.target = target;
                }
                self.write_batch();
            });
            state.settled = taken;
            shared.done.notify_all();
            if last {
                return;
            }
        }
    }

    /// Sleeps without a timeout while there is nothing, then a little for more to come.
    fn wait_for_work(&self, state: &mut MutexGuard<'_, State>) {
        let has_work = |state: &State| {
            !state.filling.is_empty()
                || state.closing
                || state.next_target.is_some()
                || (state.hurry && state.untold > 0)
        };
        while !has_work(state) {
            state.idle = true;
            self.shared.work.wait(state);
        }
        state.idle = false;
        let deadline = Instant::now() + LINGER;
        while !state.hurry && !state.closing && state.next_target.is_none() {
            if self.shared.work.wait_until(state, deadline).timed_out() {
                break;
            }
        }
    }

    /// Writes all of the batch, however long the target fails, unless the log is being shut down.
    fn write_batch(&mut self) {
        let mut written = 0;
        let mut pause = FIRST_RETRY;
        let mut failing = false;
        while written < self.batch.len() {
            let error = match self.target.write(&self.batch[written..]) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    (failing, pause) = (false, FIRST_RETRY);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            // A pipe without room is slow, not broken.
            if error.kind() != io::ErrorKind::WouldBlock {
                self.shared.state.lock().counts.write_errors += 1;
                if !mem::replace(&mut failing, true) {
                    (self.shared.alarm)(Trouble::Fails(&error));
                }
            }
            match self.wait_to_retry(pause) {
                Retry::Same => pause = (pause * 2).min(LAST_RETRY),
                Retry::Other(target) => {
                    self.target = target;
                    // The new one gets the torn line whole.
                    written = self.batch[..written]
                        .iter()
                        .rposition(|&byte| byte == b'\n')
                        .map_or(0, |end| end + 1);
                }
                Retry::GiveUp => {
                    let lost = self.batch[written..].iter().filter(|&&byte| byte == b'\n').count() as u64;
                    self.lose(lost);
                    break;
                }
            }
        }
        self.batch.clear();
        // What it buffers itself; a failure shows again at the next write.
        _ = self.target.flush();
    }

    /// Counts records that the target did not take, and tells of them and of those that had found no room.
    fn lose(&self, records: u64) {
        let lost = {
            let mut state = self.shared.state.lock();
            state.counts.lost += records;
            state.counts.lost
        };
        (self.shared.alarm)(Trouble::Lost(lost));
    }

    fn wait_to_retry(&self, pause: Duration) -> Retry {
        let deadline = Instant::now() + pause;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(target) = state.next_target.take() {
                return Retry::Other(target);
            }
            if state.closing {
                return Retry::GiveUp;
            }
            if self.shared.work.wait_until(&mut state, deadline).timed_out() {
                return Retry::Same;
            }
        }
    }
}

enum Retry {
    Same,
    Other(Target),
    GiveUp,
}
