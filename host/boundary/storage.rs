//! The table `pintle_storage`.

use pintle_abi::*;

use super::{
    enter, input,
    sink::{Sink, write_page},
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{
        keys::{Key, LONGEST_KEY},
        storage::{Info, Written},
    },
};

pub(super) static TABLE: PintleStorage = PintleStorage {
    size: size_of::<PintleStorage>() as u32,
    reserved: 0,
    get: Some(get),
    set: Some(set),
    remove: Some(remove),
    exists: Some(exists),
    keys: Some(keys),
    clear: Some(clear),
};

unsafe extern "C" fn get(
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
        let key = unsafe { key_of(key) }?;
        let (value, known) = call.core().storage.get(&call.data_scope(), key)?.ok_or_else(|| {
            let key = key.as_str().to_owned();
            Error::lazy(ErrorKind::NotFound, move || format!("the storage has no item {key:?} in this scope"))
        })?;
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { out.write(&value) }?;
        call.count_bytes(Service::Storage, value.len());
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { info.write(&what_is_known(known)) };
        Ok(())
    })
}

unsafe extern "C" fn set(
    ctx: PintleCtx,
    key: PintleStr,
    value: PintleBytes,
    options: *const PintleStorageOptions,
    version: *mut u64,
) -> PintleStatus {
    enter(ctx, Method::StorageSet, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (key, value) = unsafe { (key_of(key)?, input::raw("value", value.ptr, value.len)?) };
        // SAFETY: as above.
        let options = unsafe { input::options(options) }?;
        let wanted = options.filter(|options| options.flags & PINTLE_STORAGE_IF_VERSION != 0);
        call.must_act()?;
        let if_version = wanted.map(|options| options.if_version);
        match call.core().storage.set(&call.data_scope(), key, value, if_version)? {
            Written::Done(new) => {
                call.count_bytes(Service::Storage, value.len());
                // SAFETY: the contract says that outputs lead to memory of the caller.
                unsafe { input::write_if_wanted(version, new) };
                Ok(())
            }
            Written::Conflict(current) => {
                // SAFETY: as above.
                unsafe { input::write_if_wanted(version, current) };
                Err(conflict(key, if_version.unwrap_or_default(), current))
            }
        }
    })
}

unsafe extern "C" fn remove(ctx: PintleCtx, key: PintleStr, existed: *mut u32) -> PintleStatus {
    enter(ctx, Method::StorageRemove, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { key_of(key) }?;
        call.must_act()?;
        let found = call.core().storage.remove(&call.data_scope(), key)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(found)) };
        Ok(())
    })
}

unsafe extern "C" fn exists(ctx: PintleCtx, key: PintleStr, exists: *mut u32) -> PintleStatus {
    enter(ctx, Method::StorageExists, move |call| {
        let out = input::output("exists", exists)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { key_of(key) }?;
        let found = call.core().storage.exists(&call.data_scope(), key)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(u32::from(found)) };
        Ok(())
    })
}

unsafe extern "C" fn keys(
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

unsafe extern "C" fn clear(ctx: PintleCtx, removed: *mut u64) -> PintleStatus {
    enter(ctx, Method::StorageClear, move |call| {
        call.must_act()?;
        let count = call.core().storage.clear(&call.data_scope())?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(removed, count) };
        Ok(())
    })
}

/// # Safety
/// The text is readable for this call.
unsafe fn key_of<'a>(key: PintleStr) -> Result<Key<'a>> {
    // SAFETY: the caller vouches for it.
    Key::parse("key", unsafe { input::raw("key", key.ptr.cast(), key.len) }?)
}

fn conflict(key: Key<'_>, wanted: u64, current: u64) -> Error {
    let key = key.as_str().to_owned();
    Error::lazy(ErrorKind::Conflict, move || match (wanted, current) {
        (0, _) => format!("the item {key:?} is there already, with version {current}: nothing was written"),
        (_, 0) => {
            format!("the item {key:?} is not there, version {wanted} was asked for: nothing was written")
        }
        _ => format!(
            "the item {key:?} has version {current}, {wanted} was asked for: read it again, then write"
        ),
    })
}

fn what_is_known(info: Info) -> PintleStorageInfo {
    PintleStorageInfo {
        size: size_of::<PintleStorageInfo>() as u32,
        flags: 0,
        version: info.version,
        created_ms: info.created_ms,
        updated_ms: info.updated_ms,
    }
}
