//! `pintle.toml`: what an operator sets. Plain data, checked as a whole: every mistake is told at once, with its
//! line and what was probably meant. What it means is up to whoever gets it.
//!
//! Every key stands in `KEYS`; `docs/settings.md` explains each, and tests hold the three together.

mod read;

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde_json::{Map, Value};

use crate::{
    Error, ErrorKind,
    services::log::{Format, Level},
};

/// Everything that can be set, with the defaults of what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The folder for all that lasts; None: the host keeps nothing.
    pub data: Option<PathBuf>,
    /// Folders with plugins; of two with one id the one in the first folder wins.
    pub plugins: Vec<PathBuf>,
    /// How many plugin calls may run at once; None: as many as there are processors.
    pub workers: Option<usize>,
    /// The log.
    pub log: LogSettings,
    /// Which files are trusted enough to be loaded.
    pub trust: Trust,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// How much may wait.
    pub queues: Queues,
    /// The cache.
    pub cache: CacheSettings,
    /// The storage.
    pub storage: StorageSettings,
    /// The log of durable events.
    pub events: EventSettings,
    /// The idempotency service.
    pub idempotency: IdempotencySettings,
    /// The files.
    pub files: FileSettings,
    /// The SQL databases of plugins.
    pub database: DatabaseSettings,
    /// The control socket.
    pub control: ControlSettings,
    /// What is counted, and who may ask for it.
    pub metrics: MetricsSettings,
    /// How slow, stuck and faulty a plugin may be that has no budgets of its own.
    pub budgets: BudgetSettings,
    /// What is set for single plugins, by id, loaded or not.
    pub plugin: BTreeMap<String, PluginSettings>,
}

/// The log: `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// From which level on records are written.
    pub level: Level,
    /// How they look.
    pub format: Format,
    /// The file that they go to; None: stderr.
    pub file: Option<PathBuf>,
    /// How many bytes may wait to be written before records are dropped.
    pub buffer: usize,
}

/// Which files are trusted: `[trust]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Load, with a warning, what belongs to other users or can be written by everybody.
    pub allow_foreign: bool,
    /// Refuse also what a group may write.
    pub strict: bool,
}

/// How long things may take: `[deadlines]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// A plugin's `load`, and its `enable`.
    pub load: Duration,
    /// One call of a handler.
    pub handler: Duration,
    /// A plugin's `disable` and `unload`, and the whole host's stop.
    pub stop: Duration,
    /// A call to a plugin whose caller names no deadline.
    pub call: Duration,
}

/// How much may wait: `[queues]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Calls in one plugin's lane.
    pub lane: usize,
}

/// The cache: `[cache]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// What is behind the memory.
    pub backend: CacheBackend,
    /// How many bytes of memory all items together may take, with what it takes to keep them.
    pub capacity: usize,
    /// How many bytes `cache.db` may have; counts with [`CacheBackend::Sqlite`] alone.
    pub disk_capacity: u64,
    /// How long an item lives whose plugin does not say; zero: it does not expire.
    pub default_ttl: Duration,
    /// How long a note lives that there is nothing, whose plugin does not say.
    pub absent_ttl: Duration,
    /// How long the memory may go on giving what it has without a look at the back end; None: as long as the item lives.
    /// Counts only where there is a back end.
    pub l1_max_age: Option<Duration>,
}

/// What is behind the memory of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheBackend {
    /// Nothing: items are gone with the host.
    #[default]
    Memory,
    /// An SQLite file in the data folder: items outlive the host.
    Sqlite,
}

impl CacheBackend {
    /// As the settings write it: `sqlite`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
    }
}

impl FromStr for CacheBackend {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "memory" => Ok(Self::Memory),
            "sqlite" => Ok(Self::Sqlite),
            _ => Err(()),
        }
    }
}

/// The storage: `[storage]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// The most bytes that a value may have.
    pub max_value: usize,
    /// How many bytes of memory values may take that were read not long ago; 0: none are kept there.
    pub read_cache: usize,
    /// What OK to a write is to survive.
    pub synchronous: Synchronous,
}

/// The log of durable events: `[events]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// How long an event is kept, acknowledged or not; at most a year.
    pub keep: Duration,
    /// The most bytes that the log may have: above, the oldest events go.
    pub max_bytes: u64,
    /// How long the id of an event is known, so that one that is published twice is delivered once; at most a day.
    pub dedupe: Duration,
}

