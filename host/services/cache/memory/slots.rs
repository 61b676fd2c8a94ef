//! Where a shard keeps its items: in slots, found by number.
//!
//! A slot has two halves that lie apart. The hot half is two cache lines, and all that a hit or an overwrite in place
//! reads or writes. The cold half has what is needed when an item comes, goes or is hung up elsewhere. How often an item was
//! used since the hand of eviction passed is two bits in a third place, so small that it stays in the processor's cache,
//! and the hand does not push hot halves out of it.
//!
//! Slots lie in chunks, so that nothing is copied when there are more of them: eight of one size, eight of twice that
//! size, and so on, so that few are needed and an eighth is empty at most. And they lie close together, so that no memory
//! is held by items that are gone: when one goes, the last one moves into its place. One hole is left standing, for
//! most often an item goes because another needs its room.

use std::collections::TryReserveError;

use super::body::{Body, allocated};
use crate::services::cache::{Age, Value};

/// No slot, and no room.
pub(super) const NONE: u32 = u32::MAX;

/// The deadline of what does not expire.
pub(super) const ENDLESS: u64 = u64::MAX;

/// What a reader or a write in place needs of an item, or the hole. In this order, so that all but the end of the value
/// lies on the first line.
#[repr(C, align(128))]
pub(super) struct Hot {
    pub(super) version: u64,
    /// Until when it is fresh, in nanoseconds of monotonic time.
    pub(super) deadline: u64,
    /// None: the hole.
    pub(super) room: u32,
    pub(super) kind: Kind,
    /// It is past its stale span and was counted out.
    pub(super) kept: bool,
    /// The cold half has extras.
    pub(super) extras: bool,
    pub(super) body: Body,
}

const _: () = assert!(size_of::<Hot>() == 128);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    /// The value is 8 bytes of an integer.
    Integer,
    /// The value is empty.
    Absent,
}

/// What else is known of an item.
pub(super) struct Cold {
    /// Between its neighbours in the queue of eviction.
    pub(super) queue: Links,
    /// Between its neighbours in its bucket of the wheel.
    pub(super) timer: Links,
    /// Among the members of its room.
    pub(super) place: u32,
    /// The half of its hash by which the index finds it.
    pub(super) tag: u32,
    /// Of the wheel.
    pub(super) bucket: u16,
    pub(super) extras: Option<Box<Extras>>,
}

const _: () = assert!(size_of::<Cold>() == 40);

/// What most items do not have.
#[derive(Default)]
pub(super) struct Extras {
    /// Both in nanoseconds, from the end of the lifetime on.
    pub(super) stale: u64,
    pub(super) error: u64,
    pub(super) tags: Box<[Held]>,
}

/// A tag that an item bears.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) tag: u32,
    /// Among the members of the tag.
    pub(super) place: u32,
}

