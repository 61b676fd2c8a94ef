//! Loading items once: leases, what ends them, and reading through the cache, on the test host.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use pintle_plugin::{
    Cache, CacheEntry, CacheItem, CacheValue, Context, Error, Fetch, FetchOptions, Lease, Plugin, Result,
    SetOptions, Status, plugin,
    test::{Host, Scoped},
};

const SECOND: Duration = Duration::from_secs(1);

/// Fresh for 10 seconds, stale for 5 more, and kept for 20.
fn spans() -> SetOptions<'static> {
    SetOptions::new().lifetime(10 * SECOND).stale_for(5 * SECOND).keep_for_errors(20 * SECOND)
}

fn status<T: std::fmt::Debug>(outcome: Result<T>) -> Status {
    outcome.expect_err("it must fail").status()
}

fn fetch<'a>(cache: Cache<'a>, key: &str) -> Fetch<'a> {
    cache.fetch(key, &FetchOptions::new()).expect("it can be fetched")
}

#[track_caller]
fn lease<'a>(cache: Cache<'a>, key: &str) -> Lease<'a> {
    match fetch(cache, key) {
        Fetch::Load(lease) | Fetch::Stale(_, Some(lease)) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

fn bytes(item: Option<CacheItem>) -> Option<Vec<u8>> {
    item.map(CacheItem::into_bytes)
}

/// Two callers of one tenant.
fn callers(host: &Host) -> (Scoped, Scoped) {
    (host.tenant("acme"), host.tenant("acme"))
}

#[test]
fn one_caller_gets_the_lease_and_the_others_what_it_writes() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    let lease = lease(one.cache("ns"), "k");
    assert_eq!(lease.key(), "k");
    assert_eq!(status(two.cache("ns").fetch("k", &FetchOptions::new())), Status::Timeout);
    assert_eq!(
        status(two.cache("ns").fetch("k", &FetchOptions::new().wait(Duration::ZERO))),
        Status::Timeout
    );
    assert_eq!(status(one.cache("ns").fetch("k", &FetchOptions::new())), Status::Reentrant);
    assert!(matches!(fetch(two.cache("other"), "k"), Fetch::Load(_)), "other items are nobody's concern");
    assert!(matches!(fetch(host.cache("ns"), "k"), Fetch::Load(_)), "and neither are other tenants");

    lease.set_json(&7, SECOND)?;
    let Fetch::Fresh(item) = fetch(two.cache("ns"), "k") else { panic!("it is there") };
    assert_eq!(item.json::<u8>()?, 7);
    Ok(())
}

#[test]
fn the_first_who_finds_it_stale_gets_the_lease_and_all_get_the_item() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    one.cache("ns").set_with("k", b"old", spans())?;
    host.advance(10 * SECOND)?;
    let Fetch::Stale(item, Some(lease)) = fetch(one.cache("ns"), "k") else { panic!("it is to be loaded") };
    assert_eq!(item.into_bytes(), b"old");
    for other in [&one, &two] {
        let Fetch::Stale(item, None) = fetch(other.cache("ns"), "k") else { panic!("somebody is at it") };
        assert_eq!(item.into_bytes(), b"old");
    }
    lease.set(b"new", spans())?;
    assert!(
        matches!(fetch(two.cache("ns"), "k"), Fetch::Fresh(item) if item.value == CacheValue::Bytes(b"new".to_vec()))
    );
    Ok(())
}

#[test]
fn what_is_absent_is_not_loaded() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    lease(cache, "k").set_absent(2 * SECOND)?;
    assert!(matches!(fetch(cache, "k"), Fetch::Absent));
    host.advance(2 * SECOND)?;
    lease(cache, "k").set_absent(SetOptions::new())?;
    host.advance(9 * SECOND)?;
    assert!(matches!(fetch(cache, "k"), Fetch::Absent));
    host.advance(SECOND)?;
    assert!(matches!(fetch(cache, "k"), Fetch::Load(_)));
    Ok(())
}

