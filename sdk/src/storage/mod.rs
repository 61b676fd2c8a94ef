//! Durable items: what a plugin finds again after the host's next start.
//!
//! Here is how items are read; `write` has how one is written, `batch` how several are, with events and jobs, in one step,
//! and `watch` how a plugin is told of changes. `item` and `options` are the words for it.

mod batch;
mod item;
mod options;
mod watch;
mod write;

use std::ptr;

use pintle_abi::{
    PINTLE_BUFFER_TOO_SMALL, PINTLE_NOT_FOUND, PINTLE_OK, PintleStatus, PintleStorage, PintleStorageStats,
    PintleStr,
};
use serde::de::DeserializeOwned;

use self::item::{name, no_info, read_json};
pub use self::{
    batch::{Batch, BatchError, BatchJob, StepOutcome},
    item::{CheckedSum, CheckedWrite, StorageItem, StorageStats},
    options::StorageOptions,
    watch::{Change, ChangeKind, Watch},
};
use crate::{
    Context, Error, Fetched, KeyPage, Keys, Result, Status,
    cache::canonical,
    pages::{Pages, read_page},
    table::function,
    wire,
};

/// Durable items, for the plugin and the tenant of the context ([`Context::storage`]): `Ok` to a write means that it is on
/// disk. They outlive the host, reloads and updates of the plugin.
///
/// Keys are 1 to 512 bytes without NUL, values at most 4 MiB unless the operator says otherwise. An empty value is a value,
/// and what has expired is not there.
///
/// ```
/// # use pintle_plugin::{Context, Result};
/// fn visited(cx: &Context, page: &str, by: &str) -> Result<i64> {
///     cx.storage().set_json("last", &(page, by))?;
///     cx.storage().incr(&format!("visits/{page}"), 1)
/// }
/// ```
///
/// | | |
/// |---|---|
/// | [`get`](Storage::get), [`get_json`](Storage::get_json), [`get_item`](Storage::get_item), [`get_into`](Storage::get_into) | one item |
/// | [`set`](Storage::set), [`set_for`](Storage::set_for), [`set_with`](Storage::set_with), [`set_json_text`](Storage::set_json_text), [`remove`](Storage::remove) | the same, for a while, under conditions |
/// | [`incr`](Storage::incr), [`get_integer`](Storage::get_integer) | counters |
/// | [`batch`](Storage::batch) | several writes, events and jobs: all of them or none |
/// | [`watch`](Storage::watch), [`watch_after`](Storage::watch_after) | what changes, also while the plugin was not there |
/// | [`keys`](Storage::keys), [`clear`](Storage::clear), [`stats`](Storage::stats) | all items |
///
/// Where several may write at the same time (other threads of the plugin, or a manifest with `concurrency`), a version makes
/// sure that nobody's write is lost:
///
/// ```
/// # use pintle_plugin::{CheckedWrite, Context, Result};
/// fn join(cx: &Context, room: &str, name: &str) -> Result<()> {
///     let (storage, key) = (cx.storage(), format!("rooms/{room}"));
///     loop {
///         let (mut names, version) = match storage.get_item(&key)? {
///             Some(item) => (item.json::<Vec<String>>()?, item.version),
///             None => (Vec::new(), 0), // 0: only if it is not there
///         };
///         names.push(name.to_owned());
///         if let CheckedWrite::Written(_) = storage.set_json_if_version(&key, &names, version)? {
///             return Ok(()); // otherwise somebody else was first: once more
///         }
///     }
/// }
/// ```
///
/// Beside what each function names, all answer [`Denied`](Status::Denied) (the manifest's `services.storage` does not ask for
/// the method), [`InvalidArgument`](Status::InvalidArgument) (a key that is none), [`Unavailable`](Status::Unavailable)
/// (the disk fails, or the host has stopped) and [`StaleHandle`](Status::StaleHandle). Those that write answer
/// `Unavailable` also in `load` and `restore`, and where the disk is full, and [`Quota`](Status::Quota) where there would be
/// more items or bytes than the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    cx: &'a Context,
}

