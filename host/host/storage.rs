//! What an application and an operator do with the storage: [`PluginStorage`] is what one plugin has on behalf of one
//! tenant; whole plugins are exported, imported and looked through.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc, time::Duration};

use super::Host;
use crate::{
    boundary::Core,
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Tenant},
    services::{
        keys::{Key, LONGEST_KEY},
        storage::{
            Action, ExportPlan, ExportReport, GoOn, ImportMode, ImportReport, Info, Quotas, Step,
            StorageCheck, is_plugin_id,
        },
    },
};

/// What one plugin has in the storage on behalf of one tenant: [`Host::storage`]. All functions may be called from any
/// thread; after the host has stopped they answer UNAVAILABLE, and so they do where the disk fails.
///
/// OK to a write means that it is on disk. Quotas are for plugins: what is written here counts, and is not refused.
#[derive(Clone)]
pub struct PluginStorage {
    core: &'static Core,
    number: u64,
    id: Arc<str>,
    /// Held, so that its number stays.
    tenant: Tenant,
}

/// An item of the storage, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageItem {
    /// Its bytes.
    pub value: Vec<u8>,
    /// Another one with each write, greater than all before, and never 0.
    pub version: u64,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When it was written last, in milliseconds since 1970-01-01 UTC.
    pub updated_ms: i64,
    /// How long it is still there, in whole milliseconds; None: it does not expire.
    pub left: Option<Duration>,
}

/// How an item is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// Only if the item has this version; 0: only if it is not there.
    pub if_version: Option<u64>,
    /// How long it is to be there; None or zero: it does not expire.
    pub ttl: Option<Duration>,
}

/// Some of the keys of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageKeys {
    /// The keys, in the order of their bytes.
    pub keys: Vec<String>,
    /// The cursor of the next page; None: this is the last.
    pub next: Option<String>,
}

/// What a plugin has on behalf of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageScope {
    /// The tenant; empty: the system scope.
    pub tenant: String,
    /// How many items there are. One that has expired may count for a moment.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
}

/// What is exported, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Of this tenant alone (empty: the system scope); None: of all.
    pub tenant: Option<String>,
    /// A file that is there already is replaced.
    pub overwrite: bool,
}

/// How a file is imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// What becomes of items that are there.
    pub mode: ImportMode,
    /// The plugin that is to have the items; None: the one that they were exported of.
    pub plugin: Option<String>,
}

impl Host {
    /// The storage of a plugin on behalf of a tenant (empty: the system scope). The plugin need not be loaded: what it has
    /// left in the storage can be read and changed too.
    ///
    /// ```no_run
    /// use pintle::storage::SetOptions;
    ///
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").data("data").build()?;
    /// let storage = host.storage("orders", "acme")?;
    /// if let Some(item) = storage.get("limit")? {
    ///     println!("{:?}, version {}", String::from_utf8_lossy(&item.value), item.version);
    ///     // Only if nobody has changed it meanwhile.
    ///     let options = SetOptions { if_version: Some(item.version), ..SetOptions::default() };
    ///     storage.set("limit", b"250", &options)?;
    /// }
    /// for key in storage.keys("order/", None, 0)?.keys {
    ///     println!("{key}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// NOT_FOUND: the plugin was never loaded in this host, and has nothing in the storage. INVALID_ARGUMENT: the tenant.
    /// UNAVAILABLE: the host has stopped, or the disk fails.
    pub fn storage(&self, plugin: &str, tenant: &str) -> Result<PluginStorage> {
        let core = self.inner.core;
        let tenant = core.tenants.named_by_application(tenant)?;
        let (number, id) = self.inner.plugins.with_storage(plugin)?;
        Ok(PluginStorage { core, number, id, tenant })
    }

    /// For whom a plugin has something in the storage, and how much, in the order of the tenants' names.
    ///
    /// # Errors
    ///
    /// As `storage`.
    pub fn storage_scopes(&self, plugin: &str) -> Result<Vec<StorageScope>> {
        self.inner.plugins.with_storage(plugin)?;
        Ok(self.all_storage_scopes()?.remove(plugin).unwrap_or_default())
    }

