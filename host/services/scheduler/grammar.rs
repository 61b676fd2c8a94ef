//! How a cron rule is written: reads its fields strictly, and says where and why one cannot be read.
//!
//! croner would take more than is meant (`MON` as a minute, empty list items, a seventh field) and names no
//! position, so a rule is read here first and handed on in plain numbers. Talks to [`super::rule`] only.

use crate::error::{Error, Result};

/// Longer than the longest rule that makes sense: every value of every field written out.
const MAX_BYTES: usize = 1024;

/// A rule in plain numbers, and what its stars mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// Six fields, seconds first, without names.
    pub(super) plain: String,
    /// A day field begins with `*`: both must match; else either.
    pub(super) both_days: bool,
    /// The minute or the hour begins with `*`: the rule follows real time; else it is a time of day.
    pub(super) follows_real_time: bool,
}

/// A rule as its author wrote it, taken apart at the first level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// The zone of a `TZ=` or `CRON_TZ=` prefix.
    pub(super) zone: Option<&'a str>,
    /// The fields, or a word that begins with `@`.
    pub(super) body: &'a str,
    /// The characters of the rule that stand before `body`.
    skipped: usize,
}

/// Takes the time zone off the front.
pub(super) fn split(rule: &str) -> Result<Written<'_>> {
    if rule.len() > MAX_BYTES {
        let len = rule.len();
        return Err(Error::argument("rule", format!("has {len} bytes, the limit is {MAX_BYTES}")));
    }
    let trimmed = rule.trim();
    let zone_and_rest = trimmed.strip_prefix("CRON_TZ=").or_else(|| trimmed.strip_prefix("TZ="));
    let (zone, body) = match zone_and_rest {
        None => (None, trimmed),
        Some(rest) => {
            let (zone, body) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (Some(zone), body.trim_start())
        }
    };
    if body.is_empty() {
        return Err(Error::argument("rule", "is empty: write 5 or 6 fields or a word such as `@daily`"));
    }
    // `body` ends where `trimmed` ends, so what stands before it is what is left over.
    let end = rule.trim_end().len();
    Ok(Written { zone, body, skipped: rule[..end - body.len()].chars().count() })
}

/// Reads the span of an `@every` rule in milliseconds; nothing if it is another kind of rule.
pub(super) fn every(written: Written<'_>) -> Option<Result<i64>> {
    let (word, span) = written.body.split_once(char::is_whitespace).unwrap_or((written.body, ""));
    if !word.eq_ignore_ascii_case("@every") {
        return None;
    }
    let span = span.trim_start();
    let at = written.skipped + written.body[..written.body.len() - span.len()].chars().count();
    Some(read_span(span).map_err(|reason| {
        Error::argument("rule", format!("`@every`, character {}: {reason}", at + 1)).mend(
            "write a span of hours, minutes, seconds and milliseconds such as `90s`, `1h30m` or `500ms`",
        )
    }))
}

/// Whether the rule is `@reboot`.
pub(super) fn is_reboot(written: Written<'_>) -> bool {
    written.body.eq_ignore_ascii_case("@reboot")
}

/// Reads the fields of any other rule.
pub(super) fn fields(written: Written<'_>) -> Result<Fields> {
    if written.body.starts_with('@') {
        let plain = macro_fields(written.body)?;
        return fields(Written { zone: None, body: plain, skipped: 0 });
    }
    let parts = words(written.body);
    let kinds = match parts.len() {
        5 => &KINDS[1..],
        6 => &KINDS[..],
        n => {
            let problem = format!("has {n} field{}", if n == 1 { "" } else { "s" });
            let mend = "a rule has 5 (minute, hour, day of month, month, day of week) or 6 (second first)";
            return Err(Error::argument("rule", problem).mend(mend));
        }
    };
    let mut plain = String::with_capacity(written.body.len() + 2);
    if parts.len() == 5 {
        plain.push_str("0 ");
    }
    for (index, (kind, &(offset, text))) in kinds.iter().zip(&parts).enumerate() {
        let field = kind.read(text).map_err(|refusal| {
            let at = written.skipped + offset + refusal.at + 1;
            let reason = refusal.reason;
            Error::argument("rule", format!("field {} ({}), character {at}: {reason}", index + 1, kind.name))
        })?;
        plain.push_str(&field);
        plain.push(' ');
    }
    plain.pop();
    let begins_with_star = |from_end: usize| parts[parts.len() - from_end].1.starts_with('*');
    Ok(Fields {
        plain,
        both_days: begins_with_star(3) || begins_with_star(1),
        follows_real_time: begins_with_star(5) || begins_with_star(4),
    })
}

