//! Statements on a connection to SQLite whose values are borrowed: what a plugin binds is not copied before SQLite itself
//! stores it. rusqlite, which the rest of the host uses, always copies, because it cannot know how long a value lives; here it
//! lives as long as the call.
//!
//! Implements [`Statements`] for `services::database`, which knows no pointer. `spill.rs` counts temporary files, `functions.rs` has what
//! SQLite's own functions do in too long a time.

mod functions;
mod spill;

use std::{
    borrow::Cow,
    cell::Cell,
    ffi::{CStr, c_int, c_void},
    mem,
    path::Path,
    ptr::{self, NonNull},
    slice,
    sync::Arc,
};

use rusqlite::{Connection, OpenFlags, ffi, hooks::AuthContext};

use self::spill::Spill;
use crate::services::database::{Authorizer, Failure, GoOn, Marks, Ran, Shape, Statements, TakeRows, Value};

/// How many statements stay prepared on a connection.
const KEPT: usize = 64;

/// Longer texts are not kept.
const LONGEST_KEPT: usize = 16 << 10;

/// After so many steps of the machine that runs statements it is asked whether to go on: some 20 microseconds.
const STEPS: c_int = 1_000;

/// Stands for "none was inserted" while a statement runs. No row that anybody numbers has this number.
const NONE_INSERTED: i64 = i64::MIN;

/// A connection, and the statements that were prepared on it.
pub(crate) struct Borrowing {
    /// Those that are kept, the one that was used last at the end.
    kept: Vec<Prepared>,
    /// The one that `run` runs, if it is not kept: it was prepared from too long a text, or is one of many.
    passing: Option<Prepared>,
    /// For one row.
    row: Vec<Value<'static>>,
    watch: Box<Watch>,
    spill: Arc<Spill>,
    /// Last, so that it outlives its statements.
    connection: Connection,
}

/// What the progress handler is given: what to ask while a plugin's statement is prepared or runs.
struct Watch(Cell<Option<NonNull<GoOn<'static>>>>);

/// Somebody is asked until this is dropped.
struct Watched<'a>(&'a Watch);

struct Prepared {
    /// Empty if it is not kept.
    text: Box<str>,
    shape: Shape,
    /// Which value goes to which placeholder; none: the first to the first and so on.
    order: Option<Box<[u16]>>,
    statement: *mut ffi::sqlite3_stmt,
}

// SAFETY: the pointers lead to SQLite's own objects of this connection. Whoever has `Borrowing` has them alone, and SQLite, which is
// built thread-safe, lets another thread go on where one has stopped. What `watch` leads to is set only during a call.
unsafe impl Send for Borrowing {}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: it was prepared on a connection that is still open, and is finalized once. Null is allowed.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}

impl Borrowing {
    /// Opens a database whose temporary files may have `temporary_bytes` together.
    pub(crate) fn open(
        path: &Path,
        flags: OpenFlags,
        temporary_bytes: u64,
    ) -> rusqlite::Result<Box<dyn Statements>> {
        let connection = Connection::open_with_flags_and_vfs(path, flags, spill::file_system()?)?;
        functions::register(&connection)?;
        let watch = Box::new(Watch(Cell::new(None)));
        // SAFETY: the connection is open. `watch` keeps its place, and is taken out of the connection before it goes (`drop`).
        unsafe {
            let data = ptr::from_ref::<Watch>(&watch).cast_mut().cast();
            ffi::sqlite3_progress_handler(connection.handle(), STEPS, Some(ask), data);
        }
        let spill = Arc::new(Spill::of(temporary_bytes));
        Ok(Box::new(Self { kept: Vec::new(), passing: None, row: Vec::new(), watch, spill, connection }))
    }

    fn database(&self) -> *mut ffi::sqlite3 {
        // SAFETY: the handle is used while `self`, and with it the connection, lives, and never closed.
        unsafe { self.connection.handle() }
    }

    fn current(&self) -> Option<&Prepared> {
        self.passing.as_ref().or_else(|| self.kept.last())
    }

