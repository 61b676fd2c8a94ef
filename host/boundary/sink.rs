//! Sinks: writing to those that callers pass, and the one that the host gives for replies.

use std::ffi::c_void;

use pintle_abi::*;

use super::{enter_from_anywhere, input, stale, thread};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::Method,
};

/// The largest reply of a handler.
pub(crate) const LARGEST_REPLY: usize = 1 << 20;

/// A caller's sink, checked.
#[derive(Clone, Copy)]
pub(super) struct Sink {
    data: *mut c_void,
    write: unsafe extern "C" fn(*mut c_void, PintleBytes) -> PintleStatus,
}

impl Sink {
    pub(super) fn new(name: &'static str, sink: PintleSink) -> Result<Self> {
        let write = sink.write.ok_or_else(|| {
            Error::argument(name, "its `write` is null: pass a sink such as pintle_buf_sink(&buf)")
        })?;
        Ok(Self { data: sink.data, write })
    }

    /// The same, none if its `write` is null: it is not wanted.
    pub(super) fn optional(sink: PintleSink) -> Option<Self> {
        sink.write.map(|write| Self { data: sink.data, write })
    }

    /// Hands the value over. CANCELLED if the sink refuses it.
    ///
    /// # Safety
    /// `write` may be called with `data` until the call that the sink was passed to returns: the contract says so.
    pub(super) unsafe fn write(&self, value: &[u8]) -> Result<()> {
        // SAFETY: the caller vouches for it; the piece is borrowed for this one call.
        let status = thread::inside_sink(|| unsafe { (self.write)(self.data, PintleBytes::new(value)) });
        if status != PINTLE_OK {
            return Err(Error::lazy(ErrorKind::Cancelled, move || {
                format!("the sink that was passed refused the result with status {status}")
            }));
        }
        Ok(())
    }
}

/// Runs the function that a caller passed as `name` to be told of one result. CANCELLED if it refuses it.
pub(super) fn tell(name: &'static str, each: impl FnOnce() -> PintleStatus) -> Result<()> {
    let status = thread::inside_sink(each);
    if status != PINTLE_OK {
        return Err(Error::lazy(ErrorKind::Cancelled, move || {
            format!("the function that was passed as `{name}` refused a result with status {status}")
        }));
    }
    Ok(())
}

/// Hands over a page of keys, each followed by a NUL, and where the next one begins, if that is wanted.
///
/// # Safety
/// As [`Sink::write`], of both.
pub(super) unsafe fn write_page(
    out: &Sink,
    next: Option<&Sink>,
    keys: &[String],
    cursor: Option<&str>,
) -> Result<()> {
    let mut list = String::with_capacity(keys.iter().map(|key| key.len() + 1).sum());
    for key in keys {
        list.push_str(key);
        list.push('\0');
    }
    // SAFETY: the caller vouches for it.
    unsafe { out.write(list.as_bytes()) }?;
    match next {
        // SAFETY: as above.
        Some(next) => unsafe { next.write(cursor.unwrap_or_default().as_bytes()) },
        None => Ok(()),
    }
}

/// The sink that a running function of a plugin writes its reply to. Its `data` is the context that the function
/// runs under, so that it is checked like one.
pub(crate) fn reply_sink(ctx: PintleCtx) -> PintleSink {
    PintleSink { data: std::ptr::without_provenance_mut(ctx as usize), write: Some(write_reply) }
}

unsafe extern "C" fn write_reply(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
    let ctx = data.addr() as PintleCtx;
    enter_from_anywhere(ctx, Method::Reply, move |call| {
        // Whatever its length: the worker must know of a piece that does not fit, or a handler that takes no notice
        // would pass a part of its reply for the whole.
        // SAFETY: the contract says that the piece is readable for this call.
        let piece = unsafe { input::raw("piece", piece.ptr, piece.len) }?;
        let worker = call.scope.worker.checked_sub(1).and_then(|number| call.core().pool.worker(number));
        match worker.and_then(|worker| worker.write_reply(ctx, piece, LARGEST_REPLY)) {
            Some(true) => Ok(()),
            Some(false) => Err(too_large(piece.len())),
            None => Err(stale()),
        }
    })
}

fn too_large(len: usize) -> Error {
    Error::lazy(ErrorKind::TooLarge, move || {
        format!(
            "a reply has at most 1 MiB, and {len} bytes more do not fit: the call fails, whatever its handler answers"
        )
    })
}
