//! A C++ plugin on plugin.hpp that throws, at each point where it can, whatever it throws. It becomes a status with its
//! text, or a record of the log where there is no status, and everybody goes on: the plugin too. What C++ lets nobody
//! contain ends the process as the header says.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use pintle::{
    ErrorKind, PluginState,
    events::{Draft, Topic},
};
use pintle_test_support::{compile_cxx, has_cxx, repository};
use serde_json::json;

use crate::rig::{Rig, Running, SOON, assert_says, relay, until};

/// What it can throw, and what becomes of that; `@` stands for the place.
const WAYS: [(&str, ErrorKind, &str); 8] = [
    ("text", ErrorKind::Panic, "threw: thrower in @"),
    ("error", ErrorKind::Conflict, "thrower refuses in @"),
    ("number", ErrorKind::Panic, "threw what is not a std::exception"),
    ("memory", ErrorKind::TooLarge, "there is no memory for what was asked for"),
    ("grenade", ErrorKind::Panic, "threw what is not a std::exception"),
    ("destructor", ErrorKind::Panic, "threw: thrower in @"),
    ("require", ErrorKind::Panic, "check failed: place.empty() (thrower.cpp:"),
    ("careful", ErrorKind::Panic, "check failed: stock >= 0 (thrower.cpp:"),
];

/// A host with the plugin, which throws at this place; none where there is no C++ compiler, which is said.
fn thrower(at: &str, with: &str) -> Option<Running> {
    let library = has_cxx()
        .then(|| compile_cxx("thrower", repository().join("tests/bad_input/thrower.cpp"), &["-pthread"]))?;
    let rig = Rig::of(&library).with(&relay("a"));
    Some(rig.config("thrower", json!({ "at": at, "with": with })).start())
}

fn emit(running: &Running, data: &str) {
    let topic = Topic::parse("throw.now").expect("it is one");
    running.emit("acme", Draft::new(topic, "/test", data.as_bytes())).expect("it can be published");
}

/// Nobody was harmed, and it can be stopped and its library closed.
fn goes_on(running: &Running) {
    assert_eq!(running.ask("a.ping", "ping", "").expect("the others go on"), "pong");
    let stopped = running.stop();
    assert!(stopped.left.is_empty(), "{stopped:?}");
    assert!(!running.has_line(&["the host panicked"]));
}

#[test]
fn contract_78_an_exception_in_load_or_enable_keeps_the_plugin_from_being_enabled() {
    for (at, state) in
        [("construct", PluginState::Failed), ("load", PluginState::Failed), ("enable", PluginState::Loaded)]
    {
        for (with, kind, text) in WAYS {
            let Some(running) = thrower(at, with) else { return };
            let text = text.replace('@', at);
            assert_says(running.only_failure(), kind, &["plugin \"thrower\": ", &text]);
            assert_eq!(running.state("thrower"), state, "{at} {with}");
            assert_says(&running.enable("thrower").expect_err("it throws again"), kind, &[&text]);
            goes_on(&running);
        }
    }
}

#[test]
fn contract_78_where_load_and_the_destructor_throw_the_first_is_told_and_the_second_logged() {
    let Some(running) = thrower("both", "text") else { return };
    assert_says(running.only_failure(), ErrorKind::Panic, &["threw: thrower in load"]);
    running.wait_for_line(&["error", "the plugin threw when it was destroyed", "threw: thrower in destroy"]);
    goes_on(&running);
}

#[test]
fn contract_78_an_exception_in_disable_or_configure_is_answered_and_the_plugin_can_be_used_again() {
    for (with, kind, text) in WAYS {
        let Some(running) = thrower("disable", with) else { return };
        for _ in 0..2 {
            let error = running.disable("thrower").expect_err("it throws");
            assert_says(&error, kind, &["plugin \"thrower\": ", &text.replace('@', "disable")]);
            running.enable("thrower").expect("it may follow");
        }
        running.ask("thrower.run", "burst", "").expect("it works");
        goes_on(&running);

        let running = thrower("configure", with).expect("there is a compiler");
        let error = running.configure("thrower", &json!({ "at": "nowhere" })).expect_err("it throws");
        assert_says(&error, kind, &["plugin \"thrower\": ", &text.replace('@', "configure")]);
        assert_eq!(running.configs()["thrower"]["at"], "configure", "the old config counts");
        goes_on(&running);
    }
}

#[test]
fn contract_78_an_exception_where_there_is_no_status_reaches_the_log() {
    for (at, what, error) in [
        ("unload", "the plugin threw in unload", "threw: thrower in unload"),
        ("destroy", "the plugin threw when it was destroyed", "threw: thrower in destroy"),
        ("release", "what a handler had captured threw when it was destroyed", "threw: thrower in release"),
        ("careless", "what a handler had captured threw when it was destroyed", "check failed: stock >= 0"),
    ] {
        let Some(running) = thrower(at, "text") else { return };
        running.unload("thrower").expect("nobody can be told");
        running.wait_for_line(&["error", what, error, "\"status\":\"PANIC\""]);
        assert!(running.wait_closed(SOON), "{at}");
        goes_on(&running);
    }
}

