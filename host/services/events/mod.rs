//! The event engine: who publishes what, who gets it, and what becomes of it when they do not keep up.
//!
//! Transient events: at most once to each subscription that matches, in order for each, and never at the cost of the
//! publisher, which waits for no handler. Open next: [`topic`] for what matches what, [`subscription`] for queues and
//! policies, [`filter`] for what else a subscription may ask of an event, [`waiter`] for publishers that wait for room, [`sync`] for those that wait for answers, [`cloud`] for
//! CloudEvents as JSON. The engine knows nobody outside but [`Deliver`], who runs handlers, and [`Clock`]; which topics
//! a plugin may publish and subscribe to is decided before.
//!
//! Locks, in the order in which they may be taken: the register, the routes, a subscription's queue, the totals, a waiter or an
//! answer; the list of waiters, a waiter. None is held while [`Deliver`] is called.

mod batch;
#[cfg(test)]
mod batch_tests;
pub(crate) mod cloud;
mod counters;
pub(crate) mod durable;
mod event;
pub(crate) mod filter;
mod routes;
#[cfg(test)]
mod routes_tests;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod topic;
mod waiter;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

pub(crate) use self::{
    batch::Batch,
    durable::{
        Claim, Consumer, Durable, DurableOptions, DurableRequest, Turns,
        ledger::LedgerLog,
        log::{ConsumerName, Retention},
    },
    subscription::{Deliver, Subscription},
    sync::{Answer, Asked, Delivery, Expected},
    topic::PatternToken,
    waiter::Publisher,
};
pub use self::{
    counters::{Counters, Drops, Emitted, SubscriptionReport, Totals},
    durable::log::Start,
    event::{Draft, Event, Extension},
    filter::Filter,
    subscription::Policy,
    sync::{HandlerResult, Outcome},
    topic::{Pattern, Topic},
};
use self::{
    routes::Routes,
    subscription::{Offer, Queue, Waiting},
    waiter::{Waiter, Waiters},
};
use crate::error::{Error, ErrorKind, Result};

/// How many events may wait in a subscription that does not say.
pub(crate) const DEFAULT_CAPACITY: usize = 1_024;

/// The most events that may wait in one subscription.
pub(crate) const MAX_CAPACITY: usize = 65_536;

/// The longest that a publisher may wait for room.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);

/// The highest priority of a subscription, and below zero the lowest.
pub(crate) const MAX_PRIORITY: i32 = 1_000;

const MAX_NAME_BYTES: usize = 128;

/// Tells the time of day; any closure that does is one.
pub(crate) trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn unix_ms(&self) -> i64;
}

impl<F: Fn() -> i64 + Send + Sync> Clock for F {
    fn unix_ms(&self) -> i64 {
        self()
    }
}

/// The event engine of one host.
pub(crate) struct Events {
    clock: Box<dyn Clock>,
    /// Publishers do without it.
    register: Mutex<Register>,
    /// Where events go; changed under the register alone.
    routes: RwLock<Routes>,
    /// Set under the register.
    shut_down: AtomicBool,
    waiters: Waiters,
    /// Of subscriptions that are over, by owner; what counts publishers is beside it.
    ended: Arc<Mutex<HashMap<u64, Counters>>>,
    emitted: AtomicU64,
    unheard: AtomicU64,
    /// Ids are `<prefix>-<number>`: no other engine, process or machine has this prefix.
    id_prefix: String,
    id_number: AtomicU64,
}

#[derive(Default)]
struct Register {
    by_number: BTreeMap<u64, Arc<Subscription>>,
    names: HashSet<Name>,
    last_number: u64,
}

/// The subscriptions that an event is for, and the event, if there are any.
type Matching = (Vec<Arc<Subscription>>, Option<Arc<Event>>);

/// What must be unique: a name within owner and tenant.
type Name = (u64, Option<Arc<str>>, Arc<str>);

/// What a subscriber asks for.
#[derive(Clone, Debug)]
pub(crate) struct SubscribeRequest {
    /// Who asks: a number that means nothing here.
    pub owner: u64,
    /// Whose events it is to see; None: the system scope, which sees those of every tenant.
    pub tenant: Option<Arc<str>>,
    /// Which topics. That the owner may have them was checked before.
    pub pattern: Pattern,
    /// The name, at most 128 bytes, unique within owner and tenant; empty: the pattern.
    pub name: String,
    /// How many events may wait, at most 65,536; 0: 1,024.
    pub capacity: usize,
    /// What happens when that many wait.
    pub policy: Policy,
    /// Which of the events of these topics; None: all.
    pub filter: Option<Filter>,
    /// Of the subscriptions of one event those with a higher number get it first; -1,000 to 1,000.
    pub priority: i32,
    /// Whether it takes events at once, or only after [`Subscription::set_live`].
    pub live: bool,
    /// Whether publishers that wait for answers wait for its; not if it only listens in.
    pub answers: bool,
}

