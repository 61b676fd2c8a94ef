//! Jobs by time.

use std::{
    ffi::c_void,
    fmt,
    marker::PhantomData,
    time::{Duration, SystemTime},
};

use pintle_abi::{
    PINTLE_INVALID_ARGUMENT, PINTLE_MISSED_ONCE, PINTLE_OVERLAP_QUEUE, PINTLE_OVERLAP_SKIP, PintleBytes,
    PintleCtx, PintleJobHandler, PintleJobOptions, PintleRegistration, PintleRun, PintleScheduler,
    PintleSink, PintleStatus, PintleStr,
};
use serde::Serialize;

use crate::{
    Context, Error, Result, context::milliseconds, events::at, registration::Registered, table::function,
    wire,
};

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
    /// so on, `@every 90s`.
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
    /// As `cron`.
    pub fn cron_with<F>(&self, name: &str, rule: &str, options: &JobOptions<'_>, handler: F) -> Result<Job>
    where
        F: Fn(&Context, &Run<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let cron = function!(self.cx.host(), scheduler: PintleScheduler, cron)?;
        let (ctx, name, rule, options) =
            (self.cx.raw(), PintleStr::new(name), PintleStr::new(rule), options.raw());
        // SAFETY: the texts and options are borrowed for the call; handler, `user` and `release` belong together.
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| unsafe {
            let handler = PintleJobHandler(Some(on_run::<F>));
            cron(ctx, name, rule, handler, user, release, &raw const options, handle)
        })?;
        Ok(Job(handle))
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

    /// [`interval`](Scheduler::interval) with more to say; the zone does not count.
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
        let (ctx, name, options) = (self.cx.raw(), PintleStr::new(name), options.raw());
        // SAFETY: as in `cron_with`.
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| unsafe {
            let handler = PintleJobHandler(Some(on_run::<F>));
            interval(ctx, name, milliseconds(every), handler, user, release, &raw const options, handle)
        })?;
        Ok(Job(handle))
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
        let once = function!(self.cx.host(), scheduler: PintleScheduler, once)?;
        let (ctx, name, options) = (self.cx.raw(), PintleStr::new(name), JobOptions::default().raw());
        // SAFETY: as in `cron_with`.
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| unsafe {
            let handler = PintleJobHandler(Some(on_run::<F>));
            once(ctx, name, milliseconds(delay), handler, user, release, &raw const options, handle)
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
    unsafe {
        Registered::<F>::run(user, ctx, |handler, cx| handler(cx, &Run { raw, reply, cx, lent: PhantomData }))
    }
}

/// A job's handle. It is only a name: dropping it ends nothing. The job ends with [`remove`](Job::remove), and at the
/// latest with the plugin (those made since `enable` with `disable`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job(PintleRegistration);

impl Job {
    /// Ends the job. A run under way is finished, then its handler is dropped. `cx` may be any context of the plugin.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle) if it is over or was replaced.
    pub fn remove(self, cx: &Context) -> Result<()> {
        let remove = function!(cx.host(), scheduler: PintleScheduler, remove)?;
        // SAFETY: any values are allowed; the host checks them.
        cx.check(unsafe { remove(cx.raw(), self.0) })
    }
}

/// One run of a job, lent to its handler.
pub struct Run<'a> {
    raw: PintleRun,
    reply: PintleSink,
    cx: &'a Context,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Run<'a> {
    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &'a str {
        // SAFETY: the host lends the run and all it points to until the handler returns.
        unsafe { wire::text(self.raw.job) }
    }

    /// When it was due; it never starts before.
    #[must_use]
    pub fn due(&self) -> SystemTime {
        at(self.raw.due_ms)
    }

    /// 1 for the first attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.raw.attempt
    }

    /// Adds to the result, at most 1 MiB, for the history of the job.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge).
    pub fn reply(&self, bytes: &[u8]) -> Result<()> {
        self.cx.check(wire::write(self.reply, bytes))
    }

    /// [`reply`](Run::reply) with a value, as JSON.
    ///
    /// # Errors
    /// As `reply`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn reply_json(&self, value: &impl Serialize) -> Result<()> {
        let reply = serde_json::to_vec(value).map_err(|error| {
            Error::from(error).context(format_args!("the result of job `{}`", self.job()))
        })?;
        self.reply(&reply)
    }

    /// None for null, and for one that is smaller than runs have been since ABI 1.0.
    ///
    /// # Safety
    /// `run` is null or a run of the host.
    unsafe fn read(run: *const PintleRun) -> Option<PintleRun> {
        const SMALLEST: usize = 32;
        // SAFETY: a run begins with its size, and is read only where it is large enough.
        unsafe { crate::table::reaches(run.cast(), SMALLEST).then(|| run.read()) }
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("job", &self.job())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

/// What happens to a run that is due while the last one has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// At most one is queued behind it.
    Queue,
}

/// How a job is to be kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobOptions<'a> {
    zone: &'a str,
    overlap: Overlap,
}

impl<'a> JobOptions<'a> {
    /// The defaults: UTC, and a run that would overlap is skipped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time zone of a cron rule by its IANA name (`Europe/Vienna`).
    #[must_use]
    pub fn zone(mut self, zone: &'a str) -> Self {
        self.zone = zone;
        self
    }

    /// What happens to a run that is due while the last one has not ended.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    fn raw(&self) -> PintleJobOptions {
        PintleJobOptions {
            size: size_of::<PintleJobOptions>() as u32,
            flags: 0,
            zone: PintleStr::new(self.zone),
            overlap: match self.overlap {
                Overlap::Skip => PINTLE_OVERLAP_SKIP,
                Overlap::Queue => PINTLE_OVERLAP_QUEUE,
            },
            missed: PINTLE_MISSED_ONCE,
            start_deadline_ms: 0,
            jitter_ms: 0,
            timeout_ms: 0,
            backoff_ms: 0,
            retries: 0,
            reserved: 0,
            data: PintleBytes::EMPTY,
        }
    }
}
