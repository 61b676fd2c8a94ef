//! One loaded copy of one library, and the steps of its life. Every step runs on the plugin's lane, alone.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::*},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    library::{Closed, Library, Refused, Request, State},
    manifest::Manifest,
    stage::Staged,
};
use crate::{
    boundary::{HandlerKind, OwnFiles, PluginRecord, answered, forget},
    error::{Error, ErrorKind, Result},
    identity::{Grants, Scope, Slot, Tenant},
    lanes::{About, Pending, Register, Retired, Run, Task, Turn},
    services::{config::PluginConfig, storage::Quotas},
};

/// A generation whose `load` returned OK.
pub(crate) struct Generation {
    number: u64,
    record: &'static PluginRecord,
    manifest: Arc<Manifest>,
    mapped: Arc<Mapped>,
    state: State,
    grants: &'static Grants,
    register: Arc<Register>,
    own: Mutex<Own>,
    /// `enable` has returned OK and `disable` has not run since.
    enabled: AtomicBool,
    /// `unload` has run, perhaps after everybody had given up waiting for it.
    over: AtomicBool,
}

/// The plugin's own context.
struct Own {
    slot: Slot,
    ctx: u64,
}

/// A library that is open, and the staged file that it was opened from.
struct Mapped {
    number: u64,
    record: &'static PluginRecord,
    library: Library,
    staged: Mutex<Option<Staged>>,
    /// Threads that ran its code must end before it is closed.
    join: bool,
    keep: bool,
    /// An `unload` that came too late and was asked for again must not close it a second time, too early.
    retired: AtomicBool,
}

/// What a generation is made of, before there is one.
pub(crate) struct Parts {
    pub(crate) number: u64,
    pub(crate) record: &'static PluginRecord,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) grants: &'static Grants,
    pub(crate) config: Arc<PluginConfig>,
    /// How much it may keep in files.
    pub(crate) files: Quotas,
    pub(crate) staged: Staged,
}

impl Generation {
    /// Opens the library and calls `load`, within `deadline`. If `load` returns only after that, it is undone then.
    pub(crate) fn load(parts: Parts, deadline: Duration) -> Result<Arc<Self>> {
        let record = parts.record;
        let (load, pending) = Self::loading(parts, deadline, |_| ());
        wait_for_step(record, "load", deadline, &pending, || record.lane().push_alone(load))?
    }

