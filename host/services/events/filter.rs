//! Filters: which events of its topics a subscription is for, by their attributes.
//!
//! The six dialects that the CloudEvents Subscriptions API 1.0 asks of everybody, in their JSON form: `exact`, `prefix`
//! and `suffix` compare attributes, `all`, `any` and `not` combine filters. A filter is read once, with all limits, and
//! then held against each event without a lock and without memory of its own.

use std::{fmt, io::Write as _, sync::Arc};

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Event, Extension,
    cloud::compact,
    event::{Shortened, is_attribute_name},
};
use crate::error::{Error, Result};

/// The most bytes of a filter's JSON.
pub(crate) const MAX_FILTER_BYTES: usize = 4_096;

const MAX_DEPTH: usize = 8;
const MAX_FILTERS: usize = 64;
const MAX_VALUE_BYTES: usize = 512;

/// What an event must be like. Cheap to clone.
#[derive(Clone)]
pub struct Filter(Arc<Parsed>);

struct Parsed {
    /// As it was written, without the white space between tokens.
    text: String,
    root: Node,
}

#[derive(Debug, PartialEq, Eq)]
enum Node {
    /// Each of these attributes is there and like this value.
    Attributes(Likeness, Vec<(Attribute, String)>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

/// How a value must be like the one of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Exact,
    Prefix,
    Suffix,
}

#[derive(Debug, PartialEq, Eq)]
enum Attribute {
    Type,
    Id,
    Source,
    Subject,
    ContentType,
    Key,
    Tenant,
    Extension(String),
}

impl Filter {
    /// Reads a filter: one JSON object with one member, as in `{"prefix": {"subject": "door-"}}`.
    ///
    /// INVALID_ARGUMENT says what is wrong and where, as a JSON pointer.
    pub fn parse(json: &str) -> Result<Self> {
        Self::of_argument("filter", json)
    }

    /// Reads a filter that its sender knows by this name.
    pub(crate) fn of_argument(name: &'static str, json: &str) -> Result<Self> {
        let mut reader = Reader { name, place: String::new(), filters: 0 };
        if json.len() > MAX_FILTER_BYTES {
            let problem = format!("has {} bytes, at most {MAX_FILTER_BYTES} are allowed", json.len());
            return Err(reader.wrong(problem));
        }
        let raw: &RawValue =
            serde_json::from_str(json).map_err(|error| reader.wrong(format!("is not JSON: {error}")))?;
        let root = reader.filter(raw, 1)?;
        let text = compact(raw.get()).unwrap_or_else(|| raw.get().to_owned());
        Ok(Self(Arc::new(Parsed { text, root })))
    }

    /// Whether an event is like this.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.0.root.matches(event)
    }

    /// The JSON, without the white space between tokens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.0.root == other.0.root
    }
}

impl Eq for Filter {}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({})", self.as_str())
    }
}

impl Node {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Attributes(likeness, wanted) => wanted.iter().all(|(attribute, value)| {
                let mut digits = [0; LONGEST_NUMBER];
                attribute.of(event, &mut digits).is_some_and(|found| likeness.holds(found, value.as_bytes()))
            }),
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
        }
    }
}

impl Likeness {
    fn holds(self, found: &[u8], value: &[u8]) -> bool {
        match self {
            Self::Exact => found == value,
            Self::Prefix => found.starts_with(value),
            Self::Suffix => found.ends_with(value),
        }
    }
}

/// `-2147483648`
const LONGEST_NUMBER: usize = 11;

impl Attribute {
    fn named(name: &str) -> Self {
        match name {
            "type" => Self::Type,
            "id" => Self::Id,
            "source" => Self::Source,
            "subject" => Self::Subject,
            "datacontenttype" => Self::ContentType,
            "partitionkey" => Self::Key,
            "tenant" => Self::Tenant,
            other => Self::Extension(other.to_owned()),
        }
    }

