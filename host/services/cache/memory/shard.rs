//! One shard: the index that finds items, the slots that they lie in, the queues of eviction, the wheel of deadlines, the
//! rooms and tags, and how many bytes the shard may take. Its engine ([`super::MemoryCache`]) holds a lock around it.

use std::sync::Arc;

use super::{
    body::{Body, same},
    index::Index,
    pool::{Grant, Pool},
    rooms::Rooms,
    shares::{Owner, Shares},
    sieve::Ghost,
    slab::Slab,
    slots::{Cold, Extras, Hot, Kind, Links, Moved, NONE, Slots},
    tags::{Bearer, Tags, Wanted},
    wheel::{NOWHERE, Wheel},
};
use crate::{
    error::Result,
    services::cache::{Address, Age},
};

/// What an item takes beside memory of its own: its slot, its place in an index that is half full and in the list of its
/// room.
const ITEM_BYTES: usize = size_of::<Hot>() + size_of::<Cold>() + 2 * size_of::<u32>() + 2 * size_of::<u32>();

/// What it takes to bear a tag, beside the item's own list of them.
const BEARER_BYTES: usize = 2 * size_of::<Bearer>();

/// How many of a plugin's items are looked at for one that can go without the plugin falling below its share.
const MOST_TOO_LARGE: usize = 8;

/// Under which numbers an item and its room are found. All bits depend on a key that nobody outside knows.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    pub(super) item: u64,
    pub(super) room: u64,
}

/// What is to be written.
pub(super) struct Draft<'a> {
    pub(super) body: Body,
    pub(super) kind: Kind,
    /// None: the next one.
    pub(super) version: Option<u64>,
    pub(super) deadline: u64,
    /// None: those of the item that is there.
    pub(super) extras: Option<NewExtras<'a>>,
}

#[derive(Clone, Copy)]
pub(super) struct NewExtras<'a> {
    pub(super) stale: u64,
    pub(super) error: u64,
    pub(super) tags: Wanted<'a>,
}

impl NewExtras<'_> {
    pub(super) const NONE: Self = Self { stale: 0, error: 0, tags: Wanted { names: &[], hashes: &[] } };

    fn are_none(&self) -> bool {
        self.stale == 0 && self.error == 0 && self.tags.names.is_empty()
    }

    /// As [`Shard::extras_heap`] counts it.
    fn heap(&self) -> usize {
        if self.are_none() { 0 } else { Extras::heap(self.tags.names.len()) }
    }
}

/// Not done: so many bytes are missing.
pub(super) struct Short(pub(super) usize);

/// How many items a sweep looked at.
struct Swept {
    looked: usize,
    gone: usize,
    /// They hang where they hung.
    waiting: usize,
}

/// Whose items go when room is needed: those of the plugin that has most above what it can rely on.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    pub(super) pool: &'a Pool,
    pub(super) shares: &'a Shares,
    /// For whom room is needed.
    pub(super) writer: u64,
    pub(super) reach: Reach,
}

/// How far the search for room goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not below what is fair for the shard.
    Fair,
    /// Whatever a shard has.
    Everything,
    /// Where no plugin has more than it can rely on, also the writer's own items, however few it has.
    Own,
    /// Where it has none: of plugins that are too many to be all loaded, as if the writer were one more of them.
    Last,
}

/// In this order, so that what a hit reads of it lies together.
#[repr(C)]
pub(super) struct Shard {
    index: Index,
    pub(super) slots: Slots,
    pub(super) rooms: Rooms,
    last_version: u64,
    wheel: Wheel,
    pub(super) tags: Tags,
    owners: Vec<Owner>,
    ghost: Ghost,
    /// Of bodies and extras.
    heap: usize,
    grant: Grant,
    /// Something came, went or changed its size since the accounts and the pool were told.
    dirty: bool,
}

impl Shard {
    /// What an empty one takes.
    pub(super) const BYTES: usize = size_of::<Self>() + Wheel::BYTES;

    pub(super) fn new(share: usize, slab: Arc<dyn Slab>) -> Self {
        Self {
            index: Index::new(Arc::clone(&slab)),
            slots: Slots::new(slab),
            rooms: Rooms::default(),
            last_version: 0,
            wheel: Wheel::new(),
            tags: Tags::default(),
            owners: Vec::new(),
            ghost: Ghost::default(),
            heap: 0,
            grant: Grant::new(share),
            dirty: false,
        }
    }

