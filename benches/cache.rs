//! The cache: through the C table from a plugin that was opened with `dlopen`, beside the engine called directly, beside
//! `quick_cache` and `moka`, on one thread and on two, with few items and with many. Keys have 16 bytes and are asked for
//! by Zipf's law (0.99), values have 64, and lifetimes are the default of an hour.
//!
//! And how often what is asked for is there where a tenth of it has room; what an item takes; how long the slowest hits
//! take beside writers for whom items expire and make room; what the second tier costs that is not asked; how counters
//! scale.
//!
//! `cargo bench -p pintle --bench cache`. The bars are those of issue 5.

#[path = "measure/bars.rs"]
mod bars;
#[path = "measure/cacher.rs"]
mod cacher;
mod measure;
#[path = "measure/source.rs"]
mod source;

use std::{
    fs,
    hint::black_box,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bars::{Report, pairs};
use cacher::{Job, Plugin, What};
use measure::{measuring, median, rounds, time};
use pintle::bench_parts::cache::{Engine, Name};

const VALUE: [u8; 64] = [7; 64];
const HOUR_MS: i64 = 3_600_000;

type Quick = quick_cache::sync::Cache<Box<[u8]>, Arc<[u8]>>;
type Moka = moka::sync::Cache<Box<[u8]>, Arc<[u8]>>;

fn main() -> ExitCode {
    let mut report = Report::default();
    let sizes: &[usize] = if measuring() { &[1_000_000, 10_000] } else { &[100] };
    memory(sizes[0], &mut report);
    for items in sizes {
        speed(*items, &mut report);
    }
    for items in sizes {
        hit_rate(*items, &mut report);
    }
    slowest(&mut report);
    tier(sizes[sizes.len() - 1], &mut report);
    counters(&mut report);
    report.end()
}

/// A load: keys, and the orders in which they are asked for.
struct Load {
    keys: Vec<[u8; 16]>,
    orders: Vec<Vec<u32>>,
}

impl Load {
    fn new(items: usize) -> Self {
        let turns = if measuring() { 200_000 } else { 100 };
        // In an order that has nothing to do with how often they are asked for.
        let name = |number: u64| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let keys = (0..items as u64).map(|number| name(number).into_bytes().try_into().expect("16 digits"));
        let order = zipf(items, turns * 6);
        Self { keys: keys.collect(), orders: order.chunks(turns).map(<[u32]>::to_vec).collect() }
    }

    /// As the engine takes them.
    fn names(&self) -> Vec<Name<'_>> {
        self.keys.iter().map(|key| Name::of(key)).collect()
    }

    /// The order of a round, for one thread of several.
    fn order(&self, round: usize, thread: usize) -> &[u32] {
        &self.orders[(round * 2 + thread) % self.orders.len()]
    }

    fn all(&self) -> Vec<u32> {
        (0..self.keys.len() as u32).collect()
    }

    /// Nanoseconds for each of the turns that `threads` threads do at once.
    fn timed(&self, round: usize, threads: usize, turn: impl Fn(usize, usize) + Sync) -> f64 {
        let work = |thread: usize| {
            let order = self.order(round, thread);
            time(|| {
                for (at, number) in order.iter().enumerate() {
                    turn(at, *number as usize);
                }
            }) / order.len() as f64
        };
        if threads == 1 {
            return work(0);
        }
        let gate = std::sync::Barrier::new(threads);
        let work = |thread| {
            gate.wait();
            work(thread)
        };
        let work = &work;
        let took = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || work(thread))).collect();
            let own = work(0);
            own + others.into_iter().map(|other| other.join().expect("it works")).sum::<f64>()
        });
        took / threads as f64
    }

    /// Round after round of `timed`.
    fn turns<'a>(
        &'a self,
        threads: usize,
        turn: impl Fn(usize, usize) + Sync + 'a,
    ) -> impl FnMut() -> f64 + 'a {
        let mut round = 0;
        move || {
            round += 1;
            self.timed(round, threads, &turn)
        }
    }
}

