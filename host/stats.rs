//! What a host counts, of one moment: plain data, for the application, the command and [`metrics`](crate::metrics).
//!
//! Counters only grow as long as the host lives; what says "now" goes up and down. Times are milliseconds unless their
//! name says otherwise. As JSON (`serde`) it is what `pintle stats --json` writes; members are only ever added.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use crate::services::{
    events::{self, durable::DurableTotals},
    ledger, log,
};

/// Everything that a host counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The host itself.
    pub host: HostStats,
    /// The threads that run plugins.
    pub workers: WorkerStats,
    /// All events, as transient subscriptions get them: those that were published durable are among them.
    pub events: EventStats,
    /// Durable events, and what became of them at durable subscriptions.
    pub durable: DurableStats,
    /// The log.
    pub log: LogStats,
    /// The ledger, which storage and the names of files are kept in.
    pub ledger: LedgerStats,
    /// The cache, which all plugins share.
    pub cache: CacheStats,
    /// Plugins by id: those that were loaded, or that were to be, and those that have something in cache, storage, files or databases.
    pub plugins: Vec<PluginStats>,
}

/// The host itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HostStats {
    /// The version of Pintle.
    pub version: &'static str,
    /// The version of the contract, as `1.0`.
    pub abi: String,
    /// The process.
    pub pid: u32,
    /// When the host was made, in milliseconds since 1970 UTC.
    pub started_ms: i64,
    /// How long it has been there.
    pub uptime_ms: u64,
    /// The folder for what lasts, if there is one.
    pub data: Option<PathBuf>,
    /// Tenants that somebody uses now.
    pub tenants: u64,
    /// Jobs that are scheduled now.
    pub jobs: u64,
    /// Subscriptions now, of plugins and of the application.
    pub subscriptions: u64,
    /// Libraries that were closed and stay mapped, because something in the process holds them.
    pub libraries_kept: u64,
}

/// The threads that run plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Threads.
    pub workers: usize,
    /// Threads without work.
    pub idle: usize,
    /// Threads whose call waits inside the host.
    pub waiting: usize,
    /// Threads whose call is past its deadline.
    pub stuck: usize,
    /// Generations whose library is not closed yet, because a thread that ran it has not ended.
    pub retired: usize,
}

/// What became of events: of all of them, or of those that were for one plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventStats {
    /// Events that were published; of a plugin: by it.
    pub emitted: u64,
    /// Events that no subscription was for; 0 for a plugin.
    pub unheard: u64,
    /// Events that were for a subscription, once for each.
    pub matched: u64,
    /// Those that wait in a queue now.
    pub waiting: u64,
    /// Those whose handler runs now.
    pub running: u64,
    /// Those whose handler answered OK.
    pub delivered: u64,
    /// Those whose handler answered anything else.
    pub failed: u64,
    /// Those that reached no handler, by reason.
    pub dropped: DropStats,
}

/// What became of durable events. What was written before this host is delivered by it, and an event may be for many subscriptions: these
/// counts do not add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DurableStats {
    /// Events that were published and written to the log, those of storage batches included.
    pub written: u64,
    /// Events that were published and not written, because they were there already under their id and source.
    pub duplicates: u64,
    /// Deliveries whose handler was run, each attempt one.
    pub delivered: u64,
    /// Those of the delivered that were not the first attempt at their event.
    pub redelivered: u64,
    /// Deliveries that were acknowledged.
    pub acknowledged: u64,
    /// Deliveries that have failed, and whose event was to come again.
    pub retried: u64,
    /// Deliveries that have failed for the last time, so that their event became a dead letter.
    pub dead: u64,
    /// Dead letters that were written to the log again, to be delivered once more.
    pub replayed: u64,
}

/// Why events reached no handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DropStats {
    /// A newer one took its place in a full queue.
    pub displaced: u64,
    /// The queue was full, and stayed so as long as the publisher waited.
    pub no_room: u64,
    /// The plugin was not enabled.
    pub not_live: u64,
    /// The plugin's lane was stuck or gone.
    pub not_taken: u64,
    /// The subscription ended, or the host stopped, while it waited.
    pub ended: u64,
    /// Its publisher no longer waited when the handler's turn came.
    pub too_late: u64,
}

/// The log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogStats {
    /// Records that were taken.
    pub taken: u64,
    /// Records that were lost: the buffer was full, or the target failed to the end.
    pub lost: u64,
    /// How often a write to the target failed.
    pub write_errors: u64,
}

