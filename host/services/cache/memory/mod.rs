//! The back end that is a map in this process: sharded, bounded by bytes, with nothing on the side.
//!
//! A call hashes (plugin, tenant, namespace, key) under a key of this cache's own, goes to the shard that the hash
//! names, and works there under that shard's lock: [`shard`]. A hit reads one line of the index and the two lines of the
//! item, and copies nothing but what it hands out. Two shards are never locked at once.

mod body;
mod index;
mod members;
mod pool;
mod roll;
mod rooms;
mod shard;
mod shares;
#[cfg(test)]
mod shares_tests;
mod sieve;
mod slab;
mod slots;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
mod wheel;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use body::Body;
use foldhash::{SharedSeed, quality::FoldHasher};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use pool::Pool;
use shard::{Draft, Hash, NewExtras, Reach, Rule, Shard, Short};
use shares::Shares;
#[cfg(test)]
pub(crate) use slab::Lost;
pub(crate) use slab::{ENTRIES, Entries, PIECE, Piece, Slab};
pub(crate) use slots::Hot;
use slots::{ENDLESS, Kind};

use super::{
    Address, Age, CacheBackend, Draft as Wanted, Ends, ExpireIf, Expired, Glob, Item, Lifetime, MOST_TAGS,
    Page, SetIf, Space, Spans, Usage, Value, Whole, Written,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{
        clock::{Clock, MOST_BEHIND},
        keys::Namespace,
    },
};

/// A shard has at least so much for its own. What lacks room there gets it from others.
const SMALLEST_SHARE: usize = 1 << 20;

/// So many shards are enough for a few threads. There are more only where each has [`LARGE_SHARE`]: what a hit reads of them
/// should stay in the processor's cache.
const ENOUGH_SHARDS: usize = 64;

const LARGE_SHARE: usize = 4 << 20;

const MOST_SHARDS: usize = 1024;

/// How often a write that lacks room takes from other shards. A few times are enough, unless others write into its shard in
/// between.
const MOST_ROUNDS: usize = 100;

/// How many items each write looks at that may have expired: more than it adds, so that none is left for long.
const SWEPT_BY_A_WRITE: usize = 8;

/// How many items whoever counts looks at before the lock is let go of.
const SWEPT_AT_ONCE: usize = 256;

/// What is shorter is reckoned from the exact time. What is not may end early by some milliseconds in a minute.
const LONG_MS: i64 = 60_000;

/// What is smaller by so much than the capacity fits into any cache.
const SURELY_ENOUGH: usize = 64 << 10;

/// Items in memory. Made with its capacity and the clock that lifetimes go by.
pub(crate) struct MemoryCache {
    shards: Box<[Padded]>,
    /// What each of them has for its own.
    share: usize,
    pool: Pool,
    shares: Shares,
    /// Held by whoever takes from other shards: one at a time, so that no two wait for what the other one has in hand.
    /// Never waited for by one who holds a shard.
    balance: Mutex<()>,
    clock: Arc<dyn Clock>,
    slab: Arc<dyn Slab>,
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
    /// A cache that never takes more than `capacity` bytes, with all that it takes to keep its items, in slots that `slab`
    /// lends. An item of 1 MiB needs a capacity of somewhat more than that.
    pub(crate) fn new(capacity: usize, clock: Arc<dyn Clock>, slab: Arc<dyn Slab>) -> Self {
        let wanted = (capacity / SMALLEST_SHARE).min(ENOUGH_SHARDS).max(capacity / LARGE_SHARE);
        let wanted = wanted.clamp(1, MOST_SHARDS);
        // The power of two below, or the number itself.
        Self::with_shards(capacity, 1 << wanted.ilog2(), clock, slab)
    }

    fn with_shards(capacity: usize, shards: usize, clock: Arc<dyn Clock>, slab: Arc<dyn Slab>) -> Self {
        let capacity = capacity.saturating_sub(shards * (Shard::BYTES + size_of::<Padded>()));
        let share = capacity / shards;
        let random = RandomState::new();
        Self {
            shards: (0..shards).map(|_| Padded(Mutex::new(None))).collect(),
            share,
            pool: Pool::new(capacity),
            shares: Shares::new(capacity),
            balance: Mutex::new(()),
            clock,
            slab,
            seed: random.hash_one("seed"),
            shared_seed: SharedSeed::from_u64(random.hash_one("shared seed")),
            capacity,
        }
    }

