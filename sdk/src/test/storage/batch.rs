//! Several writes, events and jobs: all of them, or none.

use std::time::Duration;

use pintle_abi::*;

use super::{
    kept::{Action, Outcome, Step},
    place,
    write::{Asked, CONDITION, INCR, SET},
};
use crate::{
    Error, Overlap, Result, Status,
    context::milliseconds,
    test::{
        Emitted, Scheduled, Timing, cron, events, input,
        inside::{Call, State, enter},
        jobs::{Policy, When},
        scheduler::in_range,
    },
};

/// The most steps, and the most bytes that they may have together.
const MOST_STEPS: usize = 128;
const MOST_BYTES: usize = 16 << 20;

/// What a step is about.
enum Read {
    Item(Step),
    Event(Emitted),
    Job(Scheduled),
}

/// Why a batch did not happen: the step, and on CONFLICT the version that its item has.
struct Refused {
    step: Option<usize>,
    current: u64,
    error: Error,
}

pub(super) unsafe extern "C" fn batch(
    ctx: PintleCtx,
    steps: *const PintleStorageStep,
    count: usize,
    versions: *mut u64,
    values: *mut i64,
    failed: *mut usize,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call, and there are as many as it says.
    enter(ctx, "storage.batch", |call| unsafe {
        match run(call, steps, count) {
            Ok(outcomes) => {
                for (at, outcome) in outcomes.iter().enumerate() {
                    if !versions.is_null() {
                        versions.add(at).write(outcome.version);
                    }
                    if !values.is_null() {
                        values.add(at).write(outcome.value);
                    }
                }
                Ok(())
            }
            Err(Refused { step, current, error }) => {
                if let Some(failed) = failed.as_mut() {
                    *failed = step.unwrap_or(count);
                }
                if let Some(at) = step.filter(|_| error.status() == Status::Conflict && !versions.is_null()) {
                    versions.add(at).write(current);
                }
                Err(error)
            }
        }
    })
}

/// # Safety
/// As many steps as it says are readable for this call, and what they lead to.
unsafe fn run(
    call: &Call,
    steps: *const PintleStorageStep,
    count: usize,
) -> std::result::Result<Vec<Outcome>, Refused> {
    let none = |error| Refused { step: None, current: 0, error };
    if steps.is_null() || count == 0 {
        return Err(none(input::wrong("steps", "a batch has at least one")));
    }
    if count > MOST_STEPS {
        let text = format!("a batch of {count} steps, at most {MOST_STEPS} are taken: split it");
        return Err(none(Error::new(Status::TooLarge, text)));
    }
    call.must_act().map_err(none)?;
    let mut read = Vec::new();
    let mut bytes = 0;
    for at in 0..count {
        // SAFETY: the caller's promise. A step of another size is of another version, and read no further.
        let step = unsafe { steps.add(at) };
        // SAFETY: as above.
        let one = unsafe { input::options(step).and_then(|step| self::step(call, &step.expect("not null"))) };
        read.push(one.map_err(|error| Refused { step: Some(at), current: 0, error })?);
        // SAFETY: as above, and of the size that was looked at.
        bytes += unsafe { (*step).value.len };
    }
    if bytes > MOST_BYTES {
        let text = format!("a batch of {bytes} bytes, at most {MOST_BYTES} are taken: split it");
        return Err(none(Error::new(Status::TooLarge, text)));
    }
    commit(call, read)
}

/// All steps on a copy of what is kept, which takes its place when all of them are done.
fn commit(call: &Call, read: Vec<Read>) -> std::result::Result<Vec<Outcome>, Refused> {
    let mut outcomes = Vec::new();
    let (mut emitted, mut scheduled) = (Vec::new(), Vec::new());
    let mut state = call.state();
    let (mut kept, now_ms) = (state.storage.clone(), state.now_ms);
    for (at, one) in read.into_iter().enumerate() {
        let mut outcome = Outcome::default();
        match one {
            Read::Item(step) => {
                outcome = kept.apply(&step, now_ms).map_err(|(error, current)| {
                    state.storage.use_up(&kept);
                    Refused { step: Some(at), current, error }
                })?;
            }
            Read::Event(event) => emitted.push(event),
            Read::Job(job) => scheduled.push(job),
        }
        outcomes.push(outcome);
    }
    state.storage = kept;
    for job in &scheduled {
        keep(&mut state, call, job);
    }
    state.scheduled.extend(scheduled);
    drop(state);
    for event in emitted {
        events::publish(call, event);
    }
    Ok(outcomes)
}

/// # Safety
/// What the step leads to is readable for this call.
unsafe fn step(call: &Call, step: &PintleStorageStep) -> Result<Read> {
    // SAFETY: the caller's promise, in all of this.
    unsafe {
        must_be_zero(step)?;
        let (function, takes) = match step.kind {
            PINTLE_STEP_SET => ("storage.set", SET),
            PINTLE_STEP_REMOVE => ("storage.remove", CONDITION),
            PINTLE_STEP_INCR => ("storage.incr", INCR),
            PINTLE_STEP_CHECK => ("storage.exists", CONDITION),
            PINTLE_STEP_EMIT => {
                call.must_grant(|manifest| manifest.must_grant("events.emit"))?;
                return event(call, step).map(Read::Event);
            }
            PINTLE_STEP_SCHEDULE => return job(call, step).map(Read::Job),
            kind => {
                let text = format!("argument `steps.kind`: {kind} is not known");
                return Err(Error::new(Status::Unsupported, text));
            }
        };
        call.must_grant(|manifest| manifest.must_grant(function))?;
        let asked = Asked::read(call, step.options, takes)?;
        let place = place(call, step.key)?;
        let action = match step.kind {
            PINTLE_STEP_SET => {
                Action::Set { value: asked.value(step.value)?.into(), lifetime: asked.lifetime }
            }
            PINTLE_STEP_REMOVE => Action::Remove,
            PINTLE_STEP_INCR => Action::Incr { delta: step.delta, lifetime: asked.lifetime },
            _ if asked.if_version.is_none() => {
                return Err(input::wrong("steps.options", "a check needs `PINTLE_STORAGE_IF_VERSION`"));
            }
            _ => Action::Check,
        };
        Ok(Read::Item(Step { place, if_version: asked.if_version, action }))
    }
}

