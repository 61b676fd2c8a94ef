//! A host for tests, in a few hundred lines: a plugin runs inside of the test, without a library file, threads or waiting.
//!
//! ```toml
//! [dev-dependencies]
//! pintle-plugin = { version = "0.1", features = ["test"] }
//! ```
//!
//! The plugin is started by its type, with the manifest that [`plugin!`](crate::plugin!) embeds, and talks to the test host
//! through the same C tables that a real host hands over, so that what is tested is just what will run:
//!
//! ```
//! use pintle_plugin::{Context, Plugin, Result, Status, plugin, test::Host};
//! use serde_json::json;
//!
//! /// Counts who comes, and says so.
//! struct Doorman;
//!
//! impl Plugin for Doorman {
//!     fn load(_: &Context) -> Result<Self> {
//!         Ok(Doorman)
//!     }
//!
//!     fn enable(&self, cx: &Context) -> Result<()> {
//!         cx.events().subscribe("door.opened", |cx, event| {
//!             let name: String = event.json()?;
//!             let times = cx.cache("visits").incr(&name, 1)?;
//!             cx.events().emit_json("welcomed", &(name, times))
//!         })?;
//!         Ok(())
//!     }
//! }
//!
//! plugin!(Doorman, inline r#"{
//!     "id": "doorman", "version": "1.0.0", "abi": "1.0",
//!     "services": {
//!         "cache": { "namespaces": ["visits"] },
//!         "events": { "subscribe": ["door.*"], "publish": ["welcomed"] }
//!     }
//! }"#);
//!
//! # fn main() -> Result<()> {
//! let host = Host::new().start::<Doorman>()?;
//! host.emit_json("door.opened", &"Ada")?;
//! host.tenant("acme").emit_json("door.opened", &"Ada")?;
//! host.emit_json("door.opened", &"Ada")?;
//!
//! // Each scope has its own cache, and the event came under the tenant of its cause.
//! assert_eq!(host.cache("visits").get_integer("Ada")?, Some(2));
//! assert_eq!(host.tenant("acme").cache("visits").get_integer("Ada")?, Some(1));
//! let said = host.emitted();
//! assert_eq!((said[1].topic.as_str(), said[1].tenant.as_deref()), ("plugin.doorman.welcomed", Some("acme")));
//! assert_eq!(said[2].json::<(String, u32)>()?, ("Ada".to_owned(), 2));
//!
//! // A handler that fails is an error of the one who emitted.
//! let error = host.emit("door.opened", b"no JSON").unwrap_err();
//! assert_eq!(error.status(), Status::InvalidArgument);
//! # Ok(())
//! # }
//! ```
//!
//! # What is as in a real host
//!
//! Pintle's own tests ask one plugin the same in both hosts, and compare statuses and values (`tests/parity`):
//!
//! The life of a plugin and what each phase allows; grants of the manifest ([`Denied`](crate::Status::Denied)); scopes;
//! contexts that end ([`StaleHandle`](crate::Status::StaleHandle)); limits of keys, names and sizes; lifetimes, versions and
//! conditions; batches and watches; which runs of a job stand beside others, are tried again and are remembered; SQL, its transactions and what of it is denied; what is stale, tagged or being loaded in the cache; depth of events; replies; that a plugin does one thing at
//! a time.
//!
//! # What is not
//!
//! - **Time stands still** until [`advance`](Host::advance). Deadlines do not pass while code runs. So nobody waits for an item
//!   of the cache that another is loading: [`Timeout`](crate::Status::Timeout) comes at once.
//! - **The log of durable events forgets nothing**, and ids are known for two minutes. It keeps them, and where subscriptions
//!   stand, as long as the host lives. That a delivery takes too long is noticed by [`advance`](Host::advance), after the handler.
//!   [`unacknowledged`](Host::unacknowledged) and [`dead_letters`](Host::dead_letters) show what became of them.
//! - **Everything runs on the thread of the test**, one thing after the other, whatever `concurrency` the manifest asks for.
//!   What a plugin emits and changes waits for its own subscriptions and watches until its running function has returned.
//! - **Cron rules are read, but not reckoned**: [`run_job`](Scoped::run_job) runs such a job, and its next time is not known.
//!   Time zones are not looked up; jitter does not count, and runs take no time, so that none is too slow.
//! - **A durable job lives as long as the host.** What it misses while the plugin is disabled or not loaded is missed; a run that
//!   is tried again stays in the same host.
//! - **The manifest is believed.** Defaults of the settings are filled in; nothing is checked against its schema, as
//!   `pintle check` and a real host do.
//! - **What a batch of the storage emits is published at once**, and its jobs are scheduled at once, where a real host does so
//!   soon after the commit. A watch is told the last change of each key.
//! - **Nobody else is there.** The test plays other plugins: [`provide`](Host::provide), [`listen`](Host::listen).
//! - **SQL needs the feature `test-sql`**, which compiles SQLite; without it there is no database. Nobody waits for who writes:
//!   [`Busy`](crate::Status::Busy) comes at once. A statement is known to take too long by its steps. Rows are all read before
//!   the first is handed over.
//! - Queues never fill, and nothing is evicted. [`fail_next`](Host::fail_next) makes what else can go wrong go wrong.

