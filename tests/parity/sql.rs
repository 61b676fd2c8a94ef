//! What the mirror is told to do with SQL.

use serde_json::{Value, json};

/// So long a host waits for whoever writes, where that is to be seen.
fn hasty(operation: Value) -> Value {
    with(json!({ "timeout": 40 }), operation)
}

fn with(options: Value, operation: Value) -> Value {
    let Value::Array(operation) = operation else { panic!("an operation is a list") };
    let mut with = vec![json!("sql.with"), options];
    with.extend(operation);
    Value::Array(with)
}

/// Statements by themselves: values, rows, failures.
pub(crate) fn statements() -> Value {
    let mut all = Vec::new();
    let mut add = |operations: Value| {
        let Value::Array(operations) = operations else { panic!("a list") };
        all.extend(operations);
    };
    add(json!([
        ["sql.stats"],
        ["sql.execute", "CREATE TABLE ships (name TEXT PRIMARY KEY, berth INTEGER NOT NULL, flag TEXT, draught REAL CHECK (draught > 0)) STRICT"],
        ["sql.execute", "CREATE TABLE berths (n INTEGER PRIMARY KEY, ship TEXT REFERENCES ships ON DELETE SET NULL) STRICT"],
        ["sql.execute", "CREATE TABLE loose (a, b)"],
        ["sql.execute", "CREATE TABLE ships (x)"],
        ["sql.execute", "INSERT INTO ships VALUES (?1, ?2, ?3, ?4)", "Anna", 3, "Malta", 2.5],
        ["sql.execute", "INSERT INTO ships VALUES ($1, $2, $3, $4)", "Bea", -300, null, 4],
        ["sql.execute", "INSERT INTO ships VALUES (?, ?, ?, ?)", "Cleo \u{1f6a2} ' \u{0}", 0, "", 0.1],
        ["sql.execute", "INSERT INTO ships (name) VALUES ('D')"],
        ["sql.execute", "INSERT INTO ships VALUES ('Anna', 1, NULL, 1)"],
        ["sql.execute", "INSERT INTO ships VALUES ('D', 1, NULL, 0)"],
        ["sql.execute", "INSERT INTO ships VALUES ('D', 'many', NULL, 1)"],
        ["sql.execute", "INSERT INTO ships VALUES ('D', 1.5, NULL, 1)"],
        ["sql.execute", "INSERT INTO berths VALUES (1, 'nobody')"],
        ["sql.execute", "INSERT INTO berths VALUES ('x', NULL)"],
        ["sql.execute", "INSERT INTO berths (ship) VALUES ('Anna'), ('Bea')"],
        ["sql.execute", "INSERT INTO berths VALUES (9223372036854775807, NULL)"],
        ["sql.execute", "INSERT INTO berths (ship) VALUES (NULL)"],
        ["sql.execute", "DELETE FROM berths WHERE n > 1000000"],
        ["sql.query", "SELECT * FROM ships ORDER BY berth"],
        ["sql.query", "SELECT n, ship FROM berths"],
        ["sql.execute", "DELETE FROM ships WHERE name = 'Bea'"],
        ["sql.query", "SELECT n, ship FROM berths"],
        ["sql.query", "SELECT name AS a, berth AS a, NULL, 1 + 1 FROM ships WHERE 0"],
        ["sql.query", "SELECT name AS a, berth AS a, NULL, 1 + 1 FROM ships LIMIT 1"],
        ["sql.query", "UPDATE ships SET berth = berth + 1 RETURNING name, berth"],
        ["sql.query", "DELETE FROM loose RETURNING a"],
        ["sql.query", "INSERT INTO loose VALUES (1, 2)"],
        ["sql.execute", "SELECT * FROM ships"],
        ["sql.execute", "INSERT INTO loose VALUES (?1, ?2)", { "blob": "x*1048576" }, 1],
        ["sql.execute", "INSERT INTO loose VALUES (?1, ?2)", { "blob": "x*1048577" }, 1],
        ["sql.execute", "INSERT INTO loose VALUES (?1, ?2)", "x*600000", "x*600000"],
        ["sql.execute", "INSERT INTO loose VALUES (?1, ?2)", { "blob": "x*1000000" }, 1],
        ["sql.query", "SELECT ?1, typeof(?1), length(?1)", { "blob": "x*1000000" }],
        ["sql.execute", "UPDATE loose SET a = 1, b = ?1", "x"],
        ["sql.one", "SELECT a FROM loose LIMIT 1"],
        ["sql.one", "SELECT a FROM loose WHERE 0"],
        ["sql.one", "SELECT 1 UNION ALL SELECT 2"],
        ["sql.one", "UPDATE loose SET a = 2 WHERE 0 RETURNING a"],
        ["sql.one", "SELECT"],
        ["sql.optional", "SELECT a FROM loose WHERE 0"],
        ["sql.optional", "SELECT 7"],
        ["sql.optional", "SELECT 1 UNION ALL SELECT 2"],
        ["sql.refuse", "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", 2],
        ["sql.refuse", "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", 3],
        ["sql.refuse", "INSERT INTO loose SELECT 'refused', name FROM ships RETURNING b", 1],
        ["sql.query", "SELECT count(*) FROM loose WHERE a = 'refused'"],
        ["sql.one", "INSERT INTO loose SELECT 'refused', name FROM ships RETURNING b"],
        ["sql.query", "SELECT count(*) FROM loose WHERE a = 'refused'"],
        ["sql.with", { "max_rows": 1 }, "query", "SELECT 1"],
        ["sql.with", { "max_rows": 1 }, "query", "SELECT 1 UNION ALL SELECT 2"],
        ["sql.with", { "max_rows": 1 }, "query", "DELETE FROM ships RETURNING name"],
        ["sql.with", { "max_rows": 1 }, "execute", "SELECT 1 UNION ALL SELECT 2"],
        ["sql.with", { "max_rows": 0 }, "query", "SELECT 1"],
        ["sql.with", { "timeout": 0 }, "query", "SELECT 1"],
        ["sql.with", { "timeout": u64::MAX }, "query", "SELECT 1"],
        ["sql.query", "SELECT count(*) FROM ships"],
        ["sql.script", ""],
        ["sql.script", ";; -- nothing"],
        ["sql.script", "DELETE FROM loose; INSERT INTO loose VALUES (1, 1), (2, 2);; INSERT INTO loose VALUES (3, 3); -- done"],
        ["sql.script", "INSERT INTO loose VALUES (4, 4); INSERT INTO ships (name) VALUES ('D')"],
        ["sql.script", "INSERT INTO loose VALUES (4, 4); SELECT nothing FROM loose"],
        ["sql.script", "INSERT INTO loose VALUES (4, 4); SELEC"],
        ["sql.script", "INSERT INTO loose VALUES (?1, 4)"],
        ["sql.script", "CREATE TEMP TABLE t AS SELECT 5 AS x; INSERT INTO loose SELECT x, x FROM t"],
        ["sql.query", "SELECT a FROM loose ORDER BY a"],
        ["sql.query", "SELECT x FROM t"],
        ["sql.script", "x*1048577"]
    ]));
    for text in [
        "",
        "  ",
        "-- a comment",
        "/* without an end",
        ";",
        "SELEC 1",
        "SELECT \"nothing\"",
        "SELECT nothing FROM ships",
        "SELECT 1 FROM nothing",
        "SELECT 1;",
        "SELECT 1; -- and /* nothing",
        "SELECT 1; /* and */ ; --",
        "SELECT 1; SELECT 2",
        "SELECT 1; SELEC",
        "SELECT 1 /* a; b */",
        "SELECT ';'",
        "DELETE FROM ships; DELETE FROM ships",
        "SELECT 'without an end",
        "SELECT ?",
        "SELECT ?1",
        "SELECT ?2",
        "SELECT :name",
        "SELECT @name",
        "SELECT $name",
        "SELECT ?32767",
        "SELECT 9223372036854775807 + 1",
        "SELECT abs(-9223372036854775807 - 1)",
        "SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)",
        "SELECT x FROM (SELECT 1 AS x UNION ALL SELECT abs(-9223372036854775807 - 1))",
        "SELECT 1e400, -1e400, 1e400 - 1e400, 0.1 + 0.2, 1 / 0, -7 / 2, 7 % -3",
        "SELECT NULL, 1, 1.0, '1', x'31', '' , x'', true",
        "SELECT CAST('12x' AS INTEGER), CAST(1.9 AS INTEGER), CAST(12 AS TEXT)",
        "SELECT zeroblob(1048576)",
        "SELECT zeroblob(1048577)",
        "SELECT length(randomblob(2000000))",
        "SELECT replace(hex(zeroblob(400000)), '0', 'xxxxxxxxxx')",
        "SELECT json('{\"a\":[1,2]}') ->> '$.a[1]', json('x')",
        "SELECT json_group_array(name ORDER BY name) FROM ships",
        "SELECT name, row_number() OVER (ORDER BY name) AS n, sum(berth) OVER (ORDER BY name) FROM ships",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT group_concat(x) FROM n",
        "VALUES (1, 'a'), (2, NULL)",
        "EXPLAIN QUERY PLAN SELECT name FROM ships WHERE name = 'x'",
        "SELECT name FROM ships WHERE name LIKE 'a%' COLLATE NOCASE",
        "SELECT changes() >= 0, typeof(last_insert_rowid())",
        "SELECT name FROM sqlite_schema ORDER BY 1",
        "PRAGMA foreign_keys",
        "PRAGMA user_version",
        "PRAGMA user_version = 7",
        "PRAGMA user_version",
        "PRAGMA table_info(ships)",
        "PRAGMA table_info = ships",
        "PRAGMA page_size",
        "PRAGMA application_id",
        "PRAGMA encoding",
        "REINDEX",
    ] {
        add(json!([["sql.query", text]]));
    }
    for (text, count) in
        [("SELECT 1", 1), ("SELECT ?1", 2), ("SELECT ?1, ?1", 1), ("SELECT ?1, ?3", 2), ("SELECT ?, ?", 2)]
    {
        let mut operation = vec![json!("sql.query"), json!(text)];
        operation.extend((0..count).map(|at| json!(at)));
        add(json!([operation]));
    }
    for value in [
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(-0.0),
        json!(true),
        json!("\u{0}"),
        json!({ "blob": "" }),
    ] {
        add(json!([["sql.query", "SELECT ?1 AS v, typeof(?1) AS t", value]]));
    }
    let deep = |depth: usize| format!("SELECT {}1", "1 + ".repeat(depth));
    let columns = |count: usize| format!("SELECT {}1", "1, ".repeat(count - 1));
    let compound = |count: usize| format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(count - 1));
    let pattern = |length: usize| format!("SELECT 'x' LIKE '{}'", "%".repeat(length));
    for text in [
        deep(200),
        deep(300),
        columns(256),
        columns(257),
        compound(250),
        compound(251),
        pattern(1_024),
        pattern(1_025),
    ] {
        add(json!([["sql.count", text]]));
    }
    add(json!([hasty(json!([
        "query",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    ]))]));
    Value::Array(all)
}

