//! Overlap, missed runs, jitter, time-outs, retries, and jobs that follow others.

use super::{
    super::store::{Missed, RunKind},
    *,
};

#[test]
fn scheduler_20_with_the_policy_allow_runs_stand_side_by_side_at_most_100() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let keeping = Keeping { overlap: Overlap::Allow, ..Keeping::USUAL };
    stage.interval(JobRequest { keeping, ..request("wide") }, 100);
    for _ in 0..103 {
        stage.advance(100);
    }
    assert_eq!(stage.due().len(), 100);
    let info = stage.info("wide");
    assert_eq!((info.runs, info.skipped, info.running), (100, 3, true));
    let ids: std::collections::BTreeSet<u64> = stage.begun().iter().map(|begun| begun.id).collect();
    assert_eq!(ids.len(), 100, "each is a run of its own");
    stage.end_held();
    stage.advance(100);
    assert_eq!(stage.due(), [10_400]);
}

#[test]
fn scheduler_21_of_missed_runs_none_one_or_the_last_100_take_place() {
    for (missed, expected, skipped) in [
        (Missed::Skip, vec![], 360),
        (Missed::Once, vec![360], 359),
        (Missed::All, (261..=360).collect(), 260),
    ] {
        let stage = stage();
        stage.keep("tick", "*/5 * * * *", Keeping { missed, ..Keeping::USUAL });
        stage.clock.settle();
        // The machine slept for thirty hours, and the timer looks within a minute of it.
        stage.clock.set_wall(TEN + 30 * HOUR + MINUTE);
        stage.advance(MINUTE);
        for _ in 0..100 {
            stage.clock.settle();
        }
        let expected: Vec<i64> = expected.into_iter().map(|run: i64| run * 5 * MINUTE).collect();
        assert_eq!(stage.due(), expected, "{missed:?}");
        assert!(stage.begun().iter().all(|begun| begun.kind == RunKind::Missed), "{missed:?}");
        assert_eq!(stage.info("tick").skipped, skipped, "{missed:?}");
        stage.advance(3 * MINUTE);
        assert_eq!(stage.due(), [30 * HOUR + 5 * MINUTE], "{missed:?}: it goes on");
        assert_eq!(stage.begun()[0].kind, RunKind::Scheduled);
    }
}

#[test]
fn scheduler_21_a_run_that_is_a_little_late_was_not_missed() {
    let stage = stage();
    stage.keep("tick", "* * * * *", Keeping { missed: Missed::Skip, ..Keeping::USUAL });
    stage.clock.settle();
    stage.advance(MINUTE + 40_000);
    assert_eq!(stage.due(), [MINUTE]);
    assert_eq!(stage.begun()[0].kind, RunKind::Scheduled);
}

#[test]
fn scheduler_21_a_run_that_begins_after_its_start_deadline_is_given_up() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let keeping = Keeping { start_deadline_ms: 150, ..QUEUE };
    stage.interval(JobRequest { keeping, ..request("slow") }, 100);
    stage.advance(100);
    stage.advance(100);
    assert_eq!(stage.due(), [100], "the second waits");
    stage.advance(151);
    stage.end_held();
    stage.clock.settle();
    assert_eq!(stage.begun().len(), 1, "the one of 200 is too late");
    assert_eq!(stage.info("slow").skipped, 2, "it, and the beat of 300");
    stage.advance(49);
    assert_eq!(stage.begun().len(), 1);
}

#[test]
fn scheduler_22_jitter_puts_off_each_run_of_a_job_by_the_same() {
    let keeping = || Keeping { jitter_ms: 30_000, ..Keeping::USUAL };
    let mut offsets = std::collections::BTreeSet::new();
    for name in ["a", "b", "c", "d"] {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let stage = stage();
            stage.keep(name, "* * * * *", keeping());
            for _ in 0..4 * 60 {
                stage.advance(1_000);
            }
            let due = stage.due();
            let offset = due[0] - MINUTE;
            assert!((0..=30_000).contains(&offset), "{name}: {offset}");
            assert_eq!(due[..3], [MINUTE + offset, 2 * MINUTE + offset, 3 * MINUTE + offset], "{name}");
            seen.push(offset);
        }
        assert_eq!(seen[0], seen[1], "{name}: the same in another life");
        offsets.insert(seen[0]);
    }
    assert!(offsets.len() > 1, "{offsets:?}");
    // Of the name alone, in any process: who changes this moves the jobs of every host.
    assert_eq!(named("a").part_of(30_000), named("a").part_of(30_000));
    let tenant = Named { tenant: Some("x"), ..named("a") };
    assert_ne!(tenant.part_of(i64::MAX - 1), named("a").part_of(i64::MAX - 1));
}

