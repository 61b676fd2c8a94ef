//! What the engine promises, seen from publishers and subscribers.

use std::{
    collections::HashMap,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize},
        mpsc,
    },
    thread,
};

use super::{event::MAX_DATA_BYTES, sync::Delivery, *};

const NOW: i64 = 1_795_244_400_000;
const LONG: Duration = Duration::from_secs(30);

/// A lane: its tokens, in order, and whether it takes any.
#[derive(Default)]
struct Lane {
    tokens: Mutex<Vec<Arc<Subscription>>>,
    refuses: AtomicBool,
    refuses_waits: AtomicBool,
    /// How many publishers have begun to wait, and how many do now.
    waits: AtomicUsize,
    waiting: Arc<AtomicUsize>,
    /// Why it does not let publishers wait for answers.
    refuses_answers: Mutex<Option<ErrorKind>>,
    /// Told of each wait that begins.
    bell: Mutex<Option<mpsc::Sender<()>>>,
}

impl Lane {
    fn tokens(&self) -> usize {
        self.tokens.lock().len()
    }

    /// Works off all tokens; tells what the events were.
    fn run(&self) -> Vec<String> {
        let tokens = std::mem::take(&mut *self.tokens.lock());
        tokens.iter().filter_map(handle).collect()
    }
}

fn handle(subscription: &Arc<Subscription>) -> Option<String> {
    let event = subscription.take()?;
    subscription.delivered(true);
    Some(event.event.subject.clone())
}

struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Deliver for Lane {
    fn ready(&self, subscription: &Arc<Subscription>) -> Result<()> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Busy, "stuck"));
        }
        self.tokens.lock().push(Arc::clone(subscription));
        Ok(())
    }

    fn wait(&self, _: &Arc<Subscription>) -> Result<Box<dyn std::any::Any>> {
        if self.refuses_waits.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Reentrant, "own lane"));
        }
        self.waits.fetch_add(1, Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(bell) = &*self.bell.lock() {
            bell.send(()).unwrap();
        }
        Ok(Box::new(Permit(Arc::clone(&self.waiting))))
    }

    fn expect(&self, _: &Arc<Subscription>, _: u64, deadline: Instant) -> Result<Asked> {
        if let Some(kind) = *self.refuses_answers.lock() {
            return Err(Error::new(kind, "not now"));
        }
        let (tell, told) = mpsc::sync_channel(1);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiter = Awaited { told, woken: AtomicUsize::new(0), _permit: Permit(Arc::clone(&self.waiting)) };
        Ok((Box::new(waiter), Box::new(Reply { tell, deadline })))
    }

    fn subscriber(&self) -> Arc<str> {
        "somebody".into()
    }
}

/// The two sides of an answer, as a channel.
struct Awaited {
    told: mpsc::Receiver<Outcome>,
    woken: AtomicUsize,
    _permit: Permit,
}

struct Reply {
    tell: mpsc::SyncSender<Outcome>,
    deadline: Instant,
}

impl Expected for Awaited {
    fn let_another_in(&self) {
        assert_eq!(self.woken.fetch_add(1, Ordering::SeqCst), 0, "once for all");
    }

    fn wait(&self, deadline: Instant) -> Result<Outcome> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.told.recv_timeout(left).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Error::new(ErrorKind::Timeout, "it did not come in time"),
            mpsc::RecvTimeoutError::Disconnected => Error::new(ErrorKind::Unavailable, "it went"),
        })
    }
}

impl Answer for Reply {
    fn begin(&self, _: u64) -> bool {
        Instant::now() < self.deadline
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn give(&self, outcome: Outcome) -> bool {
        Instant::now() < self.deadline && self.tell.try_send(outcome).is_ok()
    }
}

fn engine() -> Arc<Events> {
    Arc::new(Events::new(|| NOW))
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn request(text: &str) -> SubscribeRequest {
    SubscribeRequest::new(1, None, pattern(text))
}

fn bounded(text: &str, capacity: usize, policy: Policy) -> SubscribeRequest {
    SubscribeRequest { capacity, policy, ..request(text) }
}

fn draft(topic: &str, subject: impl ToString) -> Draft {
    let topic = Topic::parse(topic).unwrap();
    Draft { subject: subject.to_string(), ..Draft::new(topic, "/test", *b"{}") }
}

fn emit(events: &Events, topic: &str, subject: impl ToString) -> Emitted {
    events.emit(draft(topic, subject), Duration::ZERO).unwrap()
}

fn adds_up(counters: Counters) {
    let Counters { matched, waiting, running, delivered, failed, dropped } = counters;
    assert_eq!(matched, waiting + running + delivered + failed + dropped.total(), "{counters:?}");
}

#[test]
fn an_event_reaches_each_subscription_that_matches_once() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscribe = |text: &str| events.subscribe(request(text), lane.clone()).unwrap();
    let subscriptions: Vec<_> =
        ["a.b", "a.*", "a.>", ">", "*.b", "a.bc", "a", "a.b.c", "b.>"].map(subscribe).into();
    let emitted = emit(&events, "a.b", "x");
    assert_eq!(emitted, Emitted { matched: 5, queued: 5, dropped: 0, displaced: 0 });
    let told: Vec<_> = lane.tokens.lock().iter().map(|s| s.name().to_owned()).collect();
    assert_eq!(told, ["a.b", "a.*", "a.>", ">", "*.b"], "in the order in which they subscribed");
    assert_eq!(lane.run().len(), 5);
    assert!(subscriptions.iter().all(|s| s.take().is_none()));
}

#[test]
fn events_22_all_subscribers_of_an_event_share_its_one_payload() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscribe = |text: &str| events.subscribe(request(text), lane.clone()).unwrap();
    let (first, second) = (subscribe("a.b"), subscribe("a.*"));
    emit(&events, "a.b", "the payload");
    let (first, second) = (first.take().unwrap().event, second.take().unwrap().event);
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first.data, &second.data));
}

