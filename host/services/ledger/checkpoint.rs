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
pub(super) const STEP: u64 = if cfg!(test) { 100 } else { 1_000 };

/// From so many pages on writers wait until the log can begin anew: 32 MiB.
pub(super) const LONGEST: u64 = 8 * STEP;

/// How long writers wait for readers then. One that reads longer keeps the log growing until the next step.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the write-ahead log is, and who wants to know.
pub(super) struct Log {
    pages: AtomicU64,
    /// The pages that there were at the last checkpoint.
    looked_at: AtomicU64,
    /// From so many pages on a leader moves them itself.
    too_long: AtomicU64,
    alarm: Arc<Alarm>,
}

impl Log {
    /// After a commit: wakes the thread if there is enough to do.
    pub(super) fn look(&self) {
        if self.pages().saturating_sub(self.looked_at.load(Relaxed)) >= STEP {
            self.alarm.ring();
        }
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
        if self.pages() < self.too_long.load(Relaxed) {
            return;
        }
        // A reader that does not end must not cost every group its patience.
        self.too_long.store(self.pages() + LONGEST, Relaxed);
        writer.with(|connection| {
            if begins_anew(connection) {
                self.begun_anew();
            }
        });
    }
}

/// The thread that moves pages.
pub(super) struct Checkpointer {
    log: Arc<Log>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Begins to watch the log that `writer` writes.
    pub(super) fn watch(options: &LedgerOptions, writer: &mut Connection) -> rusqlite::Result<Arc<Log>> {
        let (pages, looked_at, too_long) = (0.into(), 0.into(), (2 * LONGEST).into());
        let log = Arc::new(Log { pages, looked_at, too_long, alarm: options.clock.alarm() });
        let watched = Arc::clone(&log);
        writer.wal_hook(Some(move |_: &mut _, pages| {
            watched.committed(u64::try_from(pages).unwrap_or_default());
            Ok(())
        }))?;
        Ok(log)
    }

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
        // Before, not after: a checkpoint that fails is not tried again at every commit.
        let pages = self.log.pages();
        let behind = pages.saturating_sub(self.log.looked_at.swap(pages, Relaxed));
        let mut whole = Ok(false);
        // Writers that are faster than this thread would only get further ahead.
        if pages < LONGEST || behind < 3 * STEP {
            whole = moved(&self.connection, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        if whole.is_ok() && self.log.pages() >= LONGEST {
            self.writer.with(|_| {
                whole = restart(&self.connection);
                if let Ok(true) = whole {
                    self.log.begun_anew();
                }
            });
        }
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
