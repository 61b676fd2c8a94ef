//! The values of SQL, as an application gives and gets them, and the rows that they stand in.

use std::{borrow::Cow, fmt};

use data_encoding::BASE64;
use serde_json::{Number, Value as Json, json};

use crate::{
    error::{Error, ErrorKind, Result},
    services::database::Value,
};

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL. SQLite has no NaN: it stores NULL for it.
    Real(f64),
    /// TEXT. Bytes that are no UTF-8, which only SQL itself makes of other types, are given as U+FFFD.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

/// A row, while it is handed over.
pub struct SqlRow<'a> {
    names: &'a [String],
    values: &'a [Value<'a>],
}

/// A column of a row: its number from 0 on, or its name.
pub trait SqlColumn {
    /// Its number in a row with these columns.
    #[doc(hidden)]
    fn find(&self, names: &[String]) -> Option<usize>;

    /// What to call it in an error.
    #[doc(hidden)]
    fn shown(&self) -> String;
}

/// What a value of SQL can be taken as.
pub trait FromSql: Sized {
    /// None: it is of another type.
    fn from_sql(value: SqlValue) -> Option<Self>;
}

impl<'a> SqlRow<'a> {
    pub(super) fn of(names: &'a [String], values: &'a [Value<'a>]) -> Self {
        Self { names, values }
    }

    /// The names of its columns, as the statement has them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        self.names
    }

    /// How many columns it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has none, which no row has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a column, by its number from 0 on or by its name (the first of that name).
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is no such column. WRONG_TYPE: the value is of another type; NULL is one that only `Option` takes.
    pub fn get<T: FromSql>(&self, column: impl SqlColumn) -> Result<T> {
        let value = column.find(self.names).and_then(|at| self.value(at)).ok_or_else(|| {
            let (column, names) = (column.shown(), self.names.join(", "));
            Error::new(ErrorKind::NotFound, format!("the row has no column {column}: there are {names}"))
        })?;
        let is = value.type_name();
        T::from_sql(value).ok_or_else(|| {
            let text = format!("column {} is {is} in this row", column.shown());
            Error::new(ErrorKind::WrongType, text)
        })
    }

    /// The value of a column, whatever its type; None if there are not so many.
    #[must_use]
    pub fn value(&self, at: usize) -> Option<SqlValue> {
        self.values.get(at).map(|value| match *value {
            Value::Null => SqlValue::Null,
            Value::Integer(integer) => SqlValue::Integer(integer),
            Value::Real(real) => SqlValue::Real(real),
            Value::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
            Value::Blob(blob) => SqlValue::Blob(blob.to_vec()),
        })
    }

    /// About how many bytes its values have.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = self.values.iter().map(|value| match value {
            Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 8,
        });
        bytes.sum()
    }
}

impl SqlValue {
    /// The name of its type, as SQL writes it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Integer(_) => "INTEGER",
            Self::Real(_) => "REAL",
            Self::Text(_) => "TEXT",
            Self::Blob(_) => "BLOB",
        }
    }

    /// As it stands in JSON at the control socket: null, a number without a fraction, a number with one, a string,
    /// `{"$blob": "base64"}`. The infinite numbers, which JSON has not, are `{"$real": "inf"}` and `{"$real": "-inf"}`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(integer) => (*integer).into(),
            Self::Real(real) => match Number::from_f64(*real) {
                Some(number) => Json::Number(number),
                None if real.is_nan() => Json::Null,
                None => json!({ "$real": if *real > 0.0 { "inf" } else { "-inf" } }),
            },
            Self::Text(text) => text.as_str().into(),
            Self::Blob(blob) => json!({ "$blob": BASE64.encode(blob) }),
        }
    }

    /// The other way round; `true` and `false` are 1 and 0.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: it is a list, another object, or an integer of more than 64 bits with its sign.
    pub fn from_json(json: &Json) -> Result<Self> {
        let none = |why: Cow<'static, str>| Error::argument("values", why);
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(is) => Ok(Self::Integer(i64::from(*is))),
            Json::Number(number) => match (number.as_i64(), number.is_f64(), number.as_f64()) {
                (Some(integer), ..) => Ok(Self::Integer(integer)),
                (None, true, Some(real)) => Ok(Self::Real(real)),
                _ => Err(none(
                    format!("{number} is no integer of 64 bits: write it as a text, or as a real").into(),
                )),
            },
            Json::String(text) => Ok(Self::Text(text.clone())),
            Json::Object(members) if members.len() == 1 => {
                match (
                    members.get("$blob").and_then(Json::as_str),
                    members.get("$real").and_then(Json::as_str),
                ) {
                    (Some(coded), _) => {
                        let blob = BASE64.decode(coded.as_bytes());
                        let wrong =
                            |error| none(format!("`$blob` has no base64 with padding: {error}").into());
                        Ok(Self::Blob(blob.map_err(wrong)?))
                    }
                    (_, Some("inf")) => Ok(Self::Real(f64::INFINITY)),
                    (_, Some("-inf")) => Ok(Self::Real(f64::NEG_INFINITY)),
                    _ => Err(none(NO_VALUE.into())),
                }
            }
            Json::Object(_) | Json::Array(_) => Err(none(NO_VALUE.into())),
        }
    }
}

