//! One connection while somebody has it: statements, transactions, and what stops them.

use std::{
    cell::Cell,
    fs,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rusqlite::ffi;

use super::{
    fault::{failed, told},
    fence::{Fence, NO_TEMPORARY, OWN},
    gate::Right,
    open::{self, PAGE},
    pool::Lent,
    statements::{Failure, Marks, Shape, Statements, TakeRows},
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::Clock,
        database::{
            Caller, Column, ColumnKind, Done, Fault, Gone, NoRows, Patience, Rows, Size, SqlSession,
            Statement, Value, Writes,
            backend::{Applied, Stopper},
        },
    },
};

/// After so many rows the clock is looked at: whoever takes them may be slow.
const ROWS: u64 = 16;

/// How much longer than the database its log may be before whoever writes next sees to it.
const LOG: u64 = 64 << 20;

/// The savepoint of a script: deeper than any that is asked for.
const SCRIPT: usize = 1_000;

/// That of a statement.
const STATEMENT: usize = 1_001;

/// What a connection is, whoever has it.
pub(super) struct Conn {
    statements: Box<dyn Statements>,
    fence: Arc<Fence>,
    limit_bytes: u64,
}

/// What stops the statements of one session, from any thread.
#[derive(Default)]
struct Stop(AtomicBool);

/// Looks at a statement while it is prepared and runs.
struct Watch<'a> {
    clock: &'a dyn Clock,
    patience: &'a Patience,
    stop: Option<&'a Stop>,
    why: Cell<Option<Why>>,
}

/// Why a statement was stopped.
#[derive(Clone, Copy)]
enum Why {
    Late,
    Gone(Gone),
    Stopped,
}

impl Watch<'_> {
    /// Whether it may go on.
    fn go_on(&self) -> bool {
        let why = if self.is_stopped() {
            Why::Stopped
        } else if self.clock.coarse() >= self.patience.until {
            Why::Late
        } else {
            let Caller { id, gone } = self.patience.caller;
            match gone(id) {
                Some(gone) => Why::Gone(gone),
                None => return true,
            }
        };
        self.why.set(Some(why));
        false
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.0.load(Relaxed))
    }

    /// Why it was stopped.
    fn verdict(&self) -> Error {
        match self.why.get() {
            Some(Why::Gone(gone)) => gone.error(),
            Some(Why::Stopped) => {
                Error::new(ErrorKind::Cancelled, "the statement was stopped: its transaction has ended")
            }
            Some(Why::Late) | None => Error::new(
                ErrorKind::Timeout,
                "the statement took too long and was stopped: read less at once, add an index, or ask for more time if the settings allow it",
            ),
        }
    }
}

