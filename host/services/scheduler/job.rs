//! A job: what is to run and when, where its next run stands in the timer's queue, and what became of its runs.
//!
//! A job that never ran costs nothing but its name, its plan and its place: what there is to know of runs is made with the
//! first of them. Which runs take place when one is due is decided in [`super::overlap`]; the runs are [`super::run`]'s.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    Handler,
    due::{Due, Now, next_beat, span},
    durable::Record,
    names::Named,
    rule::CalendarRule,
    run::{Run, Ticket},
    store::{EndedRun, JobRecord, Keeping},
};
use crate::error::Error;

/// A wall clock that is set back by more than this was wrong before.
const WRONG_MS: i64 = 31 * 86_400_000;

/// What happens when a run is due while the last one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It is skipped and counted.
    #[default]
    Skip,
    /// At most one is kept and follows the other at once; more are skipped and counted.
    Queue,
    /// They stand side by side, at most [`Overlap::MOST`].
    Allow,
}

impl Overlap {
    /// How many runs of one job may stand side by side.
    pub const MOST: u32 = 100;
}

/// A job of the scheduler; the handle that its owner keeps.
pub(crate) struct Job {
    owner: u64,
    plugin: Arc<str>,
    tenant: Option<Arc<str>>,
    name: Arc<str>,
    pub(super) plan: Plan,
    extra: Option<Arc<Extra>>,
    pub(super) state: Mutex<JobState>,
}

/// When a job is to run.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Calendar(Arc<CalendarRule>),
    /// So often, in milliseconds.
    Every(i64),
    /// Once, so many milliseconds from when it counts.
    Once(i64),
    /// Each time that a run of another job of the scope has ended OK. Boxed, to be no larger than the others.
    After(Box<Arc<str>>),
    /// Once in each life of the host, for each name.
    Reboot,
}

/// What most jobs do without.
#[derive(Debug, Clone)]
pub(super) struct Extra {
    pub(super) keeping: Keeping,
    pub(super) data: Arc<[u8]>,
    /// By how many milliseconds each due time of a rule is put off.
    pub(super) offset_ms: i64,
    /// What all jobs of its record share, if it is durable.
    pub(super) record: Option<Arc<Record>>,
}

pub(super) struct JobState {
    pub(super) live: bool,
    pub(super) over: bool,
    pub(super) paused: bool,
    /// The run of a job that runs once has fallen due.
    pub(super) spent: bool,
    /// Where the next run stands in the timer's queue.
    pub(super) slot: Option<Slot>,
    /// Since when it counts: the last due time, without jitter, or none since it became live.
    pub(super) since: Option<Due>,
    /// Whom its runs are given to. None: it waits for a handler, or is over and has told so.
    pub(super) target: Option<Arc<dyn Run>>,
    /// By which handler it has its target, if it was not scheduled with one.
    pub(super) handler: Option<Arc<Handler>>,
    pub(super) activity: Option<Box<Activity>>,
}

/// What there is to know of a job's runs.
#[derive(Default)]
pub(super) struct Activity {
    /// Runs that were handed over, or wait for their next attempt, and have not ended.
    pub(super) under_way: u32,
    /// Runs that have to wait until the last one has ended.
    pub(super) waiting: VecDeque<Ticket>,
    /// Which places of the timer's second queue are of this job.
    pub(super) parked: Vec<(Duration, u64)>,
    /// When the only run of a paused job was due.
    pub(super) held: Option<Due>,
    pub(super) last_ms: Option<i64>,
    pub(super) runs: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) last_error: Option<Error>,
    /// The newest last. Of a durable job it is in the store.
    pub(super) history: VecDeque<EndedRun>,
    /// When a durable job is due next, without jitter.
    pub(super) next: Option<i64>,
    /// What is due of a durable job was so while the host was down.
    pub(super) unattended: bool,
    /// Due times of a durable job that did not take place, of which the store has not been told.
    pub(super) passed_over: u64,
    /// How often the store has failed, one after the other.
    pub(super) store_failures: u32,
    /// Runs under way of the jobs of the same record that this one has followed.
    pub(super) inherited: u32,
    /// The job of the same record that has followed this one.
    pub(super) heir: Option<Arc<Job>>,
}

/// A place in the queue: when, and the number among those of the same time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) due: Due,
    pub(super) number: u32,
}

