//! The timer: the queue of what is due next, and the one thread that waits for it.
//!
//! Two queues in one: calendar runs are due by the wall clock, which may be set, intervals by the monotonic
//! clock, which may not. The thread sleeps until the first run of either is due and otherwise is not woken, except
//! that it looks at the wall clock once a minute while a calendar job waits, for no sleep notices that the
//! clock was set or that the machine was suspended.
//!
//! The queues are ordered maps, not heaps: a removed job leaves at once and takes its target with it, so nothing
//! has to be swept up. Locks are taken in the order timer, job; targets are called with neither.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::job::{Due, Job, Now};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::{Alarm, Clock},
};

/// How long a change of the wall clock may go unnoticed.
const LOOK_AT_WALL: Duration = Duration::from_secs(60);
/// A wall clock that falls behind the monotonic one by more than this was set back.
const SET_BACK_MS: i64 = 250;
/// How many runs are handed over before the queue is looked at again.
const BATCH: usize = 256;

/// Shared by the scheduler, the timer's thread and, weakly, the jobs.
pub(super) struct Timer {
    clock: Arc<dyn Clock>,
    alarm: Arc<Alarm>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: HashMap<Name, Arc<Job>>,
    by_wall: BTreeMap<(i64, u64), Arc<Job>>,
    by_beat: BTreeMap<(Duration, u64), Arc<Job>>,
    /// Runs that waited for the one before to end.
    following: Vec<(Arc<Job>, i64)>,
    /// Keeps what is due together in the order in which it was queued, and every place unique.
    places: u64,
    thread: Thread,
    /// What the wall clock was ahead of the monotonic one at the last look.
    wall_ahead_ms: Option<i64>,
    stopping: bool,
}

#[derive(Default)]
enum Thread {
    #[default]
    NotStarted,
    Awake(JoinHandle<()>),
    /// Until a monotonic time, or until it is woken.
    Asleep(JoinHandle<()>, Option<Duration>),
    Gone,
}

#[derive(PartialEq, Eq, Hash)]
struct Name {
    owner: u64,
    tenant: Option<Arc<str>>,
    name: Arc<str>,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) due: Due,
    place: u64,
}