#[test]
fn a_lease_that_is_dropped_goes_to_the_next() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    drop(lease(one.cache("ns"), "k"));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _lease = lease(two.cache("ns"), "k");
        panic!("as loaders do");
    }));
    assert!(panicked.is_err());
    lease(one.cache("ns"), "k").set(b"v", SECOND)?;

    // Nobody is there any more who could take it back: that is no panic.
    let late = host.tenant("acme");
    let lease = lease(late.cache("ns"), "late");
    drop(host);
    assert_eq!(status(late.cache("ns").get("k")), Status::StaleHandle);
    drop(lease);
    Ok(())
}

#[test]
fn who_cannot_load_gets_the_old_item_as_long_as_it_is_kept() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    let cache = one.cache("ns");
    cache.set_with("k", b"old", spans())?;
    for (after, expected) in
        [(10, Some(b"old".to_vec())), (5, Some(b"old".to_vec())), (14, Some(b"old".to_vec())), (1, None)]
    {
        host.advance(after * SECOND)?;
        assert_eq!(bytes(lease(cache, "k").fail()?), expected, "{after} s later");
    }
    cache.set_with("k", b"old", spans())?;
    host.advance(16 * SECOND)?;
    assert_eq!(two.cache("ns").get("k")?, None, "nobody else gets it");
    let old = lease(cache, "k").fail()?.expect("it is kept");
    assert_eq!((old.lifetime, old.remaining), (Duration::ZERO.into(), Duration::ZERO.into()));
    assert_eq!(lease(cache, "none").fail()?, None);
    Ok(())
}

#[test]
fn a_lease_lapses_and_the_next_one_gets_it() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    let (default, long) = (lease(one.cache("ns"), "k"), FetchOptions::new().lease_for(20 * SECOND));
    let Fetch::Load(long) = one.cache("ns").fetch("long", &long)? else { panic!("it is not there") };
    host.advance(10 * SECOND)?;
    assert_eq!(status(two.cache("ns").fetch("long", &FetchOptions::new())), Status::Timeout);
    let second = lease(two.cache("ns"), "k");
    assert_eq!(status(default.set(b"too late", SECOND)), Status::Conflict);
    assert_eq!(two.cache("ns").get("k")?, None);
    second.set(b"in time", SECOND)?;
    host.advance(10 * SECOND)?;
    assert_eq!(status(long.fail()), Status::StaleHandle);
    Ok(())
}

#[test]
fn what_is_written_under_an_outdated_lease_is_refused() -> Result<()> {
    type Act = fn(&Context) -> Result<()>;
    let acts: [(&str, Act); 10] = [
        ("set", |cx| cx.cache("ns").set("a/k", b"other")),
        ("set_many", |cx| cx.cache("ns").set_many(&[CacheEntry::new("a/k", b"other", SECOND)])?.remove(0)),
        ("set_absent", |cx| cx.cache("ns").set_absent("a/k")),
        ("incr", |cx| cx.cache("ns").incr("a/k", 1).map(drop)),
        ("remove", |cx| cx.cache("ns").remove("a/k").map(drop)),
        ("expire", |cx| cx.cache("ns").expire("a/k", Duration::ZERO).map(drop)),
        ("invalidate", |cx| cx.cache("ns").invalidate("a/*").map(drop)),
        ("clear", |cx| cx.cache("ns").clear().map(drop)),
        ("a tag of the old item", |cx| cx.invalidate_tag("old").map(drop)),
        ("a tag of the new item", |cx| cx.invalidate_tag("new").map(drop)),
    ];
    for (what, act) in acts {
        let host = Host::new();
        let (one, two) = callers(&host);
        one.cache("ns").set_with("a/k", b"1", spans().tags(&["old"]))?;
        host.advance(10 * SECOND)?;
        let lease = lease(one.cache("ns"), "a/k");
        act(two.context())?;
        let before = two.cache("ns").get("a/k")?;
        assert_eq!(status(lease.set(b"9", SetOptions::new().tags(&["new"]))), Status::Conflict, "{what}");
        assert_eq!(two.cache("ns").get("a/k")?, before, "{what}");
    }
    Ok(())
}

