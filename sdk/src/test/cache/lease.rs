//! Loading once: who gets a lease, and how it ends. One thread runs here, so nobody is ever waited for: whoever would have
//! to wait is told at once what waiting in vain comes to.

use std::thread;

use pintle_abi::*;

use super::{
    About, give_item,
    kept::{Place, Value},
    missing, place, read, tell,
};
use crate::{
    Error, Result, Status,
    test::{
        input,
        inside::{Call, Kind, enter},
        table::must_wait,
    },
};

/// How long a lease is good for if nobody says.
const DEFAULT_LEASE_MS: i64 = 10_000;

/// How long a lease is to be good for, and whether its taker would wait.
///
/// # Safety
/// `options` is null or readable for this call.
unsafe fn asked(options: *const PintleCacheFetch) -> Result<(i64, bool)> {
    // SAFETY: the caller's promise.
    let Some(options) = (unsafe { input::options(options) })? else { return Ok((DEFAULT_LEASE_MS, true)) };
    if options.flags & !PINTLE_CACHE_NO_WAIT != 0 {
        let text = format!("argument `options.flags`: {:#x}", options.flags);
        return Err(Error::new(Status::Unsupported, text));
    }
    input::timeout(options.wait_ms)?;
    input::timeout(options.lease_ms)?;
    let lease_ms = if options.lease_ms == 0 { DEFAULT_LEASE_MS } else { options.lease_ms };
    Ok((lease_ms, options.flags == 0))
}

/// The lease for an item that is missing or stale; why the caller does not get it.
fn ask(
    call: &Call,
    ctx: PintleCtx,
    place: &Place,
    (lease_ms, waits): (i64, bool),
) -> Result<PintleCacheLease> {
    // A context that outlives its call may be used by many threads, and each of them could wait for another.
    let thread = (call.entry.kind != Kind::Call).then(|| thread::current().id());
    let caller = (ctx, thread);
    let holder = {
        let mut state = call.state();
        let now = state.now_ms;
        let holder = state.cache.loading(place, now);
        if holder.is_none() {
            let number = call.inside.fresh(&mut state);
            let times = (now, lease_ms);
            state.cache.give(number, place.clone(), (call.entry.generation, caller), times)?;
            return Ok(number);
        }
        holder
    };
    if holder == Some(caller) {
        return Err(Error::new(Status::Reentrant, "it is this very call that is to load the item"));
    }
    if waits {
        must_wait(call)?;
    }
    Err(Error::new(Status::Timeout, "another caller is loading the item still"))
}

pub(super) unsafe extern "C" fn fetch(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    options: *const PintleCacheFetch,
    out: PintleSink,
    info: *mut PintleCacheInfo,
    lease: *mut PintleCacheLease,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "cache.fetch", |call| unsafe {
        let lease = input::output("lease", lease)?;
        let place = place(call, ns, key)?;
        let asked = asked(options)?;
        let Ok((value, about)) = read(call, &place) else {
            *lease = ask(call, ctx, &place, asked)?;
            return Err(missing(&place));
        };
        if value == Value::Absent {
            tell(info, &about)?;
            *lease = 0;
            return Err(missing(&place));
        }
        // Whoever cannot have the lease, for whatever reason, has the stale item still.
        let number = if about.is_stale() { ask(call, ctx, &place, asked).unwrap_or(0) } else { 0 };
        let given = give_item(out, &value).and_then(|()| tell(info, &about));
        if given.is_err() && number != 0 {
            let mut state = call.state();
            let now = state.now_ms;
            state.cache.end(number, &place.0, now)?;
        }
        *lease = number;
        given
    })
}

pub(super) unsafe extern "C" fn fail(
    ctx: PintleCtx,
    lease: PintleCacheLease,
    out: PintleSink,
    info: *mut PintleCacheInfo,
) -> PintleStatus {
    // SAFETY: as in `fetch`.
    enter(ctx, "cache.fetch", |call| unsafe {
        let (place, old) = {
            let mut state = call.state();
            let now = state.now_ms;
            let place = state.cache.end(lease, &call.entry.tenant, now)?;
            let old = state.cache.look(&place, now).filter(|(entry, _)| entry.value != Value::Absent);
            let old = old.map(|(entry, _)| (entry.value.clone(), About::of(entry, now)));
            (place, old)
        };
        let (value, about) = old.ok_or_else(|| missing(&place))?;
        give_item(out, &value)?;
        tell(info, &about)
    })
}
