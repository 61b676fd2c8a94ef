//! The cache: volatile items, each under (plugin, tenant, namespace, key), for a while or until room is needed.
//!
//! [`Cache`] is the front that the tables call: it knows the limits, the default lifetimes and the leases, the same for
//! every back end. [`CacheBackend`] is what a back end does; [`MemoryCache`] is the one that is a map in this process,
//! [`SqliteCache`] the one that is a file, and [`Tiered`] puts memory in front of another one. [`item`] says what an item
//! is, [`glob`] which keys a pattern matches, [`leases`] who is loading what.

mod backend;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod double;
mod glob;
mod item;
mod leases;
mod memory;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod random;
mod sqlite;
mod tiered;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

pub(crate) use backend::CacheBackend;
pub(crate) use glob::Glob;
#[cfg(feature = "fuzz-entry")]
pub(crate) use glob::naive as naive_glob;
pub(crate) use item::{
    Address, Age, Draft, Ends, ExpireIf, Expired, Item, LARGEST_VALUE, Lifetime, MOST_TAGS, Page, SetIf,
    Space, Spans, Usage, Value, Whole, Written,
};
pub(crate) use leases::{CallId, Fetch, Fetched, Fetcher};
#[cfg(test)]
pub(crate) use memory::Lost;
pub(crate) use memory::{ENTRIES, Entries, Fill, Hot, MemoryCache, PIECE, Piece, Slab};
pub(crate) use sqlite::{SqliteCache, SqliteOptions};
#[cfg(test)]
pub(crate) use tiered::Copies;
pub(crate) use tiered::{Outage, Tiered, TieredOptions};

#[cfg(test)]
use leases::OF_LEASES;
use leases::{Lease, Leases, Over, Turn};

use super::{clock::Clock, keys::Namespace};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// The cache of one host.
pub(crate) struct Cache {
    backend: Box<dyn CacheBackend>,
    lifetimes: Lifetimes,
    leases: Leases,
    closed: AtomicBool,
}

/// How long items live whose plugins do not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) items: Lifetime,
    /// Notes that there is nothing.
    pub(crate) absent: Lifetime,
}

/// A write as a plugin asks for it, unchecked. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    /// Bytes, or a note that there is nothing.
    pub(crate) value: Value<'a>,
    /// 0 is endless; none is the host's default.
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) stale_ms: i64,
    pub(crate) error_ms: i64,
    pub(crate) keep_ttl: bool,
    pub(crate) condition: SetIf,
    /// In any order; the same one twice is one.
    pub(crate) tags: &'a [Namespace<'a>],
    /// The lease that it answers; 0: none.
    pub(crate) lease: u64,
}

impl<'a> Write<'a> {
    /// Of bytes, with the default for everything else.
    pub(crate) fn of(value: &'a [u8], ttl_ms: Option<i64>) -> Self {
        Self {
            value: Value::Bytes(value),
            ttl_ms,
            stale_ms: 0,
            error_ms: 0,
            keep_ttl: false,
            condition: SetIf::Always,
            tags: &[],
            lease: 0,
        }
    }
}

impl Cache {
    /// `clock`: what the deadlines of leases go by.
    pub(crate) fn new(backend: Box<dyn CacheBackend>, lifetimes: Lifetimes, clock: Arc<dyn Clock>) -> Self {
        Self { backend, lifetimes, leases: Leases::new(clock), closed: AtomicBool::new(false) }
    }

