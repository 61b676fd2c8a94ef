//! What goes from the log: events and ids, from the oldest on and no further than the first that stays, a bounded number at once.

use rusqlite::{Connection, Rows};

use super::{
    super::log::{Cleared, ConsumerName, Retention},
    append::End,
    column, read,
};
use crate::services::ledger::{Fault, Transaction, Write};

/// The most rows of a table that one write deletes.
pub(super) const MOST_ROWS: usize = if cfg!(test) { 8 } else { 512 };

/// The bytes of events that one write deletes, and a little more if there is one event only.
const MOST_BYTES: i64 = 4 << 20;

/// The oldest events, and what a decision over them needs.
pub(super) const OLDEST: &str = "SELECT seq, logged_ms, bytes, total FROM events_log ORDER BY seq LIMIT ?1";

/// The oldest ids.
pub(super) const IDS: &str = "SELECT seq, logged_ms FROM events_ids ORDER BY seq LIMIT ?1";

/// The consumers that have not settled all up to a sequence.
pub(super) const LATE: &str = "SELECT plugin, tenant, name FROM events_consumers c
    WHERE floor < ?1 AND EXISTS (
        SELECT 1 FROM events_log l WHERE l.seq > c.floor AND l.seq <= ?1
            AND (c.tenant = '' OR l.tenant = c.tenant) AND ifnull(l.only_for, c.consumer) = c.consumer
            AND NOT EXISTS (SELECT 1 FROM events_settled s WHERE s.consumer = c.consumer AND s.seq = l.seq))
    ORDER BY consumer";

/// Takes away what need not be kept.
pub(super) struct Retain {
    pub(super) retention: Retention,
}

impl Write for Retain {
    type Answer = Cleared;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Cleared, Fault> {
        let total = End::of(transaction)?.total;
        let due = Due { retention: &self.retention, now_ms: transaction.now_ms(), total };
        let mut cleared = Cleared::default();
        let oldest = due.events(transaction.prepare(OLDEST)?.query([MOST_ROWS + 1])?)?;
        if let Some(upto) = oldest.upto {
            cleared.late = late(transaction, upto)?;
            transaction.prepare("DELETE FROM events_log WHERE seq <= ?1")?.execute([upto])?;
            transaction
                .prepare("UPDATE events_cleared SET seq = ?1, total = ?2")?
                .execute([upto, oldest.total])?;
        }
        let ids = due.ids(transaction.prepare(IDS)?.query([MOST_ROWS + 1])?)?;
        if let Some(upto) = ids.upto {
            transaction.prepare("DELETE FROM events_ids WHERE seq <= ?1")?.execute([upto])?;
        }
        cleared.events = oldest.rows as u64;
        cleared.bytes = oldest.bytes.cast_unsigned();
        cleared.more = oldest.more || ids.more;
        Ok(cleared)
    }

    fn size(&self) -> usize {
        0
    }
}

/// Whether there is anything to take away, seen by a reader: most times there is not, and no writer need wait for that answer.
pub(super) fn is_due(ledger: &Connection, retention: &Retention, now_ms: i64) -> Result<bool, Fault> {
    let total = ledger
        .prepare_cached("SELECT total FROM events_log ORDER BY seq DESC LIMIT 1")?
        .query([])?
        .next()?
        .map_or(Ok(0), |row| row.get(0))?;
    let due = Due { retention, now_ms, total };
    let events = due.events(ledger.prepare_cached(OLDEST)?.query([1])?)?;
    let ids = due.ids(ledger.prepare_cached(IDS)?.query([1])?)?;
    Ok(events.upto.is_some() || ids.upto.is_some())
}

/// What decides.
struct Due<'a> {
    retention: &'a Retention,
    now_ms: i64,
    /// The bytes of all events that were ever written.
    total: i64,
}

/// The front of a table that is due.
#[derive(Default)]
struct Front {
    /// The last row of it; none: there is none.
    upto: Option<i64>,
    rows: usize,
    bytes: i64,
    /// With the last row of it.
    total: i64,
    /// There is more than goes at once.
    more: bool,
}

impl Due<'_> {
    fn events(&self, mut rows: Rows<'_>) -> Result<Front, Fault> {
        let mut front = Front::default();
        while let Some(row) = rows.next()? {
            let (sequence, logged_ms, bytes, total) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            // It and all that are newer.
            let kept = self.total.saturating_sub(total).saturating_add(bytes);
            if !self.is_past(logged_ms, self.retention.age_ms) && kept <= column(self.retention.bytes) {
                break;
            }
            let too_many = front.bytes.saturating_add(bytes) > MOST_BYTES || front.rows == MOST_ROWS;
            if too_many && front.rows > 0 {
                front.more = true;
                break;
            }
            (front.upto, front.total) = (Some(sequence), total);
            front.bytes += bytes;
            front.rows += 1;
        }
        Ok(front)
    }

    fn ids(&self, mut rows: Rows<'_>) -> Result<Front, Fault> {
        let mut front = Front::default();
        while let Some(row) = rows.next()? {
            if !self.is_past(row.get(1)?, self.retention.dedupe_ms) {
                break;
            }
            if front.rows == MOST_ROWS {
                front.more = true;
                break;
            }
            front.upto = Some(row.get(0)?);
            front.rows += 1;
        }
        Ok(front)
    }

    fn is_past(&self, logged_ms: i64, span_ms: i64) -> bool {
        logged_ms.saturating_add(span_ms) <= self.now_ms
    }
}

/// The consumers that have not settled all that goes now. That what another tenant, or another consumer alone, was to have is not for
/// them can be seen here; what their patterns leave out cannot.
fn late(transaction: &Transaction<'_>, upto: i64) -> Result<Vec<ConsumerName>, Fault> {
    let mut late = transaction.prepare(LATE)?;
    Ok(late.query_map([upto], read::name)?.collect::<rusqlite::Result<_>>()?)
}
