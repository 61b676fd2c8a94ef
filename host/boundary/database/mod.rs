//! The table `pintle_database`. `values.rs` takes values and hands rows over, `transaction.rs` is a transaction as a generation's
//! register keeps it.

mod transaction;
mod values;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use pintle_abi::*;

pub(super) use self::transaction::end_of;
use self::{
    transaction::Open,
    values::{Bound, Handover, column},
};
use super::{Call, enter, input, look_up, stale};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Phase, Seat, Service},
    services::database::{
        Asks, Caller, Done, Fault, Gone, Handle, Migrated, Migration, NoRows, Rows, Statement, Writes,
    },
};

/// The longest text of SQL that is looked at; how much of it is taken is the settings' business.
const LONGEST_SQL: usize = 64 << 20;
const MOST_VALUES: usize = 100_000;
const MOST_MIGRATIONS: usize = 10_000;
const MOST_COLUMNS: usize = 256;
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

/// What a statement is asked with, besides its rows.
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
    enter(ctx, Method::DatabaseExecute, move |call| {
        let asked = Asked { tx, sql, values, count, options, info };
        // SAFETY: the contract says of these what `run` asks.
        unsafe { run(call, &asked, &mut NoRows, Many::Rows, writes(call)) }
    })
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
    enter(ctx, Method::DatabaseQuery, move |call| {
        let asked = Asked { tx, sql, values, count, options, info };
        // SAFETY: the contract says of these what `hand_over` asks.
        unsafe { hand_over(call, &asked, rows, Many::Rows) }
    })
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
    enter(ctx, Method::DatabaseQueryOne, move |call| {
        let asked = Asked { tx, sql, values, count, options, info };
        // SAFETY: the contract says of these what `hand_over` asks.
        unsafe { hand_over(call, &asked, rows, Many::One) }
    })
}

unsafe extern "C" fn script(
    ctx: PintleCtx,
    tx: PintleTransaction,
    sql: PintleStr,
    options: *const PintleSqlOptions,
    info: *mut PintleSqlInfo,
) -> PintleStatus {
    enter(ctx, Method::DatabaseScript, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says, and that inputs are readable.
        let (info, sql, options) =
            unsafe { (input::info("info", info)?, sql_of(sql)?, input::options(options)?) };
        let timeout = span("timeout_ms", options.map_or(0, |options| options.timeout_ms))?;
        let handle = handle_of(call, tx)?;
        let database = &call.core().database;
        let done = database.script(&asks(call, timeout), handle.as_ref(), sql, writes(call));
        call.count_bytes(Service::Database, sql.len());
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { tell(&info, done) }
    })
}

unsafe extern "C" fn begin(
    ctx: PintleCtx,
    outer: PintleTransaction,
    options: *const PintleTransactionOptions,
    tx: *mut PintleTransaction,
) -> PintleStatus {
    enter(ctx, Method::DatabaseBegin, move |call| {
        let out = input::output("tx", tx)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let options = unsafe { input::options(options) }?;
        let (flags, wait_ms, timeout_ms) =
            options.map_or((0, 0, 0), |options| (options.flags, options.wait_ms, options.timeout_ms));
        let (wait, timeout) = (span("wait_ms", wait_ms)?, span("timeout_ms", timeout_ms)?);
        let read_only = flags & PINTLE_TRANSACTION_READ_ONLY != 0;
        let around = handle_of(call, outer)?;
        if !read_only && around.is_none() {
            call.must_act()?;
        }
        let handle = call.core().database.begin(&asks(call, wait), around.as_ref(), read_only, timeout)?;
        let handle = transaction::register(call, handle, outer)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(handle) };
        Ok(())
    })
}

