//! How an item is to be kept, said step by step.

use std::{ptr, time::Duration};

use pintle_abi::{
    PINTLE_CACHE_IF_ABSENT, PINTLE_CACHE_IF_VERSION, PINTLE_CACHE_KEEP_TTL, PINTLE_CACHE_TTL,
    PintleCacheLease, PintleCacheOptions, PintleStr,
};

use super::Lifetime;
use crate::{Error, Result, Status, context::milliseconds};

/// How an item is to be kept. A lifetime alone, also a [`Duration`], is made one by `.into()`.
///
/// An item is fresh for its lifetime. After that it may be stale for a while, in which it is still given while somebody
/// loads it anew ([`stale_for`](SetOptions::stale_for)), and kept for a while for those who could not load it
/// ([`keep_for_errors`](SetOptions::keep_for_errors)). Both count from the end of its lifetime.
///
/// ```
/// # use std::time::Duration;
/// # use pintle_plugin::{Context, Result, SetOptions};
/// fn keep(cx: &Context, user: &str, page: &[u8]) -> Result<()> {
///     let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
///     let options = SetOptions::new().lifetime(minutes(5)).stale_for(minutes(1)).keep_for_errors(minutes(60));
///     cx.cache("pages").set_with(user, page, options.tags(&["pages", user]))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOptions<'a> {
    lifetime: Option<Lifetime>,
    keep_lifetime: bool,
    condition: Condition,
    stale: Duration,
    errors: Duration,
    tags: &'a [&'a str],
}

#[derive(Clone, Copy, Debug, Default)]
enum Condition {
    #[default]
    Always,
    Absent,
    Version(u64),
}

impl<'a> SetOptions<'a> {
    /// The host's default lifetime, no spans, no tags and no condition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the item is fresh; otherwise as long as the operator says, 1 hour by default. A lifetime of nothing is
    /// [`OutOfRange`](Status::OutOfRange) where the item is written.
    #[must_use]
    pub fn lifetime(mut self, lifetime: impl Into<Lifetime>) -> Self {
        self.lifetime = Some(lifetime.into());
        self
    }

    /// An item that is there keeps its lifetime and its spans, and only its value and its tags are new. What is said of
    /// lifetime and spans counts where the item is created.
    #[must_use]
    pub fn keep_lifetime(mut self) -> Self {
        self.keep_lifetime = true;
        self
    }

    /// Only if the item is not there; otherwise [`Conflict`](Status::Conflict), and nothing is written. In place of
    /// [`only_if_version`](SetOptions::only_if_version), if that was said.
    #[must_use]
    pub fn only_if_absent(mut self) -> Self {
        self.condition = Condition::Absent;
        self
    }

    /// Only if the item has this version, from [`CacheItem::version`](crate::CacheItem::version), or is not there, for 0;
    /// otherwise [`Conflict`](Status::Conflict), and nothing is written. In place of
    /// [`only_if_absent`](SetOptions::only_if_absent), if that was said.
    #[must_use]
    pub fn only_if_version(mut self, version: u64) -> Self {
        self.condition = Condition::Version(version);
        self
    }

    /// How long after its lifetime the item is still given, as stale, while somebody loads it anew.
    #[must_use]
    pub fn stale_for(mut self, span: Duration) -> Self {
        self.stale = span;
        self
    }

    /// How long after its lifetime the item is still given to whoever could not load it ([`Lease::fail`](crate::Lease::fail),
    /// [`Cache::get_or_load`](crate::Cache::get_or_load)). For all others it is not there any more.
    #[must_use]
    pub fn keep_for_errors(mut self, span: Duration) -> Self {
        self.errors = span;
        self
    }

    /// By which the item can be invalidated ([`Context::invalidate_tag`](crate::Context::invalidate_tag)): up to 16 names of
    /// 1 to 128 bytes without NUL.
    #[must_use]
    pub fn tags(mut self, tags: &'a [&'a str]) -> Self {
        self.tags = tags;
        self
    }

    /// What a note is written with that the item which these are for does not exist: it is as good as its tags, and how
    /// long it lives is another matter.
    pub(super) fn of_absent(&self) -> Self {
        Self { condition: self.condition, tags: self.tags, ..Self::default() }
    }

    /// In the contract a lifetime of 0 is an endless one, which is not what somebody means who computed 0. `name` is the
    /// item's, for the error.
    pub(super) fn ttl_ms(&self, name: impl FnOnce() -> String) -> Result<Option<i64>> {
        match self.lifetime {
            None => Ok(None),
            Some(Lifetime::Endless) => Ok(Some(0)),
            Some(Lifetime::For(Duration::ZERO)) => {
                let text = format!("{}: the lifetime must be longer than nothing", name());
                Err(Error::new(Status::OutOfRange, text))
            }
            Some(Lifetime::For(span)) => Ok(Some(milliseconds(span))),
        }
    }

    /// The names of the tags as they cross the boundary.
    pub(super) fn raw_tags(&self) -> Vec<PintleStr> {
        self.tags.iter().map(|tag| PintleStr::new(tag)).collect()
    }

    /// As the contract has it; `tags` are its own, and must outlive it.
    pub(super) fn raw(
        &self,
        ttl_ms: Option<i64>,
        lease: PintleCacheLease,
        tags: &[PintleStr],
    ) -> PintleCacheOptions {
        let mut raw = PintleCacheOptions {
            stale_ms: milliseconds(self.stale),
            error_ms: milliseconds(self.errors),
            lease,
            ..lifetime(ttl_ms)
        };
        if self.keep_lifetime {
            raw.flags |= PINTLE_CACHE_KEEP_TTL;
        }
        match self.condition {
            Condition::Always => {}
            Condition::Absent => raw.flags |= PINTLE_CACHE_IF_ABSENT,
            Condition::Version(version) => {
                raw.flags |= PINTLE_CACHE_IF_VERSION;
                raw.version = version;
            }
        }
        if !tags.is_empty() {
            (raw.tags, raw.tag_count) = (tags.as_ptr(), tags.len());
        }
        raw
    }
}

/// A lifetime in milliseconds, 0 for endless and `None` for the host's default, and nothing else.
#[inline]
pub(super) fn lifetime(ttl_ms: Option<i64>) -> PintleCacheOptions {
    PintleCacheOptions {
        size: size_of::<PintleCacheOptions>() as u32,
        flags: if ttl_ms.is_some() { PINTLE_CACHE_TTL } else { 0 },
        ttl_ms: ttl_ms.unwrap_or(0),
        stale_ms: 0,
        error_ms: 0,
        version: 0,
        lease: 0,
        tags: ptr::null(),
        tag_count: 0,
    }
}

impl From<Lifetime> for SetOptions<'_> {
    fn from(lifetime: Lifetime) -> Self {
        Self::new().lifetime(lifetime)
    }
}

impl From<Duration> for SetOptions<'_> {
    fn from(lifetime: Duration) -> Self {
        Self::new().lifetime(lifetime)
    }
}
