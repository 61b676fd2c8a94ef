//! Migrations in the test host. What was run is noted as it is, not by its checksum: a test is short.

use pintle_abi::PintleMigrateInfo;

use super::{
    super::inside::Tenant,
    kept::Kept,
    session::{Session, Statement},
    statement::Fault,
};
use crate::{Error, Result, Status};

/// One step of a history.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Step<'a> {
    pub(super) number: u32,
    pub(super) name: &'a str,
    pub(super) sql: &'a str,
}

/// That a history can be one.
pub(super) fn check(history: &[Step<'_>]) -> Result<()> {
    let mut before = 0;
    for &Step { number, name, .. } in history {
        let wrong = |text: String| Err(super::input::wrong("migrations", text));
        if number <= before {
            return wrong(format!("migration {number} follows {before}: numbers begin with 1 and grow"));
        }
        if !(1..=128).contains(&name.len()) || name.contains(char::is_control) {
            return wrong(format!(
                "migration {number}: its name has 1 to 128 bytes, no control character, not {name:?}"
            ));
        }
        before = number;
    }
    Ok(())
}

/// Runs what was not run yet, each for itself; `info` tells how far it came.
pub(super) fn run(
    kept: &mut Kept,
    tenant: &Tenant,
    history: &[Step<'_>],
    (dry, refusal, timeout_ms): (bool, Option<Error>, i64),
    info: &mut PintleMigrateInfo,
) -> Result<()> {
    let seen = kept.committed(tenant, seen)?;
    info.current = seen.last().map_or(0, |(number, ..)| *number);
    compare(&seen, history)?;
    let new = &history[seen.len()..];
    info.pending = new.len() as u32;
    if dry || new.is_empty() {
        return Ok(());
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    for step in new {
        let asked = Statement { sql: step.sql, values: &[], timeout_ms, max_rows: u64::MAX, refusal: None };
        let done = kept.whole(tenant, |session| {
            session.run_all(&asked)?;
            Ok(session.ask(|connection| {
                connection.execute(
                    "INSERT INTO pintle_migrations VALUES (?1, ?2, ?3)",
                    (step.number, step.name, step.sql),
                )
            })?)
        });
        done.map_err(|Fault { status, text, .. }| {
            Error::new(status, format!("migration {} {:?} failed: {text}", step.number, step.name))
        })?;
        info.applied += 1;
        info.pending -= 1;
        info.current = step.number;
    }
    Ok(())
}

type Seen = Vec<(u32, String, String)>;

fn seen(session: &Session) -> Result<Seen> {
    session.ask(|connection| {
        let mut all =
            connection.prepare("SELECT number, name, sql FROM pintle_migrations ORDER BY number")?;
        all.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    })
}

/// That what was run is what the history begins with.
fn compare(seen: &Seen, history: &[Step<'_>]) -> Result<()> {
    for (at, (number, name, sql)) in seen.iter().enumerate() {
        let is = history.get(at);
        let was = Step { number: *number, name, sql };
        if is == Some(&was) {
            continue;
        }
        let problem = match is {
            Some(is) if is.number == was.number => "has another name or other SQL now",
            Some(is) if is.number < was.number => "was run, and there is a new one with a lower number now",
            _ => "was run, and is missing now",
        };
        return Err(Error::new(Status::Conflict, format!("migration {number} {name:?} {problem}")));
    }
    Ok(())
}
