//! Moves what was committed from the write-ahead log into the file, on a thread of its own: on a caller's, every
//! thousandth write would wait for a thousand pages.
//!
//! While writers go on, the log cannot begin anew, and would grow as long as they do. So from a certain length on the
//! thread keeps them waiting for the little that is left after it has moved the most. Where it does not get to run, a
//! leader that finds the log twice as long moves it itself, after it has answered its group.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;

use super::{Counters, LedgerOptions, fault::failed, open, writer::Writer};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::Alarm,
};

/// Pages that the log grows by between two checkpoints: 4 MiB.
pub(in crate::services) const STEP: u64 = if cfg!(test) { 100 } else { 1_000 };

/// From so many pages on writers wait until the log can begin anew: 32 MiB.
pub(super) const LONGEST: u64 = 8 * STEP;

/// How long writers wait for readers then. One that reads longer keeps the log growing until the next step.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the write-ahead log is, and who wants to know.
pub(in crate::services) struct Log {
    pages: AtomicU64,
    /// The pages that there were at the last checkpoint.
    looked_at: AtomicU64,
    /// From so many pages on a leader moves them itself.
    too_long: AtomicU64,
    alarm: Arc<Alarm>,
}

impl Log {
    /// Begins to watch the log that `writer` writes; `alarm` wakes the thread that moves it.
    pub(in crate::services) fn watch(
        alarm: Arc<Alarm>,
        writer: &mut Connection,
    ) -> rusqlite::Result<Arc<Self>> {
        let (pages, looked_at, too_long) = (0.into(), 0.into(), (2 * LONGEST).into());
        let log = Arc::new(Self { pages, looked_at, too_long, alarm });
        let watched = Arc::clone(&log);
        writer.wal_hook(Some(move |_: &mut _, pages| {
            watched.committed(u64::try_from(pages).unwrap_or_default());
            Ok(())
        }))?;
        Ok(log)
    }

    /// After a commit: wakes the thread if there is enough to do.
    pub(in crate::services) fn look(&self) {
        if self.pages().saturating_sub(self.looked_at.load(Relaxed)) >= STEP {
            self.alarm.ring();
        }
    }

    /// The thread's part: moves what there is; tells whether it was all. `alone` keeps writers waiting while it runs what
    /// it is given.
    pub(in crate::services) fn checkpoint(
        &self,
        connection: &Connection,
        alone: impl FnOnce(&mut dyn FnMut()),
    ) -> rusqlite::Result<bool> {
        // Before, not after: a checkpoint that fails is not tried again at every commit.
        let pages = self.pages();
        let behind = pages.saturating_sub(self.looked_at.swap(pages, Relaxed));
        let mut whole = Ok(false);
        // Writers that are faster than this thread would only get further ahead.
        if pages < LONGEST || behind < 3 * STEP {
            whole = moved(connection, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        if whole.is_ok() && self.pages() >= LONGEST {
            alone(&mut || {
                whole = restart(connection);
                if let Ok(true) = whole {
                    self.begun_anew();
                }
            });
        }
        whole
    }

    /// The writer's own part, where the thread does not get to run: with its connection, while nobody else writes.
    pub(in crate::services) fn shorten_alone(&self, writer: &Connection) {
        if self.is_too_long() {
            self.make_room(writer);
        }
    }

    /// As [`Self::shorten_alone`], where there is little room: after each step.
    pub(in crate::services) fn keep_short(&self, writer: &Connection) {
        if self.pages() >= STEP {
            self.make_room(writer);
        }
    }

    /// Tells it once for each step that it grows by: a reader that does not end must not cost every commit its patience.
    fn is_too_long(&self) -> bool {
        let too_long = self.pages() >= self.too_long.load(Relaxed);
        if too_long {
            self.too_long.store(self.pages() + LONGEST, Relaxed);
        }
        too_long
    }

    /// Has the log begin anew for the sake of room; tells whether it does. With the writer's connection, while nobody writes.
    pub(in crate::services) fn make_room(&self, writer: &Connection) -> bool {
        let moved = begins_anew(writer);
        if moved {
            self.begun_anew();
        }
        moved
    }

    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Relaxed)
    }

