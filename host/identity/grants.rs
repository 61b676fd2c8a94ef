//! What one version of one plugin may do, interned by content and never freed, so that a scope holds it by
//! reference without a count. What the manifest asks for, narrowed by the operator, becomes one of these at load.

use std::{collections::HashSet, sync::LazyLock};

use parking_lot::Mutex;

/// A function of a table, as grants and counters know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Method {
    SetError,
    Hold,
    Release,
    Scope,
    Remaining,
    Call,
    Service,
    LogWrite,
    LogEnabled,
    LogLoggerNew,
    LogLoggerWrite,
    LogLoggerFree,
    ConfigGet,
    ConfigText,
    ConfigInteger,
    ConfigNumber,
    ConfigBoolean,
    EventsEmit,
    EventsSubscribe,
    EventsUnsubscribe,
    EventsEmitSync,
    EventsAck,
    EventsNack,
    SchedulerCron,
    SchedulerInterval,
    SchedulerOnce,
    SchedulerRemove,
    SchedulerAfter,
    SchedulerHandle,
    SchedulerForget,
    SchedulerPause,
    SchedulerResume,
    SchedulerRunNow,
    SchedulerList,
    SchedulerHistory,
    CacheGet,
    CacheGetInto,
    CacheSet,
    CacheRemove,
    CacheExists,
    CacheIncr,
    CacheExpire,
    CacheTtl,
    CacheGetMany,
    CacheSetMany,
    CacheSetAbsent,
    CacheFetch,
    CacheFail,
    CacheInvalidate,
    CacheInvalidateTag,
    CacheClear,
    CacheKeys,
    CacheStats,
    StorageGet,
    StorageSet,
    StorageRemove,
    StorageExists,
    StorageKeys,
    StorageClear,
    StorageGetInto,
    StorageIncr,
    StorageExpire,
    StorageBatch,
    StorageWatch,
    StorageUnwatch,
    StorageStats,
    IdempotencyBegin,
    IdempotencyComplete,
    IdempotencyFail,
    IdempotencyRenew,
    IdempotencyGet,
    FilesPut,
    FilesGet,
    FilesRead,
    FilesStat,
    FilesList,
    FilesRemove,
    FilesResource,
    DatabaseExecute,
    DatabaseQuery,
    DatabaseQueryOne,
    DatabaseScript,
    DatabaseBegin,
    DatabaseCommit,
    DatabaseRollback,
    DatabaseMigrate,
    DatabaseCreateTable,
    DatabaseStats,
    Reply,
}

/// A service, as counters know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Service {
    /// The functions of `pintle_host` itself.
    Host,
    /// Calls by message.
    Call,
    Log,
    Config,
    Cache,
    Storage,
    Events,
    Scheduler,
    Idempotency,
    Files,
    Database,
}

impl Service {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Host,
        Self::Call,
        Self::Log,
        Self::Config,
        Self::Cache,
        Self::Storage,
        Self::Events,
        Self::Scheduler,
        Self::Idempotency,
        Self::Files,
        Self::Database,
    ];
    /// Room for those to come.
    pub(crate) const ROOM: usize = 16;

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Call => "call",
            Self::Log => "log",
            Self::Config => "config",
            Self::Cache => "cache",
            Self::Storage => "storage",
            Self::Events => "events",
            Self::Scheduler => "scheduler",
            Self::Idempotency => "idempotency",
            Self::Files => "files",
            Self::Database => "database",
        }
    }
}

