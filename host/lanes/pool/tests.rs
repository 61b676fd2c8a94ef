//! What lanes and workers promise, with real threads and without a clock: where time matters, the test looks at the
//! pool in place of the monitor, at a time of its choice.

use std::sync::{Mutex as Plain, mpsc};

use super::*;
use crate::{
    identity::{Grants, Permits, RecordKey, Scope, Slot, look_up},
    lanes::{About, LaneOptions, Run, Task, monitor::Monitor, monitor::Next},
};

const HOUR: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(30);

/// Far enough for everything that should happen, and the test's end if it does not.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[derive(Default)]
struct Told(Plain<Vec<String>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
    fn note(&self, text: String) {
        self.0.lock().expect("no panic").push(text);
    }
}

impl Report for Told {
    fn stuck(&self, lane: &Arc<Lane>, task: &str, after: Duration) {
        self.note(format!("{} stuck in {task} after {} s", lane.name(), after.as_secs()));
    }
    fn resumed(&self, lane: &Arc<Lane>, task: &str) {
        self.note(format!("{} resumed after {task}", lane.name()));
    }
    fn failed(&self, task: &str, panic: &str) {
        self.note(format!("{task} failed: {panic}"));
    }
}

fn pool(workers: usize, most: usize) -> (Arc<Pool>, Arc<Told>) {
    let told = Arc::new(Told::default());
    (Pool::unwatched(PoolOptions { workers, most, spare: Duration::ZERO }, told.clone()), told)
}

fn lane(pool: &Arc<Pool>, name: &str, concurrency: u32) -> Arc<Lane> {
    let options = LaneOptions { name: name.into(), concurrency, capacity: 100, deadline: DEADLINE };
    Lane::new(pool, options)
}

/// One whose calls may take as long as they like.
fn patient_lane(pool: &Arc<Pool>, name: &str, concurrency: u32) -> Arc<Lane> {
    let options = LaneOptions { name: name.into(), concurrency, capacity: 100, deadline: Duration::MAX };
    Lane::new(pool, options)
}

struct Body<F>(F);

impl<F: Fn(&mut Run<'_>) + Send + Sync> Task for Body<F> {
    fn run(&self, run: &mut Run<'_>) {
        (self.0)(run);
    }
    fn describe(&self) -> String {
        "a task".into()
    }
}

fn task(body: impl Fn(&mut Run<'_>) + Send + Sync + 'static) -> Arc<dyn Task> {
    Arc::new(Body(body))
}

/// A call that hangs until `open` is dropped; `began` says that it does.
struct Hung {
    began: mpsc::Receiver<()>,
    open: Option<mpsc::Sender<()>>,
}

impl Hung {
    fn on(lane: &Arc<Lane>) -> Self {
        let (open, gate) = mpsc::channel::<()>();
        let (begins, began) = mpsc::channel();
        let gate = Plain::new(gate);
        lane.push_always(task(move |_| {
            let _ = begins.send(());
            let _ = gate.lock().expect("no panic").recv();
        }));
        Self { began, open: Some(open) }
    }

    fn has_begun(&self) {
        self.began.recv_timeout(Duration::from_secs(60)).expect("it begins");
    }

    fn release(&mut self) {
        self.open.take();
    }
}

/// Looks until `reached`, each time an hour later.
fn look_until(pool: &Arc<Pool>, monitor: &mut Monitor, reached: impl Fn() -> bool) {
    let start = Instant::now();
    let mut hours = 0;
    while !reached() {
        hours += 1;
        assert!(hours < 1_000_000, "it is never reached");
        pool.look(monitor, start + HOUR * hours);
        thread::yield_now();
    }
}

fn ask(
    pool: &Arc<Pool>,
    lane: &Arc<Lane>,
    turn: Turn,
    answer: impl Fn() -> Result<u32> + Send + Sync + 'static,
) -> Result<u32> {
    let (pending, promise) = Pending::pair();
    let task = task(move |_| {
        if promise.start(0) {
            let _ = promise.finish(answer());
        }
    });
    let push = || match turn {
        Turn::Queued => lane.push(task),
        Turn::Alone => lane.push_alone(task),
    };
    pool.wait_for(lane, turn, None, &pending, soon(), push).and_then(|answer| answer)
}

/// Runs `body` in a call of `lane` and gives what it returned.
fn in_call<T: Send + 'static>(lane: &Arc<Lane>, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, answer) = mpsc::channel();
    let once = Plain::new(Some((body, told)));
    lane.push_always(task(move |_| {
        let (body, told) = once.lock().expect("no panic").take().expect("it runs once");
        let _ = told.send(body());
    }));
    answer.recv_timeout(Duration::from_secs(60)).expect("the call returns")
}

