//! The table of the database service: SQL.

use core::ffi::c_void;

use crate::{PintleBytes, PintleCtx, PintleStatus, PintleStr};

/// Names a transaction, or one nested in it. Opaque 64 bits; 0 is never valid, and where a transaction may be named means "none:
/// the statement commits by itself". Checked for its owner on every use.
pub type PintleTransaction = u64;

/// `pintle_sql_value.kind`: NULL.
pub const PINTLE_SQL_NULL: u32 = 0;
/// `pintle_sql_value.kind`: the value is `integer`.
pub const PINTLE_SQL_INTEGER: u32 = 1;
/// `pintle_sql_value.kind`: the value is `real`. NaN becomes NULL, as SQL has none.
pub const PINTLE_SQL_REAL: u32 = 2;
/// `pintle_sql_value.kind`: the value is `bytes`, UTF-8.
pub const PINTLE_SQL_TEXT: u32 = 3;
/// `pintle_sql_value.kind`: the value is `bytes`.
pub const PINTLE_SQL_BLOB: u32 = 4;

/// A value of SQL: one that is bound to a placeholder, or one column of a row. Frozen, like `pintle_str`: it never grows and
/// carries no size, so that a row is a plain array of them.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSqlValue {
    /// One of `PINTLE_SQL_NULL` to `PINTLE_SQL_BLOB`: which of the members counts.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// The value, if `kind` is INTEGER.
    pub integer: i64,
    /// The value, if `kind` is REAL.
    pub real: f64,
    /// The value, if `kind` is TEXT or BLOB. Borrowed for the call that it is passed to, and not copied on the way in; in a row,
    /// borrowed for that one call of `row`.
    pub bytes: PintleBytes,
}

/// Where the rows of a query go. Frozen, like `pintle_sink`. A host call from inside its functions answers REENTRANT, except
/// `last_error` and `set_error`.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSqlRows {
    /// Passed back to both functions, otherwise not looked at.
    pub data: *mut c_void,
    /// Is told the names of the columns, once, before the first row, also if there is none. May be null.
    ///
    /// - data: that of the struct.
    /// - names: `count` names as SQL gives them, borrowed for this one call; two may be the same.
    /// - count: as many as each row has values.
    ///
    /// Returns: OK to go on; anything else ends the query with CANCELLED and nothing changed.
    /// Thread: that of the call that the struct was passed to.
    /// Blocks: it should not: the deadline of the statement goes on.
    /// Since: 1.0.
    pub columns: Option<
        unsafe extern "C" fn(data: *mut c_void, names: *const PintleStr, count: usize) -> PintleStatus,
    >,
    /// Is handed each row as it comes; rows are not collected before. Null: they are not wanted.
    ///
    /// - data: that of the struct.
    /// - values: `count` values, borrowed for this one call.
    /// - count: as many as the query has columns.
    ///
    /// Returns: OK to go on; anything else ends the query with CANCELLED and nothing changed.
    /// Thread: that of the call that the struct was passed to.
    /// Blocks: it should not: the deadline of the statement goes on.
    /// Since: 1.0.
    pub row: Option<
        unsafe extern "C" fn(data: *mut c_void, values: *const PintleSqlValue, count: usize) -> PintleStatus,
    >,
}

/// How a statement is to be run. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSqlOptions {
    /// `sizeof(pintle_sql_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be 0: no flag is known yet.
    pub flags: u32,
    /// How long the statement may take, its waiting for others and the time in `row` included, in milliseconds; 0, and anything
    /// longer: what the host's settings say (5,000).
    pub timeout_ms: i64,
    /// How many rows it may give; 0, and anything more: what the host's settings say (1,000,000). One more ends it with
    /// TOO_LARGE, and nothing is changed.
    pub max_rows: u64,
}

