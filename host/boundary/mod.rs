//! The boundary: where a plugin's calls arrive, and the only place where raw pointers become values.
//!
//! One file for each table. Every function of every table goes through one funnel, [`enter`]: it finds the scope
//! of the context, checks the grant, counts, catches panics, and turns the error into a status whose text
//! [`thread`] keeps for `last_error`. [`Core`] is what a host hands to it, [`PluginRecord`] what it knows of one plugin.
//!
//! Knows `abi`, `identity`, `lanes` and `services`. Plugins are known to it by record and by handler only; how they are
//! loaded is `plugin`'s business, which gives it a [`Router`] for calls between plugins.

mod answers;
mod budget;
mod cache;
mod callback;
mod coarse;
mod config;
mod database;
mod durable;
mod events;
mod files;
mod host;
mod idempotency;
mod input;
mod log;
mod meter;
mod metrics;
mod pages;
mod scheduler;
mod sink;
mod sqlite;
mod storage;
#[cfg(test)]
mod tests;
mod thread;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use pintle_abi::*;

pub(crate) use answers::expect;
#[cfg(test)]
pub(crate) use budget::Excess;
pub use budget::SuspensionReason;
pub(crate) use budget::{Limits, Overrun, Trip, Watch, span};
pub(crate) use coarse::Moment;
pub(crate) use host::TABLE;
pub(crate) use input::text;
pub(crate) use meter::Meter;
pub(crate) use metrics::{HandlerKind, Handling, PluginMetrics};
pub(crate) use pages::Pages;
pub(crate) use sink::reply_sink;
pub(crate) use sqlite::Borrowing;
use thread::Counts;
pub(crate) use thread::forget;

use crate::{
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Grants, Method, Phase, RecordKey, Scope, Seat, Service, Tenant, Tenants, look_up},
    lanes::{Caller, Lane, Outcome, Pool, Register, panic_text},
    services::{
        cache::Cache,
        clock::Alarm,
        config::PluginConfig,
        database::Database,
        events::{Durable, Events},
        files::{Files, Resources},
        idempotency::Idempotency,
        log::{Field, Gate, Level, Log},
        scheduler::Scheduler,
        storage::{Quotas, Storage},
    },
};

/// The engines and the workers of one host. Never freed, since a bare context can arrive at any time; what is heavy in it is
/// emptied when the host stops.
pub(crate) struct Core {
    pub(crate) pool: Arc<Pool>,
    pub(crate) tenants: Tenants,
    pub(crate) log: Arc<Log>,
    pub(crate) events: Arc<Events>,
    pub(crate) durable: Durable,
    /// Rung when a batch has left events in the outbox.
    pub(crate) outbox: Arc<Alarm>,
    pub(crate) cache: Cache,
    pub(crate) storage: Storage,
    pub(crate) idempotency: Idempotency,
    pub(crate) files: Files,
    pub(crate) database: Database,
    pub(crate) scheduler: Arc<Scheduler>,
    /// Calls between plugins; set once by `host.rs`.
    pub(crate) router: OnceLock<Arc<dyn Router>>,
    /// Libraries that stay mapped although they were closed.
    pub(crate) kept: AtomicU64,
    /// What deadlines in scopes count from.
    pub(crate) epoch: Instant,
    /// How long a call waits where the caller does not say.
    pub(crate) call_timeout: Duration,
}

