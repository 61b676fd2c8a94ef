//! How things fail: a status that both sides know, and one sentence.
//!
//! An error that comes from the host carries the host's own sentence; one that a plugin returns is handed to the
//! host, which shows it to whoever waits and writes it to the log.

use std::{borrow::Cow, error::Error as StdError, fmt, io};

use pintle_abi as abi;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! statuses {
    ($($(#[doc = $doc:literal])* $name:ident = $code:ident, $text:literal;)*) => {
        /// What kind of failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Status {
            $($(#[doc = $doc])* $name,)*
            /// A status that is newer than this SDK, under its number.
            Unknown(i32),
        }

        impl Status {
            /// The number that stands for it in the contract; never 0.
            #[must_use]
            pub const fn code(self) -> i32 {
                match self {
                    $(Self::$name => abi::$code,)*
                    Self::Unknown(abi::PINTLE_OK) => abi::PINTLE_INTERNAL,
                    Self::Unknown(code) => code,
                }
            }

            /// The failure with this number; none for 0, which is success.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    abi::PINTLE_OK => None,
                    $(abi::$code => Some(Self::$name),)*
                    code => Some(Self::Unknown(code)),
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown(_) => "failed with a status that this plugin does not know",
                }
            }
        }
    };
}

statuses! {
    /// What was asked for is not there.
    NotFound = PINTLE_NOT_FOUND, "not found";
    /// An argument is malformed.
    InvalidArgument = PINTLE_INVALID_ARGUMENT, "an argument is malformed";
    /// The manifest did not ask for it, or the operator does not allow it.
    Denied = PINTLE_DENIED, "not granted to this plugin";
    /// The context or handle is over, belongs to another, or never was.
    StaleHandle = PINTLE_STALE_HANDLE, "the context or handle is over";
    /// The buffer is too small.
    BufferTooSmall = PINTLE_BUFFER_TOO_SMALL, "the buffer is too small";
    /// Somebody else was first.
    Conflict = PINTLE_CONFLICT, "somebody else was first";
    /// The value exists but is of another type.
    WrongType = PINTLE_WRONG_TYPE, "the value is of another type";
    /// A number is outside of what is possible.
    OutOfRange = PINTLE_OUT_OF_RANGE, "a number is out of range";
    /// A value is larger than the limit.
    TooLarge = PINTLE_TOO_LARGE, "a value is larger than the limit";
    /// What the operator allows is used up.
    Quota = PINTLE_QUOTA, "what the operator allows is used up";
    /// The deadline of the wait passed; the other side may still do the work.
    Timeout = PINTLE_TIMEOUT, "the deadline passed";
    /// The caller gave up.
    Cancelled = PINTLE_CANCELLED, "the caller gave up";
    /// There is no room for more now; try again later.
    Busy = PINTLE_BUSY, "there is no room for more now";
    /// The other side cannot answer now, or this phase of the life does not allow it.
    Unavailable = PINTLE_UNAVAILABLE, "not available now";
    /// The other side does not know this method, option or function.
    Unsupported = PINTLE_UNSUPPORTED, "not supported";
    /// The plugin or the host is stopping.
    Stopping = PINTLE_STOPPING, "the plugin or the host is stopping";
    /// Only the waiter itself could end the wait, or a sink called the host.
    Reentrant = PINTLE_REENTRANT, "only the waiter itself could end this wait";
    /// Something failed that should not have.
    Internal = PINTLE_INTERNAL, "failed for a reason that should not occur";
    /// Code panicked and was caught.
    Panic = PINTLE_PANIC, "panicked";
}

/// A failure: what kind, and one sentence that says what happened and what to do about it.
///
/// `?` makes one of any error of the standard library's kind, with the status that fits best (bad JSON is
/// [`Status::InvalidArgument`], a missing file [`Status::NotFound`], what is not known [`Status::Internal`]). So that it
/// can, `Error` is not a [`std::error::Error`] itself; [`into_boxed`](Error::into_boxed) makes it one.
pub struct Error {
    status: Status,
    message: Message,
}

/// No larger than the text alone: what few errors have lies elsewhere.
enum Message {
    Fixed(&'static str),
    Owned(String),
    /// Of a failure in the database.
    Sql(Box<SqlMessage>),
}

struct SqlMessage {
    text: String,
    code: u32,
    offset: Option<usize>,
}

impl Message {
    fn text(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Owned(text) => text,
            Self::Sql(message) => &message.text,
        }
    }
}

impl From<Cow<'static, str>> for Message {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Fixed(text),
            Cow::Owned(text) => Self::Owned(text),
        }
    }
}

