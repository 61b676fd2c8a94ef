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
//! delivered next, [`state`] what else changes in its life, [`counts`] what is counted of all of them, [`keeper`] is the one thread that looks after deadlines, retries and retention, [`running`] the file of what is being
//! handled. Knows nothing of plugins: an owner is a number, and handlers are run by whoever is told by [`Turns`].
//!
//! Locks, in the order in which they may be taken: the register of consumers, a consumer's state, deliveries, recent events, the keeper's
//! plan. None is held while [`Turns::ready`], a handler or the log is called.

#[cfg(test)]
mod conformance;
mod consumer;
mod counts;
#[cfg(test)]
mod fake;
mod keeper;
pub(crate) mod ledger;
pub(crate) mod log;
#[cfg(test)]
mod model;
#[cfg(test)]
mod random;
mod recent;
mod running;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

pub(crate) use self::consumer::Consumer;
pub use self::counts::DurableTotals;
use self::{
    counts::Counts,
    keeper::Keeper,
    log::{Appended, ConsumerName, Dedupe, EventLog, Logged, NewEvent, Of, Page, Retention, Start},
    recent::Recent,
    running::Running,
    window::Now,
};
use super::{Counters, Draft, Emitted, Event, Events, Pattern, Publisher, Subscription};
use crate::{
    error::{Error, ErrorKind, Result},
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
    /// Those with a higher one are told of an event first, and those with the same in the order in which they were made.
    pub priority: i32,
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
    pub name: ConsumerName,
    pub pattern: Pattern,
    /// Its counts, as of any subscription: `failed` are dead letters, `waiting` what has been read of the log and not been delivered.
    pub counters: Counters,
    /// Attempts that have failed, those of dead letters included.
    pub failures: u64,
    /// Events that are delivered and neither acknowledged nor failed.
    pub in_flight: u64,
    /// Events that have failed and wait to come again.
    #[cfg(test)]
    pub retries: u64,
    /// How many events of the log are behind what it has looked at, whether they are for it or not.
    #[cfg(test)]
    pub behind: u64,
}

/// How many events are read at once.
const PAGE: usize = 128;

/// How long [`Durable::close`] notes what was acknowledged.
const CLOSING: Duration = Duration::from_secs(2);

/// What the engine, its consumers and its thread share.
struct Core {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    running: Running,
    retention: Retention,
    report: Report,
    keeper: Keeper,
    register: RwLock<Register>,
    /// Which consumer has which position.
    attached: Mutex<HashMap<u64, Weak<Consumer>>>,
    /// The deliveries that can be acknowledged: whose, and which event.
    deliveries: Mutex<HashMap<u64, (Weak<Consumer>, u64)>>,
    last_token: AtomicU64,
    /// The newest sequence of the log that is known here.
    head: AtomicU64,
    recent: Mutex<Recent>,
    counts: Counts,
    /// Nothing is reported any more.
    closed: AtomicBool,
}

#[derive(Default)]
struct Register {
    consumers: Vec<Arc<Consumer>>,
    /// Those that are over, and have something to be noted yet.
    ending: Vec<Arc<Consumer>>,
    closing: bool,
}

impl Durable {
    /// An engine without subscriptions; its thread starts with it.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the log, the file of what is being handled, or no thread.
    pub(crate) fn new(options: DurableOptions) -> Result<Self> {
        let head = options.log.extent()?.last;
        let running = Running::open(&options.running)?;
        let core = Arc::new(Core {
            keeper: Keeper::new(&*options.clock),
            log: options.log,
            clock: options.clock,
            running,
            retention: options.retention,
            report: options.report,
            register: RwLock::default(),
            attached: Mutex::default(),
            deliveries: Mutex::default(),
            last_token: AtomicU64::new(0),
            head: AtomicU64::new(head),
            recent: Mutex::default(),
            counts: Counts::default(),
            closed: AtomicBool::new(false),
        });
        core.forget_crashes_of_nobody()?;
        keeper::start(&core)?;
        Ok(Self { core })
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
        super::check(&draft, wait)?;
        // Before it is written: what is written is told, whatever comes in between.
        let mut matching = events.route(&draft.topic, &draft.tenant)?;
        let dedupe = match draft.id {
            Some(_) => Dedupe::Within(self.core.retention.dedupe_ms),
            None => Dedupe::Never,
        };
        let event = Arc::new(events.stamp(draft));
        let appended = self.core.log.append(&[NewEvent { event: Arc::clone(&event), dedupe }])?;
        self.core.counts.appended(&appended);
        match appended.first() {
            Some(Appended { sequence, duplicate: false }) => {
                matching.retain(|subscription| subscription.wants(&event));
                Ok(self.tell(events, publisher, &matching, *sequence, event, wait))
            }
            _ => Ok(Emitted::default()),
        }
    }

