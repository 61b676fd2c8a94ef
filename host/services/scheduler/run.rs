//! A run of a job: handed to the job's target when it is due, begun on a worker when its turn comes, and ended by what the
//! handler answers. Between two attempts it waits in the timer, not in the lane.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Job,
    due::{Due, Now, span},
    store::{EndedRun, HISTORY, Lease, RESULT_BYTES, RunEnd, RunKind},
    timer::Timer,
};
use crate::error::{Error, ErrorKind, Result};

/// After how long a run knocks again at a target that is busy, where no other run takes its place.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// What a job's runs are given to. The boundary implements it with the plugin's lane.
pub(crate) trait Run: Send + Sync {
    /// A run is due: see that it happens soon. When its turn comes call [`DueRun::begin`], and where that gives one
    /// [`DueRun::finished`], whatever became of it. Several of one job may stand side by side where its overlap policy says so.
    ///
    /// Called on the timer's thread, with no lock held; it must not wait.
    ///
    /// # Errors
    ///
    /// The run does not take place. It is counted as skipped, and the job keeps its schedule; the run of a job that runs once, and a
    /// further attempt, knock again a second later after BUSY, and are given up after any other error.
    fn due(&self, run: Arc<DueRun>) -> Result<()>;

    /// The job is over and no run of it is under way: what was kept for it can be released. Called exactly once for
    /// each job that was given to this target, with no lock held, on the thread that ended it or its last run. Not for the jobs
    /// of a handler, which come and go.
    fn over(&self, job: &Arc<Job>) {
        let _ = job;
    }

    /// How long a handler may take where its job does not say: for that long, and some more, a durable run is claimed.
    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A run that is due, or its next attempt. Dropped without having been finished it did not take place.
pub(crate) struct DueRun {
    timer: Arc<Timer>,
    job: Arc<Job>,
    /// For what it was handed over; of those that stand side by side an earlier one may be begun in its place.
    ticket: Ticket,
    stage: Mutex<Stage>,
}

/// What has begun.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    /// The run's number, the same in all of its attempts.
    pub(crate) id: u64,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) kind: RunKind,
    /// It was begun before by a host that did not come to its end.
    pub(crate) again: bool,
    /// When it was due, in milliseconds since 1970.
    pub(crate) due_ms: i64,
    /// What the job was scheduled with.
    pub(crate) data: Arc<[u8]>,
}

/// A due time that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Jitter included.
    pub(super) due: Due,
    /// The same by the wall clock as it was then.
    pub(super) due_ms: i64,
    pub(super) kind: RunKind,
    /// Whether it is one of the due times that the store of durable jobs counts, and which; without jitter.
    pub(super) of_store: bool,
    pub(super) nominal_ms: i64,
    /// When the job is due after it.
    pub(super) next_ms: Option<i64>,
    /// How many due times before it do not take place.
    pub(super) passed_over: u64,
}

/// A run that is to be handed over: its first attempt, or one of those that follow.
pub(super) struct Offer {
    pub(super) ticket: Ticket,
    pub(super) resumed: Option<Box<Running>>,
}

/// A run that has begun.
pub(super) struct Running {
    pub(super) ticket: Ticket,
    pub(super) id: u64,
    /// How many attempts have begun.
    pub(super) attempts: u32,
    pub(super) again: bool,
    pub(super) started_ms: i64,
    /// Of a durable job: until when it is this engine's own.
    pub(super) lease: Option<Lease>,
    /// It was begun elsewhere, and is claimed with its next attempt.
    pub(super) to_take_over: bool,
    /// When the last attempt began, by the monotonic clock.
    since: Duration,
    /// Why the last attempt failed.
    error: Option<Error>,
}

enum Stage {
    Offered(Option<Box<Running>>),
    Begun(Box<Running>),
    Over,
}

impl Ticket {
    pub(super) fn new(due: Due, due_ms: i64, kind: RunKind) -> Self {
        Self { due, due_ms, kind, of_store: false, nominal_ms: due_ms, next_ms: None, passed_over: 0 }
    }

    /// One that the store counts.
    pub(super) fn of_store(self, nominal_ms: i64, next_ms: Option<i64>, passed_over: u64) -> Self {
        Self { of_store: true, nominal_ms, next_ms, passed_over, ..self }
    }
}

impl Running {
    /// Before its first attempt.
    pub(super) fn first(ticket: Ticket, id: u64, lease: Option<Lease>, now: Now) -> Self {
        Self {
            ticket,
            id,
            attempts: 0,
            again: false,
            started_ms: now.wall_ms,
            lease,
            to_take_over: false,
            since: now.monotonic,
            error: None,
        }
    }