/// The idempotency service: `[idempotency]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencySettings {
    /// How long others keep off an operation that was begun, where its plugin does not say; at most a day.
    pub lease: Duration,
    /// How long a result is kept, where its plugin does not say; at most a year.
    pub keep: Duration,
    /// The most bytes that a result may have.
    pub max_result: usize,
}

/// The files: `[files]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The most bytes that a file may have.
    pub max_size: usize,
}

/// The SQL databases of plugins: `[database]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// How many connections may be open, to the databases of all plugins together.
    pub connections: usize,
    /// After how long one is closed that nobody has used.
    pub idle: Duration,
    /// The longest that a statement may take.
    pub statement: Duration,
    /// The longest that a transaction may be open.
    pub transaction: Duration,
    /// The most rows that a statement may give.
    pub max_rows: u64,
    /// The most bytes that a value, a row and a text of SQL may have.
    pub max_value: usize,
    /// The most bytes that the database of one plugin and one tenant may have, where the plugin's quota does not say.
    pub max_bytes: u64,
    /// The most bytes that one statement or transaction may write to temporary tables and files.
    pub temporary_bytes: u64,
}

/// The control socket: `[control]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// Whether a host that has a data folder can be asked and told things through a socket in it.
    pub enabled: bool,
}

/// Metrics: `[metrics]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// A loopback address at which OpenMetrics text is served over HTTP; None: nowhere.
    pub listen: Option<SocketAddr>,
    /// For how many tenants a plugin's calls are counted on their own; those of others are counted together.
    pub tenants: usize,
}

/// How slow, stuck and faulty a plugin may be before it is suspended: `[budgets]`. Without one of `slow`, `stuck` and
/// `errors_percent` nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// How far back is looked.
    pub window: Duration,
    /// A handler that takes longer is slow; None: none is.
    pub slow_after: Option<Duration>,
    /// How many slow handlers are tolerated within the window; None: all.
    pub slow: Option<u32>,
    /// How many calls past their deadline are tolerated within the window; None: all.
    pub stuck: Option<u32>,
    /// How many of a hundred handlers may fail within the window; None: all.
    pub errors_percent: Option<u32>,
    /// Below so many handlers within the window `errors_percent` says nothing.
    pub errors_least: u32,
    /// After how long a plugin that was suspended is enabled again; None: only by hand.
    pub cooldown: Option<Duration>,
}

impl BudgetSettings {
    /// Whether a plugin can be suspended for anything.
    #[must_use]
    pub fn any(&self) -> bool {
        (self.slow.is_some() && self.slow_after.is_some())
            || self.stuck.is_some()
            || self.errors_percent.is_some()
    }
}

/// What a write is to survive that was answered with OK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// A crash of the process and a power failure.
    #[default]
    Full,
    /// A crash of the process; a power failure may take the last writes, never a part of one.
    Normal,
}

impl FromStr for Synchronous {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(()),
        }
    }
}

/// What is set for one plugin: `[plugin.<id>]`. Its `Debug` shows no value of `config`: which of them are secret
/// only the plugin's schema knows.
#[derive(Clone, PartialEq)]
pub struct PluginSettings {
    /// Whether it is loaded at all.
    pub enabled: bool,
    /// Its own log level.
    pub log: Option<Level>,
    /// Its settings, to be checked against its schema.
    pub config: Map<String, Value>,
    /// At most this many of its calls at once; it can only lower what the manifest asks for.
    pub concurrency: Option<usize>,
    /// What of the manifest's wishes is granted.
    pub grants: GrantSettings,
    /// How much it may do.
    pub quota: QuotaSettings,
    /// Budgets of its own; None: those of all plugins.
    pub budgets: Option<BudgetSettings>,
}

