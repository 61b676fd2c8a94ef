//! Leases over the plain model, by a clock that stands still: who loads, who waits, and what is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use super::{CallId, Fetch, Fetched, Fetcher, MOST_LEASES};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        cache::{
            Address, Age, Cache, ExpireIf, Glob, Lifetime, SetIf, Value, Write,
            conformance::{Owned, Scene},
            double::{Double, Point},
            model::Model,
        },
        clock::ManualClock,
        keys::Namespace,
    },
};

/// A call that fetches.
struct Who {
    context: u64,
    generation: u64,
    stopping: AtomicBool,
    patience: Duration,
    /// How many calls wait inside the host, at most.
    waits: AtomicUsize,
}

const PATIENCE: Duration = Duration::from_secs(5);

fn who(context: u64) -> Who {
    let (stopping, waits) = (AtomicBool::new(false), AtomicUsize::new(usize::MAX));
    Who { context, generation: 1, stopping, patience: PATIENCE, waits }
}

impl Fetcher for Who {
    fn call(&self) -> CallId {
        CallId { context: self.context, thread: None }
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    fn patience(&self, wait_ms: i64) -> Result<Duration> {
        Ok(if wait_ms == 0 { self.patience } else { Duration::from_millis(wait_ms as u64) })
    }

    fn wait(&self, sleep: &mut dyn FnMut()) -> Result<()> {
        if self.waits.load(SeqCst) == 0 {
            return Err(Error::new(ErrorKind::Busy, "too many wait"));
        }
        sleep();
        Ok(())
    }
}

/// A case, and its name.
type Case = (&'static str, fn(&Scene));

/// The cases that are tried on every back end.
pub(in super::super) const OF_LEASES: &[Case] = &[
    ("an_item_is_fresh_then_stale_then_missing", an_item_is_fresh_then_stale_then_missing),
    (
        "the_first_reader_of_a_stale_item_gets_a_lease_and_the_others_the_item_at_once",
        the_first_reader_of_a_stale_item_gets_a_lease_and_the_others_the_item_at_once,
    ),
    ("what_does_not_hit_the_key_leaves_the_lease", what_does_not_hit_the_key_leaves_the_lease),
    (
        "an_item_past_its_lifetime_is_given_to_those_who_could_not_load_it_for_a_span_of_its_own",
        an_item_past_its_lifetime_is_given_to_those_who_could_not_load_it_for_a_span_of_its_own,
    ),
    (
        "what_is_known_to_be_absent_is_told_at_once_for_a_short_while",
        what_is_known_to_be_absent_is_told_at_once_for_a_short_while,
    ),
    (
        "of_a_hundred_callers_who_miss_one_loads_and_all_get_what_it_wrote",
        of_a_hundred_callers_who_miss_one_loads_and_all_get_what_it_wrote,
    ),
];

fn scene() -> Scene {
    Scene::new(|clock| Box::new(Model::new(clock)))
}

/// What a fetch came to, and the last that it lent.
fn fetch(cache: &Cache, at: &Address<'_>, who: &Who) -> Result<(Fetched, Option<Owned>)> {
    fetch_so(cache, at, who, Fetch::default())
}

fn fetch_so(cache: &Cache, at: &Address<'_>, who: &Who, ask: Fetch) -> Result<(Fetched, Option<Owned>)> {
    let mut lent = None;
    let fetched = cache.fetch(at, &ask, who, &mut |item| lent = Some(Owned::from(item.value)))?;
    Ok((fetched, lent.filter(|_| !matches!(fetched, Fetched::Load { .. }))))
}

fn bytes(value: &[u8]) -> Owned {
    Owned::Bytes(value.to_vec())
}

/// Misses, and is the one to load.
fn lease_of(cache: &Cache, at: &Address<'_>, who: &Who) -> u64 {
    match fetch(cache, at, who).expect("it can be fetched") {
        (Fetched::Load { lease }, None) => lease,
        other => panic!("it is not to be loaded: {other:?}"),
    }
}

fn under(lease: u64, value: &[u8]) -> Write<'_> {
    Write { lease, ..Write::of(value, Some(0)) }
}

fn with_spans(value: &[u8], stale_ms: i64, error_ms: i64) -> Write<'_> {
    Write { stale_ms, error_ms, ..Write::of(value, Some(100)) }
}

