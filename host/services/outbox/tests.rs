//! What batches leave in the outbox is published and scheduled.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;
use crate::services::{
    clock::ManualClock,
    events::{Draft, Topic},
    keys::Key,
    ledger::{Durability, LedgerOptions},
    scheduler::{
        Overlap,
        store::{JobSpec, Keeping, Timing},
    },
    scopes::Scopes,
    storage::{
        Action, Batch, JobDraft, JobTiming, LedgerStorage, Lifetime, OUTBOX, Quotas, SCHEMA, Step,
        StorageBackend, StorageOptions,
    },
};

const START: i64 = 1_700_000_000_000;

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    folder: TempDir,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
    storage: LedgerStorage,
    scopes: Scopes,
    alarm: Arc<Alarm>,
    reports: Arc<Mutex<Vec<String>>>,
}

/// What the outbox has done.
type Done<T> = mpsc::Receiver<T>;

impl Scene {
    fn new() -> Self {
        let clock = ManualClock::at(START);
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(&clock) as _,
            schemas: vec![SCHEMA, OUTBOX],
            report: Box::new(|error| panic!("{error}")),
        };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way");
        let ledger = Arc::new(ledger);
        let options = StorageOptions::new(Arc::clone(&clock) as _, |error| panic!("{error}"));
        let storage = LedgerStorage::open(Arc::clone(&ledger), options).expect("it can be read");
        let scopes = Scopes::of(&[("meter", "acme"), ("meter", "")]);
        let (alarm, reports) = (clock.alarm(), Arc::default());
        Self { folder, clock, ledger, storage, scopes, alarm, reports }
    }

    /// An outbox whose jobs are answered so; it tells the data of events, and the jobs that it has asked for.
    fn outbox(
        &self,
        answer: impl Fn(&KeptJob) -> Result<()> + Send + 'static,
    ) -> (Outbox, Done<String>, Done<KeptJob>) {
        let (scheduled, jobs) = mpsc::channel();
        let schedule = move |job: &KeptJob| {
            // Nobody may listen any more.
            let _ = scheduled.send(job.clone());
            answer(job)
        };
        let (outbox, events) = self.outbox_with(Some(Box::new(schedule)));
        (outbox, events, jobs)
    }

    fn outbox_with(&self, schedule: Option<Schedule>) -> (Outbox, Done<String>) {
        let (published, events) = mpsc::channel();
        let publish = move |all: Vec<Event>| {
            for event in all {
                let _ = published.send(String::from_utf8_lossy(&event.data).into_owned());
            }
            Ok(())
        };
        let reports = Arc::clone(&self.reports);
        let report = move |error: &Error| reports.lock().expect("no panic").push(error.to_string());
        let (clock, alarm) = (Arc::clone(&self.clock) as _, Arc::clone(&self.alarm));
        let outbox = Outbox::start(&self.ledger, clock, alarm, Box::new(publish), schedule, Box::new(report));
        (outbox.expect("there is a thread"), events)
    }

    /// Commits a batch with these jobs, and an event of this data.
    fn commit(&self, scope: usize, jobs: &[JobDraft], data: &str) {
        let key = Key::parse("key", b"k").expect("it is one");
        let action = Action::Set { value: b"v", lifetime: Lifetime::Endless };
        let topic = Topic::parse("plugin.meter.read").expect("it is one");
        let events = [Draft::new(topic, "/plugins/meter", data.as_bytes())];
        let batch = Batch {
            steps: &[Step { key, if_version: None, action }],
            events: &events,
            jobs,
            quotas: Quotas::default(),
        };
        self.storage.apply(&self.scopes.at(scope), &batch).expect("nothing is in its way");
        self.alarm.ring();
    }

    fn left(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        self.ledger
            .read(|ledger| Ok(ledger.query_row(&count, [], |row| row.get(0))?))
            .expect("it can be read")
    }

    /// Waits until so many jobs are left.
    fn until_left(&self, jobs: i64) {
        self.until(|| self.left("outbox_jobs") == jobs);
    }

    fn until(&self, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < deadline, "it never happens; reports: {:?}", self.reports());
            std::thread::yield_now();
        }
    }

    fn reports(&self) -> Vec<String> {
        self.reports.lock().expect("no panic").clone()
    }
}

