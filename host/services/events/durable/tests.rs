//! What durable delivery promises, seen from publishers and consumers, on a clock that stands still and a log in memory.

mod model;
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
}

impl Sub {
    /// Runs all turns that were asked for.
    fn run(&self, mut handle: impl FnMut(&Claim) -> Option<Result<()>>) {
        while self.lane.take() {
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
        Sub { consumer, lane }
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
    assert_eq!(sub.lane.asked.load(Ordering::SeqCst), 1, "one turn at a time");
    let mut turns = Vec::new();
    while sub.lane.take() {
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
    assert!(sub.lane.take());
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

#[test]
fn events_33_a_crash_of_the_process_counts_as_an_attempt() {
    let mut bench = Bench::new();
    for attempt in 1..=3 {
        let sub = bench.subscribe(|_| {});
        if attempt == 1 {
            bench.emit_keyed(&["", ""]);
        }
        // What was being handled comes again like any other that has failed.
        if attempt > 1 {
            sub.run(|claim| {
                assert_eq!(claim.sequence, 2);
                None
            });
            assert_eq!(bench.disk.attempts(1, 1), attempt - 1);
            bench.clock.advance(Duration::from_secs(60));
        }
        let mut seen = Vec::new();
        sub.run(|claim| {
            if claim.sequence == 1 {
                seen.push(claim.attempt);
                bench.dies();
            }
            None
        });
        assert_eq!(seen, [attempt]);
        drop(sub);
        bench.rise();
    }
    let sub = bench.subscribe(|_| {});
    assert_eq!(sub.accept(), [(2, 1)]);
    let dead = bench.disk.dead();
    assert_eq!((dead[0].sequence, dead[0].attempts), (1, 3));
    assert_eq!(&*dead[0].reason, "the process ended while it was handled");
    // Once only.
    bench.restart();
    bench.subscribe(|_| {}).accept();
    assert_eq!(bench.disk.dead().len(), 1);
}

#[test]
fn events_33_a_crash_that_is_known_already_does_not_count_twice() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|request| request.max_deliveries = 10);
    bench.emit_keyed(&[""]);
    sub.run(|_| {
        // The keeper has noted that it was too late, and then the process ends.
        bench.clock.advance(ACK);
        assert_eq!(bench.disk.attempts(1, 1), 1);
        bench.dies();
        None
    });
    drop(sub);
    bench.rise();
    let sub = bench.subscribe(|_| {});
    sub.accept();
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.accept(), [(1, 2)]);
}

#[test]
fn events_33_the_end_of_a_subscription_counts_as_no_attempt() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    let deliveries = sub.deliveries();
    bench.durable().ack(OWNER, deliveries[1]).expect("it is under way");
    bench.durable().unsubscribe(&sub.consumer);
    bench.durable().unsubscribe(&sub.consumer);
    let late = bench.durable().ack(OWNER, deliveries[0]).expect_err("the subscription is over");
    assert_eq!(late.kind(), ErrorKind::StaleHandle);
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    let mut seen = Vec::new();
    sub.run(|claim| {
        seen.push((claim.sequence, claim.attempt));
        bench.durable().unsubscribe(&sub.consumer);
        Some(Err(Error::new(ErrorKind::Stopping, "the plugin stops")))
    });
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    sub.run(|claim| {
        seen.push((claim.sequence, claim.attempt));
        bench.durable().unsubscribe(&sub.consumer);
        None
    });
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    sub.run(|claim| {
        seen.push((claim.sequence, claim.attempt));
        bench.durable().unsubscribe(&sub.consumer);
        Some(Ok(()))
    });
    assert_eq!(seen, [(1, 1); 3]);
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    assert_eq!(sub.accept(), [], "an OK that came after the end counts");
}

#[test]
fn events_33_a_subscription_takes_the_position_when_the_one_before_lets_go_of_it() {
    let bench = Bench::new();
    let old = bench.subscribe(|_| {});
    bench.emit_keyed(&["", ""]);
    // On a reload the new one is there, of another owner, before the old one has ended.
    let new = bench.subscribe(|request| (request.owner, request.live) = (OWNER + 1, false));
    let mut seen = Vec::new();
    old.run(|claim| {
        seen.push(claim.sequence);
        bench.durable().unsubscribe(&old.consumer);
        new.consumer.set_live(true);
        bench.clock.settle();
        assert_eq!(new.accept(), [], "not while the old one handles it");
        Some(Ok(()))
    });
    bench.clock.settle();
    assert_eq!((&seen[..], new.accept()), (&[1][..], vec![(2, 1)]));
    assert_eq!(bench.disk.position(1).floor, 2);
}

