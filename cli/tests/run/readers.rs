//! Who reads what the command says: nobody, somebody slow, somebody who has gone, a terminal that plugins would like to
//! steer. The host goes on, plugins wait for no reader, losses are told, and the end comes.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pintle_test_support::{compile_c, samples};
use serde_json::Value;

use super::place::{PATIENCE, Place, Running, appears, event};

const RUN: [&str; 6] = ["--plugins", "plugins", "--data", "data", "--events", "in"];

/// Short enough to wait for.
const SETTINGS: &str = "deadlines = { stop_ms = 1500, handler_ms = 1000 }\n";

/// More than fits into a pipe, told line by line.
const FLOOD: usize = 3_000;

fn hello(input: &str) -> Place {
    let place = Place::with(&[samples().c("hello")]);
    place.write("pintle.toml", SETTINGS);
    place.write("in", input);
    place
}

/// Starts a run whose stderr is somebody else's.
fn silent(mut command: Command, stderr: impl Into<Stdio>) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    Running::of(command.spawn().expect("it starts"))
}

#[test]
fn a_stderr_that_was_closed_before_the_start_or_by_its_reader_is_no_error() {
    let place = hello(&event("1", "greet.you", "{}").repeat(20));
    let arguments = [&RUN[..], &["--until-idle"]].concat();
    let closed = silent(place.after("exec 2>&-", &arguments), Stdio::null()).ended();
    let both = silent(place.after("exec 2>&- <&-", &arguments), Stdio::null()).ended();
    let (reader, writer) = std::io::pipe().expect("there are files left");
    drop(reader);
    let gone = silent(place.command(&arguments), writer).ended();
    for (case, ended) in [("closed", closed), ("closed with stdin", both), ("its reader has gone", gone)] {
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 20), "{case}");
    }
}

#[test]
fn a_reader_of_stderr_that_takes_nothing_keeps_no_plugin_and_no_end_waiting() {
    // The log fills the pipe; the command's own messages do.
    let greetings = event("1", "greet.you", "{}").repeat(FLOOD);
    let nonsense = "nonsense\n".repeat(FLOOD);
    for (case, input, expected) in [("the log", greetings, FLOOD), ("the command", nonsense, 0)] {
        let place = hello(&input);
        let (reader, writer) = std::io::pipe().expect("there are files left");
        let mut silent = silent(place.command(&RUN), writer);
        for _ in 0..expected {
            // Whatever becomes of the log, the events get through.
            assert!(silent.line().contains("greeted"), "{case}");
        }
        appears(&place.path("data/pintle.db"));
        wait_until_full(&reader);
        silent.signal("TERM");
        let signalled = Instant::now();
        let code = silent.ended().code;
        // The log is left behind, or input is left over: it has not ended well, but it has ended.
        assert!(matches!(code, Some(1 | 4)), "{case}: {code:?}");
        assert!(signalled.elapsed() < PATIENCE / 2, "{case} took {:?}", signalled.elapsed());
        drop(reader);
    }
}

/// Waits until a pipe takes no more: until nothing is added to it for a while.
fn wait_until_full(pipe: &std::io::PipeReader) {
    let file = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(pipe));
    let deadline = Instant::now() + PATIENCE;
    // A second writer finds room or none. What it writes is nobody's.
    let mut writer = fs::OpenOptions::new().append(true).open(file).expect("it is a pipe");
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || while writer.write_all(&[b'.'; 4096]).is_ok() && tell.send(()).is_ok() {});
    while told.recv_timeout(Duration::from_millis(300)).is_ok() {
        assert!(Instant::now() < deadline, "it takes more and more");
    }
}

