//! Items of the cache with all that can be said of them, many at once, and whole namespaces, on the test host.

use std::time::Duration;

use pintle_abi::PintleCache;
use pintle_plugin::{
    Age, Cache, CacheEntry, CacheItem, CacheValue, Context, FetchOptions, Lifetime, Plugin, Result,
    SetOptions, Status, plugin, test::Host,
};

use crate::{driver::Driver, fake::Fake};

const SECOND: Duration = Duration::from_secs(1);

fn status<T: std::fmt::Debug>(outcome: Result<T>) -> Status {
    outcome.expect_err("it must fail").status()
}

fn item(cache: Cache<'_>, key: &str) -> CacheItem {
    cache.get_item(key).expect("it can be read").expect("it is there")
}

#[test]
fn an_item_is_fresh_then_stale_then_kept_and_then_gone() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let options = SetOptions::new().lifetime(10 * SECOND).stale_for(5 * SECOND).keep_for_errors(20 * SECOND);
    cache.set_with("k", b"v", options)?;
    let fresh = item(cache, "k");
    assert_eq!(fresh.age, Age::Fresh);
    assert_eq!((fresh.lifetime, fresh.remaining), ((10 * SECOND).into(), (15 * SECOND).into()));

    host.advance(10 * SECOND)?;
    let stale = item(cache, "k");
    assert_eq!((stale.age, stale.version), (Age::Stale, fresh.version));
    assert_eq!((stale.lifetime, stale.remaining), (Duration::ZERO.into(), (5 * SECOND).into()));
    assert_eq!((cache.get("k")?, cache.exists("k")?), (Some(b"v".to_vec()), true));
    assert_eq!(cache.ttl("k")?, Some(Duration::ZERO.into()));

    host.advance(5 * SECOND)?;
    assert_eq!((cache.get_item("k")?, cache.exists("k")?, cache.ttl("k")?), (None, false, None));
    assert_eq!((cache.remove("k")?, cache.keys("").count()), (false, 0));
    Ok(())
}

#[test]
fn an_item_without_spans_is_gone_with_its_lifetime_and_an_endless_one_never() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set_with("k", b"v", SECOND)?;
    cache.set_with("endless", b"v", SetOptions::from(Lifetime::Endless).stale_for(SECOND))?;
    cache.set_with("default", b"v", SetOptions::new())?;
    host.advance(SECOND)?;
    assert_eq!(cache.get_item("k")?, None);
    assert_eq!(item(cache, "default").lifetime, (3_599 * SECOND).into());
    host.advance(1_000_000 * SECOND)?;
    let endless = item(cache, "endless");
    assert_eq!(
        (endless.age, endless.lifetime, endless.remaining),
        (Age::Fresh, Lifetime::Endless, Lifetime::Endless)
    );
    Ok(())
}

#[test]
fn what_is_expired_anew_keeps_its_spans() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set_with("k", b"v", SetOptions::new().lifetime(SECOND).stale_for(5 * SECOND))?;
    host.advance(2 * SECOND)?;
    assert!(cache.expire("k", SECOND)?);
    let again = item(cache, "k");
    assert_eq!((again.age, again.remaining), (Age::Fresh, (6 * SECOND).into()));
    Ok(())
}

#[test]
fn a_condition_that_does_not_hold_is_a_conflict_and_changes_nothing() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let options = SetOptions::new().lifetime(SECOND);
    cache.set_with("k", b"1", options.only_if_absent())?;
    let first = item(cache, "k");
    for refused in
        [options.only_if_absent(), options.only_if_version(0), options.only_if_version(first.version + 1)]
    {
        assert_eq!(status(cache.set_with("k", b"2", refused)), Status::Conflict, "{refused:?}");
        assert_eq!(status(cache.set_absent_with("k", refused)), Status::Conflict, "{refused:?}");
    }
    assert_eq!(item(cache, "k"), first);
    assert_eq!(
        status(cache.set_with("none", b"2", options.only_if_version(first.version))),
        Status::Conflict
    );
    cache.set_with("k", b"2", options.only_if_version(first.version))?;
    let second = item(cache, "k");
    assert_eq!(second.value, CacheValue::Bytes(b"2".to_vec()));
    assert_eq!(status(cache.set_with("k", b"3", options.only_if_version(first.version))), Status::Conflict);

    // A version never comes again, also not behind a removal; and counting makes one, too.
    cache.remove("k")?;
    assert_eq!(cache.incr("k", 1)?, 1);
    let third = item(cache, "k");
    assert!(third.version != first.version && third.version != second.version && third.version != 0);
    cache.incr("k", 1)?;
    assert_ne!(item(cache, "k").version, third.version);

    // What was said last counts.
    cache.set_with("k", b"4", options.only_if_absent().only_if_version(item(cache, "k").version))?;
    cache.remove("k")?;
    cache.set_with("k", b"5", options.only_if_version(7).only_if_absent())?;
    Ok(())
}

