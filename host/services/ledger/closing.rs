//! The end of a ledger, or of another database, within a deadline: a disk that hangs, or another process that has the
//! file locked, must not hang a host that stops.

use std::{
    any::Any,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::Ledger;

/// Even a host that stops at once gives the disk so long: closing is a few writes and one sync.
const LEAST: Duration = Duration::from_millis(100);

/// A database that did not close in time and goes on closing. What was answered is in its write-ahead log, if the process
/// ends before.
pub(crate) struct Unclosed(Sender<Box<dyn Any + Send>>);

impl Unclosed {
    /// Keeps something until the database is closed: what says that its file is in use.
    pub(crate) fn keep(self, what: impl Any + Send) {
        // The thread waits for it, or has panicked, and then it goes at once.
        let _ = self.0.send(Box::new(what));
    }
}

impl Ledger {
    /// Closes it on a thread of its own, and waits for that until `deadline`. From the moment of the call on nothing new
    /// is taken.
    pub(crate) fn close_by(self: &Arc<Self>, deadline: Instant) -> Result<(), Unclosed> {
        self.refuse();
        let closing = Arc::clone(self);
        close_within(deadline, "pintle-closing", move || closing.close())
    }
}

/// Has something closed on a thread of that name, and waits for that until `deadline`.
pub(crate) fn close_within(
    deadline: Instant,
    thread: &str,
    close: impl Fn() + Send + Sync + 'static,
) -> Result<(), Unclosed> {
    let (tell, told) = mpsc::channel::<()>();
    let (keep, kept) = mpsc::channel();
    let close = Arc::new(close);
    let closing = Arc::clone(&close);
    let spawned = thread::Builder::new().name(thread.into()).spawn(move || {
        closing();
        drop(tell);
        // Whoever gave up has something to be kept until now; nobody else has.
        drop(kept.recv());
    });
    if spawned.is_err() {
        // Nobody else is there to do it.
        close();
        return Ok(());
    }
    let left = deadline.saturating_duration_since(Instant::now()).max(LEAST);
    match told.recv_timeout(left) {
        Err(mpsc::RecvTimeoutError::Timeout) => Err(Unclosed(keep)),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()),
    }
}
