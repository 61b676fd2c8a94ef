//! What is read from the log beside its writers: each question from one state of the tables, or so that it does not matter.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::log::{
        ConsumerName, ConsumerReport, DeadLetter, Extent, Logged, Of, Page, Position, Retry, bytes_of,
    },
    column,
    row::{self, columns, select},
};
use crate::{
    error::Result,
    services::ledger::{Fault, Ledger},
};

/// Rows that are looked through in one step where only some are wanted.
pub(super) const STEP: i64 = if cfg!(test) { 8 } else { 10_000 };

/// The sequence of the newest event that was ever written.
const LAST: &str =
    "SELECT coalesce((SELECT seq FROM events_log ORDER BY seq DESC LIMIT 1), seq) FROM events_cleared";

/// A page of events. Those of other tenants, and those that are damaged, lie between: it goes on until it has found one, or the end.
pub(super) fn page(ledger: &Ledger, after: u64, tenant: Option<&str>, most: usize) -> Result<Page> {
    let mut page = Page { events: Vec::new(), up_to: after };
    if most == 0 {
        return Ok(page);
    }
    while ledger.read(|ledger| more(ledger, tenant, most, &mut page))? && page.events.is_empty() {}
    Ok(page)
}

/// Goes on with the page; tells whether there may be more behind it.
fn more(ledger: &Connection, tenant: Option<&str>, most: usize, page: &mut Page) -> Result<bool, Fault> {
    let after = column(page.up_to);
    // What is written while this looks comes with the next page: everything up to here is there already.
    let last: i64 = ledger.prepare_cached(LAST)?.query_row([], |row| row.get(0))?;
    let mut all = ledger.prepare_cached(concat!(select!(), "WHERE seq > ?1 AND seq <= ?2 ORDER BY seq"))?;
    let mut some = ledger
        .prepare_cached(concat!(select!(), "WHERE seq > ?1 AND seq <= ?2 AND tenant = ?3 ORDER BY seq"))?;
    let (mut rows, end) = match tenant {
        None => (all.query([after, last])?, last),
        Some(tenant) => {
            // What was cleared is not looked through.
            let first = ledger
                .prepare_cached("SELECT seq FROM events_log WHERE seq > ?1 ORDER BY seq LIMIT 1")?
                .query_row([after], |row| row.get::<_, i64>(0))
                .optional()?;
            let end = first.map_or(last, |first| last.min(first.saturating_add(STEP)));
            (some.query(params![after, end, tenant])?, end)
        }
    };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let sequence: u64 = row.get(0)?;
        if let Some(logged) = row::logged(row) {
            bytes += bytes_of(&logged.event);
            if bytes > Page::BYTES && !page.events.is_empty() {
                return Ok(true);
            }
            page.events.push(logged);
        }
        page.up_to = sequence;
        if page.events.len() == most {
            return Ok(true);
        }
    }
    page.up_to = page.up_to.max(end.cast_unsigned());
    Ok(end < last)
}

/// These events, as far as they are there and whole.
pub(super) fn some(ledger: &Connection, sequences: &[i64]) -> Result<Vec<Logged>, Fault> {
    let mut find = ledger.prepare_cached(concat!(select!(), "WHERE seq = ?1"))?;
    let mut found = Vec::new();
    for sequence in sequences {
        found.extend(find.query_row([sequence], |row| Ok(row::logged(row))).optional()?.flatten());
    }
    Ok(found)
}

