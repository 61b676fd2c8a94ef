//! What is counted of durable events over the life of the engine, subscriptions that are over included.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{log::Appended, window::Failed};

/// What became of durable events since the host was made. All of them only grow. They do not add up: what was written before this host
/// is delivered by it, an event may be for many subscriptions, and a delivery that ends with its subscription is neither acknowledged
/// nor failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurableTotals {
    /// Events that were published and written to the log, those of storage batches included.
    pub written: u64,
    /// Events that were published and not written, because they were there already under their id and source.
    pub duplicates: u64,
    /// Deliveries whose handler was run, each attempt one.
    pub delivered: u64,
    /// Those of the delivered that were not the first attempt at their event.
    pub redelivered: u64,
    /// Deliveries that were acknowledged.
    pub acknowledged: u64,
    /// Deliveries that have failed, and whose event was to come again.
    pub retried: u64,
    /// Deliveries that have failed for the last time, so that their event became a dead letter. Those that ended with the process before
    /// this host are in neither count.
    pub dead: u64,
    /// Dead letters that were written to the log again, to be delivered once more.
    pub replayed: u64,
}

/// The same while it is counted.
#[derive(Default)]
pub(super) struct Counts {
    written: AtomicU64,
    duplicates: AtomicU64,
    delivered: AtomicU64,
    redelivered: AtomicU64,
    acknowledged: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    replayed: AtomicU64,
}

impl Counts {
    pub(super) fn appended(&self, appended: &[Appended]) {
        let duplicates = appended.iter().filter(|one| one.duplicate).count();
        self.duplicates.fetch_add(duplicates as u64, Relaxed);
        self.written.fetch_add((appended.len() - duplicates) as u64, Relaxed);
    }

    /// A handler has run, at this attempt.
    pub(super) fn delivered(&self, attempt: u32) {
        self.delivered.fetch_add(1, Relaxed);
        if attempt > 1 {
            self.redelivered.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn acknowledged(&self) {
        self.acknowledged.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, failed: Failed) {
        let count = match failed {
            Failed::Again => &self.retried,
            Failed::Dead => &self.dead,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn replayed(&self, letters: usize) {
        self.replayed.fetch_add(letters as u64, Relaxed);
    }

    pub(super) fn totals(&self) -> DurableTotals {
        let Self { written, duplicates, delivered, redelivered, acknowledged, retried, dead, replayed } =
            self;
        DurableTotals {
            written: written.load(Relaxed),
            duplicates: duplicates.load(Relaxed),
            delivered: delivered.load(Relaxed),
            redelivered: redelivered.load(Relaxed),
            acknowledged: acknowledged.load(Relaxed),
            retried: retried.load(Relaxed),
            dead: dead.load(Relaxed),
            replayed: replayed.load(Relaxed),
        }
    }
}
