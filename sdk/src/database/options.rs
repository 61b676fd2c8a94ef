//! How statements are run and transactions begun.

use std::time::Duration;

use pintle_abi::{PINTLE_TRANSACTION_READ_ONLY, PintleSqlOptions, PintleTransactionOptions};

use crate::{Error, Result, Status, context::patience};

/// How statements are run: for [`Database::with`](crate::Database::with) and [`Sql::with`](crate::Sql::with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it says how to run statements, and runs none"]
pub struct SqlOptions {
    timeout: Option<Duration>,
    max_rows: Option<u64>,
}

impl SqlOptions {
    /// As the operator says: without settings 5 seconds and a million rows.
    pub const fn new() -> Self {
        Self { timeout: None, max_rows: None }
    }

    /// How long a statement may take, its waiting for others and what is done with its rows included; no longer than the operator
    /// says. Then it ends with [`Timeout`](Status::Timeout), or [`Busy`](Status::Busy) where it still waited for others.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many rows a statement may give, at least one; no more than the operator says. One more ends it with
    /// [`TooLarge`](Status::TooLarge), and nothing is changed.
    pub const fn max_rows(mut self, rows: u64) -> Self {
        self.max_rows = Some(rows);
        self
    }

    /// `None` where nothing was said.
    pub(super) fn raw(&self) -> Result<Option<PintleSqlOptions>> {
        if (self.timeout, self.max_rows) == (None, None) {
            return Ok(None);
        }
        if self.max_rows == Some(0) {
            return Err(Error::new(
                Status::OutOfRange,
                "argument `max_rows`: a statement may give one row at least",
            ));
        }
        Ok(Some(PintleSqlOptions {
            size: size_of::<PintleSqlOptions>() as u32,
            flags: 0,
            timeout_ms: patience(self.timeout)?,
            max_rows: self.max_rows.unwrap_or(0),
        }))
    }
}

/// How a transaction is begun: for [`Database::begin_with`](crate::Database::begin_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it says how to begin, and begins nothing"]
pub struct TransactionOptions {
    read_only: bool,
    wait: Option<Duration>,
    timeout: Option<Duration>,
}

impl TransactionOptions {
    /// One that may write, and otherwise as the operator says: without settings it waits 5 seconds for others, and is rolled back
    /// after 30.
    pub const fn new() -> Self {
        Self { read_only: false, wait: None, timeout: None }
    }

    /// It writes nothing: it waits for no writer and none waits for it, and what it reads is of one state of the database.
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// How long to wait for others that write; no longer than the operator says of a statement. Then it is [`Busy`](Status::Busy).
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// After how long it is rolled back if it has not ended; no later than the operator says.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(super) fn raw(&self) -> Result<PintleTransactionOptions> {
        Ok(PintleTransactionOptions {
            size: size_of::<PintleTransactionOptions>() as u32,
            flags: if self.read_only { PINTLE_TRANSACTION_READ_ONLY } else { 0 },
            wait_ms: patience(self.wait)?,
            timeout_ms: patience(self.timeout)?,
        })
    }
}