    fn failure(&self) -> Failure {
        let database = self.database();
        // SAFETY: the connection is open, and nobody else uses it; the text is copied before anything else is asked of it.
        unsafe {
            let text = CStr::from_ptr(ffi::sqlite3_errmsg(database)).to_string_lossy().into_owned();
            let offset = usize::try_from(ffi::sqlite3_error_offset(database)).ok();
            Failure { code: ffi::sqlite3_extended_errcode(database), text, offset }
        }
    }

    fn make(&mut self, sql: &str, keeps: bool, go_on: &mut GoOn<'_>) -> Result<Prepared, Failure> {
        let Ok(len) = c_int::try_from(sql.len()) else {
            let text = "string or blob too big".to_owned();
            return Err(Failure { code: ffi::SQLITE_TOOBIG, text, offset: None });
        };
        let flags = if keeps { ffi::SQLITE_PREPARE_PERSISTENT } else { 0 };
        let (mut statement, mut rest) = (ptr::null_mut(), ptr::null());
        let code = {
            let _watched = self.watch.begin(go_on);
            let _counted = spill::count(&self.spill);
            // SAFETY: the text is readable for `len` bytes; both outputs are ours.
            unsafe {
                ffi::sqlite3_prepare_v3(
                    self.database(),
                    sql.as_ptr().cast(),
                    len,
                    flags,
                    &mut statement,
                    &mut rest,
                )
            }
        };
        if code != ffi::SQLITE_OK {
            return Err(self.failure());
        }
        let end = if rest.is_null() { sql.len() } else { rest.addr() - sql.as_ptr().addr() };
        // SAFETY: as SQLite gave it, or null, which these take for an empty statement.
        let (shape, order) = unsafe { shape_of(statement, end) };
        let text = if keeps { sql.into() } else { Box::default() };
        Ok(Prepared { text, shape, order, statement })
    }
}

