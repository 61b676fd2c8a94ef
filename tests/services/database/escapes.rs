//! What a plugin may try against its neighbours, the host and the machine, in SQL: each ends in the status that the contract
//! says, and the neighbours and the host go on.
//!
//! Every attempt is made as a statement by itself, in a transaction and as a script, unless it says otherwise. After each one
//! a neighbour writes and reads, the files around the database are as they were, and memory is within its bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use pintle::Host;

use super::{add, ask, ask_of, expect, expect_of, is_like, place, repeated, statements::resident};
use crate::keeper::Place;

/// How much more memory the process may have after an attempt than before the first one. Other tests run beside this one.
const MEMORY: usize = 384 << 20;

/// One thing to try.
struct Attempt {
    sql: String,
    /// What it may end with.
    expected: &'static [&'static str],
    /// What the text then says, somewhere; empty: anything.
    says: &'static str,
    ways: Ways,
}

/// How it is tried.
#[derive(Clone, Copy, PartialEq)]
enum Ways {
    /// By itself, in a transaction and as a script.
    All,
    /// Several statements: as a script by itself and in a transaction.
    Script,
    /// In a transaction only.
    Within,
}

const DENIED: &[&str] = &["DENIED"];
const WRONG: &[&str] = &["INVALID_ARGUMENT"];
const DENIED_OR_WRONG: &[&str] = &["DENIED", "INVALID_ARGUMENT"];
const TOO_LARGE: &[&str] = &["TOO_LARGE"];
const ENDED: &[&str] = &["TIMEOUT", "QUOTA", "TOO_LARGE"];
const OK: &[&str] = &["OK"];

const ONE_DATABASE: &str = "a plugin has one database";
const HOSTS_OWN: &str = "the host's own";

fn all(list: &mut Vec<Attempt>, expected: &'static [&'static str], says: &'static str, sql: &[&str]) {
    list.extend(sql.iter().map(|sql| Attempt { sql: (*sql).to_owned(), expected, says, ways: Ways::All }));
}

fn scripts(list: &mut Vec<Attempt>, expected: &'static [&'static str], says: &'static str, sql: &[&str]) {
    list.extend(sql.iter().map(|sql| Attempt { sql: (*sql).to_owned(), expected, says, ways: Ways::Script }));
}

fn within(list: &mut Vec<Attempt>, expected: &'static [&'static str], says: &'static str, sql: &[&str]) {
    list.extend(sql.iter().map(|sql| Attempt { sql: (*sql).to_owned(), expected, says, ways: Ways::Within }));
}

/// To another database, or out of all of them.
fn other_databases(neighbour: &Path) -> Vec<Attempt> {
    let mut list = Vec::new();
    let (path, uri) = (neighbour.display(), format!("file:{}?mode=rwc", neighbour.display()));
    all(
        &mut list,
        DENIED,
        ONE_DATABASE,
        &[
            "ATTACH DATABASE 'x.db' AS x",
            "attach 'x.db' as x",
            "AtTaCh/**/DATABASE/* */'x.db'/**/AS/**/x",
            "-- harmless\nATTACH -- more\n'x.db' AS x",
            "/* SELECT */ ATTACH 'x.db' AS x",
            "ATTACH ':memory:' AS m",
            "ATTACH '' AS x",
            "ATTACH \"x.db\" AS [x]",
            "ATTACH `x.db` AS \"x\"",
            "ATTACH x AS y",
            "ATTACH 'x.db' AS 'main'",
            "ATTACH 'x.db' AS x KEY 'y'",
            "EXPLAIN ATTACH 'x.db' AS x",
            &format!("ATTACH '{path}' AS n"),
            &format!("ATTACH '{uri}' AS n"),
            "ATTACH 'file:x?mode=memory&cache=shared' AS n",
            "DETACH main",
            "DETACH DATABASE temp",
            "detach x",
            "VACUUM",
            "VACUUM main",
            "VACUUM INTO 'x.db'",
            "VACUUM main INTO 'x' || '.db'",
            &format!("VACUUM INTO '{path}'"),
            &format!("VACUUM INTO '{uri}'"),
        ],
    );
    // Names that are known only when it runs.
    all(
        &mut list,
        DENIED,
        "",
        &[
            "ATTACH 'x' || '.db' AS x",
            "ATTACH char(120) AS x",
            "ATTACH (SELECT 'x.db') AS x",
            "ATTACH x'782e6462' AS x",
            "ATTACH NULL AS x",
            "ATTACH 7 AS x",
        ],
    );
    // SQLite does nothing.
    all(&mut list, OK, "", &["vacuum/**/temp"]);
    all(
        &mut list,
        WRONG,
        "",
        &[
            &format!("SELECT * FROM '{path}'.t"),
            "SELECT * FROM second.t",
            "INSERT INTO \"../p-second/t-acme\".t VALUES (1)",
            "SELECT * FROM \"p-second/t-acme.db\"",
            "CREATE TABLE second.t (a)",
            "DROP TABLE other.t",
        ],
    );
    all(
        &mut list,
        DENIED,
        "PRAGMA database_list",
        &["PRAGMA database_list", "SELECT file FROM pragma_database_list"],
    );
    all(
        &mut list,
        DENIED,
        "transactions are begun and ended by",
        &[
            "BEGIN",
            "BEGIN IMMEDIATE",
            "begin exclusive transaction",
            "COMMIT",
            "END",
            "END TRANSACTION",
            "ROLLBACK",
            "SAVEPOINT x",
            "RELEASE x",
            "ROLLBACK TO x",
            "ROLLBACK TO pintle_1",
            "RELEASE pintle_1",
        ],
    );
    list
}

