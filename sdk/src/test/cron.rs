//! Whether a cron rule is one: the host's grammar, and what of the calendar makes a rule that never happens. When a rule is
//! due is not reckoned here, and whether a time zone exists is not looked up.

use super::input::wrong;
use crate::Result;

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MACROS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
/// How many days each month has at most.
const DAYS: [u16; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// What a rule asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Times of the calendar.
    Calendar,
    /// `@reboot`: when the host has started.
    Start,
    /// `@every`: so many milliseconds.
    Every(i64),
}

/// Reads a rule and the zone of its options.
pub(super) fn read(rule: &str, zone: &str) -> Result<Rule> {
    let problem = |problem: String| wrong("rule", format_args!("{rule:?}: {problem}"));
    let trimmed = rule.trim();
    let (own_zone, body) = match trimmed.strip_prefix("CRON_TZ=").or_else(|| trimmed.strip_prefix("TZ=")) {
        None => (None, trimmed),
        Some(rest) => {
            let (zone, body) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (Some(zone), body.trim_start())
        }
    };
    if body.is_empty() {
        return Err(problem("there is no rule in it".into()));
    }
    check_zones(own_zone, zone)?;
    let (word, rest) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
    if word.eq_ignore_ascii_case("@every") {
        return span(rest.trim_start()).map(Rule::Every).ok_or_else(|| problem("the span is none".into()));
    }
    if body.eq_ignore_ascii_case("@reboot") {
        return Ok(Rule::Start);
    }
    if body.starts_with('@') {
        let known = MACROS.iter().any(|known| body.eq_ignore_ascii_case(known));
        return if known { Ok(Rule::Calendar) } else { Err(problem(format!("{body} is not known"))) };
    }
    let mut fields: Vec<&str> = body.split_whitespace().collect();
    match fields.len() {
        5 => fields.insert(0, "0"),
        6 => {}
        count => return Err(problem(format!("{count} fields, 5 or 6 are taken"))),
    }
    for (field, kind) in fields.iter().zip(&KINDS) {
        kind.read(field).map_err(|reason| problem(format!("{}: {reason}", kind.name)))?;
    }
    if never_happens(fields[3], fields[4], fields[5]) {
        return Err(problem("no such day is in the calendar".into()));
    }
    Ok(Rule::Calendar)
}

/// Two zones must be the same; each must look like the name of one.
fn check_zones(in_rule: Option<&str>, option: &str) -> Result<()> {
    let option = Some(option).filter(|zone| !zone.is_empty());
    for (argument, zone) in [("rule", in_rule), ("options.zone", option)] {
        let Some(zone) = zone else { continue };
        let part = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
        };
        if !zone.starts_with(|first: char| first.is_ascii_uppercase()) || !zone.split('/').all(part) {
            return Err(wrong(argument, format_args!("{zone:?} is no time zone, such as `Europe/Vienna`")));
        }
    }
    match (in_rule, option) {
        (Some(in_rule), Some(option)) if in_rule != option => {
            let text = format_args!("{option:?} is not the {in_rule:?} that the rule begins with");
            Err(wrong("options.zone", text))
        }
        _ => Ok(()),
    }
}

struct Kind {
    name: &'static str,
    low: u16,
    high: u16,
    names: &'static [&'static str],
    first_name: u16,
}

const fn numbers(name: &'static str, high: u16) -> Kind {
    Kind { name, low: 0, high, names: &[], first_name: 0 }
}

const DAY: Kind = Kind { name: "day of month", low: 1, high: 31, names: &[], first_name: 0 };
const MONTH: Kind = Kind { name: "month", low: 1, high: 12, names: MONTHS, first_name: 1 };
const WEEKDAY: Kind = Kind { name: "day of week", low: 0, high: 7, names: WEEKDAYS, first_name: 0 };
const KINDS: [Kind; 6] =
    [numbers("second", 59), numbers("minute", 59), numbers("hour", 23), DAY, MONTH, WEEKDAY];

impl Kind {
    fn read(&self, field: &str) -> Result<(), String> {
        let (mut last, mut last_workday) = (false, false);
        for item in field.split(',') {
            self.item(item)?;
            last |= item.eq_ignore_ascii_case("L");
            last_workday |= item.eq_ignore_ascii_case("LW");
        }
        if last && last_workday { Err("`L` and `LW` in one list".into()) } else { Ok(()) }
    }

