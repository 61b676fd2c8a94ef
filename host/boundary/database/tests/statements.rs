//! What single statements and scripts answer.

use super::*;

#[test]
fn a_statement_writes_and_a_query_reads_what_it_wrote() {
    let bed = Bed::new();
    bed.run("CREATE TABLE t (a INTEGER PRIMARY KEY, b)", &[]).expect("it is made");
    let values = [Value::Integer(7), Value::Text("grün".as_bytes())];
    bed.run("INSERT INTO t VALUES (?1, ?2)", &values).expect("it is written");
    bed.run("INSERT INTO t (b) VALUES (?)", &[Value::Blob(&[1, 2])]).expect("it is written");
    assert_eq!(
        bed.run("SELECT a, b FROM t ORDER BY a", &[]).expect("it reads"),
        ["a|b", "7|\"grün\"", "8|x[1, 2]"]
    );
    let returned = bed.run("DELETE FROM t WHERE a = 7 RETURNING b", &[]).expect("it is removed");
    assert_eq!(returned, ["b", "\"grün\""]);
    let fault = bed.run("SELEC 1", &[]).expect_err("it is no SQL");
    assert_eq!((fault.kind(), fault.offset), (ErrorKind::InvalidArgument, Some(0)));
}

/// Each after those before it, on one connection of a transaction and each by itself.
#[test]
fn it_tells_how_many_rows_were_changed_and_which_was_inserted() {
    let cases = [
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)", 0, 0),
        ("INSERT INTO t (b) VALUES (1), (2), (3)", 3, 3),
        ("UPDATE t SET b = b + 10", 3, 0),
        ("UPDATE t SET b = b WHERE a > 9", 0, 0),
        ("SELECT count(*) FROM t", 0, 0),
        ("INSERT OR IGNORE INTO t (b) VALUES (11)", 0, 0),
        ("INSERT INTO t (b) VALUES (11) ON CONFLICT DO UPDATE SET b = 21", 1, 0),
        ("REPLACE INTO t VALUES (2, 22)", 1, 2),
        ("INSERT INTO t VALUES (9, 9)", 1, 9),
        ("DELETE FROM t WHERE a = 9", 1, 0),
        ("INSERT INTO t VALUES (9, 9)", 1, 9),
        ("CREATE INDEX i ON t (b)", 0, 0),
        ("CREATE TABLE c AS SELECT * FROM t", 0, 0),
        ("INSERT INTO t (a, b) SELECT a + 100, b + 100 FROM t", 4, 109),
        ("DELETE FROM c", 4, 0),
        ("DROP TABLE c", 0, 0),
        ("CREATE TABLE w (k TEXT PRIMARY KEY) WITHOUT ROWID", 0, 0),
        ("INSERT INTO w VALUES ('x')", 1, 0),
        ("CREATE TRIGGER g AFTER INSERT ON w BEGIN INSERT INTO t (b) VALUES (new.k); END", 0, 0),
        ("INSERT INTO w VALUES ('y')", 1, 0),
        ("INSERT INTO t (b) VALUES (-9223372036854775808) RETURNING a", 1, 111),
        ("ALTER TABLE t ADD COLUMN c", 0, 0),
        ("INSERT INTO t (b, c) VALUES (last_insert_rowid(), 5)", 1, 112),
        ("ANALYZE", 0, 0),
        ("REINDEX", 0, 0),
        ("PRAGMA user_version = 3", 0, 0),
        ("DELETE FROM t", 11, 0),
    ];
    let bed = Bed::new();
    let transaction = bed.begin();
    for (within, how) in [(Some(&transaction), "in a transaction"), (None, "by itself")] {
        if within.is_none() {
            transaction.rollback();
        }
        for (sql, changed, last_insert_id) in cases {
            let done = bed.done(within, sql).unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
            assert_eq!((done.changed, done.last_insert_id), (changed, last_insert_id), "{how}: {sql}");
        }
    }
}