fn draft(name: &str, timing: JobTiming) -> JobDraft {
    JobDraft { name: name.into(), timing, overlap: 2, data: name.as_bytes().to_vec() }
}

fn once(name: &str) -> JobDraft {
    draft(name, JobTiming::Once(30))
}

#[track_caller]
fn next<T>(done: &Done<T>) -> T {
    done.recv_timeout(PATIENCE).expect("it comes")
}

fn refuses(kind: ErrorKind) -> impl Fn(&KeptJob) -> Result<()> + Send {
    move |job| {
        if job.name.name.starts_with("bad") {
            return Err(Error::new(kind, "it will not do"));
        }
        Ok(())
    }
}

#[test]
fn jobs_of_batches_are_scheduled_in_the_order_of_their_commits_and_then_gone() {
    let scene = Scene::new();
    let cron = JobTiming::Cron { rule: "0 4 * * *".into(), zone: "Europe/Paris".into() };
    let drafts = [draft("cron", cron), draft("every", JobTiming::Every(500)), once("once")];
    scene.commit(0, &drafts, "before");
    let (_outbox, events, jobs) = scene.outbox(|_| Ok(()));
    scene.clock.advance(Duration::from_millis(7));
    let many: Vec<_> = (0..3 * JOBS_STEP).map(|at| once(&at.to_string())).collect();
    scene.commit(1, &many, "after");
    assert_eq!([next(&events), next(&events)], ["before", "after"]);
    let first = [None, Some(START + 500), Some(START + 30)];
    let first = drafts.into_iter().zip(first).map(|(draft, first_ms)| ("acme", draft, first_ms));
    let then = many.into_iter().map(|draft| ("", draft, Some(START + 37)));
    let mut origins = Vec::new();
    for (tenant, draft, first_ms) in first.chain(then) {
        let job = next(&jobs);
        let origin = job.origin.clone();
        let JobDraft { name, timing, data, .. } = draft;
        let timing = match timing {
            JobTiming::Cron { rule, zone } => Timing::Cron { rule: rule.into(), zone: zone.into() },
            JobTiming::Every(ms) => Timing::Every(ms),
            JobTiming::Once(ms) => Timing::Once(ms),
        };
        let keeping = Keeping { overlap: Overlap::Allow, ..Keeping::default() };
        let spec = JobSpec { timing, keeping, data: data.into() };
        let name = JobName { plugin: "meter".into(), tenant: tenant.into(), name: name.into() };
        assert_eq!(job, KeptJob { name, spec, first_ms, origin: origin.clone() });
        origins.push(origin);
    }
    scene.until_left(0);
    origins.sort();
    let many = origins.len();
    origins.dedup();
    assert_eq!((origins.len(), origins[0].is_empty()), (many, false));
    assert_eq!(scene.reports(), [""; 0]);
}

#[test]
fn a_job_that_cannot_be_scheduled_now_holds_back_other_jobs_but_no_event() {
    let scene = Scene::new();
    let full = Arc::new(AtomicBool::new(true));
    let (_outbox, events, jobs) = scene.outbox({
        let full = Arc::clone(&full);
        move |_| match full.load(Relaxed) {
            true => Err(Error::new(ErrorKind::Unavailable, "the disk is full")),
            false => Ok(()),
        }
    });
    scene.commit(0, &[once("a"), once("b")], "1");
    let first = next(&jobs);
    assert_eq!((&*first.name.name, next(&events)), ("a", "1".to_owned()));
    scene.commit(0, &[once("c")], "2");
    assert_eq!(next(&events), "2");
    scene.until(|| scene.left("outbox_events") == 0);
    assert_eq!(scene.left("outbox_jobs"), 3);
    // Tried again by the clock; told of once.
    let tried = Cell::new(0);
    scene.until(|| {
        scene.clock.advance(AGAIN);
        tried.set(tried.get() + jobs.try_iter().inspect(|job| assert_eq!(*job, first)).count());
        tried.get() > 3
    });
    assert_eq!(scene.reports(), ["the disk is full"]);
    full.store(false, Relaxed);
    scene.until(|| {
        scene.clock.advance(LONGEST);
        scene.left("outbox_jobs") == 0
    });
    let mut names: Vec<_> = jobs.try_iter().map(|job| job.name.name).collect();
    names.dedup();
    assert!(names.ends_with(&["a".into(), "b".into(), "c".into()]), "{names:?}");
}

