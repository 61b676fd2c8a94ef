//! How events come into the log: new ones, and dead letters once more.
//!
//! The next sequence is that behind the newest row, or behind what was cleared last. Both are read in the transaction of the write,
//! and SQLite has one writer: what a savepoint or a full disk undoes takes its sequences with it before anybody has seen them, and
//! what is committed later has a higher one.

use rusqlite::{CachedStatement, OptionalExtension, params};

use super::{
    super::log::{Appended, Dedupe, Logged, NewEvent, bytes_of},
    column,
    row::{self, columns},
};
use crate::services::{
    events::Event,
    ledger::{Fault, Transaction, Write},
};

/// Where the log ends.
pub(super) struct End {
    pub(super) sequence: i64,
    /// The bytes of all events that were ever written.
    pub(super) total: i64,
    /// The latest time at which an event was written that is there.
    peak_ms: i64,
}

impl End {
    pub(super) fn of(transaction: &Transaction<'_>) -> Result<Self, Fault> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self { sequence: row.get(0)?, total: row.get(1)?, peak_ms: row.get(2)? })
        };
        let newest = transaction
            .prepare("SELECT seq, total, peak_ms FROM events_log ORDER BY seq DESC LIMIT 1")?
            .query_row([], read)
            .optional()?;
        Ok(match newest {
            Some(newest) => newest,
            None => transaction
                .prepare("SELECT seq, total, ?1 FROM events_cleared")?
                .query_row([i64::MIN], read)?,
        })
    }
}

/// Writes events behind the end of the log.
struct Pen<'a> {
    insert: CachedStatement<'a>,
    end: End,
    now_ms: i64,
}

impl<'a> Pen<'a> {
    fn new(transaction: &Transaction<'a>) -> Result<Self, Fault> {
        const INSERT: &str = concat!(
            "INSERT INTO events_log (seq, logged_ms, peak_ms, bytes, total, only_for, ",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
        );
        let (insert, end) = (transaction.prepare(INSERT)?, End::of(transaction)?);
        Ok(Self { insert, end, now_ms: transaction.now_ms() })
    }

    /// Writes the event, and answers its sequence.
    fn write(
        &mut self,
        event: &Event,
        extensions: Option<&str>,
        bytes: u64,
        only: Option<i64>,
    ) -> Result<i64, Fault> {
        let bytes = column(bytes);
        let End { sequence, total, peak_ms } = &mut self.end;
        *sequence += 1;
        *total = total.saturating_add(bytes);
        *peak_ms = self.now_ms.max(*peak_ms);
        self.insert.execute(params![
            *sequence,
            self.now_ms,
            *peak_ms,
            bytes,
            *total,
            only,
            event.tenant,
            event.id,
            event.source,
            event.topic.as_str(),
            event.subject,
            event.content_type,
            event.key,
            event.time_ms,
            event.depth,
            extensions,
            &*event.data,
        ])?;
        Ok(*sequence)
    }
}

/// Writes events, all of them or none.
pub(super) struct Append {
    events: Vec<Prepared>,
}

/// An event with what the caller's thread can do for it: whoever leads has others waiting.
struct Prepared {
    new: NewEvent,
    extensions: Option<String>,
    bytes: u64,
}

impl Append {
    pub(super) fn new(events: &[NewEvent]) -> Self {
        let prepare = |new: &NewEvent| Prepared {
            new: new.clone(),
            extensions: row::extensions(&new.event),
            bytes: bytes_of(&new.event),
        };
        Self { events: events.iter().map(prepare).collect() }
    }
}

impl Write for Append {
    type Answer = Vec<Appended>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        let mut pen = Pen::new(transaction)?;
        let mut answer = Vec::with_capacity(self.events.len());
        for Prepared { new: NewEvent { event, dedupe }, extensions, bytes } in &self.events {
            let before = before(transaction, event, *dedupe)?;
            let sequence = match before {
                Some(before) => before,
                None => pen.write(event, extensions.as_deref(), *bytes, None)?,
            };
            if before.is_none() && *dedupe != Dedupe::Never {
                note(transaction, event, sequence)?;
            }
            answer.push(Appended { sequence: sequence.cast_unsigned(), duplicate: before.is_some() });
        }
        Ok(answer)
    }

    fn size(&self) -> usize {
        self.events.iter().map(|event| usize::try_from(event.bytes).unwrap_or(usize::MAX)).sum()
    }
}

/// The sequence of the same event, if it was written before.
fn before(transaction: &Transaction<'_>, event: &Event, dedupe: Dedupe) -> Result<Option<i64>, Fault> {
    let since_ms = match dedupe {
        Dedupe::Never => return Ok(None),
        Dedupe::Within(ms) => transaction.now_ms().saturating_sub(ms),
        Dedupe::Known => i64::MIN,
    };
    let mut find = transaction.prepare(
        "SELECT seq FROM events_ids WHERE tenant = ?1 AND source = ?2 AND id = ?3 AND (logged_ms > ?4 OR ?5)",
    )?;
    let known = dedupe == Dedupe::Known;
    let found =
        find.query_row(params![event.tenant, event.source, event.id, since_ms, known], |row| row.get(0));
    Ok(found.optional()?)
}

/// Keeps the id, so that the event is known when it comes again.
fn note(transaction: &Transaction<'_>, event: &Event, sequence: i64) -> Result<(), Fault> {
    transaction
        .prepare(
            "INSERT INTO events_ids (seq, logged_ms, tenant, source, id) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, source, id) DO UPDATE SET seq = ?1, logged_ms = ?2",
        )?
        .execute(params![sequence, transaction.now_ms(), event.tenant, event.source, event.id])?;
    Ok(())
}

/// Writes dead letters anew, and forgets them.
pub(super) struct Replay {
    pub(super) numbers: Vec<i64>,
}

impl Write for Replay {
    type Answer = Vec<Logged>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        const FIND: &str = concat!("SELECT consumer, ", columns!(), " FROM events_dead WHERE number = ?1");
        let mut pen = Pen::new(transaction)?;
        let mut find = transaction.prepare(FIND)?;
        let mut delete = transaction.prepare("DELETE FROM events_dead WHERE number = ?1")?;
        let mut answer = Vec::new();
        for number in &self.numbers {
            let dead = find.query_row([number], |row| Ok((row.get::<_, i64>(0)?, row::event(row, 1))));
            // One that is damaged stays: it can be dropped.
            let Some((consumer, Some(event))) = dead.optional()? else { continue };
            let sequence =
                pen.write(&event, row::extensions(&event).as_deref(), bytes_of(&event), Some(consumer))?;
            delete.execute([number])?;
            answer.push(Logged {
                sequence: sequence.cast_unsigned(),
                logged_ms: pen.now_ms,
                only: Some(consumer.cast_unsigned()),
                event: event.into(),
            });
        }
        Ok(answer)
    }

    fn size(&self) -> usize {
        0
    }
}