    /// The same of all plugins that have something.
    pub(crate) fn all_storage_scopes(&self) -> Result<BTreeMap<String, Vec<StorageScope>>> {
        let mut all = BTreeMap::<String, Vec<StorageScope>>::new();
        for used in self.inner.core.storage.usage()?.into_iter().filter(|used| used.items > 0) {
            let scope =
                StorageScope { tenant: used.tenant.to_string(), items: used.items, bytes: used.bytes };
            all.entry(used.plugin.to_string()).or_default().push(scope);
        }
        for scopes in all.values_mut() {
            scopes.sort_unstable_by(|one, other| one.tenant.cmp(&other.tenant));
        }
        Ok(all)
    }

    /// Writes what a plugin has in the storage into a file that [`import`](Self::import) reads, here or elsewhere, while the
    /// host runs: all of it as it is at one moment. Nobody who writes waits for it. The plugin need not be loaded.
    ///
    /// The file is made for this user alone, beside its place, and gets its name when all of it is on disk: what is there
    /// under the name is whole. `docs/export.md` has the format.
    ///
    /// ```no_run
    /// use pintle::storage::{ExportOptions, ImportMode, ImportOptions};
    ///
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").data("data").build()?;
    /// let written = host.export("orders", "orders.export", &ExportOptions::default())?;
    /// println!("{} items of {} tenants", written.items, written.tenants);
    /// // Later, or on another machine:
    /// let options = ImportOptions { mode: ImportMode::Replace, ..ImportOptions::default() };
    /// let read = host.import("orders.export", &options)?;
    /// println!("{} items, in place of {} others", read.items, read.removed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// NOT_FOUND: the plugin was never loaded in this host, and has nothing in the storage. INVALID_ARGUMENT: the tenant.
    /// CONFLICT: the file is there already. UNAVAILABLE: it cannot be written, or the items cannot be read. STOPPING. Then
    /// there is no file, or the old one.
    pub fn export(
        &self,
        plugin: &str,
        path: impl AsRef<Path>,
        options: &ExportOptions,
    ) -> Result<ExportReport> {
        let ExportOptions { tenant, overwrite } = options;
        let tenant = tenant.as_deref();
        if let Some(tenant) = tenant {
            self.inner.core.tenants.named_by_application(tenant)?;
        }
        self.inner.plugins.with_storage(plugin)?;
        let (path, host) = (path.as_ref(), env!("CARGO_PKG_VERSION"));
        let plan = ExportPlan { plugin, tenant, path, overwrite: *overwrite, host };
        self.inner.core.storage.export(&plan, &self.go_on())
    }

    /// Takes the items of a file that [`export`](Self::export) has written, all of them or, where that fails, none. The whole
    /// file is looked through before anything is written. The plugin need not be loaded, nor known.
    ///
    /// Items keep their times and lifetimes, and get versions of their own; those whose lifetime is over are left out. As
    /// everything happens in one commit, other writes wait for it. A million items of 77 bytes took 5.7 to 7.5 s, the first
    /// look at the file included, and 1.7 to 1.9 s to be exported, on two busy cores. Plugins that watch their storage are
    /// told of it.
    ///
    /// # Errors
    ///
    /// CONFLICT: the plugin has items already where the file would put some, and [`ImportMode::Empty`] was asked for.
    /// INVALID_ARGUMENT: the file is no export, is damaged or was changed, with the line; or the plugin's id. UNSUPPORTED: a
    /// newer host has written it. TOO_LARGE: a value is above this host's limit. UNAVAILABLE: the file
    /// cannot be read, or the disk fails or is full. STOPPING.
    pub fn import(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<ImportReport> {
        let ImportOptions { mode, plugin } = options;
        if let Some(id) = plugin.as_deref().filter(|id| !is_plugin_id(id)) {
            let problem = format!("{id:?} is no plugin id: 1 to 63 of a-z, 0-9 and `-`, a letter first");
            return Err(Error::argument("plugin", problem));
        }
        self.inner.core.storage.import(path.as_ref(), *mode, plugin.as_deref(), &self.go_on())
    }

    /// Looks through all that is kept, while the host runs: whether the file of the ledger is whole, and whether what is
    /// counted is what is there. `thorough`: compares indexes with tables too, which takes several times as long.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the file cannot be read at all, or the host has stopped. STOPPING.
    pub fn check_storage(&self, thorough: bool) -> Result<StorageCheck> {
        self.inner.core.storage.verify(thorough, &self.go_on())
    }

    /// What something long asks: a host that stops does not wait for it.
    fn go_on(&self) -> GoOn {
        let inner = Arc::downgrade(&self.inner);
        Arc::new(move || match inner.upgrade() {
            Some(inner) => Self { inner, owner: false }.running(),
            None => Err(Error::new(ErrorKind::Stopping, "the host has stopped")),
        })
    }
}

impl PluginStorage {
    /// The plugin's id.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.id
    }

