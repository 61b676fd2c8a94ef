//! Calls that wait for each other: circles, deadlines, callers that have given up, queues that are full, and stops in
//! the middle of it. The call deadline of these hosts is a minute, so that what ends soon was not ended by that.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use pintle::{ErrorKind, Result};
use pintle_abi::*;
use serde_json::json;

use crate::rig::{Rig, Running, SOON, assert_says, own_plugin, plugin, relay, touch, until};

/// Relays of these names.
fn relays(names: &[&str]) -> Rig {
    let mut rig = names.iter().fold(Rig::new(), |rig, name| rig.with(&relay(name)));
    rig.settings.deadlines.call = Duration::from_secs(60);
    rig
}

/// `here` in a folder of the test, where `hold_then_forward` meets.
fn meeting(running: &Running) -> String {
    running.path("").to_str().expect("it is text").trim_end_matches('/').to_owned()
}

/// What each of several calls answers that run at the same time.
fn at_once(running: &Running, calls: &[(&str, String)]) -> Vec<Result<String>> {
    thread::scope(|threads| {
        let asked: Vec<_> = calls
            .iter()
            .map(|(service, request)| {
                threads.spawn(move || running.ask(service, "hold_then_forward", request))
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("it does not panic")).collect()
    })
}

const CIRCLE: &str = "cannot answer before this very call returns, so waiting for it would never end";

/// Exactly one of them was refused as a circle, and all others were answered.
#[track_caller]
fn one_circle(answers: &[Result<String>]) {
    let (refused, answered): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_err());
    assert_eq!(refused.len(), 1, "{answers:?}");
    let error = refused[0].as_ref().expect_err("it is one");
    assert_says(error, ErrorKind::Reentrant, &[CIRCLE]);
    for answer in answered {
        assert!(answer.as_ref().is_ok_and(|answer| answer.ends_with(">pong")), "{answers:?}");
    }
}

#[test]
fn contract_58_and_calls_10_a_wait_for_ones_own_lane_is_reentrant_at_once() {
    let running = relays(&["a"]).start_well();
    let begun = Instant::now();
    let error = running.ask("a.ping", "forward", "a.ping").expect_err("it waits for itself");
    assert_says(&error, ErrorKind::Reentrant, &["plugin \"a\": a calling a.ping: plugin \"a\" ", CIRCLE]);
    assert!(begun.elapsed() < SOON);
    assert_eq!(running.ask("a.ping", "ping", "").expect("it goes on"), "pong");
}

#[test]
fn contract_59_a_call_back_into_the_chain_is_reentrant_at_once() {
    let running = relays(&["a", "b", "c"]).start_well();
    for (route, said) in [
        ("b.ping a.ping", "a calling b.ping: plugin \"b\": b calling a.ping: plugin \"a\" "),
        (
            "b.ping c.ping a.ping",
            "a calling b.ping: plugin \"b\": b calling c.ping: plugin \"c\": c calling a.ping: plugin \"a\" ",
        ),
        (
            "b.ping c.ping b.ping",
            "a calling b.ping: plugin \"b\": b calling c.ping: plugin \"c\": c calling b.ping: plugin \"b\" ",
        ),
    ] {
        let error = running.ask("a.ping", "forward", route).expect_err("it is a circle");
        assert_says(&error, ErrorKind::Reentrant, &[said, CIRCLE]);
    }
    assert_eq!(running.ask("a.ping", "forward", "b.ping c.ping").expect("this is none"), "a>b>pong");
    assert_eq!(running.workers().waiting, 0);
}

#[test]
fn contract_60_of_two_chains_that_cross_one_is_refused_and_the_other_is_answered() {
    let running = relays(&["a", "b"]).start_well();
    let at = meeting(&running);
    let answers =
        at_once(&running, &[("a.ping", format!("{at} b.ping")), ("b.ping", format!("{at} a.ping"))]);
    one_circle(&answers);
}

