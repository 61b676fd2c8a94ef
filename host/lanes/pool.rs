//! The workers of a host: who runs which lane, who waits, who must end before a library can be closed.
//!
//! Lock order: waits, then pool, then a worker's task, then a lane. No lock is held while a task runs.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::*},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use super::{
    lane::{Lane, Task},
    monitor,
    pending::{Pending, Wake},
    sync::{Condvar, Mutex, MutexGuard},
    waits::Waits,
    worker::{Run, Worker, as_call_of, current_lane, current_worker},
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::Slot,
};

/// How many tasks of a lane a worker runs before it looks for another lane.
const BATCH: usize = 64;

/// How a pool is to be.
#[derive(Clone, Debug)]
pub(crate) struct PoolOptions {
    /// How many workers run at once while all of them get on.
    pub(crate) workers: usize,
    /// How many threads there may be, with those that wait or hang.
    pub(crate) most: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        Self { workers: cores.max(2), most: 256 }
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
pub struct PoolStats {
    /// Threads.
    pub workers: usize,
    /// Threads without work.
    pub idle: usize,
    /// Threads whose call waits inside the host.
    pub waiting: usize,
    /// Threads whose call is past its deadline.
    pub stuck: usize,
    /// Generations whose library is not closed yet, because a thread that ran it has not ended.
    pub retired: usize,
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

/// The workers of a host.
pub(crate) struct Pool {
    pub(super) options: PoolOptions,
    pub(super) report: Arc<dyn Report>,
    pub(super) state: Mutex<State>,
    /// Signalled when a worker ends, a library is closed, or the monitor has something to do.
    pub(super) changed: Condvar,
    pub(super) monitor: Condvar,
    waits: Mutex<Waits>,
    /// The workers again, for those who only ask one about its call.
    records: RwLock<HashMap<u32, Arc<Worker>>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) ready: VecDeque<Arc<Lane>>,
    pub(super) workers: HashMap<u32, Member>,
    /// The last to become idle is the first to be woken.
    pub(super) idle: Vec<u32>,
    /// Workers that run something, or look for it, and neither wait nor are overdue.
    pub(super) active: usize,
    last_number: u32,
    ended: Vec<JoinHandle<u32>>,
    retiring: Vec<Retiring>,
    /// A thread is joining workers and closing libraries.
    closer: bool,
    pub(super) closing: bool,
    pub(super) monitor_started: bool,
    pub(super) monitor_asleep: bool,
}

/// A worker as the pool sees it.
pub(super) struct Member {
    pub(super) record: Arc<Worker>,
    thread: Option<JoinHandle<u32>>,
    idle: bool,
    waiting: bool,
    overdue: bool,
    leaving: bool,
}

struct Retiring {
    left: HashSet<u32>,
    close: Option<Box<dyn FnOnce() + Send>>,
}

impl Pool {
    pub(crate) fn new(options: PoolOptions, report: Arc<dyn Report>) -> Arc<Self> {
        Arc::new(Self {
            options,
            report,
            state: Mutex::default(),
            changed: Condvar::new(),
            monitor: Condvar::new(),
            waits: Mutex::default(),
            records: RwLock::default(),
        })
    }

    /// Waits until a task that `push` puts on `target` delivers to `pending`. `generation` is the waiter's, 0 for
    /// the application: it is woken with STOPPING when that generation stops.
    pub(crate) fn wait_for<T: Send + 'static>(
        self: &Arc<Self>,
        target: &Arc<Lane>,
        generation: u64,
        pending: &Arc<Pending<T>>,
        deadline: Instant,
        push: impl FnOnce() -> Result<()>,
    ) -> Result<T> {
        let waiter: Arc<dyn Wake> = pending.clone();
        let number = self.waits.lock().begin(current_lane(), target, generation, Some(waiter))?;
        let outcome = push().and_then(|()| self.waiting(|| pending.wait(deadline)));
        self.waits.lock().end(number);
        outcome
    }

    /// Begins a wait of this thread for `target` that something else ends; over when the guard is dropped.
    pub(crate) fn begin_wait(self: &Arc<Self>, target: &Arc<Lane>) -> Result<WaitGuard> {
        let wait = self.waits.lock().begin(current_lane(), target, 0, None)?;
        let mut guard = WaitGuard { pool: self.clone(), wait, worker: None };
        guard.worker = self.give_place_away()?;
        Ok(guard)
    }

    /// Wakes everybody who waits on behalf of a generation with STOPPING.
    pub(crate) fn stop_waits(&self, generation: u64) {
        let waiters = self.waits.lock().of_generation(generation);
        for waiter in waiters {
            waiter.wake(ErrorKind::Stopping);
        }
    }

    /// Gives this worker's place to another while `body` waits. Threads that are no workers just wait.
    fn waiting<R>(self: &Arc<Self>, body: impl FnOnce() -> Result<R>) -> Result<R> {
        let worker = self.give_place_away()?;
        let outcome = body();
        self.take_place_back(worker);
        outcome
    }

