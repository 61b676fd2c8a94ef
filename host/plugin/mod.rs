//! From a file to a running plugin.
//!
//! `manifest`, `inspect` and `discover` read files and run nothing; `stage` makes the private copy that is loaded;
//! `library` opens it and calls it; `generation` is one loaded copy and the steps of its life; `calls` brings messages to it. [`Plugins`] has
//! all plugins of a host and says which step may follow which.
//!
//! Knows `abi`, `identity`, `lanes` and the finished tables of `boundary`.

mod calls;
pub(crate) mod discover;
#[cfg(all(test, unix))]
mod fixtures;
mod generation;
pub(crate) mod inspect;
#[allow(unsafe_code, reason = "a library is opened and called by pointer")]
mod library;
pub(crate) mod manifest;
pub(crate) mod ownership;
pub(crate) mod stage;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use self::{
    discover::{Candidate, Discovery, discover},
    generation::{Generation, Parts},
    inspect::Inspection,
    manifest::Manifest,
    ownership::TrustPolicy,
    stage::stage,
};
use crate::{
    boundary::{Core, PluginRecord, counted},
    error::{Error, ErrorKind, Result},
    identity::{Grants, Method, Permits},
    lanes::{Lane, LaneOptions},
    services::{
        config::{Configs, PluginConfig, Problem, Schema},
        events::Pattern,
        log::{Field, Level, Log},
    },
    settings::{GrantSettings, PluginSettings},
};

/// How the plugins of a host are to be kept.
#[derive(Clone, Debug)]
pub(crate) struct PluginsOptions {
    /// Where they are looked for, in this order.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) trust: TrustPolicy,
    /// The private folder that copies are staged in.
    pub(crate) staging: PathBuf,
    pub(crate) load: Duration,
    pub(crate) handler: Duration,
    pub(crate) stop: Duration,
    /// How many calls of a plugin may wait.
    pub(crate) lane_capacity: usize,
    /// By plugin id.
    pub(crate) plugins: BTreeMap<String, PluginSettings>,
}

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
    /// Those of them that failed.
    pub failed_calls: u64,
    /// Handlers of it, and calls by message to it, that ran.
    pub handled: u64,
    /// Those of them that failed.
    pub failed_handled: u64,
    /// What waits in its lane now.
    pub waiting: u64,
    /// What runs in its lane now.
    pub running: u64,
    /// What it has registered now: subscriptions, jobs, held contexts, loggers.
    pub registrations: u64,
}

/// All plugins of a host.
pub(crate) struct Plugins {
    core: &'static Core,
    options: PluginsOptions,
    configs: Configs,
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
    /// Who provides a service, or did last.
    providers: RwLock<HashMap<String, Provider>>,
    last_number: AtomicU64,
    /// The host stops: nothing is loaded or enabled any more. A lock, so that of a step that found it open
    /// `to_unload` sees that it is under way.
    closed: Mutex<bool>,
}

/// Who provides a service. While it is neither loaded nor being loaded, another may take its place.
struct Provider {
    entry: Arc<Entry>,
    holds: bool,
}

/// A plugin, over all of its generations.
pub(crate) struct Entry {
    id: Arc<str>,
    number: u64,
    /// Held during a step: one at a time.
    step: Mutex<()>,
    state: Mutex<EntryState>,
}

struct EntryState {
    lane: Option<Arc<Lane>>,
    /// By version; never freed.
    records: HashMap<String, &'static PluginRecord>,
    generation: Option<Arc<Generation>>,
    /// What was counted for the seat before this generation had it.
    counted_before: (u64, u64),
    /// Calls of the generations that are over.
    counted_over: (u64, u64),
    state: PluginState,
    manifest: Option<Arc<Manifest>>,
    path: PathBuf,
    sha256: Option<[u8; 32]>,
    loaded_at: Option<SystemTime>,
    error: Option<Error>,
}

