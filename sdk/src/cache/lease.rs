//! Loading an item once: who fetches it, and the lease that one of them gets.

use std::{fmt, time::Duration};

use pintle_abi::{
    PINTLE_CACHE_NO_WAIT, PINTLE_CACHE_STALE, PINTLE_NOT_FOUND, PINTLE_OK, PintleCache, PintleCacheFetch,
    PintleCacheLease, PintleStr,
};
use serde::Serialize;

use super::{Cache, CacheItem, SetOptions, item::no_info};
use crate::{
    Error, Result, Status,
    context::milliseconds,
    table::{function, member},
    wire,
};

/// What [`Cache::fetch`] found.
#[derive(Debug)]
pub enum Fetch<'a> {
    /// The item is there, within its lifetime.
    Fresh(CacheItem),
    /// The item is there, past its lifetime. The first who finds it so gets the lease, and is to load it anew.
    Stale(CacheItem, Option<Lease<'a>>),
    /// The item is not there, and the caller is to load it.
    Load(Lease<'a>),
    /// It is known that there is nothing to be loaded ([`Cache::set_absent`]).
    Absent,
}

/// How an item is to be fetched.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchOptions {
    wait: Option<Duration>,
    lease: Option<Duration>,
}

impl FetchOptions {
    /// Waits up to 5 seconds, with a lease of 10 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait for another caller who is loading the item, at most an hour; no time at all: not to wait. Never
    /// longer than this function's own caller waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// How long the lease is good for, if this caller gets it, at most an hour: longer than loading takes. When it has
    /// lapsed, the next one who waits gets one.
    #[must_use]
    pub fn lease_for(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    fn raw(&self) -> Result<PintleCacheFetch> {
        let (flags, wait_ms) = match self.wait {
            None => (0, 0),
            Some(Duration::ZERO) => (PINTLE_CACHE_NO_WAIT, 0),
            Some(wait) => (0, milliseconds(wait)),
        };
        // In the contract 0 is the default, which is not what somebody means who has no time.
        let lease_ms = match self.lease {
            Some(Duration::ZERO) => {
                return Err(Error::new(Status::OutOfRange, "a lease must be longer than nothing"));
            }
            lease => lease.map_or(0, milliseconds),
        };
        Ok(PintleCacheFetch { size: size_of::<PintleCacheFetch>() as u32, flags, wait_ms, lease_ms })
    }
}

impl<'a> Cache<'a> {
    /// Reads an item, and makes one caller load it where it has to be loaded. Of many who miss the same item one gets the
    /// [`Lease`], and the others wait for what it writes; if it fails, or its lease lapses, the next one gets a lease. Of many
    /// who find a stale item the first gets the lease, and all get the item at once.
    ///
    /// [`get_or_load`](Cache::get_or_load) is this with a loader, and what most want.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{Context, Fetch, FetchOptions, Result};
    /// # fn read_from_afar(_: &str) -> Result<String> { Ok(String::new()) }
    /// fn page(cx: &Context, name: &str) -> Result<Option<String>> {
    ///     // Whoever finds it old shows the old one, and has it loaded in a job.
    ///     match cx.cache("pages").fetch(name, &FetchOptions::new().lease_for(Duration::from_secs(30)))? {
    ///         Fetch::Fresh(item) => item.json().map(Some),
    ///         Fetch::Stale(item, lease) => {
    ///             if lease.is_some() {
    ///                 cx.events().emit("load", name.as_bytes())?; // the lease ends here: the job fetches its own
    ///             }
    ///             item.json().map(Some)
    ///         }
    ///         Fetch::Load(lease) => {
    ///             let page = read_from_afar(name)?; // if it fails, so does the lease
    ///             lease.set_json(&page, Duration::from_secs(60))?;
    ///             Ok(Some(page))
    ///         }
    ///         Fetch::Absent => Ok(None),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Timeout`](Status::Timeout) (another caller is loading it still), [`Reentrant`](Status::Reentrant) (it is this very
    /// call that is to load it, or one that waits for this call), [`Busy`](Status::Busy) (too many calls wait inside the host),
    /// [`Quota`](Status::Quota) (the plugin has 1,024 leases), [`OutOfRange`](Status::OutOfRange) (a time of the options),
    /// [`Cancelled`](Status::Cancelled) (the caller of this function has given up), [`Stopping`](Status::Stopping).
    pub fn fetch(&self, key: &str, options: &FetchOptions) -> Result<Fetch<'a>> {
        let fetch = function!(self.cx.host(), cache: PintleCache, fetch)?;
        let options = options.raw()?;
        let (mut value, mut info, mut lease) = (Vec::new(), no_info(), 0);
        // SAFETY: everything is borrowed, and info and lease are writable for the call; the sink's buffer outlives it.
        let status = unsafe {
            fetch(
                self.cx.raw(),
                self.ns(),
                PintleStr::new(key),
                &raw const options,
                wire::sink_into(&mut value),
                &raw mut info,
                &raw mut lease,
            )
        };
        let lease = (lease != 0).then(|| Lease { cache: *self, key: key.to_owned(), id: lease });
        match (status, lease) {
            (PINTLE_OK, lease) if info.flags & PINTLE_CACHE_STALE != 0 => {
                Ok(Fetch::Stale(CacheItem::new(value, &info), lease))
            }
            (PINTLE_OK, _) => Ok(Fetch::Fresh(CacheItem::new(value, &info))),
            (PINTLE_NOT_FOUND, Some(lease)) => Ok(Fetch::Load(lease)),
            (PINTLE_NOT_FOUND, None) => Ok(Fetch::Absent),
            // A failure is never success, so this is the error.
            (status, _) => self.cx.check(status).map(|()| Fetch::Absent),
        }
    }
}

