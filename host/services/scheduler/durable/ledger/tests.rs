//! What only this store can show.

use std::sync::Arc;

use tempfile::TempDir;

use super::{
    super::{
        super::store::{
            Claim, HISTORY, JobName, JobSpec, JobStore, Keeping, Of, RunEnd, RunKind, Timing, Wanted,
        },
        conformance::{Bed, START, suites},
    },
    LedgerStore, SCHEMA, jobs, read, runs,
};
use crate::{
    error::ErrorKind,
    services::{
        clock::ManualClock,
        ledger::{Durability, Ledger, LedgerOptions},
    },
};

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

    /// With so many jobs, due at [`START`].
    fn filled(many: usize) -> (Self, Arc<dyn JobStore>, Vec<u64>) {
        let bed = Self::new(&ManualClock::at(START));
        let store = bed.store();
        let put = |at: usize| put(&*store, &at.to_string());
        let jobs = (0..many).map(put).collect();
        (bed, store, jobs)
    }

    /// Somebody else writes into the file.
    fn spoil(&self, statements: &str) {
        let vandal =
            rusqlite::Connection::open(self.folder.path().join("ledger.db")).expect("it is a database");
        vandal.execute_batch(statements).expect("nobody writes");
    }

    fn count(&self, rows: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {rows}");
        self.ledger
            .read(|ledger| Ok(ledger.query_row(&count, [], |row| row.get(0))?))
            .expect("it can be read")
    }
}

impl Bed for OnLedger {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn store(&self) -> Arc<dyn JobStore> {
        Arc::new(LedgerStore::new(Arc::clone(&self.ledger), false))
    }

    fn restart(self) -> Self {
        let Self { folder, clock, ledger } = self;
        drop(Arc::into_inner(ledger).expect("the store has let go of it"));
        Self::open(folder, &clock)
    }
}

mod on_ledger {
    use super::{OnLedger, suites};

    suites!(OnLedger);
}

fn name(name: &str) -> JobName {
    JobName { plugin: "shop".into(), tenant: "acme".into(), name: name.into() }
}

fn every(span_ms: i64) -> JobSpec {
    JobSpec { timing: Timing::Every(span_ms), keeping: Keeping::default(), data: (*b"data").into() }
}

fn put(store: &dyn JobStore, own: &str) -> u64 {
    let put = store.put(&name(own), &every(10), Some(START), "", 1_000).expect("the store answers");
    put.expect("nobody has asked before").job
}

fn wanted(job: u64) -> Wanted {
    Wanted { job, due_ms: START, kind: RunKind::Scheduled, next_ms: Some(START + 10), passed_over: 0 }
}

fn claim(store: &dyn JobStore, wanted: &Wanted) -> super::Lease {
    match store.claim(wanted, START, START + 1_000).expect("the store answers") {
        Claim::Granted(lease) => lease,
        other => panic!("{wanted:?}: {other:?}"),
    }
}

fn ok() -> RunEnd {
    RunEnd { ended_ms: START + 1, error: None, result: b"done".to_vec() }
}

#[test]
fn who_is_alone_is_known_by_the_maker_only() {
    let (bed, store, _) = OnLedger::filled(0);
    assert!(!store.is_exclusive());
    assert!(LedgerStore::new(Arc::clone(&bed.ledger), true).is_exclusive());
}

