//! The file: what is taken for a cache, what is made where none is, and the tables in it.
//!
//! A cache can be made again, so a file that is no good is no reason to stop: [`open`] says why it will not do, and
//! `aside.rs` moves it away. Nothing is read in full to find that out; damage that shows later is met where it is read.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::accounting::Share;
use crate::{
    error::{Error, ErrorKind, Result, mend_of},
    services::ledger::{
        Durability,
        parts::{self, APPLICATION_AT, HEADER},
    },
};

/// "Pntc" in ASCII: says what the file is, to us and to `file`.
const APPLICATION: i32 = 0x506e_7463;

/// The form of the tables. A file of another one is set aside: what is in it can be made again.
const FORM: i32 = 1;

/// The tables, as they stand in the file, word for word.
///
/// An item is found by the index over its four names. Its value comes last in its row, so that whoever wants only its
/// times does not walk over it. Times are in microseconds of the clock of [`Time`](super::Time); none is endless.
/// `left_until` is the end of the stale span, `gone_at` that of both spans. `items_order` is by what eviction and
/// counting go, and is all that they read; `items_kept` has the few that are past their stale span and not gone.
const TABLES: [&str; 8] = [
    "CREATE TABLE items (item INTEGER PRIMARY KEY, plugin TEXT NOT NULL, tenant TEXT NOT NULL, \
     namespace TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, size INTEGER NOT NULL, fresh_until INTEGER, \
     left_until INTEGER, gone_at INTEGER, stale_ms INTEGER NOT NULL, error_ms INTEGER NOT NULL, tagged INTEGER NOT NULL, \
     value ANY) STRICT",
    "CREATE UNIQUE INDEX items_names ON items (plugin, tenant, namespace, key)",
    "CREATE INDEX items_order ON items (plugin, version, size)",
    "CREATE INDEX items_gone ON items (gone_at) WHERE gone_at IS NOT NULL",
    "CREATE INDEX items_kept ON items (left_until) WHERE error_ms > stale_ms",
    "CREATE TABLE tags (item INTEGER NOT NULL, tag TEXT NOT NULL, plugin TEXT NOT NULL, tenant TEXT NOT NULL, \
     PRIMARY KEY (item, tag)) WITHOUT ROWID, STRICT",
    "CREATE INDEX tags_names ON tags (plugin, tenant, tag)",
    "CREATE TABLE sequence (bound INTEGER NOT NULL) STRICT",
];

/// Whatever takes an item away takes its tags away.
const TRIGGER: &str = "CREATE TRIGGER untag AFTER DELETE ON items WHEN old.tagged > 0 \
     BEGIN DELETE FROM tags WHERE item = old.item; END";

/// The writer's cache of pages, in KiB.
const CACHE: i32 = 8 << 10;

/// Why a file cannot be used.
pub(super) enum Unfit {
    /// For a reason that moving it away mends: what is wrong with it.
    Aside(String),
    /// For any other.
    Failed(Error),
}

/// A file that was taken.
pub(super) struct Taken {
    /// The connection that writes.
    pub(super) writer: Connection,
    /// Another one, which moves the log into the file.
    pub(super) beside: Connection,
    pub(super) shares: HashMap<Arc<str>, Share>,
    /// No version above it was given.
    pub(super) bound: u64,
}

/// Takes the file that is there, or a new one if there is none, whose versions begin behind `first`.
pub(super) fn open(path: &Path, first: u64) -> Result<Taken, Unfit> {
    if !check(path)? {
        make(path, first).map_err(Unfit::Failed)?;
    }
    take(path).map_err(|error| match error {
        Refusal::Unfit(unfit) => unfit,
        Refusal::Sqlite(error) if is_damage(&error) => Unfit::Aside("is damaged".into()),
        Refusal::Sqlite(error) => Unfit::Failed(parts::failed(path, &error)),
    })
}

/// Whether SQLite has found the file to be other than it was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        // A value of another kind than was written: nobody but us writes there.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..) => true,
        rusqlite::Error::SqliteFailure(code, _) => {
            matches!(code.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ
                // The tables are not those that were there when it was opened.
                || matches!(code.code, ErrorCode::Unknown if code.extended_code == rusqlite::ffi::SQLITE_ERROR)
                // Two items under the same names, which no index that is whole lets be.
                || code.code == ErrorCode::ConstraintViolation
        }
        rusqlite::Error::SqlInputError { .. } => true,
        _ => false,
    }
}

/// The connection goes without touching what lies in the file or beside it.
pub(super) fn leave(connection: Connection) {
    // Where this fails the connection is as broken as the file.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(connection);
}

enum Refusal {
    Unfit(Unfit),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn aside(what: impl Into<String>) -> Unfit {
    Unfit::Aside(what.into())
}

/// Whether there is a file, after a look at its beginning that SQLite has no part in.
fn check(path: &Path) -> Result<bool, Unfit> {
    let unreadable = |error: io::Error| {
        let what = format!("{} cannot be read: {error}", path.display());
        let mend = "give the user that the host runs as the right to read and write it and its folder";
        Unfit::Failed(Error::new(ErrorKind::Unavailable, what).mend(mend_of(&error).unwrap_or(mend)))
    };
    let mut start = Vec::new();
    match fs::metadata(path) {
        Ok(what) if !what.is_file() => return Err(aside("is not a file")),
        Ok(_) => {
            let file = File::open(path).map_err(unreadable)?;
            file.take(APPLICATION_AT.end as u64).read_to_end(&mut start).map_err(unreadable)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(aside("is a link to nothing"));
            }
            let left = |ending| fs::metadata(parts::beside(path, ending)).is_ok_and(|left| left.len() > 0);
            if left("-wal") || left("-journal") {
                return Err(aside("is gone, and its log is still there"));
            }
            return Ok(false);
        }
        Err(error) => return Err(unreadable(error)),
    }
    if start.is_empty() {
        return Err(aside("is empty"));
    }
    if !start.starts_with(HEADER) {
        return Err(aside("is no database, or its beginning is damaged"));
    }
    match start.get(APPLICATION_AT) {
        Some(whose) if whose == APPLICATION.to_be_bytes() => Ok(true),
        // By a link or a slip it may lie here, and nothing can make it again.
        Some(whose) if whose == parts::APPLICATION.to_be_bytes() => {
            let what = format!("{} is a ledger and no cache, and is kept as it is", path.display());
            Err(Unfit::Failed(Error::new(ErrorKind::Unavailable, what).mend("put it back where it belongs")))
        }
        _ => Err(aside("is a database of another program")),
    }
}

