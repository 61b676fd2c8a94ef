//! Events: what a publisher gives (`Draft`) and what subscribers get (`Event`), with the limits of each attribute.

use std::{borrow::Cow, fmt, sync::Arc};

use super::topic::Topic;
use crate::error::{Error, ErrorKind, Result};

/// The most bytes of payload.
pub(crate) const MAX_DATA_BYTES: usize = 1 << 20;

/// How long a chain of events that lead to one another may be.
pub(crate) const MAX_DEPTH: u32 = 64;

/// The content type of a publisher that says nothing else.
pub(crate) const JSON: &str = "application/json";

pub(super) const MAX_ID_BYTES: usize = 256;
pub(super) const MAX_SOURCE_BYTES: usize = 512;
pub(super) const MAX_SUBJECT_BYTES: usize = 512;
pub(super) const MAX_CONTENT_TYPE_BYTES: usize = 128;
pub(super) const MAX_KEY_BYTES: usize = 512;
pub(super) const MAX_TENANT_BYTES: usize = 128;
const MAX_EXTENSIONS: usize = 64;
const MAX_EXTENSION_NAME_BYTES: usize = 64;
pub(super) const MAX_EXTENSION_BYTES: usize = 4_096;

/// Attributes that have a field of their own: an extension of that name would be written twice.
const OWN_ATTRIBUTES: [&str; 10] = [
    "data",
    "datacontenttype",
    "id",
    "partitionkey",
    "source",
    "specversion",
    "subject",
    "tenant",
    "time",
    "type",
];

/// 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z: the times that RFC 3339 can write.
pub(super) const TIMES: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// An event before it is published: the engine adds what is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// CloudEvents `id`, 1 to 256 bytes; the engine makes one if there is none.
    pub id: Option<String>,
    /// CloudEvents `source`, 1 to 512 bytes: `/plugins/<id>` for a plugin.
    pub source: Arc<str>,
    /// CloudEvents `type`.
    pub topic: Topic,
    /// CloudEvents `subject`, at most 512 bytes; empty: none.
    pub subject: String,
    /// CloudEvents `datacontenttype`, at most 128 bytes; empty: nothing is known of the payload.
    pub content_type: Cow<'static, str>,
    /// The ordering key, at most 512 bytes; empty: none.
    pub key: String,
    /// On whose behalf, at most 128 bytes; empty: the system scope.
    pub tenant: Arc<str>,
    /// CloudEvents `time`, in milliseconds since 1970-01-01 UTC; the engine takes the current time if there is none.
    pub time_ms: Option<i64>,
    /// How many events led to this one.
    pub depth: u32,
    /// The payload, at most 1 MiB.
    pub data: Arc<[u8]>,
    /// CloudEvents attributes that mean nothing here, kept for whoever knows them; each name once.
    pub extensions: Vec<(String, Extension)>,
}

/// The value of an attribute that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// A CloudEvents String, or what is written as one: Binary, URI, Timestamp.
    Text(String),
    /// A CloudEvents Integer.
    Integer(i32),
    /// A CloudEvents Boolean.
    Boolean(bool),
}

impl Draft {
    /// JSON from `source` about `topic`, in the system scope, led to by no other event.
    pub fn new(topic: Topic, source: impl Into<Arc<str>>, data: impl Into<Arc<[u8]>>) -> Self {
        Self {
            id: None,
            source: source.into(),
            topic,
            subject: String::new(),
            content_type: Cow::Borrowed(JSON),
            key: String::new(),
            tenant: Arc::default(),
            time_ms: None,
            depth: 0,
            data: data.into(),
            extensions: Vec::new(),
        }
    }

