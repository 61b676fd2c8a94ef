//! The one error type: what happened, to which plugin, and what to do about it.
//!
//! A failing call from a plugin makes one of these on its way out, often on a hot path (a missing item is a
//! failure too), so the text is put together only when somebody reads it.

use std::{borrow::Cow, fmt, io, sync::Arc};

/// The result of everything in the host that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure: one for each failing status of the contract, under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for is not there.
    NotFound,
    /// An argument, a file or a setting is malformed.
    InvalidArgument,
    /// The manifest did not ask for it, or the operator does not allow it.
    Denied,
    /// The context or handle is over, belongs to another, or never was.
    StaleHandle,
    /// The caller's buffer is too small.
    BufferTooSmall,
    /// Somebody else was first.
    Conflict,
    /// The value exists but is of another type.
    WrongType,
    /// A number is outside of what is possible.
    OutOfRange,
    /// A value is larger than the limit.
    TooLarge,
    /// What the operator allows is used up.
    Quota,
    /// The deadline of the wait passed.
    Timeout,
    /// The caller gave up.
    Cancelled,
    /// There is no room for more now.
    Busy,
    /// The other side cannot answer now.
    Unavailable,
    /// This host does not know it.
    Unsupported,
    /// The plugin or the host is stopping.
    Stopping,
    /// Only the waiter itself could end the wait.
    Reentrant,
    /// The host failed in a way that it should not have.
    Internal,
    /// Code panicked or threw and was caught.
    Panic,
}

impl ErrorKind {
    /// All of them, in the order of the contract.
    const ALL: [Self; 19] = [
        Self::NotFound,
        Self::InvalidArgument,
        Self::Denied,
        Self::StaleHandle,
        Self::BufferTooSmall,
        Self::Conflict,
        Self::WrongType,
        Self::OutOfRange,
        Self::TooLarge,
        Self::Quota,
        Self::Timeout,
        Self::Cancelled,
        Self::Busy,
        Self::Unavailable,
        Self::Unsupported,
        Self::Stopping,
        Self::Reentrant,
        Self::Internal,
        Self::Panic,
    ];

    /// The kind of this name, if there is one: the other way round than [`ErrorKind::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in the contract, without the front that all statuses have: `NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Denied => "DENIED",
            Self::StaleHandle => "STALE_HANDLE",
            Self::BufferTooSmall => "BUFFER_TOO_SMALL",
            Self::Conflict => "CONFLICT",
            Self::WrongType => "WRONG_TYPE",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::TooLarge => "TOO_LARGE",
            Self::Quota => "QUOTA",
            Self::Timeout => "TIMEOUT",
            Self::Cancelled => "CANCELLED",
            Self::Busy => "BUSY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unsupported => "UNSUPPORTED",
            Self::Stopping => "STOPPING",
            Self::Reentrant => "REENTRANT",
            Self::Internal => "INTERNAL",
            Self::Panic => "PANIC",
        }
    }
}

/// A failure. Its `Display` is one sentence: `plugin "x": what happened: what to do`.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    plugin: Option<Arc<str>>,
    what: What,
    mend: Option<Cow<'static, str>>,
    /// Which byte of a text of SQL it is about.
    offset: Option<u32>,
}

#[derive(Clone)]
enum What {
    Text(Cow<'static, str>),
    /// `argument "name"` and what is wrong with it, put together when read.
    Argument(&'static str, Cow<'static, str>),
    /// Put together when read.
    Lazy(Arc<dyn Fn() -> String + Send + Sync>),
}

impl Error {
    /// A failure of `kind`; `what` says what happened, to what, without a full stop.
    pub fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, plugin: None, what: What::Text(what.into()), mend: None, offset: None }
    }

    /// A failure whose text is put together only when somebody reads it.
    pub fn lazy(kind: ErrorKind, what: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { kind, plugin: None, what: What::Lazy(Arc::new(what)), mend: None, offset: None }
    }

    /// INVALID_ARGUMENT: `problem` says what is wrong with the argument called `name`.
    pub fn argument(name: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::InvalidArgument,
            plugin: None,
            what: What::Argument(name, problem.into()),
            mend: None,
            offset: None,
        }
    }

    /// Names the plugin that it happened to.
    #[must_use]
    pub fn of(mut self, plugin: impl Into<Arc<str>>) -> Self {
        let plugin = plugin.into();
        // A plugin that passes on what the host has told it names itself in it.
        if let What::Text(text) = &mut self.what
            && let Some(rest) = text.strip_prefix(&format!("plugin \"{plugin}\": "))
        {
            *text = rest.to_owned().into();
        }
        self.plugin = Some(plugin);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<Cow<'static, str>>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Says which byte of a text of SQL it is about.
    #[must_use]
    pub(crate) fn at_offset(mut self, offset: usize) -> Self {
        self.offset = u32::try_from(offset).ok();
        self
    }

    /// What kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The plugin that it happened to, if it happened to one.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        self.plugin.as_deref()
    }

    /// Which byte of a text of SQL it is about, if the database said.
    #[must_use]
    pub fn sql_offset(&self) -> Option<usize> {
        self.offset.map(|offset| offset as usize)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(plugin) = &self.plugin {
            write!(f, "plugin \"{plugin}\": ")?;
        }
        match &self.what {
            What::Text(text) => f.write_str(text)?,
            What::Argument(name, problem) => write!(f, "argument `{name}`: {problem}")?,
            What::Lazy(text) => f.write_str(&text())?,
        }
        match &self.mend {
            Some(mend) => write!(f, ": {mend}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind)
    }
}

impl std::error::Error for Error {}

/// What to do about a failure of the operating system, where its reason says that.
pub(crate) fn mend_of(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull => Some("make room on its disk"),
        io::ErrorKind::QuotaExceeded => Some("make room there, or raise the quota of this user"),
        io::ErrorKind::FileTooLarge => Some("raise the limit of file sizes (ulimit -f)"),
        io::ErrorKind::ReadOnlyFilesystem => Some("use a place that can be written"),
        io::ErrorKind::PermissionDenied => Some("give this user the right to read and write there"),
        #[cfg(unix)]
        _ if error.raw_os_error() == Some(libc::EMFILE) => Some("allow this process more files (ulimit -n)"),
        _ => None,
    }
}
