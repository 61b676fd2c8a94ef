//! The scheduler: jobs by cron rule, by interval, or once, each under a name.
//!
//! ```text
//! Scheduler ── names, validation ── Timer ── one thread, two queues ──> Run::due (the plugin's lane)
//!                   │                                                        │
//!                 Rules ── grammar, croner, daylight saving               Job::finished
//! ```
//!
//! Never early; `next` strictly later than the last; a failing or panicking job keeps its schedule; a wall clock
//! that is set back runs nothing twice, one that is set forward past several runs of a job makes one run of
//! them. Intervals follow the monotonic clock and keep their beat. Jobs live in memory: durable ones, history,
//! missed runs, retries and pausing are not built yet. Knows nothing of plugins: an owner is a number, and
//! runs are given to a [`Run`].

mod grammar;
mod job;
mod rule;
mod timer;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    job::JobInfo,
    rule::{CronRule, parse_rfc3339},
};
use self::{job::Plan, timer::Timer};
pub(crate) use self::{
    job::{Job, Overlap, Run},
    rule::{Rule, Rules},
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::Clock,
};

/// 366 days: the longest interval and the longest delay.
pub(crate) const LONGEST_MS: i64 = 31_622_400_000;
const NAME_BYTES: usize = 128;

/// Whose job it is and how it is kept.
#[derive(Debug, Clone)]
pub(crate) struct JobRequest {
    /// Whose: a number that the caller chooses, such as a generation's.
    pub owner: u64,
    /// On whose behalf it runs; none: the system scope.
    pub tenant: Option<Arc<str>>,
    /// 1 to 128 bytes without NUL, unique in (owner, tenant).
    pub name: Arc<str>,
    /// What happens when a run is due while the last one has not ended.
    pub overlap: Overlap,
    /// Whether it runs from now on; if not, from [`Scheduler::set_live`] on.
    pub live: bool,
}

/// The engine. Its thread starts with the first job and ends with [`Scheduler::shutdown`] or the last reference.
pub(crate) struct Scheduler {
    timer: Arc<Timer>,
    rules: Rules,
}

