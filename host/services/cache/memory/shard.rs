//! One shard: a table that finds items, the slots that they lie in, the queue of eviction, the wheel of deadlines, the
//! rooms, and how many bytes the shard may take. Its engine ([`super::MemoryCache`]) holds a lock around it.

use std::sync::Arc;

use hashbrown::HashTable;

use super::{
    pool::{Grant, Pool},
    rooms::{Room, Rooms, growth, no_memory, shrink},
    sieve::Sieve,
    slots::{Body, Links, Moved, NONE, Slot, Slots},
    wheel::{NOWHERE, Wheel},
};
use crate::{error::Result, services::cache::Address};

/// What an item takes beside its body's own memory: its slot, and its place in a table that is half full.
const ITEM_BYTES: usize = size_of::<Slot>() + 2 * (size_of::<Place>() + 1);

/// Under which number an item and its room are found. All bits depend on a key that nobody outside knows.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    pub(super) item: u64,
    pub(super) room: u64,
}

/// An entry of the table: enough to see most often whether it is the right one without a look at the slot.
struct Place {
    tag: u32,
    slot: u32,
}

/// What is to be written.
pub(super) struct Draft {
    pub(super) body: Body,
    pub(super) integer: bool,
    pub(super) deadline: u64,
}

/// Not done: so many bytes are missing, and others have more than their share.
pub(super) struct Short(pub(super) usize);

pub(super) struct Shard {
    table: HashTable<Place>,
    slots: Slots,
    queue: Sieve,
    wheel: Wheel,
    rooms: Rooms,
    /// Of the bodies, outside of the slots.
    heap: usize,
    grant: Grant,
}

impl Shard {
    /// What an empty one takes.
    pub(super) const BYTES: usize = size_of::<Self>() + size_of::<[u32; 512]>() + 64;

    pub(super) fn new(share: usize) -> Self {
        Self {
            table: HashTable::new(),
            slots: Slots::default(),
            queue: Sieve::new(),
            wheel: Wheel::new(),
            rooms: Rooms::default(),
            heap: 0,
            grant: Grant::new(share),
        }
    }

    /// All that it takes, but [`Self::BYTES`].
    pub(super) fn used(&self) -> usize {
        self.slots.bytes() + self.table.allocation_size() + self.rooms.bytes() + self.heap
    }

    #[inline]
    pub(super) fn find(&self, hash: Hash, at: &Address<'_>) -> Option<u32> {
        let tag = tag(hash);
        let found = self.table.find(spread(tag), |place| {
            place.tag == tag && {
                let slot = &self.slots[place.slot];
                slot.body.key() == at.key.as_str().as_bytes()
                    && slot.room.as_ref().is_some_and(|room| room.is(at))
            }
        });
        found.map(|place| place.slot)
    }

    /// As `find`, but what has expired is gone.
    pub(super) fn find_live(&mut self, hash: Hash, at: &Address<'_>, now: u64) -> Option<u32> {
        let found = self.find(hash, at)?;
        if self.slots[found].deadline <= now {
            self.remove(found);
            return None;
        }
        Some(found)
    }

    #[inline]
    pub(super) fn slot(&self, at: u32) -> &Slot {
        &self.slots[at]
    }

    /// Somebody used it.
    #[inline]
    pub(super) fn visit(&mut self, at: u32) {
        // A write only where it tells something new keeps the line clean.
        if !self.slots[at].visited {
            self.slots[at].visited = true;
        }
    }

    pub(super) fn set_deadline(&mut self, at: u32, deadline: u64) {
        let before = std::mem::replace(&mut self.slots[at].deadline, deadline);
        self.wheel.changed(&mut self.slots, at, before);
    }

    /// Writes an item, with room made for it: what has expired goes first, then what is due to go, unless this shard
    /// has less than its share and not `all_own` of it may go. Where it fails or is short nothing was written, but
    /// something may have gone.
    pub(super) fn put(
        &mut self,
        pool: &Pool,
        now: u64,
        hash: Hash,
        at: &Address<'_>,
        draft: Draft,
        all_own: bool,
    ) -> Result<Result<(), Short>> {
        loop {
            let found = self.find(hash, at);
            let need = self.need(found, hash, at, &draft.body);
            let Err(lack) = self.grant.cover(pool, self.used(), need) else {
                return self.write(found, hash, at, draft).map(Ok);
            };
            if self.reclaim(now, 1024, 16) > 0 {
                continue;
            }
            if !(all_own || self.grant.is_fair()) || !self.evict() {
                return Ok(Err(Short(lack)));
            }
        }
    }

    /// How many bytes more it takes.
    fn need(&self, found: Option<u32>, hash: Hash, at: &Address<'_>, body: &Body) -> usize {
        match found {
            Some(found) => body.heap().saturating_sub(self.slots[found].body.heap()),
            None => {
                body.heap() + self.slots.growth() + growth(&self.table) + self.rooms.growth(hash.room, at)
            }
        }
    }

    fn write(&mut self, found: Option<u32>, hash: Hash, at: &Address<'_>, draft: Draft) -> Result<()> {
        let heap = draft.body.heap();
        if let Some(found) = found {
            let slot = &mut self.slots[found];
            let before = std::mem::replace(&mut slot.body, draft.body).heap();
            slot.integer = draft.integer;
            slot.visited = true;
            if let Some(room) = &slot.room {
                room.resize(before, heap);
            }
            self.heap = self.heap + heap - before;
            self.set_deadline(found, draft.deadline);
            return Ok(());
        }
        // All that can fail comes first.
        self.slots.try_reserve().map_err(|_| no_memory())?;
        self.table.try_reserve(1, |place| spread(place.tag)).map_err(|_| no_memory())?;
        let room = self.rooms.open(hash.room, at)?;
        room.enter(ITEM_BYTES + heap);
        let tag = tag(hash);
        let slot = self.slots.add(Slot {
            room: Some(room),
            deadline: draft.deadline,
            tag,
            queue: Links::LOOSE,
            timer: Links::LOOSE,
            bucket: NOWHERE,
            visited: false,
            integer: draft.integer,
            body: draft.body,
        });
        self.heap += heap;
        self.table.insert_unique(spread(tag), Place { tag, slot }, |place| spread(place.tag));
        self.queue.add(&mut self.slots, slot);
        self.wheel.add(&mut self.slots, slot);
        Ok(())
    }

