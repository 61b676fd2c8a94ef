//! The SDK's test host answers as the real host does: one plugin, `tests/plugins/mirror`, is told the same in both, and
//! what each call came to is compared, line by line. Texts may differ; statuses and values may not.

#![recursion_limit = "1024"] // The tables are written as JSON.

mod durable;
#[path = "../plugins/mirror/src/lib.rs"]
mod mirror;
mod real;
mod sql;
mod table;
mod tested;

use serde_json::{Value, json};

/// A host with the mirror in it.
trait Side {
    /// Calls the mirror on behalf of a tenant; the reply, or the name of the status.
    fn call(&self, tenant: &str, service: &str, method: &str, request: &str) -> Result<String, String>;
    /// Emits, waits for the mirror's handlers and gives the reply of the only one, or the name of the status.
    fn emit(&self, tenant: &str, topic: &str, data: &str) -> Result<String, String>;
    /// Waits until nothing is under way.
    fn settle(&self);
    /// Waits until the mirror has so many deliveries that it was not asked about yet; in the test host so many milliseconds pass.
    fn until(&self, deliveries: usize, milliseconds: u64);
    /// All dead letters, when there are so many: whose, what, after how many deliveries, and why.
    fn dead(&self, letters: usize) -> Vec<String>;
    /// Lets so many milliseconds pass: what is to be compared is what items are then.
    fn pass(&self, milliseconds: u64);
    fn disable(&self) -> Result<(), String>;
    fn enable(&self) -> Result<(), String>;
    fn configure(&self, config: &Value) -> Result<(), String>;
}

/// What is done, and what each of it came to: `where`, `what`, `answer`.
type Told = Vec<[String; 3]>;

/// Does operations in one place of a side, one after the other.
fn tell(side: &dyn Side, place: &str, operations: &Value) -> Told {
    let operations = operations.as_array().expect("a list");
    let request = json!(operations).to_string();
    let (way, tenant) = place.split_once(' ').unwrap_or((place, ""));
    if way == "pass" {
        side.pass(tenant.parse().expect("milliseconds"));
        return Vec::new();
    }
    let answer = match way {
        "call" => side.call(tenant, "mirror.run", "do", &request),
        _ => side.emit(tenant, "mirror.do", &request),
    };
    let answer = answer.unwrap_or_else(|status| panic!("in {place}: {status}"));
    side.settle();
    let lines: Vec<String> = serde_json::from_str(&answer).expect("a list of lines");
    assert_eq!(lines.len(), operations.len());
    operations.iter().zip(lines).map(|(one, line)| [place.into(), one.to_string(), line]).collect()
}

/// A dead letter as both tell it. What a handler fails with each host says in its own words.
fn dead_letter(name: &str, data: &[u8], attempts: u32, reason: &str) -> String {
    let reason = if reason.contains("as it was told to") { "as it was told to" } else { reason };
    format!("{name}: {} after {attempts}: {reason}", String::from_utf8_lossy(data))
}

/// Both sides with a config.
fn sides(config: &Value) -> (real::Real, tested::Tested) {
    (real::Real::start(config), tested::Tested::start(config))
}

#[track_caller]
fn compare(real: &Told, tested: &Told) {
    let differ: Vec<String> = real
        .iter()
        .zip(tested)
        .filter(|(real, tested)| real != tested)
        .map(|([place, what, real], [.., tested])| {
            format!("{place}: {what}\n  real host: {real}\n  test host: {tested}")
        })
        .collect();
    assert!(differ.is_empty(), "{} lines differ:\n{}", differ.len(), differ.join("\n"));
    assert_eq!(real.len(), tested.len());
    let unknown: Vec<_> = real.iter().filter(|[.., line]| line.starts_with("no ")).collect();
    assert!(unknown.is_empty(), "the table has mistakes: {unknown:#?}");
}

#[test]
fn what_a_plugin_asks_for_is_answered_alike() {
    let config = json!({ "values": table::values() });
    let (real, tested) = sides(&config);
    let of = |side: &dyn Side| -> Told {
        let tables = table::tables();
        tables.iter().flat_map(|(place, operations)| tell(side, place, operations)).collect()
    };
    compare(&of(&real), &of(&tested));
}

#[test]
fn a_statement_that_ends_early_leaves_as_little_in_both() {
    let (real, tested) = sides(&json!({}));
    compare(&tell(&real, "call", &sql::undone()), &tell(&tested, "call", &sql::undone()));
}

#[test]
fn each_phase_of_a_life_allows_the_same() {
    let phase = table::phase();
    let (real, tested) = sides(&json!({ "load": phase, "enable": phase, "disable": phase }));
    let of = |side: &dyn Side| -> Told {
        let mut told = Vec::new();
        for round in ["first", "second"] {
            let status = side.call("", "mirror.run", "told", "null");
            let lines: Vec<String> = serde_json::from_str(&status.expect("it tells")).expect("lines");
            told.extend(lines.into_iter().enumerate().map(|(at, line)| {
                let what = phase.as_array().map(|all| all[at % all.len()].to_string());
                [round.into(), what.unwrap_or_default(), line]
            }));
            let outcome =
                |what: &str, came: Result<String, String>| [round.into(), what.into(), format!("{came:?}")];
            told.push(outcome("disable", side.disable().map(|()| String::new())));
            told.push(outcome("call while disabled", side.call("", "mirror.run", "told", "null")));
            told.push(outcome("enable", side.enable().map(|()| String::new())));
            told.extend(tell(side, "call", &json!([["events.heard"]])));
        }
        told
    };
    compare(&of(&real), &of(&tested));
}

#[test]
fn whoever_asks_the_plugin_is_answered_alike() {
    let (real, tested) = sides(&json!({}));
    let of = |side: &dyn Side| -> Told {
        let mut told = Vec::new();
        for (service, method, request) in [
            ("mirror.run", "unheard_of", "null"),
            ("mirror.run", "not_listed", "null"),
            ("mirror.run", "do", "no JSON"),
            ("mirror.run", "large", "1048576"),
            ("mirror.run", "large", "1048577"),
            ("nobody", "do", "[]"),
        ] {
            let came = side.call("", service, method, request).map(|reply| reply.len());
            told.push([service.into(), format!("{method} {request}"), format!("{came:?}")]);
        }
        for status in table::STATUSES {
            let came = side.call("t", "mirror.run", "fail", &json!(status).to_string());
            told.push(["call".into(), (*status).into(), format!("{came:?}")]);
            let came = side.emit("t", "mirror.fail", status);
            told.push(["event".into(), (*status).into(), format!("{came:?}")]);
        }
        for topic in ["mirror.large", "mirror.nobody"] {
            told.push(["event".into(), topic.into(), format!("{:?}", side.emit("", topic, ""))]);
        }
        for (what, config) in
            [("taken", json!({ "values": 5 })), ("refused", json!({ "refuse": true, "values": 6 }))]
        {
            told.push(["configure".into(), what.into(), format!("{:?}", side.configure(&config))]);
            told.extend(tell(
                side,
                "call",
                &json!([["config.get", "/values"], ["config.get", "/inner/given"]]),
            ));
        }
        told
    };
    compare(&of(&real), &of(&tested));
}
