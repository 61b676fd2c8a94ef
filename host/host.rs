//! `Host`: the composition root, with its folder the only place that knows every part. `builder` puts the parts together,
//! `stop` takes them apart.

mod builder;
pub(crate) mod cache;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod idempotency;
pub(crate) mod jobs;
pub(crate) mod sql;
mod stop;
pub(crate) mod storage;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::*},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use self::cache::CacheWatch;
pub use self::{builder::HostBuilder, stop::Stopped};
use crate::{
    application::{Application, Delivery, DurableOptions, OWNER, SubscribeOptions, Tap},
    boundary::{Core, Message, Router},
    control::{self, Control, HostMethods, Params, Refusal},
    error::{Error, ErrorKind, Result},
    folder::DataFolder,
    lanes::PoolStats,
    metrics,
    plugin::{PluginInfo, Plugins, discover::Discovery},
    services::{
        events::{Draft, Emitted, Event, HandlerResult, SubscriptionReport, Totals},
        ledger::Ledger,
        log::{Field, Level, LevelList},
        outbox::Outbox,
        scheduler::{JobInfo, store::Of},
    },
    stats::{HostStats, Stats, WorkerStats},
};

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
    outbox: Arc<Outbox>,
    plugins: Arc<Plugins>,
    cache: Arc<CacheWatch>,
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

/// What a plugin has left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// In the storage.
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// Of its SQL databases.
    pub(crate) database_bytes: u64,
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

    /// Like `subscribe`, with a name, so that there can be several of one pattern, a queue and a policy of one's own, a filter, which
    /// not every event of these topics passes, or a priority, which says where it stands among the subscriptions of one event.
    ///
    /// # Errors
    ///
    /// As `subscribe`, and INVALID_ARGUMENT: the name, the capacity. CONFLICT: the application has a subscription of this name.
    /// OUT_OF_RANGE: the priority.
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

    /// Calls `handler` with every durable event whose topic matches `pattern`, of every tenant, one at a time and in the order of the
    /// log, until the host stops. An event whose handler fails comes again, later each time, and is a dead letter in the end; others
    /// pass it, but for those with the same ordering key. Which events it has answered OK to is kept under `name`: a host that
    /// subscribes under it again goes on where the last one ended. An event may come again whose handler had answered OK, if the
    /// process ended before that was on disk.
    ///
    /// With [`acknowledge`](DurableOptions::acknowledge) it is [`Receipt::ack`](crate::events::Receipt::ack) that counts, here or later,
    /// on any thread:
    ///
    /// ```no_run
    /// use std::{sync::{Mutex, mpsc}, thread};
    /// use pintle::events::{DurableOptions, Receipt};
    ///
    /// # fn send_off(_: &[u8]) -> Result<(), String> { Ok(()) }
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").data("data").build()?;
    /// let (to, work) = mpsc::channel::<(Receipt, Vec<u8>)>();
    /// let to = Mutex::new(to);
    /// let options = DurableOptions { acknowledge: true, in_flight: 8, ..DurableOptions::default() };
    /// host.subscribe_durable("invoices", "orders.>", options, move |delivery| {
    ///     if let (Some(receipt), Ok(to)) = (delivery.receipt(), to.lock()) {
    ///         let _ = to.send((receipt, delivery.event.data.to_vec()));
    ///     }
    ///     Ok(())
    /// })?;
    /// thread::spawn(move || {
    ///     for (receipt, order) in work {
    ///         // One that has come too late is delivered again.
    ///         let _ = match send_off(&order) {
    ///             Ok(()) => receipt.ack(),
    ///             Err(reason) => receipt.nack(None, &reason),
    ///         };
    ///     }
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the pattern, the name. OUT_OF_RANGE: the options. CONFLICT: the application has a subscription of this name.
    /// STOPPING: the host has stopped. UNAVAILABLE: the disk fails.
    pub fn subscribe_durable(
        &self,
        name: &str,
        pattern: &str,
        options: DurableOptions,
        handler: impl Fn(Delivery<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        self.inner.application.follow(name, pattern, options, Box::new(handler))
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

    /// What plugins have kept, for all tenants, by id; those too that are not loaded.
    pub(crate) fn stored(&self) -> BTreeMap<String, Kept> {
        // A disk that fails is told to those who use it; here the numbers are missing.
        let mut stored = BTreeMap::<String, Kept>::new();
        for used in self.inner.core.storage.usage().unwrap_or_default() {
            let Kept { items, bytes, .. } = stored.entry(used.plugin.to_string()).or_default();
            (*items, *bytes) = (*items + used.items, *bytes + used.bytes);
        }
        for held in self.inner.core.database.databases().unwrap_or_default() {
            stored.entry(held.plugin).or_default().database_bytes += held.bytes;
        }
        stored
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
        self.inner.core.scheduler.known(&Of::default())
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
        let Inner { core, ledger, plugins, cache, .. } = &*self.inner;
        let plugins = plugins.stats();
        Stats {
            host: HostStats {
                version: env!("CARGO_PKG_VERSION"),
                abi: format!("{}.{}", pintle_abi::PINTLE_ABI_MAJOR, pintle_abi::PINTLE_ABI_MINOR),
                pid: process::id(),
                started_ms: self.inner.started_ms,
                uptime_ms: core.epoch.elapsed().as_millis() as u64,
                data: self.inner.data.clone(),
                tenants: core.tenants.count() as u64,
                jobs: core.scheduler.count() as u64,
                subscriptions: core.events.subscriptions().len() as u64,
                libraries_kept: core.kept.load(Relaxed),
            },
            workers: self.workers(),
            events: core.events.totals().into(),
            durable: core.durable.totals().into(),
            log: core.log.counts().into(),
            ledger: ledger.counts().into(),
            cache: cache.stats(
                core,
                plugins.iter().map(|plugin| plugin.cache.bytes).sum(),
                self.inner.stopped.load(Acquire),
            ),
            plugins,
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

    fn serve_metrics(&self, listen: metrics::Bound) -> Result<()> {
        let part = self.part();
        let listener = listen.serve(metrics::Patience::default(), move || part.open_metrics())?;
        let address = listener.address().to_string();
        self.inner.core.log.host(Level::Info, "metrics are served", [Field::text("address", &address)]);
        let _ = self.inner.metrics.set(listener);
        Ok(())
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
