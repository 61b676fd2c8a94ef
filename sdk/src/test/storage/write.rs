//! How one item is written, counted, made to live longer or shorter, and removed.

use pintle_abi::*;
use serde::de::IgnoredAny;

use super::{
    LARGEST_VALUE,
    kept::{Action, Lifetime, Outcome, Step},
    place,
};
use crate::{
    Error, Result, Status,
    test::{
        input,
        inside::{Call, enter},
    },
};

/// What the options of each kind of write may have.
pub(super) const SET: u32 =
    PINTLE_STORAGE_IF_VERSION | PINTLE_STORAGE_TTL | PINTLE_STORAGE_KEEP_TTL | PINTLE_STORAGE_JSON;
pub(super) const INCR: u32 = PINTLE_STORAGE_IF_VERSION | PINTLE_STORAGE_TTL;
pub(super) const CONDITION: u32 = PINTLE_STORAGE_IF_VERSION;

/// What the options of a write ask for.
pub(super) struct Asked {
    pub(super) if_version: Option<u64>,
    pub(super) lifetime: Lifetime,
    json: bool,
}

impl Asked {
    /// # Safety
    /// `options` is null or leads to a struct that begins with its size.
    pub(super) unsafe fn read(call: &Call, options: *const PintleStorageOptions, takes: u32) -> Result<Self> {
        // SAFETY: the caller's promise.
        let Some(options) = unsafe { input::options(options) }? else {
            return Ok(Self { if_version: None, lifetime: Lifetime::Endless, json: false });
        };
        let has = |flag: u32| options.flags & flag != 0;
        if has(!SET) {
            let text = format!("argument `options.flags`: {:#x}", options.flags);
            return Err(Error::new(Status::Unsupported, text));
        }
        if has(!takes) {
            let text = format_args!("{:#x}, of which {takes:#x} say something here", options.flags);
            return Err(input::wrong("options.flags", text));
        }
        let lifetime = match (has(PINTLE_STORAGE_TTL), has(PINTLE_STORAGE_KEEP_TTL)) {
            (true, true) => {
                return Err(input::wrong("options.flags", "a lifetime, and to keep the one that is there"));
            }
            (true, false) => lifetime(call, options.ttl_ms)?,
            (false, true) => Lifetime::Keep,
            (false, false) => Lifetime::Endless,
        };
        Ok(Self {
            if_version: has(PINTLE_STORAGE_IF_VERSION).then_some(options.if_version),
            lifetime,
            json: has(PINTLE_STORAGE_JSON),
        })
    }

    /// A value of a write, as it is to be.
    ///
    /// # Safety
    /// `value` is readable for `'a`.
    pub(super) unsafe fn value<'a>(&self, value: PintleBytes) -> Result<&'a [u8]> {
        // SAFETY: the caller's promise.
        let value = unsafe { input::bytes("value", value, LARGEST_VALUE) }?;
        if self.json {
            serde_json::from_slice::<IgnoredAny>(value)
                .map_err(|error| input::wrong("value", format_args!("it is no JSON: {error}")))?;
        }
        Ok(value)
    }
}

fn lifetime(call: &Call, ttl_ms: i64) -> Result<Lifetime> {
    match ttl_ms {
        0 => Ok(Lifetime::Endless),
        ms if ms > 0 && call.state().now_ms.checked_add(ms).is_some() => Ok(Lifetime::Ms(ms)),
        ms => Err(Error::new(Status::OutOfRange, format!("argument `ttl_ms`: {ms} is no lifetime"))),
    }
}

/// Does one step. `version`, if it is not null, gets what the contract says, also on CONFLICT.
///
/// # Safety
/// `version` is null or writable for this call.
unsafe fn apply(call: &Call, step: &Step, version: *mut u64) -> Result<Outcome> {
    let mut state = call.state();
    let now_ms = state.now_ms;
    let (outcome, told) = match state.storage.apply(step, now_ms) {
        Ok(done) => (Ok(done), Some(done.version)),
        Err((error, current)) => {
            let told = (error.status() == Status::Conflict).then_some(current);
            (Err(error), told)
        }
    };
    // SAFETY: the caller's promise.
    if let (Some(told), Some(version)) = (told, unsafe { version.as_mut() }) {
        *version = told;
    }
    outcome
}

pub(super) unsafe extern "C" fn set(
    ctx: PintleCtx,
    key: PintleStr,
    value: PintleBytes,
    options: *const PintleStorageOptions,
    version: *mut u64,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "storage.set", |call| unsafe {
        let place = place(call, key)?;
        let asked = Asked::read(call, options, SET)?;
        call.must_act()?;
        let action = Action::Set { value: asked.value(value)?.into(), lifetime: asked.lifetime };
        apply(call, &Step { place, if_version: asked.if_version, action }, version).map(drop)
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
    // SAFETY: as in `set`.
    enter(ctx, "storage.incr", |call| unsafe {
        let place = place(call, key)?;
        let asked = Asked::read(call, options, INCR)?;
        call.must_act()?;
        let action = Action::Incr { delta, lifetime: asked.lifetime };
        let done = apply(call, &Step { place, if_version: asked.if_version, action }, version)?;
        if let Some(value) = value.as_mut() {
            *value = done.value;
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn expire(
    ctx: PintleCtx,
    key: PintleStr,
    ttl_ms: i64,
    existed: *mut u32,
) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "storage.expire", |call| unsafe {
        let place = place(call, key)?;
        let action = match ttl_ms {
            ..0 => Action::Remove,
            ms => Action::Expire { lifetime: lifetime(call, ms)? },
        };
        change(call, Step { place, if_version: None, action }, existed)
    })
}

pub(super) unsafe extern "C" fn remove(ctx: PintleCtx, key: PintleStr, existed: *mut u32) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "storage.remove", |call| unsafe {
        let place = place(call, key)?;
        change(call, Step { place, if_version: None, action: Action::Remove }, existed)
    })
}

/// # Safety
/// `existed` is null or writable for this call.
unsafe fn change(call: &Call, step: Step, existed: *mut u32) -> Result<()> {
    call.must_act()?;
    // SAFETY: null is allowed.
    let done = unsafe { apply(call, &step, std::ptr::null_mut()) }?;
    // SAFETY: the caller's promise.
    if let Some(existed) = unsafe { existed.as_mut() } {
        *existed = (done.value != 0).into();
    }
    Ok(())
}

pub(super) unsafe extern "C" fn clear(ctx: PintleCtx, removed: *mut u64) -> PintleStatus {
    // SAFETY: as in `set`.
    enter(ctx, "storage.clear", |call| unsafe {
        call.must_act()?;
        let mut state = call.state();
        let now_ms = state.now_ms;
        let count = state.storage.clear(&call.entry.tenant, now_ms);
        if let Some(removed) = removed.as_mut() {
            *removed = count;
        }
        Ok(())
    })
}