impl Plugins {
    pub(crate) fn new(core: &'static Core, options: PluginsOptions) -> Arc<Self> {
        Arc::new(Self {
            core,
            options,
            configs: Configs::new(),
            entries: RwLock::default(),
            providers: RwLock::default(),
            last_number: AtomicU64::new(0),
            closed: Mutex::new(false),
        })
    }

    pub(super) fn core(&self) -> &'static Core {
        self.core
    }

    /// Looks through the folders. Runs nothing of what it finds.
    pub(crate) fn available(&self) -> Discovery {
        discover(&self.options.folders, &self.options.trust)
    }

    /// Whether the settings want a plugin to be enabled at the start.
    pub(crate) fn is_wanted(&self, id: &str) -> bool {
        self.options.plugins.get(id).is_none_or(|settings| settings.enabled)
    }

    /// Loads the plugin of this id from the folders.
    pub(crate) fn load(&self, id: &str) -> Result<()> {
        let found = self.available();
        match found.found.into_iter().find(|candidate| candidate.manifest.id == id) {
            Some(candidate) => self.load_found(&candidate),
            None => Err(not_found(id, &found.skipped)),
        }
    }

    /// Loads a plugin that was found.
    pub(crate) fn load_found(&self, candidate: &Candidate) -> Result<()> {
        let id = candidate.manifest.id.as_str();
        let entry = self.entry(id, &candidate.path);
        let _step = entry.step.lock();
        self.open()?;
        if entry.state.lock().generation.is_some() {
            return Err(Error::new(ErrorKind::Conflict, "it is loaded already: unload it first").of(id));
        }
        let loaded = self.load_new(&entry, candidate);
        let mut state = entry.state.lock();
        state.path.clone_from(&candidate.path);
        match loaded {
            Ok((generation, before)) => {
                state.manifest = Some(generation.manifest().clone());
                state.counted_before = before;
                state.generation = Some(generation);
                state.state = PluginState::Loaded;
                state.loaded_at = Some(SystemTime::now());
                state.error = None;
                Ok(())
            }
            Err(error) => {
                self.release_services(&entry);
                state.manifest.get_or_insert_with(|| candidate.manifest.clone());
                state.state = PluginState::Failed;
                state.error = Some(error.clone());
                Err(error)
            }
        }
    }

    fn load_new(&self, entry: &Arc<Entry>, candidate: &Candidate) -> Result<(Arc<Generation>, (u64, u64))> {
        static LAST_GENERATION: AtomicU64 = AtomicU64::new(0);
        let number = LAST_GENERATION.fetch_add(1, Relaxed) + 1;
        candidate.manifest.check_abi().map_err(|error| error.of(entry.id.clone()))?;
        let staged =
            stage(&candidate.path, Some(candidate), &self.options.staging, number, &self.options.trust)?;
        for warning in &staged.warnings {
            self.core.report_failure(warning, "load");
        }
        if staged.manifest.id != *entry.id {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the file {} now has the plugin \"{}\": load that",
                    candidate.path.display(),
                    staged.manifest.id
                ),
            )
            .of(entry.id.clone()));
        }
        let manifest = staged.manifest.clone();
        take_thread_key(&staged.inspection, &self.core.log).map_err(|error| error.of(entry.id.clone()))?;
        self.claim_services(entry, &manifest)?;
        entry.state.lock().sha256 = Some(staged.sha256);
        let settings = self.options.plugins.get(&*entry.id).cloned().unwrap_or_default();
        let config = self.config_of(number, &manifest, &settings)?;
        let grants =
            Grants::intern(&entry.id, &manifest.version.to_string(), permits(&manifest, &settings.grants));
        let record = self.record(entry, &manifest, &settings);
        let parts = Parts { number, record, manifest, grants, config, staged };
        let generation = Generation::load(parts, self.options.load)
            .inspect_err(|_| self.configs.remove(&entry.id, number))?;
        let before = generation.counted_before();
        Ok((generation, before))
    }

    /// Calls `enable` of a loaded plugin; loads it first if it is not.
    pub(crate) fn enable(&self, id: &str) -> Result<()> {
        let is_loaded =
            || self.entries.read().get(id).is_some_and(|entry| entry.state.lock().generation.is_some());
        if !is_loaded()
            && let Err(error) = self.load(id)
            // Somebody else may have loaded it meanwhile: just as well.
            && !is_loaded()
        {
            return Err(error);
        }
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        self.open()?;
        let generation = entry.loaded()?;
        if entry.state.lock().state == PluginState::Enabled {
            return Ok(());
        }
        let outcome = generation.enable(self.options.load);
        let mut state = entry.state.lock();
        state.error = outcome.as_ref().err().cloned();
        if outcome.is_ok() {
            state.state = PluginState::Enabled;
        }
        outcome
    }

    /// Calls `disable` of an enabled plugin.
    pub(crate) fn disable(&self, id: &str) -> Result<()> {
        self.disable_within(id, self.options.stop)
    }

    fn disable_within(&self, id: &str, deadline: Duration) -> Result<()> {
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        entry.disable(deadline)
    }

    /// Disables and unloads a plugin.
    pub(crate) fn unload(&self, id: &str) -> Result<()> {
        self.unload_within(id, Instant::now() + 2 * self.options.stop)
    }

    pub(crate) fn unload_within(&self, id: &str, deadline: Instant) -> Result<()> {
        let entry = self.known(id)?;
        let Some(_step) = entry.step.try_lock_until(deadline) else {
            let text = "it cannot be unloaded in time: another step of it has not ended yet";
            return Err(Error::new(ErrorKind::Timeout, text).of(id));
        };
        let left = || deadline.saturating_duration_since(Instant::now()).min(self.options.stop);
        let generation = entry.loaded()?;
        let enabled = entry.state.lock().state == PluginState::Enabled;
        if enabled && let Err(error) = entry.disable(left()) {
            if error.kind() == ErrorKind::Timeout {
                return Err(error);
            }
            self.core.report_failure(&error, "disable");
        }
        let seat = generation.register().seat().index();
        let outcome = generation.clone().unload(left());
        let mut state = entry.state.lock();
        match outcome {
            Ok(()) => {
                let (calls, failed) = counted(seat);
                state.counted_over.0 += calls - state.counted_before.0;
                state.counted_over.1 += failed - state.counted_before.1;
                self.configs.remove(id, generation.number());
                self.release_services(&entry);
                state.generation = None;
                state.state = PluginState::Unloaded;
                Ok(())
            }
            Err(error) => {
                state.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Offers a plugin a new config; it counts from its OK on.
    pub(crate) fn configure(&self, id: &str, config: &Value) -> Result<()> {
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        let generation = entry.loaded()?;
        let record = generation.record();
        let current = record.config(generation.number()).ok_or_else(|| not_loaded(id))?;
        let proposal =
            current.propose(config).map_err(|problems| config_error(id, "the new config", &problems))?;
        if proposal.changes().is_empty() {
            return Ok(());
        }
        generation.configure(proposal.json().into_bytes(), self.options.load)?;
        current.commit(proposal)
    }

    /// From here on nothing is loaded or enabled.
    pub(crate) fn close(&self) {
        *self.closed.lock() = true;
    }

    fn open(&self) -> Result<()> {
        if *self.closed.lock() {
            return Err(Error::new(ErrorKind::Stopping, "the host is stopping or has stopped"));
        }
        Ok(())
    }

    /// After `close`: what is loaded, the newest first, and what is just being loaded before all.
    pub(crate) fn to_unload(&self) -> VecDeque<String> {
        let under_way = |entry: &&Arc<Entry>| entry.step.is_locked();
        let mut ids: VecDeque<String> =
            self.entries.read().values().filter(under_way).map(|entry| entry.id.to_string()).collect();
        for id in self.loaded().into_iter().rev() {
            if !ids.contains(&id) {
                ids.push_back(id);
            }
        }
        ids
    }

    /// The ids of all loaded plugins, in the order in which they were loaded.
    pub(crate) fn loaded(&self) -> Vec<String> {
        let mut loaded: Vec<_> = self
            .entries
            .read()
            .values()
            .filter_map(|entry| {
                Some((entry.state.lock().generation.as_ref()?.number(), entry.id.to_string()))
            })
            .collect();
        loaded.sort_unstable();
        loaded.into_iter().map(|(_, id)| id).collect()
    }

    /// The configs of the newest generations, without their secrets.
    pub(crate) fn configs(&self) -> BTreeMap<Arc<str>, Value> {
        self.configs.list()
    }

    pub(crate) fn infos(&self) -> Vec<PluginInfo> {
        self.entries.read().values().map(|entry| entry.info()).collect()
    }

    /// Lanes take nothing any more.
    pub(crate) fn close_lanes(&self) {
        for entry in self.entries.read().values() {
            if let Some(lane) = &entry.state.lock().lane {
                lane.close();
            }
        }
    }

    pub(super) fn provider(&self, service: &str, major: u32) -> Result<Arc<Entry>> {
        let provider = self.providers.read().get(service).map(|provider| provider.entry.clone());
        let provides = |entry: &Arc<Entry>| {
            let state = entry.state.lock();
            state.manifest.as_ref()?.provides.get(service).map(|provided| provided.major)
        };
        match provider {
            Some(provider) if provides(&provider) == Some(major) => Ok(provider),
            other => {
                let found = other.as_ref().and_then(provides);
                let service = service.to_owned();
                Err(Error::lazy(ErrorKind::NotFound, move || match found {
                    Some(found) => {
                        format!("service \"{service}\" is provided with major {found}, not {major}")
                    }
                    None => format!("no loaded plugin provides the service \"{service}\""),
                }))
            }
        }
    }

    /// Notes who provides the services of a manifest; CONFLICT if another plugin does.
    fn claim_services(&self, entry: &Arc<Entry>, manifest: &Manifest) -> Result<()> {
        let mut providers = self.providers.write();
        for service in manifest.provides.keys() {
            if let Some(Provider { entry: other, holds: true }) = providers.get(service)
                && !Arc::ptr_eq(other, entry)
            {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("it provides the service \"{service}\", which plugin \"{}\" provides already: load only one of them", other.id),
                )
                .of(entry.id.clone()));
            }
        }
        for service in manifest.provides.keys() {
            providers.insert(service.clone(), Provider { entry: entry.clone(), holds: true });
        }
        Ok(())
    }

    /// The plugin is not loaded any more: others may provide what it did.
    fn release_services(&self, entry: &Arc<Entry>) {
        for provider in self.providers.write().values_mut().filter(|one| Arc::ptr_eq(&one.entry, entry)) {
            provider.holds = false;
        }
    }

    /// The config of a plugin's settings, checked against the schema of its manifest.
    fn config_of(
        &self,
        generation: u64,
        manifest: &Manifest,
        settings: &PluginSettings,
    ) -> Result<Arc<PluginConfig>> {
        let id = manifest.id.as_str();
        let schema = match &manifest.config {
            Some(schema) => Schema::compile(schema)
                .map_err(|problems| config_error(id, "the config schema in its manifest", &problems))?,
            None => Schema::none(),
        };
        self.configs
            .install(id, generation, Arc::new(schema), &Value::Object(settings.config.clone()))
            .map_err(|problems| {
                config_error(id, "its config", &problems)
                    .mend(format!("correct [plugin.{id}] in the host's settings"))
            })
    }

    fn entry(&self, id: &str, path: &Path) -> Arc<Entry> {
        if let Some(entry) = self.entries.read().get(id) {
            return entry.clone();
        }
        let make = || {
            Arc::new(Entry {
                id: id.into(),
                number: self.last_number.fetch_add(1, Relaxed) + 1,
                step: Mutex::default(),
                state: Mutex::new(EntryState {
                    lane: None,
                    records: HashMap::new(),
                    generation: None,
                    counted_before: (0, 0),
                    counted_over: (0, 0),
                    state: PluginState::Unloaded,
                    manifest: None,
                    path: path.to_owned(),
                    sha256: None,
                    loaded_at: None,
                    error: None,
                }),
            })
        };
        self.entries.write().entry(id.to_owned()).or_insert_with(make).clone()
    }

    fn known(&self, id: &str) -> Result<Arc<Entry>> {
        self.entries.read().get(id).cloned().ok_or_else(|| not_loaded(id))
    }

    /// The record of this version of a plugin, with a lane as wide as its manifest and the settings say.
    fn record(&self, entry: &Entry, manifest: &Manifest, settings: &PluginSettings) -> &'static PluginRecord {
        let version = manifest.version.to_string();
        let allowed = settings.concurrency.map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX));
        let concurrency = manifest.concurrency.min(allowed).max(1);
        let mut state = entry.state.lock();
        let EntryState { lane, records, .. } = &mut *state;
        let lane = match lane {
            Some(lane) if lane.concurrency() == concurrency => lane.clone(),
            _ => lane
                .insert(Lane::new(
                    &self.core.pool,
                    LaneOptions {
                        name: entry.id.clone(),
                        concurrency,
                        capacity: self.options.lane_capacity,
                        deadline: self.options.handler,
                    },
                ))
                .clone(),
        };
        let record = *records.entry(version).or_insert_with_key(|version| {
            PluginRecord::keep(self.core, &entry.id, version, entry.number, lane.clone())
        });
        record.set_lane(lane);
        record
    }
}

