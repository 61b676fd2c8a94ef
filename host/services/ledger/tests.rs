//! What the ledger promises its callers: together or alone, on a full disk, beside a panic, at the end.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Barrier, atomic::AtomicBool, mpsc},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use super::*;
use crate::services::clock::{Alarm, Clock, ManualClock, SystemClock};

const SCHEMA: Schema = Schema {
    service: "notes",
    steps: &["CREATE TABLE notes (number INTEGER PRIMARY KEY, text BLOB NOT NULL) STRICT"],
};

pub(super) fn options(schemas: &[Schema]) -> LedgerOptions {
    LedgerOptions {
        durability: Durability::Off,
        clock: Arc::new(SystemClock::new()),
        schemas: schemas.to_vec(),
        report: Box::new(|error| eprintln!("{error}")),
    }
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

pub(super) fn open(folder: &TempDir) -> Ledger {
    try_open(folder, &[SCHEMA]).expect("nothing is in its way")
}

pub(super) fn try_open(folder: &TempDir, schemas: &[Schema]) -> Result<Ledger> {
    Ledger::open(folder.path().join("ledger.db"), options(schemas))
}

/// Writes rows, and does one more thing.
pub(super) struct Note {
    pub(super) numbers: Vec<i64>,
    pub(super) text: Vec<u8>,
    pub(super) then: Then,
}

#[derive(Clone)]
pub(super) enum Then {
    Answer,
    Refuse,
    Break,
    Panic,
    /// Says that it is at work, and goes on when it may.
    Wait(Arc<Gate>),
}

#[derive(Default)]
pub(super) struct Gate {
    /// Has been reached; is open.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.0 = true;
        self.changed.notify_all();
        while !state.1 {
            self.changed.wait(&mut state);
        }
    }

    fn reached(&self) {
        let mut state = self.state.lock();
        while !state.0 {
            self.changed.wait(&mut state);
        }
    }

    fn open(&self) {
        self.state.lock().1 = true;
        self.changed.notify_all();
    }
}

impl Write for Note {
    type Answer = i64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<i64, Fault> {
        let mut insert = transaction.prepare("INSERT INTO notes VALUES (?1, ?2)")?;
        for number in &self.numbers {
            insert.execute((number, &self.text))?;
        }
        match &self.then {
            Then::Answer => {}
            Then::Refuse => return Err(Error::new(ErrorKind::Quota, "it is enough").into()),
            Then::Break => drop(transaction.prepare("SELECT secret FROM notes_that_are_not_there")?),
            Then::Panic => panic!("a write of the test panics"),
            Then::Wait(gate) => gate.pass(),
        }
        Ok(transaction.prepare("SELECT count(*) FROM notes")?.query_row([], |row| row.get(0))?)
    }

    fn size(&self) -> usize {
        self.numbers.len() * (8 + self.text.len())
    }
}

pub(super) fn note(number: i64, then: Then) -> Note {
    Note { numbers: vec![number], text: b"text".to_vec(), then }
}

pub(super) fn numbers(ledger: &Ledger) -> BTreeSet<i64> {
    let read = ledger.read(|ledger| {
        let mut all = ledger.prepare_cached("SELECT number FROM notes")?;
        let all = all.query_map([], |row| row.get(0))?;
        Ok(all.collect::<rusqlite::Result<_>>()?)
    });
    read.expect("it can be read")
}

/// Runs these writes in one group, behind one that is under way until all of them wait. Their answers, in their order.
fn in_one_group(ledger: &Ledger, writes: Vec<Note>) -> Vec<Result<i64>> {
    let gate = Arc::<Gate>::default();
    thread::scope(|threads| {
        let first = threads.spawn(|| ledger.write(note(-1, Then::Wait(Arc::clone(&gate)))));
        gate.reached();
        let mut callers = Vec::new();
        for write in writes {
            callers.push(threads.spawn(|| ledger.write(write)));
            while ledger.group.waiting() < callers.len() {
                thread::yield_now();
            }
        }
        gate.open();
        first.join().expect("no panic reaches a caller").expect("nothing is wrong with it");
        callers.into_iter().map(|caller| caller.join().expect("no panic reaches a caller")).collect()
    })
}

