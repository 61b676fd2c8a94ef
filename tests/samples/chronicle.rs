//! `chronicle`: what was measured is kept by minute and tenant, over restarts, and told to whoever asks.

use pintle_test_support::samples;
use serde_json::{Value, json};

use crate::stage::{Stage, Started, measured, until};

fn stage() -> Stage {
    Stage::new(&[&samples().rust("chronicle"), &samples().c("threshold"), &measured()], "")
}

fn ask(host: &Started, tenant: &str, method: &str, request: &Value) -> Value {
    host.ask(tenant, "chronicle.query", method, &request.to_string())
}

/// Count, least, most and last over all minutes of a metric: a test may begin in one minute and end in the next.
fn all(host: &Started, tenant: &str, metric: &str) -> Value {
    let series = ask(host, tenant, "series", &json!({ "metric": metric }));
    let minutes = series.as_array().expect("a series is an array");
    let numbers = |name: &str| minutes.iter().filter_map(|minute| minute[name].as_f64()).collect::<Vec<_>>();
    let count: f64 = numbers("count").iter().sum();
    let least = numbers("min").into_iter().reduce(f64::min);
    let most = numbers("max").into_iter().reduce(f64::max);
    json!([count, least, most, numbers("last").last()])
}

/// Has values measured, and waits until they are noted.
fn measure(host: &Started, tenant: &str, values: &[f64]) {
    let before = all(host, tenant, "cpu.busy")[0].as_f64().expect("a count is a number");
    for value in values {
        host.tell(tenant, "measure.cpu", &json!({ "busy": value, "note": "n" }).to_string());
    }
    let after = before + values.len() as f64;
    until("it is noted", || all(host, tenant, "cpu.busy")[0] == json!(after));
}

/// How many durable events `chronicle` may still have to look at.
fn waiting(host: &Started) -> u64 {
    let log = host.event_log().unwrap_or_else(|error| panic!("{error}"));
    let alarms =
        log.consumers.iter().find(|consumer| (&*consumer.plugin, &*consumer.name) == ("chronicle", "alarms"));
    alarms.expect("it has subscribed").behind
}

/// How many minutes are in the database, as an operator sees it; none if it has no tables.
fn rows(host: &Started, tenant: &str) -> i64 {
    let database = host.database("chronicle", tenant).expect("it can be asked for");
    let mut count = 0;
    let told = database.query("SELECT count(*) FROM minutes", &[], None, |row| {
        count = row.get(0)?;
        Ok(())
    });
    if let Err(error) = told {
        assert!(
            error.to_string().contains("no such table") || error.to_string().contains("no database"),
            "{error}"
        );
    }
    count
}

#[test]
fn a_metric_has_count_least_most_mean_and_last_by_minute() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[10.0, 30.0, 5.0]);
    assert_eq!(all(&host, "acme", "cpu.busy"), json!([3.0, 5.0, 30.0, 5.0]));
    let series = ask(&host, "acme", "series", &json!({ "metric": "cpu.busy" }));
    let minute = &series[0];
    assert_eq!(minute["minute"].as_i64().expect("a time is a number") % 60_000, 0);
    if series.as_array().is_some_and(|minutes| minutes.len() == 1) {
        assert_eq!(minute["mean"], 15.0);
    }
    let from = minute["minute"].as_i64().expect("a time is a number");
    for (range, there) in [
        (json!({ "metric": "cpu.busy", "from": from, "limit": 1 }), true),
        (json!({ "metric": "cpu.busy", "to": from }), false),
        (json!({ "metric": "cpu.idle" }), false),
    ] {
        let found = ask(&host, "acme", "series", &range);
        assert_eq!(!found.as_array().expect("a series is an array").is_empty(), there, "{range}");
    }
    host.end();
}

#[test]
fn alarms_are_counted_too() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[99.0, 1.0, 99.0]);
    until("both alarms are noted", || all(&host, "acme", "alarms")[0] == 2.0);
    assert_eq!(ask(&host, "acme", "metrics", &json!({})), json!(["alarms", "alarms.cpu.busy", "cpu.busy"]));
    host.end();
}

#[test]
fn alarms_that_were_raised_while_it_was_disabled_come_when_it_is_enabled() {
    let stage = stage();
    let host = stage.start();
    host.disable("chronicle").unwrap_or_else(|error| panic!("{error}"));
    for (tenant, busy) in [("acme", 99), ("acme", 1), ("globex", 98)] {
        host.tell(tenant, "measure.cpu", &json!({ "busy": busy }).to_string());
    }
    host.await_events("plugin.threshold.alarm", 3, |_| ());
    host.enable("chronicle").unwrap_or_else(|error| panic!("{error}"));
    for tenant in ["acme", "globex"] {
        until("the alarm is noted", || all(&host, tenant, "alarms")[0] == 1.0);
    }
    until("all is acknowledged", || waiting(&host) == 0);
    host.end();
}

#[test]
fn alarms_that_were_raised_before_the_host_ended_come_in_the_next_and_once() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[99.0]);
    until("the first is noted", || all(&host, "acme", "alarms")[0] == 1.0);
    until("it is acknowledged", || waiting(&host) == 0);
    host.unload("chronicle").unwrap_or_else(|error| panic!("{error}"));
    for busy in [1, 99] {
        host.tell("acme", "measure.cpu", &json!({ "busy": busy }).to_string());
    }
    host.await_events("plugin.threshold.alarm", 3, |_| ());
    assert_eq!(waiting(&host), 2);
    host.end();
    let host = stage.start();
    until("all is acknowledged", || waiting(&host) == 0);
    assert_eq!(all(&host, "acme", "alarms")[0], 2.0);
    host.end();
}

