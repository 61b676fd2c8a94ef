//! A plugin over all of its generations: where it is in its life, and its numbers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::{
    generation::Generation,
    manifest::Manifest,
    suspend::{Suspending, Suspension},
};
use crate::{
    boundary::{PluginMetrics, PluginRecord, Watch},
    error::{Error, ErrorKind, Result},
    lanes::{Lane, Stuck},
    stats::{LaneStats, PluginCacheStats, PluginStats},
};

/// Where a plugin is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginState {
    /// Loaded; no handler of it runs.
    Loaded,
    /// Loaded and enabled.
    Enabled,
    /// Not loaded.
    Unloaded,
    /// It could not be loaded.
    Failed,
}

impl PluginState {
    /// As reports write it: `enabled`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Enabled => "enabled",
            Self::Unloaded => "unloaded",
            Self::Failed => "failed",
        }
    }
}

/// What is known of a plugin that was loaded, or that was to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginInfo {
    /// Its id.
    pub id: String,
    /// The version that was loaded last.
    pub version: String,
    /// Where it is in its life.
    pub state: PluginState,
    /// Whether it is compiled into the application.
    pub built_in: bool,
    /// The file that it was loaded from.
    pub path: PathBuf,
    /// The SHA-256 of the bytes that were loaded last.
    pub sha256: Option<[u8; 32]>,
    /// When it was loaded.
    pub loaded_at: Option<SystemTime>,
    /// Which copy: grows with every load in this process.
    pub generation: Option<u64>,
    /// Why the last step failed, if it did.
    pub error: Option<Error>,
    /// Why it is disabled, if it has used up a budget.
    pub suspended: Option<Suspension>,
    /// Whether a call of it is past its deadline; its lane takes nothing until that call returns.
    pub stuck: bool,
    /// Its numbers.
    pub counters: PluginCounters,
}

/// A plugin's numbers, over all its generations in this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginCounters {
    /// Calls that it made to the host.
    pub calls: u64,
    /// Those of them that failed; NOT_FOUND is an answer.
    pub failed_calls: u64,
    /// Handlers of it, and calls by message to it, that ran.
    pub handled: u64,
    /// Those of them that failed.
    pub failed_handled: u64,
    /// What waits in its lane now.
    pub waiting: u64,
    /// What runs in its lane now.
    pub running: u64,
    /// What it has registered now: subscriptions, jobs, watches, held contexts, loggers.
    pub registrations: u64,
    /// Events that it published.
    pub emitted: u64,
    /// What it has in the cache now, for all tenants: items, expired ones that still take room included.
    pub cache_items: u64,
    /// The bytes of these, with what it takes to keep them.
    pub cache_bytes: u64,
    /// Its reads of the cache that found an item, or a note that there is nothing.
    pub cache_hits: u64,
    /// Its reads of the cache that found none.
    pub cache_misses: u64,
    /// What it has in the storage now, for all tenants: items.
    pub storage_items: u64,
    /// The bytes of their keys and values.
    pub storage_bytes: u64,
    /// The bytes of its SQL databases now, for all tenants, their logs included.
    pub database_bytes: u64,
}

/// A plugin, over all of its generations.
pub(crate) struct Entry {
    pub(super) id: Arc<str>,
    pub(super) number: u64,
    pub(super) metrics: Arc<PluginMetrics>,
    /// Held during a step: one at a time.
    pub(super) step: Mutex<()>,
    pub(super) state: Mutex<EntryState>,
}

pub(super) struct EntryState {
    pub(super) lane: Option<Arc<Lane>>,
    /// Of the lanes that it had before.
    pub(super) stuck_before: Stuck,
    /// By version; never freed.
    pub(super) records: HashMap<String, &'static PluginRecord>,
    pub(super) generation: Option<Arc<Generation>>,
    /// How many generations there were.
    pub(super) generations: u64,
    pub(super) state: PluginState,
    pub(super) manifest: Option<Arc<Manifest>>,
    pub(super) path: PathBuf,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) loaded_at: Option<SystemTime>,
    pub(super) error: Option<Error>,
    /// Then it is loaded, and not enabled.
    pub(super) suspension: Option<Suspending>,
    /// How often it was suspended.
    pub(super) suspensions: u64,
}

impl EntryState {
    /// `unload` may have come to its end only after everybody had given up waiting for it.
    fn catch_up(&mut self) {
        if self.generation.as_ref().is_some_and(|generation| generation.is_over()) {
            self.forget_generation();
        }
    }

    /// The version that was loaded last; empty if there was none.
    pub(super) fn version(&self) -> String {
        self.manifest.as_ref().map_or_else(String::new, |manifest| manifest.version.to_string())
    }

    /// What the generation has registered now.
    fn registrations(&self) -> u64 {
        self.generation.as_ref().map_or(0, |generation| generation.register().len() as u64)
    }