    /// All that it takes, but [`Self::BYTES`].
    pub(super) fn used(&self) -> usize {
        self.slots.bytes()
            + self.index.bytes()
            + self.rooms.bytes()
            + self.tags.bytes()
            + self.owners.capacity() * size_of::<Owner>()
            + self.ghost.bytes()
            + self.heap
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, at: &Address<'_>) -> Option<u32> {
        let (key, space) = (at.key.as_str().as_bytes(), at.space());
        self.index.find(tag(hash), |slot| {
            let hot = self.slots.hot(slot);
            same(hot.body.key(), key) && self.rooms.get(hot.room).is_some_and(|room| room.is(&space))
        })
    }

    /// Whether an item is there for every function.
    pub(super) fn is_there(&self, at: u32, now: u64) -> bool {
        self.slots.hot(at).kind != Kind::Absent
            && matches!(self.slots.age(at, now), Some(Age::Fresh | Age::Stale))
    }

    /// Somebody used it.
    #[inline]
    pub(super) fn visit(&mut self, at: u32) {
        self.slots.visit(at);
    }

    #[inline]
    fn next_version(&mut self) -> u64 {
        self.last_version += 1;
        self.last_version
    }

    /// Whether something may have to go at `now`.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.wheel.is_due(now)
    }

    /// Writes into the memory that an item has, if that is all there is to do; gives the version.
    #[inline]
    pub(super) fn overwrite(
        &mut self,
        hash: u64,
        at: &Address<'_>,
        value: &[u8],
        kind: Kind,
        deadline: impl FnOnce() -> u64,
    ) -> Option<u64> {
        let found = self.find(hash, at)?;
        let version = self.last_version + 1;
        let hot = self.slots.hot_mut(found);
        if hot.extras || hot.kept || !hot.body.overwrite(value) {
            return None;
        }
        hot.kind = kind;
        hot.version = version;
        self.last_version = version;
        let before = std::mem::replace(&mut hot.deadline, deadline());
        self.visit(found);
        self.wheel.changed(&mut self.slots, found, before);
        Some(version)
    }

    /// Makes it fresh until another moment.
    pub(super) fn set_deadline(&mut self, at: u32, deadline: u64) {
        self.visit(at);
        let before = self.slots.due(at);
        self.slots.hot_mut(at).deadline = deadline;
        self.count_in(at);
        self.wheel.changed(&mut self.slots, at, before);
    }

    /// Puts another integer in the place of one.
    pub(super) fn set_integer(&mut self, at: u32, value: i64) {
        let version = self.next_version();
        self.visit(at);
        let hot = self.slots.hot_mut(at);
        hot.version = version;
        let fits = hot.body.overwrite(&value.to_le_bytes());
        debug_assert!(fits, "an integer is as large as another");
    }

    /// Writes an item, with room made for it; gives its version. Where it fails or is short nothing was written, but
    /// something may have gone.
    pub(super) fn put(
        &mut self,
        rule: Rule<'_>,
        now: u64,
        hash: Hash,
        at: &Address<'_>,
        draft: Draft<'_>,
    ) -> Result<Result<u64, Short>> {
        loop {
            let found = self.find(hash.item, at);
            if found.is_none() && draft.extras.is_none() {
                // It had to make room itself.
                return Ok(Err(Short(0)));
            }
            let need = self.need(found, hash, at, &draft);
            let Err(lack) = self.grant.cover(rule.pool, self.used(), need) else {
                return self.write(rule.shares, found, hash, at, draft).map(Ok);
            };
            if self.reclaim(now, 1024, 16) > 0 {
                continue;
            }
            if !(rule.reach != Reach::Fair || self.grant.is_fair()) || !self.evict(rule) {
                return Ok(Err(Short(lack)));
            }
        }
    }

    /// How many bytes more it takes.
    pub(super) fn need(&self, found: Option<u32>, hash: Hash, at: &Address<'_>, draft: &Draft<'_>) -> usize {
        let (extras, tags) = draft
            .extras
            .map_or((0, 0), |extras| (extras.heap(), self.tags.growth_for(&at.scope, extras.tags)));
        let heap = draft.body.heap() + extras;
        tags + match found {
            // The extras that it has go last.
            Some(found) => heap.saturating_sub(self.slots.hot(found).body.heap()),
            None => {
                let owners = if self.owners.len() < self.owners.capacity() {
                    0
                } else {
                    (2 * self.owners.capacity()).max(4) * size_of::<Owner>()
                };
                let room = self.rooms.growth_for(hash.room, &at.space());
                heap + owners
                    + room
                    + self.slots.growth()
                    + self.index.growth()
                    + self.ghost.growth(self.index.len() + 1)
            }
        }
    }

    fn write(
        &mut self,
        shares: &Shares,
        found: Option<u32>,
        hash: Hash,
        at: &Address<'_>,
        draft: Draft<'_>,
    ) -> Result<u64> {
        self.dirty = true;
        match found {
            Some(found) => self.replace(found, at, draft),
            None => self.add(shares, hash, at, draft),
        }
    }

    fn replace(&mut self, found: u32, at: &Address<'_>, draft: Draft<'_>) -> Result<u64> {
        let opened = match &draft.extras {
            Some(extras) if !extras.tags.names.is_empty() => Some(self.tags.open(&at.scope, extras.tags)?),
            _ => None,
        };
        let version = draft.version.unwrap_or_else(|| self.next_version());
        let due = self.slots.due(found);
        self.count_in(found);
        let (heap, bytes) = (self.heap_of(found), self.bytes_of(found));
        let (mut came, mut went) = (0, 0);
        if let Some(new) = draft.extras {
            let numbers = opened.map_or(Vec::new(), |(numbers, cost)| {
                came += cost;
                numbers
            });
            // First all come, then all go: a tag that the item bears before and after stays.
            let extras = self.extras(new, &numbers, found);
            self.slots.hot_mut(found).extras = extras.is_some();
            let old = std::mem::replace(&mut self.slots.cold_mut(found).extras, extras);
            if let Some(old) = old {
                went += self.tags.leave(&mut self.slots, &old.tags);
            }
        }
        let hot = self.slots.hot_mut(found);
        hot.body = draft.body;
        hot.kind = draft.kind;
        hot.version = version;
        hot.deadline = draft.deadline;
        self.visit(found);
        self.heap = self.heap + self.heap_of(found) - heap;
        let bytes_now = self.bytes_of(found);
        if let Some(owner) = self.owner(found) {
            owner.count.bytes = owner.count.bytes + bytes_now + came - bytes - went;
        }
        self.wheel.changed(&mut self.slots, found, due);
        Ok(version)
    }

    fn add(&mut self, shares: &Shares, hash: Hash, at: &Address<'_>, draft: Draft<'_>) -> Result<u64> {
        let new = draft.extras.unwrap_or(NewExtras::NONE);
        // All that can fail comes first.
        self.slots.try_reserve()?;
        self.index.try_reserve(|slot| self.slots.cold(slot).tag)?;
        let owner = match self.owners.iter().position(|owner| owner.plugin() == at.scope.plugin) {
            Some(owner) => owner,
            None => {
                self.owners.push(Owner::new(shares, &at.scope));
                self.owners.len() - 1
            }
        };
        let room = self.rooms.open(hash.room, &at.space(), owner as u32)?;
        let (numbers, cost) = self.tags.open(&at.scope, new.tags).inspect_err(|_| {
            self.rooms.close_if_empty(room);
        })?;
        let version = draft.version.unwrap_or_else(|| self.next_version());
        let hot = Hot {
            version,
            deadline: draft.deadline,
            room,
            kind: draft.kind,
            kept: false,
            extras: false,
            body: draft.body,
        };
        let tag = tag(hash.item);
        self.ghost.fit(self.index.len() + 1);
        let cold =
            Cold { queue: Links::LOOSE, timer: Links::LOOSE, place: 0, tag, bucket: NOWHERE, extras: None };
        let slot = self.slots.add(hot, cold);
        self.index.add(tag, slot);
        if self.ghost.knows(tag) {
            self.visit(slot);
        }
        let place = self.rooms.change(room, |room| room.members.join(slot)).unwrap_or_default();
        self.slots.cold_mut(slot).place = place;
        let extras = self.extras(new, &numbers, slot);
        self.slots.hot_mut(slot).extras = extras.is_some();
        self.slots.cold_mut(slot).extras = extras;
        self.owners[owner].queue.add(&mut self.slots, slot);
        self.wheel.add(&mut self.slots, slot);
        self.heap += self.heap_of(slot);
        let room_cost = if place == 0 { self.room_cost(slot) } else { 0 };
        let count = &mut self.owners[owner].count;
        count.items += 1;
        count.bytes += cost + room_cost + ITEM_BYTES;
        let more = self.bytes_of(slot) - ITEM_BYTES;
        self.owners[owner].count.bytes += more;
        Ok(version)
    }

    /// The extras of the item in `slot`, which bears the tags of these numbers from here on.
    fn extras(&mut self, new: NewExtras<'_>, numbers: &[u32], slot: u32) -> Option<Box<Extras>> {
        if new.are_none() {
            return None;
        }
        let tags = self.tags.join(numbers, slot);
        Some(Box::new(Extras { stale: new.stale, error: new.error, tags }))
    }

    /// Takes an item out; gives the one that lies elsewhere now.
    pub(super) fn remove(&mut self, at: u32) -> Option<Moved> {
        self.dirty = true;
        let mut went = self.bytes_of(at);
        let (room, kept) = (self.slots.hot(at).room, self.slots.hot(at).kept);
        self.heap -= self.heap_of(at);
        self.wheel.remove(&mut self.slots, at);
        let owner = self.rooms.get(room).map_or(0, |room| room.owner) as usize;
        let Owner { queue, count, .. } = &mut self.owners[owner];
        queue.remove(&mut self.slots, at);
        if kept {
            count.kept -= went;
        } else {
            count.items -= 1;
        }
        let cold = self.slots.cold_mut(at);
        let (tag, place, extras) = (cold.tag, cold.place, cold.extras.take());
        self.index.remove(tag, at, |slot| self.slots.cold(slot).tag);
        if let Some(extras) = extras {
            went += self.tags.leave(&mut self.slots, &extras.tags);
        }
        let other = self.rooms.change(room, |room| room.members.leave(place)).flatten();
        if let Some(other) = other {
            self.slots.cold_mut(other).place = place;
        }
        went += self.rooms.close_if_empty(room).unwrap_or(0);
        self.owners[owner].count.bytes -= went;
        let moved = self.slots.remove(at)?;
        self.moved(moved);
        Some(moved)
    }

    fn moved(&mut self, Moved { from, to }: Moved) {
        let room = self.slots.hot(to).room;
        let cold = self.slots.cold(to);
        self.index.moved(cold.tag, from, to);
        if let Some(extras) = &cold.extras {
            self.tags.moved(&extras.tags, to);
        }
        let place = cold.place;
        if let Some(room) = self.rooms.get_mut(room) {
            room.members.replace(place, to);
            self.owners[room.owner as usize].queue.moved(&mut self.slots, from, to);
        }
        self.wheel.moved(&mut self.slots, to);
    }

    /// Looks at up to `most` items whose time may be over, and takes out up to `enough`; tells how many went. What is past
    /// its stale span and still kept is counted out.
    pub(super) fn reclaim(&mut self, now: u64, most: usize, enough: usize) -> usize {
        self.sweep(now, most, enough).gone
    }

    /// The same in a step of `most`; tells how large the next one is to be, if there may be more to do.
    pub(super) fn reclaim_some(&mut self, now: u64, most: usize) -> Option<usize> {
        let Swept { looked, waiting, .. } = self.sweep(now, most, most);
        // What ends later in this very millisecond lies in front of all else in its bucket again: as many would be no more
        // than the same ones.
        (looked == most).then_some(if waiting == looked { 2 * most } else { most })
    }

    fn sweep(&mut self, now: u64, most: usize, enough: usize) -> Swept {
        let (mut looked, mut gone, mut waiting) = (0, 0, 0);
        while looked < most
            && gone < enough
            && self.wheel.is_due(now)
            && let Some(bucket) = self.wheel.due(now)
        {
            let mut at = self.wheel.first(bucket);
            while at != NONE && looked < most && gone < enough {
                looked += 1;
                let mut next = self.slots.cold(at).timer.after;
                match self.slots.age(at, now) {
                    None => {
                        if let Some(moved) = self.remove(at)
                            && moved.from == next
                        {
                            next = moved.to;
                        }
                        gone += 1;
                    }
                    Some(age) => {
                        if age == Age::Kept {
                            self.count_out(at);
                        }
                        self.wheel.again(&mut self.slots, at);
                        waiting += usize::from(self.slots.cold(at).bucket == bucket);
                    }
                }
                at = next;
            }
            if at == NONE && self.wheel.first(bucket) != NONE {
                // Later in this very millisecond.
                break;
            }
        }
        Swept { looked, gone, waiting }
    }

    /// It is past its stale span.
    fn count_out(&mut self, at: u32) {
        let bytes = self.bytes_of(at);
        if !std::mem::replace(&mut self.slots.hot_mut(at).kept, true) {
            self.dirty = true;
            if let Some(owner) = self.owner(at) {
                owner.count.items -= 1;
                owner.count.kept += bytes;
            }
        }
    }

    /// It is there again.
    fn count_in(&mut self, at: u32) {
        let bytes = self.bytes_of(at);
        if std::mem::replace(&mut self.slots.hot_mut(at).kept, false) {
            self.dirty = true;
            if let Some(owner) = self.owner(at) {
                owner.count.items += 1;
                owner.count.kept -= bytes;
            }
        }
    }

    /// One item less, if one may go.
    fn evict(&mut self, rule: Rule<'_>) -> bool {
        let mut victim = self.victim_above(rule, rule.shares.floor());
        if victim.is_none() && matches!(rule.reach, Reach::Own | Reach::Last) {
            victim = self.victim_of(rule.writer);
        }
        if victim.is_none() && rule.reach == Reach::Last {
            victim = self.victim_above(rule, rule.shares.floor_with_another());
        }
        let Some(victim) = victim else { return false };
        if let Some(owner) = self.owner(victim) {
            owner.evicted();
        }
        self.ghost.remember(self.slots.cold(victim).tag);
        self.remove(victim);
        true
    }

    /// Of the plugin that has most, if that is more than it can rely on; of the next one, if it has nothing that can go.
    fn victim_above(&mut self, rule: Rule<'_>, floor: usize) -> Option<u32> {
        let mut passed = (usize::MAX, usize::MAX);
        loop {
            let with_items = self.owners.iter().enumerate().filter(|(_, owner)| owner.count.bytes > 0);
            let ranks = with_items.map(|(number, owner)| (owner.bytes(), number));
            let (bytes, richest) = ranks.filter(|rank| *rank < passed).max()?;
            if bytes <= floor {
                return None;
            }
            if self.owners[richest].plugin() == rule.writer {
                return self.owners[richest].queue.victim(&mut self.slots);
            }
            for _ in 0..MOST_TOO_LARGE {
                let victim = self.owners[richest].queue.victim(&mut self.slots)?;
                let bytes = self.going_with(victim);
                let owner = &mut self.owners[richest];
                if owner.try_take(rule.shares, bytes, floor) {
                    return Some(victim);
                }
                owner.queue.pass_over(&self.slots, victim);
            }
            passed = (bytes, richest);
        }
    }

    fn victim_of(&mut self, plugin: u64) -> Option<u32> {
        let owner = self.owners.iter_mut().find(|owner| owner.plugin() == plugin)?;
        owner.queue.victim(&mut self.slots)
    }

    /// Lets go of up to `wanted` bytes for another shard, and evicts for it, down to its share, or to nothing.
    pub(super) fn yield_up(&mut self, wanted: usize, now: u64, rule: Rule<'_>, to_nothing: bool) -> usize {
        loop {
            let given = self.grant.spare(self.used(), wanted, to_nothing);
            let enough = given == self.grant.spare(0, wanted, to_nothing);
            if enough || !(self.reclaim(now, 1024, 16) > 0 || self.evict(rule)) {
                self.grant.shrink(given);
                return given;
            }
        }
    }

    /// What was taken from other shards.
    pub(super) fn endow(&mut self, bytes: usize) {
        self.dirty |= bytes > 0;
        self.grant.grow(bytes);
    }

    /// Tells the accounts what has changed, and gives what it does not need back to all, if it is not short of more.
    pub(super) fn settle(&mut self, pool: &Pool, shares: &Shares, is_short: bool) {
        if !self.dirty {
            return;
        }
        self.dirty = is_short;
        for owner in &mut self.owners {
            owner.tell(shares);
        }
        self.ghost.shrink(self.index.len());
        if self.slots.len() == 0 {
            self.owners = Vec::new();
        }
        if !is_short {
            self.grant.give_back(pool, self.used());
        }
    }

    fn owner(&mut self, at: u32) -> Option<&mut Owner> {
        let room = self.rooms.get(self.slots.hot(at).room)?;
        self.owners.get_mut(room.owner as usize)
    }

    fn room_cost(&self, at: u32) -> usize {
        use super::roll::Named as _;
        self.rooms.get(self.slots.hot(at).room).map_or(0, |room| room.cost())
    }

    /// What an item takes outside of its slot.
    fn heap_of(&self, at: u32) -> usize {
        let hot = self.slots.hot(at);
        hot.body.heap() + if hot.extras { Extras::heap(self.slots.tags(at).len()) } else { 0 }
    }

    /// What counts for the plugin that it is of.
    fn bytes_of(&self, at: u32) -> usize {
        let hot = self.slots.hot(at);
        let tags = if hot.extras { self.slots.tags(at).len() } else { 0 };
        let extras = if hot.extras { Extras::heap(tags) + tags * BEARER_BYTES } else { 0 };
        ITEM_BYTES + extras + hot.body.heap()
    }

    /// By what the plugin's count falls if the item goes.
    fn going_with(&self, at: u32) -> usize {
        let tags = self.tags.going_with(self.slots.tags(at));
        let is_last = self.rooms.get(self.slots.hot(at).room).is_some_and(|room| room.members.len() == 1);
        self.bytes_of(at) + tags + if is_last { self.room_cost(at) } else { 0 }
    }

    /// Nothing of it is there any more.
    pub(super) fn close(&mut self, shares: &Shares) {
        for owner in &mut self.owners {
            owner.count = Default::default();
            owner.tell(shares);
        }
    }

    /// The rooms of the plugin with this id.
    pub(super) fn rooms_of(&self, id: &str) -> Vec<u32> {
        let own = |owner: u32| self.owners[owner as usize].id() == id;
        self.rooms.iter().filter(|(_, room)| own(room.owner)).map(|(number, _)| number).collect()
    }
}

