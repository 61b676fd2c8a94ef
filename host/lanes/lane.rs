//! One plugin's queue. Its items are tasks that name a registration, never a function of a library, so that a
//! reload can switch what they run.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    pool::Pool,
    sync::{Mutex, MutexGuard},
    worker::Run,
};
use crate::error::{Error, ErrorKind, Result};

/// Something that runs on a lane. Shared, because one subscription stands in the queue once for each event.
pub(crate) trait Task: Send + Sync {
    /// Runs it on a worker. Panics of plugins have been caught by then; one of the host's own is caught by the
    /// worker.
    fn run(&self, run: &mut Run<'_>);

    /// The same so many times, one after the other, or fewer; answers how often it has run, and the rest stays in the
    /// queue. Before each time but the first it asks [`Run::begin_next`].
    fn run_times(&self, run: &mut Run<'_>, times: usize) -> usize {
        debug_assert!(times > 0, "it is to run");
        self.run(run);
        1
    }

    /// What it is, for reports: `event "a.b"`, `job "beat"`, `call "x.y"`, `load`.
    fn describe(&self) -> String;

    /// How long it may take before the lane counts as stuck; `None`: as long as the lane's handlers may.
    fn deadline(&self) -> Option<Duration> {
        None
    }
}

/// How a lane is to be.
#[derive(Clone, Debug)]
pub(crate) struct LaneOptions {
    /// Whose it is: a plugin's id.
    pub(crate) name: Arc<str>,
    /// How many calls may run at once.
    pub(crate) concurrency: u32,
    /// How many tasks may wait.
    pub(crate) capacity: usize,
    /// How long a handler may take before the lane is stuck.
    pub(crate) deadline: Duration,
}

/// One plugin's queue.
pub(crate) struct Lane {
    id: u64,
    options: LaneOptions,
    pool: Weak<Pool>,
    state: Mutex<State>,
    /// The worker that had it last, which gets it again if that one is free.
    pub(super) last_worker: AtomicU32,
}

/// Who is in the way of a task that is queued now.
pub(super) struct Occupied {
    /// A place is free.
    pub(super) has_room: bool,
    /// How many calls run.
    pub(super) running: usize,
    /// A task that runs alone stands before it.
    pub(super) alone_waits: bool,
}

/// How often and how long a lane was stuck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// Calls that went past their deadline.
    pub(crate) times: u64,
    /// How long there was one, until now.
    pub(crate) total: Duration,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    /// How many tasks wait: in the queue, and of those that were taken at once.
    waiting: usize,
    /// Of a task that was taken several times at once, how often it has not begun yet.
    unbegun: usize,
    /// Lifecycle functions: ahead of the queue, each alone.
    alone: VecDeque<Arc<dyn Task>>,
    running: u32,
    /// Whether what runs is of `alone`.
    exclusive: bool,
    /// How many of those that run are overdue.
    overdue: u32,
    /// Since when there are some.
    stuck_since: Option<Instant>,
    stuck: Stuck,
    /// Whether it stands in the pool's ready queue.
    ready: bool,
    closed: bool,
}

/// A task that stands in the queue, so many times in a row.
struct Queued {
    task: Arc<dyn Task>,
    times: usize,
}

/// How often a task that stands in the queue several times in a row runs at once.
const MOST_AT_ONCE: usize = 64;

impl State {
    fn queue(&mut self, task: Arc<dyn Task>) {
        self.waiting += 1;
        match self.queue.back_mut() {
            Some(last) if is_same(&last.task, &task) => last.times += 1,
            _ => self.queue.push_back(Queued { task, times: 1 }),
        }
    }

    /// The first task and how often it is to run now, at most `most` times.
    fn unqueue(&mut self, most: usize) -> Option<(Arc<dyn Task>, usize)> {
        let first = self.queue.front_mut()?;
        let times = first.times.min(most);
        self.waiting -= 1;
        self.unbegun = times - 1;
        if times < first.times {
            first.times -= times;
            return Some((Arc::clone(&first.task), times));
        }
        self.queue.pop_front().map(|first| (first.task, times))
    }

    fn runnable(&self, concurrency: u32) -> bool {
        if self.exclusive {
            false
        } else if self.alone.is_empty() {
            !self.queue.is_empty() && self.running < concurrency
        } else {
            self.running == 0
        }
    }
}