#[test]
fn a_lifetime_can_be_kept_and_counts_where_the_item_is_created() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let options = SetOptions::new().lifetime(10 * SECOND).stale_for(SECOND).keep_lifetime();
    cache.set_with("k", b"1", options)?;
    host.advance(4 * SECOND)?;
    cache.set_with("k", b"2", SetOptions::new().keep_lifetime())?;
    let kept = item(cache, "k");
    assert_eq!((kept.lifetime, kept.remaining), ((6 * SECOND).into(), (7 * SECOND).into()));
    assert_eq!(kept.into_bytes(), b"2");
    cache.set("k", b"3")?;
    assert_eq!(item(cache, "k").remaining, (3_600 * SECOND).into(), "a plain one replaces them");
    Ok(())
}

#[test]
fn spans_and_lifetimes_that_are_none_are_refused() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let options = SetOptions::new();
    let years = |years: u32| years * 365 * 24 * 3_600 * SECOND;
    for (options, expected) in [
        (options.lifetime(Duration::ZERO), Err(Status::OutOfRange)),
        (options.lifetime(years(101)), Err(Status::OutOfRange)),
        (options.stale_for(years(101)), Err(Status::OutOfRange)),
        (options.keep_for_errors(Duration::MAX), Err(Status::OutOfRange)),
        (options.lifetime(years(100)).stale_for(years(100)).keep_for_errors(years(100)), Ok(())),
    ] {
        let outcome = cache.set_with("k", b"v", options).map_err(|error| error.status());
        assert_eq!(outcome, expected, "{options:?}");
    }
    Ok(())
}

#[test]
fn an_item_has_up_to_16_tags() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let names: Vec<String> = (0..17).map(|number| format!("tag {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = "t".repeat(129);
    let too_long = [long.as_str()];
    let tags = |tags| SetOptions::new().tags(tags);
    for refused in [tags(&names), tags(&[""]), tags(&["a\0b"]), tags(&too_long)] {
        assert_eq!(status(cache.set_with("k", b"v", refused)), Status::InvalidArgument, "{refused:?}");
    }
    assert!(!cache.exists("k")?);
    cache.set_with("k", b"v", tags(&names[..16]))?;
    cache.set_with("long", b"v", tags(&[&long[..128], &long[..128]]))?;
    assert_eq!(host.context().invalidate_tag("tag 16")?, 0);
    assert_eq!(host.context().invalidate_tag("tag 15")?, 1);
    assert_eq!(host.context().invalidate_tag(&long[..128])?, 1);
    for refused in ["", "a\0b", &long] {
        assert_eq!(status(host.context().invalidate_tag(refused)), Status::InvalidArgument, "{refused:?}");
    }
    Ok(())
}

#[test]
fn a_tag_is_invalidated_in_all_namespaces_of_its_scope() -> Result<()> {
    let host = Host::new();
    let (acme, globex) = (host.tenant("acme"), host.tenant("globex"));
    for cache in [acme.cache("a"), acme.cache("b"), globex.cache("a")] {
        cache.set_with("k", b"v", SetOptions::new().tags(&["t", "u"]))?;
        cache.set_with("other", b"v", SetOptions::new().tags(&["u"]))?;
    }
    acme.cache("a").set("k", b"written again without")?;
    assert_eq!(acme.context().invalidate_tag("t")?, 1);
    let left = |cache: Cache<'_>| cache.keys("").collect::<Result<Vec<_>>>();
    assert_eq!(
        (left(acme.cache("a"))?, left(acme.cache("b"))?),
        (vec!["k".into(), "other".into()], vec!["other".into()])
    );
    assert_eq!(left(globex.cache("a"))?.len(), 2);
    assert_eq!(acme.context().invalidate_tag("t")?, 0, "once");
    assert_eq!(acme.context().invalidate_tag("u")?, 2);
    Ok(())
}

#[test]
fn counting_keeps_tags_and_spans() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set_with("n", b"7", SetOptions::new().lifetime(SECOND).stale_for(SECOND).tags(&["t"]))?;
    assert_eq!(cache.incr("n", 1)?, 8);
    assert_eq!(item(cache, "n").remaining, (2 * SECOND).into());
    assert_eq!(host.context().invalidate_tag("t")?, 1);
    Ok(())
}

