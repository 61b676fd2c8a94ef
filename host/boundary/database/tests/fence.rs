//! What the fence lets through and what not, on all that this SQLite has.

use rusqlite::Connection;

use super::*;

/// A database with one table of each kind.
fn fenced() -> Bed {
    let bed = Bed::new();
    let sql = "CREATE TABLE t (a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 'x');
        CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('some words');
        CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 0, 1);
        CREATE VIEW v AS SELECT * FROM pintle_owner;
        CREATE VIRTUAL TABLE outside USING fts5(plugin, content = 'pintle_owner', content_rowid = 'only');
        CREATE TABLE child (a REFERENCES pintle_migrations (number));
        CREATE TRIGGER g AFTER DELETE ON t BEGIN DELETE FROM pintle_migrations; END";
    bed.script(None, sql).expect("it is made");
    bed
}

#[test]
fn nothing_leads_out_of_the_database_or_to_what_is_the_hosts_own() {
    let bed = fenced();
    let mut through = Vec::new();
    let before = std::fs::read_dir(bed.folder.path()).expect("it is there").count();
    for sql in [
        "ATTACH 'x' AS y",
        "ATTACH DATABASE ':memory:' AS y",
        "attach 'file:/etc/passwd?mode=ro' as y",
        "ATTACH ? AS y",
        "DETACH main",
        "VACUUM",
        "VACUUM main",
        "VACUUM INTO '/tmp/pintle-engine-escape'",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO a",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT * FROM dbstat",
        "SELECT * FROM DbStat",
        "SELECT * FROM pintle_owner",
        "SELECT (SELECT plugin FROM PINTLE_OWNER)",
        "WITH o AS (SELECT * FROM pintle_owner) SELECT * FROM o",
        "SELECT count(*) FROM pintle_owner",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM pintle_migrations)",
        "SELECT * FROM v",
        "SELECT * FROM outside",
        "INSERT INTO outside (outside) VALUES ('rebuild')",
        "INSERT INTO pintle_owner DEFAULT VALUES",
        "UPDATE pintle_owner SET plugin = 'x'",
        "DELETE FROM pintle_owner",
        "DELETE FROM t",
        "INSERT INTO child VALUES (1)",
        "REPLACE INTO pintle_migrations VALUES (1, 'x', x'00', 0)",
        "DROP TABLE pintle_owner",
        "ALTER TABLE pintle_owner RENAME TO x",
        "ALTER TABLE t RENAME TO pintle_x",
        "ALTER TABLE t RENAME TO \"Pintle_x\"",
        "ALTER TABLE pintle_owner ADD COLUMN x",
        "CREATE INDEX i ON pintle_owner (plugin)",
        "CREATE INDEX pintle_i ON t (b)",
        "CREATE TRIGGER x AFTER INSERT ON pintle_migrations BEGIN SELECT 1; END",
        "CREATE TABLE pintle_x (a)",
        "CREATE VIEW pintle_x AS SELECT 1",
        "CREATE VIRTUAL TABLE pintle_x USING fts5(a)",
        "CREATE TABLE x AS SELECT * FROM pintle_owner",
        "INSERT INTO t SELECT only, plugin FROM pintle_owner",
        "CREATE VIRTUAL TABLE x USING fts3(a)",
        "CREATE VIRTUAL TABLE x USING fts4(a)",
        "CREATE VIRTUAL TABLE x USING fts5vocab(f, row)",
        "CREATE VIRTUAL TABLE x USING dbstat",
        "PRAGMA writable_schema = 1",
        "PRAGMA main.journal_mode = DELETE",
        "PRAGMA Cache_Size",
        "PRAGMA foreign_keys = 0",
        "PRAGMA max_page_count = 1000000",
        "SELECT * FROM pragma_cache_size",
        "SELECT * FROM pragma_database_list",
        "CREATE TEMP TABLE x (a)",
        "CREATE TABLE temp.x (a)",
        "CREATE VIEW temp.x AS SELECT 1",
        "CREATE TRIGGER temp.x AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE TRIGGER temp.x AFTER INSERT ON main.t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
    ] {
        let values: &[Value<'_>] = if sql == "ATTACH ? AS y" { &[Value::Null] } else { &[] };
        // What is temporary may be in a transaction.
        let outside_only = sql.to_lowercase().contains("temp");
        for inside in [false, !outside_only] {
            let transaction = inside.then(|| bed.begin());
            let run =
                bed.database.run(&bed.asks(), transaction.as_ref(), &statement(sql, values), &mut NoRows);
            match run {
                Err(fault) if fault.kind() == ErrorKind::Denied => {}
                other => through.push(format!("{sql}: {other:?}")),
            }
        }
    }
    assert!(through.is_empty(), "{through:#?}");
    // Refused in another way, and as well.
    for sql in [
        "UPDATE sqlite_schema SET sql = ''",
        "DELETE FROM sqlite_master",
        "INSERT INTO f_data VALUES (1, x'00')",
        "DROP TABLE f_data",
        "UPDATE r_node SET data = x''",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('x', 'y')",
        "SELECT * FROM fts5vocab",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM sqlite_stmt",
        "SELECT sqlite_rename_table('a', 'b', 'c', 'd', 'e', 'f', 1)",
        "CREATE TABLE sqlite_x (a)",
        "INSERT INTO v VALUES (1)",
        "SELECT edit('x')",
    ] {
        let fault = bed.done(None, sql).expect_err(sql);
        assert!(
            matches!(fault.kind(), ErrorKind::InvalidArgument | ErrorKind::Denied),
            "{sql}: {}",
            fault.error
        );
    }
    let transaction = bed.begin();
    for sql in [
        "CREATE TEMP TRIGGER x AFTER INSERT ON pintle_migrations BEGIN DELETE FROM t; END",
        "CREATE TEMP TABLE pintle_migrations (number, name, checksum)",
        "CREATE TEMP VIEW pintle_x AS SELECT 1",
        "ALTER TABLE t RENAME TO pintle_x",
    ] {
        assert_eq!(bed.done(Some(&transaction), sql).expect_err(sql).kind(), ErrorKind::Denied, "{sql}");
    }
    transaction.rollback();
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "1");
    assert_eq!(std::fs::read_dir(bed.folder.path()).expect("it is there").count(), before);
    assert!(!std::path::Path::new("/tmp/pintle-engine-escape").exists());
}

