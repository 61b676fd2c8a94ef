//! Makes a host: every part by its settings, and who is told of what.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{A_YEAR, Host, Inner, cache::CacheWatch};
use crate::{
    application::Application,
    boundary::{Borrowing, Core, Moment, Pages},
    error::{Error, Result},
    folder::DataFolder,
    identity::Tenants,
    lanes::{Lane, Pool, PoolOptions, Report},
    metrics,
    plugin::{Plugins, PluginsOptions, ownership::TrustPolicy},
    services::{
        cache::{
            self, Cache, Lifetime, Lifetimes, MemoryCache, Outage, SqliteCache, SqliteOptions, Tiered,
            TieredOptions,
        },
        clock::{Clock, SystemClock},
        database::{self, Database, SqlLimits, SqliteDatabases},
        events::{Durable, DurableOptions, Events, LedgerLog, Retention, durable},
        files::{self, DiskFiles, DiskOptions, Files},
        idempotency::{self, Idempotency, LedgerIdempotency, Limits},
        ledger::{Durability, Ledger, LedgerOptions},
        log::{Field, Level, Log, Options as LogOptions, Target},
        outbox::{Outbox, Schedule},
        scheduler::{self, Scheduler, durable::ledger::LedgerStore},
        storage::{self, LedgerStorage, Storage, StorageOptions, outbox::KeptJob},
    },
    settings::{
        CacheBackend, CacheSettings, DatabaseSettings, Deadlines, EventSettings, IdempotencySettings,
        LogSettings, Settings, Synchronous,
    },
};

/// The name of the ledger in the data folder.
const LEDGER_FILE: &str = "pintle.db";

/// The name of the file that says which durable events are being handled.
const RUNNING_FILE: &str = "events.running";

/// The name of the cache's file in the data folder.
const CACHE_FILE: &str = "cache.db";

/// Makes a [`Host`].
#[derive(Debug, Default)]
pub struct HostBuilder {
    settings: Settings,
    log: Option<LogOptions>,
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
        let storage = {
            let log = log.clone();
            let report = move |error: &Error| {
                log.host(Level::Error, &error.to_string(), [Field::text("about", "storage")])
            };
            let mut options = StorageOptions::new(clock.clone(), report);
            options.read_cache = settings.storage.read_cache;
            LedgerStorage::open(ledger.clone(), options)?
        };
        let idempotency = make_idempotency(&settings.idempotency, &ledger, &clock, &log)?;
        let durable = make_durable(&folder, &settings.events, &ledger, &clock, &log)?;
        let files = open_files(&folder, &settings, &ledger, &log)?;
        let database = make_database(&folder, &settings, &clock);
        let report = Arc::new(LogReport { log: log.clone(), plugins: OnceLock::new() });
        let watch = Arc::new(CacheWatch::new(settings.cache.backend.name(), clock.clone()));
        let cache = open_cache(&folder, &settings.cache, &clock, &log, &watch)?;
        // The folder is locked: nobody else has these jobs.
        let jobs = Arc::new(LedgerStore::new(ledger.clone(), true));
        let core: &'static Core = (Core {
            pool: Pool::new(pool_options, report.clone()),
            tenants: Tenants::new(),
            events: Arc::new(Events::new(move || wall.now_ms())),
            durable,
            outbox: clock.alarm(),
            scheduler: Arc::new(Scheduler::new(clock.clone(), Some(jobs))),
            cache,
            storage: Storage::new(Box::new(storage), settings.storage.max_value, clock.clone()),
            idempotency,
            files,
            database,
            log,
            router: OnceLock::new(),
            kept: AtomicU64::new(0),
            epoch: Instant::now(),
            call_timeout: settings.deadlines.call,
        })
        .keep();
        core.scheduler.load()?;
        let outbox = Arc::new(start_outbox(core, &ledger, &clock)?);
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
            outbox,
            plugins,
            cache: watch,
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

/// The cache, with the back end that the settings name. The file of a host that keeps nothing lies in the folder that goes
/// with the host, as its ledger does.
fn open_cache(
    folder: &DataFolder,
    settings: &CacheSettings,
    clock: &Arc<SystemClock>,
    log: &Arc<Log>,
    watch: &Arc<CacheWatch>,
) -> Result<Cache> {
    let memory = MemoryCache::new(settings.capacity, clock.clone(), Arc::<Pages>::default());
    let backend: Box<dyn cache::CacheBackend> = match settings.backend {
        CacheBackend::Memory => Box::new(memory),
        CacheBackend::Sqlite => {
            let tiers = tiers(settings.l1_max_age, clock, log.clone(), watch.clone());
            let (log, watch) = (log.clone(), watch.clone());
            let report = move |error: &Error| {
                watch.note_reported(error);
                log.host(Level::Warn, &error.to_string(), [Field::text("about", "cache")]);
            };
            let options = SqliteOptions {
                capacity: settings.disk_capacity,
                clock: clock.clone(),
                report: Box::new(report),
            };
            // It is not made here: what is no file of a cache, an empty one too, is set aside.
            let file = Box::new(SqliteCache::open(folder.path().join(CACHE_FILE), options)?);
            Box::new(Tiered::new(memory, file, tiers))
        }
    };
    let lifetimes =
        Lifetimes { items: lifetime(settings.default_ttl), absent: lifetime(settings.absent_ttl) };
    Ok(Cache::new(backend, lifetimes, clock.clone()))
}

