//! The table `pintle_scheduler`.

use std::{
    any::Any,
    ffi::c_void,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
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
    services::scheduler::{Job, JobRequest, Overlap, Run as Runs},
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
    add: impl FnOnce(JobRequest, Option<&str>, Arc<dyn Runs>) -> Result<(Arc<Job>, Option<Arc<Job>>)>,
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
        tenant: tenant_name(&tenant),
        name: name.into(),
        overlap,
        live: false,
    };
    let scheduled = Arc::new_cyclic(|me| Scheduled {
        callback: Callback::new(call, asked.user, asked.release),
        handler,
        tenant,
        name: request.name.clone(),
        job: OnceLock::new(),
        due_ms: AtomicI64::new(0),
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

/// A plugin's job: an entry of its register, what the engine tells of due runs, and the task of a run.
struct Scheduled {
    callback: Callback,
    handler: Handler,
    tenant: Tenant,
    name: Arc<str>,
    job: OnceLock<Weak<Job>>,
    /// Of the run that stands in the lane: the engine never tells of another before it has ended.
    due_ms: AtomicI64,
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
    fn due(&self, _: &Arc<Job>, due_ms: i64) -> Result<()> {
        let me = self.me.upgrade().ok_or_else(stale)?;
        self.due_ms.store(due_ms, Relaxed);
        self.callback.record().lane().push(me)
    }

    fn over(&self, _: &Arc<Job>) {
        let (Some(me), Some(register)) = (self.me.upgrade(), self.callback.register()) else { return };
        let entry: Arc<dyn Entry> = me;
        register.end_entry(&entry);
        self.callback.release_soon();
    }
}

impl Task for Scheduled {
    fn run(&self, run: &mut Run<'_>) {
        let Some(job) = self.job() else { return };
        if job.is_over() {
            job.finished(Err(Error::new(ErrorKind::Cancelled, "the job ended before this run began")));
            return;
        }
        let occasion = Occasion {
            tenant: &self.tenant,
            depth: 0,
            deadline: i64::MAX,
            kind: HandlerKind::Job,
            name: job.name().clone(),
        };
        let outcome = self.callback.run(
            run,
            occasion,
            |_| true,
            |user, ctx, reply| {
                let seen = PintleRun {
                    size: size_of::<PintleRun>() as u32,
                    attempt: 1,
                    job: PintleStr::new(job.name()),
                    due_ms: self.due_ms.load(Relaxed),
                    id: 0,
                    flags: 0,
                    reserved: 0,
                    data: PintleBytes::new(&[]),
                };
                // SAFETY: the job came with this handler and this `user`; the library is mapped, because the register is
                // drained before the generation ends, and an ended job is not run.
                unsafe { (self.handler)(user, ctx, &raw const seen, reply) }
            },
        );
        let outcome = outcome.unwrap_or(Ok(Vec::new())).map(drop);
        if let Err(error) = &outcome {
            self.callback.record().core.report_failure(error, &format!("job \"{}\"", job.name()));
        }
        job.finished(outcome);
    }

    fn describe(&self) -> String {
        match self.job() {
            Some(job) => format!("its job \"{}\"", job.name()),
            None => "a job that is over".into(),
        }
    }
}
