//! Values and rows as they cross the boundary.

use pintle_abi::*;

use super::super::{input, thread};
use crate::{
    error::{Error, ErrorKind, Result},
    services::database::{Column, ColumnKind, Rows, Value},
};

const LONGEST_NAME: usize = 63;

/// How many values are taken without memory of their own.
const FEW: usize = 8;

/// The flags of a column that this host knows.
const COLUMN_FLAGS: u32 =
    PINTLE_COLUMN_NOT_NULL | PINTLE_COLUMN_UNIQUE | PINTLE_COLUMN_PRIMARY_KEY | PINTLE_COLUMN_AUTO_NUMBER;

/// The values of a statement's placeholders.
pub(super) struct Bound<'a> {
    few: [Value<'a>; FEW],
    many: Vec<Value<'a>>,
    count: usize,
}

impl<'a> Bound<'a> {
    /// # Safety
    /// A non-null pointer leads to `count` values, and what they lead to is readable, for as long as this is used.
    pub(super) unsafe fn take(values: *const PintleSqlValue, count: usize, most: usize) -> Result<Self> {
        let mut bound = Self { few: [Value::Null; FEW], many: Vec::new(), count };
        if count == 0 {
            return Ok(bound);
        }
        if count > most {
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!("argument `values`: {count} values, at most {most} are taken")
            }));
        }
        if values.is_null() {
            return Err(Error::argument("values", "the pointer is null, the count is not 0"));
        }
        if count > FEW {
            bound.many.reserve_exact(count);
        }
        for index in 0..count {
            // SAFETY: the caller vouches for `count` values and for what they lead to.
            let value = unsafe { value("values", index, &values.add(index).read_unaligned()) }?;
            if count > FEW { bound.many.push(value) } else { bound.few[index] = value }
        }
        Ok(bound)
    }

    pub(super) fn values(&self) -> &[Value<'a>] {
        if self.count > FEW { &self.many } else { &self.few[..self.count] }
    }

    /// Of texts and blobs.
    pub(super) fn bytes(&self) -> usize {
        self.values().iter().map(length).sum()
    }
}

/// # Safety
/// What the value leads to is readable for as long as it is used.
unsafe fn value<'a>(argument: &'static str, index: usize, given: &PintleSqlValue) -> Result<Value<'a>> {
    let PintleSqlValue { kind, reserved, .. } = *given;
    if kind > PINTLE_SQL_BLOB || reserved != 0 {
        return Err(Error::lazy(ErrorKind::Unsupported, move || {
            let (member, number) = if reserved == 0 { ("kind", kind) } else { ("reserved", reserved) };
            format!(
                "argument `{argument}`: value {index} has the `{member}` {number}, which this host does not know: was it initialised"
            )
        }));
    }
    let bytes = || {
        // SAFETY: the caller vouches for it.
        unsafe { input::raw(argument, given.bytes.ptr, given.bytes.len) }
    };
    Ok(match kind {
        PINTLE_SQL_INTEGER => Value::Integer(given.integer),
        PINTLE_SQL_REAL => Value::Real(given.real),
        PINTLE_SQL_BLOB => Value::Blob(bytes()?),
        PINTLE_SQL_TEXT => {
            let text = bytes()?;
            if let Err(error) = str::from_utf8(text) {
                let at = error.valid_up_to();
                return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                    format!(
                        "argument `{argument}`: value {index} is no UTF-8 from byte {at} on: pass it as a BLOB"
                    )
                }));
            }
            Value::Text(text)
        }
        _ => Value::Null,
    })
}

fn length(value: &Value<'_>) -> usize {
    match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 8,
    }
}

/// Hands rows over to the functions that a caller has passed.
pub(super) struct Handover {
    rows: PintleSqlRows,
    /// For one row.
    row: Vec<PintleSqlValue>,
    bytes: usize,
}

impl Handover {
    pub(super) fn new(rows: PintleSqlRows) -> Self {
        Self { rows, row: Vec::new(), bytes: 0 }
    }

    /// Of what was handed over.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Rows for Handover {
    fn wants_columns(&self) -> bool {
        self.rows.columns.is_some()
    }

    fn columns(&mut self, names: &[&str]) -> Result<()> {
        let Some(columns) = self.rows.columns else { return Ok(()) };
        let names: Vec<_> = names.iter().map(|name| PintleStr::new(name)).collect();
        // SAFETY: the contract lets the function be called with its `data` until the call returns that it was passed to.
        tell(|| unsafe { columns(self.rows.data, names.as_ptr(), names.len()) })
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        let Some(row) = self.rows.row else { return Ok(()) };
        self.row.clear();
        for value in values {
            self.bytes += length(value);
            self.row.push(told(value));
        }
        // SAFETY: as above; the values are borrowed for this one call.
        tell(|| unsafe { row(self.rows.data, self.row.as_ptr(), self.row.len()) })
    }
}