fn given(value: &[u8], lease: Option<u64>) -> (Fetched, Option<Owned>) {
    (Fetched::Given { lease }, Some(bytes(value)))
}

fn fail(scene: &Scene, at: &Address<'_>, lease: u64) -> Result<Option<Owned>> {
    let mut lent = None;
    let there = scene.cache.fail(&at.scope, lease, &mut |item| lent = Some(Owned::from(item.value)))?;
    assert_eq!(there, lent.is_some());
    Ok(lent)
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("it fails").kind()
}

fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        thread::yield_now();
    }
}

fn tag(name: &str) -> Namespace<'_> {
    Namespace::parse("tags", name.as_bytes()).expect("it is one")
}

fn pattern(text: &str) -> Glob {
    Glob::parse("pattern", text.as_bytes()).expect("it is one")
}

fn advance_ms(scene: &Scene, ms: u64) {
    scene.clock.advance(Duration::from_millis(ms));
}

#[test]
fn cache_18_an_item_is_fresh_then_stale_then_missing() {
    an_item_is_fresh_then_stale_then_missing(&scene());
}

fn an_item_is_fresh_then_stale_then_missing(scene: &Scene) {
    let caller = who(1);
    let at = scene.key("k");
    scene.cache.set(&at, &with_spans(b"v", 50, 0)).expect("it can be written");
    let ages = || {
        let mut seen = None;
        scene
            .cache
            .get(&at, &mut |item| seen = Some((item.age, item.fresh(), item.left())))
            .expect("it is read");
        seen
    };
    assert_eq!(ages(), Some((Age::Fresh, Lifetime::Ms(100), Lifetime::Ms(150))));
    assert_eq!(fetch(&scene.cache, &at, &caller).expect("a hit"), given(b"v", None));
    advance_ms(scene, 100);
    assert_eq!(ages(), Some((Age::Stale, Lifetime::Ms(0), Lifetime::Ms(50))));
    assert!(scene.cache.exists(&at).expect("it is asked"), "stale is there");
    advance_ms(scene, 50);
    assert_eq!(ages(), None);
    lease_of(&scene.cache, &at, &caller);
}

#[test]
fn cache_19_the_first_reader_of_a_stale_item_gets_a_lease_and_the_others_the_item_at_once() {
    the_first_reader_of_a_stale_item_gets_a_lease_and_the_others_the_item_at_once(&scene());
}

fn the_first_reader_of_a_stale_item_gets_a_lease_and_the_others_the_item_at_once(scene: &Scene) {
    let (first, second) = (who(1), who(2));
    let at = scene.key("k");
    scene.cache.set(&at, &with_spans(b"old", 60_000, 0)).expect("it can be written");
    advance_ms(scene, 100);
    let ask = Fetch { lease_ms: 500, ..Fetch::default() };
    let (fetched, lent) = fetch_so(&scene.cache, &at, &first, ask).expect("it is stale");
    let Fetched::Given { lease: Some(lease) } = fetched else { panic!("{fetched:?}") };
    assert_eq!(lent, Some(bytes(b"old")));
    for reader in [&second, &first, &second] {
        assert_eq!(fetch(&scene.cache, &at, reader).expect("it is stale"), given(b"old", None));
    }
    // Its deadline passes: readers notice nothing, but the next one gets a lease.
    advance_ms(scene, 500);
    let (fetched, _) = fetch(&scene.cache, &at, &second).expect("it is stale");
    let Fetched::Given { lease: Some(next) } = fetched else { panic!("{fetched:?}") };
    let late = scene.cache.set(&at, &under(lease, b"late")).expect_err("it has lapsed");
    assert_eq!(late.kind(), ErrorKind::Conflict);
    assert!(late.to_string().contains("its deadline has passed"), "{late}");
    scene.cache.set(&at, &under(next, b"new")).expect("it is the holder");
    assert_eq!(fetch(&scene.cache, &at, &first).expect("a hit"), given(b"new", None));
    assert!(scene.cache.leases.is_empty());
}