    /// Holds the draft against all limits.
    pub(crate) fn check(&self) -> Result<()> {
        if self.depth > MAX_DEPTH {
            let (topic, depth) = (self.topic.clone(), self.depth);
            return Err(Error::lazy(ErrorKind::Reentrant, move || {
                format!("an event \"{topic}\" would be number {depth} in a chain of events that led to one another, at most {MAX_DEPTH} are allowed")
            })
            .mend("this is likely a circle: look which subscriber of it emits what led to it"));
        }
        if self.data.len() > MAX_DATA_BYTES {
            let bytes = self.data.len();
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!("the data of an event has {bytes} bytes, at most {MAX_DATA_BYTES} are allowed")
            })
            .mend("store it elsewhere and emit where it is"));
        }
        if let Some(id) = &self.id {
            text("id", id, 1, MAX_ID_BYTES)?;
        }
        text("source", &self.source, 1, MAX_SOURCE_BYTES)?;
        text("subject", &self.subject, 0, MAX_SUBJECT_BYTES)?;
        text("content_type", &self.content_type, 0, MAX_CONTENT_TYPE_BYTES)?;
        text("key", &self.key, 0, MAX_KEY_BYTES)?;
        text("tenant", &self.tenant, 0, MAX_TENANT_BYTES)?;
        if self.time_ms.is_some_and(|time| !TIMES.contains(&time)) {
            return Err(Error::argument("time", "is outside of the years 0000 to 9999"));
        }
        if self.extensions.len() > MAX_EXTENSIONS {
            let problem =
                format!("are {} attributes, at most {MAX_EXTENSIONS} are allowed", self.extensions.len());
            return Err(Error::argument("extensions", problem));
        }
        for (at, (name, value)) in self.extensions.iter().enumerate() {
            if let Some(problem) = name_fault(name) {
                return Err(Error::argument("extensions", problem));
            }
            if OWN_ATTRIBUTES.contains(&name.as_str()) {
                return Err(Error::argument("extensions", format!("`{name}` has a field of its own")));
            }
            // Who reads the event would see one of them, and not the same one everywhere.
            if self.extensions[..at].iter().any(|(before, _)| before == name) {
                return Err(Error::argument("extensions", format!("`{name}` is there twice")));
            }
            if let Extension::Text(value) = value
                && let Some(problem) = fault(value, 0, MAX_EXTENSION_BYTES)
            {
                return Err(Error::argument("extensions", format!("`{name}` {problem}")));
            }
        }
        Ok(())
    }

    /// The event, with what was missing: `id` is asked only if it is needed.
    pub(super) fn stamp(self, id: impl FnOnce() -> Arc<str>, now_ms: i64) -> Event {
        Event {
            id: self.id.map_or_else(id, Arc::from),
            source: self.source,
            topic: self.topic,
            subject: self.subject,
            content_type: self.content_type,
            key: self.key,
            tenant: self.tenant,
            time_ms: self.time_ms.unwrap_or(now_ms),
            depth: self.depth,
            data: self.data,
            extensions: self.extensions,
        }
    }
}

/// An event that was published. All subscribers share one.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// CloudEvents `id`: unique together with `source`.
    pub id: Arc<str>,
    /// CloudEvents `source`.
    pub source: Arc<str>,
    /// CloudEvents `type`.
    pub topic: Topic,
    /// CloudEvents `subject`; empty if there is none.
    pub subject: String,
    /// CloudEvents `datacontenttype`; empty if there is none.
    pub content_type: Cow<'static, str>,
    /// The ordering key; empty if there is none.
    pub key: String,
    /// On whose behalf it was published; empty in the system scope.
    pub tenant: Arc<str>,
    /// CloudEvents `time`, in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// How many events led to this one.
    pub depth: u32,
    /// The payload.
    pub data: Arc<[u8]>,
    /// CloudEvents attributes that mean nothing here.
    pub extensions: Vec<(String, Extension)>,
}

/// Without the payload, which is no concern of a log.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("topic", &self.topic)
            .field("tenant", &self.tenant)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

fn text(name: &'static str, text: &str, least: usize, most: usize) -> Result<()> {
    match fault(text, least, most) {
        Some(problem) => Err(Error::argument(name, problem)),
        None => Ok(()),
    }
}