/// Foreign code, files of the machine.
fn foreign_code() -> Vec<Attempt> {
    let mut list = Vec::new();
    let says = "load_extension";
    all(
        &mut list,
        DENIED,
        says,
        &[
            "SELECT load_extension('/tmp/evil.so')",
            "SELECT LOAD_EXTENSION('evil', 'entry')",
            "SELECT \"load_extension\"('evil')",
            "SELECT/**/load_extension/**/('evil')",
            "WITH x AS (SELECT load_extension('evil')) SELECT * FROM x",
            "SELECT * FROM t WHERE load_extension(a)",
            "SELECT a FROM t ORDER BY load_extension(a)",
            "SELECT sum(a) OVER (ORDER BY load_extension('evil')) FROM t",
            "INSERT INTO t (b) VALUES (load_extension('evil'))",
            "INSERT INTO t (b) VALUES (1) RETURNING load_extension('evil')",
            "UPDATE t SET b = load_extension('evil')",
            "DELETE FROM t WHERE load_extension('evil')",
            "INSERT INTO t VALUES (1, 1) ON CONFLICT DO UPDATE SET b = load_extension('evil')",
            "EXPLAIN SELECT load_extension('evil')",
        ],
    );
    scripts(
        &mut list,
        DENIED_OR_WRONG,
        "",
        &[
            "CREATE VIEW v AS SELECT load_extension('evil'); SELECT * FROM v",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT load_extension('evil'); END; INSERT INTO t (b) VALUES (1)",
            "CREATE TABLE g (a, b AS (load_extension(a))); INSERT INTO g (a) VALUES ('evil'); SELECT b FROM g",
            "CREATE TABLE g (a CHECK (load_extension(a))); INSERT INTO g VALUES ('evil')",
            "CREATE TABLE g (a, b DEFAULT (load_extension('evil'))); INSERT INTO g (a) VALUES (1)",
            "CREATE INDEX i ON t (load_extension(b)); INSERT INTO t (b) VALUES ('evil')",
            "CREATE INDEX i ON t (b) WHERE load_extension(b); INSERT INTO t (b) VALUES ('evil')",
            "ALTER TABLE t ADD COLUMN c AS (load_extension(b)); SELECT c FROM t",
        ],
    );
    all(
        &mut list,
        DENIED_OR_WRONG,
        "",
        &[
            "SELECT fts3_tokenizer('simple')",
            "SELECT fts3_tokenizer('evil', x'4141414141414141')",
            "SELECT sqlite_log(1, 'forged')",
            "SELECT readfile('/etc/passwd')",
            "SELECT writefile('/tmp/evil', 'x')",
            "SELECT edit('x', 'sh')",
            "SELECT lsmode(1)",
            "SELECT shell('id')",
            "SELECT * FROM fsdir('/')",
            "SELECT * FROM zipfile('/tmp/x.zip')",
            "SELECT * FROM generate_series(1, 10)",
            "SELECT 'a' REGEXP 'a'",
            "SELECT 'a' MATCH 'a'",
        ],
    );
    all(
        &mut list,
        DENIED,
        "virtual tables are made of fts5 and rtree only",
        &[
            "CREATE VIRTUAL TABLE x USING csv(filename='/etc/passwd')",
            "CREATE VIRTUAL TABLE x USING dbstat",
            "CREATE VIRTUAL TABLE x USING sqlite_dbpage",
            "CREATE VIRTUAL TABLE x USING fts3(a)",
            "CREATE VIRTUAL TABLE x USING FTS4(a)",
            "CREATE VIRTUAL TABLE x USING fts5vocab('t', 'row')",
            "CREATE VIRTUAL TABLE IF NOT EXISTS x USING json_each",
            "CREATE VIRTUAL TABLE x USING unknown",
        ],
    );
    list
}

