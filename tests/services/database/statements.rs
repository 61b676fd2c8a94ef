//! What a statement is given and what it tells.

use super::{ask, expect, expect_of, place, repeated, with};

const MADE: (&str, &str) = ("execute ~ 0 ~ CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "OK");

#[test]
fn database_2_rows_come_typed_with_the_names_of_their_columns() {
    let place = place();
    let host = place.started();
    let sql = "SELECT ?1 AS a, ?2 b, ?3, ?4 AS \"it's\", ?5, NULL, 1 + 1 AS a, 'x' || 1, x'00ff', 1 / 2.0";
    expect(
        &host,
        "",
        &[
            (
                &format!(
                    "query ~ 0 ~ {sql} ~ i-9223372036854775808 ~ r0.5 ~ tgrün, ελλάδα, 日本 ~ x00ff ~ n"
                ),
                "OK rows=1\na|b|?3|it's|?5|NULL|a|'x' || 1|x'00ff'|1 / 2.0\n\
                 i-9223372036854775808|r0.5|tgrün, ελλάδα, 日本|x00ff|n|n|i2|tx1|x00ff|r0.5",
            ),
            ("query ~ 0 ~ SELECT ?1, ?2 ~ t ~ x", "OK rows=1\n?1|?2\nt|x"),
            ("query ~ 0 ~ SELECT ?1 ~ rnan", "OK rows=1\n?1\nn"),
            ("query ~ 0 ~ SELECT ?1, ?2 ~ rinf ~ r-inf", "OK rows=1\n?1|?2\nrinf|r-inf"),
            ("query ~ 0 ~ SELECT 1 AS a WHERE 0", "OK\na"),
            // What SQL makes of bytes that are no UTF-8 is a text all the same.
            (
                "query ~ 0 ~ SELECT typeof(CAST(x'ff' AS TEXT)) AS a, length(?1) ~ T70000",
                "OK rows=1\na|length(?1)\nttext|i70000",
            ),
            (
                "query ~ 0 ~ SELECT ?1 AS a, ?2 AS b ~ T70000 ~ B70000",
                "OK rows=1\na|b\nt(70000 bytes)|x(70000 bytes)",
            ),
            ("execute ~ 0 ~ CREATE TABLE k (i INTEGER, r REAL, t TEXT, b BLOB, x ANY) STRICT", "OK"),
            (
                "execute ~ 0 ~ INSERT INTO k VALUES (?1, ?2, ?3, ?4, ?5) ~ i7 ~ i7 ~ i7 ~ x07 ~ i7",
                "OK changed=1 id=1",
            ),
            ("query ~ 0 ~ SELECT * FROM k", "OK rows=1\ni|r|t|b|x\ni7|r7|t7|x07|i7"),
            (
                "execute ~ 0 ~ INSERT INTO k (i) VALUES (?1) ~ tseven",
                "WRONG_TYPE cannot store TEXT value in INTEGER column k.i code=3091",
            ),
            (
                "execute ~ 0 ~ INSERT INTO k (b) VALUES (?1) ~ tseven",
                "WRONG_TYPE cannot store TEXT value in BLOB column k.b code=3091",
            ),
        ],
    );
}

#[test]
fn database_4_placeholders_are_bound_and_never_become_part_of_the_text() {
    let place = place();
    let host = place.started();
    let evil = "'); DROP TABLE t; --";
    expect(
        &host,
        "",
        &[
            MADE,
            (&format!("execute ~ 0 ~ INSERT INTO t (b) VALUES (?1) ~ t{evil}"), "OK changed=1 id=1"),
            (
                &format!("query ~ 0 ~ SELECT b FROM t WHERE b = $1 ~ t{evil}"),
                &format!("OK rows=1\nb\nt{evil}"),
            ),
            ("query ~ 0 ~ SELECT ? AS a, ? AS b ~ i1 ~ i2", "OK rows=1\na|b\ni1|i2"),
            ("query ~ 0 ~ SELECT ?2 AS a, ?1 AS b, ?2 AS c ~ i1 ~ i2", "OK rows=1\na|b|c\ni2|i1|i2"),
            ("query ~ 0 ~ SELECT $2 AS a, $1 AS b ~ i1 ~ i2", "OK rows=1\na|b\ni2|i1"),
            ("query ~ 0 ~ SELECT '?1' AS a, \"b\" FROM t -- ?2", &format!("OK rows=1\na|b\nt?1|t{evil}")),
            (
                "query ~ 0 ~ SELECT ?1, ?2 ~ i1",
                "INVALID_ARGUMENT argument `values`: the statement has placeholders for 2 values, 1 were passed",
            ),
            (
                "query ~ 0 ~ SELECT 1 ~ i1",
                "INVALID_ARGUMENT argument `values`: the statement has placeholders for 0 values, 1 were passed",
            ),
            (
                "query ~ 0 ~ SELECT ?1, ?3 ~ i1 ~ i2 ~ i3",
                "INVALID_ARGUMENT argument `sql`: a placeholder has a name…",
            ),
            ("query ~ 0 ~ SELECT :a ~ i1", "INVALID_ARGUMENT argument `sql`: a placeholder has a name…"),
            ("query ~ 0 ~ SELECT @a ~ i1", "INVALID_ARGUMENT argument `sql`: a placeholder has a name…"),
            ("query ~ 0 ~ SELECT $a ~ i1", "INVALID_ARGUMENT argument `sql`: a placeholder has a name…"),
            // A table's name is no value.
            (
                "query ~ 0 ~ SELECT * FROM ?1 ~ tt",
                "INVALID_ARGUMENT the SQL is wrong: near \"?1\": syntax error (byte 14 of the SQL) code=1 at=14",
            ),
        ],
    );
}

#[test]
fn database_9_a_query_for_one_row_tells_none_and_many() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("one ~ 0 ~ SELECT b FROM t", "NOT_FOUND the query gives no row\nb"),
            ("execute ~ 0 ~ INSERT INTO t (b) VALUES ('x'), ('y')", "OK changed=2 id=2"),
            ("one ~ 0 ~ SELECT b FROM t WHERE a = ?1 ~ i2", "OK rows=1\nb\nty"),
            ("one ~ 0 ~ SELECT b FROM t", "TOO_LARGE …"),
            // More than one: nothing is changed, though a row was handed over.
            ("one ~ 0 ~ UPDATE t SET b = 'z' RETURNING b", "TOO_LARGE …"),
            ("one ~ 0 ~ DELETE FROM t WHERE a = 5 RETURNING b", "NOT_FOUND …"),
            ("query ~ 0 ~ SELECT group_concat(b) AS b FROM t", "OK rows=1\nb\ntx,y"),
            ("one ~ 0 ~ UPDATE t SET b = 'z' WHERE a = 1 RETURNING b", "OK changed=1 rows=1\nb\ntz"),
        ],
    );
}