impl Timer {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let alarm = clock.alarm();
        Arc::new(Self { clock, alarm, state: Mutex::default() })
    }

    /// Takes a job in; gives back the one of the same name that it replaced, which is over.
    pub(super) fn add(self: &Arc<Self>, job: &Arc<Job>) -> Result<Option<Arc<Job>>> {
        let replaced = {
            let mut state = self.state.lock();
            if state.stopping {
                return Err(Error::new(ErrorKind::Stopping, "the scheduler is stopping"));
            }
            self.start(&mut state)?;
            let replaced = state.jobs.insert(Name::of(job), Arc::clone(job));
            if let Some(old) = &replaced {
                state.unqueue(old);
            }
            replaced
        };
        if let Some(old) = &replaced {
            old.end();
        }
        self.arm(std::iter::once(job), self.now());
        Ok(replaced)
    }

    /// Ends a job. False if it was over already.
    pub(super) fn remove(&self, job: &Arc<Job>) -> bool {
        {
            let mut state = self.state.lock();
            state.unqueue(job);
            let name = Name::of(job);
            // The name may belong to the job that replaced this one.
            if state.jobs.get(&name).is_some_and(|known| Arc::ptr_eq(known, job)) {
                state.jobs.remove(&name);
            }
        }
        job.end()
    }

    /// Makes a job live or not.
    pub(super) fn set_live(&self, job: &Arc<Job>, live: bool) {
        let changed = {
            let mut state = self.state.lock();
            let changed = job.set_live(live);
            if changed {
                state.unqueue(job);
            }
            changed
        };
        if changed && live {
            self.arm(std::iter::once(job), self.now());
        }
    }

    /// Every job, in no order.
    pub(super) fn jobs(&self) -> Vec<Arc<Job>> {
        self.state.lock().jobs.values().cloned().collect()
    }

    /// Both clocks.
    pub(super) fn now(&self) -> Now {
        Now { wall_ms: self.clock.now_ms(), monotonic: self.clock.monotonic() }
    }

    /// Queues a run of a job that has none queued.
    pub(super) fn insert(&self, job: &Arc<Job>, due: Due) {
        let wake = {
            let mut state = self.state.lock();
            state.insert(job, due) && state.sleeps_past(due, self.now())
        };
        if wake {
            self.alarm.ring();
        }
    }

    /// Has a run handed over by the thread, at once. False if the timer has stopped.
    pub(super) fn follow(&self, job: &Arc<Job>, due_ms: i64) -> bool {
        {
            let mut state = self.state.lock();
            if state.stopping {
                return false;
            }
            state.following.push((Arc::clone(job), due_ms));
        }
        self.alarm.ring();
        true
    }

    /// Ends every job and the thread, and waits for the thread unless it is the caller.
    pub(super) fn stop(&self) {
        let (thread, jobs) = {
            let mut state = self.state.lock();
            state.stopping = true;
            state.by_wall.clear();
            state.by_beat.clear();
            (std::mem::replace(&mut state.thread, Thread::Gone), std::mem::take(&mut state.jobs))
        };
        self.alarm.ring();
        for job in jobs.into_values() {
            job.end();
        }
        if let Thread::Awake(thread) | Thread::Asleep(thread, _) = thread
            && thread.thread().id() != thread::current().id()
        {
            thread.join().expect("the timer's thread catches the panics of targets and has none of its own");
        }
        // The jobs are over, so these are only counted off.
        self.hand_over_following();
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if let Thread::NotStarted = state.thread {
            let timer = Arc::clone(self);
            let thread = thread::Builder::new()
                .name("pintle-timer".into())
                .spawn(move || timer.run())
                .map_err(|error| {
                    let text = format!("the timer's thread cannot be started: {error}");
                    Error::new(ErrorKind::Unavailable, text).mend("raise the limit of threads")
                })?;
            state.thread = Thread::Awake(thread);
            self.alarm.ring();
        }
        Ok(())
    }

    /// The thread.
    fn run(&self) {
        loop {
            let until = {
                let mut state = self.state.lock();
                if state.stopping {
                    return;
                }
                let now = self.now();
                let until = state.wake_at(now);
                if state.following.is_empty() && until.is_none_or(|until| until > now.monotonic) {
                    state.thread = match std::mem::take(&mut state.thread) {
                        Thread::Awake(thread) | Thread::Asleep(thread, _) => Thread::Asleep(thread, until),
                        other => other,
                    };
                    Some(until)
                } else {
                    None
                }
            };
            if let Some(until) = until {
                self.clock.wait(&self.alarm, until);
            }
            self.pass();
        }
    }

    /// Hands over what is due, up to a batch.
    fn pass(&self) {
        let now = self.now();
        let (set_back, due) = {
            let mut state = self.state.lock();
            state.thread = match std::mem::take(&mut state.thread) {
                Thread::Asleep(thread, _) => Thread::Awake(thread),
                other => other,
            };
            (state.take_if_set_back(now), state.take_due(now))
        };
        self.arm(set_back.iter(), now);
        // Queued before anything is handed over: a target that looks sees the next run.
        self.arm(due.iter().map(|(job, ..)| job), now);
        for (job, due_ms, run) in due {
            if run {
                job.hand_over(due_ms, now);
            }
        }
        self.hand_over_following();
    }

    fn hand_over_following(&self) {
        let following = std::mem::take(&mut self.state.lock().following);
        for (job, due_ms) in following {
            job.hand_over(due_ms, self.now());
        }
    }

    /// Queues the next run of each, computed without the timer's lock.
    fn arm<'a>(&self, jobs: impl Iterator<Item = &'a Arc<Job>>, now: Now) {
        for job in jobs {
            if let Some(due) = job.next_due(now) {
                self.insert(job, due);
            }
        }
    }
}

