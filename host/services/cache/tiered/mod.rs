//! Two tiers: copies in memory (L1) over a back end that has the items (L2).
//!
//! A read that finds a copy is answered by it alone. One that does not asks L2, and leaves a copy of what it found: of fresh
//! bytes and of notes that there is nothing, never of integers, and never for longer than the item has left.
//! Everything that changes something goes to L2 first. [`far`] knows whether L2 can be reached.
//!
//! A copy must never bring back what is not so any more. Between a look at L2 and the copy of what it showed anything may
//! happen, so both reads and writes take a [`Ticket`] before they ask L2: the count of changes of the key's stripe, and that of
//! removals of many. A copy is put only if both counts are still the same, with the stripe held and removals of many kept out.
//! Then:
//!
//! - *A read, overtaken by a write of its key*: the write was done in L2 after the read looked, and has either passed its stripe
//!   since, so that the count differs and nothing is put; or it will, and then takes away or replaces what was put.
//! - *Two writes of one key*: the second to pass the stripe finds another count than it began with, whichever L2 did last, and
//!   leaves nothing. The one that passed first has put what may be the older value; nobody is told of the younger one before
//!   it, too, has passed, and taken that away.
//! - *Anything, overtaken by a removal of many*: as the first, with the other count. The removal takes all stripes at once, as the
//!   writer of a lock that those who put hold as readers, and removes from L1 while it has them.
//! - *A change that failed* has by its contract changed nothing, so copies stay.
//!
//! Stripes and that lock are held over work in L1 alone, never over a call of L2. (A read puts its copy while L2 still lends the
//! item; L2 may hold locks of its own then, and nobody asks L2 with one of ours.) A hit in L1 takes none of them.
//!
//! All of it is under locks; the tests stop an L2 at the points named above, and let threads run against each other.

mod far;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::memory_over_a_file;

use std::{hash::BuildHasher as _, sync::Arc, time::Duration};

use far::Far;
pub(crate) use far::Outage;
use parking_lot::{Mutex, RwLock};

use super::{
    Address, Age, CacheBackend, Draft, ExpireIf, Expired, Fill, Glob, Item, Lifetime, MemoryCache, Page,
    Space, Spans, Usage, Value, Whole, Written,
};
use crate::{
    error::{ErrorKind, Result},
    identity::DataScope,
    services::{clock::Clock, keys::Namespace},
};

/// A back end that can be the tier in front.
pub(crate) trait Copies: CacheBackend {
    /// Puts a copy in place of whatever lies there, with the version that it has elsewhere.
    fn fill(&self, at: &Address<'_>, item: &Fill<'_>) -> Result<()>;

    /// Takes away what lies there, if anything does.
    fn forget(&self, at: &Address<'_>) -> Result<()>;
}

impl Copies for MemoryCache {
    fn fill(&self, at: &Address<'_>, item: &Fill<'_>) -> Result<()> {
        MemoryCache::fill(self, at, item)
    }

    fn forget(&self, at: &Address<'_>) -> Result<()> {
        MemoryCache::forget(self, at)
    }
}

/// How the tiers are to work together.
pub(crate) struct TieredOptions {
    /// No copy is older, for an L2 that others write to. Where it is set, lifetimes that are read from a copy are no longer
    /// than it.
    pub(crate) max_age: Option<Duration>,
    /// That of both tiers.
    pub(crate) clock: Arc<dyn Clock>,
    /// Told when L2 cannot be reached any more, and when it can again. Called with no lock held.
    pub(crate) report: Box<dyn Fn(&Outage) + Send + Sync>,
}

/// Memory over another back end.
pub(crate) struct Tiered<L = MemoryCache> {
    near: L,
    far: Far,
    max_age: Option<Duration>,
    clock: Arc<dyn Clock>,
    hasher: foldhash::quality::RandomState,
    /// How many changes of their keys have passed.
    stripes: Box<[Mutex<u64>]>,
    /// How many removals of many.
    removals: RwLock<u64>,
}

const STRIPES: usize = 256;

/// What had happened to a key before L2 was asked.
#[derive(Clone, Copy)]
struct Ticket {
    stripe: usize,
    changes: u64,
    removals: u64,
    asked: Duration,
}

/// How long a copy is good for.
struct Span {
    fresh: Lifetime,
    spans: Spans,
    /// By the clock; then the item itself is stale, or gone. None: never.
    until: Option<Duration>,
}

impl<L: Copies> Tiered<L> {
    pub(crate) fn new(near: L, far: Box<dyn CacheBackend>, options: TieredOptions) -> Self {
        let TieredOptions { max_age, clock, report } = options;
        Self {
            near,
            far: Far::new(far, Arc::clone(&clock), report),
            max_age,
            clock,
            hasher: foldhash::quality::RandomState::default(),
            stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
            removals: RwLock::new(0),
        }
    }

