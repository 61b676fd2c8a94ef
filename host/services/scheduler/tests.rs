//! What the engine promises, with a clock that the tests move and a target that notes what it is told.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;

use super::*;
use crate::services::clock::ManualClock;

mod faults;
mod operate;
mod policies;

/// 2026-11-21 10:00:00 UTC.
const TEN: i64 = 1_795_255_200_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const QUEUE: Keeping = Keeping { overlap: Overlap::Queue, ..Keeping::USUAL };

fn named(name: &str) -> Named<'_> {
    Named { plugin: "witness", tenant: None, name }
}

/// Notes each run as (job, due, when it was told); ends it at once unless told to hold it.
#[derive(Default)]
struct Notes {
    clock: Option<Arc<ManualClock>>,
    runs: Mutex<Vec<(String, i64, i64)>>,
    begun: Mutex<Vec<run::Begun>>,
    over: Mutex<Vec<String>>,
    hold: Mutex<bool>,
    held: Mutex<Vec<Arc<DueRun>>>,
    /// What `due` answers next; nothing: it takes the run.
    answers: Mutex<VecDeque<Answer>>,
}

enum Answer {
    Refuse(ErrorKind),
    Panic,
    Fail,
}

impl Run for Notes {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        let now = self.clock.as_ref().expect("made by `stage`").now_ms();
        self.runs.lock().push((run.job().name().to_string(), run.due_ms(), now));
        let answer = self.answers.lock().pop_front();
        match answer {
            Some(Answer::Refuse(kind)) => return Err(Error::new(kind, "no")),
            Some(Answer::Panic) => panic!("a target that panics, on purpose"),
            _ => {}
        }
        if let Some(begun) = run.begin() {
            self.begun.lock().push(begun);
            match answer {
                Some(_) => run.finished(Err(Error::new(ErrorKind::Internal, "it failed"))),
                None if *self.hold.lock() => self.held.lock().push(run),
                None => run.finished(Ok(Vec::new())),
            }
        }
        Ok(())
    }

    fn over(&self, job: &Arc<Job>) {
        assert!(job.is_over());
        self.over.lock().push(job.name().to_string());
    }
}

struct Stage {
    clock: Arc<ManualClock>,
    scheduler: Scheduler,
    notes: Arc<Notes>,
}

fn stage() -> Stage {
    stage_at(TEN)
}

fn stage_at(wall_ms: i64) -> Stage {
    let clock = ManualClock::at(wall_ms);
    let notes = Arc::new(Notes { clock: Some(Arc::clone(&clock)), ..Notes::default() });
    Stage { scheduler: Scheduler::new(clock.clone(), None), clock, notes }
}

fn request(name: &str) -> JobRequest {
    JobRequest {
        owner: 7,
        plugin: "witness".into(),
        tenant: None,
        name: name.into(),
        keeping: Keeping::USUAL,
        data: Arc::default(),
        durable: false,
        live: true,
    }
}

impl Stage {
    fn cron(&self, name: &str, rule: &str) -> Arc<Job> {
        self.scheduler.cron(request(name), rule, None, self.notes.clone()).expect("a good rule").0
    }

    fn interval(&self, request: JobRequest, every_ms: i64) -> Arc<Job> {
        self.scheduler.interval(request, every_ms, self.notes.clone()).expect("a good span").0
    }

    fn once(&self, request: JobRequest, delay_ms: i64) -> Arc<Job> {
        self.scheduler.once(request, delay_ms, self.notes.clone()).expect("a good delay").0
    }

    fn advance(&self, ms: i64) {
        self.clock.advance(Duration::from_millis(u64::try_from(ms).expect("forward")));
    }

    fn set_wall(&self, to: i64) {
        self.clock.set_wall(to);
        // The thread looks at the wall clock at least once a minute.
        for _ in 0..60 {
            self.advance(1000);
        }
    }

    /// The due times since the last call, counted from `TEN`.
    fn due(&self) -> Vec<i64> {
        let runs = std::mem::take(&mut *self.notes.runs.lock());
        for (name, due, told) in &runs {
            assert!(told >= due, "{name} was told {told}, before {due}");
        }
        runs.into_iter().map(|(_, due, _)| due - TEN).collect()
    }