#[test]
fn what_fails_by_itself_leaves_nothing_whatever_it_says_of_conflicts() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a UNIQUE)").expect("it is made");
    bed.done(None, "CREATE TABLE f (a UNIQUE ON CONFLICT FAIL)").expect("it is made");
    bed.script(
        None,
        "CREATE TABLE r (a); CREATE TRIGGER g AFTER INSERT ON r WHEN new.a = 1 BEGIN SELECT raise(FAIL, 'no'); END",
    )
    .expect("it is made");
    for sql in [
        "INSERT OR FAIL INTO t VALUES (1), (2), (1)",
        "INSERT OR ROLLBACK INTO t VALUES (1), (2), (1)",
        "INSERT INTO t VALUES (1), (2), (1)",
        "INSERT INTO f VALUES (1), (2), (1)",
        "INSERT INTO r VALUES (3), (1)",
        "INSERT INTO t VALUES (1), (1) RETURNING a",
    ] {
        assert_eq!(bed.done(None, sql).expect_err(sql).kind(), ErrorKind::Conflict, "{sql}");
        let left = bed.one(
            None,
            "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM f) + (SELECT count(*) FROM r)",
        );
        assert_eq!(left, "0", "{sql}");
    }
}

#[test]
fn whoever_refuses_a_row_undoes_the_statement_also_within_a_transaction() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let transaction = bed.begin();
    bed.done(Some(&transaction), "INSERT INTO t VALUES (0)").expect("it is written");
    for within in [Some(&transaction), None] {
        if within.is_none() {
            bed.database.commit(&bed.asks(), &transaction).expect("it is committed");
        }
        let sql = "INSERT INTO t VALUES (1), (2) RETURNING a";
        let mut refuses = Each(|_: &[Value<'_>]| Err(crate::Error::new(ErrorKind::Cancelled, "no more")));
        let fault =
            bed.database.run(&bed.asks(), within, &statement(sql, &[]), &mut refuses).expect_err("refused");
        assert_eq!(fault.kind(), ErrorKind::Cancelled);
        let few = Statement { max_rows: 1, ..statement(sql, &[]) };
        let fault = bed.database.run(&bed.asks(), within, &few, &mut NoRows).expect_err("too many");
        assert_eq!(fault.kind(), ErrorKind::TooLarge);
        assert_eq!(bed.one(within, "SELECT count(*) FROM t"), "1");
    }
}

#[test]
fn what_fails_in_a_transaction_keeps_nothing_whatever_it_says_of_conflicts() {
    let bed = Bed::new();
    let sql =
        "CREATE TABLE t (a UNIQUE); CREATE TABLE f (a UNIQUE ON CONFLICT FAIL); INSERT INTO t VALUES (0)";
    bed.script(None, sql).expect("it is made");
    let transaction = bed.begin();
    let within = Some(&transaction);
    bed.done(within, "INSERT INTO t VALUES (9)").expect("it is written");
    for sql in [
        "INSERT OR FAIL INTO t VALUES (1), (2), (1)",
        "UPDATE OR fail t SET a = 5",
        "INSERT INTO t VALUES (1), (2), (1)",
    ] {
        assert_eq!(bed.done(within, sql).expect_err(sql).kind(), ErrorKind::Conflict, "{sql}");
        assert_eq!(bed.one(within, "SELECT sum(a) FROM t"), "9", "{sql}");
    }
    // What the table itself says cannot be undone alone: then nothing of the transaction is kept.
    let sql = "INSERT INTO f VALUES (1), (2), (1)";
    assert_eq!(bed.done(within, sql).expect_err(sql).kind(), ErrorKind::Conflict);
    assert_eq!(bed.done(within, "SELECT 1").expect_err("rolled back").kind(), ErrorKind::Conflict);
    transaction.rollback();
    assert_eq!(bed.one(None, "SELECT (SELECT sum(a) FROM t) + (SELECT count(*) FROM f)"), "0");
}

#[test]
fn whoever_wants_a_row_and_gets_none_has_written_nothing() {
    let bed = Bed::new();
    bed.script(None, "CREATE TABLE t (a); INSERT INTO t VALUES (1)").expect("it is made");
    let transaction = bed.begin();
    for within in [Some(&transaction), None] {
        if within.is_none() {
            transaction.rollback();
        }
        for sql in ["INSERT INTO t VALUES (2)", "UPDATE t SET a = 3", "DELETE FROM t WHERE a = 7 RETURNING a"]
        {
            let run = bed.database.run_one(&bed.asks(), within, &statement(sql, &[]), &mut NoRows);
            assert_eq!(run.expect_err(sql).kind(), ErrorKind::NotFound, "{sql}");
            assert_eq!(bed.one(within, "SELECT sum(a) FROM t"), "1", "{sql}");
        }
    }
}

#[test]
fn a_row_of_a_virtual_table_is_told_as_any_other() {
    let bed = Bed::new();
    for sql in ["CREATE VIRTUAL TABLE f USING fts5(word)", "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)"] {
        bed.done(None, sql).expect(sql);
    }
    for (sql, changed, last_insert_id) in [
        ("INSERT INTO f VALUES ('a ship'), ('a quay')", 2, 2),
        ("INSERT INTO r VALUES (7, 0, 1)", 1, 7),
        ("INSERT INTO f (rowid, word) VALUES (9, 'a crane')", 1, 9),
        ("DELETE FROM f WHERE f MATCH 'ship'", 1, 0),
    ] {
        let done = bed.done(None, sql).expect(sql);
        assert_eq!((done.changed, done.last_insert_id), (changed, last_insert_id), "{sql}");
    }
}

#[test]
fn nothing_was_inserted_on_a_connection_that_was_opened_just_now() {
    let bed = Bed::new();
    for _ in 0..2 {
        assert_eq!(bed.one(None, "SELECT last_insert_rowid()"), "0");
    }
}

#[test]
fn a_default_may_have_a_nul() {
    let bed = Bed::new();
    let column = crate::services::database::Column {
        name: "s",
        kind: crate::services::database::ColumnKind::Text,
        not_null: false,
        unique: false,
        primary_key: false,
        auto_number: false,
        default: Some(Value::Text(b"it's \0!")),
    };
    assert!(bed.database.create_table(&bed.asks(), None, "t", &[column]).expect("it is made"));
    bed.done(None, "INSERT INTO t DEFAULT VALUES").expect("it is written");
    assert_eq!(bed.one(None, "SELECT hex(s) FROM t"), "\"69742773200021\"");
}

#[test]
fn a_kept_statement_has_the_columns_that_its_table_has_now() {
    let bed = Bed::new();
    bed.script(None, "CREATE TABLE t (a); INSERT INTO t VALUES (1)").expect("it is made");
    let all = || bed.run("SELECT * FROM t", &[]).expect("it reads");
    assert_eq!(all(), ["a", "1"]);
    bed.done(None, "ALTER TABLE t ADD COLUMN b DEFAULT 'x'").expect("it is altered");
    assert_eq!(all(), ["a|b", "1|\"x\""]);
    bed.done(None, "ALTER TABLE t DROP COLUMN a").expect("it is altered");
    assert_eq!(all(), ["b", "\"x\""]);
}

#[test]
fn placeholders_are_plain_or_numbered_without_gaps() {
    let bed = Bed::new();
    let values = [Value::Integer(10), Value::Integer(20), Value::Integer(30)];
    let good: [(&str, usize, &str); 8] = [
        ("SELECT ?, ?", 2, "10|20"),
        ("SELECT ?2, ?1, ?2", 2, "20|10|20"),
        ("SELECT $2, $1", 2, "20|10"),
        ("SELECT $1, ?1, ?2", 2, "10|10|20"),
        ("SELECT ?3, ?2, ?1", 3, "30|20|10"),
        ("SELECT $3, $1, $2, $3", 3, "30|10|20|30"),
        ("SELECT ?001", 1, "10"),
        ("SELECT '?1', \"?\" FROM (SELECT 5 AS \"?\")", 0, "\"?1\"|5"),
    ];
    for (sql, count, expected) in good {
        assert_eq!(bed.run(sql, &values[..count]).expect(sql)[1], expected, "{sql}");
    }
    for sql in [
        "SELECT ?2",
        "SELECT ?1, ?3",
        "SELECT :a",
        "SELECT @a",
        "SELECT $a",
        "SELECT $2",
        "SELECT ?2, ?",
        "SELECT $0",
    ] {
        for count in 0..=3 {
            let fault = bed.run(sql, &values[..count]).expect_err(sql);
            assert_eq!(fault.kind(), ErrorKind::InvalidArgument, "{sql}");
        }
    }
    assert_eq!(bed.run("SELECT ?1", &values[..2]).expect_err("too many").kind(), ErrorKind::InvalidArgument);
}

#[test]
fn values_come_back_as_they_were_stored() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let huge = "ü".repeat(500_000);
    for (value, expected) in [
        (Value::Null, Value::Null),
        (Value::Integer(i64::MIN), Value::Integer(i64::MIN)),
        (Value::Integer(i64::MAX), Value::Integer(i64::MAX)),
        (Value::Real(f64::NAN), Value::Null),
        (Value::Real(f64::INFINITY), Value::Real(f64::INFINITY)),
        (Value::Real(f64::MIN_POSITIVE / 4.0), Value::Real(f64::MIN_POSITIVE / 4.0)),
        (Value::Real(f64::MAX), Value::Real(f64::MAX)),
        (Value::Text(b""), Value::Text(b"")),
        (Value::Text(b"a\0b\0"), Value::Text(b"a\0b\0")),
        (Value::Text(huge.as_bytes()), Value::Text(huge.as_bytes())),
        (Value::Blob(b""), Value::Blob(b"")),
        (Value::Blob(b"\0\xff"), Value::Blob(b"\0\xff")),
    ] {
        let mut seen = 0;
        bed.database
            .run(
                &bed.asks(),
                None,
                &statement("INSERT INTO t VALUES (?) RETURNING a", &[value]),
                &mut Each(|row: &[Value<'_>]| {
                    assert!(row == [expected], "{value:?} became {row:?}");
                    seen += 1;
                    Ok(())
                }),
            )
            .expect("it is written");
        assert_eq!(seen, 1);
        bed.database
            .run(
                &bed.asks(),
                None,
                &statement("SELECT a FROM t ORDER BY rowid DESC LIMIT 1", &[]),
                &mut Each(|row: &[Value<'_>]| {
                    assert!(row == [expected], "{value:?} became {row:?}");
                    Ok(())
                }),
            )
            .expect("it reads");
    }
}

