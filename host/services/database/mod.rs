//! SQL: a database for each (plugin, tenant), which no SQL leads out of.
//!
//! [`Database`] is the front that the tables call: it knows the limits, the same for every back end, whose transaction is
//! whose, and rolls back what is open for too long. [`SqlBackend`] is what a back end does; `sqlite/` is the one that is always
//! there. `own.rs` is what an application and an operator ask for. `transaction.rs` is a transaction and those nested in it, `migrate.rs` brings a database up to date, `patience.rs`
//! says how long anybody waits.

mod backend;
#[cfg(test)]
pub(crate) mod conformance;
mod fault;
mod migrate;
mod own;
mod patience;
mod sqlite;
mod transaction;
mod value;

use std::{
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

pub(crate) use self::{
    backend::{BackupPlan, Held, Progress, SqlBackend, SqlSession},
    fault::Fault,
    migrate::{Migrated, Migration},
    patience::{Caller, Gone, Patience},
    sqlite::{
        Authorizer, Failure, GoOn, Marks, Ran, Shape, SqliteDatabases, SqliteOptions, Statements, TakeRows,
    },
    transaction::Handle,
    value::{Column, ColumnKind, Done, NoRows, OneRow, Rows, Size, Statement, Value, Writes},
};
use self::{own::Own, transaction::Transaction};
use super::clock::{Alarm, Clock};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// What every back end keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqlLimits {
    /// The longest that a statement may take.
    pub(crate) statement: Duration,
    /// The longest that a transaction may be open.
    pub(crate) transaction: Duration,
    /// The most rows that a statement may give.
    pub(crate) rows: u64,
    /// The most bytes that a database may have of whose plugin nothing else is said.
    pub(crate) bytes: u64,
}

/// The databases of one host.
pub(crate) struct Database {
    backend: Arc<dyn SqlBackend>,
    limits: SqlLimits,
    clock: Arc<dyn Clock>,
    watch: Arc<Watch>,
    own: Own,
    /// Started with the first database that is used.
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread looks after: transactions that are open for too long, and databases that nobody uses.
struct Watch {
    alarm: Arc<Alarm>,
    open: Mutex<Vec<Weak<Transaction>>>,
    started: AtomicBool,
    /// It sleeps until somebody rings: when it looked there was no database in use.
    sleeps: AtomicBool,
    /// Until when it waits, in milliseconds of the monotonic clock: no ring is needed for what is over later. While it looks, and
    /// where it waits for a ring only: `u64::MAX`.
    until_ms: AtomicU64,
    ended: AtomicBool,
}

/// Whom a call is made for, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Asks<'a> {
    pub(crate) scope: DataScope<'a>,
    pub(crate) caller: Caller,
    /// How long it may take; none, and anything longer: what the settings say.
    pub(crate) timeout: Option<Duration>,
    /// The most bytes that the database may have; none: what the settings say.
    pub(crate) limit_bytes: Option<u64>,
}

impl Database {
    pub(crate) fn new(backend: Box<dyn SqlBackend>, limits: SqlLimits, clock: Arc<dyn Clock>) -> Self {
        let watch = Watch {
            alarm: clock.alarm(),
            open: Mutex::default(),
            started: AtomicBool::new(false),
            sleeps: AtomicBool::new(false),
            until_ms: AtomicU64::new(u64::MAX),
            ended: AtomicBool::new(false),
        };
        Self {
            backend: backend.into(),
            limits,
            clock,
            watch: Arc::new(watch),
            own: Own::default(),
            keeper: Mutex::default(),
        }
    }

    /// The most rows that a statement may give that asks for `wanted`; 0: it does not say.
    pub(crate) fn max_rows(&self, wanted: u64) -> u64 {
        if wanted == 0 { self.limits.rows } else { wanted.min(self.limits.rows) }
    }

    /// Runs a statement, in `within` or by itself.
    pub(crate) fn run(
        &self,
        asks: &Asks<'_>,
        within: Option<&Handle>,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
    ) -> Result<Done, Fault> {
        self.with(asks, within, statement.writes, |session, writes, patience| {
            session.run(&Statement { writes, ..*statement }, rows, patience)
        })
    }