unsafe extern "C" fn commit(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus {
    enter(ctx, Method::DatabaseCommit, move |call| {
        let handle = handle_of(call, tx)?.ok_or_else(stale)?;
        let done = call.core().database.commit(&asks(call, None), &handle);
        // Then a nested one is open, or another thread is in it, and it goes on.
        if !matches!(&done, Err(error) if error.kind() == ErrorKind::Busy) {
            transaction::forget(call, tx)?;
        }
        done
    })
}

unsafe extern "C" fn rollback(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus {
    enter(ctx, Method::DatabaseRollback, move |call| {
        let handle = handle_of(call, tx)?.ok_or_else(stale)?;
        handle.rollback();
        transaction::forget(call, tx)
    })
}

unsafe extern "C" fn migrate(
    ctx: PintleCtx,
    migrations: *const PintleMigration,
    count: usize,
    options: *const PintleMigrateOptions,
    info: *mut PintleMigrateInfo,
) -> PintleStatus {
    enter(ctx, Method::DatabaseMigrate, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says, and that inputs are readable.
        let (info, given, options) = unsafe {
            (
                input::info("info", info)?,
                input::array("migrations", migrations, count, MOST_MIGRATIONS)?,
                input::options(options)?,
            )
        };
        let (flags, timeout_ms) = options.map_or((0, 0), |options| (options.flags, options.timeout_ms));
        if timeout_ms > LONGEST_MIGRATION_MS {
            let text = format!("{timeout_ms}, at most {LONGEST_MIGRATION_MS} are taken");
            return Err(Error::new(ErrorKind::OutOfRange, format!("argument `timeout_ms`: {text}")));
        }
        let timeout = span("timeout_ms", timeout_ms)?;
        let mut history = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            // SAFETY: as above; so is what a migration leads to.
            let migration = unsafe {
                let PintleMigration { number, name, sql, .. } = given.at(index)?;
                let name = input::text("name", name, input::LONGEST_CURSOR)?;
                Migration { number, name, sql: sql_of(sql)? }
            };
            history.push(migration);
        }
        let dry = flags & PINTLE_MIGRATE_DRY_RUN != 0;
        let acts = if Seat::phase(call.scope.seat) == Phase::Preparing {
            Writes::Preparing
        } else {
            Writes::Allowed
        };
        let (migrated, done) = call.core().database.migrate(&asks(call, timeout), &history, acts, dry);
        let Migrated { applied, pending, current } = migrated;
        let size = size_of::<PintleMigrateInfo>() as u32;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { info.write(&PintleMigrateInfo { size, applied, pending, current }) };
        Ok(done?)
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
    enter(ctx, Method::DatabaseCreateTable, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let (table, given) = unsafe {
            (
                input::text("table", table, input::LONGEST_CURSOR)?,
                input::array("columns", columns, count, MOST_COLUMNS)?,
            )
        };
        values::name("table", table)?;
        let mut columns = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            // SAFETY: as above; so is what a column leads to.
            columns.push(unsafe { given.at(index).and_then(|given| column(index, &given)) }?);
        }
        values::check(&columns)?;
        call.must_act()?;
        let handle = handle_of(call, tx)?;
        let made = call.core().database.create_table(&asks(call, None), handle.as_ref(), table, &columns)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(created, u32::from(made)) };
        Ok(())
    })
}

unsafe extern "C" fn stats(ctx: PintleCtx, stats: *mut PintleDatabaseStats) -> PintleStatus {
    enter(ctx, Method::DatabaseStats, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let out = unsafe { input::required_info("stats", stats) }?;
        let size = call.core().database.size(&asks(call, None))?;
        let told = PintleDatabaseStats {
            size: size_of::<PintleDatabaseStats>() as u32,
            transactions: transaction::count(call)?,
            bytes: size.bytes,
            free_bytes: size.free_bytes,
            limit_bytes: size.limit_bytes,
        };
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(&told) };
        Ok(())
    })
}

/// How many rows are wanted.
#[derive(Clone, Copy, PartialEq)]
enum Many {
    Rows,
    One,
}

/// # Safety
/// As [`run`]; the functions of `rows` may be called until this returns.
unsafe fn hand_over(call: &Call, asked: &Asked, rows: PintleSqlRows, many: Many) -> Result<()> {
    let writes = match writes(call) {
        Writes::Allowed if !call.grants().allows(Method::DatabaseExecute) => Writes::NotGranted,
        writes => writes,
    };
    let mut taken = Handover::new(rows);
    // SAFETY: the caller vouches for it.
    let done = unsafe { run(call, asked, &mut taken, many, writes) };
    call.count_bytes(Service::Database, taken.bytes());
    done
}

