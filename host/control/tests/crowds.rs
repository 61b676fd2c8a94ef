//! More clients than there are places.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{LONG, Raw, Rig};
use crate::{
    control::{Client, server::CONNECTIONS},
    error::ErrorKind,
};

#[test]
fn a_new_client_takes_the_place_of_the_one_that_was_idle_longest() {
    let rig = Rig::new();
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| rig.raw()).collect();
    // The two that came first have something to do since.
    assert_eq!(clients[0].ask("echo", &json!({}))["result"], json!({}));
    clients[1].ask("tap", &json!({}));
    let mut newcomer = rig.raw();
    let bye = clients[2].next().expect("it is told");
    assert_eq!(bye["method"], "bye");
    assert_eq!(bye["params"]["why"], "others wait, and this connection has been idle longest");
    assert_eq!(clients[2].next(), None);
    for (number, client) in clients.iter_mut().enumerate().filter(|(number, _)| *number != 2) {
        assert_eq!(client.ask("echo", &json!({}))["result"], json!({}), "of {number}");
    }
    newcomer.ask("echo", &json!({}));
    rig.end();
}

#[test]
fn nobody_who_does_something_is_sent_away() {
    let rig = Rig::new();
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| rig.raw()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 2 == 0 {
            client.ask("tap", &json!({}));
        } else {
            assert!(client.send(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hang\"}\n"));
        }
    }
    rig.fake.wait("the requests", |seen| seen.calls == CONNECTIONS as u64);
    for _ in 0..2 {
        let error = Client::connect(rig.path()).expect_err("all are in use");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                ErrorKind::Busy,
                "all 64 connections to the control socket are in use: end one of them, or try again later"
            )
        );
    }
    drop(clients.pop());
    drop(clients.swap_remove(0));
    rig.fake.wait("the end of a tap", |seen| seen.taps == CONNECTIONS as i64 / 2 - 1);
    rig.is_served();
    rig.fake.change(|seen| seen.released = true);
    rig.end();
}

/// In a process of its own, for the descriptors.
pub(super) fn a_thousand() {
    let rig = Rig::new();
    let mut tapping = rig.client();
    tapping.call("tap", json!({})).expect("it answers");
    let mut idle = Vec::new();
    let begun = Instant::now();
    for number in 0..1000 {
        let mut raw = Raw::connect_silently(rig.path());
        if number % 3 == 0 {
            assert!(raw.send(b"{\"jsonrpc\":\"2.0\",\"id\":1,"));
        }
        idle.push(raw);
        if number % 50 == 0 {
            rig.is_served();
            tapping.call("echo", json!({})).expect("it answers");
        }
    }
    rig.is_served();
    tapping.call("echo", json!({})).expect("it answers");
    assert!(begun.elapsed() < LONG, "took {:?}", begun.elapsed());
    // All but the last have gone, and know why.
    let ended = idle.iter_mut().take(900);
    let why: Vec<_> =
        ended.map(|raw| std::iter::from_fn(|| raw.next()).last().expect("it was told")).collect();
    assert!(why.iter().all(|line| line["method"] == "bye"), "{why:?}");
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    assert!(threads < 2 * CONNECTIONS + 20, "{threads} threads");
    rig.end();
}

#[test]
fn many_come_and_go_at_once() {
    let rig = Rig::new();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for number in 0..50 {
                    match number % 3 {
                        0 => drop(rig.raw()),
                        1 => rig.is_served(),
                        _ => {
                            assert!(rig.raw().send(b"{\"jsonrpc\":\"2.0\",\"method\":\"tap\"}\n"));
                        }
                    }
                }
            });
        }
    });
    rig.fake.wait("the end of all taps", |seen| seen.taps == 0);
    assert!(rig.reports.lock().is_empty(), "{:?}", rig.reports.lock());
    rig.end();
}

#[test]
fn a_close_finds_its_end_whatever_comes_in_meanwhile() {
    for round in 0..20 {
        let rig = Rig::new();
        std::thread::scope(|threads| {
            let path = rig.path();
            threads.spawn(move || {
                // Until nobody serves any more; a connection may be cut off at any point.
                while let Ok(Some(_)) | Err(_) = Client::connect_within(LONG, path) {}
            });
            std::thread::sleep(Duration::from_micros(300 * round));
            assert_eq!(rig.control.close(Instant::now() + LONG), Vec::<String>::new());
        });
        rig.end();
    }
}
