//! All plugins of a host, and which step of their lives may follow which.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};

use super::{
    PluginInfo, PluginState,
    discover::{Candidate, Discovery, Skipped, discover},
    entry::{Entry, EntryState, not_loaded},
    generation::{Generation, Parts},
    inventory::{InUse, Inventory},
    manifest::Manifest,
    ownership::TrustPolicy,
    permits::{database_bytes, permits, quotas},
    stage::{Staged, stage},
    suspend::{Budgets, By},
    thread_keys,
};
use crate::{
    boundary::{Core, Meter, PluginRecord},
    error::{Error, ErrorKind, Result},
    identity::Grants,
    lanes::{Lane, LaneOptions},
    services::{
        clock::Clock,
        config::{Configs, PluginConfig, Problem, Schema},
        events::{Draft, Topic},
        log::{Field, Level},
        storage::{Quota, Quotas},
    },
    settings::{BudgetSettings, PluginSettings, QuotaSettings},
    stats::{EventStats, PluginCacheStats, PluginStats},
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
    /// For how many tenants a plugin's calls are counted on their own.
    pub(crate) tenants: usize,
    /// Whether what plugins store outlives the host.
    pub(crate) lasting: bool,
    /// Of plugins that have none of their own.
    pub(crate) budgets: BudgetSettings,
    /// By plugin id.
    pub(crate) plugins: BTreeMap<String, PluginSettings>,
}

/// A staged copy of a plugin, and the number of the generation that it is for.
struct StagedCopy {
    number: u64,
    staged: Staged,
}

/// All plugins of a host.
pub(crate) struct Plugins {
    core: &'static Core,
    options: PluginsOptions,
    budgets: Budgets,
    configs: Configs,
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
    /// Who provides a service.
    providers: RwLock<HashMap<String, Arc<Entry>>>,
    /// The numbers that the services know plugins by, from 1: of those that were loaded or were to be, and of those that
    /// somebody has asked for who have left something behind.
    numbers: Mutex<HashMap<Arc<str>, u64>>,
    /// The host stops: nothing is loaded or enabled any more. A lock, so that of a step that found it open
    /// `to_unload` sees that it is under way.
    closed: Arc<Mutex<bool>>,
    /// What they have in cache and storage.
    inventory: Inventory,
    /// Held while the cache is told how many share it.
    sharing: Mutex<()>,
}

impl Plugins {
    pub(crate) fn new(core: &'static Core, options: PluginsOptions, clock: Arc<dyn Clock>) -> Arc<Self> {
        let own = options.plugins.values().filter_map(|plugin| plugin.budgets);
        let any = own.chain([options.budgets]).any(|budgets| budgets.any());
        Arc::new(Self {
            core,
            budgets: Budgets::new(any, clock),
            options,
            configs: Configs::new(),
            entries: RwLock::default(),
            providers: RwLock::default(),
            numbers: Mutex::default(),
            closed: Arc::default(),
            inventory: Inventory::new(core),
            sharing: Mutex::default(),
        })
    }