impl Lane {
    pub(crate) fn new(pool: &Arc<Pool>, options: LaneOptions) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Relaxed) + 1,
            options,
            pool: Arc::downgrade(pool),
            state: Mutex::new(State::default()),
            last_worker: AtomicU32::new(u32::MAX),
        })
    }

    /// Unique in the process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whose it is.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.options.name
    }

    /// How many calls may run at once.
    pub(crate) fn concurrency(&self) -> u32 {
        self.options.concurrency
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.options.deadline
    }

    /// Queues a task. BUSY if the queue is full, UNAVAILABLE if the lane is stuck or closed.
    pub(crate) fn push(self: &Arc<Self>, task: Arc<dyn Task>) -> Result<()> {
        self.push_within(task, self.options.capacity)
    }

    /// Queues a task whose number is bounded elsewhere: an event of a subscription, which has a queue of its own.
    /// UNAVAILABLE if the lane is stuck or closed.
    pub(crate) fn push_event(self: &Arc<Self>, task: Arc<dyn Task>) -> Result<()> {
        self.push_within(task, usize::MAX)
    }

    fn push_within(self: &Arc<Self>, task: Arc<dyn Task>, capacity: usize) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.gone());
        }
        if state.overdue > 0 {
            let name = self.name().clone();
            return Err(Error::lazy(ErrorKind::Unavailable, move || {
                format!(
                    "plugin \"{name}\" is stuck in a call that is past its deadline, and takes no more until it returns"
                )
            }));
        }
        if state.waiting >= capacity {
            let name = self.name().clone();
            return Err(Error::lazy(ErrorKind::Busy, move || {
                format!("{capacity} calls wait for plugin \"{name}\" already: try again later")
            }));
        }
        state.queue(task);
        self.announce(state);
        Ok(())
    }

    /// Queues a task whatever waits already: for the host's own work, such as releasing a registration, and for a watch,
    /// which stands in it once. Does nothing after `close`.
    pub(crate) fn push_always(self: &Arc<Self>, task: Arc<dyn Task>) {
        let mut state = self.state.lock();
        if !state.closed {
            state.queue(task);
            self.announce(state);
        }
    }

    /// Runs a task ahead of the queue, when nothing else of the lane runs.
    pub(crate) fn push_alone(self: &Arc<Self>, task: Arc<dyn Task>) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.gone());
        }
        state.alone.push_back(task);
        self.announce(state);
        Ok(())
    }

    /// Takes no more and lets go of what still waits: whoever waits for that is told by its `Promise`.
    pub(crate) fn close(&self) {
        let (queue, alone) = {
            let mut state = self.state.lock();
            state.closed = true;
            state.waiting = 0;
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.alone))
        };
        // Not under the lock: what a task drops may take others.
        drop((queue, alone));
    }

    /// How many tasks wait, and how many run.
    pub(crate) fn load(&self) -> (usize, u32) {
        let state = self.state.lock();
        (state.waiting + state.alone.len(), state.running)
    }

    /// Whether a call of it is past its deadline.
    pub(crate) fn is_stuck(&self) -> bool {
        self.state.lock().overdue > 0
    }

    /// How often and how long it was stuck.
    pub(crate) fn stuck(&self) -> Stuck {
        let state = self.state.lock();
        let now = state.stuck_since.map_or(Duration::ZERO, |since| since.elapsed());
        Stuck { total: state.stuck.total + now, ..state.stuck }
    }

    /// Who is in the way of a task that is queued now. For finding circles of waits.
    pub(super) fn occupied(&self) -> Occupied {
        let state = self.state.lock();
        Occupied {
            has_room: !state.exclusive && state.running < self.options.concurrency,
            running: state.running as usize,
            alone_waits: !state.alone.is_empty(),
        }
    }

    /// The pool has taken it from the ready queue. Starts the next task, if there is one to start now, and says how often it
    /// is to run.
    pub(super) fn begin(self: &Arc<Self>, from_ready: bool) -> Option<(Arc<dyn Task>, usize)> {
        let mut state = self.state.lock();
        if from_ready {
            state.ready = false;
        }
        if !state.runnable(self.options.concurrency) {
            return None;
        }
        let begun = match state.alone.pop_front() {
            Some(task) => {
                state.exclusive = true;
                (task, 1)
            }
            // What could run at once beside it does not stand behind it.
            None if self.options.concurrency > 1 => state.unqueue(1)?,
            None => state.unqueue(MOST_AT_ONCE)?,
        };
        state.running += 1;
        if self.options.concurrency > 1 {
            self.announce(state);
        }
        Some(begun)
    }

    /// A task that was taken several times at once begins once more.
    pub(super) fn begin_next(&self) {
        let mut state = self.state.lock();
        if state.unbegun > 0 {
            state.unbegun -= 1;
            state.waiting = state.waiting.saturating_sub(1);
        }
    }

    /// A task that was taken several times at once runs no more; so many times are left, and come first again.
    pub(super) fn give_back(&self, task: &Arc<dyn Task>, times: usize) {
        let mut state = self.state.lock();
        let unbegun = std::mem::take(&mut state.unbegun);
        if state.closed {
            return;
        }
        state.waiting = state.waiting - unbegun + times;
        if times == 0 {
            return;
        }
        match state.queue.front_mut() {
            Some(first) if is_same(&first.task, task) => first.times += times,
            _ => state.queue.push_front(Queued { task: Arc::clone(task), times }),
        }
    }

    /// A task that was begun has ended; `overdue` if it had been marked so.
    pub(super) fn end(&self, overdue: bool) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.exclusive = false;
        if overdue {
            state.overdue -= 1;
            if state.overdue == 0
                && let Some(since) = state.stuck_since.take()
            {
                state.stuck.total += since.elapsed();
            }
        }
    }

    /// A worker goes on to another lane: stands in line again if there is more to do.
    pub(super) fn leave(self: &Arc<Self>) {
        let state = self.state.lock();
        self.announce(state);
    }

    /// A task that runs is past its deadline.
    pub(super) fn mark_overdue(&self) {
        let mut state = self.state.lock();
        state.overdue += 1;
        state.stuck.times += 1;
        state.stuck_since.get_or_insert_with(Instant::now);
    }

    fn announce(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.ready || !state.runnable(self.options.concurrency) {
            return;
        }
        state.ready = true;
        drop(state);
        if let Some(pool) = self.pool.upgrade() {
            pool.ready(self);
        }
    }

    fn gone(&self) -> Error {
        let name = self.name().clone();
        Error::lazy(ErrorKind::Unavailable, move || {
            format!("plugin \"{name}\" is unloaded or its host has stopped")
        })
    }
}

fn is_same(one: &Arc<dyn Task>, other: &Arc<dyn Task>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({})", self.name())
    }
}