mod cache;
mod config;
mod cron;
#[cfg(feature = "test-sql")]
mod database;
mod drive;
mod durable;
mod events;
mod files;
mod filter;
mod idempotency;
mod input;
mod inside;
mod jobs;
mod life;
mod log;
mod manifest;
mod pages;
mod scheduler;
mod storage;
mod table;
mod topic;

use std::{
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pintle_abi::PintlePlugin;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::durable::{DeadLetter, Unacknowledged};
use crate::{
    Cache, Context, Database, EmitOptions, Error, Files, Idempotency, Level, Overlap, Plugin, Result,
    Scheduler, Status, Storage,
    context::milliseconds,
    entry::Described,
    events::at,
    table::{Host as Table, reaches},
};
use inside::{Entry, Inside, Kind, Tenant};

/// A host for one plugin, inside of a test. It dereferences to the system scope, so that `host.emit(…)` is an event of
/// nobody's; [`tenant`](Host::tenant) acts on behalf of one.
///
/// Hosts do not see each other: tests may run at the same time. When it is dropped the plugin is disabled and unloaded.
pub struct Host {
    inside: Arc<Inside>,
    system: Scoped,
    config: Value,
}

impl Host {
    /// An empty host. Everything that the plugin is to find is said before [`start`](Host::start).
    #[expect(clippy::new_without_default, reason = "a host that appears out of nowhere helps nobody")]
    #[must_use]
    pub fn new() -> Self {
        let inside = Inside::new();
        let system = Scoped::new(&inside, None);
        Self { inside, system, config: Value::Object(serde_json::Map::new()) }
    }

    /// The plugin's settings. Those that are not given get the default of the manifest's schema.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// The least level at which records are kept, and at which [`Log::enabled`](crate::Log::enabled) says yes: otherwise
    /// [`Level::Trace`], which is all.
    #[must_use]
    pub fn log_level(self, level: Level) -> Self {
        self.inside.state().level = level;
        self
    }

    /// Plays a plugin that provides a service: `answer` gets the method and the request of each call.
    ///
    /// ```
    /// # use pintle_plugin::{Error, Status, test::Host};
    /// let host = Host::new().provide("geo.lookup", 1, |method, request| match method {
    ///     "find" => Ok(request.to_ascii_uppercase()),
    ///     _ => Err(Error::new(Status::Unsupported, "no such method")),
    /// });
    /// ```
    #[must_use]
    pub fn provide<F>(self, service: &str, major: u32, answer: F) -> Self
    where
        F: Fn(&str, &[u8]) -> Result<Vec<u8>> + Send + Sync + 'static,
    {
        self.inside.state().providers.insert((service.to_owned(), major), Arc::new(answer));
        self
    }

    /// Plays a plugin called `subscriber` that is subscribed to `pattern`: `handler` gets each event, and what it returns is
    /// its reply. An error becomes the outcome that its status says: [`Timeout`](Status::Timeout) one that timed out,
    /// [`Panic`](Status::Panic) one that panicked, [`Unavailable`](Status::Unavailable) and [`Busy`](Status::Busy) one that
    /// was skipped, all others one that failed.
    #[must_use]
    pub fn listen<F>(self, subscriber: &str, pattern: &str, handler: F) -> Self
    where
        F: Fn(&Emitted) -> Result<Vec<u8>> + Send + Sync + 'static,
    {
        let listener = (subscriber.to_owned(), pattern.to_owned(), Arc::new(handler) as inside::Listener);
        self.inside.state().listeners.push(listener);
        self
    }

    /// [`load`](Host::load) and [`enable`](Host::enable), at the end of what is said before.
    ///
    /// # Errors
    /// What the plugin's `load` or `enable` answered.
    pub fn start<P: Plugin + Described>(self) -> Result<Self> {
        self.load::<P>()?;
        self.enable()?;
        Ok(self)
    }

    /// Loads the plugin and leaves it disabled.
    ///
    /// # Errors
    /// What the plugin's `load` answered; [`Conflict`](Status::Conflict) if one is loaded already.
    pub fn load<P: Plugin + Described>(&self) -> Result<()> {
        // SAFETY: what the trait promises.
        unsafe { self.load_entry(P::entry) }
    }

    /// [`load`](Host::load) for a plugin in any language that is compiled into the test, by its entry function.
    ///
    /// # Errors
    /// As `load`; [`InvalidArgument`](Status::InvalidArgument) if no manifest is embedded in it, or what it describes is
    /// shorter than this SDK knows it.
    ///
    /// # Safety
    /// The function is the entry of a plugin, as the contract says (`pintle_plugin_entry_v1`): what it returns is null or
    /// leads to a description that stays, and whose functions do what they are to do.
    pub unsafe fn load_entry(&self, entry: unsafe extern "C" fn() -> *const PintlePlugin) -> Result<()> {
        // SAFETY: the caller's promise.
        let plugin = unsafe { entry() };
        // SAFETY: the caller's promise: null, or a description, which begins with its size.
        if !unsafe { reaches(plugin.cast(), size_of::<PintlePlugin>()) } {
            let text = "the entry returned null, or a description that is shorter than this SDK knows it";
            return Err(Error::new(Status::InvalidArgument, text));
        }
        // SAFETY: not null, as large as this, and the caller promises that it stays.
        life::load(&self.inside, unsafe { &*plugin }, self.config.clone())
    }

    /// Enables the plugin; nothing happens if it is.
    ///
    /// # Errors
    /// What the plugin's `enable` answered; [`Unavailable`](Status::Unavailable) if none is loaded (so in all that follow).
    pub fn enable(&self) -> Result<()> {
        life::enable(&self.inside)
    }

    /// Disables the plugin; nothing happens if it is.
    ///
    /// # Errors
    /// What the plugin's `disable` answered; it is disabled all the same.
    pub fn disable(&self) -> Result<()> {
        life::disable(&self.inside)
    }

    /// Disables and unloads the plugin. What it stored, emitted and logged can still be looked at, and it can be loaded again.
    ///
    /// # Errors
    /// What the plugin's `disable` answered; it is unloaded all the same.
    pub fn unload(&self) -> Result<()> {
        life::unload(&self.inside)
    }

    /// Replaces the plugin by a new generation of itself, which takes over what the old one saved.
    ///
    /// # Errors
    /// What the plugin answered in one of the steps; where the new generation did not come about, the old one goes on.
    pub fn reload(&self) -> Result<()> {
        life::reload(&self.inside)
    }

    /// Offers changed settings, all of them, with defaults as in [`config`](Host::config).
    ///
    /// # Errors
    /// What the plugin's `configure` answered; the old settings stay.
    pub fn configure(&self, config: Value) -> Result<()> {
        life::configure(&self.inside, config)
    }

    /// Acts on behalf of a tenant.
    ///
    /// # Panics
    /// If that cannot be a tenant's name: 1 to 128 bytes without NUL.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Scoped {
        Scoped::new(&self.inside, Some(table::tenant(name)))
    }

    /// What the plugin has emitted so far, for whomever, in order.
    #[must_use]
    pub fn emitted(&self) -> Vec<Emitted> {
        self.inside.state().emitted.clone()
    }

    /// [`emitted`](Host::emitted), which then begins anew.
    #[must_use]
    pub fn take_emitted(&self) -> Vec<Emitted> {
        std::mem::take(&mut self.inside.state().emitted)
    }

    /// The jobs that batches of the plugin's have scheduled so far ([`Batch::schedule`](crate::Batch::schedule)), for whomever,
    /// in order, also those that are over. They run where the plugin [handles](crate::Scheduler::handle) them.
    #[must_use]
    pub fn scheduled(&self) -> Vec<Scheduled> {
        self.inside.state().scheduled.clone()
    }

    /// What was logged so far, by the plugin and about it: that a handler or a job failed is the host's own record.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.inside.state().logs.clone()
    }

    /// [`logs`](Host::logs), which then begins anew.
    #[must_use]
    pub fn take_logs(&self) -> Vec<LogRecord> {
        std::mem::take(&mut self.inside.state().logs)
    }

    /// What time it is. A host begins at noon of the first day of 2026, UTC.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        at(self.inside.state().now_ms)
    }

    /// Lets time pass: items expire, durable events come again that have failed, and jobs run when they are due, in order (but
    /// those with a rule of the calendar; `@every 90s` is an interval). A run that has failed is tried again as the job's
    /// [retries](crate::JobOptions::retries) and back-off say.
    ///
    /// # Errors
    /// [`Reentrant`](Status::Reentrant) from code that the plugin calls. That a job fails is in the [logs](Host::logs).
    pub fn advance(&self, by: Duration) -> Result<()> {
        let to_ms = self.inside.state().now_ms.saturating_add(milliseconds(by));
        drive::advance(&self.inside, to_ms)
    }

    /// What is in a resource that the manifest lists in `files`. A real host reads it beside the library.
    pub fn put_resource(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.inside.state().resources.insert(name.to_owned(), bytes.into());
    }

    /// The plugin's next call of this function fails, once: `host.fail_next("storage.set", Status::Unavailable, "the disk is
    /// full")`. Those of the host itself have bare names: `call`, `hold`.
    pub fn fail_next(&self, function: &str, status: Status, message: &str) {
        self.inside.state().failing.insert(function.to_owned(), (status, message.to_owned()));
    }
}

