//! The cache: volatile items, each under (plugin, tenant, namespace, key), for a while or until room is needed.
//!
//! [`Cache`] is the front that the tables call: it knows the limits and the default lifetime, the same for every back
//! end. [`CacheBackend`] is what a back end does; [`MemoryCache`] is the one that is a map in this process.

#[cfg(test)]
mod conformance;
mod memory;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

pub(crate) use memory::MemoryCache;

use super::keys::{Key, Namespace};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// The most bytes that a value may have.
pub(crate) const LARGEST_VALUE: usize = 1 << 20;

/// Where an item lies.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) scope: DataScope<'a>,
    pub(crate) namespace: Namespace<'a>,
    pub(crate) key: Key<'a>,
}

/// An item's value, lent while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Bytes(&'a [u8]),
    Integer(i64),
}

impl Value<'_> {
    /// The integer that it is, or that its bytes are the digits of: exactly those that the integer reads as.
    pub(crate) fn as_integer(self) -> Option<i64> {
        let bytes = match self {
            Value::Integer(integer) => return Some(integer),
            Value::Bytes(bytes) => bytes,
        };
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        let canonical = match digits {
            [] => false,
            [b'0', ..] => bytes == b"0",
            digits => digits.iter().all(u8::is_ascii_digit),
        };
        if canonical { str::from_utf8(bytes).ok()?.parse().ok() } else { None }
    }

    /// The sum of it and `delta`.
    ///
    /// WRONG_TYPE: it is no integer. OUT_OF_RANGE: it overflows.
    pub(crate) fn plus(self, delta: i64) -> Result<i64> {
        let Some(integer) = self.as_integer() else {
            let problem =
                "the item is no integer: `incr` takes integers, and bytes that are exactly the digits of one";
            return Err(Error::new(ErrorKind::WrongType, problem));
        };
        integer.checked_add(delta).ok_or_else(|| {
            Error::lazy(ErrorKind::OutOfRange, move || {
                format!("{integer} and {delta} make no 64-bit integer: the item stays as it is")
            })
        })
    }
}

/// How long an item lives, seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It does not expire.
    Endless,
    /// Milliseconds, at least 1.
    Ms(i64),
}

/// When [`CacheBackend::expire`] changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpireIf {
    Always,
    /// The item does not expire yet.
    Endless,
    /// The item expires already.
    Set,
    /// It lives longer after the change than before it. Endless is longer than all; to be removed is shorter.
    Later,
    /// It lives shorter after the change than before it.
    Earlier,
}

impl ExpireIf {
    /// Whether it holds for an item that ends at `end` and would end at `new`, by whatever clock; none: never.
    pub(crate) fn holds<T: Ord>(self, end: Option<T>, new: Option<T>) -> bool {
        match (self, end, new) {
            (Self::Always, ..) => true,
            (Self::Endless, end, _) => end.is_none(),
            (Self::Set, end, _) => end.is_some(),
            (Self::Later, Some(end), new) => new.is_none_or(|new| new > end),
            (Self::Later, None, _) => false,
            (Self::Earlier, end, Some(new)) => end.is_none_or(|end| new < end),
            (Self::Earlier, _, None) => false,
        }
    }
}

/// What [`CacheBackend::expire`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// No such item.
    Missing,
    /// Done.
    Changed,
    /// The condition does not hold.
    Refused,
}

/// What a plugin has in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) plugin: Arc<str>,
    /// Items that have not expired.
    pub(crate) items: u64,
    /// Their bytes, with what it takes to keep them.
    pub(crate) bytes: u64,
}

/// A back end of the cache. An item that has expired is absent for every function; every function either does what it
/// says or changes nothing. UNAVAILABLE where the back end cannot be reached.
pub(crate) trait CacheBackend: Send + Sync {
    /// Lends the item to `read`, once, and tells whether there is one. `read` must not call the cache.
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Value<'_>, Lifetime)) -> Result<bool>;