    /// Runs a statement that gives one row. NOT_FOUND: it gives none; TOO_LARGE: it gives more. Then nothing stays of it.
    pub(crate) fn run_one(
        &self,
        asks: &Asks<'_>,
        within: Option<&Handle>,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
    ) -> Result<Done, Fault> {
        self.run(asks, within, &Statement { max_rows: 1, ..*statement }, &mut OneRow(rows))
    }

    /// Runs all statements of a text as a whole, in `within` or by themselves.
    pub(crate) fn script(
        &self,
        asks: &Asks<'_>,
        within: Option<&Handle>,
        sql: &str,
        writes: Writes,
    ) -> Result<Done, Fault> {
        let max_rows = self.limits.rows;
        self.with(asks, within, writes, |session, writes, patience| {
            session.script(&Statement { sql, values: &[], max_rows, writes }, patience)
        })
    }

    /// Creates a table, unless there is one of that name; tells whether it did. Names and columns were checked.
    pub(crate) fn create_table(
        &self,
        asks: &Asks<'_>,
        within: Option<&Handle>,
        table: &str,
        columns: &[Column<'_>],
    ) -> Result<bool, Fault> {
        self.with(asks, within, Writes::Allowed, |session, writes, patience| {
            if writes != Writes::Allowed {
                return Err(writes.refusal().into());
            }
            session.create_table(table, columns, patience)
        })
    }

    /// Begins a transaction, or one nested in `outer`. `timeout`: after how long it is rolled back.
    pub(crate) fn begin(
        &self,
        asks: &Asks<'_>,
        outer: Option<&Handle>,
        read_only: bool,
        timeout: Option<Duration>,
    ) -> Result<Handle> {
        let patience = self.patience(asks);
        if let Some(outer) = outer {
            return outer.nest(&patience);
        }
        let mut session = self.session(asks, &patience)?;
        session.begin(read_only, &patience)?;
        let longest = self.limits.transaction;
        let until = self.clock.monotonic() + timeout.map_or(longest, |wanted| wanted.min(longest));
        let transaction =
            Transaction::new(session, asks.scope.tenant_number(), read_only, until, Arc::clone(&self.clock));
        {
            let mut open = self.watch.open.lock();
            open.retain(|transaction| transaction.strong_count() > 0);
            open.push(Arc::downgrade(&transaction));
        }
        if millis(until) < self.watch.until_ms.load(SeqCst) {
            self.watch.alarm.ring();
        }
        Ok(Handle::outermost(transaction))
    }

    /// Ends a transaction and keeps what it wrote.
    pub(crate) fn commit(&self, asks: &Asks<'_>, handle: &Handle) -> Result<()> {
        handle.commit(&self.patience(asks))
    }

    /// Brings a database up to date: runs what it has not seen of its history. `dry`: only tells.
    pub(crate) fn migrate(
        &self,
        asks: &Asks<'_>,
        migrations: &[Migration<'_>],
        writes: Writes,
        dry: bool,
    ) -> (Migrated, Result<(), Fault>) {
        let mut migrated = Migrated::default();
        let patience = || Patience {
            until: self.clock.monotonic() + asks.timeout.unwrap_or(migrate::LONGEST),
            caller: asks.caller,
        };
        let open = |patience: &Patience| self.session(asks, patience);
        let done = migrate::run(&open, migrations, writes, dry, &patience, &mut migrated);
        (migrated, done)
    }

    /// How large a database is and may be.
    pub(crate) fn size(&self, asks: &Asks<'_>) -> Result<Size> {
        let patience = self.patience(asks);
        self.session(asks, &patience)?.size()
    }

    /// Takes no more, rolls back what is open, and closes all; waits for what runs.
    pub(crate) fn close(&self) {
        self.end();
        self.backend.wait_closed();
    }

    fn end(&self) {
        self.stop_own();
        self.watch.ended.store(true, Relaxed);
        self.watch.alarm.ring();
        for transaction in self.watch.open.lock().drain(..).filter_map(|open| open.upgrade()) {
            transaction.doom(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        self.backend.close();
        if let Some(keeper) = self.keeper.lock().take() {
            // A panic there has been written to stderr.
            let _ = keeper.join();
        }
    }

    fn with<T>(
        &self,
        asks: &Asks<'_>,
        within: Option<&Handle>,
        writes: Writes,
        work: impl FnOnce(&mut dyn SqlSession, Writes, &Patience) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let patience = self.patience(asks);
        match within {
            Some(handle) => handle.within(writes, &patience, work),
            None => work(&mut *self.session(asks, &patience)?, writes, &patience),
        }
    }

    fn session(&self, asks: &Asks<'_>, patience: &Patience) -> Result<Box<dyn SqlSession>> {
        if !self.watch.started.load(Relaxed) {
            self.start()?;
        }
        let limit_bytes = asks.limit_bytes.unwrap_or(self.limits.bytes);
        let session = self.backend.session(&asks.scope, limit_bytes, patience)?;
        if self.watch.sleeps.load(SeqCst) {
            self.watch.alarm.ring();
        }
        Ok(session)
    }

    fn patience(&self, asks: &Asks<'_>) -> Patience {
        let longest = self.limits.statement;
        // Whoever asks for no certain time gets it by the cheap clock: some milliseconds less.
        let until = match asks.timeout {
            Some(wanted) => self.clock.monotonic() + wanted.min(longest),
            None => self.clock.coarse() + longest,
        };
        Patience { until, caller: asks.caller }
    }

    #[cold]
    fn start(&self) -> Result<()> {
        let mut keeper = self.keeper.lock();
        if keeper.is_some() || self.watch.ended.load(Relaxed) {
            return Ok(());
        }
        let (watch, clock, backend) =
            (Arc::clone(&self.watch), Arc::clone(&self.clock), Arc::clone(&self.backend));
        let thread = thread::Builder::new()
            .name("pintle-database".into())
            .spawn(move || watch.run(&*clock, &*backend))
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("the databases' thread cannot be started: {error}"),
                )
            })?;
        *keeper = Some(thread);
        self.watch.started.store(true, Relaxed);
        Ok(())
    }
}

impl Watch {
    fn run(&self, clock: &dyn Clock, backend: &dyn SqlBackend) {
        while !self.ended.load(Relaxed) {
            let now = clock.monotonic();
            // Both are said before it looks: whoever opens one afterwards rings.
            self.until_ms.store(u64::MAX, SeqCst);
            self.sleeps.store(true, SeqCst);
            let tidied = backend.tidy(now);
            if tidied.is_some() {
                self.sleeps.store(false, SeqCst);
            }
            let next = [self.end_overdue(now), tidied].into_iter().flatten().min();
            self.until_ms.store(next.map_or(u64::MAX, millis), SeqCst);
            clock.wait(&self.alarm, next);
        }
    }