/// The right, and the duty, to load one item. From [`Cache::fetch`].
///
/// It ends by one of its functions. One that is dropped says, as [`fail`](Lease::fail) does, that the item could not be
/// loaded, so that whoever waits for it goes on at once; so does one whose loader panics. It also ends when its time is over
/// and with the generation of the plugin.
///
/// What is written under a lease is refused ([`Conflict`](Status::Conflict)) if the lease has lapsed, or if the key was
/// written, removed or invalidated, or one of the tags invalidated, since it was given: then what was loaded may be older
/// than what others know.
#[must_use = "dropped, it says that the item could not be loaded"]
pub struct Lease<'a> {
    cache: Cache<'a>,
    key: String,
    /// 0 once it is over.
    id: PintleCacheLease,
}

impl Lease<'_> {
    /// The key of the item that is to be loaded.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Writes what was loaded; as [`set_with`](Cache::set_with). The lease is over, also if this fails.
    ///
    /// # Errors
    /// As `set_with`; [`Conflict`](Status::Conflict) also if what was loaded is out of date.
    pub fn set<'o>(self, value: &[u8], options: impl Into<SetOptions<'o>>) -> Result<()> {
        self.end(|lease| lease.cache.write_with(&lease.key, value, &options.into(), lease.id))
    }

    /// [`set`](Lease::set) of a value, as JSON.
    ///
    /// # Errors
    /// As `set`; [`InvalidArgument`](Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json<'o>(self, value: &impl Serialize, options: impl Into<SetOptions<'o>>) -> Result<()> {
        let json = self.cache.json(&self.key, value)?;
        self.set(&json, options)
    }

    /// Writes that there is nothing to be loaded; as [`set_absent_with`](Cache::set_absent_with). The lease is over, also if
    /// this fails.
    ///
    /// # Errors
    /// As `set_absent_with`; [`Conflict`](Status::Conflict) also if that is out of date.
    pub fn set_absent<'o>(self, options: impl Into<SetOptions<'o>>) -> Result<()> {
        self.end(|lease| lease.cache.write_absent(&lease.key, &options.into(), lease.id))
    }

    /// Says that the item could not be loaded: the next caller who waits gets a lease. Gives the old item, if that is still
    /// stale or [kept for errors](SetOptions::keep_for_errors).
    ///
    /// # Errors
    /// [`StaleHandle`](Status::StaleHandle) also if the lease was over before.
    pub fn fail(mut self) -> Result<Option<CacheItem>> {
        let cx = self.cache.cx;
        let fail = function!(cx.host(), cache: PintleCache, fail)?;
        let (mut value, mut info) = (Vec::new(), no_info());
        let id = std::mem::take(&mut self.id);
        // SAFETY: `info` says its size and is writable for the call; the sink's buffer outlives it.
        let status = unsafe { fail(cx.raw(), id, wire::sink_into(&mut value), &raw mut info) };
        Ok(self.cache.found(status)?.then(|| CacheItem::new(value, &info)))
    }

    /// A write that is done has ended the lease; after one that is not done, dropping it does.
    fn end(mut self, write: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        write(&self)?;
        self.id = 0;
        Ok(())
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.id == 0 {
            return;
        }
        let cx = self.cache.cx;
        let host: *const pintle_abi::PintleHost = cx.host().as_ptr();
        // SAFETY: the host that gave a lease has a table of the cache.
        let table = unsafe { (&raw const (*host).cache).read() };
        if let Some(fail) = member!(table, PintleCache, fail) {
            let mut info = no_info();
            // SAFETY: as in `fail`. Whatever the answer is, the lease is over afterwards, or was before.
            unsafe { fail(cx.raw(), self.id, wire::nowhere(), &raw mut info) };
        }
    }
}

impl fmt::Debug for Lease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).finish_non_exhaustive()
    }
}
