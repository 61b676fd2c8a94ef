//! One connection to a database in memory: what holds on it, and a statement on it, kept or undone as a whole.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use rusqlite::{Connection, backup::Backup, config::DbConfig, ffi, limits::Limit};

use super::{
    fence::Fence,
    statement::{Fault, Given, Prepared},
};
use crate::{Error, Result, SqlValue, Status};

/// The bytes of a page.
pub(super) const PAGE: u64 = 4_096;
/// The most bytes of a database, as in a host without settings.
pub(super) const LIMIT_BYTES: u64 = 256 << 20;
/// The most rows of a statement, the same.
pub(super) const MOST_ROWS: u64 = 1_000_000;
/// The most bytes of a value, a row and a text.
const LARGEST: i32 = 1 << 20;

/// Time stands still while code runs, so an endless statement is known by its steps: about as many as a machine does in a
/// millisecond.
const STEPS_PER_MS: i64 = 50_000;
/// After so many steps they are counted.
const STEPS: i32 = 1_000;

/// A rowid that nobody has.
const NO_ROW: i64 = i64::MIN + 4_711;

/// What a real database has that is the host's own.
const OWN: &str = "
    CREATE TABLE pintle_owner (only INTEGER PRIMARY KEY);
    CREATE TABLE pintle_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL) STRICT;
";
/// What it is marked with.
const APPLICATION: i32 = i32::from_be_bytes(*b"PSql");

/// What was asked of a database.
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    pub(super) values: &'a [SqlValue<'a>],
    pub(super) timeout_ms: i64,
    pub(super) max_rows: u64,
    /// Why it may not write, if so.
    pub(super) refusal: Option<Fault>,
}

/// What a statement did.
#[derive(Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) changed: u64,
    pub(super) last_insert_id: i64,
    pub(super) rows: u64,
    /// It writes, and is not kept yet: [`Session::keep`] or [`Session::undo`] ends it.
    pub(super) open: bool,
}

pub(super) struct Session {
    connection: Connection,
    pub(super) fence: Arc<Fence>,
    steps: Arc<AtomicI64>,
}

