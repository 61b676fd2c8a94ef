//! The read cache of the storage: values that were read not long ago, in memory, bounded by bytes.
//!
//! It never gives what the disk would not. Whoever writes says so before the write begins and takes that back when it has
//! returned ([`Hot::writing`]); meanwhile the items that it is about are not in here, and are read from the disk. Whoever has
//! read the disk may put in what he found ([`Hot::fill`]) only if nobody has written the item since before he looked: so no
//! old value comes in behind a newer one. Writes are told apart by stripes, many keys to each: two keys on one stripe only
//! cost a read of the disk. A scope that is cleared gets another era ([`Hot::clearing`]), in which nothing of the one before
//! is found.
//!
//! Values are let go of by the CLOCK algorithm: a hand goes round and takes what was not read since it last came by.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::*},
};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};

use super::super::Info;
use crate::identity::DataScope;

/// Larger values would push out too much else, and their copying takes longer than the look-up.
const LARGEST: usize = 64 << 10;

/// What an item takes beside its key and value.
const OVERHEAD: usize = size_of::<Item>() + 2 * size_of::<u32>() + 32;

/// More scopes than this are not remembered to have been cleared: then all of them are in a new era.
const MOST_ERAS: usize = 10_000;

const SHARDS: usize = 16;
/// Few, for they stay in memory when a host has ended.
const STRIPES: usize = 256;

/// Of a stripe: how many write there now, each step of a batch for itself. Above that, how often somebody began to.
const WRITING: u64 = (1 << 32) - 1;
const BEGUN: u64 = 1 << 32;

/// The read cache.
pub(super) struct Hot {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    stripes: Box<[AtomicU64]>,
    /// Of scopes that are not in the era of all others.
    eras: RwLock<HashMap<Owner, Era>>,
    /// Whether there are any.
    cleared: AtomicBool,
    /// The era of all others.
    common: AtomicU64,
    last_era: AtomicU64,
    /// How many write in scopes that they do not name.
    importing: AtomicU64,
    /// The latest time at which somebody saw something expire: what had expired then stays so if the clock goes back.
    latest_ms: AtomicI64,
    capacity_each: usize,
}

/// Whose an item is: the numbers of plugin and tenant, good for this host.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Owner {
    plugin: u64,
    tenant: u64,
}

#[derive(Clone, Copy)]
struct Era {
    /// Another one whenever clearing begins or ends, and never the same again.
    number: u64,
    /// How many clear now.
    clearing: u64,
}

/// Which item, and what was known of it before the disk was read.
#[derive(Clone, Copy)]
pub(super) struct Miss {
    place: Place,
    stripe: u64,
    /// Somebody clears the scope.
    clearing: bool,
}

/// Where an item lies.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Of owner and key.
    hash: u64,
    owner: Owner,
    era: u64,
}

/// Says that somebody writes items, until it is dropped.
pub(super) struct Writing<'a> {
    hot: &'a Hot,
    hashes: Vec<u64>,
}

/// Says that somebody clears a scope, until it is dropped.
pub(super) struct Clearing<'a> {
    hot: &'a Hot,
    owner: Owner,
}

/// Says that somebody writes in any scopes, until it is dropped.
pub(super) struct Importing<'a>(&'a Hot);

#[derive(Default)]
struct Shard {
    /// Where the items lie, by their hashes.
    index: HashTable<u32>,
    items: Vec<Option<Item>>,
    free: Vec<u32>,
    bytes: usize,
    hand: usize,
}

struct Item {
    place: Place,
    /// The key, and behind it the value.
    bytes: Box<[u8]>,
    key: u32,
    /// Read since the hand came by.
    read: bool,
    info: Info,
}