#[inline]
fn told(value: &Value<'_>) -> PintleSqlValue {
    match *value {
        Value::Null => PintleSqlValue::NULL,
        Value::Integer(integer) => {
            PintleSqlValue { kind: PINTLE_SQL_INTEGER, integer, ..PintleSqlValue::NULL }
        }
        Value::Real(real) => PintleSqlValue { kind: PINTLE_SQL_REAL, real, ..PintleSqlValue::NULL },
        Value::Text(text) => {
            PintleSqlValue { kind: PINTLE_SQL_TEXT, bytes: PintleBytes::new(text), ..PintleSqlValue::NULL }
        }
        Value::Blob(blob) => {
            PintleSqlValue { kind: PINTLE_SQL_BLOB, bytes: PintleBytes::new(blob), ..PintleSqlValue::NULL }
        }
    }
}

/// Runs a function that a caller has passed. CANCELLED if it refuses.
#[inline]
fn tell(each: impl FnOnce() -> PintleStatus) -> Result<()> {
    let status = thread::inside_sink(each);
    if status != PINTLE_OK {
        return Err(Error::lazy(ErrorKind::Cancelled, move || {
            format!(
                "the function that was passed in `rows` refused with status {status}: the query was ended"
            )
        }));
    }
    Ok(())
}

/// A column of a table to be created.
///
/// # Safety
/// What it leads to is readable for as long as it is used.
pub(super) unsafe fn column<'a>(index: usize, given: &PintleSqlColumn) -> Result<Column<'a>> {
    let PintleSqlColumn { flags, kind, reserved, default_value, .. } = *given;
    if reserved != 0 {
        return Err(Error::lazy(ErrorKind::Unsupported, move || {
            format!(
                "argument `columns`: column {index} has the `reserved` {reserved}, which this host does not know"
            )
        }));
    }
    if flags & !COLUMN_FLAGS != 0 {
        return Err(Error::lazy(ErrorKind::Unsupported, move || {
            format!("argument `columns`: column {index} has flags that this host does not know ({flags:#x})")
        }));
    }
    // SAFETY: the caller vouches for it.
    let of = unsafe { input::text("columns", given.name, input::LONGEST_CURSOR) }?;
    name("columns", of)?;
    let kind = match kind {
        PINTLE_SQL_INTEGER => ColumnKind::Integer,
        PINTLE_SQL_REAL => ColumnKind::Real,
        PINTLE_SQL_TEXT => ColumnKind::Text,
        PINTLE_SQL_BLOB => ColumnKind::Blob,
        kind => {
            let text = format!("column {of:?} has the kind {kind}: INTEGER, REAL, TEXT or BLOB is stored");
            return Err(Error::argument("columns", text));
        }
    };
    let default = if default_value.is_null() {
        None
    } else {
        // SAFETY: not null; the caller vouches for it.
        Some(unsafe { value("columns", index, &default_value.read_unaligned()) }?)
    };
    Ok(Column {
        name: of,
        kind,
        not_null: flags & PINTLE_COLUMN_NOT_NULL != 0,
        unique: flags & PINTLE_COLUMN_UNIQUE != 0,
        primary_key: flags & PINTLE_COLUMN_PRIMARY_KEY != 0,
        auto_number: flags & PINTLE_COLUMN_AUTO_NUMBER != 0,
        default,
    })
}

/// That a table or a column can be called so, in every database.
pub(super) fn name(argument: &'static str, name: &str) -> Result<()> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !starts || !goes_on || name.len() > LONGEST_NAME {
        let text = format!(
            "{name:?} is no name: 1 to {LONGEST_NAME} letters, digits and `_` of ASCII, and no digit first"
        );
        return Err(Error::argument(argument, text));
    }
    Ok(())
}

/// That the columns make a table.
pub(super) fn check(columns: &[Column<'_>]) -> Result<()> {
    let wrong = |text: String| Err(Error::argument("columns", text));
    if columns.is_empty() {
        return wrong("there are none, 1 to 256 are taken".into());
    }
    let keys = columns.iter().filter(|column| column.primary_key).count();
    for (at, column) in columns.iter().enumerate() {
        let of = column.name;
        if columns[..at].iter().any(|before| before.name.eq_ignore_ascii_case(of)) {
            return wrong(format!("two columns are called {of:?}"));
        }
        if column.auto_number && !(column.primary_key && keys == 1 && column.kind == ColumnKind::Integer) {
            return wrong(format!(
                "column {of:?} numbers rows, and is no INTEGER that is the whole primary key"
            ));
        }
    }
    Ok(())
}
