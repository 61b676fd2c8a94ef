//! `threshold`: alarms and their counts, in a real cache, with tenants.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pintle::events::{DurableOptions, Start};
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
fn all_alarms_of_a_metric_are_counted_over_restarts() {
    let stage = stage("");
    for total in 1..3 {
        let host = stage.start();
        swing(&host, "acme", ["cpu", "busy"]);
        assert_eq!(host.await_events(ALARM, 2, told), ["acme raised 1", "acme cleared 1"]);
        let records = host.end();
        let raised = records.iter().find(|record| record["message"] == "alarm raised").expect("it is logged");
        assert_eq!(raised["total"], total, "{raised}");
    }
}

#[test]
fn the_metrics_with_the_most_alarms_are_answered_from_a_table_over_restarts() {
    let stage = stage("");
    let host = stage.start();
    let top = |host: &Started, tenant: &str, most: &str| {
        host.ask(tenant, "threshold.alarms", "top", most).to_string()
    };
    assert_eq!(top(&host, "acme", "3"), "[]");
    for metric in [["memory", "used"], ["cpu", "busy"], ["memory", "used"], ["load", "load1"]] {
        swing(&host, "acme", metric);
    }
    host.tell("acme", "measure.cpu", r#"{"busy":90.25}"#);
    swing(&host, "globex", ["cpu", "busy"]);
    host.await_events(ALARM, 11, told);
    let row =
        |metric: &str, raised: u32| format!(r#"{{"highest":99.0,"metric":"{metric}","raised":{raised}}}"#);
    let (cpu, memory, load) = (row("cpu.busy", 2), row("memory.used", 2), row("load.load1", 1));
    assert_eq!(top(&host, "acme", "2"), format!("[{cpu},{memory}]"));
    host.end();
    let host = stage.start();
    assert_eq!(top(&host, "acme", "9"), format!("[{cpu},{memory},{load}]"));
    assert_eq!(top(&host, "globex", "9"), format!("[{}]", row("cpu.busy", 1)));
    assert_eq!(top(&host, "", "9"), "[]");
    for wrong in ["", "0", "1001", "many"] {
        let refused = host.call("acme", "threshold.alarms", 1, "top", wrong.as_bytes(), None);
        assert_eq!(refused.expect_err(wrong).kind(), pintle::ErrorKind::InvalidArgument);
    }
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

#[test]
fn a_sample_that_comes_twice_makes_one_alarm_over_restarts_too() {
    let stage = stage("");
    let sample = |host: &Started, tenant: &str, id: &str, busy: u32| {
        host.tell_as(Some(id), tenant, "measure.cpu", &format!(r#"{{"busy":{busy}}}"#));
    };
    let host = stage.start();
    for (id, busy) in [("1", 99), ("2", 1), ("1", 99), ("2", 1), ("3", 98)] {
        sample(&host, "acme", id, busy);
    }
    sample(&host, "globex", "1", 97);
    assert_eq!(
        host.await_events(ALARM, 4, told),
        ["acme raised 1", "acme cleared 1", "acme raised 2", "globex raised 1"],
        "an id counts for its tenant"
    );
    host.end();
    let host = stage.start();
    sample(&host, "acme", "1", 99);
    sample(&host, "acme", "4", 96);
    let alarms = host.await_events(ALARM, 1, |alarm| alarm.data["value"].clone());
    assert_eq!(alarms, [96], "nothing is raised in another host, and only the sample that is new raises");
    host.end();
}

#[test]
fn alarms_are_in_the_log_of_durable_events_over_restarts() {
    let stage = stage("");
    let host = stage.start();
    swing(&host, "acme", ["cpu", "busy"]);
    swing(&host, "globex", ["memory", "used"]);
    host.await_events(ALARM, 4, told);
    host.end();
    let host = stage.start();
    let log = host.event_log().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((log.events, log.last), (4, 4));
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let ear = Arc::clone(&heard);
    let all = DurableOptions { start: Start::All, ..DurableOptions::default() };
    host.subscribe_durable("all", ALARM, all, move |delivery| {
        let event = delivery.event;
        let data: Value = serde_json::from_slice(&event.data).expect("it is JSON");
        let line = format!("{} {} {}", event.tenant, event.key, data["state"].as_str().unwrap_or_default());
        ear.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let told = || heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    until("all of them came", || told().len() == 4);
    assert_eq!(
        told(),
        [
            "acme cpu.busy raised",
            "acme cpu.busy cleared",
            "globex memory.used raised",
            "globex memory.used cleared"
        ]
    );
    host.end();
}

#[test]
fn another_sample_under_the_same_id_is_refused_and_said_to_be() {
    let host = stage("").start();
    for busy in [99, 1] {
        host.tell_as(Some("1"), "acme", "measure.cpu", &format!(r#"{{"busy":{busy}}}"#));
    }
    until("it is refused", || host.info("threshold").counters.failed_handled == 1);
    assert_eq!(host.events(ALARM, told), ["acme raised 1"]);
    let records = host.end();
    let refused = |record: &Value| record.to_string().contains("another sample had the same id");
    assert!(records.iter().any(refused), "{records:#?}");
}

#[test]
fn the_last_alarm_of_a_metric_is_in_a_file_of_its_tenant() {
    let stage = stage("");
    let host = stage.start();
    for busy in [98, 1, 99, 2] {
        host.tell("acme", "measure.cpu", &format!(r#"{{"busy":{busy}}}"#));
    }
    let last = host.await_events(ALARM, 4, |alarm| alarm.data.clone()).swap_remove(2);
    host.end();
    let host = stage.start();
    let kept = host.file("threshold", "acme", "alarms/cpu.busy.json").expect("it outlives the host");
    assert_eq!(serde_json::from_str::<Value>(&kept).expect("it is whole"), last);
    assert_eq!(host.file("threshold", "globex", "alarms/cpu.busy.json"), None);
    host.end();
}
