//! What the timer knows: the jobs by their names, and the queues of what is due next.
//!
//! Two queues in one: calendar runs are due by the wall clock, which may be set, intervals by the monotonic clock, which may not; a
//! third holds runs that wait for their next attempt.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use super::{
    Handler,
    due::{Due, Now, ms},
    durable::ByRecord,
    job::{Job, Plan, Slot},
    names::{Named, Names},
    queue::Queue,
    run::Offer,
};
use crate::error::{Error, ErrorKind, Result};

/// How long a change of the wall clock may go unnoticed.
const LOOK_AT_WALL: Duration = Duration::from_secs(60);
/// A wall clock that falls behind the monotonic one by more than this was set back.
const SET_BACK_MS: i64 = 250;
/// How many runs are handed over before the queue is looked at again.
const BATCH: usize = 256;

#[derive(Default)]
pub(super) struct State {
    pub(super) jobs: Names,
    pub(super) by_record: ByRecord,
    /// In the order in which they came.
    pub(super) handlers: Vec<Arc<Handler>>,
    pub(super) by_wall: Queue<i64>,
    pub(super) by_beat: Queue<Duration>,
    /// Runs that wait for their next attempt, by when that is, and by a number that keeps them apart.
    pub(super) later: BTreeMap<(Duration, u64), (Arc<Job>, Offer)>,
    /// Runs that are to be handed over at once.
    pub(super) following: Vec<(Arc<Job>, Offer)>,
    /// Who runs after a job of this name.
    pub(super) followers: HashMap<FullName, Vec<Arc<Job>>>,
    /// Which names have had their run of this life of the host.
    pub(super) rebooted: HashSet<FullName>,
    pub(super) parked: u64,
    pub(super) thread: Thread,
    /// What the wall clock was ahead of the monotonic one at the last look.
    pub(super) wall_ahead_ms: Option<i64>,
    pub(super) stopping: bool,
}

/// Plugin, tenant, name.
type FullName = (Arc<str>, Option<Arc<str>>, Arc<str>);

#[derive(Default)]
pub(super) enum Thread {
    #[default]
    NotStarted,
    Awake(JoinHandle<()>),
    /// Until a monotonic time, or until it is woken.
    Asleep(JoinHandle<()>, Option<Duration>),
    Gone,
}

/// What is due now.
pub(super) struct Found {
    /// Of the calendar, where the wall clock was set back.
    pub(super) set_back: Vec<Arc<Job>>,
    pub(super) due: Vec<(Arc<Job>, Due)>,
    pub(super) offers: Vec<(Arc<Job>, Offer)>,
}

