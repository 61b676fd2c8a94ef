//! The table `pintle_cache`.

use std::cell::RefCell;

use pintle_abi::*;

use super::{Call, callback::unknown_value, enter, input, sink::Sink};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{
        cache::{Address, Age, ExpireIf, Expired, Item, Lifetime, Value, Write},
        keys::{Key, Namespace},
    },
};

pub(super) static TABLE: PintleCache = PintleCache {
    size: size_of::<PintleCache>() as u32,
    reserved: 0,
    get: Some(get),
    get_into: Some(get_into),
    set: Some(set),
    remove: Some(remove),
    exists: Some(exists),
    incr: Some(incr),
    expire: Some(expire),
    ttl: Some(ttl),
    get_many: None,
    set_many: None,
    set_absent: None,
    fetch: None,
    fail: None,
    invalidate: None,
    invalidate_tag: None,
    clear: None,
    keys: None,
    stats: None,
};

/// What a thread keeps of its copy buffer between two calls.
const KEPT: usize = 64 << 10;

thread_local! {
    /// Where a value waits between the cache, whose locks must not be held while a plugin's sink runs, and that sink.
    static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    out: PintleSink,
    info: *mut PintleCacheInfo,
) -> PintleStatus {
    enter(ctx, Method::CacheGet, move |call| {
        let out = Sink::new("out", out)?;
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::info("info", info) }?;
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        // Taken, not borrowed: a destructor that runs late in a thread's life finds none and makes its own.
        let mut copy = COPY.try_with(RefCell::take).unwrap_or_default();
        copy.clear();
        let mut known = None;
        let found = call.core().cache.get(&at, &mut |item| {
            match item.value {
                Value::Bytes(bytes) => copy.extend_from_slice(bytes),
                Value::Integer(integer) => {
                    copy.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes())
                }
                Value::Absent => return,
            }
            known = Some(what_is_known(&item));
        });
        let result = found.and_then(|_| {
            let known = known.ok_or_else(missing)?;
            // SAFETY: the contract lets `write` be called until this function returns.
            unsafe { out.write(&copy) }?;
            call.count_bytes(Service::Cache, copy.len());
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { info.write(&known) };
            Ok(())
        });
        if copy.capacity() <= KEPT {
            let _ = COPY.try_with(|kept| kept.replace(copy));
        }
        result
    })
}

unsafe extern "C" fn get_into(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
    info: *mut PintleCacheInfo,
) -> PintleStatus {
    enter(ctx, Method::CacheGetInto, move |call| {
        // SAFETY: the contract says that outputs lead to memory of the caller, as long as they say.
        let (mut buf, info) = unsafe { (input::buffer("buf", buf, cap)?, input::info("info", info)?) };
        let len = input::output("len", len)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let mut read = None;
        call.core().cache.get(&at, &mut |item| {
            let mut digits = itoa::Buffer::new();
            let bytes = match item.value {
                Value::Bytes(bytes) => bytes,
                Value::Integer(integer) => digits.format(integer).as_bytes(),
                Value::Absent => return,
            };
            let fits = buf.write(bytes);
            read = Some((bytes.len(), fits, what_is_known(&item)));
        })?;
        let (needed, fits, known) = read.ok_or_else(missing)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { len.write(needed) };
        if !fits {
            return Err(too_small(cap, needed));
        }
        call.count_bytes(Service::Cache, needed);
        // SAFETY: as above.
        unsafe { info.write(&known) };
        Ok(())
    })
}

unsafe extern "C" fn set(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    value: PintleBytes,
    options: *const PintleCacheOptions,
) -> PintleStatus {
    enter(ctx, Method::CacheSet, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (at, value) = unsafe { (address(call, ns, key)?, input::raw("value", value.ptr, value.len)?) };
        // SAFETY: as above.
        let ttl_ms = unsafe { ttl_of(options) }?;
        call.core().cache.set(&at, &Write::of(value, ttl_ms))?;
        call.count_bytes(Service::Cache, value.len());
        Ok(())
    })
}

unsafe extern "C" fn remove(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    existed: *mut u32,
) -> PintleStatus {
    enter(ctx, Method::CacheRemove, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let found = call.core().cache.remove(&at)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(found)) };
        Ok(())
    })
}

unsafe extern "C" fn exists(ctx: PintleCtx, ns: PintleStr, key: PintleStr, exists: *mut u32) -> PintleStatus {
    enter(ctx, Method::CacheExists, move |call| {
        let out = input::output("exists", exists)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let found = call.core().cache.exists(&at)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(u32::from(found)) };
        Ok(())
    })
}

