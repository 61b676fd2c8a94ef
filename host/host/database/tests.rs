//! Databases as an application has them, in a host that runs no plugin. `asked` is an operator at the control socket.

#[cfg(unix)]
mod asked;

use std::{
    fs,
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use tempfile::TempDir;

use super::*;
use crate::Settings;

/// A host, and a database of `probe` for nobody and for acme.
struct Bed {
    host: Host,
    folder: TempDir,
}

/// Counts without end, and gives one row.
const ENDLESS: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n WHERE x = 1 OR x < 0";

const AN_HOUR: Option<Duration> = Some(Duration::from_secs(3_600));

impl Bed {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut settings = Settings { data: Some(folder.path().join("data")), ..Settings::default() };
        settings.control.enabled = false;
        change(&mut settings);
        let host = Host::builder().settings(settings).build().expect("nobody has the folder");
        let bed = Self { host, folder };
        for tenant in ["", "acme"] {
            bed.make("probe", tenant);
        }
        bed
    }

    /// Makes a database, as its plugin would.
    fn make(&self, plugin: &str, tenant: &str) {
        let core = self.host.inner.core;
        let tenant = core.tenants.named_by_application(tenant).expect("it is a name");
        let (number, id) = (1, plugin.into());
        let made = PluginDatabase { core, number, id, tenant, limit_bytes: None, writes: Writes::Allowed };
        made.script("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)", AN_HOUR).expect("it is made");
    }

    fn database(&self, tenant: &str) -> PluginDatabase {
        self.host.database("probe", tenant).expect("it has one")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn count(database: &PluginDatabase, sql: &str) -> i64 {
    let mut found = None;
    let one = database.query(sql, &[], None, |row| {
        found = Some(row.get(0)?);
        Ok(())
    });
    one.unwrap_or_else(|error| panic!("{sql}: {error}"));
    found.expect("it gives a row")
}

fn kind<T>(done: Result<T>) -> Option<ErrorKind> {
    done.err().map(|error| error.kind())
}

#[test]
fn one_reads_unless_it_says_that_it_writes() {
    let bed = Bed::new();
    let reading = bed.database("");
    let writing = reading.writing();
    let insert = "INSERT INTO t VALUES (?1, ?2)";
    let done = writing.execute(insert, &[7.into(), "seven".into()], None).expect("it is new");
    assert_eq!((done.changed, done.last_insert_id, done.rows), (1, 7, 0));
    for sql in [insert, "DELETE FROM t RETURNING a"] {
        let values: &[SqlValue] = if sql == insert { &[8.into(), SqlValue::Null] } else { &[] };
        assert_eq!(kind(reading.execute(sql, values, None)), Some(ErrorKind::Denied), "{sql}");
    }
    assert_eq!(kind(reading.script("DELETE FROM t", None)), Some(ErrorKind::Denied));
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    let done = reading.query_named(
        "SELECT b, a, 1.5 AS c, NULL, x'00' FROM t",
        &[],
        None,
        |told| {
            names = told.to_vec();
            Ok(())
        },
        |row| {
            rows.push((0..row.len()).filter_map(|at| row.value(at)).collect::<Vec<_>>());
            Ok(())
        },
    );
    assert_eq!(done.expect("it reads").rows, 1);
    assert_eq!(names, ["b", "a", "c", "NULL", "x'00'"]);
    assert_eq!(rows, [["seven".into(), 7.into(), 1.5.into(), SqlValue::Null, SqlValue::Blob(vec![0])]]);
    assert_eq!(count(&bed.database("acme"), "SELECT count(*) FROM t"), 0);
    let size = reading.size().expect("it is there");
    assert!(size.bytes > size.free_bytes && size.limit_bytes >= size.bytes, "{size:?}");
}

#[test]
fn whoever_takes_rows_may_refuse_them_and_what_was_written_for_them_is_undone() {
    let bed = Bed::new();
    let writing = bed.database("").writing();
    let refused =
        writing.query("INSERT INTO t VALUES (1, 2), (3, 4) RETURNING a", &[], None, |row| {
            match row.get::<i64>("a")? {
                1 => Ok(()),
                _ => Err(Error::new(ErrorKind::Cancelled, "enough")),
            }
        });
    assert_eq!(refused.expect_err("it was refused").to_string(), "enough");
    assert_eq!(count(&writing, "SELECT count(*) FROM t"), 0);
    let wrong = writing.execute("SELECT\n oops", &[], None).expect_err("there is no such column");
    assert_eq!((wrong.kind(), wrong.sql_offset()), (ErrorKind::InvalidArgument, Some(8)));
}

#[test]
fn who_has_no_database_is_not_found_and_gets_none_by_being_read() {
    let bed = Bed::new();
    assert_eq!(kind(bed.host.database("nobody", "")), Some(ErrorKind::NotFound));
    let gone = bed.database("gone");
    assert_eq!(kind(gone.execute("SELECT 1", &[], None)), Some(ErrorKind::NotFound));
    assert_eq!(kind(gone.size()), Some(ErrorKind::NotFound));
    assert_eq!(
        kind(gone.backup(bed.path("copy"), &BackupOptions::default(), |_, _| Ok(()))),
        Some(ErrorKind::NotFound)
    );
    let listed = bed.host.databases().expect("they can be listed");
    let names: Vec<_> = listed.databases.iter().map(|it| (&*it.plugin, &*it.tenant)).collect();
    assert_eq!(names, [("probe", ""), ("probe", "acme")]);
    assert!(listed.problems.is_empty(), "{:?}", listed.problems);
    gone.writing().script("CREATE TABLE t (a)", None).expect("it is made");
    assert_eq!(bed.host.databases().expect("they can be listed").databases.len(), 3);
}

#[test]
fn the_deadline_of_a_statement_is_its_own() {
    let bed = Bed::with(|settings| settings.database.statement = Duration::from_millis(1));
    let database = bed.database("");
    let sql =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500000) SELECT max(x) FROM n";
    assert_eq!(kind(database.execute(sql, &[], None)), Some(ErrorKind::Timeout));
    assert_eq!(kind(database.execute(sql, &[], AN_HOUR)), None);
    let shorter = Some(Duration::from_micros(1));
    assert_eq!(kind(database.execute(ENDLESS, &[], shorter)), Some(ErrorKind::Timeout));
}

/// Somebody commits between any two pieces of the copy: one that began again each time would never end.
#[test]
fn a_copy_is_of_one_state_and_ends_however_much_is_written_meanwhile() {
    let bed = Bed::new();
    let writing = bed.database("").writing();
    let bulk = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 20000)
        INSERT INTO t SELECT x, hex(randomblob(200)) FROM n; CREATE TABLE pairs (n INTEGER); INSERT INTO pairs VALUES (0), (0)";
    writing.script(bulk, None).expect("there is room");
    let (commits, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (to, mut told) = (bed.path("copy"), Vec::new());
    let report = thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(SeqCst) {
                let sql = "UPDATE pairs SET n = n + 1";
                writing.execute(sql, &[], None).expect("nobody holds it up");
                let sql = "UPDATE t SET b = hex(randomblob(200)) WHERE a = abs(random() % 20000)";
                writing.execute(sql, &[], None).expect("nobody holds it up");
                commits.fetch_add(1, SeqCst);
            }
        });
        let done = writing.backup(&to, &BackupOptions::default(), |done, of| {
            told.push((done, of));
            if told.len() > 1_000 {
                return Err(Error::new(ErrorKind::Cancelled, "it begins again and again"));
            }
            let before = commits.load(SeqCst);
            while commits.load(SeqCst) < before + 2 {
                thread::yield_now();
            }
            Ok(())
        });
        over.store(true, SeqCst);
        done
    });
    let report = report.expect("there is room");
    assert_eq!((&report.path, report.bytes), (&to, fs::metadata(&to).expect("it is there").len()));
    let pieces = report.bytes.div_ceil(1 << 20) as usize;
    assert!(pieces > 5 && told.len() <= pieces + 2, "it began again: {told:?}");
    assert_eq!(told.last(), Some(&(report.bytes, report.bytes)));
    assert!(told.is_sorted());
    assert_eq!(others_of(&to), 0, "something is left beside it");
    // It is a database on its own, for whoever reads it.
    let copy = rusqlite::Connection::open(&to).expect("it is a database");
    let one = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, String>(0)).expect("it reads");
    assert_eq!(one("PRAGMA integrity_check"), "ok");
    assert_eq!(one("SELECT count(DISTINCT n) || ' ' || (SELECT count(*) FROM t) FROM pairs"), "1 20000");
    assert_eq!(one("SELECT plugin || ' ' || tenant FROM pintle_owner"), "probe ");
}

