//! A host is killed while it writes, again and again: the file always opens again, and no item is there by half.
//!
//! The one that is killed is this program again, told by a variable of the environment where to write.

use std::{
    collections::BTreeMap,
    env,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write as _},
    process::{Command, Stdio},
    thread,
};

use super::{
    super::{conformance::Scene, model::Model},
    tests::{folder, set},
    *,
};
use crate::services::{
    cache::Value,
    clock::{ManualClock, SystemClock},
};

/// Where the child writes, and the number of its round.
const TASK: &str = "PINTLE_KILLED_CACHE";

/// How often a child is killed; `cargo xtask cache-kill` sets the variable to more.
const ROUNDS: u64 = 5;
const ROUNDS_ASKED: &str = "PINTLE_CACHE_KILL_ROUNDS";

const CALLERS: u64 = 4;

/// Keys of each caller, which it writes again and again.
const KEYS: u64 = 300;

const TAGS: [&str; 2] = ["even", "odd"];

/// Small, so that items make room for others too.
const CAPACITY: u64 = 2 << 20;

fn open(folder: &Path) -> SqliteCache {
    let report = Box::new(|error: &Error| panic!("a killed host leaves a good file: {error}"));
    let options = SqliteOptions { capacity: CAPACITY, clock: Arc::new(SystemClock::new()), report };
    SqliteCache::open(folder.join("cache.db"), options).expect("a killed host leaves a good file")
}

fn scene() -> Scene {
    Scene::new(|clock: Arc<ManualClock>| Box::new(Model::new(clock)))
}

/// Says which write it is of, again and again, so that another's or a half would be seen.
fn value(key: &str, number: u64) -> Vec<u8> {
    format!("{key} {number};").repeat(1 + number as usize % 7 * 60).into_bytes()
}

#[test]
fn a_killed_host_leaves_a_file_that_opens_and_no_half_of_an_item() {
    let rounds = env::var(ROUNDS_ASKED).map_or(ROUNDS, |rounds| rounds.parse().expect("it is a number"));
    let (folder, scene) = (folder(), scene());
    let (mut told, mut found) = (0, 0);
    let mut highest = 0;
    for round in 0..rounds {
        // Anywhere between "is being opened" and "has moved its log several times".
        let patience = RandomState::new().hash_one(round) % 3_000;
        let patience = if round % 10 == 0 { 0 } else { patience };
        let versions = killed_after(patience as usize, folder.path(), round);
        told += versions.len();

        let cache = open(folder.path());
        cache.check();
        for (caller, number) in (0..CALLERS).flat_map(|caller| (0..KEYS).map(move |key| (caller, key))) {
            let key = format!("{caller}/{number}");
            let read = &mut |item: Item<'_>| {
                let Value::Bytes(bytes) = item.value else { panic!("nobody counts here") };
                let first = bytes.split(|byte| *byte == b';').next().expect("there is always one");
                let write =
                    str::from_utf8(first).ok().and_then(|text| text.strip_prefix(&*format!("{key} ")));
                let write = write.and_then(|write| write.parse().ok()).expect("it is the key's own");
                assert!(bytes == value(&key, write), "{key} is not whole");
                // A process that is killed loses nothing that it was told is written; later writes it may have done.
                if let Some((version, told)) = versions.get(&key) {
                    assert!(item.version >= *version && write >= *told, "{key} is an older one");
                }
                found += 1;
            };
            cache.get(&scene.key(&key), read).expect("it answers");
        }
        let version = set(&cache, &scene.key("next"), b"v", Lifetime::Endless);
        let last = versions.values().map(|(version, _)| *version).max().unwrap_or_default();
        assert!(version > last.max(highest), "round {round}: versions go on");
        highest = version;
        let space = scene.key("next").space();
        for tag in TAGS {
            let tag = Namespace::parse("tag", tag.as_bytes()).expect("a tag");
            cache.invalidate_tag(&space.scope, tag).expect("it answers");
        }
        cache.remove(&scene.key("next")).expect("it answers");
        assert_eq!(cache.check(), 0, "each item has its tag");
        // The next child finds it as a killed one left it, half of the time.
        if round % 2 == 0 {
            cache.close();
        }
    }
    let aside = std::fs::read_dir(folder.path()).expect("it is there");
    let aside = aside.filter(|file| {
        file.as_ref().expect("it can be read").file_name().to_string_lossy().contains("corrupt")
    });
    assert_eq!(aside.count(), 0);
    println!("{rounds} hosts were killed: {told} keys were told of, {found} whole items read, none by half");
}

/// What a child had written last under each key when it was killed, some time after so many keys.
fn killed_after(patience: usize, folder: &Path, round: u64) -> BTreeMap<String, (u64, u64)> {
    let mut child = Command::new(env::current_exe().expect("this program lies somewhere"))
        .args(["--ignored", "--exact", "services::cache::sqlite::kill_tests::child", "--nocapture"])
        .env(TASK, format!("{round} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut told = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let (mut written, mut line) = (BTreeMap::new(), String::new());
    let (mut lines, mut killed) = (0, false);
    loop {
        line.clear();
        if told.read_line(&mut line).expect("the pipe can be read") == 0 {
            break;
        }
        // A line that was cut off is no answer.
        if let Some((_, whole)) = line.strip_suffix('\n').and_then(|line| line.split_once("written: ")) {
            let mut words = whole.split(' ');
            let mut word = || words.next().expect("there are three");
            let (key, number, version) = (word().to_owned(), word().parse(), word().parse());
            written.insert(key, (version.expect("a version"), number.expect("a number")));
            lines += 1;
        }
        if lines >= patience && !killed {
            child.kill().expect("it is ours");
            killed = true;
        }
    }
    let status = child.wait().expect("it is ours");
    assert!(killed && !status.success(), "the child ended by itself: {status}");
    written
}

/// What runs in a process of its own, until it is killed.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    println!("begins");
    let (round, folder) = task.split_once(' ').expect("the task has two words");
    let cache = open(Path::new(folder));
    let scene = scene();
    let round: u64 = round.parse().expect("it is a number");
    thread::scope(|threads| {
        for caller in 0..CALLERS {
            let (cache, scene) = (&cache, &scene);
            threads.spawn(move || {
                for number in round << 32.. {
                    let key = format!("{caller}/{}", number % KEYS);
                    let value = value(&key, number);
                    let tag = TAGS[(number % 2) as usize];
                    let tags = [Namespace::parse("tag", tag.as_bytes()).expect("a tag")];
                    let lifetime = if number % 5 == 0 { Lifetime::Ms(200) } else { Lifetime::Endless };
                    let draft = Draft { tags: &tags, ..Draft::of(Value::Bytes(&value), lifetime) };
                    let at = scene.key(&key);
                    let written = match number % 3 {
                        0 => cache.set_many(&[(at, draft)]).pop().expect("it has one answer"),
                        _ => cache.set(&at, &draft),
                    };
                    let Ok(Written::Done(version)) = written else { panic!("{key}: {written:?}") };
                    // One write for each line: the pipe takes it whole.
                    let line = format!("written: {key} {number} {version}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
                }
            });
        }
    });
}
