//! What the engine promises beyond the conformance suite: its bound, who goes and who stays, and what it holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{super::random::Dice, Lost, MemoryCache, NS_A_MS, Shard, rooms};
use crate::{
    error::ErrorKind,
    identity::Tenant,
    services::{
        cache::{
            CacheBackend, Draft, ExpireIf, Expired, LARGEST_VALUE, Lifetime, Value, Write,
            conformance::{Owned, Scene, cache_conformance},
        },
        clock::{Clock, ManualClock},
    },
};

const MIB: usize = 1 << 20;

cache_conformance!(|clock| Box::new(MemoryCache::new(64 * MIB, clock, Arc::<Lost>::default())));

impl MemoryCache {
    /// Bytes in use, after a look at every count that could be wrong.
    pub(super) fn check(&self) -> usize {
        let mut used = 0;
        let mut granted = self.pool.free();
        for shard in (0..self.shards.len()).map(|shard| self.lock(shard)) {
            shard.check();
            assert!(shard.used() <= shard.granted(), "{} of {}", shard.used(), shard.granted());
            used += shard.used();
            granted += shard.granted();
        }
        assert_eq!(granted, self.capacity, "no byte is lost and none is granted twice");
        used
    }

    fn items(&self) -> usize {
        (0..self.shards.len()).map(|shard| self.lock(shard).len()).sum()
    }
}

pub(super) fn scene(capacity: usize, shards: usize) -> (Scene, Arc<MemoryCache>) {
    let mut engine = None;
    let scene = Scene::new(|clock: Arc<ManualClock>| {
        let cache = Arc::new(MemoryCache::with_shards(
            capacity,
            shards,
            clock as Arc<dyn Clock>,
            Arc::<Lost>::default(),
        ));
        engine = Some(Arc::clone(&cache));
        Box::new(cache)
    });
    (scene, engine.expect("it was made"))
}

