//! What durable delivery promises, seen from publishers and consumers, on a clock that stands still and a log in memory.

mod lives;
mod model;
mod replays;
mod threads;

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    fake::{Disk, FakeLog},
    log::*,
    *,
};
use crate::services::{
    clock::ManualClock,
    events::{Draft, Topic},
};

const NOW: i64 = 1_795_244_400_000;
const OWNER: u64 = 7;
const ACK: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(25);

/// A plugin's lane: how often a turn was asked for, and whether it takes more.
#[derive(Default)]
struct Lane {
    asked: AtomicUsize,
    refuses: AtomicBool,
    refused: AtomicUsize,
}

impl Turns for Lane {
    fn ready(&self) -> Result<()> {
        if self.refuses.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Busy, "stuck"));
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Lane {
    fn take(&self) -> bool {
        let less = |asked: usize| asked.checked_sub(1);
        self.asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }
}

/// A consumer and its lane.
struct Sub {
    consumer: Arc<Consumer>,
    lane: Arc<Lane>,
    clock: Arc<ManualClock>,
}

impl Sub {
    /// Whether a turn was asked for, perhaps by the keeper just now.
    fn asked(&self) -> bool {
        self.clock.settle();
        self.lane.take()
    }

    /// Runs all turns that were asked for.
    fn run(&self, mut handle: impl FnMut(&Claim) -> Option<Result<()>>) {
        while self.asked() {
            self.consumer.turn(&mut handle);
        }
    }

    /// Runs them, with handlers that answer OK; tells the sequences and attempts.
    fn accept(&self) -> Vec<(u64, u32)> {
        let mut seen = Vec::new();
        self.run(|claim| {
            seen.push((claim.sequence, claim.attempt));
            Some(Ok(()))
        });
        seen
    }

    /// The same with handlers that fail.
    fn refuse(&self) -> Vec<(u64, u32)> {
        let mut seen = Vec::new();
        self.run(|claim| {
            seen.push((claim.sequence, claim.attempt));
            Some(Err(Error::new(ErrorKind::Unavailable, "no")))
        });
        seen
    }

    /// The same with handlers that answer OK; tells the deliveries.
    fn deliveries(&self) -> Vec<u64> {
        let mut seen = Vec::new();
        self.run(|claim| {
            seen.push(claim.delivery);
            Some(Ok(()))
        });
        seen
    }
}

/// A host on a disk.
struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    disk: Arc<Disk>,
    log: Arc<FakeLog>,
    events: Arc<Events>,
    durable: Option<Durable>,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::at(NOW);
        let disk = Arc::new(Disk::default());
        let (folder, log) = (tempfile::tempdir().expect("a folder"), FakeLog::on(&disk));
        let events = Arc::new(Events::new(|| NOW));
        let mut bench = Self { folder, clock, disk, log, events, durable: None, reports: Arc::default() };
        bench.start();
        bench
    }

    fn start(&mut self) {
        self.log = FakeLog::on(&self.disk);
        self.events = Arc::new(Events::new(|| NOW));
        let reports = Arc::clone(&self.reports);
        let options = DurableOptions {
            log: Arc::clone(&self.log) as Arc<dyn EventLog>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            running: self.folder.path().join("running"),
            retention: Retention { age_ms: 1, bytes: 1, dedupe_ms: 120_000 },
            report: Box::new(move |error| reports.lock().push(error.to_string())),
        };
        self.durable = Some(Durable::new(options).expect("it starts"));
        self.clock.until_asleep(1);
    }

    /// The process stops in good order, and another one starts.
    fn restart(&mut self) {
        self.durable().close();
        self.log.close();
        self.durable = None;
        self.start();
    }

    /// To be called by a handler: what the file says now is what the next process finds, and nothing more is written.
    fn dies(&self) {
        self.log.close();
        fs::copy(self.folder.path().join("running"), self.folder.path().join("left")).expect("it is there");
    }

    /// After [`dies`](Self::dies): the next process.
    fn rise(&mut self) {
        self.durable = None;
        fs::rename(self.folder.path().join("left"), self.folder.path().join("running")).expect("it is there");
        self.start();
    }

    fn durable(&self) -> &Durable {
        self.durable.as_ref().expect("it runs")
    }

    fn subscribe(&self, change: impl FnOnce(&mut DurableRequest)) -> Sub {
        let mut request = request("c");
        change(&mut request);
        let lane = Arc::new(Lane::default());
        let turns = Arc::clone(&lane) as Arc<dyn Turns>;
        let consumer = self.durable().subscribe(&self.events, request, turns).expect("it subscribes");
        Sub { consumer, lane, clock: Arc::clone(&self.clock) }
    }

    fn emit(&self, topic: &str, change: impl FnOnce(&mut Draft)) -> Emitted {
        let mut draft = Draft::new(Topic::parse(topic).expect("a topic"), "/s", *b"{}");
        change(&mut draft);
        self.durable().emit(&self.events, None, draft, Duration::ZERO).expect("it is written")
    }

    fn emit_keyed(&self, keys: &[&str]) {
        for key in keys {
            self.emit("a.b", |draft| draft.key = (*key).into());
        }
    }

    fn report(&self) -> DurableReport {
        self.durable().consumers().remove(0)
    }
}

