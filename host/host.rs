//! `Host` and `HostBuilder`: the composition root, the only file that knows every part.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    application::{Application, OWNER, SubscribeOptions, Tap},
    boundary::{Core, Message, Moment, Router},
    control::{self, Control, HostMethods, Params, Refusal},
    error::{Error, ErrorKind, Result},
    folder::DataFolder,
    identity::Tenants,
    lanes::{Lane, Pool, PoolOptions, PoolStats, Report},
    metrics,
    plugin::{PluginInfo, Plugins, PluginsOptions, discover::Discovery, ownership::TrustPolicy},
    services::{
        cache::{Cache, Lifetime, Lifetimes, MemoryCache},
        clock::{Clock, SystemClock},
        events::{Draft, Emitted, Event, Events, HandlerResult, SubscriptionReport, Totals},
        ledger::{Durability, Ledger, LedgerOptions},
        log::{Field, Level, LevelList, Log, Options as LogOptions, Target},
        scheduler::{JobInfo, Scheduler},
        storage::{self, LedgerStorage, Storage},
    },
    settings::{CacheSettings, Deadlines, LogSettings, Settings, Synchronous},
    stats::{HostStats, Stats, WorkerStats},
};

/// How many plugins are unloaded at once when a host stops: as many as can hang, so that they use up nobody's time but
/// their own.
const STOPPERS: usize = 256;

/// The name of the ledger in the data folder.
const LEDGER_FILE: &str = "pintle.db";

/// How long a stop looks at least at what plugins keep.
const LEAST_LOOK: Duration = Duration::from_millis(50);

/// More than this cannot be added to every clock.
const A_YEAR: Duration = Duration::from_secs(366 * 86_400);

/// A host of plugins. Several can live in one process. All functions may be called from any thread.
///
/// Dropping it stops it.
pub struct Host {
    inner: Arc<Inner>,
    /// Whether this is the application's, with which the host ends; not that of a part of the host.
    owner: bool,
}

struct Inner {
    core: &'static Core,
    ledger: Arc<Ledger>,
    plugins: Arc<Plugins>,
    application: Application,
    /// Who listens in from outside: on a lane of its own, so that the application's handlers hold up none of it.
    listeners: Application,
    stop: Duration,
    call: Duration,
    data: Option<PathBuf>,
    started_ms: i64,
    /// Until the stop.
    control: Mutex<Option<Control>>,
    stopped: AtomicBool,
    /// Set when all else is there.
    metrics: OnceLock<metrics::Listener>,
    /// Given back last of all.
    folder: Mutex<Option<DataFolder>>,
}

/// Makes a [`Host`].
#[derive(Debug, Default)]
pub struct HostBuilder {
    settings: Settings,
    log: Option<LogOptions>,
}

/// What became of a start.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Started {
    /// The ids of the plugins that are enabled now.
    pub enabled: Vec<String>,
    /// Why others are not: each names its plugin.
    pub failed: Vec<Error>,
    /// Files that are no plugins, or none that can be used here, and why.
    pub skipped: Vec<(PathBuf, Error)>,
    /// What the operator should know.
    pub warnings: Vec<Error>,
}

/// What became of a stop.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// What did not end by the deadline: which plugin, in what, or which part of the host. Its thread is left behind, and
    /// so is what it uses: a plugin's library, the ledger's file.
    pub left: Vec<String>,
    /// What plugins answered that failed on the way.
    pub failed: Vec<Error>,
}

impl HostBuilder {
    /// Takes all settings at once, in place of what was set before.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds a folder that plugins are looked for in, after those that are there.
    #[must_use]
    pub fn plugins(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.plugins.push(folder.into());
        self
    }

