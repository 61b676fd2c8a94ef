//! One statement: what it answers, what it may not be, what is left of one that fails (nothing), and how long it may take.

use super::{
    super::{Gone, NoRows, Statement, Value, Writes},
    Bed, ENDLESS, ENDLESS_COUNT, Each, How, LIMITS, NONE, Tried, USUAL, Watched, refused,
};
use crate::error::ErrorKind;

pub(crate) fn a_statement_tells_how_many_rows_it_changed_and_gave<B: Bed>() {
    let tried = Tried::<B>::table();
    let counts = |sql: &str| {
        let done = tried.ok(sql, &[]);
        (done.changed, done.rows)
    };
    for (sql, wanted) in [
        ("INSERT INTO t (k, n) VALUES (1, 1), (2, 2), (3, 3)", (3, 0)),
        ("SELECT k FROM t", (0, 3)),
        ("UPDATE t SET n = n + 1 WHERE k < 3", (2, 0)),
        ("UPDATE t SET n = 9 WHERE k > 100", (0, 0)),
        ("INSERT INTO t (k, n) VALUES (3, 7), (4, 4) ON CONFLICT (k) DO NOTHING", (1, 0)),
        ("INSERT INTO t (k, n) VALUES (3, 7) ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n", (1, 0)),
        ("UPDATE t SET n = n RETURNING k", (4, 4)),
        ("DELETE FROM t WHERE k = 1 RETURNING k, n", (1, 1)),
        ("CREATE TABLE u (k INTEGER)", (0, 0)),
        ("INSERT INTO u (k) SELECT k FROM t", (3, 0)),
        ("DELETE FROM t", (3, 0)),
        ("DELETE FROM t", (0, 0)),
        ("DROP TABLE u", (0, 0)),
    ] {
        assert_eq!(counts(sql), wanted, "{sql}");
    }
}

pub(crate) fn a_text_is_one_statement<B: Bed>() {
    let tried = Tried::<B>::table();
    for sql in [
        "INSERT INTO t (k) VALUES (1); INSERT INTO t (k) VALUES (2)",
        "INSERT INTO t (k) VALUES (1);INSERT INTO t (k) VALUES (2);",
        "SELECT 1; DROP TABLE t",
        "SELECT 1 /* ; */ ; SELECT 2",
        "",
        "   \n\t ",
        "-- nothing",
        "/* nothing */",
        "SELEC 1",
        "SELECT FROM WHERE",
        "SELECT nothing FROM t",
        "SELECT k FROM nowhere",
        "INSERT INTO t (k, k) VALUES (1",
        "SELECT 'open",
        "SELECT k FROM t ORDER BY no_such_function(k)",
    ] {
        assert_eq!(tried.fails(&USUAL, sql, &[]), ErrorKind::InvalidArgument, "{sql:?}");
    }
    for sql in [
        "SELECT 1;",
        "SELECT 1 ; ",
        "-- before\nSELECT 1",
        "/* before */ SELECT 1 /* behind ; */",
        "SELECT 1 -- behind",
        "SELECT 1; -- behind ; it\n",
        "\n\r\t SELECT ';'",
    ] {
        tried.run(&USUAL, sql, &[]).unwrap_or_else(|fault| panic!("{sql:?}: {fault:?}"));
    }
    assert_eq!(tried.keys(&USUAL), NONE);
}

pub(crate) fn a_failure_says_where_in_the_text_it_is<B: Bed>() {
    let tried = Tried::<B>::table();
    for (sql, word) in
        [("SELEC 1", "SELEC"), ("SELECT k FROM t WHER k = 1 AND 2", "k = 1"), ("/* ä */ SELEC 1", "SELEC")]
    {
        let fault = tried.run(&USUAL, sql, &[]).expect_err(sql);
        let offset = fault.offset.unwrap_or_else(|| panic!("{sql}: nowhere"));
        let at = sql.find(word).expect("it is there");
        // Which word of a text that makes no sense is the wrong one is a matter of taste.
        assert!(sql.is_char_boundary(offset) && offset.abs_diff(at) <= 5, "{sql}: at {offset}");
        assert_ne!(fault.code, 0);
    }
    let script = "INSERT INTO t (k) VALUES (1);\nSELEC 1";
    let fault = tried.script(&USUAL, script).expect_err("it is no SQL");
    assert_eq!(fault.offset, script.find("SELEC"), "from the beginning of the text");
}

