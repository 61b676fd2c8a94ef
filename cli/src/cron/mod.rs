//! `pintle cron`: when a rule is due, without any host. `batch` answers many questions from stdin.

mod batch;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use pintle::cron::{Rule, parse_rfc3339};

use crate::{
    exit::{Exit, Failure},
    print,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows when a cron rule is due

Writes its next times, one on a line, with the offset of the time zone at that time. A rule has 5 fields (minute, hour, day of \
month, month, day of week) or 6 (second first), or is a word such as @daily, or `@every` and a span. `@reboot` has no times.

Examples:
  pintle cron '30 9 * * MON-FRI' --zone Europe/Berlin
  pintle cron '0 0 L * *' --from 2026-01-01T00:00:00Z --count 12 --json
  echo '{\"rule\":\"@daily\",\"zone\":\"Asia/Tokyo\",\"count\":2}' | pintle cron --batch";

/// How many times are shown where nothing is said.
const USUAL_COUNT: u64 = 5;
/// How many can be asked for at once.
const MOST: u64 = 10_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The rule, in quotes, for the shell has stars of its own
    #[arg(value_name = "RULE", required_unless_present = "batch", conflicts_with = "batch")]
    rule: Option<String>,
    /// The time zone, by its IANA name; by default UTC, or what the rule begins with (`TZ=Europe/Berlin …`)
    #[arg(long, value_name = "ZONE", conflicts_with = "batch")]
    zone: Option<String>,
    /// Shows times after this one, which is of RFC 3339; by default after now
    #[arg(long, value_name = "TIME", conflicts_with = "batch")]
    from: Option<String>,
    /// How many times, 1 to 10000; by default 5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST), conflicts_with = "batch")]
    count: Option<u64>,
    /// Writes one array of JSON
    #[arg(long)]
    json: bool,
    /// Answers questions from stdin: on each line an object with `rule`, `zone`, `from` and `count`, of which only the rule
    /// must be there; each is answered by a line with `next`, an array of times, or with `error`
    #[arg(long)]
    batch: bool,
}

/// Shows the times.
pub(crate) fn cron(options: &Options) -> Result<Exit, Failure> {
    let Some(text) = &options.rule else { return batch::answer() };
    let question = Question {
        rule: text,
        zone: options.zone.as_deref(),
        from: options.from.as_deref(),
        count: options.count,
    };
    let (rule, times) = question.answer().map_err(Failure::misused)?;
    if rule.is_reboot() {
        Voice::plain().say("@reboot has no times: it is due once, when the host has started");
    }
    print::answer(|out| {
        if options.json {
            out.write_all(print::json_line(&times)?.as_bytes())?;
        } else {
            for time in &times {
                writeln!(out, "{time}")?;
            }
        }
        Ok(Exit::Fine)
    })
}

/// What is asked for.
struct Question<'a> {
    rule: &'a str,
    zone: Option<&'a str>,
    from: Option<&'a str>,
    count: Option<u64>,
}

impl Question<'_> {
    /// The rule, and its times in the form of RFC 3339; fewer than asked for where there are no more.
    fn answer(&self) -> Result<(Rule, Vec<String>), String> {
        let rule = Rule::parse(self.rule, self.zone).map_err(|error| error.to_string())?;
        let count = self.count.unwrap_or(USUAL_COUNT);
        if !(1..=MOST).contains(&count) {
            return Err(format!("argument `count`: {count} is outside of 1 to {MOST}"));
        }
        let mut at = match self.from {
            Some(from) => parse_rfc3339(from).map_err(|error| error.to_string())?,
            None => now_ms(),
        };
        let mut times = Vec::new();
        for _ in 0..count {
            let Some(next) = rule.next_after(at) else { break };
            times.extend(rule.rfc3339(next));
            at = next;
        }
        Ok((rule, times))
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