#[test]
fn database_10_a_statement_by_itself_has_happened_wholly_or_not_at_all() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("execute ~ 0 ~ INSERT INTO t VALUES (1, 'x'), (2, 'y')", "OK changed=2 id=2"),
            (
                "execute ~ 0 ~ INSERT INTO t VALUES (3, 'z'), (1, 'again')",
                "CONFLICT UNIQUE constraint failed: t.a code=1555",
            ),
            // A row function that refuses has prevented all of it.
            (
                "refuse ~ 0 ~ INSERT INTO t VALUES (4, 'z'), (5, 'z') RETURNING a ~ 2 ~ 10",
                "CANCELLED …refused with status 10…\na\ni4",
            ),
            ("refuse ~ 0 ~ DELETE FROM t RETURNING a ~ 1 ~ 1", "CANCELLED …"),
            ("refuse ~ 0 ~ SELECT a FROM t ~ 1 ~ 1", "CANCELLED …"),
            ("query ~ 0 ~ SELECT a FROM t", "OK rows=2\na\ni1\ni2"),
            ("execute ~ 0 ~ SELECT a FROM t", "OK rows=2"),
            ("execute ~ 0 ~ UPDATE t SET b = 'w'", "OK changed=2"),
            ("execute ~ 0 ~ UPDATE t SET b = 'w' WHERE a = 9", "OK"),
        ],
    );
}

