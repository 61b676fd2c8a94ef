//! Requests for metrics: what stands at the head of one, and what it is answered with.
//!
//! Of HTTP/1.1 only what a scraper and a curious browser need. Only who speaks to this machine by a name that is its
//! own is answered: a page from elsewhere that has its name point here (DNS rebinding) is not.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::CONTENT_TYPE;

/// The most bytes that the head of a request may have.
pub(super) const LONGEST_HEAD: usize = 8 << 10;

/// The most header lines.
const MOST_HEADERS: usize = 64;

const TEXT: &str = "text/plain; charset=utf-8";

/// What is to be done about the bytes that have come so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// More of them.
    More,
    /// The metrics; `body`: not only the head of the answer.
    Metrics { body: bool },
    /// To answer with this, and be done.
    Answer(String),
}

/// A status and what it is called.
type Status = (u16, &'static str);

pub(super) const OK: Status = (200, "OK");
pub(super) const BAD_REQUEST: Status = (400, "Bad Request");
pub(super) const FORBIDDEN: Status = (403, "Forbidden");
pub(super) const NOT_FOUND: Status = (404, "Not Found");
pub(super) const METHOD_NOT_ALLOWED: Status = (405, "Method Not Allowed");
pub(super) const TIMEOUT: Status = (408, "Request Timeout");
pub(super) const HEAD_TOO_LARGE: Status = (431, "Request Header Fields Too Large");
pub(super) const UNAVAILABLE: Status = (503, "Service Unavailable");

/// Reads what has come on a connection to `port`.
pub(super) fn read(bytes: &[u8], port: u16) -> Wanted {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(&bytes[..bytes.len().min(LONGEST_HEAD)]);
    match parsed {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => return Wanted::More,
        Ok(httparse::Status::Partial) => {
            return refuse(HEAD_TOO_LARGE, "the head of a request may have 8 KiB at most");
        }
        Err(httparse::Error::TooManyHeaders) => {
            return refuse(HEAD_TOO_LARGE, "a request may have 64 header lines at most");
        }
        Err(_) => return refuse(BAD_REQUEST, "this is no request of HTTP/1.1"),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return refuse(BAD_REQUEST, "this is no request of HTTP/1.1");
    };
    let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return refuse(BAD_REQUEST, "a request has one Host header");
    };
    let (authority, path) = split(target);
    let named = std::str::from_utf8(host.value).unwrap_or_default();
    if let Some(other) = [Some(named), authority].into_iter().flatten().find(|name| !is_here(name, port)) {
        let why = format!(
            "{other:?} is no name of this machine alone: ask for localhost:{port}, 127.0.0.1:{port} or [::1]:{port}"
        );
        return refuse(FORBIDDEN, &why);
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => {
            let more = "Allow: GET, HEAD\r\n";
            return Wanted::Answer(answer(
                METHOD_NOT_ALLOWED,
                TEXT,
                more,
                "only GET and HEAD are answered\n",
                true,
            ));
        }
    };
    match path {
        "/metrics" => Wanted::Metrics { body },
        "/" | "" => {
            Wanted::Answer(answer(OK, TEXT, "", "a Pintle host: its metrics are at /metrics\n", body))
        }
        _ => Wanted::Answer(answer(NOT_FOUND, TEXT, "", "there is nothing but /metrics here\n", body)),
    }
}

/// The answer to a request for metrics.
pub(super) fn metrics(text: &str, body: bool) -> String {
    answer(OK, CONTENT_TYPE, "", text, body)
}

/// An answer that says why there is no better one.
pub(super) fn refusal(status: Status, why: &str) -> String {
    answer(status, TEXT, "", &format!("{why}\n"), true)
}

fn refuse(status: Status, why: &str) -> Wanted {
    Wanted::Answer(refusal(status, why))
}

/// `more`: header lines, each with its end.
fn answer((code, name): Status, content_type: &str, more: &str, text: &str, body: bool) -> String {
    let mut answer = String::with_capacity(text.len() + 256);
    let length = text.len();
    // A `String` takes all.
    let _ = write!(
        answer,
        "HTTP/1.1 {code} {name}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{more}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    );
    if body {
        answer.push_str(text);
    }
    answer
}

/// What `http://` names in a target, if it does, and the rest.
fn split(target: &str) -> (Option<&str>, &str) {
    match target.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http://") => {
            let rest = &target[7..];
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => (None, target),
    }
}

/// Whether `host:port` can only mean this machine. Without a port it is that of HTTP.
fn is_here(named: &str, port: u16) -> bool {
    let (host, given) = match named.rsplit_once(':') {
        Some((host, given)) if !given.ends_with(']') => (host, given.parse().ok()),
        _ => (named, Some(80)),
    };
    let own = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(Some(v6)) => v6.parse::<Ipv6Addr>().is_ok_and(|ip| IpAddr::V6(ip).is_loopback()),
        Some(None) => false,
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        }
    };
    own && given == Some(port)
}

#[cfg(test)]
mod tests;
