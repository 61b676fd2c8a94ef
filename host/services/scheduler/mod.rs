//! The scheduler: jobs by cron rule, by interval, once, or after another one, each under a name.
//!
//! ```text
//! Scheduler ── names, validation ── Timer ── one thread, its queues ──> Run::due (the plugin's lane)
//!                   │                                                        │
//!                 Rules ── grammar, croner, daylight saving    DueRun::begin, DueRun::finished
//! ```
//!
//! Never early; `next` strictly later than the last; a failing or panicking job keeps its schedule; a wall clock
//! that is set back runs nothing twice, and what one missed that is set forward is for the job's policy to say. Intervals follow the
//! monotonic clock and keep their beat. Knows nothing of plugins: an owner is a number and a name, and runs are given to a [`Run`].

mod check;
mod due;
pub(crate) mod durable;
mod grammar;
mod handlers;
mod job;
mod names;
mod overlap;
mod queue;
mod rule;
mod run;
pub(crate) mod store;
mod timer;
mod timetable;

use std::{fmt, sync::Arc};

use self::{
    durable::Record,
    job::{Extra, Plan},
    store::{EndedRun, JobName, JobSpec, JobStore, Keeping, Of, Timing},
    timer::Timer,
};
pub(crate) use self::{
    handlers::{HandleRequest, Handler},
    job::Job,
    names::Named,
    rule::{Rule, Rules},
    run::{DueRun, Run},
};
pub use self::{
    job::{JobInfo, Overlap},
    rule::{CronRule, parse_rfc3339},
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::Clock,
};

/// 366 days: the longest interval and the longest delay.
pub(crate) const LONGEST_MS: i64 = 31_622_400_000;

/// Whose job it is and how it is kept.
#[derive(Debug, Clone)]
pub(crate) struct JobRequest {
    /// Whose: the number of the plugin.
    pub owner: u64,
    /// The plugin's id, or `application`.
    pub plugin: Arc<str>,
    /// On whose behalf it runs; none: the system scope.
    pub tenant: Option<Arc<str>>,
    /// 1 to 128 bytes without NUL, unique in (plugin, tenant).
    pub name: Arc<str>,
    pub keeping: Keeping,
    /// What its runs are given.
    pub data: Arc<[u8]>,
    /// Whether it outlives the host.
    pub durable: bool,
    /// Whether it runs from now on; if not, from [`Scheduler::set_live`] on.
    pub live: bool,
}

/// The engine. Its thread starts with the first job and ends with [`Scheduler::shutdown`] or the last reference.
pub(crate) struct Scheduler {
    timer: Arc<Timer>,
    rules: Rules,
}

/// A job, and the one of the same name that it has replaced, which is over.
pub(crate) type Scheduled = (Arc<Job>, Option<Arc<Job>>);

impl Scheduler {
    /// A scheduler without jobs. Without a store no job is durable.
    #[must_use]
    pub(crate) fn new(clock: Arc<dyn Clock>, store: Option<Arc<dyn JobStore>>) -> Self {
        Self { timer: Timer::new(clock, store), rules: Rules::default() }
    }

    /// Schedules by a cron rule, in the zone that it or `zone` names (UTC otherwise). An `@every` rule is an
    /// interval. A job of the same name is replaced: it is over (see [`Run::over`]) and given back.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: name, rule (with field, position and reason), zone. OUT_OF_RANGE: the span of `@every`, a number of
    /// `keeping`. TOO_LARGE: `data`. UNAVAILABLE: no thread; for a durable job no store, or its disk. QUOTA: durable jobs.
    /// STOPPING: after [`Scheduler::shutdown`]. Nothing is changed.
    pub(crate) fn cron(
        &self,
        request: JobRequest,
        rule: &str,
        zone: Option<&str>,
        target: Arc<dyn Run>,
    ) -> Result<Scheduled> {
        let plan = self.by_rule(&request.name, rule, zone)?;
        let zone = zone.unwrap_or_default();
        self.add(request, plan, target, || Timing::Cron { rule: rule.into(), zone: zone.into() })
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
    ) -> Result<Scheduled> {
        let plan = by_interval(&request.name, every_ms)?;
        self.add(request, plan, target, || Timing::Every(every_ms))
    }