/// The words of a text, each with the number of characters before it.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (nth, (byte, c)) in text.char_indices().enumerate() {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some((nth, byte)),
            (true, Some((nth, from))) => {
                words.push((nth, &text[from..byte]));
                start = None;
            }
            _ => {}
        }
    }
    if let Some((nth, from)) = start {
        words.push((nth, &text[from..]));
    }
    words
}

fn macro_fields(word: &str) -> Result<&'static str> {
    Ok(match word.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let problem = format!("`{word}` is not known");
            return Err(Error::argument("rule", problem).mend(
                "use one of @hourly @daily @midnight @weekly @monthly @yearly @annually @reboot, or @every and a span",
            ));
        }
    })
}

/// Why an item cannot be read, and how many characters into its field.
struct Refusal {
    at: usize,
    reason: String,
}

/// A kind of field.
struct Kind {
    name: &'static str,
    low: u16,
    high: u16,
    names: &'static [&'static str],
    /// The value of the first name.
    first_name: u16,
    day: Day,
}

#[derive(PartialEq)]
enum Day {
    No,
    OfMonth,
    OfWeek,
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const KINDS: [Kind; 6] = [
    Kind { name: "second", low: 0, high: 59, names: &[], first_name: 0, day: Day::No },
    Kind { name: "minute", low: 0, high: 59, names: &[], first_name: 0, day: Day::No },
    Kind { name: "hour", low: 0, high: 23, names: &[], first_name: 0, day: Day::No },
    Kind { name: "day of month", low: 1, high: 31, names: &[], first_name: 0, day: Day::OfMonth },
    Kind { name: "month", low: 1, high: 12, names: MONTHS, first_name: 1, day: Day::No },
    Kind { name: "day of week", low: 0, high: 7, names: WEEKDAYS, first_name: 0, day: Day::OfWeek },
];

impl Kind {
    /// The field in plain numbers.
    fn read(&self, text: &str) -> Result<String, Refusal> {
        if text == "*" {
            return Ok("*".into());
        }
        let (mut plain, mut at) = (Vec::new(), 0);
        let (mut last, mut last_workday) = (false, false);
        for item in text.split(',') {
            let item_plain = self.item(item).map_err(|reason| Refusal { at, reason })?;
            last |= item_plain == "L";
            last_workday |= item_plain == "LW";
            if last && last_workday {
                // croner keeps the two as one mark on the whole field and would drop the `L`.
                let reason = "`L` and `LW` cannot stand in one list: make two jobs of it".into();
                return Err(Refusal { at, reason });
            }
            plain.push(item_plain);
            at += item.chars().count() + 1;
        }
        Ok(plain.join(","))
    }

    fn item(&self, item: &str) -> Result<String, String> {
        if item.is_empty() {
            return Err("a list item is empty".into());
        }
        if item.contains('?') {
            return Err("`?` is not known: write `*`".into());
        }
        if let Some((span, step)) = item.split_once('/') {
            let step = match number(step) {
                Some(0) => return Err(format!("the step of `{item}` is 0")),
                Some(step) => step,
                None => return Err(format!("`{step}` is not a step: write a number from 1 to 9999")),
            };
            return match (span, span.split_once('-')) {
                ("*", _) => Ok(format!("*/{step}")),
                (_, Some((from, to))) => Ok(format!("{}/{step}", self.range(from, to)?)),
                _ => Err(format!("`{item}` has no range to step through: write `*/{step}` or `a-b/{step}`")),
            };
        }
        if let Some(special) = self.special(item) {
            return special;
        }
        match item.split_once('-') {
            // A star in a list with others; croner knows it only alone.
            None if item == "*" => Ok(format!("{}-{}", self.low, self.high)),
            None => self.value(item).map(|value| value.to_string()),
            Some((from, to)) => self.range(from, to),
        }
    }

    fn range(&self, from: &str, to: &str) -> Result<String, String> {
        let (low, mut high) = (self.value(from)?, self.value(to)?);
        // The week may end on its Sunday.
        if self.day == Day::OfWeek && high == 0 && low > 0 {
            high = 7;
        }
        if low > high {
            return Err(format!("the range `{from}-{to}` runs backwards: write it as two ranges"));
        }
        Ok(format!("{low}-{high}"))
    }

