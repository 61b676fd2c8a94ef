//! Jobs by time.

mod job;
mod options;
mod run;

pub use self::{
    job::{Job, JobInfo, RunResult},
    options::{JobOptions, Missed, Overlap},
    run::Run,
};

use std::{ffi::c_void, time::Duration};

use pintle_abi::{
    PINTLE_INVALID_ARGUMENT, PintleCtx, PintleJobHandler, PintleJobOptions, PintleJobVisitor,
    PintleRegistration, PintleRelease, PintleRun, PintleRunVisitor, PintleScheduler, PintleSink,
    PintleStatus, PintleStr,
};

use crate::{Context, Result, context::milliseconds, registration::Registered, table::function};

/// Jobs by time. Each has a name, 1 to 128 bytes, unique in its scope; scheduling a name again replaces the job. A job
/// never runs early, and one that fails or panics keeps its schedule.
///
/// A job belongs to the scope in which it was made: one of [`enable`](crate::Plugin::enable) runs in the system scope, one
/// that a handler made runs for the tenant of that handler.
///
/// ```
/// # use std::time::Duration;
/// # use pintle_plugin::{Context, JobOptions, Result};
/// fn plan(cx: &Context) -> Result<()> {
///     let vienna = JobOptions::new().zone("Europe/Vienna");
///     cx.scheduler().cron_with("report", "0 6 * * Mon-Fri", &vienna, |cx, run| {
///         cx.log().info("time to report", &[("job", run.job().into())]);
///         Ok(())
///     })?;
///     let beat = cx.scheduler().interval("beat", Duration::from_secs(10), |cx, _| {
///         cx.cache("beats").incr("all", 1).map(drop)
///     })?;
///     beat.remove(cx) // or let it run: a handle that is dropped ends nothing
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scheduler<'a> {
    cx: &'a Context,
}