    /// Schedules one run, `delay_ms` milliseconds after it is live. The job is over when the run has ended.
    ///
    /// # Errors
    ///
    /// OUT_OF_RANGE: `delay_ms` is not 0 to [`LONGEST_MS`]; otherwise as [`Scheduler::cron`].
    pub(crate) fn once(&self, request: JobRequest, delay_ms: i64, target: Arc<dyn Run>) -> Result<Scheduled> {
        let plan = once_after(&request.name, delay_ms)?;
        self.add(request, plan, target, || Timing::Once(delay_ms))
    }

    /// Schedules a run for each time that a run of the job `other` of the same scope has ended OK. Where that is removed this one stays,
    /// and follows one of the same name that is scheduled later.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is no such other job. CONFLICT: it would follow itself, by the chain that is named; or it is durable, and
    /// the other one is not. Otherwise as [`Scheduler::cron`].
    pub(crate) fn after(&self, request: JobRequest, other: &str, target: Arc<dyn Run>) -> Result<Scheduled> {
        check::name("name", &request.name)?;
        check::name("after", other)?;
        let other: Arc<str> = other.into();
        self.add(request, Plan::After(Box::new(Arc::clone(&other))), target, || Timing::After(other))
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

    /// Ends a job, a durable one for good, with its history. A run under way is finished, without further attempts; one that waits behind
    /// it is dropped.
    ///
    /// # Errors
    ///
    /// STALE_HANDLE: it is over already, or was replaced. UNAVAILABLE: a durable job, the disk; it stays.
    pub(crate) fn remove(&self, job: &Arc<Job>) -> Result<()> {
        if !job.is_over() {
            self.forget_in_store(job)?;
        }
        if self.timer.remove(job) {
            return Ok(());
        }
        let job = Arc::clone(job);
        let text = move || format!("job \"{}\" is over or was replaced", job.name());
        Err(Error::lazy(ErrorKind::StaleHandle, text))
    }

    /// Its owner goes away: the handle is over. A job in memory is, too; a durable one stays, and waits for a handler. Does nothing to
    /// one that is over already.
    pub(crate) fn detach(&self, job: &Arc<Job>) {
        self.timer.detach(job);
    }

    /// Gives the runs of durable jobs to `target` that nobody has scheduled in this life of their plugin: those whose name the pattern
    /// matches. Of several handlers of a job the one with the longest pattern counts, and of those the newest.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the pattern. STOPPING: after [`Scheduler::shutdown`].
    pub(crate) fn handle(&self, request: HandleRequest, target: Arc<dyn Run>) -> Result<Arc<Handler>> {
        let handler = Handler::new(request, target)?;
        {
            let mut state = self.timer.state.lock();
            if state.is_stopping() {
                return Err(Error::new(ErrorKind::Stopping, "the scheduler is stopping"));
            }
            state.handlers.push(Arc::clone(&handler));
        }
        self.timer.settle_handlers(&handler);
        Ok(handler)
    }

    /// Makes a handler live or not: while it is not, the jobs that it handles do not run.
    pub(crate) fn set_handler_live(&self, handler: &Arc<Handler>, live: bool) {
        if handler.set_live(live) {
            self.timer.settle_handlers(handler);
        }
    }

    /// Ends a handler. Its jobs wait for another; runs under way are finished. False: it has ended already.
    pub(crate) fn remove_handler(&self, handler: &Arc<Handler>) -> bool {
        if !handler.end() {
            return false;
        }
        self.timer.state.lock().handlers.retain(|other| !Arc::ptr_eq(other, handler));
        self.timer.settle_handlers(handler);
        true
    }

    /// Ends the job of this name, as [`Scheduler::remove`] does, also one that waits for a handler.
    ///
    /// # Errors
    ///
    /// NOT_FOUND; UNAVAILABLE: a durable job, the disk; it stays. INVALID_ARGUMENT: the name.
    pub(crate) fn forget(&self, named: &Named<'_>) -> Result<()> {
        let job = self.find(named)?;
        self.forget_in_store(&job)?;
        self.timer.remove(&job);
        Ok(())
    }

    /// Lets a job run no more until [`Scheduler::resume`]. What is due meanwhile is not made up for; a run under way is finished, with its
    /// attempts.
    ///
    /// # Errors
    ///
    /// As [`Scheduler::forget`].
    pub(crate) fn pause(&self, named: &Named<'_>) -> Result<()> {
        self.set_paused(&self.find(named)?, true)
    }

    /// Lets a job that was paused run again, from its next due time on; an interval begins anew.
    ///
    /// # Errors
    ///
    /// As [`Scheduler::forget`].
    pub(crate) fn resume(&self, named: &Named<'_>) -> Result<()> {
        self.set_paused(&self.find(named)?, false)
    }

    /// Makes a run due now, beside the job's schedule, also of a job that is paused.
    ///
    /// # Errors
    ///
    /// BUSY: a run has not ended, and the overlap policy lets no other stand beside or behind it. UNAVAILABLE: it is not live, or waits for
    /// a handler. NOT_FOUND; INVALID_ARGUMENT: the name.
    pub(crate) fn run_now(&self, named: &Named<'_>) -> Result<()> {
        let job = self.find(named)?;
        let (live, handled) = {
            let state = job.state.lock();
            (state.live, state.target.is_some())
        };
        let no = |kind, what| {
            let name = Arc::clone(job.name());
            Err(Error::lazy(kind, move || format!("job \"{name}\" {what}")))
        };
        if !handled {
            return no(ErrorKind::Unavailable, "waits for a handler: no plugin that is loaded runs it");
        }
        if !live {
            return no(ErrorKind::Unavailable, "cannot run now: its plugin is not enabled");
        }
        if !self.timer.request(&job) {
            return no(
                ErrorKind::Busy,
                "has a run that has not ended, and lets no other stand beside or behind it",
            );
        }
        Ok(())
    }

    /// These jobs with their next and last runs, in the order of plugin, tenant and name.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk, where there are durable ones.
    pub(crate) fn list(&self, of: &Of<'_>) -> Result<Vec<JobInfo>> {
        let Some(durable) = &self.timer.durable else { return Ok(self.known(of)) };
        let records = self.compare(durable, of)?;
        let mut jobs = self.known(of);
        for job in jobs.iter_mut().filter(|job| job.durable) {
            let tenant = job.tenant.clone().unwrap_or_default();
            let name = JobName { plugin: Arc::clone(&job.plugin), tenant, name: Arc::clone(&job.name) };
            if let Some(record) = records.get(&name) {
                job.update(record);
            }
        }
        Ok(jobs)
    }

    /// The same, as far as it is known without the disk: counts of durable jobs may be behind those of other hosts.
    #[must_use]
    pub(crate) fn known(&self, of: &Of<'_>) -> Vec<JobInfo> {
        let now = self.timer.now();
        let wanted = |job: &&Arc<Job>| of.matches(&job.named());
        let mut jobs: Vec<_> = self.timer.jobs().iter().filter(wanted).map(|job| job.info(now)).collect();
        jobs.sort_by(|a, b| (&a.plugin, &a.tenant, &a.name).cmp(&(&b.plugin, &b.tenant, &b.name)));
        jobs
    }

    /// How many jobs there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.timer.count()
    }

