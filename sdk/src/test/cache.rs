//! The table of the cache: a map, and a clock that the test moves.

use pintle_abi::*;

use super::{
    input,
    inside::{Call, State, Tenant, enter},
};
use crate::{Error, Result, Status, cache::canonical};

/// What the real host gives where nobody says how long: one hour.
const DEFAULT_TTL_MS: i64 = 3_600_000;

/// 100 years.
const LONGEST_TTL_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// An item.
pub(super) struct CacheEntry {
    value: Value,
    /// By the host's clock; `None`: it does not expire.
    expires_ms: Option<i64>,
}

#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Integer(i64),
}

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

type Place = (Tenant, String, String);

/// # Safety
/// Both texts are readable for this call.
unsafe fn place(call: &Call, ns: PintleStr, key: PintleStr) -> Result<Place> {
    // SAFETY: the caller's promise.
    let ns = unsafe { input::key("ns", ns, 128) }?;
    call.must_grant(|manifest| manifest.must_grant_namespace(ns))?;
    // SAFETY: the caller's promise.
    let key = unsafe { input::key("key", key, 512) }?;
    Ok((call.entry.tenant.clone(), ns.to_owned(), key.to_owned()))
}

impl State {
    /// The item, if it has not expired.
    fn cached(&mut self, place: &Place) -> Option<&mut CacheEntry> {
        let now = self.now_ms;
        if self.cache.get(place)?.expires_ms.is_some_and(|at| at <= now) {
            self.cache.remove(place);
        }
        self.cache.get_mut(place)
    }
}

impl CacheEntry {
    fn left_ms(&self, now_ms: i64) -> i64 {
        self.expires_ms.map_or(PINTLE_FOREVER, |at| at - now_ms)
    }
}

/// How long an item is to live that is written now.
///
/// # Safety
/// `options` is null or readable for this call.
unsafe fn ttl_of(options: *const PintleCacheOptions) -> Result<i64> {
    // SAFETY: the caller's promise.
    match unsafe { input::options(options) }? {
        None | Some(PintleCacheOptions { flags: 0, .. }) => Ok(DEFAULT_TTL_MS),
        Some(PintleCacheOptions { flags: PINTLE_CACHE_TTL, ttl_ms, .. }) => Ok(ttl_ms),
        Some(PintleCacheOptions { flags, .. }) => {
            Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")))
        }
    }
}

/// When an item expires that is to live so long; `None`: never.
fn expiry(now_ms: i64, ttl_ms: i64) -> Result<Option<i64>> {
    match ttl_ms {
        0 => Ok(None),
        1..=LONGEST_TTL_MS => Ok(Some(now_ms + ttl_ms)),
        _ => {
            let text =
                format!("argument `ttl_ms`: {ttl_ms}, 1 to {LONGEST_TTL_MS} are taken, and 0 for no expiry");
            Err(Error::new(Status::OutOfRange, text))
        }
    }
}

fn missing((_, ns, key): &Place) -> Error {
    Error::new(Status::NotFound, format!("the namespace {ns:?} of the cache has no item {key:?}"))
}

/// # Safety
/// `info` is null or begins with its size and is writable as far as that.
unsafe fn tell(info: *mut PintleCacheInfo, (ttl_ms, integer): About) -> Result<()> {
    if info.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    if unsafe { info.cast::<u32>().read() } as usize != size_of::<PintleCacheInfo>() {
        return Err(input::wrong("info", "its size is another"));
    }
    let flags = if integer.is_some() { PINTLE_CACHE_INTEGER } else { 0 };
    let size = size_of::<PintleCacheInfo>() as u32;
    // SAFETY: as above, and it is as large as this.
    unsafe {
        info.write(PintleCacheInfo {
            size,
            flags,
            integer: integer.unwrap_or(0),
            ttl_ms,
            left_ms: ttl_ms,
            version: 1,
        })
    };
    Ok(())
}

/// What is known of an item: the milliseconds that it still lives, and the value of an integer.
type About = (i64, Option<i64>);

