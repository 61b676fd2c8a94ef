//! The table `pintle_cache`: here is what its functions have in common. [`read`] gives items, [`write`] changes them,
//! [`space`] is about many at once, [`load`] makes one caller load what others wait for.

mod load;
mod read;
mod space;
#[cfg(test)]
mod tests;
mod write;

use pintle_abi::*;

use super::{Call, callback::unknown_value, enter, input, sink::Sink, thread::with_copy};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        cache::{Address, Age, Item, Lifetime, Space, Value},
        keys::{LONGEST_NAME, Namespace},
    },
};

pub(super) static TABLE: PintleCache = PintleCache {
    size: size_of::<PintleCache>() as u32,
    reserved: 0,
    get: Some(read::get),
    get_into: Some(read::get_into),
    set: Some(write::set),
    remove: Some(write::remove),
    exists: Some(read::exists),
    incr: Some(write::incr),
    expire: Some(write::expire),
    ttl: Some(read::ttl),
    get_many: Some(read::get_many),
    set_many: Some(write::set_many),
    set_absent: Some(write::set_absent),
    fetch: Some(load::fetch),
    fail: Some(load::fail),
    invalidate: Some(space::invalidate),
    invalidate_tag: Some(space::invalidate_tag),
    clear: Some(space::clear),
    keys: Some(space::keys),
    stats: Some(space::stats),
};

/// The most items that one call of `get_many` or `set_many` is about.
const MOST_AT_ONCE: usize = 1_024;

/// Where the item lies, if the plugin may reach there.
///
/// # Safety
/// Both texts are readable for this call.
#[inline(always)]
unsafe fn address<'a>(call: &'a Call, ns: PintleStr, key: PintleStr) -> Result<Address<'a>> {
    // SAFETY: the caller vouches for it, here and below.
    let namespace = unsafe { namespace(call, ns) }?;
    // SAFETY: as above.
    let key = unsafe { input::key("key", key) }?;
    Ok(Address { scope: call.data_scope(), namespace, key })
}

/// The items that lie in a namespace, if the plugin may reach there.
///
/// # Safety
/// The text is readable for this call.
unsafe fn space<'a>(call: &'a Call, ns: PintleStr) -> Result<Space<'a>> {
    // SAFETY: the caller vouches for it.
    Ok(Space { scope: call.data_scope(), namespace: unsafe { namespace(call, ns) }? })
}

/// # Safety
/// The text is readable for this call.
#[inline(always)]
unsafe fn namespace<'a>(call: &Call, ns: PintleStr) -> Result<Namespace<'a>> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { input::raw("ns", ns.ptr.cast(), ns.len) }?;
    let namespace = match input::short(bytes, LONGEST_NAME).and_then(input::plain).and_then(Namespace::plain)
    {
        Some(namespace) => namespace,
        None => Namespace::parse("ns", bytes)?,
    };
    if let Some(granted) = &call.grants().permits().namespaces
        && !granted.iter().any(|granted| granted == namespace.as_str())
    {
        return Err(not_granted(call, namespace));
    }
    Ok(namespace)
}

/// Copies the value of an item: bytes, or digits; nothing of a note that there is nothing.
fn take(item: &Item<'_>, copy: &mut Vec<u8>) {
    copy.clear();
    match item.value {
        Value::Bytes(bytes) => copy.extend_from_slice(bytes),
        Value::Integer(integer) => copy.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes()),
        Value::Absent => {}
    }
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

/// Which element of an array an error is about.
fn at_index(error: Error, index: usize) -> Error {
    Error::lazy(error.kind(), move || format!("{error} (element {index})"))
}

fn what_is_known(item: &Item<'_>) -> PintleCacheInfo {
    let (flags, integer, version) = match item.value {
        Value::Bytes(_) => (0, 0, item.version),
        Value::Integer(integer) => (PINTLE_CACHE_INTEGER, integer, item.version),
        Value::Absent => (PINTLE_CACHE_ABSENT, 0, 0),
    };
    let stale = if item.age == Age::Fresh { 0 } else { PINTLE_CACHE_STALE };
    PintleCacheInfo {
        size: size_of::<PintleCacheInfo>() as u32,
        flags: flags | stale,
        integer,
        ttl_ms: milliseconds(item.fresh()),
        left_ms: milliseconds(item.left()),
        version,
    }
}

fn milliseconds(lifetime: Lifetime) -> i64 {
    match lifetime {
        Lifetime::Endless => PINTLE_FOREVER,
        Lifetime::Ms(ms) => ms,
    }
}
