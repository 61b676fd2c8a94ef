//! What the engine promises of durable jobs, over the plainest store and a clock that the tests move. A life of a host is an engine; its
//! store goes on.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    super::{
        DueRun, HandleRequest, Handler, Job, JobInfo, JobRequest, Named, Overlap, Run, Scheduler,
        run::Begun,
        store::{JobName, JobSpec, Keeping, Missed, Of, RunKind, Timing},
    },
    model::Model,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::{Clock, ManualClock},
};

mod crowd;
mod failures;

/// 2026-11-21 10:00:00 UTC.
const TEN: i64 = 1_795_255_200_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What runs durable jobs in a test: begins each run at once, and ends it unless it is told to hold it.
#[derive(Default)]
struct Worker {
    begun: Mutex<Vec<(String, Begun)>>,
    hold: Mutex<bool>,
    fail: Mutex<usize>,
    held: Mutex<Vec<Arc<DueRun>>>,
    /// Runs stand in the lane until they are called.
    lane: Mutex<Option<Vec<Arc<DueRun>>>>,
    over: Mutex<Vec<String>>,
}

impl Run for Worker {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        if let Some(lane) = &mut *self.lane.lock() {
            lane.push(run);
            return Ok(());
        }
        self.work(run);
        Ok(())
    }

    fn over(&self, job: &Arc<Job>) {
        self.over.lock().push(job.name().to_string());
    }
}

impl Worker {
    fn work(&self, run: Arc<DueRun>) {
        let Some(begun) = run.begin() else { return };
        self.begun.lock().push((run.job().name().to_string(), begun));
        let mut fail = self.fail.lock();
        if *self.hold.lock() {
            self.held.lock().push(run);
        } else if *fail > 0 {
            *fail -= 1;
            drop(fail);
            run.finished(Err(Error::new(ErrorKind::Internal, "it failed")));
        } else {
            drop(fail);
            run.finished(Ok(b"done".to_vec()));
        }
    }

    /// What stands in the lane gets its turn.
    fn call(&self) {
        let runs = self.lane.lock().as_mut().map(std::mem::take).unwrap_or_default();
        runs.into_iter().for_each(|run| self.work(run));
    }
}

/// A life of a host.
struct Life {
    clock: Arc<ManualClock>,
    scheduler: Scheduler,
    worker: Arc<Worker>,
}

struct Stage {
    clock: Arc<ManualClock>,
    store: Model,
}

fn stage() -> Stage {
    stage_of(true)
}

fn stage_of(exclusive: bool) -> Stage {
    let clock = ManualClock::at(TEN);
    Stage { store: Model::new(&clock, exclusive), clock }
}

impl Stage {
    /// A host that starts and knows what is in the store.
    fn life(&self) -> Life {
        let scheduler = Scheduler::new(self.clock.clone(), Some(self.store.again()));
        scheduler.load().expect("the store answers");
        let life = Life { clock: Arc::clone(&self.clock), scheduler, worker: Arc::default() };
        life.settle();
        life
    }

    fn advance(&self, ms: i64) {
        self.clock.advance(Duration::from_millis(u64::try_from(ms).expect("forward")));
        self.settle();
    }

    /// The threads of the engine ring each other.
    fn settle(&self) {
        (0..6).for_each(|_| self.clock.settle());
    }
}

fn request(name: &str, keeping: Keeping) -> JobRequest {
    JobRequest {
        owner: 7,
        plugin: "witness".into(),
        tenant: None,
        name: name.into(),
        keeping,
        data: b"data"[..].into(),
        durable: true,
        live: true,
    }
}

fn named(name: &str) -> Named<'_> {
    Named { plugin: "witness", tenant: None, name }
}

impl Life {
    fn settle(&self) {
        (0..6).for_each(|_| self.clock.settle());
    }

    fn cron(&self, name: &str, rule: &str, keeping: Keeping) -> Arc<Job> {
        let job =
            self.scheduler.cron(request(name, keeping), rule, None, self.worker.clone()).expect("good").0;
        self.settle();
        job
    }

