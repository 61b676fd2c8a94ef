//! The databases on the layer that really runs statements: `services/database` knows that only by its trait.

mod connections;
mod fence;
mod files;
mod small_disk;
mod space;
mod statements;
mod transactions;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::super::Borrowing;
use crate::{
    error::{ErrorKind, Result},
    identity::{DataScope, Tenants},
    services::{
        clock::{Clock, ManualClock},
        database::{
            Asks, Caller, Database, Done, Fault, Gone, Handle, NoRows, Rows, SqlLimits, SqliteDatabases,
            SqliteOptions, Statement, Value, Writes,
        },
        ledger::Durability,
    },
};

struct Bed {
    database: Database,
    clock: Arc<ManualClock>,
    tenants: Tenants,
    id: Arc<str>,
    folder: TempDir,
}

/// The databases in a folder, with the limits of the default settings.
pub(in crate::boundary) fn databases_in(folder: &Path, clock: Arc<dyn Clock>) -> Database {
    database_of(options_in(folder, clock))
}

fn options_in(folder: &Path, clock: Arc<dyn Clock>) -> SqliteOptions {
    SqliteOptions {
        data: folder.to_owned(),
        durability: Durability::Off,
        clock,
        statements: Borrowing::open,
        connections: 8,
        idle: Duration::from_secs(60),
        largest: 1 << 20,
        temporary_bytes: 64 << 20,
    }
}

fn database_of(options: SqliteOptions) -> Database {
    let clock = Arc::clone(&options.clock);
    let limits = SqlLimits {
        statement: Duration::from_secs(5),
        transaction: Duration::from_secs(30),
        rows: 1_000_000,
        bytes: 256 << 20,
    };
    Database::new(Box::new(SqliteDatabases::new(options)), limits, clock)
}

/// The rows of a query, as text.
#[derive(Default)]
struct Listed(Vec<String>);

impl Rows for Listed {
    fn columns(&mut self, names: &[&str]) -> Result<()> {
        self.0.push(names.join("|"));
        Ok(())
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        let values: Vec<_> = values
            .iter()
            .map(|value| match value {
                Value::Null => "NULL".to_owned(),
                Value::Integer(integer) => integer.to_string(),
                Value::Real(real) => format!("{real:?}"),
                Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
                Value::Blob(blob) => format!("x{blob:?}"),
            })
            .collect();
        self.0.push(values.join("|"));
        Ok(())
    }
}

impl Bed {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SqliteOptions)) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let clock = ManualClock::at(0);
        let mut options = options_in(folder.path(), clock.clone());
        change(&mut options);
        let database = database_of(options);
        Self { database, clock, tenants: Tenants::new(), id: "probe".into(), folder }
    }

    fn asks(&self) -> Asks<'_> {
        self.asks_of(7, &self.id)
    }

    fn asks_of<'a>(&'a self, number: u64, id: &'a Arc<str>) -> Asks<'a> {
        let scope = DataScope::new(number, id, 0, &self.tenants);
        Asks { scope, caller: Caller::PATIENT, timeout: None, limit_bytes: None }
    }

    /// The file of the plugin that `asks` is for.
    fn file(&self) -> PathBuf {
        self.folder.path().join("sql/p-probe/system.db")
    }

    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<String>, Fault> {
        let mut rows = Listed::default();
        self.database.run(&self.asks(), None, &statement(sql, values), &mut rows)?;
        Ok(rows.0)
    }

    /// What it did, of a statement whose rows nobody wants.
    fn done(&self, within: Option<&Handle>, sql: &str) -> Result<Done, Fault> {
        self.database.run(&self.asks(), within, &statement(sql, &[]), &mut NoRows)
    }

    fn script(&self, within: Option<&Handle>, sql: &str) -> Result<Done, Fault> {
        self.database.script(&self.asks(), within, sql, Writes::Allowed)
    }

    fn begin(&self) -> Handle {
        self.database.begin(&self.asks(), None, false, None).expect("nobody writes")
    }

    /// The one value of a query that gives one.
    fn one(&self, within: Option<&Handle>, sql: &str) -> String {
        let mut rows = Listed::default();
        self.database.run(&self.asks(), within, &statement(sql, &[]), &mut rows).expect(sql);
        rows.0.pop().expect("one row")
    }
}

fn statement<'a>(sql: &'a str, values: &'a [Value<'a>]) -> Statement<'a> {
    Statement { sql, values, max_rows: 1_000, writes: Writes::Allowed }
}

/// Calls a function with each row.
struct Each<F>(F);

impl<F: FnMut(&[Value<'_>]) -> Result<()>> Rows for Each<F> {
    fn wants_columns(&self) -> bool {
        false
    }

    fn columns(&mut self, _: &[&str]) -> Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.0(values)
    }
}

/// Rows without end.
const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
