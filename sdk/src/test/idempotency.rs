//! The table of idempotency: records that outlive the plugin, for as long as the test host lives, by its clock.

use pintle_abi::*;

use super::{
    input,
    inside::{Call, State, Tenant, enter},
};
use crate::{Error, Result, Status};

const LEASE_MS: i64 = 60_000;
const KEEP_MS: i64 = 86_400_000;
const LONGEST_LEASE_MS: i64 = 86_400_000;
const LONGEST_KEEP_MS: i64 = 31_536_000_000;
const LONGEST_FINGERPRINT: usize = 256;

/// Tenant, operation and key.
pub(super) type Place = (Tenant, String, String);

/// What is known of an operation.
#[derive(Clone)]
pub(super) struct Operation {
    token: PintleIdempotencyToken,
    fingerprint: Vec<u8>,
    attempt: u32,
    begun_ms: i64,
    lease_ms: i64,
    keep_ms: i64,
    lease_ends_ms: i64,
    over: Option<Over>,
}

/// How it ended.
#[derive(Clone, PartialEq)]
struct Over {
    state: u32,
    result: Vec<u8>,
    since_ms: i64,
}

impl Operation {
    fn expires_ms(&self) -> i64 {
        self.keep_ms.saturating_add(self.over.as_ref().map_or(self.lease_ends_ms, |over| over.since_ms))
    }

    /// One whose lease is over, and that nobody has taken over.
    fn is_abandoned(&self, now_ms: i64) -> bool {
        self.over.is_none() && self.lease_ends_ms <= now_ms
    }

    fn info(&self, now_ms: i64) -> PintleIdempotencyInfo {
        let (state, until_ms) = match &self.over {
            Some(over) => (over.state, self.expires_ms()),
            None => (PINTLE_IDEMPOTENCY_IN_PROGRESS, self.lease_ends_ms),
        };
        PintleIdempotencyInfo {
            size: size_of::<PintleIdempotencyInfo>() as u32,
            state,
            flags: 0,
            attempt: self.attempt,
            token: 0,
            left_ms: until_ms.saturating_sub(now_ms),
            begun_ms: self.begun_ms,
        }
    }

    fn result(&self) -> Option<Vec<u8>> {
        self.over.as_ref().map(|over| over.result.clone())
    }
}

pub(super) static TABLE: PintleIdempotency = PintleIdempotency {
    size: size_of::<PintleIdempotency>() as u32,
    reserved: 0,
    begin: Some(begin),
    complete: Some(complete),
    fail: Some(fail),
    renew: Some(renew),
    get: Some(get),
};

/// # Safety
/// `operation` and `key` are readable for this call.
unsafe fn place(call: &Call, operation: PintleStr, key: PintleStr) -> Result<Place> {
    // SAFETY: the caller's promise.
    let (operation, key) =
        unsafe { (input::key("operation", operation, 128)?, input::key("key", key, 512)?) };
    Ok((call.entry.tenant.clone(), operation.to_owned(), key.to_owned()))
}

/// A time that the plugin gives: 0 is the default.
fn time(argument: &str, ms: i64, longest: i64) -> Result<Option<i64>> {
    if ms == 0 || (1..=longest).contains(&ms) {
        return Ok((ms != 0).then_some(ms));
    }
    let text = format!("argument `{argument}`: {ms}, 1 to {longest} are taken, 0 is the default");
    Err(Error::new(Status::OutOfRange, text))
}

/// # Safety
/// A pointer that is not null leads to a struct that begins with its size.
unsafe fn must_be_info(info: *mut PintleIdempotencyInfo) -> Result<()> {
    // SAFETY: the caller's promise.
    if info.is_null() || unsafe { info.cast::<u32>().read() } as usize != size_of::<PintleIdempotencyInfo>() {
        return Err(input::wrong("info", "null, or its size is another"));
    }
    Ok(())
}

