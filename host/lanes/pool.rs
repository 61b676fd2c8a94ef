//! The workers of a host, as others see them: waiting for a lane, ending a generation, idling, shutting down.
//!
//! Lock order: waits, then pool, then a worker's task, then a lane. No lock is held while a task runs.
//! `handover` says which worker takes which lane, `monitor` watches them, `closer` joins those that end.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::*},
    thread,
    time::{Duration, Instant},
};

use super::{
    closer::Retiring,
    handover::{Member, State},
    lane::Lane,
    pending::{Pending, Promise, Wake},
    sync::{Condvar, Mutex, RwLock},
    waits::{Turn, Waits},
    worker::{Worker, current_call, current_worker},
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Phase, Seat},
};

/// How a pool is to be.
#[derive(Clone, Debug)]
pub(crate) struct PoolOptions {
    /// How many workers run at once while all of them get on.
    pub(crate) workers: usize,
    /// How many threads there may be, with those that wait or hang.
    pub(crate) most: usize,
    /// How long a worker stays that is one more than usual and has nothing to do: where calls wait inside of the host, threads
    /// are needed again soon, and making one takes longer than many a call.
    pub(crate) spare: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        Self { workers: cores.max(2), most: 256, spare: Duration::from_secs(5) }
    }
}

/// What the pool tells the host. Called without any lock held.
pub(crate) trait Report: Send + Sync {
    /// A call is past its deadline; its lane takes no more until it returns.
    fn stuck(&self, lane: &Arc<Lane>, task: &str, after: Duration);
    /// A call that was past its deadline has returned.
    fn resumed(&self, lane: &Arc<Lane>, task: &str);
    /// The host's own code failed in a task.
    fn failed(&self, task: &str, panic: &str);
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolStats {
    /// Threads.
    pub(crate) workers: usize,
    /// Threads without work.
    pub(crate) idle: usize,
    /// Threads whose call waits inside the host.
    pub(crate) waiting: usize,
    /// Threads whose call is past its deadline.
    pub(crate) stuck: usize,
    /// Generations whose library is not closed yet, because a thread that ran it has not ended.
    pub(crate) retired: usize,
}

/// A generation that is over and whose library is to be closed when no thread is left that ran it.
pub(crate) struct Retired {
    /// Which.
    pub(crate) generation: u64,
    /// Whether threads that ran it must end first.
    pub(crate) join: bool,
    /// Closes it, on a thread that ends afterwards.
    pub(crate) close: Box<dyn FnOnce() + Send>,
}

/// The generation on whose behalf somebody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Which.
    pub(crate) generation: u64,
    /// Where its phase is kept.
    pub(crate) seat: u16,
}

/// The workers of a host.
pub(crate) struct Pool {
    /// Unique in the process: a worker of one host can wait in another.
    pub(super) id: u64,
    pub(super) options: PoolOptions,
    pub(super) report: Arc<dyn Report>,
    pub(super) state: Mutex<State>,
    /// Signalled when a worker has nothing to do or ends, and when a library is closed.
    pub(super) changed: Condvar,
    /// Signalled when the monitor has something to do.
    pub(super) monitor: Condvar,
    waits: Mutex<Waits>,
    /// The workers again, for those who only ask one about its call.
    pub(super) records: RwLock<HashMap<u32, Arc<Worker>>>,
}

impl Pool {
    pub(crate) fn new(options: PoolOptions, report: Arc<dyn Report>) -> Arc<Self> {
        Self::with(options, report, State::default())
    }

    /// One without a monitor of its own: whoever has it looks after the workers, at times of his choice.
    #[cfg(any(test, pintle_model))]
    pub(crate) fn unwatched(options: PoolOptions, report: Arc<dyn Report>) -> Arc<Self> {
        Self::with(options, report, State { watched: true, ..State::default() })
    }

    /// Panics where the books are not right.
    #[cfg(any(test, pintle_model))]
    pub(crate) fn audit(&self) {
        self.state.lock().audit();
    }

