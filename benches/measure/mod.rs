//! How the benches measure: in rounds, of which the median counts. [`bars`] compares two things and judges.

use std::{env, time::Instant};

/// Whether this is `cargo bench`. Built and run as a test it only shows that it works: an unoptimised build meets
/// no bar.
pub(crate) fn measuring() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// `many` when measuring, else as few as show that it works.
pub(crate) fn rounds(many: usize) -> usize {
    if measuring() { many } else { 1 }
}

/// How long `body` takes, in nanoseconds.
#[allow(dead_code, reason = "some benches are told times by the plugin that they run")]
pub(crate) fn time(body: impl FnOnce()) -> f64 {
    let start = Instant::now();
    body();
    start.elapsed().as_nanos() as f64
}

/// The middle one; of an even number the upper of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