/// What comes between a lease and its write, and the words of the refusal.
type Between<'a> = (&'a str, &'a dyn Fn(&Scene, &Address<'_>), &'a [&'a str]);

#[test]
fn cache_20_a_write_under_a_lease_is_refused_if_its_key_or_a_tag_was_invalidated_since() {
    let cases: [Between<'_>; 10] = [
        ("written by another", &|scene, at| drop(scene.cache.set(at, &Write::of(b"x", None))), &[]),
        ("removed", &|scene, at| drop(scene.cache.remove(at)), &[]),
        ("removed since", &|scene, at| drop(scene.cache.expire(at, -1, ExpireIf::Always)), &[]),
        ("written by another", &|scene, at| drop(scene.cache.incr(at, 1, None)), &[]),
        (
            "invalidated by a pattern",
            &|scene, at| drop(scene.cache.invalidate(&at.space(), &pattern("k"))),
            &[],
        ),
        ("namespace was cleared", &|scene, at| drop(scene.cache.clear(&at.space())), &[]),
        ("data was removed", &|scene, _| drop(scene.cache.remove_plugin("a")), &[]),
        (
            "tag \"t2\" was invalidated",
            &|scene, at| drop(scene.cache.invalidate_tag(&at.scope, tag("t2"))),
            &["t1", "t2"],
        ),
        (
            "tag \"old\" was invalidated",
            &|scene, at| drop(scene.cache.invalidate_tag(&at.scope, tag("old"))),
            &[],
        ),
        (
            "so many tags",
            &|scene, at| {
                for number in 0..=super::books::MOST_NOTES {
                    let name = format!("n{number}");
                    scene.cache.invalidate_tag(&at.scope, tag(&name)).expect("it is invalidated");
                }
            },
            &["t1"],
        ),
    ];
    for stale in [false, true] {
        for (words, between, tags) in &cases {
            // The item's own tag counts where there is an item.
            if !stale && words.contains("old") {
                continue;
            }
            let (scene, caller) = (scene(), who(1));
            let at = scene.key("k");
            if stale {
                let old = [tag("old")];
                let write = Write { tags: &old, ..with_spans(b"41", 60_000, 0) };
                scene.cache.set(&at, &write).expect("it can be written");
                advance_ms(&scene, 100);
            }
            let fetched = fetch(&scene.cache, &at, &caller).expect("it is fetched").0;
            let (Fetched::Load { lease } | Fetched::Given { lease: Some(lease) }) = fetched else {
                panic!("{fetched:?}")
            };
            between(&scene, &at);
            let before = scene.read(&at);
            let tags: Vec<_> = tags.iter().map(|name| tag(name)).collect();
            let late = scene.cache.set(&at, &Write { tags: &tags, ..under(lease, b"late") });
            let late = late.expect_err("it was overtaken");
            assert_eq!(late.kind(), ErrorKind::Conflict, "{words}: {late}");
            assert!(late.to_string().contains(words), "{words}: {late}");
            assert_eq!(scene.read(&at), before, "{words}: nothing was written");
        }
    }
}

#[test]
fn cache_20_what_does_not_hit_the_key_leaves_the_lease() {
    what_does_not_hit_the_key_leaves_the_lease(&scene());
}

