//! Several steps at once: `batch`. Each is checked as if it were made on its own, what it is granted included, so that
//! nothing that is committed with the items can turn out wrong when it is published or scheduled.

use pintle_abi::*;

use super::{
    super::{callback::unknown_value, events, not_granted},
    Asked, CHECK, Call, INCR, REMOVE, SET, Takes, enter, input,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service},
    services::{
        events::Draft,
        scheduler::Scheduler,
        storage::{Action, Batch, JobDraft, JobTiming, MOST_STEPS, Outcome, Refused, Step},
    },
};

const LONGEST_RULE: usize = 1_024;
const LONGEST_ZONE: usize = 64;
const LONGEST_JOB_NAME: usize = 128;
/// What the runs of a job are given, as `pintle_job_options.data`.
const LARGEST_JOB_DATA: usize = 64 << 10;

pub(super) unsafe extern "C" fn batch(
    ctx: PintleCtx,
    steps: *const PintleStorageStep,
    count: usize,
    versions: *mut u64,
    values: *mut i64,
    failed: *mut usize,
) -> PintleStatus {
    // First of all, because the call may be refused before anybody looks at its steps.
    // SAFETY: the contract says that outputs lead to memory of the caller.
    unsafe { input::write_if_wanted(failed, count) };
    enter(ctx, Method::StorageBatch, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let given = unsafe { input::array("steps", steps, count, MOST_STEPS) }?;
        if given.len() == 0 {
            return Err(Error::argument("steps", "there are none, 1 to 128 are taken"));
        }
        call.must_act()?;
        let failed_at = |index, error| {
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { input::write_if_wanted(failed, index) };
            at_step(error, index)
        };
        let mut taken = Taken::default();
        for index in 0..given.len() {
            // SAFETY: as above; so is what the step leads to.
            let step = unsafe { given.at(index).and_then(|step| taken.take(call, index, &step)) };
            step.map_err(|error| failed_at(index, error))?;
        }
        let Taken { items, at, events, jobs, bytes } = &taken;
        let asked = Batch { steps: items, events, jobs, quotas: call.record.quotas() };
        let mut outcomes = vec![Outcome::default(); count];
        match call.core().storage.apply(&call.data_scope(), &asked) {
            Ok(done) => {
                for (index, outcome) in at.iter().zip(done) {
                    outcomes[*index] = outcome;
                }
                call.count_bytes(Service::Storage, *bytes);
                if !events.is_empty() || !jobs.is_empty() {
                    call.core().outbox.ring();
                }
                // SAFETY: the contract says that outputs lead to memory of the caller.
                unsafe {
                    write(versions, outcomes.iter().map(|outcome| outcome.version), count);
                    write(values, outcomes.iter().map(|outcome| outcome.value), count);
                }
                Ok(())
            }
            Err(Refused { step, current, error }) => {
                let Some(index) = step.and_then(|step| at.get(step).copied()) else { return Err(error) };
                if error.kind() == ErrorKind::Conflict {
                    outcomes[index].version = current;
                    // SAFETY: as above.
                    unsafe { write(versions, outcomes.iter().map(|outcome| outcome.version), count) };
                }
                Err(failed_at(index, error))
            }
        }
    })
}

/// # Safety
/// `out` is null or leads to memory for `count` results that the caller owns.
unsafe fn write<T>(out: *mut T, results: impl Iterator<Item = T>, count: usize) {
    if let Ok(out) = input::outputs("results", out, count) {
        // SAFETY: the caller vouches for it.
        unsafe { out.write(results) };
    }
}

/// The steps that were taken, sorted by what becomes of them.
#[derive(Default)]
struct Taken<'a> {
    items: Vec<Step<'a>>,
    /// Which step of the batch each of `items` is.
    at: Vec<usize>,
    events: Vec<Draft>,
    jobs: Vec<JobDraft>,
    /// Of all values.
    bytes: usize,
}

