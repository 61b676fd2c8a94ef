//! What `pintle events` writes: for people, or with `--json` for programs.

use std::{collections::BTreeMap, io};

use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use crate::{
    event,
    exit::{Exit, Failure},
    link::Link,
    print::{self, Style, count, json_line, moment, printable, size, table, text},
    screen::Look,
    stats::{of_durable, of_events, reasons},
    voice::Voice,
};

/// How many dead letters are asked for at once.
const PAGE: u64 = 1_000;

/// How wide the names of lines are.
const WIDTH: usize = 8;

pub(super) fn stats(stats: &Value, made: bool, json: bool) -> Result<Exit, Failure> {
    let exit = print::answer(|out| {
        match json {
            true => out.write_all(json_line(stats)?.as_bytes())?,
            false => out.write_all(report(stats, made, Style::of_stdout()).as_bytes())?,
        }
        Ok(Exit::Fine)
    })?;
    match stats["problem"].as_str() {
        Some(problem) => Err(Failure::failed(format!("the event log cannot be looked at: {problem}"))),
        None => Ok(exit),
    }
}

/// For people wherever it goes: `--json` is for programs. Of a host that was made for the question there is only the log.
fn report(stats: &Value, made: bool, style: Style) -> String {
    let line = |name: &str, value: &str| {
        format!("{}{}\n", Look::Dim.paint(&format!("{name:WIDTH$}"), style.colours), printable(value))
    };
    let mut out = String::new();
    if !made {
        out.push_str(&line("events", &of_events(&stats["totals"])));
        out.push_str(&line("durable", &of_durable(&stats["durable"])));
    }
    let log = &stats["log"];
    let kept = match count(log, "events") {
        _ if log.is_null() => "none".to_owned(),
        0 => format!("empty; {} were written", count(log, "last")),
        events => format!(
            "{events} events, {}, number {} to {}",
            size(count(log, "bytes") as f64),
            count(log, "first"),
            count(log, "last")
        ),
    };
    out.push_str(&line("log", &kept));
    let rows = |of: &str, row: fn(&Value) -> Vec<String>| -> Vec<Vec<String>> {
        stats[of].as_array().into_iter().flatten().map(row).collect()
    };
    for (heads, rows) in [
        (&SUBSCRIPTION[..], rows("subscriptions", subscription)),
        (&CONSUMER[..], rows("consumers", consumer)),
    ] {
        if !rows.is_empty() {
            out.push('\n');
            out.push_str(&table(heads, &rows, Style { terminal: true, ..style }));
        }
    }
    out
}

const SUBSCRIPTION: [&str; 11] = [
    "SUBSCRIBER",
    "TENANT",
    "NAME",
    "PATTERN",
    "POLICY",
    "MATCHED",
    "WAITING",
    "RUNNING",
    "DELIVERED",
    "FAILED",
    "DROPPED",
];

fn subscription(of: &Value) -> Vec<String> {
    let named = ["of", "tenant", "name", "pattern", "policy"].map(|name| text(of, name).to_owned());
    let counted =
        ["matched", "waiting", "running", "delivered", "failed"].map(|name| count(of, name).to_string());
    let dropped = format!("{}{}", count(of, "dropped"), reasons(&of["drops"]));
    named.into_iter().chain(counted).chain([dropped]).collect()
}

const CONSUMER: [&str; 11] = [
    "DURABLE",
    "TENANT",
    "NAME",
    "PATTERN",
    "FLOOR",
    "BEHIND",
    "UNDER WAY",
    "RETRIES",
    "DEAD",
    "DELIVERED",
    "FAILURES",
];

/// What is known only of one that is subscribed now is empty of others.
fn consumer(of: &Value) -> Vec<String> {
    let live = &of["live"];
    let known = |name: &str| live[name].as_u64().map_or(String::new(), |count| count.to_string());
    let [plugin, tenant, name] = ["plugin", "tenant", "name"].map(|name| text(of, name).to_owned());
    let [floor, behind, retries, dead] =
        ["floor", "behind", "retries", "dead"].map(|name| count(of, name).to_string());
    vec![
        plugin,
        tenant,
        name,
        text(live, "pattern").to_owned(),
        floor,
        behind,
        known("in_flight"),
        retries,
        dead,
        known("delivered"),
        known("failures"),
    ]
}

