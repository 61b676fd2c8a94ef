//! A disk that really is full, and memory that really is: small ones of the test's own, in processes that alone see
//! them.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};
#[cfg(target_os = "linux")]
use std::{env, process::Command};

use super::{
    conformance::{Scopes, key},
    kill_tests::{asked, open},
    plain::Written,
    writers::{Books, Drain, all_write, check_file, is_acknowledged},
};
use crate::{error::ErrorKind, services::small_disk};

/// Where the process writes that has little memory.
#[cfg(target_os = "linux")]
const POOR: &str = "PINTLE_LITTLE_MEMORY";

/// A value that has its place in memory once and not twice.
#[cfg(target_os = "linux")]
const HALF: usize = 2_500 << 20;

#[cfg(target_os = "linux")]
#[test]
fn a_value_that_there_is_no_memory_for_is_refused_and_the_host_lives() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let poor = |arguments: &[&str]| {
        Command::new("sh")
            .args(["-c", "ulimit -v 4000000 && exec \"$0\" \"$@\""])
            .arg(env::current_exe().expect("this program lies somewhere"))
            .args(arguments)
            .env(POOR, folder.path())
            .output()
            .expect("there is a shell")
    };
    if !poor(&["--list"]).status.success() {
        eprintln!("skipped: this program needs more addresses than that, as under a sanitizer");
        return;
    }
    let child = "services::storage::full_disk_tests::poor_child";
    let output = poor(&["--ignored", "--exact", child, "--nocapture"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("refused and alive"), "{told}\n{errors}");
}

/// What runs where there is little memory.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "part of the other"]
fn poor_child() {
    let Ok(folder) = env::var(POOR) else { return };
    let scopes = Scopes::of(&[("meter", "acme")]);
    let (ledger, _) = open(Path::new(&folder));
    let clock = std::sync::Arc::new(crate::services::clock::SystemClock::new());
    let options = super::StorageOptions::new(clock.clone(), |error| eprintln!("{error}"));
    let storage = super::LedgerStorage::open(ledger, options).expect("it can be read");
    let storage = super::Storage::new(Box::new(storage), usize::MAX, clock);
    // Never written to, so that it takes addresses and no memory.
    let value = vec![0; HALF];
    let error = storage.set(&scopes.at(0), key("k"), &value, None).expect_err("there is no room for two");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    drop(value);
    storage.set(&scopes.at(0), key("k"), b"small", None).expect("there is room for this");
    println!("refused and alive");
}

const CALLERS: usize = 4;

#[test]
fn storage_13_on_a_full_disk_nothing_acknowledged_is_lost_and_with_room_it_works_again() {
    small_disk::run("8m", "services::storage::full_disk_tests::child");
}

/// What runs where the small disk is.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Some(disk) = small_disk::place() else { return };
    let scopes = Scopes::of(&[("meter", "acme")]);
    let filler = disk.join("filler");
    // What is left is too little for the first round, and all of it is more than the log and the file need for both.
    fs::write(&filler, vec![1; 7 << 20]).expect("most of the disk");
    let acknowledged = Mutex::new(BTreeSet::new());
    let value = |name: &str| name.repeat(300).into_bytes();

    let (ledger, storage) = open(&disk);
    // Returns how many were refused.
    let write = |round: &str, many: usize| -> usize {
        thread::scope(|threads| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (storage, scopes, acknowledged) = (&storage, &scopes, &acknowledged);
                    threads.spawn(move || {
                        let mut refused = 0;
                        for number in 0..many {
                            let name = format!("{round}/{caller}/{number}");
                            match storage.set(&scopes.at(0), key(&name), &value(&name), Some(0)) {
                                Ok(Written::Done(_)) => {
                                    acknowledged.lock().expect("no panic").insert(name);
                                }
                                Ok(Written::Conflict(version)) => panic!("{name} is there as {version}"),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                                    assert!(
                                        error.to_string().contains("the disk of the data folder is full")
                                    );
                                    refused += 1;
                                }
                            }
                        }
                        refused
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().expect("no panic")).sum()
        })
    };
    let there = |storage: &super::Storage| -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut cursor = String::new();
        loop {
            let page = storage.keys(&scopes.at(0), "", &cursor, 1_000).expect("reading needs no room");
            for name in page.keys {
                let (found, _) =
                    storage.fetch(&scopes.at(0), key(&name)).expect("it can be read").expect("it is listed");
                assert!(found == value(&name), "{name} is not whole");
                names.insert(name);
            }
            match page.next {
                Some(next) => cursor = next,
                None => return names,
            }
        }
    };
    let refused = write("full", 200);
    assert!(refused > 0 && refused < 200 * CALLERS, "{refused} were refused");
    assert_eq!(there(&storage), *acknowledged.lock().expect("no panic"));
    println!("the disk was full: {refused} writes were refused");
    fs::remove_file(&filler).expect("it is there");
    assert_eq!(write("room", 20), 0, "there is room again");
    assert_eq!(there(&storage), *acknowledged.lock().expect("no panic"));
    drop(storage);
    drop(ledger);
    let (_ledger, storage) = open(&disk);
    assert_eq!(there(&storage), *acknowledged.lock().expect("no panic"));
}