/// SQLite's own tables and those of the host.
fn inner_tables() -> Vec<Attempt> {
    let mut list = Vec::new();
    all(
        &mut list,
        DENIED_OR_WRONG,
        "",
        &[
            "SELECT * FROM dbstat",
            "SELECT * FROM main.DBSTAT",
            "SELECT sum(pgsize) FROM \"dbstat\"",
            "SELECT data FROM sqlite_dbpage",
            "UPDATE sqlite_dbpage SET data = zeroblob(4096)",
            "SELECT * FROM sqlite_dbdata",
            "SELECT * FROM sqlite_stmt",
            "SELECT * FROM bytecode('SELECT 1')",
            "SELECT * FROM tables_used('SELECT 1')",
            "SELECT * FROM sqlite_memstat",
            "SELECT * FROM fts3tokenize",
            "UPDATE sqlite_master SET sql = 'x'",
            "UPDATE sqlite_schema SET rootpage = 2",
            "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (a)')",
            "DELETE FROM sqlite_schema",
            "DROP TABLE sqlite_master",
            "ALTER TABLE sqlite_master RENAME TO x",
            "ALTER TABLE sqlite_master ADD COLUMN x",
            "CREATE INDEX i ON sqlite_master (name)",
            "CREATE TRIGGER g AFTER INSERT ON sqlite_master BEGIN SELECT 1; END",
            "CREATE TABLE sqlite_mine (a)",
            "UPDATE temp.sqlite_master SET sql = 'x'",
            "DELETE FROM sqlite_temp_schema",
            "REPLACE INTO main.sqlite_master SELECT * FROM sqlite_master",
        ],
    );
    all(
        &mut list,
        DENIED,
        HOSTS_OWN,
        &[
            "SELECT * FROM pintle_owner",
            "SELECT plugin FROM PINTLE_OWNER",
            "SELECT * FROM main.\"pintle_migrations\"",
            "SELECT count(*) FROM [Pintle_Migrations]",
            "EXPLAIN SELECT * FROM pintle_owner",
            "EXPLAIN QUERY PLAN SELECT * FROM pintle_owner",
            "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM pintle_owner)",
            "UPDATE pintle_owner SET plugin = 'second'",
            "DELETE FROM pintle_migrations",
            "INSERT INTO pintle_migrations VALUES (1, 'x', x'00', 0)",
            "DROP TABLE pintle_owner",
            "ALTER TABLE pintle_owner RENAME TO mine",
            "ALTER TABLE pintle_owner ADD COLUMN x",
            "ALTER TABLE pintle_owner RENAME COLUMN plugin TO x",
            "ALTER TABLE t RENAME TO pintle_mine",
            "CREATE TABLE pintle_mine (a)",
            "CREATE TABLE IF NOT EXISTS \"PINTLE_mine\" (a)",
            "CREATE TABLE pintle_mine AS SELECT 1",
            "CREATE VIEW pintle_view AS SELECT 1",
            "CREATE INDEX pintle_index ON t (b)",
            "CREATE INDEX i ON pintle_owner (plugin)",
            "CREATE TRIGGER pintle_trigger AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE TRIGGER g AFTER INSERT ON pintle_migrations BEGIN SELECT 1; END",
            "CREATE VIRTUAL TABLE pintle_words USING fts5(a)",
            "INSERT INTO t (b) SELECT plugin FROM pintle_owner",
            "UPDATE t SET b = (SELECT tenant FROM pintle_owner)",
        ],
    );
    // Of them it tells nothing.
    all(&mut list, &["DENIED", "OK"], "", &["ANALYZE pintle_owner", "ANALYZE main.pintle_migrations"]);
    scripts(
        &mut list,
        DENIED,
        HOSTS_OWN,
        &[
            "CREATE VIEW v AS SELECT * FROM pintle_owner; SELECT * FROM v",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM pintle_migrations; END; INSERT INTO t (b) VALUES (1)",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO pintle_owner SELECT 2, 'x', 'y'; END; INSERT INTO t (b) VALUES (1)",
        ],
    );
    scripts(
        &mut list,
        &["DENIED", "INVALID_ARGUMENT", "UNAVAILABLE", "CONFLICT"],
        "",
        &[
            "CREATE VIRTUAL TABLE f USING fts5(plugin, content='pintle_owner'); SELECT * FROM f",
            "CREATE VIRTUAL TABLE f USING fts5(plugin, content='pintle_owner'); INSERT INTO f(f) VALUES ('rebuild'); SELECT * FROM f",
            "CREATE VIRTUAL TABLE f USING fts5(plugin, content='second'.t); SELECT * FROM f",
        ],
    );
    within(
        &mut list,
        DENIED,
        HOSTS_OWN,
        &[
            "CREATE TEMP TABLE pintle_owner (only, plugin, tenant)",
            "CREATE TEMP VIEW pintle_owner AS SELECT 1",
            "CREATE TEMP TRIGGER pintle_g AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE TEMP TRIGGER g AFTER INSERT ON main.pintle_migrations BEGIN SELECT 1; END",
        ],
    );
    list
}

