//! Running statements: by themselves, or in a transaction.

use std::ptr;

use pintle_abi::{
    PINTLE_NOT_FOUND, PINTLE_OK, PintleDatabase, PintleSqlInfo, PintleSqlOptions, PintleStatus, PintleStr,
    PintleTransaction,
};
use serde::de::DeserializeOwned;

use super::{Params, Row, SqlColumn, SqlOptions, row::Taking, value::Bound};
use crate::{Context, Error, Result, Status, table::function};

/// Runs statements: each by itself ([`Database`](crate::Database)), or all in one [`Transaction`](crate::Transaction).
///
/// ```
/// # use pintle_plugin::{Context, Result, Sql, params};
/// /// Says which way a ship has gone.
/// fn log_move(sql: &Sql<'_>, ship: &str, to: u32) -> Result<()> {
///     sql.execute("INSERT INTO moves (ship, berth) VALUES (?1, ?2)", params![ship, to])?;
///     Ok(())
/// }
///
/// fn arrive(cx: &Context, ship: &str) -> Result<()> {
///     log_move(&cx.database(), ship, 0)
/// }
///
/// fn swap(cx: &Context, one: &str, other: &str) -> Result<()> {
///     cx.database().transaction(|tx| {
///         log_move(tx, one, 1)?;
///         log_move(tx, other, 2)
///     })
/// }
/// ```
///
/// Errors carry the database's own sentence, and where it is about a place in the SQL, that place ([`Error::sql_offset`]). Beside
/// what each function names, all answer:
///
/// | | |
/// |---|---|
/// | [`InvalidArgument`](Status::InvalidArgument) | the SQL is wrong; another number of values than placeholders; a write in a transaction that only reads |
/// | [`Conflict`](Status::Conflict) | a constraint does not hold: [`Error::sql_code`] says which |
/// | [`WrongType`](Status::WrongType) | a value of another kind than a column of a STRICT table takes |
/// | [`OutOfRange`](Status::OutOfRange) | an integer overflows, in the SQL or on the way to it; a time of nothing |
/// | [`Denied`](Status::Denied) | what the SQL does is not allowed, or the manifest's `services.database` does not ask for the method |
/// | [`TooLarge`](Status::TooLarge) | a value, a row, the SQL or what it asks for, the number of rows |
/// | [`Quota`](Status::Quota) | the database, or its temporary files, may not become larger |
/// | [`Busy`](Status::Busy) | others write, until the deadline; more databases are in use than the operator allows |
/// | [`Timeout`](Status::Timeout), [`Cancelled`](Status::Cancelled) | it took too long; the caller of the running function has given up |
/// | [`Unavailable`](Status::Unavailable) | a write in `load` and `restore`; the disk is full or fails; the host has stopped |
/// | [`StaleHandle`](Status::StaleHandle) | the context or the transaction is over |
///
/// A statement of a transaction that was rolled back for what went wrong before answers with that once more.
#[derive(Clone, Copy, Debug)]
pub struct Sql<'a> {
    cx: &'a Context,
    /// 0: each statement commits by itself.
    tx: PintleTransaction,
    options: SqlOptions,
}

impl<'a> Sql<'a> {
    #[inline]
    pub(super) fn new(cx: &'a Context, tx: PintleTransaction) -> Self {
        Self { cx, tx, options: SqlOptions::new() }
    }

    pub(super) const fn opted(self, options: SqlOptions) -> Self {
        Self { options, ..self }
    }

