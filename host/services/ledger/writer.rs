//! The one connection that writes, and how a group of writes becomes one commit.
//!
//! Each write has a savepoint of its own, so that one that fails takes no other with it. A full disk and some other
//! failures undo the whole transaction though, savepoints that were released included. Then, and after a panic, the
//! group is run again one by one: each write is on disk or has failed for a reason of its own.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection};

use super::{
    Counters, closed,
    fault::{Fault, failed},
    group::{Member, Ran},
    open::LedgerOptions,
};
use crate::{error::Result, services::clock::Clock};

pub(super) struct Writer {
    path: Arc<Path>,
    /// None when the ledger is closed.
    connection: Mutex<Option<Connection>>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
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
        let connection = transaction.connection;
        if let Err(error) = self.begin(connection) {
            return member.refuse(error);
        }
        let _undo = Undo(connection);
        if member.apply(transaction, &self.path) != Ran::Kept {
            return;
        }
        // A write that has overlooked the failure that undid it finds no transaction to commit.
        match control(connection, "COMMIT") {
            Ok(()) => self.committed(1),
            Err(error) => member.refuse(failed(&self.path, &error)),
        }
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