impl Stopper for Stop {
    fn stop(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Conn {
    pub(super) fn new(mut statements: Box<dyn Statements>, clock: Arc<dyn Clock>) -> rusqlite::Result<Self> {
        let fence = Fence::around(&mut *statements, clock)?;
        Ok(Self { statements, fence, limit_bytes: 0 })
    }

    /// Does something of the host's own. Its statements stay prepared.
    fn own<T>(&self, work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.fence.pass(|| work(self.statements.connection()))
    }

    fn command(&self, sql: &str) -> rusqlite::Result<()> {
        self.own(|connection| connection.prepare_cached(sql)?.execute([]).map(drop))
    }
}

/// A connection that somebody has.
pub(super) struct Session {
    /// Goes back before the right does: whoever writes next finds it.
    lent: Lent,
    /// The right to write, while a transaction has it.
    right: Option<Right>,
    limit_bytes: u64,
    in_transaction: bool,
    /// Where the statement that is prepared or runs stands in its script.
    at: usize,
    /// Made when somebody wants to be able to.
    stop: OnceLock<Arc<Stop>>,
    clock: Arc<dyn Clock>,
    largest: usize,
}

impl Session {
    pub(super) fn new(lent: Lent, limit_bytes: u64) -> Result<Self> {
        let options = lent.options();
        let (clock, largest) = (Arc::clone(&options.clock), options.largest);
        let mut session = Self {
            lent,
            right: None,
            limit_bytes,
            in_transaction: false,
            at: 0,
            stop: OnceLock::new(),
            clock,
            largest,
        };
        session.begin_anew()?;
        Ok(session)
    }

    /// The connection is one that somebody else has had.
    fn begin_anew(&mut self) -> Result<()> {
        let limit_bytes = self.limit_bytes;
        let (place, conn) = self.lent.parts();
        conn.statements.begin_anew();
        if conn.limit_bytes != limit_bytes {
            let pages = (limit_bytes / PAGE).clamp(16, u64::from(u32::MAX) - 1);
            conn.own(|connection| connection.pragma_update(None, "max_page_count", pages))
                .map_err(|error| failed(&place.path, &error))?;
            conn.limit_bytes = limit_bytes;
        }
        Ok(())
    }

    /// Has a connection again, if it gave it back to wait for others and that was in vain.
    fn resume(&mut self, patience: &Patience) -> Result<()> {
        if self.lent.conn().is_none() {
            self.lent.resume(patience)?;
            self.begin_anew()?;
        }
        Ok(())
    }

    /// Does something of the host's own.
    fn own<T>(&mut self, work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T> {
        let (place, conn) = self.lent.parts();
        conn.own(work).map_err(|error| failed(&place.path, &error))
    }

    fn command(&mut self, sql: &str) -> Result<()> {
        let (place, conn) = self.lent.parts();
        conn.command(sql).map_err(|error| failed(&place.path, &error))
    }

    /// Waits for the right to write, unless a transaction has it; tells whether the connection is another one then. Whoever waits
    /// has none: those that read are to find them.
    fn take_right(&mut self, patience: &Patience) -> Result<bool> {
        let gate = &self.lent.place().gate;
        if let Some(right) = gate.try_enter(patience)? {
            self.right = Some(right);
            return Ok(false);
        }
        let gate = Arc::clone(gate);
        let late = || {
            Error::new(
                ErrorKind::Busy,
                "others write to this database: the statement waited for them until its deadline",
            )
        };
        self.lent.rest();
        self.right = Some(gate.enter(patience, late)?);
        self.resume(patience).inspect_err(|_| self.right = None)?;
        Ok(true)
    }

    /// Begins to write, with the right to.
    fn begin_writing(&mut self) -> Result<()> {
        self.shorten_log()?;
        self.command("BEGIN IMMEDIATE")?;
        self.in_transaction = true;
        Ok(())
    }

    /// Those who read an old state for long let the log grow, whatever the database may have: then nobody writes.
    fn shorten_log(&mut self) -> Result<()> {
        let most = self.limit_bytes.saturating_add(LOG);
        let len = |session: &Self| fs::metadata(&session.lent.place().log).map_or(0, |log| log.len());
        if len(self) <= most {
            return Ok(());
        }
        self.own(|connection| {
            // Whoever reads is not waited for: it may be for long.
            connection.busy_timeout(Duration::ZERO)?;
            let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            connection.busy_timeout(open::PATIENCE)?;
            done
        })?;
        if len(self) <= most {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Busy,
            "a transaction or query reads an old state of the database for so long that no more can be written: end it",
        ))
    }

    fn watch<'a>(clock: &'a dyn Clock, stop: &'a OnceLock<Arc<Stop>>, patience: &'a Patience) -> Watch<'a> {
        Watch { clock, patience, stop: stop.get().map(|stop| &**stop), why: Cell::new(None) }
    }

