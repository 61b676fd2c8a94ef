//! What durable delivery promises when something ends: processes, subscriptions, deadlines, plugins, positions.

use super::*;

#[test]
fn events_33_a_crash_of_the_process_counts_as_an_attempt() {
    let mut bench = Bench::new();
    for attempt in 1..=3 {
        let sub = bench.subscribe(|_| {});
        if attempt == 1 {
            bench.emit_keyed(&["", ""]);
        }
        // What was being handled comes again like any other that has failed.
        if attempt > 1 {
            sub.run(|claim| {
                assert_eq!(claim.sequence, 2);
                None
            });
            assert_eq!(bench.disk.attempts(1, 1), attempt - 1);
            bench.clock.advance(Duration::from_secs(60));
        }
        let mut seen = Vec::new();
        sub.run(|claim| {
            if claim.sequence == 1 {
                seen.push(claim.attempt);
                bench.dies();
            }
            None
        });
        assert_eq!(seen, [attempt]);
        drop(sub);
        bench.rise();
    }
    let sub = bench.subscribe(|_| {});
    assert_eq!(sub.accept(), [(2, 1)]);
    let dead = bench.disk.dead();
    assert_eq!((dead[0].sequence, dead[0].attempts), (1, 3));
    assert_eq!(&*dead[0].reason, "the process ended while it was handled");
    // Once only.
    bench.restart();
    bench.subscribe(|_| {}).accept();
    assert_eq!(bench.disk.dead().len(), 1);
}

#[test]
fn events_33_a_crash_that_is_known_already_does_not_count_twice() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|request| request.max_deliveries = 10);
    bench.emit_keyed(&[""]);
    sub.run(|_| {
        // The keeper has noted that it was too late, and then the process ends.
        bench.clock.advance(ACK);
        assert_eq!(bench.disk.attempts(1, 1), 1);
        bench.dies();
        None
    });
    drop(sub);
    bench.rise();
    let sub = bench.subscribe(|_| {});
    sub.accept();
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.accept(), [(1, 2)]);
}

#[test]
fn events_33_the_end_of_a_subscription_counts_as_no_attempt() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    let deliveries = sub.deliveries();
    bench.durable().ack(OWNER, deliveries[1]).expect("it is under way");
    bench.durable().unsubscribe(&sub.consumer);
    bench.durable().unsubscribe(&sub.consumer);
    let late = bench.durable().ack(OWNER, deliveries[0]).expect_err("the subscription is over");
    assert_eq!(late.kind(), ErrorKind::StaleHandle);
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    let mut seen = Vec::new();
    sub.run(|claim| {
        seen.push((claim.sequence, claim.attempt));
        bench.durable().unsubscribe(&sub.consumer);
        Some(Err(Error::new(ErrorKind::Stopping, "the plugin stops")))
    });
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    sub.run(|claim| {
        seen.push((claim.sequence, claim.attempt));
        bench.durable().unsubscribe(&sub.consumer);
        None
    });
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    sub.run(|claim| {
        seen.push((claim.sequence, claim.attempt));
        bench.durable().unsubscribe(&sub.consumer);
        Some(Ok(()))
    });
    assert_eq!(seen, [(1, 1); 3]);
    let sub = bench.subscribe(|_| {});
    bench.clock.settle();
    assert_eq!(sub.accept(), [], "an OK that came after the end counts");
}

#[test]
fn events_33_a_subscription_takes_the_position_when_the_one_before_lets_go_of_it() {
    let bench = Bench::new();
    let old = bench.subscribe(|_| {});
    bench.emit_keyed(&["", ""]);
    // On a reload the new one is there, of another owner, before the old one has ended.
    let new = bench.subscribe(|request| (request.owner, request.live) = (OWNER + 1, false));
    let mut seen = Vec::new();
    old.run(|claim| {
        seen.push(claim.sequence);
        bench.durable().unsubscribe(&old.consumer);
        new.consumer.set_live(true);
        bench.clock.settle();
        assert_eq!(new.accept(), [], "not while the old one handles it");
        Some(Ok(()))
    });
    bench.clock.settle();
    assert_eq!((&seen[..], new.accept()), (&[1][..], vec![(2, 1)]));
    assert_eq!(bench.disk.position(1).floor, 2);
}

