//! A record as it is handed to the log: what its writer says, and what the host knows about the moment.

use super::{Level, json::Line, text};

/// One record. Who writes it is said by the gate that it goes through.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How much it matters.
    pub level: Level,
    /// What happened. Bad UTF-8 is replaced; longer than 64 KiB is cut.
    pub message: &'a [u8],
    /// On whose behalf; empty for the system scope.
    pub tenant: &'a str,
    /// What runs, if something of the plugin does.
    pub running: Option<Running<'a>>,
    /// Fields that come first, encoded before.
    pub preset: Option<&'a Preset>,
}

impl<'a> Record<'a> {
    /// A record in the system scope, outside of any event or job.
    #[must_use]
    pub const fn new(level: Level, message: &'a [u8]) -> Self {
        Self { level, message, tenant: "", running: None, preset: None }
    }
}

/// What a record was written in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running<'a> {
    /// The handler of the event with this id.
    Event(&'a str),
    /// The job with this name.
    Job(&'a str),
    /// The answer to a call of this method.
    Call(&'a str),
}

impl<'a> Running<'a> {
    pub(super) fn key_and_name(self) -> (&'static str, &'a str) {
        match self {
            Self::Event(id) => ("event", id),
            Self::Job(name) => ("job", name),
            Self::Call(method) => ("call", method),
        }
    }
}

/// A typed value of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text; bad UTF-8 is replaced.
    Text(&'a [u8]),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A number; infinities and NaN are written as text.
    Number(f64),
    /// A boolean.
    Boolean(bool),
}

/// A named, typed value of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its name. A name that the host writes itself gets a trailing `_`; the second of the same name a `_2`.
    pub name: &'a str,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// A field with text.
    #[must_use]
    pub const fn text(name: &'a str, text: &'a str) -> Self {
        Self { name, value: Value::Text(text.as_bytes()) }
    }

    /// A field with an unsigned integer.
    #[must_use]
    pub const fn unsigned(name: &'a str, number: u64) -> Self {
        Self { name, value: Value::Unsigned(number) }
    }
}

/// Fields that many records share, encoded once.
#[derive(Clone, Debug, Default)]
pub struct Preset {
    pub(super) json: Line,
    pub(super) text: Vec<u8>,
}

impl Preset {
    /// Encodes `fields`.
    #[must_use]
    pub fn new<'f>(fields: impl IntoIterator<Item = Field<'f>>) -> Self {
        let mut preset = Self::default();
        let mut plain = Line::default();
        for field in fields {
            preset.json.field(&field);
            text::field(&mut plain, &field, false);
        }
        preset.text = plain.out;
        preset
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.json.out.len() + self.text.len()
    }
}
