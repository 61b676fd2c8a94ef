//! Rows as types of serde's: a struct by the names of the columns, a tuple by their numbers, a single value.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    Row, SqlValue,
    value::{boolean, integer, real},
};
use crate::{Error, Result, Status};

pub(super) fn row<'r, T: Deserialize<'r>>(row: &Row<'r>) -> Result<T> {
    T::deserialize(Whole(row)).map_err(|failed| failed.0)
}

/// serde asks for an error that is one of the standard library's kind.
#[derive(Debug)]
struct Failed(Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {}

impl de::Error for Failed {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(Error::new(Status::WrongType, text.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the query gives no column {field:?}"))
    }
}

type Read<T> = std::result::Result<T, Failed>;

/// All columns of a row.
struct Whole<'a, 'r>(&'a Row<'r>);

impl<'r> Whole<'_, 'r> {
    /// The value of a row that has one column.
    fn single(&self) -> Read<Column<'r>> {
        match self.0.len() {
            1 => self.column(0),
            count => Err(Failed(Error::new(
                Status::WrongType,
                format!("the query gives {count} columns: a single value is read from one"),
            ))),
        }
    }

    fn column(&self, at: usize) -> Read<Column<'r>> {
        self.0.at(at).map(Column).map_err(|error| self.about(at, Failed(error)))
    }

    fn about(&self, at: usize, failed: Failed) -> Failed {
        Failed(failed.0.context(self.0.called(at)))
    }

    fn all<T>(&self, count: Option<usize>, read: impl FnOnce(Columns<'_, 'r>) -> Read<T>) -> Read<T> {
        let there = self.0.len();
        match count {
            Some(count) if count != there => Err(Failed(Error::new(
                Status::WrongType,
                format!("the query gives {there} columns: they are no tuple of {count}"),
            ))),
            _ => read(Columns { row: self, next: 0 }),
        }
    }
}

macro_rules! single {
    ($($function:ident)*) => {
        $(fn $function<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
            self.single()?.$function(visitor).map_err(|failed| self.about(0, failed))
        })*
    };
}

impl<'r> Deserializer<'r> for Whole<'_, 'r> {
    type Error = Failed;

    single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        self.all(None, |columns| visitor.visit_map(columns))
    }

    fn deserialize_struct<V: Visitor<'r>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        // `Vec<u8>`, most likely.
        if self.0.len() == 1 && matches!(self.0.at(0), Ok(SqlValue::Blob(_))) {
            return self.single()?.deserialize_seq(visitor).map_err(|failed| self.about(0, failed));
        }
        self.all(None, |columns| visitor.visit_seq(columns))
    }

    fn deserialize_tuple<V: Visitor<'r>>(self, count: usize, visitor: V) -> Read<V::Value> {
        self.all(Some(count), |columns| visitor.visit_seq(columns))
    }

    fn deserialize_tuple_struct<V: Visitor<'r>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_tuple(count, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'r>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        let nothing = self.0.len() == 1 && matches!(self.0.at(0), Ok(SqlValue::Null));
        if nothing { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'r>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.single()?.deserialize_enum(name, variants, visitor).map_err(|failed| self.about(0, failed))
    }

    fn deserialize_unit<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'r>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }
}

/// The columns of a row, one after the other.
struct Columns<'a, 'r> {
    row: &'a Whole<'a, 'r>,
    next: usize,
}

impl<'r> Columns<'_, 'r> {
    fn next<S: DeserializeSeed<'r>>(&mut self, seed: S) -> Read<S::Value> {
        let at = self.next;
        self.next += 1;
        seed.deserialize(self.row.column(at)?).map_err(|failed| self.row.about(at, failed))
    }
}

impl<'r> SeqAccess<'r> for Columns<'_, 'r> {
    type Error = Failed;

    fn next_element_seed<S: DeserializeSeed<'r>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        if self.next == self.row.0.len() { Ok(None) } else { self.next(seed).map(Some) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.row.0.len() - self.next)
    }
}

impl<'r> MapAccess<'r> for Columns<'_, 'r> {
    type Error = Failed;

    fn next_key_seed<S: DeserializeSeed<'r>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        if self.next == self.row.0.len() {
            return Ok(None);
        }
        let name: StrDeserializer<'_, Failed> = self.row.0.name(self.next).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'r>>(&mut self, seed: S) -> Read<S::Value> {
        self.next(seed)
    }
}

/// One value.
struct Column<'r>(SqlValue<'r>);

macro_rules! integers {
    ($($function:ident $visit:ident;)*) => {
        $(fn $function<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
            visitor.$visit(integer(&self.0).map_err(Failed)?)
        })*
    };
}

impl<'r> Deserializer<'r> for Column<'r> {
    type Error = Failed;

    integers! {
        deserialize_i8 visit_i8;
        deserialize_i16 visit_i16;
        deserialize_i32 visit_i32;
        deserialize_i64 visit_i64;
        deserialize_u8 visit_u8;
        deserialize_u16 visit_u16;
        deserialize_u32 visit_u32;
        deserialize_u64 visit_u64;
    }

    fn deserialize_any<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        match self.0 {
            SqlValue::Null => visitor.visit_unit(),
            SqlValue::Integer(integer) => visitor.visit_i64(integer),
            SqlValue::Real(real) => visitor.visit_f64(real),
            SqlValue::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            SqlValue::Text(Cow::Owned(text)) => visitor.visit_string(text),
            SqlValue::Blob(Cow::Borrowed(bytes)) => visitor.visit_borrowed_bytes(bytes),
            SqlValue::Blob(Cow::Owned(bytes)) => visitor.visit_byte_buf(bytes),
        }
    }

    fn deserialize_bool<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_bool(boolean(&self.0).map_err(Failed)?)
    }

    fn deserialize_f32<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_f64(real(&self.0).map_err(Failed)?)
    }

    fn deserialize_f64<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_f64(real(&self.0).map_err(Failed)?)
    }

    fn deserialize_char<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        match self.0 {
            SqlValue::Text(_) => self.deserialize_any(visitor),
            other => Err(Failed(other.is_no("a TEXT"))),
        }
    }

    fn deserialize_string<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        match self.0 {
            SqlValue::Blob(_) => self.deserialize_any(visitor),
            other => Err(Failed(other.is_no("a BLOB"))),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        match self.0 {
            SqlValue::Blob(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            other => Err(Failed(other.is_no("a BLOB"))),
        }
    }

    fn deserialize_tuple<V: Visitor<'r>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'r>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'r>>(self, visitor: V) -> Read<V::Value> {
        if self.0 == SqlValue::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'r>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'r>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        match self.0 {
            SqlValue::Text(text) => visitor.visit_enum(StrDeserializer::<Failed>::new(&text)),
            other => Err(Failed(other.is_no("a TEXT"))),
        }
    }

    fn deserialize_map<V: Visitor<'r>>(self, _: V) -> Read<V::Value> {
        Err(Failed(self.0.is_no("a struct or a map (which no value of SQL is: read a serde_json::Value)")))
    }

    fn deserialize_struct<V: Visitor<'r>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! { <V: Visitor<'r>> i128 u128 unit unit_struct identifier ignored_any }
}
