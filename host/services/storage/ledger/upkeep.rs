//! What is done beside the callers, on a thread of its own: what has expired is removed at its time, what was cleared is
//! deleted, and removals are forgotten.
//!
//! All of it as small writes of the ledger, between which those who wait to write have their turn.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicI64, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Row, Rows, params};

use super::{
    StorageOptions,
    clear::Erase,
    read::number,
    removals::{Forget, Prune, Sweep},
    state::State,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::Alarm,
        ledger::{Fault, Ledger},
    },
};

/// The most rows that one write deletes.
pub(super) const MOST_ROWS: usize = 500;

/// The most bytes that one write deletes, unless one row has more.
const MOST_BYTES: i64 = 4 << 20;

/// How long it waits before it tries again what has failed.
const RETRY: Duration = Duration::from_secs(1);

/// How long it sleeps at most while something expires later: somebody may set the time of day.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Whether there may be more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Last,
}

/// As many rows as one write should delete. The column `size` tells how many bytes a row has.
pub(super) fn few<T>(
    mut rows: Rows<'_>,
    size: usize,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<(Vec<T>, Step), Fault> {
    let (mut few, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, i64>(size)?;
        if few.len() == MOST_ROWS || (bytes > MOST_BYTES && !few.is_empty()) {
            return Ok((few, Step::More));
        }
        few.push(read(row)?);
    }
    Ok((few, Step::Last))
}

/// What writes tell the thread.
pub(super) struct Due {
    alarm: Arc<Alarm>,
    /// When the next item expires, or earlier; `i64::MAX`: none does.
    soonest: AtomicI64,
    /// There may be items of a cleared scope.
    cleared: AtomicBool,
    /// So many removals are remembered, or fewer.
    removals: AtomicU64,
    most_removals: u64,
}

impl Due {
    /// Everything may be due.
    pub(super) fn new(alarm: Arc<Alarm>, most_removals: u64) -> Self {
        alarm.ring();
        Self {
            alarm,
            soonest: AtomicI64::new(i64::MIN),
            cleared: AtomicBool::new(true),
            removals: AtomicU64::new(most_removals.saturating_add(1)),
            most_removals,
        }
    }

    pub(super) fn expires(&self, at_ms: i64) {
        if self.soonest.fetch_min(at_ms, SeqCst) > at_ms {
            self.alarm.ring();
        }
    }

    pub(super) fn cleared(&self) {
        self.cleared.store(true, SeqCst);
        self.alarm.ring();
    }

    pub(super) fn removed(&self, count: u64) {
        if self.removals.fetch_add(count, SeqCst).saturating_add(count) > self.most_removals {
            self.alarm.ring();
        }
    }
}

/// The thread.
pub(super) struct Upkeep {
    ended: Arc<AtomicBool>,
    alarm: Arc<Alarm>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    pub(super) fn start(ledger: &Arc<Ledger>, state: &Arc<State>, options: StorageOptions) -> Result<Self> {
        let ended = Arc::<AtomicBool>::default();
        let alarm = Arc::clone(&state.due.alarm);
        let rounds = Rounds {
            ledger: Arc::clone(ledger),
            state: Arc::clone(state),
            options,
            ended: Arc::clone(&ended),
            forgets_at: Duration::ZERO,
            fails: false,
        };
        let thread = thread::Builder::new().name("pintle-storage".into()).spawn(move || rounds.run());
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the storage's thread cannot be started: {error}"))
        })?;
        Ok(Self { ended, alarm, thread })
    }

    /// Returns when the thread has ended. What it has not done is done after the next start.
    pub(super) fn end(self) {
        self.ended.store(true, Relaxed);
        self.alarm.ring();
        // A panic there has been written to stderr, and there is nothing to be saved from it.
        let _ = self.thread.join();
    }
}

struct Rounds {
    ledger: Arc<Ledger>,
    state: Arc<State>,
    options: StorageOptions,
    ended: Arc<AtomicBool>,
    /// When it looks next for what is old enough to be forgotten.
    forgets_at: Duration,
    fails: bool,
}