    pub(super) fn context(&self) -> &'a Context {
        self.cx
    }

    pub(super) fn transaction_handle(&self) -> PintleTransaction {
        self.tx
    }

    /// The same, with more to say of each statement.
    pub fn with(&self, options: SqlOptions) -> Sql<'_> {
        self.opted(options)
    }

    /// Runs a statement, and drops the rows that it gives, if any.
    ///
    /// The same text again costs no parsing: keep values out of it, and bind them.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, params};
    /// fn visit(cx: &Context, page: &str, seconds: f64) -> Result<i64> {
    ///     let sql = "INSERT INTO visits (page, seconds) VALUES (?1, ?2)";
    ///     Ok(cx.database().execute(sql, params![page, seconds])?.last_insert_id)
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [every statement](Sql).
    pub fn execute(&self, sql: &str, params: Params<'_>) -> Result<SqlDone> {
        let execute = function!(self.cx.host(), database: PintleDatabase, execute)?;
        let (bound, options, mut info) = (Bound::take(params)?, self.options.raw()?, no_info());
        // SAFETY: everything is borrowed for the call, and `info`, which says its size, is writable for it.
        let status = unsafe {
            execute(
                self.cx.raw(),
                self.tx,
                PintleStr::new(sql),
                bound.as_ptr(),
                bound.len(),
                pointer(&options),
                &raw mut info,
            )
        };
        self.done(status, &info)
    }

    /// Runs a statement and is handed its rows one by one, as they come: a million of them take no more memory than one. They are
    /// of one state of the database, whoever writes meanwhile.
    ///
    /// The host cannot be called from inside of `each` ([`Reentrant`](Status::Reentrant)): collect what is to be done then.
    /// An INSERT, UPDATE or DELETE with RETURNING gives rows too.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, params};
    /// fn longest(cx: &Context, page: &str) -> Result<f64> {
    ///     let mut longest = 0.0_f64;
    ///     cx.database().query("SELECT seconds FROM visits WHERE page = ?1", params![page], |row| {
    ///         longest = longest.max(row.get(0)?);
    ///         Ok(())
    ///     })?;
    ///     Ok(longest)
    /// }
    /// ```
    ///
    /// # Errors
    /// That of `each`, which ends the query, and nothing is changed; otherwise those of [every statement](Sql). Rows may have
    /// been handed over before.
    ///
    /// # Panics
    /// Where `each` does, after the query was ended in order.
    pub fn query(
        &self,
        sql: &str,
        params: Params<'_>,
        each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<SqlDone> {
        let query = function!(self.cx.host(), database: PintleDatabase, query)?;
        let (bound, options, mut info) = (Bound::take(params)?, self.options.raw()?, no_info());
        let mut taking = Taking::new(each);
        // SAFETY: as in `execute`; `taking` stays where it is until the call returns.
        let status = unsafe {
            query(
                self.cx.raw(),
                self.tx,
                PintleStr::new(sql),
                bound.as_ptr(),
                bound.len(),
                taking.raw(),
                pointer(&options),
                &raw mut info,
            )
        };
        taking.end()?;
        self.done(status, &info)
    }

    /// Runs a statement and reads each of its rows as a `T`, as [`Row::read`] does: a struct, a tuple, or a single value.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, params};
    /// fn top(cx: &Context, count: u32) -> Result<Vec<(String, u64)>> {
    ///     let sql = "SELECT page, count(*) FROM visits GROUP BY page ORDER BY 2 DESC LIMIT ?1";
    ///     cx.database().query_as(sql, params![count])
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [every statement](Sql); [`WrongType`](Status::WrongType) and [`OutOfRange`](Status::OutOfRange), with the column's
    /// name, where no `T` can be made of a row.
    pub fn query_as<T: DeserializeOwned>(&self, sql: &str, params: Params<'_>) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.query(sql, params, |row| {
            rows.push(row.read()?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Runs a statement that gives one row, and makes something of it.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, params};
    /// fn mean(cx: &Context, page: &str) -> Result<Option<f64>> {
    ///     cx.database().query_one("SELECT avg(seconds) FROM visits WHERE page = ?1", params![page], |row| row.get(0))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`query`](Sql::query); [`NotFound`](Status::NotFound): it gives no row; [`TooLarge`](Status::TooLarge): it gives more than one,
    /// and nothing is changed.
    pub fn query_one<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        take: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.query_optional(sql, params, take)?
            .ok_or_else(|| Error::new(Status::NotFound, "the query gives no row"))
    }

    /// Runs a statement that gives one row, and reads that as a `T`.
    ///
    /// # Errors
    /// As [`query_one`](Sql::query_one) and [`query_as`](Sql::query_as).
    pub fn query_one_as<T: DeserializeOwned>(&self, sql: &str, params: Params<'_>) -> Result<T> {
        self.query_one(sql, params, |row| row.read())
    }

    /// Runs a statement that gives one row or none, and makes something of it.
    ///
    /// # Errors
    /// As [`query_one`](Sql::query_one), but that there is no row is none.
    pub fn query_optional<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        take: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let query_one = function!(self.cx.host(), database: PintleDatabase, query_one)?;
        let (bound, options, mut info) = (Bound::take(params)?, self.options.raw()?, no_info());
        let (mut take, mut taken) = (Some(take), None);
        let mut taking = Taking::new(|row: &Row<'_>| {
            // A second one comes from no host.
            if let Some(take) = take.take() {
                taken = Some(take(row)?);
            }
            Ok(())
        });
        // SAFETY: as in `query`.
        let status = unsafe {
            query_one(
                self.cx.raw(),
                self.tx,
                PintleStr::new(sql),
                bound.as_ptr(),
                bound.len(),
                taking.raw(),
                pointer(&options),
                &raw mut info,
            )
        };
        taking.end()?;
        if status == PINTLE_NOT_FOUND {
            // An answer, not a failure: nobody asks the host for its sentence.
            return Ok(None);
        }
        self.done(status, &info)?;
        Ok(taken)
    }

    /// Runs a statement that gives one row or none, and reads that as a `T`.
    ///
    /// # Errors
    /// As [`query_optional`](Sql::query_optional) and [`query_as`](Sql::query_as).
    pub fn query_optional_as<T: DeserializeOwned>(&self, sql: &str, params: Params<'_>) -> Result<Option<T>> {
        self.query_optional(sql, params, |row| row.read())
    }

    /// Runs all statements of a text, one after the other, as a whole: if one fails none has happened. They have no
    /// placeholders, and their rows are dropped. [`SqlDone::changed`] is that of all.
    ///
    /// Tables are better made by [migrations](crate::Database::migrate), which remember what was run.
    ///
    /// # Errors
    /// Those of [every statement](Sql); [`Error::sql_offset`] counts from the beginning of the text. A script that commits by itself is
    /// taken for one that writes.
    pub fn script(&self, sql: &str) -> Result<SqlDone> {
        let script = function!(self.cx.host(), database: PintleDatabase, script)?;
        let (options, mut info) = (self.options.raw()?, no_info());
        // SAFETY: as in `execute`.
        let status =
            unsafe { script(self.cx.raw(), self.tx, PintleStr::new(sql), pointer(&options), &raw mut info) };
        self.done(status, &info)
    }

    /// Creates a table, unless there is one of that name, in the words of whatever database the operator has chosen; tells whether it
    /// did.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, SqlColumn};
    /// fn prepare(cx: &Context) -> Result<bool> {
    ///     cx.database().create_table("visits", &[
    ///         SqlColumn::integer("id").primary_key().auto_number(),
    ///         SqlColumn::text("page").not_null(),
    ///         SqlColumn::real("seconds").not_null().default(0.0),
    ///     ])
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): a name, no column or more than 256, two of one name, or numbers for what cannot be
    /// numbered; otherwise those of [every statement](Sql).
    pub fn create_table(&self, table: &str, columns: &[SqlColumn<'_>]) -> Result<bool> {
        let create_table = function!(self.cx.host(), database: PintleDatabase, create_table)?;
        let defaults: Vec<_> = columns.iter().map(SqlColumn::raw_default).collect();
        let columns: Vec<_> =
            columns.iter().zip(&defaults).map(|(column, default)| column.raw(default)).collect();
        let mut created = 0;
        // SAFETY: everything is borrowed, and `created` writable for the call.
        let status = unsafe {
            create_table(
                self.cx.raw(),
                self.tx,
                PintleStr::new(table),
                columns.as_ptr(),
                columns.len(),
                &raw mut created,
            )
        };
        self.cx.check(status)?;
        Ok(created != 0)
    }

    #[inline]
    fn done(&self, status: PintleStatus, info: &PintleSqlInfo) -> Result<SqlDone> {
        if status != PINTLE_OK {
            return Err(self.failure(status, info));
        }
        let PintleSqlInfo { changed, last_insert_id, rows, .. } = *info;
        Ok(SqlDone { changed, last_insert_id, rows })
    }

    #[cold]
    fn failure(&self, status: PintleStatus, info: &PintleSqlInfo) -> Error {
        let Err(error) = self.cx.check(status) else { return Error::bare(Status::Internal) };
        match info.error_code {
            0 => error,
            code => error.with_sql(code, usize::try_from(info.error_offset).ok()),
        }
    }
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlDone {
    /// How many rows an INSERT, UPDATE or DELETE changed, triggers and foreign keys' actions not counted; else 0.
    pub changed: u64,
    /// The rowid of the row that an INSERT made last; 0 if it made none.
    pub last_insert_id: i64,
    /// How many rows were given.
    pub rows: u64,
}

fn pointer(options: &Option<PintleSqlOptions>) -> *const PintleSqlOptions {
    options.as_ref().map_or(ptr::null(), ptr::from_ref)
}

/// For the host to fill in.
fn no_info() -> PintleSqlInfo {
    PintleSqlInfo {
        size: size_of::<PintleSqlInfo>() as u32,
        error_code: 0,
        changed: 0,
        last_insert_id: 0,
        rows: 0,
        error_offset: -1,
    }
}
