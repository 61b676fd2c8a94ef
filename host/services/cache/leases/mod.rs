//! Leases: who is loading which item, who waits for it, and which loads have been overtaken.
//!
//! A lease is given to one of those who find an item missing or stale ([`Cache::fetch`](super::Cache::fetch)). It is over
//! when its write or its `fail` has come, when its deadline has passed, when its generation has ended, or when its key was
//! written by another, removed or invalidated; a write under it is then refused with CONFLICT. [`books`] has what is out,
//! under one lock; [`Lease::step`] is a second one, of each lease. Lock order: a lease's step, then the books; the back end is
//! called with at most one step held and never with the books.
//!
//! What could go wrong between threads, and why it does not:
//!
//! - *A load that was overtaken is kept.* Whoever changes one key holds the step of its lease over the change and the end of
//!   the lease; whoever takes away many ends their leases, one step after the other, before the back end removes anything. A
//!   write under a lease holds its step over the look whether it is still good and the write itself. So the write is either
//!   done before and then removed, or it is refused.
//! - *The same by a tag of the write.* Invalidations of tags are noted in the books before the steps are taken, so that a write
//!   finds the note, or has the step and is waited for.
//! - *Nobody looks because nothing is out.* Writes and removals look at one relaxed counter first. A loader who has read what
//!   is about to change read it before the change, through a lock or a message of theirs; so its lease, counted before it was
//!   given, is counted for whoever invalidates after the change. One that is given later loads what was there after it.
//! - *A lease lapses in the middle of its write.* It stays in the books until the write has ended, so that it is found and
//!   waited for by those who invalidate.
//! - *Two load the same.* A write comes before the end of its lease, and whoever is given the next lease reads the back end
//!   again before loading.
//! - *A waiter sleeps for ever.* Waiters stand in a queue of their key. All are woken when there is something to read; else the
//!   first is, which takes the lease, and if it goes away instead it wakes the next one: a queue without a holder has always
//!   one on its way. Each is listed before it asks whether it is to stop, and who stops says so before looking at the list.
//!   Each sleeps no longer than the lease that it waits for lasts.
//!
//! No data is shared without a lock here, but for that one counter, which is never more than a hint to look: so there is
//! nothing for a model of interleavings beyond what the tests make happen.

mod books;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::OF_LEASES;

use std::{
    borrow::Cow,
    hash::BuildHasher as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::ThreadId,
    time::Duration,
};

pub(super) use books::Lease;
use books::{Books, Place, Waiter};
use parking_lot::Mutex;

use super::{Address, Namespace, Written, item::Space};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::clock::Clock,
};

/// The most leases that a plugin may have at once.
pub(crate) const MOST_LEASES: usize = 1024;

const LONGEST_MS: i64 = 3_600_000;

const LEASE_MS: i64 = 10_000;

/// How an item is to be fetched, unchecked. Times are in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fetch {
    /// Do not wait for another who is loading the item: TIMEOUT at once.
    pub(crate) no_wait: bool,
    /// How long to wait for another; 0: as long as [`Fetcher::patience`] says.
    pub(crate) wait_ms: i64,
    /// How long the lease is good for, if one is given; 0: 10 s.
    pub(crate) lease_ms: i64,
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The item was lent. With a lease: it is stale, and the caller is to load it anew.
    Given { lease: Option<u64> },
    /// There is none, and the caller is to load it.
    Load { lease: u64 },
    /// It is known that there is nothing; the note was lent.
    KnownAbsent,
}

/// Who fetches, and how it waits. What it answers may change from one question to the next.
pub(crate) trait Fetcher {
    fn call(&self) -> CallId;

    /// Whose leases end with it, and whose waits [`Leases::stop_waits`] ends: a number that means nothing here.
    fn generation(&self) -> u64;

    /// Whether it is to wait for nobody any more. Asked with no lock held.
    fn is_stopping(&self) -> bool;

    /// How long it may wait that asks for `wait_ms` (0: the default); why not, if it may not.
    fn patience(&self, wait_ms: i64) -> Result<Duration>;

    /// Calls `sleep`, which returns when there is something to look at, and lets others work meanwhile. BUSY: it did not.
    fn wait(&self, sleep: &mut dyn FnMut()) -> Result<()>;
}

