//! The table of the scheduler. Jobs run when the test moves the clock past them, or says so; those with a rule of the calendar
//! only when it says so, or the plugin asks for it.

use std::ffi::c_void;

use pintle_abi::*;

use super::{
    cron::{self, Rule},
    events::{must_register, register},
    input,
    inside::{Call, Tenant, What, enter, in_sink},
    jobs::{Ended, Kept, Key, Policy, When},
};
use crate::{Error, Result, Status};

/// 366 days.
const LONGEST_MS: i64 = 31_622_400_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// The most durable jobs of a plugin.
const MOST_DURABLE: usize = 10_000;

pub(super) static TABLE: PintleScheduler = PintleScheduler {
    size: size_of::<PintleScheduler>() as u32,
    reserved: 0,
    cron: Some(cron),
    interval: Some(interval),
    once: Some(once),
    remove: Some(remove),
    after: Some(after),
    handle: Some(handle),
    forget: Some(forget),
    pause: Some(pause),
    resume: Some(resume),
    run_now: Some(run_now),
    list: Some(list),
    history: Some(history),
};

/// What the ways of scheduling have in common.
struct Asked {
    name: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
}

unsafe extern "C" fn cron(
    ctx: PintleCtx,
    name: PintleStr,
    rule: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    let rule = unsafe { input::text("rule", rule, 1_024) };
    let when = |_: &Call, _: &str, _: &Policy, zone: &str| {
        let rule = rule?;
        match cron::read(rule, zone)? {
            Rule::Calendar => Ok(When::Cron(rule.to_owned(), zone.to_owned())),
            Rule::Start => Ok(When::Start),
            Rule::Every(every_ms) => {
                in_range("rule", every_ms, 1)?;
                Ok(When::Every(every_ms, Some(rule.to_owned())))
            }
        }
    };
    let asked = Asked { name, handler, user, release, options, job };
    // SAFETY: as above.
    unsafe { schedule(ctx, "scheduler.cron", asked, when) }
}

unsafe extern "C" fn interval(
    ctx: PintleCtx,
    name: PintleStr,
    every_ms: i64,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let when = |_: &Call, _: &str, _: &Policy, _: &str| {
        in_range("every_ms", every_ms, 1)?;
        Ok(When::Every(every_ms, None))
    };
    let asked = Asked { name, handler, user, release, options, job };
    // SAFETY: as in `cron`.
    unsafe { schedule(ctx, "scheduler.interval", asked, when) }
}

unsafe extern "C" fn once(
    ctx: PintleCtx,
    name: PintleStr,
    delay_ms: i64,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let when = |_: &Call, _: &str, _: &Policy, _: &str| {
        in_range("delay_ms", delay_ms, 0)?;
        Ok(When::Once(delay_ms))
    };
    let asked = Asked { name, handler, user, release, options, job };
    // SAFETY: as in `cron`.
    unsafe { schedule(ctx, "scheduler.once", asked, when) }
}

unsafe extern "C" fn after(
    ctx: PintleCtx,
    name: PintleStr,
    after: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    // SAFETY: as in `cron`.
    let after = unsafe { input::key("after", after, 128) };
    let when = |call: &Call, name: &str, policy: &Policy, _: &str| {
        let after = after?;
        must_follow(call, name, after, policy.durable)?;
        Ok(When::After(after.to_owned()))
    };
    let asked = Asked { name, handler, user, release, options, job };
    // SAFETY: as in `cron`.
    unsafe { schedule(ctx, "scheduler.after", asked, when) }
}

/// NOT_FOUND, CONFLICT: whether a job may follow another.
fn must_follow(call: &Call, name: &str, after: &str, durable: bool) -> Result<()> {
    let mut chain = vec![name.to_owned(), after.to_owned()];
    while chain.last().is_some_and(|last| last != name) {
        let last = &chain[chain.len() - 1];
        let key = match find(call, last) {
            Ok(key) => key,
            Err(error) if chain.len() == 2 => return Err(error),
            Err(_) => return Ok(()),
        };
        if durable && chain.len() == 2 && key.2.is_some() {
            let text = format!("job {after:?} is not durable: a durable job follows a durable one only");
            return Err(Error::new(Status::Conflict, text));
        }
        let state = call.state();
        let Some(When::After(next)) = state.jobs.all.get(&key).map(|kept| &kept.when) else {
            return Ok(());
        };
        chain.push(next.clone());
    }
    let text = format!("job {name:?} would follow itself: {}", chain.join(" -> "));
    Err(Error::new(Status::Conflict, text))
}

