//! The records on the ledger: the suite that every store passes, the model beside it, and what only this store can show.

use std::{
    cell::Cell,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    Ending, Idempotency, IdempotencyStore, LedgerIdempotency, SCHEMA, Start, State, Token,
    conformance::{Bed, LIMITS, START, Scopes, suites},
    model::{ModelStore, Records},
    upkeep::GRAIN,
};
use crate::services::{
    clock::{Alarm, Clock, ManualClock},
    ledger::{Durability, Ledger, LedgerOptions},
};

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A ledger in a folder of its own.
struct OnLedger {
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

    fn rows(&self) -> u64 {
        let count = |ledger: &rusqlite::Connection| {
            Ok(ledger.query_row("SELECT count(*) FROM idempotency_records", [], |row| row.get(0))?)
        };
        self.ledger.read(count).expect("it can be read")
    }

    /// Waits until there are so many, expired ones included.
    #[track_caller]
    fn comes_to(&self, rows: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.rows() != rows {
            assert!(Instant::now() < deadline, "there are {}, and not {rows}", self.rows());
            thread::yield_now();
        }
    }
}

impl Bed for OnLedger {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn store(&self) -> Box<dyn IdempotencyStore> {
        let clock = Arc::clone(&self.clock);
        let report = |error: &crate::Error| eprintln!("{error}");
        Box::new(LedgerIdempotency::new(Arc::clone(&self.ledger), clock, report).expect("it has a thread"))
    }

    fn restart(self) -> Self {
        let Self { folder, clock, ledger } = self;
        drop(Arc::into_inner(ledger).expect("the store has let go of it"));
        Self::open(folder, &clock)
    }
}

/// The model itself: what the suite asks for can be kept.
struct OnModel {
    records: Records,
    clock: Arc<ManualClock>,
}

impl Bed for OnModel {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self { records: Records::default(), clock: Arc::clone(clock) }
    }

    fn store(&self) -> Box<dyn IdempotencyStore> {
        Box::new(ModelStore::new(&self.records, Arc::clone(&self.clock) as _))
    }

    fn restart(self) -> Self {
        self
    }
}

mod on_ledger {
    use super::{OnLedger, suites};

    suites!(OnLedger);
}

mod on_model {
    use super::{OnModel, suites};