/// How many files have names that begin with that of this one.
fn others_of(path: &Path) -> usize {
    let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
    let beside = fs::read_dir(path.parent().expect("it lies in one")).expect("it is there");
    let names = beside.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|other| other.starts_with(&name) && *other != name).count()
}

#[test]
fn a_copy_that_is_given_up_leaves_nothing_and_one_that_is_there_is_not_replaced() {
    let bed = Bed::new();
    let (database, to) = (bed.database(""), bed.path("copy"));
    let enough = |_, _| Err(Error::new(ErrorKind::Cancelled, "enough"));
    assert_eq!(kind(database.backup(&to, &BackupOptions::default(), enough)), Some(ErrorKind::Cancelled));
    let at_once = BackupOptions { timeout: Some(Duration::ZERO), ..BackupOptions::default() };
    assert_eq!(kind(database.backup(&to, &at_once, |_, _| Ok(()))), Some(ErrorKind::Timeout));
    assert!(!to.exists() && others_of(&to) == 0);
    let other = bed.path("other");
    let copied = bed.host.inner.core.database.backup("probe", "acme", &other);
    assert_eq!(copied.expect("it is there"), fs::metadata(&other).expect("it was made").len());
    fs::write(&to, b"mine").expect("there is room");
    let refused = database.backup(&to, &BackupOptions::default(), |_, _| Ok(()));
    assert_eq!(kind(refused), Some(ErrorKind::Conflict));
    assert_eq!(fs::read(&to).expect("it is there"), b"mine");
    let replace = BackupOptions { overwrite: true, ..BackupOptions::default() };
    let report = database.backup(&to, &replace, |_, _| Ok(())).expect("it may");
    assert_eq!((fs::metadata(&to).expect("it is there").len(), others_of(&to)), (report.bytes, 0));
}

