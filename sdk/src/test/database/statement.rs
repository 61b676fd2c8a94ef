//! One statement on a connection of the test host: prepared, looked at, run, with all of its rows. SQLite is called as it is, for
//! rusqlite tells neither where a statement ends nor what it says of one that is wrong.

use std::{
    collections::HashSet,
    ffi::{CStr, c_int},
    ptr, slice,
};

use pintle_abi::{
    PINTLE_SQL_BLOB, PINTLE_SQL_INTEGER, PINTLE_SQL_REAL, PINTLE_SQL_TEXT, PintleBytes, PintleSqlValue,
};
use rusqlite::ffi;

use super::session::Session;
use crate::{Error, SqlValue, Status};

/// Why a statement failed: as the test host says it, and as SQLite does.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) status: Status,
    pub(super) text: String,
    /// SQLite's extended code; 0: it did not come that far.
    pub(super) code: u32,
    pub(super) offset: Option<usize>,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { status: error.status(), text: error.message().to_owned(), code: 0, offset: None }
    }
}

impl Fault {
    pub(super) fn error(&self) -> Error {
        Error::new(self.status, self.text.clone())
    }

    /// What SQLite said last on a connection.
    pub(super) fn of(session: &Session) -> Self {
        let database = session.raw();
        // SAFETY: the connection is open, and whoever has the session has it alone.
        let (code, text, offset) = unsafe {
            let text = CStr::from_ptr(ffi::sqlite3_errmsg(database)).to_string_lossy().into_owned();
            let offset = usize::try_from(ffi::sqlite3_error_offset(database)).ok();
            (ffi::sqlite3_extended_errcode(database), text, offset)
        };
        // Of a function SQLite says it as of any other mistake; VACUUM attaches a database, and does not get that far in a
        // transaction.
        let denials = ["not authorized", "too many attached databases", "cannot VACUUM"];
        let is_denied =
            code & 0xff == ffi::SQLITE_AUTH || denials.iter().any(|denial| text.starts_with(denial));
        let refused = session.fence.refused().filter(|_| is_denied);
        let code = if is_denied { ffi::SQLITE_AUTH } else { code };
        let status = match code & 0xff {
            _ if is_denied => Status::Denied,
            ffi::SQLITE_ERROR if is_about_size(&text) => Status::TooLarge,
            ffi::SQLITE_ERROR if text == "integer overflow" => Status::OutOfRange,
            ffi::SQLITE_ERROR | ffi::SQLITE_RANGE | ffi::SQLITE_MISUSE => Status::InvalidArgument,
            ffi::SQLITE_CONSTRAINT if code == ffi::SQLITE_CONSTRAINT_DATATYPE => Status::WrongType,
            ffi::SQLITE_CONSTRAINT => Status::Conflict,
            ffi::SQLITE_MISMATCH => Status::WrongType,
            ffi::SQLITE_TOOBIG => Status::TooLarge,
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_SCHEMA => Status::Busy,
            ffi::SQLITE_FULL => Status::Quota,
            ffi::SQLITE_INTERRUPT => Status::Timeout,
            _ => Status::Unavailable,
        };
        Self { status, text: refused.unwrap_or(text), code: code.unsigned_abs(), offset }
    }
}

/// What SQLite says where a limit of its parser is reached.
fn is_about_size(text: &str) -> bool {
    const SAID: [&str; 8] = [
        "too many",
        "Expression tree is too large",
        "parser stack overflow",
        "LIKE or GLOB pattern too complex",
        "query too large",
        "statement too long",
        "variable number must be between",
        "string or blob too big",
    ];
    SAID.iter().any(|said| text.contains(said))
}

