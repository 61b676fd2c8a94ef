//! The hand-over: which worker takes which lane, who is woken for it, and who ends.
//!
//! One worker serves many lanes without others being woken. More are woken while there is a backlog, when one gives
//! its place away, and by the monitor where those at work do not get on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::*},
};

use super::{
    closer::{Ending, Retiring},
    lane::{Lane, Task},
    monitor,
    pool::{Pool, panic_text},
    sync::{Builder, JoinHandle},
    worker::{Ended, Run, Worker, as_call_of},
};
use crate::identity::Slot;

/// How many tasks of a lane a worker runs before it looks for another lane.
const BATCH: usize = 64;
/// How many lanes may be ready for each worker at work before another is woken.
const BACKLOG: usize = 8;

/// What is under the pool's lock.
#[derive(Default)]
pub(super) struct State {
    /// Lanes that have a task to begin, each once.
    pub(super) ready: VecDeque<Arc<Lane>>,
    pub(super) workers: HashMap<u32, Member>,
    /// The last to become idle is the first to be woken.
    pub(super) idle: Vec<u32>,
    /// Workers that run something, or look for it, and neither wait nor are overdue.
    pub(super) active: usize,
    pub(super) last_number: u32,
    /// Threads that have left `workers` and have not been joined.
    pub(super) ending: HashMap<u32, Ending>,
    pub(super) retiring: Vec<Retiring>,
    /// A thread is joining workers and closing libraries.
    pub(super) closer: bool,
    pub(super) closer_thread: Option<JoinHandle<()>>,
    pub(super) closing: bool,
    /// Somebody looks after the workers.
    pub(super) watched: bool,
    pub(super) monitor: Option<JoinHandle<()>>,
    pub(super) monitor_asleep: bool,
}

/// A worker as the pool sees it.
pub(super) struct Member {
    pub(super) record: Arc<Worker>,
    thread: JoinHandle<()>,
    pub(super) idle: bool,
    /// In how many ways its call waits inside the host: a publisher can wait for several queues at once.
    pub(super) waits: u32,
    pub(super) overdue: bool,
    /// Its call has been running for long: another worker runs in its place until it returns.
    pub(super) held: bool,
    leaving: bool,
}

impl Pool {
    /// A lane has become ready: somebody takes it soon.
    pub(super) fn ready(self: &Arc<Self>, lane: &Arc<Lane>) {
        let mut state = self.state.lock();
        state.ready.push_back(lane.clone());
        if !state.watched && !state.closing {
            state.monitor = monitor::start(self);
            state.watched = state.monitor.is_some();
        } else if state.monitor_asleep {
            self.monitor.notify_one();
        }
        // With nobody at work, one lane is a backlog.
        let backlog = state.ready.len() > BACKLOG * state.active && state.active < self.options.workers;
        // With nobody to notice that those at work do not get on, nobody is relied on.
        if backlog || !state.watched {
            self.wake(&mut state, Some(lane.last_worker.load(Relaxed)));
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
        let record = Arc::new(Worker::new(number, self.id));
        let (pool, mine) = (self.clone(), record.clone());
        let thread = Builder::new().name(format!("pintle-{number}")).spawn(move || pool.work(&mine, slot));
        let Ok(thread) = thread else { return };
        self.records.write().insert(number, record.clone());
        let member =
            Member { record, thread, idle: false, waits: 0, overdue: false, held: false, leaving: false };
        state.workers.insert(number, member);
        state.active += 1;
    }

    /// A worker's life.
    fn work(self: &Arc<Self>, me: &Arc<Worker>, mut slot: Slot) {
        let mut noted = Vec::new();
        while let Some(lane) = self.next(me) {
            lane.last_worker.store(me.number, Relaxed);
            let mut from_ready = true;
            let mut ran = 0;
            while ran < BATCH
                && let Some((task, times)) = lane.begin(from_ready)
            {
                from_ready = false;
                ran += self.run(me, &lane, &task, times, &mut Run::new(me, &mut slot, &mut noted));
                if me.leaving.load(Acquire) {
                    break;
                }
            }
            lane.leave();
        }
    }

    /// Runs a task up to so many times; says how often it ran.
    fn run(
        self: &Arc<Self>,
        me: &Arc<Worker>,
        lane: &Arc<Lane>,
        task: &Arc<dyn Task>,
        times: usize,
        run: &mut Run<'_>,
    ) -> usize {
        me.set_task(lane, task);
        let outcome = as_call_of(me, lane, || catch_unwind(AssertUnwindSafe(|| task.run_times(run, times))));
        let ran = outcome.as_ref().map_or(1, |ran| *ran);
        if times > 1 {
            lane.give_back(task, times - ran);
        }
        let Ended { overdue, held } = me.clear_task();
        if overdue || held {
            let mut state = self.state.lock();
            state.change(me.number, |member| (member.overdue, member.held) = (false, false));
            // It goes on with its lane without anybody else being told.
            if state.monitor_asleep {
                self.monitor.notify_one();
            }
        }
        lane.end(overdue);
        if overdue {
            self.report.resumed(lane, &task.describe());
        }
        if let Err(panic) = outcome {
            drop(run.leave());
            self.report.failed(&task.describe(), panic_text(&*panic));
        }
        ran
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
            let spare = state.idle.len() >= self.options.workers;
            if spare && self.options.spare.is_zero() {
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
                if !spare {
                    me.woken.wait(&mut state);
                } else if me.woken.wait_for(&mut state, self.options.spare).timed_out()
                    && state.workers.get(&me.number).is_some_and(|member| member.idle && !member.leaving)
                {
                    state.idle.retain(|idle| *idle != me.number);
                    state.change(me.number, |member| member.idle = false);
                    self.end(&mut state, me.number);
                    return None;
                }
            }
            if state.workers.get(&me.number).is_some_and(|member| member.idle) {
                state.idle.retain(|idle| *idle != me.number);
                state.change(me.number, |member| member.idle = false);
            }
        }
    }

