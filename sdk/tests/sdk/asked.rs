//! SQL as it crosses the boundary: what the host is asked, in each shape, and what becomes of its answers, on a table that writes
//! down what it is asked.

#![allow(
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    reason = "half of the file plays the host"
)]

use std::{
    borrow::Cow,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use pintle_abi::*;
use pintle_plugin::{
    Context, Error, MigrateOptions, Migrated, Migration, Result, SqlColumn, SqlOptions, SqlValue, Status,
    TransactionOptions, params,
};
use serde_json::json;

use crate::{
    fake::{self, Fake, on},
    services::play,
};

unsafe fn shown(value: &PintleSqlValue) -> String {
    assert_eq!(value.reserved, 0);
    match value.kind {
        PINTLE_SQL_NULL => "null".into(),
        PINTLE_SQL_INTEGER => value.integer.to_string(),
        PINTLE_SQL_REAL => format!("{:?}", value.real),
        PINTLE_SQL_TEXT => format!("{:?}", str::from_utf8(unsafe { fake::bytes(value.bytes) }).unwrap()),
        PINTLE_SQL_BLOB => format!("x{:?}", unsafe { fake::bytes(value.bytes) }),
        kind => panic!("no such kind: {kind}"),
    }
}

unsafe fn asked(
    tx: PintleTransaction,
    sql: PintleStr,
    values: *const PintleSqlValue,
    count: usize,
    options: *const PintleSqlOptions,
) -> String {
    let values: Vec<_> = (0..count).map(|at| unsafe { shown(&*values.add(at)) }).collect();
    let mut asked = format!(" {tx} {} [{}]", unsafe { fake::text(sql) }, values.join(" "));
    if let Some(options) = unsafe { options.as_ref() } {
        assert_eq!((options.size as usize, options.flags), (size_of::<PintleSqlOptions>(), 0));
        asked += &format!(" {}ms {} rows", options.timeout_ms, options.max_rows);
    }
    asked
}

/// A failure has the code 2067 and is about byte 7, unless the SQL is `elsewhere`.
unsafe fn tell(info: *mut PintleSqlInfo, sql: PintleStr, status: PintleStatus, rows: u64) -> PintleStatus {
    let info = unsafe { &mut *info };
    assert_eq!((info.size as usize, info.error_offset), (size_of::<PintleSqlInfo>(), -1));
    match (status, unsafe { fake::text(sql) }) {
        (PINTLE_OK, _) => (info.changed, info.last_insert_id, info.rows) = (3, -4, rows),
        (_, "elsewhere") => {}
        (_, "nowhere") => info.error_code = 2_067,
        _ => (info.error_code, info.error_offset) = (2_067, 7),
    }
    status
}

unsafe extern "C" fn execute(
    ctx: PintleCtx,
    tx: PintleTransaction,
    sql: PintleStr,
    values: *const PintleSqlValue,
    count: usize,
    options: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
) -> PintleStatus {
    let status = on(ctx, "execute", unsafe { asked(tx, sql, values, count, options) }, |_| PINTLE_OK);
    unsafe { tell(info, sql, status, 0) }
}

/// Gives two rows of three columns: `(1, "Anna", NULL)` and `(-300, "Bea", 2.5)`.
unsafe extern "C" fn query(
    ctx: PintleCtx,
    tx: PintleTransaction,
    sql: PintleStr,
    values: *const PintleSqlValue,
    count: usize,
    rows: PintleSqlRows,
    options: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
) -> PintleStatus {
    let mut status = on(ctx, "query", unsafe { asked(tx, sql, values, count, options) }, |_| PINTLE_OK);
    if status == PINTLE_OK {
        status = unsafe { give(sql, rows, 2) };
        on(ctx, "gave", format!(" {status}"), |_| PINTLE_OK);
    }
    unsafe { tell(info, sql, status, 2) }
}

unsafe extern "C" fn query_one(
    ctx: PintleCtx,
    tx: PintleTransaction,
    sql: PintleStr,
    values: *const PintleSqlValue,
    count: usize,
    rows: PintleSqlRows,
    options: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
) -> PintleStatus {
    let mut status = on(ctx, "query_one", unsafe { asked(tx, sql, values, count, options) }, |_| PINTLE_OK);
    if status == PINTLE_OK {
        status = unsafe { give(sql, rows, 1) };
    }
    unsafe { tell(info, sql, status, 1) }
}

unsafe fn give(sql: PintleStr, rows: PintleSqlRows, count: usize) -> PintleStatus {
    let null = PintleSqlValue::NULL;
    let integer = |integer| PintleSqlValue { kind: PINTLE_SQL_INTEGER, integer, ..null };
    let text =
        |text: &'static [u8]| PintleSqlValue { kind: PINTLE_SQL_TEXT, bytes: PintleBytes::new(text), ..null };
    let all = match unsafe { fake::text(sql) } {
        "odd" => [[text(b"ab\xffc"), PintleSqlValue { kind: 9, ..null }, integer(2)], [null; 3]],
        _ => [
            [integer(1), text(b"Anna"), null],
            [integer(-300), text(b"Bea"), PintleSqlValue { kind: PINTLE_SQL_REAL, real: 2.5, ..null }],
        ],
    };
    let names = ["id", "name", "draught"].map(PintleStr::new);
    if unsafe { fake::text(sql) } != "nameless" {
        let status = unsafe { rows.columns.expect("wanted")(rows.data, names.as_ptr(), 3) };
        assert_eq!(status, PINTLE_OK);
    }
    for row in &all[..count] {
        if unsafe { rows.row.expect("wanted")(rows.data, row.as_ptr(), 3) } != PINTLE_OK {
            return PINTLE_CANCELLED;
        }
    }
    PINTLE_OK
}

unsafe extern "C" fn script(
    ctx: PintleCtx,
    tx: PintleTransaction,
    sql: PintleStr,
    options: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
) -> PintleStatus {
    let asked = unsafe { asked(tx, sql, std::ptr::null(), 0, options) };
    let status = on(ctx, "script", asked, |_| PINTLE_OK);
    unsafe { tell(info, sql, status, 0) }
}

unsafe extern "C" fn begin(
    ctx: PintleCtx,
    outer: PintleTransaction,
    options: *const PintleTransactionOptions,
    tx: *mut PintleTransaction,
) -> PintleStatus {
    let PintleTransactionOptions { size, flags, wait_ms, timeout_ms } = unsafe { options.read() };
    assert_eq!(size as usize, size_of::<PintleTransactionOptions>());
    on(ctx, "begin", format!(" {outer} {flags} {wait_ms} {timeout_ms}"), |_| {
        unsafe { tx.write(outer + 70) };
        PINTLE_OK
    })
}

unsafe extern "C" fn commit(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus {
    on(ctx, "commit", format!(" {tx}"), |_| PINTLE_OK)
}

unsafe extern "C" fn rollback(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus {
    on(ctx, "rollback", format!(" {tx}"), |_| PINTLE_OK)
}

unsafe extern "C" fn migrate(
    ctx: PintleCtx,
    migrations: *const PintleMigration,
    count: usize,
    options: *const PintleMigrateOptions,
    info: *mut PintleMigrateInfo,
) -> PintleStatus {
    let PintleMigrateOptions { size, flags, timeout_ms } = unsafe { options.read() };
    assert_eq!(size as usize, size_of::<PintleMigrateOptions>());
    let mut call = format!(" {flags} {timeout_ms}");
    for at in 0..count {
        let one = unsafe { migrations.add(at).read() };
        assert_eq!(one.size as usize, size_of::<PintleMigration>());
        call += &format!(" {} {} {}", one.number, unsafe { fake::text(one.name) }, unsafe {
            fake::text(one.sql)
        });
    }
    let info = unsafe { &mut *info };
    assert_eq!(info.size as usize, size_of::<PintleMigrateInfo>());
    (info.applied, info.pending, info.current) = (1, 2, 3);
    on(ctx, "migrate", call, |_| PINTLE_OK)
}

unsafe extern "C" fn create_table(
    ctx: PintleCtx,
    tx: PintleTransaction,
    table: PintleStr,
    columns: *const PintleSqlColumn,
    count: usize,
    created: *mut u32,
) -> PintleStatus {
    let mut call = format!(" {tx} {}", unsafe { fake::text(table) });
    for at in 0..count {
        let one = unsafe { columns.add(at).read() };
        assert_eq!((one.size as usize, one.reserved), (size_of::<PintleSqlColumn>(), 0));
        call += &format!(" {}:{}:{}", unsafe { fake::text(one.name) }, one.kind, one.flags);
        if let Some(value) = unsafe { one.default_value.as_ref() } {
            call += &format!("={}", unsafe { shown(value) });
        }
    }
    on(ctx, "create_table", call, |_| {
        unsafe { created.write(1) };
        PINTLE_OK
    })
}

unsafe extern "C" fn stats(ctx: PintleCtx, out: *mut PintleDatabaseStats) -> PintleStatus {
    on(ctx, "stats", String::new(), |_| {
        let stats = unsafe { &mut *out };
        assert_eq!(stats.size as usize, size_of::<PintleDatabaseStats>());
        (stats.transactions, stats.bytes, stats.free_bytes, stats.limit_bytes) = (1, 2, 3, 4);
        PINTLE_OK
    })
}

static TABLE: PintleDatabase = PintleDatabase {
    size: size_of::<PintleDatabase>() as u32,
    reserved: 0,
    execute: Some(execute),
    query: Some(query),
    query_one: Some(query_one),
    script: Some(script),
    begin: Some(begin),
    commit: Some(commit),
    rollback: Some(rollback),
    migrate: Some(migrate),
    create_table: Some(create_table),
    stats: Some(stats),
};

/// Does something inside of a plugin, and gives what the host was asked.
fn calls(act: impl FnOnce(&Context, &Fake) -> Result<()> + Send + 'static) -> Vec<String> {
    let fake = Fake::with(|host| host.database = &raw const TABLE);
    let seen = Arc::clone(&fake);
    play(&fake, move |cx| act(cx, &seen));
    fake.calls()
}

fn status<T>(outcome: Result<T>) -> Status {
    outcome.err().expect("it must fail").status()
}

#[test]
fn values_cross_as_the_kinds_that_they_are() {
    let asked = calls(|cx, _| {
        let db = cx.database();
        db.execute("no values", params![])?;
        db.execute("no values", &[])?;
        db.execute("integers", params![i8::MIN, u8::MAX, -3_i16, 4_u16, i32::MIN, u32::MAX, i64::MIN])?;
        db.execute("wide", params![i64::MAX as u64, 7_usize, -7_isize, true, false])?;
        db.execute("reals", params![1.5, 0.5_f32, f64::INFINITY, f64::NAN])?;
        let owned = String::from("o\"w\u{1f6a2}");
        db.execute("texts", params!["", "s", owned, &owned, Cow::Borrowed("c"), Box::<str>::from("b")])?;
        let bytes = vec![0_u8, 255];
        db.execute("bytes", params![bytes, &bytes, &bytes[..1], [7_u8; 2], b"b", Vec::<u8>::new()])?;
        db.execute("options", params![None::<i64>, Some(1), Some("s"), &None::<String>])?;
        db.execute("json", params![json!({ "a": [1, null] }), json!("s"), json!(null)])?;
        db.execute("values", params![SqlValue::Null, SqlValue::from("t"), SqlValue::Integer(5)])?;
        db.execute("many", params![1, 2, 3, 4, 5, 6, 7, 8, "nine", json!(["ten"])])?;
        Ok(())
    });
    let expected = [
        "execute 0 no values []",
        "execute 0 no values []",
        "execute 0 integers [-128 255 -3 4 -2147483648 4294967295 -9223372036854775808]",
        "execute 0 wide [9223372036854775807 7 -7 1 0]",
        "execute 0 reals [1.5 0.5 inf NaN]",
        "execute 0 texts [\"\" \"s\" \"o\\\"w\u{1f6a2}\" \"o\\\"w\u{1f6a2}\" \"c\" \"b\"]",
        "execute 0 bytes [x[0, 255] x[0, 255] x[0] x[7, 7] x[98] x[]]",
        "execute 0 options [null 1 \"s\" null]",
        "execute 0 json [\"{\\\"a\\\":[1,null]}\" \"\\\"s\\\"\" \"null\"]",
        "execute 0 values [null \"t\" 5]",
        "execute 0 many [1 2 3 4 5 6 7 8 \"nine\" \"[\\\"ten\\\"]\"]",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn texts_and_bytes_are_borrowed_and_not_copied() {
    use pintle_plugin::ToSql;
    let (text, bytes) = (String::from("where it is"), vec![1_u8, 2]);
    let (SqlValue::Text(Cow::Borrowed(same)), SqlValue::Blob(Cow::Borrowed(also))) =
        (text.to_sql().unwrap(), bytes.to_sql().unwrap())
    else {
        panic!("they are borrowed")
    };
    assert_eq!((same.as_ptr(), also.as_ptr()), (text.as_ptr(), bytes.as_ptr()));
}

#[test]
fn a_value_that_sql_cannot_have_is_refused_before_the_host_is_asked() {
    let asked = calls(|cx, _| {
        let error = cx.database().execute("x", params![1, u64::MAX]).expect_err("too large");
        assert_eq!((error.status(), error.sql_code()), (Status::OutOfRange, None));
        assert_eq!(
            error.message(),
            "the value of placeholder 2: 18446744073709551615 is above 9223372036854775807, the largest integer of SQL"
        );
        assert_eq!(status(cx.database().query("x", params![usize::MAX], |_| Ok(()))), Status::OutOfRange);
        Ok(())
    });
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn options_are_said_where_there_are_any() {
    let asked = calls(|cx, _| {
        let hasty = SqlOptions::new().timeout(Duration::from_nanos(1));
        let db = cx.database().with(hasty.max_rows(9));
        db.execute("e", params![])?;
        db.query("q", params![], |_| Ok(()))?;
        db.query_one("o", params![], |_| Ok(()))?;
        db.script("s")?;
        cx.database().with(SqlOptions::new()).script("plain")?;
        let tx = db.begin()?;
        tx.script("plain")?;
        tx.with(SqlOptions::new().max_rows(1)).script("few")?;
        tx.commit()?;
        for nothing in [SqlOptions::new().timeout(Duration::ZERO), SqlOptions::new().max_rows(0)] {
            assert_eq!(status(cx.database().with(nothing).script("never")), Status::OutOfRange);
        }
        Ok(())
    });
    let expected = [
        "execute 0 e [] 1ms 9 rows",
        "query 0 q [] 1ms 9 rows",
        "gave 0",
        "query_one 0 o [] 1ms 9 rows",
        "script 0 s [] 1ms 9 rows",
        "script 0 plain []",
        "begin 0 0 0 0",
        "script 70 plain []",
        "script 70 few [] 0ms 1 rows",
        "commit 70",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn what_was_done_is_told_and_a_failure_with_its_code_and_place() {
    calls(|cx, fake| {
        let db = cx.database();
        let done = db.execute("fine", params![])?;
        assert_eq!((done.changed, done.last_insert_id, done.rows), (3, -4, 0));
        assert_eq!(db.query("fine", params![], |_| Ok(()))?.rows, 2);
        for (sql, code, offset) in
            [("fails", Some(2_067), Some(7)), ("nowhere", Some(2_067), None), ("elsewhere", None, None)]
        {
            let functions: [(&str, &dyn Fn() -> Result<()>); 4] = [
                ("execute", &|| db.execute(sql, params![]).map(drop)),
                ("query", &|| db.query(sql, params![], |_| Ok(())).map(drop)),
                ("query_one", &|| db.query_one(sql, params![], |_| Ok(()))),
                ("script", &|| db.script(sql).map(drop)),
            ];
            for (function, ask) in functions {
                fake.refuse(function, PINTLE_CONFLICT, "UNIQUE constraint failed: ships.name");
                let error = ask().expect_err("it was told to");
                assert_eq!(error.status(), Status::Conflict);
                assert_eq!(error.message(), "UNIQUE constraint failed: ships.name");
                assert_eq!((error.sql_code(), error.sql_offset()), (code, offset), "{function} {sql}");
            }
        }
        Ok(())
    });
}

#[test]
fn every_status_becomes_the_error_of_its_name() {
    calls(|cx, fake| {
        for code in PINTLE_NOT_FOUND..=PINTLE_PANIC {
            fake.refuse("execute", code, "why");
            let error = cx.database().execute("x", params![]).expect_err("it was told to");
            assert_eq!((error.status().code(), error.message()), (code, "why"));
        }
        Ok(())
    });
}

#[test]
fn rows_are_read_by_name_by_number_and_whole() {
    calls(|cx, _| {
        let db = cx.database();
        let mut seen = Vec::new();
        db.query("q", params![], |row| {
            assert_eq!((row.len(), row.columns().collect::<Vec<_>>()), (3, vec!["id", "name", "draught"]));
            let (name, draught): (&str, Option<f64>) = (row.get("name")?, row.get(2)?);
            seen.push((row.get::<i64>("id")?, name.to_owned(), draught));
            Ok(())
        })?;
        assert_eq!(seen, [(1, "Anna".into(), None), (-300, "Bea".into(), Some(2.5))]);
        assert_eq!(db.query_as::<(i64, String, Option<f64>)>("q", params![])?, seen);
        assert_eq!(db.query_one("o", params![], |row| row.get::<u8>(0))?, 1);
        assert_eq!(db.query_optional("o", params![], |row| row.get::<String>(1))?.as_deref(), Some("Anna"));
        assert_eq!(db.query_one("nameless", params![], |row| row.get::<u8>(0))?, 1);
        assert_eq!(
            db.query_one("o", params![], |row| Ok(format!("{row:?}")))?,
            r#"{"id": Ok(Integer(1)), "name": Ok(Text("Anna")), "draught": Ok(Null)}"#
        );
        Ok(())
    });
}

#[test]
fn no_row_is_none_or_not_found() {
    calls(|cx, fake| {
        fake.refuse("query_one", PINTLE_NOT_FOUND, "the query gives no row");
        assert!(cx.database().query_optional("o", params![], |_| Ok(()))?.is_none());
        fake.refuse("query_one", PINTLE_NOT_FOUND, "the query gives no row");
        assert_eq!(status(cx.database().query_one_as::<u8>("o", params![])), Status::NotFound);
        // That of the closure is another.
        let own = || Error::new(Status::NotFound, "no berth");
        let error =
            cx.database().query_optional("o", params![], |_| Err::<(), _>(own())).expect_err("its own");
        assert_eq!(error.message(), "no berth");
        Ok(())
    });
}

#[test]
fn what_a_row_cannot_be_read_as_names_the_column() {
    calls(|cx, _| {
        let db = cx.database();
        type Read = fn(&pintle_plugin::Row<'_>) -> Result<()>;
        let cases: [(&str, Status, &str, Read); 7] = [
            ("q", Status::OutOfRange, "column \"id\": -300 is out of range for u8", |row| {
                row.get::<u8>("id").map(drop)
            }),
            ("q", Status::WrongType, "column \"name\": TEXT, where an INTEGER is expected", |row| {
                row.get::<i64>(1).map(drop)
            }),
            (
                "q",
                Status::WrongType,
                "column \"draught\": NULL, where a REAL is expected: only an `Option` takes it",
                |row| row.get::<f64>("draught").map(drop),
            ),
            (
                "q",
                Status::InvalidArgument,
                "the query gives no column \"flag\": it gives id, name, draught",
                |row| row.get::<i64>("flag").map(drop),
            ),
            (
                "q",
                Status::InvalidArgument,
                "the query gives 3 columns, from 0: there is no column 3",
                |row| row.get::<i64>(3).map(drop),
            ),
            (
                "odd",
                Status::WrongType,
                "column \"id\": its text is no UTF-8 from byte 2 on: select it as CAST(… AS BLOB)",
                |row| row.get::<String>("id").map(drop),
            ),
            (
                "odd",
                Status::Unsupported,
                "column \"name\": the host gave a value of kind 9, which this plugin does not know",
                |row| row.get::<String>("name").map(drop),
            ),
        ];
        for (sql, expected, text, read) in cases {
            let error = db.query(sql, params![], read).expect_err("it cannot be read so");
            assert_eq!((error.status(), error.message()), (expected, text));
        }
        Ok(())
    });
}

#[test]
fn an_error_of_the_closure_ends_the_query_and_comes_out_as_it_is() {
    let asked = calls(|cx, _| {
        let mut rows = 0;
        let ended = cx.database().query("q", params![], |_| {
            rows += 1;
            Err(Error::new(Status::Stopping, "enough"))
        });
        let error = ended.expect_err("its own");
        assert_eq!((error.status(), error.message(), rows), (Status::Stopping, "enough", 1));
        Ok(())
    });
    assert_eq!(asked, ["query 0 q []".to_owned(), format!("gave {PINTLE_CANCELLED}")]);
}

#[test]
fn a_panic_of_the_closure_goes_on_after_the_query_has_ended() {
    let asked = calls(|cx, _| {
        let rows = Cell::new(0);
        let burst = catch_unwind(AssertUnwindSafe(|| {
            cx.database().query("q", params![], |_| {
                rows.set(rows.get() + 1);
                panic!("burst");
            })
        }));
        let payload = burst.expect_err("it goes on");
        assert_eq!((payload.downcast_ref::<&str>(), rows.get()), (Some(&"burst"), 1));
        let burst = catch_unwind(AssertUnwindSafe(|| {
            cx.database().query_one("o", params![], |_| -> Result<()> { panic!("burst") })
        }));
        assert!(burst.is_err());
        Ok(())
    });
    let gave = format!("gave {PINTLE_CANCELLED}");
    assert_eq!(asked, ["query 0 q []", gave.as_str(), "query_one 0 o []"]);
}

#[test]
fn a_transaction_is_rolled_back_unless_it_was_committed() {
    let asked = calls(|cx, fake| {
        let db = cx.database();
        drop(db.begin()?);
        db.begin_read_only()?.commit()?;
        db.begin()?.rollback()?;
        let options = TransactionOptions::new().wait(Duration::from_secs(1)).timeout(Duration::from_secs(2));
        let mut tx = db.begin_with(&options)?;
        let nested = tx.nested()?;
        nested.execute("in it", params![1])?;
        nested.commit()?;
        drop(tx.nested()?);
        tx.execute("around it", params![])?;
        fake.refuse("commit", PINTLE_CONFLICT, "a deferred foreign key");
        assert_eq!(status(tx.commit()), Status::Conflict);
        // Somebody has forgotten a nested one: it is not over, and must be.
        let tx = db.begin()?;
        fake.refuse("commit", PINTLE_BUSY, "a nested one is open");
        assert_eq!(status(tx.commit()), Status::Busy);
        fake.refuse("begin", PINTLE_BUSY, "others write");
        assert_eq!(status(db.begin()), Status::Busy);
        assert_eq!(status(db.begin_with(&options.wait(Duration::ZERO))), Status::OutOfRange);
        Ok(())
    });
    let expected = [
        "begin 0 0 0 0",
        "rollback 70",
        "begin 0 1 0 0",
        "commit 70",
        "begin 0 0 0 0",
        "rollback 70",
        "begin 0 0 1000 2000",
        "begin 70 0 0 0",
        "execute 140 in it [1]",
        "commit 140",
        "begin 70 0 0 0",
        "rollback 140",
        "execute 70 around it []",
        "commit 70",
        "begin 0 0 0 0",
        "commit 70",
        "rollback 70",
        "begin 0 0 0 0",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_closure_decides_what_becomes_of_its_transaction() {
    let asked = calls(|cx, _| {
        let db = cx.database();
        assert_eq!(db.transaction(|tx| tx.execute("kept", params![]))?.changed, 3);
        let failed = db.transaction(|_| Err::<(), _>(Error::new(Status::Denied, "no")));
        assert_eq!(status(failed), Status::Denied);
        let burst = catch_unwind(AssertUnwindSafe(|| db.transaction(|_| -> Result<()> { panic!("burst") })));
        assert!(burst.is_err());
        db.transaction_with(&TransactionOptions::new().read_only(), |_| Ok(()))
    });
    let expected = [
        "begin 0 0 0 0",
        "execute 70 kept []",
        "commit 70",
        "begin 0 0 0 0",
        "rollback 70",
        "begin 0 0 0 0",
        "rollback 70",
        "begin 0 1 0 0",
        "commit 70",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn migrations_tables_and_figures_cross_whole() {
    let asked = calls(|cx, fake| {
        let db = cx.database();
        const HISTORY: &[Migration<'_>] = &[Migration::new(1, "one", "A; B"), Migration::new(7, "two", "C")];
        let done = db.migrate(HISTORY)?;
        assert_eq!((done.applied, done.pending, done.current), (1, 2, 3));
        db.migrate_dry_run(&HISTORY[..1])?;
        db.migrate_with(&[], &MigrateOptions::new().timeout(Duration::from_secs(9)))?;
        fake.refuse("migrate", PINTLE_CONFLICT, "migration 7 \"two\" has other SQL now");
        let error = db.migrate(HISTORY).expect_err("it was told to");
        assert_eq!((error.status(), error.migrated()), (Status::Conflict, done));
        assert_eq!(Error::from(error).message(), "migration 7 \"two\" has other SQL now");
        let late = db.migrate_with(HISTORY, &MigrateOptions::new().timeout(Duration::ZERO));
        assert_eq!(late.expect_err("no time").migrated(), Migrated::default());

        let columns = [
            SqlColumn::integer("id").primary_key().auto_number(),
            SqlColumn::real("draught").default(1.5),
            SqlColumn::text("name").not_null().unique().default("none"),
            SqlColumn::blob("seal").default(&b"s"[..]),
            SqlColumn::integer("berth").default(-1),
        ];
        assert!(db.create_table("ships", &columns)?);
        db.begin()?.create_table("more", &columns[..1])?;
        let stats = db.stats()?;
        assert_eq!((stats.transactions, stats.bytes, stats.free_bytes, stats.limit_bytes), (1, 2, 3, 4));
        Ok(())
    });
    let expected = [
        "migrate 0 0 1 one A; B 7 two C",
        "migrate 1 0 1 one A; B",
        "migrate 0 9000",
        "migrate 0 0 1 one A; B 7 two C",
        "create_table 0 ships id:1:12 draught:2:0=1.5 name:3:3=\"none\" seal:4:0=x[115] berth:1:0=-1",
        "begin 0 0 0 0",
        "create_table 70 more id:1:12",
        "rollback 70",
        "stats",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_host_without_sql_says_which_function_it_has_not() {
    static SMALL: PintleDatabase =
        PintleDatabase { size: std::mem::offset_of!(PintleDatabase, query) as u32, ..TABLE };
    let fake = Fake::with(|host| host.database = &raw const SMALL);
    play(&fake, |cx| {
        cx.database().execute("x", params![])?;
        for error in [
            cx.database().query("x", params![], |_| Ok(())).expect_err("not there"),
            cx.database().begin().expect_err("not there"),
        ] {
            assert_eq!(error.status(), Status::Unsupported);
            assert!(error.message().starts_with("this host does not have `database."), "{error}");
        }
        Ok(())
    });
    play(&Fake::new(), |cx| {
        assert_eq!(status(cx.database().execute("x", params![])), Status::Unsupported);
        Ok(())
    });
}
