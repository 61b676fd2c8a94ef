//! The table `pintle_config`.

use std::sync::Arc;

use pintle_abi::*;

use super::{Call, enter, input, sink::Sink, stale};
use crate::{error::Result, identity::Method, services::config::Snapshot};

const LONGEST_POINTER: usize = 1024;

pub(super) static TABLE: PintleConfig = PintleConfig {
    size: size_of::<PintleConfig>() as u32,
    reserved: 0,
    get: Some(get),
    text: Some(text),
    integer: Some(integer),
    number: Some(number),
    boolean: Some(boolean),
};

unsafe extern "C" fn get(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus {
    enter(ctx, Method::ConfigGet, move |call| {
        let out = Sink::new("out", out)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let pointer = unsafe { input::text("pointer", pointer, LONGEST_POINTER) }?;
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { out.write(snapshot(call)?.json(pointer)?.as_bytes()) }
    })
}

unsafe extern "C" fn text(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus {
    enter(ctx, Method::ConfigText, move |call| {
        let out = Sink::new("out", out)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let pointer = unsafe { input::text("pointer", pointer, LONGEST_POINTER) }?;
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { out.write(snapshot(call)?.text(pointer)?.as_bytes()) }
    })
}

unsafe extern "C" fn integer(ctx: PintleCtx, pointer: PintleStr, value: *mut i64) -> PintleStatus {
    enter(ctx, Method::ConfigInteger, move |call| {
        // SAFETY: the contract says what inputs and outputs lead to.
        unsafe { read(call, pointer, value, Snapshot::integer) }
    })
}

unsafe extern "C" fn number(ctx: PintleCtx, pointer: PintleStr, value: *mut f64) -> PintleStatus {
    enter(ctx, Method::ConfigNumber, move |call| {
        // SAFETY: the contract says what inputs and outputs lead to.
        unsafe { read(call, pointer, value, Snapshot::number) }
    })
}

unsafe extern "C" fn boolean(ctx: PintleCtx, pointer: PintleStr, value: *mut u32) -> PintleStatus {
    enter(ctx, Method::ConfigBoolean, move |call| {
        // SAFETY: the contract says what inputs and outputs lead to.
        unsafe { read(call, pointer, value, |config, pointer| config.boolean(pointer).map(u32::from)) }
    })
}

/// # Safety
/// `pointer` is readable for this call, `value` leads to memory of the caller.
unsafe fn read<T>(
    call: &Call,
    pointer: PintleStr,
    value: *mut T,
    find: impl FnOnce(&Snapshot, &str) -> Result<T>,
) -> Result<()> {
    let out = input::output("value", value)?;
    // SAFETY: the caller vouches for it.
    let pointer = unsafe { input::text("pointer", pointer, LONGEST_POINTER) }?;
    let config = snapshot(call)?;
    let found = find(&config, pointer)?;
    // SAFETY: the caller vouches for it.
    unsafe { out.write(found) };
    Ok(())
}

fn snapshot(call: &Call) -> Result<Arc<Snapshot>> {
    let config = call.record.config(call.scope.generation).ok_or_else(stale)?;
    Ok(config.snapshot())
}
