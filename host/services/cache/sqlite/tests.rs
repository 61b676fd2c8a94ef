//! What the back end promises beyond the conformance suite: what a restart keeps, its bound, its room, and that it is
//! no different from the model.

use std::collections::HashMap;

use tempfile::TempDir;

use super::{
    super::{
        conformance::{Owned, Scene, cache_conformance},
        model::Model,
    },
    connections::Connections,
    *,
};
use crate::services::{
    cache::{SetIf, Value},
    clock::ManualClock,
    ledger::Fault,
};

const MIB: u64 = 1 << 20;

cache_conformance!(|clock: Arc<ManualClock>| Box::new(in_a_folder_of_its_own(clock)));

pub(in super::super) fn in_a_folder_of_its_own(clock: Arc<ManualClock>) -> SqliteCache {
    let folder = folder();
    let mut cache = open(&folder, clock, 64 * MIB);
    cache.folder = Some(folder);
    cache
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// One that nothing may go wrong with.
pub(super) fn open(folder: &TempDir, clock: Arc<ManualClock>, capacity: u64) -> SqliteCache {
    open_with(folder, clock, capacity, |error| panic!("nothing goes wrong: {error}"))
}

fn open_with(
    folder: &TempDir,
    clock: Arc<ManualClock>,
    capacity: u64,
    report: impl Fn(&Error) + Send + Sync + 'static,
) -> SqliteCache {
    let options = SqliteOptions { capacity, clock, report: Box::new(report) };
    SqliteCache::open(folder.path().join("cache.db"), options).expect("nothing is in its way")
}

/// A scene whose back end can be looked into.
fn scene(folder: &TempDir, capacity: u64) -> (Scene, Arc<SqliteCache>) {
    let mut engine = None;
    let scene = Scene::new(|clock: Arc<ManualClock>| {
        let cache = Arc::new(open(folder, clock, capacity));
        engine = Some(Arc::clone(&cache));
        Box::new(cache)
    });
    (scene, engine.expect("it was made"))
}

pub(super) fn set(cache: &SqliteCache, at: &Address<'_>, value: &[u8], lifetime: Lifetime) -> u64 {
    match cache.set(at, &Draft::of(Value::Bytes(value), lifetime)).expect("it can be written") {
        Written::Done(version) => version,
        Written::Refused(there) => panic!("{there} is in the way"),
    }
}

pub(super) fn read(cache: &SqliteCache, at: &Address<'_>) -> Option<(Vec<u8>, Lifetime, u64)> {
    let mut found = None;
    let read = &mut |item: Item<'_>| {
        let Value::Bytes(bytes) = item.value else { panic!("nobody counts here") };
        found = Some((bytes.to_vec(), item.fresh(), item.version));
    };
    cache.get(at, read).expect("it answers");
    found
}

impl SqliteCache {
    /// What `question` counts in the file.
    fn count(&self, question: &str) -> i64 {
        self.store.read(|file| Ok(file.query_row(question, [], |row| row.get(0))?)).expect("it answers")
    }

    /// That all that is counted is right; tells how many bytes the items have.
    ///
    /// Looked at while nobody writes: the upkeep thread may be about to take something away.
    pub(super) fn check(&self) -> u64 {
        let look = |connections: &Connections| {
            let _nobody_writes = connections.pause();
            Ok((connections.shares(), connections.read(looked_over)?))
        };
        let (mut shares, counted) = self.store.with(look).expect("it answers");
        let bytes = shares.values().map(|share| share.bytes).sum();
        for (plugin, items, bytes) in counted {
            let share = shares.remove(&plugin).expect("it is counted");
            assert_eq!((share.items, share.bytes), (items, bytes), "{plugin}");
        }
        assert!(shares.values().all(|share| share.items == 0 && share.bytes == 0), "{shares:?}");
        bytes
    }
}

