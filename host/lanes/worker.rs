//! A worker's record, and what a task is given of the worker that runs it.

use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering::*},
    time::Duration,
};

use super::{
    lane::{Lane, Task},
    register::Register,
    sync::{AtomicBool, AtomicU64, Condvar, Mutex, thread_local},
};
use crate::identity::{Scope, Seat, Slot};

/// A worker, among those of all pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pool: u64,
    worker: u32,
}

thread_local! {
    /// The lane whose call this thread runs, and the worker that it is; lane 0: none.
    static CURRENT: Cell<(u64, Place)> = const { Cell::new(NO_CALL) };
}

const NO_CALL: (u64, Place) = (0, Place { pool: 0, worker: 0 });

/// The lane whose call this thread runs, and the worker that it is, if it is one in a call.
pub(super) fn current_call() -> Option<(u64, Place)> {
    Some(CURRENT.with(Cell::get)).filter(|(lane, _)| *lane != 0)
}

/// The number of the worker of this pool that this thread is, if it is one in a call.
pub(super) fn current_worker(pool: u64) -> Option<u32> {
    current_call().filter(|(_, place)| place.pool == pool).map(|(_, place)| place.worker)
}

/// The record of one worker, shared with the pool and with those who ask about its running call.
pub(crate) struct Worker {
    pub(super) number: u32,
    pool: u64,
    /// Waited on with the pool's lock.
    pub(super) woken: Condvar,
    /// Counts starts and ends of tasks: odd while one runs.
    pub(super) steps: AtomicU64,
    /// It is to end after the task that it runs.
    pub(super) leaving: AtomicBool,
    task: Mutex<Current>,
    call: Mutex<Call>,
    generations: Mutex<Vec<u64>>,
}

/// The task that a worker runs.
#[derive(Default)]
struct Current {
    task: Option<(Arc<Lane>, Arc<dyn Task>)>,
    overdue: bool,
    held: bool,
}

/// What a task was marked as when it ended.
pub(super) struct Ended {
    /// It was past its deadline.
    pub(super) overdue: bool,
    /// It was running for long.
    pub(super) held: bool,
}

/// The function of a plugin that runs on a worker.
#[derive(Default)]
struct Call {
    ctx: u64,
    about: Option<About>,
    reply: Vec<u8>,
    overflowed: bool,
    error: Option<String>,
    /// What ends with it: registrations, by their handles.
    ends: Vec<(Arc<Register>, u64)>,
}

/// So many registrations that end with a call are noted before those are forgotten that have ended.
const MANY_ENDS: usize = 32;

/// What a handler is called for: goes into the log records that it writes.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// `event`, `job`, `watch` or `call`.
    pub(crate) kind: &'static str,
    /// The event's id, the job's name, the item's key, the service and method.
    pub(crate) name: Arc<str>,
}

/// What a plugin's function left behind beside its status.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was written to its reply sink.
    pub(crate) reply: Vec<u8>,
    /// Whether more was written to it than it takes.
    pub(crate) overflowed: bool,
    /// The text of `set_error`.
    pub(crate) error: Option<String>,
}

impl Worker {
    pub(super) fn new(number: u32, pool: u64) -> Self {
        Self {
            number,
            pool,
            woken: Condvar::new(),
            steps: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            task: Mutex::default(),
            call: Mutex::new(Call::default()),
            generations: Mutex::new(Vec::new()),
        }
    }

    /// Appends to the reply of the call that runs under `ctx`. `None` if none does; `Some(false)` if it would
    /// become longer than `limit`.
    pub(crate) fn write_reply(&self, ctx: u64, piece: &[u8], limit: usize) -> Option<bool> {
        let mut call = self.call.lock();
        if call.ctx != ctx {
            return None;
        }
        if call.reply.len().saturating_add(piece.len()) > limit
            || call.reply.try_reserve(piece.len()).is_err()
            || call.overflowed
        {
            call.overflowed = true;
            return Some(false);
        }
        call.reply.extend_from_slice(piece);
        Some(true)
    }

    /// What the function that runs under `ctx` is called for.
    pub(crate) fn about(&self, ctx: u64) -> Option<About> {
        let call = self.call.lock();
        call.about.clone().filter(|_| call.ctx == ctx)
    }

    /// Keeps the text of `set_error` for the function that runs under `ctx`; false if none does.
    pub(crate) fn write_error(&self, ctx: u64, text: String) -> bool {
        let mut call = self.call.lock();
        let running = call.ctx == ctx;
        if running {
            call.error = Some(text);
        }
        running
    }

    /// Ends a registration when the function ends that runs under `ctx`; false if none does.
    pub(crate) fn end_with(&self, ctx: u64, register: &Arc<Register>, handle: u64) -> bool {
        let mut call = self.call.lock();
        let running = call.ctx == ctx;
        if running {
            if call.ends.len() >= MANY_ENDS {
                call.ends.retain(|(register, handle)| register.contains(*handle));
            }
            call.ends.push((Arc::clone(register), handle));
        }
        running
    }

    /// It begins a task.
    pub(super) fn set_task(&self, lane: &Arc<Lane>, task: &Arc<dyn Task>) {
        *self.task.lock() = Current { task: Some((lane.clone(), task.clone())), overdue: false, held: false };
    }

    /// Its task has ended; what it had been marked as.
    pub(super) fn clear_task(&self) -> Ended {
        let Current { overdue, held, .. } = std::mem::take(&mut *self.task.lock());
        Ended { overdue, held }
    }