#[test]
fn scheduler_23_a_run_that_takes_longer_than_its_timeout_has_failed() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let keeping = Keeping { timeout_ms: 500, ..Keeping::USUAL };
    stage.interval(JobRequest { keeping, ..request("slow") }, 1_000);
    stage.advance(1_000);
    assert_eq!(stage.notes.held.lock()[0].timeout(), Some(Duration::from_millis(500)));
    stage.advance(500);
    stage.end_held();
    assert_eq!(stage.info("slow").failed, 0, "it has just come in time");
    stage.advance(500);
    stage.advance(501);
    stage.end_held();
    let info = stage.info("slow");
    assert_eq!(info.failed, 1);
    assert_eq!(info.last_error.expect("there is one").kind(), ErrorKind::Timeout);
}

#[test]
fn scheduler_23_a_run_that_fails_is_tried_again_with_back_off() {
    let stage = stage();
    let keeping = Keeping { retries: 3, backoff_ms: 100, ..Keeping::USUAL };
    stage.once(JobRequest { keeping, ..request("try") }, 0);
    stage.fail(4);
    stage.clock.settle();
    for wait in [100, 200, 400] {
        let (attempts, info) = (stage.begun().len(), stage.info("try"));
        assert_eq!((attempts, info.failed, info.running), (1, 0, true), "before {wait}");
        stage.advance(wait - 1);
        assert_eq!(stage.begun().len(), 0);
        stage.advance(1);
    }
    let last = stage.begun();
    assert_eq!((last[0].attempt, last[0].due_ms), (4, TEN));
    assert_eq!(stage.over(), ["try"], "its run has ended now, and so has the job");
}

#[test]
fn scheduler_23_a_run_keeps_its_number_and_has_not_ended_between_its_attempts() {
    let stage = stage();
    let keeping = Keeping { retries: 1, backoff_ms: 250, ..Keeping::USUAL };
    stage.interval(JobRequest { keeping, ..request("try") }, 100);
    stage.fail(1);
    for _ in 0..3 {
        stage.advance(100);
    }
    assert_eq!(stage.info("try").skipped, 2, "it had not ended at 200 and 300");
    stage.advance(100);
    let begun = stage.begun();
    let seen: Vec<_> = begun.iter().map(|begun| (begun.attempt, begun.due_ms - TEN)).collect();
    assert_eq!(seen[..2], [(1, 100), (2, 100)]);
    assert_eq!(begun[0].id, begun[1].id);
    assert_eq!(stage.info("try").failed, 0);
    assert_eq!(stage.scheduler.history(&named("try")).expect("it is there").last().expect("one").attempts, 2);
}

#[test]
fn a_job_that_is_removed_while_it_waits_for_its_next_attempt_is_over_at_once() {
    let stage = stage();
    let keeping = Keeping { retries: 1, backoff_ms: 250, ..Keeping::USUAL };
    let job = stage.interval(JobRequest { keeping, ..request("try") }, 100);
    stage.fail(1);
    stage.advance(100);
    assert!(stage.over().is_empty());
    stage.scheduler.remove(&job).expect("it is there");
    assert_eq!(stage.over(), ["try"]);
    stage.advance(1_000);
    assert_eq!(stage.due(), [100]);
}

