//! The control socket under friends and foes, with methods made up for it.

mod alone;
mod crowds;
mod frauds;
mod lines;
mod places;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value, json, value::RawValue};
use tempfile::TempDir;

use super::{Client, Control, Methods, Params, Refusal, SOCKET, Session};
use crate::error::{Error, ErrorKind};

/// Longer than anything takes that is not to fail, also on a machine that has much else to do.
const LONG: Duration = Duration::from_secs(60);

/// A host of these tests.
struct Rig {
    control: Arc<Control>,
    fake: Arc<Fake>,
    reports: Arc<Mutex<Vec<Error>>>,
    data: Folder,
}

struct Folder {
    path: PathBuf,
    /// Removed with it.
    owned: Option<TempDir>,
}

/// What it can do.
#[derive(Default)]
struct Fake {
    state: Mutex<Seen>,
    changed: Condvar,
    control: Mutex<Weak<Control>>,
}

#[derive(Default)]
struct Seen {
    /// Requests that have begun.
    calls: u64,
    /// Floods that have ended.
    floods: u64,
    /// Taps whose connection is there.
    taps: i64,
    /// `hang` may return.
    released: bool,
    /// What `close` has answered.
    left: Option<Vec<String>>,
}

/// Ends with its connection.
struct Tap(Arc<Fake>);

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.change(|seen| seen.taps -= 1);
    }
}

impl Fake {
    fn change(&self, how: impl FnOnce(&mut Seen)) {
        how(&mut self.state.lock());
        self.changed.notify_all();
    }

    #[track_caller]
    fn wait(&self, what: &str, reached: impl Fn(&Seen) -> bool) {
        let mut state = self.state.lock();
        while !reached(&state) {
            assert!(!self.changed.wait_for(&mut state, LONG).timed_out(), "in vain for: {what}");
        }
    }
}

struct Asked(Arc<Fake>);

impl Methods for Asked {
    fn names(&self) -> &'static [&'static str] {
        &["echo", "fail", "panic", "hang", "tap", "flood", "big", "wide", "close"]
    }

    fn answer(&self, method: &str, params: Params<'_>, session: &Arc<Session>) -> Result<Value, Refusal> {
        let params: Map<String, Value> = params.read()?;
        let fake = &self.0;
        fake.change(|seen| seen.calls += 1);
        let number = |name: &str| {
            params.get(name).and_then(Value::as_u64).ok_or_else(|| Refusal::Params(format!("`{name}`")))
        };
        match method {
            "echo" => Ok(Value::Object(params)),
            "fail" => Err(Error::new(ErrorKind::NotFound, "it is not there").of("tail").into()),
            "panic" => panic!("out of ideas"),
            "hang" => {
                fake.wait("the release", |seen| seen.released);
                Ok(Value::Null)
            }
            "tap" => {
                fake.change(|seen| seen.taps += 1);
                session.keep(Box::new(Tap(fake.clone())));
                Ok(json!(null))
            }
            "flood" => {
                let (count, bytes) = (number("count")?, number("bytes")? as usize);
                let text = "x".repeat(bytes);
                for number in 0..count {
                    session.notify("event", &json!({ "number": number, "text": text }));
                }
                fake.change(|seen| seen.floods += 1);
                Ok(Value::Null)
            }
            "big" => Ok("x".repeat(number("bytes")? as usize).into()),
            "wide" => {
                let text = RawValue::from_string("{\n \"a\":\r\n1}".into()).expect("it is JSON");
                session.notify("wide", &text);
                Ok(Value::Null)
            }
            "close" => {
                let control = fake.control.lock().upgrade().expect("it is there");
                let left = control.close(Instant::now() + LONG);
                fake.change(|seen| seen.left = Some(left));
                Ok("closed".into())
            }
            _ => Err(Refusal::UnknownMethod),
        }
    }
}

impl Rig {
    fn new() -> Self {
        Self::patient(LONG)
    }

    fn patient(patience: Duration) -> Self {
        Self::at(tempfile::tempdir().expect("there is a place for temporary files"), patience)
    }

