//! Migrations: what a database has gone through, each step in a transaction of its own, noted with a checksum.
//!
//! What was run is compared with what is passed, byte for byte, before anything happens; and again, as far as it is new, by
//! whoever has the right to write, so that of several callers one runs each step.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    backend::{Applied, SqlSession},
    fault::Fault,
    patience::Patience,
    value::{Statement, Writes},
};
use crate::error::{Error, ErrorKind, Result};

/// How long each may take whose plugin does not say.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// The most that a history may have.
const MOST: usize = 10_000;

/// The most bytes that a name may have.
const LONGEST_NAME: usize = 128;

/// One step of a database's history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration<'a> {
    pub(crate) number: u32,
    pub(crate) name: &'a str,
    pub(crate) sql: &'a str,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Migrated {
    /// How many were run.
    pub(crate) applied: u32,
    /// How many are still to be run; 0 where the history is not that of the database.
    pub(crate) pending: u32,
    /// The number of the last one that has been run, by whomever; 0: none.
    pub(crate) current: u32,
}

impl Migration<'_> {
    fn applied(&self) -> Applied {
        Applied { number: self.number, name: self.name.to_owned(), checksum: checksum(self.name, self.sql) }
    }
}

/// Of the bytes as they are: other line ends are another text.
fn checksum(name: &str, sql: &str) -> [u8; 32] {
    // Where the name ends is part of it.
    let length = (name.len() as u64).to_le_bytes();
    Sha256::new().chain_update(length).chain_update(name).chain_update(sql).finalize().into()
}

/// That a history can be one.
fn check(migrations: &[Migration<'_>]) -> Result<()> {
    if migrations.len() > MOST {
        let text = format!("{} migrations, at most {MOST} are taken", migrations.len());
        return Err(Error::argument("count", text));
    }
    let mut before = 0;
    for Migration { number, name, .. } in migrations {
        if *number <= before {
            let text = format!(
                "migration {number} {name:?} follows {before}: numbers begin with 1 and grow from one to the next"
            );
            return Err(Error::argument("migrations", text));
        }
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
            let text = format!(
                "migration {number}: a name has 1 to {LONGEST_NAME} bytes and no control characters, not {name:?}"
            );
            return Err(Error::argument("migrations", text));
        }
        before = *number;
    }
    Ok(())
}

/// Opens a connection to the database.
pub(super) type Open<'a> = &'a dyn Fn(&Patience) -> Result<Box<dyn SqlSession>>;

/// Compares the history with what was run, and runs the rest of it. `patience` is asked anew for each step.
///
/// Each step has a connection of its own: what is temporary in one is not there in the next.
pub(super) fn run(
    open: Open<'_>,
    migrations: &[Migration<'_>],
    writes: Writes,
    dry: bool,
    patience: &dyn Fn() -> Patience,
    migrated: &mut Migrated,
) -> Result<(), Fault> {
    check(migrations)?;
    let look = patience();
    let seen = open(&look)?.migrations(0, &look)?;
    migrated.current = seen.last().map_or(0, |last| last.number);
    compare(&seen, migrations)?;
    let mut rest = &migrations[seen.len()..];
    migrated.pending = rest.len() as u32;
    if dry || rest.is_empty() {
        return Ok(());
    }
    if writes != Writes::Allowed {
        return Err(writes.refusal().into());
    }
    while !rest.is_empty() {
        let patience = patience();
        let mut session = open(&patience)?;
        let done = match step(&mut *session, rest, migrated.current, &patience)? {
            Stepped::Ran => {
                migrated.applied += 1;
                1
            }
            Stepped::ByOthers(several) => several,
        };
        migrated.current = rest[done - 1].number;
        rest = &rest[done..];
        migrated.pending = rest.len() as u32;
    }
    Ok(())
}

enum Stepped {
    Ran,
    /// Somebody else was faster, with so many.
    ByOthers(usize),
}

/// Runs the first of `rest`, which follows the one with the number `after`.
fn step(
    session: &mut dyn SqlSession,
    rest: &[Migration<'_>],
    after: u32,
    patience: &Patience,
) -> Result<Stepped, Fault> {
    let migration = &rest[0];
    session.begin(false, patience).map_err(|error| about(migration, error.into()))?;
    let done = within(session, rest, after, patience);
    if !matches!(done, Ok(Stepped::Ran)) {
        session.rollback();
    }
    done
}

/// With the right to write: nobody else migrates meanwhile.
fn within(
    session: &mut dyn SqlSession,
    rest: &[Migration<'_>],
    after: u32,
    patience: &Patience,
) -> Result<Stepped, Fault> {
    let migration = &rest[0];
    let wrong = |fault: Fault| about(migration, fault);
    let seen = session.migrations(after, patience)?;
    if !seen.is_empty() {
        compare(&seen, rest)?;
        return Ok(Stepped::ByOthers(seen.len()));
    }
    let script = Statement { sql: migration.sql, values: &[], max_rows: u64::MAX, writes: Writes::Allowed };
    session.script(&script, patience).map_err(wrong)?;
    let noted = session.note_migration(&migration.applied()).and_then(|()| session.commit());
    noted.map_err(|error| wrong(error.into()))?;
    Ok(Stepped::Ran)
}

/// That what was run is what the history begins with.
fn compare(seen: &[Applied], migrations: &[Migration<'_>]) -> Result<()> {
    let mut given = migrations.iter();
    for was in seen {
        if let Some(how) = difference(was, given.next()) {
            let Applied { number, name, .. } = was;
            let text = format!("migration {number} {name:?} was run on this database {how}");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
    }
    Ok(())
}

/// How what was run and what stands in its place now differ, if they do.
fn difference(was: &Applied, is: Option<&Migration<'_>>) -> Option<String> {
    let Some(is) = is else {
        return Some(
            "and is behind the end of the history, which is that of an older version of the plugin: use the one that ran it, or restore a backup from before it"
                .into(),
        );
    };
    let is_same = checksum(is.name, is.sql) == was.checksum;
    let (number, name) = (is.number, is.name);
    if number == was.number {
        let what = match () {
            () if is_same => return None,
            () if checksum(&was.name, is.sql) == was.checksum => format!("is called {name:?} now"),
            () if name == was.name => "has other SQL now (every byte counts, line ends too)".into(),
            () => format!("is another one now, {name:?}"),
        };
        return Some(format!("and {what}: put it back, and make the change in a new one"));
    }
    Some(if is_same {
        format!("and has the number {number} now: put it back")
    } else if number < was.number {
        format!(
            "and {number} {name:?}, which was not, has a lower number: give it one that is higher than all that were run"
        )
    } else {
        "and is missing: keep the whole history, and add to its end".into()
    })
}

fn about(migration: &Migration<'_>, fault: Fault) -> Fault {
    let (number, name, error) = (migration.number, migration.name.to_owned(), fault.error.clone());
    let error = Error::lazy(fault.kind(), move || format!("migration {number} {name:?} failed: {error}"));
    Fault { error, ..fault }
}