impl Hot {
    /// An empty one for so many bytes; 0: it keeps nothing.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            stripes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            eras: RwLock::default(),
            cleared: AtomicBool::new(false),
            common: AtomicU64::new(0),
            last_era: AtomicU64::new(0),
            importing: AtomicU64::new(0),
            latest_ms: AtomicI64::new(i64::MIN),
            capacity_each: capacity / SHARDS,
        }
    }

    /// Lends the item to `read` if it is here and, at `now`, has not expired; else answers what [`fill`](Self::fill) needs
    /// when the disk was read. `read` must not call the storage. `now` is asked only if it matters.
    pub(super) fn get(
        &self,
        scope: &DataScope<'_>,
        key: &[u8],
        now: impl FnOnce() -> i64,
        read: &mut dyn FnMut(&[u8], Info),
    ) -> Result<(), Miss> {
        let owner = Owner::of(scope);
        let hash = self.hash(owner, key);
        // Before the disk is looked at: what is written or cleared from here on shows.
        let stripe = self.stripe(hash).load(SeqCst);
        let Era { number: era, clearing } = self.era(owner);
        let place = Place { hash, owner, era };
        let miss = Miss { place, stripe, clearing: clearing > 0 };
        let mut shard = self.shard(hash).lock();
        let Some(item) = shard.find(&place, key) else { return Err(miss) };
        if item.info.expires_ms.is_some_and(|expires| expires <= self.latest_ms.load(SeqCst).max(now())) {
            return Err(miss);
        }
        item.read = true;
        read(item.value(), item.info);
        Ok(())
    }

    /// Puts in what the disk had after `miss`, unless somebody has written there since, or writes now.
    pub(super) fn fill(&self, miss: Miss, key: &[u8], value: &[u8], info: Info) {
        let Miss { place, stripe, clearing } = miss;
        let cost = key.len() + value.len() + OVERHEAD;
        if value.len() > LARGEST || cost > self.capacity_each || stripe & WRITING != 0 || clearing {
            return;
        }
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(key.len() + value.len()).is_err() {
            return;
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        let item = Item { place, bytes: bytes.into(), key: key.len() as u32, read: false, info };
        let mut shard = self.shard(place.hash).lock();
        // With the shard locked: who begins to write from here on removes what is put in.
        if self.stripe(place.hash).load(SeqCst) == stripe {
            shard.put(item, self.capacity_each);
        }
    }

    /// Somebody is about to write these items of a scope; until the answer is dropped, which must be after the write has
    /// returned, whatever became of it.
    pub(super) fn writing<'k>(
        &self,
        scope: &DataScope<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Writing<'_> {
        let mut writing = Writing { hot: self, hashes: Vec::with_capacity(keys.size_hint().0) };
        let owner = Owner::of(scope);
        for key in keys {
            let hash = self.hash(owner, key);
            self.stripe(hash).fetch_add(BEGUN + 1, SeqCst);
            writing.hashes.push(hash);
            // Behind the stripe: in an era that begins later nothing is put in while this lasts.
            let place = Place { hash, owner, era: self.era(owner).number };
            self.shard(hash).lock().remove(&place, key);
        }
        writing
    }

    /// Somebody is about to write items of a scope and does not say which, or to clear it; until the answer is dropped, as
    /// with [`writing`](Self::writing).
    pub(super) fn clearing(&self, scope: &DataScope<'_>) -> Clearing<'_> {
        let owner = Owner::of(scope);
        let mut eras = self.eras.write();
        if eras.len() >= MOST_ERAS {
            eras.retain(|_, era| era.clearing > 0);
            self.common.store(self.next_era(), SeqCst);
        }
        let era = eras.entry(owner).or_insert(Era { number: 0, clearing: 0 });
        era.number = self.next_era();
        era.clearing += 1;
        self.cleared.store(true, SeqCst);
        Clearing { hot: self, owner }
    }

    /// Somebody is about to write items and does not say in which scopes; until the answer is dropped, as with
    /// [`writing`](Self::writing).
    pub(super) fn importing(&self) -> Importing<'_> {
        self.importing.fetch_add(1, SeqCst);
        self.begin_era();
        Importing(self)
    }

    /// Nothing that is here is found any more.
    fn begin_era(&self) {
        let mut eras = self.eras.write();
        self.common.store(self.next_era(), SeqCst);
        eras.values_mut().for_each(|era| era.number = self.next_era());
    }

    /// What expires by this time has expired, though the clock should go back.
    pub(super) fn expired(&self, now_ms: i64) {
        self.latest_ms.fetch_max(now_ms, SeqCst);
    }

    /// Lets go of everything.
    pub(super) fn empty(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    fn era(&self, owner: Owner) -> Era {
        let common = || Era { number: self.common.load(SeqCst), clearing: 0 };
        let mut era = match self.cleared.load(SeqCst) {
            true => self.eras.read().get(&owner).copied().unwrap_or_else(common),
            false => common(),
        };
        // Behind the era: whoever begins later begins another one too.
        era.clearing += self.importing.load(SeqCst);
        era
    }

    fn next_era(&self) -> u64 {
        self.last_era.fetch_add(1, SeqCst) + 1
    }

    fn hash(&self, owner: Owner, key: &[u8]) -> u64 {
        self.hasher.hash_one((owner, key))
    }

    /// Neither of the two takes the bits that the index of a shard looks at first and last.
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    fn stripe(&self, hash: u64) -> &AtomicU64 {
        &self.stripes[(hash >> 36) as usize % STRIPES]
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        for hash in &self.hashes {
            self.hot.stripe(*hash).fetch_sub(1, SeqCst);
        }
    }
}

