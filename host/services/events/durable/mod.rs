//! Durable events: written to a log before anybody is told of them, and delivered to each consumer until it has acknowledged them.
//!
//! ```text
//! Durable ── emit ──> EventLog ──> Recent ──┐
//!    │                   ^                  v
//!    ├── Keeper ── tend ─┴── Consumer ── Window ──> Turns (the plugin's lane) ──> Consumer::turn
//!    └── Running: what is being handled, for the case that the process ends meanwhile
//! ```
//!
//! [`log`] says what a log does, [`consumer`] is a durable subscription while it lasts, [`window`] knows which of its events may be
//! delivered next, [`keeper`] is the one thread that looks after deadlines, retries and retention, [`running`] the file of what is being
//! handled. Knows nothing of plugins: an owner is a number, and handlers are run by whoever is told by [`Turns`].
//!
//! Locks, in the order in which they may be taken: the register of consumers, a consumer's state, deliveries, recent events, the keeper's
//! plan. None is held while [`Turns::ready`], a handler or the log is called.
#![allow(dead_code, reason = "the boundary comes next")]

mod consumer;
pub(crate) mod ledger;
pub(crate) mod log;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

pub(crate) use self::consumer::Consumer;
use self::log::{ConsumerName, EventLog, Logged, Retention, Start};
use super::{Counters, Draft, Emitted, Event, Events, Pattern, Publisher};
use crate::{
    error::{Error, Result},
    services::clock::Clock,
};

/// Which events a subscription is for, beside its pattern.
pub(crate) type Filter = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// Where the engine reports what goes wrong while nobody waits for an answer. Called without any lock of the engine.
pub(crate) type Report = Box<dyn Fn(&Error) + Send + Sync>;

/// The durable events of one host.
pub(crate) struct Durable {
    core: Arc<Core>,
}

/// What the engine is made of.
pub(crate) struct DurableOptions {
    /// Where events and positions are kept.
    pub log: Arc<dyn EventLog>,
    pub clock: Arc<dyn Clock>,
    /// The file that says what is being handled. Made if it is not there.
    pub running: PathBuf,
    pub retention: Retention,
    pub report: Report,
}

/// What a durable subscriber asks for.
#[derive(Clone)]
pub(crate) struct DurableRequest {
    /// Who asks: a number that means nothing here.
    pub owner: u64,
    /// Under which name its position is kept. The name within is not empty.
    pub name: ConsumerName,
    /// Which topics. That the owner may have them was checked before.
    pub pattern: Pattern,
    /// Which of those; none: all.
    pub filter: Option<Filter>,
    /// Where it begins if it has no position yet.
    pub start: Start,
    /// How long a delivery may take from the start of the handler.
    pub ack: Duration,
    /// How long an event waits after its first failure. Each further failure doubles it, up to an hour.
    pub backoff: Duration,
    /// After how many deliveries an event that was not acknowledged is a dead letter.
    pub max_deliveries: u32,
    /// How many events may be delivered and neither acknowledged nor failed.
    pub in_flight: usize,
    /// Whether an event is acknowledged by [`Durable::ack`], not by the OK of its handler.
    pub explicit: bool,
    /// Whether it gets events at once, or only after [`Consumer::set_live`].
    pub live: bool,
}

/// What the engine needs of the outside: somebody who runs a consumer's handlers.
pub(crate) trait Turns: Send + Sync {
    /// There is something to deliver: see to it that [`Consumer::turn`] is called once, on the plugin's lane, not from within this call.
    /// Never blocks and must not panic; called on any thread, without any lock of the engine.
    ///
    /// An error says that this will not happen (the lane is stuck, full or gone): nothing was claimed, and it is tried again later.
    fn ready(&self) -> Result<()>;
}

/// A delivery: one attempt at one event.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub event: Arc<Event>,
    /// The event's number in the log.
    pub sequence: u64,
    /// Which delivery of the event to this consumer it is, from 1.
    pub attempt: u32,
    /// What [`Durable::ack`] and [`Durable::nack`] know it by; 0: the OK of the handler acknowledges it.
    pub delivery: u64,
    /// When it counts as failed, by the monotonic time of the clock.
    pub deadline: Duration,
}

