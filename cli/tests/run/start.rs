//! Starts that go wrong, in whole or in part: what is said, and with which status it ends.

use std::{fs, os::unix::ffi::OsStrExt};

use pintle_test_support::samples;

use super::place::{Place, event};

/// Arguments, settings, the status, and what is said.
type Case = (&'static [&'static str], &'static str, i32, &'static [&'static str]);

#[test]
fn what_is_wrong_is_said_and_the_status_tells_which_kind_it_is() {
    const HELLO: &[&str] = &["--plugins", "plugins", "--until-idle"];
    let place = Place::with(&[samples().c("hello")]);
    place.folder("empty");
    place.folder("broken");
    place.write("broken/text.so", "not a library");
    place.write("a-file", "");
    let cases: &[Case] = &[
        (HELLO, "", 0, &[]),
        (&["--until-idle"], "plugins = [\"plugins\"]", 0, &[]),
        (
            &["--plugins", "gone", "--plugins", "plugins", "--until-idle"],
            "",
            0,
            &["the plugin folder gone is not there"],
        ),
        (&[], "", 2, &["there is no folder to look for plugins in: name one with --plugins DIR"]),
        (&["--loud"], "", 2, &["--loud"]),
        (&["--settings", "gone.toml"], "", 2, &["gone.toml: the settings cannot be read"]),
        (
            HELLO,
            "[log]\nlevle = \"info\"\nbuffer = 1\n",
            2,
            &["pintle: pintle.toml:2:1: log.levle", "pintle.toml:3:"],
        ),
        (HELLO, "nonsense", 2, &["pintle: pintle.toml:1:"]),
        (&["--plugins", "plugins", "--events", "gone"], "", 2, &["the events in gone cannot be read: "]),
        (&["--plugins", "plugins", "--events", "empty"], "", 2, &["the events in empty cannot be read: "]),
        (
            &["--plugins", "gone"],
            "",
            3,
            &["the plugin folder gone is not there", "pintle: no plugin is in gone"],
        ),
        (&["--plugins", "empty"], "", 3, &["pintle: no plugin is in empty"]),
        (
            &["--plugins", "broken"],
            "",
            3,
            &["broken/text.so is not a library", "no plugin could be started: 1 skipped in broken"],
        ),
        (HELLO, "[plugin.hello]\nenabled = false", 3, &["none that the settings do not disable"]),
        (
            HELLO,
            "[plugin.hello.config]\nx = 1",
            3,
            &["plugin \\\"hello\\\"", "no plugin could be started: 1 failed"],
        ),
        (&["--plugins", "plugins", "--data", "a-file"], "", 1, &["pintle: /", "/a-file cannot be used"]),
        (HELLO, "log.file = \"gone/log\"", 1, &["pintle: the log file"]),
    ];
    for (arguments, settings, code, said) in cases {
        match *settings {
            "" => drop(fs::remove_file(place.path("pintle.toml"))),
            text => drop(place.write("pintle.toml", text)),
        }
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(*code), "{arguments:?} {settings:?}: {}", ended.stderr);
        for text in *said {
            assert!(
                ended.stderr.contains(text),
                "{arguments:?} {settings:?}: {}\nlacks {text}",
                ended.stderr
            );
            assert_eq!(ended.stderr.matches(text).count(), 1, "told twice: {}", ended.stderr);
        }
        assert!(!said.is_empty() || ended.stderr.is_empty(), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_plugin_that_does_not_start_is_reported_and_the_others_work() {
    let place = Place::with(&[samples().c("hello"), samples().c("misbehave")]);
    place.write("in", event("1", "greet.you", "{}"));
    for (log, prefix) in [("", ""), ("[log]\nfile = \"log\"\n", "pintle: ")] {
        place.write("pintle.toml", format!("{log}[plugin.misbehave.config]\nload = \"fail\"\n"));
        let ended = place.run(&["--plugins", "plugins", "--events", "in", "--until-idle"]);
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), 1);
        // If the log goes elsewhere it is said here all the same.
        let told = ended.stderr.lines().filter(|line| line.contains("misbehave was told to fail in load"));
        let told: Vec<_> = told.collect();
        assert!(told.len() == 1 && told[0].starts_with(prefix), "{}", ended.stderr);
    }
}

#[test]
fn the_command_line_comes_before_the_settings() {
    let place = Place::with(&[samples().c("hello")]);
    place.folder("first");
    pintle_test_support::install(&samples().c("hello"), &place.path("first"));
    place.write("pintle.toml", "plugins = [\"plugins\"]\ndata = \"data\"\n");
    let ended = place.run(&["--plugins", "first", "--data", "other", "--until-idle"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Of two with one id the first wins; the other one is told.
    assert!(ended.stderr.contains("plugins/hello.so"), "{}", ended.stderr);
    assert!(place.path("other").is_dir() && !place.path("data").exists());
}

#[test]
fn a_second_host_on_one_data_folder_is_refused_and_told_who_has_it() {
    let place = Place::with(&[samples().c("hello")]);
    let mut first = place.start(&["--plugins", "plugins", "--data", "data", "--events", "-"]);
    first.feed(&event("1", "greet.you", "{}"));
    first.line();
    let second = place.run(&["--plugins", "plugins", "--data", "data", "--until-idle"]);
    assert_eq!(second.code, Some(1));
    let who = format!("data is in use by the host of process {}", first.child.id());
    assert!(second.said().iter().any(|line| line.contains(&who)), "{}", second.stderr);
    first.signal("TERM");
    assert_eq!(first.ended().code, Some(0));
    assert_eq!(place.run(&["--plugins", "plugins", "--data", "data", "--until-idle"]).code, Some(0));
}

#[test]
fn paths_need_not_be_utf_8() {
    let place = Place::with(&[samples().c("hello")]);
    let odd = std::ffi::OsStr::from_bytes(b"pl\xffgins");
    fs::rename(place.path("plugins"), place.path("").join(odd)).unwrap();
    let events = std::ffi::OsStr::from_bytes(b"\xffin");
    fs::write(place.path("").join(events), event("1", "greet.you", "{}") + "oops\n").unwrap();
    let mut command = place.command(&["--until-idle"]);
    let output = command.arg("--plugins").arg(odd).arg("--events").arg(events).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("pintle: \u{fffd}in:2: "), "{output:?}");
}
