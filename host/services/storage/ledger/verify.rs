//! Whether all that is kept is whole: what SQLite says of its file, and whether what is counted is what is there.

use std::{
    sync::mpsc::{self, RecvTimeoutError::Timeout},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

use super::super::{GoOn, StorageCheck};
use crate::{error::Result, services::ledger::Ledger};

/// How many problems are told at most.
const MOST_PROBLEMS: usize = 100;

/// How often it is asked whether this may go on.
const ASK: Duration = Duration::from_millis(50);

/// One transaction of a reader: nobody waits.
pub(super) fn verify(ledger: &Ledger, thorough: bool, go_on: &GoOn) -> Result<StorageCheck> {
    ledger.read(|ledger| {
        let moment = ledger.unchecked_transaction()?;
        let mut found = StorageCheck::default();
        let looked = interrupted(&moment, go_on, || look(&moment, thorough, &mut found));
        go_on()?;
        match looked {
            // What is so damaged that it cannot be looked through is no less of an answer.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                found.problems.push("pintle.db: it is damaged where it has to be looked through".into());
            }
            looked => looked?,
        }
        found.problems.truncate(MOST_PROBLEMS);
        Ok(found)
    })
}

/// A statement over all that is there asks nobody, so somebody beside it does.
fn interrupted<T>(moment: &Connection, go_on: &GoOn, look: impl FnOnce() -> T) -> T {
    let handle = moment.get_interrupt_handle();
    let (over, is_over) = mpsc::channel::<()>();
    let ask = move || {
        while is_over.recv_timeout(ASK) == Err(Timeout) {
            if go_on().is_err() {
                handle.interrupt();
            }
        }
    };
    thread::scope(|threads| {
        // Without a thread it is looked through to its end.
        let _ = thread::Builder::new().name("pintle-check".into()).spawn_scoped(threads, ask);
        let looked = look();
        drop(over);
        looked
    })
}

fn look(moment: &Connection, thorough: bool, found: &mut StorageCheck) -> rusqlite::Result<()> {
    let check = if thorough { "integrity_check" } else { "quick_check" };
    moment.pragma(None, check, MOST_PROBLEMS as i64, |row| {
        let said: String = row.get(0)?;
        if said != "ok" {
            found.problems.push(format!("pintle.db: {said}"));
        }
        Ok(())
    })?;
    // Where the file itself is damaged, what is counted says nothing.
    if found.problems.is_empty() { compare(moment, found) } else { Ok(()) }
}

fn compare(moment: &Connection, found: &mut StorageCheck) -> rusqlite::Result<()> {
    let mut scopes = moment.prepare(
        "SELECT plugin, tenant, items, bytes,
            (SELECT count(*) FROM storage_items i WHERE i.scope = s.scope),
            (SELECT coalesce(sum(length(key) + length(value)), 0) FROM storage_items i WHERE i.scope = s.scope)
        FROM storage_scopes s ORDER BY plugin, tenant",
    )?;
    let mut rows = scopes.query([])?;
    while let Some(row) = rows.next()? {
        let counted: (i64, i64) = (row.get(2)?, row.get(3)?);
        let there: (i64, i64) = (row.get(4)?, row.get(5)?);
        found.scopes += u64::from(there.0 > 0);
        found.items += there.0.unsigned_abs();
        found.bytes += there.1.unsigned_abs();
        if counted != there {
            let (plugin, tenant): (String, String) = (row.get(0)?, row.get(1)?);
            found.problems.push(format!(
                "plugin {plugin:?}, tenant {tenant:?}: {} items of {} bytes are counted, {} of {} are there",
                counted.0, counted.1, there.0, there.1
            ));
        }
    }
    // What was cleared is still to be deleted.
    let lost: u64 = moment.query_row(
        "SELECT count(*) FROM storage_items
        WHERE scope NOT IN (SELECT scope FROM storage_scopes UNION ALL SELECT scope FROM storage_cleared)",
        [],
        |row| row.get(0),
    )?;
    if lost > 0 {
        found.problems.push(format!("{lost} items belong to no plugin"));
    }
    Ok(())
}