impl Entry {
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
                Err(Error::lazy(ErrorKind::Unavailable, move || format!("plugin \"{id}\" is not enabled")))
            }
        }
    }

    fn loaded(&self) -> Result<Arc<Generation>> {
        self.state.lock().generation.clone().ok_or_else(|| not_loaded(&self.id))
    }

    fn disable(&self, deadline: Duration) -> Result<()> {
        let generation = self.loaded()?;
        {
            let mut state = self.state.lock();
            if state.state != PluginState::Enabled {
                return Ok(());
            }
            // Calls are refused from here on, those that wait in the lane too.
            state.state = PluginState::Loaded;
        }
        let outcome = generation.disable(deadline);
        self.state.lock().error = outcome.as_ref().err().cloned();
        outcome
    }

    fn info(&self) -> PluginInfo {
        let state = self.state.lock();
        let (waiting, running) = state.lane.as_ref().map_or((0, 0), |lane| lane.load());
        let (mut calls, mut failed_calls) = state.counted_over;
        let mut registrations = 0;
        if let Some(generation) = &state.generation {
            let (now, failed_now) = counted(generation.register().seat().index());
            calls += now - state.counted_before.0;
            failed_calls += failed_now - state.counted_before.1;
            registrations = generation.register().len() as u64;
        }
        let handled =
            state.records.values().map(|record| record.handled()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        PluginInfo {
            id: self.id.to_string(),
            version: state
                .manifest
                .as_ref()
                .map_or_else(String::new, |manifest| manifest.version.to_string()),
            state: state.state,
            built_in: false,
            path: state.path.clone(),
            sha256: state.sha256,
            loaded_at: state.loaded_at,
            generation: state.generation.as_ref().map(|generation| generation.number()),
            error: state.error.clone(),
            stuck: state.lane.as_ref().is_some_and(|lane| lane.is_stuck()),
            counters: PluginCounters {
                calls,
                failed_calls,
                handled: handled.0,
                failed_handled: handled.1,
                waiting: waiting as u64,
                running: u64::from(running),
                registrations,
            },
        }
    }
}