    /// Its text, if the event has it; `digits` is where that of a number is written.
    fn of<'a>(&self, event: &'a Event, digits: &'a mut [u8; LONGEST_NUMBER]) -> Option<&'a [u8]> {
        let text = match self {
            Self::Type => event.topic.as_str(),
            Self::Id => &event.id,
            Self::Source => &event.source,
            Self::Subject => &event.subject,
            Self::ContentType => &event.content_type,
            Self::Key => &event.key,
            Self::Tenant => &event.tenant,
            Self::Extension(name) => {
                return match &event.extensions.iter().find(|(other, _)| other == name)?.1 {
                    Extension::Text(text) => Some(text.as_bytes()),
                    Extension::Boolean(true) => Some(b"true"),
                    Extension::Boolean(false) => Some(b"false"),
                    Extension::Integer(number) => Some(decimal(*number, digits)),
                };
            }
        };
        Some(text.as_bytes()).filter(|text| !text.is_empty())
    }
}

fn decimal(number: i32, digits: &mut [u8; LONGEST_NUMBER]) -> &[u8] {
    let mut rest = &mut digits[..];
    // It has room for every number of 32 bits.
    let _ = write!(rest, "{number}");
    let left = rest.len();
    &digits[..LONGEST_NUMBER - left]
}

/// Reads filters and knows where it is.
struct Reader {
    /// What the argument is called.
    name: &'static str,
    /// A JSON pointer. Names that would need escapes are refused before they get into it.
    place: String,
    /// How many filters there were so far.
    filters: usize,
}

impl Reader {
    fn filter(&mut self, raw: &RawValue, depth: usize) -> Result<Node> {
        self.filters += 1;
        if self.filters > MAX_FILTERS {
            return Err(self.wrong(format!("is one filter too many, at most {MAX_FILTERS} are allowed")));
        }
        if depth > MAX_DEPTH {
            return Err(self.wrong(format!("is nested too deep, at most {MAX_DEPTH} levels are allowed")));
        }
        let members = self.object(raw, "a filter with one of exact, prefix, suffix, all, any and not")?;
        let [(dialect, value)] = &members[..] else {
            let problem =
                format!("has {} members, a filter has exactly one: put several into `all`", members.len());
            return Err(self.wrong(problem));
        };
        let known = match dialect.as_str() {
            "exact" => |reader: &mut Self, raw, _| reader.attributes(raw, Likeness::Exact),
            "prefix" => |reader: &mut Self, raw, _| reader.attributes(raw, Likeness::Prefix),
            "suffix" => |reader: &mut Self, raw, _| reader.attributes(raw, Likeness::Suffix),
            "all" => |reader: &mut Self, raw, depth| reader.filters(raw, depth).map(Node::All),
            "any" => |reader: &mut Self, raw, depth| reader.filters(raw, depth).map(Node::Any),
            "not" => |reader: &mut Self, raw, depth| Ok(Node::Not(Box::new(reader.filter(raw, depth + 1)?))),
            other => {
                let problem = format!(
                    "has {:?}, which is none of exact, prefix, suffix, all, any and not",
                    Shortened(other)
                );
                return Err(self.wrong(problem));
            }
        };
        self.inside(dialect, |reader| known(reader, value, depth))
    }

    fn filters(&mut self, raw: &RawValue, depth: usize) -> Result<Vec<Node>> {
        if !raw.get().starts_with('[') {
            return Err(self.wrong(format!("is {}, not an array of filters", kind(raw))));
        }
        let filters: Vec<&RawValue> = serde_json::from_str(raw.get())
            .map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        if filters.is_empty() {
            return Err(self.wrong("is empty: give it at least one filter".into()));
        }
        let each = filters.into_iter().enumerate();
        each.map(|(at, raw)| self.inside(&at.to_string(), |reader| reader.filter(raw, depth + 1))).collect()
    }

    fn attributes(&mut self, raw: &RawValue, likeness: Likeness) -> Result<Node> {
        let members = self.object(raw, "an object of attributes and their values")?;
        if members.is_empty() {
            return Err(self.wrong("is empty: give it at least one attribute".into()));
        }
        let read = |(name, raw): (String, &RawValue)| {
            self.check_name(&name)?;
            let value = self.inside(&name, |reader| reader.value(raw))?;
            Ok((Attribute::named(&name), value))
        };
        Ok(Node::Attributes(likeness, members.into_iter().map(read).collect::<Result<_>>()?))
    }