    /// `L`, `W` and `#`, where they mean something.
    fn special(&self, item: &str) -> Option<Result<String, String>> {
        let upper = item.to_ascii_uppercase();
        // A name may hold one of the letters (`WED`, `JUL`).
        if self.named(&upper).is_some() {
            return None;
        }
        match self.day {
            Day::OfMonth if upper == "L" || upper == "LW" => Some(Ok(upper)),
            Day::OfMonth => {
                let day = upper.strip_suffix('W')?;
                Some(match number(day) {
                    Some(_) => self.value(day).map(|day| format!("{day}W")),
                    None => {
                        Err(format!("`{item}` has no day before its `W`: write one such as `15W`, or `LW`"))
                    }
                })
            }
            Day::OfWeek if upper == "L" => {
                Some(Err("`L` has no weekday before it: write one such as `5L`".into()))
            }
            Day::OfWeek => {
                if let Some((day, nth)) = upper.split_once('#') {
                    return Some(match number(nth) {
                        Some(nth @ 1..=5) => self.value(day).map(|day| format!("{day}#{nth}")),
                        _ => Err(format!("`{item}`: after `#` stands a number from 1 to 5")),
                    });
                }
                let day = upper.strip_suffix('L')?;
                Some(self.value(day).map(|day| format!("{day}#L")))
            }
            Day::No => None,
        }
    }

    fn value(&self, text: &str) -> Result<u16, String> {
        if let Some(value) = self.named(&text.to_ascii_uppercase()) {
            return Ok(value);
        }
        let (low, high) = (self.low, self.high);
        match number(text) {
            Some(value) if (low..=high).contains(&value) => Ok(value),
            Some(_) => Err(format!("`{text}` is outside of {low} to {high}")),
            None if text.is_empty() => Err("a number is missing".into()),
            None if self.names.is_empty() => Err(format!("`{text}` is not a number from {low} to {high}")),
            None => {
                let (first, last) = (self.names[0], self.names[self.names.len() - 1]);
                Err(format!("`{text}` is not a number from {low} to {high} or a name from {first} to {last}"))
            }
        }
    }

    fn named(&self, upper: &str) -> Option<u16> {
        let nth = self.names.iter().position(|name| *name == upper)?;
        Some(self.first_name + u16::try_from(nth).expect("there are at most twelve names"))
    }
}

/// A number of at most four digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A span such as `1h30m` or `1.5s`, in whole milliseconds.
fn read_span(mut text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Err("the span is missing".into());
    }
    // Micro-units keep three decimals of a millisecond exact; what is left over there is refused.
    let mut micros: u64 = 0;
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (amount, rest) = text.split_at(end);
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let unit_micros: u64 = match unit {
            "h" => 3_600_000_000,
            "m" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1_000,
            "" => return Err(format!("`{amount}` has no unit")),
            _ => return Err(format!("`{unit}` is not a unit: use h, m, s or ms")),
        };
        let part =
            amount_of(amount, unit_micros).ok_or_else(|| format!("`{amount}{unit}` cannot be read"))?;
        micros = micros.checked_add(part).ok_or("the span is too long")?;
        text = rest;
    }
    if !micros.is_multiple_of(1000) {
        return Err("the span is not a whole number of milliseconds".into());
    }
    i64::try_from(micros / 1000).map_err(|_| "the span is too long".into())
}