impl Error {
    /// A failure of the plugin's own.
    pub fn new(status: Status, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into().into() }
    }

    /// A failure in the database, with its own code and the byte of the SQL that it is about.
    pub(crate) fn with_sql(self, code: u32, offset: Option<usize>) -> Self {
        let text = self.message.text().to_owned();
        Self { status: self.status, message: Message::Sql(Box::new(SqlMessage { text, code, offset })) }
    }

    /// What kind of failure.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// What happened, and what to do about it.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message.text()
    }

    /// After a failure in the database its own extended code (<https://sqlite.org/rescode.html>): 2067 where a UNIQUE
    /// constraint does not hold, say. `None` where it did not come that far: the context is over, the number of values is wrong.
    #[must_use]
    pub fn sql_code(&self) -> Option<u32> {
        match &self.message {
            Message::Sql(message) => Some(message.code),
            Message::Fixed(_) | Message::Owned(_) => None,
        }
    }

    /// Which byte of the SQL a failure in the database is about, from 0; `None`: none in particular.
    #[must_use]
    pub fn sql_offset(&self) -> Option<usize> {
        match &self.message {
            Message::Sql(message) => message.offset,
            Message::Fixed(_) | Message::Owned(_) => None,
        }
    }

    /// Says what was being done: `context: message`.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        let text = format!("{context}: {}", self.message.text());
        let message = match self.message {
            Message::Sql(message) => Message::Sql(Box::new(SqlMessage { text, ..*message })),
            Message::Fixed(_) | Message::Owned(_) => Message::Owned(text),
        };
        Self { status: self.status, message }
    }

    /// For code that wants the standard library's kind of error.
    #[must_use]
    pub fn into_boxed(self) -> Box<dyn StdError + Send + Sync> {
        match self.message {
            Message::Fixed(text) => text.into(),
            Message::Owned(text) => text.into(),
            Message::Sql(message) => message.text.into(),
        }
    }

    /// A failure for which there is no sentence.
    pub(crate) fn bare(status: Status) -> Self {
        match status {
            Status::Unknown(code) => Self::new(status, format!("{}: {code}", status.text())),
            known => Self::new(known, known.text()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.status, self.message())
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let status = status_of(&error);
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(status, message)
    }
}

fn status_of(error: &(dyn StdError + 'static)) -> Status {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::NotFound => Status::NotFound,
            io::ErrorKind::PermissionDenied => Status::Denied,
            io::ErrorKind::AlreadyExists => Status::Conflict,
            io::ErrorKind::TimedOut => Status::Timeout,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Status::InvalidArgument,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::Quota,
            _ => Status::Unavailable,
        };
    }
    let malformed = error.is::<serde_json::Error>()
        || error.is::<std::str::Utf8Error>()
        || error.is::<std::string::FromUtf8Error>()
        || error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>();
    if malformed { Status::InvalidArgument } else { Status::Internal }
}

/// Makes "not there" a value: `cx.config().text("/proxy").optional()?`.
pub trait Optional<T> {
    /// `None` for [`Status::NotFound`], every other failure unchanged.
    ///
    /// # Errors
    /// Every failure but [`Status::NotFound`].
    fn optional(self) -> Result<Option<T>>;
}

impl<T> Optional<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.status == Status::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_keeps_its_number_and_success_is_none() {
        assert_eq!(Status::from_code(abi::PINTLE_OK), None);
        for code in (-3..40).filter(|&code| code != abi::PINTLE_OK) {
            let status = Status::from_code(code).expect("only 0 is success");
            assert_eq!(status.code(), code, "{status:?}");
            let known = (abi::PINTLE_NOT_FOUND..=abi::PINTLE_PANIC).contains(&code);
            assert_eq!(matches!(status, Status::Unknown(_)), !known, "{status:?}");
        }
    }

    #[test]
    fn an_error_is_never_sent_as_success() {
        assert_eq!(Status::Unknown(0).code(), abi::PINTLE_INTERNAL);
    }

    #[test]
    fn foreign_errors_get_the_status_that_fits_and_their_causes() {
        let cases: [(Error, Status); 6] = [
            (serde_json::from_str::<u8>("x").expect_err("not JSON").into(), Status::InvalidArgument),
            ("x".parse::<u8>().expect_err("not a number").into(), Status::InvalidArgument),
            (io::Error::from(io::ErrorKind::NotFound).into(), Status::NotFound),
            (io::Error::from(io::ErrorKind::PermissionDenied).into(), Status::Denied),
            (io::Error::from(io::ErrorKind::BrokenPipe).into(), Status::Unavailable),
            (fmt::Error.into(), Status::Internal),
        ];
        for (error, status) in cases {
            assert_eq!(error.status(), status, "{error}");
            assert!(!error.message().is_empty());
        }
    }

    #[test]
    fn what_only_errors_of_the_database_have_makes_the_others_no_larger() {
        assert_eq!(size_of::<Error>(), size_of::<(Status, String)>());
        let error = Error::new(Status::Conflict, "UNIQUE constraint failed").with_sql(2_067, Some(7));
        let error = error.context("ship");
        assert_eq!((error.sql_code(), error.sql_offset()), (Some(2_067), Some(7)));
        assert_eq!(error.message(), "ship: UNIQUE constraint failed");
        assert_eq!(Error::bare(Status::Conflict).sql_code(), None);
    }

    #[test]
    fn a_missing_value_is_optional_and_nothing_else_is() {
        let missing: Result<u8> = Err(Error::bare(Status::NotFound));
        assert!(matches!(missing.optional(), Ok(None)));
        let denied: Result<u8> = Err(Error::bare(Status::Denied));
        assert!(denied.optional().is_err());
    }
}
