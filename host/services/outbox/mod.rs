//! Publishes the events that batches of the storage have left in the outbox, in the order of their commits.
//!
//! An event is taken out of the outbox when it is in the log of durable events. A host that ends in between finds it in both at its
//! next start, and the log knows it again by its id: it appears once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    clock::{Alarm, Clock},
    events::Event,
    ledger::Ledger,
    storage::outbox,
};
use crate::error::{Error, ErrorKind, Result};

/// How many events are published at once.
const STEP: usize = 64;

/// After how long it is tried again where that fails, and the longest: each time twice as long.
const AGAIN: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// Writes events to the log and tells those that they are for.
pub(crate) type Publish = Box<dyn Fn(Vec<Event>) -> Result<()> + Send>;

/// The thread that empties the outbox of one host.
pub(crate) struct Outbox {
    alarm: Arc<Alarm>,
    ended: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Round {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    alarm: Arc<Alarm>,
    ended: Arc<AtomicBool>,
    publish: Publish,
    report: Box<dyn Fn(&Error) + Send>,
    /// What lies there up to this number cannot be read, and stays.
    passed: i64,
}

impl Outbox {
    /// Starts the thread, which publishes first what an earlier host has left. `alarm`, of the clock, is rung when there is more.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: there is no thread.
    pub(crate) fn start(
        ledger: &Arc<Ledger>,
        clock: Arc<dyn Clock>,
        alarm: Arc<Alarm>,
        publish: Publish,
        report: Box<dyn Fn(&Error) + Send>,
    ) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let round = Round {
            ledger: Arc::clone(ledger),
            clock,
            alarm: Arc::clone(&alarm),
            ended: Arc::clone(&ended),
            publish,
            report,
            passed: 0,
        };
        let thread = thread::Builder::new().name("pintle-outbox".into()).spawn(move || round.run());
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the thread of the outbox cannot be started: {error}"))
        })?;
        Ok(Self { alarm, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Publishes nothing any more: what is left is published at the next start. Returns when the thread has ended.
    pub(crate) fn close(&self) {
        self.ended.store(true, Relaxed);
        self.alarm.ring();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there has been written to stderr, and there is nothing to be saved from it.
            let _ = thread.join();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl Round {
    fn run(mut self) {
        let mut again = AGAIN;
        while !self.ended.load(Relaxed) {
            let until = match self.empty() {
                Ok(()) => {
                    again = AGAIN;
                    None
                }
                Err(error) => {
                    if again == AGAIN {
                        (self.report)(&error);
                    }
                    let until = self.clock.monotonic() + again;
                    again = (again * 2).min(LONGEST);
                    Some(until)
                }
            };
            if !self.ended.load(Relaxed) {
                self.clock.wait(&self.alarm, until);
            }
        }
    }

    /// Publishes all that is there.
    fn empty(&mut self) -> Result<()> {
        while !self.ended.load(Relaxed) {
            let page = outbox::read(&self.ledger, self.passed, STEP)?;
            for number in page.damaged {
                (self.report)(&Error::new(
                    ErrorKind::Unavailable,
                    format!("event {number} of the outbox is damaged: it stays there and is not published"),
                ));
            }
            let Some(last) = page.last else { return Ok(()) };
            if !page.events.is_empty() {
                let (numbers, events) = page.events.into_iter().unzip();
                (self.publish)(events)?;
                outbox::remove(&self.ledger, numbers)?;
            }
            self.passed = last;
        }
        Ok(())
    }
}