/// Writes at most `limit` dead letters, says so if there are more, and tells how many it has written.
pub(super) fn dead_letters(
    link: &mut Link,
    of: &Value,
    limit: u64,
    json: bool,
) -> Result<(Exit, u64), Failure> {
    let mut pages = Pages { left: limit, next: json!(0) };
    let mut failed = None;
    let exit = print::answer(|out| {
        let mut rows = Vec::new();
        while !pages.is_over() {
            let page = match pages.ask(of, |params| link.ask("events.dead", params)) {
                Ok(page) => page,
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            };
            for letter in &page {
                match json {
                    true => out.write_all(line(letter)?.as_bytes())?,
                    false => rows.push(row(letter)),
                }
            }
            // Each page when it is there: who has seen enough ends it.
            out.flush()?;
        }
        // Columns are as wide as all that is in them.
        if !rows.is_empty() {
            out.write_all(table(&DEAD, &rows, Style::of_stdout()).as_bytes())?;
        }
        Ok(Exit::Fine)
    })?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    if !pages.next.is_null() {
        Voice::plain().say(&format!("there are more than {limit}: --all lists all of them"));
    }
    Ok((exit, limit - pages.left))
}

/// How far the list has come.
struct Pages {
    /// How many more are wanted.
    left: u64,
    /// Behind which number the next page begins; null: there is none.
    next: Value,
}

impl Pages {
    fn is_over(&self) -> bool {
        self.left == 0 || self.next.is_null()
    }

    /// The dead letters of the next page.
    fn ask(
        &mut self,
        of: &Value,
        ask: impl FnOnce(Value) -> Result<Value, Failure>,
    ) -> Result<Vec<Value>, Failure> {
        let mut params = of.clone();
        (params["limit"], params["after"]) = (self.left.min(PAGE).into(), self.next.clone());
        let mut page = ask(params)?;
        let letters = page["letters"].as_array_mut().map(std::mem::take).unwrap_or_default();
        self.left = self.left.saturating_sub(letters.len() as u64);
        self.next = page["next"].take();
        Ok(letters)
    }
}

const DEAD: [&str; 9] =
    ["NUMBER", "DIED", "SUBSCRIBER", "TENANT", "NAME", "TYPE", "EVENT", "ATTEMPTS", "REASON"];

fn row(letter: &Value) -> Vec<String> {
    let event = &letter["event"];
    vec![
        count(letter, "number").to_string(),
        moment(letter["died_ms"].as_i64().unwrap_or_default()),
        text(letter, "plugin").to_owned(),
        text(letter, "tenant").to_owned(),
        text(letter, "name").to_owned(),
        text(event, "type").to_owned(),
        text(event, "id").to_owned(),
        count(letter, "attempts").to_string(),
        text(letter, "reason").to_owned(),
    ]
}

/// The dead letter with data that can be read, which a value would not leave as it is.
fn line(letter: &Value) -> io::Result<String> {
    let mut members = BTreeMap::<&str, Box<RawValue>>::new();
    for (name, value) in letter.as_object().into_iter().flatten() {
        let raw = match name.as_str() {
            "event" => RawValue::from_string(event::readable(value))?,
            _ => to_raw_value(value)?,
        };
        members.insert(name, raw);
    }
    json_line(&members)
}