#[test]
fn events_34_the_deadline_counts_from_the_start_of_the_handler_and_only_attempts_that_began() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    bench.clock.advance(ACK * 2);
    let mut deadlines = Vec::new();
    sub.run(|claim| {
        deadlines.push(claim.deadline - bench.clock.monotonic());
        bench.clock.advance(Duration::from_millis(5));
        Some(Ok(()))
    });
    assert_eq!(deadlines, [ACK, ACK]);
    bench.clock.advance(ACK - Duration::from_millis(6));
    assert_eq!((bench.report().in_flight, bench.report().failures), (1, 1), "the first is overdue");
    bench.clock.advance(Duration::from_millis(6) + SOON);
    assert_eq!((bench.report().in_flight, bench.report().failures), (0, 2));
    let position = bench.disk.position(1);
    assert_eq!(&*position.retries[1].reason, "it was not acknowledged within 30000 ms");

    let mut seen = Vec::new();
    bench.clock.advance(BACKOFF);
    sub.run(|claim| {
        seen.push(claim.attempt);
        None
    });
    assert_eq!(seen, [2], "a lane that takes nothing is not asked again at once");
    bench.clock.advance(BACKOFF);
    sub.run(|claim| {
        seen.push(claim.attempt);
        Some(Ok(()))
    });
    assert_eq!(seen, [2, 2, 2], "what was not begun was no attempt");
}

#[test]
fn events_35_what_comes_after_the_deadline_does_not_count() {
    let bench = Bench::new();
    let explicit = bench.subscribe(|request| {
        (request.explicit, request.name) = (true, consumer_name("", "explicit"));
    });
    let hangs = bench.subscribe(|_| {});
    bench.emit_keyed(&[""]);
    let old = explicit.deliveries();
    hangs.run(|_| {
        bench.clock.advance(ACK);
        assert_eq!(hangs.consumer.counters().running, 0, "it has failed while it runs");
        Some(Ok(()))
    });
    for stale in [bench.durable().ack(OWNER, old[0]), bench.durable().nack(OWNER, old[0], None, "")] {
        assert_eq!(stale.expect_err("its time is over").kind(), ErrorKind::StaleHandle);
    }
    bench.clock.advance(BACKOFF);
    let new = explicit.deliveries();
    assert_eq!(
        bench.durable().ack(OWNER, old[0]).expect_err("an older attempt").kind(),
        ErrorKind::StaleHandle
    );
    bench.durable().ack(OWNER, new[0]).expect("the newest attempt");
    assert_eq!(hangs.accept(), [(1, 2)]);
    bench.clock.advance(SOON);
    assert_eq!((bench.disk.position(1).floor, bench.disk.position(2).floor), (1, 1));
}

#[test]
fn events_35_an_answer_wins_over_what_the_handler_says_later() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", "", ""]);
    sub.run(|claim| {
        let answer = match claim.sequence {
            1 => bench.durable().ack(OWNER, claim.delivery),
            2 => bench.durable().nack(OWNER, claim.delivery, None, "mine"),
            _ => Ok(()),
        };
        answer.expect("it is under way");
        Some(Err(Error::new(ErrorKind::Busy, "the handler's")))
    });
    let position = bench.disk.position(1);
    let reasons: Vec<_> = position.retries.iter().map(|retry| (retry.sequence, &*retry.reason)).collect();
    assert_eq!((position.floor, reasons), (1, vec![(2, "mine"), (3, "the handler's")]));
}

#[test]
fn events_36_nothing_is_claimed_for_a_lane_that_is_stuck() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    let other = bench.subscribe(|request| request.name = consumer_name("", "other"));
    sub.accept();
    sub.lane.refuses.store(true, Ordering::SeqCst);
    bench.emit_keyed(&[""]);
    assert_eq!(other.accept(), [(1, 1)], "others do not notice");
    bench.clock.advance(ACK * 10);
    let report = bench.report();
    assert_eq!((report.in_flight, report.failures), (0, 0));
    let refused = sub.lane.refused.load(Ordering::SeqCst);
    assert!((2..200).contains(&refused), "asked {refused} times");
    sub.lane.refuses.store(false, Ordering::SeqCst);
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(sub.accept(), [(1, 1)]);
}

#[test]
fn events_36_a_handler_that_hangs_delays_no_other_consumer() {
    let bench = Bench::new();
    let hangs = bench.subscribe(|_| {});
    let other = bench.subscribe(|request| request.name = consumer_name("", "other"));
    bench.emit_keyed(&[""]);
    hangs.run(|_| {
        bench.emit_keyed(&["", ""]);
        assert_eq!(other.accept(), [(1, 1), (2, 1), (3, 1)]);
        bench.durable().unsubscribe(&hangs.consumer);
        bench.clock.advance(ACK);
        // Whoever comes next is not held up beyond the deadline.
        let next = bench.subscribe(|_| {});
        assert_eq!(next.accept(), [(2, 1), (3, 1)]);
        bench.clock.advance(BACKOFF);
        assert_eq!(next.accept(), [(1, 2)]);
        Some(Ok(()))
    });
}