    fn info(&self, name: &str) -> JobInfo {
        let list = self.list();
        list.into_iter().find(|job| &*job.name == name).expect("the job is listed")
    }

    /// What the runs were told since the last call.
    fn begun(&self) -> Vec<run::Begun> {
        std::mem::take(&mut *self.notes.begun.lock())
    }

    fn keep(&self, name: &str, rule: &str, keeping: Keeping) -> Arc<Job> {
        let request = JobRequest { keeping, ..request(name) };
        self.scheduler.cron(request, rule, None, self.notes.clone()).expect("a good rule").0
    }

    fn fail(&self, times: usize) {
        self.notes.answers.lock().extend((0..times).map(|_| Answer::Fail));
    }

    fn list(&self) -> Vec<JobInfo> {
        self.scheduler.list(&Of::default()).expect("nothing is durable")
    }

    fn over(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.over.lock())
    }

    fn end_held(&self) {
        let held = std::mem::take(&mut *self.notes.held.lock());
        for run in held {
            run.finished(Ok(Vec::new()));
        }
        self.clock.settle();
    }
}

#[test]
fn scheduler_3_a_cron_job_runs_when_due_and_never_early() {
    let stage = stage_at(TEN - 1);
    stage.cron("tick", "*/5 * * * *");
    stage.advance(0);
    assert_eq!(stage.due(), [0; 0]);
    assert_eq!(stage.info("tick").next_ms, Some(TEN));
    stage.advance(1);
    assert_eq!(stage.due(), [0]);
    stage.advance(5 * MINUTE - 1);
    assert_eq!(stage.due(), [0; 0]);
    stage.advance(1);
    assert_eq!(stage.due(), [5 * MINUTE]);
    let info = stage.info("tick");
    assert_eq!((info.runs, info.failed, info.skipped), (2, 0, 0));
    assert_eq!((info.last_ms, info.next_ms), (Some(TEN + 5 * MINUTE), Some(TEN + 10 * MINUTE)));
    assert_eq!(info.when, "*/5 * * * * (UTC)");
}

#[test]
fn scheduler_4_a_job_scheduled_on_its_due_time_waits_for_the_next() {
    let stage = stage();
    stage.cron("tick", "* * * * *");
    stage.advance(0);
    assert_eq!(stage.due(), [0; 0]);
    assert_eq!(stage.info("tick").next_ms, Some(TEN + MINUTE));
}