/// A value of a row, until the row is handed over.
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Cell {
    pub(super) fn raw(&self) -> PintleSqlValue {
        let null = PintleSqlValue::NULL;
        match self {
            Self::Null => null,
            Self::Integer(integer) => PintleSqlValue { kind: PINTLE_SQL_INTEGER, integer: *integer, ..null },
            Self::Real(real) => PintleSqlValue { kind: PINTLE_SQL_REAL, real: *real, ..null },
            Self::Text(text) => {
                PintleSqlValue { kind: PINTLE_SQL_TEXT, bytes: PintleBytes::new(text), ..null }
            }
            Self::Blob(blob) => {
                PintleSqlValue { kind: PINTLE_SQL_BLOB, bytes: PintleBytes::new(blob), ..null }
            }
        }
    }
}

/// What a statement gives.
#[derive(Default)]
pub(super) struct Given {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The first statement of a text.
pub(super) struct Prepared<'s> {
    session: &'s Session,
    /// Null if there was none, blanks and comments only.
    statement: *mut ffi::sqlite3_stmt,
    /// Where the text goes on.
    pub(super) end: usize,
    /// It reads which row was inserted last.
    pub(super) asks_last_id: bool,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // SAFETY: as SQLite gave it, on a connection that is still open; null is allowed.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}

impl<'s> Prepared<'s> {
    pub(super) fn new(session: &'s Session, sql: &str) -> Result<Self, Fault> {
        let Ok(length) = c_int::try_from(sql.len()) else {
            return Err(Error::new(Status::TooLarge, "no statement is that long").into());
        };
        session.fence.forget();
        let (mut statement, mut rest) = (ptr::null_mut(), ptr::null());
        // SAFETY: the text is readable for its length, and both outputs are ours.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(session.raw(), sql.as_ptr().cast(), length, 0, &mut statement, &mut rest)
        };
        if code != ffi::SQLITE_OK {
            return Err(Fault::of(session));
        }
        let end = if rest.is_null() { sql.len() } else { rest.addr() - sql.as_ptr().addr() };
        Ok(Self { session, statement, end, asks_last_id: session.fence.asks_last_id() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statement.is_null()
    }

    pub(super) fn reads_only(&self) -> bool {
        // SAFETY: it is prepared; null reads only.
        unsafe { ffi::sqlite3_stmt_readonly(self.statement) != 0 }
    }

    /// That it has as many placeholders as there are values, and each is a number.
    pub(super) fn must_take(&self, sql: &str, values: usize) -> Result<(), Fault> {
        // SAFETY: it is prepared.
        let count = unsafe { ffi::sqlite3_bind_parameter_count(self.statement) };
        if usize::try_from(count) != Ok(values) {
            let text = format!("the statement has placeholders for {count} values, and {values} were passed");
            return Err(Error::new(Status::InvalidArgument, text).into());
        }
        // SQLite tells no gap from a plain `?`.
        let numbers = numbers(sql);
        for number in 1..=count {
            // SAFETY: it is prepared, and the name is read before anything else is asked.
            let numbered = unsafe {
                let name = ffi::sqlite3_bind_parameter_name(self.statement, number);
                if name.is_null() {
                    numbers.contains(&number)
                } else {
                    let name = CStr::from_ptr(name).to_str().unwrap_or_default();
                    name.trim_start_matches(['?', '$']).parse() == Ok(number)
                }
            };
            if !numbered {
                let text = "a placeholder has a name, or skips a number: write ?1, ?2 and so on, or plain ?";
                return Err(Error::new(Status::InvalidArgument, text).into());
            }
        }
        Ok(())
    }

    /// Runs it to its end, or until it fails or gives more rows than `most`; the rows until then are there in any case.
    pub(super) fn run(&self, values: &[SqlValue<'_>], most: u64, given: &mut Given) -> Result<(), Fault> {
        self.bind(values)?;
        // SAFETY: it is prepared.
        let columns = unsafe { ffi::sqlite3_column_count(self.statement) };
        given.columns = (0..columns).map(|column| self.name(column)).collect();
        let ran = self.steps(columns, most, given);
        // One that is left in the middle could be neither kept nor undone.
        // SAFETY: it is prepared.
        unsafe { ffi::sqlite3_reset(self.statement) };
        ran
    }

    fn steps(&self, columns: c_int, most: u64, given: &mut Given) -> Result<(), Fault> {
        loop {
            // SAFETY: it is prepared and bound.
            match unsafe { ffi::sqlite3_step(self.statement) } {
                ffi::SQLITE_ROW if given.rows.len() as u64 == most => {
                    let text = format!("the statement gives more than the {most} rows that it may give");
                    return Err(Error::new(Status::TooLarge, text).into());
                }
                ffi::SQLITE_ROW => given.rows.push((0..columns).map(|column| self.cell(column)).collect()),
                ffi::SQLITE_DONE => return Ok(()),
                _ => return Err(Fault::of(self.session)),
            }
        }
    }

    fn bind(&self, values: &[SqlValue<'_>]) -> Result<(), Fault> {
        for (number, value) in (1..).zip(values) {
            let statement = self.statement;
            // SAFETY: it is prepared and does not run; SQLite copies the bytes.
            let code = unsafe {
                match value {
                    SqlValue::Null => ffi::sqlite3_bind_null(statement, number),
                    SqlValue::Integer(integer) => ffi::sqlite3_bind_int64(statement, number, *integer),
                    SqlValue::Real(real) => ffi::sqlite3_bind_double(statement, number, *real),
                    SqlValue::Text(text) => ffi::sqlite3_bind_text64(
                        statement,
                        number,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                        ffi::SQLITE_UTF8 as u8,
                    ),
                    SqlValue::Blob(blob) => ffi::sqlite3_bind_blob64(
                        statement,
                        number,
                        blob.as_ptr().cast(),
                        blob.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                    ),
                }
            };
            if code != ffi::SQLITE_OK {
                return Err(Fault::of(self.session));
            }
        }
        Ok(())
    }

    fn name(&self, column: c_int) -> String {
        // SAFETY: it is prepared and has the column; the name is copied before anything else is asked.
        unsafe {
            let name = ffi::sqlite3_column_name(self.statement, column);
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
        }
    }

    fn cell(&self, column: c_int) -> Cell {
        let statement = self.statement;
        // SAFETY: it stands on a row that has the column; what is pointed to is copied before the next step.
        unsafe {
            let bytes = |start: *const u8| {
                let length = usize::try_from(ffi::sqlite3_column_bytes(statement, column)).unwrap_or(0);
                if start.is_null() { Vec::new() } else { slice::from_raw_parts(start, length).to_vec() }
            };
            match ffi::sqlite3_column_type(statement, column) {
                ffi::SQLITE_INTEGER => Cell::Integer(ffi::sqlite3_column_int64(statement, column)),
                ffi::SQLITE_FLOAT => Cell::Real(ffi::sqlite3_column_double(statement, column)),
                ffi::SQLITE_TEXT => Cell::Text(bytes(ffi::sqlite3_column_text(statement, column).cast())),
                ffi::SQLITE_BLOB => Cell::Blob(bytes(ffi::sqlite3_column_blob(statement, column).cast())),
                _ => Cell::Null,
            }
        }
    }
}

/// The numbers of the placeholders that stand in a statement: `?7`, or plain `?`, which is the next one.
fn numbers(sql: &str) -> HashSet<c_int> {
    let (mut numbers, mut highest, mut rest) = (HashSet::new(), 0, sql);
    while let Some(first) = rest.chars().next() {
        let behind = |end: &str| rest[1..].find(end).map_or(rest.len(), |at| 1 + at + end.len());
        let skipped = match first {
            '\'' | '"' | '`' => behind(&first.to_string()),
            '[' => behind("]"),
            '-' if rest.starts_with("--") => behind("\n"),
            '/' if rest.starts_with("/*") => 1 + rest[2..].find("*/").map_or(rest.len() - 1, |at| at + 3),
            '?' => {
                let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                let number = rest[1..=digits].parse().unwrap_or(highest + 1);
                highest = highest.max(number);
                numbers.insert(number);
                1 + digits
            }
            _ => first.len_utf8(),
        };
        rest = &rest[skipped..];
    }
    numbers
}
