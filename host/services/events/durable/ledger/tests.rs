//! What only this log can show.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    super::{
        conformance::{Bed, ENDLESS, START, audit, bury, event, new, suites},
        log::{Dedupe, EventLog, Logged, Of, Retention, Settlement, Start},
    },
    LedgerLog, SCHEMA, retain,
};
use crate::{
    error::ErrorKind,
    services::{
        clock::{ManualClock, SystemClock},
        ledger::{Durability, Fault, Ledger, LedgerOptions, Transaction, Write},
        small_disk,
    },
};

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A ledger in a folder of its own.
pub(in super::super) struct OnLedger {
    folder: TempDir,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
}

impl OnLedger {
    fn open(folder: TempDir, clock: &Arc<ManualClock>) -> Self {
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(clock) as _,
            schemas: vec![SCHEMA],
            report: Box::new(|error| eprintln!("{error}")),
        };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way");
        Self { folder, clock: Arc::clone(clock), ledger: Arc::new(ledger) }
    }

    /// With so many events of one tenant.
    fn filled(many: usize) -> (Self, Arc<dyn EventLog>) {
        let bed = Self::new(&ManualClock::at(START));
        let log = bed.log();
        for number in 0..many {
            let event = event("acme", &number.to_string());
            log.append(&[new(&event, Dedupe::Known)]).expect("the log answers");
        }
        (bed, log)
    }

    /// Somebody else writes into the file.
    fn spoil(&self, statements: &str) {
        let vandal =
            rusqlite::Connection::open(self.folder.path().join("ledger.db")).expect("it is a database");
        vandal.execute_batch(statements).expect("nobody writes");
    }
}

impl Bed for OnLedger {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(LedgerLog::new(Arc::clone(&self.ledger), Arc::clone(&self.clock) as _))
    }

    fn restart(self) -> Self {
        let Self { folder, clock, ledger } = self;
        drop(Arc::into_inner(ledger).expect("the log has let go of it"));
        Self::open(folder, &clock)
    }
}

mod on_ledger {
    use super::{OnLedger, suites};

    suites!(OnLedger);
}

fn sequences(events: &[Logged]) -> Vec<u64> {
    events.iter().map(|one| one.sequence).collect()
}

#[test]
fn a_damaged_event_is_passed_over_and_blocks_nobody() {
    let (bed, log) = OnLedger::filled(12);
    bed.spoil(
        "UPDATE events_log SET type = 'not a..topic' WHERE seq = 2;
        UPDATE events_log SET subject = CAST(x'ff' AS TEXT) WHERE seq = 3;
        UPDATE events_log SET extensions = '{' WHERE seq = 4;
        UPDATE events_log SET extensions = '[[\"a\", 1.5]]' WHERE seq = 5;
        UPDATE events_log SET depth = -1 WHERE seq = 6;
        UPDATE events_log SET tenant = CAST(x'80' AS TEXT) WHERE seq = 7;
        UPDATE events_log SET only_for = -1 WHERE seq = 8;
        UPDATE events_log SET key = CAST(x'c3' AS TEXT) WHERE seq > 10;",
    );
    for tenant in [None, Some("acme")] {
        let page = log.read(0, tenant, 100).expect("the log answers");
        let more = log.read(page.up_to, tenant, 100).expect("the log answers");
        let all = [sequences(&page.events), sequences(&more.events)].concat();
        assert_eq!((all, more.up_to), (vec![1, 9, 10], 12), "{tenant:?}");
        let page = log.read(1, tenant, 1).expect("the log answers");
        assert_eq!((sequences(&page.events), page.up_to), (vec![9], 9), "{tenant:?}");
        let page = log.read(10, tenant, 1).expect("the log answers");
        assert_eq!((sequences(&page.events), page.up_to), (vec![], 12), "{tenant:?}");
    }
    assert_eq!(sequences(&log.get(&[1, 2, 3, 8, 9]).expect("the log answers")), [1, 9]);
    let extent = log.extent().expect("the log answers");
    assert_eq!((extent.first, extent.last, extent.events), (1, 12, 12));
    // What dies is copied as it is: it is told of and replayed no more, but may be dropped.
    let consumer = log.join(&audit(), Start::All).expect("the log answers").consumer;
    log.settle(consumer, &bury(&[1, 2, 9])).expect("it is there");
    let letters = log.dead_letters(&Of::default(), 0, 2).expect("the log answers");
    assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [1, 9]);
    assert_eq!(log.consumers(&Of::default()).expect("the log answers")[0].dead, 3);
    let numbers = [letters[0].number, letters[0].number + 1];
    let replayed = log.replay(&numbers).expect("the log answers");
    assert_eq!(sequences(&replayed), [13]);
    assert_eq!(log.drop_dead(&numbers).expect("the log answers"), 1);
    let (mut gone, mut more) = (0, true);
    while more {
        let cleared = log.retain(&Retention { bytes: 0, ..ENDLESS }).expect("the log answers");
        (gone, more) = (gone + cleared.events, cleared.more);
    }
    assert_eq!(gone, 13);
}

