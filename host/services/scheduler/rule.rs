//! When a cron rule is due: one parsed rule in one time zone, and the store that shares rules between jobs.
//!
//! croner parses and searches, but only on a calendar without time zones; what daylight saving does to a rule
//! is decided here. croner alone takes every rule with a list, a range or a step for one that follows real
//! time, so that `0,30 2 * * *` would be skipped in spring and run twice in autumn; the promise is Debian
//! cron's: only a minute or an hour that begins with `*` follows real time. For the same reason it is told
//! here, not left to croner, whether both day fields must match. [`super::grammar`] reads what was written; `memo`
//! keeps the last answer of a rule, and `cron` shows rules to applications.

mod cron;
mod memo;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
};

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use parking_lot::Mutex;

pub use self::cron::{Rule as CronRule, parse_rfc3339};
use self::memo::Memo;
use super::grammar;
use crate::error::{Error, Result};

/// What a rule's text asks for.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// Times of the calendar.
    Calendar(Arc<CalendarRule>),
    /// `@every`: a beat of so many milliseconds, kept by the monotonic clock.
    Every(i64),
    /// `@reboot`: once, when the host has started and the job is live.
    Reboot,
}

impl Rule {
    /// Parses `text` in the time zone `zone` (an IANA name; none or empty: UTC). A `TZ=` or `CRON_TZ=` in front of the
    /// rule names a zone too; two that differ are refused.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, with field, position and reason; also for a rule that never happens (30 February).
    #[cfg(test)]
    pub(crate) fn parse(text: &str, zone: Option<&str>) -> Result<Self> {
        Rules::default().rule(text, zone)
    }
}

/// A cron rule in its time zone. Costs about 6 KiB, so it is shared: see [`Rules`].
pub(crate) struct CalendarRule {
    text: Box<str>,
    zone: Tz,
    cron: Cron,
    follows_real_time: bool,
    memo: Memo,
}

impl CalendarRule {
    /// The first time strictly after `after_ms` at which the rule is due, both in milliseconds since 1970-01-01
    /// UTC. None only beyond the year 4999. Asked again for a moment before that time, and by any thread, it answers
    /// from memory.
    #[must_use]
    pub(crate) fn next(&self, after_ms: i64) -> Option<i64> {
        // Rules are whole seconds; nobody schedules before 1970.
        let after = after_ms.div_euclid(1000).max(-1);
        if let Some(next) = self.memo.next(after) {
            return Some(next * 1000);
        }
        let next = self.search(after)?;
        self.memo.keep(after, next);
        Some(next * 1000)
    }

    /// The first second after the second `after`.
    fn search(&self, after: i64) -> Option<i64> {
        if self.zone == Tz::UTC {
            self.next_on_calendar(after + 1)
        } else if self.follows_real_time {
            self.next_in_real_time(after)
        } else {
            self.next_time_of_day(after)
        }
    }

    /// The rule as its author wrote it, without the time zone.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The time zone's IANA name.
    #[must_use]
    pub(crate) fn zone(&self) -> &'static str {
        self.zone.name()
    }

    fn parse(text: &str, written: grammar::Written<'_>, zone: Tz) -> Result<Self> {
        let fields = grammar::fields(written)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .dom_and_dow(fields.both_days)
            .build();
        let cron = parser.parse(&fields.plain).map_err(|error| {
            // The grammar let it through, so this is ours to mend, but a refusal is all that the caller needs.
            Error::argument("rule", format!("`{text}` cannot be read: {error}"))
        })?;
        let follows_real_time = fields.follows_real_time;
        let rule = Self { text: text.into(), zone, cron, follows_real_time, memo: Memo::default() };
        if rule.next_on_calendar(0).is_none() {
            let problem = format!("`{text}` never happens: no such day is in the calendar");
            return Err(
                Error::argument("rule", problem).mend("look at day of month, month and day of week together")
            );
        }
        Ok(rule)
    }

    /// A rule that follows real time is due at every instant at which the clock on the wall matches: at none in a
    /// gap, at both of two that show the same time.
    fn next_in_real_time(&self, after: i64) -> Option<i64> {
        let ahead = self.next_by_wall(after, after + self.offset(after) + 1)?;
        // The wall's calendar passes a repeated hour once. From within its first pass, the search above
        // therefore runs past the second one.
        match self.on_wall(after + self.offset(after))? {
            OnWall::Twice { first, change, .. } if first == after && change <= ahead => {
                let again = self.next_by_wall(change - 1, change + self.offset(change))?;
                Some(ahead.min(again))
            }
            _ => Some(ahead),
        }
    }

    /// The first match after `after` that the wall's calendar shows from `wall` on.
    fn next_by_wall(&self, after: i64, mut wall: i64) -> Option<i64> {
        loop {
            wall = self.next_on_calendar(wall)?;
            match self.on_wall(wall)? {
                OnWall::Once(at) if at > after => return Some(at),
                OnWall::Twice { first, .. } if first > after => return Some(first),
                OnWall::Twice { second, .. } if second > after => return Some(second),
                OnWall::Never { resumes, .. } => wall = resumes,
                OnWall::Once(_) | OnWall::Twice { .. } => wall += 1,
            }
        }
    }

    /// A time of day is due once on each of its days: right after a gap that swallowed it, and at the first of
    /// two instants that show it.
    fn next_time_of_day(&self, after: i64) -> Option<i64> {
        // What the wall showed before is due by now: also what a gap swallowed, for it was due at the gap's end.
        let mut wall = after + self.offset(after) + 1;
        loop {
            wall = self.next_on_calendar(wall)?;
            match self.on_wall(wall)? {
                OnWall::Once(at) if at > after => return Some(at),
                OnWall::Once(_) => wall += 1,
                OnWall::Twice { first, .. } if first > after => return Some(first),
                // All that is left of the repeated hour was due in its first pass.
                OnWall::Twice { ends, .. } => wall = ends,
                OnWall::Never { change, .. } if change > after => return Some(change),
                OnWall::Never { resumes, .. } => wall = resumes,
            }
        }
    }

    /// The first match at or after a moment of a calendar without zones, both as seconds since its 1970-01-01.
    fn next_on_calendar(&self, from: i64) -> Option<i64> {
        let next = self.cron.find_next_occurrence(&naive(from)?, true).ok()?;
        Some(next.and_utc().timestamp())
    }

    /// What the zone's clock on the wall is ahead of UTC at an instant.
    fn offset(&self, at: i64) -> i64 {
        let Some(naive) = naive(at) else { return 0 };
        i64::from(self.zone.offset_from_utc_datetime(&naive).fix().local_minus_utc())
    }

    /// At which instants the zone's wall clock shows `wall`.
    fn on_wall(&self, wall: i64) -> Option<OnWall> {
        Some(match self.zone.from_local_datetime(&naive(wall)?) {
            LocalResult::Single(at) => OnWall::Once(at.timestamp()),
            LocalResult::Ambiguous(a, b) => {
                let (first, second) = (a.timestamp().min(b.timestamp()), a.timestamp().max(b.timestamp()));
                let before = self.offset(first);
                let change = earliest(first, second, |at| self.offset(at) != before);
                OnWall::Twice { first, second, change, ends: change + before }
            }
            LocalResult::None => {
                // No zone is further from UTC than this, and the longest gap on record is a day.
                const REACH: i64 = 50 * 3600;
                let change = earliest(wall - REACH, wall + REACH, |at| at + self.offset(at) > wall);
                OnWall::Never { change, resumes: change + self.offset(change) }
            }
        })
    }
}