pub(super) fn in_range(argument: &str, ms: i64, least: i64) -> Result<()> {
    between(argument, ms, least, LONGEST_MS)
}

fn between(argument: &str, value: i64, least: i64, most: i64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let text = format!("argument `{argument}`: {value}, {least} to {most} are taken");
    Err(Error::new(Status::OutOfRange, text))
}

/// How a job is to be kept, and its zone.
///
/// # Safety
/// What the options lead to is readable for `'a`.
unsafe fn policy<'a>(options: Option<PintleJobOptions>) -> Result<(Policy, &'a str)> {
    let Some(options) = options else { return Ok((Policy::default(), "")) };
    if options.flags & !PINTLE_JOB_DURABLE != 0
        || options.overlap > PINTLE_OVERLAP_ALLOW
        || options.missed > PINTLE_MISSED_ALL
        || options.reserved != 0
    {
        let text = "argument `options`: a flag, overlap or missed that this host does not know";
        return Err(Error::new(Status::Unsupported, text));
    }
    // SAFETY: the caller's promise.
    let (zone, data) = unsafe {
        (input::text("options.zone", options.zone, 64)?, input::bytes("options.data", options.data, 65_536)?)
    };
    between("options.start_deadline_ms", options.start_deadline_ms, 0, LONGEST_MS)?;
    between("options.jitter_ms", options.jitter_ms, 0, DAY_MS)?;
    between("options.timeout_ms", options.timeout_ms, 0, DAY_MS)?;
    between("options.backoff_ms", options.backoff_ms, 0, HOUR_MS)?;
    between("options.retries", options.retries.into(), 0, 100)?;
    let policy = Policy {
        durable: options.flags & PINTLE_JOB_DURABLE != 0,
        overlap: options.overlap,
        missed: options.missed,
        start_deadline_ms: options.start_deadline_ms,
        timeout_ms: options.timeout_ms,
        backoff_ms: options.backoff_ms,
        retries: options.retries,
        data: data.to_vec(),
    };
    Ok((policy, zone))
}

/// # Safety
/// Inputs are readable and outputs writable for this call.
unsafe fn schedule(
    ctx: PintleCtx,
    function: &'static str,
    asked: Asked,
    when: impl FnOnce(&Call, &str, &Policy, &str) -> Result<When>,
) -> PintleStatus {
    // SAFETY: the caller's promise.
    enter(ctx, function, |call| unsafe {
        let Asked { name, handler, user, release, options, job } = asked;
        if handler.0.is_none() {
            return Err(input::wrong("handler", "null"));
        }
        input::text("name", name, 128)?;
        let (policy, zone) = policy(input::options(options)?)?;
        must_register(call)?;
        let name = input::key("name", name, 128)?.to_owned();
        let when = when(call, &name, &policy, zone)?;
        let (durable, now_ms) = (policy.durable, call.state().now_ms);
        let tenant = call.entry.tenant.clone();
        let same = |what: &What| matches!(what, What::Job { .. });
        let replaced = {
            let state = call.state();
            must_have_room(state.jobs.all.keys(), &policy, (&tenant, &name))?;
            let mut registrations = state.registrations.iter();
            registrations.find_map(|(handle, one)| {
                let place = (one.generation, &one.name, &one.tenant);
                let here = place == (call.entry.generation, &name, &tenant);
                (here && same(&one.what)).then_some(*handle)
            })
        };
        let what = What::Job { handler, durable };
        let handle = register(call, name.clone(), what, replaced, (user, release))?;
        let mut state = call.state();
        if !durable {
            state.jobs.all.remove(&(tenant.clone(), name.clone(), None));
        }
        state.jobs.put((tenant, name, (!durable).then_some(handle)), when, policy, now_ms);
        drop(state);
        if let Some(job) = job.as_mut() {
            *job = handle;
        }
        Ok(())
    })
}