    fn at(data: TempDir, patience: Duration) -> Self {
        let mut rig = Self::at_path(data.path(), patience);
        rig.data.owned = Some(data);
        rig
    }

    /// In a folder that somebody else removes.
    fn at_path(data: &Path, patience: Duration) -> Self {
        let (fake, reports) = (Arc::new(Fake::default()), Arc::<Mutex<Vec<Error>>>::default());
        let told = reports.clone();
        let report = move |error: &Error| told.lock().push(error.clone());
        let methods = Arc::new(Asked(fake.clone()));
        let control = Control::start_with(patience, data, &private(data), methods, report);
        let control = Arc::new(control.expect("nothing is in its way"));
        *fake.control.lock() = Arc::downgrade(&control);
        Self { control, fake, reports, data: Folder { path: data.to_owned(), owned: None } }
    }

    fn path(&self) -> &Path {
        &self.data.path
    }

    fn client(&self) -> Client {
        Client::connect_within(LONG, self.path()).expect("it is there").expect("it serves")
    }

    fn raw(&self) -> Raw {
        Raw::connect(self.path())
    }

    fn is_served(&self) {
        assert_eq!(self.client().call("echo", json!({ "a": 1 })).expect("it answers"), json!({ "a": 1 }));
    }

    /// Ends it, and expects nothing to be left of it.
    #[track_caller]
    fn end(self) {
        assert_eq!(self.control.close(Instant::now() + LONG), Vec::<String>::new());
        assert!(!self.path().join(SOCKET).exists(), "the socket is still there");
        assert_eq!(Arc::strong_count(&self.fake), 2, "somebody still has the methods");
    }
}

/// The folder that nobody else can enter.
fn private(data: &Path) -> PathBuf {
    let private = data.join("staging");
    crate::plugin::stage::create_private_folder(&private).expect("nothing is in its way");
    private
}

/// A client that says what it wants.
struct Raw {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Raw {
    #[track_caller]
    fn connect(data: &Path) -> Self {
        let mut raw = Self::connect_silently(data);
        let hello = raw.next().expect("there is a hello");
        assert_eq!(hello["method"], "hello", "{hello}");
        raw
    }

    fn connect_silently(data: &Path) -> Self {
        let stream = UnixStream::connect(data.join(SOCKET)).expect("it serves");
        stream.set_read_timeout(Some(LONG)).expect("it takes one");
        let lines = BufReader::new(stream.try_clone().expect("there are descriptors"));
        Self { stream, lines }
    }

    /// False: the host takes no more.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let line = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        assert!(self.send(format!("{line}\n").as_bytes()));
        self.next().expect("it is answered")
    }

    /// None: the host has ended the connection.
    #[track_caller]
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("nothing comes: {error}"),
        }
    }
}

#[test]
fn a_client_is_answered() {
    let rig = Rig::new();
    let mut client = rig.client();
    assert_eq!((client.pintle(), client.pid()), (env!("CARGO_PKG_VERSION"), u64::from(std::process::id())));
    assert_eq!(client.call("echo", json!({ "a": 1 })).expect("it answers"), json!({ "a": 1 }));
    assert_eq!(client.call("echo", Value::Null).expect("it answers"), json!({}));
    assert_eq!(client.call("tap", Value::Null).expect("it answers"), Value::Null);
    rig.end();
    assert_eq!(client.next().expect("it has ended"), None);
    assert_eq!(client.bye(), Some("the host stops"));
    let error = client.call("echo", json!({})).expect_err("it has ended");
    assert_eq!(error.to_string(), "the host has ended the connection: the host stops");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_error_is_the_same_on_the_other_side() {
    let rig = Rig::new();
    let mut client = rig.client();
    let cases = [
        ("fail", json!({}), ErrorKind::NotFound, "plugin \"tail\": it is not there"),
        ("big", json!({}), ErrorKind::InvalidArgument, "the params of `big`: `bytes`"),
        (
            "ecko",
            json!({}),
            ErrorKind::Unsupported,
            "no method \"ecko\": did you mean `echo`? there are echo, fail, panic, hang, tap, flood, big, wide, close",
        ),
        (
            "panic",
            json!({}),
            ErrorKind::Panic,
            "the host panicked in `panic` of the control socket: out of ideas: please report it",
        ),
        (
            "big",
            json!({ "bytes": 17 << 20 }),
            ErrorKind::TooLarge,
            "the answer has more than 16777216 bytes: ask for less at once",
        ),
        (
            "echo",
            json!({ "a": "x".repeat(2 << 20) }),
            ErrorKind::TooLarge,
            "the request `echo` has 2097211 bytes, a host takes 2097152 at most",
        ),
    ];
    for (method, params, kind, text) in cases {
        let error = client.call(method, params).expect_err("it fails");
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text), "of {method}");
        assert_eq!(error.plugin(), (method == "fail").then_some("tail"));
        client.call("echo", json!({})).expect("the connection goes on");
    }
    let reports: Vec<_> = rig.reports.lock().iter().map(Error::kind).collect();
    assert_eq!(reports, [ErrorKind::Panic], "a panic is told to the host, too");
    rig.end();
}