pub(crate) fn rows_come_as_they_are_made_and_a_refusal_ends_the_query<B: Bed>() {
    let tried = Tried::<B>::one();
    for last in [1, 2, 15, 16, 17, 1_000] {
        // If they were collected before, this would never end.
        let mut rows = Each::new(|number| if number == last { Err(refused()) } else { Ok(()) });
        let fault = tried.run_for(&USUAL, ENDLESS, &[], &mut rows).expect_err("nobody wants more");
        assert_eq!((fault.kind(), rows.0), (ErrorKind::Cancelled, last));
    }
    assert_eq!(tried.integers("SELECT 1"), [1]);
}

pub(crate) fn what_a_refused_row_had_changed_is_undone<B: Bed>() {
    let tried = Tried::<B>::table();
    for key in 1..=5 {
        tried.insert(&USUAL, key).expect("it is new");
    }
    for within in [false, true] {
        let open = within.then(|| tried.begin());
        let how = How { within: open.as_ref(), ..USUAL };
        for sql in [
            "INSERT INTO t (k, n) VALUES (6, 0), (7, 0) RETURNING k",
            "UPDATE t SET n = n + 1 RETURNING k",
            "DELETE FROM t RETURNING k",
        ] {
            for last in [1, 2] {
                let mut rows = Each::new(|number| if number == last { Err(refused()) } else { Ok(()) });
                let fault = tried.run_for(&how, sql, &[], &mut rows).expect_err("nobody wants more");
                assert_eq!(fault.kind(), ErrorKind::Cancelled, "{sql}");
                assert_eq!(tried.keys(&how), [1, 2, 3, 4, 5], "{sql}");
                assert_eq!(tried.integers_in(&how, "SELECT count(*) FROM t WHERE n <> 0"), [0], "{sql}");
            }
        }
        if let Some(open) = &open {
            tried.insert(&how, 6).expect("it goes on");
            tried.commit(open).expect("it goes on");
        }
    }
    assert_eq!(tried.keys(&USUAL), [1, 2, 3, 4, 5, 6]);
    tried.insert(&USUAL, 7).expect("nobody else writes");
}

pub(crate) fn database_8_more_rows_than_allowed_end_a_statement_and_nothing_is_changed<B: Bed>() {
    let tried = Tried::<B>::table();
    for key in 1..=5 {
        tried.insert(&USUAL, key).expect("it is new");
    }
    let limited = |max_rows, sql| tried.run(&How { max_rows, ..USUAL }, sql, &[]);
    for (most, wanted) in [(4, Err(ErrorKind::TooLarge)), (5, Ok(5)), (6, Ok(5)), (0, Ok(5))] {
        let done = limited(most, "SELECT k FROM t").map(|done| done.rows).map_err(|fault| fault.kind());
        assert_eq!(done, wanted, "at most {most}");
    }
    let fault = limited(4, "UPDATE t SET n = 1 RETURNING k").expect_err("there are five");
    assert_eq!(fault.kind(), ErrorKind::TooLarge);
    assert_eq!(tried.integers("SELECT count(*) FROM t WHERE n = 1"), [0]);
    // Nobody may have more than the settings say.
    let fault = limited(u64::MAX, ENDLESS).expect_err("there are more");
    assert_eq!(fault.kind(), ErrorKind::TooLarge);
    let mut rows = Each::new(|_| Ok(()));
    let fault = tried.run_for(&USUAL, ENDLESS, &[], &mut rows).expect_err("there are more");
    assert_eq!((fault.kind(), rows.0), (ErrorKind::TooLarge, LIMITS.rows));
}

pub(crate) fn a_query_for_one_row_gives_one_row<B: Bed>() {
    let tried = Tried::<B>::table();
    for key in 1..=2 {
        tried.insert(&USUAL, key).expect("it is new");
    }
    let one = |sql| {
        let statement = Statement { sql, values: &[], max_rows: 100, writes: Writes::Allowed };
        let done = tried.database.run_one(&tried.asks(&USUAL), None, &statement, &mut NoRows);
        done.map(|done| done.rows).map_err(|fault| fault.kind())
    };
    assert_eq!(one("SELECT k FROM t WHERE k = 1"), Ok(1));
    assert_eq!(one("SELECT k FROM t WHERE k = 3"), Err(ErrorKind::NotFound));
    assert_eq!(one("SELECT k FROM t"), Err(ErrorKind::TooLarge));
    assert_eq!(one("UPDATE t SET n = 5 RETURNING k"), Err(ErrorKind::TooLarge));
    assert_eq!(tried.integers("SELECT count(*) FROM t WHERE n = 5"), [0]);
    assert_eq!(one("UPDATE t SET n = 5 WHERE k = 2 RETURNING k"), Ok(1));
    assert_eq!(tried.integers("SELECT k FROM t WHERE n = 5"), [2]);
}

