//! What is out: leases, the queues of those who wait for them, and what must be remembered of tags and of leases that are
//! over. All of it is under the one lock of [`Leases`](super::Leases), which calls nobody while it is held.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::{CallId, Fetcher, MOST_LEASES, Over};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Tenant, next_handle},
    services::{
        cache::{Address, Space},
        clock::Alarm,
        keys::{Key, Namespace},
    },
};

/// How many leases that are over are remembered, so that a late write is told why.
const REMEMBERED: usize = 4096;

/// How many invalidations of tags are remembered of a scope while it has leases out.
pub(super) const MOST_NOTES: usize = 256;

/// A key that is being loaded or waited for.
pub(super) struct Place {
    pub(super) id: Arc<str>,
    pub(super) key: Box<str>,
    plugin: u64,
    /// Held, so that its number stays its own.
    tenant: Tenant,
    namespace: Box<str>,
    hash: u64,
}

impl Place {
    pub(super) fn of(at: &Address<'_>, hash: u64) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            id: Arc::clone(at.scope.id),
            key: at.key.as_str().into(),
            plugin: at.scope.plugin,
            tenant: at.scope.tenant()?,
            namespace: at.namespace.as_str().into(),
            hash,
        }))
    }

    pub(super) fn is(&self, at: &Address<'_>) -> bool {
        *self.key == *at.key.as_str() && self.is_in(&at.space())
    }

    pub(super) fn is_in(&self, space: &Space<'_>) -> bool {
        *self.namespace == *space.namespace.as_str() && self.is_of(&space.scope)
    }

    pub(super) fn is_of(&self, scope: &DataScope<'_>) -> bool {
        self.owner() == owner(scope)
    }

    /// It, as the back end is asked for it.
    pub(super) fn lend<R>(&self, scope: &DataScope<'_>, ask: impl FnOnce(&Address<'_>) -> R) -> Result<R> {
        let namespace = Namespace::parse("ns", self.namespace.as_bytes())?;
        let key = Key::parse("key", self.key.as_bytes())?;
        Ok(ask(&Address { scope: *scope, namespace, key }))
    }

    fn owner(&self) -> Owner {
        (self.plugin, self.tenant.number())
    }
}

/// The numbers of a plugin and a tenant.
type Owner = (u64, u64);

fn owner(scope: &DataScope<'_>) -> Owner {
    (scope.plugin, scope.tenant_number())
}

/// A lease that was given.
pub(in super::super) struct Lease {
    pub(in super::super) id: u64,
    /// One step at a time: a write under the lease, or what makes it over. Has the tags of the item that was there when it
    /// was given: invalidating one of them is invalidating the key.
    pub(in super::super) step: Mutex<Vec<Box<str>>>,
    pub(super) place: Arc<Place>,
    call: CallId,
    generation: u64,
    /// By the clock; from then on it is over.
    until: Duration,
    /// Which invalidations of tags were noted before it was given.
    given: u64,
}