#[test]
fn a_terminal_that_takes_nothing_does_not_keep_it_from_ending() {
    let script = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !script.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: `script` of util-linux is not there to make a terminal");
    }
    let place = Place::with(&[samples().c("hello"), samples().rust("sysmon")]);
    place.write("pintle.toml", format!("{SETTINGS}[plugin.sysmon.config]\ninterval_ms = 10\n"));
    place.write("in", event("1", "greet.you", "{}").repeat(FLOOD));
    let line = format!(
        "stty cols 200 rows 40; {} run --watch {}; echo $? > code.new; mv code.new code",
        super::place::PINTLE,
        RUN.join(" ")
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    script.env("TERM", "xterm").current_dir(place.path(""));
    // Nobody reads what `script` writes, so that it stops to read the terminal.
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let unread = script.stdout.take().expect("it was asked for");
    let pid = pid_of(&place.path("data/pintle.lock"));
    let pipe = std::io::PipeReader::from(std::os::fd::OwnedFd::from(unread));
    wait_until_full(&pipe);
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill is everywhere");
    assert!(sent.success());
    appears(&place.path("code"));
    let code = fs::read_to_string(place.path("code")).expect("it was written");
    assert!(matches!(code.trim(), "0" | "1" | "4"), "{code}");
    drop(pipe);
    let _ = script.kill();
    let _ = script.wait();
}

/// The number of the process that has a data folder.
fn pid_of(lock: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(lock).unwrap_or_default();
        if text.ends_with('\n') {
            return text.trim().to_owned();
        }
        assert!(Instant::now() < deadline, "nobody takes the data folder");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_log_file_that_is_a_pipe_is_written_while_it_is_read_and_not_waited_for() {
    let place = hello(&event("1", "greet.you", "{}").repeat(20));
    place.write("pintle.toml", format!("{SETTINGS}log = {{ file = \"pipe\" }}\n"));
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().expect("mkfifo is there");
    assert!(made.success());
    let arguments = [&RUN[..], &["--until-idle"]].concat();
    let ended = Place::spawn(place.command(&arguments)).ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.said()[0].contains("the log file pipe cannot be opened: it is a pipe that nobody reads"),
        "{ended:?}"
    );
    // Read, and then read no more.
    for lines in [20, 1] {
        let pipe = place.path("pipe");
        let running = Place::spawn(place.command(&arguments));
        let reader = thread::spawn(move || {
            let file = fs::File::open(pipe).expect("it is there");
            std::io::BufRead::lines(std::io::BufReader::new(file)).take(lines).count()
        });
        let ended = running.ended();
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 20), "{}", ended.stderr);
        assert_eq!(reader.join().expect("it does not panic"), lines);
        if lines == 20 {
            assert_eq!(ended.stderr, "");
        }
    }
}

/// Logs what a line and a terminal could be forged with: as message, as the value of a field, as its name, and in the
/// fields of a logger.
const FORGER: &str = r#"
#include <pintle/plugin.h>

#include <stdlib.h>
#include <string.h>

PINTLE_MANIFEST({
  "id": "forger", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["greet.>"], "publish": ["done"] } }
});

static const pintle_host *host;

#define EVIL(text) { text, sizeof text - 1 }
static const pintle_str evil[] = {
  EVIL("two\nlines"),
  EVIL("\n{\"time\":\"2026-11-21T00:00:00.000000Z\",\"level\":\"fatal\",\"host\":\"pintle\",\"message\":\"forged\"}\n"),
  EVIL("quote\" , \"level\":\"fatal\", \"x\":\"\\"),
  EVIL("\r\x1b[2K\x1b]0;title\x07\x1b[31mred\x1b[0m\b\b\b"),
  EVIL("nul\0inside"),
  EVIL("not utf-8 \xff\xfe\xc0\x8a\xed\xa0\x80 \xf0\x9f\xa6"),
  EVIL("c1 \xc2\x85\xc2\x9b""31m \x85\x9b"),
  EVIL("\xe2\x80\xa8line\xe2\x80\xa9paragraph"),
  EVIL("\xe2\x80\xae""drow\xe2\x80\xac \xe2\x81\xa6x\xe2\x81\xa9 \xd8\x9c \xe2\x80\x8f"),
  EVIL(""),
};

