//! CloudEvents 1.0, in and out: here in their JSON form (structured mode), one event a line; [`binary`] has the other form.
//! What both have in common is [`Attributes`].
//!
//! Two extension attributes mean something here: `tenant` is on whose behalf, `partitionkey` (of the CloudEvents
//! partitioning extension) is the ordering key. All others are kept and written out again.
//!
//! JSON data passes as text, never as numbers and maps, so that nobody's long integers are rounded and nobody's
//! members are sorted; only the white space between tokens is dropped, which may have line ends in it.

mod binary;

use std::{borrow::Cow, fmt, sync::Arc};

use chrono::{DateTime, SecondsFormat};
use data_encoding::BASE64;
use serde::{
    Deserializer as _,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

pub use self::binary::{from_binary, to_binary};
use super::{
    Draft, Event, Extension, Topic,
    event::{
        JSON, MAX_CONTENT_TYPE_BYTES, MAX_ID_BYTES, MAX_KEY_BYTES, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES,
        MAX_TENANT_BYTES, Shortened, TIMES, fault,
    },
};
use crate::error::{Error, ErrorKind, Result};

/// The longest line that is read.
pub(crate) const MAX_LINE_BYTES: usize = 2 << 20;

/// How deep JSON data may be nested: what common parsers take by default.
const MAX_NESTING: usize = 128;

/// More than the attributes of the specification and as many extensions as an event may have.
const MAX_MEMBERS: usize = 100;

/// Reads one event. Its topic may be a reserved one: whether the sender may use it
/// ([`Topic::check_application_topic`]) is for the caller to ask.
pub fn from_json(line: &[u8]) -> Result<Draft> {
    if line.len() > MAX_LINE_BYTES {
        let problem = format!("a CloudEvent of {} bytes, at most {MAX_LINE_BYTES} are read", line.len());
        return Err(Error::new(ErrorKind::TooLarge, problem));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        malformed(format!("the CloudEvent is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    let mut members = Members::read(text)?;
    let mut draft = members.draft()?;
    let content_type = members.text("datacontenttype", MAX_CONTENT_TYPE_BYTES)?;
    (draft.content_type, draft.data) = members.data(content_type)?;
    draft.extensions = members.extensions()?;
    draft.check()?;
    Ok(draft)
}

/// Writes an event as one line, without the line end.
#[must_use]
pub fn to_json(event: &Event) -> String {
    let mut line = String::with_capacity(256 + event.data.len());
    line.push_str("{\"specversion\":\"1.0\"");
    member(&mut line, "id", &event.id);
    member(&mut line, "source", &event.source);
    member(&mut line, "type", event.topic.as_str());
    member(&mut line, "time", &time_text(event.time_ms));
    for (name, value) in [
        ("subject", event.subject.as_str()),
        ("datacontenttype", &event.content_type),
        ("tenant", &event.tenant),
        ("partitionkey", &event.key),
    ] {
        if !value.is_empty() {
            member(&mut line, name, value);
        }
    }
    for (name, value) in &event.extensions {
        match value {
            Extension::Text(text) => member(&mut line, name, text),
            Extension::Integer(number) => raw_member(&mut line, name, &number.to_string()),
            Extension::Boolean(yes) => raw_member(&mut line, name, if *yes { "true" } else { "false" }),
        }
    }
    match Payload::of(event) {
        Payload::Nothing => {}
        Payload::Json(json) => raw_member(&mut line, "data", &json),
        Payload::Text(text) => member(&mut line, "data", text),
        Payload::Bytes(bytes) => member(&mut line, "data_base64", &BASE64.encode(bytes)),
    }
    line.push('}');
    line
}

/// The attributes of an event that comes in: members of an object, or headers.
trait Attributes {
    /// Takes out the attribute, as text; None if it is not there.
    fn take(&mut self, name: &str) -> Result<Option<String>>;

    /// What the sender calls the attribute.
    fn called(name: &str) -> String;

    fn invalid(name: &str, problem: impl fmt::Display) -> Error {
        malformed(format!("{} of the CloudEvent {problem}", Self::called(name)))
    }

    /// All that is known of an event but for its data, the type of that, and its extensions.
    fn draft(&mut self) -> Result<Draft> {
        let version = self.needed("specversion", usize::MAX)?;
        if version != "1.0" {
            let problem = format!("is {:?}, only \"1.0\" is understood", Shortened(&version));
            return Err(Self::invalid("specversion", problem));
        }
        let id = self.needed("id", MAX_ID_BYTES)?;
        let source = self.needed("source", MAX_SOURCE_BYTES)?;
        let topic = self.needed("type", usize::MAX)?;
        let topic = Topic::parse(&topic).map_err(|error| {
            // The parser calls it `topic`; the sender knows it as `type`.
            let error = error.to_string();
            Self::invalid("type", error.strip_prefix("argument `topic`: ").unwrap_or(&error))
        })?;

        let mut draft = Draft::new(topic, source, Vec::new());
        draft.id = Some(id);
        draft.time_ms = self.time()?;
        draft.subject = self.text("subject", MAX_SUBJECT_BYTES)?.unwrap_or_default();
        draft.tenant = self.text("tenant", MAX_TENANT_BYTES)?.unwrap_or_default().into();
        draft.key = self.text("partitionkey", MAX_KEY_BYTES)?.unwrap_or_default();
        Ok(draft)
    }

    fn needed(&mut self, name: &str, most: usize) -> Result<String> {
        self.text(name, most)?
            .ok_or_else(|| malformed(format!("the CloudEvent has no {}", Self::called(name))))
    }

    fn text(&mut self, name: &str, most: usize) -> Result<Option<String>> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        if text.is_empty() {
            return Err(Self::invalid(name, "is empty: give it a value or leave it out"));
        }
        match fault(&text, 1, most) {
            Some(problem) => Err(Self::invalid(name, problem)),
            None => Ok(Some(text)),
        }
    }

    fn time(&mut self) -> Result<Option<i64>> {
        let Some(text) = self.text("time", usize::MAX)? else { return Ok(None) };
        let time = DateTime::parse_from_rfc3339(&text).map_err(|error| {
            let problem = format!("is {:?}, which is not a time of RFC 3339: {error}", Shortened(&text));
            Self::invalid("time", problem)
        })?;
        let time = time.timestamp_millis();
        if !TIMES.contains(&time) {
            return Err(Self::invalid("time", "is outside of the years 0000 to 9999 in UTC"));
        }
        Ok(Some(time))
    }
}

/// The members of the object that a line is, each still in its own text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(MembersVisitor)
            .and_then(|members| json.end().map(|()| members))
            .map_err(|error| malformed(format!("the CloudEvent cannot be read: {error}")))
    }

    fn remove(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The payload and its content type, which is JSON for data that is and says nothing.
    fn data(&mut self, content_type: Option<String>) -> Result<(Cow<'static, str>, Arc<[u8]>)> {
        let bytes = match (self.remove("data"), self.remove("data_base64")) {
            (Some(_), Some(_)) => {
                return Err(malformed("the CloudEvent has `data` and `data_base64`: only one is allowed"));
            }
            (None, None) => Vec::new(),
            (None, Some(raw)) => {
                let text = string("data_base64", raw)?;
                let bytes = BASE64
                    .decode(text.as_bytes())
                    .map_err(|error| invalid("data_base64", format!("is not base64: {error}")))?;
                return Ok((content_type.map_or(Cow::Borrowed(""), Cow::Owned), bytes.into()));
            }
            (Some(raw), None)
                if content_type.as_deref().is_none_or(is_json) || !raw.get().starts_with('"') =>
            {
                compact(raw.get())
                    .ok_or_else(|| {
                        invalid(
                            "data",
                            format!("is nested too deep, at most {MAX_NESTING} levels are allowed"),
                        )
                    })?
                    .into_bytes()
            }
            (Some(raw), None) => string("data", raw)?.into_bytes(),
        };
        Ok((content_type.map_or(Cow::Borrowed(JSON), Cow::Owned), bytes.into()))
    }

    /// What is left. Names and lengths are checked with the draft.
    fn extensions(self) -> Result<Vec<(String, Extension)>> {
        let given = self.0.into_iter().filter(|(_, raw)| raw.get() != "null");
        let read = |(name, raw): (String, &RawValue)| {
            let value = match raw.get() {
                "true" => Extension::Boolean(true),
                "false" => Extension::Boolean(false),
                text if text.starts_with('"') => Extension::Text(string(&name, raw)?),
                text => Extension::Integer(serde_json::from_str(text).map_err(|_| {
                    let problem =
                        "is neither text nor a boolean nor an integer of 32 bits: put it into `data`";
                    invalid(&name, problem)
                })?),
            };
            Ok((name, value))
        };
        let mut extensions = given.map(read).collect::<Result<Vec<_>>>()?;
        // Taking out the others has mixed them up.
        extensions.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(extensions)
    }
}

impl Attributes for Members<'_> {
    /// Null means the same as nothing.
    fn take(&mut self, name: &str) -> Result<Option<String>> {
        let raw = self.remove(name).filter(|raw| raw.get() != "null");
        raw.map(|raw| string(name, raw)).transpose()
    }

    fn called(name: &str) -> String {
        format!("`{name}`")
    }
}

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, &'a RawValue)> = Vec::with_capacity(12);
        while let Some(name) = map.next_key::<String>()? {
            if members.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format_args!("{:?} is there twice", Shortened(&name))));
            }
            if members.len() == MAX_MEMBERS {
                return Err(A::Error::custom(format_args!("it has more than {MAX_MEMBERS} attributes")));
            }
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// How a payload is written.
enum Payload<'a> {
    Nothing,
    Json(String),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// The most readable form that reads back as the same bytes (but for white space between the tokens of JSON).
    fn of(event: &'a Event) -> Self {
        let bytes = &event.data[..];
        if bytes.is_empty() && !event.content_type.is_empty() {
            return Self::Nothing;
        }
        // Data without a content type would be read back as JSON from any member but `data_base64`, and so would no data.
        let text = std::str::from_utf8(bytes).ok().filter(|_| !event.content_type.is_empty());
        match text {
            Some(text) if is_json(&event.content_type) => serde_json::from_str::<&RawValue>(text)
                .ok()
                .and_then(|raw| compact(raw.get()))
                .map_or(Self::Bytes(bytes), Self::Json),
            Some(text) => Self::Text(text),
            None => Self::Bytes(bytes),
        }
    }
}

