//! Transactions: what ends them, and what stops a statement.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::*;

#[test]
fn a_transaction_is_seen_by_itself_until_it_is_committed_and_is_rolled_back_at_its_deadline() {
    let bed = Bed::new();
    bed.run("CREATE TABLE t (a)", &[]).expect("it is made");
    let count = || bed.one(None, "SELECT count(*) FROM t");
    let insert = |within| bed.done(within, "INSERT INTO t VALUES (1)");
    let first = bed.begin();
    insert(Some(&first)).expect("it is written");
    let nested = bed.database.begin(&bed.asks(), Some(&first), false, None).expect("it nests");
    insert(Some(&nested)).expect("it is written");
    assert_eq!(insert(Some(&first)).expect_err("a nested one is open").kind(), ErrorKind::Busy);
    nested.rollback();
    assert_eq!(count(), "0");
    bed.database.commit(&bed.asks(), &first).expect("it is committed");
    assert_eq!(count(), "1");
    let second = bed.begin();
    insert(Some(&second)).expect("it is written");
    bed.clock.advance(Duration::from_secs(31));
    assert_eq!(insert(Some(&second)).expect_err("it is over").kind(), ErrorKind::Timeout);
    assert_eq!(count(), "1");
    insert(None).expect("nobody else writes");
    assert_eq!(count(), "2");
}

/// Runs `sql` on a thread of its own until `ends` was called while it runs; tells how it failed.
fn stopped_by(
    bed: &Bed,
    within: Option<&Handle>,
    caller: Caller,
    sql: &str,
    ends: impl FnOnce(),
) -> ErrorKind {
    thread::scope(|scope| {
        let (runs, begun) = mpsc::channel();
        let statement_ends = scope.spawn(move || {
            let asks = Asks { caller, ..bed.asks() };
            let mut told = Each(|_: &[Value<'_>]| {
                let _ = runs.send(());
                Ok(())
            });
            // Its first row says that it runs; there is no end to the rest.
            let endless = Statement { max_rows: u64::MAX, ..statement(sql, &[]) };
            bed.database.run(&asks, within, &endless, &mut told)
        });
        begun.recv().expect("it runs");
        ends();
        statement_ends.join().expect("no panic").expect_err("it never ends").kind()
    })
}

/// A row, and then none for ever.
const ONE_ROW: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i = 1";

#[test]
fn a_running_statement_is_stopped_at_its_deadline_and_when_nobody_waits_for_it() {
    static GONE: AtomicBool = AtomicBool::new(false);
    let bed = Bed::new();
    let advance = || bed.clock.advance(Duration::from_secs(6));
    for sql in [ONE_ROW, ENDLESS] {
        assert_eq!(stopped_by(&bed, None, Caller::PATIENT, sql, advance), ErrorKind::Timeout);
        for (why, kind) in [(Gone::GivenUp, ErrorKind::Cancelled), (Gone::Over, ErrorKind::StaleHandle)] {
            let gone: fn(u64) -> Option<Gone> = match why {
                Gone::GivenUp => |_| GONE.load(SeqCst).then_some(Gone::GivenUp),
                Gone::Over => |_| GONE.load(SeqCst).then_some(Gone::Over),
            };
            GONE.store(false, SeqCst);
            let ended = stopped_by(&bed, None, Caller { id: 1, gone }, sql, || GONE.store(true, SeqCst));
            assert_eq!(ended, kind);
        }
    }
    assert_eq!(bed.one(None, "SELECT 1"), "1");
}

#[test]
fn whoever_is_rolled_back_while_it_runs_is_stopped() {
    let bed = Bed::new();
    for sql in [ONE_ROW, ENDLESS] {
        let transaction = bed.begin();
        let ended = stopped_by(&bed, Some(&transaction), Caller::PATIENT, sql, || transaction.rollback());
        assert_eq!(ended, ErrorKind::Cancelled);
        bed.done(None, "CREATE TABLE IF NOT EXISTS t (a)").expect("the right to write is free");
        let outer = bed.begin();
        let nested = bed.database.begin(&bed.asks(), Some(&outer), false, None).expect("it nests");
        stopped_by(&bed, Some(&nested), Caller::PATIENT, sql, || nested.rollback());
        // What stopped the inner one does not stop the outer one.
        bed.done(Some(&outer), "INSERT INTO t SELECT 1 FROM (SELECT 1 UNION SELECT 2)").expect("it goes on");
        let steps = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT count(*) FROM n";
        assert_eq!(bed.one(Some(&outer), steps), "10000");
        bed.database.commit(&bed.asks(), &outer).expect("it is committed");
    }
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "4");
}

