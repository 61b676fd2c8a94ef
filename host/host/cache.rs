//! What an application does with the cache of one of its plugins: [`PluginCache`]; and what the host tells of the cache as
//! a whole.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::Host;
use crate::{
    boundary::Core,
    error::{Error, Result},
    identity::{DataScope, Tenant},
    services::{
        cache::{Address, Age, Glob, Item, Lifetime, Page, Space, Value},
        clock::Clock,
        keys::{Key, LONGEST_KEY, Namespace, page_limit},
    },
    stats::{CacheDownStats, CacheStats},
};

/// What one plugin has in the cache on behalf of one tenant: [`Host::cache`]. All functions may be called from any thread;
/// after the host has stopped they answer UNAVAILABLE, and so they do while a back end is down that has to be asked.
///
/// What an item means only its plugin knows: an application reads items and takes them away, and never writes one.
#[derive(Clone)]
pub struct PluginCache {
    core: &'static Core,
    number: u64,
    id: Arc<str>,
    /// Held, so that its number stays.
    tenant: Tenant,
}

/// An item of the cache, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheItem {
    /// What it is.
    pub value: CacheValue,
    /// It is past its lifetime and within its stale span: still given, until somebody has loaded it anew.
    pub stale: bool,
    /// Another one with each write of its key; never 0.
    pub version: u64,
    /// How long it is still fresh, in whole milliseconds; zero: it is stale; None: it does not expire.
    pub fresh: Option<Duration>,
    /// How long it is still there, fresh or stale; None: it does not expire.
    pub left: Option<Duration>,
}

/// What an item of the cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheValue {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A 64-bit integer.
    Integer(i64),
    /// The plugin has noted that there is nothing: for itself the item is not there.
    Absent,
}

/// Some of the keys of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheKeys {
    /// The keys, in no order.
    pub keys: Vec<String>,
    /// The cursor of the next page; None: this is the last.
    pub next: Option<String>,
}

impl Host {
    /// The cache of a plugin on behalf of a tenant (empty: the system scope). The plugin need not be loaded: what it has
    /// left in the cache can be read and taken away too.
    ///
    /// ```no_run
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").build()?;
    /// let cache = host.cache("prices", "acme")?;
    /// if let Some(item) = cache.get("quotes", "EUR/USD")? {
    ///     println!("{:?}, for {:?} still", item.value, item.left);
    /// }
    /// // The feed was wrong about all that is in euros.
    /// let gone = cache.invalidate("quotes", "EUR/**")?;
    /// println!("{gone} quotes will be loaded anew");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// NOT_FOUND: the plugin was never loaded in this host, and nothing of it is in the cache. INVALID_ARGUMENT: the tenant.
    /// UNAVAILABLE: the host has stopped, or the plugin was never loaded and the back end is down.
    pub fn cache(&self, plugin: &str, tenant: &str) -> Result<PluginCache> {
        let core = self.inner.core;
        let tenant = core.tenants.named_by_application(tenant)?;
        let (number, id) = self.inner.plugins.with_cache(plugin)?;
        Ok(PluginCache { core, number, id, tenant })
    }

    /// Removes everything that a plugin has in the cache, of all tenants; tells how many items there were. The plugin need
    /// not be loaded.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the back end is down, or the host has stopped.
    pub fn clear_cache(&self, plugin: &str) -> Result<u64> {
        self.inner.core.cache.remove_plugin(plugin)
    }
}

impl PluginCache {
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

    /// Reads an item; None if there is none. Never makes anybody load it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `namespace` (1 to 128 bytes) or `key` (1 to 512 bytes).
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<CacheItem>> {
        let mut found = None;
        self.core.cache.get(&self.address(namespace, key)?, &mut |item| found = Some(item.into()))?;
        Ok(found)
    }

    /// Removes an item; tells whether it was there.
    ///
    /// # Errors
    ///
    /// As `get`.
    pub fn remove(&self, namespace: &str, key: &str) -> Result<bool> {
        self.core.cache.remove(&self.address(namespace, key)?)
    }

    /// Removes all items of a namespace whose keys match a pattern, and tells how many there were. What is being loaded for
    /// such keys meanwhile is refused when it comes.
    ///
    /// `*` stands for any number of characters, `?` for one, `[a-z]` for one of a set and `[!a-z]` for one that is not in
    /// it, and none of them for `/`; `**` stands for any number of whole segments; `\` takes the meaning from the character
    /// behind it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `namespace`, or the pattern, with the place.
    pub fn invalidate(&self, namespace: &str, pattern: &str) -> Result<u64> {
        let pattern = Key::parse("pattern", pattern.as_bytes())?;
        let pattern = Glob::parse("pattern", pattern.as_str().as_bytes())?;
        self.core.cache.invalidate(&self.space(namespace)?, &pattern)
    }