fn must_have_room<'a>(
    mut all: impl Iterator<Item = &'a Key> + Clone,
    policy: &Policy,
    (tenant, name): (&Tenant, &str),
) -> Result<()> {
    let there = all.clone().filter(|key| key.2.is_none()).count();
    let known = all.any(|key| key.0 == *tenant && key.1 == name && key.2.is_none());
    if !policy.durable || known || there < MOST_DURABLE {
        return Ok(());
    }
    Err(Error::new(Status::Quota, format!("a plugin has at most {MOST_DURABLE} durable jobs")))
}

unsafe extern "C" fn handle(
    ctx: PintleCtx,
    pattern: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    registration: *mut PintleRegistration,
) -> PintleStatus {
    // SAFETY: as in `cron`.
    enter(ctx, "scheduler.handle", |call| unsafe {
        if handler.0.is_none() {
            return Err(input::wrong("handler", "null"));
        }
        let pattern = input::key("pattern", pattern, 128)?.to_owned();
        if pattern.strip_suffix('*').unwrap_or(&pattern).contains('*') {
            return Err(input::wrong("pattern", format_args!("{pattern:?}: `*` stands at the end only")));
        }
        must_register(call)?;
        let handle = register(call, pattern, What::JobHandler { handler }, None, (user, release))?;
        if let Some(registration) = registration.as_mut() {
            *registration = handle;
        }
        Ok(())
    })
}

