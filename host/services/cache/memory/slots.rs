//! Where a shard keeps its items: in slots, found by number.
//!
//! A slot has two halves that lie apart. The hot half is two cache lines, and all that a hit or an overwrite in place
//! reads or writes. The cold half has what is needed when an item comes, goes or is hung up elsewhere. How often an item was
//! used since the hand of eviction passed is two bits in a third place, so small that it stays in the processor's cache,
//! and the hand does not push hot halves out of it.
//!
//! Slots lie in pieces, so that nothing is copied when there are more of them. And they lie close together, so that no
//! memory is held by items that are gone: when one goes, the last one moves into its place. One hole is left standing,
//! for most often an item goes because another needs its room.

use std::sync::Arc;

use super::{
    body::{Body, allocated},
    no_memory,
    slab::{PIECE, Piece, Slab},
};
use crate::{
    error::Result,
    services::cache::{Age, Value},
};

/// No slot, and no room.
pub(super) const NONE: u32 = u32::MAX;

/// The deadline of what does not expire.
pub(super) const ENDLESS: u64 = u64::MAX;

/// What a reader or a write in place needs of an item, or the hole. In this order, so that all but the end of the value
/// lies on the first line.
#[repr(C, align(128))]
pub(crate) struct Hot {
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
    /// Nobody lies there.
    pub(crate) const HOLE: Self = Self {
        version: 0,
        deadline: ENDLESS,
        room: NONE,
        kind: Kind::Bytes,
        kept: false,
        extras: false,
        body: Body::EMPTY,
    };

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
#[repr(C)]
pub(super) struct Slots {
    hot: Vec<Piece>,
    /// Two bits for each slot: how often it was used since the hand passed, up to three times.
    used: Vec<u64>,
    /// As many as there are pieces, each with room for as many.
    cold: Vec<Vec<Cold>>,
    /// With the hole.
    len: u32,
    hole: Option<u32>,
    slab: Arc<dyn Slab>,
}

const MOST_USED: u64 = 3;

const USED_IN_A_WORD: usize = 32;

const WORDS: usize = PIECE / USED_IN_A_WORD;

/// The slots of a piece and their bits, the allocation of the cold halves, and its places in the lists, which grow by
/// doubling.
const PIECE_BYTES: usize = PIECE * size_of::<Hot>()
    + allocated(PIECE * size_of::<Cold>())
    + 2 * (WORDS * size_of::<u64>() + size_of::<Piece>() + size_of::<Vec<Cold>>());

/// The piece that a slot lies in, and where in it.
#[inline]
fn place(at: u32) -> (usize, usize) {
    (at as usize / PIECE, at as usize % PIECE)
}

impl Slots {
    pub(super) fn new(slab: Arc<dyn Slab>) -> Self {
        Self { hot: Vec::new(), used: Vec::new(), cold: Vec::new(), len: 0, hole: None, slab }
    }

    /// With the hole.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.hot.len() * PIECE_BYTES
    }

    /// What the next [`Self::add`] takes.
    pub(super) fn growth(&self) -> usize {
        if self.has_room() { 0 } else { PIECE_BYTES }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.hole.is_some() || place(self.len).0 < self.hot.len()
    }

    /// Makes sure that the next [`Self::add`] finds memory.
    pub(super) fn try_reserve(&mut self) -> Result<()> {
        if self.has_room() {
            return Ok(());
        }
        let mut cold = Vec::new();
        cold.try_reserve_exact(PIECE).map_err(|_| no_memory())?;
        self.used.try_reserve(WORDS).map_err(|_| no_memory())?;
        self.hot.try_reserve(1).map_err(|_| no_memory())?;
        self.cold.try_reserve(1).map_err(|_| no_memory())?;
        self.hot.push(self.slab.lend().ok_or_else(no_memory)?);
        self.used.resize(self.used.len() + WORDS, 0);
        self.cold.push(cold);
        Ok(())
    }

    /// After [`Self::try_reserve`].
    pub(super) fn add(&mut self, hot: Hot, cold: Cold) -> u32 {
        let number = match self.hole.take() {
            Some(hole) => {
                *self.cold_mut(hole) = cold;
                hole
            }
            None => {
                let number = self.len;
                self.cold[place(number).0].push(cold);
                self.len += 1;
                number
            }
        };
        *self.hot_mut(number) = hot;
        self.set_used(number, 0);
        number
    }

    /// Takes an item out. Whoever knows the one that moved by its number must learn the new one.
    pub(super) fn remove(&mut self, at: u32) -> Option<Moved> {
        let last = self.len - 1;
        let moved = match self.hole {
            None => {
                *self.hot_mut(at) = Hot::HOLE;
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
            *self = Self::new(Arc::clone(&self.slab));
        }
        moved
    }

    fn pop(&mut self) -> (Hot, Cold) {
        let last = self.len - 1;
        let hot = std::mem::replace(self.hot_mut(last), Hot::HOLE);
        let (piece, _) = place(last);
        let Some(cold) = self.cold[piece].pop() else { unreachable!("it was counted") };
        self.len = last;
        if self.cold[piece].is_empty() {
            // With one that was reserved and not needed.
            self.shrink_to(piece);
        }
        (hot, cold)
    }

    fn shrink_to(&mut self, pieces: usize) {
        self.cold.truncate(pieces);
        self.used.truncate(pieces * WORDS);
        for piece in self.hot.drain(pieces..) {
            self.slab.take_back(piece);
        }
        if self.hot.capacity() > 4 * self.hot.len() {
            self.hot.shrink_to(2 * self.hot.len());
            self.cold.shrink_to(2 * self.cold.len());
            self.used.shrink_to(2 * self.used.len());
        }
    }

    #[inline]
    pub(super) fn hot(&self, at: u32) -> &Hot {
        let (piece, place) = place(at);
        &self.hot[piece][place]
    }

    #[inline]
    pub(super) fn hot_mut(&mut self, at: u32) -> &mut Hot {
        let (piece, place) = place(at);
        &mut self.hot[piece][place]
    }

    #[inline]
    pub(super) fn cold(&self, at: u32) -> &Cold {
        let (piece, place) = place(at);
        &self.cold[piece][place]
    }

    #[inline]
    pub(super) fn cold_mut(&mut self, at: u32) -> &mut Cold {
        let (piece, place) = place(at);
        &mut self.cold[piece][place]
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

impl Drop for Slots {
    fn drop(&mut self) {
        for piece in self.hot.drain(..) {
            self.slab.take_back(piece);
        }
    }
}
