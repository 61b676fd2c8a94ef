//! The inside of a test host: everything that it keeps, the contexts that lead there, and the one way in that every
//! function of its tables takes.
//!
//! The functions get nothing but a context, so its upper half is the number of its host. Hosts are found in one list and
//! share nothing else: tests that run at the same time do not meet.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use pintle_abi::{
    PintleCtx, PintleEventHandler, PintleJobHandler, PintlePlugin, PintleRelease, PintleStatus,
    PintleWatchHandler,
};
use serde_json::Value;

use super::{
    Emitted, LogRecord, Scheduled, cache, durable, files, filter::Filter, idempotency, jobs,
    manifest::Manifest, storage,
};
use crate::{Error, Level, Result, Status};

/// Noon of the first day of 2026, UTC: times in tests are the same every time.
const START_MS: i64 = 1_767_268_800_000;

/// How many subscriptions, jobs, watches, held contexts and loggers a plugin may have, of each.
const MOST_REGISTRATIONS: usize = 1_024;

/// Hosts by number.
static HOSTS: Mutex<(u64, BTreeMap<u64, Arc<Inside>>)> = Mutex::new((0, BTreeMap::new()));

thread_local! {
    /// Is this thread inside of a sink?
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
    /// The last failures of this thread, by context, the newest last.
    static FAILURES: RefCell<Vec<(PintleCtx, String)>> = const { RefCell::new(Vec::new()) };
}

/// As many failures as a thread remembers.
const FAILURES_KEPT: usize = 16;

/// The tenant; `None` in the system scope.
pub(super) type Tenant = Option<Arc<str>>;

/// Answers for a service: `(method, request)`.
pub(super) type Provider = Arc<dyn Fn(&str, &[u8]) -> Result<Vec<u8>> + Send + Sync>;
/// Takes events of a subscription that somebody else than the plugin has.
pub(super) type Listener = Arc<dyn Fn(&Emitted) -> Result<Vec<u8>> + Send + Sync>;

/// One test host.
pub(super) struct Inside {
    number: u64,
    state: Mutex<State>,
    /// Who runs code of the plugin: one thread at a time, as on a lane.
    lane: Mutex<Option<ThreadId>>,
    lane_is_free: Condvar,
}

/// What a test host keeps. Its lock is never held while code of the plugin or of the test runs.
pub(super) struct State {
    pub(super) now_ms: i64,
    pub(super) config: Value,
    pub(super) manifest: Arc<Manifest>,
    pub(super) level: Level,
    pub(super) phases: HashMap<u64, Phase>,
    pub(super) loaded: Option<Loaded>,
    pub(super) contexts: HashMap<PintleCtx, Entry>,
    pub(super) replies: HashMap<u64, Reply>,
    pub(super) registrations: BTreeMap<u64, Registration>,
    pub(super) releases: Vec<(usize, PintleRelease)>,
    pub(super) loggers: HashMap<u64, (u64, Vec<(String, Value)>)>,
    pub(super) cache: cache::Kept,
    pub(super) operations: BTreeMap<idempotency::Place, idempotency::Operation>,
    pub(super) storage: storage::Kept,
    #[cfg(feature = "test-sql")]
    pub(super) databases: super::database::Kept,
    pub(super) files: BTreeMap<(Tenant, String), files::Kept>,
    pub(super) file_version: u64,
    pub(super) resources: HashMap<String, Vec<u8>>,
    pub(super) emitted: Vec<Emitted>,
    pub(super) log: durable::Log,
    pub(super) scheduled: Vec<Scheduled>,
    pub(super) jobs: jobs::Jobs,
    /// What the plugin emitted, with the subscriptions of its own that get it.
    pub(super) inbox: VecDeque<(Emitted, Vec<u64>)>,
    pub(super) logs: Vec<LogRecord>,
    pub(super) providers: HashMap<(String, u32), Provider>,
    pub(super) listeners: Vec<(String, String, Listener)>,
    pub(super) failing: HashMap<String, (Status, String)>,
    pub(super) panic: Option<Box<dyn Any + Send>>,
    next: u64,
}

