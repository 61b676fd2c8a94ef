//! What SQLite's failures are called here: what happened to the ledger, and what to do. Never with SQL in it.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::error::{Error, ErrorKind};

/// Why a write or a read came to nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It refuses, for a reason of its own.
    Refused(Error),
    Sqlite(rusqlite::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// The error as the caller gets it.
    pub(super) fn told_of(self, ledger: &Path) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Sqlite(error) => failed(ledger, &error),
        }
    }
}

/// What a failure of SQLite means for the ledger. SQLite's own message may quote the statement, so it is never passed
/// on: the name of the code is enough to look it up.
pub(in crate::services) fn failed(ledger: &Path, error: &rusqlite::Error) -> Error {
    let path = ledger.display();
    let code = match error {
        rusqlite::Error::SqliteFailure(code, _) => code,
        rusqlite::Error::SqlInputError { error, .. } => error,
        // A value of another kind than was written: nobody but us writes there.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => return damaged(ledger),
        _ => return Error::new(ErrorKind::Internal, format!("a statement on {path} is used wrongly")),
    };
    let words = ffi::code_to_str(code.extended_code);
    let unavailable = |what: String| Error::new(ErrorKind::Unavailable, what);
    match code.code {
        ErrorCode::DiskFull => {
            Error::new(ErrorKind::Unavailable, "the disk of the data folder is full").mend("make room")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(ledger),
        ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            unavailable(format!("{path}-shm, which goes with it, cannot be made as large as it must be"))
                .mend("make room on the disk of the data folder, or raise the limit of file sizes (ulimit -f)")
        }
        ErrorCode::SystemIoFailure => {
            unavailable(format!("{path} cannot be read or written ({words}, SQLite {})", code.extended_code))
                .mend("look at the disk, at the system's log, and at the limits of this process (ulimit -a)")
        }
        ErrorCode::CannotOpen => unavailable(format!("{path} or a file beside it cannot be opened ({words})"))
            .mend("see that the user that the host runs as may write there, that the disk has room, and that this process may open more files (ulimit -n)"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            unavailable(format!("{path} cannot be opened for writing ({words})"))
                .mend("give the user that the host runs as the right to write it and its folder")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            unavailable(format!("another process has {path} in use ({words})"))
                .mend("end it, or give this host another data folder")
        }
        ErrorCode::OutOfMemory => unavailable(format!("there is no memory left to work on {path}")),
        ErrorCode::TooBig => Error::new(ErrorKind::TooLarge, format!("the value is too large for {path}")),
        _ => Error::new(
            ErrorKind::Internal,
            format!("a statement on {path} failed ({words}, SQLite {})", code.extended_code),
        ),
    }
}

/// The file is a ledger and its content is not what a ledger has. The log goes with the file: SQLite would play it into
/// whatever lies in its place.
pub(super) fn damaged(ledger: &Path) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} is damaged", ledger.display()))
        .mend("stop the host, move it and its -wal away, together, and put a backup in its place")
}