impl Statements for Borrowing {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn authorize(&mut self, mut authorizer: Authorizer) -> rusqlite::Result<()> {
        self.connection.authorizer(Some(move |asks: AuthContext<'_>| authorizer(&asks)))
    }

    fn prepare(&mut self, sql: &str, go_on: &mut GoOn<'_>) -> Result<Shape, Failure> {
        self.passing = None;
        if let Some(last) = self.kept.last()
            && *last.text == *sql
        {
            return Ok(last.shape);
        }
        if let Some(at) = self.kept.iter().rposition(|kept| *kept.text == *sql) {
            let found = self.kept.remove(at);
            let shape = found.shape;
            self.kept.push(found);
            return Ok(shape);
        }
        let keeps = sql.len() <= LONGEST_KEPT;
        let prepared = self.make(sql, keeps, go_on)?;
        let shape = prepared.shape;
        if keeps && !shape.empty && shape.end == sql.len() {
            if self.kept.len() == KEPT {
                self.kept.remove(0);
            }
            self.kept.push(prepared);
        } else {
            self.passing = Some(prepared);
        }
        Ok(shape)
    }

    fn prepare_next(&mut self, rest: &str, go_on: &mut GoOn<'_>) -> Result<Shape, Failure> {
        self.passing = None;
        let prepared = self.make(rest, false, go_on)?;
        let shape = prepared.shape;
        self.passing = Some(prepared);
        Ok(shape)
    }

    fn mark(&mut self, marks: Marks) {
        if let Some(current) = self.passing.as_mut().or_else(|| self.kept.last_mut()) {
            current.shape.marks = Some(marks);
        }
    }

    fn run(
        &mut self,
        values: &[Value<'_>],
        go_on: &mut GoOn<'_>,
        rows: &mut dyn TakeRows,
    ) -> Result<Ran, Failure> {
        let mut scratch = mem::take(&mut self.row);
        let Some(Prepared { statement, shape, order, .. }) = self.current() else {
            return Ok(Ran::default());
        };
        let Marks { inserts, alters, asks_last_id, .. } = shape.marks.unwrap_or_default();
        let reads = shape.read_only;
        let database = self.database();
        let running = Running { statement: *statement };
        let last_id = (inserts && !alters).then(|| LastId::begin(database, asks_last_id));
        // SAFETY: the connection is open, and nobody else uses it.
        let before = if reads { 0 } else { unsafe { ffi::sqlite3_total_changes64(database) } };
        let done = {
            let _watched = self.watch.begin(go_on);
            let _counted = spill::count(&self.spill);
            running
                .bind(values, order.as_deref())
                .and_then(|()| running.steps(&mut scratch, rows))
                .map_err(|()| self.failure())
        };
        let last_insert_id = last_id.map_or(0, |last_id| last_id.end(database));
        let changed = if reads || alters {
            0
        } else {
            // SAFETY: as above.
            let total = unsafe { ffi::sqlite3_total_changes64(database) };
            // What triggers changed is in the total only: whether the statement changed anything at all.
            // SAFETY: as above.
            if total == before { 0 } else { unsafe { ffi::sqlite3_changes64(database) } }
        };
        drop(running);
        scratch.clear();
        self.row = scratch;
        done.map(|()| Ran { changed: changed.unsigned_abs(), last_insert_id })
    }

    fn begin_anew(&mut self) {
        // SAFETY: the connection is open, and nobody else uses it.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.database(), 0) };
    }

    fn spilled(&mut self) -> bool {
        self.spill.refused()
    }

    #[cfg(unix)]
    fn room(&self, path: &Path) -> Option<u64> {
        let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let mut disk = mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the path ends with NUL; the output is ours and all zeros is a value of it.
        let disk =
            unsafe { (libc::statvfs(path.as_ptr(), disk.as_mut_ptr()) == 0).then(|| disk.assume_init())? };
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    #[cfg(not(unix))]
    fn room(&self, _: &Path) -> Option<u64> {
        None
    }
}

impl Drop for Borrowing {
    fn drop(&mut self) {
        // SQLite closes no connection that still has statements.
        self.passing = None;
        self.kept.clear();
        // SAFETY: the connection is open; without a handler nothing is called.
        unsafe { ffi::sqlite3_progress_handler(self.database(), 0, None, ptr::null_mut()) };
    }
}

impl Watch {
    fn begin<'a>(&'a self, go_on: &'a mut GoOn<'_>) -> Watched<'a> {
        let asked = NonNull::from(go_on);
        // SAFETY: only the lifetime changes. It is forgotten when what is returned is dropped, which lives no longer than `go_on` is
        // lent; whoever leaks that has leaked the loan with it, and nothing here does.
        let asked = unsafe { mem::transmute::<NonNull<GoOn<'_>>, NonNull<GoOn<'static>>>(asked) };
        self.0.set(Some(asked));
        Watched(self)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.0.set(None);
    }
}

/// What `last_insert_rowid()` of SQL was before a statement that inserts.
struct LastId {
    before: i64,
    /// The statement asks for it, so that it cannot be put aside.
    asked: bool,
}

impl LastId {
    fn begin(database: *mut ffi::sqlite3, asked: bool) -> Self {
        // SAFETY: the connection is open, and nobody else uses it.
        let before = unsafe { ffi::sqlite3_last_insert_rowid(database) };
        if !asked {
            // SAFETY: as above.
            unsafe { ffi::sqlite3_set_last_insert_rowid(database, NONE_INSERTED) };
        }
        Self { before, asked }
    }

