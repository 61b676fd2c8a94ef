//! SQL through the SDK's safe methods, on the test host: what a plugin can count on in its own tests.

use std::{collections::BTreeMap, time::Duration};

use pintle_plugin::{
    Context, Database, Error, Held, Migration, Plugin, Request, Result, Sql, SqlColumn, SqlOptions, SqlValue,
    Status, TransactionOptions, params, plugin, test::Host,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn status<T>(outcome: Result<T>) -> Status {
    outcome.err().expect("it must fail").status()
}

/// With a table of ships, two of them in it.
fn fleet(db: Database<'_>) -> Result<()> {
    db.script(
        "CREATE TABLE ships (name TEXT PRIMARY KEY, berth INTEGER NOT NULL, flag TEXT, draught REAL) STRICT;
         INSERT INTO ships VALUES ('Anna', 3, 'Malta', 2.5), ('Bea', -300, NULL, 4)",
    )?;
    Ok(())
}

fn names(sql: &Sql<'_>) -> Result<Vec<String>> {
    sql.query_as("SELECT name FROM ships ORDER BY name", params![])
}

#[test]
fn values_come_back_as_they_went() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fn same<T>(db: Database<'_>, value: T) -> Result<()>
    where
        T: pintle_plugin::ToSql
            + for<'r> pintle_plugin::FromSql<'r>
            + DeserializeOwned
            + PartialEq
            + std::fmt::Debug,
    {
        assert_eq!(db.query_one("SELECT ?1", params![value], |row| row.get::<T>(0))?, value);
        assert_eq!(db.query_one_as::<T>("SELECT ?1", params![value])?, value);
        assert_eq!(db.query_one_as::<(T,)>("SELECT ?1", params![value])?, (value,));
        Ok(())
    }
    for integer in [i64::MIN, -1, 0, i64::MAX] {
        same(db, integer)?;
    }
    same(db, u8::MAX)?;
    same(db, i8::MIN)?;
    same(db, u32::MAX)?;
    same(db, i64::MAX as u64)?;
    same(db, 7_usize)?;
    for real in [0.0, -1.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY] {
        same(db, real)?;
    }
    same(db, true)?;
    same(db, false)?;
    for text in ["", "a", "quote ' and \" ; --", "nul \0 inside", "\u{1f6a2} \u{e4}\u{5d0}\u{4e2d}"] {
        same(db, text.to_owned())?;
    }
    for bytes in [Vec::new(), vec![0_u8, 255, 39], vec![7_u8; 100_000]] {
        same(db, bytes)?;
    }
    same(db, None::<i64>)?;
    same(db, Some(5_i16))?;
    same(db, Some("s".to_owned()))?;
    let nan = db.query_one("SELECT ?1", params![f64::NAN], |row| row.get::<Option<f64>>(0))?;
    assert_eq!(nan, None, "SQL has no NaN");
    for value in [json!(null), json!({ "a": [1, "x", null, 2.5] }), json!("text")] {
        let read = db.query_one("SELECT ?1", params![value], |row| row.get::<Value>(0))?;
        assert_eq!(read, value);
    }
    assert_eq!(db.query_one_as::<i64>("SELECT ?1 ->> '$.a[0]'", params![json!({ "a": [7] })])?, 7);
    let owned =
        db.query_one("SELECT ?1", params![b"x"], |row| Ok(row.get::<SqlValue<'_>>(0)?.into_owned()))?;
    assert_eq!(owned, SqlValue::from(&b"x"[..]));
    Ok(())
}

#[test]
fn rows_become_structs_tuples_maps_and_single_values() -> Result<()> {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Ship {
        name: String,
        berth: i32,
        flag: Option<String>,
        #[serde(default)]
        length: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, f64>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Plain {
        draught: f64,
        flag: Option<Flag>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    enum Flag {
        Malta,
        Panama,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Name(String);
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    let all = "SELECT * FROM ships ORDER BY name";
    let ships: Vec<Ship> = db.query_as(all, params![])?;
    let rest = |draught| BTreeMap::from([("draught".to_owned(), draught)]);
    assert_eq!(
        ships,
        [
            Ship { name: "Anna".into(), berth: 3, flag: Some("Malta".into()), length: 0, rest: rest(2.5) },
            Ship { name: "Bea".into(), berth: -300, flag: None, length: 0, rest: rest(4.0) },
        ]
    );
    let plain: Vec<Plain> = db.query_as(all, params![])?;
    assert_eq!(plain[0], Plain { draught: 2.5, flag: Some(Flag::Malta) });
    assert_eq!(plain[1].flag, None);
    let tuples: Vec<(Name, i64, Option<Flag>, f32)> = db.query_as(all, params![])?;
    assert_eq!(tuples[0], (Name("Anna".into()), 3, Some(Flag::Malta), 2.5));
    let flags: Vec<Option<Flag>> = db.query_as("SELECT flag FROM ships ORDER BY name", params![])?;
    assert_eq!(flags, [Some(Flag::Malta), None]);
    let maps: Vec<Value> = db.query_as("SELECT name, berth, NULL AS x FROM ships LIMIT 1", params![])?;
    assert_eq!(maps, [json!({ "name": "Anna", "berth": 3, "x": null })]);
    assert_eq!(db.query_one_as::<u64>("SELECT count(*) FROM ships", params![])?, 2);
    assert_eq!(db.query_one_as::<f64>("SELECT count(*) FROM ships", params![])?, 2.0, "it is exact");
    assert_eq!(
        db.query_one_as::<Option<Ship>>("SELECT * FROM ships LIMIT 1", params![])?.map(|s| s.berth),
        Some(3)
    );
    assert_eq!(db.query_optional_as::<Name>("SELECT name FROM ships WHERE berth = 9", params![])?, None);
    let borrowed = db.query_one("SELECT name FROM ships WHERE berth = 3", params![], |row| {
        Ok(row.read::<&str>()?.len())
    })?;
    assert_eq!(borrowed, 4);
    Ok(())
}

#[test]
fn what_no_type_can_be_made_of_says_why_with_the_columns_name() -> Result<()> {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct Ship {
        name: String,
        berth: u8,
    }
    #[derive(Debug, Deserialize)]
    enum Flag {
        Malta,
    }
    let host = Host::new();
    let db = host.database();
    fn fails<T: DeserializeOwned + std::fmt::Debug>(db: Database<'_>, sql: &str, status: Status, text: &str) {
        let error = db.query_as::<T>(sql, params![]).expect_err(sql);
        assert_eq!((error.status(), error.message()), (status, text), "{sql}");
    }
    let (wrong, range) = (Status::WrongType, Status::OutOfRange);
    fails::<Ship>(
        db,
        "SELECT 'A' AS name, 256 AS berth",
        range,
        "column \"berth\": 256 is out of range for u8",
    );
    fails::<Ship>(
        db,
        "SELECT 'A' AS name, NULL AS berth",
        wrong,
        "column \"berth\": NULL, where an INTEGER is expected: only an `Option` takes it",
    );
    fails::<Ship>(db, "SELECT 'A' AS name", wrong, "the query gives no column \"berth\"");
    fails::<Ship>(db, "SELECT 'A' AS name, 1 AS berth, 2 AS berth", wrong, "duplicate field `berth`");
    fails::<(u8, i8)>(db, "SELECT 1, -129 AS low", range, "column \"low\": -129 is out of range for i8");
    fails::<(u8, u8)>(db, "SELECT 1, 2, 3", wrong, "the query gives 3 columns: they are no tuple of 2");
    fails::<u8>(db, "SELECT 1, 2", wrong, "the query gives 2 columns: a single value is read from one");
    fails::<u64>(db, "SELECT -1 AS n", range, "column \"n\": -1 is out of range for u64");
    fails::<i64>(db, "SELECT 1.0 AS n", wrong, "column \"n\": REAL, where an INTEGER is expected");
    fails::<String>(db, "SELECT 1 AS n", wrong, "column \"n\": INTEGER, where a TEXT is expected");
    fails::<String>(db, "SELECT x'61' AS n", wrong, "column \"n\": BLOB, where a TEXT is expected");
    fails::<Vec<u8>>(db, "SELECT 256 AS n", range, "column \"n\": 256 is out of range for u8");
    fails::<bool>(db, "SELECT 2 AS n", range, "column \"n\": 2 is out of range for bool: it is 0 or 1");
    fails::<f64>(
        db,
        "SELECT 9007199254740993 AS n",
        range,
        "column \"n\": 9007199254740993 is out of range for f64, which would round it",
    );
    fails::<Flag>(db, "SELECT 'Elbe' AS n", wrong, "column \"n\": unknown variant `Elbe`, expected `Malta`");
    Ok(())
}

#[test]
fn a_statement_tells_what_it_did() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    assert!(db.create_table(
        "t",
        &[
            SqlColumn::integer("id").primary_key().auto_number(),
            SqlColumn::text("s").not_null().unique().default("it's \0 there"),
            SqlColumn::real("r").default(f64::NEG_INFINITY),
            SqlColumn::blob("b").default(&b"\x00\xff"[..]),
            SqlColumn::integer("i").default(i64::MIN),
        ]
    )?);
    assert!(!db.create_table("T", &[SqlColumn::integer("other")])?, "whatever its columns");
    let done = db.execute("INSERT INTO t (s) VALUES ('a'), ('b')", params![])?;
    assert_eq!((done.changed, done.last_insert_id, done.rows), (2, 2, 0));
    let done = db.execute("UPDATE t SET r = 0 WHERE s > ?1", params![""])?;
    assert_eq!((done.changed, done.last_insert_id), (2, 0));
    let mut ids = Vec::new();
    let done = db.query("INSERT INTO t DEFAULT VALUES RETURNING id", params![], |row| {
        ids.push(row.get::<i64>(0)?);
        Ok(())
    })?;
    assert_eq!((done.changed, done.last_insert_id, done.rows, ids), (1, 3, 1, vec![3]));
    let row: (String, f64, Vec<u8>, i64) =
        db.query_one_as("SELECT s, r, b, i FROM t WHERE id = 3", params![])?;
    assert_eq!(row, ("it's \0 there".into(), f64::NEG_INFINITY, vec![0, 255], i64::MIN));
    assert_eq!(db.script("DELETE FROM t WHERE id = 1; DELETE FROM t")?.changed, 3);
    let stats = db.stats()?;
    assert!(stats.bytes > 0 && stats.limit_bytes > stats.bytes && stats.transactions == 0);
    Ok(())
}

#[test]
fn an_error_has_the_words_and_the_place_of_the_database() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    let error =
        db.execute("INSERT INTO ships VALUES ('Anna', 1, NULL, 0)", params![]).expect_err("there is one");
    assert_eq!((error.status(), error.sql_code()), (Status::Conflict, Some(1_555)));
    assert_eq!(error.message(), "UNIQUE constraint failed: ships.name");
    let error = db.execute("SELECT shop FROM ships", params![]).expect_err("no column");
    assert_eq!((error.sql_code(), error.sql_offset()), (Some(1), Some(7)));
    assert_eq!(error.message(), "no such column: shop");
    let error = db.script("SELECT 1; SELECT shop FROM ships").expect_err("no column");
    assert_eq!(error.sql_offset(), Some(17), "from the beginning of the text");
    let error = db.execute("SELECT 1 FROM shops", params![]).expect_err("no table");
    assert_eq!((error.sql_code(), error.sql_offset()), (Some(1), None), "SQLite does not say where");
    Ok(())
}

#[test]
fn what_goes_wrong_has_its_status_and_changes_nothing() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    db.script("CREATE TABLE berths (n INTEGER PRIMARY KEY, ship TEXT REFERENCES ships) STRICT; CREATE TABLE c (x CHECK (x > 0))")?;
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    let deep = format!("SELECT {}1", "1+".repeat(300));
    let cases: &[(&str, Status)] = &[
        ("", Status::InvalidArgument),
        (" -- nothing\n", Status::InvalidArgument),
        ("SELEC 1", Status::InvalidArgument),
        ("SELECT \"no such column\"", Status::InvalidArgument),
        ("SELECT 1; SELECT 2", Status::InvalidArgument),
        ("DELETE FROM ships; DELETE FROM ships", Status::InvalidArgument),
        ("SELECT ?1", Status::InvalidArgument),
        ("SELECT :name", Status::InvalidArgument),
        ("INSERT INTO ships VALUES ('C', 'many', NULL, 0)", Status::WrongType),
        ("INSERT INTO ships VALUES ('C', NULL, NULL, 0)", Status::Conflict),
        ("INSERT INTO berths VALUES (1, 'nobody')", Status::Conflict),
        ("INSERT INTO c VALUES (0)", Status::Conflict),
        (
            "INSERT OR FAIL INTO ships SELECT 'C', 1, NULL, 0 UNION ALL SELECT 'Anna', 1, NULL, 0",
            Status::Conflict,
        ),
        ("SELECT abs(-9223372036854775807 - 1)", Status::OutOfRange),
        ("SELECT zeroblob(2000000)", Status::TooLarge),
        (&long, Status::TooLarge),
        (&deep, Status::TooLarge),
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
            Status::Timeout,
        ),
        ("BEGIN", Status::Denied),
        ("COMMIT", Status::Denied),
        ("SAVEPOINT a", Status::Denied),
        ("ATTACH ':memory:' AS other", Status::Denied),
        ("DETACH main", Status::Denied),
        ("VACUUM", Status::Denied),
        ("VACUUM INTO 'file'", Status::Denied),
        ("PRAGMA journal_mode", Status::Denied),
        ("PRAGMA foreign_keys = OFF", Status::Denied),
        ("PRAGMA writable_schema = ON", Status::Denied),
        ("SELECT load_extension('x')", Status::Denied),
        ("CREATE TEMP TABLE t (x)", Status::Denied),
        ("SELECT * FROM pintle_owner", Status::Denied),
        ("SELECT * FROM main.\"PINTLE_migrations\"", Status::Denied),
        ("CREATE TABLE pintle_mine (x)", Status::Denied),
        ("DROP TABLE pintle_owner", Status::Denied),
        ("CREATE VIRTUAL TABLE v USING dbstat(main)", Status::Denied),
    ];
    let hasty = db.with(SqlOptions::new().timeout(Duration::from_millis(20)));
    for (sql, expected) in cases {
        let error = hasty.execute(sql, params![]).expect_err(sql);
        assert_eq!(error.status(), *expected, "{sql:.100}: {error}");
        assert!(!error.message().is_empty());
    }
    for (sql, values) in [
        ("SELECT ?1, ?3", 2),
        ("SELECT ?2", 2),
        ("SELECT ?1, '?2', ?3 -- ?2", 3),
        ("SELECT ?, ?", 1),
        ("SELECT 1", 1),
    ] {
        let error = db.execute(sql, &vec![&1 as &dyn pintle_plugin::ToSql; values]).expect_err(sql);
        assert_eq!(error.status(), Status::InvalidArgument, "{sql}");
    }
    db.execute("SELECT $1, $2 -- and no more;\n;", params![1, 2])?;
    db.execute("SELECT ?2 /* ?9 */, '?8', ?1, ?", params![1, 2, 3])?;
    assert_eq!(names(&db)?, ["Anna", "Bea"]);
    Ok(())
}

#[test]
fn rows_have_a_bound_and_whoever_refuses_one_changes_nothing() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    let insert = "INSERT INTO ships SELECT name || 'x', 0, NULL, 0 FROM ships RETURNING name";
    let refuses_and_changes_nothing = |sql: &Sql<'_>| {
        let mut seen = 0;
        let few = sql.with(SqlOptions::new().max_rows(1)).query(insert, params![], |_| {
            seen += 1;
            Ok(())
        });
        assert_eq!((status(few), seen), (Status::TooLarge, 1), "one was handed over, and does not count");
        assert_eq!(status(sql.query_one_as::<String>(insert, params![])), Status::TooLarge);
        let refused = sql.query(insert, params![], |_| Err(Error::new(Status::Denied, "no")));
        assert_eq!(status(refused), Status::Denied);
        let rowless = "INSERT INTO ships VALUES ('C', 1, NULL, 0)";
        assert_eq!(status(sql.query_one(rowless, params![], |_| Ok(()))), Status::NotFound);
        assert_eq!(names(sql)?, ["Anna", "Bea"]);
        Ok::<(), Error>(())
    };
    refuses_and_changes_nothing(&db)?;
    let tx = db.begin()?;
    refuses_and_changes_nothing(&tx)?;
    assert_eq!(status(db.query(insert, params![], |_| Ok(()))), Status::Busy);
    drop(tx);
    assert_eq!((db.query(insert, params![], |_| Ok(()))?.rows, names(&db)?.len()), (2, 4));
    Ok(())
}

