//! The lanes of the host over primitives whose every interleaving can be chosen, and what must hold in all of them.
//!
//! `host/lanes` is compiled here as it stands, with the locks, condition variables and threads of `shuttle` in place
//! of real ones. Each function below is one model: a small host's worth of lanes, what happens to them, and what must
//! have become of it. `tests/interleavings.rs` runs each many times, a different interleaving each time. In a model no
//! deadline ever comes, so a wake-up that is lost is a deadlock, and `shuttle` says so, with the schedule to run
//! again.

#[allow(dead_code, unreachable_pub, reason = "the host's own files, of which the models need a part")]
#[path = "../../../host/error.rs"]
mod error;
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the host's own files, of which the models need a part"
)]
#[path = "../../../host/identity/mod.rs"]
mod identity;
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the host's own files, of which the models need a part"
)]
#[path = "../../../host/lanes/mod.rs"]
mod lanes;
mod probe;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};

use self::{
    error::{ErrorKind, Result},
    identity::{Phase, Seat},
    lanes::{Monitor, Pending, Turn},
    probe::{World, far},
};

/// Runs a model: half of the times with threads picked at random, half with few and well-placed changes of thread.
pub fn explore(model: fn(), times: usize) {
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 18;
        config
    };
    Runner::new(RandomScheduler::new(times.div_ceil(2)), config()).run(model);
    Runner::new(PctScheduler::new(3, times.div_ceil(2)), config()).run(model);
}

/// Every task that was pushed is run; a lane's limit holds; alone means alone; order is kept where one runs at a
/// time; and after all of it the workers end.
pub fn every_task_runs_once_in_order_and_within_its_lane_s_limit() {
    let world = World::new(4);
    let (narrow, wide) = (world.lane("narrow", 1), world.lane("wide", 2));
    let pushers: Vec<_> = (0..2)
        .map(|pusher| {
            let (narrow, wide) = (narrow.clone(), wide.clone());
            thread::spawn(move || {
                for number in 0..2 {
                    narrow.push(pusher, number);
                    wide.push(pusher, number);
                }
                if pusher == 0 {
                    wide.push_alone();
                }
            })
        })
        .collect();
    // As if nothing got on, so that all workers are called in.
    let (mut monitor, start) = (Monitor::default(), Instant::now());
    for look in 0..8 {
        world.pool.look(&mut monitor, start + Duration::from_millis(15 * look));
        world.pool.audit();
        thread::yield_now();
    }
    for pusher in pushers {
        pusher.join().expect("pushers do not panic");
    }
    assert!(world.pool.wait_idle(far()));
    world.pool.audit();
    assert_eq!((narrow.ran(), wide.ran()), (4, 5));
    narrow.assert_order();
    world.shut_down();
}

/// A call that waits gives its place to another, however few workers there are, and a chain is no circle.
pub fn a_chain_of_waits_ends_on_one_worker() {
    let world = World::new(1);
    let lanes: Vec<_> = ["a", "b", "c"].map(|name| world.lane(name, 1)).into();
    let answers = Arc::new(AtomicU32::new(0));
    let (told, all) = (world.clone(), lanes.clone());
    let counted = answers.clone();
    lanes[0].run(move || {
        let (told, third, counted) = (told.clone(), all[2].clone(), counted.clone());
        let inner = told.clone();
        let got = told.ask(&all[1], move || inner.ask(&third, || Ok(1)));
        assert_eq!(got.expect("a chain is no circle"), 1);
        counted.fetch_add(1, SeqCst);
    });
    assert!(world.pool.wait_idle(far()));
    assert_eq!(answers.load(SeqCst), 1);
    world.pool.audit();
    world.shut_down();
}