fn request(name: &str) -> DurableRequest {
    DurableRequest {
        owner: OWNER,
        name: consumer_name("", name),
        pattern: Pattern::parse("a.>").expect("a pattern"),
        filter: None,
        start: Start::All,
        ack: ACK,
        backoff: BACKOFF,
        max_deliveries: 3,
        in_flight: 64,
        explicit: false,
        live: true,
        priority: 0,
    }
}

fn consumer_name(tenant: &str, name: &str) -> ConsumerName {
    ConsumerName { plugin: "p".into(), tenant: tenant.into(), name: name.into() }
}

#[test]
fn events_26_an_event_is_delivered_in_order_until_it_is_acknowledged_and_not_again() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&["", "", ""]);
    assert_eq!(sub.accept(), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(bench.disk.position(1).floor, 3, "noted at the end of the turn");
    assert_eq!(bench.disk.settled.load(Ordering::SeqCst), 1, "once for all of them");
    assert_eq!(bench.disk.read.load(Ordering::SeqCst), 0, "who keeps up does not read the log");
    bench.restart();
    let sub = bench.subscribe(|_| {});
    assert_eq!(sub.accept(), []);
    bench.emit_keyed(&[""]);
    assert_eq!(sub.accept(), [(4, 1)]);
}

#[test]
fn events_26_a_turn_is_short_and_is_asked_for_again() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&[""; 40]);
    bench.clock.settle();
    assert_eq!(sub.lane.asked.load(Ordering::SeqCst), 1, "one turn at a time");
    let mut turns = Vec::new();
    while sub.asked() {
        let mut seen = 0;
        sub.consumer.turn(&mut |_| {
            seen += 1;
            Some(Ok(()))
        });
        turns.push(seen);
    }
    assert_eq!(turns, [16, 16, 8]);
    assert_eq!(sub.consumer.counters().delivered, 40);

    bench.emit_keyed(&[""; 3]);
    assert!(sub.asked());
    let mut seen = 0;
    sub.consumer.turn(&mut |_| {
        seen += 1;
        bench.clock.advance(Duration::from_millis(21));
        Some(Ok(()))
    });
    assert_eq!(seen, 1, "20 ms are over");
    assert_eq!(sub.accept().len(), 2);
    sub.consumer.turn(&mut |_| unreachable!("nobody asked for this turn"));
}

#[test]
fn events_26_who_begins_late_reads_the_log_and_passes_over_what_is_not_for_it() {
    let bench = Bench::new();
    for at in 0..300 {
        bench.emit(["a.x", "b.x", "a.y"][at % 3], |draft| {
            draft.tenant = ["", "t", "u"][at / 3 % 3].into();
            draft.subject = at.to_string();
        });
    }
    let expect = |wanted: &dyn Fn(usize) -> bool| -> Vec<u64> {
        (0..300).filter(|at| at % 3 != 1 && wanted(*at)).map(|at| at as u64 + 1).collect()
    };
    let sequences = |sub: &Sub| sub.accept().into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>();
    let all = bench.subscribe(|_| {});
    assert_eq!(sequences(&all), expect(&|_| true), "the system scope sees every tenant's");
    let tenants = bench.subscribe(|request| request.name = consumer_name("t", "c"));
    assert_eq!(sequences(&tenants), expect(&|at| at / 3 % 3 == 1));
    let filtered = bench.subscribe(|request| {
        request.name = consumer_name("", "filtered");
        request.filter = Some(Arc::new(|event: &Event| event.subject.ends_with('7')));
    });
    assert_eq!(sequences(&filtered), expect(&|at| at % 10 == 7));
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.disk.position(2).floor, 300, "what was passed over is noted");
    assert!(bench.disk.position(2).settled.is_empty());
}

