//! The table of storage: a map that outlives the plugin, for as long as the test host lives. Here is how items are read;
//! `write` changes one, `batch` several, `watch` tells of changes. `kept` is the map.

mod batch;
mod kept;
mod watch;
mod write;

use pintle_abi::*;

use self::kept::{Item, Place};
pub(super) use self::kept::{Kept, Told};
use super::{
    input,
    inside::{Call, enter},
    pages,
};
use crate::{Error, Result, Status};

/// The most bytes of a value, unless an operator says otherwise.
const LARGEST_VALUE: usize = 4 << 20;

pub(super) static TABLE: PintleStorage = PintleStorage {
    size: size_of::<PintleStorage>() as u32,
    reserved: 0,
    get: Some(get),
    set: Some(write::set),
    remove: Some(write::remove),
    exists: Some(exists),
    keys: Some(keys),
    clear: Some(write::clear),
    get_into: Some(get_into),
    incr: Some(write::incr),
    expire: Some(write::expire),
    batch: Some(batch::batch),
    watch: Some(watch::watch),
    unwatch: Some(watch::unwatch),
    stats: Some(stats),
};

/// # Safety
/// `key` is readable for this call.
unsafe fn place(call: &Call, key: PintleStr) -> Result<Place> {
    // SAFETY: the caller's promise.
    let key = unsafe { input::key("key", key, 512) }?;
    Ok((call.entry.tenant.clone(), key.to_owned()))
}

/// The item, and what is told of it.
fn read(call: &Call, place: &Place) -> Result<(Item, PintleStorageInfo)> {
    let state = call.state();
    let item = state.storage.item(place).cloned();
    let item =
        item.ok_or_else(|| Error::new(Status::NotFound, format!("the storage has no item {:?}", place.1)))?;
    let about = PintleStorageInfo {
        size: size_of::<PintleStorageInfo>() as u32,
        flags: 0,
        version: item.version,
        created_ms: item.created_ms,
        updated_ms: item.updated_ms,
        ttl_ms: item.ttl_ms(state.now_ms),
    };
    Ok((item, about))
}

/// # Safety
/// `info` is null or begins with its size and is writable as far as that.
unsafe fn tell(info: *mut PintleStorageInfo, about: PintleStorageInfo) -> Result<()> {
    if info.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    if unsafe { info.cast::<u32>().read() } != about.size {
        return Err(input::wrong("info", "its size is another"));
    }
    // SAFETY: as above, and it is as large as this.
    unsafe { info.write(about) };
    Ok(())
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
        let (item, about) = read(call, &place)?;
        input::give("out", out, &item.value)?;
        tell(info, about)
    })
}

unsafe extern "C" fn get_into(
    ctx: PintleCtx,
    key: PintleStr,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
    info: *mut PintleStorageInfo,
) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "storage.get", |call| unsafe {
        let len = input::output("len", len)?;
        if buf.is_null() && cap > 0 {
            return Err(input::wrong("buf", "null with room"));
        }
        let place = place(call, key)?;
        let (item, about) = read(call, &place)?;
        tell(info, about)?;
        *len = item.value.len();
        if item.value.len() > cap {
            let text = format!("the value has {} bytes, and the buffer {cap}", item.value.len());
            return Err(Error::new(Status::BufferTooSmall, text));
        }
        if !item.value.is_empty() {
            buf.copy_from_nonoverlapping(item.value.as_ptr(), item.value.len());
        }
        Ok(())
    })
}

unsafe extern "C" fn exists(ctx: PintleCtx, key: PintleStr, exists: *mut u32) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "storage.exists", |call| unsafe {
        let exists = input::output("exists", exists)?;
        *exists = call.state().storage.item(&place(call, key)?).is_some().into();
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
        let page = asked.page(call.state().storage.keys(&call.entry.tenant));
        page.give(out, next)
    })
}

unsafe extern "C" fn stats(ctx: PintleCtx, stats: *mut PintleStorageStats) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "storage.stats", |call| unsafe {
        if stats.is_null() || stats.cast::<u32>().read() as usize != size_of::<PintleStorageStats>() {
            return Err(input::wrong("stats", "null, or its size is another"));
        }
        let state = call.state();
        let (items, bytes) = state.storage.usage(&call.entry.tenant);
        stats.write(PintleStorageStats {
            size: size_of::<PintleStorageStats>() as u32,
            reserved: 0,
            items,
            bytes,
            most_items: 0,
            most_bytes: 0,
            version: state.storage.version(),
        });
        Ok(())
    })
}