/// How many there were.
pub(super) fn counted(done: u64, json: bool) -> Result<Exit, Failure> {
    print::answer(|out| {
        match json {
            true => out.write_all(json_line(&json!({ "count": done }))?.as_bytes())?,
            false => writeln!(out, "{done}")?,
        }
        Ok(Exit::Fine)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { terminal: false, colours: false };

    fn cells(told: &str, at: usize) -> Vec<&str> {
        told.lines()
            .nth(at)
            .into_iter()
            .flat_map(|line| line.split("  "))
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect()
    }

    #[test]
    fn subscriptions_and_durable_ones_are_told_with_what_became_of_their_events() {
        let stats = json!({
            "totals": { "emitted": 9, "unheard": 1, "delivered": 4, "failed": 1, "waiting": 0, "running": 0, "dropped": { "displaced": 3 } },
            "durable": { "written": 12, "duplicates": 1, "delivered": 9, "redelivered": 4, "acknowledged": 5, "retried": 3, "dead": 1, "replayed": 0 },
            "subscriptions": [{
                "of": "p", "tenant": null, "name": "n\u{1b}", "pattern": "a.>", "policy": "drop-oldest", "matched": 8, "waiting": 0,
                "running": 0, "delivered": 4, "failed": 1, "dropped": 3, "drops": { "displaced": 2, "no_room": 1, "ended": 0 },
            }],
            "log": { "events": 12, "bytes": 2_048, "first": 6, "last": 17 }, "problem": null,
            "consumers": [
                { "plugin": "p", "tenant": "acme", "name": "d", "floor": 10, "behind": 7, "retries": 2, "dead": 1,
                  "live": { "pattern": "b.*", "in_flight": 3, "delivered": 5, "failures": 4 } },
                { "plugin": "q", "tenant": "", "name": "e", "floor": 17, "behind": 0, "retries": 0, "dead": 0, "live": null },
            ],
        });
        let told = report(&stats, false, PLAIN);
        assert!(told.starts_with("events  9 published (1 unheard), 4 delivered, 1 failed,"), "{told}");
        assert!(
            told.contains("\ndurable 12 written, 1 duplicates, 9 delivered (4 again), 5 acknowledged, "),
            "{told}"
        );
        assert!(told.contains("\nlog     12 events, 2.0 KiB, number 6 to 17\n\nSUBSCRIBER"), "{told}");
        assert_eq!(
            cells(&told, 5),
            [
                "p",
                "-",
                "n\\u{1b}",
                "a.>",
                "drop-oldest",
                "8",
                "0",
                "0",
                "4",
                "1",
                "3 (2 displaced, 1 no room)"
            ]
        );
        assert_eq!(cells(&told, 8), ["p", "acme", "d", "b.*", "10", "7", "3", "2", "1", "5", "4"]);
        assert_eq!(cells(&told, 9), ["q", "-", "e", "-", "17", "0", "-", "0", "0", "-", "-"]);
    }

    #[test]
    fn of_a_folder_there_is_only_the_log() {
        let log = json!({ "events": 0, "bytes": 0, "first": 18, "last": 17 });
        for (log, expected) in [(Value::Null, "log     none\n"), (log, "log     empty; 17 were written\n")] {
            let stats =
                json!({ "totals": {}, "subscriptions": [], "log": log, "problem": null, "consumers": [] });
            assert_eq!(report(&stats, true, PLAIN), expected);
        }
    }

    #[test]
    fn pages_are_asked_for_until_there_are_enough_or_no_more() {
        for (there, limit, asked, more) in [
            (0, 100, &[(100, 0)][..], false),
            (100, 100, &[(100, 0)], false),
            (101, 100, &[(100, 0)], true),
            (1_500, 1_400, &[(1_000, 0), (400, 1_000)], true),
            (2_000, u64::MAX, &[(1_000, 0), (1_000, 1_000)], false),
        ] {
            let (mut pages, mut seen, mut numbers) =
                (Pages { left: limit, next: json!(0) }, Vec::new(), Vec::new());
            while !pages.is_over() {
                let page = pages.ask(&json!({ "plugin": "p" }), |params| {
                    let (limit, after) = (count(&params, "limit"), count(&params, "after"));
                    assert_eq!(params["plugin"], "p");
                    seen.push((limit, after));
                    let end = there.min(after + limit);
                    let letters: Vec<Value> =
                        (after + 1..=end).map(|number| json!({ "number": number })).collect();
                    Ok(json!({ "letters": letters, "next": (end < there).then_some(end) }))
                });
                numbers.extend(page.expect("it answers").iter().map(|letter| count(letter, "number")));
            }
            assert_eq!((&*seen, !pages.next.is_null()), (asked, more), "{limit} of {there}");
            assert_eq!(numbers, (1..=there.min(limit)).collect::<Vec<u64>>());
        }
        let mut pages = Pages { left: 1, next: json!(0) };
        assert!(pages.ask(&json!({}), |_| Err(Failure::failed("the disk"))).is_err());
    }

    #[test]
    fn a_dead_letter_is_one_line_without_anything_that_steers_a_terminal() {
        let letter = json!({
            "number": 17, "died_ms": 1_795_244_400_120_i64, "plugin": "p", "tenant": "", "name": "n", "sequence": 4, "attempts": 10,
            "reason": "no\u{1b}[2J\nroom",
            "event": {
                "specversion": "1.0", "id": "7", "source": "/s", "type": "a.b", "time": "2026-11-21T07:00:00.007Z",
                "datacontenttype": "application/json", "data_base64": "eyJ6IjoxMjM0NTY3ODkwMTIzNDU2Nzg5MCwiYSI6MS4xMH0=",
            },
        });
        assert_eq!(
            table(&DEAD, &[row(&letter)], PLAIN),
            "17\t2026-11-21T07:00:00.120Z\tp\t-\tn\ta.b\t7\t10\tno\\u{1b}[2J\\nroom\n"
        );
        let line = line(&letter).expect("it is JSON");
        assert!(line.contains(r#""data":{"z":12345678901234567890,"a":1.10}}"#), "{line}");
        assert!(line.ends_with("}\n") && !line.trim_end().contains(char::is_control), "{line:?}");
        let back: Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!((&back["number"], &back["reason"]), (&letter["number"], &letter["reason"]));
        assert_eq!(back["event"]["id"], "7");
    }
}