    /// The folder for what lasts. One host at a time can have it. Without one the host keeps nothing.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.data = Some(folder.into());
        self
    }

    /// Where log records go and how they look; the settings' `[log]` section otherwise.
    #[must_use]
    pub fn log(mut self, options: LogOptions) -> Self {
        self.log = Some(options);
        self
    }

    /// Makes the host. It runs nothing yet.
    ///
    /// # Errors
    ///
    /// CONFLICT if another host has the data folder, naming its process, or another program the address for metrics;
    /// UNAVAILABLE if a folder, the log's file or that address cannot be used. INVALID_ARGUMENT: the address can be
    /// reached from other machines.
    pub fn build(self) -> Result<Host> {
        let Self { mut settings, log } = self;
        let Deadlines { load, handler, stop, call } = &mut settings.deadlines;
        for deadline in [load, handler, stop, call] {
            *deadline = (*deadline).min(A_YEAR);
        }
        let log_options = log.unwrap_or_else(|| log_options(&settings.log));
        let listen = settings.metrics.listen.map(metrics::Bound::new).transpose()?;
        let folder = match &settings.data {
            Some(path) => DataFolder::open(path)?,
            None => DataFolder::temporary()?,
        };
        let log = Arc::new(Log::new(log_options)?);
        for (id, plugin) in &settings.plugin {
            if let Some(level) = plugin.log {
                log.set_level(Some(id), level);
            }
        }
        let pool_options = PoolOptions::default();
        let pool_options =
            PoolOptions { workers: settings.workers.unwrap_or(pool_options.workers), ..pool_options };
        let clock = Arc::new(SystemClock::with_coarse(|| Moment::now().since_start()));
        let wall = clock.clone();
        let started_ms = clock.now_ms();
        let ledger = Arc::new(open_ledger(&folder, &settings, &clock, &log)?);
        let storage = LedgerStorage::new(ledger.clone());
        let report = Arc::new(LogReport { log: log.clone(), plugins: OnceLock::new() });
        let core: &'static Core = (Core {
            pool: Pool::new(pool_options, report.clone()),
            tenants: Tenants::new(),
            events: Arc::new(Events::new(move || wall.now_ms())),
            scheduler: Arc::new(Scheduler::new(clock.clone())),
            cache: Cache::new(
                Box::new(MemoryCache::new(settings.cache.capacity, clock.clone())),
                Lifetimes { items: default_lifetime(&settings.cache), absent: Lifetime::Ms(10_000) },
                clock.clone(),
            ),
            storage: Storage::new(Box::new(storage), settings.storage.max_value),
            log,
            router: OnceLock::new(),
            kept: AtomicU64::new(0),
            epoch: Instant::now(),
            call_timeout: settings.deadlines.call,
        })
        .keep();
        let options = PluginsOptions {
            folders: settings.plugins.clone(),
            trust: TrustPolicy { allow_foreign: settings.trust.allow_foreign, strict: settings.trust.strict },
            staging: folder.staging().to_owned(),
            load: settings.deadlines.load,
            handler: settings.deadlines.handler,
            stop: settings.deadlines.stop,
            lane_capacity: settings.queues.lane,
            tenants: settings.metrics.tenants,
            lasting: settings.data.is_some(),
            budgets: settings.budgets,
            plugins: settings.plugin.clone(),
        };
        let plugins = Plugins::new(core, options, clock);
        let _ = report.plugins.set(plugins.clone());
        let _ = core.router.set(plugins.clone());
        let application = Application::new(core, "application", settings.deadlines.handler);
        let inner = Inner {
            core,
            ledger,
            plugins,
            application,
            listeners: Application::new(core, "control", settings.deadlines.handler),
            stop: settings.deadlines.stop,
            call: settings.deadlines.call,
            data: settings.data.is_some().then(|| folder.path().to_owned()),
            started_ms,
            control: Mutex::default(),
            stopped: AtomicBool::new(false),
            metrics: OnceLock::new(),
            folder: Mutex::new(Some(folder)),
        };
        // What fails from here on stops the host, which closes the ledger before its folder is free for others.
        let host = Host { inner: Arc::new(inner), owner: true };
        host.inner.plugins.supervise()?;
        if let Some(listen) = listen {
            host.serve_metrics(listen)?;
        }
        if settings.control.enabled {
            host.serve_control();
        }
        Ok(host)
    }
}

impl Host {
    /// Begins to make a host.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Loads and enables every plugin in the folders that the settings do not disable. One that fails is reported,
    /// and the others go on.
    pub fn start(&self) -> Started {
        let Discovery { found, skipped, warnings } = self.inner.plugins.available();
        let skipped: Vec<_> = skipped.into_iter().map(|skipped| (skipped.path, skipped.error)).collect();
        let mut started = Started { skipped, warnings, ..Started::default() };
        for (path, error) in &started.skipped {
            let path = path.to_string_lossy();
            self.inner.core.log.host(Level::Warn, &error.to_string(), [Field::text("skipped", &path)]);
        }
        for warning in &started.warnings {
            self.inner.core.log.host(Level::Warn, &warning.to_string(), []);
        }
        let wanted: Vec<_> =
            found.iter().filter(|candidate| self.inner.plugins.is_wanted(&candidate.manifest.id)).collect();
        self.inner.plugins.start(&wanted, |candidate, outcome| match outcome {
            Ok(()) => started.enabled.push(candidate.manifest.id.clone()),
            Err(error) => {
                self.inner.core.log.host(Level::Error, &error.to_string(), []);
                started.failed.push(error);
            }
        });
        started
    }

