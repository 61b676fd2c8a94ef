//! A job: what is to run, where its next run stands in the timer's queue, and what became of its runs.
//!
//! The timer says when a run is due, the target runs it and says when it has ended; between the two the job
//! keeps runs from overlapping and tells its target, once, that all is over. Talks to [`super::timer`].

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    rule::CalendarRule,
    timer::{Slot, Timer},
};
use crate::error::{Error, ErrorKind, Result};

/// How long a `once` job waits before it knocks again at a target that is busy.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// What a job's runs are given to. `plugin` implements it with the plugin's lane.
pub(crate) trait Run: Send + Sync {
    /// A run is due: see that it happens soon, and call [`Job::finished`] when it has ended, whatever became of it.
    ///
    /// Called on the timer's thread, with no lock held; it must not wait. `due_ms` is when it was due, never later
    /// than now. Not called again for this job before [`Job::finished`]; until then the job exists, whoever holds it.
    ///
    /// # Errors
    ///
    /// The run does not take place, and [`Job::finished`] is not called. It is counted as skipped, and the job
    /// keeps its schedule; a `once` job tries again a second later after BUSY, and is over after any other error.
    fn due(&self, job: &Arc<Job>, due_ms: i64) -> Result<()>;

    /// The job is over and no run of it is under way: what was kept for it can be released. Called exactly once for
    /// each job, with no lock held, on the thread that ended it or its last run.
    fn over(&self, job: &Arc<Job>) {
        let _ = job;
    }
}

/// What happens when a run is due while the last one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Overlap {
    /// It is skipped and counted.
    #[default]
    Skip,
    /// At most one is kept and follows the other at once; more are skipped and counted.
    Queue,
}

/// A job of the scheduler; the handle that its owner keeps.
pub(crate) struct Job {
    owner: u64,
    tenant: Option<Arc<str>>,
    name: Arc<str>,
    overlap: Overlap,
    pub(super) plan: Plan,
    target: Arc<dyn Run>,
    timer: Weak<Timer>,
    state: Mutex<JobState>,
}

/// When a job is to run.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Calendar(Arc<CalendarRule>),
    Every(Duration),
    Once(Duration),
}

#[derive(Debug, Default)]
struct JobState {
    live: bool,
    over: bool,
    /// A run was handed to the target and has not ended. Until then the job keeps itself, so that a target that
    /// holds no reference finds it there, and is told that it is over even after it was removed or replaced.
    under_way: Option<Arc<Job>>,
    /// A run that follows the one under way.
    waiting: Option<i64>,
    /// A `once` job's run was handed to the target.
    spent: bool,
    /// Where the next run stands in the timer's queue.
    slot: Option<Slot>,
    /// Since when it counts: the last due time, or when the job became live.
    last_due: Option<Due>,
    last_ms: Option<i64>,
    runs: u64,
    failed: u64,
    skipped: u64,
    last_error: Option<Error>,
}

/// When a run is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// By the wall clock, in milliseconds since 1970.
    Wall(i64),
    /// By the monotonic clock.
    Beat(Duration),
}

/// The two clocks, read together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall_ms: i64,
    pub(super) monotonic: Duration,
}

/// What is known of a job at one moment.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// Whose it is.
    pub owner: u64,
    /// On whose behalf it runs.
    pub tenant: Option<Arc<str>>,
    /// Its name, unique in (owner, tenant).
    pub name: Arc<str>,
    /// When it runs, in words: the rule and its zone, or the span.
    pub when: String,
    /// Whether it runs at all now.
    pub live: bool,
    /// Whether a run has been handed over and has not ended.
    pub running: bool,
    /// When the next run is due, in milliseconds since 1970; as far as can be told now.
    pub next_ms: Option<i64>,
    /// When the last run that was handed over was due.
    pub last_ms: Option<i64>,
    /// Runs that were handed over.
    pub runs: u64,
    /// Runs that ended with an error, or whose hand-over panicked.
    pub failed: u64,
    /// Runs that did not take place because the last one had not ended or the target refused, and beats of an
    /// interval that passed while the machine was busy.
    pub skipped: u64,
    /// The last failure or refusal.
    pub last_error: Option<Error>,
}