#[test]
fn contract_60_a_circle_of_three_waiting_lanes_is_closed_by_none() {
    let running = relays(&["a", "b", "c"]).start_well();
    let at = meeting(&running);
    let calls = [("a.ping", "b.ping"), ("b.ping", "c.ping"), ("c.ping", "a.ping")];
    let calls = calls.map(|(service, next)| (service, format!("{at} {next}")));
    one_circle(&at_once(&running, &calls));
}

#[test]
fn contract_60_two_chains_that_cross_in_a_third_lane_are_no_circle_for_both() {
    let running = relays(&["a", "b", "c"]).start_well();
    let at = meeting(&running);
    let answers = thread::scope(|threads| {
        // Both wait for c, which is here as soon as both of them are.
        threads.spawn(|| {
            until("both are here", || {
                ["a", "b"].iter().all(|name| running.path(&format!("{name}.here")).exists())
            });
            touch(&running.path("c.here"));
        });
        let calls = [("a.ping", format!("{at} c.ping b.ping")), ("b.ping", format!("{at} c.ping a.ping"))];
        at_once(&running, &calls)
    });
    one_circle(&answers);
}

#[test]
fn contract_57_and_calls_7_a_call_that_takes_too_long_answers_timeout_to_each_in_the_chain() {
    let running = relays(&["a", "b"]).config("a", json!({ "timeout_ms": 100 })).start_well();
    let at = meeting(&running);
    thread::scope(|threads| {
        // b waits for somebody who does not come yet.
        let busy = threads.spawn(|| running.ask("b.ping", "hold_then_forward", &format!("{at} c.ping")));
        until("b is at work", || running.path("b.here").exists());
        let error = running.ask("a.ping", "forward", "b.ping").expect_err("b does not answer");
        let parts = &["plugin \"a\": a calling b.ping: plugin \"b\" did not answer \"b.ping.ping\" in time"];
        assert_says(&error, ErrorKind::Timeout, parts);
        let short = Some(Duration::from_millis(50));
        let error = running.call("", "b.ping", 1, "ping", b"", short).expect_err("b does not answer");
        assert_says(&error, ErrorKind::Timeout, &["plugin \"b\" did not answer \"b.ping.ping\" in time"]);
        touch(&running.path("c.here"));
        let error = busy.join().expect("it does not panic").expect_err("there is no c");
        let parts = &["b calling c.ping: no loaded plugin provides the service \"c.ping\""];
        assert_says(&error, ErrorKind::NotFound, parts);
    });
    // What nobody waits for any more was not even begun.
    assert!(running.wait_idle(SOON));
    assert_eq!(running.info("b").counters.handled, 1);
}

#[test]
fn contract_31_and_contract_64_after_its_caller_gave_up_a_call_has_no_time_left_and_does_not_wait() {
    let running = relays(&["a"]).with(&own_plugin("patient")).start_well();
    let short = Some(Duration::from_millis(50));
    let asked_before = running.info("a").counters.handled;
    let go = running.path("go");
    let path = go.to_str().expect("it is text").as_bytes();
    let error =
        running.call("acme", "patient.run", 1, "outlive", path, short).expect_err("it outlives its caller");
    assert_says(
        &error,
        ErrorKind::Timeout,
        &["plugin \"patient\" did not answer \"patient.run.outlive\" in time"],
    );
    let record = running.record(&["\"message\":\"outlived\""]);
    touch(&go);
    assert_eq!(record["remaining"], 0, "{record}");
    assert_eq!(record["asked"], PINTLE_CANCELLED, "{record}");
    let text = record["text"].as_str().expect("it has one");
    assert!(text.contains("the caller of this function has given up: nobody waits for its answer"), "{text}");
    assert_eq!(record["scope"], PINTLE_OK, "what does not wait still works: {record}");
    assert_eq!(running.info("a").counters.handled, asked_before, "nothing was asked of a");
}