impl Extras {
    /// What they take with so many tags.
    pub(super) fn heap(tags: usize) -> usize {
        allocated(size_of::<Self>()) + if tags == 0 { 0 } else { allocated(tags * size_of::<Held>()) }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Links {
    pub(super) before: u32,
    pub(super) after: u32,
}

impl Links {
    pub(super) const LOOSE: Self = Self { before: NONE, after: NONE };
}

impl Hot {
    #[inline]
    pub(super) fn value(&self) -> Value<'_> {
        match self.kind {
            Kind::Bytes => Value::Bytes(self.body.value()),
            Kind::Integer => {
                let bytes = self.body.value().try_into().expect("an integer was stored as its 8 bytes");
                Value::Integer(i64::from_le_bytes(bytes))
            }
            Kind::Absent => Value::Absent,
        }
    }
}

/// A slot was given another number.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// All slots of a shard. In this order, so that what a hit reads of it lies together.
#[derive(Default)]
#[repr(C)]
pub(super) struct Slots {
    hot: Vec<Vec<Hot>>,
    /// Two bits for each slot: how often it was used since the hand passed, up to three times.
    used: Vec<u64>,
    cold: Vec<Vec<Cold>>,
    /// With the hole.
    len: u32,
    hole: Option<u32>,
    bytes: usize,
}

const MOST_USED: u64 = 3;

const USED_IN_A_WORD: usize = 32;

/// How many slots the smallest chunks have, as a power of two.
const FIRST: u32 = 6;

/// How many chunks have the same size, as a power of two.
const ALIKE: u32 = 3;

/// The chunk that a slot lies in, and where in it.
#[inline]
fn place(at: u32) -> (usize, usize) {
    let number = at as usize + (1 << (FIRST + ALIKE));
    let size = number.ilog2() - ALIKE;
    let chunk = ((size - FIRST) << ALIKE) as usize + (number >> size) % (1 << ALIKE);
    (chunk, number % (1 << size))
}

fn chunk_len(chunk: usize) -> usize {
    1 << (FIRST as usize + (chunk >> ALIKE))
}

/// Its slots and their bits, its allocations, and its places in the lists of chunks, which grow by doubling.
const fn chunk_bytes(len: usize) -> usize {
    len * (size_of::<Hot>() + size_of::<Cold>()) + len / 4 + 2 * size_of::<Hot>() + 4 * size_of::<Vec<Hot>>()
}

impl Slots {
    /// With the hole.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the next [`Self::add`] takes.
    pub(super) fn growth(&self) -> usize {
        if self.has_room() { 0 } else { chunk_bytes(chunk_len(self.hot.len())) }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.hole.is_some() || place(self.len).0 < self.hot.len()
    }

    /// Makes sure that the next [`Self::add`] finds memory.
    pub(super) fn try_reserve(&mut self) -> Result<(), TryReserveError> {
        if self.has_room() {
            return Ok(());
        }
        let len = chunk_len(self.hot.len());
        let (mut hot, mut cold) = (Vec::new(), Vec::new());
        hot.try_reserve_exact(len)?;
        cold.try_reserve_exact(len)?;
        self.used.try_reserve(len / USED_IN_A_WORD)?;
        self.hot.try_reserve(1)?;
        self.cold.try_reserve(1)?;
        self.used.resize(self.used.len() + len / USED_IN_A_WORD, 0);
        self.hot.push(hot);
        self.cold.push(cold);
        self.bytes += chunk_bytes(len);
        Ok(())
    }

    /// After [`Self::try_reserve`].
    pub(super) fn add(&mut self, hot: Hot, cold: Cold) -> u32 {
        let number = match self.hole.take() {
            Some(hole) => {
                *self.hot_mut(hole) = hot;
                *self.cold_mut(hole) = cold;
                hole
            }
            None => {
                let number = self.len;
                let chunk = place(number).0;
                self.hot[chunk].push(hot);
                self.cold[chunk].push(cold);
                self.len += 1;
                number
            }
        };
        self.set_used(number, 0);
        number
    }

    /// Takes an item out. Whoever knows the one that moved by its number must learn the new one.
    pub(super) fn remove(&mut self, at: u32) -> Option<Moved> {
        let last = self.len - 1;
        let moved = match self.hole {
            None => {
                let hot = self.hot_mut(at);
                hot.room = NONE;
                hot.body = Body::EMPTY;
                self.cold_mut(at).extras = None;
                self.hole = Some(at);
                None
            }
            Some(_) if at == last => {
                self.pop();
                None
            }
            Some(hole) => {
                let used = self.used(last);
                let (hot, cold) = self.pop();
                *self.hot_mut(at) = hot;
                *self.cold_mut(at) = cold;
                self.set_used(at, used);
                // The hole itself was the last one: it goes, and this is the hole now.
                if hole == last {
                    self.hole = Some(at);
                    None
                } else {
                    Some(Moved { from: last, to: at })
                }
            }
        };
        if self.len == 1 && self.hole.is_some() {
            *self = Self::default();
        }
        moved
    }

