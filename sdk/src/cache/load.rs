//! Reading through the cache: what is not there is loaded, once, by one of those who ask for it.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use super::{Cache, CacheItem, Fetch, FetchOptions, Lease, SetOptions};
use crate::{Result, Status};

impl<'a> Cache<'a> {
    /// Reads an item, and loads it if it has to be loaded: of many callers who miss it one runs its loader, and the others
    /// wait for what that gives. The options, or a lifetime alone, are for what is loaded.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{Context, Result, SetOptions};
    /// fn flag(cx: &Context, ship: &str) -> Result<Option<Vec<u8>>> {
    ///     let hour = Duration::from_secs(60 * 60);
    ///     // A new flag is asked for every hour. While that takes its time the old one is shown, and also, for a day, if the
    ///     // register is down.
    ///     let options = SetOptions::new().lifetime(hour).stale_for(hour).keep_for_errors(24 * hour);
    ///     cx.cache("flags").get_or_load(ship, options.tags(&["flags"]), || {
    ///         cx.call("register.flags", 1, "flag", ship.as_bytes(), None).map(Some)
    ///     })
    /// }
    /// ```
    ///
    /// What comes back, and what is in the cache then:
    ///
    /// | the item is | the loader | this gives |
    /// |---|---|---|
    /// | fresh | is not run | the item |
    /// | known to be absent | is not run | `None` |
    /// | stale, and somebody else is loading it | is not run | the stale item, at once |
    /// | stale, or not there | gives a value | that; it is written |
    /// | | gives `None` | `None`; that is written with the same tags, for as long as the host's settings say ([`set_absent`](Cache::set_absent)) |
    /// | | fails | the old item, if it is stale or [kept for errors](SetOptions::keep_for_errors); else the error |
    /// | | panics | the panic goes on, and the next who waits loads |
    ///
    /// **The first who finds the item stale loads it, and waits for it.** So do Rails (`race_condition_ttl`) and dogpile.cache.
    /// Caffeine's `refreshAfterWrite` gives the stale item to that one, too, and loads in a pool of threads; but a plugin has no
    /// threads beside its calls, and what a loader borrows ends with the call, the context above all. Who wants to answer at
    /// once and load later uses [`fetch`](Cache::fetch).
    ///
    /// **A cache that does not work is no failure.** What was loaded is given also where it cannot be written: because it is too
    /// large, because the back end is down, or because the item was written or invalidated meanwhile, so that what was
    /// loaded may be out of date already and must not stay. The next one loads it again.
    ///
    /// The lease is good for 10 seconds, and others wait for 5 at most: `fetch` takes other times. The manifest's methods,
    /// if it lists them, are `fetch` and `set`.
    ///
    /// # Errors
    /// Those of the loader, of [`fetch`](Cache::fetch), and those of [`set_with`](Cache::set_with) that say that the options are
    /// wrong or that writing is not granted. A loader that asks for its own item: [`Reentrant`](Status::Reentrant).
    pub fn get_or_load<'o>(
        &self,
        key: &str,
        options: impl Into<SetOptions<'o>>,
        load: impl FnOnce() -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<Vec<u8>>> {
        let read = |item: CacheItem| Some(item.into_bytes());
        self.load_with(key, &options.into(), read, |value| Ok(Cow::Borrowed(value)), load)
    }

    /// [`get_or_load`](Cache::get_or_load) of a value, as JSON. An item of which no `T` can be made, as an older version of
    /// the plugin may have left it, is loaded anew.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{Context, Result};
    /// fn berth(cx: &Context, ship: &str) -> Result<Option<u32>> {
    ///     let hour = Duration::from_secs(60 * 60);
    ///     cx.cache("berths").get_or_load_json(ship, hour, || cx.storage().get_json(&format!("ship/{ship}")))
    /// }
    /// ```
    ///
    /// # Errors
    /// As `get_or_load`; [`InvalidArgument`](Status::InvalidArgument) if what was loaded cannot be written as JSON.
    pub fn get_or_load_json<'o, T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        options: impl Into<SetOptions<'o>>,
        load: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let read = |item: CacheItem| item.json().ok();
        self.load_with(key, &options.into(), read, |value| self.json(key, value).map(Cow::Owned), load)
    }

    /// `read`: what an item says; `None` if it says nothing. `write`: the bytes to keep.
    fn load_with<T>(
        &self,
        key: &str,
        options: &SetOptions<'_>,
        read: impl Fn(CacheItem) -> Option<T>,
        write: impl for<'v> FnOnce(&'v T) -> Result<Cow<'v, [u8]>>,
        load: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        // Said before somebody spends time on loading.
        options.ttl_ms(|| self.name(key))?;
        let right = match self.fetch(key, &FetchOptions::new())? {
            Fetch::Absent => return Ok(None),
            Fetch::Stale(_, Some(lease)) | Fetch::Load(lease) => Right::Lease(lease),
            Fetch::Fresh(item) | Fetch::Stale(item, None) => {
                let version = item.version;
                match read(item) {
                    Some(value) => return Ok(Some(value)),
                    None => Right::Unreadable(version),
                }
            }
        };
        let loaded = match load() {
            Ok(loaded) => loaded,
            Err(error) => return right.old().and_then(read).map(Some).ok_or(error),
        };
        let written = match &loaded {
            Some(value) => {
                let bytes = write(value)?;
                match right {
                    Right::Lease(lease) => lease.set(&bytes, *options),
                    Right::Unreadable(version) => {
                        self.set_with(key, &bytes, options.only_if_version(version))
                    }
                }
            }
            None => match right {
                Right::Lease(lease) => lease.set_absent(options.of_absent()),
                Right::Unreadable(version) => {
                    self.set_absent_with(key, options.of_absent().only_if_version(version))
                }
            },
        };
        match written {
            Err(error) if is_mistake(error.status()) => Err(error),
            _ => Ok(loaded),
        }
    }
}

/// By what right a value is loaded.
enum Right<'a> {
    Lease(Lease<'a>),
    /// The item is fresh, so that nobody gets a lease, but it cannot be read. This is its version.
    Unreadable(u64),
}

impl Right<'_> {
    /// The item that may stand in for one that could not be loaded. That the host has none, or no lease any more, is no news
    /// beside the loader's error.
    fn old(self) -> Option<CacheItem> {
        match self {
            Self::Lease(lease) => lease.fail().ok().flatten(),
            Self::Unreadable(_) => None,
        }
    }
}

/// Is it the plugin's mistake, which its author is to hear of?
fn is_mistake(status: Status) -> bool {
    matches!(status, Status::InvalidArgument | Status::OutOfRange | Status::Denied | Status::Unsupported)
}