/// A call that asks two lanes at once and waits for both answers, on one worker: both come, and the books are right.
pub fn a_call_that_waits_for_two_answers_has_both() {
    let world = World::new(1);
    let lanes: Vec<_> = ["a", "b", "c"].map(|name| world.lane(name, 1)).into();
    let answers = Arc::new(AtomicU32::new(0));
    let (told, all, counted) = (world.clone(), lanes.clone(), answers.clone());
    lanes[0].run(move || {
        let got = told.ask_both([&all[1], &all[2]]).expect("nobody waits for it");
        counted.fetch_add(got.into_iter().map(|one| one.expect("it is answered")).sum(), SeqCst);
    });
    assert!(world.pool.wait_idle(far()));
    assert_eq!(answers.load(SeqCst), 3);
    world.pool.audit();
    world.shut_down();
}

/// Two calls that each ask a third lane and the lane of the other: whoever would close a circle is refused, and has
/// asked nobody; the other has both of its answers.
pub fn of_two_that_ask_each_other_and_a_third_one_is_answered() {
    let world = World::new(2);
    let (a, b, third) = (world.lane("a", 1), world.lane("b", 1), world.lane("third", 1));
    let kinds = Arc::new(Mutex::new(Vec::new()));
    for (from, to) in [(&a, &b), (&b, &a)] {
        let (world, to, third, kinds) = (world.clone(), to.clone(), third.clone(), kinds.clone());
        from.run(move || {
            let got = world.ask_both([&third, &to]).map_err(|error| error.kind());
            let got = got.map(|both| both.into_iter().map(|one| one.expect("it is answered")).sum());
            kinds.lock().expect("no panic").push(got);
        });
    }
    assert!(world.pool.wait_idle(far()));
    let kinds = kinds.lock().expect("no panic").clone();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&Ok(3)), "one at least is answered: {kinds:?}");
    assert!(kinds.iter().all(|kind| matches!(kind, Ok(3) | Err(ErrorKind::Reentrant))), "{kinds:?}");
    world.pool.audit();
    world.shut_down();
}

/// Who waits for two answers on behalf of a generation that stops, one of which does not come: the stop is seen before
/// anything is asked, or it ends the waits; and what has not begun by then does not begin.
pub fn waits_for_several_answers_end_with_the_stop() {
    let world = World::new(1);
    let (hung, other) = (world.lane("hung", 1), world.lane("other", 1));
    let (open, gate) = world.gate();
    hung.run(move || gate.pass());
    let register = Arc::new(lanes::Register::new(3).expect("a seat is free"));
    register.begin_enable();
    let stopper = {
        let (pool, register) = (world.pool.clone(), register.clone());
        thread::spawn(move || {
            register.stop();
            pool.stop_waits(3);
        })
    };
    let began = Arc::new(AtomicBool::new(false));
    let asked = [&other, &hung].map(|lane| world.pool.await_answer(lane.lane(), 3).expect("no circle"));
    // As the engine of events does: not before its waits can be found.
    if Seat::phase(register.seat().index()) != Phase::Stopping {
        let mut waits = Vec::new();
        for ((wait, promise), lane) in asked.into_iter().zip([&other, &hung]) {
            let begins = began.clone();
            let hangs = lane.lane().id() == hung.lane().id();
            lane.run(move || {
                begins.fetch_or(promise.start(0) && hangs, SeqCst);
                let _ = promise.finish(1);
            });
            waits.push(wait);
        }
        let outcomes: Vec<_> =
            waits.iter().map(|wait| wait.wait(far()).map_err(|error| error.kind())).collect();
        assert!(matches!(outcomes[0], Ok(1) | Err(ErrorKind::Stopping)), "{outcomes:?}");
        assert_eq!(outcomes[1], Err(ErrorKind::Stopping));
    }
    stopper.join().expect("it does not panic");
    open.open();
    assert!(world.pool.wait_idle(far()));
    assert!(!began.load(SeqCst), "nobody waits for it any more");
    world.pool.audit();
    world.shut_down();
}

