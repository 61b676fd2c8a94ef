//! What one tenant has had measured and is not in the database yet: minutes by metric. Bounded, whatever comes.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::minute::{self, Minute};

/// The most metrics of a tenant.
const MOST_METRICS: usize = 1_000;

/// The longest name: it is part of a key in the cache, which has 512 bytes.
const LONGEST_NAME: usize = 256;

/// The most minutes of a metric that wait for a database that does not take them. The oldest are given up.
const MOST_WAITING: usize = 180;

/// Minutes by metric, in order.
#[derive(Debug, Default)]
pub(crate) struct Book {
    metrics: BTreeMap<String, Vec<Minute>>,
}

impl Book {
    /// Takes note of a value; not of one whose metric there is no room for.
    pub(crate) fn note(&mut self, metric: &str, minute: i64, value: f64) -> bool {
        if let Some(minutes) = self.metrics.get_mut(metric) {
            minute::insert(minutes, Minute::new(minute, value));
            return true;
        }
        let room = self.metrics.len() < MOST_METRICS && metric.len() <= LONGEST_NAME;
        if room {
            self.metrics.insert(metric.to_owned(), vec![Minute::new(minute, value)]);
        }
        room
    }

    /// Takes out what has ended before `end`, for the database.
    pub(crate) fn take_ended(&mut self, end: i64) -> Vec<(String, Vec<Minute>)> {
        let taken = self.metrics.iter_mut().filter_map(|(metric, minutes)| {
            let first_open = minutes.partition_point(|minute| minute.minute < end);
            let ended: Vec<_> = minutes.drain(..first_open).collect();
            (!ended.is_empty()).then(|| (metric.clone(), ended))
        });
        let taken = taken.collect();
        self.metrics.retain(|_, minutes| !minutes.is_empty());
        taken
    }

    /// Takes back what the database did not take.
    pub(crate) fn put_back(&mut self, metric: &str, earlier: Vec<Minute>) {
        let minutes = match self.metrics.entry(metric.to_owned()) {
            Entry::Vacant(free) => free.insert(earlier),
            Entry::Occupied(taken) => {
                let minutes = taken.into_mut();
                let later = std::mem::replace(minutes, earlier);
                later.into_iter().for_each(|later| minute::insert(minutes, later));
                minutes
            }
        };
        minutes.drain(..minutes.len().saturating_sub(MOST_WAITING));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(String::as_str)
    }

    /// The minutes of a metric, in order.
    pub(crate) fn minutes(&self, metric: &str) -> &[Minute] {
        self.metrics.get(metric).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(book: &Book, metric: &str) -> Vec<(i64, u64)> {
        book.minutes(metric).iter().map(|minute| (minute.minute, minute.count)).collect()
    }

    #[test]
    fn only_what_has_ended_is_taken_out() {
        let mut book = Book::default();
        for (metric, minute) in [("a", 0), ("a", 0), ("a", 60_000), ("b", 60_000), ("c", 0)] {
            assert!(book.note(metric, minute, 1.0));
        }
        let taken = book.take_ended(60_000);
        let names: Vec<_> =
            taken.iter().map(|(name, minutes)| (name.as_str(), minutes.len(), minutes[0].count)).collect();
        assert_eq!(names, [("a", 1, 2), ("c", 1, 1)]);
        assert_eq!(told(&book, "a"), [(60_000, 1)]);
        assert_eq!(book.metrics().collect::<Vec<_>>(), ["a", "b"], "nothing of c is left");
        assert_eq!(book.take_ended(60_000), []);
        assert_eq!(book.take_ended(i64::MAX).len(), 2);
        assert!(book.is_empty());
    }

    #[test]
    fn what_the_database_did_not_take_waits_in_its_place_and_not_without_end() {
        let mut book = Book::default();
        book.note("a", 0, 1.0);
        let taken = book.take_ended(i64::MAX);
        book.note("a", 60_000, 1.0);
        book.note("a", 0, 1.0); // late
        for (metric, minutes) in taken {
            book.put_back(&metric, minutes);
        }
        assert_eq!(told(&book, "a"), [(0, 2), (60_000, 1)]);
        for minute in 2..500 {
            book.note("a", minute * 60_000, 1.0);
            let taken = book.take_ended(i64::MAX);
            taken.into_iter().for_each(|(metric, minutes)| book.put_back(&metric, minutes));
        }
        let waiting = told(&book, "a");
        assert_eq!((waiting.len(), waiting[MOST_WAITING - 1].0), (MOST_WAITING, 499 * 60_000));
    }

    #[test]
    fn there_is_an_end_to_metrics_and_their_names() {
        let mut book = Book::default();
        for number in 0..MOST_METRICS {
            assert!(book.note(&number.to_string(), 0, 1.0));
        }
        assert!(!book.note("one more", 0, 1.0));
        assert!(book.note("7", 0, 1.0), "those that are there go on");
        assert!(!Book::default().note(&"n".repeat(LONGEST_NAME + 1), 0, 1.0));
    }
}
