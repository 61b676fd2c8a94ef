//! Where a shard keeps its items: slots of two cache lines, found by number.
//!
//! Slots lie in chunks, so that nothing is copied when there are more of them, and close together, so that no memory
//! is held by items that are gone: when one goes, the last one moves into its place. One hole is left standing, for
//! most often an item goes because another needs its room.

use std::{
    collections::TryReserveError,
    ops::{Index, IndexMut},
    sync::Arc,
};

use super::rooms::Room;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// The deadline of what does not expire.
pub(super) const ENDLESS: u64 = u64::MAX;

/// How many bytes of key and value a slot has room for.
const INLINE: usize = 85;

/// From how many bytes of key and value on a reader holds them instead of the shard's lock.
const SHARED_FROM: usize = 4096;

const CHUNK: usize = 64;

/// What a chunk takes: its slots, its allocation, and its place in the list of chunks, which grows by doubling.
pub(super) const CHUNK_BYTES: usize =
    CHUNK * size_of::<Slot>() + 2 * size_of::<Slot>() + 2 * size_of::<Vec<Slot>>();

/// An item, or the hole.
#[repr(align(64))]
pub(super) struct Slot {
    /// None: the hole.
    pub(super) room: Option<Arc<Room>>,
    /// Nanoseconds of monotonic time.
    pub(super) deadline: u64,
    /// The half of its hash by which the table finds it.
    pub(super) tag: u32,
    /// Between its neighbours in the queue of eviction.
    pub(super) queue: Links,
    /// Between its neighbours in its bucket of the wheel.
    pub(super) timer: Links,
    /// Of the wheel.
    pub(super) bucket: u16,
    /// Read or written since the hand passed.
    pub(super) visited: bool,
    /// The value is 8 bytes of an integer.
    pub(super) integer: bool,
    pub(super) body: Body,
}

const _: () = assert!(size_of::<Slot>() == 128);

#[derive(Clone, Copy)]
pub(super) struct Links {
    pub(super) before: u32,
    pub(super) after: u32,
}

impl Links {
    pub(super) const LOOSE: Self = Self { before: NONE, after: NONE };
}

/// A key and its value, one after the other.
pub(super) enum Body {
    Inline {
        key: u8,
        len: u8,
        bytes: [u8; INLINE],
    },
    Boxed {
        key: u16,
        bytes: Box<[u8]>,
    },
    /// So large that copying it out would hold up the shard.
    Shared {
        key: u16,
        bytes: Arc<Vec<u8>>,
    },
}

impl Body {
    /// `key` has at most 512 bytes.
    pub(super) fn new(key: &str, value: &[u8]) -> Result<Self, TryReserveError> {
        let (key, key_len) = (key.as_bytes(), key.len() as u16);
        let len = key.len() + value.len();
        if len <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..key.len()].copy_from_slice(key);
            bytes[key.len()..len].copy_from_slice(value);
            return Ok(Self::Inline { key: key_len as u8, len: len as u8, bytes });
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len)?;
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Ok(if len < SHARED_FROM {
            Self::Boxed { key: key_len, bytes: bytes.into_boxed_slice() }
        } else {
            Self::Shared { key: key_len, bytes: Arc::new(bytes) }
        })
    }

    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Inline { key, bytes, .. } => &bytes[..usize::from(*key)],
            Self::Boxed { key, bytes } => &bytes[..usize::from(*key)],
            Self::Shared { key, bytes } => &bytes[..usize::from(*key)],
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        match self {
            Self::Inline { key, len, bytes } => &bytes[usize::from(*key)..usize::from(*len)],
            Self::Boxed { key, bytes } => &bytes[usize::from(*key)..],
            Self::Shared { key, bytes } => &bytes[usize::from(*key)..],
        }
    }

    /// The value of an integer.
    pub(super) fn integer(&self) -> i64 {
        i64::from_le_bytes(self.value().try_into().expect("an integer was stored as its 8 bytes"))
    }

    /// Writes another integer in its place.
    pub(super) fn set_integer(&mut self, value: i64) {
        let value = value.to_le_bytes();
        match self {
            Self::Inline { key, len, bytes } => {
                bytes[usize::from(*key)..usize::from(*len)].copy_from_slice(&value);
            }
            Self::Boxed { key, bytes } => bytes[usize::from(*key)..].copy_from_slice(&value),
            Self::Shared { .. } => unreachable!("a key and an integer are never that large"),
        }
    }

    /// What it takes outside of the slot.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Boxed { bytes, .. } => allocated(bytes.len()),
            Self::Shared { bytes, .. } => allocated(bytes.capacity()) + allocated(size_of::<[usize; 5]>()),
        }
    }
}