/// Runs one statement.
///
/// # Safety
/// Inputs are readable, and outputs lead to memory of the caller, for this call.
unsafe fn run(call: &Call, asked: &Asked, rows: &mut dyn Rows, many: Many, writes: Writes) -> Result<()> {
    // SAFETY: the caller vouches for it.
    let (info, sql, options) =
        unsafe { (input::info("info", asked.info)?, sql_of(asked.sql)?, input::options(asked.options)?) };
    // SAFETY: as above.
    let bound = unsafe { Bound::take(asked.values, asked.count, MOST_VALUES) }?;
    let (timeout_ms, max_rows) = options.map_or((0, 0), |options| (options.timeout_ms, options.max_rows));
    let timeout = span("timeout_ms", timeout_ms)?;
    let handle = handle_of(call, asked.tx)?;
    let database = &call.core().database;
    let statement = Statement { sql, values: bound.values(), max_rows: database.max_rows(max_rows), writes };
    let asks = asks(call, timeout);
    let done = match many {
        Many::Rows => database.run(&asks, handle.as_ref(), &statement, rows),
        Many::One => database.run_one(&asks, handle.as_ref(), &statement, rows),
    };
    call.count_bytes(Service::Database, sql.len() + bound.bytes());
    // SAFETY: as above.
    unsafe { tell(&info, done) }
}

/// Tells what a statement did, or why it failed.
///
/// # Safety
/// As [`input::Info::write`].
unsafe fn tell(info: &input::Info<PintleSqlInfo>, done: Result<Done, Fault>) -> Result<()> {
    let size = size_of::<PintleSqlInfo>() as u32;
    let nothing =
        PintleSqlInfo { size, error_code: 0, changed: 0, last_insert_id: 0, rows: 0, error_offset: -1 };
    match done {
        Ok(Done { changed, last_insert_id, rows }) => {
            // SAFETY: the caller vouches for it.
            unsafe { info.write(&PintleSqlInfo { changed, last_insert_id, rows, ..nothing }) };
            Ok(())
        }
        Err(Fault { error, code, offset }) => {
            if code != 0 {
                let error_offset = offset.map_or(-1, |offset| offset as i64);
                // SAFETY: as above.
                unsafe { info.write(&PintleSqlInfo { error_code: code, error_offset, ..nothing }) };
            }
            Err(error)
        }
    }
}

fn asks<'a>(call: &'a Call, timeout: Option<Duration>) -> Asks<'a> {
    let caller = Caller { id: call.ctx, gone };
    Asks { scope: call.data_scope(), caller, timeout, limit_bytes: call.record.database_bytes() }
}

/// Why nobody waits any more for what is done under this context.
fn gone(ctx: u64) -> Option<Gone> {
    let Some(scope) = look_up(ctx) else { return Some(Gone::Over) };
    // Most have no deadline, or one that is far away: that is seen without a look at the clock.
    if scope.deadline == i64::MAX {
        return None;
    }
    // SAFETY: the keys of all scopes are made by `PluginRecord::key`, from records that are never freed.
    let record: &'static super::PluginRecord = unsafe { &*scope.record.as_ptr() };
    (scope.deadline <= record.core.now_ms()).then_some(Gone::GivenUp)
}

/// Whether the running call may write.
fn writes(call: &Call) -> Writes {
    if Seat::phase(call.scope.seat) == Phase::Preparing { Writes::Preparing } else { Writes::Allowed }
}

/// The transaction of a handle; none: 0.
fn handle_of(call: &Call, tx: PintleTransaction) -> Result<Option<Handle>> {
    if tx == 0 {
        return Ok(None);
    }
    let open = call.register()?.find::<Open>(tx).ok_or_else(stale)?;
    if open.handle.tenant() != call.scope.tenant {
        return Err(stale());
    }
    Ok(Some(open.handle.clone()))
}

/// # Safety
/// The text is readable for this call.
unsafe fn sql_of<'a>(sql: PintleStr) -> Result<&'a str> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { input::raw("sql", sql.ptr.cast(), sql.len) }?;
    if bytes.len() > LONGEST_SQL {
        return Err(Error::lazy(ErrorKind::TooLarge, || {
            "argument `sql`: no statement is that long".to_owned()
        }));
    }
    // SAFETY: as above.
    unsafe { input::text("sql", sql, LONGEST_SQL) }
}

/// A time in milliseconds; 0: what the settings say.
fn span(name: &'static str, ms: i64) -> Result<Option<Duration>> {
    match u64::try_from(ms) {
        Ok(0) => Ok(None),
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) => Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("argument `{name}`: {ms}, a time is not negative; 0 is the default")
        })),
    }
}
