//! What has to be written or read beside the runs: ends that could not be noted, due times that are given up, leases that may have ended.
//!
//! Done by a thread of its own, for the timer's must not wait for a disk. It starts with the first chore, and sleeps until there is
//! another one or the earliest lease ends that is known.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::Durable;
use crate::{
    error::Result,
    services::{
        clock::{Alarm, Clock},
        scheduler::{
            store::{Lease, Of, RunEnd},
            timer::Timer,
        },
    },
};

/// After how long it is tried again where the store fails, and the longest: each time twice as long.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Something to be written.
pub(in crate::services::scheduler) enum Chore {
    /// A run has ended, and that could not be noted.
    Finish { lease: Lease, end: RunEnd, follow: Vec<u64>, once: bool },
    /// Due times are given up.
    PassOver { job: u64, skipped: u64, next_ms: Option<i64> },
    /// The clock was set back: the job is due earlier.
    Rewind { job: u64, next_ms: Option<i64> },
    /// A job that runs once has not, and will not.
    Forget { plugin: Arc<str>, tenant: Arc<str>, name: Arc<str> },
}

pub(in crate::services::scheduler) struct Chores {
    alarm: Arc<Alarm>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chores: VecDeque<Chore>,
    look_at: Option<Duration>,
    thread: Option<JoinHandle<()>>,
    started: bool,
    stopping: bool,
}

impl Chores {
    pub(in crate::services::scheduler) fn new(clock: &dyn Clock) -> Self {
        Self { alarm: clock.alarm(), state: Mutex::default() }
    }

    pub(in crate::services::scheduler) fn push(&self, chore: Chore) {
        let mut state = self.state.lock();
        state.chores.push_back(chore);
        state.wake(&self.alarm);
    }

    /// Has open runs looked for at this time, or before.
    pub(super) fn look_at(&self, at: Duration) {
        let mut state = self.state.lock();
        if state.look_at.is_none_or(|planned| at < planned) {
            state.look_at = Some(at);
            state.wake(&self.alarm);
        }
    }

    /// Starts the thread.
    pub(in crate::services::scheduler) fn start(&self, timer: &Arc<Timer>) {
        let mut state = self.state.lock();
        if state.started || state.stopping {
            return;
        }
        let timer = Arc::clone(timer);
        let spawned = thread::Builder::new().name("pintle-jobs".into()).spawn(move || {
            if let Some(durable) = &timer.durable {
                durable.chores.run(&timer, durable);
                durable.chores.alarm.leave();
            }
        });
        // Without a thread nothing is done beside the runs; the next job tries again.
        if let Ok(thread) = spawned {
            (state.thread, state.started) = (Some(thread), true);
            self.alarm.ring();
        }
    }

    /// Does what there is once more, and ends the thread.
    pub(in crate::services::scheduler) fn stop(&self) {
        let thread = {
            let mut state = self.state.lock();
            state.stopping = true;
            state.thread.take()
        };
        let Some(thread) = thread else { return };
        self.alarm.ring();
        if thread.thread().id() != thread::current().id() {
            // One that has panicked has ended, too, and has said so.
            drop(thread.join());
            self.alarm.leave();
        }
    }

    fn run(&self, timer: &Arc<Timer>, durable: &Durable) {
        let mut wait = AGAIN;
        loop {
            let failed = self.round(timer, durable).is_err();
            let now = timer.now().monotonic;
            let until = {
                let state = self.state.lock();
                if state.stopping {
                    return;
                }
                if failed {
                    Some(now + wait)
                } else if state.chores.is_empty() {
                    state.look_at
                } else {
                    Some(now)
                }
            };
            wait = if failed { (wait * 2).min(LONGEST) } else { AGAIN };
            if until.is_none_or(|until| until > now) {
                timer.wait(&self.alarm, until);
            }
        }
    }

    /// Does what there is to do now.
    fn round(&self, timer: &Arc<Timer>, durable: &Durable) -> Result<()> {
        while let Some(chore) = self.next() {
            if let Err(error) = durable.done(timer, &chore) {
                self.state.lock().chores.push_front(chore);
                return Err(error);
            }
        }
        let now = timer.now().monotonic;
        let look = {
            let mut state = self.state.lock();
            !state.stopping && state.look_at.take_if(|at| *at <= now).is_some()
        };
        if look {
            match timer.look_for_open(durable) {
                Ok(Some(next)) => self.look_at(next),
                Ok(None) => {}
                Err(error) => {
                    self.look_at(now);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<Chore> {
        self.state.lock().chores.pop_front()
    }
}

impl State {
    /// Wakes the thread, if there is one.
    fn wake(&self, alarm: &Alarm) {
        if self.started && !self.stopping {
            alarm.ring();
        }
    }
}

impl Durable {
    fn done(&self, timer: &Timer, chore: &Chore) -> Result<()> {
        match chore {
            Chore::Finish { lease, end, follow, once } => {
                let noted = self.store.finish(lease, end, follow, *once)?;
                self.books.lock().own.remove(&lease.run);
                if noted {
                    let known: Vec<_> = {
                        let state = timer.state.lock();
                        follow.iter().filter_map(|job| state.by_record.get(job)).cloned().collect()
                    };
                    timer.due_at(&known, end.ended_ms);
                }
            }
            Chore::PassOver { job, skipped, next_ms } => self.store.pass_over(*job, *skipped, *next_ms)?,
            Chore::Rewind { job, next_ms } => {
                self.store.set_paused(*job, false, *next_ms)?;
            }
            Chore::Forget { plugin, tenant, name } => {
                let of = Of { plugin: Some(plugin), tenant: Some(tenant), name: Some(name) };
                self.store.forget(&of)?;
            }
        }
        Ok(())
    }
}
