//! Plugins that fail in a step of their life, answer nonsense, or do not return. Each is reported with its name and the
//! cause, harms nobody else, and can be used again as soon as it lets.

use std::{path::PathBuf, time::Instant};

use pintle::{
    ErrorKind, PluginState,
    events::{Draft, Topic},
};
use pintle_abi::*;
use serde_json::{Value, json};

use crate::rig::{Rig, Running, SOON, assert_says, own_plugin, plugin, relay, touch, until};

/// A host with the plugin `misbehave`, which does as the config says, beside the plugin `a`. `until` is a file that it
/// waits for wherever it hangs.
fn misbehaving(mut config: Value, change: impl FnOnce(Rig) -> Rig) -> (Running, PathBuf) {
    let rig = Rig::of(&plugin("misbehave", &[])).with(&relay("a"));
    let file = rig.path("until");
    config["until"] = file.to_str().expect("it is text").into();
    (change(rig.config("misbehave", config)).start(), file)
}

/// The file that says that it hangs, or has hung.
fn hanging(until: &std::path::Path) -> PathBuf {
    until.with_extension("hanging")
}

fn emit(running: &Running, topic: &str) {
    let topic = Topic::parse(topic).expect("it is one");
    running.emit("acme", Draft::new(topic, "/test", *b"1")).expect("it can be published");
}

fn others_work(running: &Running) {
    assert_eq!(running.ask("a.ping", "ping", "").expect("the others go on"), "pong");
}

