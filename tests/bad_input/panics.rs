//! A Rust plugin that panics, at each point where it can. The panic becomes a status with its text, or a record of the
//! log where there is no status, and everybody goes on: the plugin too.

use pintle::{
    ErrorKind, PluginState,
    events::{Draft, Topic},
};
use pintle_test_support::samples;
use serde_json::json;

use crate::rig::{Rig, Running, SOON, assert_says, relay, until};

fn panicky(at: &str, with: &str) -> Running {
    let rig = Rig::of(&samples().rust("panicky")).with(&relay("a"));
    rig.config("panicky", json!({ "at": at, "with": with })).start()
}

fn emit(running: &Running) {
    let topic = Topic::parse("panic.now").expect("it is one");
    running.emit("acme", Draft::new(topic, "/test", *b"1")).expect("it can be published");
}

/// Nobody was harmed, and it can be stopped and its library closed.
fn goes_on(running: &Running) {
    assert_eq!(running.ask("a.ping", "ping", "").expect("the others go on"), "pong");
    let stopped = running.stop();
    assert!(stopped.left.is_empty(), "{stopped:?}");
    assert!(!running.has_line(&["the host panicked"]));
}

#[test]
fn contract_77_a_panic_in_load_or_enable_keeps_the_plugin_from_being_enabled() {
    for (at, state) in [("load", PluginState::Failed), ("enable", PluginState::Loaded)] {
        let running = panicky(at, "text");
        let text = format!("plugin \"panicky\": panicked: panicky in {at}");
        assert_says(running.only_failure(), ErrorKind::Panic, &[&text]);
        assert_eq!(running.state("panicky"), state);
        assert_says(&running.enable("panicky").expect_err("it panics again"), ErrorKind::Panic, &[&text]);
        goes_on(&running);
    }
}

#[test]
fn contract_77_a_panic_in_disable_or_configure_is_answered_and_the_plugin_can_be_used_again() {
    let running = panicky("disable", "text");
    for _ in 0..2 {
        let error = running.disable("panicky").expect_err("it panics");
        assert_says(&error, ErrorKind::Panic, &["plugin \"panicky\": panicked: panicky in disable"]);
        running.enable("panicky").expect("it may follow");
    }
    assert_eq!(running.ask("panicky.run", "run", "").expect("it works"), "\"fine\"");
    goes_on(&running);

    let running = panicky("configure", "text");
    let error = running.configure("panicky", &json!({ "at": "nowhere" })).expect_err("it panics");
    assert_says(&error, ErrorKind::Panic, &["plugin \"panicky\": panicked: panicky in configure"]);
    assert_eq!(running.configs()["panicky"]["at"], "configure", "the old config counts");
    assert_eq!(running.ask("panicky.run", "run", "").expect("it works"), "\"fine\"");
    goes_on(&running);
}

#[test]
fn contract_77_a_panic_where_there_is_no_status_reaches_the_log() {
    let running = panicky("unload", "text");
    running.unload("panicky").expect("nobody can be told");
    running.wait_for_line(&["error", "the plugin panicked in unload", "\"panic\":\"panicky in unload\""]);
    assert!(running.wait_closed(SOON));
    goes_on(&running);

    let running = panicky("drop", "text");
    running.disable("panicky").expect("nobody can be told");
    running.wait_for_line(&[
        "error",
        "what a handler had captured panicked when dropped",
        "the payload panicked too",
    ]);
    goes_on(&running);
}

#[test]
fn contract_77_a_panic_in_a_handler_is_reported_each_time_and_it_goes_on_being_called() {
    for at in ["event", "job"] {
        let running = panicky(at, "text");
        for _ in 0..3 {
            emit(&running);
        }
        until("three panics", || running.info("panicky").counters.failed_handled >= 3);
        running.wait_for_line(&["warn", &format!("panicked: panicky in {at}"), "panicky"]);
        assert_eq!(running.state("panicky"), PluginState::Enabled);
        assert_eq!(running.ask("panicky.run", "run", "").expect("it works"), "\"fine\"");
        goes_on(&running);
    }
}

#[test]
fn contract_77_a_panic_in_a_call_reaches_its_caller_whatever_it_carries() {
    let running = panicky("call", "text");
    let error = running.ask("panicky.run", "run", "").expect_err("it panics");
    assert_says(&error, ErrorKind::Panic, &["plugin \"panicky\": panicked: panicky in call"]);
    for (with, said) in [
        ("\"text\"", "panicked: panicky in call"),
        ("\"number\"", "panicked: with a value that is no text"),
        ("\"grenade\"", "panicked: with a value that is no text"),
    ] {
        for _ in 0..3 {
            let error = running.ask("panicky.run", "burst", with).expect_err("it panics");
            assert_says(&error, ErrorKind::Panic, &["plugin \"panicky\": ", said]);
        }
    }
    goes_on(&running);
}