#[test]
fn what_others_do_elsewhere_does_not_touch_a_lease() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    let lease = lease(one.cache("ns"), "k");
    two.cache("ns").set("other", b"")?;
    two.cache("ns").invalidate("o*")?;
    two.cache("other").clear()?;
    two.context().invalidate_tag("t")?;
    host.cache("ns").clear()?;
    host.context().invalidate_tag("mine")?;
    two.cache("ns").remove("other")?;
    lease.set(b"v", SetOptions::new().tags(&["mine"]))?;
    assert_eq!(two.cache("ns").get("k")?.as_deref(), Some(&b"v"[..]));
    Ok(())
}

#[test]
fn a_write_that_fails_ends_the_lease_too() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    assert_eq!(status(lease(cache, "k").set(&vec![0; (1 << 20) + 1], SECOND)), Status::TooLarge);
    assert_eq!(status(lease(cache, "k").set(b"v", Duration::ZERO)), Status::OutOfRange);
    assert_eq!(status(lease(cache, "k").set_absent(spans())), Status::InvalidArgument);
    let no_json = std::collections::HashMap::from([((1, 2), 3)]);
    assert_eq!(status(lease(cache, "k").set_json(&no_json, SECOND)), Status::InvalidArgument);
    lease(cache, "k").set(b"v", SECOND)
}

#[test]
fn times_of_a_fetch_have_bounds() {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let options = FetchOptions::new();
    let hour = 3_600 * SECOND;
    for (options, fits) in [
        (options.wait(hour).lease_for(hour), true),
        (options.wait(hour + SECOND), false),
        (options.lease_for(hour + SECOND), false),
        (options.lease_for(Duration::ZERO), false),
        (options.wait(Duration::MAX), false),
    ] {
        let outcome = cache.fetch("k", &options).map(drop).map_err(|error| error.status());
        assert_eq!(outcome, if fits { Ok(()) } else { Err(Status::OutOfRange) }, "{options:?}");
    }
}

#[test]
fn leases_have_a_quota() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let keys: Vec<_> = (0..1_025).map(|number| number.to_string()).collect();
    let mut leases: Vec<_> = keys[..1_024].iter().map(|key| lease(cache, key)).collect();
    assert_eq!(status(cache.fetch(&keys[1_024], &FetchOptions::new())), Status::Quota);
    leases.pop();
    assert!(matches!(fetch(cache, &keys[1_024]), Fetch::Load(_)));
    Ok(())
}

#[test]
fn a_lease_ends_with_its_generation() -> Result<()> {
    struct Loader;
    impl Plugin for Loader {
        fn load(cx: &Context) -> Result<Self> {
            // As one that never comes back.
            std::mem::forget(lease(cx.cache("ns"), "k"));
            assert_eq!(status(cx.cache("ns").fetch("k", &FetchOptions::new())), Status::Reentrant);
            Ok(Loader)
        }
    }
    plugin!(
        Loader,
        inline r#"{ "id": "loader", "version": "1.0.0", "abi": "1.0", "services": { "cache": {} } }"#,
        entry = loader
    );
    let host = Host::new().start::<Loader>()?;
    assert_eq!(status(host.cache("ns").fetch("k", &FetchOptions::new())), Status::Timeout);
    host.unload()?;
    drop(lease(host.context().cache("ns"), "k"));
    host.load::<Loader>()
}