    /// Reads from L2, and keeps a copy. What cannot be reached is missed.
    #[cold]
    fn get_far(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        let ticket = self.ticket(at);
        let mut kept = Ok(());
        let found = self.far.read(|far| {
            far.get_whole(at, &mut |whole| {
                read(whole);
                kept = self.keep(at, &ticket, &whole);
            })
        });
        match found {
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(false),
            found => kept.and(found),
        }
    }

    fn ticket(&self, at: &Address<'_>) -> Ticket {
        let names = (at.namespace.as_str(), at.key.as_str());
        let hash = self.hasher.hash_one((at.scope.plugin, at.scope.tenant_number(), names));
        let stripe = hash as usize % STRIPES;
        // One after the other: whoever holds a stripe waits for nothing.
        let removals = *self.removals.read();
        let changes = *self.stripes[stripe].lock();
        Ticket { stripe, changes, removals, asked: self.clock.monotonic() }
    }

    /// Keeps a copy of what a read found, unless it was overtaken.
    fn keep(&self, at: &Address<'_>, ticket: &Ticket, whole: &Whole<'_>) -> Result<()> {
        let Whole { item, tags, fresh_for } = *whole;
        // A stale copy would be in the way of whoever loads the item elsewhere.
        if item.age != Age::Fresh || matches!(item.value, Value::Integer(_)) {
            return Ok(());
        }
        let stale_ms = match (item.fresh(), item.left()) {
            (Lifetime::Ms(fresh), Lifetime::Ms(left)) => left - fresh,
            _ => 0,
        };
        let Some(span) = self.span(ticket, fresh_for, stale_ms) else { return Ok(()) };
        let removals = self.removals.read();
        let changes = self.stripes[ticket.stripe].lock();
        if (*changes, *removals) != (ticket.changes, ticket.removals) {
            return Ok(());
        }
        self.put(at, &span, item.value, tags, item.version)
    }

    /// A write of the key was done in L2: the copy is replaced, if it is known by what, or goes.
    fn pass(&self, at: &Address<'_>, ticket: &Ticket, written: Option<(&Draft<'_>, u64)>) -> Result<()> {
        let span = written.filter(|(draft, _)| !draft.keep_lifetime).and_then(|(draft, version)| {
            let fresh_for = match draft.lifetime {
                Lifetime::Endless => None,
                Lifetime::Ms(ms) => Some(Duration::from_millis(ms as u64)),
            };
            Some((self.span(ticket, fresh_for, draft.spans.stale_ms)?, draft, version))
        });
        let removals = self.removals.read();
        let mut changes = self.stripes[ticket.stripe].lock();
        let overtaken = (*changes, *removals) != (ticket.changes, ticket.removals);
        *changes += 1;
        match span {
            Some((span, draft, version)) if !overtaken => {
                self.put(at, &span, draft.value, draft.tags, version)
            }
            _ => self.near.forget(at),
        }
    }

    /// A removal of many was done in L2: the same in L1.
    fn pass_all<R>(&self, remove: impl FnOnce(&L) -> Result<R>) -> Result<R> {
        let mut removals = self.removals.write();
        *removals += 1;
        remove(&self.near)
    }

