//! The table `pintle_scheduler`: jobs and their runs here, in `named.rs` what is done with jobs by their names, in `handled.rs`
//! handlers of jobs that nobody schedules.

mod handled;
mod named;

use std::{
    any::Any,
    ffi::c_void,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use pintle_abi::*;

use self::handled::Handled;
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
        store::{Keeping, Missed, RunKind},
    },
};

pub(super) static TABLE: PintleScheduler = PintleScheduler {
    size: size_of::<PintleScheduler>() as u32,
    reserved: 0,
    cron: Some(cron),
    interval: Some(interval),
    once: Some(once),
    remove: Some(remove),
    after: Some(after),
    handle: Some(handled::handle),
    forget: Some(named::forget),
    pause: Some(named::pause),
    resume: Some(named::resume),
    run_now: Some(named::run_now),
    list: Some(named::list),
    history: Some(named::history),
};

const LONGEST_NAME: usize = 128;
const LARGEST_DATA: usize = 64 << 10;

type Handler = unsafe extern "C" fn(*mut c_void, PintleCtx, *const PintleRun, PintleSink) -> PintleStatus;

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
    enter(ctx, Method::SchedulerAfter, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let after = unsafe { input::text("after", after, LONGEST_NAME) }?;
        let asked = Asked { name, handler, user, release, options, job };
        // SAFETY: as above, and outputs lead to memory of the caller.
        unsafe {
            schedule(call, asked, |request, _, target| call.core().scheduler.after(request, after, target))
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
    let name = unsafe { input::text("name", asked.name, LONGEST_NAME) }?;
    // SAFETY: the caller vouches for it.
    let options = unsafe { input::options(asked.options) }?;
    // SAFETY: as above; what the options lead to are inputs too.
    let Options { keeping, zone, data, durable } =
        unsafe { options.as_ref().map_or(Ok(Options::default()), |options| Options::of(options)) }?;
    let register = call.register()?;
    let tenant = call.tenant()?;
    let request = JobRequest {
        owner: call.record.number,
        plugin: call.record.id.clone(),
        tenant: tenant_name(&tenant),
        name: name.into(),
        keeping,
        data: data.into(),
        durable,
        live: false,
    };
    let scheduled = Arc::new_cyclic(|me| Scheduled {
        code: Code::new(call, handler, asked.user, asked.release),
        tenant,
        name: request.name.clone(),
        job: OnceLock::new(),
        me: me.clone(),
    });
    scheduled.code.callback.disown();
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

/// How a job is to be kept, as its plugin says.
#[derive(Default)]
struct Options<'a> {
    keeping: Keeping,
    zone: Option<&'a str>,
    data: &'a [u8],
    durable: bool,
}

impl<'a> Options<'a> {
    /// # Safety
    /// What the options lead to is readable for `'a`.
    unsafe fn of(options: &PintleJobOptions) -> Result<Self> {
        if options.reserved != 0 {
            return Err(unknown_value("options.reserved", options.reserved));
        }
        // SAFETY: the caller vouches for it, here and below.
        let zone = unsafe { input::optional("options.zone", options.zone, 64) }?;
        // SAFETY: as above.
        let data = unsafe { input::bytes("options.data", options.data, LARGEST_DATA) }?;
        let keeping = Keeping {
            overlap: overlap_of("options.overlap", options.overlap)?,
            missed: match options.missed {
                PINTLE_MISSED_ONCE => Missed::Once,
                PINTLE_MISSED_SKIP => Missed::Skip,
                PINTLE_MISSED_ALL => Missed::All,
                other => return Err(unknown_value("options.missed", other)),
            },
            start_deadline_ms: options.start_deadline_ms,
            jitter_ms: options.jitter_ms,
            timeout_ms: options.timeout_ms,
            backoff_ms: options.backoff_ms,
            retries: options.retries,
        };
        Ok(Self { keeping, zone, data, durable: options.flags & PINTLE_JOB_DURABLE != 0 })
    }
}

fn overlap_of(name: &'static str, overlap: u32) -> Result<Overlap> {
    match overlap {
        PINTLE_OVERLAP_SKIP => Ok(Overlap::Skip),
        PINTLE_OVERLAP_QUEUE => Ok(Overlap::Queue),
        PINTLE_OVERLAP_ALLOW => Ok(Overlap::Allow),
        other => Err(unknown_value(name, other)),
    }
}

unsafe extern "C" fn remove(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus {
    enter(ctx, Method::SchedulerRemove, move |call| {
        let register = call.register()?;
        let Some(scheduled) = register.find::<Scheduled>(job) else {
            let ended = register.end::<Handled>(job).ok_or_else(stale)?;
            ended.code.callback.release_soon();
            return Ok(());
        };
        // A durable one is taken off the disk first: where that fails it stays.
        if let Some(job) = scheduled.job().filter(|job| !job.is_over()) {
            call.core().scheduler.remove(&job)?;
        }
        // Nothing is left of it where its end has been told already.
        if let Some(ended) = register.end::<Scheduled>(job) {
            ended.code.callback.release_soon();
        }
        Ok(())
    })
}

/// The handler of a job, or of several.
struct Code {
    callback: Callback,
    handler: Handler,
}

impl Code {
    fn new(call: &Call, handler: Handler, user: *mut c_void, release: PintleRelease) -> Arc<Self> {
        Arc::new(Self { callback: Callback::new(call, user, release), handler })
    }

    /// Sees to it that a run is begun in its turn.
    fn queue(self: &Arc<Self>, tenant: Tenant, run: Arc<DueRun>) -> Result<()> {
        self.callback.record().lane().push(Arc::new(Turn { code: Arc::clone(self), tenant, run }))
    }

    fn deadline(&self) -> Duration {
        self.callback.record().lane().deadline()
    }
}

/// A plugin's job: an entry of its register, and what the engine tells of due runs.
struct Scheduled {
    code: Arc<Code>,
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
            self.code.callback.record().core.scheduler.set_live(&job, live);
        }
    }

    fn confirm(&self) {
        self.code.callback.own();
    }

    fn shut(&self) {
        self.code.callback.end();
    }

    fn end(&self) {
        if let Some(job) = self.job() {
            // A durable one is not over with that: the next life of the plugin takes it up.
            self.code.callback.record().core.scheduler.detach(&job);
        }
    }

    fn needs_release(&self) -> bool {
        true
    }

    fn release(&self) {
        self.code.callback.release();
    }
}

