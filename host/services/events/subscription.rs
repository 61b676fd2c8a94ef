//! A subscription: its bounded queue, what happens when that is full, and its counts.
//!
//! The lane of the owner holds tokens that only name a subscription; the events wait here. There is one token for
//! each event that made the queue longer, so there are never fewer tokens than events: an event that takes the place
//! of another brings none, and tokens that outlive their events (after `unsubscribe`) find nothing and do no harm.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::Mutex;

use super::{
    Counters, Event, Filter, Pattern,
    sync::{Answer, Asked, Delivery},
    waiter::Waiter,
};
use crate::error::{Error, ErrorKind, Result};

/// What the engine needs of the outside: somebody who runs the handler of a subscription.
///
/// Called without any lock of the engine, on the publisher's thread.
pub(crate) trait Deliver: Send + Sync {
    /// An event was put into the queue of `subscription`: see to it that [`Subscription::take`] is called once more.
    /// May run host code, never a plugin's. Must not panic.
    ///
    /// An error says that this will not happen (the lane is stuck, full or gone): the event is taken back and counted
    /// as dropped.
    fn ready(&self, subscription: &Arc<Subscription>) -> Result<()>;

    /// Events were dropped just now, perhaps of this subscription: its counters tell. The place to say so.
    fn dropped(&self, _subscription: &Arc<Subscription>) {}

    /// The thread is about to wait for room in the queue of `subscription`. What is returned is kept until it waits
    /// no longer: the place to let another worker in, and to note who waits for whom.
    ///
    /// An error says that it must not wait (only the thread's own lane could make room, or a circle of waiting lanes
    /// would close): the event is dropped at once for want of room.
    fn wait(&self, _subscription: &Arc<Subscription>) -> Result<Box<dyn Any>> {
        Ok(Box::new(()))
    }

    /// The thread is about to wait, until `deadline`, for what the handler of `subscription` answers to an event that
    /// is not queued yet: gives the two sides of that answer. `publisher`: on whose behalf it waits, 0: nobody's who
    /// can be stopped. The lanes let others in and note who waits for whom, as for `wait`.
    ///
    /// REENTRANT and BUSY say that it must not wait: then nobody is asked. Any other error says that the subscriber is
    /// gone.
    fn expect(&self, subscription: &Arc<Subscription>, publisher: u64, deadline: Instant) -> Result<Asked>;

    /// Whose subscriptions they are: a plugin's id, or `application`.
    fn subscriber(&self) -> Arc<str>;
}

/// What happens to a new event when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It takes the place of the oldest one.
    #[default]
    DropOldest,
    /// It is dropped.
    DropNew,
    /// The publisher waits for room, as long as it is willing to; then the new event is dropped.
    Wait,
}

/// One subscriber's standing order, made by [`Events::subscribe`](super::Events::subscribe).
pub(crate) struct Subscription {
    pub(super) number: u64,
    pub(super) owner: u64,
    /// The owner's name, as its deliverer gives it.
    pub(super) subscriber: Arc<str>,
    pub(super) tenant: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    pub(super) pattern: Pattern,
    pub(super) capacity: usize,
    pub(super) policy: Policy,
    pub(super) filter: Option<Filter>,
    pub(super) priority: i32,
    pub(super) answers: bool,
    pub(super) deliver: Arc<dyn Deliver>,
    pub(super) queue: Mutex<Queue>,
}

/// What changes in the life of a subscription.
pub(super) struct Queue {
    pub(super) events: VecDeque<Delivery>,
    /// How many more a batch has taken that have not begun: they wait, and take room.
    pub(super) held: usize,
    phase: Phase,
    /// No publisher waits here any more: the engine is shutting down.
    hurried: bool,
    /// How often the queue was emptied: an event of another epoch has been accounted for.
    pub(super) epoch: u64,
    /// Publishers that wait for room, in the order in which they came.
    waiters: VecDeque<Arc<Waiter>>,
    pub(super) counters: Counters,
    /// Where the counts go that come after the end.
    owner: u64,
    totals: Weak<Mutex<HashMap<u64, Counters>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Asleep,
    Live,
    Over,
}

/// What became of an event at one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It waits in the queue.
    Queued,
    /// It waits in the queue, in the place of the oldest one.
    Displaced,
    /// It was dropped, and counted.
    Dropped,
    /// There is no room, and the publisher may wait for it.
    Full,
    /// The subscription is over.
    Over,
}

/// One wait of a publisher in one subscription; it ends when this is dropped.
pub(super) struct Waiting<'a> {
    pub(super) subscription: &'a Arc<Subscription>,
    waiter: Arc<Waiter>,
    /// What the lanes want to have kept meanwhile.
    _permit: Box<dyn Any>,
}

impl Subscription {
    /// The next event to run, in the order in which they were queued. Answer it with
    /// [`delivered`](Self::delivered) or [`not_begun`](Self::not_begun). None if the token that led here has outlived
    /// its event.
    pub(crate) fn take(&self) -> Option<Delivery> {
        let mut queue = self.queue.lock();
        let event = queue.events.pop_front()?;
        queue.counters.waiting -= 1;
        queue.counters.running += 1;
        queue.wake_next(self.capacity);
        Some(event)
    }

