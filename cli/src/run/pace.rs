//! How fast events are fed to a host so that none is dropped for want of room.
//!
//! Every queue of a host is bounded, and a subscriber that says nothing else loses its oldest events when it does not
//! keep up: right for live events, wrong for a file. So the input comes in batches, each small enough for the
//! smallest queue, and the next comes when the last has gone through all plugins, what they emitted on the way
//! included. A plugin that hangs is waited for until the host calls it stuck; then the others go on.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use pintle::Host;

use super::output::Output;

/// The most events of a batch. Larger ones are no faster.
const MOST_EVENTS: u64 = 512;

/// The most bytes of a batch: a reply may be as large as what it replies to, and stdout has bounded room.
const MOST_BYTES: usize = 1 << 20;

/// From how many bytes on that wait for the reader of stdout no more input is taken.
const MOST_BACKLOG: usize = 1 << 20;

/// How long to wait for the host before having a closer look, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(5));

/// The batches of one input.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many calls may wait for one plugin.
    lane: u64,
    size: u64,
    left: u64,
    bytes: usize,
    /// How many deliveries there had been when the batch began.
    before: u64,
    /// How many deliveries an event leads to, those to plugins of what other plugins emit included.
    spread: u64,
    /// How many events may be on their way until a queue could be half full.
    room: u64,
}

impl Pace {
    /// For a host whose plugins have lanes of this length.
    pub(super) fn new(lane: usize) -> Self {
        let lane = u64::try_from(lane).unwrap_or(u64::MAX);
        Self { lane, size: 0, left: 0, bytes: 0, before: 0, spread: 1, room: 0 }
    }

    /// Waits until there is room for one more event of this size. False: the command is to stop.
    pub(super) fn wait(
        &mut self,
        bytes: usize,
        host: &Host,
        output: Option<&Output>,
        stop: &AtomicBool,
    ) -> bool {
        if self.left == 0 || self.bytes + bytes > MOST_BYTES {
            let mut look = LOOK.0;
            while !drained(host, self.room, look)
                || output.is_some_and(|output| output.backlog() > MOST_BACKLOG)
            {
                if stop.load(SeqCst) {
                    return false;
                }
                look = (look * 2).min(LOOK.1);
                if output.is_some_and(|output| output.backlog() > MOST_BACKLOG) {
                    std::thread::sleep(look);
                }
            }
            let deliveries = host.event_totals().counters.matched;
            let capacities = host.subscriptions().into_iter().map(|subscription| subscription.capacity);
            self.begin(deliveries, capacities.min().map_or(u64::MAX, |smallest| smallest as u64));
        }
        self.left -= 1;
        self.bytes += bytes;
        !stop.load(SeqCst)
    }

    /// Begins a batch. It may be twice as large as the last: how far an event spreads shows in the first ones.
    fn begin(&mut self, deliveries: u64, smallest_queue: u64) {
        let fed = self.size - self.left;
        if fed > 0 {
            let spread = (deliveries - self.before).div_ceil(fed);
            // A job that emits much in one batch slows down the next few and not all.
            self.spread = spread.max(self.spread / 2).max(1);
        }
        // All of an event's deliveries might be to one subscription, and the next event might spread twice as far.
        self.room = smallest_queue.min(self.lane) / (2 * self.spread);
        self.size = self.room.min(2 * self.size).clamp(1, MOST_EVENTS);
        self.left = self.size;
        self.bytes = 0;
        self.before = deliveries;
    }
}

/// Whether nothing waits in a queue, and no more runs than there is room for what may come of it. Waits for that for at
/// most `patience`. What plugins have that are stuck does not count.
fn drained(host: &Host, room: u64, patience: Duration) -> bool {
    if host.wait_idle(patience) {
        return true;
    }
    // It may be that a call takes long, and no queue is the fuller for it.
    let first = Load::of(host);
    if first.waiting > 0 || first.running > room {
        return false;
    }
    // One look at several plugins is no look at one moment. Where every event counts, only two looks that find nothing,
    // and nothing handled between them, tell that nothing was on its way from one plugin to another.
    room > 0 || Load::of(host) == first
}

/// Waits until the host has nothing to do, at most `patience`; tells whether that is so. A plugin that is stuck may
/// never end, and does not count.
pub(super) fn idle(host: &Host, patience: Duration) -> bool {
    drained(host, 0, patience)
}

/// What a host has to do, without what plugins have that are stuck.
#[derive(PartialEq, Eq)]
struct Load {
    waiting: u64,
    running: u64,
    /// What was done before.
    handled: u64,
}

impl Load {
    fn of(host: &Host) -> Self {
        // In the reports of a host, the number of the application.
        const APPLICATION: u64 = 0;
        let mut load = Self { waiting: 0, running: 0, handled: 0 };
        for plugin in host.plugins() {
            let counters = plugin.counters;
            load.handled += counters.handled;
            if !plugin.stuck {
                load.waiting += counters.waiting;
                load.running += counters.running;
            }
        }
        for mine in host.subscriptions().into_iter().filter(|subscription| subscription.owner == APPLICATION)
        {
            load.handled += mine.counters.delivered;
            load.waiting += mine.counters.waiting;
            load.running += mine.counters.running;
        }
        load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds batch after batch, each event of which leads to `spread` deliveries.
    fn sizes(lane: usize, smallest_queue: u64, spreads: &[u64]) -> Vec<u64> {
        let mut pace = Pace::new(lane);
        let mut deliveries = 7;
        let mut batch = |spread: &u64| {
            pace.begin(deliveries, smallest_queue);
            deliveries += pace.size * spread;
            pace.left = 0;
            pace.size
        };
        spreads.iter().map(&mut batch).collect()
    }

    #[test]
    fn batches_grow_until_the_smallest_queue_would_be_half_full() {
        for (lane, smallest, spreads, expected) in [
            (4_096, u64::MAX, &[1; 11][..], &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512][..]),
            (4_096, 1_024, &[2; 11], &[1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]),
            (4_096, 16, &[1; 6], &[1, 2, 4, 8, 8, 8]),
            (16, 1_024, &[4; 4], &[1, 2, 2, 2]),
            (1, 1, &[1; 3], &[1, 1, 1]),
            (4_096, 1_024, &[1_000; 3], &[1, 1, 1]),
            (4_096, 1_024, &[0; 3], &[1, 2, 4]),
            // One that spreads far is remembered for some batches.
            (4_096, 64, &[1, 1, 16, 1, 1, 1, 1, 1, 1], &[1, 2, 4, 2, 4, 8, 16, 32, 32]),
        ] {
            assert_eq!(sizes(lane, smallest, spreads), expected, "{lane} {smallest} {spreads:?}");
        }
    }
}