#[test]
fn contract_54_who_waits_when_the_stop_begins_is_woken_with_stopping() {
    let running = relays(&["a", "b"]).start_well();
    let at = meeting(&running);
    thread::scope(|threads| {
        let busy = threads.spawn(|| running.ask("b.ping", "hold_then_forward", &format!("{at} c.ping")));
        until("b is at work", || running.path("b.here").exists());
        let waiting = threads.spawn(|| running.ask("a.ping", "forward", "b.ping"));
        until("a waits for b", || running.workers().waiting == 1);
        running.disable("a").expect("nothing of it hangs");
        let error = waiting.join().expect("it does not panic").expect_err("it was woken");
        let parts = &["a calling b.ping: the caller is stopping, its waits were ended"];
        assert_says(&error, ErrorKind::Stopping, parts);
        touch(&running.path("c.here"));
        let _ = busy.join().expect("it does not panic");
    });
}

/// `disable` must not have to wait for a publisher that waits for room, up to a minute.
#[test]
fn contract_54_a_publisher_that_waits_for_room_is_woken_when_its_plugin_stops() {
    let (running, go) = crowded();
    thread::scope(|threads| {
        let crowding = threads.spawn(|| running.ask("patient.run", "crowd", ""));
        until("the handler hangs", || go.with_file_name("here").exists());
        until("it waits for room", || running.workers().waiting == 1);
        let begun = Instant::now();
        let disabled = running.disable("patient");
        touch(&go);
        disabled.expect("nothing of it hangs");
        assert!(begun.elapsed() < SOON);
        crowding.join().expect("it does not panic").expect("an event without room is dropped");
    });
}