fn speed(items: usize, report: &mut Report) {
    let load = Load::new(items);
    let capacity = items * 400 + (16 << 20);
    let engine = Engine::memory(capacity);
    let plugin = Plugin::start(capacity);
    let quick: Quick = Quick::new(items * 2);
    let moka: Moka = Moka::new(items as u64 * 2);
    let names = load.names();
    for (key, name) in load.keys.iter().zip(&names) {
        engine.set(*name, &VALUE, HOUR_MS);
        quick.insert(Box::from(key.as_slice()), Arc::from(VALUE.as_slice()));
        moka.insert(Box::from(key.as_slice()), Arc::from(VALUE.as_slice()));
    }
    moka.run_pending_tasks();
    plugin.run(&Job { what: What::Set, keys: &load.keys, orders: &[&load.all()] });

    let quick_hit = |number: usize| {
        let value = quick.get(load.keys[number].as_slice()).expect("all are there");
        copied(&value);
    };
    let quick_set = |number: usize| {
        quick.insert(Box::from(load.keys[number].as_slice()), black_box(VALUE.as_slice()).into());
    };
    let moka_hit = |number: usize| {
        let value = moka.get(load.keys[number].as_slice()).expect("all are there");
        copied(&value);
    };
    let engine_hit = |number: usize| {
        let mut out = [0; 64];
        assert!(engine.get_into(names[number], &mut out));
        black_box(&out);
    };
    let engine_set = |number: usize| engine.set(names[number], black_box(&VALUE), HOUR_MS);
    let large = items > 100_000;
    let dearer = if large { 1.2 } else { 1.5 };
    for threads in [1, 2] {
        let plural = if threads == 1 { "1 thread" } else { "2 threads" };
        let name = |what: &str| format!("{items} items, {plural}: {what}");
        let table = |what: What| {
            let mut round = 0;
            let (load, plugin) = (&load, &plugin);
            move || {
                round += 1;
                let orders: Vec<&[u32]> = (0..threads).map(|thread| load.order(round, thread)).collect();
                plugin.run(&Job { what, keys: &load.keys, orders: &orders })
            }
        };
        let mut compare = |what: &str, subject: What, baseline: &mut dyn FnMut() -> f64, bar: f64| {
            report.bar(&name(what), "ns", &pairs(rounds(21), baseline, table(subject)), bar);
        };
        let mix = |at: usize| at.is_multiple_of(10);
        compare(
            "a hit, to the engine's",
            What::Get,
            &mut load.turns(threads, |_, key| engine_hit(key)),
            dearer,
        );
        compare(
            "an overwrite, to the engine's",
            What::Set,
            &mut load.turns(threads, |_, key| engine_set(key)),
            dearer,
        );
        // With few items all of them lie in the processor's caches, and there is no bar.
        let only_many = |bar: f64| if large { bar } else { f64::NAN };
        compare(
            "a hit, to quick_cache's",
            What::Get,
            &mut load.turns(threads, |_, key| quick_hit(key)),
            only_many(0.8),
        );
        compare(
            "a hit, to moka's",
            What::Get,
            &mut load.turns(threads, |_, key| moka_hit(key)),
            only_many(0.3),
        );
        compare(
            "an overwrite, to quick_cache's",
            What::Set,
            &mut load.turns(threads, |_, key| quick_set(key)),
            0.6,
        );
        compare(
            "90 % hits, 10 % overwrites, to quick_cache's",
            What::Mix,
            &mut load.turns(threads, |at, key| if mix(at) { quick_set(key) } else { quick_hit(key) }),
            0.8,
        );
    }
}

fn copied(value: &[u8]) {
    let mut out = [0; 64];
    out.copy_from_slice(black_box(value));
    black_box(&out);
}

/// What the process grows by for each item, all in.
fn memory(items: usize, report: &mut Report) {
    let load = Load::new(items);
    let engine = Engine::memory(items * 400 + (16 << 20));
    let before = resident();
    for key in &load.keys {
        engine.set(Name::of(key), &VALUE, HOUR_MS);
    }
    let grown = resident().saturating_sub(before) as f64 / items as f64;
    let counted = engine.bytes() as f64 / items as f64;
    report.verdict(
        &format!("{items} items: bytes an item"),
        if measuring() { grown } else { counted },
        230.0,
        &format!("resident memory; by its own count {counted:.0}"),
    );
}

/// Each miss is filled, with room for a tenth of the items, the same number in all.
fn hit_rate(items: usize, report: &mut Report) {
    let load = Load::new(items);
    let order = zipf(items, items * 4);
    let engine = Engine::memory(items / 10 * 190 + (64 << 10));
    // The first half warms up.
    let rate = |ask: &mut dyn FnMut(&[u8; 16]) -> bool| {
        let mut hits = 0;
        for (turn, number) in order.iter().enumerate() {
            hits += usize::from(ask(&load.keys[*number as usize]) && turn >= order.len() / 2);
        }
        hits as f64 / (order.len() / 2) as f64
    };
    let ours = rate(&mut |key| {
        let hit = engine.get_into(Name::of(key), &mut [0; 64]);
        if !hit {
            engine.set(Name::of(key), &VALUE, HOUR_MS);
        }
        hit
    });
    let resident = engine.items();
    let quick = Quick::new(resident as usize);
    let theirs = rate(&mut |key| {
        let hit = quick.get(key.as_slice()).is_some();
        if !hit {
            quick.insert(Box::from(key.as_slice()), Arc::from(VALUE.as_slice()));
        }
        hit
    });
    let moka = Moka::new(resident);
    let mokas = rate(&mut |key| {
        let hit = moka.get(key.as_slice()).is_some();
        if !hit {
            moka.insert(Box::from(key.as_slice()), Arc::from(VALUE.as_slice()));
        }
        hit
    });
    report.verdict(
        &format!("{items} items, room for {resident}: points behind the best"),
        (theirs.max(mokas) - ours) * 100.0,
        0.5,
        &format!("ours {ours:.4}, quick_cache {theirs:.4}, moka {mokas:.4}"),
    );
}

