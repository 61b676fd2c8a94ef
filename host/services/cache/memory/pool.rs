//! How the capacity is divided: each shard is granted bytes out of one pool, in steps, and never uses more than it was
//! granted. What all shards were granted and what is in the pool is the capacity, at every moment.
//!
//! Shards take as they need. When the pool is empty, one that has its fair share makes room in itself, and one that
//! has less gets from those that have more; so a few large items can lie anywhere, and no shard starves.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a shard takes and gives back at once, so that the pool's counter is rarely written.
const STEP: usize = 16 << 10;

pub(super) struct Pool {
    free: AtomicUsize,
}

impl Pool {
    pub(super) fn new(bytes: usize) -> Self {
        Self { free: AtomicUsize::new(bytes) }
    }

    /// Between `least` and `most`, or nothing.
    pub(super) fn take(&self, least: usize, most: usize) -> Option<usize> {
        let left = |free: usize| (free >= least).then(|| free - free.min(most));
        self.free.fetch_update(Relaxed, Relaxed, left).ok().map(|free| free.min(most))
    }

    pub(super) fn give(&self, bytes: usize) {
        self.free.fetch_add(bytes, Relaxed);
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.load(Relaxed)
    }
}

/// What one shard may use.
pub(super) struct Grant {
    bytes: usize,
    /// With less it counts as starving. Somewhat less than its part of the capacity, for shards are never exactly
    /// alike.
    fair: usize,
}

impl Grant {
    pub(super) fn new(share: usize) -> Self {
        Self { bytes: 0, fair: share - share / 16 }
    }

    /// Makes sure that `need` bytes more can be used, or tells how many are missing.
    pub(super) fn cover(&mut self, pool: &Pool, used: usize, need: usize) -> Result<(), usize> {
        let lack = (used + need).saturating_sub(self.bytes);
        if lack > 0 {
            self.bytes += pool.take(lack, lack.max(STEP)).ok_or(lack)?;
        }
        Ok(())
    }

    pub(super) fn is_fair(&self) -> bool {
        self.bytes >= self.fair
    }

    /// How much of `wanted` is not used and not needed for its share.
    pub(super) fn spare(&self, used: usize, wanted: usize, to_nothing: bool) -> usize {
        let kept = if to_nothing { used } else { used.max(self.fair) };
        wanted.min(self.bytes.saturating_sub(kept))
    }

    pub(super) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    pub(super) fn give_back(&mut self, pool: &Pool, used: usize) {
        let spare = self.bytes.saturating_sub(used);
        if spare > 2 * STEP {
            self.bytes -= spare - STEP;
            pool.give(spare - STEP);
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