impl Method {
    /// Whose method it is.
    #[inline]
    pub(crate) const fn service(self) -> Service {
        match self {
            Self::SetError | Self::Hold | Self::Release | Self::Scope => Service::Host,
            Self::Remaining | Self::Service | Self::Reply => Service::Host,
            Self::Call => Service::Call,
            Self::LogWrite | Self::LogEnabled => Service::Log,
            Self::LogLoggerNew | Self::LogLoggerWrite | Self::LogLoggerFree => Service::Log,
            Self::ConfigGet | Self::ConfigText => Service::Config,
            Self::ConfigInteger | Self::ConfigNumber | Self::ConfigBoolean => Service::Config,
            Self::EventsEmit | Self::EventsSubscribe => Service::Events,
            Self::EventsUnsubscribe | Self::EventsEmitSync => Service::Events,
            Self::EventsAck | Self::EventsNack => Service::Events,
            Self::SchedulerCron | Self::SchedulerInterval => Service::Scheduler,
            Self::SchedulerOnce | Self::SchedulerRemove => Service::Scheduler,
            Self::SchedulerAfter | Self::SchedulerHandle | Self::SchedulerForget => Service::Scheduler,
            Self::SchedulerPause | Self::SchedulerResume | Self::SchedulerRunNow => Service::Scheduler,
            Self::SchedulerList | Self::SchedulerHistory => Service::Scheduler,
            Self::CacheGet | Self::CacheGetInto | Self::CacheSet | Self::CacheRemove => Service::Cache,
            Self::CacheExists | Self::CacheIncr | Self::CacheExpire | Self::CacheTtl => Service::Cache,
            Self::CacheGetMany | Self::CacheSetMany | Self::CacheSetAbsent => Service::Cache,
            Self::CacheFetch | Self::CacheFail | Self::CacheInvalidate => Service::Cache,
            Self::CacheInvalidateTag | Self::CacheClear => Service::Cache,
            Self::CacheKeys | Self::CacheStats => Service::Cache,
            Self::StorageGet | Self::StorageSet | Self::StorageRemove => Service::Storage,
            Self::StorageExists | Self::StorageKeys | Self::StorageClear => Service::Storage,
            Self::StorageGetInto | Self::StorageIncr | Self::StorageExpire => Service::Storage,
            Self::StorageBatch | Self::StorageWatch | Self::StorageUnwatch => Service::Storage,
            Self::StorageStats => Service::Storage,
            Self::IdempotencyBegin | Self::IdempotencyComplete => Service::Idempotency,
            Self::IdempotencyFail | Self::IdempotencyRenew | Self::IdempotencyGet => Service::Idempotency,
            Self::FilesPut | Self::FilesGet | Self::FilesRead | Self::FilesStat => Service::Files,
            Self::FilesList | Self::FilesRemove | Self::FilesResource => Service::Files,
            Self::DatabaseExecute | Self::DatabaseQuery | Self::DatabaseQueryOne => Service::Database,
            Self::DatabaseScript | Self::DatabaseBegin | Self::DatabaseCommit => Service::Database,
            Self::DatabaseRollback | Self::DatabaseMigrate => Service::Database,
            Self::DatabaseCreateTable | Self::DatabaseStats => Service::Database,
        }
    }