impl Deref for Host {
    type Target = Scoped;

    fn deref(&self) -> &Scoped {
        &self.system
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Whether it wants to go is a question for tests that ask; a panic of a stub has failed the test already.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life::unload(&self.inside)));
        self.inside.forget();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a test does on behalf of one scope: a tenant ([`Host::tenant`]), or the system.
pub struct Scoped {
    inside: Arc<Inside>,
    tenant: Tenant,
    /// The test's own, which may do everything.
    cx: Context,
}

impl Scoped {
    fn new(inside: &Arc<Inside>, tenant: Tenant) -> Self {
        let ctx = inside.open(Entry {
            kind: Kind::Held,
            generation: 0,
            tenant: tenant.clone(),
            depth: 0,
            deadline_ms: None,
            running: false,
            error: None,
        });
        // SAFETY: the table is static and says its size truthfully.
        let host =
            unsafe { Table::adopt(&raw const table::TABLE) }.expect("the address of a static is not null");
        Self { inside: Arc::clone(inside), tenant, cx: Context::new(host, ctx, ctx) }
    }

    /// Emits an event to all that match, and waits for them. Gives their replies, but those of durable subscriptions; an event of
    /// a topic that begins with `plugin.<id>.` comes from that plugin, all others from the application.
    ///
    /// # Errors
    /// That of the first handler that failed, with its name; all have run nevertheless. Not that of a durable subscription: the
    /// event comes again.
    /// [`InvalidArgument`](Status::InvalidArgument) for what is no topic; [`Unavailable`](Status::Unavailable) if no plugin
    /// is loaded; [`Reentrant`](Status::Reentrant) from code that the plugin calls.
    pub fn emit(&self, topic: &str, data: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.emit_with(topic, data, &EmitOptions::new())
    }

