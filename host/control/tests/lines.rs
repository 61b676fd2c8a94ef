//! Lines of every kind, and clients that stop in the middle of them.

use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{LONG, Rig};
use crate::control::LONGEST_REQUEST;

/// What comes back for a line: the id, and the number and a part of the text of an error.
type Back = Option<(Value, i64, &'static str)>;

#[test]
fn whatever_a_line_is_there_is_an_answer_and_the_connection_goes_on() {
    let request = |rest: &str| format!("{{\"jsonrpc\":\"2.0\",{rest}}}").into_bytes();
    let nothing = Value::Null;
    let deep = |open: &str, depth| open.repeat(depth);
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, Vec<u8>, Back)> = vec![
        (
            "a word",
            b"hello".to_vec(),
            Some((nothing.clone(), -32700, "not JSON: expected value at column 1")),
        ),
        ("HTTP", b"GET / HTTP/1.1\r".to_vec(), Some((nothing.clone(), -32700, "column 1"))),
        ("NUL bytes", vec![0; 1000], Some((nothing.clone(), -32700, "column 1"))),
        (
            "a NUL byte inside",
            request("\"id\":1,\"method\":\"ec\0ho\""),
            Some((nothing.clone(), -32700, "column")),
        ),
        (
            "no UTF-8",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\xfe\"}".to_vec(),
            Some((nothing.clone(), -32700, "not UTF-8 from byte 24 on")),
        ),
        ("a mark of order", b"\xef\xbb\xbf{}".to_vec(), Some((nothing.clone(), -32700, "column 1"))),
        ("half an object", b"{\"jsonrpc\":\"2.0\",\"id\":1".to_vec(), Some((nothing.clone(), -32700, "EOF"))),
        (
            "two objects",
            [request("\"id\":1,\"method\":\"echo\""), b"{}".to_vec()].concat(),
            Some((nothing.clone(), -32700, "trailing")),
        ),
        ("a deep start", deep("[", 100_000).into(), Some((nothing.clone(), -32700, "EOF"))),
        ("a deep start of objects", deep("{\"a\":", 100_000).into(), Some((nothing.clone(), -32700, "EOF"))),
        (
            "a deep batch",
            nested(100_000).into(),
            Some((nothing.clone(), -32600, "batches are not taken, send one request a line")),
        ),
        ("an empty batch", b"[]".to_vec(), Some((nothing.clone(), -32600, "batches"))),
        ("a text", b"\"echo\"".to_vec(), Some((nothing.clone(), -32600, "no object"))),
        ("null", b"null".to_vec(), Some((nothing.clone(), -32600, "no object"))),
        ("an empty object", b"{}".to_vec(), Some((nothing.clone(), -32600, "`jsonrpc` must be \"2.0\""))),
        (
            "an older protocol",
            b"{\"id\":1,\"method\":\"echo\"}".to_vec(),
            Some((json!(1), -32600, "`jsonrpc`")),
        ),
        ("an answer", request("\"id\":1,\"result\":1"), Some((json!(1), -32600, "no `method`"))),
        (
            "a method that is none",
            request("\"id\":1,\"method\":1"),
            Some((json!(1), -32600, "`method` must be a text")),
        ),
        (
            "a member twice",
            request("\"id\":1,\"id\":2,\"method\":\"echo\""),
            Some((nothing.clone(), -32600, "duplicate field `id`")),
        ),
        (
            "an id that is true",
            request("\"id\":true,\"method\":\"echo\""),
            Some((nothing.clone(), -32600, "`id` must be a string, a number or null")),
        ),
        (
            "an id that is deep",
            request(&format!("\"id\":{},\"method\":\"echo\"", nested(100_000))),
            Some((nothing.clone(), -32600, "`id` must")),
        ),
        (
            "an unknown method",
            request("\"id\":\"x\",\"method\":\"hung\""),
            Some((json!("x"), -32601, "did you mean `hang`?")),
        ),
        (
            "a method of a megabyte",
            request(&format!("\"id\":1,\"method\":\"{}\"", "e".repeat(1 << 20))),
            Some((json!(1), -32601, "there are echo, ")),
        ),
        (
            "a list of params",
            request("\"id\":1,\"method\":\"echo\",\"params\":[1]"),
            Some((json!(1), -32602, "as an object, and not as a list")),
        ),
        (
            "params that are null",
            request("\"id\":1,\"method\":\"echo\",\"params\":null"),
            Some((json!(1), -32602, "must be an object")),
        ),
        (
            "deep params",
            request(&format!("\"id\":1,\"method\":\"echo\",\"params\":{{\"a\":{}}}", nested(100_000))),
            Some((json!(1), -32602, "recursion limit")),
        ),
        (
            "a number out of range",
            request("\"id\":1,\"method\":\"echo\",\"params\":{\"a\":1e999}"),
            Some((json!(1), -32602, "out of range")),
        ),
        (
            "half a pair of surrogates",
            request("\"id\":1,\"method\":\"echo\",\"params\":{\"a\":\"\\ud800\"}"),
            Some((json!(1), -32602, "cannot be read")),
        ),
        (
            "a failure of the host",
            request("\"id\":-1.5,\"method\":\"fail\""),
            Some((json!(-1.5), 1, "plugin \"tail\": it is not there")),
        ),
        (
            "an id that is null",
            request("\"id\":null,\"method\":\"fail\""),
            Some((nothing.clone(), 1, "it is not there")),
        ),
        (
            "one byte too many",
            vec![b'x'; LONGEST_REQUEST + 1],
            Some((nothing.clone(), 9, "more than 2097152 bytes")),
        ),
        ("the longest line", vec![b'x'; LONGEST_REQUEST], Some((nothing.clone(), -32700, "not JSON"))),
        (
            "three times too long",
            vec![b' '; 3 * LONGEST_REQUEST],
            Some((nothing, 9, "more than 2097152 bytes")),
        ),
        ("nothing", Vec::new(), None),
        ("blanks", b" \t\r".to_vec(), None),
        ("a notification", request("\"method\":\"echo\""), None),
        ("a notification of nothing known", request("\"method\":\"unknown\""), None),
        ("a notification that fails", request("\"method\":\"fail\""), None),
        ("a notification that panics", request("\"method\":\"panic\",\"params\":{}"), None),
    ];
    let rig = Rig::new();
    let mut client = rig.raw();
    let mut writer = client.stream.try_clone().expect("there are descriptors");
    for (name, line, back) in cases {
        thread::scope(|threads| {
            // A long line is answered before its writer is through.
            threads.spawn(|| {
                writer.write_all(&line).and_then(|()| writer.write_all(b"\n")).expect("it is taken");
            });
            if let Some((id, code, text)) = back {
                let answer = client.next().expect("it is answered");
                assert_eq!(
                    (&answer["id"], &answer["error"]["code"]),
                    (&id, &json!(code)),
                    "{name}: {answer}"
                );
                let message = answer["error"]["message"].as_str().expect("it has one");
                assert!(message.contains(text), "{name}: {message}");
                assert!(message.len() < 300, "{name}: {message}");
            }
        });
        let answer = client.ask("echo", &json!({ "after": name }));
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": "echo", "result": { "after": name } }));
    }
    rig.end();
}