#[test]
fn many_callers_share_commits_and_all_of_their_writes_are_there() {
    for callers in [8, 64] {
        let folder = folder();
        let ledger = Ledger::open(
            folder.path().join("ledger.db"),
            LedgerOptions { durability: Durability::Full, ..options(&[SCHEMA]) },
        );
        let ledger = ledger.expect("nothing is in its way");
        let each = 2_000 / callers;
        let begin = Barrier::new(callers as usize);
        thread::scope(|threads| {
            for caller in 0..callers {
                let (ledger, begin) = (&ledger, &begin);
                threads.spawn(move || {
                    begin.wait();
                    for number in caller * each..(caller + 1) * each {
                        ledger.write(note(number, Then::Answer)).expect("nothing is in its way");
                        assert!(number % 16 != 0 || numbers(ledger).contains(&number), "it returned");
                    }
                });
            }
        });
        let all = callers * each;
        assert_eq!(numbers(&ledger), (0..all).collect());
        let counts = ledger.counts();
        assert_eq!((counts.writes, counts.failed, counts.run_again), (all as u64, 0, 0), "{counts:?}");
        assert!(counts.commits * 2 < counts.writes, "{counts:?}");
        assert!(counts.largest_group > 1 && counts.largest_group <= callers as u64, "{counts:?}");
    }
}

#[test]
fn a_lone_caller_commits_each_write() {
    let folder = folder();
    let ledger = open(&folder);
    for number in 0..10 {
        assert_eq!(ledger.write(note(number, Then::Answer)).expect("nothing is wrong"), number + 1);
    }
    let counts = ledger.counts();
    assert_eq!((counts.writes, counts.commits, counts.largest_group), (10, 10, 1));
}

#[test]
fn writes_of_one_group_see_each_other_and_share_one_commit() {
    let folder = folder();
    let ledger = open(&folder);
    let answers = in_one_group(&ledger, (0..20).map(|number| note(number, Then::Answer)).collect());
    let answers: Vec<i64> = answers.into_iter().map(|answer| answer.expect("nothing is wrong")).collect();
    assert_eq!(answers, (2..=21).collect::<Vec<_>>(), "in the order in which they came");
    let counts = ledger.counts();
    assert_eq!((counts.writes, counts.commits, counts.largest_group), (21, 2, 20));
}

#[test]
fn a_group_is_bounded_by_bytes_and_its_leader_hands_over_after_one_more() {
    let folder = folder();
    let ledger = open(&folder);
    let large = |number| Note { numbers: vec![number], text: vec![7; 3 << 20], then: Then::Answer };
    let answers = in_one_group(&ledger, (0..4).map(large).collect());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let counts = ledger.counts();
    // The first alone and, by the same caller, two of those that waited; the other two by one of themselves.
    assert_eq!((counts.writes, counts.commits, counts.largest_group), (5, 3, 2));
}

#[test]
fn a_write_that_fails_takes_no_other_of_its_group_with_it() {
    let cases: [(Then, ErrorKind, u64); 4] = [
        (Then::Refuse, ErrorKind::Quota, 0),
        (Then::Break, ErrorKind::Internal, 0),
        // The row is there already: a constraint of the database.
        (Then::Answer, ErrorKind::Internal, 0),
        (Then::Panic, ErrorKind::Panic, 1),
    ];
    for (then, kind, run_again) in cases {
        let folder = folder();
        let ledger = open(&folder);
        let bad = if matches!(then, Then::Answer) { 3 } else { 77 };
        let mut writes: Vec<_> = (0..8).map(|number| note(number, Then::Answer)).collect();
        writes.insert(5, Note { numbers: vec![100, bad], text: b"text".to_vec(), then: then.clone() });
        writes.push(note(200, then));
        let mut answers = in_one_group(&ledger, writes);
        // The second bad one does not clash where the first does.
        let last = answers.pop().expect("all have answers");
        assert_eq!(last.is_ok(), bad == 3, "{last:?}");
        let error = answers.remove(5).expect_err("it fails");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains("SELECT") && !error.to_string().contains("notes"), "{error}");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let mut expected: BTreeSet<i64> = (-1..8).collect();
        if bad == 3 {
            expected.insert(200);
        }
        assert_eq!(numbers(&ledger), expected, "of the failed ones nothing is there");
        assert_eq!(ledger.counts().run_again, run_again);
        ledger.write(note(300, Then::Answer)).expect("it goes on");
    }
}

