//! The operator's side: asks the host that has a data folder.
//!
//! The host is not trusted to be one: whatever answers can make a client fail, but not make it wait for ever for a hello
//! or take up its memory.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind::*, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};

use super::{
    LONGEST_ANSWER, LONGEST_REQUEST, PATIENCE, PROTOCOL, SOCKET,
    lines::{Line, Lines},
    socket::{self, Stream},
    wire,
};
use crate::error::{Error, ErrorKind, Result};

/// How many notifications are kept while an answer is waited for, and how many bytes of them.
const KEPT: usize = 1024;
const KEPT_BYTES: usize = 16 << 20;

/// A connection to a running host. It is asked one thing at a time.
///
/// ```no_run
/// use std::path::Path;
///
/// use pintle::control::Client;
/// use serde_json::json;
///
/// # fn main() -> pintle::Result<()> {
/// match Client::connect(Path::new("data"))? {
///     Some(mut client) => println!("{}", client.call("plugins", json!({}))?),
///     None => println!("no host runs on this folder"),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Client {
    path: PathBuf,
    lines: Lines<Timed>,
    last: u64,
    timeout: Option<Duration>,
    told: VecDeque<(Notification, usize)>,
    told_bytes: usize,
    /// Notifications that found no room here.
    lost: u64,
    pintle: String,
    pid: u64,
    bye: Option<String>,
    /// Nothing can be asked any more, and why.
    over: Option<Error>,
}

/// What a host tells without being asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notification {
    /// What it is about. `dropped` says, in `count`, how many others are missing here.
    pub method: String,
    /// What there is to know.
    pub params: Value,
    /// The same as the host wrote it: numbers of any length, members in their order.
    pub text: String,
}

/// A stream that is read until a moment.
struct Timed {
    stream: Stream,
    deadline: Option<Instant>,
    /// The stream has a timeout set.
    timed: bool,
}

/// Whatever a host sends.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    method: Option<String>,
    params: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

/// What has come.
enum Received {
    Told(Notification, usize),
    Answer(Value, Result<Value>),
    End,
}