#[test]
fn database_11_a_statement_tells_the_rows_that_it_changed_and_the_last_one_that_it_made() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("execute ~ 0 ~ INSERT INTO t (b) VALUES ('x'), ('y'), ('z')", "OK changed=3 id=3"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (90, 'w') ON CONFLICT DO NOTHING", "OK changed=1 id=90"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (90, 'w') ON CONFLICT DO NOTHING", "OK"),
            ("execute ~ 0 ~ DELETE FROM t WHERE a > 1", "OK changed=3"),
            ("execute ~ 0 ~ CREATE INDEX i ON t (b)", "OK"),
            (
                "query ~ 0 ~ INSERT INTO t (b) VALUES ('v'), ('u') RETURNING a, b",
                "OK changed=2 id=3 rows=2\na|b\ni2|tv\ni3|tu",
            ),
            // Triggers are not counted.
            ("execute ~ 0 ~ CREATE TABLE log (a)", "OK"),
            (
                "execute ~ 0 ~ CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.a), (new.b); END",
                "OK",
            ),
            ("execute ~ 0 ~ UPDATE t SET b = 'g' WHERE a = 1", "OK changed=1"),
            ("query ~ 0 ~ SELECT count(*) AS n FROM log", "OK rows=1\nn\ni2"),
            // A query after an insert did not make its row.
            ("query ~ 0 ~ SELECT 1 AS a", "OK rows=1\na\ni1"),
        ],
    );
}

#[test]
fn database_16_host_calls_from_inside_of_a_row_answer_reentrant() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            ("inside ~ 0 ~ SELECT 1 AS a", "OK rows=1\na\ninside 17 17 17 17 17 0 0\ni1"),
            // And it works as before.
            ("query ~ 0 ~ SELECT 1 AS a", "OK rows=1\na\ni1"),
            ("begin ~ x ~ 0", "OK"),
            ("inside ~ x ~ SELECT 1 AS a", "OK rows=1\na\ninside 17 17 17 17 17 0 0\ni1"),
            ("commit ~ x", "OK"),
        ],
    );
}

#[test]
fn database_19_the_words_of_sqlite_reach_the_plugin_with_its_code_and_the_place_in_the_text() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            (
                "execute ~ 0 ~ CREATE TABLE c (a INTEGER CHECK (a > 0), t INTEGER REFERENCES t (a), n NOT NULL DEFAULT 1)",
                "OK",
            ),
            (
                "query ~ 0 ~ SELEC 1",
                "INVALID_ARGUMENT the SQL is wrong: near \"SELEC\": syntax error (byte 0 of the SQL) code=1 at=0",
            ),
            (
                "query ~ 0 ~ SELECT a, nope FROM t",
                "INVALID_ARGUMENT the SQL is wrong: no such column: nope (byte 10 of the SQL) code=1 at=10",
            ),
            (
                "query ~ 0 ~ SELECT a FROM nope",
                "INVALID_ARGUMENT the SQL is wrong: no such table: nope… code=1…",
            ),
            (
                "query ~ 0 ~ SELECT 'ä', oops()",
                "INVALID_ARGUMENT the SQL is wrong: no such function: oops (byte 13 of the SQL) code=1 at=13",
            ),
            (
                "query ~ 0 ~ SELECT 'x",
                "INVALID_ARGUMENT the SQL is wrong: unrecognized token: \"'x\" (byte 7 of the SQL) code=1 at=7",
            ),
            ("query ~ 0 ~ SELECT", "INVALID_ARGUMENT the SQL is wrong: incomplete input code=1"),
            (
                "execute ~ 0 ~ INSERT INTO c (a) VALUES (0)",
                "CONFLICT CHECK constraint failed: a > 0 code=275",
            ),
            ("execute ~ 0 ~ INSERT INTO c (t) VALUES (5)", "CONFLICT FOREIGN KEY constraint failed code=787"),
            (
                "execute ~ 0 ~ INSERT INTO c (n) VALUES (NULL)",
                "CONFLICT NOT NULL constraint failed: c.n code=1299",
            ),
            ("query ~ 0 ~ SELECT abs(-9223372036854775808)", "OUT_OF_RANGE an integer overflows code=1…"),
            ("execute ~ 0 ~ INSERT INTO t VALUES ('x', 1)", "WRONG_TYPE datatype mismatch code=20"),
            ("query ~ 0 ~ SELECT json('{')", "INVALID_ARGUMENT the SQL is wrong: malformed JSON code=1"),
            ("execute ~ 0 ~ ", "INVALID_ARGUMENT argument `sql`: there is no statement in it"),
            ("execute ~ 0 ~  ;; -- nothing", "INVALID_ARGUMENT argument `sql`: there is no statement in it"),
            ("query ~ 0 ~ SELECT 1 AS a;  -- and that is all;", "OK rows=1\na\ni1"),
            (
                "execute ~ 0 ~ DELETE FROM t; DELETE FROM c",
                "INVALID_ARGUMENT argument `sql`: there is more than one statement in it: pass one, or all of them to `script`",
            ),
        ],
    );
}