impl Core {
    /// Keeps it for as long as the process lives.
    pub(crate) fn keep(self) -> &'static Self {
        // Reachable for ever, so that leak checkers see what it is.
        static ALL: Mutex<Vec<&'static Core>> = Mutex::new(Vec::new());
        let kept: &'static Self = Box::leak(Box::new(self));
        ALL.lock().push(kept);
        kept
    }

    /// Says in the log that something failed, of which nobody else is told.
    pub(crate) fn report_failure(&self, error: &Error, about: &str) {
        self.log.host(Level::Warn, &error.to_string(), [Field::text("about", about)]);
    }

    /// Says in the log what became of a library whose generation is over.
    pub(crate) fn report_closed(&self, plugin: &str, generation: u64, kept: bool, wanted: bool) {
        let fields = [Field::text("of", plugin), Field::unsigned("generation", generation)];
        match (kept, wanted) {
            (false, _) => self.log.host(Level::Debug, "a library was closed and is gone from memory", fields),
            (true, true) => {
                self.log.host(Level::Debug, "a library stays mapped, as its manifest asks", fields)
            }
            (true, false) => {
                self.kept.fetch_add(1, Relaxed);
                self.log.host(
                    Level::Warn,
                    "a library was closed and stays mapped: something in the process holds it",
                    fields,
                );
            }
        }
    }

    /// A deadline in milliseconds of the host's monotonic clock: rounded up, so that nobody is told that a caller has
    /// given up who has not.
    pub(crate) fn moment(&self, deadline: Instant) -> i64 {
        deadline.saturating_duration_since(self.epoch).as_millis() as i64 + 1
    }

    /// Milliseconds of the host's monotonic clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.epoch.elapsed().as_millis() as i64
    }
}

/// What a host knows of one version of one plugin, over all of its generations. Never freed, like `Core`.
pub(crate) struct PluginRecord {
    pub(crate) core: &'static Core,
    pub(crate) id: Arc<str>,
    /// Whose subscriptions and jobs they are, as the engines know it.
    pub(crate) number: u64,
    /// The CloudEvents source of its events.
    pub(crate) source: Arc<str>,
    /// The level that its log records must have.
    pub(crate) gate: Arc<Gate>,
    /// None unless the operator has set a quota of calls.
    meter: Option<Meter>,
    lane: RwLock<Arc<Lane>>,
    /// How much it may keep in the storage.
    quotas: RwLock<Quotas>,
    /// The most bytes that its database may have for each tenant; 0: what the settings say for all.
    database_bytes: AtomicU64,
    /// One, or two during a reload.
    live: RwLock<Vec<LiveGeneration>>,
    /// What is counted of the plugin; all of its versions have the same.
    pub(crate) metrics: Arc<PluginMetrics>,
}

/// What calls of a generation need beside the record.
struct LiveGeneration {
    register: Arc<Register>,
    config: Arc<PluginConfig>,
    files: Arc<OwnFiles>,
}

/// What a generation may keep in files, and what it brings along as such.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    pub(crate) quotas: Quotas,
    pub(crate) resources: Resources,
}

