//! One file while it is open: the connection that writes, those that read, and the one that moves the log.
//!
//! A write runs in a transaction of its own, many of [`SqliteCache::set_many`](super::SqliteCache) in one. SQLite undoes
//! a whole transaction when the disk is full, savepoints that were released included; then the log is moved into the
//! file, which makes room if anything does, and what was undone is run once more, one by one.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::{
    Limits,
    accounting::{Accounting, Shares},
    file::{self, Taken, is_damage},
    work::{Versions, Work},
};
use crate::{
    error::{Error, Result},
    services::{
        clock::Alarm,
        ledger::{
            Fault,
            parts::{self, Log, Readers},
        },
    },
};

/// How long a look at several things waits for whoever writes.
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// For so long a disk on which nothing could be written counts as full, in microseconds: the log is not moved again.
const STAYS_FULL: i64 = 1_000_000;

pub(super) struct Connections {
    path: Arc<Path>,
    readers: Readers,
    writer: Mutex<Option<Writer>>,
    /// Moves the log into the file.
    beside: Mutex<Option<Connection>>,
    log: Arc<Log>,
    /// Of the thread that takes away what has gone, and moves the log.
    alarm: Arc<Alarm>,
    /// What each plugin has, of what is on disk.
    shares: Mutex<Shares>,
    /// Another one has taken its place.
    retired: AtomicBool,
}

struct Writer {
    connection: Connection,
    accounting: Accounting,
    versions: Versions,
    /// The bound of the versions that is on disk.
    sure: u64,
    /// Nothing goes earlier.
    due: i64,
    /// When the disk was found full, unless something was written since.
    full_at: Option<i64>,
    tight_until: i64,
}

/// Why a call on this file came to nothing.
pub(super) enum Failure {
    /// For a reason of its own: the file is well.
    Refused(Error),
    /// For the time being: the disk is full, another process has it.
    Unavailable(Error),
    /// The file is no good.
    Damaged,
    /// Another one has taken its place.
    Retired,
}

/// For so long a disk that was full may soon be so again, in microseconds: the log is kept short, before it takes the room
/// that the file needs.
const STAYS_TIGHT: i64 = 60_000_000;

/// One write of many.
pub(super) type Step<'a, T> = dyn FnMut(&mut Work<'_>, usize) -> Result<T, Fault> + 'a;

impl Connections {
    pub(super) fn new(path: &Arc<Path>, taken: Taken, alarm: &Arc<Alarm>) -> rusqlite::Result<Self> {
        let Taken { mut writer, beside, shares, bound } = taken;
        let log = Log::watch(Arc::clone(alarm), &mut writer)?;
        let writer = Writer {
            connection: writer,
            accounting: Accounting::new(shares.clone()),
            versions: Versions { last: bound, bound },
            sure: bound,
            // Something may have gone long ago.
            due: i64::MIN,
            full_at: None,
            tight_until: i64::MIN,
        };
        Ok(Self {
            path: Arc::clone(path),
            readers: Readers::new(path),
            writer: Mutex::new(Some(writer)),
            beside: Mutex::new(Some(beside)),
            log,
            alarm: Arc::clone(alarm),
            shares: Mutex::new(shares),
            retired: AtomicBool::new(false),
        })
    }

