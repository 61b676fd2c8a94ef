//! The two tiers over a back end that a test can stop, cut off and count. The tier in front is the plain model, too, so that
//! what is tried is how they work together; the memory engine stands in front in `over_memory`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{Copies, Outage, Tiered, TieredOptions};
use crate::{
    error::{ErrorKind, Result},
    services::{
        cache::{
            Address, CacheBackend, Draft, ExpireIf, Expired, Glob, Lifetime, Lost, MemoryCache, SetIf, Spans,
            Value, Written,
            conformance::{Owned, Scene, cache_conformance},
            double::{Double, Point},
            model::Model,
            sqlite::in_a_folder_of_its_own,
        },
        clock::{Clock, ManualClock},
        keys::Namespace,
    },
};

fn options(clock: Arc<dyn Clock>) -> TieredOptions {
    TieredOptions { max_age: None, clock, report: Box::new(|_| ()) }
}

mod over_model {
    use super::*;

    cache_conformance!(|clock: Arc<ManualClock>| {
        let (near, far) = (Model::new(clock.clone()), Box::new(Model::new(clock.clone())));
        Box::new(Tiered::new(near, far, options(clock)))
    });
}

mod over_memory {
    use super::*;

    cache_conformance!(|clock: Arc<ManualClock>| {
        let (near, far) = (
            MemoryCache::new(64 << 20, clock.clone(), Arc::<Lost>::default()),
            Box::new(Model::new(clock.clone())),
        );
        Box::new(Tiered::new(near, far, options(clock)))
    });
}

/// As a host has them.
mod memory_over_a_file {
    use super::*;

    cache_conformance!(|clock: Arc<ManualClock>| Box::new(memory_over_a_file(clock)));
}

pub(in super::super) fn memory_over_a_file(clock: Arc<ManualClock>) -> Tiered {
    let near = MemoryCache::new(64 << 20, clock.clone(), Arc::<Lost>::default());
    Tiered::new(near, Box::new(in_a_folder_of_its_own(clock.clone())), options(clock))
}

/// The tiers, both of them again, and what was reported.
struct Tiers {
    scene: Scene,
    tiered: Arc<Tiered<Arc<Model>>>,
    near: Arc<Model>,
    far: Arc<Double>,
    told: Arc<Mutex<Vec<Outage>>>,
}

impl Copies for Arc<Model> {
    fn fill(&self, at: &Address<'_>, item: &super::Fill<'_>) -> Result<()> {
        (**self).fill(at, item)
    }

    fn forget(&self, at: &Address<'_>) -> Result<()> {
        (**self).forget(at)
    }
}

impl Tiers {
    fn new() -> Self {
        Self::with_age(None)
    }

    fn with_age(max_age: Option<Duration>) -> Self {
        let mut made = None;
        let told = Arc::new(Mutex::new(Vec::new()));
        let scene = Scene::new(|clock| {
            let (near, far) = (Arc::new(Model::new(clock.clone())), Arc::new(Double::new(clock.clone())));
            let tell = Arc::clone(&told);
            let report = Box::new(move |outage: &Outage| tell.lock().push(outage.clone()));
            let options = TieredOptions { max_age, clock, report };
            let tiered = Arc::new(Tiered::new(Arc::clone(&near), Box::new(Arc::clone(&far)), options));
            made = Some((Arc::clone(&tiered), near, far));
            Box::new(tiered)
        });
        let (tiered, near, far) = made.expect("it was made");
        Self { scene, tiered, near, far, told }
    }

    fn key<'a>(&'a self, key: &'a str) -> Address<'a> {
        self.scene.key(key)
    }

    fn read(&self, key: &str) -> Option<Owned> {
        read(&*self.tiered, &self.key(key))
    }

    fn copy(&self, key: &str) -> Option<Owned> {
        read(&*self.near, &self.key(key))
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<Written> {
        self.tiered.set(&self.key(key), &Draft::of(Value::Bytes(value), Lifetime::Endless))
    }

    /// Writes behind the back of the tiers, as another host would.
    fn set_far(&self, key: &str, draft: &Draft<'_>) {
        self.far.model.set(&self.key(key), draft).expect("it can be written");
    }

    fn reads(&self) -> usize {
        self.far.reads.load(SeqCst)
    }

    fn advance(&self, by: Duration) {
        self.scene.clock.advance(by);
    }
}

fn read(backend: &dyn CacheBackend, at: &Address<'_>) -> Option<Owned> {
    let mut found = None;
    let there = backend.get(at, &mut |item| found = Some(Owned::from(item.value))).expect("it is read");
    assert_eq!(there, found.is_some());
    found
}

fn bytes(value: &[u8]) -> Option<Owned> {
    Some(Owned::Bytes(value.to_vec()))
}

fn for_ms(value: &[u8], ms: i64) -> Draft<'_> {
    Draft::of(Value::Bytes(value), Lifetime::Ms(ms))
}

