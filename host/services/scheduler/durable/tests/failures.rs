//! A store that fails, clocks that jump, and jobs that other hosts remove.

use super::*;

#[test]
fn a_run_whose_claim_fails_takes_place_later_and_nothing_is_lost() {
    let stage = stage();
    let life = stage.life();
    life.cron("tick", "*/5 * * * *", Keeping::USUAL);
    stage.store.set_full(true);
    stage.advance(5 * MINUTE);
    assert_eq!(life.due(), [0; 0]);
    let known = life.scheduler.known(&Of::default());
    assert_eq!(known[0].last_error.as_ref().map(Error::kind), Some(ErrorKind::Unavailable));
    assert_eq!(life.scheduler.list(&Of::default()).expect_err("the disk").kind(), ErrorKind::Unavailable);
    stage.advance(MINUTE);
    stage.store.set_full(false);
    stage.advance(MINUTE);
    assert_eq!(life.due(), [5 * MINUTE]);
    stage.advance(3 * MINUTE);
    assert_eq!(life.due(), [10 * MINUTE]);
    assert_eq!(life.info("tick").skipped, 0);
}

#[test]
fn an_end_that_could_not_be_noted_is_noted_when_the_store_is_well_again() {
    let stage = stage();
    let life = stage.life();
    life.hold();
    life.once("bell", 1_000, Keeping::USUAL);
    stage.advance(1_000);
    assert_eq!(life.due(), [1_000]);
    stage.store.set_full(true);
    life.end_held();
    assert_eq!(stage.store.open(), 1);
    stage.store.set_full(false);
    stage.advance(2 * MINUTE);
    assert_eq!((stage.store.open(), stage.store.names().len()), (0, 0));
    assert_eq!(life.due(), [0; 0], "and not taken over by itself");
}

#[test]
fn scheduler_24_a_job_follows_an_end_that_was_noted_late_or_while_the_host_stops() {
    let stage = stage();
    let life = stage.life();
    life.hold();
    life.cron("first", "*/5 * * * *", Keeping::USUAL);
    let second = request("second", Keeping::USUAL);
    life.scheduler.after(second, "first", life.worker.clone()).expect("it is there");
    stage.advance(5 * MINUTE);
    stage.store.set_full(true);
    life.end_held();
    stage.advance(10_000);
    assert_eq!(life.worker.begun.lock().len(), 1);
    stage.store.set_full(false);
    stage.advance(MINUTE);
    assert_eq!(life.worker.begun.lock()[1].0, "second");
    life.end_held();
    life.begun();
    stage.advance(4 * MINUTE);
    assert_eq!(life.worker.begun.lock()[0].0, "first");
    // The host stops, and waits for the run that is under way.
    life.scheduler.shutdown();
    life.end_held();
    drop(life);
    let life = stage.life();
    life.handle("*");
    stage.settle();
    assert_eq!(life.worker.begun.lock()[0].0, "second");
}

#[test]
fn what_fails_on_the_way_into_the_store_leaves_all_as_it_was() {
    let stage = stage();
    let life = stage.life();
    let job = life.cron("tick", "* * * * *", Keeping::USUAL);
    stage.store.set_full(true);
    let unavailable =
        |result: Result<()>| assert_eq!(result.expect_err("the disk").kind(), ErrorKind::Unavailable);
    let again = life.scheduler.cron(request("tick", Keeping::USUAL), "0 * * * *", None, life.worker.clone());
    unavailable(again.map(drop));
    let plain = JobRequest { durable: false, ..request("tick", Keeping::USUAL) };
    unavailable(life.scheduler.interval(plain, 100, life.worker.clone()).map(drop));
    unavailable(life.scheduler.remove(&job));
    unavailable(life.scheduler.forget(&named("tick")));
    unavailable(life.scheduler.pause(&named("tick")));
    stage.store.set_full(false);
    assert!(!job.is_over());
    stage.advance(MINUTE);
    assert_eq!(life.due(), [MINUTE]);
}

#[test]
fn scheduler_14_jumps_of_the_clock_make_no_durable_run_early_and_none_twice() {
    for jump in [1_000, -1_000, 2 * HOUR, -2 * HOUR, 24 * HOUR, -24 * HOUR] {
        let stage = stage();
        let life = stage.life();
        life.cron("hourly", "0 * * * *", Keeping::USUAL);
        life.scheduler
            .interval(request("beat", Keeping::USUAL), 10 * MINUTE, life.worker.clone())
            .expect("good");
        let (mut seen, mut beats) = (HashSet::new(), 0);
        for minute in 0..4 * 60 {
            if minute == 90 {
                let now = stage.clock.now_ms();
                stage.clock.set_wall(now + jump);
            }
            stage.advance(MINUTE);
            for (name, run) in std::mem::take(&mut *life.worker.begun.lock()) {
                assert!(run.due_ms <= stage.clock.now_ms(), "{jump}: {name} was early");
                if name == "beat" {
                    beats += 1;
                } else {
                    assert!(seen.insert(run.due_ms), "{jump}: {name} ran twice");
                }
            }
        }
        assert!((22..=25).contains(&beats), "{jump}: {beats} beats of 24");
        let next = life.info("hourly").next_ms.expect("it goes on");
        assert!(next - stage.clock.now_ms() <= HOUR.max(-jump), "{jump}");
    }
}

#[test]
fn a_job_that_another_host_removes_or_pauses_ends_or_rests_here_when_it_is_due() {
    let stage = stage_of(false);
    let (one, other) = (stage.life(), stage.life());
    let job = one.cron("tick", "* * * * *", Keeping::USUAL);
    one.cron("tock", "* * * * *", Keeping::USUAL);
    let list = other.scheduler.list(&Of::default()).expect("it answers");
    assert_eq!(list.len(), 2, "it looks into the store");
    other.scheduler.forget(&named("tick")).expect("it is there");
    other.scheduler.pause(&named("tock")).expect("it is there");
    stage.advance(MINUTE);
    assert_eq!(one.due(), [0; 0]);
    assert!(job.is_over());
    assert!(one.info("tock").paused);
    other.scheduler.resume(&named("tock")).expect("it is there");
    one.scheduler.resume(&named("tock")).expect("it is there");
    stage.advance(MINUTE);
    assert_eq!(one.due(), [2 * MINUTE]);
}

#[test]
fn a_plugin_has_at_most_10_000_durable_jobs() {
    let stage = stage();
    let life = stage.life();
    let still = |n: usize| JobRequest { live: false, ..request(&format!("{n}"), Keeping::USUAL) };
    stage.store.fill("witness", 10_000);
    let error = life.scheduler.once(still(0), HOUR, life.worker.clone()).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Quota);
}
