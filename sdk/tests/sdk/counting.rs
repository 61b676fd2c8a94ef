//! A cache for the fake host that counts, and nothing else: what `threshold` asks for. Its windows end when a test says so.

#![allow(
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    reason = "the whole file plays the host"
)]

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Mutex, OnceLock},
};

use pintle_abi::*;

use crate::fake::{Fake, on, text};

/// Sums by fake host and key.
static SUMS: OnceLock<Mutex<HashMap<(u64, String), i64>>> = OnceLock::new();

pub(crate) const CACHE: PintleCache = PintleCache {
    size: size_of::<PintleCache>() as u32,
    reserved: 0,
    get: None,
    get_into: Some(get_into),
    set: Some(set),
    remove: None,
    exists: None,
    incr: Some(incr),
    expire: None,
    ttl: None,
    get_many: Some(get_many),
    set_many: None,
    set_absent: None,
    fetch: None,
    fail: None,
    invalidate: Some(invalidate),
    invalidate_tag: Some(invalidate_tag),
    clear: None,
    keys: None,
    stats: None,
};

/// Forgets what was counted, as a cache does when its time is over.
pub(crate) fn end_windows(fake: &Fake) {
    sums(|sums| sums.retain(|(host, _), _| *host != fake.ctx));
}

fn sums<T>(with: impl FnOnce(&mut HashMap<(u64, String), i64>) -> T) -> T {
    with(&mut SUMS.get_or_init(Mutex::default).lock().unwrap())
}

fn key(ctx: PintleCtx, ns: PintleStr, key: PintleStr) -> (u64, String) {
    (ctx & 0xffff_ffff, unsafe { format!("{} {}", text(ns), text(key)) })
}

unsafe extern "C" fn get_into(
    ctx: PintleCtx,
    ns: PintleStr,
    of: PintleStr,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
    info: *mut PintleCacheInfo,
) -> PintleStatus {
    let key = key(ctx, ns, of);
    on(ctx, "cache.get_into", format!(" {}", key.1), |_| {
        let Some(sum) = sums(|sums| sums.get(&key).copied()) else { return PINTLE_NOT_FOUND };
        let digits = sum.to_string();
        assert!(digits.len() <= cap);
        unsafe {
            buf.copy_from(digits.as_ptr(), digits.len());
            len.write(digits.len());
            assert_eq!((*info).size as usize, size_of::<PintleCacheInfo>());
            (*info).flags = PINTLE_CACHE_INTEGER;
            (*info).integer = sum;
        }
        PINTLE_OK
    })
}

unsafe extern "C" fn incr(
    ctx: PintleCtx,
    ns: PintleStr,
    of: PintleStr,
    delta: i64,
    options: *const PintleCacheOptions,
    value: *mut i64,
) -> PintleStatus {
    let key = key(ctx, ns, of);
    let options = unsafe { &*options };
    assert_eq!((options.size as usize, options.flags), (size_of::<PintleCacheOptions>(), PINTLE_CACHE_TTL));
    on(ctx, "cache.incr", format!(" {} {delta} for {}", key.1, options.ttl_ms), |_| {
        let sum = sums(|sums| {
            let sum = sums.entry(key).or_default();
            *sum += delta;
            *sum
        });
        if let Some(value) = unsafe { value.as_mut() } {
            *value = sum;
        }
        PINTLE_OK
    })
}

/// It keeps no samples: a cache may have made room for others.
unsafe extern "C" fn set(
    _: PintleCtx,
    _: PintleStr,
    _: PintleStr,
    _: PintleBytes,
    _: *const PintleCacheOptions,
) -> PintleStatus {
    PINTLE_OK
}

unsafe extern "C" fn get_many(
    _: PintleCtx,
    _: PintleStr,
    keys: *const PintleStr,
    count: usize,
    each: PintleCacheItemHandler,
    user: *mut c_void,
) -> PintleStatus {
    let each = each.0.expect("it is not null");
    for index in 0..count {
        let key = unsafe { keys.add(index).read() };
        let size = size_of::<PintleCacheItem>() as u32;
        let (value, info) = (PintleBytes::new(&[]), std::ptr::null());
        let item = PintleCacheItem { size, status: PINTLE_NOT_FOUND, index, key, value, info };
        assert_eq!(unsafe { each(user, &raw const item) }, PINTLE_OK);
    }
    PINTLE_OK
}

/// Takes patterns that end with a star, and those without one.
unsafe extern "C" fn invalidate(
    ctx: PintleCtx,
    ns: PintleStr,
    pattern: PintleStr,
    _: *mut u64,
) -> PintleStatus {
    let (host, pattern) = key(ctx, ns, pattern);
    let hit = |key: &str| pattern.strip_suffix('*').map_or(key == pattern, |front| key.starts_with(front));
    sums(|sums| sums.retain(|(of, key), _| *of != host || !hit(key)));
    PINTLE_OK
}

unsafe extern "C" fn invalidate_tag(_: PintleCtx, _: PintleStr, _: *mut u64) -> PintleStatus {
    PINTLE_OK
}