    /// The tenant; empty: the system scope.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.tenant.name()
    }

    /// The most bytes that a value may have.
    pub(crate) fn largest_value(&self) -> usize {
        self.core.storage.largest_value()
    }

    /// Reads an item; None if there is none.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `key` (1 to 512 bytes).
    pub fn get(&self, key: &str) -> Result<Option<StorageItem>> {
        let key = Key::parse("key", key.as_bytes())?;
        let mut found = None;
        self.core.storage.get(&self.scope(), key, &mut |value, info| found = Some((value.to_vec(), info)))?;
        Ok(found.map(|(value, info)| self.item(value, info)))
    }

    /// Writes an item, and tells its new version.
    ///
    /// # Errors
    ///
    /// CONFLICT: the item has another version than was asked for, which the text names. INVALID_ARGUMENT: `key`. TOO_LARGE:
    /// the value (4 MiB by default). OUT_OF_RANGE: the lifetime ends beyond all time. UNAVAILABLE: the disk is full or fails.
    pub fn set(&self, key: &str, value: &[u8], options: &SetOptions) -> Result<u64> {
        let ttl_ms = options.ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let lifetime = self.core.storage.lifetime(ttl_ms)?;
        self.write(key, options.if_version, Action::Set { value, lifetime }).map(|(version, _)| version)
    }

    /// Removes an item; tells whether it was there.
    ///
    /// # Errors
    ///
    /// As `get`, and UNAVAILABLE as `set`.
    pub fn remove(&self, key: &str) -> Result<bool> {
        self.write(key, None, Action::Remove).map(|(_, there)| there)
    }

    /// Some of the keys, those that begin with `prefix` (empty: all), in the order of their bytes: at most `limit`, 1 to
    /// 1,000; 0: 100. `cursor`: None for the first page, then `next` of the page before.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `prefix`, `limit`, or a cursor that no page has had.
    pub fn keys(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<StorageKeys> {
        if prefix.len() > LONGEST_KEY {
            let len = prefix.len();
            return Err(Error::argument("prefix", format!("{len} bytes, at most {LONGEST_KEY} are taken")));
        }
        let page = self.core.storage.keys(&self.scope(), prefix, cursor.unwrap_or_default(), limit)?;
        Ok(StorageKeys { keys: page.keys, next: page.next })
    }

    /// Removes all items at once, and tells how many there were.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE, as `set`.
    pub fn clear(&self) -> Result<u64> {
        self.core.storage.clear(&self.scope())
    }

    /// How much there is.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk fails, or the host has stopped.
    pub fn usage(&self) -> Result<StorageScope> {
        let used = self.core.storage.usage_of(&self.scope())?;
        Ok(StorageScope { tenant: self.tenant().to_owned(), items: used.items, bytes: used.bytes })
    }

    /// The new version, and whether the item of a `Remove` was there.
    fn write(&self, key: &str, if_version: Option<u64>, action: Action<'_>) -> Result<(u64, bool)> {
        let step = Step { key: Key::parse("key", key.as_bytes())?, if_version, action };
        match self.core.storage.apply_one(&self.scope(), step, Quotas::default()) {
            Ok(done) => Ok((done.version, done.value != 0)),
            Err(refused) => Err(refused.error),
        }
    }

    fn item(&self, value: Vec<u8>, info: Info) -> StorageItem {
        let Info { version, created_ms, updated_ms, expires_ms } = info;
        let left = expires_ms.map(|ends| {
            let ms = ends.saturating_sub(self.core.storage.now_ms());
            Duration::from_millis(u64::try_from(ms).unwrap_or_default())
        });
        StorageItem { value, version, created_ms, updated_ms, left }
    }

    fn scope(&self) -> DataScope<'_> {
        DataScope::new(self.number, &self.id, self.tenant.number(), &self.core.tenants)
    }
}

impl fmt::Debug for PluginStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginStorage")
            .field("plugin", &self.id)
            .field("tenant", self.tenant.name())
            .finish_non_exhaustive()
    }
}
