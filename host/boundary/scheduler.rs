//! The table `pintle_scheduler`.

use std::{
    any::Any,
    ffi::c_void,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use pintle_abi::*;

use super::{
    Call, HandlerKind,
    callback::{Callback, Occasion, not_null, tenant_name, unknown_value},
    enter, input, stale,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Tenant},
    lanes::{Entry, Run, Task},
    services::scheduler::{
        DueRun, Job, JobRequest, Overlap, Run as Runs, Scheduled as Added,
        store::{Keeping, RunKind},
    },
};

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

type Handler = unsafe extern "C" fn(*mut c_void, PintleCtx, *const PintleRun, PintleSink) -> PintleStatus;

/// What the three ways of scheduling have in common.
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
    enter(ctx, Method::SchedulerCron, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let rule = unsafe { input::text("rule", rule, 1024) }?;
        let asked = Asked { name, handler, user, release, options, job };
        // SAFETY: as above, and outputs lead to memory of the caller.
        unsafe {
            schedule(call, asked, |request, zone, target| {
                call.core().scheduler.cron(request, rule, zone, target)
            })
        }
    })
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
    enter(ctx, Method::SchedulerInterval, move |call| {
        let asked = Asked { name, handler, user, release, options, job };
        // SAFETY: the contract says that inputs are readable for this call, and that outputs lead to memory of the caller.
        unsafe {
            schedule(call, asked, |request, _, target| {
                call.core().scheduler.interval(request, every_ms, target)
            })
        }
    })
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
    enter(ctx, Method::SchedulerOnce, move |call| {
        let asked = Asked { name, handler, user, release, options, job };
        // SAFETY: the contract says that inputs are readable for this call, and that outputs lead to memory of the caller.
        unsafe {
            schedule(call, asked, |request, _, target| call.core().scheduler.once(request, delay_ms, target))
        }
    })
}

/// # Safety
/// The inputs of `asked` are readable for this call, and its output leads to memory of the caller.
unsafe fn schedule(
    call: &Call,
    asked: Asked,
    add: impl FnOnce(JobRequest, Option<&str>, Arc<dyn Runs>) -> Result<Added>,
) -> Result<()> {
    let handler = not_null(asked.handler.0)?;
    // SAFETY: the caller vouches for it.
    let name = unsafe { input::text("name", asked.name, 128) }?;
    // SAFETY: the caller vouches for it.
    let options = unsafe { input::options(asked.options) }?;
    let mut overlap = Overlap::default();
    let mut zone = None;
    if let Some(options) = &options {
        // SAFETY: the caller vouches for it.
        zone = unsafe { input::optional("options.zone", options.zone, 64) }?;
        overlap = match options.overlap {
            PINTLE_OVERLAP_SKIP => Overlap::Skip,
            PINTLE_OVERLAP_QUEUE => Overlap::Queue,
            other => return Err(unknown_value("options.overlap", other)),
        };
        if options.reserved != 0 {
            return Err(unknown_value("options.reserved", options.reserved));
        }
    }
    let register = call.register()?;
    let tenant = call.tenant()?;
    let request = JobRequest {
        owner: call.record.number,
        plugin: call.record.id.clone(),
        tenant: tenant_name(&tenant),
        name: name.into(),
        keeping: Keeping { overlap, ..Keeping::default() },
        data: Arc::default(),
        durable: false,
        live: false,
    };
    let scheduled = Arc::new_cyclic(|me| Scheduled {
        callback: Callback::new(call, asked.user, asked.release),
        handler,
        tenant,
        name: request.name.clone(),
        job: OnceLock::new(),
        me: me.clone(),
    });
    scheduled.callback.disown();
    let handle = register.add(scheduled.clone())?;
    let added = add(request, zone, scheduled.clone());
    // Not before the engine has it; nothing is due until it is live.
    let job = match added {
        Ok((job, _)) => job,
        Err(error) => {
            register.end::<Scheduled>(handle);
            return Err(error);
        }
    };
    let _ = scheduled.job.set(Arc::downgrade(&job));
    if let Err(error) = register.confirm(handle) {
        // It was ended, perhaps before it knew its job.
        scheduled.end();
        return Err(error);
    }
    if let Ok(out) = input::output("job", asked.job) {
        // SAFETY: the caller vouches for it.
        unsafe { out.write(handle) };
    }
    Ok(())
}

