//! The table of the storage service.

use crate::{PintleBytes, PintleCtx, PintleSink, PintleStatus, PintleStr};

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
}

/// `pintle_storage_options.flags`: `if_version` counts.
pub const PINTLE_STORAGE_IF_VERSION: u32 = 1;

/// Under which condition an item is to be written. Zero means none.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStorageOptions {
    /// `sizeof(pintle_storage_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_STORAGE_IF_VERSION`, or 0.
    pub flags: u32,
    /// With its flag: write only if the item has this version; 0: only if it is not there.
    pub if_version: u64,
}

/// Durable key-value items: OK to a write means that it is on disk.
///
/// Items belong to the plugin and the tenant of the context and lie under keys of 1 to 512 bytes, UTF-8 without
/// NUL. Values are bytes, at most 4 MiB by default; an empty value is a value. They outlive the host, reloads and
/// updates of the plugin. In `load` and `restore` every function that writes answers UNAVAILABLE.
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
    /// Returns: OK; CONFLICT (not the version asked for); TOO_LARGE; INVALID_ARGUMENT; DENIED; UNSUPPORTED (an
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
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleStorageInfo>() == 32);
    assert!(offset_of!(PintleStorageInfo, updated_ms) == 24);
    assert!(size_of::<PintleStorageOptions>() == 16);
    assert!(offset_of!(PintleStorageOptions, if_version) == 8);
    assert!(size_of::<PintleStorage>() == 56);
    assert!(offset_of!(PintleStorage, get) == 8);
    assert!(offset_of!(PintleStorage, clear) == 48);
};