/// More than there is: memory, disk, time.
fn bombs() -> Vec<Attempt> {
    let mut list = Vec::new();
    let count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)";
    let few = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000)";
    all(
        &mut list,
        ENDED,
        "",
        &[
            &format!("{count} SELECT n FROM c"),
            &format!("{count} SELECT count(*) FROM c"),
            &format!("{count} SELECT sum(n), max(n) FROM c"),
            &format!("{count} SELECT n FROM c ORDER BY n DESC"),
            &format!("{count} SELECT DISTINCT n FROM c WHERE n < 0"),
            &format!("{count} SELECT n % 1000003, count(*) FROM c GROUP BY 1"),
            &format!("{count} SELECT count(*) OVER () FROM c"),
            &format!("{count} SELECT avg(n) OVER (ORDER BY n ROWS 1000 PRECEDING) FROM c"),
            &format!("{count} SELECT group_concat(n) FROM c"),
            &format!("{count} SELECT json_group_array(n) FROM c"),
            &format!("{count} INSERT INTO t (b) SELECT randomblob(1000) FROM c"),
            &format!("{count} INSERT INTO t (b) SELECT n FROM c"),
            &format!(
                "{count}, d(n) AS MATERIALIZED (SELECT randomblob(100000) FROM c) SELECT count(*) FROM d, d AS e"
            ),
            &format!("{count} SELECT n FROM c EXCEPT SELECT n FROM c"),
            &format!("{count} CREATE TABLE many AS SELECT n FROM c").replace(
                &format!("{count} CREATE TABLE many AS "),
                &format!("CREATE TABLE many AS {count} "),
            ),
            "WITH RECURSIVE c(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM c) SELECT length(s) FROM c",
            "WITH RECURSIVE c(s) AS (SELECT x'00' UNION ALL SELECT CAST(s || s AS BLOB) FROM c) SELECT max(length(s)) FROM c",
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n FROM c) SELECT n FROM c",
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c UNION ALL SELECT n + 2 FROM c) SELECT count(*) FROM c",
            &format!("{few} SELECT count(*) FROM r AS a, r AS b, r AS c, r AS d"),
            &format!("{few} SELECT a.n FROM r AS a, r AS b, r AS c ORDER BY a.n * b.n % c.n"),
            &format!(
                "{few} SELECT sum(a.n) OVER (PARTITION BY b.n ORDER BY c.n) FROM r AS a, r AS b, r AS c"
            ),
            &format!("{few} SELECT count(*) FROM r a WHERE n IN (SELECT b.n * c.n FROM r b, r c, r d)"),
            &format!(
                "{few} SELECT sum(instr(hex(zeroblob(10000 + a.n)), hex(zeroblob(5000 + b.n)) || '1')) FROM r a, r b"
            ),
            &format!(
                "{few} SELECT sum(length(replace(hex(zeroblob(20000 + a.n + b.n)), '00', 'abcdefgh'))) FROM r a, r b"
            ),
            &format!("{few} SELECT sum(length(hex(randomblob(100000)))) FROM r a, r b"),
            "UPDATE t SET b = (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c)",
        ],
    );
    all(
        &mut list,
        TOO_LARGE,
        "",
        &[
            "SELECT randomblob(1000000000)",
            "SELECT zeroblob(2147483647)",
            "SELECT length(zeroblob(9223372036854775807))",
            "SELECT hex(zeroblob(1000000))",
            "SELECT quote(zeroblob(1000000))",
            "SELECT replace(hex(zeroblob(500000)), '0', 'abcdefghijklmnop')",
            "SELECT printf('%1000000000d', 1)",
            "SELECT format('%.*c', 2000000000, 'x')",
            "SELECT printf('%.1000000000f', 1.5)",
            "SELECT zeroblob(1000000) || zeroblob(1000000)",
            "SELECT group_concat(hex(zeroblob(100000))) FROM (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6)",
            "INSERT INTO t (b) VALUES (zeroblob(5000000))",
            "SELECT 'a' LIKE hex(zeroblob(100000))",
            "SELECT hex(zeroblob(100)) GLOB replace(hex(zeroblob(1000)), '0', '*0')",
            "SELECT json_array(zeroblob(1))  || json_quote(hex(zeroblob(1000000)))",
            &repeated(10 << 10, "SELECT 1 -- ", &"x".repeat(1_024), ""),
            &repeated(3 << 10, "SELECT '", &"long".repeat(1_024), "'"),
            &repeated(99_999, "SELECT max(?", ",?", ")"),
            "SELECT ?100000",
            &repeated(10_000, "SELECT 1", " UNION ALL SELECT 1", ""),
            &repeated(10_000, "SELECT 1", " EXCEPT SELECT \x01", ""),
            &repeated(2_999, "CREATE TABLE wide (a", ", c\x01", ")"),
            &repeated(3_000, "SELECT 1", ", \x01", ""),
            &repeated(5_000, "SELECT ", "(", "1"),
            &format!("SELECT {}1{}", "(".repeat(4_000), ")".repeat(4_000)),
            &repeated(5_000, "SELECT ", "NOT ", "1"),
            &repeated(5_000, "SELECT ", "- ", "1"),
            &repeated(5_000, "SELECT 1", " + 1", ""),
            &repeated(5_000, "SELECT 1", " || 'x'", ""),
            &repeated(5_000, "SELECT 1 WHERE 1", " AND 1", ""),
            &repeated(200, "SELECT max(1", ", \x01", ")"),
            &repeated(500, "SELECT char(1", ", \x01", ")"),
            &format!("{}1{}", "SELECT (".repeat(1_000), ")".repeat(1_000)),
            &format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(500), ")".repeat(500)),
            &repeated(300, "SELECT 1 FROM t", ", t AS t\x01", ""),
        ],
    );
    all(
        &mut list,
        &["OK", "TOO_LARGE", "TIMEOUT", "INVALID_ARGUMENT"],
        "",
        &[
            "SELECT instr(hex(zeroblob(50000)), hex(zeroblob(25000)) || '1')",
            &repeated(500, "SELECT replace(hex(zeroblob(500)), '0', 'a') LIKE '%", "a%", "b'"),
            &repeated(20_000, "SELECT 1 IN (0", ", \x01", ")"),
            &repeated(2_000, "SELECT json('", "[", "')"),
            &repeated(900, "SELECT json('", "[", "')"),
            &repeated(100_000, "SELECT json_extract('{\"a\":1}', '$", ".a", "')"),
            "SELECT count(*) FROM json_tree((SELECT json_group_array(value) FROM json_each('[1,2,3]')))",
            &repeated(3_000, "WITH a AS (SELECT 1)", ", a\x01 AS (SELECT 1)", " SELECT * FROM a"),
            &repeated(70, "SELECT 1 FROM t", " JOIN t AS t\x01", ""),
            &repeated(1_000, "CREATE TABLE keys (a, UNIQUE (a)", ", UNIQUE (a)", ")"),
        ],
    );
    scripts(
        &mut list,
        &["TOO_LARGE", "INVALID_ARGUMENT", "TIMEOUT", "QUOTA", "OK", "CONFLICT"],
        "",
        &[
            // Views that name each other, and views that double.
            "CREATE VIEW a AS SELECT * FROM b; CREATE VIEW b AS SELECT * FROM a; SELECT * FROM a",
            &doubling_views(12),
            // Triggers that set each other off.
            "CREATE TABLE u (a); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1); END; \
             CREATE TRIGGER h AFTER INSERT ON u BEGIN INSERT INTO t (b) VALUES (1); END; INSERT INTO t (b) VALUES (1)",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO t (b) VALUES (1); END; INSERT INTO t (b) VALUES (1)",
            // A chain of rows that each delete the next.
            "CREATE TABLE chain (a INTEGER PRIMARY KEY, next REFERENCES chain (a) ON DELETE CASCADE); \
             WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000) \
             INSERT INTO chain SELECT n, nullif(n - 1, 0) FROM c; DELETE FROM chain WHERE a = 1",
            // Text that doubles.
            "INSERT INTO t VALUES (99, hex(zeroblob(300000))); UPDATE t SET b = b || b WHERE a = 99; UPDATE t SET b = b || b WHERE a = 99",
            &repeated(3_000, "CREATE TABLE u (a);", " CREATE TABLE u\x01 (a);", ""),
        ],
    );
    scripts(
        &mut list,
        TOO_LARGE,
        "",
        &["CREATE TABLE chain (a INTEGER PRIMARY KEY, next REFERENCES chain (a) ON DELETE CASCADE); \
           WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000) \
           INSERT INTO chain SELECT n, nullif(n - 1, 0) FROM c; DELETE FROM chain WHERE a = 1"],
    );
    // A temporary table has the room that the settings say, and not 200 MB.
    within(
        &mut list,
        &["QUOTA", "TIMEOUT"],
        "",
        &[&format!("CREATE TEMP TABLE large AS {} SELECT randomblob(1000000) FROM r LIMIT 200", &few)],
    );
    all(
        &mut list,
        OK,
        "",
        &["SELECT sqlite_version()", "SELECT count(*) FROM sqlite_schema", "ANALYZE", "REINDEX"],
    );
    list
}