#[test]
fn scheduler_18_jobs_due_together_run_in_the_order_of_their_due_times() {
    let stage = stage();
    stage.once(request("c"), 3);
    stage.once(request("a"), 1);
    stage.cron("d", "1 0 10 * * *");
    stage.once(request("b"), 2);
    stage.advance(1000);
    let names: Vec<_> = stage.notes.runs.lock().iter().map(|(name, ..)| name.clone()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

#[test]
fn scheduler_9_an_interval_keeps_its_beat() {
    let stage = stage();
    stage.interval(request("beat"), 100);
    stage.advance(99);
    assert_eq!(stage.due(), [0; 0]);
    stage.advance(1);
    stage.advance(100);
    assert_eq!(stage.due(), [100, 200]);
    // The thread gets to it late: the late one runs, those that passed are skipped, the beat stays.
    stage.advance(350);
    assert_eq!(stage.due(), [300]);
    assert_eq!(stage.info("beat").skipped, 2);
    stage.advance(49);
    assert_eq!(stage.due(), [0; 0]);
    stage.advance(1);
    assert_eq!(stage.due(), [600]);
    // One that is due at this very moment has not passed.
    stage.advance(200);
    assert_eq!(stage.due(), [700, 800]);
}

#[test]
fn an_interval_does_not_care_for_the_wall_clock() {
    let stage = stage();
    stage.interval(request("beat"), 1000);
    stage.clock.set_wall(TEN - 24 * HOUR);
    stage.advance(999);
    assert_eq!(stage.notes.runs.lock().len(), 0);
    stage.advance(1);
    assert_eq!(stage.due(), [1000 - 24 * HOUR]);
    stage.clock.set_wall(TEN + 24 * HOUR);
    stage.advance(1);
    assert_eq!(stage.due(), [0; 0]);
}

#[test]
fn every_in_a_rule_is_an_interval() {
    let stage = stage();
    stage.cron("beat", "@every 90s");
    stage.advance(90_000);
    stage.advance(90_000);
    assert_eq!(stage.due(), [90_000, 180_000]);
}

#[test]
fn scheduler_10_once_runs_once_and_is_gone() {
    let stage = stage();
    let job = stage.once(request("bell"), 500);
    stage.advance(499);
    assert_eq!(stage.due(), [0; 0]);
    assert!(!job.is_over());
    stage.advance(1);
    assert_eq!((stage.due(), stage.over()), (vec![500], vec!["bell".to_owned()]));
    assert!(job.is_over());
    assert!(stage.list().is_empty());
    assert_eq!(stage.scheduler.remove(&job).expect_err("over").kind(), ErrorKind::StaleHandle);
    stage.advance(HOUR);
    assert_eq!(stage.due(), [0; 0]);
    stage.once(request("now"), 0);
    stage.clock.settle();
    assert_eq!(stage.due(), [500 + HOUR]);
}

#[test]
fn a_once_job_is_there_until_its_run_has_ended() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let job = stage.once(request("bell"), 500);
    stage.advance(500);
    assert!(stage.info("bell").running && !job.is_over());
    stage.end_held();
    assert!(job.is_over());
    assert_eq!(stage.over(), ["bell"]);
}

#[test]
fn a_once_job_survives_a_busy_target_but_no_other_refusal() {
    let stage = stage();
    stage.notes.answers.lock().push_back(Answer::Refuse(ErrorKind::Busy));
    let job = stage.once(request("bell"), 500);
    stage.advance(500);
    assert!(!job.is_over());
    stage.advance(999);
    assert_eq!(stage.due(), [500]);
    stage.advance(1);
    assert_eq!(stage.due(), [500], "it was due then");
    assert!(job.is_over());
    stage.notes.answers.lock().push_back(Answer::Refuse(ErrorKind::Stopping));
    let job = stage.once(request("other"), 500);
    stage.advance(500);
    assert!(job.is_over());
    assert_eq!(stage.over(), ["bell", "other"]);
}

#[test]
fn scheduler_11_a_run_due_while_the_last_one_is_under_way_is_skipped() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    stage.interval(request("slow"), 100);
    for _ in 0..3 {
        stage.advance(100);
    }
    assert_eq!(stage.due(), [100]);
    let info = stage.info("slow");
    assert_eq!((info.runs, info.skipped, info.running), (1, 2, true));
    stage.end_held();
    assert_eq!(stage.due(), [0; 0]);
    stage.advance(100);
    assert_eq!(stage.due(), [400]);
}

#[test]
fn scheduler_12_at_most_one_run_is_queued_behind_the_one_under_way() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    stage.interval(JobRequest { keeping: QUEUE, ..request("slow") }, 100);
    for _ in 0..4 {
        stage.advance(100);
    }
    assert_eq!(stage.due(), [100]);
    assert_eq!(stage.info("slow").skipped, 2);
    stage.end_held();
    assert_eq!(stage.due(), [200], "the queued one follows at once, and says when it was due");
    stage.end_held();
    assert_eq!(stage.due(), [0; 0]);
    stage.advance(100);
    assert_eq!(stage.due(), [500]);
    assert_eq!(stage.info("slow").runs, 3);
}

#[test]
fn scheduler_13_a_job_that_fails_panics_or_is_refused_keeps_its_schedule() {
    let stage = stage();
    stage.interval(request("beat"), 100);
    let answers =
        [Answer::Fail, Answer::Panic, Answer::Refuse(ErrorKind::Busy), Answer::Refuse(ErrorKind::Stopping)];
    stage.notes.answers.lock().extend(answers);
    let mut errors = Vec::new();
    for _ in 0..5 {
        stage.advance(100);
        errors.push(stage.info("beat").last_error.expect("there was one").to_string());
    }
    assert_eq!(stage.due(), [100, 200, 300, 400, 500]);
    assert_eq!(errors, ["it failed", "job \"beat\": handing over a run panicked", "no", "no", "no"]);
    let info = stage.info("beat");
    assert_eq!((info.runs, info.failed, info.skipped), (2, 2, 2));
}

