//! Clocks that jump, crowds, jobs that hang or panic, and those that end while they run.

use super::*;

const DAY: i64 = 24 * HOUR;

#[test]
fn scheduler_14_jumps_of_the_clock_make_no_run_early_and_none_twice() {
    for jump in [1_000, -1_000, 2 * HOUR, -2 * HOUR, DAY, -DAY] {
        let stage = stage();
        stage.cron("tick", "* * * * *");
        stage.cron("hourly", "0 * * * *");
        stage.interval(request("beat"), 30_000);
        let mut seen = std::collections::BTreeSet::new();
        let mut beats = 0;
        for minute in 0..3 * 60 {
            if minute == 75 {
                let now = stage.clock.now_ms();
                stage.clock.set_wall(now + jump);
            }
            for _ in 0..2 {
                stage.advance(30_000);
                for (name, due, told) in std::mem::take(&mut *stage.notes.runs.lock()) {
                    assert!(told >= due, "{jump}: {name} was told {told}, before {due}");
                    if name == "beat" {
                        beats += 1;
                    } else {
                        assert!(seen.insert((name.clone(), due)), "{jump}: {name} ran twice for {due}");
                    }
                }
            }
        }
        assert_eq!(beats, 3 * 60 * 2, "{jump}: an interval does not care");
        let info = stage.info("tick");
        assert!(
            info.next_ms.is_some_and(|next| next - stage.clock.now_ms() <= MINUTE.max(-jump)),
            "{jump}: {info:?}"
        );
    }
}

#[test]
fn a_thousand_jobs_due_in_one_millisecond_all_run_in_their_order() {
    let stage = stage();
    for n in 0..1_000 {
        stage.cron(&format!("{n:04}"), "0 11 * * *");
    }
    stage.advance(HOUR);
    for _ in 0..8 {
        stage.clock.settle();
    }
    let runs = std::mem::take(&mut *stage.notes.runs.lock());
    let names: Vec<_> = runs.iter().map(|run| run.0.clone()).collect();
    assert_eq!(names.len(), 1_000);
    assert!(names.is_sorted(), "first come, first served");
    assert!(stage.list().iter().all(|job| job.runs == 1 && job.next_ms == Some(TEN + 25 * HOUR)));
}

#[test]
fn jobs_leave_a_crowd_from_any_place() {
    let stage = stage();
    let jobs: Vec<_> = (0..100).map(|n| stage.cron(&format!("{n}"), "0 11 * * *")).collect();
    for (n, job) in jobs.iter().enumerate() {
        if n % 3 != 0 {
            stage.scheduler.remove(job).expect("it is there");
        }
    }
    stage.advance(HOUR);
    let mut names: Vec<i32> = std::mem::take(&mut *stage.notes.runs.lock())
        .into_iter()
        .map(|run| run.0.parse().expect("a number"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, (0..100).filter(|n| n % 3 == 0).collect::<Vec<_>>());
}

#[test]
fn a_job_that_hangs_delays_no_other() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    stage.interval(request("hangs"), 100);
    stage.advance(100);
    *stage.notes.hold.lock() = false;
    stage.interval(request("runs"), 100);
    stage.advance(100);
    stage.advance(100);
    assert_eq!(stage.info("runs").runs, 2);
    assert_eq!((stage.info("hangs").runs, stage.info("hangs").skipped), (1, 2));
}

#[test]
fn scheduler_13_a_job_that_panics_each_time_goes_on() {
    let stage = stage();
    stage.interval(request("panics"), 100);
    for _ in 0..5 {
        stage.notes.answers.lock().push_back(Answer::Panic);
        stage.advance(100);
    }
    assert_eq!((stage.info("panics").failed, stage.info("panics").running), (5, false));
}

#[test]
fn scheduler_15_a_run_that_stands_in_the_lane_when_its_job_is_removed_does_not_begin() {
    let stage = stage();
    let lane = Arc::new(Weakly::default());
    let (job, _) = stage.scheduler.interval(request("beat"), 100, lane.clone()).expect("good");
    stage.advance(100);
    let run = lane.0.lock().take().expect("it stands there");
    stage.scheduler.remove(&job).expect("it is there");
    assert!(run.begin().is_none());
    assert_eq!(lane.1.load(std::sync::atomic::Ordering::Relaxed), 1, "told that it is over");
}

#[test]
fn scheduler_17_a_job_that_is_detached_while_it_runs_is_over_when_the_run_has_ended() {
    let stage = stage();
    *stage.notes.hold.lock() = true;
    let job = stage.interval(request("beat"), 100);
    stage.advance(100);
    stage.scheduler.detach(&job);
    assert!(job.is_over() && stage.over().is_empty());
    stage.end_held();
    assert_eq!(stage.over(), ["beat"]);
    stage.scheduler.detach(&job);
    assert!(stage.list().is_empty());
}

#[test]
fn a_run_that_is_dropped_has_not_taken_place() {
    let stage = stage();
    let lane = Arc::new(Weakly::default());
    stage.scheduler.interval(request("beat"), 100, lane.clone()).expect("good");
    stage.advance(100);
    drop(lane.0.lock().take());
    let info = stage.info("beat");
    assert_eq!((info.runs, info.skipped, info.running), (0, 1, false));
    stage.advance(100);
    let run = lane.0.lock().take().expect("the next");
    run.begin().expect("it is due");
    drop(run);
    let info = stage.info("beat");
    assert_eq!((info.runs, info.failed, info.running), (1, 1, false), "nobody said how it ended");
}
