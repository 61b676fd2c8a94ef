//! What a crash has left behind: blobs that no file has. They are looked for once after each start, on a thread of their
//! own and in small steps, beside whoever works.
//!
//! Only blobs of earlier runs are looked at, which the numbers tell. What of those no file has gets none any more, and
//! what this run writes is not touched, so nothing has to be locked. What is not called as a blob is was not put
//! there by a host and stays.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use super::{Disk, FILES, Folder, UNFINISHED, failed, index};
use crate::error::{Error, ErrorKind, Result};

/// How many blobs are looked up at once.
const STEP: usize = 128;

/// The thread that looks.
pub(super) struct Sweep {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sweep {
    /// None if there is nothing to look at.
    pub(super) fn start(disk: &Arc<Disk>, report: Box<dyn Fn(&Error) + Send + Sync>) -> Result<Option<Self>> {
        // What cannot be entered is told to whoever needs it.
        if !matches!(disk.root.enter(&[FILES]), Ok(Some(_))) {
            return Ok(None);
        }
        let first = index::first_of(index::last_run(&disk.ledger)? + 1);
        let stop = Arc::<AtomicBool>::default();
        let look = Look { disk: Arc::clone(disk), first, stop: Arc::clone(&stop) };
        let look = move || {
            if let Err(error) = look.through_all()
                && !look.stopped()
            {
                report(&error);
            }
        };
        let thread = thread::Builder::new().name("pintle-files".into()).spawn(look).map_err(|error| {
            let what = format!("the system has no thread to tidy up files with: {error}");
            Error::new(ErrorKind::Unavailable, what).mend("allow this user more threads (ulimit -u)")
        })?;
        Ok(Some(Self { stop, thread }))
    }

    /// Ends it, done or not: the next start goes on.
    pub(super) fn end(self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.join();
    }

    /// Waits until it is done.
    #[cfg(test)]
    pub(super) fn done(self) {
        self.thread.join().expect("no panic");
    }
}

struct Look {
    disk: Arc<Disk>,
    /// The first blob of this run.
    first: u64,
    stop: Arc<AtomicBool>,
}

impl Look {
    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// A folder that cannot be looked through holds up no other; the first such is told.
    fn through_all(&self) -> Result<()> {
        let mut outcome = Ok(());
        for plugin in self.names_in(&[FILES], true)? {
            for scope in self.names_in(&[FILES, &plugin], true)? {
                if self.stopped() {
                    return outcome;
                }
                if let Some(number) = number(&scope) {
                    let swept = self.through(&[FILES, &plugin, &scope], number);
                    outcome = outcome.and(swept);
                }
            }
        }
        outcome
    }

    fn names_in(&self, names: &[&str], folders: bool) -> Result<Vec<String>> {
        let folder = self.enter(names)?;
        let Some(folder) = folder else { return Ok(Vec::new()) };
        let list = folder.names(folders).and_then(Iterator::collect::<io::Result<_>>);
        list.map_err(|error| failed(folder.path(), &error))
    }

    fn enter(&self, names: &[&str]) -> Result<Option<Folder>> {
        match self.disk.root.enter(names) {
            // Something was put in the place of a folder: it is not followed.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            entered => entered.map_err(|error| {
                let path = names.iter().fold(self.disk.root.path().to_owned(), |path, name| path.join(name));
                failed(&path, &error)
            }),
        }
    }

    fn through(&self, names: &[&str], scope: u64) -> Result<()> {
        let Some(folder) = self.enter(names)? else { return Ok(()) };
        let unreadable = |error: io::Error| failed(folder.path(), &error);
        let mut step = Vec::with_capacity(STEP);
        for name in folder.names(false).map_err(unreadable)? {
            if self.stopped() {
                return Ok(());
            }
            let name = name.map_err(unreadable)?;
            match name.strip_suffix(UNFINISHED).map(number) {
                // The run that wrote it is over.
                Some(Some(blob)) if blob < self.first => remove(&folder, &name)?,
                Some(_) => {}
                None => step.extend(number(&name).filter(|blob| *blob < self.first)),
            }
            if step.len() == STEP {
                self.remove_without_file(&folder, &mut step)?;
            }
        }
        self.remove_without_file(&folder, &mut step)?;
        if !index::has_scope(&self.disk.ledger, scope)? {
            // Its number never comes again. It stays if something is in it that is not ours.
            let _ = self.disk.root.remove(names);
        }
        Ok(())
    }

    fn remove_without_file(&self, folder: &Folder, blobs: &mut Vec<u64>) -> Result<()> {
        for blob in index::without_file(&self.disk.ledger, blobs)? {
            remove(folder, &blob.to_string())?;
        }
        blobs.clear();
        Ok(())
    }
}

fn remove(folder: &Folder, name: &str) -> Result<()> {
    folder.remove(name).map(drop).map_err(|error| failed(&folder.path().join(name), &error))
}

/// The number that a name is the one way to write of.
fn number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}
