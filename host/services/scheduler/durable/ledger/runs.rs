//! What becomes of runs: the writes.

use rusqlite::{OptionalExtension, params};

use super::{
    super::super::store::{Claim, HISTORY, Lease, OpenRun, RESULT_BYTES, RunEnd, RunKind, Wanted},
    column, jobs,
    row::{self, open_columns},
};
use crate::{
    error::{Error, ErrorKind},
    services::ledger::{Fault, Transaction, Write},
};

/// Takes away what is no part of a job's history any more.
pub(super) const TRIM: &str = "DELETE FROM scheduler_runs WHERE job = ?1 AND number <= ?2";

/// Claims a run.
pub(super) struct ClaimRun {
    pub(super) wanted: Wanted,
    pub(super) now_ms: i64,
    pub(super) until_ms: i64,
}

impl Write for ClaimRun {
    type Answer = Claim;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Claim, Fault> {
        let Wanted { job, due_ms, kind, next_ms, passed_over } = self.wanted;
        let (job, passed_over) = (column(job), column(passed_over));
        let granted = match kind {
            RunKind::Requested => transaction
                .prepare("UPDATE scheduler_jobs SET runs = runs + 1, skipped = skipped + ?2 WHERE job = ?1")?
                .execute(params![job, passed_over])?,
            RunKind::Scheduled | RunKind::Missed => transaction
                .prepare(
                    "UPDATE scheduler_jobs
                    SET next_ms = ?3, last_ms = ?4, runs = runs + 1, skipped = skipped + ?2
                    WHERE job = ?1 AND paused = 0 AND next_ms <= ?4",
                )?
                .execute(params![job, passed_over, next_ms, due_ms])?,
        };
        if granted == 0 {
            return refused(transaction, job);
        }
        Ok(Claim::Granted(Lease { run: self.begin(transaction, job)?, fence: 1 }))
    }

    fn size(&self) -> usize {
        0
    }
}

impl ClaimRun {
    /// The number of the new run. Where another run of the job has its due time it gets the next one that is free.
    fn begin(&self, transaction: &Transaction<'_>, job: i64) -> Result<u64, Fault> {
        let mut insert = transaction.prepare(
            "INSERT INTO scheduler_runs (job, due_ms, kind, fence, attempts, started_ms, until_ms)
            VALUES (?1, ?2, ?3, 1, 1, ?4, ?5) ON CONFLICT (job, due_ms) DO NOTHING RETURNING run",
        )?;
        let mut due_ms = self.wanted.due_ms;
        loop {
            let run = insert
                .query_row(
                    params![job, due_ms, row::kind(self.wanted.kind), self.now_ms, self.until_ms],
                    |row| row.get::<_, i64>(0),
                )
                .optional()?;
            if let Some(run) = run {
                return Ok(run.cast_unsigned());
            }
            due_ms = due_ms.checked_add(1).ok_or_else(|| {
                Error::new(ErrorKind::OutOfRange, "no time is left at which a run could be due")
            })?;
        }
    }
}

/// Why a run by schedule is not granted.
fn refused(transaction: &Transaction<'_>, job: i64) -> Result<Claim, Fault> {
    let found = transaction
        .prepare("SELECT paused, next_ms FROM scheduler_jobs WHERE job = ?1")?
        .query_row([job], |row| Ok((row.get::<_, i64>(0)? != 0, row.get(1)?)))
        .optional()?;
    Ok(match found {
        None => Claim::Gone,
        Some((true, _)) => Claim::Paused,
        Some((false, next_ms)) => Claim::Taken { next_ms },
    })
}

/// Another attempt begins, or the last one has failed and the next has its time.
pub(super) struct Attempt {
    pub(super) lease: Lease,
    /// How many attempts begin.
    pub(super) more: u32,
    pub(super) until_ms: i64,
}

impl Write for Attempt {
    /// Whether the run is still the caller's.
    type Answer = bool;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let Lease { run, fence } = self.lease;
        let done = transaction
            .prepare(
                "UPDATE scheduler_runs SET attempts = attempts + ?3, until_ms = ?4
                WHERE run = ?1 AND fence = ?2 AND until_ms IS NOT NULL",
            )?
            .execute(params![column(run), column(fence), self.more, self.until_ms])?;
        Ok(done > 0)
    }

    fn size(&self) -> usize {
        0
    }
}

/// A run has ended.
pub(super) struct Finish {
    pub(super) lease: Lease,
    pub(super) end: RunEnd,
    pub(super) follow: Vec<i64>,
    pub(super) once: bool,
}

impl Write for Finish {
    /// Whether it was still the caller's.
    type Answer = bool;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let Lease { run, fence } = self.lease;
        let job = transaction
            .prepare("SELECT job FROM scheduler_runs WHERE run = ?1 AND fence = ?2 AND until_ms IS NOT NULL")?
            .query_row([column(run), column(fence)], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(job) = job else { return Ok(false) };
        let Some(next_ms) = self.note(transaction, job)? else {
            // A run without its job: the file was damaged, and nobody could ever end it.
            jobs::forget(transaction, job)?;
            return Ok(false);
        };
        if self.once && next_ms.is_none() {
            jobs::forget(transaction, job)?;
        }
        if self.end.error.is_none() {
            let mut follow = transaction.prepare(
                "UPDATE scheduler_jobs SET next_ms = ?2 WHERE job = ?1 AND next_ms IS NULL AND paused = 0",
            )?;
            for job in &self.follow {
                follow.execute([*job, self.end.ended_ms])?;
            }
        }
        Ok(true)
    }

    fn size(&self) -> usize {
        self.end.result.len()
    }
}

impl Finish {
    /// Makes the run the newest one of the job's history; answers when the job is due next. None: there is no such job.
    fn note(&self, transaction: &Transaction<'_>, job: i64) -> Result<Option<Option<i64>>, Fault> {
        let RunEnd { ended_ms, error, result } = &self.end;
        let found = transaction
            .prepare(
                "UPDATE scheduler_jobs SET ended = ended + 1, failed = failed + ?2
                WHERE job = ?1 RETURNING ended, next_ms",
            )?
            .query_row(params![job, error.is_some()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
            .optional()?;
        let Some((number, next_ms)) = found else { return Ok(None) };
        let result = &result[..result.len().min(RESULT_BYTES)];
        transaction
            .prepare(
                "UPDATE scheduler_runs SET until_ms = NULL, number = ?2, ended_ms = ?3, error = ?4, result = ?5
                WHERE run = ?1",
            )?
            .execute(params![
                column(self.lease.run),
                number,
                ended_ms,
                error.map(ErrorKind::name),
                result
            ])?;
        transaction.prepare(TRIM)?.execute([job, number.saturating_sub(HISTORY as i64)])?;
        Ok(Some(next_ms))
    }
}

/// Takes over a run whose lease has ended.
pub(super) struct TakeOver {
    pub(super) run: i64,
    pub(super) now_ms: i64,
    pub(super) until_ms: i64,
}

impl Write for TakeOver {
    type Answer = Option<OpenRun>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        const TAKE: &str = concat!(
            "UPDATE scheduler_runs SET fence = fence + 1, attempts = attempts + 1, until_ms = ?3
            WHERE run = ?1 AND until_ms <= ?2 RETURNING ",
            open_columns!()
        );
        let taken = transaction
            .prepare(TAKE)?
            .query_row([self.run, self.now_ms, self.until_ms], |row| Ok(row::open_run(row)))
            .optional()?;
        Ok(taken.flatten())
    }

    fn size(&self) -> usize {
        0
    }
}
