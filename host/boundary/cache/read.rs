//! Reading: `get`, `get_into`, `get_many`, `exists`, `ttl`. A value is copied out under the engine's lock, and told when the
//! lock is free again: no sink, and nothing else of a plugin, ever runs inside.

use std::ffi::c_void;

use pintle_abi::*;

use super::{
    super::{sink::tell, status_of},
    Call, MOST_AT_ONCE, Sink, address, at_index, enter, input, milliseconds, missing, space, take,
    what_is_known, with_copy,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{
        cache::{Address, Value},
        keys::Key,
    },
};

pub(super) unsafe extern "C" fn get(
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
        with_copy(|copy| {
            let known = copied(call, &at, copy)?.ok_or_else(missing)?;
            let is_absent = known.flags & PINTLE_CACHE_ABSENT != 0;
            if !is_absent {
                // SAFETY: the contract lets `write` be called until this function returns.
                unsafe { out.write(copy) }?;
                call.count_bytes(Service::Cache, copy.len());
            }
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { info.write(&known) };
            if is_absent { Err(absent()) } else { Ok(()) }
        })
    })
}

pub(super) unsafe extern "C" fn get_into(
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
        let mut found = Found::Nothing;
        call.core().cache.get(&at, &mut |item| {
            let mut digits = itoa::Buffer::new();
            let bytes = match item.value {
                Value::Bytes(bytes) => bytes,
                Value::Integer(integer) => digits.format(integer).as_bytes(),
                Value::Absent => {
                    // SAFETY: the contract says that outputs lead to memory of the caller, here and below.
                    unsafe { info.write_with(|| what_is_known(&item)) };
                    return found = Found::Absent;
                }
            };
            if !buf.write(bytes) {
                return found = Found::TooLong(bytes.len());
            }
            // SAFETY: as above.
            unsafe { info.write_with(|| what_is_known(&item)) };
            found = Found::Written(bytes.len());
        })?;
        call.count_read(!matches!(found, Found::Nothing));
        match found {
            Found::Written(written) => {
                // SAFETY: as above.
                unsafe { len.write(written) };
                call.count_bytes(Service::Cache, written);
                Ok(())
            }
            Found::TooLong(needed) => {
                // SAFETY: as above.
                unsafe { len.write(needed) };
                Err(input::too_small(cap, needed))
            }
            Found::Absent => Err(absent()),
            Found::Nothing => Err(missing()),
        }
    })
}

/// What became of a buffer that a value was to be written to. Its info is written with it, where the item lies: at the end of
/// the call it would have to be carried there.
enum Found {
    Nothing,
    Absent,
    /// The value's size.
    TooLong(usize),
    /// The value's size.
    Written(usize),
}

pub(super) unsafe extern "C" fn get_many(
    ctx: PintleCtx,
    ns: PintleStr,
    keys: *const PintleStr,
    count: usize,
    each: PintleCacheItemHandler,
    user: *mut c_void,
) -> PintleStatus {
    enter(ctx, Method::CacheGetMany, move |call| {
        let each = each.0.ok_or_else(|| {
            Error::argument("each", "the pointer is null: pass the function to be told of each key")
        })?;
        // SAFETY: the contract says that inputs are readable for this call, here and below.
        let (space, keys) = unsafe { (space(call, ns)?, input::texts("keys", keys, count, MOST_AT_ONCE)?) };
        let checked = keys.iter().enumerate().map(|(index, key)| {
            // SAFETY: as above.
            unsafe { input::key("keys", key) }.map_err(|error| at_index(error, index))
        });
        let checked: Vec<Key<'_>> = checked.collect::<Result<_>>()?;
        call.core().cache.check_open()?;
        with_copy(|copy| {
            for (index, (given, key)) in keys.iter().zip(checked).enumerate() {
                let at = Address { scope: space.scope, namespace: space.namespace, key };
                let (status, known) = match copied(call, &at, copy) {
                    Ok(None) => (PINTLE_NOT_FOUND, None),
                    Ok(Some(known)) if known.flags & PINTLE_CACHE_ABSENT != 0 => {
                        (PINTLE_NOT_FOUND, Some(known))
                    }
                    Ok(Some(known)) => (PINTLE_OK, Some(known)),
                    Err(error) => (status_of(error.kind()), None),
                };
                let value: &[u8] = if status == PINTLE_OK { copy } else { &[] };
                let told = PintleCacheItem {
                    size: size_of::<PintleCacheItem>() as u32,
                    status,
                    index,
                    key: given,
                    value: PintleBytes::new(value),
                    info: known.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
                };
                // SAFETY: the contract says that `each` may be called with `user` until this function returns; what
                // `told` leads to lives until then.
                tell("each", || unsafe { each(user, &raw const told) })?;
                call.count_bytes(Service::Cache, value.len());
            }
            Ok(())
        })
    })
}

pub(super) unsafe extern "C" fn exists(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    exists: *mut u32,
) -> PintleStatus {
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

pub(super) unsafe extern "C" fn ttl(
    ctx: PintleCtx,
    ns: PintleStr,
    key: PintleStr,
    ttl_ms: *mut i64,
) -> PintleStatus {
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

/// Reads one item, and counts that: its bytes, or its digits, are in `copy` then. None: it is not there.
fn copied(call: &Call, at: &Address<'_>, copy: &mut Vec<u8>) -> Result<Option<PintleCacheInfo>> {
    let mut known = None;
    call.core().cache.get(at, &mut |item| {
        take(&item, copy);
        known = Some(what_is_known(&item));
    })?;
    call.count_read(known.is_some());
    Ok(known)
}

#[cold]
#[inline(never)]
pub(super) fn absent() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the cache has no such item: it is known that there is nothing to be loaded (`set_absent`)",
    )
}
