//! The back end that is a map in this process: sharded, bounded by bytes, with nothing on the side.
//!
//! A call hashes (plugin, tenant, namespace, key) under a key of this cache's own, goes to the shard that the hash
//! names, and works there under that shard's lock: [`shard`]. A hit reads the table and two neighbouring cache lines,
//! and copies nothing but what it hands out. Two shards are never locked at once.

mod pool;
mod rooms;
mod shard;
mod sieve;
mod slots;
#[cfg(test)]
mod tests;
mod wheel;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
};

use foldhash::{SharedSeed, quality::FoldHasher};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use pool::Pool;
use shard::{Draft, Hash, Shard, Short};
use slots::{Body, CHUNK_BYTES, ENDLESS, Slot};

use super::{
    Address, Age, CacheBackend, Draft as Wanted, ExpireIf, Expired, Glob, Item, Lifetime, Page, Space, Spans,
    Usage, Value, Written,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{clock::Clock, keys::Namespace},
};

/// A shard has at least so much for its own, four of the largest values, so that its lock is held for little.
const SMALLEST_SHARE: usize = 4 << 20;

const MOST_SHARDS: usize = 1024;

/// How often a write that lacks room takes from other shards. Once is enough, unless others write into its shard in
/// between.
const MOST_ROUNDS: usize = 100;

/// How many items each write looks at that may have expired: more than it adds, so that none is left for long.
const SWEPT_BY_A_WRITE: usize = 8;

/// Items in memory. Made with its capacity and the clock that lifetimes go by.
pub(crate) struct MemoryCache {
    shards: Box<[Padded]>,
    /// What each of them has for its own.
    share: usize,
    pool: Pool,
    /// Held by whoever takes from other shards: one at a time, so that no two wait for what the other one has in hand.
    /// Never waited for by one who holds a shard.
    balance: Mutex<()>,
    clock: Arc<dyn Clock>,
    seed: u64,
    shared_seed: SharedSeed,
    /// What can be had for items.
    capacity: usize,
}

/// A shard, if it was ever needed. Their locks do not share cache lines.
#[repr(align(64))]
struct Padded(Mutex<Option<Box<Shard>>>);

/// A copy of an item that lies elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill<'a> {
    /// Bytes, or a note that there is nothing.
    pub(crate) value: Value<'a>,
    /// How long it is still fresh, seen from now.
    pub(crate) fresh: Lifetime,
    pub(crate) spans: Spans,
    pub(crate) tags: &'a [Namespace<'a>],
    pub(crate) version: u64,
}

impl MemoryCache {
    /// Puts a copy in place of whatever lies there, with the version that it has elsewhere.
    pub(crate) fn fill(&self, at: &Address<'_>, item: &Fill<'_>) -> Result<()> {
        let draft = Wanted { spans: item.spans, tags: item.tags, ..Wanted::of(item.value, item.fresh) };
        self.set(at, &draft).map(drop)
    }

    /// Takes away what lies there, if anything does.
    pub(crate) fn forget(&self, at: &Address<'_>) -> Result<()> {
        self.remove(at).map(drop)
    }