    /// Tells everybody of an event that was written.
    fn tell(
        &self,
        events: &Events,
        publisher: Option<Publisher<'_>>,
        matching: &[Arc<Subscription>],
        sequence: u64,
        event: Arc<Event>,
        wait: Duration,
    ) -> Emitted {
        let logged_ms = self.core.clock.now_ms();
        let logged = Logged { sequence, logged_ms, only: None, event: Arc::clone(&event) };
        // First, for the others may have to be waited for.
        let durable = self.core.written(&[logged]);
        events.emitted.fetch_add(1, Ordering::Relaxed);
        let emitted = events.offer(publisher, matching, &event, wait);
        events.count(matching, emitted, durable);
        emitted
    }

    /// Subscribes. `turns` is told when there is something to deliver, and may be before this returns.
    ///
    /// # Errors
    ///
    /// CONFLICT if the owner has a subscription of that name under that tenant, durable or not; INVALID_ARGUMENT: the name; OUT_OF_RANGE:
    /// the priority; STOPPING
    /// after the end of the engine; UNAVAILABLE if its position cannot be read or made.
    pub(crate) fn subscribe(
        &self,
        events: &Arc<Events>,
        request: DurableRequest,
        turns: Arc<dyn Turns>,
    ) -> Result<Arc<Consumer>> {
        super::check_priority(request.priority)?;
        let stopping = || Error::new(ErrorKind::Stopping, "the events of this host have been shut down");
        if self.core.register.read().closing {
            return Err(stopping());
        }
        let name = register_name(request.owner, &request.name);
        events.reserve(name.clone())?;
        let position =
            self.core.log.join(&request.name, request.start).inspect_err(|_| events.free(&name))?;
        let core = Arc::clone(&self.core);
        let consumer = Consumer::new(core, Arc::clone(events), position.consumer, request, turns);
        {
            let mut register = self.core.register.write();
            if register.closing {
                events.free(&name);
                return Err(stopping());
            }
            let at = register.consumers.partition_point(|other| other.priority >= consumer.priority);
            register.consumers.insert(at, Arc::clone(&consumer));
        }
        // Events that were written since it has a position woke nobody.
        consumer.poke();
        Ok(consumer)
    }

    /// Ends a subscription: what is delivered and not acknowledged is as if it had not been delivered, and comes again to whoever
    /// subscribes under the name next. A handler that runs is not waited for; its OK still counts. Ending it twice does nothing.
    pub(crate) fn unsubscribe(&self, consumer: &Arc<Consumer>) {
        {
            let mut register = self.core.register.write();
            let Some(at) = register.consumers.iter().position(|other| Arc::ptr_eq(other, consumer)) else {
                return;
            };
            let consumer = register.consumers.remove(at);
            consumer.end();
            register.ending.push(consumer);
        }
        consumer.events.free(&register_name(consumer.owner, consumer.name()));
        self.core.forget_deliveries(&Arc::downgrade(consumer));
        self.core.plan(Duration::ZERO);
    }

    /// Acknowledges a delivery. On disk soon, not when this returns.
    ///
    /// # Errors
    ///
    /// STALE_HANDLE: it is over, or another owner's.
    pub(crate) fn ack(&self, owner: u64, delivery: u64) -> Result<()> {
        self.core.answer(owner, delivery, None)
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
        self.core.answer(owner, delivery, Some((delay, reason)))
    }

    /// All durable subscriptions that there are now, in the order in which they are told of an event.
    #[must_use]
    pub(crate) fn consumers(&self) -> Vec<DurableReport> {
        self.core.register.read().consumers.iter().map(|consumer| consumer.report()).collect()
    }

    /// What became of all durable events since the engine was made.
    #[must_use]
    pub(crate) fn totals(&self) -> DurableTotals {
        self.core.counts.totals()
    }

    /// Where events and positions are kept.
    #[must_use]
    pub(crate) fn log(&self) -> &Arc<dyn EventLog> {
        &self.core.log
    }

    /// Has these dead letters delivered again, each to its consumer; tells how many there were.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the log.
    pub(crate) fn replay(&self, numbers: &[u64]) -> Result<u64> {
        let events = self.core.log.replay(numbers)?;
        self.core.counts.replayed(events.len());
        self.core.written(&events);
        Ok(events.len() as u64)
    }

    /// Writes events that come from an outbox, and tells those that they are for. One that was written before is not told again.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the log, or the end of the engine of events.
    pub(crate) fn publish(&self, events: &Events, published: Vec<Event>) -> Result<()> {
        let mut fresh = Vec::with_capacity(published.len());
        for event in published {
            let mut matching = events.route(&event.topic, &event.tenant)?;
            matching.retain(|subscription| subscription.wants(&event));
            fresh.push((Arc::new(event), matching));
        }
        let new = |(event, _): &(Arc<Event>, _)| NewEvent { event: Arc::clone(event), dedupe: Dedupe::Known };
        let appended = self.core.log.append(&fresh.iter().map(new).collect::<Vec<_>>())?;
        self.core.counts.appended(&appended);
        for ((event, matching), Appended { sequence, duplicate }) in fresh.into_iter().zip(appended) {
            if !duplicate {
                self.tell(events, None, &matching, sequence, event, Duration::ZERO);
            }
        }
        Ok(())
    }