impl<'a> Storage<'a> {
    #[inline]
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// Reads an item. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let get = function!(self.cx.host(), storage: PintleStorage, get)?;
        let mut value = Vec::new();
        // SAFETY: `key` is borrowed for the call, the sink's buffer outlives it, and info may be null.
        let status =
            unsafe { get(self.cx.raw(), PintleStr::new(key), wire::sink_into(&mut value), ptr::null_mut()) };
        Ok(self.found(status)?.then_some(value))
    }

    /// [`get`](Storage::get) without an allocation, for hot paths: reads into `buffer`, whose content is not changed where
    /// the value does not fit.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn get_into<'b>(&self, key: &str, buffer: &'b mut [u8]) -> Result<Fetched<'b>> {
        let get_into = function!(self.cx.host(), storage: PintleStorage, get_into)?;
        let (ctx, key) = (self.cx.raw(), PintleStr::new(key));
        let (place, room, mut len) = (buffer.as_mut_ptr(), buffer.len(), 0);
        // SAFETY: `key` is borrowed, and buffer and `len` are writable for the call; info may be null.
        let status = unsafe { get_into(ctx, key, place, room, &raw mut len, ptr::null_mut()) };
        match status {
            PINTLE_BUFFER_TOO_SMALL => Ok(Fetched::TooSmall(len)),
            status if !self.found(status)? => Ok(Fetched::Missing),
            // A host that says that it wrote more than there is room for is believed as far as there is.
            _ => Ok(Fetched::Found(buffer.get(..len).unwrap_or(buffer))),
        }
    }

    /// Reads an item with its version, its times and its lifetime. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn get_item(&self, key: &str) -> Result<Option<StorageItem>> {
        let get = function!(self.cx.host(), storage: PintleStorage, get)?;
        let (mut value, mut info) = (Vec::new(), no_info());
        // SAFETY: as in `get`; `info` says its size and is writable for the call.
        let status =
            unsafe { get(self.cx.raw(), PintleStr::new(key), wire::sink_into(&mut value), &raw mut info) };
        Ok(self.found(status)?.then(|| StorageItem::new(key, value, &info)))
    }

    /// Reads an item as JSON. `None` if it is not there.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) if no `T` can be made of it.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get(key)?.map(|value| read_json(key, &value)).transpose()
    }

    /// Reads a number, for example what [`incr`](Storage::incr) counted. `None` if it is not there.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) for a text to which `incr` would not add either.
    pub fn get_integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let integer = canonical(&value)
            .ok_or_else(|| Error::new(Status::WrongType, format!("{}: not a 64-bit integer", name(key))))?;
        Ok(Some(integer))
    }

    /// Is the item there?
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn exists(&self, key: &str) -> Result<bool> {
        let exists = function!(self.cx.host(), storage: PintleStorage, exists)?;
        let mut found = 0;
        // SAFETY: `key` is borrowed and `found` writable for the call.
        self.cx.check(unsafe { exists(self.cx.raw(), PintleStr::new(key), &raw mut found) })?;
        Ok(found != 0)
    }

    /// All keys that begin with `prefix` (the empty one: all keys), in byte order; no character has a meaning of its own.
    ///
    /// They are read in pages while the iterator goes on, so what comes or goes meanwhile may be seen or not. A failure is
    /// the last thing that it gives: those of [every function](Storage).
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn forget(cx: &Context, page: &str) -> Result<()> {
    ///     for key in cx.storage().keys(&format!("visits/{page}/")) {
    ///         cx.storage().remove(&key?)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Keys<'a> {
        Keys::new(Pages::Storage(*self), prefix)
    }

    /// One page of [`keys`](Storage::keys): at most `limit`, 1 to 1,000, from where `cursor` points. An empty cursor is the
    /// first page's; [`KeyPage::next`] has that of the page behind.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument) also for a cursor that no page gave, or another limit.
    pub fn page(&self, prefix: &str, cursor: &str, limit: u32) -> Result<KeyPage> {
        let keys = function!(self.cx.host(), storage: PintleStorage, keys)?;
        let (prefix, cursor) = (PintleStr::new(prefix), PintleStr::new(cursor));
        read_page(self.cx, |out, next| {
            // SAFETY: prefix and cursor are borrowed for the call; the sinks' buffers outlive it.
            unsafe { keys(self.cx.raw(), prefix, cursor, limit, wire::sink_into(out), wire::sink_into(next)) }
        })
    }

    /// What the plugin has in the storage for the tenant of the context, and how much it may have.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn stats(&self) -> Result<StorageStats> {
        let stats = function!(self.cx.host(), storage: PintleStorage, stats)?;
        let mut told = PintleStorageStats {
            size: size_of::<PintleStorageStats>() as u32,
            reserved: 0,
            items: 0,
            bytes: 0,
            most_items: 0,
            most_bytes: 0,
            version: 0,
        };
        // SAFETY: `told` says its size and is writable for the call.
        self.cx.check(unsafe { stats(self.cx.raw(), &raw mut told) })?;
        Ok(StorageStats::new(&told))
    }

    /// Was there something? A miss is an answer, not a failure: nobody asks the host for its sentence.
    fn found(&self, status: PintleStatus) -> Result<bool> {
        match status {
            PINTLE_OK => Ok(true),
            PINTLE_NOT_FOUND => Ok(false),
            status => self.cx.check(status).map(|()| true),
        }
    }
}
