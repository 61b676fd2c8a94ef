//! Which files are taken for a ledger, and how a connection to one is set up.
//!
//! A file that is refused is kept as it is, byte for byte, the log beside it included. An update of the tables happens in one transaction: it is
//! done, or the ledger is the old one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, config::DbConfig};

use super::{checkpoint, fault::failed};
use crate::{
    error::{Error, ErrorKind, Result, mend_of},
    services::clock::Clock,
};

/// "Pntl" in ASCII: says what the file is, to us and to `file`.
pub(in crate::services) const APPLICATION: i32 = 0x506e_746c;

/// The form of the ledger itself: the table `ledger_parts`. What the services' tables look like is said there.
const FORM: i32 = 1;

/// What each file of SQLite begins with.
pub(in crate::services) const HEADER: &[u8] = b"SQLite format 3\0";

/// Where such a file says whose it is.
pub(in crate::services) const APPLICATION_AT: Range<usize> = 68..72;

/// How long somebody else may keep the file locked. Only a tool that somebody runs beside the host does that.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 400 } else { 2_000 });

/// Statements that stay prepared on each connection.
const STATEMENTS: usize = 64;

/// The bytes of a page.
const PAGE: u64 = 4096;

const UPDATE: &str = "update the host or use another data folder";

/// When a write that has returned is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Durability {
    /// From power loss too.
    #[default]
    Full,
    /// From a crash of the host; power loss may take the last ones.
    Normal,
    /// From a crash of the host; power loss may damage the file. For tests and for data that can be made again.
    Off,
}

/// How a ledger is opened.
pub(crate) struct LedgerOptions {
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tables of all services.
    pub(crate) schemas: Vec<Schema>,
    /// Told what goes wrong where no caller waits for it; on the ledger's own thread.
    pub(crate) report: Box<dyn Fn(&Error) + Send + Sync>,
}

/// The tables of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// Its tables begin with this name.
    pub(crate) service: &'static str,
    /// How its tables came to be: the n-th step makes form n out of form n - 1. What was released is never changed.
    pub(crate) steps: &'static [&'static str],
}

/// The writer's connection, to a ledger that is up to date.
pub(super) fn prepare(path: &Path, options: &LedgerOptions) -> Result<Connection> {
    check(path)?;
    let mut connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| opened(path, &error))?;
    let quiet = |connection: &Connection, on| {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on)
    };
    quiet(&connection, true).map_err(|error| opened(path, &error))?;
    recognise(path, &connection)?;
    set_up(path, &connection, options.durability)?;
    update(path, &mut connection, &options.schemas)?;
    // Accepted: at the end the log goes into the file.
    quiet(&connection, false).map_err(|error| opened(path, &error))?;
    Ok(connection)
}

/// A connection to read with.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A connection that moves pages from the log into the file.
pub(super) fn checkpointer(path: &Path, options: &LedgerOptions) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    synchronous(&connection, options.durability)?;
    checkpoint::be_patient(&connection)?;
    Ok(connection)
}

/// Gives up waiting for somebody else's lock when the time is over.
pub(super) fn be_patient(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)
}

pub(in crate::services) fn connect(path: &Path, how: OpenFlags) -> rusqlite::Result<Connection> {
    // One thread at a time has each connection, so SQLite need not lock it.
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    be_patient(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A file that somebody has prepared should be able to do less.
    connection.pragma_update(None, "trusted_schema", false)?;
    // Damage is noticed where it is read, not three pages later.
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Makes the file if there is none. Looks at it before SQLite does, which takes an empty file for a new database, and
/// removes the log beside it.
fn check(path: &Path) -> Result<()> {
    let unreadable = |error: io::Error| {
        let what = format!("{} cannot be read: {error}", path.display());
        let mend = "give the user that the host runs as the right to read and write it and its folder";
        Error::new(ErrorKind::Unavailable, what).mend(mend_of(&error).unwrap_or(mend))
    };
    let mut start = Vec::new();
    let there = match fs::metadata(path) {
        Ok(what) if !what.is_file() => return Err(no_ledger(path, "is not a file")),
        Ok(_) => {
            let file = File::open(path).map_err(unreadable)?;
            file.take(APPLICATION_AT.end as u64).read_to_end(&mut start).map_err(unreadable)?;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(unreadable(error)),
    };
    if start.is_empty() {
        // SQLite keeps it beside the file, wherever a link to that lies.
        let log = beside(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), "-wal");
        if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            let (path, log) = (path.display(), log.display());
            let what = format!("{path} is empty or gone, and {log} still has what was written last");
            return Err(Error::new(ErrorKind::Unavailable, what)
                .mend("put the file back, or move both away to begin with nothing"));
        }
        return if there { Ok(()) } else { make(path) };
    }
    if !start.starts_with(HEADER) {
        return Err(no_ledger(path, "is no database, or its beginning is damaged"));
    }
    if start.get(APPLICATION_AT) != Some(&APPLICATION.to_be_bytes()) {
        return Err(no_ledger(path, "is a database of another program"));
    }
    Ok(())
}

fn make(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Nobody else's business. SQLite gives the files beside it the same rights.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| {
        let what = format!("{} cannot be made: {error}", path.display());
        let mend = "give the user that the host runs as the right to write its folder, on a disk with room";
        Error::new(ErrorKind::Unavailable, what).mend(mend_of(&error).unwrap_or(mend))
    })
}

