//! Publish and subscribe.

use std::{
    ffi::c_void,
    fmt,
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pintle_abi::{
    PINTLE_INVALID_ARGUMENT, PINTLE_QUEUE_DROP_NEW, PINTLE_QUEUE_DROP_OLDEST, PINTLE_QUEUE_WAIT, PintleBytes,
    PintleCtx, PintleEmitOptions, PintleEvent, PintleEventHandler, PintleEvents, PintleRegistration,
    PintleResultHandler, PintleSink, PintleStatus, PintleStr, PintleSubscribeOptions,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context, Error, HandlerResult, Result,
    context::{milliseconds, patience},
    registration::Registered,
    results::on_result,
    table::function,
    wire,
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

    /// Publishes an event: at most once to each subscription that matches, without waiting for any handler. The host
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
    /// As `emit`.
    pub fn emit_with(&self, topic: &str, data: &[u8], options: &EmitOptions<'_>) -> Result<()> {
        let emit = function!(self.cx.host(), events: PintleEvents, emit)?;
        let options = options.raw();
        // SAFETY: topic, data and options are borrowed for the call.
        let status =
            unsafe { emit(self.cx.raw(), PintleStr::new(topic), PintleBytes::new(data), &raw const options) };
        self.cx.check(status)
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

    /// [`emit_sync`](Events::emit_sync) with more to say; [`EmitOptions::wait`] must not be among it.
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

    /// [`subscribe`](Events::subscribe) with more to say.
    ///
    /// # Errors
    /// As `subscribe`.
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
    unsafe {
        Registered::<F>::run(user, ctx, |handler, cx| {
            handler(cx, &Event { raw, reply, cx, lent: PhantomData })
        })
    }
}

fn json(topic: &str, data: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(data).map_err(|error| Error::from(error).context(format_args!("the data of {topic}")))
}

/// A subscription's handle. It is only a name: dropping it ends nothing. The subscription ends with
/// [`unsubscribe`](Subscription::unsubscribe), and at the latest with the plugin (those made since `enable` with `disable`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription(PintleRegistration);

impl Subscription {
    /// Ends the subscription. Events that wait in its queue are dropped, a call under way is finished, then its handler
    /// is dropped. `cx` may be any context of the plugin.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle) if it is over already.
    pub fn unsubscribe(self, cx: &Context) -> Result<()> {
        let unsubscribe = function!(cx.host(), events: PintleEvents, unsubscribe)?;
        // SAFETY: any values are allowed; the host checks them.
        cx.check(unsafe { unsubscribe(cx.raw(), self.0) })
    }
}

/// An event, lent to a handler. The attributes are those of CloudEvents 1.0.
pub struct Event<'a> {
    raw: PintleEvent,
    reply: PintleSink,
    cx: &'a Context,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Event<'a> {
    /// The topic, whole: CloudEvents `type`.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        // SAFETY: the host lends the event and all it points to until the handler returns; so in every accessor.
        unsafe { wire::text(self.raw.topic) }
    }

    /// CloudEvents `id`: unique together with [`source`](Event::source).
    #[must_use]
    pub fn id(&self) -> &'a str {
        // SAFETY: as in `topic`.
        unsafe { wire::text(self.raw.id) }
    }

    /// CloudEvents `source`: `/plugins/<id>` for a plugin, otherwise what the application gave.
    #[must_use]
    pub fn source(&self) -> &'a str {
        // SAFETY: as in `topic`.
        unsafe { wire::text(self.raw.source) }
    }

    /// CloudEvents `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.subject) })
    }

    /// CloudEvents `datacontenttype`.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.content_type) })
    }

    /// The ordering key.
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.key) })
    }

    /// The tenant on whose behalf it was emitted; `None` in the system scope.
    #[must_use]
    pub fn tenant(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.tenant) })
    }

    /// The payload.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        // SAFETY: as in `topic`.
        unsafe { wire::bytes(self.raw.data) }
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) if it is not UTF-8.
    pub fn text(&self) -> Result<&'a str> {
        str::from_utf8(self.data())
            .map_err(|error| Error::from(error).context(format_args!("the data of {}", self.topic())))
    }

    /// The payload, read as JSON.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) if it is not JSON or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.data())
            .map_err(|error| Error::from(error).context(format_args!("the data of {}", self.topic())))
    }

    /// CloudEvents `time`.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        at(self.raw.time_ms)
    }

    /// How many events led to this one: 0 for one that no handler emitted.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.raw.depth
    }

    /// Adds to the reply, at most 1 MiB, for publishers that wait for it ([`Events::emit_sync`]).
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge).
    pub fn reply(&self, bytes: &[u8]) -> Result<()> {
        self.cx.check(wire::write(self.reply, bytes))
    }

    /// [`reply`](Event::reply) with a value, as JSON.
    ///
    /// # Errors
    /// As `reply`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn reply_json(&self, value: &impl Serialize) -> Result<()> {
        let reply = serde_json::to_vec(value)
            .map_err(|error| Error::from(error).context(format_args!("the reply to {}", self.topic())))?;
        self.reply(&reply)
    }

    /// None for null, and for one that is smaller than events have been since ABI 1.0.
    ///
    /// # Safety
    /// `event` is null or an event of the host.
    unsafe fn read(event: *const PintleEvent) -> Option<PintleEvent> {
        const SMALLEST: usize = 144;
        // SAFETY: an event begins with its size, and is read only where it is large enough.
        unsafe { crate::table::reaches(event.cast(), SMALLEST).then(|| event.read()) }
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("topic", &self.topic())
            .field("id", &self.id())
            .field("source", &self.source())
            .field("tenant", &self.tenant())
            .field("bytes", &self.data().len())
            .finish_non_exhaustive()
    }
}

