//! What is read beside writers.

use rusqlite::{Connection, params};

use super::{
    super::super::store::{EndedRun, HISTORY, JobName, JobRecord, Of, OpenRun},
    row::{self, ended_columns, open_columns, select_jobs},
};
use crate::services::ledger::Fault;

/// The job of this name; none also if it is damaged.
pub(super) const NAMED: &str = concat!(select_jobs!(), "WHERE plugin = ?1 AND tenant = ?2 AND name = ?3");

/// The open runs, the one whose lease ends first at the front.
pub(super) const OPEN: &str = concat!(
    "SELECT ",
    open_columns!(),
    " FROM scheduler_runs WHERE until_ms IS NOT NULL ORDER BY until_ms, run"
);

/// The runs of a job that have ended, the newest first.
pub(super) const ENDED: &str = concat!(
    "SELECT ",
    ended_columns!(),
    " FROM scheduler_runs WHERE job = ?1 AND number IS NOT NULL ORDER BY number DESC LIMIT ?2"
);

pub(super) fn named(ledger: &Connection, name: &JobName) -> Result<Option<JobRecord>, Fault> {
    let JobName { plugin, tenant, name } = name;
    let mut rows = ledger.prepare_cached(NAMED)?;
    let mut rows = rows.query(params![plugin, tenant, name])?;
    Ok(rows.next()?.and_then(row::record))
}

pub(super) fn jobs(ledger: &Connection, of: &Of<'_>) -> Result<Vec<JobRecord>, Fault> {
    let mut rows = ledger.prepare_cached(&of_these(of, select_jobs!(), "ORDER BY plugin, tenant, name"))?;
    let mut rows = rows.query(params![of.plugin, of.tenant, of.name])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(row::record(row));
    }
    Ok(found)
}

/// A statement over the jobs that are of all that is given, which are its first three parameters. What is given is compared in the plainest way, so that
/// the index of names serves for it.
pub(super) fn of_these(of: &Of<'_>, before: &str, behind: &str) -> String {
    let is = |given: bool, what: &'static str, any: &'static str| if given { what } else { any };
    let plugin = is(of.plugin.is_some(), "plugin = ?1", "?1 IS NULL");
    let tenant = is(of.tenant.is_some(), "tenant = ?2", "?2 IS NULL");
    let name = is(of.name.is_some(), "name = ?3", "?3 IS NULL");
    format!("{before} WHERE {plugin} AND {tenant} AND {name} {behind}")
}

pub(super) fn open_runs(ledger: &Connection, most: usize) -> Result<Vec<OpenRun>, Fault> {
    let mut rows = ledger.prepare_cached(OPEN)?;
    let mut rows = rows.query([])?;
    let mut found = Vec::new();
    // What is damaged does not count, else it might keep all others from being seen.
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        found.extend(row::open_run(row));
    }
    Ok(found)
}

pub(super) fn history(ledger: &Connection, job: i64) -> Result<Vec<EndedRun>, Fault> {
    let mut rows = ledger.prepare_cached(ENDED)?;
    let mut rows = rows.query(params![job, HISTORY as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(row::ended_run(row));
    }
    Ok(found)
}
