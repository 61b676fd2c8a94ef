//! The table of the idempotency service.

use crate::{PintleBytes, PintleCtx, PintleSink, PintleStatus, PintleStr};

/// Names one start of an operation: what may end it, until somebody else takes over or the record is gone. Opaque 64 bits;
/// 0 is never valid. It outlives contexts, generations and the host.
pub type PintleIdempotencyToken = u64;

/// `pintle_idempotency_info.state`: the caller has started it and is to complete it.
pub const PINTLE_IDEMPOTENCY_STARTED: u32 = 1;
/// `pintle_idempotency_info.state`: somebody else has started it and holds the lease.
pub const PINTLE_IDEMPOTENCY_IN_PROGRESS: u32 = 2;
/// `pintle_idempotency_info.state`: it is over; the result is told.
pub const PINTLE_IDEMPOTENCY_DONE: u32 = 3;
/// `pintle_idempotency_info.state`: it is over and has failed for good; what was passed to `fail` is told.
pub const PINTLE_IDEMPOTENCY_FAILED: u32 = 4;
/// `pintle_idempotency_info.state`: the key was begun with another fingerprint: it is another request under the same key.
pub const PINTLE_IDEMPOTENCY_MISMATCH: u32 = 5;

/// `pintle_idempotency_info.flags`: the lease of the one who had started it before has ended: he may have done a part.
pub const PINTLE_IDEMPOTENCY_TAKEN_OVER: u32 = 1;

/// What is known of a key. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleIdempotencyInfo {
    /// `sizeof(pintle_idempotency_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// One of `PINTLE_IDEMPOTENCY_STARTED` to `PINTLE_IDEMPOTENCY_MISMATCH`.
    pub state: u32,
    /// `PINTLE_IDEMPOTENCY_TAKEN_OVER`, or 0.
    pub flags: u32,
    /// How often it was started, this time included, for as long as there is a record of it: it grows when somebody takes
    /// over, and is 1 again after a failure that was not kept, and after the record has expired or was forgotten.
    pub attempt: u32,
    /// Started: what to pass to `complete`, `fail` and `renew`; else 0.
    pub token: PintleIdempotencyToken,
    /// Started and in progress: how long the lease still lasts, in milliseconds, after which it is worth asking again. Else
    /// how long the record is still kept.
    pub left_ms: i64,
    /// When the key was begun first, for as long as there is a record of it, in milliseconds since 1970-01-01 UTC.
    pub begun_ms: i64,
}

/// How an operation is to be begun. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleIdempotencyOptions {
    /// `sizeof(pintle_idempotency_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be 0: no flag is known yet.
    pub flags: u32,
    /// How long others keep off, in milliseconds, 1 to 86,400,000; 0: 60,000 by default.
    pub lease_ms: i64,
    /// How long the result is kept once it is there, in milliseconds, 1 to 31,536,000,000; 0: 24 hours by default. Of an
    /// operation that never ends it is known for so long after its lease that it was begun.
    pub keep_ms: i64,
}

