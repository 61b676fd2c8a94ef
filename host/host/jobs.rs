//! Jobs, as an application and an operator have them: the application's own, and a look at those of all plugins.

use std::time::Duration;

use super::Host;
use crate::{
    application::{JobOptions, JobRun, Timing},
    error::{Error, ErrorKind, Result},
    services::scheduler::{
        JobInfo, Named,
        store::{EndedRun, Of, RunEnd, RunKind},
    },
};

/// Which jobs: those that are of all that is given; with nothing, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobsOf {
    /// Of this plugin; `application`: of the application.
    pub plugin: Option<String>,
    /// On behalf of this tenant; empty: in the system scope.
    pub tenant: Option<String>,
    /// Of this name.
    pub name: Option<String>,
}

/// A run of a job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastRun {
    /// Its number, which was the same in all attempts.
    pub id: u64,
    /// When it was due, in milliseconds since 1970-01-01 UTC.
    pub due_ms: i64,
    /// Why it took place.
    pub kind: RunKind,
    /// A host has begun it that did not come to its end, and another one, or another life, has gone on with it.
    pub again: bool,
    /// When its first attempt began, in milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
    /// When its last attempt ended, in milliseconds since 1970-01-01 UTC.
    pub ended_ms: i64,
    /// How many attempts there were.
    pub attempts: u32,
    /// How the last one failed; None: it did not.
    pub error: Option<ErrorKind>,
    /// What the handler replied, or the text of its failure; the first 1,024 bytes.
    pub result: Vec<u8>,
}

impl Host {
    /// Runs `handler` whenever a cron rule says so, on a thread of the host, one at a time with the application's subscriptions and other
    /// jobs, until the host stops. docs/cron.md says how rules are written. A job of the application of the same tenant and name is
    /// replaced. What the handler answers goes into the job's history; where it fails, or panics, that is counted and logged, the run is
    /// tried again as often as `options.retries` says, and the job keeps its schedule.
    ///
    /// ```no_run
    /// # fn main() -> pintle::Result<()> {
    /// use pintle::{Host, scheduler::JobOptions};
    ///
    /// let host = Host::builder().data("data").build()?;
    /// let options = JobOptions {
    ///     zone: Some("Europe/Berlin".into()),
    ///     durable: true, // it is there after a restart, and what was missed meanwhile happens once
    ///     retries: 3,
    ///     ..JobOptions::default()
    /// };
    /// host.schedule_cron("report", "30 6 * * MON-FRI", options, |run| {
    ///     println!("the report that was due at {}, attempt {}", run.due_ms, run.attempt);
    ///     Ok(b"sent".to_vec())
    /// })?;
    /// host.run_job("application", "", "report")?; // now, too
    /// for past in host.job_history("application", "", "report")? {
    ///     println!("{}: {:?}", past.started_ms, past.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the name (1 to 128 bytes), the rule (the text has field and position), the zone, the tenant. OUT_OF_RANGE: the
    /// span of `@every`, the options. TOO_LARGE: the data. UNAVAILABLE: a durable job, and the host has no place for it, or its disk
    /// fails; or no thread can be made. QUOTA: too many durable jobs. STOPPING: the host has stopped.
    pub fn schedule_cron(
        &self,
        name: &str,
        rule: &str,
        options: JobOptions,
        handler: impl Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.schedule(name, Timing::Cron(rule), options, handler)
    }

    /// Like `schedule_cron`, every so long: 1 ms to 366 days. The first run is one interval from now, and the beat is kept: a late run does
    /// not move those after it, and beats that have passed meanwhile are skipped.
    ///
    /// # Errors
    ///
    /// As `schedule_cron`, and OUT_OF_RANGE: the interval.
    pub fn schedule_interval(
        &self,
        name: &str,
        every: Duration,
        options: JobOptions,
        handler: impl Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.schedule(name, Timing::Every(every), options, handler)
    }

    /// Like `schedule_cron`, once, so long from now: at most 366 days. The job is over when the run has ended.
    ///
    /// # Errors
    ///
    /// As `schedule_cron`, and OUT_OF_RANGE: the delay.
    pub fn schedule_once(
        &self,
        name: &str,
        delay: Duration,
        options: JobOptions,
        handler: impl Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.schedule(name, Timing::Once(delay), options, handler)
    }

    /// Like `schedule_cron`, each time that a run of another job of the application and of the same tenant has ended well. Where that is
    /// forgotten this one stays, and follows one of the same name that is scheduled later.
    ///
    /// # Errors
    ///
    /// As `schedule_cron`, and NOT_FOUND: there is no job `other`. CONFLICT: it would follow itself; or it is durable, and the other one is
    /// not.
    pub fn schedule_after(
        &self,
        name: &str,
        other: &str,
        options: JobOptions,
        handler: impl Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.schedule(name, Timing::After(other), options, handler)
    }