/// What a statement did. The caller sets `size`, and the host writes no further. It is also written where a statement fails in the
/// database itself (see `error_code`).
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSqlInfo {
    /// `sizeof(pintle_sql_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// 0; after a failure in the database the extended result code of SQLite (<https://sqlite.org/rescode.html>), such as 2067 for
    /// a UNIQUE constraint.
    pub error_code: u32,
    /// How many rows an INSERT, UPDATE or DELETE changed, triggers and foreign-key actions not counted; else 0.
    pub changed: u64,
    /// The rowid of the row that an INSERT made last; 0 if it made none.
    pub last_insert_id: i64,
    /// How many rows were given.
    pub rows: u64,
    /// Which byte of the SQL a failure is about, from 0; -1: none in particular.
    pub error_offset: i64,
}

/// `pintle_transaction_options.flags`: it writes nothing, so that it waits for no writer and none waits for it; a statement in it
/// that would write answers INVALID_ARGUMENT.
pub const PINTLE_TRANSACTION_READ_ONLY: u32 = 1;

/// How a transaction is to be begun. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleTransactionOptions {
    /// `sizeof(pintle_transaction_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_TRANSACTION_READ_ONLY`, or 0. A nested one is as the one around it.
    pub flags: u32,
    /// How long to wait for others that write, in milliseconds; 0, and anything longer: what the host's settings say for a
    /// statement (5,000).
    pub wait_ms: i64,
    /// After how long it is rolled back if it has not ended, in milliseconds; 0, and anything longer: what the host's settings say
    /// (30,000). A nested one has the deadline of the one around it.
    pub timeout_ms: i64,
}

/// One step of a database's history.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleMigration {
    /// `sizeof(pintle_migration)` of whoever filled it in. In an array every `size` is equal and is the stride.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Its number, from 1. In the array numbers grow; gaps are allowed.
    pub number: u32,
    /// What it is called, 1 to 128 bytes, without control characters.
    pub name: PintleStr,
    /// One or more statements, without placeholders. They run in one transaction.
    pub sql: PintleStr,
}

/// `pintle_migrate_options.flags`: nothing is run: only told what would be, after the history was compared.
pub const PINTLE_MIGRATE_DRY_RUN: u32 = 1;

/// How migrations are to be run. Zero means default everywhere.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleMigrateOptions {
    /// `sizeof(pintle_migrate_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_MIGRATE_DRY_RUN`, or 0.
    pub flags: u32,
    /// How long each migration may take, waiting for others included, in milliseconds; 0: 60,000; at most 3,600,000.
    pub timeout_ms: i64,
}

/// What `migrate` did. The caller sets `size`, and the host writes no further. Also written on a failure: then what was done before.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleMigrateInfo {
    /// `sizeof(pintle_migrate_info)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// How many were run by this call.
    pub applied: u32,
    /// How many are still to be run: after a dry run, or those from the one that failed on.
    pub pending: u32,
    /// The number of the last one that has been run, by this call or before; 0: none.
    pub current: u32,
}

/// `pintle_sql_column.flags`: it is never NULL.
pub const PINTLE_COLUMN_NOT_NULL: u32 = 1;
/// `pintle_sql_column.flags`: no two rows have the same value.
pub const PINTLE_COLUMN_UNIQUE: u32 = 2;
/// `pintle_sql_column.flags`: it is the primary key, or a part of it; never NULL.
pub const PINTLE_COLUMN_PRIMARY_KEY: u32 = 4;
/// `pintle_sql_column.flags`: the database gives a number that grows, and was never used, to each row that names none. For an
/// INTEGER that is the whole primary key.
pub const PINTLE_COLUMN_AUTO_NUMBER: u32 = 8;

/// A column of a table to be created.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSqlColumn {
    /// `sizeof(pintle_sql_column)` of whoever filled it in. In an array every `size` is equal and is the stride.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_COLUMN_…`, or 0.
    pub flags: u32,
    /// Its name, 1 to 63 bytes: a letter or `_`, then letters, digits and `_`, all of ASCII.
    pub name: PintleStr,
    /// `PINTLE_SQL_INTEGER`, `PINTLE_SQL_REAL`, `PINTLE_SQL_TEXT` or `PINTLE_SQL_BLOB`. Nothing else can be stored in it.
    pub kind: u32,
    /// Must be 0.
    pub reserved: u32,
    /// What rows get that name no value; borrowed for the call; null: NULL.
    pub default_value: *const PintleSqlValue,
}

