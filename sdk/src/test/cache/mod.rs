//! The table of the cache: a map, and a clock that the test moves. Here is how items are read; `write` changes them, `lease`
//! is about loading them once, `space` about many of them. `kept` is the map.

mod glob;
mod kept;
mod lease;
mod space;
mod write;

use std::{ffi::c_void, ptr};

use pintle_abi::*;

pub(super) use self::kept::Kept;
use self::kept::{Age, Entry, Place, Value};
use super::{
    input,
    inside::{Call, enter, in_sink},
};
use crate::{Error, Result, Status};

/// The most items of one call.
const MOST_AT_ONCE: usize = 1_024;

pub(super) static TABLE: PintleCache = PintleCache {
    size: size_of::<PintleCache>() as u32,
    reserved: 0,
    get: Some(get),
    get_into: Some(get_into),
    set: Some(write::set),
    remove: Some(write::remove),
    exists: Some(exists),
    incr: Some(write::incr),
    expire: Some(write::expire),
    ttl: Some(ttl),
    get_many: Some(get_many),
    set_many: Some(write::set_many),
    set_absent: Some(write::set_absent),
    fetch: Some(lease::fetch),
    fail: Some(lease::fail),
    invalidate: Some(space::invalidate),
    invalidate_tag: Some(space::invalidate_tag),
    clear: Some(space::clear),
    keys: Some(space::keys),
    stats: Some(space::stats),
};

/// # Safety
/// `ns` is readable for `'a`.
unsafe fn namespace<'a>(call: &Call, ns: PintleStr) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let ns = unsafe { input::key("ns", ns, 128) }?;
    call.must_grant(|manifest| manifest.must_grant_namespace(ns))?;
    Ok(ns)
}

/// # Safety
/// Both texts are readable for this call.
unsafe fn place(call: &Call, ns: PintleStr, key: PintleStr) -> Result<Place> {
    // SAFETY: the caller's promise.
    let (ns, key) = unsafe { (namespace(call, ns)?, input::key("key", key, 512)?) };
    Ok((call.entry.tenant.clone(), ns.to_owned(), key.to_owned()))
}

fn must_be_few(count: usize) -> Result<()> {
    if count <= MOST_AT_ONCE {
        return Ok(());
    }
    let text = format!("argument `count`: {count}, at most {MOST_AT_ONCE} are taken");
    Err(Error::new(Status::TooLarge, text))
}

fn missing((_, ns, key): &Place) -> Error {
    Error::new(Status::NotFound, format!("the namespace {ns:?} of the cache has no item {key:?}"))
}

/// What is known of an item.
struct About(PintleCacheInfo);

impl About {
    fn of(entry: &Entry, now_ms: i64) -> Self {
        let ttl_ms = entry.ttl_ms(now_ms);
        let (flags, integer, version) = match entry.value {
            Value::Bytes(_) => (0, 0, entry.version),
            Value::Integer(integer) => (PINTLE_CACHE_INTEGER, integer, entry.version),
            Value::Absent => (PINTLE_CACHE_ABSENT, 0, 0),
        };
        Self(PintleCacheInfo {
            size: size_of::<PintleCacheInfo>() as u32,
            flags: if ttl_ms == 0 { flags | PINTLE_CACHE_STALE } else { flags },
            integer,
            ttl_ms,
            left_ms: entry.left_ms(now_ms),
            version,
        })
    }

    fn is_stale(&self) -> bool {
        self.0.flags & PINTLE_CACHE_STALE != 0
    }
}

/// # Safety
/// `info` is null or begins with its size and is writable as far as that.
unsafe fn tell(info: *mut PintleCacheInfo, about: &About) -> Result<()> {
    if info.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    if unsafe { info.cast::<u32>().read() } as usize != size_of::<PintleCacheInfo>() {
        return Err(input::wrong("info", "its size is another"));
    }
    // SAFETY: as above, and it is as large as this.
    unsafe { info.write(about.0) };
    Ok(())
}

/// The bytes of a value, or its digits.
fn bytes_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Bytes(bytes) => bytes.clone(),
        Value::Integer(integer) => integer.to_string().into_bytes(),
        Value::Absent => Vec::new(),
    }
}