    fn give_place_away(self: &Arc<Self>) -> Result<Option<u32>> {
        let Some(number) = current_worker() else { return Ok(None) };
        let mut state = self.state.lock();
        if state.workers.values().filter(|member| member.waiting).count() >= self.options.most / 2 {
            return Err(Error::new(
                ErrorKind::Busy,
                "too many calls of plugins wait inside the host already: try again later",
            ));
        }
        state.change(number, |member| member.waiting = true);
        if !state.ready.is_empty() && state.active < self.options.workers {
            self.wake(&mut state, None);
        }
        Ok(Some(number))
    }

    fn take_place_back(&self, worker: Option<u32>) {
        if let Some(number) = worker {
            self.state.lock().change(number, |member| member.waiting = false);
        }
    }

    /// The worker with this number, while it lives.
    pub(crate) fn worker(&self, number: u32) -> Option<Arc<Worker>> {
        self.records.read().get(&number).cloned()
    }

    /// Ends the workers that have run a generation (fresh ones take their place on demand) and then closes its
    /// library. Returns at once.
    pub(crate) fn retire(self: &Arc<Self>, retired: Retired) {
        let mut state = self.state.lock();
        let mut left = HashSet::new();
        if retired.join {
            for (number, member) in &mut state.workers {
                if member.record.has_run(retired.generation) {
                    member.leaving = true;
                    member.record.leaving.store(true, Release);
                    member.record.woken.notify_one();
                    left.insert(*number);
                }
            }
        }
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
            waiting: count(|member| member.waiting),
            stuck: count(|member| member.overdue),
            retired: state.retiring.len(),
        }
    }

    /// Waits until no generation is left to be closed, or until `deadline`; says which it was.
    pub(crate) fn settle(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.retiring.is_empty() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.retiring.is_empty();
            }
        }
        true
    }

    /// Waits until nothing runs, waits or is ready, or until `deadline`; says which it was.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.ready.is_empty() || state.workers.values().any(|member| !member.idle) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    /// Ends all workers. Those that have not ended by `deadline` are left behind, and what they run is named.
    pub(crate) fn shut_down(self: &Arc<Self>, deadline: Instant) -> Vec<String> {
        let mut state = self.state.lock();
        state.closing = true;
        for member in state.workers.values() {
            member.record.woken.notify_one();
        }
        self.monitor.notify_one();
        while !(state.workers.is_empty() && state.retiring.is_empty() && !state.closer) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.workers.values().filter_map(|member| member.record.describe()).collect()
    }

    /// A lane has become ready: somebody takes it soon.
    ///
    /// One worker serves many lanes without others being woken; more are woken while there is a backlog here, and
    /// by the monitor where those at work do not get on.
    pub(super) fn ready(self: &Arc<Self>, lane: &Arc<Lane>) {
        let mut state = self.state.lock();
        state.ready.push_back(lane.clone());
        if state.active == 0 || (state.ready.len() > 8 * state.active && state.active < self.options.workers)
        {
            self.wake(&mut state, Some(lane.last_worker.load(Relaxed)));
        }
        if !state.monitor_started && !state.closing {
            state.monitor_started = true;
            monitor::start(self);
        } else if state.monitor_asleep {
            self.monitor.notify_one();
        }
    }

    /// Wakes an idle worker, `preferred` if it is idle, or makes one.
    pub(super) fn wake(self: &Arc<Self>, state: &mut State, preferred: Option<u32>) {
        let at = preferred.and_then(|number| state.idle.iter().position(|idle| *idle == number));
        let number = match at {
            Some(at) => Some(state.idle.remove(at)),
            None => state.idle.pop(),
        };
        if let Some(number) = number {
            state.change(number, |member| member.idle = false);
            if let Some(member) = state.workers.get(&number) {
                member.record.woken.notify_one();
            }
        } else if state.workers.len() < self.options.most && !state.closing {
            self.spawn(state);
        }
    }

    fn spawn(self: &Arc<Self>, state: &mut State) {
        // Without a slot no context could be opened; the lanes stay ready, and the monitor tries again.
        let Some(slot) = Slot::take() else { return };
        state.last_number += 1;
        let number = state.last_number;
        let record = Arc::new(Worker::new(number));
        let (pool, mine) = (self.clone(), record.clone());
        let thread = thread::Builder::new().name(format!("pintle-{number}")).spawn(move || {
            pool.work(&mine, slot);
            number
        });
        let Ok(thread) = thread else { return };
        self.records.write().insert(number, record.clone());
        let member = Member {
            record,
            thread: Some(thread),
            idle: false,
            waiting: false,
            overdue: false,
            leaving: false,
        };
        state.workers.insert(number, member);
        state.active += 1;
    }

    /// A worker's life.
    fn work(self: &Arc<Self>, me: &Arc<Worker>, mut slot: Slot) {
        let mut noted = Vec::new();
        while let Some(lane) = self.next(me) {
            lane.last_worker.store(me.number, Relaxed);
            let mut from_ready = true;
            for _ in 0..BATCH {
                let Some(task) = lane.begin(from_ready) else { break };
                from_ready = false;
                self.run(me, &lane, &task, &mut Run::new(me, &mut slot, &mut noted));
                if me.leaving.load(Acquire) {
                    break;
                }
            }
            lane.leave();
        }
    }

    fn run(self: &Arc<Self>, me: &Arc<Worker>, lane: &Arc<Lane>, task: &Arc<dyn Task>, run: &mut Run<'_>) {
        me.set_task(lane, task);
        let outcome = as_call_of(me, lane, || catch_unwind(AssertUnwindSafe(|| task.run(run))));
        let overdue = me.clear_task();
        if overdue {
            self.state.lock().change(me.number, |member| member.overdue = false);
        }
        lane.end(overdue);
        if overdue {
            self.report.resumed(lane, &task.describe());
        }
        if let Err(panic) = outcome {
            drop(run.leave());
            self.report.failed(&task.describe(), panic_text(&*panic));
        }
    }

    /// The next lane for this worker; `None` when it is to end.
    fn next(self: &Arc<Self>, me: &Arc<Worker>) -> Option<Arc<Lane>> {
        let mut state = self.state.lock();
        loop {
            let leaving = state.workers.get(&me.number).is_none_or(|member| member.leaving);
            if leaving || state.closing {
                self.end(&mut state, me.number);
                return None;
            }
            if let Some(lane) = state.ready.pop_front() {
                return Some(lane);
            }
            if state.idle.len() >= self.options.workers {
                // More than the usual number had been needed, and no longer are.
                self.end(&mut state, me.number);
                return None;
            }
            state.idle.push(me.number);
            state.change(me.number, |member| member.idle = true);
            if state.active == 0 {
                // For those who wait until nothing is left to do.
                self.changed.notify_all();
            }
            while state.workers.get(&me.number).is_some_and(|member| member.idle && !member.leaving)
                && !state.closing
            {
                me.woken.wait(&mut state);
            }
            let number = me.number;
            if state.workers.get(&number).is_some_and(|member| member.idle) {
                state.idle.retain(|idle| *idle != number);
                state.change(number, |member| member.idle = false);
            }
        }
    }

    /// This worker's thread is about to end: somebody else joins it.
    fn end(self: &Arc<Self>, state: &mut State, number: u32) {
        let leaving_work = {
            state.change(number, |member| member.idle = false);
            self.records.write().remove(&number);
            let member = state.workers.remove(&number);
            state.active -= 1;
            state.ended.extend(member.and_then(|member| member.thread));
            !state.ready.is_empty()
        };
        if leaving_work && state.active == 0 {
            self.wake(state, None);
        }
        self.start_closer(state);
        self.changed.notify_all();
    }

    fn start_closer(self: &Arc<Self>, state: &mut State) {
        if state.closer {
            return;
        }
        let pool = self.clone();
        state.closer =
            thread::Builder::new().name("pintle-closer".into()).spawn(move || pool.join_and_close()).is_ok();
    }

    /// Joins workers that end and closes what has then nobody left that ran it; ends when there is nothing to do.
    fn join_and_close(self: &Arc<Self>) {
        let mut state = self.state.lock();
        loop {
            let ended = std::mem::take(&mut state.ended);
            if !ended.is_empty() {
                let joined: Vec<u32> = MutexGuard::unlocked(&mut state, || {
                    ended.into_iter().filter_map(|t| t.join().ok()).collect()
                });
                for retiring in &mut state.retiring {
                    retiring.left.retain(|number| !joined.contains(number));
                }
            }
            let closable: Vec<_> = state
                .retiring
                .iter_mut()
                .filter(|retiring| retiring.left.is_empty())
                .filter_map(|retiring| retiring.close.take())
                .collect();
            if closable.is_empty() && state.ended.is_empty() {
                state.closer = false;
                self.changed.notify_all();
                return;
            }
            MutexGuard::unlocked(&mut state, || {
                for close in closable {
                    // A library's own destructors run here; a panic of the host's part is no reason to stop.
                    let _ = catch_unwind(AssertUnwindSafe(close));
                }
            });
            state.retiring.retain(|retiring| retiring.close.is_some());
            self.changed.notify_all();
        }
    }
}

/// A wait that is under way.
pub(crate) struct WaitGuard {
    pool: Arc<Pool>,
    wait: u64,
    worker: Option<u32>,
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        self.pool.take_place_back(self.worker);
        self.pool.waits.lock().end(self.wait);
    }
}

impl State {
    /// Changes a member and keeps `active` right.
    pub(super) fn change(&mut self, number: u32, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.workers.get_mut(&number) else { return };
        let before = member.is_active();
        change(member);
        match (before, member.is_active()) {
            (false, true) => self.active += 1,
            (true, false) => self.active -= 1,
            _ => {}
        }
    }
}

impl Member {
    pub(super) fn is_active(&self) -> bool {
        !(self.idle || self.waiting || self.overdue)
    }

    pub(super) fn set_overdue(&mut self) {
        self.overdue = true;
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
