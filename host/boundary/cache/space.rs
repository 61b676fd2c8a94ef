//! What is about many items at once: `invalidate`, `invalidate_tag`, `clear`, `keys`, `stats`.

use pintle_abi::*;

use super::{super::sink::write_page, Sink, enter, input, space};
use crate::{
    identity::Method,
    services::{
        cache::Glob,
        keys::{LONGEST_KEY, Namespace, page_limit},
    },
};

pub(super) unsafe extern "C" fn invalidate(
    ctx: PintleCtx,
    ns: PintleStr,
    pattern: PintleStr,
    count: *mut u64,
) -> PintleStatus {
    enter(ctx, Method::CacheInvalidate, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (space, pattern) = unsafe { (space(call, ns)?, input::key("pattern", pattern)?) };
        let pattern = Glob::parse("pattern", pattern.as_str().as_bytes())?;
        let removed = call.core().cache.invalidate(&space, &pattern)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(count, removed) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn invalidate_tag(
    ctx: PintleCtx,
    tag: PintleStr,
    count: *mut u64,
) -> PintleStatus {
    enter(ctx, Method::CacheInvalidateTag, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let tag = Namespace::parse("tag", unsafe { input::raw("tag", tag.ptr.cast(), tag.len) }?)?;
        let removed = call.core().cache.invalidate_tag(&call.data_scope(), tag)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(count, removed) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn clear(ctx: PintleCtx, ns: PintleStr, count: *mut u64) -> PintleStatus {
    enter(ctx, Method::CacheClear, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let space = unsafe { space(call, ns) }?;
        let removed = call.core().cache.clear(&space)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(count, removed) };
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
    enter(ctx, Method::CacheKeys, move |call| {
        let (out, next) = (Sink::new("out", out)?, Sink::optional(next));
        // SAFETY: the contract says that inputs are readable for this call, here and below.
        let (space, prefix) = unsafe { (space(call, ns)?, input::text("prefix", prefix, LONGEST_KEY)?) };
        // SAFETY: as above.
        let cursor = unsafe { input::optional("cursor", cursor, input::LONGEST_CURSOR) }?;
        let page = call.core().cache.keys(&space, prefix, cursor, page_limit(limit)?)?;
        // SAFETY: the contract lets both `write` be called until this function returns.
        unsafe { write_page(&out, next.as_ref(), &page.keys, page.next.as_deref()) }
    })
}

pub(super) unsafe extern "C" fn stats(ctx: PintleCtx, stats: *mut PintleCacheStats) -> PintleStatus {
    enter(ctx, Method::CacheStats, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let out = unsafe { input::required_info("stats", stats) }?;
        let cache = &call.core().cache;
        let all = cache.usage()?;
        let own = all.iter().find(|usage| usage.plugin == call.record.id);
        let told = PintleCacheStats {
            size: size_of::<PintleCacheStats>() as u32,
            reserved: 0,
            items: own.map_or(0, |usage| usage.items),
            bytes: own.map_or(0, |usage| usage.bytes),
            guaranteed_bytes: cache.guaranteed(),
            capacity_bytes: cache.capacity(),
            evicted: own.map_or(0, |usage| usage.evicted),
        };
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(&told) };
        Ok(())
    })
}