#[test]
fn noise_of_every_kind_is_answered_line_by_line() {
    let rig = Rig::new();
    let mut client = rig.raw();
    // Xorshift: the same noise every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let alphabet = b"{}[]\":,0123456789-+.eE\\utrnfals \x00\xff\xc3\x28idmethodjsonrpcparams";
    for _ in 0..3000 {
        let length = noise() % 40;
        let mut line: Vec<u8> =
            (0..length).map(|_| alphabet[(noise() % alphabet.len() as u64) as usize]).collect();
        line.push(b'#');
        line.push(b'\n');
        assert!(client.send(&line));
        let answer = client.next().expect("it is answered");
        assert_eq!(answer["error"]["code"], -32700, "{line:?}: {answer}");
    }
    rig.end();
}

#[test]
fn half_a_line_is_no_request() {
    let rig = Rig::new();
    for half in [&b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}"[..], b"{\"json", b"\xff", b" "] {
        let mut client = rig.raw();
        assert!(client.send(half));
        client.stream.shutdown(Shutdown::Write).expect("it can be ended");
        assert_eq!(client.next(), None, "after {half:?}");
    }
    assert_eq!(rig.fake.state.lock().calls, 0);
    rig.end();
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let rig = Rig::new();
    let mut client = rig.raw();
    let request = |id| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"big\",\"params\":{{\"bytes\":100000}}}}\n")
    };
    assert!(client.send((0..30).map(request).collect::<String>().as_bytes()));
    client.stream.shutdown(Shutdown::Write).expect("it can be ended");
    for id in 0..30 {
        assert_eq!(client.next().expect("it is answered")["id"], id);
    }
    assert_eq!(client.next(), None);
    rig.end();
}

