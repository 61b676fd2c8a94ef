//! Durable events: what both hosts deliver, how often, and what becomes dead letters.
//!
//! The clock of the real host is the real one. So a step waits until so much was delivered, however long that takes, and what is compared
//! never depends on how much time has passed.

use serde_json::{Value, json};

use crate::{Side, Told, compare, sides, tell};

/// What is done. `until 3 500`: until three deliveries are there that were not told yet; in the test host 500 ms pass. `dead 2`: two dead
/// letters in all, and which.
fn told(steps: &[(&str, Value)]) {
    let (real, tested) = sides(&json!({}));
    let of = |side: &dyn Side| -> Told {
        let mut told = Told::new();
        for (place, operations) in steps {
            let words: Vec<&str> = place.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            match words[0] {
                "until" => side.until(number(1) as usize, number(2)),
                "dead" => {
                    let letters = side.dead(number(1) as usize).join(" | ");
                    told.push([(*place).into(), String::new(), letters]);
                }
                _ => told.extend(tell(side, place, operations)),
            }
        }
        told
    };
    compare(&of(&real), &of(&tested));
}

fn none() -> Value {
    json!([])
}

fn seen() -> Value {
    json!([["durable.seen"]])
}

#[test]
fn events_26_what_a_handler_answers_ok_to_comes_once_and_what_it_fails_comes_again() {
    told(&[
        (
            "call",
            json!([
                ["durable.subscribe", "plugin.mirror.>", "d", { "backoff": 1 }],
                ["durable.emit", "plain", "one"],
                ["durable.emit", "out.a", "once-two", "my-two", "k", "eu-1"],
                ["events.emit", "plain", "no durable one"],
                ["durable.emit", "plain", "three", "", "k"],
                ["durable.emit", "plain", "four", "", "l"],
                ["durable.emit", "not.granted", "five"],
                ["durable.emit", "no topic", "five"]
            ]),
        ),
        // The third waits behind the second, whose key it has.
        ("until 5 2", none()),
        ("call acme", json!([["durable.emit", "plain", "five"]])),
        ("until 6 0", none()),
        ("call", seen()),
        ("call", json!([["durable.emit", "plain", "six"]])),
        ("until 1 0", none()),
        ("call", seen()),
        ("dead 0", none()),
    ]);
}

#[test]
fn events_27_and_events_28_what_always_fails_is_a_dead_letter_after_its_last_delivery() {
    told(&[
        (
            "call",
            json!([
                ["durable.subscribe", "plugin.mirror.>", "d", { "backoff": 1, "max_deliveries": 3 }],
                ["durable.emit", "plain", "fail-one", "my-one"],
                ["durable.emit", "plain", "once-two"],
                ["durable.emit", "plain", "three"]
            ]),
        ),
        ("until 6 10", none()),
        ("call", seen()),
        ("dead 1", none()),
        ("call acme", json!([["durable.emit", "plain", "fail-four"], ["durable.emit", "plain", "five"]])),
        ("until 4 10", none()),
        ("call", seen()),
        ("dead 2", none()),
    ]);
}

#[test]
fn events_26_and_events_27_what_is_acknowledged_explicitly_is_in_flight_until_then() {
    told(&[
        (
            "call",
            json!([
                ["durable.subscribe", "plugin.mirror.>", "d", {
                    "acknowledge": true, "backoff": 1, "max_deliveries": 2, "in_flight": 2
                }],
                ["durable.emit", "plain", "one"],
                ["durable.emit", "plain", "two"],
                ["durable.emit", "plain", "three"],
                ["durable.emit", "plain", "fail-four"]
            ]),
        ),
        ("until 2 0", none()),
        ("call", seen()),
        ("call", json!([["durable.ack", 0], ["durable.ack", 0], ["durable.nack", 0, "late"]])),
        ("until 1 0", none()),
        ("call", seen()),
        // At once, and not after a back-off.
        ("call", json!([["durable.nack", 1, "not yet", 1], ["durable.ack", 1]])),
        // The fourth fails by itself, and there is room for it no more when it is to come again.
        ("until 2 5", none()),
        ("call", json!([["durable.count"], ["durable.ack", 2]])),
        ("until 3 5", none()),
        ("dead 1", none()),
        (
            "call",
            json!([
                ["durable.nack", 1, "x*1025"],
                ["durable.nack", 1, "", 86_400_001_u64],
                ["durable.emit", "plain", "five"]
            ]),
        ),
    ]);
}

#[test]
fn events_27_a_nack_after_the_last_delivery_and_a_deadline_make_dead_letters() {
    told(&[
        (
            "call",
            json!([
                ["durable.subscribe", "plugin.mirror.a.>", "nacked", { "acknowledge": true, "max_deliveries": 1 }],
                ["durable.subscribe", "plugin.mirror.deep.b", "late", {
                    "acknowledge": true, "max_deliveries": 2, "ack": 20, "backoff": 1
                }],
                ["durable.subscribe", "plugin.mirror.deep.a", "given back", {
                    "acknowledge": true, "max_deliveries": 1
                }],
                ["durable.emit", "deep.a", "one", "my-one"]
            ]),
        ),
        ("until 1 0", none()),
        ("call", seen()),
        ("call acme", json!([["durable.nack", 0, "no use", 5]])),
        ("dead 1", none()),
        ("call", json!([["durable.ack", 0], ["durable.emit", "deep.b", "two"]])),
        ("until 2 50", none()),
        ("dead 2", none()),
        ("call", json!([["durable.seen"], ["durable.ack", 1], ["durable.ack", 2]])),
    ]);
}