    fn check_name(&self, name: &str) -> Result<()> {
        if !is_attribute_name(name) {
            let name = Shortened(name);
            return Err(self.wrong(format!(
                "has {name:?}, which is no name of an attribute: those are 1 to 64 of a-z and 0-9"
            )));
        }
        if matches!(name, "data" | "specversion" | "time") {
            return Err(self.wrong(format!(
                "has `{name}`, which cannot be asked for: take `type`, `id`, `source`, `subject`, `datacontenttype`, `partitionkey`, `tenant` or an extension"
            )));
        }
        Ok(())
    }

    fn value(&self, raw: &RawValue) -> Result<String> {
        if !raw.get().starts_with('"') {
            let problem = match kind(raw) {
                // They are compared as text.
                scalar @ ("a number" | "a boolean") => {
                    format!("is {scalar}, not text: write \"{}\"", Shortened(raw.get()))
                }
                other => format!("is {other}, not text"),
            };
            return Err(self.wrong(problem));
        }
        let value: String = serde_json::from_str(raw.get())
            .map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        match value.len() {
            0 => Err(self.wrong("is empty: an attribute that is not there is `not` a `prefix`".into())),
            1..=MAX_VALUE_BYTES => Ok(value),
            over => Err(self.wrong(format!("has {over} bytes, at most {MAX_VALUE_BYTES} are allowed"))),
        }
    }

    fn object<'a>(&self, raw: &'a RawValue, wanted: &str) -> Result<Vec<(String, &'a RawValue)>> {
        if !raw.get().starts_with('{') {
            return Err(self.wrong(format!("is {}, not {wanted}", kind(raw))));
        }
        let members = serde_json::Deserializer::from_str(raw.get())
            .deserialize_map(MembersVisitor)
            .map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        let twice = |(at, (name, _)): &(usize, &(String, _))| members[..*at].iter().any(|(n, _)| n == name);
        match members.iter().enumerate().find(twice) {
            Some((_, (name, _))) => Err(self.wrong(format!("has {:?} twice", Shortened(name)))),
            None => Ok(members),
        }
    }

    /// Goes one step down for as long as `read` runs.
    fn inside<R>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let above = self.place.len();
        self.place.push('/');
        self.place.push_str(step);
        let found = read(self)?;
        self.place.truncate(above);
        Ok(found)
    }

    fn wrong(&self, problem: String) -> Error {
        match self.place.as_str() {
            "" => Error::argument(self.name, problem),
            place => Error::argument(self.name, format!("at {place}: {problem}")),
        }
    }
}