/// Sixteen writers fill it again and again, and go on by themselves when there is room.
#[test]
fn storage_13_on_a_disk_of_a_mebibyte_callers_are_told_and_go_on_when_there_is_room() {
    small_disk::run("1m", "services::storage::full_disk_tests::tiny_child");
}

/// What runs where the disk is tiny.
#[test]
#[ignore = "part of the other"]
fn tiny_child() {
    let Some(disk) = small_disk::place() else { return };
    let (rounds, seed) = asked(3);
    let filler = disk.join("filler");
    let books = Mutex::new(Books::default());
    let mut refused = 0;
    let (mut ledger, mut storage) = open(&disk);
    for round in 0..rounds {
        // What is left is nothing: the writers go on until each has been refused.
        fill(&filler);
        let enough = AtomicU64::new(0);
        all_write(&storage, 2 * round, seed, &|turn, answer| {
            if is_acknowledged(&answer) {
                books
                    .lock()
                    .expect("no panic")
                    .take(&answer.expect("it is acknowledged").expect("it says so"));
            } else if answer.is_err() {
                enough.fetch_add(1, Relaxed);
            }
            turn < 400 && enough.load(Relaxed) < 100
        });
        assert!(enough.load(Relaxed) >= 100, "round {round}: the disk was not full");
        refused += enough.load(Relaxed);
        books.lock().expect("no panic").check(&storage, None);
        fs::remove_file(&filler).expect("it is there");
        books.lock().expect("no panic").check_outbox(&ledger);
        ledger.write(Drain).expect("there is room again");
        let failed = AtomicU64::new(0);
        all_write(&storage, 2 * round + 1, seed, &|turn, answer| {
            if let Err(error) = &answer {
                eprintln!("round {round}, with room again: {error}");
                failed.fetch_add(1, Relaxed);
            } else if let Ok(Some(line)) = answer {
                books.lock().expect("no panic").take(&line);
            }
            turn < 15
        });
        assert_eq!(failed.load(Relaxed), 0, "round {round}: there is room again");
        // It does not take what the file needs to grow: then neither could go on.
        let log = fs::metadata(disk.join("ledger.db-wal")).map_or(0, |log| log.len());
        assert!(log <= 256 << 10, "round {round}: the log keeps {log} bytes of a disk that was full");
        books.lock().expect("no panic").check(&storage, None);
        if round % 3 == 2 {
            storage.close();
            drop((storage, ledger));
            (ledger, storage) = open(&disk);
            check_file(&ledger);
            books.lock().expect("no panic").check(&storage, None);
        }
    }
    let acknowledged = books.lock().expect("no panic").acknowledged;
    println!(
        "the disk was full {rounds} times: {refused} writes were refused, {acknowledged} acknowledged and none lost"
    );
}

/// Takes all the room that there is.
fn fill(filler: &Path) {
    let mut file = fs::File::create(filler).expect("there is room for a name");
    while file.write_all(&[1; 4_096]).is_ok() {}
}
