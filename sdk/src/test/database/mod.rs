//! The table of the database: real SQL, in memory, for as long as the test host lives (feature `test-sql`).
//!
//! Here are the functions that the plugin calls. `kept` has the databases and their transactions, `session` is one connection,
//! `statement` what runs on it, `fence` what may not; `migrate` and `columns` are what their names say.

mod columns;
mod fence;
mod kept;
mod migrate;
mod session;
mod statement;

use pintle_abi::*;

pub(super) use self::kept::Kept;
use self::{
    migrate::Step,
    session::{Done, LIMIT_BYTES, MOST_ROWS, PAGE, Statement},
    statement::{Fault, Given},
};
use super::{
    input,
    inside::{Call, enter, in_sink},
};
use crate::{Error, Result, SqlValue, Status};

/// The longest that a statement may take, and a transaction may be open, as in a host without settings.
const STATEMENT_MS: i64 = 5_000;
const TRANSACTION_MS: i64 = 30_000;
const MIGRATION_MS: i64 = 60_000;
const LONGEST_MIGRATION_MS: i64 = 3_600_000;

pub(super) static TABLE: PintleDatabase = PintleDatabase {
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

/// What a statement is asked with.
struct Asked {
    tx: PintleTransaction,
    sql: PintleStr,
    values: *const PintleSqlValue,
    count: usize,
    options: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
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
    let asked = Asked { tx, sql, values, count, options, info };
    let nowhere = PintleSqlRows { data: std::ptr::null_mut(), columns: None, row: None };
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "database.execute", |call| unsafe { run(call, &asked, nowhere, false, call.must_act().err()) })
}

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
    let asked = Asked { tx, sql, values, count, options, info };
    // SAFETY: as in `execute`.
    enter(ctx, "database.query", |call| unsafe { run(call, &asked, rows, false, reads(call)) })
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
    let asked = Asked { tx, sql, values, count, options, info };
    // SAFETY: as in `execute`.
    enter(ctx, "database.query_one", |call| unsafe { run(call, &asked, rows, true, reads(call)) })
}

/// Why a statement of a query may not write, if so.
fn reads(call: &Call) -> Option<Error> {
    let granted = || call.must_grant(|manifest| manifest.must_grant("database.execute"));
    call.must_act().and_then(|()| granted()).err()
}

/// # Safety
/// Inputs are readable, outputs writable, and the functions of `rows` callable for this call.
unsafe fn run(
    call: &Call,
    asked: &Asked,
    rows: PintleSqlRows,
    one: bool,
    refusal: Option<Error>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (sql, (timeout_ms, max_rows)) = unsafe {
        must_be_info(asked.info)?;
        (sql_of(asked.sql)?, options(asked.options)?)
    };
    // SAFETY: as above.
    let values = unsafe { values(asked.values, asked.count) }?;
    let max_rows = if one { 1 } else { max_rows };
    let statement =
        Statement { sql, values: &values, timeout_ms, max_rows, refusal: refusal.map(Fault::from) };
    let mut given = Given::default();
    let done = {
        let mut state = call.state();
        let at = (asked.tx, state.now_ms);
        state.databases.run(call, at, statement, &mut given)
    };
    // SAFETY: as above.
    let handed = unsafe { hand_over(rows, &given) };
    let found = match &done {
        Ok(done) if one && done.rows == 0 => Err(Error::new(Status::NotFound, "the query gives no row")),
        _ => Ok(()),
    };
    let outcome = handed.and(found).map_err(Fault::from);
    let ended = match &done {
        Ok(Done { open: true, .. }) => call.state().databases.end(call, asked.tx, outcome.is_ok()),
        _ => Ok(()),
    };
    // What a function of the plugin refused matters more than what would have come.
    // SAFETY: as above.
    unsafe { tell(asked.info, outcome.and(done).and_then(|done| ended.map(|()| done))) }
}

