//! Structured log records: levels, typed fields, and loggers with preset fields.

use pintle_abi::{
    PINTLE_FIELD_BOOLEAN, PINTLE_FIELD_INTEGER, PINTLE_FIELD_NUMBER, PINTLE_FIELD_TEXT,
    PINTLE_FIELD_UNSIGNED, PINTLE_LOG_DEBUG, PINTLE_LOG_ERROR, PINTLE_LOG_FATAL, PINTLE_LOG_INFO,
    PINTLE_LOG_TRACE, PINTLE_LOG_WARN, PintleCtx, PintleField, PintleLog, PintleLogger, PintleStr,
};

use crate::{
    Context, Result,
    table::{Host, function},
};

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Finest detail.
    Trace,
    /// For whoever debugs.
    Debug,
    /// What an operator wants to know of a normal day. The default level.
    Info,
    /// Something is not as it should be, the work goes on.
    Warn,
    /// Something failed.
    Error,
    /// The plugin cannot go on. It is logged, nothing exits.
    Fatal,
}

impl Level {
    const fn code(self) -> u32 {
        match self {
            Self::Trace => PINTLE_LOG_TRACE,
            Self::Debug => PINTLE_LOG_DEBUG,
            Self::Info => PINTLE_LOG_INFO,
            Self::Warn => PINTLE_LOG_WARN,
            Self::Error => PINTLE_LOG_ERROR,
            Self::Fatal => PINTLE_LOG_FATAL,
        }
    }

    #[cfg(feature = "test")]
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        let all = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];
        all.into_iter().find(|level| level.code() == code)
    }
}

/// The typed value of a field. `.into()` makes one of text, numbers and booleans.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Field<'a> {
    /// Text. Control characters are escaped: a record is always one line.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
}

macro_rules! fields {
    ($($from:ty => $kind:ident),* $(,)?) => {
        $(impl From<$from> for Field<'_> {
            fn from(value: $from) -> Self {
                Self::$kind(value.into())
            }
        })*
    };
}

fields! {
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Unsigned, u16 => Unsigned, u32 => Unsigned, u64 => Unsigned,
    f32 => Number, f64 => Number, bool => Boolean,
}

impl From<usize> for Field<'_> {
    fn from(value: usize) -> Self {
        Self::Unsigned(value as u64)
    }
}

