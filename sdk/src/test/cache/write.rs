//! How items are written: one, many, counted, and made to live longer or shorter.

use pintle_abi::*;

use super::{
    Place,
    kept::{Entry, Value},
    namespace, place,
};
use crate::{
    Error, Result, Status,
    cache::canonical,
    test::{
        input,
        inside::{Call, enter},
    },
};

/// What the real host gives where nobody says how long: one hour, and ten seconds for what is absent.
const DEFAULT_MS: i64 = 3_600_000;
const DEFAULT_ABSENT_MS: i64 = 10_000;

/// 100 years.
const LONGEST_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

const MOST_TAGS: usize = 16;

/// Flags of options that this host knows.
const KNOWN: u32 =
    PINTLE_CACHE_TTL | PINTLE_CACHE_KEEP_TTL | PINTLE_CACHE_IF_ABSENT | PINTLE_CACHE_IF_VERSION;

/// Options, checked.
struct Asked {
    /// `None`: the default.
    ttl_ms: Option<i64>,
    stale_ms: i64,
    error_ms: i64,
    keep: bool,
    /// The version that must be there; 0: none.
    version: Option<u64>,
    tags: Vec<String>,
    lease: PintleCacheLease,
}

impl Asked {
    /// # Safety
    /// `options` is null or readable for this call, with what it leads to.
    unsafe fn read(options: *const PintleCacheOptions) -> Result<Self> {
        // SAFETY: the caller's promise.
        let Some(options) = (unsafe { input::options(options) })? else {
            let (ttl_ms, keep, version, tags) = (None, false, None, Vec::new());
            return Ok(Self { ttl_ms, stale_ms: 0, error_ms: 0, keep, version, tags, lease: 0 });
        };
        let has = |flag| options.flags & flag != 0;
        if has(!KNOWN) {
            let text = format!("argument `options.flags`: {:#x}", options.flags);
            return Err(Error::new(Status::Unsupported, text));
        }
        if has(PINTLE_CACHE_IF_ABSENT) && has(PINTLE_CACHE_IF_VERSION) {
            return Err(input::wrong("options.flags", "two conditions, one is taken"));
        }
        if options.tag_count > MOST_TAGS || options.tag_count > 0 && options.tags.is_null() {
            let problem = format!("{} of them, or null; an item has at most {MOST_TAGS}", options.tag_count);
            return Err(input::wrong("options.tags", problem));
        }
        // SAFETY: the caller's promise: so many are there.
        let tags =
            (0..options.tag_count).map(|at| unsafe { input::key("tag", options.tags.add(at).read(), 128) });
        let tags: Vec<_> = tags.map(|tag| tag.map(str::to_owned)).collect::<Result<_>>()?;
        Ok(Self {
            ttl_ms: has(PINTLE_CACHE_TTL).then_some(options.ttl_ms),
            stale_ms: options.stale_ms,
            error_ms: options.error_ms,
            keep: has(PINTLE_CACHE_KEEP_TTL),
            version: (has(PINTLE_CACHE_IF_ABSENT).then_some(0))
                .or(has(PINTLE_CACHE_IF_VERSION).then_some(options.version)),
            tags,
            lease: options.lease,
        })
    }

    /// The lifetime for `incr`, which takes nothing else.
    fn only_lifetime(self) -> Result<Option<i64>> {
        let nothing_else = !self.keep && self.version.is_none() && self.tags.is_empty();
        if nothing_else && (self.stale_ms, self.error_ms, self.lease) == (0, 0, 0) {
            return Ok(self.ttl_ms);
        }
        Err(input::wrong("options", "`incr` takes a lifetime only"))
    }
}

/// When an item ends that is to live so long, from now on; `None`: never.
fn end_of(now_ms: i64, ttl_ms: i64) -> Result<Option<i64>> {
    match ttl_ms {
        0 => Ok(None),
        1..=LONGEST_MS => Ok(Some(now_ms + ttl_ms)),
        _ => {
            let text =
                format!("argument `ttl_ms`: {ttl_ms}, 1 to {LONGEST_MS} are taken, and 0 for no expiry");
            Err(Error::new(Status::OutOfRange, text))
        }
    }
}

fn must_be_span(name: &str, span_ms: i64) -> Result<()> {
    if (0..=LONGEST_MS).contains(&span_ms) {
        return Ok(());
    }
    Err(Error::new(Status::OutOfRange, format!("argument `{name}`: {span_ms}, 0 to {LONGEST_MS} are taken")))
}

/// Writes bytes, or a note that there is nothing.
fn write(call: &Call, place: Place, value: Value, asked: Asked) -> Result<()> {
    let default = if value == Value::Absent { DEFAULT_ABSENT_MS } else { DEFAULT_MS };
    if value == Value::Absent && (asked.stale_ms, asked.error_ms) != (0, 0) {
        return Err(input::wrong("options", "what is absent has no spans"));
    }
    let mut state = call.state();
    let now = state.now_ms;
    let mut fresh_until = end_of(now, asked.ttl_ms.unwrap_or(default))?;
    must_be_span("stale_ms", asked.stale_ms)?;
    must_be_span("error_ms", asked.error_ms)?;
    state.cache.must_hold(asked.lease, &place, &asked.tags, now)?;
    let (mut stale_ms, mut error_ms) = (asked.stale_ms, asked.error_ms);
    let there = state.cache.there(&place, now);
    let version = there.as_ref().map_or(0, |entry| entry.version);
    if asked.version.is_some_and(|wanted| wanted != version) {
        let text = format!("the item {:?} has the version {version} (0: it is not there)", place.2);
        return Err(Error::new(Status::Conflict, text));
    }
    if let Some(entry) = there.filter(|_| asked.keep) {
        (fresh_until, stale_ms, error_ms) = (entry.fresh_until, entry.stale_ms, entry.error_ms);
    }
    state.cache.write(place, Entry { value, fresh_until, stale_ms, error_ms, tags: asked.tags, version: 0 });
    Ok(())
}

