//! A disk that really is full: a small one of the test's own, in a process that alone sees it.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::{Command, Output},
    sync::Mutex,
    thread,
};

use super::{
    Written,
    conformance::{Scopes, key},
    kill_tests::open,
};
use crate::error::ErrorKind;

/// Where the small disk is.
const TASK: &str = "PINTLE_FULL_DISK";

const CALLERS: usize = 4;

#[test]
fn storage_13_on_a_full_disk_nothing_acknowledged_is_lost_and_with_room_it_works_again() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let mounted = "mount -t tmpfs -o size=8m tmpfs \"$0\"";
    let here = |script: &str| -> Option<Output> {
        let program = env::current_exe().expect("this program lies somewhere");
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .args([folder.path(), &program])
            .env(TASK, folder.path())
            .output()
            .ok()
    };
    if !here(mounted).is_some_and(|tried| tried.status.success()) {
        eprintln!("skipped: this user may not mount a small disk of its own (unshare, tmpfs)");
        return;
    }
    let child = "services::storage::full_disk_tests::child";
    let script = format!("{mounted} && exec \"$1\" --ignored --exact {child} --nocapture");
    let output = here(&script).expect("it could be started before");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains("the disk was full"), "{told}\n{errors}");
}

/// What runs where the small disk is.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Ok(disk) = env::var(TASK) else { return };
    let disk = Path::new(&disk);
    let scopes = Scopes::of(&[("meter", "acme")]);
    let filler = disk.join("filler");
    // What is left is too little for the first round, and all of it is more than the log and the file need for both.
    fs::write(&filler, vec![1; 7 << 20]).expect("most of the disk");
    let acknowledged = Mutex::new(BTreeSet::new());
    let value = |name: &str| name.repeat(300).into_bytes();

    let (ledger, storage) = open(disk);
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
                    storage.get(&scopes.at(0), key(&name)).expect("it can be read").expect("it is listed");
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
    let (_ledger, storage) = open(disk);
    assert_eq!(there(&storage), *acknowledged.lock().expect("no panic"));
}