#[test]
fn scheduler_2_a_name_scheduled_again_replaces_the_job() {
    let stage = stage();
    let old = stage.interval(request("beat"), 100);
    let (new, replaced) =
        stage.scheduler.interval(request("beat"), 250, stage.notes.clone()).expect("a good span");
    assert!(replaced.is_some_and(|replaced| Arc::ptr_eq(&replaced, &old)));
    assert!(old.is_over() && !new.is_over());
    assert_eq!(stage.over(), ["beat"]);
    assert_eq!(
        stage.scheduler.remove(&old).expect_err("stale").to_string(),
        "job \"beat\" is over or was replaced"
    );
    stage.advance(250);
    assert_eq!(stage.due(), [250]);
    assert_eq!(stage.list().len(), 1);
}

/// A target that keeps the run alone, as a lane does.
#[derive(Default)]
struct Weakly(Mutex<Option<Arc<DueRun>>>, std::sync::atomic::AtomicUsize);

impl Run for Weakly {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        *self.0.lock() = Some(run);
        Ok(())
    }

    fn over(&self, _: &Arc<Job>) {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_replaced_job_is_there_until_its_run_has_ended() {
    let stage = stage();
    let target = Arc::new(Weakly::default());
    let over = || target.1.load(std::sync::atomic::Ordering::Relaxed);
    drop(stage.scheduler.interval(request("beat"), 100, target.clone()).expect("a good span"));
    stage.advance(100);
    drop(stage.interval(request("beat"), 100));
    assert_eq!(over(), 0, "its run is under way");
    let run = target.0.lock().take().expect("it was handed over");
    assert!(run.begin().is_none(), "the job is over");
    drop(run);
    assert_eq!(over(), 1);
    assert_eq!(Arc::strong_count(&target), 1, "and gone then");
}

#[test]
fn plugins_and_tenants_keep_their_own_names() {
    let stage = stage();
    let tenants = [None, Some("a"), Some("b")];
    for (owner, tenant) in ["x", "y"].into_iter().flat_map(|owner| tenants.map(|tenant| (owner, tenant))) {
        let (plugin, tenant) = (owner.into(), tenant.map(Arc::from));
        stage.interval(JobRequest { plugin, tenant, ..request("beat") }, 100);
    }
    let list = stage.list();
    let found: Vec<_> = list.iter().map(|job| (&*job.plugin, job.tenant.as_deref())).collect();
    let expected = ["x", "y"].into_iter().flat_map(|owner| tenants.map(|tenant| (owner, tenant)));
    assert!(found.iter().copied().eq(expected), "{found:?}");
    assert!(stage.over().is_empty());
}

#[test]
fn scheduler_15_a_removed_job_finishes_its_run_and_is_then_over() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let job = stage.interval(JobRequest { keeping: QUEUE, ..request("slow") }, 100);
    stage.advance(100);
    stage.advance(100);
    stage.scheduler.remove(&job).expect("it is there");
    assert!(job.is_over());
    assert!(stage.over().is_empty(), "its run is still under way");
    stage.end_held();
    assert_eq!(stage.over(), ["slow"]);
    stage.advance(1000);
    assert_eq!(stage.due(), [100], "neither the queued run nor a later one");
    assert!(stage.scheduler.remove(&job).is_err());
    assert!(stage.over().is_empty(), "told once");
}

#[test]
fn a_removed_job_leaves_nothing_behind() {
    let stage = stage();
    let target = Arc::new(Notes { clock: Some(stage.clock.clone()), ..Notes::default() });
    for n in 0..2000 {
        let (job, _) = stage
            .scheduler
            .cron(request(&format!("job {n}")), "0 0 1 1 *", None, target.clone())
            .expect("a good rule");
        stage.scheduler.remove(&job).expect("it is there");
    }
    assert_eq!(Arc::strong_count(&target), 1);
    assert_eq!(target.over.lock().len(), 2000);
}

