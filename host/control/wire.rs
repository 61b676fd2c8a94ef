//! JSON-RPC 2.0, one object on each line: what a client may send, and what goes back.
//!
//! Only the frame of a request is taken apart at first: `params` become values when it is known that somebody wants
//! them.

use std::{borrow::Cow, io};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, error::Category, json, value::RawValue};

use super::{LONGEST_ANSWER, LONGEST_REQUEST, PROTOCOL, Refusal};
use crate::{
    boundary::status_of,
    error::{Error, ErrorKind},
    services::config::nearest,
};

/// A line that is no JSON.
pub(super) const NOT_JSON: i64 = -32700;
/// JSON that is no request.
pub(super) const NO_REQUEST: i64 = -32600;
/// A method that the host does not have.
pub(super) const NO_METHOD: i64 = -32601;
/// Params that the method does not take.
pub(super) const BAD_PARAMS: i64 = -32602;

/// One request.
#[derive(Debug)]
pub(super) struct Request<'l> {
    /// None: a notification, which is carried out and not answered.
    pub(super) id: Option<&'l RawValue>,
    pub(super) method: Cow<'l, str>,
    params: Option<&'l RawValue>,
}

/// A failure as it is told: the number, the text, and what programs want to know.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) code: i64,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// Why a line is no request, and the id to answer under, if it has one that can be used.
pub(super) type Misfit<'l> = (Option<&'l RawValue>, Failure);

#[derive(Deserialize)]
struct Frame<'l> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'l RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'l RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'l RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'l RawValue>,
}

/// Also a `null` is there.
fn present<'l, D: Deserializer<'l>>(from: D) -> Result<Option<&'l RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'l> Request<'l> {
    /// Takes a line apart; None for one that is blank.
    pub(super) fn parse(line: &'l [u8]) -> Option<Result<Self, Misfit<'l>>> {
        if line.trim_ascii().is_empty() {
            return None;
        }
        Some(Self::read(line))
    }

    fn read(line: &'l [u8]) -> Result<Self, Misfit<'l>> {
        let misfit = |code, text: String| (None, Failure::new(code, text));
        let text = std::str::from_utf8(line).map_err(|error| {
            misfit(NOT_JSON, format!("not JSON: not UTF-8 from byte {} on", error.valid_up_to() + 1))
        })?;
        // Does not recurse, however deep it is.
        let whole: &RawValue = serde_json::from_str(text)
            .map_err(|error| misfit(NOT_JSON, format!("not JSON: {}", in_line(&error))))?;
        match whole.get().as_bytes().first() {
            Some(b'{') => {}
            Some(b'[') => {
                let text = "not a request: batches are not taken, send one request a line";
                return Err(misfit(NO_REQUEST, text.into()));
            }
            Some(_) | None => {
                return Err(misfit(NO_REQUEST, "not a request: it is no object".into()));
            }
        }
        let Frame { jsonrpc, id, method, params } = serde_json::from_str(whole.get())
            .map_err(|error| misfit(NO_REQUEST, format!("not a request: {}", in_line(&error))))?;
        if !id.is_none_or(|id| matches!(id.get().as_bytes(), [b'"' | b'-' | b'0'..=b'9', ..] | b"null")) {
            return Err(misfit(NO_REQUEST, "not a request: `id` must be a string, a number or null".into()));
        }
        let misfit = |text: &str| (id, Failure::new(NO_REQUEST, format!("not a request: {text}")));
        let text_of = |raw: &'l RawValue| serde_json::from_str::<Text<'l>>(raw.get()).ok().map(|text| text.0);
        if jsonrpc.and_then(text_of).as_deref() != Some("2.0") {
            return Err(misfit("`jsonrpc` must be \"2.0\""));
        }
        let Some(method) = method else { return Err(misfit("it has no `method`")) };
        let Some(method) = text_of(method) else { return Err(misfit("`method` must be a text")) };
        Ok(Self { id, method, params })
    }

    /// The params, by name.
    pub(super) fn params(&self) -> Result<Params<'l>, Refusal> {
        let Some(params) = self.params else { return Ok(Params("{}")) };
        match params.get().as_bytes().first() {
            Some(b'{') => Ok(Params(params.get())),
            Some(b'[') => {
                Err(Refusal::Params("they are taken by name, as an object, and not as a list".into()))
            }
            Some(_) | None => Err(Refusal::Params("they must be an object, or be left out".into())),
        }
    }
}