impl<'a> Taken<'a> {
    /// Takes a step, if the plugin may do that.
    ///
    /// # Safety
    /// What the step leads to is readable for the call that the batch was passed to, in which all of this is dropped.
    unsafe fn take(&mut self, call: &Call, index: usize, step: &PintleStorageStep) -> Result<()> {
        // SAFETY: the caller vouches for it, here and below.
        let value = unsafe { input::raw("value", step.value.ptr, step.value.len) }?;
        match step.kind {
            PINTLE_STEP_SET => {
                uses(step, "PINTLE_STEP_SET", &["value", "options"])?;
                needs(call, Method::StorageSet)?;
                // SAFETY: as above.
                let asked = unsafe { asked(call, step, &SET) }?;
                asked.check(value)?;
                let action = Action::Set { value, lifetime: asked.lifetime };
                // SAFETY: as above.
                unsafe { self.add(index, step, &asked, action) }?;
            }
            PINTLE_STEP_REMOVE => {
                uses(step, "PINTLE_STEP_REMOVE", &["options"])?;
                needs(call, Method::StorageRemove)?;
                // SAFETY: as above.
                unsafe { self.add(index, step, &asked(call, step, &REMOVE)?, Action::Remove) }?;
            }
            PINTLE_STEP_INCR => {
                uses(step, "PINTLE_STEP_INCR", &["delta", "options"])?;
                needs(call, Method::StorageIncr)?;
                // SAFETY: as above.
                let asked = unsafe { asked(call, step, &INCR) }?;
                let action = Action::Incr { delta: step.delta, lifetime: asked.lifetime };
                // SAFETY: as above.
                unsafe { self.add(index, step, &asked, action) }?;
            }
            PINTLE_STEP_CHECK => {
                uses(step, "PINTLE_STEP_CHECK", &["options"])?;
                needs(call, Method::StorageExists)?;
                // SAFETY: as above.
                let asked = unsafe { asked(call, step, &CHECK) }?;
                if asked.if_version.is_none() {
                    let problem =
                        "a check must have PINTLE_STORAGE_IF_VERSION: say which version the item must have";
                    return Err(Error::argument("options", problem));
                }
                // SAFETY: as above.
                unsafe { self.add(index, step, &asked, Action::Check) }?;
            }
            PINTLE_STEP_EMIT => {
                uses(step, "PINTLE_STEP_EMIT", &["value", "event"])?;
                // SAFETY: as above.
                self.events.push(unsafe { event(call, step) }?);
            }
            PINTLE_STEP_SCHEDULE => {
                uses(step, "PINTLE_STEP_SCHEDULE", &["value", "job"])?;
                // SAFETY: as above.
                self.jobs.push(unsafe { job(call, step, value) }?);
            }
            other => return Err(unknown_value("steps.kind", other)),
        }
        self.bytes += value.len();
        Ok(())
    }

    /// # Safety
    /// As [`take`](Self::take).
    unsafe fn add(
        &mut self,
        index: usize,
        step: &PintleStorageStep,
        asked: &Asked,
        action: Action<'a>,
    ) -> Result<()> {
        // SAFETY: the caller vouches for it.
        let key = unsafe { input::key("key", step.key) }?;
        self.items.push(Step { key, if_version: asked.if_version, action });
        self.at.push(index);
        Ok(())
    }
}

/// That all members are zero which are not for this kind of step.
fn uses(step: &PintleStorageStep, kind: &'static str, used: &'static [&'static str]) -> Result<()> {
    let members = [
        ("value", step.value.len != 0),
        ("delta", step.delta != 0),
        ("options", !step.options.is_null()),
        ("event", !step.event.is_null()),
        ("job", !step.job.is_null()),
    ];
    match members.into_iter().find(|(name, is_set)| *is_set && !used.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `steps`: {kind} does not use `{name}`: leave it 0")
        })),
    }
}