/// # Safety
/// The sink is one that the plugin lent for this call.
unsafe fn give_item(out: PintleSink, value: &Value) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { input::give("out", out, &bytes_of(value)) }
}

/// What is there, fresh or stale, or a note that there is nothing.
fn read(call: &Call, place: &Place) -> Result<(Value, About)> {
    let state = call.state();
    let found = state.cache.look(place, state.now_ms).filter(|(_, age)| *age != Age::Kept);
    found
        .map(|(entry, _)| (entry.value.clone(), About::of(entry, state.now_ms)))
        .ok_or_else(|| missing(place))
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    out: PintleSink,
    info: *mut PintleCacheInfo,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "cache.get", |call| unsafe {
        let place = place(call, ns, key)?;
        let (value, about) = read(call, &place)?;
        if value == Value::Absent {
            tell(info, &about)?;
            return Err(missing(&place));
        }
        give_item(out, &value)?;
        tell(info, &about)
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
    // SAFETY: as in `get`.
    enter(ctx, "cache.get", |call| unsafe {
        let len = input::output("len", len)?;
        if buf.is_null() && cap > 0 {
            return Err(input::wrong("buf", "null with room"));
        }
        let place = place(call, ns, key)?;
        let (value, about) = read(call, &place)?;
        if value == Value::Absent {
            tell(info, &about)?;
            return Err(missing(&place));
        }
        let value = bytes_of(&value);
        *len = value.len();
        if value.len() > cap {
            let text = format!("the value has {} bytes, and the buffer {cap}", value.len());
            return Err(Error::new(Status::BufferTooSmall, text));
        }
        if !value.is_empty() {
            buf.copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        tell(info, &about)
    })
}

unsafe extern "C" fn get_many(
    ctx: PintleCtx,
    ns: PintleStr,
    keys: *const PintleStr,
    count: usize,
    each: PintleCacheItemHandler,
    user: *mut c_void,
) -> PintleStatus {
    // SAFETY: as in `get`; there are as many keys as the plugin says.
    enter(ctx, "cache.get", |call| unsafe {
        let each = each.0.ok_or_else(|| input::wrong("each", "null"))?;
        let ns = namespace(call, ns)?;
        must_be_few(count)?;
        if count > 0 && keys.is_null() {
            return Err(input::wrong("keys", "null"));
        }
        let keys: Vec<PintleStr> = (0..count).map(|at| keys.add(at).read()).collect();
        let places: Vec<Place> = keys
            .iter()
            .map(|key| {
                Ok((call.entry.tenant.clone(), ns.to_owned(), input::key("keys", *key, 512)?.to_owned()))
            })
            .collect::<Result<_>>()?;
        for (index, (key, place)) in keys.into_iter().zip(&places).enumerate() {
            let found = read(call, place).ok();
            let there = found.as_ref().filter(|(value, _)| *value != Value::Absent);
            let value = there.map(|(value, _)| bytes_of(value));
            let item = PintleCacheItem {
                size: size_of::<PintleCacheItem>() as u32,
                status: if there.is_some() { PINTLE_OK } else { PINTLE_NOT_FOUND },
                index,
                key,
                value: PintleBytes::new(value.as_deref().unwrap_or_default()),
                info: found.as_ref().map_or(ptr::null(), |(_, about)| &raw const about.0),
            };
            if in_sink(|| each(user, &raw const item)) != PINTLE_OK {
                return Err(Error::new(Status::Cancelled, "the handler refused"));
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn exists(ctx: PintleCtx, ns: PintleStr, key: PintleStr, exists: *mut u32) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "cache.exists", |call| unsafe {
        let exists = input::output("exists", exists)?;
        let place = place(call, ns, key)?;
        let mut state = call.state();
        let now = state.now_ms;
        *exists = state.cache.there(&place, now).is_some().into();
        Ok(())
    })
}

unsafe extern "C" fn ttl(ctx: PintleCtx, ns: PintleStr, key: PintleStr, ttl_ms: *mut i64) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "cache.ttl", |call| unsafe {
        let out = input::output("ttl_ms", ttl_ms)?;
        let place = place(call, ns, key)?;
        let mut state = call.state();
        let now = state.now_ms;
        *out = state.cache.there(&place, now).ok_or_else(|| missing(&place))?.ttl_ms(now);
        Ok(())
    })
}
