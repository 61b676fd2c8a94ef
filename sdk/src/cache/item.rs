//! What is told of an item: its value, how long it lives, and what became of it.

use std::time::Duration;

use pintle_abi::{
    PINTLE_CACHE_INTEGER, PINTLE_CACHE_STALE, PINTLE_EXPIRE_IF_EARLIER, PINTLE_EXPIRE_IF_LATER,
    PINTLE_EXPIRE_IF_NONE, PINTLE_EXPIRE_IF_SET, PINTLE_FOREVER, PintleCacheInfo,
};
use serde::de::DeserializeOwned;

use crate::{Error, Result, Status};

/// An item with what the host knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheItem {
    /// What was written.
    pub value: CacheValue,
    /// Is it fresh, or past its lifetime?
    pub age: Age,
    /// How long it is still fresh; no time at all if it is not.
    pub lifetime: Lifetime,
    /// How long it is still there, fresh or stale; no time at all if it is [kept for errors](crate::Lease::fail) only.
    pub remaining: Lifetime,
    /// Another one with each write of the key, and never one that the key has had before. For
    /// [`SetOptions::only_if_version`](crate::SetOptions::only_if_version).
    pub version: u64,
}

impl CacheItem {
    /// What `info` says of an item whose bytes, or digits, are `bytes`.
    pub(super) fn new(bytes: Vec<u8>, info: &PintleCacheInfo) -> Self {
        let integer = info.flags & PINTLE_CACHE_INTEGER != 0;
        Self {
            value: if integer { CacheValue::Integer(info.integer) } else { CacheValue::Bytes(bytes) },
            age: if info.flags & PINTLE_CACHE_STALE == 0 { Age::Fresh } else { Age::Stale },
            lifetime: Lifetime::read(info.ttl_ms),
            remaining: Lifetime::read(info.left_ms),
            version: info.version,
        }
    }

    /// The bytes, or the digits of an integer: what [`Cache::get`](crate::Cache::get) gives.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self.value {
            CacheValue::Bytes(bytes) => bytes,
            CacheValue::Integer(integer) => integer.to_string().into_bytes(),
        }
    }

    /// The value, read as JSON.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) if no `T` can be made of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let value = match &self.value {
            CacheValue::Bytes(bytes) => serde_json::from_slice(bytes),
            CacheValue::Integer(integer) => serde_json::from_str(&integer.to_string()),
        };
        value.map_err(|error| Error::new(Status::WrongType, format!("cache item: {error}")))
    }
}

/// The value of a cache's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheValue {
    /// What [`set`](crate::Cache::set) wrote.
    Bytes(Vec<u8>),
    /// What [`incr`](crate::Cache::incr) counted.
    Integer(i64),
}

/// How old an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Age {
    /// Within its lifetime.
    Fresh,
    /// Past its lifetime: still good where the newest is not asked for, or where nothing else can be had.
    Stale,
}

/// How long an item lives. Counted in whole milliseconds, rounded up. A [`Duration`] is made one by `.into()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Until it is removed; in the cache also until room is needed.
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

    pub(crate) fn read(ms: i64) -> Self {
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

/// What [`Cache::get_into`](crate::Cache::get_into) and [`Storage::get_into`](crate::Storage::get_into) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched<'b> {
    /// The value: the front of the buffer.
    Found(&'b [u8]),
    /// There is no such item.
    Missing,
    /// The value has so many bytes, and the buffer is smaller and as it was.
    TooSmall(usize),
}

/// When [`Cache::expire_if`](crate::Cache::expire_if) changes an item's lifetime.
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
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Endless => PINTLE_EXPIRE_IF_NONE,
            Self::Expires => PINTLE_EXPIRE_IF_SET,
            Self::Later => PINTLE_EXPIRE_IF_LATER,
            Self::Earlier => PINTLE_EXPIRE_IF_EARLIER,
        }
    }
}

/// What [`Cache::expire_if`](crate::Cache::expire_if) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The lifetime is the new one.
    Changed,
    /// The condition does not hold: the lifetime is as it was.
    Kept,
    /// There is no such item.
    Missing,
}

pub(super) fn no_info() -> PintleCacheInfo {
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