    /// `load`, and then `enable` if it has succeeded. Both stand in the lane from the beginning, so that the worker goes
    /// from one to the other without a hand-over; the second is waited for by [`Enabling::wait`]. `may_enable` is asked
    /// in between.
    pub(crate) fn load_and_enable(
        parts: Parts,
        deadline: Duration,
        may_enable: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<(Arc<Self>, Enabling)> {
        let record = parts.record;
        let loaded = Arc::new(OnceLock::<Arc<Self>>::new());
        let found = loaded.clone();
        let (load, pending) = Self::loading(parts, deadline, move |generation: &Arc<Self>| {
            let _ = loaded.set(generation.clone());
        });
        let late = found.clone();
        let (enable, enabling) = step(
            "enable",
            deadline,
            move |run| match found.get() {
                Some(generation) => may_enable().and_then(|()| generation.enable_here(run)),
                None => Err(Error::new(ErrorKind::Unavailable, "it could not be loaded")),
            },
            move |outcome: Result<()>, run| {
                if let Some(generation) = late.get() {
                    generation.take_back_enable(&outcome, run);
                }
            },
            |_| (),
        );
        let generation = wait_for_step(record, "load", deadline, &pending, || {
            let lane = record.lane();
            lane.push_alone(load)?;
            // A lane that was closed in between does not call back a `load` that has begun: its outcome counts, and
            // whoever waits for the other is told.
            let _ = lane.push_alone(enable);
            Ok(())
        })??;
        Ok((generation, Enabling { record, pending: enabling }))
    }

    /// The step that loads; `loaded` is told of a success at once, in the lane.
    fn loading(
        parts: Parts,
        deadline: Duration,
        loaded: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Awaited<Result<Arc<Self>>> {
        let undo = |late: Result<Arc<Self>>, run: &mut Run<'_>| {
            if let Ok(generation) = late {
                generation.unload_here(run);
                generation.retire();
            }
        };
        let load = move |run: &mut Run<'_>| Self::load_here(parts, run).inspect(loaded);
        step("load", deadline, load, undo, |_| ())
    }

    fn load_here(parts: Parts, run: &mut Run<'_>) -> Result<Arc<Self>> {
        let Parts { number, record, manifest, grants, config, files, staged } = parts;
        let full = |what| {
            Error::new(ErrorKind::Quota, format!("the process has no room for another {what}"))
                .of(record.id.clone())
        };
        let register = Arc::new(Register::new(number).ok_or_else(|| full("generation: 4,096 are alive"))?);
        let mut slot = Slot::take().ok_or_else(|| full("context: 65,536 are alive"))?;
        let seat = register.seat().index();
        // From here on this thread may carry destructors that lie in the library.
        run.note(number, seat);
        let (library, refusal) = match Library::open(&staged.library, &manifest) {
            Ok(library) => (library, None),
            Err(refused) => match *refused {
                Refused { error, library: Some(library) } => (library, Some(error)),
                Refused { error, library: None } => return Err(error),
            },
        };
        let files = Arc::new(OwnFiles { quotas: files, resources: staged.resources() });
        let (join, keep) = (staged.inspection.thread_exit, manifest.keep_mapped);
        let (staged, retired) = (Mutex::new(Some(staged)), AtomicBool::new(false));
        let mapped = Arc::new(Mapped { number, record, library, staged, join, keep, retired });
        if let Some(error) = refusal {
            mapped.retire();
            return Err(error);
        }
        if let Some(warning) = mapped.library.warning() {
            record.core.report_failure(warning, "load");
        }
        let ctx = slot.open(&Scope::own(record.key(), grants, number, seat, record.metrics.account()));
        record.begin(register.clone(), config, files);
        slot.set_worker(Some(run.worker()));
        run.enter_own(ctx, number, seat);
        let (status, state) = mapped.library.load(ctx);
        let outcome = run.leave();
        slot.set_worker(None);
        let own = Mutex::new(Own { slot, ctx });
        let generation = Arc::new(Self {
            number,
            record,
            manifest,
            mapped,
            state,
            grants,
            register,
            own,
            enabled: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        match answered(ctx, status, outcome, "`load`") {
            Ok(_) => Ok(generation),
            Err(error) => {
                generation.end_here();
                generation.retire();
                Err(error.of(record.id.clone()))
            }
        }
    }

    /// Calls `enable`; from its OK on handlers run.
    pub(crate) fn enable(self: &Arc<Self>, deadline: Duration) -> Result<()> {
        let me = self.clone();
        let late = self.clone();
        // Nobody counts on it any more: it goes back to being disabled.
        let undo = move |outcome: Result<()>, run: &mut Run<'_>| late.take_back_enable(&outcome, run);
        on_lane(self.record, "enable", deadline, move |run| me.enable_here(run), undo)?
    }

    fn enable_here(&self, run: &mut Run<'_>) -> Result<()> {
        if self.is_over() {
            // Its `load` came too late, and was undone.
            return Err(Error::new(ErrorKind::Unavailable, "it was unloaded before it could be enabled"));
        }
        if self.enabled.load(Acquire) {
            // A `disable` that was given up before it began.
            let _ = self.disable_here(run);
        }
        self.register.begin_enable();
        let outcome = self.lifecycle(run, "`enable`", |ctx| self.mapped.library.enable(self.state, ctx));
        match &outcome {
            Ok(()) => {
                self.enabled.store(true, Release);
                // Before the first of its handlers runs.
                if let Some(watch) = self.record.metrics.watch() {
                    watch.arm(self.number);
                }
                self.register.go_live();
            }
            Err(_) => {
                self.stop();
                self.register.drain_since_enable();
            }
        }
        outcome
    }

    /// Nobody waited for an `enable` to its end.
    fn take_back_enable(&self, outcome: &Result<()>, run: &mut Run<'_>) {
        if outcome.is_ok() {
            self.stop();
            self.disable_for_nobody(run);
        }
    }

    /// Calls `disable`, whatever it answers, and drops what was registered since `enable`.
    pub(crate) fn disable(self: &Arc<Self>, deadline: Duration) -> Result<()> {
        self.stop();
        let me = self.clone();
        let late = self.clone();
        let step = move |run: &mut Run<'_>| me.disable_here(run);
        // Begun late is better than never: a plugin that was enabled is disabled before anything else of it runs.
        let never_begun = move |run: &mut Run<'_>| late.disable_for_nobody(run);
        let core = self.record.core;
        let undo = move |late: Result<()>, _: &mut Run<'_>| {
            if let Err(error) = late {
                core.report_failure(&error, "disable");
            }
        };
        on_lane_or_late(self.record, "disable", deadline, step, undo, never_begun)?
    }

    /// Stops it at once, and calls `disable` when its lane is free. Waits for nothing: a failure goes to the log.
    pub(crate) fn disable_soon(self: &Arc<Self>, deadline: Duration) {
        self.stop();
        let me = self.clone();
        let body: Body = Box::new(move |run| me.disable_for_nobody(run));
        let step = Step { name: "disable", deadline, body: Mutex::new(Some(body)) };
        // A lane that is closed is one of a host that has stopped, or of a generation that is over.
        let _ = self.record.lane().push_alone(Arc::new(step));
    }

    /// The stop begins, if it has not: nothing is delivered, nothing new is taken, and who waits on its behalf, for an
    /// answer, for room or for an item of the cache, goes on. In this order: a wait that is not found has yet to look whether it may begin.
    fn stop(&self) {
        if let Some(watch) = self.record.metrics.watch() {
            watch.disarm(self.number);
        }
        self.register.stop();
        self.record.core.pool.stop_waits(self.number);
        self.record.core.events.stop_waits(self.number);
        self.record.core.cache.stop_waits(self.number);
    }

    /// Nobody waits for its outcome: a failure goes to the log.
    fn disable_for_nobody(&self, run: &mut Run<'_>) {
        if let Err(error) = self.disable_here(run) {
            self.record.core.report_failure(&error, "disable");
        }
    }

    fn disable_here(&self, run: &mut Run<'_>) -> Result<()> {
        // One that nobody could wait for may have ended while this one stood in line.
        if !self.is_enabled() {
            return Ok(());
        }
        let outcome = self.lifecycle(run, "`disable`", |ctx| self.mapped.library.disable(self.state, ctx));
        self.register.drain_since_enable();
        self.enabled.store(false, Release);
        outcome
    }

    /// Calls `unload` and ends everything of the generation. The library is closed later, when no thread is left that
    /// ran it.
    pub(crate) fn unload(self: Arc<Self>, deadline: Duration) -> Result<()> {
        self.stop();
        let record = self.record;
        let me = self;
        let step = move |run: &mut Run<'_>| me.unload_here(run).then_some(me);
        let undo = |late: Option<Arc<Self>>, _: &mut Run<'_>| {
            if let Some(late) = late {
                late.retire();
            }
        };
        let unloaded = on_lane(record, "unload", deadline, step, undo)?;
        if let Some(unloaded) = unloaded {
            unloaded.retire();
        }
        Ok(())
    }

    /// False if it was unloaded already, by one that nobody could wait for.
    fn unload_here(&self, run: &mut Run<'_>) -> bool {
        if self.is_over() {
            return false;
        }
        self.stop();
        // Handed back before `unload`, as promised, and with the contexts still valid.
        run.note(self.number, self.register.seat().index());
        self.register.drain_handlers();
        let _ = self.lifecycle(run, "`unload`", |ctx| {
            self.mapped.library.unload(self.state, ctx);
            pintle_abi::PINTLE_OK
        });
        self.end_here();
        true
    }

    /// Ends contexts and registrations: from here on everything of it is stale.
    fn end_here(&self) {
        self.stop();
        self.register.drain();
        self.own.lock().slot.close();
        // Nobody can ask for another any more.
        self.record.core.cache.end_generation(self.number);
        self.record.end(self.number);
        self.over.store(true, Release);
    }

    /// Offers a new config.
    pub(crate) fn configure(self: &Arc<Self>, new: Vec<u8>, old: Vec<u8>, deadline: Duration) -> Result<()> {
        let (me, late) = (self.clone(), self.clone());
        let step = move |run: &mut Run<'_>| me.configure_here(run, &new);
        // Nobody commits the new one any more, so the plugin is given back the one that counts.
        let undo = move |outcome: Result<()>, run: &mut Run<'_>| {
            if outcome.is_ok()
                && let Err(error) = late.configure_here(run, &old)
            {
                late.record.core.report_failure(&error, "configure");
            }
        };
        on_lane(self.record, "configure", deadline, step, undo)?
    }