/// What is still there.
pub(crate) fn again() -> Value {
    json!([
        ["sql.query", "SELECT name, berth FROM ships ORDER BY 1"],
        ["sql.query", "SELECT a FROM loose ORDER BY 1"],
        ["sql.query", "SELECT 1 FROM left_behind"],
        ["sql.stats"]
    ])
}

/// Several statements, all of them or none.
pub(crate) fn transactions() -> Value {
    let insert = |name: &str| json!(["execute", "INSERT INTO ships VALUES (?1, 1, NULL, 1)", name]);
    let names = json!(["query", "SELECT name FROM ships ORDER BY name"]);
    let outside = json!(["outside", "query", "SELECT name FROM ships ORDER BY name"]);
    json!([
        ["sql.script", "DELETE FROM ships; DELETE FROM berths; DELETE FROM loose"],
        ["sql.tx", { "end": "commit" }, insert("A"), names, outside, ["outside", "stats"]],
        ["sql.tx", {}, insert("B"), names, outside],
        ["sql.tx", { "end": "rollback" }, insert("B"), ["execute", "DELETE FROM ships"], names],
        ["sql.query", "SELECT name FROM ships"],
        // Others that write wait, and in the test host do not.
        ["sql.tx", {},
            ["outside", "with", { "timeout": 40 }, "execute", "DELETE FROM ships"],
            ["outside", "with", { "timeout": 40 }, "query", "DELETE FROM ships RETURNING name"],
            ["outside", "with", { "timeout": 40 }, "script", "DELETE FROM ships"],
            ["outside", "with", { "timeout": 40 }, "query", "SELECT count(*) FROM ships"],
            ["outside", "tx", { "wait": 40 }],
            ["outside", "tx", { "read_only": true }, names]],
        // One that reads sees one state.
        ["sql.tx", { "read_only": true, "end": "commit" },
            names,
            ["outside", "execute", "INSERT INTO ships VALUES ('seen later', 1, NULL, 1)"],
            names,
            outside,
            insert("no"),
            ["query", "DELETE FROM ships RETURNING name"],
            ["script", "SELECT 1; DELETE FROM ships"],
            ["script", "SELECT 1"],
            ["table", "no", ["x", "integer"]],
            ["nested", { "end": "commit" }, names, insert("no")],
            ["execute", "CREATE TEMP TABLE t (x)"]],
        // A failure undoes its statement alone.
        ["sql.tx", { "end": "commit" },
            insert("C"),
            insert("A"),
            ["execute", "INSERT INTO ships VALUES ('D', 1, NULL, 1), ('A', 1, NULL, 1)"],
            ["script", "INSERT INTO ships VALUES ('E', 1, NULL, 1); INSERT INTO ships VALUES ('A', 1, NULL, 1)"],
            ["script", "INSERT INTO ships VALUES ('F', 1, NULL, 1); DELETE FROM ships WHERE name = 'seen later'"],
            ["execute", "SELEC"],
            names],
        // Nested ones.
        ["sql.tx", { "end": "commit" },
            ["nested", { "end": "commit" }, insert("G"), ["nested", {}, insert("H"), names], ["nested", { "end": "rollback" }, insert("I")], names],
            ["nested", {}, insert("J"), ["nested", { "end": "commit" }, insert("K")], names],
            names],
        ["sql.query", "SELECT name FROM ships ORDER BY name"],
        ["sql.tx", { "end": "commit" }, insert("L"), ["nested", { "end": "leave" }, insert("M")], names, insert("N")],
        ["sql.tx", { "end": "rollback" }, ["nested", { "end": "leave" }, insert("M")], names],
        ["sql.query", "SELECT name FROM ships ORDER BY name"],
        ["sql.tx", {}, ["nested_all"]],
        // The database itself rolls it back.
        ["sql.tx", { "end": "commit" },
            insert("O"),
            ["execute", "INSERT OR ROLLBACK INTO ships VALUES ('A', 1, NULL, 1)"],
            names,
            insert("P"),
            ["script", "SELECT 1"],
            ["nested", {}],
            outside],
        ["sql.tx", { "end": "rollback" }, ["execute", "INSERT OR ROLLBACK INTO ships VALUES ('A', 1, NULL, 1)"]],
        ["sql.tx", {}, ["nested", { "end": "commit" }, ["execute", "INSERT OR ROLLBACK INTO ships VALUES ('A', 1, NULL, 1)"], names], names],
        // A foreign key that is looked at when it ends.
        ["sql.tx", { "end": "commit" }, ["execute", "PRAGMA defer_foreign_keys = 1"], ["execute", "INSERT INTO berths VALUES (1, 'later')"], insert("later")],
        ["sql.tx", { "end": "commit" }, ["execute", "PRAGMA defer_foreign_keys = 1"], ["execute", "INSERT INTO berths VALUES (2, 'never')"]],
        ["sql.query", "SELECT * FROM berths"],
        // What is temporary.
        ["sql.execute", "CREATE TEMP TABLE t (x)"],
        ["sql.tx", { "end": "commit" }, ["script", "CREATE TEMP TABLE t (x); INSERT INTO t VALUES (1)"], ["query", "SELECT x FROM t"]],
        ["sql.tx", {}, ["query", "SELECT x FROM t"]],
        ["sql.tx", {}, ["execute", "BEGIN"], ["execute", "COMMIT"], ["execute", "ROLLBACK"], ["execute", "SAVEPOINT x"], names],
        ["sql.tx", { "wait": 0 }],
        ["sql.tx", { "timeout": 0 }],
        ["sql.tx", { "timeout": u64::MAX, "wait": u64::MAX }, names],
        ["sql.stats"]
    ])
}

