//! `pintle::cron`: a rule by itself, for tools that want to know when it is due. Jobs have theirs from [`super::Rules`].

use chrono::{DateTime, FixedOffset, Offset, SecondsFormat, TimeZone};
use chrono_tz::Tz;

use super::{Rules, grammar, zone_of};
use crate::{
    error::{Error, ErrorKind, Result},
    services::scheduler::LONGEST_MS,
};

/// A cron rule in a time zone, as plugins and applications give it for their jobs, and when it is due.
///
/// It may be used by several threads at once.
///
/// ```
/// # fn main() -> pintle::Result<()> {
/// let rule = pintle::cron::Rule::parse("30 9 * * MON-FRI", Some("Europe/Berlin"))?;
/// let friday_noon = pintle::cron::parse_rfc3339("2026-11-20T12:00:00+01:00")?;
/// let next = rule.next_after(friday_noon).expect("there are more Mondays");
/// assert_eq!(rule.rfc3339(next).as_deref(), Some("2026-11-23T09:30:00+01:00"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rule {
    kind: super::Rule,
    zone: Tz,
}

impl Rule {
    /// Reads a rule: 5 or 6 fields, a word such as `@daily`, `@every` and a span, or `@reboot`.
    ///
    /// - `text`: the rule; `TZ=` or `CRON_TZ=` and a time zone may stand before it.
    /// - `zone`: an IANA name; none or empty: UTC, or what the rule begins with.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the rule cannot be read (with field, position and reason) or never happens, a time zone is not
    /// known, or there are two. OUT_OF_RANGE: the span of `@every` is not 1 ms to 366 days.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self> {
        let kind = Rules::default().rule(text, zone)?;
        if let super::Rule::Every(ms) = kind
            && !(1..=LONGEST_MS).contains(&ms)
        {
            return Err(Error::lazy(ErrorKind::OutOfRange, move || {
                format!("argument `rule`: {ms} ms is outside of 1 to {LONGEST_MS} ms (366 days)")
            }));
        }
        let zone = zone_of(grammar::split(text)?.zone, zone.filter(|zone| !zone.is_empty()))?;
        Ok(Self { kind, zone })
    }

    /// The first time strictly after `after_ms` at which the rule is due, both in milliseconds since 1970-01-01 UTC.
    ///
    /// For `@every` it is one span later: `after_ms` is when the job becomes live, or its last beat. None for `@reboot`,
    /// which has no time of the calendar, and beyond the year 4999. What is before 1970 counts as 1970.
    #[must_use]
    pub fn next_after(&self, after_ms: i64) -> Option<i64> {
        match &self.kind {
            super::Rule::Calendar(rule) => rule.next(after_ms),
            // No later than other rules, so that every time can be written.
            super::Rule::Every(ms) => after_ms.max(0).checked_add(*ms).filter(|next| *next <= LAST_MS),
            super::Rule::Reboot => None,
        }
    }

    /// The IANA name of its time zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.name()
    }

    /// Whether it is `@reboot`: due once, when the host has started and the job is live.
    #[must_use]
    pub fn is_reboot(&self) -> bool {
        matches!(self.kind, super::Rule::Reboot)
    }

    /// A time in milliseconds since 1970-01-01 UTC as RFC 3339 has it, with the offset of the rule's zone at that time. A
    /// fraction is written where there is one. None beyond the years that can be written.
    #[must_use]
    pub fn rfc3339(&self, at_ms: i64) -> Option<String> {
        let at = DateTime::from_timestamp_millis(at_ms).filter(|at| at.timestamp_millis() <= LAST_MS)?;
        let offset = self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
        // RFC 3339 has offsets of whole minutes. Where a zone's has seconds, the minutes keep the instant exact.
        let offset = FixedOffset::east_opt(offset / 60 * 60)?;
        Some(at.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::AutoSi, false))
    }
}

/// The end of the year 4999, where croner's calendar ends too.
const LAST_MS: i64 = 95_617_583_999_999;

/// Reads a time as RFC 3339 has it, into milliseconds since 1970-01-01 UTC. What is finer is cut off.
///
/// # Errors
///
/// INVALID_ARGUMENT: it is none.
pub fn parse_rfc3339(text: &str) -> Result<i64> {
    let read = DateTime::parse_from_rfc3339(text);
    read.map(|at| at.timestamp_millis()).map_err(|error| {
        let shown: String = text.chars().take(64).collect();
        Error::argument("from", format!("`{shown}` is not a time of RFC 3339: {error}"))
            .mend("write one such as `2026-11-22T09:00:00+01:00`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_the_offset_of_the_zone() {
        let cases = [
            ("0 9 * * *", "", "2026-11-22T09:00:00Z", "2026-11-23T09:00:00+00:00"),
            ("0 9 * * *", "Asia/Kathmandu", "2026-11-22T09:00:00Z", "2026-11-23T09:00:00+05:45"),
            ("TZ=America/New_York 0 9 * 7 *", "", "2026-11-22T09:00:00Z", "2027-07-01T09:00:00-04:00"),
            ("@every 1.5s", "Europe/Berlin", "2026-11-22T09:00:00Z", "2026-11-22T10:00:01.500+01:00"),
            ("@every 90s", "", "2026-11-22T09:00:00.250Z", "2026-11-22T09:01:30.250+00:00"),
            // Until 1972 Monrovia was 44 minutes and 30 seconds behind.
            ("0 9 * * *", "Africa/Monrovia", "1971-01-01T00:00:00Z", "1971-01-01T09:00:30-00:44"),
        ];
        for (text, zone, from, expected) in cases {
            let rule = Rule::parse(text, Some(zone)).expect(text);
            let next = rule.next_after(parse_rfc3339(from).expect(from)).expect(text);
            assert_eq!(rule.rfc3339(next).as_deref(), Some(expected), "`{text}` in {}", rule.zone());
            assert_eq!(parse_rfc3339(expected).expect("it was written"), next);
        }
    }

    #[test]
    fn reboot_has_no_time_and_every_has_bounds() {
        let rule = Rule::parse("TZ=Europe/Berlin @reboot", None).expect("it is one");
        assert!(rule.is_reboot() && rule.zone() == "Europe/Berlin");
        assert_eq!(rule.next_after(0), None);
        for (text, problem) in [("@every 0s", "0 ms"), ("@every 8785h", "31626000000 ms")] {
            let error = Rule::parse(text, None).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::OutOfRange);
            let expected = format!("argument `rule`: {problem} is outside of 1 to 31622400000 ms (366 days)");
            assert_eq!(error.to_string(), expected);
        }
        let rule = Rule::parse("@every 366h", None).expect("it is one");
        assert_eq!(rule.next_after(i64::MAX), None);
        assert_eq!(rule.next_after(i64::MIN), Some(366 * 3_600_000));
        assert_eq!(rule.rfc3339(LAST_MS).as_deref(), Some("4999-12-31T23:59:59.999+00:00"));
        assert_eq!((rule.rfc3339(LAST_MS + 1), rule.rfc3339(i64::MIN)), (None, None));
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        let error = parse_rfc3339("tomorrow").expect_err("it is none").to_string();
        assert!(
            error.starts_with("argument `from`: `tomorrow` is not a time of RFC 3339: ")
                && error.ends_with(": write one such as `2026-11-22T09:00:00+01:00`"),
            "{error}"
        );
    }
}