    fn configure_here(&self, run: &mut Run<'_>, config: &[u8]) -> Result<()> {
        self.lifecycle(run, "`configure`", |ctx| self.mapped.library.configure(self.state, ctx, config))
    }

    /// Answers a call by message. In the lane's turn, not alone.
    pub(crate) fn answer(
        &self,
        run: &mut Run<'_>,
        call: &Answer<'_>,
        started: impl FnOnce(u64) -> bool,
    ) -> Option<Result<Vec<u8>>> {
        let Answer { tenant, depth, deadline, request } = call;
        let handling = self.record.handling(HandlerKind::Call, tenant);
        let scope = Scope {
            tenant: tenant.number(),
            depth: *depth,
            deadline: *deadline,
            ..Scope::own(
                self.record.key(),
                self.grants,
                self.number,
                self.register.seat().index(),
                handling.account(),
            )
        };
        let name = format!("{}.{}", request.service, request.method);
        let ctx = run.enter(&scope, About { kind: "call", name: name.as_str().into() });
        if !started(ctx) {
            drop(run.leave());
            return None;
        }
        let status = self.mapped.library.call(self.state, ctx, request);
        let outcome = run.leave();
        let result = match status {
            Some(status) => answered(ctx, status, outcome, format_args!("\"{name}\"")),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "its `call` is null although its manifest provides services",
            )),
        };
        handling.end(result.as_ref().err().map(Error::kind));
        Some(result.map_err(|error| error.of(self.record.id.clone())))
    }

    pub(crate) fn record(&self) -> &'static PluginRecord {
        self.record
    }

    /// Whether `enable` has returned OK and `disable` has not run since.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Acquire)
    }

    /// Whether `unload` has run.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Acquire)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    pub(crate) fn register(&self) -> &Arc<Register> {
        &self.register
    }

    /// Runs a function of the plugin under its own context.
    fn lifecycle(
        &self,
        run: &mut Run<'_>,
        what: &str,
        function: impl FnOnce(u64) -> pintle_abi::PintleStatus,
    ) -> Result<()> {
        let seat = self.register.seat().index();
        let ctx = {
            let mut own = self.own.lock();
            own.slot.set_worker(Some(run.worker()));
            own.ctx
        };
        forget(ctx);
        run.enter_own(ctx, self.number, seat);
        let status = function(ctx);
        let outcome = run.leave();
        self.own.lock().slot.set_worker(None);
        answered(ctx, status, outcome, what).map(drop).map_err(|error| error.of(self.record.id.clone()))
    }

    /// Closes the library as soon as that is safe. The generation has ended.
    fn retire(&self) {
        self.mapped.retire();
    }
}