#[test]
fn a_running_statement_is_stopped_at_the_deadline_of_its_transaction() {
    let bed = Bed::new();
    let short = Some(Duration::from_secs(1));
    let transaction = bed.database.begin(&bed.asks(), None, false, short).expect("nobody writes");
    let advance = || bed.clock.advance(Duration::from_secs(2));
    assert_eq!(stopped_by(&bed, Some(&transaction), Caller::PATIENT, ONE_ROW, advance), ErrorKind::Timeout);
    assert_eq!(bed.done(Some(&transaction), "SELECT 1").expect_err("over").kind(), ErrorKind::Timeout);
    assert_eq!(bed.database.commit(&bed.asks(), &transaction).expect_err("over").kind(), ErrorKind::Timeout);
    bed.done(None, "CREATE TABLE t (a)").expect("the right to write is free");
}

#[test]
fn a_statement_that_the_database_undoes_with_all_around_it_ends_the_transaction() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a UNIQUE)").expect("it is made");
    let transaction = bed.begin();
    let nested = bed.database.begin(&bed.asks(), Some(&transaction), false, None).expect("it nests");
    bed.done(Some(&nested), "INSERT INTO t VALUES (1)").expect("it is written");
    let fault = bed.done(Some(&nested), "INSERT OR ROLLBACK INTO t VALUES (1)").expect_err("twice");
    assert_eq!(fault.kind(), ErrorKind::Conflict);
    for handle in [&nested, &transaction] {
        let fault = bed.done(Some(handle), "SELECT 1").expect_err("rolled back");
        assert_eq!(fault.kind(), ErrorKind::Conflict);
        assert!(fault.error.to_string().contains("rolled back"), "{}", fault.error);
    }
    transaction.rollback();
    assert_eq!(bed.done(Some(&transaction), "SELECT 1").expect_err("over").kind(), ErrorKind::StaleHandle);
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "0");
    bed.done(None, "INSERT INTO t VALUES (1)").expect("the right to write is free");
}

#[test]
fn a_panic_in_what_takes_the_rows_keeps_nothing_and_leaves_the_connection_well() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let panics = |within: Option<&Handle>, sql| {
        let mut each = Each(|_: &[Value<'_>]| panic!("on purpose"));
        let run = || bed.database.run(&bed.asks(), within, &statement(sql, &[]), &mut each);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    };
    let transaction = bed.begin();
    bed.done(Some(&transaction), "INSERT INTO t VALUES (1)").expect("it is written");
    panics(Some(&transaction), "INSERT INTO t VALUES (2) RETURNING a");
    assert_eq!(bed.done(Some(&transaction), "SELECT 1").expect_err("over").kind(), ErrorKind::Panic);
    for sql in ["SELECT 1", "INSERT INTO t VALUES (3) RETURNING a"] {
        for _ in 0..10 {
            panics(None, sql);
        }
    }
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "0");
    // None was lost.
    let all: Vec<_> =
        (0..4).map(|_| bed.database.begin(&bed.asks(), None, true, None).expect("there is one")).collect();
    drop(all);
    bed.done(None, "INSERT INTO t VALUES (4)").expect("the fence and the gate are as they were");
    assert_eq!(
        bed.done(None, "SELECT * FROM pintle_owner").expect_err("the fence").kind(),
        ErrorKind::Denied
    );
}