/// What an allocator takes for `len` bytes, more or less.
pub(super) const fn allocated(len: usize) -> usize {
    (len + size_of::<usize>()).next_multiple_of(16)
}

/// A slot was given another number.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// All slots of a shard.
#[derive(Default)]
pub(super) struct Slots {
    chunks: Vec<Vec<Slot>>,
    /// The next chunk, if its memory was reserved already.
    spare: Option<Vec<Slot>>,
    hole: Option<u32>,
}

impl Slots {
    /// With the hole.
    pub(super) fn len(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        (full + self.chunks.last().map_or(0, Vec::len)) as u32
    }

    pub(super) fn bytes(&self) -> usize {
        (self.chunks.len() + usize::from(self.spare.is_some())) * CHUNK_BYTES
    }

    /// What the next [`Self::add`] takes.
    pub(super) fn growth(&self) -> usize {
        if self.hole.is_none() && self.spare.is_none() && self.is_full() { CHUNK_BYTES } else { 0 }
    }

    fn is_full(&self) -> bool {
        self.chunks.last().is_none_or(|last| last.len() == CHUNK)
    }

    /// Makes sure that the next [`Self::add`] finds memory.
    pub(super) fn try_reserve(&mut self) -> Result<(), TryReserveError> {
        if self.growth() > 0 {
            let mut chunk = Vec::new();
            chunk.try_reserve_exact(CHUNK)?;
            self.chunks.try_reserve(1)?;
            self.spare = Some(chunk);
        }
        Ok(())
    }

    /// After [`Self::try_reserve`].
    pub(super) fn add(&mut self, slot: Slot) -> u32 {
        if let Some(hole) = self.hole.take() {
            self[hole] = slot;
            return hole;
        }
        let number = self.len();
        if self.is_full() {
            self.chunks.extend(self.spare.take());
        }
        self.chunks.last_mut().expect("room was reserved").push(slot);
        number
    }

    /// Takes an item out. Whoever knows the one that moved by its number must learn the new one.
    pub(super) fn remove(&mut self, at: u32) -> Option<Moved> {
        let last = self.len() - 1;
        let moved = match self.hole {
            None => {
                self[at].room = None;
                self[at].body = Body::Inline { key: 0, len: 0, bytes: [0; INLINE] };
                self.hole = Some(at);
                None
            }
            Some(_) if at == last => {
                self.pop();
                None
            }
            Some(hole) => {
                let end = self.pop();
                self[at] = end;
                // The hole itself was the last one: it goes, and this is the hole now.
                if hole == last {
                    self.hole = Some(at);
                    None
                } else {
                    Some(Moved { from: last, to: at })
                }
            }
        };
        if self.len() == 1 && self.hole.is_some() {
            *self = Self::default();
        }
        moved
    }

    fn pop(&mut self) -> Slot {
        let chunk = self.chunks.last_mut().expect("it was counted");
        let slot = chunk.pop().expect("a chunk that is empty is not kept");
        if chunk.is_empty() {
            self.chunks.pop();
        }
        slot
    }
}

impl Index<u32> for Slots {
    type Output = Slot;

    #[inline]
    fn index(&self, at: u32) -> &Slot {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

impl IndexMut<u32> for Slots {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}
