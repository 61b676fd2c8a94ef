//! Durable subscriptions of the application: closures that are called until they answer OK, or until what they were given is
//! acknowledged.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Application, OWNER, over};
use crate::{
    boundary::Core,
    error::{Error, ErrorKind, Result},
    lanes::{Lane, Run, Task, panic_text},
    services::events::{Claim, Consumer, ConsumerName, DurableRequest, Event, Filter, Pattern, Start, Turns},
};

/// How a durable subscription of the application is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct DurableOptions {
    /// Where it begins if there is no position under its name yet.
    pub start: Start,
    /// Which of the events of these topics; None: all. It passes over the others.
    pub filter: Option<Filter>,
    /// Whether an event is done with when it was acknowledged ([`Delivery::receipt`]), not by the OK of the handler. An error of the
    /// handler is a failure all the same.
    pub acknowledge: bool,
    /// With `acknowledge`: how many events may be delivered and neither acknowledged nor failed, 1 to 1,024. Otherwise there is never
    /// more than one.
    pub in_flight: u32,
    /// How long the handler may take, with `acknowledge` together with what comes after it, a millisecond to an hour. Then the delivery has
    /// failed, and its answer no longer counts.
    pub ack: Duration,
    /// How long an event waits after its first failure, a millisecond to an hour. Each further failure doubles it, up to an hour.
    pub backoff: Duration,
    /// After how many deliveries an event that always fails becomes a dead letter, 1 to 1,000.
    pub max_deliveries: u32,
}

impl Default for DurableOptions {
    /// New events, all of them, acknowledged by the OK of the handler; 64 in flight, 30 seconds, back-off from one second, ten deliveries.
    fn default() -> Self {
        Self {
            start: Start::New,
            filter: None,
            acknowledge: false,
            in_flight: 64,
            ack: Duration::from_secs(30),
            backoff: Duration::from_secs(1),
            max_deliveries: 10,
        }
    }
}

/// An event as a durable subscription gets it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Delivery<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its number in the log, which grows.
    pub sequence: u64,
    /// Which delivery of it this is, from 1.
    pub attempt: u32,
    receipt: Option<Receipt>,
}

impl Delivery<'_> {
    /// What acknowledges this delivery, here or later; None unless the subscription is one with [`DurableOptions::acknowledge`].
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        self.receipt
    }
}

/// Acknowledges one delivery of a durable event, on any thread. It is only a name: dropping it does nothing, and the event comes again when
/// the time for it is over ([`DurableOptions::ack`]).
#[derive(Clone, Copy)]
pub struct Receipt {
    core: &'static Core,
    delivery: u64,
}

/// The longest delay of a failed delivery, and the longest reason: as for plugins.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3_600);
const LONGEST_REASON: usize = 1_024;

impl Receipt {
    /// The event is done with, and does not come again to this subscription. On disk soon, not when this returns.
    ///
    /// # Errors
    ///
    /// STALE_HANDLE: the delivery is over. It was acknowledged or refused before, took too long, or the host has stopped.
    pub fn ack(self) -> Result<()> {
        self.core.durable.ack(OWNER, self.delivery)
    }

    /// The delivery has failed: the event comes again after `delay`, at most a day, or, if that is None, after the back-off of the
    /// subscription; after the last delivery it is a dead letter. `reason` goes to the dead letter, at most 1,024 bytes.
    ///
    /// # Errors
    ///
    /// As `ack`, and OUT_OF_RANGE: the delay. TOO_LARGE: the reason.
    pub fn nack(self, delay: Option<Duration>, reason: &str) -> Result<()> {
        if let Some(delay) = delay.filter(|delay| *delay > LONGEST_DELAY) {
            let text = format!("argument `delay`: {delay:?}, at most a day is taken");
            return Err(Error::new(ErrorKind::OutOfRange, text));
        }
        if reason.len() > LONGEST_REASON {
            let text =
                format!("argument `reason`: {} bytes, at most {LONGEST_REASON} are taken", reason.len());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        self.core.durable.nack(OWNER, self.delivery, delay, reason)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.delivery).finish()
    }
}