#[test]
fn events_34_the_deadline_counts_from_the_start_of_the_handler_and_only_attempts_that_began() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    bench.clock.advance(ACK * 2);
    let mut deadlines = Vec::new();
    sub.run(|claim| {
        deadlines.push(claim.deadline - bench.clock.monotonic());
        bench.clock.advance(Duration::from_millis(5));
        Some(Ok(()))
    });
    assert_eq!(deadlines, [ACK, ACK]);
    bench.clock.advance(ACK - Duration::from_millis(6));
    assert_eq!((bench.report().in_flight, bench.report().failures), (1, 1), "the first is overdue");
    bench.clock.advance(Duration::from_millis(6) + SOON);
    assert_eq!((bench.report().in_flight, bench.report().failures), (0, 2));
    let position = bench.disk.position(1);
    assert_eq!(&*position.retries[1].reason, "it was not acknowledged within 30000 ms");

    let mut seen = Vec::new();
    bench.clock.advance(BACKOFF);
    sub.run(|claim| {
        seen.push(claim.attempt);
        None
    });
    assert_eq!(seen, [2], "a lane that takes nothing is not asked again at once");
    bench.clock.advance(BACKOFF);
    sub.run(|claim| {
        seen.push(claim.attempt);
        Some(Ok(()))
    });
    assert_eq!(seen, [2, 2, 2], "what was not begun was no attempt");
}

#[test]
fn events_35_what_comes_after_the_deadline_does_not_count() {
    let bench = Bench::new();
    let explicit = bench.subscribe(|request| {
        (request.explicit, request.name) = (true, consumer_name("", "explicit"));
    });
    let hangs = bench.subscribe(|_| {});
    bench.emit_keyed(&[""]);
    let old = explicit.deliveries();
    hangs.run(|_| {
        bench.clock.advance(ACK);
        assert_eq!(hangs.consumer.counters().running, 0, "it has failed while it runs");
        Some(Ok(()))
    });
    for stale in [bench.durable().ack(OWNER, old[0]), bench.durable().nack(OWNER, old[0], None, "")] {
        assert_eq!(stale.expect_err("its time is over").kind(), ErrorKind::StaleHandle);
    }
    bench.clock.advance(BACKOFF);
    let new = explicit.deliveries();
    assert_eq!(
        bench.durable().ack(OWNER, old[0]).expect_err("an older attempt").kind(),
        ErrorKind::StaleHandle
    );
    bench.durable().ack(OWNER, new[0]).expect("the newest attempt");
    assert_eq!(hangs.accept(), [(1, 2)]);
    bench.clock.advance(SOON);
    assert_eq!((bench.disk.position(1).floor, bench.disk.position(2).floor), (1, 1));
}

#[test]
fn events_35_an_answer_wins_over_what_the_handler_says_later() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", "", ""]);
    sub.run(|claim| {
        let answer = match claim.sequence {
            1 => bench.durable().ack(OWNER, claim.delivery),
            2 => bench.durable().nack(OWNER, claim.delivery, None, "mine"),
            _ => Ok(()),
        };
        answer.expect("it is under way");
        Some(Err(Error::new(ErrorKind::Busy, "the handler's")))
    });
    let position = bench.disk.position(1);
    let reasons: Vec<_> = position.retries.iter().map(|retry| (retry.sequence, &*retry.reason)).collect();
    assert_eq!((position.floor, reasons), (1, vec![(2, "mine"), (3, "the handler's")]));
}

#[test]
fn events_36_nothing_is_claimed_for_a_lane_that_is_stuck() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    let other = bench.subscribe(|request| request.name = consumer_name("", "other"));
    sub.accept();
    sub.lane.refuses.store(true, Ordering::SeqCst);
    bench.emit_keyed(&[""]);
    assert_eq!(other.accept(), [(1, 1)], "others do not notice");
    bench.clock.advance(ACK * 10);
    let report = bench.report();
    assert_eq!((report.in_flight, report.failures), (0, 0));
    let refused = sub.lane.refused.load(Ordering::SeqCst);
    assert!((2..200).contains(&refused), "asked {refused} times");
    sub.lane.refuses.store(false, Ordering::SeqCst);
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(sub.accept(), [(1, 1)]);
}

#[test]
fn events_36_a_handler_that_hangs_delays_no_other_consumer() {
    let bench = Bench::new();
    let hangs = bench.subscribe(|_| {});
    let other = bench.subscribe(|request| request.name = consumer_name("", "other"));
    bench.emit_keyed(&[""]);
    hangs.run(|_| {
        bench.emit_keyed(&["", ""]);
        assert_eq!(other.accept(), [(1, 1), (2, 1), (3, 1)]);
        bench.durable().unsubscribe(&hangs.consumer);
        bench.clock.advance(ACK);
        // Whoever comes next is not held up beyond the deadline.
        let next = bench.subscribe(|_| {});
        assert_eq!(next.accept(), [(2, 1), (3, 1)]);
        bench.clock.advance(BACKOFF);
        assert_eq!(next.accept(), [(1, 2)]);
        Some(Ok(()))
    });
}

#[test]
fn events_41_events_wait_while_the_plugin_is_disabled() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|request| request.live = false);
    bench.emit_keyed(&["", ""]);
    assert_eq!(sub.accept(), []);
    sub.consumer.set_live(true);
    let mut seen = Vec::new();
    sub.run(|claim| {
        seen.push(claim.sequence);
        sub.consumer.set_live(false);
        Some(Ok(()))
    });
    assert_eq!(seen, [1]);
    bench.emit_keyed(&[""]);
    bench.clock.advance(ACK * 2);
    assert_eq!((sub.accept(), bench.disk.position(1).floor), (vec![], 1));
    bench.restart();
    bench.emit_keyed(&[""]);
    assert_eq!(bench.subscribe(|_| {}).accept(), [(2, 1), (3, 1), (4, 1)]);
}

