//! A minute of one metric: in what order minutes stand and how two of the same one are joined.

use serde::{Deserialize, Serialize};

/// In milliseconds, as all times here.
pub(crate) const MINUTE: i64 = 60_000;

/// The minute that a time lies in: when it began.
pub(crate) fn of(time_ms: i64) -> i64 {
    time_ms.div_euclid(MINUTE) * MINUTE
}

/// What was measured of one metric in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Minute {
    /// When it began.
    pub(crate) minute: i64,
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
    pub(crate) last: f64,
}

impl Minute {
    /// A minute with one value.
    pub(crate) fn new(minute: i64, value: f64) -> Self {
        Self { minute, count: 1, min: value, max: value, mean: value, last: value }
    }

    /// Adds what came later in the same minute, be it measured just now or after a restart.
    pub(crate) fn join(&mut self, later: &Self) {
        self.count += later.count;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        // As a step towards the later mean: a sum of all values would lose digits.
        self.mean += (later.mean - self.mean) * (later.count as f64 / self.count as f64);
        self.last = later.last;
    }
}

/// Puts a minute where it belongs among others that stand in order.
pub(crate) fn insert(minutes: &mut Vec<Minute>, later: Minute) {
    match minutes.binary_search_by_key(&later.minute, |minute| minute.minute) {
        Ok(at) => minutes[at].join(&later),
        Err(at) => minutes.insert(at, later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_knows_count_least_most_mean_and_last() {
        let cases: [(&[f64], Minute); 4] = [
            (&[5.0], Minute { minute: 0, count: 1, min: 5.0, max: 5.0, mean: 5.0, last: 5.0 }),
            (&[1.0, 4.0, 1.0], Minute { minute: 0, count: 3, min: 1.0, max: 4.0, mean: 2.0, last: 1.0 }),
            (&[-2.0, 0.0, 8.0], Minute { minute: 0, count: 3, min: -2.0, max: 8.0, mean: 2.0, last: 8.0 }),
            (
                &[1e300, -1e300],
                Minute { minute: 0, count: 2, min: -1e300, max: 1e300, mean: 0.0, last: -1e300 },
            ),
        ];
        for (values, expected) in cases {
            let mut values = values.iter().map(|value| Minute::new(0, *value));
            let mut minute = values.next().expect("there is one");
            values.for_each(|later| minute.join(&later));
            assert_eq!(minute, expected);
        }
    }

    #[test]
    fn halves_of_a_minute_are_joined_as_if_it_had_been_one() {
        let whole = [1.0, 2.0, 9.0, 4.0, 4.0].map(|value| Minute::new(60_000, value));
        for cut in 1..whole.len() {
            let (first, second) = whole.split_at(cut);
            let joined = |half: &[Minute]| {
                let mut half = half.iter();
                let mut minute = *half.next().expect("neither half is empty");
                half.for_each(|later| minute.join(later));
                minute
            };
            let mut all = joined(first);
            all.join(&joined(second));
            assert_eq!((all.count, all.min, all.max, all.last), (5, 1.0, 9.0, 4.0), "{cut}");
            assert!((all.mean - 4.0).abs() < 1e-9, "{cut}: {}", all.mean);
        }
    }

    #[test]
    fn minutes_stand_in_order_whatever_order_they_come_in() {
        let mut minutes = Vec::new();
        for (minute, value) in [(120_000, 1.0), (0, 2.0), (60_000, 3.0), (120_000, 5.0)] {
            insert(&mut minutes, Minute::new(minute, value));
        }
        let told: Vec<_> = minutes.iter().map(|minute| (minute.minute, minute.count, minute.mean)).collect();
        assert_eq!(told, [(0, 1, 2.0), (60_000, 1, 3.0), (120_000, 2, 3.0)]);
    }

    #[test]
    fn times_lie_in_the_minute_that_began_before_them() {
        for (time, minute) in [(0, 0), (59_999, 0), (60_000, 60_000), (3_600_000, 3_600_000), (-1, -60_000)] {
            assert_eq!(of(time), minute, "{time}");
        }
    }
}