#[test]
fn a_job_that_is_not_live_does_not_run_and_counts_from_when_it_is() {
    let stage = stage();
    let still = |name| JobRequest { live: false, ..request(name) };
    let beat = stage.interval(still("beat"), 100);
    let bell = stage.once(still("bell"), 150);
    let (tick, _) =
        stage.scheduler.cron(still("tick"), "* * * * *", None, stage.notes.clone()).expect("good");
    stage.advance(10 * MINUTE);
    assert_eq!(stage.due(), [0; 0]);
    assert!(stage.list().iter().all(|job| !job.live && job.next_ms.is_none()));
    for job in [&beat, &bell, &tick] {
        stage.scheduler.set_live(job, true);
    }
    stage.advance(99);
    assert_eq!(stage.due(), [0; 0]);
    stage.advance(51);
    assert_eq!(stage.due(), [10 * MINUTE + 100, 10 * MINUTE + 150]);
    stage.scheduler.set_live(&beat, false);
    stage.advance(MINUTE - 150);
    assert_eq!(stage.due(), [11 * MINUTE]);
    stage.advance(30);
    stage.scheduler.set_live(&beat, true);
    stage.scheduler.set_live(&bell, true);
    stage.advance(100);
    assert_eq!(stage.due(), [11 * MINUTE + 130]);
}

#[test]
fn scheduler_14_a_wall_clock_set_back_runs_nothing_twice() {
    let stage = stage();
    stage.cron("hourly", "0 * * * *");
    stage.advance(HOUR);
    assert_eq!(stage.due(), [HOUR]);
    stage.set_wall(TEN - 2 * HOUR);
    stage.advance(3 * HOUR - MINUTE - 1);
    assert_eq!(stage.due(), [0; 0], "8, 9, 10 and 11 o'clock: 11 was run before");
    assert_eq!(stage.info("hourly").next_ms, Some(TEN + 2 * HOUR));
    stage.advance(HOUR + 1);
    assert_eq!(stage.due(), [2 * HOUR]);
}

#[test]
fn a_wall_clock_set_forward_makes_one_run_of_those_it_jumped_over() {
    let stage = stage();
    stage.cron("hourly", "0 * * * *");
    stage.clock.settle();
    stage.set_wall(TEN + 5 * HOUR + MINUTE);
    assert_eq!(stage.due(), [5 * HOUR]);
    assert_eq!(stage.info("hourly").skipped, 4);
    assert_eq!(stage.info("hourly").next_ms, Some(TEN + 6 * HOUR));
}

#[test]
fn a_wrong_clock_that_was_corrected_delays_nothing() {
    let stage = stage();
    stage.cron("hourly", "0 * * * *");
    stage.clock.settle();
    // Ten years ahead for two minutes; what runs meanwhile is due by the wrong clock.
    stage.set_wall(TEN + 87_600 * HOUR + MINUTE);
    assert_eq!(stage.due(), [87_600 * HOUR]);
    stage.set_wall(TEN + 90 * MINUTE);
    assert_eq!(stage.info("hourly").next_ms, Some(TEN + 2 * HOUR));
    // A job scheduled under a wrong clock.
    let other = stage_at(TEN + 87_600 * HOUR);
    other.cron("hourly", "0 * * * *");
    other.advance(MINUTE);
    other.set_wall(TEN);
    assert_eq!(other.info("hourly").next_ms, Some(TEN + HOUR));
}