#[test]
fn a_lone_write_that_fails_leaves_nothing() {
    let folder = folder();
    let ledger = open(&folder);
    for (then, kind) in [
        (Then::Refuse, ErrorKind::Quota),
        (Then::Panic, ErrorKind::Panic),
        (Then::Break, ErrorKind::Internal),
    ] {
        let error = ledger.write(note(1, then)).expect_err("it fails");
        assert_eq!(error.kind(), kind);
        assert!(numbers(&ledger).is_empty());
    }
    assert_eq!(ledger.write(note(1, Then::Answer)).expect("nothing is wrong"), 1);
    let counts = ledger.counts();
    assert_eq!((counts.writes, counts.failed, counts.commits), (1, 3, 1));
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged_and_heals() {
    const EACH: i64 = 40;
    let folder = folder();
    let ledger = open(&folder);
    ledger.writer.limit_pages(60);
    let (tell, told) = mpsc::channel();
    let write = |begin: i64| {
        thread::scope(|threads| {
            for caller in 0..8 {
                let (ledger, tell) = (&ledger, tell.clone());
                threads.spawn(move || {
                    for round in 0..EACH {
                        let number = begin + (caller * EACH + round) * 2;
                        // Two rows of a page each, so that a half would be seen.
                        let pair = Note {
                            numbers: vec![number, number + 1],
                            text: vec![7; 3_000],
                            then: Then::Answer,
                        };
                        tell.send((number, ledger.write(pair))).expect("the test listens");
                    }
                });
            }
        });
        told.try_iter().collect::<Vec<_>>()
    };
    let check = |answers: &[(i64, Result<i64>)]| {
        let there = numbers(&ledger);
        let mut acknowledged = 0;
        for (number, answer) in answers {
            assert_eq!(
                (there.contains(number), there.contains(&(number + 1))),
                (answer.is_ok(), answer.is_ok())
            );
            match answer {
                Ok(_) => acknowledged += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    assert_eq!(error.to_string(), "the disk of the data folder is full: make room");
                }
            }
        }
        acknowledged
    };
    let answers = write(0);
    let fit = check(&answers);
    assert!(fit > 5 && fit < answers.len() / 2, "{fit} of {}", answers.len());
    ledger.writer.limit_pages(1_000_000);
    let again = write(1_000_000);
    assert_eq!(check(&again), again.len(), "there is room again");
    drop(ledger);
    let there = numbers(&open(&folder));
    assert_eq!(there.len(), (fit + again.len()) * 2, "as many after it was opened again");
}

#[test]
fn a_group_that_a_full_disk_undoes_is_run_again_one_by_one() {
    let folder = folder();
    let ledger = open(&folder);
    ledger.writer.limit_pages(20);
    let large = |number| Note { numbers: vec![number], text: vec![1; 100_000], then: Then::Answer };
    let writes =
        vec![note(1, Then::Answer), large(2), note(3, Then::Answer), large(4), note(5, Then::Answer)];
    let answers = in_one_group(&ledger, writes);
    let kept: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(kept, [true, false, true, false, true], "{answers:?}");
    assert_eq!(numbers(&ledger), BTreeSet::from([-1, 1, 3, 5]));
    let counts = ledger.counts();
    assert_eq!((counts.writes, counts.failed, counts.run_again), (4, 2, 1), "{counts:?}");
}

