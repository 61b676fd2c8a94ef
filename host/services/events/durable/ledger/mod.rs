//! The event log on the ledger: its tables, and who answers what.
//!
//! Events lie in the order of their sequences, which is that of their commits, and go from the front. So what would have to be counted
//! is the difference of the two ends: each row knows the bytes of all that were ever written up to it, and one row of another table
//! what was cleared. To append is one look at the last row and one insert. `append.rs` writes events, `consumers.rs` what becomes of
//! them, `retain.rs` takes them away, `read.rs` reads; `row.rs` knows the columns of an event.

mod append;
mod consumers;
mod read;
mod retain;
mod row;
#[cfg(test)]
pub(super) mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use self::{
    append::{Append, Replay},
    consumers::{DropDead, Forget, Join, Settle},
    retain::Retain,
};
use super::log::{
    Appended, Cleared, ConsumerName, ConsumerReport, DeadLetter, EventLog, Extent, Logged, NewEvent, Of,
    Page, Position, Retention, Settlement, Start,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::Clock,
        ledger::{Fault, Ledger, Schema, Write},
    },
};

/// The tables. `seq` is an event's sequence; in `events_cleared`, which has one row, that of the last one that is gone. `peak_ms` is the
/// highest `logged_ms` up to a row, `total` the bytes of all events that were ever written up to it. `events_ids` outlives the events.
pub(crate) const SCHEMA: Schema = Schema {
    service: "events",
    steps: &["
        CREATE TABLE events_log (
            seq INTEGER PRIMARY KEY,
            logged_ms INTEGER NOT NULL,
            peak_ms INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            total INTEGER NOT NULL,
            only_for INTEGER,
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            source TEXT NOT NULL,
            type TEXT NOT NULL,
            subject TEXT NOT NULL,
            content_type TEXT NOT NULL,
            key TEXT NOT NULL,
            time_ms INTEGER NOT NULL,
            depth INTEGER NOT NULL,
            extensions TEXT,
            data BLOB NOT NULL
        ) STRICT;
        CREATE TABLE events_cleared (seq INTEGER NOT NULL, total INTEGER NOT NULL) STRICT;
        INSERT INTO events_cleared VALUES (0, 0);
        CREATE TABLE events_ids (
            seq INTEGER PRIMARY KEY,
            logged_ms INTEGER NOT NULL,
            tenant TEXT NOT NULL,
            source TEXT NOT NULL,
            id TEXT NOT NULL,
            UNIQUE (tenant, source, id)
        ) STRICT;
        CREATE TABLE events_consumers (
            consumer INTEGER PRIMARY KEY AUTOINCREMENT,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            floor INTEGER NOT NULL,
            UNIQUE (plugin, tenant, name)
        ) STRICT;
        CREATE TABLE events_settled (
            consumer INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (consumer, seq)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE events_retries (
            consumer INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            due_ms INTEGER NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (consumer, seq)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE events_dead (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            consumer INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            reason TEXT NOT NULL,
            died_ms INTEGER NOT NULL,
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            source TEXT NOT NULL,
            type TEXT NOT NULL,
            subject TEXT NOT NULL,
            content_type TEXT NOT NULL,
            key TEXT NOT NULL,
            time_ms INTEGER NOT NULL,
            depth INTEGER NOT NULL,
            extensions TEXT,
            data BLOB NOT NULL,
            UNIQUE (consumer, seq)
        ) STRICT;
    "],
};

/// The log that is always there.
pub(crate) struct LedgerLog {
    ledger: Arc<Ledger>,
    /// Only to see whether a write is worth while; what is written has the time of its transaction.
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
}

impl LedgerLog {
    /// The ledger must have been opened with [`SCHEMA`], and by the same clock.
    pub(crate) fn new(ledger: Arc<Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock, closed: AtomicBool::new(false) }
    }

    fn open(&self) -> Result<&Ledger> {
        if self.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the event log has been closed"));
        }
        Ok(&self.ledger)
    }

    fn change<W: Write>(&self, write: W) -> Result<W::Answer> {
        self.open()?.write(write)
    }

    fn look<T>(&self, look: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault>) -> Result<T> {
        self.open()?.read(look)
    }
}

impl EventLog for LedgerLog {
    fn append(&self, events: &[NewEvent]) -> Result<Vec<Appended>> {
        if events.is_empty() {
            return self.open().map(|_| Vec::new());
        }
        self.change(Append::new(events))
    }

    fn read(&self, after: u64, tenant: Option<&str>, most: usize) -> Result<Page> {
        read::page(self.open()?, after, tenant, most)
    }

    fn get(&self, sequences: &[u64]) -> Result<Vec<Logged>> {
        let mut sequences: Vec<i64> = sequences.iter().copied().map(column).collect();
        sequences.sort_unstable();
        sequences.dedup();
        self.look(|ledger| read::some(ledger, &sequences))
    }

    fn extent(&self) -> Result<Extent> {
        self.look(read::extent)
    }

    fn join(&self, name: &ConsumerName, start: Start) -> Result<Position> {
        loop {
            if let Some(position) = self.look(|ledger| read::position(ledger, name))? {
                return Ok(position);
            }
            // Whoever forgets it before it is read makes it begin once more.
            self.change(Join { name: name.clone(), start })?;
        }
    }

    fn settle(&self, consumer: u64, settlement: &Settlement) -> Result<()> {
        self.change(Settle { consumer, settlement: settlement.clone() })
    }

    fn consumers(&self, of: &Of<'_>) -> Result<Vec<ConsumerReport>> {
        self.look(|ledger| read::consumers(ledger, of))
    }

    fn dead_letters(&self, of: &Of<'_>, after: u64, most: usize) -> Result<Vec<DeadLetter>> {
        self.look(|ledger| read::dead_letters(ledger, of, after, most))
    }

    fn replay(&self, numbers: &[u64]) -> Result<Vec<Logged>> {
        if numbers.is_empty() {
            return self.open().map(|_| Vec::new());
        }
        self.change(Replay { numbers: numbers.iter().copied().map(column).collect() })
    }

    fn drop_dead(&self, numbers: &[u64]) -> Result<u64> {
        if numbers.is_empty() {
            return self.open().map(|_| 0);
        }
        self.change(DropDead { numbers: numbers.iter().copied().map(column).collect() })
    }

    fn retain(&self, retention: &Retention) -> Result<Cleared> {
        let now_ms = self.clock.now_ms();
        if !self.look(|ledger| retain::is_due(ledger, retention, now_ms))? {
            return Ok(Cleared::default());
        }
        self.change(Retain { retention: *retention })
    }

    fn forget(&self, of: &Of<'_>) -> Result<u64> {
        let owned = |text: Option<&str>| text.map(Into::into);
        self.change(Forget { plugin: owned(of.plugin), tenant: owned(of.tenant), name: owned(of.name) })
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

/// A number as a column has it: SQLite knows no 64 bits without a sign. None is ever that high.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
