//! Files that are no good: each is set aside with a message, whenever it shows, and the cache works.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::mpsc::{self, Receiver},
};

use tempfile::TempDir;

use super::{
    super::conformance::Scene,
    tests::{folder, read, set},
    *,
};
use crate::services::{cache::model::Model, clock::ManualClock};

/// A cache that may have something to say.
fn open(folder: &TempDir, clock: &Arc<ManualClock>) -> (SqliteCache, Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let report = Box::new(move |error: &Error| tell.send(error.to_string()).expect("somebody listens"));
    let options = SqliteOptions { capacity: 64 << 20, clock: Arc::clone(clock) as _, report };
    let cache = SqliteCache::open(folder.path().join("cache.db"), options).expect("nothing is in its way");
    (cache, told)
}

fn scene() -> Scene {
    Scene::new(|clock: Arc<ManualClock>| Box::new(Model::new(clock)))
}

fn value(number: u64) -> Vec<u8> {
    vec![number as u8; 500 + number as usize * 7]
}

/// A file with some hundred pages, closed.
fn fill(folder: &TempDir, scene: &Scene) {
    let (cache, told) = open(folder, &scene.clock);
    for number in 0..400 {
        let key = format!("k{number}");
        set(&cache, &scene.key(&key), &value(number), Lifetime::Endless);
    }
    drop(cache);
    assert_eq!(told.try_iter().count(), 0);
}

fn set_aside(folder: &Path) -> BTreeSet<String> {
    let names =
        fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").file_name());
    let names = names.map(|name| name.into_string().expect("it is a text"));
    // Each is one, with all that goes with it.
    let asides = names.filter(|name| name.starts_with("cache.db.corrupt-"));
    asides.map(|name| name.trim_end_matches("-wal").trim_end_matches("-shm").to_owned()).collect()
}

fn works(cache: &SqliteCache, scene: &Scene) {
    let at = scene.key("works");
    set(cache, &at, b"yes", Lifetime::Endless);
    assert_eq!(read(cache, &at).map(|found| found.0), Some(b"yes".to_vec()));
    cache.health().expect("all is well");
}

#[test]
fn what_is_no_cache_of_this_host_is_set_aside_with_a_message_and_an_empty_one_works() {
    type Prepare = fn(&Path);
    fn statements(file: &Path, statements: &str) {
        let connection = Connection::open(file).expect("it can be opened");
        connection.execute_batch(statements).expect("they are right");
    }
    let cases: [(&str, Prepare, &str); 12] = [
        ("an empty file", |file| fs::write(file, "").expect("it can be written"), "is empty"),
        (
            "a text",
            |file| fs::write(file, "tea\n".repeat(5_000)).expect("it can be written"),
            "is no database",
        ),
        ("a few bytes", |file| fs::write(file, "SQLite").expect("it can be written"), "is no database"),
        (
            "only a beginning",
            |file| fs::write(file, "SQLite format 3\0").expect("it can be written"),
            "is a database of another program",
        ),
        (
            "a folder",
            |file| {
                fs::remove_file(file).expect("it is there");
                fs::create_dir(file).expect("it can be made");
                fs::write(file.join("a file"), "text").expect("it can be written");
            },
            "is not a file",
        ),
        (
            "another program's database",
            |file| {
                fs::remove_file(file).expect("it is there");
                statements(file, "CREATE TABLE notes (text)");
            },
            "is a database of another program",
        ),
        (
            "a newer form",
            |file| statements(file, "PRAGMA user_version = 7"),
            "was written by a newer host: it has form 7, this host knows 1",
        ),
        ("an older form", |file| statements(file, "PRAGMA user_version = 0"), "it has form 0"),
        ("a table more", |file| statements(file, "CREATE TABLE more (a)"), "has other tables"),
        ("an index less", |file| statements(file, "DROP INDEX items_gone"), "has other tables"),
        (
            "a link to nothing",
            |file| {
                fs::remove_file(file).expect("it is there");
                std::os::unix::fs::symlink("nowhere", file).expect("it can be made");
            },
            "is a link to nothing",
        ),
        (
            "a log without its file",
            |file| fs::rename(file, file.with_file_name("cache.db-wal")).expect("it can be moved"),
            "is gone, and its log is still there",
        ),
    ];
    for (name, prepare, says) in cases {
        let (folder, scene) = (folder(), scene());
        fill(&folder, &scene);
        let file = folder.path().join("cache.db");
        prepare(&file);
        let before = fs::read(&file).ok();
        let (cache, told) = open(&folder, &scene.clock);
        let told: Vec<String> = told.try_iter().collect();
        assert!(told.len() == 1 && told[0].contains(says), "{name}: {told:?}");
        let aside = set_aside(folder.path());
        let moved = aside.first().expect("it was set aside");
        assert!(told[0].contains(moved) && told[0].contains("goes on with an empty one"), "{name}: {told:?}");
        assert_eq!(moved, "cache.db.corrupt-20231114T221320.000Z");
        if before.is_some() && !says.contains("form") && !says.contains("tables") {
            assert!(fs::read(folder.path().join(moved)).ok() == before, "{name} was changed");
        }
        assert_eq!(read(&cache, &scene.key("k1")), None);
        works(&cache, &scene);
        drop(cache);
        let (cache, told) = open(&folder, &scene.clock);
        assert_eq!(told.try_iter().count(), 0, "{name}: it is good now");
        assert!(read(&cache, &scene.key("works")).is_some());
    }
}

