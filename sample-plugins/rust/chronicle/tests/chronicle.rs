//! `chronicle` in the SDK's host for tests, whose clock stands still until it is told: when is written, what is too old,
//! and what happens when the database fails.

use std::time::{Duration, UNIX_EPOCH};

use chronicle::Chronicle;
use pintle_plugin::{
    EmitOptions, Status, params,
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

/// How many metrics and minutes are stored.
fn stored(host: &Host, tenant: &str) -> (u64, u64) {
    let count = |table: &str| -> u64 {
        let tenant = host.tenant(tenant);
        let there = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
        match tenant.database().query_one_as(there, params![table]) {
            Ok(0_u64) => 0,
            _ => {
                let sql = format!("SELECT count(*) FROM {table}");
                tenant.database().query_one_as(&sql, params![]).expect("it can be counted")
            }
        }
    };
    (count("metrics"), count("minutes"))
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
    assert_eq!(stored(&host, "acme"), (0, 0), "it has not ended yet");
    next_minute(&host);
    assert_eq!(stored(&host, "acme"), (1, 1));
    write(&host);
    measure(&host, "acme", 4.0);
    write(&host);
    assert_eq!(stored(&host, "acme"), (1, 1), "nothing more has ended");
    assert_eq!(counts(&host, "acme"), [3, 1], "also what is not written yet is told");
    next_minute(&host);
    assert_eq!(stored(&host, "acme"), (1, 2));
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
fn what_is_too_old_is_not_told_and_removed_once_an_hour() {
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
    assert_eq!(stored(&host, "acme"), (1, 2), "what was before 13:34 is removed");
    let total: Value =
        host.tenant("acme").call_json("chronicle.query", "total", &json!({})).expect("it is answered");
    assert_eq!((&total["minutes"], &total["samples"]), (&json!(2), &json!(2)));
    // Less is kept from now on.
    host.configure(json!({ "keep_minutes": 1 })).expect("it is taken");
    host.advance(60 * MINUTE).expect("nothing else runs");
    measure(&host, "acme", 3.0);
    next_minute(&host);
    assert_eq!(stored(&host, "acme"), (1, 1));
}

#[test]
fn what_a_silent_tenant_has_goes_by_itself() {
    let host = host(90);
    measure(&host, "acme", 1.0);
    next_minute(&host);
    assert_eq!(stored(&host, "acme"), (1, 1));
    host.advance(149 * MINUTE).expect("nothing else runs");
    write(&host);
    assert_eq!(stored(&host, "acme"), (0, 0));
    let metrics: Vec<String> =
        host.tenant("acme").call_json("chronicle.query", "metrics", &json!({})).expect("it is answered");
    assert_eq!(metrics, Vec::<String>::new());
}

#[test]
fn a_metric_is_listed_where_it_has_minutes_and_nowhere_else() {
    let host = host(60);
    let many: Map<String, Value> = (0..150).map(|number| (format!("m{number}"), json!(number))).collect();
    host.tenant("acme").emit_json("plugin.sysmon.odd", &many).expect("it is noted");
    host.advance(MINUTE).expect("nothing else runs");
    // What is in a commit that fails is neither there nor listed, and is written with the next minute.
    host.fail_next("database.commit", Status::Unavailable, "the disk is full");
    host.run_job("write").expect_err("it is told");
    assert_eq!(stored(&host, "acme"), (0, 0));
    write(&host);
    assert_eq!(stored(&host, "acme"), (150, 150));
    let total: Value =
        host.tenant("acme").call_json("chronicle.query", "total", &json!({})).expect("it is answered");
    assert_eq!(total["samples"], 150, "none is counted twice");
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
fn what_the_database_does_not_take_is_written_later() {
    let host = host(60);
    measure(&host, "acme", 1.0);
    host.advance(MINUTE).expect("nothing else runs");
    host.fail_next("database.begin", Status::Unavailable, "the disk is full");
    let failed = host.run_job("write").expect_err("it is told");
    assert!(failed.message().contains("the disk is full"), "{failed}");
    assert_eq!(stored(&host, "acme"), (0, 0));
    assert_eq!(counts(&host, "acme"), [1], "it is still told");
    write(&host);
    assert_eq!(stored(&host, "acme"), (1, 1));
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
fn the_database_is_read_once_for_all_who_ask_until_something_is_written() {
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

fn alarm(host: &Host, id: &str) {
    let alarm = json!({ "topic": "plugin.sysmon.cpu", "field": "busy", "value": 99, "state": "raised" });
    let options = EmitOptions::new().durable().id(id);
    // What its handler answers is told by what becomes of the event.
    let data = alarm.to_string();
    let _ = host.tenant("acme").emit_with("plugin.threshold.alarm", data.as_bytes(), &options);
}

/// A host whose plugin knows by an event what time it is here.
fn attentive(keep_minutes: u64) -> Host {
    let host = host(keep_minutes);
    measure(&host, "acme", 1.0);
    host
}

fn alarms(host: &Host) -> Value {
    let request = json!({ "metric": "alarms" });
    let total: Value =
        host.tenant("acme").call_json("chronicle.query", "total", &request).expect("it is answered");
    total["samples"].clone()
}

#[test]
fn an_alarm_is_written_at_once_and_comes_again_until_it_is() {
    let host = attentive(60);
    alarm(&host, "1");
    assert_eq!(stored(&host, "acme"), (2, 2), "in all, and of its metric");
    host.fail_next("database.begin", Status::Unavailable, "the disk is full");
    alarm(&host, "2");
    assert_eq!(alarms(&host), 1);
    host.advance(Duration::from_secs(1)).expect("nothing else runs");
    assert_eq!(alarms(&host), 2);
    assert_eq!(host.dead_letters(), []);
}

#[test]
fn an_alarm_that_comes_again_counts_once() {
    let host = attentive(60);
    // It is written, and that its handler has done its work is not noted.
    host.fail_next("cache.invalidate_tag", Status::Unavailable, "the cache is gone");
    alarm(&host, "1");
    assert_eq!(alarms(&host), 1);
    host.advance(Duration::from_secs(1)).expect("nothing else runs");
    assert_eq!(alarms(&host), 1);
    alarm(&host, "2");
    assert_eq!(alarms(&host), 2);
}

#[test]
fn alarms_that_were_raised_while_it_was_away_come_when_it_is_back() {
    let host = attentive(60);
    alarm(&host, "1");
    host.disable().expect("it goes");
    alarm(&host, "2");
    host.enable().expect("it comes back");
    assert_eq!(alarms(&host), 2);
}

fn leaders(host: &Host, tenant: &str, request: &Value) -> Vec<(String, f64)> {
    let by = request["by"].as_str().unwrap_or("max");
    let top: Vec<Value> =
        host.tenant(tenant).call_json("chronicle.query", "top", request).expect("it is answered");
    let leader = |row: &Value| Some((row["metric"].as_str()?.to_owned(), row[by].as_f64()?));
    top.iter().filter_map(leader).collect()
}

#[test]
fn those_with_the_most_are_told_in_order_of_what_is_written() {
    let host = host(60);
    let noon = host.now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    for sample in [json!({ "a": 1, "b": 8, "c%": 5 }), json!({ "a": 9, "b": 8 })] {
        host.tenant("acme").emit_json("plugin.sysmon.cpu", &sample).expect("it is noted");
    }
    assert_eq!(leaders(&host, "acme", &json!({})), [], "it is under way");
    next_minute(&host);
    host.tenant("acme").emit_json("plugin.sysmon.cpu", &json!({ "a": -4, "c%": 7 })).expect("it is noted");
    // As many as in the first minute, so that its share of the mean is a number that binary has.
    host.tenant("acme").emit_json("plugin.sysmon.cpu", &json!({ "a": -4 })).expect("it is noted");
    host.tenant("acme").emit_json("plugin.sysmon.disk", &json!({ "d": 1e300 })).expect("it is noted");
    next_minute(&host);
    let second = noon as u64 + 60_000;
    let (a, b, c, d) = ("cpu.a", "cpu.b", "cpu.c%", "disk.d");
    let cases: [(Value, &[(&str, f64)]); 10] = [
        (json!({}), &[(d, 1e300), (a, 9.0), (b, 8.0), (c, 7.0)]),
        (json!({ "limit": 2 }), &[(d, 1e300), (a, 9.0)]),
        (json!({ "by": "count" }), &[(a, 4.0), (b, 2.0), (c, 2.0), (d, 1.0)]),
        (json!({ "by": "min", "prefix": "cpu." }), &[(b, 8.0), (c, 5.0), (a, -4.0)]),
        (json!({ "by": "mean", "prefix": "cpu." }), &[(b, 8.0), (c, 6.0), (a, 0.5)]),
        (json!({ "from": second }), &[(d, 1e300), (c, 7.0), (a, -4.0)]),
        (json!({ "to": second, "by": "mean" }), &[(b, 8.0), (a, 5.0), (c, 5.0)]),
        (json!({ "prefix": "%" }), &[]),
        (json!({ "prefix": "cpu.c%" }), &[(c, 7.0)]),
        (json!({ "prefix": "' OR 1 --" }), &[]),
    ];
    for (request, expected) in cases {
        let told = leaders(&host, "acme", &request);
        let told: Vec<_> = told.iter().map(|(metric, value)| (metric.as_str(), *value)).collect();
        assert_eq!(told, expected, "{request}");
    }
    assert_eq!(leaders(&host, "globex", &json!({})), []);
    let refused = host.tenant("acme").call("chronicle.query", "top", br#"{"limit":1001}"#);
    assert_eq!(refused.expect_err("it is too much").status(), Status::OutOfRange);
    // What is kept no longer leads no longer, though it is not removed yet.
    host.configure(json!({ "keep_minutes": 1 })).expect("it is taken");
    assert_eq!(
        leaders(&host, "acme", &json!({ "prefix": "cpu." })),
        [(c.to_owned(), 7.0), (a.to_owned(), -4.0)]
    );
}

#[test]
fn the_largest_values_have_a_mean() {
    let host = host(60);
    for _ in 0..3 {
        for value in [1e300, 1e300, -1e300] {
            measure(&host, "acme", value);
        }
        next_minute(&host);
    }
    let leaders = leaders(&host, "acme", &json!({ "by": "mean" }));
    assert!((leaders[0].1 / 1e300 - 1.0 / 3.0).abs() < 1e-9, "{leaders:?}");
}

fn report(host: &Host, tenant: &str, request: &Value) -> pintle_plugin::Result<Vec<u8>> {
    host.tenant(tenant).call("chronicle.query", "report", request.to_string().as_bytes())
}

fn file(host: &Host, tenant: &str, path: &str) -> Option<String> {
    let bytes = host.tenant(tenant).files().get(path).expect("it can be read");
    bytes.map(|bytes| String::from_utf8(bytes).expect("it is text"))
}

#[test]
fn a_report_has_all_minutes_also_those_that_are_not_written_yet() {
    let host = host(60);
    let noon = host.now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    host.tenant("acme")
        .emit_json("plugin.sysmon.cpu", &json!({ "busy": 1, "a,b": 7.5 }))
        .expect("it is noted");
    measure(&host, "acme", 4.0);
    next_minute(&host);
    measure(&host, "acme", 2.5);
    measure(&host, "globex", 9.0);
    let written = report(&host, "acme", &json!({ "key": "all" })).expect("it is written");
    assert_eq!(written, br#"{"path":"reports/all.csv","rows":3}"#);
    let later = noon + 60_000;
    let expected = format!(
        "metric,minute,count,min,max,mean,last\n\"cpu.a,b\",{noon},1,7.5,7.5,7.5,7.5\ncpu.busy,{noon},2,1,4,2.5,4\n\
         cpu.busy,{later},1,2.5,2.5,2.5,2.5\n"
    );
    assert_eq!(file(&host, "acme", "reports/all.csv"), Some(expected));
    let one = json!({ "key": "2026/first minute", "from": noon as u64, "to": later as u64 });
    let written = report(&host, "acme", &one).expect("it is written");
    assert_eq!(written, br#"{"path":"reports/2026/first minute.csv","rows":2}"#);
}

#[test]
fn the_same_request_twice_writes_once_and_answers_the_same() {
    let host = host(60);
    measure(&host, "acme", 1.0);
    let request = json!({ "key": "k", "from": 0 });
    let first = report(&host, "acme", &request).expect("it is written");
    let info = || host.tenant("acme").files().stat("reports/k.csv").expect("it can be asked");
    let written = info();
    assert!(written.is_some());
    next_minute(&host);
    measure(&host, "acme", 2.0);
    host.reload().expect("it comes back");
    // The times are the same, though they are written otherwise.
    for again in [request, json!({ "to": i64::MAX, "key": "k" })] {
        assert_eq!(report(&host, "acme", &again).expect("it was written"), first);
    }
    assert_eq!(info(), written, "nothing is written again");
    // Another tenant's key is another one.
    assert_eq!(
        report(&host, "globex", &json!({ "key": "k" })).expect("it is written"),
        br#"{"path":"reports/k.csv","rows":0}"#
    );
    // After a day nobody remembers.
    host.advance(24 * 60 * MINUTE).expect("nothing else runs");
    report(&host, "acme", &json!({ "key": "k" })).expect("it is written");
    assert_ne!(info(), written);
}

#[test]
fn a_report_of_other_times_under_the_same_key_is_refused() {
    let host = host(60);
    report(&host, "acme", &json!({ "key": "k" })).expect("it is written");
    let before = file(&host, "acme", "reports/k.csv");
    let refused = report(&host, "acme", &json!({ "key": "k", "from": 1 })).expect_err("it is another one");
    assert_eq!(refused.status(), Status::Conflict);
    assert_eq!(refused.message(), "the report \"k\" is one of other times: give this one another key");
    assert_eq!(file(&host, "acme", "reports/k.csv"), before);
}

#[test]
fn a_report_that_could_not_be_written_is_written_by_the_next_request() {
    let host = host(60);
    let request = json!({ "key": "k" });
    host.fail_next("files.put", Status::Unavailable, "the disk is full");
    let failed = report(&host, "acme", &request).expect_err("it is told");
    assert_eq!((failed.status(), failed.message()), (Status::Unavailable, "the disk is full"));
    report(&host, "acme", &request).expect("it is written");
    for key in ["../k", "a//b", ""] {
        let refused = report(&host, "acme", &json!({ "key": key })).expect_err("it is no path");
        assert_eq!(refused.status(), Status::InvalidArgument, "{key:?}: {refused}");
    }
}

#[test]
fn a_report_that_was_interrupted_is_written_again_when_nobody_can_be_at_it_any_more() {
    let host = host(60);
    let request = json!({ "key": "k" });
    // The file is written, and that it is done is not noted.
    host.fail_next("idempotency.complete", Status::Unavailable, "the disk is full");
    report(&host, "acme", &request).expect_err("it is told");
    let busy = report(&host, "acme", &request).expect_err("the lease is not over");
    assert_eq!(busy.status(), Status::Busy);
    assert_eq!(busy.message(), "the report \"k\" is being written: ask again, at the latest in 60000 ms");
    host.advance(MINUTE).expect("nothing else runs");
    report(&host, "acme", &request).expect("it is taken over");
}
