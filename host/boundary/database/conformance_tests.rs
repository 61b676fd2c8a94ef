//! The back end that keeps databases in files of SQLite, on the layer that really runs statements: what every back end must do,
//! and what is promised of this one alone.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{super::Borrowing, tests::databases_in};
use crate::{
    error::ErrorKind,
    identity::{DataScope, Tenants},
    services::{
        clock::ManualClock,
        database::{
            Asks, Caller, Migration, NoRows, SqlBackend, SqliteDatabases, SqliteOptions, Statement, Value,
            Writes,
            conformance::{Bed, CONNECTIONS, IDLE, LARGEST, suites},
        },
        ledger::Durability,
    },
};

/// The databases in a folder.
struct InFiles {
    data: TempDir,
    /// Beside the data folder.
    own: TempDir,
    clock: Arc<ManualClock>,
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

impl Bed for InFiles {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self { data: folder(), own: folder(), clock: Arc::clone(clock) }
    }

    fn backend(&self) -> Box<dyn SqlBackend> {
        Box::new(SqliteDatabases::new(SqliteOptions {
            data: self.data.path().to_owned(),
            durability: Durability::Off,
            clock: Arc::clone(&self.clock) as _,
            statements: Borrowing::open,
            connections: CONNECTIONS,
            idle: IDLE,
            largest: LARGEST,
            temporary_bytes: 64 << 20,
        }))
    }

    fn folder(&self) -> &Path {
        self.own.path()
    }

    fn restart(self) -> Self {
        self
    }

    fn put_back(&self, backup: &Path) {
        let mut files = Vec::new();
        files_below(self.data.path(), &mut files);
        let (databases, rest): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.extension().is_some_and(|end| end == "db"));
        let [database] = &databases[..] else { panic!("there is not one database: {databases:?}") };
        for file in rest {
            fs::remove_file(file).expect("nobody has it");
        }
        fs::copy(backup, database).expect("there is room");
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

suites!(InFiles);

/// The page that plugin authors read.
const PAGE: &str = include_str!("../../../docs/database.md");

#[test]
fn a_table_that_others_refer_to_is_replaced_as_the_page_says() {
    let replace = PAGE.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let (folder, tenants, id) = (folder(), Tenants::new(), Arc::from("meter"));
    let database = databases_in(folder.path(), ManualClock::at(0));
    let asks = Asks {
        scope: DataScope::new(1, &id, 0, &tenants),
        caller: Caller::PATIENT,
        timeout: None,
        limit_bytes: None,
    };
    let make = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
                CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id));
                INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 1), (2, 2), (3, 2)";
    let history = [
        Migration { number: 1, name: "make", sql: make },
        Migration { number: 2, name: "replace", sql: replace.expect("the page has SQL") },
    ];
    let (migrated, done) = database.migrate(&asks, &history, Writes::Allowed, false);
    done.expect("it is replaced");
    assert_eq!(migrated.applied, 2);
    let fails = |sql, values: &[Value<'_>]| {
        let statement = Statement { sql, values, max_rows: 1, writes: Writes::Allowed };
        database.run(&asks, None, &statement, &mut NoRows).expect_err(sql).kind()
    };
    // The new rule holds, the old rows are there, and so is what refers to them.
    assert_eq!(fails("UPDATE parent SET name = '' WHERE id = 1", &[]), ErrorKind::Conflict);
    assert_eq!(fails("DELETE FROM parent WHERE id = ?1", &[Value::Integer(2)]), ErrorKind::Conflict);
    // With rows missing it is not.
    let fewer = "PRAGMA defer_foreign_keys = ON; DELETE FROM parent WHERE id = 2";
    let history = [history[0], history[1], Migration { number: 3, name: "fewer", sql: fewer }];
    let (migrated, done) = database.migrate(&asks, &history, Writes::Allowed, false);
    assert_eq!(done.expect_err("rows refer to it").kind(), ErrorKind::Conflict);
    assert_eq!((migrated.applied, migrated.pending, migrated.current), (0, 1, 2));
}

#[test]
fn database_4_a_placeholder_is_a_number_in_each_of_its_spellings() {
    let (folder, tenants, id) = (folder(), Tenants::new(), Arc::from("meter"));
    let database = databases_in(folder.path(), ManualClock::at(0));
    let asks = Asks {
        scope: DataScope::new(1, &id, 0, &tenants),
        caller: Caller::PATIENT,
        timeout: None,
        limit_bytes: None,
    };
    let run = |sql, values: &[Value<'_>]| {
        let statement = Statement { sql, values, max_rows: 1, writes: Writes::Allowed };
        database.run(&asks, None, &statement, &mut NoRows).map(|done| done.rows).map_err(|fault| fault.kind())
    };
    let values = [Value::Integer(1), Value::Text(b"two")];
    for sql in [
        "SELECT 1 WHERE ?1 = 1 AND ?2 = 'two'",
        "SELECT 1 WHERE ? = 1 AND ? = 'two'",
        "SELECT 1 WHERE $1 = 1 AND $2 = 'two'",
        "SELECT 1 WHERE ?2 = 'two' AND ?1 = 1",
    ] {
        assert_eq!(run(sql, &values), Ok(1), "{sql}");
    }
    for sql in ["SELECT ?1, ?3", "SELECT :a, :b", "SELECT @a, ?2", "SELECT $a, $b", "SELECT ?1, :two"] {
        assert_eq!(run(sql, &values), Err(ErrorKind::InvalidArgument), "{sql}");
    }
}

#[test]
fn database_7_names_of_the_host_s_own_are_for_nobody_else() {
    let (folder, tenants, id) = (folder(), Tenants::new(), Arc::from("meter"));
    let database = databases_in(folder.path(), ManualClock::at(0));
    let asks = Asks {
        scope: DataScope::new(1, &id, 0, &tenants),
        caller: Caller::PATIENT,
        timeout: None,
        limit_bytes: None,
    };
    database.script(&asks, None, "CREATE TABLE t (k INTEGER)", Writes::Allowed).expect("there is none");
    for sql in [
        "CREATE TABLE pintle_mine (k)",
        "CREATE TABLE Pintle_Mine (k)",
        "CREATE TABLE \"pintle_mine\" AS SELECT 1",
        "CREATE VIEW pintle_mine AS SELECT 1",
        "CREATE INDEX pintle_mine ON t (k)",
        "CREATE TRIGGER pintle_mine AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE pintle_mine USING fts5 (a)",
        "CREATE TEMPORARY TABLE pintle_mine (k)",
        "SELECT * FROM pintle_owner",
        "DROP TABLE main.pintle_owner",
    ] {
        let done = database.script(&asks, None, sql, Writes::Allowed).map_err(|fault| fault.kind());
        assert_eq!(done, Err(ErrorKind::Denied), "{sql}");
    }
}