#[test]
fn names_and_spans_are_checked() {
    let stage = stage();
    let names = [
        ("", "argument `name`: is empty: a job's name has 1 to 128 bytes"),
        ("a\0b", "argument `name`: contains NUL"),
        (&"ä".repeat(65), "argument `name`: has 130 bytes, the limit is 128"),
    ];
    for (name, expected) in names {
        let error = stage.scheduler.interval(request(name), 100, stage.notes.clone()).expect_err(name);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidArgument, expected.to_owned()));
    }
    stage.interval(request(&"ä".repeat(64)), 100);
    for (every, good) in [
        (i64::MIN, false),
        (0, false),
        (1, true),
        (LONGEST_MS, true),
        (LONGEST_MS + 1, false),
        (i64::MAX, false),
    ] {
        let got = stage.scheduler.interval(request("span"), every, stage.notes.clone());
        assert_eq!(got.map_err(|e| e.kind()).err(), (!good).then_some(ErrorKind::OutOfRange), "{every}");
    }
    for (delay, good) in [(-1, false), (0, true), (LONGEST_MS, true), (LONGEST_MS + 1, false)] {
        let got = stage.scheduler.once(request("delay"), delay, stage.notes.clone());
        assert_eq!(got.map_err(|e| e.kind()).err(), (!good).then_some(ErrorKind::OutOfRange), "{delay}");
    }
    let error = stage.scheduler.cron(request("rule"), "@every 0s", None, stage.notes.clone()).expect_err("0");
    assert_eq!(error.to_string(), "argument `rule`: 0 ms is outside of 1 to 31622400000 ms (366 days)");
    let error =
        stage.scheduler.cron(request("rule"), "99 * * * *", None, stage.notes.clone()).expect_err("99");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_refused_request_leaves_the_old_job_in_place() {
    let stage = stage();
    let job = stage.interval(request("beat"), 100);
    stage.scheduler.cron(request("beat"), "bad", None, stage.notes.clone()).expect_err("a bad rule");
    assert!(!job.is_over());
    stage.advance(100);
    assert_eq!(stage.due(), [100]);
}

#[test]
fn shutdown_ends_every_job_and_takes_no_more() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let idle = stage.interval(request("idle"), MINUTE);
    let busy = stage.interval(JobRequest { keeping: QUEUE, ..request("busy") }, 100);
    stage.advance(100);
    stage.advance(100);
    stage.scheduler.shutdown();
    stage.scheduler.shutdown();
    assert!(idle.is_over() && busy.is_over());
    assert_eq!(stage.over(), ["idle"]);
    let held = std::mem::take(&mut *stage.notes.held.lock());
    held[0].finished(Ok(Vec::new()));
    assert_eq!(stage.over(), ["busy"]);
    assert!(stage.list().is_empty());
    let error = stage.scheduler.once(request("late"), 0, stage.notes.clone()).expect_err("stopped");
    assert_eq!(error.kind(), ErrorKind::Stopping);
    assert_eq!(stage.due(), [100]);
}

/// A target that ends everything from within, on the timer's own thread.
struct Ender(Mutex<Option<Arc<Scheduler>>>, std::sync::mpsc::Sender<()>);

impl Run for Ender {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        let scheduler = self.0.lock().take().expect("due once");
        run.begin().expect("it is due");
        scheduler.shutdown();
        drop(scheduler);
        run.finished(Ok(Vec::new()));
        Ok(())
    }

    fn over(&self, _: &Arc<Job>) {
        self.1.send(()).expect("the test waits");
    }
}

#[test]
fn a_target_may_shut_the_scheduler_down() {
    let (sender, over) = std::sync::mpsc::channel();
    let scheduler = Arc::new(Scheduler::new(Arc::new(crate::services::clock::SystemClock::new()), None));
    let target = Arc::new(Ender(Mutex::new(Some(scheduler.clone())), sender));
    scheduler.once(request("end"), 1, target).expect("good");
    drop(scheduler);
    over.recv_timeout(Duration::from_secs(20)).expect("told that it is over");
}

