//! Volatile items: bytes and integers, with lifetimes, at the speed of a local map.
//!
//! Here is how one item is read; `write` has how it is written, `many` does both for many, `namespace` for whole
//! namespaces, and `lease` and `load` are for items that are to be loaded once. `item` and `options` are the words for it.

mod item;
mod lease;
mod load;
mod many;
mod namespace;
mod options;
mod write;

use std::{fmt, mem::MaybeUninit, ptr};

use pintle_abi::{
    PINTLE_BUFFER_TOO_SMALL, PINTLE_CACHE_ABSENT, PINTLE_CACHE_INTEGER, PINTLE_NOT_FOUND, PINTLE_OK,
    PintleCache, PintleCacheInfo, PintleStatus, PintleStr,
};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::item::canonical;
use self::item::no_info;
pub use self::{
    item::{Age, CacheItem, CacheValue, ExpireIf, Expiry, Fetched, Lifetime},
    lease::{Fetch, FetchOptions, Lease},
    many::CacheEntry,
    namespace::CacheStats,
    options::SetOptions,
};
use crate::{Context, Error, Result, Status, table::function, wire};

/// A namespace of the cache, for the plugin and the tenant of the context it was taken from
/// ([`Context::cache`]). Items are gone when the host stops, unless its settings have a back end, or when room is needed.
///
/// Namespaces are 1 to 128 bytes, keys 1 to 512, both without NUL. An item is bytes, at most 1 MiB, or an integer, which
/// reads as its decimal digits. An empty value is a value, and what has expired is not there.
///
/// ```
/// # use std::time::Duration;
/// # use pintle_plugin::{Context, Result};
/// # fn ask_the_register(_: &str) -> Result<Option<String>> { Ok(None) }
/// fn flag(cx: &Context, ship: &str) -> Result<Option<String>> {
///     // Asked for once an hour, however many ask here, and also at the same time.
///     cx.cache("flags").get_or_load_json(ship, Duration::from_secs(60 * 60), || ask_the_register(ship))
/// }
///
/// fn arrived(cx: &Context, ship: &str) -> Result<i64> {
///     cx.cache("arrivals").incr_for(ship, 1, Duration::from_secs(24 * 60 * 60))
/// }
/// ```
///
/// | | |
/// |---|---|
/// | [`get`](Cache::get), [`get_json`](Cache::get_json), [`get_item`](Cache::get_item), [`get_into`](Cache::get_into) | one item |
/// | [`set`](Cache::set), [`set_for`](Cache::set_for), [`set_with`](Cache::set_with), [`remove`](Cache::remove) | the same, for a while, with tags and conditions |
/// | [`incr`](Cache::incr), [`get_integer`](Cache::get_integer) | counters |
/// | [`get_or_load`](Cache::get_or_load), [`fetch`](Cache::fetch) | what takes long is done once |
/// | [`get_many`](Cache::get_many), [`set_many`](Cache::set_many), [`keys`](Cache::keys) | many items |
/// | [`invalidate`](Cache::invalidate), [`clear`](Cache::clear), [`Context::invalidate_tag`] | what is not true any more |
///
/// Beside what each function names, all answer [`Denied`](Status::Denied) (the manifest's `services.cache` does not ask for
/// the method or the namespace), [`InvalidArgument`](Status::InvalidArgument) (a namespace or key that is none),
/// [`Unavailable`](Status::Unavailable) (the host has stopped) and [`StaleHandle`](Status::StaleHandle).
#[derive(Clone, Copy)]
pub struct Cache<'a> {
    cx: &'a Context,
    namespace: &'a str,
}

impl<'a> Cache<'a> {
    #[inline]
    pub(crate) fn new(cx: &'a Context, namespace: &'a str) -> Self {
        Self { cx, namespace }
    }

