//! Which files are taken for a ledger: every refusal says what to do, and leaves every byte where it is.

use std::{collections::BTreeMap, fs, path::Path};

use rusqlite::Connection;

use super::{
    tests::{Then, folder, note, numbers, open, try_open},
    *,
};

const NOTES: &str = "CREATE TABLE notes (number INTEGER PRIMARY KEY, text BLOB NOT NULL) STRICT";
const SCHEMA: Schema = Schema { service: "notes", steps: &[NOTES] };

/// What lies in the folder. An empty log is none, and what SQLite shares among those who have the file open does not
/// last.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).expect("it is there").map(|entry| {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap_or_default())
    });
    let goes =
        |name: &str, bytes: &[u8]| name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty();
    files.filter(|(name, bytes)| !goes(name, bytes)).collect()
}

fn statements(file: &Path, statements: &str) {
    let connection = Connection::open(file).expect("it can be opened");
    connection.execute_batch(statements).expect("they are right");
}

/// A ledger with a hundred pages of notes, closed.
fn written(file: &Path) {
    let options = tests::options(&[SCHEMA]);
    let ledger = Ledger::open(file, options).expect("nothing is in its way");
    for number in 0..100 {
        let mut note = note(number, Then::Answer);
        note.text = vec![7; 3_000];
        ledger.write(note).expect("nothing is in its way");
    }
}

#[test]
fn a_new_ledger_says_what_it_is_and_is_nobody_elses_business() {
    let folder = folder();
    drop(open(&folder));
    let file = folder.path().join("ledger.db");
    let connection = Connection::open(&file).expect("it is a database");
    let number = |name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("it is a number")
    };
    assert_eq!((number("application_id"), number("user_version")), (0x506e_746c, 1));
    assert_eq!(number("auto_vacuum"), 2, "incremental, from the first page on");
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("it is a word");
    assert_eq!(mode, "wal");
    #[cfg(unix)]
    {
        let rights = fs::metadata(&file).expect("it is there").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&rights) & 0o777, 0o600);
    }
}

#[test]
fn what_is_no_ledger_of_this_host_is_refused_with_what_to_do_and_kept() {
    type Prepare = fn(&Path);
    let cases: [(&str, Prepare, ErrorKind, &[&str]); 11] = [
        (
            "a text",
            |file| fs::write(file, "shopping list\n".repeat(500)).expect("it can be written"),
            ErrorKind::Unavailable,
            &["is no database", "kept as it is", "move it and its -wal away"],
        ),
        (
            "a few bytes",
            |file| fs::write(file, "SQLite").expect("it can be written"),
            ErrorKind::Unavailable,
            &["is no database", "kept as it is"],
        ),
        (
            "a folder",
            |file| fs::create_dir(file).expect("it can be made"),
            ErrorKind::Unavailable,
            &["is not a file"],
        ),
        (
            "another program's database",
            |file| statements(file, "PRAGMA journal_mode = WAL; CREATE TABLE notes (text)"),
            ErrorKind::Unavailable,
            &["is a database of another program", "kept as it is"],
        ),
        (
            "a ledger that was cut off",
            |file| {
                written(file);
                let all = fs::read(file).expect("it can be read");
                fs::write(file, &all[..all.len() / 2]).expect("it can be written");
            },
            ErrorKind::Unavailable,
            &["is damaged", "kept as it is", "put a backup in its place"],
        ),
        (
            "a ledger whose table of contents is overwritten",
            |file| {
                written(file);
                let mut all = fs::read(file).expect("it can be read");
                all[100..4096].fill(0xa5);
                fs::write(file, all).expect("it can be written");
            },
            ErrorKind::Unavailable,
            &["is damaged", "kept as it is", "put a backup in its place"],
        ),
        (
            "a log whose file is gone",
            |file| fs::write(file.with_file_name("ledger.db-wal"), [1; 5_000]).expect("it can be written"),
            ErrorKind::Unavailable,
            &["is empty or gone", "ledger.db-wal still has what was written last", "put the file back"],
        ),
        (
            "a ledger of a newer form",
            |file| {
                written(file);
                statements(file, "PRAGMA user_version = 7");
            },
            ErrorKind::Unsupported,
            &["it has form 7, this host knows 1", "update the host or use another data folder"],
        ),
        (
            "newer tables of a service",
            |file| {
                let newer = Schema { service: "notes", steps: &[NOTES, "CREATE TABLE more (a TEXT) STRICT"] };
                drop(Ledger::open(file, tests::options(&[newer])).expect("nothing is in its way"));
            },
            ErrorKind::Unsupported,
            &["its notes has form 2, this host knows 1", "update the host or use another data folder"],
        ),
        (
            "tables of a service that came later",
            |file| {
                let later = Schema { service: "letters", steps: &["CREATE TABLE letters (a TEXT) STRICT"] };
                drop(Ledger::open(file, tests::options(&[SCHEMA, later])).expect("nothing is in its way"));
            },
            ErrorKind::Unsupported,
            &["a service that this host does not know, letters", "update the host"],
        ),
        (
            "a newer ledger that was not closed",
            |file| {
                written(file);
                let copied = file.with_file_name("copied.db");
                let connection = Connection::open(file).expect("it can be opened");
                connection.execute_batch("PRAGMA user_version = 7").expect("it can be written");
                // As a crash leaves it: the last commit is in the log alone.
                fs::copy(file, &copied).expect("it can be copied");
                fs::copy(file.with_file_name("ledger.db-wal"), file.with_file_name("copied.db-wal"))
                    .expect("it can be copied");
                drop(connection);
                fs::rename(&copied, file).expect("it can be moved");
                fs::rename(file.with_file_name("copied.db-wal"), file.with_file_name("ledger.db-wal"))
                    .expect("it can be moved");
            },
            ErrorKind::Unsupported,
            &["it has form 7, this host knows 1"],
        ),
    ];
    for (name, prepare, kind, says) in cases {
        let folder = folder();
        prepare(&folder.path().join("ledger.db"));
        let before = files(folder.path());
        let Err(error) = try_open(&folder, &[SCHEMA]) else { panic!("{name} is taken for a ledger") };
        assert_eq!(error.kind(), kind, "{name}: {error}");
        let text = error.to_string();
        for part in says.iter().chain(&["ledger.db"]) {
            assert!(text.contains(part), "{name}: {text:?} does not say {part:?}");
        }
        assert!(before == files(folder.path()), "{name} was changed");
        let Err(again) = try_open(&folder, &[SCHEMA]) else { panic!("{name} is taken the second time") };
        assert_eq!(again.to_string(), text);
    }
}