#[test]
fn what_is_the_plugins_own_is_let_through() {
    let bed = fenced();
    bed.done(None, "DROP TRIGGER g").expect("it is the plugin's");
    for sql in [
        "SELECT * FROM f WHERE f MATCH 'words'",
        "INSERT INTO f (f) VALUES ('optimize')",
        "INSERT INTO f (f) VALUES ('integrity-check')",
        "SELECT snippet(f, 0, '[', ']', '…', 5) FROM f WHERE body MATCH 'some'",
        "SELECT * FROM r WHERE x0 < 5",
        "SELECT * FROM json_each('[1, 2]')",
        "SELECT * FROM json_tree('{\"a\": 1}')",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT name FROM sqlite_schema",
        "CREATE TABLE made (a, b AS (a + 1) STORED, CHECK (a > 0)) STRICT",
        "CREATE TABLE made2 (a INTEGER, b INTEGER AS (a + 1))",
        "CREATE UNIQUE INDEX i ON t (b) WHERE a > 0",
        "ANALYZE",
        "ANALYZE t",
        "SELECT * FROM sqlite_stat1",
        "DELETE FROM sqlite_stat1",
        "REINDEX",
        "REINDEX i",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE u RENAME COLUMN b TO c",
        "DROP INDEX i",
        "DROP VIEW v",
        "DROP TABLE f",
        "DROP TABLE outside",
        "DROP TABLE r",
        "PRAGMA user_version = 7",
        "PRAGMA user_version",
        "PRAGMA integrity_check",
        "PRAGMA foreign_key_check",
        "EXPLAIN SELECT 1",
        "EXPLAIN QUERY PLAN SELECT * FROM u",
        "VALUES (1), (2)",
    ] {
        match bed.done(None, sql) {
            Ok(_) => {}
            // Not a table any more, where STRICT wants types.
            Err(fault) if sql.contains("STRICT") => assert_eq!(fault.kind(), ErrorKind::InvalidArgument),
            Err(fault) => panic!("{sql}: {fault:?}"),
        }
    }
    assert_eq!(bed.one(None, "PRAGMA user_version"), "7");
}