#[test]
fn events_26_what_is_passed_over_is_noted_now_and_then_and_not_each_time() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    assert_eq!(sub.accept(), []);
    for minute in 1..=3 {
        for _ in 0..500 {
            bench.emit("b", |_| {});
        }
        bench.clock.settle();
        assert_eq!(sub.lane.asked.load(Ordering::SeqCst), 0, "nobody is woken for nothing");
        bench.clock.advance(Duration::from_secs(61));
        assert_eq!(bench.disk.position(1).floor, minute * 500);
        assert_eq!(bench.disk.settled.load(Ordering::SeqCst), minute);
    }
}

#[test]
fn events_26_a_duplicate_is_told_to_nobody() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    for _ in 0..2 {
        bench.emit("a.b", |draft| draft.id = Some("same".into()));
    }
    assert_eq!(sub.accept(), [(1, 1)]);
    assert_eq!(bench.events.totals().emitted, 1);
    assert_eq!(bench.events.totals().unheard, 0, "a durable subscription has heard it");
}

#[test]
fn events_26_who_acknowledges_by_itself_has_a_bounded_number_in_flight() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| (request.explicit, request.in_flight) = (true, 2));
    bench.emit_keyed(&[""; 4]);
    let first = sub.deliveries();
    assert_eq!(first.len(), 2);
    assert_eq!(bench.report().in_flight, 2);
    let stranger = bench.durable().ack(OWNER + 1, first[0]).expect_err("it is not his");
    assert_eq!(stranger.kind(), ErrorKind::StaleHandle);
    bench.durable().ack(OWNER, first[1]).expect("it is under way");
    assert_eq!(bench.durable().ack(OWNER, first[1]).expect_err("it is over").kind(), ErrorKind::StaleHandle);
    assert!(bench.disk.position(1).settled.is_empty(), "an ack does not wait for the disk");
    bench.clock.advance(SOON);
    assert_eq!(bench.disk.position(1), Position { consumer: 1, settled: vec![2], ..Position::default() });
    assert_eq!(sub.deliveries().len(), 1, "there is room for one");
    bench.durable().ack(OWNER, first[0]).expect("it is under way");
    bench.clock.advance(SOON);
    assert_eq!(bench.disk.position(1).floor, 2);
}

#[test]
fn events_26_a_disk_that_fails_loses_nothing_and_is_tried_again() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&["", ""]);
    bench.disk.full.store(true, Ordering::SeqCst);
    let draft = Draft::new(Topic::parse("a.b").expect("a topic"), "/s", *b"");
    let refused =
        bench.durable().emit(&bench.events, None, draft, Duration::ZERO).expect_err("the disk is full");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(sub.accept(), [(1, 1), (2, 1)], "what cannot be written is told to nobody");
    assert_eq!(bench.disk.position(1).floor, 0);
    assert!(bench.reports.lock().iter().any(|report| report.contains("the disk fails")));
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(sub.accept(), [], "it is done with, though not noted");
    bench.disk.full.store(false, Ordering::SeqCst);
    bench.clock.advance(Duration::from_secs(6));
    assert_eq!(bench.disk.position(1).floor, 2);

    bench.disk.broken.store(true, Ordering::SeqCst);
    sub.consumer.set_live(false);
    sub.consumer.set_live(true);
    bench.disk.broken.store(false, Ordering::SeqCst);
    bench.emit_keyed(&[""]);
    bench.clock.advance(Duration::from_secs(6));
    assert_eq!(sub.accept(), [(3, 1)]);
    bench.restart();
    assert_eq!(bench.subscribe(|_| {}).accept(), []);
}

