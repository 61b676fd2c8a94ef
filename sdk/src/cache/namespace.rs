//! What is done to a namespace as a whole, and to all of them.

use pintle_abi::{PintleCache, PintleCacheStats, PintleStr};

use super::Cache;
use crate::{
    Context, KeyPage, Keys, Result,
    pages::{Pages, read_page},
    table::function,
    wire,
};

impl<'a> Cache<'a> {
    /// Removes all items whose keys match a pattern, and tells how many there were. What is being loaded under a
    /// [lease](crate::Lease) for such a key meanwhile is refused.
    ///
    /// In a pattern `*` stands for any number of characters, `?` for one, `[a-z]` for one of a set and `[!a-z]` for one that
    /// is not in it, and none of them for `/`; `**` between slashes, or at an end, for any number of whole segments, also
    /// none; a backslash takes the meaning from the character behind it. All else stands for itself.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn left(cx: &Context, user: u64) -> Result<u64> {
    ///     cx.cache("pages").invalidate(&format!("user/{user}/**"))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) also for a bad pattern: it says where.
    pub fn invalidate(&self, pattern: &str) -> Result<u64> {
        let invalidate = function!(self.cx.host(), cache: PintleCache, invalidate)?;
        let mut count = 0;
        // SAFETY: namespace and pattern are borrowed, and `count` is writable for the call.
        let status = unsafe { invalidate(self.cx.raw(), self.ns(), PintleStr::new(pattern), &raw mut count) };
        self.cx.check(status)?;
        Ok(count)
    }

    /// Removes all items of the namespace, and tells how many there were. What is being loaded under a
    /// [lease](crate::Lease) meanwhile is refused.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn clear(&self) -> Result<u64> {
        let clear = function!(self.cx.host(), cache: PintleCache, clear)?;
        let mut count = 0;
        // SAFETY: the namespace is borrowed, and `count` is writable for the call.
        self.cx.check(unsafe { clear(self.cx.raw(), self.ns(), &raw mut count) })?;
        Ok(count)
    }

    /// All keys that begin with `prefix` (the empty one: all keys), in no order; no character has a meaning of its own.
    ///
    /// They are read in pages while the iterator goes on: a key whose item is there all the time is told exactly once, and
    /// what comes or goes meanwhile may be told or not. A failure is the last thing that it gives: those of
    /// [every function](Cache).
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn online(cx: &Context) -> Result<Vec<String>> {
    ///     cx.cache("sessions").keys("user/").collect()
    /// }
    /// ```
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Keys<'a> {
        Keys::new(Pages::Cache(*self), prefix)
    }

    /// One page of [`keys`](Cache::keys): at most `limit`, 1 to 1,000, from where `cursor` points. An empty cursor is the
    /// first page's; [`KeyPage::next`] has that of the page behind.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) also for a cursor that no page gave, or another limit.
    pub fn page(&self, prefix: &str, cursor: &str, limit: u32) -> Result<KeyPage> {
        let keys = function!(self.cx.host(), cache: PintleCache, keys)?;
        let (prefix, cursor) = (PintleStr::new(prefix), PintleStr::new(cursor));
        read_page(self.cx, |out, next| {
            // SAFETY: namespace, prefix and cursor are borrowed for the call; the sinks' buffers outlive it.
            unsafe {
                keys(
                    self.cx.raw(),
                    self.ns(),
                    prefix,
                    cursor,
                    limit,
                    wire::sink_into(out),
                    wire::sink_into(next),
                )
            }
        })
    }
}

impl Context {
    /// Removes all items of the cache that were written with this tag ([`SetOptions::tags`](crate::SetOptions::tags)), in all
    /// namespaces, for the plugin and the tenant of this context, and tells how many there were. What is being loaded
    /// under a [lease](crate::Lease) meanwhile, and is then written with the tag, is refused.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Event, Result};
    /// fn on_renamed(cx: &Context, event: &Event<'_>) -> Result<()> {
    ///     cx.invalidate_tag(&format!("user/{}", event.text()?))?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [every function](Cache) of the cache.
    pub fn invalidate_tag(&self, tag: &str) -> Result<u64> {
        let invalidate_tag = function!(self.host(), cache: PintleCache, invalidate_tag)?;
        let mut count = 0;
        // SAFETY: the tag is borrowed, and `count` is writable for the call.
        self.check(unsafe { invalidate_tag(self.raw(), PintleStr::new(tag), &raw mut count) })?;
        Ok(count)
    }

    /// What the plugin has in the cache, in all namespaces and for all tenants together.
    ///
    /// # Errors
    /// Those of [every function](Cache) of the cache.
    pub fn cache_stats(&self) -> Result<CacheStats> {
        let stats = function!(self.host(), cache: PintleCache, stats)?;
        let mut told = PintleCacheStats {
            size: size_of::<PintleCacheStats>() as u32,
            reserved: 0,
            items: 0,
            bytes: 0,
            guaranteed_bytes: 0,
            capacity_bytes: 0,
            evicted: 0,
        };
        // SAFETY: `told` says its size and is writable for the call.
        self.check(unsafe { stats(self.raw(), &raw mut told) })?;
        Ok(CacheStats {
            items: told.items,
            bytes: told.bytes,
            guaranteed_bytes: told.guaranteed_bytes,
            capacity_bytes: told.capacity_bytes,
            evicted: told.evicted,
        })
    }
}

/// What a plugin has in the cache. From [`Context::cache_stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Its items that have not expired.
    pub items: u64,
    /// What they take, in bytes, with what it takes to keep them.
    pub bytes: u64,
    /// Below how many bytes no other plugin can push it.
    pub guaranteed_bytes: u64,
    /// What the items of all plugins together may take, in bytes.
    pub capacity_bytes: u64,
    /// How many of its items have made room for others since the host started.
    pub evicted: u64,
}