/// A durable subscription as a report shows it.
#[derive(Clone, Debug)]
pub(crate) struct DurableReport {
    pub owner: u64,
    pub name: ConsumerName,
    pub pattern: Pattern,
    /// Its counts, as of any subscription: `failed` are dead letters, `waiting` what has been read of the log and not been delivered.
    pub counters: Counters,
    /// Attempts that have failed, those of dead letters included.
    pub failures: u64,
    /// Events that are delivered and neither acknowledged nor failed.
    pub in_flight: u64,
    /// Events that have failed and wait to come again.
    pub retries: u64,
    /// How many events of the log are behind what it has looked at, whether they are for it or not.
    pub behind: u64,
}

struct Core;

impl Durable {
    /// An engine without subscriptions; its thread starts with it.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the log, the file of what is being handled, or no thread.
    pub(crate) fn new(options: DurableOptions) -> Result<Self> {
        let _ = options;
        unimplemented!()
    }

    /// Writes an event to the log, and then tells durable consumers and transient subscriptions that match. An event that was written
    /// before is not told again. `wait`: as in [`Events::emit`].
    ///
    /// # Errors
    ///
    /// As [`Events::emit`]; and UNAVAILABLE where it cannot be written. Then nobody gets it.
    pub(crate) fn emit(
        &self,
        events: &Events,
        publisher: Option<Publisher<'_>>,
        draft: Draft,
        wait: Duration,
    ) -> Result<Emitted> {
        let _ = (events, publisher, draft, wait);
        unimplemented!()
    }

    /// Subscribes. `turns` is told when there is something to deliver, and may be before this returns.
    ///
    /// # Errors
    ///
    /// CONFLICT if the owner has a subscription of that name under that tenant, durable or not; STOPPING after the end of the engine;
    /// UNAVAILABLE if its position cannot be read or made.
    pub(crate) fn subscribe(
        &self,
        events: &Arc<Events>,
        request: DurableRequest,
        turns: Arc<dyn Turns>,
    ) -> Result<Arc<Consumer>> {
        let _ = (events, request, turns);
        unimplemented!()
    }

    /// Ends a subscription: what is delivered and not acknowledged is as if it had not been delivered, and comes again to whoever
    /// subscribes under the name next. A handler that runs is not waited for; its OK still counts. Ending it twice does nothing.
    pub(crate) fn unsubscribe(&self, consumer: &Arc<Consumer>) {
        let _ = consumer;
        unimplemented!()
    }

    /// Acknowledges a delivery. On disk soon, not when this returns.
    ///
    /// # Errors
    ///
    /// STALE_HANDLE: it is over, or another owner's.
    pub(crate) fn ack(&self, owner: u64, delivery: u64) -> Result<()> {
        let _ = (owner, delivery);
        unimplemented!()
    }

    /// Says that a delivery has failed: the event comes again after `delay` (none: after the back-off), or is a dead letter.
    ///
    /// # Errors
    ///
    /// STALE_HANDLE: it is over, or another owner's.
    pub(crate) fn nack(
        &self,
        owner: u64,
        delivery: u64,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<()> {
        let _ = (owner, delivery, delay, reason);
        unimplemented!()
    }

    /// All durable subscriptions that there are now, in the order in which they were made.
    #[must_use]
    pub(crate) fn consumers(&self) -> Vec<DurableReport> {
        unimplemented!()
    }

    /// Where events and positions are kept.
    #[must_use]
    pub(crate) fn log(&self) -> &Arc<dyn EventLog> {
        unimplemented!()
    }

    /// Has these dead letters delivered again, each to its consumer; tells how many there were.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the log.
    pub(crate) fn replay(&self, numbers: &[u64]) -> Result<u64> {
        let _ = numbers;
        unimplemented!()
    }

    /// Writes events that come from an outbox, and tells those that they are for. One that was written before is not told again.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the log, or the end of the engine of events.
    pub(crate) fn publish(&self, events: &Events, published: Vec<Event>) -> Result<()> {
        let _ = (events, published);
        unimplemented!()
    }

    /// Events were written to the log by others: tells the consumers that match.
    pub(crate) fn written(&self, events: &[Logged]) {
        let _ = events;
        unimplemented!()
    }

    /// Delivers nothing any more, and notes what was acknowledged as far as the log takes it at once. Safe to call again.
    pub(crate) fn close(&self) {
        unimplemented!()
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").finish_non_exhaustive()
    }
}
