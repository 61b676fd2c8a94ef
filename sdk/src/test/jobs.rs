//! The jobs of a test host: when each is due by the host's clock, which of its runs have not ended, and what has become of those
//! that have. A durable job is kept by its name, so that it outlives the plugin's generations; every other by its registration.

use std::collections::{BTreeMap, VecDeque};

use pintle_abi::*;

use super::{
    drive::{give_back, pointer, under_call},
    inside::{Inside, Loaded, Registration, State, Tenant, What},
};
use crate::{Error, Result, Status};

/// As many runs of one job that have not ended there may be, and as many that were missed.
const MOST_RUNS: usize = 100;
/// As many runs that have ended a job remembers.
const HISTORY: usize = 50;
/// So much of a result is remembered.
const LONGEST_RESULT: usize = 1_024;
const HOUR_MS: i64 = 3_600_000;

/// All jobs.
#[derive(Default)]
pub(super) struct Jobs {
    pub(super) all: BTreeMap<Key, Kept>,
    last_run: u64,
}

/// The scope and the name of a job; and its registration, if it is not durable.
pub(super) type Key = (Tenant, String, Option<u64>);

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// When the test says so: a rule of the calendar, and its zone.
    Cron(String, String),
    /// Every so many milliseconds; the rule, if there is one.
    Every(i64, Option<String>),
    /// Once, so long after it was scheduled.
    Once(i64),
    /// When the host has started: when the clock is next moved, however little.
    Start,
    /// When a run of this other job has ended well.
    After(String),
}

impl When {
    fn first(&self, now_ms: i64) -> Option<i64> {
        match self {
            Self::Every(ms, _) | Self::Once(ms) => Some(now_ms + ms),
            Self::Start => Some(now_ms),
            Self::Cron(..) | Self::After(_) => None,
        }
    }
}

/// How a job is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub(super) durable: bool,
    pub(super) overlap: u32,
    pub(super) missed: u32,
    pub(super) start_deadline_ms: i64,
    pub(super) timeout_ms: i64,
    pub(super) backoff_ms: i64,
    pub(super) retries: u32,
    pub(super) data: Vec<u8>,
}

/// A job.
pub(super) struct Kept {
    pub(super) when: When,
    pub(super) policy: Policy,
    pub(super) paused: bool,
    /// When it is due next, if it is the clock that says so.
    pub(super) next_ms: Option<i64>,
    pub(super) last_ms: Option<i64>,
    pub(super) runs: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// The newest first.
    pub(super) history: VecDeque<Ended>,
    /// Runs that have not ended, the oldest first.
    pub(super) open: Vec<Open>,
}

/// A run that has not ended.
#[derive(Clone)]
pub(super) struct Open {
    id: u64,
    due_ms: i64,
    flags: u32,
    /// When its next attempt begins.
    at_ms: i64,
    /// How many attempts there were.
    attempts: u32,
    started_ms: i64,
    /// Its handler runs.
    inside: bool,
}

/// A run that has ended.
#[derive(Clone)]
pub(super) struct Ended {
    pub(super) id: u64,
    pub(super) flags: u32,
    pub(super) due_ms: i64,
    pub(super) started_ms: i64,
    pub(super) duration_ms: i64,
    pub(super) attempts: u32,
    pub(super) status: PintleStatus,
    pub(super) result: Vec<u8>,
}

impl Kept {
    /// Whether one more run may stand beside or behind those that have not ended.
    fn has_room(&self) -> bool {
        match self.policy.overlap {
            PINTLE_OVERLAP_SKIP => self.open.is_empty(),
            PINTLE_OVERLAP_QUEUE => self.open.len() < 2,
            _ => self.open.len() < MOST_RUNS,
        }
    }

    /// Whether a run has begun, or waits for its next attempt.
    pub(super) fn has_begun(&self) -> bool {
        self.open.iter().any(|open| open.attempts > 0)
    }

    /// The run that begins next, and when.
    fn next_open(&self) -> Option<(i64, u64)> {
        let side_by_side = self.policy.overlap == PINTLE_OVERLAP_ALLOW;
        let first = if side_by_side { self.open.len() } else { 1 };
        self.open.iter().take(first).filter(|open| !open.inside).map(|open| (open.at_ms, open.id)).min()
    }
}

impl Jobs {
    /// Takes a job, perhaps in the place of one that has this name; a durable one goes on from where that stands.
    pub(super) fn put(&mut self, key: Key, when: When, policy: Policy, now_ms: i64) {
        if let Some(kept) = self.all.get_mut(&key) {
            if kept.when != when {
                kept.next_ms = when.first(now_ms);
                kept.when = when;
            }
            kept.policy = policy;
            return;
        }
        let kept = Kept {
            next_ms: when.first(now_ms),
            when,
            policy,
            paused: false,
            last_ms: None,
            runs: 0,
            failed: 0,
            skipped: 0,
            history: VecDeque::new(),
            open: Vec::new(),
        };
        self.all.insert(key, kept);
    }