/// That the file is whole; what lies in it of each plugin, in items and bytes.
fn looked_over(file: &Connection) -> Result<Vec<(Arc<str>, u64, u64)>, Fault> {
    let check: String = file.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    assert_eq!(check, "ok");
    let lost = "SELECT count(*) FROM tags WHERE NOT EXISTS
        (SELECT 1 FROM items WHERE items.item = tags.item AND tagged)";
    let lost: i64 = file.query_row(lost, [], |row| row.get(0))?;
    assert_eq!(lost, 0, "tags go with their items");
    let mut sum = file.prepare("SELECT plugin, count(*), sum(size) FROM items GROUP BY plugin")?;
    let rows = sum.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[test]
fn a_restart_keeps_the_items_and_their_lifetimes_count_on_while_it_is_closed() {
    let folder = folder();
    let (scene, cache) = scene(&folder, MIB);
    let (short, long, endless) = (scene.key("short"), scene.key("long"), scene.key("endless"));
    set(&cache, &short, b"s", Lifetime::Ms(1_000));
    set(&cache, &long, b"l", Lifetime::Ms(10_000));
    let last = set(&cache, &endless, b"e", Lifetime::Endless);
    cache.incr(&scene.key("count"), 41, Lifetime::Endless).expect("it counts");
    cache.close();
    assert_eq!(cache.get(&long, &mut |_| ()).expect_err("it is closed").kind(), ErrorKind::Unavailable);
    scene.clock.advance(Duration::from_millis(3_000));
    let again = open(&folder, Arc::clone(&scene.clock), MIB);
    assert_eq!(read(&again, &short), None);
    assert_eq!(read(&again, &long).map(|(_, left, _)| left), Some(Lifetime::Ms(7_000)));
    assert_eq!(read(&again, &endless), Some((b"e".to_vec(), Lifetime::Endless, last)));
    assert_eq!(again.incr(&scene.key("count"), 1, Lifetime::Endless).expect("it counts"), 42);
    again.check();
}

#[test]
fn no_version_is_given_twice_whatever_comes_between() {
    let folder = folder();
    let (scene, cache) = scene(&folder, MIB);
    let at = scene.key("k");
    let mut last = set(&cache, &at, b"v", Lifetime::Endless);
    cache.close();
    for round in 0..4 {
        let cache = open(&folder, Arc::clone(&scene.clock), MIB);
        for _ in 0..3 {
            cache.remove(&at).expect("it answers");
            let version = set(&cache, &at, b"v", Lifetime::Endless);
            assert!(version > last, "round {round}");
            last = version;
        }
    }
    std::fs::remove_file(folder.path().join("cache.db")).expect("it is there");
    scene.clock.advance(Duration::from_millis(20));
    let cache = open(&folder, Arc::clone(&scene.clock), MIB);
    assert!(set(&cache, &at, b"v", Lifetime::Endless) > last, "in a new file neither");
}

#[test]
fn what_has_gone_leaves_the_file_and_the_file_shrinks() {
    let folder = folder();
    let (scene, cache) = scene(&folder, 64 * MIB);
    for number in 0..3_000 {
        let key = format!("k{number}");
        set(&cache, &scene.key(&key), &[7; 2_000], Lifetime::Ms(1_000 + number % 3_000));
    }
    set(&cache, &scene.key("stays"), b"v", Lifetime::Endless);
    assert_eq!(cache.count("SELECT count(*) FROM items"), 3_001);
    let pages = |cache: &SqliteCache| cache.count("SELECT page_count FROM pragma_page_count");
    let full = pages(&cache);
    // Nobody calls: the thread does it.
    scene.clock.advance(Duration::from_secs(6));
    assert_eq!(cache.count("SELECT count(*) FROM items"), 1);
    assert!(pages(&cache) * 5 < full, "{} of {full} pages", pages(&cache));
    cache.check();
    cache.close();
    let len = std::fs::metadata(folder.path().join("cache.db")).expect("it is there").len();
    assert!(len < MIB, "{len} bytes");
}

#[test]
fn it_is_bounded_by_bytes_and_so_is_its_file() {
    let folder = folder();
    let capacity = 4 * MIB;
    let (scene, cache) = scene(&folder, capacity);
    let mut dice = Dice(5);
    for number in 0..6_000_u64 {
        let key = format!("k{}", dice.roll(5_000));
        let len = [10, 300, 3_000, 20_000][dice.roll(4) as usize];
        let lifetime = if number % 2 == 0 { Lifetime::Endless } else { Lifetime::Ms(5) };
        set(&cache, &scene.key(&key), &vec![1; len], lifetime);
        if number % 1_000 == 0 {
            assert!(cache.check() <= capacity);
        }
    }
    assert!(cache.check() <= capacity);
    let pages = cache.count("SELECT page_count FROM pragma_page_count") as u64;
    assert!(pages * 4096 < capacity * 5 / 4, "{} bytes in the file", pages * 4096);
    assert!(cache.usage().expect("it answers")[0].evicted > 0);
    let error = cache
        .set(&scene.key("large"), &Draft::of(Value::Bytes(&vec![1; capacity as usize]), Lifetime::Endless))
        .expect_err("it is more than all of it");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn cache_36_no_plugin_is_pushed_below_what_is_guaranteed_to_it() {
    let folder = folder();
    let capacity = 2 * MIB;
    let (scene, cache) = scene(&folder, capacity);
    cache.set_plugins(2);
    assert_eq!((cache.capacity(), cache.guaranteed()), (capacity, capacity / 4));
    let tenant = scene.tenants.named("acme");
    let bytes = |id: &str| {
        let usage = cache.usage().expect("it answers");
        usage.iter().find(|used| &*used.plugin == id).map_or(0, |used| used.bytes)
    };
    // One fills it all, the other comes later and takes what it likes: each in its turn is pushed to its guarantee.
    for plugin in [0, 2, 0] {
        for number in 0..3_000 {
            let key = format!("k{number}");
            set(&cache, &scene.at(plugin, &tenant, "ns", &key), &[1; 1_000], Lifetime::Endless);
            let other = if plugin == 0 { "b" } else { "a" };
            if number % 500 == 499 {
                assert!(bytes(other) == 0 || bytes(other) >= cache.guaranteed(), "{}", bytes(other));
            }
        }
        cache.check();
    }
    assert!(bytes("a") + bytes("b") <= capacity);
    let first = scene.at(0, &tenant, "ns", "k0");
    let last = scene.at(0, &tenant, "ns", "k2999");
    assert_eq!(read(&cache, &first), None, "what was written longest ago goes first");
    assert!(read(&cache, &last).is_some());
}

#[test]
fn a_cache_that_has_become_too_small_shrinks_and_works_meanwhile() {
    let folder = folder();
    let (scene, cache) = scene(&folder, 8 * MIB);
    for number in 0..2_000 {
        set(&cache, &scene.key(&format!("k{number}")), &[1; 2_000], Lifetime::Endless);
    }
    cache.close();
    let cache = open(&folder, Arc::clone(&scene.clock), MIB);
    set(&cache, &scene.key("new"), b"v", Lifetime::Endless);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while cache.check() > MIB {
        assert!(std::time::Instant::now() < deadline, "the thread does not make it smaller");
        std::thread::yield_now();
    }
    assert!(read(&cache, &scene.key("new")).is_some());
}

#[test]
fn readers_do_not_wait_for_who_writes() {
    let folder = folder();
    let (scene, cache) = scene(&folder, MIB);
    let at = scene.key("k");
    set(&cache, &at, b"old", Lifetime::Endless);
    let during = cache.store.write(|work| {
        work.remove(&Place::of(&at)?)?;
        // On this very thread, in the middle of a write: it would wait for ever.
        Ok((read(&cache, &at).is_some(), cache.usage()?[0].items))
    });
    assert_eq!(during.expect("it answers"), (true, 1), "what is not committed is not seen");
    assert_eq!(read(&cache, &at), None);
}

#[test]
fn cache_16_of_many_writes_those_that_fail_take_no_other_with_them() {
    let folder = folder();
    let (scene, cache) = scene(&folder, MIB);
    let gone = scene.tenants.named("gone");
    let lost = scene.at(0, &gone, "ns", "k");
    drop(gone);
    let large = vec![1; LARGE];
    let draft = |value| Draft::of(Value::Bytes(value), Lifetime::Endless);
    let only_new = Draft { condition: SetIf::Absent, ..draft(b"again") };
    let writes = [
        (scene.key("a"), draft(b"1")),
        (lost, draft(b"2")),
        (scene.key("b"), draft(&large)),
        (scene.key("a"), only_new),
        (scene.key("c"), draft(b"3")),
    ];
    let answers = cache.set_many(&writes);
    let Ok(Written::Done(first)) = answers[0] else { panic!("{:?}", answers[0]) };
    assert_eq!(answers[1].as_ref().expect_err("it has no tenant").kind(), ErrorKind::StaleHandle);
    assert_eq!(answers[2].as_ref().expect_err("it does not fit").kind(), ErrorKind::TooLarge);
    assert_eq!(answers[3].as_ref().expect("it is asked"), &Written::Refused(first));
    assert!(matches!(answers[4], Ok(Written::Done(version)) if version > first));
    assert_eq!(read(&cache, &scene.key("a")).map(|found| found.0), Some(b"1".to_vec()));
    assert_eq!(cache.count("SELECT count(*) FROM items"), 2);
    cache.check();
}

const LARGE: usize = 1 << 20;

#[test]
fn keys_are_listed_in_pages_and_a_cursor_is_looked_at() {
    let folder = folder();
    let (scene, cache) = scene(&folder, MIB);
    let names = ["a", "a%", "a_", "ab", "aé", "b", "é"];
    for name in names.iter().rev() {
        set(&cache, &scene.key(name), b"v", Lifetime::Endless);
    }
    let space = scene.key("a").space();
    let list = |prefix: &str, limit| {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = cache.keys(&space, prefix, cursor.as_deref(), limit).expect("it answers");
            keys.extend(page.keys);
            cursor = page.next;
            if cursor.is_none() {
                return keys;
            }
        }
    };
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(list("", limit), names, "in the order of their bytes");
        assert_eq!(list("a", limit), names[..5]);
        assert_eq!(list("aé", limit), ["aé"]);
        assert!(list("c", limit).is_empty());
    }
    for cursor in ["", "a", ">", ">\0", &format!(">{}", "k".repeat(513))] {
        let error = cache.keys(&space, "", Some(cursor), 1).expect_err("no page has had it");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{cursor:?}");
    }
}