    /// Every method that a manifest can ask for, with its service's name and its own.
    const ASKED_FOR: [(Self, &'static str, &'static str); 71] = [
        (Self::EventsEmit, "events", "emit"),
        (Self::EventsSubscribe, "events", "subscribe"),
        (Self::EventsUnsubscribe, "events", "unsubscribe"),
        (Self::EventsEmitSync, "events", "emit_sync"),
        (Self::EventsAck, "events", "ack"),
        (Self::EventsNack, "events", "nack"),
        (Self::SchedulerCron, "scheduler", "cron"),
        (Self::SchedulerInterval, "scheduler", "interval"),
        (Self::SchedulerOnce, "scheduler", "once"),
        (Self::SchedulerRemove, "scheduler", "remove"),
        (Self::SchedulerAfter, "scheduler", "after"),
        (Self::SchedulerHandle, "scheduler", "handle"),
        (Self::SchedulerForget, "scheduler", "forget"),
        (Self::SchedulerPause, "scheduler", "pause"),
        (Self::SchedulerResume, "scheduler", "resume"),
        (Self::SchedulerRunNow, "scheduler", "run_now"),
        (Self::SchedulerList, "scheduler", "list"),
        (Self::SchedulerHistory, "scheduler", "history"),
        (Self::CacheGet, "cache", "get"),
        (Self::CacheGetInto, "cache", "get"),
        (Self::CacheSet, "cache", "set"),
        (Self::CacheRemove, "cache", "remove"),
        (Self::CacheExists, "cache", "exists"),
        (Self::CacheIncr, "cache", "incr"),
        (Self::CacheExpire, "cache", "expire"),
        (Self::CacheTtl, "cache", "ttl"),
        (Self::CacheGetMany, "cache", "get"),
        (Self::CacheSetMany, "cache", "set"),
        (Self::CacheSetAbsent, "cache", "set"),
        (Self::CacheFetch, "cache", "fetch"),
        (Self::CacheFail, "cache", "fetch"),
        (Self::CacheInvalidate, "cache", "invalidate"),
        (Self::CacheInvalidateTag, "cache", "invalidate"),
        (Self::CacheClear, "cache", "clear"),
        (Self::CacheKeys, "cache", "keys"),
        (Self::CacheStats, "cache", "stats"),
        (Self::StorageGet, "storage", "get"),
        (Self::StorageSet, "storage", "set"),
        (Self::StorageRemove, "storage", "remove"),
        (Self::StorageExists, "storage", "exists"),
        (Self::StorageKeys, "storage", "keys"),
        (Self::StorageClear, "storage", "clear"),
        (Self::StorageGetInto, "storage", "get"),
        (Self::StorageIncr, "storage", "incr"),
        (Self::StorageExpire, "storage", "expire"),
        (Self::StorageBatch, "storage", "batch"),
        (Self::StorageWatch, "storage", "watch"),
        (Self::StorageUnwatch, "storage", "watch"),
        (Self::StorageStats, "storage", "stats"),
        (Self::IdempotencyBegin, "idempotency", "begin"),
        (Self::IdempotencyComplete, "idempotency", "complete"),
        (Self::IdempotencyFail, "idempotency", "fail"),
        (Self::IdempotencyRenew, "idempotency", "renew"),
        (Self::IdempotencyGet, "idempotency", "get"),
        (Self::FilesPut, "files", "put"),
        (Self::FilesGet, "files", "get"),
        (Self::FilesRead, "files", "read"),
        (Self::FilesStat, "files", "stat"),
        (Self::FilesList, "files", "list"),
        (Self::FilesRemove, "files", "remove"),
        (Self::FilesResource, "files", "resource"),
        (Self::DatabaseExecute, "database", "execute"),
        (Self::DatabaseQuery, "database", "query"),
        (Self::DatabaseQueryOne, "database", "query"),
        (Self::DatabaseScript, "database", "execute"),
        (Self::DatabaseBegin, "database", "begin"),
        (Self::DatabaseCommit, "database", "begin"),
        (Self::DatabaseRollback, "database", "begin"),
        (Self::DatabaseMigrate, "database", "migrate"),
        (Self::DatabaseCreateTable, "database", "create_table"),
        (Self::DatabaseStats, "database", "stats"),
    ];

    /// What only gives something back, or tells of the running call: a plugin above its quota must be able to do
    /// that.
    const UNMETERED: [Self; 17] = [
        Self::SetError,
        Self::Release,
        Self::Scope,
        Self::Remaining,
        Self::LogEnabled,
        Self::LogLoggerFree,
        Self::EventsUnsubscribe,
        Self::EventsAck,
        Self::EventsNack,
        Self::SchedulerRemove,
        Self::CacheFail,
        Self::StorageUnwatch,
        Self::IdempotencyComplete,
        Self::IdempotencyFail,
        Self::DatabaseCommit,
        Self::DatabaseRollback,
        Self::Reply,
    ];

    /// The methods of a service that must be asked for, with their names.
    pub(crate) fn of_service(service: &str) -> impl Iterator<Item = (Self, &'static str)> {
        Self::ASKED_FOR
            .into_iter()
            .filter(move |(_, of, _)| *of == service)
            .map(|(method, _, name)| (method, name))
    }

