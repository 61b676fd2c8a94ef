//! What is counted of events: for each subscription, and for the engine over all of its life.

use std::{ops::AddAssign, sync::Arc};

use super::{Filter, Pattern, Policy};

/// The counts of one subscription, of one moment. They add up:
/// `matched = waiting + running + delivered + failed + dropped.total()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that were for it.
    pub matched: u64,
    /// Events in its queue.
    pub waiting: u64,
    /// Events taken from the queue whose handler has not answered yet.
    pub running: u64,
    /// Events whose handler answered OK.
    pub delivered: u64,
    /// Events whose handler answered anything else.
    pub failed: u64,
    /// Events that reached no handler.
    pub dropped: Drops,
}

/// Why events reached no handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// A newer one took its place in a full queue.
    pub displaced: u64,
    /// The queue was full, and stayed so as long as the publisher waited.
    pub no_room: u64,
    /// The owner was not enabled.
    pub not_live: u64,
    /// The owner's lane was stuck, full or gone.
    pub not_taken: u64,
    /// The subscription ended, or the host stopped, while it waited.
    pub ended: u64,
    /// Its publisher waited for the answer (`emit_sync`), and no longer when the handler's turn came.
    pub too_late: u64,
}

/// The counts of the engine since it was made, subscriptions that are over included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events that were published.
    pub emitted: u64,
    /// Of those, how many had no subscription that matched.
    pub unheard: u64,
    /// The sum over all subscriptions.
    pub counters: Counters,
}

/// What one call of `emit` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emitted {
    /// Subscriptions that it was for: `queued + dropped`.
    pub matched: usize,
    /// Those that have it in their queue.
    pub queued: usize,
    /// Those that did not take it.
    pub dropped: usize,
    /// Older events that lost their place in a queue to it.
    pub displaced: usize,
}

/// A subscription as a report shows it.
#[derive(Clone, Debug)]
pub struct SubscriptionReport {
    /// Who subscribed: 0 is the application, plugins are numbered from 1.
    pub owner: u64,
    /// Whose events it sees; None: those of all tenants and of the system scope.
    pub tenant: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
    /// Which topics it is for.
    pub pattern: Pattern,
    /// How many events may wait.
    pub capacity: usize,
    /// What happens when that many do.
    pub policy: Policy,
    /// Which events of these topics; None: all.
    pub filter: Option<Filter>,
    /// Where it stands among the subscriptions of one event: higher ones first.
    pub priority: i32,
    /// Its counts.
    pub counters: Counters,
}

impl Drops {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.displaced + self.no_room + self.not_live + self.not_taken + self.ended + self.too_late
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.waiting += other.waiting;
        self.running += other.running;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.dropped += other.dropped;
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        self.displaced += other.displaced;
        self.no_room += other.no_room;
        self.not_live += other.not_live;
        self.not_taken += other.not_taken;
        self.ended += other.ended;
        self.too_late += other.too_late;
    }
}
