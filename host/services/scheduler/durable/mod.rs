//! Durable jobs: kept in a store, so that they outlive the host, and each run claimed there before it begins.
//!
//! All of them are known in memory, also those that wait for a handler. Who runs a job may change: a generation schedules it, goes away, a
//! handler takes it. Each change makes a new [`Job`] of the same [`Record`], so a handle of the one before is over; the record, where it
//! stands and what is under way go on. The timer's thread never waits for the disk: claims are made on the worker that runs
//! ([`lease`]), and what has to be written beside that is done by a thread of its own ([`chores`]).

mod chores;
#[cfg(test)]
mod conformance;
mod lease;
pub(crate) mod ledger;
#[cfg(test)]
mod model;
#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

pub(super) use self::chores::{Chore, Chores};
use super::{
    Handler, Job, JobRequest, Named,
    due::Now,
    job::{Extra, JobState, Plan, not_wrong},
    run::{Run, Ticket},
    store::{JobName, JobRecord, JobSpec, JobStore, Keeping, Of, Timing},
    timer::Timer,
    timetable::State,
};
use crate::error::{Error, ErrorKind, Result};

/// How many durable jobs a plugin may have.
pub(super) const MOST_JOBS: u64 = 10_000;

/// The durable half of the engine.
pub(super) struct Durable {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) chores: Chores,
    /// Held while a job is put into the store and into memory, so that both say the same.
    pub(super) puts: Mutex<()>,
    pub(super) books: Mutex<Books>,
}

#[derive(Default)]
pub(super) struct Books {
    /// The runs that are this engine's own now: nobody here takes them over.
    pub(super) own: HashSet<u64>,
    /// The jobs of which runs are open that nobody here works on, as far as known.
    pub(super) left: HashSet<u64>,
}

/// What the jobs of one record have in common, one after the other.
#[derive(Debug)]
pub(super) struct Record {
    /// What the store knows it by.
    pub(super) job: u64,
    /// Held while a run is claimed: the earlier first.
    pub(super) claims: Mutex<()>,
    /// The runs that were handed over and not claimed yet, in the order of their due times.
    pub(super) unclaimed: Mutex<VecDeque<Ticket>>,
}

impl Durable {
    pub(super) fn new(store: Arc<dyn JobStore>, chores: Chores) -> Self {
        Self { store, chores, puts: Mutex::default(), books: Mutex::default() }
    }

    /// Nobody here works on the run any more, and it has not ended.
    pub(super) fn abandon(&self, job: u64, run: u64) {
        let mut books = self.books.lock();
        books.own.remove(&run);
        books.left.insert(job);
    }
}

/// Which jobs of the store have this very name: one, or none.
pub(super) fn of<'a>(named: &Named<'a>) -> Of<'a> {
    Of { plugin: Some(named.plugin), tenant: Some(named.tenant.unwrap_or_default()), name: Some(named.name) }
}

/// The name by which the store knows a job.
pub(super) fn job_name(request: &JobRequest) -> JobName {
    JobName {
        plugin: Arc::clone(&request.plugin),
        tenant: request.tenant.clone().unwrap_or_default(),
        name: Arc::clone(&request.name),
    }
}

/// When a job that is scheduled now is due first, without jitter.
pub(super) fn first_ms(plan: &Plan, now: Now) -> Option<i64> {
    match plan {
        Plan::Calendar(rule) => rule.next(now.wall_ms),
        Plan::Every(ms) | Plan::Once(ms) => Some(now.wall_ms.saturating_add(*ms)),
        Plan::After(_) | Plan::Reboot => None,
    }
}

impl super::Scheduler {
    /// Reads what the store has: its jobs wait for handlers, and the runs that other lives have left unfinished are taken over when their
    /// jobs are handled. Does nothing without a store. Safe to call again.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk. Nothing is lost: it may be called again.
    pub(crate) fn load(&self) -> Result<()> {
        let Some(durable) = &self.timer.durable else { return Ok(()) };
        let records = durable.store.jobs(&Of::default())?;
        let _put = durable.puts.lock();
        for record in records {
            self.adopt(&record)?;
        }
        self.timer.look(durable);
        Ok(())
    }