/// A call that may have leases and may wait: a wait that only the waiting call itself could end is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallId {
    pub(crate) context: u64,
    /// Of a context that is no call's, each thread makes calls of its own.
    pub(crate) thread: Option<ThreadId>,
}

/// Why a lease is over.
#[derive(Clone, Debug)]
pub(super) enum Over {
    Completed,
    Failed,
    /// There was nothing to be loaded after all.
    Needless,
    Lapsed,
    GenerationEnded,
    Written,
    Removed,
    Invalidated,
    Cleared,
    Tag(Box<str>),
    /// More invalidations of tags than are remembered.
    Tags,
    DataRemoved,
}

impl Over {
    /// Whether there is something to read now, for all who wait.
    fn is_loaded(&self) -> bool {
        matches!(self, Self::Completed | Self::Needless | Self::Written)
    }

    fn refusal(self) -> Error {
        Error::lazy(ErrorKind::Conflict, move || {
            format!("the lease is over: {}: nothing was written; fetch the item again", self.text())
        })
    }

    fn stale(self) -> Error {
        Error::lazy(ErrorKind::StaleHandle, move || format!("the lease is over: {}", self.text()))
    }

    fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Completed => "it has been answered by a write already",
            Self::Failed => "it was given back by `fail`",
            Self::Needless => "there was nothing to be loaded",
            Self::Lapsed => "its deadline has passed",
            Self::GenerationEnded => "the generation that it was given to has ended",
            Self::Written => "the item was written by another since it was given",
            Self::Removed => "the item was removed since it was given",
            Self::Invalidated => "its key was invalidated by a pattern since it was given",
            Self::Cleared => "its namespace was cleared since it was given",
            Self::DataRemoved => "the plugin's data was removed since it was given",
            Self::Tag(tag) => {
                return Cow::Owned(format!("the tag {tag:?} was invalidated since it was given"));
            }
            Self::Tags => "so many tags were invalidated since it was given that its own may be among them",
        })
    }
}

/// The leases of one cache.
pub(super) struct Leases {
    /// How many are out: the hint that all writes and removals look at.
    out: AtomicUsize,
    books: Mutex<Books>,
    clock: Arc<dyn Clock>,
    hasher: foldhash::quality::RandomState,
}

/// What somebody who asks for a lease is answered.
pub(super) enum Turn {
    Yours(Arc<Lease>),
    /// Another one has it.
    Held,
}

