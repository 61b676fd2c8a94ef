//! The ledger: one SQLite database for everything that must last, and one commit for many writes.
//!
//! A [`Write`] is a value. The caller that finds the writer free leads: it runs what waits, its own write included, in
//! one transaction on its own thread, so that a lone caller pays no hand-over; what arrives meanwhile shares the next
//! commit (`group.rs`). `writer.rs` runs a group, `readers.rs` has the connections to read with, `checkpoint.rs` moves
//! what was committed from the write-ahead log into the file, `open.rs` says which files it takes, `closing.rs` ends it
//! within a deadline.
//!
//! The ledger knows no service. Each brings its tables as a [`Schema`] and its writes as values. It knows `error` and
//! the clock.

mod checkpoint;
mod closing;
mod fault;
mod group;
mod open;
mod readers;
mod writer;

#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use self::{
    checkpoint::{Checkpointer, Log},
    fault::failed,
    group::Group,
    readers::Readers,
    writer::Writer,
};
pub(crate) use self::{
    closing::close_within,
    fault::Fault,
    group::Write,
    open::{Durability, LedgerOptions, Schema},
    writer::Transaction,
};
use crate::error::{Error, ErrorKind, Result};

/// What other databases of the host's own are made of too.
pub(in crate::services) mod parts {
    pub(in crate::services) use super::{
        checkpoint::Log,
        fault::failed,
        open::{APPLICATION, APPLICATION_AT, HEADER, beside, connect, lay_out},
        readers::Readers,
    };
}

/// The open ledger. Ends with [`Ledger::close`], or when it is dropped.
pub(crate) struct Ledger {
    path: Arc<Path>,
    group: Group,
    writer: Arc<Writer>,
    readers: Readers,
    log: Arc<Log>,
    counters: Arc<Counters>,
    /// None when the ledger is closed; whoever closes holds it meanwhile.
    checkpointer: Mutex<Option<Checkpointer>>,
}

/// What the ledger has done since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerCounts {
    /// Writes whose callers were told that they are on disk.
    pub(crate) writes: u64,
    /// Writes that failed, whatever for.
    pub(crate) failed: u64,
    /// Transactions that were committed; where many write at once, far fewer than writes.
    pub(crate) commits: u64,
    /// The most writes that shared one commit.
    pub(crate) largest_group: u64,
    /// Groups whose transaction was gone, so that their writes ran again one by one.
    pub(crate) run_again: u64,
    /// Times that the whole write-ahead log, as it was then, had been moved into the file.
    pub(crate) checkpoints: u64,
    /// The pages that the write-ahead log has after the last commit.
    pub(crate) log_pages: u64,
}

#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    failed: AtomicU64,
    commits: AtomicU64,
    largest_group: AtomicU64,
    run_again: AtomicU64,
    checkpoints: AtomicU64,
}

impl Ledger {
    /// Opens the file, makes it if it is not there, and brings its tables up to date. Keeps every file that it refuses
    /// as it is.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED: a newer host has written it; UNAVAILABLE: it is damaged, no ledger, in use by another process, or
    /// cannot be read or written. Each says what to do.
    pub(crate) fn open(path: impl Into<PathBuf>, options: LedgerOptions) -> Result<Self> {
        let path: Arc<Path> = path.into().into();
        let mut connection = open::prepare(&path, &options)?;
        let counters = Arc::<Counters>::default();
        let log =
            Log::watch(options.clock.alarm(), &mut connection).map_err(|error| failed(&path, &error))?;
        let writer = Arc::new(Writer::new(&path, connection, &options, &counters));
        let checkpointer = Checkpointer::start(&path, options, &log, &writer, &counters)?;
        Ok(Self {
            group: Group::default(),
            readers: Readers::new(&path),
            checkpointer: Mutex::new(Some(checkpointer)),
            path,
            writer,
            log,
            counters,
        })
    }

    /// Runs the write and returns when it is on disk. Its answer, and the error that it refuses with, rest on nothing
    /// that is not on disk.
    ///
    /// # Errors
    ///
    /// What the write refuses with; UNAVAILABLE: the disk is full or fails, or the ledger is closed; PANIC: the write
    /// panicked. Nothing of this write was kept then.
    pub(crate) fn write<W: Write>(&self, write: W) -> Result<W::Answer> {
        self.group.write(write, &self.writer, &self.log)
    }

    /// Reads on a connection of its own, beside writers. Sees every write that has returned. `look` asks one question:
    /// two might be answered from two states of the ledger.
    ///
    /// # Errors
    ///
    /// What `look` fails with; UNAVAILABLE: the file cannot be read, or the ledger is closed.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault>) -> Result<T> {
        let connection = self.readers.take()?;
        look(&connection).map_err(|fault| fault.told_of(&self.path))
    }

    /// Sees to it that power loss takes nothing that was committed before, where commits alone do not
    /// ([`Durability::Normal`]). For whoever is about to undo something outside that a commit has replaced.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk fails.
    pub(crate) fn sync(&self) -> Result<()> {
        // What is no longer in the log was synced when it was moved. SQLite locks the file and the index of the log, never the
        // log itself, so that to close it here takes no lock away.
        let log = open::beside(&fs::canonicalize(&self.path).unwrap_or_else(|_| (*self.path).into()), "-wal");
        let synced = match OpenOptions::new().write(true).open(&log) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        synced.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("{} cannot be synced: {error}", log.display()))
        })
    }

    /// What it has done so far.
    pub(crate) fn counts(&self) -> LedgerCounts {
        let Counters { writes, failed, commits, largest_group, run_again, checkpoints } = &*self.counters;
        LedgerCounts {
            writes: writes.load(Relaxed),
            failed: failed.load(Relaxed),
            commits: commits.load(Relaxed),
            largest_group: largest_group.load(Relaxed),
            run_again: run_again.load(Relaxed),
            checkpoints: checkpoints.load(Relaxed),
            log_pages: self.log.pages(),
        }
    }

    /// Writes that wait, the leader's group aside.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.group.waiting()
    }

    /// Takes no more, finishes what writes and what reads, moves everything into the file and closes it. A second call
    /// returns when the first one has. Waits as long as the disk lets it: where that may be too long there is
    /// [`Ledger::close_by`].
    pub(crate) fn close(&self) {
        // Before any wait, so that nobody else begins to wait for the same.
        self.refuse();
        let mut checkpointer = self.checkpointer.lock();
        let Some(checkpointer) = checkpointer.take() else { return };
        self.group.finish();
        checkpointer.end();
        self.readers.finish();
        self.writer.close();
    }

    /// Takes no more: UNAVAILABLE to whoever comes.
    fn refuse(&self) {
        self.group.refuse();
        self.readers.refuse();
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

/// What every call gets after [`Ledger::close`].
fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the host has stopped")
}