#[inline]
pub(super) fn tag(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
impl Shard {
    /// Looks whether all parts agree.
    pub(super) fn check(&self) {
        let live: Vec<u32> = (0..self.slots.len()).filter(|at| self.slots.hot(*at).room != NONE).collect();
        assert!(self.slots.len() as usize - live.len() <= 1, "there is one hole at most");
        assert_eq!(live.len(), self.index.len());
        assert_eq!(self.heap, live.iter().map(|at| self.heap_of(*at)).sum::<usize>());
        let members: usize = self.rooms.iter().map(|(_, room)| room.members.len()).sum();
        assert_eq!(members, live.len());
        let borne: usize = self.tags.iter().map(|(_, tag)| tag.bearers().len()).sum();
        let mut bears = 0;
        let mut queued = vec![0; self.owners.len()];
        for at in &live {
            let (hot, cold) = (self.slots.hot(*at), self.slots.cold(*at));
            assert_eq!(self.index.find(cold.tag, |slot| slot == *at), Some(*at));
            let room = self.rooms.get(hot.room).expect("its room is there");
            assert_eq!(room.members.get(cold.place), Some(*at));
            queued[room.owner as usize] += 1;
            assert_eq!(hot.extras, cold.extras.is_some());
            for held in cold.extras.iter().flat_map(|extras| &extras.tags) {
                let tag = self.tags.get(held.tag).expect("its tag is there");
                assert_eq!(tag.bearers().get(held.place).map(|bearer| bearer.slot), Some(*at));
                bears += 1;
            }
            assert!(hot.deadline == super::ENDLESS || cold.bucket != NOWHERE, "it is found some day");
        }
        assert_eq!(borne, bears);
        let hanging = live.iter().filter(|at| self.slots.cold(**at).bucket != NOWHERE).count();
        assert_eq!(self.wheel.count(&self.slots), hanging);
        for (number, owner) in self.owners.iter().enumerate() {
            owner.queue.check(&self.slots, queued[number]);
            let own = live.iter().filter(|at| {
                self.rooms.get(self.slots.hot(**at).room).is_some_and(|room| room.owner as usize == number)
            });
            let (mut items, mut kept, mut bytes) = (0, 0, 0);
            for at in own {
                bytes += self.bytes_of(*at);
                if self.slots.hot(*at).kept {
                    kept += self.bytes_of(*at);
                } else {
                    items += 1;
                }
            }
            assert_eq!((owner.count.items, owner.count.kept), (items, kept));
            assert!(owner.count.bytes >= bytes);
        }
        let counted: usize = self.owners.iter().map(|owner| owner.count.bytes).sum();
        let beside: usize = self.rooms.iter().map(|(_, room)| super::roll::Named::cost(room)).sum::<usize>()
            + self.tags.iter().map(|(_, tag)| super::roll::Named::cost(tag)).sum::<usize>();
        assert_eq!(counted, beside + live.iter().map(|at| self.bytes_of(*at)).sum::<usize>());
    }

    pub(super) fn granted(&self) -> usize {
        self.grant.bytes()
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}
