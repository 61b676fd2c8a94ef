//! A host that is asked by friends and foes at once, over its control socket: it goes on, and the others are served.
//! What single bytes do to the socket is held by `host/control/tests`.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Host,
    control::Client,
    events::{Draft, SubscribeOptions, Topic},
    log::{Options, Target},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes that is not to fail.
const LONG: Duration = Duration::from_secs(60);

/// A host with a data folder, and what its application has heard.
struct Rig {
    host: Host,
    heard: Arc<AtomicU64>,
    data: TempDir,
}

impl Rig {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("there is a place for temporary files");
        let quiet = Options { target: Target::File(data.path().join("log")), ..Options::default() };
        let host = Host::builder().data(data.path()).log(quiet).build().expect("nothing is in its way");
        host.start();
        let heard = Arc::<AtomicU64>::default();
        let counted = heard.clone();
        host.subscribe("news.>", move |_| {
            counted.fetch_add(1, SeqCst);
        })
        .expect("it may");
        Self { host, heard, data }
    }

    fn client(&self) -> Client {
        Client::connect(self.data.path()).expect("it is there").expect("it serves")
    }

    fn raw(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(self.data.path().join("pintle.sock")).expect("it serves");
        stream.set_read_timeout(Some(LONG)).expect("it takes one");
        BufReader::new(stream)
    }

    /// An event of the operator's reaches the application.
    fn goes_on(&self) {
        let before = self.heard.load(SeqCst);
        let answer = self.client().call("emit", json!({ "event": event(10) })).expect("it is published");
        assert_eq!(answer["queued"].as_u64().map(|queued| queued > 0), Some(true), "{answer}");
        let deadline = Instant::now() + LONG;
        while self.heard.load(SeqCst) == before {
            assert!(Instant::now() < deadline, "the event did not arrive");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(self) {
        let stopped = self.host.stop();
        assert!(stopped.left.is_empty(), "{stopped:?}");
        assert!(!self.data.path().join("pintle.sock").exists());
        assert!(Client::connect(self.data.path()).expect("it can be looked for").is_none());
    }
}

fn event(bytes: usize) -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "/test", "type": "news.now", "data": "x".repeat(bytes) })
}

/// Each foe does its worst beside a friend who is served; none makes the host stop or leaves something behind.
#[test]
fn whatever_comes_in_at_the_control_socket_the_host_goes_on() {
    type Foe = fn(&Rig) -> Vec<BufReader<UnixStream>>;
    let foes: [(&str, Foe); 8] = [
        ("garbage", |rig| {
            let mut foe = rig.raw();
            for line in [&b"\0\0\n"[..], b"\xff\n", b"GET / HTTP/1.1\r\n", b"[]\n", b"{}\n", b"[[[[\n"] {
                foe.get_mut().write_all(line).expect("it is taken");
            }
            let answers = foe.by_ref().lines().take(7).map(|line| line.expect("it is answered"));
            assert_eq!(answers.filter(|line| line.contains("\"error\"")).count(), 6);
            vec![foe]
        }),
        ("half lines", |rig| {
            let half = |at: usize| {
                let mut foe = rig.raw();
                let line = br#"{"jsonrpc":"2.0","id":1,"method":"emit","params":{"#;
                foe.get_mut().write_all(&line[..at]).expect("it is taken");
                if at.is_multiple_of(2) {
                    foe.get_mut().shutdown(Shutdown::Write).expect("it can be ended");
                }
                foe
            };
            (1..30).map(half).collect()
        }),
        ("a line of 100 MB", |rig| {
            let mut foe = rig.raw();
            let piece = [b'x'; 1 << 16];
            for _ in 0..100_000_000 / piece.len() {
                foe.get_mut().write_all(&piece).expect("it is taken");
            }
            foe.get_mut().write_all(b"\n").expect("it is taken");
            let answer = foe.by_ref().lines().nth(1).expect("it is answered").expect("it is answered");
            assert!(answer.contains("TOO_LARGE"), "{answer}");
            vec![foe]
        }),
        ("depth", |rig| {
            let mut foe = rig.raw();
            let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"emit\",\"params\":{{\"event\":{deep}}}}}\n"
            );
            foe.get_mut().write_all(line.as_bytes()).expect("it is taken");
            let answer = foe.by_ref().lines().nth(1).expect("it is answered").expect("it is answered");
            assert!(answer.contains("-32602"), "{answer}");
            vec![foe]
        }),
        ("a crowd", |rig| (0..300).map(|_| rig.raw()).collect()),
        ("a crowd that asks and does not read", |rig| {
            let ask = |_| {
                let mut foe = rig.raw();
                // It may have been refused, where all others are still being answered.
                let _ = foe.get_mut().write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stats\"}\n");
                foe
            };
            (0..300).map(ask).collect()
        }),
        ("a crowd that vanishes", |rig| {
            for _ in 0..300 {
                // As above.
                let _ =
                    rig.raw().get_mut().write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tail\"}\n");
            }
            Vec::new()
        }),
        ("a slow reader of everything", |rig| {
            let mut foe = rig.raw();
            foe.get_mut()
                .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tail\"}\n")
                .expect("it is taken");
            let answer = foe.by_ref().lines().nth(1).expect("it is answered").expect("it is answered");
            assert!(answer.contains("patterns"), "{answer}");
            let mut operator = rig.client();
            for _ in 0..200 {
                operator.call("emit", json!({ "event": event(100_000) })).expect("it is published");
            }
            vec![foe]
        }),
    ];
    let rig = Rig::new();
    for (name, foe) in foes {
        println!("{name}");
        let foes = foe(&rig);
        rig.goes_on();
        drop(foes);
        rig.goes_on();
    }
    rig.end();
}

