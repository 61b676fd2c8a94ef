//! The cache as the application and the operator see it: read, listed and taken away, by plugin and tenant.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use pintle::{
    Error, ErrorKind, Host,
    cache::{CacheKeys, CacheValue},
};
use serde_json::{Value, json};

use crate::keeper::{Place, ask, expect, keeper, until};

/// What the tests that are about both back ends have in their settings.
const ON_DISK: &str = "cache.backend = \"sqlite\"";

/// A host whose cache has that back end.
fn on(toml: &str) -> (Place, Host) {
    let place = Place::new().keeper("keeper", &[]).toml(toml);
    let host = place.started();
    (place, host)
}

fn all(host: &Host, tenant: &str, namespace: &str) -> Vec<String> {
    let cache = host.cache("keeper", tenant).expect("it is loaded");
    let (mut keys, mut cursor) = (Vec::new(), None);
    loop {
        let page = cache.keys(namespace, "", cursor.as_deref(), 2).expect("it can be listed");
        keys.extend(page.keys);
        cursor = page.next;
        if cursor.is_none() {
            keys.sort_unstable();
            return keys;
        }
    }
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ErrorKind {
    outcome.expect_err("it is refused").kind()
}

#[test]
fn an_application_reads_what_a_plugin_has_in_the_cache_by_plugin_and_tenant() {
    for toml in ["", ON_DISK] {
        let (_place, host) = on(toml);
        ask(&host, "acme", "set n k hello 60000\nincr n i 7 0\nset n b %ff%- 0");
        let cache = host.cache("keeper", "acme").expect("it is loaded");
        assert_eq!((cache.plugin(), cache.tenant()), ("keeper", "acme"));
        let item = cache.get("n", "k").expect("it can be read").expect("it is there");
        assert_eq!(item.value, CacheValue::Bytes(b"hello".into()));
        assert!(!item.stale && item.version > 0);
        let fresh = item.fresh.expect("it expires");
        assert!(fresh > Duration::from_secs(50) && fresh <= Duration::from_secs(60), "{fresh:?}");
        assert_eq!(item.left, item.fresh);
        let integer = cache.get("n", "i").expect("it can be read").expect("it is there");
        assert_eq!((integer.value, integer.fresh, integer.left), (CacheValue::Integer(7), None, None));
        assert_eq!(cache.get("n", "gone").expect("it can be looked for"), None);
        // Others have nothing of it.
        for other in ["", "other"] {
            let cache = host.cache("keeper", other).expect("it is loaded");
            assert_eq!(cache.get("n", "k").expect("it can be looked for"), None, "{other:?}");
        }
        host.stop();
    }
}

#[test]
fn an_application_takes_away_what_a_plugin_has_in_the_cache() {
    for toml in ["", ON_DISK] {
        let (_place, host) = on(toml);
        let fill = "set n a/1 v\nset n a/2 v\nset n b/1 v\nset n c v 0 tags=t\nset m d v 0 tags=t";
        ask(&host, "acme", fill);
        ask(&host, "other", fill);
        let cache = host.cache("keeper", "acme").expect("it is loaded");
        assert_eq!(all(&host, "acme", "n"), ["a/1", "a/2", "b/1", "c"]);
        assert_eq!(cache.keys("n", "a/", None, 0).expect("it can be listed").keys.len(), 2);
        assert!(cache.remove("n", "a/1").expect("it can be removed"));
        assert!(!cache.remove("n", "a/1").expect("it can be removed"));
        assert_eq!(cache.invalidate("n", "*/1").expect("it can be removed"), 1);
        assert_eq!(all(&host, "acme", "n"), ["a/2", "c"]);
        assert_eq!(cache.invalidate_tag("t").expect("it can be removed"), 2);
        assert_eq!(cache.clear("n").expect("it can be removed"), 1);
        assert_eq!(cache.keys("n", "", None, 1).expect("it can be listed"), CacheKeys::default());
        expect(&host, "acme", &[("exists n a/2", "0 0"), ("exists m d", "0 0")]);
        assert_eq!(all(&host, "other", "n"), ["a/1", "a/2", "b/1", "c"], "it is another tenant's");
        host.stop();
    }
}

#[test]
fn what_is_no_key_or_of_no_plugin_is_refused() {
    let (_place, host) = keeper();
    let cache = host.cache("keeper", "").expect("it is loaded");
    let long = "k".repeat(513);
    for (what, refused) in [
        ("a namespace", kind(cache.get("", "k"))),
        ("a key", kind(cache.get("n", &long))),
        ("a prefix", kind(cache.keys("n", &long, None, 1))),
        ("a limit", kind(cache.keys("n", "", None, 1_001))),
        ("a cursor", kind(cache.keys("n", "", Some("no page has had it"), 1))),
        ("a pattern", kind(cache.invalidate("n", "[a"))),
        ("no pattern", kind(cache.invalidate("n", ""))),
        ("a tag", kind(cache.invalidate_tag("a\0"))),
        ("a tenant", kind(host.cache("keeper", "a\nb"))),
    ] {
        assert_eq!(refused, ErrorKind::InvalidArgument, "{what}");
    }
    let unknown = host.cache("nobody", "").expect_err("there is none");
    assert_eq!((unknown.kind(), unknown.plugin()), (ErrorKind::NotFound, Some("nobody")));
    host.stop();
    assert_eq!(kind(cache.get("n", "k")), ErrorKind::Unavailable);
    assert_eq!(kind(cache.clear("n")), ErrorKind::Unavailable);
}

#[test]
fn items_on_disk_outlive_the_host_and_the_plugin() {
    let (place, host) = on(ON_DISK);
    ask(&host, "", "set n k hello 0\nset n short v 1\nincr n i 7 0");
    ask(&host, "acme", "set n k other 3600000");
    host.stop();
    drop(host);
    let host = place.started();
    expect(
        &host,
        "",
        &[("get n k", "0 bytes hello endless"), ("incr n i 1", "0 8"), ("exists n short", "0 0")],
    );
    expect(&host, "acme", &[("get n k", "0 bytes other …")]);
    host.unload("keeper").expect("nothing holds it");
    let read = |host: &Host| {
        let cache = host.cache("keeper", "acme").expect("something is there");
        cache.get("n", "k").expect("it can be read").map(|item| item.value)
    };
    let other = Some(CacheValue::Bytes(b"other".into()));
    assert_eq!(read(&host), other);
    host.stop();
    drop(host);
    // A host that knows the plugin only by what it has left.
    fs::remove_dir_all(place.plugins()).expect("they are ours");
    let host = place.build();
    assert_eq!(read(&host), other);
    let known: Vec<String> = host.stats().plugins.into_iter().map(|plugin| plugin.id).collect();
    assert_eq!(known, ["keeper"]);
    assert_eq!(host.cache("keeper", "acme").expect("it is there").clear("n").expect("it can be"), 1);
    host.stop();
}

#[test]
fn a_host_without_a_data_folder_has_its_file_for_as_long_as_it_lives() {
    let place = Place::new().keeper("keeper", &[]).toml(ON_DISK);
    for _ in 0..2 {
        let host = place.started_without_data();
        expect(&host, "", &[("exists n k", "0 0"), ("set n k v 0", "0"), ("get n k", "0 bytes v endless")]);
        assert_eq!(host.stats().cache.backend, "sqlite");
        host.stop();
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_told_and_the_host_goes_on() {
    let (place, host) = on(ON_DISK);
    ask(&host, "", "set n k v 0");
    assert_eq!(host.stats().cache.reported, None);
    host.stop();
    drop(host);
    fs::write(place.data().join("cache.db"), "this is no database").expect("it is ours");
    let host = place.started();
    let told = host.stats().cache.reported.expect("it is told");
    assert!(told.contains("cache.db") && told.contains("moved to"), "{told}");
    assert_eq!(
        host.ask("cache.stats", json!({})).expect("it answers")["reported"],
        Value::from(told.clone())
    );
    expect(&host, "", &[("exists n k", "0 0"), ("set n k v 0", "0"), ("get n k", "0 bytes v endless")]);
    host.stop();
    let log = place.log();
    assert!(
        log.lines().any(|line| line.contains("cache.db") && line.contains("\"level\":\"warn\"")),
        "{log}"
    );
}

#[test]
fn the_stop_is_in_time_while_the_caches_file_hangs_and_the_folder_is_held_until_it_is_closed() {
    let (place, host) = on(ON_DISK);
    let other = rusqlite::Connection::open(place.data().join("cache.db")).expect("it is a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
    let calls = || host.plugins()[0].counters.calls;
    let before = calls();
    thread::scope(|threads| {
        let calling = threads.spawn(|| ask(&host, "", "set n k v"));
        until("it writes", || calls() > before);
        let begun = Instant::now();
        let stopped = host.stop_within(Duration::from_millis(500));
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1_500), "it took {took:?}");
        assert!(stopped.left.iter().any(|left| left.starts_with("the cache: ")), "{stopped:?}");
        let second = || Host::builder().data(place.data()).build();
        assert_eq!(kind(second()), ErrorKind::Conflict);
        drop(other);
        calling.join().expect("the call returns");
        until("it is closed, and the folder is free", || second().is_ok());
    });
}

#[test]
fn hits_misses_and_sizes_are_told_of_each_plugin_and_tenant() {
    for toml in ["", ON_DISK] {
        let (_place, host) = on(toml);
        ask(&host, "", "set n k v\nget n k\nget n gone");
        ask(&host, "acme", "get n k\nget n k\nget n gone");
        let stats = host.stats();
        let plugin = &stats.plugins[0];
        assert_eq!((plugin.cache.items, plugin.cache.hits, plugin.cache.misses), (1, 1, 4), "{toml}");
        assert!(plugin.cache.bytes > 0 && plugin.cache.guaranteed > 0, "{toml}: {:?}", plugin.cache);
        assert_eq!(stats.cache.used, plugin.cache.bytes);
        assert!(stats.cache.used < stats.cache.capacity && stats.cache.down.is_none());
        // One plugin is loaded, and has half of it.
        assert!(stats.cache.guaranteed <= stats.cache.capacity / 2 + 1, "{:?}", stats.cache);
        let of = |tenant: &str| {
            let found = plugin.tenants.iter().find(|counted| counted.tenant.as_deref() == Some(tenant));
            found.map(|counted| (counted.cache_hits, counted.cache_misses))
        };
        assert_eq!((of(""), of("acme")), (Some((1, 1)), Some((0, 3))), "{toml}");
        host.stop();
    }
}

#[test]
fn an_operator_asks_for_the_cache_by_method() {
    let (_place, host) = keeper();
    ask(&host, "acme", "set n k hello 0\nset n b %ff 0\nincr n i 9007199254740993 0\nset n z v 0 tags=t");
    let of = |more: Value| {
        let mut params = json!({ "plugin": "keeper", "tenant": "acme", "ns": "n" });
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let get =
        |key: &str| host.ask("cache.get", of(json!({ "key": key }))).expect("it answers")["item"].clone();
    let item = get("k");
    assert_eq!(
        (&item["kind"], &item["value"], &item["ttl_ms"]),
        (&json!("bytes"), &json!("hello"), &json!(null))
    );
    assert_eq!((&get("b")["value"], &get("b")["value_base64"]), (&json!(null), &json!("/w==")));
    assert_eq!((&get("i")["kind"], &get("i")["value"]), (&json!("integer"), &json!("9007199254740993")));
    assert_eq!(get("gone"), json!(null));
    let list = |more: Value| host.ask("cache.list", of(more)).expect("it answers");
    let page = list(json!({ "limit": 3 }));
    let rest = list(json!({ "limit": 3, "cursor": page["next"] }));
    let keys = |page: &Value| page["keys"].as_array().map_or(0, Vec::len);
    assert_eq!((keys(&page), keys(&rest), &rest["next"]), (3, 1, &json!(null)));
    let stats = host.ask("cache.stats", json!({})).expect("it answers");
    assert_eq!(
        (&stats["backend"], &stats["down"], &stats["plugins"][0]["items"]),
        (&json!("memory"), &json!(null), &json!(4))
    );
    let away = |params: Value| host.ask("cache.invalidate", params);
    assert_eq!(away(of(json!({ "pattern": "?" }))).expect("it answers"), json!({ "count": 4 }));
    ask(&host, "acme", "set n z v 0 tags=t\nset n y v");
    let tagged = json!({ "plugin": "keeper", "tenant": "acme", "tag": "t" });
    assert_eq!(away(tagged).expect("it answers"), json!({ "count": 1 }));
    assert_eq!(away(of(json!({}))).expect("it answers"), json!({ "count": 1 }));
    for (params, said) in [
        (json!({ "plugin": "keeper" }), "give `ns` with a `pattern`"),
        (of(json!({ "tag": "t" })), "give `ns` with a `pattern`"),
        (json!({ "plugin": "keeper", "pattern": "*" }), "give `ns` with a `pattern`"),
        (json!({ "plugin": "nobody", "ns": "n" }), "plugin \"nobody\""),
    ] {
        let error = away(params.clone()).expect_err("it is refused");
        assert!(error.to_string().contains(said), "{params}: {error}");
    }
    host.stop();
}