impl Drop for Clearing<'_> {
    fn drop(&mut self) {
        if let Some(era) = self.hot.eras.write().get_mut(&self.owner) {
            era.number = self.hot.next_era();
            era.clearing -= 1;
        }
    }
}

impl Drop for Importing<'_> {
    fn drop(&mut self) {
        self.0.begin_era();
        self.0.importing.fetch_sub(1, SeqCst);
    }
}

impl Owner {
    fn of(scope: &DataScope<'_>) -> Self {
        Self { plugin: scope.plugin, tenant: scope.tenant_number() }
    }
}

impl Shard {
    fn find(&mut self, place: &Place, key: &[u8]) -> Option<&mut Item> {
        let items = &self.items;
        let at = *self.index.find(place.hash, |at| is_at(items, *at, place, key))?;
        self.items[at as usize].as_mut()
    }

    fn remove(&mut self, place: &Place, key: &[u8]) {
        let items = &self.items;
        if let Ok(found) = self.index.find_entry(place.hash, |at| is_at(items, *at, place, key)) {
            let at = found.remove().0;
            self.forget(at);
        }
    }

    fn put(&mut self, item: Item, capacity: usize) {
        // Another reader may have been faster, with the same.
        self.remove(&item.place, item.key());
        self.make_room(item.cost(), capacity);
        self.bytes += item.cost();
        let hash = item.place.hash;
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.items.push(None);
                (self.items.len() - 1) as u32
            }
        };
        self.items[at as usize] = Some(item);
        let items = &self.items;
        self.index
            .insert_unique(hash, at, |at| items[*at as usize].as_ref().map_or(0, |item| item.place.hash));
    }

    /// Turns the hand until so many bytes more have room.
    fn make_room(&mut self, cost: usize, capacity: usize) {
        while self.bytes + cost > capacity && !self.items.is_empty() {
            self.hand = (self.hand + 1) % self.items.len();
            let at = self.hand;
            let Some(item) = &mut self.items[at] else { continue };
            if std::mem::take(&mut item.read) {
                continue;
            }
            let hash = item.place.hash;
            if let Ok(found) = self.index.find_entry(hash, |other| *other as usize == at) {
                found.remove();
            }
            self.forget(at as u32);
        }
    }

    /// Frees the place of an item that is in the index no more.
    fn forget(&mut self, at: u32) {
        if let Some(item) = self.items[at as usize].take() {
            self.bytes -= item.cost();
            self.free.push(at);
        }
    }
}

impl Item {
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key as usize]
    }

    fn value(&self) -> &[u8] {
        &self.bytes[self.key as usize..]
    }

    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