    /// [`emit`](Scoped::emit) of a value, as JSON.
    ///
    /// # Errors
    /// As `emit`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn emit_json(&self, topic: &str, data: &impl Serialize) -> Result<Vec<Vec<u8>>> {
        self.emit(topic, &serde_json::to_vec(data)?)
    }

    /// [`emit`](Scoped::emit) with more to say.
    ///
    /// # Errors
    /// As `emit`.
    pub fn emit_with(&self, topic: &str, data: &[u8], options: &EmitOptions<'_>) -> Result<Vec<Vec<u8>>> {
        topic::check(topic)?;
        let source = match topic.split('.').collect::<Vec<_>>()[..] {
            ["plugin", id, _, ..] => format!("/plugins/{id}"),
            _ => "/application".to_owned(),
        };
        let event = {
            let mut state = self.inside.state();
            let kept = options.kept();
            let [id, subject, content_type, key] = kept.texts;
            let some = |text: String| (!text.is_empty()).then_some(text);
            Emitted {
                topic: topic.to_owned(),
                data: data.to_vec(),
                tenant: self.tenant.as_deref().map(str::to_owned),
                id: some(id).unwrap_or_else(|| format!("id-{}", self.inside.fresh(&mut state) & 0xffff_ffff)),
                source,
                subject: some(subject),
                content_type: some(content_type).unwrap_or_else(|| "application/json".to_owned()),
                key: some(key),
                depth: 0,
                time_ms: state.now_ms,
                sync: true,
                sequence: None,
                durable: kept.durable,
            }
        };
        drive::emit(&self.inside, event)
    }

    /// Calls a service that the plugin provides, as the application does.
    ///
    /// # Errors
    /// What the plugin answered; [`NotFound`](Status::NotFound) and [`Unsupported`](Status::Unsupported) where the manifest
    /// lists no such service or method; [`Unavailable`](Status::Unavailable) if it is not enabled;
    /// [`Reentrant`](Status::Reentrant) from code that the plugin calls.
    pub fn call(&self, service: &str, method: &str, request: &[u8]) -> Result<Vec<u8>> {
        drive::call(&self.inside, &self.tenant, service, method, request)
    }

    /// [`call`](Scoped::call) with values that go and come as JSON.
    ///
    /// # Errors
    /// As `call`; [`InvalidArgument`](Status::InvalidArgument) if the reply is not what is expected.
    pub fn call_json<T: DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        request: &impl Serialize,
    ) -> Result<T> {
        let reply = self.call(service, method, &serde_json::to_vec(request)?)?;
        serde_json::from_slice(&reply)
            .map_err(|error| Error::from(error).context(format_args!("the reply of {service}.{method}")))
    }

    /// Runs a job of this scope now, whenever it is due, whether it is paused and whatever of it has not ended, and gives what it
    /// replied. The clock stays. A run that fails is tried again when the clock is [moved](Host::advance), if the job has
    /// [retries](crate::JobOptions::retries).
    ///
    /// # Errors
    /// What the job answered; [`NotFound`](Status::NotFound) if there is none of that name;
    /// [`Unavailable`](Status::Unavailable) if the plugin is not enabled; [`Reentrant`](Status::Reentrant) from code that the
    /// plugin calls.
    pub fn run_job(&self, name: &str) -> Result<Vec<u8>> {
        drive::run_job(&self.inside, &self.tenant, name)
    }

    /// A context of the test's own, for functions of the plugin that take one. No grant limits it, and it never ends before
    /// this value; handlers cannot be registered with it.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, test::Host};
    /// fn visits(cx: &Context, page: &str) -> Result<i64> {
    ///     cx.cache("visits").incr(page, 1)
    /// }
    ///
    /// let host = Host::new();
    /// assert_eq!(visits(host.context(), "/")?, 1);
    /// assert_eq!(visits(host.tenant("acme").context(), "/")?, 1);
    /// # Ok::<(), pintle_plugin::Error>(())
    /// ```
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// What the plugin keeps in the cache for this scope, to look at and to prepare. No grant limits the test.
    #[must_use]
    pub fn cache<'a>(&'a self, namespace: &'a str) -> Cache<'a> {
        self.cx.cache(namespace)
    }

    /// What the plugin stores for this scope, to look at and to prepare, also before it starts. The plugin's watches are told
    /// what the test changes when it next asks something of the plugin; [`advance`](Host::advance) by nothing will do.
    #[must_use]
    pub fn storage(&self) -> Storage<'_> {
        self.cx.storage()
    }

    /// The plugin's database for this scope, to look at and to prepare, also before it starts. With the feature `test-sql`.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        self.cx.database()
    }

    /// What the plugin has begun for this scope, to look at and to prepare: the test can begin and end operations as another
    /// run of the plugin would.
    #[must_use]
    pub fn idempotency(&self) -> Idempotency<'_> {
        self.cx.idempotency()
    }

    /// The plugin's jobs in this scope, to look at, to pause and to ask for. A run that is asked for with
    /// [`run_now`](crate::Scheduler::run_now) begins when the test next asks something of the plugin;
    /// [`advance`](Host::advance) by nothing will do.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pintle_plugin::{Context, Error, JobOptions, Plugin, Result, Status, plugin, test::Host};
    ///
    /// struct Biller;
    ///
    /// impl Plugin for Biller {
    ///     fn load(_: &Context) -> Result<Self> {
    ///         Ok(Biller)
    ///     }
    ///
    ///     fn enable(&self, cx: &Context) -> Result<()> {
    ///         let options = JobOptions::new().durable().retries(2).backoff(Duration::from_secs(60));
    ///         cx.scheduler().cron_with("bill", "0 3 * * *", &options, |_, run| match run.attempt() {
    ///             1 => Err(Error::new(Status::Unavailable, "the bank sleeps")),
    ///             _ => run.reply(b"billed"),
    ///         })?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// plugin!(Biller, inline r#"{
    ///     "id": "biller", "version": "1.0.0", "abi": "1.0", "services": { "scheduler": {} }
    /// }"#);
    ///
    /// # fn main() -> Result<()> {
    /// let host = Host::new().start::<Biller>()?;
    /// assert_eq!(host.run_job("bill").map_err(|error| error.status()), Err(Status::Unavailable));
    /// host.reload()?; // It is durable.
    /// host.advance(Duration::from_secs(60))?;
    /// let runs = host.scheduler().history("bill")?;
    /// assert_eq!((runs.len(), runs[0].attempts), (1, 2));
    /// assert_eq!(runs[0].reply.as_deref().ok(), Some(&b"billed"[..]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scheduler(&self) -> Scheduler<'_> {
        self.cx.scheduler()
    }

    /// The plugin's files for this scope, to look at and to prepare, also before it starts.
    #[must_use]
    pub fn files(&self) -> Files<'_> {
        self.cx.files()
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        self.inside.close(self.cx.raw());
    }
}

