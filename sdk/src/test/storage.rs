//! The table of storage: a map that outlives the plugin, for as long as the test host lives.

use pintle_abi::*;

use super::{
    input,
    inside::{Call, Tenant, enter},
    pages,
};
use crate::{Error, Result, Status};

/// The most bytes of a value, unless an operator says otherwise.
const LARGEST_VALUE: usize = 4 << 20;

/// An item.
pub(super) struct Stored {
    value: Vec<u8>,
    version: u64,
    created_ms: i64,
    updated_ms: i64,
}

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

/// # Safety
/// `key` is readable for this call.
unsafe fn place(call: &Call, key: PintleStr) -> Result<(Tenant, String)> {
    // SAFETY: the caller's promise.
    let key = unsafe { input::key("key", key, 512) }?;
    Ok((call.entry.tenant.clone(), key.to_owned()))
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    key: PintleStr,
    out: PintleSink,
    info: *mut PintleStorageInfo,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "storage.get", |call| unsafe {
        let place = place(call, key)?;
        let (value, about) = {
            let state = call.state();
            let item = state.storage.get(&place).ok_or_else(|| {
                Error::new(Status::NotFound, format!("the storage has no item {:?}", place.1))
            })?;
            let about = PintleStorageInfo {
                size: size_of::<PintleStorageInfo>() as u32,
                flags: 0,
                version: item.version,
                created_ms: item.created_ms,
                updated_ms: item.updated_ms,
            };
            (item.value.clone(), about)
        };
        input::give("out", out, &value)?;
        if !info.is_null() {
            if info.cast::<u32>().read() != about.size {
                return Err(input::wrong("info", "its size is another"));
            }
            info.write(about);
        }
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
    // SAFETY: as in `get`.
    enter(ctx, "storage.set", |call| unsafe {
        let place = place(call, key)?;
        let wanted = match input::options(options)? {
            None | Some(PintleStorageOptions { flags: 0, .. }) => None,
            Some(PintleStorageOptions { flags: PINTLE_STORAGE_IF_VERSION, if_version, .. }) => {
                Some(if_version)
            }
            Some(PintleStorageOptions { flags, .. }) => {
                return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
            }
        };
        call.must_act()?;
        let value = input::bytes("value", value, LARGEST_VALUE)?.to_vec();
        let mut state = call.state();
        let now = state.now_ms;
        let (has, created_ms) =
            state.storage.get(&place).map_or((0, now), |item| (item.version, item.created_ms));
        if wanted.is_some_and(|wanted| wanted != has) {
            if let Some(version) = version.as_mut() {
                *version = has;
            }
            let text = format!("the item {:?} has the version {has}, and not the one asked for", place.1);
            return Err(Error::new(Status::Conflict, text));
        }
        state.version += 1;
        let item = Stored { value, version: state.version, created_ms, updated_ms: now };
        if let Some(version) = version.as_mut() {
            *version = item.version;
        }
        state.storage.insert(place, item);
        Ok(())
    })
}

unsafe extern "C" fn remove(ctx: PintleCtx, key: PintleStr, existed: *mut u32) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "storage.remove", |call| unsafe {
        let place = place(call, key)?;
        call.must_act()?;
        let was_there = call.state().storage.remove(&place).is_some();
        if let Some(existed) = existed.as_mut() {
            *existed = was_there.into();
        }
        Ok(())
    })
}

unsafe extern "C" fn exists(ctx: PintleCtx, key: PintleStr, exists: *mut u32) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "storage.exists", |call| unsafe {
        let exists = input::output("exists", exists)?;
        *exists = call.state().storage.contains_key(&place(call, key)?).into();
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
    // SAFETY: as in `get`.
    enter(ctx, "storage.keys", |call| unsafe {
        let asked = pages::Asked::read(prefix, cursor, limit)?;
        let page = {
            let state = call.state();
            let of_scope = state.storage.keys().filter(|(tenant, _)| *tenant == call.entry.tenant);
            asked.page(of_scope.map(|(_, key)| key.as_str()))
        };
        page.give(out, next)
    })
}

unsafe extern "C" fn clear(ctx: PintleCtx, removed: *mut u64) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "storage.clear", |call| unsafe {
        call.must_act()?;
        let mut state = call.state();
        let before = state.storage.len();
        state.storage.retain(|(tenant, _), _| *tenant != call.entry.tenant);
        if let Some(removed) = removed.as_mut() {
            *removed = (before - state.storage.len()) as u64;
        }
        Ok(())
    })
}
