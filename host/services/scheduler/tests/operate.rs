//! Listing, pausing, resuming, running now.

use super::{super::store::RunKind, *};

#[test]
fn scheduler_25_a_paused_job_does_not_run_and_makes_up_for_nothing() {
    let stage = stage();
    stage.cron("tick", "* * * * *");
    stage.interval(request("beat"), 40_000);
    for name in ["tick", "beat", "tick"] {
        stage.scheduler.pause(&named(name)).expect("it is there");
    }
    stage.advance(10 * MINUTE + 30_000);
    assert_eq!(stage.due(), [0; 0]);
    let info = stage.info("tick");
    assert_eq!((info.paused, info.next_ms), (true, None));
    for name in ["tick", "beat", "tick"] {
        stage.scheduler.resume(&named(name)).expect("it is there");
    }
    assert_eq!(stage.info("tick").next_ms, Some(TEN + 11 * MINUTE));
    stage.advance(30_000);
    assert_eq!(stage.due(), [11 * MINUTE]);
    stage.advance(10_000);
    assert_eq!(stage.due(), [11 * MINUTE + 10_000], "an interval begins anew");
    assert_eq!(stage.scheduler.pause(&named("other")).expect_err("nobody").kind(), ErrorKind::NotFound);
    assert_eq!(stage.scheduler.resume(&named("")).expect_err("empty").kind(), ErrorKind::InvalidArgument);
}

#[test]
fn scheduler_25_the_only_run_of_a_paused_job_waits_for_resume() {
    let stage = stage();
    for name in ["early", "late"] {
        stage.once(request(name), 1_000);
        stage.scheduler.pause(&named(name)).expect("it is there");
    }
    stage.advance(400);
    stage.scheduler.resume(&named("early")).expect("it is there");
    stage.advance(600);
    assert_eq!(stage.due(), [1_000], "its due time has not moved");
    stage.advance(5_000);
    stage.scheduler.resume(&named("late")).expect("it is there");
    stage.clock.settle();
    assert_eq!(stage.due(), [6_000]);
    assert_eq!(stage.over(), ["early", "late"]);
}

#[test]
fn scheduler_25_a_run_under_way_is_finished_with_its_attempts_when_the_job_is_paused() {
    let stage = stage();
    let keeping = Keeping { retries: 1, backoff_ms: 100, ..Keeping::USUAL };
    stage.interval(JobRequest { keeping, ..request("try") }, 1_000);
    stage.fail(1);
    stage.advance(1_000);
    stage.scheduler.pause(&named("try")).expect("it is there");
    stage.advance(100);
    assert_eq!(stage.begun().len(), 2);
    stage.advance(10_000);
    assert_eq!(stage.begun().len(), 0);
}

#[test]
fn scheduler_25_run_now_makes_a_run_beside_the_schedule() {
    let stage = stage();
    stage.cron("tick", "* * * * *");
    stage.scheduler.run_now(&named("tick")).expect("it is there");
    stage.clock.settle();
    assert_eq!(stage.due(), [0]);
    assert_eq!(stage.begun()[0].kind, RunKind::Requested);
    stage.scheduler.pause(&named("tick")).expect("it is there");
    stage.scheduler.run_now(&named("tick")).expect("also of one that is paused");
    stage.clock.settle();
    assert_eq!(stage.due(), [0]);
    stage.scheduler.resume(&named("tick")).expect("it is there");
    stage.advance(MINUTE);
    assert_eq!(stage.due(), [MINUTE], "and the schedule is what it was");
}

#[test]
fn scheduler_25_run_now_is_busy_where_the_overlap_policy_has_no_room() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    for (name, overlap, room) in
        [("skip", Overlap::Skip, 1), ("queue", Overlap::Queue, 2), ("allow", Overlap::Allow, 100)]
    {
        let keeping = Keeping { overlap, ..Keeping::USUAL };
        stage.interval(JobRequest { keeping, ..request(name) }, HOUR);
        for _ in 0..room {
            stage.scheduler.run_now(&named(name)).expect(name);
            stage.clock.settle();
        }
        assert_eq!(stage.scheduler.run_now(&named(name)).expect_err(name).kind(), ErrorKind::Busy);
    }
    let still = JobRequest { live: false, ..request("still") };
    stage.interval(still, HOUR);
    assert_eq!(
        stage.scheduler.run_now(&named("still")).expect_err("not live").kind(),
        ErrorKind::Unavailable
    );
}