    /// Rolls back what is open for too long; tells when the next one will be.
    fn end_overdue(&self, now: Duration) -> Option<Duration> {
        let open: Vec<_> = {
            let mut open = self.open.lock();
            open.retain(|transaction| transaction.strong_count() > 0);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        let (overdue, rest): (Vec<_>, Vec<_>) = open
            .into_iter()
            .filter(|transaction| transaction.is_open())
            .partition(|transaction| transaction.until <= now);
        for transaction in overdue {
            transaction.doom(Error::new(
                ErrorKind::Timeout,
                "the transaction was open for too long and was rolled back: ask for more time when it begins, or do less in it",
            ));
        }
        rest.iter().map(|transaction| transaction.until).min()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Database {
    fn drop(&mut self) {
        // Whoever still has a session may be the one that drops this.
        self.end();
    }
}

impl Writes {
    /// Why a statement that would write is not run.
    pub(super) fn refusal(self) -> Error {
        match self {
            Self::Allowed | Self::ReadOnly => Error::new(
                ErrorKind::InvalidArgument,
                "the statement writes, and the transaction that it is in was begun to read only",
            ),
            Self::Preparing => Error::new(
                ErrorKind::Unavailable,
                "a plugin does not act in `load` and `restore`: write from `enable` on",
            ),
            Self::NotGranted => Error::new(
                ErrorKind::Denied,
                "the statement writes, and only database.query is granted: add \"execute\" to the methods of \"database\" that the manifest and the host's settings list",
            ),
            Self::LooksOnly => {
                Error::new(ErrorKind::Denied, "the statement writes, and only reading was asked for")
            }
        }
    }
}