#[test]
fn a_transaction_is_seen_by_nobody_else_until_it_is_committed() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    let before = db.begin_read_only()?;
    let tx = db.begin()?;
    assert_eq!(db.stats()?.transactions, 2);
    tx.execute("DELETE FROM ships WHERE name = 'Bea'", params![])?;
    assert_eq!((names(&tx)?.len(), names(&db)?.len(), names(&before)?.len()), (1, 2, 2));
    // Nobody waits in the test host.
    for error in [
        db.execute("DELETE FROM ships", params![]).expect_err("others write"),
        db.begin().expect_err("others write"),
        db.script("DELETE FROM ships").expect_err("others write"),
        db.create_table("t", &[SqlColumn::text("x")]).expect_err("others write"),
        db.migrate(&[Migration::new(1, "x", "SELECT 1")]).expect_err("others write").into(),
    ] {
        assert_eq!(error.status(), Status::Busy, "{error}");
    }
    host.tenant("acme").database().script("CREATE TABLE elsewhere (x)")?;
    tx.commit()?;
    assert_eq!((names(&db)?.len(), names(&before)?.len()), (1, 2), "it reads of one state");
    assert_eq!(status(before.execute("DELETE FROM ships", params![])), Status::InvalidArgument);
    assert_eq!(status(before.script("SELECT 1; DELETE FROM ships")), Status::InvalidArgument);
    assert_eq!(status(before.create_table("t", &[SqlColumn::text("x")])), Status::InvalidArgument);
    assert_eq!(db.stats()?.transactions, 1);
    Ok(())
}