    /// What the store knows the run by.
    pub(super) fn run(&self) -> Option<u64> {
        (self.lease.is_some() || self.to_take_over).then_some(self.id)
    }
}

impl DueRun {
    /// Whose it is.
    #[must_use]
    pub(crate) fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// When it was due, in milliseconds since 1970.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn due_ms(&self) -> i64 {
        self.ticket.due_ms
    }

    pub(super) fn timer(&self) -> &Arc<Timer> {
        &self.timer
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// How long it may take; none: as long as any handler of the plugin.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Duration> {
        Some(self.job.keeping().timeout_ms).filter(|ms| *ms > 0).map(span)
    }

    /// Its turn has come: on the worker, right before the handler is called. None: it does not take place, because the job is
    /// over, it is too late, or somebody else has claimed it; that is accounted for, and nothing more is to be done.
    pub(crate) fn begin(&self) -> Option<Begun> {
        let Stage::Offered(resumed) = std::mem::replace(&mut *self.stage.lock(), Stage::Over) else {
            return None;
        };
        let now = self.timer.now();
        let admitted =
            if resumed.is_some() { !self.job.is_over() } else { self.job.admits(&self.ticket, now) };
        if !admitted {
            self.give_up(resumed, None);
            return None;
        }
        let mut running = match (&self.timer.durable, self.job.record()) {
            (Some(durable), Some(record)) => self.claim(durable, record, resumed, now)?,
            _ => resumed
                .unwrap_or_else(|| Box::new(Running::first(self.ticket, self.timer.next_run(), None, now))),
        };
        let ticket = running.ticket;
        running.attempts += 1;
        running.since = now.monotonic;
        if running.attempts == 1 {
            let mut state = self.job.state.lock();
            let activity = state.activity();
            activity.runs += 1;
            activity.last_ms = Some(ticket.due_ms);
        }
        let begun = Begun {
            id: running.id,
            attempt: running.attempts,
            kind: ticket.kind,
            again: running.again,
            due_ms: ticket.due_ms,
            data: self.job.data(),
        };
        *self.stage.lock() = Stage::Begun(running);
        Some(begun)
    }

    /// The handler has returned: its reply, or its failure. For a run that has not begun: it will not take place, and why. Further calls
    /// do nothing.
    pub(crate) fn finished(&self, result: Result<Vec<u8>>) {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Over);
        match stage {
            Stage::Over => {}
            Stage::Offered(resumed) => self.give_up(resumed, result.err()),
            Stage::Begun(running) => self.attempt_ended(running, result),
        }
    }

    fn attempt_ended(&self, mut running: Box<Running>, result: Result<Vec<u8>>) {
        let now = self.timer.now();
        let result = match self.timeout() {
            Some(timeout) if result.is_ok() && now.monotonic.saturating_sub(running.since) > timeout => {
                let name = Arc::clone(self.job.name());
                let text = move || format!("job \"{name}\" took longer than its {timeout:?}");
                Err(Error::lazy(ErrorKind::Timeout, text))
            }
            _ => result,
        };
        if let Err(error) = &result
            && running.attempts <= self.job.keeping().retries
        {
            let wait = span(self.job.keeping().backoff_after(running.attempts));
            running.error = Some(error.clone());
            self.job.state.lock().activity().last_error = Some(error.clone());
            let durable = self.timer.durable.as_ref().zip(running.lease);
            if let Some((durable, lease)) = &durable {
                self.postpone(durable, lease, wait, now);
            }
            let offer = Offer { ticket: running.ticket, resumed: Some(running) };
            match self.timer.later(&self.job, offer, now.monotonic + wait) {
                Ok(()) => return,
                // Whoever handles the job next goes on with it.
                Err(offer) if durable.is_some() => return self.timer.drop_offer(&self.job, offer),
                // The job is over: this was the last attempt.
                Err(offer) => running = offer.resumed.expect("put in above"),
            }
        }
        self.end(running, result);
    }

    /// It does not take place, or not again.
    fn give_up(&self, resumed: Option<Box<Running>>, why: Option<Error>) {
        let Some(mut running) = resumed else {
            if let Some(record) = self.job.record() {
                let mut unclaimed = record.unclaimed.lock();
                match unclaimed.iter().position(|ticket| *ticket == self.ticket) {
                    Some(at) => drop(unclaimed.remove(at)),
                    // Another one was begun in its place.
                    None if self.ticket.of_store => drop(unclaimed.pop_front()),
                    None => {}
                }
            }
            return self.timer.not_begun(&self.job, &self.ticket, why);
        };
        if running.run().is_some() {
            // It has not ended: it knocks again, or waits for whoever handles the job next.
            let at = self.timer.now().monotonic + KNOCK_AGAIN;
            let offer = Offer { ticket: running.ticket, resumed: Some(running) };
            if let Err(offer) = self.timer.later(&self.job, offer, at) {
                self.timer.drop_offer(&self.job, offer);
            }
            return;
        }
        let error = running.error.take().or(why);
        let error = error
            .unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "the job ended before its next attempt"));
        self.end(running, Err(error));
    }

    fn end(&self, running: Box<Running>, result: Result<Vec<u8>>) {
        let ended_ms = self.timer.now().wall_ms;
        let failure = result.as_ref().err().cloned();
        let mut end = RunEnd {
            ended_ms,
            error: failure.as_ref().map(Error::kind),
            result: result.unwrap_or_else(|error| error.to_string().into_bytes()),
        };
        end.result.truncate(RESULT_BYTES);
        end.result.shrink_to_fit();
        let ok = failure.is_none();
        let mut noted = true;
        let history = if let (Some(durable), Some(lease)) = (&self.timer.durable, running.lease) {
            noted = self.finish(durable, &running, &lease, end);
            None
        } else {
            Some(end)
        };
        if noted {
            self.job.note_end(&running, failure, history);
            if ok {
                self.timer.follow_up(&self.job);
            }
        }
        self.timer.run_ended(&self.job);
    }
}