    /// Reads what the store has, and learns what other hosts have put there and taken away.
    pub(super) fn compare(&self, durable: &Durable, of: &Of<'_>) -> Result<HashMap<JobName, JobRecord>> {
        let _put = durable.puts.lock();
        let records = durable.store.jobs(of)?;
        for record in &records {
            self.adopt(record)?;
        }
        let records: HashMap<_, _> =
            records.into_iter().map(|record| (record.name.clone(), record)).collect();
        let known: Vec<_> = {
            let state = self.timer.state.lock();
            state.by_record.values().filter(|job| of.matches(&job.named())).cloned().collect()
        };
        for job in known {
            let name = JobName {
                plugin: Arc::clone(job.plugin()),
                tenant: job.tenant().cloned().unwrap_or_default(),
                name: Arc::clone(job.name()),
            };
            match records.get(&name) {
                None => drop(self.timer.remove(&job)),
                // It follows another job, whose run another host has ended.
                Some(record) if matches!(job.plan, Plan::After(_)) => {
                    if let Some(at_ms) = record.next_ms.filter(|_| !record.paused) {
                        self.timer.due_at(std::slice::from_ref(&job), at_ms);
                    }
                }
                Some(_) => {}
            }
        }
        Ok(records)
    }

    /// Takes in a job of the store that this engine does not know, to wait for a handler. With `puts` held.
    fn adopt(&self, record: &JobRecord) -> Result<()> {
        let request = request_of(record);
        let named = Named { plugin: &request.plugin, tenant: request.tenant.as_deref(), name: &request.name };
        if self.timer.find(&named).is_some() {
            return Ok(());
        }
        let (plan, broken) = match self.plan_of(&record.spec.timing) {
            Ok(plan) => (plan, None),
            // It is shown in lists with this error, and can be replaced or forgotten.
            Err(error) => (Plan::After(Box::default()), Some(error)),
        };
        let job = self.durable_job(request, plan, record, None, broken);
        let now = self.timer.now();
        {
            let mut state = job.state.lock();
            let activity = state.activity();
            activity.unattended = activity.next.is_some_and(|next| next + job.offset_ms() <= now.wall_ms);
        }
        self.timer.install(&job, None)?;
        self.timer.settle_handler(&job);
        Ok(())
    }

    /// Schedules a durable job.
    pub(super) fn add_durable(
        &self,
        request: JobRequest,
        plan: Plan,
        timing: Timing,
        target: Arc<dyn Run>,
    ) -> Result<super::Scheduled> {
        let Some(durable) = &self.timer.durable else { return Err(super::no_store(&request.name)) };
        let spec = JobSpec { timing, keeping: request.keeping.clone(), data: Arc::clone(&request.data) };
        let _put = durable.puts.lock();
        self.timer.check_chain(&request, &plan)?;
        let name = job_name(&request);
        let first = first_ms(&plan, self.timer.now());
        let record = durable.store.put(&name, &spec, first, "", MOST_JOBS)?;
        // Only what has an origin is known to have been asked for before.
        let record = record.ok_or_else(|| Error::new(ErrorKind::Internal, "the store has put no job"))?;
        let job = self.durable_job(request, plan, &record, Some(target), None);
        let replaced = self.timer.install(&job, None)?;
        self.timer.look_if_left(&job);
        Ok((job, replaced))
    }

    /// As [`super::Scheduler::put_from_outbox`].
    pub(super) fn put(
        &self,
        name: &JobName,
        spec: JobSpec,
        first_ms: Option<i64>,
        origin: &str,
    ) -> Result<()> {
        let Some(durable) = &self.timer.durable else { return Err(super::no_store(&name.name)) };
        let _put = durable.puts.lock();
        let plan = self.plan_of(&spec.timing)?;
        let first = first_ms.or_else(|| self::first_ms(&plan, self.timer.now()));
        let Some(record) = durable.store.put(name, &spec, first, origin, MOST_JOBS)? else { return Ok(()) };
        let job = self.durable_job(request_of(&record), plan, &record, None, None);
        self.timer.install(&job, None)?;
        self.timer.settle_handler(&job);
        Ok(())
    }