/// Two lanes that ask each other at the same time: if that would be a circle one of them is refused, and both end.
pub fn a_circle_of_waits_is_refused_and_nothing_else_is() {
    let world = World::new(2);
    let (a, b) = (world.lane("a", 1), world.lane("b", 1));
    let kinds = Arc::new(Mutex::new(Vec::new()));
    for (from, to) in [(&a, &b), (&b, &a)] {
        let (world, to, kinds) = (world.clone(), to.clone(), kinds.clone());
        from.run(move || {
            let got = world.ask(&to, || Ok(0)).map_err(|error| error.kind());
            kinds.lock().expect("no panic").push(got);
        });
    }
    assert!(world.pool.wait_idle(far()));
    let kinds = kinds.lock().expect("no panic").clone();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&Ok(0)), "one at least is answered: {kinds:?}");
    assert!(kinds.iter().all(|kind| matches!(kind, Ok(0) | Err(ErrorKind::Reentrant))), "{kinds:?}");
    world.pool.audit();
    world.shut_down();
}

/// A library is closed when the threads that ran it have ended, their destructors included, and the other workers
/// live on.
pub fn a_library_is_closed_after_the_last_destructor_of_its_threads() {
    let world = World::new(2);
    let (a, b) = (world.lane("a", 1), world.lane("b", 1));
    let ran = Arc::new(Mutex::new(Vec::new()));
    for (lane, generation) in [(&a, 1), (&b, 2), (&a, 1)] {
        let ran = ran.clone();
        lane.load_library(generation, &world, move |worker| {
            ran.lock().expect("no panic").push((generation, worker));
        });
    }
    assert!(world.pool.wait_idle(far()));
    let before = world.pool.stats().workers;
    // Work comes in while the workers that ran it are told to end.
    let pusher = {
        let (a, b) = (a.clone(), b.clone());
        thread::spawn(move || {
            for number in 0..2 {
                a.push(0, number);
            }
            b.push(0, 0);
        })
    };
    world.retire(1);
    pusher.join().expect("it does not panic");
    assert!(world.pool.settle(far()));
    assert!(world.pool.wait_idle(far()));
    assert_eq!((a.ran(), b.ran()), (2, 1));
    assert!(world.is_closed(1) && !world.is_closed(2));
    let (mut first, second): (Vec<_>, Vec<_>) =
        ran.lock().expect("no panic").iter().partition(|(generation, _)| *generation == 1);
    first.sort_unstable();
    first.dedup();
    for (_, worker) in &first {
        assert!(world.pool.worker(*worker).is_none(), "worker {worker} ran it and lives on");
    }
    for (_, worker) in second {
        let ran_both = first.contains(&(1, worker));
        assert!(ran_both || world.pool.worker(worker).is_some(), "worker {worker} ran something else only");
    }
    assert!(world.pool.stats().workers <= before + first.len());
    world.pool.audit();
    world.shut_down();
}

/// As above, while a worker that ran the library is ending already because there are more than are needed.
pub fn a_worker_that_ends_by_itself_is_waited_for_too() {
    let world = World::new(1);
    let (a, b) = (world.lane("a", 1), world.lane("b", 1));
    a.noting(1);
    b.noting(1);
    let (told, second) = (world.clone(), b.clone());
    a.run(move || {
        told.touch(1);
        let inner = told.clone();
        let answered = told.ask(&second, move || {
            inner.touch(1);
            Ok(7)
        });
        assert_eq!(answered.expect("no circle"), 7);
    });
    // Two workers were needed and one is. The other has nothing to do with the pool any more, but its thread may be
    // on its way out, with the destructor that the library has left on it.
    assert!(world.pool.wait_idle(far()));
    world.retire(1);
    assert!(world.pool.settle(far()));
    assert!(world.is_closed(1));
    world.shut_down();
    world.pool.audit();
}

