//! A row of a query, as long as it is lent, and how it is handed over: the functions that the host calls, past which neither an
//! error nor a panic may get.

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    slice,
};

use pintle_abi::{
    PINTLE_CANCELLED, PINTLE_INVALID_ARGUMENT, PINTLE_OK, PintleSqlRows, PintleSqlValue, PintleStatus,
    PintleStr,
};
use serde::Deserialize;

use super::{FromSql, SqlValue, read};
use crate::{Error, Result, Status, wire};

/// A row of a query, lent for one call.
///
/// ```
/// # use pintle_plugin::{Context, Result, params};
/// fn list(cx: &Context) -> Result<Vec<String>> {
///     let mut list = Vec::new();
///     cx.database().query("SELECT name, berth, flag FROM ships", params![], |row| {
///         let (name, berth): (&str, u32) = (row.get("name")?, row.get(1)?);
///         let flag: Option<&str> = row.get("flag")?;
///         list.push(format!("{name} at {berth} under {}", flag.unwrap_or("no flag")));
///         Ok(())
///     })?;
///     Ok(list)
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Row<'r> {
    columns: &'r Columns,
    values: &'r [PintleSqlValue],
}

impl<'r> Row<'r> {
    /// Reads a column, by its name or its number, from 0. Of two that have the same name it is the first.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType), [`OutOfRange`](Status::OutOfRange): what [`FromSql`] says, with the column's name;
    /// [`InvalidArgument`](Status::InvalidArgument): there is no such column.
    pub fn get<T: FromSql<'r>>(&self, column: impl ColumnIndex) -> Result<T> {
        let at = column.find(self.columns, self.values.len())?;
        self.at(at).and_then(T::from_sql).map_err(|error| error.context(self.columns.called(at)))
    }

    /// Reads all columns as a `T` of serde's:
    ///
    /// - a struct, or a map, by the names of the columns; NULL is an `Option`'s `None`, and what the struct does not have is left out;
    /// - a tuple, by their numbers: as many as there are;
    /// - a number, a text, an enum without content, or an `Option` of one: the only column.
    ///
    /// Bytes are read as `Vec<u8>`, and as what serde takes bytes for.
    ///
    /// # Errors
    /// As [`get`](Row::get); [`WrongType`](Status::WrongType) also where `T` is of another shape.
    pub fn read<T: Deserialize<'r>>(&self) -> Result<T> {
        read::row(self)
    }

    /// How many columns there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a row has a column")]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The names of the columns, as SQL gives them.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &'r str> + use<'r> {
        let columns = self.columns;
        (0..self.values.len()).map(|at| columns.name(at))
    }

    pub(super) fn at(&self, at: usize) -> Result<SqlValue<'r>> {
        // SAFETY: the host lends what its values lead to for the call that this row lives in.
        unsafe { SqlValue::read(&self.values[at]) }
    }

    pub(super) fn name(&self, at: usize) -> &'r str {
        self.columns.name(at)
    }

    pub(super) fn called(&self, at: usize) -> String {
        self.columns.called(at)
    }
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries((0..self.len()).map(|at| (self.name(at), self.at(at)))).finish()
    }
}

/// What names a column of a [`Row`]: its name, or its number, from 0.
pub trait ColumnIndex: Find {}

impl ColumnIndex for usize {}
impl ColumnIndex for &str {}

/// Not for use by hand.
pub trait Find {
    #[doc(hidden)]
    fn find(&self, columns: &Columns, count: usize) -> Result<usize>;
}

impl Find for usize {
    fn find(&self, _: &Columns, count: usize) -> Result<usize> {
        if *self < count {
            return Ok(*self);
        }
        let text = format!("the query gives {count} columns, from 0: there is no column {self}");
        Err(Error::new(Status::InvalidArgument, text))
    }
}

impl Find for &str {
    fn find(&self, columns: &Columns, count: usize) -> Result<usize> {
        (0..count).find(|at| columns.name(*at) == *self).ok_or_else(|| columns.missing(self, count))
    }
}

/// The names of a query's columns, one behind the other.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Columns {
    names: String,
    ends: Vec<usize>,
}

impl Columns {
    fn name(&self, at: usize) -> &str {
        let start = if at == 0 { Some(0) } else { self.ends.get(at - 1).copied() };
        // A host that does not tell the names has rows all the same.
        let name = start.zip(self.ends.get(at)).and_then(|(start, end)| self.names.get(start..*end));
        name.unwrap_or_default()
    }

    /// For errors.
    fn called(&self, at: usize) -> String {
        format!("column {:?}", self.name(at))
    }

    pub(super) fn missing(&self, name: &str, count: usize) -> Error {
        let all: Vec<_> = (0..count).map(|at| self.name(at)).collect();
        let text = format!("the query gives no column {name:?}: it gives {}", all.join(", "));
        Error::new(Status::InvalidArgument, text)
    }
}

/// Takes the rows of one query.
pub(super) struct Taking<F> {
    columns: Columns,
    take: F,
    ended: Option<Ended>,
}

/// Why no more rows are wanted.
enum Ended {
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

impl<F: FnMut(&Row<'_>) -> Result<()>> Taking<F> {
    pub(super) fn new(take: F) -> Self {
        Self { columns: Columns::default(), take, ended: None }
    }

    /// For one call: this must stay where it is meanwhile.
    pub(super) fn raw(&mut self) -> PintleSqlRows {
        PintleSqlRows {
            data: (&raw mut *self).cast(),
            columns: Some(take_columns::<F>),
            row: Some(take_row::<F>),
        }
    }

    /// What went wrong on this side, if something did: its error, or its panic, which goes on here.
    pub(super) fn end(self) -> Result<()> {
        match self.ended {
            None => Ok(()),
            Some(Ended::Failed(error)) => Err(error),
            Some(Ended::Panicked(payload)) => resume_unwind(payload),
        }
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> PintleStatus {
        if self.ended.is_none() {
            self.ended = match catch_unwind(AssertUnwindSafe(|| work(self))) {
                Ok(Ok(())) => return PINTLE_OK,
                Ok(Err(error)) => Some(Ended::Failed(error)),
                Err(payload) => Some(Ended::Panicked(payload)),
            };
        }
        PINTLE_CANCELLED
    }
}

unsafe extern "C" fn take_columns<F: FnMut(&Row<'_>) -> Result<()>>(
    data: *mut c_void,
    names: *const PintleStr,
    count: usize,
) -> PintleStatus {
    // SAFETY: only `Taking::raw` hands this function out, with itself, which is lent for the call of the query.
    let Some(taking) = (unsafe { data.cast::<Taking<F>>().as_mut() }) else { return PINTLE_INVALID_ARGUMENT };
    taking.guarded(|taking| {
        for at in 0..count {
            // SAFETY: the host lends `count` names for this call.
            taking.columns.names.push_str(unsafe { wire::text(names.add(at).read()) });
            taking.columns.ends.push(taking.columns.names.len());
        }
        Ok(())
    })
}

unsafe extern "C" fn take_row<F: FnMut(&Row<'_>) -> Result<()>>(
    data: *mut c_void,
    values: *const PintleSqlValue,
    count: usize,
) -> PintleStatus {
    // SAFETY: as in `take_columns`.
    let Some(taking) = (unsafe { data.cast::<Taking<F>>().as_mut() }) else { return PINTLE_INVALID_ARGUMENT };
    taking.guarded(|taking| {
        let values = if count == 0 {
            &[]
        } else {
            // SAFETY: the host lends `count` values for this call.
            unsafe { slice::from_raw_parts(values, count) }
        };
        (taking.take)(&Row { columns: &taking.columns, values })
    })
}
