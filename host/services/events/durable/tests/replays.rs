//! What is replayed, and what is counted.

use super::*;

/// A consumer to which event 1 has died, and which is over.
fn died(bench: &Bench) {
    let sub = bench.subscribe(|request| {
        request.max_deliveries = 1;
        request.filter = Some(Arc::new(|event: &Event| event.subject == "old"));
    });
    bench.emit("a.b", |draft| draft.subject = "old".into());
    assert_eq!(sub.refuse(), [(1, 1)]);
    bench.durable().unsubscribe(&sub.consumer);
    bench.clock.settle();
}

#[test]
fn events_28_a_dead_letter_that_is_replayed_is_delivered_whatever_the_filter_says_then() {
    let bench = Bench::new();
    died(&bench);
    let only_new = |request: &mut DurableRequest| {
        request.max_deliveries = 2;
        request.filter = Some(Arc::new(|event: &Event| event.subject == "new"));
    };
    let sub = bench.subscribe(only_new);
    let other = bench.subscribe(|request| request.name = consumer_name("", "other"));
    other.accept();
    bench.emit("a.b", |draft| draft.subject = "old".into());
    assert_eq!(bench.durable().replay(&[1]).expect("it is there"), 1);
    assert_eq!(other.accept(), [(2, 1)], "what is replayed is for one alone");
    assert_eq!(
        sub.refuse(),
        [(3, 1)],
        "the one that was published is not let through, the one that was replayed is"
    );
    // It comes again as any other, also to one that has to read it of the log.
    bench.durable().unsubscribe(&sub.consumer);
    bench.clock.settle();
    bench.clock.advance(BACKOFF);
    let sub = bench.subscribe(only_new);
    assert_eq!(sub.accept(), [(3, 2)]);
}

#[test]
fn events_28_a_dead_letter_that_is_replayed_is_for_the_pattern_that_there_is_then() {
    let bench = Bench::new();
    died(&bench);
    let sub = bench.subscribe(|request| request.pattern = Pattern::parse("a.c").expect("a pattern"));
    assert_eq!(bench.durable().replay(&[1]).expect("it is there"), 1);
    bench.emit("a.c", |_| {});
    assert_eq!(sub.accept(), [(3, 1)]);
}

#[test]
fn what_becomes_of_durable_events_is_counted_over_all_subscriptions() {
    let bench = Bench::new();
    let totals = || bench.durable().totals();
    assert_eq!(totals(), DurableTotals::default());
    let sub = bench.subscribe(|request| request.max_deliveries = 2);
    for _ in 0..2 {
        bench.emit("a.b", |draft| draft.id = Some("same".into()));
    }
    assert_eq!((totals().written, totals().duplicates), (1, 1));
    assert_eq!(sub.refuse(), [(1, 1)]);
    assert_eq!((totals().delivered, totals().retried, totals().dead), (1, 1, 0));
    bench.clock.advance(BACKOFF);
    assert_eq!(sub.refuse(), [(1, 2)]);
    assert_eq!((totals().delivered, totals().redelivered, totals().retried, totals().dead), (2, 1, 1, 1));
    assert_eq!(bench.durable().replay(&[1]).expect("it is there"), 1);
    assert_eq!(sub.accept(), [(2, 1)]);
    // Those that are over are not forgotten.
    bench.durable().unsubscribe(&sub.consumer);
    let other = bench.subscribe(|request| {
        request.name = consumer_name("", "other");
        request.explicit = true;
        request.start = Start::New;
    });
    bench.emit("a.b", |_| {});
    let deliveries = other.deliveries();
    assert_eq!(totals().acknowledged, 1, "it is not acknowledged yet");
    bench.durable().ack(OWNER, deliveries[0]).expect("it is in time");
    let _ = bench.durable().ack(OWNER, deliveries[0]).expect_err("it counts once");
    let expected = DurableTotals {
        written: 2,
        duplicates: 1,
        delivered: 4,
        redelivered: 1,
        acknowledged: 2,
        retried: 1,
        dead: 1,
        replayed: 1,
    };
    assert_eq!(totals(), expected);
}
