//! Drives the plugin `looper`: asks it to call one function many times on one or more threads at once.

use std::{sync::atomic::AtomicU32, thread};

use pintle_abi::{PINTLE_OK, PintleCtx, PintleField, PintleStatus, PintleStr};

/// What the looper calls. The numbers are those of `looper.c`.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum What {
    BareRemaining,
    Remaining,
    BareEnabled,
    Enabled,
    BareWrite,
    WriteDisabled,
    Write,
}

impl What {
    const ALL: [Self; 7] = [
        Self::BareRemaining,
        Self::Remaining,
        Self::BareEnabled,
        Self::Enabled,
        Self::BareWrite,
        Self::WriteDisabled,
        Self::Write,
    ];
}

/// A host that has the looper, however it is reached: calls `bench.loop` with a request, for its reply.
pub(crate) trait Hosted: Sync {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, String>;
}

impl Hosted for pintle::Host {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        let minute = std::time::Duration::from_secs(60);
        self.call("", "bench.loop", 1, "run", request, Some(minute)).map_err(|error| error.to_string())
    }
}

/// Has everything done once that a looper can do, so that what is measured is known to work.
pub(crate) fn works(host: &dyn Hosted) {
    for what in What::ALL {
        nanoseconds(host, what, 1, 1);
    }
}

/// Nanoseconds for each call of `rounds`, when as many threads as `threads` do it at once: of all of them the mean.
pub(crate) fn nanoseconds(host: &dyn Hosted, what: What, rounds: u64, threads: u64) -> f64 {
    let gate = AtomicU32::new(0);
    let request: Vec<u8> =
        [what as u64, rounds, (&raw const BARE).addr() as u64, (&raw const gate).addr() as u64, threads]
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
    let once = || {
        let reply = host.call(&request).expect("the looper runs");
        u64::from_ne_bytes(reply.try_into().expect("the looper answers one number")) as f64
    };
    let sum: f64 = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(once)).collect();
        let own = once();
        own + others.into_iter().map(|other| other.join().expect("the looper runs")).sum::<f64>()
    });
    sum / (rounds * threads) as f64
}

/// What a call without a host behind it is: a function that only stores.
#[repr(C)]
struct Bare {
    remaining: unsafe extern "C" fn(PintleCtx, *mut i64) -> PintleStatus,
    enabled: unsafe extern "C" fn(PintleCtx, u32, *mut u32) -> PintleStatus,
    write: unsafe extern "C" fn(PintleCtx, u32, PintleStr, *const PintleField, usize) -> PintleStatus,
}

static BARE: Bare = Bare { remaining, enabled, write };
static WRITTEN: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn remaining(_: PintleCtx, ms: *mut i64) -> PintleStatus {
    // SAFETY: the looper passes a variable of its own.
    unsafe { ms.write(i64::MAX) };
    PINTLE_OK
}

unsafe extern "C" fn enabled(_: PintleCtx, level: u32, out: *mut u32) -> PintleStatus {
    // SAFETY: the looper passes a variable of its own.
    unsafe { out.write(level) };
    PINTLE_OK
}

unsafe extern "C" fn write(
    _: PintleCtx,
    level: u32,
    _: PintleStr,
    _: *const PintleField,
    _: usize,
) -> PintleStatus {
    WRITTEN.store(level, std::sync::atomic::Ordering::Relaxed);
    PINTLE_OK
}