impl SubscribeRequest {
    /// With all defaults, live at once.
    #[must_use]
    pub(crate) fn new(owner: u64, tenant: Option<Arc<str>>, pattern: Pattern) -> Self {
        Self {
            owner,
            tenant,
            pattern,
            name: String::new(),
            capacity: 0,
            policy: Policy::default(),
            filter: None,
            priority: 0,
            live: true,
            answers: true,
        }
    }
}

impl Events {
    /// An engine that nobody has subscribed to yet.
    pub(crate) fn new(clock: impl Clock + 'static) -> Self {
        // Each `RandomState` has keys of its own, drawn from the system; time and process are mixed in for platforms
        // where those are poor.
        let id_prefix =
            format!("{:016x}", RandomState::new().hash_one((clock.unix_ms(), std::process::id())));
        Self {
            clock: Box::new(clock),
            register: Mutex::default(),
            routes: RwLock::default(),
            shut_down: AtomicBool::new(false),
            waiters: Waiters::default(),
            ended: Arc::default(),
            emitted: AtomicU64::new(0),
            unheard: AtomicU64::new(0),
            id_prefix,
            id_number: AtomicU64::new(0),
        }
    }

    /// Subscribes. `deliver` is told of each event that is queued, and may be before this returns.
    ///
    /// CONFLICT if the owner has a subscription of that name under that tenant; OUT_OF_RANGE: the priority; STOPPING after
    /// [`shutdown`](Self::shutdown).
    pub(crate) fn subscribe(
        &self,
        request: SubscribeRequest,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Arc<Subscription>> {
        let capacity = match request.capacity {
            0 => DEFAULT_CAPACITY,
            1..=MAX_CAPACITY => request.capacity,
            over => return Err(Error::argument("capacity", format!("is {over}, at most {MAX_CAPACITY}"))),
        };
        check_priority(request.priority)?;
        if request.tenant.as_deref() == Some("") {
            // Taking it for the system scope would show one caller's mistake every tenant's events.
            return Err(Error::argument("tenant", "is empty, the system scope is no tenant"));
        }
        let name: Arc<str> = match request.name.as_str() {
            "" => request.pattern.as_str().into(),
            name => {
                check_name(name)?;
                name.into()
            }
        };

        let subscriber = deliver.subscriber();
        let mut register = self.register.lock();
        if self.is_shut_down() {
            return Err(stopping());
        }
        register.take_name((request.owner, request.tenant.clone(), Arc::clone(&name)))?;
        register.last_number += 1;
        let subscription = Arc::new(Subscription {
            number: register.last_number,
            owner: request.owner,
            subscriber,
            tenant: request.tenant,
            name,
            pattern: request.pattern,
            capacity,
            policy: request.policy,
            filter: request.filter,
            priority: request.priority,
            answers: request.answers,
            deliver,
            queue: Mutex::new(Queue::new(request.live, request.owner, Arc::downgrade(&self.ended))),
        });
        self.routes.write().insert(Arc::clone(&subscription));
        register.by_number.insert(subscription.number, Arc::clone(&subscription));
        Ok(subscription)
    }

    /// Publishes an event to each subscription that matches and answers what became of it, without waiting for any
    /// handler. `wait`: how long it may wait, in all, for room where the policy is to.
    ///
    /// A full queue is no error. REENTRANT if too many events led to this one; TOO_LARGE; INVALID_ARGUMENT;
    /// UNAVAILABLE after [`shutdown`](Self::shutdown). That the publisher may use the topic was checked before.
    pub(crate) fn emit(&self, draft: Draft, wait: Duration) -> Result<Emitted> {
        self.publish(None, draft, wait)
    }

    /// As [`emit`](Self::emit), on behalf of somebody who can be stopped: a wait for room ends with
    /// [`stop_waits`](Self::stop_waits), and does not begin when it is stopping. Where there is still no room then,
    /// the event is dropped, as at the end of `wait`; that is no error, for others may have it already.
    pub(crate) fn emit_as(&self, publisher: Publisher<'_>, draft: Draft, wait: Duration) -> Result<Emitted> {
        self.publish(Some(publisher), draft, wait)
    }

    /// Lets everybody go on who waits for room on behalf of a publisher, which says that it is stopping already.
    pub(crate) fn stop_waits(&self, publisher: u64) {
        self.waiters.stop(publisher);
    }

    fn publish(&self, publisher: Option<Publisher<'_>>, draft: Draft, wait: Duration) -> Result<Emitted> {
        check(&draft, wait)?;
        let (matching, event) = self.matching(draft)?;
        self.emitted.fetch_add(1, Ordering::Relaxed);
        let mut emitted = Emitted::default();
        if let Some(event) = event {
            emitted = self.offer(publisher, &matching, &event, wait);
        }
        self.count(&matching, emitted, false);
        Ok(emitted)
    }

    /// Offers an event to each of the subscriptions, and waits for room where those are willing to.
    fn offer(
        &self,
        publisher: Option<Publisher<'_>>,
        matching: &[Arc<Subscription>],
        event: &Arc<Event>,
        wait: Duration,
    ) -> Emitted {
        let mut emitted = Emitted::default();
        let patient = !wait.is_zero();
        let mut full = Vec::new();
        for subscription in matching {
            match subscription.offer(event, patient) {
                Offer::Full => full.push(subscription),
                settled => emitted.add(settled),
            }
        }
        if !full.is_empty() {
            let waiter = Arc::new(Waiter::default());
            let _listed = publisher.map(|publisher| self.waiters.list(publisher, &waiter));
            wait_for_room(full, event, &waiter, Instant::now() + wait, &mut emitted);
        }
        emitted
    }

    /// The subscriptions that an event is for, in the order in which they get it, and the event, if there are any.
    fn matching(&self, draft: Draft) -> Result<Matching> {
        let mut matching = self.route(&draft.topic, &draft.tenant)?;
        if matching.is_empty() {
            return Ok((matching, None));
        }
        let event = self.stamp(draft);
        matching.retain(|subscription| subscription.wants(&event));
        let heard = !matching.is_empty();
        Ok((matching, heard.then(|| Arc::new(event))))
    }

    /// The subscriptions whose patterns match, whatever their filters say of the event.
    fn route(&self, topic: &Topic, tenant: &str) -> Result<Vec<Arc<Subscription>>> {
        if self.is_shut_down() {
            return Err(Error::new(ErrorKind::Unavailable, "the events of this host have been shut down"));
        }
        Ok(self.routes.read().matching(topic, tenant))
    }

    fn stamp(&self, draft: Draft) -> Event {
        draft.stamp(|| self.next_id(), self.clock.unix_ms())
    }

    /// Takes the name of a durable subscription, which is given free when that is over.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT; CONFLICT if it is taken; STOPPING.
    fn reserve(&self, name: Name) -> Result<()> {
        let (_, _, text) = &name;
        // A pattern, which may be longer than a name, is one too.
        if Pattern::parse(text).is_err() {
            check_name(text)?;
        }
        let mut register = self.register.lock();
        if self.is_shut_down() {
            return Err(stopping());
        }
        register.take_name(name)
    }

    /// Gives the name of a durable subscription free.
    fn free(&self, name: &Name) {
        self.register.lock().names.remove(name);
    }

    /// An event was offered to all subscriptions that it was for. `durable`: it is for a durable one, too.
    fn count(&self, matching: &[Arc<Subscription>], emitted: Emitted, durable: bool) {
        if emitted.dropped + emitted.displaced > 0 {
            for subscription in matching {
                subscription.deliver.dropped(subscription);
            }
        }
        if emitted.matched == 0 && !durable {
            self.unheard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends a subscription: what waits in its queue is dropped, publishers that wait for it go on, and its name is
    /// free. A handler that runs is not waited for. Ending it twice does nothing.
    pub(crate) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        let mut register = self.register.lock();
        // Numbers are each engine's own: a subscription of another one must not end its namesake here.
        let ours = register.by_number.get(&subscription.number);
        if !ours.is_some_and(|ours| Arc::ptr_eq(ours, subscription)) {
            return;
        }
        register.by_number.remove(&subscription.number);
        self.routes.write().remove(subscription);
        register.names.remove(&(
            subscription.owner,
            subscription.tenant.clone(),
            Arc::clone(&subscription.name),
        ));
        // Under the lock, so that `totals` finds its counts in one place and never in two or none.
        subscription.end();
    }

    /// Takes no more events and no more subscriptions, and lets publishers that wait go on. What is queued stays, for
    /// the lanes to finish, but for events whose publishers wait for the answer: the lanes may be closed before that.
    pub(crate) fn shutdown(&self) {
        let register = self.register.lock();
        self.shut_down.store(true, Ordering::SeqCst);
        for subscription in register.by_number.values() {
            subscription.hurry();
        }
    }

    /// All subscriptions, in the order in which they were made.
    #[must_use]
    pub(crate) fn subscriptions(&self) -> Vec<SubscriptionReport> {
        let register = self.register.lock();
        let report = |s: &Arc<Subscription>| SubscriptionReport {
            owner: s.owner,
            tenant: s.tenant.clone(),
            name: Arc::clone(&s.name),
            pattern: s.pattern.clone(),
            capacity: s.capacity,
            policy: s.policy,
            filter: s.filter.clone(),
            priority: s.priority,
            counters: s.counters(),
        };
        register.by_number.values().map(report).collect()
    }

    /// The counts since the engine was made.
    #[must_use]
    pub(crate) fn totals(&self) -> Totals {
        let register = self.register.lock();
        let mut totals = Totals {
            emitted: self.emitted.load(Ordering::Relaxed),
            unheard: self.unheard.load(Ordering::Relaxed),
            counters: Counters::default(),
        };
        for ended in self.ended.lock().values() {
            totals.counters += *ended;
        }
        for subscription in register.by_number.values() {
            totals.counters += subscription.counters();
        }
        totals
    }

    /// The counts of all subscriptions of each owner since the engine was made.
    pub(crate) fn by_owner(&self) -> HashMap<u64, Counters> {
        let register = self.register.lock();
        let mut counts = self.ended.lock().clone();
        for subscription in register.by_number.values() {
            *counts.entry(subscription.owner).or_default() += subscription.counters();
        }
        counts
    }

    fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::SeqCst)
    }