    fn plan_of(&self, timing: &Timing) -> Result<Plan> {
        Ok(match timing {
            Timing::Cron { rule, zone } => self.by_rule("a job", rule, Some(zone))?,
            Timing::Every(ms) => Plan::Every(*ms),
            Timing::Once(ms) => Plan::Once(*ms),
            Timing::After(other) => Plan::After(Box::new(Arc::clone(other))),
        })
    }

    fn durable_job(
        &self,
        request: JobRequest,
        plan: Plan,
        record: &JobRecord,
        target: Option<Arc<dyn Run>>,
        broken: Option<Error>,
    ) -> Arc<Job> {
        let shared = Record { job: record.job, claims: Mutex::default(), unclaimed: Mutex::default() };
        let extra = super::extra(&request, &plan, Some(Arc::new(shared)));
        let job = Job::new(request, plan, extra, target);
        {
            let offset_ms = job.offset_ms();
            let mut state = job.state.lock();
            state.paused = record.paused;
            let activity = state.activity();
            activity.next = record.next_ms;
            activity.last_ms = record.last_ms.map(|last| last + offset_ms);
            (activity.runs, activity.failed, activity.skipped) = (record.runs, record.failed, record.skipped);
            activity.last_error = broken;
        }
        job
    }
}

impl Timer {
    /// Puts a durable job in the place of the one that has its name: where that is of the same record, what is under way goes on.
    /// Of another generation, or of none: its handle is over.
    pub(super) fn install(
        self: &Arc<Self>,
        job: &Arc<Job>,
        handler: Option<Arc<Handler>>,
    ) -> Result<Option<Arc<Job>>> {
        let old = self.find(&job.named());
        job.state.lock().handler = handler;
        if let (Some(old), Some(durable)) = (&old, &self.durable) {
            self.inherit(durable, job, old);
        }
        self.add(job)
    }

    /// The new job of a record goes on where the old one stands.
    fn inherit(&self, durable: &Durable, job: &Arc<Job>, old: &Arc<Job>) {
        let (Some(record), Some(before)) = (job.record(), old.record()) else { return };
        if record.job != before.job {
            return;
        }
        let mut state = self.state.lock();
        let mut of_old = old.state.lock();
        let Some(activity) = &mut of_old.activity else { return };
        // What waits for its next attempt is taken over by whoever handles the job next.
        for place in std::mem::take(&mut activity.parked) {
            let Some((_, offer)) = state.later.remove(&place) else { continue };
            activity.under_way = activity.under_way.saturating_sub(1);
            if let Some(run) = offer.resumed.and_then(|running| running.run()) {
                durable.abandon(before.job, run);
            }
        }
        let unclaimed = std::mem::take(&mut *before.unclaimed.lock());
        let waiting = std::mem::take(&mut activity.waiting);
        let first =
            unclaimed.iter().chain(&waiting).filter(|ticket| ticket.of_store).map(|ticket| ticket.nominal_ms);
        let mut of_new = job.state.lock();
        let heir = of_new.activity();
        // Of the same timing it goes on where it stood: the store has answered so.
        heir.next = [heir.next, first.min()].into_iter().flatten().min();
        heir.unattended = activity.unattended;
        heir.inherited = activity.under_way + activity.inherited;
        heir.passed_over = activity.passed_over;
        heir.last_error = activity.last_error.clone();
        activity.heir = Some(Arc::clone(job));
    }

    /// The owner of a durable job goes away: the job waits for a handler.
    pub(super) fn detach(self: &Arc<Self>, job: &Arc<Job>) {
        let known = self.find(&job.named());
        if job.record().is_none() || !known.is_some_and(|known| Arc::ptr_eq(&known, job)) {
            self.remove(job);
            return;
        }
        let waiting = successor(job, 0, None, false);
        if self.install(&waiting, None).is_err() {
            self.remove(job);
            return;
        }
        self.settle_handler(&waiting);
    }

    /// Gives a job that waits for a handler, or has one, to the one that is for it now.
    pub(super) fn settle_handler(self: &Arc<Self>, job: &Arc<Job>) {
        let best = {
            let state = self.state.lock();
            state.handler_of(&job.named())
        };
        let now = {
            let state = job.state.lock();
            if state.over || state.target.is_some() && state.handler.is_none() {
                return;
            }
            state.handler.clone()
        };
        let same = match (&now, &best) {
            (None, None) => true,
            (Some(now), Some(best)) => Arc::ptr_eq(now, best),
            _ => false,
        };
        if same {
            return;
        }
        let owner = best.as_ref().map_or(0, |handler| handler.owner());
        let target = best.as_ref().map(|handler| Arc::clone(handler.target()));
        let handled = successor(job, owner, target, best.is_some());
        // Where the scheduler is stopping nothing is to be handled.
        if self.install(&handled, best).is_ok() {
            self.look_if_left(&handled);
        }
    }