    /// Takes a durable job of a batch's, which counts from now on.
    pub(super) fn put_anew(&mut self, key: Key, when: When, policy: Policy, now_ms: i64) {
        let next_ms = when.first(now_ms);
        self.put(key.clone(), when, policy, now_ms);
        if let Some(kept) = self.all.get_mut(&key) {
            kept.next_ms = next_ms;
        }
    }

    /// The registration of a job is over.
    pub(super) fn leave(&mut self, handle: u64) {
        self.all.retain(|(_, _, of), _| *of != Some(handle));
    }

    /// A run of a job is due now.
    fn fall_due(&mut self, key: &Key, due_ms: i64, now_ms: i64, flags: u32) -> Option<u64> {
        let kept = self.all.get_mut(key)?;
        self.last_run += 1;
        let id = self.last_run;
        kept.open.push(Open {
            id,
            due_ms,
            flags,
            at_ms: now_ms,
            attempts: 0,
            started_ms: now_ms,
            inside: false,
        });
        Some(id)
    }

    /// The same, if the job's overlap lets it.
    fn fall_due_or_skip(&mut self, key: &Key, due_ms: i64, now_ms: i64, flags: u32) {
        match self.all.get_mut(key) {
            Some(kept) if kept.has_room() => {}
            Some(kept) => {
                kept.skipped += 1;
                return;
            }
            None => return,
        }
        self.fall_due(key, due_ms, now_ms, flags);
    }

    /// The jobs that follow one.
    fn followers(&self, (tenant, name, handle): &Key) -> Vec<Key> {
        let follows = |(key, kept): &(&Key, &Kept)| {
            let after = matches!(&kept.when, When::After(other) if other == name);
            after && key.0 == *tenant && !kept.paused && !(kept.policy.durable && handle.is_some())
        };
        self.all.iter().filter(follows).map(|(key, _)| key.clone()).collect()
    }
}

impl State {
    /// The job of this name that a generation knows.
    pub(super) fn job(&self, generation: u64, tenant: &Tenant, name: &str) -> Option<Key> {
        let own = |key: &&Key| match key.2 {
            Some(handle) => self.registrations.get(&handle).is_some_and(|one| one.generation == generation),
            None => true,
        };
        let mut all = self.jobs.all.keys();
        all.find(|key| key.0 == *tenant && key.1 == name && own(key)).cloned()
    }

    /// The registration that runs a job, if there is one in this generation: its own, or for a durable one the handler with the
    /// longest pattern, and of those the newest.
    pub(super) fn runner(&self, generation: u64, (tenant, name, handle): &Key) -> Option<u64> {
        if handle.is_some_and(|handle| self.registrations.contains_key(&handle)) {
            return *handle;
        }
        let of_generation = self.registrations.iter().filter(|(_, one)| one.generation == generation);
        let candidates = of_generation.filter_map(|(handle, one)| match &one.what {
            What::Job { durable: true, .. } if one.tenant == *tenant && one.name == *name => {
                Some((usize::MAX, *handle))
            }
            What::JobHandler { .. } => {
                let scope = one.tenant.is_none() || one.tenant == *tenant;
                let fits = match one.name.strip_suffix('*') {
                    Some(front) => name.starts_with(front),
                    None => one.name == *name,
                };
                (scope && fits).then_some((one.name.len(), *handle))
            }
            _ => None,
        });
        candidates.max().map(|(_, handle)| handle)
    }

    fn enabled(&self) -> Option<Loaded> {
        self.loaded.filter(|loaded| loaded.enabled)
    }

    /// The jobs that can run now, in the order in which their handlers were made.
    fn live_jobs(&self) -> Vec<(u64, Key)> {
        let Some(loaded) = self.enabled() else { return Vec::new() };
        let all = self.jobs.all.keys().filter(|key| match key.2 {
            Some(handle) => {
                self.registrations.get(&handle).is_some_and(|one| one.generation == loaded.generation)
            }
            None => true,
        });
        let mut live: Vec<_> = all
            .filter_map(|key| self.runner(loaded.generation, key).map(|handle| (handle, key.clone())))
            .collect();
        live.sort();
        live
    }

    /// When a job is due next, or a run is tried again.
    pub(super) fn next_job(&self) -> Option<i64> {
        let each = self.live_jobs().into_iter().filter_map(|(_, key)| {
            let kept = &self.jobs.all[&key];
            let beat = kept.next_ms.filter(|_| !kept.paused);
            let again = kept.next_open().map(|(at, _)| at).filter(|at| *at > self.now_ms);
            beat.into_iter().chain(again).min()
        });
        each.min()
    }