#[test]
fn what_is_in_use_is_not_removed_and_what_is_removed_is_gone_with_all_that_lies_beside_it() {
    let bed = Bed::new();
    let (database, host) = (bed.database(""), &bed.host);
    let busy = |what: &str| {
        for tenant in [Some(""), None] {
            assert_eq!(kind(host.remove_databases("probe", tenant)), Some(ErrorKind::Busy), "{what}");
        }
        Ok(())
    };
    database.query("SELECT 1", &[], None, |_| busy("it is read")).expect("it reads");
    let copied = database.backup(bed.path("copy"), &BackupOptions::default(), |_, _| busy("it is copied"));
    copied.expect("there is room");
    database.writing().execute("INSERT INTO t VALUES (1, 1)", &[], None).expect("it is new");
    let gone = host.remove_databases("probe", Some("acme")).expect("nobody uses it");
    assert_eq!(gone.iter().map(|it| (&*it.plugin, &*it.tenant)).collect::<Vec<_>>(), [("probe", "acme")]);
    assert_eq!(host.databases().expect("they can be listed").databases.len(), 1);
    let gone = host.remove_databases("probe", None).expect("nobody uses it");
    assert_eq!(gone.len(), 1);
    assert!(!bed.path("data/sql/p-probe").exists(), "the folder is left");
    assert_eq!(host.remove_databases("probe", None).expect("there is none"), []);
    assert_eq!(kind(host.database("probe", "")), Some(ErrorKind::NotFound));
    // One that is made anew has nothing of the old one.
    bed.make("probe", "");
    assert_eq!(count(&bed.database(""), "SELECT count(*) FROM t"), 0);
}

#[test]
fn a_stop_ends_what_runs_and_waits_until_all_is_closed() {
    let bed = Bed::new();
    let (running, runs) = mpsc::channel();
    let database = bed.database("");
    thread::scope(|threads| {
        let statement = threads.spawn(|| {
            database.query(ENDLESS, &[], AN_HOUR, |_| {
                let _ = running.send(());
                Ok(())
            })
        });
        runs.recv().expect("it begins");
        let stopped = bed.host.stop_within(Duration::from_secs(60));
        assert!(stopped.left.is_empty(), "{:?}", stopped.left);
        assert_eq!(kind(statement.join().expect("it ends")), Some(ErrorKind::Stopping));
    });
    assert!(!bed.path("data/sql/p-probe/system.db-wal").exists(), "it is not closed");
    for late in [
        kind(database.execute("SELECT 1", &[], None)),
        kind(database.writing().script("DELETE FROM t", None)),
        kind(database.size()),
        kind(database.backup(bed.path("copy"), &BackupOptions::default(), |_, _| Ok(()))),
        kind(bed.host.remove_databases("probe", None)),
    ] {
        assert_eq!(late, Some(ErrorKind::Stopping));
    }
    assert!(bed.path("data/sql/p-probe/system.db").exists());
}

#[test]
fn whoever_holds_up_his_rows_is_named_and_left_behind_and_the_folder_with_him() {
    let bed = Bed::new();
    let (running, runs) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let database = bed.database("");
    let data = bed.path("data");
    let another = || Host::builder().data(&data).build();
    thread::scope(|threads| {
        threads.spawn(move || {
            database.query("SELECT 1", &[], None, |_| {
                let _ = running.send(());
                let _ = released.recv();
                Ok(())
            })
        });
        runs.recv().expect("it begins");
        let stopped = bed.host.stop_within(Duration::from_millis(500));
        assert!(
            stopped.left.iter().any(|left| left.contains("the databases of plugins")),
            "{:?}",
            stopped.left
        );
        assert_eq!(kind(another()), Some(ErrorKind::Conflict));
        drop(release);
    });
    // Whoever closed it gives the folder back when it is closed.
    while another().is_err() {
        thread::yield_now();
    }
}