impl PluginRecord {
    /// Makes a record, for as long as the process lives.
    pub(crate) fn keep(
        core: &'static Core,
        id: &Arc<str>,
        version: &str,
        number: u64,
        lane: Arc<Lane>,
        meter: Option<Meter>,
        metrics: Arc<PluginMetrics>,
    ) -> &'static Self {
        // Reachable for ever, so that leak checkers see what it is.
        static ALL: Mutex<Vec<&'static PluginRecord>> = Mutex::new(Vec::new());
        let kept: &'static Self = Box::leak(Box::new(Self {
            core,
            id: id.clone(),
            number,
            source: format!("/plugins/{id}").into(),
            gate: core.log.gate(id, version),
            meter,
            lane: RwLock::new(lane),
            quotas: RwLock::default(),
            database_bytes: AtomicU64::new(0),
            live: RwLock::default(),
            metrics,
        }));
        ALL.lock().push(kept);
        kept
    }

    pub(crate) fn key(&'static self) -> RecordKey {
        RecordKey::of(self)
    }

    pub(crate) fn lane(&self) -> Arc<Lane> {
        self.lane.read().clone()
    }

    /// Between generations a plugin may get another lane, if it asks for another concurrency.
    pub(crate) fn set_lane(&self, lane: Arc<Lane>) {
        *self.lane.write() = lane;
    }

    pub(crate) fn quotas(&self) -> Quotas {
        *self.quotas.read()
    }

    /// The same version may come again with another manifest.
    pub(crate) fn set_quotas(&self, quotas: Quotas, database_bytes: Option<u64>) {
        *self.quotas.write() = quotas;
        self.database_bytes.store(database_bytes.unwrap_or(0), Relaxed);
    }

    /// The most bytes that its database may have for each tenant; none: what the settings say for all.
    pub(crate) fn database_bytes(&self) -> Option<u64> {
        Some(self.database_bytes.load(Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// A generation begins: its calls find what they need.
    pub(crate) fn begin(&self, register: Arc<Register>, config: Arc<PluginConfig>, files: Arc<OwnFiles>) {
        self.live.write().push(LiveGeneration { register, config, files });
    }

    /// A generation is over.
    pub(crate) fn end(&self, generation: u64) {
        self.live.write().retain(|live| live.register.generation() != generation);
    }

    pub(crate) fn register(&self, generation: u64) -> Option<Arc<Register>> {
        let live = self.live.read();
        live.iter().map(|live| &live.register).find(|register| register.generation() == generation).cloned()
    }

    pub(crate) fn config(&self, generation: u64) -> Option<Arc<PluginConfig>> {
        let live = self.live.read();
        live.iter().find(|live| live.register.generation() == generation).map(|live| live.config.clone())
    }

    pub(crate) fn files(&self, generation: u64) -> Option<Arc<OwnFiles>> {
        let live = self.live.read();
        live.iter().find(|live| live.register.generation() == generation).map(|live| live.files.clone())
    }

    /// A handler is about to run on behalf of `tenant`.
    pub(crate) fn handling(&self, kind: HandlerKind, tenant: &Tenant) -> Handling<'_> {
        self.metrics.begin(kind, tenant, &self.core.tenants)
    }
}

/// Calls by message, as the boundary sees them.
pub(crate) trait Router: Send + Sync {
    /// Calls a method of a service and waits for its reply.
    fn call(&self, message: Message<'_>) -> Result<Vec<u8>>;
}

/// A call by message.
pub(crate) struct Message<'a> {
    /// A plugin's id, or `application`.
    pub(crate) caller: &'a str,
    /// The calling generation; none: the application.
    pub(crate) from: Option<Caller>,
    pub(crate) tenant: Tenant,
    pub(crate) depth: u16,
    pub(crate) service: &'a str,
    pub(crate) major: u32,
    pub(crate) method: &'a str,
    pub(crate) data: Vec<u8>,
    pub(crate) deadline: Instant,
}

/// One call of a plugin, as the functions of the tables see it.
pub(crate) struct Call {
    pub(crate) ctx: PintleCtx,
    pub(crate) scope: Scope,
    pub(crate) record: &'static PluginRecord,
    counts: &'static Counts,
}

impl Call {
    /// Counts the bytes of a value that is taken or given.
    #[inline]
    pub(crate) fn count_bytes(&self, service: Service, bytes: usize) {
        self.counts.bytes(self.scope.account, service, bytes);
    }

    /// Counts an item of the cache that was asked for: whether it was there, or a note that there is nothing.
    #[inline]
    pub(crate) fn count_read(&self, hit: bool) {
        self.counts.read(self.scope.account, hit);
    }

    pub(crate) fn core(&self) -> &'static Core {
        self.record.core
    }

    pub(crate) fn grants(&self) -> &'static Grants {
        self.scope.grants
    }

    /// The tenant on whose behalf the call is made. Lives as long as the context, which holds it.
    pub(crate) fn tenant(&self) -> Result<Tenant> {
        self.core().tenants.numbered(self.scope.tenant).ok_or_else(stale)
    }

    /// Whose data the call is about.
    #[inline]
    pub(crate) fn data_scope(&self) -> DataScope<'_> {
        let PluginRecord { number, ref id, core, .. } = *self.record;
        DataScope::new(number, id, self.scope.tenant, &core.tenants)
    }

    /// The register of the calling generation.
    pub(crate) fn register(&self) -> Result<Arc<Register>> {
        self.record.register(self.scope.generation).ok_or_else(stale)
    }

    /// The resources of the calling generation, and how much it may keep in files.
    pub(crate) fn own_files(&self) -> Result<Arc<OwnFiles>> {
        self.record.files(self.scope.generation).ok_or_else(stale)
    }

    /// UNAVAILABLE in `load` and `restore`, where a plugin prepares but does not act.
    pub(crate) fn must_act(&self) -> Result<()> {
        if Seat::phase(self.scope.seat) == Phase::Preparing {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "a plugin does not act in `load` and `restore`: emit and write from `enable` on",
            ));
        }
        Ok(())
    }

    /// Until when a call may wait for others that asks for `timeout_ms`, which was checked: as long as the host's
    /// settings say if that is 0, and never longer than its own caller waits. STOPPING, CANCELLED: it may not wait.
    pub(crate) fn may_wait(&self, timeout_ms: i64) -> Result<Instant> {
        if Seat::phase(self.scope.seat) == Phase::Stopping {
            return Err(Error::new(
                ErrorKind::Stopping,
                "the plugin is being disabled: it waits for nobody any more",
            ));
        }
        let remaining = self.remaining();
        if remaining == 0 {
            return Err(given_up());
        }
        let wanted = match timeout_ms {
            0 => self.core().call_timeout,
            wanted => Duration::from_millis(wanted as u64),
        };
        Ok(Instant::now() + wanted.min(Duration::from_millis(remaining as u64)))
    }

    /// How long the caller of the running function still waits, in milliseconds.
    pub(crate) fn remaining(&self) -> i64 {
        match self.scope.deadline {
            i64::MAX => PINTLE_FOREVER,
            deadline => until(self.core(), deadline),
        }
    }
}