/// Where a generation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before `enable`: registers, but does not act.
    Preparing,
    /// From the start of `enable` on.
    Live,
    /// From the start of `disable` on: flushes, but neither registers nor waits.
    Stopping,
}

/// A loaded plugin.
#[derive(Clone, Copy)]
pub(super) struct Loaded {
    pub(super) plugin: &'static PintlePlugin,
    /// Its `state`, only ever passed back to it.
    pub(super) state: usize,
    pub(super) own: PintleCtx,
    pub(super) generation: u64,
    pub(super) enabled: bool,
}

// SAFETY: what is described is static and never changed.
unsafe impl Send for Loaded {}

/// What a context stands for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// 0 for the test's own, which may do everything, at any time.
    pub(super) generation: u64,
    pub(super) tenant: Tenant,
    pub(super) depth: u32,
    /// By the host's clock; `None`: nobody waits.
    pub(super) deadline_ms: Option<i64>,
    /// A function of the plugin runs under it.
    pub(super) running: bool,
    pub(super) error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The plugin's own.
    Own,
    /// Of one call.
    Call,
    /// From `hold`.
    Held,
}

/// What a function of the plugin has answered so far.
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) limit: usize,
    /// Something did not fit: the function has failed, whatever it answers.
    pub(super) overflowed: bool,
}

/// A subscription, a job or a watch.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) generation: u64,
    pub(super) tenant: Tenant,
    pub(super) name: String,
    pub(super) what: What,
    pub(super) user: usize,
    pub(super) release: PintleRelease,
    /// Made since `enable`, so that `disable` drops it.
    pub(super) since_enable: bool,
}

#[derive(Clone)]
pub(super) enum What {
    Subscription {
        pattern: String,
        handler: PintleEventHandler,
        filter: Option<Filter>,
        priority: i32,
        durable: Option<durable::Durable>,
    },
    /// The rest of it is in [`State::jobs`].
    Job { handler: PintleJobHandler, durable: bool },
    /// For durable jobs that have none of their own; its name is the pattern.
    JobHandler { handler: PintleJobHandler },
    /// Its name is the prefix.
    Watch { handler: PintleWatchHandler, told: storage::Told },
}

impl Inside {
    pub(super) fn new() -> Arc<Self> {
        let mut hosts = lock(&HOSTS);
        hosts.0 += 1;
        let inside = Arc::new(Self {
            number: hosts.0,
            state: Mutex::new(State {
                now_ms: START_MS,
                config: Value::Object(serde_json::Map::new()),
                manifest: Arc::default(),
                level: Level::Trace,
                phases: HashMap::new(),
                loaded: None,
                contexts: HashMap::new(),
                replies: HashMap::new(),
                registrations: BTreeMap::new(),
                releases: Vec::new(),
                loggers: HashMap::new(),
                cache: cache::Kept::default(),
                storage: storage::Kept::default(),
                #[cfg(feature = "test-sql")]
                databases: super::database::Kept::default(),
                operations: BTreeMap::new(),
                files: BTreeMap::new(),
                file_version: 0,
                resources: HashMap::new(),
                emitted: Vec::new(),
                log: durable::Log::default(),
                scheduled: Vec::new(),
                jobs: jobs::Jobs::default(),
                inbox: VecDeque::new(),
                logs: Vec::new(),
                providers: HashMap::new(),
                listeners: Vec::new(),
                failing: HashMap::new(),
                panic: None,
                next: 0,
            }),
            lane: Mutex::new(None),
            lane_is_free: Condvar::new(),
        });
        hosts.1.insert(inside.number, Arc::clone(&inside));
        inside
    }

