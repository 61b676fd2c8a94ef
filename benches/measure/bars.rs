//! A baseline and a subject by turns in one run, and a verdict.
//!
//! The machine may do other things meanwhile. Rounds are therefore short and paired: what disturbs one half of a
//! pair mostly disturbs the other, and the median of the pairs' ratios throws out the rest. A missed bar ends the
//! bench with 1 if `PINTLE_BENCH_STRICT` is set.

use std::{env, process::ExitCode};

use crate::measure::{measuring, median};

/// Measures both by turns, `rounds` times after one round to warm up; every other round the subject goes first.
pub(crate) fn pairs(
    rounds: usize,
    mut baseline: impl FnMut() -> f64,
    mut subject: impl FnMut() -> f64,
) -> Pairs {
    let [pairs] = pairs_of(rounds, || [baseline()], || [subject()]);
    pairs
}

/// As [`pairs`], of several things that one round tells.
pub(crate) fn pairs_of<const SEVERAL: usize>(
    rounds: usize,
    mut baseline: impl FnMut() -> [f64; SEVERAL],
    mut subject: impl FnMut() -> [f64; SEVERAL],
) -> [Pairs; SEVERAL] {
    let (_, _) = (baseline(), subject());
    let mut pairs = std::array::from_fn(|_| Pairs::default());
    for round in 0..rounds {
        let (of_baseline, of_subject) = if round % 2 == 0 {
            let first = baseline();
            (first, subject())
        } else {
            let first = subject();
            (baseline(), first)
        };
        for (pairs, (baseline, subject)) in pairs.iter_mut().zip(of_baseline.into_iter().zip(of_subject)) {
            let Pairs { baseline: baselines, subject: subjects } = pairs;
            baselines.push(baseline);
            subjects.push(subject);
        }
    }
    pairs
}

/// What was measured, in any unit.
#[derive(Default)]
pub(crate) struct Pairs {
    pub(crate) baseline: Vec<f64>,
    pub(crate) subject: Vec<f64>,
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
pub(crate) struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Prints a pair beside its bar.
    pub(crate) fn bar(&mut self, what: &str, unit: &str, pairs: &Pairs, bar: f64) {
        let (baseline, subject) = (median(pairs.baseline.clone()), median(pairs.subject.clone()));
        self.verdict(
            what,
            pairs.ratio(),
            bar,
            &format!("{subject:.2} {unit} to {baseline:.2} {unit}, fastest {:.2}", pairs.best()),
        );
    }

    /// Prints a ratio beside its bar; NaN: it has none, and is only told.
    pub(crate) fn verdict(&mut self, what: &str, ratio: f64, bar: f64, about: &str) {
        if bar.is_nan() {
            println!("  {what:<44} {ratio:6.2}  ({about})");
            return;
        }
        let met = ratio <= bar;
        let word = if met { "" } else { "  MISSED" };
        println!("  {what:<44} {ratio:6.2}  (bar {bar:.2}; {about}){word}");
        if !met && measuring() {
            self.missed.push(what.to_owned());
        }
    }

    /// The bench's last word.
    pub(crate) fn end(self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("bars missed: {}", self.missed.join(", "));
        if env::var_os("PINTLE_BENCH_STRICT").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