impl From<isize> for Field<'_> {
    fn from(value: isize) -> Self {
        Self::Integer(value as i64)
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Field<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

/// Writes log records on behalf of a context. The host adds time, plugin, version, tenant and the running event or
/// job. Nothing here ever waits: where the host's buffer is full, the record is dropped and counted.
///
/// ```
/// # use pintle_plugin::{Context, Level};
/// fn report(cx: &Context, disk: &str, used: f64) {
///     cx.log().warn("the disk is nearly full", &[("disk", disk.into()), ("used", used.into())]);
///     if cx.log().enabled(Level::Debug) {
///         let all = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
///         cx.log().debug("what is mounted", &[("mounts", all.as_str().into())]);
///     }
/// }
/// ```
///
/// The short forms (`info` and so on) give no result, for a plugin cannot do anything about a log that is not there;
/// [`write`](Log::write) tells.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    cx: &'a Context,
    logger: Option<PintleLogger>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx, logger: None }
    }

    /// Writes a record at [`Level::Trace`].
    pub fn trace(&self, message: &str, fields: &[(&str, Field<'_>)]) {
        let _ = self.write(Level::Trace, message, fields);
    }

    /// Writes a record at [`Level::Debug`].
    pub fn debug(&self, message: &str, fields: &[(&str, Field<'_>)]) {
        let _ = self.write(Level::Debug, message, fields);
    }

    /// Writes a record at [`Level::Info`].
    pub fn info(&self, message: &str, fields: &[(&str, Field<'_>)]) {
        let _ = self.write(Level::Info, message, fields);
    }

    /// Writes a record at [`Level::Warn`].
    pub fn warn(&self, message: &str, fields: &[(&str, Field<'_>)]) {
        let _ = self.write(Level::Warn, message, fields);
    }

    /// Writes a record at [`Level::Error`].
    pub fn error(&self, message: &str, fields: &[(&str, Field<'_>)]) {
        let _ = self.write(Level::Error, message, fields);
    }

    /// Writes a record at [`Level::Fatal`].
    pub fn fatal(&self, message: &str, fields: &[(&str, Field<'_>)]) {
        let _ = self.write(Level::Fatal, message, fields);
    }

    /// Writes a record with at most 64 fields, if `level` is enabled for the plugin.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) (a field's name is empty or longer than 128 bytes),
    /// [`TooLarge`](crate::Status::TooLarge) (too many fields), [`StaleHandle`](crate::Status::StaleHandle).
    pub fn write(&self, level: Level, message: &str, fields: &[(&str, Field<'_>)]) -> Result<()> {
        let (ctx, level, message) = (self.cx.raw(), level.code(), PintleStr::new(message));
        let host = self.cx.host();
        let status = match self.logger {
            None => {
                let write = function!(host, log: PintleLog, write)?;
                // SAFETY: message and fields are borrowed for the call.
                with_fields(fields, |fields, count| unsafe { write(ctx, level, message, fields, count) })
            }
            Some(logger) => {
                let write = function!(host, log: PintleLog, logger_write)?;
                // SAFETY: message and fields are borrowed for the call.
                with_fields(fields, |fields, count| unsafe {
                    write(ctx, logger, level, message, fields, count)
                })
            }
        };
        self.cx.check(status)
    }

    /// Would a record of `level` be written? For fields that are dear to make.
    #[must_use]
    pub fn enabled(&self, level: Level) -> bool {
        let Ok(enabled) = function!(self.cx.host(), log: PintleLog, enabled) else { return false };
        let mut out = 0;
        // SAFETY: `out` is writable for the call; it is not written on failure, which leaves "no".
        unsafe { enabled(self.cx.raw(), level.code(), &raw mut out) };
        out != 0
    }

    /// Makes a logger whose records all begin with these fields.
    ///
    /// # Errors
    /// As [`write`](Log::write); [`Quota`](crate::Status::Quota) (1,024 loggers a plugin),
    /// [`Stopping`](crate::Status::Stopping).
    pub fn logger(&self, fields: &[(&str, Field<'_>)]) -> Result<Logger> {
        let new = function!(self.cx.host(), log: PintleLog, logger_new)?;
        let mut logger = 0;
        // SAFETY: the fields are borrowed and `logger` is writable for the call.
        let status = with_fields(fields, |fields, count| unsafe {
            new(self.cx.raw(), fields, count, &raw mut logger)
        });
        self.cx.check(status)?;
        Ok(Logger { logger, own: self.cx.own(), host: self.cx.host() })
    }
}

/// A logger with preset fields: `self.logger.on(cx).info("ready", &[])`. It belongs to the plugin, not to a tenant, and
/// may be kept in the plugin's state. Dropping it ends it.
///
/// ```
/// # use pintle_plugin::{Context, Logger, Plugin, Result};
/// struct Importer {
///     log: Logger,
/// }
///
/// impl Plugin for Importer {
///     fn load(cx: &Context) -> Result<Self> {
///         Ok(Importer { log: cx.log().logger(&[("part", "importer".into())])? })
///     }
///
///     fn enable(&self, cx: &Context) -> Result<()> {
///         self.log.on(cx).info("ready", &[]);
///         Ok(())
///     }
/// }
/// ```
pub struct Logger {
    logger: PintleLogger,
    own: PintleCtx,
    host: Host,
}

impl Logger {
    /// Writes with this logger's fields on behalf of `cx`.
    #[must_use]
    pub fn on<'a>(&self, cx: &'a Context) -> Log<'a> {
        Log { cx, logger: Some(self.logger) }
    }
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logger({:#018x})", self.logger)
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        if let Ok(free) = function!(self.host, log: PintleLog, logger_free) {
            // SAFETY: any values are allowed; after the generation's end the answer is a status and nothing happens.
            unsafe { free(self.own, self.logger) };
        }
    }
}

/// Most records have few fields: those need no allocation.
const ON_STACK: usize = 8;

fn with_fields<R>(fields: &[(&str, Field<'_>)], then: impl FnOnce(*const PintleField, usize) -> R) -> R {
    if fields.len() <= ON_STACK {
        let mut converted = [convert("", Field::Boolean(false)); ON_STACK];
        for (to, &(name, value)) in converted.iter_mut().zip(fields) {
            *to = convert(name, value);
        }
        return then(converted.as_ptr(), fields.len());
    }
    let converted: Vec<_> = fields.iter().map(|&(name, value)| convert(name, value)).collect();
    then(converted.as_ptr(), converted.len())
}

fn convert(name: &str, value: Field<'_>) -> PintleField {
    let mut field = PintleField {
        size: size_of::<PintleField>() as u32,
        kind: PINTLE_FIELD_TEXT,
        name: PintleStr::new(name),
        text: PintleStr::EMPTY,
        integer: 0,
        number: 0.0,
    };
    match value {
        Field::Text(text) => field.text = PintleStr::new(text),
        Field::Integer(integer) => (field.kind, field.integer) = (PINTLE_FIELD_INTEGER, integer),
        Field::Unsigned(unsigned) => (field.kind, field.integer) = (PINTLE_FIELD_UNSIGNED, unsigned as i64),
        Field::Number(number) => (field.kind, field.number) = (PINTLE_FIELD_NUMBER, number),
        Field::Boolean(boolean) => (field.kind, field.integer) = (PINTLE_FIELD_BOOLEAN, boolean.into()),
    }
    field
}
