//! What is remembered of runs that have ended.

use super::*;

pub(in super::super) fn scheduler_26_the_last_fifty_runs_are_remembered_the_newest_first<B: Bed>() {
    let tried = Tried::<B>::new();
    let (job, other) = (tried.hourly("a"), tried.hourly("b"));
    let lease = tried.granted(&first(other));
    tried.finish(&lease);
    let many = HISTORY + 10;
    let mut runs = Vec::new();
    for _ in 0..many {
        let lease = tried.requested(job);
        tried.finish(&lease);
        runs.insert(0, lease.run);
    }
    runs.truncate(HISTORY);
    let open = tried.requested(job);
    let tried = tried.restart();
    let told: Vec<_> = tried.history(job).iter().map(|run| run.run).collect();
    assert_eq!(told, runs);
    assert_eq!((tried.history(other).len(), tried.history(other + 1).len()), (1, 0));
    assert_eq!(tried.open()[0].lease, open, "one that has not ended is no part of it");
    let record = tried.job(job);
    assert_eq!((record.runs, record.failed), (many as u64 + 1, 0), "counts go on");
}

pub(in super::super) fn scheduler_26_a_history_tells_all_of_a_run<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let wanted = Wanted { kind: RunKind::Missed, ..first(job) };
    let Claim::Granted(lease) = tried.store.claim(&wanted, START + 7, START + 8).expect("it answers") else {
        panic!("it is due")
    };
    let taken = tried.store.take_over(lease.run, START + 8, START + 9).expect("it answers").expect("lapsed");
    assert!(tried.store.begin_again(&taken.lease, START + 10).expect("it answers"));
    let long = (0..=255).cycle().take(RESULT_BYTES + 1).collect::<Vec<u8>>();
    let end = RunEnd { ended_ms: START + 11, error: Some(ErrorKind::Panic), result: long.clone() };
    assert!(tried.store.finish(&taken.lease, &end, &[], false).expect("it answers"));
    let short = tried.requested(job);
    let plain = RunEnd { ended_ms: START + 12, error: None, result: Vec::new() };
    assert!(tried.store.finish(&short, &plain, &[], false).expect("it answers"));
    let first = EndedRun {
        run: lease.run,
        due_ms: START,
        kind: RunKind::Missed,
        again: true,
        started_ms: START + 7,
        attempts: 3,
        end: RunEnd { result: long[..RESULT_BYTES].into(), ..end },
    };
    let second = EndedRun {
        run: short.run,
        // It is that of the first, and a millisecond.
        due_ms: START + 1,
        kind: RunKind::Requested,
        again: false,
        started_ms: START,
        attempts: 1,
        end: plain,
    };
    let expected = [second, first];
    assert_eq!(tried.history(job), expected);
    let tried = tried.restart();
    assert_eq!(tried.history(job), expected);
    assert_eq!(tried.job(job).failed, 1);
    // Every way to fail.
    let kinds = [ErrorKind::NotFound, ErrorKind::Internal, ErrorKind::Cancelled, ErrorKind::StaleHandle];
    for (failed, error) in (2..).zip(kinds) {
        let lease = tried.requested(job);
        let end = RunEnd { ended_ms: START, error: Some(error), result: Vec::new() };
        assert!(tried.store.finish(&lease, &end, &[], false).expect("it answers"));
        assert_eq!(tried.history(job)[0].end, end);
        assert_eq!(tried.job(job).failed, failed);
    }
}

pub(in super::super) fn scheduler_26_the_newest_run_is_the_one_that_ended_last<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let leases: Vec<_> = (0..3).map(|_| tried.requested(job)).collect();
    // The clock was set back meanwhile.
    for (at, ended_ms) in [(2, START + 9), (0, START + 5), (1, START)] {
        assert!(tried.store.finish(&leases[at], &ok(ended_ms), &[], false).expect("it answers"));
    }
    let told: Vec<_> = tried.history(job).iter().map(|run| run.run).collect();
    assert_eq!(told, [1, 0, 2].map(|at: usize| leases[at].run));
}