/// From its ends: nothing is counted.
pub(super) fn extent(ledger: &Connection) -> Result<Extent, Fault> {
    let mut ends = ledger.prepare_cached(
        "SELECT c.seq, c.total,
            coalesce((SELECT seq FROM events_log ORDER BY seq DESC LIMIT 1), c.seq),
            coalesce((SELECT total FROM events_log ORDER BY seq DESC LIMIT 1), c.total)
        FROM events_cleared c",
    )?;
    let [cleared, gone, last, total] =
        ends.query_row([], |row| Ok([row.get::<_, u64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    let (events, bytes) = (last.saturating_sub(cleared), total.saturating_sub(gone));
    Ok(Extent { first: cleared + 1, last, events, bytes })
}

/// Where a consumer stands; none: there is none of this name.
pub(super) fn position(ledger: &Connection, name: &ConsumerName) -> Result<Option<Position>, Fault> {
    // Several questions, one state.
    let state = ledger.unchecked_transaction()?;
    let found = state
        .prepare_cached(
            "SELECT consumer, floor FROM events_consumers WHERE plugin = ?1 AND tenant = ?2 AND name = ?3",
        )?
        .query_row(params![name.plugin, name.tenant, name.name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((consumer, floor)) = found else { return Ok(None) };
    let settled = state
        .prepare_cached("SELECT seq FROM events_settled WHERE consumer = ?1 ORDER BY seq")?
        .query_map([consumer], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let retries = state
        .prepare_cached(
            "SELECT seq, attempts, due_ms, reason FROM events_retries WHERE consumer = ?1 ORDER BY seq",
        )?
        .query_map([consumer], |row| {
            Ok(Retry {
                sequence: row.get(0)?,
                attempts: row.get(1)?,
                due_ms: row.get(2)?,
                reason: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Position { consumer, floor, settled, retries }))
}

pub(super) fn consumers(ledger: &Connection, of: &Of<'_>) -> Result<Vec<ConsumerReport>, Fault> {
    let mut list = ledger.prepare_cached(
        "SELECT plugin, tenant, name, consumer, floor,
            (SELECT count(*) FROM events_settled s WHERE s.consumer = c.consumer),
            (SELECT count(*) FROM events_retries r WHERE r.consumer = c.consumer),
            (SELECT count(*) FROM events_dead d WHERE d.consumer = c.consumer)
        FROM events_consumers c
        WHERE plugin = ifnull(?1, plugin) AND tenant = ifnull(?2, tenant) AND name = ifnull(?3, name)
        ORDER BY consumer",
    )?;
    let reports = list.query_map(params![of.plugin, of.tenant, of.name], |row| {
        Ok(ConsumerReport {
            name: name(row)?,
            consumer: row.get(3)?,
            floor: row.get(4)?,
            settled: row.get(5)?,
            retries: row.get(6)?,
            dead: row.get(7)?,
        })
    })?;
    Ok(reports.collect::<rusqlite::Result<_>>()?)
}

/// A consumer's name in the first three columns.
pub(super) fn name(row: &Row<'_>) -> rusqlite::Result<ConsumerName> {
    Ok(ConsumerName { plugin: row.get(0)?, tenant: row.get(1)?, name: row.get(2)? })
}

/// Those that are damaged are passed over.
pub(super) fn dead_letters(
    ledger: &Connection,
    of: &Of<'_>,
    after: u64,
    most: usize,
) -> Result<Vec<DeadLetter>, Fault> {
    let mut list = ledger.prepare_cached(concat!(
        "SELECT c.plugin, c.tenant AS whose, c.name, d.number, d.seq, d.attempts, d.reason, d.died_ms, d.consumer,
            d.",
        columns!(),
        " FROM events_dead d CROSS JOIN events_consumers c USING (consumer)
        WHERE number > ?1 AND c.plugin = ifnull(?2, c.plugin) AND c.tenant = ifnull(?3, c.tenant)
            AND c.name = ifnull(?4, c.name)
        ORDER BY number"
    ))?;
    let mut rows = list.query(params![column(after), of.plugin, of.tenant, of.name])?;
    let mut found = Vec::new();
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        found.extend(dead_letter(row));
    }
    Ok(found)
}

fn dead_letter(row: &Row<'_>) -> Option<DeadLetter> {
    Some(DeadLetter {
        consumer: name(row).ok()?,
        number: row.get(3).ok()?,
        sequence: row.get(4).ok()?,
        attempts: row.get(5).ok()?,
        reason: row.get(6).ok()?,
        died_ms: row.get(7).ok()?,
        event: row::event(row, 9)?.into(),
    })
}