/// How memory and a back end behind it work together.
fn tiers(
    max_age: Option<Duration>,
    clock: &Arc<SystemClock>,
    log: Arc<Log>,
    watch: Arc<CacheWatch>,
) -> TieredOptions {
    let report = move |outage: &Outage| {
        let (level, text) = match outage {
            Outage::Begins(error) => (
                Level::Warn,
                format!(
                    "the back end of the cache is down: {error}: what is in memory is given, the rest is missed"
                ),
            ),
            Outage::Ends(span) => {
                (Level::Info, format!("the back end of the cache works again, after {} ms", span.as_millis()))
            }
        };
        watch.note_up(matches!(outage, Outage::Ends(_)));
        log.host(level, &text, [Field::text("about", "cache")]);
    };
    TieredOptions { max_age, clock: clock.clone(), report: Box::new(report) }
}

/// How long something in the cache lives whose plugin does not say; zero: it does not expire.
fn lifetime(ttl: Duration) -> Lifetime {
    match i64::try_from(ttl.as_millis()) {
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
    let log = log.clone();
    let report =
        move |error: &Error| log.host(Level::Error, &error.to_string(), [Field::text("about", "ledger")]);
    let options = LedgerOptions {
        durability: durability(settings),
        clock: clock.clone(),
        schemas: vec![
            storage::SCHEMA,
            storage::OUTBOX,
            durable::ledger::SCHEMA,
            scheduler::durable::ledger::SCHEMA,
            idempotency::SCHEMA,
            files::SCHEMA,
        ],
        report: Box::new(report),
    };
    Ledger::open(folder.private_file(LEDGER_FILE)?, options)
}

/// The idempotency service on the ledger.
fn make_idempotency(
    settings: &IdempotencySettings,
    ledger: &Arc<Ledger>,
    clock: &Arc<SystemClock>,
    log: &Arc<Log>,
) -> Result<Idempotency> {
    let log = log.clone();
    let report =
        move |error: &Error| log.host(Level::Warn, &error.to_string(), [Field::text("about", "idempotency")]);
    let store = LedgerIdempotency::new(ledger.clone(), clock.clone(), report)?;
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let limits = Limits {
        lease_ms: ms(settings.lease).clamp(1, idempotency::LONGEST_LEASE_MS),
        keep_ms: ms(settings.keep).clamp(1, idempotency::LONGEST_KEEP_MS),
        largest_result: settings.max_result,
    };
    Ok(Idempotency::new(Box::new(store), limits))
}

/// Durable events on the ledger, and the file beside it that says what is being handled.
fn make_durable(
    folder: &DataFolder,
    settings: &EventSettings,
    ledger: &Arc<Ledger>,
    clock: &Arc<SystemClock>,
    log: &Arc<Log>,
) -> Result<Durable> {
    let log = log.clone();
    let report =
        move |error: &Error| log.host(Level::Warn, &error.to_string(), [Field::text("about", "events")]);
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Durable::new(DurableOptions {
        log: Arc::new(LedgerLog::new(ledger.clone(), clock.clone())),
        clock: clock.clone(),
        running: folder.private_file(RUNNING_FILE)?,
        retention: Retention {
            age_ms: ms(settings.keep),
            bytes: settings.max_bytes,
            dedupe_ms: ms(settings.dedupe),
        },
        report: Box::new(report),
    })
}

/// The thread that publishes and schedules what batches of the storage have left.
fn start_outbox(core: &'static Core, ledger: &Arc<Ledger>, clock: &Arc<SystemClock>) -> Result<Outbox> {
    let publish = move |published| core.durable.publish(&core.events, published);
    let report = |error: &Error| {
        core.log.host(Level::Warn, &error.to_string(), [Field::text("about", "outbox")]);
    };
    let schedule = |job: &KeptJob| {
        core.scheduler.put_from_outbox(&job.name, job.spec.clone(), job.first_ms, &job.origin)
    };
    let schedule: Option<Schedule> = Some(Box::new(schedule));
    Outbox::start(ledger, clock.clone(), core.outbox.clone(), Box::new(publish), schedule, Box::new(report))
}

/// The files in the data folder, beside the ledger that knows them.
fn open_files(
    folder: &DataFolder,
    settings: &Settings,
    ledger: &Arc<Ledger>,
    log: &Arc<Log>,
) -> Result<Files> {
    let log = log.clone();
    let report =
        move |error: &Error| log.host(Level::Warn, &error.to_string(), [Field::text("about", "files")]);
    let options = DiskOptions {
        data: folder.path().to_owned(),
        durability: durability(settings),
        report: Box::new(report),
    };
    Ok(Files::new(Box::new(DiskFiles::open(ledger.clone(), options)?), settings.files.max_size))
}

/// The SQL databases of plugins, in files in the data folder.
fn make_database(folder: &DataFolder, settings: &Settings, clock: &Arc<SystemClock>) -> Database {
    let DatabaseSettings {
        connections,
        idle,
        statement,
        transaction,
        max_rows,
        max_value,
        max_bytes,
        temporary_bytes,
    } = settings.database;
    let databases = SqliteDatabases::new(database::SqliteOptions {
        data: folder.path().to_owned(),
        durability: durability(settings),
        clock: clock.clone(),
        statements: Borrowing::open,
        connections,
        idle,
        largest: max_value,
        temporary_bytes,
    });
    let limits = SqlLimits { statement, transaction, rows: max_rows, bytes: max_bytes };
    Database::new(Box::new(databases), limits, clock.clone())
}

/// What is written to the data folder is to survive. Without one it is gone with the host anyway.
fn durability(settings: &Settings) -> Durability {
    match (&settings.data, settings.storage.synchronous) {
        (None, _) => Durability::Off,
        (Some(_), Synchronous::Full) => Durability::Full,
        (Some(_), Synchronous::Normal) => Durability::Normal,
    }
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