fn is_at(items: &[Option<Item>], at: u32, place: &Place, key: &[u8]) -> bool {
    items[at as usize].as_ref().is_some_and(|item| item.place == *place && item.key() == key)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;
    use crate::identity::{Tenant, Tenants};

    const NEVER: Option<i64> = None;

    fn info(version: u64, expires_ms: Option<i64>) -> Info {
        Info { version, created_ms: 1, updated_ms: 2, expires_ms }
    }

    /// A cache, and whose items are in it.
    struct Tried {
        hot: Hot,
        plugin: Arc<str>,
        tenants: Tenants,
    }

    impl Tried {
        fn new(capacity: usize) -> Self {
            Self { hot: Hot::new(capacity), plugin: "meter".into(), tenants: Tenants::new() }
        }

        fn scope(&self) -> DataScope<'_> {
            DataScope::new(1, &self.plugin, Tenant::SYSTEM, &self.tenants)
        }

        fn read(&self, key: &str, now: i64) -> Result<(Vec<u8>, Info), Miss> {
            let mut found = None;
            let mut lend = |value: &[u8], info| found = Some((value.to_vec(), info));
            self.hot.get(&self.scope(), key.as_bytes(), || now, &mut lend)?;
            Ok(found.expect("it was lent"))
        }

        fn miss(&self, key: &str) -> Miss {
            self.read(key, 0).expect_err("it is not here")
        }

        fn writing(&self, key: &str) -> Writing<'_> {
            self.hot.writing(&self.scope(), [key.as_bytes()].into_iter())
        }

        /// Items and bytes.
        fn usage(&self) -> (usize, usize) {
            let each = self.hot.shards.iter().map(|shard| {
                let shard = shard.lock();
                (shard.index.len(), shard.bytes)
            });
            each.fold((0, 0), |(items, bytes), (more, larger)| (items + more, bytes + larger))
        }
    }

    #[test]
    fn what_was_put_in_is_given_until_it_is_written_or_expires() {
        let hot = Tried::new(1 << 20);
        hot.hot.fill(hot.miss("a"), b"a", b"value", info(7, Some(100)));
        assert_eq!(hot.read("a", 99).ok(), Some((b"value".to_vec(), info(7, Some(100)))));
        assert!(hot.read("a", 100).is_err(), "it has expired");
        let other = DataScope::new(2, &hot.plugin, Tenant::SYSTEM, &hot.tenants);
        assert!(hot.hot.get(&other, b"a", || 0, &mut |_, _| ()).is_err(), "another scope's is another item");
        hot.hot.expired(100);
        assert!(hot.read("a", 99).is_err(), "what has expired stays so, though the clock goes back");
        drop(hot.writing("a"));
        assert!(hot.read("a", 0).is_err());
        assert_eq!(hot.usage(), (0, 0));
    }

    #[test]
    fn what_was_read_before_a_write_is_not_put_in_after_it_began() {
        let hot = Tried::new(1 << 20);
        let early = hot.miss("a");
        let writing = hot.writing("a");
        hot.hot.fill(early, b"a", b"old", info(1, NEVER));
        let during = hot.miss("a");
        hot.hot.fill(during, b"a", b"old or new", info(1, NEVER));
        drop(writing);
        hot.hot.fill(early, b"a", b"old", info(1, NEVER));
        hot.hot.fill(during, b"a", b"old or new", info(1, NEVER));
        let late = hot.miss("a");
        hot.hot.fill(late, b"a", b"new", info(2, NEVER));
        assert_eq!(hot.read("a", 0).map(|found| found.1.version).ok(), Some(2));
    }

    #[test]
    fn what_was_read_before_a_scope_was_cleared_is_not_found_after() {
        let hot = Tried::new(1 << 20);
        hot.hot.fill(hot.miss("a"), b"a", b"old", info(1, NEVER));
        let early = hot.miss("b");
        let (first, second) = (hot.hot.clearing(&hot.scope()), hot.hot.clearing(&hot.scope()));
        assert!(hot.read("a", 0).is_err());
        drop(first);
        let during = hot.miss("c");
        drop(second);
        hot.hot.fill(early, b"b", b"old", info(1, NEVER));
        hot.hot.fill(during, b"c", b"old or new", info(1, NEVER));
        assert!(["a", "b", "c"].iter().all(|key| hot.read(key, 0).is_err()));
        hot.hot.fill(hot.miss("a"), b"a", b"new", info(2, NEVER));
        let early = hot.miss("b");
        let importing = hot.hot.importing();
        let during = hot.miss("c");
        drop(importing);
        hot.hot.fill(early, b"b", b"old", info(1, NEVER));
        hot.hot.fill(during, b"c", b"old or new", info(1, NEVER));
        assert!(["a", "b", "c"].iter().all(|key| hot.read(key, 0).is_err()), "an import is about all scopes");
        // A write that began before a clear and ends after it.
        let writing = hot.writing("d");
        drop(hot.hot.clearing(&hot.scope()));
        hot.hot.fill(hot.miss("d"), b"d", b"old or new", info(1, NEVER));
        drop(writing);
        assert!(hot.read("d", 0).is_err());
        hot.hot.fill(hot.miss("d"), b"d", b"new", info(2, NEVER));
        assert!(hot.read("d", 0).is_ok());
    }

    #[test]
    fn however_many_write_an_item_nothing_is_put_in() {
        let hot = Tried::new(1 << 20);
        let key = [b"a".as_slice(); 128];
        let writing: Vec<_> = (0..512).map(|_| hot.hot.writing(&hot.scope(), key.into_iter())).collect();
        hot.hot.fill(hot.miss("a"), b"a", b"old or new", info(1, NEVER));
        drop(writing);
        assert!(hot.read("a", 0).is_err(), "512 batches write it in all of their 128 steps");
    }

    #[test]
    fn it_takes_no_more_than_its_bytes_and_keeps_what_is_read() {
        let hot = Tried::new(1 << 20);
        let value = [7; 100];
        for round in 0..50 {
            for key in 0..1_000 {
                let key = format!("{round}-{key}");
                hot.hot.fill(hot.miss(&key), key.as_bytes(), &value, info(1, NEVER));
                match hot.read("favourite", 0) {
                    Ok(_) => {}
                    Err(miss) => {
                        assert_eq!((round, key.as_str()), (0, "0-0"), "what is read all the time stays");
                        hot.hot.fill(miss, b"favourite", &value, info(1, NEVER));
                    }
                }
            }
            let (items, bytes) = hot.usage();
            assert!(bytes <= 1 << 20 && items > 1_000, "{items} items, {bytes} bytes");
        }
        hot.hot.empty();
        assert_eq!(hot.usage(), (0, 0));
    }

    #[test]
    fn what_is_too_large_is_left_out_and_a_cache_of_no_bytes_keeps_nothing() {
        let hot = Tried::new(4 << 20);
        hot.hot.fill(hot.miss("a"), b"a", &vec![0; LARGEST + 1], info(1, NEVER));
        hot.hot.fill(hot.miss("b"), b"b", &vec![0; LARGEST], info(1, NEVER));
        assert!(hot.read("a", 0).is_err() && hot.read("b", 0).is_ok());
        let none = Tried::new(0);
        none.hot.fill(none.miss("a"), b"a", b"", info(1, NEVER));
        assert_eq!(none.usage(), (0, 0));
    }

    /// The disk is a number for each key; writers make it grow.
    #[test]
    fn no_reader_ever_sees_an_older_value_than_one_that_was_acknowledged_or_read() {
        const KEYS: usize = 8;
        const WRITES: u64 = 20_000;
        let hot = Tried::new(1 << 20);
        let (disk, acknowledged): (Vec<AtomicU64>, Vec<AtomicU64>) =
            (0..KEYS).map(|_| (AtomicU64::new(0), AtomicU64::new(0))).unzip();
        let names: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..3 {
                let (hot, disk, acknowledged, names, over) = (&hot, &disk, &acknowledged, &names, &over);
                scope.spawn(move || {
                    let mut seen = [0; KEYS];
                    let mut turn = reader;
                    while !over.load(Relaxed) {
                        turn += 1;
                        let key = turn % KEYS;
                        let least = acknowledged[key].load(SeqCst).max(seen[key]);
                        seen[key] = match hot.read(&names[key], 0) {
                            Ok((_, info)) => info.version,
                            Err(miss) => {
                                let found = disk[key].load(SeqCst);
                                hot.hot.fill(miss, names[key].as_bytes(), b"", info(found, NEVER));
                                found
                            }
                        };
                        assert!(seen[key] >= least, "{} is older than {least}", seen[key]);
                    }
                });
            }
            for write in 1..=WRITES {
                let key = (write * 7 % KEYS as u64) as usize;
                let writing = hot.writing(&names[key]);
                disk[key].store(write, SeqCst);
                drop(writing);
                acknowledged[key].store(write, SeqCst);
            }
            over.store(true, Relaxed);
        });
    }
}