    /// Puts a copy in place of whatever lies there, with the version that it has elsewhere.
    pub(crate) fn fill(&self, at: &Address<'_>, item: &Fill<'_>) -> Result<()> {
        let draft = Wanted { spans: item.spans, tags: item.tags, ..Wanted::of(item.value, item.fresh) };
        self.put(at, self.hash(at), &draft, Some(item.version)).map(drop)
    }

    /// Takes away what lies there, if anything does.
    pub(crate) fn forget(&self, at: &Address<'_>) -> Result<()> {
        self.remove(at).map(drop)
    }

    /// Each text goes in after its length, so that none can reach into the next.
    #[inline]
    fn hash(&self, at: &Address<'_>) -> u64 {
        let mut hasher = self.hasher(&at.scope, at.namespace);
        let key = at.key.as_str();
        hasher.write_usize(key.len());
        hasher.write(key.as_bytes());
        hasher.finish()
    }

    fn room_hash(&self, space: &Space<'_>) -> u64 {
        self.hasher(&space.scope, space.namespace).finish()
    }

    fn tag_hash(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> u64 {
        self.hasher(scope, tag).finish()
    }

    #[inline]
    fn hasher(&self, scope: &DataScope<'_>, name: Namespace<'_>) -> FoldHasher<'_> {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u64(scope.plugin);
        hasher.write_u64(scope.tenant_number());
        hasher.write_usize(name.as_str().len());
        hasher.write(name.as_str().as_bytes());
        hasher
    }

    /// The other half of the hash than the one by which the shard finds the item.
    #[inline]
    fn index(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    #[inline]
    fn lock(&self, shard: usize) -> MappedMutexGuard<'_, Shard> {
        let share = self.share;
        MutexGuard::map(self.shards[shard].0.lock(), |shard| {
            &mut **shard.get_or_insert_with(|| Box::new(Shard::new(share, Arc::clone(&self.slab))))
        })
    }

    /// Does `work` in a shard, and tells everybody what has changed there.
    fn with<R>(&self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.lock(shard);
        let result = work(&mut shard);
        shard.settle(&self.pool, &self.shares, false);
        result
    }

    fn now(&self) -> u64 {
        nanoseconds(self.clock.monotonic())
    }

    /// Never later than `now`, nor earlier by more than [`MOST_BEHIND`].
    #[inline]
    fn about_now(&self) -> u64 {
        nanoseconds(self.clock.coarse())
    }

    /// Whether it is fresh for so long that the exact time need not be asked for.
    #[inline]
    fn is_surely_fresh(&self, deadline: u64) -> bool {
        deadline == ENDLESS || deadline > self.about_now() + nanoseconds(MOST_BEHIND)
    }

    /// The end of a lifetime that begins now; `about_now`: as that was read just before.
    #[inline]
    fn end_of(&self, lifetime: Lifetime, about_now: u64) -> u64 {
        match lifetime {
            Lifetime::Endless => ENDLESS,
            Lifetime::Ms(ms) if ms >= LONG_MS => about_now + ns(ms),
            Lifetime::Ms(ms) => self.now() + ns(ms),
        }
    }