/// # Safety
/// The sink is one that the plugin lent for this call, and `out` is writable.
unsafe fn answer(
    to: PintleSink,
    result: Option<&[u8]>,
    out: *mut PintleIdempotencyInfo,
    info: PintleIdempotencyInfo,
) -> Result<()> {
    if let (Some(result), Some(_)) = (result, to.write) {
        // SAFETY: the caller's promise.
        unsafe { input::give("result", to, result) }?;
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(info) };
    Ok(())
}

unsafe extern "C" fn begin(
    ctx: PintleCtx,
    operation: PintleStr,
    key: PintleStr,
    fingerprint: PintleBytes,
    options: *const PintleIdempotencyOptions,
    info: *mut PintleIdempotencyInfo,
    result: PintleSink,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "idempotency.begin", |call| unsafe {
        must_be_info(info)?;
        let place = place(call, operation, key)?;
        let fingerprint = input::bytes("fingerprint", fingerprint, LONGEST_FINGERPRINT)?;
        let (lease_ms, keep_ms) = match input::options(options)? {
            None => (None, None),
            Some(PintleIdempotencyOptions { flags: 0, lease_ms, keep_ms, .. }) => {
                (time("lease_ms", lease_ms, LONGEST_LEASE_MS)?, time("keep_ms", keep_ms, LONGEST_KEEP_MS)?)
            }
            Some(PintleIdempotencyOptions { flags, .. }) => {
                return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
            }
        };
        call.must_act()?;
        let (about, value) = {
            let mut state = call.state();
            let now_ms = state.forget_expired();
            let before = state.operations.get(&place);
            match before {
                Some(there) if there.fingerprint != fingerprint => {
                    let left_ms = there.expires_ms() - now_ms;
                    let about = there.info(now_ms);
                    (PintleIdempotencyInfo { state: PINTLE_IDEMPOTENCY_MISMATCH, left_ms, ..about }, None)
                }
                Some(there) if !there.is_abandoned(now_ms) => (there.info(now_ms), there.result()),
                before => {
                    let flags = if before.is_some() { PINTLE_IDEMPOTENCY_TAKEN_OVER } else { 0 };
                    let (attempt, begun_ms) =
                        before.map_or((1, now_ms), |there| (there.attempt + 1, there.begun_ms));
                    let (lease_ms, keep_ms) = (lease_ms.unwrap_or(LEASE_MS), keep_ms.unwrap_or(KEEP_MS));
                    let token = call.inside.fresh(&mut state);
                    let begun = Operation {
                        token,
                        fingerprint: fingerprint.to_vec(),
                        attempt,
                        begun_ms,
                        lease_ms,
                        keep_ms,
                        lease_ends_ms: now_ms.saturating_add(lease_ms),
                        over: None,
                    };
                    let about = PintleIdempotencyInfo {
                        state: PINTLE_IDEMPOTENCY_STARTED,
                        flags,
                        token,
                        ..begun.info(now_ms)
                    };
                    state.operations.insert(place, begun);
                    (about, None)
                }
            }
        };
        answer(result, value.as_deref(), info, about)
    })
}

unsafe extern "C" fn complete(
    ctx: PintleCtx,
    token: PintleIdempotencyToken,
    result: PintleBytes,
) -> PintleStatus {
    // SAFETY: as in `begin`.
    enter(ctx, "idempotency.complete", |call| unsafe {
        let result = input::bytes("result", result, usize::MAX)?;
        call.must_act()?;
        end(call, token, "result", Some(PINTLE_IDEMPOTENCY_DONE), result)
    })
}

unsafe extern "C" fn fail(
    ctx: PintleCtx,
    token: PintleIdempotencyToken,
    keep: u32,
    error: PintleBytes,
) -> PintleStatus {
    // SAFETY: as in `begin`.
    enter(ctx, "idempotency.fail", |call| unsafe {
        let error = input::bytes("error", error, usize::MAX)?;
        let over = match keep {
            0 => None,
            1 => Some(PINTLE_IDEMPOTENCY_FAILED),
            other => return Err(Error::new(Status::Unsupported, format!("argument `keep`: {other}"))),
        };
        call.must_act()?;
        end(call, token, "error", over, error)
    })
}

