//! The table `pintle_idempotency`.

use std::mem::offset_of;

use pintle_abi::*;

use super::{Call, callback::unknown_value, enter, input, sink::Sink};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{
        idempotency::{Address, Known, State},
        keys::{Key, Namespace},
    },
};

pub(super) static TABLE: PintleIdempotency = PintleIdempotency {
    size: size_of::<PintleIdempotency>() as u32,
    reserved: 0,
    begin: Some(begin),
    complete: Some(complete),
    fail: Some(fail),
    renew: Some(renew),
    get: Some(get),
};

unsafe extern "C" fn begin(
    ctx: PintleCtx,
    operation: PintleStr,
    key: PintleStr,
    fingerprint: PintleBytes,
    options: *const PintleIdempotencyOptions,
    info: *mut PintleIdempotencyInfo,
    result: PintleSink,
) -> PintleStatus {
    enter(ctx, Method::IdempotencyBegin, move |call| {
        let result = Sink::optional(result);
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::required_info("info", info) }?;
        // Whoever starts and is not told the token could never end it.
        if !info.reaches(offset_of!(PintleIdempotencyInfo, left_ms)) {
            return Err(Error::argument("info", "its `size` ends before `token`, which must be told"));
        }
        // SAFETY: the contract says that inputs are readable for this call.
        let address = unsafe { address(call, operation, key) }?;
        // SAFETY: as above.
        let fingerprint = unsafe { input::raw("fingerprint", fingerprint.ptr, fingerprint.len) }?;
        // SAFETY: as above.
        let options = unsafe { input::options(options) }?;
        let (lease_ms, keep_ms) = options.map_or((0, 0), |options| (options.lease_ms, options.keep_ms));
        call.must_act()?;
        let known = call.core().idempotency.begin(&address, fingerprint, lease_ms, keep_ms)?;
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { give(call, result.as_ref(), &known) }?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { info.write(&what_is_known(&known)) };
        Ok(())
    })
}

unsafe extern "C" fn complete(
    ctx: PintleCtx,
    token: PintleIdempotencyToken,
    result: PintleBytes,
) -> PintleStatus {
    enter(ctx, Method::IdempotencyComplete, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let result = unsafe { input::raw("result", result.ptr, result.len) }?;
        call.must_act()?;
        call.core().idempotency.complete(&call.data_scope(), token, result)?;
        call.count_bytes(Service::Idempotency, result.len());
        Ok(())
    })
}

unsafe extern "C" fn fail(
    ctx: PintleCtx,
    token: PintleIdempotencyToken,
    keep: u32,
    error: PintleBytes,
) -> PintleStatus {
    enter(ctx, Method::IdempotencyFail, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let error = unsafe { input::raw("error", error.ptr, error.len) }?;
        let keep = match keep {
            0 => false,
            1 => true,
            other => return Err(unknown_value("keep", other)),
        };
        call.must_act()?;
        call.core().idempotency.fail(&call.data_scope(), token, keep, error)?;
        if keep {
            call.count_bytes(Service::Idempotency, error.len());
        }
        Ok(())
    })
}

unsafe extern "C" fn renew(ctx: PintleCtx, token: PintleIdempotencyToken, lease_ms: i64) -> PintleStatus {
    enter(ctx, Method::IdempotencyRenew, move |call| {
        call.must_act()?;
        call.core().idempotency.renew(&call.data_scope(), token, lease_ms)
    })
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    operation: PintleStr,
    key: PintleStr,
    info: *mut PintleIdempotencyInfo,
    result: PintleSink,
) -> PintleStatus {
    enter(ctx, Method::IdempotencyGet, move |call| {
        let result = Sink::optional(result);
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::required_info("info", info) }?;
        // SAFETY: the contract says that inputs are readable for this call.
        let address = unsafe { address(call, operation, key) }?;
        let known = call.core().idempotency.look(&address)?;
        // Of an abandoned one there is nothing to wait for: whoever begins it starts.
        let known = known.filter(|known| known.state != State::Abandoned).ok_or_else(|| {
            let (operation, key) = (address.operation.as_str().to_owned(), address.key.as_str().to_owned());
            Error::lazy(ErrorKind::NotFound, move || {
                format!("no operation {operation:?} with the key {key:?} is under way or over in this scope")
            })
        })?;
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { give(call, result.as_ref(), &known) }?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { info.write(&what_is_known(&known)) };
        Ok(())
    })
}

/// # Safety
/// The texts are readable for as long as the address is used.
unsafe fn address<'a>(call: &'a Call, operation: PintleStr, key: PintleStr) -> Result<Address<'a>> {
    // SAFETY: the caller vouches for it.
    let operation = unsafe { input::raw("operation", operation.ptr.cast(), operation.len) }?;
    // SAFETY: as above.
    let key = unsafe { input::raw("key", key.ptr.cast(), key.len) }?;
    Ok(Address {
        scope: call.data_scope(),
        operation: Namespace::parse("operation", operation)?,
        key: Key::parse("key", key)?,
    })
}

/// Hands over what an operation ended with, if it has ended and that is wanted.
///
/// # Safety
/// As [`Sink::write`].
unsafe fn give(call: &Call, sink: Option<&Sink>, known: &Known) -> Result<()> {
    if let (State::Done | State::Failed, Some(sink)) = (known.state, sink) {
        // SAFETY: the caller vouches for it.
        unsafe { sink.write(&known.result) }?;
        call.count_bytes(Service::Idempotency, known.result.len());
    }
    Ok(())
}

fn what_is_known(known: &Known) -> PintleIdempotencyInfo {
    let (state, token, taken_over) = match known.state {
        State::Started { token, taken_over } => (PINTLE_IDEMPOTENCY_STARTED, token, taken_over),
        // Nobody is told of one that was abandoned: `begin` takes it over, and `get` passes over it.
        State::InProgress | State::Abandoned => (PINTLE_IDEMPOTENCY_IN_PROGRESS, 0, false),
        State::Done => (PINTLE_IDEMPOTENCY_DONE, 0, false),
        State::Failed => (PINTLE_IDEMPOTENCY_FAILED, 0, false),
        State::Mismatch => (PINTLE_IDEMPOTENCY_MISMATCH, 0, false),
    };
    PintleIdempotencyInfo {
        size: size_of::<PintleIdempotencyInfo>() as u32,
        state,
        flags: if taken_over { PINTLE_IDEMPOTENCY_TAKEN_OVER } else { 0 },
        attempt: known.attempt,
        token,
        left_ms: known.left_ms,
        begun_ms: known.begun_ms,
    }
}
