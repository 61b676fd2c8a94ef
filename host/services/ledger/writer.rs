//! The one connection that writes, and how a group of writes becomes one commit.
//!
//! Each write has a savepoint of its own, so that one that fails takes no other with it. A full disk and some other
//! failures undo the whole transaction though, savepoints that were released included. Then, and after a panic, the
//! group is run again one by one: each write is on disk or has failed for a reason of its own.
//!
//! On a full disk the log holds room that it gives back only when all of it is in the file, which may have to grow for
//! that. So what was undone is run again once the log was moved, and as soon as there is room the log is moved first,
//! and kept short for a while, before it takes that room too.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection};

use super::{
    Counters,
    checkpoint::{LONGEST, STEP, begins_anew},
    closed,
    fault::{Fault, failed},
    group::{Member, Ran},
    open::{self, LedgerOptions},
};
use crate::{error::Result, services::clock::Clock};

/// How long a disk counts as full on which nothing could be written.
const STAYS_FULL: Duration = Duration::from_secs(1);

/// How long a disk that was full counts as one that may soon be so again.
const STAYS_TIGHT: Duration = Duration::from_secs(60);

pub(super) struct Writer {
    path: Arc<Path>,
    /// None when the ledger is closed.
    connection: Mutex<Option<Connection>>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// The disk was full, not long ago.
    full: Mutex<Option<Full>>,
}

/// The pages that the log may grow by on a tight disk, and that its file keeps then: with them items can be removed on a disk
/// that is full.
const SHORT: u64 = STEP / 4;

/// A disk that was full, seen when the log was to be moved.
#[derive(Clone, Copy)]
struct Full {
    /// When a transaction last came to nothing.
    at: Duration,
    /// How many commits there had been when the log was last to be moved, and whether it was.
    commits: u64,
    moved: bool,
    /// How many bytes the disk had left then; none: nobody knows.
    room: Option<u64>,
}

/// What a write sees of the ledger: everything that was written before it, in its own group too.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
    now_ms: i64,
}

impl<'a> Transaction<'a> {
    /// A statement, prepared once for each text.
    pub(crate) fn prepare(&self, statement: &str) -> Result<CachedStatement<'a>, Fault> {
        Ok(self.connection.prepare_cached(statement)?)
    }

    /// When the group began: the same for all of its writes.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }
}

/// The transaction is gone, and with it all that the group has written.
struct Gone {
    /// The write that panicked: it has its answer, and is not run a second time.
    panicked: Option<usize>,
}

