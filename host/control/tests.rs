//! The control socket under friends and foes, with methods made up for it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use super::{Client, Control, Methods, Refusal, Session};
use crate::error::{Error, ErrorKind};

/// What the host of these tests can do.
struct Fake;

impl Methods for Fake {
    fn names(&self) -> &'static [&'static str] {
        &["echo", "fail"]
    }

    fn answer(&self, method: &str, params: Map<String, Value>, _: &Arc<Session>) -> Result<Value, Refusal> {
        match method {
            "echo" => Ok(Value::Object(params)),
            "fail" => Err(Error::new(ErrorKind::NotFound, "it is not there").of("tail").into()),
            _ => Err(Refusal::UnknownMethod),
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn serve(data: &Path) -> Control {
    Control::start(data, data, Arc::new(Fake), |_| {}).expect("nothing is in its way")
}

#[test]
fn a_client_is_answered() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let control = serve(data.path());
    let mut client = Client::connect(data.path()).expect("it is there").expect("it serves");
    assert_eq!(client.call("echo", json!({ "a": 1 })).expect("it answers"), json!({ "a": 1 }));
    let error = client.call("fail", json!({})).expect_err("it fails");
    assert_eq!((error.kind(), error.plugin()), (ErrorKind::NotFound, Some("tail")));
    assert_eq!(error.to_string(), "plugin \"tail\": it is not there");
    assert_eq!(control.close(soon()), Vec::<String>::new());
    assert_eq!(client.next().expect("it has ended"), None);
    let error = client.call("echo", json!({})).expect_err("it has ended");
    assert_eq!(error.to_string(), "the host has ended the connection: the host stops");
    assert!(Client::connect(data.path()).expect("it is there").is_none());
}