impl Job {
    /// Counts a run that has ended; `end` where nobody else remembers it.
    fn note_end(&self, running: &Running, failure: Option<Error>, end: Option<RunEnd>) {
        let mut state = self.state.lock();
        let activity = state.activity();
        if failure.is_some() {
            activity.failed += 1;
            activity.last_error = failure;
        }
        let Some(end) = end else { return };
        if activity.history.len() == HISTORY {
            activity.history.pop_front();
        }
        activity.history.push_back(EndedRun {
            run: running.id,
            due_ms: running.ticket.due_ms,
            kind: running.ticket.kind,
            again: running.again,
            started_ms: running.started_ms,
            attempts: running.attempts,
            end,
        });
    }
}

impl Drop for DueRun {
    fn drop(&mut self) {
        match std::mem::replace(self.stage.get_mut(), Stage::Over) {
            Stage::Over => {}
            Stage::Offered(resumed) => self.give_up(resumed, None),
            Stage::Begun(running) => {
                let text = format!("job \"{}\": nobody said how its run ended", self.job.name());
                self.attempt_ended(running, Err(Error::new(ErrorKind::Internal, text)));
            }
        }
    }
}

impl fmt::Debug for DueRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DueRun").field("job", &self.job).field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Timer {
    /// Hands a run to the job's target, as the job has made ready for it.
    pub(super) fn hand_over(self: &Arc<Self>, job: &Arc<Job>, offer: Offer) {
        let target = {
            let state = job.state.lock();
            state.target.clone().filter(|_| !state.over)
        };
        let Offer { ticket, resumed } = offer;
        let again = resumed.is_some() || job.state.lock().spent;
        if let Some(record) = job.record().filter(|_| ticket.of_store && resumed.is_none()) {
            let mut unclaimed = record.unclaimed.lock();
            // A run that knocks again is older than those that stand there.
            let at = unclaimed.iter().position(|other| other.nominal_ms > ticket.nominal_ms);
            let at = at.unwrap_or(unclaimed.len());
            unclaimed.insert(at, ticket);
        }
        let run = Arc::new(DueRun {
            timer: Arc::clone(self),
            job: Arc::clone(job),
            ticket,
            stage: Mutex::new(Stage::Offered(resumed)),
        });
        // Dropped, it is counted off.
        let Some(target) = target else { return };
        let handed = catch_unwind(AssertUnwindSafe(|| target.due(Arc::clone(&run))));
        let error = match handed {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => {
                let text = format!("job \"{}\": handing over a run panicked", job.name());
                Error::new(ErrorKind::Panic, text)
            }
        };
        let Stage::Offered(resumed) = std::mem::replace(&mut *run.stage.lock(), Stage::Over) else { return };
        if again && error.kind() == ErrorKind::Busy {
            job.state.lock().activity().last_error = Some(error);
            if let Some(record) = job.record() {
                record.unclaimed.lock().retain(|other| *other != ticket);
            }
            let at = self.now().monotonic + KNOCK_AGAIN;
            if let Err(offer) = self.later(job, Offer { ticket, resumed }, at) {
                run.give_up(offer.resumed, None);
            }
            return;
        }
        run.give_up(resumed, Some(error));
    }
}