    /// The last runs of a job that have ended, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Scheduler::forget`].
    pub(crate) fn history(&self, named: &Named<'_>) -> Result<Vec<EndedRun>> {
        let job = self.find(named)?;
        if let (Some(durable), Some(record)) = (&self.timer.durable, job.record()) {
            let mut runs = durable.store.history(record.job)?;
            runs.iter_mut().for_each(|run| run.due_ms += job.offset_ms());
            return Ok(runs);
        }
        let state = job.state.lock();
        let history =
            state.activity.as_ref().map(|activity| activity.history.iter().rev().cloned().collect());
        Ok(history.unwrap_or_default())
    }

    /// Schedules a durable job that a batch of the storage has asked for. It is due first at `first_ms`, which counts from the commit; none: when its
    /// timing says so. `origin` says which one it was, so that a second time does nothing. It waits for a handler.
    ///
    /// # Errors
    ///
    /// As [`Scheduler::cron`].
    pub(crate) fn put_from_outbox(
        &self,
        name: &JobName,
        spec: JobSpec,
        first_ms: Option<i64>,
        origin: &str,
    ) -> Result<()> {
        self.put(name, spec, first_ms, origin)
    }

    /// Ends all jobs and the thread; durable ones stay in their store. Runs under way may still come to their end. Safe to call again.
    pub(crate) fn shutdown(&self) {
        self.timer.stop();
    }

