//! The last answer of a rule, for whoever asks the same next: a million jobs of one rule are due at one moment, and all
//! of them ask for the time after it. One word, so that reading and writing need no lock. Used by [`super`] only.

use std::sync::atomic::{AtomicU64, Ordering};

/// The low bits: for how many seconds before the next time the answer holds, at most two years. The bits above are the
/// next time itself, in seconds since 1970, up to the year 10,000.
const SPAN_BITS: u32 = 26;
const LONGEST_SPAN: u64 = (1 << SPAN_BITS) - 1;
const LATEST: u64 = u64::MAX >> SPAN_BITS;

/// "After each second of [from, next) the rule is next due at `next`", or nothing.
#[derive(Debug, Default)]
pub(super) struct Memo(AtomicU64);

impl Memo {
    /// The next time after the second `after`, if it is known.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        // Everything that is known is in this word, so there is nothing that must be seen together with it.
        let word = self.0.load(Ordering::Relaxed);
        let next = i64::try_from(word >> SPAN_BITS).ok()?;
        let span = i64::try_from(word & LONGEST_SPAN).ok()?;
        (next - span..next).contains(&after).then_some(next)
    }

    /// Keeps that `next` is the first time after `after`. What was kept before is forgotten.
    pub(super) fn keep(&self, after: i64, next: i64) {
        let (Ok(until), Ok(span)) = (u64::try_from(next), u64::try_from(next - after)) else { return };
        if until <= LATEST {
            self.0.store(until << SPAN_BITS | span.min(LONGEST_SPAN), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_from_where_it_was_asked_up_to_itself() {
        let memo = Memo::default();
        for after in [-1, 0, 1] {
            assert_eq!(memo.next(after), None, "nothing is known at the beginning");
        }
        let year_4999 = 95_617_584_000;
        for (after, next) in [(-1, 0), (-1, 60), (0, 1), (100, 160), (year_4999 - 90, year_4999)] {
            memo.keep(after, next);
            let known = [after - 1, after, next - 1, next, next + 1].map(|at| memo.next(at).is_some());
            assert_eq!(known, [false, true, true, false, false], "{after} to {next}");
            assert_eq!(memo.next(after), Some(next));
        }
        // Of a rule that is due every few years only the last two are kept.
        memo.keep(0, 300_000_000);
        assert_eq!((memo.next(0), memo.next(299_999_999)), (None, Some(300_000_000)));
        memo.keep(0, i64::MAX);
        assert_eq!(memo.next(1), None, "what does not fit is not kept");
    }
}
