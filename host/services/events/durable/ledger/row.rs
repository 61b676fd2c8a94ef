//! An event as the columns of a table, and back.

use std::{borrow::Cow, sync::Arc};

use rusqlite::Row;
use serde_json::Value;

use super::super::log::Logged;
use crate::services::events::{Event, Extension, Topic, event::JSON};

/// The columns of an event, in the order in which [`event`] reads them. The payload comes last: what is looked at without it is not
/// read from other pages then.
macro_rules! columns {
    () => {
        "tenant, id, source, type, subject, content_type, key, time_ms, depth, extensions, data"
    };
}
pub(super) use columns;

/// As a statement selects a [`Logged`] from the log.
macro_rules! select {
    () => {
        concat!("SELECT seq, logged_ms, only_for, ", columns!(), " FROM events_log ")
    };
}
pub(super) use select;

/// None: the row is damaged.
pub(super) fn logged(row: &Row<'_>) -> Option<Logged> {
    Some(Logged {
        sequence: row.get(0).ok()?,
        logged_ms: row.get(1).ok()?,
        only: row.get(2).ok()?,
        event: event(row, 3)?.into(),
    })
}

/// The event in the columns from `first` on. None: they are damaged.
pub(super) fn event(row: &Row<'_>, first: usize) -> Option<Event> {
    let column = |at: usize| row.get_ref(first + at).ok();
    let text = |at: usize| column(at)?.as_str().ok();
    Some(Event {
        tenant: text(0)?.into(),
        id: text(1)?.into(),
        source: text(2)?.into(),
        topic: Topic::parse(text(3)?).ok()?,
        subject: text(4)?.to_owned(),
        content_type: match text(5)? {
            JSON => Cow::Borrowed(JSON),
            other => Cow::Owned(other.to_owned()),
        },
        key: text(6)?.to_owned(),
        time_ms: row.get(first + 7).ok()?,
        depth: row.get(first + 8).ok()?,
        extensions: match column(9)?.as_str_or_null().ok()? {
            None => Vec::new(),
            Some(pairs) => read_extensions(pairs)?,
        },
        data: Arc::from(column(10)?.as_blob().ok()?),
    })
}

/// The extensions as a JSON array of pairs, in their order: an object would have neither that nor a name that comes twice. None if
/// there are none.
pub(super) fn extensions(event: &Event) -> Option<String> {
    if event.extensions.is_empty() {
        return None;
    }
    let pair = |(name, extension): &(String, Extension)| {
        let value = match extension {
            Extension::Text(text) => text.as_str().into(),
            Extension::Integer(integer) => (*integer).into(),
            Extension::Boolean(boolean) => (*boolean).into(),
        };
        Value::Array(vec![name.as_str().into(), value])
    };
    Some(Value::Array(event.extensions.iter().map(pair).collect()).to_string())
}

fn read_extensions(pairs: &str) -> Option<Vec<(String, Extension)>> {
    let pairs: Vec<(String, Value)> = serde_json::from_str(pairs).ok()?;
    let pair = |(name, value): (String, Value)| {
        let extension = match value {
            Value::String(text) => Extension::Text(text),
            Value::Bool(boolean) => Extension::Boolean(boolean),
            Value::Number(number) => Extension::Integer(number.as_i64()?.try_into().ok()?),
            _ => return None,
        };
        Some((name, extension))
    };
    pairs.into_iter().map(pair).collect()
}