    /// Publishes an event of the application on behalf of a tenant; empty: the system scope. Waits for nobody.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, TOO_LARGE: the event breaks a limit. DENIED: topics that start with `plugin.` or `pintle.` are
    /// not the application's. UNAVAILABLE: the host has stopped.
    pub fn emit(&self, tenant: &str, event: Draft) -> Result<Emitted> {
        self.emit_and_wait(tenant, event, Duration::ZERO)
    }

    /// Publishes an event like `emit`, and waits up to `wait` for room in the queues of subscriptions that ask
    /// publishers to wait.
    ///
    /// # Errors
    ///
    /// As `emit`.
    pub fn emit_and_wait(&self, tenant: &str, event: Draft, wait: Duration) -> Result<Emitted> {
        event.topic.check_application_topic()?;
        self.inner.core.events.emit(Draft { tenant: tenant.into(), ..event }, wait)
    }

    /// Publishes an event like `emit`, and waits for its handlers, which run at the same time as far as their plugins
    /// can: at most `timeout` for all of them together; none: as long as the settings say for calls. One result for
    /// each subscription that it was for, in the order in which they were made. What handlers answer is no error.
    ///
    /// # Errors
    ///
    /// As `emit`, and REENTRANT: called from a handler of the application that it would have to wait for, or of which
    /// it waits already. BUSY: too many calls wait inside the host. Then no handler was called.
    pub fn emit_sync(
        &self,
        tenant: &str,
        event: Draft,
        timeout: Option<Duration>,
    ) -> Result<Vec<HandlerResult>> {
        event.topic.check_application_topic()?;
        let deadline = later(timeout.unwrap_or(self.inner.call));
        self.inner.core.events.emit_sync(None, Draft { tenant: tenant.into(), ..event }, deadline)
    }

    /// Calls `handler` with every event whose topic matches `pattern`, of every tenant, one at a time and in order, on a
    /// thread of the host, until the host stops. Up to 1,024 events wait for it; then the oldest are dropped.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the pattern. CONFLICT: the application has subscribed to it already. STOPPING: the host has
    /// stopped.
    pub fn subscribe(&self, pattern: &str, handler: impl Fn(&Event) + Send + Sync + 'static) -> Result<()> {
        self.subscribe_with(pattern, SubscribeOptions::default(), handler)
    }