#[test]
fn events_41_events_wait_while_the_plugin_is_disabled() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|request| request.live = false);
    bench.emit_keyed(&["", ""]);
    assert_eq!(sub.accept(), []);
    sub.consumer.set_live(true);
    let mut seen = Vec::new();
    sub.run(|claim| {
        seen.push(claim.sequence);
        sub.consumer.set_live(false);
        Some(Ok(()))
    });
    assert_eq!(seen, [1]);
    bench.emit_keyed(&[""]);
    bench.clock.advance(ACK * 2);
    assert_eq!((sub.accept(), bench.disk.position(1).floor), (vec![], 1));
    bench.restart();
    bench.emit_keyed(&[""]);
    assert_eq!(bench.subscribe(|_| {}).accept(), [(2, 1), (3, 1), (4, 1)]);
}

#[test]
fn events_41_what_was_delivered_can_be_acknowledged_while_the_plugin_is_disabled() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    let deliveries = sub.deliveries();
    sub.consumer.set_live(false);
    bench.durable().ack(OWNER, deliveries[0]).expect("it is under way");
    bench.clock.advance(ACK);
    bench.clock.advance(SOON);
    assert_eq!((bench.disk.is_settled(1, 1), bench.disk.attempts(1, 2)), (true, 1));
    sub.consumer.set_live(true);
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.accept(), [(2, 2)]);
}

#[test]
fn a_name_is_taken_once_among_all_subscriptions_of_an_owner() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    let lane: Arc<dyn Turns> = Arc::new(Lane::default());
    let again = bench.durable().subscribe(&bench.events, request("c"), Arc::clone(&lane));
    assert_eq!(again.expect_err("it is taken").kind(), ErrorKind::Conflict);
    bench.durable().unsubscribe(&sub.consumer);
    bench.subscribe(|_| {});
    bench.durable().close();
    let closed = bench.durable().subscribe(&bench.events, request("d"), lane);
    assert_eq!(closed.expect_err("it is closed").kind(), ErrorKind::Stopping);
}

#[test]
fn retention_goes_on_while_there_are_events_and_tells_who_is_late_once_an_hour() {
    let bench = Bench::new();
    assert_eq!(bench.log.clearings.load(Ordering::SeqCst), 1, "at the start");
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(bench.log.clearings.load(Ordering::SeqCst), 1, "there is nothing");
    bench.emit("a", |_| {});
    let late = Cleared { late: vec![consumer_name("t", "c")], ..Cleared::default() };
    *bench.log.cleared.lock() = vec![Cleared { more: true, ..late.clone() }, late.clone(), late.clone()];
    bench.clock.advance(Duration::from_secs(60));
    bench.clock.settle();
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.log.clearings.load(Ordering::SeqCst), 4);
    let reports = bench.reports.lock().clone();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(
        reports[0].contains("before its subscription \"c\" under tenant \"t\" had handled them"),
        "{reports:?}"
    );
    bench.log.cleared.lock().push(late);
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.reports.lock().len(), 2);
}

#[test]
fn what_retention_took_away_before_it_came_again_is_passed_over() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&["k", "k"]);
    assert_eq!(sub.refuse(), [(1, 1)]);
    bench.disk.lose(1);
    bench.restart();
    let sub = bench.subscribe(|_| {});
    assert_eq!(sub.accept(), [(2, 1)]);
    assert_eq!(bench.disk.position(1).floor, 2);
}

#[test]
fn a_position_that_was_removed_is_not_made_again_behind_its_back() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&[""]);
    bench.durable().log().forget(&Of { plugin: Some("p"), ..Of::default() }).expect("it is there");
    sub.accept();
    bench.emit_keyed(&[""]);
    assert_eq!(sub.accept(), []);
    bench.durable().unsubscribe(&sub.consumer);
    bench.clock.settle();
    assert_eq!(bench.subscribe(|_| {}).accept(), [(1, 1), (2, 1)]);
}

#[test]
fn reports_tell_who_is_behind() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    sub.accept();
    bench.emit_keyed(&["", "", ""]);
    let report = bench.report();
    assert_eq!((report.owner, report.name, report.behind), (OWNER, consumer_name("", "c"), 3));
    sub.refuse();
    let report = bench.report();
    assert_eq!((report.retries, report.failures, report.counters.waiting, report.behind), (3, 3, 3, 0));
    let all: HashMap<u64, u64> = HashMap::from([(1, report.counters.matched)]);
    assert_eq!(all[&1], 3);
}