#[test]
fn what_is_known_to_be_absent_is_not_there_for_anything_else() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    assert!(!cache.known_absent("k")?);
    cache.set("k", b"v")?;
    assert!(!cache.known_absent("k")?);
    cache.set_absent("k")?;
    assert!(cache.known_absent("k")?);
    assert_eq!((cache.get("k")?, cache.get_item("k")?, cache.ttl("k")?), (None, None, None));
    assert_eq!((cache.exists("k")?, cache.expire("k", SECOND)?, cache.remove("k")?), (false, false, false));
    assert!(!cache.known_absent("k")?, "it was removed nevertheless");

    cache.set_absent("k")?;
    cache.set_with("k", b"v", SetOptions::new().only_if_absent())?;
    assert!(!cache.known_absent("k")?);
    cache.set_absent("n")?;
    assert_eq!(cache.incr("n", 1)?, 1, "counting begins anew");

    cache.set_absent("k")?;
    cache.set_absent_with("long", 20 * SECOND)?;
    host.advance(10 * SECOND)?;
    assert_eq!(
        (cache.known_absent("k")?, cache.known_absent("long")?),
        (false, true),
        "10 seconds is the default"
    );
    let spans = SetOptions::new().lifetime(SECOND).stale_for(SECOND);
    assert_eq!(status(cache.set_absent_with("k", spans)), Status::InvalidArgument);
    assert_eq!(status(cache.set_absent_with("k", Duration::ZERO)), Status::OutOfRange);
    Ok(())
}

#[test]
fn many_are_read_with_an_answer_for_each() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set("bytes", b"v")?;
    cache.incr("n", 7)?;
    cache.set_absent("absent")?;
    cache.set("empty", b"")?;
    let read = cache.get_many(&["n", "none", "bytes", "absent", "empty", "n"])?;
    let values: Vec<_> =
        read.into_iter().map(|one| one.map(|one| one.map(|one| one.value))).collect::<Result<_>>()?;
    let bytes = |bytes: &[u8]| Some(CacheValue::Bytes(bytes.to_vec()));
    let seven = Some(CacheValue::Integer(7));
    assert_eq!(values, [seven.clone(), None, bytes(b"v"), None, bytes(b""), seven]);

    assert!(cache.get_many::<&str>(&[])?.is_empty());
    assert_eq!(status(cache.get_many(&["bytes", ""])), Status::InvalidArgument);
    Ok(())
}

#[test]
fn many_are_written_with_an_answer_for_each() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set("there", b"old")?;
    let (new, large) = (SetOptions::new().lifetime(SECOND), vec![0; (1 << 20) + 1]);
    let entries = [
        CacheEntry::new("a", b"1", SECOND),
        CacheEntry::new("there", b"new", new.only_if_absent()),
        CacheEntry::new("b", b"2", new.tags(&["t"]).stale_for(SECOND)),
        CacheEntry::new("no time", b"3", Duration::ZERO),
        CacheEntry::new("", b"4", new),
        CacheEntry::new("large", &large, new),
        CacheEntry::new("b", b"5", new.tags(&["u"]).keep_lifetime()),
    ];
    let answers = cache.set_many(&entries)?;
    let answers: Vec<_> = answers.into_iter().map(|one| one.map_err(|error| error.status())).collect();
    let failed = [Status::Conflict, Status::OutOfRange, Status::InvalidArgument, Status::TooLarge].map(Err);
    let [conflict, time, key, large] = failed;
    assert_eq!(answers, [Ok(()), conflict, Ok(()), time, key, large, Ok(())]);
    assert_eq!(cache.get("there")?.as_deref(), Some(&b"old"[..]));
    assert_eq!(
        (item(cache, "a").into_bytes(), item(cache, "b").into_bytes()),
        (b"1".to_vec(), b"5".to_vec())
    );
    assert_eq!(
        item(cache, "b").remaining,
        (2 * SECOND).into(),
        "in their order: the second kept what the first said"
    );
    assert_eq!((host.context().invalidate_tag("t")?, host.context().invalidate_tag("u")?), (0, 1));
    assert!(cache.set_many(&[])?.is_empty());

    let error = cache.set_many(&entries[1..2])?.remove(0).expect_err("it is there");
    assert!(error.message().starts_with("cache item \"there\" in \"ns\": "), "{error}");
    Ok(())
}