#[test]
fn a_call_that_is_given_up_does_not_spoil_the_next() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.set_timeout(Some(Duration::from_millis(20)));
    assert_eq!(client.call("hang", json!({})).expect_err("it hangs").kind(), ErrorKind::Timeout);
    assert_eq!(client.next().expect_err("nothing is told").kind(), ErrorKind::Timeout);
    rig.fake.change(|seen| seen.released = true);
    client.set_timeout(None);
    assert_eq!(client.call("echo", json!({ "b": 2 })).expect("it answers"), json!({ "b": 2 }));
    rig.end();
}

#[test]
fn what_is_told_during_a_call_waits() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.call("flood", json!({ "count": 3, "bytes": 1 })).expect("it answers");
    client.call("wide", json!({})).expect("it answers");
    for number in 0..3 {
        let told = client.next().expect("it is there").expect("it is there");
        assert_eq!((told.method.as_str(), &told.params["number"]), ("event", &json!(number)));
    }
    let told = client.next().expect("it is there").expect("it is there");
    assert_eq!((told.method.as_str(), told.params), ("wide", json!({ "a": 1 })));
    rig.end();
}

#[test]
fn a_close_names_what_hangs_and_keeps_its_deadline() {
    let rig = Rig::new();
    let mut hanging = rig.raw();
    assert!(hanging.send(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hang\"}\n"));
    rig.fake.wait("the request", |seen| seen.calls == 1);
    let mut idle = rig.raw();
    let begun = Instant::now();
    let left = rig.control.close(begun + Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}", begun.elapsed());
    assert_eq!(left, ["the control socket: `hang`, for 0 s"]);
    assert_eq!(idle.next().expect("it is told")["method"], "bye");
    assert_eq!(idle.next(), None);
    rig.fake.change(|seen| seen.released = true);
    assert_eq!(rig.control.close(Instant::now()), Vec::<String>::new(), "a second one does nothing");
}

#[test]
fn a_method_may_close_the_socket_that_it_came_by_and_is_still_answered() {
    let rig = Rig::new();
    let mut client = rig.client();
    assert_eq!(client.call("close", json!({})).expect("it answers"), "closed");
    assert_eq!(rig.fake.state.lock().left.as_deref(), Some(&[][..]));
    assert_eq!(client.next().expect("it has ended"), None);
    rig.is_gone();
}

#[test]
fn what_is_under_way_at_a_close_is_answered() {
    let rig = Rig::new();
    let mut client = rig.raw();
    assert!(client.send(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"hang\"}\n"));
    rig.fake.wait("the request", |seen| seen.calls == 1);
    std::thread::scope(|threads| {
        let closing = threads.spawn(|| rig.control.close(Instant::now() + LONG));
        assert_eq!(client.next().expect("it is told")["params"]["why"], "the host stops");
        rig.fake.change(|seen| seen.released = true);
        assert_eq!(client.next().expect("it is answered")["id"], 7);
        assert_eq!(closing.join().expect("it does not panic"), Vec::<String>::new());
    });
}

impl Rig {
    fn is_gone(&self) {
        assert!(Client::connect(self.path()).expect("there is a folder").is_none());
    }
}
