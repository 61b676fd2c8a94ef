//! The cache and storage through the SDK's safe methods, on the test host: what comes back, in each case.

use std::time::Duration;

use pintle_plugin::{
    CacheValue, CheckedWrite, ExpireIf, Expiry, Fetched, Lifetime, Result, Status, Storage, test::Host,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn status<T: std::fmt::Debug>(outcome: Result<T>) -> Status {
    outcome.expect_err("it must fail").status()
}

#[test]
fn a_cached_item_is_bytes_or_an_integer_and_a_missing_one_is_none() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    assert_eq!((cache.get("k")?, cache.get_item("k")?, cache.get_integer("k")?), (None, None, None));
    assert_eq!((cache.get_json::<u8>("k")?, cache.ttl("k")?, cache.exists("k")?), (None, None, false));
    cache.set_for("k", b"", Lifetime::Endless)?;
    assert_eq!((cache.get("k")?, cache.exists("k")?), (Some(Vec::new()), true), "an empty value is a value");
    let item = cache.get_item("k")?.expect("it is there");
    assert_eq!((item.value, item.lifetime), (CacheValue::Bytes(Vec::new()), Lifetime::Endless));

    assert_eq!((cache.incr("n", 5)?, cache.incr("n", -7)?), (5, -2));
    assert_eq!((cache.get("n")?, cache.get_integer("n")?), (Some(b"-2".to_vec()), Some(-2)));
    assert_eq!(cache.get_item("n")?.expect("it is there").value, CacheValue::Integer(-2));
    assert_eq!((cache.remove("n")?, cache.remove("n")?, cache.get("n")?), (true, false, None));
    Ok(())
}

#[test]
fn bytes_are_an_integer_only_as_the_digits_that_it_reads_as() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    for (bytes, integer) in [("-9223372036854775808", i64::MIN), ("0", 0), ("17", 17)] {
        cache.set("k", bytes.as_bytes())?;
        assert_eq!(cache.get_integer("k")?, Some(integer));
        assert_eq!(cache.incr("k", 0)?, integer);
    }
    for bytes in
        ["", "007", "+7", "-0", " 1", "1.0", "9223372036854775808", "123456789012345678901", "\u{b2}"]
    {
        cache.set("k", bytes.as_bytes())?;
        let error = cache.get_integer("k").expect_err("it is none");
        assert_eq!(
            (error.status(), error.message()),
            (Status::WrongType, "cache item \"k\" in \"ns\": not a 64-bit integer")
        );
        assert_eq!(status(cache.incr("k", 1)), Status::WrongType, "{bytes:?}");
        assert_eq!(cache.get("k")?.as_deref(), Some(bytes.as_bytes()), "nothing was changed");
    }
    cache.set("k", i64::MAX.to_string().as_bytes())?;
    assert_eq!(status(cache.incr("k", 1)), Status::OutOfRange);
    assert_eq!(cache.get_integer("k")?, Some(i64::MAX));
    Ok(())
}

#[test]
fn reading_into_a_buffer_tells_how_much_is_needed() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    let mut buffer = [7_u8; 4];
    assert_eq!(cache.get_into("k", &mut buffer)?, Fetched::Missing);
    cache.set("k", b"12345")?;
    assert_eq!(cache.get_into("k", &mut buffer)?, Fetched::TooSmall(5));
    assert_eq!(buffer, [7; 4], "and nothing was written");
    assert_eq!(cache.get_into("k", &mut [0; 9])?, Fetched::Found(b"12345"));
    assert_eq!(cache.get_into("k", &mut [0; 5])?, Fetched::Found(b"12345"));
    assert_eq!(cache.get_into("k", &mut [])?, Fetched::TooSmall(5));
    cache.set("k", b"")?;
    assert_eq!(cache.get_into("k", &mut [])?, Fetched::Found(b""));
    Ok(())
}

#[test]
fn a_lifetime_ends_by_the_hosts_clock() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set("hour", b"x")?;
    assert_eq!(cache.ttl("hour")?, Some(Lifetime::For(SECOND * 3_600)), "the default");
    cache.set_for("k", b"x", SECOND)?;
    cache.set_for("nano", b"x", Duration::from_nanos(1))?;
    assert_eq!(cache.ttl("nano")?, Some(Lifetime::For(Duration::from_millis(1))), "never early");
    assert_eq!(cache.incr_for("n", 1, SECOND)?, 1);
    host.advance(Duration::from_millis(999))?;
    assert_eq!(cache.get_item("k")?.expect("still there").lifetime, Lifetime::For(Duration::from_millis(1)));
    assert_eq!(cache.incr_for("n", 1, SECOND)?, 2);
    host.advance(Duration::from_millis(1))?;
    assert_eq!((cache.exists("k")?, cache.get("k")?, cache.remove("k")?), (false, None, false));
    assert_eq!(cache.incr("n", 1)?, 1, "counting does not keep a counter alive");
    host.advance(SECOND * 3_600)?;
    assert!(!cache.exists("hour")?);
    Ok(())
}