    /// Runs `handler` for the durable jobs of the application, of every tenant, that nobody has scheduled since the host was made: those of an
    /// earlier life. `pattern` is a job's name, or the beginning of names and `*`. Of several that match the longest counts.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the pattern. STOPPING: the host has stopped.
    pub fn handle_jobs(
        &self,
        pattern: &str,
        handler: impl Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.running()?;
        self.inner.application.handle_jobs(pattern, Box::new(handler))
    }

    /// These jobs with their next and last runs, in the order of plugin, tenant and name. What durable ones have counted is read from the
    /// disk; [`jobs`](Self::jobs) tells what is known without.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk fails.
    pub fn jobs_of(&self, of: &JobsOf) -> Result<Vec<JobInfo>> {
        self.inner.core.scheduler.list(&of.borrowed())
    }

    /// The last runs of a job that have ended, the newest first: at most 50. That of a durable job outlives the host. `plugin` is the id of a
    /// plugin, or `application`; an empty `tenant` is the system scope.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is no such job. INVALID_ARGUMENT: the name. UNAVAILABLE: the disk fails.
    pub fn job_history(&self, plugin: &str, tenant: &str, name: &str) -> Result<Vec<PastRun>> {
        let job = named(plugin, tenant, name);
        let ended = self.inner.core.scheduler.history(&job).map_err(|error| whose(error, &job))?;
        Ok(ended.into_iter().map(PastRun::from).collect())
    }

    /// Makes a run of a job due now, beside its schedule, also of one that is paused. Does not wait for it. The job is named as for
    /// `job_history`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is no such job. BUSY: a run has not ended, and the job lets no other stand beside or behind it. UNAVAILABLE: its
    /// plugin is not enabled, or it waits for a handler. STOPPING: the host has stopped.
    pub fn run_job(&self, plugin: &str, tenant: &str, name: &str) -> Result<()> {
        self.running()?;
        let job = named(plugin, tenant, name);
        self.inner.core.scheduler.run_now(&job).map_err(|error| whose(error, &job))
    }

    /// Lets a job run no more until `resume_job`. What is due meanwhile is not made up for; a run under way comes to its end. A durable job
    /// stays paused when the host starts again. The job is named as for `job_history`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is no such job. UNAVAILABLE: a durable job, and the disk fails. STOPPING: the host has stopped.
    pub fn pause_job(&self, plugin: &str, tenant: &str, name: &str) -> Result<()> {
        self.running()?;
        let job = named(plugin, tenant, name);
        self.inner.core.scheduler.pause(&job).map_err(|error| whose(error, &job))
    }

    /// Lets a job that was paused run again, from its next due time on. No effect on one that was not. The job is named as for
    /// `job_history`.
    ///
    /// # Errors
    ///
    /// As `pause_job`.
    pub fn resume_job(&self, plugin: &str, tenant: &str, name: &str) -> Result<()> {
        self.running()?;
        let job = named(plugin, tenant, name);
        self.inner.core.scheduler.resume(&job).map_err(|error| whose(error, &job))
    }

    /// Ends a job, a durable one for good, with its history. A run under way comes to its end, without further attempts. A plugin can
    /// schedule it again. The job is named as for `job_history`.
    ///
    /// # Errors
    ///
    /// As `pause_job`.
    pub fn forget_job(&self, plugin: &str, tenant: &str, name: &str) -> Result<()> {
        self.running()?;
        let job = named(plugin, tenant, name);
        self.inner.core.scheduler.forget(&job).map_err(|error| whose(error, &job))
    }

    /// As `jobs_of`, as far as it is known without the disk.
    pub(crate) fn known_jobs(&self, of: &JobsOf) -> Vec<JobInfo> {
        self.inner.core.scheduler.known(&of.borrowed())
    }

    fn schedule(
        &self,
        name: &str,
        timing: Timing<'_>,
        options: JobOptions,
        handler: impl Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.running()?;
        self.inner.application.schedule(name, timing, options, Box::new(handler))
    }
}

impl JobsOf {
    fn borrowed(&self) -> Of<'_> {
        let Self { plugin, tenant, name } = self;
        Of { plugin: plugin.as_deref(), tenant: tenant.as_deref(), name: name.as_deref() }
    }
}

impl From<EndedRun> for PastRun {
    fn from(ended: EndedRun) -> Self {
        let EndedRun { run, due_ms, kind, again, started_ms, attempts, end } = ended;
        let RunEnd { ended_ms, error, result } = end;
        Self { id: run, due_ms, kind, again, started_ms, ended_ms, attempts, error, result }
    }
}

fn named<'a>(plugin: &'a str, tenant: &'a str, name: &'a str) -> Named<'a> {
    Named { plugin, tenant: Some(tenant).filter(|tenant| !tenant.is_empty()), name }
}

/// The engine knows the name alone where there is no such job.
fn whose(error: Error, &Named { plugin, tenant, name }: &Named<'_>) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let scope = tenant.map(|tenant| format!(" for the tenant \"{tenant}\"")).unwrap_or_default();
    Error::new(ErrorKind::NotFound, format!("{plugin} has no job \"{name}\"{scope}"))
}