#[test]
fn nested_transactions_are_undone_alone_and_kept_with_the_one_around_them() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    let insert = "INSERT INTO ships VALUES (?1, 1, NULL, 0)";
    let mut tx = db.begin()?;
    {
        let mut kept = tx.nested()?;
        kept.execute(insert, params!["C"])?;
        let undone = kept.nested()?;
        undone.execute(insert, params!["D"])?;
        drop(undone);
        kept.commit()?;
    }
    std::mem::forget(tx.nested()?);
    assert_eq!(status(tx.execute(insert, params!["E"])), Status::Busy, "a nested one is open");
    assert_eq!(status(tx.commit()), Status::Busy);
    assert_eq!(names(&db)?, ["Anna", "Bea"], "and all is rolled back");
    db.transaction(|tx| {
        tx.nested()?.execute(insert, params!["C"])?;
        tx.nested().and_then(|nested| nested.execute(insert, params!["D"]).and_then(|_| nested.commit()))
    })?;
    assert_eq!(names(&db)?, ["Anna", "Bea", "D"]);
    fn deeper(mut tx: pintle_plugin::Transaction<'_>, depth: u32) -> (u32, Status) {
        match tx.nested() {
            Ok(nested) => deeper(nested, depth + 1),
            Err(error) => (depth, error.status()),
        }
    }
    assert_eq!(deeper(db.begin()?, 0), (32, Status::Quota));
    Ok(())
}

