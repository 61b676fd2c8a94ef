//! Who gets an event: routing held against the rule read aloud, filters and priorities, and order and counts while
//! many publish and subscriptions come and go.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize},
        mpsc,
    },
    thread,
};

use super::*;

/// Hands each token to whoever runs the handlers, if there is somebody.
struct Tokens(Option<mpsc::Sender<Arc<Subscription>>>);

impl Deliver for Tokens {
    fn ready(&self, subscription: &Arc<Subscription>) -> Result<()> {
        if let Some(runner) = &self.0 {
            runner.send(Arc::clone(subscription)).expect("the runner outlives the publishers");
        }
        Ok(())
    }

    fn expect(&self, subscription: &Arc<Subscription>, _: u64, _: Instant) -> Result<Asked> {
        panic!("{subscription:?} is for nobody who waits")
    }

    fn subscriber(&self) -> Arc<str> {
        "somebody".into()
    }
}

fn engine() -> Events {
    Events::new(|| 0)
}

fn nobody() -> Arc<Tokens> {
    Arc::new(Tokens(None))
}

fn request(owner: u64, tenant: &str, pattern: &str) -> SubscribeRequest {
    let pattern = Pattern::parse(pattern).expect("it is a pattern");
    let tenant = Some(tenant).filter(|tenant| !tenant.is_empty()).map(Arc::from);
    SubscribeRequest::new(owner, tenant, pattern)
}

fn filtered(pattern: &str, filter: &str) -> SubscribeRequest {
    SubscribeRequest {
        filter: Some(Filter::parse(filter).expect("it is a filter")),
        ..request(1, "", pattern)
    }
}

fn draft(topic: &str, tenant: &str, subject: &str) -> Draft {
    let topic = Topic::parse(topic).expect("it is a topic");
    Draft { subject: subject.into(), tenant: tenant.into(), ..Draft::new(topic, "/test", *b"{}") }
}

fn emit(events: &Events, topic: &str, subject: &str) -> Emitted {
    events.emit(draft(topic, "", subject), Duration::ZERO).expect("the engine is up")
}

/// The rule read aloud, over texts, independent of the tree and of [`Pattern::matches`].
fn naive(pattern: &str, topic: &str) -> bool {
    let (mut wanted, mut found) = (pattern.split('.'), topic.split('.'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
}

/// Numbers that are random enough, and the same each time: xorshift64*.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }

    /// Tokens that begin like one another, and names that differ from them in one place.
    fn token(&mut self) -> &'static str {
        ["a", "b", "ab", "abc", "bc", "a-b", "a_b", "A", "aa", "0"][self.roll(10)]
    }

    /// Mostly short; of two names mostly, so that patterns meet topics.
    fn topic(&mut self) -> String {
        let tokens = if self.roll(20) == 0 { 1 + self.roll(16) } else { 1 + self.roll(4) };
        let usual = self.roll(4) > 0;
        let token = |dice: &mut Self| if usual { ["a", "b"][dice.roll(2)] } else { dice.token() };
        let tokens: Vec<_> = (0..tokens).map(|_| token(self)).collect();
        tokens.join(".")
    }

    fn pattern(&mut self) -> String {
        let topic = self.topic();
        let mut tokens: Vec<_> = topic.split('.').collect();
        for token in &mut tokens {
            if self.roll(3) == 0 {
                *token = "*";
            }
        }
        if self.roll(4) == 0
            && let Some(last) = tokens.last_mut()
        {
            *last = ">";
        }
        tokens.join(".")
    }

    fn tenant(&mut self) -> &'static str {
        ["", "", "acme", "acm"][self.roll(4)]
    }
}