impl Writer {
    pub(super) fn new(
        path: &Arc<Path>,
        connection: Connection,
        options: &LedgerOptions,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            path: Arc::clone(path),
            connection: Mutex::new(Some(connection)),
            clock: Arc::clone(&options.clock),
            counters: Arc::clone(counters),
            full: Mutex::default(),
        }
    }

    /// Runs the group. Every member has its answer when this returns, and what it rests on is on disk.
    pub(super) fn run(&self, group: &[Arc<dyn Member>]) {
        let held = self.connection.lock();
        let Some(connection) = &*held else {
            group.iter().for_each(|member| member.refuse(closed()));
            return;
        };
        let transaction = Transaction { connection, now_ms: self.clock.now_ms() };
        let panicked = match group {
            [] | [_] => None,
            _ => match self.together(&transaction, group) {
                Ok(()) => return,
                Err(gone) => {
                    self.counters.run_again.fetch_add(1, Relaxed);
                    if gone.panicked.is_none() {
                        self.make_room(connection);
                    }
                    gone.panicked
                }
            },
        };
        for (at, member) in group.iter().enumerate() {
            if panicked != Some(at) {
                self.alone(&transaction, &**member);
            }
        }
    }

    /// All in one transaction.
    fn together(&self, transaction: &Transaction<'_>, group: &[Arc<dyn Member>]) -> Result<(), Gone> {
        let connection = transaction.connection;
        let gone = |_| Gone { panicked: None };
        if let Err(error) = self.begin(connection) {
            // Nor would it begin for each of them.
            group.iter().for_each(|member| member.refuse(error.clone()));
            return Ok(());
        }
        let _undo = Undo(connection);
        for (at, member) in group.iter().enumerate() {
            control(connection, "SAVEPOINT one").map_err(gone)?;
            let ran = member.apply(transaction, &self.path);
            if ran == Ran::Panicked {
                return Err(Gone { panicked: Some(at) });
            }
            if connection.is_autocommit() {
                return Err(Gone { panicked: None });
            }
            if ran == Ran::Refused {
                control(connection, "ROLLBACK TO one").map_err(gone)?;
            }
            control(connection, "RELEASE one").map_err(gone)?;
        }
        control(connection, "COMMIT").map_err(gone)?;
        self.committed(group.len());
        Ok(())
    }

    /// One write in a transaction of its own.
    fn alone(&self, transaction: &Transaction<'_>, member: &dyn Member) {
        if !self.once(transaction, member) && self.make_room(transaction.connection) {
            self.once(transaction, member);
        }
    }

    /// False if the database undid the write, and not the write itself. It has its answer in any case.
    fn once(&self, transaction: &Transaction<'_>, member: &dyn Member) -> bool {
        let connection = transaction.connection;
        if let Err(error) = self.begin(connection) {
            member.refuse(error);
            return true;
        }
        let _undo = Undo(connection);
        match member.apply(transaction, &self.path) {
            Ran::Kept => {}
            Ran::Refused => return !connection.is_autocommit(),
            Ran::Panicked => return true,
        }
        // A write that has overlooked the failure that undid it finds no transaction to commit.
        match control(connection, "COMMIT") {
            Ok(()) => {
                self.committed(1);
                true
            }
            Err(error) => {
                member.refuse(failed(&self.path, &error));
                false
            }
        }
    }

    /// Moves the log into the file, after a transaction that came to nothing, for lack of room most likely; tells
    /// whether it begins anew. On a disk that stays full this would be work without end, so it is not done again before
    /// something could be written, there is more room, or some time has passed.
    fn make_room(&self, connection: &Connection) -> bool {
        let (commits, at) = (self.counters.commits.load(Relaxed), self.clock.monotonic());
        let mut full = self.full.lock();
        let room = open::room(&self.path);
        let is_as_full =
            |full: &Full| full.commits == commits && at < full.at + STAYS_FULL && room <= full.room;
        if full.is_some_and(|full| !full.moved && is_as_full(&full)) {
            return false;
        }
        // What fails here is seen when the log is moved.
        let _ = open::limit_log(connection, SHORT);
        let moved = begins_anew(connection);
        *full = Some(Full { at, commits, moved, room: open::room(&self.path) });
        moved
    }

    /// Whether the log, which has so many pages, should be moved for the sake of room, by [`Self::keep_room`].
    pub(super) fn is_tight(&self, pages: u64) -> bool {
        let mut held = self.full.lock();
        let Some(full) = *held else { return false };
        if full.moved && self.clock.monotonic() >= full.at + STAYS_TIGHT {
            *held = None;
            drop(held);
            // What fails here leaves the log's file shorter than it may be.
            self.with(|connection| drop(open::limit_log(connection, LONGEST)));
            return false;
        }
        if full.moved { pages >= SHORT } else { self.counters.commits.load(Relaxed) > full.commits }
    }

    /// Moves the log while there is room for that; tells whether it begins anew.
    pub(super) fn keep_room(&self, connection: &Connection) -> bool {
        let moved = begins_anew(connection);
        if let Some(full) = &mut *self.full.lock() {
            (full.commits, full.moved) = (self.counters.commits.load(Relaxed), moved);
            full.room = open::room(&self.path);
        }
        moved
    }

    fn begin(&self, connection: &Connection) -> Result<()> {
        // Left by a leader that ended in the middle, which no known path leads to.
        drop(Undo(connection));
        control(connection, "BEGIN IMMEDIATE").map_err(|error| failed(&self.path, &error))
    }

    fn committed(&self, writes: usize) {
        self.counters.commits.fetch_add(1, Relaxed);
        self.counters.largest_group.fetch_max(writes as u64, Relaxed);
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Keeps writers waiting while `work` runs; with their connection, unless it is closed.
    pub(super) fn with(&self, work: impl FnOnce(&Connection)) {
        if let Some(connection) = &*self.connection.lock() {
            work(connection);
        }
    }

    /// Closes the connection; as the last one it moves all of the write-ahead log into the file and removes it.
    pub(super) fn close(&self) {
        let connection = self.connection.lock().take();
        drop(connection);
    }

    /// The database may have this many pages from now on: a disk that is full, and one that has room again.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        let held = self.connection.lock();
        let connection = held.as_ref().expect("the ledger is open");
        connection.pragma_update(None, "max_page_count", pages).expect("the limit can be set");
    }
}

/// Undoes the transaction, if there still is one.
struct Undo<'a>(&'a Connection);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // What does not go back now is undone by the next `begin`, or by the end of the connection.
            let _ = control(self.0, "ROLLBACK");
        }
    }
}

fn control(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}