#[test]
fn events_8_the_engine_fills_in_what_the_publisher_left_out() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let all = events.subscribe(request(">"), lane.clone()).unwrap();
    for _ in 0..2 {
        emit(&events, "a", "");
    }
    events
        .emit(Draft { id: Some("mine".into()), time_ms: Some(5), ..draft("a", "") }, Duration::ZERO)
        .unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| all.take()).map(|taken| taken.event).collect();
    assert_eq!((taken[0].time_ms, taken[2].time_ms, &*taken[2].id), (NOW, 5, "mine"));
    assert!(taken[0].id.len() <= 32 && taken[0].id != taken[1].id, "{taken:?}");
    let elsewhere = engine();
    let all = elsewhere.subscribe(request(">"), lane).unwrap();
    emit(&elsewhere, "a", "");
    assert_ne!(all.take().unwrap().event.id, taken[0].id, "ids of two engines differ");
}

#[test]
fn routing_agrees_with_testing_every_pattern() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let tokens = ["a", "b", "*", ">"];
    let mut texts: Vec<String> = tokens.map(String::from).into();
    for at in 0..84 {
        if !texts[at].ends_with('>') && texts[at].split('.').count() < 4 {
            texts.extend(tokens.map(|t| format!("{}.{t}", texts[at])));
        }
    }
    let subscriptions: Vec<_> =
        texts.iter().map(|text| events.subscribe(request(text), lane.clone()).unwrap()).collect();
    // Half of them go again, so that the tree has been pruned.
    for gone in subscriptions.iter().step_by(2) {
        events.unsubscribe(gone);
    }
    for topic in ["a", "b", "c", "a.b", "a.c", "b.a.b", "c.c.c", "a.b.a.b", "a.b.a.b.a", "ab", "a.ab"] {
        let parsed = Topic::parse(topic).unwrap();
        let mut expected: Vec<_> =
            subscriptions.iter().skip(1).step_by(2).map(|s| s.pattern().clone()).collect();
        expected.retain(|pattern| pattern.matches(&parsed));
        emit(&events, topic, "");
        let found: Vec<_> = lane.tokens.lock().drain(..).map(|s| s.pattern().clone()).collect();
        assert_eq!(found, expected, "{topic}");
    }
    for rest in &subscriptions {
        events.unsubscribe(rest);
    }
    assert!(events.is_routed_nowhere(), "an empty tree has no nodes left");
}

#[test]
fn events_18_events_19_a_tenant_sees_its_own_events_and_the_system_scope_sees_all() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    for tenant in [None, Some("acme"), Some("acm")] {
        let request = SubscribeRequest { tenant: tenant.map(Arc::from), ..request(">") };
        events.subscribe(request, lane.clone()).unwrap();
    }
    for (tenant, seen_by) in [("", vec![None]), ("acme", vec![None, Some("acme")]), ("other", vec![None])] {
        events.emit(Draft { tenant: tenant.into(), ..draft("a", "") }, Duration::ZERO).unwrap();
        let tokens = std::mem::take(&mut *lane.tokens.lock());
        let seen: Vec<_> = tokens.iter().map(|s| s.tenant().map(|t| &**t)).collect();
        assert_eq!(seen, seen_by, "an event of {tenant:?}");
    }
}

#[test]
fn events_9_a_name_is_unique_within_owner_and_tenant() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let named = |owner, tenant: Option<&str>, name: &str, text: &str| {
        let tenant = tenant.map(Arc::from);
        let request = SubscribeRequest { owner, tenant, name: name.into(), ..request(text) };
        events.subscribe(request, lane.clone())
    };
    let first = named(1, None, "n", "a").unwrap();
    let error = named(1, None, "n", "b").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("\"n\""), "{error}");
    named(2, None, "n", "a").unwrap();
    named(1, Some("t"), "n", "a").unwrap();
    named(1, None, "", "a").unwrap();
    assert_eq!(
        named(1, None, "a", "b").unwrap_err().kind(),
        ErrorKind::Conflict,
        "the pattern is the default name"
    );
    events.unsubscribe(&first);
    named(1, None, "n", "b").unwrap();
}

#[test]
fn a_bad_request_is_refused_and_takes_no_name() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let name = |name: &str| SubscribeRequest { name: name.into(), ..request("a") };
    for (request, part) in [
        (bounded("a", 65_537, Policy::DropNew), "`capacity`: is 65537, at most 65536"),
        (name(&"n".repeat(129)), "`name`: has 129 bytes, at most 128"),
        (name("a\nb"), "`name`: has a control character"),
        (SubscribeRequest { tenant: Some("".into()), ..request("a") }, "`tenant`: is empty"),
    ] {
        let error = events.subscribe(request, lane.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(events.subscriptions().is_empty());
    events.subscribe(bounded("a", 65_536, Policy::DropNew), lane.clone()).unwrap();
    let whole = events.subscribe(name(&"n".repeat(128)), lane).unwrap();
    assert_eq!(events.subscriptions()[1].capacity, DEFAULT_CAPACITY);
    assert_eq!(whole.name().len(), 128);
}

#[test]
fn events_12_events_13_a_full_queue_does_what_its_policy_says() {
    for (policy, kept, displaced, no_room) in [
        (Policy::DropOldest, ["3", "4", "5"], 2, 0),
        (Policy::DropNew, ["1", "2", "3"], 0, 2),
        (Policy::Wait, ["1", "2", "3"], 0, 2),
    ] {
        let (events, lane) = (engine(), Arc::new(Lane::default()));
        let subscription = events.subscribe(bounded("a", 3, policy), lane.clone()).unwrap();
        let emitted: Vec<_> = (1..=5).map(|n| emit(&events, "a", n)).collect();
        let last = Emitted {
            matched: 1,
            queued: usize::from(displaced > 0),
            dropped: usize::from(no_room > 0),
            displaced: usize::from(displaced > 0),
        };
        assert_eq!((emitted[2].queued, emitted[4]), (1, last), "{policy:?}");
        assert_eq!(lane.tokens(), 3, "one token for each event that waits");
        let dropped = Drops { displaced, no_room, ..Drops::default() };
        assert_eq!(
            subscription.counters(),
            Counters { matched: 5, waiting: 3, dropped, ..Counters::default() }
        );
        assert_eq!(lane.run(), kept, "{policy:?}");
        assert_eq!(lane.waits.load(Ordering::SeqCst), 0, "nobody waits who is not willing to");
        adds_up(events.totals().counters);
    }
}

#[test]
fn an_event_that_its_lane_does_not_take_is_taken_back() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(bounded("a", 2, Policy::DropNew), lane.clone()).unwrap();
    emit(&events, "a", 1);
    lane.refuses.store(true, Ordering::SeqCst);
    let dropped = Emitted { matched: 1, queued: 0, dropped: 1, displaced: 0 };
    assert_eq!(emit(&events, "a", 2), dropped);
    assert_eq!(emit(&events, "a", 3), dropped);
    lane.refuses.store(false, Ordering::SeqCst);
    emit(&events, "a", 4);
    assert_eq!(subscription.counters().dropped, Drops { not_taken: 2, ..Drops::default() });
    assert_eq!(lane.run(), ["1", "4"], "what was there before stays, and there is room again");
    adds_up(subscription.counters());
}