    /// The id of the row that was inserted last; 0: none. Where the statement asks for it itself, a row of the same number as the
    /// one before cannot be told from none.
    fn end(self, database: *mut ffi::sqlite3) -> i64 {
        // SAFETY: the connection is open, and nobody else uses it.
        let last = unsafe { ffi::sqlite3_last_insert_rowid(database) };
        if last == if self.asked { self.before } else { NONE_INSERTED } {
            // SAFETY: as above.
            unsafe { ffi::sqlite3_set_last_insert_rowid(database, self.before) };
            return 0;
        }
        last
    }
}

/// A statement that has been bound: reset, and its values forgotten, when this is dropped.
struct Running {
    statement: *mut ffi::sqlite3_stmt,
}

impl Running {
    fn bind(&self, values: &[Value<'_>], order: Option<&[u16]>) -> Result<(), ()> {
        match order {
            None => values.iter().zip(1..).try_for_each(|(value, number)| self.bind_one(number, value)),
            Some(order) => order.iter().zip(1..).try_for_each(|(at, number)| {
                self.bind_one(number, values.get(usize::from(*at)).unwrap_or(&Value::Null))
            }),
        }
    }

    fn bind_one(&self, number: c_int, value: &Value<'_>) -> Result<(), ()> {
        // SAFETY: the statement is prepared and does not run. The bytes are borrowed at least until this is dropped, which makes
        // SQLite forget them: `values` outlives `run`, and with it `self`. A pointer with length 0 is not null.
        let code = unsafe {
            match *value {
                Value::Null => ffi::sqlite3_bind_null(self.statement, number),
                Value::Integer(integer) => ffi::sqlite3_bind_int64(self.statement, number, integer),
                Value::Real(real) => ffi::sqlite3_bind_double(self.statement, number, real),
                Value::Text(text) => ffi::sqlite3_bind_text64(
                    self.statement,
                    number,
                    text.as_ptr().cast(),
                    text.len() as u64,
                    ffi::SQLITE_STATIC(),
                    ffi::SQLITE_UTF8 as u8,
                ),
                Value::Blob(blob) => ffi::sqlite3_bind_blob64(
                    self.statement,
                    number,
                    blob.as_ptr().cast(),
                    blob.len() as u64,
                    ffi::SQLITE_STATIC(),
                ),
            }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(()) }
    }

    /// Runs it to its end, or until nobody wants more of it.
    fn steps(&self, scratch: &mut Vec<Value<'static>>, rows: &mut dyn TakeRows) -> Result<(), ()> {
        // SAFETY: the statement is prepared and bound.
        let mut code = unsafe { ffi::sqlite3_step(self.statement) };
        // Only now: where the tables have changed since, SQLite has prepared it anew by itself.
        // SAFETY: the statement is prepared.
        let columns = unsafe { ffi::sqlite3_column_count(self.statement) };
        if matches!(code, ffi::SQLITE_ROW | ffi::SQLITE_DONE)
            && columns > 0
            && rows.wants_columns()
            && !self.names(columns, rows)
        {
            return Ok(());
        }
        loop {
            match code {
                ffi::SQLITE_ROW => {
                    scratch.clear();
                    // SAFETY: it stands on a row. The values are good until the next step, and whoever takes them can keep none: it
                    // must take values of any lifetime. They are forgotten before the next step.
                    unsafe { scratch.extend((0..columns).map(|column| value_of(self.statement, column))) };
                    if !rows.row(scratch) {
                        return Ok(());
                    }
                }
                ffi::SQLITE_DONE => return Ok(()),
                _ => return Err(()),
            }
            // SAFETY: as above.
            code = unsafe { ffi::sqlite3_step(self.statement) };
        }
    }

    fn names(&self, columns: c_int, rows: &mut dyn TakeRows) -> bool {
        let names: Vec<Cow<'_, str>> = (0..columns)
            .map(|column| {
                // SAFETY: the statement is prepared and has this column; the name stays until it is asked for again or the
                // statement is prepared again, and neither happens before it is forgotten here. Null: there was no memory.
                unsafe {
                    let name = ffi::sqlite3_column_name(self.statement, column);
                    if name.is_null() { Cow::Borrowed("") } else { CStr::from_ptr(name).to_string_lossy() }
                }
            })
            .collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        rows.columns(&names)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: the statement is prepared. From here on it knows no value of ours, also if the caller of a row has panicked.
        unsafe {
            ffi::sqlite3_reset(self.statement);
            ffi::sqlite3_clear_bindings(self.statement);
        }
    }
}

/// # Safety
/// The statement is prepared, or null.
unsafe fn shape_of(statement: *mut ffi::sqlite3_stmt, end: usize) -> (Shape, Option<Box<[u16]>>) {
    let empty =
        Shape { read_only: true, columns: 0, values: 0, numbered: true, end, empty: true, marks: None };
    if statement.is_null() {
        return (empty, None);
    }
    // SAFETY: the caller vouches for it.
    unsafe {
        let placeholders = ffi::sqlite3_bind_parameter_count(statement);
        let names = (0..placeholders).map(|before| {
            let name = ffi::sqlite3_bind_parameter_name(statement, before + 1);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())
        });
        let Numbers { numbered, values, order } = Numbers::of(names);
        let shape = Shape {
            read_only: ffi::sqlite3_stmt_readonly(statement) != 0,
            columns: ffi::sqlite3_column_count(statement) as usize,
            values,
            numbered,
            empty: false,
            ..empty
        };
        (shape, order)
    }
}

/// Which value goes where.
struct Numbers {
    numbered: bool,
    values: usize,
    order: Option<Box<[u16]>>,
}

impl Numbers {
    /// Of the placeholders in SQLite's order. A plain `?` has no name; nor has a number that `?3` leaves out.
    fn of<'a>(names: impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone) -> Self {
        let count = names.len();
        if names.clone().all(|name| name.is_none()) {
            return Self { numbered: true, values: count, order: None };
        }
        let order: Option<Vec<u16>> = names.map(|name| number_of(name?)).collect();
        let Some(order) = order else { return Self { numbered: false, values: count, order: None } };
        let values = order.iter().max().map_or(0, |most| usize::from(*most) + 1);
        let mut seen = vec![false; values];
        for at in &order {
            seen[usize::from(*at)] = true;
        }
        let numbered = seen.iter().all(|seen| *seen);
        let straight = order.iter().zip(0..).all(|(at, place)| *at == place);
        Self { numbered, values, order: (!straight).then(|| order.into()) }
    }
}

/// Which value `?N` or `$N` stands for, from 0.
fn number_of(name: &[u8]) -> Option<u16> {
    let digits = name.strip_prefix(b"?").or_else(|| name.strip_prefix(b"$"))?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse::<u16>().ok()?.checked_sub(1)
}

/// # Safety
/// The statement stands on a row that has the column. The value is forgotten before the next step.
unsafe fn value_of(statement: *mut ffi::sqlite3_stmt, column: c_int) -> Value<'static> {
    // SAFETY: the caller vouches for it. The length is asked for after the pointer, as SQLite says; null goes with length 0.
    unsafe {
        match ffi::sqlite3_column_type(statement, column) {
            ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(statement, column)),
            ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(statement, column)),
            ffi::SQLITE_TEXT => {
                let text = ffi::sqlite3_column_text(statement, column);
                Value::Text(bytes(text.cast(), ffi::sqlite3_column_bytes(statement, column)))
            }
            ffi::SQLITE_BLOB => {
                let blob = ffi::sqlite3_column_blob(statement, column);
                Value::Blob(bytes(blob, ffi::sqlite3_column_bytes(statement, column)))
            }
            _ => Value::Null,
        }
    }
}

/// # Safety
/// A pointer that is not null leads to `len` bytes that nobody writes for as long as they are used.
unsafe fn bytes(start: *const c_void, len: c_int) -> &'static [u8] {
    if start.is_null() || len <= 0 {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { slice::from_raw_parts(start.cast(), len as usize) }
}

/// What SQLite calls while a statement runs.
unsafe extern "C" fn ask(watch: *mut c_void) -> c_int {
    // SAFETY: it is the `Watch` that was handed over with this function, and lives as long as the connection has it.
    let watch = unsafe { &*watch.cast::<Watch>() };
    // Without one the host's own statement runs.
    let Some(mut go_on) = watch.0.get() else { return 0 };
    // SAFETY: it is lent for the call of `make` or `run` that this is called from, on the thread of that call, which does not use it
    // itself.
    let go_on = unsafe { go_on.as_mut() };
    // A panic must not go through C.
    let goes_on = std::panic::catch_unwind(std::panic::AssertUnwindSafe(go_on));
    c_int::from(!goes_on.unwrap_or(false))
}