#[test]
fn database_20_a_table_is_created_from_columns_in_any_words_of_sql() {
    let place = place();
    let host = place.started();
    // Kinds: INTEGER 1, REAL 2, TEXT 3, BLOB 4. Flags: NOT NULL 1, UNIQUE 2, PRIMARY KEY 4, AUTO_NUMBER 8.
    let people = "create ~ 0 ~ people ~ id ~ 1 ~ 12 ~  ~ name ~ 3 ~ 3 ~  ~ score ~ 2 ~ 0 ~ r0.5 ~ photo ~ 4 ~ 0 ~ x00ff";
    expect(
        &host,
        "",
        &[
            (people, "OK created=1"),
            (people, "OK created=0"),
            ("create ~ 0 ~ PEOPLE ~ a ~ 1 ~ 0 ~ ", "OK created=0"),
            ("execute ~ 0 ~ INSERT INTO people (name) VALUES ('it''s')", "OK changed=1 id=1"),
            ("query ~ 0 ~ SELECT * FROM people", "OK rows=1\nid|name|score|photo\ni1|tit's|r0.5|x00ff"),
            (
                "execute ~ 0 ~ INSERT INTO people (name) VALUES ('it''s')",
                "CONFLICT UNIQUE constraint failed: people.name code=2067",
            ),
            (
                "execute ~ 0 ~ INSERT INTO people (score) VALUES (1)",
                "CONFLICT NOT NULL constraint failed: people.name code=1299",
            ),
            ("execute ~ 0 ~ INSERT INTO people (name, score) VALUES ('b', 'much')", "WRONG_TYPE …"),
            // A number that was used is not given again.
            ("execute ~ 0 ~ DELETE FROM people", "OK changed=1"),
            ("execute ~ 0 ~ INSERT INTO people (name) VALUES ('c')", "OK changed=1 id=2"),
            ("create ~ 0 ~ pairs ~ left ~ 3 ~ 4 ~  ~ right ~ 3 ~ 4 ~ ", "OK created=1"),
            ("execute ~ 0 ~ INSERT INTO pairs VALUES ('a', 'b'), ('a', 'c')", "OK changed=2 id=2"),
            ("execute ~ 0 ~ INSERT INTO pairs VALUES ('a', 'b')", "CONFLICT …"),
            ("execute ~ 0 ~ INSERT INTO pairs VALUES ('a', NULL)", "CONFLICT …"),
            ("create ~ 0 ~ select ~ from ~ 3 ~ 0 ~ t'); DROP TABLE people; --", "OK created=1"),
            ("execute ~ 0 ~ INSERT INTO \"select\" DEFAULT VALUES", "OK changed=1 id=1"),
            ("query ~ 0 ~ SELECT \"from\" FROM \"select\"", "OK rows=1\nfrom\nt'); DROP TABLE people; --"),
            ("create ~ 0 ~ pintle_mine ~ a ~ 1 ~ 0 ~ ", "DENIED …"),
            (
                "create ~ 0 ~ sqlite_mine ~ a ~ 1 ~ 0 ~ ",
                "INVALID_ARGUMENT …reserved for internal use… created=7",
            ),
            (
                "create ~ 0 ~ t ~ a ~ 1 ~ 8 ~ ",
                "INVALID_ARGUMENT argument `columns`: column \"a\" numbers rows, and is no INTEGER that is the whole primary key created=7",
            ),
            (
                "create ~ 0 ~ t ~ a ~ 3 ~ 12 ~ ",
                "INVALID_ARGUMENT argument `columns`: column \"a\" numbers rows… created=7",
            ),
            (
                "create ~ 0 ~ t ~ a ~ 1 ~ 0 ~  ~ A ~ 1 ~ 0 ~ ",
                "INVALID_ARGUMENT argument `columns`: two columns are called \"A\" created=7",
            ),
            (
                "create ~ 0 ~ t ~ a ~ 0 ~ 0 ~ ",
                "INVALID_ARGUMENT argument `columns`: column \"a\" has the kind 0: INTEGER, REAL, TEXT or BLOB is stored created=7",
            ),
            (
                "create ~ 0 ~ t ~ a b ~ 1 ~ 0 ~ ",
                "INVALID_ARGUMENT argument `columns`: \"a b\" is no name: 1 to 63 letters, digits and `_` of ASCII, and no digit first created=7",
            ),
            (
                "create ~ 0 ~ t.u ~ a ~ 1 ~ 0 ~ ",
                "INVALID_ARGUMENT argument `table`: \"t.u\" is no name: … created=7",
            ),
            (
                "create ~ 0 ~ t",
                "INVALID_ARGUMENT argument `columns`: there are none, 1 to 256 are taken created=7",
            ),
            (
                "create ~ 0 ~ t ~ a ~ 1 ~ 16 ~ ",
                "UNSUPPORTED argument `columns`: column 0 has flags that this host does not know (0x10) created=7",
            ),
        ],
    );
}