#[test]
fn a_job_that_can_never_be_scheduled_is_dropped_and_told_of() {
    for kind in [ErrorKind::Quota, ErrorKind::InvalidArgument] {
        let scene = Scene::new();
        let (_outbox, _events, jobs) = scene.outbox(refuses(kind));
        scene.commit(0, &[once("bad"), once("good")], "1");
        assert_eq!([next(&jobs), next(&jobs)].map(|job| job.name.name), ["bad", "good"].map(Arc::from));
        scene.until_left(0);
        let told = "plugin \"meter\": the job \"bad\" of the tenant \"acme\" that a batch has scheduled is dropped: it will not do";
        assert_eq!(scene.reports(), [told]);
    }
}

#[test]
fn a_job_at_which_the_host_fails_is_left_for_the_next_start() {
    let scene = Scene::new();
    let (outbox, _events, jobs) = scene.outbox(refuses(ErrorKind::Internal));
    scene.commit(1, &[once("bad"), once("good")], "1");
    let bad = next(&jobs);
    assert_eq!(&*next(&jobs).name.name, "good");
    scene.until_left(1);
    scene.commit(1, &[once("more")], "2");
    assert_eq!(&*next(&jobs).name.name, "more", "it is not tried again meanwhile");
    scene.until_left(1);
    outbox.close();
    let told = "plugin \"meter\": the job \"bad\" that a batch has scheduled is left for the next start of the host: it will not do";
    assert_eq!(scene.reports(), [told]);
    let (_outbox, _events, jobs) = scene.outbox(|_| Ok(()));
    assert_eq!(next(&jobs), bad, "it has the same origin");
    scene.until_left(0);
}

#[test]
fn a_damaged_job_stays_and_others_are_scheduled() {
    let scene = Scene::new();
    scene.commit(0, &[once("a"), once("b"), once("c"), once("d"), once("e"), once("f")], "1");
    let vandal = rusqlite::Connection::open(scene.folder.path().join("ledger.db")).expect("a database");
    let spoil = "UPDATE outbox_jobs SET name = CAST(x'ff' AS TEXT) WHERE seq = 1;
        UPDATE outbox_jobs SET due_ms = NULL WHERE seq = 2;
        UPDATE outbox_jobs SET dedupe = '' WHERE seq = 3;
        UPDATE outbox_jobs SET overlap = 3 WHERE seq = 6;
        UPDATE outbox_jobs SET delay_ms = NULL WHERE seq = 5";
    vandal.execute_batch(spoil).expect("nobody writes");
    let (_outbox, _events, jobs) = scene.outbox(|_| Ok(()));
    assert_eq!(&*next(&jobs).name.name, "d");
    let old = next(&jobs);
    assert_eq!((old.spec.timing, old.first_ms), (Timing::Once(0), Some(START + 30)));
    scene.until_left(4);
    let told =
        |number: i64| format!("job {number} of the outbox is damaged: it stays there and is not scheduled");
    assert_eq!(scene.reports(), [1, 2, 3, 6].map(told));
}

#[test]
fn where_nobody_keeps_durable_jobs_they_stay() {
    let scene = Scene::new();
    let (outbox, events) = scene.outbox_with(None);
    scene.commit(0, &[once("a")], "1");
    assert_eq!(next(&events), "1");
    outbox.close();
    assert_eq!(scene.left("outbox_jobs"), 1);
    let (_outbox, _events, jobs) = scene.outbox(|_| Ok(()));
    assert_eq!(&*next(&jobs).name.name, "a");
}
