//! The table of the cache service.

use crate::{PintleBytes, PintleCtx, PintleSink, PintleStatus, PintleStr};

/// `pintle_cache_info.flags`: the item is an integer; otherwise it is bytes.
pub const PINTLE_CACHE_INTEGER: u32 = 1;

/// What the host knows of an item that was read. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheInfo {
    /// `sizeof(pintle_cache_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_CACHE_INTEGER`, or 0.
    pub flags: u32,
    /// The value of an integer; 0 for bytes.
    pub integer: i64,
    /// How long the item still lives, in milliseconds, at least 1; `PINTLE_FOREVER` if it does not expire.
    pub ttl_ms: i64,
}

/// `pintle_cache_options.flags`: `ttl_ms` counts.
pub const PINTLE_CACHE_TTL: u32 = 1;

/// How an item is to be kept. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleCacheOptions {
    /// `sizeof(pintle_cache_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_CACHE_TTL`, or 0.
    pub flags: u32,
    /// With its flag: how long the item lives, in milliseconds; 0: it does not expire. Without: as long as the
    /// host's settings say, 1 hour by default.
    pub ttl_ms: i64,
}

/// `expire`: whatever the item's lifetime is.
pub const PINTLE_EXPIRE_ALWAYS: u32 = 0;
/// `expire`: only if the item does not expire yet.
pub const PINTLE_EXPIRE_IF_NONE: u32 = 1;
/// `expire`: only if the item expires already.
pub const PINTLE_EXPIRE_IF_SET: u32 = 2;
/// `expire`: only if the item lives longer by it than it would without. What does not expire is later than all.
pub const PINTLE_EXPIRE_IF_LATER: u32 = 3;
/// `expire`: only if the item lives shorter by it than it would without. What does not expire is later than all.
pub const PINTLE_EXPIRE_IF_EARLIER: u32 = 4;

/// Volatile key-value items, at the speed of a local map; gone when the host stops, or when room is needed.
///
/// Items belong to the plugin and the tenant of the context, and lie in namespaces (1 to 128 bytes) under keys
/// (1 to 512 bytes), both UTF-8 without NUL. An item is bytes, at most 1 MiB, or a 64-bit integer, which reads
/// as its decimal digits. An empty value is a value. An item that has expired is absent for every function.
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
    /// - info: gets what is known of the item; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED (the method, or the namespace); CANCELLED (the sink
    /// refused); UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
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
    /// Reads an item into a buffer: `get` for hot paths.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - buf: gets the bytes, or the digits of an integer; may be null if `cap` is 0. Owned by the caller.
    /// - cap: how many bytes `buf` has room for.
    /// - len: gets the number of bytes of the value, on OK and on BUFFER_TOO_SMALL. Owned by the caller.
    /// - info: gets what is known of the item; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; BUFFER_TOO_SMALL (`len` is what is needed, and nothing else was written);
    /// INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
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
    /// Writes an item of bytes. Replaces the value and the lifetime of one that is there.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - value: at most 1 MiB, copied.
    /// - options: may be null; borrowed for the call.
    ///
    /// Returns: OK; TOO_LARGE; OUT_OF_RANGE (a lifetime that is negative or above 100 years);
    /// INVALID_ARGUMENT; DENIED; UNSUPPORTED (an option this host does not know); UNAVAILABLE (the host has
    /// stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
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
    /// Blocks: never.
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
    /// Blocks: never.
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
    /// - options: may be null; borrowed for the call. The lifetime counts only where the item is created: it
    ///   never slides.
    /// - value: gets the sum; may be null. Owned by the caller.
    ///
    /// Returns: OK; WRONG_TYPE (other bytes); OUT_OF_RANGE (the sum overflows, or the lifetime); INVALID_ARGUMENT;
    /// DENIED; UNSUPPORTED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
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
    /// Changes how long an item lives.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - ttl_ms: from now on, in milliseconds; 0: it does not expire any more; negative: it is removed now.
    /// - condition: one of `PINTLE_EXPIRE_…`.
    /// - existed: gets 1 if the item was there, else 0, on OK and on CONFLICT; may be null. Owned by the caller.
    ///
    /// Returns: OK, also where the item is not there; CONFLICT (the condition does not hold, nothing was changed);
    /// OUT_OF_RANGE; INVALID_ARGUMENT; DENIED; UNSUPPORTED (a condition this host does not know); UNAVAILABLE (the
    /// host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
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
    /// Tells how long an item still lives.
    ///
    /// - ctx: on whose behalf.
    /// - ns: the namespace; borrowed for the call.
    /// - key: borrowed for the call.
    /// - ttl_ms: gets the milliseconds, at least 1; `PINTLE_FOREVER` if it does not expire. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub ttl: Option<
        unsafe extern "C" fn(ctx: PintleCtx, ns: PintleStr, key: PintleStr, ttl_ms: *mut i64) -> PintleStatus,
    >,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleCacheInfo>() == 24);
    assert!(offset_of!(PintleCacheInfo, ttl_ms) == 16);
    assert!(size_of::<PintleCacheOptions>() == 16);
    assert!(offset_of!(PintleCacheOptions, ttl_ms) == 8);
    assert!(size_of::<PintleCache>() == 72);
    assert!(offset_of!(PintleCache, get) == 8);
    assert!(offset_of!(PintleCache, ttl) == 64);
};