/// Reads the clock: not in line, so that a context without a deadline does not pay for it.
#[inline(never)]
fn until(core: &Core, deadline: i64) -> i64 {
    (deadline - core.now_ms()).max(0)
}

/// The way into the host: everything that all functions of all tables have in common.
#[inline(always)]
pub(crate) fn enter(ctx: PintleCtx, method: Method, body: impl FnOnce(&Call) -> Result<()>) -> PintleStatus {
    let Some(counts) = Counts::outside_sink() else {
        return in_sink(ctx);
    };
    enter_counted(ctx, method, counts, body)
}

/// `enter` for the functions that may also be called from inside a sink.
pub(crate) fn enter_from_anywhere(
    ctx: PintleCtx,
    method: Method,
    body: impl FnOnce(&Call) -> Result<()>,
) -> PintleStatus {
    enter_counted(ctx, method, Counts::here(), body)
}

#[inline(always)]
fn enter_counted(
    ctx: PintleCtx,
    method: Method,
    counts: &'static Counts,
    body: impl FnOnce(&Call) -> Result<()>,
) -> PintleStatus {
    let Some(scope) = look_up(ctx) else {
        return unknown(ctx);
    };
    let before = counts.call(scope.account, method.service());
    if metrics::is_timed(method) && before.is_multiple_of(metrics::SAMPLE) {
        return enter_timed(ctx, method, counts, body);
    }
    enter_scope(ctx, scope, method, counts, body)
}

/// A call that is timed. Looks its context up again: with the scope's address known to nobody a call that is not timed
/// keeps it in registers.
#[cold]
#[inline(never)]
fn enter_timed(
    ctx: PintleCtx,
    method: Method,
    counts: &'static Counts,
    body: impl FnOnce(&Call) -> Result<()>,
) -> PintleStatus {
    let Some(scope) = look_up(ctx) else {
        return unknown(ctx);
    };
    let (key, service) = (scope.record, method.service());
    let begun = Instant::now();
    let status = enter_scope(ctx, scope, method, counts, body);
    let ns = begun.elapsed().as_nanos() as u64;
    // SAFETY: the keys of all scopes are made by `PluginRecord::key`, from records that are never freed.
    let record: &'static PluginRecord = unsafe { &*key.as_ptr() };
    record.metrics.time(service, ns);
    status
}

