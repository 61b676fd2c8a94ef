//! The value types that cross the boundary: text, bytes, sinks, contexts.
//!
//! `PintleStr`, `PintleBytes` and `PintleSink` are frozen: they never grow and carry no size.

use core::ffi::{c_char, c_void};

use crate::PintleStatus;

/// Names on whose behalf a call is made: the plugin, its generation and the tenant. Opaque 64 bits that only
/// the host reads; 0 is never valid. A context of a gone generation, of an ended call or of nobody is answered
/// with STALE_HANDLE. A copied live context acts as its owner, on any thread.
pub type PintleCtx = u64;

/// Names one registration of a plugin: a subscription or a job. Opaque 64 bits; 0 is never valid. Checked for
/// its owner and its kind on every use.
pub type PintleRegistration = u64;

/// Names a logger with preset fields. Opaque 64 bits; 0 is never valid. Checked for its owner on every use.
pub type PintleLogger = u64;

/// UTF-8 text, not NUL-terminated, borrowed for the duration of the call it is passed to. `ptr` may be null
/// only if `len` is 0. Where the text must be valid UTF-8 and is not, the answer is INVALID_ARGUMENT.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleStr {
    /// The first byte.
    pub ptr: *const c_char,
    /// The number of bytes.
    pub len: usize,
}

/// Bytes, borrowed for the duration of the call they are passed to. `ptr` may be null only if `len` is 0.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleBytes {
    /// The first byte.
    pub ptr: *const u8,
    /// The number of bytes.
    pub len: usize,
}

/// Where a result of variable size goes. The side that wants the bytes makes it; the other side calls `write`
/// one or more times, in order, on the thread of the call, before that call returns. Joined, the pieces are the
/// value; an empty value is one empty piece. `write` answering other than OK ends the call with CANCELLED and
/// nothing changed. A host call from inside `write` answers REENTRANT, except `last_error` and `set_error`.
///
/// A sink that the host gives (a reply, `save`) carries a checked handle as its `data`: written after the call
/// that it belongs to has ended, it answers STALE_HANDLE.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSink {
    /// Passed back to `write`, otherwise not looked at.
    pub data: *mut c_void,
    /// Takes the next piece. A sink whose `write` is null is answered with INVALID_ARGUMENT.
    ///
    /// - data: the sink's.
    /// - piece: borrowed for this one call.
    ///
    /// Returns: OK to go on; anything else ends the call that the sink was passed to.
    /// Thread: that of the call that the sink was passed to.
    /// Blocks: it should not.
    /// Since: 1.0.
    pub write: Option<unsafe extern "C" fn(data: *mut c_void, piece: PintleBytes) -> PintleStatus>,
}

impl PintleStr {
    /// No text.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// Borrows `text` for as long as the receiver uses it.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        Self { ptr: text.as_ptr().cast(), len: text.len() }
    }
}

impl PintleBytes {
    /// No bytes.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// Borrows `bytes` for as long as the receiver uses them.
    #[must_use]
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

const _: () = {
    assert!(size_of::<PintleStr>() == 16 && align_of::<PintleStr>() == 8);
    assert!(size_of::<PintleBytes>() == 16 && align_of::<PintleBytes>() == 8);
    assert!(size_of::<PintleSink>() == 16 && align_of::<PintleSink>() == 8);
    assert!(core::mem::offset_of!(PintleStr, len) == 8);
    assert!(core::mem::offset_of!(PintleBytes, len) == 8);
    assert!(core::mem::offset_of!(PintleSink, write) == 8);
};
