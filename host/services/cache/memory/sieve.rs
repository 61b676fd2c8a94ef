//! Who goes when room is needed: SIEVE, with a small ghost.
//!
//! One queue for each plugin, new items in front, and a hand that goes from the oldest to the newest: it spares what was
//! used since it passed, up to three times, and takes what was not. So a hit only sets a mark, where LRU would change four
//! neighbours, and what is used once goes soon, where LRU would let a scan wash all else away.
//!
//! The ghost remembers 32 bits of the hash of what went. What comes back while it is remembered went too early: it is
//! spared once. Beside zipf's law that is worth half a point of hit rate and more, for two to four bytes an item.

use super::{
    body::allocated,
    slots::{Links, NONE, Slots},
};

/// How many the hand spares in a row before it takes the next one all the same: no write waits for a walk through
/// everything.
const LONGEST_WALK: usize = 1024;

pub(super) struct Sieve {
    newest: u32,
    oldest: u32,
    /// None: at the oldest.
    hand: u32,
}

impl Sieve {
    pub(super) fn new() -> Self {
        Self { newest: NONE, oldest: NONE, hand: NONE }
    }

    /// `before` is newer, `after` older.
    pub(super) fn add(&mut self, slots: &mut Slots, at: u32) {
        slots.cold_mut(at).queue = Links { before: NONE, after: self.newest };
        match self.newest {
            NONE => self.oldest = at,
            newest => slots.cold_mut(newest).queue.before = at,
        }
        self.newest = at;
    }

    pub(super) fn remove(&mut self, slots: &mut Slots, at: u32) {
        let Links { before, after } = slots.cold(at).queue;
        match before {
            NONE => self.newest = after,
            before => slots.cold_mut(before).queue.after = after,
        }
        match after {
            NONE => self.oldest = before,
            after => slots.cold_mut(after).queue.before = before,
        }
        if self.hand == at {
            self.hand = before;
        }
    }

    /// The item `from` lies in `to` now.
    pub(super) fn moved(&mut self, slots: &mut Slots, from: u32, to: u32) {
        let Links { before, after } = slots.cold(to).queue;
        match before {
            NONE => self.newest = to,
            before => slots.cold_mut(before).queue.after = to,
        }
        match after {
            NONE => self.oldest = to,
            after => slots.cold_mut(after).queue.before = to,
        }
        if self.hand == from {
            self.hand = to;
        }
    }

    /// The one to go next.
    pub(super) fn victim(&mut self, slots: &mut Slots) -> Option<u32> {
        let mut at = if self.hand == NONE { self.oldest } else { self.hand };
        if at == NONE {
            return None;
        }
        for _ in 0..LONGEST_WALK {
            match slots.used(at) {
                0 => break,
                used => slots.set_used(at, used - 1),
            }
            at = self.newer(slots, at);
        }
        self.hand = at;
        Some(at)
    }

    /// This one is not to go: the next one in its place.
    pub(super) fn pass_over(&mut self, slots: &Slots, at: u32) {
        self.hand = self.newer(slots, at);
    }

    /// The next of which the hand comes by.
    fn newer(&self, slots: &Slots, at: u32) -> u32 {
        match slots.cold(at).queue.before {
            NONE => self.oldest,
            newer => newer,
        }
    }

    /// Looks whether the queue has `items`, in both directions, and the hand stands at one of them.
    #[cfg(test)]
    pub(super) fn check(&self, slots: &Slots, items: usize) {
        let (mut at, mut before, mut count, mut hand) = (self.newest, NONE, 0, self.hand == NONE);
        while at != NONE {
            assert_eq!(slots.cold(at).queue.before, before);
            hand |= self.hand == at;
            count += 1;
            (before, at) = (at, slots.cold(at).queue.after);
        }
        assert_eq!((before, count, hand), (self.oldest, items, true));
    }
}

/// What has gone lately, as far as no other one has taken its place here.
#[derive(Default)]
pub(super) struct Ghost {
    /// 0 is nobody. As many as a power of two, or none.
    tags: Vec<u32>,
}

const SMALLEST_GHOST: usize = 32;

impl Ghost {
    pub(super) fn bytes(&self) -> usize {
        if self.tags.is_empty() { 0 } else { allocated(self.tags.len() * size_of::<u32>()) }
    }

    /// What it takes more, while it grows, to be large enough beside `items`.
    pub(super) fn growth(&self, items: usize) -> usize {
        if self.is_enough(items) { 0 } else { allocated(size_for(items) * size_of::<u32>()) }
    }

    fn is_enough(&self, items: usize) -> bool {
        self.tags.len() * 2 >= items
    }

    /// Whether it went lately.
    pub(super) fn knows(&self, tag: u32) -> bool {
        self.place(tag).is_some_and(|place| self.tags[place] == tag)
    }

    /// It goes.
    pub(super) fn remember(&mut self, tag: u32) {
        if let Some(place) = self.place(tag) {
            self.tags[place] = tag;
        }
    }

    /// By other bits than the lowest: by those the index has its order, and the shard its items.
    fn place(&self, tag: u32) -> Option<usize> {
        Some((tag >> 8) as usize & self.tags.len().checked_sub(1)?)
    }

    /// Grows beside so many items, without what it remembered, if memory can be had.
    pub(super) fn fit(&mut self, items: usize) {
        if self.is_enough(items) {
            return;
        }
        let size = size_for(items);
        let mut tags = Vec::new();
        if tags.try_reserve_exact(size).is_ok() {
            tags.extend(std::iter::repeat_n(0, size));
            self.tags = tags;
        }
    }

    /// Gives memory back that was for many more.
    pub(super) fn shrink(&mut self, items: usize) {
        if items == 0 || self.tags.len() > SMALLEST_GHOST && self.tags.len() / 8 > items {
            self.tags = Vec::new();
        }
    }
}

/// Between half and all of the items.
fn size_for(items: usize) -> usize {
    (items / 2 + 1).next_power_of_two().max(SMALLEST_GHOST)
}