#[inline(always)]
fn enter_scope(
    ctx: PintleCtx,
    scope: Scope,
    method: Method,
    counts: &'static Counts,
    body: impl FnOnce(&Call) -> Result<()>,
) -> PintleStatus {
    if !scope.grants.allows_at_once(method)
        && let Err(error) = admit(scope.record, scope.grants, scope.tenant, method)
    {
        return failed(ctx, method.service(), scope.account, error);
    }
    // SAFETY: the keys of all scopes are made by `PluginRecord::key`, from records that are never freed.
    let record: &'static PluginRecord = unsafe { &*scope.record.as_ptr() };
    let account = scope.account;
    let call = Call { ctx, scope, record, counts };
    // The rare ways out take values, not the call: with its address known to nobody a short body keeps it in registers,
    // and is twice as fast.
    // Neither the body nor its error goes through `catch_unwind` by value: to copy what was written a moment ago in
    // smaller pieces costs as much as a short body.
    let mut body = Some(body);
    let run = || match body.take().map(|body| body(&call)) {
        Some(Err(error)) => failed(ctx, method.service(), account, error),
        Some(Ok(())) | None => PINTLE_OK,
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(status) => status,
        Err(panic) => panicked(ctx, method.service(), account, panic),
    }
}

#[cold]
#[inline(never)]
fn unknown(ctx: PintleCtx) -> PintleStatus {
    fail(ctx, stale())
}

#[cold]
#[inline(never)]
fn in_sink(ctx: PintleCtx) -> PintleStatus {
    fail(
        ctx,
        Error::new(
            ErrorKind::Reentrant,
            "the host was called from inside a sink's `write`: take the bytes there and call when the function has returned",
        ),
    )
}

/// Looks closer at a call that the grants do not let through at once: it is not granted, or it is metered.
#[cold]
#[inline(never)]
fn admit(record: RecordKey, grants: &'static Grants, tenant: u64, method: Method) -> Result<()> {
    if !grants.allows(method) {
        return Err(not_granted(grants, method));
    }
    // SAFETY: the keys of all scopes are made by `PluginRecord::key`, from records that are never freed.
    let record: &'static PluginRecord = unsafe { &*record.as_ptr() };
    match &record.meter {
        Some(meter) => meter.take(tenant, record.core.epoch.elapsed()),
        None => Ok(()),
    }
}

fn not_granted(grants: &'static Grants, method: Method) -> Error {
    Error::lazy(ErrorKind::Denied, move || {
        let (service, name) = method.asked_for().unwrap_or_default();
        format!(
            "it may not call {service}.{name}: add \"{service}\": {{}} to \"services\" in its manifest, or, if it is there, \"{name}\" to the methods that the manifest and the host's settings list"
        )
    })
    .of(grants.plugin())
}

#[cold]
#[inline(never)]
fn failed(ctx: PintleCtx, service: Service, account: u16, error: Error) -> PintleStatus {
    // "It is not there" is an answer: whoever looks at the counts of a plugin looks for trouble.
    if error.kind() != ErrorKind::NotFound {
        Counts::here().failure(account, service);
    }
    fail(ctx, error)
}

#[cold]
#[inline(never)]
fn panicked(
    ctx: PintleCtx,
    service: Service,
    account: u16,
    panic: Box<dyn std::any::Any + Send>,
) -> PintleStatus {
    let text = format!("the host panicked: {}: please report it", panic_text(&*panic));
    failed(ctx, service, account, Error::new(ErrorKind::Panic, text))
}

#[cold]
fn fail(ctx: PintleCtx, error: Error) -> PintleStatus {
    let status = status_of(error.kind());
    thread::remember(ctx, error);
    status
}

/// The context or handle is over, another's, or never was.
#[cold]
#[inline(never)]
pub(crate) fn stale() -> Error {
    Error::new(
        ErrorKind::StaleHandle,
        "the context or handle is not valid: its call has ended, its generation is gone, or it was never given out; use `hold` for work that outlives its handler",
    )
}