    /// Prepares a statement. `next`: the text is what is left of one with many.
    fn prepare(&mut self, sql: &str, next: bool, patience: &Patience) -> Result<Shape, Fault> {
        let at = self.at;
        let watch = Self::watch(&*self.clock, &self.stop, patience);
        let (place, conn) = self.lent.parts();
        let Conn { statements, fence, .. } = conn;
        fence.in_transaction.store(self.in_transaction, Relaxed);
        fence.set_deadline(patience.until);
        // What the last statement has made SQLite prepare while it ran is not of this one.
        fence.marks();
        let go_on = &mut || watch.go_on();
        let prepared =
            if next { statements.prepare_next(sql, go_on) } else { statements.prepare(sql, go_on) };
        match prepared {
            Ok(shape) if shape.marks.is_none() => {
                let text = sql.get(..shape.end).unwrap_or(sql);
                let marks = Marks { may_keep: may_keep(text), ..fence.marks() };
                statements.mark(marks);
                Ok(Shape { marks: Some(marks), ..shape })
            }
            Ok(shape) => Ok(shape),
            Err(failure) => {
                fence.marks();
                Err(stopped(&watch, failure, fence.was_late())
                    .unwrap_or_else(|failure| told(&place.path, failure.behind(at), fence.refused())))
            }
        }
    }

