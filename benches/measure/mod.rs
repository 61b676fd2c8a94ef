//! How the benches measure: a baseline and a subject by turns in one run, medians of their rounds, and a verdict.
//!
//! The machine may do other things meanwhile. Rounds are therefore short and paired: what disturbs one half of a
//! pair mostly disturbs the other, and the median of the pairs' ratios throws out the rest. A missed bar ends the
//! bench with 1 if `PINTLE_BENCH_STRICT` is set.

use std::{env, process::ExitCode, time::Instant};

/// Whether this is `cargo bench`. Built and run as a test it only shows that it works: an unoptimised build meets
/// no bar.
pub fn measuring() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// `many` when measuring, else as few as show that it works.
pub fn rounds(many: usize) -> usize {
    if measuring() { many } else { 1 }
}

/// How long `body` takes, in nanoseconds.
pub fn time(body: impl FnOnce()) -> f64 {
    let start = Instant::now();
    body();
    start.elapsed().as_nanos() as f64
}

/// Measures both by turns, `rounds` times after one round to warm up; every other round the subject goes first.
pub fn pairs(rounds: usize, mut baseline: impl FnMut() -> f64, mut subject: impl FnMut() -> f64) -> Pairs {
    let (_, _) = (baseline(), subject());
    let mut pairs = Pairs::default();
    for round in 0..rounds {
        if round % 2 == 0 {
            pairs.baseline.push(baseline());
            pairs.subject.push(subject());
        } else {
            pairs.subject.push(subject());
            pairs.baseline.push(baseline());
        }
    }
    pairs
}

/// What was measured, in any unit.
#[derive(Default)]
pub struct Pairs {
    pub baseline: Vec<f64>,
    pub subject: Vec<f64>,
}

impl Pairs {
    fn ratio(&self) -> f64 {
        median(
            self.subject.iter().zip(&self.baseline).map(|(subject, baseline)| subject / baseline).collect(),
        )
    }

    /// Of the fastest rounds of both: what a machine without other work would show.
    fn best(&self) -> f64 {
        least(&self.subject) / least(&self.baseline)
    }
}

/// The lines of one bench, and whether all bars were met.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Prints a pair beside its bar.
    pub fn bar(&mut self, what: &str, unit: &str, pairs: &Pairs, bar: f64) {
        let (baseline, subject) = (median(pairs.baseline.clone()), median(pairs.subject.clone()));
        self.verdict(
            what,
            pairs.ratio(),
            bar,
            &format!("{subject:.2} {unit} to {baseline:.2} {unit}, fastest {:.2}", pairs.best()),
        );
    }

    /// Prints a ratio beside its bar.
    pub fn verdict(&mut self, what: &str, ratio: f64, bar: f64, about: &str) {
        let met = ratio <= bar;
        let word = if met { "" } else { "  MISSED" };
        println!("  {what:<44} {ratio:6.2}  (bar {bar:.2}; {about}){word}");
        if !met && measuring() {
            self.missed.push(what.to_owned());
        }
    }

    /// The bench's last word.
    pub fn end(self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("bars missed: {}", self.missed.join(", "));
        if env::var_os("PINTLE_BENCH_STRICT").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// The middle one; of an even number the upper of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