/// Numbers that are random enough and the same each time: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }
}

/// What is told of an item, but for its version.
type Told = (Owned, Age, Lifetime, Lifetime);

fn look(cache: &dyn CacheBackend, at: &Address<'_>) -> Option<(Told, u64)> {
    let mut found = None;
    let read = &mut |item: Item<'_>| {
        let value = match item.value {
            Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Value::Integer(integer) => Owned::Integer(integer),
            Value::Absent => Owned::Absent,
        };
        found = Some(((value, item.age, item.fresh(), item.left()), item.version));
    };
    let there = cache.get(at, read).expect("it answers");
    assert_eq!(there, found.is_some());
    found
}

#[test]
fn it_is_no_different_from_the_model_also_when_it_is_opened_again_in_between() {
    for seed in 1..=3 {
        against_the_model(seed, 4_000);
    }
}

fn against_the_model(seed: u64, turns: usize) {
    let folder = folder();
    let scene = Scene::new(|clock: Arc<ManualClock>| Box::new(Model::new(clock)));
    let model = Model::new(Arc::clone(&scene.clock) as Arc<dyn Clock>);
    let mut cache = open(&folder, Arc::clone(&scene.clock), 256 * MIB);
    let tenants = ["", "t", "u"].map(|name| scene.tenants.named(name));
    let mut dice = Dice(seed);
    // Ours to the model's, of each key.
    let mut versions: HashMap<u64, u64> = HashMap::new();
    for turn in 0..turns {
        let key = format!("{:0>width$}", dice.roll(6), width = 1 + dice.roll(2) as usize * 40);
        let namespace = ["n", "m"][dice.roll(2) as usize];
        let at = scene.at(dice.roll(2) as usize, &tenants[dice.roll(3) as usize], namespace, &key);
        let ms = |dice: &mut Dice| {
            let most = [3, 100, 5_000][dice.roll(3) as usize];
            dice.roll(most) as i64
        };
        let lifetime = |dice: &mut Dice| match dice.roll(3) {
            0 => Lifetime::Endless,
            _ => Lifetime::Ms(1 + ms(dice)),
        };
        let (ours, theirs) = (look(&cache, &at), look(&model, &at));
        assert_eq!(ours.as_ref().map(|(told, _)| told), theirs.as_ref().map(|(told, _)| told), "turn {turn}");
        let version = ours.as_ref().map_or(0, |(_, version)| *version);
        if let (Some((_, ours)), Some((_, theirs))) = (ours, theirs) {
            assert_eq!(versions.entry(ours).or_insert(theirs), &theirs, "turn {turn}");
        }
        match dice.roll(20) {
            0..8 => {
                let value = match dice.roll(4) {
                    0 => dice.roll(1_000).to_string().into_bytes(),
                    _ => vec![turn as u8; dice.roll(6_000) as usize],
                };
                let absent = dice.roll(6) == 0;
                let tags = ["x", "y", "z"].map(|tag| Namespace::parse("tag", tag.as_bytes()).expect("a tag"));
                let known = [(SetIf::Always, SetIf::Always), (SetIf::Absent, SetIf::Absent)];
                let by_version = (
                    SetIf::Version(version),
                    SetIf::Version(versions.get(&version).copied().unwrap_or_default()),
                );
                let condition = [known[0], known[0], known[1], by_version][dice.roll(4) as usize];
                let spans = match absent || dice.roll(2) == 0 {
                    true => Default::default(),
                    false => super::super::Spans { stale_ms: ms(&mut dice), error_ms: ms(&mut dice) },
                };
                let draft = Draft {
                    value: if absent { Value::Absent } else { Value::Bytes(&value) },
                    lifetime: lifetime(&mut dice),
                    spans,
                    keep_lifetime: dice.roll(4) == 0,
                    tags: &tags[dice.roll(4) as usize..],
                    condition: condition.0,
                };
                let draft = (draft, Draft { condition: condition.1, ..draft });
                let ours = match dice.roll(2) {
                    0 => cache.set(&at, &draft.0).expect("it answers"),
                    _ => *cache.set_many(&[(at, draft.0)])[0].as_ref().expect("it answers"),
                };
                match (ours, model.set(&at, &draft.1).expect("it answers")) {
                    (Written::Done(ours), Written::Done(theirs)) => {
                        assert_eq!(versions.insert(ours, theirs), None, "no version comes twice");
                    }
                    (Written::Refused(0), Written::Refused(0)) => {}
                    (Written::Refused(ours), Written::Refused(theirs)) => {
                        assert_eq!(versions.get(&ours), Some(&theirs), "turn {turn}");
                    }
                    other => panic!("turn {turn}: {other:?}"),
                }
            }
            8..11 => {
                let (delta, lifetime) = (dice.roll(9) as i64 - 4, lifetime(&mut dice));
                let kind = |error: Error| error.kind();
                let ours = cache.incr(&at, delta, lifetime).map_err(kind);
                assert_eq!(ours, model.incr(&at, delta, lifetime).map_err(kind), "turn {turn}");
            }
            11..13 => {
                let wanted = if dice.roll(5) == 0 { None } else { Some(lifetime(&mut dice)) };
                use ExpireIf::{Always, Earlier, Endless, Later, Set};
                let condition = [Always, Always, Endless, Set, Later, Earlier][dice.roll(6) as usize];
                let ours = cache.expire(&at, wanted, condition).expect("it answers");
                assert_eq!(ours, model.expire(&at, wanted, condition).expect("it answers"), "turn {turn}");
            }
            13 => {
                let ours = cache.remove(&at).expect("it answers");
                assert_eq!(ours, model.remove(&at).expect("it answers"), "turn {turn}");
            }
            14 => {
                let tag = Namespace::parse("tag", ["x", "y", "z"][dice.roll(3) as usize].as_bytes());
                let tag = tag.expect("a tag");
                let ours = cache.invalidate_tag(&at.scope, tag).expect("it answers");
                assert_eq!(ours, model.invalidate_tag(&at.scope, tag).expect("it answers"), "turn {turn}");
            }
            15 => {
                let glob = Glob::parse("pattern", key.as_bytes()).expect("it is one");
                let ours = cache.invalidate(&at.space(), &glob).expect("it answers");
                assert_eq!(ours, model.invalidate(&at.space(), &glob).expect("it answers"), "turn {turn}");
            }
            16 if dice.roll(4) == 0 => {
                let ours = cache.clear(&at.space()).expect("it answers");
                assert_eq!(ours, model.clear(&at.space()).expect("it answers"), "turn {turn}");
            }
            17 => {
                let (mut cursors, prefix) = ((None, None), ["", "0", "1"][dice.roll(3) as usize]);
                loop {
                    let limit = 1 + dice.roll(4) as usize;
                    let ours =
                        cache.keys(&at.space(), prefix, cursors.0.as_deref(), limit).expect("it answers");
                    let theirs =
                        model.keys(&at.space(), prefix, cursors.1.as_deref(), limit).expect("it answers");
                    assert_eq!(ours.keys, theirs.keys, "turn {turn}");
                    cursors = (ours.next, theirs.next);
                    assert_eq!(cursors.0.is_some(), cursors.1.is_some(), "turn {turn}");
                    if cursors.0.is_none() {
                        break;
                    }
                }
                let counts = |cache: &dyn CacheBackend| {
                    let usage = cache.usage().expect("it answers").into_iter();
                    let mut counts: Vec<_> = usage.map(|used| (used.plugin, used.items)).collect();
                    counts.sort();
                    counts
                };
                assert_eq!(counts(&cache), counts(&model), "turn {turn}");
            }
            18 if dice.roll(20) == 0 => {
                cache.check();
                drop(cache);
                scene.clock.advance(Duration::from_millis(dice.roll(50)));
                cache = open(&folder, Arc::clone(&scene.clock), 256 * MIB);
            }
            _ => scene.clock.advance(Duration::from_millis(dice.roll(3_000) >> dice.roll(11))),
        }
    }
    cache.check();
}

