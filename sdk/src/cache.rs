//! Volatile items: bytes and integers, with lifetimes, at the speed of a local map.

use std::{fmt, mem::MaybeUninit, ptr, time::Duration};

use pintle_abi::{
    PINTLE_BUFFER_TOO_SMALL, PINTLE_CACHE_INTEGER, PINTLE_CACHE_TTL, PINTLE_CONFLICT, PINTLE_EXPIRE_ALWAYS,
    PINTLE_EXPIRE_IF_EARLIER, PINTLE_EXPIRE_IF_LATER, PINTLE_EXPIRE_IF_NONE, PINTLE_EXPIRE_IF_SET,
    PINTLE_FOREVER, PINTLE_NOT_FOUND, PINTLE_OK, PintleBytes, PintleCache, PintleCacheInfo,
    PintleCacheOptions, PintleStatus, PintleStr,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Error, Result, Status, context::milliseconds, table::function, wire};

/// A namespace of the cache, for the plugin and the tenant of the context it was taken from
/// ([`Context::cache`]). Items are gone when the host stops, or when room is needed.
///
/// Namespaces are 1 to 128 bytes, keys 1 to 512, both without NUL. An item is bytes, at most 1 MiB, or an integer, which
/// reads as its decimal digits. An empty value is a value, and what has expired is not there.
///
/// ```
/// # use std::time::Duration;
/// # use pintle_plugin::{Context, Result};
/// fn greet(cx: &Context, name: &str) -> Result<String> {
///     let greetings = cx.cache("greetings");
///     if let Some(text) = greetings.get_json(name)? {
///         return Ok(text);
///     }
///     let text = format!("Hello, {name}!"); // if only this took longer
///     greetings.set_json_for(name, &text, Duration::from_secs(60))?;
///     Ok(text)
/// }
/// ```
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

    /// Reads an item: its bytes, or the digits of an integer. `None` if it is not there.
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

    /// Reads an item with its kind and its lifetime. `None` if it is not there.
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
        Ok(self.found(status)?.then(|| CacheItem {
            value: if info.flags & PINTLE_CACHE_INTEGER == 0 {
                CacheValue::Bytes(value)
            } else {
                CacheValue::Integer(info.integer)
            },
            lifetime: Lifetime::read(info.ttl_ms),
        }))
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

    /// Writes an item with the host's default lifetime (1 hour, unless the operator says otherwise). Replaces value and
    /// lifetime of one that is there.
    ///
    /// # Errors
    /// [`TooLarge`](Status::TooLarge).
    #[inline]
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.write(key, value, ptr::null())
    }

    /// [`set`](Cache::set) with a lifetime: a [`Duration`], or [`Lifetime::Endless`].
    ///
    /// # Errors
    /// [`TooLarge`](Status::TooLarge); [`OutOfRange`](Status::OutOfRange) (a lifetime of nothing, or one that overflows).
    #[inline]
    pub fn set_for(&self, key: &str, value: &[u8], lifetime: impl Into<Lifetime>) -> Result<()> {
        let options = self.options(key, lifetime.into())?;
        self.write(key, value, &raw const options)
    }

    /// [`set`](Cache::set) of a value, as JSON.
    ///
    /// # Errors
    /// As `set`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<()> {
        self.set(key, &self.json(key, value)?)
    }

    /// [`set_for`](Cache::set_for) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_for`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_for(
        &self,
        key: &str,
        value: &impl Serialize,
        lifetime: impl Into<Lifetime>,
    ) -> Result<()> {
        self.set_for(key, &self.json(key, value)?, lifetime)
    }

    /// Removes an item, and tells whether it was there.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn remove(&self, key: &str) -> Result<bool> {
        let remove = function!(self.cx.host(), cache: PintleCache, remove)?;
        let mut existed = 0;
        // SAFETY: namespace and key are borrowed, and `existed` is writable for the call.
        let status = unsafe { remove(self.cx.raw(), self.ns(), PintleStr::new(key), &raw mut existed) };
        self.cx.check(status)?;
        Ok(existed != 0)
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

    /// Adds to an integer and gives the sum, in one step that no other thread can come between. What is not there counts
    /// from 0, with the host's default lifetime; bytes that are the digits of an integer become one.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) (other bytes), [`OutOfRange`](Status::OutOfRange) (the sum overflows). Nothing is
    /// changed then.
    #[inline]
    pub fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        self.add(key, delta, ptr::null())
    }

    /// [`incr`](Cache::incr) with the lifetime that the integer gets if this creates it. One that is there keeps its own,
    /// so that counting does not keep a counter alive.
    ///
    /// # Errors
    /// As `incr`; [`OutOfRange`](Status::OutOfRange) also for a lifetime of nothing, or one that overflows.
    #[inline]
    pub fn incr_for(&self, key: &str, delta: i64, lifetime: impl Into<Lifetime>) -> Result<i64> {
        let options = self.options(key, lifetime.into())?;
        self.add(key, delta, &raw const options)
    }

    /// Changes how long an item lives, from now on, and tells whether it is there. No time at all removes it.
    ///
    /// # Errors
    /// [`OutOfRange`](Status::OutOfRange) if the lifetime overflows.
    pub fn expire(&self, key: &str, lifetime: impl Into<Lifetime>) -> Result<bool> {
        let (status, existed) = self.change_expiry(key, lifetime.into(), PINTLE_EXPIRE_ALWAYS)?;
        self.cx.check(status)?;
        Ok(existed)
    }

    /// [`expire`](Cache::expire), under a condition.
    ///
    /// # Errors
    /// As `expire`; [`Unsupported`](Status::Unsupported) on a host that does not know the condition.
    pub fn expire_if(&self, key: &str, lifetime: impl Into<Lifetime>, condition: ExpireIf) -> Result<Expiry> {
        match self.change_expiry(key, lifetime.into(), condition.code())? {
            (PINTLE_CONFLICT, true) => Ok(Expiry::Kept),
            (PINTLE_CONFLICT | PINTLE_OK, false) => Ok(Expiry::Missing),
            (status, _) => self.cx.check(status).map(|()| Expiry::Changed),
        }
    }

    /// How long an item still lives. `None` if it is not there.
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

    /// Was there something? A miss is an answer, not a failure: nobody asks the host for its sentence.
    #[inline]
    /// `get_into`, as it is: the status, and `buffer`, `len` and `info` (which may be null) as the host leaves them.
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

    fn found(&self, status: PintleStatus) -> Result<bool> {
        match status {
            PINTLE_OK => Ok(true),
            PINTLE_NOT_FOUND => Ok(false),
            status => self.cx.check(status).map(|()| true),
        }
    }

    #[inline]
    fn write(&self, key: &str, value: &[u8], options: *const PintleCacheOptions) -> Result<()> {
        let set = function!(self.cx.host(), cache: PintleCache, set)?;
        // SAFETY: everything is borrowed for the call; options may be null.
        let status =
            unsafe { set(self.cx.raw(), self.ns(), PintleStr::new(key), PintleBytes::new(value), options) };
        self.cx.check(status)
    }

    #[inline]
    fn add(&self, key: &str, delta: i64, options: *const PintleCacheOptions) -> Result<i64> {
        let incr = function!(self.cx.host(), cache: PintleCache, incr)?;
        let mut sum = 0;
        // SAFETY: everything is borrowed, and `sum` is writable for the call; options may be null.
        let status =
            unsafe { incr(self.cx.raw(), self.ns(), PintleStr::new(key), delta, options, &raw mut sum) };
        self.cx.check(status)?;
        Ok(sum)
    }

    fn change_expiry(&self, key: &str, lifetime: Lifetime, condition: u32) -> Result<(PintleStatus, bool)> {
        let expire = function!(self.cx.host(), cache: PintleCache, expire)?;
        let ms = match lifetime {
            Lifetime::Endless => 0,
            Lifetime::For(Duration::ZERO) => -1,
            Lifetime::For(span) => milliseconds(span),
        };
        let mut existed = 0;
        // SAFETY: namespace and key are borrowed, and `existed` is writable for the call.
        let status =
            unsafe { expire(self.cx.raw(), self.ns(), PintleStr::new(key), ms, condition, &raw mut existed) };
        Ok((status, existed != 0))
    }

    /// In the contract a lifetime of 0 is an endless one, which is not what somebody means who computed 0.
    #[inline]
    fn options(&self, key: &str, lifetime: Lifetime) -> Result<PintleCacheOptions> {
        let ttl_ms = match lifetime {
            Lifetime::Endless => 0,
            Lifetime::For(Duration::ZERO) => {
                let text = format!("{}: the lifetime must be longer than nothing", self.name(key));
                return Err(Error::new(Status::OutOfRange, text));
            }
            Lifetime::For(span) => milliseconds(span),
        };
        Ok(PintleCacheOptions {
            size: size_of::<PintleCacheOptions>() as u32,
            flags: PINTLE_CACHE_TTL,
            ttl_ms,
            stale_ms: 0,
            error_ms: 0,
            version: 0,
            lease: 0,
            tags: std::ptr::null(),
            tag_count: 0,
        })
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

fn no_info() -> PintleCacheInfo {
    PintleCacheInfo {
        size: size_of::<PintleCacheInfo>() as u32,
        flags: 0,
        integer: 0,
        ttl_ms: PINTLE_FOREVER,
        left_ms: PINTLE_FOREVER,
        version: 0,
    }
}

/// The integer that has just these digits: `007`, `+7` and `-0` are none.
pub(crate) fn canonical(bytes: &[u8]) -> Option<i64> {
    let integer: i64 = str::from_utf8(bytes).ok()?.parse().ok()?;
    (integer.to_string().as_bytes() == bytes).then_some(integer)
}

/// What [`Cache::get_into`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched<'b> {
    /// The value: the front of the buffer.
    Found(&'b [u8]),
    /// There is no such item.
    Missing,
    /// The value has so many bytes, and the buffer is smaller and as it was.
    TooSmall(usize),
}

/// An item with what the host knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheItem {
    /// What was written.
    pub value: CacheValue,
    /// How long it still lives.
    pub lifetime: Lifetime,
}