impl Rounds {
    fn run(mut self) {
        let mut until = Duration::ZERO;
        loop {
            self.options.clock.wait(&self.state.due.alarm, Some(until));
            if self.has_ended() {
                break;
            }
            let done = self.round();
            until = match &done {
                Ok(()) => self.next(),
                Err(_) => self.options.clock.monotonic() + RETRY,
            };
            self.note(done);
        }
        self.state.due.alarm.leave();
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    fn round(&mut self) -> Result<()> {
        self.erase()?;
        self.sweep()?;
        self.limit_removals()?;
        self.forget()
    }

    /// Deletes what was cleared.
    fn erase(&self) -> Result<()> {
        if !self.state.due.cleared.swap(false, SeqCst) {
            return Ok(());
        }
        let erased = loop {
            match self.ledger.read(|ledger| number(ledger, "SELECT min(scope) FROM storage_cleared")) {
                Ok(Some(scope)) => match self.repeat(|| self.ledger.write(Erase { scope })) {
                    Ok(()) if !self.has_ended() => {}
                    ended => break ended,
                },
                none => break none.map(drop),
            }
        };
        if erased.is_err() {
            self.state.due.cleared.store(true, SeqCst);
        }
        erased
    }

    /// Removes what has expired.
    fn sweep(&self) -> Result<()> {
        let due = &self.state.due;
        if due.soonest.load(SeqCst) > self.options.clock.now_ms() {
            return Ok(());
        }
        // What is written from here on tells for itself when it expires.
        due.soonest.store(i64::MAX, SeqCst);
        let mut first = None;
        let swept = self.repeat(|| {
            let soonest = "SELECT min(expires_ms) FROM storage_items WHERE expires_ms IS NOT NULL";
            first = self.ledger.read(|ledger| number(ledger, soonest))?;
            if first.is_none_or(|first| first > self.options.clock.now_ms()) {
                return Ok(Step::Last);
            }
            self.ledger.write(Sweep { state: Arc::clone(&self.state) })?;
            Ok(Step::More)
        });
        // Nobody is to be woken: this thread looks at it before it sleeps.
        let soonest = if swept.is_ok() { first.unwrap_or(i64::MAX) } else { i64::MIN };
        due.soonest.fetch_min(soonest, SeqCst);
        swept
    }

    /// Forgets the oldest removals where there are too many.
    fn limit_removals(&self) -> Result<()> {
        let (due, most) = (&self.state.due, self.options.most_removals);
        // Again for those that came meanwhile.
        while due.removals.load(SeqCst) > most && !self.has_ended() {
            // What is removed from here on counts anew.
            due.removals.store(0, SeqCst);
            let left = self.prune_to(most);
            due.removals.fetch_add(left.as_ref().map_or(most.saturating_add(1), |left| *left), SeqCst);
            left?;
        }
        Ok(())
    }

    /// Forgets more removals than must be, so that the next one is not too many again; tells how many are left.
    fn prune_to(&self, most: u64) -> Result<u64> {
        let count = "SELECT count(*) FROM storage_removed";
        let mut left = self.ledger.read(|ledger| number(ledger, count))?.map_or(0, i64::cast_unsigned);
        let most = if left > most { most - most / 16 } else { most };
        while left > most && !self.has_ended() {
            let pruned = self.ledger.write(Prune { until_ms: i64::MIN, excess: left - most })?;
            left = left.saturating_sub(pruned.max(1));
        }
        Ok(left)
    }

    /// Forgets what is old enough, now and then.
    fn forget(&mut self) -> Result<()> {
        let now = self.options.clock.monotonic();
        if now < self.forgets_at {
            return Ok(());
        }
        let remembered = i64::try_from(self.options.remembered.as_millis()).unwrap_or(i64::MAX);
        let until_ms = self.options.clock.now_ms().saturating_sub(remembered);
        self.repeat(|| {
            let oldest = "SELECT at_ms FROM storage_removed ORDER BY version LIMIT 1";
            let oldest = self.ledger.read(|ledger| number(ledger, oldest))?;
            if oldest.is_none_or(|oldest| oldest > until_ms) {
                return Ok(Step::Last);
            }
            let pruned = self.ledger.write(Prune { until_ms, excess: 0 })?;
            Ok(if pruned == 0 { Step::Last } else { Step::More })
        })?;
        self.repeat(|| {
            let there_are = "SELECT EXISTS (
                SELECT 1 FROM storage_scopes s
                WHERE items = 0 AND (cleared_ms IS NULL OR cleared_ms <= ?1)
                    AND NOT EXISTS (SELECT 1 FROM storage_removed r WHERE r.scope = s.scope)
            )";
            let there_are = self.ledger.read(|ledger| {
                Ok(ledger.query_row(there_are, params![until_ms], |row| row.get::<_, bool>(0))?)
            })?;
            if !there_are {
                return Ok(Step::Last);
            }
            let forgotten = self.ledger.write(Forget { state: Arc::clone(&self.state), until_ms })?;
            Ok(if forgotten.is_empty() { Step::Last } else { Step::More })
        })?;
        self.forgets_at = now + self.options.remembered / 24;
        Ok(())
    }

    fn repeat(&self, mut step: impl FnMut() -> Result<Step>) -> Result<()> {
        while !self.has_ended() {
            if step()? == Step::Last {
                break;
            }
        }
        Ok(())
    }

    /// When there is something to do, if nobody rings before.
    fn next(&self) -> Duration {
        let clock = &self.options.clock;
        let soonest = self.state.due.soonest.load(SeqCst);
        if soonest == i64::MAX {
            return self.forgets_at;
        }
        let ms = u64::try_from(soonest.saturating_sub(clock.now_ms())).unwrap_or(0);
        let until = clock.monotonic() + Duration::from_millis(ms).min(LONGEST_SLEEP);
        until.min(self.forgets_at)
    }

    /// Said once, until it has worked again.
    fn note(&mut self, done: Result<()>) {
        if let Err(error) = &done
            && !self.fails
            && !self.has_ended()
        {
            (self.options.report)(error);
        }
        self.fails = done.is_err();
    }
}
