//! A host is killed while it writes, again and again, or its disk fails under it: what was acknowledged is there, and
//! everything is whole.
//!
//! The one that is killed is this program again, told by a variable of the environment where to write.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    LedgerStorage, OUTBOX, SCHEMA, Storage, StorageOptions,
    random::Dice,
    writers::{Books, ON_DISK, REFUSED, WRITERS, all_write, check_file, copy, is_acknowledged, say},
};
use crate::services::{
    clock::SystemClock,
    ledger::{Durability, Ledger, LedgerOptions},
};

/// Where the child writes, the number of its round, the seed, and how many writes each writer may try; 0: it is killed.
const TASK: &str = "PINTLE_KILLED_STORAGE";

/// How often a child is killed, and how often the disk fails under one; `cargo xtask storage-kill` sets the variable to more:
/// `ROUNDS SEED`.
const ROUNDS: u64 = 4;
const ASKED: &str = "PINTLE_STORAGE_KILL";

/// Writes that each writer tries where the disk fails.
const TRIES: u64 = 60;

/// The rounds and the seed that are asked for.
pub(super) fn asked(rounds: u64) -> (u64, u64) {
    let Ok(asked) = env::var(ASKED) else { return (rounds, 1) };
    let words =
        asked.split_once(' ').and_then(|(rounds, seed)| Some((rounds.parse().ok()?, seed.parse().ok()?)));
    words.unwrap_or_else(|| panic!("{ASKED}: `{asked}` is not ROUNDS SEED"))
}

/// A ledger as a host has it, and the storage on it.
pub(super) fn open(folder: &Path) -> (Arc<Ledger>, Storage) {
    let options = LedgerOptions {
        durability: Durability::Full,
        clock: Arc::new(SystemClock::new()),
        schemas: vec![SCHEMA, OUTBOX],
        report: Box::new(|error| eprintln!("{error}")),
    };
    let ledger = Ledger::open(folder.join("ledger.db"), options).expect("a killed host leaves a good ledger");
    let ledger = Arc::new(ledger);
    let clock = Arc::new(SystemClock::new());
    let options = StorageOptions::new(clock.clone(), |error| eprintln!("{error}"));
    let storage = LedgerStorage::open(Arc::clone(&ledger), options).expect("it can be read");
    let storage = Storage::new(Box::new(storage), 1 << 20, clock);
    (ledger, storage)
}

#[test]
fn storage_13_after_a_kill_every_acknowledged_write_is_there_and_no_half_of_one() {
    let (rounds, seed) = asked(ROUNDS);
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let (mut books, mut dice) = (Books::default(), Dice::new(seed));
    for round in 0..rounds {
        // Anywhere between "is being opened" and "has moved its log several times".
        let patience = if round % 10 == 9 { 0 } else { dice.roll(4_000) };
        let before = books.acknowledged;
        killed_after(patience, folder.path(), round, seed, &mut books);
        assert!(books.acknowledged - before >= patience, "the child wrote until it was killed");
        // Half of the time the next child finds it as the killed one left it: then a copy is looked at.
        let copied = tempfile::tempdir().expect("there is a place for temporary files");
        let looked_at = if round % 2 == 0 { folder.path() } else { copied.path() };
        if round % 2 == 1 {
            copy(folder.path(), looked_at);
        }
        let (ledger, storage) = open(looked_at);
        // What each of them was at may have been done.
        books.check(&storage, Some((round + 1) * WRITERS));
        if round % 20 == 19 {
            println!("{} rounds, {} acknowledged writes", round + 1, books.acknowledged);
        }
        books.check_outbox(&ledger);
        check_file(&ledger);
        storage.close();
    }
    println!(
        "{rounds} hosts were killed: {} acknowledged writes, none lost, none by half",
        books.acknowledged
    );
}

/// Writes down what a child had acknowledged when it was killed, some time after it had acknowledged so many writes.
fn killed_after(patience: u64, folder: &Path, round: u64, seed: u64, books: &mut Books) {
    let program = env::current_exe().expect("this program lies somewhere");
    let mut child = start(&mut Command::new(program), folder, round, seed, 0);
    let mut left = Some(patience);
    if patience == 0 {
        left = None;
        child.kill().expect("it is ours");
    }
    let status = listen(child, |child, line| {
        books.take(line);
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) {
            left = None;
            child.kill().expect("it is ours");
        }
    });
    assert!(left.is_none() && !status.success(), "the child ended by itself: {status}");
}

