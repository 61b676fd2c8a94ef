//! The timer: the one thread that waits for what is due next.
//!
//! It sleeps until the first run of [`super::timetable`] is due and otherwise is not woken, except that it looks at the wall clock once a
//! minute while a calendar job waits, for no sleep notices that the clock was set or that the machine was suspended.
//!
//! Locks are taken in the order timer, job; targets are called with neither.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    JobRequest,
    due::{Due, Now},
    durable::{Chore, Chores, Durable},
    job::{Job, Plan},
    names::Named,
    overlap::Next,
    run::{Offer, Run, Ticket},
    store::{JobStore, RunKind},
    timetable::{State, Thread, full_name},
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::{Alarm, Clock},
};

/// Numbers of runs that no store has given begin here, so that they are never one of a store's.
const OWN_RUNS: u64 = 1 << 63;

/// Shared by the scheduler, the timer's thread and the runs.
pub(super) struct Timer {
    clock: Arc<dyn Clock>,
    alarm: Arc<Alarm>,
    pub(super) state: Mutex<State>,
    last_run: AtomicU64,
    /// None: no job is durable.
    pub(super) durable: Option<Durable>,
}

impl Timer {
    pub(super) fn new(clock: Arc<dyn Clock>, store: Option<Arc<dyn JobStore>>) -> Arc<Self> {
        let alarm = clock.alarm();
        let durable = store.map(|store| Durable::new(store, Chores::new(&*clock)));
        Arc::new(Self { clock, alarm, state: Mutex::default(), last_run: AtomicU64::new(OWN_RUNS), durable })
    }

    /// Takes a job in; gives back the one of the same name that it replaced, which is over.
    pub(super) fn add(self: &Arc<Self>, job: &Arc<Job>) -> Result<Option<Arc<Job>>> {
        let now = self.now();
        let due = job.next_due(now);
        let (replaced, wake) = {
            let mut state = self.state.lock();
            if state.stopping {
                return Err(Error::new(ErrorKind::Stopping, "the scheduler is stopping"));
            }
            // Those that are durable were looked at before they were put into the store.
            if !job.is_durable() {
                state.check_chain(&job.named(), &job.plan, false)?;
            }
            self.start(&mut state)?;
            let replaced = state.jobs.insert(Arc::clone(job));
            if let Some(old) = &replaced {
                state.unqueue(old);
                state.left(old);
            }
            state.follow(job);
            if let (Some(record), Some(durable)) = (job.record(), &self.durable) {
                state.by_record.insert(record.job, Arc::clone(job));
                durable.chores.start(self);
            }
            (replaced, due.is_some_and(|due| state.insert(job, due) && state.sleeps_past(due, now)))
        };
        if wake {
            self.alarm.ring();
        }
        if let Some(old) = &replaced {
            self.end(old);
        }
        Ok(replaced)
    }

    /// Ends a job. False if it was over already.
    pub(super) fn remove(self: &Arc<Self>, job: &Arc<Job>) -> bool {
        {
            let mut state = self.state.lock();
            state.unqueue(job);
            // The name may belong to the job that replaced this one.
            if state.jobs.remove(job) {
                state.left(job);
            }
        }
        self.end(job)
    }

    /// Whether a job with this plan would follow itself, or nobody.
    pub(super) fn check_chain(&self, request: &JobRequest, plan: &Plan) -> Result<()> {
        let named = Named { plugin: &request.plugin, tenant: request.tenant.as_deref(), name: &request.name };
        self.state.lock().check_chain(&named, plan, request.durable)
    }

    /// Makes a job live or not.
    pub(super) fn set_live(&self, job: &Arc<Job>, live: bool) {
        self.change(job, live, |job| job.set_live(live));
        if live {
            self.look_if_left(job);
        }
    }

    /// Takes a job out of the queue and puts it where it is due now.
    pub(super) fn requeue(&self, job: &Arc<Job>) {
        self.change(job, true, |_| true);
    }

    /// Sleeps, for the other thread of the engine.
    pub(super) fn wait(&self, alarm: &Alarm, until: Option<Duration>) {
        self.clock.wait(alarm, until);
    }

    /// Pauses a job or lets it go on.
    pub(super) fn set_paused(&self, job: &Arc<Job>, paused: bool) {
        self.change(job, !paused, |job| job.set_paused(paused));
    }

    /// Makes a run due now that is not of the job's schedule. False: the last one has not ended, and the job lets no other stand
    /// beside or behind it.
    pub(super) fn request(&self, job: &Arc<Job>) -> bool {
        let now = self.now();
        let due = Due::Beat(now.monotonic);
        let ticket = Ticket::new(due, now.wall_ms, RunKind::Requested);
        let Some(taken) = job.request(ticket) else { return false };
        if let Some(ticket) = taken {
            self.hand_over_soon(job, Offer { ticket, resumed: None });
        }
        true
    }

