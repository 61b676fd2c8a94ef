//! How a run ends: by a signal, when nobody reads any more, and with plugins that do not let it.

use pintle_test_support::samples;

use super::place::{Place, Running, appears, event};

const RUN: [&str; 4] = ["--plugins", "plugins", "--events", "-"];

/// Runs hello, and has seen that it works.
fn at_work(place: &Place) -> Running {
    let mut running = place.start(&RUN);
    running.feed(&event("1", "greet.you", "{}"));
    // Others may be faster.
    loop {
        let line = running.line();
        assert!(!line.is_empty(), "it ended");
        if line.contains("plugin.hello.greeted") {
            break;
        }
    }
    running
}

#[test]
fn a_signal_ends_it_cleanly() {
    for signal in ["INT", "TERM"] {
        let place = Place::with(&[samples().c("hello"), samples().rust("sysmon")]);
        place.write("pintle.toml", "data = \"data\"\n[plugin.sysmon.config]\ninterval_ms = 10\n");
        let running = at_work(&place);
        running.signal(signal);
        let ended = running.ended();
        assert_eq!(ended.code, Some(0), "{signal}: {}", ended.stderr);
        assert!(ended.said().is_empty(), "{}", ended.stderr);
        assert!(ended.stdout.is_empty() || ended.stdout.ends_with("}\n"), "half a line: {}", ended.stdout);
        let left = std::fs::read_dir(place.path("data/staging")).unwrap().count();
        assert_eq!(left, 0, "staged files are left behind");
    }
}

#[test]
fn it_runs_on_after_the_end_of_its_input() {
    let place = Place::with(&[samples().c("hello"), samples().rust("sysmon")]);
    place.write("pintle.toml", "[plugin.sysmon.config]\ninterval_ms = 10\n");
    let mut running = at_work(&place);
    drop(running.stdin.take());
    for _ in 0..20 {
        assert!(running.line().contains("plugin.sysmon."));
    }
    running.signal("TERM");
    assert_eq!(running.ended().code, Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::with(&[samples().c("hello"), samples().rust("sysmon")]);
    place.write("pintle.toml", "[plugin.sysmon.config]\ninterval_ms = 10\n");
    let mut running = at_work(&place);
    drop(running.stdout.take());
    let ended = running.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.said().is_empty(), "{}", ended.stderr);
}

#[test]
fn a_full_disk_under_stdout_is_a_failure() {
    let place = Place::with(&[samples().c("hello")]);
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return eprintln!("SKIPPED: there is no /dev/full");
    };
    place.write("in", event("1", "greet.you", "{}"));
    let mut command = place.command(&["--plugins", "plugins", "--events", "in", "--until-idle"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("pintle: stdout cannot be written: No space left"), "{stderr}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (second, code) in [("TERM", 143), ("INT", 130)] {
        let place = Place::with(&[samples().c("hello"), samples().c("misbehave")]);
        let until = place.path("never");
        let hang = format!("disable = \"hang\"\nuntil = {:?}\n", until.display().to_string());
        place.write("pintle.toml", format!("[plugin.misbehave.config]\n{hang}"));
        let running = at_work(&place);
        running.signal("INT");
        appears(&place.path("never.hanging"));
        // One that comes with the first is the same signal.
        let ended = running.signal_until_ended(second);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
}

#[test]
fn a_plugin_that_hangs_is_named_and_left_behind() {
    let place = Place::with(&[samples().c("hello"), samples().c("misbehave")]);
    place.write(
        "pintle.toml",
        "deadlines = { stop_ms = 600, handler_ms = 300 }\n[plugin.misbehave.config]\nevent = \"hang\"\n",
    );
    let greetings: String = (0..3_000).map(|n| event("1", "greet.you", &n.to_string())).collect();
    place.write("in", event("1", "misbehave.now", "{}") + &greetings);
    // The others get all of the input, and the end of it is the end.
    let ended = place.run(&["--plugins", "plugins", "--events", "in", "--until-idle"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 3_000);
    let said = ended.said();
    assert!(said.iter().any(|line| line.contains("left behind") && line.contains("misbehave")), "{said:?}");
}