/// A lane that does something of its own before it refuses.
struct Meanwhile<F>(F);

impl<F: Fn(&Arc<Subscription>) -> Result<()> + Send + Sync> Deliver for Meanwhile<F> {
    fn ready(&self, subscription: &Arc<Subscription>) -> Result<()> {
        (self.0)(subscription)
    }

    fn expect(&self, _: &Arc<Subscription>, _: u64, _: Instant) -> Result<Asked> {
        Err(Error::new(ErrorKind::Unsupported, "nobody waits for its answers"))
    }

    fn subscriber(&self) -> Arc<str> {
        "meanwhile".into()
    }
}

#[test]
fn there_are_never_fewer_tokens_than_events() {
    // While the lane makes up its mind about "2", the token of "1" runs, or "2" is displaced, or the queue is emptied.
    type Act = fn(&Arc<Subscription>, &Events);
    let cases: [(&str, Act, &[&str]); 3] = [
        ("taken", |s, _| assert_eq!(handle(s).as_deref(), Some("1")), &[]),
        (
            "displaced",
            |_, events| {
                emit(events, "a", 3);
                emit(events, "a", 4);
            },
            &["3"],
        ),
        (
            "emptied",
            |s, events| {
                s.set_live(false);
                s.set_live(true);
                emit(events, "a", 5);
            },
            &["5"],
        ),
    ];
    for (what, act, left) in cases {
        let events = engine();
        let tokens = Arc::new(AtomicUsize::new(0));
        let calls = AtomicUsize::new(0);
        let deliver = {
            let (events, tokens) = (Arc::clone(&events), Arc::clone(&tokens));
            Meanwhile(move |s: &Arc<Subscription>| {
                if calls.fetch_add(1, Ordering::SeqCst) == 1 {
                    act(s, &events);
                    return Err(Error::new(ErrorKind::Busy, "stuck"));
                }
                tokens.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        let subscription = events.subscribe(bounded("a", 2, Policy::DropOldest), Arc::new(deliver)).unwrap();
        emit(&events, "a", 1);
        assert_eq!(emit(&events, "a", 2).dropped, 1, "{what}");
        let counters = subscription.counters();
        adds_up(counters);
        assert!(counters.waiting <= tokens.load(Ordering::SeqCst) as u64, "{what}: {counters:?}");
        let waiting: Vec<_> = std::iter::from_fn(|| handle(&subscription)).collect();
        assert_eq!(waiting, left, "{what}: no more is lost than has to be");
    }
}

#[test]
fn events_of_a_sleeping_subscription_are_dropped_and_counted() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription =
        events.subscribe(SubscribeRequest { live: false, ..request("a") }, lane.clone()).unwrap();
    assert_eq!(emit(&events, "a", 1).dropped, 1);
    subscription.set_live(true);
    assert_eq!(emit(&events, "a", 2).queued, 1);
    assert_eq!(emit(&events, "a", 3).queued, 1);
    assert_eq!(subscription.take().unwrap().event.subject, "2");
    subscription.set_live(false);
    subscription.delivered(false);
    assert_eq!(emit(&events, "a", 4).dropped, 1);
    subscription.set_live(true);
    emit(&events, "a", 5);
    assert_eq!(lane.run(), ["5"], "tokens of what was dropped do no harm");
    let dropped = Drops { not_live: 3, ..Drops::default() };
    let counters = subscription.counters();
    assert_eq!(counters, Counters { matched: 5, delivered: 1, failed: 1, dropped, ..Counters::default() });
}

#[test]
fn events_23_an_ended_subscription_gets_nothing_and_its_tokens_do_no_harm() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(request("a"), lane.clone()).unwrap();
    for n in 1..=3 {
        emit(&events, "a", n);
    }
    subscription.take().unwrap();
    events.unsubscribe(&subscription);
    events.unsubscribe(&subscription);
    assert_eq!(emit(&events, "a", 4), Emitted::default());
    assert_eq!(lane.run(), [""; 0]);
    subscription.set_live(true);
    assert_eq!(emit(&events, "a", 5), Emitted::default());
    let running = events.totals();
    assert_eq!(running.counters.running, 1);
    subscription.delivered(true);
    let totals = events.totals();
    let dropped = Drops { ended: 2, ..Drops::default() };
    assert_eq!(totals.counters, Counters { matched: 3, delivered: 1, dropped, ..Counters::default() });
    assert_eq!((totals.emitted, totals.unheard), (5, 2));
    assert!(events.subscriptions().is_empty());
}

#[test]
fn a_subscription_of_another_engine_ends_nothing_here() {
    let lane = Arc::new(Lane::default());
    let (here, there) = (engine(), engine());
    here.subscribe(request("a"), lane.clone()).unwrap();
    let namesake = there.subscribe(request("a"), lane).unwrap();
    here.unsubscribe(&namesake);
    assert_eq!((here.subscriptions().len(), there.subscriptions().len()), (1, 1));
}

/// A full queue with the policy to wait, and a bell that rings when a publisher begins to.
fn full(capacity: usize) -> (Arc<Events>, Arc<Lane>, Arc<Subscription>, mpsc::Receiver<()>) {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let (bell, waits) = mpsc::channel();
    *lane.bell.lock() = Some(bell);
    let subscription = events.subscribe(bounded("a", capacity, Policy::Wait), lane.clone()).unwrap();
    for n in 0..capacity {
        emit(&events, "a", n);
    }
    (events, lane, subscription, waits)
}

#[test]
fn a_waiting_publisher_goes_on_when_there_is_something_to_know() {
    type Act = fn(&Events, &Arc<Subscription>);
    let cases: [(&str, Act, Emitted); 5] = [
        ("room", |_, s| drop(s.take()), Emitted { matched: 1, queued: 1, ..Emitted::default() }),
        ("unsubscribed", |e, s| e.unsubscribe(s), Emitted::default()),
        ("disabled", |_, s| s.set_live(false), Emitted { matched: 1, dropped: 1, ..Emitted::default() }),
        ("shut down", |e, _| e.shutdown(), Emitted { matched: 1, dropped: 1, ..Emitted::default() }),
        (
            "disabled and enabled again",
            |_, s| {
                s.set_live(false);
                s.set_live(true);
            },
            // It may come in between and be dropped, or after and be queued: what counts is that it does not hang.
            Emitted { matched: 1, ..Emitted::default() },
        ),
    ];
    // Early: somewhere between the publisher's look at the full queue and its sleep.
    for ((what, act, expected), early) in cases.into_iter().flat_map(|case| [(case, true), (case, false)]) {
        let (events, lane, subscription, waits) = full(1);
        let emitted = thread::scope(|scope| {
            let publisher = scope.spawn(|| emit_patiently(&events, "late"));
            waits.recv().unwrap();
            if !early {
                until_waiting(&subscription, 1);
            }
            act(&events, &subscription);
            publisher.join().unwrap()
        });
        if what == "disabled and enabled again" {
            assert_eq!(emitted.matched, 1);
        } else {
            assert_eq!(emitted, expected, "{what}");
        }
        assert_eq!(lane.waiting.load(Ordering::SeqCst), 0, "{what}: the permit is given back");
        assert_eq!(subscription.queue.lock().publishers(), 0, "{what}");
        adds_up(events.totals().counters);
    }
}

fn emit_patiently(events: &Events, subject: &str) -> Emitted {
    let begun = Instant::now();
    let emitted = events.emit(draft("a", subject), LONG).unwrap();
    assert!(begun.elapsed() < LONG, "{subject}: it slept to the end");
    emitted
}

/// Until so many publishers have lined up for room.
fn until_waiting(subscription: &Subscription, publishers: usize) {
    while subscription.queue.lock().publishers() < publishers {
        thread::yield_now();
    }
}

#[test]
fn room_that_is_made_while_the_first_in_line_leaves_is_told_to_the_next() {
    let events = engine();
    // When "first" has its place, one more is made, whose bell rings for it again: it is still in the line.
    let deliver = Meanwhile(|s: &Arc<Subscription>| {
        if s.counters().matched == 3 {
            s.take().unwrap();
        }
        Ok(())
    });
    let subscription = events.subscribe(bounded("a", 2, Policy::Wait), Arc::new(deliver)).unwrap();
    emit(&events, "a", 1);
    emit(&events, "a", 2);
    thread::scope(|scope| {
        for (subject, line) in [("first", 1), ("second", 2)] {
            let events = &events;
            scope.spawn(move || assert_eq!(emit_patiently(events, subject).queued, 1));
            until_waiting(&subscription, line);
        }
        subscription.take().unwrap();
    });
    assert_eq!(subscription.counters().waiting, 2);
}

#[test]
fn contract_54_a_publisher_that_stops_waits_for_room_no_longer_and_others_do() {
    // Early: somewhere between the publisher's look at the full queue and its sleep.
    for early in [true, false] {
        let (events, lane, subscription, waits) = full(1);
        let emit_as = |number| {
            let begun = Instant::now();
            let publisher = Publisher { number, stopping: &|| false };
            let emitted = events.emit_as(publisher, draft("a", number), LONG).unwrap();
            assert!(begun.elapsed() < LONG, "{number}: it slept to the end");
            emitted
        };
        thread::scope(|scope| {
            let others = [scope.spawn(|| emit_as(8)), scope.spawn(|| emit_patiently(&events, "application"))];
            until_waiting(&subscription, 2);
            let stopped = [scope.spawn(|| emit_as(7)), scope.spawn(|| emit_as(7))];
            (0..4).for_each(|_| waits.recv().unwrap());
            if !early {
                until_waiting(&subscription, 4);
            }
            events.stop_waits(7);
            for stopped in stopped {
                let expected = Emitted { matched: 1, dropped: 1, ..Emitted::default() };
                assert_eq!(stopped.join().unwrap(), expected);
            }
            assert_eq!(subscription.queue.lock().publishers(), 2);
            for _ in 0..2 {
                subscription.take().unwrap();
                while subscription.counters().waiting == 0 {
                    thread::yield_now();
                }
            }
            for other in others {
                assert_eq!(other.join().unwrap().queued, 1);
            }
        });
        assert_eq!(subscription.counters().dropped, Drops { no_room: 2, ..Drops::default() });
        assert_eq!(lane.waiting.load(Ordering::SeqCst), 0, "the permits are given back");
        assert_eq!(events.waiters.len(), 0);
    }
}

#[test]
fn contract_54_a_stop_is_not_missed_by_a_publisher_that_is_about_to_wait() {
    let (events, _lane, subscription, _waits) = full(1);
    let just_before = || true;
    let just_after = || {
        events.stop_waits(7);
        false
    };
    for stopping in [&just_before as &dyn Fn() -> bool, &just_after] {
        let begun = Instant::now();
        let publisher = Publisher { number: 7, stopping };
        assert_eq!(events.emit_as(publisher, draft("a", ""), LONG).unwrap().dropped, 1);
        assert!(begun.elapsed() < LONG);
        assert_eq!(events.waiters.len(), 0);
    }
    subscription.take().unwrap();
    let publisher = Publisher { number: 7, stopping: &just_before };
    assert_eq!(events.emit_as(publisher, draft("a", ""), LONG).unwrap().queued, 1, "there is room");
}

#[test]
fn events_14_a_publisher_waits_no_longer_than_it_said() {
    let (events, lane, subscription, _waits) = full(2);
    let wait = Duration::from_millis(30);
    let begun = Instant::now();
    assert_eq!(events.emit(draft("a", ""), wait).unwrap().dropped, 1);
    assert!(begun.elapsed() >= wait);
    assert_eq!(subscription.counters().dropped, Drops { no_room: 1, ..Drops::default() });
    assert_eq!(subscription.queue.lock().publishers(), 0);
    assert_eq!(lane.tokens(), 2);
}

#[test]
fn events_17_a_publisher_that_must_not_wait_is_not_made_to() {
    let (events, lane, subscription, _waits) = full(1);
    lane.refuses_waits.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(events.emit(draft("a", ""), LONG).unwrap().dropped, 1);
    assert!(begun.elapsed() < LONG);
    assert_eq!(subscription.counters().dropped.no_room, 1);
}

#[test]
fn waiting_for_one_subscription_keeps_the_event_from_no_other() {
    let (events, lane, hung, waits) = full(1);
    let quick =
        events.subscribe(SubscribeRequest { owner: 2, ..bounded("a", 1, Policy::Wait) }, lane.clone());
    let quick = quick.unwrap();
    let free = events.subscribe(SubscribeRequest { owner: 3, ..request("a") }, lane).unwrap();
    // Fills `quick` as well; `hung` drops it.
    emit(&events, "a", "filler");
    free.take().unwrap();
    let emitted = thread::scope(|scope| {
        let publisher = scope.spawn(|| events.emit(draft("a", "late"), LONG).unwrap());
        waits.recv().unwrap();
        waits.recv().unwrap();
        assert_eq!(free.take().unwrap().event.subject, "late", "those with room have it at once");
        quick.take().unwrap();
        while quick.counters().waiting == 0 {
            thread::yield_now();
        }
        assert_eq!(quick.take().unwrap().event.subject, "late", "those that make room have it then");
        assert!(!publisher.is_finished());
        hung.take().unwrap();
        publisher.join().unwrap()
    });
    assert_eq!(emitted, Emitted { matched: 3, queued: 3, dropped: 0, displaced: 0 });
}

#[test]
fn many_waiting_publishers_all_get_room_in_the_end() {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 200;
    let events = engine();
    let (tokens, work) = mpsc::channel();
    let deliver = Meanwhile(move |s: &Arc<Subscription>| {
        tokens.send(Arc::clone(s)).map_err(|_| Error::new(ErrorKind::Unavailable, "gone"))
    });
    let subscription = events.subscribe(bounded("a", 2, Policy::Wait), Arc::new(deliver)).unwrap();
    let heard = thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let events = &events;
            scope.spawn(move || {
                for n in 0..EACH {
                    let emitted = events.emit(draft("a", format!("{publisher} {n}")), MAX_WAIT).unwrap();
                    assert_eq!(emitted.queued, 1);
                }
            });
        }
        let lane = scope.spawn(move || {
            work.iter().take(PUBLISHERS * EACH).map(|s| handle(&s).unwrap()).collect::<Vec<_>>()
        });
        lane.join().unwrap()
    });
    let mut next = HashMap::new();
    for event in heard {
        let (publisher, n) = event.split_once(' ').unwrap();
        let next = next.entry(publisher.to_owned()).or_insert(0);
        assert_eq!(n, next.to_string(), "each publisher's events are in its order");
        *next += 1;
    }
    assert_eq!(subscription.counters().delivered, (PUBLISHERS * EACH) as u64);
}