pub(super) unsafe extern "C" fn set(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    value: PintleBytes,
    options: *const PintleCacheOptions,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "cache.set", |call| unsafe {
        let (place, asked) = (place(call, ns, key)?, Asked::read(options)?);
        let value = input::bytes("value", value, input::MEBIBYTE)?.to_vec();
        write(call, place, Value::Bytes(value), asked)
    })
}

pub(super) unsafe extern "C" fn set_absent(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    options: *const PintleCacheOptions,
) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "cache.set", |call| unsafe {
        let (place, asked) = (place(call, ns, key)?, Asked::read(options)?);
        write(call, place, Value::Absent, asked)
    })
}

pub(super) unsafe extern "C" fn set_many(
    ctx: PintleCtx,
    ns: PintleStr,
    entries: *const PintleCacheEntry,
    count: usize,
    statuses: *mut PintleStatus,
) -> PintleStatus {
    // SAFETY: as in `set`; there are as many entries, and places for statuses, as the plugin says.
    enter(ctx, "cache.set", |call| unsafe {
        let ns = namespace(call, ns)?;
        super::must_be_few(count)?;
        if count > 0 && (entries.is_null() || statuses.is_null()) {
            return Err(input::wrong("entries", "null, or no place for the statuses"));
        }
        let entries: Vec<_> = (0..count).map(|at| input::options(entries.add(at))).collect::<Result<_>>()?;
        for (at, entry) in entries.into_iter().flatten().enumerate() {
            let written = (|| {
                let place =
                    (call.entry.tenant.clone(), ns.to_owned(), input::key("key", entry.key, 512)?.to_owned());
                let asked = Asked::read(entry.options)?;
                let value = input::bytes("value", entry.value, input::MEBIBYTE)?.to_vec();
                write(call, place, Value::Bytes(value), asked)
            })();
            statuses.add(at).write(written.map_or_else(|error| error.status().code(), |()| PINTLE_OK));
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn remove(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    existed: *mut u32,
) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "cache.remove", |call| unsafe {
        let place = place(call, ns, key)?;
        let mut state = call.state();
        let now = state.now_ms;
        let removed = state.cache.take(now, |other| *other == place);
        if let Some(existed) = existed.as_mut() {
            *existed = (removed > 0).into();
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn incr(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    delta: i64,
    options: *const PintleCacheOptions,
    value: *mut i64,
) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "cache.incr", |call| unsafe {
        let place = place(call, ns, key)?;
        let ttl_ms = Asked::read(options)?.only_lifetime()?;
        let mut state = call.state();
        let now = state.now_ms;
        let created = Entry {
            value: Value::Integer(0),
            fresh_until: end_of(now, ttl_ms.unwrap_or(DEFAULT_MS))?,
            stale_ms: 0,
            error_ms: 0,
            tags: Vec::new(),
            version: 0,
        };
        let entry = match state.cache.there(&place, now) {
            None => created,
            Some(entry) => {
                let (value, tags) = (entry.value.clone(), entry.tags.clone());
                Entry { value, tags, ..*entry }
            }
        };
        let before = match &entry.value {
            Value::Integer(integer) => Some(*integer),
            Value::Bytes(bytes) => canonical(bytes),
            Value::Absent => None,
        };
        let before = before
            .ok_or_else(|| Error::new(Status::WrongType, format!("the item {:?} is no integer", place.2)))?;
        let sum = before.checked_add(delta).ok_or_else(|| {
            Error::new(Status::OutOfRange, format!("{before} and {delta} are more than an integer holds"))
        })?;
        state.cache.write(place, Entry { value: Value::Integer(sum), ..entry });
        if let Some(value) = value.as_mut() {
            *value = sum;
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn expire(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    ttl_ms: i64,
    condition: u32,
    existed: *mut u32,
) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "cache.expire", |call| unsafe {
        if condition > PINTLE_EXPIRE_IF_EARLIER {
            return Err(Error::new(Status::Unsupported, format!("argument `condition`: {condition}")));
        }
        let place = place(call, ns, key)?;
        let mut state = call.state();
        let now = state.now_ms;
        let new = if ttl_ms < 0 { Some(now) } else { end_of(now, ttl_ms)? };
        let entry = state.cache.there(&place, now);
        if let Some(existed) = existed.as_mut() {
            *existed = entry.is_some().into();
        }
        let Some(entry) = entry else {
            if ttl_ms < 0 {
                state.cache.take(now, |other| *other == place);
            }
            return Ok(());
        };
        let later = |at: Option<i64>| at.unwrap_or(i64::MAX);
        let holds = match condition {
            PINTLE_EXPIRE_IF_NONE => entry.fresh_until.is_none(),
            PINTLE_EXPIRE_IF_SET => entry.fresh_until.is_some(),
            PINTLE_EXPIRE_IF_LATER => later(new) > later(entry.fresh_until),
            PINTLE_EXPIRE_IF_EARLIER => later(new) < later(entry.fresh_until),
            _ => true,
        };
        if !holds {
            return Err(Error::new(Status::Conflict, "the condition does not hold"));
        }
        entry.fresh_until = new;
        if ttl_ms < 0 {
            state.cache.take(now, |other| *other == place);
        }
        Ok(())
    })
}