fn tag(name: &str) -> Namespace<'_> {
    Namespace::parse("tags", name.as_bytes()).expect("it is one")
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn cache_31_a_hit_in_l2_fills_l1_with_the_same_item() {
    let tiers = Tiers::new();
    let (tags, spans) = ([tag("t")], Spans { stale_ms: 50, error_ms: 500 });
    tiers.set_far("k", &Draft { tags: &tags, spans, ..for_ms(b"v", 100) });
    tiers.set_far("none", &Draft::of(Value::Absent, Lifetime::Endless));
    let look = || {
        let mut seen = Vec::new();
        for key in ["k", "none"] {
            let lend = &mut |item: super::Item<'_>| {
                let (value, rest) =
                    (Owned::from(item.value), (item.age, item.version, item.fresh(), item.left()));
                seen.push((value, rest));
            };
            tiers.tiered.get(&tiers.key(key), lend).expect("it is read");
        }
        seen
    };
    let first = look();
    assert_eq!((first.len(), tiers.reads()), (2, 2));
    assert_eq!(look(), first, "value, age, version and times are those of the item");
    assert_eq!(tiers.reads(), 2, "L2 was not asked again");
    // Stale is told of the copy too; what is past that is L2's business.
    tiers.advance(100 * MS);
    assert_eq!(look()[0].1.0, super::Age::Stale);
    assert_eq!(tiers.reads(), 2);
    tiers.advance(50 * MS);
    assert_eq!(look().len(), 1, "what is only kept is not given");
    assert_eq!(tiers.reads(), 3);
    assert_eq!(tiers.tiered.invalidate_tag(&tiers.key("k").scope, tag("t")).expect("it is done"), 0);
    assert_eq!(tiers.read("k"), None);
}

#[test]
fn cache_31_a_copy_is_never_there_for_longer_than_the_item() {
    let ns = Duration::from_nanos;
    for filled_after in [ns(0), ns(1), ns(400_000), 50 * MS - ns(1), 99 * MS, 100 * MS - ns(1)] {
        for slept in [ns(0), ns(300_000), 10 * MS] {
            let tiers = Tiers::new();
            tiers.set_far("k", &for_ms(b"v", 100));
            tiers.advance(filled_after);
            thread::scope(|threads| {
                // The reader sleeps between its look and its copy.
                let stopped = tiers.far.stop_at(Point::Found);
                let reader = threads.spawn(|| tiers.read("k"));
                stopped.is_reached();
                tiers.advance(slept);
                stopped.go_on();
                assert_eq!(reader.join().expect("it does not panic"), bytes(b"v"));
            });
            let end = (100 * MS).saturating_sub(filled_after + slept);
            tiers.advance(end.saturating_sub(ns(1)));
            if !end.is_zero() {
                assert_eq!(tiers.read("k"), bytes(b"v"));
                tiers.advance(ns(1));
            }
            assert_eq!((tiers.read("k"), tiers.copy("k")), (None, None), "{filled_after:?} {slept:?}");
        }
    }
}

#[test]
fn cache_31_a_copy_is_no_older_than_the_settings_allow() {
    let tiers = Tiers::with_age(Some(20 * MS));
    let spans = Spans { stale_ms: 1_000, error_ms: 0 };
    tiers.set_far("endless", &Draft::of(Value::Bytes(b"v"), Lifetime::Endless));
    tiers.set_far("long", &Draft { spans, ..for_ms(b"v", 100) });
    tiers.set_far("short", &Draft { spans, ..for_ms(b"v", 5) });
    for key in ["endless", "long", "short"] {
        assert_eq!(tiers.read(key), bytes(b"v"));
        tiers.set_far(key, &Draft::of(Value::Bytes(b"other"), Lifetime::Endless));
    }
    tiers.advance(19 * MS);
    for key in ["endless", "long", "short"] {
        assert_eq!(tiers.read(key), bytes(b"v"), "{key}");
    }
    tiers.advance(MS);
    for key in ["endless", "long", "short"] {
        assert_eq!(tiers.read(key), bytes(b"other"), "{key}");
    }
}