    /// Time has passed: what is due by now has runs.
    pub(super) fn pass_jobs(&mut self) {
        let now_ms = self.now_ms;
        for (_, key) in self.live_jobs() {
            let Some(kept) = self.jobs.all.get_mut(&key).filter(|kept| !kept.paused) else { continue };
            let Some(due_ms) = kept.next_ms.filter(|due_ms| *due_ms <= now_ms) else { continue };
            let When::Every(every_ms, _) = kept.when else {
                kept.next_ms = None;
                self.jobs.fall_due(&key, due_ms, now_ms, 0);
                continue;
            };
            let passed = (now_ms - due_ms) / every_ms;
            let last_ms = due_ms + passed * every_ms;
            kept.next_ms = Some(last_ms + every_ms);
            if passed == 0 || !kept.policy.durable {
                self.jobs.fall_due_or_skip(&key, last_ms, now_ms, 0);
                continue;
            }
            match kept.policy.missed {
                PINTLE_MISSED_SKIP => kept.skipped += passed.unsigned_abs() + 1,
                PINTLE_MISSED_ALL => {
                    let most = passed.min(MOST_RUNS as i64 - 1);
                    kept.skipped += (passed - most).unsigned_abs();
                    for back in (0..=most).rev() {
                        self.jobs.fall_due(&key, last_ms - back * every_ms, now_ms, PINTLE_RUN_MISSED);
                    }
                }
                _ => self.jobs.fall_due_or_skip(&key, last_ms, now_ms, PINTLE_RUN_MISSED),
            }
        }
    }

    /// Somebody asks for a run.
    pub(super) fn request_run(&mut self, key: &Key) -> Result<()> {
        let name = &key.1;
        let Some(loaded) = self.enabled() else {
            let text = format!("job {name:?} cannot run now: its plugin is not enabled");
            return Err(Error::new(Status::Unavailable, text));
        };
        if self.runner(loaded.generation, key).is_none() {
            let text = format!("job {name:?} waits for a handler");
            return Err(Error::new(Status::Unavailable, text));
        }
        if !self.jobs.all.get(key).is_some_and(Kept::has_room) {
            let text = format!(
                "job {name:?} has a run that has not ended, and lets no other stand beside or behind it"
            );
            return Err(Error::new(Status::Busy, text));
        }
        let now_ms = self.now_ms;
        self.jobs.fall_due(key, now_ms, now_ms, PINTLE_RUN_REQUESTED);
        Ok(())
    }
}

/// Begins the run that is due first; false if none is.
pub(super) fn run_next(inside: &Inside) -> bool {
    let next = {
        let state = inside.state();
        let live = state.live_jobs().into_iter();
        let due = live.filter_map(|(_, key)| {
            let (at, id) = state.jobs.all[&key].next_open()?;
            (at <= state.now_ms).then_some((at, id, key))
        });
        due.min()
    };
    let Some((_, id, key)) = next else { return false };
    // What fails is in the log, and the job keeps its schedule.
    let _ = attempt(inside, &key, id);
    true
}

/// Runs a job because the test says so, whatever else of it has not ended.
pub(super) fn run_at_once(inside: &Inside, tenant: &Tenant, name: &str) -> Result<Vec<u8>> {
    let (key, id) = {
        let mut state = inside.state();
        let now_ms = state.now_ms;
        let generation = state.loaded.map_or(0, |loaded| loaded.generation);
        let key = state.job(generation, tenant, name);
        let started = key.and_then(|key| Some((key.clone(), state.jobs.fall_due(&key, now_ms, now_ms, 0)?)));
        started.ok_or_else(|| {
            Error::new(Status::NotFound, format!("the plugin has no job {name:?} in this scope"))
        })?
    };
    attempt(inside, &key, id)
}

/// One attempt of a run.
fn attempt(inside: &Inside, key: &Key, id: u64) -> Result<Vec<u8>> {
    let (run, registration, loaded, data, timeout_ms) = {
        let mut state = inside.state();
        let state = &mut *state;
        let gone = || Error::new(Status::NotFound, "the job is gone");
        let loaded = state.loaded.ok_or_else(gone)?;
        let runner = state.runner(loaded.generation, key);
        let now_ms = state.now_ms;
        let kept = state.jobs.all.get_mut(key).ok_or_else(gone)?;
        let Some(runner) = runner else {
            kept.open.retain(|open| open.id != id);
            let text = format!("job {:?} waits for a handler", key.1);
            return Err(Error::new(Status::Unavailable, text));
        };
        let latest = kept.policy.start_deadline_ms;
        let open = kept.open.iter_mut().find(|open| open.id == id).ok_or_else(gone)?;
        if open.attempts == 0 {
            if latest != 0 && now_ms - open.due_ms > latest {
                kept.skipped += 1;
                kept.open.retain(|open| open.id != id);
                return Err(Error::new(Status::Timeout, "the run is too late, and was skipped"));
            }
            open.started_ms = now_ms;
            kept.runs += 1;
            kept.last_ms = Some(open.due_ms);
        }
        open.attempts += 1;
        open.inside = true;
        let (data, timeout_ms) = (kept.policy.data.clone(), kept.policy.timeout_ms);
        (open.clone(), state.registrations[&runner].clone(), loaded, data, timeout_ms)
    };
    let outcome = handle_run(inside, key, &run, (&registration, &loaded), &data, timeout_ms);
    settle_run(inside, key, id, &outcome);
    give_back(inside);
    outcome
}