/// Gives rows to the functions that were passed, two of which no host call may come from.
///
/// # Safety
/// They are callable until this returns.
unsafe fn hand_over(rows: PintleSqlRows, given: &Given) -> Result<()> {
    let must_take = |status| {
        if status == PINTLE_OK {
            return Ok(());
        }
        let text = format!("a function of `rows` refused with status {status}: the query was ended");
        Err(Error::new(Status::Cancelled, text))
    };
    if let Some(columns) = rows.columns.filter(|_| !given.columns.is_empty()) {
        let names: Vec<_> = given.columns.iter().map(|name| PintleStr::new(name)).collect();
        // SAFETY: the caller's promise; the names are lent for the call.
        must_take(in_sink(|| unsafe { columns(rows.data, names.as_ptr(), names.len()) }))?;
    }
    let Some(take) = rows.row else { return Ok(()) };
    for row in &given.rows {
        let values: Vec<_> = row.iter().map(statement::Cell::raw).collect();
        // SAFETY: as above.
        must_take(in_sink(|| unsafe { take(rows.data, values.as_ptr(), values.len()) }))?;
    }
    Ok(())
}

unsafe extern "C" fn script(
    ctx: PintleCtx,
    tx: PintleTransaction,
    sql: PintleStr,
    given: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
) -> PintleStatus {
    // SAFETY: as in `execute`.
    enter(ctx, "database.script", |call| unsafe {
        must_be_info(info)?;
        let (sql, (timeout_ms, max_rows)) = (sql_of(sql)?, options(given)?);
        let refusal = call.must_act().err().map(Fault::from);
        let asked = Statement { sql, values: &[], timeout_ms, max_rows, refusal };
        let mut state = call.state();
        let at = (tx, state.now_ms);
        let done = state.databases.script(call, at, asked);
        drop(state);
        tell(info, done)
    })
}

unsafe extern "C" fn begin(
    ctx: PintleCtx,
    outer: PintleTransaction,
    options: *const PintleTransactionOptions,
    tx: *mut PintleTransaction,
) -> PintleStatus {
    // SAFETY: as in `execute`.
    enter(ctx, "database.begin", |call| unsafe {
        let out = input::output("tx", tx)?;
        let (flags, wait_ms, timeout_ms) = input::options(options)?
            .map_or((0, 0, 0), |options| (options.flags, options.wait_ms, options.timeout_ms));
        if flags & !PINTLE_TRANSACTION_READ_ONLY != 0 {
            return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
        }
        time("wait_ms", wait_ms, STATEMENT_MS, STATEMENT_MS)?;
        let timeout_ms = time("timeout_ms", timeout_ms, TRANSACTION_MS, TRANSACTION_MS)?;
        let read_only = flags & PINTLE_TRANSACTION_READ_ONLY != 0;
        call.state().databases.must_be_open(call, outer)?;
        if !read_only && outer == 0 {
            call.must_act()?;
        }
        let mut state = call.state();
        let (fresh, now_ms) = (call.inside.fresh(&mut state), state.now_ms);
        state.databases.begin(call, fresh, (outer, now_ms), (read_only, timeout_ms))?;
        *out = fresh;
        Ok(())
    })
}