/// The ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerStats {
    /// Writes that are on disk.
    pub writes: u64,
    /// Writes that failed.
    pub failed: u64,
    /// Transactions that were committed; where many write at once, far fewer than writes.
    pub commits: u64,
    /// The most writes that shared one commit.
    pub largest_group: u64,
    /// Groups whose transaction was lost, so that their writes ran again one by one.
    pub run_again: u64,
    /// Times that the write-ahead log was moved into the file.
    pub checkpoints: u64,
    /// The pages of the write-ahead log now.
    pub log_pages: u64,
}

/// The cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// What is behind the memory: `memory` if nothing is, or `sqlite`.
    pub backend: &'static str,
    /// Since when the back end does not work, and why; none: it works.
    pub down: Option<CacheDownStats>,
    /// How many bytes the items of all plugins together may take; with a back end, there.
    pub capacity: u64,
    /// How many they take now, as far as the back end could tell last.
    pub used: u64,
    /// Below how many bytes no plugin is pushed by others.
    pub guaranteed: u64,
    /// What the back end met last of which no caller was told: above all that a file was no good, and where it lies now.
    pub reported: Option<String>,
}

/// That the back end of the cache does not work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheDownStats {
    /// Since when, in milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Why.
    pub text: String,
}

/// One plugin, over all of its versions and generations in this host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PluginStats {
    /// Its id.
    pub id: String,
    /// The version that was loaded last.
    pub version: String,
    /// `loaded`, `enabled`, `unloaded` or `failed`.
    pub state: &'static str,
    /// Why and how long it is suspended, if it is.
    pub suspended: Option<SuspensionStats>,
    /// How often it was suspended.
    pub suspensions: u64,
    /// The number of the generation that is loaded now.
    pub generation: Option<u64>,
    /// How many were loaded in this host.
    pub generations: u64,
    /// What it has registered now: subscriptions, jobs, watches, held contexts, loggers.
    pub registrations: u64,
    /// Its calls to the host, by service: `host`, `call`, `log`, `config`, `cache`, `storage`, `events`, `scheduler`,
    /// `idempotency`, `files`, `database`.
    /// Those that it has not called are not there.
    pub calls: BTreeMap<&'static str, CallStats>,
    /// Calls of the host to it, by kind: `event`, `job`, `call`.
    pub handlers: BTreeMap<&'static str, HandlerStats>,
    /// Its queue.
    pub lane: LaneStats,
    /// Events that it published, and those that were for it.
    pub events: EventStats,
    /// What it has in the cache, and what it found there, for all tenants.
    pub cache: PluginCacheStats,
    /// What it has in the storage now, for all tenants; none if the storage cannot tell.
    pub storage: Option<UsageStats>,
    /// What it has in files now, for all tenants, each an item; none if the index of the files cannot be read.
    pub files: Option<UsageStats>,
    /// Its SQL databases now, for all tenants, each an item, and their bytes, their logs included; none if their folder cannot be
    /// read.
    pub database: Option<UsageStats>,
    /// Its calls and handlers by tenant.
    pub tenants: Vec<TenantStats>,
}

/// That a plugin has used up a budget, and is disabled for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SuspensionStats {
    /// `slow`, `stuck` or `errors`.
    pub reason: &'static str,
    /// Which budget, with the numbers.
    pub text: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Until when, in milliseconds since 1970 UTC; none: until it is released by hand.
    pub until_ms: Option<i64>,
}

/// Calls of a plugin to one service of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CallStats {
    /// All calls.
    pub calls: u64,
    /// Those that failed; NOT_FOUND is an answer.
    pub failed: u64,
    /// The bytes of values, payloads and messages that they took or gave.
    pub bytes: u64,
    /// How long they took: one of 64 is timed, none of those that only look at the running call.
    pub times: Times,
}

/// Calls of the host to a plugin, of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HandlerStats {
    /// Those that have ended.
    pub handled: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those of them that took longer than `budgets.slow_ms`, if that is set.
    pub slow: Option<u64>,
    /// How long all of them took, by a clock whose steps of some milliseconds even out.
    pub busy_ms: u64,
    /// How long they took: one of 64 is timed, the first too.
    pub times: Times,
}

/// How long calls took, of those that were timed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Times {
    /// How many were timed.
    pub count: u64,
    /// What they took together, in nanoseconds.
    pub sum_ns: u64,
    /// How many took at most `Times::BOUNDS_NS[n]` and more than the bound before; the last: more than all bounds.
    pub buckets: Vec<u64>,
}

