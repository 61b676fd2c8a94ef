//! One run of a job, as its handler sees it.

use std::{fmt, marker::PhantomData, time::SystemTime};

use pintle_abi::{PINTLE_RUN_AGAIN, PINTLE_RUN_MISSED, PINTLE_RUN_REQUESTED, PintleRun, PintleSink};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Error, Result, events::at, wire};

/// One run of a job, lent to its handler.
pub struct Run<'a> {
    raw: PintleRun,
    reply: PintleSink,
    cx: &'a Context,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Run<'a> {
    pub(super) fn lent(raw: PintleRun, reply: PintleSink, cx: &'a Context) -> Self {
        Self { raw, reply, cx, lent: PhantomData }
    }

    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &'a str {
        // SAFETY: the host lends the run and all it points to until the handler returns.
        unsafe { wire::text(self.raw.job) }
    }

    /// Its number, the same in all of its attempts. Of a [durable](crate::JobOptions::durable) job no other run ever has it: a
    /// good key for [`Idempotency::begin`](crate::Idempotency::begin). Of any other job no other run of this host's life has it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.raw.id
    }

    /// When it was due; it never starts before.
    #[must_use]
    pub fn due(&self) -> SystemTime {
        at(self.raw.due_ms)
    }

    /// 1 for the first attempt; more for those that follow a failure ([`JobOptions::retries`](crate::JobOptions::retries)) or
    /// the end of a host.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.raw.attempt
    }

    /// Did somebody ask for it ([`Scheduler::run_now`](crate::Scheduler::run_now), an operator)? Then it is not of the job's
    /// schedule.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.raw.flags & PINTLE_RUN_REQUESTED != 0
    }

    /// Was it missed when it was due: the host was down, the machine slept, the clock was set forward?
    #[must_use]
    pub fn missed(&self) -> bool {
        self.raw.flags & PINTLE_RUN_MISSED != 0
    }

    /// Was it begun before by a host that did not come to its end? A part of it may have been done.
    #[must_use]
    pub fn again(&self) -> bool {
        self.raw.flags & PINTLE_RUN_AGAIN != 0
    }

    /// What the job was scheduled with: [`JobOptions::data`](crate::JobOptions::data), or what a storage batch gave it.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        // SAFETY: as in `job`.
        unsafe { wire::bytes(self.raw.data) }
    }

    /// The [data](Run::data) as text.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) if it is not UTF-8.
    pub fn text(&self) -> Result<&'a str> {
        str::from_utf8(self.data())
            .map_err(|error| Error::from(error).context(format_args!("the data of job `{}`", self.job())))
    }

    /// The [data](Run::data), read as JSON.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) if it is not JSON or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.data())
            .map_err(|error| Error::from(error).context(format_args!("the data of job `{}`", self.job())))
    }

    /// Adds to the result, at most 1 MiB; the [history](crate::Scheduler::history) of the job keeps the first 1,024 bytes.
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
    pub(super) unsafe fn read(run: *const PintleRun) -> Option<PintleRun> {
        const SMALLEST: usize = 64;
        // SAFETY: a run begins with its size, and is read only where it is large enough.
        unsafe { crate::table::reaches(run.cast(), SMALLEST).then(|| run.read()) }
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("job", &self.job())
            .field("id", &self.id())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