/// What the manifest asks for, narrowed by the settings.
fn permits(manifest: &Manifest, settings: &GrantSettings) -> Permits {
    let services = &manifest.services;
    let listed = |list: &Option<Vec<String>>, name: &str| {
        list.as_ref().is_none_or(|list| list.iter().any(|one| one == name))
    };
    let mut methods = Vec::new();
    let mut grant = |service: &str, asked: Option<&Option<Vec<String>>>| {
        if let Some(asked) = asked
            && listed(&settings.services, service)
        {
            methods.extend(
                Method::of_service(service)
                    .filter(|(_, name)| {
                        listed(asked, name) && listed(&settings.methods, &format!("{service}.{name}"))
                    })
                    .map(|(method, _)| method),
            );
        }
    };
    grant("events", services.events.as_ref().map(|asked| &asked.methods));
    grant("scheduler", services.scheduler.as_ref().map(|asked| &asked.methods));
    let events = services.events.as_ref();
    Permits {
        methods,
        subscribe: narrowed(events.map_or(&[], |asked| &asked.subscribe), settings.subscribe.as_deref()),
        publish: narrowed(events.map_or(&[], |asked| &asked.publish), settings.publish.as_deref()),
        call: services.call.iter().filter(|service| listed(&settings.call, service)).cloned().collect(),
    }
}