#[test]
fn database_22_a_script_happens_as_a_whole() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            (
                "script ~ 0 ~ CREATE TABLE t (a); -- first\n INSERT INTO t VALUES (1), (2);; SELECT * FROM t; UPDATE t SET a = a + 1",
                "OK changed=4…",
            ),
            (
                "script ~ 0 ~ DELETE FROM t; CREATE TABLE u (a); INSERT INTO nope VALUES (1)",
                "INVALID_ARGUMENT the SQL is wrong: no such table: nope… code=1…",
            ),
            ("script ~ 0 ~ DELETE FROM t; SELEC", "INVALID_ARGUMENT …near \"SELEC\"… code=1 at=15"),
            ("query ~ 0 ~ SELECT * FROM t", "OK rows=2\na\ni2\ni3"),
            ("query ~ 0 ~ SELECT * FROM u", "INVALID_ARGUMENT …no such table: u…"),
            ("script ~ 0 ~  -- nothing", "OK"),
            ("script ~ 0 ~ SELECT ?1", "INVALID_ARGUMENT …"),
            // In a transaction what it did before the failure is undone, and the transaction goes on.
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (9)", "OK changed=1 id=3"),
            ("script ~ x ~ DELETE FROM t; INSERT INTO nope VALUES (1)", "INVALID_ARGUMENT …"),
            ("script ~ x ~ INSERT INTO t VALUES (10)", "OK changed=1 id=4"),
            ("commit ~ x", "OK"),
            ("query ~ 0 ~ SELECT group_concat(a) AS a FROM t", "OK rows=1\na\nt2,3,9,10"),
        ],
    );
}