    fn check(&self, sql: &str) -> Result<()> {
        let (has, most) = (sql.len(), self.largest);
        if has > most {
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!("argument `sql`: {has} bytes, at most {most} are taken")
            }));
        }
        Ok(())
    }

    /// Runs what was prepared: what writes in a transaction, its own if none is open.
    fn step(
        &mut self,
        shape: &Shape,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault> {
        if !shape.numbered {
            return Err(Error::argument(
                "sql",
                "a placeholder has a name, a number is left out, or ? and ?1 are mixed: write ?1, ?2 and so on, or plain ?",
            )
            .into());
        }
        if shape.values != statement.values.len() {
            let (has, given) = (shape.values, statement.values.len());
            let text = format!("the statement has placeholders for {has} values, {given} were passed");
            return Err(Error::argument("values", text).into());
        }
        if shape.read_only {
            return self.run_prepared(shape, statement, rows, patience);
        }
        if statement.writes != Writes::Allowed {
            return Err(statement.writes.refusal().into());
        }
        if self.in_transaction {
            return self.step_within(shape, statement, rows, patience);
        }
        let mut shape = *shape;
        if self.take_right(patience)? {
            // What it is, the tables may have changed meanwhile.
            shape = match self.prepare(statement.sql, false, patience) {
                Ok(shape) => shape,
                Err(fault) => {
                    self.right = None;
                    return Err(fault);
                }
            };
        }
        let done = self.step_alone(&shape, statement, rows, patience);
        if done.is_err() {
            self.rollback();
        }
        done
    }

    /// In a transaction of its own, with the right to write: nothing of it stays that fails, whatever it says of conflicts.
    fn step_alone(
        &mut self,
        shape: &Shape,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault> {
        self.begin_writing()?;
        let done = self.run_prepared(shape, statement, rows, patience)?;
        self.check_names(shape)?;
        self.end()?;
        Ok(done)
    }

    /// In the transaction that is open. What gives rows has changed all of its rows before the first comes, and whoever takes them
    /// may refuse.
    fn step_within(
        &mut self,
        shape: &Shape,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault> {
        let apart = shape.marks.is_some_and(|marks| marks.alters || marks.may_keep);
        if shape.columns == 0 && !apart && !rows.wants_row() {
            return self.step_bare(shape, statement, rows, patience);
        }
        self.nest(STATEMENT)?;
        let done = self
            .run_prepared(shape, statement, rows, patience)
            .and_then(|done| Ok(self.check_names(shape).map(|()| done)?));
        self.end_nested(STATEMENT, done)
    }

    /// Without a savepoint, which would cost more than most statements: SQLite itself undoes what has failed, unless a table or a
    /// trigger asks for the opposite (FAIL). Then the transaction goes with it, rather than keep half of a statement.
    fn step_bare(
        &mut self,
        shape: &Shape,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault> {
        let (_, conn) = self.lent.parts();
        let before = conn.statements.connection().total_changes();
        let done = self.run_prepared(shape, statement, rows, patience);
        if done.is_err() && self.in_transaction() {
            let (_, conn) = self.lent.parts();
            // Rows that triggers and foreign keys touched are counted also where SQLite has undone them.
            if conn.statements.connection().total_changes() != before && self.may_keep_half()? {
                self.undo_all();
            }
        }
        done
    }

    /// Whether a table or a trigger may ask SQLite to keep what a failed statement has done.
    fn may_keep_half(&mut self) -> Result<bool> {
        self.own(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM sqlite_schema WHERE sql LIKE '%fail%' UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE sql LIKE '%fail%'")?
                .exists([])
        })
    }

    /// Keeps or undoes what was done in a savepoint. What cannot be undone takes the transaction with it.
    fn end_nested<T>(&mut self, depth: usize, done: Result<T, Fault>) -> Result<T, Fault> {
        if !self.in_transaction() {
            return done;
        }
        let ended = if done.is_ok() { self.keep(depth) } else { self.undo(depth) };
        if ended.is_err() {
            self.undo_all();
        }
        let done = done?;
        ended?;
        Ok(done)
    }

    /// Looks at what the fence is not asked about, or wrongly: the new name of a table, and `CREATE TRIGGER temp.x`.
    fn check_names(&mut self, shape: &Shape) -> Result<()> {
        if shape.marks.is_none_or(|marks| !marks.alters) {
            return Ok(());
        }
        let (strange, temporary): (i64, i64) = self.own(|connection| {
            let mut found = connection.prepare_cached(
                "SELECT (SELECT count(*) FROM main.sqlite_schema WHERE substr(name, 1, 7) = ?1 COLLATE NOCASE
                         AND name NOT IN ('pintle_owner', 'pintle_migrations')),
                     (SELECT count(*) FROM temp.sqlite_schema)",
            )?;
            found.query_row([OWN], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        if strange > 0 {
            let text =
                format!("the statement is not allowed: names that begin with {OWN:?} are the host's own");
            return Err(Error::new(ErrorKind::Denied, text));
        }
        let (_, conn) = self.lent.parts();
        if temporary > 0 && !conn.fence.takes_temporary() {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("the statement is not allowed: {NO_TEMPORARY}"),
            ));
        }
        Ok(())
    }

    fn run_prepared(
        &mut self,
        shape: &Shape,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault> {
        let at = self.at;
        let watch = Self::watch(&*self.clock, &self.stop, patience);
        let (place, conn) = self.lent.parts();
        let wants_row = rows.wants_row();
        let mut taken = Taken { rows, watch: &watch, count: 0, most: statement.max_rows, ended: None };
        let ran = conn.statements.run(statement.values, &mut || watch.go_on(), &mut taken);
        let Taken { count, ended, .. } = taken;
        if let Some(error) = ended {
            return Err(error.into());
        }
        match ran {
            Ok(_) if count == 0 && wants_row => {
                Err(Error::new(ErrorKind::NotFound, "the query gives no row").into())
            }
            Ok(ran) if shape.read_only => {
                Ok(Done { rows: count, last_insert_id: ran.last_insert_id, changed: 0 })
            }
            Ok(ran) => Ok(Done { changed: ran.changed, last_insert_id: ran.last_insert_id, rows: count }),
            Err(failure) => Err(stopped(&watch, failure, conn.fence.was_late()).unwrap_or_else(|failure| {
                if failure.code & 0xff == ffi::SQLITE_FULL {
                    let error = conn.full(&place.path);
                    return Fault { error, code: failure.code.unsigned_abs(), offset: None };
                }
                told(&place.path, failure.behind(at), conn.fence.refused())
            })),
        }
    }

    /// Ends the transaction and keeps what it wrote.
    fn end(&mut self) -> Result<(), Fault> {
        self.forget_stop();
        let (place, conn) = self.lent.parts();
        conn.command("COMMIT").map_err(|error| {
            let code = error.sqlite_error().map_or(0, |error| error.extended_code);
            let error = match code & 0xff {
                ffi::SQLITE_CONSTRAINT => Error::new(
                    ErrorKind::Conflict,
                    "FOREIGN KEY constraint failed: a row refers to one that is not there (a deferred foreign key)",
                ),
                ffi::SQLITE_FULL => conn.full(&place.path),
                _ => failed(&place.path, &error),
            };
            Fault { error, code: code.unsigned_abs(), offset: None }
        })?;
        self.end_transaction();
        Ok(())
    }

    /// Undoes all, and has a transaction no more.
    fn undo_all(&mut self) {
        self.forget_stop();
        if let Some(conn) = self.lent.conn() {
            let is_open = !conn.statements.connection().is_autocommit();
            if is_open && conn.command("ROLLBACK").is_err() {
                self.lent.discard();
            }
        }
        self.end_transaction();
    }

    /// What was to be stopped has ended.
    fn forget_stop(&self) {
        if let Some(stop) = self.stop.get() {
            stop.0.store(false, Relaxed);
        }
    }
}

impl Conn {
    /// Why something may not become larger.
    fn full(&mut self, path: &std::path::Path) -> Error {
        if self.statements.spilled() {
            return Error::new(
                ErrorKind::Quota,
                "the temporary space is used up that a statement or transaction may have: sort and join less at once, or raise database.temporary_bytes in the settings",
            );
        }
        if self.statements.room(path).unwrap_or(0) < ENOUGH {
            return Error::new(ErrorKind::Unavailable, "the disk of the data folder is full")
                .mend("make room");
        }
        let limit = self.limit_bytes;
        let text = format!(
            "the database has the {limit} bytes that it may have: remove rows, or raise the plugin's quota database_bytes in the settings"
        );
        Error::new(ErrorKind::Quota, text)
    }
}

/// Takes the rows of a statement, as long as somebody wants them.
struct Taken<'a> {
    rows: &'a mut dyn Rows,
    watch: &'a Watch<'a>,
    count: u64,
    most: u64,
    ended: Option<Error>,
}

impl TakeRows for Taken<'_> {
    fn wants_columns(&self) -> bool {
        self.rows.wants_columns()
    }

    fn columns(&mut self, names: &[&str]) -> bool {
        self.ended = self.rows.columns(names).err();
        self.ended.is_none()
    }

    fn row(&mut self, values: &[Value<'_>]) -> bool {
        if self.count == self.most {
            self.ended = Some(too_many_rows(self.most));
            return false;
        }
        self.count += 1;
        let looks = self.watch.is_stopped() || self.count.is_multiple_of(ROWS);
        if looks && !self.watch.go_on() {
            self.ended = Some(self.watch.verdict());
            return false;
        }
        self.ended = self.rows.row(values).err();
        self.ended.is_none()
    }
}

impl Failure {
    /// As of a text in which the statement stands `at` bytes behind the beginning.
    fn behind(self, at: usize) -> Self {
        Self { offset: self.offset.map(|offset| offset + at), ..self }
    }
}

/// The failure of a statement that was stopped, or refused because it was `late`, with why; of any other as it is.
fn stopped(watch: &Watch<'_>, failure: Failure, late: bool) -> Result<Fault, Failure> {
    let code = if late { ffi::SQLITE_INTERRUPT } else { failure.code };
    if code & 0xff != ffi::SQLITE_INTERRUPT {
        return Err(failure);
    }
    Ok(Fault { error: watch.verdict(), code: code.unsigned_abs(), offset: None })
}

/// With so much room on the disk it is the quota that is used up.
const ENOUGH: u64 = 1 << 20;

fn too_many_rows(most: u64) -> Error {
    Error::lazy(ErrorKind::TooLarge, move || {
        format!(
            "the statement gives more than the {most} rows that it may give: add a LIMIT, or page through them"
        )
    })
}

impl SqlSession for Session {
    fn run(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut dyn Rows,
        patience: &Patience,
    ) -> Result<Done, Fault> {
        let sql = statement.sql;
        self.check(sql)?;
        self.resume(patience)?;
        let shape = self.prepare(sql, false, patience)?;
        if shape.empty {
            return Err(Error::argument("sql", "there is no statement in it").into());
        }
        if shape.end < sql.len() && !sql.get(shape.end..).is_some_and(is_blank) {
            return Err(Error::argument(
                "sql",
                "there is more than one statement in it: pass one, or all of them to `script`",
            )
            .into());
        }
        self.step(&shape, statement, rows, patience)
    }

    fn script(&mut self, script: &Statement<'_>, patience: &Patience) -> Result<Done, Fault> {
        self.check(script.sql)?;
        if script.sql.contains('\0') {
            return Err(Error::argument("sql", "there is a NUL in it").into());
        }
        if self.in_transaction {
            self.nest(SCRIPT)?;
            let done = self.statements_of(script, patience);
            self.at = 0;
            return self.end_nested(SCRIPT, done);
        }
        // Nobody knows yet whether it writes: a script that only reads is rare.
        if script.writes != Writes::Allowed {
            return Err(script.writes.refusal().into());
        }
        self.begin(false, patience)?;
        let done = self.statements_of(script, patience).and_then(|done| self.end().map(|()| done));
        self.at = 0;
        if done.is_err() {
            self.undo_all();
        }
        done
    }

    fn begin(&mut self, read_only: bool, patience: &Patience) -> Result<()> {
        self.resume(patience)?;
        if read_only {
            self.command("BEGIN")?;
            self.in_transaction = true;
            return Ok(());
        }
        self.take_right(patience)?;
        self.begin_writing().inspect_err(|_| self.right = None)
    }

    fn commit(&mut self) -> Result<()> {
        Ok(self.end()?)
    }

    fn rollback(&mut self) {
        self.undo_all();
    }

    fn in_transaction(&self) -> bool {
        let conn = self.lent.conn();
        self.in_transaction && conn.is_some_and(|conn| !conn.statements.connection().is_autocommit())
    }

    fn nest(&mut self, depth: usize) -> Result<()> {
        self.command(&format!("SAVEPOINT pintle_{depth}"))
    }

    fn keep(&mut self, depth: usize) -> Result<()> {
        self.command(&format!("RELEASE pintle_{depth}"))
    }

    fn undo(&mut self, depth: usize) -> Result<()> {
        self.forget_stop();
        self.command(&format!("ROLLBACK TO pintle_{depth}"))?;
        self.command(&format!("RELEASE pintle_{depth}"))
    }

    fn stopper(&self) -> Arc<dyn Stopper> {
        Arc::clone(self.stop.get_or_init(Arc::default)) as Arc<dyn Stopper>
    }

    fn migrations(&mut self, after: u32, patience: &Patience) -> Result<Vec<Applied>> {
        self.resume(patience)?;
        self.own(|connection| {
            let mut seen = connection.prepare(
                "SELECT number, name, checksum FROM pintle_migrations WHERE number > ?1 ORDER BY number",
            )?;
            let seen = seen.query_map([after], |row| {
                Ok(Applied { number: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? })
            })?;
            seen.collect()
        })
    }

    fn note_migration(&mut self, applied: &Applied) -> Result<()> {
        let now = self.clock.now_ms();
        self.own(|connection| {
            connection.execute(
                "INSERT INTO pintle_migrations VALUES (?1, ?2, ?3, ?4)",
                (applied.number, &applied.name, applied.checksum, now),
            )
        })?;
        Ok(())
    }

    fn create_table(
        &mut self,
        table: &str,
        columns: &[Column<'_>],
        patience: &Patience,
    ) -> Result<bool, Fault> {
        self.resume(patience)?;
        if self.has(table)? {
            return Ok(false);
        }
        let sql = definition(table, columns);
        let statement = Statement { sql: &sql, values: &[], max_rows: 0, writes: Writes::Allowed };
        match self.run(&statement, &mut NoRows, patience) {
            Ok(_) => Ok(true),
            // Somebody else may have been faster.
            Err(_) if self.lent.conn().is_some() && self.has(table)? => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    fn size(&mut self) -> Result<Size> {
        let limit_bytes = self.limit_bytes;
        self.own(|connection| {
            let pages = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
            Ok(Size {
                bytes: pages("page_count")? * PAGE,
                free_bytes: pages("freelist_count")? * PAGE,
                limit_bytes,
            })
        })
    }
}

impl Session {
    fn has(&mut self, table: &str) -> Result<bool> {
        self.own(|connection| {
            connection.query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE",
                [table],
                |row| row.get(0),
            )
        })
    }

    /// Runs the statements of a script in the transaction that is open.
    fn statements_of(&mut self, script: &Statement<'_>, patience: &Patience) -> Result<Done, Fault> {
        // SQLite copies a text that does not end so, for each of its statements.
        let text = format!("{}\0", script.sql);
        let (mut at, mut all) = (0, Done::default());
        while at < script.sql.len() {
            let watch = Self::watch(&*self.clock, &self.stop, patience);
            if !watch.go_on() {
                return Err(watch.verdict().into());
            }
            self.at = at;
            let rest = &text[at..];
            let shape = self.prepare(rest, true, patience)?;
            if !shape.empty {
                let one = Statement { sql: rest, ..*script };
                let done = self.step(&shape, &one, &mut NoRows, patience)?;
                // What it tells is of the last one, but for what all have changed.
                all = Done { changed: all.changed + done.changed, ..done };
            }
            at += shape.end.max(1);
        }
        Ok(all)
    }

    fn end_transaction(&mut self) {
        self.in_transaction = false;
        // What is temporary goes with the transaction, and so with the connection that has it.
        if self.lent.conn().is_some_and(|conn| conn.fence.made_temporary()) {
            self.lent.discard();
        }
        self.right = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_transaction {
            self.undo_all();
        }
    }
}

/// Whether a statement may ask that what it has changed stays where it fails (`INSERT OR FAIL`).
fn may_keep(sql: &str) -> bool {
    sql.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"fail"))
}

/// Whether nothing stands there but blanks, comments and semicolons. Comments are looked at as little as SQLite does.
fn is_blank(mut rest: &str) -> bool {
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}', ';']);
        if rest.is_empty() {
            return true;
        }
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*").filter(|comment| !comment.is_empty()) {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            return false;
        }
    }
}

