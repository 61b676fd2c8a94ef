//! A host that is killed while it writes files, and a disk that really is full: the old bytes are there or the new ones,
//! whole, and nothing acknowledged is lost. Both in processes of this program again, told by a variable of the environment
//! where to write.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write as _},
    process::{Command, Stdio},
    thread,
};

use super::*;
use crate::services::{
    clock::SystemClock,
    files::{Files, conformance::Scopes},
    ledger::LedgerOptions,
    small_disk,
};

/// Where the child writes, and the number of its round.
const KILLED: &str = "PINTLE_KILLED_FILES";

/// How often a child is killed; more with this variable.
const ROUNDS: u64 = 5;
const ROUNDS_ASKED: &str = "PINTLE_KILL_ROUNDS";

const WRITERS: usize = 4;

/// Files as a host has them.
fn open(data: &Path) -> (DiskFilesSwept, Scopes) {
    let options = LedgerOptions {
        durability: Durability::Full,
        clock: Arc::new(SystemClock::new()),
        schemas: vec![SCHEMA],
        report: Box::new(|error| eprintln!("{error}")),
    };
    let ledger = Ledger::open(data.join("ledger.db"), options).expect("a killed host leaves a good ledger");
    let options = DiskOptions {
        data: data.to_owned(),
        durability: Durability::Full,
        report: Box::new(|error| panic!("{error}")),
    };
    let store = DiskFiles::open(Arc::new(ledger), options).expect("a killed host leaves good folders");
    let sweep = store.sweep.lock().take();
    (DiskFilesSwept { files: Files::new(Box::new(store), 1 << 30), sweep }, Scopes::of(&[("meter", "acme")]))
}

/// Files, and the thread that looks for what was left.
struct DiskFilesSwept {
    files: Files,
    sweep: Option<Sweep>,
}

impl DiskFilesSwept {
    fn swept(self) -> Files {
        if let Some(sweep) = self.sweep {
            sweep.done();
        }
        self.files
    }
}

/// What a writer puts for the n-th time: of a length that changes, and all of it says which it is.
fn bytes(writer: usize, number: u64) -> Vec<u8> {
    format!("{writer}/{number} ").repeat(1 + (number % 7) as usize * 3_000).into_bytes()
}

#[test]
fn files_3_after_a_kill_the_old_bytes_are_there_or_the_new_ones_whole() {
    let rounds = env::var(ROUNDS_ASKED).map_or(ROUNDS, |rounds| rounds.parse().expect("it is a number"));
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    // What each writer had acknowledged last, and what came next.
    let mut last = [None::<u64>; WRITERS];
    let mut puts = 0;
    for round in 0..rounds {
        let patience = RandomState::new().hash_one(round) as usize % 400;
        for (writer, number) in
            killed_after(patience, folder.path(), last.map(|last| last.map_or(0, |n| n + 1)))
        {
            last[writer] = Some(number);
            puts += 1;
        }
        let (store, scopes) = open(folder.path());
        let files = store.swept();
        for (writer, last) in last.iter_mut().enumerate() {
            let Some(acknowledged) = *last else { continue };
            let (found, _) = files
                .fetch(&scopes.at(0), &format!("w/{writer}"))
                .expect("it can be read")
                .unwrap_or_else(|| panic!("{writer} is gone, {acknowledged} was acknowledged"));
            let which =
                [acknowledged, acknowledged + 1].into_iter().find(|number| found == bytes(writer, *number));
            let which = which.unwrap_or_else(|| panic!("{writer}: {} bytes of neither", found.len()));
            *last = Some(which);
        }
        // Nothing lies there that no file has.
        let there = std::fs::read_dir(folder.path().join("files/meter/1")).map_or(0, Iterator::count);
        let known = files.list(&scopes.at(0), "", "", 1_000).expect("it can be read").paths.len();
        assert_eq!(there, known, "in round {round}");
        files.close();
    }
    println!("{puts} acknowledged writes in {rounds} rounds");
}

