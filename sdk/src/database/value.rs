//! Values of SQL: what is bound to a placeholder ([`ToSql`], [`params!`](crate::params!)), and what a column of a row is read
//! as ([`FromSql`]).

use std::{borrow::Cow, marker::PhantomData, rc::Rc, sync::Arc};

use pintle_abi::{
    PINTLE_SQL_BLOB, PINTLE_SQL_INTEGER, PINTLE_SQL_NULL, PINTLE_SQL_REAL, PINTLE_SQL_TEXT, PintleBytes,
    PintleSqlValue,
};
use serde_json::Value as Json;

use crate::{Error, Result, Status, wire};

/// A value of SQL, of one of its five kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue<'a> {
    /// Nothing is known.
    Null,
    /// A whole number.
    Integer(i64),
    /// Any other number. NaN is stored as NULL, as SQL has none.
    Real(f64),
    /// UTF-8.
    Text(Cow<'a, str>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
}

impl<'a> SqlValue<'a> {
    /// The same with texts and bytes of its own, so that it outlives the row that it was read from.
    #[must_use]
    pub fn into_owned(self) -> SqlValue<'static> {
        match self {
            Self::Null => SqlValue::Null,
            Self::Integer(integer) => SqlValue::Integer(integer),
            Self::Real(real) => SqlValue::Real(real),
            Self::Text(text) => SqlValue::Text(Cow::Owned(text.into_owned())),
            Self::Blob(blob) => SqlValue::Blob(Cow::Owned(blob.into_owned())),
        }
    }

    pub(super) fn raw(&self) -> PintleSqlValue {
        let null = PintleSqlValue::NULL;
        match self {
            Self::Null => null,
            Self::Integer(integer) => PintleSqlValue { kind: PINTLE_SQL_INTEGER, integer: *integer, ..null },
            Self::Real(real) => PintleSqlValue { kind: PINTLE_SQL_REAL, real: *real, ..null },
            Self::Text(text) => {
                PintleSqlValue { kind: PINTLE_SQL_TEXT, bytes: PintleBytes::new(text.as_bytes()), ..null }
            }
            Self::Blob(blob) => {
                PintleSqlValue { kind: PINTLE_SQL_BLOB, bytes: PintleBytes::new(blob), ..null }
            }
        }
    }

    /// What the host gave.
    ///
    /// # Safety
    /// What the value leads to is readable and unchanged for `'a`.
    pub(super) unsafe fn read(raw: &PintleSqlValue) -> Result<Self> {
        // SAFETY: the caller's promise.
        let bytes = || unsafe { wire::bytes::<'a>(raw.bytes) };
        Ok(match raw.kind {
            PINTLE_SQL_NULL => Self::Null,
            PINTLE_SQL_INTEGER => Self::Integer(raw.integer),
            PINTLE_SQL_REAL => Self::Real(raw.real),
            PINTLE_SQL_BLOB => Self::Blob(Cow::Borrowed(bytes())),
            PINTLE_SQL_TEXT => {
                // A text that SQL has made of other bytes (`CAST(x'ff' AS TEXT)`) is stored as it is.
                let text = str::from_utf8(bytes()).map_err(|error| {
                    let text = format!(
                        "its text is no UTF-8 from byte {} on: select it as CAST(… AS BLOB)",
                        error.valid_up_to()
                    );
                    Error::new(Status::WrongType, text)
                })?;
                Self::Text(Cow::Borrowed(text))
            }
            kind => {
                let text = format!("the host gave a value of kind {kind}, which this plugin does not know");
                return Err(Error::new(Status::Unsupported, text));
            }
        })
    }

    /// As SQL calls its kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Integer(_) => "INTEGER",
            Self::Real(_) => "REAL",
            Self::Text(_) => "TEXT",
            Self::Blob(_) => "BLOB",
        }
    }

    /// That it is not what is wanted.
    pub(super) fn is_no(&self, wanted: &str) -> Error {
        let text = match self {
            Self::Null => format!("NULL, where {wanted} is expected: only an `Option` takes it"),
            other => format!("{}, where {wanted} is expected", other.kind()),
        };
        Error::new(Status::WrongType, text)
    }
}

/// What can be bound to a placeholder. Texts and bytes are borrowed, not copied.
///
/// | | |
/// |---|---|
/// | integers, `bool` | INTEGER; [`OutOfRange`](Status::OutOfRange) above `i64::MAX` |
/// | `f64`, `f32` | REAL |
/// | `str`, `String` | TEXT |
/// | `[u8]`, `Vec<u8>`, `[u8; N]` | BLOB |
/// | `Option<T>` | NULL for `None` |
/// | [`serde_json::Value`] | TEXT, as JSON, which SQL's functions for JSON read; `null` too |
/// | [`SqlValue`] | what it is |
///
/// ```
/// use pintle_plugin::{Result, SqlValue, ToSql};
///
/// struct Flag(String);
///
/// impl ToSql for Flag {
///     fn to_sql(&self) -> Result<SqlValue<'_>> {
///         self.0.to_sql()
///     }
/// }
/// ```
pub trait ToSql {
    /// The value that is bound.
    ///
    /// # Errors
    /// Whatever it cannot be for.
    fn to_sql(&self) -> Result<SqlValue<'_>>;
}

