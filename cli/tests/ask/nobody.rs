//! No host runs: what can be told all the same, and what is said of the rest.

use std::fs;

use super::place::{PATIENCE, Place};

const NEEDS_A_HOST: [&[&str]; 12] = [
    &["plugins", "enable", "hello"],
    &["stats", "--watch"],
    &["stats", "--openmetrics"],
    &["log"],
    &["emit", "a.b"],
    &["emit", "--events", "pintle.toml"],
    &["tail"],
    &["events", "tail"],
    &["events", "publish", "a.b", "--durable"],
    &["jobs", "run", "hello", "a"],
    &["config", "set", "hello", "a=1"],
    &["config", "unset", "hello", "a"],
];

#[test]
fn a_folder_that_no_host_has_used_is_not_made_by_asking() {
    let place = Place::new();
    for asked in
        NEEDS_A_HOST.iter().chain(&[&["plugins"][..], &["stats"], &["events"], &["jobs"], &["config"]])
    {
        for data in ["gone", "plugins"] {
            let answer = place.ask(&[asked, &["--data", data][..]].concat());
            let said = format!(
                "no host runs on {data}, and none ever has: start one with `pintle run --data {data}`\n"
            );
            assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{asked:?} {data}: {}", answer.stderr);
            assert_eq!(answer.stderr, format!("pintle: {said}"), "{asked:?}");
        }
    }
    assert!(!place.path("gone").exists() && !place.path("usual").exists());
    assert_eq!(fs::read_dir(place.path("plugins")).expect("it is there").count(), 2);
}

#[test]
fn without_a_host_its_folders_and_settings_are_shown() {
    let place = Place::new();
    let host = place.host(&[]);
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    for asked in NEEDS_A_HOST {
        let answer = place.ask(asked);
        assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{asked:?}: {}", answer.stderr);
        assert_eq!(answer.stderr, "pintle: no host runs on data: start one with `pintle run --data data`\n");
    }
    for (asked, expected) in [
        (&["plugins"][..], &["hello\t0.1.0\tavailable\t", "sysmon\t0.1.0\tavailable\t"][..]),
        (&["stats", "hello"], &["hello 0.1.0 available\n  storage   0 items, 0 B\n"]),
        (&["config"], &["sysmon\tinterval_ms\t3600000\nsysmon\tproc\t/proc\n"]),
    ] {
        let answer = place.ask(asked);
        assert_eq!(answer.code, Some(0), "{asked:?}: {}", answer.stderr);
        assert!(answer.stderr.starts_with("pintle: no host runs on data: "), "{}", answer.stderr);
        for text in expected {
            assert!(answer.stdout.contains(text), "{asked:?}: {}", answer.stdout);
        }
    }
    // Nothing is in the way of the next host.
    place.host(&[]);
}

#[test]
fn values_are_hidden_where_what_is_secret_cannot_be_told() {
    let place = Place::new();
    let host = place.host(&[]);
    host.signal("TERM");
    host.ended();
    place.write(
        "pintle.toml",
        "plugins = [\"plugins\"]\ndata = \"data\"\n[plugin.gone.config]\ntoken = \"hunter2\"\n\
         [plugin.sysmon.config]\ninterval = \"hunter2\"\n[plugin.hello.config]\na = { b = \"hunter2\" }\n",
    );
    for flags in [&["config"][..], &["config", "--json"]] {
        let answer = place.ask(flags);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        assert!(
            !answer.stdout.contains("hunter2") && answer.stdout.matches("***").count() == 3,
            "{}",
            answer.stdout
        );
        assert!(answer.stderr.contains("the values of gone, hello, sysmon are hidden"), "{}", answer.stderr);
    }
    assert_eq!(place.ask(&["config", "other"]).code, Some(3));
}

#[test]
fn what_a_host_has_left_behind_that_was_killed_is_no_host() {
    let place = Place::new();
    let host = place.host(&[]);
    host.signal("KILL");
    host.ended();
    assert!(place.path("data/pintle.sock").exists(), "the socket is not stale");
    let answer = place.ask(&["tail"]);
    assert_eq!(answer.code, Some(5));
    assert_eq!(answer.stderr, "pintle: no host runs on data: start one with `pintle run --data data`\n");
    assert_eq!(place.ask(&["plugins"]).code, Some(0));
}

#[test]
fn a_host_without_a_socket_is_told_by_its_process() {
    let place = Place::new();
    let settings = fs::read_to_string(place.path("pintle.toml")).expect("it is there");
    place.write("silent.toml", &settings.replace("[log]", "control.enabled = false\n[log]"));
    let host = place.start(&["run", "--settings", "silent.toml"]);
    let who = format!("data is in use by process {}, which serves no control socket there", host.child.id());
    let deadline = std::time::Instant::now() + PATIENCE;
    for asked in [&["plugins"][..], &["tail"]] {
        let answer = loop {
            let answer = place.ask(asked);
            assert!(std::time::Instant::now() < deadline, "{}", answer.stderr);
            // It takes a moment until it has the folder.
            if !answer.stderr.contains("no host runs on data") {
                break answer;
            }
        };
        assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{asked:?}");
        assert!(answer.stderr.contains(&who), "{asked:?}: {}", answer.stderr);
    }
}

#[test]
fn the_usual_folder_is_the_one_where_nothing_else_is_named() {
    let place = Place::new();
    place.write("pintle.toml", "plugins = [\"plugins\"]\n");
    let host = place.host(&[]);
    assert!(place.path("usual/pintle/pintle.sock").exists());
    let second = place.ask(&["run", "--until-idle"]);
    assert_eq!(second.code, Some(1));
    for text in ["is in use by the host of process", "--data DIR", "--no-data"] {
        assert!(second.stderr.contains(text), "{}", second.stderr);
    }
    assert_eq!(place.ask(&["run", "--no-data", "--until-idle"]).code, Some(0));
    drop(host);
    let mut command = place.command(&["run", "--until-idle"]);
    let output = command.env_remove("XDG_DATA_HOME").env("HOME", "here").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for text in ["neither XDG_DATA_HOME nor HOME", "--data DIR", "--no-data"] {
        assert!(said.contains(text), "{said}");
    }
    let output = place.command(&["run", "--until-idle"]).env("XDG_DATA_HOME", "/proc/none").output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for text in ["/proc/none/pintle", "this is the usual data folder", "--no-data"] {
        assert!(said.contains(text), "{said}");
    }
}