/// As a call by message does: it would only wait for nobody.
#[test]
fn contract_64_a_publisher_whose_caller_has_given_up_does_not_wait_for_room() {
    let (running, go) = crowded();
    // Both give up at the same time: either may be the first.
    if let Err(error) = running.call("acme", "patient.run", 1, "crowd", b"", Some(Duration::from_millis(100)))
    {
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    until("it goes on", || {
        let counters = running.info("patient").counters;
        counters.running == 0 && counters.handled == 1
    });
    touch(&go);
}

#[test]
fn events_14_a_publisher_that_waits_for_room_goes_on_when_the_subscriber_goes_away() {
    let (running, go) = crowded();
    thread::scope(|threads| {
        let crowding = threads.spawn(|| running.ask("patient.run", "crowd", ""));
        until("the handler hangs", || go.with_file_name("here").exists());
        until("it waits for room", || running.workers().waiting == 1);
        // Its handler hangs, so that it cannot be disabled in time; but nothing waits for it any more.
        let error = running.disable("listener").expect_err("its handler hangs");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        crowding.join().expect("it does not panic").expect("events that nobody takes are dropped");
        touch(&go);
    });
}

/// A publisher, and a subscriber that hangs until the file is there.
fn crowded() -> (Running, std::path::PathBuf) {
    let rig = relays(&["a"]).with(&own_plugin("patient")).with(&own_plugin("listener")).stop_within(2000);
    let directory = rig.path("listening");
    crate::rig::folder_at(&directory);
    let running = rig.config("listener", json!({ "directory": directory.to_str() })).start_well();
    (running, directory.join("go"))
}

#[test]
fn calls_12_a_full_queue_of_the_provider_is_busy() {
    let mut rig = relays(&["a"]);
    rig.settings.queues.lane = 2;
    let running = rig.start_well();
    let at = meeting(&running);
    thread::scope(|threads| {
        threads.spawn(|| running.ask("a.ping", "hold_then_forward", &format!("{at} c.ping")));
        until("a is at work", || running.path("a.here").exists());
        let waiting = [1, 2].map(|_| threads.spawn(|| running.ask("a.ping", "ping", "")));
        until("two calls wait", || running.info("a").counters.waiting == 2);
        let error = running.ask("a.ping", "ping", "").expect_err("there is no room");
        assert_says(&error, ErrorKind::Busy, &["2 calls wait for plugin \"a\" already: try again later"]);
        touch(&running.path("c.here"));
        for waiting in waiting {
            assert_eq!(waiting.join().expect("it does not panic").expect("there was room"), "pong");
        }
    });
}

#[test]
fn calls_4_calls_5_and_calls_9_what_is_not_there_is_told_apart() {
    let running = relays(&["a", "b"]).start_well();
    let call = |service: &str, major, method: &str| {
        running.call("", service, major, method, b"", Some(SOON)).expect_err("it is not there")
    };
    for (error, kind, said) in [
        (call("z.ping", 1, "ping"), ErrorKind::NotFound, "no loaded plugin provides the service \"z.ping\""),
        (call("", 1, "ping"), ErrorKind::NotFound, "no loaded plugin provides the service \"\""),
        (
            call("a.ping", 2, "ping"),
            ErrorKind::NotFound,
            "service \"a.ping\" is provided with major 1, not 2",
        ),
        (
            call("a.ping", 1, "pong"),
            ErrorKind::Unsupported,
            "service \"a.ping\" of plugin \"a\" has no method \"pong\": it has ping, forward",
        ),
    ] {
        assert_says(&error, kind, &[said]);
    }
    running.disable("a").expect("nothing of it fails");
    assert_says(&call("a.ping", 1, "ping"), ErrorKind::Unavailable, &["plugin \"a\" is not enabled"]);
    running.unload("a").expect("nothing of it fails");
    assert_says(&call("a.ping", 1, "ping"), ErrorKind::Unavailable, &["plugin \"a\" is not enabled"]);
    let error = running.ask("b.ping", "forward", "a.ping").expect_err("it is gone");
    let parts = &["plugin \"b\": b calling a.ping: plugin \"a\" is not enabled"];
    assert_says(&error, ErrorKind::Unavailable, parts);
    running.stop();
    assert_eq!(call("b.ping", 1, "ping").kind(), ErrorKind::Unavailable);
}

#[test]
fn calls_9_calls_that_wait_in_a_lane_are_answered_when_the_plugin_is_disabled() {
    let running = relays(&["a"]).start_well();
    let at = meeting(&running);
    thread::scope(|threads| {
        threads.spawn(|| running.ask("a.ping", "hold_then_forward", &format!("{at} c.ping")));
        until("a is at work", || Path::new(&format!("{at}/a.here")).exists());
        let waiting = threads.spawn(|| running.ask("a.ping", "ping", ""));
        until("a call waits", || running.info("a").counters.waiting == 1);
        let disabling = threads.spawn(|| running.disable("a"));
        until("`disable` waits as well", || running.info("a").counters.waiting == 2);
        touch(&running.path("c.here"));
        disabling.join().expect("it does not panic").expect("nothing of it fails");
        let error = waiting.join().expect("it does not panic").expect_err("it came too late");
        assert_says(&error, ErrorKind::Unavailable, &["plugin \"a\" is not enabled"]);
    });
}

#[test]
fn the_stop_of_a_host_ends_calls_that_wait() {
    let running = relays(&["a", "b"]).with(&plugin("misbehave", &[])).stop_within(2000).start_well();
    let at = meeting(&running);
    thread::scope(|threads| {
        let busy = threads.spawn(|| running.ask("b.ping", "hold_then_forward", &format!("{at} c.ping")));
        until("b is at work", || running.path("b.here").exists());
        let waiting = threads.spawn(|| running.ask("a.ping", "forward", "b.ping"));
        until("a waits for b", || running.workers().waiting == 1);
        let begun = Instant::now();
        let stopped = running.stop();
        assert!(begun.elapsed() < SOON / 2, "stop took {:?}", begun.elapsed());
        let hung = "plugin \"b\" in the call \"b.ping.hold_then_forward\" from application";
        assert!(stopped.left.iter().any(|left| left == hung), "{stopped:?}");
        let error = waiting.join().expect("it does not panic").expect_err("it was woken");
        assert_eq!(error.kind(), ErrorKind::Stopping, "{error}");
        touch(&running.path("c.here"));
        let _ = busy.join().expect("it does not panic");
    });
}
