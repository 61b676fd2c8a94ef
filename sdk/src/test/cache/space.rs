//! Whole namespaces, and all of them: what is invalidated, listed and counted.

use pintle_abi::*;

use super::{glob::Glob, namespace};
use crate::{
    Result,
    test::{
        input,
        inside::{Call, enter},
        pages,
    },
};

/// What the settings say if nobody says otherwise.
const CAPACITY: u64 = 64 << 20;

/// Takes away what `goes` names of a namespace.
///
/// # Safety
/// `count` is null or writable.
unsafe fn take(call: &Call, ns: &str, count: *mut u64, goes: impl Fn(&str) -> bool) {
    let mut state = call.state();
    let now = state.now_ms;
    let tenant = &call.entry.tenant;
    let taken = state.cache.take(now, |(of, space, key)| of == tenant && space == ns && goes(key));
    // SAFETY: the caller's promise.
    if let Some(count) = unsafe { count.as_mut() } {
        *count = taken;
    }
}

pub(super) unsafe extern "C" fn invalidate(
    ctx: PintleCtx,
    ns: PintleStr,
    pattern: PintleStr,
    count: *mut u64,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "cache.invalidate", |call| unsafe {
        let ns = namespace(call, ns)?;
        let pattern = Glob::parse(input::key("pattern", pattern, 512)?)?;
        take(call, ns, count, |key| pattern.matches(key));
        Ok(())
    })
}

pub(super) unsafe extern "C" fn invalidate_tag(
    ctx: PintleCtx,
    tag: PintleStr,
    count: *mut u64,
) -> PintleStatus {
    // SAFETY: as in `invalidate`.
    enter(ctx, "cache.invalidate", |call| unsafe {
        let tag = input::key("tag", tag, 128)?;
        let mut state = call.state();
        let now = state.now_ms;
        let taken = state.cache.take_tagged(now, &call.entry.tenant, tag);
        if let Some(count) = count.as_mut() {
            *count = taken;
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn clear(ctx: PintleCtx, ns: PintleStr, count: *mut u64) -> PintleStatus {
    // SAFETY: as in `invalidate`.
    enter(ctx, "cache.clear", |call| unsafe {
        take(call, namespace(call, ns)?, count, |_| true);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn keys(
    ctx: PintleCtx,
    ns: PintleStr,
    prefix: PintleStr,
    cursor: PintleStr,
    limit: u32,
    out: PintleSink,
    next: PintleSink,
) -> PintleStatus {
    // SAFETY: as in `invalidate`.
    enter(ctx, "cache.keys", |call| unsafe {
        let ns = namespace(call, ns)?;
        let asked = pages::Asked::read(prefix, cursor, limit)?;
        let page = {
            let state = call.state();
            asked.page(state.cache.keys(state.now_ms, &call.entry.tenant, ns))
        };
        page.give(out, next)
    })
}

pub(super) unsafe extern "C" fn stats(ctx: PintleCtx, stats: *mut PintleCacheStats) -> PintleStatus {
    // SAFETY: as in `invalidate`; what is not null begins with its size.
    enter(ctx, "cache.stats", |call| unsafe {
        if stats.is_null() || stats.cast::<u32>().read() as usize != size_of::<PintleCacheStats>() {
            return Err(input::wrong("stats", "null, or its size is another"));
        }
        let (items, bytes) = {
            let state = call.state();
            state.cache.usage(state.now_ms)
        };
        stats.write(PintleCacheStats {
            size: size_of::<PintleCacheStats>() as u32,
            reserved: 0,
            items,
            bytes,
            guaranteed_bytes: CAPACITY / 2,
            capacity_bytes: CAPACITY,
            evicted: 0,
        });
        Result::Ok(())
    })
}
