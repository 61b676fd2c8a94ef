//! SQL: a database of the plugin's own.
//!
//! Here are the ways in; `sql` runs statements, by themselves or in a transaction, `transaction` begins and ends those, and
//! `migrate` brings a database up to date. `value` is what goes in, `row` and `read` are what comes out, `column` and `options`
//! are the words for it.

mod column;
mod migrate;
mod options;
mod read;
mod row;
mod sql;
mod transaction;
mod value;

use std::ops::Deref;

use pintle_abi::{PintleDatabase, PintleDatabaseStats};

pub use self::{
    column::SqlColumn,
    migrate::{MigrateError, MigrateOptions, Migrated, Migration},
    options::{SqlOptions, TransactionOptions},
    row::{ColumnIndex, Row},
    sql::{Sql, SqlDone},
    transaction::Transaction,
    value::{FromSql, Params, SqlValue, ToSql},
};
use crate::{Context, Result, table::function};

/// SQL, on the database that the plugin has for the tenant of the context ([`Context::database`]). It is made when it is first used,
/// and outlives the host, reloads and updates of the plugin.
///
/// A statement is one of its own, unless it is run in a [`Transaction`]: `Ok` means that all of it is on disk, an error that
/// nothing of it has happened. Those that only read run beside one that writes and wait for none; those that write wait for
/// each other.
///
/// ```
/// use pintle_plugin::{Context, Migration, Result, params};
/// use serde::Deserialize;
///
/// const HISTORY: &[Migration<'_>] = &[
///     Migration::new(1, "ships", "CREATE TABLE ships (name TEXT PRIMARY KEY, berth INTEGER NOT NULL, flag TEXT) STRICT"),
///     Migration::new(2, "find by berth", "CREATE INDEX by_berth ON ships (berth)"),
/// ];
///
/// #[derive(Deserialize)]
/// struct Ship {
///     name: String,
///     berth: u32,
///     flag: Option<String>, // NULL is `None`
/// }
///
/// fn moor(cx: &Context, ship: &Ship) -> Result<Vec<Ship>> {
///     cx.database().migrate(HISTORY)?;
///     cx.database().execute(
///         "INSERT INTO ships VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET berth = ?2, flag = ?3",
///         params![ship.name, ship.berth, ship.flag],
///     )?;
///     cx.database().query_as("SELECT * FROM ships WHERE berth < ?1 ORDER BY name", params![10])
/// }
/// ```
///
/// | | |
/// |---|---|
/// | [`execute`](Sql::execute), [`script`](Sql::script) | a statement without rows; several, as a whole |
/// | [`query`](Sql::query), [`query_as`](Sql::query_as) | rows one by one, as they come; all of them, as a type of serde's |
/// | [`query_one`](Sql::query_one), [`query_one_as`](Sql::query_one_as), [`query_optional`](Sql::query_optional), [`query_optional_as`](Sql::query_optional_as) | the only row |
/// | [`with`](Database::with) | the same with a deadline, or a bound on the rows |
/// | [`begin`](Database::begin), [`begin_read_only`](Database::begin_read_only), [`transaction`](Database::transaction) | several statements, all of them or none |
/// | [`migrate`](Database::migrate), [`create_table`](Sql::create_table) | what tables there are |
/// | [`stats`](Database::stats) | how large it is and may be |
///
/// The SQL is that of SQLite. Placeholders are `?1`, `?2` and so on, or plain `?`; their values are bound and never become a part of
/// the text, so none of them needs to be quoted. A text is one statement. Foreign keys are enforced; temporary tables live in a
/// transaction. Whatever leads out of the database, such as ATTACH and most PRAGMAs, is denied.
///
/// What runs statements, with all that they answer, is [`Sql`], which this and [`Transaction`] lead to:
/// a function that takes `&Sql<'_>` can be given either.
#[derive(Clone, Copy, Debug)]
pub struct Database<'a> {
    sql: Sql<'a>,
}

impl<'a> Deref for Database<'a> {
    type Target = Sql<'a>;

    #[inline]
    fn deref(&self) -> &Sql<'a> {
        &self.sql
    }
}

impl<'a> Database<'a> {
    #[inline]
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { sql: Sql::new(cx, 0) }
    }

    /// The same database with more to say of each statement: how long it may take, how many rows it may give.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{Context, Result, SqlOptions, params};
    /// fn guess(cx: &Context) -> Result<u64> {
    ///     let hasty = SqlOptions::new().timeout(Duration::from_millis(50));
    ///     cx.database().with(hasty).query_one_as("SELECT count(*) FROM visits", params![])
    /// }
    /// ```
    pub const fn with(self, options: SqlOptions) -> Self {
        Self { sql: self.sql.opted(options) }
    }

    /// How large the database is and may be.
    ///
    /// # Errors
    /// Those of [every statement](Sql).
    pub fn stats(&self) -> Result<DatabaseStats> {
        let cx = self.sql.context();
        let stats = function!(cx.host(), database: PintleDatabase, stats)?;
        let mut told = PintleDatabaseStats {
            size: size_of::<PintleDatabaseStats>() as u32,
            transactions: 0,
            bytes: 0,
            free_bytes: 0,
            limit_bytes: 0,
        };
        // SAFETY: `told` says its size and is writable for the call.
        cx.check(unsafe { stats(cx.raw(), &raw mut told) })?;
        let PintleDatabaseStats { transactions, bytes, free_bytes, limit_bytes, .. } = told;
        Ok(DatabaseStats { transactions, bytes, free_bytes, limit_bytes })
    }
}

/// What a database has. From [`Database::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseStats {
    /// Transactions of the plugin and the tenant that are open, nested ones not counted.
    pub transactions: u32,
    /// Bytes of the pages that the database has, free ones included.
    pub bytes: u64,
    /// Bytes of pages that are free for new rows.
    pub free_bytes: u64,
    /// How many bytes it may have.
    pub limit_bytes: u64,
}