    fn once(&self, name: &str, delay_ms: i64, keeping: Keeping) -> Arc<Job> {
        let job = self.scheduler.once(request(name, keeping), delay_ms, self.worker.clone()).expect("good").0;
        self.settle();
        job
    }

    fn handle(&self, pattern: &str) -> Arc<Handler> {
        let request = HandleRequest {
            owner: 7,
            plugin: "witness".into(),
            tenant: None,
            pattern: pattern.into(),
            live: true,
        };
        let handler = self.scheduler.handle(request, self.worker.clone()).expect("a good pattern");
        self.settle();
        handler
    }

    /// What has begun since the last call: the due time from `TEN`, the attempt, and whether it was begun before.
    fn begun(&self) -> Vec<(i64, u32, bool)> {
        let begun = std::mem::take(&mut *self.worker.begun.lock());
        begun.into_iter().map(|(_, begun)| (begun.due_ms - TEN, begun.attempt, begun.again)).collect()
    }

    fn due(&self) -> Vec<i64> {
        self.begun().into_iter().map(|begun| begun.0).collect()
    }

    fn end_held(&self) {
        let held = std::mem::take(&mut *self.worker.held.lock());
        held.iter().for_each(|run| run.finished(Ok(Vec::new())));
        self.settle();
    }

    fn hold(&self) {
        *self.worker.hold.lock() = true;
    }

    fn info(&self, name: &str) -> JobInfo {
        let list = self.scheduler.list(&Of::default()).expect("the store answers");
        list.into_iter().find(|job| &*job.name == name).expect("it is listed")
    }

    /// The process is killed: nothing that it was in the middle of comes to its end.
    fn kill(self) {
        self.worker.held.lock().drain(..).for_each(std::mem::forget);
        if let Some(lane) = self.worker.lane.lock().take() {
            lane.into_iter().for_each(std::mem::forget);
        }
        self.scheduler.shutdown();
    }
}

#[test]
fn scheduler_27_a_durable_job_waits_for_its_handler_and_goes_on_where_it_stood() {
    let stage = stage();
    let life = stage.life();
    life.cron("tick", "*/5 * * * *", Keeping::USUAL);
    stage.advance(5 * MINUTE);
    assert_eq!(life.due(), [5 * MINUTE]);
    drop(life);
    stage.advance(MINUTE);
    let life = stage.life();
    let info = life.info("tick");
    assert!(info.waiting && !info.live && info.durable);
    assert_eq!((info.runs, info.last_ms, info.next_ms), (1, Some(TEN + 5 * MINUTE), Some(TEN + 10 * MINUTE)));
    assert_eq!(
        life.scheduler.run_now(&named("tick")).expect_err("nobody runs it").kind(),
        ErrorKind::Unavailable
    );
    let handler = life.handle("ti*");
    assert!(!life.info("tick").waiting);
    stage.advance(4 * MINUTE);
    let begun = std::mem::take(&mut *life.worker.begun.lock());
    assert_eq!((begun.len(), &*begun[0].1.data), (1, &b"data"[..]));
    assert_eq!(begun[0].1.due_ms, TEN + 10 * MINUTE);
    let history = life.scheduler.history(&named("tick")).expect("it is there");
    assert_eq!(history.iter().map(|run| run.due_ms - TEN).collect::<Vec<_>>(), [10 * MINUTE, 5 * MINUTE]);
    assert_eq!(history[0].end.result, b"done");
    // Without its handler it waits again; scheduled, it is its generation's.
    assert!(life.scheduler.remove_handler(&handler) && !life.scheduler.remove_handler(&handler));
    stage.advance(5 * MINUTE);
    assert_eq!(life.due(), [0; 0]);
    life.cron("tick", "*/5 * * * *", Keeping::USUAL);
    assert_eq!(life.due(), [15 * MINUTE], "it is due this very moment");
}

