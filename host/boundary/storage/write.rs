//! Writing one item, or clearing the scope: `set`, `remove`, `incr`, `expire`, `clear`.

use pintle_abi::*;

use super::{Asked, Call, INCR, SET, enter, input};
use crate::{
    error::{ErrorKind, Result},
    identity::{Method, Service},
    services::{
        keys::Key,
        storage::{Action, Outcome, Step},
    },
};

pub(super) unsafe extern "C" fn set(
    ctx: PintleCtx,
    key: PintleStr,
    value: PintleBytes,
    options: *const PintleStorageOptions,
    version: *mut u64,
) -> PintleStatus {
    enter(ctx, Method::StorageSet, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (key, value) = unsafe { (input::key("key", key)?, input::raw("value", value.ptr, value.len)?) };
        // SAFETY: as above.
        let options = unsafe { input::options(options) }?;
        let asked = Asked::of(call, options.as_ref(), &SET)?;
        asked.check(value)?;
        call.must_act()?;
        let action = Action::Set { value, lifetime: asked.lifetime };
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { apply(call, Step { key, if_version: asked.if_version, action }, version) }?;
        call.count_bytes(Service::Storage, value.len());
        Ok(())
    })
}

pub(super) unsafe extern "C" fn remove(ctx: PintleCtx, key: PintleStr, existed: *mut u32) -> PintleStatus {
    enter(ctx, Method::StorageRemove, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { input::key("key", key) }?;
        call.must_act()?;
        // SAFETY: nothing is written through null.
        let done = unsafe { apply(call, unconditional(key, Action::Remove), std::ptr::null_mut()) }?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(done.value != 0)) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn incr(
    ctx: PintleCtx,
    key: PintleStr,
    delta: i64,
    options: *const PintleStorageOptions,
    value: *mut i64,
    version: *mut u64,
) -> PintleStatus {
    enter(ctx, Method::StorageIncr, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (key, options) = unsafe { (input::key("key", key)?, input::options(options)?) };
        let Asked { if_version, lifetime, .. } = Asked::of(call, options.as_ref(), &INCR)?;
        call.must_act()?;
        let action = Action::Incr { delta, lifetime };
        // SAFETY: the contract says that outputs lead to memory of the caller, here and below.
        let done = unsafe { apply(call, Step { key, if_version, action }, version) }?;
        // SAFETY: as above.
        unsafe { input::write_if_wanted(value, done.value) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn expire(
    ctx: PintleCtx,
    key: PintleStr,
    ttl_ms: i64,
    existed: *mut u32,
) -> PintleStatus {
    enter(ctx, Method::StorageExpire, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let key = unsafe { input::key("key", key) }?;
        let action = match ttl_ms {
            ..0 => Action::Remove,
            ttl_ms => Action::Expire { lifetime: call.core().storage.lifetime(Some(ttl_ms))? },
        };
        call.must_act()?;
        // SAFETY: nothing is written through null.
        let done = unsafe { apply(call, unconditional(key, action), std::ptr::null_mut()) }?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(done.value != 0)) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn clear(ctx: PintleCtx, removed: *mut u64) -> PintleStatus {
    enter(ctx, Method::StorageClear, move |call| {
        call.must_act()?;
        let count = call.core().storage.clear(&call.data_scope())?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(removed, count) };
        Ok(())
    })
}

fn unconditional<'a>(key: Key<'a>, action: Action<'a>) -> Step<'a> {
    Step { key, if_version: None, action }
}

/// Does one step, and tells the new version, or on CONFLICT the one that there is.
///
/// # Safety
/// `version` is null or leads to memory of the caller.
unsafe fn apply(call: &Call, step: Step<'_>, version: *mut u64) -> Result<Outcome> {
    match call.core().storage.apply_one(&call.data_scope(), step, call.record.quotas()) {
        Ok(done) => {
            // SAFETY: the caller vouches for it.
            unsafe { input::write_if_wanted(version, done.version) };
            Ok(done)
        }
        Err(refused) => {
            if refused.error.kind() == ErrorKind::Conflict {
                // SAFETY: as above.
                unsafe { input::write_if_wanted(version, refused.current) };
            }
            Err(refused.error)
        }
    }
}
