//! The columns of a table to be created.

use pintle_abi::{
    PINTLE_COLUMN_AUTO_NUMBER, PINTLE_COLUMN_NOT_NULL, PINTLE_COLUMN_PRIMARY_KEY, PINTLE_COLUMN_UNIQUE,
    PINTLE_SQL_BLOB, PINTLE_SQL_INTEGER, PINTLE_SQL_REAL, PINTLE_SQL_TEXT, PintleSqlColumn, PintleSqlValue,
    PintleStr,
};

use super::SqlValue;

/// A column of a table to be created ([`Sql::create_table`](crate::Sql::create_table)). Its name has 1 to 63 letters, digits and
/// `_`, all of ASCII, and no digit first; nothing but its kind, and NULL, can be stored in it.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it describes a column, and creates none"]
pub struct SqlColumn<'a> {
    name: &'a str,
    kind: u32,
    flags: u32,
    default: Option<SqlValue<'a>>,
}

impl<'a> SqlColumn<'a> {
    const fn new(name: &'a str, kind: u32) -> Self {
        Self { name, kind, flags: 0, default: None }
    }

    /// Whole numbers.
    pub const fn integer(name: &'a str) -> Self {
        Self::new(name, PINTLE_SQL_INTEGER)
    }

    /// Any numbers.
    pub const fn real(name: &'a str) -> Self {
        Self::new(name, PINTLE_SQL_REAL)
    }

    /// Texts.
    pub const fn text(name: &'a str) -> Self {
        Self::new(name, PINTLE_SQL_TEXT)
    }

    /// Bytes.
    pub const fn blob(name: &'a str) -> Self {
        Self::new(name, PINTLE_SQL_BLOB)
    }

    /// It is never NULL.
    pub const fn not_null(mut self) -> Self {
        self.flags |= PINTLE_COLUMN_NOT_NULL;
        self
    }

    /// No two rows have the same value.
    pub const fn unique(mut self) -> Self {
        self.flags |= PINTLE_COLUMN_UNIQUE;
        self
    }

    /// It is the primary key, or, where more columns are, a part of it; never NULL.
    pub const fn primary_key(mut self) -> Self {
        self.flags |= PINTLE_COLUMN_PRIMARY_KEY;
        self
    }

    /// Each row that names no value gets a number that grows and was never used. For an integer that is the whole primary key.
    pub const fn auto_number(mut self) -> Self {
        self.flags |= PINTLE_COLUMN_AUTO_NUMBER;
        self
    }

    /// What rows get that name no value; otherwise NULL.
    pub fn default(mut self, value: impl Into<SqlValue<'a>>) -> Self {
        self.default = Some(value.into());
        self
    }

    pub(super) fn raw_default(&self) -> Option<PintleSqlValue> {
        self.default.as_ref().map(SqlValue::raw)
    }

    /// For as long as this and `default`, which [`raw_default`](SqlColumn::raw_default) gave, stay where they are.
    pub(super) fn raw(&self, default: &Option<PintleSqlValue>) -> PintleSqlColumn {
        PintleSqlColumn {
            size: size_of::<PintleSqlColumn>() as u32,
            flags: self.flags,
            name: PintleStr::new(self.name),
            kind: self.kind,
            reserved: 0,
            default_value: default.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
        }
    }
}
