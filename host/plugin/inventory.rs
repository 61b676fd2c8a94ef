//! What plugins have in cache, storage, files and databases: now, or, when those are closed, at the end.

use std::{collections::HashMap, sync::OnceLock};

use parking_lot::Mutex;

use crate::{
    boundary::Core,
    services::cache::Usage,
    stats::{PluginCacheStats, UsageStats},
};

/// Who tells what plugins have.
pub(super) struct Inventory {
    core: &'static Core,
    /// What the cache told last: while its back end is down that is all that is known, and what only grows must not
    /// begin anew.
    cache: Mutex<Vec<Usage>>,
    /// What was there when cache and storage were closed.
    last: OnceLock<Uses>,
}

/// What all plugins have.
#[derive(Debug)]
pub(super) struct Uses {
    pub(super) by_id: HashMap<String, InUse>,
    /// The storage could be asked.
    pub(super) storage_known: bool,
    /// The index of the files could be asked.
    pub(super) files_known: bool,
    /// The folder of the databases could be read.
    pub(super) databases_known: bool,
}

/// What a plugin has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InUse {
    /// Without hits and misses, which are counted elsewhere.
    pub(super) cache: PluginCacheStats,
    pub(super) storage: UsageStats,
    pub(super) files: UsageStats,
    /// Each an item.
    pub(super) database: UsageStats,
}

impl Inventory {
    pub(super) fn new(core: &'static Core) -> Self {
        Self { core, cache: Mutex::default(), last: OnceLock::new() }
    }

    /// What plugins have now, or had at the end.
    pub(super) fn show(&self, show: impl FnOnce(&Uses)) {
        match self.last.get() {
            Some(last) => show(last),
            None => show(&self.take()),
        }
    }

    /// Cache and storage are about to be closed: remembers what is there. The first time is the one that counts.
    pub(super) fn keep(&self) {
        let _ = self.last.set(self.take());
    }

    fn take(&self) -> Uses {
        let mut by_id: HashMap<String, InUse> = HashMap::new();
        let guaranteed = self.core.cache.guaranteed();
        let mut known = self.cache.lock();
        if let Ok(told) = self.core.cache.usage() {
            *known = told;
        }
        for Usage { plugin, items, bytes, evicted } in &*known {
            by_id.entry(plugin.to_string()).or_default().cache = PluginCacheStats {
                items: *items,
                bytes: *bytes,
                evicted: *evicted,
                guaranteed,
                ..PluginCacheStats::default()
            };
        }
        drop(known);
        // A disk that fails is told to those who use it; here the numbers are missing.
        let stored = self.core.storage.usage();
        let storage_known = stored.is_ok();
        for used in stored.unwrap_or_default() {
            let UsageStats { items, bytes } = &mut by_id.entry(used.plugin.to_string()).or_default().storage;
            (*items, *bytes) = (*items + used.items, *bytes + used.bytes);
        }
        let filed = self.core.files.usage();
        let files_known = filed.is_ok();
        for used in filed.unwrap_or_default() {
            let UsageStats { items, bytes } = &mut by_id.entry(used.plugin.to_string()).or_default().files;
            (*items, *bytes) = (*items + used.files, *bytes + used.bytes);
        }
        let held = self.core.database.databases();
        let databases_known = held.is_ok();
        for held in held.unwrap_or_default() {
            let UsageStats { items, bytes } = &mut by_id.entry(held.plugin).or_default().database;
            (*items, *bytes) = (*items + 1, *bytes + held.bytes);
        }
        Uses { by_id, storage_known, files_known, databases_known }
    }
}