#[test]
fn scheduler_21_after_a_restart_missed_runs_are_for_the_policy_to_say() {
    for (missed, expected, kinds) in [
        (Missed::Skip, vec![], vec![]),
        (Missed::Once, vec![150], vec![RunKind::Missed]),
        (Missed::All, (51..=150).collect(), vec![RunKind::Missed; 100]),
    ] {
        let stage = stage();
        let life = stage.life();
        life.cron("tick", "* * * * *", Keeping { missed, ..Keeping::USUAL });
        drop(life);
        stage.advance(150 * MINUTE + 20_000);
        let life = stage.life();
        life.handle("*");
        (0..100).for_each(|_| stage.settle());
        let begun = std::mem::take(&mut *life.worker.begun.lock());
        let due: Vec<i64> = begun.iter().map(|(_, begun)| (begun.due_ms - TEN) / MINUTE).collect();
        assert_eq!(due, expected, "{missed:?}");
        assert_eq!(begun.iter().map(|(_, begun)| begun.kind).collect::<Vec<_>>(), kinds);
        stage.advance(40_000);
        assert_eq!(life.due(), [151 * MINUTE], "{missed:?}");
        let info = life.info("tick");
        assert_eq!(
            (info.runs, info.skipped),
            (expected.len() as u64 + 1, 150 - expected.len() as u64),
            "{missed:?}"
        );
    }
}

#[test]
fn scheduler_21_a_missed_run_that_is_too_late_is_given_up() {
    let stage = stage();
    let life = stage.life();
    let keeping = Keeping { start_deadline_ms: 90_000, ..Keeping::USUAL };
    life.cron("hourly", "0 * * * *", keeping.clone());
    life.once("bell", HOUR, keeping);
    drop(life);
    stage.advance(HOUR + 2 * MINUTE);
    let life = stage.life();
    life.handle("*");
    assert_eq!(life.due(), [0; 0]);
    stage.settle();
    let names: Vec<_> =
        life.scheduler.list(&Of::default()).expect("it answers").into_iter().map(|job| job.name).collect();
    assert_eq!(names, ["hourly".into()], "the one that runs once has not, and will not");
    stage.advance(58 * MINUTE);
    assert_eq!(life.due(), [2 * HOUR]);
    assert_eq!(life.info("hourly").skipped, 1);
}

#[test]
fn scheduler_27_an_interval_and_a_once_survive_a_restart() {
    let stage = stage();
    let life = stage.life();
    life.scheduler.interval(request("beat", Keeping::USUAL), MINUTE, life.worker.clone()).expect("good");
    life.once("bell", 90 * MINUTE, Keeping::USUAL);
    stage.advance(MINUTE);
    assert_eq!(life.due(), [MINUTE]);
    drop(life);
    stage.advance(60 * MINUTE + 10_000);
    let life = stage.life();
    life.handle("*");
    assert_eq!(life.due(), [61 * MINUTE], "one for all beats that were missed");
    stage.advance(50_000);
    assert_eq!(life.due(), [62 * MINUTE], "and the beat is kept");
    stage.advance(28 * MINUTE);
    assert!(life.due().contains(&(90 * MINUTE)));
    let list = life.scheduler.list(&Of::default()).expect("it answers");
    assert_eq!(list.iter().map(|job| &*job.name).collect::<Vec<_>>(), ["beat"]);
    assert!(stage.store.names().iter().all(|name| name == "beat"), "gone from the store, too");
}

#[test]
fn scheduler_27_a_run_that_a_host_has_left_unfinished_happens_again_with_the_same_number() {
    let stage = stage();
    let life = stage.life();
    life.hold();
    life.cron("tick", "* * * * *", Keeping::USUAL);
    stage.advance(MINUTE);
    let first = life.worker.begun.lock()[0].1.clone();
    assert_eq!((first.attempt, first.again), (1, false));
    life.kill();
    let life = stage.life();
    stage.settle();
    assert_eq!(life.begun(), [], "nobody handles it yet");
    life.handle("tick");
    stage.settle();
    let again = life.worker.begun.lock()[0].1.clone();
    assert_eq!((again.id, again.due_ms, again.attempt, again.again), (first.id, first.due_ms, 2, true));
    let history = life.scheduler.history(&named("tick")).expect("it is there");
    assert_eq!((history.len(), history[0].attempts, history[0].again), (1, 2, true));
    life.begun();
    stage.advance(MINUTE);
    assert_eq!(life.begun(), [(2 * MINUTE, 1, false)]);
}