#[test]
fn events_11_each_subscription_gets_the_events_of_a_thread_in_their_order() {
    const EACH: usize = 2_000;
    for policy in [Policy::DropOldest, Policy::DropNew] {
        let (events, lane) = (engine(), Arc::new(Lane::default()));
        let subscription = events.subscribe(bounded("a.>", 64, policy), lane.clone()).unwrap();
        let done = AtomicBool::new(false);
        let heard = thread::scope(|scope| {
            let publishers: Vec<_> = (0..3)
                .map(|publisher| {
                    let events = &events;
                    scope.spawn(move || {
                        for n in 0..EACH {
                            emit(events, ["a.x", "a.y"][n % 2], format!("{publisher} {n}"));
                        }
                    })
                })
                .collect();
            let runner = scope.spawn(|| {
                let mut heard = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    heard.extend(lane.run());
                }
                heard.extend(lane.run());
                heard
            });
            publishers.into_iter().for_each(|p| p.join().unwrap());
            done.store(true, Ordering::SeqCst);
            runner.join().unwrap()
        });
        let mut last: HashMap<String, usize> = HashMap::new();
        for event in &heard {
            let (publisher, n) = event.split_once(' ').unwrap();
            let n = n.parse().unwrap();
            if let Some(before) = last.insert(publisher.into(), n) {
                assert!(before < n, "{policy:?}: {before} before {n} of publisher {publisher}");
            }
        }
        let counters = subscription.counters();
        assert_eq!((counters.matched, counters.waiting), (3 * EACH as u64, 0), "{policy:?}: {counters:?}");
        assert_eq!(counters.delivered, heard.len() as u64);
        adds_up(counters);
    }
}