#[test]
fn clients_that_write_byte_by_byte_are_served_like_others() {
    let rig = Rig::new();
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"a\":\"\xc3\xa4\"}}\r\n";
    let mut clients: Vec<_> = (0..20).map(|_| rig.raw()).collect();
    for (at, byte) in line.iter().enumerate() {
        for client in &mut clients {
            assert!(client.send(&[*byte]));
        }
        if at % 20 == 0 {
            rig.is_served();
        }
    }
    for client in &mut clients {
        assert_eq!(client.next().expect("it is answered")["result"], json!({ "a": "ä" }));
    }
    rig.end();
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let rig = Rig::new();
    let mut client = rig.raw();
    let mut writer = client.stream.try_clone().expect("there are descriptors");
    let count = 10_000;
    let writing = thread::spawn(move || {
        let line = |id| {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"echo\",\"params\":{{\"n\":{id}}}}}\n")
        };
        let lines: String = (0..count).map(line).collect();
        writer.write_all(lines.as_bytes()).expect("they are taken");
    });
    for id in 0..count {
        let answer = client.next().expect("it is answered");
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": id, "result": { "n": id } }));
    }
    writing.join().expect("they are taken");
    rig.end();
}

#[test]
fn answers_that_nobody_reads_keep_further_requests_from_being_begun() {
    let rig = Rig::new();
    let mut client = rig.raw();
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("it takes one");
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":{\"bytes\":100000}}\n";
    let mut sent = 0;
    while client.send(line) {
        sent += 1;
        assert!(sent < 1_000_000, "everything is taken");
    }
    // A mebibyte of answers, what the system keeps, and one more.
    let calls = rig.fake.state.lock().calls;
    assert!((11..40).contains(&calls), "{calls} were begun");
    rig.is_served();
    // Whoever reads at last gets on.
    client.stream.set_write_timeout(None).expect("it takes none");
    let mut text = vec![0; 200_000];
    client.lines.read_exact(&mut text).expect("it comes");
    rig.fake.wait("the next request", |seen| seen.calls > calls);
    rig.end();
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_an_answer_takes_nobody_along() {
    let rig = Rig::new();
    for read in [0, 1, 10_000] {
        let mut client = rig.raw();
        client.ask("tap", &json!({}));
        assert!(
            client
                .send(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":{\"bytes\":8000000}}\n")
        );
        client.lines.read_exact(&mut vec![0; read]).expect("it comes");
        drop(client);
        rig.fake.wait("the end of its tap", |seen| seen.taps == 0);
        rig.is_served();
    }
    assert!(rig.reports.lock().is_empty());
    rig.end();
}

#[test]
fn what_a_client_does_not_read_is_dropped_and_counted_in_its_place() {
    let rig = Rig::new();
    let mut client = rig.raw();
    let (count, bytes) = (20_000, 1000);
    let flood =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "flood", "params": { "count": count, "bytes": bytes } });
    assert!(client.send(format!("{flood}\n").as_bytes()));
    rig.fake.wait("the flood", |seen| seen.floods == 1);
    rig.is_served();
    let (mut next, mut dropped, mut answered) = (0, 0, false);
    while next < count || !answered {
        let line = client.next().expect("it is told");
        match line["method"].as_str() {
            Some("event") => {
                assert_eq!(line["params"]["number"], next);
                next += 1;
            }
            Some("dropped") => {
                let count = line["params"]["count"].as_u64().expect("it has one");
                assert!(count > 0);
                dropped += count;
                next += count;
            }
            Some(_) | None => {
                assert_eq!(line["id"], 1);
                answered = true;
            }
        }
    }
    assert_eq!(next, count);
    assert!(dropped > 10_000, "{dropped} were dropped, so that nothing was tried");
    rig.end();
}

#[test]
fn a_client_that_reads_nothing_is_disconnected_and_others_are_served_meanwhile() {
    let rig = Rig::patient(Duration::from_millis(300));
    let mut client = rig.raw();
    client.ask("tap", &json!({}));
    let flood =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "flood", "params": { "count": 5000, "bytes": 1000 } });
    assert!(client.send(format!("{flood}\n").as_bytes()));
    let mut served = 0;
    let begun = std::time::Instant::now();
    while rig.fake.state.lock().taps > 0 {
        rig.is_served();
        served += 1;
        assert!(begun.elapsed() < LONG, "it is still there");
    }
    assert!(served > 5, "{served} were served meanwhile");
    // What had been written is read, and then nothing.
    let mut rest = Vec::new();
    let _ = client.lines.read_to_end(&mut rest);
    assert!(rest.len() < 1 << 20);
    rig.end_after_reports(1);
}

impl Rig {
    fn end_after_reports(self, count: usize) {
        let reports = self.reports.clone();
        self.end();
        let texts: Vec<_> = reports.lock().iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), count, "{texts:?}");
        assert_eq!(
            texts[0],
            "a client of the control socket has read nothing for 300ms, and was disconnected"
        );
    }
}
