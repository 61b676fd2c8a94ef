//! A host is killed while it begins and ends operations: what it was told is there, and whoever comes after it takes over
//! what it has left.
//!
//! The one that is killed is this program again, told by a variable of the environment where to write.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{
    Idempotency, LedgerIdempotency, SCHEMA, State, Token,
    conformance::{LIMITS, Scopes},
};
use crate::{
    error::ErrorKind,
    services::{
        clock::{Clock, ManualClock, SystemClock},
        ledger::{Durability, Ledger, LedgerOptions},
    },
};

/// Where the child writes, and the number of its round.
const TASK: &str = "PINTLE_KILLED_ONCE";

/// How often a child is killed; more with this variable.
const ROUNDS: u64 = 3;
const ROUNDS_ASKED: &str = "PINTLE_KILL_ROUNDS";

const CALLERS: u64 = 4;

/// How many answers a child gets before it is killed, in the first round.
const PATIENCE: usize = 40;

fn open(folder: &Path, clock: &Arc<dyn Clock>) -> Idempotency {
    let options = LedgerOptions {
        durability: Durability::Full,
        clock: Arc::clone(clock),
        schemas: vec![SCHEMA],
        report: Box::new(|error| eprintln!("{error}")),
    };
    let ledger = Ledger::open(folder.join("ledger.db"), options).expect("a killed host leaves a good ledger");
    let report = |error: &crate::Error| eprintln!("{error}");
    let store = LedgerIdempotency::new(Arc::new(ledger), Arc::clone(clock), report);
    Idempotency::new(Box::new(store.expect("the system has a thread")), LIMITS)
}

#[test]
fn idempotency_4_idempotency_7_what_a_killed_host_was_told_is_there_and_what_it_left_is_taken_over() {
    let rounds = env::var(ROUNDS_ASKED).map_or(ROUNDS, |rounds| rounds.parse().expect("it is a number"));
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let scopes = Scopes::of(&[("shop", "acme")]);
    let (mut ended, mut taken_over) = (0, 0);
    for round in 0..rounds {
        let told = killed_after(PATIENCE + (round % 9) as usize * 37, folder.path(), round);
        // It begins when the child has ended, within all leases, and moves by hand.
        let clock = ManualClock::at(SystemClock::new().now_ms());
        let service = open(folder.path(), &(Arc::clone(&clock) as _));
        let begin = |key: &str| {
            service.begin(&scopes.address(0, "charge", key), b"print", 0, 0).expect("the ledger answers")
        };
        let mut left = Vec::new();
        for (key, (token, ending)) in &told {
            let known = begin(key);
            match (known.state, ending.as_str()) {
                (State::Done, "done" | "begun") | (State::Failed, "failed" | "begun") => {
                    assert_eq!(known.result, key.as_bytes());
                    ended += 1;
                }
                // What it wanted to end it with may not have come as far as the disk.
                (State::InProgress, "begun") => left.push((key, *token)),
                _ => panic!("{key} was {ending}, and is {known:?}"),
            }
        }
        clock.advance(Duration::from_secs(60));
        for (key, token) in left {
            let known = begin(key);
            let State::Started { token: new, taken_over: true } = known.state else {
                panic!("{key} was left, and is {known:?}")
            };
            assert_eq!(known.attempt, 2);
            let late = service.complete(&scopes.at(0), token, b"late").expect_err("somebody else has it");
            assert_eq!(late.kind(), ErrorKind::Conflict, "{late}");
            service.complete(&scopes.at(0), new, b"receipt").expect("it is the one who has it");
            taken_over += 1;
        }
        service.close();
    }
    assert!(ended > 0 && taken_over > 0, "{ended} had ended, {taken_over} were taken over");
    println!("{ended} had ended, {taken_over} were taken over");
}

/// What a child was told when it was killed, some time after it had got `patience` answers: of each key its token, and how
/// it has ended.
fn killed_after(patience: usize, folder: &Path, round: u64) -> BTreeMap<String, (Token, String)> {
    let mut child = Command::new(env::current_exe().expect("this program lies somewhere"))
        .args(["--ignored", "--exact", "services::idempotency::kill_tests::child", "--nocapture"])
        .env(TASK, format!("{round} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut answers = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let (mut told, mut line, mut count) = (BTreeMap::new(), String::new(), 0);
    let mut killed = false;
    loop {
        line.clear();
        answers.read_line(&mut line).expect("the pipe can be read");
        // A line that was cut off is not an answer.
        let Some(whole) = line.strip_suffix('\n') else { break };
        if let Some((_, whole)) = whole.split_once("on disk: ") {
            let mut words = whole.split(' ').map(str::to_owned);
            let (Some(ending), Some(key), Some(token)) = (words.next(), words.next(), words.next()) else {
                panic!("the child said {whole:?}")
            };
            told.insert(key, (token.parse().expect("it is a number"), ending));
            count += 1;
        }
        if count > patience && !killed {
            child.kill().expect("it is ours");
            killed = true;
        }
    }
    let status = child.wait().expect("it is ours");
    assert!(killed && !status.success(), "the child ended by itself: {status}");
    told
}

/// What runs in a process of its own, until it is killed.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let (round, folder) = task.split_once(' ').expect("the task has two words");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let service = open(Path::new(folder), &clock);
    let scopes = Scopes::of(&[("shop", "acme")]);
    // One write for each line: the pipe takes it whole.
    let say = |ending: &str, key: &str, token: Token| {
        let line = format!("on disk: {ending} {key} {token}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
    };
    thread::scope(|threads| {
        for caller in 0..CALLERS {
            let (service, scopes, say) = (&service, &scopes, &say);
            threads.spawn(move || {
                for number in 0_u64.. {
                    let key = format!("{round}/{caller}/{number}");
                    let known = service.begin(&scopes.address(0, "charge", &key), b"print", 0, 0);
                    let state = known.expect("nothing is in its way").state;
                    let State::Started { token, .. } = state else { panic!("{key} is new") };
                    say("begun", &key, token);
                    let scope = scopes.at(0);
                    match number % 3 {
                        0 => {
                            service.complete(&scope, token, key.as_bytes()).expect("it is its own");
                            say("done", &key, token);
                        }
                        1 => {
                            service.fail(&scope, token, true, key.as_bytes()).expect("it is its own");
                            say("failed", &key, token);
                        }
                        _ => {}
                    }
                }
            });
        }
    });
}
