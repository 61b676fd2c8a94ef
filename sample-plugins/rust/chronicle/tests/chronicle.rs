//! `chronicle` in the SDK's host for tests, whose clock stands still until it is told: when is written, what is too old,
//! and what happens when storage fails.

use std::time::{Duration, UNIX_EPOCH};

use chronicle::Chronicle;
use pintle_plugin::{
    Status,
    serde_json::{Map, Value, json},
    test::Host,
};

const MINUTE: Duration = Duration::from_secs(60);

fn host(keep_minutes: u64) -> Host {
    Host::new().config(json!({ "keep_minutes": keep_minutes })).start::<Chronicle>().expect("it starts")
}

fn measure(host: &Host, tenant: &str, value: f64) {
    host.tenant(tenant).emit_json("plugin.sysmon.cpu", &json!({ "busy": value })).expect("it is noted");
}

fn write(host: &Host) {
    host.run_job("write").expect("it writes");
}

/// A minute passes, and the job runs as its rule says.
fn next_minute(host: &Host) {
    host.advance(MINUTE).expect("nothing else runs");
    write(host);
}

fn stored(host: &Host, tenant: &str) -> Vec<String> {
    host.tenant(tenant).storage().keys("").collect::<Result<_, _>>().expect("they can be listed")
}

fn series(host: &Host, tenant: &str, request: &Value) -> Vec<Value> {
    host.tenant(tenant).call_json("chronicle.query", "series", request).expect("it is answered")
}

fn counts(host: &Host, tenant: &str) -> Vec<u64> {
    let minutes = series(host, tenant, &json!({ "metric": "cpu.busy" }));
    minutes.iter().filter_map(|minute| minute["count"].as_u64()).collect()
}

#[test]
fn a_minute_is_written_once_when_it_has_ended() {
    let host = host(60);
    for value in [1.0, 2.0, 3.0] {
        measure(&host, "acme", value);
    }
    write(&host);
    assert_eq!(stored(&host, "acme"), Vec::<String>::new(), "it has not ended yet");
    next_minute(&host);
    let keys = stored(&host, "acme");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let version =
        || host.tenant("acme").storage().get_item(&keys[0]).expect("it is there").map(|item| item.version);
    let first = version();
    write(&host);
    measure(&host, "acme", 4.0);
    write(&host);
    assert_eq!(version(), first, "nothing more has ended");
    assert_eq!(counts(&host, "acme"), [3, 1], "also what is not written yet is told");
    next_minute(&host);
    assert_ne!(version(), first);
    assert_eq!(counts(&host, "acme"), [3, 1]);
}

#[test]
fn disable_writes_what_is_left_and_the_halves_of_a_minute_are_one() {
    let host = host(60);
    measure(&host, "acme", 10.0);
    measure(&host, "acme", 20.0);
    host.unload().expect("it goes");
    host.load::<Chronicle>().and_then(|()| host.enable()).expect("it comes back");
    measure(&host, "acme", 60.0);
    let now = host.now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let expected =
        json!([{ "minute": now, "count": 3, "min": 10.0, "max": 60.0, "mean": 30.0, "last": 60.0 }]);
    assert_eq!(json!(series(&host, "acme", &json!({ "metric": "cpu.busy" }))), expected);
}

#[test]
fn what_is_too_old_is_not_told_and_removed_when_its_hour_has_gone() {
    let host = host(90);
    measure(&host, "acme", 1.0);
    next_minute(&host);
    for _ in 0..3 {
        host.advance(60 * MINUTE).expect("nothing else runs");
        measure(&host, "acme", 2.0);
        next_minute(&host);
    }
    // At noon, 13:01, 14:02 and 15:03; it is 15:04, and what was before 13:34 is too old.
    assert_eq!(counts(&host, "acme"), [1, 1]);
    let stored = stored(&host, "acme");
    assert_eq!(stored.len(), 3, "the hour from 13:00 has minutes that may be told: {stored:?}");
    let total: Value =
        host.tenant("acme").call_json("chronicle.query", "total", &json!({})).expect("it is answered");
    assert_eq!((&total["minutes"], &total["samples"]), (&json!(2), &json!(2)));
    // Less is kept from now on.
    host.configure(json!({ "keep_minutes": 1 })).expect("it is taken");
    host.advance(60 * MINUTE).expect("nothing else runs");
    measure(&host, "acme", 3.0);
    next_minute(&host);
    assert_eq!(self::stored(&host, "acme").len(), 1);
}