    fn committed(&self, pages: u64) {
        if self.pages.load(Relaxed) >= pages {
            self.begun_anew();
        }
        self.pages.store(pages, Relaxed);
    }

    fn begun_anew(&self) {
        self.pages.store(0, Relaxed);
        self.looked_at.store(0, Relaxed);
        self.too_long.store(2 * LONGEST, Relaxed);
    }

    /// As after a commit that left so many pages in it.
    #[cfg(test)]
    pub(super) fn lengthen(&self, pages: u64) {
        self.pages.store(pages, Relaxed);
    }

    /// The leader's part, between two groups.
    pub(super) fn shorten(&self, writer: &Writer) {
        if writer.is_tight(self.pages()) {
            writer.with(|connection| {
                if writer.keep_room(connection) {
                    self.begun_anew();
                }
            });
            return;
        }
        if self.is_too_long() {
            writer.with(|connection| {
                self.make_room(connection);
            });
        }
    }
}

/// The thread that moves pages.
pub(super) struct Checkpointer {
    log: Arc<Log>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    pub(super) fn start(
        path: &Arc<Path>,
        options: LedgerOptions,
        log: &Arc<Log>,
        writer: &Arc<Writer>,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let connection = open::checkpointer(path, &options).map_err(|error| failed(path, &error))?;
        let ended = Arc::<AtomicBool>::default();
        let work = Work {
            path: Arc::clone(path),
            connection,
            log: Arc::clone(log),
            writer: Arc::clone(writer),
            counters: Arc::clone(counters),
        };
        let thread = thread::Builder::new().name("pintle-ledger".into()).spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut fails = false;
                loop {
                    options.clock.wait(&work.log.alarm, None);
                    if ended.load(Relaxed) {
                        return;
                    }
                    let moved = work.checkpoint();
                    // Said once, until it has worked again.
                    if let Err(error) = &moved
                        && !fails
                    {
                        (options.report)(error);
                    }
                    fails = moved.is_err();
                }
            }
        });
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the ledger's thread cannot be started: {error}"))
        })?;
        Ok(Self { log: Arc::clone(log), ended, thread })
    }

    /// Returns when the thread has ended. What it has not moved stays in the log, which is as good a place.
    pub(super) fn end(self) {
        self.ended.store(true, Relaxed);
        self.log.alarm.ring();
        // A panic there has been written to stderr, and there is nothing to be saved from it.
        let _ = self.thread.join();
    }
}

/// What the thread works with.
struct Work {
    path: Arc<Path>,
    connection: Connection,
    log: Arc<Log>,
    writer: Arc<Writer>,
    counters: Arc<Counters>,
}

impl Work {
    fn checkpoint(&self) -> Result<()> {
        let whole = self.log.checkpoint(&self.connection, |work| self.writer.with(|_| work()));
        if whole.map_err(|error| failed(&self.path, &error))? {
            self.counters.checkpoints.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

/// Has the log of the writer's connection begin anew with the next commit, if all of it can be moved. Nobody may write
/// meanwhile.
pub(super) fn begins_anew(writer: &Connection) -> bool {
    // For another writer this connection waits longer.
    let restarted = be_patient(writer).and_then(|()| restart(writer));
    let _ = open::be_patient(writer);
    restarted.unwrap_or(false)
}

/// Moves all and waits for readers, so that the next commit begins the log anew. Nobody may write meanwhile.
fn restart(connection: &Connection) -> rusqlite::Result<bool> {
    moved(connection, "PRAGMA wal_checkpoint(RESTART)")
}

/// Whether all was moved that was in the log.
fn moved(connection: &Connection, pragma: &str) -> rusqlite::Result<bool> {
    connection.query_row(pragma, [], |row| {
        let (busy, pages, moved): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(!busy && pages == moved)
    })
}

/// Gives up waiting for readers when the time is over.
pub(super) fn be_patient(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)
}