#[test]
fn close_finishes_what_waits_and_refuses_what_comes() {
    let folder = folder();
    let ledger = open(&folder);
    let gate = Arc::<Gate>::default();
    let (tell, told) = mpsc::channel();
    thread::scope(|threads| {
        let ledger = &ledger;
        for number in 0..6 {
            let then = if number == 0 { Then::Wait(Arc::clone(&gate)) } else { Then::Answer };
            let tell = tell.clone();
            threads.spawn(move || tell.send((number, ledger.write(note(number, then)))));
            if number == 0 {
                gate.reached();
            }
        }
        while ledger.group.waiting() < 5 {
            thread::yield_now();
        }
        let closing = threads.spawn(|| ledger.close());
        // Refused from the moment on at which it begins to close, although writes are still under way.
        let refused = loop {
            match ledger.group.refused() {
                Some(error) => break error,
                None => thread::yield_now(),
            }
        };
        assert_eq!((refused.kind(), &*refused.to_string()), (ErrorKind::Unavailable, "the host has stopped"));
        assert!(told.try_recv().is_err(), "nobody has an answer yet");
        gate.open();
        closing.join().expect("it closes");
        for _ in 0..6 {
            let (number, answer) = told.recv().expect("each caller has an answer");
            answer.unwrap_or_else(|error| panic!("{number} waited before the end: {error}"));
        }
        ledger.close();
    });
    for error in [
        ledger.write(note(9, Then::Answer)).expect_err("it is closed"),
        ledger.read(|_| Ok(())).expect_err("it is closed"),
    ] {
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Unavailable, "the host has stopped"));
    }
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    assert_eq!(left, ["ledger.db"], "all of the log is in the file");
    assert_eq!(numbers(&open(&folder)), (0..6).collect());
}

/// Another process reads, as a backup does, and does not end.
#[test]
fn a_reader_that_does_not_end_costs_a_leader_no_more_than_the_patience_of_a_checkpoint() {
    let folder = folder();
    let ledger = open(&folder);
    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("it is a database");
    other.execute_batch("BEGIN; SELECT count(*) FROM notes").expect("it can be read");
    ledger.write(note(1, Then::Answer)).expect("nothing is in its way");
    ledger.writer.with(|connection| {
        // As much as the writer waits for somebody else's lock, which is more.
        connection.busy_timeout(Duration::from_secs(20)).expect("it can be set");
    });
    ledger.log.lengthen(2 * checkpoint::LONGEST);
    let begun = Instant::now();
    ledger.log.shorten(&ledger.writer);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(other);
    ledger.log.lengthen(4 * checkpoint::LONGEST);
    ledger.log.shorten(&ledger.writer);
    assert_eq!(ledger.counts().log_pages, 0, "with nobody in its way the log begins anew");
}

#[test]
fn while_another_process_writes_every_caller_is_told_so_in_time_and_nothing_of_them_is_kept() {
    let folder = folder();
    let ledger = open(&folder);
    ledger.write(note(1, Then::Answer)).expect("nothing is in its way");
    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("it is a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
    thread::scope(|threads| {
        let callers: Vec<_> = (2..8)
            .map(|number| {
                threads.spawn({
                    let ledger = &ledger;
                    move || ledger.write(note(number, Then::Answer))
                })
            })
            .collect();
        for caller in callers {
            let error = caller.join().expect("no panic").expect_err("another process writes");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("another process has"), "{error}");
        }
    });
    assert_eq!(numbers(&ledger), BTreeSet::from([1]), "reading goes on");
    drop(other);
    ledger.write(note(9, Then::Answer)).expect("it is free again");
    let counts = ledger.counts();
    assert_eq!((counts.writes, counts.failed, counts.run_again), (2, 6, 0), "{counts:?}");
}

/// Tells when it is let go of.
struct Kept(mpsc::Sender<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.send(()).expect("the test listens");
    }
}