    fn pop(&mut self) -> (Hot, Cold) {
        self.len -= 1;
        let (chunk, _) = place(self.len);
        let (Some(hot), Some(cold)) = (self.hot[chunk].pop(), self.cold[chunk].pop()) else {
            unreachable!("it was counted")
        };
        if self.hot[chunk].is_empty() {
            // With one that was reserved and not needed.
            while self.hot.len() > chunk {
                self.hot.pop();
                self.cold.pop();
                let len = chunk_len(self.hot.len());
                self.used.truncate(self.used.len() - len / USED_IN_A_WORD);
                self.bytes -= chunk_bytes(len);
            }
            if self.used.capacity() > 4 * self.used.len() {
                self.used.shrink_to(2 * self.used.len());
            }
        }
        (hot, cold)
    }

    #[inline]
    pub(super) fn hot(&self, at: u32) -> &Hot {
        let (chunk, place) = place(at);
        &self.hot[chunk][place]
    }

    #[inline]
    pub(super) fn hot_mut(&mut self, at: u32) -> &mut Hot {
        let (chunk, place) = place(at);
        &mut self.hot[chunk][place]
    }

    #[inline]
    pub(super) fn cold(&self, at: u32) -> &Cold {
        let (chunk, place) = place(at);
        &self.cold[chunk][place]
    }

    #[inline]
    pub(super) fn cold_mut(&mut self, at: u32) -> &mut Cold {
        let (chunk, place) = place(at);
        &mut self.cold[chunk][place]
    }

    /// How often it was used since the hand passed.
    #[inline]
    pub(super) fn used(&self, at: u32) -> u64 {
        let at = at as usize;
        self.used[at / USED_IN_A_WORD] >> (2 * (at % USED_IN_A_WORD)) & MOST_USED
    }

    #[inline]
    pub(super) fn set_used(&mut self, at: u32, used: u64) {
        let at = at as usize;
        let (word, shift) = (&mut self.used[at / USED_IN_A_WORD], 2 * (at % USED_IN_A_WORD));
        *word = *word & !(MOST_USED << shift) | used << shift;
    }

    /// Somebody used it.
    #[inline]
    pub(super) fn visit(&mut self, at: u32) {
        let at = at as usize;
        let (word, shift) = (&mut self.used[at / USED_IN_A_WORD], 2 * (at % USED_IN_A_WORD));
        // A write only where it tells something new keeps the line clean.
        if *word >> shift & MOST_USED != MOST_USED {
            *word += 1 << shift;
        }
    }

    /// The tags that it bears.
    pub(super) fn tags(&self, at: u32) -> &[Held] {
        self.cold(at).extras.as_ref().map_or(&[], |extras| &extras.tags)
    }

    /// The stale and the error span.
    pub(super) fn spans(&self, at: u32) -> (u64, u64) {
        self.cold(at).extras.as_ref().map_or((0, 0), |extras| (extras.stale, extras.error))
    }

    /// Until when it is fresh or stale.
    pub(super) fn there_until(&self, at: u32) -> u64 {
        let hot = self.hot(at);
        if hot.extras && hot.deadline != ENDLESS { hot.deadline + self.spans(at).0 } else { hot.deadline }
    }

    /// When it has to be looked at next: when it is to be counted out, or to go.
    pub(super) fn due(&self, at: u32) -> u64 {
        let hot = self.hot(at);
        if !hot.kept || hot.deadline == ENDLESS {
            return self.there_until(at);
        }
        let (stale, error) = self.spans(at);
        hot.deadline + stale.max(error)
    }

    /// How old it is at `now`; none: its time is over.
    pub(super) fn age(&self, at: u32, now: u64) -> Option<Age> {
        let hot = self.hot(at);
        if hot.deadline > now {
            return Some(Age::Fresh);
        }
        if !hot.extras {
            return None;
        }
        let (stale, error) = self.spans(at);
        match now - hot.deadline {
            over if over < stale => Some(Age::Stale),
            over if over < error => Some(Age::Kept),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_on_each_other_without_a_gap() {
        let mut next = (0, 0);
        for at in 0..3_000_000 {
            assert_eq!(place(at), next);
            next.1 += 1;
            if next.1 == chunk_len(next.0) {
                next = (next.0 + 1, 0);
            }
        }
    }
}