#[test]
fn events_15_the_counts_add_up_while_everything_happens_at_once() {
    const PUBLISHERS: usize = 3;
    const EACH: usize = 1_500;
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let policies = [Policy::DropOldest, Policy::DropNew, Policy::Wait];
    let steady: Vec<_> = policies
        .iter()
        .enumerate()
        .map(|(owner, policy)| {
            let request = SubscribeRequest { owner: owner as u64 + 10, ..bounded("a.*", 3, *policy) };
            events.subscribe(request, lane.clone()).unwrap()
        })
        .collect();
    let done = AtomicBool::new(false);
    let start = Barrier::new(PUBLISHERS + 3);
    let sums = thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let mut sum = Emitted::default();
                    for n in 0..EACH {
                        let wait = Duration::from_micros([0, 200][n % 2]);
                        let one = events.emit(draft("a.b", n), wait).unwrap();
                        assert_eq!(one.matched, one.queued + one.dropped);
                        assert!(one.matched >= steady.len());
                        sum.matched += one.matched;
                    }
                    sum
                })
            })
            .collect();
        scope.spawn(|| {
            start.wait();
            while !done.load(Ordering::SeqCst) {
                lane.run();
            }
        });
        scope.spawn(|| {
            start.wait();
            while !done.load(Ordering::SeqCst) {
                for policy in policies {
                    let come_and_go = events.subscribe(bounded("a.>", 2, policy), lane.clone()).unwrap();
                    thread::yield_now();
                    events.unsubscribe(&come_and_go);
                    adds_up(come_and_go.counters());
                    assert_eq!(come_and_go.counters().waiting, 0);
                }
            }
        });
        scope.spawn(|| {
            start.wait();
            while !done.load(Ordering::SeqCst) {
                lane.refuses.store(true, Ordering::SeqCst);
                steady[0].set_live(false);
                adds_up(events.totals().counters);
                thread::yield_now();
                lane.refuses.store(false, Ordering::SeqCst);
                steady[0].set_live(true);
                thread::yield_now();
            }
        });
        let sums: Vec<_> = publishers.into_iter().map(|p| p.join().unwrap()).collect();
        done.store(true, Ordering::SeqCst);
        sums
    });
    lane.run();
    let totals = events.totals();
    adds_up(totals.counters);
    assert_eq!(totals.counters.matched, sums.iter().map(|sum| sum.matched as u64).sum::<u64>());
    assert_eq!((totals.emitted, totals.unheard), ((PUBLISHERS * EACH) as u64, 0));
    for subscription in &steady {
        let counters = subscription.counters();
        adds_up(counters);
        assert_eq!(counters.matched, (PUBLISHERS * EACH) as u64);
        assert_eq!((counters.waiting, counters.running), (0, 0), "no event is left without a token");
        assert_eq!(subscription.queue.lock().publishers(), 0);
    }
}

