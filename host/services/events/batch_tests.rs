//! Batches: in order, nothing lost, and counted as if each event had been taken alone.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::error::{Error, ErrorKind};

/// Counts tokens, as a lane does that nobody works off.
#[derive(Default)]
struct Tokens(AtomicU64);

impl Deliver for Tokens {
    fn ready(&self, _: &Arc<Subscription>) -> Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn expect(&self, _: &Arc<Subscription>, _: u64, _: std::time::Instant) -> Result<Asked> {
        Err(Error::new(ErrorKind::Busy, "nobody answers"))
    }

    fn subscriber(&self) -> Arc<str> {
        "somebody".into()
    }
}

struct Now;

impl Clock for Now {
    fn unix_ms(&self) -> i64 {
        0
    }
}

fn subscribed(capacity: usize, policy: Policy) -> (Events, Arc<Tokens>, Arc<Subscription>) {
    let (events, tokens) = (Events::new(Now), Arc::new(Tokens::default()));
    let pattern = Pattern::parse("a.b").expect("it is a pattern");
    let request = SubscribeRequest { capacity, policy, ..SubscribeRequest::new(1, None, pattern) };
    let subscription = events.subscribe(request, tokens.clone()).expect("nobody has its name");
    (events, tokens, subscription)
}

fn emit(events: &Events, number: u64) -> Emitted {
    let topic = Topic::parse("a.b").expect("it is a topic");
    let draft = Draft { subject: number.to_string(), ..Draft::new(topic, "/test", *b"") };
    events.emit(draft, Duration::ZERO).expect("it is right")
}

fn number(delivery: &Delivery) -> u64 {
    delivery.event.subject.parse().expect("it is a number")
}

/// Runs up to `most` events of a batch.
fn run(batch: &mut Batch<'_>, most: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < most
        && let Some(delivery) = batch.next()
    {
        seen.push(number(&delivery));
        batch.handled(true, false);
    }
    seen
}

#[test]
fn what_a_batch_leaves_comes_first_again_and_waits_meanwhile() {
    let (events, _, subscription) = subscribed(8, Policy::DropNew);
    (0..8).for_each(|number| {
        emit(&events, number);
    });
    let mut batch = subscription.take_batch(6).expect("eight wait");
    assert_eq!(run(&mut batch, 2), [0, 1]);
    let Counters { waiting, running, .. } = subscription.counters();
    assert_eq!((waiting, running), (6, 1), "what has not begun still waits");
    // Two places are free: of those that have begun.
    assert_eq!([8, 9, 10].map(|number| emit(&events, number).queued), [1, 1, 0]);
    assert_eq!(batch.used(6), 2, "four tokens are left for the four that are left");
    drop(batch);
    let Counters { waiting, running, delivered, .. } = subscription.counters();
    assert_eq!((waiting, running, delivered), (8, 0, 2));
    let mut all = subscription.take_batch(100).expect("eight wait");
    assert_eq!(run(&mut all, 100), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(all.used(100), 100, "nothing is left for the other tokens");
}

#[test]
fn what_ends_meanwhile_ends_the_batch_and_is_counted_where_it_belongs() {
    type End = fn(&Events, &Arc<Subscription>);
    let ends: [(End, Drops); 3] = [
        (|_, subscription| subscription.set_live(false), Drops { not_live: 4, ..Drops::default() }),
        (|events, subscription| events.unsubscribe(subscription), Drops { ended: 4, ..Drops::default() }),
        (
            |_, subscription| {
                subscription.set_live(false);
                subscription.set_live(true);
            },
            Drops { not_live: 4, ..Drops::default() },
        ),
    ];
    for (end, dropped) in ends {
        let (events, _, subscription) = subscribed(8, Policy::DropNew);
        (0..6).for_each(|number| {
            emit(&events, number);
        });
        let mut batch = subscription.take_batch(5).expect("six wait");
        assert_eq!(run(&mut batch, 2), [0, 1]);
        end(&events, &subscription);
        assert_eq!(subscription.counters().dropped, dropped, "also those that the batch holds, at once");
        assert!(run(&mut batch, 5).is_empty(), "none begins any more");
        drop(batch);
        let expected = Counters { matched: 6, delivered: 2, dropped, ..Counters::default() };
        assert_eq!((subscription.counters(), events.totals().counters), (expected, expected));
    }
}

#[test]
fn a_batch_that_nobody_begins_leaves_no_trace_but_its_first() {
    let (events, _, subscription) = subscribed(8, Policy::DropNew);
    (0..3).for_each(|number| {
        emit(&events, number);
    });
    drop(subscription.take_batch(3));
    let Counters { waiting, running, dropped, .. } = subscription.counters();
    assert_eq!((waiting, running, dropped.ended), (2, 0, 1));
}

/// Random emissions, batches that are worked off in part, ends and beginnings: what was delivered came in order, and the counts add
/// up at every step, those of the engine too.
#[test]
fn random_batches_keep_the_order_and_the_counts() {
    for seed in 1..=200_u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = move |below: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % below
        };
        let policy = if seed % 2 == 0 { Policy::DropOldest } else { Policy::DropNew };
        let (events, _, subscription) = subscribed(1 + seed as usize % 7, policy);
        let (mut emitted, mut handled, mut last) = (0, 0, None);
        let over = roll(300);
        for step in 0..300 {
            if step == over {
                events.unsubscribe(&subscription);
            }
            match roll(8) {
                0..4 => {
                    {
                        emit(&events, emitted);
                    };
                    emitted += 1;
                }
                4..7 => {
                    let Some(mut batch) = subscription.take_batch(1 + roll(6) as usize) else { continue };
                    for _ in 0..roll(7) {
                        if roll(4) == 0 {
                            {
                                emit(&events, emitted);
                            };
                            emitted += 1;
                        }
                        if roll(40) == 0 {
                            subscription.set_live(false);
                            subscription.set_live(true);
                        }
                        let Some(delivery) = batch.next() else { break };
                        assert!(
                            last < Some(number(&delivery)),
                            "seed {seed}: {last:?}, then {}",
                            number(&delivery)
                        );
                        last = Some(number(&delivery));
                        if roll(9) == 0 {
                            batch.not_begun(false);
                        } else {
                            batch.handled(roll(5) > 0, roll(6) == 0 && batch.is_done());
                            handled += 1;
                        }
                    }
                }
                _ => {
                    let live = roll(2) == 0;
                    subscription.set_live(live);
                    subscription.set_live(true);
                }
            }
            for counters in [subscription.counters(), events.totals().counters] {
                let Counters { matched, waiting, running, delivered, failed, dropped } = counters;
                assert_eq!(
                    matched,
                    waiting + running + delivered + failed + dropped.total(),
                    "seed {seed}: {counters:?}"
                );
                assert_eq!((running, delivered + failed), (0, handled), "seed {seed}, step {step}");
            }
            assert_eq!(subscription.counters(), events.totals().counters, "seed {seed}, step {step}");
        }
    }
}
