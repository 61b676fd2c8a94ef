//! Transactions: several statements, all of them or none.

use std::{mem, ops::Deref};

use pintle_abi::{PINTLE_BUSY, PintleDatabase, PintleTransaction};

use super::{Database, Sql, TransactionOptions};
use crate::{
    Context, Result,
    table::{function, member},
};

impl<'a> Database<'a> {
    /// Begins a transaction. Until it ends nobody else sees what it writes, and others that write wait for it: keep it short.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, params};
    /// /// Moves a crate, unless the other ship is full.
    /// fn transship(cx: &Context, what: &str, to: &str) -> Result<bool> {
    ///     let tx = cx.database().begin()?;
    ///     tx.execute("UPDATE crates SET ship = ?2 WHERE name = ?1", params![what, to])?;
    ///     let load: u32 = tx.query_one_as("SELECT count(*) FROM crates WHERE ship = ?1", params![to])?;
    ///     if load > 100 {
    ///         return Ok(false); // dropped: rolled back
    ///     }
    ///     tx.commit()?;
    ///     Ok(true)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Busy`](crate::Status::Busy): others write; [`Unavailable`](crate::Status::Unavailable) also in `load` and `restore`; otherwise
    /// those of [every statement](Sql).
    pub fn begin(&self) -> Result<Transaction<'a>> {
        self.begin_with(&TransactionOptions::new())
    }

    /// Begins a transaction that only reads: all that it reads is of one state of the database, and nobody waits for it.
    ///
    /// # Errors
    /// Those of [every statement](Sql).
    pub fn begin_read_only(&self) -> Result<Transaction<'a>> {
        self.begin_with(&TransactionOptions::new().read_only())
    }

    /// [`begin`](Database::begin) with more to say.
    ///
    /// # Errors
    /// As `begin`.
    pub fn begin_with(&self, options: &TransactionOptions) -> Result<Transaction<'a>> {
        Transaction::begin(self.context(), 0, options)
    }

    /// Does `work` in a transaction: commits it where that is `Ok`, and rolls it back where it is not, or panics.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, params};
    /// fn transfer(cx: &Context, from: u64, to: u64, cents: i64) -> Result<()> {
    ///     cx.database().transaction(|tx| {
    ///         let sql = "UPDATE accounts SET cents = cents + ?2 WHERE id = ?1";
    ///         tx.execute(sql, params![from, -cents])?;
    ///         tx.execute(sql, params![to, cents])?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// That of `work`; as [`begin`](Database::begin) and [`commit`](Transaction::commit).
    pub fn transaction<T>(&self, work: impl FnOnce(&mut Transaction<'a>) -> Result<T>) -> Result<T> {
        self.transaction_with(&TransactionOptions::new(), work)
    }

    /// [`transaction`](Database::transaction) with more to say.
    ///
    /// # Errors
    /// As `transaction`.
    pub fn transaction_with<T>(
        &self,
        options: &TransactionOptions,
        work: impl FnOnce(&mut Transaction<'a>) -> Result<T>,
    ) -> Result<T> {
        let mut tx = self.begin_with(options)?;
        let done = work(&mut tx)?;
        tx.commit()?;
        Ok(done)
    }
}

/// A transaction, or one nested in another: rolled back when it is dropped, unless it was [committed](Transaction::commit) before.
/// Statements are run in it as on the database ([`Sql`]).
///
/// It also ends with the context that it was begun with, and after some time by itself ([`TransactionOptions::timeout`]): what
/// it is asked then answers [`StaleHandle`](crate::Status::StaleHandle) or [`Timeout`](crate::Status::Timeout).
#[derive(Debug)]
#[must_use = "dropping it rolls it back"]
pub struct Transaction<'a> {
    sql: Sql<'a>,
}

impl<'a> Deref for Transaction<'a> {
    type Target = Sql<'a>;

    fn deref(&self) -> &Sql<'a> {
        &self.sql
    }
}

impl<'a> Transaction<'a> {
    fn begin(cx: &'a Context, outer: PintleTransaction, options: &TransactionOptions) -> Result<Self> {
        let begin = function!(cx.host(), database: PintleDatabase, begin)?;
        let (options, mut tx) = (options.raw()?, 0);
        // SAFETY: options are borrowed and `tx` is writable for the call.
        cx.check(unsafe { begin(cx.raw(), outer, &raw const options, &raw mut tx) })?;
        Ok(Self { sql: Sql::new(cx, tx) })
    }

    /// Begins a transaction in this one, which can be rolled back alone; what it commits is a part of this one. Until it has ended this
    /// one cannot be used. Up to 32 may be nested in each other.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, Status, params};
    /// fn import(cx: &Context, lines: &[(&str, u32)]) -> Result<u32> {
    ///     let mut left_out = 0;
    ///     cx.database().transaction(|tx| {
    ///         for (name, berth) in lines {
    ///             let line = tx.nested()?;
    ///             line.execute("INSERT INTO ships VALUES (?1, ?2)", params![name, berth])?;
    ///             match line.execute("INSERT INTO moves VALUES (?1, ?2)", params![name, berth]) {
    ///                 Ok(_) => line.commit()?,
    ///                 Err(error) if error.status() == Status::Conflict => left_out += 1, // and neither row is there
    ///                 Err(error) => return Err(error),
    ///             }
    ///         }
    ///         Ok(())
    ///     })?;
    ///     Ok(left_out)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Quota`](crate::Status::Quota): 32 are nested already; otherwise those of [every statement](Sql).
    pub fn nested(&mut self) -> Result<Transaction<'_>> {
        Transaction::begin(self.context(), self.transaction_handle(), &TransactionOptions::new())
    }

    /// Ends it and keeps what it wrote: `Ok` means that it is on disk, or, of one that is nested, a part of the one around it.
    ///
    /// # Errors
    /// [`Conflict`](crate::Status::Conflict): a deferred foreign key leads nowhere; [`Unavailable`](crate::Status::Unavailable): the
    /// disk is full or fails; what has rolled it back before. Whatever it is, nothing was kept.
    pub fn commit(self) -> Result<()> {
        let cx = self.context();
        let commit = function!(cx.host(), database: PintleDatabase, commit)?;
        // SAFETY: integers alone.
        let status = unsafe { commit(cx.raw(), self.transaction_handle()) };
        let done = cx.check(status);
        if status != PINTLE_BUSY {
            mem::forget(self); // The handle is over. There is nothing else in it that could be lost.
        }
        done
    }

    /// Ends it and undoes what it wrote, as dropping it does, and tells whether that was in time.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle): it was over.
    pub fn rollback(self) -> Result<()> {
        let cx = self.context();
        let rollback = function!(cx.host(), database: PintleDatabase, rollback)?;
        // SAFETY: integers alone.
        let status = unsafe { rollback(cx.raw(), self.transaction_handle()) };
        mem::forget(self);
        cx.check(status)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let cx = self.context();
        let host: *const pintle_abi::PintleHost = cx.host().as_ptr();
        // SAFETY: `load` refuses hosts that are too small for this member (`function!` in `begin` has looked, while compiling).
        let table: *const PintleDatabase = unsafe { (&raw const (*host).database).read() };
        if let Some(rollback) = member!(table, PintleDatabase, rollback) {
            // SAFETY: integers alone. One that is over already is answered with a status, which changes nothing for us.
            unsafe { rollback(cx.raw(), self.transaction_handle()) };
        }
    }
}