    /// From now on all contexts of this host are stale.
    pub(super) fn forget(&self) {
        lock(&HOSTS).1.remove(&self.number);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A number that this process has not given before; as a context it leads here.
    pub(super) fn fresh(&self, state: &mut State) -> u64 {
        state.next += 1;
        self.number << 32 | state.next
    }

    pub(super) fn open(&self, entry: Entry) -> PintleCtx {
        let mut state = self.state();
        let ctx = self.fresh(&mut state);
        state.contexts.insert(ctx, entry);
        ctx
    }

    pub(super) fn close(&self, ctx: PintleCtx) -> Option<Entry> {
        let mut state = self.state();
        state.end_transactions(ctx);
        state.contexts.remove(&ctx)
    }

    /// Takes the lane until the guard is dropped; REENTRANT where this thread has it already.
    pub(super) fn lane(&self) -> Result<Lane<'_>> {
        let me = thread::current().id();
        let mut owner = lock(&self.lane);
        while let Some(other) = *owner {
            if other == me {
                return Err(Error::new(
                    Status::Reentrant,
                    "the plugin is at work on this very thread, and does one thing at a time",
                ));
            }
            owner = self.lane_is_free.wait(owner).unwrap_or_else(PoisonError::into_inner);
        }
        *owner = Some(me);
        Ok(Lane(self))
    }

    /// Runs code of the test that plays another plugin. A panic in it must not cross the plugin's C frames: it is kept, and
    /// goes on in the test.
    pub(super) fn play(&self, run: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
            self.state().panic.get_or_insert(payload);
            Err(Error::new(Status::Panic, "the other plugin, which the test plays, panicked"))
        })
    }
}

/// The right to run code of the plugin.
pub(super) struct Lane<'a>(&'a Inside);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        *lock(&self.0.lane) = None;
        self.0.lane_is_free.notify_one();
    }
}

impl State {
    /// Rolls back what was begun under a context and is still open.
    pub(super) fn end_transactions(&mut self, ctx: PintleCtx) {
        #[cfg(feature = "test-sql")]
        self.databases.end_of(ctx);
        #[cfg(not(feature = "test-sql"))]
        let _ = ctx;
    }

    /// Room for one more registration of this kind; none: for one more held context?
    pub(super) fn must_have_room(&self, generation: u64, kind: Option<&What>) -> Result<()> {
        let there = match kind {
            Some(kind) => {
                let same = |one: &What| mem::discriminant(one) == mem::discriminant(kind);
                let all = self.registrations.values();
                all.filter(|one| one.generation == generation && same(&one.what)).count()
            }
            None => {
                let held = |entry: &&Entry| entry.kind == Kind::Held && entry.generation == generation;
                self.contexts.values().filter(held).count()
            }
        };
        must_be_few(there)
    }

    /// Room for one more logger?
    pub(super) fn must_have_room_to_log(&self, generation: u64) -> Result<()> {
        must_be_few(self.loggers.values().filter(|(of, _)| *of == generation).count())
    }

    /// The host's own record of a handler or a job that failed.
    pub(super) fn report(&mut self, what: &str, name: &str, tenant: Option<String>, error: &Error) {
        let fields = vec![
            ("name".to_owned(), name.into()),
            ("status".to_owned(), format!("{:?}", error.status()).into()),
            ("error".to_owned(), error.message().into()),
        ];
        self.logs.push(LogRecord { level: Level::Error, message: what.to_owned(), fields, tenant });
    }

    /// Ends a registration; its `release` is called when the plugin is next left.
    pub(super) fn end_registration(&mut self, handle: u64) {
        if let Some(registration) = self.registrations.remove(&handle) {
            self.log.leave(handle, self.now_ms);
            self.jobs.leave(handle);
            self.releases.push((registration.user, registration.release));
        }
    }
}

fn must_be_few(there: usize) -> Result<()> {
    if there < MOST_REGISTRATIONS {
        return Ok(());
    }
    let text = format!(
        "a plugin has at most {MOST_REGISTRATIONS} subscriptions, as many jobs, watches, held contexts and loggers"
    );
    Err(Error::new(Status::Quota, text))
}

/// A test that panicked while it held a lock leaves a state that is as good as any other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call of the plugin, past the checks that all functions have in common.
pub(super) struct Call {
    #[cfg_attr(
        not(feature = "test-sql"),
        expect(dead_code, reason = "only a transaction belongs to a context")
    )]
    pub(super) ctx: PintleCtx,
    pub(super) inside: Arc<Inside>,
    pub(super) entry: Entry,
    pub(super) manifest: Arc<Manifest>,
}