/// A transaction that nobody ends.
pub(crate) fn left() -> Value {
    json!([
        ["sql.tx", { "end": "leave" }, ["execute", "DELETE FROM ships"], ["execute", "CREATE TABLE left_behind (x)"]],
        ["sql.stats"],
        ["sql.query", "SELECT count(*) FROM ships"],
        hasty(json!(["execute", "DELETE FROM ships"]))
    ])
}

/// What leads out of the database, or to what is the host's.
pub(crate) fn denied() -> Value {
    let texts = [
        "ATTACH ':memory:' AS other",
        "ATTACH DATABASE 'file.db' AS other",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO 'file.db'",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT a",
        "RELEASE a",
        "PRAGMA journal_mode",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA foreign_keys(0)",
        "PRAGMA writable_schema = ON",
        "PRAGMA max_page_count = 1000000000",
        "PRAGMA application_id = 1",
        "PRAGMA database_list",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA no_such_pragma",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pintle_owner",
        "SELECT * FROM main.PINTLE_OWNER",
        "SELECT (SELECT count(*) FROM pintle_migrations)",
        "DELETE FROM pintle_migrations",
        "DROP TABLE pintle_owner",
        "CREATE TABLE pintle_mine (x)",
        "CREATE VIEW pintle_view AS SELECT 1",
        "CREATE INDEX pintle_index ON loose (a)",
        "CREATE VIEW seen AS SELECT * FROM pintle_owner",
        "SELECT * FROM seen",
        "DROP VIEW seen",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_dbpage",
        "CREATE VIRTUAL TABLE v USING dbstat(main)",
        "CREATE VIRTUAL TABLE v USING nothing(x)",
        "CREATE VIRTUAL TABLE v USING rtree(id, a, b)",
        "SELECT * FROM v",
        "DROP TABLE v",
        "CREATE VIRTUAL TABLE v USING fts5(words)",
        "SELECT * FROM v WHERE v MATCH 'ship'",
        "DROP TABLE v",
        "UPDATE sqlite_schema SET sql = 'x'",
        "DELETE FROM sqlite_schema",
        "CREATE TABLE sqlite_mine (x)",
        "CREATE TEMP VIEW w AS SELECT 1",
        "SELECT readfile('/etc/passwd')",
        "SELECT no_such_function(1)",
        "CREATE TRIGGER t AFTER INSERT ON loose BEGIN DELETE FROM pintle_migrations; END",
        "CREATE TRIGGER t AFTER INSERT ON loose BEGIN UPDATE loose SET b = 'triggered'; END",
        "INSERT INTO loose VALUES (1, 2)",
        "SELECT b FROM loose",
        "DROP TRIGGER t",
    ];
    Value::Array(texts.iter().map(|text| json!(["sql.query", text])).collect())
}