impl Job {
    pub(super) fn new(
        request: super::JobRequest,
        plan: Plan,
        target: Arc<dyn Run>,
        timer: Weak<Timer>,
    ) -> Arc<Self> {
        let super::JobRequest { owner, tenant, name, overlap, live } = request;
        let state = Mutex::new(JobState { live, ..JobState::default() });
        Arc::new(Self { owner, tenant, name, overlap, plan, target, timer, state })
    }

    /// Whose it is, as given in the request.
    #[must_use]
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    /// On whose behalf it runs.
    #[must_use]
    pub(crate) fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// Its name, unique in (owner, tenant).
    #[must_use]
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it was removed or replaced, or its only run has ended: its handle is stale. A run that was handed
    /// over before and has not started need not start.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// The run that [`Run::due`] was told of has ended, with a failure or without, or will not take place.
    pub(crate) fn finished(self: &Arc<Self>, result: Result<()>) {
        let mut state = self.state.lock();
        if state.under_way.take().is_none() {
            return;
        }
        if let Err(error) = result {
            state.failed += 1;
            state.last_error = Some(error);
        }
        self.go_on(state);
    }

    /// When the next run is due, counting from `now` or the last one; none if none is to be awaited.
    pub(super) fn next_due(&self, now: Now) -> Option<Due> {
        let last = {
            let state = self.state.lock();
            if !state.live || state.over || state.spent {
                return None;
            }
            state.last_due
        };
        match (&self.plan, last) {
            (Plan::Calendar(rule), Some(Due::Wall(last))) => {
                // A run that is due at this very moment is not one that was missed.
                rule.next(last.max(now.wall_ms - 1)).map(Due::Wall)
            }
            (Plan::Calendar(rule), _) => rule.next(now.wall_ms).map(Due::Wall),
            (Plan::Every(every), Some(Due::Beat(last))) => {
                let (next, passed) = next_beat(last, *every, now.monotonic);
                if passed > 0 {
                    self.state.lock().skipped += passed;
                }
                Some(Due::Beat(next))
            }
            (Plan::Every(span) | Plan::Once(span), _) => Some(Due::Beat(now.monotonic + *span)),
        }
    }

    /// Takes its place in the queue, unless it has one or wants none any more.
    pub(super) fn take_slot(&self, slot: Slot) -> bool {
        let mut state = self.state.lock();
        let free = state.live && !state.over && !state.spent && state.slot.is_none();
        if free {
            state.slot = Some(slot);
        }
        free
    }

    /// Gives up its place in the queue, for the timer to take it out.
    pub(super) fn give_slot(&self) -> Option<Slot> {
        self.state.lock().slot.take()
    }

    /// The run in its place in the queue is due now: whether it is to be handed over.
    pub(super) fn fall_due(self: &Arc<Self>, due: Due, due_ms: i64) -> bool {
        let mut state = self.state.lock();
        state.slot = None;
        state.last_due = Some(due);
        if state.under_way.is_some() {
            match self.overlap {
                Overlap::Queue if state.waiting.is_none() => state.waiting = Some(due_ms),
                Overlap::Skip | Overlap::Queue => state.skipped += 1,
            }
            return false;
        }
        state.under_way = Some(Arc::clone(self));
        state.spent = matches!(self.plan, Plan::Once(_));
        true
    }

    /// Hands a run to the target, which [`Job::fall_due`] or [`Job::finished`] made ready.
    pub(super) fn hand_over(self: &Arc<Self>, due_ms: i64, now: Now) {
        if self.is_over() {
            return self.not_taken(None, now);
        }
        let hand = std::panic::AssertUnwindSafe(|| self.target.due(self, due_ms));
        match std::panic::catch_unwind(hand) {
            Ok(Ok(())) => {
                let mut state = self.state.lock();
                state.runs += 1;
                state.last_ms = Some(due_ms);
            }
            Ok(Err(error)) => self.not_taken(Some(error), now),
            Err(_) => {
                let text = format!("job \"{}\": handing over a run panicked", self.name);
                self.finished(Err(Error::new(ErrorKind::Panic, text)));
            }
        }
    }

    /// Makes it live or not; true if that was a change.
    pub(super) fn set_live(&self, live: bool) -> bool {
        let mut state = self.state.lock();
        if state.over || state.live == live {
            return false;
        }
        state.live = live;
        state.waiting = None;
        // Spans count from now; a calendar run is never repeated, whatever the clock was set to meanwhile.
        if matches!(state.last_due, Some(Due::Beat(_))) {
            state.last_due = None;
        }
        true
    }