#[test]
fn a_huge_batch_is_as_good_as_a_small_one() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let keys: Vec<String> = (0..3_000).map(|number| format!("k{number:04}")).collect();
    let entries: Vec<_> = keys.iter().map(|key| CacheEntry::new(key, key.as_bytes(), SECOND)).collect();
    let answers = cache.set_many(&entries)?;
    assert!(answers.len() == 3_000 && answers.iter().all(Result::is_ok));
    let read = cache.get_many(&keys)?;
    for (key, read) in keys.iter().zip(read) {
        assert_eq!(read?.expect("it is there").into_bytes(), key.as_bytes());
    }
    assert_eq!(cache.keys("k2").collect::<Result<Vec<_>>>()?, keys[2_000..]);
    Ok(())
}

#[test]
fn keys_come_in_pages_and_what_is_not_there_is_not_told() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    for key in ["a%", "a*", "ab", "b"] {
        cache.set_for(key, b"", 2 * SECOND)?;
    }
    cache.set_for("a gone", b"", SECOND)?;
    cache.set_absent("a absent")?;
    host.cache("other").set("a other", b"")?;
    host.advance(SECOND)?;
    let page = cache.page("a", "", 2)?;
    assert_eq!(page.keys, ["a%", "a*"]);
    let next = cache.page("a", page.next.as_deref().expect("there are more"), 2)?;
    assert_eq!((next.keys, next.next), (vec!["ab".to_owned()], None));
    for (cursor, limit) in [("no cursor", 1), ("", 1_001)] {
        assert_eq!(status(cache.page("a", cursor, limit)), Status::InvalidArgument);
    }
    let failing: Vec<_> = cache.keys(&"x".repeat(513)).collect();
    assert!(matches!(&failing[..], [Err(error)] if error.status() == Status::InvalidArgument));

    assert_eq!((cache.clear()?, cache.clear()?), (4, 0));
    assert!(host.cache("other").exists("a other")?);
    Ok(())
}

#[test]
fn patterns_name_what_is_invalidated() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let keys = ["a", "a/b", "a/b/c", "a/bc", "ab", "b", "*", "a/", "ü/b"];
    for (pattern, hit) in [
        ("a", &["a"][..]),
        ("*", &["a", "ab", "b", "*"]),
        ("?", &["a", "b", "*"]),
        ("\\*", &["*"]),
        ("[a-b]", &["a", "b"]),
        ("[!a]", &["b", "*"]),
        ("a/*", &["a/b", "a/bc", "a/"]),
        ("?/b", &["a/b", "ü/b"]),
        ("a/**", &["a", "a/b", "a/b/c", "a/bc", "a/"]),
        ("**/b", &["a/b", "b", "ü/b"]),
        ("a/**/c", &["a/b/c"]),
        ("**", &keys),
        ("**/*c", &["a/b/c", "a/bc"]),
        ("a*b", &["ab"]),
        ("none", &[]),
    ] {
        keys.iter().try_for_each(|key| cache.set(key, b""))?;
        assert_eq!(cache.invalidate(pattern)?, hit.len() as u64, "{pattern}");
        let left: Vec<_> = keys.iter().filter(|key| !hit.contains(key)).collect();
        for key in keys {
            assert_eq!(cache.exists(key)?, left.contains(&&key), "{pattern} and {key}");
        }
    }
    let long = "*?".repeat(257);
    for bad in ["", "[", "[]", "[!]", "[b-a]", "[a/b]", "a\\", "a**", "**a", "***", "a/b**/c", "a\0", &long] {
        assert_eq!(status(cache.invalidate(bad)), Status::InvalidArgument, "{bad}");
    }
    // At worst as many steps as the one has characters times the other.
    cache.set(&"a".repeat(512), b"")?;
    assert_eq!(cache.invalidate(&("*a".repeat(255) + "b"))?, 0);
    Ok(())
}

