//! Durable subscriptions of the application: closures that are called until they answer OK.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Application, OWNER, over};
use crate::{
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
    /// How long the handler may take, a millisecond to an hour. Then the delivery has failed, and its answer no longer counts.
    pub ack: Duration,
    /// How long an event waits after its first failure, a millisecond to an hour. Each further failure doubles it, up to an hour.
    pub backoff: Duration,
    /// After how many deliveries an event that always fails becomes a dead letter, 1 to 1,000.
    pub max_deliveries: u32,
}

impl Default for DurableOptions {
    /// New events, all of them, 30 seconds, back-off from one second, ten deliveries.
    fn default() -> Self {
        Self {
            start: Start::New,
            filter: None,
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
}

type Handler = Box<dyn Fn(Delivery<'_>) -> Result<()> + Send + Sync>;

/// One closure: what the engine tells that there is something to deliver, and the task that stands in the lane then.
pub(super) struct Follower {
    application: Weak<Lane>,
    core: &'static crate::boundary::Core,
    handler: Handler,
    consumer: Weak<Consumer>,
}

struct Gateway {
    follower: Weak<Follower>,
}

impl Application {
    /// Calls `handler` with each durable event whose topic matches, of every tenant, until it answers OK.
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
    let DurableOptions { start, filter, ack, backoff, max_deliveries } = options;
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
    if !(1..=1_000).contains(&max_deliveries) {
        let text = format!("argument `options.max_deliveries`: {max_deliveries}, 1 to 1,000 are taken");
        return Err(Error::new(ErrorKind::OutOfRange, text));
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
        in_flight: 1,
        explicit: false,
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
        let Claim { event, sequence, attempt, .. } = claim;
        let delivery = Delivery { event, sequence: *sequence, attempt: *attempt };
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