/// Makes an empty cache beside the place where it is to lie, and moves it there when it is whole: whenever this ends,
/// there is a good file or none.
fn make(path: &Path, first: u64) -> Result<()> {
    let new = parts::beside(path, ".new");
    let no_file = |error: io::Error| {
        let what = format!("{} cannot be made: {error}", path.display());
        let mend = "give the user that the host runs as the right to write its folder, on a disk with room";
        Error::new(ErrorKind::Unavailable, what).mend(mend_of(&error).unwrap_or(mend))
    };
    let clean = || -> Result<()> {
        for ending in ["", "-wal", "-shm", "-journal"] {
            remove(&parts::beside(&new, ending)).map_err(no_file)?;
        }
        Ok(())
    };
    clean()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Nobody else's business. SQLite gives the files beside it the same rights.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new).map_err(no_file)?;
    let made = fill(&new, first).map_err(|error| parts::failed(path, &error));
    if let Err(error) = made.and_then(|()| fs::rename(&new, path).map_err(no_file)) {
        // It may be what the room is lacking for.
        let _ = clean();
        return Err(error);
    }
    Ok(())
}

fn fill(new: &Path, first: u64) -> rusqlite::Result<()> {
    let mut connection = parts::connect(new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    parts::lay_out(&connection, APPLICATION, Durability::Normal)?;
    let tables = connection.transaction()?;
    for table in TABLES.into_iter().chain([TRIGGER]) {
        tables.execute_batch(table)?;
    }
    tables.execute("INSERT INTO sequence VALUES (?1)", [first])?;
    tables.pragma_update(None, "user_version", FORM)?;
    tables.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

/// Removes a file if it is there.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn take(path: &Path) -> Result<Taken, Refusal> {
    let connection = parts::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match number("user_version")? {
        form if form == i64::from(FORM) => {}
        form => {
            let whose = if form > i64::from(FORM) { "a newer host" } else { "another host" };
            let what = format!("was written by {whose}: it has form {form}, this host knows {FORM}");
            return Err(Refusal::Unfit(aside(what)));
        }
    }
    let mut words = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let mut found: Vec<String> = words.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    drop(words);
    let mut known: Vec<&str> = TABLES.into_iter().chain([TRIGGER]).collect();
    known.sort_unstable();
    found.sort_unstable();
    if found != known {
        return Err(Refusal::Unfit(aside("has other tables than a cache has")));
    }
    let mode = parts::lay_out(&connection, APPLICATION, Durability::Normal)?;
    if mode != "wal" {
        let what = format!("{} lies where no write-ahead log can be kept", path.display());
        let error = Error::new(ErrorKind::Unavailable, what)
            .mend("use a data folder on a disk of this machine, not on a network share");
        return Err(Refusal::Unfit(Unfit::Failed(error)));
    }
    connection.pragma_update(None, "cache_size", -CACHE)?;
    let (pages, free) = (number("page_count")?, number("freelist_count")?);
    if free >= pages || is_short(path, &connection, pages) {
        return Err(Refusal::Unfit(aside("is damaged: a part of it is missing")));
    }
    let shares = shares(&connection)?;
    let bound = connection.query_row("SELECT bound FROM sequence", [], |row| row.get(0))?;
    let beside = parts::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    beside.pragma_update(None, "synchronous", "NORMAL")?;
    beside.busy_timeout(std::time::Duration::from_millis(100))?;
    // Accepted: at the end the log goes into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(Taken { writer: connection, beside, shares, bound })
}

/// Whether the file has fewer than its pages, those that are still in the log aside.
fn is_short(path: &Path, connection: &Connection, pages: i64) -> bool {
    let page = connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0));
    let whole = pages * page.unwrap_or(4096);
    let is_short = || fs::metadata(path).is_ok_and(|file| (file.len() as i64) < whole);
    // After a crash the end of it may be in the log alone. A disk that is too full to move that says nothing of the file.
    is_short()
        && connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok(row.get::<_, i64>(1)? == row.get::<_, i64>(2)?)
            })
            .unwrap_or(false)
        && is_short()
}

/// What each plugin has.
fn shares(connection: &Connection) -> rusqlite::Result<HashMap<Arc<str>, Share>> {
    let mut sum = connection
        .prepare("SELECT plugin, count(*), sum(size) FROM items INDEXED BY items_order GROUP BY plugin")?;
    let shares = sum.query_map([], |row| {
        Ok((row.get(0)?, Share { items: row.get(1)?, bytes: row.get(2)?, evicted: 0 }))
    })?;
    shares.collect()
}

/// The files that are one with the file of this path.
pub(super) fn family(path: &Path) -> [(PathBuf, &'static str); 4] {
    ["", "-wal", "-shm", "-journal"].map(|ending| (parts::beside(path, ending), ending))
}
