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
    let pointer = unsafe { input::text("pointer", pointer, 1_024) }?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(input::wrong("pointer", format!("{pointer:?} does not begin with `/`")));
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        let text = format!("{pointer:?}: `~` is written `~0`, and `/` inside of a name `~1`");
        return Err(input::wrong("pointer", text));
    }
    let state = call.state();
    let value = state.config.pointer(pointer);
    let value = value.ok_or_else(|| Error::new(Status::NotFound, format!("config has no \"{pointer}\"")))?;
    convert(value)
        .ok_or_else(|| Error::new(Status::WrongType, format!("config \"{pointer}\" is not {wanted}")))
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
        // Of a number that is whole but does not fit: `Some(None)`.
        let number = find(call, pointer, "an integer", |value| match value.as_i64() {
            Some(integer) => Some(Some(integer)),
            None => {
                let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
                let fits = !value.is_u64() && (-2_f64.powi(63)..2_f64.powi(63)).contains(&number);
                Some(fits.then_some(number as i64))
            }
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