/// What a child had acknowledged when it was killed, some time after it had acknowledged `patience` writes.
fn killed_after(patience: usize, folder: &Path, next: [u64; WRITERS]) -> Vec<(usize, u64)> {
    let next = next.map(|number| number.to_string()).join(" ");
    let mut child = Command::new(env::current_exe().expect("this program lies somewhere"))
        .args(["--ignored", "--exact", "services::files::disk::crash_tests::writers", "--nocapture"])
        .env(KILLED, format!("{next} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut told = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let (mut acknowledged, mut line, mut killed) = (Vec::new(), String::new(), false);
    loop {
        line.clear();
        told.read_line(&mut line).expect("the pipe can be read");
        // A line that was cut off is not an acknowledgement.
        let Some(whole) = line.strip_suffix('\n') else { break };
        if let Some((writer, which)) =
            whole.split_once("on disk: ").and_then(|(_, which)| which.split_once(' '))
        {
            let number = |text: &str| text.parse::<u64>().expect("it is a number");
            acknowledged.push((number(writer) as usize, number(which)));
        }
        if acknowledged.len() > patience && !killed {
            child.kill().expect("it is ours");
            killed = true;
        }
    }
    let status = child.wait().expect("it is ours");
    assert!(killed && !status.success(), "the child ended by itself: {status}");
    acknowledged
}

/// What runs in a process of its own, until it is killed.
#[test]
#[ignore = "part of the other"]
fn writers() {
    let Ok(task) = env::var(KILLED) else { return };
    let words: Vec<_> = task.splitn(WRITERS + 1, ' ').collect();
    let (store, scopes) = open(Path::new(words[WRITERS]));
    thread::scope(|threads| {
        for (writer, next) in words[..WRITERS].iter().enumerate() {
            let next: u64 = next.parse().expect("it is a number");
            let (files, scopes) = (&store.files, &scopes);
            threads.spawn(move || {
                for number in next.. {
                    let path = format!("w/{writer}");
                    files.write(&scopes.at(0), &path, &bytes(writer, number)).expect("nothing is in its way");
                    let line = format!("on disk: {writer} {number}\n");
                    // One write for each line: the pipe takes it whole.
                    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
                }
            });
        }
    });
}

#[test]
fn files_3_a_full_disk_leaves_the_old_bytes_and_with_room_it_works_again() {
    small_disk::run("8m", "services::files::disk::crash_tests::small_disk");
}

/// What runs where the small disk is.
#[test]
#[ignore = "part of the other"]
fn small_disk() {
    let Some(disk) = small_disk::place() else { return };
    let (store, scopes) = open(&disk);
    let files = &store.files;
    let old = vec![1; 3 << 20];
    files.write(&scopes.at(0), "a", &old).expect("there is room");
    let before = std::fs::read_dir(disk.join("files/meter/1")).expect("it is there").count();
    for _ in 0..3 {
        let refused =
            files.write(&scopes.at(0), "a", &vec![2; 6 << 20]).expect_err("there is no room for both");
        assert_eq!(refused.error.kind(), ErrorKind::Unavailable);
        assert!(
            refused.error.to_string().contains("the disk of the data folder is full"),
            "{}",
            refused.error
        );
        assert!(files.fetch(&scopes.at(0), "a").expect("it can be read").expect("it is there").0 == old);
        let after = std::fs::read_dir(disk.join("files/meter/1")).expect("it is there").count();
        assert_eq!(after, before, "nothing of it is left to take more room");
    }
    println!("the disk was full");
    files.write(&scopes.at(0), "a", &[3; 100]).expect("there is room for this");
    assert_eq!(files.fetch(&scopes.at(0), "a").expect("it can be read").expect("it is there").0, [3; 100]);
    files.write(&scopes.at(0), "a", &vec![4; 4 << 20]).expect("there is room again");
}