#[test]
fn a_handler_may_use_the_engine_from_where_it_is_told() {
    // `ready` is called under no lock: from inside it everything can be called.
    let events = engine();
    let lane = Arc::new(Lane::default());
    let deliver = {
        let (events, lane) = (Arc::clone(&events), lane.clone());
        Meanwhile(move |told: &Arc<Subscription>| {
            events.subscribe(request("b"), lane.clone())?;
            assert_eq!(emit(&events, "b", "").queued, 1);
            assert_eq!(told.counters().waiting, 1);
            assert_eq!(events.totals().counters.waiting, 2);
            assert_eq!(events.subscriptions().len(), 2);
            events.unsubscribe(told);
            Ok(())
        })
    };
    events.subscribe(request("a"), Arc::new(deliver)).unwrap();
    emit(&events, "a", "");
    assert_eq!(events.subscriptions().len(), 1);
}

#[test]
fn after_the_shutdown_nothing_new_comes_and_the_rest_can_be_finished() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    events.subscribe(request("a"), lane.clone()).unwrap();
    emit(&events, "a", "1");
    events.shutdown();
    let error = events.emit(draft("a", "2"), Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(events.subscribe(request("b"), lane.clone()).unwrap_err().kind(), ErrorKind::Stopping);
    assert_eq!(lane.run(), ["1"]);
    assert_eq!(events.totals().emitted, 1);
}

#[test]
fn a_refused_event_reaches_nobody_and_is_not_counted() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    events.subscribe(request(">"), lane.clone()).unwrap();
    let too_deep = Draft { depth: 65, ..draft("a.b", "") };
    let too_large = Draft { data: vec![0; MAX_DATA_BYTES + 1].into(), ..draft("a", "") };
    for (draft, wait, kind, part) in [
        (too_deep, Duration::ZERO, ErrorKind::Reentrant, "\"a.b\""),
        (too_large, Duration::ZERO, ErrorKind::TooLarge, "1048576"),
        (draft("a", ""), Duration::MAX, ErrorKind::InvalidArgument, "`wait_ms`: is "),
    ] {
        let error = events.emit(draft, wait).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!((lane.tokens(), events.totals()), (0, Totals::default()));
}

