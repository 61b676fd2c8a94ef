//! The table of the cache service.

use core::ffi::c_void;

use crate::{PintleBytes, PintleCtx, PintleSink, PintleStatus, PintleStr};

/// `pintle_cache_info.flags`: the item is an integer; otherwise it is bytes.
pub const PINTLE_CACHE_INTEGER: u32 = 1;
/// `pintle_cache_info.flags`: the item is stale: past its lifetime, and still within its stale span.
pub const PINTLE_CACHE_STALE: u32 = 2;
/// `pintle_cache_info.flags`, with NOT_FOUND: it is known that there is nothing to be loaded (`set_absent`).
pub const PINTLE_CACHE_ABSENT: u32 = 4;

/// What the host knows of an item that was read. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheInfo {
    /// `sizeof(pintle_cache_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_CACHE_INTEGER`, `PINTLE_CACHE_STALE` and `PINTLE_CACHE_ABSENT`, added up, or 0.
    pub flags: u32,
    /// The value of an integer; 0 for bytes.
    pub integer: i64,
    /// How long the item is still fresh, in milliseconds, at least 1; 0 if it is stale; `PINTLE_FOREVER` if it does
    /// not expire.
    pub ttl_ms: i64,
    /// How long it is still there, fresh or stale, in milliseconds, at least 1; 0 if it is past that and `fail` gives it;
    /// `PINTLE_FOREVER` if it does not expire.
    pub left_ms: i64,
    /// Another one with each write of this key, never 0 and never one that this key has had before. 0 with
    /// `PINTLE_CACHE_ABSENT`.
    pub version: u64,
}

/// `pintle_cache_options.flags`: `ttl_ms` counts.
pub const PINTLE_CACHE_TTL: u32 = 1;
/// `pintle_cache_options.flags`: an item that is there keeps its lifetime and its spans; `ttl_ms` and the spans count
/// only where the item is created.
pub const PINTLE_CACHE_KEEP_TTL: u32 = 2;
/// `pintle_cache_options.flags`: only if the item is not there, else CONFLICT.
pub const PINTLE_CACHE_IF_ABSENT: u32 = 4;
/// `pintle_cache_options.flags`: only if the item has `version`, else CONFLICT. Not together with
/// `PINTLE_CACHE_IF_ABSENT` (INVALID_ARGUMENT).
pub const PINTLE_CACHE_IF_VERSION: u32 = 8;

/// The right, and the duty, to load one item: from `fetch`, until `set`, `set_absent` or `fail` ends it or its deadline
/// passes. 0 is none. Good for its plugin and tenant only, and for no longer than the generation that it was given to.
pub type PintleCacheLease = u64;

/// How an item is to be kept. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheOptions {
    /// `sizeof(pintle_cache_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_CACHE_TTL`, `PINTLE_CACHE_KEEP_TTL`, `PINTLE_CACHE_IF_ABSENT` and `PINTLE_CACHE_IF_VERSION`, added up, or 0.
    pub flags: u32,
    /// With its flag: how long the item is fresh, in milliseconds, at most 100 years; 0: it does not expire. Without: as
    /// long as the host's settings say, 1 hour by default.
    pub ttl_ms: i64,
    /// The stale span: how long after its lifetime the item is still given, as stale, while somebody loads it anew, in
    /// milliseconds, at most 100 years (stale-while-revalidate, RFC 5861).
    pub stale_ms: i64,
    /// The error span: how long after its lifetime `fail` still gives the item to a caller who could not load it, in
    /// milliseconds, at most 100 years (stale-if-error, RFC 5861). Past its stale span it is absent for all others.
    pub error_ms: i64,
    /// With `PINTLE_CACHE_IF_VERSION`: the version that the item must have; 0: it must not be there.
    pub version: u64,
    /// From `fetch` of the same namespace and key: the write answers it, and is refused if it is over. 0: none.
    pub lease: PintleCacheLease,
    /// By which the item can be invalidated: `tag_count` names, of 1 to 128 bytes, UTF-8 without NUL, borrowed for the
    /// call. May be null if there are none.
    pub tags: *const PintleStr,
    /// How many tags there are, at most 16 (else INVALID_ARGUMENT); the same one twice is one.
    pub tag_count: usize,
}

/// One item to be written by `set_many`.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheEntry {
    /// `sizeof(pintle_cache_entry)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// As in `set`.
    pub key: PintleStr,
    /// As in `set`.
    pub value: PintleBytes,
    /// As in `set`.
    pub options: *const PintleCacheOptions,
}