fn end(
    call: &Call,
    token: PintleIdempotencyToken,
    argument: &str,
    over: Option<u32>,
    result: &[u8],
) -> Result<()> {
    must_be_token(token)?;
    if result.len() > input::MEBIBYTE {
        let text = format!("argument `{argument}`: {} bytes, at most 1 MiB is taken", result.len());
        return Err(Error::new(Status::TooLarge, text));
    }
    let mut state = call.state();
    let since_ms = state.forget_expired();
    let place = state.place_of(call, token)?;
    let there = state.operations.get_mut(&place).expect("it was found there");
    match (&there.over, over) {
        (None, None) => {
            state.operations.remove(&place);
        }
        (None, Some(kind)) => there.over = Some(Over { state: kind, result: result.to_vec(), since_ms }),
        (Some(before), Some(kind)) if before.state == kind && before.result == result => {}
        (Some(_), _) => return Err(is_over()),
    }
    Ok(())
}

unsafe extern "C" fn renew(ctx: PintleCtx, token: PintleIdempotencyToken, lease_ms: i64) -> PintleStatus {
    enter(ctx, "idempotency.renew", |call| {
        call.must_act()?;
        must_be_token(token)?;
        let lease_ms = time("lease_ms", lease_ms, LONGEST_LEASE_MS)?;
        let mut state = call.state();
        let now_ms = state.forget_expired();
        let place = state.place_of(call, token)?;
        let there = state.operations.get_mut(&place).expect("it was found there");
        if there.over.is_some() {
            return Err(is_over());
        }
        there.lease_ends_ms = now_ms.saturating_add(lease_ms.unwrap_or(there.lease_ms));
        Ok(())
    })
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    operation: PintleStr,
    key: PintleStr,
    info: *mut PintleIdempotencyInfo,
    result: PintleSink,
) -> PintleStatus {
    // SAFETY: as in `begin`.
    enter(ctx, "idempotency.get", |call| unsafe {
        must_be_info(info)?;
        let place = place(call, operation, key)?;
        let (about, value) = {
            let mut state = call.state();
            let now_ms = state.forget_expired();
            let there = state.operations.get(&place).filter(|there| !there.is_abandoned(now_ms));
            let there = there.ok_or_else(|| {
                let text =
                    format!("no operation {:?} with the key {:?} is under way or over", place.1, place.2);
                Error::new(Status::NotFound, text)
            })?;
            (there.info(now_ms), there.result())
        };
        answer(result, value.as_deref(), info, about)
    })
}

fn must_be_token(token: PintleIdempotencyToken) -> Result<()> {
    if token == 0 { Err(input::wrong("token", "it is 0, which no start has")) } else { Ok(()) }
}

fn is_over() -> Error {
    Error::new(Status::Conflict, "the operation is over, and what it ended with first is kept")
}

impl State {
    /// Removes what has expired; tells what time it is.
    fn forget_expired(&mut self) -> i64 {
        let now_ms = self.now_ms;
        self.operations.retain(|_, operation| operation.expires_ms() > now_ms);
        now_ms
    }

    /// Where the operation of this token is; CONFLICT if that is nowhere in the scope.
    fn place_of(&self, call: &Call, token: PintleIdempotencyToken) -> Result<Place> {
        let own = |(place, operation): &(&Place, &Operation)| {
            operation.token == token && place.0 == call.entry.tenant
        };
        self.operations.iter().find(own).map(|(place, _)| place.clone()).ok_or_else(|| {
            let text = "this start counts no more: somebody else has started again, or nothing is known of it any more";
            Error::new(Status::Conflict, text)
        })
    }
}
