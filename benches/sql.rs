//! SQL through the C table of a plugin, beside bare rusqlite on the same file with the same settings (WAL, `synchronous=FULL`,
//! the same cache of pages) but without fence, deadline and limits: a query of one row by its key, 100,000 rows streamed, 1,000
//! inserts in a transaction. For the record: an insert by itself, an empty transaction, two threads that query, a blob of a
//! mebibyte, and a database that has to be opened and closed.
//!
//! `cargo bench -p pintle --bench sql`. `TMPDIR` says on which disk. The bars are those of issue 7. The baseline keeps its
//! statements prepared in its hand, while the plugin passes the text each time, as plugins do.

#[path = "measure/bars.rs"]
mod bars;
mod measure;
#[path = "measure/querier.rs"]
mod querier;
#[path = "measure/source.rs"]
mod source;

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Barrier, Mutex},
    thread,
};

use bars::{Report, pairs};
use measure::{measuring, rounds, time};
use querier::{Done, INSERTED, Plugin, What, Work};
use rusqlite::{Connection, config::DbConfig, params, types::ValueRef};

const ONE: &str = "SELECT id, weight, name, body FROM items WHERE id = ?1";
const STREAM: &str = "SELECT id, weight, name, body FROM many";
const INSERT: &str = "INSERT INTO written (id, weight, name, body) VALUES (?1, ?2, ?3, ?4)";
const BLOB: &str = "INSERT OR REPLACE INTO large (id, body) VALUES (1, ?1)";
const EMPTY_WRITTEN: &str = "DELETE FROM written";
const NOTED: &str = "a text of thirty-two bytes, or so";

/// Those that a query finds by their key: all of them stay in the cache of pages.
const ITEMS: i64 = 10_000;

const LAYOUT: &str = "
    CREATE TABLE items (id INTEGER PRIMARY KEY, weight REAL NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE many (id INTEGER PRIMARY KEY, weight REAL NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE written (id INTEGER PRIMARY KEY, weight REAL NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE large (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
";

fn main() -> ExitCode {
    let mut report = Report::default();
    let folder = tempfile::tempdir().expect("a folder for the files");
    let streamed: i64 = if measuring() { 100_000 } else { 1_000 };
    let plugin = Plugin::start(folder.path(), 16);
    plugin.script("", LAYOUT);
    plugin.script("", &filled("items", ITEMS));
    plugin.script("", &filled("many", streamed));
    let plain = Plain::open(&file(folder.path(), "system"));
    println!("SQL through the table, beside bare rusqlite on the same file:");
    one(&plugin, &plain, &mut report);
    stream(&plugin, &plain, streamed, &mut report);
    inserts(&plugin, &plain, &mut report);
    println!("for the record:");
    two_threads(&plugin, folder.path(), &mut report);
    insert(&plugin, &plain, &mut report);
    empty(&plugin, &plain, &mut report);
    blob(&plugin, &plain, &mut report);
    opened(&mut report);
    report.end()
}

/// Where the database of `querier` and a tenant lies.
fn file(data: &Path, name: &str) -> PathBuf {
    data.join("sql/p-querier").join(name).with_extension("db")
}

/// SQL that fills a table with so many rows.
fn filled(table: &str, rows: i64) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
        INSERT INTO {table} SELECT i, i * 0.5, 'the name of row ' || i, CAST('body ' || i AS BLOB) FROM n"
    )
}

/// Keys in an order of their own.
fn keys(turns: i64) -> Vec<i64> {
    // 7,919 is prime, so that this meets each of them.
    (0..turns).map(|at| at * 7_919 % ITEMS + 1).collect()
}

fn work<'a>(what: What, turns: u64, sql: &'a str, keys: &'a [i64], bytes: &'a [u8]) -> Work<'a> {
    Work { what, turns, sql, keys, bytes }
}

/// A query of one row, nanoseconds each.
fn one(plugin: &Plugin, plain: &Plain, report: &mut Report) {
    let keys = keys(if measuring() { 5_000 } else { 100 });
    let turns = keys.len() as f64;
    let expected = plain.ones(&keys);
    let subject = || {
        let done = plugin.run("", &work(What::One, keys.len() as u64, ONE, &keys, &[]), 1);
        assert_eq!((done.rows, done.sum), (expected.rows, expected.sum), "both read the same");
        done.took / turns
    };
    report.bar(
        "a row by its key",
        "ns",
        &pairs(rounds(41), || plain.ones(&keys).took / turns, subject),
        1.25,
    );
}