impl<'a> Scheduler<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// Runs `handler` whenever a cron rule says so, in UTC: 5 or 6 fields (seconds first), names, `L W #`, `@daily` and
    /// so on, `@every 90s`, `@reboot` (once, when the host has started).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) (name or rule, with position and reason),
    /// [`Denied`](crate::Status::Denied), [`Quota`](crate::Status::Quota), [`Stopping`](crate::Status::Stopping). The
    /// handler is dropped then.
    pub fn cron<F>(&self, name: &str, rule: &str, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.cron_with(name, rule, &JobOptions::default(), handler)
    }

    /// [`cron`](Scheduler::cron) with more to say.
    ///
    /// # Errors
    /// As `cron`; [`OutOfRange`](crate::Status::OutOfRange) for the times and numbers of the options,
    /// [`TooLarge`](crate::Status::TooLarge) for their data, [`Unsupported`](crate::Status::Unsupported) on a host that does not
    /// know one of them; of a durable job [`Unavailable`](crate::Status::Unavailable) where the disk fails or the host has no
    /// data folder.
    pub fn cron_with<F>(&self, name: &str, rule: &str, options: &JobOptions<'_>, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let cron = function!(self.cx.host(), scheduler: PintleScheduler, cron)?;
        let (ctx, name, rule) = (self.cx.raw(), PintleStr::new(name), PintleStr::new(rule));
        // SAFETY: the texts and options are borrowed for the call; handler, `user` and `release` belong together.
        self.hand_over(options, handler, |handler, user, release, options, handle| unsafe {
            cron(ctx, name, rule, handler, user, release, options, handle)
        })
    }

    /// Runs `handler` at a steady beat, the first time one interval from now; at most 366 days apart, counted in whole
    /// milliseconds, rounded up.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::Status::OutOfRange); otherwise as [`cron`](Scheduler::cron).
    pub fn interval<F>(&self, name: &str, every: Duration, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.interval_with(name, every, &JobOptions::default(), handler)
    }

    /// [`interval`](Scheduler::interval) with more to say; zone and jitter do not count.
    ///
    /// # Errors
    /// As `interval`.
    pub fn interval_with<F>(
        &self,
        name: &str,
        every: Duration,
        options: &JobOptions<'_>,
        handler: F,
    ) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let interval = function!(self.cx.host(), scheduler: PintleScheduler, interval)?;
        let (ctx, name) = (self.cx.raw(), PintleStr::new(name));
        // SAFETY: as in `cron_with`.
        self.hand_over(options, handler, |handler, user, release, options, handle| unsafe {
            interval(ctx, name, milliseconds(every), handler, user, release, options, handle)
        })
    }

    /// Runs `handler` once, so long from now; the job is gone when the run has ended. At most 366 days ahead, in whole
    /// milliseconds, rounded up.
    ///
    /// # Errors
    /// As [`interval`](Scheduler::interval).
    pub fn once<F>(&self, name: &str, delay: Duration, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.once_with(name, delay, &JobOptions::default(), handler)
    }

    /// [`once`](Scheduler::once) with more to say; zone, overlap and jitter do not count.
    ///
    /// # Errors
    /// As `interval_with`.
    pub fn once_with<F>(
        &self,
        name: &str,
        delay: Duration,
        options: &JobOptions<'_>,
        handler: F,
    ) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let once = function!(self.cx.host(), scheduler: PintleScheduler, once)?;
        let (ctx, name) = (self.cx.raw(), PintleStr::new(name));
        // SAFETY: as in `cron_with`.
        self.hand_over(options, handler, |handler, user, release, options, handle| unsafe {
            once(ctx, name, milliseconds(delay), handler, user, release, options, handle)
        })
    }

    /// Runs `handler` each time that a run of the job `after`, in the same scope, has ended well, its last attempt. Where that
    /// job is removed this one stays, and follows a job of the same name that is scheduled later.
    ///
    /// ```
    /// # use pintle_plugin::{Context, JobOptions, Result};
    /// # fn collect(_: &Context) -> Result<()> { Ok(()) }
    /// # fn send(_: &Context, _: u64) -> Result<()> { Ok(()) }
    /// fn enable(cx: &Context) -> Result<()> {
    ///     let nightly = JobOptions::new().durable().retries(5);
    ///     cx.scheduler().cron_with("collect", "0 2 * * *", &nightly, |cx, _| collect(cx))?;
    ///     // Durable too: no end of a host comes between the two.
    ///     cx.scheduler().after_with("send", "collect", &nightly, |cx, run| send(cx, run.id()))?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Status::NotFound) (there is no job `after`), [`Conflict`](crate::Status::Conflict) (it would follow
    /// itself, by the chain that the error names; or it is durable and the other is not); otherwise as
    /// [`cron`](Scheduler::cron).
    pub fn after<F>(&self, name: &str, after: &str, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.after_with(name, after, &JobOptions::default(), handler)
    }

    /// [`after`](Scheduler::after) with more to say; zone, missed and jitter do not count.
    ///
    /// # Errors
    /// As `after`, and as `cron_with`.
    pub fn after_with<F>(&self, name: &str, after: &str, options: &JobOptions<'_>, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let follow = function!(self.cx.host(), scheduler: PintleScheduler, after)?;
        let (ctx, name, after) = (self.cx.raw(), PintleStr::new(name), PintleStr::new(after));
        // SAFETY: as in `cron_with`.
        self.hand_over(options, handler, |handler, user, release, options, handle| unsafe {
            follow(ctx, name, after, handler, user, release, options, handle)
        })
    }

    /// Runs `handler` for durable jobs that have none of their own: those that storage batches schedule
    /// ([`Batch::schedule`](crate::Batch::schedule)), and those that an earlier life of the plugin has scheduled. `pattern` is a
    /// job's name, or the beginning of names and `*`; of several that match the longest counts. In the system scope (in
    /// [`enable`](crate::Plugin::enable), say) it is for the jobs of every tenant, each run under its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{BatchJob, Context, Result};
    /// # fn remind(_: &Context, _: &str) -> Result<()> { Ok(()) }
    /// fn enable(cx: &Context) -> Result<()> {
    ///     cx.scheduler().handle("remind-*", |cx, run| remind(cx, run.text()?))?;
    ///     Ok(())
    /// }
    ///
    /// fn order(cx: &Context, number: &str) -> Result<()> {
    ///     cx.storage()
    ///         .batch()
    ///         .set(&format!("order-{number}"), b"open")
    ///         .schedule(&format!("remind-{number}"), BatchJob::once(Duration::from_secs(86_400)), number.as_bytes())
    ///         .commit()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) (the pattern), [`Denied`](crate::Status::Denied),
    /// [`Quota`](crate::Status::Quota), [`Stopping`](crate::Status::Stopping). The handler is dropped then.
    pub fn handle<F>(&self, pattern: &str, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let take = function!(self.cx.host(), scheduler: PintleScheduler, handle)?;
        let (ctx, pattern) = (self.cx.raw(), PintleStr::new(pattern));
        // SAFETY: the pattern is borrowed for the call; handler, `user` and `release` belong together.
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| unsafe {
            take(ctx, pattern, PintleJobHandler(Some(on_run::<F>)), user, release, handle)
        })?;
        Ok(Job(handle))
    }

    /// Ends the job of a name, also a durable one that this life of the plugin has not scheduled; otherwise as
    /// [`Job::remove`].
    ///
    /// # Errors
    /// [`NotFound`](crate::Status::NotFound), [`InvalidArgument`](crate::Status::InvalidArgument),
    /// [`Denied`](crate::Status::Denied), [`Unavailable`](crate::Status::Unavailable) (the disk).
    pub fn forget(&self, name: &str) -> Result<()> {
        let forget = function!(self.cx.host(), scheduler: PintleScheduler, forget)?;
        // SAFETY: the name is borrowed for the call.
        self.cx.check(unsafe { forget(self.cx.raw(), PintleStr::new(name)) })
    }

    /// Lets a job run no more until [`resume`](Scheduler::resume): what is due meanwhile is not made up for. A run under way is
    /// finished, with its attempts. A durable job stays paused whatever ends meanwhile.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn maintain(cx: &Context) -> Result<()> {
    ///     cx.scheduler().pause("billing")?;
    ///     for job in cx.scheduler().list()? {
    ///         let next = job.next.is_some() && !job.paused;
    ///         cx.log().info("job", &[("name", job.name.as_str().into()), ("next", next.into())]);
    ///     }
    ///     cx.scheduler().resume("billing")
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`forget`](Scheduler::forget). It is none that the job is paused already.
    pub fn pause(&self, name: &str) -> Result<()> {
        let pause = function!(self.cx.host(), scheduler: PintleScheduler, pause)?;
        // SAFETY: as in `forget`.
        self.cx.check(unsafe { pause(self.cx.raw(), PintleStr::new(name)) })
    }

    /// Lets a job that was paused run again, from its next due time on; an interval begins anew.
    ///
    /// # Errors
    /// As [`forget`](Scheduler::forget). It is none that the job is not paused.
    pub fn resume(&self, name: &str) -> Result<()> {
        let resume = function!(self.cx.host(), scheduler: PintleScheduler, resume)?;
        // SAFETY: as in `forget`.
        self.cx.check(unsafe { resume(self.cx.raw(), PintleStr::new(name)) })
    }

    /// Makes a run due now, beside the job's schedule, also of a job that is paused, and does not wait for it.
    ///
    /// # Errors
    /// [`Busy`](crate::Status::Busy) (a run has not ended, and the [overlap](JobOptions::overlap) lets no other stand beside or
    /// behind it), [`Unavailable`](crate::Status::Unavailable) (it waits for a handler, or the plugin is not enabled yet);
    /// otherwise as [`forget`](Scheduler::forget).
    pub fn run_now(&self, name: &str) -> Result<()> {
        let run_now = function!(self.cx.host(), scheduler: PintleScheduler, run_now)?;
        // SAFETY: as in `forget`.
        self.cx.check(unsafe { run_now(self.cx.raw(), PintleStr::new(name)) })
    }

    /// The jobs of the scope, in the order of their names.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Status::Unavailable) (the disk), [`Denied`](crate::Status::Denied).
    pub fn list(&self) -> Result<Vec<JobInfo>> {
        let list = function!(self.cx.host(), scheduler: PintleScheduler, list)?;
        let mut jobs: Vec<JobInfo> = Vec::new();
        let visitor = PintleJobVisitor(Some(job::on_job));
        // SAFETY: `jobs` outlives the call and is touched by `on_job` alone meanwhile.
        self.cx.check(unsafe { list(self.cx.raw(), visitor, (&raw mut jobs).cast()) })?;
        Ok(jobs)
    }

    /// The last 50 runs of a job that have ended, the newest first. Those of a job that is not durable are known since it was
    /// scheduled last.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn tell(cx: &Context) -> Result<()> {
    ///     if let Some(last) = cx.scheduler().history("billing")?.first() {
    ///         match &last.reply {
    ///             Ok(_) => cx.log().info("billed", &[("bills", last.json::<u64>()?.into())]),
    ///             Err(error) => cx.log().warn("not billed", &[("why", error.message().into())]),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Status::NotFound) (no such job); otherwise as [`list`](Scheduler::list).
    pub fn history(&self, name: &str) -> Result<Vec<RunResult>> {
        let history = function!(self.cx.host(), scheduler: PintleScheduler, history)?;
        let mut runs: Vec<RunResult> = Vec::new();
        let visitor = PintleRunVisitor(Some(job::on_ended));
        // SAFETY: `runs` outlives the call and is touched by `on_ended` alone meanwhile; the name is borrowed for the call.
        let status = unsafe { history(self.cx.raw(), PintleStr::new(name), visitor, (&raw mut runs).cast()) };
        self.cx.check(status)?;
        Ok(runs)
    }

    /// What the ways of scheduling have in common.
    fn hand_over<F>(
        &self,
        options: &JobOptions<'_>,
        handler: F,
        schedule: impl FnOnce(
            PintleJobHandler,
            *mut c_void,
            PintleRelease,
            *const PintleJobOptions,
            *mut PintleRegistration,
        ) -> PintleStatus,
    ) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let options = options.raw();
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| {
            schedule(PintleJobHandler(Some(on_run::<F>)), user, release, &raw const options, handle)
        })?;
        Ok(Job(handle))
    }
}

unsafe extern "C" fn on_run<F>(
    user: *mut c_void,
    ctx: PintleCtx,
    run: *const PintleRun,
    reply: PintleSink,
) -> PintleStatus
where
    F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
{
    // SAFETY: the host lends the run until this function returns.
    let Some(raw) = (unsafe { Run::read(run) }) else { return PINTLE_INVALID_ARGUMENT };
    // SAFETY: the host calls this with the `user` of the same registration, before its `release`.
    unsafe { Registered::<F>::run(user, ctx, |handler, cx| handler(cx, &Run::lent(raw, reply, cx))) }
}