    suites!(OnModel);
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn random_operations_come_to_what_they_come_to_in_the_model() {
    let clock = ManualClock::at(START);
    let (bed, plain) = (OnLedger::new(&clock), OnModel::new(&clock));
    let (store, model) = (bed.store(), plain.store());
    let scopes = Scopes::of(&[("shop", "acme"), ("shop", ""), ("till", "acme")]);
    let mut dice = Dice(7);
    let mut tokens: Vec<Token> = vec![1];
    let mut seen = [0_u32; 8];
    let told = |done: crate::Result<()>| done.map_err(|error| error.to_string());
    for step in 0..20_000_u64 {
        let (scope, key) = (dice.roll(3) as usize, ["a", "b", "c"][dice.roll(3) as usize]);
        let address = scopes.address(scope, ["charge", "refund"][dice.roll(2) as usize], key);
        // The last tokens most of all: old ones are conflicts.
        let recent = tokens.len() as u64 - 1 - dice.roll(tokens.len().min(12) as u64);
        let token = tokens[recent as usize];
        let result = [&b""[..], b"x", b"receipt"][dice.roll(3) as usize];
        match dice.roll(10) {
            0..4 => {
                let start = Start {
                    fingerprint: [&b"p"[..], b"p", b"p", b"q"][dice.roll(4) as usize],
                    token: step + 2,
                    lease_ms: 10 + dice.roll(90) as i64,
                    keep_ms: 10 + dice.roll(200) as i64,
                };
                let known = store.begin(&address, &start).expect("it answers");
                assert_eq!(known, model.begin(&address, &start).expect("it answers"), "step {step}");
                let state = match known.state {
                    State::Started { taken_over, .. } => usize::from(taken_over),
                    State::InProgress => 2,
                    State::Done => 3,
                    State::Failed => 4,
                    State::Mismatch => 5,
                    State::Abandoned => panic!("begin tells nobody so"),
                };
                seen[state] += 1;
                tokens.extend(matches!(known.state, State::Started { .. }).then_some(start.token));
            }
            4..7 => {
                let ending =
                    [Ending::Done(result), Ending::Failed(result), Ending::Dropped][dice.roll(3) as usize];
                let done = told(store.end(&scopes.at(scope), token, ending));
                assert_eq!(
                    done,
                    told(model.end(&scopes.at(scope), token, ending)),
                    "step {step}: {ending:?}"
                );
                seen[6 + usize::from(done.is_err())] += 1;
            }
            7 => {
                let lease_ms = (dice.roll(2) == 0).then_some(1 + dice.roll(100) as i64);
                let done = told(store.renew(&scopes.at(scope), token, lease_ms));
                assert_eq!(done, told(model.renew(&scopes.at(scope), token, lease_ms)), "step {step}");
            }
            8 if dice.roll(8) == 0 => {
                let forgot = store.forget(&address).expect("it answers");
                assert_eq!(forgot, model.forget(&address).expect("it answers"), "step {step}");
            }
            _ => clock.advance(Duration::from_millis(dice.roll(40))),
        }
        assert_eq!(
            store.look(&address).expect("it answers"),
            model.look(&address).expect("it answers"),
            "step {step}"
        );
    }
    assert!(seen.iter().all(|times| *times > 100), "each came often: {seen:?}");
}

#[test]
fn what_has_expired_leaves_the_ledger_and_what_has_not_stays() {
    let clock = ManualClock::at(START);
    let mut bed = OnLedger::new(&clock);
    let scopes = Scopes::of(&[("shop", "acme")]);
    let begin = |service: &Idempotency, key: &str, keep_ms: i64| {
        let known = service.begin(&scopes.address(0, "charge", key), b"p", 1_000, keep_ms);
        let State::Started { token, .. } = known.expect("it answers").state else { panic!("it is new") };
        token
    };
    {
        let service = Idempotency::new(bed.store(), LIMITS);
        // More than go in one step, then some that end later, of which one renews and one completes.
        for number in 0..200 {
            begin(&service, &format!("short {number}"), 1_000);
        }
        let renewed = begin(&service, "renewed", 1_000);
        let done = begin(&service, "done", 500_000);
        assert_eq!(bed.rows(), 202);
        clock.advance(Duration::from_millis(1_500));
        service.renew(&scopes.at(0), renewed, 86_400_000).expect("it is its own");
        service.complete(&scopes.at(0), done, b"receipt").expect("it is its own");
        clock.advance(Duration::from_millis(500 + GRAIN as u64));
        bed.comes_to(2);
        clock.advance(Duration::from_secs(600));
        bed.comes_to(1);
        // It sleeps till tomorrow, and one comes that goes before.
        begin(&service, "soon", 1);
        assert_eq!(bed.rows(), 2);
        clock.advance(Duration::from_millis(1_001 + GRAIN as u64));
        bed.comes_to(1);
        begin(&service, "left", 1_000);
        service.close();
    }
    // What expires while there is no host goes with the next one.
    bed = bed.restart();
    clock.advance(Duration::from_secs(86_400 * 2));
    assert_eq!(bed.rows(), 2);
    let _store = bed.store();
    bed.comes_to(0);
}

#[test]
fn removing_what_has_expired_looks_at_no_more_than_that() {
    let bed = OnLedger::new(&ManualClock::at(START));
    let plan = |statement: &str| {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let read = |ledger: &rusqlite::Connection| {
            let mut plan = ledger.prepare(&explain)?;
            let lines = plan.query_map([], |row| row.get::<_, String>(3))?;
            Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("; "))
        };
        bed.ledger.read(read).expect("it can be read")
    };
    for statement in [
        "SELECT record FROM idempotency_records WHERE expires_ms <= 5 ORDER BY expires_ms LIMIT 64",
        "SELECT min(expires_ms) FROM idempotency_records",
        "SELECT record FROM idempotency_records WHERE token = 5 AND plugin = 'a' AND tenant = '' AND expires_ms > 5",
        "SELECT state FROM idempotency_records WHERE plugin = '' AND tenant = '' AND operation = x'' AND key = x''",
        "SELECT 1 FROM idempotency_records WHERE plugin = 'a' AND expires_ms > 5",
    ] {
        let plan = plan(statement);
        assert!(plan.contains("INDEX") && !plan.contains("TEMP B-TREE"), "{statement}: {plan}");
    }
}

thread_local! {
    /// The next look of this thread at a [`Gate`] waits for the others.
    static AT_GATE: Cell<bool> = const { Cell::new(false) };
}

/// A clock that lets nobody who is at the gate see the time before all are there.
struct Gate {
    clock: Arc<ManualClock>,
    all: Barrier,
}