fn kind<T>(outcome: Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[test]
fn tasks_of_a_lane_run_in_order_one_at_a_time() {
    let (pool, _) = pool(4, 16);
    let lane = lane(&pool, "a", 1);
    let seen = Arc::new(Plain::new(Vec::new()));
    for number in 0..100 {
        let seen = seen.clone();
        lane.push(task(move |_| seen.try_lock().expect("one at a time").push(number)))
            .expect("there is room");
    }
    assert!(pool.wait_idle(soon()));
    assert_eq!(*seen.lock().expect("no panic"), (0..100).collect::<Vec<_>>());
    pool.audit();
}

#[test]
fn as_many_calls_run_at_once_as_the_lane_allows_and_one_that_is_alone_waits_for_all() {
    let (pool, _) = pool(4, 16);
    let lane = lane(&pool, "a", 3);
    let mut hung: Vec<_> = (0..4).map(|_| Hung::on(&lane)).collect();
    let mut monitor = Monitor::default();
    look_until(&pool, &mut monitor, || lane.load() == (1, 3));
    for hung in &hung[..3] {
        hung.has_begun();
    }
    assert!(hung[3].began.try_recv().is_err(), "the fourth has no place");
    let (alone, ran) = mpsc::channel();
    let seen = lane.clone();
    lane.push_alone(task(move |_| alone.send(seen.load().1).expect("the test listens"))).expect("it is open");
    hung[0].release();
    hung[1].release();
    look_until(&pool, &mut monitor, || lane.load().1 == 1);
    assert!(ran.try_recv().is_err(), "one still runs");
    hung[2].release();
    assert_eq!(ran.recv_timeout(Duration::from_secs(60)), Ok(1), "alone, and ahead of the queue");
    hung[3].has_begun();
    hung[3].release();
    assert!(pool.wait_idle(soon()));
    pool.audit();
}

#[test]
fn a_full_queue_says_busy_and_takes_the_hosts_own_work_all_the_same() {
    let (pool, _) = pool(1, 4);
    let options = LaneOptions { name: "a".into(), concurrency: 1, capacity: 2, deadline: DEADLINE };
    let lane = Lane::new(&pool, options);
    let mut hung = Hung::on(&lane);
    hung.has_begun();
    assert!(lane.push(task(|_| ())).is_ok() && lane.push(task(|_| ())).is_ok());
    assert_eq!(kind(lane.push(task(|_| ()))), Some(ErrorKind::Busy));
    lane.push_always(task(|_| ()));
    assert_eq!(lane.load(), (3, 1));
    hung.release();
    assert!(pool.wait_idle(soon()));
    assert!(lane.push(task(|_| ())).is_ok());
    assert!(pool.wait_idle(soon()));
}

#[test]
fn a_call_past_its_deadline_makes_its_lane_stuck_until_it_returns() {
    let (pool, told) = pool(1, 4);
    let lane = lane(&pool, "a", 1);
    let mut hung = Hung::on(&lane);
    hung.has_begun();
    let (mut monitor, start) = (Monitor::default(), Instant::now());
    pool.look(&mut monitor, start);
    pool.look(&mut monitor, start + DEADLINE - Duration::from_millis(1));
    assert!(!lane.is_stuck());
    assert!(lane.push(task(|_| ())).is_ok());
    pool.look(&mut monitor, start + DEADLINE);
    assert!(lane.is_stuck());
    assert_eq!(told.take(), ["a stuck in a task after 30 s"]);
    assert_eq!(kind(lane.push(task(|_| ()))), Some(ErrorKind::Unavailable));
    assert_eq!(pool.stats().stuck, 1);
    assert_eq!(pool.look(&mut monitor, start + 2 * DEADLINE), Next::After(Duration::from_millis(5)));
    assert!(told.take().is_empty(), "it is told once");
    hung.release();
    assert!(pool.wait_idle(soon()));
    assert_eq!(told.take(), ["a resumed after a task"]);
    assert!(!lane.is_stuck() && lane.push(task(|_| ())).is_ok());
    assert!(pool.wait_idle(soon()));
    pool.audit();
}

#[test]
fn each_handler_of_a_task_has_a_deadline_of_its_own_and_none_follows_one_that_went_past_it() {
    let (pool, told) = pool(1, 4);
    let lane = lane(&pool, "a", 1);
    let (began, begins) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Plain::new(may_go_on);
    lane.push_always(task(move |run| {
        for handler in 0..4 {
            if handler > 0 && !run.begin_another() {
                break;
            }
            began.send(handler).expect("the test listens");
            may_go_on.lock().expect("no panic").recv().expect("the test lets it");
        }
    }));
    let (mut monitor, start) = (Monitor::default(), Instant::now());
    for handler in 0..3 {
        assert_eq!(begins.recv(), Ok(handler));
        pool.look(&mut monitor, start + DEADLINE / 2 * handler);
        assert!(!lane.is_stuck(), "each of them has run for no time yet");
        if handler < 2 {
            go_on.send(()).expect("it waits");
        }
    }
    pool.look(&mut monitor, start + DEADLINE * 2);
    assert!(lane.is_stuck(), "the third one has run for its whole deadline");
    go_on.send(()).expect("it waits");
    assert!(pool.wait_idle(soon()));
    assert_eq!(begins.recv().ok(), None, "the fourth one is not begun");
    assert_eq!(told.take(), ["a stuck in a task after 30 s", "a resumed after a task"]);
    pool.audit();
}

#[test]
fn others_go_on_while_twenty_calls_hang_and_the_threads_go_when_they_return() {
    let (pool, _) = pool(2, 64);
    let lanes: Vec<_> = (0..20).map(|number| lane(&pool, &format!("hung-{number}"), 1)).collect();
    let mut hung: Vec<_> = lanes.iter().map(Hung::on).collect();
    let other = lane(&pool, "other", 1);
    let mut monitor = Monitor::default();
    look_until(&pool, &mut monitor, || lanes.iter().all(|lane| lane.is_stuck()));
    for number in 0..10 {
        let (ran, runs) = mpsc::channel();
        other.push(task(move |_| ran.send(number).expect("the test listens"))).expect("it is not stuck");
        look_until(&pool, &mut monitor, || runs.try_recv() == Ok(number));
    }
    let stats = pool.stats();
    assert_eq!(stats.stuck, 20);
    assert!((21..=24).contains(&stats.workers), "{stats:?}");
    pool.audit();
    hung.iter_mut().for_each(Hung::release);
    assert!(pool.wait_idle(soon()));
    assert!(pool.stats().workers <= 2, "{:?}", pool.stats());
    pool.audit();
}

#[test]
fn a_worker_that_is_held_by_a_long_call_is_replaced_long_before_its_deadline() {
    let (pool, _) = pool(2, 8);
    let (long, other) = (lane(&pool, "long", 1), lane(&pool, "other", 1));
    let mut hung = Hung::on(&long);
    hung.has_begun();
    let (mut monitor, start) = (Monitor::default(), Instant::now());
    pool.look(&mut monitor, start);
    let mut second = Hung::on(&other);
    for ms in 1..=20 {
        pool.look(&mut monitor, start + Duration::from_millis(ms));
    }
    second.has_begun();
    assert!(!long.is_stuck());
    second.release();
    hung.release();
    assert!(pool.wait_idle(soon()));
}

#[test]
fn the_monitor_sleeps_when_there_is_nothing_to_watch_and_dozes_over_a_long_call() {
    let (pool, _) = pool(2, 8);
    let lane = lane(&pool, "a", 1);
    let (mut monitor, start) = (Monitor::default(), Instant::now());
    let settled = |monitor: &mut Monitor| {
        let mut looks = (0..10).map(|_| pool.look(monitor, start)).collect::<Vec<_>>();
        looks.pop().expect("it looked")
    };
    assert_eq!(settled(&mut monitor), Next::Never);
    let mut hung = Hung::on(&lane);
    hung.has_begun();
    assert_eq!(settled(&mut monitor), Next::Woken(Duration::from_millis(250)));
    let near = DEADLINE - Duration::from_millis(40);
    assert_eq!(pool.look(&mut monitor, start + near), Next::Woken(Duration::from_millis(40)));
    pool.look(&mut monitor, start + DEADLINE);
    assert_eq!(settled(&mut monitor), Next::Never, "it has told all that there is to tell");
    hung.release();
    assert!(pool.wait_idle(soon()));
}

#[test]
fn contract_62_a_chain_of_fifty_lanes_answers_on_two_workers() {
    fn next(pool: &Arc<Pool>, lanes: &[Arc<Lane>]) -> Result<u32> {
        let Some((first, rest)) = lanes.split_first() else { return Ok(0) };
        let (inner, rest) = (pool.clone(), rest.to_vec());
        ask(pool, first, Turn::Queued, move || next(&inner, &rest).map(|below| below + 1))
    }
    let (pool, _) = pool(2, 256);
    let lanes: Vec<_> = (0..50).map(|number| lane(&pool, &format!("l{number}"), 1)).collect();
    assert_eq!(next(&pool, &lanes).expect("a chain is no circle"), 50);
    assert!(pool.wait_idle(soon()));
    assert!(pool.stats().workers <= 2);
    assert_eq!(pool.waits.lock().len(), 0);
    pool.audit();
}

#[test]
fn waits_that_only_the_waiter_could_end_are_reentrant() {
    let (pool, _) = pool(2, 16);
    let (a, b) = (lane(&pool, "a", 1), lane(&pool, "b", 1));
    let wide = lane(&pool, "wide", 2);

    // One's own lane, and the lane of a caller.
    let (p, own) = (pool.clone(), a.clone());
    assert_eq!(kind(in_call(&a, move || ask(&p, &own, Turn::Queued, || Ok(1)))), Some(ErrorKind::Reentrant));
    let (p, q, one, two) = (pool.clone(), pool.clone(), a.clone(), b.clone());
    let crossed = in_call(&a, move || {
        ask(&p, &two, Turn::Queued, move || Ok(kind(ask(&q, &one, Turn::Queued, || Ok(1))).map_or(0, |_| 7)))
    });
    assert_eq!(crossed.expect("the first wait is none"), 7);

    // A lane with a second place can answer itself, but not with a task that has to be alone.
    let (p, own) = (pool.clone(), wide.clone());
    assert_eq!(in_call(&wide, move || ask(&p, &own, Turn::Queued, || Ok(3))).expect("there is a place"), 3);
    let (p, own) = (pool.clone(), wide.clone());
    assert_eq!(
        kind(in_call(&wide, move || ask(&p, &own, Turn::Alone, || Ok(1)))),
        Some(ErrorKind::Reentrant)
    );

    // Nobody waits for whoever is in no call.
    assert_eq!(ask(&pool, &a, Turn::Alone, || Ok(4)).expect("it is free"), 4);
    assert_eq!(pool.waits.lock().len(), 0);
    pool.audit();
}

#[test]
fn a_call_that_waits_for_several_queues_is_one_call() {
    let (pool, _) = pool(2, 16);
    let (a, b, c) = (patient_lane(&pool, "a", 2), patient_lane(&pool, "b", 1), patient_lane(&pool, "c", 1));
    // One call of `a` hangs, the other waits for two lanes: the first can still return, so waiting for `a` is no circle.
    let mut hung = Hung::on(&a);
    hung.has_begun();
    let (mut in_b, mut in_c) = (Hung::on(&b), Hung::on(&c));
    let mut monitor = Monitor::default();
    look_until(&pool, &mut monitor, || b.load().1 == 1 && c.load().1 == 1);
    let (p, to) = (pool.clone(), [b.clone(), c.clone()]);
    let (told, stats) = mpsc::channel();
    a.push(task(move |_| {
        let first = p.begin_wait(&to[0]).expect("no circle");
        let second = p.begin_wait(&to[1]).expect("no circle");
        let both = p.stats().waiting;
        drop(first);
        let one = p.stats().waiting;
        drop(second);
        let _ = told.send((both, one, p.stats().waiting));
    }))
    .expect("there is room");
    let seen = Plain::new(None);
    look_until(&pool, &mut monitor, || {
        *seen.lock().expect("no panic") = stats.try_recv().ok();
        seen.lock().expect("no panic").is_some()
    });
    let stats = seen.into_inner().expect("no panic").expect("it was seen");
    assert_eq!(stats, (1, 1, 0), "it gives its place away once, until the last of its waits is over");
    in_b.release();
    in_c.release();
    hung.release();
    assert!(pool.wait_idle(soon()));
    pool.audit();
}

/// Pushes a task that answers an awaited question.
fn answer_on(lane: &Arc<Lane>, promise: crate::lanes::Promise<u32>, value: u32) {
    lane.push_always(task(move |_| {
        if promise.start(0) {
            let _ = promise.finish(value);
        }
    }));
}

#[test]
fn events_39_a_call_that_waits_for_several_answers_gives_its_place_once() {
    let (pool, _) = pool(1, 16);
    let (a, b, c) = (patient_lane(&pool, "a", 1), patient_lane(&pool, "b", 1), patient_lane(&pool, "c", 1));
    let (p, to) = (pool.clone(), [b.clone(), c.clone(), b.clone()]);
    let (answers, waiting) = in_call(&a, move || {
        let asked: Vec<_> =
            to.iter().map(|lane| p.await_answer::<u32>(lane, 0).expect("no circle")).collect();
        let mut waits = Vec::new();
        for (number, (lane, (wait, promise))) in to.iter().zip(asked).enumerate() {
            answer_on(lane, promise, number as u32);
            waits.push(wait);
        }
        let waiting = (p.stats().waiting, p.waits.lock().len());
        waits[0].let_another_in();
        (waits.iter().map(|wait| wait.wait(soon()).expect("it is answered")).collect::<Vec<_>>(), waiting)
    });
    assert_eq!((answers, waiting), (vec![0, 1, 2], (1, 3)));
    assert!(pool.wait_idle(soon()));
    assert_eq!((pool.stats().waiting, pool.waits.lock().len()), (0, 0));
    pool.audit();
}

#[test]
fn events_40_one_answer_that_could_not_come_is_found_before_any_is_asked_for() {
    let (pool, _) = pool(2, 16);
    let (a, b) = (lane(&pool, "a", 1), lane(&pool, "b", 1));
    let (p, to) = (pool.clone(), [b.clone(), a.clone()]);
    let (first, second) = in_call(&a, move || {
        let first = p.await_answer::<u32>(&to[0], 0);
        let second = p.await_answer::<u32>(&to[1], 0);
        (kind(first), kind(second))
    });
    assert_eq!((first, second), (None, Some(ErrorKind::Reentrant)), "one's own lane");
    // The second of two waits is what closes the circle.
    let third = lane(&pool, "third", 1);
    let (p, q, to, back) = (pool.clone(), pool.clone(), [third.clone(), b.clone()], a.clone());
    let crossed = in_call(&a, move || {
        let (_kept, _) = p.await_answer::<u32>(&to[0], 0).expect("no circle");
        ask(&p, &to[1], Turn::Queued, move || Ok(kind(q.await_answer::<u32>(&back, 0)).map_or(0, |_| 7)))
    });
    assert_eq!(crossed.expect("the wait for b is none"), 7);
    assert_eq!(pool.waits.lock().len(), 0);
    pool.audit();
}

#[test]
fn events_40_what_is_not_waited_for_any_more_does_not_begin() {
    let (pool, _) = pool(2, 16);
    let b = lane(&pool, "b", 1);
    let past = Instant::now();
    let (timed_out, late) = pool.await_answer::<u32>(&b, 0).expect("nobody waits");
    assert_eq!(kind(timed_out.wait(past)), Some(ErrorKind::Timeout));
    let (left, unwanted) = pool.await_answer::<u32>(&b, 0).expect("nobody waits");
    drop(left);
    for promise in [late, unwanted] {
        assert!(!promise.start(0) && promise.finish(1) == Err(1));
    }
    // An answer that came is there, also after the deadline.
    let (answered, promise) = pool.await_answer(&b, 0).expect("nobody waits");
    assert_eq!(promise.finish(5), Ok(()));
    assert_eq!(answered.wait(past).expect("it is there"), 5);
    // And all that wait on behalf of a generation are woken when it stops.
    let (first, _one) = pool.await_answer::<u32>(&b, 9).expect("nobody waits");
    let (second, _two) = pool.await_answer::<u32>(&b, 9).expect("nobody waits");
    pool.stop_waits(9);
    assert_eq!(
        (kind(first.wait(soon())), kind(second.wait(soon()))),
        (Some(ErrorKind::Stopping), Some(ErrorKind::Stopping))
    );
}

#[test]
fn contract_62_too_many_waits_are_busy_and_push_nothing() {
    let (pool, _) = pool(1, 4);
    let lanes: Vec<_> = (0..3).map(|number| patient_lane(&pool, &format!("l{number}"), 1)).collect();
    let target = patient_lane(&pool, "target", 1);
    let mut hung = Hung::on(&target);
    hung.has_begun();
    let (outcomes, outcome) = mpsc::channel();
    for lane in &lanes {
        let (p, target, outcomes) = (pool.clone(), target.clone(), outcomes.clone());
        lane.push_always(task(move |_| {
            let _ = outcomes.send(kind(ask(&p, &target, Turn::Queued, || Ok(1))));
        }));
    }
    let mut monitor = Monitor::default();
    let refused = Plain::new(None);
    look_until(&pool, &mut monitor, || {
        let came = outcome.try_recv().ok();
        came.inspect(|came| *refused.lock().expect("no panic") = Some(*came)).is_some()
    });
    assert_eq!(*refused.lock().expect("no panic"), Some(Some(ErrorKind::Busy)), "four threads, two may wait");
    assert_eq!(target.load(), (2, 1), "what was refused was not pushed");
    hung.release();
    for _ in 0..2 {
        assert_eq!(outcome.recv_timeout(Duration::from_secs(60)), Ok(None));
    }
    assert!(pool.wait_idle(soon()));
    pool.audit();
}

/// One worker at once, of two threads: while its call pauses another lane is served, and a second pause is refused.
#[test]
fn a_worker_that_pauses_gives_its_place_away_and_not_too_many_do() {
    let (pool, _) = pool(1, 2);
    let (a, b) = (patient_lane(&pool, "a", 1), patient_lane(&pool, "b", 1));
    let (answer, answers) = mpsc::channel();
    let answers = Plain::new(answers);
    let p = pool.clone();
    let (tell, told) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    a.push(task(move |_| {
        let pause = p.begin_pause().expect("it may");
        let _ = begin.send(());
        let came: Option<ErrorKind> =
            answers.lock().expect("no panic").recv().expect("the other one answers");
        drop(pause);
        let _ = tell.send((came, p.stats().waiting));
    }))
    .expect("there is room");
    // Before that the other one might find nobody who pauses.
    begun.recv_timeout(Duration::from_secs(20)).expect("it pauses");
    let p = pool.clone();
    b.push(task(move |_| {
        let _ = answer.send(p.begin_pause().err().map(|error| error.kind()));
    }))
    .expect("there is room");
    let seen = Plain::new(None);
    look_until(&pool, &mut Monitor::default(), || {
        *seen.lock().expect("no panic") = told.try_recv().ok();
        seen.lock().expect("no panic").is_some()
    });
    assert_eq!(seen.into_inner().expect("no panic"), Some((Some(ErrorKind::Busy), 0)));
    assert!(pool.wait_idle(soon()));
    pool.audit();
}

#[test]
fn a_worker_of_another_pool_is_a_stranger() {
    let ((ours, _), (theirs, _)) = (pool(1, 4), pool(1, 4));
    let (here, there) = (lane(&ours, "here", 1), lane(&theirs, "there", 1));
    let mut hung = Hung::on(&there);
    hung.has_begun();
    let (p, to) = (theirs.clone(), there.clone());
    let waiting = in_call(&here, move || {
        let wait = p.begin_wait(&to).expect("no circle");
        let waiting = p.stats().waiting;
        drop(wait);
        waiting
    });
    assert_eq!(waiting, 0, "no worker of theirs waits");
    theirs.audit();
    hung.release();
    assert!(theirs.wait_idle(soon()) && ours.wait_idle(soon()));
}

#[test]
fn waits_end_with_stopping_when_their_generation_stops() {
    let (pool, _) = pool(1, 4);
    let target = lane(&pool, "target", 1);
    let register = crate::lanes::Register::new(77).expect("a seat is free");
    let caller = Caller { generation: 77, seat: register.seat().index() };
    register.begin_enable();
    let (pending, _promise) = Pending::<()>::pair();
    thread::scope(|threads| {
        let waiter =
            threads.spawn(|| pool.wait_for(&target, Turn::Queued, Some(caller), &pending, soon(), || Ok(())));
        while pool.waits.lock().len() == 0 {
            thread::yield_now();
        }
        register.stop();
        pool.stop_waits(77);
        assert_eq!(kind(waiter.join().expect("no panic")), Some(ErrorKind::Stopping));
    });
    let (pending, _promise) = Pending::<()>::pair();
    let push = || -> Result<()> { panic!("nothing is pushed any more") };
    let late = pool.wait_for(&target, Turn::Queued, Some(caller), &pending, soon(), push);
    assert_eq!(kind(late), Some(ErrorKind::Stopping));
    assert_eq!(pool.waits.lock().len(), 0);
}

#[test]
fn a_lane_that_is_closed_tells_those_who_wait_for_it() {
    let (pool, _) = pool(1, 4);
    let target = lane(&pool, "target", 1);
    let mut hung = Hung::on(&target);
    hung.has_begun();
    thread::scope(|threads| {
        let waiter = threads.spawn(|| ask(&pool, &target, Turn::Queued, || Ok(1)));
        while target.load().0 == 0 {
            thread::yield_now();
        }
        target.close();
        assert_eq!(kind(waiter.join().expect("no panic")), Some(ErrorKind::Unavailable));
    });
    assert_eq!(kind(ask(&pool, &target, Turn::Queued, || Ok(1))), Some(ErrorKind::Unavailable));
    assert_eq!(kind(ask(&pool, &target, Turn::Alone, || Ok(1))), Some(ErrorKind::Unavailable));
    hung.release();
    assert!(pool.wait_idle(soon()));
}

#[test]
fn a_panic_of_the_hosts_own_is_told_and_the_lane_goes_on() {
    let (pool, told) = pool(1, 4);
    let lane = lane(&pool, "a", 1);
    let failed = ask(&pool, &lane, Turn::Queued, || panic!("on purpose"));
    assert_eq!(kind(failed), Some(ErrorKind::Internal));
    assert_eq!(ask(&pool, &lane, Turn::Queued, || Ok(2)).expect("it goes on"), 2);
    assert!(pool.wait_idle(soon()));
    assert_eq!(told.take(), ["a task failed: on purpose"]);
    pool.audit();
}

#[test]
fn the_context_of_a_call_ends_with_it() {
    static RECORD: u8 = 0;
    let (pool, _) = pool(1, 4);
    let lane = lane(&pool, "a", 1);
    let grants = Grants::intern("probe", "1.0.0", Permits::default());
    let scope = Scope::own(RecordKey::of(&RECORD), grants, 5, 3, 0);
    let (told, seen) = mpsc::channel();
    let asked = pool.clone();
    lane.push(task(move |run| {
        let ctx = run.enter(&scope, About { kind: "event", name: "e1".into() });
        let worker = asked.worker(run.worker()).expect("it lives");
        let named = look_up(ctx).map(|scope| (scope.generation, scope.worker, scope.call));
        let right = named == Some((5, run.worker() + 1, true))
            && worker.about(ctx).is_some_and(|about| &*about.name == "e1")
            && worker.write_reply(ctx, b"re", 4) == Some(true)
            && worker.write_reply(ctx, b"ply", 4) == Some(false)
            && worker.write_error(ctx, "bad".into())
            && worker.write_reply(ctx ^ 1, b"x", 4).is_none();
        let left = run.leave();
        let over = look_up(ctx).is_none() && worker.write_reply(ctx, b"x", 4).is_none();
        let _ = told.send((right, over, left.reply, left.error));
    }))
    .expect("there is room");
    let (right, over, reply, error) = seen.recv_timeout(Duration::from_secs(60)).expect("it runs");
    assert!(right && over);
    assert_eq!((reply.as_slice(), error.as_deref()), (&b"re"[..], Some("bad")));
}

/// Retires a generation; the receiver hears of its closing.
fn retire(pool: &Arc<Pool>, generation: u64, join: bool) -> mpsc::Receiver<u64> {
    let (told, closed) = mpsc::channel();
    let close = Box::new(move || told.send(generation).unwrap_or_default());
    pool.retire(Retired { generation, join, close });
    closed
}

#[test]
fn a_hung_worker_pins_what_it_has_run_and_nothing_else() {
    let (pool, _) = pool(2, 8);
    let (a, b) = (lane(&pool, "a", 1), lane(&pool, "b", 1));
    // The same worker runs generation 1 and then hangs; another runs generation 2.
    a.push(task(|run| run.note(1, 1))).expect("there is room");
    let mut hung = Hung::on(&a);
    hung.has_begun();
    let mut monitor = Monitor::default();
    let (told, ran) = mpsc::channel();
    b.push(task(move |run| {
        run.note(2, 2);
        let _ = told.send(());
    }))
    .expect("there is room");
    look_until(&pool, &mut monitor, || ran.try_recv().is_ok());
    let (first, second, third) = (retire(&pool, 1, true), retire(&pool, 2, true), retire(&pool, 3, true));
    assert_eq!(second.recv_timeout(Duration::from_secs(60)), Ok(2));
    assert_eq!(third.recv_timeout(Duration::from_secs(60)), Ok(3), "nobody has run it");
    while pool.stats().retired > 1 {
        thread::yield_now();
    }
    assert!(!pool.settle(Instant::now()), "the first is pinned");
    assert!(first.try_recv().is_err());
    // What need not be joined is closed whoever has run it.
    assert_eq!(retire(&pool, 1, false).recv_timeout(Duration::from_secs(60)), Ok(1));
    hung.release();
    assert_eq!(first.recv_timeout(Duration::from_secs(60)), Ok(1));
    assert!(pool.settle(soon()));
    pool.audit();
}

#[test]
fn a_library_is_closed_on_a_thread_that_has_run_none() {
    let (pool, _) = pool(1, 4);
    let lane = lane(&pool, "a", 1);
    let ran_on = Arc::new(Plain::new(None));
    let noted = ran_on.clone();
    lane.push(task(move |run| {
        run.note(1, 1);
        *noted.lock().expect("no panic") = Some(thread::current().id());
    }))
    .expect("there is room");
    assert!(pool.wait_idle(soon()));
    let (told, closed) = mpsc::channel();
    let close = Box::new(move || told.send(thread::current().id()).unwrap_or_default());
    pool.retire(Retired { generation: 1, join: true, close });
    let closer = closed.recv_timeout(Duration::from_secs(60)).expect("it is closed");
    assert_ne!(Some(closer), *ran_on.lock().expect("no panic"));
    assert_ne!(closer, thread::current().id());
}

#[test]
fn idle_means_that_nothing_runs_waits_or_is_ready() {
    let (pool, _) = pool(1, 4);
    assert!(pool.wait_idle(Instant::now()), "nothing was ever pushed");
    let lane = lane(&pool, "a", 1);
    let mut hung = Hung::on(&lane);
    assert!(!pool.wait_idle(Instant::now()));
    hung.has_begun();
    assert!(!pool.wait_idle(Instant::now()));
    hung.release();
    assert!(pool.wait_idle(soon()));
}

#[test]
fn a_shutdown_names_what_hangs_and_leaves_it_behind() {
    let (pool, _) = pool(2, 8);
    let (a, b) = (lane(&pool, "a", 1), lane(&pool, "b", 1));
    a.push(task(|run| run.note(1, 1))).expect("there is room");
    let mut hung = Hung::on(&a);
    hung.has_begun();
    b.push(task(|_| ())).expect("there is room");
    look_until(&pool, &mut Monitor::default(), || b.load() == (0, 0));
    let closed = retire(&pool, 1, true);
    let left = pool.shut_down(Instant::now());
    assert!(left.contains(&"plugin \"a\" in a task".to_owned()), "{left:?}");
    assert!(closed.try_recv().is_err());
    // It ends by itself when its call returns, and lets go of what it has pinned.
    hung.release();
    assert_eq!(closed.recv_timeout(Duration::from_secs(60)), Ok(1));
    assert_eq!(pool.shut_down(soon()), Vec::<String>::new());
    assert_eq!(pool.stats(), PoolStats::default());
}

/// Tells of each call that is stuck, and takes its time with it.
struct Slow(Plain<(mpsc::Sender<()>, mpsc::Receiver<()>)>);

impl Report for Slow {
    fn stuck(&self, _: &Arc<Lane>, _: &str, _: Duration) {
        let ends = self.0.lock().expect("no panic");
        let _ = ends.0.send(());
        let _ = ends.1.recv();
    }
    fn resumed(&self, _: &Arc<Lane>, _: &str) {}
    fn failed(&self, _: &str, _: &str) {}
}

#[test]
fn a_call_that_begins_while_the_monitor_tells_of_another_is_watched_too() {
    let (tell, told) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let pool = Pool::new(
        PoolOptions { workers: 2, most: 8, spare: Duration::ZERO },
        Arc::new(Slow(Plain::new((tell, goes_on)))),
    );
    let deadline = Duration::from_millis(100);
    let lane = Lane::new(&pool, LaneOptions { name: "a".into(), concurrency: 1, capacity: 100, deadline });
    let mut first = Hung::on(&lane);
    told.recv_timeout(Duration::from_secs(60)).expect("the first is past its deadline");
    first.release();
    assert!(pool.wait_idle(soon()));
    let mut second = Hung::on(&lane);
    second.has_begun();
    go_on.send(()).expect("the monitor waits for it");
    told.recv_timeout(Duration::from_secs(60)).expect("the second is past its deadline");
    second.release();
    drop(go_on);
    assert!(pool.shut_down(soon()).is_empty());
}

#[test]
fn a_watched_pool_gets_by_without_anybody_looking() {
    let told = Arc::new(Told::default());
    let pool = Pool::new(PoolOptions { workers: 1, most: 8, spare: Duration::ZERO }, told.clone());
    let options =
        |name: &str, deadline| LaneOptions { name: name.into(), concurrency: 1, capacity: 9, deadline };
    let short = Lane::new(&pool, options("short", Duration::from_millis(1)));
    let other = Lane::new(&pool, options("other", DEADLINE));
    let mut hung = Hung::on(&short);
    hung.has_begun();
    // Its worker is the only one; somebody has to notice.
    assert_eq!(ask(&pool, &other, Turn::Queued, || Ok(1)).expect("it is answered"), 1);
    while !short.is_stuck() {
        thread::yield_now();
    }
    hung.release();
    assert!(pool.wait_idle(soon()));
    assert!(told.take().iter().any(|told| told.starts_with("short stuck")));
    assert!(pool.shut_down(soon()).is_empty());
    pool.audit();
    // Slots of contexts come back with the workers.
    assert!(Slot::take().is_some());
}

#[test]
#[ignore = "a measurement"]
#[cfg(target_os = "linux")]
fn what_the_workers_and_the_monitor_cost() {
    fn spent() -> Vec<(String, f64)> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("it is Linux");
        let read = |task: std::path::PathBuf| {
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            let times = std::fs::read_to_string(task.join("schedstat")).ok()?;
            let ns: f64 = times.split_whitespace().next()?.parse().ok()?;
            let id = task.file_name()?.to_string_lossy().into_owned();
            name.starts_with("pintle-").then(|| (format!("{} {id}", name.trim()), ns / 1e6))
        };
        tasks.filter_map(|task| read(task.ok()?.path())).collect()
    }
    let pool =
        Pool::new(PoolOptions { workers: 2, most: 8, spare: Duration::ZERO }, Arc::new(Told::default()));
    let lanes: Vec<_> = (0..10).map(|number| lane(&pool, &format!("l{number}"), 1)).collect();
    for (what, gap_us, seconds) in [("1,000/s", 1_000, 5), ("1/s", 1_000_000, 5), ("idle", 5_000_000, 5)] {
        let (before, start) = (spent(), Instant::now());
        let mut next = start;
        while start.elapsed() < Duration::from_secs(seconds) {
            if what != "idle" {
                for lane in &lanes {
                    lane.push_always(task(|_| ()));
                }
            }
            next += Duration::from_micros(gap_us);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        for (name, ms) in spent() {
            let earlier = before.iter().find(|(other, _)| *other == name).map_or(0.0, |(_, ms)| *ms);
            println!("{what:8} {name:24} {:8.3} ms per second", (ms - earlier) / seconds as f64);
        }
    }
    assert!(pool.shut_down(soon()).is_empty());
}

/// A task that is told how often it is to run, and runs at most `most` times.
struct Repeated {
    name: &'static str,
    most: usize,
    ran: mpsc::Sender<(&'static str, usize, usize)>,
}

impl Task for Repeated {
    fn run(&self, run: &mut Run<'_>) {
        self.run_times(run, 1);
    }

    fn run_times(&self, run: &mut Run<'_>, times: usize) -> usize {
        let runs = times.min(self.most);
        for _ in 1..runs {
            assert!(run.begin_next(), "it is not overdue");
        }
        self.ran.send((self.name, times, runs)).expect("the test listens");
        runs
    }

    fn describe(&self) -> String {
        self.name.into()
    }
}

#[test]
fn a_task_that_stands_in_a_row_runs_at_once_and_in_its_turn() {
    let (pool, _) = pool(2, 8);
    let (ran, runs) = mpsc::channel();
    let repeated = |name, most| Arc::new(Repeated { name, most, ran: ran.clone() });
    // Of two that may run side by side none stands behind the other.
    for (concurrency, expected) in [
        (1, vec![("a", 3, 2), ("a", 1, 1), ("b", 1, 1), ("a", 2, 2)]),
        (2, vec![("a", 1, 1), ("a", 1, 1), ("a", 1, 1), ("b", 1, 1), ("a", 1, 1), ("a", 1, 1)]),
    ] {
        let lane = patient_lane(&pool, "lane", concurrency);
        let (gate, open) = mpsc::channel::<()>();
        let open = std::sync::Mutex::new(open);
        // All stand in the queue before the first begins, and with two places a single worker takes one after the other.
        let holds = concurrency as usize;
        let (begun, begins) = mpsc::channel();
        let wait = Arc::new(Body(move |_: &mut Run<'_>| {
            begun.send(()).expect("the test listens");
            let _ = open.lock().expect("no panic").recv();
        }));
        for _ in 0..holds {
            lane.push(wait.clone()).expect("there is room");
        }
        let mut monitor = Monitor::default();
        let held = std::cell::Cell::new(0);
        look_until(&pool, &mut monitor, || {
            held.set(held.get() + usize::from(begins.try_recv().is_ok()));
            held.get() == holds
        });
        let (a, b) = (repeated("a", 2), repeated("b", 2));
        for task in [&a, &a, &a, &b, &a, &a] {
            lane.push(task.clone()).expect("there is room");
        }
        assert_eq!(lane.load(), (6, concurrency), "each waits for itself");
        // One place at a time, so that the order is that of the queue.
        gate.send(()).expect("it waits");
        let seen: Vec<_> = expected.iter().map(|_| runs.recv().expect("it runs")).collect();
        assert_eq!(seen, expected, "concurrency {concurrency}");
        drop(gate);
        assert!(pool.wait_idle(soon()));
        pool.audit();
    }
}