#[test]
fn a_lifetime_of_nothing_is_refused_and_not_endless() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set("k", b"old")?;
    let error = cache.set_for("k", b"new", Duration::ZERO).expect_err("no time");
    assert_eq!(
        (error.status(), error.message()),
        (Status::OutOfRange, "cache item \"k\" in \"ns\": the lifetime must be longer than nothing")
    );
    assert_eq!(status(cache.set_for("k", b"new", Duration::MAX)), Status::OutOfRange);
    assert_eq!(status(cache.incr_for("n", 1, Duration::ZERO)), Status::OutOfRange);
    assert_eq!((cache.get("k")?, cache.exists("n")?), (Some(b"old".to_vec()), false));
    Ok(())
}

#[test]
fn expire_changes_clears_and_removes() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    assert!(!cache.expire("k", SECOND)?, "it is not there");
    cache.set_for("k", b"x", SECOND)?;
    assert!(cache.expire("k", Lifetime::Endless)?);
    assert_eq!(cache.ttl("k")?, Some(Lifetime::Endless));
    assert!(cache.expire("k", SECOND * 9)?);
    assert_eq!(cache.ttl("k")?.and_then(Lifetime::duration), Some(SECOND * 9));
    assert!(cache.expire("k", Duration::ZERO)?);
    assert!(!cache.exists("k")?);
    assert_eq!(cache.expire_if("k", SECOND, ExpireIf::Endless)?, Expiry::Missing);
    Ok(())
}

#[test]
fn expire_holds_to_its_condition() -> Result<()> {
    use {ExpireIf::*, Expiry::*};
    let endless = Lifetime::Endless;
    let span = |seconds: u64| Lifetime::For(SECOND * seconds as u32);
    let cases = [
        (endless, span(5), ExpireIf::Endless, Changed),
        (span(9), span(5), ExpireIf::Endless, Kept),
        (endless, span(5), Expires, Kept),
        (span(9), endless, Expires, Changed),
        (span(9), span(5), Later, Kept),
        (span(5), span(9), Later, Changed),
        (span(5), endless, Later, Changed),
        (endless, span(5), Later, Kept),
        (span(5), span(9), Earlier, Kept),
        (span(9), span(5), Earlier, Changed),
        (span(9), endless, Earlier, Kept),
        (endless, span(9), Earlier, Changed),
    ];
    let host = Host::new();
    let cache = host.context().cache("ns");
    for (before, asked, condition, expected) in cases {
        cache.set_for("k", b"x", before)?;
        let case = format!("{before:?} -> {asked:?} if {condition:?}");
        assert_eq!(cache.expire_if("k", asked, condition)?, expected, "{case}");
        let after = if expected == Changed { asked } else { before };
        assert_eq!(cache.ttl("k")?, Some(after), "{case}");
    }
    Ok(())
}

#[test]
fn cached_json_names_what_it_could_not_read() -> Result<()> {
    let host = Host::new();
    let cache = host.context().cache("ns");
    cache.set_json("k", &json!({ "a": [1, 2] }))?;
    assert_eq!(cache.get_json::<serde_json::Value>("k")?, Some(json!({ "a": [1, 2] })));
    cache.set_json_for("k", &"text", SECOND)?;
    let error = cache.get_json::<u8>("k").expect_err("a string");
    assert_eq!(error.status(), Status::WrongType);
    assert!(error.message().starts_with("cache item \"k\" in \"ns\": invalid type"), "{error}");
    cache.incr("n", 3)?;
    assert_eq!(cache.get_json::<u8>("n")?, Some(3), "the digits of an integer are JSON");
    let keys_of_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = cache.set_json("k", &keys_of_json).expect_err("no key of JSON");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().starts_with("cache item \"k\" in \"ns\": "), "{error}");
    Ok(())
}

#[test]
fn keys_namespaces_and_values_have_limits() -> Result<()> {
    let host = Host::new();
    let cx = host.context();
    let wrong = |text: &str, limit: usize| text.is_empty() || text.len() > limit || text.contains('\0');
    for key in ["", "a\0b", &"k".repeat(513), &"k".repeat(512), "\u{e4}/*%_"] {
        assert_eq!(cx.cache("ns").set(key, b"").is_err(), wrong(key, 512), "{key:?}");
        assert_eq!(cx.cache(key).set("k", b"").is_err(), wrong(key, 128), "{key:?}");
        assert_eq!(cx.storage().set(key, b"").is_err(), wrong(key, 512), "{key:?}");
    }
    let long = vec![0; (4 << 20) + 1];
    assert_eq!(status(cx.cache("ns").set("k", &long[..(1 << 20) + 1])), Status::TooLarge);
    cx.cache("ns").set("k", &long[..1 << 20])?;
    assert_eq!(status(cx.storage().set("k", &long)), Status::TooLarge);
    cx.storage().set("k", &long[..4 << 20])?;
    Ok(())
}

