//! Who goes when room is needed: SIEVE.
//!
//! One queue for each plugin, new items in front, and a hand that goes from the oldest to the newest: it spares once what was used
//! since it passed, and takes what was not. So a hit only sets a mark, where LRU would change four neighbours; what is
//! used once goes soon, where LRU would let a scan wash all else away; and no list of ghosts is kept, as S3-FIFO and
//! ARC need it, that would have to be bounded and paid for too.

use super::slots::{Links, NONE, Slots};

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
            if !slots.visited(at) {
                break;
            }
            slots.set_visited(at, false);
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
