//! What each plugin has, counted as it is written, and who must go when there is too much.
//!
//! A change is noted until its transaction is on disk, so that one that comes to nothing can be taken back.

use std::{collections::HashMap, sync::Arc};

/// What a plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) items: u64,
    pub(super) bytes: u64,
    pub(super) evicted: u64,
}

pub(super) type Shares = HashMap<Arc<str>, Share>;

/// The shares as the writer sees them: what it has not committed yet is in them.
pub(super) struct Accounting {
    shares: Shares,
    total: u64,
    /// What was changed since the last commit, and what it was before.
    changed: Vec<(Arc<str>, Share)>,
}

/// What a change comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) items: i64,
    pub(super) bytes: i64,
    pub(super) evicted: u64,
}

impl Accounting {
    pub(super) fn new(shares: Shares) -> Self {
        let total = shares.values().map(|share| share.bytes).sum();
        Self { shares, total, changed: Vec::new() }
    }

    /// The bytes of all plugins.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many plugins have something.
    pub(super) fn plugins(&self) -> usize {
        self.shares.values().filter(|share| share.items > 0).count()
    }

    pub(super) fn bytes(&self, plugin: &str) -> u64 {
        self.shares.get(plugin).map_or(0, |share| share.bytes)
    }

    pub(super) fn change(&mut self, plugin: &str, change: Change) {
        let (plugin, before) = match self.shares.get_key_value(plugin) {
            Some((plugin, share)) => (Arc::clone(plugin), *share),
            None => (plugin.into(), Share::default()),
        };
        self.changed.push((Arc::clone(&plugin), before));
        let after = Share {
            items: before.items.saturating_add_signed(change.items),
            bytes: before.bytes.saturating_add_signed(change.bytes),
            evicted: before.evicted + change.evicted,
        };
        self.put(plugin, after);
    }

    /// The plugin that has most above `guaranteed`, of those that `may` go.
    pub(super) fn most_above(&self, guaranteed: u64, may: impl Fn(&str) -> bool) -> Option<Arc<str>> {
        self.shares
            .iter()
            .filter(|(plugin, share)| share.bytes > guaranteed && may(plugin))
            .max_by_key(|(_, share)| share.bytes)
            .map(|(plugin, _)| Arc::clone(plugin))
    }

    /// To be given to [`Self::back_to`].
    pub(super) fn mark(&self) -> usize {
        self.changed.len()
    }

    /// Takes back what was changed since the mark.
    pub(super) fn back_to(&mut self, mark: usize) {
        while self.changed.len() > mark {
            let Some((plugin, before)) = self.changed.pop() else { return };
            self.put(plugin, before);
        }
    }

    /// What was changed is on disk: tells it to those who read.
    pub(super) fn publish(&mut self, published: &mut Shares) {
        for (plugin, _) in self.changed.drain(..) {
            match self.shares.get(&plugin) {
                Some(share) => drop(published.insert(plugin, *share)),
                None => drop(published.remove(&plugin)),
            }
        }
    }

    fn put(&mut self, plugin: Arc<str>, share: Share) {
        let before = if share == Share::default() {
            self.shares.remove(&plugin)
        } else {
            self.shares.insert(plugin, share)
        };
        self.total = self.total - before.map_or(0, |before| before.bytes) + share.bytes;
    }
}

/// About how many bytes an item takes in the file: its row, its entries in the indexes, and the room that pages leave.
pub(super) fn size(names: usize, value: usize, tags: impl Iterator<Item = usize>) -> u64 {
    let tags: usize = tags.map(|tag| 2 * tag + TAG).sum();
    // What does not fit into a page of its tree has pages of its own, the last of them half full on average.
    let pages = if value > OVERFLOWS { OVERFLOW } else { 0 };
    ((2 * names + value + tags + ITEM) * 5 / 4 + pages) as u64
}

const ITEM: usize = 130;
const TAG: usize = 40;
const OVERFLOWS: usize = 3_500;
const OVERFLOW: usize = 2_048;