#[test]
fn scheduler_28_another_host_takes_a_run_over_when_its_lease_has_ended_and_not_before() {
    let stage = stage_of(false);
    let (one, other) = (stage.life(), stage.life());
    one.hold();
    let keeping = Keeping { timeout_ms: 10_000, ..Keeping::USUAL };
    one.cron("tick", "0 * * * *", keeping.clone());
    other.cron("tick", "0 * * * *", keeping);
    stage.advance(HOUR);
    let begun: Vec<_> = [&one, &other].iter().flat_map(|life| life.begun()).collect();
    assert_eq!(begun, [(HOUR, 1, false)], "one claim");
    if one.worker.held.lock().is_empty() {
        return; // The other was faster, and has ended it.
    }
    stage.advance(24_999);
    assert_eq!(other.begun(), []);
    stage.advance(1);
    assert_eq!(other.begun(), [(HOUR, 2, true)]);
    assert_eq!(one.begun(), [], "never by itself");
    // What the first answers now is too late.
    one.end_held();
    let history = other.scheduler.history(&named("tick")).expect("it is there");
    assert_eq!((history.len(), history[0].end.result.as_slice()), (1, &b"done"[..]));
}

#[test]
fn scheduler_23_attempts_of_a_durable_run_go_on_after_a_restart() {
    let stage = stage();
    let life = stage.life();
    *life.worker.fail.lock() = 1;
    life.cron("tick", "* * * * *", Keeping { retries: 1, backoff_ms: 5_000, ..Keeping::USUAL });
    stage.advance(MINUTE);
    assert_eq!(life.begun(), [(MINUTE, 1, false)]);
    life.kill();
    let life = stage.life();
    life.handle("*");
    stage.settle();
    assert_eq!(life.begun(), [(MINUTE, 2, true)]);
}

#[test]
fn scheduler_23_a_durable_run_that_fails_is_tried_again() {
    let stage = stage();
    let life = stage.life();
    *life.worker.fail.lock() = 2;
    life.cron("tick", "* * * * *", Keeping { retries: 2, backoff_ms: 5_000, ..Keeping::USUAL });
    stage.advance(MINUTE);
    stage.advance(5_000);
    stage.advance(10_000);
    assert_eq!(life.begun(), [(MINUTE, 1, false), (MINUTE, 2, false), (MINUTE, 3, false)]);
    let info = life.info("tick");
    assert_eq!((info.runs, info.failed), (1, 0));
}

#[test]
fn scheduler_24_durable_jobs_follow_each_other_across_a_restart() {
    let stage = stage();
    let life = stage.life();
    life.cron("first", "* * * * *", Keeping::USUAL);
    let after = |life: &Life, name: &str, other: &str, durable| {
        let request = JobRequest { durable, ..request(name, Keeping::USUAL) };
        life.scheduler.after(request, other, life.worker.clone()).map(drop).map_err(|error| error.kind())
    };
    assert_eq!(after(&life, "second", "first", true), Ok(()));
    assert_eq!(after(&life, "third", "other", true), Err(ErrorKind::NotFound));
    assert_eq!(after(&life, "first", "second", true), Err(ErrorKind::Conflict));
    assert_eq!(after(&life, "loose", "second", false), Ok(()));
    assert_eq!(after(&life, "third", "loose", true), Err(ErrorKind::Conflict), "it is not durable");
    stage.advance(MINUTE);
    let names: Vec<_> = life.worker.begun.lock().drain(..).map(|begun| begun.0).collect();
    assert_eq!(names, ["first", "second", "loose"]);
    // The second has a handler only in the next life.
    life.scheduler.forget(&named("loose")).expect("it is there");
    let (job, _) = life
        .scheduler
        .after(JobRequest { live: false, ..request("second", Keeping::USUAL) }, "first", life.worker.clone())
        .expect("it is there");
    stage.advance(MINUTE);
    life.scheduler.detach(&job);
    drop(life);
    let life = stage.life();
    life.handle("second");
    stage.settle();
    let names: Vec<_> = life.worker.begun.lock().drain(..).map(|begun| begun.0).collect();
    assert_eq!(names, ["second"]);
}