/// Holds the routes against the rule with so many pairs of a topic and a pattern, while subscriptions come and go. Tells how
/// many pairs met.
fn compare(pairs: u64, seed: u64) -> u64 {
    const STANDING: usize = 400;
    let (events, deliver, mut dice) = (engine(), nobody(), Dice::new(seed));
    let mut standing: Vec<Arc<Subscription>> = Vec::new();
    let (mut owner, mut done, mut met) = (0, 0, 0);
    while done < pairs {
        // Some go and as many come, so that the tree grows, is pruned, and grows again.
        for _ in 0..dice.roll(20) {
            if !standing.is_empty() {
                events.unsubscribe(&standing.swap_remove(dice.roll(standing.len())));
            }
        }
        while standing.len() < STANDING {
            owner += 1;
            let priority = dice.roll(3) as i32 - 1;
            let request = SubscribeRequest { priority, ..request(owner, dice.tenant(), &dice.pattern()) };
            standing.push(events.subscribe(request, deliver.clone()).expect("its owner is new"));
        }
        let (topic, tenant) = (dice.topic(), dice.tenant());
        let (found, _) = events.matching(draft(&topic, tenant, "")).expect("the engine is up");
        let mut wanted: Vec<_> = standing
            .iter()
            .filter(|s| naive(s.pattern().as_str(), &topic))
            .filter(|s| s.tenant().is_none_or(|mine| **mine == *tenant))
            .collect();
        wanted.sort_by_key(|s| (-s.priority, s.number));
        let same = found.len() == wanted.len() && found.iter().zip(&wanted).all(|(f, w)| Arc::ptr_eq(f, w));
        assert!(same, "seed {seed}: {topic} of {tenant:?} went to {found:?}, not to {wanted:?}");
        done += STANDING as u64;
        met += found.len() as u64;
    }
    for subscription in standing {
        events.unsubscribe(&subscription);
    }
    assert!(events.is_routed_nowhere(), "an empty tree has no nodes left");
    met
}

#[test]
fn events_3_routing_agrees_with_the_rule_read_aloud() {
    let met = compare(200_000, 8);
    assert!((4_000..150_000).contains(&met), "the test has lost its bite: {met} of 200,000 met");
}

/// What `cargo xtask events-routes` runs: `PINTLE_EVENTS_ROUTES` is `PAIRS SEED`.
#[test]
#[ignore = "it takes minutes without optimisation: cargo xtask events-routes"]
fn full() {
    let asked = std::env::var("PINTLE_EVENTS_ROUTES").unwrap_or_else(|_| "10000000 0".into());
    let numbers: Vec<u64> = asked.split(' ').map(|word| word.parse().expect("two numbers")).collect();
    let [pairs, seed] = numbers[..] else { panic!("`{asked}` is not PAIRS SEED") };
    let began = Instant::now();
    let met = compare(pairs, seed);
    println!(
        "{pairs} pairs of a topic and a pattern with seed {seed}: {met} met, and no difference, in {:?}",
        began.elapsed()
    );
}

