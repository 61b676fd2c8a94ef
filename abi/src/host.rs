//! What the host hands over to a plugin.

use core::ffi::c_void;

use crate::{
    PintleBytes, PintleCache, PintleConfig, PintleCtx, PintleDatabase, PintleEvents, PintleFiles,
    PintleIdempotency, PintleLog, PintleScheduler, PintleSink, PintleStatus, PintleStorage, PintleStr,
};

/// `pintle_scope_info.flags`: the context is in the system scope; there is no tenant.
pub const PINTLE_SCOPE_SYSTEM: u32 = 1;
/// `pintle_scope_info.flags`: the context ends with the call that it was given to.
pub const PINTLE_SCOPE_CALL: u32 = 2;

/// What the host knows of a context. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleScopeInfo {
    /// `sizeof(pintle_scope_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_SCOPE_…`.
    pub flags: u32,
    /// Which copy of the plugin this is: grows with every load in this process.
    pub generation: u64,
}

/// What the host hands over: its own functions, and the tables of the built-in services. No table pointer is
/// ever null: a service that the manifest does not ask for answers DENIED, with the line to add.
///
/// All functions may be called from any thread, also one that the plugin made, as long as the context lives;
/// never from a signal handler, in a forked child, from a thread that may be cancelled inside the call, or with
/// less than 256 KiB of stack left.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleHost {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// The host's `PINTLE_ABI_MINOR`.
    pub abi_minor: u32,
    /// Tells in one sentence why this thread's last failed call with this context failed, and what to do about
    /// it. Successful calls do not clear it. Each thread remembers the last failure of its 16 most recently
    /// failing contexts.
    ///
    /// - ctx: the value that the failed call was made with, valid or not.
    /// - out: gets the text; the caller's. May be called from inside a sink.
    ///
    /// Returns: OK; NOT_FOUND (no failure is remembered); INVALID_ARGUMENT (null `write`); CANCELLED (the sink
    /// refused). Its own failures are not remembered.
    /// Thread: any; answers for the calling thread.
    /// Blocks: never.
    /// Since: 1.0.
    pub last_error: Option<unsafe extern "C" fn(ctx: PintleCtx, out: PintleSink) -> PintleStatus>,
    /// Says why the running function is about to fail. Kept until the function returns; goes to the caller, the
    /// log and the report if its status is not OK.
    ///
    /// - ctx: the context that the running function was given.
    /// - message: one sentence, at most 4 KiB are kept; bad UTF-8 is replaced. Borrowed for the call. May be
    ///   called from inside a sink.
    ///
    /// Returns: OK; INVALID_ARGUMENT (null pointer); NOT_FOUND (no function runs under this context);
    /// STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub set_error: Option<unsafe extern "C" fn(ctx: PintleCtx, message: PintleStr) -> PintleStatus>,
    /// Gives a context of the same scope that lives until `release` or the end of the generation, for work that
    /// outlives its handler.
    ///
    /// - ctx: the context to take the scope from.
    /// - held: gets the new context; owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (null `held`); QUOTA (1,024 registrations a plugin); STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub hold: Option<unsafe extern "C" fn(ctx: PintleCtx, held: *mut PintleCtx) -> PintleStatus>,
    /// Ends a held context. Calls under way with it are finished.
    ///
    /// - held: from `hold`.
    ///
    /// Returns: OK; INVALID_ARGUMENT (a live context that was not held); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub release: Option<unsafe extern "C" fn(held: PintleCtx) -> PintleStatus>,
    /// Tells what the host knows of a context.
    ///
    /// - ctx: the context in question.
    /// - out: `size` set by the caller; the rest is written by the host. Owned by the caller.
    /// - tenant: gets the tenant's name, empty in the system scope; the caller's. `write` may be null if it is
    ///   not wanted.
    ///
    /// Returns: OK; INVALID_ARGUMENT (null `out`, `size` under 8); CANCELLED; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub scope: Option<
        unsafe extern "C" fn(ctx: PintleCtx, out: *mut PintleScopeInfo, tenant: PintleSink) -> PintleStatus,
    >,
    /// Tells how long the caller of the running function still waits.
    ///
    /// - ctx: the context in question.
    /// - ms: gets milliseconds; 0: the caller has given up; `PINTLE_FOREVER`: nobody waits. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (null `ms`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub remaining: Option<unsafe extern "C" fn(ctx: PintleCtx, ms: *mut i64) -> PintleStatus>,
    /// Calls a service of another plugin by message and waits for its reply. The request is copied and run on
    /// the provider's lane, under a context of the provider and the caller's tenant.
    ///
    /// - ctx: on whose behalf.
    /// - service: as in the provider's manifest, and in the caller's `services.call`; borrowed for the call.
    /// - major: the version of the service that the caller knows.
    /// - method: one of those in the provider's manifest; borrowed for the call.
    /// - request: at most 1 MiB, copied.
    /// - timeout_ms: how long to wait, 1 to 3,600,000; 0: 5,000. Never longer than `remaining`.
    /// - reply: gets the reply; the caller's.
    ///
    /// Returns: OK; NOT_FOUND (nobody provides the service in that major); UNSUPPORTED (unknown method); DENIED;
    /// INVALID_ARGUMENT; OUT_OF_RANGE (timeout_ms); TOO_LARGE; TIMEOUT (the provider may still run it);
    /// CANCELLED (the sink refused, when the provider has run already, or the caller's own caller has given up); REENTRANT (only the waiter itself
    /// could end the wait); BUSY (the provider's queue is full, or too many wait); UNAVAILABLE (the provider is
    /// disabled, unloaded or stuck); STOPPING; STALE_HANDLE; otherwise what the provider answered.
    /// Thread: any.
    /// Blocks: until the reply, at most `timeout_ms`.
    /// Since: 1.0.
    pub call: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            service: PintleStr,
            major: u32,
            method: PintleStr,
            request: PintleBytes,
            timeout_ms: i64,
            reply: PintleSink,
        ) -> PintleStatus,
    >,
    /// Gives a table of functions: one of the embedding application, or a built-in one (`pintle.log`,
    /// `pintle.config`, `pintle.cache`, …, major 1). Asking for what is not there is silent.
    ///
    /// - ctx: on whose behalf.
    /// - id: the service; borrowed for the call.
    /// - major: the version that the caller knows.
    /// - min_size: how far the table must reach at least, in bytes.
    /// - table: gets the table, which is valid until the host stops. Owned by the caller.
    /// - itself: gets what the functions of an application's table take first, null for a built-in one; may be
    ///   null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND (no such service, other major, or a shorter table); INVALID_ARGUMENT; DENIED;
    /// STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub service: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            id: PintleStr,
            major: u32,
            min_size: u32,
            table: *mut *const c_void,
            itself: *mut *mut c_void,
        ) -> PintleStatus,
    >,
    /// Structured log records.
    pub log: *const PintleLog,
    /// The plugin's settings.
    pub config: *const PintleConfig,
    /// Volatile items.
    pub cache: *const PintleCache,
    /// Durable items.
    pub storage: *const PintleStorage,
    /// SQL.
    pub database: *const PintleDatabase,
    /// Publish and subscribe.
    pub events: *const PintleEvents,
    /// Jobs by time.
    pub scheduler: *const PintleScheduler,
    /// Exactly-once starts.
    pub idempotency: *const PintleIdempotency,
    /// Blobs and resources.
    pub files: *const PintleFiles,
}

// SAFETY: the pointers lead to tables that are immutable and live as long as the process (the host library is
// never unmapped); the functions behind them may be called from any thread.
unsafe impl Sync for PintleHost {}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleScopeInfo>() == 16);
    assert!(offset_of!(PintleScopeInfo, generation) == 8);
    assert!(size_of::<PintleHost>() == 144);
    assert!(offset_of!(PintleHost, last_error) == 8);
    assert!(offset_of!(PintleHost, service) == 64);
    assert!(offset_of!(PintleHost, log) == 72);
    assert!(offset_of!(PintleHost, files) == 136);
};
