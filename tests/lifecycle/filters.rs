//! Filters and priorities of subscriptions, as plugins in C and the application ask for them.

use std::sync::mpsc;

use pintle::{
    ErrorKind, Host,
    events::{Draft, Emitted, Filter, SubscribeOptions},
};

use crate::scene::{PATIENCE, Scene, ask, draft, emit, until};

const INVALID_ARGUMENT: i32 = 2;
const OUT_OF_RANGE: i32 = 8;

/// Publishes an event of the application about `subject`.
fn about(host: &Host, tenant: &str, subject: &str) -> Emitted {
    let draft = Draft { subject: subject.into(), ..draft("w.door", subject) };
    host.emit(tenant, draft).unwrap_or_else(|error| panic!("{error}"))
}

/// What the handlers of a witness were called with, in their order: the subscription and the data.
fn heard(scene: &Scene) -> Vec<String> {
    let lines = scene.journal("witness").into_iter();
    let words = |line: String| {
        let line = line.strip_prefix("event ")?.to_owned();
        let (name, data) = (line.split(' ').next()?, line.split("data=").nth(1)?);
        Some(format!("{name} {data}"))
    };
    lines.filter_map(words).collect()
}

#[test]
fn events_37_a_plugin_hears_of_what_its_filter_lets_through() {
    let choose = [
        r#"choose w.> front 0 {"exact": {"subject": "front"}}"#,
        r#"choose w.> doors 0 {"any": [{"prefix": {"subject": "front"}}, {"suffix": {"subject": "-door"}}]}"#,
        r#"choose w.> rest 0 {"all": [{"not": {"prefix": {"subject": "front"}}}, {"not": {"exact": {"tenant": "acme"}}}]}"#,
    ];
    let scene = Scene::new().witness("witness", &[("load", &choose.join("; "))]);
    let host = scene.started();
    // The host's own events count, too.
    let unheard = host.event_totals().unheard;
    for (tenant, subject, matched) in
        [("", "front", 2), ("", "front-door", 1), ("", "back-door", 2), ("acme", "cat", 0), ("", "cat", 1)]
    {
        let emitted = about(&host, tenant, subject);
        assert_eq!((emitted.matched, emitted.queued), (matched, matched), "{subject} of {tenant:?}");
    }
    until("all are handled", || heard(&scene).len() == 6);
    let expected =
        ["front front", "doors front", "doors front-door", "doors back-door", "rest back-door", "rest cat"];
    assert_eq!(heard(&scene), expected);
    assert_eq!(host.event_totals().unheard, unheard + 1, "the cat of acme");
    let reports = host.subscriptions();
    let front = reports.iter().find(|report| &*report.name == "front").expect("it was made");
    assert_eq!(front.counters.matched, 1, "what is held back does not count");
    assert_eq!(front.filter.as_ref().map(Filter::as_str), Some(r#"{"exact":{"subject":"front"}}"#));
    // Who waits for answers gets none of those whose filters hold the event back.
    let event = Draft { subject: "front-door".into(), ..draft("w.door", "front-door") };
    let results = host.emit_sync("", event, Some(PATIENCE)).expect("nobody is in its way");
    let names: Vec<_> = results.iter().map(|result| &*result.subscription).collect();
    assert_eq!(names, ["doors"]);
}

#[test]
fn events_37_a_filter_that_is_wrong_is_refused_with_its_place() {
    let host = Scene::new().witness("witness", &[]).started();
    for (command, answer) in [
        (r#"choose w.a n 0 {"exact": {"subject": 7}}"#, "/exact/subject: is a number, not text: write \"7\""),
        (r#"choose w.a n 0 {"all": [{"not": {}}]}"#, "/all/0/not: has 0 members"),
        (r#"choose w.a n 0 {"sql": "x"}"#, "\"sql\", which is none of"),
        ("choose w.a n 0 {", "is not JSON"),
        ("durably start", "`options.start`: goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("durably start_at", "`options.start_at`: goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("durably ack_ms", "`options.ack_ms`: goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("durably backoff_ms", "`options.backoff_ms`: goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("durably max_deliveries", "`options.max_deliveries`: goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("durably in_flight", "`options.in_flight`: goes with PINTLE_SUBSCRIBE_DURABLE"),
    ] {
        let told = ask(&host, "", "witness", command).remove(0);
        let status = format!("{command} = {INVALID_ARGUMENT} ");
        assert!(told.starts_with(&status) && told.contains(answer), "{told} does not say {answer}");
    }
    assert!(host.subscriptions().is_empty());
    assert!(ask(&host, "", "witness", "durably none").remove(0).ends_with("= 0"));
}

#[test]
fn events_38_the_subscriptions_of_a_plugin_get_an_event_by_priority() {
    let choose = "choose w.> plain 0; choose w.* last -1000; choose w.door first 1000; choose w.> early 5; \
                  choose w.door refused 1001; choose w.door also-early 5; choose w.door refused -1001";
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    let told = ask(&host, "", "witness", choose);
    for refused in [&told[4], &told[6]] {
        let status = format!(" = {OUT_OF_RANGE} ");
        assert!(refused.contains(&status) && refused.contains("-1000 to 1000 are taken"), "{refused}");
    }
    for round in ["1", "2"] {
        assert_eq!(emit(&host, "", "w.door", round).queued, 5);
    }
    until("all are handled", || heard(&scene).len() == 10);
    let order = ["first", "early", "also-early", "plain", "last"];
    let expected: Vec<_> =
        ["1", "2"].iter().flat_map(|round| order.map(|name| format!("{name} {round}"))).collect();
    assert_eq!(heard(&scene), expected);
    let results = host.emit_sync("", draft("w.door", "3"), Some(PATIENCE)).expect("nobody is in its way");
    let names: Vec<_> = results.iter().map(|result| &*result.subscription).collect();
    assert_eq!(names, order, "answers come in the order of the subscriptions");
}

#[test]
fn events_37_events_38_the_application_filters_and_orders_its_own() {
    let host = Scene::new().host();
    let (tell, told) = mpsc::channel();
    for (pattern, priority, filter) in [
        ("w.>", 0, r#"{"prefix":{"subject":"front"}}"#),
        ("w.door", 10, r#"{"not":{"exact":{"subject":"cat"}}}"#),
    ] {
        let filter = Some(Filter::parse(filter).expect("it is a filter"));
        let options = SubscribeOptions { filter, priority, ..SubscribeOptions::default() };
        let tell = tell.clone();
        let handler = move |event: &pintle::events::Event| {
            let _ = tell.send(format!("{pattern} {}", event.subject));
        };
        host.subscribe_with(pattern, options, handler).expect("nobody is in its way");
    }
    for (subject, matched) in [("front", 2), ("cat", 0), ("back", 1)] {
        assert_eq!(about(&host, "", subject).matched, matched, "{subject}");
    }
    let heard: Vec<_> = (0..3).map(|_| told.recv_timeout(PATIENCE).expect("it is told")).collect();
    assert_eq!(heard, ["w.door front", "w.> front", "w.door back"]);
    let options = SubscribeOptions { priority: 1_001, ..SubscribeOptions::default() };
    let error = host.subscribe_with("w.far", options, |_| {}).expect_err("it is out of range");
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
}