impl fmt::Debug for CalendarRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CalendarRule(`{}` in {})", self.text, self.zone)
    }
}

/// At which instants a wall clock shows one time. All in seconds; `change` is the first instant after the
/// clock was set.
enum OnWall {
    Once(i64),
    /// The clock was set back; on the wall, the repeated span ends at `ends`.
    Twice {
        first: i64,
        second: i64,
        change: i64,
        ends: i64,
    },
    /// The clock was set forward; the wall goes on at `resumes`.
    Never {
        change: i64,
        resumes: i64,
    },
}

/// The first `at` in `(low, high]` for which `changed` holds; it must hold at `high`, and stay once it holds.
fn earliest(mut low: i64, mut high: i64, changed: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if changed(middle) { high = middle } else { low = middle }
    }
    high
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|at| at.naive_utc())
}

/// The parsed rules that are in use: the same text in the same zone is parsed and kept once.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    rules: HashMap<(Box<str>, Tz), Weak<CalendarRule>>,
    /// At how many rules those that nobody uses any more are thrown out.
    sweep_at: usize,
}

impl Rules {
    /// The rule for `text`; otherwise as [`Rule::parse`].
    ///
    /// # Errors
    ///
    /// As [`Rule::parse`].
    pub(crate) fn rule(&self, text: &str, zone: Option<&str>) -> Result<Rule> {
        let written = grammar::split(text)?;
        let zone = zone_of(written.zone, zone.filter(|zone| !zone.is_empty()))?;
        if let Some(every) = grammar::every(written) {
            return every.map(Rule::Every);
        }
        if grammar::is_reboot(written) {
            return Ok(Rule::Reboot);
        }
        let key = (Box::from(written.body), zone);
        if let Some(known) = self.shelf.lock().rules.get(&key).and_then(Weak::upgrade) {
            return Ok(Rule::Calendar(known));
        }
        // Parsed without the lock: it takes a while, and a rule that is parsed twice does no harm.
        let rule = Arc::new(CalendarRule::parse(written.body, written, zone)?);
        let mut shelf = self.shelf.lock();
        if let Some(known) = shelf.rules.get(&key).and_then(Weak::upgrade) {
            return Ok(Rule::Calendar(known));
        }
        shelf.rules.insert(key, Arc::downgrade(&rule));
        if shelf.rules.len() > shelf.sweep_at {
            shelf.rules.retain(|_, rule| rule.strong_count() > 0);
            shelf.sweep_at = (shelf.rules.len() * 2).max(64);
        }
        Ok(Rule::Calendar(rule))
    }
}

/// The zone that a rule runs in, from the two places where one may be named.
fn zone_of(in_rule: Option<&str>, option: Option<&str>) -> Result<Tz> {
    let known = |argument, name: &str| {
        name.parse::<Tz>().map_err(|_| {
            let name: String = name.chars().take(64).collect();
            Error::argument(argument, format!("time zone `{name}` is not known"))
                .mend("use an IANA name such as `Europe/Vienna`, letter for letter")
        })
    };
    match (in_rule, option) {
        (None, None) => Ok(Tz::UTC),
        (Some(zone), None) => known("rule", zone),
        (None, Some(zone)) => known("zone", zone),
        (Some(in_rule), Some(option)) => {
            let zone = known("rule", in_rule)?;
            if zone == known("zone", option)? {
                return Ok(zone);
            }
            let problem = format!("time zone `{option}` is not the `{in_rule}` that the rule begins with");
            Err(Error::argument("zone", problem).mend("name it in one place"))
        }
    }
}

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod day_tests;
#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