fn what_does_not_hit_the_key_leaves_the_lease(scene: &Scene) {
    let caller = who(1);
    let (at, other) = (scene.key("k"), scene.key("other"));
    let acme = scene.tenants.named("acme");
    let elsewhere = scene.at(0, &acme, "ns", "k");
    let foreign = scene.at(1, &scene.tenants.named(""), "ns", "k");
    let lease = lease_of(&scene.cache, &at, &caller);
    for place in [&other, &elsewhere, &foreign] {
        scene.cache.set(place, &Write::of(b"x", None)).expect("it can be written");
        scene.cache.remove(place).expect("it is removed");
    }
    scene.cache.clear(&elsewhere.space()).expect("it is cleared");
    scene.cache.clear(&foreign.space()).expect("it is cleared");
    scene.cache.invalidate_tag(&elsewhere.scope, tag("t")).expect("it is invalidated");
    scene.cache.invalidate(&at.space(), &pattern("other")).expect("it is invalidated");
    scene.cache.invalidate_tag(&at.scope, tag("other")).expect("it is invalidated");
    // Writes that are refused change nothing.
    let refused = Write { condition: SetIf::Version(7), ..Write::of(b"x", None) };
    assert_eq!(kind(scene.cache.set(&at, &refused)), ErrorKind::Conflict);
    scene.cache.set(&at, &Write { tags: &[tag("t")], ..under(lease, b"v") }).expect("it is good still");
}

#[test]
fn cache_21_an_item_past_its_lifetime_is_given_to_those_who_could_not_load_it_for_a_span_of_its_own() {
    an_item_past_its_lifetime_is_given_to_those_who_could_not_load_it_for_a_span_of_its_own(&scene());
}

fn an_item_past_its_lifetime_is_given_to_those_who_could_not_load_it_for_a_span_of_its_own(scene: &Scene) {
    let caller = who(1);
    let at = scene.key("k");
    scene.cache.set(&at, &with_spans(b"old", 0, 1_000)).expect("it can be written");
    advance_ms(scene, 100);
    assert!(!scene.cache.exists(&at).expect("it is asked"), "it is absent for all others");
    let lease = lease_of(&scene.cache, &at, &caller);
    assert_eq!(fail(scene, &at, lease).expect("it is the holder"), Some(bytes(b"old")));
    let again = fail(scene, &at, lease).expect_err("it is over");
    assert_eq!(again.kind(), ErrorKind::StaleHandle);
    assert_eq!(again.to_string(), "the lease is over: it was given back by `fail`");
    assert_eq!(kind(scene.cache.set(&at, &under(lease, b"late"))), ErrorKind::Conflict);
    advance_ms(scene, 1_000);
    let lease = lease_of(&scene.cache, &at, &caller);
    assert_eq!(fail(scene, &at, lease).expect("it is the holder"), None);
    assert!(scene.cache.leases.is_empty());
}

#[test]
fn cache_22_what_is_known_to_be_absent_is_told_at_once_for_a_short_while() {
    what_is_known_to_be_absent_is_told_at_once_for_a_short_while(&scene());
}

fn what_is_known_to_be_absent_is_told_at_once_for_a_short_while(scene: &Scene) {
    let caller = who(1);
    let at = scene.key("k");
    let lease = lease_of(&scene.cache, &at, &caller);
    let note = Write { value: Value::Absent, ttl_ms: None, ..under(lease, b"") };
    scene.cache.set(&at, &note).expect("it is the holder");
    let known = fetch(&scene.cache, &at, &who(2)).expect("it is known");
    assert_eq!(known, (Fetched::KnownAbsent, Some(Owned::Absent)));
    assert!(!scene.cache.exists(&at).expect("it is asked"));
    advance_ms(scene, 10_000);
    lease_of(&scene.cache, &at, &caller);
}

#[test]
fn cache_23_of_a_hundred_callers_who_miss_one_loads_and_all_get_what_it_wrote() {
    of_a_hundred_callers_who_miss_one_loads_and_all_get_what_it_wrote(&scene());
}

