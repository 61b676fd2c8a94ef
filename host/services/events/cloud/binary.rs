//! CloudEvents 1.0 in their binary form (binary content mode of the HTTP binding): each attribute is a header, the body is the data
//! as it is.
//!
//! All values of headers are text. What was an integer or a boolean among the extensions is text after it has travelled, as the
//! specification says of attributes that nobody knows.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use super::{Attributes, MAX_MEMBERS, malformed, time_text};
use crate::{
    error::Result,
    services::events::{
        Draft, Event, Extension,
        event::{MAX_CONTENT_TYPE_BYTES, MAX_EXTENSION_BYTES, Shortened, fault, name_fault},
    },
};

/// The header that has the type of the data.
const CONTENT_TYPE: &str = "content-type";

/// What the headers of all other attributes begin with.
const PREFIX: &str = "ce-";

/// The types of the other forms begin with it.
const CLOUD_EVENTS: &str = "application/cloudevents";

/// Reads one event of the headers and the body of a request or a response. The headers of HTTP libraries will do as they are, and
/// so will pairs of text; `ce-…` and `content-type` count, in capitals or not, and others are passed over. Values may be percent-encoded or
/// quoted. Its topic may be a reserved one, which [`Host::emit`](crate::Host::emit) refuses.
///
/// ```
/// use pintle::events::from_binary;
///
/// # fn main() -> pintle::Result<()> {
/// let headers = [
///     ("Host", "localhost"),
///     ("ce-specversion", "1.0"),
///     ("ce-id", "7"),
///     ("ce-source", "/door"),
///     ("ce-type", "door.opened"),
///     ("ce-subject", "caf%C3%A9"),
///     ("Content-Type", "text/plain"),
/// ];
/// let draft = from_binary(headers, *b"by you")?;
/// assert_eq!((draft.topic.as_str(), &*draft.subject, &*draft.data), ("door.opened", "café", &b"by you"[..]));
///
/// let error = from_binary([("ce-specversion", "1.0")], *b"").expect_err("it has no id");
/// assert_eq!(error.to_string(), "the CloudEvent has no header `ce-id`");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// INVALID_ARGUMENT, with the name of the header: it is missing, is there twice, cannot be read, or has what an event cannot have;
/// or the content type says that the body is the whole event (`application/cloudevents…`). TOO_LARGE: the body.
pub fn from_binary<N, V>(
    headers: impl IntoIterator<Item = (N, V)>,
    body: impl Into<Arc<[u8]>>,
) -> Result<Draft>
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    let mut headers = Headers::read(headers)?;
    let content_type = headers.text("datacontenttype", MAX_CONTENT_TYPE_BYTES)?;
    if content_type.as_deref().is_some_and(is_whole_event) {
        let problem =
            "says that the body is the whole event: read `application/cloudevents+json` with `from_json`";
        return Err(Headers::invalid("datacontenttype", problem));
    }
    let mut draft = headers.draft()?;
    draft.content_type = content_type.map_or(Cow::Borrowed(""), Cow::Owned);
    draft.data = body.into();
    draft.extensions = headers.extensions()?;
    draft.check()?;
    Ok(draft)
}

/// Writes an event as headers, with names in small letters, and a body.
///
/// The content type stands as it is, but for characters that no header can have. Of an event whose content type begins with
/// `application/cloudevents` a reader would take the data for the event: such a one travels as JSON alone ([`to_json`](super::to_json)).
///
/// ```
/// use pintle::events::{Event, to_binary};
///
/// fn request(event: &Event) -> String {
///     let (headers, body) = to_binary(event);
///     let mut request = String::from("POST /events HTTP/1.1\r\nhost: localhost\r\n");
///     for (name, value) in &headers {
///         request += &format!("{name}: {value}\r\n");
///     }
///     request + &format!("content-length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(&body))
/// }
/// ```
#[must_use]
pub fn to_binary(event: &Event) -> (Vec<(String, String)>, Arc<[u8]>) {
    let mut headers = Vec::with_capacity(9 + event.extensions.len());
    let mut attribute = |name: &str, value: &str| headers.push((format!("{PREFIX}{name}"), encoded(value)));
    attribute("specversion", "1.0");
    attribute("id", &event.id);
    attribute("source", &event.source);
    attribute("type", event.topic.as_str());
    attribute("time", &time_text(event.time_ms));
    for (name, value) in
        [("subject", event.subject.as_str()), ("tenant", &event.tenant), ("partitionkey", &event.key)]
    {
        if !value.is_empty() {
            attribute(name, value);
        }
    }
    for (name, value) in &event.extensions {
        match value {
            Extension::Text(text) => attribute(name, text),
            Extension::Integer(number) => attribute(name, &number.to_string()),
            Extension::Boolean(yes) => attribute(name, if *yes { "true" } else { "false" }),
        }
    }
    if !event.content_type.is_empty() {
        let content_type = percent(&event.content_type, |byte| matches!(byte, b' '..=b'~'));
        headers.push((CONTENT_TYPE.into(), content_type));
    }
    (headers, Arc::clone(&event.data))
}