/// What a JSON value is, from its first byte.
fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes() {
        [b'{', ..] => "an object",
        [b'[', ..] => "an array",
        [b'"', ..] => "text",
        [b't' | b'f', ..] => "a boolean",
        [b'n', ..] => "null",
        _ => "a number",
    }
}

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Vec<(String, &'a RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        services::events::{Draft, Topic},
    };

    fn filter(json: &str) -> Filter {
        Filter::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    fn event() -> Event {
        let draft = Draft {
            subject: "door-7".into(),
            key: "k1".into(),
            tenant: "acme".into(),
            extensions: vec![
                ("count".into(), Extension::Integer(-42)),
                ("least".into(), Extension::Integer(i32::MIN)),
                ("flag".into(), Extension::Boolean(true)),
                ("off".into(), Extension::Boolean(false)),
                ("note".into(), Extension::Text("grün".into())),
                ("blank".into(), Extension::Text(String::new())),
            ],
            ..Draft::new(Topic::parse("door.opened").expect("it is a topic"), "/doors/front", *b"{}")
        };
        draft.stamp(|| "id-1".into(), 0)
    }

    /// An event with nothing but what every event has.
    fn bare() -> Event {
        let topic = Topic::parse("a.b").expect("it is a topic");
        Draft { content_type: "".into(), ..Draft::new(topic, "/s", *b"") }.stamp(|| "x".into(), 0)
    }

    #[test]
    fn events_37_attributes_are_compared_whole_from_the_front_and_from_the_end() {
        for (attribute, value, exact, prefix, suffix) in [
            ("subject", "door-7", true, true, true),
            ("subject", "door-", false, true, false),
            ("subject", "-7", false, false, true),
            ("subject", "oor", false, false, false),
            ("subject", "Door-7", false, false, false),
            ("subject", "door-77", false, false, false),
            ("type", "door.opened", true, true, true),
            ("type", "door", false, true, false),
            ("id", "id-1", true, true, true),
            ("source", "/doors", false, true, false),
            ("datacontenttype", "application/json", true, true, true),
            ("datacontenttype", "json", false, false, true),
            ("partitionkey", "k", false, true, false),
            ("tenant", "acme", true, true, true),
            ("count", "-42", true, true, true),
            ("count", "-4", false, true, false),
            ("count", "2", false, false, true),
            ("least", "-2147483648", true, true, true),
            ("flag", "true", true, true, true),
            ("flag", "false", false, false, false),
            ("off", "false", true, true, true),
            ("note", "grün", true, true, true),
            ("note", "gr", false, true, false),
            ("blank", "x", false, false, false),
            ("missing", "x", false, false, false),
        ] {
            for (dialect, expected) in [("exact", exact), ("prefix", prefix), ("suffix", suffix)] {
                let json = format!(r#"{{"{dialect}":{{"{attribute}":"{value}"}}}}"#);
                assert_eq!(filter(&json).matches(&event()), expected, "{json}");
                let negated = format!(r#"{{"not":{json}}}"#);
                assert_eq!(filter(&negated).matches(&event()), !expected, "{negated}");
            }
        }
    }

    #[test]
    fn events_37_filters_combine() {
        for (json, expected) in [
            (r#"{"exact":{"subject":"door-7","tenant":"acme"}}"#, true),
            (r#"{"exact":{"subject":"door-7","tenant":"other"}}"#, false),
            (r#"{"all":[{"prefix":{"subject":"door-"}},{"suffix":{"subject":"7"}}]}"#, true),
            (r#"{"all":[{"prefix":{"subject":"door-"}},{"suffix":{"subject":"8"}}]}"#, false),
            (r#"{"any":[{"exact":{"subject":"x"}},{"exact":{"subject":"door-7"}}]}"#, true),
            (r#"{"any":[{"exact":{"subject":"x"}},{"exact":{"subject":"y"}}]}"#, false),
            (r#"{"not":{"any":[{"exact":{"subject":"x"}},{"not":{"exact":{"tenant":"acme"}}}]}}"#, true),
            (r#" { "exact" : { "subject" : "door\u002d7" } } "#, true),
        ] {
            assert_eq!(filter(json).matches(&event()), expected, "{json}");
        }
    }

    #[test]
    fn events_37_what_an_event_does_not_have_fulfils_nothing() {
        for attribute in ["subject", "datacontenttype", "partitionkey", "tenant", "note"] {
            for dialect in ["exact", "prefix", "suffix"] {
                let json = format!(r#"{{"{dialect}":{{"{attribute}":"x"}}}}"#);
                assert!(!filter(&json).matches(&bare()), "{json}");
            }
        }
    }

    #[test]
    fn events_37_what_is_wrong_is_refused_with_its_place() {
        let deep = |levels: usize| {
            let inner = r#"{"exact":{"a":"b"}}"#;
            format!("{}{inner}{}", r#"{"not":"#.repeat(levels - 1), "}".repeat(levels - 1))
        };
        let many = |filters: usize| {
            let one = r#"{"exact":{"a":"b"}}"#;
            format!(r#"{{"any":[{}]}}"#, vec![one; filters - 1].join(","))
        };
        let long = |bytes: usize| format!(r#"{{"exact":{{"a":"{}"}}}}"#, "v".repeat(bytes));
        filter(&deep(8));
        filter(&many(64));
        filter(&long(512));
        filter(&format!("{}{}", long(512), " ".repeat(MAX_FILTER_BYTES - long(512).len())));
        filter(&format!(r#"{{"exact":{{"{}":"x"}}}}"#, "a".repeat(64)));

        for (json, part) in [
            ("", "is not JSON: EOF"),
            (r#"{"exact":{"a":"b"}"#, "is not JSON: EOF while parsing an object"),
            (r#"{"exact":{"a":"b"}} x"#, "is not JSON: trailing characters"),
            ("[]", "`filter`: is an array, not a filter with one of exact"),
            ("null", "is null, not a filter"),
            ("{}", "has 0 members, a filter has exactly one"),
            (r#"{"exact":{"a":"b"},"not":{}}"#, "has 2 members, a filter has exactly one"),
            (r#"{"exact":{"a":"b"},"exact":{"a":"c"}}"#, r#"has "exact" twice"#),
            (r#"{"sql":"a = 'b'"}"#, r#"has "sql", which is none of exact, prefix"#),
            (r#"{"all":{}}"#, "at /all: is an object, not an array"),
            (r#"{"any":[]}"#, "at /any: is empty: give it at least one filter"),
            (r#"{"not":[]}"#, "at /not: is an array, not a filter"),
            (r#"{"all":[{"exact":{"a":"b"}},{"not":7}]}"#, "at /all/1/not: is a number, not a filter"),
            (r#"{"suffix":{}}"#, "at /suffix: is empty: give it at least one attribute"),
            (r#"{"exact":"a"}"#, "at /exact: is text, not an object of attributes"),
            (r#"{"exact":{"a":5}}"#, r#"at /exact/a: is a number, not text: write "5""#),
            (r#"{"exact":{"a":true}}"#, r#"at /exact/a: is a boolean, not text: write "true""#),
            (r#"{"exact":{"a":null}}"#, "at /exact/a: is null, not text"),
            (r#"{"exact":{"a":""}}"#, "at /exact/a: is empty"),
            (&long(513), "at /exact/a: has 513 bytes, at most 512"),
            (r#"{"exact":{"a":"b","a":"b"}}"#, r#"at /exact: has "a" twice"#),
            (r#"{"exact":{"":"b"}}"#, r#"at /exact: has "", which is no name"#),
            (r#"{"exact":{"Subject":"b"}}"#, r#"at /exact: has "Subject", which is no name of an attribute"#),
            (r#"{"exact":{"content_type":"b"}}"#, "which is no name of an attribute"),
            (&format!(r#"{{"exact":{{"{}":"x"}}}}"#, "a".repeat(65)), "which is no name of an attribute"),
            (r#"{"not":{"exact":{"time":"b"}}}"#, "at /not/exact: has `time`, which cannot be asked for"),
            (r#"{"exact":{"a":"\ud800"}}"#, "at /exact/a: cannot be read"),
            (&deep(9), "at /not/not/not/not/not/not/not/not: is nested too deep, at most 8"),
            (&many(65), "at /any/63: is one filter too many, at most 64"),
            (&format!("{}{}", long(1), " ".repeat(MAX_FILTER_BYTES)), "bytes, at most 4096 are allowed"),
            (&"[".repeat(MAX_FILTER_BYTES), "is not JSON"),
        ] {
            let error = Filter::parse(json).expect_err(json);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let error = error.to_string();
            assert!(error.starts_with("argument `filter`: "), "{error}");
            assert!(error.contains(part), "{json} gave {error:?}, not {part:?}");
        }
    }

    #[test]
    fn a_filter_shows_what_was_written_and_equals_its_like() {
        let one = filter("{ \"exact\" :\n{ \"a\": \"b c\" } }");
        assert_eq!(one.to_string(), r#"{"exact":{"a":"b c"}}"#);
        assert_eq!(filter(one.as_str()), one);
        assert_eq!(filter(r#"{"exact":{"a":"b\u0020c"}}"#), one);
        assert_ne!(filter(r#"{"prefix":{"a":"b c"}}"#), one);
    }
}