    pub(super) fn find(&self, named: &Named<'_>) -> Option<Arc<Job>> {
        self.state.lock().jobs.get(named).cloned()
    }

    /// Every job, in no order.
    pub(super) fn jobs(&self) -> Vec<Arc<Job>> {
        self.state.lock().jobs.iter().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Both clocks.
    pub(super) fn now(&self) -> Now {
        Now { wall_ms: self.clock.now_ms(), monotonic: self.clock.monotonic() }
    }

    /// A number for a run that no store knows.
    pub(super) fn next_run(&self) -> u64 {
        self.last_run.fetch_add(1, Relaxed) + 1
    }

    /// Keeps a run that is under way until it is to be handed over again; gives it back if the job is over.
    pub(super) fn later(&self, job: &Arc<Job>, offer: Offer, at: Duration) -> Result<(), Offer> {
        let wake = {
            let mut state = self.state.lock();
            if state.stopping {
                return Err(offer);
            }
            let mut of_job = job.state.lock();
            if of_job.over {
                return Err(offer);
            }
            state.parked += 1;
            let place = (at, state.parked);
            of_job.activity().parked.push(place);
            drop(of_job);
            state.later.insert(place, (Arc::clone(job), offer));
            state.sleeps_past(Due::Beat(at), self.now())
        };
        if wake {
            self.alarm.ring();
        }
        Ok(())
    }

    /// A run of the job has ended OK: those that follow it are due.
    pub(super) fn follow_up(&self, job: &Arc<Job>) {
        let followers = {
            let state = self.state.lock();
            if state.followers.is_empty() {
                return;
            }
            state.followers.get(&full_name(job, job.name())).cloned().unwrap_or_default()
        };
        let now = self.now();
        for follower in followers.iter().filter(|follower| !follower.is_durable()) {
            if let Some(ticket) = follower.fall_due(Due::Beat(now.monotonic), now).run {
                self.hand_over_soon(follower, Offer { ticket, resumed: None });
            }
        }
    }

    /// Those of the jobs that follow it that are durable.
    pub(super) fn durable_followers(&self, job: &Arc<Job>) -> Vec<Arc<Job>> {
        let state = self.state.lock();
        let followers = state.followers.get(&full_name(job, job.name())).into_iter().flatten();
        followers.filter(|follower| follower.is_durable()).cloned().collect()
    }

    /// A run that was handed over, or was to be, does not take place.
    pub(super) fn not_begun(self: &Arc<Self>, job: &Arc<Job>, ticket: &Ticket, why: Option<Error>) {
        let mut gone = false;
        {
            let mut state = job.state.lock();
            if job.is_durable() && ticket.of_store && !state.over {
                gone = state.spent;
                state.activity().passed_over += 1 + ticket.passed_over;
            }
            let activity = state.activity();
            if why.as_ref().is_some_and(|why| why.kind() == ErrorKind::Panic) {
                activity.failed += 1;
            } else {
                activity.skipped += 1;
            }
            activity.last_error = why.or(activity.last_error.take());
        }
        if gone {
            self.forget_later(job);
        }
        self.run_ended(job);
    }

    /// A run that was under way is not any more: what now?
    pub(super) fn run_ended(self: &Arc<Self>, job: &Arc<Job>) {
        self.go_on(job, job.leave(true));
        let heir_of =
            |job: &Arc<Job>| job.state.lock().activity.as_ref().and_then(|activity| activity.heir.clone());
        let mut next = heir_of(job);
        while let Some(heir) = next {
            self.go_on(&heir, heir.leave(false));
            next = heir_of(&heir);
        }
    }

    fn go_on(self: &Arc<Self>, job: &Arc<Job>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Over(target) => tell_over(job, target),
            Next::Gone => {
                self.remove(job);
            }
            // Runs are handed over on the timer's thread only.
            Next::Follow(ticket) => self.hand_over_soon(job, Offer { ticket, resumed: None }),
        }
    }

    /// The only run of a durable job does not take place: the store is told when there is time.
    fn forget_later(&self, job: &Job) {
        if let Some(durable) = &self.durable {
            durable.chores.push(Chore::Forget {
                plugin: Arc::clone(job.plugin()),
                tenant: job.tenant().cloned().unwrap_or_default(),
                name: Arc::clone(job.name()),
            });
        }
    }

