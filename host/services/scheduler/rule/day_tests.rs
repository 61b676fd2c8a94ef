//! Days by `L`, `W` and `#` against a matcher that counts them on a calendar; and texts that are no rules.

use chrono::{DateTime, Datelike, Days, NaiveDate, Weekday};

use super::cron::Rule;

/// A small generator: the same rules in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(n)).expect("below a u32")
    }

    fn list(&mut self, item: fn(&mut Self) -> (String, Day)) -> (String, Vec<Day>) {
        let items: Vec<_> = (0..=self.below(3)).map(|_| item(self)).collect();
        let texts: Vec<_> = items.iter().map(|(text, _)| text.as_str()).collect();
        (texts.join(","), items.iter().map(|(_, day)| *day).collect())
    }
}

#[derive(Clone, Copy)]
enum Day {
    Any,
    OfMonth(u32),
    Last,
    LastWorkday,
    Nearest(u32),
    Weekday(u32),
    Nth(u32, u32),
    LastWeekday(u32),
}

impl Day {
    fn of_month(random: &mut Random) -> (String, Self) {
        let day = 1 + random.below(31);
        match random.below(6) {
            0 => ("L".into(), Self::Last),
            1 => ("LW".into(), Self::LastWorkday),
            2 | 3 => (format!("{day}W"), Self::Nearest(day)),
            _ => (day.to_string(), Self::OfMonth(day)),
        }
    }

    fn of_week(random: &mut Random) -> (String, Self) {
        let (day, nth) = (random.below(8), 1 + random.below(5));
        match random.below(4) {
            0 => (format!("{day}L"), Self::LastWeekday(day % 7)),
            1 | 2 => (format!("{day}#{nth}"), Self::Nth(day % 7, nth)),
            _ => (day.to_string(), Self::Weekday(day % 7)),
        }
    }

    fn matches(self, date: NaiveDate) -> bool {
        let month_of = |date: NaiveDate| (date.year(), date.month());
        let next_week_is_another_month = || month_of(date + Days::new(7)) != month_of(date);
        let weekday = date.weekday().num_days_from_sunday();
        let last = || {
            let later = date.iter_days().skip(1).find(|later| later.day() == 1).expect("months end");
            later.pred_opt().expect("a day is before it")
        };
        // The workday of the month that is nearest to a day of it; of two, the one that croner and Quartz take.
        let nearest = |day: NaiveDate| match day.weekday() {
            Weekday::Sat if day.day() > 1 => day - Days::new(1),
            Weekday::Sat => day + Days::new(2),
            Weekday::Sun if day != last() => day + Days::new(1),
            Weekday::Sun => day - Days::new(2),
            _ => day,
        };
        match self {
            Self::Any => true,
            Self::OfMonth(day) => date.day() == day,
            Self::Last => date == last(),
            Self::LastWorkday => date == (nearest(last())).min(last()),
            Self::Nearest(day) => date.with_day(day).is_some_and(|day| nearest(day) == date),
            Self::Weekday(day) => weekday == day,
            Self::Nth(day, nth) => weekday == day && date.day().div_ceil(7) == nth,
            Self::LastWeekday(day) => weekday == day && next_week_is_another_month(),
        }
    }
}

#[test]
fn scheduler_1_last_nearest_and_nth_days_are_those_of_the_calendar() {
    let mut random = Random(9);
    let from = NaiveDate::from_ymd_opt(2026, 1, 1).expect("it is one");
    let from_ms = from.and_hms_opt(0, 0, 0).expect("it is one").and_utc().timestamp_millis();
    let mut refused = 0;
    for _ in 0..500 {
        let star = ("*".to_owned(), vec![Day::Any]);
        let (of_month, of_week) = match random.below(3) {
            0 => (random.list(Day::of_month), star),
            1 => (star, random.list(Day::of_week)),
            _ => (random.list(Day::of_month), random.list(Day::of_week)),
        };
        let both = of_month.0 == "*" || of_week.0 == "*";
        let text = format!("0 12 {} * {}", of_month.0, of_week.0);
        let has = |mark: &str| of_month.0.split(',').any(|item| item == mark);
        if has("L") && has("LW") {
            refused += 1;
            Rule::parse(&text, None).expect_err("croner cannot have both");
            continue;
        }
        let rule = Rule::parse(&text, None).unwrap_or_else(|error| panic!("{error}"));
        let expected = from.iter_days().take(3 * 365).filter(|date| {
            let of_month = of_month.1.iter().any(|day| day.matches(*date));
            let of_week = of_week.1.iter().any(|day| day.matches(*date));
            if both { of_month && of_week } else { of_month || of_week }
        });
        let mut at = from_ms;
        for date in expected {
            at = rule.next_after(at).expect("it goes on");
            let found = DateTime::from_timestamp_millis(at).expect("in range").date_naive();
            assert_eq!(found, date, "`{text}`");
        }
    }
    assert!(refused < 100, "{refused}");
}

#[test]
fn scheduler_1_no_text_makes_it_panic() {
    const PIECES: [&str; 40] = [
        "*",
        "/",
        "-",
        ",",
        " ",
        "\t",
        "#",
        "L",
        "W",
        "LW",
        "?",
        "@",
        "@every",
        "@daily",
        "@reboot",
        "TZ=",
        "CRON_TZ=",
        "Europe/Berlin ",
        "UTC ",
        "0",
        "1",
        "7",
        "31",
        "59",
        "60",
        "99999",
        "MON",
        "sun",
        "Dec",
        "h",
        "ms",
        ".",
        "ö",
        "\u{a0}",
        "\0",
        "\u{1f551}",
        "+",
        "~",
        "%",
        "\n",
    ];
    let mut random = Random(90);
    let mut taken = 0;
    for round in 0..60_000 {
        let text: String = if round % 3 == 0 {
            (0..random.below(40)).map(|_| char::from_u32(random.below(0x180)).unwrap_or('x')).collect()
        } else if round % 3 == 1 {
            (0..random.below(16)).map(|_| PIECES[random.below(40) as usize]).collect()
        } else {
            // Something like fields, so that some are taken.
            let field = |random: &mut Random| match random.below(4) {
                0 | 1 => "*".to_owned(),
                2 => random.below(13).to_string(),
                _ => (0..=random.below(3)).map(|_| PIECES[random.below(40) as usize]).collect(),
            };
            let fields: Vec<_> = (0..5 + random.below(2)).map(|_| field(&mut random)).collect();
            fields.join(" ")
        };
        let zone = ["", "Australia/Lord_Howe", "x"][random.below(3) as usize];
        match Rule::parse(&text, Some(zone)) {
            Ok(rule) => {
                taken += 1;
                let mut at = i64::from(random.below(2_000_000_000)) * 1000;
                for _ in 0..3 {
                    let Some(next) = rule.next_after(at) else { break };
                    assert!(next > at, "{text:?}");
                    at = next;
                }
                for extreme in [i64::MIN, -1, 0, i64::MAX] {
                    assert!(rule.next_after(extreme).is_none_or(|next| next > extreme), "{text:?}");
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(taken > 500, "only {taken} texts were rules");
}