    /// Delivers nothing any more, and notes what was acknowledged as far as the log takes it at once. Safe to call again.
    pub(crate) fn close(&self) {
        let consumers: Vec<_> = {
            let mut register = self.core.register.write();
            register.closing = true;
            let Register { consumers, ending, .. } = &mut *register;
            consumers.drain(..).chain(ending.drain(..)).collect()
        };
        self.core.keeper.stop();
        let until = self.core.clock.monotonic() + CLOSING;
        for consumer in consumers {
            if consumer.end() {
                consumer.events.free(&register_name(consumer.owner, consumer.name()));
            }
            if self.core.clock.monotonic() < until {
                consumer.settle(true);
            }
        }
        self.core.deliveries.lock().clear();
        self.core.log.close();
        self.core.closed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("head", &self.core.head()).finish_non_exhaustive()
    }
}

impl Core {
    fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() }
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::SeqCst)
    }

    /// Numbers a delivery.
    fn token(&self) -> u64 {
        self.last_token.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells what goes wrong where nobody waits for an answer.
    fn complain(&self, error: &Error) {
        if !self.closed.load(Ordering::Relaxed) {
            (self.report)(error);
        }
    }

    /// The thread is to look after the consumers at this time, or before.
    fn plan(&self, at: Duration) {
        self.keeper.plan(at);
    }

    /// Events are in the log: wakes the consumers that they are for, and tells whether there are any.
    fn written(&self, events: &[Logged]) -> bool {
        let Some(last) = events.iter().map(|logged| logged.sequence).max() else { return false };
        // Before anybody is looked for: who comes later looks at this.
        self.head.fetch_max(last, Ordering::SeqCst);
        let consumers = self.register.read().consumers.clone();
        if !consumers.is_empty() {
            let mut recent = self.recent.lock();
            events.iter().for_each(|logged| recent.add(logged));
        }
        self.keeper.appended(self.clock.monotonic());
        let mut any = false;
        for consumer in consumers {
            if events.iter().any(|logged| consumer.wants(logged)) {
                any = true;
                consumer.wake();
            }
        }
        any
    }

    /// Some events of the log, from memory if they are there.
    fn page(&self, after: u64, tenant: &str) -> Result<Page> {
        if let Some(page) = self.recent.lock().after(after) {
            return Ok(page);
        }
        self.log.read(after, (!tenant.is_empty()).then_some(tenant), PAGE)
    }

    fn delivery_begins(&self, delivery: u64, consumer: &Weak<Consumer>, sequence: u64) {
        self.deliveries.lock().insert(delivery, (Weak::clone(consumer), sequence));
    }

    fn delivery_over(&self, delivery: u64) {
        self.deliveries.lock().remove(&delivery);
    }

    fn forget_deliveries(&self, of: &Weak<Consumer>) {
        self.deliveries.lock().retain(|_, (consumer, _)| !consumer.ptr_eq(of));
    }

    fn answer(&self, owner: u64, delivery: u64, nack: Option<(Option<Duration>, &str)>) -> Result<()> {
        let found = self.deliveries.lock().get(&delivery).cloned();
        let found = found.and_then(|(consumer, sequence)| Some((consumer.upgrade()?, sequence)));
        match found {
            Some((consumer, sequence))
                if consumer.owner == owner && consumer.answer(sequence, delivery, nack) =>
            {
                Ok(())
            }
            _ => Err(Error::new(
                ErrorKind::StaleHandle,
                "the delivery is over: it was answered, its deadline has passed, or its subscription has ended",
            )),
        }
    }

    /// A position has been let go of: who waits for it can have it.
    fn position_free(&self, number: u64) {
        let mut consumers = self.register.read().consumers.clone();
        consumers.retain(|consumer| consumer.number == number);
        for consumer in consumers {
            consumer.unblock();
        }
    }

    /// What the last process did not survive of consumers that are not there any more.
    fn forget_crashes_of_nobody(&self) -> Result<()> {
        let found = self.running.found();
        if found.is_empty() {
            return Ok(());
        }
        let known = self.log.consumers(&Of::default())?;
        let known: HashSet<_> = known.iter().map(|known| known.consumer).collect();
        for gone in found.iter().filter(|consumer| !known.contains(consumer)) {
            self.running.applied(*gone)?;
        }
        Ok(())
    }
}

/// As what the name of a consumer is registered, beside those of transient subscriptions.
fn register_name(owner: u64, name: &ConsumerName) -> super::Name {
    let tenant = (!name.tenant.is_empty()).then(|| Arc::clone(&name.tenant));
    (owner, tenant, Arc::clone(&name.name))
}