    /// Puts another integer in the place of one.
    pub(super) fn set_integer(&mut self, at: u32, value: i64) {
        self.visit(at);
        self.slots[at].body.set_integer(value);
    }

    /// Takes an item out; gives the one that lies elsewhere now.
    pub(super) fn remove(&mut self, at: u32) -> Option<Moved> {
        self.queue.remove(&mut self.slots, at);
        self.wheel.remove(&mut self.slots, at);
        let slot = &mut self.slots[at];
        let heap = slot.body.heap();
        let (room, tag) = (slot.room.take(), slot.tag);
        if let Ok(place) = self.table.find_entry(spread(tag), |place| place.slot == at) {
            place.remove();
        }
        shrink(&mut self.table, |place| spread(place.tag));
        self.heap -= heap;
        if let Some(room) = room {
            self.rooms.leave(&room, ITEM_BYTES + heap);
        }
        let moved = self.slots.remove(at)?;
        let Moved { from, to } = moved;
        let tag = self.slots[to].tag;
        if let Some(place) = self.table.find_mut(spread(tag), |place| place.slot == from) {
            place.slot = to;
        }
        self.queue.moved(&mut self.slots, from, to);
        self.wheel.moved(&mut self.slots, to);
        Some(moved)
    }

    /// Takes out up to `enough` items that have expired, and looks at `most` items for it; tells how many went.
    pub(super) fn reclaim(&mut self, now: u64, most: usize, enough: usize) -> usize {
        let (mut looked, mut gone) = (0, 0);
        while looked < most
            && gone < enough
            && let Some(bucket) = self.wheel.due(now)
        {
            let mut at = self.wheel.first(bucket);
            while at != NONE && looked < most && gone < enough {
                looked += 1;
                let mut next = self.slots[at].timer.after;
                if self.slots[at].deadline <= now {
                    if let Some(moved) = self.remove(at)
                        && moved.from == next
                    {
                        next = moved.to;
                    }
                    gone += 1;
                } else {
                    self.wheel.again(&mut self.slots, at);
                }
                at = next;
            }
            if at == NONE && self.wheel.first(bucket) != NONE {
                // Later in this very millisecond.
                break;
            }
        }
        gone
    }

    fn evict(&mut self) -> bool {
        let Some(victim) = self.queue.victim(&mut self.slots) else { return false };
        self.remove(victim);
        true
    }

    /// Lets go of up to `wanted` bytes for another shard, and evicts for it, down to its share, or to nothing.
    pub(super) fn yield_up(&mut self, wanted: usize, now: u64, to_nothing: bool) -> usize {
        loop {
            let given = self.grant.spare(self.used(), wanted, to_nothing);
            let enough = given == self.grant.spare(0, wanted, to_nothing);
            if enough || !(self.reclaim(now, 1024, 16) > 0 || self.evict()) {
                self.grant.shrink(given);
                return given;
            }
        }
    }

    /// What was taken from other shards.
    pub(super) fn endow(&mut self, bytes: usize) {
        self.grant.grow(bytes);
    }

    /// Gives what it does not need back to all.
    pub(super) fn give_back(&mut self, pool: &Pool) {
        self.grant.give_back(pool, self.used());
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.rooms.iter()
    }

    /// Takes out all items of a plugin; tells how many.
    #[cfg(test)]
    pub(super) fn remove_plugin(&mut self, id: &str) -> u64 {
        let mut gone = 0;
        // From the end on: what moves into a slot that was looked at, was looked at before.
        for at in (0..self.slots.len()).rev() {
            let of_it =
                at < self.slots.len() && self.slots[at].room.as_ref().is_some_and(|room| **room.id() == *id);
            if of_it {
                self.remove(at);
                gone += 1;
            }
        }
        gone
    }

    /// Looks whether all parts agree.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let live: Vec<u32> = (0..self.slots.len()).filter(|at| self.slots[*at].room.is_some()).collect();
        assert!(self.slots.len() as usize - live.len() <= 1, "there is one hole at most");
        assert_eq!(live.len(), self.table.len());
        let in_rooms: u64 = self.rooms.iter().map(|room| room.items()).sum();
        assert_eq!(in_rooms, live.len() as u64);
        assert_eq!(self.heap, live.iter().map(|at| self.slots[*at].body.heap()).sum::<usize>());
        self.queue.check(&self.slots, live.len());
        for at in &live {
            let slot = &self.slots[*at];
            assert!(self.table.find(spread(slot.tag), |place| place.slot == *at).is_some());
        }
        let hanging = live.iter().filter(|at| self.slots[**at].bucket != NOWHERE).count();
        assert_eq!(self.wheel.count(&self.slots), hanging);
        let expiring = live.iter().filter(|at| self.slots[**at].deadline != super::ENDLESS);
        for at in expiring {
            assert_ne!(self.slots[*at].bucket, NOWHERE, "what expires is found some day");
        }
    }

    #[cfg(test)]
    pub(super) fn granted(&self) -> usize {
        self.grant.bytes()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

fn tag(hash: Hash) -> u32 {
    hash.item as u32
}

/// What the table takes as a hash: it looks at the lowest bits and at the highest seven.
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}