    /// An event that was taken has been handled: whether the handler answered OK.
    pub(crate) fn delivered(&self, ok: bool) {
        self.settle(|counters| *if ok { &mut counters.delivered } else { &mut counters.failed } += 1);
    }

    /// The handler of an event that was taken was not called: because nobody waits for its answer any more, or
    /// because the subscription has ended.
    pub(crate) fn not_begun(&self, too_late: bool) {
        self.settle(|Counters { dropped, .. }| {
            *if too_late { &mut dropped.too_late } else { &mut dropped.ended } += 1;
        });
    }

    fn settle(&self, count: impl Fn(&mut Counters)) {
        let mut queue = self.queue.lock();
        // An answer without a question is a fault of the caller; the counts still must not wrap round.
        debug_assert!(queue.counters.running > 0, "more events delivered than taken");
        if queue.counters.running == 0 {
            return;
        }
        queue.account(|counters| {
            counters.running -= 1;
            count(counters);
        });
    }

    /// Whether events are taken at all. While they are not (the owner is not enabled yet, or disabled), every event
    /// that matches is dropped and counted, those that wait when it ends are too, and nobody waits for room.
    pub(crate) fn set_live(&self, live: bool) {
        let mut queue = self.queue.lock();
        match (queue.phase, live) {
            (Phase::Asleep, true) => queue.phase = Phase::Live,
            (Phase::Live, false) => {
                queue.phase = Phase::Asleep;
                queue.counters.dropped.not_live += queue.empty(|| self.not_enabled());
                queue.wake_all();
            }
            _ => {}
        }
    }

    /// The name, unique among those of its owner and tenant.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which topics it is for.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Whose events it sees: one tenant's, or those of all.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// Its counts, all of one moment.
    #[must_use]
    pub(crate) fn counters(&self) -> Counters {
        self.queue.lock().counters
    }