fn handle_run(
    inside: &Inside,
    (tenant, name, _): &Key,
    run: &Open,
    (registration, loaded): (&Registration, &Loaded),
    data: &[u8],
    timeout_ms: i64,
) -> Result<Vec<u8>> {
    let handler = match registration.what {
        What::Job { handler, .. } | What::JobHandler { handler } => handler,
        _ => PintleJobHandler(None),
    };
    let Some(handler) = handler.0 else { return Err(Error::new(Status::NotFound, "the job is gone")) };
    let raw = PintleRun {
        size: size_of::<PintleRun>() as u32,
        attempt: run.attempts,
        job: PintleStr::new(name),
        due_ms: run.due_ms,
        id: run.id,
        flags: run.flags,
        reserved: 0,
        data: PintleBytes::new(data),
    };
    let deadline_ms = (timeout_ms != 0).then(|| inside.state().now_ms + timeout_ms);
    let outcome = under_call(inside, loaded, tenant, 0, deadline_ms, |ctx, reply| {
        // SAFETY: as the contract says: the `user` of this registration, and a run that is lent for the call.
        unsafe { handler(pointer(registration.user), ctx, &raw const raw, reply) }
    });
    if let Err(error) = &outcome {
        inside.state().report("a job failed", name, tenant.as_deref().map(str::to_owned), error);
    }
    outcome
}

/// An attempt has ended: the run is tried again, or it has ended too.
fn settle_run(inside: &Inside, key: &Key, id: u64, outcome: &Result<Vec<u8>>) {
    let mut state = inside.state();
    let state = &mut *state;
    let now_ms = state.now_ms;
    // The run may have removed its own job.
    let Some(kept) = state.jobs.all.get_mut(key) else { return };
    let Some(at) = kept.open.iter().position(|open| open.id == id) else { return };
    let open = &mut kept.open[at];
    if outcome.is_err() && open.attempts <= kept.policy.retries {
        let first = if kept.policy.backoff_ms == 0 { 1_000 } else { kept.policy.backoff_ms };
        let doubled = first.saturating_mul(1 << (open.attempts - 1).min(32));
        open.at_ms = now_ms + doubled.min(HOUR_MS);
        open.inside = false;
        return;
    }
    let open = kept.open.remove(at);
    let (status, result) = match outcome {
        Ok(reply) => (PINTLE_OK, reply.as_slice()),
        Err(error) => (error.status().code(), error.message().as_bytes()),
    };
    kept.failed += u64::from(outcome.is_err());
    kept.history.push_front(Ended {
        id,
        flags: open.flags,
        due_ms: open.due_ms,
        started_ms: open.started_ms,
        duration_ms: now_ms - open.started_ms,
        attempts: open.attempts,
        status,
        result: result[..result.len().min(LONGEST_RESULT)].to_vec(),
    });
    kept.history.truncate(HISTORY);
    // A run that the plugin asked for is beside the only one of a job that runs once; one that the test wants is that one.
    let only = kept.next_ms.is_none() || open.flags == 0;
    let over = matches!(kept.when, When::Once(_)) && kept.open.is_empty() && only;
    if outcome.is_ok() {
        for follower in state.jobs.followers(key) {
            state.jobs.fall_due_or_skip(&follower, now_ms, now_ms, 0);
        }
    }
    if over {
        state.end_job(key);
    }
}

impl State {
    /// Ends a job, a durable one for good, and the registrations that are its own.
    pub(super) fn end_job(&mut self, key: &Key) {
        self.jobs.all.remove(key);
        let (tenant, name, handle) = key;
        let own = |(at, one): &(&u64, &Registration)| {
            let durable = matches!(one.what, What::Job { durable: true, .. });
            handle.map_or(durable && one.tenant == *tenant && one.name == *name, |handle| **at == handle)
        };
        let gone: Vec<_> = self.registrations.iter().filter(own).map(|(handle, _)| *handle).collect();
        for handle in gone {
            self.end_registration(handle);
        }
    }
}
