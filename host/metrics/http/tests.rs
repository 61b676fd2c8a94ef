//! Requests, and what they are answered with.

use super::*;

const PORT: u16 = 9464;

/// The first line of the answer, or what else is to be done.
fn status(request: &[u8]) -> String {
    match read(request, PORT) {
        Wanted::More => "more".into(),
        Wanted::Metrics { body: true } => "metrics".into(),
        Wanted::Metrics { body: false } => "metrics, head only".into(),
        Wanted::Answer(answer) => {
            let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .and_then(|length| length.parse().ok())
                .expect("its length is told");
            assert!(head.contains("Connection: close") && (body.len() == length || request[0] == b'H'));
            head.lines().next().expect("it has a status").trim_start_matches("HTTP/1.1 ").into()
        }
    }
}

#[test]
fn each_request_gets_the_answer_of_the_table() {
    let cases: [(&str, &str); 31] = [
        ("GET /metrics HTTP/1.1|Host: localhost:9464", "metrics"),
        ("GET /metrics?name=x HTTP/1.1|Host: LOCALHOST:9464|Accept: text/plain", "metrics"),
        ("GET /metrics HTTP/1.0|Host: 127.0.0.1:9464", "metrics"),
        ("GET /metrics HTTP/1.1|Host: 127.8.9.1:9464", "metrics"),
        ("GET /metrics HTTP/1.1|host:[::1]:9464", "metrics"),
        ("HEAD /metrics HTTP/1.1|Host: localhost:9464", "metrics, head only"),
        ("GET http://localhost:9464/metrics HTTP/1.1|Host: localhost:9464", "metrics"),
        ("GET http://evil.example/metrics HTTP/1.1|Host: localhost:9464", "403 Forbidden"),
        ("GET http:///metrics HTTP/1.1|Host: localhost:9464", "403 Forbidden"),
        ("GET / HTTP/1.1|Host: localhost:9464", "200 OK"),
        ("HEAD / HTTP/1.1|Host: localhost:9464", "200 OK"),
        ("GET /metric HTTP/1.1|Host: localhost:9464", "404 Not Found"),
        ("GET /metrics/ HTTP/1.1|Host: localhost:9464", "404 Not Found"),
        ("GET /../metrics HTTP/1.1|Host: localhost:9464", "404 Not Found"),
        ("POST /metrics HTTP/1.1|Host: localhost:9464|Content-Length: 3", "405 Method Not Allowed"),
        ("get /metrics HTTP/1.1|Host: localhost:9464", "405 Method Not Allowed"),
        ("GET /metrics HTTP/1.1|Accept: */*", "400 Bad Request"),
        ("GET /metrics HTTP/1.1|Host: localhost:9464|Host: localhost:9464", "400 Bad Request"),
        ("GET /metrics HTTP/1.1|Host: evil.example:9464", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: localhost.evil.example:9464", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: 127.0.0.1.evil.example:9464", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: 10.0.0.1:9464", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: [::2]:9464", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: localhost", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: [::1]", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: localhost:9465", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: ", "403 Forbidden"),
        ("GET /metrics HTTP/1.1|Host: \u{fffd}:9464", "403 Forbidden"),
        ("GET /metrics HTTP/2.0|Host: localhost:9464", "400 Bad Request"),
        ("GET /metrics|Host: localhost:9464", "400 Bad Request"),
        ("GET /metrics HTTP/1.1|no header", "400 Bad Request"),
    ];
    for (request, expected) in cases {
        let request = format!("{}\r\n\r\n", request.replace('|', "\r\n"));
        assert_eq!(status(request.as_bytes()), expected, "{request}");
    }
}

#[test]
fn garbage_is_refused_and_what_may_become_a_request_is_waited_for() {
    let long = |bytes: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(bytes)).into_bytes();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)).into_bytes();
    let cases: [(Vec<u8>, &str); 9] = [
        (b"".into(), "more"),
        (b"G".into(), "more"),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\n".into(), "more"),
        (b"\x16\x03\x01\x02\x00\x01\x00".into(), "400 Bad Request"),
        (vec![0; 100], "400 Bad Request"),
        (b"{\"jsonrpc\": \"2.0\"}\r\n\r\n".into(), "400 Bad Request"),
        (long(8_000), "more"),
        (long(9_000), "431 Request Header Fields Too Large"),
        (many, "431 Request Header Fields Too Large"),
    ];
    for (request, expected) in cases {
        assert_eq!(status(&request), expected, "{}", String::from_utf8_lossy(&request));
    }
}

#[test]
fn of_http_without_a_port_the_port_is_80() {
    for (named, here) in [("localhost", true), ("[::1]", true), ("localhost:80", true), ("localhost:", false)]
    {
        assert_eq!(is_here(named, 80), here, "{named}");
    }
}

#[test]
fn a_refusal_says_why() {
    let Wanted::Answer(answer) = read(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", PORT) else {
        panic!("it is refused");
    };
    let why = "\"evil.example\" is no name of this machine alone: ask for localhost:9464, 127.0.0.1:9464 or [::1]:9464\n";
    assert!(answer.ends_with(why), "{answer}");
    let Wanted::Answer(answer) = read(b"PUT / HTTP/1.1\r\nHost: localhost:9464\r\n\r\n", PORT) else {
        panic!("it is refused");
    };
    assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
}