#[test]
fn what_rolled_a_transaction_back_is_its_answer_until_it_ends() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    fleet(db)?;
    let tx = db.begin()?;
    tx.execute("DELETE FROM ships WHERE name = 'Bea'", params![])?;
    let again = "INSERT OR ROLLBACK INTO ships VALUES ('Anna', 1, NULL, 0)";
    assert_eq!(status(tx.execute(again, params![])), Status::Conflict);
    assert_eq!(status(names(&tx)), Status::Conflict);
    assert_eq!(status(tx.commit()), Status::Conflict);
    assert_eq!(names(&db)?.len(), 2);

    let tx = db.begin_with(&TransactionOptions::new().timeout(SECOND))?;
    tx.execute("DELETE FROM ships", params![])?;
    host.advance(SECOND)?;
    assert_eq!(status(names(&tx)), Status::Timeout);
    tx.rollback()?;
    assert_eq!(names(&db)?.len(), 2);

    let fleet = "CREATE TABLE berths (n INTEGER PRIMARY KEY, ship TEXT REFERENCES ships DEFERRABLE INITIALLY DEFERRED)";
    db.execute(fleet, params![])?;
    let insert = "INSERT INTO berths VALUES (1, 'nobody')";
    let tx = db.begin()?;
    tx.execute(insert, params![])?;
    assert_eq!(status(tx.commit()), Status::Conflict);
    assert_eq!(status(db.execute(insert, params![])), Status::Conflict);
    assert_eq!(db.query_one_as::<u32>("SELECT count(*) FROM berths", params![])?, 0);
    Ok(())
}

