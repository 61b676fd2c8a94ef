//! `emit_sync` of the table `pintle_events`, and the two sides of an answer that it waits for: what the engine of events
//! asks for, made of what the lanes have. The application's publishers and listeners use the same.

use std::{ffi::c_void, sync::Arc, time::Instant};

use pintle_abi::*;

use super::{Call, enter, events, given_up, input, sink, status_of};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    lanes::{Awaited, Lane, Pool, Promise},
    services::events::{Answer, Asked, Expected, HandlerResult, Outcome},
};

pub(super) unsafe extern "C" fn emit_sync(
    ctx: PintleCtx,
    topic: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
    timeout_ms: i64,
    each: PintleResultHandler,
    user: *mut c_void,
    handlers: *mut u32,
) -> PintleStatus {
    enter(ctx, Method::EventsEmitSync, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let events::Wanted { draft, wait_ms, durable } =
            unsafe { events::draft(call, topic, data, options) }?;
        if durable {
            return Err(Error::argument(
                "options.flags",
                "has PINTLE_EMIT_DURABLE: emit_sync tells what becomes of an event now, and a durable one may come again: use `emit`",
            ));
        }
        if wait_ms != 0 {
            return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                format!(
                    "argument `options.wait_ms`: {wait_ms}, emit_sync takes 0 only: `timeout_ms` says how long it waits"
                )
            }));
        }
        input::timeout(timeout_ms)?;
        let deadline = call.may_wait(timeout_ms)?;
        let topic = draft.topic.clone();
        let results = events::as_publisher(call, |publisher| {
            call.core().events.emit_sync(Some(publisher), draft, deadline)
        })?;
        call.count_bytes(Service::Events, data.len);
        call.record.metrics.count_emitted();
        let late = results.iter().any(|result| matches!(result.outcome, Outcome::Timeout(_)));
        if late && call.remaining() == 0 {
            return Err(given_up());
        }
        match each.0 {
            // SAFETY: the contract says that `each` may be called with `user` until this function returns.
            Some(each) => results.iter().try_for_each(|result| unsafe { tell(each, user, result) })?,
            None => report(call, topic.as_str(), &results),
        }
        if let Ok(out) = input::output("handlers", handlers) {
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { out.write(u32::try_from(results.len()).unwrap_or(u32::MAX)) };
        }
        Ok(())
    })
}

type Each = unsafe extern "C" fn(*mut c_void, *const PintleHandlerResult) -> PintleStatus;

/// Tells one result to the caller. CANCELLED if it refuses it.
///
/// # Safety
/// `each` may be called with `user`.
unsafe fn tell(each: Each, user: *mut c_void, result: &HandlerResult) -> Result<()> {
    let text = result.outcome.error().map(ToString::to_string).unwrap_or_default();
    let told = PintleHandlerResult {
        size: size_of::<PintleHandlerResult>() as u32,
        outcome: match result.outcome {
            Outcome::Handled(_) => PINTLE_HANDLED,
            Outcome::Failed(_) => PINTLE_HANDLER_FAILED,
            Outcome::Timeout(_) => PINTLE_HANDLER_TIMEOUT,
            Outcome::Panic(_) => PINTLE_HANDLER_PANIC,
            Outcome::Skipped(_) => PINTLE_HANDLER_SKIPPED,
        },
        status: result.outcome.error().map_or(PINTLE_OK, |error| status_of(error.kind())),
        reserved: 0,
        subscriber: PintleStr::new(&result.subscriber),
        subscription: PintleStr::new(&result.subscription),
        reply: PintleBytes::new(result.outcome.reply()),
        error: PintleStr::new(&text),
    };
    // SAFETY: the caller vouches for it; what `told` leads to lives until `each` has returned.
    sink::tell("each", || unsafe { each(user, &raw const told) })
}

/// A caller without `each` is told of no failure: they go to the log, as those of events that nobody waits for.
fn report(call: &Call, topic: &str, results: &[HandlerResult]) {
    for result in results {
        if let Outcome::Failed(error) | Outcome::Panic(error) = &result.outcome {
            call.core().report_failure(error, &format!("event {topic}"));
        }
    }
}

/// Begins to wait, on behalf of `publisher` and until `deadline`, for what a handler on `lane` will answer.
pub(crate) fn expect(pool: &Arc<Pool>, lane: &Arc<Lane>, publisher: u64, deadline: Instant) -> Result<Asked> {
    let (awaited, promise) = pool.await_answer(lane, publisher)?;
    Ok((Box::new(awaited), Box::new(Reply { promise, deadline })))
}

/// The handler's side.
struct Reply {
    promise: Promise<Outcome>,
    deadline: Instant,
}

impl Answer for Reply {
    fn begin(&self, ctx: u64) -> bool {
        self.promise.start(ctx)
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn give(&self, outcome: Outcome) -> bool {
        self.promise.finish(outcome).is_ok()
    }
}

/// The publisher's side.
impl Expected for Awaited<Outcome> {
    fn let_another_in(&self) {
        Awaited::let_another_in(self);
    }

    fn wait(&self, deadline: Instant) -> Result<Outcome> {
        Awaited::wait(self, deadline)
    }
}
