//! The monitor of a pool: finds calls that are past their deadline, and wakes more workers where those at work do
//! not get on. It ticks only while there is something to watch.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Acquire},
    thread,
    time::{Duration, Instant},
};

use super::{
    lane::Lane,
    pool::{Pool, State},
};

/// How often it looks while lanes are ready and nobody has taken them.
const BUSY_TICK: Duration = Duration::from_millis(1);
/// How often it looks while something runs.
const CALM_TICK: Duration = Duration::from_millis(5);
/// After how many ticks without anything to watch it goes to sleep.
const PATIENCE: u32 = 20;

/// What it remembers of a worker: the step that it was last seen at, and since when.
type Seen = HashMap<u32, (u64, Instant)>;

/// Starts the monitor of a pool. It ends with the pool's last worker after the pool began to close.
pub(super) fn start(pool: &Arc<Pool>) {
    let pool = pool.clone();
    let started = thread::Builder::new().name("pintle-monitor".into()).spawn(move || watch(&pool));
    // Without it deadlines are not seen; whoever cannot start one more thread has worse to mend.
    drop(started);
}

fn watch(pool: &Arc<Pool>) {
    let mut seen = Seen::new();
    let mut calm = 0;
    let mut progress = 0;
    let mut state = pool.state.lock();
    while !(state.closing && state.workers.is_empty()) {
        if state.active == 0 && state.ready.is_empty() && state.idle.len() == state.workers.len() {
            calm += 1;
        } else {
            calm = 0;
        }
        if calm > PATIENCE || state.closing {
            seen.clear();
            state.monitor_asleep = true;
            // Those that hang at the end are left behind, and nothing is left to watch.
            if state.closing {
                return;
            }
            pool.monitor.wait(&mut state);
            state.monitor_asleep = false;
            calm = 0;
            continue;
        }
        let tick = if state.ready.is_empty() { CALM_TICK } else { BUSY_TICK };
        pool.monitor.wait_for(&mut state, tick);
        let steps = state.workers.values().map(|member| member.record.steps.load(Acquire)).sum();
        relieve(pool, &mut state, steps == progress);
        progress = steps;
        let overdue = find_overdue(&mut state, &mut seen);
        if !overdue.is_empty() {
            relieve(pool, &mut state, true);
            drop(state);
            for (lane, task, after) in overdue {
                pool.report.stuck(&lane, &task, after);
            }
            state = pool.state.lock();
        }
    }
}

/// Lanes are ready: wakes or makes a worker if there are fewer than usual, or if those at work do not get on.
fn relieve(pool: &Arc<Pool>, state: &mut State, no_progress: bool) {
    if !state.ready.is_empty() && (state.active < pool.options.workers || no_progress) {
        pool.wake(state, None);
    }
}

/// Marks calls that have been running for longer than they may, and gives their workers' places away.
fn find_overdue(state: &mut State, seen: &mut Seen) -> Vec<(Arc<Lane>, String, Duration)> {
    let now = Instant::now();
    let mut overdue = Vec::new();
    seen.retain(|number, _| state.workers.contains_key(number));
    for (number, member) in &state.workers {
        let steps = member.record.steps.load(Acquire);
        let (last, since) = seen.entry(*number).or_insert((steps, now));
        if *last != steps {
            (*last, *since) = (steps, now);
        }
        if steps % 2 == 1 {
            let after = now - *since;
            if let Some((lane, task)) = member.record.overdue_after(steps, after) {
                overdue.push((*number, lane, task, after));
            }
        }
    }
    overdue
        .into_iter()
        .map(|(number, lane, task, after)| {
            state.change(number, |member| member.set_overdue());
            (lane, task, after)
        })
        .collect()
}
