//! How much room a database, temporary files and memory take.

use super::*;

/// A bed where statements may have one mebibyte of temporary space and as long as they want.
fn narrow() -> Bed {
    let bed = Bed::with(|options| options.temporary_bytes = 1 << 20);
    let sql = "CREATE TABLE t (a, b);
        INSERT INTO t SELECT value, randomblob(200) FROM json_each('[' || substr(replace(hex(zeroblob(20000)), '00', '1,'), 1, 39999) || ']')";
    bed.script(None, sql).expect("it is made");
    bed
}

#[test]
fn temporary_space_is_bounded_whatever_it_is_for() {
    let bed = narrow();
    let fault = |within: Option<&Handle>, sql: &str| {
        let fault = bed.done(within, sql).expect_err(sql);
        assert_eq!(fault.kind(), ErrorKind::Quota, "{sql}: {}", fault.error);
        assert!(fault.error.to_string().contains("temporary space"), "{sql}: {}", fault.error);
    };
    for sql in [
        "SELECT count(*) FROM (SELECT a, b FROM t ORDER BY b LIMIT -1 OFFSET 1)",
        "SELECT count(*) FROM (SELECT DISTINCT b FROM t)",
        "SELECT count(*) FROM (SELECT b FROM t UNION SELECT randomblob(100) FROM t)",
        "SELECT b, count(*) FROM t GROUP BY b",
        "WITH RECURSIVE n (i, b) AS (SELECT 1, randomblob(1000) UNION ALL SELECT i + 1, randomblob(1000) FROM n, (SELECT 1 UNION ALL SELECT 2)) SELECT count(*) FROM n",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "WITH m AS MATERIALIZED (SELECT a, b FROM t) SELECT count(*) FROM m x JOIN m y ON x.b = y.b",
        "SELECT 1 WHERE 'x' IN (SELECT b FROM t)",
        "CREATE INDEX i ON t (b)",
    ] {
        fault(None, sql);
    }
    let transaction = bed.begin();
    bed.done(Some(&transaction), "CREATE TEMP TABLE x (a)").expect("it is made");
    fault(Some(&transaction), "INSERT INTO x SELECT b FROM t");
    transaction.rollback();
    // What was used is free again, on each connection.
    for _ in 0..3 {
        assert_eq!(bed.one(None, "SELECT count(*) FROM (SELECT DISTINCT a FROM t)"), "1");
        bed.done(None, "UPDATE t SET a = a + 1").expect("a journal has room");
    }
}

#[test]
fn a_database_that_is_full_refuses_and_goes_on_with_room() {
    let bed = Bed::new();
    let asks = Asks { limit_bytes: Some(400 << 10), ..bed.asks() };
    let run = |within: Option<&Handle>, sql: &str| {
        bed.database.run(&asks, within, &statement(sql, &[]), &mut NoRows)
    };
    run(None, "CREATE TABLE t (a)").expect("it is made");
    let full = std::iter::repeat_with(|| run(None, "INSERT INTO t VALUES (randomblob(10000))"));
    let fault = full.take(100).find_map(Result::err).expect("it is full");
    assert_eq!((fault.kind(), fault.code), (ErrorKind::Quota, 13));
    assert!(fault.error.to_string().contains("409600 bytes"), "{}", fault.error);
    let transaction = bed.database.begin(&asks, None, false, None).expect("nobody writes");
    run(Some(&transaction), "DELETE FROM t WHERE rowid < 3").expect("it is removed");
    let fault = run(Some(&transaction), "INSERT INTO t VALUES (randomblob(900000))").expect_err("it is full");
    assert_eq!(fault.kind(), ErrorKind::Quota);
    // SQLite has rolled it back, or not: it says so, and nothing in between.
    match run(Some(&transaction), "SELECT 1") {
        Ok(_) => bed.database.commit(&asks, &transaction).expect("it is committed"),
        Err(fault) => assert_eq!(fault.kind(), ErrorKind::Quota),
    }
    run(None, "DELETE FROM t").expect("it is removed");
    run(None, "INSERT INTO t VALUES (randomblob(10000))").expect("there is room again");
    let size = bed.database.size(&asks).expect("it answers");
    assert!(size.bytes <= size.limit_bytes && size.limit_bytes == 400 << 10, "{size:?}");
}

#[test]
fn a_reader_that_stays_does_not_let_the_log_grow_without_end() {
    let bed = Bed::new();
    let asks = Asks { limit_bytes: Some(1 << 20), ..bed.asks() };
    let run = |sql: &str| bed.database.run(&asks, None, &statement(sql, &[]), &mut NoRows);
    run("CREATE TABLE t (a)").expect("it is made");
    run("INSERT INTO t VALUES (zeroblob(500000))").expect("it is written");
    let reads = bed.database.begin(&asks, None, true, None).expect("it waits for nobody");
    assert_eq!(bed.one(Some(&reads), "SELECT count(*) FROM t"), "1");
    let full = std::iter::repeat_with(|| run("UPDATE t SET a = randomblob(500000)"));
    let fault = full.take(400).find_map(Result::err).expect("the log is full");
    assert_eq!(fault.kind(), ErrorKind::Busy, "{}", fault.error);
    let log = bed.file().with_extension("db-wal");
    let len = || std::fs::metadata(&log).expect("it is there").len();
    assert!(len() < 70 << 20, "{}", len());
    reads.rollback();
    run("UPDATE t SET a = randomblob(500000)").expect("there is room again");
    assert!(len() < 5 << 20, "{}", len());
}