    /// Service and name of a method that must be asked for; `None` for what everyone may call.
    pub(crate) fn asked_for(self) -> Option<(&'static str, &'static str)> {
        Self::ASKED_FOR
            .into_iter()
            .find(|(method, ..)| *method == self)
            .map(|(_, service, name)| (service, name))
    }
}

/// What a plugin is permitted. Lists are sorted or in the manifest's order; equal content is one `Grants`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Permits {
    /// The methods that must be asked for and were granted.
    pub(crate) methods: Vec<Method>,
    /// Patterns of topics that it may subscribe to.
    pub(crate) subscribe: Vec<String>,
    /// Patterns of topics, below its own, that it may publish.
    pub(crate) publish: Vec<String>,
    /// Services of other plugins and of the application that it may call or ask for.
    pub(crate) call: Vec<String>,
    /// The cache namespaces that it may use; all if `None`.
    pub(crate) namespaces: Option<Vec<String>>,
    /// Its calls are counted against a quota, so that none is let through at once.
    pub(crate) metered: bool,
}

/// What one version of one plugin may do.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grants {
    plugin: String,
    version: String,
    allowed: u128,
    /// What needs no closer look.
    at_once: u128,
    permits: Permits,
}

static KNOWN: LazyLock<Mutex<HashSet<&'static Grants>>> = LazyLock::new(Mutex::default);

impl Grants {
    /// The one `Grants` of this content.
    pub(crate) fn intern(plugin: &str, version: &str, permits: Permits) -> &'static Self {
        let must_ask = Method::ASKED_FOR.iter().fold(0_u128, |bits, (method, ..)| bits | 1 << *method as u8);
        let allowed = permits.methods.iter().fold(!must_ask, |bits, method| bits | 1 << *method as u8);
        let unmetered = Method::UNMETERED.iter().fold(0, |bits, method| bits | 1 << *method as u8);
        let at_once = if permits.metered { allowed & unmetered } else { allowed };
        let wanted = Self { plugin: plugin.into(), version: version.into(), allowed, at_once, permits };
        let mut known = KNOWN.lock();
        if let Some(same) = known.get(&wanted) {
            return same;
        }
        let kept: &'static Self = Box::leak(Box::new(wanted));
        known.insert(kept);
        kept
    }

    pub(crate) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Whether a call of `method` may go on without a closer look.
    #[inline]
    pub(crate) fn allows_at_once(&self, method: Method) -> bool {
        self.at_once >> method as u8 & 1 == 1
    }

    /// Whether it may call `method` at all; which topics and services is another question.
    pub(crate) fn allows(&self, method: Method) -> bool {
        self.allowed >> method as u8 & 1 == 1
    }

    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_grants_are_one() {
        let permits = || Permits { methods: vec![Method::EventsEmit], ..Permits::default() };
        let first = Grants::intern("a", "1.0.0", permits());
        assert!(std::ptr::eq(first, Grants::intern("a", "1.0.0", permits())));
        assert!(!std::ptr::eq(first, Grants::intern("a", "1.0.1", permits())));
    }

    #[test]
    fn what_must_be_asked_for_is_denied_unless_granted_and_the_rest_is_for_all() {
        let none = Grants::intern("a", "1.0.0", Permits::default());
        assert!(none.allows(Method::LogWrite) && none.allows(Method::ConfigGet) && none.allows(Method::Hold));
        for (method, ..) in Method::ASKED_FOR {
            assert!(!none.allows(method), "{method:?}");
            let permits = Permits { methods: vec![method], ..Permits::default() };
            assert!(Grants::intern("a", "1.0.0", permits).allows(method), "{method:?}");
        }
    }

    #[test]
    fn a_metered_plugin_may_do_what_it_may_but_not_at_once() {
        let permits = Permits { methods: vec![Method::EventsEmit], metered: true, ..Permits::default() };
        let metered = Grants::intern("a", "1.0.0", permits);
        assert!(metered.allows(Method::EventsEmit) && !metered.allows_at_once(Method::EventsEmit));
        assert!(metered.allows_at_once(Method::SetError));
        assert!(!metered.allows_at_once(Method::SchedulerRemove), "it was not granted");
    }
}
