//! What rules promise: tables of due times, and thousands of random rules against a naive matcher.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::*;

const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

fn utc(text: &str) -> i64 {
    let at = NaiveDateTime::parse_from_str(text, FORMAT).unwrap_or_else(|e| panic!("{text}: {e}"));
    at.and_utc().timestamp_millis()
}

fn calendar(text: &str, zone: &str) -> Arc<CalendarRule> {
    match Rule::parse(text, Some(zone)).unwrap_or_else(|error| panic!("{text}: {error}")) {
        Rule::Calendar(rule) => rule,
        other => panic!("{text} is {other:?}"),
    }
}

/// The first times after `after` (UTC), in UTC.
fn times(rule: &CalendarRule, after: &str, count: usize) -> Vec<String> {
    let mut at = utc(after);
    let mut times = Vec::new();
    for _ in 0..count {
        let next = rule.next(at).expect("the rule goes on");
        assert!(next > at, "{rule:?}: {next} is not after {at}");
        at = next;
        times.push(DateTime::from_timestamp_millis(at).expect("in range").format(FORMAT).to_string());
    }
    times
}

fn check(cases: &[(&str, &str, &str, &[&str])]) {
    for (rule, zone, after, expected) in cases {
        let rule = calendar(rule, zone);
        assert_eq!(times(&rule, after, expected.len()), *expected, "{rule:?} after {after}");
    }
}

