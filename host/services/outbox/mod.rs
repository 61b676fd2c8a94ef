//! Publishes the events that batches of the storage have left in the outbox, and schedules their jobs, both in the order of their
//! commits.
//!
//! An event is taken out of the outbox when it is in the log of durable events. A host that ends in between finds it in both at its
//! next start, and the log knows it again by its id: it appears once. So it is with jobs, which whoever keeps them knows again by their
//! origin.
//!
//! Events and jobs are two rows that do not wait for each other: nothing is promised of an event and a job of one batch but that both
//! come. One thread takes from them in turns, from the row of jobs only a few at once, as each is a commit. Where the first of a row
//! cannot be done now, those behind it wait with it, so that of two batches that schedule the same job the later one wins; the other row goes on.

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
    scheduler::store::JobName,
    storage::outbox::{self, KeptJob},
};
use crate::error::{Error, ErrorKind, Result};

/// How many events are published at once.
const STEP: usize = 64;

/// How many jobs are scheduled before it is looked for events again.
const JOBS_STEP: usize = 8;

/// After how long it is tried again where that fails, and the longest: each time twice as long.
const AGAIN: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// Writes events to the log and tells those that they are for.
pub(crate) type Publish = Box<dyn Fn(Vec<Event>) -> Result<()> + Send>;

/// Keeps a job, so that it is there whatever ends, and lets it run. One whose origin is known is OK, and nothing happens.
///
/// # Errors
///
/// UNAVAILABLE, BUSY, TIMEOUT, STOPPING: it is tried again, and those behind it wait. INTERNAL, PANIC, CANCELLED, REENTRANT: it is left for the next start of
/// the host. Anything else, as QUOTA and INVALID_ARGUMENT: it can never be kept, and is dropped.
pub(crate) type Schedule = Box<dyn Fn(&KeptJob) -> Result<()> + Send>;

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
    schedule: Option<Schedule>,
    report: Box<dyn Fn(&Error) + Send>,
    /// What lies there of events up to this number cannot be read, and stays.
    events_passed: i64,
    /// The same of jobs; also those that are left for the next start.
    jobs_passed: i64,
}

/// How it goes with a row that cannot be emptied now.
struct Patience {
    again: Duration,
    until: Option<Duration>,
}

impl Patience {
    fn new() -> Self {
        Self { again: AGAIN, until: None }
    }

    /// Notes whether it could be emptied; true: this is the first failure in a row.
    fn note(&mut self, failed: bool, now: Duration) -> bool {
        if !failed {
            *self = Self::new();
            return false;
        }
        let first = self.until.is_none();
        self.until = Some(now + self.again);
        self.again = (self.again * 2).min(LONGEST);
        first
    }
}