/// The disk's own calls that fail, with the error, and which of them is the first that may: each thread counts its own, and
/// what the child needs to open the ledger is before that.
const FAULTS: [(&str, &str, u64, u64); 6] = [
    ("fsync,fdatasync", "EIO", 5, 8),
    ("pwrite64", "ENOSPC", 16, 200),
    ("pwrite64", "EIO", 16, 200),
    ("fsync,fdatasync", "EIO", 5, 2),
    ("pwrite64", "ENOSPC", 16, 30),
    ("pwrite64", "EDQUOT", 16, 200),
];

#[test]
fn storage_13_where_the_disk_fails_nothing_acknowledged_is_lost_and_each_caller_has_its_error() {
    let works = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "true"])
        .output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not there, or may not trace here (apt-get install strace)");
        return;
    }
    let (rounds, seed) = asked(2);
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let (mut books, mut dice) = (Books::default(), Dice::new(seed));
    let (mut refused, mut hurt) = (0, 0);
    // The tables are made before anything fails.
    open(folder.path()).1.close();
    for round in 0..rounds {
        let (calls, error, first, late) = FAULTS[(round % FAULTS.len() as u64) as usize];
        // Once, a few times, or from then on.
        let often = dice.one_of(&["", "+17", "+2", "+1"]);
        let when = first + dice.roll(late);
        let inject = format!("inject={calls}:error={error}:when={when}{often}");
        let program = env::current_exe().expect("this program lies somewhere");
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={calls}"),
            "-e",
            &inject,
        ]);
        let child = start(strace.arg(program), folder.path(), round, seed, TRIES);
        let before = refused;
        let status = listen(child, |_, line| match line.strip_prefix(REFUSED) {
            Some(_) => refused += 1,
            None => books.take(line),
        });
        assert!(status.success(), "round {round}, {inject}: the child ended with {status}");
        hurt += u64::from(refused > before);
        let (ledger, storage) = open(folder.path());
        books.check(&storage, None);
        books.check_outbox(&ledger);
        check_file(&ledger);
        storage.close();
    }
    println!(
        "the disk failed in {hurt} of {rounds} rounds: {refused} writes were refused, {} acknowledged and none lost",
        books.acknowledged
    );
}

/// Starts this program again as the child.
fn start(command: &mut Command, folder: &Path, round: u64, seed: u64, tries: u64) -> Child {
    command
        .args(["--ignored", "--exact", "services::storage::kill_tests::child", "--nocapture"])
        .env(TASK, format!("{round} {seed} {tries} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started")
}

/// Passes on what the child says of its writes, until it has ended.
fn listen(mut child: Child, mut each: impl FnMut(&mut Child, &str)) -> ExitStatus {
    let mut told = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = Vec::new();
    loop {
        line.clear();
        told.read_until(b'\n', &mut line).expect("the pipe can be read");
        // A line that was cut off is not an acknowledgement.
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let whole = str::from_utf8(whole).expect("it is a text");
        // The test runner has said something without an end before the first.
        if let Some((_, said)) = whole.split_once(ON_DISK) {
            each(&mut child, said);
        } else if let Some(at) = whole.find(REFUSED) {
            each(&mut child, &whole[at..]);
        }
    }
    child.wait().expect("it is ours")
}

/// What runs in a process of its own: until it is killed, or some writes long on a disk that fails.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let words: Vec<&str> = task.splitn(4, ' ').collect();
    let [round, seed, tries, folder] = words[..] else { panic!("the task is {task:?}") };
    let [round, seed, tries] = [round, seed, tries].map(|word| word.parse().expect("it is a number"));
    let folder = Path::new(folder);
    fs::create_dir_all(folder).expect("it is there");
    let (_ledger, storage) = open(folder);
    let refused = AtomicU64::new(0);
    all_write(&storage, round, seed, &|turn, answer| {
        match &answer {
            Ok(Some(line)) => say(ON_DISK, line),
            Ok(None) => {}
            Err(error) => {
                assert!(tries != 0 && !is_acknowledged(&answer), "nothing is in its way: {error}");
                refused.fetch_add(1, Relaxed);
                say(REFUSED, &error.to_string());
            }
        }
        tries == 0 || turn < tries
    });
    storage.close();
}