    /// Writes bytes, at most [`LARGEST_VALUE`] of them, in place of what is there.
    fn set(&self, at: &Address<'_>, value: &[u8], lifetime: Lifetime) -> Result<()>;

    /// Tells whether there was one.
    fn remove(&self, at: &Address<'_>) -> Result<bool>;

    /// Adds, atomically, and answers the sum. `lifetime` counts where the item is created.
    ///
    /// WRONG_TYPE: bytes that are no canonical decimal i64. OUT_OF_RANGE: the sum overflows.
    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64>;

    /// Gives the item another lifetime if `condition` holds; `None` removes it.
    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired>;

    /// What each plugin has, in no order.
    fn usage(&self) -> Vec<Usage>;

    /// Removes all that the plugin with this id has, of all tenants; tells how many items there were.
    #[cfg(test)]
    fn remove_plugin(&self, id: &str) -> Result<u64>;

    /// Nobody is to call it any more: gives back what it has in memory.
    fn close(&self);
}

/// The cache of one host.
pub(crate) struct Cache {
    backend: Box<dyn CacheBackend>,
    default_lifetime: Lifetime,
    closed: AtomicBool,
}

impl Cache {
    pub(crate) fn new(backend: Box<dyn CacheBackend>, default_lifetime: Lifetime) -> Self {
        Self { backend, default_lifetime, closed: AtomicBool::new(false) }
    }

    /// Lends the item to `read`, once, and tells whether there is one.
    pub(crate) fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Value<'_>, Lifetime)) -> Result<bool> {
        self.backend()?.get(at, read)
    }

    /// `ttl_ms`: 0 is endless; none is the host's default.
    pub(crate) fn set(&self, at: &Address<'_>, value: &[u8], ttl_ms: Option<i64>) -> Result<()> {
        if value.len() > LARGEST_VALUE {
            let len = value.len();
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!("argument `value`: {len} bytes, at most {LARGEST_VALUE} are taken")
            }));
        }
        self.backend()?.set(at, value, self.lifetime(ttl_ms)?)
    }

    pub(crate) fn remove(&self, at: &Address<'_>) -> Result<bool> {
        self.backend()?.remove(at)
    }

    pub(crate) fn exists(&self, at: &Address<'_>) -> Result<bool> {
        self.backend()?.get(at, &mut |_, _| ())
    }

    /// `ttl_ms` as in `set`; it counts where the item is created.
    pub(crate) fn incr(&self, at: &Address<'_>, delta: i64, ttl_ms: Option<i64>) -> Result<i64> {
        self.backend()?.incr(at, delta, self.lifetime(ttl_ms)?)
    }

    /// `ttl_ms`: 0 is endless; negative removes the item.
    pub(crate) fn expire(&self, at: &Address<'_>, ttl_ms: i64, condition: ExpireIf) -> Result<Expired> {
        let lifetime = if ttl_ms < 0 { None } else { Some(self.lifetime(Some(ttl_ms))?) };
        self.backend()?.expire(at, lifetime, condition)
    }

    pub(crate) fn ttl(&self, at: &Address<'_>) -> Result<Option<Lifetime>> {
        let mut found = None;
        self.backend()?.get(at, &mut |_, lifetime| found = Some(lifetime))?;
        Ok(found)
    }

    pub(crate) fn usage(&self) -> Vec<Usage> {
        self.backend.usage()
    }

    /// The host has stopped: gives the memory back, and answers UNAVAILABLE from here on. What a call that is under way
    /// writes meanwhile may stay.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.backend.close();
    }

    /// Removes all that a plugin has; tells how many items there were.
    #[cfg(test)]
    pub(crate) fn remove_plugin(&self, id: &str) -> Result<u64> {
        self.backend()?.remove_plugin(id)
    }

    #[inline]
    fn backend(&self) -> Result<&dyn CacheBackend> {
        if self.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        Ok(&*self.backend)
    }

    fn lifetime(&self, ttl_ms: Option<i64>) -> Result<Lifetime> {
        match ttl_ms {
            None => Ok(self.default_lifetime),
            Some(0) => Ok(Lifetime::Endless),
            Some(ms @ 1..=LONGEST_TTL_MS) => Ok(Lifetime::Ms(ms)),
            Some(ms) => Err(Error::lazy(ErrorKind::OutOfRange, move || {
                format!("`ttl_ms` is {ms}: 1 to {LONGEST_TTL_MS} milliseconds are taken, and 0 for no expiry")
            })),
        }
    }
}

/// 100 years: no clock that an end is reckoned by overflows, in nanoseconds neither.
const LONGEST_TTL_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;