    #[cfg(test)]
    fn is_routed_nowhere(&self) -> bool {
        self.routes.read().is_empty()
    }

    fn next_id(&self) -> Arc<str> {
        // As `{prefix}-{number:x}`, without what formatting costs: every event has one.
        let mut number = self.id_number.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 16 + 1 + 16];
        let mut at = text.len();
        loop {
            at -= 1;
            text[at] = b"0123456789abcdef"[(number & 0xf) as usize];
            number >>= 4;
            if number == 0 {
                break;
            }
        }
        at -= 1;
        text[at] = b'-';
        let begin = at - self.id_prefix.len();
        text[begin..at].copy_from_slice(self.id_prefix.as_bytes());
        std::str::from_utf8(&text[begin..]).expect("all of it is ASCII").into()
    }
}

impl Register {
    /// CONFLICT if the owner has a subscription of that name under that tenant.
    fn take_name(&mut self, name: Name) -> Result<()> {
        let text = Arc::clone(&name.2);
        if self.names.insert(name) {
            return Ok(());
        }
        let problem = format!("there is a subscription with the name {text:?} already");
        Err(Error::new(ErrorKind::Conflict, problem)
            .mend("end that one first, or give this one a name of its own"))
    }
}

/// Why nobody subscribes any more.
fn stopping() -> Error {
    Error::new(ErrorKind::Stopping, "the events of this host have been shut down")
}