#[test]
fn close_by_gives_up_on_what_hangs_refuses_at_once_and_keeps_what_it_is_given_until_it_is_closed() {
    for hangs in ["a write", "a read"] {
        let folder = folder();
        let ledger = Arc::new(open(&folder));
        let gate = Arc::<Gate>::default();
        let (tell, told) = mpsc::channel();
        thread::scope(|threads| {
            let hanging = threads.spawn(|| match hangs {
                "a write" => ledger.write(note(1, Then::Wait(Arc::clone(&gate)))).map(drop),
                _ => ledger.read(|_| {
                    gate.pass();
                    Ok(())
                }),
            });
            gate.reached();
            let Err(unclosed) = ledger.close_by(Instant::now()) else { panic!("{hangs} hangs") };
            unclosed.keep(Kept(tell));
            for error in [
                ledger.write(note(2, Then::Answer)).expect_err("it is refused while the other hangs"),
                ledger.read(|_| Ok(())).expect_err("it is refused while the other hangs"),
            ] {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            assert!(told.try_recv().is_err(), "{hangs} still uses the file");
            gate.open();
            hanging.join().expect("no panic").expect("it was begun before the end");
        });
        told.recv().expect("it is closed, and lets go");
        assert!(!folder.path().join("ledger.db-wal").exists(), "all of the log is in the file");
        assert!(ledger.close_by(Instant::now()).is_ok(), "it is closed already");
    }
}

#[test]
fn a_reader_waits_for_no_writer_and_sees_only_what_is_committed() {
    let folder = folder();
    let ledger = open(&folder);
    ledger.write(note(1, Then::Answer)).expect("nothing is wrong");
    let gate = Arc::<Gate>::default();
    thread::scope(|threads| {
        let writer = threads.spawn(|| ledger.write(note(2, Then::Wait(Arc::clone(&gate)))));
        gate.reached();
        assert_eq!(numbers(&ledger), BTreeSet::from([1]));
        gate.open();
        writer.join().expect("no panic").expect("nothing is wrong");
        assert_eq!(numbers(&ledger), BTreeSet::from([1, 2]));
    });
}

#[test]
fn more_callers_read_than_there_are_connections() {
    let folder = folder();
    let ledger = open(&folder);
    ledger.write(note(1, Then::Answer)).expect("nothing is wrong");
    thread::scope(|threads| {
        for caller in 0..32 {
            let ledger = &ledger;
            threads.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(numbers(ledger).len(), 1);
                }
                if caller % 4 == 0 {
                    let read =
                        || ledger.read(|_| -> Result<(), Fault> { panic!("a read of the test panics") });
                    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                    assert!(caught.is_err(), "it is the reader's own panic");
                }
            });
        }
    });
    assert_eq!(numbers(&ledger).len(), 1, "no connection was lost");
}

#[test]
fn the_log_is_moved_into_the_file_while_writers_go_on_and_does_not_grow_without_end() {
    let folder = folder();
    let clock = ManualClock::at(0);
    let (report, reported) = mpsc::channel();
    let with = LedgerOptions {
        clock: Arc::clone(&clock) as _,
        report: Box::new(move |error| report.send(error.clone()).expect("the test listens")),
        ..options(&[SCHEMA])
    };
    let ledger = Ledger::open(folder.path().join("ledger.db"), with).expect("nothing is in its way");
    let mut longest = 0;
    thread::scope(|threads| {
        let writers: Vec<_> = (0..4)
            .map(|caller| {
                let ledger = &ledger;
                threads.spawn(move || {
                    let mut longest = 0;
                    for number in 0..150 {
                        // 25 pages each.
                        let number = caller * 1_000 + number;
                        let large =
                            Note { numbers: vec![number], text: vec![7; 100_000], then: Then::Answer };
                        ledger.write(large).expect("nothing is in its way");
                        longest = longest.max(ledger.counts().log_pages);
                    }
                    longest
                })
            })
            .collect();
        for writer in writers {
            longest = longest.max(writer.join().expect("no panic"));
        }
    });
    clock.settle();
    let counts = ledger.counts();
    assert!(counts.checkpoints > 0, "{counts:?}");
    assert!(reported.try_recv().is_err(), "nothing went wrong");
    // 15,000 pages were written, faster than any disk would take them: the thread is always behind.
    let bound = 8 * checkpoint::LONGEST;
    assert!(longest <= bound, "{longest}: {counts:?}");
    let log = fs::metadata(folder.path().join("ledger.db-wal")).expect("it is open").len();
    assert!(log <= bound * 4_200, "{log} bytes");
}