/// Whether a content type says that data is JSON: subtype `json`, or one that ends with `+json`.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Valid JSON without the white space between its tokens; None if it is nested too deep.
pub(super) fn compact(json: &str) -> Option<String> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped, mut depth) = (false, false, 0_usize);
    for byte in json.bytes() {
        if in_string {
            (in_string, escaped) = match byte {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
        } else {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => continue,
                b'"' => in_string = true,
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_NESTING {
                return None;
            }
        }
        out.push(byte);
    }
    Some(String::from_utf8(out).expect("only ASCII was left out of what was UTF-8"))
}

fn string(name: &str, raw: &RawValue) -> Result<String> {
    if !raw.get().starts_with('"') {
        return Err(invalid(name, format!("is {}, not text", Shortened(raw.get()))));
    }
    serde_json::from_str(raw.get()).map_err(|error| invalid(name, format!("is not text: {error}")))
}

fn time_text(unix_ms: i64) -> String {
    let shown = unix_ms.clamp(*TIMES.start(), *TIMES.end());
    DateTime::from_timestamp_millis(shown)
        .expect("chrono knows the years 0000 to 9999")
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn member(line: &mut String, name: &str, text: &str) {
    let quoted = serde_json::to_string(text).expect("every text is a JSON string");
    raw_member(line, name, &quoted);
}

fn raw_member(line: &mut String, name: &str, json: &str) {
    // Names of attributes need no escapes.
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
    line.push_str(json);
}

fn malformed(what: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
}

fn invalid(attribute: &str, problem: impl fmt::Display) -> Error {
    Members::invalid(attribute, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"a.b""#;

    fn with(rest: &str) -> Result<Draft> {
        from_json(format!("{LEAST}{rest}}}").as_bytes())
    }

    #[test]
    fn events_24_what_is_given_is_read() {
        let draft = with(
            r#","subject":"s","time":"2026-11-21T08:00:00.1239+01:00","datacontenttype":"text/plain",
               "data":"gr\u00fc\n","tenant":"acme","partitionkey":"k","zz":-5,"aa":"x","flag":true,"gone":null"#,
        )
        .unwrap();
        assert_eq!(draft.id.as_deref(), Some("1"));
        assert_eq!((&*draft.source, draft.topic.as_str()), ("/s", "a.b"));
        assert_eq!(draft.time_ms, Some(1_795_244_400_123));
        assert_eq!((&*draft.subject, &*draft.content_type), ("s", "text/plain"));
        assert_eq!((&*draft.tenant, &*draft.key), ("acme", "k"));
        assert_eq!(&*draft.data, "grü\n".as_bytes());
        let extensions = [
            ("aa".into(), Extension::Text("x".into())),
            ("flag".into(), Extension::Boolean(true)),
            ("zz".into(), Extension::Integer(-5)),
        ];
        assert_eq!(draft.extensions, extensions);
    }

    #[test]
    fn data_becomes_the_bytes_that_its_content_type_means() {
        for (rest, content_type, bytes) in [
            ("", JSON, ""),
            (r#","data":null"#, JSON, "null"),
            (r#","data":"text""#, JSON, r#""text""#),
            (
                r#","data": { "b" : [ 1.10 , 12345678901234567890123 ], "a\" b" : " x " }"#,
                JSON,
                r#"{"b":[1.10,12345678901234567890123],"a\" b":" x "}"#,
            ),
            (
                r#","datacontenttype":"application/geo+json; v=1","data":"x""#,
                "application/geo+json; v=1",
                r#""x""#,
            ),
            (r#","datacontenttype":"Text/JSON","data":"x""#, "Text/JSON", r#""x""#),
            (r#","datacontenttype":"text/plain","data":"x""#, "text/plain", "x"),
            (r#","datacontenttype":"text/plain","data":[1, 2]"#, "text/plain", "[1,2]"),
            (r#","data_base64":"aGk=""#, "", "hi"),
            (r#","data_base64":"""#, "", ""),
            (r#","datacontenttype":"image/png","data_base64":"aGk=""#, "image/png", "hi"),
        ] {
            let draft = with(rest).unwrap();
            assert_eq!(
                (&*draft.content_type, std::str::from_utf8(&draft.data)),
                (content_type, Ok(bytes)),
                "{rest}"
            );
        }
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_event() {
        for (rest, written) in [
            ("", r#","time":"2026-11-21T07:00:00.007Z","datacontenttype":"application/json"}"#),
            (r#","data":{"n":1e400,"s":"\u2028\ud800"}"#, r#","data":{"n":1e400,"s":"\u2028\ud800"}}"#),
            (r#","data":[null]"#, r#","data":[null]}"#),
            (
                r#","datacontenttype":"text/plain","data":"\"\\\u0001\u2028""#,
                "\"data\":\"\\\"\\\\\\u0001\u{2028}\"}",
            ),
            (
                r#","datacontenttype":"application/json","data_base64":"eyAiYSI6CiAxIH0=""#,
                r#","data":{"a":1}}"#,
            ),
            (
                r#","datacontenttype":"application/json","data_base64":"e30gIQ==""#,
                r#","data_base64":"e30gIQ=="}"#,
            ),
            (r#","datacontenttype":"image/png","data_base64":"iVD/""#, r#","data_base64":"iVD/"}"#),
            (r#","data_base64":"aGk=""#, r#","data_base64":"aGk="}"#),
            (r#","data_base64":"""#, r#","data_base64":""}"#),
            (
                r#","subject":"sü","tenant":"t","partitionkey":"k","x":"","dataschema":"http://x","n":-1,"b":false"#,
                r#""subject":"sü","datacontenttype":"application/json","tenant":"t","partitionkey":"k","b":false,"dataschema":"http://x","n":-1,"x":""}"#,
            ),
        ] {
            let event = with(rest).unwrap().stamp(Arc::default, 1_795_244_400_007);
            let line = to_json(&event);
            assert!(
                line.starts_with(r#"{"specversion":"1.0","id":"1","source":"/s","type":"a.b","time":"#),
                "{line}"
            );
            assert!(line.ends_with(written), "{line} does not end with {written}");
            assert!(!line.contains(['\n', '\r']), "{line}");
            let back = from_json(line.as_bytes()).unwrap().stamp(Arc::default, 0);
            if !rest.contains("eyAiYSI6CiAxIH0=") {
                assert_eq!(back.data, event.data, "{line}");
            }
            assert_eq!(Event { data: event.data.clone(), ..back }, event, "{line}");
        }
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        for (unix_ms, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_795_244_400_120, "2026-11-21T07:00:00.120Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(time_text(unix_ms), written);
        }
    }

    #[test]
    fn nesting_is_limited_both_ways() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let event = |levels| {
            with("").map(|draft| Draft { data: nested(levels).into_bytes().into(), ..draft }).unwrap()
        };
        assert_eq!(&*with(&format!(r#","data":{}"#, nested(128))).unwrap().data, nested(128).as_bytes());
        let error = with(&format!(r#","data":{}"#, nested(129))).unwrap_err().to_string();
        assert_eq!(error, "`data` of the CloudEvent is nested too deep, at most 128 levels are allowed");
        with(&format!(r#","data":{}"#, "[".repeat(1_000_000))).unwrap_err();
        assert!(to_json(&event(128).stamp(Arc::default, 0)).contains(r#""data":[["#));
        assert!(to_json(&event(129).stamp(Arc::default, 0)).contains(r#""data_base64":"W1tb"#));
    }

    #[test]
    fn what_is_invalid_is_refused_with_its_reason() {
        let over = "x".repeat(513);
        let attributes: String = (0..100).map(|n| format!(r#","x{n}":1"#)).collect();
        for (line, error) in [
            ("", "the CloudEvent cannot be read: EOF while parsing a value at line 1 column 0"),
            ("nonsense", "the CloudEvent cannot be read: expected ident at line 1 column 2"),
            (
                "[]",
                "the CloudEvent cannot be read: invalid type: sequence, expected a JSON object at line 1 column 0",
            ),
            ("{} {}", "the CloudEvent cannot be read: trailing characters at line 1 column 4"),
            ("{", "the CloudEvent cannot be read: EOF while parsing an object at line 1 column 1"),
            (
                r#"{"id":"1","id":"2"}"#,
                "the CloudEvent cannot be read: \"id\" is there twice at line 1 column 14",
            ),
            (
                r#"{"id":"1","i\u0064":"2"}"#,
                "the CloudEvent cannot be read: \"id\" is there twice at line 1 column 19",
            ),
            ("{}", "the CloudEvent has no `specversion`"),
            (
                r#"{"specversion":"0.3"}"#,
                "`specversion` of the CloudEvent is \"0.3\", only \"1.0\" is understood",
            ),
            (r#"{"specversion":1.0}"#, "`specversion` of the CloudEvent is 1.0, not text"),
            (r#"{"specversion":"1.0"}"#, "the CloudEvent has no `id`"),
            (r#"{"specversion":"1.0","id":null}"#, "the CloudEvent has no `id`"),
            (
                r#"{"specversion":"1.0","id":""}"#,
                "`id` of the CloudEvent is empty: give it a value or leave it out",
            ),
            (r#"{"specversion":"1.0","id":"1"}"#, "the CloudEvent has no `source`"),
            (r#"{"specversion":"1.0","id":"1","source":"s"}"#, "the CloudEvent has no `type`"),
            (
                r#"{"specversion":"1.0","id":"1","source":"s","type":"a..b"}"#,
                "`type` of the CloudEvent \"a..b\" has an empty token, number 2 at byte 2",
            ),
        ] {
            assert_eq!(from_json(line.as_bytes()).unwrap_err().to_string(), error, "{line}");
        }
        for (rest, error) in [
            (
                r#","time":"yesterday""#,
                "`time` of the CloudEvent is \"yesterday\", which is not a time of RFC 3339: ",
            ),
            (r#","time":"2026-02-30T00:00:00Z""#, "which is not a time of RFC 3339: input is out of range"),
            (r#","time":5"#, "`time` of the CloudEvent is 5, not text"),
            (
                r#","time":"9999-12-31T23:59:59-01:00""#,
                "`time` of the CloudEvent is outside of the years 0000 to 9999",
            ),
            (r#","data":1,"data_base64":"""#, "has `data` and `data_base64`: only one is allowed"),
            (r#","data_base64":"aGk""#, "`data_base64` of the CloudEvent is not base64: "),
            (
                r#","data_base64":"a-_=""#,
                "`data_base64` of the CloudEvent is not base64: invalid symbol at 1",
            ),
            (r#","data_base64":null"#, "`data_base64` of the CloudEvent is null, not text"),
            (r#","datacontenttype":"text/plain","data":"\ud800""#, "`data` of the CloudEvent is not text: "),
            (r#","tenant":"""#, "`tenant` of the CloudEvent is empty"),
            (r#","tenant":["x"]"#, "`tenant` of the CloudEvent is [\"x\"], not text"),
            (
                r#","tenant":"a\u0000""#,
                "`tenant` of the CloudEvent has the control character U+0000 at byte 1",
            ),
            (
                &format!(r#","partitionkey":"{over}""#),
                "`partitionkey` of the CloudEvent has 513 bytes, at most 512",
            ),
            (r#","x":{}"#, "`x` of the CloudEvent is neither text nor a boolean nor an integer of 32 bits"),
            (r#","x":1.5"#, "`x` of the CloudEvent is neither text"),
            (r#","x":2147483648"#, "`x` of the CloudEvent is neither text"),
            (r#","x-y":"1""#, "\"x-y\" is no name of an attribute, those are 1 to 64 of a-z and 0-9"),
            (r#","Subject":"1""#, "\"Subject\" is no name of an attribute"),
            (&attributes, "it has more than 100 attributes at line 1 column "),
        ] {
            let found = with(rest).unwrap_err();
            assert_eq!(found.kind(), ErrorKind::InvalidArgument);
            assert!(found.to_string().contains(error), "{found}\n  does not say\n{error}");
        }
        let found = from_json(b"{\"id\":\"\xff\"}").unwrap_err().to_string();
        assert_eq!(found, "the CloudEvent is not UTF-8 from byte 7 on");
    }

    #[test]
    fn what_is_too_large_is_refused_with_the_limit() {
        let text =
            |bytes: usize| format!(r#","datacontenttype":"text/plain","data":"{}""#, "x".repeat(bytes));
        assert_eq!(with(&text(1 << 20)).unwrap().data.len(), 1 << 20);
        for (error, limit) in [
            (with(&text((1 << 20) + 1)).unwrap_err(), "has 1048577 bytes, at most 1048576"),
            (
                from_json(&vec![b' '; (2 << 20) + 1]).unwrap_err(),
                "a CloudEvent of 2097153 bytes, at most 2097152",
            ),
        ] {
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            assert!(error.to_string().contains(limit), "{error}");
        }
    }
}
