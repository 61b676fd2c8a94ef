//! The table of the settings.

use pintle_abi::*;
use serde_json::Value;

use super::{
    input,
    inside::{Call, enter},
};
use crate::{Error, Result, Status};

pub(super) static TABLE: PintleConfig = PintleConfig {
    size: size_of::<PintleConfig>() as u32,
    reserved: 0,
    get: Some(get),
    text: Some(text),
    integer: Some(integer),
    number: Some(number),
    boolean: Some(boolean),
};

/// Looks a value up and converts it; WRONG_TYPE where that gives none.
///
/// # Safety
/// `pointer` is readable for this call.
unsafe fn find<T>(
    call: &Call,
    pointer: PintleStr,
    wanted: &str,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> Result<T> {
    // SAFETY: the caller's promise.
    let pointer = unsafe { input::text("pointer", pointer) }?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(input::wrong("pointer", format!("{pointer:?} does not begin with `/`")));
    }
    let state = call.state();
    let value = state.config.pointer(pointer);
    let value = value.ok_or_else(|| Error::new(Status::NotFound, format!("config has no \"{pointer}\"")))?;
    convert(value).ok_or_else(|| {
        Error::new(Status::WrongType, format!("config \"{pointer}\" is not {wanted}: {value}"))
    })
}

unsafe extern "C" fn get(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "config.get", |call| unsafe {
        let json = find(call, pointer, "JSON", |value| Some(value.to_string()))?;
        input::give("out", out, json.as_bytes())
    })
}

unsafe extern "C" fn text(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "config.text", |call| unsafe {
        let text = find(call, pointer, "a string", |value| value.as_str().map(str::to_owned))?;
        input::give("out", out, text.as_bytes())
    })
}

unsafe extern "C" fn integer(ctx: PintleCtx, pointer: PintleStr, value: *mut i64) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "config.integer", |call| unsafe {
        let out = input::output("value", value)?;
        let whole =
            |number: f64| (number.fract() == 0.0 && number.abs() < 2_f64.powi(63)).then_some(number as i64);
        let number = find(call, pointer, "an integer", |value| {
            let integer =
                value.as_i64().or_else(|| value.as_f64().filter(|_| value.is_f64()).and_then(whole));
            integer.map(Some).or_else(|| value.is_u64().then_some(None))
        })?;
        *out =
            number.ok_or_else(|| Error::new(Status::OutOfRange, "the number is too large for an integer"))?;
        Ok(())
    })
}

unsafe extern "C" fn number(ctx: PintleCtx, pointer: PintleStr, value: *mut f64) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "config.number", |call| unsafe {
        *input::output("value", value)? = find(call, pointer, "a number", Value::as_f64)?;
        Ok(())
    })
}

unsafe extern "C" fn boolean(ctx: PintleCtx, pointer: PintleStr, value: *mut u32) -> PintleStatus {
    // SAFETY: as in `get`.
    enter(ctx, "config.boolean", |call| unsafe {
        *input::output("value", value)? = find(call, pointer, "a boolean", Value::as_bool)?.into();
        Ok(())
    })
}
