//! Copies of databases that are in use: each of one state, whole, in a file that any SQLite opens.
//!
//! The pages are read in one read transaction of a connection of its own. A backup without one begins again whenever somebody
//! writes, and under steady writes it never ends; this one sees none of them. What it costs is that the log of the database
//! cannot begin anew as long as it takes.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    super::{BackupPlan, Progress, backend::no_database},
    fault::failed,
    open, place,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::part::PartFile,
};

/// How many pages are copied between two looks at whether to go on: a mebibyte.
const PAGES: i32 = 256;

/// The databases that are being copied: they are not to be removed.
#[derive(Default)]
pub(super) struct Copies {
    under_way: Mutex<Vec<Arc<Copied>>>,
}

struct Copied {
    plugin: String,
    tenant: String,
}

/// A copy that is under way.
struct UnderWay<'a> {
    copies: &'a Copies,
    copied: Arc<Copied>,
}

impl Copies {
    /// Whether a database of a plugin, or of one tenant of it, is being copied.
    pub(super) fn any_of(&self, plugin: &str, tenant: Option<&str>) -> bool {
        let under_way = self.under_way.lock();
        under_way.iter().any(|it| it.plugin == plugin && tenant.is_none_or(|tenant| it.tenant == tenant))
    }

    /// Writes a copy, and tells its bytes.
    pub(super) fn write(
        &self,
        data: &Path,
        plan: &BackupPlan<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<u64> {
        let _under_way = self.begin(plan);
        progress(0, 0)?;
        let from = place::file(data, plan.plugin, plan.tenant);
        // What SQLite opens need not be there: it would make it.
        if !from.symlink_metadata().is_ok_and(|is| is.len() > 0) {
            return Err(no_database(plan.plugin, plan.tenant));
        }
        let source = open_source(&from, plan)?;
        // The file is closed last: whoever closes one takes away the locks on it.
        let (part, file) = PartFile::begin(plan.to, plan.overwrite)?;
        copy(&from, &source, &part, progress)?;
        let bytes = file.metadata().map_or(0, |is| is.len());
        part.finish(&file)?;
        Ok(bytes)
    }

    fn begin(&self, plan: &BackupPlan<'_>) -> UnderWay<'_> {
        let copied = Arc::new(Copied { plugin: plan.plugin.to_owned(), tenant: plan.tenant.to_owned() });
        self.under_way.lock().push(Arc::clone(&copied));
        UnderWay { copies: self, copied }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.copies.under_way.lock().retain(|other| !Arc::ptr_eq(other, &self.copied));
    }
}

/// A connection that reads one state of the database.
fn open_source(path: &Path, plan: &BackupPlan<'_>) -> Result<Connection> {
    let said = |error: rusqlite::Error| failed(path, &error);
    // To read alone is not enough: the log beside it may have to be made anew.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(said)?;
    connection.busy_timeout(open::PATIENCE).map_err(said)?;
    connection.pragma_update(None, "query_only", true).map_err(said)?;
    connection.execute_batch("BEGIN").map_err(said)?;
    // The first read is what fixes the state.
    open::recognise(path, &connection, plan.plugin, plan.tenant)?;
    Ok(connection)
}

fn copy(from: &Path, source: &Connection, part: &PartFile, progress: &mut Progress<'_>) -> Result<()> {
    let said = |error: rusqlite::Error| failure(from, part.target(), &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut target = Connection::open_with_flags(part.path(), flags).map_err(said)?;
    // Nobody else knows the file, and it is gone if it does not become whole: it is made lasting once, at the end.
    target.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(())).map_err(said)?;
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(said)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(said)?;
    {
        let backup = Backup::new(source, &mut target).map_err(said)?;
        loop {
            let step = backup.step(PAGES).map_err(said)?;
            let (of, left) = (backup.progress().pagecount, backup.progress().remaining);
            let bytes = |pages| u64::try_from(pages).unwrap_or_default() * open::PAGE;
            progress(bytes(of - left), bytes(of))?;
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => {
                    let text = format!("{} was locked while it was copied", from.display());
                    return Err(
                        Error::new(ErrorKind::Busy, text).mend("end what has it open beside the host")
                    );
                }
            }
        }
    }
    // One file, which can be read where nothing can be written beside it.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(said)?;
    target.close().map_err(|(_, error)| said(error))
}

/// Which of the two files a failure is about.
fn failure(from: &Path, to: &Path, error: &rusqlite::Error) -> Error {
    let to_shown = to.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Error::new(ErrorKind::Unavailable, format!("{to_shown} cannot be written: its disk is full"))
                .mend("make room on its disk")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => failed(from, error),
        _ => failed(to, error),
    }
}