/// A history, and what becomes of others.
pub(crate) fn migrations() -> Value {
    let one = json!([1, "one", "CREATE TABLE one (x); INSERT INTO one VALUES (1)"]);
    let two = json!([4, "two", "ALTER TABLE one ADD y"]);
    let wrong = json!([5, "wrong", "DELETE FROM one; SELEC"]);
    json!([
        ["sql.dry_run"],
        ["sql.dry_run", one, two],
        ["sql.migrate"],
        ["sql.migrate", one],
        ["sql.migrate", one],
        ["sql.dry_run", one, two, wrong],
        ["sql.migrate", one, two, wrong],
        ["sql.query", "SELECT * FROM one"],
        ["sql.migrate", one],
        ["sql.dry_run", one],
        ["sql.migrate"],
        ["sql.migrate", two],
        ["sql.migrate", [1, "one", "CREATE TABLE one (x)"], two],
        ["sql.migrate", [1, "another", "CREATE TABLE one (x); INSERT INTO one VALUES (1)"], two],
        ["sql.migrate", one, [2, "late", "SELECT 1"], two],
        ["sql.migrate", two, one],
        ["sql.migrate", one, one],
        ["sql.migrate", [0, "zero", "SELECT 1"]],
        ["sql.migrate", [1, "", "SELECT 1"]],
        ["sql.migrate", [1, "a\nb", "SELECT 1"]],
        ["sql.migrate", one, two, [5, "values", "INSERT INTO one VALUES (?1, 2)"]],
        ["sql.migrate", one, two, [5, "denied", "ATTACH 'x' AS y"]],
        ["sql.migrate", one, two, [5, "ends it", "COMMIT"]],
        ["sql.migrate", one, two, [5, "nothing", ""]],
        [
            "sql.migrate",
            one,
            two,
            [5, "nothing", ""],
            [6, "temporary", "CREATE TEMP TABLE t (x); INSERT INTO one SELECT 2, count(*) FROM t"]
        ],
        ["sql.query", "SELECT * FROM one"],
        ["sql.tx", {}, ["execute", "DELETE FROM one"], ["outside", "dry_run", one]]
    ])
}