    fn item(&self, item: &str) -> Result<(), String> {
        if let Some((span, step)) = item.split_once('/') {
            if number(step).is_none_or(|step| step == 0) {
                return Err(format!("the step of `{item}`"));
            }
            return match span.split_once('-') {
                _ if span == "*" => Ok(()),
                Some((from, to)) => self.range(from, to).map(drop),
                None => Err(format!("`{item}` has no range to step through")),
            };
        }
        let upper = item.to_ascii_uppercase();
        if item == "*" || self.names.contains(&upper.as_str()) {
            return Ok(());
        }
        match (self.name, &*upper) {
            ("day of month", "L" | "LW") => return Ok(()),
            ("day of week", "L") => return Err("`L` has no weekday before it".into()),
            ("day of month", day) if day.ends_with('W') => {
                return self.value(&day[..day.len() - 1]).map(drop);
            }
            ("day of week", day) => {
                if let Some((day, nth)) = day.split_once('#') {
                    let nth = number(nth).filter(|nth| (1..=5).contains(nth));
                    nth.ok_or_else(|| format!("`{item}`: after `#` stands a number from 1 to 5"))?;
                    return self.value(day).map(drop);
                }
                if let Some(day) = day.strip_suffix('L') {
                    return self.value(day).map(drop);
                }
            }
            _ => {}
        }
        match item.split_once('-') {
            None => self.value(item).map(drop),
            Some((from, to)) => self.range(from, to).map(drop),
        }
    }

    fn range(&self, from: &str, to: &str) -> Result<(u16, u16), String> {
        let (low, mut high) = (self.value(from)?, self.value(to)?);
        // The week may end on its Sunday.
        if self.name == WEEKDAY.name && high == 0 && low > 0 {
            high = 7;
        }
        if low > high { Err(format!("the range `{from}-{to}` runs backwards")) } else { Ok((low, high)) }
    }

    fn value(&self, text: &str) -> Result<u16, String> {
        let upper = text.to_ascii_uppercase();
        if let Some(nth) = self.names.iter().position(|name| *name == upper) {
            return Ok(self.first_name + nth as u16);
        }
        let value = number(text).filter(|value| (self.low..=self.high).contains(value));
        value.ok_or_else(|| format!("`{text}` is none of {} to {}", self.low, self.high))
    }

    /// The least value that an item of the field means, and all that its items mean. Of a field that was read.
    fn values(&self, field: &str) -> Vec<u16> {
        let mut all = Vec::new();
        for item in field.split(',') {
            let (span, step) = item.split_once('/').unwrap_or((item, "1"));
            let (low, high) = match span.split_once('-') {
                _ if span == "*" => (self.low, self.high),
                Some((from, to)) => self.range(from, to).unwrap_or((self.low, self.high)),
                None => {
                    let value = self.value(span.trim_end_matches(['W', 'w'])).unwrap_or(self.low);
                    (value, value)
                }
            };
            all.extend((low..=high).step_by(number(step).unwrap_or(1).max(1).into()));
        }
        all
    }
}

/// 30 February, say: no month of the rule has a day of it, and a day of the week cannot stand in for it.
fn never_happens(day: &str, month: &str, weekday: &str) -> bool {
    let both = day.starts_with('*') || weekday.starts_with('*');
    if !both || day.split(',').any(|item| item.to_ascii_uppercase().starts_with('L')) {
        return false;
    }
    let days = DAY.values(day);
    let months = MONTH.values(month);
    !months.iter().any(|month| days.iter().any(|day| *day <= DAYS[usize::from(*month) - 1]))
}

/// A number of at most four digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A span such as `1h30m` or `1.5s`, if it is whole milliseconds.
fn span(mut text: &str) -> Option<i64> {
    let mut micros: u64 = 0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let (amount, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let unit: u64 = match unit {
            "h" => 3_600_000_000,
            "m" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1_000,
            _ => return None,
        };
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
            return None;
        }
        let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
        let (part, scale) = (parse(fraction)?.checked_mul(unit)?, 10_u64.pow(fraction.len() as u32));
        if part % scale != 0 {
            return None;
        }
        micros = micros.checked_add(parse(whole)?.checked_mul(unit)?)?.checked_add(part / scale)?;
        text = rest;
    }
    if micros.is_multiple_of(1_000) { i64::try_from(micros / 1_000).ok() } else { None }
}