/// The caller of the running function waits no longer.
pub(crate) fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "the caller of this function has given up: nobody waits for its answer")
}

/// The status of a kind of failure.
pub(crate) fn status_of(kind: ErrorKind) -> PintleStatus {
    match kind {
        ErrorKind::NotFound => PINTLE_NOT_FOUND,
        ErrorKind::InvalidArgument => PINTLE_INVALID_ARGUMENT,
        ErrorKind::Denied => PINTLE_DENIED,
        ErrorKind::StaleHandle => PINTLE_STALE_HANDLE,
        ErrorKind::BufferTooSmall => PINTLE_BUFFER_TOO_SMALL,
        ErrorKind::Conflict => PINTLE_CONFLICT,
        ErrorKind::WrongType => PINTLE_WRONG_TYPE,
        ErrorKind::OutOfRange => PINTLE_OUT_OF_RANGE,
        ErrorKind::TooLarge => PINTLE_TOO_LARGE,
        ErrorKind::Quota => PINTLE_QUOTA,
        ErrorKind::Timeout => PINTLE_TIMEOUT,
        ErrorKind::Cancelled => PINTLE_CANCELLED,
        ErrorKind::Busy => PINTLE_BUSY,
        ErrorKind::Unavailable => PINTLE_UNAVAILABLE,
        ErrorKind::Unsupported => PINTLE_UNSUPPORTED,
        ErrorKind::Stopping => PINTLE_STOPPING,
        ErrorKind::Reentrant => PINTLE_REENTRANT,
        ErrorKind::Internal => PINTLE_INTERNAL,
        ErrorKind::Panic => PINTLE_PANIC,
    }
}

/// The kind of failure of a status that a plugin answered; OK has none, what is unknown counts as INTERNAL.
pub(crate) fn kind_of(status: PintleStatus) -> Option<ErrorKind> {
    const KINDS: [ErrorKind; 19] = [
        ErrorKind::NotFound,
        ErrorKind::InvalidArgument,
        ErrorKind::Denied,
        ErrorKind::StaleHandle,
        ErrorKind::BufferTooSmall,
        ErrorKind::Conflict,
        ErrorKind::WrongType,
        ErrorKind::OutOfRange,
        ErrorKind::TooLarge,
        ErrorKind::Quota,
        ErrorKind::Timeout,
        ErrorKind::Cancelled,
        ErrorKind::Busy,
        ErrorKind::Unavailable,
        ErrorKind::Unsupported,
        ErrorKind::Stopping,
        ErrorKind::Reentrant,
        ErrorKind::Internal,
        ErrorKind::Panic,
    ];
    if status == PINTLE_OK {
        return None;
    }
    let known = KINDS.into_iter().find(|kind| status_of(*kind) == status);
    Some(known.unwrap_or(ErrorKind::Internal))
}

/// What a plugin's function answered, as a result: its reply, or its status with the text of `set_error`. Where it gave
/// none, the host's own text serves, if a host call under the same context failed the same way: plugins pass such a
/// status on.
pub(crate) fn answered(
    ctx: PintleCtx,
    status: PintleStatus,
    outcome: Outcome,
    what: impl fmt::Display,
) -> Result<Vec<u8>> {
    let Some(kind) = kind_of(status) else {
        if outcome.overflowed {
            return Err(Error::new(ErrorKind::TooLarge, format!("{what} answered more than 1 MiB")));
        }
        return Ok(outcome.reply);
    };
    if let Some(text) = outcome.error {
        return Err(Error::new(kind, text));
    }
    if status_of(kind) != status {
        return Err(Error::new(
            kind,
            format!("{what} answered {status}, which is no status of this contract"),
        ));
    }
    let text = match thread::last_failure(ctx).filter(|failure| failure.kind() == kind) {
        Some(failure) => format!("{what} failed: {failure}"),
        None => {
            format!("{what} failed ({}) and did not say why: set_error gives a failure a text", kind.name())
        }
    };
    Err(Error::new(kind, text))
}