/// The values of a statement's placeholders, in order. From [`params!`](crate::params!).
pub type Params<'p> = &'p [&'p dyn ToSql];

/// The values of a statement's placeholders, in order, whatever types they have ([`ToSql`]).
///
/// ```
/// # use pintle_plugin::{Context, Result, params};
/// fn moor(cx: &Context, ship: &str, berth: u32, flag: Option<&str>) -> Result<()> {
///     cx.database().execute("INSERT INTO ships VALUES (?1, ?2, ?3)", params![ship, berth, flag])?;
///     Ok(())
/// }
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::ToSql),*] as &[&dyn $crate::ToSql]
    };
}

/// What a column of a row can be read as ([`Row::get`](crate::Row::get)): the counterpart of [`ToSql`].
///
/// Nothing is rounded or cut off on the way: an integer that does not fit is [`OutOfRange`](Status::OutOfRange), a value of
/// another kind [`WrongType`](Status::WrongType), and so is NULL for all but `Option`. `f64` takes INTEGER where it is exact.
pub trait FromSql<'r>: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// That it is none of this type.
    fn from_sql(value: SqlValue<'r>) -> Result<Self>;
}

/// The largest integer below which `f64` has all of them.
const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;

pub(super) fn integer<T: TryFrom<i64>>(value: &SqlValue<'_>) -> Result<T> {
    let SqlValue::Integer(integer) = *value else { return Err(value.is_no("an INTEGER")) };
    T::try_from(integer).map_err(|_| {
        let text = format!("{integer} is out of range for {}", std::any::type_name::<T>());
        Error::new(Status::OutOfRange, text)
    })
}

pub(super) fn boolean(value: &SqlValue<'_>) -> Result<bool> {
    match *value {
        SqlValue::Integer(0) => Ok(false),
        SqlValue::Integer(1) => Ok(true),
        SqlValue::Integer(other) => {
            Err(Error::new(Status::OutOfRange, format!("{other} is out of range for bool: it is 0 or 1")))
        }
        _ => Err(value.is_no("an INTEGER, 0 or 1,")),
    }
}

pub(super) fn real(value: &SqlValue<'_>) -> Result<f64> {
    match *value {
        SqlValue::Real(real) => Ok(real),
        SqlValue::Integer(integer) if integer.unsigned_abs() <= EXACT => Ok(integer as f64),
        SqlValue::Integer(integer) => {
            let text = format!("{integer} is out of range for f64, which would round it");
            Err(Error::new(Status::OutOfRange, text))
        }
        _ => Err(value.is_no("a REAL")),
    }
}

macro_rules! integers {
    ($($fits:ident)* ; $($checked:ident)*) => {
        $(
            impl ToSql for $fits {
                fn to_sql(&self) -> Result<SqlValue<'_>> {
                    Ok(SqlValue::Integer(i64::from(*self)))
                }
            }

            impl From<$fits> for SqlValue<'_> {
                fn from(integer: $fits) -> Self {
                    Self::Integer(i64::from(integer))
                }
            }
        )*
        $(
            impl ToSql for $checked {
                fn to_sql(&self) -> Result<SqlValue<'_>> {
                    i64::try_from(*self).map(SqlValue::Integer).map_err(|_| {
                        let text = format!("{self} is above {}, the largest integer of SQL", i64::MAX);
                        Error::new(Status::OutOfRange, text)
                    })
                }
            }
        )*
        $(integers!(@read $fits);)*
        $(integers!(@read $checked);)*
    };
    (@read $type:ident) => {
        impl FromSql<'_> for $type {
            fn from_sql(value: SqlValue<'_>) -> Result<Self> {
                integer(&value)
            }
        }
    };
}

integers! { i8 i16 i32 i64 u8 u16 u32; u64 usize isize }

impl ToSql for bool {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok((*self).into())
    }
}

impl From<bool> for SqlValue<'_> {
    fn from(yes: bool) -> Self {
        Self::Integer(yes.into())
    }
}

impl FromSql<'_> for bool {
    fn from_sql(value: SqlValue<'_>) -> Result<Self> {
        boolean(&value)
    }
}

impl ToSql for f64 {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok((*self).into())
    }
}

impl From<f64> for SqlValue<'_> {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl FromSql<'_> for f64 {
    fn from_sql(value: SqlValue<'_>) -> Result<Self> {
        real(&value)
    }
}

impl ToSql for f32 {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok(SqlValue::Real((*self).into()))
    }
}

impl ToSql for str {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok(self.into())
    }
}

impl<'a> From<&'a str> for SqlValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'r> FromSql<'r> for &'r str {
    fn from_sql(value: SqlValue<'r>) -> Result<Self> {
        match value {
            SqlValue::Text(Cow::Borrowed(text)) => Ok(text),
            SqlValue::Text(Cow::Owned(_)) => Err(owned()),
            other => Err(other.is_no("a TEXT")),
        }
    }
}