    /// This worker's thread is about to end: somebody else joins it.
    fn end(self: &Arc<Self>, state: &mut State, number: u32) {
        self.records.write().remove(&number);
        if let Some(member) = state.workers.remove(&number) {
            state.active -= usize::from(member.is_active());
            state.ending.insert(number, Ending { record: member.record, thread: Some(member.thread) });
        }
        if !state.ready.is_empty() && state.active == 0 {
            self.wake(state, None);
        }
        self.start_closer(state);
        self.changed.notify_all();
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

    /// What must hold whenever the lock can be had.
    #[cfg(any(test, pintle_model))]
    pub(super) fn audit(&self) {
        assert_eq!(self.active, self.workers.values().filter(|member| member.is_active()).count(), "active");
        let idle = self.workers.values().filter(|member| member.idle && !member.leaving).count();
        assert_eq!(self.idle.len(), idle, "those who are idle");
        let ready: HashSet<u64> = self.ready.iter().map(|lane| lane.id()).collect();
        assert_eq!(ready.len(), self.ready.len(), "a lane is ready once");
    }

    /// Whether a worker may wait, where `most` may: one more way of waiting is free.
    pub(super) fn may_wait(&self, number: u32, most: usize) -> bool {
        self.workers.get(&number).is_some_and(|member| member.waits > 0)
            || self.workers.values().filter(|member| member.waits > 0).count() < most
    }

    /// A generation is over: forgets it, and with `join` tells the threads that have run it to end. Says which those
    /// are, with those that are ending already.
    pub(super) fn let_go(&mut self, generation: u64, join: bool) -> HashSet<u32> {
        let mut left = HashSet::new();
        for (number, ending) in &self.ending {
            if ending.record.forget(generation) && join {
                left.insert(*number);
            }
        }
        for (number, member) in &mut self.workers {
            if member.record.forget(generation) && join {
                // One that is idle is woken to end, and for nothing else.
                self.idle.retain(|idle| idle != number);
                member.leaving = true;
                member.record.leaving.store(true, Release);
                member.record.woken.notify_one();
                left.insert(*number);
            }
        }
        left
    }
}

impl Member {
    pub(super) fn is_active(&self) -> bool {
        !(self.idle || self.waits > 0 || self.overdue || self.held)
    }
}