/// `amount` (digits with at most one point) times `unit`, if that is a whole number.
fn amount_of(amount: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = parse(fraction)?.checked_mul(unit)?;
    let whole = parse(whole)?.checked_mul(unit)?;
    if part % scale == 0 { whole.checked_add(part / scale) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rule: &str) -> Result<Fields> {
        fields(split(rule)?)
    }

    #[test]
    fn names_and_specials_become_plain_numbers() {
        let cases = [
            ("* * * * *", "0 * * * * *"),
            ("5 0 * aug *", "0 5 0 * 8 *"),
            ("0 22 * * Mon-Fri", "0 0 22 * * 1-5"),
            ("0 0 * * sat-sun", "0 0 0 * * 6-7"),
            ("0 0 * * 5-0", "0 0 0 * * 5-7"),
            ("0 0 * * sun-sun", "0 0 0 * * 0-0"),
            ("0 0 * JUL WED", "0 0 0 * 7 3"),
            ("0 0 L * *", "0 0 0 L * *"),
            ("0 0 lw * *", "0 0 0 LW * *"),
            ("0 0 1W,15w * *", "0 0 0 1W,15W * *"),
            ("0 0 * * friL", "0 0 0 * * 5#L"),
            ("0 0 * * 7L", "0 0 0 * * 7#L"),
            ("0 0 * * Tue#2,THU#4", "0 0 0 * * 2#2,4#4"),
            ("*/15,7 * * * *", "0 */15,7 * * * *"),
            ("*,7 * * * *", "0 0-59,7 * * * *"),
            ("  01-09/3\t*  * * * ", "0 1-9/3 * * * *"),
            ("30 1 2 3 4 5", "30 1 2 3 4 5"),
            ("TZ=Europe/Vienna 0 0 * * *", "0 0 0 * * *"),
            ("@midnight", "0 0 0 * * *"),
            ("@Annually", "0 0 0 1 1 *"),
        ];
        for (rule, plain) in cases {
            assert_eq!(read(rule).map(|f| f.plain).unwrap_or_else(|e| e.to_string()), plain, "{rule}");
        }
    }

    #[test]
    fn a_star_at_the_beginning_is_what_counts() {
        // rule, both days, follows real time
        let cases = [
            ("0 0 1 * 1", false, false),
            ("0 0 */2 * 1", true, false),
            ("0 0 1 * */2", true, false),
            ("0 0 1,*/2 * 1", false, false),
            ("* 0 1 * 1", false, true),
            ("0 */6 1 * 1", false, true),
            ("0-59 0-23 1 * 1", false, false),
            ("* 0 0 1 * 1", false, false),
            ("0 * 0 1 * 1", false, true),
            ("@hourly", true, true),
            ("@daily", true, false),
        ];
        for (rule, both, real) in cases {
            let fields = read(rule).expect(rule);
            assert_eq!((fields.both_days, fields.follows_real_time), (both, real), "{rule}");
        }
    }

    #[test]
    fn scheduler_1_a_bad_rule_is_refused_with_position_and_reason() {
        let cases = [
            ("", "is empty: write 5 or 6 fields or a word such as `@daily`"),
            ("  \t ", "is empty: write 5 or 6 fields or a word such as `@daily`"),
            ("TZ=UTC", "is empty: write 5 or 6 fields or a word such as `@daily`"),
            (
                "* * * *",
                "has 4 fields: a rule has 5 (minute, hour, day of month, month, day of week) or 6 (second first)",
            ),
            (
                "0 0 0 1 1 * 2030",
                "has 7 fields: a rule has 5 (minute, hour, day of month, month, day of week) or 6 (second first)",
            ),
            ("60 * * * *", "field 1 (minute), character 1: `60` is outside of 0 to 59"),
            ("0 60 * * * *", "field 2 (minute), character 3: `60` is outside of 0 to 59"),
            ("0 24 * * *", "field 2 (hour), character 3: `24` is outside of 0 to 23"),
            ("0 0 0 * *", "field 3 (day of month), character 5: `0` is outside of 1 to 31"),
            ("0 0 1,2,32 * *", "field 3 (day of month), character 9: `32` is outside of 1 to 31"),
            ("0  0  *  13 *", "field 4 (month), character 10: `13` is outside of 1 to 12"),
            ("0 0 * * 8", "field 5 (day of week), character 9: `8` is outside of 0 to 7"),
            ("TZ=Europe/Vienna 0 24 * * *", "field 2 (hour), character 20: `24` is outside of 0 to 23"),
            ("MON * * * *", "field 1 (minute), character 1: `MON` is not a number from 0 to 59"),
            (
                "0 0 * JANUARY *",
                "field 4 (month), character 7: `JANUARY` is not a number from 1 to 12 or a name from JAN to DEC",
            ),
            (
                "0 0 * * MO",
                "field 5 (day of week), character 9: `MO` is not a number from 0 to 7 or a name from SUN to SAT",
            ),
            ("1,,2 * * * *", "field 1 (minute), character 3: a list item is empty"),
            (", * * * *", "field 1 (minute), character 1: a list item is empty"),
            ("5- * * * *", "field 1 (minute), character 1: a number is missing"),
            ("-5 * * * *", "field 1 (minute), character 1: a number is missing"),
            (
                "0 22-2 * * *",
                "field 2 (hour), character 3: the range `22-2` runs backwards: write it as two ranges",
            ),
            (
                "0 0 * * fri-mon",
                "field 5 (day of week), character 9: the range `fri-mon` runs backwards: write it as two ranges",
            ),
            ("*/0 * * * *", "field 1 (minute), character 1: the step of `*/0` is 0"),
            ("*/ * * * *", "field 1 (minute), character 1: `` is not a step: write a number from 1 to 9999"),
            (
                "5/10 * * * *",
                "field 1 (minute), character 1: `5/10` has no range to step through: write `*/10` or `a-b/10`",
            ),
            (
                "/10 * * * *",
                "field 1 (minute), character 1: `/10` has no range to step through: write `*/10` or `a-b/10`",
            ),
            (
                "*/1/2 * * * *",
                "field 1 (minute), character 1: `1/2` is not a step: write a number from 1 to 9999",
            ),
            ("** * * * *", "field 1 (minute), character 1: `**` is not a number from 0 to 59"),
            ("+5 * * * *", "field 1 (minute), character 1: `+5` is not a number from 0 to 59"),
            ("L * * * *", "field 1 (minute), character 1: `L` is not a number from 0 to 59"),
            ("0 0 ? * *", "field 3 (day of month), character 5: `?` is not known: write `*`"),
            (
                "0 0 W * *",
                "field 3 (day of month), character 5: `W` has no day before its `W`: write one such as `15W`, or `LW`",
            ),
            ("0 0 32W * *", "field 3 (day of month), character 5: `32` is outside of 1 to 31"),
            ("0 0 L-3 * *", "field 3 (day of month), character 5: `L` is not a number from 1 to 31"),
            (
                "0 0 L,LW * *",
                "field 3 (day of month), character 7: `L` and `LW` cannot stand in one list: make two jobs of it",
            ),
            (
                "0 0 * * L",
                "field 5 (day of week), character 9: `L` has no weekday before it: write one such as `5L`",
            ),
            (
                "0 0 * * 1#6",
                "field 5 (day of week), character 9: `1#6`: after `#` stands a number from 1 to 5",
            ),
            (
                "0 0 * * 1#0",
                "field 5 (day of week), character 9: `1#0`: after `#` stands a number from 1 to 5",
            ),
            (
                "0 0 * * 1-3#2",
                "field 5 (day of week), character 9: `1-3` is not a number from 0 to 7 or a name from SUN to SAT",
            ),
            ("0 0 * * #2", "field 5 (day of week), character 9: a number is missing"),
            ("0 0 1#2 * *", "field 3 (day of month), character 5: `1#2` is not a number from 1 to 31"),
            ("ö 0 x * *", "field 1 (minute), character 1: `ö` is not a number from 0 to 59"),
            ("*,ö,61 0 * * *", "field 1 (minute), character 3: `ö` is not a number from 0 to 59"),
            ("0\0 0 * * *", "field 1 (minute), character 1: `0\0` is not a number from 0 to 59"),
            (
                "@fortnightly",
                "`@fortnightly` is not known: use one of @hourly @daily @midnight @weekly @monthly @yearly @annually @reboot, or @every and a span",
            ),
            (
                "@reboot 5",
                "`@reboot 5` is not known: use one of @hourly @daily @midnight @weekly @monthly @yearly @annually @reboot, or @every and a span",
            ),
        ];
        for (rule, reason) in cases {
            let error = read(rule).expect_err(rule);
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{rule}");
            assert_eq!(error.to_string(), format!("argument `rule`: {reason}"), "{rule}");
        }
        let long = "1,".repeat(600);
        let error = read(&long).expect_err("too long");
        assert_eq!(error.to_string(), "argument `rule`: has 1200 bytes, the limit is 1024");
    }

    #[test]
    fn a_span_is_read_to_the_millisecond() {
        let cases = [
            ("@every 90s", Ok(90_000)),
            ("@every 1h30m", Ok(5_400_000)),
            ("@EVERY  1h2m3s4ms", Ok(3_723_004)),
            ("@every 1.5h", Ok(5_400_000)),
            ("@every .5s", Ok(500)),
            ("@every 0s", Ok(0)),
            ("TZ=UTC @every 1s", Ok(1000)),
            ("@every", Err("character 7: the span is missing")),
            ("@every 90", Err("character 8: `90` has no unit")),
            ("@every 1d", Err("character 8: `d` is not a unit: use h, m, s or ms")),
            ("@every -1s", Err("character 8: `-` is not a unit: use h, m, s or ms")),
            ("@every 1s 2s", Err("character 8: `s ` is not a unit: use h, m, s or ms")),
            ("@every 1.2.3s", Err("character 8: `1.2.3s` cannot be read")),
            ("@every .s", Err("character 8: `.s` cannot be read")),
            ("@every 0.5ms", Err("character 8: the span is not a whole number of milliseconds")),
            (
                "TZ=UTC @every 99999999999999999999h",
                Err("character 15: `99999999999999999999h` cannot be read"),
            ),
        ];
        for (rule, expected) in cases {
            let got = every(split(rule).expect(rule)).expect(rule);
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{rule}"),
                (Err(error), Err(reason)) => {
                    let text = error.to_string();
                    let start = format!("argument `rule`: `@every`, {reason}");
                    assert!(text.starts_with(&start), "{rule}: {text}");
                }
                (got, expected) => panic!("{rule}: {got:?} instead of {expected:?}"),
            }
        }
        assert!(every(split("@everyone").expect("not empty")).is_none());
        assert!(every(split("* * * * *").expect("not empty")).is_none());
    }
}
