//! A disk that really is full.

use std::fs;

use super::*;
use crate::services::small_disk;

#[test]
fn a_full_disk_is_told_from_a_full_database_and_with_room_it_goes_on() {
    small_disk::run("8m", "boundary::database::tests::small_disk::child");
}

/// What runs where the small disk is.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Some(disk) = small_disk::place() else { return };
    let bed = Bed::with(|options| options.data = disk.clone());
    bed.done(None, "CREATE TABLE t (a)").expect("there is room for this");
    let filler = disk.join("filler");
    fs::write(&filler, vec![1; 5 << 20]).expect("most of the disk");
    let insert = || bed.done(None, "INSERT INTO t VALUES (randomblob(100000))");
    let mut written = 0;
    let fault = loop {
        match insert() {
            Ok(_) => written += 1,
            Err(fault) => break fault,
        }
        assert!(written < 100, "the disk has no end");
    };
    assert_eq!(fault.kind(), ErrorKind::Unavailable, "{}", fault.error);
    assert!(fault.error.to_string().contains("the disk of the data folder is full"), "{}", fault.error);
    println!("the disk was full: {written} rows were written");
    let transaction = bed.begin();
    let failed = (0..100)
        .find_map(|_| bed.done(Some(&transaction), "INSERT INTO t VALUES (randomblob(100000))").err());
    let ended = bed.database.commit(&bed.asks(), &transaction);
    let kind = failed.map(|fault| fault.kind()).or(ended.err().map(|error| error.kind()));
    assert_eq!(kind, Some(ErrorKind::Unavailable));
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), written.to_string());
    fs::remove_file(&filler).expect("it is there");
    insert().expect("there is room again");
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), (written + 1).to_string());
    assert_eq!(bed.one(None, "PRAGMA integrity_check"), "\"ok\"");
}