/// What cannot go without its plugin falling below its guarantee does not stand before what can.
#[test]
fn cache_36_a_large_item_that_has_to_stay_keeps_no_small_one_from_making_room() {
    let folder = folder();
    let (scene, cache) = scene(&folder, MIB);
    cache.set_plugins(2);
    let tenant = scene.tenants.named("");
    set(&cache, &scene.at(0, &tenant, "ns", "large"), &vec![1; 600_000], Lifetime::Endless);
    for number in 0..3_000 {
        set(
            &cache,
            &scene.at(0, &tenant, "ns", &format!("k{}", number % 150)),
            &[1; 1_000],
            Lifetime::Endless,
        );
    }
    let keys: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    for key in &keys {
        set(&cache, &scene.at(2, &tenant, "ns", key), &[2; 1_000], Lifetime::Endless);
    }
    let is_there = |key: &&String| read(&cache, &scene.at(2, &tenant, "ns", key)).is_some();
    assert_eq!(keys.iter().filter(is_there).count(), 100, "it has less than is guaranteed to it");
    assert!(read(&cache, &scene.at(0, &tenant, "ns", "large")).is_some());
    assert!(cache.check() <= MIB);
}

#[test]
fn a_cache_that_has_become_smaller_than_an_item_in_it_shrinks_too() {
    let folder = folder();
    let (scene, cache) = scene(&folder, 4 * MIB);
    let tenant = scene.tenants.named("");
    set(&cache, &scene.at(0, &tenant, "ns", "large"), &vec![1; 900_000], Lifetime::Endless);
    cache.close();
    let cache = open(&folder, Arc::clone(&scene.clock), MIB / 4);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while cache.check() > MIB / 4 {
        assert!(std::time::Instant::now() < deadline, "the thread does not make it smaller");
        std::thread::yield_now();
    }
    set(&cache, &scene.at(2, &tenant, "ns", "other"), b"v", Lifetime::Endless);
}