fn of_a_hundred_callers_who_miss_one_loads_and_all_get_what_it_wrote(scene: &Scene) {
    let loads = AtomicUsize::new(0);
    thread::scope(|threads| {
        for context in 1..=100 {
            let (scene, loads) = (scene, &loads);
            threads.spawn(move || {
                let (at, caller) = (scene.key("k"), who(context));
                match fetch(&scene.cache, &at, &caller).expect("it is fetched") {
                    (Fetched::Load { lease }, None) => {
                        loads.fetch_add(1, SeqCst);
                        scene.cache.set(&at, &under(lease, b"loaded")).expect("it is the holder");
                    }
                    other => assert_eq!(other, given(b"loaded", None)),
                }
            });
        }
    });
    assert_eq!(loads.load(SeqCst), 1);
    assert!(scene.cache.leases.is_empty());
}

#[test]
fn cache_23_all_who_wait_are_woken_by_a_write_of_the_holder_or_of_another() {
    for by_holder in [true, false] {
        let scene = scene();
        let at = scene.key("k");
        let lease = lease_of(&scene.cache, &at, &who(1));
        thread::scope(|threads| {
            for context in 2..10 {
                let scene = &scene;
                threads.spawn(move || {
                    let found = fetch(&scene.cache, &scene.key("k"), &who(context)).expect("it comes");
                    assert_eq!(found, given(b"v", None));
                });
            }
            until(|| scene.cache.leases.waiting() == 8);
            let lease = if by_holder { lease } else { 0 };
            scene.cache.set(&at, &under(lease, b"v")).expect("it can be written");
        });
        assert!(scene.cache.leases.is_empty());
    }
}

#[test]
fn cache_23_a_wait_ends_with_the_patience_of_the_caller_by_the_clock() {
    let scene = scene();
    let at = scene.key("k");
    let _lease = lease_of(&scene.cache, &at, &who(1));
    let ask = Fetch { no_wait: true, ..Fetch::default() };
    assert_eq!(kind(fetch_so(&scene.cache, &at, &who(2), ask)), ErrorKind::Timeout);
    thread::scope(|threads| {
        let waiter = threads.spawn(|| fetch(&scene.cache, &scene.key("k"), &who(2)));
        until(|| scene.cache.leases.waiting() == 1);
        advance_ms(&scene, 4_999);
        assert_eq!(scene.cache.leases.waiting(), 1);
        advance_ms(&scene, 1);
        assert_eq!(kind(waiter.join().expect("it does not panic")), ErrorKind::Timeout);
    });
    for (wait_ms, lease_ms) in [(-1, 0), (3_600_001, 0), (0, -1), (0, 3_600_001)] {
        let ask = Fetch { no_wait: false, wait_ms, lease_ms };
        assert_eq!(kind(fetch_so(&scene.cache, &at, &who(2), ask)), ErrorKind::OutOfRange);
    }
}

#[test]
fn cache_24_where_each_loader_fails_the_next_gets_the_lease_one_after_another() {
    let (scene, loads, at_once) = (scene(), AtomicUsize::new(0), AtomicUsize::new(0));
    let first = lease_of(&scene.cache, &scene.key("k"), &who(1000));
    thread::scope(|threads| {
        for context in 1..=20 {
            let (scene, loads, at_once) = (&scene, &loads, &at_once);
            threads.spawn(move || {
                let at = scene.key("k");
                match fetch(&scene.cache, &at, &who(context)).expect("it is fetched") {
                    (Fetched::Load { lease }, None) => {
                        assert_eq!(at_once.fetch_add(1, SeqCst), 0, "one at a time");
                        let load = loads.fetch_add(1, SeqCst) + 1;
                        at_once.fetch_sub(1, SeqCst);
                        if load < 15 {
                            assert_eq!(fail(scene, &at, lease).expect("it is the holder"), None);
                        } else {
                            scene.cache.set(&at, &under(lease, b"v")).expect("it is the holder");
                        }
                    }
                    other => assert_eq!(other, given(b"v", None)),
                }
            });
        }
        until(|| scene.cache.leases.waiting() == 20);
        fail(&scene, &scene.key("k"), first).expect("it is the holder");
    });
    assert_eq!(loads.load(SeqCst), 15);
    assert!(scene.cache.leases.is_empty());
}

