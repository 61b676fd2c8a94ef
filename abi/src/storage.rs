//! The table of the storage service.

use core::ffi::c_void;

use crate::{
    PintleBytes, PintleCtx, PintleEmitOptions, PintleRegistration, PintleRelease, PintleSink, PintleStatus,
    PintleStr,
};

/// What the host knows of an item that was read. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageInfo {
    /// `sizeof(pintle_storage_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// 0: no flag is known yet.
    pub flags: u32,
    /// Grows with every write, over all items, and is never used again.
    pub version: u64,
    /// When the item was created, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When it was last written, in milliseconds since 1970-01-01 UTC.
    pub updated_ms: i64,
    /// How long it is still there, in milliseconds; `PINTLE_FOREVER`: it does not expire.
    pub ttl_ms: i64,
}

/// `pintle_storage_options.flags`: `if_version` counts.
pub const PINTLE_STORAGE_IF_VERSION: u32 = 1;
/// `pintle_storage_options.flags`: `ttl_ms` counts. Without it an item that is written does not expire.
pub const PINTLE_STORAGE_TTL: u32 = 2;
/// `pintle_storage_options.flags`: an item that is there keeps the lifetime that it has; not together with
/// `PINTLE_STORAGE_TTL`.
pub const PINTLE_STORAGE_KEEP_TTL: u32 = 4;
/// `pintle_storage_options.flags`: the value must be one JSON text (RFC 8259), else INVALID_ARGUMENT with the place, and
/// nothing is written.
pub const PINTLE_STORAGE_JSON: u32 = 8;

/// Under which condition, and for how long, an item is to be written. Zero means none, and for ever.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageOptions {
    /// `sizeof(pintle_storage_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_STORAGE_…`, or 0.
    pub flags: u32,
    /// With its flag: write only if the item has this version; 0: only if it is not there.
    pub if_version: u64,
    /// With its flag: how long the item lives, in milliseconds; 0: it does not expire; negative: OUT_OF_RANGE.
    pub ttl_ms: i64,
}

/// `pintle_storage_step.kind`: writes `value` under `key`.
pub const PINTLE_STEP_SET: u32 = 1;
/// `pintle_storage_step.kind`: removes the item; no failure if it is not there.
pub const PINTLE_STEP_REMOVE: u32 = 2;
/// `pintle_storage_step.kind`: adds `delta` to the number that the item is.
pub const PINTLE_STEP_INCR: u32 = 3;
/// `pintle_storage_step.kind`: writes nothing; the item must have the version that the options name.
pub const PINTLE_STEP_CHECK: u32 = 4;
/// `pintle_storage_step.kind`: publishes an event: `key` is the topic, `value` the payload of at most 1 MiB, `event` its
/// options.
pub const PINTLE_STEP_EMIT: u32 = 5;
/// `pintle_storage_step.kind`: schedules a durable job: `key` is its name, `value` what its runs are given, `job` the rest.
pub const PINTLE_STEP_SCHEDULE: u32 = 6;

/// A job that a batch schedules. One of `rule` and `every_ms` says when it runs; without both it runs once.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageJob {
    /// `sizeof(pintle_storage_job)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// One of `PINTLE_OVERLAP_…`.
    pub overlap: u32,
    /// A cron rule, as `pintle_scheduler.cron` takes it; empty: none.
    pub rule: PintleStr,
    /// Time zone of the rule by its IANA name; empty: UTC.
    pub zone: PintleStr,
    /// How often it runs, in milliseconds; 0: not by interval.
    pub every_ms: i64,
    /// For a job that runs once: how long from the commit on, in milliseconds, at least 0.
    pub delay_ms: i64,
}

/// One step of a batch. What its kind does not use must be zero, else INVALID_ARGUMENT.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageStep {
    /// `sizeof(pintle_storage_step)` of the plugin; the same in all steps of a batch.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// One of `PINTLE_STEP_…`.
    pub kind: u32,
    /// The item's key, the event's topic or the job's name.
    pub key: PintleStr,
    /// The item's value, the event's payload or what the job's runs are given.
    pub value: PintleBytes,
    /// `PINTLE_STEP_INCR`: what to add.
    pub delta: i64,
    /// Of the write: as in `set` and `incr`; may be null. `PINTLE_STEP_REMOVE` and `PINTLE_STEP_CHECK` take
    /// `PINTLE_STORAGE_IF_VERSION` alone, and a check must have it.
    pub options: *const PintleStorageOptions,
    /// `PINTLE_STEP_EMIT`: as in `emit`; may be null. Its `wait_ms` must be 0.
    pub event: *const PintleEmitOptions,
    /// `PINTLE_STEP_SCHEDULE`: when the job runs; not null.
    pub job: *const PintleStorageJob,
}