    /// Like `subscribe`, with a queue and a policy of one's own.
    ///
    /// # Errors
    ///
    /// As `subscribe`, and INVALID_ARGUMENT: the capacity.
    pub fn subscribe_with(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        handler: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<()> {
        self.subscribe_replying(pattern, options, move |event| {
            handler(event);
            Ok(Vec::new())
        })
    }

    /// Like `subscribe_with`, with a handler that can fail, and that replies to publishers that wait for it
    /// (`emit_sync`), at most 1 MiB. Where nobody waits its reply is dropped and its error is logged.
    ///
    /// # Errors
    ///
    /// As `subscribe_with`.
    pub fn subscribe_replying(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        handler: impl Fn(&Event) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.inner.application.subscribe(pattern, options, Box::new(handler))
    }

    /// Calls `handler` with events like `subscribe_with`, until the answer is dropped, and `missed` with how many more found
    /// no room, on the publisher's thread: it must not wait. For those who listen in from outside: neither do they hold up
    /// the application's handlers, nor those them, and publishers that wait for answers get none of them.
    pub(crate) fn tap(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        handler: impl Fn(&Event) + Send + Sync + 'static,
        missed: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Tap> {
        let handler = move |event: &Event| {
            handler(event);
            Ok(Vec::new())
        };
        self.inner.listeners.tap(pattern, options, Box::new(handler), Box::new(missed))
    }

    /// Carries out what can be asked for at the control socket, without a socket: `docs/control.md` has the methods.
    /// Not `tail`, which tells events on a connection.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED: there is no such method. INVALID_ARGUMENT: the params are no object, or not those of the method.
    /// Otherwise what the method answers.
    pub fn ask(&self, method: &str, params: serde_json::Value) -> Result<serde_json::Value> {
        if !params.is_object() {
            return Err(Error::argument("params", "is no object"));
        }
        control::answer(self, method, Params::written(&params.to_string()), None).map_err(|refusal| {
            match refusal {
                Refusal::UnknownMethod => {
                    Error::new(ErrorKind::Unsupported, format!("there is no method {method:?}"))
                }
                Refusal::Params(problem) => Error::new(ErrorKind::InvalidArgument, problem),
                Refusal::Failed(error) => error,
            }
        })
    }

    /// Calls a service of a plugin on behalf of a tenant (empty: the system scope) and waits for its reply, at most
    /// `timeout`; none: as long as the settings say.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: nobody provides the service in that major. UNSUPPORTED: the method. UNAVAILABLE: its plugin is not
    /// enabled, or stuck. BUSY: its queue is full. TIMEOUT. TOO_LARGE: above 1 MiB. INVALID_ARGUMENT: the tenant.
    /// Otherwise what the plugin answered.
    pub fn call(
        &self,
        tenant: &str,
        service: &str,
        major: u32,
        method: &str,
        request: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>> {
        if request.len() > 1 << 20 {
            let text = format!("the request has {} bytes, at most 1 MiB is taken", request.len());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        self.inner.plugins.call(Message {
            caller: "application",
            from: None,
            tenant: self.inner.core.tenants.named_by_application(tenant)?,
            depth: 0,
            service,
            major,
            method,
            data: request.to_vec(),
            deadline: later(timeout.unwrap_or(self.inner.call)),
        })
    }

    /// Looks through the plugin folders. Runs nothing of what it finds.
    #[must_use]
    pub fn available(&self) -> Discovery {
        self.inner.plugins.available()
    }

    /// What is known of each plugin that was loaded, or that was to be.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.plugins.infos()
    }

    /// What plugins have in the storage now, for all tenants, by id: items and bytes; those too that are not loaded.
    pub(crate) fn stored(&self) -> BTreeMap<String, (u64, u64)> {
        // A disk that fails is told to those who use it; here the numbers are missing.
        let stored = self.inner.core.storage.usage().unwrap_or_default().into_iter();
        stored.map(|used| (used.plugin.to_string(), (used.items, used.bytes))).collect()
    }

    /// All subscriptions, of plugins and of the application, with their counts.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionReport> {
        self.inner.core.events.subscriptions()
    }

    /// What became of all events so far.
    #[must_use]
    pub fn event_totals(&self) -> Totals {
        self.inner.core.events.totals()
    }

    /// All jobs, with their next and last runs.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.inner.core.scheduler.list()
    }

    /// The configs of the loaded plugins, by id, with `"***"` in place of secrets.
    #[must_use]
    pub fn configs(&self) -> BTreeMap<Arc<str>, serde_json::Value> {
        self.inner.plugins.configs()
    }

    /// Loads a plugin from the folders, without enabling it.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, CONFLICT (it is loaded already), or why it cannot be loaded.
    pub fn load(&self, id: &str) -> Result<()> {
        self.running()?;
        self.inner.plugins.load(id)
    }

    /// Enables a plugin; loads it first if it is not loaded.
    ///
    /// # Errors
    ///
    /// Why it cannot be loaded, or what its `enable` answered.
    pub fn enable(&self, id: &str) -> Result<()> {
        self.running()?;
        self.inner.plugins.enable(id)
    }

    /// Disables a plugin. It stays loaded. One that is suspended stays disabled from then on.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, TIMEOUT, or what its `disable` answered; it is disabled all the same.
    pub fn disable(&self, id: &str) -> Result<()> {
        self.inner.plugins.disable(id)
    }

    /// Enables a plugin at once that is suspended because it has used up a budget (`[budgets]` in the settings), without
    /// waiting until it has cooled down. `enable` does so too.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: it is not loaded, or not suspended. Otherwise what its `enable` answered; then it stays suspended.
    pub fn release(&self, id: &str) -> Result<()> {
        self.running()?;
        self.inner.plugins.release(id)
    }

    /// Disables a plugin and unloads it. Its library is closed when no thread is left that ran it, which may be later.
    ///
    /// # Errors
    ///
    /// NOT_FOUND; TIMEOUT if a call of it does not return, and then it stays.
    pub fn unload(&self, id: &str) -> Result<()> {
        self.inner.plugins.unload(id)
    }

    /// Offers a loaded plugin a new config, checked against its schema. It counts if the plugin takes it.
    ///
    /// # Errors
    ///
    /// NOT_FOUND; INVALID_ARGUMENT with all that is wrong; or what its `configure` answered.
    pub fn configure(&self, id: &str, config: &serde_json::Value) -> Result<()> {
        self.configure_with(id, |current| current.clone_from(config))
    }

    /// Like `configure`, with a config that is made of the current one, which has its secrets.
    ///
    /// # Errors
    ///
    /// As `configure`.
    pub fn configure_with(&self, id: &str, change: impl FnOnce(&mut serde_json::Value)) -> Result<()> {
        self.running()?;
        self.inner.plugins.configure(id, change)
    }

    /// Changes from which level on records of a plugin are wanted; none: of the host and of all plugins that have no
    /// level of their own.
    pub fn set_log_level(&self, plugin: Option<&str>, level: Level) {
        self.inner.core.log.set_level(plugin, level);
    }

    /// Takes a plugin's own log level away, so that it follows that of the host again.
    pub fn clear_log_level(&self, plugin: &str) {
        self.inner.core.log.clear_level(plugin);
    }

    /// The log levels as they are now.
    #[must_use]
    pub fn log_levels(&self) -> LevelList {
        self.inner.core.log.levels()
    }

    /// Opens the log file again by its path, as a rotation of logs wants it; nothing for logs that are no file.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: it cannot be opened; the old one stays in use.
    pub fn reopen_log(&self) -> Result<()> {
        self.inner.core.log.reopen()
    }

    /// Waits until nothing is queued, runs or waits, or until the deadline; tells which it was.
    #[must_use]
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.inner.core.pool.wait_idle(later(timeout))
    }