/// The headers that count, by the names of their attributes.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn read<N: AsRef<str>, V: AsRef<[u8]>>(given: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut read: Vec<(String, String)> = Vec::with_capacity(12);
        for (name, value) in given {
            let name = name.as_ref();
            let is_type = name.eq_ignore_ascii_case(CONTENT_TYPE);
            let attribute = match name.get(..PREFIX.len()) {
                _ if is_type => "datacontenttype".to_owned(),
                Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => {
                    let attribute = name[PREFIX.len()..].to_ascii_lowercase();
                    check_name(&attribute)?;
                    attribute
                }
                _ => continue,
            };
            if read.iter().any(|(other, _)| *other == attribute) {
                return Err(Self::invalid(&attribute, "is there twice"));
            }
            if read.len() == MAX_MEMBERS {
                return Err(malformed(format!("the CloudEvent has more than {MAX_MEMBERS} headers")));
            }
            let value = text(value.as_ref())
                .and_then(|text| if is_type { Ok(text.to_owned()) } else { decoded(text) })
                .map_err(|problem| Self::invalid(&attribute, problem))?;
            read.push((attribute, value));
        }
        Ok(Self(read))
    }

    /// What is left.
    fn extensions(self) -> Result<Vec<(String, Extension)>> {
        let mut extensions = Vec::with_capacity(self.0.len());
        for (name, text) in self.0 {
            if let Some(problem) = fault(&text, 0, MAX_EXTENSION_BYTES) {
                return Err(Self::invalid(&name, problem));
            }
            extensions.push((name, Extension::Text(text)));
        }
        extensions.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(extensions)
    }
}

impl Attributes for Headers {
    fn take(&mut self, name: &str) -> Result<Option<String>> {
        let at = self.0.iter().position(|(other, _)| other == name);
        Ok(at.map(|at| self.0.swap_remove(at).1))
    }

    fn called(name: &str) -> String {
        match name {
            "datacontenttype" => format!("header `{CONTENT_TYPE}`"),
            _ => format!("header `{PREFIX}{name}`"),
        }
    }
}

/// That there can be a header of this attribute.
fn check_name(attribute: &str) -> Result<()> {
    let problem = match attribute {
        "data" => "is none: data is in the body".into(),
        "datacontenttype" => format!("is none: the type of the data is in the header `{CONTENT_TYPE}`"),
        // Not `called`: what it is called is what is wrong.
        _ => match name_fault(attribute) {
            Some(problem) => {
                return Err(malformed(format!("a header `{PREFIX}…` of the CloudEvent: {problem}")));
            }
            None => return Ok(()),
        },
    };
    Err(malformed(format!("header `{PREFIX}{attribute}` of the CloudEvent {problem}")))
}

fn is_whole_event(content_type: &str) -> bool {
    content_type.get(..CLOUD_EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(CLOUD_EVENTS))
}

/// A header's value without what HTTP allows around it.
fn text(value: &[u8]) -> Result<&str, String> {
    let text = str::from_utf8(value)
        .map_err(|error| format!("is not UTF-8 from byte {} on", error.valid_up_to()))?;
    Ok(text.trim_matches([' ', '\t']))
}

/// What a value stands for: first quoted strings end, then percent-encoding.
fn decoded(value: &str) -> Result<String, String> {
    let value = match value.contains('"') {
        true => Cow::Owned(unquoted(value)?),
        false => Cow::Borrowed(value),
    };
    if !value.contains('%') {
        return Ok(value.into_owned());
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let Some((&[high, low], behind)) = rest.split_first_chunk() else { return Err(no_number(&value)) };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return Err(no_number(&value)) };
        bytes.push(high << 4 | low);
        rest = behind;
    }
    String::from_utf8(bytes)
        .map_err(|_| format!("is {:?}, whose percent-encoded bytes are not UTF-8", Shortened(&value)))
}

fn no_number(value: &str) -> String {
    format!("is {:?}, with a % that no two hexadecimal digits follow: % itself is %25", Shortened(value))
}

fn digit(byte: u8) -> Option<u8> {
    // It is below 16.
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The text with the contents of quoted strings in place of these.
fn unquoted(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let (mut quoted, mut characters) = (false, value.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => match characters.next() {
                Some(escaped) => text.push(escaped),
                None => break,
            },
            other => text.push(other),
        }
    }
    if quoted {
        return Err(format!("is {:?}, a quoted string without its end", Shortened(value)));
    }
    Ok(text)
}

fn encoded(value: &str) -> String {
    percent(value, |byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%'))
}

fn percent(value: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
