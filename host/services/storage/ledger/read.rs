//! What is asked of the tables. Each answer is one statement, so that it is from one state of them.
//!
//! An item that has expired may lie there for a moment. A listing looks at the index of those that expire for the ones that
//! have, which are few, and so need not look at the items themselves.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{Info, Usage},
    state::{Numbers, Place},
};
use crate::{
    error::Result,
    services::{
        keys::Key,
        ledger::{Fault, Ledger},
    },
};

/// Lends the item's value and what is known of it, if it is there. `now` is asked only of an item that expires.
pub(super) fn get(
    ledger: &Ledger,
    numbers: &Numbers,
    place: &Place,
    key: Key<'_>,
    now: impl Fn() -> i64,
    read: &mut dyn FnMut(&[u8], Info),
) -> Result<bool> {
    // A scope that gets another number meanwhile is cleared meanwhile.
    let number = numbers.find(place);
    ledger.read(|ledger| {
        let mut lend = |row: &Row<'_>| {
            let info = Info {
                version: row.get(1)?,
                created_ms: row.get(2)?,
                updated_ms: row.get(3)?,
                expires_ms: row.get(4)?,
            };
            if info.expires_ms.is_some_and(|at| at <= now()) {
                return Ok(false);
            }
            read(row.get_ref(0)?.as_blob()?, info);
            Ok(true)
        };
        let unknown = match number {
            Ok(number) => {
                let mut find = ledger.prepare_cached(
                    "SELECT value, version, created_ms, updated_ms, expires_ms
                    FROM storage_items WHERE scope = ?1 AND key = ?2",
                )?;
                let found = find.query_row(params![number, bytes(key)], lend).optional()?;
                return Ok(found.unwrap_or(false));
            }
            Err(unknown) => unknown,
        };
        let mut find = ledger.prepare_cached(
            "SELECT value, version, created_ms, updated_ms, expires_ms, scope
            FROM storage_scopes JOIN storage_items USING (scope)
            WHERE plugin = ?1 AND tenant = ?2 AND key = ?3",
        )?;
        let found = find.query_row(params![place.plugin, place.tenant, bytes(key)], |row| {
            numbers.learn(place, row.get(5)?, unknown);
            lend(row)
        });
        Ok(found.optional()?.unwrap_or(false))
    })
}

pub(super) fn exists(ledger: &Ledger, place: &Place, key: Key<'_>, now: impl Fn() -> i64) -> Result<bool> {
    ledger.read(|ledger| {
        let expires: Option<Option<i64>> = ledger
            .prepare_cached(
                "SELECT expires_ms FROM storage_scopes JOIN storage_items USING (scope)
                WHERE plugin = ?1 AND tenant = ?2 AND key = ?3",
            )?
            .query_row(params![place.plugin, place.tenant, bytes(key)], |row| row.get(0))
            .optional()?;
        Ok(expires.is_some_and(|expires| expires.is_none_or(|at| at > now())))
    })
}

/// The first keys between two. A test counts what it costs.
pub(in super::super) const LIST_KEYS: &str = "
    SELECT key FROM storage_items
    WHERE scope = (SELECT scope FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2)
        AND key >= ?3 AND key < ?4
        AND version NOT IN (
            SELECT version FROM storage_items INDEXED BY storage_expiring
            WHERE expires_ms <= ?6
                AND scope = (SELECT scope FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2)
        )
    ORDER BY key LIMIT ?5
";

/// The first `limit` keys that begin with `prefix`, behind `after` if there is one.
pub(super) fn keys(
    ledger: &Ledger,
    place: &Place,
    prefix: &str,
    after: Option<Key<'_>>,
    limit: usize,
    now: i64,
) -> Result<Vec<String>> {
    // The first key that may be listed: the prefix itself, or the one right behind `after`.
    let mut first = prefix.as_bytes().to_vec();
    if let Some(after) = after.filter(|after| bytes(*after) >= prefix.as_bytes()) {
        first = [bytes(after), b"\0"].concat();
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ledger.read(|ledger| {
        let mut list = ledger.prepare_cached(LIST_KEYS)?;
        let keys = list
            .query_map(params![place.plugin, place.tenant, first, behind(prefix), limit, now], |row| {
                text(row, 0)
            })?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    })
}

/// What the scope has.
pub(super) fn usage_of(ledger: &Ledger, place: &Place, now: i64) -> Result<Usage> {
    ledger.read(|ledger| {
        let found = ledger
            .prepare_cached(
                "SELECT plugin, tenant, items - count(version),
                    bytes - coalesce(sum(length(key) + length(value)), 0)
                FROM storage_scopes s LEFT JOIN storage_items i INDEXED BY storage_expiring
                    ON i.scope = s.scope AND expires_ms <= ?3
                WHERE plugin = ?1 AND tenant = ?2 GROUP BY s.scope",
            )?
            .query_row(params![place.plugin, place.tenant, now], usage_in)
            .optional()?;
        let (plugin, tenant) = (Arc::clone(&place.plugin), Arc::clone(&place.tenant));
        Ok(found.unwrap_or(Usage { plugin, tenant, items: 0, bytes: 0 }))
    })
}

/// What each scope has that has anything.
pub(super) fn usage(ledger: &Ledger, now: i64) -> Result<Vec<Usage>> {
    ledger.read(|ledger| {
        let mut list = ledger.prepare_cached(
            "WITH expired AS MATERIALIZED (
                SELECT scope, count(*) AS items, sum(length(key) + length(value)) AS bytes
                FROM storage_items INDEXED BY storage_expiring WHERE expires_ms <= ?1 GROUP BY scope
            )
            SELECT plugin, tenant, s.items - coalesce(e.items, 0), s.bytes - coalesce(e.bytes, 0)
            FROM storage_scopes s LEFT JOIN expired e USING (scope)
            WHERE s.items > coalesce(e.items, 0)",
        )?;
        let usage = list.query_map([now], usage_in)?;
        Ok(usage.collect::<rusqlite::Result<_>>()?)
    })
}

fn usage_in(row: &Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage { plugin: row.get(0)?, tenant: row.get(1)?, items: row.get(2)?, bytes: row.get(3)? })
}

/// The number that is all that a statement tells, if it tells one.
pub(super) fn number(connection: &Connection, statement: &str) -> Result<Option<i64>, Fault> {
    Ok(connection.prepare_cached(statement)?.query_row([], |row| row.get(0)).optional()?.flatten())
}

/// The text in a column that has bytes.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let text = String::from_utf8(row.get(column)?);
    text.map_err(|error| rusqlite::Error::Utf8Error(column, error.utf8_error()))
}

fn bytes(key: Key<'_>) -> &[u8] {
    key.as_str().as_bytes()
}

/// What is behind everything that begins with the prefix.
pub(super) fn behind(prefix: &str) -> Vec<u8> {
    let mut behind = prefix.as_bytes().to_vec();
    match behind.last_mut() {
        // No byte of UTF-8 is 0xFF, so one more is always a byte.
        Some(last) => *last += 1,
        None => behind.push(0xff),
    }
    behind
}