/// Many rows, nanoseconds each.
fn stream(plugin: &Plugin, plain: &Plain, streamed: i64, report: &mut Report) {
    let rows = streamed as f64;
    let expected = plain.stream();
    let subject = || {
        let done = plugin.run("", &work(What::Stream, 1, STREAM, &[], &[]), 1);
        assert_eq!((done.rows, done.sum), (expected.rows, expected.sum), "both read the same");
        done.took / rows
    };
    let what = format!("{streamed} rows of 4 columns, for each");
    report.bar(&what, "ns", &pairs(rounds(41), || plain.stream().took / rows, subject), 1.3);
}

/// Transactions with 1,000 inserts, microseconds each.
fn inserts(plugin: &Plugin, plain: &Plain, report: &mut Report) {
    let baseline = || {
        plain.run(EMPTY_WRITTEN);
        plain.inserts() / 1e3
    };
    let subject = || {
        plain.run(EMPTY_WRITTEN);
        plugin.run("", &work(What::Inserts, 1, INSERT, &[], NOTED.as_bytes()), 1).took / 1e3
    };
    report.bar("a transaction with 1,000 inserts", "us", &pairs(rounds(41), baseline, subject), 1.2);
}

/// The query of one row on two threads, nanoseconds for each of both.
fn two_threads(plugin: &Plugin, folder: &Path, report: &mut Report) {
    let keys = keys(if measuring() { 5_000 } else { 100 });
    let turns = 2.0 * keys.len() as f64;
    let plain = [(); 2].map(|()| Mutex::new(Plain::open(&file(folder, "system"))));
    let baseline = || {
        let begin = Barrier::new(3);
        let mut took = 0.0;
        thread::scope(|threads| {
            let both = plain.each_ref().map(|plain| {
                let (begin, keys) = (&begin, &keys);
                threads.spawn(move || {
                    let plain = plain.lock().expect("it is for this thread alone");
                    begin.wait();
                    plain.ones(keys)
                })
            });
            begin.wait();
            took = time(|| {
                for thread in both {
                    thread.join().expect("it reads");
                }
            });
        });
        took / turns
    };
    let subject = || plugin.run("", &work(What::One, keys.len() as u64, ONE, &keys, &[]), 2).took / turns;
    report.bar("a row by its key, on two threads", "ns", &pairs(rounds(21), baseline, subject), f64::NAN);
}

/// Inserts that are on disk when they return, microseconds each.
fn insert(plugin: &Plugin, plain: &Plain, report: &mut Report) {
    const TURNS: i64 = 20;
    let baseline = || {
        plain.run(EMPTY_WRITTEN);
        plain.insert(TURNS) / TURNS as f64 / 1e3
    };
    let subject = || {
        plain.run(EMPTY_WRITTEN);
        let work = work(What::Insert, TURNS as u64, INSERT, &[], NOTED.as_bytes());
        plugin.run("", &work, 1).took / TURNS as f64 / 1e3
    };
    report.bar("an insert by itself", "us", &pairs(rounds(21), baseline, subject), f64::NAN);
}

/// `begin` and `commit`, nanoseconds for both.
fn empty(plugin: &Plugin, plain: &Plain, report: &mut Report) {
    let turns = if measuring() { 2_000 } else { 10 };
    let baseline = || plain.empty(turns) / turns as f64;
    let subject = || plugin.run("", &work(What::Empty, turns, "", &[], &[]), 1).took / turns as f64;
    report.bar("a transaction with nothing in it", "ns", &pairs(rounds(21), baseline, subject), f64::NAN);
}

/// An insert of about a mebibyte, microseconds each.
fn blob(plugin: &Plugin, plain: &Plain, report: &mut Report) {
    let bytes = vec![7; (1 << 20) - 100];
    let subject = || plugin.run("", &work(What::Blob, 1, BLOB, &[], &bytes), 1).took / 1e3;
    report.bar(
        "a blob of a MiB, by itself",
        "us",
        &pairs(rounds(21), || plain.blob(&bytes) / 1e3, subject),
        f64::NAN,
    );
}

