//! `tail`: every line once and in order, whatever becomes of the file.

use std::{fs, path::Path};

use pintle_test_support::samples;
use serde_json::{Value, json};

use crate::stage::{One, Stage, Started, said};

const LINE: &str = "plugin.tail.line";

fn stage(config: &str) -> Stage {
    Stage::new(&[&samples().c("tail")], "")
        .and("[plugin.tail.config]\nevery_ms = 10\nfrom = \"start\"\npath = \"@/log\"")
        .and(config)
}

fn text(event: &One) -> String {
    event.data["line"].as_str().expect("a line is text").to_owned()
}

fn lines(host: &Started, count: usize) -> Vec<String> {
    host.await_events(LINE, count, text)
}

/// Nothing more comes: the job has looked.
fn quiet(host: &Started) -> Vec<String> {
    host.let_run("tail");
    host.events(LINE, text)
}

fn rename(stage: &Stage, from: &str, to: &str) {
    fs::rename(stage.path(from), stage.path(to)).expect("the folder can be written");
}

#[test]
fn lines_come_as_events_with_path_and_offset() {
    let stage = stage("");
    stage.write("log", "one\n\ntwo\n");
    let host = stage.start();
    lines(&host, 3);
    stage.append("log", "three\n");
    let path = stage.path("log");
    let line = |line: &str, offset: u64| json!({ "path": path, "line": line, "offset": offset });
    let expected = [line("one", 0), line("", 4), line("two", 5), line("three", 9)];
    assert_eq!(host.await_events(LINE, 4, |event| event.data.clone()), expected);
    assert_eq!(host.info("tail").counters.failed_handled, 0);
    host.end();
}

