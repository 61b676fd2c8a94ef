//! The table of the file service.

// The accessor of `len` that the derive makes is no length of a collection.
#![cfg_attr(feature = "layout-check", allow(clippy::len_without_is_empty))]

use crate::{PintleBytes, PintleCtx, PintleSink, PintleStatus, PintleStr};

/// What the host knows of a file. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleFileInfo {
    /// `sizeof(pintle_file_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// How many bytes it has.
    pub len: u64,
    /// Another one with each `put`; grows over all files, and is never used again; never 0. 0 for a resource.
    pub version: u64,
    /// When it was first put, in milliseconds since 1970-01-01 UTC; 0 for a resource.
    pub created_ms: i64,
    /// When it was last put, in milliseconds since 1970-01-01 UTC; 0 for a resource.
    pub updated_ms: i64,
}

/// `pintle_file_options.flags`: `if_version` counts.
pub const PINTLE_FILE_IF_VERSION: u32 = 1;

/// Under which condition a file is to be written. Zero means none.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleFileOptions {
    /// `sizeof(pintle_file_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_FILE_IF_VERSION`, or 0.
    pub flags: u32,
    /// With its flag: write only if the file has this version; 0: only if there is none.
    pub if_version: u64,
}

/// Blobs by path, and the plugin's own resources.
///
/// Files belong to the plugin and the tenant of the context and lie in a folder of their own, which no path leads out of. A
/// path has 1 to 512 bytes, UTF-8 without NUL, and one or more segments separated by `/`. No segment is empty, `.` or `..`, so
/// that none begins or ends with `/`; `\` and control characters are refused too. Paths differ if their bytes differ, whatever
/// the disk thinks of case and of Unicode's forms; `a` and `a/b` can be there together. A write is atomic: whoever reads sees the
/// old bytes or the new ones, whole, also after a crash, and OK means that they are on disk. In `load` and `restore` `put` and
/// `remove` answer UNAVAILABLE.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleFiles {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Writes a file, in place of the one that is there.
    ///
    /// - ctx: on whose behalf.
    /// - path: borrowed for the call.
    /// - bytes: at most 64 MiB by default; borrowed for the call.
    /// - options: may be null; borrowed for the call.
    /// - info: gets what is known of the file then; on CONFLICT its `version` is the one that the file has (0: there is none)
    ///   and the rest is 0. May be null. Owned by the caller.
    ///
    /// Returns: OK; CONFLICT (not the version asked for); TOO_LARGE; INVALID_ARGUMENT (the path, with what is wrong with
    /// it); QUOTA (more files or bytes than the settings allow); DENIED; UNSUPPORTED (an option this host does not know);
    /// UNAVAILABLE (in `load` and `restore`; the disk is full or fails, the text says which; the host has stopped);
    /// STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the file is on disk.
    /// Since: 1.0.
    pub put: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            path: PintleStr,
            bytes: PintleBytes,
            options: *const PintleFileOptions,
            info: *mut PintleFileInfo,
        ) -> PintleStatus,
    >,
    /// Reads a file, whole.
    ///
    /// - ctx: on whose behalf.
    /// - path: borrowed for the call.
    /// - out: gets the bytes, in pieces; the caller's.
    /// - info: gets what is known of the file; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; CANCELLED (the sink refused); UNAVAILABLE (the disk fails, the
    /// file is damaged, or the host has stopped); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub get: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            path: PintleStr,
            out: PintleSink,
            info: *mut PintleFileInfo,
        ) -> PintleStatus,
    >,
    /// Reads a part of a file. What lies behind its end is left out: a part that begins there is empty.
    ///
    /// - ctx: on whose behalf.
    /// - path: borrowed for the call.
    /// - offset: the first byte, from 0 on.
    /// - len: how many bytes at most.
    /// - out: gets the bytes, in pieces; the caller's.
    /// - info: gets what is known of the whole file; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; CANCELLED; UNAVAILABLE (as `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub read: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            path: PintleStr,
            offset: u64,
            len: u64,
            out: PintleSink,
            info: *mut PintleFileInfo,
        ) -> PintleStatus,
    >,
    /// Tells what is known of a file.
    ///
    /// - ctx: on whose behalf.
    /// - path: borrowed for the call.
    /// - info: `size` set by the caller; the rest is written by the host. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub stat: Option<
        unsafe extern "C" fn(ctx: PintleCtx, path: PintleStr, info: *mut PintleFileInfo) -> PintleStatus,
    >,
    /// Lists paths in byte order, in pages.
    ///
    /// - ctx: on whose behalf.
    /// - prefix: which paths: those that begin with these bytes; empty: all. At most 512 bytes; borrowed for the call.
    /// - cursor: empty for the first page, then what `next` got; borrowed for the call.
    /// - limit: how many paths at most, 1 to 1,000; 0: 100.
    /// - out: gets the paths, each followed by a NUL; the caller's.
    /// - next: gets the cursor of the next page, empty after the last; its `write` may be null. The caller's. Files that come
    ///   or go between two pages do not disturb it.
    ///
    /// Returns: OK; INVALID_ARGUMENT (also a cursor that `next` did not get); DENIED; CANCELLED (a sink refused);
    /// UNAVAILABLE (as `get`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub list: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            prefix: PintleStr,
            cursor: PintleStr,
            limit: u32,
            out: PintleSink,
            next: PintleSink,
        ) -> PintleStatus,
    >,
    /// Removes a file. No failure if there is none.
    ///
    /// - ctx: on whose behalf.
    /// - path: borrowed for the call.
    /// - existed: gets 1 if there was one, else 0; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `put`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until the removal is on disk.
    /// Since: 1.0.
    pub remove:
        Option<unsafe extern "C" fn(ctx: PintleCtx, path: PintleStr, existed: *mut u32) -> PintleStatus>,
    /// Reads a resource: a file that the manifest names and that was copied along with the library, so that it is the one of
    /// this version. May be called in `load`.
    ///
    /// - ctx: any live context of the plugin.
    /// - name: as in the manifest's `files`; borrowed for the call.
    /// - out: gets the bytes, in pieces; the caller's.
    /// - info: gets how long it is; may be null. Owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND (the manifest does not name it); INVALID_ARGUMENT; DENIED; CANCELLED; UNAVAILABLE (the disk
    /// fails); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: while the disk reads.
    /// Since: 1.0.
    pub resource: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            name: PintleStr,
            out: PintleSink,
            info: *mut PintleFileInfo,
        ) -> PintleStatus,
    >,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleFileInfo>() == 40);
    assert!(offset_of!(PintleFileInfo, len) == 8);
    assert!(offset_of!(PintleFileInfo, updated_ms) == 32);
    assert!(size_of::<PintleFileOptions>() == 16);
    assert!(size_of::<PintleFiles>() == 64);
    assert!(offset_of!(PintleFiles, put) == 8);
    assert!(offset_of!(PintleFiles, resource) == 56);
};