    /// Waits until the libraries of all unloaded plugins are closed, or until the deadline; tells which it was.
    #[must_use]
    pub fn wait_closed(&self, timeout: Duration) -> bool {
        self.inner.core.pool.settle(later(timeout))
    }

    /// What the numbers of owners in [`subscriptions`](Self::subscriptions) and [`jobs`](Self::jobs) stand for.
    #[must_use]
    pub fn owners(&self) -> BTreeMap<u64, Arc<str>> {
        self.inner.plugins.numbers().chain([(OWNER, "application".into())]).collect()
    }

    /// What the workers are doing.
    #[must_use]
    pub fn workers(&self) -> WorkerStats {
        let PoolStats { workers, idle, waiting, stuck, retired } = self.inner.core.pool.stats();
        WorkerStats { workers, idle, waiting, stuck, retired }
    }

    /// Everything that the host counts, of this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Inner { core, ledger, plugins, .. } = &*self.inner;
        Stats {
            host: HostStats {
                version: env!("CARGO_PKG_VERSION"),
                abi: format!("{}.{}", pintle_abi::PINTLE_ABI_MAJOR, pintle_abi::PINTLE_ABI_MINOR),
                pid: process::id(),
                started_ms: self.inner.started_ms,
                uptime_ms: core.epoch.elapsed().as_millis() as u64,
                data: self.inner.data.clone(),
                tenants: core.tenants.count() as u64,
                jobs: core.scheduler.list().len() as u64,
                subscriptions: core.events.subscriptions().len() as u64,
                libraries_kept: core.kept.load(Relaxed),
            },
            workers: self.workers(),
            events: core.events.totals().into(),
            log: core.log.counts().into(),
            ledger: ledger.counts().into(),
            plugins: plugins.stats(),
        }
    }

    /// Everything that the host counts, of this moment, as OpenMetrics text.
    #[must_use]
    pub fn open_metrics(&self) -> String {
        metrics::open_metrics(&self.stats())
    }

    /// Where metrics are served over HTTP, with the port that the system chose for `metrics.listen` with port 0; none:
    /// nowhere.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.inner.metrics.get().map(metrics::Listener::address)
    }

    /// Disables and unloads all plugins and ends all threads, within the stop deadline of the settings. What hangs is
    /// left behind and named. The second call does nothing.
    pub fn stop(&self) -> Stopped {
        self.stop_within(self.inner.stop)
    }

    /// Like `stop`, within another deadline.
    pub fn stop_within(&self, timeout: Duration) -> Stopped {
        if self.inner.stopped.swap(true, AcqRel) {
            return Stopped::default();
        }
        let started = Instant::now();
        let timeout = timeout.min(A_YEAR);
        let until = |percent: u32| started + timeout * percent / 100;
        let still_served = self.inner.metrics.get().is_some_and(|listener| !listener.stop(until(5)));
        let supervised = self.inner.plugins.close(until(10));
        let control = self.inner.control.lock().take();
        // Who is in the middle of a request may still come to its end, with the plugin that it is about.
        if let Some(control) = &control {
            control.shut(until(12));
        }
        self.inner.core.scheduler.shutdown();
        let failed = self.unload_all(until(75));
        // What plugins emitted last still reaches the application.
        self.inner.core.pool.wait_idle(until(80));
        self.inner.core.events.shutdown();
        self.inner.application.close();
        self.inner.listeners.close();
        self.inner.plugins.close_lanes();
        let mut left = self.inner.core.pool.shut_down(until(90));
        left.extend(control.map(|control| control.close(until(91))).unwrap_or_default());
        if still_served {
            left.push("the listener for metrics: the system had no socket to wake it with in time".into());
        }
        if !supervised {
            left.push("the supervisor of budgets".into());
        }
        for left in &left {
            self.inner.core.log.host(
                Level::Error,
                "a call did not end in time and is left behind",
                [Field::text("left", left)],
            );
        }
        self.keep_use(until(93));
        // What is left behind gets UNAVAILABLE from here on.
        self.inner.core.cache.close();
        let unclosed = self.inner.ledger.close_by(until(98)).err();
        if unclosed.is_some() {
            let text = "the ledger: its disk, or another process that has its file locked, kept it from being closed in time";
            self.inner.core.log.host(Level::Error, "the ledger could not be closed in time and is left behind: what was stored is in its log, beside its file", []);
            left.push(text.into());
        }
        let rest = until(100).saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
        if !self.inner.core.log.shutdown(rest) {
            left.push("the log: its target did not take all records in time".into());
        }
        self.inner.plugins.close_metrics();
        let folder = self.inner.folder.lock().take();
        match unclosed {
            // No other host may have it before the file is closed.
            Some(unclosed) => unclosed.keep(folder),
            None => drop(folder),
        }
        Stopped { left, failed }
    }

    /// Lets the operator in. A host that cannot be asked runs all the same.
    fn serve_control(&self) {
        let folder = self.inner.folder.lock();
        let Some(folder) = folder.as_ref().filter(|_| self.inner.data.is_some()) else { return };
        let log = self.inner.core.log.clone();
        let report = move |error: &Error| {
            log.host(Level::Warn, &error.to_string(), [Field::text("about", "control socket")]);
        };
        let methods = Arc::new(HostMethods(self.part()));
        match Control::start(folder.path(), folder.staging(), methods, report.clone()) {
            Ok(control) => *self.inner.control.lock() = Some(control),
            Err(error) => report(&error),
        }
    }

    /// The same host, for a part of it: it does not end with that.
    fn part(&self) -> Self {
        Self { inner: self.inner.clone(), owner: false }
    }

    /// Notes what plugins had in cache and storage, unless the disk that tells it hangs: then the numbers are missing.
    fn keep_use(&self, deadline: Instant) {
        let (tell, told) = mpsc::channel::<()>();
        let plugins = self.inner.plugins.clone();
        let look = move || {
            plugins.keep_use();
            drop(tell);
        };
        if thread::Builder::new().name("pintle-usage".into()).spawn(look).is_ok() {
            let left = deadline.saturating_duration_since(Instant::now()).max(LEAST_LOOK);
            let _ = told.recv_timeout(left);
        }
    }

    fn serve_metrics(&self, listen: metrics::Bound) -> Result<()> {
        let part = self.part();
        let listener = listen.serve(metrics::Patience::default(), move || part.open_metrics())?;
        let address = listener.address().to_string();
        self.inner.core.log.host(Level::Info, "metrics are served", [Field::text("address", &address)]);
        let _ = self.inner.metrics.set(listener);
        Ok(())
    }

    /// Newest first, many at once.
    fn unload_all(&self, deadline: Instant) -> Vec<Error> {
        let ids: Mutex<VecDeque<String>> = Mutex::new(self.inner.plugins.to_unload());
        let failed = Mutex::new(Vec::new());
        let work = || {
            while let Some(id) = { ids.lock().pop_front() } {
                // One whose load was under way may have failed meanwhile, or somebody else has unloaded it.
                let outcome = self.inner.plugins.unload_within(&id, deadline);
                if let Some(error) = outcome.unwrap_or_else(Some)
                    && error.kind() != ErrorKind::NotFound
                {
                    self.inner.core.log.host(Level::Error, &error.to_string(), []);
                    failed.lock().push(error);
                }
            }
        };
        let wanted = STOPPERS.min(ids.lock().len());
        thread::scope(|threads| {
            // A system that has no more threads must not end the stop with a panic: those that there are do it.
            let made = (0..wanted)
                .take_while(|_| thread::Builder::new().spawn_scoped(threads, work).is_ok())
                .count();
            if made == 0 {
                work();
            }
        });
        failed.into_inner()
    }

    fn running(&self) -> Result<()> {
        if self.inner.stopped.load(Acquire) {
            return Err(Error::new(ErrorKind::Stopping, "the host is stopping or has stopped"));
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.owner {
            self.stop();
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("plugins", &self.inner.plugins.loaded()).finish_non_exhaustive()
    }
}

/// The end of a wait that begins now. For whoever waits for ever a year is as good.
fn later(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(A_YEAR)
}

/// How long an item of the cache lives whose plugin does not say.
fn default_lifetime(settings: &CacheSettings) -> Lifetime {
    match i64::try_from(settings.default_ttl.as_millis()) {
        Ok(0) => Lifetime::Endless,
        Ok(ms) => Lifetime::Ms(ms),
        Err(_) => Lifetime::Endless,
    }
}

/// The ledger in the data folder. Of a host that keeps nothing it lies in the folder that goes with the host, and need
/// not survive anything.
fn open_ledger(
    folder: &DataFolder,
    settings: &Settings,
    clock: &Arc<SystemClock>,
    log: &Arc<Log>,
) -> Result<Ledger> {
    let durability = match (&settings.data, settings.storage.synchronous) {
        (None, _) => Durability::Off,
        (Some(_), Synchronous::Full) => Durability::Full,
        (Some(_), Synchronous::Normal) => Durability::Normal,
    };
    let log = log.clone();
    let report =
        move |error: &Error| log.host(Level::Error, &error.to_string(), [Field::text("about", "ledger")]);
    let options = LedgerOptions {
        durability,
        clock: clock.clone(),
        schemas: vec![storage::SCHEMA],
        report: Box::new(report),
    };
    Ledger::open(folder.private_file(LEDGER_FILE)?, options)
}

fn log_options(settings: &LogSettings) -> LogOptions {
    LogOptions {
        target: settings.file.clone().map_or(Target::Stderr, Target::File),
        format: settings.format,
        level: settings.level,
        buffer: settings.buffer,
        ..LogOptions::default()
    }
}

/// What the pool tells, as log records.
struct LogReport {
    log: Arc<Log>,
    /// Whoever counts how often which is stuck.
    plugins: OnceLock<Arc<Plugins>>,
}

impl Report for LogReport {
    fn stuck(&self, lane: &Arc<Lane>, task: &str, after: Duration) {
        let fields = [
            Field::text("of", lane.name()),
            Field::text("in", task),
            Field::unsigned("after_ms", after.as_millis() as u64),
        ];
        self.log.host(
            Level::Error,
            "a plugin is stuck: a call is past its deadline, its lane takes no more until it returns",
            fields,
        );
        if let Some(plugins) = self.plugins.get() {
            plugins.note_stuck(lane);
        }
    }

    fn resumed(&self, lane: &Arc<Lane>, task: &str) {
        let fields = [Field::text("of", lane.name()), Field::text("in", task)];
        self.log.host(Level::Warn, "a plugin is no longer stuck: the call has returned", fields);
    }

    fn failed(&self, task: &str, panic: &str) {
        let fields = [Field::text("in", task), Field::text("panic", panic)];
        self.log.host(Level::Error, "the host panicked: please report it", fields);
    }
}