#[test]
fn database_14_methods_are_granted_and_query_alone_cannot_write() {
    let methods = |methods: &str| {
        let place = with("sql", &[&format!("-DDATABASE={{ \"methods\": [{methods}] }}")]);
        let host = place.started();
        (place, host)
    };
    let all = [
        ("execute ~ 0 ~ CREATE TABLE t (a)", "execute"),
        ("query ~ 0 ~ SELECT 1 AS a", "query"),
        ("one ~ 0 ~ SELECT 1 AS a", "query"),
        ("script ~ 0 ~ SELECT 1", "execute"),
        ("begin ~ x ~ 0 ~ 1 ~ 0 ~ 0", "begin"),
        ("rollback ~ x", "begin"),
        ("commit ~ x", "begin"),
        ("migrate ~ ", "migrate"),
        ("create ~ 0 ~ t ~ a ~ 1 ~ 0 ~ ", "create_table"),
        ("stats", "stats"),
    ];
    for granted in ["execute", "query", "begin", "migrate", "create_table", "stats"] {
        let (_place, host) = methods(&format!("\"{granted}\""));
        for (command, method) in all {
            let answer = ask(&host, "", command);
            let denied = answer.starts_with("DENIED plugin \"sql\": it may not call database.");
            assert_eq!(denied, method != granted, "{command} with {granted}: {answer}");
            if denied {
                assert!(
                    answer.contains("add \"database\": {} to \"services\"") || answer.contains(method),
                    "{answer}"
                );
            }
        }
    }
    let (place, host) = methods("\"query\", \"begin\", \"stats\"");
    for sql in [
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1) RETURNING a",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        "DROP TABLE t",
        "PRAGMA user_version = 7",
        "ANALYZE",
    ] {
        for tx in ["0", "x"] {
            let answers =
                super::ask_of(&host, "sql", "", &["begin ~ x ~ 0", &format!("query ~ {tx} ~ {sql}")]);
            let answer = &answers[1];
            assert!(!answer.starts_with("OK"), "{sql} in {tx}: {answer}");
            let known = answer.starts_with(
                "DENIED the statement writes, and only database.query is granted: add \"execute\"",
            ) || answer.starts_with("INVALID_ARGUMENT the SQL is wrong: no such table")
                || answer.starts_with("INVALID_ARGUMENT the SQL is wrong: no tables");
            assert!(known, "{sql} in {tx}: {answer}");
        }
    }
    expect(
        &host,
        "",
        &[(
            "query ~ 0 ~ SELECT count(*) AS n FROM sqlite_schema WHERE name NOT LIKE 'pintle%'",
            "OK rows=1\nn\ni0",
        )],
    );
    drop(host);
    drop(place);

    // The operator narrows what the manifest asks for.
    let place = super::place().toml("[plugin.sql.grants]\nmethods = [\"database.query\"]");
    let host = place.started();
    expect_of(&host, "sql", "", &[("stats", "DENIED …"), ("query ~ 0 ~ SELECT 1 AS a", "OK rows=1\na\ni1")]);
}

#[test]
fn database_23_a_million_rows_are_handed_over_as_they_come() {
    let place = place();
    let host = place.started();
    let sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000) SELECT n, 'some text of a row' FROM c";
    let before = resident();
    expect(
        &host,
        "",
        &[("options ~ 60000 ~ 0", "OK"), (&format!("count ~ 0 ~ {sql}"), "OK rows=1000000 seen=1000000")],
    );
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
    // One that is prepared anew for each text is not kept for ever.
    let many = repeated(200, "SELECT ", "\x01 + ", "0 AS a");
    expect(&host, "", &[(&format!("query ~ 0 ~ {many}"), "OK rows=1\na\ni19900")]);
}

/// The bytes of memory that the process has, as the system counts them.
pub(super) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is told");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB") << 10
}