fn definition(table: &str, columns: &[Column<'_>]) -> String {
    let keys: Vec<&str> =
        columns.iter().filter(|column| column.primary_key).map(|column| column.name).collect();
    let mut parts = Vec::new();
    for column in columns {
        let kind = match column.kind {
            ColumnKind::Integer => "INTEGER",
            ColumnKind::Real => "REAL",
            ColumnKind::Text => "TEXT",
            ColumnKind::Blob => "BLOB",
        };
        let mut part = format!("\"{}\" {kind}", column.name);
        if column.primary_key && keys.len() == 1 {
            part += " PRIMARY KEY";
            if column.auto_number {
                part += " AUTOINCREMENT";
            }
        }
        if column.not_null || column.primary_key {
            part += " NOT NULL";
        }
        if column.unique {
            part += " UNIQUE";
        }
        if let Some(value) = &column.default {
            part += &format!(" DEFAULT {}", literal(value));
        }
        parts.push(part);
    }
    if keys.len() > 1 {
        let keys: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
    }
    format!("CREATE TABLE \"{table}\" ({}) STRICT", parts.join(", "))
}

/// A value as SQL writes it.
fn literal(value: &Value<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match *value {
        Value::Null => "NULL".into(),
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".into(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) if real.is_nan() => "NULL".into(),
        Value::Real(real) if real.is_infinite() => if real > 0.0 { "9e999" } else { "-9e999" }.into(),
        Value::Real(real) => format!("{real:e}"),
        Value::Text(text) => match str::from_utf8(text) {
            Ok(text) if !text.contains('\0') => format!("'{}'", text.replace('\'', "''")),
            // A default that is no plain value stands in parentheses.
            _ => format!("(CAST(x'{}' AS TEXT))", hex(text)),
        },
        Value::Blob(blob) => format!("x'{}'", hex(blob)),
    }
}
