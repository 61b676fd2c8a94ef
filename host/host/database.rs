//! What an application and an operator do with the SQL databases of plugins: [`PluginDatabase`] is that of one plugin and one
//! tenant; all are listed, copied and removed. `sql.rs` has the values that go in and come out.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    A_YEAR, Host,
    sql::{SqlRow, SqlValue, lent},
};
use crate::{
    boundary::Core,
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Tenant},
    services::database::{Asks, BackupPlan, Caller, Done, Fault, Held, Rows, Size, Statement, Value, Writes},
};

/// The SQL database of one plugin on behalf of one tenant: [`Host::database`]. All functions may be called from any thread;
/// after the host has stopped they answer STOPPING or UNAVAILABLE, and what runs then is stopped.
///
/// It reads, and what would write is DENIED; [`writing`](Self::writing) gives the one that writes. Its SQL is held to what
/// that of the plugin is: it cannot leave the database, and has the same limits.
#[derive(Clone)]
pub struct PluginDatabase {
    core: &'static Core,
    number: u64,
    id: Arc<str>,
    /// Held, so that its number stays.
    tenant: Tenant,
    limit_bytes: Option<u64>,
    writes: Writes,
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlDone {
    /// How many rows it gave.
    pub rows: u64,
    /// How many rows it changed.
    pub changed: u64,
    /// The id of the row that it inserted last; 0: it inserted none.
    pub last_insert_id: i64,
}

/// How large a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseSize {
    /// The bytes of its pages, free ones included.
    pub bytes: u64,
    /// Those of its pages that nothing is in.
    pub free_bytes: u64,
    /// How many it may have.
    pub limit_bytes: u64,
}

/// A database that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseInfo {
    /// The plugin's id.
    pub plugin: String,
    /// The tenant; empty: the system scope.
    pub tenant: String,
    /// The bytes of its file and of its log.
    pub bytes: u64,
}

/// All databases.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DatabaseList {
    /// Those that there are, in the order of plugins and tenants.
    pub databases: Vec<DatabaseInfo>,
    /// What lies where they lie and is none, or is damaged. The host leaves it as it is.
    pub problems: Vec<Error>,
}

/// How a database is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// A file that is there already is replaced.
    pub overwrite: bool,
    /// How long it may take; None: as long as it takes.
    pub timeout: Option<Duration>,
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
}

impl Host {
    /// The SQL database of a plugin on behalf of a tenant (empty: the system scope), to read. The plugin need not be loaded,
    /// and the database need not be there: it is made by whatever writes first.
    ///
    /// ```no_run
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").data("data").build()?;
    /// let database = host.database("orders", "acme")?;
    /// let sql = "SELECT id, note FROM orders WHERE total > ?1 ORDER BY id";
    /// database.query(sql, &[250.into()], None, |row| {
    ///     let (id, note): (i64, Option<String>) = (row.get("id")?, row.get("note")?);
    ///     println!("{id}: {}", note.unwrap_or_default());
    ///     Ok(())
    /// })?;
    /// let done = database.writing().execute("DELETE FROM orders WHERE id = ?1", &[7.into()], None)?;
    /// println!("{} are gone", done.changed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// NOT_FOUND: the plugin was never loaded in this host, and has no database. INVALID_ARGUMENT: the tenant. UNAVAILABLE:
    /// the folder of the databases cannot be read.
    pub fn database(&self, plugin: &str, tenant: &str) -> Result<PluginDatabase> {
        let core = self.inner.core;
        let tenant = core.tenants.named_by_application(tenant)?;
        let (number, id, limit_bytes) = self.inner.plugins.with_database(plugin)?;
        Ok(PluginDatabase { core, number, id, tenant, limit_bytes, writes: Writes::LooksOnly })
    }