#[test]
fn a_damaged_job_is_passed_over_and_mended_by_scheduling_it_again() {
    let (bed, store, jobs) = OnLedger::filled(12);
    let statements = [
        "UPDATE scheduler_jobs SET name = CAST(x'ff' AS TEXT)",
        "UPDATE scheduler_jobs SET runs = -1",
        "UPDATE scheduler_jobs SET tenant = CAST(x'80' AS TEXT)",
        "UPDATE scheduler_specs SET form = 9",
        "UPDATE scheduler_specs SET rule = CAST(x'c3' AS TEXT)",
        "UPDATE scheduler_specs SET overlap = 7",
        "UPDATE scheduler_specs SET missed = -1",
        "UPDATE scheduler_specs SET retries = -5",
        "DELETE FROM scheduler_specs",
    ];
    for (job, statement) in jobs.iter().zip(statements) {
        bed.spoil(&format!("{statement} WHERE job = {job}"));
    }
    let whole = |store: &dyn JobStore| {
        let jobs = store.jobs(&Of::default()).expect("the store answers");
        let mut jobs: Vec<_> = jobs.into_iter().map(|record| record.job).collect();
        jobs.sort_unstable();
        jobs
    };
    assert_eq!(whole(&*store), jobs[9..]);
    for job in &jobs {
        // Its runs can be read, and nobody claims one who does not know the job.
        let lease = claim(&*store, &wanted(*job));
        assert!(store.finish(&lease, &ok(), &[], false).expect("the store answers"));
        assert_eq!(store.history(*job).expect("the store answers").len(), 1);
    }
    // Whose name cannot be read is another job; that of a count is not mended.
    for at in [0, 2, 3, 4, 5, 6, 7, 8] {
        let there = put(&*store, &at.to_string());
        assert_eq!(there == jobs[at], ![0, 2].contains(&at), "{at}");
    }
    bed.spoil(&format!("UPDATE scheduler_jobs SET runs = -1 WHERE job = {}", jobs[1]));
    let refused = store.put(&name("1"), &every(11), None, "", 1_000).expect_err("a count is damaged");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(whole(&*store).len(), 11);
    assert_eq!(store.forget(&Of::default()).expect("the store answers"), 14);
    assert_eq!(bed.count("scheduler_jobs") + bed.count("scheduler_specs") + bed.count("scheduler_runs"), 0);
}

#[test]
fn a_damaged_run_is_passed_over_and_blocks_nobody() {
    let (bed, store, jobs) = OnLedger::filled(8);
    let leases: Vec<_> = jobs.iter().map(|job| claim(&*store, &wanted(*job))).collect();
    let spoil = |at: usize, change: &str| {
        bed.spoil(&format!("UPDATE scheduler_runs SET {change} WHERE run = {}", leases[at].run));
    };
    spoil(0, "kind = 3");
    spoil(1, "attempts = -5");
    spoil(2, "fence = -5");
    spoil(3, "job = 0");
    let open = store.open_runs(2).expect("the store answers");
    assert_eq!(open.iter().map(|run| run.lease).collect::<Vec<_>>(), [leases[3], leases[4]]);
    for at in [0, 1, 2] {
        assert_eq!(store.take_over(leases[at].run, i64::MAX, START).expect("the store answers"), None);
    }
    // A run without its job ends without a trace.
    assert!(!store.finish(&leases[3], &ok(), &[], false).expect("the store answers"));
    assert_eq!(bed.count("scheduler_runs WHERE job = 0"), 0);
    for (at, change) in [(4, "error = 'NO_SUCH'"), (5, "error = CAST(x'ff' AS TEXT)"), (6, "result = NULL")] {
        assert!(store.finish(&leases[at], &ok(), &[], false).expect("the store answers"));
        spoil(at, change);
        let again = claim(&*store, &Wanted { kind: RunKind::Requested, ..wanted(jobs[at]) });
        assert!(store.finish(&again, &ok(), &[], false).expect("the store answers"));
        let told = store.history(jobs[at]).expect("the store answers");
        assert_eq!(told.iter().map(|run| run.run).collect::<Vec<_>>(), [again.run], "{change}");
    }
    assert!(store.finish(&leases[7], &ok(), &[], false).expect("the store answers"));
}

#[test]
fn to_schedule_what_is_there_already_writes_nothing() {
    let (bed, store, jobs) = OnLedger::filled(3);
    let commits = || bed.ledger.counts().commits;
    let before = commits();
    assert_eq!([0, 1, 2].map(|at| put(&*store, &at.to_string())), jobs[..]);
    assert_eq!(commits(), before);
    let put = |spec: &JobSpec| store.put(&name("0"), spec, Some(START), "", 3).expect("the store answers");
    put(&JobSpec { data: (*b"other").into(), ..every(10) });
    put(&every(11));
    assert_eq!(commits(), before + 2);
}