/// The params of a request: the text of an object, of which no more is read than a method wants. What it passes on stays
/// as it was written, to the last digit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'l>(&'l str);

impl<'l> Params<'l> {
    /// Those that are written in JSON as `object`.
    pub(crate) fn written(object: &'l str) -> Self {
        Self(object)
    }

    /// Takes them as what a method wants.
    pub(crate) fn read<T: Deserialize<'l>>(self) -> Result<T, Refusal> {
        serde_json::from_str(self.0).map_err(|error| {
            let text = in_line(&error);
            Refusal::Params(match error.classify() {
                Category::Data => text,
                Category::Syntax | Category::Eof | Category::Io => format!("they cannot be read: {text}"),
            })
        })
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

/// Every place is on line 1.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        Category::Data | Category::Syntax | Category::Eof | Category::Io => {
            text.replace(" at line 1 column ", " at column ")
        }
    }
}

impl Failure {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(super) fn of_refusal(refusal: Refusal, method: &str, known: &[&str]) -> Self {
        match refusal {
            Refusal::UnknownMethod => {
                let near = nearest(method, known.iter().copied());
                let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                let shown: String = method.chars().take(100).collect();
                Self::new(NO_METHOD, format!("no method {shown:?}: {near}there are {}", known.join(", ")))
            }
            Refusal::Params(text) => Self::new(BAD_PARAMS, format!("the params of `{method}`: {text}")),
            Refusal::Failed(error) => Self::of_error(&error),
        }
    }

    pub(super) fn of_error(error: &Error) -> Self {
        let mut data = json!({ "kind": error.kind().name() });
        if let Some(plugin) = error.plugin() {
            data["plugin"] = plugin.into();
        }
        if let Some(offset) = error.sql_offset() {
            data["offset"] = offset.into();
        }
        Self { code: status_of(error.kind()).into(), message: error.to_string(), data: Some(data) }
    }

    pub(super) fn too_long() -> Self {
        let text = format!("the request has more than {LONGEST_REQUEST} bytes and was passed over");
        Self::of_error(&Error::new(ErrorKind::TooLarge, text))
    }
}

/// What the host sends: exactly one of the members beside `jsonrpc` and `id` is there.
#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

#[derive(Serialize)]
struct Told<'a, P> {
    jsonrpc: &'static str,
    method: &'a str,
    params: P,
}

/// The line that answers a request.
pub(super) fn answer(id: Option<&RawValue>, outcome: &Result<Value, Failure>) -> Vec<u8> {
    let with = |outcome: Result<&Value, &Failure>| {
        line(&Answer { jsonrpc: "2.0", id, result: outcome.ok(), error: outcome.err() })
    };
    with(outcome.as_ref()).or_else(|error| with(Err(&Failure::of_error(&error)))).unwrap_or_else(|_| {
        // An id that is itself too long to be sent back is not: requests are shorter than answers.
        Vec::new()
    })
}

/// The line of a notification.
pub(super) fn notification(method: &str, params: &impl Serialize) -> Result<Vec<u8>, Error> {
    line(&Told { jsonrpc: "2.0", method, params })
}

/// The line that opens a connection.
pub(super) fn hello() -> Vec<u8> {
    let params =
        json!({ "protocol": PROTOCOL, "pintle": env!("CARGO_PKG_VERSION"), "pid": std::process::id() });
    notification("hello", &params).unwrap_or_default()
}

/// The line that says why the host ends a connection.
pub(super) fn bye(why: &str) -> Vec<u8> {
    notification("bye", &json!({ "why": why })).unwrap_or_default()
}

/// The line that says how many notifications are missing here.
pub(super) fn dropped(count: u64) -> Vec<u8> {
    notification("dropped", &json!({ "count": count })).unwrap_or_default()
}

/// One object as one line, with its end.
pub(super) fn line(object: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut line = Bounded(Vec::new());
    serde_json::to_writer(&mut line, object).map_err(|error| {
        if error.is_io() {
            let text = format!("the answer has more than {LONGEST_ANSWER} bytes");
            return Error::new(ErrorKind::TooLarge, text).mend("ask for less at once");
        }
        Error::new(ErrorKind::Internal, format!("the answer cannot be written as JSON: {error}"))
    })?;
    let Bounded(mut line) = line;
    // JSON that is passed on as it was written may have ends of lines between its tokens, and nowhere else.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Ok(line)
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() >= LONGEST_ANSWER {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