impl Lease {
    /// Its key, as the back end is asked for it.
    pub(in super::super) fn lend<R>(
        &self,
        scope: &DataScope<'_>,
        ask: impl FnOnce(&Address<'_>) -> R,
    ) -> Result<R> {
        self.place.lend(scope, ask)
    }
}

/// Somebody who waits for a lease of another.
pub(super) struct Waiter {
    pub(super) alarm: Arc<Alarm>,
    /// By the clock; from then on it waits no longer.
    pub(super) until: Duration,
    place: Arc<Place>,
    call: CallId,
    generation: u64,
    stopped: AtomicBool,
    /// Whether it stands in the queue: if not, it is on its way to look. Changed under the lock of the books alone.
    queued: AtomicBool,
}

impl Waiter {
    pub(super) fn new(place: Arc<Place>, who: &dyn Fetcher, alarm: Arc<Alarm>, until: Duration) -> Self {
        let (call, generation) = (who.call(), who.generation());
        let (stopped, queued) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { alarm, until, place, call, generation, stopped, queued }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    fn is_queued(&self) -> bool {
        self.queued.load(SeqCst)
    }

    fn wake(&self) {
        self.queued.store(false, SeqCst);
        self.alarm.ring();
    }
}

#[derive(Default)]
pub(super) struct Books {
    closed: bool,
    leases: HashMap<u64, Out>,
    by_end: BTreeSet<(Duration, u64)>,
    keys: HashTable<Loading>,
    /// How many each plugin has.
    of_plugin: HashMap<u64, usize>,
    /// Of scopes that have leases out.
    scopes: HashMap<Owner, Scope>,
    /// All who wait, in the queue or on their way, by their calls.
    waiting: HashMap<CallId, Vec<Arc<Waiter>>>,
    over: HashMap<u64, (Owner, Over)>,
    /// The oldest first.
    over_since: VecDeque<u64>,
    /// How many invalidations of tags were noted.
    notes: u64,
}

struct Out {
    lease: Arc<Lease>,
    /// Its write is under way: it stays, whatever happens.
    writing: bool,
}

/// A key that has a lease out or somebody in its queue.
struct Loading {
    place: Arc<Place>,
    holder: Option<u64>,
    queue: VecDeque<Arc<Waiter>>,
}

#[derive(Default)]
struct Scope {
    leases: usize,
    /// The tags that were invalidated while it had leases out, each with its number among all; the oldest first.
    tags: VecDeque<(u64, Box<str>)>,
    /// The number of the last one that was forgotten.
    forgotten: u64,
}

impl Books {
    /// Gives a lease for a key that has none out. QUOTA; UNAVAILABLE.
    pub(super) fn give(
        &mut self,
        place: &Arc<Place>,
        who: &dyn Fetcher,
        until: Duration,
    ) -> Result<Arc<Lease>> {
        if self.closed {
            return Err(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        let count = self.of_plugin.entry(place.plugin).or_default();
        if *count >= MOST_LEASES {
            return Err(Error::lazy(ErrorKind::Quota, || {
                format!("the plugin has {MOST_LEASES} leases: end them by `set`, `set_absent` or `fail`")
            }));
        }
        *count += 1;
        let lease = Arc::new(Lease {
            id: next_handle(),
            step: Mutex::default(),
            place: Arc::clone(place),
            call: who.call(),
            generation: who.generation(),
            until,
            given: self.notes,
        });
        self.leases.insert(lease.id, Out { lease: Arc::clone(&lease), writing: false });
        self.by_end.insert((until, lease.id));
        self.scopes.entry(place.owner()).or_default().leases += 1;
        self.loading(place).holder = Some(lease.id);
        Ok(lease)
    }

    /// Who has the lease for a key.
    pub(super) fn holder(&self, hash: u64, at: &Address<'_>) -> Option<u64> {
        self.keys.find(hash, |loading| loading.place.is(at))?.holder
    }

    pub(super) fn lease(&self, id: u64) -> Option<Arc<Lease>> {
        self.leases.get(&id).map(|out| Arc::clone(&out.lease))
    }

    /// A lease of this scope; or why it is over; or none, if that is not known or it never was.
    pub(super) fn find(&self, scope: &DataScope<'_>, id: u64) -> Option<Result<Arc<Lease>, Over>> {
        if let Some(out) = self.leases.get(&id) {
            return out.lease.place.is_of(scope).then(|| Ok(Arc::clone(&out.lease)));
        }
        let (of, why) = self.over.get(&id)?;
        (*of == owner(scope)).then(|| Err(why.clone()))
    }

    /// Those for the keys that `hit` names.
    pub(super) fn matching(&self, hit: impl Fn(&Place) -> bool) -> Vec<Arc<Lease>> {
        let hit = self.leases.values().filter(|out| hit(&out.lease.place));
        hit.map(|out| Arc::clone(&out.lease)).collect()
    }

    /// A write with these tags begins; why it must not.
    pub(super) fn begin_write(&mut self, lease: &Lease, tags: &[Namespace<'_>]) -> Result<(), Over> {
        let Some(out) = self.leases.get_mut(&lease.id) else {
            let over = self.over.get(&lease.id);
            return Err(over.map_or(Over::Lapsed, |(_, why)| why.clone()));
        };
        if let Some(scope) = self.scopes.get(&lease.place.owner()).filter(|_| !tags.is_empty()) {
            if scope.forgotten > lease.given {
                return Err(Over::Tags);
            }
            let since = scope.tags.iter().filter(|(number, _)| *number > lease.given);
            for (_, tag) in since {
                if tags.iter().any(|own| *own.as_str() == **tag) {
                    return Err(Over::Tag(tag.clone()));
                }
            }
        }
        out.writing = true;
        Ok(())
    }

    /// The write that has begun has ended; whether it was done.
    pub(super) fn end_write(&mut self, lease: u64, done: bool) {
        if let Some(out) = self.leases.get_mut(&lease) {
            out.writing = false;
        }
        if done {
            self.end(lease, Over::Completed);
        }
    }

    /// Ends a lease, if it is not over: those who wait for it look again, the first of them or all.
    pub(super) fn end(&mut self, id: u64, why: Over) {
        let Some(Out { lease, .. }) = self.leases.remove(&id) else { return };
        self.by_end.remove(&(lease.until, id));
        let owner = lease.place.owner();
        if let Some(count) = self.of_plugin.get_mut(&owner.0) {
            *count -= 1;
            if *count == 0 {
                self.of_plugin.remove(&owner.0);
            }
        }
        if let Some(scope) = self.scopes.get_mut(&owner) {
            scope.leases -= 1;
            if scope.leases == 0 {
                self.scopes.remove(&owner);
            }
        }
        let loading = self.loading(&lease.place);
        loading.holder = None;
        if why.is_loaded() {
            loading.queue.drain(..).for_each(|waiter| waiter.wake());
        }
        self.hand_on(&lease.place);
        if self.over_since.len() == REMEMBERED
            && let Some(oldest) = self.over_since.pop_front()
        {
            self.over.remove(&oldest);
        }
        self.over.insert(id, (owner, why));
        self.over_since.push_back(id);
    }

    /// Ends what has lapsed.
    pub(super) fn sweep(&mut self, now: Duration) {
        let lapsed = self.by_end.range(..=(now, u64::MAX)).map(|(_, id)| *id);
        let lapsed: Vec<_> = lapsed.filter(|id| !self.is_writing(*id)).collect();
        for id in lapsed {
            self.end(id, Over::Lapsed);
        }
    }

    pub(super) fn end_generation(&mut self, generation: u64) {
        let its = self.leases.values().filter(|out| out.lease.generation == generation && !out.writing);
        let its: Vec<_> = its.map(|out| out.lease.id).collect();
        for id in its {
            self.end(id, Over::GenerationEnded);
        }
    }

    /// A tag of a scope is about to be invalidated.
    pub(super) fn note_tag(&mut self, of: &DataScope<'_>, tag: Namespace<'_>) {
        self.notes += 1;
        let Some(scope) = self.scopes.get_mut(&owner(of)) else { return };
        scope.tags.retain(|(_, known)| **known != *tag.as_str());
        if scope.tags.len() == MOST_NOTES
            && let Some((number, _)) = scope.tags.pop_front()
        {
            scope.forgotten = number;
        }
        scope.tags.push_back((self.notes, tag.as_str().into()));
    }

    /// Puts a waiter at the end of its key's queue, unless it is in it, and tells until when the lease lasts that it waits for;
    /// none: there is none. REENTRANT, if the wait would never end.
    pub(super) fn queue_up(&mut self, waiter: &Arc<Waiter>) -> Result<Option<Duration>> {
        let place = &waiter.place;
        let loading = self.keys.find(place.hash, |loading| same(&loading.place, place));
        let Some(holder) = loading.and_then(|loading| loading.holder) else { return Ok(None) };
        if self.closed {
            return Ok(None);
        }
        self.check_circle(waiter.call, holder)?;
        let known = self.waiting.entry(waiter.call).or_default();
        if !known.iter().any(|other| Arc::ptr_eq(other, waiter)) {
            known.push(Arc::clone(waiter));
        }
        if !waiter.is_queued() {
            waiter.queued.store(true, SeqCst);
            self.loading(place).queue.push_back(Arc::clone(waiter));
        }
        Ok(self.leases.get(&holder).map(|out| out.lease.until))
    }

    /// A waiter goes away. If it was to take the lease, the next one is.
    pub(super) fn leave(&mut self, waiter: &Arc<Waiter>) {
        if let Some(known) = self.waiting.get_mut(&waiter.call) {
            known.retain(|other| !Arc::ptr_eq(other, waiter));
            if known.is_empty() {
                self.waiting.remove(&waiter.call);
            }
        }
        let loading = self.loading(&waiter.place);
        loading.queue.retain(|other| !Arc::ptr_eq(other, waiter));
        self.hand_on(&waiter.place);
    }

    /// REENTRANT, if `holder` cannot end its lease while `call` waits for that.
    pub(super) fn check_circle(&self, call: CallId, holder: u64) -> Result<()> {
        let (mut seen, mut next) = (HashSet::new(), vec![holder]);
        while let Some(lease) = next.pop() {
            let Some(Out { lease, .. }) = self.leases.get(&lease) else { continue };
            if lease.call == call {
                return Err(Error::new(
                    ErrorKind::Reentrant,
                    "it is this very call that is to load the item, or one that waits for an item that this call is to load: end that lease first",
                ));
            }
            if seen.insert(lease.call) {
                let waits = self.waiting.get(&lease.call).into_iter().flatten();
                let waits = waits.filter(|waiter| waiter.is_queued());
                next.extend(waits.filter_map(|waiter| {
                    let place = &waiter.place;
                    self.keys.find(place.hash, |loading| same(&loading.place, place))?.holder
                }));
            }
        }
        Ok(())
    }

    pub(super) fn stop_waits(&mut self, generation: u64) {
        for waiter in self.waiting.values().flatten().filter(|waiter| waiter.generation == generation) {
            waiter.stopped.store(true, SeqCst);
            waiter.alarm.ring();
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        for waiter in self.waiting.values().flatten() {
            waiter.alarm.ring();
        }
    }

    /// How many leases are out.
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    fn is_writing(&self, id: u64) -> bool {
        self.leases.get(&id).is_some_and(|out| out.writing)
    }

    /// What is known of a key, made if there is nothing yet.
    fn loading(&mut self, place: &Arc<Place>) -> &mut Loading {
        self.keys
            .entry(place.hash, |loading| same(&loading.place, place), |loading| loading.place.hash)
            .or_insert_with(|| Loading { place: Arc::clone(place), holder: None, queue: VecDeque::new() })
            .into_mut()
    }

    /// If nobody has the lease for a key, the first in its queue is to take it; if there is nobody either, it is forgotten.
    fn hand_on(&mut self, place: &Arc<Place>) {
        let found = self.keys.find_entry(place.hash, |loading| same(&loading.place, place));
        let Ok(mut found) = found else { return };
        if found.get().holder.is_some() {
            return;
        }
        if let Some(first) = found.get_mut().queue.pop_front() {
            first.wake();
        }
        if found.get().queue.is_empty() {
            found.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.values().flatten().filter(|waiter| waiter.is_queued()).count()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let out = self.leases.len() + self.by_end.len() + self.of_plugin.len() + self.scopes.len();
        out + self.keys.len() + self.waiting.len() == 0
    }
}

fn same(one: &Arc<Place>, other: &Arc<Place>) -> bool {
    Arc::ptr_eq(one, other)
        || (one.owner() == other.owner() && one.key == other.key && one.namespace == other.namespace)
}