    /// UNAVAILABLE: the host has stopped. For those who tell of each of several items, so that they need not tell it of
    /// each.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.backend().map(drop)
    }

    /// Lends the item to `read`, once, if it is fresh or stale or a note that there is nothing; tells whether.
    #[inline]
    pub(crate) fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        self.backend()?.get(at, read)
    }

    /// Writes; answers the item's version.
    pub(crate) fn set(&self, at: &Address<'_>, write: &Write<'_>) -> Result<u64> {
        let mut tags = [at.namespace; MOST_TAGS];
        let draft = self.draft(write, &mut tags)?;
        done(self.write(at, write.lease, &draft)?, write.condition)
    }

    fn write(&self, at: &Address<'_>, lease: u64, draft: &Draft<'_>) -> Result<Written> {
        let backend = self.backend()?;
        let set = || backend.set(at, draft);
        if lease != 0 {
            return self.leases.answer(at, lease, draft.tags, set);
        }
        self.leases.change(at, Over::Written, set, |written| matches!(written, Written::Done(_)))
    }

    /// Writes all of them; one that fails keeps none of the others from being written.
    pub(crate) fn set_many(
        &self,
        space: &Space<'_>,
        writes: &[(Address<'_>, Write<'_>)],
    ) -> Vec<Result<u64>> {
        if writes.iter().any(|(_, write)| write.lease != 0)
            || self.leases.is_any_held(writes.iter().map(|(at, _)| at))
        {
            return writes.iter().map(|(at, write)| self.set(at, write)).collect();
        }
        let mut tags = vec![[space.namespace; MOST_TAGS]; writes.len()];
        let drafts = writes.iter().zip(&mut tags);
        let drafts = drafts.map(|((at, write), tags)| Ok((*at, self.draft(write, tags)?)));
        let drafts: Vec<Result<_>> = drafts.collect();
        let good: Vec<_> = drafts.iter().filter_map(|draft| draft.as_ref().ok().copied()).collect();
        let written = match self.backend() {
            Ok(backend) => backend.set_many(&good),
            Err(error) => good.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut written = written.into_iter();
        let answers = drafts.into_iter().zip(writes).map(|(draft, (_, write))| {
            draft?;
            let written = written.next().unwrap_or_else(|| Err(unanswered()))?;
            done(written, write.condition)
        });
        answers.collect()
    }

    pub(crate) fn remove(&self, at: &Address<'_>) -> Result<bool> {
        let backend = self.backend()?;
        self.leases.change(at, Over::Removed, || backend.remove(at), |_| true)
    }

    pub(crate) fn exists(&self, at: &Address<'_>) -> Result<bool> {
        let mut there = false;
        self.backend()?.get(at, &mut |item| there = item.is_there())?;
        Ok(there)
    }

    /// `ttl_ms` as in `set`; it counts where the item is created.
    pub(crate) fn incr(&self, at: &Address<'_>, delta: i64, ttl_ms: Option<i64>) -> Result<i64> {
        let lifetime = lifetime(ttl_ms, self.lifetimes.items)?;
        let backend = self.backend()?;
        self.leases.change(at, Over::Written, || backend.incr(at, delta, lifetime), |_| true)
    }

    /// `ttl_ms`: 0 is endless; negative removes the item.
    pub(crate) fn expire(&self, at: &Address<'_>, ttl_ms: i64, condition: ExpireIf) -> Result<Expired> {
        let wanted = if ttl_ms < 0 { None } else { Some(lifetime(Some(ttl_ms), self.lifetimes.items)?) };
        let backend = self.backend()?;
        let removed = |expired: &Expired| wanted.is_none() && *expired != Expired::Refused;
        self.leases.change(at, Over::Removed, || backend.expire(at, wanted, condition), removed)
    }

    /// How long the item is still fresh; none if it is not there.
    pub(crate) fn ttl(&self, at: &Address<'_>) -> Result<Option<Lifetime>> {
        let mut found = None;
        self.backend()?.get(at, &mut |item| found = item.is_there().then(|| item.fresh()))?;
        Ok(found)
    }

    /// Lends the item to `read` if it is fresh or stale or a note that there is nothing; if it is missing or stale, one of those
    /// who ask gets a lease to load it, and where it is missing the others wait for that one. `read` may be called more than
    /// once; what it was given last counts.
    ///
    /// TIMEOUT: another is loading the item still. REENTRANT: waiting for that one would never end. QUOTA: the plugin has too
    /// many leases. OUT_OF_RANGE: a time of `ask`. What `who` answers where it would wait.
    pub(crate) fn fetch(
        &self,
        at: &Address<'_>,
        ask: &Fetch,
        who: &dyn Fetcher,
        read: &mut dyn FnMut(Item<'_>),
    ) -> Result<Fetched> {
        leases::check(ask)?;
        let mut line = None;
        loop {
            let mut found = None;
            self.get(at, &mut |item| {
                found = Some(Found::of(&item));
                read(item);
            })?;
            match found {
                Some(Found::Fresh) => return Ok(Fetched::Given { lease: None }),
                Some(Found::Note) => return Ok(Fetched::KnownAbsent),
                Some(Found::Stale) | None => {}
            }
            match self.leases.ask(at, ask, who) {
                Ok(Turn::Yours(lease)) => return self.given(at, &lease, read),
                // Whoever cannot have the lease, for whatever reason, has the item still.
                _ if found.is_some() => return Ok(Fetched::Given { lease: None }),
                Ok(Turn::Held) if ask.no_wait => return Err(leases::loading()),
                Ok(Turn::Held) => self.leases.wait(at, ask, who, &mut line)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks again for one who was given a lease: somebody may have written before it was.
    fn given(&self, at: &Address<'_>, lease: &Lease, read: &mut dyn FnMut(Item<'_>)) -> Result<Fetched> {
        let looked = {
            let (mut found, mut old) = (None, lease.step.lock());
            let looked = self.backend.get_whole(at, &mut |Whole { item, tags, .. }| {
                *old = tags.iter().map(|tag| tag.as_str().into()).collect();
                if item.age != Age::Kept {
                    found = Some(Found::of(&item));
                    read(item);
                }
            });
            looked.map(|_| found)
        };
        let fetched = match looked {
            Ok(Some(Found::Stale)) => return Ok(Fetched::Given { lease: Some(lease.id) }),
            Ok(None) => return Ok(Fetched::Load { lease: lease.id }),
            Ok(Some(Found::Fresh)) => Ok(Fetched::Given { lease: None }),
            Ok(Some(Found::Note)) => Ok(Fetched::KnownAbsent),
            Err(error) => Err(error),
        };
        let why = if fetched.is_ok() { Over::Needless } else { Over::Failed };
        self.leases.end(lease, why);
        fetched
    }

    /// Ends a lease whose holder could not load the item, and lends it the item that is there, fresh, stale or kept, if there
    /// is one; tells whether. The next who waits for the item gets a lease.
    ///
    /// STALE_HANDLE: the lease is over, or was never given to this scope.
    pub(crate) fn fail(
        &self,
        scope: &DataScope<'_>,
        lease: u64,
        read: &mut dyn FnMut(Item<'_>),
    ) -> Result<bool> {
        let backend = self.backend()?;
        let failed = self.leases.fail(scope, lease)?;
        let mut lent = false;
        failed.lend(scope, |at| {
            backend.get_whole(at, &mut |whole| {
                if whole.item.value != Value::Absent {
                    lent = true;
                    read(whole.item);
                }
            })
        })??;
        Ok(lent)
    }

    /// A generation has ended, and its leases with it: the next who wait get theirs.
    pub(crate) fn end_generation(&self, generation: u64) {
        self.leases.end_generation(generation);
    }

    /// Ends with STOPPING the waits of a generation, which says that it is stopping already.
    pub(crate) fn stop_waits(&self, generation: u64) {
        self.leases.stop_waits(generation);
    }

    pub(crate) fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        let backend = self.backend()?;
        self.leases.revoke_tag(scope, tag);
        backend.invalidate_tag(scope, tag)
    }

    pub(crate) fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        let backend = self.backend()?;
        self.leases.revoke(space, &Over::Invalidated, |key| pattern.matches(key));
        backend.invalidate(space, pattern)
    }

    pub(crate) fn clear(&self, space: &Space<'_>) -> Result<u64> {
        let backend = self.backend()?;
        self.leases.revoke(space, &Over::Cleared, |_| true);
        backend.clear(space)
    }

    pub(crate) fn keys(
        &self,
        space: &Space<'_>,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page> {
        self.backend()?.keys(space, prefix, cursor, limit)
    }

    /// What each plugin has.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>> {
        self.backend()?.usage()
    }

    /// How many bytes all items together may take.
    pub(crate) fn capacity(&self) -> u64 {
        self.backend.capacity()
    }

    /// Below how many bytes no plugin is pushed by others.
    pub(crate) fn guaranteed(&self) -> u64 {
        self.backend.guaranteed()
    }

    /// So many plugins are loaded now.
    pub(crate) fn set_plugins(&self, plugins: usize) {
        self.backend.set_plugins(plugins);
    }

    /// Whether the back end works, or why it does not.
    pub(crate) fn health(&self) -> Result<()> {
        self.backend()?.health()
    }

    /// The host has stopped: gives the memory back, and answers UNAVAILABLE from here on. What a call that is under way
    /// writes meanwhile may stay.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.leases.close();
        self.backend.close();
    }

    /// Removes all that a plugin has; tells how many items there were.
    pub(crate) fn remove_plugin(&self, id: &str) -> Result<u64> {
        let backend = self.backend()?;
        self.leases.revoke_plugin(id);
        backend.remove_plugin(id)
    }

    #[inline]
    fn backend(&self) -> Result<&dyn CacheBackend> {
        if self.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        Ok(&*self.backend)
    }

    /// What a write comes to, once it is checked; `tags` is where its tags are put together.
    fn draft<'a>(&self, write: &Write<'a>, tags: &'a mut [Namespace<'a>; MOST_TAGS]) -> Result<Draft<'a>> {
        let default = match write.value {
            Value::Bytes(bytes) => {
                check_size(bytes.len())?;
                self.lifetimes.items
            }
            Value::Absent if write.stale_ms != 0 || write.error_ms != 0 => {
                let problem = "what is absent has no stale and no error span: leave them 0";
                return Err(Error::argument("options", problem));
            }
            Value::Absent | Value::Integer(_) => self.lifetimes.absent,
        };
        let mut count = 0;
        for tag in write.tags {
            if !tags[..count].contains(tag) {
                let Some(place) = tags.get_mut(count) else { return Err(too_many_tags(write.tags.len())) };
                *place = *tag;
                count += 1;
            }
        }
        Ok(Draft {
            value: write.value,
            lifetime: lifetime(write.ttl_ms, default)?,
            spans: Spans {
                stale_ms: span("stale_ms", write.stale_ms)?,
                error_ms: span("error_ms", write.error_ms)?,
            },
            keep_lifetime: write.keep_ttl,
            tags: &tags[..count],
            condition: write.condition,
        })
    }
}