/// `pintle_storage_change.kind`: the item was written.
pub const PINTLE_CHANGE_SET: u32 = 1;
/// `pintle_storage_change.kind`: the item was removed.
pub const PINTLE_CHANGE_REMOVED: u32 = 2;
/// `pintle_storage_change.kind`: the item has expired.
pub const PINTLE_CHANGE_EXPIRED: u32 = 3;
/// `pintle_storage_change.kind`: every item that was there was removed, by `clear`; `key` is empty.
pub const PINTLE_CHANGE_CLEARED: u32 = 4;

/// A change, as a watch sees it. Borrowed until the handler returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageChange {
    /// `sizeof(pintle_storage_change)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// One of `PINTLE_CHANGE_…`; handlers must skip what they do not know.
    pub kind: u32,
    /// The item's key. Its value is not told: `get` reads the newest.
    pub key: PintleStr,
    /// The version of the change: what to resume after.
    pub version: u64,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
}

/// Called on the plugin's lane with each change that a watch is about, in the order of their versions.
///
/// - user: as given to `watch`.
/// - ctx: of the plugin, in the scope that watches; valid until the handler returns.
/// - change: borrowed until the handler returns.
/// - reply: nobody reads it.
///
/// Returns: OK, or any other status: counted and logged as a failure; the watch goes on with the next change.
/// Thread: the plugin's lane: [lane].
/// Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleWatchHandler(
    pub  Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            ctx: PintleCtx,
            change: *const PintleStorageChange,
            reply: PintleSink,
        ) -> PintleStatus,
    >,
);

/// `pintle_watch_options.flags`: `after` counts. Without it a watch begins with what changes from now on.
pub const PINTLE_WATCH_AFTER: u32 = 1;

/// Where a watch begins. Zero means with what changes from now on.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleWatchOptions {
    /// `sizeof(pintle_watch_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_WATCH_AFTER`, or 0.
    pub flags: u32,
    /// With its flag: begin with what has changed after this version; 0: with every item that is there.
    pub after: u64,
}

/// What a plugin has in the storage for one tenant. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageStats {
    /// `sizeof(pintle_storage_stats)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// How many items there are for the tenant of the context. One that has expired may count for a moment.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// How many items the tenant of the context may have; 0: no limit.
    pub most_items: u64,
    /// How many bytes they may have; 0: no limit.
    pub most_bytes: u64,
    /// The version that was given last, to an item of anybody.
    pub version: u64,
}

