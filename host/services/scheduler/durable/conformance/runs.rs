//! Runs that have not ended, and their ends.

use std::{sync::Barrier, thread};

use super::*;

pub(in super::super) fn scheduler_28_a_run_is_taken_over_when_its_lease_has_ended_and_not_before<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let lease = tried.granted(&first(job));
    let take =
        |now_ms: i64, until_ms: i64| tried.store.take_over(lease.run, now_ms, until_ms).expect("it answers");
    let before = tried.open();
    assert_eq!(take(START + 999, START + 9_999), None);
    assert_eq!(tried.open(), before);
    let taken = |fence, attempts, until_ms| {
        let lease = Lease { fence, ..lease };
        Some(OpenRun { lease, attempts, until_ms, ..before[0].clone() })
    };
    assert_eq!(take(START + 1_000, START + 2_000), taken(2, 2, START + 2_000));
    assert_eq!(take(START + 1_999, START + 3_000), None, "somebody else was faster");
    assert_eq!(take(START + 5_000, START + 9_000), taken(3, 3, START + 9_000));
    // Nobody else uses the store: whoever had it is no more.
    assert_eq!(take(i64::MAX, START), taken(4, 4, START));
    assert_eq!(tried.open(), [taken(4, 4, START).expect("some")]);
    assert_eq!(tried.store.take_over(lease.run + 1, i64::MAX, START).expect("it answers"), None);
    assert_eq!(tried.job(job).runs, 1, "it is the same run");
    tried.finish(&Lease { fence: 4, ..lease });
    assert_eq!(take(i64::MAX, START), None, "it has ended");
}

pub(in super::super) fn scheduler_28_whoever_comes_with_an_older_fence_does_nothing<B: Bed>() {
    let tried = Tried::<B>::new();
    let (job, follower) =
        (tried.hourly("a"), tried.put(&own("b"), &spec(Timing::After("a".into())), None).job);
    let old = tried.granted(&by_schedule(job, START, None));
    let new = tried.store.take_over(old.run, i64::MAX, START + 1).expect("it answers").expect("it is open");
    let before = (tried.jobs(), tried.open());
    let stale =
        [old, Lease { fence: 3, ..old }, Lease { fence: 0, ..old }, Lease { run: old.run + 1, ..old }];
    for lease in stale {
        assert!(!tried.store.begin_again(&lease, i64::MAX).expect("it answers"), "{lease:?}");
        assert!(!tried.store.postpone(&lease, i64::MAX).expect("it answers"), "{lease:?}");
        let finished = tried.store.finish(&lease, &ok(START), &[follower], true);
        assert!(!finished.expect("it answers"), "{lease:?}");
    }
    assert_eq!((tried.jobs(), tried.open(), tried.history(job)), (before.0, before.1, vec![]));
    tried.finish(&new.lease);
    let before = (tried.jobs(), tried.history(job));
    assert!(!tried.store.begin_again(&new.lease, START).expect("it answers"));
    assert!(!tried.store.postpone(&new.lease, START).expect("it answers"));
    assert!(!tried.store.finish(&new.lease, &failed(START), &[follower], true).expect("it answers"));
    assert_eq!((tried.jobs(), tried.history(job), tried.open()), (before.0, before.1, vec![]));
}

pub(in super::super) fn scheduler_28_of_eight_engines_one_takes_a_run_over<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let runs: Vec<_> = (0..50).map(|_| tried.requested(job).run).collect();
    let begin = Barrier::new(8);
    let engine = |store: &dyn JobStore| {
        begin.wait();
        let taken = runs.iter().filter(|run| {
            store.take_over(**run, START + 1_000, START + 2_000).expect("it answers").is_some()
        });
        taken.count()
    };
    let taken: usize = thread::scope(|threads| {
        let engines: Vec<_> = (0..8)
            .map(|_| {
                let (store, engine) = (tried.bed.store(), &engine);
                threads.spawn(move || engine(&*store))
            })
            .collect();
        engines.into_iter().map(|engine| engine.join().expect("no panic")).sum()
    });
    assert_eq!(taken, 50);
    assert!(tried.open().iter().all(|run| run.lease.fence == 2 && run.attempts == 2));
}

pub(in super::super) fn open_runs_come_in_the_order_in_which_their_leases_end<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let claim = |until_ms| {
        let claim = tried.store.claim(&requested(job, START), START, until_ms).expect("it answers");
        let Claim::Granted(lease) = claim else { panic!("{claim:?}") };
        lease.run
    };
    let [third, first, last, second] = [START + 5, START - 5, i64::MAX, START].map(claim);
    let also_second = claim(START);
    let order = [first, second, also_second, third, last];
    for most in [0, 1, 3, 5, 9] {
        let open = tried.store.open_runs(most).expect("it answers");
        let open: Vec<_> = open.iter().map(|run| run.lease.run).collect();
        assert_eq!(open, order[..most.min(5)]);
    }
}