/// What a database has. The caller sets `size`, and the host writes no further.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleDatabaseStats {
    /// `sizeof(pintle_database_stats)` of the caller.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Transactions of this plugin and tenant that are open, nested ones not counted.
    pub transactions: u32,
    /// Bytes of the pages that the database has, free ones included.
    pub bytes: u64,
    /// Bytes of pages that are free for new rows.
    pub free_bytes: u64,
    /// How many bytes it may have.
    pub limit_bytes: u64,
}

/// SQL on a database of one's own.
///
/// Each (plugin, tenant) has a database, made when it is first used, that no SQL leads out of. A statement that names no transaction
/// is one of its own: when it returns OK all of it is on disk, and on any other status nothing of it. Statements that only read run
/// beside one that writes and wait for none; those that write wait for each other, in order, up to their deadline (BUSY).
///
/// SQL is that of SQLite (<https://sqlite.org/lang.html>) with what follows. Placeholders are `?1` or `$1`, numbered from 1 without
/// gaps, or plain `?`; their values are bound and never become part of the text. A text is one statement; more answers
/// INVALID_ARGUMENT. Transactions are begun by `begin`, not by SQL. Temporary tables live in a transaction and end with it. Foreign
/// keys are enforced. Answered with DENIED: ATTACH, DETACH, VACUUM, PRAGMAs but for a list of harmless ones, `load_extension`, virtual
/// tables other than fts5 and rtree, `dbstat` and its like, and the host's own tables, whose names begin with `pintle_`. A value has at
/// most 1 MiB, a text of SQL too, and so has a row (settings); longer ones answer TOO_LARGE.
///
/// `docs/database.md` has the whole list, and what of it other back ends do differently.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleDatabase {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Runs a statement and drops the rows that it gives, if any.
    ///
    /// - ctx: on whose behalf.
    /// - tx: the transaction that it is part of; 0: it commits by itself.
    /// - sql: one statement; borrowed for the call. The host keeps it prepared: the same text again costs no parsing.
    /// - values: `count` values for its placeholders, as many as it has; borrowed for the call, and not copied. Null only if
    ///   `count` is 0.
    /// - count: how many.
    /// - options: may be null; borrowed for the call.
    /// - info: what it did; also written where the database refuses. May be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (the SQL is wrong, with SQLite's text and where; the number of values; a write in a transaction
    /// that only reads); CONFLICT (a constraint: the text and `error_code` say which); WRONG_TYPE (a value of another kind than a
    /// STRICT column takes); OUT_OF_RANGE (an integer overflow); DENIED (what it does is not allowed, or the manifest does not ask for
    /// it); TOO_LARGE (a value, a row, the SQL, its complexity, the number of rows); QUOTA (the database, or its temporary files, may
    /// not become larger); BUSY (others write, until the deadline; at once if that is the calling thread itself, in a transaction of
    /// `ctx` that `tx` does not name or in a statement whose rows it is being given; more databases are in use than the settings
    /// allow); TIMEOUT (it took too long); CANCELLED (the caller of the running function has given up); UNAVAILABLE (a write in `load` and `restore`; the
    /// disk is full or fails, the text says which; the host has stopped); UNSUPPORTED (an option this host does not know);
    /// STALE_HANDLE (ctx, tx). With a `tx` that was rolled back for what went wrong before: that status again, with its text.
    /// Thread: any.
    /// Blocks: until it is done, at most until its deadline.
    /// Since: 1.0.
    pub execute: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            tx: PintleTransaction,
            sql: PintleStr,
            values: *const PintleSqlValue,
            count: usize,
            options: *const PintleSqlOptions,
            info: *mut PintleSqlInfo,
        ) -> PintleStatus,
    >,
    /// Runs a statement and hands over its rows one by one, as they come: memory does not grow with their number. They are of one
    /// state of the database, whoever writes meanwhile.
    ///
    /// - ctx: on whose behalf.
    /// - tx: as in `execute`.
    /// - sql: as in `execute`; may also be an INSERT, UPDATE or DELETE with RETURNING.
    /// - values: as in `execute`.
    /// - count: as in `execute`.
    /// - rows: gets the rows; used until the call returns.
    /// - options: may be null; borrowed for the call.
    /// - info: as in `execute`.
    ///
    /// Returns: OK, also if there was no row; CANCELLED also if `rows` refused; otherwise as `execute`. Rows may have been handed over
    /// before a failure.
    /// Thread: any.
    /// Blocks: until the last row is given, at most until its deadline.
    /// Since: 1.0.
    pub query: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            tx: PintleTransaction,
            sql: PintleStr,
            values: *const PintleSqlValue,
            count: usize,
            rows: PintleSqlRows,
            options: *const PintleSqlOptions,
            info: *mut PintleSqlInfo,
        ) -> PintleStatus,
    >,
    /// The same for a statement that gives one row.
    ///
    /// - ctx: on whose behalf.
    /// - tx: as in `execute`.
    /// - sql: as in `query`.
    /// - values: as in `execute`.
    /// - count: as in `execute`.
    /// - rows: gets the row; used until the call returns.
    /// - options: may be null; borrowed for the call. Its `max_rows` is not looked at.
    /// - info: as in `execute`.
    ///
    /// Returns: OK; NOT_FOUND (no row); TOO_LARGE (more than one: then nothing is changed, and the row that was handed over does not
    /// count); otherwise as `query`.
    /// Thread: any.
    /// Blocks: as `query`.
    /// Since: 1.0.
    pub query_one: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            tx: PintleTransaction,
            sql: PintleStr,
            values: *const PintleSqlValue,
            count: usize,
            rows: PintleSqlRows,
            options: *const PintleSqlOptions,
            info: *mut PintleSqlInfo,
        ) -> PintleStatus,
    >,
    /// Runs all statements of a text, one after the other, as a whole: if one fails none has happened.
    ///
    /// - ctx: on whose behalf.
    /// - tx: as in `execute`.
    /// - sql: any number of statements, separated by `;`, without placeholders; borrowed for the call.
    /// - options: may be null; borrowed for the call. The deadline is that of all of them; rows are dropped.
    /// - info: of the last statement, `changed` of all; where one fails `error_offset` counts from the beginning of the text. May be
    ///   null. Owned by the caller.
    ///
    /// Returns: as `execute`.
    /// Thread: any.
    /// Blocks: as `execute`.
    /// Since: 1.0.
    pub script: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            tx: PintleTransaction,
            sql: PintleStr,
            options: *const PintleSqlOptions,
            info: *mut PintleSqlInfo,
        ) -> PintleStatus,
    >,
    /// Begins a transaction, or one nested in another.
    ///
    /// It belongs to the scope of `ctx` and ends at the latest with it: what is open when the function returns that was given `ctx`,
    /// when a held context is released, when its deadline has passed, or when the plugin is unloaded, is rolled back. Until then its
    /// statements see what it wrote and nobody else does. Others that write wait for its end, so keep it short. While a nested one is
    /// open, only the innermost may be used (BUSY), but each may be rolled back.
    ///
    /// - ctx: on whose behalf.
    /// - outer: the transaction around it; 0: none.
    /// - options: may be null; borrowed for the call.
    /// - tx: gets its handle. Owned by the caller.
    ///
    /// Returns: OK; BUSY (others write, until `wait_ms` is over; at once if that is the calling thread, as in `execute`; more databases are in use than the settings allow; `outer` has another
    /// nested one); QUOTA (32 are nested already); DENIED; CANCELLED (the caller of the running function has given up); UNSUPPORTED (an
    /// option this host does not know); OUT_OF_RANGE (a negative time); UNAVAILABLE (in `load` and `restore` unless it only reads; the
    /// disk fails; the host has stopped); STALE_HANDLE (ctx, outer). With an `outer` that was rolled back for what went wrong before:
    /// that status again, with its text.
    /// Thread: any.
    /// Blocks: until nobody else writes, at most `wait_ms`; never if it only reads.
    /// Since: 1.0.
    pub begin: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            outer: PintleTransaction,
            options: *const PintleTransactionOptions,
            tx: *mut PintleTransaction,
        ) -> PintleStatus,
    >,
    /// Ends a transaction and keeps what it wrote: of an outermost one it is then on disk, of a nested one it is part of the one around
    /// it.
    ///
    /// - ctx: on whose behalf.
    /// - tx: the transaction. Whatever is answered, but for BUSY, the handle is over.
    ///
    /// Returns: OK; BUSY (a nested one is open: end that first); CONFLICT (a deferred foreign key is not there: it was rolled back);
    /// UNAVAILABLE (the disk is full or fails: it was rolled back); STALE_HANDLE. If it was rolled back for what went wrong before: that
    /// status again, with its text.
    /// Thread: any.
    /// Blocks: until it is on disk.
    /// Since: 1.0.
    pub commit: Option<unsafe extern "C" fn(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus>,
    /// Ends a transaction and undoes what it wrote, those nested in it included.
    ///
    /// - ctx: on whose behalf.
    /// - tx: the transaction. Whatever is answered, the handle is over.
    ///
    /// Returns: OK, also if it was rolled back already for what went wrong; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until a statement of it that runs has ended.
    /// Since: 1.0.
    pub rollback: Option<unsafe extern "C" fn(ctx: PintleCtx, tx: PintleTransaction) -> PintleStatus>,
    /// Brings the database of `ctx` up to date: runs the migrations that it has not seen, in order, each in a transaction of its own,
    /// and notes them with a checksum of name and SQL. Nobody else migrates the same database meanwhile.
    ///
    /// - ctx: on whose behalf.
    /// - migrations: `count` of them, the whole history from the first on; borrowed for the call. Null only if `count` is 0.
    /// - count: at most 10,000.
    /// - options: may be null; borrowed for the call.
    /// - info: what was done; also written on a failure. May be null. Owned by the caller.
    ///
    /// Returns: OK; CONFLICT (one that was run has another name or other SQL now, or is missing, or a new one has a number below one that
    /// was run: the text names it; nothing was run); INVALID_ARGUMENT (numbers that do not grow, a name, SQL that is wrong, with its
    /// number and name); otherwise what `script` answers, with the number and name of the one that failed. Those before it stay.
    /// Thread: any.
    /// Blocks: until all are done, each at most until its deadline.
    /// Since: 1.0.
    pub migrate: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            migrations: *const PintleMigration,
            count: usize,
            options: *const PintleMigrateOptions,
            info: *mut PintleMigrateInfo,
        ) -> PintleStatus,
    >,
    /// Creates a table if there is none of that name, in the words of whatever database the operator has chosen.
    ///
    /// - ctx: on whose behalf.
    /// - tx: as in `execute`.
    /// - table: its name, under the rules of a column's; borrowed for the call.
    /// - columns: `count` columns; borrowed for the call.
    /// - count: 1 to 256.
    /// - created: gets 1 if it was created, 0 if there was one, whatever its columns. May be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (a name, a kind, two columns of one name, AUTO_NUMBER where it cannot be); UNSUPPORTED (a flag this
    /// host does not know); otherwise as `execute`.
    /// Thread: any.
    /// Blocks: as `execute`.
    /// Since: 1.0.
    pub create_table: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            tx: PintleTransaction,
            table: PintleStr,
            columns: *const PintleSqlColumn,
            count: usize,
            created: *mut u32,
        ) -> PintleStatus,
    >,
    /// Tells how large the database of `ctx` is and may be.
    ///
    /// - ctx: on whose behalf.
    /// - stats: gets it. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (`stats` is null, its size); DENIED; BUSY; UNAVAILABLE; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: on the disk.
    /// Since: 1.0.
    pub stats: Option<unsafe extern "C" fn(ctx: PintleCtx, stats: *mut PintleDatabaseStats) -> PintleStatus>,
}

impl PintleSqlValue {
    /// NULL.
    pub const NULL: Self =
        Self { kind: PINTLE_SQL_NULL, reserved: 0, integer: 0, real: 0.0, bytes: PintleBytes::EMPTY };
}

const _: () = {
    assert!(size_of::<PintleSqlValue>() == 40 && align_of::<PintleSqlValue>() == 8);
    assert!(core::mem::offset_of!(PintleSqlValue, bytes) == 24);
    assert!(size_of::<PintleSqlRows>() == 24);
};
