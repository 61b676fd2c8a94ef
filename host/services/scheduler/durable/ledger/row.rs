//! Jobs and runs as the columns of tables, and back. What cannot be read is damaged: it is passed over, and takes nothing else with it.

use std::sync::Arc;

use rusqlite::Row;

use super::super::super::{
    Overlap,
    store::{
        EndedRun, JobName, JobRecord, JobSpec, Keeping, Lease, Missed, OpenRun, RunEnd, RunKind, Timing,
    },
};
use crate::error::ErrorKind;

/// As a statement selects a [`JobRecord`]; `jobs` and `specs` must be joined.
macro_rules! select_jobs {
    () => {
        "SELECT j.job, plugin, tenant, name, paused, next_ms, last_ms, runs, failed, skipped,
            form, rule, zone, span_ms, overlap, missed, start_deadline_ms, jitter_ms, timeout_ms, backoff_ms, retries, data
        FROM scheduler_jobs j JOIN scheduler_specs s ON s.job = j.job "
    };
}
pub(super) use select_jobs;

/// The columns of an [`OpenRun`].
macro_rules! open_columns {
    () => {
        "run, job, due_ms, kind, fence, attempts, started_ms, until_ms"
    };
}
pub(super) use open_columns;

/// The columns of an [`EndedRun`].
macro_rules! ended_columns {
    () => {
        "run, due_ms, kind, fence, attempts, started_ms, ended_ms, error, result"
    };
}
pub(super) use ended_columns;

/// A timing in columns.
pub(super) struct Form<'a> {
    pub(super) form: i64,
    /// The rule, or the job that it follows.
    pub(super) rule: &'a str,
    pub(super) zone: &'a str,
    pub(super) span_ms: i64,
}

impl<'a> From<&'a Timing> for Form<'a> {
    fn from(timing: &'a Timing) -> Self {
        let (form, rule, zone, span_ms): (_, &str, &str, _) = match timing {
            Timing::Cron { rule, zone } => (0, rule, zone, 0),
            Timing::Every(ms) => (1, "", "", *ms),
            Timing::Once(ms) => (2, "", "", *ms),
            Timing::After(name) => (3, name, "", 0),
        };
        Self { form, rule, zone, span_ms }
    }
}

/// As the contract numbers it.
pub(super) fn overlap(overlap: Overlap) -> i64 {
    match overlap {
        Overlap::Skip => 0,
        Overlap::Queue => 1,
        Overlap::Allow => 2,
    }
}

/// As the contract numbers it.
pub(super) fn missed(missed: Missed) -> i64 {
    match missed {
        Missed::Once => 0,
        Missed::Skip => 1,
        Missed::All => 2,
    }
}

pub(super) fn kind(kind: RunKind) -> i64 {
    match kind {
        RunKind::Scheduled => 0,
        RunKind::Missed => 1,
        RunKind::Requested => 2,
    }
}

/// The job of a row of [`select_jobs`]. None: it is damaged.
pub(super) fn record(row: &Row<'_>) -> Option<JobRecord> {
    Some(JobRecord {
        job: number(row, 0)?,
        name: JobName { plugin: text(row, 1)?, tenant: text(row, 2)?, name: text(row, 3)? },
        paused: row.get::<_, i64>(4).ok()? != 0,
        next_ms: row.get(5).ok()?,
        last_ms: row.get(6).ok()?,
        runs: number(row, 7)?,
        failed: number(row, 8)?,
        skipped: number(row, 9)?,
        spec: JobSpec {
            timing: timing(row, 10)?,
            keeping: Keeping {
                overlap: match row.get::<_, i64>(14).ok()? {
                    0 => Overlap::Skip,
                    1 => Overlap::Queue,
                    2 => Overlap::Allow,
                    _ => return None,
                },
                missed: match row.get::<_, i64>(15).ok()? {
                    0 => Missed::Once,
                    1 => Missed::Skip,
                    2 => Missed::All,
                    _ => return None,
                },
                start_deadline_ms: row.get(16).ok()?,
                jitter_ms: row.get(17).ok()?,
                timeout_ms: row.get(18).ok()?,
                backoff_ms: row.get(19).ok()?,
                retries: row.get(20).ok()?,
            },
            data: row.get_ref(21).ok()?.as_blob().ok()?.into(),
        },
    })
}

/// The timing in the columns `form`, `rule`, `zone` and `span_ms`, from `first` on. None: they are damaged, or there are none.
pub(super) fn timing(row: &Row<'_>, first: usize) -> Option<Timing> {
    let (rule, zone) = (text(row, first + 1)?, text(row, first + 2)?);
    let span_ms = row.get(first + 3).ok()?;
    match row.get::<_, i64>(first).ok()? {
        0 => Some(Timing::Cron { rule, zone }),
        1 => Some(Timing::Every(span_ms)),
        2 => Some(Timing::Once(span_ms)),
        3 => Some(Timing::After(rule)),
        _ => None,
    }
}

/// The run of a row of [`open_columns`]. None: it is damaged.
pub(super) fn open_run(row: &Row<'_>) -> Option<OpenRun> {
    Some(OpenRun {
        job: number(row, 1)?,
        lease: Lease { run: number(row, 0)?, fence: number(row, 4)? },
        due_ms: row.get(2).ok()?,
        kind: run_kind(row, 3)?,
        attempts: row.get(5).ok()?,
        started_ms: row.get(6).ok()?,
        until_ms: row.get(7).ok()?,
    })
}

/// The run of a row of [`ended_columns`]. None: it is damaged.
pub(super) fn ended_run(row: &Row<'_>) -> Option<EndedRun> {
    let error = match row.get_ref(7).ok()?.as_str_or_null().ok()? {
        None => None,
        Some(name) => Some(ErrorKind::from_name(name)?),
    };
    let result = row.get_ref(8).ok()?.as_blob().ok()?.to_vec();
    Some(EndedRun {
        run: number(row, 0)?,
        due_ms: row.get(1).ok()?,
        kind: run_kind(row, 2)?,
        again: number(row, 3)? > 1,
        attempts: row.get(4).ok()?,
        started_ms: row.get(5).ok()?,
        end: RunEnd { ended_ms: row.get(6).ok()?, error, result },
    })
}

fn run_kind(row: &Row<'_>, at: usize) -> Option<RunKind> {
    match row.get::<_, i64>(at).ok()? {
        0 => Some(RunKind::Scheduled),
        1 => Some(RunKind::Missed),
        2 => Some(RunKind::Requested),
        _ => None,
    }
}

fn number(row: &Row<'_>, at: usize) -> Option<u64> {
    row.get::<_, i64>(at).ok()?.try_into().ok()
}

fn text(row: &Row<'_>, at: usize) -> Option<Arc<str>> {
    Some(row.get_ref(at).ok()?.as_str().ok()?.into())
}