/// What a publisher may say beside topic and data.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmitOptions<'a> {
    id: &'a str,
    subject: &'a str,
    content_type: &'a str,
    key: &'a str,
    wait: Duration,
}

impl<'a> EmitOptions<'a> {
    /// Nothing beside topic and data.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// CloudEvents `id`, 1 to 256 bytes; otherwise the host makes one.
    #[must_use]
    pub fn id(mut self, id: &'a str) -> Self {
        self.id = id;
        self
    }

    /// CloudEvents `subject`, at most 512 bytes.
    #[must_use]
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = subject;
        self
    }

    /// CloudEvents `datacontenttype`, at most 128 bytes; otherwise `application/json`.
    #[must_use]
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = content_type;
        self
    }

    /// The ordering key, at most 512 bytes.
    #[must_use]
    pub fn key(mut self, key: &'a str) -> Self {
        self.key = key;
        self
    }

    /// How long to wait for room in the queues of subscriptions with [`QueuePolicy::Wait`], at most a minute;
    /// otherwise not at all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Id, subject, content type and key, empty where they are not given; and how long to wait.
    pub(crate) fn texts_and_wait(&self) -> ([&'a str; 4], Duration) {
        ([self.id, self.subject, self.content_type, self.key], self.wait)
    }

    pub(crate) fn raw(&self) -> PintleEmitOptions {
        PintleEmitOptions {
            size: size_of::<PintleEmitOptions>() as u32,
            flags: 0,
            id: PintleStr::new(self.id),
            subject: PintleStr::new(self.subject),
            content_type: PintleStr::new(self.content_type),
            key: PintleStr::new(self.key),
            wait_ms: milliseconds(self.wait),
        }
    }
}

/// What happens to an event whose subscription has a full queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueuePolicy {
    /// The oldest that waits is dropped for it.
    #[default]
    DropOldest,
    /// It is dropped.
    DropNew,
    /// The publisher waits for room as long as its [`EmitOptions::wait`] says; then it is dropped.
    Wait,
}

/// How a subscription is to be kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscribeOptions<'a> {
    name: &'a str,
    capacity: u32,
    policy: QueuePolicy,
}

impl<'a> SubscribeOptions<'a> {
    /// The defaults: the pattern is the name, 1,024 events may wait, the oldest is dropped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The subscription's name, unique in its scope, 1 to 128 bytes.
    #[must_use]
    pub fn name(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// How many events may wait, 1 to 65,536.
    #[must_use]
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.capacity = capacity;
        self
    }

    /// What happens when that many wait.
    #[must_use]
    pub fn policy(mut self, policy: QueuePolicy) -> Self {
        self.policy = policy;
        self
    }

    fn raw(&self) -> PintleSubscribeOptions {
        PintleSubscribeOptions {
            size: size_of::<PintleSubscribeOptions>() as u32,
            flags: 0,
            name: PintleStr::new(self.name),
            capacity: self.capacity,
            policy: match self.policy {
                QueuePolicy::DropOldest => PINTLE_QUEUE_DROP_OLDEST,
                QueuePolicy::DropNew => PINTLE_QUEUE_DROP_NEW,
                QueuePolicy::Wait => PINTLE_QUEUE_WAIT,
            },
            filter: PintleStr::EMPTY,
            priority: 0,
            start: pintle_abi::PINTLE_START_NEW,
            start_at: 0,
            ack_ms: 0,
            backoff_ms: 0,
            max_deliveries: 0,
            in_flight: 0,
        }
    }
}

/// A time of the host.
pub(crate) fn at(ms: i64) -> SystemTime {
    let span = Duration::from_millis(ms.unsigned_abs());
    let time = if ms < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    time.unwrap_or(UNIX_EPOCH)
}