    /// A cache that never takes more than `capacity` bytes, with all that it takes to keep its items. An item of 1 MiB
    /// needs a capacity of somewhat more than that.
    pub(crate) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let wanted = (capacity / SMALLEST_SHARE).clamp(1, MOST_SHARDS);
        // The power of two below, or the number itself.
        Self::with_shards(capacity, 1 << wanted.ilog2(), clock)
    }

    fn with_shards(capacity: usize, shards: usize, clock: Arc<dyn Clock>) -> Self {
        let capacity = capacity.saturating_sub(shards * (Shard::BYTES + size_of::<Padded>()));
        let share = capacity / shards;
        let random = RandomState::new();
        Self {
            shards: (0..shards).map(|_| Padded(Mutex::new(None))).collect(),
            share,
            pool: Pool::new(capacity),
            balance: Mutex::new(()),
            clock,
            seed: random.hash_one("seed"),
            shared_seed: SharedSeed::from_u64(random.hash_one("shared seed")),
            capacity,
        }
    }

    /// Each text goes in after its length, so that none can reach into the next.
    #[inline]
    fn hash(&self, at: &Address<'_>) -> Hash {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        let (namespace, key) = (at.namespace.as_str(), at.key.as_str());
        hasher.write_u64(at.scope.plugin);
        hasher.write_u64(at.scope.tenant_number());
        hasher.write_usize(namespace.len());
        hasher.write(namespace.as_bytes());
        let room = hasher.clone().finish();
        hasher.write_usize(key.len());
        hasher.write(key.as_bytes());
        Hash { item: hasher.finish(), room }
    }

    /// The other half of the hash than the one by which the shard finds the item.
    #[inline]
    fn index(&self, hash: Hash) -> usize {
        (hash.item >> 32) as usize & (self.shards.len() - 1)
    }

    #[inline]
    fn shard(&self, index: usize) -> MappedMutexGuard<'_, Shard> {
        let share = self.share;
        MutexGuard::map(self.shards[index].0.lock(), |shard| {
            &mut **shard.get_or_insert_with(|| Box::new(Shard::new(share)))
        })
    }

    /// Those that were needed so far, one at a time.
    fn made(&self) -> impl Iterator<Item = MappedMutexGuard<'_, Shard>> {
        self.shards
            .iter()
            .filter_map(|Padded(shard)| MutexGuard::try_map(shard.lock(), Option::as_deref_mut).ok())
    }

    fn now(&self) -> u64 {
        // 584 years.
        self.clock.monotonic().as_nanos() as u64
    }

    /// TOO_LARGE, if it would not fit were it the only item.
    fn check_fits(&self, at: &Address<'_>, body: &Body) -> Result<()> {
        let (len, capacity) = (body.value().len(), self.capacity);
        // Its chunk, its room, and two tables of the smallest size.
        let needed = body.heap() + CHUNK_BYTES + rooms::cost(at.namespace.as_str()) + 2 * 256;
        if needed <= capacity {
            return Ok(());
        }
        Err(Error::lazy(ErrorKind::TooLarge, move || {
            format!("an item of {len} bytes does not fit into a cache that has {capacity} for items")
        })
        .mend("give the cache more memory in the settings"))
    }

    /// Does `work` in the shard of this item, with what it lacks taken from other shards.
    fn write<R>(
        &self,
        hash: Hash,
        mut work: impl FnMut(&mut Shard, u64, bool) -> Result<Result<R, Short>>,
    ) -> Result<R> {
        let own = self.index(hash);
        let mut run = |bytes: usize, all_own: bool| {
            let mut shard = self.shard(own);
            let now = self.now();
            shard.endow(bytes);
            shard.reclaim(now, SWEPT_BY_A_WRITE, SWEPT_BY_A_WRITE);
            let result = work(&mut shard, now, all_own);
            // What it has is part of what it needs, if it is short of more.
            if !matches!(result, Ok(Err(Short(_)))) {
                shard.give_back(&self.pool);
            }
            result
        };
        let mut lack = match run(0, false)? {
            Ok(done) => return Ok(done),
            Err(Short(lack)) => lack,
        };
        let _one_at_a_time = self.balance.lock();
        for _ in 0..MOST_ROUNDS {
            match run(self.collect(own, lack), true)? {
                Ok(done) => return Ok(done),
                Err(Short(more)) => lack = more,
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "the cache found no room: other writes took what was made each time",
        ))
    }

    /// Takes bytes from the pool and from other shards than `own`: first from those with more than their share.
    fn collect(&self, own: usize, wanted: usize) -> usize {
        let mut got = self.pool.take(0, wanted).unwrap_or(0);
        let now = self.now();
        for to_nothing in [false, true] {
            for step in 1..self.shards.len() {
                if got == wanted {
                    return got;
                }
                let other = (own + step) & (self.shards.len() - 1);
                got += self.shard(other).yield_up(wanted - got, now, to_nothing);
            }
        }
        got
    }
}

impl CacheBackend for MemoryCache {
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        fn item(value: Value<'_>, fresh: Lifetime) -> Item<'_> {
            Item { value, age: Age::Fresh, version: 1, fresh, left: fresh }
        }
        let hash = self.hash(at);
        let mut shard = self.shard(self.index(hash));
        let Some(found) = shard.find(hash, at) else { return Ok(false) };
        let deadline = shard.slot(found).deadline;
        let mut lifetime = Lifetime::Endless;
        // The clock costs as much as the rest of a hit, and what does not expire needs none.
        if deadline != ENDLESS {
            let now = self.now();
            if deadline <= now {
                shard.remove(found);
                shard.give_back(&self.pool);
                return Ok(false);
            }
            lifetime = Lifetime::Ms((deadline - now).div_ceil(NS_A_MS) as i64);
        }
        shard.visit(found);
        let slot = shard.slot(found);
        if let Body::Shared { key, bytes } = &slot.body {
            let (key, bytes) = (usize::from(*key), Arc::clone(bytes));
            drop(shard);
            read(item(Value::Bytes(&bytes[key..]), lifetime));
        } else {
            read(item(value(slot), lifetime));
        }
        Ok(true)
    }

