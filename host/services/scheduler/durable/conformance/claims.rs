//! Who may begin a run.

use std::{
    collections::BTreeMap,
    sync::{Barrier, Mutex},
    thread,
};

use super::*;

pub(in super::super) fn scheduler_28_a_due_time_is_claimed_once<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let other = tried.bed.store();
    let lease = tried.granted(&first(job));
    assert_eq!(lease.fence, 1);
    let taken = Claim::Taken { next_ms: Some(START + HOUR) };
    for kind in [RunKind::Scheduled, RunKind::Missed] {
        let wanted = Wanted { kind, ..first(job) };
        assert_eq!(tried.claim(&wanted), taken, "it is under way");
        assert_eq!(other.claim(&wanted, START, START).expect("it answers"), taken);
    }
    let record = tried.job(job);
    assert_eq!((record.runs, record.last_ms, record.next_ms), (1, Some(START), Some(START + HOUR)));
    tried.finish(&lease);
    drop(other);
    let tried = tried.restart();
    assert_eq!(tried.claim(&first(job)), taken, "it has ended");
    assert_eq!(tried.job(job), record);
    // The last of them.
    let last = tried.granted(&by_schedule(job, START + HOUR, None));
    assert!(last.run > lease.run);
    let taken = Claim::Taken { next_ms: None };
    assert_eq!(tried.claim(&by_schedule(job, START + HOUR, None)), taken);
    assert_eq!(tried.claim(&by_schedule(job, START + 9 * HOUR, None)), taken, "nothing is to be awaited");
}

pub(in super::super) fn scheduler_28_a_claim_leaves_no_earlier_due_time_behind<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let next_ms = Some(START + 4 * HOUR);
    let due_ms = START + 3 * HOUR;
    let wanted = Wanted { job, due_ms, kind: RunKind::Missed, next_ms, passed_over: 3 };
    tried.granted(&wanted);
    let record = tried.job(job);
    assert_eq!((record.next_ms, record.last_ms), (next_ms, Some(due_ms)));
    assert_eq!((record.runs, record.skipped), (1, 3));
    for hours in 0..4 {
        assert_eq!(tried.claim(&by_schedule(job, START + hours * HOUR, None)), Claim::Taken { next_ms });
    }
    assert_eq!(tried.claim(&wanted), Claim::Taken { next_ms });
    assert_eq!(tried.job(job), record, "what is refused counts nothing");
}

pub(in super::super) fn a_run_is_not_claimed_before_the_job_is_due<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let before = tried.job(job);
    // The engine has not heard yet that it was put off.
    let wanted = by_schedule(job, START - 1, Some(START));
    assert_eq!(tried.claim(&wanted), Claim::Taken { next_ms: Some(START) });
    assert_eq!((tried.job(job), tried.open()), (before, vec![]));
}

pub(in super::super) fn of_a_job_that_is_gone_no_run_is_claimed<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    for job in [job + 1, 0, u64::MAX >> 1] {
        assert_eq!(tried.claim(&first(job)), Claim::Gone);
        assert_eq!(tried.claim(&requested(job, START)), Claim::Gone);
    }
    assert_eq!(tried.open(), []);
}

pub(in super::super) fn scheduler_25_a_paused_job_runs_on_request_only<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    for next_ms in [Some(START), None] {
        assert!(tried.store.set_paused(job, true, next_ms).expect("it answers"));
        for kind in [RunKind::Scheduled, RunKind::Missed] {
            assert_eq!(tried.claim(&Wanted { kind, ..first(job) }), Claim::Paused);
        }
    }
    tried.requested(job);
    assert!(tried.job(job).paused);
    assert!(tried.store.set_paused(job, false, Some(START)).expect("it answers"));
    tried.granted(&first(job));
}

pub(in super::super) fn scheduler_25_a_run_on_request_moves_nothing<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let before = tried.job(job);
    let lease = tried.granted(&requested(job, START - 9));
    assert_eq!(tried.job(job), JobRecord { runs: 1, ..before });
    let run = OpenRun {
        job,
        lease,
        due_ms: START - 9,
        kind: RunKind::Requested,
        started_ms: START,
        attempts: 1,
        until_ms: START + 1_000,
    };
    assert_eq!(tried.open(), [run]);
    tried.granted(&first(job));
}

pub(in super::super) fn a_due_time_that_another_run_has_is_a_millisecond_more<B: Bed>() {
    let tried = Tried::<B>::new();
    let (job, other) = (tried.hourly("a"), tried.hourly("b"));
    let ended = tried.granted(&requested(job, START));
    tried.finish(&ended);
    // By schedule too: that somebody has asked for a run in that very moment takes nothing from the schedule.
    for wanted in [requested(job, START), first(job), requested(job, START), requested(job, START + 5)] {
        tried.granted(&wanted);
    }
    tried.granted(&first(other));
    assert_eq!(tried.history(job)[0].due_ms, START);
    let dues: Vec<_> = tried.open().iter().map(|run| (run.job, run.due_ms - START)).collect();
    assert_eq!(dues, [(job, 1), (job, 2), (job, 3), (job, 5), (other, 0)]);
    assert_eq!(tried.job(job).last_ms, Some(START), "the schedule knows its own times");
}

/// How many runs are due.
const RUNS: i64 = 1_000;
const THREADS: u64 = 8;

pub(in super::super) fn scheduler_28_of_eight_engines_one_gets_each_run<B: Bed>() {
    let tried = Tried::<B>::new();
    let jobs: Vec<_> = (0..10).map(|at| tried.hourly(&at.to_string())).collect();
    let granted = Mutex::new(BTreeMap::new());
    let begin = Barrier::new(THREADS as usize);
    let engine = |store: &dyn JobStore| {
        begin.wait();
        // All want the same runs, in the same order.
        for number in 0..RUNS {
            let (job, beat) = (jobs[(number % 10) as usize], number / 10);
            let due_ms = START + beat * HOUR;
            let wanted = by_schedule(job, due_ms, Some(due_ms + HOUR));
            match store.claim(&wanted, START, START + 1_000).expect("it answers") {
                Claim::Granted(lease) => {
                    assert_eq!(granted.lock().expect("no panic").insert((job, due_ms), lease), None);
                    assert!(store.finish(&lease, &ok(START), &[], false).expect("it answers"));
                }
                Claim::Taken { next_ms } => assert!(next_ms > Some(due_ms), "{next_ms:?}"),
                other => panic!("{other:?}"),
            }
        }
    };
    thread::scope(|threads| {
        for _ in 0..THREADS {
            let (store, engine) = (tried.bed.store(), &engine);
            threads.spawn(move || engine(&*store));
        }
    });
    let granted = granted.into_inner().expect("no panic");
    assert_eq!(granted.len() as i64, RUNS);
    let mut runs: Vec<_> = granted.values().map(|lease| lease.run).collect();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len() as i64, RUNS, "each has a number of its own");
    assert_eq!(tried.open(), []);
    assert!(jobs.iter().all(|job| tried.job(*job).runs == 100 && tried.history(*job).len() == HISTORY));
}