    /// Waits for what is still to be written, and lets nobody into the store any more.
    pub(crate) fn close(&self) {
        self.shutdown();
        if let Some(durable) = &self.timer.durable {
            durable.chores.stop();
            durable.store.close();
        }
    }

    fn by_rule(&self, name: &str, rule: &str, zone: Option<&str>) -> Result<Plan> {
        check::name("name", name)?;
        Ok(match self.rules.rule(rule, zone)? {
            Rule::Calendar(rule) => Plan::Calendar(rule),
            Rule::Every(every_ms) => Plan::Every(check::span("rule", every_ms, 1, LONGEST_MS)?),
            Rule::Reboot => Plan::Reboot,
        })
    }

    fn add(
        &self,
        request: JobRequest,
        plan: Plan,
        target: Arc<dyn Run>,
        timing: impl FnOnce() -> Timing,
    ) -> Result<Scheduled> {
        check::keeping(&request.keeping)?;
        check::data(&request.data)?;
        if request.durable {
            return self.add_durable(request, plan, timing(), target);
        }
        if self.timer.durable.is_some() {
            let named =
                Named { plugin: &request.plugin, tenant: request.tenant.as_deref(), name: &request.name };
            if let Some(old) = self.timer.find(&named) {
                self.forget_in_store(&old)?;
            }
        }
        let extra = extra(&request, &plan, None);
        let job = Job::new(request, plan, extra, Some(target));
        let replaced = self.timer.add(&job)?;
        Ok((job, replaced))
    }

    fn find(&self, named: &Named<'_>) -> Result<Arc<Job>> {
        check::name("name", named.name)?;
        self.timer.find(named).ok_or_else(|| no_such(named.name))
    }

    fn forget_in_store(&self, job: &Job) -> Result<()> {
        if let Some(durable) = self.timer.durable.as_ref().filter(|_| job.is_durable()) {
            durable.store.forget(&durable::of(&job.named()))?;
        }
        Ok(())
    }

    fn set_paused(&self, job: &Arc<Job>, paused: bool) -> Result<()> {
        if let (Some(durable), Some(record)) = (&self.timer.durable, job.record()) {
            let now = self.timer.now();
            let (was_paused, next) = {
                let mut state = job.state.lock();
                (state.paused, state.activity().next)
            };
            let next = match &job.plan {
                _ if paused || !was_paused => next,
                Plan::Once(_) => next.map(|next| next.max(now.wall_ms)),
                plan => durable::first_ms(plan, now),
            };
            if !durable.store.set_paused(record.job, paused, next)? {
                self.timer.remove(job);
                return Err(no_such(job.name()));
            }
            job.state.lock().activity().next = next;
        }
        self.timer.set_paused(job, paused);
        Ok(())
    }
}

fn no_store(name: &Arc<str>) -> Error {
    let name = Arc::clone(name);
    let text = move || format!("job \"{name}\" is durable, and this host keeps nothing");
    Error::lazy(ErrorKind::Unavailable, text).mend("give the host a data folder")
}

fn no_such(name: &str) -> Error {
    let name = name.to_owned();
    Error::lazy(ErrorKind::NotFound, move || format!("there is no job \"{name}\""))
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn by_interval(name: &str, every_ms: i64) -> Result<Plan> {
    check::name("name", name)?;
    Ok(Plan::Every(check::span("every_ms", every_ms, 1, LONGEST_MS)?))
}

fn once_after(name: &str, delay_ms: i64) -> Result<Plan> {
    check::name("name", name)?;
    Ok(Plan::Once(check::span("delay_ms", delay_ms, 0, LONGEST_MS)?))
}

/// What the job needs beside its name and plan; most need nothing.
fn extra(request: &JobRequest, plan: &Plan, record: Option<Arc<Record>>) -> Option<Arc<Extra>> {
    if request.keeping == Keeping::USUAL && request.data.is_empty() && record.is_none() {
        return None;
    }
    let named = Named { plugin: &request.plugin, tenant: request.tenant.as_deref(), name: &request.name };
    let offset_ms =
        if matches!(plan, Plan::Calendar(_)) { named.part_of(request.keeping.jitter_ms) } else { 0 };
    Some(Arc::new(Extra {
        keeping: request.keeping.clone(),
        data: Arc::clone(&request.data),
        offset_ms,
        record,
    }))
}

#[cfg(test)]
mod tests;
