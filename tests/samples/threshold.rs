//! `threshold`: alarms and their counts, in a real cache, with tenants.

use std::time::{Duration, Instant};

use pintle_test_support::samples;
use serde_json::Value;

use crate::stage::{One, Stage, Started, measured, said, until};

const ALARM: &str = "plugin.threshold.alarm";

fn stage(toml: &str) -> Stage {
    Stage::new(&[&samples().c("threshold"), &measured()], "").and(toml)
}

/// `acme raised 2`; without a count `acme raised -`.
fn told(alarm: &One) -> String {
    let count = alarm.data.get("count").map_or("-".to_owned(), Value::to_string);
    format!("{} {} {count}", alarm.tenant, alarm.data["state"].as_str().expect("it is a text"))
}

/// Raises and clears, so that there are as many more alarms.
fn swing(host: &Started, tenant: &str, metric: [&str; 2]) {
    for value in [99, 1] {
        host.tell(tenant, &format!("measure.{}", metric[0]), &format!(r#"{{"{}":{value}}}"#, metric[1]));
    }
}

#[test]
fn alarms_are_counted_by_metric_and_tenant() {
    let host = stage("").start();
    let cpu = ["cpu", "busy"];
    swing(&host, "acme", cpu);
    swing(&host, "acme", cpu);
    swing(&host, "globex", cpu);
    swing(&host, "", cpu);
    swing(&host, "acme", ["memory", "used"]);
    let expected = [
        "acme raised 1",
        "acme cleared 1",
        "acme raised 2",
        "acme cleared 2",
        "globex raised 1",
        "globex cleared 1",
        " raised 1",
        " cleared 1",
        "acme raised 1",
        "acme cleared 1",
    ];
    assert_eq!(host.await_events(ALARM, expected.len(), told), expected);
    let items = host.info("threshold").counters.cache_items;
    assert_eq!(items, 8, "a count and a sample for each metric and tenant");
    host.end();
}

#[test]
fn an_alarm_tells_what_the_other_metrics_of_its_tenant_were() {
    let host = stage("").start();
    let beside =
        |alarm: &One| format!("{} {}", alarm.tenant, alarm.data.get("beside").unwrap_or(&Value::Null));
    host.tell("acme", "measure.memory", r#"{"used":41.50}"#);
    host.tell("globex", "measure.load", r#"{"load1":3}"#);
    for tenant in ["acme", "globex", ""] {
        host.tell(tenant, "measure.cpu", r#"{"busy":99}"#);
    }
    host.tell("acme", "measure.memory", r#"{"used":98}"#);
    assert_eq!(
        host.await_events(ALARM, 4, beside),
        [r#"acme {"memory.used":41.5}"#, r#"globex {"load.load1":3}"#, " null", r#"acme {"cpu.busy":99}"#]
    );
    host.end();
}

#[test]
fn an_alarm_of_one_tenant_is_not_cleared_by_another() {
    let host = stage("").start();
    host.tell("acme", "measure.cpu", r#"{"busy":99}"#);
    host.tell("globex", "measure.cpu", r#"{"busy":1}"#);
    host.tell("globex", "measure.cpu", r#"{"busy":98}"#);
    host.tell("acme", "measure.cpu", r#"{"busy":2}"#);
    assert_eq!(host.await_events(ALARM, 3, told), ["acme raised 1", "globex raised 1", "acme cleared 1"]);
    host.end();
}

#[test]
fn a_window_ends_by_itself_and_counting_begins_anew() {
    let host = stage("[plugin.threshold.config]\nwindow_ms = 50").start();
    let cpu = ["cpu", "busy"];
    swing(&host, "acme", cpu);
    host.await_events(ALARM, 2, told);
    let heard = Instant::now();
    until("the window ends", || heard.elapsed() > Duration::from_millis(50));
    swing(&host, "acme", cpu);
    let alarms = host.await_events(ALARM, 4, told);
    assert_eq!(alarms[2], "acme raised 1", "{alarms:?}");
    host.end();
}

#[test]
fn without_a_cache_there_are_alarms_all_the_same() {
    let host = stage("[plugin.threshold.grants]\nnamespaces = []").start();
    swing(&host, "acme", ["cpu", "busy"]);
    assert_eq!(host.await_events(ALARM, 2, told), ["acme raised -", "acme cleared -"]);
    let records = host.end();
    assert_eq!(said(&records, "alarms cannot be counted"), 2);
}