#[test]
fn temporary_tables_live_as_long_as_their_transaction() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    let tx = db.begin()?;
    tx.script("CREATE TEMP TABLE t AS SELECT 1 AS x; CREATE TABLE kept AS SELECT x FROM t")?;
    assert_eq!(tx.query_one_as::<i64>("SELECT x FROM t", params![])?, 1);
    tx.commit()?;
    assert_eq!(status(db.execute("SELECT x FROM t", params![])), Status::InvalidArgument);
    assert_eq!(db.query_one_as::<i64>("SELECT x FROM kept", params![])?, 1);
    db.script("CREATE TEMP TABLE t (x); DROP TABLE t; CREATE TEMP TABLE u (x)")?;
    assert_eq!(status(db.execute("SELECT x FROM u", params![])), Status::InvalidArgument);
    Ok(())
}

#[test]
fn a_history_is_run_once_and_must_not_change() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    let first =
        Migration::new(2, "ships", "CREATE TABLE ships (name TEXT); INSERT INTO ships VALUES ('Anna')");
    let second = Migration::new(5, "flags", "ALTER TABLE ships ADD flag TEXT");
    let wrong = Migration::new(6, "wrong", "INSERT INTO ships VALUES ('Bea', 1); SELEC");
    let figures = |history: &[Migration<'_>], dry: bool| {
        let done = if dry { db.migrate_dry_run(history) } else { db.migrate(history) };
        done.map(|done| (done.applied, done.pending, done.current)).map_err(|error| {
            let done = error.migrated();
            (error.status(), error.message().to_owned(), (done.applied, done.pending, done.current))
        })
    };
    assert_eq!(figures(&[first, second], true), Ok((0, 2, 0)));
    assert_eq!(figures(&[first], false), Ok((1, 0, 2)));
    assert_eq!(figures(&[first], false), Ok((0, 0, 2)));
    let (status, text, done) = figures(&[first, second, wrong], false).expect_err("it is wrong");
    assert_eq!((status, done), (Status::InvalidArgument, (1, 1, 5)), "those before it stay");
    assert!(text.starts_with("migration 6 \"wrong\" failed: "), "{text}");
    assert_eq!(db.query_one_as::<u32>("SELECT count(*) FROM ships", params![])?, 1, "and nothing of it");
    for history in [
        &[][..],
        &[first],
        &[second],
        &[Migration::new(2, "ships", "SELECT 1"), second],
        &[
            Migration::new(2, "boats", "CREATE TABLE ships (name TEXT); INSERT INTO ships VALUES ('Anna')"),
            second,
        ],
        &[first, Migration::new(3, "late", "SELECT 1"), second],
    ] {
        let (status, ..) = figures(history, false).expect_err("it is another history");
        assert_eq!(status, Status::Conflict, "{history:?}");
    }
    for history in [
        &[Migration::new(0, "zero", "SELECT 1")][..],
        &[first, first],
        &[Migration::new(2, "", "SELECT 1")],
        &[Migration::new(2, "a\nb", "SELECT 1")],
    ] {
        let (status, ..) = figures(history, true).expect_err("it is none");
        assert_eq!(status, Status::InvalidArgument, "{history:?}");
    }
    let late = pintle_plugin::MigrateOptions::new().timeout(SECOND * 3_601);
    assert_eq!(db.migrate_with(&[], &late).expect_err("too long").status(), Status::OutOfRange);
    Ok(())
}

