//! A host is killed while it writes, again and again: what was acknowledged is there, and everything is whole.
//!
//! The one that is killed is this program again, told by a variable of the environment where to write.

use std::{
    collections::BTreeSet,
    env,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use super::{
    LedgerStorage, SCHEMA, Storage, Written,
    conformance::{Scopes, key},
};
use crate::{
    error::Result,
    services::{
        clock::SystemClock,
        ledger::{Durability, Fault, Ledger, LedgerOptions, Schema, Transaction, Write},
    },
};

/// Where the child writes, and the number of its round.
const TASK: &str = "PINTLE_KILLED_STORAGE";

/// How often a child is killed; more with this variable.
const ROUNDS: u64 = 5;
const ROUNDS_ASKED: &str = "PINTLE_KILL_ROUNDS";

const CALLERS: u64 = 6;

/// Rows that one write of the child's writes beside the storage, so that a half of it would be seen.
const PAIRS: Schema = Schema {
    service: "pairs",
    steps: &[
        "CREATE TABLE pairs (number INTEGER NOT NULL, half INTEGER NOT NULL, text BLOB NOT NULL, UNIQUE (number, half)) STRICT",
    ],
};

const HALVES: i64 = 5;

struct Batch {
    number: i64,
}

impl Write for Batch {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let mut insert = transaction.prepare("INSERT INTO pairs VALUES (?1, ?2, zeroblob(1500))")?;
        for half in 0..HALVES {
            insert.execute([self.number, half])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        HALVES as usize * 1_500
    }
}

/// A ledger as a host has it, and the storage on it.
pub(super) fn open(folder: &Path) -> (Arc<Ledger>, Storage) {
    let options = LedgerOptions {
        durability: Durability::Full,
        clock: Arc::new(SystemClock::new()),
        schemas: vec![SCHEMA, PAIRS],
        report: Box::new(|error| eprintln!("{error}")),
    };
    let ledger = Ledger::open(folder.join("ledger.db"), options).expect("a killed host leaves a good ledger");
    let ledger = Arc::new(ledger);
    let storage = Storage::new(Box::new(LedgerStorage::new(Arc::clone(&ledger))), 1 << 20);
    (ledger, storage)
}

/// The keys are `round/caller/number`. A value repeats its key, so that another's or a half would be seen.
fn value(name: &str) -> Vec<u8> {
    name.repeat(60).into_bytes()
}

#[test]
fn storage_13_after_a_kill_every_acknowledged_write_is_there_and_no_half_of_one() {
    let rounds = env::var(ROUNDS_ASKED).map_or(ROUNDS, |rounds| rounds.parse().expect("it is a number"));
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let scopes = Scopes::of(&[("meter", "acme")]);
    let mut acknowledged = BTreeSet::new();
    let mut highest = 0;
    for round in 0..rounds {
        // Anywhere between "has just begun" and "has moved its log several times".
        let patience = RandomState::new().hash_one(round) % 1_500;
        let before = acknowledged.len();
        for line in killed_after(patience as usize, folder.path(), round) {
            assert!(acknowledged.insert(line.clone()), "{line} twice");
        }
        assert!((acknowledged.len() - before) as u64 > patience, "the child wrote until it was killed");

        let (ledger, storage) = open(folder.path());
        let mut versions = BTreeSet::new();
        for line in &acknowledged {
            match line.split_once(' ') {
                Some(("batch", number)) => {
                    let count = ledger.read(|ledger| {
                        let mut count =
                            ledger.prepare_cached("SELECT count(*) FROM pairs WHERE number = ?1")?;
                        Ok(count.query_row([number], |row| row.get::<_, i64>(0))?)
                    });
                    assert_eq!(count.expect("it can be read"), HALVES, "batch {number} of round {round}");
                }
                Some((name, version)) => {
                    let found = storage.get(&scopes.at(0), key(name)).expect("it can be read");
                    let (found, info) =
                        found.unwrap_or_else(|| panic!("{name} was acknowledged and is gone"));
                    assert_eq!((found, info.version.to_string()), (value(name), version.to_owned()));
                    assert!(versions.insert(info.version), "version {version} twice");
                }
                None => panic!("the child said {line:?}"),
            }
        }
        assert!(versions.last().copied().unwrap_or_default() >= highest);
        highest = versions.last().copied().unwrap_or_default();
        // Also of what was not acknowledged any more nothing is there by half, nor is the count of it wrong.
        let torn = ledger.read(|ledger| {
            let halves = "SELECT count(*) FROM (SELECT 1 FROM pairs GROUP BY number HAVING count(*) <> ?1)";
            Ok(ledger.query_row(halves, [HALVES], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(torn.expect("it can be read"), 0);
        let check = ledger.read(|ledger| {
            Ok(ledger.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0))?)
        });
        assert_eq!(check.expect("it can be read"), "ok");
        let counted = ledger.read(|ledger| {
            let count = "SELECT count(*), sum(length(key) + length(value)) FROM storage_items";
            Ok(ledger.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        });
        let usage = storage.usage().expect("it can be read");
        assert_eq!(counted.expect("it can be read"), (usage[0].items, usage[0].bytes));
    }
    println!("{} acknowledged writes in {rounds} rounds", acknowledged.len());
}

/// What a child had acknowledged when it was killed, some time after it had acknowledged `patience` writes.
fn killed_after(patience: usize, folder: &Path, round: u64) -> Vec<String> {
    let mut child = Command::new(env::current_exe().expect("this program lies somewhere"))
        .args(["--ignored", "--exact", "services::storage::kill_tests::child", "--nocapture"])
        .env(TASK, format!("{round} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut told = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut killed = false;
    loop {
        line.clear();
        told.read_line(&mut line).expect("the pipe can be read");
        // A line that was cut off is not an acknowledgement.
        let Some(whole) = line.strip_suffix('\n') else { break };
        if let Some((_, whole)) = whole.split_once("on disk: ") {
            lines.push(whole.to_owned());
        }
        if lines.len() > patience && !killed {
            child.kill().expect("it is ours");
            killed = true;
        }
    }
    let status = child.wait().expect("it is ours");
    assert!(killed && !status.success(), "the child ended by itself: {status}");
    lines
}

/// What runs in a process of its own, until it is killed.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let (round, folder) = task.split_once(' ').expect("the task has two words");
    let (ledger, storage) = open(Path::new(folder));
    let scopes = Scopes::of(&[("meter", "acme")]);
    let round: u64 = round.parse().expect("it is a number");
    thread::scope(|threads| {
        for caller in 0..CALLERS {
            let (ledger, storage, scopes) = (&ledger, &storage, &scopes);
            threads.spawn(move || {
                for number in 0_u64.. {
                    let line = if number % 4 == 3 {
                        let number = ((round * CALLERS + caller) << 32) + number;
                        ledger.write(Batch { number: number as i64 }).expect("nothing is in its way");
                        format!("on disk: batch {number}\n")
                    } else {
                        let name = format!("{round}/{caller}/{number}");
                        let written = storage.set(&scopes.at(0), key(&name), &value(&name), Some(0));
                        let Ok(Written::Done(version)) = written else { panic!("{name}: {written:?}") };
                        format!("on disk: {name} {version}\n")
                    };
                    // One write for each line: the pipe takes it whole.
                    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
                }
            });
        }
    });
}