#[test]
fn a_client_hears_of_events_until_the_host_stops() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.call("tail", json!({ "patterns": ["news.>"] })).expect("it is told");
    rig.goes_on();
    let told = client.next().expect("it is told").expect("it is there");
    assert_eq!((told.method.as_str(), &told.params["event"]["type"]), ("event", &json!("news.now")));
    rig.end();
    assert_eq!(client.next().expect("it has ended"), None);
    assert_eq!(client.bye(), Some("the host stops"));
}

#[test]
fn what_an_event_carries_arrives_to_the_last_digit_and_in_its_order() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.call("tail", json!({})).expect("it is told");
    let data = r#"{"z":123456789012345678901234567890,"a":1.10,"m":[1e400,"\u00e4"]}"#;
    let mut raw = rig.raw();
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"emit","params":{{"event":{{"specversion":"1.0","id":"1","source":"/t","type":"a.b","data":{data}}}}}}}"#
    );
    writeln!(raw.get_mut(), "{request}").expect("it reads");
    let told = client.next().expect("it is told").expect("it is there");
    assert!(told.text.contains(data), "{}", told.text);
    rig.end();
}

#[test]
fn something_else_in_the_place_of_the_socket_keeps_no_host_from_starting() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let (log, path): (_, &Path) = (data.path().join("log"), &data.path().join("pintle.sock"));
    std::fs::create_dir(path).expect("it can be made");
    let quiet = Options { target: Target::File(log.clone()), ..Options::default() };
    let host = Host::builder().data(data.path()).log(quiet).build().expect("it is made all the same");
    host.start();
    host.stop();
    assert!(path.is_dir(), "it was not ours");
    let log = std::fs::read_to_string(log).expect("there is a log");
    assert!(log.contains("is a folder, and is left alone"), "{log}");
}

/// Who listens in changes nothing for those who talk.
#[test]
fn whoever_tails_is_not_one_of_those_who_answer_an_event() {
    let rig = Rig::new();
    rig.host
        .subscribe_replying("ask.>", SubscribeOptions::default(), |_| Ok(b"an answer".to_vec()))
        .expect("it may");
    let ask = |rig: &Rig| {
        let draft = Draft::new(Topic::parse("ask.now").expect("it is a topic"), "/test", Vec::new());
        let results = rig.host.emit_sync("", draft, None).expect("it is published");
        results.iter().map(|result| result.outcome.reply().to_vec()).collect::<Vec<_>>()
    };
    let before = ask(&rig);
    assert_eq!(before, [b"an answer"]);
    let mut client = rig.client();
    client.call("tail", json!({ "patterns": ["ask.>", "ask.now"] })).expect("it is told");
    assert_eq!(ask(&rig), before);
    let told = client.next().expect("it is told").expect("it is there");
    assert_eq!(told.params["event"]["type"], "ask.now");
    rig.end();
}

#[test]
fn a_connection_can_ask_for_16_patterns_in_all() {
    let rig = Rig::new();
    let mut client = rig.client();
    let subscriptions = rig.host.subscriptions().len();
    for _ in 0..4 {
        client.call("tail", json!({ "patterns": ["a.>", "b.>", "c.>", "d.>"] })).expect("it is told");
    }
    let error = client.call("tail", json!({})).expect_err("it is one too many");
    assert!(error.to_string().contains("16"), "{error}");
    assert_eq!(rig.host.subscriptions().len(), subscriptions + 16);
    rig.client().call("tail", json!({})).expect("that is another connection");
    rig.end();
}

/// Events that come faster than they can be told are missing, and the client knows how many.
#[test]
fn whoever_tails_is_told_of_all_events_or_how_many_are_missing() {
    const EVENTS: u64 = 20_000;
    let rig = Rig::new();
    let mut client = rig.client();
    client.set_timeout(Some(LONG));
    client.call("tail", json!({ "patterns": ["flood.>"] })).expect("it is told");
    let draft = |topic: &str, bytes: usize| {
        Draft::new(Topic::parse(topic).expect("it is a topic"), "/test", vec![0xff; bytes])
    };
    thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..EVENTS {
                rig.host.emit("", draft("flood.more", 8_000)).expect("it is published");
            }
            assert!(rig.host.wait_idle(LONG), "the rest is told");
            rig.host.emit("", draft("flood.end", 0)).expect("it is published");
        });
        let (mut told, mut missing) = (0, 0);
        loop {
            let next = client.next().expect("it is told").expect("it is there");
            match next.method.as_str() {
                "dropped" => missing += next.params["count"].as_u64().expect("it is a number"),
                _ => told += 1,
            }
            if told + missing > EVENTS {
                break;
            }
        }
        assert_eq!(told + missing, EVENTS + 1, "{told} were told");
    });
    let displaced = rig.host.event_totals().counters.dropped.displaced;
    println!("{displaced} of {EVENTS} came too fast for the host");
    rig.end();
}