    /// The namespace that this is.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// Reads an item, fresh or stale: its bytes, or the digits of an integer. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    #[inline]
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        // Most values are small: by way of the stack they cost one copy and one allocation, and no sink.
        let mut small = [MaybeUninit::<u8>::uninit(); SMALL];
        let mut len = 0;
        match self.fill(key, &mut small, &mut len, ptr::null_mut())? {
            PINTLE_BUFFER_TOO_SMALL => self.get_large(key),
            // SAFETY: on OK the host has written `len` bytes, and not more than there was room for.
            status => Ok(self.found(status)?.then(|| unsafe { written(&small, len) }.to_vec())),
        }
    }

    /// [`get`](Cache::get) through a sink, of any size.
    #[cold]
    fn get_large(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let get = function!(self.cx.host(), cache: PintleCache, get)?;
        let mut value = Vec::new();
        // SAFETY: namespace and key are borrowed for the call, the sink's buffer outlives it, and info may be null.
        let status = unsafe {
            get(self.cx.raw(), self.ns(), PintleStr::new(key), wire::sink_into(&mut value), ptr::null_mut())
        };
        Ok(self.found(status)?.then_some(value))
    }

    /// [`get`](Cache::get) without an allocation, for hot paths: reads into `buffer`, whose content is not changed where
    /// the value does not fit.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    #[inline]
    pub fn get_into<'b>(&self, key: &str, buffer: &'b mut [u8]) -> Result<Fetched<'b>> {
        let mut len = 0;
        // SAFETY: bytes that are there may be taken for bytes that need not be; the host writes none that are not.
        let place = unsafe { &mut *(ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        let status = self.fill(key, place, &mut len, ptr::null_mut())?;
        match status {
            PINTLE_BUFFER_TOO_SMALL => Ok(Fetched::TooSmall(len)),
            status if !self.found(status)? => Ok(Fetched::Missing),
            // A host that says that it wrote more than there is room for is believed as far as there is.
            _ => Ok(Fetched::Found(buffer.get(..len).unwrap_or(buffer))),
        }
    }

    /// Reads an item with its kind, age, lifetime and version. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn get_item(&self, key: &str) -> Result<Option<CacheItem>> {
        let get = function!(self.cx.host(), cache: PintleCache, get)?;
        let (mut value, mut info) = (Vec::new(), no_info());
        // SAFETY: as in `get`; `info` says its size and is writable for the call.
        let status = unsafe {
            get(self.cx.raw(), self.ns(), PintleStr::new(key), wire::sink_into(&mut value), &raw mut info)
        };
        Ok(self.found(status)?.then(|| CacheItem::new(value, &info)))
    }

    /// Reads an item as JSON. `None` if it is not there.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) if no `T` can be made of it.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        match serde_json::from_slice(&value) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Error::new(Status::WrongType, format!("{}: {error}", self.name(key)))),
        }
    }

    /// Reads an integer, for example what [`incr`](Cache::incr) counted. `None` if it is not there.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) for bytes that `incr` would not take for an integer either.
    pub fn get_integer(&self, key: &str) -> Result<Option<i64>> {
        /// As many bytes as the longest integer has: `-9223372036854775808`.
        const LONGEST: usize = 20;
        let (mut len, mut info) = (0, no_info());
        let mut digits = [MaybeUninit::<u8>::uninit(); LONGEST];
        let status = self.fill(key, &mut digits, &mut len, &raw mut info)?;
        if status != PINTLE_BUFFER_TOO_SMALL {
            if !self.found(status)? {
                return Ok(None);
            }
            if info.flags & PINTLE_CACHE_INTEGER != 0 {
                return Ok(Some(info.integer));
            }
            // SAFETY: on OK the host has written `len` bytes, and not more than there was room for.
            if let Some(integer) = canonical(unsafe { written(&digits, len) }) {
                return Ok(Some(integer));
            }
        }
        Err(Error::new(Status::WrongType, format!("{}: not a 64-bit integer", self.name(key))))
    }

    /// Is the item there?
    ///
    /// # Errors
    /// Those of [every function](Cache).
    #[inline]
    pub fn exists(&self, key: &str) -> Result<bool> {
        let exists = function!(self.cx.host(), cache: PintleCache, exists)?;
        let mut found = 0;
        // SAFETY: namespace and key are borrowed, and `found` is writable for the call.
        let status = unsafe { exists(self.cx.raw(), self.ns(), PintleStr::new(key), &raw mut found) };
        self.cx.check(status)?;
        Ok(found != 0)
    }

    /// Is it known that there is no such thing ([`set_absent`](Cache::set_absent))? For `get` and most others that is as if
    /// nothing were known.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn known_absent(&self, key: &str) -> Result<bool> {
        let (mut len, mut info) = (0, no_info());
        match self.fill(key, &mut [], &mut len, &raw mut info)? {
            PINTLE_NOT_FOUND => Ok(info.flags & PINTLE_CACHE_ABSENT != 0),
            PINTLE_BUFFER_TOO_SMALL => Ok(false),
            status => self.cx.check(status).map(|()| false),
        }
    }

    /// How long an item is still fresh; no time at all if it is stale. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn ttl(&self, key: &str) -> Result<Option<Lifetime>> {
        let ttl = function!(self.cx.host(), cache: PintleCache, ttl)?;
        let mut ms = 0;
        // SAFETY: namespace and key are borrowed, and `ms` is writable for the call.
        let status = unsafe { ttl(self.cx.raw(), self.ns(), PintleStr::new(key), &raw mut ms) };
        Ok(self.found(status)?.then(|| Lifetime::read(ms)))
    }

    #[inline]
    fn ns(&self) -> PintleStr {
        PintleStr::new(self.namespace)
    }

    /// `get_into`, as it is: the status, and `buffer`, `len` and `info` (which may be null) as the host leaves them.
    #[inline]
    fn fill(
        &self,
        key: &str,
        buffer: &mut [MaybeUninit<u8>],
        len: &mut usize,
        info: *mut PintleCacheInfo,
    ) -> Result<PintleStatus> {
        let get_into = function!(self.cx.host(), cache: PintleCache, get_into)?;
        let place = buffer.as_mut_ptr().cast();
        // SAFETY: namespace and key are borrowed, and buffer, `len` and `info` writable for the call; `info` says its size.
        Ok(unsafe { get_into(self.cx.raw(), self.ns(), PintleStr::new(key), place, buffer.len(), len, info) })
    }

    /// Was there something? A miss is an answer, not a failure: nobody asks the host for its sentence.
    #[inline]
    fn found(&self, status: PintleStatus) -> Result<bool> {
        match status {
            PINTLE_OK => Ok(true),
            PINTLE_NOT_FOUND => Ok(false),
            status => self.cx.check(status).map(|()| true),
        }
    }

    fn json(&self, key: &str, value: &impl Serialize) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|error| Error::from(error).context(self.name(key)))
    }

    /// For errors.
    fn name(&self, key: &str) -> String {
        format!("cache item {key:?} in {:?}", self.namespace)
    }
}

impl fmt::Debug for Cache<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("namespace", &self.namespace).field("cx", self.cx).finish()
    }
}

/// Values up to this size are read by way of the stack.
const SMALL: usize = 512;

/// What the host has written.
///
/// # Safety
/// The first `len` bytes of `buffer` are written, or all of it if there are fewer.
unsafe fn written(buffer: &[MaybeUninit<u8>], len: usize) -> &[u8] {
    // SAFETY: the caller vouches for it.
    unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), len.min(buffer.len())) }
}