#[test]
fn scheduler_24_a_job_runs_after_each_run_of_another_that_ended_ok() {
    let stage = stage();
    stage.interval(request("first"), 100);
    let after = |name: &str, other: &str| stage.scheduler.after(request(name), other, stage.notes.clone());
    after("second", "first").expect("it is there");
    after("third", "second").expect("it is there");
    stage.fail(1);
    stage.advance(100);
    assert_eq!(stage.due(), [100], "it failed");
    stage.advance(100);
    stage.clock.settle();
    let names = |stage: &Stage| -> Vec<String> {
        stage.clock.settle();
        std::mem::take(&mut *stage.notes.runs.lock()).into_iter().map(|run| run.0).collect()
    };
    assert_eq!(names(&stage), ["first", "second", "third"]);
    assert_eq!(stage.info("second").when, "after \"first\"");
    // Where the first is removed the second stays, and follows another of its name.
    stage.scheduler.forget(&named("first")).expect("it is there");
    stage.interval(request("first"), 50);
    stage.advance(50);
    assert_eq!(names(&stage), ["first", "second", "third"]);
}

#[test]
fn scheduler_24_circles_are_refused_with_their_chain() {
    let stage = stage();
    stage.interval(request("a"), 100);
    let after =
        |name: &str, other: &str| stage.scheduler.after(request(name), other, stage.notes.clone()).map(drop);
    after("b", "a").expect("it is there");
    after("c", "b").expect("it is there");
    let error = after("a", "c").expect_err("a circle");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "job \"a\" would follow itself: a -> c -> b -> a");
    assert_eq!(after("a", "a").expect_err("a circle").to_string(), "job \"a\" would follow itself: a -> a");
    assert_eq!(after("d", "x").expect_err("nobody").kind(), ErrorKind::NotFound);
    assert_eq!(stage.info("a").when, "every 100ms", "it was left as it is");
}

#[test]
fn scheduler_26_the_last_50_runs_are_kept_with_start_duration_and_result() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    stage.interval(request("beat"), 100);
    for run in 0..60_usize {
        stage.advance(100);
        stage.advance(7);
        let reply = if run == 59 { vec![b'x'; 2_000] } else { run.to_string().into_bytes() };
        let held = stage.notes.held.lock().pop().expect("one is under way");
        let result = if run == 58 { Err(Error::new(ErrorKind::Busy, "no room")) } else { Ok(reply) };
        held.finished(result);
        stage.advance(93);
        stage.end_held();
    }
    let history = stage.scheduler.history(&named("beat")).expect("it is there");
    assert_eq!(history.len(), 50);
    let [newest, failed] = [&history[1], &history[3]];
    let all: Vec<i64> = history.iter().map(|run| run.due_ms).collect();
    assert!(all.is_sorted_by(|a, b| a > b), "the newest first");
    assert_eq!(newest.end.result.len(), 1_024);
    assert_eq!((newest.started_ms, newest.end.ended_ms - newest.started_ms), (newest.due_ms, 7));
    assert_eq!((failed.end.error, &failed.end.result[..]), (Some(ErrorKind::Busy), &b"no room"[..]));
    assert_eq!(failed.attempts, 1);
    assert_eq!(stage.scheduler.history(&named("other")).expect_err("nobody").kind(), ErrorKind::NotFound);
}

#[test]
fn scheduler_30_a_million_jobs_of_a_rule_share_it() {
    let stage = stage();
    let one = stage.cron("one", "*/7 3 * * *");
    let other = stage.cron("other", "*/7 3 * * *");
    let rule = |job: &Arc<Job>| match &job.plan {
        Plan::Calendar(rule) => Arc::as_ptr(rule),
        plan => panic!("{plan}"),
    };
    assert_eq!(rule(&one), rule(&other));
    assert!(size_of::<Job>() <= 176, "{}", size_of::<Job>());
}

#[test]
fn a_job_runs_once_after_the_host_has_started_whoever_schedules_it_again() {
    let stage = stage();
    let still = JobRequest { live: false, ..request("boot") };
    let (job, _) = stage.scheduler.cron(still, "@reboot", None, stage.notes.clone()).expect("good");
    stage.advance(HOUR);
    assert_eq!(stage.due(), [0; 0]);
    stage.scheduler.set_live(&job, true);
    stage.clock.settle();
    assert_eq!(stage.due(), [HOUR]);
    stage.scheduler.set_live(&job, false);
    stage.scheduler.set_live(&job, true);
    stage.cron("boot", "@reboot");
    stage.advance(HOUR);
    assert_eq!(stage.due(), [0; 0]);
    let info = stage.info("boot");
    assert_eq!((info.next_ms, info.when.as_str()), (None, "@reboot"));
}