/// Random operations against a plain map. A cache may forget an item when room is needed, but never tell anything
/// else than the map; with room enough it forgets nothing.
fn against_a_model(seed: u64, capacity: usize, shards: usize, may_forget: bool) {
    let (scene, engine) = scene(capacity, shards);
    let tenants: Vec<Tenant> = ["", "t", "u"].map(|name| scene.tenants.named(name)).into();
    let mut dice = Dice::new(seed);
    let mut model: HashMap<(usize, usize, u64, u64), (Owned, u64)> = HashMap::new();
    let (mut hits, mut forgotten) = (0, 0);
    for turn in 0..40_000 {
        let (plugin, tenant) = (dice.roll(3) as usize, dice.roll(3) as usize);
        let (space, number) = (dice.roll(3), dice.roll(60));
        // Some keys so long that they do not fit into a slot.
        let (ns, key) =
            (format!("n{space}"), format!("{number:0>width$}", width = 2 + (number % 7 * 40) as usize));
        let at = scene.at(plugin, &tenants[tenant], &ns, &key);
        let name = (plugin, tenant, space, number);
        let now = engine.now();
        model.retain(|_, (_, end)| *end > now);
        let (lifetime, end) = match dice.roll(3) {
            0 => (Lifetime::Endless, u64::MAX),
            _ => {
                let most = [5, 300, 100_000][dice.roll(3) as usize];
                let ms = 1 + dice.roll(most);
                (Lifetime::Ms(ms as i64), now + ms * NS_A_MS)
            }
        };
        let there = scene.read(&at);
        match (&there, model.get(&name)) {
            (None, Some(_)) if may_forget => {
                model.remove(&name);
                forgotten += 1;
            }
            (None, None) => {}
            (Some((value, left)), Some((expected, end))) => {
                hits += 1;
                assert!(value == expected, "turn {turn}");
                let ms = (*end != u64::MAX).then(|| Lifetime::Ms((end - now).div_ceil(NS_A_MS) as i64));
                assert_eq!(*left, ms.unwrap_or(Lifetime::Endless), "turn {turn}");
            }
            (there, expected) => panic!("turn {turn}: {there:?} instead of {expected:?}"),
        }
        match dice.roll(16) {
            0..7 => {
                let most = [20, 200, 5_000, 60_000][(dice.roll(20) / 6) as usize];
                let len = dice.roll(most) as usize;
                let value = if dice.roll(4) == 0 {
                    dice.roll(1_000).to_string().into_bytes()
                } else {
                    vec![turn as u8; len]
                };
                engine.set(&at, &Draft::of(Value::Bytes(&value), lifetime)).expect("it fits");
                model.insert(name, (Owned::Bytes(value), end));
            }
            7..10 => {
                let before = model.get(&name).cloned();
                let sum = match &before {
                    None => Ok(3),
                    Some((Owned::Integer(integer), _)) => Ok(integer + 3),
                    Some((Owned::Absent, _)) => unreachable!("nobody writes a note here"),
                    Some((Owned::Bytes(bytes), _)) => {
                        let text = String::from_utf8_lossy(bytes);
                        let integer = text.parse::<i64>().ok().filter(|integer| integer.to_string() == text);
                        integer.map(|integer| integer + 3).ok_or(ErrorKind::WrongType)
                    }
                };
                let end = before.map_or(end, |(_, end)| end);
                assert_eq!(engine.incr(&at, 3, lifetime).map_err(|error| error.kind()), sum, "turn {turn}");
                if let Ok(sum) = sum {
                    model.insert(name, (Owned::Integer(sum), end));
                }
            }
            10..12 => assert_eq!(engine.remove(&at).expect("it answers"), model.remove(&name).is_some()),
            12..14 => {
                let condition =
                    [ExpireIf::Always, ExpireIf::Endless, ExpireIf::Set, ExpireIf::Later, ExpireIf::Earlier]
                        [dice.roll(5) as usize];
                let expired = engine.expire(&at, Some(lifetime), condition).expect("it answers");
                let expected = match model.get_mut(&name) {
                    None => Expired::Missing,
                    Some((_, old)) => {
                        // The greatest number stands for never, so plain comparisons are right.
                        let holds = match condition {
                            ExpireIf::Always => true,
                            ExpireIf::Endless => *old == u64::MAX,
                            ExpireIf::Set => *old != u64::MAX,
                            ExpireIf::Later => end > *old,
                            ExpireIf::Earlier => end < *old,
                        };
                        if holds {
                            *old = end;
                            Expired::Changed
                        } else {
                            Expired::Refused
                        }
                    }
                };
                assert_eq!(expired, expected, "turn {turn}");
            }
            14 => scene.clock.advance(Duration::from_micros(dice.roll(3_000))),
            _ => scene.clock.advance(Duration::from_micros(dice.roll(300_000))),
        }
        if turn % 16 == 0 {
            assert!(engine.check() <= capacity);
        }
    }
    assert!(hits > 3_000, "only {hits} hits");
    assert_eq!(forgotten > 0, may_forget, "{forgotten} forgotten");
    if !may_forget {
        let now = engine.now();
        model.retain(|_, (_, end)| *end > now);
        let counted: u64 = engine.usage().expect("counted").iter().map(|usage| usage.items).sum();
        assert_eq!(counted, model.len() as u64);
    }
    scene.clock.advance(Duration::from_secs(200));
    let endless = model.values().filter(|(_, end)| *end == u64::MAX).count();
    let left: u64 = engine.usage().expect("counted").iter().map(|usage| usage.items).sum();
    assert!(left <= endless as u64, "{left} left, {endless} of the model do not expire");
    for id in ["a", "ab", "b"] {
        engine.remove_plugin(id).expect("it answers");
    }
    assert_eq!(engine.check(), 0, "an empty cache holds nothing");
}

#[test]
fn random_operations_tell_what_a_plain_map_tells() {
    for seed in 1..=3 {
        against_a_model(seed, 256 * MIB, 8, false);
    }
}

#[test]
fn cache_35_the_bound_holds_under_random_operations_and_what_is_told_is_true() {
    for (seed, shards) in [(11, 1), (12, 2), (13, 8)] {
        against_a_model(seed, 700_000, shards, true);
    }
}

#[test]
fn cache_35_the_bound_holds_while_threads_write_small_and_large_items() {
    let (scene, engine) = scene(24 * MIB, 4);
    std::thread::scope(|threads| {
        let writers: Vec<_> = (0..4_u64)
            .map(|thread| {
                let (scene, engine) = (&scene, &engine);
                threads.spawn(move || {
                    let mut dice = Dice::new(thread + 1);
                    let large = vec![7; LARGEST_VALUE];
                    for turn in 0..4_000 {
                        let len = if turn % 40 == 0 { LARGEST_VALUE } else { dice.roll(3_000) as usize };
                        let key = dice.roll(20_000).to_string();
                        let at = scene.key(&key);
                        engine
                            .set(&at, &Draft::of(Value::Bytes(&large[..len]), Lifetime::Endless))
                            .expect("it fits");
                    }
                })
            })
            .collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let used: usize = (0..engine.shards.len()).map(|shard| engine.lock(shard).granted()).sum();
            // Read one after the other: what moved between two looks may be counted in both, but no more than that.
            assert!(used <= engine.capacity + 4 * (MIB + (64 << 10)), "{used}");
            std::thread::yield_now();
        }
    });
    assert!(engine.check() <= engine.capacity);
    assert!(engine.check() > engine.capacity / 4 * 3, "the capacity is used");
}