/// What a failure in `step` says, for each way to fail.
fn ways(step: &str, named: &str) -> [(&'static str, ErrorKind, String); 3] {
    [
        ("fail", ErrorKind::Conflict, format!("plugin \"misbehave\": misbehave was told to fail in {step}")),
        (
            "silent",
            ErrorKind::Conflict,
            format!("plugin \"misbehave\": {named} failed (CONFLICT) and did not say why: set_error gives"),
        ),
        (
            "garbage",
            ErrorKind::Internal,
            format!("plugin \"misbehave\": {named} answered 4711, which is no status of this contract"),
        ),
    ]
}

#[test]
fn contract_18_a_load_that_fails_is_reported_and_unload_is_not_called() {
    for (way, kind, text) in ways("load", "`load`") {
        // `unload` would leave its mark.
        let (running, file) = misbehaving(json!({ "load": way, "unload": "hang" }), |rig| {
            touch(&rig.path("until"));
            rig
        });
        assert_says(running.only_failure(), kind, &[&text]);
        assert_eq!(running.state("misbehave"), PluginState::Failed);
        running.wait_for_line(&["error", &text["plugin \"misbehave\": ".len()..]]);
        assert!(running.wait_closed(SOON), "its library is closed");
        let error = running.ask("misbehave.run", "run", "").expect_err("it is not there");
        assert_says(&error, ErrorKind::Unavailable, &["plugin \"misbehave\" is not enabled"]);
        assert_says(&running.load("misbehave").expect_err("it fails again"), kind, &[&text]);
        others_work(&running);
        running.stop();
        assert!(!hanging(&file).exists(), "`unload` was called although `load` answered {way}");
    }
}

#[test]
fn contract_19_an_enable_that_fails_is_reported_and_disable_is_not_called() {
    for (way, kind, text) in ways("enable", "`enable`") {
        let (running, file) = misbehaving(json!({ "enable": way, "disable": "hang" }), |rig| {
            touch(&rig.path("until"));
            rig
        });
        assert_says(running.only_failure(), kind, &[&text]);
        assert_eq!(running.state("misbehave"), PluginState::Loaded);
        assert_eq!(running.info("misbehave").counters.registrations, 0);
        assert_says(&running.enable("misbehave").expect_err("it fails again"), kind, &[&text]);
        emit(&running, "misbehave.now");
        assert!(running.wait_idle(SOON));
        assert_eq!(running.info("misbehave").counters.handled, 0);
        running.unload("misbehave").expect("nothing else of it fails");
        assert!(!hanging(&file).exists(), "`disable` was called although `enable` answered {way}");
        others_work(&running);
    }
}

#[test]
fn contract_20_unloading_calls_disable_and_then_unload() {
    for step in ["disable", "unload"] {
        let (running, file) = misbehaving(json!({ step: "hang" }), |rig| {
            touch(&rig.path("until"));
            rig
        });
        running.unload("misbehave").expect("nothing of it fails");
        assert!(hanging(&file).exists(), "`{step}` was not called");
    }
}

#[test]
fn contract_23_a_disable_that_fails_is_reported_and_the_plugin_is_disabled_all_the_same() {
    for (way, kind, text) in ways("disable", "`disable`") {
        let (running, _) = misbehaving(json!({ "disable": way }), |rig| rig);
        for _ in 0..2 {
            assert_says(&running.disable("misbehave").expect_err("it was told to"), kind, &[&text]);
            assert_eq!(running.state("misbehave"), PluginState::Loaded);
            running.disable("misbehave").expect("it is disabled already");
            emit(&running, "misbehave.now");
            running.enable("misbehave").expect("it may follow");
        }
        assert_eq!(running.info("misbehave").counters.handled, 0);
        running.unload("misbehave").expect("it is unloaded all the same");
        running.wait_for_line(&["warn", "disable", &text["plugin \"misbehave\": ".len()..]]);
        assert_eq!(running.state("misbehave"), PluginState::Unloaded);
        others_work(&running);
    }
}

#[test]
fn contract_25_what_fails_when_the_host_stops_is_told_by_the_stop() {
    for (way, kind, text) in ways("disable", "`disable`") {
        let (running, _) = misbehaving(json!({ "disable": way }), |rig| rig);
        let stopped = running.stop();
        assert!(stopped.left.is_empty(), "{stopped:?}");
        let [error] = &stopped.failed[..] else { panic!("one failure was expected: {stopped:?}") };
        assert_says(error, kind, &[&text]);
        assert_eq!(running.state("misbehave"), PluginState::Unloaded);
    }
}

#[test]
fn config_7_a_config_that_the_plugin_refuses_is_reported_and_changes_nothing() {
    for (way, kind, text) in ways("configure", "`configure`") {
        let (running, file) = misbehaving(json!({ "configure": way }), |rig| rig);
        let before = running.configs();
        let new = json!({ "configure": way, "until": file.to_str(), "call": "fail" });
        assert_says(&running.configure("misbehave", &new).expect_err("it was told to"), kind, &[&text]);
        assert_eq!(running.configs(), before);
        assert_eq!(running.ask("misbehave.run", "run", "echo").expect("the old config counts"), "echo");
    }
}

#[test]
fn calls_8_a_call_that_fails_tells_status_and_text_to_its_caller() {
    for (way, kind, text) in ways("call", "\"misbehave.run.run\"") {
        let (running, _) = misbehaving(json!({ "call": way }), |rig| rig);
        assert_says(
            &running.ask("misbehave.run", "run", "echo").expect_err("it was told to"),
            kind,
            &[&text],
        );
        let counters = running.info("misbehave").counters;
        assert_eq!((counters.handled, counters.failed_handled), (1, 1));
    }
}

#[test]
fn events_20_and_scheduler_13_handlers_that_fail_are_reported_each_time_and_go_on_being_called() {
    for (place, named) in [("event", "the event handler"), ("job", "the job handler")] {
        for (way, _, text) in ways(place, named) {
            let (running, _) = misbehaving(json!({ place: way }), |rig| rig);
            for _ in 0..3 {
                emit(&running, "misbehave.now");
            }
            until("three failures", || running.info("misbehave").counters.failed_handled >= 3);
            running.wait_for_line(&["warn", &text["plugin \"misbehave\": ".len()..]]);
            assert_eq!(running.state("misbehave"), PluginState::Enabled);
            others_work(&running);
        }
    }
}

#[test]
fn contract_24_a_load_that_does_not_return_is_reported_by_name_and_the_others_start() {
    let (running, file) =
        misbehaving(json!({ "load": "hang" }), |rig| rig.load_within(1000).stop_within(1000));
    let text =
        "plugin \"misbehave\": `load` did not return within 1000 ms: nothing else of it runs until it does";
    assert_says(running.only_failure(), ErrorKind::Timeout, &[text]);
    assert_eq!(running.started.enabled, ["a"]);
    assert_eq!(running.state("misbehave"), PluginState::Failed);
    assert!(hanging(&file).exists());
    running.wait_for_line(&["error", "a plugin is stuck", "misbehave", "`load`"]);
    assert!(running.info("misbehave").stuck);
    assert_eq!(running.workers().stuck, 1);
    others_work(&running);
    let begun = Instant::now();
    let stopped = running.stop();
    assert!(begun.elapsed() < SOON / 2, "stop took {:?}", begun.elapsed());
    assert!(stopped.left.iter().any(|left| left == "plugin \"misbehave\" in `load`"), "{stopped:?}");
    touch(&file);
}

#[test]
fn contract_24_a_load_that_returns_too_late_is_undone_and_then_the_plugin_can_be_loaded() {
    let (running, file) =
        misbehaving(json!({ "load": "hang", "unload": "fail" }), |rig| rig.load_within(1000));
    assert_says(running.only_failure(), ErrorKind::Timeout, &["`load` did not return"]);
    // While it hangs, another try gets no further.
    assert_says(
        &running.enable("misbehave").expect_err("it hangs"),
        ErrorKind::Timeout,
        &["`load` did not return"],
    );
    touch(&file);
    running.wait_for_line(&["warn", "a plugin is no longer stuck", "misbehave", "`load`"]);
    running.wait_for_line(&["a library was closed and is gone from memory", "misbehave"]);
    until("it is no longer stuck", || !running.info("misbehave").stuck);
    assert_eq!(running.state("misbehave"), PluginState::Failed);
    running.enable("misbehave").expect("now it returns at once");
    assert_eq!(running.ask("misbehave.run", "run", "echo").expect("it works"), "echo");
    running.unload("misbehave").expect("nothing of it hangs any more");
    assert!(running.wait_closed(SOON));
}

#[test]
fn contract_24_an_enable_that_returns_too_late_is_undone_and_then_the_plugin_can_be_enabled() {
    let (running, file) =
        misbehaving(json!({ "enable": "hang", "event": "fail" }), |rig| rig.load_within(1000));
    assert_says(
        running.only_failure(),
        ErrorKind::Timeout,
        &["plugin \"misbehave\": `enable` did not return"],
    );
    assert_eq!(running.state("misbehave"), PluginState::Loaded);
    others_work(&running);
    until("it is stuck", || running.info("misbehave").stuck);
    touch(&file);
    running.wait_for_line(&["warn", "a plugin is no longer stuck", "misbehave", "`enable`"]);
    until("it is no longer stuck", || !running.info("misbehave").stuck);
    // Nobody counted on it any more: what it had registered is gone and nothing is delivered.
    assert_eq!(running.info("misbehave").counters.registrations, 0);
    emit(&running, "misbehave.now");
    assert!(running.wait_idle(SOON));
    assert_eq!(running.info("misbehave").counters.handled, 0);
    running.enable("misbehave").expect("now it returns at once");
    emit(&running, "misbehave.now");
    until("it is called again", || running.info("misbehave").counters.failed_handled == 1);
    running.unload("misbehave").expect("nothing of it hangs any more");
}

#[test]
fn contract_24_a_disable_that_does_not_return_is_reported_and_can_be_gone_on_from_when_it_does() {
    let (running, file) = misbehaving(json!({ "disable": "hang" }), |rig| rig.stop_within(500));
    let text = "plugin \"misbehave\": `disable` did not return within 500 ms";
    assert_says(&running.disable("misbehave").expect_err("it hangs"), ErrorKind::Timeout, &[text]);
    assert_eq!(running.state("misbehave"), PluginState::Loaded);
    others_work(&running);
    touch(&file);
    until("it is no longer stuck", || {
        !running.info("misbehave").stuck && running.info("misbehave").counters.running == 0
    });
    running.enable("misbehave").expect("it may follow");
    assert_eq!(running.ask("misbehave.run", "run", "echo").expect("it works"), "echo");
    running.unload("misbehave").expect("nothing of it hangs any more");
    assert!(running.wait_closed(SOON));
}

#[test]
fn contract_24_an_unload_that_does_not_return_is_reported_and_ends_when_it_does() {
    let (running, file) = misbehaving(json!({ "unload": "hang" }), |rig| rig.stop_within(500));
    let text = "plugin \"misbehave\": `unload` did not return within 500 ms";
    assert_says(&running.unload("misbehave").expect_err("it hangs"), ErrorKind::Timeout, &[text]);
    let error = running.ask("misbehave.run", "run", "").expect_err("it is half gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    others_work(&running);
    touch(&file);
    running.wait_for_line(&["a library was closed and is gone from memory", "misbehave"]);
    until("it is unloaded", || running.state("misbehave") == PluginState::Unloaded);
    // `unload` was its last call: nothing may be called on what it has freed.
    std::fs::remove_file(hanging(&file)).expect("it was called");
    let again = running.unload("misbehave").expect_err("it is unloaded");
    assert_says(&again, ErrorKind::NotFound, &["plugin \"misbehave\": it is not loaded"]);
    assert!(!hanging(&file).exists(), "`unload` was called twice");
    running.enable("misbehave").expect("it can be loaded again");
    assert_eq!(running.ask("misbehave.run", "run", "echo").expect("it works"), "echo");
}

#[test]
fn contract_24_a_handler_that_does_not_return_holds_nobody_up_but_its_own_plugin() {
    let (running, file) = misbehaving(json!({ "event": "hang" }), |rig| {
        rig.with(&pintle_test_support::samples().c("hello")).handle_within(500).stop_within(1000)
    });
    emit(&running, "misbehave.now");
    until("it hangs", || hanging(&file).exists());
    let greeted = || running.info("hello").counters.handled;
    for count in 1..=1000 {
        emit(&running, "greet.world");
        if count % 100 == 0 {
            until("hello has greeted", || greeted() == count);
        }
    }
    running.wait_for_line(&[
        "a plugin is stuck",
        "misbehave",
        "the handler of its subscription \\\"misbehave.>\\\"",
    ]);
    assert!(running.info("misbehave").stuck);
    let error = running.ask("misbehave.run", "run", "").expect_err("its lane takes no more");
    assert_says(
        &error,
        ErrorKind::Unavailable,
        &["plugin \"misbehave\" is stuck in a call that is past its deadline"],
    );
    others_work(&running);
    let begun = Instant::now();
    let stopped = running.stop();
    assert!(begun.elapsed() < SOON / 2, "stop took {:?}", begun.elapsed());
    // A thread that has not ended by then for want of processor time is told of as well.
    let hung = "plugin \"misbehave\" in the handler of its subscription \"misbehave.>\"";
    assert!(stopped.left.iter().any(|left| left == hung), "{stopped:?}");
    assert!(stopped.failed.iter().any(|error| error.plugin() == Some("misbehave")), "{stopped:?}");
    touch(&file);
}

#[test]
fn contract_24_a_stuck_plugin_goes_on_when_its_handler_returns() {
    let (running, file) = misbehaving(json!({ "call": "hang" }), |rig| rig.handle_within(500));
    std::thread::scope(|threads| {
        let first = threads.spawn(|| running.ask("misbehave.run", "run", "echo"));
        until("it hangs", || hanging(&file).exists());
        let short = Some(std::time::Duration::from_millis(50));
        let error = running.call("acme", "misbehave.run", 1, "run", b"", short).expect_err("it hangs");
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
        until("it is stuck", || running.info("misbehave").stuck);
        let error = running.ask("misbehave.run", "run", "").expect_err("its lane takes no more");
        let parts = &["plugin \"misbehave\" is stuck in a call that is past its deadline"];
        assert_says(&error, ErrorKind::Unavailable, parts);
        touch(&file);
        running.wait_for_line(&["a plugin is no longer stuck", "misbehave", "misbehave.run.run"]);
        let late = first.join().expect("it does not panic");
        assert_eq!(late.expect("who still waits gets the answer"), "echo");
    });
    until("it is no longer stuck", || !running.info("misbehave").stuck);
    assert_eq!(running.ask("misbehave.run", "run", "echo").expect("it works"), "echo");
}

/// A step that hangs is tried again, and returns while the second try stands in line: its function is called once.
#[test]
fn contract_24_a_step_that_is_tried_again_while_it_hangs_runs_once() {
    for step in ["disable", "unload"] {
        let (running, file) = misbehaving(json!({ step: "hang" }), |rig| rig.stop_within(1500));
        let first =
            if step == "disable" { running.disable("misbehave") } else { running.unload("misbehave") };
        assert_eq!(first.expect_err("it hangs").kind(), ErrorKind::Timeout);
        std::thread::scope(|threads| {
            let again =
                || if step == "disable" { running.enable("misbehave") } else { running.unload("misbehave") };
            let again = threads.spawn(again);
            until("the second try stands in line", || running.info("misbehave").counters.waiting == 1);
            std::fs::remove_file(hanging(&file)).expect("it was called");
            touch(&file);
            again.join().expect("it does not panic").expect("it is soon done");
        });
        assert!(!hanging(&file).exists(), "`{step}` was called twice");
        running.enable("misbehave").expect("it works again");
        assert_eq!(running.ask("misbehave.run", "run", "echo").expect("it works"), "echo");
        running.unload("misbehave").expect("nothing of it hangs any more");
        assert!(running.wait_closed(SOON));
        assert!(!running.has_line(&["stays mapped"]), "its library was closed twice");
    }
}

/// `disable` waits behind a handler that hangs and gives up before it was called; it is called later, before `unload`.
#[test]
fn contract_20_disable_is_called_before_unload_also_after_a_first_try_timed_out() {
    let (running, file) = misbehaving(json!({ "event": "hang", "disable": "fail" }), |rig| {
        rig.handle_within(200).stop_within(500)
    });
    emit(&running, "misbehave.now");
    until("it hangs", || hanging(&file).exists());
    let error = running.disable("misbehave").expect_err("its handler is in the way");
    assert_says(
        &error,
        ErrorKind::Timeout,
        &["plugin \"misbehave\": `disable` did not return within 500 ms"],
    );
    touch(&file);
    until("the handler has returned", || running.info("misbehave").counters.running == 0);
    running.unload("misbehave").expect("what `disable` answers is only reported");
    running.wait_for_line(&["misbehave was told to fail in disable"]);
}

#[test]
fn contract_25_a_plugin_that_could_not_be_loaded_keeps_no_service_from_another() {
    let rival = std::fs::read(plugin("misbehave", &["-DVARIANT=NORMAL"])).expect("it was built");
    let renamed =
        replaced(&replaced(&rival, b"\"misbehave\"", b"\"zmisbehav\""), b"\0misbehave\0", b"\0zmisbehav\0");
    let rig = Rig::of(&plugin("misbehave", &[])).with_file("rival.so", renamed);
    let running = rig.config("misbehave", json!({ "load": "fail" })).start();
    assert_says(running.only_failure(), ErrorKind::Conflict, &["misbehave was told to fail in load"]);
    assert_eq!(running.started.enabled, ["zmisbehav"]);
    assert_eq!(running.ask("misbehave.run", "run", "echo").expect("the other one answers"), "echo");
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert!(!places.is_empty(), "{} is not there", String::from_utf8_lossy(old));
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    bytes
}

#[test]
fn contract_15_and_contract_53_and_contract_55_each_step_of_a_life_allows_what_it_should() {
    let running = Rig::of(&own_plugin("patient")).with(&relay("a")).start_well();
    running.unload("patient").expect("nothing of it fails");
    let (ok, not_yet, stopping) = (PINTLE_OK, PINTLE_UNAVAILABLE, PINTLE_STOPPING);
    for (sum, (phase, emit, register, wait)) in (1..).zip([
        ("load", not_yet, ok, ok),
        ("enable", ok, ok, ok),
        ("disable", ok, stopping, stopping),
        ("unload", ok, stopping, stopping),
    ]) {
        let record = running.record(&["\"message\":\"phase\"", &format!("\"phase\":\"{phase}\"")]);
        for (tried, expected) in [
            ("emit", emit),
            ("subscribe", register),
            ("once", register),
            ("hold", register),
            ("asked", wait),
            ("config", ok),
            ("cached", ok),
            ("sum", sum),
            // What writes to the disk goes with `emit`, what reads is always answered.
            ("stored", emit),
            ("looked", ok),
            ("listed", ok),
            ("removed", emit),
            ("cleared", emit),
            // CONTRACT-75: outputs are written only on OK.
            ("held", i32::from(register == ok)),
            ("given", i32::from(emit == ok)),
        ] {
            assert_eq!(record[tried], expected, "{tried} in `{phase}`: {record}");
        }
    }
}