#[test]
fn what_is_temporary_ends_with_its_transaction() {
    let bed = Bed::with(|options| options.connections = 1);
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let sql = "CREATE TEMP TABLE x (a); CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO t VALUES (0); END;
        PRAGMA defer_foreign_keys = 1; INSERT INTO x VALUES (1)";
    for ends in [true, false] {
        let transaction = bed.begin();
        bed.script(Some(&transaction), sql).expect("it is made");
        assert_eq!(bed.one(Some(&transaction), "SELECT count(*) FROM x"), "1");
        if ends {
            bed.database.commit(&bed.asks(), &transaction).expect("it is committed");
        } else {
            transaction.rollback();
        }
        assert_eq!(bed.done(None, "SELECT * FROM x").expect_err("gone").kind(), ErrorKind::InvalidArgument);
    }
    bed.done(None, "INSERT INTO t VALUES (1)").expect("it is written");
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "1");
    assert_eq!(bed.one(None, "PRAGMA foreign_keys"), "1");
    assert_eq!(bed.one(None, "SELECT last_insert_rowid()"), "0");
    for sql in ["CREATE TEMP TABLE y (a)", "CREATE TABLE temp.y (a)", "PRAGMA defer_foreign_keys = 1"] {
        assert_eq!(bed.done(None, sql).expect_err(sql).kind(), ErrorKind::Denied, "{sql}");
    }
}

#[test]
fn a_transaction_that_reads_sees_one_state_and_writes_nothing() {
    let bed = Bed::new();
    bed.script(None, "CREATE TABLE t (a); INSERT INTO t VALUES (1)").expect("it is made");
    let reads = bed.database.begin(&bed.asks(), None, true, None).expect("it waits for nobody");
    assert_eq!(bed.one(Some(&reads), "SELECT count(*) FROM t"), "1");
    bed.done(None, "INSERT INTO t VALUES (2)").expect("it is written");
    assert_eq!(bed.one(Some(&reads), "SELECT count(*) FROM t"), "1");
    for sql in [
        "INSERT INTO t VALUES (3)",
        "CREATE TABLE u (a)",
        "PRAGMA user_version = 4",
        "CREATE TEMP TABLE x (a)",
    ] {
        assert_eq!(bed.done(Some(&reads), sql).expect_err(sql).kind(), ErrorKind::InvalidArgument, "{sql}");
        assert_eq!(bed.script(Some(&reads), sql).expect_err(sql).kind(), ErrorKind::InvalidArgument, "{sql}");
    }
    bed.database.commit(&bed.asks(), &reads).expect("it ends");
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "2");
}

/// Whoever looks after them waits for the first that ends, whichever was begun first.
#[test]
fn one_that_ends_earlier_than_those_before_it_is_rolled_back_in_time() {
    let bed = Bed::new();
    let first = bed.begin();
    bed.one(Some(&first), "SELECT 1");
    for _ in 0..3 {
        let short = Some(Duration::from_secs(1));
        let short = bed.database.begin(&bed.asks(), None, true, short).expect("it waits for nobody");
        bed.clock.advance(Duration::from_millis(1_001));
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while bed.database.run(&bed.asks(), Some(&short), &statement("SELECT 1", &[]), &mut NoRows).is_ok() {
            assert!(std::time::Instant::now() < deadline, "nobody ends it");
            thread::yield_now();
        }
    }
    assert_eq!(bed.one(Some(&first), "SELECT 1"), "1");
}

/// A view that reads another twice, and so on, takes seconds to be taken apart; then it has too many tables.
#[test]
fn what_is_prepared_for_too_long_is_stopped() {
    let bed = Bed::new();
    let mut sql = String::from("CREATE TABLE t (a); CREATE VIEW v0 AS SELECT a FROM t;");
    for at in 1..12 {
        sql += &format!("CREATE VIEW v{at} AS SELECT x.a FROM v{0} x, v{0} y;", at - 1);
    }
    bed.script(None, &sql).expect("nobody looks into them yet");
    let kind = |timeout, sql| {
        let asks = Asks { timeout, ..bed.asks() };
        bed.database.run(&asks, None, &statement(sql, &[]), &mut NoRows).map_err(|fault| fault.kind()).err()
    };
    let nothing = Some(Duration::ZERO);
    assert_eq!(kind(nothing, "SELECT * FROM v11"), Some(ErrorKind::Timeout));
    assert_eq!(kind(None, "SELECT * FROM v11"), Some(ErrorKind::TooLarge));
    assert_eq!(kind(None, "SELECT * FROM v3"), None);
    // One that is prepared anew while it runs.
    bed.done(None, "CREATE TABLE u (a)").expect("it is made");
    assert_eq!(kind(nothing, "SELECT * FROM v3"), Some(ErrorKind::Timeout));
    assert_eq!(kind(None, "SELECT * FROM v3"), None);
}