impl Session {
    /// An empty database.
    pub(super) fn new() -> Result<Self> {
        let session = Self::bare().map_err(failed)?;
        session.own(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION}; {OWN}"
        ))?;
        Ok(session)
    }

    /// A copy to write in, or to read from whatever becomes of this one.
    pub(super) fn begin(&self, read_only: bool) -> Result<Self> {
        let mut copy = Self::bare().map_err(failed)?;
        self.copy_to(&mut copy)?;
        copy.own(if read_only { "BEGIN" } else { "BEGIN IMMEDIATE" })?;
        copy.fence.in_transaction.store(true, Relaxed);
        Ok(copy)
    }

    /// Ends what [`begin`](Session::begin) began, and puts it in place of what `to` has.
    pub(super) fn commit(self, to: &mut Self) -> Result<()> {
        self.own("COMMIT")?;
        self.copy_to(to)
    }

    fn bare() -> rusqlite::Result<Self> {
        let mut connection = Connection::open_in_memory()?;
        connection.execute_batch(&format!(
            "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA max_page_count = {}",
            LIMIT_BYTES / PAGE
        ))?;
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        ] {
            connection.set_db_config(config, on)?;
        }
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_LENGTH, LARGEST),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, LARGEST),
            (Limit::SQLITE_LIMIT_COLUMN, 256),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 250),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 250),
            (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256),
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 32_766),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
        ] {
            connection.set_limit(limit, most)?;
        }
        let fence = Fence::around(&mut connection)?;
        let steps = Arc::new(AtomicI64::new(i64::MAX));
        let left = Arc::clone(&steps);
        let is_over = move || left.fetch_sub(STEPS.into(), Relaxed) <= 0;
        connection.progress_handler(STEPS, Some(is_over))?;
        Ok(Self { connection, fence, steps })
    }

    fn copy_to(&self, to: &mut Self) -> Result<()> {
        Backup::new(&self.connection, &mut to.connection)
            .and_then(|backup| backup.step(-1))
            .map_err(failed)?;
        Ok(())
    }

    pub(super) fn raw(&self) -> *mut ffi::sqlite3 {
        // SAFETY: the handle is used while `self` lives, and never closed.
        unsafe { self.connection.handle() }
    }

    /// Does something of the host's own.
    pub(super) fn own(&self, sql: &str) -> Result<()> {
        self.steps.store(i64::MAX, Relaxed);
        self.fence.pass(|| self.connection.execute_batch(sql)).map_err(|_| Fault::of(self).error())
    }

    /// Asks something of the host's own.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.steps.store(i64::MAX, Relaxed);
        self.fence.pass(|| ask(&self.connection)).map_err(failed)
    }

    /// Whether a transaction is open: a failure may have rolled it back.
    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs the only statement of a text. One that writes is left open.
    pub(super) fn run(&self, asked: &Statement<'_>, given: &mut Given) -> Result<Done, Fault> {
        let prepared = Prepared::new(self, asked.sql)?;
        let wrong = |text| Err(Fault::from(Error::new(Status::InvalidArgument, text)));
        if prepared.is_empty() {
            return wrong("there is no statement in the text");
        }
        // What stands behind it is a second one, unless it is none either.
        let mut at = prepared.end;
        while at < asked.sql.len() {
            match Prepared::new(self, &asked.sql[at..]) {
                Ok(rest) if rest.is_empty() => at += rest.end.max(1),
                _ => return wrong("there is more than one statement in the text: pass it to `script`"),
            }
        }
        self.run_prepared(&prepared, asked.sql, asked, given)
    }

    /// Runs all statements of a text.
    pub(super) fn run_all(&self, asked: &Statement<'_>) -> Result<Done, Fault> {
        let (mut at, mut all) = (0, Done::default());
        while at < asked.sql.len() {
            let within = |fault: Fault| Fault { offset: fault.offset.map(|offset| offset + at), ..fault };
            let prepared = Prepared::new(self, &asked.sql[at..]).map_err(within)?;
            if !prepared.is_empty() {
                let done = self
                    .run_prepared(&prepared, &asked.sql[at..], asked, &mut Given::default())
                    .map_err(within)?;
                if done.open {
                    self.keep()?;
                }
                all = Done { changed: all.changed + done.changed, open: false, ..done };
            }
            at += prepared.end.max(1);
        }
        Ok(all)
    }

    fn run_prepared(
        &self,
        prepared: &Prepared<'_>,
        sql: &str,
        asked: &Statement<'_>,
        given: &mut Given,
    ) -> Result<Done, Fault> {
        prepared.must_take(sql, asked.values.len())?;
        let writes = !prepared.reads_only();
        if let Some(refusal) = asked.refusal.as_ref().filter(|_| writes) {
            return Err(refusal.clone());
        }
        if writes {
            self.own("SAVEPOINT one_statement")?;
        }
        // SAFETY: the connection is open, and whoever has the session has it alone. So below.
        let before = unsafe {
            let before =
                (ffi::sqlite3_total_changes64(self.raw()), ffi::sqlite3_last_insert_rowid(self.raw()));
            // So that it is known whether a row was inserted. A statement that asks for the last one gets the last one.
            if writes && !prepared.asks_last_id {
                ffi::sqlite3_set_last_insert_rowid(self.raw(), NO_ROW);
            }
            before
        };
        self.steps.store(asked.timeout_ms.saturating_mul(STEPS_PER_MS), Relaxed);
        let ran = prepared.run(asked.values, asked.max_rows, given);
        // SAFETY: as above.
        let last = unsafe {
            let last = ffi::sqlite3_last_insert_rowid(self.raw());
            if last == NO_ROW {
                ffi::sqlite3_set_last_insert_rowid(self.raw(), before.1);
            }
            last
        };
        if let Err(fault) = ran {
            if writes {
                self.undo()?;
            }
            return Err(fault);
        }
        let mut done = Done { rows: given.rows.len() as u64, open: writes, ..Done::default() };
        // SAFETY: as above.
        if writes && unsafe { ffi::sqlite3_total_changes64(self.raw()) } != before.0 {
            // SAFETY: as above.
            done.changed = unsafe { ffi::sqlite3_changes64(self.raw()) }.unsigned_abs();
            done.last_insert_id = if last == NO_ROW { 0 } else { last };
        }
        Ok(done)
    }

    /// Keeps what a statement wrote.
    pub(super) fn keep(&self) -> Result<(), Fault> {
        self.own("RELEASE one_statement").map_err(|error| {
            // A deferred foreign key leads nowhere, and there is no transaction that could still mend it.
            let _ = self.undo();
            error.into()
        })
    }

    /// Undoes it, unless the failure has undone more already.
    pub(super) fn undo(&self) -> Result<()> {
        if !self.in_transaction() {
            return Ok(());
        }
        self.own("ROLLBACK TO one_statement; RELEASE one_statement")
    }
}

/// What only a test host that is wrong comes to.
fn failed(error: rusqlite::Error) -> Error {
    Error::new(Status::Unavailable, format!("the test host's database fails: {error}"))
}
