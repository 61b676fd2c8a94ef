//! SQLite's side: bare rusqlite on a file of its own, set up as `docs/database.md` says that the host sets its connections up,
//! with neither fence nor deadlines. What it finds to take too long is left out, by its steps and not by a clock, so that a seed
//! always means the same.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rusqlite::{
    Connection, Error, ToSql,
    config::DbConfig,
    ffi,
    limits::Limit,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    courier::LARGEST,
    outcome::{Failure, Plain},
    step::{Does, Expects, How, Step, Value},
};

const CARRIED: usize = 32 << 10;

/// After so many steps of SQLite's machine a query is stopped: what takes seconds is asked of nobody.
const LONGEST: i32 = 4_000_000;

const NOBODY: i64 = i64::MIN;

pub(crate) struct Bare {
    connection: Connection,
    /// Transactions that are open: the first is one, the others are savepoints in it.
    depth: usize,
    /// Why the database itself has rolled back the one that is open.
    rolled_back: Option<Failure>,
    /// What runs is only a query, that may be stopped if it takes too long.
    stops: Arc<AtomicBool>,
}

impl Bare {
    pub(crate) fn open(path: &Path) -> Self {
        let mut connection = Connection::open(path).expect("SQLite opens it");
        let set = || -> rusqlite::Result<()> {
            connection.execute_batch(
                "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
                PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -2048;",
            )?;
            for (config, on) in [
                (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
                (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
                (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            ] {
                connection.set_db_config(config, on)?;
            }
            for (limit, most) in [
                (Limit::SQLITE_LIMIT_LENGTH, LARGEST as i32),
                (Limit::SQLITE_LIMIT_EXPR_DEPTH, 250),
                (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 250),
                (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256),
            ] {
                connection.set_limit(limit, most)?;
            }
            Ok(())
        };
        set().expect("it can be set up");
        let stops = Arc::<AtomicBool>::default();
        let asked = Arc::clone(&stops);
        connection
            .progress_handler(LONGEST, Some(move || asked.load(Relaxed)))
            .expect("nothing is in its way");
        Self { connection, depth: 0, rolled_back: None, stops }
    }

    pub(crate) fn run(&mut self, step: &Step) -> Plain {
        let mut plain = Plain { hash: 0xcbf2_9ce4_8422_2325, ..Plain::default() };
        plain.failure = match (step.how, &self.rolled_back) {
            (How::Begin, None) => {
                self.depth += 1;
                let sql = if self.depth == 1 {
                    "BEGIN IMMEDIATE".into()
                } else {
                    format!("SAVEPOINT s{}", self.depth)
                };
                self.batch(&sql)
            }
            (How::Commit, None) => {
                let sql = if self.depth == 1 { "COMMIT".into() } else { format!("RELEASE s{}", self.depth) };
                self.depth -= 1;
                let failure = self.batch(&sql);
                if failure.is_some() {
                    self.batch("ROLLBACK");
                }
                failure
            }
            (How::Rollback, None) => {
                let sql = if self.depth == 1 {
                    "ROLLBACK".into()
                } else {
                    format!("ROLLBACK TO s{0}; RELEASE s{0}", self.depth)
                };
                self.depth -= 1;
                self.batch(&sql)
            }
            (how, Some(failure)) => {
                let failure = failure.clone();
                match how {
                    How::Begin => self.depth += 1,
                    How::Commit | How::Rollback => self.depth -= 1,
                    _ => {}
                }
                if self.depth == 0 {
                    self.rolled_back = None;
                }
                (how != How::Rollback).then_some(failure)
            }
            _ if step.expects != Expects::Same => None,
            // A statement leaves nothing if it fails, also where SQLite would keep the rows before the one that fails.
            _ if step.sql.contains(" OR FAIL ") => {
                let (begin, keep, undo) = match self.depth {
                    0 => ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"),
                    _ => ("SAVEPOINT fails", "RELEASE fails", "ROLLBACK TO fails; RELEASE fails"),
                };
                self.batch(begin);
                let failure = self.statement(step, &mut plain).err().or_else(|| self.batch(keep));
                if failure.is_some() {
                    self.batch(undo);
                }
                failure
            }
            _ => {
                let failure = self.statement(step, &mut plain).err();
                if self.depth > 0 && self.connection.is_autocommit() {
                    self.rolled_back.clone_from(&failure);
                }
                failure
            }
        };
        plain
    }

    fn batch(&self, sql: &str) -> Option<Failure> {
        self.connection.execute_batch(sql).map_err(failure).err()
    }

    fn statement(&self, step: &Step, plain: &mut Plain) -> Result<(), Failure> {
        self.stops.store(step.does == Does::Read, Relaxed);
        let last = self.last_insert_id();
        // Whether it inserts anything is seen by a number that no row has, unless the statement itself asks for the last one.
        let asks = step.sql.contains("last_insert_rowid");
        if !asks {
            self.set_last_insert_id(NOBODY);
        }
        let done = self.prepared(step, plain);
        plain.last_insert_id = match self.last_insert_id() {
            NOBODY => 0,
            same if asks && same == last => 0,
            inserted => inserted,
        };
        if plain.last_insert_id == 0 {
            self.set_last_insert_id(last);
        }
        done
    }

    fn last_insert_id(&self) -> i64 {
        self.connection.last_insert_rowid()
    }

    fn set_last_insert_id(&self, id: i64) {
        // SAFETY: the connection is open, and nobody else uses it.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.connection.handle(), id) };
    }

    fn prepared(&self, step: &Step, plain: &mut Plain) -> Result<(), Failure> {
        let mut statement = self.connection.prepare(&step.sql).map_err(failure)?;
        assert_eq!(
            statement.parameter_count(),
            step.values.len(),
            "the generator binds what it writes: {}",
            step.sql
        );
        plain.names = statement.column_names().map(str::to_owned).collect();
        let columns = plain.names.len();
        for at in 1..=step.values.len() {
            // SQLite itself numbers `$2` as it comes.
            let number =
                statement.parameter_name(at).map_or(at, |name| name[1..].parse().expect("it has a number"));
            statement.raw_bind_parameter(at, Bound(&step.values[number - 1])).map_err(failure)?;
        }
        let mut rows = statement.raw_query();
        let mut bytes = Vec::new();
        while let Some(row) = rows.next().map_err(failure)? {
            plain.rows += 1;
            for column in 0..columns {
                bytes.clear();
                put(&mut bytes, row.get_ref(column).expect("it has that column"));
                carry(plain, &bytes);
            }
        }
        drop(rows);
        drop(statement);
        if matches!(step.does, Does::Insert | Does::Change) {
            plain.changed = self.connection.changes();
        }
        Ok(())
    }
}

/// In the form in which `courier.c` writes rows, and counted in the pieces in which it does.
fn carry(plain: &mut Plain, value: &[u8]) {
    for byte in value {
        plain.hash = (plain.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    if plain.carried.len() + value.len() <= CARRIED {
        plain.carried.extend(value);
    }
}

fn put(to: &mut Vec<u8>, value: ValueRef<'_>) {
    let bytes = |to: &mut Vec<u8>, kind, bytes: &[u8]| {
        to.push(kind);
        to.extend((bytes.len() as u32).to_ne_bytes());
        to.extend(bytes);
    };
    match value {
        ValueRef::Null => to.push(0),
        ValueRef::Integer(integer) => {
            to.push(1);
            to.extend(integer.to_ne_bytes());
        }
        ValueRef::Real(real) => {
            to.push(2);
            to.extend(real.to_ne_bytes());
        }
        ValueRef::Text(text) => bytes(to, 3, text),
        ValueRef::Blob(blob) => bytes(to, 4, blob),
    }
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0.into()))
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::SqliteFailure(error, text) => {
            Failure { code: error.extended_code, text: text.unwrap_or_default(), offset: None }
        }
        Error::SqlInputError { error, msg, offset, .. } => {
            Failure { code: error.extended_code, text: msg, offset: usize::try_from(offset).ok() }
        }
        error => panic!("SQLite itself fails otherwise: {error}"),
    }
}
