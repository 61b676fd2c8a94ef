//! The table of the scheduler. Jobs run when the test moves the clock past them, or says so; those with a rule of the calendar
//! only when it says so.

use std::ffi::c_void;

use pintle_abi::*;

use super::{
    cron::{self, Rule},
    events::{end, must_register, register},
    input,
    inside::{Beat, What, enter},
};
use crate::{Error, Result, Status};

/// 366 days.
const LONGEST_MS: i64 = 31_622_400_000;

pub(super) static TABLE: PintleScheduler = PintleScheduler {
    size: size_of::<PintleScheduler>() as u32,
    reserved: 0,
    cron: Some(cron),
    interval: Some(interval),
    once: Some(once),
    remove: Some(remove),
    after: None,
    handle: None,
    forget: None,
    pause: None,
    resume: None,
    run_now: None,
    list: None,
    history: None,
};

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
    let beat = |now: i64, zone: &str| match cron::read(rule?, zone)? {
        Rule::Calendar => Ok(Beat::Cron),
        Rule::Every(every_ms) => {
            in_range("rule", every_ms, 1)?;
            Ok(Beat::Every(every_ms, now + every_ms))
        }
    };
    // SAFETY: as above.
    unsafe { schedule(ctx, "scheduler.cron", name, beat, handler, (user, release), options, job) }
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
    let beat = |now, _: &str| {
        in_range("every_ms", every_ms, 1)?;
        Ok(Beat::Every(every_ms, now + every_ms))
    };
    // SAFETY: as in `cron`.
    unsafe { schedule(ctx, "scheduler.interval", name, beat, handler, (user, release), options, job) }
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
    let beat = |now, _: &str| {
        in_range("delay_ms", delay_ms, 0)?;
        Ok(Beat::Once(now + delay_ms))
    };
    // SAFETY: as in `cron`.
    unsafe { schedule(ctx, "scheduler.once", name, beat, handler, (user, release), options, job) }
}

pub(super) fn in_range(argument: &str, ms: i64, least: i64) -> Result<()> {
    if (least..=LONGEST_MS).contains(&ms) {
        return Ok(());
    }
    let text = format!("argument `{argument}`: {ms}, {least} to {LONGEST_MS} are taken");
    Err(Error::new(Status::OutOfRange, text))
}

/// # Safety
/// Inputs are readable and outputs writable for this call.
#[expect(clippy::too_many_arguments, reason = "they are those of the functions above")]
unsafe fn schedule(
    ctx: PintleCtx,
    function: &'static str,
    name: PintleStr,
    beat: impl FnOnce(i64, &str) -> Result<Beat>,
    handler: PintleJobHandler,
    (user, release): (*mut c_void, PintleRelease),
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    // SAFETY: the caller's promise.
    enter(ctx, function, |call| unsafe {
        if handler.0.is_none() {
            return Err(input::wrong("handler", "null"));
        }
        input::text("name", name, 128)?;
        let mut zone = "";
        if let Some(options) = input::options(options)? {
            zone = input::text("options.zone", options.zone, 64)?;
            if options.flags != 0 || options.overlap > PINTLE_OVERLAP_QUEUE {
                let text = "argument `options`: a flag or overlap that this host does not know";
                return Err(Error::new(Status::Unsupported, text));
            }
        }
        must_register(call)?;
        let name = input::key("name", name, 128)?.to_owned();
        let now = call.state().now_ms;
        let beat = beat(now, zone)?;
        let same = |what: &What| matches!(what, What::Job { .. });
        let replaced = {
            let state = call.state();
            let mut registrations = state.registrations.iter();
            registrations.find_map(|(handle, one)| {
                let place = (one.generation, &one.name, &one.tenant);
                let here = place == (call.entry.generation, &name, &call.entry.tenant);
                (here && same(&one.what)).then_some(*handle)
            })
        };
        let handle = register(call, name, What::Job { handler, beat }, replaced, (user, release))?;
        if let Some(job) = job.as_mut() {
            *job = handle;
        }
        Ok(())
    })
}

unsafe extern "C" fn remove(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus {
    enter(ctx, "scheduler.remove", |call| end(call, job, |what| matches!(what, What::Job { .. })))
}