unsafe extern "C" fn remove(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus {
    enter(ctx, "scheduler.remove", |call| {
        let mut state = call.state();
        let own = state.registrations.get(&job).filter(|one| one.generation == call.entry.generation);
        let key = match own.map(|one| (&one.what, (one.tenant.clone(), one.name.clone()))) {
            Some((What::JobHandler { .. }, _)) => None,
            Some((What::Job { durable, .. }, (tenant, name))) => {
                Some((tenant, name, (!durable).then_some(job)))
            }
            _ => return Err(Error::new(Status::StaleHandle, "the handle is over, or never was one")),
        };
        match key {
            Some(key) => state.end_job(&key),
            None => state.end_registration(job),
        }
        Ok(())
    })
}

/// The job of a name in the call's scope; the test's own calls mean the plugin that is loaded.
fn find(call: &Call, name: &str) -> Result<Key> {
    let state = call.state();
    let generation = generation(call, state.loaded.map(|loaded| loaded.generation));
    state
        .job(generation, &call.entry.tenant, name)
        .ok_or_else(|| Error::new(Status::NotFound, format!("the plugin has no job {name:?} in this scope")))
}

fn generation(call: &Call, loaded: Option<u64>) -> u64 {
    if call.of_test() { loaded.unwrap_or(0) } else { call.entry.generation }
}

/// A call about the job of a name.
fn on_named(
    ctx: PintleCtx,
    function: &'static str,
    name: PintleStr,
    run: impl FnOnce(&Call, &Key) -> Result<()>,
) -> PintleStatus {
    enter(ctx, function, |call| {
        // SAFETY: as in `cron`.
        let name = unsafe { input::key("name", name, 128) }?;
        run(call, &find(call, name)?)
    })
}

unsafe extern "C" fn forget(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on_named(ctx, "scheduler.forget", name, |call, key| {
        call.state().end_job(key);
        Ok(())
    })
}

unsafe extern "C" fn pause(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on_named(ctx, "scheduler.pause", name, |call, key| {
        if let Some(kept) = call.state().jobs.all.get_mut(key) {
            kept.paused = true;
        }
        Ok(())
    })
}

unsafe extern "C" fn resume(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on_named(ctx, "scheduler.resume", name, |call, key| {
        let mut state = call.state();
        let now_ms = state.now_ms;
        if let Some(kept) = state.jobs.all.get_mut(key).filter(|kept| kept.paused) {
            kept.paused = false;
            if let When::Every(every_ms, _) = kept.when {
                kept.next_ms = Some(now_ms + every_ms);
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn run_now(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on_named(ctx, "scheduler.run_now", name, |call, key| call.state().request_run(key))
}

unsafe extern "C" fn list(ctx: PintleCtx, visitor: PintleJobVisitor, user: *mut c_void) -> PintleStatus {
    enter(ctx, "scheduler.list", |call| {
        let visit = visitor.0.ok_or_else(|| input::wrong("visitor", "null"))?;
        let all: Vec<_> = {
            let state = call.state();
            let generation = generation(call, state.loaded.map(|loaded| loaded.generation));
            let own = |key: &&Key| {
                key.0 == call.entry.tenant && state.job(generation, &key.0, &key.1).as_ref() == Some(*key)
            };
            let keys = state.jobs.all.keys().filter(own);
            keys.map(|key| {
                let kept = &state.jobs.all[key];
                (key.1.clone(), words(&kept.when), shown(kept, state.runner(generation, key).is_none()))
            })
            .collect()
        };
        for (name, when, raw) in &all {
            let raw = PintleJob { name: PintleStr::new(name), when: PintleStr::new(when), ..*raw };
            // SAFETY: the contract: the visitor and its `user` belong together; the job is lent for the call.
            if in_sink(|| unsafe { visit(user, &raw const raw) }) != PINTLE_OK {
                return Err(Error::new(Status::Cancelled, "the visitor ended it"));
            }
        }
        Ok(())
    })
}

fn words(when: &When) -> String {
    match when {
        When::Cron(rule, zone) if zone.is_empty() => rule.clone(),
        When::Cron(rule, zone) => format!("{rule} {zone}"),
        When::Every(_, Some(rule)) => rule.clone(),
        When::Every(ms, None) => format!("every {ms} ms"),
        When::Once(_) => "once".to_owned(),
        When::Start => "@reboot".to_owned(),
        When::After(other) => format!("after {other}"),
    }
}

fn shown(kept: &Kept, waiting: bool) -> PintleJob {
    let flags = [
        (PINTLE_JOB_IS_DURABLE, kept.policy.durable),
        (PINTLE_JOB_IS_PAUSED, kept.paused),
        (PINTLE_JOB_IS_RUNNING, kept.has_begun()),
        (PINTLE_JOB_IS_WAITING, waiting),
    ];
    PintleJob {
        size: size_of::<PintleJob>() as u32,
        flags: flags.iter().filter(|(_, is)| *is).map(|(flag, _)| flag).sum(),
        name: PintleStr::EMPTY,
        when: PintleStr::EMPTY,
        next_ms: kept.next_ms.filter(|_| !kept.paused).unwrap_or(-1),
        last_ms: kept.last_ms.unwrap_or(-1),
        runs: kept.runs,
        failed: kept.failed,
        skipped: kept.skipped,
    }
}

unsafe extern "C" fn history(
    ctx: PintleCtx,
    name: PintleStr,
    visitor: PintleRunVisitor,
    user: *mut c_void,
) -> PintleStatus {
    on_named(ctx, "scheduler.history", name, |call, key| {
        let visit = visitor.0.ok_or_else(|| input::wrong("visitor", "null"))?;
        let all: Vec<Ended> = {
            let state = call.state();
            state.jobs.all.get(key).map(|kept| kept.history.iter().cloned().collect()).unwrap_or_default()
        };
        for ended in &all {
            let raw = PintleRunResult {
                size: size_of::<PintleRunResult>() as u32,
                flags: ended.flags,
                id: ended.id,
                due_ms: ended.due_ms,
                started_ms: ended.started_ms,
                duration_ms: ended.duration_ms,
                attempts: ended.attempts,
                status: ended.status,
                result: PintleBytes::new(&ended.result),
            };
            // SAFETY: as in `list`.
            if in_sink(|| unsafe { visit(user, &raw const raw) }) != PINTLE_OK {
                return Err(Error::new(Status::Cancelled, "the visitor ended it"));
            }
        }
        Ok(())
    })
}