#[test]
fn a_run_that_was_asked_for_does_not_take_the_place_of_the_only_one() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    stage.once(request("bell"), 500);
    stage.scheduler.run_now(&named("bell")).expect("it is there");
    stage.advance(500);
    assert_eq!(stage.due(), [0], "the other one waits");
    stage.end_held();
    assert_eq!(stage.due(), [500]);
    assert!(stage.over().is_empty());
    stage.end_held();
    assert_eq!(stage.over(), ["bell"]);
}

#[test]
fn scheduler_25_jobs_are_listed_in_order_with_next_and_last_run() {
    let stage = stage();
    for (plugin, tenant, name) in
        [("b", None, "x"), ("a", Some("t"), "x"), ("a", None, "y"), ("a", None, "x")]
    {
        let (plugin, tenant) = (plugin.into(), tenant.map(Arc::from));
        stage.interval(JobRequest { plugin, tenant, ..request(name) }, 1_000);
    }
    stage.advance(1_000);
    let list = stage.list();
    let names: Vec<_> = list.iter().map(|job| (&*job.plugin, job.tenant.as_deref(), &*job.name)).collect();
    assert_eq!(names, [("a", None, "x"), ("a", None, "y"), ("a", Some("t"), "x"), ("b", None, "x")]);
    assert!(list.iter().all(|job| job.last_ms == Some(TEN + 1_000) && job.next_ms == Some(TEN + 2_000)));
    let of = |of: Of<'_>| stage.scheduler.list(&of).expect("nothing is durable").len();
    assert_eq!(of(Of { plugin: Some("a"), ..Of::default() }), 3);
    assert_eq!(of(Of { tenant: Some(""), ..Of::default() }), 3);
    assert_eq!(of(Of { name: Some("y"), tenant: Some("t"), ..Of::default() }), 0);
}

#[test]
fn a_durable_job_needs_a_store() {
    let stage = stage();
    let durable = JobRequest { durable: true, ..request("kept") };
    let error = stage.scheduler.interval(durable, 100, stage.notes.clone()).expect_err("there is no store");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().ends_with("give the host a data folder"), "{error}");
}

#[test]
fn numbers_of_the_options_are_checked() {
    let stage = stage();
    let day = 86_400_000;
    for (keeping, good) in [
        (Keeping { jitter_ms: -1, ..Keeping::USUAL }, false),
        (Keeping { jitter_ms: day, ..Keeping::USUAL }, true),
        (Keeping { jitter_ms: day + 1, ..Keeping::USUAL }, false),
        (Keeping { timeout_ms: day + 1, ..Keeping::USUAL }, false),
        (Keeping { timeout_ms: -1, ..Keeping::USUAL }, false),
        (Keeping { backoff_ms: 3_600_000, ..Keeping::USUAL }, true),
        (Keeping { backoff_ms: 3_600_001, ..Keeping::USUAL }, false),
        (Keeping { start_deadline_ms: LONGEST_MS, ..Keeping::USUAL }, true),
        (Keeping { start_deadline_ms: LONGEST_MS + 1, ..Keeping::USUAL }, false),
        (Keeping { retries: 100, ..Keeping::USUAL }, true),
        (Keeping { retries: 101, ..Keeping::USUAL }, false),
    ] {
        let request = JobRequest { keeping: keeping.clone(), ..request("job") };
        let kind =
            stage.scheduler.interval(request, 100, stage.notes.clone()).map_err(|error| error.kind()).err();
        assert_eq!(kind, (!good).then_some(ErrorKind::OutOfRange), "{keeping:?}");
    }
    let data: Arc<[u8]> = vec![0; 65_537].into();
    let request = JobRequest { data, ..request("job") };
    let error = stage.scheduler.interval(request, 100, stage.notes.clone()).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}