    fn lane(&self) -> LaneStats {
        let Some(lane) = &self.lane else { return LaneStats::default() };
        let (waiting, running) = lane.load();
        let Stuck { times, total } = lane.stuck();
        LaneStats {
            waiting: waiting as u64,
            running: u64::from(running),
            concurrency: lane.concurrency(),
            stuck: lane.is_stuck(),
            times_stuck: self.stuck_before.times + times,
            stuck_ms: (self.stuck_before.total + total).as_millis() as u64,
        }
    }

    /// It is not enabled any more. It may have been unloaded meanwhile, by an `unload` that came to its end late.
    pub(super) fn disabled(&mut self) {
        if self.state == PluginState::Enabled {
            self.state = PluginState::Loaded;
        }
    }

    /// The generation is over.
    pub(super) fn forget_generation(&mut self) {
        self.generation = None;
        self.suspension = None;
        self.state = PluginState::Unloaded;
    }
}

impl Entry {
    /// A plugin that has not been loaded yet.
    pub(super) fn new(id: Arc<str>, number: u64, path: &Path, tenants: usize, watch: Option<Watch>) -> Self {
        Self {
            id,
            number,
            metrics: Arc::new(PluginMetrics::new(tenants).watched(watch)),
            step: Mutex::default(),
            state: Mutex::new(EntryState {
                lane: None,
                stuck_before: Stuck::default(),
                records: HashMap::new(),
                generation: None,
                generations: 0,
                state: PluginState::Unloaded,
                manifest: None,
                path: path.to_owned(),
                sha256: None,
                loaded_at: None,
                error: None,
                suspension: None,
                suspensions: 0,
            }),
        }
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The generation that answers calls, and its lane. UNAVAILABLE unless the plugin is enabled.
    pub(super) fn enabled(&self) -> Result<(Arc<Generation>, Arc<Lane>)> {
        let state = self.state.lock();
        match (&state.generation, &state.lane, state.state) {
            (Some(generation), Some(lane), PluginState::Enabled) => Ok((generation.clone(), lane.clone())),
            _ => {
                let id = self.id.clone();
                let suspended = state.suspension.is_some();
                Err(Error::lazy(ErrorKind::Unavailable, move || match suspended {
                    true => format!("plugin \"{id}\" is suspended: it has used up one of its budgets"),
                    false => format!("plugin \"{id}\" is not enabled"),
                }))
            }
        }
    }

    pub(super) fn loaded(&self) -> Result<Arc<Generation>> {
        let mut state = self.state.lock();
        state.catch_up();
        state.generation.clone().ok_or_else(|| not_loaded(&self.id))
    }

    /// Calls `disable`, if it is due.
    pub(super) fn disable(&self, deadline: Duration) -> Result<()> {
        let generation = self.loaded()?;
        // Calls are refused from here on, those that wait in the lane too.
        self.state.lock().disabled();
        if !generation.is_enabled() {
            return Ok(());
        }
        let outcome = generation.disable(deadline);
        self.state.lock().error = outcome.as_ref().err().cloned();
        outcome
    }

    pub(super) fn info(&self) -> PluginInfo {
        let mut state = self.state.lock();
        state.catch_up();
        let (waiting, running) = state.lane.as_ref().map_or((0, 0), |lane| lane.load());
        let tally = self.metrics.tally();
        let calls = tally.total();
        let (handled, failed_handled) = self.metrics.handled();
        PluginInfo {
            id: self.id.to_string(),
            version: state.version(),
            state: state.state,
            built_in: false,
            path: state.path.clone(),
            sha256: state.sha256,
            loaded_at: state.loaded_at,
            generation: state.generation.as_ref().map(|generation| generation.number()),
            error: state.error.clone(),
            suspended: state.suspension.as_ref().map(Suspending::told),
            stuck: state.lane.as_ref().is_some_and(|lane| lane.is_stuck()),
            counters: PluginCounters {
                calls: calls.calls,
                failed_calls: calls.failures,
                handled,
                failed_handled,
                waiting: waiting as u64,
                running: u64::from(running),
                registrations: state.registrations(),
                emitted: self.metrics.emitted(),
                cache_hits: tally.cache_hits,
                cache_misses: tally.cache_misses,
                ..PluginCounters::default()
            },
        }
    }
}

impl Entry {
    /// All that is counted of it here; what events, cache and storage know is added by whoever asks.
    pub(super) fn stats(&self) -> PluginStats {
        let mut state = self.state.lock();
        state.catch_up();
        let mut cache = PluginCacheStats::default();
        let tally = self.metrics.tally();
        (cache.hits, cache.misses) = (tally.cache_hits, tally.cache_misses);
        PluginStats {
            id: self.id.to_string(),
            version: state.version(),
            state: state.state.name(),
            suspended: state.suspension.as_ref().map(Suspending::stats),
            suspensions: state.suspensions,
            generation: state.generation.as_ref().map(|generation| generation.number()),
            generations: state.generations,
            registrations: state.registrations(),
            calls: self.metrics.calls().collect(),
            handlers: self.metrics.handlers().collect(),
            lane: state.lane(),
            cache,
            tenants: self.metrics.tenants(),
            ..PluginStats::default()
        }
    }
}

pub(super) fn not_loaded(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "it is not loaded").of(id)
}