#[test]
fn contract_78_an_exception_in_a_handler_is_reported_each_time_and_it_goes_on_being_called() {
    let Some(running) = thrower("nowhere", "text") else { return };
    for (number, (with, _, text)) in (1..).zip(WAYS) {
        emit(&running, with);
        until("it is counted", || running.info("thrower").counters.failed_handled == number);
        running.wait_for_line(&["warn", &text.replace('@', "event"), "thrower"]);
    }
    let before = running.info("thrower").counters.handled;
    emit(&running, "nothing");
    until("it is handled", || running.info("thrower").counters.handled > before);
    assert_eq!(running.state("thrower"), PluginState::Enabled);
    goes_on(&running);

    for (with, _, text) in WAYS {
        let running = thrower("job", with).expect("there is a compiler");
        until("three failures", || running.info("thrower").counters.failed_handled >= 3);
        running.wait_for_line(&["warn", &text.replace('@', "job"), "thrower"]);
        goes_on(&running);
    }
}

#[test]
fn contract_78_an_exception_in_a_call_reaches_its_caller_whatever_it_is() {
    let Some(running) = thrower("nowhere", "text") else { return };
    for _ in 0..3 {
        for (method, place) in [("burst", "call"), ("sink", "sink")] {
            for (with, kind, text) in WAYS {
                let error = running.ask("thrower.run", method, with).expect_err("it throws");
                assert_says(&error, kind, &["plugin \"thrower\": ", &text.replace('@', place)]);
            }
            running.ask("thrower.run", method, "").expect("it works");
        }
    }
    goes_on(&running);
}

#[test]
fn contract_78_an_exception_in_a_thread_of_the_plugin_is_contained_and_logged() {
    let Some(running) = thrower("nowhere", "text") else { return };
    for (with, kind, text) in WAYS {
        let error = running.ask("thrower.run", "thread", with).expect_err("it throws");
        assert_eq!(error.kind(), kind, "{error}");
        running.wait_for_line(&["error", "a thread failed", &text.replace('@', "thread"), "acme"]);
    }
    running.ask("thrower.run", "thread", "").expect("it works");
    goes_on(&running);
}

/// Subscriptions, jobs, loggers and held contexts, far more of each than the quota allows at one time.
#[test]
fn what_a_plugin_in_cxx_owns_ends_with_its_object() {
    let Some(running) = thrower("nowhere", "text") else { return };
    assert_eq!(running.ask("thrower.run", "run", "").expect("it works"), "\"text\"");
    running.ask("thrower.run", "own", "").unwrap_or_else(|error| panic!("{error}"));
    let mut left: Vec<_> = running.subscriptions().iter().map(|one| one.name.to_string()).collect();
    left.sort();
    assert_eq!(left, ["never.kept", "throw.>"], "what was detached and what is a member");
    let jobs: Vec<_> = running.jobs().iter().map(|one| one.name.to_string()).collect();
    assert_eq!(jobs, ["kept"]);
    running.unload("thrower").expect("it can be");
    assert!(running.wait_closed(SOON));
    goes_on(&running);
}

/// Which of the ways that end the process the child of the test below tries.
const WAY: &str = "PINTLE_TEST_UNCONTAINED";

/// What the header's first comment says of these is true: nobody should believe that they are safe.
#[test]
fn what_nobody_can_contain_ends_the_process() {
    if !has_cxx() {
        return;
    }
    for with in ["noexcept", "assert", "unwinding"] {
        let mut child = Command::new(env::current_exe().expect("it runs"));
        child.args(["--ignored", "--exact", "exceptions::it_ends"]).env(WAY, with);
        let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it starts");
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{with}: {status}");
    }
}

#[test]
#[ignore = "ends the process: `what_nobody_can_contain_ends_the_process` runs it in one of its own"]
fn it_ends() {
    let Ok(with) = env::var(WAY) else { return };
    let running = thrower("nowhere", "text").expect("there is a compiler");
    let answer = running.ask("thrower.run", "burst", &with);
    panic!("the process goes on: {answer:?}");
}

/// A plugin without exceptions and without type information: statuses all the way.
#[test]
fn a_plugin_in_cxx_needs_neither_exceptions_nor_rtti() {
    if !has_cxx() {
        return;
    }
    let library = compile_cxx(
        "frugal",
        repository().join("tests/bad_input/frugal.cpp"),
        &["-fno-exceptions", "-fno-rtti"],
    );
    let running = Rig::of(&library).with(&relay("a")).config("frugal", json!({ "limit": 3 })).start_well();
    for _ in 0..3 {
        emit(&running, "");
    }
    until("all are handled", || running.ask("frugal.run", "count", "").is_ok_and(|count| count == "3"));
    let error = running.ask("frugal.run", "fail", "").expect_err("it answers with the status of the host");
    assert_says(&error, ErrorKind::WrongType, &["plugin \"frugal\": ", "/limit"]);
    let error = running.ask("frugal.run", "check", "").expect_err("a check fails");
    assert_says(&error, ErrorKind::Panic, &["check failed: false (frugal.cpp:"]);
    goes_on(&running);

    let running = Rig::of(&library).with(&relay("a")).config("frugal", json!({ "limit": 0 })).start();
    assert_says(running.only_failure(), ErrorKind::InvalidArgument, &["a limit of 0 makes no sense"]);
    goes_on(&running);
}
