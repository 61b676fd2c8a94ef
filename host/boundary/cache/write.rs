//! Writing: `set`, `set_many`, `set_absent`, `remove`, `incr`, `expire`.

use std::ops::Range;

use pintle_abi::*;

use super::{
    super::{status_of, thread},
    Call, MOST_AT_ONCE, address, at_index, enter, input, space, unknown_value,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{
        cache::{Address, ExpireIf, Expired, MOST_TAGS, SetIf, Value, Write},
        keys::{Key, Namespace},
    },
};

pub(super) unsafe extern "C" fn set(
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
        let options = unsafe { input::options(options) }?;
        // SAFETY: as above; so are the tags.
        unsafe { write(call, &at, Value::Bytes(value), options.as_ref()) }?;
        call.count_bytes(Service::Cache, value.len());
        Ok(())
    })
}

pub(super) unsafe extern "C" fn set_absent(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    options: *const PintleCacheOptions,
) -> PintleStatus {
    enter(ctx, Method::CacheSetAbsent, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (at, options) = unsafe { (address(call, ns, key)?, input::options(options)?) };
        // SAFETY: as above; so are the tags.
        unsafe { write(call, &at, Value::Absent, options.as_ref()) }
    })
}

pub(super) unsafe extern "C" fn set_many(
    ctx: PintleCtx,
    ns: PintleStr,
    entries: *const PintleCacheEntry,
    count: usize,
    statuses: *mut PintleStatus,
) -> PintleStatus {
    enter(ctx, Method::CacheSetMany, move |call| {
        // SAFETY: the contract says that inputs are readable for this call, here and below.
        let space = unsafe { space(call, ns) }?;
        // SAFETY: as above.
        let entries = unsafe { input::array("entries", entries, count, MOST_AT_ONCE) }?;
        let statuses = input::outputs("statuses", statuses, count)?;
        // SAFETY: as above.
        let entries = (0..entries.len()).map(|index| unsafe { entries.at(index) }.and_then(only_known));
        let entries: Vec<PintleCacheEntry> = entries.collect::<Result<_>>()?;
        let cache = &call.core().cache;
        cache.check_open()?;

        let mut tags = Vec::new();
        // SAFETY: as above; so is what the entries lead to.
        let parsed = entries.iter().map(|entry| unsafe { parse(entry, &mut tags) });
        let parsed: Vec<Result<Entry<'_>>> = parsed.collect();
        let writes = parsed.iter().flatten().map(|entry| {
            let at = Address { scope: space.scope, namespace: space.namespace, key: entry.key };
            (at, asked(Value::Bytes(entry.value), entry.options.as_ref(), &tags[entry.tags.clone()]))
        });
        let writes: Vec<_> = writes.collect();
        let mut written = cache.set_many(&space, &writes).into_iter();
        let mut bytes = 0;
        let outcomes = parsed.into_iter().map(|entry| {
            let entry = entry?;
            written.next().unwrap_or_else(|| Err(unanswered()))?;
            bytes += entry.value.len();
            Ok(())
        });
        let outcomes: Vec<Result<()>> = outcomes.collect();
        call.count_bytes(Service::Cache, bytes);
        let told = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().err().map_or(PINTLE_OK, |error| status_of(error.kind())));
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { statuses.write(told) };
        let last =
            outcomes.into_iter().enumerate().rev().find_map(|(index, outcome)| Some((index, outcome.err()?)));
        if let Some((index, error)) = last {
            thread::remember(ctx, at_index(error, index));
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
    enter(ctx, Method::CacheRemove, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let at = unsafe { address(call, ns, key) }?;
        let found = call.core().cache.remove(&at)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(found)) };
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
    enter(ctx, Method::CacheIncr, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (at, options) = unsafe { (address(call, ns, key)?, input::options(options)?) };
        let ttl_ms = options.as_ref().map(only_lifetime).transpose()?.flatten();
        let sum = call.core().cache.incr(&at, delta, ttl_ms)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(value, sum) };
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

/// Writes one item.
///
/// # Safety
/// The tags that the options lead to are readable for this call.
unsafe fn write(
    call: &Call,
    at: &Address<'_>,
    value: Value<'_>,
    options: Option<&PintleCacheOptions>,
) -> Result<()> {
    let tagged = options.filter(|options| options.tag_count > 0);
    let mut tags = Vec::new();
    if let Some(options) = tagged {
        // SAFETY: the caller vouches for it.
        unsafe { take_tags(options, &mut tags) }?;
    }
    check_conditions(options)?;
    call.core().cache.set(at, &asked(value, options, &tags))?;
    Ok(())
}

/// What a write with these options asks for; they were checked.
fn asked<'a>(value: Value<'a>, options: Option<&PintleCacheOptions>, tags: &'a [Namespace<'a>]) -> Write<'a> {
    let default = Write { value, ..Write::of(&[], None) };
    let Some(options) = options else { return default };
    let is_set = |flag| options.flags & flag != 0;
    let condition = match options.version {
        _ if is_set(PINTLE_CACHE_IF_ABSENT) => SetIf::Absent,
        _ if !is_set(PINTLE_CACHE_IF_VERSION) => SetIf::Always,
        0 => SetIf::Absent,
        version => SetIf::Version(version),
    };
    Write {
        ttl_ms: is_set(PINTLE_CACHE_TTL).then_some(options.ttl_ms),
        stale_ms: options.stale_ms,
        error_ms: options.error_ms,
        keep_ttl: is_set(PINTLE_CACHE_KEEP_TTL),
        condition,
        tags,
        lease: options.lease,
        ..default
    }
}

