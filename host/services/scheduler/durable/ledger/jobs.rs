//! How jobs come, stand and go: the writes.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::{
    super::super::store::{JobName, JobRecord, JobSpec, Keeping, Of, Timing},
    column, read,
    row::{self, Form},
};
use crate::{
    error::{Error, ErrorKind},
    services::ledger::{Fault, Transaction, Write},
};

/// How long it is known who has asked for a job.
const ORIGINS_MS: i64 = 24 * 60 * 60 * 1_000;

/// The most origins that one write forgets: more than it adds, so that they do not pile up.
pub(super) const MOST_ORIGINS: i64 = 64;

/// The origins that were written up to a time, the oldest first.
pub(super) const OLD_ORIGINS: &str =
    "SELECT origin FROM scheduler_origins WHERE at_ms <= ?1 ORDER BY at_ms LIMIT ?2";

/// Schedules a job.
pub(super) struct Put {
    pub(super) name: JobName,
    pub(super) spec: JobSpec,
    pub(super) next_ms: Option<i64>,
    /// Empty: nobody who asks twice.
    pub(super) origin: Box<str>,
    pub(super) most: u64,
}

impl Write for Put {
    type Answer = Option<JobRecord>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        if !self.origin.is_empty() && !self.asks_first(transaction)? {
            return Ok(None);
        }
        match self.there(transaction)? {
            Some((job, timing)) => self.replace(transaction, job, timing)?,
            None => self.add(transaction)?,
        }
        let JobName { plugin, tenant, name } = &self.name;
        let record = transaction
            .prepare(read::NAMED)?
            .query_row(params![plugin, tenant, name], |row| Ok(row::record(row)))?;
        let damaged = || {
            let text = format!("the durable job {name:?} cannot be read");
            Error::new(ErrorKind::Unavailable, text).mend("forget it, then schedule it again")
        };
        Ok(Some(record.ok_or_else(damaged)?))
    }

    fn size(&self) -> usize {
        self.spec.data.len()
    }
}

impl Put {
    /// Notes the origin; false: it is known.
    fn asks_first(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let now_ms = transaction.now_ms();
        let long_ago = now_ms.saturating_sub(ORIGINS_MS);
        let noted = transaction
            .prepare(
                "INSERT INTO scheduler_origins (origin, at_ms) VALUES (?1, ?2)
                ON CONFLICT (origin) DO UPDATE SET at_ms = ?2 WHERE at_ms <= ?3",
            )?
            .execute(params![self.origin, now_ms, long_ago])?;
        if noted == 0 {
            return Ok(false);
        }
        let old = transaction
            .prepare(OLD_ORIGINS)?
            .query_map([long_ago, MOST_ORIGINS], |row| row.get::<_, String>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let mut forget = transaction.prepare("DELETE FROM scheduler_origins WHERE origin = ?1")?;
        for origin in old {
            forget.execute([origin])?;
        }
        Ok(true)
    }

    /// The job of this name and its timing; none if that is damaged.
    fn there(&self, transaction: &Transaction<'_>) -> Result<Option<(i64, Option<Timing>)>, Fault> {
        let JobName { plugin, tenant, name } = &self.name;
        let found = transaction
            .prepare(
                "SELECT j.job, form, rule, zone, span_ms
                FROM scheduler_jobs j LEFT JOIN scheduler_specs s ON s.job = j.job
                WHERE plugin = ?1 AND tenant = ?2 AND name = ?3",
            )?
            .query_row(params![plugin, tenant, name], |row| Ok((row.get(0)?, row::timing(row, 1))))
            .optional()?;
        Ok(found)
    }

    fn replace(&self, transaction: &Transaction<'_>, job: i64, timing: Option<Timing>) -> Result<(), Fault> {
        if timing.as_ref() != Some(&self.spec.timing) {
            transaction
                .prepare("UPDATE scheduler_jobs SET paused = 0, next_ms = ?2, last_ms = NULL WHERE job = ?1")?
                .execute(params![job, self.next_ms])?;
        }
        self.write_spec(transaction, job)
    }

    fn add(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let JobName { plugin, tenant, name } = &self.name;
        let there = transaction
            .prepare("SELECT count(*) FROM scheduler_jobs WHERE plugin = ?1")?
            .query_row([plugin], |row| row.get::<_, i64>(0))?;
        if there >= column(self.most) {
            let text = format!("{there} durable jobs are there, and at most {} are allowed", self.most);
            let mend = "forget those that are needed no more";
            return Err(Error::new(ErrorKind::Quota, text).of(Arc::clone(plugin)).mend(mend).into());
        }
        let job = transaction
            .prepare(
                "INSERT INTO scheduler_jobs
                    (plugin, tenant, name, paused, next_ms, runs, failed, skipped, ended)
                VALUES (?1, ?2, ?3, 0, ?4, 0, 0, 0, 0)",
            )?
            .insert(params![plugin, tenant, name, self.next_ms])?;
        self.write_spec(transaction, job)
    }

    fn write_spec(&self, transaction: &Transaction<'_>, job: i64) -> Result<(), Fault> {
        let JobSpec { timing, keeping, data } = &self.spec;
        let Keeping { start_deadline_ms, jitter_ms, timeout_ms, backoff_ms, retries, .. } = keeping;
        let Form { form, rule, zone, span_ms } = timing.into();
        transaction
            .prepare(
                "INSERT OR REPLACE INTO scheduler_specs (job, form, rule, zone, span_ms, overlap, missed,
                    start_deadline_ms, jitter_ms, timeout_ms, backoff_ms, retries, data)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                job,
                form,
                rule,
                zone,
                span_ms,
                row::overlap(keeping.overlap),
                row::missed(keeping.missed),
                start_deadline_ms,
                jitter_ms,
                timeout_ms,
                backoff_ms,
                retries,
                &**data,
            ])?;
        Ok(())
    }
}