#[test]
fn a_text_is_one_statement_and_a_script_any_number() {
    let bed = Bed::new();
    for sql in [
        "SELECT 1",
        "SELECT 1;",
        " ;SELECT 1",
        "SELECT 1; -- end",
        "/* a */ SELECT 1 /* b",
        "\u{feff}SELECT 1;;\n\t\r\u{c}--",
    ] {
        match bed.run(sql, &[]) {
            Ok(rows) => assert_eq!(rows[1], "1", "{sql:?}"),
            // What comes before a first semicolon is a statement of its own, an empty one.
            Err(fault) => assert!(
                sql.starts_with(" ;") && fault.kind() == ErrorKind::InvalidArgument,
                "{sql:?}: {fault:?}"
            ),
        }
    }
    for sql in [
        "",
        " ",
        ";",
        "-- x",
        "/* x */",
        "SELECT 1; SELECT 2",
        "SELECT 1; x",
        "SELECT 1;\0",
        "SELECT 1\0; DROP TABLE t",
        "SELECT 1; /*",
    ] {
        assert_eq!(bed.run(sql, &[]).expect_err(sql).kind(), ErrorKind::InvalidArgument, "{sql:?}");
    }
    for (sql, rows) in [
        ("", 0),
        (";;; -- x\n /* y */ ;", 0),
        ("SELECT 1; SELECT 2 UNION SELECT 3; -- the last", 2),
        ("CREATE TABLE a (x); INSERT INTO a VALUES (1), (2); SELECT * FROM a; DROP TABLE a -- gone", 0),
        ("SELECT ';' /* ; */; -- ; SELECT 5\nSELECT 6", 1),
    ] {
        assert_eq!(bed.script(None, sql).expect(sql).rows, rows, "{sql:?}");
    }
    let fault = bed.script(None, "CREATE TABLE b (x); SELECT 1;\n  SELEC 2; SELECT 3").expect_err("no SQL");
    assert_eq!((fault.kind(), fault.offset), (ErrorKind::InvalidArgument, Some(32)));
    assert!(fault.error.to_string().contains("byte 32 of"), "{}", fault.error);
    assert_eq!(bed.one(None, "SELECT count(*) FROM sqlite_schema WHERE name = 'b'"), "0");
    assert_eq!(bed.script(None, "SELECT 1;\0SELECT 2").expect_err("NUL").kind(), ErrorKind::InvalidArgument);
    assert_eq!(bed.script(None, "SELECT ?").expect_err("a placeholder").kind(), ErrorKind::InvalidArgument);
    let done = bed
        .script(None, "CREATE TABLE c (x); INSERT INTO c VALUES (1), (2); UPDATE c SET x = 3")
        .expect("it runs");
    assert_eq!((done.changed, done.last_insert_id, done.rows), (4, 0, 0));
    let done = bed.script(None, "SELECT 1; UPDATE c SET x = 4; INSERT INTO c VALUES (3)").expect("it runs");
    assert_eq!((done.changed, done.last_insert_id, done.rows), (3, 3, 0));
}