#[test]
fn many_threads_schedule_replace_and_remove_and_every_job_ends_once() {
    let clock = Arc::new(crate::services::clock::SystemClock::new());
    let scheduler = Scheduler::new(clock, None);
    let made = std::sync::atomic::AtomicUsize::new(0);
    struct Count(std::sync::atomic::AtomicUsize, std::sync::atomic::AtomicUsize);
    impl Run for Count {
        fn due(&self, run: Arc<DueRun>) -> Result<()> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if run.begin().is_some() {
                run.finished(Ok(Vec::new()));
            }
            Ok(())
        }
        fn over(&self, _: &Arc<Job>) {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(0.into(), 0.into()));
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (scheduler, made, count) = (&scheduler, &made, &count);
            threads.spawn(move || {
                for n in 0..500 {
                    let request = JobRequest { keeping: QUEUE, ..request(&format!("{}", n % 7)) };
                    let job = match (n + thread) % 3 {
                        0 => scheduler.once(request, n % 2, count.clone()),
                        1 => scheduler.interval(request, 1, count.clone()),
                        _ => scheduler.cron(request, "* * * * * *", None, count.clone()),
                    };
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let (job, _) = job.expect("a good request");
                    scheduler.set_live(&job, n % 5 != 0);
                    if n % 4 == 0 {
                        // Stale if another thread replaced it meanwhile.
                        let _ = scheduler.remove(&job);
                    }
                }
            });
        }
    });
    scheduler.shutdown();
    let over = count.1.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(over, made.into_inner());
    assert_eq!(Arc::strong_count(&count), 1, "nothing holds the target any more");
}

/// Wall clocks that are wrong: before 1970, at the ends of what 32 bits hold, after 2100, where calendars end, and beyond.
const WRONG_CLOCKS: [i64; 12] = [
    i64::MIN / 2,
    -62_135_596_800_000,
    -2_208_988_800_000,
    -2_147_483_648_500,
    -90_500,
    -1,
    2_147_483_647_500,
    4_102_444_799_500,
    4_107_542_399_500,
    253_402_300_799_500,
    8_210_266_876_799_500,
    i64::MAX / 2,
];

#[test]
fn with_a_clock_before_1970_or_after_2100_no_job_is_early_and_none_panics() {
    for wall in WRONG_CLOCKS {
        let stage = stage_at(wall);
        let minutely = stage.scheduler.cron(
            request("minutely"),
            "* * * * *",
            Some("Europe/Vienna"),
            stage.notes.clone(),
        );
        stage.interval(request("second"), 1_000);
        stage.once(request("soon"), 500);
        for _ in 0..4 * 180 {
            stage.advance(250);
        }
        // `due` looks whether one was early.
        let runs: Vec<_> = stage.notes.runs.lock().iter().map(|(name, ..)| name.clone()).collect();
        stage.due();
        let count = |name: &str| runs.iter().filter(|run| *run == name).count();
        assert_eq!((count("second"), count("soon")), (180, 1), "{wall}");
        // Rules begin in 1970, and end where the calendar does.
        let minutes = (1..=4).map(|ahead| (wall.div_euclid(MINUTE) + ahead).saturating_mul(MINUTE));
        let expected = minutes.filter(|minute| *minute >= 0 && minute - wall <= 3 * MINUTE).count();
        match minutely {
            Ok(_) if wall < 253_402_300_799_000 => assert_eq!(count("minutely"), expected, "{wall}"),
            Ok(_) => assert!(count("minutely") <= expected, "{wall}"),
            Err(error) => panic!("{wall}: {error}"),
        }
        assert!(stage.list().iter().all(|job| job.failed == 0), "{wall}");
    }
}

#[test]
fn a_clock_that_is_set_from_one_century_to_another_makes_no_job_early_and_runs_none_twice() {
    let stage = stage_at(TEN);
    stage.cron("minutely", "* * * * *");
    stage.interval(request("second"), 1_000);
    for wall in WRONG_CLOCKS.into_iter().rev().chain([TEN, WRONG_CLOCKS[2], WRONG_CLOCKS[8], TEN]) {
        stage.set_wall(wall);
        let runs = std::mem::take(&mut *stage.notes.runs.lock());
        for (name, due, told) in &runs {
            assert!(told >= due, "{name} was told {told}, before {due}, with the clock at {wall}");
        }
        let minutes: Vec<i64> = runs.iter().filter(|run| run.0 == "minutely").map(|run| run.1).collect();
        let once: std::collections::BTreeSet<_> = minutes.iter().collect();
        assert!(once.len() == minutes.len() && minutes.len() <= 3, "{wall}: {minutes:?}");
        // An interval follows no wall clock.
        assert_eq!(runs.len() - minutes.len(), 60, "{wall}");
    }
}