impl Clock for Gate {
    fn now_ms(&self) -> i64 {
        if AT_GATE.take() {
            self.all.wait();
        }
        self.clock.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn alarm(&self) -> Arc<Alarm> {
        self.clock.alarm()
    }

    fn wait(&self, alarm: &Alarm, until: Option<Duration>) {
        self.clock.wait(alarm, until);
    }
}

/// The worst case, made certain: all have looked and found nothing before the first one writes.
#[test]
fn idempotency_2_of_64_that_have_all_found_nothing_one_starts() {
    let bed = OnLedger::new(&ManualClock::at(START));
    let gate = Arc::new(Gate { clock: Arc::clone(&bed.clock), all: Barrier::new(64) });
    let store = LedgerIdempotency::new(Arc::clone(&bed.ledger), gate, |error| eprintln!("{error}"));
    let service = Idempotency::new(Box::new(store.expect("it has a thread")), LIMITS);
    let scopes = Scopes::of(&[("shop", "acme")]);
    let states: Vec<State> = thread::scope(|threads| {
        let begins: Vec<_> = (0..64)
            .map(|_| {
                threads.spawn(|| {
                    AT_GATE.set(true);
                    service.begin(&scopes.address(0, "charge", "k"), b"p", 0, 0)
                })
            })
            .collect();
        begins.into_iter().map(|one| one.join().expect("no panic").expect("an answer").state).collect()
    });
    let starts =
        states.iter().filter(|state| matches!(state, State::Started { taken_over: false, .. })).count();
    let waits = states.iter().filter(|state| **state == State::InProgress).count();
    assert_eq!((starts, waits), (1, 63), "{states:?}");
}

/// Whoever asks for what is over queues up behind nobody.
#[test]
fn what_is_over_or_under_way_is_told_without_a_write() {
    let clock = ManualClock::at(START);
    let bed = OnLedger::new(&clock);
    let service = Idempotency::new(bed.store(), LIMITS);
    let scopes = Scopes::of(&[("shop", "acme")]);
    let begin = |print: &[u8]| {
        service.begin(&scopes.address(0, "charge", "k"), print, 0, 0).expect("it answers").state
    };
    let State::Started { token, .. } = begin(b"p") else { panic!("it is new") };
    let writes = || bed.ledger.counts().writes;
    // This one, and the first look at what has expired, which is the only one while nothing has.
    let deadline = Instant::now() + PATIENCE;
    while writes() < 2 {
        assert!(Instant::now() < deadline, "nobody looks");
        thread::yield_now();
    }
    let before = writes();
    assert_eq!([begin(b"p"), begin(b"q")], [State::InProgress, State::Mismatch]);
    assert_eq!(writes(), before);
    service.complete(&scopes.at(0), token, b"receipt").expect("it is its own");
    assert_eq!([begin(b"p"), begin(b"q")], [State::Done, State::Mismatch]);
    assert_eq!(writes(), before + 1);
}

#[test]
fn where_the_ledger_cannot_be_written_it_is_reported_once_and_tried_again() {
    let clock = ManualClock::at(START);
    let bed = OnLedger::new(&clock);
    let reports = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reports);
    let report = move |_: &crate::Error| {
        count.fetch_add(1, Relaxed);
    };
    let store = LedgerIdempotency::new(Arc::clone(&bed.ledger), Arc::clone(&clock) as _, report);
    let store = store.expect("it has a thread");
    let scopes = Scopes::of(&[("shop", "")]);
    let start = Start { fingerprint: b"", token: 5, lease_ms: 1, keep_ms: 1 };
    store.begin(&scopes.address(0, "charge", "k"), &start).expect("it answers");
    let vandal = rusqlite::Connection::open(bed.folder.path().join("ledger.db")).expect("it is a database");
    vandal.execute_batch("ALTER TABLE idempotency_records RENAME TO away").expect("nobody writes");
    let step = || clock.advance(Duration::from_millis(GRAIN as u64 + 5));
    let deadline = Instant::now() + PATIENCE;
    while reports.load(Relaxed) == 0 {
        assert!(Instant::now() < deadline, "nothing is reported");
        step();
    }
    for _ in 0..5 {
        step();
    }
    assert_eq!(reports.load(Relaxed), 1);
    vandal.execute_batch("ALTER TABLE away RENAME TO idempotency_records").expect("nobody writes");
    step();
    bed.comes_to(0);
}
