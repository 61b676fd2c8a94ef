//! The engine beside the plain model of the cache: random operations of several plugins, tenants and namespaces, and not one
//! answer that differs. `PINTLE_CACHE_TURNS` says how many; in a release build a million takes some seconds:
//!
//! `PINTLE_CACHE_TURNS=10000000 cargo test --release -p pintle --lib cache::memory::against_model`

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::MemoryCache;
use crate::{
    error::Result,
    identity::{DataScope, Tenant, Tenants},
    services::{
        cache::{
            Address, Age, CacheBackend, Draft, ExpireIf, Glob, Item, Lifetime, SetIf, Space, Spans, Value,
            Written, conformance::Owned, model::Model,
        },
        clock::{Clock, ManualClock},
        keys::{Key, Namespace},
    },
};

/// As many as a plain `cargo test` has time for.
const TURNS: u64 = 30_000;

const TAGS: [&str; 4] = ["red", "green", "blue", "a tag with a longer name"];

/// A generator of numbers that are random enough and the same each time: xorshift64*.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len() as u64) as usize]
    }

    /// Mostly short, seldom long.
    fn ms(&mut self) -> i64 {
        let most = self.one_of(&[5, 300, 300, 100_000, 100_000_000]);
        1 + self.roll(most) as i64
    }

    fn lifetime(&mut self) -> Lifetime {
        if self.roll(4) == 0 { Lifetime::Endless } else { Lifetime::Ms(self.ms()) }
    }

    fn span(&mut self) -> i64 {
        if self.roll(3) == 0 { self.ms() } else { 0 }
    }
}

/// Both of them, and what is known of the versions that they gave.
struct Pair {
    engine: MemoryCache,
    model: Model,
    clock: Arc<ManualClock>,
    tenants: Tenants,
    held: Vec<Tenant>,
    ids: [Arc<str>; 3],
    /// For each place the last version of the engine and of the model.
    versions: HashMap<(usize, usize, u64, u64), (u64, u64)>,
}

/// A lent item with no borrow, without its version.
#[derive(Debug, PartialEq)]
struct Lent(Owned, Age, Lifetime, Lifetime);

impl Pair {
    fn new() -> Self {
        let clock = ManualClock::at(0);
        let tenants = Tenants::new();
        let held = ["", "t", "u"].map(|name| tenants.named(name)).into();
        Self {
            engine: MemoryCache::with_shards(256 << 20, 4, Arc::clone(&clock) as Arc<dyn Clock>),
            model: Model::new(Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            tenants,
            held,
            ids: ["a", "ab", "b"].map(Arc::from),
            versions: HashMap::new(),
        }
    }

    fn both<T: PartialEq + std::fmt::Debug>(
        &self,
        ask: impl Fn(&dyn CacheBackend) -> Result<T>,
    ) -> Option<T> {
        let [engine, model] = [&self.engine as &dyn CacheBackend, &self.model]
            .map(|one| ask(one).map_err(|error| error.kind()));
        assert_eq!(engine, model, "the engine, and the model");
        engine.ok()
    }

    fn read(&self, at: &Address<'_>) -> (Option<Lent>, (u64, u64)) {
        let read = |from: &dyn CacheBackend| {
            let (mut lent, mut version) = (None, 0);
            let found = from.get(at, &mut |item: Item<'_>| {
                let value = match item.value {
                    Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
                    Value::Integer(integer) => Owned::Integer(integer),
                    Value::Absent => Owned::Absent,
                };
                version = item.version;
                lent = Some(Lent(value, item.age, item.fresh(), item.left()));
            });
            assert_eq!(found.expect("it answers"), lent.is_some());
            (lent, version)
        };
        let ((engine, own), (model, other)) = (read(&self.engine), read(&self.model));
        assert_eq!(engine, model, "the engine, and the model");
        (engine, (own, other))
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, limit: usize) {
        let all = self.model.keys(space, prefix, None, usize::MAX).expect("it answers").keys;
        let (mut seen, mut count, mut cursor) = (BTreeSet::new(), 0, None);
        loop {
            let page = self.engine.keys(space, prefix, cursor.as_deref(), limit).expect("it answers");
            assert!(page.keys.len() == limit || page.next.is_none(), "only the last page is shorter");
            count += page.keys.len();
            seen.extend(page.keys);
            match page.next {
                None => break,
                next => cursor = next,
            }
        }
        assert_eq!(seen.len(), count, "each key comes once");
        assert_eq!(seen, BTreeSet::from_iter(all));
    }

    fn usage(&self) {
        let items = |of: &dyn CacheBackend| {
            let mut items: Vec<_> = of.usage().expect("it answers").into_iter().collect();
            items.sort_by(|a, b| a.plugin.cmp(&b.plugin));
            items.into_iter().map(|used| (used.plugin, used.items, used.evicted)).collect::<Vec<_>>()
        };
        assert_eq!(items(&self.engine), items(&self.model));
    }