pub(in super::super) fn scheduler_27_an_open_run_is_there_after_a_restart<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let due_ms = START + 1;
    let wanted = Wanted { job, due_ms, kind: RunKind::Missed, next_ms: None, passed_over: 0 };
    let Claim::Granted(lease) = tried.store.claim(&wanted, START + 2, START + 3).expect("it answers") else {
        panic!("it is due")
    };
    let (started_ms, until_ms) = (START + 2, START + 3);
    let run = OpenRun { job, lease, due_ms, kind: RunKind::Missed, started_ms, attempts: 1, until_ms };
    assert_eq!(tried.open(), std::slice::from_ref(&run));
    let tried = tried.restart();
    assert_eq!(tried.open(), [run]);
    tried.finish(&lease);
    assert_eq!(tried.restart().open(), []);
}

pub(in super::super) fn scheduler_23_an_attempt_that_begins_counts_and_one_that_is_put_off_does_not<
    B: Bed,
>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let lease = tried.granted(&first(job));
    let store = &tried.store;
    let stands = || {
        let run = &tried.open()[0];
        (run.lease, run.attempts, run.until_ms)
    };
    assert!(store.postpone(&lease, START + 60_000).expect("it answers"));
    assert_eq!(stands(), (lease, 1, START + 60_000));
    assert_eq!(store.take_over(lease.run, START + 59_999, START).expect("it answers"), None);
    assert!(store.begin_again(&lease, START + 70_000).expect("it answers"));
    assert_eq!(stands(), (lease, 2, START + 70_000));
    // The lease has ended, but nobody has come for it.
    assert!(store.begin_again(&lease, START - 1).expect("it answers"));
    assert!(store.postpone(&lease, START - 2).expect("it answers"));
    assert_eq!(stands(), (lease, 3, START - 2));
    tried.finish(&lease);
    assert_eq!(tried.history(job)[0].attempts, 3);
    assert_eq!(tried.job(job).runs, 1);
}

pub(in super::super) fn scheduler_24_a_run_that_has_ended_well_makes_others_due<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let after = |name: &str, next_ms| tried.put(&own(name), &spec(Timing::After("a".into())), next_ms).job;
    let (idle, due, paused, left_out) =
        (after("b", None), after("c", Some(7)), after("d", None), after("e", None));
    assert!(tried.store.set_paused(paused, true, None).expect("it answers"));
    let follow = [idle, due, paused, u64::MAX >> 1];
    let nexts = || [idle, due, paused, left_out].map(|job| tried.job(job).next_ms);
    let lease = tried.requested(job);
    assert!(tried.store.finish(&lease, &failed(START + 1), &follow, false).expect("it answers"));
    assert_eq!(nexts(), [None, Some(7), None, None]);
    let lease = tried.requested(job);
    assert!(tried.store.finish(&lease, &ok(START + 2), &follow, false).expect("it answers"));
    assert_eq!(nexts(), [Some(START + 2), Some(7), None, None]);
    let lease = tried.requested(job);
    assert!(tried.store.finish(&lease, &ok(START + 3), &follow, false).expect("it answers"));
    assert_eq!(nexts(), [Some(START + 2), Some(7), None, None], "one run for both");
    tried.granted(&by_schedule(idle, START + 2, None));
    let last = tried.requested(job);
    assert!(tried.store.finish(&last, &ok(START + 4), &follow, true).expect("it answers"));
    assert_eq!(nexts()[0], Some(START + 4), "it has begun, so that it is due once more");
}

pub(in super::super) fn scheduler_10_a_job_that_runs_once_is_gone_with_its_run<B: Bed>() {
    for end in [ok(START), failed(START)] {
        let tried = Tried::<B>::new();
        let (job, other) = (tried.put(&own("a"), &spec(Timing::Once(5)), Some(START)).job, tried.hourly("b"));
        let lease = tried.granted(&by_schedule(job, START, None));
        assert_eq!(tried.job(job).next_ms, None, "it stays until the run has ended");
        assert!(tried.store.finish(&lease, &end, &[], true).expect("it answers"));
        assert!(!tried.store.finish(&lease, &end, &[], true).expect("it answers"));
        let left: Vec<_> = tried.jobs().iter().map(|record| record.job).collect();
        assert_eq!((left, tried.open(), tried.history(job)), (vec![other], vec![], vec![]));
        assert_eq!(tried.claim(&requested(job, START)), Claim::Gone);
    }
}

pub(in super::super) fn scheduler_10_a_job_that_was_scheduled_anew_meanwhile_stays<B: Bed>() {
    let tried = Tried::<B>::new();
    let once = |span| spec(Timing::Once(span));
    let job = tried.put(&own("a"), &once(5), Some(START)).job;
    // On request, before it is due.
    let early = tried.requested(job);
    assert!(tried.store.finish(&early, &ok(START), &[], true).expect("it answers"));
    assert_eq!(tried.job(job).next_ms, Some(START));
    // Its own run schedules the next one.
    let lease = tried.granted(&by_schedule(job, START, None));
    tried.put(&own("a"), &once(6), Some(START + 6));
    assert!(tried.store.finish(&lease, &ok(START), &[], true).expect("it answers"));
    let record = tried.job(job);
    assert_eq!((record.next_ms, record.runs, tried.history(job).len()), (Some(START + 6), 2, 2));
    let lease = tried.granted(&by_schedule(job, START + 6, None));
    assert!(tried.store.finish(&lease, &ok(START), &[], true).expect("it answers"));
    assert_eq!(tried.jobs(), []);
}