#[test]
fn lines_are_counted_too() {
    let stage = Stage::new(&[&samples().rust("chronicle"), &samples().c("tail")], "")
        .and("[plugin.tail.config]\nevery_ms = 10\nfrom = \"start\"\npath = \"@/log\"");
    stage.write("log", "one\ntwo\n");
    let host = stage.start();
    until("both lines are noted", || all(&host, "", "lines")[0] == 2.0);
    host.end();
}

#[test]
fn tenants_have_chronicles_of_their_own() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[1.0]);
    measure(&host, "globex", &[2.0, 2.0]);
    measure(&host, "", &[3.0, 3.0, 3.0]);
    host.restart("chronicle");
    for (tenant, expected) in [
        ("acme", json!([1.0, 1.0, 1.0, 1.0])),
        ("globex", json!([2.0, 2.0, 2.0, 2.0])),
        ("", json!([3.0, 3.0, 3.0, 3.0])),
    ] {
        assert_eq!(all(&host, tenant, "cpu.busy"), expected, "{tenant}");
    }
    assert_eq!(ask(&host, "initech", "metrics", &json!({})), json!([]));
    assert_eq!(ask(&host, "initech", "total", &json!({}))["samples"], 0);
    host.end();
}

#[test]
fn a_restart_keeps_what_was_measured_and_joins_the_halves_of_its_minute() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[10.0, 20.0]);
    host.restart("chronicle");
    assert_eq!(all(&host, "acme", "cpu.busy"), json!([2.0, 10.0, 20.0, 20.0]));
    assert!(rows(&host, "acme") > 0);
    measure(&host, "acme", &[1.0]);
    assert_eq!(all(&host, "acme", "cpu.busy"), json!([3.0, 1.0, 20.0, 1.0]));
    host.end();
    // Another host, as after a restart of the machine.
    let host = stage.start();
    assert_eq!(all(&host, "acme", "cpu.busy"), json!([3.0, 1.0, 20.0, 1.0]));
    assert_eq!(ask(&host, "acme", "total", &json!({ "metric": "cpu.busy" }))["samples"], 3);
    host.end();
}

#[test]
fn a_report_is_written_once_for_its_key_over_restarts_too() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[10.0, 20.0]);
    let first = ask(&host, "acme", "report", &json!({ "key": "k" }));
    assert_eq!(first["path"], "reports/k.csv");
    let written = host.file("chronicle", "acme", "reports/k.csv").expect("it is there");
    assert!(written.starts_with("metric,minute,count,min,max,mean,last\ncpu.busy,"), "{written}");
    assert_eq!(Some(written.lines().count() as u64 - 1), first["rows"].as_u64());
    measure(&host, "acme", &[30.0]);
    host.end();
    // Another host: it has more to tell, and does not.
    let host = stage.start();
    assert_eq!(ask(&host, "acme", "report", &json!({ "key": "k" })), first);
    assert_eq!(host.file("chronicle", "acme", "reports/k.csv"), Some(written));
    for (request, reason) in [
        (r#"{"key":"k","from":7}"#, "the report \"k\" is one of other times: give this one another key"),
        (r#"{"key":"../k"}"#, "path"),
        (r#"{"from":7}"#, "missing field `key`"),
    ] {
        let refused = host.call("acme", "chronicle.query", 1, "report", request.as_bytes(), None);
        let refused = refused.expect_err("it cannot be written").to_string();
        assert!(refused.contains(reason), "{request}: {refused}");
    }
    assert_eq!(host.file("chronicle", "globex", "reports/k.csv"), None, "it is acme's");
    host.end();
}

#[test]
fn what_a_host_has_kept_can_be_asked_after_its_end() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[1.0]);
    measure(&host, "globex", &[2.0, 7.0]);
    let stopped = host.stop();
    assert!(stopped.failed.is_empty(), "{stopped:?}");
    // Written in `disable`; the next host tells at once which metrics have the most.
    let host = stage.start();
    for (tenant, most) in [("acme", json!(["cpu.busy", 1.0])), ("globex", json!(["cpu.busy", 7.0]))] {
        let top = ask(&host, tenant, "top", &json!({ "limit": 3 }));
        assert_eq!(json!([top[0]["metric"], top[0]["max"]]), most, "{tenant}: {top}");
        assert!(rows(&host, tenant) > 0);
    }
    assert_eq!(ask(&host, "initech", "top", &json!({})), json!([]));
    host.end();
}

#[test]
fn a_minute_that_is_under_way_is_not_written() {
    let stage = stage();
    let host = stage.start();
    measure(&host, "acme", &[1.0; 50]);
    // The clock may have gone to the next minute meanwhile, and then what has ended is written once.
    assert!(rows(&host, "acme") <= 1);
    host.end();
}

#[test]
fn requests_that_cannot_be_answered_are_refused_with_a_reason() {
    let stage = stage();
    let host = stage.start();
    for (method, request, reason) in [
        ("series", "", "EOF"),
        ("series", r#"{"metric":"m","until":1}"#, "unknown field `until`"),
        ("series", r#"{"metric":"m","limit":0}"#, "`limit` is 0, and not 1 to 5000"),
        ("total", r#"{"metric":7}"#, "invalid type"),
        ("top", r#"{"by":"name"}"#, "unknown variant `name`"),
        ("top", r#"{"limit":1001}"#, "`limit` is 1001, and not 1 to 1000"),
        ("average", "{}", "average"),
    ] {
        let refused = host.call("", "chronicle.query", 1, method, request.as_bytes(), None);
        let refused = refused.expect_err("it cannot be answered").to_string();
        assert!(refused.contains(reason), "{method} {request}: {refused}");
    }
    assert_eq!(host.ask("", "chronicle.query", "total", "")["metrics"], 0, "no request is for all");
    host.end();
}
