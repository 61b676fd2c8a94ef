//! Loading once: who gets a lease, and how it ends. One thread runs here, so nobody is ever waited for: whoever would have
//! to wait is told at once what waiting in vain comes to.

use pintle_abi::*;

use super::{
    About, give_item,
    kept::{Age, Value},
    missing, place, tell,
};
use crate::{
    Error, Result, Status,
    test::{input, inside::enter, table::must_wait},
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
        let (lease_ms, waits) = asked(options)?;
        let mut state = call.state();
        let now = state.now_ms;
        let found = state.cache.look(&place, now).filter(|(_, age)| *age != Age::Kept);
        let found = found.map(|(entry, age)| (age, entry.value.clone(), About::of(entry, now)));
        let loading = state.cache.loading(&place, now);
        let (is_absent, is_fresh) = match &found {
            Some((age, value, _)) => (*value == Value::Absent, *age == Age::Fresh),
            None => (false, false),
        };
        let mut number = 0;
        if !is_fresh && loading.is_none() {
            number = call.inside.fresh(&mut state);
            let by = (call.entry.generation, ctx);
            state.cache.give(number, place.clone(), by, (now, lease_ms))?;
        }
        drop(state);
        match (found, loading) {
            (Some((_, _, about)), _) if is_absent => {
                tell(info, &about)?;
                *lease = 0;
                Err(missing(&place))
            }
            (Some((_, value, about)), _) => {
                let given = give_item(out, &value).and_then(|()| tell(info, &about));
                if given.is_err() && number != 0 {
                    call.state().cache.end(number, &place.0, now)?;
                }
                *lease = number;
                given
            }
            (None, None) => {
                *lease = number;
                Err(missing(&place))
            }
            (None, Some(by)) => {
                if waits {
                    must_wait(call)?;
                }
                if waits && by == ctx {
                    let text = "it is this very call that is to load the item";
                    return Err(Error::new(Status::Reentrant, text));
                }
                Err(Error::new(Status::Timeout, "another caller is loading the item still"))
            }
        }
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