    /// The databases of all plugins, loaded or not, and how large they are. Nobody who uses one notices: each file is asked
    /// once whose it is, without a lock.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: their folder cannot be read.
    pub fn databases(&self) -> Result<DatabaseList> {
        let core = self.inner.core;
        let mut databases: Vec<DatabaseInfo> =
            core.database.databases()?.into_iter().map(Into::into).collect();
        databases
            .sort_unstable_by(|one, other| (&one.plugin, &one.tenant).cmp(&(&other.plugin, &other.tenant)));
        Ok(DatabaseList { databases, problems: core.database.strangers()? })
    }

    /// Removes the databases of a plugin, or that of one tenant alone (empty: the system scope), for good, and tells which there
    /// were. One that the plugin uses again later is made anew.
    ///
    /// # Errors
    ///
    /// BUSY: one of them is in use, or is being copied; then all of them stay. UNAVAILABLE: what lies in the place of the tenant's
    /// is no database, or is damaged; or the disk fails. STOPPING.
    pub fn remove_databases(&self, plugin: &str, tenant: Option<&str>) -> Result<Vec<DatabaseInfo>> {
        let gone = self.inner.core.database.remove(plugin, tenant)?;
        Ok(gone.into_iter().map(Into::into).collect())
    }
}

impl PluginDatabase {
    /// The plugin's id.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.id
    }

    /// The tenant; empty: the system scope.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.tenant.name()
    }

    /// The same database, to write too. What an application writes there, the plugin finds: its tables are the plugin's.
    #[must_use]
    pub fn writing(&self) -> Self {
        Self { writes: Writes::Allowed, ..self.clone() }
    }

    /// Runs one statement with `values` for its placeholders `?1`, `?2` and so on, and hands its rows to `row` as they come: no
    /// more than one is in memory. It is stopped after `timeout`, waiting included; None: what the settings say for statements
    /// (`database.statement_ms`). `row` holds up those who write only if the statement itself writes; then all that it did is undone
    /// where `row` answers an error.
    ///
    /// # Errors
    ///
    /// What `row` answers. INVALID_ARGUMENT: the SQL, with SQLite's own words, and where ([`Error::sql_offset`]); or the number of
    /// values. DENIED: it writes, and this one reads; or it would leave the database. NOT_FOUND: there is no database, and it is
    /// not to be made to be read. CONFLICT: it breaks a constraint. TIMEOUT. BUSY: others write, or too many use databases, until
    /// the deadline. TOO_LARGE: more rows than the settings allow (`database.max_rows`), or a value is too large. QUOTA: there is
    /// no room for what it writes. STOPPING: the host stops. UNAVAILABLE: the file is damaged, or the disk fails.
    pub fn query(
        &self,
        sql: &str,
        values: &[SqlValue],
        timeout: Option<Duration>,
        row: impl FnMut(&SqlRow<'_>) -> Result<()>,
    ) -> Result<SqlDone> {
        self.query_named(sql, values, timeout, |_| Ok(()), row)
    }

    /// The same, and tells the names of the columns first, also where no row comes. None: the statement gives no rows.
    ///
    /// # Errors
    ///
    /// As `query`, and what `columns` answers.
    pub fn query_named(
        &self,
        sql: &str,
        values: &[SqlValue],
        timeout: Option<Duration>,
        columns: impl FnMut(&[String]) -> Result<()>,
        row: impl FnMut(&SqlRow<'_>) -> Result<()>,
    ) -> Result<SqlDone> {
        let values: Vec<Value<'_>> = values.iter().map(lent).collect();
        let max_rows = self.core.database.max_rows(0);
        let statement = Statement { sql, values: &values, max_rows, writes: self.writes };
        let mut rows = Taking { names: Vec::new(), columns, row };
        let done = self.core.database.run_own(&self.asks(timeout), &statement, &mut rows);
        done.map(Into::into).map_err(error_of)
    }

    /// Runs one statement and forgets the rows that it gives.
    ///
    /// # Errors
    ///
    /// As `query`.
    pub fn execute(&self, sql: &str, values: &[SqlValue], timeout: Option<Duration>) -> Result<SqlDone> {
        self.query(sql, values, timeout, |_| Ok(()))
    }

    /// Runs all statements of a text as a whole: either all of it has happened, or nothing. What they changed is added up.
    ///
    /// # Errors
    ///
    /// As `query`. DENIED also where it only reads, unless this one writes: nobody knows before.
    pub fn script(&self, sql: &str, timeout: Option<Duration>) -> Result<SqlDone> {
        let done = self.core.database.script_own(&self.asks(timeout), sql, self.writes);
        done.map(Into::into).map_err(error_of)
    }

    /// How large it is, and may be.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is none. UNAVAILABLE: it is damaged, or the disk fails. BUSY: too many use databases. STOPPING.
    pub fn size(&self) -> Result<DatabaseSize> {
        let Size { bytes, free_bytes, limit_bytes } = self.core.database.size_own(&self.asks(None))?;
        Ok(DatabaseSize { bytes, free_bytes, limit_bytes })
    }

    /// Writes a copy of the database to a file, while it is in use: of one state of it, the last that was committed when it begins.
    /// Those who write meanwhile do not hold it up, nor it them. `progress` is told now and then how many bytes are copied, and
    /// how many there are.
    ///
    /// The file is made for this user alone, beside its place, and gets its name when all of it is on disk. It is a whole database,
    /// which any SQLite reads, of the same plugin and tenant: in the place of the database of a host that has stopped it is that.
    ///
    /// # Errors
    ///
    /// What `progress` answers. NOT_FOUND: there is no database. CONFLICT: the file is there already. TIMEOUT. STOPPING.
    /// UNAVAILABLE: the file cannot be written, or the database is damaged. Then there is no file, or the old one.
    pub fn backup(
        &self,
        path: impl AsRef<Path>,
        options: &BackupOptions,
        mut progress: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<BackupReport> {
        let path = std::path::absolute(path.as_ref()).map_err(|error| {
            Error::argument("path", format!("{} is no path: {error}", path.as_ref().display()))
        })?;
        let until = options.timeout.map(|timeout| Instant::now() + timeout.min(A_YEAR));
        let plan = BackupPlan {
            plugin: &self.id,
            tenant: self.tenant.name(),
            to: &path,
            overwrite: options.overwrite,
        };
        let mut step = |done, of| {
            if until.is_some_and(|until| Instant::now() >= until) {
                let text = "the copy took longer than it may: there is none";
                return Err(Error::new(ErrorKind::Timeout, text).mend("give it more time"));
            }
            progress(done, of)
        };
        let bytes = self.core.database.copy(&plan, &mut step)?;
        Ok(BackupReport { path, bytes })
    }

    fn asks(&self, timeout: Option<Duration>) -> Asks<'_> {
        let scope = DataScope::new(self.number, &self.id, self.tenant.number(), &self.core.tenants);
        Asks { scope, caller: Caller::PATIENT, timeout, limit_bytes: self.limit_bytes }
    }
}

impl fmt::Debug for PluginDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginDatabase")
            .field("plugin", &self.plugin())
            .field("tenant", &self.tenant())
            .field("writing", &(self.writes == Writes::Allowed))
            .finish_non_exhaustive()
    }
}

impl From<Done> for SqlDone {
    fn from(done: Done) -> Self {
        let Done { changed, last_insert_id, rows } = done;
        Self { rows, changed, last_insert_id }
    }
}

impl From<Held> for DatabaseInfo {
    fn from(held: Held) -> Self {
        let Held { plugin, tenant, bytes } = held;
        Self { plugin, tenant, bytes }
    }
}

/// Rows for whoever takes them.
struct Taking<C, R> {
    names: Vec<String>,
    columns: C,
    row: R,
}

impl<C, R> Rows for Taking<C, R>
where
    C: FnMut(&[String]) -> Result<()>,
    R: FnMut(&SqlRow<'_>) -> Result<()>,
{
    fn columns(&mut self, names: &[&str]) -> Result<()> {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        (self.columns)(&self.names)
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        (self.row)(&SqlRow::of(&self.names, values))
    }
}

fn error_of(fault: Fault) -> Error {
    match fault.offset {
        Some(offset) => fault.error.at_offset(offset),
        None => fault.error,
    }
}
