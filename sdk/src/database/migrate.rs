//! Bringing a database up to date.

use std::{fmt, time::Duration};

use pintle_abi::{
    PINTLE_MIGRATE_DRY_RUN, PintleDatabase, PintleMigrateInfo, PintleMigrateOptions, PintleMigration,
    PintleStr,
};

use super::Database;
use crate::{Error, Result, Status, context::patience, table::function};

impl Database<'_> {
    /// Brings the database up to date: runs the migrations that it has not seen, in order, each in a transaction of its own, and
    /// remembers them with their name and SQL. Nobody else migrates the same database meanwhile.
    ///
    /// `history` is all of them, from the first on. What was run stays as it is; whatever is to change goes into a new one at the end.
    /// Each tenant has a database of its own, so this belongs to where a tenant's is first used; where nothing is to be run it costs
    /// about as much as a query.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Migration, Result};
    /// const HISTORY: &[Migration<'_>] = &[
    ///     Migration::new(1, "visits", "CREATE TABLE visits (page TEXT NOT NULL, seconds REAL NOT NULL) STRICT"),
    ///     Migration::new(2, "who", "ALTER TABLE visits ADD who TEXT; CREATE INDEX by_who ON visits (who)"),
    /// ];
    ///
    /// fn prepare(cx: &Context) -> Result<()> {
    ///     let done = cx.database().migrate(HISTORY)?;
    ///     cx.log().info("tables are up to date", &[("run", done.applied.into())]);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](Status::Conflict): the history is another than what was run, with the one that differs; nothing was run then.
    /// [`InvalidArgument`](Status::InvalidArgument): numbers that do not grow, a name. Otherwise what the SQL answers, with number and
    /// name of the one that failed: those before it stay ([`MigrateError::migrated`]).
    pub fn migrate(&self, history: &[Migration<'_>]) -> Result<Migrated, MigrateError> {
        self.migrate_with(history, &MigrateOptions::new())
    }

    /// What [`migrate`](Database::migrate) would do: the history is compared, and nothing is run. Also in `load`.
    ///
    /// # Errors
    /// As `migrate`, as far as that can be told before anything is run.
    pub fn migrate_dry_run(&self, history: &[Migration<'_>]) -> Result<Migrated, MigrateError> {
        self.migrate_with(history, &MigrateOptions::new().dry_run())
    }

    /// [`migrate`](Database::migrate) with more to say.
    ///
    /// # Errors
    /// As `migrate`; [`OutOfRange`](Status::OutOfRange): a time of nothing, or of more than an hour.
    pub fn migrate_with(
        &self,
        history: &[Migration<'_>],
        options: &MigrateOptions,
    ) -> Result<Migrated, MigrateError> {
        let cx = self.context();
        let migrate = function!(cx.host(), database: PintleDatabase, migrate)?;
        let options = PintleMigrateOptions {
            size: size_of::<PintleMigrateOptions>() as u32,
            flags: if options.dry_run { PINTLE_MIGRATE_DRY_RUN } else { 0 },
            timeout_ms: patience(options.timeout)?,
        };
        let history: Vec<_> = history.iter().map(Migration::raw).collect();
        let mut info = PintleMigrateInfo {
            size: size_of::<PintleMigrateInfo>() as u32,
            applied: 0,
            pending: 0,
            current: 0,
        };
        // SAFETY: everything is borrowed, and `info`, which says its size, writable for the call.
        let status =
            unsafe { migrate(cx.raw(), history.as_ptr(), history.len(), &raw const options, &raw mut info) };
        let PintleMigrateInfo { applied, pending, current, .. } = info;
        let migrated = Migrated { applied, pending, current };
        cx.check(status).map(|()| migrated).map_err(|error| MigrateError { migrated, error })
    }
}

/// One step of a database's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration<'a> {
    number: u32,
    name: &'a str,
    sql: &'a str,
}

impl<'a> Migration<'a> {
    /// A step with its number, from 1 and growing, gaps allowed; what it is called, 1 to 128 bytes; and one or more statements.
    #[must_use]
    pub const fn new(number: u32, name: &'a str, sql: &'a str) -> Self {
        Self { number, name, sql }
    }

    fn raw(&self) -> PintleMigration {
        PintleMigration {
            size: size_of::<PintleMigration>() as u32,
            number: self.number,
            name: PintleStr::new(self.name),
            sql: PintleStr::new(self.sql),
        }
    }
}

/// How migrations are run: for [`Database::migrate_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it says how to migrate, and migrates nothing"]
pub struct MigrateOptions {
    dry_run: bool,
    timeout: Option<Duration>,
}

impl MigrateOptions {
    /// All that is to be run, each within a minute.
    pub const fn new() -> Self {
        Self { dry_run: false, timeout: None }
    }

    /// Nothing is run: only told what would be.
    pub const fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// How long each migration may take, waiting for others included: up to an hour.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// What was done with a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// How many were run by this call.
    pub applied: u32,
    /// How many are still to be run: after a dry run, or from the one that failed on.
    pub pending: u32,
    /// The number of the last one that has been run, by this call or before; 0: none.
    pub current: u32,
}

/// Why a database could not be brought up to date. `?` makes an [`Error`] of it.
#[derive(Debug)]
pub struct MigrateError {
    migrated: Migrated,
    error: Error,
}

impl MigrateError {
    /// What was done before it failed.
    #[must_use]
    pub fn migrated(&self) -> Migrated {
        self.migrated
    }

    /// What kind of failure.
    #[must_use]
    pub fn status(&self) -> Status {
        self.error.status()
    }

    /// What happened, and what to do about it.
    #[must_use]
    pub fn message(&self) -> &str {
        self.error.message()
    }
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<MigrateError> for Error {
    fn from(failed: MigrateError) -> Self {
        failed.error
    }
}

impl From<Error> for MigrateError {
    fn from(error: Error) -> Self {
        Self { migrated: Migrated::default(), error }
    }
}
