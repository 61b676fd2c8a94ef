//! What SQLite says of a failure, as the host says it. Unlike the ledger's, its own words are passed on: the SQL is the plugin's.

use std::path::Path;

use rusqlite::ffi;

use super::{super::Fault, statements::Failure};
use crate::{
    error::{Error, ErrorKind},
    services::ledger::parts,
};

/// A failure of the host's own statements, on a file.
pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> Error {
    parts::failed(path, error)
}

/// A failure of a plugin's statement. `refused`: what the fence said.
pub(super) fn told(path: &Path, failure: Failure, refused: Option<String>) -> Fault {
    let Failure { code, text, offset } = failure;
    let error = |kind, text: String| Error::new(kind, text);
    let at = offset.map(|offset| format!(" (byte {offset} of the SQL)")).unwrap_or_default();
    let error = match code & 0xff {
        // A function is refused by its name.
        ffi::SQLITE_AUTH | ffi::SQLITE_ERROR
            if code & 0xff == ffi::SQLITE_AUTH || refused.is_some() && text.starts_with("not authorized") =>
        {
            let why = refused.unwrap_or_else(|| text.clone());
            error(ErrorKind::Denied, format!("the statement is not allowed: {why}"))
        }
        ffi::SQLITE_ERROR
            if text.starts_with("too many attached databases") || text.starts_with("cannot VACUUM") =>
        {
            error(
                ErrorKind::Denied,
                "the statement is not allowed: a plugin has one database: ATTACH and VACUUM are not for it"
                    .into(),
            )
        }
        ffi::SQLITE_ERROR if is_too_complex(&text) => {
            error(ErrorKind::TooLarge, format!("the statement is too large: {text}{at}"))
        }
        ffi::SQLITE_ERROR if text == "integer overflow" => {
            error(ErrorKind::OutOfRange, "an integer overflows".into())
        }
        ffi::SQLITE_ERROR | ffi::SQLITE_RANGE | ffi::SQLITE_MISUSE => {
            error(ErrorKind::InvalidArgument, format!("the SQL is wrong: {text}{at}"))
        }
        ffi::SQLITE_CONSTRAINT if code == ffi::SQLITE_CONSTRAINT_DATATYPE => {
            error(ErrorKind::WrongType, text)
        }
        ffi::SQLITE_CONSTRAINT => error(ErrorKind::Conflict, text),
        ffi::SQLITE_MISMATCH => error(ErrorKind::WrongType, text),
        ffi::SQLITE_TOOBIG => {
            error(ErrorKind::TooLarge, format!("a value, a row or the SQL is too large: {text}"))
        }
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            error(ErrorKind::Busy, format!("the database is in use by others: {text}"))
        }
        ffi::SQLITE_SCHEMA => {
            error(ErrorKind::Busy, "the tables were changed by others again and again: try once more".into())
        }
        _ => {
            let said = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            failed(path, &said)
        }
    };
    Fault { error, code: code.unsigned_abs(), offset }
}

/// What SQLite says where a limit of its parser or of its machine is reached, and never of a name that somebody has chosen.
fn is_too_complex(text: &str) -> bool {
    const BEGINNINGS: [&str; 18] = [
        "too many columns",
        "too many terms",
        "too many SQL variables",
        "too many arguments on function",
        "too many levels of trigger recursion",
        "too many FROM clause terms",
        "triggers nested too deep",
        "Recursion limit",
        "VIEWs and/or subqueries nested too deep",
        "too many references to",
        "Expression tree is too large",
        "parser stack overflow",
        "LIKE or GLOB pattern too complex",
        "query too large",
        "statement too long",
        "variable number must be between",
        "string or blob too big",
        "at most ",
    ];
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}
