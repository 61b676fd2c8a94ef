//! What a back end for SQL does: [`SqlBackend`] keeps a database for each (plugin, tenant), [`SqlSession`] is a connection to one of
//! them. `conformance/` is what every back end must do; docs/database.md says what of SQL differs between them.

use std::{path::Path, time::Duration};

use super::{
    fault::Fault,
    patience::Patience,
    value::{Column, Done, Rows, Size, Statement},
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// Keeps a database for each (plugin, tenant). No SQL leads from one to another.
pub(crate) trait SqlBackend: Send + Sync {
    /// A connection to the database of `scope`, which is made if it is not there and may have `limit_bytes`. BUSY: as many
    /// connections as there may be are in use, as long as `patience` lasts.
    fn session(
        &self,
        scope: &DataScope<'_>,
        limit_bytes: u64,
        patience: &Patience,
    ) -> Result<Box<dyn SqlSession>>;

    /// Whether there is a database of a plugin, or of one tenant of it.
    fn holds(&self, plugin: &str, tenant: Option<&str>) -> Result<bool>;

    /// The databases that there are, in no order.
    fn databases(&self) -> Result<Vec<Held>>;

    /// What lies where databases lie and is none, or is damaged. It is left as it is.
    fn strangers(&self) -> Result<Vec<Error>>;

    /// Writes a copy of a database to a new file, of one state of it, while it is in use; tells its bytes. NOT_FOUND: there is
    /// none. Otherwise what `progress` answers, as soon as that is an error: then there is no file.
    fn backup(&self, plan: &BackupPlan<'_>, progress: &mut Progress<'_>) -> Result<u64>;

    /// Removes the databases of a plugin, or that of one tenant alone, and tells what there was. BUSY: one is in use.
    fn remove(&self, plugin: &str, tenant: Option<&str>) -> Result<Vec<Held>>;

    /// Closes what nobody has used for long; tells when to call again.
    fn tidy(&self, now: Duration) -> Option<Duration>;

    /// Takes no more, and closes every database. What is in use is closed when it is given back.
    fn close(&self);

    /// After `close`: waits until what was in use is closed too.
    fn wait_closed(&self);
}

/// Told now and then how many bytes are copied, and how many there are.
pub(crate) type Progress<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// What a backup is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackupPlan<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) to: &'a Path,
    /// A file that is there is replaced.
    pub(crate) overwrite: bool,
}

/// A database that a back end keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) plugin: String,
    /// Empty: the system scope.
    pub(crate) tenant: String,
    pub(crate) bytes: u64,
}

/// NOT_FOUND: there is none of this plugin and this tenant.
pub(super) fn no_database(plugin: &str, tenant: &str) -> Error {
    let whose = match tenant {
        "" => "on nobody's behalf".to_owned(),
        tenant => format!("for the tenant {tenant:?}"),
    };
    Error::new(ErrorKind::NotFound, format!("it has no database {whose}")).of(plugin)
}

/// A connection to one database, which one caller has. Dropped, what is open is rolled back.
pub(crate) trait SqlSession: Send {
    /// Runs one statement. Outside of a transaction it is one of its own: all of it has happened, or nothing.
    fn run(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault>;

    /// Runs all statements of a text as a whole.
    fn script(&mut self, script: &Statement<'_>, patience: &Patience) -> Result<Done, Fault>;

    /// Begins a transaction. One that writes waits for others that do.
    fn begin(&mut self, read_only: bool, patience: &Patience) -> Result<()>;

    /// Keeps what the transaction has written: it is on disk then.
    fn commit(&mut self) -> Result<()>;

    /// Undoes what the transaction has written.
    fn rollback(&mut self);

    /// Whether a transaction is open. A statement that fails may have ended it.
    fn in_transaction(&self) -> bool;

    /// Begins a nested transaction, the `depth`-th, from 1.
    fn nest(&mut self, depth: usize) -> Result<()>;

    /// Ends the `depth`-th nested transaction and keeps what it wrote.
    fn keep(&mut self, depth: usize) -> Result<()>;

    /// Ends the `depth`-th nested transaction and those in it and undoes what they wrote.
    fn undo(&mut self, depth: usize) -> Result<()>;

    /// Stops the statement that runs, from any thread, with `error`.
    fn stopper(&self) -> std::sync::Arc<dyn Stopper>;

    /// The migrations that were run and have a number above `after`, in the order of their numbers.
    fn migrations(&mut self, after: u32, patience: &Patience) -> Result<Vec<Applied>>;

    /// Notes a migration, as part of the open transaction.
    fn note_migration(&mut self, applied: &Applied) -> Result<()>;

    /// Creates a table, unless there is one of that name; tells whether it did. Names and columns were checked.
    fn create_table(
        &mut self,
        table: &str,
        columns: &[Column<'_>],
        patience: &Patience,
    ) -> Result<bool, Fault>;

    /// How large the database is and may be.
    fn size(&mut self) -> Result<Size>;
}

/// Stops what runs on a session.
pub(crate) trait Stopper: Send + Sync {
    /// The statement that runs, if one does, ends soon; why is for whoever asks for it to say.
    fn stop(&self);
}

/// A migration that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// Of its name and SQL.
    pub(crate) checksum: [u8; 32],
}