/// What is known of a job at one moment.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// Whose it is: the number of the plugin. 0: a durable job that waits for a handler.
    pub owner: u64,
    /// The plugin's id, or `application`.
    pub plugin: Arc<str>,
    /// On whose behalf it runs.
    pub tenant: Option<Arc<str>>,
    /// Its name, unique in (plugin, tenant).
    pub name: Arc<str>,
    /// When it runs, in words: the rule and its zone, the span, or the job that it follows.
    pub when: String,
    /// Whether it outlives the host.
    pub durable: bool,
    /// Whether it runs at all now.
    pub live: bool,
    /// Whether it was paused.
    pub paused: bool,
    /// Whether it waits for a handler.
    pub waiting: bool,
    /// Whether a run has begun, or waits for its turn or its next attempt.
    pub running: bool,
    /// When the next run is due, in milliseconds since 1970; as far as can be told now.
    pub next_ms: Option<i64>,
    /// When the last run that has begun was due.
    pub last_ms: Option<i64>,
    /// Runs that have begun.
    pub runs: u64,
    /// Runs whose last attempt has failed, or whose hand-over panicked.
    pub failed: u64,
    /// Runs that did not take place: the last one had not ended, it was too late, or the lane did not take it; and beats of
    /// an interval that passed while the machine was busy.
    pub skipped: u64,
    /// The last failure or refusal.
    pub last_error: Option<Error>,
}

impl Job {
    pub(super) fn new(
        request: super::JobRequest,
        plan: Plan,
        extra: Option<Arc<Extra>>,
        target: Option<Arc<dyn Run>>,
    ) -> Arc<Self> {
        let super::JobRequest { owner, plugin, tenant, name, live, .. } = request;
        let state = JobState {
            live,
            over: false,
            paused: false,
            spent: false,
            slot: None,
            since: None,
            target,
            handler: None,
            activity: None,
        };
        Arc::new(Self { owner, plugin, tenant, name, plan, extra, state: Mutex::new(state) })
    }

    /// The plugin's id, or `application`.
    #[must_use]
    pub(crate) fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }

    /// On whose behalf it runs.
    #[must_use]
    pub(crate) fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// Its name, unique in (plugin, tenant).
    #[must_use]
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Name and scope.
    pub(super) fn named(&self) -> Named<'_> {
        Named { plugin: &self.plugin, tenant: self.tenant.as_deref(), name: &self.name }
    }

    /// Whether it outlives the host.
    #[must_use]
    pub(crate) fn is_durable(&self) -> bool {
        self.record().is_some()
    }

    /// Whether it was removed or replaced, or its only run has ended: its handle is stale.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    pub(super) fn record(&self) -> Option<&Arc<Record>> {
        self.extra.as_ref()?.record.as_ref()
    }

    pub(super) fn extra(&self) -> Option<&Arc<Extra>> {
        self.extra.as_ref()
    }

    pub(super) fn keeping(&self) -> &Keeping {
        self.extra.as_ref().map_or(&Keeping::USUAL, |extra| &extra.keeping)
    }

    pub(super) fn data(&self) -> Arc<[u8]> {
        self.extra.as_ref().map_or_else(Arc::default, |extra| Arc::clone(&extra.data))
    }

    /// By how much due times are put off.
    pub(super) fn offset_ms(&self) -> i64 {
        self.extra.as_ref().map_or(0, |extra| extra.offset_ms)
    }

    /// When the next run is due, counting from `now` or the last one; none if none is to be awaited.
    pub(super) fn next_due(&self, now: Now) -> Option<Due> {
        let offset_ms = self.offset_ms();
        let since = {
            let mut state = self.state.lock();
            if !state.runs_on() {
                return None;
            }
            if self.is_durable() && !matches!(self.plan, Plan::Reboot) {
                return state.activity().next.map(|next| Due::Wall(next + offset_ms));
            }
            let held = state.activity.as_mut().and_then(|activity| activity.held.take());
            if let Some(Due::Beat(at)) = held {
                return Some(Due::Beat(at.max(now.monotonic)));
            }
            state.since
        };
        match (&self.plan, since) {
            (Plan::Calendar(rule), Some(Due::Wall(last))) => {
                // A run that is due at this very moment is not one that was missed.
                let after = not_wrong(last, now).max(now.wall_ms.saturating_sub(1 + offset_ms));
                rule.next(after).map(|at| Due::Wall(at + offset_ms))
            }
            (Plan::Calendar(rule), _) => rule.next(now.wall_ms).map(|at| Due::Wall(at + offset_ms)),
            (Plan::Every(every_ms), Some(Due::Beat(last))) => {
                let (next, passed) = next_beat(last, span(*every_ms), now.monotonic);
                if passed > 0 {
                    self.state.lock().activity().skipped += passed;
                }
                Some(Due::Beat(next))
            }
            (Plan::Every(ms) | Plan::Once(ms), _) => Some(Due::Beat(now.monotonic + span(*ms))),
            (Plan::Reboot, None) => Some(Due::Beat(now.monotonic)),
            (Plan::Reboot, Some(_)) | (Plan::After(_), _) => None,
        }
    }

    /// Takes its place in the queue, unless it has one or wants none any more: `place` tells the number.
    pub(super) fn take_slot(&self, due: Due, place: impl FnOnce() -> u32) -> bool {
        let mut state = self.state.lock();
        let free = state.runs_on() && state.slot.is_none();
        if free {
            state.slot = Some(Slot { due, number: place() });
        }
        free
    }

    /// Another job has left the queue, and this one has moved to its place.
    pub(super) fn move_slot(&self, number: u32) {
        if let Some(slot) = &mut self.state.lock().slot {
            slot.number = number;
        }
    }

    /// Gives up its place in the queue, for the timer to take it out.
    pub(super) fn give_slot(&self) -> Option<Slot> {
        self.state.lock().slot.take()
    }

    /// Makes it live or not; true if that was a change.
    pub(super) fn set_live(&self, live: bool) -> bool {
        let mut state = self.state.lock();
        if state.over || state.live == live {
            return false;
        }
        state.live = live;
        state.keep_due();
        state.forget_beat();
        true
    }

    /// Pauses it or lets it go on; true if that was a change.
    pub(super) fn set_paused(&self, paused: bool) -> bool {
        let mut state = self.state.lock();
        if state.over || state.paused == paused {
            return false;
        }
        state.paused = paused;
        if paused && let (Plan::Once(_), Some(slot)) = (&self.plan, state.slot) {
            state.activity().held = Some(slot.due);
        }
        state.forget_beat();
        true
    }

    pub(super) fn info(&self, now: Now) -> JobInfo {
        let state = self.state.lock();
        let activity = state.activity.as_deref();
        // Of one that waits for a handler it is when it would be due.
        let kept = || {
            let next = activity.filter(|_| !state.paused && !state.over)?.next?;
            Some(next + self.offset_ms())
        };
        let next_ms = state.slot.map(|slot| slot.due.as_wall_ms(now)).or_else(kept);
        JobInfo {
            owner: self.owner,
            plugin: Arc::clone(&self.plugin),
            tenant: self.tenant.clone(),
            name: Arc::clone(&self.name),
            when: self.plan.to_string(),
            durable: self.is_durable(),
            live: state.live,
            paused: state.paused,
            waiting: state.target.is_none() && !state.over,
            running: activity.is_some_and(|activity| activity.under_way + activity.inherited > 0),
            next_ms,
            last_ms: activity.and_then(|activity| activity.last_ms),
            runs: activity.map_or(0, |activity| activity.runs),
            failed: activity.map_or(0, |activity| activity.failed),
            skipped: activity.map_or(0, |activity| activity.skipped),
            last_error: activity.and_then(|activity| activity.last_error.clone()),
        }
    }
}