impl ToSql for String {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        self.as_str().to_sql()
    }
}

impl FromSql<'_> for String {
    fn from_sql(value: SqlValue<'_>) -> Result<Self> {
        match value {
            SqlValue::Text(text) => Ok(text.into_owned()),
            other => Err(other.is_no("a TEXT")),
        }
    }
}

impl ToSql for [u8] {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok(self.into())
    }
}

impl<'a> From<&'a [u8]> for SqlValue<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(Cow::Borrowed(bytes))
    }
}

impl<'r> FromSql<'r> for &'r [u8] {
    fn from_sql(value: SqlValue<'r>) -> Result<Self> {
        match value {
            SqlValue::Blob(Cow::Borrowed(bytes)) => Ok(bytes),
            SqlValue::Blob(Cow::Owned(_)) => Err(owned()),
            other => Err(other.is_no("a BLOB")),
        }
    }
}

/// Values of rows are borrowed; only somebody's own call can come here.
fn owned() -> Error {
    Error::new(Status::WrongType, "the value has a text of its own, which nothing can be borrowed from")
}

impl<const N: usize> ToSql for [u8; N] {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        self.as_slice().to_sql()
    }
}

impl ToSql for Vec<u8> {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        self.as_slice().to_sql()
    }
}

impl FromSql<'_> for Vec<u8> {
    fn from_sql(value: SqlValue<'_>) -> Result<Self> {
        match value {
            SqlValue::Blob(bytes) => Ok(bytes.into_owned()),
            other => Err(other.is_no("a BLOB")),
        }
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        self.as_ref().map_or(Ok(SqlValue::Null), ToSql::to_sql)
    }
}

impl<'r, T: FromSql<'r>> FromSql<'r> for Option<T> {
    fn from_sql(value: SqlValue<'r>) -> Result<Self> {
        if value == SqlValue::Null { Ok(None) } else { T::from_sql(value).map(Some) }
    }
}

impl ToSql for Json {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok(SqlValue::Text(Cow::Owned(self.to_string())))
    }
}

impl FromSql<'_> for Json {
    fn from_sql(value: SqlValue<'_>) -> Result<Self> {
        let SqlValue::Text(text) = value else { return Err(value.is_no("a TEXT of JSON")) };
        serde_json::from_str(&text).map_err(|error| Error::new(Status::WrongType, error.to_string()))
    }
}

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        Ok(match self {
            Self::Null => SqlValue::Null,
            Self::Integer(integer) => SqlValue::Integer(*integer),
            Self::Real(real) => SqlValue::Real(*real),
            Self::Text(text) => SqlValue::Text(Cow::Borrowed(text)),
            Self::Blob(blob) => SqlValue::Blob(Cow::Borrowed(blob)),
        })
    }
}

impl<'r> FromSql<'r> for SqlValue<'r> {
    fn from_sql(value: SqlValue<'r>) -> Result<Self> {
        Ok(value)
    }
}

macro_rules! through {
    ($($pointer:ty),*) => {
        $(impl<T: ToSql + ?Sized> ToSql for $pointer {
            fn to_sql(&self) -> Result<SqlValue<'_>> {
                (**self).to_sql()
            }
        })*
    };
}

through!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

impl<T: ToSql + ToOwned + ?Sized> ToSql for Cow<'_, T> {
    fn to_sql(&self) -> Result<SqlValue<'_>> {
        (**self).to_sql()
    }
}

/// Values as they cross, for as long as what they were made of is lent.
pub(super) struct Bound<'p> {
    few: [PintleSqlValue; FEW],
    many: Vec<PintleSqlValue>,
    count: usize,
    /// Those that had to be written first, such as JSON.
    written: Vec<SqlValue<'p>>,
    lent: PhantomData<Params<'p>>,
}

/// So many are bound without memory of their own.
const FEW: usize = 8;

impl<'p> Bound<'p> {
    pub(super) fn take(params: Params<'p>) -> Result<Self> {
        let mut bound = Self {
            few: [PintleSqlValue::NULL; FEW],
            many: Vec::new(),
            count: params.len(),
            written: Vec::new(),
            lent: PhantomData,
        };
        if params.len() > FEW {
            bound.many.reserve_exact(params.len());
        }
        for (at, param) in params.iter().enumerate() {
            let value = param
                .to_sql()
                .map_err(|error| error.context(format_args!("the value of placeholder {}", at + 1)))?;
            let raw = value.raw();
            if params.len() > FEW {
                bound.many.push(raw);
            } else {
                bound.few[at] = raw;
            }
            // Its bytes stay where they are when the value is moved.
            if matches!(value, SqlValue::Text(Cow::Owned(_)) | SqlValue::Blob(Cow::Owned(_))) {
                bound.written.push(value);
            }
        }
        Ok(bound)
    }

    pub(super) fn as_ptr(&self) -> *const PintleSqlValue {
        if self.count > FEW { self.many.as_ptr() } else { self.few.as_ptr() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }
}
