//! Subscriptions, and how they are kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pintle_abi::{
    PINTLE_QUEUE_DROP_NEW, PINTLE_QUEUE_DROP_OLDEST, PINTLE_QUEUE_WAIT, PINTLE_START_ALL, PINTLE_START_NEW,
    PINTLE_START_SEQUENCE, PINTLE_START_TIME, PINTLE_SUBSCRIBE_ACK, PINTLE_SUBSCRIBE_DURABLE, PintleEvents,
    PintleRegistration, PintleStr, PintleSubscribeOptions,
};

use crate::{Context, Result, context::milliseconds, table::function};

/// A subscription's handle. It is only a name: dropping it ends nothing. The subscription ends with
/// [`unsubscribe`](Subscription::unsubscribe), and at the latest with the plugin (those made since `enable` with `disable`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription(pub(super) PintleRegistration);

impl Subscription {
    /// Ends the subscription. Events that wait in its queue are dropped (those of a durable one stay in the log, and so does its
    /// position), a call under way is finished, then its handler is dropped. `cx` may be any context of the plugin.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle) if it is over already.
    pub fn unsubscribe(self, cx: &Context) -> Result<()> {
        let unsubscribe = function!(cx.host(), events: PintleEvents, unsubscribe)?;
        // SAFETY: any values are allowed; the host checks them.
        cx.check(unsafe { unsubscribe(cx.raw(), self.0) })
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
    /// The publisher waits for room as long as its [`EmitOptions::wait`](crate::EmitOptions::wait) says; then it is dropped.
    Wait,
}

/// Where a durable subscription begins that has no position under its name yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StartFrom {
    /// With the events that come after it.
    #[default]
    New,
    /// With the oldest event of the log.
    All,
    /// With the event of this number ([`Event::sequence`](crate::Event::sequence)).
    Sequence(u64),
    /// With the first event that was written at this time or later.
    Time(SystemTime),
}