/// How much a plugin may do: `[plugin.<id>.quota]`; None: as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaSettings {
    /// Calls to the host in a second.
    pub calls_per_second: Option<u32>,
    /// Calls to the host in a second for each tenant that it serves, the system scope being one.
    pub tenant_calls_per_second: Option<u32>,
    /// Items in the storage, for all tenants together.
    pub storage_items: Option<u64>,
    /// The bytes of their keys and values.
    pub storage_bytes: Option<u64>,
    /// Items in the storage for each tenant, the system scope being one.
    pub tenant_storage_items: Option<u64>,
    /// The bytes of their keys and values.
    pub tenant_storage_bytes: Option<u64>,
    /// Bytes in files, for all tenants together.
    pub files_bytes: Option<u64>,
    /// Files, for all tenants together.
    pub files_count: Option<u64>,
    /// Bytes in files for each tenant that it serves, the system scope being one.
    pub tenant_files_bytes: Option<u64>,
    /// Files for each tenant that it serves, the system scope being one.
    pub tenant_files_count: Option<u64>,
    /// Bytes of its SQL database for each tenant that it serves, the system scope being one.
    pub database_bytes: Option<u64>,
}

/// What of a manifest's wishes is granted: `[plugin.<id>.grants]`. Each list narrows, none widens; None narrows
/// nothing, an empty one leaves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantSettings {
    /// Services, by name.
    pub services: Option<Vec<String>>,
    /// Methods, as `service.method`.
    pub methods: Option<Vec<String>>,
    /// Topics that it may subscribe to.
    pub subscribe: Option<Vec<String>>,
    /// Topics that it may publish.
    pub publish: Option<Vec<String>>,
    /// Services of other plugins that it may call.
    pub call: Option<Vec<String>>,
    /// Cache namespaces.
    pub namespaces: Option<Vec<String>>,
}

impl Settings {
    /// Reads a file. Relative paths in it are relative to its folder.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Problems> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|error| {
            let message = format!("the settings cannot be read: {error}");
            Problems {
                file: Some(path.to_owned()),
                list: vec![Problem { place: None, key: String::new(), message }],
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::from_text(&text, folder)
            .map_err(|problems| Problems { file: Some(path.to_owned()), ..problems })
    }

    /// Reads a text. Relative paths in it are relative to `folder`.
    pub fn from_text(text: &str, folder: impl AsRef<Path>) -> Result<Self, Problems> {
        read::read(text, folder.as_ref()).map_err(|list| Problems { file: None, list })
    }

    /// The budgets of a plugin: its own, or those of all.
    #[must_use]
    pub fn budgets_of(&self, plugin: &str) -> BudgetSettings {
        self.plugin.get(plugin).and_then(|settings| settings.budgets).unwrap_or(self.budgets)
    }

    /// What is set for a plugin, or the defaults.
    #[must_use]
    pub fn of(&self, plugin: &str) -> PluginSettings {
        self.plugin.get(plugin).cloned().unwrap_or_default()
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Auto, file: None, buffer: 4 << 20 }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            load: Duration::from_secs(10),
            handler: Duration::from_secs(30),
            stop: Duration::from_secs(10),
            call: Duration::from_secs(5),
        }
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self { lane: 4_096 }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            backend: CacheBackend::default(),
            capacity: 64 << 20,
            disk_capacity: 1 << 30,
            default_ttl: Duration::from_secs(3_600),
            absent_ttl: Duration::from_secs(10),
            l1_max_age: None,
        }
    }
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { max_value: 4 << 20, read_cache: 32 << 20, synchronous: Synchronous::default() }
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(7 * 86_400), max_bytes: 1 << 30, dedupe: Duration::from_secs(120) }
    }
}

impl Default for IdempotencySettings {
    fn default() -> Self {
        Self { lease: Duration::from_secs(60), keep: Duration::from_secs(86_400), max_result: 1 << 20 }
    }
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { max_size: 64 << 20 }
    }
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            connections: 64,
            idle: Duration::from_secs(60),
            statement: Duration::from_secs(5),
            transaction: Duration::from_secs(30),
            max_rows: 1_000_000,
            max_value: 1 << 20,
            max_bytes: 256 << 20,
            temporary_bytes: 64 << 20,
        }
    }
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { listen: None, tenants: 100 }
    }
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            slow_after: None,
            slow: None,
            stuck: None,
            errors_percent: None,
            errors_least: 20,
            cooldown: Some(Duration::from_secs(60)),
        }
    }
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            log: None,
            config: Map::new(),
            concurrency: None,
            grants: GrantSettings::default(),
            quota: QuotaSettings::default(),
            budgets: None,
        }
    }
}