    fn set(&self, at: &Address<'_>, draft: &Wanted<'_>) -> Result<Written> {
        let (Value::Bytes(value), lifetime) = (draft.value, draft.lifetime) else { return Err(unbuilt()) };
        let hash = self.hash(at);
        // Before the lock: large ones take a while to copy.
        let mut body = Some(body(at, value)?);
        self.write(hash, |shard, now, all_own| {
            let body = body.take().map_or_else(|| self::body(at, value), Ok)?;
            self.check_fits(at, &body)?;
            let draft = Draft { body, integer: false, deadline: deadline(now, lifetime) };
            Ok(shard.put(&self.pool, now, hash, at, draft, all_own)?.map(|()| Written::Done(1)))
        })
    }

    fn invalidate_tag(&self, _: &DataScope<'_>, _: Namespace<'_>) -> Result<u64> {
        Err(unbuilt())
    }

    fn invalidate(&self, _: &Space<'_>, _: &Glob) -> Result<u64> {
        Err(unbuilt())
    }

    fn clear(&self, _: &Space<'_>) -> Result<u64> {
        Err(unbuilt())
    }

    fn keys(&self, _: &Space<'_>, _: &str, _: Option<&str>, _: usize) -> Result<Page> {
        Err(unbuilt())
    }

    fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    fn guaranteed(&self) -> u64 {
        0
    }

    fn set_plugins(&self, _: usize) {}

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        let hash = self.hash(at);
        self.write(hash, |shard, now, _| {
            let found = shard.find_live(hash, at, now);
            if let Some(found) = found {
                shard.remove(found);
            }
            Ok(Ok(found.is_some()))
        })
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        let hash = self.hash(at);
        self.write(hash, |shard, now, all_own| {
            let (sum, deadline) = match shard.find_live(hash, at, now) {
                Some(found) => {
                    let slot = shard.slot(found);
                    let (sum, deadline) = (value(slot).plus(delta)?, slot.deadline);
                    if slot.integer {
                        shard.set_integer(found, sum);
                        return Ok(Ok(sum));
                    }
                    (sum, deadline)
                }
                None => (delta, deadline(now, lifetime)),
            };
            let body = body(at, &sum.to_le_bytes())?;
            self.check_fits(at, &body)?;
            let draft = Draft { body, integer: true, deadline };
            Ok(shard.put(&self.pool, now, hash, at, draft, all_own)?.map(|()| sum))
        })
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        let hash = self.hash(at);
        self.write(hash, |shard, now, _| {
            let Some(found) = shard.find_live(hash, at, now) else { return Ok(Ok(Expired::Missing)) };
            let new = lifetime.map_or(now, |lifetime| deadline(now, lifetime));
            let end = |deadline: u64| (deadline != ENDLESS).then_some(deadline);
            if !condition.holds(end(shard.slot(found).deadline), end(new)) {
                return Ok(Ok(Expired::Refused));
            }
            if lifetime.is_some() {
                shard.visit(found);
                shard.set_deadline(found, new);
            } else {
                shard.remove(found);
            }
            Ok(Ok(Expired::Changed))
        })
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        let mut plugins: HashMap<Arc<str>, (u64, u64)> = HashMap::new();
        for mut shard in self.made() {
            shard.reclaim(self.now(), usize::MAX, usize::MAX);
            for room in shard.rooms() {
                let (items, bytes) = plugins.entry(Arc::clone(room.id())).or_default();
                *items += room.items();
                *bytes += room.bytes();
            }
            shard.give_back(&self.pool);
        }
        let used = |(plugin, (items, bytes))| Usage { plugin, items, bytes, evicted: 0 };
        Ok(plugins.into_iter().map(used).collect())
    }

    #[cfg(test)]
    fn remove_plugin(&self, id: &str) -> Result<u64> {
        let mut gone = 0;
        for mut shard in self.made() {
            shard.reclaim(self.now(), usize::MAX, usize::MAX);
            gone += shard.remove_plugin(id);
            shard.give_back(&self.pool);
        }
        Ok(gone)
    }

    fn close(&self) {
        for Padded(shard) in &self.shards {
            drop(shard.lock().take());
        }
    }
}

fn unbuilt() -> Error {
    Error::new(ErrorKind::Unsupported, "not built yet")
}

const NS_A_MS: u64 = 1_000_000;

fn deadline(now: u64, lifetime: Lifetime) -> u64 {
    match lifetime {
        Lifetime::Endless => ENDLESS,
        Lifetime::Ms(ms) => {
            let ns = u64::try_from(ms).unwrap_or(0).saturating_mul(NS_A_MS);
            now.saturating_add(ns).min(ENDLESS - 1)
        }
    }
}

fn body(at: &Address<'_>, value: &[u8]) -> Result<Body> {
    Body::new(at.key.as_str(), value).map_err(|_| rooms::no_memory())
}

#[inline]
fn value(slot: &Slot) -> Value<'_> {
    if slot.integer { Value::Integer(slot.body.integer()) } else { Value::Bytes(slot.body.value()) }
}