    /// Marks the task as one that has been running for long, if it is still the one of `step` and was not marked before;
    /// says whether it did. With the pool locked, as `look`.
    pub(super) fn hold(&self, step: u64) -> bool {
        let mut current = self.task.lock();
        let marks = current.task.is_some() && !current.held && self.steps.load(Acquire) == step;
        current.held |= marks;
        marks
    }

    /// Marks the task as overdue and gives it, if it is still the one of `step`, has run for `after` and may not, and
    /// was not marked before. With the pool locked, so that the task's end waits until the pool knows.
    pub(super) fn look(&self, step: u64, after: Duration) -> Option<(Arc<Lane>, Arc<dyn Task>)> {
        let mut current = self.task.lock();
        if current.overdue || self.steps.load(Acquire) != step {
            return None;
        }
        let (lane, task) = current.task.clone()?;
        if after < may_take(&lane, &*task) {
            return None;
        }
        lane.mark_overdue();
        current.overdue = true;
        Some((lane, task))
    }

    /// How long its task may go on that has run for `after`.
    pub(super) fn left(&self, after: Duration) -> Duration {
        let current = self.task.lock();
        let most = current.task.as_ref().map_or(Duration::MAX, |(lane, task)| may_take(lane, &**task));
        most.saturating_sub(after)
    }

    /// What it runs, and of whom.
    pub(super) fn describe(&self) -> Option<String> {
        let (lane, task) = self.task.lock().task.clone()?;
        Some(format!("plugin \"{}\" in {}", lane.name(), task.describe()))
    }

    /// Whether this thread has run code of a generation, so that its library may have left destructors on it. The
    /// generation is over, and not asked for again.
    pub(super) fn forget(&self, generation: u64) -> bool {
        let mut generations = self.generations.lock();
        let before = generations.len();
        generations.retain(|noted| *noted != generation);
        generations.len() < before
    }
}

fn may_take(lane: &Lane, task: &dyn Task) -> Duration {
    task.deadline().unwrap_or_else(|| lane.deadline())
}

/// What a task is given of its worker.
pub(crate) struct Run<'w> {
    worker: &'w Worker,
    slot: &'w mut Slot,
    /// By seat: the generation that this thread has last noted there.
    noted: &'w mut Vec<u64>,
}

impl<'w> Run<'w> {
    pub(super) fn new(worker: &'w Worker, slot: &'w mut Slot, noted: &'w mut Vec<u64>) -> Self {
        Self { worker, slot, noted }
    }

    /// The worker's number, as a scope names it.
    pub(crate) fn worker(&self) -> u32 {
        self.worker.number
    }

    /// Opens a context for one call of a plugin's handler. Ends with `leave`.
    pub(crate) fn enter(&mut self, scope: &Scope, about: About) -> u64 {
        self.note(scope.generation, scope.seat);
        let ctx = self.slot.open(&Scope { worker: self.worker.number + 1, call: true, ..*scope });
        self.begin(ctx, Some(about));
        ctx
    }

    /// Begins a lifecycle function that runs under its plugin's own context. Ends with `leave`.
    pub(crate) fn enter_own(&mut self, ctx: u64, generation: u64, seat: u16) {
        self.note(generation, seat);
        self.begin(ctx, None);
    }

    /// The function has returned: its call's context ends, and what it left is taken.
    pub(crate) fn leave(&mut self) -> Outcome {
        self.slot.close();
        let mut call = self.worker.call.lock();
        let Call { reply, overflowed, error, ends, .. } = std::mem::take(&mut *call);
        drop(call);
        for (register, handle) in ends {
            register.drop_entry(handle);
        }
        Outcome { reply, overflowed, error }
    }

    /// Another handler of the same task is about to begin: it has a deadline of its own. False if the one before went past
    /// its deadline: then the task is to end, so that the lane is free again.
    pub(crate) fn begin_another(&mut self) -> bool {
        // With the task locked, so that nobody takes the new handler for the one before that has run for too long.
        let task = self.worker.task.lock();
        if !task.overdue {
            self.worker.steps.fetch_add(2, Release);
        }
        !task.overdue
    }

    /// The same where the task runs once more of the times that it was taken for.
    pub(crate) fn begin_next(&mut self) -> bool {
        let goes_on = self.begin_another();
        if goes_on && let Some((lane, _)) = &self.worker.task.lock().task {
            lane.begin_next();
        }
        goes_on
    }

    /// Notes that this thread runs code of a generation.
    pub(crate) fn note(&mut self, generation: u64, seat: u16) {
        let seat = usize::from(seat);
        if self.noted.is_empty() {
            self.noted.resize(Seat::COUNT, 0);
        }
        if self.noted[seat] != generation {
            self.noted[seat] = generation;
            self.worker.generations.lock().push(generation);
        }
    }

    fn begin(&mut self, ctx: u64, about: Option<About>) {
        let mut call = self.worker.call.lock();
        *call = Call { ctx, about, ..Call::default() };
    }
}

/// Runs `body` as a call of `lane` on this thread.
pub(super) fn as_call_of<R>(worker: &Worker, lane: &Arc<Lane>, body: impl FnOnce() -> R) -> R {
    CURRENT.with(|current| current.set((lane.id(), Place { pool: worker.pool, worker: worker.number })));
    worker.steps.fetch_add(1, Release);
    let result = body();
    worker.steps.fetch_add(1, Release);
    CURRENT.with(|current| current.set(NO_CALL));
    result
}
