//! What is done with jobs by their names: a durable one may be older than this life of its plugin, so that nobody has its handle.

use std::ffi::c_void;

use pintle_abi::*;

use super::{
    super::{
        Call,
        callback::{not_null, tenant_name},
        enter, input, sink, status_of,
    },
    LONGEST_NAME, flags_of,
};
use crate::{
    error::Result,
    identity::Method,
    services::scheduler::{
        JobInfo, Named, Scheduler,
        store::{EndedRun, Of},
    },
};

pub(super) unsafe extern "C" fn forget(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    // SAFETY: the contract says that inputs are readable for this call.
    unsafe { act(ctx, Method::SchedulerForget, name, Scheduler::forget) }
}

pub(super) unsafe extern "C" fn pause(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    // SAFETY: as above.
    unsafe { act(ctx, Method::SchedulerPause, name, Scheduler::pause) }
}

pub(super) unsafe extern "C" fn resume(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    // SAFETY: as above.
    unsafe { act(ctx, Method::SchedulerResume, name, Scheduler::resume) }
}

pub(super) unsafe extern "C" fn run_now(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    // SAFETY: as above.
    unsafe { act(ctx, Method::SchedulerRunNow, name, Scheduler::run_now) }
}

/// # Safety
/// The name is readable for this call.
unsafe fn act(
    ctx: PintleCtx,
    method: Method,
    name: PintleStr,
    act: impl FnOnce(&Scheduler, &Named<'_>) -> Result<()>,
) -> PintleStatus {
    enter(ctx, method, move |call| {
        // SAFETY: the caller vouches for it.
        let name = unsafe { input::text("name", name, LONGEST_NAME) }?;
        call.must_act()?;
        with_named(call, name, |named| act(&call.core().scheduler, named))
    })
}

fn with_named<R>(call: &Call, name: &str, act: impl FnOnce(&Named<'_>) -> Result<R>) -> Result<R> {
    let tenant = tenant_name(&call.tenant()?);
    act(&Named { plugin: &call.record.id, tenant: tenant.as_deref(), name })
}

pub(super) unsafe extern "C" fn list(
    ctx: PintleCtx,
    visitor: PintleJobVisitor,
    user: *mut c_void,
) -> PintleStatus {
    enter(ctx, Method::SchedulerList, move |call| {
        let visitor = not_null(visitor.0)?;
        let tenant = tenant_name(&call.tenant()?);
        let of = Of {
            plugin: Some(&call.record.id),
            tenant: Some(tenant.as_deref().unwrap_or_default()),
            name: None,
        };
        for job in call.core().scheduler.list(&of)? {
            let seen = seen(&job);
            // SAFETY: the contract says that it may be called with `user` until this function returns.
            sink::tell("visitor", || unsafe { visitor(user, &raw const seen) })?;
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn history(
    ctx: PintleCtx,
    name: PintleStr,
    visitor: PintleRunVisitor,
    user: *mut c_void,
) -> PintleStatus {
    enter(ctx, Method::SchedulerHistory, move |call| {
        let visitor = not_null(visitor.0)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let name = unsafe { input::text("name", name, LONGEST_NAME) }?;
        for run in with_named(call, name, |named| call.core().scheduler.history(named))? {
            let seen = ended(&run);
            // SAFETY: the contract says that it may be called with `user` until this function returns.
            sink::tell("visitor", || unsafe { visitor(user, &raw const seen) })?;
        }
        Ok(())
    })
}

/// Borrows from the job.
fn seen(job: &JobInfo) -> PintleJob {
    let JobInfo { name, durable, paused, waiting, running, next_ms, last_ms, runs, failed, skipped, .. } =
        job;
    let flags = [
        (*durable, PINTLE_JOB_IS_DURABLE),
        (*paused, PINTLE_JOB_IS_PAUSED),
        (*running, PINTLE_JOB_IS_RUNNING),
        (*waiting, PINTLE_JOB_IS_WAITING),
    ];
    PintleJob {
        size: size_of::<PintleJob>() as u32,
        flags: flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(),
        name: PintleStr::new(name),
        when: PintleStr::new(&job.when),
        next_ms: next_ms.unwrap_or(-1),
        last_ms: last_ms.unwrap_or(-1),
        runs: *runs,
        failed: *failed,
        skipped: *skipped,
    }
}

/// Borrows from the run.
fn ended(run: &EndedRun) -> PintleRunResult {
    PintleRunResult {
        size: size_of::<PintleRunResult>() as u32,
        flags: flags_of(run.kind, run.again),
        id: run.run,
        due_ms: run.due_ms,
        started_ms: run.started_ms,
        duration_ms: run.end.ended_ms.saturating_sub(run.started_ms).max(0),
        attempts: run.attempts,
        status: run.end.error.map_or(PINTLE_OK, status_of),
        result: PintleBytes::new(&run.end.result),
    }
}
