//! Publish and subscribe.

mod delivery;
mod emit;
mod event;
mod filter;
mod subscribe;

pub(crate) use self::emit::Kept as KeptEmitOptions;
pub use self::{
    delivery::Delivery,
    emit::EmitOptions,
    event::Event,
    filter::Filter,
    subscribe::{QueuePolicy, StartFrom, SubscribeOptions, Subscription},
};

use std::{
    ffi::c_void,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pintle_abi::{
    PINTLE_INVALID_ARGUMENT, PintleBytes, PintleCtx, PintleEvent, PintleEventHandler, PintleEvents,
    PintleResultHandler, PintleSink, PintleStatus, PintleStr,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context, Error, HandlerResult, Result, context::patience, registration::Registered, results::on_result,
    table::function,
};

/// Publish and subscribe. Topics are dot-separated tokens of `[A-Za-z0-9_-]`; in patterns `*` stands for one token and
/// a last `>` for one or more.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a> {
    cx: &'a Context,
}

impl<'a> Events<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// Publishes an event: at most once to each transient subscription that matches, and with [`EmitOptions::durable`] at least
    /// once to each durable one, without waiting for any handler. The host
    /// puts `plugin.<id>.` in front of `topic`, and takes `data` for JSON (see [`EmitOptions::content_type`]).
    ///
    /// # Errors
    /// [`Denied`](crate::Status::Denied) (the manifest's `publish` has no such topic),
    /// [`Unavailable`](crate::Status::Unavailable) (in `load` and `restore`),
    /// [`TooLarge`](crate::Status::TooLarge) (1 MiB), [`Reentrant`](crate::Status::Reentrant) (64 events led to this one).
    pub fn emit(&self, topic: &str, data: &[u8]) -> Result<()> {
        self.emit_with(topic, data, &EmitOptions::default())
    }

    /// [`emit`](Events::emit) of a value, as JSON.
    ///
    /// # Errors
    /// As `emit`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn emit_json(&self, topic: &str, data: &impl Serialize) -> Result<()> {
        self.emit(topic, &json(topic, data)?)
    }

    /// [`emit`](Events::emit) with more to say.
    ///
    /// # Errors
    /// As `emit`; of a durable event [`Unavailable`](crate::Status::Unavailable) also where the disk is full or fails, and nobody
    /// gets it then.
    pub fn emit_with(&self, topic: &str, data: &[u8], options: &EmitOptions<'_>) -> Result<()> {
        let emit = function!(self.cx.host(), events: PintleEvents, emit)?;
        let options = options.raw();
        // SAFETY: topic, data and options are borrowed for the call.
        let status =
            unsafe { emit(self.cx.raw(), PintleStr::new(topic), PintleBytes::new(data), &raw const options) };
        self.cx.check(status)
    }

    /// [`emit_with`](Events::emit_with) of a value, as JSON.
    ///
    /// # Errors
    /// As `emit_json`.
    pub fn emit_json_with(
        &self,
        topic: &str,
        data: &impl Serialize,
        options: &EmitOptions<'_>,
    ) -> Result<()> {
        self.emit_with(topic, &json(topic, data)?, options)
    }

    /// Publishes an event and waits for its handlers, all together 5 seconds if `timeout` is `None`, and never longer than
    /// this function's own caller waits ([`Context::remaining`]). Gives one result for each, in the order of the
    /// subscriptions; none if nobody listens. That a handler fails is its result and no error of this call.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn may_leave(cx: &Context, ship: &str) -> Result<bool> {
    ///     let answers = cx.events().emit_sync_json("leaving", &ship, None)?;
    ///     for answer in &answers {
    ///         if !answer.json::<bool>()? {
    ///             cx.log().info("held back", &[("by", answer.subscriber.as_str().into())]);
    ///             return Ok(false);
    ///         }
    ///     }
    ///     Ok(true)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Events::emit); [`Reentrant`](crate::Status::Reentrant) also where a handler could only run after this
    /// call (it is on this plugin's own lane, or on one that waits for it): then none was called.
    /// [`Busy`](crate::Status::Busy) (too many calls wait), [`OutOfRange`](crate::Status::OutOfRange) (no time, or more than
    /// an hour), [`Cancelled`](crate::Status::Cancelled) (this function's caller has given up),
    /// [`Stopping`](crate::Status::Stopping).
    pub fn emit_sync(
        &self,
        topic: &str,
        data: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Vec<HandlerResult>> {
        self.emit_sync_with(topic, data, timeout, &EmitOptions::default())
    }

    /// [`emit_sync`](Events::emit_sync) of a value, as JSON.
    ///
    /// # Errors
    /// As `emit_sync`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn emit_sync_json(
        &self,
        topic: &str,
        data: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<Vec<HandlerResult>> {
        self.emit_sync(topic, &json(topic, data)?, timeout)
    }

    /// [`emit_sync`](Events::emit_sync) with more to say; [`EmitOptions::wait`] and [`EmitOptions::durable`] must not be among it.
    ///
    /// # Errors
    /// As `emit_sync`.
    pub fn emit_sync_with(
        &self,
        topic: &str,
        data: &[u8],
        timeout: Option<Duration>,
        options: &EmitOptions<'_>,
    ) -> Result<Vec<HandlerResult>> {
        let timeout_ms = patience(timeout)?;
        let emit_sync = function!(self.cx.host(), events: PintleEvents, emit_sync)?;
        let options = options.raw();
        let mut results: Vec<HandlerResult> = Vec::new();
        // SAFETY: topic, data and options are borrowed for the call; `results` outlives it and is touched by `on_result`
        // alone meanwhile; the number of results, which the vector knows, may be null.
        let status = unsafe {
            emit_sync(
                self.cx.raw(),
                PintleStr::new(topic),
                PintleBytes::new(data),
                &raw const options,
                timeout_ms,
                PintleResultHandler(Some(on_result)),
                (&raw mut results).cast(),
                std::ptr::null_mut(),
            )
        };
        self.cx.check(status)?;
        Ok(results)
    }

    /// Calls `handler` with each event whose topic matches `pattern`. Under a tenant it sees that tenant's events; in the
    /// system scope (in [`enable`](crate::Plugin::enable), say) everybody's, each with a context of its tenant.
    ///
    /// An error or a panic of the handler is counted and logged, and the next event comes all the same.
    ///
    /// # Errors
    /// [`Denied`](crate::Status::Denied) (the manifest's `subscribe` does not cover the pattern),
    /// [`Conflict`](crate::Status::Conflict) (the name, by default the pattern, is taken),
    /// [`InvalidArgument`](crate::Status::InvalidArgument), [`Quota`](crate::Status::Quota),
    /// [`Stopping`](crate::Status::Stopping). The handler is dropped then.
    pub fn subscribe<F>(&self, pattern: &str, handler: F) -> Result<Subscription>
    where
        F: Fn(&Context, &Event<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.subscribe_with(pattern, &SubscribeOptions::default(), handler)
    }

    /// [`subscribe`](Events::subscribe) with the payload read as JSON. One that is not a `T` is an error of the handler, which is
    /// not called.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// # use serde::Deserialize;
    /// #[derive(Deserialize)]
    /// struct Order {
    ///     number: u64,
    /// }
    ///
    /// fn enable(cx: &Context) -> Result<()> {
    ///     cx.events().subscribe_json("plugin.shop.ordered", |cx, _, order: Order| {
    ///         cx.log().info("ordered", &[("number", order.number.into())]);
    ///         Ok(())
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As `subscribe`.
    pub fn subscribe_json<T, F>(&self, pattern: &str, handler: F) -> Result<Subscription>
    where
        T: DeserializeOwned,
        F: Fn(&Context, &Event<'_>, T) -> Result<()> + Send + Sync + 'static,
    {
        self.subscribe_json_with(pattern, &SubscribeOptions::default(), handler)
    }

    /// [`subscribe_json`](Events::subscribe_json) with more to say.
    ///
    /// # Errors
    /// As `subscribe_with`.
    pub fn subscribe_json_with<T, F>(
        &self,
        pattern: &str,
        options: &SubscribeOptions<'_>,
        handler: F,
    ) -> Result<Subscription>
    where
        T: DeserializeOwned,
        F: Fn(&Context, &Event<'_>, T) -> Result<()> + Send + Sync + 'static,
    {
        self.subscribe_with(pattern, options, move |cx, event| handler(cx, event, event.json()?))
    }

    /// [`subscribe`](Events::subscribe) with more to say.
    ///
    /// # Errors
    /// As `subscribe`; [`InvalidArgument`](crate::Status::InvalidArgument) also for the filter, with where it is wrong, and for
    /// options that go only with others, [`OutOfRange`](crate::Status::OutOfRange) for their times and numbers; of a durable
    /// subscription [`Unavailable`](crate::Status::Unavailable) where the disk fails.
    pub fn subscribe_with<F>(
        &self,
        pattern: &str,
        options: &SubscribeOptions<'_>,
        handler: F,
    ) -> Result<Subscription>
    where
        F: Fn(&Context, &Event<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let subscribe = function!(self.cx.host(), events: PintleEvents, subscribe)?;
        let options = options.raw();
        // SAFETY: pattern and options are borrowed for the call; handler, `user` and `release` belong together.
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| unsafe {
            let handler = PintleEventHandler(Some(on_event::<F>));
            subscribe(
                self.cx.raw(),
                PintleStr::new(pattern),
                handler,
                user,
                release,
                &raw const options,
                handle,
            )
        })?;
        Ok(Subscription(handle))
    }
}

unsafe extern "C" fn on_event<F>(
    user: *mut c_void,
    ctx: PintleCtx,
    event: *const PintleEvent,
    reply: PintleSink,
) -> PintleStatus
where
    F: Fn(&Context, &Event<'_>) -> Result<()> + Send + Sync + 'static,
{
    // SAFETY: the host lends the event until this function returns.
    let Some(raw) = (unsafe { Event::read(event) }) else { return PINTLE_INVALID_ARGUMENT };
    // SAFETY: the host calls this with the `user` of the same registration, before its `release`.
    unsafe { Registered::<F>::run(user, ctx, |handler, cx| handler(cx, &Event::lent(raw, reply, cx))) }
}

fn json(topic: &str, data: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(data).map_err(|error| Error::from(error).context(format_args!("the data of {topic}")))
}

/// A time of the host.
pub(crate) fn at(ms: i64) -> SystemTime {
    let span = Duration::from_millis(ms.unsigned_abs());
    let time = if ms < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    time.unwrap_or(UNIX_EPOCH)
}