    /// Ends every job and the thread, and waits for the thread unless it is the caller.
    pub(super) fn stop(self: &Arc<Self>) {
        let (thread, jobs) = {
            let mut state = self.state.lock();
            state.stopping = true;
            state.by_wall.drain();
            state.by_beat.drain();
            // Who follows whom is known until the last run has ended: for durable jobs the store is told.
            state.by_record.clear();
            state.handlers.clear();
            (std::mem::replace(&mut state.thread, Thread::Gone), state.jobs.drain())
        };
        let thread = match thread {
            Thread::Awake(thread) | Thread::Asleep(thread, _) => Some(thread),
            Thread::NotStarted | Thread::Gone => None,
        };
        if thread.is_some() {
            self.alarm.ring();
        }
        for job in jobs {
            self.end(&job);
        }
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            thread.join().expect("the timer's thread catches the panics of targets and has none of its own");
            self.alarm.leave();
        }
        // The jobs are over, so these are only counted off.
        self.hand_over_following();
    }

    /// Changes whether runs of a job fall due, and queues the next one if they do now.
    fn change(&self, job: &Arc<Job>, on: bool, change: impl FnOnce(&Job) -> bool) {
        let changed = {
            let mut state = self.state.lock();
            let changed = change(job);
            if changed {
                state.unqueue(job);
            }
            changed
        };
        if changed && on {
            self.arm(std::slice::from_ref(job), self.now());
        }
    }

    /// A job that nobody finds any more is over. False if it was already.
    fn end(self: &Arc<Self>, job: &Arc<Job>) -> bool {
        let Some(target) = job.end() else { return false };
        let waits: Vec<Offer> = {
            let mut state = self.state.lock();
            let parked =
                job.state.lock().activity.as_mut().map(|activity| std::mem::take(&mut activity.parked));
            parked.into_iter().flatten().filter_map(|place| Some(state.later.remove(&place)?.1)).collect()
        };
        if target.is_some() {
            tell_over(job, target);
        }
        for offer in waits {
            self.drop_offer(job, offer);
        }
        true
    }

    /// Has a run handed over by the thread, at once.
    pub(super) fn hand_over_soon(&self, job: &Arc<Job>, offer: Offer) {
        self.state.lock().following.push((Arc::clone(job), offer));
        self.alarm.ring();
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if let Thread::NotStarted = state.thread {
            let timer = Arc::clone(self);
            let thread = thread::Builder::new()
                .name("pintle-timer".into())
                .spawn(move || {
                    timer.run();
                    timer.alarm.leave();
                })
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
    fn run(self: &Arc<Self>) {
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
    fn pass(self: &Arc<Self>) {
        let now = self.now();
        let found = {
            let mut state = self.state.lock();
            state.thread = match std::mem::take(&mut state.thread) {
                Thread::Asleep(thread, _) => Thread::Awake(thread),
                other => other,
            };
            state.find(now)
        };
        for job in &found.set_back {
            self.rewind(job, now);
        }
        self.arm(&found.set_back, now);
        let mut runs = found.offers;
        let mut next = Vec::with_capacity(found.due.len());
        for (job, due) in found.due {
            let fallen = job.fall_due(due, now);
            if let Some(ticket) = fallen.run {
                runs.push((Arc::clone(&job), Offer { ticket, resumed: None }));
            }
            if fallen.given_up > 0 {
                self.give_up(&job, fallen.given_up);
            }
            if fallen.gone {
                self.forget_later(&job);
                self.remove(&job);
            }
            next.push(job);
        }
        // Queued before anything is handed over: a target that looks sees the next run.
        self.arm(&next, now);
        runs.sort_by_key(|(_, offer)| offer.ticket.due_ms);
        for (job, offer) in runs {
            self.hand_over(&job, offer);
        }
        self.hand_over_following();
    }

    fn hand_over_following(self: &Arc<Self>) {
        let following = std::mem::take(&mut self.state.lock().following);
        for (job, offer) in following {
            self.hand_over(&job, offer);
        }
    }

    /// Queues the next run of each, computed without the timer's lock.
    fn arm(&self, jobs: &[Arc<Job>], now: Now) {
        let next: Vec<_> = jobs.iter().filter_map(|job| Some((job, job.next_due(now)?))).collect();
        if next.is_empty() {
            return;
        }
        let wake = {
            let mut state = self.state.lock();
            let earlier = |(job, due)| state.insert(job, due) && state.sleeps_past(due, now);
            next.into_iter().map(earlier).fold(false, |wake, earlier| wake | earlier)
        };
        if wake {
            self.alarm.ring();
        }
    }
}

fn tell_over(job: &Arc<Job>, target: Option<Arc<dyn Run>>) {
    let Some(target) = target else { return };
    // Caught, because it may be the timer's thread; the hook has reported it, and nothing is left to be done.
    let _ = catch_unwind(AssertUnwindSafe(|| target.over(job)));
}
