//! Durable items: what a plugin finds again after the host's next start.

use std::{ptr, time::SystemTime};

use pintle_abi::{
    PINTLE_CONFLICT, PINTLE_NOT_FOUND, PINTLE_OK, PINTLE_STORAGE_IF_VERSION, PintleBytes, PintleStatus,
    PintleStorage, PintleStorageInfo, PintleStorageOptions, PintleStr,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context, Error, KeyPage, Keys, Result, Status,
    events::at,
    pages::{Pages, read_page},
    table::function,
    wire,
};

/// Durable items, for the plugin and the tenant of the context ([`Context::storage`]): `Ok` to a write means that it is on
/// disk. They outlive the host, reloads and updates of the plugin.
///
/// Keys are 1 to 512 bytes without NUL, values at most 4 MiB unless the operator says otherwise. An empty value is a value.
///
/// ```
/// # use pintle_plugin::{Context, Result};
/// fn visits(cx: &Context, page: &str) -> Result<u64> {
///     let key = format!("visits/{page}");
///     let visits = cx.storage().get_json(&key)?.unwrap_or(0_u64) + 1;
///     cx.storage().set_json(&key, &visits)?;
///     Ok(visits)
/// }
/// ```
///
/// Where several may write at the same time (other threads of the plugin, or a manifest with `concurrency`), a version makes
/// sure that nobody's write is lost:
///
/// ```
/// # use pintle_plugin::{CheckedWrite, Context, Result};
/// fn visits(cx: &Context, page: &str) -> Result<u64> {
///     let (storage, key) = (cx.storage(), format!("visits/{page}"));
///     loop {
///         let (visits, version) = match storage.get_item(&key)? {
///             Some(item) => (item.json::<u64>()? + 1, item.version),
///             None => (1, 0), // 0: only if it is not there
///         };
///         if let CheckedWrite::Written(_) = storage.set_json_if_version(&key, &visits, version)? {
///             return Ok(visits);
///         }
///     }
/// }
/// ```
///
/// Beside what each function names, all answer [`Denied`](Status::Denied) (the manifest's `services.storage` does not ask for
/// the method), [`InvalidArgument`](Status::InvalidArgument) (a key that is none), [`Unavailable`](Status::Unavailable)
/// (the disk fails, or the host has stopped) and [`StaleHandle`](Status::StaleHandle). Those that write answer
/// `Unavailable` also in `load` and `restore`, and where the disk is full.
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

    /// Reads an item with its version and times. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn get_item(&self, key: &str) -> Result<Option<StorageItem>> {
        let get = function!(self.cx.host(), storage: PintleStorage, get)?;
        let mut value = Vec::new();
        let mut info = PintleStorageInfo {
            size: size_of::<PintleStorageInfo>() as u32,
            flags: 0,
            version: 0,
            created_ms: 0,
            updated_ms: 0,
        };
        // SAFETY: as in `get`; `info` says its size and is writable for the call.
        let status =
            unsafe { get(self.cx.raw(), PintleStr::new(key), wire::sink_into(&mut value), &raw mut info) };
        Ok(self.found(status)?.then(|| StorageItem {
            key: key.to_owned(),
            value,
            version: info.version,
            created: at(info.created_ms),
            updated: at(info.updated_ms),
        }))
    }

    /// Reads an item as JSON. `None` if it is not there.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) if no `T` can be made of it.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get(key)?.map(|value| read_json(key, &value)).transpose()
    }

    /// Writes an item, and gives its new version.
    ///
    /// # Errors
    /// [`TooLarge`](Status::TooLarge).
    pub fn set(&self, key: &str, value: &[u8]) -> Result<u64> {
        let (status, version) = self.write(key, value, ptr::null())?;
        self.cx.check(status)?;
        Ok(version)
    }

    /// [`set`](Storage::set) of a value, as JSON.
    ///
    /// # Errors
    /// As `set`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<u64> {
        self.set(key, &json(key, value)?)
    }

    /// Writes an item only if it has this version, which [`get_item`](Storage::get_item) or an earlier write told; 0: only
    /// if it is not there.
    ///
    /// # Errors
    /// As [`set`](Storage::set). Another version is no error.
    pub fn set_if_version(&self, key: &str, value: &[u8], version: u64) -> Result<CheckedWrite> {
        let options = PintleStorageOptions {
            size: size_of::<PintleStorageOptions>() as u32,
            flags: PINTLE_STORAGE_IF_VERSION,
            if_version: version,
        };
        match self.write(key, value, &raw const options)? {
            (PINTLE_CONFLICT, current) => Ok(CheckedWrite::Conflict((current != 0).then_some(current))),
            (status, version) => self.cx.check(status).map(|()| CheckedWrite::Written(version)),
        }
    }

    /// [`set_if_version`](Storage::set_if_version) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_if_version`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_if_version(
        &self,
        key: &str,
        value: &impl Serialize,
        version: u64,
    ) -> Result<CheckedWrite> {
        self.set_if_version(key, &json(key, value)?, version)
    }

    /// Writes an item only if it is not there yet.
    ///
    /// # Errors
    /// As [`set`](Storage::set). That it is there is no error.
    pub fn create(&self, key: &str, value: &[u8]) -> Result<CheckedWrite> {
        self.set_if_version(key, value, 0)
    }

    /// [`create`](Storage::create) of a value, as JSON.
    ///
    /// # Errors
    /// As `create`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn create_json(&self, key: &str, value: &impl Serialize) -> Result<CheckedWrite> {
        self.set_json_if_version(key, value, 0)
    }

    /// Removes an item, and tells whether it was there.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn remove(&self, key: &str) -> Result<bool> {
        let remove = function!(self.cx.host(), storage: PintleStorage, remove)?;
        let mut existed = 0;
        // SAFETY: `key` is borrowed and `existed` writable for the call.
        self.cx.check(unsafe { remove(self.cx.raw(), PintleStr::new(key), &raw mut existed) })?;
        Ok(existed != 0)
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

    /// Removes every item of the plugin for the tenant of the context (in the system scope: those of the system scope, and
    /// no tenant's), and tells how many there were.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn clear(&self) -> Result<u64> {
        let clear = function!(self.cx.host(), storage: PintleStorage, clear)?;
        let mut removed = 0;
        // SAFETY: `removed` is writable for the call.
        self.cx.check(unsafe { clear(self.cx.raw(), &raw mut removed) })?;
        Ok(removed)
    }

    /// Was there something? A miss is an answer, not a failure: nobody asks the host for its sentence.
    fn found(&self, status: PintleStatus) -> Result<bool> {
        match status {
            PINTLE_OK => Ok(true),
            PINTLE_NOT_FOUND => Ok(false),
            status => self.cx.check(status).map(|()| true),
        }
    }

    fn write(
        &self,
        key: &str,
        value: &[u8],
        options: *const PintleStorageOptions,
    ) -> Result<(PintleStatus, u64)> {
        let set = function!(self.cx.host(), storage: PintleStorage, set)?;
        let mut version = 0;
        // SAFETY: everything is borrowed, and `version` is writable for the call; options may be null.
        let status = unsafe {
            set(self.cx.raw(), PintleStr::new(key), PintleBytes::new(value), options, &raw mut version)
        };
        Ok((status, version))
    }
}

fn json(key: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::from(error).context(format_args!("stored item {key:?}")))
}

fn read_json<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value)
        .map_err(|error| Error::new(Status::WrongType, format!("stored item {key:?}: {error}")))
}

/// A stored item with what the host knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageItem {
    /// Its key.
    pub key: String,
    /// What was written.
    pub value: Vec<u8>,
    /// Grows with every write, over all items, and is never used again. For [`Storage::set_if_version`].
    pub version: u64,
    /// When it was created.
    pub created: SystemTime,
    /// When it was last written.
    pub updated: SystemTime,
}

impl StorageItem {
    /// The value, read as JSON.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) if no `T` can be made of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        read_json(&self.key, &self.value)
    }
}

/// What became of a write under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the item may not have been written"]
pub enum CheckedWrite {
    /// It was written, and has this version now.
    Written(u64),
    /// It was not written: this is the version that it has; `None` if it is not there.
    Conflict(Option<u64>),
}
