//! The storage: durable items, each under (plugin, tenant, key). A write that has returned is on disk.
//!
//! [`Storage`] is the front that the tables call: it knows the limits, the same for every back end. [`StorageBackend`]
//! is what a back end does; `ledger.rs` is the one that is always there.

mod ledger;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod ledger_tests;

use std::sync::Arc;

pub(crate) use ledger::{LedgerStorage, SCHEMA};

use super::keys::{Key, page_limit};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// What is known of an item beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// Grows with every write, over all items of all scopes, and is never used again; never 0.
    pub(crate) version: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) created_ms: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) updated_ms: i64,
}

/// What became of a write with a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Under this version.
    Done(u64),
    /// Nothing was written: the item has this version; 0: it is not there.
    Conflict(u64),
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// In byte order.
    pub(crate) keys: Vec<String>,
    /// Where the next page begins, for whoever made the page; none: this was the last.
    pub(crate) next: Option<String>,
}

/// What a plugin has in the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) plugin: Arc<str>,
    pub(crate) items: u64,
    /// Of keys and values.
    pub(crate) bytes: u64,
}

/// A back end of the storage. A write that answers OK, or CONFLICT, is on disk, or rests on what is; one that fails has
/// changed nothing. UNAVAILABLE where the back end cannot be reached, is full, or fails.
pub(crate) trait StorageBackend: Send + Sync {
    /// The item's value and what is known of it.
    fn get(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<Option<(Vec<u8>, Info)>>;

    /// Writes an item; with `if_version`, only if it has that version (0: only if it is not there).
    fn set(
        &self,
        scope: &DataScope<'_>,
        key: Key<'_>,
        value: &[u8],
        if_version: Option<u64>,
    ) -> Result<Written>;

    /// Tells whether there was one.
    fn remove(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool>;

    fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool>;

    /// The first `limit` keys that begin with `prefix`, in byte order, and behind `after` if there is one.
    fn keys(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<Key<'_>>,
        limit: usize,
    ) -> Result<Vec<String>>;

    /// Removes all items of the scope and tells how many there were.
    fn clear(&self, scope: &DataScope<'_>) -> Result<u64>;

    /// What each plugin has, in no order.
    fn usage(&self) -> Result<Vec<Usage>>;
}

/// The storage of one host.
pub(crate) struct Storage {
    backend: Box<dyn StorageBackend>,
    largest_value: usize,
}

impl Storage {
    pub(crate) fn new(backend: Box<dyn StorageBackend>, largest_value: usize) -> Self {
        Self { backend, largest_value }
    }

    pub(crate) fn get(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<Option<(Vec<u8>, Info)>> {
        self.backend.get(scope, key)
    }

    pub(crate) fn set(
        &self,
        scope: &DataScope<'_>,
        key: Key<'_>,
        value: &[u8],
        if_version: Option<u64>,
    ) -> Result<Written> {
        if value.len() > self.largest_value {
            let (len, largest) = (value.len(), self.largest_value);
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!(
                    "argument `value`: {len} bytes, at most {largest} are taken (storage.max_value in the settings)"
                )
            }));
        }
        self.backend.set(scope, key, value, if_version)
    }

    pub(crate) fn remove(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        self.backend.remove(scope, key)
    }

    pub(crate) fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        self.backend.exists(scope, key)
    }

    /// A page of the keys that begin with `prefix`. `cursor`: empty for the first one, else what the page before it
    /// said; `limit`: 0 is 100.
    pub(crate) fn keys(&self, scope: &DataScope<'_>, prefix: &str, cursor: &str, limit: u32) -> Result<Page> {
        let limit = page_limit(limit)?;
        let after = cursor::read(cursor, prefix)?;
        let after = after.as_deref().map(|key| Key::parse("cursor", key.as_bytes())).transpose()?;
        // One more than asked for tells whether there is a next page.
        let mut keys = self.backend.keys(scope, prefix, after, limit + 1)?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|last| cursor::after(last));
        Ok(Page { keys, next })
    }

    pub(crate) fn clear(&self, scope: &DataScope<'_>) -> Result<u64> {
        self.backend.clear(scope)
    }

    pub(crate) fn usage(&self) -> Result<Vec<Usage>> {
        self.backend.usage()
    }
}

/// Cursors: the last key of a page, written so that nobody takes it for one.
mod cursor {
    use data_encoding::BASE64URL_NOPAD;

    use super::Key;
    use crate::error::{Error, Result};

    /// So that another form can come later.
    const FORM: &str = "1.";

    /// The cursor of the page behind `key`.
    pub(super) fn after(key: &str) -> String {
        format!("{FORM}{}", BASE64URL_NOPAD.encode(key.as_bytes()))
    }

    /// The key behind which the page begins; none for an empty cursor. What is in the cursor is nothing that its owner
    /// knows, so that an error speaks of the cursor alone.
    pub(super) fn read(cursor: &str, prefix: &str) -> Result<Option<String>> {
        if cursor.is_empty() {
            return Ok(None);
        }
        let key = cursor.strip_prefix(FORM).and_then(|key| BASE64URL_NOPAD.decode(key.as_bytes()).ok());
        let key = key
            .filter(|key| Key::parse("cursor", key).is_ok())
            .and_then(|key| String::from_utf8(key).ok())
            .filter(|key| key.starts_with(prefix));
        match key {
            Some(key) => Ok(Some(key)),
            None => Err(Error::argument(
                "cursor",
                "is none of this listing: pass what `next` got for the same prefix, or nothing for the first page",
            )),
        }
    }
}
