//! When a rule is due next, beside croner's own search with the same time zone data: every rule in every zone, one time after
//! the other, each of which has to be searched; and asked again, as by a million jobs that share their rules.
//!
//! `cargo bench -p pintle --bench cron`. The bar of issue 9 is 1.3.

#[path = "measure/bars.rs"]
mod bars;
mod measure;

use std::{hint::black_box, process::ExitCode, str::FromStr};

use bars::{Report, pairs};
use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;
use croner::Cron;
use measure::{measuring, median, rounds, time};
use pintle::cron::Rule;

const BAR: f64 = 1.3;
/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

/// What follows real time, and what is a time of day, each in its own words to croner: it has five fields too.
const RULES: [(&str, &[&str]); 3] = [
    ("real time", &["* * * * *", "*/5 * * * *", "7 * * * *", "*/15 8-18 * * MON-FRI", "0 */6 * * *"]),
    ("time of day", &["0 0 * * *", "30 9 * * MON-FRI", "15,45 2 * * *", "0 6 1 * *", "0-59/20 8-18 * * *"]),
    ("rare", &["0 0 29 2 *", "0 12 L * *", "0 0 * * FRI#2", "30 4 1 1 *", "0 0 15W 3,9 *"]),
];
const ZONES: [&str; 4] = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"];

fn main() -> ExitCode {
    let mut report = Report::default();
    let steps = if measuring() { 200 } else { 3 };
    println!("the next time, {steps} after each other of each rule, to croner's find_next_occurrence:");
    for zone in ZONES {
        for (kind, rules) in RULES {
            let ours: Vec<_> =
                rules.iter().map(|rule| Rule::parse(rule, Some(zone)).expect("it is one")).collect();
            let theirs: Vec<_> = rules.iter().map(|rule| Cron::from_str(rule).expect("it is one")).collect();
            let tz: Tz = zone.parse().expect("it is one");
            let calls = (rules.len() * steps) as f64;
            let pairs = pairs(
                rounds(101),
                || time(|| theirs.iter().for_each(|rule| by_croner(rule, tz, steps))) / calls,
                || time(|| ours.iter().for_each(|rule| walk(rule, steps))) / calls,
            );
            report.bar(&format!("{kind}, {zone}"), "ns", &pairs, BAR);
        }
    }

    let rule = Rule::parse("30 9 * * MON-FRI", Some("Europe/Berlin")).expect("it is one");
    let asked = if measuring() { 100_000 } else { 100 };
    let again = (0..rounds(101)).map(|_| {
        time(|| {
            for ms in 0..asked {
                black_box(rule.next_after(black_box(START * 1000 + ms)));
            }
        }) / asked as f64
    });
    println!("  the same again, before the next time is reached: {:.2} ns", median(again.collect()));
    report.end()
}

fn walk(rule: &Rule, steps: usize) {
    let mut at = START * 1000;
    for _ in 0..steps {
        at = black_box(rule.next_after(at)).expect("it goes on");
    }
}

fn by_croner(rule: &Cron, zone: Tz, steps: usize) {
    let mut at: DateTime<Tz> = zone.timestamp_opt(START, 0).single().expect("it is a time");
    for _ in 0..steps {
        at = black_box(rule.find_next_occurrence(&at, false)).expect("it goes on");
    }
}