/// That the plugin may do on its own what the step does.
fn needs(call: &Call, method: Method) -> Result<()> {
    if call.grants().allows(method) { Ok(()) } else { Err(not_granted(call.grants(), method)) }
}

/// # Safety
/// The step's options are readable for this call.
unsafe fn asked(call: &Call, step: &PintleStorageStep, takes: &'static Takes) -> Result<Asked> {
    // SAFETY: the caller vouches for it.
    let options = unsafe { input::options(step.options) }?;
    Asked::of(call, options.as_ref(), takes)
}

/// # Safety
/// What the step leads to is readable for this call.
unsafe fn event(call: &Call, step: &PintleStorageStep) -> Result<Draft> {
    needs(call, Method::EventsEmit)?;
    // SAFETY: the caller vouches for it.
    let events::Wanted { draft, wait_ms, .. } =
        unsafe { events::draft(call, step.key, step.value, step.event) }?;
    if wait_ms != 0 {
        let problem = format!("is {wait_ms}: a batch waits for no room, leave it 0");
        return Err(Error::argument("event.wait_ms", problem));
    }
    draft.check()?;
    Ok(draft)
}

/// # Safety
/// What the step leads to is readable for this call.
unsafe fn job(call: &Call, step: &PintleStorageStep, data: &[u8]) -> Result<JobDraft> {
    // SAFETY: the caller vouches for it, here and below.
    let job = unsafe { input::options(step.job) }?
        .ok_or_else(|| Error::argument("job", "the pointer is null: say when the job is to run"))?;
    // SAFETY: as above.
    let (name, rule, zone) = unsafe {
        (
            input::text("key", step.key, LONGEST_JOB_NAME)?,
            input::optional("job.rule", job.rule, LONGEST_RULE)?,
            input::optional("job.zone", job.zone, LONGEST_ZONE)?,
        )
    };
    if data.len() > LARGEST_JOB_DATA {
        let bytes = data.len();
        return Err(Error::lazy(ErrorKind::TooLarge, move || {
            format!("argument `value`: the data of a job has {bytes} bytes, the limit is {LARGEST_JOB_DATA}")
        }));
    }
    match job.overlap {
        PINTLE_OVERLAP_SKIP | PINTLE_OVERLAP_QUEUE | PINTLE_OVERLAP_ALLOW => {}
        other => return Err(unknown_value("job.overlap", other)),
    }
    if job.every_ms != 0 && rule.is_some() {
        return Err(Error::argument("job", "it has `rule` and `every_ms`: only one of them is taken"));
    }
    if job.delay_ms != 0 && (job.every_ms != 0 || rule.is_some()) {
        let problem = "`delay_ms` is for a job that runs once: leave it 0 with `rule` and `every_ms`";
        return Err(Error::argument("job", problem));
    }
    if zone.is_some() && rule.is_none() {
        return Err(Error::argument("job", "`zone` is for a `rule`: leave it empty without one"));
    }
    let scheduler: &Scheduler = &call.core().scheduler;
    let timing = match (rule, job.every_ms) {
        (Some(rule), _) => {
            needs(call, Method::SchedulerCron)?;
            scheduler.check_cron(name, rule, zone)?;
            JobTiming::Cron { rule: rule.to_owned(), zone: zone.unwrap_or_default().to_owned() }
        }
        (None, 0) => {
            needs(call, Method::SchedulerOnce)?;
            scheduler.check_once(name, job.delay_ms)?;
            JobTiming::Once(job.delay_ms)
        }
        (None, every_ms) => {
            needs(call, Method::SchedulerInterval)?;
            scheduler.check_interval(name, every_ms)?;
            JobTiming::Every(every_ms)
        }
    };
    Ok(JobDraft { name: name.to_owned(), timing, overlap: job.overlap, data: data.to_vec() })
}

/// Which step an error is about.
fn at_step(error: Error, index: usize) -> Error {
    Error::lazy(error.kind(), move || format!("{error} (step {index})"))
}