#[test]
fn scheduler_25_a_durable_job_stays_paused_over_a_restart() {
    let stage = stage();
    let life = stage.life();
    life.cron("tick", "* * * * *", Keeping::USUAL);
    life.scheduler.pause(&named("tick")).expect("it is there");
    drop(life);
    stage.advance(10 * MINUTE);
    let life = stage.life();
    life.cron("tick", "* * * * *", Keeping::USUAL);
    stage.advance(MINUTE);
    assert!(life.info("tick").paused);
    life.scheduler.resume(&named("tick")).expect("it is there");
    assert_eq!(life.due(), [0; 0], "nothing is made up for");
    stage.advance(MINUTE);
    assert_eq!(life.due(), [12 * MINUTE]);
    assert!(!life.info("tick").paused);
}

#[test]
fn scheduler_15_a_durable_job_that_is_removed_is_gone_for_good() {
    let stage = stage();
    let life = stage.life();
    let job = life.cron("tick", "* * * * *", Keeping::USUAL);
    life.cron("tock", "* * * * *", Keeping::USUAL);
    life.scheduler.remove(&job).expect("it is there");
    assert_eq!(life.scheduler.remove(&job).expect_err("it is over").kind(), ErrorKind::StaleHandle);
    drop(life);
    let life = stage.life();
    life.scheduler.forget(&named("tock")).expect("it waits, but it is there");
    assert_eq!(life.scheduler.forget(&named("tock")).expect_err("gone").kind(), ErrorKind::NotFound);
    assert!(stage.store.names().is_empty());
}

#[test]
fn scheduler_11_a_durable_job_that_changes_hands_while_it_runs_does_not_overlap() {
    let stage = stage();
    let life = stage.life();
    life.hold();
    let old = life.cron("tick", "* * * * *", Keeping::USUAL);
    stage.advance(MINUTE);
    assert_eq!(life.due(), [MINUTE]);
    // A new generation schedules it, and the old one goes away.
    let new = life.cron("tick", "* * * * *", Keeping::USUAL);
    life.scheduler.detach(&old);
    assert!(old.is_over() && !new.is_over());
    stage.advance(MINUTE);
    assert_eq!(life.due(), [0; 0], "the run of the old one has not ended");
    assert!(life.worker.over.lock().is_empty());
    life.end_held();
    assert_eq!(*life.worker.over.lock(), ["tick"]);
    stage.advance(MINUTE);
    assert_eq!(life.due(), [3 * MINUTE]);
    assert_eq!(life.info("tick").skipped, 1);
    life.scheduler.detach(&new);
    assert!(life.info("tick").waiting);
}

#[test]
fn a_run_that_stood_in_the_lane_of_an_old_generation_is_the_new_ones() {
    let stage = stage();
    let life = stage.life();
    *life.worker.lane.lock() = Some(Vec::new());
    let old = life.cron("tick", "* * * * *", Keeping::USUAL);
    stage.advance(MINUTE);
    assert_eq!(stage.store.open(), 0, "a run that stands in a lane is not claimed");
    life.scheduler.detach(&old);
    life.worker.call();
    assert_eq!(life.due(), [0; 0]);
    *life.worker.lane.lock() = None;
    stage.advance(30_000);
    life.handle("*");
    stage.settle();
    assert_eq!(life.due(), [MINUTE]);
}