#[test]
fn cache_24_if_the_loader_goes_away_the_next_waiter_gets_the_lease() {
    type End<'a> = &'a (dyn Fn(&Scene) + Sync);
    let ends: [(&str, End<'_>); 2] = [
        ("its deadline has passed", &|scene| advance_ms(scene, 1_000)),
        ("the generation that it was given to has ended", &|scene| scene.cache.end_generation(9)),
    ];
    for (words, end) in ends {
        let scene = scene();
        let at = scene.key("k");
        let holder = Who { generation: 9, ..who(1) };
        let ask = Fetch { lease_ms: 1_000, ..Fetch::default() };
        let (Fetched::Load { lease }, _) = fetch_so(&scene.cache, &at, &holder, ask).expect("a miss") else {
            panic!("it is there");
        };
        thread::scope(|threads| {
            let waiter = threads.spawn(|| lease_of(&scene.cache, &scene.key("k"), &who(2)));
            until(|| scene.cache.leases.waiting() == 1);
            end(&scene);
            let next = waiter.join().expect("it gets the lease");
            let late = scene.cache.set(&at, &under(lease, b"late")).expect_err("it is over");
            assert_eq!(late.kind(), ErrorKind::Conflict);
            assert!(late.to_string().contains(words), "{late}");
            scene.cache.set(&at, &under(next, b"v")).expect("it is the holder");
        });
    }
}

#[test]
fn a_waiter_that_gives_up_hands_on_what_it_was_to_take() {
    let scene = scene();
    let at = scene.key("k");
    for _ in 0..200 {
        let lease = lease_of(&scene.cache, &at, &who(1));
        let stopping = Who { generation: 7, ..who(2) };
        thread::scope(|threads| {
            let gone = threads.spawn(|| fetch(&scene.cache, &scene.key("k"), &stopping));
            until(|| scene.cache.leases.waiting() == 1);
            let stays = threads.spawn(|| lease_of(&scene.cache, &scene.key("k"), &who(3)));
            until(|| scene.cache.leases.waiting() == 2);
            // It is woken for the lease and told to stop in whatever order its thread notices.
            fail(&scene, &at, lease).expect("it is the holder");
            stopping.stopping.store(true, SeqCst);
            scene.cache.stop_waits(7);
            if let Ok((Fetched::Load { lease }, _)) = gone.join().expect("it does not panic") {
                fail(&scene, &at, lease).expect("it is the holder");
            }
            let lease = stays.join().expect("it gets the lease");
            fail(&scene, &at, lease).expect("it is the holder");
        });
        assert!(scene.cache.leases.is_empty());
    }
}

#[test]
fn a_stop_wakes_those_who_wait_and_nobody_begins_to() {
    let scene = scene();
    let at = scene.key("k");
    let _lease = lease_of(&scene.cache, &at, &who(1));
    let waiter = Who { generation: 7, ..who(2) };
    thread::scope(|threads| {
        let waits = threads.spawn(|| fetch(&scene.cache, &scene.key("k"), &waiter));
        until(|| scene.cache.leases.waiting() == 1);
        scene.cache.stop_waits(8);
        assert_eq!(scene.cache.leases.waiting(), 1, "another's");
        waiter.stopping.store(true, SeqCst);
        scene.cache.stop_waits(7);
        assert_eq!(kind(waits.join().expect("it does not panic")), ErrorKind::Stopping);
    });
    assert_eq!(kind(fetch(&scene.cache, &at, &waiter)), ErrorKind::Stopping);
    let busy = who(3);
    busy.waits.store(0, SeqCst);
    assert_eq!(kind(fetch(&scene.cache, &at, &busy)), ErrorKind::Busy);
    assert_eq!(scene.cache.leases.waiting(), 0);
}

#[test]
fn the_end_of_the_host_wakes_those_who_wait() {
    let scene = scene();
    let _lease = lease_of(&scene.cache, &scene.key("k"), &who(1));
    thread::scope(|threads| {
        let waits = threads.spawn(|| fetch(&scene.cache, &scene.key("k"), &who(2)));
        until(|| scene.cache.leases.waiting() == 1);
        scene.cache.close();
        assert_eq!(kind(waits.join().expect("it does not panic")), ErrorKind::Unavailable);
    });
}

#[test]
fn a_wait_that_only_the_waiter_could_end_is_refused_at_once() {
    let scene = scene();
    let [one, two, three] = ["1", "2", "3"].map(|key| scene.key(key));
    let callers = [who(1), who(2), who(3)];
    let first = lease_of(&scene.cache, &one, &callers[0]);
    assert_eq!(kind(fetch(&scene.cache, &one, &callers[0])), ErrorKind::Reentrant);
    let second = lease_of(&scene.cache, &two, &callers[1]);
    let third = lease_of(&scene.cache, &three, &callers[2]);
    thread::scope(|threads| {
        let waits = |context: u64, key: &'static str| {
            let scene = &scene;
            move || fetch(&scene.cache, &scene.key(key), &who(context))
        };
        let a = threads.spawn(waits(1, "2"));
        let b = threads.spawn(waits(2, "3"));
        until(|| scene.cache.leases.waiting() == 2);
        // The last of the waits closes the circle, and is refused; one from outside of it waits.
        assert_eq!(kind(fetch(&scene.cache, &one, &callers[2])), ErrorKind::Reentrant);
        let c = threads.spawn(waits(4, "1"));
        until(|| scene.cache.leases.waiting() == 3);
        scene.cache.set(&three, &under(third, b"3")).expect("it is the holder");
        assert_eq!(b.join().expect("it does not panic").expect("it comes"), given(b"3", None));
        scene.cache.set(&two, &under(second, b"2")).expect("it is the holder");
        assert_eq!(a.join().expect("it does not panic").expect("it comes"), given(b"2", None));
        scene.cache.set(&one, &under(first, b"1")).expect("it is the holder");
        assert_eq!(c.join().expect("it does not panic").expect("it comes"), given(b"1", None));
    });
    assert!(scene.cache.leases.is_empty());
}