impl fmt::Debug for PluginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSettings")
            .field("enabled", &self.enabled)
            .field("log", &self.log)
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .field("concurrency", &self.concurrency)
            .field("grants", &self.grants)
            .field("quota", &self.quota)
            .field("budgets", &self.budgets)
            .finish()
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file, if they come from one.
    pub file: Option<PathBuf>,
    /// In the order of the text.
    pub list: Vec<Problem>,
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, from 1; None if it is about the file.
    pub place: Option<(usize, usize)>,
    /// The key, as `log.level`; empty if it is about the text.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problems {
    /// One line a problem, as compilers write them: `pintle.toml:3:5: log.level: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            match &self.file {
                Some(file) => write!(f, "{}", file.display())?,
                None => f.write_str("settings")?,
            }
            if let Some((line, column)) = problem.place {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": ")?;
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::new(ErrorKind::InvalidArgument, problems.to_string())
    }
}

/// A key of the settings; `<id>` stands for any plugin's id.
pub struct Key {
    /// Its full name.
    pub name: &'static str,
    /// What it takes, in words for an error's text.
    pub takes: &'static str,
}

/// Every key there is.
pub const KEYS: [Key; 76] = [
    Key { name: "data", takes: "the path of a folder" },
    Key { name: "plugins", takes: "a list of folders" },
    Key { name: "workers", takes: "a number from 1 to 1024" },
    Key { name: "log.level", takes: LEVELS },
    Key { name: "log.format", takes: r#""auto", "json" or "text""# },
    Key { name: "log.file", takes: "the path of a file" },
    Key { name: "log.buffer", takes: "a number of bytes from 65536 to 1073741824" },
    Key { name: "trust.allow_foreign", takes: "true or false" },
    Key { name: "trust.strict", takes: "true or false" },
    Key { name: "deadlines.load_ms", takes: MILLISECONDS },
    Key { name: "deadlines.handler_ms", takes: MILLISECONDS },
    Key { name: "deadlines.stop_ms", takes: MILLISECONDS },
    Key { name: "deadlines.call_ms", takes: MILLISECONDS },
    Key { name: "queues.lane", takes: "a number from 1 to 1048576" },
    Key { name: "cache.backend", takes: r#""memory" or "sqlite""# },
    Key { name: "cache.capacity", takes: "a number of bytes from 1048576 to 1099511627776" },
    Key { name: "cache.disk_capacity", takes: "a number of bytes from 4194304 to 1099511627776" },
    Key {
        name: "cache.default_ttl_ms",
        takes: "a number of milliseconds from 0 to 31622400000, 0 for no expiry",
    },
    Key { name: "cache.absent_ttl_ms", takes: "a number of milliseconds from 1 to 31622400000" },
    Key {
        name: "cache.l1_max_age_ms",
        takes: "a number of milliseconds from 0 to 31622400000, 0 for no bound",
    },
    Key { name: "storage.max_value", takes: "a number of bytes from 1024 to 67108864" },
    Key { name: "storage.read_cache", takes: "a number of bytes from 0 to 17179869184" },
    Key { name: "storage.synchronous", takes: r#""full" or "normal""# },
    Key { name: "events.keep_ms", takes: "a number of milliseconds from 1 to 31536000000" },
    Key { name: "events.max_bytes", takes: "a number of bytes from 1048576 to 1099511627776" },
    Key { name: "events.dedupe_ms", takes: MILLISECONDS },
    Key { name: "idempotency.lease_ms", takes: MILLISECONDS },
    Key { name: "idempotency.keep_ms", takes: "a number of milliseconds from 1 to 31536000000" },
    Key { name: "idempotency.max_result", takes: "a number of bytes from 1024 to 67108864" },
    Key { name: "files.max_size", takes: "a number of bytes from 1024 to 1073741824" },
    Key { name: "database.connections", takes: "a number from 4 to 4096" },
    Key { name: "database.idle_ms", takes: MILLISECONDS },
    Key { name: "database.statement_ms", takes: MILLISECONDS },
    Key { name: "database.transaction_ms", takes: MILLISECONDS },
    Key { name: "database.max_rows", takes: "a number from 1 to 1000000000000" },
    Key { name: "database.max_value", takes: "a number of bytes from 65536 to 67108864" },
    Key { name: "database.max_bytes", takes: "a number of bytes from 1048576 to 1125899906842624" },
    Key { name: "database.temporary_bytes", takes: "a number of bytes from 1048576 to 1125899906842624" },
    Key { name: "control.enabled", takes: "true or false" },
    Key { name: "metrics.listen", takes: r#"a loopback address with a port, as in "127.0.0.1:9464""# },
    Key { name: "metrics.tenants", takes: "a number from 0 to 1000" },
    Key { name: "budgets.window_ms", takes: WINDOW },
    Key { name: "budgets.slow_ms", takes: SLOW },
    Key { name: "budgets.slow", takes: TOLERATED },
    Key { name: "budgets.stuck", takes: TOLERATED },
    Key { name: "budgets.errors_percent", takes: PERCENT },
    Key { name: "budgets.errors_least", takes: "a number of handlers from 1 to 1000000" },
    Key { name: "budgets.cooldown_ms", takes: COOLDOWN },
    Key { name: "plugin.<id>.enabled", takes: "true or false" },
    Key { name: "plugin.<id>.log", takes: LEVELS },
    Key { name: "plugin.<id>.concurrency", takes: "a number from 1 to 1024" },
    Key { name: "plugin.<id>.config", takes: "a table" },
    Key { name: "plugin.<id>.grants.services", takes: "a list of the host's services" },
    Key { name: "plugin.<id>.grants.methods", takes: r#"a list of methods, as in ["cache.get"]"# },
    Key { name: "plugin.<id>.grants.subscribe", takes: "a list of topics" },
    Key { name: "plugin.<id>.grants.publish", takes: "a list of topics" },
    Key { name: "plugin.<id>.grants.call", takes: "a list of plugins' services" },
    Key { name: "plugin.<id>.grants.namespaces", takes: "a list of namespaces" },
    Key { name: "plugin.<id>.quota.calls_per_second", takes: CALLS },
    Key { name: "plugin.<id>.quota.tenant_calls_per_second", takes: CALLS },
    Key { name: "plugin.<id>.quota.storage_items", takes: ITEMS },
    Key { name: "plugin.<id>.quota.storage_bytes", takes: BYTES },
    Key { name: "plugin.<id>.quota.tenant_storage_items", takes: ITEMS },
    Key { name: "plugin.<id>.quota.tenant_storage_bytes", takes: BYTES },
    Key { name: "plugin.<id>.quota.files_bytes", takes: BYTES },
    Key { name: "plugin.<id>.quota.files_count", takes: ITEMS },
    Key { name: "plugin.<id>.quota.tenant_files_bytes", takes: BYTES },
    Key { name: "plugin.<id>.quota.tenant_files_count", takes: ITEMS },
    Key {
        name: "plugin.<id>.quota.database_bytes",
        takes: "a number of bytes from 1048576 to 1125899906842624",
    },
    Key { name: "plugin.<id>.budgets.window_ms", takes: WINDOW },
    Key { name: "plugin.<id>.budgets.slow_ms", takes: SLOW },
    Key { name: "plugin.<id>.budgets.slow", takes: TOLERATED },
    Key { name: "plugin.<id>.budgets.stuck", takes: TOLERATED },
    Key { name: "plugin.<id>.budgets.errors_percent", takes: PERCENT },
    Key { name: "plugin.<id>.budgets.errors_least", takes: "a number of handlers from 1 to 1000000" },
    Key { name: "plugin.<id>.budgets.cooldown_ms", takes: COOLDOWN },
];

const LEVELS: &str = r#""trace", "debug", "info", "warn", "error" or "fatal""#;
const WINDOW: &str = "a number of milliseconds from 100 to 86400000";
const SLOW: &str = "a number of milliseconds from 1 to 86400000, or false for no limit";
const TOLERATED: &str = "a number from 0 to 1000000, or false for no limit";
const PERCENT: &str = "a number from 0 to 99, or false for no limit";
const COOLDOWN: &str = "a number of milliseconds from 0 to 86400000, 0 for release by hand alone";
const CALLS: &str = "a number from 1 to 1000000000";
const ITEMS: &str = "a number of items from 1 to 1000000000000";
const BYTES: &str = "a number of bytes from 1 to 1125899906842624";
const MILLISECONDS: &str = "a number of milliseconds from 1 to 86400000";

#[cfg(test)]
mod tests;