#[test]
fn what_is_written_is_read_from_l1_at_once() {
    let tiers = Tiers::new();
    tiers.set("k", b"v").expect("it can be written");
    assert_eq!((tiers.read("k"), tiers.reads()), (bytes(b"v"), 0));
    // Not where the lifetime is that of an item that only L2 knows.
    let keep = Draft { keep_lifetime: true, ..for_ms(b"w", 9) };
    tiers.tiered.set(&tiers.key("k"), &keep).expect("it can be written");
    assert_eq!(tiers.copy("k"), None);
    assert_eq!(tiers.read("k"), bytes(b"w"));
    // What is refused changes neither.
    let refused = Draft { condition: SetIf::Absent, ..for_ms(b"x", 9) };
    assert!(matches!(tiers.tiered.set(&tiers.key("k"), &refused), Ok(Written::Refused(_))));
    assert_eq!(tiers.copy("k"), bytes(b"w"));
    let answers =
        tiers.tiered.set_many(&[(tiers.key("k"), for_ms(b"y", 9)), (tiers.key("l"), for_ms(b"z", 9))]);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((tiers.copy("k"), tiers.copy("l")), (bytes(b"y"), bytes(b"z")));
}

#[test]
fn cache_32_counters_live_in_l2() {
    let tiers = Tiers::new();
    let at = tiers.key("k");
    tiers.set("k", b"41").expect("it can be written");
    assert_eq!(tiers.tiered.incr(&at, 1, Lifetime::Endless).expect("it counts"), 42);
    for expected in 42..45 {
        assert_eq!((tiers.read("k"), tiers.copy("k")), (Some(Owned::Integer(expected)), None));
        // Another host counts too.
        tiers.far.model.incr(&at, 1, Lifetime::Endless).expect("it counts");
    }
}

