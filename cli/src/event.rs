//! Events on their way to and from a running host: as params of a request, and as a line for people.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use data_encoding::BASE64;
use pintle::{
    Error,
    events::{Draft, Event, from_json, to_json},
};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    print::{clock, printable},
    voice::push_printable,
};

/// A line of JSON as an event that an application may publish, and as the params of `emit`. The data travels as its bytes:
/// as a value its long numbers would be rounded and its members sorted.
pub(crate) fn request(line: &[u8]) -> Result<(Draft, Value), Error> {
    let draft = from_json(line)?;
    draft.topic.check_application_topic()?;
    let unreadable = |error: serde_json::Error| Error::argument("event", error.to_string());
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(line).map_err(unreadable)?;
    let mut event = Map::new();
    for (name, value) in members {
        if !["data", "data_base64"].contains(&&*name) {
            event.insert(name, serde_json::from_str(value.get()).map_err(unreadable)?);
        }
    }
    if !draft.content_type.is_empty() {
        event.insert("datacontenttype".into(), (&*draft.content_type).into());
    }
    if !draft.data.is_empty() {
        event.insert("data_base64".into(), BASE64.encode(&draft.data).into());
    }
    Ok((draft, event.into()))
}

/// An id that no other event of this source has: CloudEvents wants `source` and `id` together to be unique, and 128
/// random bits are.
pub(crate) fn new_id() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}

/// A CloudEvent that a host has given with its data in base64, with data that can be read where it can.
pub(crate) fn readable(event: &Value) -> String {
    let given = event.to_string();
    let Ok(Draft { id, source, topic, subject, content_type, key, tenant, time_ms, depth, data, extensions }) =
        from_json(given.as_bytes())
    else {
        // A later host may know more of events than this command.
        return given;
    };
    let (id, time_ms) = (id.unwrap_or_default(), time_ms.unwrap_or_default());
    to_json(&Event {
        id: id.into(),
        source,
        topic,
        subject,
        content_type,
        key,
        tenant,
        time_ms,
        depth,
        data,
        extensions,
    })
}

/// An event as a line for people: when, what, for whom, about what, and what it carries; of at most so many characters.
pub(crate) fn line(event: &Draft, most: Option<usize>) -> String {
    let mut line = clock(event.time_ms.unwrap_or_default());
    line.push(' ');
    line.push_str(event.topic.as_str());
    for (open, text, close) in [(" [", &*event.tenant, ']'), (" (", &*event.subject, ')')] {
        if !text.is_empty() {
            line.push_str(open);
            push_printable(&mut line, text);
            line.push(close);
        }
    }
    if !event.data.is_empty() {
        line.push_str("  ");
        match std::str::from_utf8(&event.data) {
            Ok(text) => line.push_str(&printable(text)),
            Err(_) => line.push_str(&format!("({} bytes)", event.data.len())),
        }
    }
    match most.and_then(|most| Some((most, line.char_indices().nth(most)?))) {
        Some((most, _)) => line.chars().take(most - 1).chain(['…']).collect(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(rest: &str) -> String {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b"{rest}}}"#)
    }

    #[test]
    fn an_event_is_one_line() {
        for (rest, most, expected) in [
            ("", None, "00:00:00.000Z a.b"),
            (
                r#","time":"2026-11-21T08:47:15.0926Z","tenant":"acme","subject":"door","data":{"b":1.50,"a":[]}"#,
                None,
                r#"08:47:15.092Z a.b [acme] (door)  {"b":1.50,"a":[]}"#,
            ),
            (
                r#","datacontenttype":"text/plain","data":"two\nlines""#,
                None,
                "00:00:00.000Z a.b  two\\nlines",
            ),
            (r#","data_base64":"gP8=""#, None, "00:00:00.000Z a.b  (2 bytes)"),
            (r#","data":"äöüß""#, Some(20), "00:00:00.000Z a.b  …"),
            (r#","data":"äöüß""#, Some(23), "00:00:00.000Z a.b  \"äö…"),
            (r#","data":"äöüß""#, Some(25), "00:00:00.000Z a.b  \"äöüß\""),
        ] {
            assert_eq!(line(&from_json(json(rest).as_bytes()).unwrap(), most), expected, "{rest}");
        }
    }

    #[test]
    fn data_that_came_in_base64_is_written_as_it_was() {
        for (given, expected) in [
            (
                r#","datacontenttype":"application/json","data_base64":"eyJ6IjoxMjM0NTY3ODkwMTIzNDU2Nzg5MCwiYSI6MS4xMH0=""#,
                r#""data":{"z":12345678901234567890,"a":1.10}}"#,
            ),
            (r#","datacontenttype":"text/plain","data_base64":"aGk=""#, r#""data":"hi"}"#),
            (r#","datacontenttype":"text/plain","data_base64":"gP8=""#, r#""data_base64":"gP8="}"#),
        ] {
            let event: Value = serde_json::from_str(&json(given)).unwrap();
            let written = readable(&event);
            assert!(written.ends_with(expected), "{written}");
            assert_eq!(
                from_json(written.as_bytes()).unwrap().data,
                from_json(json(given).as_bytes()).unwrap().data
            );
        }
        let odd = serde_json::json!({ "specversion": "2.0" });
        assert_eq!(readable(&odd), odd.to_string());
    }

    #[test]
    fn what_is_asked_for_is_the_event_of_the_line_to_the_byte() {
        for rest in [
            "",
            r#","data":{"z":12345678901234567890123,"a":1.10}"#,
            r#","data":null"#,
            r#","datacontenttype":"text/plain","data":"hi","time":"2026-11-21T08:47:15Z","more":true,"n":7"#,
            r#","data_base64":"gP8=","tenant":"t","subject":"s","partitionkey":"k""#,
        ] {
            let (draft, params) = request(json(rest).as_bytes()).unwrap();
            let travelled = from_json(params.to_string().as_bytes()).unwrap();
            assert_eq!(format!("{travelled:?}"), format!("{draft:?}"), "{rest}");
        }
    }
}