#[test]
fn what_is_remembered_does_not_grow_without_end() {
    let (bed, store, jobs) = OnLedger::filled(1);
    for _ in 0..HISTORY + 7 {
        let lease = claim(&*store, &Wanted { kind: RunKind::Requested, ..wanted(jobs[0]) });
        assert!(store.finish(&lease, &ok(), &[], false).expect("the store answers"));
    }
    assert_eq!(bed.count("scheduler_runs"), HISTORY as i64);
    let ask = |origin: usize| {
        store.put(&name("0"), &every(10), None, &origin.to_string(), 1).expect("the store answers");
        bed.count("scheduler_origins")
    };
    let most = jobs::MOST_ORIGINS;
    let many = 3 * most as usize + 2;
    let grown: Vec<_> = (0..many).map(ask).collect();
    assert_eq!(grown.last(), Some(&(many as i64)));
    bed.clock.advance(std::time::Duration::from_secs(24 * 3_600));
    let left: Vec<_> = (many..many + 5).map(ask).collect();
    assert_eq!(left, [2 * most + 3, most + 4, 5, 4, 5], "some at a time");
}

#[test]
fn nothing_that_is_asked_often_looks_at_all_there_is() {
    let (bed, _store, _) = OnLedger::filled(1);
    let plan = |statement: &str| {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let read = |ledger: &rusqlite::Connection| {
            let mut plan = ledger.prepare(&explain)?;
            let holes = plan.parameter_count();
            let lines =
                plan.query_map(rusqlite::params_from_iter(vec![1; holes]), |row| row.get::<_, String>(3))?;
            Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("; "))
        };
        bed.ledger.read(read).expect("it can be read")
    };
    let own = Of { plugin: Some(""), tenant: Some(""), name: None };
    let of_tenant = read::of_these(
        &own,
        "SELECT data FROM scheduler_jobs j JOIN scheduler_specs s ON s.job = j.job",
        "ORDER BY plugin, tenant, name",
    );
    for (statement, index) in [
        (read::NAMED, "(plugin=? AND tenant=? AND name=?)"),
        (&*of_tenant, "(plugin=? AND tenant=?)"),
        (read::ENDED, "scheduler_ended (job=? AND number>?)"),
        (runs::TRIM, "scheduler_ended (job=? AND number<?)"),
        ("DELETE FROM scheduler_runs WHERE job = 1", "(job=?)"),
        ("SELECT count(*) FROM scheduler_jobs WHERE plugin = ''", "COVERING INDEX"),
        (jobs::OLD_ORIGINS, "scheduler_origins_at (at_ms<?)"),
    ] {
        let plan = plan(statement);
        let searches = plan.split("; ").all(|line| line.starts_with("SEARCH"));
        assert!(searches && plan.contains(index), "{statement}: {plan}");
    }
    // From an end on.
    let open = plan(read::OPEN);
    assert!(open.contains("USING INDEX scheduler_open") && !open.contains("TEMP B-TREE"), "{open}");
    let all =
        read::of_these(&Of::default(), "SELECT name FROM scheduler_jobs", "ORDER BY plugin, tenant, name");
    assert!(!plan(&all).contains("TEMP B-TREE"), "{all}");
}

#[test]
fn after_the_end_of_the_ledger_everything_is_unavailable() {
    let (bed, store, jobs) = OnLedger::filled(1);
    let lease = claim(&*store, &wanted(jobs[0]));
    bed.ledger.close();
    let kinds = [
        store.put(&name("0"), &every(10), None, "", 9).err(),
        store.put(&name("1"), &every(10), None, "origin", 9).err(),
        store.claim(&wanted(jobs[0]), START, START).err(),
        store.finish(&lease, &ok(), &[], false).err(),
        store.jobs(&Of::default()).err(),
        store.history(jobs[0]).err(),
    ];
    for (at, error) in kinds.into_iter().enumerate() {
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Unavailable), "{at}");
    }
}