/// Tables by their columns.
pub(crate) fn tables() -> Value {
    json!([
        ["sql.table", "t", ["id", "integer", "key", "number"], ["s", "text", "not null", "unique", { "default": "it's" }], ["r", "real", { "default": -1e300 }], ["b", "blob", { "default": { "blob": "b" } }], ["i", "integer", { "default": i64::MIN }], ["n", "integer", { "default": null }]],
        ["sql.execute", "INSERT INTO t DEFAULT VALUES"],
        ["sql.execute", "INSERT INTO t DEFAULT VALUES"],
        ["sql.execute", "INSERT INTO t (s, r) VALUES ('x', 'no number')"],
        ["sql.execute", "DELETE FROM t"],
        ["sql.execute", "INSERT INTO t (s) VALUES ('y')"],
        ["sql.query", "SELECT * FROM t"],
        ["sql.table", "T", ["other", "text"]],
        ["sql.table", "pair", ["a", "integer", "key"], ["b", "text", "key"]],
        ["sql.execute", "INSERT INTO pair VALUES (1, 'x'), (1, 'y')"],
        ["sql.execute", "INSERT INTO pair VALUES (1, 'x')"],
        ["sql.execute", "INSERT INTO pair VALUES (1, NULL)"],
        ["sql.table", "none"],
        ["sql.table", "", ["a", "text"]],
        ["sql.table", "1a", ["a", "text"]],
        ["sql.table", "a b", ["a", "text"]],
        ["sql.table", "x*63", ["a", "text"]],
        ["sql.table", "x*64", ["a", "text"]],
        ["sql.table", "select", ["from", "text"], ["where", "text"]],
        ["sql.table", "pintle_t", ["a", "text"]],
        ["sql.table", "sqlite_t", ["a", "text"]],
        ["sql.table", "bad", ["a", "text"], ["A", "text"]],
        ["sql.table", "bad", ["a", "text", "number"]],
        ["sql.table", "bad", ["a", "text", "key", "number"]],
        ["sql.table", "bad", ["a", "integer", "key", "number"], ["b", "integer", "key"]],
        ["sql.table", "bad", ["a", "integer", { "default": "text" }]],
        ["sql.tx", {}, ["table", "undone", ["a", "text"]], ["table", "undone", ["a", "text"]]],
        ["sql.tx", { "end": "commit" }, ["table", "done", ["a", "text"]]],
        ["sql.query", "SELECT name FROM sqlite_schema WHERE name IN ('bad', 'undone', 'done')"]
    ])
}