impl Times {
    /// The upper bounds of the buckets, in nanoseconds.
    pub const BOUNDS_NS: [u64; 17] = [
        100,
        300,
        1_000,
        3_000,
        10_000,
        30_000,
        100_000,
        300_000,
        1_000_000,
        3_000_000,
        10_000_000,
        30_000_000,
        100_000_000,
        300_000_000,
        1_000_000_000,
        3_000_000_000,
        10_000_000_000,
    ];

    /// What so many of them took at most, as far as the buckets tell: `0.5` is the median. `None` if none was timed, or
    /// if it is more than the largest bound.
    #[must_use]
    pub fn at_most_ns(&self, part: f64) -> Option<u64> {
        let wanted = (self.count as f64 * part.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets.iter().zip(Self::BOUNDS_NS).find_map(|(bucket, bound)| {
            seen += bucket;
            (seen >= wanted).then_some(bound)
        })
    }
}

/// A plugin's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LaneStats {
    /// What waits in it now.
    pub waiting: u64,
    /// What runs in it now.
    pub running: u64,
    /// How many may run at once.
    pub concurrency: u32,
    /// A call of it is past its deadline; it takes nothing until that call returns.
    pub stuck: bool,
    /// How often calls of it went past their deadline.
    pub times_stuck: u64,
    /// How long it has been stuck, all times together.
    pub stuck_ms: u64,
}

/// What a plugin has in a service now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UsageStats {
    /// Items.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a plugin has in the cache, and what it found there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PluginCacheStats {
    /// Items now, as far as the back end could tell last.
    pub items: u64,
    /// Their bytes, with what it takes to keep them.
    pub bytes: u64,
    /// Below how many bytes no other plugin can push it.
    pub guaranteed: u64,
    /// Items that have made room for others.
    pub evicted: u64,
    /// Reads of the plugin that found an item, or a note that there is nothing.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
}

/// What a plugin did on behalf of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TenantStats {
    /// The tenant; empty: the system scope; none: all for which there was no room, and those that were forgotten because
    /// nobody used them any more.
    pub tenant: Option<String>,
    /// Its calls to the host, by service.
    pub calls: BTreeMap<&'static str, TenantCallStats>,
    /// Its reads of the cache that found an item.
    pub cache_hits: u64,
    /// Its reads of the cache that found none.
    pub cache_misses: u64,
    /// Calls of the host to it that have ended.
    pub handled: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// How long all of them took.
    pub busy_ms: u64,
}

/// Calls of a plugin to one service on behalf of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TenantCallStats {
    /// All calls.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// The bytes of values, payloads and messages.
    pub bytes: u64,
}

impl From<events::Counters> for EventStats {
    fn from(counters: events::Counters) -> Self {
        let events::Counters { matched, waiting, running, delivered, failed, dropped } = counters;
        Self { emitted: 0, unheard: 0, matched, waiting, running, delivered, failed, dropped: dropped.into() }
    }
}

impl From<events::Totals> for EventStats {
    fn from(totals: events::Totals) -> Self {
        Self { emitted: totals.emitted, unheard: totals.unheard, ..totals.counters.into() }
    }
}

impl From<DurableTotals> for DurableStats {
    fn from(totals: DurableTotals) -> Self {
        let DurableTotals {
            written,
            duplicates,
            delivered,
            redelivered,
            acknowledged,
            retried,
            dead,
            replayed,
        } = totals;
        Self { written, duplicates, delivered, redelivered, acknowledged, retried, dead, replayed }
    }
}

impl From<events::Drops> for DropStats {
    fn from(drops: events::Drops) -> Self {
        let events::Drops { displaced, no_room, not_live, not_taken, ended, too_late } = drops;
        Self { displaced, no_room, not_live, not_taken, ended, too_late }
    }
}

impl From<log::Counts> for LogStats {
    fn from(counts: log::Counts) -> Self {
        let log::Counts { taken, lost, write_errors } = counts;
        Self { taken, lost, write_errors }
    }
}

impl From<ledger::LedgerCounts> for LedgerStats {
    fn from(counts: ledger::LedgerCounts) -> Self {
        let ledger::LedgerCounts {
            writes,
            failed,
            commits,
            largest_group,
            run_again,
            checkpoints,
            log_pages,
        } = counts;
        Self { writes, failed, commits, largest_group, run_again, checkpoints, log_pages }
    }
}