/// A result reaches the waiter or is given back to the task, never both and never neither; whatever ends the wait.
pub fn a_result_is_taken_or_given_back_exactly_once() {
    let world = World::new(1);
    let a = world.lane("a", 1);
    let back = Arc::new(AtomicU32::new(0));
    let (pending, promise) = Pending::pair();
    let given_back = back.clone();
    a.run(move || {
        if !promise.start(0) || promise.finish(5).is_err() {
            given_back.fetch_add(1, SeqCst);
        }
    });
    let stopping = {
        let pool = world.pool.clone();
        thread::spawn(move || pool.stop_waits(9))
    };
    // A deadline that has passed: the wait gives up by itself, or is woken, or finds the result.
    let caller = lanes::Caller { generation: 9, seat: 0 };
    let late = Instant::now() - Duration::from_secs(1);
    let got = world.pool.wait_for(a.lane(), Turn::Queued, Some(caller), &pending, late, || Ok(()));
    stopping.join().expect("it does not panic");
    assert!(world.pool.wait_idle(far()));
    assert_eq!(back.load(SeqCst) + u32::from(got.is_ok()), 1, "{:?}", got.map_err(|error| error.kind()));
    world.shut_down();
}

/// A wait on behalf of a generation that stops is woken or refused, whichever comes first.
pub fn a_wait_does_not_outlive_the_stop_of_its_generation() {
    let world = World::new(1);
    let hung = world.lane("hung", 1);
    let (open, gate) = world.gate();
    hung.run(move || gate.pass());
    let register = Arc::new(lanes::Register::new(3).expect("a seat is free"));
    register.begin_enable();
    let stopper = {
        let (pool, register) = (world.pool.clone(), register.clone());
        thread::spawn(move || {
            register.stop();
            pool.stop_waits(3);
        })
    };
    let caller = lanes::Caller { generation: 3, seat: register.seat().index() };
    let (pending, promise) = Pending::<()>::pair();
    // Kept, so that nothing but the stop can end the wait.
    let got = world.pool.wait_for(hung.lane(), Turn::Queued, Some(caller), &pending, far(), || Ok(()));
    assert_eq!(got.map_err(|error| error.kind()), Err(ErrorKind::Stopping));
    drop(promise);
    stopper.join().expect("it does not panic");
    open.open();
    assert!(world.pool.wait_idle(far()));
    world.shut_down();
}

/// Shutting down while others push and a generation is retired: every worker ends and every library is closed.
pub fn a_pool_shuts_down_whatever_else_goes_on() {
    let world = World::new(2);
    let (a, b) = (world.lane("a", 1), world.lane("b", 2));
    a.load_library(1, &world, |_| ());
    assert!(world.pool.wait_idle(far()));
    let pusher = {
        let (a, b) = (a.clone(), b.clone());
        thread::spawn(move || {
            for number in 0..2 {
                a.push(0, number);
                b.push(0, number);
            }
        })
    };
    world.retire(1);
    world.shut_down();
    pusher.join().expect("it does not panic");
    assert!(world.is_closed(1));
    assert_eq!(world.pool.stats().workers, 0);
    world.pool.audit();
}

/// One call hangs on the only worker: with the monitor's looks the other lanes go on, the lane of the call is stuck,
/// and after its return it is not, and the books are right.
pub fn a_call_that_hangs_holds_nobody_up_but_its_own_lane() {
    let world = World::new(1);
    let (hung, other) = (world.lane("hung", 1), world.lane("other", 1));
    let (open, gate) = world.gate();
    let began = Arc::new(AtomicBool::new(false));
    let beginning = began.clone();
    hung.run(move || {
        beginning.store(true, SeqCst);
        gate.pass();
    });
    while !began.load(SeqCst) {
        thread::yield_now();
    }
    other.push(0, 0);
    let (mut monitor, start) = (Monitor::default(), Instant::now());
    let mut minute = 0;
    while other.ran() == 0 {
        minute += 1;
        world.pool.look(&mut monitor, start + Duration::from_secs(60 * minute));
        world.pool.audit();
        thread::yield_now();
    }
    assert!(hung.lane().is_stuck() || minute < 3);
    open.open();
    assert!(world.pool.wait_idle(far()));
    assert!(!hung.lane().is_stuck());
    assert_eq!(world.pool.stats().stuck, 0);
    world.pool.audit();
    world.shut_down();
}

/// What a question is answered with.
type Answer = Result<u32>;