/// A database that is opened for one query and closed, microseconds each. Four may be open, eight are asked by turns.
fn opened(report: &mut Report) {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let plugin = Plugin::start(folder.path(), 4);
    let tenants = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for tenant in tenants {
        plugin.script(tenant, LAYOUT);
        plugin.script(tenant, &filled("items", 10));
    }
    let work = work(What::One, 1, ONE, &[1], &[]);
    let subject = || tenants.iter().map(|tenant| plugin.run(tenant, &work, 1).took).sum::<f64>() / 8.0 / 1e3;
    // Of its own: a database that the host has open would not be the last one to be closed.
    let files = tenants.map(|tenant| folder.path().join(tenant));
    for file in &files {
        let plain = Plain::open(file);
        plain.run(LAYOUT);
        plain.run(&filled("items", 10));
    }
    let baseline = || {
        let once = |file: &PathBuf| {
            time(|| {
                Plain::open(file).ones(&[1]);
            })
        };
        files.iter().map(once).sum::<f64>() / 8.0 / 1e3
    };
    report.bar(
        "a query that opens one and closes one",
        "us",
        &pairs(rounds(21), baseline, subject),
        f64::NAN,
    );
}

/// Bare rusqlite, set up as the host sets its connections up.
struct Plain(Connection);

impl Plain {
    fn open(path: &Path) -> Self {
        let plain = Connection::open(path).expect("SQLite opens it");
        plain
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;
                PRAGMA trusted_schema = OFF; PRAGMA cache_size = -2048; PRAGMA journal_size_limit = 4194304;",
            )
            .expect("nothing is in its way");
        plain.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).expect("SQLite knows it");
        Self(plain)
    }

    fn run(&self, sql: &str) {
        self.0.execute_batch(sql).expect("it can be run");
    }

    fn ones(&self, keys: &[i64]) -> Done {
        let mut one = self.0.prepare_cached(ONE).expect("it is right");
        let mut done = Done::default();
        done.took = time(|| {
            for key in keys {
                let took = one.query_row([key], |row| {
                    take(row, &mut done);
                    Ok(())
                });
                took.expect("it is there");
            }
        });
        black_box(done)
    }

    fn stream(&self) -> Done {
        let mut stream = self.0.prepare_cached(STREAM).expect("it is right");
        let mut done = Done::default();
        done.took = time(|| {
            let mut rows = stream.query([]).expect("it can be run");
            while let Some(row) = rows.next().expect("it can be read") {
                take(row, &mut done);
            }
        });
        black_box(done)
    }

    fn inserts(&self) -> f64 {
        time(|| {
            self.0.prepare_cached("BEGIN IMMEDIATE").and_then(|mut it| it.execute([])).expect("it begins");
            self.insert(INSERTED);
            self.0.prepare_cached("COMMIT").and_then(|mut it| it.execute([])).expect("it can be written");
        })
    }

    fn insert(&self, turns: i64) -> f64 {
        let mut insert = self.0.prepare_cached(INSERT).expect("it is right");
        time(|| {
            for turn in 0..turns {
                let values = params![turn + 1, turn as f64 * 0.5, NOTED, NOTED.as_bytes()];
                insert.execute(values).expect("it can be written");
            }
        })
    }

    fn empty(&self, turns: u64) -> f64 {
        let mut begin = self.0.prepare_cached("BEGIN IMMEDIATE").expect("it is right");
        let mut commit = self.0.prepare_cached("COMMIT").expect("it is right");
        time(|| {
            for _ in 0..turns {
                begin.execute([]).expect("it begins");
                commit.execute([]).expect("it ends");
            }
        })
    }

    fn blob(&self, bytes: &[u8]) -> f64 {
        let mut blob = self.0.prepare_cached(BLOB).expect("it is right");
        time(|| {
            blob.execute([bytes]).expect("it can be written");
        })
    }
}

/// Looks at each value of a row, as `querier.c` does.
fn take(row: &rusqlite::Row<'_>, done: &mut Done) {
    for column in 0..4 {
        let value = match row.get_ref(column).expect("there are four") {
            ValueRef::Integer(integer) => integer as u64,
            ValueRef::Real(real) => real as u64,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.first().copied().map_or(0, u64::from),
            ValueRef::Null => 0,
        };
        done.sum = done.sum.wrapping_add(value);
    }
    done.rows += 1;
}
