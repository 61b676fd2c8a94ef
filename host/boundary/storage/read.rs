//! Reading: `get`, `get_into`, `exists`, `keys`, `stats`. A value is copied out while the back end lends it, and told when
//! it is given back: no sink, and nothing else of a plugin, ever runs meanwhile.

use pintle_abi::*;

use super::{
    super::{
        sink::{Sink, write_page},
        thread::with_copy,
    },
    enter, input, missing, what_is_known,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{keys::LONGEST_KEY, storage::Info},
};

pub(super) unsafe extern "C" fn get(
    ctx: PintleCtx,
    key: PintleStr,
    out: PintleSink,
    info: *mut PintleStorageInfo,
) -> PintleStatus {
    enter(ctx, Method::StorageGet, move |call| {
        let out = Sink::new("out", out)?;
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::info("info", info) }?;
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { input::key("key", key) }?;
        let storage = &call.core().storage;
        with_copy(|copy| {
            let mut known = None;
            let mut read = |value: &[u8], info| known = Some(take(value, copy).map(|()| info));
            storage.get(&call.data_scope(), key, &mut read)?;
            let known: Info = known.ok_or_else(|| missing(key))??;
            // SAFETY: the contract lets `write` be called until this function returns.
            unsafe { out.write(copy) }?;
            call.count_bytes(Service::Storage, copy.len());
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { info.write_with(|| what_is_known(storage, &known)) };
            Ok(())
        })
    })
}

pub(super) unsafe extern "C" fn get_into(
    ctx: PintleCtx,
    key: PintleStr,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
    info: *mut PintleStorageInfo,
) -> PintleStatus {
    enter(ctx, Method::StorageGetInto, move |call| {
        // SAFETY: the contract says that outputs lead to memory of the caller, as long as they say.
        let (mut buf, info) = unsafe { (input::buffer("buf", buf, cap)?, input::info("info", info)?) };
        let len = input::output("len", len)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { input::key("key", key) }?;
        let storage = &call.core().storage;
        let mut found = None;
        storage.get(&call.data_scope(), key, &mut |value, known| {
            found = Some((value.len(), buf.write(value), known));
        })?;
        let (bytes, written, known) = found.ok_or_else(|| missing(key))?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe {
            len.write(bytes);
            info.write_with(|| what_is_known(storage, &known));
        }
        if !written {
            return Err(input::too_small(cap, bytes));
        }
        call.count_bytes(Service::Storage, bytes);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn exists(ctx: PintleCtx, key: PintleStr, exists: *mut u32) -> PintleStatus {
    enter(ctx, Method::StorageExists, move |call| {
        let out = input::output("exists", exists)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { input::key("key", key) }?;
        let found = call.core().storage.exists(&call.data_scope(), key)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(u32::from(found)) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn keys(
    ctx: PintleCtx,
    prefix: PintleStr,
    cursor: PintleStr,
    limit: u32,
    out: PintleSink,
    next: PintleSink,
) -> PintleStatus {
    enter(ctx, Method::StorageKeys, move |call| {
        let out = Sink::new("out", out)?;
        let next = Sink::optional(next);
        // SAFETY: the contract says that inputs are readable for this call.
        let prefix = unsafe { input::text("prefix", prefix, LONGEST_KEY) }?;
        // SAFETY: as above.
        let cursor = unsafe { input::text("cursor", cursor, input::LONGEST_CURSOR) }?;
        let page = call.core().storage.keys(&call.data_scope(), prefix, cursor, limit)?;
        // SAFETY: the contract lets both `write` be called until this function returns.
        unsafe { write_page(&out, next.as_ref(), &page.keys, page.next.as_deref()) }
    })
}

pub(super) unsafe extern "C" fn stats(ctx: PintleCtx, stats: *mut PintleStorageStats) -> PintleStatus {
    enter(ctx, Method::StorageStats, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let out = unsafe { input::required_info("stats", stats) }?;
        let storage = &call.core().storage;
        let usage = storage.usage_of(&call.data_scope())?;
        let version = storage.version()?;
        let most = call.record.quotas().least();
        let told = PintleStorageStats {
            size: size_of::<PintleStorageStats>() as u32,
            reserved: 0,
            items: usage.items,
            bytes: usage.bytes,
            most_items: most.items.unwrap_or(0),
            most_bytes: most.bytes.unwrap_or(0),
            version,
        };
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(&told) };
        Ok(())
    })
}

/// Copies a value, which may be larger than there is memory for: no reason to end the process.
fn take(value: &[u8], copy: &mut Vec<u8>) -> Result<()> {
    copy.clear();
    copy.try_reserve(value.len()).map_err(|_| {
        let len = value.len();
        Error::lazy(ErrorKind::Unavailable, move || {
            format!("the host got no memory from the system to read a value of {len} bytes: use `get_into`")
        })
    })?;
    copy.extend_from_slice(value);
    Ok(())
}
