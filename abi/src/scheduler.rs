//! The table of the scheduler service.

use core::ffi::c_void;

use crate::{PintleBytes, PintleCtx, PintleRegistration, PintleRelease, PintleSink, PintleStatus, PintleStr};

/// `pintle_run.flags`: somebody asked for it (`run_now`, an operator): it is not of the job's schedule.
pub const PINTLE_RUN_REQUESTED: u32 = 1;
/// `pintle_run.flags`: it was missed when it was due (the host was down, the machine slept, the clock was set forward).
pub const PINTLE_RUN_MISSED: u32 = 2;
/// `pintle_run.flags`: it was begun before by a host that did not come to its end: a part of it may have been done.
pub const PINTLE_RUN_AGAIN: u32 = 4;

/// One run of a job, as its handler sees it. Everything is borrowed until the handler returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleRun {
    /// `sizeof(pintle_run)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// 1 for the first attempt; more for those that follow a failure (`retries`) or the end of a host.
    pub attempt: u32,
    /// The job's name.
    pub job: PintleStr,
    /// When it was due, in milliseconds since 1970-01-01 UTC. The run never starts before.
    pub due_ms: i64,
    /// The run's number, the same in all of its attempts. Of a durable job no other run ever has it: a good key for
    /// `pintle_idempotency.begin`. Of any other job no other run of this host's life has it.
    pub id: u64,
    /// `PINTLE_RUN_…`, or 0; handlers must ignore bits that they do not know.
    pub flags: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// What the job was scheduled with: `pintle_job_options.data`, or the `value` of a storage step.
    pub data: PintleBytes,
}

/// Overlap: a run that is due while the last one has not ended is skipped. The default.
pub const PINTLE_OVERLAP_SKIP: u32 = 0;
/// Overlap: at most one run that is due while the last one has not ended is queued behind it.
pub const PINTLE_OVERLAP_QUEUE: u32 = 1;
/// Overlap: runs stand side by side, as far as the plugin's `concurrency` goes; at most 100 of one job.
pub const PINTLE_OVERLAP_ALLOW: u32 = 2;

/// Runs that were missed: of any number of them one takes place, with the due time of the last. The default.
pub const PINTLE_MISSED_ONCE: u32 = 0;
/// Runs that were missed: none takes place.
pub const PINTLE_MISSED_SKIP: u32 = 1;
/// Runs that were missed: each takes place, one after the other, at most the last 100.
pub const PINTLE_MISSED_ALL: u32 = 2;

/// `pintle_job_options.flags`: the job outlives the host, and its runs are claimed, so that each happens at least once, and
/// once only among all hosts that share the back end, unless a host ends in the middle of it. It lasts until it is removed:
/// a generation that schedules it again takes it over, with its history and where it stands.
pub const PINTLE_JOB_DURABLE: u32 = 1;

/// How a job is to be kept. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleJobOptions {
    /// `sizeof(pintle_job_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_JOB_DURABLE`, or 0.
    pub flags: u32,
    /// Time zone of a cron rule by its IANA name (`Europe/Vienna`); empty: UTC.
    pub zone: PintleStr,
    /// One of `PINTLE_OVERLAP_…`.
    pub overlap: u32,
    /// One of `PINTLE_MISSED_…`. A run is missed that is due while the host is down, for a durable job, or that the host
    /// comes to more than a minute late. Beats of an interval are missed only while the host is down.
    pub missed: u32,
    /// A run that has not begun so many milliseconds after it was due is given up, and counts as skipped: 1 to
    /// 31,622,400,000; 0: however late.
    pub start_deadline_ms: i64,
    /// Each due time of a cron rule is put off by a part of so many milliseconds (0 to 86,400,000) that is the same for
    /// every run of the job, so that many jobs of one rule do not begin in the same moment.
    pub jitter_ms: i64,
    /// How long a run may take, in milliseconds, 1 to 86,400,000; 0: as long as any handler of the plugin (30 s by
    /// default). After that its context has no time left, its lane counts as stuck until it returns, and it has failed
    /// with TIMEOUT.
    pub timeout_ms: i64,
    /// How long after a failure the next attempt begins, in milliseconds, 1 to 3,600,000; each time twice as long, at most
    /// an hour; 0: 1,000 by default.
    pub backoff_ms: i64,
    /// How often a run that has failed is tried again, 0 to 100. Until its last attempt has ended it has not ended.
    pub retries: u32,
    /// Must be 0.
    pub reserved: u32,
    /// What the runs are given, at most 64 KiB; copied.
    pub data: PintleBytes,
}