    /// How long a copy may be good for of what is fresh for so long since the ticket was taken; none: not at all.
    fn span(&self, ticket: &Ticket, fresh_for: Option<Duration>, stale_ms: i64) -> Option<Span> {
        let most = self.max_age.map_or(i64::MAX, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let until = fresh_for.map(|fresh_for| ticket.asked.saturating_add(fresh_for));
        let sure = match until {
            None => i64::MAX,
            Some(until) => {
                let left = until.saturating_sub(self.clock.monotonic());
                i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
            }
        };
        let fresh = match sure.min(most) {
            ..1 => return None,
            i64::MAX => Lifetime::Endless,
            ms => Lifetime::Ms(ms),
        };
        // One that goes before its item does must not be taken for stale.
        let stale_ms = if sure <= most { stale_ms.min(most - sure) } else { 0 };
        Some(Span { fresh, spans: Spans { stale_ms, error_ms: 0 }, until })
    }

    fn put(
        &self,
        at: &Address<'_>,
        span: &Span,
        value: Value<'_>,
        tags: &[Namespace<'_>],
        version: u64,
    ) -> Result<()> {
        let fill = Fill { value, fresh: span.fresh, spans: span.spans, tags, version };
        let filled = self.near.fill(at, &fill);
        // L1 counts from when it was asked, and this thread may have slept before that.
        let is_late = match (span.fresh, span.until) {
            (Lifetime::Ms(ms), Some(until)) => {
                self.clock.monotonic().saturating_add(Duration::from_millis(ms as u64)) > until
            }
            _ => false,
        };
        // No room for a copy is no failure; but what lay there is not so any more.
        if filled.is_err() || is_late { self.near.forget(at) } else { Ok(()) }
    }
}

impl<L: Copies> CacheBackend for Tiered<L> {
    #[inline]
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        if self.near.get(at, read)? {
            return Ok(true);
        }
        let mut lent = false;
        self.get_far(at, &mut |whole| {
            if whole.item.age != Age::Kept {
                lent = true;
                read(whole.item);
            }
        })?;
        Ok(lent)
    }

    /// From L2, which may have been written to by others; from a copy where it cannot be reached.
    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        Ok(self.get_far(at, read)? || (self.far.is_unreadable() && self.near.get_whole(at, read)?))
    }

    fn set(&self, at: &Address<'_>, draft: &Draft<'_>) -> Result<Written> {
        let ticket = self.ticket(at);
        let written = self.far.write(|far| far.set(at, draft))?;
        if let Written::Done(version) = written {
            self.pass(at, &ticket, Some((draft, version)))?;
        }
        Ok(written)
    }

    fn set_many(&self, writes: &[(Address<'_>, Draft<'_>)]) -> Vec<Result<Written>> {
        let tickets: Vec<_> = writes.iter().map(|(at, _)| self.ticket(at)).collect();
        let answers = self.far.write_many(writes);
        let passed = answers.into_iter().zip(writes).zip(&tickets).map(|((answer, (at, draft)), ticket)| {
            let written = answer?;
            if let Written::Done(version) = written {
                self.pass(at, ticket, Some((draft, version)))?;
            }
            Ok(written)
        });
        passed.collect()
    }

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        let ticket = self.ticket(at);
        let removed = self.far.write(|far| far.remove(at))?;
        self.pass(at, &ticket, None)?;
        Ok(removed)
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        let ticket = self.ticket(at);
        let sum = self.far.write(|far| far.incr(at, delta, lifetime))?;
        self.pass(at, &ticket, None)?;
        Ok(sum)
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        let ticket = self.ticket(at);
        let expired = self.far.write(|far| far.expire(at, lifetime, condition))?;
        // Also where L2 has nothing any more: it may have made room, and the copy is to be removed all the same.
        if expired != Expired::Refused {
            self.pass(at, &ticket, None)?;
        }
        Ok(expired)
    }

    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        let removed = self.far.write(|far| far.invalidate_tag(scope, tag))?;
        self.pass_all(|near| near.invalidate_tag(scope, tag))?;
        Ok(removed)
    }

    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        let removed = self.far.write(|far| far.invalidate(space, pattern))?;
        self.pass_all(|near| near.invalidate(space, pattern))?;
        Ok(removed)
    }

    fn clear(&self, space: &Space<'_>) -> Result<u64> {
        let removed = self.far.write(|far| far.clear(space))?;
        self.pass_all(|near| near.clear(space))?;
        Ok(removed)
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page> {
        self.far.read(|far| far.keys(space, prefix, cursor, limit))
    }

    /// What is kept: copies count for nobody.
    fn usage(&self) -> Result<Vec<Usage>> {
        self.far.read(|far| far.usage())
    }

    fn capacity(&self) -> u64 {
        self.far.here().capacity()
    }

    fn guaranteed(&self) -> u64 {
        self.far.here().guaranteed()
    }

    fn set_plugins(&self, plugins: usize) {
        self.near.set_plugins(plugins);
        self.far.here().set_plugins(plugins);
    }

    fn health(&self) -> Result<()> {
        self.near.health()?;
        self.far.health()
    }

    fn remove_plugin(&self, id: &str) -> Result<u64> {
        let removed = self.far.write(|far| far.remove_plugin(id))?;
        self.pass_all(|near| near.remove_plugin(id))?;
        Ok(removed)
    }

    fn close(&self) {
        self.near.close();
        self.far.here().close();
    }
}
