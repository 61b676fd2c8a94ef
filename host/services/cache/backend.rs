//! What a back end of the cache does: [`CacheBackend`]. Memory, SQLite, the two tiers, and later one in another process
//! or behind a network keep the same promises, and `conformance` tests them all.

#[cfg(test)]
use std::sync::Arc;

use super::{
    glob::Glob,
    item::{Address, Draft, ExpireIf, Expired, Item, Lifetime, Page, Space, Usage, Whole, Written},
};
use crate::{error::Result, identity::DataScope, services::keys::Namespace};

/// A back end of the cache.
///
/// An item is *there* while it is fresh or stale and no note that there is nothing ([`Value::Absent`]). What is not there is
/// absent for every function, but [`get_whole`](Self::get_whole) lends it as long as it is kept. Every function either does what it says
/// or changes nothing. UNAVAILABLE where the back end cannot be reached.
///
/// [`Value::Absent`]: super::Value::Absent
pub(crate) trait CacheBackend: Send + Sync {
    /// Lends the item to `read`, once, if it is fresh or stale, and also if it is a note that there is nothing; tells whether
    /// there was something to lend. `read` must not call the cache.
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool>;

    /// As [`get`](Self::get), with what a copy of the item needs, and by what it can be invalidated; and also what is only
    /// kept.
    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool>;

    /// Writes bytes or a note that there is nothing, never an integer, in place of what is there: value, lifetime, spans
    /// and tags.
    ///
    /// TOO_LARGE: more than it has room for at all. UNAVAILABLE: it found no room.
    fn set(&self, at: &Address<'_>, draft: &Draft<'_>) -> Result<Written>;

    /// As many [`set`](Self::set)s, in their order; one that fails keeps none from being done.
    fn set_many(&self, writes: &[(Address<'_>, Draft<'_>)]) -> Vec<Result<Written>> {
        writes.iter().map(|(at, draft)| self.set(at, draft)).collect()
    }

    /// Takes away whatever lies there; tells whether an item was there.
    fn remove(&self, at: &Address<'_>) -> Result<bool>;

    /// Adds, atomically, and answers the sum. `lifetime` counts where the item is created; one that is there keeps its
    /// lifetime, spans and tags.
    ///
    /// WRONG_TYPE: bytes that are no canonical decimal i64. OUT_OF_RANGE: the sum overflows.
    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64>;

    /// Makes the item fresh for another lifetime, with the spans that it has, if `condition` holds; `None` removes it. The
    /// condition is about the end of its lifetime, its spans left out.
    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired>;

    /// Takes away everything of the scope that was written with the tag, in all of its namespaces; tells how many items
    /// were there. When it returns nothing that was written before the call is left.
    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64>;

    /// Takes away everything whose key matches; tells how many items were there.
    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64>;

    /// Takes away everything that lies there; tells how many items were there.
    fn clear(&self, space: &Space<'_>) -> Result<u64>;

    /// Up to `limit` keys of items that are there and begin with `prefix`, in no order, after where the page before ended
    /// (`cursor`: its `next`). A key whose item is there all the time is on one page, once.
    ///
    /// INVALID_ARGUMENT: no page has had such a cursor.
    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page>;

    /// What each plugin has, in no order.
    fn usage(&self) -> Result<Vec<Usage>>;

    /// How many bytes all items together may take.
    fn capacity(&self) -> u64;

    /// Below how many bytes no plugin is pushed by others, given how many plugins are loaded.
    fn guaranteed(&self) -> u64;

    /// So many plugins are loaded now: what is guaranteed to each depends on it.
    fn set_plugins(&self, plugins: usize);

    /// Whether it works, or why it does not. Never waits for long.
    fn health(&self) -> Result<()> {
        Ok(())
    }

    /// Removes all that the plugin with this id has, of all tenants; tells how many items were there.
    fn remove_plugin(&self, id: &str) -> Result<u64>;

    /// Nobody is to call it any more: gives back what it has in memory, and writes what is still to be written.
    fn close(&self);
}

/// The same one twice: for a test that hands it out, and looks into it.
#[cfg(test)]
impl<B: CacheBackend> CacheBackend for Arc<B> {
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        (**self).get(at, read)
    }

    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        (**self).get_whole(at, read)
    }

    fn set(&self, at: &Address<'_>, draft: &Draft<'_>) -> Result<Written> {
        (**self).set(at, draft)
    }

    fn set_many(&self, writes: &[(Address<'_>, Draft<'_>)]) -> Vec<Result<Written>> {
        (**self).set_many(writes)
    }

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        (**self).remove(at)
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        (**self).incr(at, delta, lifetime)
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        (**self).expire(at, lifetime, condition)
    }

    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        (**self).invalidate_tag(scope, tag)
    }

    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        (**self).invalidate(space, pattern)
    }

    fn clear(&self, space: &Space<'_>) -> Result<u64> {
        (**self).clear(space)
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page> {
        (**self).keys(space, prefix, cursor, limit)
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        (**self).usage()
    }

    fn capacity(&self) -> u64 {
        (**self).capacity()
    }

    fn guaranteed(&self) -> u64 {
        (**self).guaranteed()
    }

    fn set_plugins(&self, plugins: usize) {
        (**self).set_plugins(plugins);
    }

    fn health(&self) -> Result<()> {
        (**self).health()
    }

    fn remove_plugin(&self, id: &str) -> Result<u64> {
        (**self).remove_plugin(id)
    }

    fn close(&self) {
        (**self).close();
    }
}
