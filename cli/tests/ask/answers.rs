//! What the commands answer where a host runs: for people, with `--json`, and by their status.

use std::time::Instant;

use pintle_test_support::{install, samples};
use serde_json::{Value, json};

use super::place::{PATIENCE, Place};

#[test]
fn plugins_are_shown_and_led_through_their_lives() {
    let place = Place::new();
    let _host = place.host(&[]);
    let states = || -> Vec<(String, String)> {
        let answer = place.ask(&["plugins", "list"]).fine();
        answer.rows().iter().map(|row| (row[0].to_owned(), row[2].to_owned())).collect()
    };
    let of =
        |hello: &str| [("hello", hello), ("sysmon", "enabled")].map(|(id, state)| (id.into(), state.into()));
    assert_eq!(states(), of("enabled"));
    for (step, done, state) in [
        ("disable", "disabled", "loaded"),
        ("enable", "enabled", "enabled"),
        ("unload", "unloaded", "unloaded"),
        ("load", "loaded", "loaded"),
    ] {
        let answer = place.ask(&["plugins", step, "hello"]).fine();
        assert_eq!(answer.stdout, format!("hello\t{done}\n"));
        assert_eq!(states(), of(state), "{step}");
    }
    let answer = place.ask(&["plugins", "enable", "gone", "hello", "--json"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    let lines = answer.json();
    assert_eq!((&lines[0]["done"], &lines[0]["error"]["kind"]), (&json!(null), &json!("NOT_FOUND")));
    assert_eq!(lines[1], json!({ "id": "hello", "done": "enabled", "error": null }));
    assert!(
        answer.stderr.contains("plugin \"gone\"") && answer.stderr.contains("`pintle plugins` shows all")
    );
    for (ids, code) in [(&["gone", "lost"][..], 3), (&["sysmon", "gone"], 3), (&["gone"], 3)] {
        assert_eq!(place.ask(&[&["plugins", "enable"], ids].concat()).code, Some(code), "{ids:?}");
    }
    let shown = place.ask(&["plugins", "--json"]).fine().json();
    assert_eq!((&shown[0]["id"], &shown[0]["generation"]), (&json!("hello"), &json!(3)));
}

#[test]
fn a_plugin_that_has_used_up_a_budget_is_shown_with_the_reason_and_released_by_hand() {
    let place = Place::new();
    place.write(
        "pintle.toml",
        "plugins = [\"plugins\"]\ndata = \"data\"\n[log]\nfile = \"log\"\n\
         [budgets]\nerrors_percent = 0\nerrors_least = 1\ncooldown_ms = 0\n",
    );
    // It wants JSON.
    install(&samples().rust("hello"), &place.path("plugins"));
    let _host = place.host(&[]);
    let failed = place.ask(&["emit", "greet.you", "--text", "no JSON", "--wait"]);
    assert_eq!(failed.code, Some(4), "{}{}", failed.stdout, failed.stderr);
    // It is suspended a moment later.
    let deadline = Instant::now() + PATIENCE;
    let state = || place.ask(&["plugins"]).fine().rows()[1][2].to_owned();
    while state() != "suspended" {
        assert!(Instant::now() < deadline, "it is not suspended");
    }
    let why = "1 of 1 handlers failed within 60 s, 0 % are allowed: until `pintle plugins release`";
    let row = place.ask(&["plugins"]).fine();
    assert_eq!(row.rows()[1].last().copied(), Some(why));
    let report = place.ask(&["stats", "hello-rust"]).fine().stdout;
    assert!(report.contains("hello-rust 0.1.0 suspended\n") && report.contains(why), "{report}");
    assert_eq!(place.ask(&["plugins", "release", "hello-rust"]).fine().stdout, "hello-rust\treleased\n");
    assert_eq!(state(), "enabled");
    let again = place.ask(&["plugins", "release", "hello-rust"]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("it is not suspended"), "{}", again.stderr);
}

#[test]
fn stats_are_shown_whole_and_of_one_plugin() {
    let place = Place::new();
    let _host = place.host(&[]);
    place.ask(&["emit", "greet.you", "--wait"]).fine();
    let report = place.ask(&["stats"]).fine().stdout;
    for text in [
        "host      Pintle ",
        "\nledger    ",
        "\nhello 0.1.0 enabled\n",
        "\n  HANDLED",
        "\nsysmon 0.1.0 enabled\n",
    ] {
        assert!(report.contains(text), "{report}\nlacks {text}");
    }
    let stats = place.ask(&["stats", "hello", "--json"]).fine().json();
    let [stats] = &stats[..] else { panic!("one line, not {}", stats.len()) };
    assert_eq!(stats["plugins"].as_array().map(Vec::len), Some(1));
    assert_eq!(stats["plugins"][0]["handlers"]["event"]["handled"], 1);
    let none = place.ask(&["stats", "gone"]);
    assert_eq!((none.code, &*none.stdout), (Some(3), ""));
    assert!(none.stderr.contains("no plugin \"gone\""), "{}", none.stderr);
}

#[test]
fn what_is_watched_comes_again_and_again_until_a_signal() {
    let place = Place::new();
    let _host = place.host(&[]);
    for (flags, begin) in
        [(&["stats", "--watch"][..], "pintle: process "), (&["stats", "--watch", "--json"], "{")]
    {
        let mut watch = place.start(flags);
        let mut seen = 0;
        while seen < 2 {
            let line = watch.line();
            assert!(!line.is_empty(), "it has ended");
            seen += usize::from(line.starts_with(begin));
        }
        watch.signal("INT");
        watch.ended().fine();
    }
}

#[test]
fn log_levels_are_shown_set_and_taken_away() {
    let place = Place::new();
    let _host = place.host(&[]);
    for (arguments, expected) in [
        (&["log"][..], "(default)\tinfo\n"),
        (&["log", "warn"], "(default)\twarn\n"),
        (&["log", "trace", "--plugin", "hello"], "(default)\twarn\nhello\ttrace\n"),
        (&["log", "default", "--plugin", "hello"], "(default)\twarn\n"),
        (&["log", "--reopen"], ""),
        (&["log", "--json"], "{\"default\":\"warn\",\"plugins\":{}}\n"),
    ] {
        assert_eq!(place.ask(arguments).fine().stdout, expected, "{arguments:?}");
    }
    let unknown = place.ask(&["log", "debug", "--plugin", "gone"]);
    assert_eq!((unknown.code, &*unknown.stdout), (Some(0), "(default)\twarn\ngone\tdebug\n"));
    assert!(unknown.stderr.contains("no plugin \"gone\""), "{}", unknown.stderr);
    for (arguments, said) in [
        (&["log", "default"][..], "name the plugin with --plugin ID"),
        (&["log", "loud"], "[possible values: trace, debug, info, warn, error, fatal, default]"),
        (&["log", "--plugin", "hello"], "<LEVEL>"),
    ] {
        let answer = place.ask(arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{arguments:?}");
        assert!(answer.stderr.contains(said), "{arguments:?}: {}", answer.stderr);
    }
}

#[test]
fn configs_are_shown_changed_and_changed_back() {
    let place = Place::new();
    let _host = place.host(&[]);
    let config = |interval: u64, proc: &str| json!({ "id": "sysmon", "config": { "interval_ms": interval, "proc": proc } });
    let shown = || place.ask(&["config", "sysmon", "--json"]).fine().json();
    assert_eq!(shown(), [config(3_600_000, "/proc")]);
    assert_eq!(
        place.ask(&["config"]).fine().stdout,
        "hello\t-\t-\nsysmon\tinterval_ms\t3600000\nsysmon\tproc\t/proc\n"
    );
    let lasts = "[plugin.sysmon.config]";
    place.write("whole.json", r#"{ "proc": "/proc/self/.." }"#);
    for (arguments, expected) in [
        (&["set", "sysmon", "interval_ms=3600001", "/proc=/proc/."][..], config(3_600_001, "/proc/.")),
        // What is said of the place may come first.
        (&["--data", "data", "unset", "sysmon", "proc"], config(3_600_001, "/proc")),
        (&["set", "sysmon", "--file", "whole.json"], config(1_000, "/proc/self/..")),
    ] {
        let answer = place.ask(&[&["config"], arguments, &["--json"]].concat());
        assert_eq!(
            (answer.code, &answer.json()[..]),
            (Some(0), &[expected.clone()][..]),
            "{}",
            answer.stderr
        );
        assert!(answer.stderr.contains(lasts), "{}", answer.stderr);
        assert_eq!(shown(), [expected]);
    }
    place.write("list.json", "[1]");
    for (arguments, code, said) in [
        (&["set", "sysmon", "interval_ms=fast"][..], 1, "/interval_ms"),
        (&["set", "sysmon", "proc=/gone"], 1, "cannot read /gone/stat"),
        (&["sysmon", "set", "gone", "a=1"], 2, "write the command first"),
        (&["set", "gone", "a=1"], 3, "`pintle plugins` shows all"),
        (&["get", "gone"], 3, "plugin \"gone\""),
        (&["set", "sysmon", "nonsense"], 2, "write KEY=VALUE"),
        (&["set", "sysmon", "proc=null"], 2, "`pintle config unset` takes proc away"),
        (&["set", "sysmon", "--file", "list.json"], 2, "is no JSON object"),
        (&["set", "sysmon", "--file", "gone.json"], 2, "gone.json cannot be read"),
        (&["set", "sysmon", "--file", "/dev/zero"], 2, "has more than 2097152 bytes"),
    ] {
        let answer = place.ask(&[&["config"], arguments].concat());
        assert_eq!((answer.code, &*answer.stdout), (Some(code), ""), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments:?}: {}", answer.stderr);
    }
    assert_eq!(shown(), [config(1_000, "/proc/self/..")], "what was refused has changed something");
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let place = Place::new();
    let _host = place.host(&[]);
    for asked in [
        &["plugins"][..],
        &["plugins", "--json"],
        &["stats"],
        &["stats", "--json"],
        &["stats", "--watch"],
        &["log"],
        &["config"],
        &["emit", "greet.you"],
    ] {
        let (reader, writer) = std::io::pipe().expect("pipes can be made");
        drop(reader);
        let ended = place.command(asked).stdout(writer).output().expect("it starts");
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), &b""[..]), "{asked:?}");
    }
}

#[test]
fn steps_are_done_whether_anybody_reads_of_them_or_not() {
    let place = Place::new();
    let _host = place.host(&[]);
    let states = || {
        let answer = place.ask(&["plugins"]).fine();
        answer.rows().iter().map(|row| row[2].to_owned()).collect::<Vec<_>>()
    };
    let (reader, writer) = std::io::pipe().expect("pipes can be made");
    drop(reader);
    let step = ["plugins", "disable", "hello", "gone", "sysmon"];
    let ended = place.command(&step).stdout(writer).output().expect("it starts");
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(states(), ["loaded", "loaded"]);
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let ended = place.command(&["plugins", "enable", "hello", "sysmon"]).stdout(full).output();
    let ended = ended.expect("it starts");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(states(), ["enabled", "enabled"]);
}

#[test]
fn a_plugin_that_the_host_has_disabled_says_why_wherever_it_is_shown() {
    let place = Place::new();
    let settings = std::fs::read_to_string(place.path("pintle.toml")).expect("it is there");
    let budgets = "\n[budgets]\nerrors_percent = 1\nerrors_least = 1\ncooldown_ms = 0\n";
    // What is refused by the quota makes its handler fail.
    place.write("pintle.toml", &(settings + budgets + "[plugin.hello.quota]\ncalls_per_second = 1\n"));
    let _host = place.host(&[]);
    let failed = || place.ask(&["emit", "greet.you", "--wait"]).code == Some(4);
    assert!((0..100).any(|_| failed()), "its handler does not fail");
    let state = || place.ask(&["plugins"]).fine().rows()[0][2].to_owned();
    let deadline = std::time::Instant::now() + PATIENCE;
    while state() != "suspended" {
        assert!(std::time::Instant::now() < deadline, "it is {}", state());
    }
    for asked in [&["plugins"][..], &["stats", "hello"]] {
        let shown = place.ask(asked).fine().stdout;
        assert!(
            shown.contains("handlers failed") && shown.contains("until `pintle plugins release`"),
            "{shown}"
        );
    }
    let lost = place.ask(&["emit", "greet.you"]);
    assert_eq!(lost.code, Some(4));
    assert!(lost.stderr.contains("or a plugin is not enabled"), "{}", lost.stderr);
    place.ask(&["plugins", "release", "hello"]).fine();
    assert_eq!(state(), "enabled");
}

#[test]
fn a_host_that_was_halted_does_not_keep_a_watch_from_ending() {
    let place = Place::new();
    let host = place.host(&[]);
    let mut watch = place.start(&["stats", "--watch", "--json"]);
    assert!(watch.line().starts_with('{'));
    host.signal("STOP");
    let said = watch.said();
    assert!(said.contains("has not answered for 5s: look whether it was halted"), "{said}");
    assert!(said.contains(&format!("process {}", host.child.id())), "{said}");
    watch.signal("INT");
    assert_eq!(watch.ended().code, Some(0));
    host.signal("CONT");
}

#[test]
fn members_that_the_page_promises_are_there() {
    let place = Place::new();
    let _host = place.host(&[]);
    let emitted = &place.ask(&["emit", "greet.you", "--json"]).fine().json()[0];
    for member in ["id", "source", "type", "matched", "queued", "dropped", "displaced"] {
        assert_ne!(emitted[member], Value::Null, "{emitted}");
    }
}