/// The answer to one key of `get_many`.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheItem {
    /// `sizeof(pintle_cache_item)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// OK, NOT_FOUND, or why it could not be read.
    pub status: PintleStatus,
    /// Which of the keys it is, from 0.
    pub index: usize,
    /// The key itself: the caller's own.
    pub key: PintleStr,
    /// The bytes, or the digits of an integer; empty unless the status is OK.
    pub value: PintleBytes,
    /// What is known of the item; null unless the status is OK, or NOT_FOUND of what is known to be absent.
    pub info: *const PintleCacheInfo,
}

/// Called with the answer to each key of `get_many`. Host calls from inside answer REENTRANT, except `last_error` and
/// `set_error`.
///
/// - user: as given to `get_many`.
/// - item: borrowed until this function returns.
///
/// Returns: OK to go on; anything else: no further item is told, and `get_many` answers CANCELLED.
/// Thread: that of the call of `get_many`: [any-thread].
/// Blocks: it should not.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheItemHandler(
    pub Option<unsafe extern "C" fn(user: *mut c_void, item: *const PintleCacheItem) -> PintleStatus>,
);

/// `pintle_cache_fetch.flags`: do not wait for another caller who is loading the item: TIMEOUT at once.
pub const PINTLE_CACHE_NO_WAIT: u32 = 1;

/// How an item is to be fetched. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheFetch {
    /// `sizeof(pintle_cache_fetch)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_CACHE_NO_WAIT`, or 0.
    pub flags: u32,
    /// How long to wait for another caller who is loading the item, in milliseconds, 1 to 3,600,000; 0: 5,000 by
    /// default. Never longer than this function's own caller waits.
    pub wait_ms: i64,
    /// How long the lease is good for, if this caller gets it, in milliseconds, 1 to 3,600,000; 0: 10,000.
    pub lease_ms: i64,
}

/// What a plugin has in the cache. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheStats {
    /// `sizeof(pintle_cache_stats)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Its items that have not expired, of all tenants.
    pub items: u64,
    /// What they take, in bytes, with what it takes to keep them.
    pub bytes: u64,
    /// Below how many bytes no other plugin can push it.
    pub guaranteed_bytes: u64,
    /// What the items of all plugins together may take, in bytes.
    pub capacity_bytes: u64,
    /// How many items have made room for others since the host started.
    pub evicted: u64,
}

/// `expire`: whatever the item's lifetime is.
pub const PINTLE_EXPIRE_ALWAYS: u32 = 0;
/// `expire`: only if the item does not expire yet.
pub const PINTLE_EXPIRE_IF_NONE: u32 = 1;
/// `expire`: only if the item expires already.
pub const PINTLE_EXPIRE_IF_SET: u32 = 2;
/// `expire`: only if the new end is later than the end that the item has. To have no end is later than any end.
pub const PINTLE_EXPIRE_IF_LATER: u32 = 3;
/// `expire`: only if the new end is earlier than the end that the item has. To have no end is later than any end;
/// to be removed now is earlier than all.
pub const PINTLE_EXPIRE_IF_EARLIER: u32 = 4;