    /// Removes all items that were written with a tag, in all namespaces, and tells how many there were.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `tag` (1 to 128 bytes).
    pub fn invalidate_tag(&self, tag: &str) -> Result<u64> {
        let tag = Namespace::parse("tag", tag.as_bytes())?;
        self.core.cache.invalidate_tag(&self.scope(), tag)
    }

    /// Removes all items of a namespace, and tells how many there were.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `namespace`.
    pub fn clear(&self, namespace: &str) -> Result<u64> {
        self.core.cache.clear(&self.space(namespace)?)
    }

    /// Some of the keys of a namespace, those that begin with `prefix` (empty: all), in no order: at most `limit`, 1 to 1,000;
    /// 0: 100. `cursor`: None for the first page, then `next` of the page before. A key whose item is there from the first page
    /// to the last is told exactly once.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `namespace`, `prefix`, `limit`, or a cursor that no page has had.
    pub fn keys(&self, namespace: &str, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<CacheKeys> {
        if prefix.len() > LONGEST_KEY {
            let len = prefix.len();
            return Err(Error::argument("prefix", format!("{len} bytes, at most {LONGEST_KEY} are taken")));
        }
        let (space, limit) = (self.space(namespace)?, page_limit(limit)?);
        let Page { keys, next } = self.core.cache.keys(&space, prefix, cursor, limit)?;
        Ok(CacheKeys { keys, next })
    }

    fn scope(&self) -> DataScope<'_> {
        DataScope::new(self.number, &self.id, self.tenant.number(), &self.core.tenants)
    }

    fn space<'a>(&'a self, namespace: &'a str) -> Result<Space<'a>> {
        Ok(Space { scope: self.scope(), namespace: Namespace::parse("namespace", namespace.as_bytes())? })
    }

    fn address<'a>(&'a self, namespace: &'a str, key: &'a str) -> Result<Address<'a>> {
        let Space { scope, namespace } = self.space(namespace)?;
        Ok(Address { scope, namespace, key: Key::parse("key", key.as_bytes())? })
    }
}

impl fmt::Debug for PluginCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginCache")
            .field("plugin", &self.id)
            .field("tenant", self.tenant.name())
            .finish_non_exhaustive()
    }
}

impl From<Item<'_>> for CacheItem {
    fn from(item: Item<'_>) -> Self {
        let lasts = |lifetime| match lifetime {
            Lifetime::Endless => None,
            Lifetime::Ms(ms) => Some(Duration::from_millis(ms.max(0) as u64)),
        };
        Self {
            value: match item.value {
                Value::Bytes(bytes) => CacheValue::Bytes(bytes.to_vec()),
                Value::Integer(integer) => CacheValue::Integer(integer),
                Value::Absent => CacheValue::Absent,
            },
            stale: item.age == Age::Stale,
            version: item.version,
            fresh: lasts(item.fresh()),
            left: lasts(item.left()),
        }
    }
}

/// What the host knows of its cache beside what that tells itself.
pub(super) struct CacheWatch {
    /// The name of the back end.
    backend: &'static str,
    /// What the back end told last of which no caller was told.
    reported: Mutex<Option<String>>,
    /// Since when the back end is down, in milliseconds since 1970 UTC, as far as anybody has noticed.
    down_since_ms: Mutex<Option<i64>>,
    clock: Arc<dyn Clock>,
}

impl CacheWatch {
    pub(super) fn new(backend: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self { backend, reported: Mutex::default(), down_since_ms: Mutex::default(), clock }
    }

    /// The back end has met something of which no caller is told.
    pub(super) fn note_reported(&self, error: &Error) {
        *self.reported.lock() = Some(error.to_string());
    }

    /// The back end works, or does not.
    pub(super) fn note_up(&self, up: bool) {
        let mut since = self.down_since_ms.lock();
        match up {
            true => *since = None,
            false => {
                since.get_or_insert_with(|| self.clock.now_ms());
            }
        }
    }

    /// What there is to tell; `used`: by all plugins together. `stopped`: the host has, so the back end is not down, but closed.
    pub(super) fn stats(&self, core: &Core, used: u64, stopped: bool) -> CacheStats {
        let health = if stopped { Ok(()) } else { core.cache.health() };
        self.note_up(health.is_ok());
        let since_ms = *self.down_since_ms.lock();
        CacheStats {
            backend: self.backend,
            down: health.err().map(|error| CacheDownStats {
                since_ms: since_ms.unwrap_or_default(),
                text: error.to_string(),
            }),
            capacity: core.cache.capacity(),
            used,
            guaranteed: core.cache.guaranteed(),
            reported: self.reported.lock().clone(),
        }
    }
}