impl State {
    /// Where a chain of jobs leads that run one after the other; refuses one that a job would close.
    pub(super) fn check_chain(&self, named: &Named<'_>, plan: &Plan, durable: bool) -> Result<()> {
        let Plan::After(first) = plan else { return Ok(()) };
        let mut chain: Vec<Arc<str>> = vec![named.name.into(), Arc::clone(first)];
        loop {
            let name = Arc::clone(&chain[chain.len() - 1]);
            if *name == *named.name {
                return Err(Error::lazy(ErrorKind::Conflict, move || {
                    format!("job \"{name}\" would follow itself: {}", chain.join(" -> "))
                }));
            }
            match self.jobs.get(&Named { name: &name, ..*named }) {
                Some(other) if durable && chain.len() == 2 && !other.is_durable() => {
                    return Err(Error::lazy(ErrorKind::Conflict, move || {
                        format!("a durable job cannot follow \"{name}\", which is not durable")
                    })
                    .mend("make both durable, or neither"));
                }
                None if chain.len() == 2 => {
                    return Err(Error::lazy(ErrorKind::NotFound, move || {
                        format!("there is no job \"{name}\" to follow")
                    })
                    .mend("schedule it first"));
                }
                Some(other) => match &other.plan {
                    Plan::After(next) => chain.push(Arc::clone(next)),
                    _ => return Ok(()),
                },
                None => return Ok(()),
            }
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// A job has lost its name.
    pub(super) fn left(&mut self, job: &Arc<Job>) {
        self.unfollow(job);
        if let Some(record) = job.record()
            && self.by_record.get(&record.job).is_some_and(|known| Arc::ptr_eq(known, job))
        {
            self.by_record.remove(&record.job);
        }
    }

    pub(super) fn follow(&mut self, job: &Arc<Job>) {
        if let Plan::After(other) = &job.plan {
            self.followers.entry(full_name(job, other)).or_default().push(Arc::clone(job));
        }
    }

    pub(super) fn unfollow(&mut self, job: &Arc<Job>) {
        let Plan::After(other) = &job.plan else { return };
        let other = full_name(job, other);
        if let Some(followers) = self.followers.get_mut(&other) {
            followers.retain(|follower| !Arc::ptr_eq(follower, job));
            if followers.is_empty() {
                self.followers.remove(&other);
            }
        }
    }

    /// False if the job has a place already or wants none.
    pub(super) fn insert(&mut self, job: &Arc<Job>, due: Due) -> bool {
        if self.stopping
            || matches!(job.plan, Plan::Reboot) && self.rebooted.contains(&full_name(job, job.name()))
        {
            return false;
        }
        job.take_slot(due, || match due {
            Due::Wall(at) => self.by_wall.push(at, Arc::clone(job)),
            Due::Beat(at) => self.by_beat.push(at, Arc::clone(job)),
        })
    }

    pub(super) fn unqueue(&mut self, job: &Job) {
        if let Some(Slot { due, number }) = job.give_slot() {
            let moved = match due {
                Due::Wall(at) => self.by_wall.remove(at, number),
                Due::Beat(at) => self.by_beat.remove(at, number),
            };
            if let Some(moved) = moved {
                moved.move_slot(number);
            }
        }
    }

    pub(super) fn find(&mut self, now: Now) -> Found {
        Found { set_back: self.take_if_set_back(now), due: self.take_due(now), offers: self.take_later(now) }
    }

    /// Up to a batch of what is due.
    pub(super) fn take_due(&mut self, now: Now) -> Vec<(Arc<Job>, Due)> {
        let mut due = Vec::new();
        while due.len() < BATCH
            && let Some((at, job)) = self.by_wall.pop(now.wall_ms)
        {
            due.push((job, Due::Wall(at)));
        }
        while due.len() < BATCH
            && let Some((at, job)) = self.by_beat.pop(now.monotonic)
        {
            due.push((job, Due::Beat(at)));
        }
        for (job, _) in &due {
            job.give_slot();
            if matches!(job.plan, Plan::Reboot) {
                self.rebooted.insert(full_name(job, job.name()));
            }
        }
        due
    }

    pub(super) fn take_later(&mut self, now: Now) -> Vec<(Arc<Job>, Offer)> {
        let mut offers = Vec::new();
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now.monotonic
            && offers.len() < BATCH
        {
            let (place, (job, offer)) = first.remove_entry();
            job.state.lock().activity().parked.retain(|parked| *parked != place);
            offers.push((job, offer));
        }
        offers
    }

    /// When the wall clock was set back: all calendar jobs, to be queued anew. They are due after their last run
    /// and not before now, which may be earlier than where they were queued.
    pub(super) fn take_if_set_back(&mut self, now: Now) -> Vec<Arc<Job>> {
        let ahead = now.wall_ms.saturating_sub(ms(now.monotonic));
        let before = self.wall_ahead_ms.replace(ahead);
        if before.is_none_or(|before| ahead >= before.saturating_sub(SET_BACK_MS)) {
            return Vec::new();
        }
        let jobs = self.by_wall.drain();
        for job in &jobs {
            job.give_slot();
        }
        jobs
    }

    /// When the thread has to look again, by the monotonic clock.
    pub(super) fn wake_at(&self, now: Now) -> Option<Duration> {
        let wall = self.by_wall.first().map(|at| in_monotonic(Due::Wall(at), now));
        let later = self.later.first_key_value().map(|(&(at, _), _)| at);
        [wall, self.by_beat.first(), later].into_iter().flatten().min()
    }

    pub(super) fn sleeps_past(&self, due: Due, now: Now) -> bool {
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

/// The name of `name` in the scope of a job.
pub(super) fn full_name(job: &Job, name: &Arc<str>) -> FullName {
    (Arc::clone(job.plugin()), job.tenant().cloned(), Arc::clone(name))
}