    fn set(&mut self, dice: &mut Dice, at: &Address<'_>, place: (usize, usize, u64, u64)) {
        let long;
        let value = match dice.roll(12) {
            0 => Value::Absent,
            1..4 => {
                long = dice.roll(100_000).to_string().into_bytes();
                Value::Bytes(&long)
            }
            _ => {
                let most = dice.one_of(&[20, 20, 90, 200, 200, 5_000]);
                long = vec![dice.roll(256) as u8; dice.roll(most) as usize];
                Value::Bytes(&long)
            }
        };
        let mut tags = [at.namespace; 4];
        let mut count = 0;
        if dice.roll(2) == 0 {
            for tag in TAGS.iter().filter(|_| dice.roll(3) == 0) {
                tags[count] = Namespace::parse("tag", tag.as_bytes()).expect("it is one");
                count += 1;
            }
        }
        let spans = if value == Value::Absent || dice.roll(2) == 0 {
            Spans::default()
        } else {
            Spans { stale_ms: dice.span(), error_ms: dice.span() }
        };
        let (_, (own, other)) = self.read(at);
        let wanted = dice.roll(10);
        let version = |current: u64| match wanted {
            0 => SetIf::Absent,
            1 => SetIf::Version(0),
            2 => SetIf::Version(current),
            3 => SetIf::Version(u64::MAX),
            _ => SetIf::Always,
        };
        let draft = Draft {
            value,
            lifetime: dice.lifetime(),
            spans,
            keep_lifetime: dice.roll(4) == 0,
            tags: &tags[..count],
            condition: version(own),
        };
        let written = self.engine.set(at, &draft).expect("it fits");
        let expected = self.model.set(at, &Draft { condition: version(other), ..draft }).expect("it fits");
        match (written, expected) {
            (Written::Done(own), Written::Done(other)) => {
                let before = self.versions.insert(place, (own, other));
                assert!(before.is_none_or(|before| own > before.0), "no version is used again");
            }
            (Written::Refused(0), Written::Refused(0)) => {}
            (Written::Refused(one), Written::Refused(two)) => assert_eq!((one, two), (own, other)),
            both => panic!("the engine, and the model: {both:?}"),
        }
    }

    fn turn(&mut self, dice: &mut Dice) {
        let (plugin, tenant) = (dice.roll(3) as usize, dice.roll(3) as usize);
        let (namespace, number) = (dice.roll(3), dice.roll(40));
        let place = (plugin, tenant, namespace, number);
        // Some keys so long that they do not fit into a slot.
        let width = 2 + (number % 5 * 40) as usize;
        let (ns, key) = (format!("n{namespace}"), format!("{number:0>width$}"));
        let (id, own) = (Arc::clone(&self.ids[plugin]), self.held[tenant].clone());
        let tenants = std::mem::replace(&mut self.tenants, Tenants::new());
        let at = Address {
            scope: DataScope::new(plugin as u64 + 1, &id, own.number(), &tenants),
            namespace: Namespace::parse("ns", ns.as_bytes()).expect("it is one"),
            key: Key::parse("key", key.as_bytes()).expect("it is one"),
        };
        match dice.roll(64) {
            0..20 => drop(self.read(&at)),
            20..38 => self.set(dice, &at, place),
            38..44 => {
                let (delta, lifetime) = (dice.roll(7) as i64 - 3, dice.lifetime());
                if self.both(|one| one.incr(&at, delta, lifetime)).is_some() {
                    let (_, versions) = self.read(&at);
                    let before = self.versions.insert(place, versions);
                    assert!(before.is_none_or(|before| versions.0 > before.0), "no version is used again");
                }
            }
            44..47 => drop(self.both(|one| one.remove(&at))),
            47..52 => {
                let lifetime = (dice.roll(8) > 0).then(|| dice.lifetime());
                let condition = dice.one_of(&[
                    ExpireIf::Always,
                    ExpireIf::Endless,
                    ExpireIf::Set,
                    ExpireIf::Later,
                    ExpireIf::Earlier,
                ]);
                self.both(|one| one.expire(&at, lifetime, condition));
            }
            52 => {
                let tag = dice.one_of(&TAGS);
                let tag = Namespace::parse("tag", tag.as_bytes()).expect("it is one");
                self.both(|one| one.invalidate_tag(&at.scope, tag));
            }
            53 => {
                let pattern = dice.one_of(&["0*", "*1", "?[0-4]", "**", &key]);
                let pattern = Glob::parse("pattern", pattern.as_bytes()).expect("it is one");
                self.both(|one| one.invalidate(&at.space(), &pattern));
            }
            54 if dice.roll(4) == 0 => drop(self.both(|one| one.clear(&at.space()))),
            54..56 => {
                let prefix = dice.one_of(&["", "", "0", "00", "1", "x"]);
                self.keys(&at.space(), prefix, 1 + dice.roll(20) as usize);
            }
            56 => self.usage(),
            57..63 => self.clock.advance(Duration::from_micros(dice.roll(20_000))),
            _ => {
                let most = dice.one_of(&[1_000_000, 100_000_000, 10_000_000_000]);
                self.clock.advance(Duration::from_micros(dice.roll(most)));
            }
        }
        self.tenants = tenants;
    }
}

#[test]
fn random_operations_tell_what_the_model_tells() {
    let turns = std::env::var("PINTLE_CACHE_TURNS").ok();
    let turns = turns.map_or(TURNS, |turns| turns.parse().expect("PINTLE_CACHE_TURNS is a number"));
    // Not all in one: the clock can count no more than 584 years.
    for seed in 1..=turns.div_ceil(1_000_000).max(3) {
        let mut pair = Pair::new();
        let mut dice = Dice(seed);
        let turns = turns.div_ceil(3).min(1_000_000);
        for turn in 0..turns {
            pair.turn(&mut dice);
            if turn % 256 == 0 {
                pair.engine.check();
            }
        }
        for id in &pair.ids {
            pair.both(|one| one.remove_plugin(id));
        }
        assert_eq!(pair.engine.check(), 0, "an empty cache holds nothing");
    }
}