    /// Ends it. False if it was over already.
    pub(super) fn end(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if state.over {
            return false;
        }
        state.over = true;
        state.waiting = None;
        if state.under_way.is_none() {
            drop(state);
            self.tell_over();
        }
        true
    }

    pub(super) fn info(&self, now: Now) -> JobInfo {
        let state = self.state.lock();
        let next_ms = state.slot.map(|slot| slot.due.as_wall_ms(now));
        JobInfo {
            owner: self.owner,
            tenant: self.tenant.clone(),
            name: Arc::clone(&self.name),
            when: self.plan.to_string(),
            live: state.live,
            running: state.under_way.is_some(),
            next_ms,
            last_ms: state.last_ms,
            runs: state.runs,
            failed: state.failed,
            skipped: state.skipped,
            last_error: state.last_error.clone(),
        }
    }

    /// The target did not take the run, or was not asked.
    fn not_taken(self: &Arc<Self>, error: Option<Error>, now: Now) {
        let mut state = self.state.lock();
        if state.under_way.take().is_none() {
            return;
        }
        let mut again = false;
        if let Some(error) = error {
            again = state.spent && error.kind() == ErrorKind::Busy && !state.over;
            state.skipped += 1;
            state.last_error = Some(error);
        }
        if !again {
            return self.go_on(state);
        }
        state.spent = false;
        drop(state);
        if let Some(timer) = self.timer.upgrade() {
            timer.insert(self, Due::Beat(now.monotonic + KNOCK_AGAIN));
        }
    }

    /// No run is under way any more: what now?
    fn go_on(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, JobState>) {
        if state.over {
            drop(state);
            return self.tell_over();
        }
        if state.spent {
            drop(state);
            if let Some(timer) = self.timer.upgrade() {
                timer.remove(self);
            } else {
                self.end();
            }
            return;
        }
        if let Some(due_ms) = state.waiting.take() {
            state.under_way = Some(Arc::clone(self));
            drop(state);
            // Runs are handed over on the timer's thread only.
            let taken = self.timer.upgrade().is_some_and(|timer| timer.follow(self, due_ms));
            if !taken {
                let mut state = self.state.lock();
                state.under_way = None;
                state.skipped += 1;
                self.go_on(state);
            }
        }
    }

    fn tell_over(self: &Arc<Self>) {
        // Caught, because it may be the timer's thread; the hook has reported it, and nothing is left to be done.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.target.over(self)));
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("owner", &self.owner)
            .field("tenant", &self.tenant)
            .field("name", &self.name)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(rule) => write!(f, "{} ({})", rule.text(), rule.zone()),
            Self::Every(every) => write!(f, "every {every:?}"),
            Self::Once(delay) => write!(f, "once after {delay:?}"),
        }
    }
}

impl Due {
    /// When that is, or was, by the wall clock. For a beat in the past never later than now.
    pub(super) fn as_wall_ms(self, now: Now) -> i64 {
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match self {
            Self::Wall(at) => at,
            Self::Beat(at) if at > now.monotonic => now.wall_ms.saturating_add(ms(at - now.monotonic)),
            Self::Beat(at) => now.wall_ms.saturating_sub(ms(now.monotonic - at)),
        }
    }
}

/// The beat after `last` that is not in the past, and how many passed meanwhile.
fn next_beat(last: Duration, every: Duration, now: Duration) -> (Duration, u64) {
    let next = last + every;
    if next >= now {
        return (next, 0);
    }
    let passed = (now - next).as_nanos().div_ceil(every.as_nanos());
    let passed = u64::try_from(passed).unwrap_or(u64::MAX);
    let behind = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).saturating_mul(passed);
    (next + Duration::from_nanos(behind), passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_beat_is_on_the_beat_and_not_in_the_past() {
        let ms = Duration::from_millis;
        // last, every, now, next, passed
        let cases = [
            (0, 10, 0, 10, 0),
            (0, 10, 9, 10, 0),
            (0, 10, 10, 10, 0),
            (0, 10, 11, 20, 1),
            (0, 10, 20, 20, 1),
            (0, 10, 35, 40, 3),
            (7, 10, 1_000_000, 1_000_007, 99_999),
        ];
        for (last, every, now, next, passed) in cases {
            assert_eq!(next_beat(ms(last), ms(every), ms(now)), (ms(next), passed), "{last} {every} {now}");
        }
    }
}