/// Whether CloudEvents allows an attribute of this name.
pub(super) fn is_attribute_name(name: &str) -> bool {
    (1..=MAX_EXTENSION_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// What is wrong with the text of an attribute. CloudEvents allows no control characters in any of them.
pub(super) fn fault(text: &str, least: usize, most: usize) -> Option<String> {
    if text.len() < least {
        return Some("is empty".into());
    }
    if text.len() > most {
        return Some(format!("has {} bytes, at most {most} are allowed", text.len()));
    }
    // Bytes first: nearly all text here is ASCII, and this loop is on the path of every event.
    if text.bytes().any(|b| !(0x20..0x7f).contains(&b)) {
        let (at, c) = text.char_indices().find(|(_, c)| c.is_control())?;
        return Some(format!("has the control character U+{:04X} at byte {at}", u32::from(c)));
    }
    None
}

/// What is wrong with the name of an extension attribute.
pub(super) fn name_fault(name: &str) -> Option<String> {
    (!is_attribute_name(name)).then(|| {
        format!(
            "{:?} is no name of an attribute, those are 1 to {MAX_EXTENSION_NAME_BYTES} of a-z and 0-9",
            Shortened(name)
        )
    })
}

/// Text of strangers in an error: not longer than somebody reads, quoted for Debug.
pub(super) struct Shortened<'a>(pub(super) &'a str);

impl fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(40) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Without quotes, for JSON, which has its own; line ends become spaces.
impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.0.chars().enumerate() {
            match c {
                _ if at == 40 => return f.write_str("…"),
                c if c.is_control() => f.write_str(" ")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft::new(Topic::parse("a.b").unwrap(), "/test", *b"{}")
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let full = Draft {
            id: Some("i".repeat(256)),
            source: "s".repeat(512).into(),
            subject: "ü".repeat(256),
            content_type: "c".repeat(128).into(),
            key: "k".repeat(512),
            tenant: "t".repeat(128).into(),
            time_ms: Some(*TIMES.end()),
            depth: 64,
            data: vec![0; 1 << 20].into(),
            extensions: (0..64).map(|at| (format!("x{at}"), Extension::Integer(1))).collect(),
            ..draft()
        };
        full.check().unwrap();
    }

    #[test]
    fn what_is_over_a_limit_is_refused_by_name() {
        use ErrorKind::{InvalidArgument, Reentrant, TooLarge};
        type Case = (fn(&mut Draft), ErrorKind, &'static str);
        let cases: [Case; 16] = [
            (|d| d.id = Some(String::new()), InvalidArgument, "argument `id`: is empty"),
            (|d| d.id = Some("i".repeat(257)), InvalidArgument, "`id`: has 257 bytes, at most 256"),
            (|d| d.source = "".into(), InvalidArgument, "`source`: is empty"),
            (|d| d.source = "s".repeat(513).into(), InvalidArgument, "`source`: has 513 bytes, at most 512"),
            (|d| d.subject = "s".repeat(513), InvalidArgument, "`subject`: has 513 bytes, at most 512"),
            (
                |d| d.subject = "a\nb".into(),
                InvalidArgument,
                "`subject`: has the control character U+000A at byte 1",
            ),
            (
                |d| d.key = "ü\u{85}".into(),
                InvalidArgument,
                "`key`: has the control character U+0085 at byte 2",
            ),
            (|d| d.key = "k".repeat(513), InvalidArgument, "`key`: has 513 bytes, at most 512"),
            (
                |d| d.content_type = "c".repeat(129).into(),
                InvalidArgument,
                "`content_type`: has 129 bytes, at most 128",
            ),
            (|d| d.tenant = "t".repeat(129).into(), InvalidArgument, "`tenant`: has 129 bytes, at most 128"),
            (|d| d.time_ms = Some(i64::MAX), InvalidArgument, "`time`: is outside of the years"),
            (
                |d| d.data = vec![0; (1 << 20) + 1].into(),
                TooLarge,
                "has 1048577 bytes, at most 1048576 are allowed",
            ),
            (|d| d.depth = 65, Reentrant, "an event \"a.b\" would be number 65 in a chain"),
            (
                |d| d.extensions.push(("Foo".into(), Extension::Boolean(true))),
                InvalidArgument,
                "\"Foo\" is no name of an attribute",
            ),
            (
                |d| d.extensions.push(("type".into(), Extension::Boolean(true))),
                InvalidArgument,
                "`type` has a field of its own",
            ),
            (
                |d| {
                    let twice = ["trace", "other", "trace"].map(|name| (name.into(), Extension::Integer(1)));
                    d.extensions.extend(twice);
                },
                InvalidArgument,
                "argument `extensions`: `trace` is there twice",
            ),
        ];
        for (spoil, kind, part) in cases {
            let mut draft = draft();
            spoil(&mut draft);
            let error = draft.check().unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error} does not say {part}");
        }
        let circle = Draft { depth: 65, ..draft() }.check().unwrap_err().to_string();
        assert!(circle.contains("likely a circle"), "{circle}");
    }

    #[test]
    fn only_what_is_missing_is_filled_in() {
        let event = draft().stamp(|| "made".into(), 7);
        assert_eq!((&*event.id, event.time_ms), ("made", 7));
        let given = Draft { id: Some("mine".into()), time_ms: Some(0), ..draft() };
        let event = given.stamp(|| panic!("an id was given"), 7);
        assert_eq!((&*event.id, event.time_ms), ("mine", 0));
    }
}
