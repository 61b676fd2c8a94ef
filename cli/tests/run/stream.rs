//! Events in, events out: all of them, in order, whatever the input looks like.

use std::collections::BTreeMap;

use pintle_test_support::{compile_c, samples};
use serde_json::{Value, json};

use super::place::{Place, event};

const TO_THE_END: [&str; 4] = ["--plugins", "plugins", "--until-idle", "--events"];

fn to_the_end<'a>(more: &[&'a str]) -> Vec<&'a str> {
    TO_THE_END.iter().copied().chain(more.iter().copied()).collect()
}

fn hellos() -> [std::path::PathBuf; 2] {
    [samples().c("hello"), samples().rust("hello")]
}

/// What came out, without what is different each time.
fn events(stdout: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut event: Value = serde_json::from_str(line).expect("each line is JSON");
        let event_fields = event.as_object_mut().expect("each line is an object");
        assert!(event_fields.remove("id").is_some_and(|id| id.is_string()));
        assert!(event_fields.remove("time").is_some_and(|time| time.is_string()));
        event
    };
    stdout.lines().map(line).collect()
}

/// The events of one source, in order.
fn of<'a>(events: &'a [Value], source: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["source"] == source).collect()
}

#[test]
fn what_goes_in_comes_out_of_a_plugin_in_c_and_of_one_in_rust() {
    let place = Place::with(&hellos());
    let line = r#"{"specversion":"1.0","id":"3","source":"/t","type":"greet.all","tenant":"acme","data":{"name":"c"}}"#;
    let text = event("1", "greet.you", r#"{"name":"a"}"#)
        + &event("2", "ignored.event", "{}")
        + &event("2", "greet.me", r#"{ "name" : "b" , "n" : 12345678901234567890 }"#)
        + line;
    place.write("in", text);
    let ended = place.run(&to_the_end(&["in"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let made = |plugin: &str, data: Value, tenant: Option<&str>| {
        let mut event = json!({
            "specversion": "1.0",
            "source": format!("/plugins/{plugin}"),
            "type": format!("plugin.{plugin}.greeted"),
            "datacontenttype": "application/json",
            "data": data,
        });
        if let Some(tenant) = tenant {
            event["tenant"] = tenant.into();
        }
        event
    };
    let found = events(&ended.stdout);
    assert_eq!(found.len(), 6, "{}", ended.stdout);
    assert_eq!(
        of(&found, "/plugins/hello"),
        [
            &made("hello", json!({"name": "a"}), None),
            &made("hello", json!({"name": "b", "n": 12_345_678_901_234_567_890_u64}), None),
            &made("hello", json!({"name": "c"}), Some("acme")),
        ]
    );
    assert_eq!(
        of(&found, "/plugins/hello-rust"),
        [
            &made("hello-rust", json!({"text": "Hello, a!"}), None),
            &made("hello-rust", json!({"text": "Hello, b!"}), None),
            &made("hello-rust", json!({"text": "Hello, c!"}), Some("acme")),
        ]
    );
}

#[test]
fn the_log_is_on_stderr_and_only_events_are_on_stdout() {
    let place = Place::with(&[samples().c("hello")]);
    place.write("in", event("1", "greet.you", "{}"));
    let ended = place.run(&to_the_end(&["in"]));
    assert_eq!(events(&ended.stdout).len(), 1);
    let log: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect("the log is JSON")).collect();
    assert!(
        log.iter().any(|record| record["message"] == "greeting" && record["plugin"] == "hello"),
        "{log:?}"
    );
}

#[test]
fn a_line_that_is_no_event_is_told_with_its_number_and_the_stream_goes_on() {
    let place = Place::with(&[samples().c("hello")]);
    let good = event("1", "greet.you", "{}");
    let mut text = b"\xef\xbb\xbf".to_vec();
    let reserved = ["plugin.hello.greeted", "pintle.started"].map(|topic| event("1", topic, "{}"));
    let wrong: [(&[u8], &str); 6] = [
        (b"nonsense", "the CloudEvent cannot be read: expected ident at column 2"),
        (b"{\"id\":\"\xff\"}", "the CloudEvent is not UTF-8 from byte 7 on"),
        (b"{}", "the CloudEvent has no `specversion`"),
        (reserved[0].trim_end().as_bytes(), "plugin."),
        (reserved[1].trim_end().as_bytes(), "pintle."),
        (&[b'x'; (2 << 20) + 1], "a line of more than 2097152 bytes is no event"),
    ];
    // Empty lines are none, and a line may end as on Windows.
    for (line, _) in wrong {
        text.extend_from_slice(good.trim_end().as_bytes());
        text.extend_from_slice(b"\r\n \t\n\n");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    // The last line has no end.
    text.extend_from_slice(good.trim_end().as_bytes());
    place.write("in", text);
    let ended = place.run(&to_the_end(&["in"]));
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert_eq!(events(&ended.stdout).len(), wrong.len() + 1);
    let said = ended.said();
    assert_eq!(said.len(), wrong.len() + 1, "{said:?}");
    for (at, (_, reason)) in wrong.iter().enumerate() {
        let place = format!("in:{}: ", 4 * at + 4);
        assert!(
            said[at].starts_with(&place) && said[at].contains(reason),
            "{} is not {place}{reason}",
            said[at]
        );
    }
    assert_eq!(said[wrong.len()], "6 input lines were refused, see above");
}

#[test]
fn events_come_from_stdin_as_well() {
    let place = Place::with(&[samples().c("hello")]);
    let mut running = place.start(&to_the_end(&["-"]));
    running.feed(&event("1", "greet.you", r#"{"n":1}"#));
    // It comes at once, not at the end.
    assert_eq!(events(&running.line())[0]["data"], json!({"n": 1}));
    running.feed("oops\n");
    running.feed(&event("2", "greet.you", r#"{"n":2}"#));
    let ended = running.ended();
    assert_eq!(ended.code, Some(4));
    assert_eq!(events(&ended.stdout)[0]["data"], json!({"n": 2}));
    assert!(ended.said()[0].starts_with("standard input:2: "), "{}", ended.stderr);
}

#[test]
fn a_hundred_thousand_events_go_through_and_none_is_lost() {
    const EVENTS: usize = 100_000;
    let place = Place::with(&hellos());
    place.write("pintle.toml", "[log]\nlevel = \"warn\"\n");
    let line = |number: usize| event(&number.to_string(), "greet.you", &format!(r#"{{"name":"{number}"}}"#));
    place.write("in", (0..EVENTS).map(line).collect::<String>());
    let ended = place.run(&to_the_end(&["in"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for event in ended.stdout.lines() {
        let event: Value = serde_json::from_str(event).expect("each line is JSON");
        let next = numbers.entry(event["type"].as_str().expect("it has one").to_owned()).or_default();
        let expected = match event["type"].as_str() {
            Some("plugin.hello.greeted") => json!({"name": next.to_string()}),
            _ => json!({"text": format!("Hello, {next}!")}),
        };
        assert_eq!(event["data"], expected);
        *next += 1;
    }
    let expected = ["plugin.hello-rust.greeted", "plugin.hello.greeted"].map(|of| (of.to_owned(), EVENTS));
    assert_eq!(numbers, BTreeMap::from(expected));
}

/// Subscribes with a queue for CAPACITY events, and emits COPIES for each.
const NARROW: &str = r#"
#include <pintle/plugin.h>

PINTLE_MANIFEST({
  "id": "narrow", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["greet.>", "plugin.hello.>"], "publish": ["copy"] } }
});

static const pintle_host *host;

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_status status = PINTLE_OK;
  int copy;
  (void)user, (void)reply;
  for (copy = 0; copy < COPIES && status == PINTLE_OK; copy++)
    status = host->events->emit(ctx, PINTLE_STR("copy"), event->data, NULL);
  return status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_subscribe_options options;
  pintle_status status;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.capacity = CAPACITY;
  *state = NULL;
  host = given;
  status = host->events->subscribe(ctx, PINTLE_STR("greet.>"), on_event, NULL, NULL, &options, NULL);
  if (status == PINTLE_OK)
    status = host->events->subscribe(ctx, PINTLE_STR("plugin.hello.>"), on_event, NULL, NULL, &options, NULL);
  return status;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("narrow"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
"#;

#[test]
fn no_event_is_lost_however_short_the_queues_and_however_many_come_of_one() {
    for (capacity, copies, lane, events) in
        [(4, 3, 4_096, 2_000), (1_024, 1, 2, 500), (1_024, 5_000, 4_096, 3)]
    {
        let flags = [format!("-DCAPACITY={capacity}"), format!("-DCOPIES={copies}")];
        let narrow = compile_c("narrow", NARROW, &flags.each_ref().map(String::as_str));
        let place = Place::with(&[narrow, samples().c("hello")]);
        place.write("pintle.toml", format!("[log]\nlevel = \"warn\"\n[queues]\nlane = {lane}\n"));
        place.write("in", (0..events).map(|n| event("1", "greet.you", &n.to_string())).collect::<String>());
        let ended = place.run(&to_the_end(&["in"]));
        let case = format!("{capacity} {copies} {lane} {events}");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{case}");
        // Each event goes to both, and what hello makes of it to the narrow one again.
        assert_eq!(ended.stdout.lines().count(), events * (1 + 2 * copies), "{case}");
    }
}