    pub(super) fn core(&self) -> &'static Core {
        self.core
    }

    pub(super) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What the settings say of the budgets of a plugin.
    pub(super) fn budgets_of(&self, id: &str) -> BudgetSettings {
        let own = self.options.plugins.get(id).and_then(|settings| settings.budgets);
        own.unwrap_or(self.options.budgets)
    }

    pub(super) fn stop_deadline(&self) -> Duration {
        self.options.stop
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
        match found.found.iter().find(|candidate| candidate.manifest.id == id) {
            Some(candidate) => {
                for warning in
                    found.warnings.iter().filter(|warning| warning.plugin().is_none_or(|of| of == id))
                {
                    self.core.report_failure(warning, "load");
                }
                self.load_found(candidate)
            }
            None => Err(not_found(id, &found, &self.options.folders)),
        }
    }

    /// Loads a plugin that was found.
    fn load_found(&self, candidate: &Candidate) -> Result<()> {
        let entry = self.entry(&candidate.manifest.id, &candidate.path);
        let _step = entry.step.lock();
        self.may_load(&entry)?;
        let prepared = self.stage(candidate).and_then(|copy| self.prepare(&entry, candidate, copy));
        let loaded = prepared.and_then(|parts| {
            let number = parts.number;
            let loaded = Generation::load(parts, self.options.load);
            loaded.inspect_err(|_| self.configs.remove(&entry.id, number))
        });
        self.note_loaded(&entry, candidate, &loaded);
        loaded.map(drop)
    }

    /// Loads and enables plugins, in this order, and tells what became of each. While one is loaded the next is staged.
    pub(crate) fn start(&self, found: &[&Candidate], mut tell: impl FnMut(&Candidate, Result<()>)) {
        let stage = |candidate| self.open().and_then(|()| self.stage(candidate));
        thread::scope(|threads| {
            let (hand_over, copies) = mpsc::sync_channel(1);
            let staging = move || {
                for candidate in found {
                    if hand_over.send(stage(candidate)).is_err() {
                        return;
                    }
                }
            };
            // Without a thread nothing comes from there.
            let _ = thread::Builder::new().name("pintle-staging".into()).spawn_scoped(threads, staging);
            for candidate in found {
                let copy = copies.recv().unwrap_or_else(|_| stage(candidate));
                let outcome = self.load_and_enable(candidate, copy);
                tell(candidate, outcome.map_err(|error| named(error, &candidate.manifest.id)));
            }
        });
    }

    fn load_and_enable(&self, candidate: &Candidate, copy: Result<StagedCopy>) -> Result<()> {
        let entry = self.entry(&candidate.manifest.id, &candidate.path);
        let _step = entry.step.lock();
        self.may_load(&entry)?;
        let prepared = copy.and_then(|copy| self.prepare(&entry, candidate, copy));
        let loaded = prepared.and_then(|parts| {
            let number = parts.number;
            let closed = self.closed.clone();
            let loaded = Generation::load_and_enable(parts, self.options.load, move || is_open(&closed));
            loaded.inspect_err(|_| self.configs.remove(&entry.id, number))
        });
        let (loaded, enabling) = match loaded {
            Ok((generation, enabling)) => (Ok(generation), Some(enabling)),
            Err(error) => (Err(error), None),
        };
        self.note_loaded(&entry, candidate, &loaded);
        let outcome = match enabling {
            Some(enabling) => enabling.wait(self.options.load),
            None => return loaded.map(drop),
        };
        self.note_enabled(&entry, &outcome, By::Operator);
        outcome
    }

    fn may_load(&self, entry: &Entry) -> Result<()> {
        self.open()?;
        if entry.loaded().is_ok() {
            let text = "it is loaded already: unload it first";
            return Err(Error::new(ErrorKind::Conflict, text).of(entry.id.clone()));
        }
        Ok(())
    }

    fn note_loaded(&self, entry: &Arc<Entry>, candidate: &Candidate, loaded: &Result<Arc<Generation>>) {
        let mut state = entry.state.lock();
        state.path.clone_from(&candidate.path);
        state.error = loaded.as_ref().err().cloned();
        match loaded {
            Ok(generation) => {
                state.manifest = Some(generation.manifest().clone());
                state.generation = Some(generation.clone());
                state.generations += 1;
                state.state = PluginState::Loaded;
                state.loaded_at = Some(SystemTime::now());
                drop(state);
                self.share_cache();
                self.announce(entry, "loaded", None);
            }
            Err(error) => {
                state.manifest.get_or_insert_with(|| candidate.manifest.clone());
                state.state = PluginState::Failed;
                drop(state);
                self.announce(entry, "failed", Some(error));
            }
        }
    }

    /// Copies what is to be loaded to where nobody else can change it.
    fn stage(&self, candidate: &Candidate) -> Result<StagedCopy> {
        static LAST_GENERATION: AtomicU64 = AtomicU64::new(0);
        let number = LAST_GENERATION.fetch_add(1, Relaxed) + 1;
        candidate.manifest.check_abi().map_err(|error| error.of(candidate.manifest.id.as_str()))?;
        let options = &self.options;
        let staged = stage(&candidate.path, Some(candidate), &options.staging, number, &options.trust)?;
        Ok(StagedCopy { number, staged })
    }

    /// Everything that a generation is made of.
    fn prepare(&self, entry: &Arc<Entry>, candidate: &Candidate, copy: StagedCopy) -> Result<Parts> {
        let StagedCopy { number, staged } = copy;
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
        thread_keys::take(&staged.inspection, &self.core.log).map_err(|error| error.of(entry.id.clone()))?;
        self.claim_services(entry, &manifest)?;
        entry.state.lock().sha256 = Some(staged.sha256);
        let settings = self.options.plugins.get(&*entry.id).cloned().unwrap_or_default();
        let config = self.config_of(number, &manifest, &settings)?;
        let grants = Grants::intern(&entry.id, &manifest.version.to_string(), permits(&manifest, &settings));
        let asked = &manifest.services;
        let keeps = asked.storage.is_some()
            || asked.idempotency.is_some()
            || asked.files.is_some()
            || asked.database.is_some();
        if keeps && !self.options.lasting {
            self.core.log.host(
                Level::Warn,
                "this host has no data folder: what the plugin stores is gone when the host stops: set `data` in the settings",
                [Field::text("of", &entry.id)],
            );
        }
        let record = self.record(entry, &manifest, &settings);
        let files = file_quotas(&settings.quota);
        Ok(Parts { number, record, manifest, grants, config, files, staged })
    }

    /// Calls `enable` of a loaded plugin; loads it first if it is not.
    pub(crate) fn enable(&self, id: &str) -> Result<()> {
        let is_loaded = || self.entries.read().get(id).is_some_and(|entry| entry.loaded().is_ok());
        if !is_loaded()
            && let Err(error) = self.load(id)
            // Somebody else may have loaded it meanwhile: just as well.
            && !is_loaded()
        {
            return Err(error);
        }
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        self.enable_loaded(&entry, By::Operator)
    }

    /// With the step locked. `by`: who ends the suspension, if it is suspended.
    pub(super) fn enable_loaded(&self, entry: &Entry, by: By) -> Result<()> {
        self.open()?;
        let generation = entry.loaded()?;
        if entry.state.lock().state == PluginState::Enabled {
            return Ok(());
        }
        // A `disable` that nobody could wait for is made up for first. What it answers keeps nothing from going on.
        if let Err(error) = entry.disable(self.options.stop) {
            if error.kind() == ErrorKind::Timeout {
                return Err(error);
            }
            self.core.report_failure(&error, "disable");
        }
        let outcome = generation.enable(self.options.load);
        self.note_enabled(entry, &outcome, by);
        outcome
    }

    fn note_enabled(&self, entry: &Entry, outcome: &Result<()>, by: By) {
        let mut state = entry.state.lock();
        state.error = outcome.as_ref().err().cloned();
        if let Err(error) = outcome {
            drop(state);
            return self.announce(entry, "failed", Some(error));
        }
        state.state = PluginState::Enabled;
        let suspended = state.suspension.take().is_some();
        // With the state locked: it may be suspended at once, which is told after this.
        let generation = state.generation.as_ref().map(|generation| generation.number());
        self.publish(entry, &state, "enabled", generation, |_| ());
        if suspended {
            self.publish(entry, &state, "released", generation, |data| {
                data.insert("by".into(), by.name().into());
            });
        }
    }

    /// Calls `disable` of an enabled plugin.
    pub(crate) fn disable(&self, id: &str) -> Result<()> {
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        self.disable_entry(&entry, self.options.stop)
    }

    fn disable_entry(&self, entry: &Entry, deadline: Duration) -> Result<()> {
        let generation = entry.loaded()?;
        // A suspension ends here: what somebody has disabled does not come back by itself. And none begins from here on,
        // which would outlive this.
        let suspended = {
            let mut state = entry.state.lock();
            state.disabled();
            state.suspension.take().is_some()
        };
        if !generation.is_enabled() && !suspended {
            return Ok(());
        }
        let outcome = entry.disable(deadline);
        self.announce(entry, "disabled", outcome.as_ref().err());
        outcome
    }

    /// Disables and unloads a plugin.
    pub(crate) fn unload(&self, id: &str) -> Result<()> {
        let disabled = self.unload_within(id, Instant::now() + 2 * self.options.stop)?;
        if let Some(error) = disabled {
            self.core.report_failure(&error, "disable");
        }
        Ok(())
    }

    /// What its `disable` answered comes back, if that failed: it is unloaded all the same.
    pub(crate) fn unload_within(&self, id: &str, deadline: Instant) -> Result<Option<Error>> {
        let entry = self.known(id)?;
        let Some(_step) = entry.step.try_lock_until(deadline) else {
            let text = "it cannot be unloaded in time: another step of it has not ended yet";
            return Err(Error::new(ErrorKind::Timeout, text).of(id));
        };
        let left = || deadline.saturating_duration_since(Instant::now()).min(self.options.stop);
        let disabled = self.disable_entry(&entry, left()).err();
        if disabled.as_ref().is_some_and(|error| error.kind() == ErrorKind::Timeout) {
            return disabled.map_or(Ok(None), Err);
        }
        let generation = entry.loaded()?;
        let outcome = generation.clone().unload(left());
        let mut state = entry.state.lock();
        match &outcome {
            Ok(()) => {
                self.configs.remove(id, generation.number());
                self.publish(&entry, &state, "unloaded", Some(generation.number()), |_| ());
                state.forget_generation();
            }
            Err(error) => state.error = Some(error.clone()),
        }
        drop(state);
        self.share_cache();
        outcome.map(|()| disabled)
    }

    /// Publishes what became of a plugin, as `pintle.plugin.<what>`.
    fn announce(&self, entry: &Entry, what: &str, error: Option<&Error>) {
        let state = entry.state.lock();
        let generation = state.generation.as_ref().map(|generation| generation.number());
        self.publish(entry, &state, what, generation, |data| {
            if let Some(error) = error {
                data.insert("error".into(), error.to_string().into());
            }
        });
    }

    /// The same, with more data, by whoever has the state locked: what is told in there is told in the order in which it
    /// happened. Waits for nobody.
    pub(super) fn publish(
        &self,
        entry: &Entry,
        state: &EntryState,
        what: &str,
        generation: Option<u64>,
        add: impl FnOnce(&mut Map<String, Value>),
    ) {
        let Ok(topic) = Topic::parse(&format!("pintle.plugin.{what}")) else { return };
        let mut data = Map::new();
        data.insert("id".into(), (*entry.id).into());
        data.insert("version".into(), state.version().into());
        data.insert("generation".into(), generation.into());
        add(&mut data);
        // Nobody may listen, and the engine may have been shut down.
        let _ = self
            .core
            .events
            .emit(Draft::new(topic, "/pintle", Value::Object(data).to_string().into_bytes()), Duration::ZERO);
    }

    /// The ids of all plugins that were loaded or were to be, by the number that the engines know them by.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (u64, Arc<str>)> {
        let entries: Vec<_> =
            self.entries.read().values().map(|entry| (entry.number, entry.id.clone())).collect();
        entries.into_iter()
    }

    /// Offers a plugin a new config, made of the current one; it counts from its OK on.
    pub(crate) fn configure(&self, id: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        let generation = entry.loaded()?;
        let record = generation.record();
        let current = record.config(generation.number()).ok_or_else(|| not_loaded(id))?;
        let old = current.snapshot().json("")?;
        let mut config = serde_json::from_str(&old).unwrap_or_default();
        change(&mut config);
        let proposal =
            current.propose(&config).map_err(|problems| config_error(id, "the new config", &problems))?;
        if proposal.changes().is_empty() {
            return Ok(());
        }
        generation.configure(proposal.json().into_bytes(), old.into_bytes(), self.options.load)?;
        current.commit(proposal)
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

    /// From here on nothing is loaded or enabled, and nobody is suspended or released; false if the last of that is not
    /// certain by `deadline`.
    pub(crate) fn close(&self, deadline: Instant) -> bool {
        *self.closed.lock() = true;
        self.budgets.end(deadline)
    }

    pub(super) fn open(&self) -> Result<()> {
        is_open(&self.closed)
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

    /// The configs of the newest generations, without their secrets.
    pub(crate) fn configs(&self) -> BTreeMap<Arc<str>, Value> {
        self.configs.list()
    }

    pub(crate) fn infos(&self) -> Vec<PluginInfo> {
        let mut infos: Vec<_> = self.entries.read().values().map(|entry| entry.info()).collect();
        self.inventory.show(|uses| {
            for info in &mut infos {
                let InUse { cache, storage, database, .. } =
                    uses.by_id.get(&info.id).copied().unwrap_or_default();
                (info.counters.cache_items, info.counters.cache_bytes) = (cache.items, cache.bytes);
                (info.counters.storage_items, info.counters.storage_bytes) = (storage.items, storage.bytes);
                info.counters.database_bytes = database.bytes;
            }
        });
        infos
    }

    /// What is counted of each plugin, and of those that were never loaded here and have something in
    /// cache, storage, databases or files.
    pub(crate) fn stats(&self) -> Vec<PluginStats> {
        let events = self.core.events.by_owner();
        let mut stats: BTreeMap<String, PluginStats> = BTreeMap::new();
        for (id, entry) in &*self.entries.read() {
            let events = EventStats {
                emitted: entry.metrics.emitted(),
                ..events.get(&entry.number).copied().unwrap_or_default().into()
            };
            stats.insert(id.clone(), PluginStats { events, ..entry.stats() });
        }
        let guaranteed = self.core.cache.guaranteed();
        for stats in stats.values_mut() {
            stats.cache.guaranteed = guaranteed;
        }
        self.inventory.show(|uses| {
            for (id, used) in &uses.by_id {
                let unknown = || PluginStats {
                    id: id.clone(),
                    state: PluginState::Unloaded.name(),
                    ..PluginStats::default()
                };
                let stats = stats.entry(id.clone()).or_insert_with(unknown);
                let PluginCacheStats { hits, misses, .. } = stats.cache;
                stats.cache = PluginCacheStats { hits, misses, ..used.cache };
                stats.storage = Some(used.storage);
                stats.files = uses.files_known.then_some(used.files);
                stats.database = uses.databases_known.then_some(used.database);
            }
            for stats in stats.values_mut().filter(|_| uses.storage_known) {
                stats.storage.get_or_insert_default();
            }
            for stats in stats.values_mut().filter(|_| uses.files_known) {
                stats.files.get_or_insert_default();
            }
            for stats in stats.values_mut().filter(|_| uses.databases_known) {
                stats.database.get_or_insert_default();
            }
        });
        stats.into_values().collect()
    }

    /// After the stop: nothing calls any more, unless it was left behind.
    pub(crate) fn close_metrics(&self) {
        for entry in self.entries.read().values() {
            if entry.loaded().is_err() {
                entry.metrics.close();
            }
        }
    }

    /// Remembers what plugins have in cache and storage, which are about to be closed.
    pub(crate) fn keep_use(&self) {
        self.inventory.keep();
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
        let provider = self.providers.read().get(service).cloned();
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
            if let Some(other) = providers.get(service)
                && !Arc::ptr_eq(other, entry)
                && (other.loaded().is_ok() || other.step.is_locked())
            {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("it provides the service \"{service}\", which plugin \"{}\" provides already: load only one of them", other.id),
                )
                .of(entry.id.clone()));
            }
        }
        for service in manifest.provides.keys() {
            providers.insert(service.clone(), entry.clone());
        }
        Ok(())
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
            let (number, id) = self.number(id);
            let watch = self.budgets.watch(&id, &self.budgets_of(&id));
            Arc::new(Entry::new(id, number, path, self.options.tenants, watch))
        };
        self.entries.write().entry(id.to_owned()).or_insert_with(make).clone()
    }

    /// The number of a plugin, the same as long as the host lives.
    fn number(&self, id: &str) -> (u64, Arc<str>) {
        let mut numbers = self.numbers.lock();
        if let Some((id, number)) = numbers.get_key_value(id) {
            return (*number, id.clone());
        }
        let (number, id): (_, Arc<str>) = (numbers.len() as u64 + 1, id.into());
        numbers.insert(id.clone(), number);
        (number, id)
    }

    /// The number and the id of a plugin whose cache somebody asks for: one that was loaded or was to be, or one that has
    /// something there.
    ///
    /// NOT_FOUND: neither. UNAVAILABLE: the cache cannot tell.
    pub(crate) fn with_cache(&self, id: &str) -> Result<(u64, Arc<str>)> {
        if self.entry_of(id).is_some() || self.core.cache.usage()?.iter().any(|used| *used.plugin == *id) {
            return Ok(self.number(id));
        }
        let text = "it was not loaded here, and has nothing in the cache";
        Err(Error::new(ErrorKind::NotFound, text).of(id))
    }

    /// Number and id of a plugin that was loaded in this host, or of whose operations something is known.
    ///
    /// NOT_FOUND: neither. UNAVAILABLE: the ledger cannot tell.
    pub(crate) fn with_operations(&self, id: &str) -> Result<(u64, Arc<str>)> {
        if self.entry_of(id).is_some() || self.core.idempotency.knows(id)? {
            return Ok(self.number(id));
        }
        let text = "it was not loaded here, and no operation of it is known";
        Err(Error::new(ErrorKind::NotFound, text).of(id))
    }

    /// The number and the id of a plugin whose files somebody asks for: one that was loaded or was to be, or one that has
    /// any.
    ///
    /// NOT_FOUND: neither. UNAVAILABLE: the index of the files cannot be read.
    pub(crate) fn with_files(&self, id: &str) -> Result<(u64, Arc<str>)> {
        if self.entry_of(id).is_some() || self.core.files.usage()?.iter().any(|used| *used.plugin == *id) {
            return Ok(self.number(id));
        }
        Err(Error::new(ErrorKind::NotFound, "it was not loaded here, and has no files").of(id))
    }

    /// The number and the id of a plugin whose database somebody asks for, and how many bytes it may have, if that is said for it:
    /// one that was loaded or was to be, or one that has a database.
    ///
    /// NOT_FOUND: neither. UNAVAILABLE: the folder of the databases cannot be read.
    pub(crate) fn with_database(&self, id: &str) -> Result<(u64, Arc<str>, Option<u64>)> {
        let entry = self.entry_of(id);
        if entry.is_none() && !self.core.database.holds(id)? {
            return Err(Error::new(ErrorKind::NotFound, "it was not loaded here, and has no database").of(id));
        }
        let settings = self.options.plugins.get(id).cloned().unwrap_or_default();
        let manifest = entry.and_then(|entry| entry.state.lock().manifest.clone());
        let limit = match manifest {
            Some(manifest) => database_bytes(&manifest, &settings),
            None => settings.quota.database_bytes,
        };
        let (number, id) = self.number(id);
        Ok((number, id, limit))
    }

    /// The number and the id of a plugin whose storage somebody asks for: one that was loaded or was to be, or one that has
    /// something there.
    ///
    /// NOT_FOUND: neither. UNAVAILABLE: the storage cannot tell.
    pub(crate) fn with_storage(&self, id: &str) -> Result<(u64, Arc<str>)> {
        // Who has a number was asked for before, and there may be very many tenants to look through.
        let known = self.entry_of(id).is_some() || self.numbers.lock().contains_key(id);
        if known || self.core.storage.usage()?.iter().any(|used| *used.plugin == *id) {
            return Ok(self.number(id));
        }
        let text = "it was not loaded here, and has nothing in the storage";
        Err(Error::new(ErrorKind::NotFound, text).of(id))
    }

    /// The cache is shared by those that are loaded.
    fn share_cache(&self) {
        // One at a time, so that whoever tells last has counted last.
        let _one = self.sharing.lock();
        let entries: Vec<_> = self.entries.read().values().cloned().collect();
        let loaded = entries.iter().filter(|entry| entry.loaded().is_ok()).count();
        self.core.cache.set_plugins(loaded);
    }

    pub(super) fn entry_of(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries.read().get(id).cloned()
    }

    pub(super) fn known(&self, id: &str) -> Result<Arc<Entry>> {
        self.entries.read().get(id).cloned().ok_or_else(|| not_loaded(id))
    }

    /// The record of this version of a plugin, with a lane as wide as its manifest and the settings say.
    fn record(&self, entry: &Entry, manifest: &Manifest, settings: &PluginSettings) -> &'static PluginRecord {
        let version = manifest.version.to_string();
        let allowed = settings.concurrency.map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX));
        let concurrency = manifest.concurrency.min(allowed).max(1);
        let mut state = entry.state.lock();
        let EntryState { lane, records, stuck_before, .. } = &mut *state;
        let lane = match lane {
            Some(lane) if lane.concurrency() == concurrency => lane.clone(),
            old => {
                if let Some(old) = old.take() {
                    // Whoever waits for something that still stands in it is told.
                    old.close();
                    let stuck = old.stuck();
                    stuck_before.times += stuck.times;
                    stuck_before.total += stuck.total;
                }
                old.insert(Lane::new(
                    &self.core.pool,
                    LaneOptions {
                        name: entry.id.clone(),
                        concurrency,
                        capacity: self.options.lane_capacity,
                        deadline: self.options.handler,
                    },
                ))
                .clone()
            }
        };
        let record = *records.entry(version).or_insert_with_key(|version| {
            let quota = &settings.quota;
            let meter = Meter::new(&entry.id, quota.calls_per_second, quota.tenant_calls_per_second);
            PluginRecord::keep(
                self.core,
                &entry.id,
                version,
                entry.number,
                lane.clone(),
                meter,
                entry.metrics.clone(),
            )
        });
        record.set_lane(lane);
        record.set_quotas(quotas(manifest, settings), database_bytes(manifest, settings));
        record
    }
}