impl Leases {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let hasher = foldhash::quality::RandomState::default();
        Self { out: AtomicUsize::new(0), books: Mutex::default(), clock, hasher }
    }

    /// The lease for the key, unless another has it. REENTRANT, if waiting for that one would never end; QUOTA.
    pub(super) fn ask(&self, at: &Address<'_>, ask: &Fetch, who: &dyn Fetcher) -> Result<Turn> {
        let (hash, now) = (self.hash(at), self.clock.monotonic());
        let mut books = self.books.lock();
        books.sweep(now);
        let turn = match books.holder(hash, at) {
            Some(holder) => books.check_circle(who.call(), holder).map(|()| Turn::Held),
            None => Place::of(at, hash)
                .and_then(|place| books.give(&place, who, now + lease_span(ask)).map(Turn::Yours)),
        };
        self.count(&books);
        turn
    }

    /// Waits until there is something to look at: the item may be there, or the lease to be had. The place in the queue is
    /// kept in `line` from one time to the next.
    pub(super) fn wait<'l>(
        &'l self,
        at: &Address<'_>,
        ask: &Fetch,
        who: &dyn Fetcher,
        line: &mut Option<InLine<'l>>,
    ) -> Result<()> {
        if line.is_none() {
            let patience = who.patience(ask.wait_ms)?;
            let place = Place::of(at, self.hash(at))?;
            let until = self.clock.monotonic().saturating_add(patience);
            let waiter = Waiter::new(place, who, self.clock.alarm(), until);
            *line = Some(InLine { leases: self, waiter: Arc::new(waiter) });
        }
        let Some(InLine { waiter, .. }) = line else { return Ok(()) };
        let now = self.clock.monotonic();
        if now >= waiter.until {
            return Err(loading());
        }
        let lapse = {
            let mut books = self.books.lock();
            books.sweep(now);
            let lapse = books.queue_up(waiter);
            self.count(&books);
            lapse?
        };
        // Nobody has it any more: there is something to look at already.
        let Some(lapse) = lapse else { return Ok(()) };
        if who.is_stopping() || waiter.is_stopped() {
            return Err(stopped());
        }
        who.wait(&mut || self.clock.wait(&waiter.alarm, Some(lapse.min(waiter.until))))?;
        if waiter.is_stopped() { Err(stopped()) } else { Ok(()) }
    }

    /// Does a write that answers a lease, and ends the lease if it was done.
    ///
    /// CONFLICT: the lease is over. STALE_HANDLE: it was never given to this scope. INVALID_ARGUMENT: it is for another key.
    pub(super) fn answer(
        &self,
        at: &Address<'_>,
        lease: u64,
        tags: &[Namespace<'_>],
        write: impl FnOnce() -> Result<Written>,
    ) -> Result<Written> {
        let held = self.find(&at.scope, lease)?.map_err(Over::refusal)?;
        if !held.place.is(at) {
            let problem = "it was given for another namespace or key: each item is loaded under its own";
            return Err(Error::argument("options.lease", problem));
        }
        let _step = held.step.lock();
        let now = self.clock.monotonic();
        {
            let mut books = self.books.lock();
            books.sweep(now);
            let begun = books.begin_write(&held, tags);
            self.count(&books);
            begun.map_err(Over::refusal)?;
        }
        let mut writing = Writing { leases: self, lease, done: false };
        let written = write()?;
        writing.done = matches!(written, Written::Done(_));
        Ok(written)
    }

    /// Ends a lease that its holder could not answer. STALE_HANDLE: it is over, or was never given to this scope.
    pub(super) fn fail(&self, scope: &DataScope<'_>, lease: u64) -> Result<Arc<Lease>> {
        let held = self.find(scope, lease)?.map_err(Over::stale)?;
        self.end(&held, Over::Failed);
        Ok(held)
    }

    /// Ends a lease, if it is not over.
    pub(super) fn end(&self, lease: &Lease, why: Over) {
        let _step = lease.step.lock();
        let mut books = self.books.lock();
        books.end(lease.id, why);
        self.count(&books);
    }

    /// Does what changes one key, and ends the lease for it if something was changed.
    #[inline]
    pub(super) fn change<R>(
        &self,
        at: &Address<'_>,
        why: Over,
        change: impl FnOnce() -> Result<R>,
        changed: impl FnOnce(&R) -> bool,
    ) -> Result<R> {
        if self.out.load(Relaxed) == 0 {
            return change();
        }
        self.change_held(at, why, change, changed)
    }

    #[cold]
    fn change_held<R>(
        &self,
        at: &Address<'_>,
        why: Over,
        change: impl FnOnce() -> Result<R>,
        changed: impl FnOnce(&R) -> bool,
    ) -> Result<R> {
        let Some(held) = self.held(at) else { return change() };
        let _step = held.step.lock();
        let result = change()?;
        if changed(&result) {
            let mut books = self.books.lock();
            books.end(held.id, why);
            self.count(&books);
        }
        Ok(result)
    }

    /// Whether one of these keys is being loaded.
    pub(super) fn is_any_held<'a>(&self, mut keys: impl Iterator<Item = &'a Address<'a>>) -> bool {
        self.out.load(Relaxed) != 0 && keys.any(|at| self.held(at).is_some())
    }

    /// Ends the leases for keys of this space that are `hit`, which are about to be removed.
    #[inline]
    pub(super) fn revoke(&self, space: &Space<'_>, why: &Over, hit: impl Fn(&str) -> bool) {
        if self.out.load(Relaxed) == 0 {
            return;
        }
        // What is matched is matched outside of the lock: patterns take their time.
        let held = self.books.lock().matching(|place| place.is_in(space));
        for lease in held.into_iter().filter(|lease| hit(&lease.place.key)) {
            self.end(&lease, why.clone());
        }
    }

    /// Ends the leases for what has this tag, which is about to be invalidated, and refuses what is written with it under
    /// others of the scope that are out.
    #[inline]
    pub(super) fn revoke_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) {
        if self.out.load(Relaxed) != 0 {
            self.revoke_tagged(scope, tag);
        }
    }

    #[cold]
    fn revoke_tagged(&self, scope: &DataScope<'_>, tag: Namespace<'_>) {
        let of_scope = {
            let mut books = self.books.lock();
            books.note_tag(scope, tag);
            books.matching(|place| place.is_of(scope))
        };
        for lease in of_scope {
            // Also of those that it does not hit: it waits for a write that has not seen the note.
            let old = lease.step.lock();
            if old.iter().any(|own| **own == *tag.as_str()) {
                let mut books = self.books.lock();
                books.end(lease.id, Over::Tag(tag.as_str().into()));
                self.count(&books);
            }
        }
    }

    /// Ends the leases of a plugin, by its id, whose data is about to be removed.
    pub(super) fn revoke_plugin(&self, id: &str) {
        if self.out.load(Relaxed) != 0 {
            self.revoke_those(&Over::DataRemoved, |place| *place.id == *id);
        }
    }

    #[cold]
    fn revoke_those(&self, why: &Over, hit: impl Fn(&Place) -> bool) {
        let hit = self.books.lock().matching(hit);
        for lease in hit {
            self.end(&lease, why.clone());
        }
    }

    /// A generation has ended, and its leases with it.
    pub(super) fn end_generation(&self, generation: u64) {
        let mut books = self.books.lock();
        books.end_generation(generation);
        self.count(&books);
    }

    /// Makes all who wait on behalf of a generation give up with STOPPING. It says that it is stopping already.
    pub(super) fn stop_waits(&self, generation: u64) {
        self.books.lock().stop_waits(generation);
    }

    /// Nobody is given a lease any more, and those who wait look again.
    pub(super) fn close(&self) {
        self.books.lock().close();
    }

    fn find(&self, scope: &DataScope<'_>, lease: u64) -> Result<Result<Arc<Lease>, Over>> {
        let now = self.clock.monotonic();
        let mut books = self.books.lock();
        books.sweep(now);
        self.count(&books);
        books.find(scope, lease).ok_or_else(|| {
            Error::new(
                ErrorKind::StaleHandle,
                "the lease was never given to this plugin and tenant, or has been over for long",
            )
        })
    }

    /// The lease for a key, if one is out.
    fn held(&self, at: &Address<'_>) -> Option<Arc<Lease>> {
        let (hash, now) = (self.hash(at), self.clock.monotonic());
        let mut books = self.books.lock();
        books.sweep(now);
        self.count(&books);
        books.holder(hash, at).and_then(|id| books.lease(id))
    }

    fn hash(&self, at: &Address<'_>) -> u64 {
        let names = (at.namespace.as_str(), at.key.as_str());
        self.hasher.hash_one((at.scope.plugin, at.scope.tenant_number(), names))
    }

    fn count(&self, books: &Books) {
        self.out.store(books.len(), Relaxed);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.books.lock().waiting()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.out.load(Relaxed) == 0 && self.books.lock().is_empty()
    }
}