/// Keeps what it is told in a table; asks for some of the methods alone.
struct Keeper;

plugin!(
    Keeper,
    inline r#"{
        "id": "keeper", "version": "1.0.0", "abi": "1.0",
        "services": { "database": { "methods": ["execute", "query", "begin"] } },
        "provides": { "keeper.desk": { "major": 1, "methods": ["keep", "leave", "hold", "all"] } }
    }"#,
    entry = keeper
);

const ALL: &str = "SELECT word FROM words ORDER BY 1";

impl Plugin for Keeper {
    fn load(cx: &Context) -> Result<Self> {
        let db = cx.database();
        assert_eq!(db.query_one_as::<i64>("SELECT 1", params![])?, 1, "reading is allowed");
        db.begin_read_only()?.query_one_as::<i64>("SELECT 1", params![])?;
        for error in [
            db.execute("CREATE TABLE early (x)", params![]).expect_err("too early"),
            db.script("CREATE TABLE early (x)").expect_err("too early"),
            db.begin().expect_err("too early"),
        ] {
            assert_eq!(error.status(), Status::Unavailable, "{error}");
        }
        Ok(Self)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        let db = cx.database();
        for (error, method) in [
            (db.migrate(&[]).expect_err("not asked for").into(), "migrate"),
            (db.create_table("t", &[SqlColumn::text("x")]).expect_err("not asked for"), "create_table"),
            (db.stats().expect_err("not asked for"), "stats"),
        ] {
            let error: Error = error;
            assert_eq!(error.status(), Status::Denied);
            assert!(error.message().contains(&format!("call database.{method}")), "{error}");
        }
        Ok(())
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        let db = cx.database();
        db.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)", params![])?;
        let insert = "INSERT INTO words VALUES (?1)";
        match request.method() {
            "keep" => {
                request.answer(|word: String| db.execute(insert, params![word]).map(|done| done.changed))
            }
            // Its transaction is still open when it returns.
            "leave" => request.answer(|word: String| {
                let tx = db.begin()?;
                tx.execute(insert, params![word])?;
                std::mem::forget(tx);
                Ok(db.query_as::<String>(ALL, params![])?.len())
            }),
            // So is that of a held context, which lives on.
            "hold" => request.answer(|word: String| {
                let held = Box::leak(Box::new(cx.hold()?));
                let tx = held.database().begin()?;
                tx.execute(insert, params![word])?;
                std::mem::forget(tx);
                Ok(std::ptr::from_mut::<Held>(held).expose_provenance())
            }),
            _ => request.answer(|(): ()| db.query_as::<String>(ALL, params![])),
        }
    }
}

