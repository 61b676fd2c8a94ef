//! Loading: `fetch` and `fail`. The engine knows who is to load and who waits; here is who calls, and how a call waits.

#[cfg(test)]
mod tests;

use std::{
    thread,
    time::{Duration, Instant},
};

use pintle_abi::*;

use super::{
    super::{given_up, stale},
    Call, Sink, address, enter, input,
    read::absent,
    take, what_is_known, with_copy,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Phase, Seat, Service},
    services::cache::{CallId, Fetch, Fetched, Fetcher},
};

pub(super) unsafe extern "C" fn fetch(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    options: *const PintleCacheFetch,
    out: PintleSink,
    info: *mut PintleCacheInfo,
    lease: *mut PintleCacheLease,
) -> PintleStatus {
    enter(ctx, Method::CacheFetch, move |call| {
        let (out, to) = (Sink::new("out", out)?, input::output("lease", lease)?);
        // SAFETY: the contract says that a struct of the caller is as long as it says, here and below.
        let (info, options) = unsafe { (input::info("info", info)?, input::options(options)?) };
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let ask = options.map_or_else(Fetch::default, |options| Fetch {
            no_wait: options.flags & PINTLE_CACHE_NO_WAIT != 0,
            wait_ms: options.wait_ms,
            lease_ms: options.lease_ms,
        });
        with_copy(|copy| {
            let mut known = None;
            let fetched = call.core().cache.fetch(&at, &ask, &Waiting(call), &mut |item| {
                known = Some(what_is_known(&item));
                take(&item, copy);
            });
            let (lease, answer) = match fetched.map_err(|error| ended(call, error))? {
                Fetched::Load { lease } => (lease, Err(to_be_loaded())),
                Fetched::KnownAbsent => (0, Err(absent())),
                Fetched::Given { lease } => (lease.unwrap_or(0), Ok(())),
            };
            call.count_read(answer.is_ok() || lease == 0);
            if answer.is_ok() {
                // SAFETY: the contract lets `write` be called until this function returns.
                if let Err(refused) = unsafe { out.write(copy) } {
                    if lease != 0 {
                        // The caller will never know of it.
                        let _ = call.core().cache.fail(&at.scope, lease, &mut |_| ());
                    }
                    return Err(refused);
                }
                call.count_bytes(Service::Cache, copy.len());
            }
            // SAFETY: the contract says that outputs lead to memory of the caller, here and below.
            unsafe { to.write(lease) };
            // What was found before the lease was given may be gone: then nothing is known.
            let is_given = answer.is_ok() || lease == 0;
            if let Some(known) = known.filter(|_| is_given) {
                // SAFETY: as above.
                unsafe { info.write(&known) };
            }
            answer
        })
    })
}

pub(super) unsafe extern "C" fn fail(
    ctx: PintleCtx,
    lease: PintleCacheLease,
    out: PintleSink,
    info: *mut PintleCacheInfo,
) -> PintleStatus {
    let mut nothing_to_give = false;
    let status = enter(ctx, Method::CacheFail, |call| {
        let out = Sink::new("out", out)?;
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::info("info", info) }?;
        if lease == 0 {
            return Err(stale());
        }
        with_copy(|copy| {
            let mut known = None;
            call.core().cache.fail(&call.data_scope(), lease, &mut |item| {
                known = Some(what_is_known(&item));
                take(&item, copy);
            })?;
            let Some(known) = known else {
                nothing_to_give = true;
                return Ok(());
            };
            // SAFETY: the contract lets `write` be called until this function returns.
            unsafe { out.write(copy) }?;
            call.count_bytes(Service::Cache, copy.len());
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { info.write(&known) };
            Ok(())
        })
    });
    // Without words of its own: whoever asks for the last error now wants to know why loading failed.
    if status == PINTLE_OK && nothing_to_give { PINTLE_NOT_FOUND } else { status }
}

/// A call, as the engine sees who fetches.
struct Waiting<'c>(&'c Call);

impl Fetcher for Waiting<'_> {
    fn call(&self) -> CallId {
        // A context that outlives its call may be used by many threads, and each of them can wait for another.
        let thread = (!self.0.scope.call).then(|| thread::current().id());
        CallId { context: self.0.ctx, thread }
    }

    fn generation(&self) -> u64 {
        self.0.scope.generation
    }

    fn is_stopping(&self) -> bool {
        Seat::phase(self.0.scope.seat) == Phase::Stopping
    }

    fn patience(&self, wait_ms: i64) -> Result<Duration> {
        let deadline = self.0.may_wait(wait_ms)?;
        Ok(deadline.saturating_duration_since(Instant::now()))
    }

    fn wait(&self, sleep: &mut dyn FnMut()) -> Result<()> {
        let _place_given_away = self.0.core().pool.begin_pause()?;
        sleep();
        Ok(())
    }
}

/// Why a fetch failed: nobody needs to be told of a deadline who has given up.
fn ended(call: &Call, error: Error) -> Error {
    if error.kind() == ErrorKind::Timeout && call.remaining() == 0 { given_up() } else { error }
}

#[cold]
#[inline(never)]
fn to_be_loaded() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the cache has no such item, and this caller is to load it: end the lease by `set`, `set_absent` or `fail`",
    )
}