type Handler = Box<dyn Fn(Delivery<'_>) -> Result<()> + Send + Sync>;

/// One closure: what the engine tells that there is something to deliver, and the task that stands in the lane then.
pub(super) struct Follower {
    application: Weak<Lane>,
    core: &'static Core,
    handler: Handler,
    consumer: Weak<Consumer>,
}

struct Gateway {
    follower: Weak<Follower>,
}

impl Application {
    /// Calls `handler` with each durable event whose topic matches, of every tenant, until it answers OK or acknowledges it.
    pub(crate) fn follow(
        &self,
        name: &str,
        pattern: &str,
        options: DurableOptions,
        handler: Handler,
    ) -> Result<()> {
        let request = request(name, Pattern::parse(pattern)?, options)?;
        let mut made = Ok(());
        let follower = Arc::new_cyclic(|me: &Weak<Follower>| {
            let gateway = Arc::new(Gateway { follower: me.clone() });
            let consumer = self.core.durable.subscribe(&self.core.events, request, gateway);
            let consumer = consumer.map_err(|error| made = Err(error));
            Follower {
                application: Arc::downgrade(&self.lane),
                core: self.core,
                handler,
                consumer: consumer.map(|made| Arc::downgrade(&made)).unwrap_or_default(),
            }
        });
        made?;
        let consumer = follower.consumer.upgrade();
        self.followers.lock().push(follower);
        // From here on it can be told.
        if let Some(consumer) = consumer {
            consumer.set_live(true);
        }
        Ok(())
    }
}

fn request(name: &str, pattern: Pattern, options: DurableOptions) -> Result<DurableRequest> {
    const SPANS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);
    let DurableOptions { start, filter, acknowledge, in_flight, ack, backoff, max_deliveries } = options;
    if name.is_empty() || name.len() > 128 || name.contains(char::is_control) {
        return Err(Error::argument(
            "name",
            format!("is {name:?}: 1 to 128 bytes without control characters are taken"),
        ));
    }
    for (what, span) in [("ack", ack), ("backoff", backoff)] {
        if !SPANS.contains(&span) {
            let text = format!("argument `options.{what}`: {span:?}, 1 ms to an hour are taken");
            return Err(Error::new(ErrorKind::OutOfRange, text));
        }
    }
    for (what, count, most) in [("max_deliveries", max_deliveries, 1_000), ("in_flight", in_flight, 1_024)] {
        if !(1..=most).contains(&count) {
            let text = format!("argument `options.{what}`: {count}, 1 to {most} are taken");
            return Err(Error::new(ErrorKind::OutOfRange, text));
        }
    }
    Ok(DurableRequest {
        owner: OWNER,
        name: ConsumerName { plugin: "application".into(), tenant: Arc::default(), name: name.into() },
        pattern,
        filter: filter.map(|filter| Arc::new(move |event: &Event| filter.matches(event)) as _),
        start,
        ack,
        backoff,
        max_deliveries,
        in_flight: if acknowledge { in_flight as usize } else { 1 },
        explicit: acknowledge,
        live: false,
        priority: 0,
    })
}

impl Turns for Gateway {
    fn ready(&self) -> Result<()> {
        let follower = self.follower.upgrade().ok_or_else(over)?;
        let lane = follower.application.upgrade().ok_or_else(over)?;
        lane.push_event(follower)
    }
}

impl Task for Follower {
    fn run(&self, _: &mut Run<'_>) {
        if let Some(consumer) = self.consumer.upgrade() {
            consumer.turn(&mut |claim| Some(self.handle(claim)));
        }
    }

    fn describe(&self) -> String {
        match self.consumer.upgrade() {
            Some(consumer) => format!("the application's durable subscription \"{}\"", consumer.name().name),
            None => "a durable subscription of the application that has ended".into(),
        }
    }
}

impl Follower {
    fn handle(&self, claim: &Claim) -> Result<()> {
        let Claim { event, sequence, attempt, delivery, .. } = claim;
        let receipt = (*delivery != 0).then_some(Receipt { core: self.core, delivery: *delivery });
        let delivery = Delivery { event, sequence: *sequence, attempt: *attempt, receipt };
        let done = match catch_unwind(AssertUnwindSafe(|| (self.handler)(delivery))) {
            Ok(done) => done,
            Err(panic) => {
                let text = format!("the application's handler panicked: {}", panic_text(&*panic));
                Err(Error::new(ErrorKind::Panic, text))
            }
        };
        if let Err(error) = &done {
            let about = format!("event {} {}, delivery {attempt}", event.topic.as_str(), event.id);
            self.core.report_failure(error, &about);
        }
        done
    }
}
