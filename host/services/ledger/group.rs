//! Who writes when: writes queue up, one caller leads, the others wait for its commit.
//!
//! There is a leader exactly while there is something to write. A caller that finds none is it; a leader runs the
//! group that begins with its own write, then at most one more, and appoints whoever waits longest. So a caller works
//! for others for two commits at most, and nobody is forgotten: the queue and whether somebody leads change under one
//! lock, and a leader hands over when it is dropped, by a panic too.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use parking_lot::{Condvar, Mutex};

use super::{
    checkpoint::Log,
    closed,
    fault::Fault,
    writer::{Transaction, Writer},
};
use crate::error::{Error, ErrorKind, Result};

/// The most writes that share a commit: a caller should not wait for a crowd.
const MOST_WRITES: usize = 256;

/// The most bytes that share a commit, unless one write alone has more.
const MOST_BYTES: usize = 8 << 20;

/// Groups that a leader runs before it hands over: its own and one more.
const GROUPS: usize = 2;

/// Something to be written, as plain data: it may be run again, and on any caller's thread.
pub(crate) trait Write: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Writes. All of it is undone if this fails, and the answer counts only when the transaction is on disk.
    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault>;

    /// About how many bytes it writes.
    fn size(&self) -> usize;

    /// It is on disk with this answer, and its caller will be told so after this. Called once, in the order in which writes
    /// were committed, on whatever thread leads; must not wait, nor call the ledger.
    fn committed(&self, answer: &Self::Answer) {
        let _ = answer;
    }
}

/// A write of any type, and its caller.
pub(super) trait Member: Send + Sync {
    /// Runs the write, and keeps what it answers until the caller may know.
    fn apply(&self, transaction: &Transaction<'_>, ledger: &Path) -> Ran;

    /// Answers with this error, whatever was answered before.
    fn refuse(&self, error: Error);

    /// Whether its answer is a success, which is on disk: then the write is told so.
    fn committed(&self) -> bool;

    fn size(&self) -> usize;

    fn seat(&self) -> &Seat;
}

/// What became of a write in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    Kept,
    /// It failed: what it wrote must be undone.
    Refused,
    Panicked,
}

/// Where a caller waits.
#[derive(Default)]
pub(super) struct Seat {
    call: Mutex<Call>,
    called: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Call {
    #[default]
    Wait,
    Lead,
    Go,
}

impl Seat {
    fn call(&self, call: Call) {
        *self.call.lock() = call;
        self.called.notify_one();
    }

    fn wait(&self) -> Call {
        let mut call = self.call.lock();
        while *call == Call::Wait {
            self.called.wait(&mut call);
        }
        *call
    }
}

struct Ticket<W: Write> {
    write: W,
    /// Asked once, on the caller's thread: a leader that holds the queue runs nobody's code.
    size: usize,
    answer: Mutex<Option<Result<W::Answer>>>,
    seat: Seat,
}

impl<W: Write> Member for Ticket<W> {
    fn apply(&self, transaction: &Transaction<'_>, ledger: &Path) -> Ran {
        // Unwind safe: of what the write has touched, the transaction is undone and the answer is replaced.
        let ran = catch_unwind(AssertUnwindSafe(|| self.write.apply(transaction)));
        let (ran, answer) = match ran {
            Ok(Ok(answer)) => (Ran::Kept, Ok(answer)),
            Ok(Err(fault)) => (Ran::Refused, Err(fault.told_of(ledger))),
            Err(_) => (Ran::Panicked, Err(Error::new(ErrorKind::Panic, "the host panicked in a write"))),
        };
        *self.answer.lock() = Some(answer);
        ran
    }

    fn refuse(&self, error: Error) {
        *self.answer.lock() = Some(Err(error));
    }

    fn committed(&self) -> bool {
        match &*self.answer.lock() {
            Some(Ok(answer)) => {
                // What comes after a commit cannot undo it: a panic there is written to stderr, and that is all.
                let _ = catch_unwind(AssertUnwindSafe(|| self.write.committed(answer)));
                true
            }
            _ => false,
        }
    }

    fn size(&self) -> usize {
        self.size
    }

    fn seat(&self) -> &Seat {
        &self.seat
    }
}

#[derive(Default)]
pub(super) struct Group {
    queue: Mutex<Queue>,
    /// Nobody leads any more.
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<dyn Member>>,
    /// Somebody leads; never false while somebody waits.
    led: bool,
    closed: bool,
}

impl Group {
    /// Queues the write, leads if nobody does, and returns when it has its answer.
    pub(super) fn write<W: Write>(&self, write: W, writer: &Writer, log: &Log) -> Result<W::Answer> {
        let (size, answer, seat) = (write.size(), Mutex::new(None), Seat::default());
        let ticket = Arc::new(Ticket { write, size, answer, seat });
        let leads = {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err(closed());
            }
            queue.waiting.push_back(Arc::clone(&ticket) as Arc<dyn Member>);
            !std::mem::replace(&mut queue.led, true)
        };
        if leads || ticket.seat.wait() == Call::Lead {
            let mut lead = Lead { group: self, writer, members: Vec::new() };
            for _ in 0..GROUPS {
                lead.gather();
                if lead.members.is_empty() {
                    break;
                }
                writer.run(&lead.members);
                lead.dismiss();
                log.shorten(writer);
            }
            drop(lead);
            log.look();
        }
        let answer = ticket.answer.lock().take();
        answer.expect("a leader answers each member of its group before it lets go of it")
    }

    /// Takes no more.
    pub(super) fn refuse(&self) {
        self.queue.lock().closed = true;
    }

    /// After `refuse`: returns when what was taken has its answers.
    pub(super) fn finish(&self) {
        let mut queue = self.queue.lock();
        while queue.led {
            self.idle.wait(&mut queue);
        }
    }

    /// What a new write would be refused with.
    #[cfg(test)]
    pub(super) fn refused(&self) -> Option<Error> {
        self.queue.lock().closed.then(closed)
    }

    /// Writes that wait, the leader's group aside.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

/// The caller that leads, until this is dropped.
struct Lead<'a> {
    group: &'a Group,
    writer: &'a Writer,
    /// Taken from the queue and not told yet.
    members: Vec<Arc<dyn Member>>,
}

impl Lead<'_> {
    /// Takes the next group from the queue.
    fn gather(&mut self) {
        let mut queue = self.group.queue.lock();
        let mut bytes = 0;
        while self.members.len() < MOST_WRITES
            && let Some(next) = queue.waiting.front()
        {
            bytes += next.size();
            if bytes > MOST_BYTES && !self.members.is_empty() {
                break;
            }
            self.members.extend(queue.waiting.pop_front());
        }
    }

    /// Lets the members go with their answers.
    fn dismiss(&mut self) {
        let counters = self.writer.counters();
        for member in self.members.drain(..) {
            let counter = if member.committed() { &counters.writes } else { &counters.failed };
            counter.fetch_add(1, Relaxed);
            member.seat().call(Call::Go);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // Only a panic beside a write leaves any: what they were answered was not on disk yet.
        for member in &self.members {
            member.refuse(Error::new(ErrorKind::Internal, "the host panicked beside a write"));
        }
        self.dismiss();
        let mut queue = self.group.queue.lock();
        match queue.waiting.front() {
            Some(next) => next.seat().call(Call::Lead),
            None => {
                queue.led = false;
                self.group.idle.notify_all();
            }
        }
    }
}