/// Called on the plugin's lane with each run of a job.
///
/// - user: as given when scheduling.
/// - ctx: of the plugin, in the scope that scheduled the job; valid until the handler returns.
/// - run: borrowed until the handler returns.
/// - reply: takes at most 1 MiB, of which the job's history keeps the first 1,024 bytes; above, the run has failed with
///   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
///
/// Returns: OK, or any other status: counted and logged as a failure, and tried again as often as the job's `retries`
/// say; the job keeps its schedule.
/// Thread: the plugin's lane: [lane].
/// Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleJobHandler(
    pub  Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            ctx: PintleCtx,
            run: *const PintleRun,
            reply: PintleSink,
        ) -> PintleStatus,
    >,
);

/// `pintle_job.flags`: it is durable.
pub const PINTLE_JOB_IS_DURABLE: u32 = 1;
/// `pintle_job.flags`: it is paused (`pause`, an operator).
pub const PINTLE_JOB_IS_PAUSED: u32 = 2;
/// `pintle_job.flags`: a run of it has begun, or waits for its next attempt.
pub const PINTLE_JOB_IS_RUNNING: u32 = 4;
/// `pintle_job.flags`: it waits for a handler: it is durable, and nothing has scheduled it or handles it in this life of
/// the plugin.
pub const PINTLE_JOB_IS_WAITING: u32 = 8;

/// A job, as `list` shows it. Borrowed until the visitor returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleJob {
    /// `sizeof(pintle_job)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_JOB_IS_…`, or 0; ignore bits that you do not know.
    pub flags: u32,
    /// Its name.
    pub name: PintleStr,
    /// When it runs, in words: the rule and its zone, the span, the job that it follows.
    pub when: PintleStr,
    /// When it is due next, in milliseconds since 1970-01-01 UTC; -1: nothing is to be awaited.
    pub next_ms: i64,
    /// When its last run was due; -1: it has not run.
    pub last_ms: i64,
    /// How many runs have begun; of a durable job in all of its life, as of the next two.
    pub runs: u64,
    /// How many of them have failed, their last attempt.
    pub failed: u64,
    /// How many did not take place: the last one had not ended, it was too late, or the lane did not take it.
    pub skipped: u64,
}

/// A run that has ended, as `history` shows it. Borrowed until the visitor returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleRunResult {
    /// `sizeof(pintle_run_result)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_RUN_…`, or 0; ignore bits that you do not know.
    pub flags: u32,
    /// The run's number.
    pub id: u64,
    /// When it was due, in milliseconds since 1970-01-01 UTC.
    pub due_ms: i64,
    /// When its first attempt began, in milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
    /// How long it took from there to the end of its last attempt, in milliseconds.
    pub duration_ms: i64,
    /// How many attempts there were.
    pub attempts: u32,
    /// How the last one ended.
    pub status: PintleStatus,
    /// What the handler wrote to its reply sink, or the text of its failure; the first 1,024 bytes.
    pub result: PintleBytes,
}

/// Called with each job of a list.
///
/// - user: as given to `list`.
/// - job: borrowed until it returns.
///
/// Returns: OK to go on; anything else ends the list with CANCELLED.
/// Thread: the caller's, inside of `list`: other calls of the host answer REENTRANT.
/// Blocks: it should not.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleJobVisitor(
    pub Option<unsafe extern "C" fn(user: *mut c_void, job: *const PintleJob) -> PintleStatus>,
);

/// Called with each run of a history.
///
/// - user: as given to `history`.
/// - run: borrowed until it returns.
///
/// Returns: OK to go on; anything else ends the history with CANCELLED.
/// Thread: the caller's, inside of `history`: other calls of the host answer REENTRANT.
/// Blocks: it should not.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleRunVisitor(
    pub Option<unsafe extern "C" fn(user: *mut c_void, run: *const PintleRunResult) -> PintleStatus>,
);

