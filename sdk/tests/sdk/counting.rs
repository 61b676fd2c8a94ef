//! A cache and a storage for the fake host that count, operations that always start, files that nobody reads, and a database: what
//! `threshold` asks for. Its windows end when a test says so.

#![allow(
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    reason = "the whole file plays the host"
)]

use std::{
    collections::{BTreeMap, HashMap},
    ffi::c_void,
    sync::{Mutex, OnceLock},
};

use pintle_abi::*;

use crate::fake::{Fake, bytes, on, text};

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

pub(crate) const STORAGE: PintleStorage = PintleStorage {
    size: size_of::<PintleStorage>() as u32,
    reserved: 0,
    get: None,
    set: None,
    remove: None,
    exists: None,
    keys: None,
    clear: None,
    get_into: None,
    incr: Some(incr_stored),
    expire: None,
    batch: None,
    watch: None,
    unwatch: None,
    stats: None,
};

/// Every operation starts, whatever became of it before.
pub(crate) const IDEMPOTENCY: PintleIdempotency = PintleIdempotency {
    size: size_of::<PintleIdempotency>() as u32,
    reserved: 0,
    begin: Some(begin),
    complete: Some(complete),
    fail: Some(fail),
    renew: None,
    get: None,
};

const TOKEN: PintleIdempotencyToken = 41;

unsafe extern "C" fn begin(
    ctx: PintleCtx,
    operation: PintleStr,
    key: PintleStr,
    fingerprint: PintleBytes,
    _: *const PintleIdempotencyOptions,
    info: *mut PintleIdempotencyInfo,
    _: PintleSink,
) -> PintleStatus {
    let (operation, key) = unsafe { (text(operation), text(key)) };
    let fingerprint = String::from_utf8_lossy(unsafe { bytes(fingerprint) });
    on(ctx, "idempotency.begin", format!(" {operation} {key} {fingerprint}"), |_| {
        let info = unsafe { &mut *info };
        assert_eq!(info.size as usize, size_of::<PintleIdempotencyInfo>());
        (info.state, info.token) = (PINTLE_IDEMPOTENCY_STARTED, TOKEN);
        PINTLE_OK
    })
}

unsafe extern "C" fn complete(ctx: PintleCtx, token: PintleIdempotencyToken, _: PintleBytes) -> PintleStatus {
    on(ctx, "idempotency.complete", format!(" {token}"), |_| PINTLE_OK)
}

unsafe extern "C" fn fail(
    ctx: PintleCtx,
    token: PintleIdempotencyToken,
    keep: u32,
    _: PintleBytes,
) -> PintleStatus {
    on(ctx, "idempotency.fail", format!(" {token} {keep}"), |_| PINTLE_OK)
}

pub(crate) const FILES: PintleFiles = PintleFiles {
    size: size_of::<PintleFiles>() as u32,
    reserved: 0,
    put: Some(put),
    get: None,
    read: None,
    stat: None,
    list: None,
    remove: None,
    resource: None,
};

unsafe extern "C" fn put(
    ctx: PintleCtx,
    path: PintleStr,
    _: PintleBytes,
    _: *const PintleFileOptions,
    _: *mut PintleFileInfo,
) -> PintleStatus {
    on(ctx, "files.put", format!(" {}", unsafe { text(path) }), |_| PINTLE_OK)
}

/// A database that takes everything and tells nothing: what is written there is not what these tests are about.
pub(crate) const DATABASE: PintleDatabase = PintleDatabase {
    size: size_of::<PintleDatabase>() as u32,
    reserved: 0,
    execute: Some(execute),
    query: None,
    query_one: None,
    script: None,
    begin: None,
    commit: None,
    rollback: None,
    migrate: Some(migrate),
    create_table: None,
    stats: None,
};

unsafe extern "C" fn execute(
    _: PintleCtx,
    _: PintleTransaction,
    _: PintleStr,
    _: *const PintleSqlValue,
    _: usize,
    _: *const PintleSqlOptions,
    _: *mut PintleSqlInfo,
) -> PintleStatus {
    PINTLE_OK
}

unsafe extern "C" fn migrate(
    _: PintleCtx,
    _: *const PintleMigration,
    _: usize,
    _: *const PintleMigrateOptions,
    _: *mut PintleMigrateInfo,
) -> PintleStatus {
    PINTLE_OK
}

/// Sums that stay, by fake host and key.
static STORED: Mutex<BTreeMap<(u64, String), i64>> = Mutex::new(BTreeMap::new());

unsafe extern "C" fn incr_stored(
    ctx: PintleCtx,
    key: PintleStr,
    delta: i64,
    _: *const PintleStorageOptions,
    value: *mut i64,
    _: *mut u64,
) -> PintleStatus {
    let key = unsafe { text(key) }.to_owned();
    on(ctx, "storage.incr", format!(" {key} {delta}"), |_| {
        let mut stored = STORED.lock().unwrap();
        let sum = stored.entry((ctx & 0xffff_ffff, key.clone())).or_default();
        *sum += delta;
        unsafe { value.write(*sum) };
        PINTLE_OK
    })
}

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