/// Pauses a job, or lets it go on.
pub(super) struct SetPaused {
    pub(super) job: i64,
    pub(super) paused: bool,
    pub(super) next_ms: Option<i64>,
}

impl Write for SetPaused {
    /// Whether it is there.
    type Answer = bool;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let done = transaction
            .prepare("UPDATE scheduler_jobs SET paused = ?2, next_ms = ?3 WHERE job = ?1")?
            .execute(params![self.job, self.paused, self.next_ms])?;
        Ok(done > 0)
    }

    fn size(&self) -> usize {
        0
    }
}

/// Gives up due times.
pub(super) struct PassOver {
    pub(super) job: i64,
    pub(super) skipped: i64,
    pub(super) next_ms: Option<i64>,
}

impl Write for PassOver {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        transaction
            .prepare(
                "UPDATE scheduler_jobs SET next_ms = ?2, skipped = skipped + ?3
                WHERE job = ?1 AND next_ms IS NOT NULL AND (?2 IS NULL OR next_ms < ?2)",
            )?
            .execute(params![self.job, self.next_ms, self.skipped])?;
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

/// Forgets jobs, and all that is known of them.
pub(super) struct Forget {
    pub(super) plugin: Option<Box<str>>,
    pub(super) tenant: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
}

impl Write for Forget {
    /// How many there were.
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let Self { plugin, tenant, name } = self;
        let of = Of { plugin: plugin.as_deref(), tenant: tenant.as_deref(), name: name.as_deref() };
        let jobs = transaction
            .prepare(&read::of_these(&of, "SELECT job FROM scheduler_jobs", ""))?
            .query_map(params![plugin, tenant, name], |row| row.get::<_, i64>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for job in &jobs {
            forget(transaction, *job)?;
        }
        Ok(jobs.len() as u64)
    }

    fn size(&self) -> usize {
        0
    }
}

/// Forgets a job with all of its runs.
pub(super) fn forget(transaction: &Transaction<'_>, job: i64) -> Result<(), Fault> {
    for statement in [
        "DELETE FROM scheduler_jobs WHERE job = ?1",
        "DELETE FROM scheduler_specs WHERE job = ?1",
        "DELETE FROM scheduler_runs WHERE job = ?1",
    ] {
        transaction.prepare(statement)?.execute([job])?;
    }
    Ok(())
}