/// Jobs by time. Each has a name, 1 to 128 bytes, unique in its scope; scheduling a name again replaces the
/// job. A job never runs early, and one that fails keeps its schedule. Made in `load`, it is live from `enable` on.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleScheduler {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Runs a handler whenever a cron rule says so.
    ///
    /// - ctx: on whose behalf; the runs have its tenant.
    /// - name: the job's; borrowed for the call.
    /// - rule: 5 or 6 fields (seconds first), names, `L W #`, `@hourly @daily @weekly @monthly @yearly`, `@every 90s`, `@reboot`
    ///   (once, when the host has started); borrowed for the call. Day fields as in Debian's cron: if either begins with `*` both must match, else either.
    /// - handler: not null.
    /// - user: passed to `handler` and `release`; the plugin's.
    /// - release: called once when `user` is needed no more; may be null. Where this call fails it is not
    ///   called, and `user` stays with the caller.
    /// - options: may be null; borrowed for the call.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (name, rule with position and reason, zone); OUT_OF_RANGE (a number of the options);
    /// TOO_LARGE (`data`); QUOTA (1,024 registrations a plugin; durable jobs: 10,000 a plugin, also those that no generation
    /// schedules any more); UNSUPPORTED (an option this host does not know); UNAVAILABLE (a durable job: the disk, or a host
    /// without a data folder); DENIED; STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never, but for a durable job: until it is on disk.
    /// Since: 1.0.
    pub cron: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            name: PintleStr,
            rule: PintleStr,
            handler: PintleJobHandler,
            user: *mut c_void,
            release: PintleRelease,
            options: *const PintleJobOptions,
            job: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Runs a handler every so many milliseconds, the first time one interval from now. The beat is kept: a
    /// late run does not move those after it; beats that passed meanwhile are skipped.
    ///
    /// - ctx: on whose behalf; the runs have its tenant.
    /// - name: the job's; borrowed for the call.
    /// - every_ms: 1 to 31,622,400,000 (366 days).
    /// - handler: not null.
    /// - user: as in `cron`.
    /// - release: as in `cron`.
    /// - options: may be null; borrowed for the call. `zone` and `jitter_ms` do not count.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; OUT_OF_RANGE (every_ms); otherwise as `cron`.
    /// Thread: any.
    /// Blocks: as `cron`.
    /// Since: 1.0.
    pub interval: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            name: PintleStr,
            every_ms: i64,
            handler: PintleJobHandler,
            user: *mut c_void,
            release: PintleRelease,
            options: *const PintleJobOptions,
            job: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Runs a handler once, so many milliseconds from now; the job is gone when the run has ended.
    ///
    /// - ctx: on whose behalf; the run has its tenant.
    /// - name: the job's; borrowed for the call.
    /// - delay_ms: 0 to 31,622,400,000 (366 days).
    /// - handler: not null.
    /// - user: as in `cron`.
    /// - release: as in `cron`.
    /// - options: may be null; borrowed for the call. `zone`, `overlap` and `jitter_ms` do not count.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; OUT_OF_RANGE (delay_ms); otherwise as `cron`.
    /// Thread: any.
    /// Blocks: as `cron`.
    /// Since: 1.0.
    pub once: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            name: PintleStr,
            delay_ms: i64,
            handler: PintleJobHandler,
            user: *mut c_void,
            release: PintleRelease,
            options: *const PintleJobOptions,
            job: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Ends a job, a durable one for good, with its history. A run under way is finished, then `release` is called.
    ///
    /// - ctx: any live context of the plugin.
    /// - job: from `cron`, `interval`, `once`, `after` or `handle` of the same plugin.
    ///
    /// Returns: OK; UNAVAILABLE (a durable job: the disk; it stays); STALE_HANDLE (also for a job that is over, was replaced, or is
    /// another plugin's).
    /// Thread: any.
    /// Blocks: as `cron`.
    /// Since: 1.0.
    pub remove: Option<unsafe extern "C" fn(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus>,
    /// Runs a handler each time that a run of another job has ended OK, its last attempt.
    ///
    /// - ctx: on whose behalf; the runs have its tenant.
    /// - name: the job's; borrowed for the call.
    /// - after: the name of the other job, in the same scope. Where that is removed this one stays, and follows a job of the
    ///   same name that is scheduled later; borrowed for the call.
    /// - handler: not null.
    /// - user: as in `cron`.
    /// - release: as in `cron`.
    /// - options: may be null; borrowed for the call. `zone`, `missed` and `jitter_ms` do not count. A durable job follows a
    ///   durable one only: then no end of a host comes between the two.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND (there is no such other job); CONFLICT (it would follow itself, by the chain that the error
    /// names; or it is durable and the other one is not); otherwise as `cron`.
    /// Thread: any.
    /// Blocks: never, but for a durable job: until it is on disk.
    /// Since: 1.0.
    pub after: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            name: PintleStr,
            after: PintleStr,
            handler: PintleJobHandler,
            user: *mut c_void,
            release: PintleRelease,
            options: *const PintleJobOptions,
            job: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Runs a handler for durable jobs that have none of their own: those that storage batches schedule
    /// (`PINTLE_STEP_SCHEDULE`), and those that an earlier life of the plugin has scheduled.
    ///
    /// - ctx: on whose behalf: for jobs of its tenant; in the system scope for those of every tenant, each run under its own.
    /// - pattern: a job's name, or the beginning of names and `*`; 1 to 128 bytes, borrowed for the call. Of several that
    ///   match the longest counts.
    /// - handler: not null.
    /// - user: as in `cron`.
    /// - release: as in `cron`.
    /// - registration: gets the handle, for `remove`; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (pattern); QUOTA (1,024 registrations a plugin); DENIED; STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub handle: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            pattern: PintleStr,
            handler: PintleJobHandler,
            user: *mut c_void,
            release: PintleRelease,
            registration: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Ends the job of a name, also a durable one that this life of the plugin has not scheduled; otherwise as `remove`.
    ///
    /// - ctx: in whose scope.
    /// - name: the job's; borrowed for the call.
    ///
    /// Returns: OK; NOT_FOUND; UNAVAILABLE (the disk); INVALID_ARGUMENT; DENIED; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never, but for a durable job: until it is on disk.
    /// Since: 1.0.
    pub forget: Option<unsafe extern "C" fn(ctx: PintleCtx, name: PintleStr) -> PintleStatus>,
    /// Lets a job run no more until `resume`: what is due meanwhile is not made up for. A run under way is finished, with
    /// its attempts. For a durable job it lasts until `resume`, whatever ends meanwhile.
    ///
    /// - ctx: in whose scope.
    /// - name: the job's; borrowed for the call.
    ///
    /// Returns: OK, also for one that is paused already; otherwise as `forget`.
    /// Thread: any.
    /// Blocks: as `forget`.
    /// Since: 1.0.
    pub pause: Option<unsafe extern "C" fn(ctx: PintleCtx, name: PintleStr) -> PintleStatus>,
    /// Lets a job that was paused run again, from its next due time on; an interval begins anew.
    ///
    /// - ctx: in whose scope.
    /// - name: the job's; borrowed for the call.
    ///
    /// Returns: OK, also for one that is not paused; otherwise as `forget`.
    /// Thread: any.
    /// Blocks: as `forget`.
    /// Since: 1.0.
    pub resume: Option<unsafe extern "C" fn(ctx: PintleCtx, name: PintleStr) -> PintleStatus>,
    /// Makes a run due now, beside the job's schedule, also of a job that is paused. The call does not wait for it.
    ///
    /// - ctx: in whose scope.
    /// - name: the job's; borrowed for the call.
    ///
    /// Returns: OK; BUSY (a run has not ended, and `overlap` lets no other stand beside or behind it); UNAVAILABLE (it waits
    /// for a handler, or the plugin is not enabled yet); otherwise as `forget`.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub run_now: Option<unsafe extern "C" fn(ctx: PintleCtx, name: PintleStr) -> PintleStatus>,
    /// Shows the jobs of the scope, in the order of their names.
    ///
    /// - ctx: whose.
    /// - visitor: not null; called with each job before `list` returns.
    /// - user: passed to `visitor`; the caller's.
    ///
    /// Returns: OK; CANCELLED (the visitor ended it); UNAVAILABLE (the disk); DENIED; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: on the disk, where there are durable jobs.
    /// Since: 1.0.
    pub list: Option<
        unsafe extern "C" fn(ctx: PintleCtx, visitor: PintleJobVisitor, user: *mut c_void) -> PintleStatus,
    >,
    /// Shows the last 50 runs of a job that have ended, the newest first. Those of a job that is not durable are known since
    /// it was scheduled last.
    ///
    /// - ctx: in whose scope.
    /// - name: the job's; borrowed for the call.
    /// - visitor: not null; called with each run before `history` returns.
    /// - user: passed to `visitor`; the caller's.
    ///
    /// Returns: OK; NOT_FOUND (no such job); otherwise as `list`.
    /// Thread: any.
    /// Blocks: on the disk, for a durable job.
    /// Since: 1.0.
    pub history: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            name: PintleStr,
            visitor: PintleRunVisitor,
            user: *mut c_void,
        ) -> PintleStatus,
    >,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleRun>() == 64);
    assert!(offset_of!(PintleRun, due_ms) == 24);
    assert!(offset_of!(PintleRun, data) == 48);
    assert!(size_of::<PintleJobOptions>() == 88);
    assert!(offset_of!(PintleJobOptions, overlap) == 24);
    assert!(offset_of!(PintleJobOptions, data) == 72);
    assert!(size_of::<PintleJob>() == 80);
    assert!(offset_of!(PintleJob, skipped) == 72);
    assert!(size_of::<PintleRunResult>() == 64);
    assert!(offset_of!(PintleRunResult, result) == 48);
    assert!(size_of::<PintleScheduler>() == 104);
    assert!(offset_of!(PintleScheduler, cron) == 8);
    assert!(offset_of!(PintleScheduler, remove) == 32);
    assert!(offset_of!(PintleScheduler, history) == 96);
};
