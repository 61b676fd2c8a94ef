//! The job store on the ledger: its tables, and who answers what.
//!
//! What changes with every run lies apart from what was asked for: the data of a job, up to 64 KiB, is written when it is scheduled and
//! not again. To claim a run is one update and one insert, to finish it two updates and a delete, each found by an index, the
//! earliest end of a lease too. Nothing asks the store for the earliest due time: an engine knows all jobs. `jobs.rs` writes jobs, `runs.rs` what
//! becomes of their runs, `read.rs` reads; `row.rs` knows the columns.

mod jobs;
mod read;
mod row;
mod runs;
#[cfg(test)]
pub(super) mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use self::{
    jobs::{Forget, PassOver, Put, SetPaused},
    runs::{Attempt, ClaimRun, Finish, TakeOver},
};
use super::super::store::{
    Claim, EndedRun, JobName, JobRecord, JobSpec, JobStore, Lease, Of, OpenRun, RunEnd, Wanted,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::ledger::{Fault, Ledger, Schema, Write},
};

/// The tables. Of a run that has not ended `until_ms` is when its lease ends; of one that has, `number` says which of its job's runs that have
/// ended it is, as `ended` of the job counts them, and `error` is null if it ended OK. `kind`, `form`, `overlap` and `missed` are numbers that
/// `row.rs` knows.
pub(crate) const SCHEMA: Schema = Schema {
    service: "scheduler",
    steps: &["
        CREATE TABLE scheduler_jobs (
            job INTEGER PRIMARY KEY AUTOINCREMENT,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            paused INTEGER NOT NULL,
            next_ms INTEGER,
            last_ms INTEGER,
            runs INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            skipped INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            UNIQUE (plugin, tenant, name)
        ) STRICT;
        CREATE TABLE scheduler_specs (
            job INTEGER PRIMARY KEY,
            form INTEGER NOT NULL,
            rule TEXT NOT NULL,
            zone TEXT NOT NULL,
            span_ms INTEGER NOT NULL,
            overlap INTEGER NOT NULL,
            missed INTEGER NOT NULL,
            start_deadline_ms INTEGER NOT NULL,
            jitter_ms INTEGER NOT NULL,
            timeout_ms INTEGER NOT NULL,
            backoff_ms INTEGER NOT NULL,
            retries INTEGER NOT NULL,
            data BLOB NOT NULL
        ) STRICT;
        CREATE TABLE scheduler_runs (
            run INTEGER PRIMARY KEY AUTOINCREMENT,
            job INTEGER NOT NULL,
            due_ms INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            fence INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            started_ms INTEGER NOT NULL,
            until_ms INTEGER,
            number INTEGER,
            ended_ms INTEGER,
            error TEXT,
            result BLOB,
            UNIQUE (job, due_ms)
        ) STRICT;
        CREATE INDEX scheduler_open ON scheduler_runs (until_ms) WHERE until_ms IS NOT NULL;
        CREATE INDEX scheduler_ended ON scheduler_runs (job, number) WHERE number IS NOT NULL;
        CREATE TABLE scheduler_origins (
            origin TEXT PRIMARY KEY,
            at_ms INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX scheduler_origins_at ON scheduler_origins (at_ms);
    "],
};

/// The store that is always there.
pub(crate) struct LedgerStore {
    ledger: Arc<Ledger>,
    exclusive: bool,
    closed: AtomicBool,
}

impl LedgerStore {
    /// The ledger must have been opened with [`SCHEMA`]. `exclusive`: no other engine uses it, as in a data folder that is locked.
    pub(crate) fn new(ledger: Arc<Ledger>, exclusive: bool) -> Self {
        Self { ledger, exclusive, closed: AtomicBool::new(false) }
    }

    fn open(&self) -> Result<&Ledger> {
        if self.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the store of durable jobs has been closed"));
        }
        Ok(&self.ledger)
    }

    fn change<W: Write>(&self, write: W) -> Result<W::Answer> {
        self.open()?.write(write)
    }

    fn look<T>(&self, look: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault>) -> Result<T> {
        self.open()?.read(look)
    }
}

impl JobStore for LedgerStore {
    fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    fn put(
        &self,
        name: &JobName,
        spec: &JobSpec,
        next_ms: Option<i64>,
        origin: &str,
        most: u64,
    ) -> Result<Option<JobRecord>> {
        // Plugins schedule at each start what they have scheduled before, and nothing of that has to be written.
        if origin.is_empty()
            && let Some(there) = self.look(|ledger| read::named(ledger, name))?
            && there.spec == *spec
        {
            return Ok(Some(there));
        }
        let (name, spec, origin) = (name.clone(), spec.clone(), origin.into());
        self.change(Put { name, spec, next_ms, origin, most })
    }

    fn jobs(&self, of: &Of<'_>) -> Result<Vec<JobRecord>> {
        self.look(|ledger| read::jobs(ledger, of))
    }

    fn forget(&self, of: &Of<'_>) -> Result<u64> {
        let owned = |text: Option<&str>| text.map(Into::into);
        self.change(Forget { plugin: owned(of.plugin), tenant: owned(of.tenant), name: owned(of.name) })
    }

    fn set_paused(&self, job: u64, paused: bool, next_ms: Option<i64>) -> Result<bool> {
        self.change(SetPaused { job: column(job), paused, next_ms })
    }

    fn claim(&self, wanted: &Wanted, now_ms: i64, until_ms: i64) -> Result<Claim> {
        self.change(ClaimRun { wanted: *wanted, now_ms, until_ms })
    }

    fn pass_over(&self, job: u64, skipped: u64, next_ms: Option<i64>) -> Result<()> {
        self.change(PassOver { job: column(job), skipped: column(skipped), next_ms })
    }

    fn begin_again(&self, lease: &Lease, until_ms: i64) -> Result<bool> {
        self.change(Attempt { lease: *lease, more: 1, until_ms })
    }

    fn postpone(&self, lease: &Lease, until_ms: i64) -> Result<bool> {
        self.change(Attempt { lease: *lease, more: 0, until_ms })
    }

    fn finish(&self, lease: &Lease, end: &RunEnd, follow: &[u64], once: bool) -> Result<bool> {
        let follow = follow.iter().copied().map(column).collect();
        self.change(Finish { lease: *lease, end: end.clone(), follow, once })
    }

    fn open_runs(&self, most: usize) -> Result<Vec<OpenRun>> {
        self.look(|ledger| read::open_runs(ledger, most))
    }

    fn take_over(&self, run: u64, now_ms: i64, until_ms: i64) -> Result<Option<OpenRun>> {
        self.change(TakeOver { run: column(run), now_ms, until_ms })
    }

    fn history(&self, job: u64) -> Result<Vec<EndedRun>> {
        self.look(|ledger| read::history(ledger, column(job)))
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

/// A number as a column has it: SQLite knows no 64 bits without a sign. None is ever that high.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