#[test]
fn a_transaction_ends_with_the_context_that_it_was_begun_with() -> Result<()> {
    let host = Host::new().start::<Keeper>()?;
    let all = || host.call_json::<Vec<String>>("keeper.desk", "all", &());
    assert_eq!(host.call_json::<u64>("keeper.desk", "keep", &"one")?, 1);
    assert_eq!(host.call_json::<u64>("keeper.desk", "leave", &"two")?, 1);
    assert_eq!(all()?, ["one"]);
    host.call_json::<usize>("keeper.desk", "hold", &"three")?;
    assert_eq!(
        host.call_json::<u64>("keeper.desk", "keep", &"four").map_err(|error| error.status()),
        Err(Status::Busy)
    );
    host.unload()?;
    assert_eq!(host.database().query_as::<String>(ALL, params![])?, ["one"], "its own database lives on");
    host.load::<Keeper>()?;
    host.enable()?;
    assert_eq!(host.call_json::<u64>("keeper.desk", "keep", &"four")?, 1);
    Ok(())
}

#[test]
fn each_tenant_and_each_host_has_a_database_of_its_own() -> Result<()> {
    let (host, other) = (Host::new().start::<Keeper>()?, Host::new());
    let acme = host.tenant("acme");
    acme.call_json::<u64>("keeper.desk", "keep", &"secret")?;
    assert_eq!(host.call_json::<Vec<String>>("keeper.desk", "all", &())?, [""; 0]);
    assert_eq!(acme.database().query_as::<String>(ALL, params![])?, ["secret"]);
    assert_eq!(
        status(host.tenant("bolt").database().query_as::<String>(ALL, params![])),
        Status::InvalidArgument
    );
    assert_eq!(
        status(other.tenant("acme").database().query_as::<String>(ALL, params![])),
        Status::InvalidArgument
    );
    let tx = acme.database().begin()?;
    assert!(host.database().begin().is_ok(), "they do not wait for each other");
    drop(tx);
    Ok(())
}

