//! Statements on one connection, as the boundary makes them: [`Statements`]. What rusqlite copies (values on their way in) is
//! borrowed there, and that is not safe Rust; nor are the temporary files that it counts.

use std::path::Path;

use rusqlite::{
    Connection, OpenFlags,
    hooks::{AuthContext, Authorization},
};

use super::super::value::Value;

/// Opens a file under statements that borrow their values, and whose temporary files have at most so many bytes together.
pub(crate) type OpenStatements = fn(&Path, OpenFlags, u64) -> rusqlite::Result<Box<dyn Statements>>;

/// What is asked for each thing that a statement would do, while it is prepared.
pub(crate) type Authorizer = Box<dyn FnMut(&AuthContext<'_>) -> Authorization + Send>;

/// Asked now and then while a statement is prepared or runs. One that is not to go on ends with SQLITE_INTERRUPT.
pub(crate) type GoOn<'a> = dyn FnMut() -> bool + 'a;

/// A connection and the statements that were prepared on it.
pub(crate) trait Statements: Send {
    /// For everything else.
    fn connection(&self) -> &Connection;

    /// Asks `authorizer` from now on.
    fn authorize(&mut self, authorizer: Authorizer) -> rusqlite::Result<()>;

    /// Prepares the first statement of a text, or finds it prepared, and makes it the one that `run` runs.
    fn prepare(&mut self, sql: &str, go_on: &mut GoOn<'_>) -> Result<Shape, Failure>;

    /// Does the same with what is left of a text of many statements, which ends with NUL: nothing of it is copied or kept.
    fn prepare_next(&mut self, rest: &str, go_on: &mut GoOn<'_>) -> Result<Shape, Failure>;

    /// Says of the statement that was prepared last what its shape tells from then on.
    fn mark(&mut self, marks: Marks);

    /// Binds the values, which are borrowed until this returns, runs the statement that was prepared last to its end, and
    /// hands over its rows. It ends early where `rows` takes no more.
    fn run(
        &mut self,
        values: &[Value<'_>],
        go_on: &mut GoOn<'_>,
        rows: &mut dyn TakeRows,
    ) -> Result<Ran, Failure>;

    /// Nothing was inserted yet: what `last_insert_rowid()` of SQL answers is not of whoever had the connection before.
    fn begin_anew(&mut self);

    /// Whether something was to become larger than the temporary files may be, since it was asked last.
    fn spilled(&mut self) -> bool;

    /// How many bytes the disk that `path` lies on has left, if the system tells.
    fn room(&self, path: &Path) -> Option<u64>;
}

/// Takes what a statement gives. False: no more.
pub(crate) trait TakeRows {
    /// Whether the names of the columns are wanted.
    fn wants_columns(&self) -> bool;

    /// Their names, before the first row, also if there is none.
    fn columns(&mut self, names: &[&str]) -> bool;

    fn row(&mut self, values: &[Value<'_>]) -> bool;
}

/// What is known of a statement before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// It changes nothing in the database.
    pub(crate) read_only: bool,
    pub(crate) columns: usize,
    /// How many values it takes.
    pub(crate) values: usize,
    /// Whether its placeholders are all plain `?`, or all numbers behind `?` or `$` that leave none out.
    pub(crate) numbered: bool,
    /// Where the text goes on behind it.
    pub(crate) end: usize,
    /// There was none: blanks and comments only.
    pub(crate) empty: bool,
    /// None: it was prepared just now.
    pub(crate) marks: Option<Marks>,
}

/// What the fence saw of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// It inserts rows itself, not by a trigger.
    pub(crate) inserts: bool,
    /// It changes what tables there are, or what they are like.
    pub(crate) alters: bool,
    /// It, or a trigger of it, asks for `last_insert_rowid()`.
    pub(crate) asks_last_id: bool,
    /// Its text may ask that what it has changed stays where it fails (`INSERT OR FAIL`).
    pub(crate) may_keep: bool,
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) changed: u64,
    /// 0: it inserted none.
    pub(crate) last_insert_id: i64,
}

/// A failure as SQLite tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The extended result code.
    pub(crate) code: i32,
    pub(crate) text: String,
    /// Which byte of the SQL it is about.
    pub(crate) offset: Option<usize>,
}