/// The 99th of 100 hits, with and without a writer beside it whose items expire and make room all the time.
fn slowest(report: &mut Report) {
    let items = if measuring() { 100_000 } else { 100 };
    let load = Load::new(items);
    let engine = Engine::memory(items * 200 + (1 << 20));
    let names = load.names();
    let hits = |round: usize| {
        let order = load.order(round, 0);
        let mut took: Vec<f64> = Vec::with_capacity(order.len());
        for number in order {
            let key = names[*number as usize];
            let start = Instant::now();
            let hit = engine.get_into(key, &mut [0; 64]);
            if hit {
                took.push(start.elapsed().as_nanos() as f64);
            } else {
                engine.set(key, &VALUE, HOUR_MS);
            }
        }
        took.sort_by(f64::total_cmp);
        took[took.len() * 99 / 100]
    };
    for name in &names {
        engine.set(*name, &VALUE, HOUR_MS);
    }
    let written = AtomicU64::new(0);
    let measured = pairs(
        rounds(11),
        || hits(0),
        || {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        let number = written.fetch_add(1, Relaxed);
                        let key = format!("new {number}");
                        engine.set(Name::of(key.as_bytes()), &VALUE, 1 + (number % 20) as i64);
                        // A writer that fills all of a core would measure the machine, which has two.
                        if number.is_multiple_of(64) {
                            thread::sleep(Duration::from_micros(50));
                        }
                    }
                });
                let p99 = hits(0);
                stop.store(true, Relaxed);
                p99
            })
        },
    );
    report.bar("p99 of a hit beside expiry and eviction, to without", "ns", &measured, 2.0);
    println!("    {} items were written meanwhile", written.load(Relaxed));
}

/// Hits in memory, with a file behind it and without.
fn tier(items: usize, report: &mut Report) {
    let load = Load::new(items);
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let capacity = items * 400 + (16 << 20);
    let alone = Engine::memory(capacity);
    let tiered = Engine::over_sqlite(capacity, &folder.path().join("cache.db")).expect("it opens");
    let names = load.names();
    for name in &names {
        alone.set(*name, &VALUE, HOUR_MS);
        tiered.set(*name, &VALUE, HOUR_MS);
    }
    let hit = |engine: &Engine, number: usize| {
        let mut out = [0; 64];
        assert!(engine.get_into(names[number], &mut out));
        black_box(&out);
    };
    let (mut first, mut second) = (0, 0);
    let measured = pairs(
        rounds(41),
        || {
            first += 1;
            load.timed(first, 1, |_, number| hit(&alone, number))
        },
        || {
            second += 1;
            load.timed(second, 1, |_, number| hit(&tiered, number))
        },
    );
    report.bar(&format!("{items} items: a warm hit over SQLite, to memory alone"), "ns", &measured, 1.1);
}

/// What two threads get done more than one does: two counters, beside work that needs nothing but a core.
fn counters(report: &mut Report) {
    let turns = if measuring() { 1_000_000 } else { 1_000 };
    let engine = Engine::memory(64 << 20);
    let plain = |_: &[u8]| {
        let mut x = black_box(88_172_645_463_325_252_u64);
        for _ in 0..turns * 20 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        black_box(x);
    };
    let count = |key: &[u8]| {
        for _ in 0..turns {
            black_box(engine.incr(Name::of(key)));
        }
    };
    let mut ratios = Vec::new();
    let (mut plains, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..rounds(11) {
        let (bare, ours) = (scaling(&plain), scaling(&count));
        // Less is better: how much of the plain loop's scaling is lost.
        ratios.push(bare / ours);
        plains.push(bare);
        counts.push(ours);
    }
    report.verdict(
        "two counters by two threads: plain scaling to ours",
        median(ratios),
        1.0 / 0.8,
        &format!("plain {:.2}x, incr {:.2}x", median(plains), median(counts)),
    );
}

/// How many times as much two threads do in the same time as one.
fn scaling(work: &(dyn Fn(&[u8]) + Sync)) -> f64 {
    let one = time(|| work(b"first"));
    let two = time(|| {
        thread::scope(|scope| {
            scope.spawn(|| work(b"first"));
            work(b"the second one");
        });
    });
    2.0 * one / two
}

/// Bytes of memory that the process has now.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
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