/// The error, with whose it is.
fn named(error: Error, id: &str) -> Error {
    if error.plugin().is_none() { error.of(id) } else { error }
}

fn is_open(closed: &Mutex<bool>) -> Result<()> {
    if *closed.lock() {
        return Err(Error::new(ErrorKind::Stopping, "the host is stopping or has stopped"));
    }
    Ok(())
}

fn config_error(id: &str, what: &str, problems: &[Problem]) -> Error {
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::InvalidArgument, format!("{what} is not valid: {}", problems.join("; "))).of(id)
}

/// No candidate has this id; perhaps one that was skipped would have, or one in a folder that cannot be looked into.
fn not_found(id: &str, found: &Discovery, folders: &[PathBuf]) -> Error {
    let skipped = |which: &dyn Fn(&Skipped) -> bool| found.skipped.iter().find(|skipped| which(skipped));
    let near = skipped(&|skipped| skipped.path.to_string_lossy().contains(id))
        .or_else(|| skipped(&|skipped| folders.contains(&skipped.path)));
    let gone = found.warnings.iter().find(|warning| warning.kind() == ErrorKind::NotFound);
    let text = match (near, gone) {
        (Some(skipped), _) => format!(
            "it was not found in the plugin folders; {} was skipped: {}",
            skipped.path.display(),
            skipped.error
        ),
        (None, Some(gone)) => format!("it was not found in the plugin folders: {gone}"),
        (None, None) => "it was not found in the plugin folders".to_owned(),
    };
    Error::new(ErrorKind::NotFound, text).of(id)
}

/// How much a plugin may keep in files.
fn file_quotas(settings: &QuotaSettings) -> Quotas {
    Quotas {
        plugin: Quota { items: settings.files_count, bytes: settings.files_bytes },
        tenant: Quota { items: settings.tenant_files_count, bytes: settings.tenant_files_bytes },
    }
}