impl Outbox {
    /// Starts the thread, which publishes and schedules first what an earlier host has left. `alarm`, of the clock, is rung when there
    /// is more. Without `schedule` jobs stay where they are, for a host that keeps durable jobs.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: there is no thread.
    pub(crate) fn start(
        ledger: &Arc<Ledger>,
        clock: Arc<dyn Clock>,
        alarm: Arc<Alarm>,
        publish: Publish,
        schedule: Option<Schedule>,
        report: Box<dyn Fn(&Error) + Send>,
    ) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let round = Round {
            ledger: Arc::clone(ledger),
            clock,
            alarm: Arc::clone(&alarm),
            ended: Arc::clone(&ended),
            publish,
            schedule,
            report,
            events_passed: 0,
            jobs_passed: 0,
        };
        let thread = thread::Builder::new().name("pintle-outbox".into()).spawn(move || round.run());
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the thread of the outbox cannot be started: {error}"))
        })?;
        Ok(Self { alarm, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Publishes and schedules nothing any more: what is left has its turn at the next start. Returns when the thread has ended.
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
        let (mut events, mut jobs) = (Patience::new(), Patience::new());
        while !self.ended.load(Relaxed) {
            let failures = self.empty();
            let now = self.clock.monotonic();
            for (patience, failed) in [&mut events, &mut jobs].into_iter().zip(&failures) {
                let is_first = patience.note(failed.is_some(), now);
                if let Some(error) = failed.as_ref().filter(|_| is_first) {
                    (self.report)(error);
                }
            }
            let until = [events.until, jobs.until].into_iter().flatten().min();
            if !self.ended.load(Relaxed) {
                self.clock.wait(&self.alarm, until);
            }
        }
    }

    /// Publishes and schedules all that is there; answers what keeps it from the rest of the events, and of the jobs.
    fn empty(&mut self) -> [Option<Error>; 2] {
        let (mut events, mut jobs) = (Ok(true), Ok(true));
        while !self.ended.load(Relaxed) && (matches!(events, Ok(true)) || matches!(jobs, Ok(true))) {
            if matches!(events, Ok(true)) {
                events = self.publish();
            }
            if matches!(jobs, Ok(true)) {
                jobs = self.schedule();
            }
        }
        [events.err(), jobs.err()]
    }

    /// Publishes some events. False: there are no more.
    fn publish(&mut self) -> Result<bool> {
        let page = outbox::events(&self.ledger, self.events_passed, STEP)?;
        self.report_damaged("event", "published", &page.damaged);
        let Some(last) = page.last else { return Ok(false) };
        if !page.found.is_empty() {
            let (numbers, events) = page.found.into_iter().unzip();
            (self.publish)(events)?;
            outbox::remove_events(&self.ledger, numbers)?;
        }
        self.events_passed = last;
        Ok(true)
    }

    /// Schedules some jobs. False: there are no more.
    fn schedule(&mut self) -> Result<bool> {
        let Some(schedule) = &self.schedule else { return Ok(false) };
        let page = outbox::jobs(&self.ledger, self.jobs_passed, JOBS_STEP)?;
        self.report_damaged("job", "scheduled", &page.damaged);
        let Some(last) = page.last else { return Ok(false) };
        let (mut done, mut passed, mut outcome) = (Vec::new(), self.jobs_passed, Ok(true));
        for (number, job) in &page.found {
            // Each may take as long as the disk takes.
            if self.ended.load(Relaxed) {
                outcome = Ok(false);
                break;
            }
            match schedule(job).map_err(|error| (Fate::of(error.kind()), error)) {
                Ok(()) => done.push(*number),
                Err((Fate::Later, error)) => {
                    outcome = Err(error);
                    break;
                }
                Err((fate, error)) => {
                    if fate == Fate::Never {
                        done.push(*number);
                    }
                    (self.report)(&fate.tell(job, &error));
                }
            }
            passed = *number;
        }
        if !done.is_empty() {
            outbox::remove_jobs(&self.ledger, done)?;
        }
        self.jobs_passed = if let Ok(true) = outcome { last } else { passed };
        outcome
    }

    fn report_damaged(&self, what: &str, done: &str, numbers: &[i64]) {
        for number in numbers {
            let text = format!("{what} {number} of the outbox is damaged: it stays there and is not {done}");
            (self.report)(&Error::new(ErrorKind::Unavailable, text));
        }
    }
}

/// What becomes of a job that could not be scheduled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is tried again.
    Later,
    /// It stays, and is tried again at the next start: something is wrong with the host, which should not keep other jobs from being
    /// scheduled.
    NextStart,
    /// It is dropped: it was the same each time.
    Never,
}

impl Fate {
    fn of(kind: ErrorKind) -> Self {
        use ErrorKind::*;
        match kind {
            Unavailable | Busy | Timeout | Stopping => Self::Later,
            Internal | Panic | Cancelled | Reentrant => Self::NextStart,
            NotFound | InvalidArgument | Denied | StaleHandle | BufferTooSmall | Conflict | WrongType
            | OutOfRange | TooLarge | Quota | Unsupported => Self::Never,
        }
    }

    fn tell(self, job: &KeptJob, error: &Error) -> Error {
        let what = match self {
            Self::Later | Self::NextStart => "is left for the next start of the host",
            Self::Never => "is dropped",
        };
        let JobName { plugin, tenant, name } = &job.name;
        let whose = if tenant.is_empty() { String::new() } else { format!(" of the tenant {tenant:?}") };
        let text = format!("the job {name:?}{whose} that a batch has scheduled {what}: {error}");
        Error::new(error.kind(), text).of(Arc::clone(plugin))
    }
}

#[cfg(test)]
mod tests;