#[test]
fn a_plugin_has_1024_leases_at_most() {
    let (scene, caller) = (scene(), who(1));
    let keys: Vec<String> = (0..=MOST_LEASES).map(|number| format!("k{number}")).collect();
    let leases: Vec<_> =
        keys[..MOST_LEASES].iter().map(|key| lease_of(&scene.cache, &scene.key(key), &caller)).collect();
    let over = scene.key(&keys[MOST_LEASES]);
    assert_eq!(kind(fetch(&scene.cache, &over, &caller)), ErrorKind::Quota);
    lease_of(&scene.cache, &scene.at(1, &scene.tenants.named(""), "ns", "k"), &caller);
    // What is stale is given all the same.
    scene.cache.set(&over, &with_spans(b"old", 60_000, 0)).expect("it can be written");
    advance_ms(&scene, 100);
    assert_eq!(fetch(&scene.cache, &over, &caller).expect("it is stale"), given(b"old", None));
    scene.cache.set(&scene.key(&keys[0]), &under(leases[0], b"v")).expect("it is the holder");
    assert!(matches!(fetch(&scene.cache, &over, &caller), Ok((Fetched::Given { lease: Some(_) }, _))));
    // Those that lapse make room.
    advance_ms(&scene, 10_000);
    lease_of(&scene.cache, &scene.key(&keys[1]), &caller);
    assert_eq!(scene.cache.leases.out.load(SeqCst), 1);
}

