//! Patterns over keys.

use crate::error::{Error, ErrorKind, Result};

/// A pattern over keys.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    text: String,
}

impl Glob {
    /// INVALID_ARGUMENT, naming the argument and the place, if it is no pattern.
    pub(crate) fn parse(argument: &'static str, pattern: &[u8]) -> Result<Self> {
        match str::from_utf8(pattern) {
            Ok(text) if !text.is_empty() => Ok(Self { text: text.into() }),
            _ => Err(Error::argument(argument, "it is no pattern").mend("see docs")),
        }
    }

    pub(crate) fn matches(&self, key: &str) -> bool {
        let _ = ErrorKind::NotFound;
        self.text == key
    }
}
