//! Databases in files of SQLite, one for each (plugin, tenant), in the folder `sql` of the data folder.
//!
//! `place.rs` says where a database lies, `open.rs` how it is opened and what limits it has, `fence.rs` what its SQL may not do,
//! `pool.rs` which connections are open, `gate.rs` whose turn it is to write, `session.rs` runs statements, on the layer that
//! `statements.rs` describes and the boundary brings. `inventory.rs` says which databases there are, `backup.rs` copies one.

mod backup;
mod fault;
mod fence;
mod gate;
mod inventory;
mod open;
mod place;
mod pool;
mod session;
mod statements;

use std::{path::PathBuf, sync::Arc, time::Duration};

use self::statements::OpenStatements;
pub(crate) use self::statements::{Authorizer, Failure, GoOn, Marks, Ran, Shape, Statements, TakeRows};
use self::{backup::Copies, inventory::Inventory, pool::Pool, session::Session};
use super::{BackupPlan, Held, Patience, Progress, SqlBackend, SqlSession};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{clock::Clock, ledger::Durability},
};

/// How databases are kept.
pub(crate) struct SqliteOptions {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// That of the ledger.
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    /// Opens a file on the layer that runs statements.
    pub(crate) statements: OpenStatements,
    /// How many connections may be open, to all databases together.
    pub(crate) connections: usize,
    /// After how long a connection is closed that nobody has.
    pub(crate) idle: Duration,
    /// The most bytes of a value, of a row, and of a text of SQL.
    pub(crate) largest: usize,
    /// The most bytes of temporary tables and files, of one statement or transaction.
    pub(crate) temporary_bytes: u64,
}

/// The back end that is always there.
pub(crate) struct SqliteDatabases {
    pool: Arc<Pool>,
    inventory: Inventory,
    copies: Copies,
}

impl SqliteDatabases {
    pub(crate) fn new(options: SqliteOptions) -> Self {
        let inventory = Inventory::of(&options.data);
        Self { pool: Pool::new(options), inventory, copies: Copies::default() }
    }
}

impl SqlBackend for SqliteDatabases {
    fn session(
        &self,
        scope: &DataScope<'_>,
        limit_bytes: u64,
        patience: &Patience,
    ) -> Result<Box<dyn SqlSession>> {
        Ok(Box::new(Session::new(Pool::take(&self.pool, scope, patience)?, limit_bytes)?))
    }

    fn databases(&self) -> Result<Vec<Held>> {
        Ok(self.inventory.look()?.held)
    }

    fn holds(&self, plugin: &str, tenant: Option<&str>) -> Result<bool> {
        self.inventory.holds(plugin, tenant)
    }

    fn strangers(&self) -> Result<Vec<Error>> {
        Ok(self.inventory.look()?.strangers)
    }

    fn backup(&self, plan: &BackupPlan<'_>, progress: &mut Progress<'_>) -> Result<u64> {
        self.copies.write(&self.pool.options.data, plan, progress)
    }

    fn remove(&self, plugin: &str, tenant: Option<&str>) -> Result<Vec<Held>> {
        let going = self.inventory.of_plugin(plugin, tenant)?;
        self.pool.let_go(plugin, tenant, || {
            if self.copies.any_of(plugin, tenant) {
                let text = format!("a database of plugin {plugin:?} is being copied");
                return Err(Error::new(ErrorKind::Busy, text));
            }
            self.inventory.remove(plugin, going)
        })
    }

    fn tidy(&self, now: Duration) -> Option<Duration> {
        self.pool.tidy(now)
    }

    fn close(&self) {
        self.pool.close();
    }

    fn wait_closed(&self) {
        self.pool.wait_closed();
    }
}