#[test]
fn a_test_makes_calls_fail_by_their_own_names() -> Result<()> {
    let host = Host::new().start::<Keeper>()?;
    host.fail_next("database.execute", Status::Quota, "the database is full");
    assert_eq!(
        host.call("keeper.desk", "keep", b"\"x\"").map_err(|error| error.status()),
        Err(Status::Quota)
    );
    host.fail_next("database.begin", Status::Busy, "others write");
    assert_eq!(
        host.call("keeper.desk", "leave", b"\"x\"").map_err(|error| error.status()),
        Err(Status::Busy)
    );
    Ok(())
}

/// May read alone.
struct Reader;

plugin!(
    Reader,
    inline r#"{
        "id": "reader", "version": "1.0.0", "abi": "1.0",
        "services": { "database": { "methods": ["query"] } }
    }"#,
    entry = reader
);

impl Plugin for Reader {
    fn load(_: &Context) -> Result<Self> {
        Ok(Self)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        let db = cx.database();
        assert_eq!(db.query_one_as::<i64>("SELECT 1", params![])?, 1);
        for error in [
            db.query("CREATE TABLE t (x)", params![], |_| Ok(())).expect_err("it writes"),
            db.query_one_as::<i64>("PRAGMA user_version = 5", params![]).expect_err("it writes"),
            db.execute("SELECT 1", params![]).expect_err("not asked for"),
            db.script("SELECT 1").expect_err("not asked for"),
            db.begin_read_only().expect_err("not asked for"),
        ] {
            assert_eq!(error.status(), Status::Denied, "{error}");
        }
        Ok(())
    }
}

#[test]
fn whoever_may_only_query_writes_nothing() {
    Host::new().start::<Reader>().expect("it has looked itself");
}

#[test]
fn a_row_function_calls_no_host() -> Result<()> {
    let host = Host::new();
    let db = host.database();
    let mut met = Vec::new();
    db.query("SELECT 1 UNION ALL SELECT 2", params![], |_| {
        met.push(status(host.database().execute("SELECT 1", params![])));
        Ok(())
    })?;
    assert_eq!(met, [Status::Reentrant; 2]);
    assert_eq!(db.query_one_as::<i64>("SELECT 1", params![])?, 1);
    Ok(())
}

#[test]
fn many_rows_come_up_to_the_bound() -> Result<()> {
    let host = Host::new();
    let count =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?1) SELECT x FROM n";
    let mut sum = 0_u64;
    let done = host.database().query(count, params![20_000], |row| {
        sum += row.get::<u64>(0)?;
        Ok(())
    })?;
    assert_eq!((done.rows, sum), (20_000, 200_010_000));
    let most = host.database().with(SqlOptions::new().max_rows(20_000));
    assert_eq!(most.query(count, params![20_000], |_| Ok(()))?.rows, 20_000);
    assert_eq!(status(most.query(count, params![20_001], |_| Ok(()))), Status::TooLarge);
    Ok(())
}
