//! The listener, as clients of all sorts meet it. Deadlines and pages that hang are beside the code, where they are short.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use pintle::{
    ErrorKind, Host, Settings,
    log::{Format, Options, Target},
    metrics::CONTENT_TYPE,
};

use crate::{
    checker::check,
    scene::{PATIENCE, Scene, build, folder, told},
};

const ANY_PORT: &str = "[metrics]\nlisten = \"127.0.0.1:0\"";

fn address(host: &Host) -> SocketAddr {
    host.metrics_address().expect("it listens")
}

fn connect(host: &Host) -> TcpStream {
    let stream = TcpStream::connect(address(host)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
    stream
}

/// What is answered to these bytes, to the end.
fn answer(host: &Host, request: &[u8]) -> String {
    let mut stream = connect(host);
    // Who is refused may find the connection closed before all is written; the answer is there all the same.
    let _ = stream.write_all(request);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers in time");
    text
}

fn get(host: &Host, path: &str) -> String {
    answer(host, format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", address(host)).as_bytes())
}

/// A scrape, which must be right.
fn scrape(host: &Host) -> String {
    let text = get(host, "/metrics");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Type: {CONTENT_TYPE}\r\n")), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    check(body).unwrap_or_else(|problem| panic!("{problem}"));
    body.to_owned()
}

#[test]
fn a_scraper_is_told_what_the_host_counts_and_the_address_is_in_the_log() {
    let scene = Scene::new(ANY_PORT, &[("busy", &[])]);
    for calls in [1.0, 2.0] {
        assert_eq!(scene.ask("acme", "busy", "cache 1 1").ok().as_deref(), Some("1"));
        let text = scrape(&scene.host);
        assert_eq!(told(&text, "pintle_plugin_calls", &[("service", "cache")]), [calls]);
    }
    let head = answer(
        &scene.host,
        format!("HEAD /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", address(&scene.host)).as_bytes(),
    );
    assert!(head.contains(CONTENT_TYPE) && head.ends_with("\r\n\r\n"), "{head}");
    assert!(get(&scene.host, "/").ends_with("its metrics are at /metrics\n"));
    assert!(scene.host.stop().left.is_empty());

    let (lines, folder) = (Lines::default(), folder());
    let settings = Settings::from_text(ANY_PORT, folder.path()).expect("they are right");
    let log = Options {
        target: Target::Writer(Box::new(lines.clone())),
        format: Format::Json,
        ..Options::default()
    };
    let host = Host::builder().settings(settings).log(log).build().expect("there is a free port");
    let address = address(&host).to_string();
    host.stop();
    let log = String::from_utf8(lines.0.lock().expect("nobody panics").clone()).expect("it is text");
    assert!(log.contains(&address) && log.contains("metrics are served"), "{log}");
}

#[test]
fn nobody_listens_unless_the_settings_say_so() {
    let folder = folder();
    assert_eq!(build(Settings::default(), &folder).expect("it can be made").metrics_address(), None);
}

#[test]
fn a_host_whose_address_cannot_be_had_is_not_built_and_leaves_nothing() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let here = taken.local_addr().expect("it has an address");
    for (listen, kind, part) in [
        (here, ErrorKind::Conflict, format!("metrics.listen: {here} is in use: take another port")),
        (
            SocketAddr::from(([192, 0, 2, 1], 0)),
            ErrorKind::InvalidArgument,
            "can be reached from other machines".into(),
        ),
    ] {
        let mut settings = Settings::default();
        settings.metrics.listen = Some(listen);
        let error = build(settings, &folder).expect_err("it cannot be had");
        assert!(error.kind() == kind && error.to_string().contains(&part), "{error:?}");
    }
    let mut settings = Settings::default();
    settings.metrics.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    scrape(&build(settings, &folder).expect("the folder is free"));
}

#[test]
fn each_hostile_client_gets_its_answer_and_the_next_scraper_his() {
    let scene = Scene::new(ANY_PORT, &[]);
    let host = format!("Host: {}\r\n", address(&scene.host));
    let cases: [(&str, Vec<u8>, &str); 13] = [
        (
            "random bytes",
            (0..4_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
            "400",
        ),
        ("zeroes", vec![0; 100_000], "400"),
        ("a greeting in TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".into(), "400"),
        ("a line without an end", vec![b'a'; 1 << 20], "431"),
        ("a head without an end", format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(100_000)).into(), "431"),
        (
            "a body of 2 MB",
            [
                format!("POST /metrics HTTP/1.1\r\n{host}Content-Length: 2000000\r\n\r\n").into_bytes(),
                vec![b'x'; 2_000_000],
            ]
            .concat(),
            "405",
        ),
        ("no host", b"GET /metrics HTTP/1.1\r\n\r\n".into(), "400"),
        ("another's name", b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".into(), "403"),
        ("a target of another", format!("GET http://evil.example/ HTTP/1.1\r\n{host}\r\n").into(), "403"),
        ("another path", format!("GET /etc/passwd HTTP/1.1\r\n{host}\r\n").into(), "404"),
        (
            "two requests at once",
            format!("GET /a HTTP/1.1\r\n{host}\r\nGET /metrics HTTP/1.1\r\n{host}\r\n").into(),
            "404",
        ),
        ("no UTF-8", [&b"GET /metrics HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n"[..]].concat(), "403"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "400"),
    ];
    for (what, request, status) in cases {
        let text = answer(&scene.host, &request);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{what}: {text}");
        scrape(&scene.host);
    }
    // Those who say nothing, or stop in the middle, get nothing or 400; nobody is kept waiting for it.
    for (begun, expected) in [("", ""), ("GET /metr", "HTTP/1.1 400 ")] {
        let mut stream = connect(&scene.host);
        stream.write_all(begun.as_bytes()).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it ends in time");
        assert!(text.starts_with(expected) && text.is_empty() == expected.is_empty(), "{begun}: {text}");
    }
    assert!(scene.host.stop().left.is_empty());
}

#[test]
fn a_thousand_clients_that_say_nothing_keep_no_scraper_and_no_stop_waiting() {
    let scene = Scene::new(ANY_PORT, &[("busy", &[])]);
    let mut silent = VecDeque::new();
    for at in 0..1_000 {
        let mut stream = connect(&scene.host);
        // Every other one begins.
        if at % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
        }
        silent.push_back(stream);
        // Other tests need sockets too, and the listener has let go of the oldest by now.
        if silent.len() > 250 {
            silent.pop_front();
        }
        if at % 100 == 99 {
            scrape(&scene.host);
        }
    }
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| scrape(&scene.host));
        }
    });
    assert_eq!(scene.ask("", "busy", "cache 1 1").ok().as_deref(), Some("1"), "the host goes on");
    let begun = Instant::now();
    assert!(scene.host.stop().left.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(8), "the stop was held up: {:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn hosts_with_listeners_come_and_go_and_take_their_ports_with_them() {
    let folder = folder();
    let mut settings = Settings::default();
    settings.metrics.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    for _ in 0..10 {
        let host = build(settings.clone(), &folder).expect("folder and port are free again");
        scrape(&host);
        // It is stopped by being dropped: nothing of it may hold it.
    }
}

/// What a host has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