#[test]
fn what_is_not_there_is_loaded_and_then_there() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let loads = Cell::new(0);
    let load = || {
        loads.set(loads.get() + 1);
        Ok(Some(loads.get().to_string().into_bytes()))
    };
    for (after, expected) in [(0, b"1"), (0, b"1"), (9, b"1"), (1, b"2"), (1, b"2"), (60, b"3")] {
        host.advance(after * SECOND)?;
        assert_eq!(cache.get_or_load("k", spans(), load)?.as_deref(), Some(&expected[..]));
    }
    assert_eq!(loads.get(), 3);
    assert_eq!(cache.get_item("k")?.expect("it is there").remaining, (15 * SECOND).into());
    // A lifetime alone will do, and integers are read as their digits.
    cache.incr("n", 5)?;
    assert_eq!(cache.get_or_load("n", SECOND, || panic!("it is there"))?.as_deref(), Some(&b"5"[..]));
    assert_eq!(cache.get_or_load_json("n", spans(), || panic!("it is there"))?, Some(5));
    Ok(())
}

#[test]
fn that_there_is_nothing_is_kept_too() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let options = spans().tags(&["t"]);
    assert_eq!(cache.get_or_load("k", options, || Ok(None))?, None);
    assert_eq!(cache.get_or_load("k", options, || panic!("it is known"))?, None);
    assert_eq!(cache.get_or_load_json::<u8>("k", options, || panic!("it is known"))?, None);
    host.context().invalidate_tag("t")?;
    assert_eq!(cache.get_or_load("k", options, || Ok(Some(b"v".to_vec())))?, Some(b"v".to_vec()));
    host.advance(10 * SECOND)?;
    assert_eq!(cache.get_or_load("k", options, || Ok(None))?, None, "also in place of what was there");
    assert!(cache.known_absent("k")?);
    Ok(())
}

#[test]
fn a_loader_that_fails_gives_the_old_item_or_its_error() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let fail = || Err(Error::new(Status::Unavailable, "the register is down"));
    let error = cache.get_or_load("k", spans(), fail).expect_err("there is none");
    assert_eq!((error.status(), error.message()), (Status::Unavailable, "the register is down"));

    cache.get_or_load("k", spans(), || Ok(Some(b"old".to_vec())))?;
    cache.get_or_load_json("json", spans(), || Ok(Some(7)))?;
    for after in [10, 5, 14] {
        host.advance(after * SECOND)?;
        assert_eq!(cache.get_or_load("k", spans(), fail)?.as_deref(), Some(&b"old"[..]), "{after} s later");
        assert_eq!(cache.get_or_load_json("json", spans(), || fail().map(|_| None))?, Some(7));
    }
    host.advance(SECOND)?;
    assert_eq!(status(cache.get_or_load("k", spans(), fail)), Status::Unavailable);

    // Not what was invalidated while it was loading.
    cache.set_with("k", b"old", spans())?;
    host.advance(10 * SECOND)?;
    let outcome = cache.get_or_load("k", spans(), || {
        cache.remove("k")?;
        Err(Error::new(Status::Unavailable, "down"))
    });
    assert_eq!(status(outcome), Status::Unavailable);
    Ok(())
}

#[test]
fn a_loader_that_panics_leaves_the_lease_to_the_next() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    let panicked =
        catch_unwind(AssertUnwindSafe(|| one.cache("ns").get_or_load("k", SECOND, || panic!("told to"))));
    let payload = panicked.expect_err("it goes on");
    assert_eq!(payload.downcast_ref(), Some(&"told to"));
    assert_eq!(
        two.cache("ns").get_or_load("k", SECOND, || Ok(Some(b"v".to_vec())))?.as_deref(),
        Some(&b"v"[..])
    );
    Ok(())
}

#[test]
fn a_loader_that_asks_for_its_own_item_is_told_so() {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let round = cache.get_or_load("k", SECOND, || cache.get_or_load("k", SECOND, || Ok(None)));
    assert_eq!(status(round), Status::Reentrant);
    // Others it may ask for.
    let nested =
        cache.get_or_load("k", SECOND, || cache.get_or_load("of it", SECOND, || Ok(Some(b"v".to_vec()))));
    assert_eq!(nested.expect("it is loaded").as_deref(), Some(&b"v"[..]));
}

