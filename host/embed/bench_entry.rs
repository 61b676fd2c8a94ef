//! A host inside the C library, for the bench that measures calls through it: start it on a folder of plugins, call a
//! service, stop it. The bench opens `libpintle.so` and looks these up. Knows only `Host`.

use std::{path::Path, ptr, slice, time::Duration};

use crate::Host;

/// Starts a host on a folder of plugins; null if it cannot be made or a plugin fails.
///
/// # Safety
/// `folder` leads to `len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pintle_bench_start(folder: *const u8, len: usize) -> *mut Host {
    // SAFETY: the caller vouches for it.
    let folder = unsafe { slice::from_raw_parts(folder, len) };
    let start = || {
        let host = Host::builder().plugins(Path::new(str::from_utf8(folder).ok()?)).build().ok()?;
        host.start().failed.is_empty().then(|| Box::into_raw(Box::new(host)))
    };
    start().unwrap_or(ptr::null_mut())
}

/// Calls the method `run` of the service `bench.loop` and writes its reply of eight bytes; 0 if that worked.
///
/// # Safety
/// `host` comes from `pintle_bench_start`; `request` leads to `len` bytes, `reply` to eight.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pintle_bench_call(
    host: *const Host,
    request: *const u8,
    len: usize,
    reply: *mut [u8; 8],
) -> i32 {
    // SAFETY: the caller vouches for it.
    let (host, request) = unsafe { (&*host, slice::from_raw_parts(request, len)) };
    let answer = host.call("", "bench.loop", 1, "run", request, Some(Duration::from_secs(60)));
    match answer.ok().and_then(|answer| <[u8; 8]>::try_from(answer).ok()) {
        Some(answer) => {
            // SAFETY: the caller vouches for it.
            unsafe { reply.write(answer) };
            0
        }
        None => 1,
    }
}

/// Stops the host.
///
/// # Safety
/// `host` comes from `pintle_bench_start` and is not used afterwards.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pintle_bench_stop(host: *mut Host) {
    // SAFETY: the caller vouches for it.
    drop(unsafe { Box::from_raw(host) });
}
