//! On a terminal: aligned columns with heads, colours where they are wanted, and how far long work is.

use std::process::{Command, Stdio};

use super::place::Place;

/// What the command shows on a terminal of 60 columns; None: there is no `script` to make one.
fn shown(place: &Place, line: &str, no_color: bool) -> Option<String> {
    let has = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: `script` of util-linux is not there to make a terminal");
        return None;
    }
    let line = format!("stty cols 60 rows 40; {} {line}", env!("CARGO_BIN_EXE_pintle"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR").env("XDG_DATA_HOME", place.path("usual"));
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let output = script.current_dir(place.path("")).stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).expect("it writes text").replace("\r\n", "\n"))
}

#[test]
fn tables_have_heads_and_colours_where_they_are_wanted() {
    let place = Place::new();
    let _host = place.host(&[]);
    for no_color in [false, true] {
        let Some(table) = shown(&place, "plugins", no_color) else { return };
        let head = table.lines().next().expect("it has lines");
        assert!(head.contains("ID      VERSION  STATE"), "{table}");
        assert_eq!(head.contains('\u{1b}'), !no_color, "{table}");
        assert!(table.contains("\nhello   0.1.0    enabled"), "{table}");
    }
}

#[test]
fn a_table_of_rates_is_drawn_in_place() {
    let place = Place::new();
    let _host = place.host(&[]);
    // Ctrl-C comes by way of `timeout`, which has it sent to the command alone.
    let pintle = format!(
        "</dev/null; timeout --preserve-status -s INT 3 {} stats --watch",
        env!("CARGO_BIN_EXE_pintle")
    );
    let Some(table) = shown(&place, &format!("--version {pintle}"), false) else { return };
    assert!(table.contains("\u{1b}[2K\u{1b}[1mPLUGIN  STATE    CALLS/S"), "{table:?}");
    assert!(table.contains("A\u{1b}[?7l"), "it is not drawn again in its place: {table:?}");
}

#[test]
fn long_work_shows_how_far_it_is_and_leaves_nothing_behind() {
    let place = Place::new();
    let _host = place.host(&[]);
    let event = r#"{"specversion":"1.0","id":"1","source":"/t","type":"greet.you"}"#.to_owned() + "\n";
    place.write("in", &event.repeat(20_000));
    let Some(all) = shown(&place, "emit --events in --wait", true) else { return };
    assert!(all.contains("publishing [") && all.contains("%"), "{all:?}");
    assert!(
        all.ends_with("20000 published, 0 refused, for 20000 subscriptions: 20000 handled, 0 failed\n"),
        "{all:?}"
    );
    assert!(all.contains("\r\u{1b}[K20000 published"), "the bar is left behind: {all:?}");
}
