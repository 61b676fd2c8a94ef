//! Text, bytes and sinks as they cross the boundary, and safe values on this side of it.

use std::{ffi::c_void, ptr, slice};

use pintle_abi::{
    PINTLE_INVALID_ARGUMENT, PINTLE_OK, PINTLE_TOO_LARGE, PintleBytes, PintleSink, PintleStatus, PintleStr,
};

/// # Safety
/// `bytes` are readable and unchanged for `'a`: what the contract says of everything that the host lends.
pub(crate) unsafe fn bytes<'a>(bytes: PintleBytes) -> &'a [u8] {
    if bytes.ptr.is_null() || bytes.len == 0 {
        return &[];
    }
    // SAFETY: not null, and the rest is the caller's promise.
    unsafe { slice::from_raw_parts(bytes.ptr, bytes.len) }
}

/// Text of the host. It promises UTF-8; should it ever break that, the text ends before the first bad byte.
///
/// # Safety
/// As for [`bytes`].
pub(crate) unsafe fn text<'a>(text: PintleStr) -> &'a str {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(PintleBytes { ptr: text.ptr.cast(), len: text.len }) };
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).expect("valid up to there"),
    }
}

/// What is empty stands for "none" in events.
pub(crate) fn some(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

/// A sink that appends to `buffer`, for one call.
#[inline]
pub(crate) fn sink_into(buffer: &mut Vec<u8>) -> PintleSink {
    PintleSink { data: (&raw mut *buffer).cast(), write: Some(append) }
}

/// What memory is there for, or nothing works any more.
const SMALL: usize = 4_096;

unsafe extern "C" fn append(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
    // SAFETY: only `sink_into` makes sinks with this function, so `data` is a vector that is lent for the call.
    let Some(buffer) = (unsafe { data.cast::<Vec<u8>>().as_mut() }) else { return PINTLE_INVALID_ARGUMENT };
    // SAFETY: the host lends `piece` for this call.
    let piece = unsafe { bytes(piece) };
    // Most values are small and come in one piece: growing a vector costs twice what making one of the right size does.
    if buffer.capacity() == 0 && piece.len() <= SMALL {
        *buffer = piece.to_vec();
        return PINTLE_OK;
    }
    if buffer.try_reserve(piece.len()).is_err() {
        return PINTLE_TOO_LARGE;
    }
    buffer.extend_from_slice(piece);
    PINTLE_OK
}

/// A sink that takes everything and keeps nothing.
pub(crate) fn nowhere() -> PintleSink {
    unsafe extern "C" fn take(_: *mut c_void, _: PintleBytes) -> PintleStatus {
        PINTLE_OK
    }
    PintleSink { data: ptr::null_mut(), write: Some(take) }
}

/// Writes to a sink that the host lent.
pub(crate) fn write(sink: PintleSink, bytes: &[u8]) -> PintleStatus {
    match sink.write {
        // SAFETY: the sink came from the host with the call that runs now; `bytes` are lent for this call.
        Some(write) => unsafe { write(sink.data, PintleBytes::new(bytes)) },
        None => PINTLE_INVALID_ARGUMENT,
    }
}
