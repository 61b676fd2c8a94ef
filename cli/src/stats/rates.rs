//! What has happened between two looks at a host: rates, and what waits now.

use std::time::Instant;

use serde_json::Value;

use super::{dropped, sum};
use crate::{
    print::{Style, count, size, state, table, text},
    screen::Look,
};

const HEADS: [&str; 11] = [
    "PLUGIN",
    "STATE",
    "CALLS/S",
    "ERRORS/S",
    "EVENTS/S",
    "HANDLED/S",
    "BUSY",
    "WAITING",
    "DROPPED",
    "CACHE",
    "STORAGE",
];

/// Two looks.
pub(super) struct Rates<'v> {
    seconds: f64,
    before: Option<&'v Value>,
    now: &'v Value,
}

impl<'v> Rates<'v> {
    /// From the first to the second; the first time there is only one.
    pub(super) fn between(last: Option<&'v (Instant, Value)>, now: &'v (Instant, Value)) -> Self {
        let seconds = last.map_or(0.0, |last| now.0.duration_since(last.0).as_secs_f64());
        Self { seconds, before: last.map(|last| &last.1), now: &now.1 }
    }

    /// For a terminal of this size.
    pub(super) fn live(&self, lines: usize, columns: usize, colours: bool) -> Vec<String> {
        let mut shown: Vec<String> =
            self.lines().iter().map(|line| line.chars().take(columns).collect()).collect();
        if shown.len() >= lines {
            let more = shown.len() + 2 - lines;
            shown.truncate(lines - 2);
            shown.push(format!("... and {more} lines more"));
        }
        for (at, line) in shown.iter_mut().enumerate() {
            match at {
                0 => *line = Look::Dim.paint(line, colours),
                2 => *line = Look::Bold.paint(line, colours),
                _ => {}
            }
        }
        shown
    }

    /// One line of the whole host, and a table of its plugins.
    pub(super) fn lines(&self) -> Vec<String> {
        let (host, events) = (&self.now["host"], &self.now["events"]);
        let head = format!(
            "pintle: process {}, up {} s, {} published/s, {} delivered/s, {} waiting, {} dropped, {} stuck",
            count(host, "pid"),
            count(host, "uptime_ms") / 1_000,
            self.rate(|stats| Some(count(&stats["events"], "emitted"))),
            self.rate(|stats| Some(count(&stats["events"], "delivered"))),
            count(events, "waiting"),
            dropped(events),
            count(&self.now["workers"], "stuck"),
        );
        let rows: Vec<_> =
            self.now["plugins"].as_array().into_iter().flatten().map(|plugin| self.row(plugin)).collect();
        let table = table(&HEADS, &rows, Style { terminal: true, colours: false });
        [head, String::new()].into_iter().chain(table.lines().map(str::to_owned)).collect()
    }

    fn row(&self, plugin: &Value) -> Vec<String> {
        let id = text(plugin, "id");
        let of = |stats: &Value, look: &dyn Fn(&Value) -> u64| {
            stats["plugins"].as_array()?.iter().find(|plugin| plugin["id"] == id).map(look)
        };
        let rate = |look: &dyn Fn(&Value) -> u64| self.rate(|stats| of(stats, look));
        let busy = self.per_second(|stats| of(stats, &|plugin| sum(&plugin["handlers"], "busy_ms")));
        vec![
            id.to_owned(),
            state(plugin).to_owned(),
            rate(&|plugin| sum(&plugin["calls"], "calls")),
            rate(&|plugin| sum(&plugin["calls"], "failed")),
            rate(&|plugin| count(&plugin["events"], "emitted")),
            rate(&|plugin| sum(&plugin["handlers"], "handled")),
            busy.map(|ms| format!("{:.0} %", ms / 10.0)).unwrap_or_default(),
            count(&plugin["lane"], "waiting").to_string(),
            dropped(&plugin["events"]).to_string(),
            size(count(&plugin["cache"], "bytes") as f64),
            size(count(&plugin["storage"], "bytes") as f64),
        ]
    }

    fn rate(&self, look: impl Fn(&Value) -> Option<u64>) -> String {
        self.per_second(look).map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"))
    }

    /// How much a count has grown in a second; None if there is nothing to compare it with.
    fn per_second(&self, look: impl Fn(&Value) -> Option<u64>) -> Option<f64> {
        let (before, now) = (look(self.before?)?, look(self.now)?);
        // One that has begun anew has grown from nothing.
        let grown = now.checked_sub(before).unwrap_or(now);
        (self.seconds > 0.0).then(|| grown as f64 / self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_rate_is_what_came_in_between_by_the_time_that_it_took() {
        let stats = |calls: u64, emitted: u64| {
            json!({
                "host": { "pid": 7, "uptime_ms": 5_000 },
                "events": { "emitted": emitted, "delivered": 2 * emitted, "dropped": { "displaced": 3 } },
                "plugins": [{
                    "id": "a", "state": "enabled", "calls": { "log": { "calls": calls }, "cache": { "calls": calls } },
                    "handlers": { "event": { "handled": calls, "busy_ms": calls * 10 } }, "lane": { "waiting": 4 },
                }],
            })
        };
        let (begin, end) = (Instant::now(), Instant::now() + Duration::from_secs(2));
        let (first, second) = ((begin, stats(10, 100)), (end, stats(50, 104)));
        let lines = Rates::between(Some(&first), &second).lines();
        let expected =
            "pintle: process 7, up 5 s, 2 published/s, 4 delivered/s, 0 waiting, 3 dropped, 0 stuck";
        assert_eq!(lines[0], expected);
        let row: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(row[..9], ["a", "enabled", "40", "0", "0", "20", "20", "%", "4"]);
        // With nothing to compare it with there are no rates.
        let lines = Rates::between(None, &second).lines();
        assert_eq!(lines[3].split_whitespace().nth(2), Some("-"));
        assert!(lines[0].contains("up 5 s, - published/s, - delivered/s, "), "{}", lines[0]);
    }
}