#[test]
fn a_long_script_takes_no_longer_for_each_statement_than_a_short_one() {
    let bed = Bed::new();
    let sql = String::from("CREATE TABLE t (a);") + &"INSERT INTO t VALUES (1);".repeat(40_000);
    // Were its text copied for each statement, that would be 40 GB, and it would be stopped.
    let done = bed.script(None, &sql).expect("it runs");
    assert_eq!(done.changed, 40_000);
    let longer = " ".repeat(1 << 20) + ";";
    assert_eq!(bed.script(None, &longer).expect_err("too long").kind(), ErrorKind::TooLarge);
    assert_eq!(bed.run(&longer, &[]).expect_err("too long").kind(), ErrorKind::TooLarge);
}

#[test]
fn a_deferred_foreign_key_fails_at_the_end_of_whatever_is_the_transaction() {
    let bed = Bed::new();
    let sql = "CREATE TABLE p (a PRIMARY KEY);
        CREATE TABLE c (a REFERENCES p DEFERRABLE INITIALLY DEFERRED)";
    bed.script(None, sql).expect("it is made");
    let fault = bed.done(None, "INSERT INTO c VALUES (1)").expect_err("no parent");
    assert_eq!((fault.kind(), fault.code), (ErrorKind::Conflict, 787), "{}", fault.error);
    assert_eq!(
        bed.script(None, "INSERT INTO c VALUES (1); SELECT 1").expect_err("no parent").kind(),
        ErrorKind::Conflict
    );
    let transaction = bed.begin();
    bed.done(Some(&transaction), "INSERT INTO c VALUES (1)").expect("it is deferred");
    assert_eq!(
        bed.database.commit(&bed.asks(), &transaction).expect_err("no parent").kind(),
        ErrorKind::Conflict
    );
    assert_eq!(bed.one(None, "SELECT count(*) FROM c"), "0");
    bed.done(None, "INSERT INTO p VALUES (1)").expect("nobody has the right to write");
}