fn check_priority(priority: i32) -> Result<()> {
    if (-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority) {
        return Ok(());
    }
    let problem = format!("argument `priority`: {priority}, -{MAX_PRIORITY} to {MAX_PRIORITY} are taken");
    Err(Error::new(ErrorKind::OutOfRange, problem))
}

fn check_name(name: &str) -> Result<()> {
    match name.len() {
        0 => Err(Error::argument("name", "is empty")),
        1..=MAX_NAME_BYTES if name.contains(char::is_control) => {
            Err(Error::argument("name", "has a control character"))
        }
        1..=MAX_NAME_BYTES => Ok(()),
        bytes => {
            Err(Error::argument("name", format!("has {bytes} bytes, at most {MAX_NAME_BYTES} are allowed")))
        }
    }
}

/// That an event can be published, and its publisher wait so long.
fn check(draft: &Draft, wait: Duration) -> Result<()> {
    draft.check()?;
    if wait > MAX_WAIT {
        let problem = format!("is {} ms, at most {} are allowed", wait.as_millis(), MAX_WAIT.as_millis());
        return Err(Error::argument("wait_ms", problem));
    }
    Ok(())
}

impl Emitted {
    /// Counts what became of the event at one subscription.
    fn add(&mut self, offer: Offer) {
        let (queued, dropped, displaced) = match offer {
            Offer::Queued => (1, 0, 0),
            Offer::Displaced => (1, 0, 1),
            Offer::Dropped => (0, 1, 0),
            // An end that came in between is as good as one that came before.
            Offer::Over | Offer::Full => (0, 0, 0),
        };
        self.matched += queued + dropped;
        self.queued += queued;
        self.dropped += dropped;
        self.displaced += displaced;
    }
}

/// Waits for room in several subscriptions at once, so that one that hangs does not keep the event from the others.
fn wait_for_room(
    full: Vec<&Arc<Subscription>>,
    event: &Arc<Event>,
    waiter: &Arc<Waiter>,
    deadline: Instant,
    emitted: &mut Emitted,
) {
    let mut waits = Vec::with_capacity(full.len());
    for subscription in full {
        match Waiting::begin(subscription, waiter) {
            Ok(waiting) => waits.push(waiting),
            Err(_) => emitted.add(subscription.offer(event, false)),
        }
    }
    while !waits.is_empty() {
        let patient = waiter.sleep(deadline);
        waits.retain(|waiting| match waiting.subscription.offer(event, patient) {
            Offer::Full => true,
            settled => {
                emitted.add(settled);
                false
            }
        });
    }
}