unsafe extern "C" fn remove(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus {
    enter(ctx, Method::SchedulerRemove, move |call| {
        let ended = call.register()?.end::<Scheduled>(job).ok_or_else(stale)?;
        ended.callback.release_soon();
        Ok(())
    })
}

/// A plugin's job: an entry of its register, and what the engine tells of due runs.
struct Scheduled {
    callback: Callback,
    handler: Handler,
    tenant: Tenant,
    name: Arc<str>,
    job: OnceLock<Weak<Job>>,
    me: Weak<Self>,
}

impl Scheduled {
    fn job(&self) -> Option<Arc<Job>> {
        self.job.get()?.upgrade()
    }
}

impl Entry for Scheduled {
    fn kind(&self) -> &'static str {
        "job"
    }

    fn replaces(&self, other: &dyn Entry) -> bool {
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| other.name == self.name && other.tenant.number() == self.tenant.number())
    }

    fn set_live(&self, live: bool) {
        if let Some(job) = self.job() {
            self.callback.record().core.scheduler.set_live(&job, live);
        }
    }

    fn confirm(&self) {
        self.callback.own();
    }

    fn shut(&self) {
        self.callback.end();
    }

    fn end(&self) {
        if let Some(job) = self.job() {
            // It is over already if it has run its once or was replaced.
            let _ = self.callback.record().core.scheduler.remove(&job);
        }
    }

    fn needs_release(&self) -> bool {
        true
    }

    fn release(&self) {
        self.callback.release();
    }
}

impl Runs for Scheduled {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        let scheduled = self.me.upgrade().ok_or_else(stale)?;
        self.callback.record().lane().push(Arc::new(Turn { scheduled, run }))
    }

    fn over(&self, _: &Arc<Job>) {
        let (Some(me), Some(register)) = (self.me.upgrade(), self.callback.register()) else { return };
        let entry: Arc<dyn Entry> = me;
        register.end_entry(&entry);
        self.callback.release_soon();
    }

    fn deadline(&self) -> Duration {
        self.callback.record().lane().deadline()
    }
}

/// The task of a run.
struct Turn {
    scheduled: Arc<Scheduled>,
    run: Arc<DueRun>,
}

impl Task for Turn {
    fn run(&self, run: &mut Run<'_>) {
        let Some(begun) = self.run.begin() else { return };
        let Scheduled { callback, handler, tenant, name, .. } = &*self.scheduled;
        let core = callback.record().core;
        let occasion = Occasion {
            tenant,
            depth: 0,
            deadline: self.run.timeout().map_or(i64::MAX, |timeout| core.moment(Instant::now() + timeout)),
            kind: HandlerKind::Job,
            name: name.clone(),
        };
        let outcome = callback.run(
            run,
            occasion,
            |_| true,
            |user, ctx, reply| {
                let flags = match begun.kind {
                    RunKind::Scheduled => 0,
                    RunKind::Missed => PINTLE_RUN_MISSED,
                    RunKind::Requested => PINTLE_RUN_REQUESTED,
                };
                let seen = PintleRun {
                    size: size_of::<PintleRun>() as u32,
                    attempt: begun.attempt,
                    job: PintleStr::new(name),
                    due_ms: begun.due_ms,
                    id: begun.id,
                    flags: flags | if begun.again { PINTLE_RUN_AGAIN } else { 0 },
                    reserved: 0,
                    data: PintleBytes::new(&begun.data),
                };
                // SAFETY: the job came with this handler and this `user`; the library is mapped, because the register is
                // drained before the generation ends, and an ended job is not run.
                unsafe { handler(user, ctx, &raw const seen, reply) }
            },
        );
        let ended = || Err(Error::new(ErrorKind::Cancelled, "the job ended before this run began"));
        let outcome = outcome.unwrap_or_else(ended);
        if let Err(error) = &outcome {
            core.report_failure(error, &format!("job \"{name}\""));
        }
        self.run.finished(outcome);
    }

    fn describe(&self) -> String {
        format!("its job \"{}\"", self.scheduled.name)
    }

    fn deadline(&self) -> Option<Duration> {
        self.run.timeout()
    }
}