/// Nothing expires and nobody writes, so nothing else wakes the thread.
#[test]
fn what_went_wrong_is_looked_at_again_though_nothing_else_is_to_be_done() {
    let folder = folder();
    let mut engine = None;
    let scene = Scene::new(|clock: Arc<ManualClock>| {
        // Its thread may be the one that finds the file locked.
        let cache = Arc::new(open_with(&folder, clock, MIB, |_| ()));
        engine = Some(Arc::clone(&cache));
        Box::new(cache)
    });
    let cache = engine.expect("it was made");
    set(&cache, &scene.key("k"), b"v", Lifetime::Endless);
    scene.clock.settle();
    let other = Connection::open(folder.path().join("cache.db")).expect("it can be opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
    let error = cache.remove(&scene.key("k")).expect_err("somebody else writes");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    cache.health().expect_err("it could not be written");
    other.execute_batch("ROLLBACK").expect("it was begun");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(error) = cache.health() {
        assert!(std::time::Instant::now() < deadline, "nobody looks again: {error}");
        scene.clock.advance(Duration::from_secs(3));
    }
}

/// Somebody has packed it by hand, say: then empty pages cannot leave it.
#[test]
fn a_file_that_cannot_give_pages_back_is_left_as_large_as_it_is() {
    let folder = folder();
    let (scene, cache) = scene(&folder, 8 * MIB);
    for number in 0..800 {
        set(&cache, &scene.key(&format!("k{number}")), &[1; 2_000], Lifetime::Endless);
    }
    cache.close();
    let by_hand = Connection::open(folder.path().join("cache.db")).expect("it can be opened");
    by_hand
        .execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL",
        )
        .expect("it can be packed");
    drop(by_hand);
    let cache = open(&folder, Arc::clone(&scene.clock), 8 * MIB);
    cache.clear(&scene.space()).expect("it answers");
    set(&cache, &scene.key("short"), b"v", Lifetime::Ms(10));
    scene.clock.advance(Duration::from_secs(3));
    cache.check();
}
