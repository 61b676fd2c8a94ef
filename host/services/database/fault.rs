//! Why a statement failed: the error, and what the database itself says of it.

use crate::error::{Error, ErrorKind};

/// A failure of a statement.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) error: Error,
    /// The database's own (extended) code; 0: it did not get there.
    pub(crate) code: u32,
    /// Which byte of the SQL it is about.
    pub(crate) offset: Option<usize>,
}

impl Fault {
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { error, code: 0, offset: None }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}