pub(crate) fn database_8_a_statement_ends_at_its_deadline<B: Bed>() {
    let tried = Tried::<B>::table();
    // Whoever takes the rows is slow.
    let mut rows = Each::new(|_| {
        tried.pass(LIMITS.statement / 100);
        Ok(())
    });
    let fault = tried.run_for(&USUAL, ENDLESS, &[], &mut rows).expect_err("it has no end");
    assert_eq!(fault.kind(), ErrorKind::Timeout);
    assert!(rows.0 >= 100, "it had all its time, and gave {} rows", rows.0);
    // A caller may give it less, and not more.
    for (timeout, most) in
        [(LIMITS.statement / 10, LIMITS.statement / 10), (LIMITS.statement * 100, LIMITS.statement)]
    {
        let mut rows = Each::new(|_| {
            tried.pass(most / 100);
            Ok(())
        });
        let how = How { timeout: Some(timeout), ..USUAL };
        let fault = tried.run_for(&how, ENDLESS, &[], &mut rows).expect_err("it has no end");
        assert_eq!(fault.kind(), ErrorKind::Timeout);
        assert!((100..200).contains(&rows.0), "{timeout:?}: {}", rows.0);
    }
    // The database works and gives nothing.
    let writes = format!("INSERT INTO t (k, n) SELECT 1, count(*) FROM ({ENDLESS}) AS endless");
    for sql in [ENDLESS_COUNT, &writes] {
        let done = tried.while_time_passes(|| tried.run(&USUAL, sql, &[]));
        assert_eq!(done.map_err(|fault| fault.kind()), Err(ErrorKind::Timeout), "{sql}");
    }
    assert_eq!(tried.keys(&USUAL), NONE);
    tried.insert(&USUAL, 1).expect("the connection is as good as before");
}

pub(crate) fn a_statement_ends_when_nobody_waits_for_it<B: Bed>() {
    let tried = Tried::<B>::table();
    for (why, kind) in [(Gone::GivenUp, ErrorKind::Cancelled), (Gone::Over, ErrorKind::StaleHandle)] {
        let writes = format!("INSERT INTO t (k, n) SELECT 1, count(*) FROM ({ENDLESS}) AS endless");
        for sql in [ENDLESS_COUNT, ENDLESS, &writes] {
            let watched = Watched::new();
            let how = How { caller: watched.caller(), max_rows: 0, ..USUAL };
            std::thread::scope(|threads| {
                let worker = threads.spawn(|| {
                    let mut rows = Each::new(|number| {
                        if number == 1 {
                            watched.goes(why);
                        }
                        Ok(())
                    });
                    tried.run_for(&how, sql, &[], &mut rows).map_err(|fault| fault.kind())
                });
                watched.was_asked_for();
                watched.goes(why);
                assert_eq!(worker.join().expect("it does not panic"), Err(kind), "{sql}");
            });
        }
    }
    assert_eq!(tried.keys(&USUAL), NONE);
    tried.insert(&USUAL, 1).expect("the connection is as good as before");
}

pub(crate) fn what_may_not_write_reads_only<B: Bed>() {
    let tried = Tried::<B>::table();
    tried.insert(&USUAL, 1).expect("it is new");
    for (writes, kind) in [
        (Writes::Preparing, ErrorKind::Unavailable),
        (Writes::NotGranted, ErrorKind::Denied),
        (Writes::LooksOnly, ErrorKind::Denied),
    ] {
        let how = How { writes, ..USUAL };
        assert_eq!(tried.keys(&how), [1]);
        for sql in [
            "INSERT INTO t (k) VALUES (2)",
            "UPDATE t SET n = 1 WHERE k = 100",
            "DELETE FROM t RETURNING k",
            "CREATE TABLE u (k INTEGER)",
            "DROP TABLE t",
            "CREATE INDEX t_n ON t (n)",
            "ALTER TABLE t ADD COLUMN more INTEGER",
            "INSERT INTO t (k) VALUES (1) ON CONFLICT (k) DO NOTHING",
        ] {
            assert_eq!(tried.fails(&how, sql, &[]), kind, "{sql}");
            let script = tried.script(&how, sql).map_err(|fault| fault.kind());
            assert_eq!(script, Err(kind), "{sql}");
        }
    }
    assert_eq!(tried.keys(&USUAL), [1]);
}

