//! A host is killed while it publishes durable events and delivers them, again and again: none is lost, none that was settled comes
//! again, and the order by key holds.
//!
//! The one that is killed is this program again (`load.rs`), told by a variable of the environment what to do. What it was answered
//! and what its handlers were given it notes in a file, and `books.rs` holds that against the database that it left.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    books::Books,
    load::{Dice, NOTES, TASK},
    rig::{PATIENCE, Place},
};

/// How often a child is killed; `cargo xtask events-kill` sets the variable to more: `ROUNDS SEED`.
const ROUNDS: u64 = 5;
const ASKED: &str = "PINTLE_EVENTS_KILL";

/// So many bytes of notes are written at least and at most before a child is killed.
const NOTED: (u64, u64) = (4_000, 60_000);

/// How long there may be no new note. Only a failing test waits that long.
const STANDSTILL: Duration = Duration::from_secs(4 * PATIENCE.as_secs());

#[test]
fn events_26_and_events_33_after_a_kill_every_event_is_delivered_and_what_was_settled_does_not_come_again() {
    let (rounds, seed) = asked();
    let place = Place::new("").with("second", "");
    let folder = place.path();
    fs::write(folder.join("toml"), settings(folder)).expect("it can be written");
    let (mut books, mut dice) = (Books::default(), Dice::new(seed));
    for round in 0..rounds {
        // Before, while and long after it opens the database.
        let wanted = match round % 10 {
            9 => 0,
            6 => dice.roll(NOTED.0),
            // Long enough for several moves of the database's log.
            7 => NOTED.1 * 5,
            _ => NOTED.0 + dice.roll(NOTED.1 - NOTED.0),
        };
        killed(wanted, 2 * round, seed, folder);
        books.kills += 1;
        books.look(folder);
        // Now and then one ends in good order, while it is at work.
        if round % 8 == 3 {
            let turns = 10 + dice.roll(100);
            run_to_its_end(&format!("stop {turns}"), 2 * round + 1, seed, folder);
            books.look(folder);
        }
        if round % 20 == 19 {
            println!("{books}");
        }
    }
    for first in [true, false] {
        let before = books.redeliveries;
        run_to_its_end("drain 0", 2 * rounds + u64::from(!first), seed, folder);
        books.look(folder);
        assert!(first || books.redeliveries == before, "everything was settled before: {books}");
    }
    books.close();
    println!("{books}, none lost");
}

/// The rounds and the seed that are asked for.
fn asked() -> (u64, u64) {
    let Ok(asked) = env::var(ASKED) else { return (ROUNDS, 1) };
    let words =
        asked.split_once(' ').and_then(|(rounds, seed)| Some((rounds.parse().ok()?, seed.parse().ok()?)));
    words.unwrap_or_else(|| panic!("{ASKED}: `{asked}` is not ROUNDS SEED"))
}

/// Two subscriptions of a plugin that notes what it is given, beside those of the application in `load.rs`.
fn settings(folder: &Path) -> String {
    let notes = folder.join(NOTES);
    format!(
        "[plugin.postman.config]\nnotes = '{}'\nload = '''\nfollow plugin.> acks ack300000 1 4 all\n\
         follow orders.> auto auto 1 3 all'''\n",
        notes.display()
    )
}

/// Kills a child after it has noted so many bytes.
fn killed(wanted: u64, round: u64, seed: u64, folder: &Path) {
    let before = length(folder);
    let mut child = start("load 0", round, seed, folder);
    let (mut noted, mut since) = (before, Instant::now());
    while noted < before + wanted {
        assert!(child.try_wait().expect("it is ours").is_none(), "round {round}: the child ended by itself");
        let now = length(folder);
        if now > noted {
            (noted, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STANDSTILL, "round {round}: the child notes nothing any more");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it is ours");
    let status = child.wait().expect("it is ours");
    assert_eq!(status.signal(), Some(9), "round {round}: the child ended by itself: {status}");
}

/// Has a child do its work and end in good order.
fn run_to_its_end(task: &str, round: u64, seed: u64, folder: &Path) {
    let mut child = start(task, round, seed, folder);
    let (mut noted, mut since) = (0, Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        let now = length(folder);
        if now > noted {
            (noted, since) = (now, Instant::now());
        } else if since.elapsed() > STANDSTILL {
            child.kill().expect("it is ours");
            panic!("round {round}: the child that is to {task} notes nothing any more");
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "round {round}: the child that is to {task} ended with {status}");
}

fn length(folder: &Path) -> u64 {
    fs::metadata(folder.join(NOTES)).map_or(0, |metadata| metadata.len())
}

/// Starts this program again as the child.
fn start(task: &str, round: u64, seed: u64, folder: &Path) -> Child {
    let program = env::current_exe().expect("this program lies somewhere");
    Command::new(program)
        .args(["--ignored", "--exact", "load::child", "--nocapture"])
        .env(TASK, format!("{task} {round} {seed} {}", folder.display()))
        .stdout(Stdio::null())
        .spawn()
        .expect("this program can be started")
}