unsafe extern "C" fn commit(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus {
    let status = enter(ctx, "database.commit", |call| {
        let mut state = call.state();
        let at = (tx, state.now_ms);
        state.databases.commit(call, at)
    });
    if !matches!(status, PINTLE_OK | PINTLE_BUSY | PINTLE_STALE_HANDLE) {
        // Whatever is answered the handle is over, also where a test has the commit fail. It may be over already.
        enter(ctx, "database.rollback", |call| {
            let _ = call.state().databases.rollback(call, tx);
            Ok(())
        });
    }
    status
}

unsafe extern "C" fn rollback(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus {
    enter(ctx, "database.rollback", |call| call.state().databases.rollback(call, tx))
}

unsafe extern "C" fn migrate(
    ctx: PintleCtx,
    migrations: *const PintleMigration,
    count: usize,
    options: *const PintleMigrateOptions,
    info: *mut PintleMigrateInfo,
) -> PintleStatus {
    // SAFETY: as in `execute`.
    enter(ctx, "database.migrate", |call| unsafe {
        if !info.is_null() && info.cast::<u32>().read() as usize != size_of::<PintleMigrateInfo>() {
            return Err(input::wrong("info", "its size is another"));
        }
        let given = array("migrations", migrations, count, 10_000)?;
        let (flags, timeout_ms) =
            input::options(options)?.map_or((0, 0), |options| (options.flags, options.timeout_ms));
        if flags & !PINTLE_MIGRATE_DRY_RUN != 0 {
            return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
        }
        if timeout_ms > LONGEST_MIGRATION_MS {
            let text =
                format!("argument `timeout_ms`: {timeout_ms}, at most {LONGEST_MIGRATION_MS} are taken");
            return Err(Error::new(Status::OutOfRange, text));
        }
        let timeout_ms = time("timeout_ms", timeout_ms, MIGRATION_MS, LONGEST_MIGRATION_MS)?;
        let mut history = Vec::with_capacity(count);
        for migration in given {
            let name = input::text("name", migration.name, input::MEBIBYTE)?;
            history.push(Step { number: migration.number, name, sql: sql_of(migration.sql)? });
        }
        let size = size_of::<PintleMigrateInfo>() as u32;
        let mut told = PintleMigrateInfo { size, applied: 0, pending: 0, current: 0 };
        let how = (flags & PINTLE_MIGRATE_DRY_RUN != 0, call.must_act().err(), timeout_ms);
        let done = migrate::check(&history).and_then(|()| {
            let kept = &mut call.state().databases;
            migrate::run(kept, &call.entry.tenant, &history, how, &mut told)
        });
        if let Some(info) = info.as_mut() {
            *info = told;
        }
        done
    })
}

unsafe extern "C" fn create_table(
    ctx: PintleCtx,
    tx: PintleTransaction,
    table: PintleStr,
    columns: *const PintleSqlColumn,
    count: usize,
    created: *mut u32,
) -> PintleStatus {
    // SAFETY: as in `execute`.
    enter(ctx, "database.create_table", |call| unsafe {
        let table = input::text("table", table, input::MEBIBYTE)?;
        columns::name("table", table)?;
        let given = array("columns", columns, count, 256)?;
        let columns = given.iter().map(|column| columns::column(column)).collect::<Result<Vec<_>>>()?;
        columns::check(&columns)?;
        if columns.is_empty() {
            return Err(input::wrong("columns", "there are none, 1 to 256 are taken"));
        }
        call.must_act()?;
        let mut state = call.state();
        let at = (tx, state.now_ms);
        let made = state.databases.within(call, at, |session| columns::create(session, table, &columns));
        let made = made.map_err(|fault| fault.error())?;
        if let Some(created) = created.as_mut() {
            *created = made.into();
        }
        Ok(())
    })
}

unsafe extern "C" fn stats(ctx: PintleCtx, stats: *mut PintleDatabaseStats) -> PintleStatus {
    // SAFETY: as in `execute`.
    enter(ctx, "database.stats", |call| unsafe {
        if stats.is_null() || stats.cast::<u32>().read() as usize != size_of::<PintleDatabaseStats>() {
            return Err(input::wrong("stats", "null, or its size is another"));
        }
        let mut state = call.state();
        let pages = state.databases.committed(&call.entry.tenant, |session| {
            session.ask(|connection| {
                let pages = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
                Ok((pages("page_count")?.unsigned_abs(), pages("freelist_count")?.unsigned_abs()))
            })
        });
        let (pages, free) = pages?;
        stats.write(PintleDatabaseStats {
            size: size_of::<PintleDatabaseStats>() as u32,
            transactions: state.databases.count(call),
            bytes: pages * PAGE,
            free_bytes: free * PAGE,
            limit_bytes: LIMIT_BYTES,
        });
        Ok(())
    })
}

/// # Safety
/// A pointer that is not null leads to a struct that begins with its size.
unsafe fn must_be_info(info: *mut PintleSqlInfo) -> Result<()> {
    // SAFETY: the caller's promise.
    if !info.is_null() && unsafe { info.cast::<u32>().read() } as usize != size_of::<PintleSqlInfo>() {
        return Err(input::wrong("info", "its size is another"));
    }
    Ok(())
}

/// Tells what a statement did, or why it failed.
///
/// # Safety
/// `info` is null or writable.
unsafe fn tell(info: *mut PintleSqlInfo, done: Result<Done, Fault>) -> Result<()> {
    let size = size_of::<PintleSqlInfo>() as u32;
    let mut told =
        PintleSqlInfo { size, error_code: 0, changed: 0, last_insert_id: 0, rows: 0, error_offset: -1 };
    let outcome = match done {
        Ok(Done { changed, last_insert_id, rows, .. }) => {
            told = PintleSqlInfo { changed, last_insert_id, rows, ..told };
            Ok(())
        }
        Err(fault) => {
            told.error_code = fault.code;
            told.error_offset = fault.offset.map_or(-1, |offset| offset as i64);
            Err(fault.error())
        }
    };
    // SAFETY: the caller's promise.
    if let Some(info) = unsafe { info.as_mut() }
        && (outcome.is_ok() || told.error_code != 0)
    {
        *info = told;
    }
    outcome
}

/// # Safety
/// As for [`crate::wire::bytes`].
unsafe fn sql_of<'a>(sql: PintleStr) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    unsafe { input::text("sql", sql, usize::MAX) }
}

/// How long a statement may take, in milliseconds, and how many rows it may give.
///
/// # Safety
/// As for [`input::options`].
unsafe fn options(options: *const PintleSqlOptions) -> Result<(i64, u64)> {
    // SAFETY: the caller's promise.
    let Some(options) = (unsafe { input::options(options) })? else { return Ok((STATEMENT_MS, MOST_ROWS)) };
    let PintleSqlOptions { flags, timeout_ms, max_rows, .. } = options;
    if flags != 0 {
        return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
    }
    let max_rows = if max_rows == 0 { MOST_ROWS } else { max_rows.min(MOST_ROWS) };
    Ok((time("timeout_ms", timeout_ms, STATEMENT_MS, STATEMENT_MS)?, max_rows))
}

/// A time in milliseconds: 0 is the default, and more than the most is that.
fn time(argument: &str, ms: i64, default: i64, most: i64) -> Result<i64> {
    match ms {
        0 => Ok(default),
        1.. => Ok(ms.min(most)),
        _ => Err(Error::new(
            Status::OutOfRange,
            format!("argument `{argument}`: {ms}, a time is not negative"),
        )),
    }
}

/// Structs that begin with their size. This host is as old as the contract that it is built with, so it knows no other.
///
/// # Safety
/// `items` is null or leads to `count` of them for `'a`.
unsafe fn array<'a, T>(argument: &str, items: *const T, count: usize, most: usize) -> Result<&'a [T]> {
    if count > most {
        return Err(input::wrong(argument, format_args!("{count}, at most {most} are taken")));
    }
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null where it is read, so the first one begins with its size: the caller's promise.
    if items.is_null() || unsafe { items.cast::<u32>().read() } as usize != size_of::<T>() {
        return Err(input::wrong(argument, "null, or the size of its items is another"));
    }
    // SAFETY: as above; of this size, so there are as many of them.
    Ok(unsafe { std::slice::from_raw_parts(items, count) })
}

/// # Safety
/// `values` is null or leads to `count` of them, which, as what they lead to, are readable for `'a`.
unsafe fn values<'a>(values: *const PintleSqlValue, count: usize) -> Result<Vec<SqlValue<'a>>> {
    if count > 100_000 {
        return Err(Error::new(
            Status::TooLarge,
            format!("argument `values`: {count}, at most 100,000 are taken"),
        ));
    }
    if values.is_null() && count != 0 {
        return Err(input::wrong("values", "null with a count"));
    }
    // SAFETY: the caller's promise.
    (0..count).map(|at| unsafe { value(&*values.add(at)) }).collect()
}

/// # Safety
/// What the value leads to is readable for `'a`.
unsafe fn value<'a>(given: &PintleSqlValue) -> Result<SqlValue<'a>> {
    // SAFETY: the caller's promise.
    let bytes = || unsafe { input::bytes("values", given.bytes, usize::MAX) };
    Ok(match given.kind {
        PINTLE_SQL_NULL => SqlValue::Null,
        PINTLE_SQL_INTEGER => SqlValue::Integer(given.integer),
        PINTLE_SQL_REAL => SqlValue::Real(given.real),
        PINTLE_SQL_BLOB => SqlValue::from(bytes()?),
        PINTLE_SQL_TEXT => {
            let text = str::from_utf8(bytes()?).map_err(|error| input::wrong("values", error))?;
            SqlValue::from(text)
        }
        kind => {
            return Err(Error::new(Status::Unsupported, format!("argument `values`: one of kind {kind}")));
        }
    })
}