unsafe extern "C" fn incr(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    delta: i64,
    options: *const PintleCacheOptions,
    value: *mut i64,
) -> PintleStatus {
    enter(ctx, Method::CacheIncr, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (at, ttl_ms) = unsafe { (address(call, ns, key)?, ttl_of(options)?) };
        let sum = call.core().cache.incr(&at, delta, ttl_ms)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(value, sum) };
        Ok(())
    })
}

unsafe extern "C" fn expire(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    ttl_ms: i64,
    condition: u32,
    existed: *mut u32,
) -> PintleStatus {
    enter(ctx, Method::CacheExpire, move |call| {
        let condition = match condition {
            PINTLE_EXPIRE_ALWAYS => ExpireIf::Always,
            PINTLE_EXPIRE_IF_NONE => ExpireIf::Endless,
            PINTLE_EXPIRE_IF_SET => ExpireIf::Set,
            PINTLE_EXPIRE_IF_LATER => ExpireIf::Later,
            PINTLE_EXPIRE_IF_EARLIER => ExpireIf::Earlier,
            other => return Err(unknown_value("condition", other)),
        };
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let outcome = call.core().cache.expire(&at, ttl_ms, condition)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(outcome != Expired::Missing)) };
        if outcome == Expired::Refused {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the condition does not hold: the item keeps the lifetime that it has",
            ));
        }
        Ok(())
    })
}

unsafe extern "C" fn ttl(ctx: PintleCtx, ns: PintleStr, key: PintleStr, ttl_ms: *mut i64) -> PintleStatus {
    enter(ctx, Method::CacheTtl, move |call| {
        let out = input::output("ttl_ms", ttl_ms)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let lifetime = call.core().cache.ttl(&at)?.ok_or_else(missing)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(milliseconds(lifetime)) };
        Ok(())
    })
}

/// Where the item lies, if the plugin may reach there.
///
/// # Safety
/// Both texts are readable for this call.
#[inline]
unsafe fn address<'a>(call: &'a Call, ns: PintleStr, key: PintleStr) -> Result<Address<'a>> {
    // SAFETY: the caller vouches for it.
    let namespace = Namespace::parse("ns", unsafe { input::raw("ns", ns.ptr.cast(), ns.len) }?)?;
    if let Some(granted) = &call.grants().permits().namespaces
        && !granted.iter().any(|granted| granted == namespace.as_str())
    {
        return Err(not_granted(call, namespace));
    }
    // SAFETY: as above.
    let key = Key::parse("key", unsafe { input::raw("key", key.ptr.cast(), key.len) }?)?;
    Ok(Address { scope: call.data_scope(), namespace, key })
}

#[cold]
#[inline(never)]
fn not_granted(call: &Call, namespace: Namespace<'_>) -> Error {
    let namespace = namespace.as_str().to_owned();
    Error::lazy(ErrorKind::Denied, move || {
        format!(
            "it may not use the cache namespace {namespace:?}: add it to \"services\": {{ \"cache\": {{ \"namespaces\": [{namespace:?}] }} }} in its manifest, or, if it is there, to the host's settings"
        )
    })
    .of(call.record.id.clone())
}

#[cold]
#[inline(never)]
fn missing() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the cache has no such item: it was never written, has expired, or had to make room",
    )
}

#[cold]
#[inline(never)]
fn too_small(cap: usize, needed: usize) -> Error {
    Error::lazy(ErrorKind::BufferTooSmall, move || {
        format!("the value has {needed} bytes, the buffer has room for {cap}: pass one of that size")
    })
}

/// # Safety
/// A non-null pointer leads to as many bytes as its first four say.
unsafe fn ttl_of(options: *const PintleCacheOptions) -> Result<Option<i64>> {
    // SAFETY: the caller vouches for it.
    let options = unsafe { input::options(options) }?;
    Ok(options.filter(|options| options.flags & PINTLE_CACHE_TTL != 0).map(|options| options.ttl_ms))
}

fn what_is_known(item: &Item<'_>) -> PintleCacheInfo {
    let (flags, integer) = match item.value {
        Value::Bytes(_) => (0, 0),
        Value::Integer(integer) => (PINTLE_CACHE_INTEGER, integer),
        Value::Absent => (PINTLE_CACHE_ABSENT, 0),
    };
    let stale = if item.age == Age::Fresh { 0 } else { PINTLE_CACHE_STALE };
    PintleCacheInfo {
        size: size_of::<PintleCacheInfo>() as u32,
        flags: flags | stale,
        integer,
        ttl_ms: milliseconds(item.fresh()),
        left_ms: milliseconds(item.left()),
        version: item.version,
    }
}

fn milliseconds(lifetime: Lifetime) -> i64 {
    match lifetime {
        Lifetime::Endless => PINTLE_FOREVER,
        Lifetime::Ms(ms) => ms,
    }
}