pub(crate) fn what_breaks_a_constraint_is_a_conflict_and_changes_nothing<B: Bed>() {
    let tried = Tried::<B>::one();
    for sql in [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER CHECK (age >= 0))",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id))",
        "CREATE UNIQUE INDEX parent_age ON parent (age)",
        "INSERT INTO parent (id, name, age) VALUES (1, 'one', 10)",
        "INSERT INTO child (id, parent) VALUES (1, 1)",
    ] {
        tried.ok(sql, &[]);
    }
    for sql in [
        "INSERT INTO parent (id, name, age) VALUES (2, 'two', 20), (1, 'another', 30)",
        "INSERT INTO parent (id, name, age) VALUES (2, 'two', 20), (3, 'one', 30)",
        "INSERT INTO parent (id, name, age) VALUES (2, NULL, 20)",
        "INSERT INTO parent (id, name, age) VALUES (2, 'two', -1)",
        "INSERT INTO parent (id, name, age) VALUES (2, 'two', 10)",
        "UPDATE parent SET age = -1",
        "UPDATE parent SET name = NULL",
        "INSERT INTO child (id, parent) VALUES (2, 1), (3, 99)",
        "UPDATE child SET parent = 99",
        "DELETE FROM parent",
    ] {
        let fault = tried.run(&USUAL, sql, &[]).expect_err(sql);
        assert_eq!(fault.kind(), ErrorKind::Conflict, "{sql}");
        assert_ne!(fault.code, 0, "{sql}: the database's own code tells which");
        assert_eq!(tried.integers("SELECT id FROM parent WHERE age = 10"), [1], "{sql}");
        assert_eq!(tried.integers("SELECT parent FROM child"), [1], "{sql}");
        assert_eq!(tried.integers("SELECT count(*) FROM parent"), [1], "{sql}");
    }
}

pub(crate) fn a_script_happens_as_a_whole<B: Bed>() {
    let tried = Tried::<B>::table();
    let done = tried.script(
        &USUAL,
        "-- first\nCREATE TABLE u (k INTEGER); INSERT INTO u (k) VALUES (1), (2);;\nINSERT INTO t (k) VALUES (1);\n/* last */",
    );
    assert_eq!(done.expect("nothing is in its way").changed, 3);
    assert_eq!(tried.integers("SELECT k FROM u ORDER BY k"), [1, 2]);
    for text in ["", ";", " ;\n; ", "-- nothing", "SELECT k FROM t; SELECT k FROM u"] {
        tried.script(&USUAL, text).unwrap_or_else(|fault| panic!("{text:?}: {fault:?}"));
    }
    for (last, kind) in [
        ("INSERT INTO t (k) VALUES (1)", ErrorKind::Conflict),
        ("SELEC 1", ErrorKind::InvalidArgument),
        ("INSERT INTO t (k) VALUES ($1)", ErrorKind::InvalidArgument),
        ("INSERT INTO nowhere (k) VALUES (1)", ErrorKind::InvalidArgument),
    ] {
        let script =
            format!("CREATE TABLE w (k INTEGER); INSERT INTO t (k) VALUES (2); DROP TABLE u; {last}");
        for within in [false, true] {
            let open = within.then(|| tried.begin());
            let how = How { within: open.as_ref(), ..USUAL };
            if within {
                tried.insert(&how, 7).expect("it is new");
            }
            let done = tried.script(&how, &script).map_err(|fault| fault.kind());
            assert_eq!(done, Err(kind), "{last}");
            // What was there before it, in the same transaction too, is as it was.
            assert_eq!(tried.integers_in(&how, "SELECT count(*) FROM u"), [2], "{last}");
            assert_eq!(tried.keys(&how), if within { vec![1, 7] } else { vec![1] }, "{last}");
            assert_eq!(tried.fails(&USUAL, "SELECT k FROM w", &[]), ErrorKind::InvalidArgument);
            if let Some(open) = &open {
                open.rollback();
            }
        }
    }
}

pub(crate) fn transactions_are_no_business_of_sql<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    for sql in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "END",
        "SAVEPOINT s",
        "RELEASE SAVEPOINT s",
        "ROLLBACK TO SAVEPOINT s",
        " -- a comment\n BEGIN",
        "commit;",
    ] {
        for how in [USUAL, How::within(&open)] {
            assert_eq!(tried.fails(&how, sql, &[]), ErrorKind::Denied, "{sql}");
            let text = format!("SELECT 1; {sql}");
            let within = How { timeout: None, ..how };
            if within.within.is_some() {
                let script = tried.script(&within, &text).map_err(|fault| fault.kind());
                assert_eq!(script, Err(ErrorKind::Denied), "{text}");
            }
        }
    }
    tried.insert(&How::within(&open), 1).expect("it is open still");
    tried.commit(&open).expect("it is open still");
    assert_eq!(tried.keys(&USUAL), [1]);
    assert_eq!(
        tried.fails(&USUAL, "INSERT INTO t (k, n) VALUES ($1, 0)", &[Value::Integer(1)]),
        ErrorKind::Conflict
    );
}
