//! What an application and an operator ask of databases: statements of their own behind the same fence, with deadlines of their own,
//! and what is about whole databases.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Asks, Database,
    backend::{BackupPlan, Held, Progress, SqlSession, Stopper, no_database},
    fault::Fault,
    patience::{Caller, Patience},
    value::{Done, Rows, Size, Statement, Writes},
};
use crate::error::{Error, ErrorKind, Result};

/// The longest that anybody may ask for: it can be added to every clock.
const A_YEAR: Duration = Duration::from_secs(366 * 86_400);

/// The statements of applications and operators that run.
#[derive(Default)]
pub(super) struct Own {
    /// The host stops: there are to be none.
    over: AtomicBool,
    running: Mutex<Vec<Arc<dyn Stopper>>>,
}

/// A statement that runs. Forgotten when it is dropped, before its connection is somebody else's.
struct Runs<'a> {
    own: &'a Own,
    stopper: Arc<dyn Stopper>,
}

impl Own {
    fn begin(&self, stopper: Arc<dyn Stopper>) -> Result<Runs<'_>> {
        self.running.lock().push(Arc::clone(&stopper));
        let runs = Runs { own: self, stopper };
        self.going_on()?;
        Ok(runs)
    }

    fn going_on(&self) -> Result<()> {
        match self.over.load(SeqCst) {
            true => Err(Error::new(ErrorKind::Stopping, "the host is stopping or has stopped")),
            false => Ok(()),
        }
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        self.own.running.lock().retain(|other| !Arc::ptr_eq(other, &self.stopper));
    }
}

impl Database {
    /// Runs a statement by itself. Its deadline is that of `asks`, also where the settings have a shorter one. NOT_FOUND: it only
    /// looks, and there is no database.
    pub(crate) fn run_own(
        &self,
        asks: &Asks<'_>,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
    ) -> Result<Done, Fault> {
        self.own(asks, statement.writes, |session, patience| session.run(statement, rows, patience))
    }

    /// Runs all statements of a text as a whole, as `run_own` does.
    pub(crate) fn script_own(&self, asks: &Asks<'_>, sql: &str, writes: Writes) -> Result<Done, Fault> {
        let script = Statement { sql, values: &[], max_rows: self.max_rows(0), writes };
        self.own(asks, writes, |session, patience| session.script(&script, patience))
    }

    /// How large a database is and may be. NOT_FOUND: there is none.
    pub(crate) fn size_own(&self, asks: &Asks<'_>) -> Result<Size> {
        Ok(self.own(asks, Writes::LooksOnly, |session, _| Ok(session.size()?))?)
    }

    /// The databases that there are, in no order.
    pub(crate) fn databases(&self) -> Result<Vec<Held>> {
        self.backend.databases()
    }

    /// What lies where databases lie and is none, or is damaged.
    pub(crate) fn strangers(&self) -> Result<Vec<Error>> {
        self.backend.strangers()
    }

    /// Whether a plugin has a database.
    pub(crate) fn holds(&self, plugin: &str) -> Result<bool> {
        self.backend.holds(plugin, None)
    }

    /// Writes a copy of a database to a new file, while it is in use; tells its bytes.
    #[cfg(test)]
    pub(crate) fn backup(&self, plugin: &str, tenant: &str, to: &std::path::Path) -> Result<u64> {
        self.copy(&BackupPlan { plugin, tenant, to, overwrite: false }, &mut |_, _| Ok(()))
    }

    /// The same, in one way or another; `progress` is told how far it is, and can end it.
    pub(crate) fn copy(&self, plan: &BackupPlan<'_>, progress: &mut Progress<'_>) -> Result<u64> {
        let mut asked = |done, of| {
            self.own.going_on()?;
            progress(done, of)
        };
        self.backend.backup(plan, &mut asked)
    }

    /// Removes the databases of a plugin, or that of one tenant, and tells what there was. BUSY: one is in use.
    pub(crate) fn remove(&self, plugin: &str, tenant: Option<&str>) -> Result<Vec<Held>> {
        self.own.going_on()?;
        self.backend.remove(plugin, tenant)
    }

    /// How many statements of applications and operators run.
    #[cfg(test)]
    pub(crate) fn running_own(&self) -> usize {
        self.own.running.lock().len()
    }

    /// Ends the statements of applications and operators, with STOPPING, and takes no more.
    pub(crate) fn stop_own(&self) {
        self.own.over.store(true, SeqCst);
        for running in &*self.own.running.lock() {
            running.stop();
        }
    }

    fn own<T>(
        &self,
        asks: &Asks<'_>,
        writes: Writes,
        work: impl FnOnce(&mut dyn SqlSession, &Patience) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let timeout = asks.timeout.unwrap_or(self.limits.statement).min(A_YEAR);
        let patience = Patience { until: self.clock.monotonic() + timeout, caller: Caller::PATIENT };
        self.own.going_on()?;
        // Whoever only looks leaves no empty database behind.
        if writes == Writes::LooksOnly
            && !self.backend.holds(asks.scope.id, Some(asks.scope.tenant()?.name()))?
        {
            return Err(no_database(asks.scope.id, asks.scope.tenant()?.name()).into());
        }
        let mut session = self.session(asks, &patience)?;
        let runs = self.own.begin(session.stopper())?;
        let done = work(&mut *session, &patience);
        drop(runs);
        match done {
            Err(fault) if fault.kind() == ErrorKind::Cancelled => {
                Err(self.own.going_on().err().map_or(fault, Into::into))
            }
            done => done,
        }
    }
}