/// Every item that can still be read is whole; damage is met at the start or later, and told once.
fn survives(folder: &TempDir, scene: &Scene, what: &str) -> usize {
    let (cache, told) = open(folder, &scene.clock);
    let found = |number: u64| {
        let key = format!("k{number}");
        let found = read(&cache, &scene.key(&key));
        if let Some((found, ..)) = &found {
            assert!(*found == value(number), "{what}: k{number} is not what was written");
        }
        found.is_some()
    };
    let whole = (0..400).filter(|number| found(*number)).count();
    for number in 0..400 {
        let key = format!("k{number}");
        set(&cache, &scene.key(&key), &value(number), Lifetime::Ms(50));
    }
    assert!((0..400).all(found), "{what}");
    let space = scene.key("k").space();
    cache.clear(&space).expect("it answers");
    works(&cache, scene);
    drop(cache);
    let told: Vec<String> = told.try_iter().collect();
    assert!(told.len() <= 1, "{what}: {told:?}");
    assert!(whole == 400 || told.len() == 1, "{what}: items are gone and nobody says why");
    assert_eq!(set_aside(folder.path()).len(), told.len());
    told.len()
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_set_aside() {
    let (original, scene) = (folder(), scene());
    fill(&original, &scene);
    let all = fs::read(original.path().join("cache.db")).expect("it can be read");
    let pages = all.len() / 4096;
    assert!(pages > 100);
    let lengths = (0..12).map(|part| pages * part / 12 * 4096);
    for len in lengths.flat_map(|len| [len + 1, len + 100, len + 4096]).chain([all.len() - 1]) {
        let folder = folder();
        fs::write(folder.path().join("cache.db"), &all[..len.min(all.len() - 1)]).expect("it can be written");
        assert_eq!(survives(&folder, &scene, &format!("cut off at {len}")), 1);
    }
}

#[test]
fn pages_that_were_overwritten_are_met_sooner_or_later_and_nothing_wrong_is_read() {
    let (original, scene) = (folder(), scene());
    fill(&original, &scene);
    let all = fs::read(original.path().join("cache.db")).expect("it can be read");
    let pages = all.len() / 4096;
    let mut met = 0;
    for page in (0..24).map(|part| pages * part / 24) {
        let folder = folder();
        let file = folder.path().join("cache.db");
        fs::write(&file, &all).expect("it can be written");
        let opened = fs::OpenOptions::new().write(true).open(&file).expect("it can be opened");
        // The head of a page of a tree, so that it is no value of an item that changes.
        let at = page as u64 * 4096 + if page == 0 { 100 } else { 0 };
        opened.write_all_at(&[0xa5; 600], at).expect("it can be written");
        met += survives(&folder, &scene, &format!("page {page} overwritten"));
    }
    assert!(met > 12, "only {met} of 24 were found");
}

#[test]
fn damage_that_shows_while_it_runs_is_set_aside_then_and_versions_go_on() {
    let (folder, scene) = (folder(), scene());
    fill(&folder, &scene);
    let (cache, told) = open(&folder, &scene.clock);
    let last = set(&cache, &scene.key("k0"), &value(0), Lifetime::Endless);
    let file = folder.path().join("cache.db");
    let len = fs::metadata(&file).expect("it is there").len();
    let opened = fs::OpenOptions::new().write(true).open(&file).expect("it can be opened");
    opened.write_all_at(&vec![0xa5; len as usize - 4096], 4096).expect("it can be written");
    for number in 1..400 {
        let key = format!("k{number}");
        let found = cache.get(&scene.key(&key), &mut |_| ());
        assert!(found.is_ok(), "{found:?}");
    }
    let told: Vec<String> = told.try_iter().collect();
    assert!(told.len() == 1 && told[0].contains("cache.db is damaged: it was moved to"), "{told:?}");
    assert!(set(&cache, &scene.key("k0"), b"v", Lifetime::Endless) > last);
    works(&cache, &scene);
    let moved = set_aside(folder.path());
    assert!(moved.iter().any(|name| name.ends_with("Z")), "{moved:?}");
}

#[test]
fn only_the_newest_three_are_kept() {
    let (folder, scene) = (folder(), scene());
    let mut all = Vec::new();
    for _ in 0..6 {
        fs::write(folder.path().join("cache.db"), "tea").expect("it can be written");
        let (cache, told) = open(&folder, &scene.clock);
        assert_eq!(told.try_iter().count(), 1);
        drop(cache);
        all.extend(set_aside(folder.path()).last().cloned());
        scene.clock.advance(Duration::from_millis(7));
    }
    assert_eq!(set_aside(folder.path()).into_iter().collect::<Vec<_>>(), all[3..]);
}

#[test]
fn a_ledger_is_never_touched() {
    let (folder, scene) = (folder(), scene());
    let ledger = folder.path().join("ledger.db");
    let connection = Connection::open(&ledger).expect("it can be made");
    connection.execute_batch("PRAGMA application_id = 1349416044; CREATE TABLE a (b)").expect("it is right");
    drop(connection);
    let before = fs::read(&ledger).expect("it can be read");
    for link in [true, false] {
        let file = folder.path().join("cache.db");
        if link {
            std::os::unix::fs::symlink(&ledger, &file).expect("it can be made");
        } else {
            fs::copy(&ledger, &file).expect("it can be copied");
        }
        let options = SqliteOptions {
            capacity: 1 << 20,
            clock: Arc::clone(&scene.clock) as _,
            report: Box::new(|error| panic!("{error}")),
        };
        let Err(error) = SqliteCache::open(&file, options) else { panic!("it is taken for a cache") };
        assert!(error.to_string().contains("is a ledger and no cache, and is kept as it is"), "{error}");
        assert!(
            fs::read(&file).expect("it is there") == before && fs::read(&ledger).ok() == Some(before.clone())
        );
        assert_eq!(set_aside(folder.path()), BTreeSet::new());
        fs::remove_file(&file).expect("it is there");
    }
}