/// Publishes an event and waits for its handlers, while `meanwhile` is done with the subscriptions.
fn sync<R>(
    events: &Events,
    topic: &str,
    span: Duration,
    meanwhile: impl FnOnce() -> R,
) -> (Result<Vec<HandlerResult>>, R) {
    thread::scope(|threads| {
        let publisher = threads.spawn(|| events.emit_sync(None, draft(topic, "sync"), Instant::now() + span));
        let did = meanwhile();
        (publisher.join().unwrap(), did)
    })
}

/// Runs the next event of a subscription as soon as there is one.
fn answer(subscription: &Subscription, result: Result<&str>) -> Option<Error> {
    let delivery = next(subscription);
    assert!(delivery.begin(7));
    subscription.delivered(result.is_ok());
    delivery.answered(result.map(|reply| reply.as_bytes().to_vec()))
}

fn next(subscription: &Subscription) -> Delivery {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(delivery) = subscription.take() {
            return delivery;
        }
        assert!(Instant::now() < deadline, "no event came");
        thread::yield_now();
    }
}

/// Each result in short: its subscription, and what it came to.
fn short(results: Result<Vec<HandlerResult>>) -> Vec<String> {
    let short = |result: HandlerResult| {
        assert_eq!(&*result.subscriber, "somebody");
        let kind = |error: Error| error.kind().name();
        let outcome = match result.outcome {
            Outcome::Handled(reply) => format!("ok {}", String::from_utf8(reply).unwrap()),
            Outcome::Failed(error) => format!("failed {}", kind(error)),
            Outcome::Timeout(error) => format!("timeout {}", kind(error)),
            Outcome::Panic(error) => format!("panic {}", kind(error)),
            Outcome::Skipped(error) => format!("skipped {}", kind(error)),
        };
        format!("{} {outcome}", result.subscription)
    };
    results.unwrap().into_iter().map(short).collect()
}

#[test]
fn events_39_each_subscription_has_one_result_in_their_order() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let make = |text: &str| events.subscribe(request(text), lane.clone()).unwrap();
    let (any, exact, rest, other) = (make("a.*"), make("a.b"), make("a.>"), make("x"));
    let asleep = SubscribeRequest { live: false, name: "asleep".into(), ..request("a.b") };
    let asleep = events.subscribe(asleep, lane.clone()).unwrap();
    let (results, untold) = sync(&events, "a.b", LONG, || {
        // In any order: the results are in that of the subscriptions.
        let failed = answer(&rest, Err(Error::new(ErrorKind::Conflict, "no")));
        let panicked = answer(&exact, Err(Error::new(ErrorKind::Panic, "oh")));
        (answer(&any, Ok("hi")), failed, panicked)
    });
    assert_eq!(
        short(results),
        ["a.* ok hi", "a.b panic PANIC", "a.> failed CONFLICT", "asleep skipped UNAVAILABLE"]
    );
    assert!(untold.0.is_none() && untold.1.is_none() && untold.2.is_none(), "the publisher is told");
    for (subscription, expected) in [
        (&any, Counters { matched: 1, delivered: 1, ..Counters::default() }),
        (&exact, Counters { matched: 1, failed: 1, ..Counters::default() }),
        (&other, Counters::default()),
        (
            &asleep,
            Counters {
                matched: 1,
                dropped: Drops { not_live: 1, ..Drops::default() },
                ..Counters::default()
            },
        ),
    ] {
        assert_eq!(subscription.counters(), expected);
        adds_up(subscription.counters());
    }
    assert_eq!((events.totals().emitted, events.totals().unheard), (1, 0));
    let (results, ()) = sync(&events, "nobody", LONG, || ());
    assert_eq!(short(results), Vec::<String>::new());
    assert_eq!((events.totals().emitted, events.totals().unheard), (2, 1));
    assert_eq!(lane.waiting.load(Ordering::SeqCst), 0, "nobody is noted as waiting");
}

#[test]
fn events_40_where_a_wait_would_never_end_nobody_is_asked() {
    for (kind, answered) in
        [(ErrorKind::Reentrant, true), (ErrorKind::Busy, true), (ErrorKind::StaleHandle, false)]
    {
        let (events, lane, refusing) = (engine(), Arc::new(Lane::default()), Arc::new(Lane::default()));
        let first = events.subscribe(request("a"), lane.clone()).unwrap();
        let second =
            events.subscribe(SubscribeRequest { owner: 2, ..request("a") }, refusing.clone()).unwrap();
        *refusing.refuses_answers.lock() = Some(kind);
        let results = events.emit_sync(None, draft("a", ""), Instant::now());
        if answered {
            assert_eq!(results.map(drop).unwrap_err().kind(), kind);
            assert_eq!((first.counters(), second.counters()), Default::default());
            assert_eq!((lane.tokens(), events.totals().emitted), (0, 0));
        } else {
            // It is gone: that is its own trouble alone.
            assert_eq!(short(results), ["a timeout TIMEOUT", "a skipped UNAVAILABLE"]);
        }
        assert_eq!(lane.waiting.load(Ordering::SeqCst), 0, "no wait is left behind");
    }
}

#[test]
fn events_40_what_has_not_begun_by_the_deadline_does_not_begin() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(request("a"), lane.clone()).unwrap();
    let results = events.emit_sync(None, draft("a", ""), Instant::now());
    assert_eq!(short(results), ["a timeout TIMEOUT"]);
    assert_eq!(subscription.counters().waiting, 1, "its token is on its way");
    let late = subscription.take().unwrap();
    assert!(!late.begin(7));
    subscription.not_begun(late.not_begun());
    let counters = subscription.counters();
    assert_eq!(counters.dropped, Drops { too_late: 1, ..Drops::default() });
    adds_up(counters);
}