/// What a fetch finds that need not load, or not at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Fresh,
    Stale,
    Note,
}

impl Found {
    fn of(item: &Item<'_>) -> Self {
        match (item.value, item.age) {
            (Value::Absent, _) => Self::Note,
            (_, Age::Fresh) => Self::Fresh,
            (..) => Self::Stale,
        }
    }
}

#[cold]
fn unanswered() -> Error {
    Error::new(ErrorKind::Internal, "the back end of the cache left out an answer")
}

fn check_size(len: usize) -> Result<()> {
    if len <= LARGEST_VALUE {
        return Ok(());
    }
    Err(Error::lazy(ErrorKind::TooLarge, move || {
        format!("argument `value`: {len} bytes, at most {LARGEST_VALUE} are taken")
    }))
}

#[cold]
#[inline(never)]
fn too_many_tags(count: usize) -> Error {
    Error::lazy(ErrorKind::InvalidArgument, move || {
        format!("argument `tags`: {count} tags, an item has up to {MOST_TAGS} different ones")
    })
}

fn done(written: Written, condition: SetIf) -> Result<u64> {
    let there = match written {
        Written::Done(version) => return Ok(version),
        Written::Refused(there) => there,
    };
    Err(Error::lazy(ErrorKind::Conflict, move || match (condition, there) {
        (SetIf::Version(wanted), 0) => {
            format!("the item is not there, so it has no version {wanted}: nothing was written")
        }
        (SetIf::Version(wanted), there) => {
            format!("the item has version {there}, not {wanted}: nothing was written; read it again")
        }
        (SetIf::Absent | SetIf::Always, there) => {
            format!("the item is there, with version {there}: nothing was written")
        }
    }))
}

fn lifetime(ttl_ms: Option<i64>, default: Lifetime) -> Result<Lifetime> {
    match ttl_ms {
        None => Ok(default),
        Some(0) => Ok(Lifetime::Endless),
        Some(ms @ 1..=LONGEST_MS) => Ok(Lifetime::Ms(ms)),
        Some(ms) => Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("`ttl_ms` is {ms}: 1 to {LONGEST_MS} milliseconds are taken, and 0 for no expiry")
        })),
    }
}

fn span(name: &'static str, ms: i64) -> Result<i64> {
    if (0..=LONGEST_MS).contains(&ms) {
        return Ok(ms);
    }
    Err(Error::lazy(ErrorKind::OutOfRange, move || {
        format!("`{name}` is {ms}: 0 to {LONGEST_MS} milliseconds are taken")
    }))
}

/// 100 years: no clock that an end is reckoned by overflows, in nanoseconds neither.
const LONGEST_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;
