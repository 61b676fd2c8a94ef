//! The storage on the ledger: its tables, and its writes as values.
//!
//! A scope is a row (plugin, tenant) with a number, and with what it has: so an item's key is short in the index, and
//! nobody counts items to tell how many there are. An item is found by the index over (scope, key), which alone is read
//! to list keys: with the values in one tree with the keys, as WITHOUT ROWID would have them, a listing would walk
//! through values of up to 4 MiB. Keys are blobs, which SQLite orders by their bytes.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::{Info, StorageBackend, Usage, Written};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{
        keys::Key,
        ledger::{Fault, Ledger, Schema, Transaction, Write},
    },
};

/// The tables. The one row of `storage_sequence` has the version that was given last: it outlives the items, so that
/// no version comes twice.
pub(crate) const SCHEMA: Schema = Schema {
    service: "storage",
    steps: &["
        CREATE TABLE storage_scopes (
            scope INTEGER PRIMARY KEY,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            items INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            UNIQUE (plugin, tenant)
        ) STRICT;
        CREATE TABLE storage_items (
            item INTEGER PRIMARY KEY,
            scope INTEGER NOT NULL,
            key BLOB NOT NULL,
            version INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            value BLOB NOT NULL,
            UNIQUE (scope, key)
        ) STRICT;
        CREATE TABLE storage_sequence (version INTEGER NOT NULL) STRICT;
        INSERT INTO storage_sequence VALUES (0);
    "],
};

/// The back end that is always there.
pub(crate) struct LedgerStorage {
    ledger: Arc<Ledger>,
}

impl LedgerStorage {
    /// The ledger must have been opened with [`SCHEMA`].
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

impl StorageBackend for LedgerStorage {
    fn get(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<Option<(Vec<u8>, Info)>> {
        let Place { plugin, tenant } = Place::of(scope)?;
        self.ledger.read(|ledger| {
            let mut find = ledger.prepare_cached(
                "SELECT value, version, created_ms, updated_ms
                FROM storage_scopes JOIN storage_items USING (scope)
                WHERE plugin = ?1 AND tenant = ?2 AND key = ?3",
            )?;
            let mut found = find.query(params![plugin, tenant, bytes(key)])?;
            let Some(row) = found.next()? else { return Ok(None) };
            let info = Info { version: row.get(1)?, created_ms: row.get(2)?, updated_ms: row.get(3)? };
            let value = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            Ok(Some((copied(value)?, info)))
        })
    }

    fn set(
        &self,
        scope: &DataScope<'_>,
        key: Key<'_>,
        value: &[u8],
        if_version: Option<u64>,
    ) -> Result<Written> {
        let place = Place::of(scope)?;
        let value = copied(value)?.into_boxed_slice();
        self.ledger.write(Set { place, key: bytes(key).into(), value, if_version })
    }

    fn remove(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        let place = Place::of(scope)?;
        self.ledger.write(Remove { place, key: bytes(key).into() })
    }

    fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        let Place { plugin, tenant } = Place::of(scope)?;
        self.ledger.read(|ledger| {
            let mut find = ledger.prepare_cached(
                "SELECT 1 FROM storage_scopes JOIN storage_items USING (scope)
                WHERE plugin = ?1 AND tenant = ?2 AND key = ?3",
            )?;
            Ok(find.exists(params![plugin, tenant, bytes(key)])?)
        })
    }

    fn keys(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<Key<'_>>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let Place { plugin, tenant } = Place::of(scope)?;
        // The first key that may be listed: the prefix itself, or the one right behind `after`.
        let mut first = prefix.as_bytes().to_vec();
        if let Some(after) = after.filter(|after| bytes(*after) >= prefix.as_bytes()) {
            first = [bytes(after), b"\0"].concat();
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.ledger.read(|ledger| {
            let mut list = ledger.prepare_cached(
                "SELECT key FROM storage_items
                WHERE scope = (SELECT scope FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2)
                    AND key >= ?3 AND key < ?4
                ORDER BY key LIMIT ?5",
            )?;
            let keys = list.query_map(params![plugin, tenant, first, behind(prefix), limit], |row| {
                let key = String::from_utf8(row.get(0)?);
                key.map_err(|error| rusqlite::Error::Utf8Error(0, error.utf8_error()))
            })?;
            Ok(keys.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn clear(&self, scope: &DataScope<'_>) -> Result<u64> {
        self.ledger.write(Clear { place: Place::of(scope)? })
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        self.ledger.read(|ledger| {
            let mut sum = ledger.prepare_cached(
                "SELECT plugin, sum(items), sum(bytes) FROM storage_scopes GROUP BY plugin",
            )?;
            let usage = sum.query_map([], |row| {
                Ok(Usage { plugin: row.get(0)?, items: row.get(1)?, bytes: row.get(2)? })
            })?;
            Ok(usage.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// A scope by its names, which outlive this host.
struct Place {
    plugin: Arc<str>,
    /// Empty for the system scope.
    tenant: Arc<str>,
}

impl Place {
    fn of(scope: &DataScope<'_>) -> Result<Self> {
        Ok(Self { plugin: Arc::clone(scope.id), tenant: Arc::clone(scope.tenant()?.name()) })
    }
}

/// What a write needs to know of the item that is there.
struct Old {
    item: i64,
    version: u64,
    /// Of key and value.
    bytes: i64,
}

impl Place {
    /// The number of the scope, if it has items.
    fn number(&self, transaction: &Transaction<'_>) -> Result<Option<i64>, Fault> {
        let mut find =
            transaction.prepare("SELECT scope FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2")?;
        Ok(find.query_row(params![self.plugin, self.tenant], |row| row.get(0)).optional()?)
    }

    fn new_number(&self, transaction: &Transaction<'_>) -> Result<i64, Fault> {
        let mut make = transaction.prepare(
            "INSERT INTO storage_scopes (plugin, tenant, items, bytes) VALUES (?1, ?2, 0, 0) RETURNING scope",
        )?;
        Ok(make.query_row(params![self.plugin, self.tenant], |row| row.get(0))?)
    }
}

struct Set {
    place: Place,
    key: Box<[u8]>,
    value: Box<[u8]>,
    if_version: Option<u64>,
}

impl Write for Set {
    type Answer = Written;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Written, Fault> {
        let scope = self.place.number(transaction)?;
        let old = match scope {
            Some(scope) => find(transaction, scope, &self.key)?,
            None => None,
        };
        let there = old.as_ref().map_or(0, |old| old.version);
        if self.if_version.is_some_and(|wanted| wanted != there) {
            return Ok(Written::Conflict(there));
        }
        let version: u64 = transaction
            .prepare("UPDATE storage_sequence SET version = version + 1 RETURNING version")?
            .query_row([], |row| row.get(0))?;
        let scope = match scope {
            Some(scope) => scope,
            None => self.place.new_number(transaction)?,
        };
        let now = transaction.now_ms();
        match &old {
            Some(old) => transaction
                .prepare(
                    "UPDATE storage_items SET version = ?2, updated_ms = ?3, value = ?4 WHERE item = ?1",
                )?
                .execute(params![old.item, version, now, self.value])?,
            None => transaction
                .prepare(
                    "INSERT INTO storage_items (scope, key, version, created_ms, updated_ms, value)
                    VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
                )?
                .execute(params![scope, self.key, version, now, self.value])?,
        };
        let bytes = length(&self.key) + length(&self.value);
        match &old {
            Some(old) => count(transaction, scope, 0, bytes - old.bytes)?,
            None => count(transaction, scope, 1, bytes)?,
        }
        Ok(Written::Done(version))
    }

    fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

struct Remove {
    place: Place,
    key: Box<[u8]>,
}

impl Write for Remove {
    type Answer = bool;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let Some(scope) = self.place.number(transaction)? else { return Ok(false) };
        let Some(old) = find(transaction, scope, &self.key)? else { return Ok(false) };
        transaction.prepare("DELETE FROM storage_items WHERE item = ?1")?.execute([old.item])?;
        count(transaction, scope, -1, -old.bytes)?;
        Ok(true)
    }

    fn size(&self) -> usize {
        self.key.len()
    }
}

struct Clear {
    place: Place,
}

impl Write for Clear {
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let Some(scope) = self.place.number(transaction)? else { return Ok(0) };
        let removed = transaction.prepare("DELETE FROM storage_items WHERE scope = ?1")?.execute([scope])?;
        transaction.prepare("DELETE FROM storage_scopes WHERE scope = ?1")?.execute([scope])?;
        Ok(removed as u64)
    }

    fn size(&self) -> usize {
        0
    }
}

fn find(transaction: &Transaction<'_>, scope: i64, key: &[u8]) -> Result<Option<Old>, Fault> {
    let mut find = transaction.prepare(
        "SELECT item, version, length(key) + length(value) FROM storage_items WHERE scope = ?1 AND key = ?2",
    )?;
    let found = find.query_row(params![scope, key], |row| {
        Ok(Old { item: row.get(0)?, version: row.get(1)?, bytes: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// Adds to what the scope has. One that has nothing is not kept: tenants come and go.
fn count(transaction: &Transaction<'_>, scope: i64, items: i64, bytes: i64) -> Result<(), Fault> {
    transaction
        .prepare("UPDATE storage_scopes SET items = items + ?2, bytes = bytes + ?3 WHERE scope = ?1")?
        .execute([scope, items, bytes])?;
    if items < 0 {
        transaction.prepare("DELETE FROM storage_scopes WHERE scope = ?1 AND items = 0")?.execute([scope])?;
    }
    Ok(())
}

fn bytes(key: Key<'_>) -> &[u8] {
    key.as_str().as_bytes()
}

/// A plugin says how large a value is, so that there may be no memory for it: no reason to end the process.
fn copied(value: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(value.len()).map_err(|_| {
        let len = value.len();
        Error::lazy(ErrorKind::Unavailable, move || {
            format!("the storage got no memory from the system for a value of {len} bytes")
        })
    })?;
    copy.extend_from_slice(value);
    Ok(copy)
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).expect("nothing in memory is longer")
}

/// What is behind everything that begins with the prefix.
fn behind(prefix: &str) -> Vec<u8> {
    let mut behind = prefix.as_bytes().to_vec();
    match behind.last_mut() {
        // No byte of UTF-8 is 0xFF, so one more is always a byte.
        Some(last) => *last += 1,
        None => behind.push(0xff),
    }
    behind
}