/// A transaction of a context that lives on.
pub(crate) fn held() -> Value {
    json!([
        ["hold"],
        ["held", 0, "sql.tx", { "end": "leave" }, ["execute", "DELETE FROM ships"], ["query", "SELECT count(*) FROM ships"]],
        ["sql.stats"]
    ])
}

/// It is open until that context ends.
pub(crate) fn held_again() -> Value {
    json!([
        ["sql.stats"],
        hasty(json!(["execute", "DELETE FROM ships"])),
        ["sql.query", "SELECT count(*) > 0 FROM ships"],
        ["release"],
        ["sql.stats"],
        hasty(json!(["execute", "DELETE FROM berths"]))
    ])
}

/// What is odd in SQL and the same everywhere.
pub(crate) fn odd() -> Value {
    json!([
        ["sql.query", "SELECT CAST(x'61ff' AS TEXT)"],
        ["sql.execute", "INSERT INTO ships VALUES ('A', 1, NULL, 1) ON CONFLICT DO NOTHING"],
        ["sql.execute", "REPLACE INTO ships VALUES ('A', 1, NULL, 1)"],
        ["sql.execute", "CREATE TABLE again (x); -- ; "],
        ["sql.script", "CREATE TABLE twice (x); ROLLBACK"],
        ["sql.query", "SELECT 1 FROM twice"],
        ["sql.query", "PRAGMA foreign_key_check"],
        ["sql.query", "PRAGMA quick_check"],
        ["sql.query", "PRAGMA integrity_check(1)"]
    ])
}