#[test]
fn events_27_failures_come_again_after_a_back_off_that_doubles_and_then_die() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.max_deliveries = 4);
    bench.emit_keyed(&[""]);
    assert_eq!(sub.refuse(), [(1, 1)]);
    for (attempt, seconds) in [(2, 1), (3, 2), (4, 4)] {
        bench.clock.advance(Duration::from_millis(seconds * 1_000 - 1));
        assert_eq!(sub.refuse(), [], "not before its time");
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(sub.refuse(), [(1, attempt)]);
    }
    let dead = bench.disk.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts, &*dead[0].reason), (1, 1, 4, "no"));
    assert_eq!(bench.disk.position(1), Position { consumer: 1, floor: 1, ..Position::default() });
    bench.clock.advance(Duration::from_secs(7_200));
    assert_eq!(sub.accept(), []);
    let counters = sub.consumer.counters();
    assert_eq!((counters.matched, counters.failed, bench.report().failures), (1, 1, 4));

    assert_eq!(bench.durable().replay(&[1]).expect("it is there"), 1);
    assert_eq!(sub.accept(), [(2, 1)], "replayed it is as new");
}

#[test]
fn events_27_a_back_off_is_an_hour_at_most() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.max_deliveries = 1_000);
    bench.emit_keyed(&[""]);
    sub.refuse();
    for _ in 0..40 {
        bench.clock.advance(Duration::from_secs(3_600));
        assert_eq!(sub.refuse().len(), 1);
    }
    bench.clock.advance(Duration::from_secs(3_599));
    assert_eq!(sub.refuse(), []);
}

#[test]
fn events_27_a_nack_says_when_and_why_and_others_pass_meanwhile() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    let deliveries = sub.deliveries();
    let long = "ü".repeat(1_000);
    bench
        .durable()
        .nack(OWNER, deliveries[0], Some(Duration::from_secs(90)), &long)
        .expect("it is under way");
    bench.durable().ack(OWNER, deliveries[1]).expect("it is under way");
    bench.clock.advance(SOON);
    let position = bench.disk.position(1);
    assert_eq!((position.floor, &position.settled[..]), (0, &[2][..]));
    assert_eq!(position.retries[0].attempts, 1);
    assert_eq!(*position.retries[0].reason, "ü".repeat(512));
    let late = (NOW + 90_000 - position.retries[0].due_ms).abs();
    assert!(late <= 1, "{late} ms off");
    // The time counts on while the process is not there.
    bench.restart();
    bench.clock.advance(Duration::from_secs(80));
    let sub = bench.subscribe(|request| request.explicit = true);
    assert_eq!(sub.accept(), []);
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(sub.accept(), [(1, 2)]);
}

#[test]
fn events_27_a_panic_is_a_failure_of_that_event_alone() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&["", ""]);
    let mut seen = Vec::new();
    sub.run(|claim| {
        seen.push(claim.sequence);
        assert!(claim.sequence != 1, "this handler panics");
        Some(Ok(()))
    });
    assert_eq!(seen, [1, 2]);
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.accept(), [(1, 2)]);
}

#[test]
fn events_29_events_of_a_key_wait_behind_one_that_failed_and_others_do_not() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|request| request.max_deliveries = 2);
    bench.emit_keyed(&["k", "k", "", "l", "k"]);
    let mut seen = Vec::new();
    let mut handle = |claim: &Claim| {
        seen.push(claim.sequence);
        Some(if claim.sequence == 1 { Err(Error::new(ErrorKind::Busy, "no")) } else { Ok(()) })
    };
    sub.run(&mut handle);
    bench.emit("a.b", |draft| (draft.key, draft.tenant) = ("k".into(), "t".into()));
    sub.run(&mut handle);
    assert_eq!(seen, [1, 3, 4, 6], "the same key of another tenant is another key");
    // What holds up what is known after a restart, too.
    bench.restart();
    let sub = bench.subscribe(|request| request.max_deliveries = 2);
    assert_eq!(sub.accept(), []);
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.refuse(), [(1, 2), (2, 1)], "a dead letter holds up nobody");
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.accept(), [(2, 2), (5, 1)]);
    assert_eq!(bench.disk.position(1).floor, 6);
}

#[test]
fn events_29_many_behind_one_key_let_others_pass() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["k"; 1_000]);
    bench.emit_keyed(&[""]);
    assert_eq!(sub.accept(), [(1, 1), (1_001, 1)]);
}