    /// Reads beside whoever writes.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Failure> {
        let connection = self.readers.take().map_err(|error| match self.retired.load(Relaxed) {
            true => Failure::Retired,
            false => Failure::Unavailable(error),
        })?;
        look(&connection).map_err(|fault| self.failure(fault))
    }

    /// Writes in one transaction; if that comes to nothing for want of room, once more.
    pub(super) fn write<T>(
        &self,
        at: &Moment<'_>,
        mut work: impl FnMut(&mut Work<'_>) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let mut held = self.writer.lock();
        let writer = held.as_mut().ok_or(Failure::Retired)?;
        if writer.full_at.is_some() {
            // With room again the log is moved first, before it takes that room too.
            self.makes_room(writer, at.now);
        }
        let mut done = self.once(writer, at, &mut work);
        if let Err(Fault::Sqlite(error)) = &done
            && !is_damage(error)
            && self.makes_room(writer, at.now)
        {
            done = self.once(writer, at, &mut work);
        }
        self.shorten(writer, at.now);
        self.tell(at, writer.due);
        drop(held);
        self.log.look();
        done.map_err(|fault| self.failure(fault))
    }

    /// `count` writes in one transaction, each under a savepoint, so that one that fails takes no other with it. If the
    /// transaction comes to nothing each has one of its own.
    pub(super) fn write_many<T>(
        &self,
        at: &Moment<'_>,
        count: usize,
        work: &mut Step<'_, T>,
    ) -> Result<Vec<Result<T, Failure>>, Failure> {
        let mut answers = Vec::new();
        let together = {
            let mut held = self.writer.lock();
            let writer = held.as_mut().ok_or(Failure::Retired)?;
            let together = self.together(writer, at, count, work, &mut answers);
            self.shorten(writer, at.now);
            self.tell(at, writer.due);
            together
        };
        self.log.look();
        match together {
            Ok(()) => return Ok(answers),
            Err(Fault::Sqlite(error)) if is_damage(&error) => return Err(Failure::Damaged),
            Err(_) => {}
        }
        answers.clear();
        for number in 0..count {
            let answer = self.write(at, |one| work(one, number));
            if let Err(failure @ (Failure::Damaged | Failure::Retired)) = answer {
                // What was written before is gone with the file.
                return Err(failure);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// What each plugin has, of what is on disk.
    pub(super) fn shares(&self) -> Shares {
        self.shares.lock().clone()
    }

    /// Looks at what belongs together, while nobody writes. Who writes for long is not waited for: then it may not fit.
    pub(super) fn while_nobody_writes<R>(&self, look: impl FnOnce() -> R) -> R {
        let _nobody_writes = self.writer.try_lock_for(LONGEST_LOOK);
        look()
    }

    /// Nobody writes while this is held, however long it takes to get it.
    #[cfg(test)]
    pub(super) fn pause(&self) -> impl Sized + '_ {
        self.writer.lock()
    }

    /// The thread's part: moves the log.
    pub(super) fn checkpoint(&self) -> Result<(), Failure> {
        let held = self.beside.lock();
        let connection = held.as_ref().ok_or(Failure::Retired)?;
        let moved = self.log.checkpoint(connection, |work| {
            let _nobody_writes = self.writer.lock();
            work();
        });
        moved.map(drop).map_err(|error| self.failure(error.into()))
    }

    /// Gives the file some of the pages back that it does not need; tells whether there are more.
    pub(super) fn give_back(&self, pages: u32, rest: u32) -> Result<bool, Failure> {
        let mut held = self.writer.lock();
        let writer = held.as_mut().ok_or(Failure::Retired)?;
        let vacuum = |connection: &Connection| -> rusqlite::Result<bool> {
            let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
            let free = || number("freelist_count");
            let is_more = || -> rusqlite::Result<bool> { Ok(free()? > rest.max(number("page_count")? / 4)) };
            if !is_more()? {
                return Ok(false);
            }
            let before = free()?;
            let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            drop(steps);
            // A file that was packed by hand can keep them all.
            Ok(free()? < before && is_more()?)
        };
        let more = vacuum(&writer.connection);
        // Those who wait to write come first.
        MutexGuard::unlock_fair(held);
        more.map_err(|error| self.failure(error.into()))
    }

    /// Whoever comes is sent to the one in its place. Returns when nobody uses it any more and all connections are closed;
    /// the file stays as it is if it is not `well`. Tells the last version that was given.
    pub(super) fn retire(&self, well: bool) -> u64 {
        self.retired.store(true, Relaxed);
        let writer = self.writer.lock().take();
        self.readers.refuse();
        self.readers.finish();
        drop(self.beside.lock().take());
        let Some(writer) = writer else { return 0 };
        let last = writer.versions.last;
        if well {
            drop(writer.connection);
        } else {
            file::leave(writer.connection);
        }
        last
    }

    fn once<T>(
        &self,
        writer: &mut Writer,
        at: &Moment<'_>,
        work: &mut dyn FnMut(&mut Work<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        writer.begin()?;
        let done = work(&mut writer.work(at)).and_then(|answer| {
            writer.control("COMMIT")?;
            Ok(answer)
        });
        self.end(writer, done.is_ok());
        done
    }

    fn together<T>(
        &self,
        writer: &mut Writer,
        at: &Moment<'_>,
        count: usize,
        work: &mut Step<'_, T>,
        answers: &mut Vec<Result<T, Failure>>,
    ) -> Result<(), Fault> {
        writer.begin()?;
        let mut all = || -> Result<(), Fault> {
            for number in 0..count {
                writer.control("SAVEPOINT one")?;
                let (mark, bound) = (writer.accounting.mark(), writer.versions.bound);
                let answer = match work(&mut writer.work(at), number) {
                    Err(Fault::Refused(error)) => {
                        writer.control("ROLLBACK TO one")?;
                        writer.accounting.back_to(mark);
                        writer.versions.bound = bound;
                        writer.due = i64::MIN;
                        Err(Failure::Refused(error))
                    }
                    Err(fault) => return Err(fault),
                    Ok(answer) => Ok(answer),
                };
                writer.control("RELEASE one")?;
                answers.push(answer);
            }
            Ok(writer.control("COMMIT")?)
        };
        let done = all();
        self.end(writer, done.is_ok());
        done
    }

    /// After a transaction: all that is noted of it counts from here on, or is taken back.
    fn end(&self, writer: &mut Writer, committed: bool) {
        if committed {
            writer.full_at = None;
            writer.accounting.publish(&mut self.shares.lock());
            writer.sure = writer.versions.bound;
        } else {
            writer.undo();
        }
    }

    /// Moves the log, after a transaction that came to nothing, for want of room most likely; tells whether that was
    /// done. On a disk that stays full it would be work without end.
    fn makes_room(&self, writer: &mut Writer, now: i64) -> bool {
        if writer.full_at.is_some_and(|at| now < at.saturating_add(STAYS_FULL)) {
            return false;
        }
        writer.full_at = Some(now);
        writer.tight_until = now.saturating_add(STAYS_TIGHT);
        self.log.make_room(&writer.connection)
    }

    /// The writer's part in keeping the log short.
    fn shorten(&self, writer: &Writer, now: i64) {
        if now < writer.tight_until {
            self.log.keep_short(&writer.connection);
        } else {
            self.log.shorten_alone(&writer.connection);
        }
    }

    /// Has the thread know when the next item goes.
    fn tell(&self, at: &Moment<'_>, due: i64) {
        if at.due.fetch_min(due, Relaxed) > due {
            self.alarm.ring();
        }
    }

    fn failure(&self, fault: Fault) -> Failure {
        match fault {
            Fault::Refused(error) => Failure::Refused(error),
            Fault::Sqlite(error) if is_damage(&error) => Failure::Damaged,
            Fault::Sqlite(error) => Failure::Unavailable(parts::failed(&self.path, &error)),
        }
    }
}

/// When a write happens, and under which limits.
pub(super) struct Moment<'a> {
    pub(super) now: i64,
    pub(super) limits: &'a Limits,
    /// Gets when the next item goes, if that is earlier.
    pub(super) due: &'a AtomicI64,
}

impl Writer {
    fn begin(&mut self) -> rusqlite::Result<()> {
        // Left by a panic, which no known path leads to.
        self.undo();
        self.control("BEGIN IMMEDIATE")
    }

    fn undo(&mut self) {
        if !self.connection.is_autocommit() {
            // What does not go back now is undone before the next transaction, or at the end of the connection.
            let _ = self.control("ROLLBACK");
        }
        if self.accounting.mark() > 0 {
            self.accounting.back_to(0);
            // What was taken away is there again.
            self.due = i64::MIN;
        }
        self.versions.bound = self.sure;
    }

    fn work<'a>(&'a mut self, at: &'a Moment<'_>) -> Work<'a> {
        Work {
            connection: &self.connection,
            accounting: &mut self.accounting,
            versions: &mut self.versions,
            due: &mut self.due,
            limits: at.limits,
            now: at.now,
        }
    }

    fn control(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }
}