/// An entry of `set_many`; its tags are a range of all that were taken.
struct Entry<'a> {
    key: Key<'a>,
    value: &'a [u8],
    options: Option<PintleCacheOptions>,
    tags: Range<usize>,
}

/// # Safety
/// What the entry leads to is readable for this call.
unsafe fn parse<'a>(entry: &PintleCacheEntry, tags: &mut Vec<Namespace<'a>>) -> Result<Entry<'a>> {
    // SAFETY: the caller vouches for it, here and below.
    let (key, options) = unsafe { (input::key("key", entry.key)?, input::options(entry.options)?) };
    // SAFETY: as above.
    let value = unsafe { input::raw("value", entry.value.ptr, entry.value.len) }?;
    check_conditions(options.as_ref())?;
    let first = tags.len();
    if let Some(options) = &options {
        // SAFETY: as above.
        unsafe { take_tags(options, tags) }?;
    }
    Ok(Entry { key, value, options, tags: first..tags.len() })
}

/// # Safety
/// The tags that the options lead to are readable for this call.
unsafe fn take_tags<'a>(options: &PintleCacheOptions, tags: &mut Vec<Namespace<'a>>) -> Result<()> {
    const NAME: &str = "options.tags";
    let count = options.tag_count;
    if count > MOST_TAGS {
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{NAME}`: {count} tags, an item has at most {MOST_TAGS}")
        }));
    }
    // SAFETY: the caller vouches for it, here and below.
    let given = unsafe { input::texts(NAME, options.tags, count, MOST_TAGS) }?;
    for tag in given.iter() {
        // SAFETY: as above.
        tags.push(Namespace::parse(NAME, unsafe { input::raw(NAME, tag.ptr.cast(), tag.len) }?)?);
    }
    Ok(())
}

fn check_conditions(options: Option<&PintleCacheOptions>) -> Result<()> {
    const BOTH: u32 = PINTLE_CACHE_IF_ABSENT | PINTLE_CACHE_IF_VERSION;
    if options.is_some_and(|options| options.flags & BOTH == BOTH) {
        let problem =
            "its flags have PINTLE_CACHE_IF_ABSENT and PINTLE_CACHE_IF_VERSION: only one of them is taken";
        return Err(Error::argument("options", problem));
    }
    Ok(())
}

/// The lifetime that options of `incr` give, which may say nothing else.
fn only_lifetime(options: &PintleCacheOptions) -> Result<Option<i64>> {
    let PintleCacheOptions { flags, ttl_ms, stale_ms, error_ms, lease, tag_count, .. } = *options;
    if flags & !PINTLE_CACHE_TTL != 0 || stale_ms != 0 || error_ms != 0 || lease != 0 || tag_count != 0 {
        return Err(Error::argument("options", "`incr` takes a lifetime only: leave all else 0"));
    }
    Ok((flags & PINTLE_CACHE_TTL != 0).then_some(ttl_ms))
}

fn only_known(entry: PintleCacheEntry) -> Result<PintleCacheEntry> {
    match entry.reserved {
        0 => Ok(entry),
        other => Err(unknown_value("entries.reserved", other)),
    }
}

#[cold]
fn unanswered() -> Error {
    Error::new(ErrorKind::Internal, "the cache gave fewer answers than it was given items: please report it")
}