/// Statements that fail, or are refused, when they have changed something: nothing of it is left. And what is told of those that
/// insert nothing.
pub(crate) fn undone() -> Value {
    let insert = "INSERT INTO loose SELECT 'undone', name FROM ships RETURNING b";
    let failing = "INSERT OR FAIL INTO ships SELECT 'undone', 1, NULL, 1 UNION ALL SELECT 'A', 1, NULL, 1";
    let loose = json!(["query", "SELECT count(*) FROM loose WHERE a = 'undone'"]);
    let ships = json!(["query", "SELECT count(*) FROM ships"]);
    json!([
        ["sql.script", "CREATE TABLE ships (name TEXT PRIMARY KEY, berth, flag, draught); CREATE TABLE loose (a, b)"],
        ["sql.execute", "INSERT INTO ships VALUES ('A', 1, NULL, 1), ('B', 1, NULL, 1)"],
        ["sql.tx", {}, ["refuse", insert, 1], loose],
        ["sql.tx", {}, ["with", { "max_rows": 1 }, "query", insert], loose],
        ["sql.tx", {}, ["with", { "max_rows": 1 }, "execute", "DELETE FROM ships RETURNING name"], ships],
        ["sql.tx", {}, ["one", insert], loose],
        ["sql.tx", {}, ["one", "INSERT INTO loose VALUES ('undone', 1)"], loose],
        ["sql.one", "INSERT INTO loose VALUES ('undone', 1)"],
        ["sql.query", "SELECT count(*) FROM loose"],
        ["sql.tx", {}, ["execute", failing], ships],
        ["sql.execute", failing],
        ["sql.query", "SELECT count(*) FROM ships"],
        ["sql.tx", {}, ["execute", "VACUUM"]],
        ["sql.query", "SELECT ?2", 1, 2],
        ["sql.query", "SELECT ?3, ?", 1, 2, 3, 4],
        ["sql.query", "SELECT '?7', ? /* ?8 */, ?1 -- ?9", 1],
        ["sql.execute", "ANALYZE"],
        ["sql.execute", "CREATE VIRTUAL TABLE words USING fts5(word)"],
        ["sql.execute", "INSERT INTO words VALUES ('a ship comes in'), ('and out')"],
        ["sql.query", "SELECT word FROM words WHERE words MATCH 'ship'"],
        ["sql.query", "SELECT load_extension('x')"],
        ["sql.query", "SELECT sqlite_log(1, 'x')"],
        ["sql.table", "nul", ["s", "text", { "default": "it's \u{0}" }]],
        ["sql.execute", "INSERT INTO nul DEFAULT VALUES"],
        ["sql.query", "SELECT s, length(CAST(s AS BLOB)) FROM nul"],
        ["sql.execute", "CREATE TABLE w (a PRIMARY KEY, b) WITHOUT ROWID"],
        ["sql.execute", "INSERT INTO w VALUES (1, 2)"],
        ["sql.execute", "INSERT INTO ships VALUES ('A', 1, NULL, 1) ON CONFLICT DO UPDATE SET berth = 2"]
    ])
}
