//! Arguments as they come from the plugin: pointers become values, and results go out through sinks.

use pintle_abi::{PINTLE_OK, PintleBytes, PintleSink, PintleStr};

use super::inside::in_sink;
use crate::{Error, Result, Status, wire};

/// The most bytes of an event, a request, a reply and an item of the cache.
pub(super) const MEBIBYTE: usize = 1 << 20;

pub(super) fn wrong(argument: &str, problem: impl std::fmt::Display) -> Error {
    Error::new(Status::InvalidArgument, format!("argument `{argument}`: {problem}"))
}

/// # Safety
/// As for [`wire::bytes`].
pub(super) unsafe fn bytes<'a>(argument: &str, bytes: PintleBytes, most: usize) -> Result<&'a [u8]> {
    if bytes.ptr.is_null() && bytes.len != 0 {
        return Err(wrong(argument, "null with a length"));
    }
    if bytes.len > most {
        let text = format!("argument `{argument}`: {} bytes, at most {most} are taken", bytes.len);
        return Err(Error::new(Status::TooLarge, text));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { wire::bytes(bytes) })
}

/// At most `most` bytes without NUL.
///
/// # Safety
/// As for [`wire::bytes`].
pub(super) unsafe fn text<'a>(argument: &str, text: PintleStr, most: usize) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(argument, PintleBytes { ptr: text.ptr.cast(), len: text.len }, usize::MAX) }?;
    if bytes.len() > most {
        return Err(wrong(argument, format_args!("{} bytes, at most {most} are taken", bytes.len())));
    }
    let text = str::from_utf8(bytes).map_err(|error| wrong(argument, error))?;
    if text.contains('\0') { Err(wrong(argument, "it has a NUL")) } else { Ok(text) }
}

/// Text of which nothing is asked, not even that it is UTF-8.
///
/// # Safety
/// As for [`wire::bytes`].
pub(super) unsafe fn any_text(argument: &str, text: PintleStr) -> Result<String> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(argument, PintleBytes { ptr: text.ptr.cast(), len: text.len }, usize::MAX) }?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// A key or a name: 1 to `most` bytes without NUL.
///
/// # Safety
/// As for [`wire::bytes`].
pub(super) unsafe fn key<'a>(argument: &str, key: PintleStr, most: usize) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let key = unsafe { text(argument, key, most) }?;
    if key.is_empty() {
        return Err(wrong(argument, format_args!("it is empty, 1 to {most} bytes are taken")));
    }
    Ok(key)
}

/// How long a call is to wait for others: 0 is the default.
pub(super) fn timeout(timeout_ms: i64) -> Result<()> {
    if (0..=3_600_000).contains(&timeout_ms) {
        return Ok(());
    }
    let text = format!("argument `timeout_ms`: {timeout_ms}, 1 to 3,600,000 are taken, or 0 for 5,000");
    Err(Error::new(Status::OutOfRange, text))
}

/// Options that begin with their size; `None` for null. This host is as old as the contract that it is built with, so it
/// knows no other size.
///
/// # Safety
/// `options` is null or leads to a struct that begins with its size.
pub(super) unsafe fn options<T: Copy>(options: *const T) -> Result<Option<T>> {
    if options.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, so it begins with its size: the caller's promise.
    let size = unsafe { options.cast::<u32>().read() };
    if size as usize != size_of::<T>() {
        return Err(Error::new(
            Status::Unsupported,
            format!("options of {size} bytes are of another version"),
        ));
    }
    // SAFETY: as above, and large enough.
    Ok(Some(unsafe { options.read() }))
}

/// Where a result goes; INVALID_ARGUMENT for null.
///
/// # Safety
/// `out` is null or writable for `'a`.
pub(super) unsafe fn output<'a, T>(argument: &str, out: *mut T) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { out.as_mut() }.ok_or_else(|| wrong(argument, "null"))
}

/// Gives a value to the plugin's sink, in two pieces where it can be split, as a host may.
///
/// # Safety
/// The sink is one that the plugin lent for this call.
pub(super) unsafe fn give(argument: &str, to: PintleSink, value: &[u8]) -> Result<()> {
    let write = to.write.ok_or_else(|| wrong(argument, "its `write` is null"))?;
    let (first, second) = value.split_at(value.len() / 2);
    let pieces = if first.is_empty() { vec![second] } else { vec![first, second] };
    for piece in pieces {
        // SAFETY: the caller's promise; the piece is lent for the call.
        if in_sink(|| unsafe { write(to.data, PintleBytes::new(piece)) }) != PINTLE_OK {
            return Err(Error::new(Status::Cancelled, "the sink refused"));
        }
    }
    Ok(())
}
