//! Budgets: how slow, how stuck and how faulty a plugin may be within a window of time. Here is what counts and what is
//! too much; [`Watch`] is where a plugin's handlers are noted, and `plugin::supervisor` what suspends it.
//!
//! The window moves in tenths. What is counted is at most as old as the window is long, so nothing trips a budget that lies
//! further apart; what is older than nine tenths of it may be forgotten already.

mod watch;

use std::time::Duration;

pub(crate) use watch::{Overrun, Trip, Watch};

/// In how many parts a window moves.
const PARTS: u64 = 10;

/// What a plugin may do within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) window: Duration,
    /// A handler that takes longer is slow.
    pub(crate) slow_after: Option<Duration>,
    /// How many slow handlers are tolerated.
    pub(crate) slow: Option<u32>,
    /// How many calls past their deadline are tolerated.
    pub(crate) stuck: Option<u32>,
    /// How many of a hundred handlers may fail.
    pub(crate) errors_percent: Option<u32>,
    /// From how many handlers on that is looked at.
    pub(crate) errors_least: u32,
}

/// Which budget a plugin has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuspensionReason {
    /// Too many of its handlers took too long.
    Slow,
    /// Too many of its calls went past their deadline.
    Stuck,
    /// Too large a part of its handlers failed.
    Errors,
}

impl SuspensionReason {
    /// As reports write it: `slow`, `stuck`, `errors`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Stuck => "stuck",
            Self::Errors => "errors",
        }
    }
}

/// A budget that is used up, with the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) reason: SuspensionReason,
    /// `12 of 40 handlers failed within 60 s, 25 % are allowed`.
    pub(crate) text: String,
}

/// Something that a plugin has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// A handler has ended.
    Handler { failed: bool, slow: bool },
    /// A call has gone past its deadline; it has not ended.
    Stuck,
}

/// What was counted within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    handled: u64,
    failed: u64,
    slow: u64,
    stuck: u64,
}

/// A window that moves along with time and counts what lies in it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    part_ns: u64,
    /// The number of the newest part, since the beginning of time.
    newest: u64,
    /// A part lies at its number, modulo their count.
    parts: [Counts; PARTS as usize],
    /// Of all parts.
    sum: Counts,
}

impl Counts {
    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        let Self { handled, failed, slow, stuck } = self;
        for (count, by) in
            [(handled, other.handled), (failed, other.failed), (slow, other.slow), (stuck, other.stuck)]
        {
            change(count, by);
        }
    }
}

impl From<Done> for Counts {
    fn from(done: Done) -> Self {
        match done {
            Done::Handler { failed, slow } => {
                Self { handled: 1, failed: failed.into(), slow: slow.into(), stuck: 0 }
            }
            Done::Stuck => Self { stuck: 1, ..Self::default() },
        }
    }
}

impl Window {
    pub(super) fn new(long: Duration) -> Self {
        let part_ns = (nanoseconds(long) / PARTS).max(1);
        Self { part_ns, newest: 0, parts: Default::default(), sum: Counts::default() }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.parts = Default::default();
        self.sum = Counts::default();
    }

    /// Notes what was done. `now`: since any fixed moment. Threads may read the clock and come here in another order: what
    /// comes late counts as done now.
    pub(super) fn note(&mut self, now: Duration, done: Done) {
        self.move_to(nanoseconds(now) / self.part_ns);
        let counts = Counts::from(done);
        let add = |count: &mut u64, by| *count += by;
        self.parts[(self.newest % PARTS) as usize].each(&counts, add);
        self.sum.each(&counts, add);
    }

    fn move_to(&mut self, part: u64) {
        let over = part.saturating_sub(self.newest);
        if over >= PARTS {
            self.clear();
        } else {
            for passed in 1..=over {
                let oldest = std::mem::take(&mut self.parts[((self.newest + passed) % PARTS) as usize]);
                self.sum.each(&oldest, |count, by| *count -= by);
            }
        }
        self.newest = self.newest.max(part);
    }
}

impl Limits {
    /// Whether a handler that took so long is slow.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.slow_after.is_some_and(|most| took > most)
    }

    /// What is too much in the window as it is now.
    pub(super) fn exceeded(&self, window: &Window) -> Option<Excess> {
        let Counts { handled, failed, slow, stuck } = window.sum;
        // Asked at the end of each handler: words are made only of what is too much.
        let within = || span(self.window);
        if let Some(allowed) = self.stuck
            && stuck > u64::from(allowed)
        {
            let calls = if stuck == 1 { "1 call".to_owned() } else { format!("{stuck} calls") };
            let text = format!("{calls} went past the deadline within {}, {}", within(), tolerated(allowed));
            return Some(Excess { reason: SuspensionReason::Stuck, text });
        }
        if let Some(allowed) = self.errors_percent
            && handled >= u64::from(self.errors_least)
            && failed * 100 > handled * u64::from(allowed)
        {
            let text =
                format!("{failed} of {handled} handlers failed within {}, {allowed} % are allowed", within());
            return Some(Excess { reason: SuspensionReason::Errors, text });
        }
        if let (Some(allowed), Some(after)) = (self.slow, self.slow_after)
            && slow > u64::from(allowed)
        {
            let handlers = if slow == 1 { "1 handler".to_owned() } else { format!("{slow} handlers") };
            let text = format!(
                "{handlers} took longer than {} within {}, {}",
                span(after),
                within(),
                tolerated(allowed)
            );
            return Some(Excess { reason: SuspensionReason::Slow, text });
        }
        None
    }
}

fn tolerated(allowed: u32) -> String {
    match allowed {
        0 => "none is allowed".to_owned(),
        1 => "1 is allowed".to_owned(),
        more => format!("{more} are allowed"),
    }
}

/// `60 s`, `1500 ms`.
pub(crate) fn span(of: Duration) -> String {
    let ms = of.as_millis();
    if ms.is_multiple_of(1_000) { format!("{} s", ms / 1_000) } else { format!("{ms} ms") }
}

fn nanoseconds(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