    /// Whether it is for an event of its topics and tenants.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(event))
    }

    /// Whether it takes events now.
    pub(super) fn is_live(&self) -> bool {
        self.queue.lock().phase == Phase::Live
    }

    /// Queues an event, or tells why not. `patient`: the publisher is willing to wait where the policy is to.
    pub(super) fn offer(self: &Arc<Self>, event: &Arc<Event>, patient: bool) -> Offer {
        self.put(event, None, patient)
    }

    /// Queues an event whose publisher waits for the answer, behind all that it has queued before. Where that cannot
    /// be, the answer is why.
    pub(super) fn offer_awaited(self: &Arc<Self>, event: &Arc<Event>, answer: Box<dyn Answer>) -> Offer {
        self.put(event, Some(answer), false)
    }

    /// Notes an event that is for it while it takes none.
    pub(super) fn pass_over(&self) -> Offer {
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Over {
            return Offer::Over;
        }
        queue.counters.matched += 1;
        queue.counters.dropped.not_live += 1;
        Offer::Dropped
    }

    /// Why its handler is not called while it is not live.
    pub(super) fn not_enabled(&self) -> Error {
        let subscriber = self.subscriber.clone();
        Error::lazy(ErrorKind::Unavailable, move || {
            format!("plugin \"{subscriber}\" is not enabled: nothing is delivered to it")
        })
    }

    fn put(self: &Arc<Self>, event: &Arc<Event>, answer: Option<Box<dyn Answer>>, patient: bool) -> Offer {
        let delivery = Delivery { event: Arc::clone(event), answer };
        let mut queue = self.queue.lock();
        match queue.phase {
            Phase::Over => return Offer::Over,
            Phase::Asleep => {
                queue.counters.matched += 1;
                queue.counters.dropped.not_live += 1;
                delivery.skip(|| self.not_enabled());
                return Offer::Dropped;
            }
            Phase::Live => {}
        }
        if queue.hurried && delivery.answer.is_some() {
            queue.counters.matched += 1;
            queue.counters.dropped.ended += 1;
            delivery.skip(host_stops);
            return Offer::Dropped;
        }
        let full = !queue.has_room(self.capacity);
        match self.policy {
            Policy::Wait if full && patient && !queue.hurried => return Offer::Full,
            Policy::Wait | Policy::DropNew if full => {
                queue.counters.matched += 1;
                queue.counters.dropped.no_room += 1;
                delivery.skip(|| self.no_room());
                return Offer::Dropped;
            }
            Policy::DropOldest if full => {
                queue.counters.matched += 1;
                queue.counters.dropped.displaced += 1;
                if let Some(oldest) = queue.events.pop_front() {
                    oldest.skip(|| self.no_room());
                }
                queue.events.push_back(delivery);
                return Offer::Displaced;
            }
            _ => {}
        }
        queue.counters.matched += 1;
        queue.counters.waiting += 1;
        queue.events.push_back(delivery);
        let epoch = queue.epoch;
        drop(queue);
        match self.deliver.ready(self) {
            Ok(()) => Offer::Queued,
            Err(why) => self.take_back(event, epoch, &why),
        }
    }

    /// There will be no token for an event that was queued: one event has to go.
    ///
    /// Meanwhile that event may have been displaced, or run by the token of another one; then the newest is the one
    /// too many. If the queue was emptied in between, all of its events have been accounted for.
    fn take_back(&self, event: &Arc<Event>, epoch: u64, why: &Error) -> Offer {
        let mut queue = self.queue.lock();
        if queue.epoch == epoch {
            let at = queue.events.iter().rposition(|queued| Arc::ptr_eq(&queued.event, event));
            let gone = match at {
                Some(at) => queue.events.remove(at),
                None => queue.events.pop_back(),
            };
            if let Some(gone) = gone {
                gone.skip(|| why.clone());
                queue.counters.waiting -= 1;
                queue.counters.dropped.not_taken += 1;
                queue.wake_next(self.capacity);
            }
        }
        Offer::Dropped
    }

    fn no_room(&self) -> Error {
        let (subscriber, capacity) = (self.subscriber.clone(), self.capacity);
        Error::lazy(ErrorKind::Busy, move || {
            format!(
                "the queue of this subscription of \"{subscriber}\" is full with {capacity} events: try again later"
            )
        })
    }

    /// Nobody waits here from now on, for room or for an answer. Events that nobody waits for stay in the queue.
    pub(super) fn hurry(&self) {
        let mut queue = self.queue.lock();
        queue.hurried = true;
        let before = queue.events.len();
        queue.events.retain(|queued| {
            queued.skip(host_stops);
            queued.answer.is_none()
        });
        let gone = (before - queue.events.len()) as u64;
        queue.counters.waiting -= gone;
        queue.counters.dropped.ended += gone;
        queue.wake_all();
    }

    /// Ends it: the queue is emptied, and its counts become part of the engine's.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Over {
            return;
        }
        queue.phase = Phase::Over;
        queue.counters.dropped.ended += queue.empty(ended);
        queue.wake_all();
        if let Some(totals) = queue.totals.upgrade() {
            *totals.lock().entry(queue.owner).or_default() += queue.counters;
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("owner", &self.owner)
            .field("tenant", &self.tenant)
            .field("name", &self.name)
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(live: bool, owner: u64, totals: Weak<Mutex<HashMap<u64, Counters>>>) -> Self {
        Self {
            events: VecDeque::new(),
            held: 0,
            phase: if live { Phase::Live } else { Phase::Asleep },
            hurried: false,
            epoch: 0,
            waiters: VecDeque::new(),
            counters: Counters::default(),
            owner,
            totals,
        }
    }

    /// Lets go of all events; tells how many. The caller counts why, and `why` is what those are told who wait for an
    /// answer.
    fn empty(&mut self, why: impl Fn() -> Error) -> u64 {
        self.epoch += 1;
        for gone in std::mem::take(&mut self.events) {
            gone.skip(&why);
        }
        // Those that a batch holds are gone too, and nobody waits for their answers.
        self.held = 0;
        std::mem::take(&mut self.counters.waiting)
    }

    fn has_room(&self, capacity: usize) -> bool {
        self.events.len() + self.held < capacity
    }

    /// Changes the counts, also where they have gone to since the end.
    pub(super) fn account(&mut self, change: impl Fn(&mut Counters)) {
        change(&mut self.counters);
        if self.phase == Phase::Over
            && let Some(totals) = self.totals.upgrade()
        {
            change(totals.lock().entry(self.owner).or_default());
        }
    }

    #[cfg(test)]
    pub(super) fn publishers(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn wake_next(&self, capacity: usize) {
        if self.has_room(capacity)
            && let Some(first) = self.waiters.front()
        {
            first.wake();
        }
    }

    fn wake_all(&self) {
        for waiter in &self.waiters {
            waiter.wake();
        }
    }
}

impl<'a> Waiting<'a> {
    /// Queues up for room, if the lanes let it.
    pub(super) fn begin(subscription: &'a Arc<Subscription>, waiter: &Arc<Waiter>) -> Result<Self> {
        let _permit = subscription.deliver.wait(subscription)?;
        let mut queue = subscription.queue.lock();
        queue.waiters.push_back(Arc::clone(waiter));
        // Room that was made, or an end that came, since the publisher looked has rung no bell for it.
        if queue.phase != Phase::Live || queue.hurried {
            waiter.wake();
        } else {
            queue.wake_next(subscription.capacity);
        }
        Ok(Self { subscription, waiter: Arc::clone(waiter), _permit })
    }
}

impl Drop for Waiting<'_> {
    /// If it leaves room behind, the next one is told, for the bell may have rung for the one that leaves.
    fn drop(&mut self) {
        let mut queue = self.subscription.queue.lock();
        queue.waiters.retain(|other| !Arc::ptr_eq(other, &self.waiter));
        queue.wake_next(self.subscription.capacity);
    }
}

/// Why a handler is not called whose subscription has ended.
pub(crate) fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the subscription ended before its handler was called")
}

fn host_stops() -> Error {
    Error::new(ErrorKind::Unavailable, "the host stops: the handler is not called any more")
}