#[test]
fn statistics_count_all_tenants() -> Result<()> {
    let host = Host::new();
    assert_eq!((host.context().cache_stats()?.items, host.context().cache_stats()?.bytes), (0, 0));
    host.cache("a").set_for("k", b"v", SECOND)?;
    host.tenant("acme").cache("b").set("k", b"v")?;
    let stats = host.context().cache_stats()?;
    assert_eq!((stats.items, stats.evicted), (2, 0));
    assert!(stats.bytes > 0 && stats.guaranteed_bytes <= stats.capacity_bytes, "{stats:?}");
    host.advance(SECOND)?;
    assert_eq!(host.context().cache_stats()?.items, 1);
    Ok(())
}

#[test]
fn grants_are_those_of_the_methods_that_a_manifest_can_list() -> Result<()> {
    struct Narrow;
    impl Plugin for Narrow {
        fn load(cx: &Context) -> Result<Self> {
            let cache = cx.cache("ns");
            cache.set_many(&[CacheEntry::new("k", b"v", SECOND)])?.remove(0)?;
            cache.set_absent("k")?;
            cache.get_or_load("k", SECOND, || Ok(None))?;
            cache.fetch("other", &FetchOptions::new())?; // and the lease fails
            for (refused, method) in [
                (cache.get_many(&["k"]).map(drop), "get"),
                (cache.known_absent("k").map(drop), "get"),
                (cache.invalidate("*").map(drop), "invalidate"),
                (cx.invalidate_tag("t").map(drop), "invalidate"),
                (cache.clear().map(drop), "clear"),
                (cache.page("", "", 1).map(drop), "keys"),
                (cx.cache_stats().map(drop), "stats"),
            ] {
                let error = refused.expect_err(method);
                assert_eq!(error.status(), Status::Denied);
                assert!(error.message().contains(&format!("may not call cache.{method}: ")), "{error}");
            }
            assert_eq!(status(cx.cache("theirs").clear()), Status::Denied);
            Ok(Narrow)
        }
    }
    plugin!(
        Narrow,
        inline r#"{ "id": "narrow", "version": "1.0.0", "abi": "1.0", "services": {
            "cache": { "namespaces": ["ns"], "methods": ["set", "fetch"] }
        } }"#,
        entry = narrow
    );
    Host::new().start::<Narrow>().map(drop)
}

#[test]
fn an_older_host_says_that_it_is_one() {
    /// A table that ends where the first draft of the contract did.
    #[repr(C)]
    struct Older {
        size: u32,
        reserved: u32,
        functions: [usize; 8],
    }
    static OLDER: Older = Older { size: size_of::<Older>() as u32, reserved: 0, functions: [0; 8] };
    struct Asks;
    impl Plugin for Asks {
        fn load(cx: &Context) -> Result<Self> {
            let cache = cx.cache("ns");
            for (outcome, function) in [
                (cache.get_many(&["k"]).map(drop), "get_many"),
                (cache.set_many(&[CacheEntry::new("k", b"", SECOND)]).map(drop), "set_many"),
                (cache.set_absent("k"), "set_absent"),
                (cache.fetch("k", &FetchOptions::new()).map(drop), "fetch"),
                (cache.get_or_load("k", SECOND, || panic!("no lease, no load")).map(drop), "fetch"),
                (cache.invalidate("*").map(drop), "invalidate"),
                (cx.invalidate_tag("t").map(drop), "invalidate_tag"),
                (cache.clear().map(drop), "clear"),
                (cache.keys("").collect::<Result<Vec<_>>>().map(drop), "keys"),
                (cx.cache_stats().map(drop), "stats"),
            ] {
                let error = outcome.expect_err(function);
                let text =
                    format!("this host does not have `cache.{function}`: update the host, or do without");
                assert_eq!((error.status(), error.message()), (Status::Unsupported, &*text));
            }
            Ok(Asks)
        }
    }
    plugin!(
        Asks,
        inline r#"{ "id": "asks", "version": "1.0.0", "abi": "1.0", "services": { "cache": {} } }"#,
        entry = asks
    );
    assert_eq!(size_of::<Older>(), std::mem::offset_of!(PintleCache, get_many));
    let fake = Fake::with(|host| host.cache = (&raw const OLDER).cast());
    Driver::load(asks(), fake).expect("it loads").unload();
}