    fn with(options: PoolOptions, report: Arc<dyn Report>, state: State) -> Arc<Self> {
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Relaxed) + 1,
            options,
            report,
            state: Mutex::new(state),
            changed: Condvar::new(),
            monitor: Condvar::new(),
            waits: Mutex::default(),
            records: RwLock::default(),
        })
    }

    /// Waits until a task that `push` puts on `target` delivers to `pending`. `caller`: on whose behalf (none: the
    /// application's); it is woken with STOPPING when that generation stops, and refused with it afterwards. On
    /// REENTRANT, BUSY and STOPPING nothing was pushed.
    pub(crate) fn wait_for<T: Send + 'static>(
        self: &Arc<Self>,
        target: &Arc<Lane>,
        turn: Turn,
        caller: Option<Caller>,
        pending: &Arc<Pending<T>>,
        deadline: Instant,
        push: impl FnOnce() -> Result<()>,
    ) -> Result<T> {
        let waiter: Arc<dyn Wake> = pending.clone();
        let generation = caller.map_or(0, |caller| caller.generation);
        let guard = self.begin(target, turn, generation, Some(waiter))?;
        // Not before it can be found by `stop_waits`: one of the two sees the other.
        if caller.is_some_and(|caller| Seat::phase(caller.seat) == Phase::Stopping) {
            return Err(Error::new(
                ErrorKind::Stopping,
                "the plugin is being disabled: it waits for nobody any more",
            ));
        }
        push()?;
        guard.let_another_in();
        pending.wait(deadline)
    }

    /// Begins a wait of this thread for `target` that something else ends; over when the guard is dropped.
    pub(crate) fn begin_wait(self: &Arc<Self>, target: &Arc<Lane>) -> Result<WaitGuard> {
        let guard = self.begin(target, Turn::Queued, 0, None)?;
        guard.let_another_in();
        Ok(guard)
    }

    /// Begins a wait of this thread that no lane ends, and whoever wakes it is its own business; over when the guard is
    /// dropped. BUSY as `wait_for`.
    pub(crate) fn begin_pause(self: &Arc<Self>) -> Result<WaitGuard> {
        let guard = self.give_place_away(None)?;
        guard.let_another_in();
        Ok(guard)
    }

    /// Begins to wait for an answer that a task of `target` is to give, before that task is pushed: who waits for
    /// several answers begins with all of them, and asks for none where one is refused. On behalf of `generation` (0:
    /// of nobody who stops): from here on `stop_waits` ends the wait, so whether that generation is stopping already is
    /// to be asked afterwards. REENTRANT and BUSY as `wait_for`.
    pub(crate) fn await_answer<T: Send + 'static>(
        self: &Arc<Self>,
        target: &Arc<Lane>,
        generation: u64,
    ) -> Result<(Awaited<T>, Promise<T>)> {
        let (pending, promise) = Pending::pair();
        let waiter: Arc<dyn Wake> = pending.clone();
        let guard = self.begin(target, Turn::Queued, generation, Some(waiter))?;
        Ok((Awaited { pending, guard }, promise))
    }

    fn begin(
        self: &Arc<Self>,
        target: &Arc<Lane>,
        turn: Turn,
        generation: u64,
        waiter: Option<Arc<dyn Wake>>,
    ) -> Result<WaitGuard> {
        let wait = self.waits.lock().begin(current_call(), target, turn, generation, waiter)?;
        self.give_place_away(Some(wait))
    }

    fn give_place_away(self: &Arc<Self>, wait: Option<u64>) -> Result<WaitGuard> {
        let mut guard = WaitGuard { pool: self.clone(), wait, worker: None };
        // Threads that are no workers of this pool just wait.
        if let Some(worker) = current_worker(self.id) {
            let mut state = self.state.lock();
            if !state.may_wait(worker, self.options.most / 2) {
                drop(state);
                return Err(Error::new(
                    ErrorKind::Busy,
                    "too many calls of plugins wait inside the host already: try again later",
                ));
            }
            state.change(worker, |member| member.waits += 1);
            guard.worker = Some(worker);
        }
        Ok(guard)
    }

    /// Wakes everybody who waits on behalf of a generation with STOPPING.
    pub(crate) fn stop_waits(&self, generation: u64) {
        let waiters = self.waits.lock().of_generation(generation);
        for waiter in waiters {
            waiter.wake(ErrorKind::Stopping);
        }
    }

    /// The worker with this number, while it lives.
    pub(crate) fn worker(&self, number: u32) -> Option<Arc<Worker>> {
        self.records.read().get(&number).cloned()
    }

    /// The worker that this thread is, if it is one of this pool in a call.
    pub(crate) fn running_worker(&self) -> Option<Arc<Worker>> {
        self.worker(current_worker(self.id)?)
    }

    /// Ends the workers that have run a generation (fresh ones take their place on demand) and then closes its
    /// library. Returns at once. The generation has ended: nobody begins to run it any more.
    pub(crate) fn retire(self: &Arc<Self>, retired: Retired) {
        let mut state = self.state.lock();
        let left = state.let_go(retired.generation, retired.join);
        state.retiring.push(Retiring { left, close: Some(retired.close) });
        self.start_closer(&mut state);
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        let count =
            |which: fn(&Member) -> bool| state.workers.values().filter(|member| which(member)).count();
        PoolStats {
            workers: state.workers.len(),
            idle: count(|member| member.idle),
            waiting: count(|member| member.waits > 0),
            stuck: count(|member| member.overdue),
            retired: state.retiring.len(),
        }
    }

    /// Waits until no generation is left to be closed, or until `deadline`; says which it was.
    pub(crate) fn settle(&self, deadline: Instant) -> bool {
        self.wait_until(deadline, |state| state.retiring.is_empty())
    }

    /// Waits until nothing runs, waits or is ready, or until `deadline`; says which it was.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        self.wait_until(deadline, |state| {
            state.ready.is_empty() && state.workers.values().all(|member| member.idle)
        })
    }

    fn wait_until(&self, deadline: Instant, reached: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state.lock();
        while !reached(&state) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return reached(&state);
            }
        }
        true
    }

    /// Ends all workers; what is queued still is not run. Those that have not ended by `deadline` are left behind,
    /// and what they run is named.
    pub(crate) fn shut_down(self: &Arc<Self>, deadline: Instant) -> Vec<String> {
        let mut state = self.state.lock();
        state.closing = true;
        for member in state.workers.values() {
            member.record.woken.notify_one();
        }
        self.monitor.notify_one();
        let over = |state: &State| state.workers.is_empty() && state.retiring.is_empty() && !state.closer;
        while !over(&state) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let records: Vec<_> = state.workers.values().map(|member| member.record.clone()).collect();
        let ending = state.ending.len();
        let mut helpers = vec![state.monitor.take()];
        if !state.closer {
            helpers.push(state.closer_thread.take());
        }
        drop(state);
        for helper in helpers.into_iter().flatten() {
            // It has left its loop, or does so at once.
            let _ = helper.join();
        }
        let mut left: Vec<_> = records.iter().filter_map(|record| record.describe()).collect();
        if ending > 0 {
            // Destructors that plugins left on them, most likely.
            left.push(format!("{ending} workers that were told to end and have not ended yet"));
        }
        left
    }
}

