//! The methods about events: what became of them, and dead letters.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal,
    methods::{Answer, given},
};
use crate::{
    Host,
    error::{Error, ErrorKind},
    events::{
        ConsumerStats, Counters, DeadLetter, DeadLetters, DeadLettersOf, Event, EventLogStats, LiveConsumer,
        Policy, to_json,
    },
    stats::{DropStats, DurableStats, EventStats},
};

/// The most dead letters that can be named in a request.
const MOST_NUMBERS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    plugin: Option<String>,
    tenant: Option<String>,
    name: Option<String>,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: u32,
}

/// Some dead letters by their numbers, or all of some subscriptions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    numbers: Option<Vec<u64>>,
    #[serde(default)]
    all: bool,
    plugin: Option<String>,
    tenant: Option<String>,
    name: Option<String>,
}

/// `subscriptions`.
pub(super) fn subscriptions(host: &Host) -> Value {
    let owners = host.owners();
    let shown = host.subscriptions().into_iter().map(|report| {
        let counters = report.counters;
        let mut shown = json!({
            "of": owners.get(&report.owner).map(|owner| &**owner),
            "tenant": report.tenant.as_deref(),
            "name": &*report.name,
            "pattern": report.pattern.as_str(),
            "capacity": report.capacity,
            "policy": match report.policy {
                Policy::DropOldest => "drop-oldest",
                Policy::DropNew => "drop-new",
                Policy::Wait => "wait",
            },
            "drops": DropStats::from(counters.dropped),
        });
        add(&mut shown, counted(&counters));
        shown
    });
    json!({ "subscriptions": shown.collect::<Vec<_>>() })
}

fn counted(counters: &Counters) -> Value {
    json!({
        "matched": counters.matched,
        "waiting": counters.waiting,
        "running": counters.running,
        "delivered": counters.delivered,
        "failed": counters.failed,
        "dropped": counters.dropped.total(),
    })
}

fn add(to: &mut Value, members: Value) {
    if let (Value::Object(to), Value::Object(members)) = (to, members) {
        to.extend(members);
    }
}

/// `events.stats`.
pub(super) fn stats(host: &Host) -> Answer {
    let mut shown = subscriptions(host);
    shown["totals"] = given(&EventStats::from(host.event_totals()))?;
    shown["durable"] = given(&DurableStats::from(host.durable_totals()))?;
    // What is in queues can be told where the disk fails, and of a host that has no log.
    add(
        &mut shown,
        match host.event_log() {
            Ok(log) => of_log(&log),
            Err(error) if error.kind() == ErrorKind::Unsupported => without_log(None),
            Err(error) => without_log(Some(&error)),
        },
    );
    Ok(shown)
}

fn without_log(problem: Option<&Error>) -> Value {
    json!({ "log": null, "problem": problem.map(ToString::to_string), "consumers": [] })
}

fn of_log(EventLogStats { events, bytes, first, last, consumers }: &EventLogStats) -> Value {
    json!({
        "log": { "events": events, "bytes": bytes, "first": first, "last": last },
        "problem": null,
        "consumers": consumers.iter().map(consumer).collect::<Vec<_>>(),
    })
}

fn consumer(stats: &ConsumerStats) -> Value {
    let ConsumerStats { plugin, tenant, name, floor, behind, retries, dead, live } = stats;
    json!({
        "plugin": plugin, "tenant": tenant, "name": name, "floor": floor, "behind": behind, "retries": retries,
        "dead": dead,
        "live": live.as_ref().map(|LiveConsumer { pattern, counters, failures, in_flight }| {
            let mut live = json!({ "pattern": pattern.as_str(), "failures": failures, "in_flight": in_flight });
            add(&mut live, counted(counters));
            live
        }),
    })
}

/// `events.dead`.
pub(super) fn dead(host: &Host, asked: Listing) -> Answer {
    let Listing { plugin, tenant, name, after, limit } = asked;
    let DeadLetters { letters, next } =
        host.dead_letters(&DeadLettersOf { plugin, tenant, name }, after, limit)?;
    let letters: Vec<Value> = letters.iter().map(letter).collect::<Result<_, Refusal>>()?;
    Ok(json!({ "letters": letters, "next": next }))
}

fn letter(letter: &DeadLetter) -> Answer {
    let DeadLetter { number, plugin, tenant, name, event, sequence, attempts, reason, died_ms } = letter;
    Ok(json!({
        "number": number, "plugin": plugin, "tenant": tenant, "name": name, "sequence": sequence,
        "attempts": attempts, "reason": reason, "died_ms": died_ms, "event": cloud_event(event)?,
    }))
}

/// The event as a CloudEvent whose data is in base64: as a value its long numbers would be rounded and its members sorted.
fn cloud_event(event: &Event) -> Answer {
    let bare = Event { data: [].into(), ..event.clone() };
    let mut shown: Value = serde_json::from_str(&to_json(&bare)).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("an event cannot be said in JSON: {error}"))
    })?;
    if !event.data.is_empty() {
        shown["data_base64"] = data_encoding::BASE64.encode(&event.data).into();
    }
    Ok(shown)
}