/// The value of a cache's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheValue {
    /// What [`set`](Cache::set) wrote.
    Bytes(Vec<u8>),
    /// What [`incr`](Cache::incr) counted.
    Integer(i64),
}

/// How long an item lives. Counted in whole milliseconds, rounded up. A [`Duration`] is made one by `.into()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Until it is removed, or room is needed.
    Endless,
    /// So long from now on.
    For(Duration),
}

impl Lifetime {
    /// The time that is left; `None` if it is endless.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Endless => None,
            Self::For(span) => Some(span),
        }
    }

    fn read(ms: i64) -> Self {
        if ms == PINTLE_FOREVER {
            Self::Endless
        } else {
            Self::For(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
        }
    }
}

impl From<Duration> for Lifetime {
    fn from(span: Duration) -> Self {
        Self::For(span)
    }
}

/// When [`Cache::expire_if`] changes an item's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpireIf {
    /// If it does not expire yet.
    Endless,
    /// If it expires already.
    Expires,
    /// If it lives longer by the change than it would without: a lifetime is only ever prolonged. What does not expire is
    /// later than all.
    Later,
    /// If it lives shorter by the change than it would without: a lifetime is only ever cut. What does not expire is later
    /// than all.
    Earlier,
}

impl ExpireIf {
    const fn code(self) -> u32 {
        match self {
            Self::Endless => PINTLE_EXPIRE_IF_NONE,
            Self::Expires => PINTLE_EXPIRE_IF_SET,
            Self::Later => PINTLE_EXPIRE_IF_LATER,
            Self::Earlier => PINTLE_EXPIRE_IF_EARLIER,
        }
    }
}

/// What [`Cache::expire_if`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The lifetime is the new one.
    Changed,
    /// The condition does not hold: the lifetime is as it was.
    Kept,
    /// There is no such item.
    Missing,
}