impl fmt::Debug for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// An event that the plugin emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Emitted {
    /// The whole topic: `plugin.<id>.…`.
    pub topic: String,
    /// The payload.
    pub data: Vec<u8>,
    /// On whose behalf; `None` in the system scope.
    pub tenant: Option<String>,
    /// CloudEvents `id`: what the plugin gave, or one that the host made.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// CloudEvents `datacontenttype`.
    pub content_type: String,
    /// The ordering key.
    pub key: Option<String>,
    /// How many events led to this one.
    pub depth: u32,
    /// Did the plugin wait for the handlers ([`emit_sync`](crate::Events::emit_sync))?
    pub sync: bool,
    /// Its number in the log, if it is [durable](EmitOptions::durable).
    pub sequence: Option<u64>,
    durable: bool,
    time_ms: i64,
}

impl Emitted {
    /// When, by the host's clock.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        at(self.time_ms)
    }

    /// The payload, read as JSON.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument) if it is not JSON or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.data)
            .map_err(|error| Error::from(error).context(format_args!("the data of {}", self.topic)))
    }
}

/// A durable job that a batch of the plugin's has scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scheduled {
    /// Its name.
    pub name: String,
    /// On whose behalf; `None` in the system scope.
    pub tenant: Option<String>,
    /// When it runs.
    pub timing: Timing,
    /// What happens to a run that is due while the last one has not ended.
    pub overlap: Overlap,
    /// What its runs are given.
    pub data: Vec<u8>,
}

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timing {
    /// By a cron rule in a time zone, which is empty for UTC.
    Cron {
        /// The rule.
        rule: String,
        /// The zone's IANA name.
        zone: String,
    },
    /// At a steady beat.
    Every(Duration),
    /// Once, so long after the commit.
    Once(Duration),
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogRecord {
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub message: String,
    /// Its fields, those of the logger first.
    pub fields: Vec<(String, Value)>,
    /// On whose behalf; `None` in the system scope.
    pub tenant: Option<String>,
}

impl LogRecord {
    /// The value of a field, the last one of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}
