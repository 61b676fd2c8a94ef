//! The engine of the cache beside `quick_cache`: hits that copy 64 bytes out, overwrites, and how often what is asked
//! for is there where a tenth of it has room. Keys have 16 bytes and follow Zipf's law (0.99).
//!
//! The engine is compiled into the bench, without host and boundary. `cargo bench -p pintle --bench cache`. The bars are
//! those of issue 5, which is to meet them.

// The engine has more than what is measured here.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../host/boundary/coarse.rs"]
mod coarse;
#[path = "../host/error.rs"]
mod error;
#[path = "../host/identity/mod.rs"]
mod identity;
mod measure;

/// The engines that the cache knows.
#[path = "../host/services"]
mod services {
    pub(crate) mod cache;
    pub(crate) mod clock;
    pub(crate) mod keys;
}

#[path = "measure/bars.rs"]
mod bars;

use std::{hint::black_box, process::ExitCode, sync::Arc};

use bars::{Report, pairs};
use identity::{DataScope, Tenants};
use measure::{measuring, rounds, time};
use services::{
    cache::{Address, CacheBackend, Draft, Lifetime, MemoryCache, Value},
    clock::SystemClock,
    keys::{Key, Namespace},
};

const VALUE: [u8; 64] = [7; 64];

fn main() -> ExitCode {
    let mut report = Report::default();
    let sizes: &[usize] = if measuring() { &[10_000, 1_000_000] } else { &[100] };
    for items in sizes {
        speed(*items, &mut report);
        hit_rate(*items);
    }
    report.end()
}

fn speed(items: usize, report: &mut Report) {
    let keys = keys(items);
    let turns = if measuring() { 300_000 } else { 100 };
    let order = zipf(items, turns * 4);
    let slices: Vec<&[u32]> = order.chunks(turns).collect();
    let scene = Scene::new();
    for (what, lifetime) in [("endless", Lifetime::Endless), ("expiring", Lifetime::Ms(3_600_000))] {
        let ours = MemoryCache::new(items * 400 + (16 << 20), Arc::new(clock()));
        let theirs = quick(items * 2);
        for key in &keys {
            ours.set(&scene.at(key), &Draft::of(Value::Bytes(&VALUE), lifetime)).expect("it fits");
            theirs.insert(key.as_str().into(), VALUE.as_slice().into());
        }
        let bytes: u64 = ours.usage().expect("counted").iter().map(|usage| usage.bytes).sum();
        println!("{items} items, {what}: {} bytes an item", bytes / items as u64);
        let mut out = [0; 64];
        let mut round = 0;
        let mut copied = 0;
        let mut theirs_hit = || {
            round += 1;
            let order = slices[round % slices.len()];
            time(|| {
                for number in order {
                    let value = theirs.get(keys[*number as usize].as_str()).expect("all are there");
                    out.copy_from_slice(black_box(&value));
                    black_box(&out);
                }
            }) / turns as f64
        };
        let mut out = [0; 64];
        let mut round = 0;
        let mut ours_hit = || {
            round += 1;
            let order = slices[round % slices.len()];
            time(|| {
                for number in order {
                    let at = scene.at(&keys[*number as usize]);
                    let found = ours.get(&at, &mut |item| {
                        if let Value::Bytes(bytes) = item.value {
                            out.copy_from_slice(bytes);
                            copied += 1;
                        }
                    });
                    assert!(found.expect("it answers"));
                    black_box(&out);
                }
            }) / turns as f64
        };
        let hits = pairs(rounds(11), &mut theirs_hit, &mut ours_hit);
        report.bar(&format!("{items} items, {what}: a hit, quick_cache | ours"), "ns", &hits, 0.8);
        let mut round = 0;
        let overwrites = pairs(
            rounds(11),
            || {
                time(|| {
                    for number in slices[0] {
                        theirs.insert(keys[*number as usize].as_str().into(), black_box(&VALUE[..]).into());
                    }
                }) / turns as f64
            },
            || {
                round += 1;
                time(|| {
                    for number in slices[round % slices.len()] {
                        let at = scene.at(&keys[*number as usize]);
                        ours.set(&at, &Draft::of(Value::Bytes(black_box(&VALUE)), lifetime))
                            .expect("it fits");
                    }
                }) / turns as f64
            },
        );
        report.bar(
            &format!("{items} items, {what}: an overwrite, quick_cache | ours"),
            "ns",
            &overwrites,
            0.6,
        );
        assert!(copied > 0);
    }
}

/// Each miss is filled, with room for a tenth of the items, the same number in both.
fn hit_rate(items: usize) {
    let keys = keys(items);
    let order = zipf(items, items * 4);
    let scene = Scene::new();
    let ours = MemoryCache::new(items / 10 * 165 + (64 << 10), Arc::new(clock()));
    let (mut hits, mut took) = (0, 0.0);
    for (turn, number) in order.iter().enumerate() {
        let at = scene.at(&keys[*number as usize]);
        let hit = ours.get(&at, &mut |_| ()).expect("it answers");
        // The first half warms up.
        hits += usize::from(hit && turn > order.len() / 2);
        if !hit {
            took += time(|| {
                let draft = Draft::of(Value::Bytes(&VALUE), Lifetime::Ms(3_600_000));
                black_box(ours.set(&at, &draft).expect("it fits"));
            });
        }
    }
    let resident: u64 = ours.usage().expect("counted").iter().map(|usage| usage.items).sum();
    let theirs = quick(resident as usize);
    let mut their_hits = 0;
    for (turn, number) in order.iter().enumerate() {
        let key = keys[*number as usize].as_str();
        let hit = theirs.get(key).is_some();
        their_hits += usize::from(hit && turn > order.len() / 2);
        if !hit {
            theirs.insert(key.into(), VALUE.as_slice().into());
        }
    }
    let rate = |hits: usize| hits as f64 / (order.len() / 2) as f64;
    println!(
        "{items} items, room for {resident}: {:.3} of all reads hit, quick_cache {:.3}; all sets together {:.0} ms",
        rate(hits),
        rate(their_hits),
        took / 1e6
    );
}

/// As a host has it.
fn clock() -> SystemClock {
    SystemClock::with_coarse(|| coarse::Moment::now().since_start())
}

fn quick(items: usize) -> quick_cache::sync::Cache<Box<str>, Arc<[u8]>> {
    quick_cache::sync::Cache::new(items)
}

struct Scene {
    id: Arc<str>,
    tenants: Tenants,
}

impl Scene {
    fn new() -> Self {
        Self { id: "bench".into(), tenants: Tenants::new() }
    }

    fn at<'a>(&'a self, key: &'a str) -> Address<'a> {
        Address {
            scope: DataScope::new(1, &self.id, 0, &self.tenants),
            namespace: Namespace::parse("ns", b"sessions").expect("it is one"),
            key: Key::parse("key", key.as_bytes()).expect("it is one"),
        }
    }
}

/// In an order that has nothing to do with how often they are asked for.
fn keys(items: usize) -> Vec<String> {
    (0..items as u64).map(|number| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// Numbers below `items`, number n about as often as 1/(n+1)^0.99.
fn zipf(items: usize, many: usize) -> Vec<u32> {
    let mut sums = Vec::with_capacity(items);
    let mut sum = 0.0;
    for number in 0..items {
        sum += ((number + 1) as f64).powf(-0.99);
        sums.push(sum);
    }
    let mut state = 88_172_645_463_325_252_u64;
    let rolls = (0..many).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let roll = (state >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        sums.partition_point(|sum| *sum < roll).min(items - 1) as u32
    });
    rolls.collect()
}