impl Scheduler {
    /// A scheduler without jobs.
    #[must_use]
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { timer: Timer::new(clock), rules: Rules::default() }
    }

    /// Schedules by a cron rule, in the zone that it or `zone` names (UTC otherwise). An `@every` rule is an
    /// interval. A job of the same name is replaced: it is over (see [`Run::over`]) and given back.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: name, rule (with field, position and reason), zone. OUT_OF_RANGE: the span of `@every`.
    /// STOPPING: after [`Scheduler::shutdown`]. UNAVAILABLE: no thread. Nothing is changed.
    pub(crate) fn cron(
        &self,
        request: JobRequest,
        rule: &str,
        zone: Option<&str>,
        target: Arc<dyn Run>,
    ) -> Result<(Arc<Job>, Option<Arc<Job>>)> {
        let plan = self.by_rule(&request.name, rule, zone)?;
        self.add(request, plan, target)
    }

    /// Schedules every `every_ms` milliseconds, the first time one interval after it is live. The beat is kept: a late
    /// run does not move those after it; beats that passed meanwhile are skipped.
    ///
    /// # Errors
    ///
    /// OUT_OF_RANGE: `every_ms` is not 1 to [`LONGEST_MS`]; otherwise as [`Scheduler::cron`].
    pub(crate) fn interval(
        &self,
        request: JobRequest,
        every_ms: i64,
        target: Arc<dyn Run>,
    ) -> Result<(Arc<Job>, Option<Arc<Job>>)> {
        let plan = by_interval(&request.name, every_ms)?;
        self.add(request, plan, target)
    }

    /// Schedules one run, `delay_ms` milliseconds after it is live. The job is over when the run has ended.
    ///
    /// # Errors
    ///
    /// OUT_OF_RANGE: `delay_ms` is not 0 to [`LONGEST_MS`]; otherwise as [`Scheduler::cron`].
    pub(crate) fn once(
        &self,
        request: JobRequest,
        delay_ms: i64,
        target: Arc<dyn Run>,
    ) -> Result<(Arc<Job>, Option<Arc<Job>>)> {
        let plan = once_after(&request.name, delay_ms)?;
        self.add(request, plan, target)
    }

    /// What [`Scheduler::cron`] would say of these: for a job that is kept first, and scheduled later.
    ///
    /// # Errors
    ///
    /// As [`Scheduler::cron`].
    pub(crate) fn check_cron(&self, name: &str, rule: &str, zone: Option<&str>) -> Result<()> {
        self.by_rule(name, rule, zone).map(drop)
    }

    /// The same of [`Scheduler::interval`].
    ///
    /// # Errors
    ///
    /// As [`Scheduler::interval`].
    pub(crate) fn check_interval(&self, name: &str, every_ms: i64) -> Result<()> {
        by_interval(name, every_ms).map(drop)
    }

    /// The same of [`Scheduler::once`].
    ///
    /// # Errors
    ///
    /// As [`Scheduler::once`].
    pub(crate) fn check_once(&self, name: &str, delay_ms: i64) -> Result<()> {
        once_after(name, delay_ms).map(drop)
    }

    /// Makes a job live or not. While it is not, no run of it falls due; spans count from when it becomes live.
    /// No effect on a job that is over.
    pub(crate) fn set_live(&self, job: &Arc<Job>, live: bool) {
        self.timer.set_live(job, live);
    }

    /// Ends a job. A run under way is finished; one that waits behind it is dropped.
    ///
    /// # Errors
    ///
    /// STALE_HANDLE: it is over already.
    pub(crate) fn remove(&self, job: &Arc<Job>) -> Result<()> {
        if self.timer.remove(job) {
            return Ok(());
        }
        let job = Arc::clone(job);
        let text = move || format!("job \"{}\" is over or was replaced", job.name());
        Err(Error::lazy(ErrorKind::StaleHandle, text))
    }

    /// All jobs with their next and last runs, in the order of owner, tenant and name.
    #[must_use]
    pub(crate) fn list(&self) -> Vec<JobInfo> {
        let now = self.timer.now();
        let mut jobs: Vec<_> = self.timer.jobs().iter().map(|job| job.info(now)).collect();
        jobs.sort_by(|a, b| (a.owner, &a.tenant, &a.name).cmp(&(b.owner, &b.tenant, &b.name)));
        jobs
    }

    /// Ends all jobs and the thread. Runs under way may still call [`Job::finished`]. Safe to call again.
    pub(crate) fn shutdown(&self) {
        self.timer.stop();
    }

    fn by_rule(&self, name: &str, rule: &str, zone: Option<&str>) -> Result<Plan> {
        check_name(name)?;
        Ok(match self.rules.rule(rule, zone)? {
            Rule::Calendar(rule) => Plan::Calendar(rule),
            Rule::Every(every_ms) => Plan::Every(span("rule", every_ms, 1)?),
            Rule::Reboot => {
                let problem = "`@reboot` is not supported yet: do the work in `enable`";
                return Err(Error::argument("rule", problem));
            }
        })
    }

    fn add(
        &self,
        request: JobRequest,
        plan: Plan,
        target: Arc<dyn Run>,
    ) -> Result<(Arc<Job>, Option<Arc<Job>>)> {
        let job = Job::new(request, plan, target, Arc::downgrade(&self.timer));
        let replaced = self.timer.add(&job)?;
        Ok((job, replaced))
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn by_interval(name: &str, every_ms: i64) -> Result<Plan> {
    check_name(name)?;
    Ok(Plan::Every(span("every_ms", every_ms, 1)?))
}

fn once_after(name: &str, delay_ms: i64) -> Result<Plan> {
    check_name(name)?;
    Ok(Plan::Once(span("delay_ms", delay_ms, 0)?))
}

fn check_name(name: &str) -> Result<()> {
    let problem = match name.len() {
        0 => "is empty: a job's name has 1 to 128 bytes".into(),
        1..=NAME_BYTES if name.contains('\0') => "contains NUL".into(),
        1..=NAME_BYTES => return Ok(()),
        len => format!("has {len} bytes, the limit is {NAME_BYTES}"),
    };
    Err(Error::argument("name", problem))
}

fn span(argument: &'static str, ms: i64, least: i64) -> Result<Duration> {
    match u64::try_from(ms) {
        Ok(span) if (least..=LONGEST_MS).contains(&ms) => Ok(Duration::from_millis(span)),
        _ => Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("argument `{argument}`: {ms} ms is outside of {least} to {LONGEST_MS} ms (366 days)")
        })),
    }
}

#[cfg(test)]
mod tests;
