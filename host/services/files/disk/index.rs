//! Which files there are: the tables in the ledger, and what is written to them. A file is there if it has a row here; what
//! lies on the disk without one is nothing.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use crate::{
    error::Result,
    identity::DataScope,
    services::{
        files::{
            FilePath,
            item::{Growth, Info, Refused, Total, Usage, conflict},
        },
        ledger::{Fault, Ledger, Schema, Transaction, Write},
        storage::Quotas,
    },
};

/// The tables. The one row of `files_sequence` has the version, the number of a scope and that of a run that were given
/// last: it outlives the files, so that none comes twice. A scope's number is the name of its folder, a blob's that of its
/// file.
pub(crate) const SCHEMA: Schema = Schema {
    service: "files",
    steps: &["
        CREATE TABLE files_scopes (
            scope INTEGER PRIMARY KEY,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            files INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            UNIQUE (plugin, tenant)
        ) STRICT;
        CREATE TABLE files_blobs (
            blob INTEGER PRIMARY KEY,
            scope INTEGER NOT NULL,
            path BLOB NOT NULL,
            len INTEGER NOT NULL,
            version INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            UNIQUE (scope, path)
        ) STRICT;
        CREATE TABLE files_sequence (version INTEGER NOT NULL, scope INTEGER NOT NULL, run INTEGER NOT NULL) STRICT;
        INSERT INTO files_sequence VALUES (0, 0, 0);
    "],
};

/// How many blobs a run of the host may write: a blob's number begins with that of its run, so that a run makes sure of
/// its numbers with one write.
const RUN_BITS: u32 = 40;

/// The first number of a blob of a run.
pub(super) fn first_of(run: u64) -> u64 {
    run << RUN_BITS
}

/// Whose files they are.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) plugin: Arc<str>,
    pub(super) tenant: Arc<str>,
}

impl Place {
    pub(super) fn of(scope: &DataScope<'_>) -> Result<Self> {
        Ok(Self { plugin: Arc::clone(scope.id), tenant: Arc::clone(scope.tenant()?.name()) })
    }
}

/// A file, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of its scope.
    pub(super) scope: u64,
    pub(super) blob: u64,
    pub(super) info: Info,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let info =
            Info { len: row.get(2)?, version: row.get(3)?, created_ms: row.get(4)?, updated_ms: row.get(5)? };
        Ok(Self { scope: row.get(0)?, blob: row.get(1)?, info })
    }
}

const FIND: &str = "SELECT scope, blob, len, version, created_ms, updated_ms
    FROM files_scopes JOIN files_blobs USING (scope) WHERE plugin = ?1 AND tenant = ?2 AND path = ?3";

pub(super) fn find(ledger: &Ledger, place: &Place, path: FilePath<'_>) -> Result<Option<Found>> {
    ledger.read(|ledger| {
        let mut find = ledger.prepare_cached(FIND)?;
        let found = find.query_row(params![place.plugin, place.tenant, path.as_bytes()], Found::read);
        Ok(found.optional()?)
    })
}