    /// TOO_LARGE, if it would not fit were it the only item.
    fn check_fits(&self, hash: Hash, at: &Address<'_>, draft: &Draft<'_>) -> Result<()> {
        let (len, capacity) = (draft.body.value().len(), self.capacity);
        if draft.body.heap() + SURELY_ENOUGH <= capacity
            || Shard::new(0, Arc::clone(&self.slab)).need(None, hash, at, draft) <= capacity
        {
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
        hash: u64,
        writer: u64,
        mut work: impl FnMut(&mut Shard, Rule<'_>, u64) -> Result<Result<R, Short>>,
    ) -> Result<R> {
        let own = self.index(hash);
        let rule = |reach| Rule { pool: &self.pool, shares: &self.shares, writer, reach };
        let mut run = |bytes: usize, reach: Reach| {
            let mut shard = self.lock(own);
            let now = self.now();
            shard.endow(bytes);
            shard.reclaim(now, SWEPT_BY_A_WRITE, SWEPT_BY_A_WRITE);
            let result = work(&mut shard, rule(reach), now);
            // What it has is part of what it needs, if it is short of more.
            shard.settle(&self.pool, &self.shares, matches!(result, Ok(Err(Short(_)))));
            result
        };
        let mut lack = match run(0, Reach::Fair)? {
            Ok(done) => return Ok(done),
            Err(Short(lack)) => lack,
        };
        let _one_at_a_time = self.balance.lock();
        for round in 0..MOST_ROUNDS {
            let reach = [Reach::Everything, Reach::Own, Reach::Last][round.min(2)];
            let got = self.collect(own, lack, rule(reach));
            match run(got, reach)? {
                Ok(done) => return Ok(done),
                // Nobody has anything to give.
                Err(Short(more)) if round > 1 && got == 0 && lack > 0 && more >= lack => break,
                Err(Short(more)) => lack = more,
            }
        }
        self.with(own, |_| ());
        Err(Error::new(
            ErrorKind::Unavailable,
            "the cache found no room: what is there belongs to plugins that have no more than their share",
        ))
    }

    /// Takes bytes from the pool and from other shards than `own`: first from those with more than their share.
    fn collect(&self, own: usize, wanted: usize, rule: Rule<'_>) -> usize {
        let mut got = self.pool.take(0, wanted).unwrap_or(0);
        let now = self.now();
        for to_nothing in [false, true] {
            for step in 1..self.shards.len() {
                if got == wanted {
                    return got;
                }
                let other = (own + step) & (self.shards.len() - 1);
                let mut other = self.lock(other);
                got += other.yield_up(wanted - got, now, rule, to_nothing);
                other.settle(&self.pool, &self.shares, true);
            }
        }
        got
    }

    /// Lends what lies there; what is only kept, if `kept`.
    #[inline]
    fn lend(&self, at: &Address<'_>, kept: bool, read: &mut dyn FnMut(Item<'_>)) -> bool {
        let hash = self.hash(at);
        let mut shard = self.lock(self.index(hash));
        let Some(found) = shard.find(hash, at) else { return false };
        shard.visit(found);
        let mut hot = shard.slots.hot(found);
        let mut age = Age::Fresh;
        // The clock costs as much as the rest of a hit, and what does not expire soon needs none.
        if !self.is_surely_fresh(hot.deadline) {
            let Some(known) = shard.slots.age(found, self.now()) else {
                shard.remove(found);
                shard.settle(&self.pool, &self.shares, false);
                return false;
            };
            if known == Age::Kept && !kept {
                return false;
            }
            age = known;
            hot = shard.slots.hot(found);
        }
        let there = if hot.extras { shard.slots.there_until(found) } else { hot.deadline };
        let ends = Ends::At { fresh: hot.deadline, there, clock: &*self.clock };
        let version = hot.version;
        if let Body::Shared { key, bytes } = &hot.body {
            let (key, bytes) = (usize::from(*key), Arc::clone(bytes));
            drop(shard);
            read(Item { value: Value::Bytes(&bytes[key..]), age, version, ends });
        } else {
            read(Item { value: hot.value(), age, version, ends });
        }
        true
    }

    /// The version of what lies there, the end of its lifetime, and the tags that it bears.
    fn about(&self, at: &Address<'_>) -> Option<(u64, u64, Vec<String>)> {
        let hash = self.hash(at);
        let shard = self.lock(self.index(hash));
        let found = shard.find(hash, at)?;
        let hot = shard.slots.hot(found);
        let tags = if hot.extras { shard.slots.tags(found) } else { &[] };
        let names = tags.iter().filter_map(|held| shard.tags.get(held.tag));
        let tags = names.map(|tag| tag.name().to_owned()).collect();
        Some((hot.version, hot.deadline, tags))
    }

    /// Writes it; with its own version, or with the next one of the shard.
    fn put(&self, at: &Address<'_>, item: u64, wanted: &Wanted<'_>, version: Option<u64>) -> Result<Written> {
        let hash = Hash { item, room: self.room_hash(&at.space()) };
        let mut hashes = [0; MOST_TAGS];
        for (hash, tag) in hashes.iter_mut().zip(wanted.tags) {
            *hash = self.tag_hash(&at.scope, *tag);
        }
        let tags = tags::Wanted { names: wanted.tags, hashes: &hashes };
        let mut integer = [0; 8];
        let (value, kind) = plain(wanted.value, &mut integer);
        // Before the lock: large ones take a while to copy.
        let mut body = Some(self::body(at, value)?);
        self.write(item, at.scope.plugin, |shard, rule, now| {
            let there = shard.find(item, at).filter(|found| shard.is_there(*found, now));
            let before = there.map_or(0, |found| shard.slots.hot(found).version);
            if !wanted.condition.holds(before) {
                return Ok(Ok(Written::Refused(before)));
            }
            let (deadline, (stale, error)) = match there {
                Some(found) if wanted.keep_lifetime => {
                    (shard.slots.hot(found).deadline, shard.slots.spans(found))
                }
                _ => (
                    self.end_of(wanted.lifetime, now),
                    (ns(wanted.spans.stale_ms), ns(wanted.spans.error_ms)),
                ),
            };
            let body = body.take().map_or_else(|| self::body(at, value), Ok)?;
            let extras = Some(NewExtras { stale, error, tags });
            let draft = Draft { body, kind, version, deadline, extras };
            self.check_fits(hash, at, &draft)?;
            Ok(shard.put(rule, now, hash, at, draft)?.map(Written::Done))
        })
    }
}

impl CacheBackend for MemoryCache {
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        Ok(self.lend(at, false, read))
    }

    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        loop {
            // First what goes with the item; if it is written before it is lent itself, all over again.
            let Some((version, deadline, tags)) = self.about(at) else { return Ok(false) };
            let tags: Vec<Namespace<'_>> =
                tags.iter().filter_map(|tag| Namespace::parse("tags", tag.as_bytes()).ok()).collect();
            let mut is_another = false;
            let lent = self.lend(at, true, &mut |item| {
                is_another = item.version != version;
                if !is_another {
                    let rest = deadline.saturating_sub(self.now());
                    let fresh_for = (deadline != ENDLESS).then(|| Duration::from_nanos(rest));
                    read(Whole { item, tags: &tags, fresh_for });
                }
            });
            if !is_another {
                return Ok(lent);
            }
        }
    }

    fn set(&self, at: &Address<'_>, draft: &Wanted<'_>) -> Result<Written> {
        let hash = self.hash(at);
        let is_plain = draft.condition == SetIf::Always
            && !draft.keep_lifetime
            && draft.spans == Spans::default()
            && draft.tags.is_empty();
        if is_plain {
            let mut integer = [0; 8];
            let (value, kind) = plain(draft.value, &mut integer);
            let mut shard = self.lock(self.index(hash));
            // Otherwise it is a write's duty to see to it first.
            let about_now = self.about_now();
            let end = || self.end_of(draft.lifetime, about_now);
            if !shard.is_due(about_now)
                && let Some(version) = shard.overwrite(hash, at, value, kind, end)
            {
                return Ok(Written::Done(version));
            }
        }
        self.put(at, hash, draft, None)
    }

    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        Ok(self.take_tagged(scope, tag))
    }

    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        Ok(self.take_from(space, &|key| pattern.matches(key)))
    }

    fn clear(&self, space: &Space<'_>) -> Result<u64> {
        Ok(self.take_from(space, &|_| true))
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page> {
        self.list(space, prefix, cursor, limit)
    }

    fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    fn guaranteed(&self) -> u64 {
        self.shares.guaranteed() as u64
    }

    fn set_plugins(&self, plugins: usize) {
        self.shares.set_loaded(plugins);
    }

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        let hash = self.hash(at);
        Ok(self.with(self.index(hash), |shard| {
            let now = self.now();
            shard.reclaim(now, SWEPT_BY_A_WRITE, SWEPT_BY_A_WRITE);
            let Some(found) = shard.find(hash, at) else { return false };
            let there = shard.is_there(found, now);
            shard.remove(found);
            there
        }))
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        let item = self.hash(at);
        {
            let mut shard = self.lock(self.index(item));
            if !shard.is_due(self.about_now())
                && let Some(found) = shard.find(item, at)
                && let hot = shard.slots.hot(found)
                && hot.kind == Kind::Integer
                && self.is_surely_fresh(hot.deadline)
            {
                let sum = hot.value().plus(delta)?;
                shard.set_integer(found, sum);
                return Ok(sum);
            }
        }
        let hash = Hash { item, room: self.room_hash(&at.space()) };
        self.write(item, at.scope.plugin, |shard, rule, now| {
            let found = shard.find(item, at).filter(|found| shard.is_there(*found, now));
            let (sum, deadline, extras) = match found {
                Some(found) => {
                    let hot = shard.slots.hot(found);
                    let sum = hot.value().plus(delta)?;
                    if hot.kind == Kind::Integer {
                        shard.set_integer(found, sum);
                        return Ok(Ok(sum));
                    }
                    (sum, hot.deadline, None)
                }
                None => (delta, self.end_of(lifetime, now), Some(NewExtras::NONE)),
            };
            let body = body(at, &sum.to_le_bytes())?;
            let draft = Draft { body, kind: Kind::Integer, version: None, deadline, extras };
            self.check_fits(hash, at, &draft)?;
            Ok(shard.put(rule, now, hash, at, draft)?.map(|_| sum))
        })
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        let hash = self.hash(at);
        Ok(self.with(self.index(hash), |shard| {
            let now = self.now();
            shard.reclaim(now, SWEPT_BY_A_WRITE, SWEPT_BY_A_WRITE);
            let found = shard.find(hash, at).filter(|found| shard.is_there(*found, now));
            let Some(found) = found else { return Expired::Missing };
            // From the exact time on, for the sake of the condition.
            let new = match lifetime {
                None => 0,
                Some(Lifetime::Endless) => ENDLESS,
                Some(Lifetime::Ms(ms)) => now + ns(ms),
            };
            let end = |deadline: u64| (deadline != ENDLESS).then_some(deadline);
            if !condition.holds(end(shard.slots.hot(found).deadline), end(new)) {
                return Expired::Refused;
            }
            if lifetime.is_some() {
                shard.set_deadline(found, new);
            } else {
                shard.remove(found);
            }
            Expired::Changed
        }))
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        for shard in 0..self.shards.len() {
            let mut step = Some(SWEPT_AT_ONCE);
            while let Some(most) = step {
                step = self.with(shard, |shard| shard.reclaim_some(self.now(), most));
            }
        }
        Ok(self.shares.usage())
    }

    fn remove_plugin(&self, id: &str) -> Result<u64> {
        let mut gone = 0;
        for shard in 0..self.shards.len() {
            self.with(shard, |shard| {
                for room in shard.rooms_of(id) {
                    while let Some(slot) = shard.rooms.get(room).and_then(|room| room.members.get(0)) {
                        gone += u64::from(shard.is_there(slot, self.now()));
                        shard.remove(slot);
                    }
                }
            });
        }
        Ok(gone)
    }

    fn close(&self) {
        for Padded(shard) in &self.shards {
            // A host is never freed, so what it leaves behind is little.
            if let Some(mut shard) = shard.lock().take() {
                shard.close(&self.shares);
            }
        }
    }
}

const NS_A_MS: u64 = 1_000_000;

#[inline]
fn nanoseconds(time: Duration) -> u64 {
    // 584 years.
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

fn ns(ms: i64) -> u64 {
    ms as u64 * NS_A_MS
}

/// What is stored for a value; `integer` is where its bytes are put.
#[inline]
fn plain<'a>(value: Value<'a>, integer: &'a mut [u8; 8]) -> (&'a [u8], Kind) {
    match value {
        Value::Bytes(bytes) => (bytes, Kind::Bytes),
        Value::Absent => (&[], Kind::Absent),
        Value::Integer(value) => {
            *integer = value.to_le_bytes();
            (integer, Kind::Integer)
        }
    }
}

fn body(at: &Address<'_>, value: &[u8]) -> Result<Body> {
    Body::new(at.key.as_str(), value).map_err(|_| no_memory())
}

fn no_memory() -> Error {
    Error::new(ErrorKind::Unavailable, "the cache got no memory from the system")
}