#[test]
fn a_lease_is_good_for_its_own_scope_and_key_only() {
    let (scene, caller) = (scene(), who(1));
    let at = scene.key("k");
    let lease = lease_of(&scene.cache, &at, &caller);
    let others = [
        (scene.at(1, &scene.tenants.named(""), "ns", "k"), ErrorKind::StaleHandle),
        (scene.at(0, &scene.tenants.named("acme"), "ns", "k"), ErrorKind::StaleHandle),
        (scene.at(0, &scene.tenants.named(""), "other", "k"), ErrorKind::InvalidArgument),
        (scene.key("other"), ErrorKind::InvalidArgument),
    ];
    for (place, expected) in &others {
        assert_eq!(kind(scene.cache.set(place, &under(lease, b"x"))), *expected);
        if *expected == ErrorKind::StaleHandle {
            assert_eq!(kind(fail(&scene, place, lease)), ErrorKind::StaleHandle);
        }
    }
    assert_eq!(kind(scene.cache.set(&at, &under(lease ^ 1 << 40, b"x"))), ErrorKind::StaleHandle);
    // A write that is refused for another reason leaves the lease.
    let condition = SetIf::Version(4711);
    assert_eq!(kind(scene.cache.set(&at, &Write { condition, ..under(lease, b"x") })), ErrorKind::Conflict);
    let answers = scene.cache.set_many(
        &at.space(),
        &[(scene.key("other"), Write::of(b"o", None)), (at, under(lease, b"v")), (at, under(lease, b"w"))],
    );
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::Conflict)]);
    assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Endless)));
}

fn slow_scene() -> (Scene, Arc<Double>) {
    let mut made = None;
    let scene = Scene::new(|clock: Arc<ManualClock>| {
        let double = Arc::new(Double::new(clock));
        made = Some(Arc::clone(&double));
        Box::new(double)
    });
    (scene, made.expect("it was made"))
}

#[test]
fn cache_20_what_is_invalidated_in_the_middle_of_a_write_under_a_lease_does_not_stay() {
    let invalidations: [&(dyn Fn(&Scene) + Sync); 5] = [
        &|scene| {
            scene.cache.remove(&scene.key("k")).expect("it is removed");
        },
        &|scene| {
            scene.cache.clear(&scene.key("k").space()).expect("it is cleared");
        },
        &|scene| {
            scene.cache.invalidate_tag(&scene.key("k").scope, tag("t")).expect("it is done");
        },
        &|scene| {
            scene.cache.remove_plugin("a").expect("it is removed");
        },
        // The deadline passes while the write is under way: it is found all the same.
        &|scene| {
            advance_ms(scene, 60_000);
            scene.cache.invalidate_tag(&scene.key("k").scope, tag("t")).expect("it is done");
        },
    ];
    for (number, invalidate) in invalidations.into_iter().enumerate() {
        let (scene, slow) = slow_scene();
        let lease = lease_of(&scene.cache, &scene.key("k"), &who(1));
        let stopped = slow.stop_at(Point::Change);
        thread::scope(|threads| {
            let write = threads.spawn(|| {
                let write = Write { tags: &[tag("t")], ..under(lease, b"old") };
                scene.cache.set(&scene.key("k"), &write)
            });
            stopped.is_reached();
            let invalidation = threads.spawn(|| invalidate(&scene));
            for _ in 0..100 {
                thread::yield_now();
            }
            assert!(!invalidation.is_finished(), "{number}: it waits for the write");
            stopped.go_on();
            write.join().expect("it does not panic").expect("it was in time");
            invalidation.join().expect("it does not panic");
        });
        assert_eq!(scene.read(&scene.key("k")), None, "{number}");
        assert!(scene.cache.leases.is_empty());
    }
}

#[test]
fn cache_23_what_was_written_between_a_miss_and_its_lease_is_not_loaded_again() {
    let (scene, slow) = slow_scene();
    let stopped = slow.stop_at(Point::Found);
    thread::scope(|threads| {
        let late = threads.spawn(|| fetch(&scene.cache, &scene.key("k"), &who(1)));
        stopped.is_reached();
        let lease = lease_of(&scene.cache, &scene.key("k"), &who(2));
        scene.cache.set(&scene.key("k"), &under(lease, b"v")).expect("it is the holder");
        stopped.go_on();
        let found = late.join().expect("it does not panic").expect("it is there");
        assert_eq!(found, given(b"v", None));
    });
    assert!(scene.cache.leases.is_empty());
}