#[test]
fn a_tenant_who_is_silent_is_let_go_and_those_of_others_are_not_touched() {
    let host = host(60);
    measure(&host, "acme", 1.0);
    measure(&host, "globex", 2.0);
    next_minute(&host);
    measure(&host, "globex", 3.0);
    next_minute(&host);
    assert_eq!((counts(&host, "acme"), counts(&host, "globex")), (vec![1], vec![1, 1]));
    // Who comes again is welcome.
    measure(&host, "acme", 4.0);
    assert_eq!(counts(&host, "acme"), [1, 1]);
}

#[test]
fn what_storage_does_not_take_is_written_later() {
    let host = host(60);
    measure(&host, "acme", 1.0);
    host.advance(MINUTE).expect("nothing else runs");
    host.fail_next("storage.set", Status::Unavailable, "the disk is full");
    let failed = host.run_job("write").expect_err("it is told");
    assert!(failed.message().contains("the disk is full"), "{failed}");
    assert_eq!(stored(&host, "acme"), Vec::<String>::new());
    assert_eq!(counts(&host, "acme"), [1], "it is still told");
    write(&host);
    assert_eq!(stored(&host, "acme").len(), 1);
    assert_eq!(counts(&host, "acme"), [1]);
}

#[test]
fn only_so_many_minutes_are_told_the_last_ones() {
    let host = host(60);
    for value in [1.0, 2.0, 3.0] {
        measure(&host, "acme", value);
        next_minute(&host);
    }
    let last = |limit: u64| -> Vec<f64> {
        let minutes = series(&host, "acme", &json!({ "metric": "cpu.busy", "limit": limit }));
        minutes.iter().filter_map(|minute| minute["last"].as_f64()).collect()
    };
    assert_eq!((last(2), last(100)), (vec![2.0, 3.0], vec![1.0, 2.0, 3.0]));
}

#[test]
fn more_metrics_than_there_is_room_for_are_said_to_be_left_out() {
    let host = host(60);
    for part in 0..11 {
        let many: Map<String, Value> =
            (0..100).map(|number| (format!("m{part}-{number}"), json!(1))).collect();
        host.tenant("acme").emit_json("plugin.sysmon.odd", &many).expect("it is noted");
    }
    let metrics: Vec<String> =
        host.tenant("acme").call_json("chronicle.query", "metrics", &json!({})).expect("it is answered");
    assert_eq!(metrics.len(), 1_000);
    let told =
        host.logs().into_iter().filter(|record| record.message.starts_with("this metric, and maybe others"));
    assert_eq!(told.count(), 1, "once, and not for each of them");
}

#[test]
fn storage_is_read_once_for_all_who_ask_until_something_is_written() {
    let host = host(60);
    let reads = |asked: u64, stored: u64| {
        let reads: Value = host.call_json("chronicle.query", "reads", &()).expect("it is answered");
        assert_eq!(reads, json!({ "asked": asked, "stored": stored }));
    };
    measure(&host, "acme", 1.0);
    next_minute(&host);
    for _ in 0..10 {
        assert_eq!(counts(&host, "acme"), [1]);
    }
    reads(10, 1);
    measure(&host, "acme", 2.0);
    assert_eq!(counts(&host, "acme"), [1, 1], "what is not written yet is told too");
    reads(11, 1);
    next_minute(&host);
    assert_eq!(counts(&host, "acme"), [1, 1]);
    reads(12, 2);
    assert_eq!(counts(&host, "globex"), Vec::<u64>::new());
    reads(13, 3);
}
