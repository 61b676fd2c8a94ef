//! SQL through the C table, in a real host, with `tests/plugins/sql.c` as the plugin: every promise of DATABASE in
//! docs/promises.md. `escapes.rs` is what a plugin may try.

mod escapes;
mod isolation;
mod life;
mod limits;
mod migrations;
mod statements;
mod transactions;

use std::{path::PathBuf, time::Duration};

use pintle::Host;
use pintle_test_support::{compile_c, install, repository};

use crate::keeper::Place;

/// What stands between two fields of a command in these tests.
const FIELD: &str = " ~ ";

/// A place with one plugin `sql`, which asks for all of the database.
fn place() -> Place {
    with("sql", &[])
}

/// A place with one plugin, compiled with more flags.
fn with(name: &str, flags: &[&str]) -> Place {
    let place = Place::new();
    add(&place, name, flags);
    place
}

/// One more.
fn add(place: &Place, name: &str, flags: &[&str]) {
    let define = format!("-DNAME={name}");
    let flags: Vec<&str> = [define.as_str()].into_iter().chain(flags.iter().copied()).collect();
    install(&compile_c(name, repository().join("tests/plugins/sql.c"), &flags), &place.plugins());
}

/// The command as the plugin reads it.
fn raw(command: &str) -> String {
    command.replace(FIELD, "\x1f")
}

/// A text for a field: `begin`, `body` so often, `end`; `\x01` in `body` is the number of the turn.
fn repeated(times: usize, begin: &str, body: &str, end: &str) -> String {
    format!("\x02{times}\x02{begin}\x02{body}\x02{end}")
}

/// Whoever takes longer hangs. A call does up to five statements that each end at their deadline, on a machine that may be busy.
const LONGEST: Duration = Duration::from_secs(300);

/// Has a plugin do commands on behalf of a tenant; what each came to, with the status by name.
fn ask_of(host: &Host, name: &str, tenant: &str, commands: &[&str]) -> Vec<String> {
    let commands: Vec<_> = commands.iter().map(|command| raw(command)).collect();
    let request = commands.join("\x1e");
    let answer = host.call(tenant, &format!("{name}.run"), 1, "do", request.as_bytes(), Some(LONGEST));
    let answer = answer.unwrap_or_else(|error| panic!("{name} for {tenant:?}: {error}"));
    answers(&String::from_utf8_lossy(&answer))
}

/// What each of several commands came to.
fn answers(told: &str) -> Vec<String> {
    told.split_terminator('\x1e').map(by_name).collect()
}

/// One command of `sql`.
#[track_caller]
fn ask(host: &Host, tenant: &str, command: &str) -> String {
    ask_of(host, "sql", tenant, &[command]).pop().expect("one answer")
}

/// Does the commands on the left in one call of `sql`, in order, and compares what each came to with the right: whole, but
/// that `…` stands for anything.
#[track_caller]
fn expect(host: &Host, tenant: &str, table: &[(&str, &str)]) {
    expect_of(host, "sql", tenant, table);
}

/// The same of any plugin.
#[track_caller]
fn expect_of(host: &Host, name: &str, tenant: &str, table: &[(&str, &str)]) {
    let commands: Vec<&str> = table.iter().map(|(command, _)| *command).collect();
    compare(table, &ask_of(host, name, tenant, &commands));
}

#[track_caller]
fn compare(table: &[(&str, &str)], answers: &[String]) {
    assert_eq!(answers.len(), table.len(), "{answers:#?}");
    for ((command, expected), answer) in table.iter().zip(answers) {
        assert!(is_like(answer, expected), "{command}\n  answered {answer}\n  expected {expected}");
    }
}

/// Whether a text is as a pattern says, in which `…` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// `CONFLICT UNIQUE …` in the place of `6 UNIQUE …`.
fn by_name(answer: &str) -> String {
    let end = answer.find([' ', '\n']).unwrap_or(answer.len());
    let (status, rest) = answer.split_at(end);
    let known = status.parse().ok().and_then(|status: usize| STATUSES.get(status));
    known.map_or_else(|| answer.to_owned(), |name| format!("{name}{rest}"))
}

const STATUSES: [&str; 20] = [
    "OK",
    "NOT_FOUND",
    "INVALID_ARGUMENT",
    "DENIED",
    "STALE_HANDLE",
    "BUFFER_TOO_SMALL",
    "CONFLICT",
    "WRONG_TYPE",
    "OUT_OF_RANGE",
    "TOO_LARGE",
    "QUOTA",
    "TIMEOUT",
    "CANCELLED",
    "BUSY",
    "UNAVAILABLE",
    "UNSUPPORTED",
    "STOPPING",
    "REENTRANT",
    "INTERNAL",
    "PANIC",
];

/// The databases' files of a plugin, by name, sorted.
fn files(place: &Place, plugin: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder(place, plugin)) else { return Vec::new() };
    let names = entries.map(|entry| {
        entry.expect("the folder can be read").file_name().into_string().expect("names are ASCII")
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Where the databases of a plugin lie.
fn folder(place: &Place, plugin: &str) -> PathBuf {
    place.data().join("sql").join(format!("p-{plugin}"))
}

/// Lines of `pintle.toml` that give a plugin commands for one of its functions.
fn told_to(plugin: &str, function: &str, commands: &[&str]) -> String {
    let commands: Vec<_> = commands.iter().map(|command| raw(command)).collect();
    let text = commands.join("\x1e").replace('\\', "\\\\").replace('"', "\\\"");
    let text = text.replace('\x1e', "\\u001e").replace('\x1f', "\\u001f").replace('\n', "\\n");
    format!("plugin.{plugin}.config.{function} = \"{text}\"")
}

#[test]
fn a_pattern_is_whole_but_for_its_gaps() {
    let cases = [
        ("OK", "OK", true),
        ("OK rows=1", "OK", false),
        ("OK rows=1", "OK…", true),
        ("OK rows=1\na\ni1", "OK…\na\n…1", true),
        ("OK rows=1\nb", "OK…a…", false),
        ("6 x", "6 x y", false),
    ];
    for (text, pattern, expected) in cases {
        assert_eq!(is_like(text, pattern), expected, "{text:?} {pattern:?}");
    }
}
