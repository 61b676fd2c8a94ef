//! How a connection to a plugin's database is opened, and which files are taken for one.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig,
    limits::Limit,
};

use super::{Durability, SqliteOptions, fault::failed, statements::Statements};
use crate::error::{Error, ErrorKind, Result, mend_of};

/// "PSql" in ASCII: says what the file is.
const APPLICATION: i32 = 0x5053_716c;

/// The bytes of a page.
pub(super) const PAGE: u64 = 4_096;

/// How long another process may keep the file locked. Only a tool that somebody runs beside the host does that.
pub(super) const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 400 } else { 2_000 });

/// The layout of the host's own tables in it. A higher one is a newer host's.
const NEWEST: i64 = 1;

/// The longest pattern of LIKE and GLOB. Nothing stops SQLite inside of one function. On a value of 1 MiB (dev build, 2026, one core)
/// a pattern of 1,000 bytes takes 2.5 s, so one of 256 about 0.6 s. Others that were measured there: `trim`, `upper`, `hex`, `printf`,
/// `randomblob`, `json_array_length`, `json_extract`, `json_set` below 50 ms, `json_remove` with 98 paths 0.4 s. `instr` and `replace`
/// are the host's own, in linear time, and `json_patch` refuses what would take long.
const LONGEST_PATTERN: i32 = 256;

/// What is written down of whose database it is, and of its history.
const LAYOUT: &str = "
    CREATE TABLE pintle_owner
        (only INTEGER PRIMARY KEY CHECK (only = 1), layout INTEGER NOT NULL, plugin TEXT NOT NULL, tenant TEXT NOT NULL) STRICT;
    CREATE TABLE pintle_migrations
        (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, run_ms INTEGER NOT NULL) STRICT;
";

/// Opens a database, and makes it if it is not there.
pub(super) fn open(
    path: &Path,
    plugin: &str,
    tenant: &str,
    options: &SqliteOptions,
) -> Result<Box<dyn Statements>> {
    let made = make(&options.data, path)?;
    // The folder of the data may be behind a link; what lies in it may not.
    let path = &really(&options.data, path);
    let said = |error: rusqlite::Error| failed(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let statements = (options.statements)(path, flags, options.temporary_bytes).map_err(said)?;
    let connection = statements.connection();
    connection.busy_timeout(PATIENCE).map_err(said)?;
    // Somebody else may be laying it out just now: whoever has the right to write looks again.
    if made || !is_laid_out(connection).map_err(said)? {
        lay_out(connection, plugin, tenant).map_err(said)?;
    }
    recognise(path, connection, plugin, tenant)?;
    is_known(path, connection)?;
    set_up(connection, options).map_err(said)?;
    Ok(statements)
}

/// The same file, with no link on the way to the folder of the data.
fn really(data: &Path, path: &Path) -> PathBuf {
    match (fs::canonicalize(data), path.strip_prefix(data)) {
        (Ok(data), Ok(within)) => data.join(within),
        _ => path.to_owned(),
    }
}

/// Makes an empty file, for this user only, and its folder; tells whether it did.
fn make(data: &Path, path: &Path) -> Result<bool> {
    let failed = |error: io::Error| {
        let what = format!("{} cannot be made: {error}", path.display());
        let mend = "give the user that the host runs as the right to write the data folder";
        Error::new(ErrorKind::Unavailable, what).mend(mend_of(&error).unwrap_or(mend))
    };
    if fs::symlink_metadata(path).is_ok() {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
    }
    // SQLite follows no link below the folder of the data: nothing is to be made behind one either.
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != data) {
        if folder.symlink_metadata().is_ok_and(|is| !is.is_dir()) {
            let what = format!("{} is a link, not a folder", folder.display());
            return Err(Error::new(ErrorKind::Unavailable, what).mend("put the folder itself there"));
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Not that it has a page: [`lay_out`] gives it one before it writes what marks it, and may have got no further.
fn is_laid_out(connection: &Connection) -> rusqlite::Result<bool> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(application != 0 || tables(connection)? > 0)
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// Writes whose it is into a file without a table.
fn lay_out(connection: &Connection, plugin: &str, tenant: &str) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Somebody else may have been faster.
    if tables(&transaction)? == 0 {
        transaction.execute_batch(LAYOUT)?;
        transaction.execute("INSERT INTO pintle_owner VALUES (1, ?1, ?2, ?3)", (NEWEST, plugin, tenant))?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
    }
    transaction.commit()?;
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    Ok(())
}

/// That it is the database of this plugin and this tenant.
pub(super) fn recognise(path: &Path, connection: &Connection, plugin: &str, tenant: &str) -> Result<()> {
    match whose(path, connection)? {
        (of, on) if of == plugin && on == tenant => Ok(()),
        (of, on) => {
            let what = format!(
                "{} is the database of plugin {of:?} and tenant {on:?}, not of {plugin:?} and {tenant:?}",
                path.display()
            );
            Err(Error::new(ErrorKind::Unavailable, what).mend("put it back where it was"))
        }
    }
}

/// The plugin and the tenant whose database it is.
pub(super) fn whose(path: &Path, connection: &Connection) -> Result<(String, String)> {
    let said = |error: rusqlite::Error| failed(path, &error);
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(said)?;
    if application != APPLICATION {
        let what = format!("{} is no database of a plugin; it is kept as it is", path.display());
        return Err(
            Error::new(ErrorKind::Unavailable, what).mend("move it away, or put a backup in its place")
        );
    }
    let owner = connection
        .query_row("SELECT plugin, tenant FROM pintle_owner", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(said)?;
    owner.ok_or_else(|| {
        let what = format!("{} does not say whose database it is", path.display());
        Error::new(ErrorKind::Unavailable, what).mend("put a backup in its place")
    })
}

/// That this host knows what lies in it.
fn is_known(path: &Path, connection: &Connection) -> Result<()> {
    let layout: i64 = connection
        .query_row("SELECT layout FROM pintle_owner", [], |row| row.get(0))
        .map_err(|error| failed(path, &error))?;
    if layout <= NEWEST {
        return Ok(());
    }
    let what = format!(
        "{} is of a newer host (layout {layout}, this one knows {NEWEST}); it is kept as it is",
        path.display()
    );
    Err(Error::new(ErrorKind::Unavailable, what).mend("run that host, or put a backup in its place"))
}

/// What holds for every statement on the connection, whoever asks for it.
fn set_up(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
        Durability::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Damage is noticed where it is read, not three pages later.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -2_048)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ] {
        connection.set_db_config(config, on)?;
    }
    let largest = i32::try_from(options.largest).unwrap_or(i32::MAX);
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, largest),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, largest),
        (Limit::SQLITE_LIMIT_COLUMN, 256),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 250),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 250),
        (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LONGEST_PATTERN),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 32_766),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    Ok(())
}