/// What a step's kind does not use must be zero.
fn must_be_zero(step: &PintleStorageStep) -> Result<()> {
    let uses = |kinds: &[u32]| kinds.contains(&step.kind);
    let items = [PINTLE_STEP_SET, PINTLE_STEP_REMOVE, PINTLE_STEP_INCR, PINTLE_STEP_CHECK];
    let left = [
        ("value", step.value.len != 0, uses(&[PINTLE_STEP_SET, PINTLE_STEP_EMIT, PINTLE_STEP_SCHEDULE])),
        ("delta", step.delta != 0, uses(&[PINTLE_STEP_INCR])),
        ("options", !step.options.is_null(), uses(&items)),
        ("event", !step.event.is_null(), uses(&[PINTLE_STEP_EMIT])),
        ("job", !step.job.is_null(), uses(&[PINTLE_STEP_SCHEDULE])),
    ];
    match left.into_iter().find(|(_, there, used)| *there && !used) {
        Some((member, ..)) => Err(input::wrong("steps", format_args!("this kind uses no `{member}`"))),
        None => Ok(()),
    }
}

/// # Safety
/// As for [`step`].
unsafe fn event(call: &Call, step: &PintleStorageStep) -> Result<Emitted> {
    // SAFETY: the caller's promise.
    let options = unsafe { input::options(step.event) }?;
    if options.is_some_and(|options| options.wait_ms != 0) {
        return Err(input::wrong("steps.event.wait_ms", "nobody waits in a batch: must be 0"));
    }
    // SAFETY: as above.
    let event = unsafe { events::draft(call, step.key, step.value, step.event, false) }?;
    // It goes the way of the outbox, into the log.
    Ok(Emitted { durable: true, ..event })
}

/// Takes a job for the plugin's handlers of jobs.
fn keep(state: &mut State, call: &Call, job: &Scheduled) {
    let when = match &job.timing {
        Timing::Cron { rule, zone } => match cron::read(rule, zone) {
            Ok(cron::Rule::Every(every_ms)) => When::Every(every_ms, Some(rule.clone())),
            Ok(cron::Rule::Start) => When::Start,
            _ => When::Cron(rule.clone(), zone.clone()),
        },
        Timing::Every(every) => When::Every(milliseconds(*every), None),
        Timing::Once(delay) => When::Once(milliseconds(*delay)),
    };
    let policy =
        Policy { durable: true, overlap: job.overlap.raw(), data: job.data.clone(), ..Policy::default() };
    let now_ms = state.now_ms;
    state.jobs.put_anew((call.entry.tenant.clone(), job.name.clone(), None), when, policy, now_ms);
}

/// # Safety
/// As for [`step`].
unsafe fn job(call: &Call, step: &PintleStorageStep) -> Result<Scheduled> {
    // SAFETY: the caller's promise, in all of this.
    unsafe {
        let job = input::options(step.job)?.ok_or_else(|| input::wrong("steps.job", "null"))?;
        let (rule, zone) =
            (input::text("steps.job.rule", job.rule, 1_024)?, input::text("steps.job.zone", job.zone, 64)?);
        let once = rule.is_empty() && job.every_ms == 0;
        if (job.delay_ms != 0 && !once) || (!zone.is_empty() && rule.is_empty()) {
            let text = "a delay is for a job that runs once, and a zone for a rule";
            return Err(input::wrong("steps.job", text));
        }
        let (function, timing) = match (rule.is_empty(), job.every_ms) {
            (false, 0) => {
                cron::read(rule, zone)?;
                ("scheduler.cron", Timing::Cron { rule: rule.to_owned(), zone: zone.to_owned() })
            }
            (false, _) => {
                return Err(input::wrong(
                    "steps.job",
                    "a rule and an interval: one of them says when it runs",
                ));
            }
            (true, 0) => {
                in_range("steps.job.delay_ms", job.delay_ms, 0)?;
                ("scheduler.once", Timing::Once(span(job.delay_ms)))
            }
            (true, every_ms) => {
                in_range("steps.job.every_ms", every_ms, 1)?;
                ("scheduler.interval", Timing::Every(span(every_ms)))
            }
        };
        call.must_grant(|manifest| manifest.must_grant(function))?;
        let overlap = match job.overlap {
            PINTLE_OVERLAP_SKIP => Overlap::Skip,
            PINTLE_OVERLAP_QUEUE => Overlap::Queue,
            PINTLE_OVERLAP_ALLOW => Overlap::Allow,
            other => {
                let text = format!("argument `steps.job.overlap`: {other} is not known");
                return Err(Error::new(Status::Unsupported, text));
            }
        };
        Ok(Scheduled {
            name: input::key("steps.key", step.key, 128)?.to_owned(),
            data: input::bytes("steps.value", step.value, usize::MAX)?.to_vec(),
            tenant: call.entry.tenant.as_deref().map(str::to_owned),
            timing,
            overlap,
        })
    }
}

fn span(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}
