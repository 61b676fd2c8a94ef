//! Hosts that want the same data folder, folders that are no folders, and what an application passes that is wrong.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use pintle::{
    ErrorKind, Host,
    events::{Draft, Topic},
};

use crate::rig::{Rig, SOON, assert_says, file_at, folder_at, mode, relay};

fn host(data: &Path) -> pintle::Result<Host> {
    Host::builder().data(data).build()
}

fn in_use(data: &Path, process: u32) -> String {
    let shown = data.display();
    format!(
        "the data folder {shown} is in use by the host of process {process}: stop that one or use another folder"
    )
}

#[test]
fn a_second_host_on_a_data_folder_is_refused_and_told_the_process_of_the_first() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let data = folder.path().join("data");
    let first = host(&data).expect("nobody has it");
    for _ in 0..3 {
        let error = host(&data).expect_err("the first one has it");
        assert_says(&error, ErrorKind::Conflict, &[&in_use(&data, std::process::id())]);
    }
    // It is the folder that counts, not its name.
    std::os::unix::fs::symlink("data", folder.path().join("link")).expect("it can be made");
    let error = host(&folder.path().join("link")).expect_err("it is the same folder");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    first.start();
    first.stop();
    let second = host(&data).expect("the first one has stopped");
    let error = host(&data).expect_err("the second one has it");
    assert_says(&error, ErrorKind::Conflict, &["is in use by the host of process"]);
    drop(second);
    host(&data).expect("a host that is dropped has stopped");
}

#[test]
fn a_host_of_another_process_keeps_a_data_folder_until_that_process_ends() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let data = folder.path().join("data");
    for end in ["stop", "kill"] {
        let mut other = Command::new(std::env::current_exe().expect("a test knows its program"))
            .args(["--exact", "hosts::a_host_in_a_process_of_its_own", "--ignored", "--nocapture"])
            .env("PINTLE_TEST_DATA", &data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut said = BufReader::new(other.stdout.take().expect("it was piped")).lines();
        assert!(said.any(|line| line.is_ok_and(|line| line.contains("here it is"))), "it did not start");
        let error = host(&data).expect_err("the other process has it");
        assert_says(&error, ErrorKind::Conflict, &[&in_use(&data, other.id())]);
        if end == "stop" {
            drop(other.stdin.take());
        } else {
            other.kill().expect("it is ours");
        }
        other.wait().expect("it is ours");
        // What a killed one has left behind is in nobody's way.
        let mine = host(&data).expect("nobody has it any more");
        assert!(fs::read_dir(data.join("staging")).expect("it is there").next().is_none());
        drop(mine);
    }
}

#[test]
#[ignore = "run by a_host_of_another_process_keeps_a_data_folder_until_that_process_ends"]
fn a_host_in_a_process_of_its_own() {
    let Some(data) = std::env::var_os("PINTLE_TEST_DATA").map(PathBuf::from) else { return };
    let mut rig = Rig::of(&relay("a"));
    rig.settings.data = Some(data);
    let running = rig.start_well();
    // One write, and past the test runner.
    std::io::stdout().write_all(b"\nhere it is\n").expect("somebody reads it");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("somebody holds it open");
    running.stop();
}

#[test]
fn a_data_folder_that_cannot_be_used_is_refused_with_its_path() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let at = folder.path();
    file_at(&at.join("file"), "");
    folder_at(&at.join("open"));
    folder_at(&at.join("open/staging"));
    mode(&at.join("open/staging"), 0o777);
    folder_at(&at.join("linked"));
    std::os::unix::fs::symlink("/tmp", at.join("linked/staging")).expect("it can be made");
    folder_at(&at.join("locked"));
    folder_at(&at.join("locked/pintle.lock"));
    let long = "x".repeat(300);
    for (name, kind, part) in [
        ("file", ErrorKind::Unavailable, "cannot be used: "),
        ("file/below", ErrorKind::Unavailable, "cannot be used: "),
        (long.as_str(), ErrorKind::Unavailable, "cannot be used: "),
        ("nul\0", ErrorKind::Unavailable, "cannot be used: "),
        ("locked", ErrorKind::Unavailable, "pintle.lock cannot be used: "),
        ("open", ErrorKind::Denied, "staging has mode 0777, and must be for this user only: chmod 700"),
        ("linked", ErrorKind::Denied, "staging is there already and is no folder"),
    ] {
        assert_says(&host(&at.join(name)).expect_err("it cannot be used"), kind, &[name, part]);
    }
    // A refusal keeps nothing: the folder can be used as soon as it is mended.
    mode(&at.join("open/staging"), 0o700);
    host(&at.join("open")).expect("it was mended");
}

