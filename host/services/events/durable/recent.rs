//! The newest events of the log, in memory: consumers that keep up share them and need not read the log each.

use std::collections::BTreeMap;

use super::log::{Logged, Page};

/// How many bytes of events are kept.
const MAX_BYTES: usize = 4 << 20;

/// How many events are given at once.
const PAGE: usize = 128;

#[derive(Default)]
pub(super) struct Recent {
    events: BTreeMap<u64, Logged>,
    bytes: usize,
}

impl Recent {
    /// Adds an event; they may come in any order.
    pub(super) fn add(&mut self, logged: &Logged) {
        let size = size(logged);
        if size <= MAX_BYTES && self.events.insert(logged.sequence, logged.clone()).is_none() {
            self.bytes += size;
        }
        while self.bytes > MAX_BYTES
            && let Some((_, oldest)) = self.events.pop_first()
        {
            self.bytes -= self::size(&oldest);
        }
    }

    /// The events right behind a sequence, without a gap. None: they are not here.
    pub(super) fn after(&self, after: u64) -> Option<Page> {
        let mut page = Page { events: Vec::new(), up_to: after };
        for (&sequence, logged) in self.events.range(after + 1..).take(PAGE) {
            if sequence != page.up_to + 1 {
                break;
            }
            page.up_to = sequence;
            page.events.push(logged.clone());
        }
        (page.up_to > after).then_some(page)
    }
}

fn size(logged: &Logged) -> usize {
    logged.event.data.len() + 512
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::services::events::{Draft, Topic};

    fn logged(sequence: u64, bytes: usize) -> Logged {
        let draft = Draft::new(Topic::parse("a").expect("a topic"), "/s", vec![0; bytes]);
        let event = Arc::new(draft.stamp(|| sequence.to_string().into(), 0));
        Logged { sequence, logged_ms: 0, only: None, event }
    }

    fn after(recent: &Recent, after: u64) -> Option<Vec<u64>> {
        recent.after(after).map(|page| page.events.iter().map(|logged| logged.sequence).collect())
    }

    #[test]
    fn events_are_given_without_gaps_in_whatever_order_they_came() {
        let mut recent = Recent::default();
        for sequence in [3, 5, 4, 7] {
            recent.add(&logged(sequence, 10));
        }
        assert_eq!(after(&recent, 1), None, "2 is missing");
        assert_eq!(after(&recent, 2), Some(vec![3, 4, 5]));
        assert_eq!(after(&recent, 5), None, "6 may still come");
        recent.add(&logged(6, 10));
        assert_eq!(after(&recent, 4), Some(vec![5, 6, 7]));
        assert_eq!(after(&recent, 7), None);
    }

    #[test]
    fn it_keeps_a_bounded_number_of_bytes_the_newest() {
        let mut recent = Recent::default();
        for sequence in 1..=20 {
            recent.add(&logged(sequence, 1 << 20));
        }
        assert!(recent.bytes <= MAX_BYTES && recent.events.len() == 3, "{}", recent.events.len());
        assert_eq!(after(&recent, 17), Some(vec![18, 19, 20]));
        assert_eq!(after(&recent, 16), None);
    }
}