#[test]
fn nothing_that_is_asked_often_looks_at_the_whole_log() {
    let (bed, _log) = OnLedger::filled(1);
    let plan = |statement: &str| {
        let explain = format!("EXPLAIN QUERY PLAN {}", statement.replace("?1", "9"));
        let read = |ledger: &rusqlite::Connection| {
            let mut plan = ledger.prepare(&explain)?;
            let lines = plan.query_map([], |row| row.get::<_, String>(3))?;
            Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("; "))
        };
        bed.ledger.read(read).expect("it can be read")
    };
    for statement in [
        "SELECT data FROM events_log WHERE seq > 5 AND seq <= 9 ORDER BY seq",
        "SELECT data FROM events_log WHERE seq > 5 AND seq <= 9 AND tenant = 'a' ORDER BY seq",
        "SELECT data FROM events_log WHERE seq = 5",
        "SELECT peak_ms FROM events_log WHERE seq >= 5 ORDER BY seq LIMIT 1",
        "SELECT seq FROM events_ids WHERE tenant = '' AND source = '' AND id = '' AND (logged_ms > 1 OR 0)",
        "SELECT seq FROM events_settled WHERE consumer = 1 ORDER BY seq",
        "SELECT seq FROM events_retries WHERE consumer = 1 ORDER BY seq",
        "SELECT count(*) FROM events_dead WHERE consumer = 1",
        "SELECT consumer FROM events_consumers WHERE plugin = '' AND tenant = '' AND name = ''",
        "DELETE FROM events_log WHERE seq <= 5",
        "DELETE FROM events_ids WHERE seq <= 5",
        "DELETE FROM events_dead WHERE consumer = 5",
    ] {
        let plan = plan(statement);
        assert!(plan.starts_with("SEARCH") && !plan.contains("TEMP B-TREE"), "{statement}: {plan}");
    }
    // From an end on, and a few of them.
    for statement in [retain::OLDEST, retain::IDS, "SELECT seq FROM events_log ORDER BY seq DESC LIMIT 1"] {
        assert!(!plan(statement).contains("TEMP B-TREE"), "{statement}");
    }
    let late = plan(retain::LATE);
    assert!(
        late.contains("SEARCH l ") && late.contains("INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        "{late}"
    );
}

#[test]
fn one_step_of_clearing_takes_only_so_many() {
    let (_bed, log) = OnLedger::filled(3 * retain::MOST_ROWS);
    let clear = || {
        let cleared = log.retain(&Retention { age_ms: 0, bytes: 0, dedupe_ms: 0 }).expect("the log answers");
        (cleared.events as usize, cleared.more)
    };
    let step = retain::MOST_ROWS;
    assert_eq!([clear(), clear(), clear(), clear()], [(step, true), (step, true), (step, false), (0, false)]);
    // Large ones sooner.
    let mut large = event("acme", "large");
    large.data = vec![0; 1 << 20].into();
    log.append(&vec![new(&large, Dedupe::Never); 5]).expect("the log answers");
    assert_eq!([clear(), clear()], [(3, true), (2, false)]);
}

#[test]
fn to_clear_where_nothing_is_due_writes_nothing() {
    let (bed, log) = OnLedger::filled(3);
    let commits = || bed.ledger.counts().commits;
    let before = commits();
    log.retain(&ENDLESS).expect("the log answers");
    log.append(&[]).expect("the log answers");
    assert_eq!(commits(), before);
    log.join(&audit(), Start::New).expect("the log answers");
    log.join(&audit(), Start::New).expect("the log answers");
    assert_eq!(commits(), before + 1, "who is there is found by a reader");
}

/// Keeps the writer until it is let go.
struct Holds {
    holding: Arc<AtomicBool>,
    held: Mutex<mpsc::Receiver<()>>,
}

impl Write for Holds {
    type Answer = ();