#[test]
fn contract_91_two_hosts_in_one_process_know_nothing_of_each_other() {
    let (first, second) = (Rig::of(&relay("a")).start_well(), Rig::of(&relay("b")).start_well());
    assert_eq!(first.ask("a.ping", "ping", "").expect("it is its own"), "pong");
    let error = second.ask("a.ping", "ping", "").expect_err("it is the other's");
    assert_says(&error, ErrorKind::NotFound, &["no loaded plugin provides the service \"a.ping\""]);
    let error = first.ask("a.ping", "forward", "b.ping").expect_err("it is the other's");
    assert_says(&error, ErrorKind::NotFound, &["no loaded plugin provides the service \"b.ping\""]);
    first.stop();
    assert_eq!(second.ask("b.ping", "ping", "").expect("it goes on"), "pong");
}

#[test]
fn events_5_topics_and_tenants_that_an_application_may_not_use_are_refused() {
    let running = Rig::of(&relay("a")).start_well();
    for (topic, kind, part) in [
        ("plugin.a.x", ErrorKind::Denied, "topics below `plugin.` are a plugin's"),
        ("pintle.plugin.loaded", ErrorKind::Denied, "topics below `pintle.` are the host's own"),
    ] {
        let topic = Topic::parse(topic).expect("it is a topic");
        let error = running.emit("", Draft::new(topic, "/test", *b"")).expect_err("it is not ours");
        assert_says(&error, kind, &[part]);
    }
    let long = "t".repeat(129);
    for (tenant, part) in [(long.as_str(), "`tenant`"), ("a\0b", "`tenant`")] {
        let topic = Topic::parse("x").expect("it is a topic");
        let error = running.emit(tenant, Draft::new(topic, "/test", *b"")).expect_err("it is no tenant");
        assert_says(&error, ErrorKind::InvalidArgument, &[part]);
        let error = running.call(tenant, "a.ping", 1, "ping", b"", Some(SOON)).expect_err("it is no tenant");
        assert_says(&error, ErrorKind::InvalidArgument, &[part]);
    }
    for pattern in ["", "a..b", ">.a", "a b"] {
        let error = running.subscribe(pattern, |_| {}).expect_err("it is no pattern");
        assert_says(&error, ErrorKind::InvalidArgument, &["argument `pattern`"]);
    }
    running.subscribe("x.>", |_| {}).expect("it is one");
    let error = running.subscribe("x.>", |_| {}).expect_err("once is enough");
    assert_says(&error, ErrorKind::Conflict, &["there is a subscription with the name \"x.>\" already"]);
}

#[test]
fn who_waits_for_ever_may() {
    let mut rig = Rig::of(&relay("a"));
    let deadlines = &mut rig.settings.deadlines;
    for deadline in [&mut deadlines.load, &mut deadlines.handler, &mut deadlines.stop, &mut deadlines.call] {
        *deadline = Duration::MAX;
    }
    let running = rig.start_well();
    assert_eq!(running.call("", "a.ping", 1, "ping", b"", Some(Duration::MAX)).expect("it answers"), b"pong");
    assert_eq!(
        running.ask("a.ping", "remaining", "").expect("it answers").len(),
        5,
        "milliseconds of a test"
    );
    assert!(running.wait_idle(Duration::MAX));
    running.disable("a").expect("nothing of it fails");
    running.unload("a").expect("nothing of it fails");
    assert!(running.wait_closed(Duration::MAX));
    assert!(running.stop_within(Duration::MAX).left.is_empty());
}

#[test]
fn a_host_that_has_stopped_refuses_everything_and_does_nothing_twice() {
    let running = Rig::of(&relay("a")).start_well();
    running.stop();
    assert!(running.stop().left.is_empty());
    let topic = Topic::parse("x").expect("it is a topic");
    let refused = [
        running.load("a").expect_err("it has stopped"),
        running.enable("a").expect_err("it has stopped"),
        running.configure("a", &serde_json::json!({})).expect_err("it has stopped"),
        running.subscribe("x", |_| {}).expect_err("it has stopped"),
        running.emit("", Draft::new(topic, "/test", *b"")).expect_err("it has stopped"),
    ];
    for error in refused {
        assert!(matches!(error.kind(), ErrorKind::Stopping | ErrorKind::Unavailable), "{error:?}");
    }
    for outcome in [running.disable("a"), running.unload("a"), running.unload("nobody")] {
        assert_says(&outcome.expect_err("it is gone"), ErrorKind::NotFound, &["it is not loaded"]);
    }
    let again = running.start();
    assert!(again.enabled.is_empty(), "a host that has stopped started {again:?}");
}
