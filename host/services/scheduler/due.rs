//! When something is due, by one of the two clocks, and which of several due times count that came while nobody looked.

use std::time::Duration;

use super::rule::CalendarRule;

/// A run that is begun later than this after it was due was missed.
pub(super) const MISSED_MS: i64 = 60_000;

/// How many due times that passed are counted, one by one.
const MOST_COUNTED: u64 = 1_000;

/// When a run is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// By the wall clock, in milliseconds since 1970.
    Wall(i64),
    /// By the monotonic clock.
    Beat(Duration),
}

/// The two clocks, read together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall_ms: i64,
    pub(super) monotonic: Duration,
}

impl Due {
    /// When that is, or was, by the wall clock. For a beat in the past never later than now.
    pub(super) fn as_wall_ms(self, now: Now) -> i64 {
        match self {
            Self::Wall(at) => at,
            Self::Beat(at) if at > now.monotonic => now.wall_ms.saturating_add(ms(at - now.monotonic)),
            Self::Beat(at) => now.wall_ms.saturating_sub(ms(now.monotonic - at)),
        }
    }

    /// How long ago that was, in milliseconds; 0 if it is still to come.
    pub(super) fn passed_ms(self, now: Now) -> i64 {
        match self {
            Self::Wall(at) => now.wall_ms.saturating_sub(at).max(0),
            Self::Beat(at) => ms(now.monotonic.saturating_sub(at)),
        }
    }
}

/// The times at which a rule was due and nobody looked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// The last ones, as many as were asked for, in their order; never empty.
    pub(super) last: Vec<i64>,
    /// How many there were before those; beyond a thousand they are not counted on.
    pub(super) before: u64,
}

impl Passed {
    /// Those from `first`, one of the rule's own times, to `until`.
    pub(super) fn of_rule(rule: &CalendarRule, first: i64, until: i64, most: usize) -> Self {
        let next = |at: i64| rule.next(at).filter(|at| *at <= until);
        // Few of them, as nearly always: one after the other.
        let mut all = vec![first];
        while let Some(at) = next(all[all.len() - 1]) {
            all.push(at);
            if all.len() as u64 > MOST_COUNTED {
                break;
            }
        }
        if all.len() as u64 <= MOST_COUNTED {
            let before = all.len().saturating_sub(most);
            return Self { last: all.split_off(before), before: before as u64 };
        }
        let mut last = std::collections::VecDeque::new();
        let mut end = until;
        while last.len() < most {
            let at = last_until(rule, first, end);
            last.push_front(at);
            end = at - 1;
            if at == first {
                break;
            }
        }
        Self { last: last.into(), before: MOST_COUNTED }
    }

    /// The same of a beat: `first`, and then every so many milliseconds.
    pub(super) fn of_beat(every_ms: i64, first: i64, until: i64, most: usize) -> Self {
        let further = until.saturating_sub(first).max(0) / every_ms.max(1);
        let count = usize::try_from(further).unwrap_or(usize::MAX).saturating_add(1);
        let kept = count.min(most);
        let last = (0..kept as i64).rev().map(|back| first + (further - back) * every_ms).collect();
        Self { last, before: (count - kept) as u64 }
    }
}

/// The rule's last time from `first`, one of them, to `until`. The search halves the span, for a rule only looks forward.
fn last_until(rule: &CalendarRule, first: i64, until: i64) -> i64 {
    // Whatever follows `low` follows by `until`; nothing by then follows `high`.
    let (mut low, mut high) = (first - 1, until.max(first));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if rule.next(middle).is_some_and(|at| at <= until) { low = middle } else { high = middle }
    }
    rule.next(low).filter(|at| *at <= until).unwrap_or(first)
}

/// The beat after `last` that is not in the past, and how many passed meanwhile.
pub(super) fn next_beat(last: Duration, every: Duration, now: Duration) -> (Duration, u64) {
    let next = last + every;
    if next >= now {
        return (next, 0);
    }
    let passed = (now - next).as_nanos().div_ceil(every.as_nanos());
    let passed = u64::try_from(passed).unwrap_or(u64::MAX);
    let behind = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).saturating_mul(passed);
    (next + Duration::from_nanos(behind), passed)
}

pub(super) fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn span(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{super::rule::Rule, *};

    #[test]
    fn the_next_beat_is_on_the_beat_and_not_in_the_past() {
        let ms = Duration::from_millis;
        // last, every, now, next, passed
        let cases = [
            (0, 10, 0, 10, 0),
            (0, 10, 9, 10, 0),
            (0, 10, 10, 10, 0),
            (0, 10, 11, 20, 1),
            (0, 10, 20, 20, 1),
            (0, 10, 35, 40, 3),
            (7, 10, 1_000_000, 1_000_007, 99_999),
        ];
        for (last, every, now, next, passed) in cases {
            assert_eq!(next_beat(ms(last), ms(every), ms(now)), (ms(next), passed), "{last} {every} {now}");
        }
    }

    #[test]
    fn the_last_of_many_due_times_are_found_without_a_look_at_each() {
        let Ok(Rule::Calendar(rule)) = Rule::parse("* * * * * *", None) else { panic!("a good rule") };
        let (first, until) = (1_000, 400_000_000_500);
        let passed = Passed::of_rule(&rule, first, until, 3);
        assert_eq!(passed.last, [399_999_998_000, 399_999_999_000, 400_000_000_000]);
        assert_eq!(passed.before, MOST_COUNTED);
        let passed = Passed::of_rule(&rule, first, 4_999, 3);
        assert_eq!(passed, Passed { last: vec![2_000, 3_000, 4_000], before: 1 });
        assert_eq!(Passed::of_rule(&rule, first, first, 100), Passed { last: vec![first], before: 0 });
    }

    #[test]
    fn the_last_beats_of_many_are_on_the_beat() {
        assert_eq!(Passed::of_beat(10, 5, 44, 2), Passed { last: vec![25, 35], before: 2 });
        assert_eq!(Passed::of_beat(10, 5, 5, 2), Passed { last: vec![5], before: 0 });
        assert_eq!(Passed::of_beat(10, 5, 14, 100), Passed { last: vec![5], before: 0 });
        assert_eq!(Passed::of_beat(1, 0, i64::MAX, 1).last, [i64::MAX]);
    }
}