    /// Due times of a durable job are given up: the store is told when there is time.
    pub(super) fn give_up(&self, job: &Job, skipped: u64) {
        if let (Some(durable), Some(record)) = (&self.durable, job.record()) {
            let next_ms = job.state.lock().activity().next;
            durable.chores.push(Chore::PassOver { job: record.job, skipped, next_ms });
        }
    }

    /// The wall clock was set back: a durable job is due where it would be by the clock that it has now, but never again when it was.
    pub(super) fn rewind(&self, job: &Job, now: Now) {
        let (Some(durable), Some(record)) = (&self.durable, job.record()) else { return };
        if !record.unclaimed.lock().is_empty() {
            return;
        }
        let offset_ms = job.offset_ms();
        let last = job.state.lock().activity().last_ms.map_or(i64::MIN, |last| last - offset_ms);
        let earlier = match &job.plan {
            Plan::Calendar(rule) => rule.next(not_wrong(last, now).max(now.wall_ms - 1 - offset_ms)),
            plan => first_ms(plan, now),
        };
        let mut state = job.state.lock();
        let activity = state.activity();
        if earlier.is_some_and(|earlier| activity.next.is_some_and(|next| earlier < next)) {
            activity.next = earlier;
            durable.chores.push(Chore::Rewind { job: record.job, next_ms: earlier });
        }
    }

    /// Handlers have come, gone, or changed.
    pub(super) fn settle_handlers(self: &Arc<Self>, of: &Handler) {
        let jobs: Vec<_> = {
            let state = self.state.lock();
            state.by_record.values().filter(|job| of.matches(&job.named())).cloned().collect()
        };
        for job in jobs {
            self.settle_handler(&job);
        }
    }
}

impl State {
    fn handler_of(&self, named: &Named<'_>) -> Option<Arc<Handler>> {
        // Of equals the last one.
        let fit = self.handlers.iter().filter(|handler| handler.is_live() && handler.matches(named));
        fit.max_by_key(|handler| handler.pattern().len()).cloned()
    }
}

/// The next job of the same record, for another target.
fn successor(job: &Arc<Job>, owner: u64, target: Option<Arc<dyn Run>>, live: bool) -> Arc<Job> {
    let request = JobRequest {
        owner,
        plugin: Arc::clone(job.plugin()),
        tenant: job.tenant().cloned(),
        name: Arc::clone(job.name()),
        keeping: Keeping::USUAL,
        data: Arc::default(),
        durable: true,
        live,
    };
    let extra: Option<Arc<Extra>> = job.extra().cloned();
    let next = Job::new(request, job.plan.clone(), extra, target);
    {
        let state = job.state.lock();
        let mut of_next = next.state.lock();
        of_next.paused = state.paused;
        if let Some(activity) = &state.activity {
            let carried = of_next.activity();
            carried.next = activity.next;
            carried.last_ms = activity.last_ms;
            (carried.runs, carried.failed, carried.skipped) =
                (activity.runs, activity.failed, activity.skipped);
        }
    }
    next
}

/// A job of the store, as it would be asked for by nobody.
fn request_of(record: &JobRecord) -> JobRequest {
    let JobName { plugin, tenant, name } = record.name.clone();
    JobRequest {
        owner: 0,
        plugin,
        tenant: Some(tenant).filter(|tenant| !tenant.is_empty()),
        name,
        keeping: record.spec.keeping.clone(),
        data: Arc::clone(&record.spec.data),
        durable: true,
        live: false,
    }
}

/// Durable jobs by what the store knows them by.
pub(super) type ByRecord = HashMap<u64, Arc<Job>>;

impl JobState {
    /// Whether runs that are handed to it now are taken.
    pub(super) fn is_handled(&self) -> bool {
        self.live && !self.over && self.target.is_some()
    }
}