impl Call {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.inside.state()
    }

    fn phase(&self) -> Option<Phase> {
        if self.of_test() {
            Some(Phase::Live)
        } else {
            self.state().phases.get(&self.entry.generation).copied()
        }
    }

    pub(super) fn of_test(&self) -> bool {
        self.entry.generation == 0
    }

    /// Asks the manifest, if this is the plugin's call.
    pub(super) fn must_grant(&self, ask: impl FnOnce(&Manifest) -> Result<()>) -> Result<()> {
        if self.of_test() { Ok(()) } else { ask(&self.manifest) }
    }

    /// Emits and durable writes are for plugins that are live.
    pub(super) fn must_act(&self) -> Result<()> {
        if self.phase() == Some(Phase::Preparing) {
            let text = "a plugin does not act in `load` and `restore`: emit and write from `enable` on";
            return Err(Error::new(Status::Unavailable, text));
        }
        Ok(())
    }

    /// Does what is registered now go with `disable`?
    pub(super) fn is_since_enable(&self, state: &State) -> bool {
        state.phases.get(&self.entry.generation) != Some(&Phase::Preparing)
    }

    /// New registrations and waits are not for plugins that are stopping.
    pub(super) fn must_not_stop(&self) -> Result<()> {
        if self.phase() == Some(Phase::Stopping) {
            let text = "the plugin is stopping: it can neither register nor wait any more";
            return Err(Error::new(Status::Stopping, text));
        }
        Ok(())
    }
}

/// The way into the host: no sink above, a live context, a granted function, and no failure that the test ordered.
pub(super) fn enter(
    ctx: PintleCtx,
    function: &'static str,
    run: impl FnOnce(&Call) -> Result<()>,
) -> PintleStatus {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if IN_SINK.get() && !matches!(function, "last_error" | "set_error") {
            return Err(Error::new(Status::Reentrant, "a sink called the host"));
        }
        run(&admit(ctx, function)?)
    }));
    match outcome {
        Ok(Ok(())) => pintle_abi::PINTLE_OK,
        Ok(Err(error)) => {
            remember(ctx, error.message());
            error.status().code()
        }
        Err(_) => {
            remember(ctx, "the test host panicked: please report it");
            pintle_abi::PINTLE_PANIC
        }
    }
}

fn admit(ctx: PintleCtx, function: &'static str) -> Result<Call> {
    let stale = || Error::new(Status::StaleHandle, "the context is over, or never was one");
    let inside = lock(&HOSTS).1.get(&(ctx >> 32)).cloned().ok_or_else(stale)?;
    let mut state = inside.state();
    let entry = state.contexts.get(&ctx).cloned().ok_or_else(stale)?;
    let manifest = Arc::clone(&state.manifest);
    if entry.generation != 0 {
        if let Some((status, message)) = state.failing.remove(function) {
            return Err(Error::new(status, message));
        }
        manifest.must_grant(function)?;
    }
    drop(state);
    Ok(Call { ctx, inside, entry, manifest })
}

fn remember(ctx: PintleCtx, message: &str) {
    FAILURES.with_borrow_mut(|failures| {
        failures.retain(|(of, _)| *of != ctx);
        if failures.len() == FAILURES_KEPT {
            failures.remove(0);
        }
        failures.push((ctx, message.to_owned()));
    });
}

/// Why this thread's last failed call with this context failed.
pub(super) fn remembered(ctx: PintleCtx) -> Option<String> {
    FAILURES.with_borrow(|failures| {
        failures.iter().find(|(of, _)| *of == ctx).map(|(_, message)| message.clone())
    })
}

/// The host that a reply's handle leads to.
pub(super) fn host_of(handle: u64) -> Option<Arc<Inside>> {
    lock(&HOSTS).1.get(&(handle >> 32)).cloned()
}

/// Runs a sink of the plugin: whatever it calls meanwhile is REENTRANT.
pub(super) fn in_sink<R>(run: impl FnOnce() -> R) -> R {
    let before = IN_SINK.replace(true);
    let outcome = run();
    IN_SINK.set(before);
    outcome
}