pub(super) fn list(
    ledger: &Ledger,
    place: &Place,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>> {
    // The first path that may be listed: the prefix itself, or the one right behind `after`.
    let mut first = prefix.as_bytes().to_vec();
    if let Some(after) = after.filter(|after| *after >= prefix) {
        first = [after.as_bytes(), b"\0"].concat();
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ledger.read(|ledger| {
        let mut list = ledger.prepare_cached(
            "SELECT path FROM files_blobs
            WHERE scope = (SELECT scope FROM files_scopes WHERE plugin = ?1 AND tenant = ?2)
                AND path >= ?3 AND path < ?4
            ORDER BY path LIMIT ?5",
        )?;
        let bounds = params![place.plugin, place.tenant, first, behind(prefix), limit];
        let paths = list.query_map(bounds, |row| {
            let path = String::from_utf8(row.get(0)?);
            path.map_err(|error| rusqlite::Error::Utf8Error(0, error.utf8_error()))
        })?;
        Ok(paths.collect::<rusqlite::Result<_>>()?)
    })
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

pub(super) fn usage(ledger: &Ledger) -> Result<Vec<Usage>> {
    ledger.read(|ledger| {
        let mut sum =
            ledger.prepare_cached("SELECT plugin, tenant, files, bytes FROM files_scopes WHERE files > 0")?;
        let usage = sum.query_map([], |row| {
            let (plugin, tenant) = (row.get(0)?, row.get(1)?);
            Ok(Usage { plugin, tenant, files: row.get(2)?, bytes: row.get(3)? })
        })?;
        Ok(usage.collect::<rusqlite::Result<_>>()?)
    })
}

/// The run that wrote last.
pub(super) fn last_run(ledger: &Ledger) -> Result<u64> {
    ledger.read(|ledger| Ok(ledger.query_row("SELECT run FROM files_sequence", [], |row| row.get(0))?))
}

/// Which of the blobs no file has. Of runs before this one: what has no file then never gets one.
pub(super) fn without_file(ledger: &Ledger, blobs: &[u64]) -> Result<Vec<u64>> {
    ledger.read(|ledger| {
        let mut find = ledger.prepare_cached("SELECT 1 FROM files_blobs WHERE blob = ?1")?;
        let mut without = Vec::new();
        for blob in blobs {
            if !find.exists([blob])? {
                without.push(*blob);
            }
        }
        Ok(without)
    })
}

/// Whether there is such a scope.
pub(super) fn has_scope(ledger: &Ledger, scope: u64) -> Result<bool> {
    ledger.read(|ledger| {
        Ok(ledger.prepare_cached("SELECT 1 FROM files_scopes WHERE scope = ?1")?.exists([scope])?)
    })
}

/// A run is about to write its first blob: gives it its number.
pub(super) struct BeginRun;

impl Write for BeginRun {
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let mut next = transaction.prepare("UPDATE files_sequence SET run = run + 1 RETURNING run")?;
        Ok(next.query_row([], |row| row.get(0))?)
    }

    fn size(&self) -> usize {
        0
    }
}

/// A scope is about to get a file: gives it its number, a new one if it has none.
pub(super) struct Enter {
    pub(super) place: Place,
}

impl Write for Enter {
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let Place { plugin, tenant } = &self.place;
        let there = transaction
            .prepare("SELECT scope FROM files_scopes WHERE plugin = ?1 AND tenant = ?2")?
            .query_row(params![plugin, tenant], |row| row.get(0))
            .optional()?;
        if let Some(there) = there {
            return Ok(there);
        }
        let number: u64 = transaction
            .prepare("UPDATE files_sequence SET scope = scope + 1 RETURNING scope")?
            .query_row([], |row| row.get(0))?;
        transaction
            .prepare(
                "INSERT INTO files_scopes (scope, plugin, tenant, files, bytes) VALUES (?1, ?2, ?3, 0, 0)",
            )?
            .execute(params![number, plugin, tenant])?;
        Ok(number)
    }

    fn size(&self) -> usize {
        self.place.plugin.len() + self.place.tenant.len()
    }
}

/// The number of the scope, if it has one.
pub(super) fn scope_of(ledger: &Ledger, place: &Place) -> Result<Option<u64>> {
    ledger.read(|ledger| {
        let mut find =
            ledger.prepare_cached("SELECT scope FROM files_scopes WHERE plugin = ?1 AND tenant = ?2")?;
        Ok(find.query_row(params![place.plugin, place.tenant], |row| row.get(0)).optional()?)
    })
}

/// A blob lies on the disk: now a file has it.
pub(super) struct Assign {
    pub(super) plugin: Arc<str>,
    pub(super) scope: u64,
    pub(super) path: Box<str>,
    pub(super) blob: u64,
    pub(super) len: u64,
    pub(super) if_version: Option<u64>,
    pub(super) quotas: Quotas,
}

/// What became of it.
pub(super) enum Assigned {
    /// The file has it; the blob that it had before is nobody's.
    Done { info: Info, old: Option<u64> },
    /// The scope has lost its last file meanwhile, and its number with it: nothing was written.
    Left,
    /// The file has another version: nothing was written.
    Conflict(u64),
}

impl Assign {
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn check_quotas(
        &self,
        transaction: &Transaction<'_>,
        tenant: Total,
        old: Option<&Found>,
    ) -> Result<(), Fault> {
        if self.quotas == Quotas::default() {
            return Ok(());
        }
        let plugin = transaction
            .prepare("SELECT sum(files), sum(bytes) FROM files_scopes WHERE plugin = ?1")?
            .query_row([&self.plugin], total)?;
        let freed = old.map_or(0, |old| old.info.len);
        let growth = Growth { plugin, tenant, files: old.is_none().into(), bytes: self.len, freed };
        Ok(growth.check(&self.quotas)?)
    }
}

fn total(row: &Row<'_>) -> rusqlite::Result<Total> {
    Ok(Total { files: row.get(0)?, bytes: row.get(1)? })
}

impl Write for Assign {
    type Answer = Assigned;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Assigned, Fault> {
        let there = transaction
            .prepare("SELECT files, bytes FROM files_scopes WHERE scope = ?1")?
            .query_row([self.scope], total)
            .optional()?;
        let Some(there) = there else { return Ok(Assigned::Left) };
        let old = at(transaction, self.scope, self.path())?;
        let current = old.map_or(0, |old| old.info.version);
        if self.if_version.is_some_and(|wanted| wanted != current) {
            return Ok(Assigned::Conflict(current));
        }
        self.check_quotas(transaction, there, old.as_ref())?;
        let version: u64 = transaction
            .prepare("UPDATE files_sequence SET version = version + 1 RETURNING version")?
            .query_row([], |row| row.get(0))?;
        let now = transaction.now_ms();
        let info = Info {
            len: self.len,
            version,
            created_ms: old.map_or(now, |old| old.info.created_ms),
            updated_ms: now,
        };
        if let Some(old) = old {
            transaction.prepare("DELETE FROM files_blobs WHERE blob = ?1")?.execute([old.blob])?;
        }
        transaction
            .prepare(
                "INSERT INTO files_blobs (blob, scope, path, len, version, created_ms, updated_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![self.blob, self.scope, self.path(), info.len, version, info.created_ms, now])?;
        let more = signed(self.len) - old.map_or(0, |old| signed(old.info.len));
        transaction
            .prepare("UPDATE files_scopes SET files = files + ?2, bytes = bytes + ?3 WHERE scope = ?1")?
            .execute(params![self.scope, i64::from(old.is_none()), more])?;
        Ok(Assigned::Done { info, old: old.map(|old| old.blob) })
    }

    fn size(&self) -> usize {
        self.path.len()
    }
}

/// A file goes.
pub(super) struct Remove {
    pub(super) place: Place,
    pub(super) path: Box<str>,
}

/// What went.
pub(super) struct Removed {
    pub(super) scope: u64,
    pub(super) blob: u64,
    /// It was the last of its scope.
    pub(super) last: bool,
}

impl Write for Remove {
    type Answer = Option<Removed>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Option<Removed>, Fault> {
        let Place { plugin, tenant } = &self.place;
        let old = transaction
            .prepare(FIND)?
            .query_row(params![plugin, tenant, self.path.as_bytes()], Found::read)
            .optional()?;
        let Some(Found { scope, blob, info }) = old else { return Ok(None) };
        transaction.prepare("DELETE FROM files_blobs WHERE blob = ?1")?.execute([blob])?;
        transaction
            .prepare("UPDATE files_scopes SET files = files - 1, bytes = bytes - ?2 WHERE scope = ?1")?
            .execute([scope, info.len])?;
        // One that has nothing is not kept: tenants come and go.
        let last = transaction
            .prepare("DELETE FROM files_scopes WHERE scope = ?1 AND files = 0")?
            .execute([scope])?;
        Ok(Some(Removed { scope, blob, last: last != 0 }))
    }

    fn size(&self) -> usize {
        self.path.len()
    }
}

fn at(transaction: &Transaction<'_>, scope: u64, path: &[u8]) -> Result<Option<Found>, Fault> {
    let mut find = transaction.prepare(
        "SELECT scope, blob, len, version, created_ms, updated_ms FROM files_blobs WHERE scope = ?1 AND path = ?2",
    )?;
    Ok(find.query_row(params![scope, path], Found::read).optional()?)
}

/// Whether the file has the version that is asked for, before anything is written to the disk.
pub(super) fn check(path: FilePath<'_>, there: Option<&Found>, wanted: Option<u64>) -> Result<(), Refused> {
    let current = there.map_or(0, |found| found.info.version);
    match wanted {
        Some(wanted) if wanted != current => Err(conflict(path, wanted, current)),
        _ => Ok(()),
    }
}

fn signed(len: u64) -> i64 {
    i64::try_from(len).expect("nothing in memory is longer")
}
