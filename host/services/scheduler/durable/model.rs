//! The plainest store that keeps the promises: maps under a lock. What it answers, every other answers too; and it can be told to fail as a
//! full disk does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    super::store::{
        Claim, EndedRun, HISTORY, JobName, JobRecord, JobSpec, JobStore, Keeping, Lease, Of, OpenRun,
        RESULT_BYTES, RunEnd, RunKind, Timing, Wanted,
    },
    conformance::Bed,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::{Clock, ManualClock},
};

const ORIGINS_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Default)]
struct State {
    last_job: u64,
    jobs: BTreeMap<u64, Job>,
    last_run: u64,
    open: BTreeMap<u64, OpenRun>,
    /// When each was put.
    origins: BTreeMap<String, i64>,
}

struct Job {
    record: JobRecord,
    /// The newest first.
    history: VecDeque<EndedRun>,
}

/// The store. Those that were made of one have the same content.
pub(super) struct Model {
    state: Arc<Mutex<State>>,
    clock: Arc<ManualClock>,
    exclusive: bool,
    full: Arc<AtomicBool>,
    closed: AtomicBool,
}

impl Model {
    /// An empty one. `exclusive` is what it says of itself.
    pub(super) fn new(clock: &Arc<ManualClock>, exclusive: bool) -> Self {
        let (state, full, closed) = Default::default();
        Self { state, clock: Arc::clone(clock), exclusive, full, closed }
    }

    /// The same content for another engine, or for another life of one.
    pub(super) fn again(&self) -> Arc<Self> {
        let Self { state, clock, exclusive, full, .. } = self;
        let (state, clock, full) = (Arc::clone(state), Arc::clone(clock), Arc::clone(full));
        Arc::new(Self { state, clock, exclusive: *exclusive, full, closed: AtomicBool::new(false) })
    }

    /// From now on whatever is asked of it, or of others of the same content, is UNAVAILABLE, until it is told otherwise.
    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    /// The names of its jobs.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.state.lock().expect("no test panics with it");
        state.jobs.values().map(|job| job.record.name.name.to_string()).collect()
    }

    /// How many runs are open.
    pub(super) fn open(&self) -> usize {
        self.state.lock().expect("no test panics with it").open.len()
    }

    /// So many jobs of a plugin.
    pub(super) fn fill(&self, plugin: &str, jobs: usize) {
        for n in 0..jobs {
            let name =
                JobName { plugin: plugin.into(), tenant: "".into(), name: format!("filled {n}").into() };
            let (timing, keeping) = (Timing::Once(0), Keeping::USUAL);
            let record = JobRecord {
                job: u64::MAX - n as u64,
                name,
                spec: JobSpec { timing, keeping, data: Arc::default() },
                paused: true,
                next_ms: None,
                last_ms: None,
                runs: 0,
                failed: 0,
                skipped: 0,
            };
            let mut state = self.state.lock().expect("no test panics with it");
            state.jobs.insert(record.job, Job { record, history: VecDeque::new() });
        }
    }

    fn with<T>(&self, run: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        for (is, what) in [(&self.closed, "it is closed"), (&*self.full, "the disk is full")] {
            if is.load(Relaxed) {
                return Err(Error::new(ErrorKind::Unavailable, what));
            }
        }
        run(&mut self.state.lock().expect("no test panics with it"))
    }
}

impl Bed for Model {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::new(clock, true)
    }

    fn store(&self) -> Arc<dyn JobStore> {
        self.again()
    }

    fn restart(self) -> Self {
        self
    }
}

impl State {
    fn of(&self, of: &Of<'_>) -> Vec<&JobRecord> {
        let is = |asked: Option<&str>, found: &str| asked.is_none_or(|asked| asked == found);
        let wanted = |record: &&JobRecord| {
            let JobName { plugin, tenant, name } = &record.name;
            is(of.plugin, plugin) && is(of.tenant, tenant) && is(of.name, name)
        };
        let mut found: Vec<_> = self.jobs.values().map(|job| &job.record).filter(wanted).collect();
        found.sort_by_key(|record| &record.name);
        found
    }