#[test]
fn a_value_of_1_mib_fits_wherever_the_capacity_allows_it() {
    // In one shard, and where a shard's share is much smaller than the value.
    for (capacity, shards) in [(MIB + MIB / 8, 1), (4 * MIB, 16)] {
        let (scene, engine) = scene(capacity, shards);
        let value = vec![1; LARGEST_VALUE];
        for number in 0..3_000 {
            scene
                .cache
                .set(&scene.key(&format!("small{number}")), &Write::of(&[2; 300], None))
                .expect("it fits");
        }
        for number in 0..20 {
            let key = format!("large{number}");
            engine
                .set(&scene.key(&key), &Draft::of(Value::Bytes(&value), Lifetime::Endless))
                .expect("it fits");
            assert!(scene.read(&scene.key(&key)) == Some((Owned::Bytes(value.clone()), Lifetime::Endless)));
            assert!(engine.check() <= capacity);
        }
    }
}

#[test]
fn what_cannot_fit_is_refused_and_nothing_goes_for_it() {
    let (scene, engine) = scene(512 << 10, 1);
    let (small, large) = (scene.key("small"), scene.key("large"));
    scene.cache.set(&small, &Write::of(b"v", None)).expect("it fits");
    scene.cache.set(&large, &Write::of(b"old", None)).expect("it fits");
    let error =
        scene.cache.set(&large, &Write::of(&vec![1; LARGEST_VALUE], None)).expect_err("it cannot fit");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let text = error.to_string();
    assert!(text.starts_with("an item of 1048576 bytes does not fit into a cache that has "), "{text}");
    assert_eq!(engine.items(), 2);
    assert_eq!(scene.read(&large).map(|(value, _)| value), Some(Owned::Bytes(b"old".into())));
    // Not even an integer fits into nothing.
    let (scene, _) = self::scene(0, 1);
    let error = scene.cache.incr(&scene.key("k"), 1, None).expect_err("it cannot fit");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn what_is_used_stays_while_a_scan_goes_through() {
    let (scene, engine) = scene(2 * MIB, 2);
    let hot: Vec<String> = (0..500).map(|number| format!("hot{number}")).collect();
    for key in &hot {
        scene.cache.set(&scene.key(key), &Write::of(&[1; 100], None)).expect("it fits");
    }
    let mut lost = 0;
    for number in 0..100_000 {
        scene.cache.set(&scene.key(&format!("scan{number}")), &Write::of(&[2; 100], None)).expect("it fits");
        let at = scene.key(&hot[number % hot.len()]);
        if !scene.cache.exists(&at).expect("it is asked") {
            lost += 1;
        }
    }
    assert!(engine.items() < 10_000, "room was needed");
    assert_eq!(lost, 0, "of what is used every 500 writes nothing goes");
}

#[test]
fn what_has_expired_goes_before_what_lives() {
    let (scene, engine) = scene(4 * MIB, 1);
    let keys: Vec<String> = (0..10_000).map(|number| format!("k{number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        // Two of three will have expired, of many different ages.
        let ttl_ms = if number % 3 == 0 { 0 } else { 1 + number as i64 * 7 % 5_000 };
        scene.cache.set(&scene.key(key), &Write::of(&[1; 100], Some(ttl_ms))).expect("it fits");
    }
    assert_eq!(engine.items(), 10_000, "all fit");
    scene.clock.advance(Duration::from_secs(5));
    // What has expired makes room for these.
    for number in 0..6_000 {
        scene
            .cache
            .set(&scene.key(&format!("new{number}")), &Write::of(&[2; 100], Some(0)))
            .expect("it fits");
    }
    for key in keys.iter().step_by(3) {
        assert!(scene.cache.exists(&scene.key(key)).expect("it is asked"), "{key}");
    }
}

#[test]
fn writes_reclaim_what_has_expired_without_being_asked_for_it() {
    let (scene, engine) = scene(64 * MIB, 1);
    for number in 0..20_000 {
        scene
            .cache
            .set(&scene.key(&format!("k{number}")), &Write::of(&[1; 100], Some(1 + number % 900)))
            .expect("it fits");
    }
    let full = engine.check();
    scene.clock.advance(Duration::from_secs(1));
    // Each write looks at eight, and an item may be looked at on three wheels.
    for _ in 0..8_000 {
        scene.cache.incr(&scene.key("count"), 1, Some(0)).expect("it counts");
    }
    assert_eq!(engine.items(), 1);
    assert!(engine.check() * 50 < full, "{} of {full} bytes are still held", engine.check());
}

#[test]
fn a_tenant_is_held_for_as_long_as_it_has_items() {
    let (scene, engine) = scene(MIB, 1);
    let number = |name: &str| scene.tenants.named(name).number();
    // Each way for the last item to go.
    type Go<'a> = &'a dyn Fn(&super::Address<'_>);
    let ways: [(&str, Go<'_>); 5] = [
        ("remove", &|at| assert!(engine.remove(at).expect("it answers"))),
        ("expire", &|at| {
            assert_eq!(engine.expire(at, None, ExpireIf::Always).expect("it answers"), Expired::Changed);
        }),
        ("time", &|at| {
            scene.clock.advance(Duration::from_secs(2));
            assert!(!engine.get(at, &mut |_| ()).expect("it answers"));
        }),
        ("plugin", &|_| assert_eq!(engine.remove_plugin("a").expect("it answers"), 1)),
        ("room", &|_| {
            let system = scene.tenants.named("");
            for number in 0..2_000 {
                let key = number.to_string();
                engine
                    .set(
                        &scene.at(0, &system, "ns", &key),
                        &Draft::of(Value::Bytes(&[0; 1_000]), Lifetime::Endless),
                    )
                    .expect("it fits");
            }
        }),
    ];
    for (way, go) in ways {
        let tenant = scene.tenants.named("acme");
        let at = scene.at(0, &tenant, "ns", "last");
        engine.set(&at, &Draft::of(Value::Bytes(b"v"), Lifetime::Ms(1_000))).expect("it fits");
        let before = tenant.number();
        drop(tenant);
        assert_eq!(number("acme"), before, "{way}: the item holds it");
        let kept = scene.tenants.numbered(before);
        assert!(kept.is_some(), "{way}");
        drop(kept);
        go(&at);
        assert!(scene.tenants.numbered(before).is_none(), "{way}: nothing holds it any more");
        let error = engine
            .set(&at, &Draft::of(Value::Bytes(b"v"), Lifetime::Endless))
            .expect_err("the tenant is gone");
        assert_eq!(error.kind(), ErrorKind::StaleHandle, "{way}");
        engine.check();
    }
}

#[test]
fn namespaces_are_paid_for_and_go_with_their_last_item() {
    let (scene, engine) = scene(4 * MIB, 1);
    for number in 0..50_000 {
        let ns = format!("{number:0>120}");
        let at = scene.at(0, &scene.tenants.named(""), &ns, "k");
        engine.set(&at, &Draft::of(Value::Bytes(b"v"), Lifetime::Ms(1_000))).expect("it fits");
    }
    assert!(engine.check() <= 4 * MIB);
    assert!(engine.items() * rooms::cost(&"n".repeat(120)) < 4 * MIB, "each is counted");
    scene.clock.advance(Duration::from_secs(1));
    let usage = engine.usage().expect("counted");
    assert_eq!((usage[0].items, usage[0].bytes), (0, 0));
    assert!(usage[0].evicted > 0, "what made room is counted");
    assert_eq!(engine.check(), 0);
}

#[test]
fn threads_that_write_read_and_remove_the_same_items_see_whole_values() {
    let (scene, engine) = scene(8 * MIB, 2);
    std::thread::scope(|threads| {
        for thread in 0..4_u64 {
            let (scene, engine) = (&scene, &engine);
            threads.spawn(move || {
                let mut dice = Dice::new(thread + 77);
                for _ in 0..20_000 {
                    let key = dice.roll(16).to_string();
                    let at = scene.key(&key);
                    match dice.roll(4) {
                        0 => {
                            let len = [10, 100, 5_000][dice.roll(3) as usize];
                            let value = vec![dice.roll(256) as u8; len];
                            engine
                                .set(&at, &Draft::of(Value::Bytes(&value), Lifetime::Endless))
                                .expect("it fits");
                        }
                        1 => drop(engine.remove(&at).expect("it answers")),
                        _ => {
                            let whole = |item: super::Item<'_>| {
                                let super::Value::Bytes(bytes) = item.value else {
                                    panic!("nobody counts here")
                                };
                                assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                                assert!([10, 100, 5_000].contains(&bytes.len()));
                            };
                            engine.get(&at, &mut { whole }).expect("it answers");
                        }
                    }
                }
            });
        }
    });
    engine.check();
}

#[test]
fn small_caches_have_one_shard_and_large_ones_many() {
    let shards =
        |capacity| MemoryCache::new(capacity, ManualClock::at(0), Arc::<Lost>::default()).shards.len();
    let cases =
        [(0, 1), (MIB, 1), (2 * MIB - 1, 1), (2 * MIB, 2), (64 * MIB, 64), (300 * MIB, 64), (1 << 33, 1024)];
    for (capacity, expected) in cases {
        assert_eq!(shards(capacity), expected, "{capacity} bytes");
    }
    const { assert!(1024 * Shard::BYTES < 4 * MIB) };
}

/// Deadlines and jumps of the clock from a millisecond to a century: at no moment is anything kept that has expired, nor
/// anything gone that has not, whichever wheels its deadline has come down.
#[test]
fn what_expires_is_found_in_time_however_far_ahead_it_was_and_however_far_the_clock_jumps() {
    for seed in 1..=4 {
        let (scene, engine) = scene(64 * MIB, 1);
        let tenant = scene.tenants.named("");
        let mut dice = Dice::new(seed);
        let mut model: HashMap<u64, u64> = HashMap::new();
        // As likely to be short as long: a number of that many bits.
        let span = |dice: &mut Dice, bits: u64| {
            let most = 1 << (1 + dice.roll(bits));
            1 + dice.roll(most)
        };
        // 2^42 milliseconds are 140 years; all jumps together stay below the 584 that the clock can count.
        let mut years_left = 200 * 365 * 86_400_000_u64;
        for turn in 0..6_000 {
            let number = dice.roll(2_000);
            let key = number.to_string();
            let at = scene.at(0, &tenant, "n", &key);
            let ms = span(&mut dice, 41);
            let end = engine.now() + ms * NS_A_MS;
            match dice.roll(4) {
                0 => {
                    let changed = engine.expire(&at, Some(Lifetime::Ms(ms as i64)), ExpireIf::Always);
                    let there = model.get_mut(&number).map(|old| *old = end).is_some();
                    assert_eq!(changed.expect("it answers") == Expired::Changed, there, "turn {turn}");
                }
                _ => {
                    engine
                        .set(&at, &Draft::of(Value::Bytes(b"v"), Lifetime::Ms(ms as i64)))
                        .expect("it fits");
                    model.insert(number, end);
                }
            }
            if dice.roll(3) == 0 {
                let jump = span(&mut dice, 36).min(years_left);
                years_left -= jump;
                scene.clock.advance(Duration::from_millis(jump));
                let now = engine.now();
                model.retain(|_, end| *end > now);
                // Counts after a look at all that is due.
                let kept: u64 = engine.usage().expect("counted").iter().map(|used| used.items).sum();
                assert_eq!(kept, model.len() as u64, "turn {turn} of seed {seed}");
            }
        }
        engine.check();
        scene.clock.advance(Duration::from_millis(1 << 43));
        assert!(engine.usage().expect("counted").is_empty(), "all has expired");
        assert_eq!(engine.check(), 0);
    }
}

#[test]
fn a_reader_that_panics_leaves_the_item_and_its_shard_as_they_were() {
    let (scene, engine) = scene(MIB, 1);
    let tenant = scene.tenants.named("");
    for len in [10, 1_000, 10_000] {
        let at = scene.at(0, &tenant, "n", "k");
        engine.set(&at, &Draft::of(Value::Bytes(&vec![7; len]), Lifetime::Endless)).expect("it fits");
        let read = || engine.get(&at, &mut |_| panic!("a reader of the test panics"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
        assert!(caught.is_err(), "it is the reader's own panic");
        engine.check();
        assert_eq!(scene.read(&at), Some((Owned::Bytes(vec![7; len]), Lifetime::Endless)));
    }
}

/// Many that end later in this very millisecond: they are looked at and hung up again, and that is all.
#[test]
fn counting_ends_however_many_items_end_within_a_millisecond() {
    let (scene, engine) = scene(4 * MIB, 1);
    scene.clock.advance(Duration::from_micros(300));
    let tenant = scene.tenants.named("");
    for number in 0..1_000 {
        let key = number.to_string();
        let at = scene.at(0, &tenant, "n", &key);
        engine.set(&at, &Draft::of(Value::Bytes(b"v"), Lifetime::Ms(5))).expect("there is room");
    }
    scene.clock.advance(Duration::from_micros(4_900));
    let items =
        |cache: &MemoryCache| cache.usage().expect("it ends").iter().map(|used| used.items).sum::<u64>();
    assert_eq!(items(&engine), 1_000);
    scene.clock.advance(Duration::from_micros(100));
    assert_eq!(items(&engine), 0);
    engine.check();
}