static void say(pintle_ctx ctx, pintle_str text) {
  pintle_field field = {sizeof field, PINTLE_FIELD_TEXT, PINTLE_STR_INIT("value"), {NULL, 0}, 0, 0};
  pintle_logger logger;
  field.text = text;
  host->log->write(ctx, PINTLE_LOG_WARN, text, &field, 1);
  if (host->log->logger_new(ctx, &field, 1, &logger) == PINTLE_OK) {
    host->log->logger_write(ctx, logger, PINTLE_LOG_WARN, text, NULL, 0);
    host->log->logger_free(ctx, logger);
  }
  field.name = text; /* refused, or one more line */
  host->log->write(ctx, PINTLE_LOG_WARN, PINTLE_STR("name"), &field, 1);
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  size_t at;
  pintle_str huge;
  char *bytes = malloc(1 << 20);
  (void)user, (void)event, (void)reply;
  for (at = 0; at < sizeof evil / sizeof *evil; at++) say(ctx, evil[at]);
  if (bytes == NULL) return PINTLE_BUSY;
  memset(bytes, '\n', 1 << 20);
  huge.ptr = bytes, huge.len = 1 << 20;
  say(ctx, huge);
  memset(bytes, 0x9b, 1 << 20);
  say(ctx, huge);
  free(bytes);
  host->set_error(ctx, evil[3]);
  host->events->emit(ctx, PINTLE_STR("done"), pintle_bytesn("1", 1), NULL);
  return PINTLE_INTERNAL; /* told in the log, with the text above */
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return host->events->subscribe(ctx, PINTLE_STR("greet.>"), on_event, NULL, NULL, NULL, NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("forger"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
"#;

#[test]
fn no_plugin_forges_a_line_or_steers_a_terminal() {
    let place = Place::with(&[compile_c("forger", FORGER, &[])]);
    place.write("in", event("1", "greet.you", "{}"));
    let arguments = [&RUN[..], &["--until-idle"]].concat();
    let mut counts = Vec::new();
    for format in ["json", "text"] {
        place.write("pintle.toml", format!("log = {{ format = \"{format}\" }}\n"));
        let ended = place.run(&arguments);
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{}", ended.stderr);
        let steers = |c: char| {
            c.is_control()
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        for line in ended.stderr.lines() {
            assert!(!line.contains(steers), "{line:?}");
            assert!(line.len() < 1 << 20, "a line of {} bytes", line.len());
            if format == "json" {
                let record: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert_eq!(record["level"], "warn", "{line}");
                assert!(record["plugin"] == "forger" || record["host"] == "pintle", "{line}");
                assert_ne!(record["message"], "forged", "{line}");
            } else {
                assert!(line.as_bytes()[4] == b'-' && line.contains(" WARN "), "{line}");
            }
        }
        counts.push(ended.stderr.lines().count());
    }
    // Two of each text, one for names that are taken, and one for the failure.
    assert!(counts[0] == counts[1] && counts[0] > 2 * 12, "{counts:?}");
}

#[test]
fn a_log_file_that_is_a_link_to_nowhere_or_a_folder_is_named() {
    let place = hello("");
    symlink("nowhere/at/all", place.path("dangling")).expect("it can be made");
    for (file, why) in
        [("dangling", "No such file"), ("plugins", "Is a directory"), ("in/log", "Not a directory")]
    {
        place.write("pintle.toml", format!("log = {{ file = \"{file}\" }}\n"));
        let ended = Place::spawn(place.command(&[&RUN[..], &["--until-idle"]].concat())).ended();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let said = &ended.said()[0];
        assert!(said.contains(&format!("the log file {file} cannot be opened: {why}")), "{said}");
        assert!(said.contains("make its folder and let this user write there"), "{said}");
    }
}