#[test]
fn while_it_is_loaded_the_others_get_the_stale_one_without_loading() -> Result<()> {
    let host = Host::new();
    let (one, two) = callers(&host);
    one.cache("ns").set_with("k", b"old", spans())?;
    host.advance(10 * SECOND)?;
    let loaded = one.cache("ns").get_or_load("k", spans(), || {
        let other = two.cache("ns").get_or_load("k", spans(), || panic!("somebody is at it"))?;
        assert_eq!(other.as_deref(), Some(&b"old"[..]));
        Ok(Some(b"new".to_vec()))
    });
    assert_eq!(loaded?.as_deref(), Some(&b"new"[..]));
    assert_eq!(two.cache("ns").get("k")?.as_deref(), Some(&b"new"[..]));
    Ok(())
}

#[test]
fn what_was_loaded_is_given_also_where_it_cannot_be_kept() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let value = Some(b"v".to_vec());
    let loaded = cache.get_or_load("k", SetOptions::new().tags(&["t"]), || {
        host.context().invalidate_tag("t")?;
        Ok(value.clone())
    });
    assert_eq!((loaded?, cache.get("k")?), (value.clone(), None), "it may be out of date");
    let none = cache.get_or_load("k", SECOND, || cache.clear().map(|_| None));
    assert_eq!((none?, cache.known_absent("k")?), (None, false));
    let large = vec![0; (1 << 20) + 1];
    assert_eq!(cache.get_or_load("k", SECOND, || Ok(Some(large.clone())))?, Some(large));
    assert!(!cache.exists("k")?);
    let slow = cache.get_or_load("k", SECOND, || {
        host.advance(10 * SECOND)?;
        Ok(value.clone())
    });
    assert_eq!((slow?, cache.get("k")?), (value, None), "its lease has lapsed");
    Ok(())
}

#[test]
fn an_author_hears_of_his_mistakes() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let refused = cache.get_or_load("k", Duration::ZERO, || panic!("too early"));
    assert_eq!(status(refused), Status::OutOfRange);
    let tags = [""; 17];
    let refused = cache.get_or_load("k", SetOptions::new().tags(&tags), || Ok(Some(Vec::new())));
    assert_eq!(status(refused), Status::InvalidArgument);
    assert_eq!(status(cache.get_or_load("", SECOND, || panic!("no key"))), Status::InvalidArgument);
    let no_json = || Ok(Some(std::collections::BTreeMap::from([(vec![1], 3)])));
    assert_eq!(status(cache.get_or_load_json("k", SECOND, no_json)), Status::InvalidArgument);
    lease(cache, "k").set(b"v", SECOND)
}

#[test]
fn what_an_older_version_left_is_loaded_anew() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set("k", b"{\"old\":\"shape\"}")?;
    assert_eq!(cache.get_or_load_json("k", SECOND, || Ok(Some(7)))?, Some(7));
    assert_eq!(cache.get("k")?.as_deref(), Some(&b"7"[..]));
    cache.set("k", b"no JSON")?;
    assert_eq!(cache.get_or_load_json::<u8>("k", SECOND, || Ok(None))?, None);
    assert!(cache.known_absent("k")?);
    cache.set("k", b"no JSON")?;
    let failed = cache.get_or_load_json::<u8>("k", SECOND, || Err(Error::new(Status::Busy, "")));
    assert_eq!(status(failed), Status::Busy);
    let other = cache.get_or_load_json("k", SECOND, || cache.set("k", b"8").map(|()| Some(7)));
    assert_eq!(
        (other?, cache.get("k")?.as_deref()),
        (Some(7), Some(&b"8"[..])),
        "who wrote meanwhile knows more"
    );
    cache.set_with("k", b"no JSON", spans())?;
    host.advance(10 * SECOND)?;
    assert_eq!(
        status(cache.get_or_load_json::<u8>("k", SECOND, || Err(Error::new(Status::Busy, "")))),
        Status::Busy
    );
    Ok(())
}