    fn forget(&mut self, job: u64) {
        self.jobs.remove(&job);
        self.open.retain(|_, run| run.job != job);
    }

    /// The run, if it is still his.
    fn leased(&mut self, lease: &Lease) -> Option<&mut OpenRun> {
        self.open.get_mut(&lease.run).filter(|run| run.lease == *lease)
    }

    /// The due times that no other run of the job can have.
    fn dues(&self, job: u64) -> BTreeSet<i64> {
        let open = self.open.values().filter(|run| run.job == job).map(|run| run.due_ms);
        open.chain(self.jobs[&job].history.iter().map(|run| run.due_ms)).collect()
    }

    fn claim(&mut self, wanted: &Wanted, now_ms: i64, until_ms: i64) -> Claim {
        let Some(Job { record, .. }) = self.jobs.get_mut(&wanted.job) else { return Claim::Gone };
        if wanted.kind != RunKind::Requested {
            if record.paused {
                return Claim::Paused;
            }
            if record.next_ms.is_none_or(|next_ms| next_ms > wanted.due_ms) {
                return Claim::Taken { next_ms: record.next_ms };
            }
            (record.next_ms, record.last_ms) = (wanted.next_ms, Some(wanted.due_ms));
        }
        record.runs += 1;
        record.skipped += wanted.passed_over;
        let dues = self.dues(wanted.job);
        let due_ms = (wanted.due_ms..).find(|due_ms| !dues.contains(due_ms)).expect("there is time left");
        self.last_run += 1;
        let lease = Lease { run: self.last_run, fence: 1 };
        let (job, kind, started_ms, attempts) = (wanted.job, wanted.kind, now_ms, 1);
        let run = OpenRun { job, lease, due_ms, kind, started_ms, attempts, until_ms };
        self.open.insert(self.last_run, run);
        Claim::Granted(lease)
    }

    fn finish(&mut self, lease: &Lease, end: &RunEnd, follow: &[u64], once: bool) -> bool {
        if self.leased(lease).is_none() {
            return false;
        }
        let run = self.open.remove(&lease.run).expect("it was there");
        let Job { record, history } = self.jobs.get_mut(&run.job).expect("a run goes with its job");
        record.failed += u64::from(end.error.is_some());
        let OpenRun { due_ms, kind, started_ms, attempts, .. } = run;
        let again = run.lease.fence > 1;
        let mut end = end.clone();
        end.result.truncate(RESULT_BYTES);
        let (ok, ended_ms) = (end.error.is_none(), end.ended_ms);
        history.push_front(EndedRun { run: lease.run, due_ms, kind, again, started_ms, attempts, end });
        history.truncate(HISTORY);
        if once && record.next_ms.is_none() {
            self.forget(run.job);
        }
        for job in follow.iter().filter(|_| ok) {
            if let Some(Job { record, .. }) = self.jobs.get_mut(job)
                && !record.paused
            {
                record.next_ms.get_or_insert(ended_ms);
            }
        }
        true
    }
}

impl JobStore for Model {
    fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    fn put(
        &self,
        name: &JobName,
        spec: &JobSpec,
        next_ms: Option<i64>,
        origin: &str,
        most: u64,
    ) -> Result<Option<JobRecord>> {
        let now_ms = self.clock.now_ms();
        self.with(|state| {
            if !origin.is_empty() && state.origins.get(origin).is_some_and(|at| at + ORIGINS_MS > now_ms) {
                return Ok(None);
            }
            let there = state.jobs.values_mut().find(|job| job.record.name == *name);
            let record = if let Some(Job { record, .. }) = there {
                if record.spec.timing != spec.timing {
                    (record.paused, record.next_ms, record.last_ms) = (false, next_ms, None);
                }
                record.spec = spec.clone();
                record.clone()
            } else {
                let theirs = state.jobs.values().filter(|job| job.record.name.plugin == name.plugin);
                if theirs.count() as u64 >= most {
                    return Err(Error::new(ErrorKind::Quota, "there are too many"));
                }
                state.last_job += 1;
                let record = JobRecord {
                    job: state.last_job,
                    name: name.clone(),
                    spec: spec.clone(),
                    paused: false,
                    next_ms,
                    last_ms: None,
                    runs: 0,
                    failed: 0,
                    skipped: 0,
                };
                let job = Job { record: record.clone(), history: VecDeque::new() };
                state.jobs.insert(state.last_job, job);
                record
            };
            if !origin.is_empty() {
                state.origins.retain(|_, at| *at + ORIGINS_MS > now_ms);
                state.origins.insert(origin.to_owned(), now_ms);
            }
            Ok(Some(record))
        })
    }

