//! A subscription: its bounded queue, what happens when that is full, and its counts.
//!
//! The lane of the owner holds tokens that only name a subscription; the events wait here. There is one token for
//! each event that made the queue longer, so there are never fewer tokens than events: an event that takes the place
//! of another brings none, and tokens that outlive their events (after `unsubscribe`) find nothing and do no harm.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{Counters, Event, Pattern, Totals, waiter::Waiter};
use crate::error::Result;

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
    pub(super) tenant: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    pub(super) pattern: Pattern,
    pub(super) capacity: usize,
    pub(super) policy: Policy,
    pub(super) deliver: Arc<dyn Deliver>,
    pub(super) queue: Mutex<Queue>,
}

/// What changes in the life of a subscription.
pub(super) struct Queue {
    events: VecDeque<Arc<Event>>,
    phase: Phase,
    /// No publisher waits here any more: the engine is shutting down.
    hurried: bool,
    /// How often the queue was emptied: an event of another epoch has been accounted for.
    epoch: u64,
    /// Publishers that wait for room, in the order in which they came.
    waiters: VecDeque<Arc<Waiter>>,
    counters: Counters,
    /// Where the counts go that come after the end.
    totals: Weak<Mutex<Totals>>,
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
    /// [`delivered`](Self::delivered). None if the token that led here has outlived its event.
    pub(crate) fn take(&self) -> Option<Arc<Event>> {
        let mut queue = self.queue.lock();
        let event = queue.events.pop_front()?;
        queue.counters.waiting -= 1;
        queue.counters.running += 1;
        queue.wake_next(self.capacity);
        Some(event)
    }

    /// An event that was taken has been handled: whether the handler answered OK.
    pub(crate) fn delivered(&self, ok: bool) {
        let mut queue = self.queue.lock();
        // An answer without a question is a fault of the caller; the counts still must not wrap round.
        debug_assert!(queue.counters.running > 0, "more events delivered than taken");
        if queue.counters.running == 0 {
            return;
        }
        let answer = |counters: &mut Counters| {
            counters.running -= 1;
            *if ok { &mut counters.delivered } else { &mut counters.failed } += 1;
        };
        answer(&mut queue.counters);
        if queue.phase == Phase::Over
            && let Some(totals) = queue.totals.upgrade()
        {
            answer(&mut totals.lock().counters);
        }
    }

    /// Whether events are taken at all. While they are not (the owner is not enabled yet, or disabled), every event
    /// that matches is dropped and counted, those that wait when it ends are too, and nobody waits for room.
    pub(crate) fn set_live(&self, live: bool) {
        let mut queue = self.queue.lock();
        match (queue.phase, live) {
            (Phase::Asleep, true) => queue.phase = Phase::Live,
            (Phase::Live, false) => {
                queue.phase = Phase::Asleep;
                queue.counters.dropped.not_live += queue.empty();
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

    /// Whether an event of this tenant is for it.
    pub(super) fn sees(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|mine| mine == tenant)
    }

    /// Queues an event, or tells why not. `patient`: the publisher is willing to wait where the policy is to.
    pub(super) fn offer(self: &Arc<Self>, event: &Arc<Event>, patient: bool) -> Offer {
        let mut queue = self.queue.lock();
        match queue.phase {
            Phase::Over => return Offer::Over,
            Phase::Asleep => {
                queue.counters.matched += 1;
                queue.counters.dropped.not_live += 1;
                return Offer::Dropped;
            }
            Phase::Live => {}
        }
        let full = queue.events.len() >= self.capacity;
        match self.policy {
            Policy::Wait if full && patient && !queue.hurried => return Offer::Full,
            Policy::Wait | Policy::DropNew if full => {
                queue.counters.matched += 1;
                queue.counters.dropped.no_room += 1;
                return Offer::Dropped;
            }
            Policy::DropOldest if full => {
                queue.counters.matched += 1;
                queue.counters.dropped.displaced += 1;
                queue.events.pop_front();
                queue.events.push_back(Arc::clone(event));
                return Offer::Displaced;
            }
            _ => {}
        }
        queue.counters.matched += 1;
        queue.counters.waiting += 1;
        queue.events.push_back(Arc::clone(event));
        let epoch = queue.epoch;
        drop(queue);
        match self.deliver.ready(self) {
            Ok(()) => Offer::Queued,
            Err(_) => self.take_back(event, epoch),
        }
    }

    /// There will be no token for an event that was queued: one event has to go.
    ///
    /// Meanwhile that event may have been displaced, or run by the token of another one; then the newest is the one
    /// too many. If the queue was emptied in between, all of its events have been accounted for.
    fn take_back(&self, event: &Arc<Event>, epoch: u64) -> Offer {
        let mut queue = self.queue.lock();
        if queue.epoch == epoch {
            let at = queue.events.iter().rposition(|queued| Arc::ptr_eq(queued, event));
            let gone = match at {
                Some(at) => queue.events.remove(at),
                None => queue.events.pop_back(),
            };
            if gone.is_some() {
                queue.counters.waiting -= 1;
                queue.counters.dropped.not_taken += 1;
                queue.wake_next(self.capacity);
            }
        }
        Offer::Dropped
    }

    /// Nobody waits for room here from now on.
    pub(super) fn hurry(&self) {
        let mut queue = self.queue.lock();
        queue.hurried = true;
        queue.wake_all();
    }

    /// Ends it: the queue is emptied, and its counts become part of the engine's.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Over {
            return;
        }
        queue.phase = Phase::Over;
        queue.counters.dropped.ended += queue.empty();
        queue.wake_all();
        if let Some(totals) = queue.totals.upgrade() {
            totals.lock().counters += queue.counters;
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
    pub(super) fn new(live: bool, totals: Weak<Mutex<Totals>>) -> Self {
        Self {
            events: VecDeque::new(),
            phase: if live { Phase::Live } else { Phase::Asleep },
            hurried: false,
            epoch: 0,
            waiters: VecDeque::new(),
            counters: Counters::default(),
            totals,
        }
    }

    /// Lets go of all events; tells how many. The caller says why.
    fn empty(&mut self) -> u64 {
        self.epoch += 1;
        self.events = VecDeque::new();
        std::mem::take(&mut self.counters.waiting)
    }

    #[cfg(test)]
    pub(super) fn publishers(&self) -> usize {
        self.waiters.len()
    }

    fn wake_next(&self, capacity: usize) {
        if self.events.len() < capacity
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
