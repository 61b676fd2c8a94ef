//! `--watch`: plain lines where there is no terminal, a table in place where there is one.

use std::process::{Command, Stdio};

use pintle_test_support::samples;

use super::place::{Place, event};

fn place() -> Place {
    let place = Place::with(&[samples().c("hello"), samples().c("threshold"), samples().rust("sysmon")]);
    place.write(
        "pintle.toml",
        "plugins = [\"plugins\"]\n[plugin.sysmon.config]\ninterval_ms = 20\n[plugin.threshold.config]\nmemory_above = 0\ncpu_above = 100\nload_above = 1e9\n",
    );
    place.write("in", "oops\n".to_owned() + &event("1", "greet.you", r#"{"n":1}"#));
    place
}

#[test]
fn away_from_a_terminal_it_shows_plain_lines_and_a_summary() {
    let place = place();
    let mut running = place.start(&["--watch", "--events", "in"]);
    let mut lines = String::new();
    while !(lines.contains("plugin.threshold.alarm") && lines.contains("plugin.hello.greeted  n 1")) {
        lines.push_str(&running.line());
    }
    running.signal("TERM");
    let ended = running.ended();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let shown = lines + &ended.stdout;
    assert!(!shown.contains('\u{1b}'), "{shown}");
    let summary = shown.split_once("\nran for ").expect("it ends with a summary").1;
    // How wide a column is depends on how large items are.
    let summary: String =
        summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect();
    for text in [
        "1 in, 1 refused, ",
        "PLUGIN VERSION STATE CALLS ERRORS EVENTS HANDLED FAILURES WAITING CACHE HITS MISSES STORAGE\n",
        "hello 0.1.0 enabled 3 0 1 1 0 0 0 0 0 0\n",
        "\nthreshold 0.1.0 enabled ",
        " 0 1 (",
        "\nplugin.hello.greeted 1 n 1\n",
        "\nplugin.threshold.alarm raised ",
        "plugin.sysmon.memory used",
    ] {
        assert!(summary.contains(text), "{summary}\nlacks {text}");
    }
}

#[test]
fn on_a_terminal_it_draws_a_table_in_place_and_the_log_above_it() {
    let script = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !script.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: `script` of util-linux is not there to make a terminal");
    }
    let place = place();
    let pintle = place.command(&["--watch", "--events", "in", "--until-idle"]);
    let line =
        format!("stty cols 200 rows 40; exec {} run --watch --events in", pintle.get_program().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR").env("XDG_DATA_HOME", place.path("usual"));
    script.current_dir(place.path(""));
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    // The terminal makes SIGINT of it, as it does for a person.
    let (mut keys, stdout) =
        (child.stdin.take().expect("asked for"), child.stdout.take().expect("asked for"));
    let mut shown = Vec::new();
    let mut stdout = std::io::BufReader::new(stdout);
    let saw = |shown: &[u8], text: &str| String::from_utf8_lossy(shown).contains(text);
    while !(saw(&shown, "plugin.threshold.alarm  raised") && saw(&shown, "plugin.hello.greeted")) {
        let read = std::io::BufRead::read_until(&mut stdout, b'\n', &mut shown).expect("it can be read");
        assert!(read > 0, "it ended early: {}", String::from_utf8_lossy(&shown));
    }
    std::io::Write::write_all(&mut keys, b"\x03").expect("it is read");
    std::io::Read::read_to_end(&mut stdout, &mut shown).expect("it can be read");
    let shown = String::from_utf8_lossy(&shown).replace("\r\n", "\n");
    assert_eq!(child.wait().expect("it ends").code(), Some(4), "{shown}");

    let (live, end) = shown.split_once("\u{1b}[1mran for ").expect("it ends with a summary");
    assert!(live.contains("\u{1b}[2K\u{1b}[1mPLUGIN     VERSION  STATE"), "{live}");
    // Up to where it began, again and again.
    assert!(live.matches("A\u{1b}[?7l").count() > 1, "{live}");
    for said in ["pintle: in:1: the CloudEvent cannot be read", "greeting"] {
        let at = live.find(said).unwrap_or_else(|| panic!("{said} is missing in {live}"));
        let before = &live[..at];
        // The table was taken away for it, or none had been drawn yet.
        let above = before.rfind("\u{1b}[J").unwrap_or(0);
        assert!(!before[above..].contains("\u{1b}[2K"), "{said} is in the middle of the table: {live}");
    }
    assert!(end.contains("pintle: 1 input line was refused"), "{end}");
    // The last table makes room for the summary, and nothing is left switched.
    assert!(live.ends_with("\u{1b}[?7l\u{1b}[J\u{1b}[?7h"), "{live:?}");
    assert!(end.contains("\nplugin.hello.greeted") && !end.contains("?7l"), "{end}");
}