const NO_VALUE: &str = "a value is null, true, false, a number, a text, {\"$blob\": \"base64\"}, or {\"$real\": \"inf\"} or \"-inf\"";

/// A value as the engine takes it.
pub(super) fn lent(value: &SqlValue) -> Value<'_> {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(integer) => Value::Integer(*integer),
        SqlValue::Real(real) => Value::Real(*real),
        SqlValue::Text(text) => Value::Text(text.as_bytes()),
        SqlValue::Blob(blob) => Value::Blob(blob),
    }
}

impl SqlColumn for usize {
    fn find(&self, names: &[String]) -> Option<usize> {
        (*self < names.len()).then_some(*self)
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl SqlColumn for &str {
    fn find(&self, names: &[String]) -> Option<usize> {
        names.iter().position(|name| name == self)
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl FromSql for SqlValue {
    fn from_sql(value: SqlValue) -> Option<Self> {
        Some(value)
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: SqlValue) -> Option<Self> {
        match value {
            SqlValue::Null => Some(None),
            value => T::from_sql(value).map(Some),
        }
    }
}

/// What is of one type of SQL: both ways.
macro_rules! of_one_type {
    ($($type:ty, $variant:ident, $into:expr, $from:expr;)*) => {$(
        impl FromSql for $type {
            fn from_sql(value: SqlValue) -> Option<Self> {
                match value {
                    SqlValue::$variant(value) => $from(value),
                    _ => None,
                }
            }
        }

        impl From<$type> for SqlValue {
            fn from(value: $type) -> Self {
                Self::$variant($into(value))
            }
        }
    )*};
}

of_one_type! {
    i64, Integer, |value| value, Some;
    i32, Integer, i64::from, |value| i32::try_from(value).ok();
    u32, Integer, i64::from, |value| u32::try_from(value).ok();
    bool, Integer, i64::from, |value| (value == 0 || value == 1).then_some(value == 1);
    f64, Real, |value| value, Some;
    String, Text, |value| value, Some;
    Vec<u8>, Blob, |value| value, Some;
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u8]> for SqlValue {
    fn from(blob: &[u8]) -> Self {
        Self::Blob(blob.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl fmt::Debug for SqlRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = (0..self.len()).filter_map(|at| Some((self.names.get(at)?, self.value(at)?)));
        f.debug_map().entries(values).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_the_same_again_after_json() {
        let text = "a'\"\u{0}\u{1b}\u{1f980}";
        for value in [
            SqlValue::Null,
            i64::MIN.into(),
            i64::MAX.into(),
            0_i64.into(),
            1.0.into(),
            (-0.0).into(),
            f64::MIN_POSITIVE.into(),
            1e300.into(),
            f64::INFINITY.into(),
            f64::NEG_INFINITY.into(),
            "".into(),
            text.into(),
            SqlValue::Blob(Vec::new()),
            SqlValue::Blob((0..=255).collect()),
        ] {
            let written = value.to_json().to_string();
            let read = serde_json::from_str(&written).expect("it is JSON");
            let back = SqlValue::from_json(&read).expect("it is a value");
            assert_eq!(back, value, "{written}");
            assert_eq!(back.type_name(), value.type_name(), "{written}");
        }
        assert_eq!(SqlValue::Real(f64::NAN).to_json(), Json::Null);
    }

    #[test]
    fn json_that_is_no_value_is_refused() {
        for wrong in [
            "[1]",
            "{}",
            "9223372036854775808",
            "{\"$blob\": 1}",
            "{\"$blob\": \"a\"}",
            "{\"$real\": \"nan\"}",
            "{\"$blob\": \"\", \"x\": 1}",
        ] {
            let read = serde_json::from_str(wrong).expect("it is JSON");
            let error = SqlValue::from_json(&read).expect_err(wrong);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{wrong}");
        }
    }

    #[test]
    fn a_column_is_found_by_number_and_name_and_taken_as_what_it_is() {
        let names = ["a", "b", "a"].map(str::to_owned);
        let row = [Value::Integer(300), Value::Null, Value::Text(b"x")];
        let row = SqlRow::of(&names, &row);
        assert_eq!(row.get::<i64>("a").ok(), Some(300));
        assert_eq!(row.get::<String>(2).ok().as_deref(), Some("x"));
        assert_eq!(row.get::<Option<f64>>("b").ok(), Some(None));
        for (wrong, kind) in [
            (row.get::<String>("a").err(), ErrorKind::WrongType),
            (row.get::<bool>("a").err(), ErrorKind::WrongType),
            (row.get::<i64>("b").err(), ErrorKind::WrongType),
            (row.get::<i64>("c").err(), ErrorKind::NotFound),
            (row.get::<i64>(3).err(), ErrorKind::NotFound),
        ] {
            assert_eq!(wrong.map(|error| error.kind()), Some(kind));
        }
    }
}
