//! Clients of servers that are no hosts, or other ones.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::LONG;
use crate::{
    control::{Client, LONGEST_ANSWER, SOCKET},
    error::{Error, ErrorKind},
};

const HELLO: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"protocol\":1,\"pintle\":\"9.9.9\",\"pid\":1,\"new\":true},\"newer\":1}\n";

/// Runs `client` beside a server that does `serve` with the one connection that it takes.
fn against<T>(
    serve: impl FnOnce(UnixStream) + Send,
    client: impl FnOnce(Result<Option<Client>, Error>) -> T,
) -> T {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let listener = UnixListener::bind(data.path().join(SOCKET)).expect("nothing is in its way");
    thread::scope(|threads| {
        threads.spawn(move || serve(listener.accept().expect("somebody comes").0));
        client(Client::connect_within(Duration::from_secs(2), data.path()))
    })
}

fn until_it_goes(mut stream: UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn what_is_no_host_is_told_from_one() {
    let newer = String::from_utf8_lossy(HELLO).replace(":1,\"pintle\"", ":2,\"pintle\"").into_bytes();
    let endless = [&b"{\"a\":\""[..], &vec![b'x'; LONGEST_ANSWER]].concat();
    let cases: [(&str, &[u8], ErrorKind, &str); 10] = [
        ("nothing", b"", ErrorKind::Timeout, "has not said hello for 2s: look whether the host was halted"),
        ("half a hello", &HELLO[..50], ErrorKind::Timeout, "has not said hello for 2s"),
        ("words", b"220 mail.example ESMTP\n", ErrorKind::Unavailable, "it sends what cannot be read"),
        ("noise", b"\0\xff\n", ErrorKind::Unavailable, "it sends what cannot be read"),
        ("an array", b"[]\n", ErrorKind::Unavailable, "it sends what c"),
        ("an empty object", b"{}\n", ErrorKind::Unavailable, "it sends what is neither an answer"),
        ("another hello", b"{\"method\":\"hello\"}\n", ErrorKind::Unavailable, "its hello names no protocol"),
        ("an answer", b"{\"id\":1,\"result\":null}\n", ErrorKind::Unavailable, "it does not say hello"),
        (
            "a newer host",
            &newer,
            ErrorKind::Unsupported,
            "(Pintle \"9.9.9\") speaks protocol 2 of the control socket, this program 1: update this program",
        ),
        ("an endless line", &endless, ErrorKind::Unavailable, "it sends a line of more than 16777216 bytes"),
    ];
    for (name, says, kind, text) in cases {
        let begun = Instant::now();
        let serve = |mut stream: UnixStream| {
            let _ = stream.write_all(says);
            until_it_goes(stream);
        };
        let error = against(serve, |client| client.expect_err("it is none"));
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn a_hello_that_trickles_in_is_not_waited_for_longer() {
    let serve = |mut stream: UnixStream| {
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    };
    let error = against(serve, |client| client.expect_err("it never comes"));
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn an_answer_may_be_anything() {
    let told = "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":{}}\n".repeat(3000);
    let answered = |text: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":1,{text}}}\n").into_bytes();
    let deep = format!("{{\"id\":1,\"result\":{}", "[".repeat(100_000));
    type Expected = Result<&'static str, (ErrorKind, &'static str)>;
    let gone = "the host has ended the connection: it does not run any more, or has cut it off";
    let cases: [(&str, Vec<u8>, Expected); 14] = [
        ("what was asked for", answered("\"result\":[1]"), Ok("[1]")),
        ("and more", answered("\"later\":1,\"result\":null"), Ok("null")),
        ("after much else", [told.as_bytes(), &answered("\"result\":2")].concat(), Ok("2")),
        ("nothing", Vec::new(), Err((ErrorKind::Unavailable, gone))),
        ("half an answer", answered("\"result\":[1]")[..20].to_vec(), Err((ErrorKind::Unavailable, gone))),
        (
            "a farewell",
            b"{\"method\":\"bye\",\"params\":{\"why\":\"tea\"}}\n".to_vec(),
            Err((ErrorKind::Unavailable, "the host has ended the connection: tea")),
        ),
        (
            "another's answer",
            b"{\"id\":2,\"result\":1}\n".to_vec(),
            Err((ErrorKind::Unavailable, "it answers what was not asked")),
        ),
        (
            "a text for an id",
            b"{\"id\":\"1\",\"result\":1}\n".to_vec(),
            Err((ErrorKind::Unavailable, "it answers what was not asked")),
        ),
        ("noise", b"\xff\xfe\n".to_vec(), Err((ErrorKind::Unavailable, "it sends what cannot be read"))),
        ("depth", format!("{deep}\n").into(), Err((ErrorKind::Unavailable, "recursion limit"))),
        (
            "an endless line",
            vec![b'x'; LONGEST_ANSWER + 1],
            Err((ErrorKind::Unavailable, "more than 16777216 bytes")),
        ),
        (
            "an error for nobody",
            b"{\"id\":null,\"error\":{\"code\":13,\"message\":\"full\",\"data\":{\"kind\":\"BUSY\"}}}\n"
                .to_vec(),
            Err((ErrorKind::Busy, "full")),
        ),
        (
            "an error of a later kind",
            answered(
                "\"error\":{\"code\":99,\"message\":\"new\",\"data\":{\"kind\":\"NEW\",\"plugin\":\"p\"}}",
            ),
            Err((ErrorKind::Internal, "plugin \"p\": new")),
        ),
        (
            "an error without data",
            answered("\"error\":{\"code\":-32601,\"message\":\"no\"}"),
            Err((ErrorKind::Unsupported, "no")),
        ),
    ];
    for (name, says, expected) in cases {
        let serve = |mut stream: UnixStream| {
            let _ = stream.write_all(HELLO);
            let mut request = vec![0; 10];
            stream.read_exact(&mut request).expect("it is asked");
            let _ = stream.write_all(&says);
        };
        let found = against(serve, |client| {
            let mut client = client.expect("it says hello").expect("it is there");
            assert_eq!((client.pintle(), client.pid()), ("9.9.9", 1));
            let found = client.call("echo", json!({}));
            if name == "after much else" {
                let mut count = 0;
                while let Some(told) = client.next().expect("it ends") {
                    count += told.params["count"].as_u64().unwrap_or(1);
                }
                assert_eq!(count, 3000);
                let error = client.call("echo", json!({})).expect_err("it is over");
                assert_eq!(error.kind(), ErrorKind::Unavailable);
            }
            found
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected, "{name}"),
            (Err(error), Err((kind, text))) => {
                assert_eq!(error.kind(), kind, "{name}: {error}");
                assert!(error.to_string().contains(text), "{name}: {error}");
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}