/// A write under a lease that is under way; the lease's step is held.
struct Writing<'l> {
    leases: &'l Leases,
    lease: u64,
    done: bool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut books = self.leases.books.lock();
        books.end_write(self.lease, self.done);
        self.leases.count(&books);
    }
}

/// A waiter's place in the queue of its key; it leaves when this is dropped.
pub(super) struct InLine<'l> {
    leases: &'l Leases,
    waiter: Arc<Waiter>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.leases.books.lock().leave(&self.waiter);
        self.waiter.alarm.leave();
    }
}

/// OUT_OF_RANGE, if one of the times is.
pub(super) fn check(ask: &Fetch) -> Result<()> {
    for (name, ms) in [("wait_ms", ask.wait_ms), ("lease_ms", ask.lease_ms)] {
        if !(0..=LONGEST_MS).contains(&ms) {
            return Err(Error::lazy(ErrorKind::OutOfRange, move || {
                format!("`{name}` is {ms}: 1 to {LONGEST_MS} milliseconds are taken, 0 is the default")
            }));
        }
    }
    Ok(())
}

fn lease_span(ask: &Fetch) -> Duration {
    Duration::from_millis(if ask.lease_ms == 0 { LEASE_MS } else { ask.lease_ms } as u64)
}

pub(super) fn loading() -> Error {
    Error::new(ErrorKind::Timeout, "another caller is loading the item still")
}

fn stopped() -> Error {
    Error::new(ErrorKind::Stopping, "the plugin is being disabled: it waits for nobody any more")
}