#[test]
fn a_stored_item_has_versions_and_times() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    assert_eq!((storage.get("k")?, storage.get_item("k")?, storage.exists("k")?), (None, None, false));
    let first = storage.set("k", b"1")?;
    let created = host.now();
    host.advance(SECOND)?;
    let second = storage.set("k", b"")?;
    assert!(second > first);
    let item = storage.get_item("k")?.expect("it is there");
    assert_eq!((item.key.as_str(), item.value.as_slice(), item.version), ("k", b"".as_slice(), second));
    assert_eq!((item.created, item.updated), (created, created + SECOND));
    assert_eq!((storage.remove("k")?, storage.remove("k")?), (true, false));
    assert!(storage.set("k", b"3")? > second, "a version is never used again");
    Ok(())
}

#[test]
fn a_version_that_moved_on_is_an_answer() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    let CheckedWrite::Written(first) = storage.create("k", b"1")? else { panic!("nobody was there") };
    assert_eq!(storage.create("k", b"2")?, CheckedWrite::Conflict(Some(first)));
    let CheckedWrite::Written(second) = storage.set_json_if_version("k", &2, first)? else {
        panic!("nobody wrote meanwhile")
    };
    assert_eq!(storage.set_if_version("k", b"3", first)?, CheckedWrite::Conflict(Some(second)));
    assert_eq!(storage.set_if_version("other", b"3", first)?, CheckedWrite::Conflict(None));
    assert_eq!((storage.get("k")?, storage.get("other")?), (Some(b"2".to_vec()), None));
    assert_eq!(storage.create_json("other", &3)?, CheckedWrite::Written(second + 1));
    Ok(())
}

#[test]
fn stored_json_names_what_it_could_not_read() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    storage.set_json("k", &json!([1]))?;
    assert_eq!(storage.get_json::<Vec<u8>>("k")?, Some(vec![1]));
    let item = storage.get_item("k")?.expect("it is there");
    assert_eq!(item.json::<Vec<u8>>()?, [1]);
    for error in [item.json::<u8>().expect_err("a list"), storage.get_json::<u8>("k").expect_err("a list")] {
        assert_eq!(error.status(), Status::WrongType);
        assert!(error.message().starts_with("stored item \"k\": invalid type"), "{error}");
    }
    Ok(())
}

fn keys(storage: Storage<'_>, prefix: &str) -> Result<Vec<String>> {
    storage.keys(prefix).collect()
}

#[test]
fn keys_come_in_byte_order_over_all_pages() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    assert_eq!(keys(storage, "")?, Vec::<String>::new());
    let mut all: Vec<String> = (0..601).map(|n| format!("page/{n:03}")).collect();
    all.extend(["page%".to_owned(), "page_".to_owned(), "\u{e4}".to_owned()]);
    for key in &all {
        storage.set(key, b"")?;
    }
    host.tenant("acme").storage().set("page/of acme", b"")?;
    all.sort();
    assert_eq!(keys(storage, "")?, all);
    assert_eq!(keys(storage, "page/")?.len(), 601);
    assert_eq!(keys(storage, "page%")?, ["page%"], "no character has a meaning of its own");

    let first = storage.page("page/", "", 2)?;
    assert_eq!(first.keys, ["page/000", "page/001"]);
    storage.remove("page/001")?;
    let next = storage.page("page/", first.next.as_deref().expect("there are more"), 1_000)?;
    assert_eq!((next.keys.len(), next.next), (599, None), "a page survives that its last key goes");
    assert_eq!(status(storage.page("", "made up", 1)), Status::InvalidArgument);
    assert_eq!(status(storage.page("", "", 1_001)), Status::InvalidArgument);
    Ok(())
}

#[test]
fn a_listing_ends_with_its_failure() {
    let host = Host::new();
    let error = {
        // The context is over: the value that it belonged to is gone.
        let held = host.context().hold().expect("a host holds");
        let kept = held.hold().expect("a host holds");
        drop(host);
        let mut keys = kept.storage().keys("");
        let error = keys.next().expect("one failure").expect_err("the context is over");
        assert!(keys.next().is_none());
        error
    };
    assert_eq!(error.status(), Status::StaleHandle);
}

#[test]
fn clear_empties_its_scope_and_no_other() -> Result<()> {
    let host = Host::new();
    let (acme, bolt) = (host.tenant("acme"), host.tenant("bolt"));
    for scope in [&*host, &acme, &bolt] {
        scope.storage().set("a", b"")?;
        scope.storage().set("b", b"")?;
        scope.cache("ns").set("a", b"")?;
    }
    assert_eq!((acme.storage().clear()?, acme.storage().clear()?), (2, 0));
    assert_eq!((keys(host.storage(), "")?.len(), keys(bolt.storage(), "")?.len()), (2, 2));
    assert!(acme.cache("ns").exists("a")?);
    Ok(())
}