fn read(call: &Call, place: &Place) -> Result<(Vec<u8>, About)> {
    let mut state = call.state();
    let now = state.now_ms;
    let entry = state.cached(place).ok_or_else(|| missing(place))?;
    let left = entry.left_ms(now);
    Ok(match &entry.value {
        Value::Bytes(bytes) => (bytes.clone(), (left, None)),
        Value::Integer(integer) => (integer.to_string().into_bytes(), (left, Some(*integer))),
    })
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
        let (value, about) = read(call, &place(call, ns, key)?)?;
        input::give("out", out, &value)?;
        tell(info, about)
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
        let (value, about) = read(call, &place(call, ns, key)?)?;
        *len = value.len();
        if value.len() > cap {
            let text = format!("the value has {} bytes, and the buffer {cap}", value.len());
            return Err(Error::new(Status::BufferTooSmall, text));
        }
        if !value.is_empty() {
            buf.copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        tell(info, about)
    })
}

unsafe extern "C" fn set(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    value: PintleBytes,
    options: *const PintleCacheOptions,
) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "cache.set", |call| unsafe {
        let place = place(call, ns, key)?;
        let ttl_ms = ttl_of(options)?;
        let value = input::bytes("value", value, input::MEBIBYTE)?.to_vec();
        let mut state = call.state();
        let expires_ms = expiry(state.now_ms, ttl_ms)?;
        state.cache.insert(place, CacheEntry { value: Value::Bytes(value), expires_ms });
        Ok(())
    })
}

unsafe extern "C" fn remove(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    existed: *mut u32,
) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "cache.remove", |call| unsafe {
        let place = place(call, ns, key)?;
        let mut state = call.state();
        let was_there = state.cached(&place).is_some();
        state.cache.remove(&place);
        if let Some(existed) = existed.as_mut() {
            *existed = was_there.into();
        }
        Ok(())
    })
}

unsafe extern "C" fn exists(ctx: PintleCtx, ns: PintleStr, key: PintleStr, exists: *mut u32) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "cache.exists", |call| unsafe {
        let exists = input::output("exists", exists)?;
        *exists = call.state().cached(&place(call, ns, key)?).is_some().into();
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
    // SAFETY: as in `get`.
    enter(ctx, "cache.incr", |call| unsafe {
        let place = place(call, ns, key)?;
        let ttl_ms = ttl_of(options)?;
        let mut state = call.state();
        let fresh = expiry(state.now_ms, ttl_ms)?;
        let (before, expires_ms) = match state.cached(&place) {
            None => (0, fresh),
            Some(entry) => {
                let integer = match &entry.value {
                    Value::Integer(integer) => Some(*integer),
                    Value::Bytes(bytes) => canonical(bytes),
                };
                let wrong = || Error::new(Status::WrongType, format!("the item {:?} is no integer", place.2));
                (integer.ok_or_else(wrong)?, entry.expires_ms)
            }
        };
        let sum = before.checked_add(delta).ok_or_else(|| {
            Error::new(Status::OutOfRange, format!("{before} and {delta} are more than an integer holds"))
        })?;
        state.cache.insert(place, CacheEntry { value: Value::Integer(sum), expires_ms });
        if let Some(value) = value.as_mut() {
            *value = sum;
        }
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
    // SAFETY: as in `get`.
    enter(ctx, "cache.expire", |call| unsafe {
        if condition > PINTLE_EXPIRE_IF_EARLIER {
            return Err(Error::new(Status::Unsupported, format!("argument `condition`: {condition}")));
        }
        let place = place(call, ns, key)?;
        let mut state = call.state();
        let now = state.now_ms;
        let new = if ttl_ms < 0 { Some(now) } else { expiry(now, ttl_ms)? };
        let entry = state.cached(&place);
        if let Some(existed) = existed.as_mut() {
            *existed = entry.is_some().into();
        }
        let Some(entry) = entry else { return Ok(()) };
        let later = |at: Option<i64>| at.unwrap_or(i64::MAX);
        let holds = match condition {
            PINTLE_EXPIRE_IF_NONE => entry.expires_ms.is_none(),
            PINTLE_EXPIRE_IF_SET => entry.expires_ms.is_some(),
            PINTLE_EXPIRE_IF_LATER => later(new) > later(entry.expires_ms),
            PINTLE_EXPIRE_IF_EARLIER => later(new) < later(entry.expires_ms),
            _ => true,
        };
        if !holds {
            return Err(Error::new(Status::Conflict, "the condition does not hold"));
        }
        entry.expires_ms = new;
        Ok(())
    })
}

unsafe extern "C" fn ttl(ctx: PintleCtx, ns: PintleStr, key: PintleStr, ttl_ms: *mut i64) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "cache.ttl", |call| unsafe {
        let out = input::output("ttl_ms", ttl_ms)?;
        *out = read(call, &place(call, ns, key)?)?.1.0;
        Ok(())
    })
}