/// Operations that must happen once however often they are asked for: of all who begin one under the same key exactly one
/// starts, and the others get its result.
///
/// Keys belong to the plugin and the tenant of the context, and lie under the name of an operation (1 to 128 bytes). They
/// have 1 to 512 bytes, UTF-8 without NUL. Records are durable: they outlive the host. One that has expired is as if it
/// never was. In `load` and `restore` every function but `get` answers UNAVAILABLE.
///
/// A lease goes by the wall clock. That it has ended takes nothing from its holder as long as nobody else begins: he may
/// still complete, fail and renew.
///
/// Effects that lie outside of the host happen at least once: who takes over after a crash cannot know how far the one before
/// came, and is told so (`PINTLE_IDEMPOTENCY_TAKEN_OVER`).
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleIdempotency {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Begins an operation, or tells what became of it. Another fingerprint is MISMATCH as long as there is a record, in
    /// progress or over.
    ///
    /// - ctx: on whose behalf.
    /// - operation: what is to be done: `charge`. Borrowed for the call.
    /// - key: which one: what its caller sends again when he tries again. Borrowed for the call.
    /// - fingerprint: what the request looked like, or a hash of it, at most 256 bytes: the same key with another one is
    ///   PINTLE_IDEMPOTENCY_MISMATCH. Borrowed for the call.
    /// - options: may be null; borrowed for the call.
    /// - info: `size` set by the caller, beyond `token`; gets the state, and the token if the caller is the one who starts.
    ///   Owned by the caller.
    /// - result: gets the result, or what it failed with, if the state is DONE or FAILED, else nothing; the caller's. Its
    ///   `write` may be null.
    ///
    /// Returns: OK, whatever the state; INVALID_ARGUMENT; TOO_LARGE (the fingerprint); OUT_OF_RANGE (the options); DENIED;
    /// QUOTA; UNSUPPORTED (an option this host does not know); CANCELLED (the sink refused); UNAVAILABLE (in `load` and
    /// `restore`; the disk is full or fails, the text says which; the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the start is on disk.
    /// Since: 1.0.
    pub begin: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            operation: PintleStr,
            key: PintleStr,
            fingerprint: PintleBytes,
            options: *const PintleIdempotencyOptions,
            info: *mut PintleIdempotencyInfo,
            result: PintleSink,
        ) -> PintleStatus,
    >,
    /// Ends an operation with its result, which all later beginners get.
    ///
    /// - ctx: any live context of the plugin under the tenant that it was begun under.
    /// - token: from `begin`.
    /// - result: at most 1 MiB by default, copied; may be empty.
    ///
    /// Returns: OK, also where the same token has completed it with the same result before; CONFLICT (somebody else has
    /// taken over after the lease, it has ended otherwise, or the record is gone: the result was not kept); TOO_LARGE;
    /// INVALID_ARGUMENT; QUOTA; DENIED; UNAVAILABLE (as `begin`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until it is on disk.
    /// Since: 1.0.
    pub complete: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            token: PintleIdempotencyToken,
            result: PintleBytes,
        ) -> PintleStatus,
    >,
    /// Ends an operation that has failed.
    ///
    /// - ctx: as in `complete`.
    /// - token: from `begin`.
    /// - keep: 0: nothing is kept, and the key may start again at once, with any fingerprint; 1: the failure is for good, and
    ///   all later beginners get it. Others: UNSUPPORTED.
    /// - error: what it failed with, told to later beginners if it is kept, else dropped; at most 1 MiB by default, copied.
    ///
    /// Returns: OK, also where the same token has failed for good with the same error before; CONFLICT, TOO_LARGE,
    /// INVALID_ARGUMENT, UNSUPPORTED, QUOTA, DENIED, UNAVAILABLE and STALE_HANDLE as `complete`.
    /// Thread: any.
    /// Blocks: until it is on disk.
    /// Since: 1.0.
    pub fail: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            token: PintleIdempotencyToken,
            keep: u32,
            error: PintleBytes,
        ) -> PintleStatus,
    >,
    /// Prolongs the lease: from now on others keep off for another while.
    ///
    /// - ctx: as in `complete`.
    /// - token: from `begin`.
    /// - lease_ms: in milliseconds, 1 to 86,400,000; 0: as long as it was begun for.
    ///
    /// Returns: OK; CONFLICT (somebody else has taken over, it is over, or the record is gone); INVALID_ARGUMENT;
    /// OUT_OF_RANGE; DENIED; QUOTA; UNAVAILABLE (as `begin`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until it is on disk.
    /// Since: 1.0.
    pub renew: Option<
        unsafe extern "C" fn(ctx: PintleCtx, token: PintleIdempotencyToken, lease_ms: i64) -> PintleStatus,
    >,
    /// Tells what became of an operation, without starting it.
    ///
    /// - ctx: on whose behalf.
    /// - operation: borrowed for the call.
    /// - key: borrowed for the call.
    /// - info: `size` set by the caller; gets the state: IN_PROGRESS, DONE or FAILED. Owned by the caller.
    /// - result: as in `begin`.
    ///
    /// Returns: OK; NOT_FOUND (it was not begun, has failed without being kept, was abandoned, so that whoever begins it
    /// starts, or is forgotten); INVALID_ARGUMENT; CANCELLED; DENIED; QUOTA; UNAVAILABLE (the disk fails, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub get: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            operation: PintleStr,
            key: PintleStr,
            info: *mut PintleIdempotencyInfo,
            result: PintleSink,
        ) -> PintleStatus,
    >,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleIdempotencyInfo>() == 40);
    assert!(offset_of!(PintleIdempotencyInfo, token) == 16);
    assert!(offset_of!(PintleIdempotencyInfo, begun_ms) == 32);
    assert!(size_of::<PintleIdempotencyOptions>() == 24);
    assert!(offset_of!(PintleIdempotencyOptions, lease_ms) == 8);
    assert!(size_of::<PintleIdempotency>() == 48);
    assert!(offset_of!(PintleIdempotency, begin) == 8);
    assert!(offset_of!(PintleIdempotency, get) == 40);
};
