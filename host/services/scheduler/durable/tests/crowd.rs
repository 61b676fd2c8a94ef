//! Two engines over one store.

use super::*;

const JOBS: usize = 1_000;

/// Both engines schedule the same jobs, as two hosts with the same plugins do.
fn crowd(life: &Life) {
    for n in 0..JOBS {
        let request = request(&format!("{n:04}"), Keeping { timeout_ms: 20_000, ..Keeping::USUAL });
        life.scheduler.cron(request, "* * * * *", None, life.worker.clone()).expect("good");
    }
    life.settle();
}

fn settle(stage: &Stage) {
    // A thousand jobs are more than a batch of the timer's.
    (0..10).for_each(|_| stage.settle());
}

/// What has begun, by job and due time: the numbers of the runs, and how often.
fn count(begun: &mut BTreeMap<(String, i64), Vec<u64>>, life: &Life) -> usize {
    let new = std::mem::take(&mut *life.worker.begun.lock());
    let count = new.len();
    for (name, run) in new {
        begun.entry((name, run.due_ms)).or_default().push(run.id);
    }
    count
}

#[test]
fn scheduler_28_of_10_000_due_runs_of_two_engines_each_is_claimed_once() {
    let stage = stage_of(false);
    let (one, other) = (stage.life(), stage.life());
    crowd(&one);
    crowd(&other);
    let mut begun = BTreeMap::new();
    for _ in 0..10 {
        stage.advance(MINUTE);
        settle(&stage);
        count(&mut begun, &one);
        count(&mut begun, &other);
    }
    assert_eq!(begun.len(), 10 * JOBS);
    assert!(begun.values().all(|runs| runs.len() == 1), "one claim for each job and due time");
    let numbers: HashSet<u64> = begun.values().flatten().copied().collect();
    assert_eq!(numbers.len(), 10 * JOBS);
}

#[test]
fn scheduler_28_where_one_engine_is_killed_each_of_its_unfinished_runs_happens_again_once() {
    let stage = stage_of(false);
    let one = stage.life();
    one.hold();
    crowd(&one);
    stage.advance(MINUTE);
    settle(&stage);
    let mut begun = BTreeMap::new();
    assert_eq!(count(&mut begun, &one), JOBS);
    // Half of them are finished, and then it is killed.
    let held: Vec<_> = one.worker.held.lock().drain(JOBS / 2..).collect();
    held.iter().for_each(|run| run.finished(Ok(Vec::new())));
    drop(held);
    let other = stage.life();
    crowd(&other);
    one.kill();
    stage.advance(34_999);
    settle(&stage);
    assert_eq!(count(&mut begun, &other), 0, "the leases have not ended, and the next minute has not begun");
    stage.advance(1);
    settle(&stage);
    assert_eq!(count(&mut begun, &other), JOBS / 2);
    let (twice, once): (Vec<_>, Vec<_>) = begun.values().partition(|runs| runs.len() == 2);
    assert_eq!((twice.len(), once.len()), (JOBS / 2, JOBS / 2));
    assert!(twice.iter().all(|runs| runs[0] == runs[1]), "the same number");
    stage.advance(25_000);
    settle(&stage);
    assert_eq!(count(&mut begun, &other), JOBS, "and all of them go on");
    assert!(begun.values().all(|runs| runs.len() <= 2));
}
