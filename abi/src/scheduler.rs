//! The table of the scheduler service.

use core::ffi::c_void;

use crate::{PintleCtx, PintleRegistration, PintleRelease, PintleSink, PintleStatus, PintleStr};

/// One run of a job, as its handler sees it. Everything is borrowed until the handler returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleRun {
    /// `sizeof(pintle_run)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The job's name.
    pub job: PintleStr,
    /// When it was due, in milliseconds since 1970-01-01 UTC. The run never starts before.
    pub due_ms: i64,
}

/// Overlap: a run that is due while the last one has not ended is skipped. The default.
pub const PINTLE_OVERLAP_SKIP: u32 = 0;
/// Overlap: at most one run that is due while the last one has not ended is queued behind it.
pub const PINTLE_OVERLAP_QUEUE: u32 = 1;

/// How a job is to be kept. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleJobOptions {
    /// `sizeof(pintle_job_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be 0: no flag is known yet.
    pub flags: u32,
    /// Time zone of a cron rule by its IANA name (`Europe/Vienna`); empty: UTC.
    pub zone: PintleStr,
    /// One of `PINTLE_OVERLAP_…`.
    pub overlap: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// Called on the plugin's lane with each run of a job.
///
/// - user: as given when scheduling.
/// - ctx: of the plugin, in the scope that scheduled the job; valid until the handler returns.
/// - run: borrowed until the handler returns.
/// - reply: takes at most 1 MiB, for the history of the job (not kept yet); above, the run has failed with
///   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
///
/// Returns: OK, or any other status: counted and logged as a failure; the job keeps its schedule.
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
    /// - rule: 5 or 6 fields (seconds first), names, `L W #`, `@hourly @daily @weekly @monthly @yearly`, `@every 90s`; borrowed
    ///   for the call. Day fields as in Debian's cron: if either begins with `*` both must match, else either.
    /// - handler: not null.
    /// - user: passed to `handler` and `release`; the plugin's.
    /// - release: called once when `user` is needed no more; may be null. Where this call fails it is not
    ///   called, and `user` stays with the caller.
    /// - options: may be null; borrowed for the call.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (name, rule with position and reason, zone); QUOTA (1,024 registrations a
    /// plugin); UNSUPPORTED (an option this host does not know); DENIED; STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
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
    /// - options: may be null; borrowed for the call. `zone` does not count.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; OUT_OF_RANGE (every_ms); otherwise as `cron`.
    /// Thread: any.
    /// Blocks: never.
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
    /// - options: may be null; borrowed for the call. `zone` and `overlap` do not count.
    /// - job: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; OUT_OF_RANGE (delay_ms); otherwise as `cron`.
    /// Thread: any.
    /// Blocks: never.
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
    /// Ends a job. A run under way is finished, then `release` is called.
    ///
    /// - ctx: any live context of the plugin.
    /// - job: from `cron`, `interval` or `once` of the same plugin.
    ///
    /// Returns: OK; STALE_HANDLE (also for a job that is over, was replaced, or is another plugin's).
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub remove: Option<unsafe extern "C" fn(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleRun>() == 32);
    assert!(offset_of!(PintleRun, due_ms) == 24);
    assert!(size_of::<PintleJobOptions>() == 32);
    assert!(offset_of!(PintleJobOptions, overlap) == 24);
    assert!(size_of::<PintleScheduler>() == 40);
    assert!(offset_of!(PintleScheduler, cron) == 8);
    assert!(offset_of!(PintleScheduler, remove) == 32);
};