#[test]
fn each_pragma_of_this_sqlite_is_on_the_list_or_denied() {
    let bed = fenced();
    let names = of_sqlite("SELECT name FROM pragma_pragma_list ORDER BY name");
    assert!(names.len() > 50, "{names:?}");
    let reads = [
        "application_id",
        "collation_list",
        "data_version",
        "defer_foreign_keys",
        "encoding",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "max_page_count",
        "page_count",
        "page_size",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
        "user_version",
    ];
    let sets = ["defer_foreign_keys", "user_version"];
    let takes = [
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    ];
    let within = bed.begin();
    let denied = |sql: &str| match bed.done(Some(&within), sql) {
        Ok(_) => false,
        // Such a table is not there.
        Err(fault) => fault.kind() == ErrorKind::Denied,
    };
    for name in names {
        let listed = |list: &[&str]| list.contains(&name.as_str());
        assert_eq!(denied(&format!("PRAGMA {name}")), !listed(&reads), "PRAGMA {name}");
        assert_eq!(denied(&format!("PRAGMA temp.{name}")), !listed(&reads), "PRAGMA temp.{name}");
        let set = !listed(&sets) && !listed(&takes);
        for value in ["= 1", "= 'x'", "(1)", "= ON"] {
            assert_eq!(denied(&format!("PRAGMA {name} {value}")), set, "PRAGMA {name} {value}");
        }
    }
}

#[test]
fn each_module_of_this_sqlite_is_on_the_list_or_cannot_be_reached() {
    let bed = fenced();
    let modules = of_sqlite("SELECT name FROM pragma_module_list ORDER BY name");
    assert!(modules.iter().any(|name| name == "dbstat"), "{modules:?}");
    for name in modules {
        let own = ["json_each", "json_tree"].contains(&name.as_str()) || name.starts_with("pragma_");
        let read = bed.done(None, &format!("SELECT * FROM {name}"));
        match read {
            Ok(_) => assert!(own, "{name} can be read"),
            Err(fault) => assert!(fault.kind() != ErrorKind::Internal, "{name}: {}", fault.error),
        }
        let made = bed.done(None, &format!("CREATE VIRTUAL TABLE new_{name} USING {name}(a, b, c)"));
        match made {
            Ok(_) => assert!(["fts5", "rtree"].contains(&name.as_str()), "{name} can be made"),
            Err(fault) => assert_eq!(fault.kind(), ErrorKind::Denied, "{name}: {}", fault.error),
        }
    }
}

#[test]
fn each_function_of_this_sqlite_is_denied_or_knows_only_its_arguments() {
    let bed = fenced();
    let denied = ["fts3_tokenizer", "load_extension", "sqlite_log"];
    for name in of_sqlite("SELECT DISTINCT name FROM pragma_function_list ORDER BY name") {
        for arguments in ["", "1", "1, 2", "'t', 't'", "1, 2, 3", "*"] {
            let sql = format!("SELECT \"{name}\"({arguments}) FROM t");
            match bed.done(None, &sql) {
                Err(fault) => assert!(fault.kind() != ErrorKind::Internal, "{sql}: {}", fault.error),
                Ok(_) => assert!(!denied.contains(&name.as_str()), "{sql}"),
            }
        }
    }
}

/// What an SQLite without a fence answers, a name in each row.
fn of_sqlite(sql: &str) -> Vec<String> {
    let connection = Connection::open_in_memory().expect("it opens");
    let mut names = connection.prepare(sql).expect(sql);
    let names = names.query_map([], |row| row.get(0)).expect(sql);
    names.collect::<rusqlite::Result<_>>().expect(sql)
}