#[test]
fn scheduler_20_durable_runs_side_by_side_are_claimed_in_their_order() {
    let stage = stage();
    let life = stage.life();
    *life.worker.lane.lock() = Some(Vec::new());
    life.hold();
    life.cron("tick", "* * * * *", Keeping { overlap: Overlap::Allow, ..Keeping::USUAL });
    (0..3).for_each(|_| stage.advance(MINUTE));
    let mut runs = life.worker.lane.lock().as_mut().map(std::mem::take).expect("it is a lane");
    runs.reverse();
    runs.into_iter().for_each(|run| life.worker.work(run));
    assert_eq!(life.due(), [MINUTE, 2 * MINUTE, 3 * MINUTE], "whichever worker came first");
    life.end_held();
    assert_eq!(life.info("tick").runs, 3);
}

#[test]
fn a_job_of_a_storage_batch_waits_for_its_handler_and_is_put_once() {
    let stage = stage();
    let life = stage.life();
    let name = JobName { plugin: "witness".into(), tenant: "acme".into(), name: "mail".into() };
    let spec = JobSpec { timing: Timing::Once(1_000), keeping: Keeping::USUAL, data: b"letter"[..].into() };
    for _ in 0..2 {
        life.scheduler
            .put_from_outbox(&name, spec.clone(), Some(TEN + 1_000), "batch 7")
            .expect("the store answers");
    }
    let handler = life.handle("m*");
    stage.advance(1_000);
    let begun = std::mem::take(&mut *life.worker.begun.lock());
    assert_eq!((begun.len(), &*begun[0].1.data), (1, &b"letter"[..]));
    life.scheduler.put_from_outbox(&name, spec, Some(TEN + 1_000), "batch 7").expect("the store answers");
    stage.advance(2_000);
    assert!(life.begun().is_empty() && stage.store.names().is_empty());
    life.scheduler.remove_handler(&handler);
}

#[test]
fn of_several_handlers_the_one_with_the_longest_pattern_counts() {
    let stage = stage();
    let life = stage.life();
    life.cron("mail-out", "* * * * *", Keeping::USUAL);
    drop(life);
    let life = stage.life();
    let request = |pattern: &str, tenant: Option<&str>| HandleRequest {
        owner: 1,
        plugin: "witness".into(),
        tenant: tenant.map(Arc::from),
        pattern: pattern.into(),
        live: true,
    };
    let workers: [Arc<Worker>; 3] = Default::default();
    let handle = |pattern, tenant, worker: &Arc<Worker>| {
        life.scheduler.handle(request(pattern, tenant), worker.clone()).expect("a good pattern")
    };
    let long = handle("mail-*", None, &workers[0]);
    handle("mail*", None, &workers[1]);
    handle("mail-out", Some("acme"), &workers[2]);
    let counts = || workers.each_ref().map(|worker| worker.begun.lock().len());
    stage.advance(MINUTE);
    assert_eq!(counts(), [1, 0, 0]);
    life.scheduler.set_handler_live(&long, false);
    stage.advance(MINUTE);
    assert_eq!(counts(), [1, 1, 0]);
    life.scheduler.set_handler_live(&long, true);
    stage.advance(MINUTE);
    assert_eq!(counts(), [2, 1, 0]);
    assert!(workers.iter().all(|worker| worker.over.lock().is_empty()), "jobs come and go");
    for bad in ["", "a*b", "*a", "**"] {
        let error = life.scheduler.handle(request(bad, None), workers[0].clone()).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
    }
}

#[test]
fn scheduler_22_jitter_of_a_durable_job_is_in_what_is_seen_and_not_in_the_store() {
    let stage = stage();
    let life = stage.life();
    let keeping = Keeping { jitter_ms: 50_000, ..Keeping::USUAL };
    life.cron("tick", "*/5 * * * *", keeping);
    let offset = named("tick").part_of(50_000);
    assert_eq!(life.info("tick").next_ms, Some(TEN + 5 * MINUTE + offset));
    stage.advance(5 * MINUTE + offset - 1);
    assert_eq!(life.due(), [0; 0]);
    stage.advance(1);
    assert_eq!(life.due(), [5 * MINUTE + offset]);
    drop(life);
    let life = stage.life();
    let info = life.info("tick");
    assert_eq!(
        (info.last_ms, info.next_ms),
        (Some(TEN + 5 * MINUTE + offset), Some(TEN + 10 * MINUTE + offset))
    );
}