impl State {
    /// False if the job has a place already or wants none.
    fn insert(&mut self, job: &Arc<Job>, due: Due) -> bool {
        let place = self.places;
        if self.stopping || !job.take_slot(Slot { due, place }) {
            return false;
        }
        self.places += 1;
        match due {
            Due::Wall(at) => self.by_wall.insert((at, place), Arc::clone(job)),
            Due::Beat(at) => self.by_beat.insert((at, place), Arc::clone(job)),
        };
        true
    }

    fn unqueue(&mut self, job: &Job) {
        if let Some(Slot { due, place }) = job.give_slot() {
            match due {
                Due::Wall(at) => self.by_wall.remove(&(at, place)),
                Due::Beat(at) => self.by_beat.remove(&(at, place)),
            };
        }
    }

    /// Up to a batch of what is due, in the order in which it was, and whether it is to be handed over.
    fn take_due(&mut self, now: Now) -> Vec<(Arc<Job>, i64, bool)> {
        let mut due = Vec::new();
        while due.len() < BATCH
            && let Some(first) = self.by_wall.first_entry()
            && first.key().0 <= now.wall_ms
        {
            let ((at, _), job) = first.remove_entry();
            due.push((job, Due::Wall(at)));
        }
        while due.len() < BATCH
            && let Some(first) = self.by_beat.first_entry()
            && first.key().0 <= now.monotonic
        {
            let ((at, _), job) = first.remove_entry();
            due.push((job, Due::Beat(at)));
        }
        let mut due: Vec<_> = due
            .into_iter()
            .map(|(job, due)| {
                let due_ms = due.as_wall_ms(now);
                let run = job.fall_due(due, due_ms);
                (job, due_ms, run)
            })
            .collect();
        due.sort_by_key(|&(_, due_ms, _)| due_ms);
        due
    }

    /// When the wall clock was set back: all calendar jobs, to be queued anew. They are due after their last run
    /// and not before now, which may be earlier than where they were queued.
    fn take_if_set_back(&mut self, now: Now) -> Vec<Arc<Job>> {
        let monotonic_ms = i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX);
        let ahead = now.wall_ms.saturating_sub(monotonic_ms);
        let before = self.wall_ahead_ms.replace(ahead);
        if before.is_none_or(|before| ahead >= before.saturating_sub(SET_BACK_MS)) {
            return Vec::new();
        }
        let jobs: Vec<_> = std::mem::take(&mut self.by_wall).into_values().collect();
        for job in &jobs {
            job.give_slot();
        }
        jobs
    }

    /// When the thread has to look again, by the monotonic clock.
    fn wake_at(&self, now: Now) -> Option<Duration> {
        let wall = self.by_wall.keys().next().map(|&(at, _)| in_monotonic(Due::Wall(at), now));
        let beat = self.by_beat.keys().next().map(|&(at, _)| at);
        match (wall, beat) {
            (Some(wall), Some(beat)) => Some(wall.min(beat)),
            (wall, beat) => wall.or(beat),
        }
    }

    fn sleeps_past(&self, due: Due, now: Now) -> bool {
        match self.thread {
            Thread::Asleep(_, until) => until.is_none_or(|until| in_monotonic(due, now) < until),
            Thread::NotStarted | Thread::Awake(_) | Thread::Gone => false,
        }
    }
}

/// When the thread has to wake for a run: for a calendar run also once a minute before.
fn in_monotonic(due: Due, now: Now) -> Duration {
    match due {
        Due::Beat(at) => at,
        Due::Wall(at) => {
            let ahead = u64::try_from(at.saturating_sub(now.wall_ms)).unwrap_or(0);
            now.monotonic + Duration::from_millis(ahead).min(LOOK_AT_WALL)
        }
    }
}

impl Name {
    fn of(job: &Job) -> Self {
        Self { owner: job.owner(), tenant: job.tenant().cloned(), name: Arc::clone(job.name()) }
    }
}