/// Durable key-value items: OK to a write means that it is on disk.
///
/// Items belong to the plugin and the tenant of the context and lie under keys of 1 to 512 bytes, UTF-8 without
/// NUL. Values are bytes, at most 4 MiB by default; an empty value is a value. They outlive the host, reloads and
/// updates of the plugin. An item that has expired is not there, for every function. In `load` and `restore` every function
/// that writes answers UNAVAILABLE.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorage {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Reads an item.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - out: gets the bytes; the caller's.
    /// - info: gets what is known of the item; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; CANCELLED (the sink refused); UNAVAILABLE (the disk
    /// fails, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub get: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            key: PintleStr,
            out: PintleSink,
            info: *mut PintleStorageInfo,
        ) -> PintleStatus,
    >,
    /// Writes an item.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - value: at most 4 MiB by default, copied.
    /// - options: may be null; borrowed for the call.
    /// - version: gets the item's new version, and on CONFLICT the one that it has (0: it is not there); may be
    ///   null. Owned by the caller.
    ///
    /// Returns: OK; CONFLICT (not the version asked for); TOO_LARGE; INVALID_ARGUMENT (also what is to be JSON and is
    /// not); OUT_OF_RANGE (the lifetime); QUOTA (more items or bytes than the settings allow); DENIED; UNSUPPORTED (an
    /// option this host does not know); UNAVAILABLE (in `load` and `restore`; the disk is full or fails, the text says
    /// which; the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the write is on disk.
    /// Since: 1.0.
    pub set: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            key: PintleStr,
            value: PintleBytes,
            options: *const PintleStorageOptions,
            version: *mut u64,
        ) -> PintleStatus,
    >,
    /// Removes an item. No failure if it is not there.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - existed: gets 1 if the item was there, else 0; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `set`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the removal is on disk.
    /// Since: 1.0.
    pub remove:
        Option<unsafe extern "C" fn(ctx: PintleCtx, key: PintleStr, existed: *mut u32) -> PintleStatus>,
    /// Tells whether an item is there.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - exists: gets 1 if the item is there, else 0. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub exists:
        Option<unsafe extern "C" fn(ctx: PintleCtx, key: PintleStr, exists: *mut u32) -> PintleStatus>,
    /// Lists keys in byte order, in pages.
    ///
    /// - ctx: on whose behalf.
    /// - prefix: which keys: those that begin with these bytes; empty: all. At most 512 bytes, no character has a
    ///   meaning of its own. Borrowed for the call.
    /// - cursor: empty for the first page, then what `next` got; borrowed for the call.
    /// - limit: how many keys at most, 1 to 1,000; 0: 100.
    /// - out: gets the keys, each followed by a NUL; the caller's.
    /// - next: gets the cursor of the next page, empty after the last; its `write` may be null. The caller's. Keys
    ///   that come or go between two pages do not disturb it.
    ///
    /// Returns: OK; INVALID_ARGUMENT (also a cursor that `next` did not get); DENIED; CANCELLED (a sink refused);
    /// UNAVAILABLE (as `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub keys: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            prefix: PintleStr,
            cursor: PintleStr,
            limit: u32,
            out: PintleSink,
            next: PintleSink,
        ) -> PintleStatus,
    >,
    /// Removes every item of the plugin for the tenant of the context, and none of another.
    ///
    /// - ctx: on whose behalf.
    /// - removed: gets how many there were; may be null. Owned by the caller.
    ///
    /// Returns: OK; DENIED; UNAVAILABLE (as `set`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the removal is on disk.
    /// Since: 1.0.
    pub clear: Option<unsafe extern "C" fn(ctx: PintleCtx, removed: *mut u64) -> PintleStatus>,
    /// Reads an item into a buffer of the caller's: `get` for hot paths.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - buf: gets the bytes; the caller's; may be null if `cap` is 0.
    /// - cap: how many bytes `buf` has.
    /// - len: gets how many bytes the value has, also on BUFFER_TOO_SMALL. Owned by the caller.
    /// - info: gets what is known of the item, also on BUFFER_TOO_SMALL; may be null. Owned by the caller.
    ///
    /// Returns: OK; BUFFER_TOO_SMALL (nothing is written to `buf`); NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as
    /// `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub get_into: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            key: PintleStr,
            buf: *mut u8,
            cap: usize,
            len: *mut usize,
            info: *mut PintleStorageInfo,
        ) -> PintleStatus,
    >,
    /// Adds to the number that an item is, and tells the sum. The item is the decimal text of a 64-bit integer, without
    /// leading zeros or a plus sign; one that is not there counts from 0.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - delta: what to add.
    /// - options: `if_version` as in `set`; the lifetime counts only where the item is created, and never slides; no other
    ///   flag is taken. May be null. Borrowed for the call.
    /// - value: gets the sum; may be null. Owned by the caller.
    /// - version: gets the item's new version, and on CONFLICT the one that it has; may be null. Owned by the caller.
    ///
    /// Returns: OK; WRONG_TYPE (the item is another text); OUT_OF_RANGE (the sum, or the lifetime); CONFLICT;
    /// INVALID_ARGUMENT; QUOTA; DENIED; UNSUPPORTED; UNAVAILABLE (as `set`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the write is on disk.
    /// Since: 1.0.
    pub incr: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            key: PintleStr,
            delta: i64,
            options: *const PintleStorageOptions,
            value: *mut i64,
            version: *mut u64,
        ) -> PintleStatus,
    >,
    /// Gives an item another lifetime, from now on. It is a write: the item gets another version.
    ///
    /// - ctx: on whose behalf.
    /// - key: borrowed for the call.
    /// - ttl_ms: in milliseconds; 0: it does not expire any more; negative: it is removed now.
    /// - existed: gets 1 if the item was there, else 0; may be null. Owned by the caller.
    ///
    /// Returns: OK; OUT_OF_RANGE (the end of the lifetime lies beyond all time); INVALID_ARGUMENT; DENIED; UNAVAILABLE (as
    /// `set`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the write is on disk.
    /// Since: 1.0.
    pub expire: Option<
        unsafe extern "C" fn(ctx: PintleCtx, key: PintleStr, ttl_ms: i64, existed: *mut u32) -> PintleStatus,
    >,
    /// Does up to 128 steps in their order, all of them or none, in one commit. Later steps see what earlier ones wrote.
    /// Events and jobs are committed with the writes, and then published and scheduled at least once. Needs the grants
    /// that its steps would need one by one.
    ///
    /// - ctx: on whose behalf.
    /// - steps: what is to be done, and what they lead to; borrowed for the call. With 16 MiB together at most, by default.
    /// - count: how many there are, at least 1.
    /// - versions: as many as there are steps: each gets the new version of its item, 0 where nothing was written; on
    ///   CONFLICT the failed step's gets the version that its item has (0: it is not there). May be null. Owned by the
    ///   caller.
    /// - values: as many as there are steps: each gets the sum of its `PINTLE_STEP_INCR`, 1 for a `PINTLE_STEP_REMOVE`
    ///   whose item was there, else 0. May be null. Owned by the caller.
    /// - failed: gets which step failed, from 0 on, where one did; `count` where it was none of them. Written also where
    ///   this does not answer OK. May be null. Owned by the caller.
    ///
    /// Returns: OK; what the failed step would answer on its own: CONFLICT, WRONG_TYPE, OUT_OF_RANGE, TOO_LARGE,
    /// INVALID_ARGUMENT, QUOTA, DENIED, UNSUPPORTED; TOO_LARGE (too many steps, or too many bytes together);
    /// UNAVAILABLE (as `set`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the batch is on disk.
    /// Since: 1.0.
    pub batch: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            steps: *const PintleStorageStep,
            count: usize,
            versions: *mut u64,
            values: *mut i64,
            failed: *mut usize,
        ) -> PintleStatus,
    >,
    /// Watches the items whose keys begin with a prefix. After any change of such an item the handler is told of its key,
    /// with the version of that change or of a later one: a key that changes while its last change still waits to be told
    /// may be told once. The same change may be told again after a resumption. Made in `load`, it is live from `enable` on.
    ///
    /// A handler that keeps the last version that it was told, and passes it as `after` the next time, misses nothing, also
    /// across restarts. Removals are remembered for 24 hours by default.
    ///
    /// - ctx: on whose behalf; the scope that is watched.
    /// - prefix: which keys: those that begin with these bytes; empty: all. At most 512 bytes. Borrowed for the call.
    /// - handler: called with each change; not null.
    /// - user: passed to `handler` and `release`; the plugin's.
    /// - release: called once when `user` is needed no more; may be null. Where this call fails it is not
    ///   called, and `user` stays with the caller.
    /// - options: where to begin; may be null; borrowed for the call.
    /// - watch: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; OUT_OF_RANGE (removals after `after` are forgotten, or there was no such version: begin with 0);
    /// INVALID_ARGUMENT; QUOTA (1,024 registrations a plugin); DENIED; UNSUPPORTED; UNAVAILABLE (as `get`); STOPPING;
    /// STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub watch: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            prefix: PintleStr,
            handler: PintleWatchHandler,
            user: *mut c_void,
            release: PintleRelease,
            options: *const PintleWatchOptions,
            watch: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Ends a watch. A call under way is finished, then `release` is called.
    ///
    /// - ctx: any live context of the plugin.
    /// - watch: from `watch` of the same plugin.
    ///
    /// Returns: OK; STALE_HANDLE (also for a watch that is over, or another plugin's).
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub unwatch: Option<unsafe extern "C" fn(ctx: PintleCtx, watch: PintleRegistration) -> PintleStatus>,
    /// Tells what the plugin has in the storage for the tenant of the context.
    ///
    /// - ctx: on whose behalf.
    /// - stats: `size` set by the caller; the rest is written by the host. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (null `stats`, `size` under 8); DENIED; UNAVAILABLE (as `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub stats: Option<unsafe extern "C" fn(ctx: PintleCtx, stats: *mut PintleStorageStats) -> PintleStatus>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleStorageInfo>() == 40);
    assert!(offset_of!(PintleStorageInfo, ttl_ms) == 32);
    assert!(size_of::<PintleStorageOptions>() == 24);
    assert!(offset_of!(PintleStorageOptions, if_version) == 8);
    assert!(offset_of!(PintleStorageOptions, ttl_ms) == 16);
    assert!(size_of::<PintleStorageJob>() == 56);
    assert!(offset_of!(PintleStorageJob, every_ms) == 40);
    assert!(size_of::<PintleStorageStep>() == 72);
    assert!(offset_of!(PintleStorageStep, delta) == 40);
    assert!(offset_of!(PintleStorageStep, job) == 64);
    assert!(size_of::<PintleStorageChange>() == 40);
    assert!(offset_of!(PintleStorageChange, version) == 24);
    assert!(size_of::<PintleWatchOptions>() == 16);
    assert!(size_of::<PintleStorageStats>() == 48);
    assert!(size_of::<PintleStorage>() == 112);
    assert!(offset_of!(PintleStorage, get) == 8);
    assert!(offset_of!(PintleStorage, clear) == 48);
    assert!(offset_of!(PintleStorage, stats) == 104);
};