#[test]
fn damage_that_shows_later_is_told_where_it_is_met() {
    let folder = folder();
    let file = folder.path().join("ledger.db");
    written(&file);
    let mut all = fs::read(&file).expect("it can be read");
    let middle = all.len() / 4096 / 2 * 4096;
    all[middle..].fill(0xa5);
    fs::write(&file, all).expect("it can be written");
    let ledger = open(&folder);
    let read = ledger.read(|ledger| {
        Ok(ledger.query_row(
            "SELECT sum(length(text) + number) FROM notes WHERE text <> x'00'",
            [],
            |row| row.get::<_, i64>(0),
        )?)
    });
    let error = read.expect_err("half of it is gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected = format!(
        "{} is damaged: stop the host, move it and its -wal away, together, and put a backup in its place",
        file.display()
    );
    assert_eq!(error.to_string(), expected);
    let error = ledger.write(note(1_000, Then::Answer)).expect_err("the last page is gone");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_ledger_that_another_has_locked_says_so() {
    let folder = folder();
    drop(open(&folder));
    let other = Connection::open(folder.path().join("ledger.db")).expect("it is a database");
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("nobody else has it");
    let Err(error) = try_open(&folder, &[SCHEMA]) else { panic!("it is locked") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("another process has"), "{error}");
    drop(other);
    open(&folder).write(note(1, Then::Answer)).expect("it is free again");
}

/// The log lies beside the file, not beside the link to it.
#[cfg(unix)]
#[test]
fn a_ledger_that_is_linked_to_keeps_its_log_too() {
    let disk = folder();
    let folder = folder();
    let (file, log) = (disk.path().join("real.db"), disk.path().join("real.db-wal"));
    std::os::unix::fs::symlink(&file, folder.path().join("ledger.db")).expect("it can be made");
    fs::write(&file, "").expect("it can be written");
    fs::write(&log, [1; 5_000]).expect("it can be written");
    let Err(error) = try_open(&folder, &[SCHEMA]) else { panic!("the log is thrown away") };
    assert!(error.to_string().contains("real.db-wal still has what was written last"), "{error}");
    assert_eq!(fs::read(&log).expect("it is kept"), [1; 5_000]);
    fs::remove_file(&log).expect("it is there");
    open(&folder).write(note(1, Then::Answer)).expect("nothing is in its way");
}

/// What a log of another state of the file does to a backup: SQLite plays it into whatever file lies there.
#[test]
fn who_is_told_to_use_a_backup_is_told_to_take_the_old_log_away() {
    let folder = folder();
    let file = folder.path().join("ledger.db");
    fs::write(&file, "SQLite format 3\0 and then nothing").expect("it can be written");
    let Err(error) = try_open(&folder, &[SCHEMA]) else { panic!("it is nonsense") };
    for text in [error.to_string(), fault::damaged(&file).to_string()] {
        assert!(text.contains("move it and its -wal away"), "{text}");
    }
}

#[test]
fn tables_grow_step_by_step_and_keep_what_is_in_them() {
    let grown = |second: &'static str| Schema {
        service: "notes",
        steps: match second {
            "good" => &[NOTES, "ALTER TABLE notes ADD COLUMN seen INTEGER NOT NULL DEFAULT 5"],
            _ => &[NOTES, "ALTER TABLE notes ADD COLUMN seen INTEGER; DROP TABLE notes; CREATE NONSENSE"],
        },
    };
    let other = Schema { service: "letters", steps: &["CREATE TABLE letters (a TEXT) STRICT"] };
    let folder = folder();
    let ledger = open(&folder);
    ledger.write(note(1, Then::Answer)).expect("nothing is wrong");
    drop(ledger);
    let Err(error) = try_open(&folder, &[other, grown("bad")]) else { panic!("the step is nonsense") };
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!error.to_string().contains("NONSENSE"), "{error}");
    let ledger = open(&folder);
    assert!(numbers(&ledger).contains(&1), "it is the old one: neither step was taken");
    drop(ledger);
    for _ in 0..2 {
        let ledger = try_open(&folder, &[other, grown("good")]).expect("nothing is in its way");
        let seen =
            |ledger: &Connection| Ok(ledger.query_row("SELECT seen FROM notes", [], |row| row.get(0))?);
        assert_eq!(ledger.read::<i64>(seen).expect("the column is there"), 5);
    }
    assert!(try_open(&folder, &[other, SCHEMA]).is_err(), "there is no way back");
}

#[test]
fn a_ledger_that_is_up_to_date_opens_on_a_full_disk() {
    let folder = folder();
    written(&folder.path().join("ledger.db"));
    let before = files(folder.path());
    drop(open(&folder));
    assert!(before == files(folder.path()), "opening and closing writes nothing");
}
