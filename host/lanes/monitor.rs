//! The monitor of a pool: finds calls that are past their deadline, and wakes more workers where those at work do
//! not get on. It looks often only while something changes, and not at all while there is nothing to watch.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Acquire},
    time::{Duration, Instant},
};

use super::{
    handover::State,
    lane::{Lane, Task},
    pool::Pool,
    sync::{Builder, JoinHandle},
};

/// How soon it looks again while lanes are ready and nobody has taken them.
const BUSY_TICK: Duration = Duration::from_millis(1);
/// How soon it looks again while workers get on.
const CALM_TICK: Duration = Duration::from_millis(5);
/// How soon it looks again while nothing gets on and nothing is ready: a long call. It is woken if a lane gets ready.
const LONG_TICK: Duration = Duration::from_millis(250);
/// After how many looks at the same picture it takes its time.
const PATIENCE: u32 = 4;
/// A call that has been running for so long holds its worker: another may run in its place.
const LONG: Duration = Duration::from_millis(10);

/// What it remembers from look to look.
#[derive(Default)]
pub(crate) struct Monitor {
    seen: HashMap<u32, Seen>,
    /// Looks since something changed.
    quiet: u32,
    /// Lanes were ready at the last look.
    were_ready: bool,
}

/// The step that a worker was last seen at, and since when.
struct Seen {
    steps: u64,
    since: Instant,
}

/// What a look has found.
pub(super) struct Look {
    /// Calls that are past their deadline since this look.
    pub(super) overdue: Vec<Overdue>,
    pub(super) next: Next,
}

/// A call that is past its deadline.
pub(super) struct Overdue {
    pub(super) lane: Arc<Lane>,
    pub(super) task: Arc<dyn Task>,
    pub(super) after: Duration,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// After so long.
    After(Duration),
    /// After so long, or when a lane gets ready.
    Woken(Duration),
    /// When a lane gets ready.
    Never,
}

/// Starts the monitor of a pool; it ends when the pool closes. None if no thread can be had.
pub(super) fn start(pool: &Arc<Pool>) -> Option<JoinHandle<()>> {
    let pool = pool.clone();
    Builder::new().name("pintle-monitor".into()).spawn(move || watch(&pool)).ok()
}

fn watch(pool: &Arc<Pool>) {
    let mut monitor = Monitor::default();
    let mut next = Next::After(BUSY_TICK);
    let mut state = pool.state.lock();
    while !state.closing {
        state.monitor_asleep = !matches!(next, Next::After(_));
        match next {
            Next::After(span) | Next::Woken(span) => {
                pool.monitor.wait_for(&mut state, span);
            }
            Next::Never => pool.monitor.wait(&mut state),
        }
        if state.monitor_asleep && !state.closing && !state.ready.is_empty() {
            // Whoever has just been woken for the lane needs a moment to take it.
            state.monitor_asleep = false;
            pool.monitor.wait_for(&mut state, BUSY_TICK);
        }
        state.monitor_asleep = false;
        let look = monitor.look(pool, &mut state, Instant::now());
        next = look.next;
        if !look.overdue.is_empty() {
            drop(state);
            look.tell(pool);
            state = pool.state.lock();
            // Meanwhile calls may have returned and others begun, and nobody wakes a monitor that is awake.
            next = Next::After(BUSY_TICK);
        }
    }
}

impl Monitor {
    /// Looks once.
    pub(super) fn look(&mut self, pool: &Arc<Pool>, state: &mut State, now: Instant) -> Look {
        let (mut progress, mut coming) = (false, 0);
        let (mut overdue, mut long, mut nearest) = (Vec::new(), Vec::new(), None::<Duration>);
        self.seen.retain(|number, _| state.workers.contains_key(number));
        for (number, member) in &state.workers {
            let steps = member.record.steps.load(Acquire);
            let seen = self.seen.entry(*number).or_insert(Seen { steps: u64::MAX, since: now });
            if seen.steps != steps {
                *seen = Seen { steps, since: now };
                progress = true;
            }
            let running = steps % 2 == 1;
            if !running || member.overdue {
                coming += usize::from(member.is_active());
                continue;
            }
            let after = now.saturating_duration_since(seen.since);
            match member.record.look(steps, after) {
                Some((lane, task)) => overdue.push((*number, Overdue { lane, task, after })),
                None => {
                    let left = member.record.left(after);
                    nearest = Some(nearest.map_or(left, |nearest| nearest.min(left)));
                    if after >= LONG && !member.held && member.record.hold(steps) {
                        long.push(*number);
                    }
                }
            }
        }
        let overdue: Vec<_> = overdue
            .into_iter()
            .map(|(number, overdue)| {
                state.change(number, |member| member.overdue = true);
                overdue
            })
            .collect();
        for number in long {
            state.change(number, |member| member.held = true);
        }
        let waits = self.were_ready && (state.active < pool.options.workers || !progress);
        // Whoever has been woken, or has just ended a task, is about to take a lane.
        if state.ready.len() > coming && (waits || !overdue.is_empty()) {
            pool.wake(state, None);
        }
        self.were_ready = !state.ready.is_empty();
        self.quiet = if progress || self.were_ready { 0 } else { self.quiet.saturating_add(1) };
        Look { overdue, next: self.next(state, nearest) }
    }

    /// `nearest`: how long until the first call is past its deadline, of those that run and are not yet.
    fn next(&self, state: &State, nearest: Option<Duration>) -> Next {
        if self.were_ready {
            return Next::After(BUSY_TICK);
        }
        if self.quiet < PATIENCE {
            return Next::After(nearest.map_or(CALM_TICK, |nearest| nearest.clamp(BUSY_TICK, CALM_TICK)));
        }
        match nearest {
            Some(nearest) => Next::Woken(nearest.clamp(BUSY_TICK, LONG_TICK)),
            // Those that are past their deadline are told of when they return.
            None if state.active == 0 => Next::Never,
            None => Next::After(CALM_TICK),
        }
    }
}

#[cfg(any(test, pintle_model))]
impl Pool {
    /// Looks once at a time of the caller's choice, in place of the monitor's thread; gives what that found.
    pub(crate) fn look(self: &Arc<Self>, monitor: &mut Monitor, now: Instant) -> Next {
        let look = monitor.look(self, &mut self.state.lock(), now);
        let next = look.next;
        look.tell(self);
        next
    }
}

impl Look {
    /// Tells the host what was found. Without any lock held.
    pub(super) fn tell(self, pool: &Pool) {
        for Overdue { lane, task, after } in self.overdue {
            pool.report.stuck(&lane, &task.describe(), after);
        }
    }
}
