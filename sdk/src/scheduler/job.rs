//! Jobs by their handle, and what the host knows of them.

use std::{
    ffi::c_void,
    time::{Duration, SystemTime},
};

use pintle_abi::{
    PINTLE_INVALID_ARGUMENT, PINTLE_JOB_IS_DURABLE, PINTLE_JOB_IS_PAUSED, PINTLE_JOB_IS_RUNNING,
    PINTLE_JOB_IS_WAITING, PINTLE_OK, PINTLE_RUN_AGAIN, PINTLE_RUN_MISSED, PINTLE_RUN_REQUESTED, PintleJob,
    PintleRegistration, PintleRunResult, PintleScheduler, PintleStatus,
};
use serde::de::DeserializeOwned;

use crate::{Context, Error, Result, Status, events::at, table::function, wire};

/// A job's handle, or that of a [handler](crate::Scheduler::handle) of jobs. It is only a name: dropping it ends nothing. The job
/// ends with [`remove`](Job::remove), and at the latest with the plugin (those made since `enable` with `disable`); a
/// [durable](crate::JobOptions::durable) one stays, and waits for a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job(pub(super) PintleRegistration);

impl Job {
    /// Ends the job, a durable one for good, with its history. A run under way is finished, then its handler is dropped. `cx`
    /// may be any context of the plugin.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle) if it is over or was replaced; of a durable job
    /// [`Unavailable`](crate::Status::Unavailable) where the disk fails: it stays.
    pub fn remove(self, cx: &Context) -> Result<()> {
        let remove = function!(cx.host(), scheduler: PintleScheduler, remove)?;
        // SAFETY: any values are allowed; the host checks them.
        cx.check(unsafe { remove(cx.raw(), self.0) })
    }
}

/// A job, as the host knows it. From [`Scheduler::list`](crate::Scheduler::list).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its name.
    pub name: String,
    /// When it runs, in words: the rule and its zone, the span, the job that it follows.
    pub when: String,
    /// When it is due next; `None`: nothing is to be awaited.
    pub next: Option<SystemTime>,
    /// When its last run was due; `None`: it has not run.
    pub last: Option<SystemTime>,
    /// How many runs have begun; of a durable job in all of its life, as of the next two.
    pub runs: u64,
    /// How many of them have failed, their last attempt.
    pub failed: u64,
    /// How many did not take place: the last one had not ended, it was too late, or the lane did not take it.
    pub skipped: u64,
    /// Does it outlive the host?
    pub durable: bool,
    /// Is it [paused](crate::Scheduler::pause)?
    pub paused: bool,
    /// Has a run of it begun, or does one wait for its next attempt?
    pub running: bool,
    /// Does it wait for a handler? It is durable, and nothing has scheduled it or handles it in this life of the plugin.
    pub waiting: bool,
}

/// A run that has ended. From [`Scheduler::history`](crate::Scheduler::history).
#[derive(Debug)]
#[non_exhaustive]
pub struct RunResult {
    /// Its number, as [`Run::id`](crate::Run::id).
    pub id: u64,
    /// When it was due.
    pub due: SystemTime,
    /// When its first attempt began.
    pub started: SystemTime,
    /// How long it took from there to the end of its last attempt.
    pub duration: Duration,
    /// How many attempts there were.
    pub attempts: u32,
    /// What the handler wrote to its reply, the first 1,024 bytes; or how the last attempt failed.
    pub reply: Result<Vec<u8>>,
    /// Did somebody ask for it?
    pub requested: bool,
    /// Was it missed when it was due?
    pub missed: bool,
    /// Was it begun before by a host that did not come to its end?
    pub again: bool,
}

impl RunResult {
    /// The reply, read as JSON.
    ///
    /// # Errors
    /// As [`reply`](RunResult::reply) has it; [`InvalidArgument`](crate::Status::InvalidArgument) if it is not JSON, which
    /// it may not be where it was cut off, or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        match &self.reply {
            Ok(reply) => serde_json::from_slice(reply).map_err(Error::from),
            Err(error) => Err(Error::new(error.status(), error.message().to_owned())),
        }
        .map_err(|error| error.context(format_args!("the result of run {}", self.id)))
    }
}

/// What the host does not know is -1.
fn known(ms: i64) -> Option<SystemTime> {
    (ms != -1).then(|| at(ms))
}

/// Takes the next job of a `list`.
///
/// # Safety
/// `user` is a vector of jobs that is lent for this call, and `job` is one of the host.
pub(super) unsafe extern "C" fn on_job(user: *mut c_void, job: *const PintleJob) -> PintleStatus {
    const SMALLEST: usize = 80;
    // SAFETY: the caller's promise; a job begins with its size, and is read only where it is large enough.
    let (jobs, raw) = unsafe {
        let raw = crate::table::reaches(job.cast(), SMALLEST).then(|| job.read());
        (user.cast::<Vec<JobInfo>>().as_mut(), raw)
    };
    let (Some(jobs), Some(raw)) = (jobs, raw) else { return PINTLE_INVALID_ARGUMENT };
    let is = |flag| raw.flags & flag != 0;
    // SAFETY: the host lends the job and all it points to until this function returns.
    let (name, when) = unsafe { (wire::text(raw.name), wire::text(raw.when)) };
    jobs.push(JobInfo {
        name: name.to_owned(),
        when: when.to_owned(),
        next: known(raw.next_ms),
        last: known(raw.last_ms),
        runs: raw.runs,
        failed: raw.failed,
        skipped: raw.skipped,
        durable: is(PINTLE_JOB_IS_DURABLE),
        paused: is(PINTLE_JOB_IS_PAUSED),
        running: is(PINTLE_JOB_IS_RUNNING),
        waiting: is(PINTLE_JOB_IS_WAITING),
    });
    PINTLE_OK
}

/// Takes the next run of a `history`.
///
/// # Safety
/// `user` is a vector of results that is lent for this call, and `run` is one of the host.
pub(super) unsafe extern "C" fn on_ended(user: *mut c_void, run: *const PintleRunResult) -> PintleStatus {
    const SMALLEST: usize = 64;
    // SAFETY: as in `on_job`.
    let (runs, raw) = unsafe {
        let raw = crate::table::reaches(run.cast(), SMALLEST).then(|| run.read());
        (user.cast::<Vec<RunResult>>().as_mut(), raw)
    };
    let (Some(runs), Some(raw)) = (runs, raw) else { return PINTLE_INVALID_ARGUMENT };
    let is = |flag| raw.flags & flag != 0;
    // SAFETY: as in `on_job`.
    let result = unsafe { wire::bytes(raw.result) };
    let reply = match Status::from_code(raw.status) {
        None => Ok(result.to_vec()),
        Some(status) => Err(Error::new(status, String::from_utf8_lossy(result).into_owned())),
    };
    runs.push(RunResult {
        id: raw.id,
        due: at(raw.due_ms),
        started: at(raw.started_ms),
        duration: Duration::from_millis(u64::try_from(raw.duration_ms).unwrap_or(0)),
        attempts: raw.attempts,
        reply,
        requested: is(PINTLE_RUN_REQUESTED),
        missed: is(PINTLE_RUN_MISSED),
        again: is(PINTLE_RUN_AGAIN),
    });
    PINTLE_OK
}
