//! Acknowledging what was delivered.

use std::time::Duration;

use pintle_abi::{PintleDelivery, PintleEvents, PintleStr};

use crate::{Context, Result, context::milliseconds, table::function};

/// One delivery of a durable event to a subscription with
/// [`SubscribeOptions::acknowledge`](crate::SubscribeOptions::acknowledge). From [`Event::delivery`](crate::Event::delivery). It is
/// only a name: it may be kept, and acknowledged on another thread, with a context that is [held](Context::hold). Dropping it does
/// nothing: the event comes again when the time for it is over ([`SubscribeOptions::ack_within`](crate::SubscribeOptions::ack_within)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery(pub(crate) PintleDelivery);

impl Delivery {
    /// The event is done with, and not delivered to this subscription again. `cx` may be any context of the plugin.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle): it is over. It was acknowledged or refused before, took too long, or the
    /// subscription has ended.
    pub fn ack(self, cx: &Context) -> Result<()> {
        let ack = function!(cx.host(), events: PintleEvents, ack)?;
        // SAFETY: any values are allowed; the host checks them.
        cx.check(unsafe { ack(cx.raw(), self.0) })
    }

    /// The delivery has failed: the event comes again after `delay`, at most a day, or, if that is `None`, as
    /// [`SubscribeOptions::backoff`](crate::SubscribeOptions::backoff) says; after the last delivery it is a dead letter. `reason`
    /// goes to the log and the dead letter, at most 1,024 bytes.
    ///
    /// # Errors
    /// As [`ack`](Delivery::ack); [`OutOfRange`](crate::Status::OutOfRange) (a delay of more than a day),
    /// [`TooLarge`](crate::Status::TooLarge) (the reason).
    pub fn nack(self, cx: &Context, delay: Option<Duration>, reason: &str) -> Result<()> {
        let nack = function!(cx.host(), events: PintleEvents, nack)?;
        // No delay at all is the shortest that there is: 0 would be the default.
        let delay_ms = delay.map_or(0, |delay| milliseconds(delay).max(1));
        // SAFETY: the reason is borrowed for the call.
        cx.check(unsafe { nack(cx.raw(), self.0, delay_ms, PintleStr::new(reason)) })
    }
}
