//! What an event carries, in one line for a person.

use std::fmt;

use pintle::events::Event;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use crate::{
    print::{clock, size},
    voice::push_printable,
};

/// The most characters that are shown of an event's data.
const MOST: usize = 240;

/// The members of an object, in the order in which they were written.
pub(super) struct Members(pub(super) Vec<(String, Value)>);

impl Members {
    /// Of an event's data, if that is an object.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let json = event.content_type == "application/json" || event.content_type.ends_with("+json");
        json.then(|| serde_json::from_slice(&event.data).ok()).flatten()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name)?.1.as_str()
    }
}

/// An event as a line: when, what, for whom, and what it carries.
pub(in crate::run) fn line(event: &Event) -> String {
    let mut line = clock(event.time_ms);
    line.push(' ');
    line.push_str(event.topic.as_str());
    if !event.tenant.is_empty() {
        line.push_str(" [");
        push_printable(&mut line, &event.tenant);
        line.push(']');
    }
    let data = data(event);
    if !data.is_empty() {
        line.push_str("  ");
        line.push_str(&data);
    }
    line
}

/// What an event carries.
pub(super) fn data(event: &Event) -> String {
    if event.data.is_empty() {
        return String::new();
    }
    match Members::of(event) {
        Some(members) => flat(&members.0),
        None => match std::str::from_utf8(&event.data) {
            Ok(text) => printable(text),
            Err(_) => format!("({} bytes)", event.data.len()),
        },
    }
}

/// Members as `name value`, two spaces between them.
pub(super) fn flat(members: &[(String, Value)]) -> String {
    let members = members.iter().map(|(name, value)| match (name.strip_suffix("_bytes"), value.as_f64()) {
        (Some(name), Some(bytes)) => format!("{name} {}", size(bytes)),
        _ => match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        },
    });
    printable(&members.collect::<Vec<_>>().join("  "))
}

/// `text` without control characters, and not too long.
pub(super) fn printable(text: &str) -> String {
    let mut short = String::new();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => {
            push_printable(&mut short, &text[..end]);
            short.push('…');
        }
        None => push_printable(&mut short, text),
    }
    short
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(InOrder)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pintle::events::{Event, from_json};

    use super::*;

    pub(in crate::run::watch) fn event(rest: &str) -> Event {
        let draft = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"plugin.a.b"{rest}}}"#);
        let draft = from_json(draft.as_bytes()).unwrap();
        Event {
            id: draft.id.unwrap().into(),
            source: draft.source,
            topic: draft.topic,
            subject: draft.subject,
            content_type: draft.content_type,
            key: draft.key,
            tenant: draft.tenant,
            time_ms: draft.time_ms.unwrap_or(0),
            depth: 0,
            data: draft.data,
            extensions: draft.extensions,
        }
    }

    #[test]
    fn an_event_is_one_line() {
        for (rest, expected) in [
            ("", "00:00:00.000Z plugin.a.b"),
            (
                r#","time":"2026-11-21T08:47:15.0926Z","tenant":"acme","data":{"busy":12.5,"a":"b"}"#,
                "08:47:15.092Z plugin.a.b [acme]  busy 12.5  a b",
            ),
            (r#","time":"1969-12-31T23:59:59.999Z","data":[1,2]"#, "23:59:59.999Z plugin.a.b  [1,2]"),
            (
                r#","data":{"total_bytes":16781312000,"used_bytes":512,"free_bytes":1024,"x_bytes":"?"}"#,
                "00:00:00.000Z plugin.a.b  total 15.6 GiB  used 512 B  free 1.0 KiB  x_bytes ?",
            ),
            (r#","data":{"n":{"m":[null,true]}}"#, r#"00:00:00.000Z plugin.a.b  n {"m":[null,true]}"#),
            (r#","data_base64":"gP8=","datacontenttype":"image/x""#, "00:00:00.000Z plugin.a.b  (2 bytes)"),
            (
                r#","tenant":"t","datacontenttype":"text/plain","data":"two\nlines \u001b[2J""#,
                "00:00:00.000Z plugin.a.b [t]  two\\nlines \\u{1b}[2J",
            ),
        ] {
            assert_eq!(line(&event(rest)), expected, "{rest}");
        }
    }

    #[test]
    fn what_is_long_is_cut_short() {
        let long = line(&event(&format!(r#","data":{{"text":"{}"}}"#, "ä".repeat(1_000))));
        assert_eq!(long.chars().count(), "00:00:00.000Z plugin.a.b  ".len() + MOST + 1);
        assert!(long.ends_with("ä…"));
    }
}