#[test]
fn a_rule_is_due_when_its_fields_match() {
    check(&[
        ("* * * * *", "", "2026-11-21 10:00:00", &["2026-11-21 10:01:00", "2026-11-21 10:02:00"]),
        ("*/20 * * * * *", "", "2026-11-21 10:00:20", &["2026-11-21 10:00:40", "2026-11-21 10:01:00"]),
        (
            "5-59/20 * * * *",
            "",
            "2026-11-21 10:06:00",
            &["2026-11-21 10:25:00", "2026-11-21 10:45:00", "2026-11-21 11:05:00"],
        ),
        ("0 9 * * MON-FRI", "", "2026-11-20 09:00:00", &["2026-11-23 09:00:00", "2026-11-24 09:00:00"]),
        ("0 0 29 2 *", "", "2026-01-01 00:00:00", &["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("0 0 29 2 *", "", "2096-03-01 00:00:00", &["2104-02-29 00:00:00"]),
        ("59 59 23 31 12 *", "", "2026-12-31 23:59:58", &["2026-12-31 23:59:59", "2027-12-31 23:59:59"]),
        ("@yearly", "", "2026-11-21 10:00:00", &["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
        ("@annually", "", "2026-11-21 10:00:00", &["2027-01-01 00:00:00"]),
        ("@monthly", "", "2026-11-21 10:00:00", &["2026-12-01 00:00:00", "2027-01-01 00:00:00"]),
        ("@weekly", "", "2026-11-21 10:00:00", &["2026-11-22 00:00:00", "2026-11-29 00:00:00"]),
        ("@daily", "", "2026-11-21 10:00:00", &["2026-11-22 00:00:00"]),
        ("@midnight", "", "2026-11-21 10:00:00", &["2026-11-22 00:00:00"]),
        ("@hourly", "", "2026-11-21 10:00:00", &["2026-11-21 11:00:00"]),
        // Before 1970 counts as 1970.
        ("@hourly", "", "1900-01-01 00:00:00", &["1970-01-01 00:00:00"]),
    ]);
}

#[test]
fn last_nearest_and_nth_days_follow_the_month() {
    check(&[
        (
            "0 0 L * *",
            "",
            "2026-01-31 00:00:00",
            &["2026-02-28 00:00:00", "2026-03-31 00:00:00", "2026-04-30 00:00:00"],
        ),
        ("0 0 L 2 *", "", "2027-03-01 00:00:00", &["2028-02-29 00:00:00"]),
        // 31 January 2026 is a Saturday, 31 May a Sunday.
        ("0 0 LW * *", "", "2026-01-01 00:00:00", &["2026-01-30 00:00:00", "2026-02-27 00:00:00"]),
        ("0 0 LW 5 *", "", "2026-01-01 00:00:00", &["2026-05-29 00:00:00"]),
        // 15 November 2026 is a Sunday, 15 August a Saturday, 15 October a Thursday.
        (
            "0 0 15W 8,10,11 *",
            "",
            "2026-08-01 00:00:00",
            &["2026-08-14 00:00:00", "2026-10-15 00:00:00", "2026-11-16 00:00:00"],
        ),
        // 1 August 2026 is a Saturday: never into another month.
        ("0 0 1W 8 *", "", "2026-07-01 00:00:00", &["2026-08-03 00:00:00"]),
        ("0 0 31W 5 *", "", "2026-05-01 00:00:00", &["2026-05-29 00:00:00"]),
        ("0 0 15W,L * *", "", "2026-11-01 00:00:00", &["2026-11-16 00:00:00", "2026-11-30 00:00:00"]),
        ("0 0 * * FRIL", "", "2026-11-01 00:00:00", &["2026-11-27 00:00:00", "2026-12-25 00:00:00"]),
        ("0 0 * * 7L", "", "2026-11-01 00:00:00", &["2026-11-29 00:00:00"]),
        (
            "0 0 * * MON#1,FRI#3",
            "",
            "2026-11-01 00:00:00",
            &["2026-11-02 00:00:00", "2026-11-20 00:00:00", "2026-12-07 00:00:00"],
        ),
        ("0 0 * * 0#5", "", "2026-11-01 00:00:00", &["2026-11-29 00:00:00", "2027-01-31 00:00:00"]),
        (
            "0 0 13 * 5#2",
            "",
            "2026-11-01 00:00:00",
            &["2026-11-13 00:00:00", "2026-12-11 00:00:00", "2026-12-13 00:00:00"],
        ),
    ]);
}

#[test]
fn scheduler_5_a_star_in_a_day_field_means_both_else_either() {
    check(&[
        // Neither begins with a star: either.
        (
            "0 0 13 * 5",
            "",
            "2026-11-01 00:00:00",
            &["2026-11-06 00:00:00", "2026-11-13 00:00:00", "2026-11-20 00:00:00"],
        ),
        ("0 0 1,15 * MON", "", "2026-11-10 00:00:00", &["2026-11-15 00:00:00", "2026-11-16 00:00:00"]),
        // One does, plainly: the other decides.
        ("0 0 * * 5", "", "2026-11-01 00:00:00", &["2026-11-06 00:00:00", "2026-11-13 00:00:00"]),
        ("0 0 13 * *", "", "2026-11-01 00:00:00", &["2026-11-13 00:00:00", "2026-12-13 00:00:00"]),
        // One does, with a step: both. Mondays with an odd number.
        (
            "0 0 */2 * MON",
            "",
            "2026-11-01 00:00:00",
            &["2026-11-09 00:00:00", "2026-11-23 00:00:00", "2026-12-07 00:00:00"],
        ),
        // Sunday, Wednesday, Saturday (0, 3, 6) that are a 13th.
        (
            "0 0 13 * */3",
            "",
            "2026-11-14 00:00:00",
            &[
                "2026-12-13 00:00:00",
                "2027-01-13 00:00:00",
                "2027-02-13 00:00:00",
                "2027-03-13 00:00:00",
                "2027-06-13 00:00:00",
            ],
        ),
        // A star that is not at the beginning does not count: either. Every second day, and Mondays.
        (
            "0 0 2,*/2 * MON",
            "",
            "2026-11-01 00:00:00",
            &["2026-11-02 00:00:00", "2026-11-03 00:00:00", "2026-11-05 00:00:00"],
        ),
        // One at the beginning of a list does.
        ("0 0 *,2 * MON", "", "2026-11-01 00:00:00", &["2026-11-02 00:00:00", "2026-11-09 00:00:00"]),
        // The same with seconds.
        ("30 0 0 */2 * MON", "", "2026-11-01 00:00:00", &["2026-11-09 00:00:30", "2026-11-23 00:00:30"]),
        ("30 0 0 13 * 5", "", "2026-11-01 00:00:00", &["2026-11-06 00:00:30", "2026-11-13 00:00:30"]),
    ]);
}

// Vienna: 2026-03-29 02:00 CET is 03:00 CEST (01:00 UTC); 2026-10-25 03:00 CEST is 02:00 CET (01:00 UTC).
const VIENNA: &str = "Europe/Vienna";
// New York: 2026-03-08 02:00 EST is 03:00 EDT (07:00 UTC); 2026-11-01 02:00 EDT is 01:00 EST (06:00 UTC).
const NEW_YORK: &str = "America/New_York";

#[test]
fn scheduler_7_a_time_of_day_in_the_gap_runs_once_right_after_it() {
    check(&[
        (
            "30 2 * * *",
            VIENNA,
            "2026-03-28 00:00:00",
            &["2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"],
        ),
        // Several in one gap are one run, and one right after it is the same run.
        ("0,30 2 * * *", VIENNA, "2026-03-28 12:00:00", &["2026-03-29 01:00:00", "2026-03-30 00:00:00"]),
        ("0-59/10 2,3 * * *", VIENNA, "2026-03-28 12:00:00", &["2026-03-29 01:00:00", "2026-03-29 01:10:00"]),
        ("0 2-3 * * *", VIENNA, "2026-03-28 12:00:00", &["2026-03-29 01:00:00", "2026-03-30 00:00:00"]),
        ("0 0,30 2 * * *", VIENNA, "2026-03-28 12:00:00", &["2026-03-29 01:00:00", "2026-03-30 00:00:00"]),
        (
            "* 0 2 * * *",
            VIENNA,
            "2026-03-28 12:00:00",
            &["2026-03-29 01:00:00", "2026-03-30 00:00:00", "2026-03-30 00:00:01"],
        ),
        ("30 2 29 3 *", VIENNA, "2026-01-01 00:00:00", &["2026-03-29 01:00:00", "2027-03-29 00:30:00"]),
        ("30 2 * * SUN", VIENNA, "2026-03-23 00:00:00", &["2026-03-29 01:00:00", "2026-04-05 00:30:00"]),
        // From within the hour before, and from the gap's end itself.
        ("30 2 * * *", VIENNA, "2026-03-29 00:59:59", &["2026-03-29 01:00:00"]),
        ("30 2 * * *", VIENNA, "2026-03-29 01:00:00", &["2026-03-30 00:30:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08 00:00:00", &["2026-03-08 07:00:00", "2026-03-09 06:30:00"]),
        ("15,45 2 * * *", NEW_YORK, "2026-03-07 12:00:00", &["2026-03-08 07:00:00", "2026-03-09 06:15:00"]),
        // At midnight (06:00 UTC), half an hour (Lord Howe, 02:00 to 02:30), and a day (Samoa lost 30 December 2011).
        (
            "30 0 * * *",
            "America/Havana",
            "2026-03-07 12:00:00",
            &["2026-03-08 05:00:00", "2026-03-09 04:30:00"],
        ),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03 00:00:00",
            &["2026-10-03 15:30:00", "2026-10-04 15:15:00"],
        ),
        (
            "30 12 * * *",
            "Pacific/Apia",
            "2011-12-29 12:00:00",
            &["2011-12-29 22:30:00", "2011-12-30 10:00:00", "2011-12-30 22:30:00"],
        ),
    ]);
}

#[test]
fn scheduler_8_a_time_of_day_that_comes_twice_runs_the_first_time() {
    check(&[
        ("30 2 * * *", VIENNA, "2026-10-24 12:00:00", &["2026-10-25 00:30:00", "2026-10-26 01:30:00"]),
        (
            "0,30 2 * * *",
            VIENNA,
            "2026-10-24 12:00:00",
            &["2026-10-25 00:00:00", "2026-10-25 00:30:00", "2026-10-26 01:00:00"],
        ),
        (
            "0-59/20 2-3 * * *",
            VIENNA,
            "2026-10-25 00:10:00",
            &["2026-10-25 00:20:00", "2026-10-25 00:40:00", "2026-10-25 02:00:00"],
        ),
        ("30 1 * * *", NEW_YORK, "2026-10-31 12:00:00", &["2026-11-01 05:30:00", "2026-11-02 06:30:00"]),
        ("30 30 1 * * *", NEW_YORK, "2026-10-31 12:00:00", &["2026-11-01 05:30:30", "2026-11-02 06:30:30"]),
        // Asked from within the second pass.
        ("30 2 * * *", VIENNA, "2026-10-25 01:10:00", &["2026-10-26 01:30:00"]),
        ("* 0-59 2 * * *", VIENNA, "2026-10-25 01:10:00", &["2026-10-26 01:00:00"]),
        ("@daily", "America/Havana", "2026-10-31 12:00:00", &["2026-11-01 04:00:00", "2026-11-02 05:00:00"]),
    ]);
}

#[test]
fn scheduler_6_a_star_in_minute_or_hour_follows_real_time() {
    check(&[
        (
            "*/30 * * * *",
            VIENNA,
            "2026-03-29 00:10:00",
            &["2026-03-29 00:30:00", "2026-03-29 01:00:00", "2026-03-29 01:30:00"],
        ),
        (
            "*/30 * * * *",
            VIENNA,
            "2026-10-24 23:40:00",
            &[
                "2026-10-25 00:00:00",
                "2026-10-25 00:30:00",
                "2026-10-25 01:00:00",
                "2026-10-25 01:30:00",
                "2026-10-25 02:00:00",
            ],
        ),
        // A local hour that is not there is not run; one that comes twice is run twice.
        ("*/30 2 * * *", VIENNA, "2026-03-28 12:00:00", &["2026-03-30 00:00:00"]),
        (
            "*/30 2 * * *",
            VIENNA,
            "2026-10-24 12:00:00",
            &[
                "2026-10-25 00:00:00",
                "2026-10-25 00:30:00",
                "2026-10-25 01:00:00",
                "2026-10-25 01:30:00",
                "2026-10-26 01:00:00",
            ],
        ),
        ("30 */2 * * *", VIENNA, "2026-03-28 23:40:00", &["2026-03-29 02:30:00", "2026-03-29 04:30:00"]),
        (
            "30 */2 * * *",
            VIENNA,
            "2026-10-24 23:00:00",
            &["2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 03:30:00"],
        ),
        (
            "@hourly",
            NEW_YORK,
            "2026-11-01 04:30:00",
            &["2026-11-01 05:00:00", "2026-11-01 06:00:00", "2026-11-01 07:00:00"],
        ),
        (
            "@hourly",
            NEW_YORK,
            "2026-03-08 05:30:00",
            &["2026-03-08 06:00:00", "2026-03-08 07:00:00", "2026-03-08 08:00:00"],
        ),
        (
            "*/30 * * * * *",
            NEW_YORK,
            "2026-11-01 05:59:15",
            &["2026-11-01 05:59:30", "2026-11-01 06:00:00", "2026-11-01 06:00:30"],
        ),
        // From within the first pass over the second to what follows.
        ("30 */2 * * *", VIENNA, "2026-10-25 00:45:00", &["2026-10-25 01:30:00", "2026-10-25 03:30:00"]),
        ("30 */2 * * *", VIENNA, "2026-10-25 01:30:00", &["2026-10-25 03:30:00"]),
        (
            "15 */1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04 13:30:00",
            &["2026-04-04 14:15:00", "2026-04-04 15:45:00", "2026-04-04 16:45:00"],
        ),
    ]);
}

#[test]
fn scheduler_19_the_zone_comes_from_the_option_or_the_prefix() {
    check(&[
        ("0 9 * * *", VIENNA, "2026-07-01 00:00:00", &["2026-07-01 07:00:00"]),
        ("0 9 * * *", VIENNA, "2026-12-01 00:00:00", &["2026-12-01 08:00:00"]),
        ("TZ=America/New_York 0 9 * * *", "", "2026-12-01 00:00:00", &["2026-12-01 14:00:00"]),
        ("CRON_TZ=Asia/Kathmandu  0 9 * * *", "", "2026-12-01 00:00:00", &["2026-12-01 03:15:00"]),
        ("TZ=Europe/Vienna @daily", VIENNA, "2026-12-01 00:00:00", &["2026-12-01 23:00:00"]),
    ]);
    let cases = [
        (
            "@daily",
            Some("Mars/Olympus"),
            "argument `zone`: time zone `Mars/Olympus` is not known: use an IANA name such as `Europe/Vienna`, letter for letter",
        ),
        (
            "TZ=Vienna @daily",
            None,
            "argument `rule`: time zone `Vienna` is not known: use an IANA name such as `Europe/Vienna`, letter for letter",
        ),
        (
            "TZ= @daily",
            None,
            "argument `rule`: time zone `` is not known: use an IANA name such as `Europe/Vienna`, letter for letter",
        ),
        (
            "TZ=UTC @daily",
            Some(VIENNA),
            "argument `zone`: time zone `Europe/Vienna` is not the `UTC` that the rule begins with: name it in one place",
        ),
    ];
    for (rule, zone, expected) in cases {
        assert_eq!(Rule::parse(rule, zone).expect_err(rule).to_string(), expected);
    }
}

#[test]
fn a_rule_that_never_happens_is_refused() {
    for rule in
        ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 feb *", "0 0 0 31 2 *", "0 0 31W 4 *", "0 0 30-31 2 */2"]
    {
        let error = Rule::parse(rule, None).expect_err(rule);
        assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
        let expected = format!(
            "argument `rule`: `{rule}` never happens: no such day is in the calendar: look at day of month, month and day of week together"
        );
        assert_eq!(error.to_string(), expected);
    }
    // These do, if rarely, or by their weekday.
    for rule in ["0 0 29 2 *", "0 0 */29 2 SUN", "0 0 30 2 MON", "0 0 31 4 1#5"] {
        Rule::parse(rule, None).expect(rule);
    }
}

#[test]
fn scheduler_30_a_rule_is_shared_while_it_is_used_and_forgotten_after() {
    let rules = Rules::default();
    let get = |text: &str, zone| match rules.rule(text, zone).expect(text) {
        Rule::Calendar(rule) => rule,
        other => panic!("{text} is {other:?}"),
    };
    let first = get("0 9 * * *", None);
    assert!(Arc::ptr_eq(&first, &get("0 9 * * *", Some(""))));
    assert!(Arc::ptr_eq(&first, &get("TZ=UTC 0 9 * * *", None)));
    assert!(!Arc::ptr_eq(&first, &get("0 9 * * *", Some(VIENNA))));
    for minute in 0..600 {
        drop(get(&format!("{} {} * * *", minute % 60, minute / 60), None));
    }
    assert!(rules.shelf.lock().rules.len() <= 65, "rules that nobody uses are thrown out");
    assert!(Arc::ptr_eq(&first, &get("0 9 * * *", None)), "those in use stay");
}

#[test]
fn every_is_an_interval() {
    assert!(matches!(Rule::parse("@every 1m30s", None), Ok(Rule::Every(90_000))));
    assert!(matches!(Rule::parse("TZ=Europe/Vienna @every 90s", None), Ok(Rule::Every(90_000))));
}

/// A small generator: the same rules in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(n)).expect("below a u32")
    }

    /// A field and what it matches, written and read independently of the grammar.
    fn field(&mut self, low: u32, high: u32) -> (String, Vec<u32>) {
        let any = |random: &mut Self| low + random.below(high - low + 1);
        match self.below(6) {
            0 | 1 => ("*".into(), (low..=high).collect()),
            2 => {
                let value = any(self);
                (value.to_string(), vec![value])
            }
            3 => {
                let step = 1 + self.below(high);
                (format!("*/{step}"), (low..=high).filter(|v| (v - low).is_multiple_of(step)).collect())
            }
            4 => {
                let (a, b) = (any(self), any(self));
                let (from, to, step) = (a.min(b), a.max(b), 1 + self.below(4));
                (
                    format!("{from}-{to}/{step}"),
                    (from..=to).filter(|v| (v - from).is_multiple_of(step)).collect(),
                )
            }
            _ => {
                let (a, b) = (any(self), any(self));
                (format!("{a},{b}"), vec![a, b])
            }
        }
    }
}

#[test]
fn random_rules_agree_with_a_naive_matcher() {
    let mut random = Random(2026);
    let mut compared = 0;
    for _ in 0..3000 {
        let (minutes, hours) = (random.field(0, 59), random.field(0, 23));
        let (days, months, weekdays) = (random.field(1, 31), random.field(1, 12), random.field(0, 6));
        let text = format!("{} {} {} {} {}", minutes.0, hours.0, days.0, months.0, weekdays.0);
        let both = days.0.starts_with('*') || weekdays.0.starts_with('*');
        let on_day = |date: NaiveDate| {
            let day = days.1.contains(&date.day());
            let weekday = weekdays.1.contains(&date.weekday().num_days_from_sunday());
            months.1.contains(&date.month()) && if both { day && weekday } else { day || weekday }
        };
        let start = 1_700_000_000 + i64::from(random.below(300_000_000));
        let from = naive(start).expect("in range");
        // Day by day to the first day that matches, then minute by minute.
        let mut expected = None;
        for date in from.date().iter_days().take(366 * 9).filter(|&date| on_day(date)) {
            expected = (0..24 * 60)
                .filter(|m| hours.1.contains(&(m / 60)) && minutes.1.contains(&(m % 60)))
                .map(|m| date.and_hms_opt(m / 60, m % 60, 0).expect("a time of day"))
                .find(|&at| at > from);
            if expected.is_some() {
                break;
            }
        }
        match (Rule::parse(&text, None), expected) {
            (Ok(Rule::Calendar(rule)), Some(expected)) => {
                let next = rule.next(start * 1000).expect("the rule goes on");
                assert_eq!(next, expected.and_utc().timestamp_millis(), "`{text}` after {from}");
                assert_eq!(expected.second(), 0);
                compared += 1;
            }
            (Err(error), None) => assert!(error.to_string().contains("never happens"), "{error}"),
            // Rarer than the matcher looks ahead.
            (Ok(_), None) => assert!(text.contains("29"), "`{text}`"),
            (rule, expected) => panic!("`{text}`: {rule:?}, expected {expected:?}"),
        }
    }
    assert!(compared > 2900, "{compared}");
}

/// The days around each change of a zone's clock in one year, as spans of instants.
fn around_changes(zone: &str, year: i32) -> Vec<(i64, i64)> {
    const HOUR: i64 = 3600;
    let rule = calendar("* * * * *", zone);
    let start = utc(&format!("{year}-01-01 00:00:00")) / 1000;
    let changes = (0..366 * 24).map(|hour| start + hour * HOUR);
    changes
        .filter(|&at| rule.offset(at) != rule.offset(at + HOUR))
        .map(|at| (at - 40 * HOUR, at + 40 * HOUR))
        .collect()
}

#[test]
fn zones_agree_with_a_walk_through_every_minute_around_a_change() {
    let rules = [
        "*/17 * * * *",
        "5 */2 * * *",
        "*/20 2 * * *",
        "0,30 1-3 * * *",
        "30 0 * * *",
        "45 23 * * *",
        "10 2 * * SUN",
    ];
    let zones = [
        (VIENNA, 2026),
        (NEW_YORK, 2026),
        ("Australia/Lord_Howe", 2026),
        ("America/Havana", 2026),
        ("Africa/Casablanca", 2025),
        ("Asia/Tehran", 2021),
        ("America/Caracas", 2016),
    ];
    for (zone, year) in zones {
        let spans = around_changes(zone, year);
        assert!(!spans.is_empty(), "{zone} changes its clock in {year}");
        for (text, (start, end)) in rules.iter().flat_map(|text| spans.iter().map(move |&span| (text, span)))
        {
            let rule = calendar(text, zone);
            let matches = |wall| rule.next_on_calendar(wall) == Some(wall);
            let mut expected = Vec::new();
            let mut shown = start - 60 + rule.offset(start - 60);
            for at in (start..end).step_by(60) {
                let wall = at + rule.offset(at);
                let due = if rule.follows_real_time {
                    matches(wall)
                } else {
                    // What the wall shows for the first time, with all that it jumped over.
                    (shown + 60..=wall).step_by(60).any(matches)
                };
                shown = shown.max(wall);
                if due {
                    expected.push(at * 1000);
                }
            }
            // From every moment, not only from the last run.
            let mut upcoming = expected.iter().copied().peekable();
            for at in (start - 1..end).step_by(59) {
                while upcoming.next_if(|&due| due <= at * 1000).is_some() {}
                let Some(&due) = upcoming.peek() else { break };
                assert_eq!(rule.search(at), Some(due / 1000), "{rule:?} after {at}");
                assert_eq!(rule.next(at * 1000), Some(due), "{rule:?} after {at}, from memory");
            }
        }
    }
}
