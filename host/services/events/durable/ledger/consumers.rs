//! How consumers come, stand and go: the writes.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::{
    super::log::{ConsumerName, Dead, Retry, Settlement, Start},
    append::End,
    column,
    row::columns,
};
use crate::{
    error::{Error, ErrorKind},
    services::ledger::{Fault, Transaction, Write},
};

/// Makes a consumer, unless it is there.
pub(super) struct Join {
    pub(super) name: ConsumerName,
    pub(super) start: Start,
}

impl Write for Join {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let ConsumerName { plugin, tenant, name } = &self.name;
        let floor = floor(transaction, self.start)?;
        transaction
            .prepare(
                "INSERT INTO events_consumers (plugin, tenant, name, floor) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (plugin, tenant, name) DO NOTHING",
            )?
            .execute(params![plugin, tenant, name, floor])?;
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

/// What counts as settled for a consumer that begins there.
fn floor(transaction: &Transaction<'_>, start: Start) -> Result<i64, Fault> {
    let cleared =
        transaction.prepare("SELECT seq FROM events_cleared")?.query_row([], |row| row.get::<_, i64>(0))?;
    let last = End::of(transaction)?.sequence;
    Ok(match start {
        Start::New => last,
        Start::All => cleared,
        Start::Sequence(sequence) => column(sequence.saturating_sub(1)).max(cleared),
        Start::Time(ms) => first_since(transaction, cleared, last, ms)?.map_or(last, |first| first - 1),
    })
}

/// The first event that was written at this time or later.
fn first_since(
    transaction: &Transaction<'_>,
    cleared: i64,
    last: i64,
    ms: i64,
) -> Result<Option<i64>, Fault> {
    // The host's clock may have been set back, and the times with it; the latest time up to each event only grows.
    let (mut before, mut behind) = (cleared, last + 1);
    let mut peak =
        transaction.prepare("SELECT peak_ms FROM events_log WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    while before + 1 < behind {
        let middle = before + (behind - before) / 2;
        let peak = peak.query_row([middle], |row| row.get::<_, i64>(0)).optional()?;
        match peak {
            Some(peak) if peak < ms => before = middle,
            _ => behind = middle,
        }
    }
    // The latest time may be that of one that was cleared.
    let first = transaction
        .prepare("SELECT seq FROM events_log WHERE seq >= ?1 AND logged_ms >= ?2 ORDER BY seq LIMIT 1")?
        .query_row([behind, ms], |row| row.get(0))
        .optional()?;
    Ok(first)
}

/// Notes what has become of events.
pub(super) struct Settle {
    pub(super) consumer: u64,
    pub(super) settlement: Settlement,
}

impl Write for Settle {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let Settlement { floor, settled, retries, dead } = &self.settlement;
        let consumer = column(self.consumer);
        let before = transaction
            .prepare("SELECT floor FROM events_consumers WHERE consumer = ?1")?
            .query_row([consumer], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(before) = before else { return Err(gone(self.consumer).into()) };
        let floor = column(*floor).max(before);
        if floor > before {
            raise(transaction, consumer, floor)?;
        }
        for sequence in settled.iter().map(|sequence| column(*sequence)) {
            settle(transaction, consumer, floor, sequence)?;
        }
        for retry in retries {
            come_again(transaction, consumer, floor, retry)?;
        }
        for dead in dead {
            bury(transaction, consumer, dead)?;
            settle(transaction, consumer, floor, column(dead.sequence))?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let Settlement { settled, retries, dead, .. } = &self.settlement;
        64 * (1 + settled.len() + retries.len()) + 1_024 * dead.len()
    }
}

fn raise(transaction: &Transaction<'_>, consumer: i64, floor: i64) -> Result<(), Fault> {
    for statement in [
        "UPDATE events_consumers SET floor = ?2 WHERE consumer = ?1",
        "DELETE FROM events_settled WHERE consumer = ?1 AND seq <= ?2",
        "DELETE FROM events_retries WHERE consumer = ?1 AND seq <= ?2",
    ] {
        transaction.prepare(statement)?.execute([consumer, floor])?;
    }
    Ok(())
}

fn settle(transaction: &Transaction<'_>, consumer: i64, floor: i64, sequence: i64) -> Result<(), Fault> {
    if sequence > floor {
        transaction
            .prepare("INSERT INTO events_settled (consumer, seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute([consumer, sequence])?;
        transaction
            .prepare("DELETE FROM events_retries WHERE consumer = ?1 AND seq = ?2")?
            .execute([consumer, sequence])?;
    }
    Ok(())
}

fn come_again(transaction: &Transaction<'_>, consumer: i64, floor: i64, retry: &Retry) -> Result<(), Fault> {
    let Retry { sequence, attempts, due_ms, reason } = retry;
    let sequence = column(*sequence);
    if sequence > floor {
        transaction
            .prepare(
                "INSERT INTO events_retries (consumer, seq, attempts, due_ms, reason) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (consumer, seq) DO UPDATE SET attempts = ?3, due_ms = ?4, reason = ?5",
            )?
            .execute(params![consumer, sequence, attempts, due_ms, reason])?;
        transaction
            .prepare("DELETE FROM events_settled WHERE consumer = ?1 AND seq = ?2")?
            .execute([consumer, sequence])?;
    }
    Ok(())
}

/// Copies the event to the dead letters. One that is not in the log any more has left nothing to copy.
fn bury(transaction: &Transaction<'_>, consumer: i64, dead: &Dead) -> Result<(), Fault> {
    const COPY: &str = concat!(
        "INSERT INTO events_dead (consumer, seq, attempts, reason, died_ms, ",
        columns!(),
        ") SELECT ?1, seq, ?3, ?4, ?5, ",
        columns!(),
        " FROM events_log WHERE seq = ?2 ON CONFLICT (consumer, seq) DO NOTHING"
    );
    let Dead { sequence, attempts, reason } = dead;
    let now_ms = transaction.now_ms();
    transaction.prepare(COPY)?.execute(params![consumer, column(*sequence), attempts, reason, now_ms])?;
    Ok(())
}

fn gone(consumer: u64) -> Error {
    let what = format!("there is no durable subscription number {consumer} any more");
    Error::new(ErrorKind::NotFound, what).mend("subscribe again: it begins anew")
}

/// Forgets consumers, and all that is known of them.
pub(super) struct Forget {
    pub(super) plugin: Option<Arc<str>>,
    pub(super) tenant: Option<Arc<str>>,
    pub(super) name: Option<Arc<str>>,
}

impl Write for Forget {
    /// How many there were.
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let Self { plugin, tenant, name } = self;
        let consumers = transaction
            .prepare(
                "SELECT consumer FROM events_consumers WHERE plugin = ifnull(?1, plugin)
                    AND tenant = ifnull(?2, tenant) AND name = ifnull(?3, name)",
            )?
            .query_map(params![plugin, tenant, name], |row| row.get::<_, i64>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for consumer in &consumers {
            for statement in [
                "DELETE FROM events_consumers WHERE consumer = ?1",
                "DELETE FROM events_settled WHERE consumer = ?1",
                "DELETE FROM events_retries WHERE consumer = ?1",
                "DELETE FROM events_dead WHERE consumer = ?1",
            ] {
                transaction.prepare(statement)?.execute([consumer])?;
            }
        }
        Ok(consumers.len() as u64)
    }

    fn size(&self) -> usize {
        0
    }
}

/// Forgets dead letters.
pub(super) struct DropDead {
    pub(super) numbers: Vec<i64>,
}

impl Write for DropDead {
    /// How many there were.
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let mut delete = transaction.prepare("DELETE FROM events_dead WHERE number = ?1")?;
        let mut dropped = 0;
        for number in &self.numbers {
            dropped += delete.execute([number])? as u64;
        }
        Ok(dropped)
    }

    fn size(&self) -> usize {
        0
    }
}