/// How a subscription is to be kept.
///
/// A durable one that acknowledges when the work is really done, which is later and on another thread:
///
/// ```
/// # use std::{sync::{Mutex, mpsc}, thread, time::Duration};
/// # use pintle_plugin::{Context, Delivery, Error, Filter, Held, Result, StartFrom, Status, SubscribeOptions};
/// fn enable(cx: &Context, work: mpsc::Sender<(Delivery, String)>) -> Result<()> {
///     let filter = Filter::prefix("subject", "eu-").and(Filter::exact("type", "plugin.shop.canceled").not());
///     let options = SubscribeOptions::new()
///         .name("invoices")
///         .durable()
///         .acknowledge()
///         .start(StartFrom::All)
///         .filter(&filter)
///         .ack_within(Duration::from_secs(120))
///         .max_deliveries(5);
///     let work = Mutex::new(work);
///     cx.events().subscribe_json_with("plugin.shop.*", &options, move |_, event, order: String| {
///         let delivery = event.delivery().ok_or_else(|| Error::new(Status::Internal, "nothing to acknowledge"))?;
///         let sent = work.lock().expect("nothing panics with it").send((delivery, order));
///         sent.map_err(|_| Error::new(Status::Unavailable, "nobody works any more"))
///     })?;
///     Ok(())
/// }
///
/// fn clerk(cx: Held, work: mpsc::Receiver<(Delivery, String)>) {
///     # fn invoice(_: &str) -> Result<()> { Ok(()) }
///     for (delivery, order) in work {
///         let outcome = match invoice(&order) {
///             Ok(()) => delivery.ack(&cx),
///             Err(error) => delivery.nack(&cx, Some(Duration::from_secs(60)), error.message()),
///         };
///         if let Err(error) = outcome {
///             // It took too long, say: the event comes again.
///             cx.log().warn("an invoice was not acknowledged", &[("error", error.message().into())]);
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscribeOptions<'a> {
    name: &'a str,
    flags: u32,
    capacity: u32,
    policy: QueuePolicy,
    filter: &'a str,
    priority: i32,
    start: StartFrom,
    ack_within: Duration,
    backoff: Duration,
    max_deliveries: u32,
    in_flight: u32,
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

    /// How many events may wait, 1 to 65,536. Not of a durable subscription: its events wait in the log.
    #[must_use]
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.capacity = capacity;
        self
    }

    /// What happens when that many wait. Not of a durable subscription.
    #[must_use]
    pub fn policy(mut self, policy: QueuePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Which of the events that match the pattern it is for: a [`Filter`](crate::Filter), or its JSON.
    #[must_use]
    pub fn filter(mut self, filter: &'a (impl AsRef<str> + ?Sized)) -> Self {
        self.filter = filter.as_ref();
        self
    }

    /// Of the plugin's subscriptions of one event, those with a higher number get it first, -1,000 to 1,000; otherwise it is 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// It gets the [durable](crate::EmitOptions::durable) events that match, and none but those, each at least once, until its
    /// handler has answered `Ok`; also those that come while the plugin is disabled or not loaded. Where it stands is kept under
    /// its name until the plugin is uninstalled.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.flags |= PINTLE_SUBSCRIBE_DURABLE;
        self
    }

    /// An event is acknowledged by [`Delivery::ack`](crate::Delivery::ack), and not by the `Ok` of the handler. With
    /// [`durable`](SubscribeOptions::durable).
    #[must_use]
    pub fn acknowledge(mut self) -> Self {
        self.flags |= PINTLE_SUBSCRIBE_ACK;
        self
    }

    /// Where a durable subscription begins that has no position under its name yet.
    #[must_use]
    pub fn start(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// Of a durable subscription, how long a delivery may take from the start of the handler, at most an hour; otherwise 30
    /// seconds. Then it counts as failed.
    #[must_use]
    pub fn ack_within(mut self, time: Duration) -> Self {
        self.ack_within = time;
        self
    }

    /// Of a durable subscription, how long an event waits after its first failure, at most an hour; otherwise a second. Each
    /// further failure doubles it, up to an hour.
    #[must_use]
    pub fn backoff(mut self, first: Duration) -> Self {
        self.backoff = first;
        self
    }

    /// Of a durable subscription, after how many deliveries an event that was not acknowledged becomes a dead letter, 1 to
    /// 1,000; otherwise 10.
    #[must_use]
    pub fn max_deliveries(mut self, most: u32) -> Self {
        self.max_deliveries = most;
        self
    }

    /// Of a durable subscription, how many events may be delivered and neither acknowledged nor failed, 1 to 1,024; otherwise 64.
    #[must_use]
    pub fn in_flight(mut self, most: u32) -> Self {
        self.in_flight = most;
        self
    }

    pub(super) fn raw(&self) -> PintleSubscribeOptions {
        let (start, start_at) = match self.start {
            StartFrom::New => (PINTLE_START_NEW, 0),
            StartFrom::All => (PINTLE_START_ALL, 0),
            StartFrom::Sequence(number) => (PINTLE_START_SEQUENCE, i64::try_from(number).unwrap_or(i64::MAX)),
            StartFrom::Time(time) => (PINTLE_START_TIME, since_epoch(time)),
        };
        PintleSubscribeOptions {
            size: size_of::<PintleSubscribeOptions>() as u32,
            flags: self.flags,
            name: PintleStr::new(self.name),
            capacity: self.capacity,
            policy: match self.policy {
                QueuePolicy::DropOldest => PINTLE_QUEUE_DROP_OLDEST,
                QueuePolicy::DropNew => PINTLE_QUEUE_DROP_NEW,
                QueuePolicy::Wait => PINTLE_QUEUE_WAIT,
            },
            filter: PintleStr::new(self.filter),
            priority: self.priority,
            start,
            start_at,
            ack_ms: milliseconds(self.ack_within),
            backoff_ms: milliseconds(self.backoff),
            max_deliveries: self.max_deliveries,
            in_flight: self.in_flight,
        }
    }
}

/// Whole milliseconds since 1970, rounded down: the event of that very millisecond is among those that are meant.
fn since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => milliseconds(before.duration()).saturating_neg(),
    }
}