#[test]
fn a_failure_that_comes_too_late_for_the_publisher_comes_back_to_be_logged() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(request("a"), lane.clone()).unwrap();
    let (results, late) = sync(&events, "a", Duration::from_millis(50), || {
        let late = next(&subscription);
        assert!(late.begin(7));
        late
    });
    assert_eq!(short(results), ["a timeout TIMEOUT"]);
    let untold = late.answered(Err(Error::new(ErrorKind::Conflict, "no")));
    assert_eq!(untold.map(|error| error.kind()), Some(ErrorKind::Conflict));
    assert!(late.answered(Ok(Vec::new())).is_none(), "what went well needs nobody to be told");
}

/// Whatever happens to a subscription while a publisher waits for its handler, the wait ends.
#[test]
fn events_39_a_publisher_waits_for_nothing_that_does_not_come() {
    type Happens = fn(&Events, &Arc<Lane>, &Arc<Subscription>);
    let cases: [(&str, Happens, &str, Drops); 6] = [
        (
            "unsubscribed",
            |events, _, subscription| events.unsubscribe(subscription),
            "a skipped UNAVAILABLE",
            Drops { ended: 1, ..Drops::default() },
        ),
        (
            "disabled",
            |_, _, subscription| subscription.set_live(false),
            "a skipped UNAVAILABLE",
            Drops { not_live: 1, ..Drops::default() },
        ),
        (
            "the host stops",
            |events, _, _| events.shutdown(),
            "a skipped UNAVAILABLE",
            Drops { ended: 1, ..Drops::default() },
        ),
        (
            "a newer event takes its place",
            |events, _, _| assert_eq!(emit(events, "a", "newer").displaced, 1),
            "a skipped BUSY",
            Drops { displaced: 1, ..Drops::default() },
        ),
        (
            "its callback has ended",
            |_, _, subscription| {
                let taken = subscription.take().unwrap();
                subscription.not_begun(taken.not_begun());
            },
            "a skipped UNAVAILABLE",
            Drops { ended: 1, ..Drops::default() },
        ),
        (
            "it is lost",
            |_, _, subscription| {
                drop(subscription.take());
                subscription.not_begun(false);
            },
            "a skipped UNAVAILABLE",
            Drops { ended: 1, ..Drops::default() },
        ),
    ];
    for (what, happens, result, dropped) in cases {
        let (events, lane) = (engine(), Arc::new(Lane::default()));
        let subscription = events.subscribe(bounded("a", 1, Policy::DropOldest), lane.clone()).unwrap();
        let (results, ()) = sync(&events, "a", LONG, || {
            while subscription.counters().waiting == 0 {
                thread::yield_now();
            }
            happens(&events, &lane, &subscription);
        });
        assert_eq!(short(results), [result], "{what}");
        assert_eq!(subscription.counters().dropped, dropped, "{what}");
        adds_up(subscription.counters());
    }
}

/// No room, no lane: the handler is skipped, and the publisher is told at once why.
#[test]
fn events_39_what_finds_no_room_is_skipped() {
    for (policy, skipped, dropped) in [
        (Policy::DropNew, "a skipped BUSY", Drops { no_room: 1, ..Drops::default() }),
        (Policy::Wait, "a skipped BUSY", Drops { no_room: 1, ..Drops::default() }),
        (Policy::DropOldest, "a timeout TIMEOUT", Drops { displaced: 1, ..Drops::default() }),
    ] {
        let (events, lane) = (engine(), Arc::new(Lane::default()));
        let subscription = events.subscribe(bounded("a", 1, policy), lane.clone()).unwrap();
        emit(&events, "a", "first");
        let span = if skipped.contains("timeout") { Duration::ZERO } else { LONG };
        assert_eq!(
            short(events.emit_sync(None, draft("a", ""), Instant::now() + span)),
            [skipped],
            "{policy:?}"
        );
        assert_eq!(subscription.counters().dropped, dropped, "{policy:?}");
        adds_up(subscription.counters());
    }
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(request("a"), lane.clone()).unwrap();
    lane.refuses.store(true, Ordering::SeqCst);
    // With the reason that the lane gives.
    assert_eq!(short(events.emit_sync(None, draft("a", ""), Instant::now() + LONG)), ["a skipped BUSY"]);
    assert_eq!(subscription.counters().dropped, Drops { not_taken: 1, ..Drops::default() });
}

/// A token runs whatever is first in the queue, so the order holds also where tokens come in another one.
#[test]
fn events_39_an_event_that_was_published_before_is_handled_before() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(request("a"), lane.clone()).unwrap();
    emit(&events, "a", "first");
    emit(&events, "a", "second");
    let (results, order) = sync(&events, "a", LONG, || {
        while lane.tokens() < 3 {
            thread::yield_now();
        }
        let order: Vec<_> = (0..3).map(|_| subscription.take().unwrap()).collect();
        order.iter().for_each(|delivery| drop(delivery.answered(Ok(Vec::new()))));
        order.into_iter().map(|delivery| delivery.event.subject.clone()).collect::<Vec<_>>()
    });
    assert_eq!((order.join(" ").as_str(), short(results)), ("first second sync", vec!["a ok ".to_owned()]));
}

#[test]
fn contract_54_a_publisher_that_is_stopping_asks_nobody() {
    let (events, lane) = (engine(), Arc::new(Lane::default()));
    let subscription = events.subscribe(request("a"), lane.clone()).unwrap();
    // Its waits have begun by then: who stops it finds them, or it sees that it is stopping.
    let begun = AtomicUsize::new(0);
    let stopping = || {
        begun.store(lane.waiting.load(Ordering::SeqCst), Ordering::SeqCst);
        true
    };
    let publisher = Publisher { number: 3, stopping: &stopping };
    let results = events.emit_sync(Some(publisher), draft("a", ""), Instant::now() + LONG);
    assert_eq!(results.map(drop).unwrap_err().kind(), ErrorKind::Stopping);
    assert_eq!((begun.into_inner(), lane.tokens()), (1, 0));
    assert_eq!(subscription.counters(), Counters::default());
}