/// Also a `null` is there.
fn present<'l, D: Deserializer<'l>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Client {
    /// Connects to the host that has the data folder `data`. None: no host runs on it, or it serves no control socket.
    ///
    /// # Errors
    ///
    /// DENIED: it is another user's. UNAVAILABLE: something else is in its place. BUSY: too many ask it. TIMEOUT: it does
    /// not say hello within 5 s. UNSUPPORTED: it speaks a newer protocol, or there are no Unix sockets here.
    pub fn connect(data: &Path) -> Result<Option<Self>> {
        Self::connect_within(PATIENCE, data)
    }

    pub(super) fn connect_within(patience: Duration, data: &Path) -> Result<Option<Self>> {
        let Some(stream) = socket::connect(data)? else { return Ok(None) };
        let stream = Timed { stream, deadline: None, timed: false };
        let mut client = Self {
            path: data.join(SOCKET),
            lines: Lines::until_too_long(stream, LONGEST_ANSWER),
            last: 0,
            timeout: Some(patience),
            told: VecDeque::new(),
            told_bytes: 0,
            lost: 0,
            pintle: String::new(),
            pid: 0,
            bye: None,
            over: None,
        };
        client.greet()?;
        client.timeout = None;
        Ok(Some(client))
    }

    /// How long one call, and one wait for a notification, may take from here on; at first as long as it takes.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// The version of the host.
    #[must_use]
    pub fn pintle(&self) -> &str {
        &self.pintle
    }

    /// The number of the host's process.
    #[must_use]
    pub fn pid(&self) -> u64 {
        self.pid
    }

    /// Asks for one thing, and waits for the answer. `params` is an object, or null if there are none. What the host tells
    /// meanwhile waits for [`Client::next`].
    ///
    /// # Errors
    ///
    /// What the host answered, as its own API has it. UNSUPPORTED: it has no such method. UNAVAILABLE: it ends the
    /// connection. TIMEOUT: the request may still be carried out, and others can be made. TOO_LARGE: the request has more
    /// than 2 MiB.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        let mut request = json!({ "jsonrpc": "2.0", "id": self.last + 1, "method": method });
        if !params.is_null() {
            request["params"] = params;
        }
        let line = wire::line(&request)?;
        if line.len() - 1 > LONGEST_REQUEST {
            let text = format!(
                "the request `{method}` has {} bytes, a host takes {LONGEST_REQUEST} at most",
                line.len() - 1
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        self.last += 1;
        let deadline = self.deadline();
        self.send(&line)?;
        loop {
            match self.receive(deadline)? {
                Received::Told(told, bytes) => self.keep(told, bytes),
                Received::Answer(id, outcome) => match id.as_u64() {
                    Some(id) if id == self.last => return outcome,
                    // Of a call that was given up.
                    Some(id) if id < self.last => {}
                    // The host could not even read whose request it was.
                    None if id.is_null() && outcome.is_err() => return outcome,
                    Some(_) | None => {
                        return Err(self.end(self.foreign("it answers what was not asked")));
                    }
                },
                Received::End => return Err(self.ended()),
            }
        }
    }

    /// The next that the host tells without being asked. None: it has ended the connection.
    ///
    /// # Errors
    ///
    /// TIMEOUT. UNAVAILABLE: what comes is not of the protocol.
    #[allow(clippy::should_implement_trait, reason = "that it ends is not all that can happen")]
    pub fn next(&mut self) -> Result<Option<Notification>> {
        if let Some((told, bytes)) = self.told.pop_front() {
            self.told_bytes -= bytes;
            return Ok(Some(told));
        }
        if self.lost > 0 {
            let count = std::mem::take(&mut self.lost);
            return Ok(Some(Notification::new("dropped", json!({ "count": count }))));
        }
        if self.over.is_some() {
            return Ok(None);
        }
        let deadline = self.deadline();
        loop {
            match self.receive(deadline)? {
                Received::Told(told, _) => return Ok(Some(told)),
                // Of a call that was given up.
                Received::Answer(..) => {}
                Received::End => {
                    self.ended();
                    return Ok(None);
                }
            }
        }
    }

    /// Why the host has ended the connection, if it has, and has said why.
    #[must_use]
    pub fn bye(&self) -> Option<&str> {
        self.bye.as_deref()
    }

    fn greet(&mut self) -> Result<()> {
        let deadline = self.deadline();
        let hello = match self.receive(deadline) {
            Ok(Received::Told(told, _)) if told.method == "hello" => told.params,
            Ok(Received::Answer(Value::Null, Err(error))) => return Err(error),
            Ok(Received::Told(..) | Received::Answer(..)) => {
                return Err(self.foreign("it does not say hello"));
            }
            Ok(Received::End) => return Err(self.ended()),
            Err(error) if error.kind() == ErrorKind::Timeout => {
                let text = format!(
                    "whoever has {} has not said hello for {:?}",
                    self.path.display(),
                    self.timeout.unwrap_or(PATIENCE)
                );
                let mend = "look whether the host was halted, and whether it is a host";
                return Err(Error::new(ErrorKind::Timeout, text).mend(mend));
            }
            Err(error) => return Err(error),
        };
        let Some(protocol) = hello["protocol"].as_u64() else {
            return Err(self.foreign("its hello names no protocol"));
        };
        self.pintle = hello["pintle"].as_str().unwrap_or_default().into();
        self.pid = hello["pid"].as_u64().unwrap_or_default();
        if protocol > PROTOCOL {
            let text = format!(
                "the host at {} (Pintle {:?}) speaks protocol {protocol} of the control socket, this program {PROTOCOL}",
                self.path.display(),
                self.pintle
            );
            return Err(Error::new(ErrorKind::Unsupported, text).mend("update this program"));
        }
        Ok(())
    }

    fn send(&mut self, line: &[u8]) -> Result<()> {
        let timeout = self.timeout;
        let stream = &self.lines.source().stream;
        let sent =
            stream.set_write_timeout(timeout.map(at_least)).and_then(|()| (&mut &*stream).write_all(line));
        match sent {
            Ok(()) => Ok(()),
            // What it has said before will tell why.
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => Ok(()),
            Err(error) => {
                let kind = match error.kind() {
                    WouldBlock | TimedOut => ErrorKind::Timeout,
                    _ => ErrorKind::Unavailable,
                };
                let text = format!("the host at {} takes no requests: {error}", self.path.display());
                // A part of the request may have been sent.
                Err(self.end(Error::new(kind, text)))
            }
        }
    }

    fn receive(&mut self, deadline: Option<Instant>) -> Result<Received> {
        loop {
            self.lines.source().deadline = deadline;
            let line = match self.lines.next(|_| {}) {
                Ok(Line::Whole(line)) => line,
                Ok(Line::TooLong) => {
                    let what = format!("it sends a line of more than {LONGEST_ANSWER} bytes");
                    return Err(self.end(self.foreign(&what)));
                }
                Ok(Line::End) => return Ok(Received::End),
                Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => {
                    let text = format!("the host at {} has not answered in time", self.path.display());
                    return Err(Error::new(ErrorKind::Timeout, text));
                }
                Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                    return Ok(Received::End);
                }
                Err(error) => {
                    let text = format!("{} cannot be read: {error}", self.path.display());
                    return Err(self.end(Error::new(ErrorKind::Unavailable, text)));
                }
            };
            let bytes = line.len();
            let message = serde_json::from_slice::<Message>(line);
            return match message {
                Ok(Message { method: Some(method), params, .. }) => {
                    let told = Notification::read(method, params);
                    if told.method == "bye" {
                        self.bye = Some(told.params["why"].as_str().unwrap_or("it does not say why").into());
                        continue;
                    }
                    Ok(Received::Told(told, bytes))
                }
                Ok(Message { id, error: Some(failure), .. }) => {
                    Ok(Received::Answer(id, Err(failure.restore())))
                }
                Ok(Message { id, result: Some(result), .. }) => Ok(Received::Answer(id, Ok(result))),
                Ok(Message { .. }) => {
                    Err(self.end(self.foreign("it sends what is neither an answer nor a notification")))
                }
                Err(error) => Err(self.end(self.foreign(&format!("it sends what cannot be read: {error}")))),
            };
        }
    }

    fn keep(&mut self, told: Notification, bytes: usize) {
        // What comes after a gap stays behind the count of the gap.
        if self.lost > 0 || self.told.len() >= KEPT || self.told_bytes + bytes > KEPT_BYTES {
            self.lost += 1;
            return;
        }
        self.told_bytes += bytes;
        self.told.push_back((told, bytes));
    }

    fn deadline(&self) -> Option<Instant> {
        // One that no clock reaches is none.
        self.timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    fn ended(&mut self) -> Error {
        let why = match &self.bye {
            Some(why) => why.clone(),
            None => "it does not run any more, or has cut it off".into(),
        };
        self.end(Error::new(ErrorKind::Unavailable, format!("the host has ended the connection: {why}")))
    }

    fn foreign(&self, what: &str) -> Error {
        let text = format!("whoever has {} is no Pintle host of this kind: {what}", self.path.display());
        Error::new(ErrorKind::Unavailable, text)
    }

    fn end(&mut self, error: Error) -> Error {
        self.over = Some(error.clone());
        error
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("path", &self.path).field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Notification {
    fn new(method: &str, params: Value) -> Self {
        Self { method: method.into(), text: params.to_string(), params }
    }

    fn read(method: String, params: Option<Box<RawValue>>) -> Self {
        let text = params.map_or_else(|| "null".into(), |params| String::from(Box::<str>::from(params)));
        // JSON it is, for it was read as a part of some; what nests too deep for a value still has its text.
        Self { method, params: serde_json::from_str(&text).unwrap_or_default(), text }
    }
}

impl Failure {
    /// The error that it was on the other side.
    fn restore(self) -> Error {
        let Self { code, message, data } = self;
        let named = data["kind"].as_str().and_then(ErrorKind::from_name);
        let kind = named.unwrap_or(match code {
            wire::NO_METHOD => ErrorKind::Unsupported,
            wire::NOT_JSON | wire::NO_REQUEST | wire::BAD_PARAMS => ErrorKind::InvalidArgument,
            // A kind that later hosts may have.
            _ => ErrorKind::Internal,
        });
        let mut error = Error::new(kind, message);
        if let Some(offset) = data["offset"].as_u64() {
            error = error.at_offset(usize::try_from(offset).unwrap_or(usize::MAX));
        }
        match data["plugin"].as_str() {
            Some(plugin) => error.of(plugin),
            None => error,
        }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(TimedOut.into());
        }
        if left.is_some() || self.timed {
            self.stream.set_read_timeout(left.map(at_least))?;
            self.timed = left.is_some();
        }
        self.stream.read(into)
    }
}

/// The system takes no timeout of nothing.
fn at_least(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}