/// `events.replay`.
pub(super) fn replay(host: &Host, which: Which) -> Answer {
    let count = match which.parted()? {
        Parted::Numbers(numbers) => host.replay_dead_letters(&numbers)?,
        Parted::All(of) => host.replay_all_dead_letters(&of)?,
    };
    Ok(json!({ "count": count }))
}

/// `events.drop`.
pub(super) fn drop(host: &Host, which: Which) -> Answer {
    let count = match which.parted()? {
        Parted::Numbers(numbers) => host.drop_dead_letters(&numbers)?,
        Parted::All(of) => host.drop_all_dead_letters(&of)?,
    };
    Ok(json!({ "count": count }))
}

#[derive(Debug, PartialEq)]
enum Parted {
    Numbers(Vec<u64>),
    All(DeadLettersOf),
}

impl Which {
    fn parted(self) -> Result<Parted, Refusal> {
        let Self { numbers, all, plugin, tenant, name } = self;
        let of = DeadLettersOf { plugin, tenant, name };
        match (numbers, all) {
            (Some(numbers), false) if of == DeadLettersOf::default() => match numbers.len() {
                0..=MOST_NUMBERS => Ok(Parted::Numbers(numbers)),
                many => Err(Refusal::Params(format!("`numbers`: {many}, at most {MOST_NUMBERS} are taken"))),
            },
            (None, true) => Ok(Parted::All(of)),
            // Nobody is to lose all that there is by a member that was forgotten.
            _ => Err(Refusal::Params(
                "give `numbers` alone, or `all`: true, perhaps with `plugin`, `tenant` and `name`".into(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::from_json;

    fn event(rest: &str) -> Event {
        let line = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b"{rest}}}"#);
        let draft = from_json(line.as_bytes()).expect("it is one");
        Event {
            id: draft.id.expect("it has one").into(),
            source: draft.source,
            topic: draft.topic,
            subject: draft.subject,
            content_type: draft.content_type,
            key: draft.key,
            tenant: draft.tenant,
            time_ms: draft.time_ms.unwrap_or(7),
            depth: 0,
            data: draft.data,
            extensions: draft.extensions,
        }
    }

    #[test]
    fn an_event_that_is_shown_reads_back_to_the_byte() {
        for rest in [
            "",
            r#","data":{"z":12345678901234567890123,"a":1.10}"#,
            r#","datacontenttype":"text/plain","data":"hi","subject":"s","tenant":"t","partitionkey":"k","n":7"#,
            r#","data_base64":"gP8=""#,
            r#","data_base64":"""#,
        ] {
            let event = event(rest);
            let Ok(shown) = cloud_event(&event) else { panic!("{rest}") };
            let back = from_json(shown.to_string().as_bytes()).expect("it is a CloudEvent");
            assert_eq!((&back.data, &back.content_type), (&event.data, &event.content_type), "{rest}");
            assert_eq!(
                (
                    back.id.as_deref(),
                    &*back.subject,
                    &*back.tenant,
                    &*back.key,
                    back.time_ms,
                    &back.extensions
                ),
                (
                    Some("1"),
                    &*event.subject,
                    &*event.tenant,
                    &*event.key,
                    Some(event.time_ms),
                    &event.extensions
                )
            );
        }
    }

    #[test]
    fn all_is_only_what_was_called_so() {
        let parted = |params: Value| {
            let which: Which = serde_json::from_value(params).expect("these are its members");
            which.parted().ok()
        };
        let of = |plugin: Option<&str>| DeadLettersOf {
            plugin: plugin.map(str::to_owned),
            ..DeadLettersOf::default()
        };
        for (params, expected) in [
            (json!({ "numbers": [3, 4] }), Some(Parted::Numbers(vec![3, 4]))),
            (json!({ "numbers": vec![1; 1_000] }), Some(Parted::Numbers(vec![1; 1_000]))),
            (json!({ "all": true }), Some(Parted::All(of(None)))),
            (json!({ "all": true, "plugin": "p" }), Some(Parted::All(of(Some("p"))))),
            (json!({}), None),
            (json!({ "plugin": "p" }), None),
            (json!({ "all": false, "plugin": "p" }), None),
            (json!({ "numbers": [1], "all": true }), None),
            (json!({ "numbers": [1], "plugin": "p" }), None),
            (json!({ "numbers": vec![1; 1_001] }), None),
        ] {
            assert_eq!(parted(params.clone()), expected, "{params}");
        }
    }

    #[test]
    fn a_log_that_fails_is_told_and_one_that_is_not_there_is_not() {
        assert_eq!(without_log(None), json!({ "log": null, "problem": null, "consumers": [] }));
        let error = Error::new(ErrorKind::Unavailable, "the disk is full");
        assert_eq!(without_log(Some(&error))["problem"], "the disk is full");
    }
}