#[test]
fn events_41_what_was_delivered_can_be_acknowledged_while_the_plugin_is_disabled() {
    let bench = Bench::new();
    let sub = bench.subscribe(|request| request.explicit = true);
    bench.emit_keyed(&["", ""]);
    let deliveries = sub.deliveries();
    sub.consumer.set_live(false);
    bench.durable().ack(OWNER, deliveries[0]).expect("it is under way");
    bench.clock.advance(ACK);
    bench.clock.advance(SOON);
    assert_eq!((bench.disk.is_settled(1, 1), bench.disk.attempts(1, 2)), (true, 1));
    sub.consumer.set_live(true);
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.accept(), [(2, 2)]);
}

#[test]
fn a_name_is_taken_once_among_all_subscriptions_of_an_owner() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    let lane: Arc<dyn Turns> = Arc::new(Lane::default());
    let again = bench.durable().subscribe(&bench.events, request("c"), Arc::clone(&lane));
    assert_eq!(again.expect_err("it is taken").kind(), ErrorKind::Conflict);
    bench.durable().unsubscribe(&sub.consumer);
    bench.subscribe(|_| {});
    bench.durable().close();
    let closed = bench.durable().subscribe(&bench.events, request("d"), lane);
    assert_eq!(closed.expect_err("it is closed").kind(), ErrorKind::Stopping);
}

#[test]
fn retention_goes_on_while_there_are_events_and_tells_who_is_late_once_an_hour() {
    let bench = Bench::new();
    assert_eq!(bench.log.clearings.load(Ordering::SeqCst), 1, "at the start");
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(bench.log.clearings.load(Ordering::SeqCst), 1, "there is nothing");
    bench.emit("a", |_| {});
    let late = Cleared { late: vec![consumer_name("t", "c")], ..Cleared::default() };
    *bench.log.cleared.lock() = vec![Cleared { more: true, ..late.clone() }, late.clone(), late.clone()];
    bench.clock.advance(Duration::from_secs(60));
    bench.clock.settle();
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.log.clearings.load(Ordering::SeqCst), 4);
    let reports = bench.reports.lock().clone();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(
        reports[0].contains("before its subscription \"c\" under tenant \"t\" had handled them"),
        "{reports:?}"
    );
    bench.log.cleared.lock().push(late);
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.reports.lock().len(), 2);
}

#[test]
fn what_retention_took_away_before_it_came_again_is_passed_over() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&["k", "k"]);
    assert_eq!(sub.refuse(), [(1, 1)]);
    bench.disk.lose(1);
    bench.restart();
    let sub = bench.subscribe(|_| {});
    assert_eq!(sub.accept(), [(2, 1)]);
    assert_eq!(bench.disk.position(1).floor, 2);
}

#[test]
fn a_position_that_was_removed_is_not_made_again_behind_its_back() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&[""]);
    bench.durable().log().forget(&Of { plugin: Some("p"), ..Of::default() }).expect("it is there");
    sub.accept();
    bench.emit_keyed(&[""]);
    assert_eq!(sub.accept(), []);
    bench.durable().unsubscribe(&sub.consumer);
    bench.clock.settle();
    assert_eq!(bench.subscribe(|_| {}).accept(), [(1, 1), (2, 1)]);
}

#[test]
fn reports_tell_who_is_behind() {
    let bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    sub.accept();
    bench.emit_keyed(&["", "", ""]);
    let report = bench.report();
    assert_eq!((report.name, report.behind), (consumer_name("", "c"), 3));
    sub.refuse();
    let report = bench.report();
    assert_eq!((report.retries, report.failures, report.counters.waiting, report.behind), (3, 3, 3, 0));
    let all: HashMap<u64, u64> = HashMap::from([(1, report.counters.matched)]);
    assert_eq!(all[&1], 3);
}

#[test]
fn events_29_what_comes_again_waits_for_one_of_its_key_that_was_done_with_and_not_noted() {
    let mut bench = Bench::new();
    let sub = bench.subscribe(|_| {});
    bench.emit_keyed(&["k", "k"]);
    sub.run(|claim| {
        if claim.sequence == 2 {
            bench.dies();
        }
        Some(Ok(()))
    });
    bench.rise();
    let sub = bench.subscribe(|_| {});
    bench.clock.advance(BACKOFF);
    let first = sub.refuse();
    bench.clock.advance(BACKOFF * 2);
    assert_eq!((first, sub.accept()), (vec![(1, 1)], vec![(1, 2), (2, 2)]));
}