impl Runs for Scheduled {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        self.code.queue(self.tenant.clone(), run)
    }

    fn over(&self, _: &Arc<Job>) {
        let Some((me, register)) = self.me.upgrade().zip(self.code.callback.register()) else { return };
        let entry: Arc<dyn Entry> = me;
        register.end_entry(&entry);
        self.code.callback.release_soon();
    }

    fn deadline(&self) -> Duration {
        self.code.deadline()
    }
}

/// The task of a run.
struct Turn {
    code: Arc<Code>,
    tenant: Tenant,
    run: Arc<DueRun>,
}

impl Task for Turn {
    fn run(&self, run: &mut Run<'_>) {
        let Some(begun) = self.run.begin() else { return };
        let Code { callback, handler } = &*self.code;
        let name = self.run.job().name();
        let core = callback.record().core;
        let occasion = Occasion {
            tenant: &self.tenant,
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
                let seen = PintleRun {
                    size: size_of::<PintleRun>() as u32,
                    attempt: begun.attempt,
                    job: PintleStr::new(name),
                    due_ms: begun.due_ms,
                    id: begun.id,
                    flags: flags_of(begun.kind, begun.again),
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
        format!("its job \"{}\"", self.run.job().name())
    }

    fn deadline(&self) -> Option<Duration> {
        self.run.timeout()
    }
}

fn flags_of(kind: RunKind, again: bool) -> u32 {
    let kind = match kind {
        RunKind::Scheduled => 0,
        RunKind::Missed => PINTLE_RUN_MISSED,
        RunKind::Requested => PINTLE_RUN_REQUESTED,
    };
    kind | if again { PINTLE_RUN_AGAIN } else { 0 }
}
