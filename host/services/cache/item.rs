//! What an item is: where it lies, what it holds, how long it is good for, and what is asked of a write.

use std::{sync::Arc, time::Duration};

use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{
        clock::Clock,
        keys::{Key, Namespace},
    },
};

/// The most bytes that a value may have.
pub(crate) const LARGEST_VALUE: usize = 1 << 20;

/// The most tags that an item may have.
pub(crate) const MOST_TAGS: usize = 16;

/// Where an item lies.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) scope: DataScope<'a>,
    pub(crate) namespace: Namespace<'a>,
    pub(crate) key: Key<'a>,
}

/// The items of a scope that lie together.
#[derive(Clone, Copy)]
pub(crate) struct Space<'a> {
    pub(crate) scope: DataScope<'a>,
    pub(crate) namespace: Namespace<'a>,
}

impl<'a> Address<'a> {
    pub(crate) fn space(&self) -> Space<'a> {
        Space { scope: self.scope, namespace: self.namespace }
    }
}

/// An item's value, lent while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Bytes(&'a [u8]),
    Integer(i64),
    /// It is known that there is nothing: for every function but `get` the item is not there.
    Absent,
}

impl Value<'_> {
    /// The integer that it is, or that its bytes are the digits of: exactly those that the integer reads as.
    pub(crate) fn as_integer(self) -> Option<i64> {
        let bytes = match self {
            Value::Integer(integer) => return Some(integer),
            Value::Bytes(bytes) => bytes,
            Value::Absent => return None,
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

/// How long something lasts, seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It does not expire.
    Endless,
    /// Milliseconds, at least 1.
    Ms(i64),
}

/// What follows on an item's lifetime, in milliseconds from its end on. Both count from there, so they overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    /// It is still given, as stale.
    pub(crate) stale_ms: i64,
    /// It is still given to whoever could not load it. Past the stale span it is absent for all others.
    pub(crate) error_ms: i64,
}

/// How old an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Within its lifetime.
    Fresh,
    /// Past its lifetime, within its stale span.
    Stale,
    /// Past its stale span, within its error span: absent for every function but [`CacheBackend::get_whole`], which lends
    /// it to those who tell the difference, and [`Cache::fail`].
    ///
    /// [`CacheBackend::get_whole`]: super::CacheBackend::get_whole
    /// [`Cache::fail`]: super::Cache::fail
    Kept,
}

/// An item, lent while it is read.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) age: Age,
    /// Another one with each write of its key; never 0.
    pub(crate) version: u64,
    pub(crate) ends: Ends<'a>,
}

/// When an item ends.
#[derive(Clone, Copy)]
pub(crate) enum Ends<'a> {
    /// How long it is still fresh, and how long it is still there.
    In { fresh: Lifetime, left: Lifetime },
    /// Until when it is fresh, and until when it is there, in nanoseconds of the clock's monotonic time; `u64::MAX` is never.
    /// The clock is read only if somebody asks: that costs as much as a whole hit.
    At { fresh: u64, there: u64, clock: &'a dyn Clock },
}

/// An item with what a copy of it needs, lent while it is read.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a> {
    pub(crate) item: Item<'a>,
    /// What it was written with.
    pub(crate) tags: &'a [Namespace<'a>],
    /// How long it is fresh for sure: `item.fresh` is rounded up, this is not. None: it does not expire.
    pub(crate) fresh_for: Option<Duration>,
}

impl Item<'_> {
    /// Whether it is there for every function: fresh or stale, and no note that there is nothing.
    pub(crate) fn is_there(&self) -> bool {
        self.age != Age::Kept && self.value != Value::Absent
    }

    /// How long it is still fresh; `Ms(0)` if it is not.
    pub(crate) fn fresh(&self) -> Lifetime {
        match self.ends {
            Ends::In { fresh, .. } => fresh,
            Ends::At { fresh, clock, .. } => remaining(fresh, clock, self.age == Age::Fresh),
        }
    }

    /// How long it is still there, fresh or stale; `Ms(0)` if it is kept.
    pub(crate) fn left(&self) -> Lifetime {
        match self.ends {
            Ends::In { left, .. } => left,
            Ends::At { there, clock, .. } => remaining(there, clock, self.age != Age::Kept),
        }
    }
}

/// What is left until `end`, rounded up; at least 1 where something was left when the item was lent.
fn remaining(end: u64, clock: &dyn Clock, was_left: bool) -> Lifetime {
    if end == u64::MAX {
        return Lifetime::Endless;
    }
    let now = clock.monotonic().as_nanos() as u64;
    Lifetime::Ms((end.saturating_sub(now).div_ceil(1_000_000) as i64).max(i64::from(was_left)))
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) lifetime: Lifetime,
    pub(crate) spans: Spans,
    /// An item that is there keeps its lifetime and its spans; those of the draft are for one that is created.
    pub(crate) keep_lifetime: bool,
    /// Different from one another, at most [`MOST_TAGS`].
    pub(crate) tags: &'a [Namespace<'a>],
    pub(crate) condition: SetIf,
}

impl<'a> Draft<'a> {
    /// Writes `value` for `lifetime`, whatever is there.
    pub(crate) fn of(value: Value<'a>, lifetime: Lifetime) -> Self {
        let (spans, keep_lifetime) = (Spans::default(), false);
        Self { value, lifetime, spans, keep_lifetime, tags: &[], condition: SetIf::Always }
    }
}

/// When [`CacheBackend::set`](super::CacheBackend::set) writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetIf {
    Always,
    /// The item is not there.
    Absent,
    /// The item has this version.
    Version(u64),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Done; the item's version now.
    Done(u64),
    /// The condition does not hold; the version of the item that is there, 0 if there is none.
    Refused(u64),
}

impl SetIf {
    /// What is to become of a write where the item that is there has version `there`, 0 if there is none.
    pub(crate) fn holds(self, there: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => there == 0,
            Self::Version(version) => there == version,
        }
    }
}

/// When [`CacheBackend::expire`](super::CacheBackend::expire) changes something.
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

/// What [`CacheBackend::expire`](super::CacheBackend::expire) found.
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
    /// Items that have not expired; notes that there is nothing are among them.
    pub(crate) items: u64,
    /// Their bytes, with what it takes to keep them.
    pub(crate) bytes: u64,
    /// How many of its items have made room for others.
    pub(crate) evicted: u64,
}

/// Keys of a space, as [`CacheBackend::keys`](super::CacheBackend::keys) gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<String>,
}