#[test]
fn whatever_bytes_there_are_the_event_is_json_and_what_is_no_text_is_replaced() {
    let mut cases: Vec<Vec<u8>> = [
        &b"plain \"quoted\" back\\slash / tab\t bell\x07 nul\0 del\x7f cr\r"[..],
        "ä € 🦀 \u{2028} \u{ffff} \u{10ffff}".as_bytes(),
        b"\xff\xfe",
        b"a\xc3",
        b"\xe2\x82x \xe2\x82",
        b"\xf0\x9f\xa6 \xf0\x9f \xf0",
        b"\xc0\x80 \xe0\x80\x80 \xed\xa0\x80 \xf0\x80\x80\x80 \xf4\x90\x80\x80 \xf5\x80\x80\x80",
        b"\x80\xbf\x80",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    // Bytes of every kind, from a sequence that is the same each time.
    let mut state = 1_u64;
    for _ in 0..200 {
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        cases.push(bytes.filter(|byte| *byte != b'\n').take(40).collect());
    }
    let stage = stage("");
    stage.write("log", cases.iter().flat_map(|case| [case, &b"\n"[..]].concat()).collect::<Vec<_>>());
    let host = stage.start();
    let expected: Vec<_> = cases.iter().map(|case| String::from_utf8_lossy(case).into_owned()).collect();
    assert_eq!(lines(&host, cases.len()), expected);
    host.end();
}

#[test]
fn a_line_waits_for_its_newline() {
    let stage = stage("");
    stage.write("log", "whole\nha");
    let host = stage.start();
    lines(&host, 1);
    assert_eq!(quiet(&host), ["whole"]);
    stage.append("log", "lf");
    assert_eq!(quiet(&host), ["whole"]);
    stage.append("log", "\n");
    assert_eq!(lines(&host, 2), ["whole", "half"]);
    host.end();
}

#[test]
fn a_long_line_is_cut_and_marked_and_its_rest_passed_over() {
    let stage = stage("max_line = 16");
    let long = "x".repeat(200_000);
    // The 16th byte is the second of `ä`.
    stage.write("log", format!("0123456789abcdef\n0123456789abcdefg\n0123456789abcdeä\n{long}\nlast\n"));
    let host = stage.start();
    let cut = |event: &One| (text(event), event.data["cut"].as_bool());
    let expected = [
        ("0123456789abcdef", None),
        ("0123456789abcdef", Some(true)),
        ("0123456789abcde", Some(true)),
        ("xxxxxxxxxxxxxxxx", Some(true)),
        ("last", None),
    ];
    let told = host.await_events(LINE, 5, cut);
    assert_eq!(told, expected.map(|(line, cut)| (line.to_owned(), cut)));
    // Also where it grows while it is passed over, and the plugin starts anew meanwhile.
    stage.append("log", &long);
    lines(&host, 6);
    host.restart("tail");
    stage.append("log", &long);
    host.let_run("tail");
    stage.append("log", "y\nafter\n");
    assert_eq!(lines(&host, 7)[5..], ["xxxxxxxxxxxxxxxx", "after"]);
    host.end();
}

#[test]
fn more_lines_than_fit_one_look_come_all_and_in_order() {
    let stage = stage("max_lines = 7");
    let all: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    stage.write("log", all.join("\n") + "\n");
    let host = stage.start();
    assert_eq!(lines(&host, all.len()), all);
    host.end();
}

#[test]
fn a_file_that_is_rotated_is_read_to_its_end_before_the_new_one() {
    let stage = stage("");
    stage.write("log", "old 1\n");
    let host = stage.start();
    lines(&host, 1);
    rename(&stage, "log", "log.1");
    // The program has not been told yet, and a new file without a line is no reason to leave the old one.
    stage.append("log.1", "old 2\n");
    stage.write("log", "");
    lines(&host, 2);
    host.let_run("tail");
    stage.append("log.1", "old 3\nunfinished");
    lines(&host, 3);
    stage.append("log", "new 1\n");
    let expected = ["old 1", "old 2", "old 3", "unfinished", "new 1"];
    assert_eq!(lines(&host, 5), expected);
    // The second rotation is like the first.
    rename(&stage, "log", "log.2");
    stage.write("log", "newer\n");
    assert_eq!(lines(&host, 6)[5..], ["newer"]);
    let records = host.end();
    assert_eq!(said(&records, "the file was rotated: the new one is followed from its start"), 2);
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_followed_from_its_start() {
    let stage = stage("");
    stage.write("log", "one\ntwo\n");
    let host = stage.start();
    lines(&host, 2);
    fs::remove_file(stage.path("log")).expect("it is there");
    host.let_run("tail");
    stage.append("log", "three\n");
    assert_eq!(lines(&host, 3), ["one", "two", "three"]);
    host.end();
}

#[test]
fn a_file_that_is_written_anew_is_followed_from_its_start() {
    // Shorter, of the same length, and longer than before.
    for again in ["new\n", "one\ntwO\n", "three\nfour\nfive\n"] {
        let stage = stage("");
        stage.write("log", "one\ntwo\n");
        let host = stage.start();
        lines(&host, 2);
        stage.write("log", again);
        let expected: Vec<_> = "one\ntwo\n".lines().chain(again.lines()).collect();
        assert_eq!(lines(&host, expected.len()), expected);
        assert_eq!(quiet(&host), expected);
        host.end();
    }
}

#[test]
fn a_file_that_is_not_there_is_no_failure_and_said_once() {
    let stage = Stage::new(&[&samples().c("tail")], "")
        .and("[plugin.tail.config]\nevery_ms = 10\nfrom = \"end\"\npath = \"@/log\"");
    let host = stage.start();
    host.let_run("tail");
    host.let_run("tail");
    // What comes later is new from its first byte on, also where the plugin was away when it came.
    host.disable("tail").expect("it is enabled");
    stage.write("log", "first\n");
    host.enable("tail").expect("it is loaded");
    assert_eq!(lines(&host, 1), ["first"]);
    assert_eq!(host.info("tail").counters.failed_handled, 0);
    let records = host.end();
    assert_eq!(said(&records, "there is no file to follow yet"), 1);
}

#[test]
fn a_folder_is_no_file() {
    let stage = stage("");
    fs::create_dir(stage.path("log")).expect("the folder can be written");
    let host = stage.start();
    host.let_run("tail");
    let records = host.end();
    let record = records.iter().find(|record| record["message"] == "there is no file to follow yet");
    assert_eq!(record.expect("it is said")["reason"], "it is not a regular file");
}

#[test]
fn from_the_end_is_from_the_first_line_that_is_not_finished() {
    for (before, expected) in [("old\n", "new"), ("old\nhalf ", "half new"), ("", "new")] {
        let stage = Stage::new(&[&samples().c("tail")], "")
            .and("[plugin.tail.config]\nevery_ms = 10\npath = \"@/log\"");
        stage.write("log", before);
        let host = stage.start();
        stage.append("log", "new\n");
        assert_eq!(lines(&host, 1), [expected], "{before:?}");
        host.end();
    }
}

/// What happens to the file between two starts, and which lines are told by the second one.
type Absence = (&'static str, fn(&Stage), &'static [&'static str]);

const ABSENCES: [Absence; 7] = [
    ("nothing", |_| {}, &[]),
    ("it grows", |stage| stage.append("log", " 2\nthree\n"), &["two 2", "three"]),
    (
        "it is rotated",
        |stage| {
            stage.append("log", " 2\n");
            rename(stage, "log", "log.1");
            stage.append("log.1", "last\n");
            stage.write("log", "new\n");
        },
        &["two 2", "last", "new"],
    ),
    (
        "it is rotated, and the new one has no line yet",
        |stage| {
            rename(stage, "log", "log.1");
            stage.append("log.1", " 2\n");
            stage.write("log", "");
        },
        &["two 2"],
    ),
    (
        "it is deleted and made again, as happens under the same inode",
        |stage| {
            fs::remove_file(stage.path("log")).expect("it is there");
            stage.write("log", "another\nfile\nof more bytes than the old one\n");
        },
        &["another", "file", "of more bytes than the old one"],
    ),
    ("it is truncated", |stage| stage.write("log", "1\n"), &["1"]),
    (
        "it is written anew",
        |stage| stage.write("log", "begins differently\nand is longer\n"),
        &["begins differently", "and is longer"],
    ),
];

#[test]
fn nothing_is_lost_or_doubled_by_a_restart_whatever_happens_meanwhile() {
    for (what, happens, expected) in ABSENCES {
        let stage = stage("");
        stage.write("log", "one\ntwo");
        let host = stage.start();
        lines(&host, 1);
        host.unload("tail").expect("it is loaded");
        happens(&stage);
        host.load("tail").and_then(|()| host.enable("tail")).expect("it was there before");
        lines(&host, 1 + expected.len());
        assert_eq!(quiet(&host)[1..], *expected, "{what}");
        assert_eq!(host.info("tail").counters.storage_items, 1, "one position for one file");
        host.end();
    }
}

#[test]
fn the_position_outlives_the_host() {
    let stage = stage("");
    stage.write("log", "one\n");
    let host = stage.start();
    lines(&host, 1);
    host.end();
    stage.append("log", "two\n");
    let host = stage.start();
    lines(&host, 1);
    assert_eq!(quiet(&host), ["two"]);
    let records = host.end();
    assert_eq!(said(&records, "the file is followed from where it was left"), 1);
}

#[test]
fn another_path_is_followed_at_once_and_the_first_one_later_from_where_it_was_left() {
    let stage = stage("");
    stage.write("log", "a 1\n");
    stage.write("other", "b 1\n");
    let host = stage.start();
    lines(&host, 1);
    let config = |name: &str, every_ms: u64| {
        let path: &Path = &stage.path(name);
        let config: Value = json!({ "path": path, "from": "start", "every_ms": every_ms });
        host.configure("tail", &config).unwrap_or_else(|error| panic!("{error}"));
    };
    config("other", 20);
    assert_eq!(lines(&host, 2), ["a 1", "b 1"]);
    stage.append("log", "a 2\n");
    config("log", 10);
    assert_eq!(lines(&host, 3), ["a 1", "b 1", "a 2"]);
    assert_eq!(host.info("tail").counters.failed_handled, 0);
    host.end();
}

#[test]
fn a_path_that_cannot_be_a_key_keeps_it_from_loading_with_a_reason() {
    let stage = Stage::new(&[&samples().c("tail")], "").and(&format!(
        "[plugin.tail]\nenabled = false\n[plugin.tail.config]\npath = \"{}\"",
        "ä".repeat(300)
    ));
    let host = stage.start();
    let refused = host.load("tail").expect_err("600 bytes are more than a key has");
    assert!(refused.to_string().contains("longer than the 512 bytes of a key in storage"), "{refused}");
    host.end();
}