/// A clock that panics when it is asked for the time of day, if it is told to.
struct BrokenClock {
    inner: SystemClock,
    broken: AtomicBool,
}

impl Clock for BrokenClock {
    fn now_ms(&self) -> i64 {
        assert!(!self.broken.swap(false, Relaxed), "the clock of the test panics");
        self.inner.now_ms()
    }
    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }
    fn alarm(&self) -> Arc<Alarm> {
        self.inner.alarm()
    }
    fn wait(&self, alarm: &Alarm, until: Option<Duration>) {
        self.inner.wait(alarm, until);
    }
}

#[test]
fn a_leader_that_panics_beside_a_write_leaves_nobody_waiting_and_the_ledger_at_work() {
    let folder = folder();
    let clock = Arc::new(BrokenClock { inner: SystemClock::new(), broken: AtomicBool::new(false) });
    let with = LedgerOptions { clock: Arc::clone(&clock) as _, ..options(&[SCHEMA]) };
    let ledger = Ledger::open(folder.path().join("ledger.db"), with).expect("nothing is in its way");
    let gate = Arc::<Gate>::default();
    thread::scope(|threads| {
        let first = threads.spawn(|| ledger.write(note(-1, Then::Wait(Arc::clone(&gate)))));
        gate.reached();
        let callers: Vec<_> = (0..3)
            .map(|number| {
                threads.spawn({
                    let ledger = &ledger;
                    move || ledger.write(note(number, Then::Answer))
                })
            })
            .collect();
        while ledger.group.waiting() < callers.len() {
            thread::yield_now();
        }
        // The first one leads the next group too, and panics before it has begun.
        clock.broken.store(true, Relaxed);
        gate.open();
        assert!(first.join().is_err(), "it is the leader's own panic");
        for caller in callers {
            let error = caller.join().expect("only the leader panics").expect_err("nothing was written");
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        }
    });
    assert_eq!(ledger.write(note(7, Then::Answer)).expect("it goes on"), 2);
    assert_eq!(numbers(&ledger), BTreeSet::from([-1, 7]));
    ledger.close();
}

/// Writers, readers and the thread that moves pages, and the end in the middle of it, again and again.
#[test]
fn whenever_it_is_closed_what_was_acknowledged_is_there_and_what_was_refused_is_not() {
    let folder = folder();
    let mut expected = BTreeSet::new();
    for round in 0..40 {
        let ledger = Arc::new(open(&folder));
        let acknowledged = Mutex::new(BTreeSet::new());
        thread::scope(|threads| {
            for caller in 0..6 {
                let (ledger, acknowledged) = (&ledger, &acknowledged);
                threads.spawn(move || {
                    for number in 0.. {
                        let number = (round * 6 + caller) * 1_000_000 + number;
                        let text = vec![7; if caller == 0 { 50_000 } else { 10 }];
                        match ledger.write(Note { numbers: vec![number], text, then: Then::Answer }) {
                            Ok(_) => assert!(acknowledged.lock().insert(number)),
                            Err(error) => return assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                        }
                    }
                });
                threads.spawn(move || {
                    loop {
                        let read = ledger.read(|ledger| {
                            let mut last = ledger.prepare_cached("SELECT max(number) FROM notes")?;
                            Ok(last.query_row([], |row| row.get::<_, Option<i64>>(0))?)
                        });
                        if let Err(error) = read {
                            return assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                        }
                    }
                });
            }
            while acknowledged.lock().len() <= round as usize * 5 {
                thread::yield_now();
            }
            match round % 3 {
                0 => ledger.close(),
                1 => assert!(ledger.close_by(Instant::now() + Duration::from_secs(20)).is_ok()),
                _ => {
                    thread::scope(|threads| {
                        for _ in 0..2 {
                            threads.spawn(|| ledger.close());
                        }
                    });
                }
            }
            assert!(!folder.path().join("ledger.db-wal").exists(), "all is in the file");
        });
        expected.append(&mut acknowledged.into_inner());
        assert!(numbers(&open(&folder)) == expected, "round {round}");
    }
}
