//! What changes in the life of a consumer, under its lock: whether it is live, who has the turn, and what waits to be noted.

use std::time::Duration;

use super::{
    super::Counters,
    window::{Failed, Next, Window},
};

/// How many events may be done with and not noted, because the log fails, before no more are delivered.
pub(super) const MAX_UNSETTLED: usize = 1_024;

/// How long the engine waits before it tries again what has failed: the first time, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    /// What it knows of its events while it is attached to its position.
    pub(super) window: Option<Window>,
    /// There may be events for it that it has not looked at.
    pub(super) behind: bool,
    /// Another subscription has the position.
    pub(super) blocked: bool,
    /// The position is gone for good.
    pub(super) forgotten: bool,
    /// The delivery whose handler runs: sequence and token.
    pub(super) handling: Option<(u64, u64)>,
    /// The log is noting something.
    pub(super) settling: bool,
    /// When something is to be noted.
    pub(super) settle_at: Option<Duration>,
    pub(super) settle_wait: Wait,
    /// Nothing is delivered before: the lane, or the log, did not take it.
    pub(super) pause: Option<Duration>,
    pub(super) pause_wait: Wait,
    /// What its window has counted.
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) failures: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Asleep,
    Live,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Idle,
    /// The lane was asked for one.
    Asked,
    /// The lane has it, or the keeper.
    Taken,
}

/// How long to wait before the next try: doubles with each.
#[derive(Default)]
pub(super) struct Wait(Duration);

impl Wait {
    pub(super) fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        self.0
    }

    /// Whether the last try has failed.
    pub(super) fn is_on(&self) -> bool {
        !self.0.is_zero()
    }

    pub(super) fn reset(&mut self) {
        self.0 = Duration::ZERO;
    }
}

impl State {
    pub(super) fn new(live: bool) -> Self {
        Self {
            phase: if live { Phase::Live } else { Phase::Asleep },
            turn: Turn::Idle,
            window: None,
            behind: true,
            blocked: false,
            forgotten: false,
            handling: None,
            settling: false,
            settle_at: None,
            settle_wait: Wait::default(),
            pause: None,
            pause_wait: Wait::default(),
            delivered: 0,
            dead: 0,
            failures: 0,
        }
    }

    /// Whether there is something to do, and nobody does it.
    pub(super) fn wants_turn(&mut self, now: Duration, head: u64) -> bool {
        if self.phase != Phase::Live
            || self.turn != Turn::Idle
            || self.blocked
            || self.forgotten
            || self.pause.is_some_and(|at| at > now)
        {
            return false;
        }
        match &mut self.window {
            None => true,
            Some(window) => {
                // What is not for it is looked at when there is something that is, or by the keeper.
                let head = if self.behind { head } else { 0 };
                window.unsettled() < MAX_UNSETTLED && window.next(now, head) != Next::Nothing
            }
        }
    }

    /// Notes that an event is done with. False: the delivery is over.
    pub(super) fn acknowledge(&mut self, sequence: u64, token: u64) -> bool {
        let ok = self.window.as_mut().is_some_and(|window| window.acknowledge(sequence, token));
        self.delivered += u64::from(ok);
        ok
    }

    /// Notes that an attempt has failed. None: the delivery is over.
    pub(super) fn fail(
        &mut self,
        sequence: u64,
        token: u64,
        now: Duration,
        delay: Option<Duration>,
        reason: &str,
    ) -> Option<Failed> {
        let failed = self.window.as_mut()?.fail(sequence, token, now, delay, reason)?;
        self.failures += 1;
        self.dead += u64::from(failed == Failed::Dead);
        Some(failed)
    }

    /// Delivers nothing for a while; answers until when.
    pub(super) fn pause(&mut self, now: Duration) -> Duration {
        let at = now + self.pause_wait.next();
        self.pause = Some(at);
        at
    }

    /// Has what has changed noted soon, but not before the time that a failing log is given; answers when.
    pub(super) fn settle_within(&mut self, now: Duration, within: Duration) -> Duration {
        let at = match self.settle_at {
            Some(at) if self.settle_wait.is_on() => at,
            Some(at) => at.min(now + within),
            None => now + within,
        };
        self.settle_at = Some(at);
        at
    }

    /// Whether it is to let go of its position.
    pub(super) fn may_detach(&self) -> bool {
        let Some(window) = &self.window else { return false };
        // A handler that has had its time is not waited for.
        let handling = self.handling.is_some_and(|(sequence, token)| window.is_in_flight(sequence, token));
        let turn = self.turn == Turn::Taken && (self.handling.is_none() || handling);
        match self.phase {
            Phase::Live => false,
            Phase::Asleep => !turn && window.in_flight() == 0,
            Phase::Over => !turn,
        }
    }

    /// When something is due by itself, later than `now`.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        let window = self.window.as_ref().and_then(|window| window.wake_at(now));
        [window, self.settle_at, self.pause].into_iter().flatten().filter(|at| *at > now).min()
    }

    pub(super) fn counters(&self) -> Counters {
        let open = self.window.as_ref().map_or(0, Window::open) as u64;
        let running = self.window.as_ref().map_or(0, Window::in_flight) as u64;
        Counters {
            matched: open + self.delivered + self.dead,
            waiting: open - running,
            running,
            delivered: self.delivered,
            failed: self.dead,
            ..Counters::default()
        }
    }
}