/// The patterns that lie within both what is asked for and what is allowed.
fn narrowed(asked: &[String], allowed: Option<&[String]>) -> Vec<String> {
    let Some(allowed) = allowed else { return asked.to_vec() };
    let within = |inner: &str, outer: &str| match (Pattern::parse(inner), Pattern::parse(outer)) {
        (Ok(inner), Ok(outer)) => inner.within(&outer),
        _ => false,
    };
    let mut both = Vec::new();
    for asked in asked {
        for allowed in allowed {
            if within(asked, allowed) {
                both.push(asked.clone());
            } else if within(allowed, asked) {
                both.push(allowed.clone());
            }
        }
    }
    both
}

/// A process has 1,024 thread-local keys, and a Rust library takes one for good at each load: the host warns early and
/// stops before the process would abort.
fn take_thread_key(inspection: &Inspection, log: &Log) -> Result<()> {
    const WARN: u32 = 800;
    const MOST: u32 = 1000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    if !inspection.thread_keys {
        return Ok(());
    }
    let taken = TAKEN.fetch_update(Relaxed, Relaxed, |taken| (taken < MOST).then_some(taken + 1)).map_err(|taken| {
        Error::new(
            ErrorKind::Unavailable,
            format!("this process has loaded {taken} libraries that take a thread-local key for good, of which it has 1,024: restart it"),
        )
    })?;
    if taken >= WARN && taken % 50 == 0 {
        let fields = [Field::unsigned("loaded", u64::from(taken)), Field::unsigned("most", u64::from(MOST))];
        log.host(
            Level::Warn,
            "libraries that take a thread-local key for good are running out: plan a restart",
            fields,
        );
    }
    Ok(())
}

fn config_error(id: &str, what: &str, problems: &[Problem]) -> Error {
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::InvalidArgument, format!("{what} is not valid: {}", problems.join("; "))).of(id)
}

/// No candidate has this id; perhaps one that was skipped would have.
fn not_found(id: &str, skipped: &[discover::Skipped]) -> Error {
    let near = skipped.iter().find(|skipped| skipped.path.to_string_lossy().contains(id));
    let text = match near {
        Some(skipped) => format!(
            "it was not found in the plugin folders; {} was skipped: {}",
            skipped.path.display(),
            skipped.error
        ),
        None => "it was not found in the plugin folders".to_owned(),
    };
    Error::new(ErrorKind::NotFound, text).of(id)
}

fn not_loaded(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "it is not loaded").of(id)
}
