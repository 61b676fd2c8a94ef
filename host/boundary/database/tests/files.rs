//! Which files are taken for a plugin's database.

use std::{fs, time::Instant};

use rusqlite::Connection;

use super::*;

/// What happens to a file while nobody has it open.
type Change = dyn Fn(&Path);

/// A bed whose database was used and is closed, to be found otherwise.
fn used(change: impl FnOnce(&Path)) -> Bed {
    let bed = Bed::new();
    bed.script(None, "CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(20000))").expect("it is made");
    let log = bed.folder.path().join("sql/p-probe/system.db-wal");
    let deadline = Instant::now() + Duration::from_secs(60);
    // The thread that closes it may not have seen yet that it is used.
    while log.exists() {
        assert!(Instant::now() < deadline, "it is never closed");
        bed.clock.advance(Duration::from_secs(61));
        std::thread::yield_now();
    }
    change(&bed.file());
    bed
}

#[test]
fn a_file_that_is_not_the_plugins_database_is_refused_and_kept() {
    let sql = |sql: &'static str| {
        move |path: &Path| Connection::open(path).and_then(|file| file.execute_batch(sql)).expect(sql)
    };
    let cases: [(&str, Box<Change>); 9] = [
        ("is no database of a plugin", Box::new(sql("PRAGMA application_id = 5"))),
        ("is the database of plugin \"other\"", Box::new(sql("UPDATE pintle_owner SET plugin = 'other'"))),
        (
            "is the database of plugin \"probe\" and tenant \"x\"",
            Box::new(sql("UPDATE pintle_owner SET tenant = 'x'")),
        ),
        ("does not say whose", Box::new(sql("DELETE FROM pintle_owner"))),
        ("is of a newer host", Box::new(sql("UPDATE pintle_owner SET layout = 2"))),
        ("damaged", Box::new(|path| fs::write(path, vec![0x5a; 8192]).expect("it is written"))),
        (
            "",
            Box::new(|path| {
                let mut bytes = fs::read(path).expect("it is there");
                bytes[100..].fill(0x5a);
                fs::write(path, bytes).expect("it is written");
            }),
        ),
        (
            "",
            Box::new(|path| {
                fs::remove_file(path).expect("it is there");
                fs::create_dir(path).expect("it is made");
            }),
        ),
        #[cfg(unix)]
        (
            "",
            Box::new(|path| {
                let aside = path.with_extension("aside");
                fs::rename(path, &aside).expect("it is there");
                std::os::unix::fs::symlink(&aside, path).expect("it is made");
            }),
        ),
        #[cfg(not(unix))]
        ("", Box::new(|path| fs::write(path, vec![0x5a; 8192]).expect("it is written"))),
    ];
    for (at, (text, change)) in cases.into_iter().enumerate() {
        let bed = used(change);
        let before = fs::read(bed.file()).ok();
        for _ in 0..3 {
            let fault = bed.done(None, "SELECT 1").expect_err("it is not taken");
            assert_eq!(fault.kind(), ErrorKind::Unavailable, "case {at}: {}", fault.error);
            assert!(fault.error.to_string().contains(text), "case {at}: {}", fault.error);
        }
        assert!(fs::read(bed.file()).ok() == before, "case {at}: the file was changed");
        // The others go on, and no place is lost.
        let other: Arc<str> = "other".into();
        bed.database
            .run(&bed.asks_of(8, &other), None, &statement("CREATE TABLE t (a)", &[]), &mut NoRows)
            .expect("it has nothing to do with that");
    }
}

#[test]
fn a_file_without_a_table_is_laid_out_anew() {
    let empty = |path: &Path| fs::write(path, b"").expect("it is written");
    // As a host leaves it that is killed between making the file and writing whose it is.
    let begun = |path: &Path| {
        empty(path);
        Connection::open(path)
            .and_then(|file| file.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA user_version = 0"))
            .expect("it has a page");
        assert!(fs::metadata(path).expect("it is there").len() > 0);
    };
    for change in [&empty as &Change, &begun] {
        let bed = used(change);
        assert_eq!(bed.one(None, "SELECT count(*) FROM sqlite_schema WHERE name = 't'"), "0");
    }
}

#[cfg(unix)]
#[test]
fn the_data_folder_may_lie_behind_a_link_and_what_lies_in_it_may_not() {
    let real = tempfile::tempdir().expect("there is a place for temporary files");
    let links = tempfile::tempdir().expect("there is a place for temporary files");
    let link = links.path().join("data");
    std::os::unix::fs::symlink(real.path(), &link).expect("it is made");
    let bed = Bed::with(|options| options.data = link.clone());
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let elsewhere = links.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("it is made");
    std::os::unix::fs::symlink(&elsewhere, real.path().join("sql/p-other")).expect("it is made");
    let other: Arc<str> = "other".into();
    let fault = bed
        .database
        .run(&bed.asks_of(8, &other), None, &statement("SELECT 1", &[]), &mut NoRows)
        .expect_err("it is behind a link");
    assert_eq!(fault.kind(), ErrorKind::Unavailable, "{}", fault.error);
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0);
}

#[cfg(unix)]
#[test]
fn files_and_folders_are_for_this_user_only() {
    use std::os::unix::fs::PermissionsExt;

    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&bed.file()), 0o600);
    assert_eq!(mode(&bed.file().with_extension("db-wal")), 0o600);
    assert_eq!(mode(bed.file().parent().expect("it has one")), 0o700);
}