/// Volatile key-value items, at the speed of a local map; gone when the host stops, or when room is needed.
///
/// Items belong to the plugin and the tenant of the context, and lie in namespaces (1 to 128 bytes) under keys
/// (1 to 512 bytes), both UTF-8 without NUL. An item is bytes, at most 1 MiB, or a 64-bit integer, which reads
/// as its decimal digits. An empty value is a value. An item that has expired is absent for every function.
///
/// Where the host's settings name a back end behind the memory, items may outlive the host, reads of what is not in memory
/// and all writes block while that back end works, and if it is down reads find nothing and all else answers UNAVAILABLE.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCache {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Reads an item.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - out: gets the bytes, or the digits of an integer; the caller's.
    /// - info: gets what is known of the item, on OK, and on NOT_FOUND if it is known to be absent; may be null. Owned by
    ///   the caller.
    ///
    /// A stale item is given too, and `info` says that it is: whoever wants to load it anew calls `fetch`.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED (the method, or the namespace); CANCELLED (the sink
    /// refused); UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub get: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            out: PintleSink,
            info: *mut PintleCacheInfo,
        ) -> PintleStatus,
    >,
    /// Reads an item into a buffer: `get` for hot paths, and granted with it.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - buf: gets the bytes, or the digits of an integer; may be null if `cap` is 0. Owned by the caller.
    /// - cap: how many bytes `buf` has room for.
    /// - len: gets the number of bytes of the value, on OK and on BUFFER_TOO_SMALL. Owned by the caller.
    /// - info: as in `get`. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; BUFFER_TOO_SMALL (`len` is what is needed, and nothing else was written);
    /// INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub get_into: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            buf: *mut u8,
            cap: usize,
            len: *mut usize,
            info: *mut PintleCacheInfo,
        ) -> PintleStatus,
    >,
    /// Writes an item of bytes. Replaces value, lifetime, spans and tags of one that is there.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - value: at most 1 MiB, copied.
    /// - options: may be null; borrowed for the call.
    ///
    /// Returns: OK; CONFLICT (a condition does not hold; or with a lease: it has lapsed, or the key or one of the tags was
    /// written or invalidated since it was given): nothing was written; TOO_LARGE (above 1 MiB, or more than the
    /// whole cache has room for); OUT_OF_RANGE (a lifetime or a span that is negative or above 100 years);
    /// INVALID_ARGUMENT; DENIED (the method, or the namespace); UNSUPPORTED (an option this host does not know);
    /// UNAVAILABLE (no room could be made for it, there is no memory, the back end is down, or the host has stopped);
    /// STALE_HANDLE (also a lease that was never given to this plugin and tenant).
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub set: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            value: PintleBytes,
            options: *const PintleCacheOptions,
        ) -> PintleStatus,
    >,
    /// Removes an item. No failure if it is not there.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - existed: gets 1 if the item was there, else 0; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub remove: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            existed: *mut u32,
        ) -> PintleStatus,
    >,
    /// Tells whether an item is there.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - exists: gets 1 if the item is there, else 0. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub exists: Option<
        unsafe extern "C" fn(ctx: PintleCtx, ns: PintleStr, key: PintleStr, exists: *mut u32) -> PintleStatus,
    >,
    /// Adds to an integer, in one step that no other thread can come between. A missing item counts from 0, and
    /// bytes that are the decimal digits of a 64-bit integer, as `get` would give them, become one.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - delta: what to add; may be negative or 0.
    /// - options: may be null; borrowed for the call. Only the lifetime may be given (else INVALID_ARGUMENT), and it counts
    ///   only where the item is created: it never slides.
    /// - value: gets the sum; may be null. Owned by the caller.
    ///
    /// Returns: OK; WRONG_TYPE (other bytes); OUT_OF_RANGE (the sum overflows, or a lifetime as in `set`, also where
    /// it does not count); TOO_LARGE (more than the whole cache has room for); INVALID_ARGUMENT; DENIED; UNSUPPORTED
    /// (an option this host does not know); UNAVAILABLE (as `set`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub incr: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            delta: i64,
            options: *const PintleCacheOptions,
            value: *mut i64,
        ) -> PintleStatus,
    >,
    /// Changes how long an item lives. Its spans stay as long as they are.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - ttl_ms: from now on, in milliseconds, at most 100 years; 0: it does not expire any more; negative: it is
    ///   removed now.
    /// - condition: one of `PINTLE_EXPIRE_…`.
    /// - existed: gets 1 if the item was there, else 0, on OK and on CONFLICT; may be null. Owned by the caller.
    ///
    /// Returns: OK, also where the item is not there; CONFLICT (the condition does not hold, nothing was changed);
    /// OUT_OF_RANGE (`ttl_ms`); INVALID_ARGUMENT; DENIED; UNSUPPORTED (a condition this host does not know); UNAVAILABLE (the
    /// host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub expire: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            ttl_ms: i64,
            condition: u32,
            existed: *mut u32,
        ) -> PintleStatus,
    >,
    /// Tells how long an item is still fresh.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - ttl_ms: gets the milliseconds, at least 1; 0 if it is stale; `PINTLE_FOREVER` if it does not expire. Owned by the
    ///   caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub ttl: Option<
        unsafe extern "C" fn(ctx: PintleCtx, ns: PintleStr, key: PintleStr, ttl_ms: *mut i64) -> PintleStatus,
    >,
    /// Reads several items. They are read one after the other: what others write meanwhile is seen in some of them.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace of all; borrowed for the call.
    /// - keys: borrowed for the call.
    /// - count: how many keys, at most 1,024.
    /// - each: called with the answer to each key, in their order, before this returns; not null.
    /// - user: passed to `each`; the caller's.
    ///
    /// Returns: OK, whatever was found; CANCELLED (`each` refused); INVALID_ARGUMENT (also one of the keys: then nothing was
    /// read); TOO_LARGE (the count); DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub get_many: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            keys: *const PintleStr,
            count: usize,
            each: PintleCacheItemHandler,
            user: *mut c_void,
        ) -> PintleStatus,
    >,
    /// Writes several items, each as `set` would, in their order. One that fails does not keep the others from being
    /// written.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace of all; borrowed for the call.
    /// - entries: borrowed for the call.
    /// - count: how many, at most 1,024.
    /// - statuses: gets what `set` answered for each, `count` of them, on OK; not null unless `count` is 0. `last_error` then
    ///   tells of the last that failed. Owned by the caller.
    ///
    /// Returns: OK, whatever became of each; INVALID_ARGUMENT (the namespace, or what is no array); TOO_LARGE (the count);
    /// DENIED; UNSUPPORTED (a member of an entry that this host does not know; an option like that is the answer to its
    /// entry alone); UNAVAILABLE (the host has stopped); STALE_HANDLE. Where it is not OK nothing was written.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub set_many: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            entries: *const PintleCacheEntry,
            count: usize,
            statuses: *mut PintleStatus,
        ) -> PintleStatus,
    >,
    /// Writes that it is known to be absent: `get` and `fetch` answer NOT_FOUND at once, and nobody loads it meanwhile.
    /// Replaces an item that is there. For all other functions it is not there.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - options: as in `set`, without spans (INVALID_ARGUMENT); may be null; borrowed for the call. Where no lifetime is
    ///   given it is the one that the host's settings have for what is absent, 10 seconds by default.
    ///
    /// Returns: as `set`.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub set_absent: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            options: *const PintleCacheOptions,
        ) -> PintleStatus,
    >,
    /// Reads an item, and makes one caller load it where it has to be loaded. Of many that miss the same item one gets
    /// the lease, and the others wait for what it writes; if it fails, or its lease lapses, the next one gets a lease. Of
    /// many that find a stale item the first gets the lease, and all get the item at once.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - options: may be null; borrowed for the call.
    /// - out: gets the bytes, or the digits of an integer; the caller's.
    /// - info: gets what is known of the item, on OK, and on NOT_FOUND if it is known to be absent; may be null. Owned by
    ///   the caller.
    /// - lease: gets the lease on OK and on NOT_FOUND: if it is not 0 the caller is to load the item and to end the lease by
    ///   `set` or `set_absent` with it, or by `fail`. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND (with a lease: load it; without: it is known to be absent); TIMEOUT (another caller is loading it
    /// still); REENTRANT (it is this very call that is to load it, or one that waits for this call: waiting would never
    /// end); BUSY (too many calls wait inside the host); QUOTA (the plugin has 1,024 leases); INVALID_ARGUMENT; OUT_OF_RANGE (a
    /// time of the options); DENIED; UNSUPPORTED; CANCELLED (the sink refused: then the lease is over too; or the caller of
    /// this function has given up); STOPPING; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the item is there or to be loaded by this caller, at most `wait_ms`.
    /// Since: 1.0.
    pub fetch: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            key: PintleStr,
            options: *const PintleCacheFetch,
            out: PintleSink,
            info: *mut PintleCacheInfo,
            lease: *mut PintleCacheLease,
        ) -> PintleStatus,
    >,
    /// Says that the item could not be loaded: the lease is over, and the next caller who waits gets one. Gives the old
    /// item, if that is still within its stale or its error span.
    ///
    /// - ctx: on whose behalf: of the plugin and the tenant that got the lease.
    /// - lease: from `fetch`.
    /// - out: gets the bytes of the old item; the caller's.
    /// - info: gets what is known of the old item; may be null. Owned by the caller.
    ///
    /// Returns: OK (the old item was given); NOT_FOUND (there is none to give; `last_error` goes on to tell of what failed
    /// before); CANCELLED (the sink refused; the lease is over all the same); DENIED; UNAVAILABLE (the host has stopped);
    /// STALE_HANDLE (also a lease that is over).
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub fail: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            lease: PintleCacheLease,
            out: PintleSink,
            info: *mut PintleCacheInfo,
        ) -> PintleStatus,
    >,
    /// Removes all items whose keys match a pattern, and refuses what is loaded under leases for such keys.
    ///
    /// In a pattern `*` stands for any number of characters, `?` for one, `[a-z]` for one of a set and `[!a-z]` for one that
    /// is not in it, and none of them for `/`; `**` between slashes, or at an end, for any number of whole segments, also
    /// none; a backslash takes the meaning from the character behind it. All else stands for itself.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - pattern: 1 to 512 bytes, UTF-8 without NUL; borrowed for the call.
    /// - count: gets how many items there were; may be null. Owned by the caller.
    ///
    /// Returns: OK, also where nothing matches; INVALID_ARGUMENT (also a bad pattern, with the place); DENIED; UNAVAILABLE (the
    /// back end is down, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while it looks at the keys of the namespace.
    /// Since: 1.0.
    pub invalidate: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            pattern: PintleStr,
            count: *mut u64,
        ) -> PintleStatus,
    >,
    /// Removes all items that were written with a tag, in all namespaces, and refuses what is loaded under leases that are
    /// out and is then written with it.
    ///
    /// - ctx: on whose behalf.
    /// - tag: 1 to 128 bytes, UTF-8 without NUL; borrowed for the call.
    /// - count: gets how many items there were; may be null. Owned by the caller.
    ///
    /// Returns: OK, also where nothing has it; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the back end is down, or the host has
    /// stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the items are removed.
    /// Since: 1.0.
    pub invalidate_tag:
        Option<unsafe extern "C" fn(ctx: PintleCtx, tag: PintleStr, count: *mut u64) -> PintleStatus>,
    /// Removes all items of a namespace, and refuses what is loaded under leases for keys of it.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - count: gets how many items there were; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the back end is down, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the items are removed.
    /// Since: 1.0.
    pub clear: Option<unsafe extern "C" fn(ctx: PintleCtx, ns: PintleStr, count: *mut u64) -> PintleStatus>,
    /// Lists the keys of a namespace, in no order, in pages. A key whose item is there from the first page to the last is
    /// told exactly once.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - prefix: which keys: those that begin with these bytes; empty: all. At most 512 bytes, no character has a
    ///   meaning of its own. Borrowed for the call.
    /// - cursor: empty for the first page, then what `next` got; borrowed for the call.
    /// - limit: how many keys at most, 1 to 1,000; 0: 100.
    /// - out: gets the keys, each followed by a NUL; the caller's.
    /// - next: gets the cursor of the next page, empty after the last; its `write` may be null. The caller's.
    ///
    /// Returns: OK; INVALID_ARGUMENT (also a limit above 1,000, and a cursor that `next` did not get); DENIED; CANCELLED (a sink refused);
    /// UNAVAILABLE (the back end is down, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while it looks at the keys of the namespace.
    /// Since: 1.0.
    pub keys: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            ns: PintleStr,
            prefix: PintleStr,
            cursor: PintleStr,
            limit: u32,
            out: PintleSink,
            next: PintleSink,
        ) -> PintleStatus,
    >,
    /// Tells what the plugin has in the cache, for all of its tenants.
    ///
    /// - ctx: on whose behalf.
    /// - stats: gets it. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the back end is down, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never without a back end.
    /// Since: 1.0.
    pub stats: Option<unsafe extern "C" fn(ctx: PintleCtx, stats: *mut PintleCacheStats) -> PintleStatus>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleCacheInfo>() == 40);
    assert!(offset_of!(PintleCacheInfo, ttl_ms) == 16);
    assert!(offset_of!(PintleCacheInfo, version) == 32);
    assert!(size_of::<PintleCacheOptions>() == 64);
    assert!(offset_of!(PintleCacheOptions, ttl_ms) == 8);
    assert!(offset_of!(PintleCacheOptions, lease) == 40);
    assert!(offset_of!(PintleCacheOptions, tag_count) == 56);
    assert!(size_of::<PintleCacheEntry>() == 48);
    assert!(size_of::<PintleCacheItem>() == 56);
    assert!(size_of::<PintleCacheFetch>() == 24);
    assert!(size_of::<PintleCacheStats>() == 48);
    assert!(size_of::<PintleCache>() == 152);
    assert!(offset_of!(PintleCache, get) == 8);
    assert!(offset_of!(PintleCache, ttl) == 64);
    assert!(offset_of!(PintleCache, stats) == 144);
};