    fn apply(&self, _: &Transaction<'_>) -> Result<(), Fault> {
        self.holding.store(true, Relaxed);
        // Let go of, too, where the test has failed.
        let _ = self.held.lock().expect("nobody panics with it").recv();
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

struct Panics;

impl Write for Panics {
    type Answer = ();

    fn apply(&self, _: &Transaction<'_>) -> Result<(), Fault> {
        panic!("on purpose")
    }

    fn size(&self) -> usize {
        0
    }
}

/// The transaction of a whole group is undone, and run again one by one: nobody gets a sequence of before.
#[test]
fn a_group_that_runs_again_takes_no_sequence_twice_and_leaves_none_out() {
    let (bed, log) = OnLedger::filled(2);
    let (let_go, held) = mpsc::channel();
    let holding = Arc::<AtomicBool>::default();
    let holds = Holds { holding: Arc::clone(&holding), held: Mutex::new(held) };
    let (bed, log) = (&bed, &log);
    let waits_for = |waiting: usize| {
        let deadline = Instant::now() + PATIENCE;
        while bed.ledger.waiting() < waiting {
            assert!(Instant::now() < deadline, "{} wait, not {waiting}", bed.ledger.waiting());
            thread::yield_now();
        }
    };
    let append = move |name: &'static str| {
        let events = ["1", "2"].map(|id| new(&event(name, id), Dedupe::Known));
        log.append(&events).expect("the log answers")
    };
    thread::scope(|threads| {
        let holds = threads.spawn(move || bed.ledger.write(holds));
        // Dropped where a wait fails, so that nobody waits for ever.
        let let_go = let_go;
        // Until it leads: what is queued before would be the leader, and be run alone.
        let deadline = Instant::now() + PATIENCE;
        while !holding.load(Relaxed) {
            assert!(Instant::now() < deadline, "nobody leads");
            thread::yield_now();
        }
        let first = threads.spawn(move || append("first"));
        waits_for(1);
        let panics = threads.spawn(|| bed.ledger.write(Panics));
        waits_for(2);
        let second = threads.spawn(move || append("second"));
        waits_for(3);
        let_go.send(()).expect("it waits");
        holds.join().expect("no panic").expect("it is let go");
        assert_eq!(panics.join().expect("it is caught").map_err(|error| error.kind()), Err(ErrorKind::Panic));
        let told = [first, second].map(|one| one.join().expect("no panic"));
        let told = told.each_ref().map(|both| [both[0].sequence, both[1].sequence]);
        assert_eq!(told, [[3, 4], [5, 6]]);
    });
    assert_eq!(bed.ledger.counts().run_again, 1);
    let page = log.read(2, None, 10).expect("the log answers");
    let there: Vec<_> = page.events.iter().map(|one| (one.sequence, &*one.event.tenant)).collect();
    assert_eq!(there, [(3, "first"), (4, "first"), (5, "second"), (6, "second")]);
}

#[test]
fn after_the_end_of_the_ledger_everything_is_unavailable() {
    let (bed, log) = OnLedger::filled(1);
    bed.ledger.close();
    let kinds = [
        log.append(&[new(&event("acme", "2"), Dedupe::Never)]).err(),
        log.read(0, None, 1).err(),
        log.join(&audit(), Start::All).err(),
        log.settle(1, &Settlement::default()).err(),
        log.retain(&ENDLESS).err(),
        log.extent().err(),
    ];
    for (at, error) in kinds.into_iter().enumerate() {
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Unavailable), "{at}");
    }
}

#[test]
fn events_25_on_a_full_disk_nothing_is_appended_or_all_and_with_room_it_goes_on() {
    small_disk::run("4m", "services::events::durable::ledger::tests::full_disk_child");
}

/// What runs where the small disk is.
#[test]
#[ignore = "part of the other"]
fn full_disk_child() {
    let Some(disk) = small_disk::place() else { return };
    let clock = Arc::new(SystemClock::new());
    let filler = disk.join("filler");
    fs::write(&filler, vec![1; 3 << 20]).expect("most of the disk");
    let options = LedgerOptions {
        durability: Durability::Full,
        clock: Arc::clone(&clock) as _,
        schemas: vec![SCHEMA],
        report: Box::new(|error| eprintln!("{error}")),
    };
    let ledger = Arc::new(Ledger::open(disk.join("ledger.db"), options).expect("there is room for this"));
    let log = LedgerLog::new(Arc::clone(&ledger), clock);
    let pair = |name: &str| {
        let sized = |id: &str| {
            let mut event = event("acme", id);
            event.data = name.repeat(500).into_bytes().into();
            new(&event, Dedupe::Known)
        };
        [sized(&format!("{name}/1")), sized(&format!("{name}/2"))]
    };
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for number in 0..2_000 {
        let events = pair(&number.to_string());
        match log.append(&events) {
            Ok(appended) => {
                acknowledged.extend(appended.iter().zip(events).map(|(one, new)| (one.sequence, new.event)))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                refused += 1;
            }
        }
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "the disk was never full");
    let all = |log: &LedgerLog| {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = log.read(after, None, usize::MAX).expect("reading needs no room");
            if page.events.is_empty() {
                return all;
            }
            after = page.up_to;
            all.extend(page.events.into_iter().map(|one| (one.sequence, one.event)));
        }
    };
    assert!(all(&log) == acknowledged, "what was acknowledged is there, and nothing else");
    println!("the disk was full: {refused} were refused, and {} events are there", acknowledged.len());
    fs::remove_file(&filler).expect("it is there");
    let last = acknowledged.len() as u64;
    let appended = log.append(&pair("room")).expect("there is room again");
    assert_eq!([appended[0].sequence, appended[1].sequence], [last + 1, last + 2]);
    assert_eq!(all(&log).len() as u64, last + 2);
}