#[test]
fn routing_is_right_while_subscriptions_come_and_go() {
    const STANDING: usize = 60;
    const ROUNDS: usize = 400;
    let (events, deliver, mut dice) = (engine(), nobody(), Dice::new(1));
    let stand = |owner| {
        let request = request(owner as u64 + 10, "", &dice.pattern());
        events.subscribe(request, deliver.clone()).expect("its owner is new")
    };
    let standing: Vec<_> = (0..STANDING).map(stand).collect();
    let (done, looked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for look in 0..3 {
            let (events, standing, done, looked) = (&events, &standing, &done, &looked);
            scope.spawn(move || {
                let mut dice = Dice::new(100 + look);
                while !done.load(Ordering::SeqCst) {
                    let topic = dice.topic();
                    let (found, _) = events.matching(draft(&topic, "", "")).expect("the engine is up");
                    assert!(found.iter().all(|s| naive(s.pattern().as_str(), &topic)), "{topic}: {found:?}");
                    assert!(found.is_sorted_by_key(|s| s.number), "{topic}: {found:?}");
                    let stood = found.iter().filter(|s| s.owner >= 10).count();
                    let wanted = standing.iter().filter(|s| naive(s.pattern().as_str(), &topic)).count();
                    assert_eq!(stood, wanted, "{topic}: {found:?}");
                    looked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let changes: Vec<_> = (0..2)
            .map(|owner| {
                let (events, deliver) = (&events, &deliver);
                scope.spawn(move || {
                    let mut dice = Dice::new(200 + owner);
                    for _ in 0..ROUNDS {
                        let request = request(owner + 1, "", &dice.pattern());
                        let mine = events.subscribe(request, deliver.clone()).expect("its name is free");
                        let topic = mine.pattern().as_str().replace(['*', '>'], "b");
                        let meant = || {
                            let (found, _) =
                                events.matching(draft(&topic, "", "")).expect("the engine is up");
                            found.iter().filter(|found| Arc::ptr_eq(found, &mine)).count()
                        };
                        assert_eq!(meant(), 1, "what is emitted after it came is for it: {mine:?}");
                        events.unsubscribe(&mine);
                        assert_eq!(meant(), 0, "what is emitted after it went is not: {mine:?}");
                    }
                })
            })
            .collect();
        let joined: Vec<_> = changes.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // One look at what there is now; on a busy machine the others may not have begun before.
        let looks = looked.load(Ordering::SeqCst);
        while looked.load(Ordering::SeqCst) == looks && joined.iter().all(Result::is_ok) {
            thread::yield_now();
        }
        done.store(true, Ordering::SeqCst);
        joined.into_iter().for_each(|joined| joined.expect("it does not panic"));
    });
    assert_eq!(events.subscriptions().len(), STANDING);
}

#[test]
fn events_11_eight_publishers_lose_nothing_and_keep_their_order_in_each_subscription() {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 600;
    const ALL: u64 = (PUBLISHERS * EACH) as u64;
    let events = engine();
    let kept = [
        ("patient", "a.>", Policy::Wait, 16),
        ("also-patient", "a.*", Policy::Wait, 3),
        ("roomy", ">", Policy::DropNew, ALL as usize),
        ("oldest", "a.*", Policy::DropOldest, 16),
        ("newest", "*.*", Policy::DropNew, 16),
    ];
    let start = Barrier::new(PUBLISHERS);
    let heard = thread::scope(|scope| {
        let runners: Vec<_> = kept
            .into_iter()
            .map(|(name, pattern, policy, capacity)| {
                let (tokens, runner) = mpsc::channel::<Arc<Subscription>>();
                let request =
                    SubscribeRequest { policy, capacity, name: name.into(), ..request(1, "", pattern) };
                let made =
                    events.subscribe(request, Arc::new(Tokens(Some(tokens)))).expect("its name is free");
                let run = move || {
                    let mut heard = Vec::new();
                    // Until the last publisher has gone, and with it the subscription.
                    while let Ok(token) = runner.recv() {
                        if let Some(delivery) = token.take() {
                            token.delivered(true);
                            heard.push(delivery.event.subject.clone());
                        }
                        // One that has ended hands out no further token.
                        let counters = token.counters();
                        if counters.matched == ALL && counters.waiting == 0 {
                            break;
                        }
                    }
                    heard
                };
                (made, policy, scope.spawn(run))
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (events, start) = (&events, &start);
                scope.spawn(move || {
                    start.wait();
                    for n in 0..EACH {
                        let draft = draft(["a.x", "a.y"][n % 2], "", &format!("{publisher} {n}"));
                        let emitted = events.emit(draft, MAX_WAIT).expect("the engine is up");
                        assert_eq!((emitted.matched, emitted.queued + emitted.dropped), (5, 5));
                    }
                })
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().expect("it does not panic"));
        let heard = runners.into_iter().map(|(made, policy, runner)| {
            let heard = runner.join().expect("it does not panic");
            (made, policy, heard)
        });
        heard.collect::<Vec<_>>()
    });
    for (subscription, policy, heard) in heard {
        let mut next = [0; PUBLISHERS];
        for event in &heard {
            let (publisher, n) = event.split_once(' ').expect("two numbers");
            let n: usize = n.parse().expect("a number");
            let next = &mut next[publisher.parse::<usize>().expect("a number")];
            assert!(n >= *next, "{subscription:?}: {n} of {publisher} after {next}");
            *next = n + 1;
        }
        let counters = subscription.counters();
        let dropped = match policy {
            Policy::DropOldest => Drops { displaced: counters.dropped.displaced, ..Drops::default() },
            Policy::DropNew => Drops { no_room: counters.dropped.no_room, ..Drops::default() },
            Policy::Wait => Drops::default(),
        };
        let delivered = heard.len() as u64;
        let expected = Counters { matched: ALL, delivered, dropped, ..Counters::default() };
        assert_eq!(counters, expected, "{subscription:?}");
        assert_eq!(delivered + dropped.total(), ALL, "{subscription:?}");
        if subscription.capacity as u64 == ALL {
            assert_eq!(delivered, ALL, "{subscription:?}");
        }
    }
}

#[test]
fn events_37_what_a_filter_holds_back_does_not_count_for_the_subscription() {
    let events = engine();
    let subscribe = |request| events.subscribe(request, nobody()).expect("its name is free");
    let doors = subscribe(filtered("a.*", r#"{"prefix":{"subject":"door-"}}"#));
    let others = subscribe(filtered("a.b", r#"{"not":{"prefix":{"subject":"door-"}}}"#));
    let never = subscribe(filtered("*.b", r#"{"exact":{"tenant":"acme"}}"#));
    assert_eq!(emit(&events, "a.b", "door-7"), Emitted { matched: 1, queued: 1, ..Emitted::default() });
    assert_eq!(emit(&events, "a.b", "window"), Emitted { matched: 1, queued: 1, ..Emitted::default() });
    assert_eq!(emit(&events, "a.c", "window"), Emitted::default(), "nobody is left");
    let count = |subscription: &Subscription| subscription.counters();
    assert_eq!(count(&doors), Counters { matched: 1, waiting: 1, ..Counters::default() });
    assert_eq!(count(&others), Counters { matched: 1, waiting: 1, ..Counters::default() });
    assert_eq!(count(&never), Counters::default());
    let totals = events.totals();
    assert_eq!((totals.emitted, totals.unheard, totals.counters.matched), (3, 1, 2));
    assert_eq!(doors.take().expect("it waits").event.subject, "door-7");
    assert_eq!(others.take().expect("it waits").event.subject, "window");
    // Nobody is asked for an answer whose filter does not let the event through: `Tokens` would panic.
    let results =
        events.emit_sync(None, draft("a.c", "", "window"), Instant::now()).expect("nobody is asked");
    assert!(results.is_empty());
    assert_eq!((events.totals().emitted, events.totals().unheard), (4, 2));
}

#[test]
fn events_37_an_attribute_that_the_host_fills_in_can_be_asked_for() {
    let events = engine();
    let prefix = format!(r#"{{"prefix":{{"id":"{}"}}}}"#, events.id_prefix);
    let made = events.subscribe(filtered("a", &prefix), nobody()).expect("its name is free");
    emit(&events, "a", "");
    events
        .emit(Draft { id: Some("mine".into()), ..draft("a", "", "") }, Duration::ZERO)
        .expect("the engine is up");
    assert_eq!(made.counters().matched, 1);
}

#[test]
fn events_38_subscriptions_of_one_event_get_it_by_priority_and_then_in_the_order_they_were_made() {
    let events = engine();
    let (tokens, order) = mpsc::channel();
    let deliver = Arc::new(Tokens(Some(tokens)));
    for (name, pattern, priority) in [
        ("plain", "a.b", 0),
        ("last", "a.>", -1_000),
        ("first", "*.b", 1_000),
        ("late", "a.b", -1),
        ("early", "a.*", 7),
        ("also-early", "a.b", 7),
        ("also-plain", ">", 0),
    ] {
        let request = SubscribeRequest { name: name.into(), priority, ..request(1, "", pattern) };
        events.subscribe(request, deliver.clone()).expect("its name is free");
    }
    emit(&events, "a.b", "");
    let names: Vec<_> = order.try_iter().map(|token| token.name().to_owned()).collect();
    assert_eq!(names, ["first", "early", "also-early", "plain", "also-plain", "late", "last"]);
    for priority in [1_001, -1_001, i32::MIN] {
        let request = SubscribeRequest { priority, ..request(2, "", "a") };
        let error = events.subscribe(request, deliver.clone()).expect_err("it is out of range");
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        let wanted = format!("`priority`: {priority}, -1000 to 1000");
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}

/// Some thousand subscriptions of a hundred owners, none of which is for `wanted.*`.
fn crowd(events: &Events, subscriptions: usize) {
    for n in 0..subscriptions {
        let owner = n as u64 % 100 + 1;
        let tenant = format!("t{n}");
        let request = match n % 4 {
            0 => request(owner, "", &format!("crowd.t{n}.*")),
            1 => request(owner, "", &format!("crowd.*.t{n}")),
            2 => request(owner, "", &format!("t{n}.>")),
            // For the topic, but under tenants of their own.
            _ => request(owner, &tenant, "wanted.*"),
        };
        events.subscribe(request, nobody()).expect("its name is free");
    }
}

#[test]
fn what_an_event_costs_depends_on_who_it_is_for_and_not_on_how_many_there_are() {
    let steps = |subscriptions: usize| {
        let events = engine();
        crowd(&events, subscriptions);
        events.subscribe(request(1, "", "wanted.>"), nobody()).expect("its name is free");
        routes::STEPS.set(0);
        assert_eq!(emit(&events, "wanted.a", "").matched, 1);
        routes::STEPS.get()
    };
    let few = steps(8);
    assert!(few > 1, "the steps are counted: {few}");
    assert_eq!(steps(10_000), few);
}

/// How long a call of `emit` takes while somebody else comes and goes, or asks for the counts; not a test.
#[test]
#[ignore = "it tells figures: cargo test --release --lib services::events::routes_tests::figures"]
fn figures() {
    const EVENTS: usize = 200_000;
    for subscriptions in [10, 100, 10_000] {
        let events = engine();
        crowd(&events, subscriptions);
        events.subscribe(request(1, "", "wanted.>"), nobody()).expect("its name is free");
        let began = Instant::now();
        for _ in 0..EVENTS {
            emit(&events, "wanted.a", "");
        }
        println!("{subscriptions} subscriptions, 1 meant: {:?} an event", began.elapsed() / EVENTS as u32);
    }
    for (what, churn, report) in [
        ("alone", false, false),
        ("while 10,000 patterns come and go", true, false),
        ("while the counts are asked for", false, true),
        ("while both", true, true),
    ] {
        let (rate, worst, changes) = under(churn, report);
        println!("8 publishers {what}: {rate:.0} events/s, longest {worst:?}, {changes} changes");
    }
}

fn under(churn: bool, report: bool) -> (f64, Duration, usize) {
    const RUNS: Duration = Duration::from_millis(2_000);
    let events = engine();
    crowd(&events, 10_000);
    events.subscribe(request(1, "", "wanted.>"), nobody()).expect("its name is free");
    let done = AtomicBool::new(false);
    let changes = AtomicUsize::new(0);
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (mut emitted, mut worst) = (0_usize, Duration::ZERO);
                    let mut before = Instant::now();
                    while !done.load(Ordering::Relaxed) {
                        emit(&events, "wanted.a", "");
                        let now = Instant::now();
                        worst = worst.max(now - before);
                        before = now;
                        emitted += 1;
                    }
                    (emitted, worst)
                })
            })
            .collect();
        if churn {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let come = |n| {
                        changes.fetch_add(1, Ordering::Relaxed);
                        let pattern = format!("churn.c{n}.>");
                        events.subscribe(request(999, "", &pattern), nobody()).expect("its name is free")
                    };
                    let made: Vec<_> = (0..10_000).map(come).collect();
                    for one in made {
                        changes.fetch_add(1, Ordering::Relaxed);
                        events.unsubscribe(&one);
                    }
                }
            });
        }
        if report {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::black_box(events.totals());
                }
            });
        }
        thread::sleep(RUNS);
        done.store(true, Ordering::Relaxed);
        let told: Vec<_> = publishers.into_iter().map(|p| p.join().expect("it does not panic")).collect();
        let emitted: usize = told.iter().map(|(emitted, _)| emitted).sum();
        let worst = told.iter().map(|(_, worst)| *worst).max().unwrap_or_default();
        (emitted as f64 / RUNS.as_secs_f64(), worst, changes.load(Ordering::Relaxed))
    })
}