/// Whether the form of the ledger is known.
fn recognise(path: &Path, connection: &Connection) -> Result<()> {
    match form(connection).map_err(|error| opened(path, &error))? {
        ..=FORM => Ok(()),
        newer => Err(unknown_form(path, "it", newer.into(), FORM.into())),
    }
}

/// 0 for a new one.
fn form(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn set_up(path: &Path, connection: &Connection, durability: Durability) -> Result<()> {
    let mode = lay_out(connection, APPLICATION, durability).map_err(|error| opened(path, &error))?;
    if mode != "wal" {
        let what = format!("{} lies where no write-ahead log can be kept", path.display());
        return Err(Error::new(ErrorKind::Unavailable, what)
            .mend("use a data folder on a disk of this machine, not on a network share"));
    }
    Ok(())
}

/// Makes a file without tables one of `application`, and the connection one that writes; tells the mode of the journal.
pub(in crate::services) fn lay_out(
    connection: &Connection,
    application: i32,
    durability: Durability,
) -> rusqlite::Result<String> {
    if connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0 {
        // Both at once: a start that ends between them, for want of room say, would leave a file that looks like
        // another program's.
        let first_page = connection.unchecked_transaction()?;
        // Counts only before the first table: room that is given back can leave the file later.
        first_page.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        // Before there is a log, so that it is in the file itself from the first page on.
        first_page.pragma_update(None, "application_id", application)?;
        first_page.commit()?;
    }
    let mode =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    synchronous(connection, durability)?;
    // A thread of its own does that.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    limit_log(connection, checkpoint::LONGEST)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(mode)
}

/// So many pages are left of the write-ahead log's file when it begins anew.
pub(super) fn limit_log(connection: &Connection, pages: u64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_size_limit", pages * PAGE)
}

/// How many bytes the disk of a file has left for this user; none: the system does not say.
pub(super) fn room(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(path).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    None
}

fn synchronous(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let word = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
        Durability::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", word)?;
    // On macOS fsync alone does not reach the disk; elsewhere this changes nothing.
    connection.pragma_update(None, "fullfsync", durability == Durability::Full)?;
    connection.pragma_update(None, "checkpoint_fullfsync", durability != Durability::Off)
}

/// Makes the tables that are missing, in one transaction.
fn update(path: &Path, connection: &mut Connection, schemas: &[Schema]) -> Result<()> {
    let failed = |error: rusqlite::Error| opened(path, &error);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let begin = "CREATE TABLE IF NOT EXISTS ledger_parts
        (service TEXT PRIMARY KEY, form INTEGER NOT NULL) WITHOUT ROWID, STRICT";
    transaction.execute_batch(begin).map_err(failed)?;
    // What is up to date is not written, so that a ledger can be opened on a disk that is full.
    if form(&transaction).map_err(failed)? != FORM {
        transaction.pragma_update(None, "user_version", FORM).map_err(failed)?;
    }
    for Schema { service, steps } in schemas {
        let form = "SELECT form FROM ledger_parts WHERE service = ?1";
        let form: Option<i64> =
            transaction.query_row(form, [service], |row| row.get(0)).optional().map_err(failed)?;
        let form = form.unwrap_or(0);
        let done = usize::try_from(form).ok().filter(|done| *done <= steps.len());
        let Some(done) = done else {
            return Err(unknown_form(path, &format!("its {service}"), form, steps.len() as i64));
        };
        for step in &steps[done..] {
            transaction.execute_batch(step).map_err(failed)?;
        }
        let note = "INSERT INTO ledger_parts VALUES (?1, ?2)
            ON CONFLICT DO UPDATE SET form = excluded.form WHERE form <> excluded.form";
        transaction.execute(note, (service, steps.len() as i64)).map_err(failed)?;
    }
    let known: Vec<&str> = schemas.iter().map(|schema| schema.service).collect();
    let parts: Vec<String> = transaction
        .prepare("SELECT service FROM ledger_parts ORDER BY service")
        .and_then(|mut parts| parts.query_map([], |row| row.get(0))?.collect())
        .map_err(failed)?;
    if let Some(unknown) = parts.iter().find(|part| !known.contains(&part.as_str())) {
        let what =
            format!("{} has tables of a service that this host does not know, {unknown}", path.display());
        return Err(Error::new(ErrorKind::Unsupported, what).mend(UPDATE));
    }
    transaction.commit().map_err(failed)
}

/// What went wrong while it was opened.
fn opened(path: &Path, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            no_ledger(path, "is no database, or is damaged")
        }
        _ => failed(path, error),
    }
}

fn no_ledger(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} {what}, and is kept as it is", path.display()))
        .mend("move it and its -wal away, together, and put a backup in its place or begin with nothing")
}

fn unknown_form(path: &Path, whose: &str, found: i64, known: i64) -> Error {
    let path = path.display();
    let what =
        format!("{path} was written by a newer host: {whose} has form {found}, this host knows {known}");
    Error::new(ErrorKind::Unsupported, what).mend(UPDATE)
}

/// The file beside the ledger that SQLite keeps under this ending.
pub(in crate::services) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
