//! Whoever reads what the command writes: gone, or unable to take it.

use std::{fs, io, process::Stdio};

use pintle_test_support::samples;

use super::place::Place;

/// Every way to get an answer.
const ASKED: [&[&str]; 9] = [
    &["inspect", "plugins/hello.so"],
    &["inspect", "--json", "plugins/hello.so"],
    &["list", "plugins"],
    &["list", "--json", "plugins"],
    &["cron", "@hourly"],
    &["completions", "bash"],
    &["man"],
    &["man", "inspect"],
    &["--help"],
];

fn place() -> Place {
    let place = Place::new();
    place.copy(&samples().c("hello"), "plugins/hello.so");
    place
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let place = place();
    for asked in ASKED {
        let (reader, writer) = io::pipe().expect("pipes can be made");
        drop(reader);
        let ended = place.command(asked).stdout(writer).output().expect("it starts");
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), &b""[..]), "{asked:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told() {
    let place = place();
    for asked in ASKED.iter().filter(|asked| **asked != ["--help"]) {
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let ended = place.command(asked).stdout(Stdio::from(full)).output().expect("it starts");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{asked:?}: {said}");
        assert!(said.starts_with("pintle: stdout cannot be written: No space left"), "{asked:?}: {said}");
    }
}

#[test]
fn there_are_no_colours_away_from_terminals() {
    let place = place();
    for asked in ASKED {
        let ended = place.command(asked).env("TERM", "xterm-256color").output().expect("it starts");
        assert!(!ended.stdout.contains(&0x1b), "{asked:?}");
    }
}