impl Mapped {
    fn retire(self: &Arc<Self>) {
        if self.retired.swap(true, AcqRel) {
            return;
        }
        let me = self.clone();
        self.record.core.pool.retire(Retired {
            generation: self.number,
            join: self.join,
            close: Box::new(move || me.close()),
        });
    }

    /// On a thread that has never run it, when no thread is left that has.
    fn close(&self) {
        let closed = if self.keep { Closed::Kept } else { self.library.close() };
        if let Some(Err(error)) = self.staged.lock().take().map(Staged::remove) {
            self.record.core.report_failure(&error.of(self.record.id.clone()), "unload");
        }
        self.record.core.report_closed(&self.record.id, self.number, closed == Closed::Kept, self.keep);
    }
}

/// A call by message, as a generation is asked to answer it.
pub(crate) struct Answer<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) depth: u16,
    /// In milliseconds of the host's clock.
    pub(crate) deadline: i64,
    pub(crate) request: Request<'a>,
}

/// An `enable` that stands in its lane, or has run. Whoever lets go of it waits no longer: what has not begun then does
/// not begin, and what comes to its end later is taken back.
pub(crate) struct Enabling {
    record: &'static PluginRecord,
    pending: Arc<Pending<Result<()>>>,
}

impl Enabling {
    /// Waits for it. If it comes to its end only after `deadline`, it is taken back then.
    pub(crate) fn wait(self, deadline: Duration) -> Result<()> {
        let waited = wait_for_step(self.record, "enable", deadline, &self.pending, || Ok(()));
        waited.unwrap_or_else(|error| {
            // The wait may have been refused, while the step is there all the same: it counts only if it is over.
            self.pending.give_up(error.kind());
            self.pending.wait(Instant::now()).unwrap_or(Err(error))
        })
    }
}