/// A view of each name that reads the one before twice.
fn doubling_views(many: usize) -> String {
    let mut sql = String::from("CREATE VIEW v0 AS SELECT 1 AS a;");
    for at in 1..many {
        sql += &format!("CREATE VIEW v{at} AS SELECT x.a FROM v{0} x, v{0} y;", at - 1);
    }
    sql + &format!("SELECT * FROM v{}", many - 1)
}

/// PRAGMAs that a plugin may look at.
const TELL: [&str; 22] = [
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

/// And those behind which something may stand.
const TAKE: [&str; 12] = [
    "defer_foreign_keys",
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
    "user_version",
];

/// A place with a plugin that tries and a neighbour, and what surrounds their databases.
struct Street {
    place: Place,
    host: Host,
    around: BTreeMap<PathBuf, u64>,
    memory: usize,
    written: u64,
}

impl Street {
    fn new() -> Self {
        let place = place().toml(
            "[database]\nstatement_ms = 400\nmax_rows = 100000\n[plugin.sql.quota]\ndatabase_bytes = 16777216",
        );
        add(&place, "second", &[]);
        let host = place.started();
        expect(
            &host,
            "",
            &[
                ("execute ~ 0 ~ CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "OK"),
                ("execute ~ 0 ~ INSERT INTO t (b) VALUES ('x'), ('y')", "OK changed=2 id=2"),
            ],
        );
        for (plugin, tenant) in [("second", "acme"), ("sql", "acme")] {
            expect_of(&host, plugin, tenant, &[("execute ~ 0 ~ CREATE TABLE t (a)", "OK")]);
        }
        let around = listing(&place);
        Self { place, host, around, memory: resident(), written: 0 }
    }

    /// Makes an attempt in each of its ways and looks at what came of it.
    fn attempt(&mut self, attempt: &Attempt) -> Vec<String> {
        let Attempt { sql, expected, says, ways } = attempt;
        let alone =
            [format!("execute ~ 0 ~ {sql}"), format!("query ~ 0 ~ {sql}"), format!("script ~ 0 ~ {sql}")];
        let within = ["execute", "script"].map(|how| format!("{how} ~ x ~ {sql}"));
        let wanted = |command: &&String| match ways {
            Ways::All => true,
            Ways::Script => command.starts_with("script"),
            Ways::Within => false,
        };
        let mut commands: Vec<&str> = alone.iter().filter(wanted).map(String::as_str).collect();
        let mut tried = commands.len();
        for command in &within {
            if *ways != Ways::Script || command.starts_with("script") {
                commands.extend(["begin ~ x ~ 0", command.as_str(), "rollback ~ x"]);
                tried += 1;
            }
        }
        let shown: String = sql.chars().take(200).collect();
        let shown = shown.replace(['\x01', '\x02'], "|");
        let mut wrong = Vec::new();
        let answers = ask_of(&self.host, "sql", "", &commands);
        let mut seen = 0;
        for (command, answer) in commands.iter().zip(&answers) {
            let how: String = command.chars().take(12).collect();
            if ["begin ~ x ~ 0", "rollback ~ x"].contains(command) {
                if answer != "OK" {
                    wrong.push(format!("{shown}\n    {command}: {answer}"));
                }
                continue;
            }
            seen += 1;
            let status = answer.split([' ', '\n']).next().unwrap_or_default();
            if !expected.contains(&status) || !(status == "OK" || answer.contains(says)) {
                let answer: String = answer.chars().take(300).collect();
                wrong.push(format!("{shown}\n    {how}: {answer}\n    expected {expected:?} {says:?}"));
            }
        }
        assert_eq!(seen, tried, "{shown}");
        wrong.extend(self.goes_on().into_iter().map(|problem| format!("after {shown}\n    {problem}")));
        wrong
    }

    /// What is not as it should be besides: the neighbours, the plugin's own rows, files, memory.
    fn goes_on(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.written += 1;
        let (host, written) = (&self.host, self.written);
        for (plugin, tenant) in [("second", "acme"), ("sql", "acme")] {
            let answers = ask_of(
                host,
                plugin,
                tenant,
                &[
                    "begin ~ x ~ 0",
                    "execute ~ x ~ INSERT INTO t VALUES (?1) ~ i1",
                    "commit ~ x",
                    "query ~ 0 ~ SELECT count(*) AS n FROM t",
                ],
            );
            let expected = [
                "OK".to_owned(),
                "OK changed=1 …".to_owned(),
                "OK".to_owned(),
                format!("OK rows=1\nn\ni{written}"),
            ];
            if !answers.iter().zip(&expected).all(|(answer, expected)| is_like(answer, expected)) {
                wrong.push(format!("{plugin} for {tenant} answers {answers:?}"));
            }
        }
        let own = ask(host, "", "query ~ 0 ~ SELECT group_concat(b) AS b FROM t WHERE a < 3");
        if own != "OK rows=1\nb\ntx,y" {
            wrong.push(format!("its own rows are {own}"));
        }
        let grown = resident().saturating_sub(self.memory);
        if grown > MEMORY {
            wrong.push(format!("memory has grown by {grown} bytes"));
        }
        let now = listing(&self.place);
        if now != self.around {
            wrong.push(format!("files have changed: {now:?}, were {:?}", self.around));
            self.around = now;
        }
        wrong
    }

    fn try_all(&mut self, attempts: &[Attempt]) {
        let wrong: Vec<_> = attempts.iter().flat_map(|attempt| self.attempt(attempt)).collect();
        assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
    }
}

/// The files of the place and their sizes, but those that every write changes and the databases of the two plugins.
fn listing(place: &Place) -> BTreeMap<PathBuf, u64> {
    let mut list = BTreeMap::new();
    let own = ["system.db", "t-acme.db"];
    let root = place.data().parent().expect("the data lie in a folder").to_owned();
    let mut folders = vec![root.clone(), std::env::current_dir().expect("there is one")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && path.starts_with(&root) {
                folders.push(path);
            } else if kind.is_file() {
                let database =
                    own.iter().any(|own| name.starts_with(own)) && path.starts_with(place.data().join("sql"));
                if !(database || name.starts_with("pintle.db") || name == "log") {
                    list.insert(path, entry.metadata().map_or(0, |data| data.len()));
                }
            }
        }
    }
    list
}

#[test]
fn database_7_no_sql_leads_to_another_database() {
    let mut street = Street::new();
    let neighbour = super::folder(&street.place, "second").join("t-acme.db");
    assert!(neighbour.is_file());
    street.try_all(&other_databases(&neighbour));
    // Names that are bound, or come from a row.
    for sql in ["ATTACH ?1 AS ?2", "ATTACH ?1 AS x WHERE ?2", "VACUUM INTO ?1 || ?2"] {
        let answer = ask(&street.host, "", &format!("execute ~ 0 ~ {sql} ~ tx.db ~ tx"));
        assert!(answer.starts_with("DENIED ") || answer.starts_with("INVALID_ARGUMENT "), "{sql}: {answer}");
    }
    assert_eq!(street.goes_on(), [""; 0]);
}

#[test]
fn database_7_no_sql_runs_foreign_code_or_touches_a_file() {
    Street::new().try_all(&foreign_code());
}

#[test]
fn database_7_no_sql_reaches_inner_tables_or_those_of_the_host() {
    Street::new().try_all(&inner_tables());
}

#[test]
fn database_7_and_database_8_bombs_end_in_time_and_within_their_room() {
    Street::new().try_all(&bombs());
}

/// Not with the others: SQLite makes its text longer piece by piece, which takes a minute on the heap of AddressSanitizer.
#[test]
fn database_7_a_text_that_grows_by_small_pieces_has_an_end() {
    let mut grows = Vec::new();
    all(&mut grows, TOO_LARGE, "", &["SELECT strftime(replace(hex(zeroblob(300000)), '00', '%J'))"]);
    Street::new().try_all(&grows);
}

#[test]
fn database_7_every_pragma_of_sqlite_is_on_the_list_or_denied() {
    let mut street = Street::new();
    let sqlite = rusqlite::Connection::open_in_memory().expect("memory is there");
    let mut listed = sqlite.prepare("SELECT name FROM pragma_pragma_list").expect("SQLite lists them");
    let listed: BTreeSet<String> =
        listed.query_map([], |row| row.get(0)).expect("it reads").map(|name| name.expect("a text")).collect();
    assert!(listed.len() > 60 && listed.contains("writable_schema"), "{listed:?}");
    for known in TELL {
        assert!(listed.contains(known), "{known} is no PRAGMA");
    }
    let more = ["key", "rekey", "activate_extensions", "vdbe_trace", "sql_trace", "lock_status", "nonsense"];
    let mut wrong = Vec::new();
    for name in listed.iter().map(String::as_str).chain(more) {
        let (tells, takes) = (TELL.contains(&name), TAKE.contains(&name));
        let upper = name.to_uppercase();
        let forms = [
            (format!("PRAGMA {name}"), tells),
            (format!("PRAGMA {upper}"), tells),
            (format!("pragma/**/main.{name}"), tells),
            (format!("PRAGMA \"{name}\""), tells),
            (format!("PRAGMA {name} = 1"), takes),
            (format!("PRAGMA {name} = ON"), takes),
            (format!("PRAGMA {name}(1)"), takes),
            (format!("PRAGMA main.{name}('x')"), takes),
            (format!("EXPLAIN PRAGMA {name} = 1"), takes),
            (format!("SELECT * FROM pragma_{name}"), tells),
            (format!("SELECT * FROM PRAGMA_{upper}('x')"), takes),
        ];
        for (sql, allowed) in forms {
            let command = format!("query ~ x ~ {sql}");
            let answer =
                ask_of(&street.host, "sql", "", &["begin ~ x ~ 0", &command, "rollback ~ x"]).swap_remove(1);
            // Not each can be read as a table, or takes what is passed.
            let none = answer.starts_with("INVALID_ARGUMENT ")
                && (sql.contains("FROM") || answer.contains("syntax error"));
            let fine =
                if allowed { !answer.starts_with("DENIED ") } else { answer.starts_with("DENIED ") || none };
            if !fine {
                wrong.push(format!("{sql}: {answer}"));
            }
        }
        wrong.extend(street.goes_on());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What they tell is still so.
    expect(
        &street.host,
        "",
        &[
            ("query ~ 0 ~ PRAGMA foreign_keys", "OK rows=1\nforeign_keys\ni1"),
            ("query ~ 0 ~ PRAGMA integrity_check", "OK rows=1\nintegrity_check\ntok"),
            ("query ~ 0 ~ PRAGMA page_size", "OK rows=1\npage_size\ni4096"),
            ("query ~ 0 ~ PRAGMA max_page_count", "OK rows=1\nmax_page_count\ni4096"),
        ],
    );
}

#[test]
fn database_7_temporary_tables_live_in_a_transaction_and_end_with_it() {
    let mut street = Street::new();
    let outside = "DENIED the statement is not allowed: temporary tables live in a transaction and end with it: begin one first…";
    expect(
        &street.host,
        "",
        &[
            ("execute ~ 0 ~ CREATE TEMP TABLE x (a)", outside),
            ("execute ~ 0 ~ CREATE TABLE temp.x (a)", outside),
            ("execute ~ 0 ~ CREATE TABLE Temp.x AS SELECT 1", outside),
            ("execute ~ 0 ~ CREATE VIEW temp.x AS SELECT 1", outside),
            ("execute ~ 0 ~ CREATE TRIGGER temp.x AFTER INSERT ON t BEGIN DELETE FROM t; END", outside),
            ("execute ~ 0 ~ CREATE VIRTUAL TABLE temp.x USING fts5(a)", outside),
            ("script ~ 0 ~ CREATE TABLE temp.y (a); INSERT INTO y VALUES (1)", "OK changed=1…"),
            ("query ~ 0 ~ SELECT a FROM y", "INVALID_ARGUMENT …no such table: y…"),
            ("execute ~ 0 ~ CREATE TEMPORARY VIEW x AS SELECT 1", outside),
            ("execute ~ 0 ~ CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", outside),
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ CREATE TEMP TABLE x AS SELECT 1 AS a", "OK"),
            ("execute ~ x ~ CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", "OK"),
            ("execute ~ x ~ CREATE TABLE temp.z (a)", "OK"),
            (
                "execute ~ x ~ CREATE TRIGGER temp.h AFTER DELETE ON t BEGIN SELECT raise(ABORT, 'no'); END",
                "OK",
            ),
            ("query ~ x ~ SELECT a FROM x", "OK rows=1\na\ni1"),
            ("commit ~ x", "OK"),
            ("query ~ 0 ~ SELECT a FROM z", "INVALID_ARGUMENT …no such table: z…"),
            ("query ~ 0 ~ SELECT a FROM x", "INVALID_ARGUMENT …no such table: x…"),
            ("execute ~ 0 ~ INSERT INTO t (b) VALUES ('z')", "OK changed=1 id=3"),
            ("query ~ 0 ~ SELECT count(*) AS n FROM t", "OK rows=1\nn\ni3"),
            ("execute ~ 0 ~ DELETE FROM t WHERE a = 3", "OK changed=1"),
        ],
    );
    assert_eq!(street.goes_on(), [""; 0]);
}

#[test]
fn database_7_a_thousand_transactions_at_once_keep_nobody_else_waiting() {
    let mut street = Street::new();
    expect(&street.host, "", &[("hold ~ h", "OK")]);
    let counted = |street: &Street, command: &str| ask(&street.host, "", command);
    // A database has four connections; the rest would have to wait.
    assert_eq!(counted(&street, "as ~ h ~ many ~ 1000 ~ begin ~ x ~ 0 ~ 1 ~ 1 ~ 0"), "0:4 13:996 ");
    for _ in 0..3 {
        let answers = ask_of(
            &street.host,
            "second",
            "acme",
            &["begin ~ x ~ 0", "execute ~ x ~ INSERT INTO t VALUES (1)", "rollback ~ x"],
        );
        assert_eq!(answers[0], "OK");
    }
    expect(&street.host, "", &[("release ~ h", "OK"), ("stats", "OK transactions=0 …")]);
    assert_eq!(street.goes_on(), [""; 0]);
    // One that writes, and nine hundred and ninety-nine that would.
    expect(&street.host, "", &[("hold ~ h", "OK")]);
    assert_eq!(counted(&street, "as ~ h ~ many ~ 1000 ~ begin ~ x ~ 0 ~ 0 ~ 1 ~ 0"), "0:1 13:999 ");
    expect(&street.host, "", &[("release ~ h", "OK")]);
    assert_eq!(street.goes_on(), [""; 0]);
}