/// A wait that is under way.
pub(crate) struct WaitGuard {
    pool: Arc<Pool>,
    /// None: no lane ends it.
    wait: Option<u64>,
    /// The worker whose place it gives to another.
    worker: Option<u32>,
}

impl WaitGuard {
    /// The worker of this wait does not get on: another one takes what is ready.
    fn let_another_in(&self) {
        if self.worker.is_some() {
            let mut state = self.pool.state.lock();
            if !state.ready.is_empty() && state.active < self.pool.options.workers {
                self.pool.wake(&mut state, None);
            }
        }
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        if let Some(worker) = self.worker {
            self.pool.state.lock().change(worker, |member| member.waits -= 1);
        }
        if let Some(wait) = self.wait {
            self.pool.waits.lock().end(wait);
        }
    }
}

/// An answer that a call waits for, perhaps with others. Whoever lets go of it waits no longer: what has not begun
/// then does not begin.
pub(crate) struct Awaited<T> {
    pending: Arc<Pending<T>>,
    guard: WaitGuard,
}

impl<T> Awaited<T> {
    /// All tasks have been pushed and the thread is about to sleep: another worker takes its place. Once is enough for
    /// all that it waits for.
    pub(crate) fn let_another_in(&self) {
        self.guard.let_another_in();
    }

    /// Waits for the answer until `deadline`, then gives up with TIMEOUT. Several that have one deadline can be waited
    /// for one after the other: what came meanwhile is there at once.
    pub(crate) fn wait(&self, deadline: Instant) -> Result<T> {
        self.pending.wait(deadline)
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        self.pending.give_up(ErrorKind::Cancelled);
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests;