impl Drop for Enabling {
    fn drop(&mut self) {
        self.pending.give_up(ErrorKind::Cancelled);
    }
}

type Body = Box<dyn FnOnce(&mut Run<'_>) + Send>;

/// A task: one step of a plugin's life.
struct Step {
    name: &'static str,
    deadline: Duration,
    body: Mutex<Option<Body>>,
}

impl Task for Step {
    fn run(&self, run: &mut Run<'_>) {
        let body = self.body.lock().take();
        if let Some(body) = body {
            body(run);
        }
    }

    fn describe(&self) -> String {
        format!("`{}`", self.name)
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.deadline)
    }
}

/// A step that is to be pushed, and what its outcome is waited for with.
type Awaited<T> = (Arc<Step>, Arc<Pending<T>>);

/// Runs a step on the plugin's lane, ahead of its queue and alone, and waits for it. If it comes to its end only after
/// `deadline`, nobody waits any more and `late` is given its result. If it could not even begin by then, it does not.
fn on_lane<T: Send + 'static>(
    record: &'static PluginRecord,
    name: &'static str,
    deadline: Duration,
    body: impl FnOnce(&mut Run<'_>) -> T + Send + 'static,
    late: impl FnOnce(T, &mut Run<'_>) + Send + 'static,
) -> Result<T> {
    on_lane_or_late(record, name, deadline, body, late, |_| ())
}

/// Like `on_lane`; in place of a step that could not begin by `deadline`, `instead` runs when it could.
fn on_lane_or_late<T: Send + 'static>(
    record: &'static PluginRecord,
    name: &'static str,
    deadline: Duration,
    body: impl FnOnce(&mut Run<'_>) -> T + Send + 'static,
    late: impl FnOnce(T, &mut Run<'_>) + Send + 'static,
    instead: impl FnOnce(&mut Run<'_>) + Send + 'static,
) -> Result<T> {
    let (step, pending) = step(name, deadline, body, late, instead);
    wait_for_step(record, name, deadline, &pending, || record.lane().push_alone(step))
}

/// A step, and what is waited for.
fn step<T: Send + 'static>(
    name: &'static str,
    deadline: Duration,
    body: impl FnOnce(&mut Run<'_>) -> T + Send + 'static,
    late: impl FnOnce(T, &mut Run<'_>) + Send + 'static,
    instead: impl FnOnce(&mut Run<'_>) + Send + 'static,
) -> Awaited<T> {
    let (pending, promise) = Pending::pair();
    let body = move |run: &mut Run<'_>| {
        if !promise.start(0) {
            instead(run);
        } else if let Err(value) = promise.finish(body(run)) {
            late(value, run);
        }
    };
    (Arc::new(Step { name, deadline, body: Mutex::new(Some(Box::new(body))) }), pending)
}

fn wait_for_step<T: Send + 'static>(
    record: &'static PluginRecord,
    name: &'static str,
    deadline: Duration,
    pending: &Arc<Pending<T>>,
    push: impl FnOnce() -> Result<()>,
) -> Result<T> {
    let lane = record.lane();
    let until = Instant::now() + deadline;
    let outcome = record.core.pool.wait_for(&lane, Turn::Alone, None, pending, until, push);
    outcome.map_err(|error| match error.kind() {
        ErrorKind::Timeout => Error::new(
            ErrorKind::Timeout,
            format!(
                "`{name}` did not return within {} ms: nothing else of it runs until it does",
                deadline.as_millis()
            ),
        )
        .of(record.id.clone()),
        _ => error,
    })
}