/// When a run was due last, unless the clock was wrong then: to wait until that time comes again would delay all others.
pub(super) fn not_wrong(last: i64, now: Now) -> i64 {
    if last.saturating_sub(now.wall_ms) > WRONG_MS { i64::MIN } else { last }
}

impl JobInfo {
    /// What the store knows better: it counts the runs of all hosts.
    pub(super) fn update(&mut self, record: &JobRecord) {
        self.paused = record.paused;
        (self.runs, self.failed) = (record.runs, record.failed);
        self.skipped = self.skipped.max(record.skipped);
        self.last_ms = self.last_ms.max(record.last_ms);
    }
}

impl JobState {
    /// Whether runs of it fall due.
    pub(super) fn runs_on(&self) -> bool {
        self.live && !self.over && !self.spent && !self.paused
    }

    pub(super) fn activity(&mut self) -> &mut Activity {
        self.activity.get_or_insert_default()
    }

    /// Runs that wait behind another are due again when the job is live.
    fn keep_due(&mut self) {
        if let Some(activity) = &mut self.activity {
            let first = activity
                .waiting
                .iter()
                .filter(|ticket| ticket.of_store)
                .map(|ticket| ticket.nominal_ms)
                .min();
            if first.is_some() {
                activity.next = [activity.next, first].into_iter().flatten().min();
                activity.waiting.retain(|ticket| !ticket.of_store);
            }
        }
    }

    /// It is over: who is to be told that.
    pub(super) fn farewell(&mut self) -> Option<Arc<dyn Run>> {
        self.target.take().filter(|_| self.handler.is_none())
    }

    /// Spans count anew; a calendar run is never repeated, whatever the clock was set to meanwhile.
    fn forget_beat(&mut self) {
        if let Some(activity) = &mut self.activity {
            activity.skipped += activity.waiting.len() as u64;
            activity.waiting.clear();
        }
        if matches!(self.since, Some(Due::Beat(_))) {
            self.since = None;
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("plugin", &self.plugin)
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
            Self::Every(every) => write!(f, "every {:?}", span(*every)),
            Self::Once(delay) => write!(f, "once after {:?}", span(*delay)),
            Self::After(other) => write!(f, "after \"{other}\""),
            Self::Reboot => f.write_str("@reboot"),
        }
    }
}