#[test]
fn events_31_an_id_that_comes_twice_is_one_event() {
    told(&[
        (
            "call",
            json!([
                ["durable.subscribe", "plugin.mirror.>", "d"],
                ["durable.emit", "plain", "one", "my-id"],
                ["durable.emit", "plain", "two", "my-id"],
                ["durable.emit", "out.a", "three", "my-id"],
                ["durable.emit", "plain", "four", "my-other"],
                ["events.emit", "plain", "a transient one", "my-id"]
            ]),
        ),
        ("call acme", json!([["durable.emit", "plain", "five", "my-id"]])),
        ("until 3 0", none()),
        ("call", json!([["durable.seen"], ["events.heard"]])),
    ]);
}

#[test]
fn events_37_a_filter_lets_some_through_and_the_others_do_not_come_later() {
    told(&[
        (
            "call",
            json!([
                ["durable.subscribe", "plugin.mirror.>", "by subject", { "filter": r#"{"prefix":{"subject":"eu-"}}"# }],
                ["durable.subscribe", "plugin.mirror.>", "by key", {
                    "filter": r#"{"all":[{"exact":{"partitionkey":"k"}},{"not":{"suffix":{"type":".a"}}}]}"#
                }],
                ["durable.emit", "plain", "one", "", "k", "eu-1"],
                ["durable.emit", "plain", "two", "", "l", "eu-2"],
                ["durable.emit", "plain", "three", "", "k"],
                ["durable.emit", "out.a", "four", "", "k", "us-1"]
            ]),
        ),
        ("until 4 0", none()),
        ("call", seen()),
        // Under the same name, without a filter: it is done with what the other passed over.
        (
            "call",
            json!([
                ["durable.unsubscribe", 0],
                ["durable.subscribe", "plugin.mirror.>", "by subject"],
                ["durable.emit", "plain", "five", "", "", "us-2"]
            ]),
        ),
        ("until 1 0", none()),
        ("call", seen()),
    ]);
}

#[test]
fn events_30_and_events_18_a_subscription_begins_where_it_says_and_goes_on_where_it_was() {
    told(&[
        ("call", json!([["durable.emit", "plain", "one"]])),
        ("call acme", json!([["durable.emit", "plain", "two"]])),
        (
            "call",
            json!([
                ["durable.emit", "plain", "three"],
                ["durable.subscribe", "plugin.mirror.>", "new"],
                ["durable.subscribe", "plugin.mirror.>", "all", { "start": "all" }],
                ["durable.subscribe", "plugin.mirror.>", "since", { "start": "epoch" }],
                ["durable.subscribe", "plugin.mirror.>", "second", { "start": 2 }],
                ["durable.subscribe", "plugin.mirror.>", "later", { "start": 4 }]
            ]),
        ),
        ("call acme", json!([["durable.subscribe", "plugin.mirror.>", "all", { "start": "all" }]])),
        ("until 9 0", none()),
        ("call", seen()),
        ("call", json!([["durable.unsubscribe", 1], ["durable.emit", "plain", "four"]])),
        ("until 4 0", none()),
        ("call", json!([["durable.subscribe", "plugin.mirror.>", "all", { "start": "all" }]])),
        ("until 5 0", none()),
        ("call", seen()),
    ]);
}

#[test]
fn durable_subscriptions_that_cannot_be_are_refused_alike() {
    let bad = |options: Value| json!(["durable.subscribe", "plugin.mirror.>", "bad", options]);
    told(&[(
        "call",
        json!([
            bad(json!({ "max_deliveries": 1_001 })),
            bad(json!({ "max_deliveries": 1_000 })),
            ["durable.unsubscribe", 0],
            ["durable.unsubscribe", 0],
            bad(json!({ "in_flight": 1_025 })),
            bad(json!({ "backoff": 3_600_001 })),
            bad(json!({ "ack": 3_600_001 })),
            bad(json!({ "capacity": 1 })),
            bad(json!({ "priority": 1_001 })),
            bad(json!({ "filter": "{" })),
            bad(json!({ "filter": r#"{"exact":{}}"# })),
            bad(json!({ "filter": r#"{"exact":{"type":""}}"# })),
            bad(json!({ "transient": true, "acknowledge": true })),
            bad(json!({ "transient": true, "start": "all" })),
            bad(json!({ "transient": true, "max_deliveries": 2 })),
            ["durable.subscribe", "not.granted", "bad"],
            ["durable.subscribe", "no pattern", "bad"],
            ["durable.subscribe", "plugin.mirror.>", "x*129"],
            ["durable.subscribe", "plugin.mirror.>", "mine"],
            ["durable.subscribe", "plugin.mirror.a", "mine"],
            ["events.subscribe", "plugin.mirror.a", "mine"],
            ["events.subscribe", "plugin.mirror.a", "other"],
            ["durable.subscribe", "plugin.mirror.a", "other"],
            ["durable.emit", "plain", "d", "x*257"],
            ["durable.emit", "plain", "x*1048577"],
            ["durable.emit", "plain", "d", "a\nb"],
        ]),
    )]);
}
