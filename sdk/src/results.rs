//! What became of an event whose publisher waited for its handlers.

use std::ffi::c_void;

use pintle_abi::{
    PINTLE_HANDLED, PINTLE_HANDLER_FAILED, PINTLE_HANDLER_PANIC, PINTLE_HANDLER_SKIPPED,
    PINTLE_HANDLER_TIMEOUT, PINTLE_INVALID_ARGUMENT, PINTLE_OK, PintleHandlerResult, PintleStatus,
};
use serde::de::DeserializeOwned;

use crate::{Error, Result, Status, wire};

/// Takes the next result of an `emit_sync`.
///
/// # Safety
/// `user` is a vector of results that is lent for this call, and `result` is one of the host.
pub(crate) unsafe extern "C" fn on_result(
    user: *mut c_void,
    result: *const PintleHandlerResult,
) -> PintleStatus {
    // SAFETY: the caller's promise.
    let (results, result) =
        unsafe { (user.cast::<Vec<HandlerResult>>().as_mut(), HandlerResult::read(result)) };
    let (Some(results), Some(result)) = (results, result) else { return PINTLE_INVALID_ARGUMENT };
    results.push(result);
    PINTLE_OK
}

/// What became of an event at one subscription. From [`Events::emit_sync`](crate::Events::emit_sync).
#[derive(Debug)]
#[non_exhaustive]
pub struct HandlerResult {
    /// Whose subscription it is: a plugin's id, or `application`.
    pub subscriber: String,
    /// The subscription's name.
    pub subscription: String,
    /// In one word.
    pub outcome: HandlerOutcome,
    /// What the handler wrote to its reply; or why there is none: what the handler answered, or why it was not called.
    pub reply: Result<Vec<u8>>,
}

impl HandlerResult {
    /// The reply, read as JSON.
    ///
    /// # Errors
    /// As [`reply`](HandlerResult::reply) has it; [`InvalidArgument`](crate::Status::InvalidArgument) if it is not JSON or
    /// not a `T`. Both name the subscriber.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        match &self.reply {
            Ok(reply) => serde_json::from_slice(reply).map_err(Error::from),
            Err(error) => Err(Error::new(error.status(), error.message().to_owned())),
        }
        .map_err(|error| {
            error.context(format_args!("the reply of {} ({})", self.subscriber, self.subscription))
        })
    }

    /// None for null, and for one that is smaller than results have been since ABI 1.0.
    ///
    /// # Safety
    /// `result` is null or a result of the host that is lent for this call.
    unsafe fn read(result: *const PintleHandlerResult) -> Option<Self> {
        const SMALLEST: usize = 80;
        // SAFETY: a result begins with its size, and is read only where it is large enough; what it points to is lent too.
        unsafe {
            let raw = crate::table::reaches(result.cast(), SMALLEST).then(|| result.read())?;
            let outcome = match raw.outcome {
                PINTLE_HANDLED => HandlerOutcome::Handled,
                PINTLE_HANDLER_FAILED => HandlerOutcome::Failed,
                PINTLE_HANDLER_TIMEOUT => HandlerOutcome::TimedOut,
                PINTLE_HANDLER_PANIC => HandlerOutcome::Panicked,
                PINTLE_HANDLER_SKIPPED => HandlerOutcome::Skipped,
                other => HandlerOutcome::Unknown(other),
            };
            let reply = match (outcome, Status::from_code(raw.status)) {
                (HandlerOutcome::Handled, _) => Ok(wire::bytes(raw.reply).to_vec()),
                (_, status) => Err(match (status.unwrap_or(Status::Internal), wire::text(raw.error)) {
                    (status, "") => Error::bare(status),
                    (status, text) => Error::new(status, text.to_owned()),
                }),
            };
            Some(Self {
                subscriber: wire::text(raw.subscriber).to_owned(),
                subscription: wire::text(raw.subscription).to_owned(),
                outcome,
                reply,
            })
        }
    }
}

/// How a handler took an event that its publisher waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandlerOutcome {
    /// It answered OK.
    Handled,
    /// It answered an error.
    Failed,
    /// It had not answered by the deadline, and may still do what it does.
    TimedOut,
    /// It panicked or threw, which was caught.
    Panicked,
    /// It was not called: its plugin is not enabled, is stuck, or has too much to do.
    Skipped,
    /// An outcome that is newer than this SDK, under its number.
    Unknown(u32),
}
