//! The thread that removes what has expired, so that nobody who begins something pays for it. In small steps, between which
//! those who wait to write have their turn, and by the index over expiry: what it does depends on what has gone, not on
//! what is there.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering::*},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::{Alarm, Clock},
        ledger::{Fault, Ledger, Transaction, Write},
    },
};

/// For so long what has expired may lie there, in milliseconds: many go in one round. Also how long it waits before it
/// tries again.
pub(super) const GRAIN: i64 = 10_000;

/// Not longer, though nothing is due: somebody may set the wall clock, and what is due goes by that.
const LONGEST_SLEEP: i64 = 3_600_000;

/// How many records go in one step.
const STEP: u32 = 64;

/// The thread, and what it has to know.
pub(super) struct Upkeep {
    shared: Arc<Shared>,
    alarm: Weak<Alarm>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// Not later than the first record expires; `i64::MAX`: none does.
    due: AtomicI64,
    ended: AtomicBool,
}

impl Upkeep {
    pub(super) fn start(
        ledger: &Arc<Ledger>,
        clock: &Arc<dyn Clock>,
        report: impl Fn(&Error) + Send + 'static,
    ) -> Result<Self> {
        // What an earlier host has left is looked for first.
        let shared = Arc::new(Shared { due: AtomicI64::new(i64::MIN), ended: AtomicBool::new(false) });
        let alarm = clock.alarm();
        let rings = Arc::downgrade(&alarm);
        let round = Round {
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            alarm,
            shared: Arc::clone(&shared),
            report,
            fails: false,
        };
        let thread = thread::Builder::new().name("pintle-once".into()).spawn(move || round.run());
        let thread = thread.map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the thread of the idempotency service cannot be started: {error}"),
            )
        })?;
        Ok(Self { shared, alarm: rings, thread: Mutex::new(Some(thread)) })
    }

    /// A record was written that expires then.
    pub(super) fn note(&self, expires_ms: Option<i64>) {
        let Some(expires_ms) = expires_ms else { return };
        // Nearly all expire later than some that are there.
        if self.shared.due.fetch_min(expires_ms, AcqRel) > expires_ms {
            self.ring();
        }
    }

    /// Returns when the thread has ended.
    pub(super) fn end(&self) {
        self.shared.ended.store(true, Release);
        self.ring();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there has been written to stderr, and there is nothing to be saved from it.
            let _ = thread.join();
        }
    }

    fn ring(&self) {
        if let Some(alarm) = self.alarm.upgrade() {
            alarm.ring();
        }
    }
}

struct Round<R> {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    alarm: Arc<Alarm>,
    shared: Arc<Shared>,
    report: R,
    fails: bool,
}

impl<R: Fn(&Error)> Round<R> {
    fn run(mut self) {
        while !self.ended() {
            // Both before the work, so that time that passes meanwhile is not slept through.
            let (begun, now) = (self.clock.monotonic(), self.clock.now_ms());
            if self.shared.due.load(Acquire) <= now {
                let done = self.sweep();
                self.note(done);
            }
            let due = self.shared.due.load(Acquire).saturating_add(GRAIN);
            let sleep = due.saturating_sub(now).clamp(if self.fails { GRAIN } else { 0 }, LONGEST_SLEEP);
            let until = begun + Duration::from_millis(sleep.unsigned_abs());
            self.clock.wait(&self.alarm, Some(until));
        }
    }

    /// Removes what has expired.
    fn sweep(&self) -> Result<()> {
        // What is written from here on says for itself when it expires.
        self.shared.due.store(i64::MAX, Release);
        let swept = loop {
            match self.ledger.write(Sweep) {
                Ok(Swept { removed, .. }) if removed == STEP as usize && !self.ended() => thread::yield_now(),
                swept => break swept,
            }
        };
        let next = swept.as_ref().map_or(i64::MIN, |swept| swept.next.unwrap_or(i64::MAX));
        self.shared.due.fetch_min(next, AcqRel);
        swept.map(drop)
    }

    fn ended(&self) -> bool {
        self.shared.ended.load(Acquire)
    }

    /// Said once, until it has worked again.
    fn note(&mut self, done: Result<()>) {
        if let Err(error) = &done
            && !self.fails
            && !self.ended()
        {
            (self.report)(error);
        }
        self.fails = done.is_err();
    }
}

/// One step.
struct Sweep;

struct Swept {
    removed: usize,
    /// When the first of those that are left expires.
    next: Option<i64>,
}

impl Write for Sweep {
    type Answer = Swept;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Swept, Fault> {
        let removed = transaction
            .prepare(
                "DELETE FROM idempotency_records WHERE record IN (
                    SELECT record FROM idempotency_records WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2
                )",
            )?
            .execute([transaction.now_ms(), i64::from(STEP)])?;
        let next = transaction
            .prepare("SELECT min(expires_ms) FROM idempotency_records")?
            .query_row([], |row| row.get(0))?;
        Ok(Swept { removed, next })
    }

    fn size(&self) -> usize {
        0
    }
}