#[test]
fn cache_33_while_l2_is_down_reads_miss_and_all_else_is_unavailable() {
    let tiers = Tiers::new();
    tiers.set("copied", b"v").expect("it can be written");
    tiers.set_far("far", &Draft::of(Value::Bytes(b"v"), Lifetime::Endless));
    tiers.tiered.health().expect("it works");
    tiers.far.cut(true);
    let at = tiers.key("copied");
    let space = at.space();
    let pattern = Glob::parse("pattern", b"copied").expect("it is one");
    let refused: [(&str, &dyn Fn() -> ErrorKind); 11] = [
        ("set", &|| kind(tiers.set("copied", b"w"))),
        ("set_many", &|| kind(tiers.tiered.set_many(&[(at, for_ms(b"w", 9))]).remove(0))),
        ("remove", &|| kind(tiers.tiered.remove(&at))),
        ("incr", &|| kind(tiers.tiered.incr(&at, 1, Lifetime::Endless))),
        ("expire", &|| kind(tiers.tiered.expire(&at, None, ExpireIf::Always))),
        ("invalidate_tag", &|| kind(tiers.tiered.invalidate_tag(&at.scope, tag("t")))),
        ("invalidate", &|| kind(tiers.tiered.invalidate(&space, &pattern))),
        ("clear", &|| kind(tiers.tiered.clear(&space))),
        ("keys", &|| kind(tiers.tiered.keys(&space, "", None, 9))),
        ("usage", &|| kind(tiers.tiered.usage())),
        ("health", &|| kind(tiers.tiered.health())),
    ];
    for (what, refused) in refused {
        assert_eq!(refused(), ErrorKind::Unavailable, "{what}");
        assert_eq!(tiers.read("copied"), bytes(b"v"), "a copy is read, also after {what}");
        assert_eq!(tiers.read("far"), None, "it is missed");
    }
    let health = tiers.tiered.health().expect_err("it is down").to_string();
    assert_eq!(health, "the back end of the cache is down since 2023-11-14T22:13:20Z: the cable was pulled");
    tiers.far.cut(false);
    tiers.advance(100 * MS);
    assert_eq!(tiers.read("far"), bytes(b"v"), "nobody remembers that it was missed");
    tiers.set("copied", b"w").expect("it can be written");
    tiers.tiered.health().expect("it works");
    let told = std::mem::take(&mut *tiers.told.lock());
    match &told[..] {
        [Outage::Begins(why), Outage::Ends(after)] => {
            assert_eq!((why.kind(), *after), (ErrorKind::Unavailable, 100 * MS));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn cache_33_while_it_is_down_it_is_tried_by_one_caller_after_pauses_that_double() {
    let tiers = Tiers::new();
    tiers.set_far("k", &Draft::of(Value::Bytes(b"v"), Lifetime::Endless));
    tiers.far.cut(true);
    assert_eq!(tiers.read("k"), None);
    let mut tries = tiers.reads();
    for pause in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        tiers.advance((pause - 1) * MS);
        assert_eq!((tiers.read("k"), tiers.reads()), (None, tries), "not before {pause} ms");
        tiers.advance(MS);
        assert_eq!((tiers.read("k"), tiers.reads()), (None, tries + 1), "after {pause} ms");
        assert_eq!((tiers.read("k"), tiers.reads()), (None, tries + 1), "once");
        tries += 1;
    }
    // While one tries the others do not, and what it finds is for all.
    tiers.far.cut(false);
    tiers.advance(5_000 * MS);
    thread::scope(|threads| {
        let stopped = tiers.far.stop_at(Point::Found);
        let first = threads.spawn(|| tiers.read("k"));
        stopped.is_reached();
        assert_eq!((tiers.read("k"), tiers.reads()), (None, tries + 1));
        stopped.go_on();
        assert_eq!(first.join().expect("it does not panic"), bytes(b"v"));
    });
    assert_eq!(tiers.read("k"), bytes(b"v"));
}

#[test]
fn cache_33_an_operator_who_asks_finds_that_it_works_again() {
    let tiers = Tiers::new();
    tiers.far.cut(true);
    assert_eq!((tiers.read("k"), kind(tiers.set("k", b"v"))), (None, ErrorKind::Unavailable));
    tiers.far.cut(false);
    assert_eq!(kind(tiers.tiered.health()), ErrorKind::Unavailable, "it is not time to try");
    tiers.advance(100 * MS);
    tiers.tiered.health().expect("it works");
    tiers.set("k", b"v").expect("it can be written");
    assert!(matches!(tiers.told.lock()[..], [Outage::Begins(_), Outage::Ends(_)]));
}

#[test]
fn a_full_disk_keeps_nobody_from_reading() {
    let tiers = Tiers::new();
    tiers.set_far("k", &Draft::of(Value::Bytes(b"v"), Lifetime::Endless));
    tiers.far.is_cut_for_writes.store(true, SeqCst);
    assert_eq!(kind(tiers.set("k", b"w")), ErrorKind::Unavailable);
    let writes = tiers.far.writes.load(SeqCst);
    assert_eq!(kind(tiers.set("k", b"w")), ErrorKind::Unavailable);
    assert_eq!(tiers.far.writes.load(SeqCst), writes, "it is not tried at once");
    assert_eq!(tiers.read("k"), bytes(b"v"));
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("it fails").kind()
}

/// A change of the item `k`, which has the tag `t`.
type Change<'a> = (&'a str, &'a (dyn Fn(&Tiers) + Sync));

const CHANGES: [Change<'static>; 8] = [
    ("set", &|tiers| {
        tiers.set("k", b"new").expect("it can be written");
    }),
    ("remove", &|tiers| {
        tiers.tiered.remove(&tiers.key("k")).expect("it is removed");
    }),
    ("incr", &|tiers| {
        tiers.tiered.incr(&tiers.key("k"), 1, Lifetime::Endless).expect("it counts");
    }),
    ("expire", &|tiers| {
        let expired = tiers.tiered.expire(&tiers.key("k"), None, ExpireIf::Always).expect("it is asked");
        assert_eq!(expired, Expired::Changed);
    }),
    ("invalidate_tag", &|tiers| {
        tiers.tiered.invalidate_tag(&tiers.key("k").scope, tag("t")).expect("it is done");
    }),
    ("invalidate", &|tiers| {
        let pattern = Glob::parse("pattern", b"k").expect("it is one");
        tiers.tiered.invalidate(&tiers.key("k").space(), &pattern).expect("it is done");
    }),
    ("clear", &|tiers| {
        tiers.tiered.clear(&tiers.key("k").space()).expect("it is cleared");
    }),
    ("remove_plugin", &|tiers| {
        tiers.tiered.remove_plugin("a").expect("it is removed");
    }),
];

fn with_old() -> Tiers {
    let tiers = Tiers::new();
    tiers.set_far("k", &Draft { tags: &[tag("t")], ..Draft::of(Value::Bytes(b"1"), Lifetime::Endless) });
    tiers
}

#[track_caller]
fn agree(tiers: &Tiers, what: &str) {
    let in_l2 = read(&tiers.far.model, &tiers.key("k"));
    assert_eq!(tiers.read("k"), in_l2, "{what}");
    assert_ne!(in_l2, bytes(b"1"), "{what}");
}

#[test]
fn a_copy_does_not_bring_back_what_was_changed_after_it_was_read() {
    for (what, change) in CHANGES {
        let tiers = with_old();
        thread::scope(|threads| {
            let stopped = tiers.far.stop_at(Point::Found);
            let reader = threads.spawn(|| tiers.read("k"));
            stopped.is_reached();
            change(&tiers);
            stopped.go_on();
            assert_eq!(reader.join().expect("it does not panic"), bytes(b"1"), "it looked before");
        });
        agree(&tiers, what);
    }
}

#[test]
fn a_copy_that_was_put_in_the_middle_of_a_change_does_not_stay() {
    for point in [Point::Change, Point::Changed] {
        for (what, change) in CHANGES {
            let tiers = with_old();
            thread::scope(|threads| {
                let looked = tiers.far.stop_at(Point::Found);
                let reader = threads.spawn(|| tiers.read("k"));
                looked.is_reached();
                let stopped = tiers.far.stop_at(point);
                let changer = threads.spawn(|| change(&tiers));
                stopped.is_reached();
                looked.go_on();
                reader.join().expect("it does not panic");
                assert_eq!(tiers.copy("k"), bytes(b"1"), "the change is not done yet");
                stopped.go_on();
                changer.join().expect("it does not panic");
            });
            agree(&tiers, what);
        }
    }
}

/// The first writer stops before or after its work in L2; another change is done meanwhile.
#[test]
fn of_two_changes_at_once_l1_has_what_l2_has_or_nothing() {
    for point in [Point::Change, Point::Changed] {
        for (what, change) in CHANGES {
            // What must find the item is done last.
            if what == "expire" && point == Point::Change {
                continue;
            }
            let tiers = with_old();
            thread::scope(|threads| {
                let stopped = tiers.far.stop_at(point);
                let tiers = &tiers;
                let writer = threads.spawn(move || {
                    let tags = [tag("t")];
                    let write = Draft { tags: &tags, ..Draft::of(Value::Bytes(b"2"), Lifetime::Endless) };
                    tiers.tiered.set(&tiers.key("k"), &write)
                });
                stopped.is_reached();
                change(tiers);
                stopped.go_on();
                writer.join().expect("it does not panic").expect("it can be written");
            });
            agree(&tiers, what);
        }
    }
}

/// Four threads read and change four keys as they like. When they rest, L1 has nothing that L2 has not.
#[test]
fn copies_agree_with_the_items_whenever_nobody_is_at_work() {
    const KEYS: [&str; 4] = ["k", "l", "m", "n"];
    let seed = AtomicU64::new(1);
    for round in 0..150 {
        let tiers = Tiers::new();
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let mut state = seed.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
                    let mut next = |most: u64| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 33) % most
                    };
                    for _ in 0..60 {
                        let key = KEYS[next(4) as usize];
                        let at = tiers.key(key);
                        let value = next(1_000).to_string();
                        let tags = [tag("t")];
                        let draft = Draft {
                            tags: &tags,
                            ..Draft::of(Value::Bytes(value.as_bytes()), Lifetime::Endless)
                        };
                        match next(12) {
                            0..5 => drop(tiers.read(key)),
                            5..8 => drop(tiers.tiered.set(&at, &draft).expect("it can be written")),
                            8 => drop(tiers.tiered.remove(&at).expect("it is removed")),
                            9 => drop(tiers.tiered.incr(&at, 1, Lifetime::Endless).expect("it counts")),
                            10 => drop(tiers.tiered.invalidate_tag(&at.scope, tag("t")).expect("it is done")),
                            _ => drop(tiers.tiered.clear(&at.space()).expect("it is cleared")),
                        }
                    }
                });
            }
        });
        for key in KEYS {
            let copy = tiers.copy(key);
            let item = read(&tiers.far.model, &tiers.key(key));
            assert!(copy.is_none() || copy == item, "round {round}: {copy:?} of {item:?}");
        }
    }
}