    fn jobs(&self, of: &Of<'_>) -> Result<Vec<JobRecord>> {
        self.with(|state| Ok(state.of(of).into_iter().cloned().collect()))
    }

    fn forget(&self, of: &Of<'_>) -> Result<u64> {
        self.with(|state| {
            let gone: Vec<u64> = state.of(of).iter().map(|record| record.job).collect();
            gone.iter().for_each(|job| state.forget(*job));
            Ok(gone.len() as u64)
        })
    }

    fn set_paused(&self, job: u64, paused: bool, next_ms: Option<i64>) -> Result<bool> {
        self.with(|state| {
            let Some(Job { record, .. }) = state.jobs.get_mut(&job) else { return Ok(false) };
            (record.paused, record.next_ms) = (paused, next_ms);
            Ok(true)
        })
    }

    fn claim(&self, wanted: &Wanted, now_ms: i64, until_ms: i64) -> Result<Claim> {
        self.with(|state| Ok(state.claim(wanted, now_ms, until_ms)))
    }

    fn pass_over(&self, job: u64, skipped: u64, next_ms: Option<i64>) -> Result<()> {
        self.with(|state| {
            if let Some(Job { record, .. }) = state.jobs.get_mut(&job)
                && record.next_ms.is_some_and(|before| next_ms.is_none_or(|next_ms| before < next_ms))
            {
                record.next_ms = next_ms;
                record.skipped += skipped;
            }
            Ok(())
        })
    }

    fn begin_again(&self, lease: &Lease, until_ms: i64) -> Result<bool> {
        self.with(|state| {
            let Some(run) = state.leased(lease) else { return Ok(false) };
            run.attempts += 1;
            run.until_ms = until_ms;
            Ok(true)
        })
    }

    fn postpone(&self, lease: &Lease, until_ms: i64) -> Result<bool> {
        self.with(|state| {
            let Some(run) = state.leased(lease) else { return Ok(false) };
            run.until_ms = until_ms;
            Ok(true)
        })
    }

    fn finish(&self, lease: &Lease, end: &RunEnd, follow: &[u64], once: bool) -> Result<bool> {
        self.with(|state| Ok(state.finish(lease, end, follow, once)))
    }

    fn open_runs(&self, most: usize) -> Result<Vec<OpenRun>> {
        self.with(|state| {
            let mut open: Vec<_> = state.open.values().cloned().collect();
            open.sort_by_key(|run| (run.until_ms, run.lease.run));
            open.truncate(most);
            Ok(open)
        })
    }

    fn take_over(&self, run: u64, now_ms: i64, until_ms: i64) -> Result<Option<OpenRun>> {
        self.with(|state| {
            let run = state.open.get_mut(&run).filter(|run| run.until_ms <= now_ms);
            Ok(run.map(|run| {
                run.lease.fence += 1;
                run.attempts += 1;
                run.until_ms = until_ms;
                run.clone()
            }))
        })
    }

    fn history(&self, job: u64) -> Result<Vec<EndedRun>> {
        self.with(|state| Ok(state.jobs.get(&job).map_or_else(Vec::new, |job| job.history.clone().into())))
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

mod on_model {
    use super::{super::conformance::suites, Model};

    suites!(Model);
}

#[test]
fn a_model_that_is_full_refuses_and_does_nothing() {
    let model = Model::new(&ManualClock::at(0), false);
    let other = model.again();
    model.set_full(true);
    let kind = other.forget(&Of::default()).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Unavailable));
    model.set_full(false);
    assert_eq!(other.jobs(&Of::default()).expect("it answers"), []);
    assert!(!other.is_exclusive());
}
