//! What each plugin has in all shards, and how much of it nobody else can push away.
//!
//! Half of the capacity is divided among the loaded plugins. A plugin's items make room for those of another only while it
//! has more than that, and this is decided with the taking, in one step, however many shards take at once. A shard
//! counts for itself and tells the sum of an operation when it is done, so an overwrite tells nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
};

use parking_lot::RwLock;

use super::sieve::Sieve;
use crate::{identity::DataScope, services::cache::Usage};

pub(super) struct Shares {
    capacity: usize,
    /// How many plugins are loaded, as far as was told.
    loaded: AtomicUsize,
    /// How many plugins have something.
    holders: AtomicUsize,
    /// Kept for as long as the cache: a host knows few plugins.
    accounts: RwLock<HashMap<u64, Arc<Account>>>,
}

impl Shares {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            loaded: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
            accounts: RwLock::default(),
        }
    }

    pub(super) fn set_loaded(&self, plugins: usize) {
        self.loaded.store(plugins, Relaxed);
    }

    /// What each loaded plugin can rely on.
    pub(super) fn guaranteed(&self) -> usize {
        self.capacity / 2 / self.loaded.load(Relaxed).max(1)
    }

    /// Below what a plugin's items do not go for another. Less than is guaranteed where more than twice as many plugins
    /// have something as are loaded: otherwise those that are no longer loaded could take all room from the others.
    pub(super) fn floor(&self) -> usize {
        self.floor_for(self.holders.load(Relaxed))
    }

    /// The same, with one more who has nothing yet and finds no room.
    pub(super) fn floor_with_another(&self) -> usize {
        self.floor_for(self.holders.load(Relaxed) + 1)
    }

    fn floor_for(&self, holders: usize) -> usize {
        self.capacity / 2 / self.loaded.load(Relaxed).max(holders.div_ceil(2)).max(1)
    }

    fn account(&self, scope: &DataScope<'_>) -> Arc<Account> {
        if let Some(known) = self.accounts.read().get(&scope.plugin) {
            return Arc::clone(known);
        }
        let new = || {
            Arc::new(Account {
                plugin: scope.plugin,
                id: Arc::clone(scope.id),
                bytes: AtomicUsize::new(0),
                kept: AtomicUsize::new(0),
                items: AtomicUsize::new(0),
                evicted: AtomicU64::new(0),
            })
        };
        Arc::clone(self.accounts.write().entry(scope.plugin).or_insert_with(new))
    }

    pub(super) fn usage(&self) -> Vec<Usage> {
        let accounts: Vec<_> = self.accounts.read().values().map(Arc::clone).collect();
        let used = accounts.iter().map(|account| {
            let items = account.items.load(Acquire);
            let bytes = account.bytes.load(Acquire).saturating_sub(account.kept.load(Acquire));
            let bytes = if items == 0 { 0 } else { bytes as u64 };
            let evicted = account.evicted.load(Relaxed);
            Usage { plugin: Arc::clone(&account.id), items: items as u64, bytes, evicted }
        });
        used.filter(|usage| usage.items > 0 || usage.evicted > 0).collect()
    }
}

/// What a plugin has in all shards, as far as they have told. On a cache line of its own.
#[repr(align(128))]
struct Account {
    plugin: u64,
    id: Arc<str>,
    bytes: AtomicUsize,
    /// The part of the bytes that belongs to items that were counted out.
    kept: AtomicUsize,
    /// Without those that were counted out.
    items: AtomicUsize,
    evicted: AtomicU64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) bytes: usize,
    pub(super) kept: usize,
    pub(super) items: usize,
}

/// A plugin that has, or had, items in a shard.
pub(super) struct Owner {
    account: Arc<Account>,
    pub(super) queue: Sieve,
    /// What it has here.
    pub(super) count: Count,
    /// What its account knows of that.
    told: Count,
}

impl Owner {
    pub(super) fn new(shares: &Shares, scope: &DataScope<'_>) -> Self {
        let (count, told) = Default::default();
        Self { account: shares.account(scope), queue: Sieve::new(), count, told }
    }

    pub(super) fn plugin(&self) -> u64 {
        self.account.plugin
    }

    pub(super) fn id(&self) -> &str {
        &self.account.id
    }

    /// What it has in all shards.
    pub(super) fn bytes(&self) -> usize {
        self.account.bytes.load(Acquire).wrapping_add(self.count.bytes).wrapping_sub(self.told.bytes)
    }

    /// Tells its account what has changed.
    pub(super) fn tell(&mut self, shares: &Shares) {
        let (count, told) = (self.count, std::mem::replace(&mut self.told, self.count));
        if count == told {
            return;
        }
        let account = &self.account;
        if count.bytes != told.bytes {
            let more = count.bytes.wrapping_sub(told.bytes);
            let before = account.bytes.fetch_add(more, AcqRel);
            match (before, before.wrapping_add(more)) {
                (0, _) => _ = shares.holders.fetch_add(1, Relaxed),
                (_, 0) => _ = shares.holders.fetch_sub(1, Relaxed),
                _ => {}
            }
        }
        if count.kept != told.kept {
            account.kept.fetch_add(count.kept.wrapping_sub(told.kept), AcqRel);
        }
        if count.items != told.items {
            account.items.fetch_add(count.items.wrapping_sub(told.items), AcqRel);
        }
    }

    /// Takes `bytes` off its account, unless less than `floor` would be left; they are to go from here next. What was
    /// not told before is told.
    pub(super) fn try_take(&mut self, shares: &Shares, bytes: usize, floor: usize) -> bool {
        self.tell(shares);
        let left = |has: usize| has.checked_sub(bytes).filter(|left| *left >= floor && *left > 0);
        let taken = self.account.bytes.fetch_update(AcqRel, Acquire, left).is_ok();
        if taken {
            self.told.bytes = self.told.bytes.wrapping_sub(bytes);
        }
        taken
    }

    pub(super) fn evicted(&self) {
        self.account.evicted.fetch_add(1, Relaxed);
    }
}
