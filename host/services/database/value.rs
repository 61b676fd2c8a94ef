//! What statements are given and what they answer: values, rows, and what is known of a statement that has run.

use crate::error::Result;

/// A value of SQL, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// UTF-8, unless SQL itself has made it of other bytes.
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// A statement with the values of its placeholders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) sql: &'a str,
    pub(crate) values: &'a [Value<'a>],
    /// How many rows it may give; one more ends it.
    pub(crate) max_rows: u64,
    pub(crate) writes: Writes,
}

/// Whether a statement may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Allowed,
    /// UNAVAILABLE: the plugin is in `load` or `restore`.
    Preparing,
    /// DENIED: its grants name `query` alone.
    NotGranted,
    /// DENIED: an operator who only looks.
    LooksOnly,
    /// INVALID_ARGUMENT: the transaction only reads.
    ReadOnly,
}

/// Who takes the rows of a query.
pub(crate) trait Rows {
    /// Whether the names of the columns are wanted.
    fn wants_columns(&self) -> bool {
        true
    }

    /// The names of the columns, once, before the first row.
    fn columns(&mut self, names: &[&str]) -> Result<()>;

    /// The next row. An error ends the statement with it.
    fn row(&mut self, values: &[Value<'_>]) -> Result<()>;

    /// Whether a statement that gives no row is one that fails, with NOT_FOUND: nothing stays of what it changed.
    fn wants_row(&self) -> bool {
        false
    }
}

/// Whoever wants a row: one at least.
pub(crate) struct OneRow<'a>(pub(crate) &'a mut dyn Rows);

impl Rows for OneRow<'_> {
    fn wants_columns(&self) -> bool {
        self.0.wants_columns()
    }

    fn columns(&mut self, names: &[&str]) -> Result<()> {
        self.0.columns(names)
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.0.row(values)
    }

    fn wants_row(&self) -> bool {
        true
    }
}

/// Nobody wants them.
pub(crate) struct NoRows;

impl Rows for NoRows {
    fn wants_columns(&self) -> bool {
        false
    }

    fn columns(&mut self, _: &[&str]) -> Result<()> {
        Ok(())
    }

    fn row(&mut self, _: &[Value<'_>]) -> Result<()> {
        Ok(())
    }
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Rows that it changed.
    pub(crate) changed: u64,
    /// The id of the row that it inserted last; 0: none.
    pub(crate) last_insert_id: i64,
    /// Rows that it gave.
    pub(crate) rows: u64,
}

/// A column of a table to be created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ColumnKind,
    pub(crate) not_null: bool,
    pub(crate) unique: bool,
    pub(crate) primary_key: bool,
    pub(crate) auto_number: bool,
    pub(crate) default: Option<Value<'a>>,
}

/// What a column stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Integer,
    Real,
    Text,
    Blob,
}

/// How large a database is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Of its pages, free ones included.
    pub(crate) bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) limit_bytes: u64,
}
