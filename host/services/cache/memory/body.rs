//! A key and its value, one after the other: in the slot itself where they fit, else in memory of their own.

use std::{collections::TryReserveError, sync::Arc};

/// How many bytes of key and value a slot has room for.
const INLINE: usize = 101;

/// From how many bytes of key and value on a reader holds them instead of the shard's lock.
const SHARED_FROM: usize = 4096;

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
    pub(super) const EMPTY: Self = Self::Inline { key: 0, len: 0, bytes: [0; INLINE] };

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

    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Inline { key, bytes, .. } => &bytes[..usize::from(*key)],
            Self::Boxed { key, bytes } => &bytes[..usize::from(*key)],
            Self::Shared { key, bytes } => &bytes[..usize::from(*key)],
        }
    }

    #[inline]
    pub(super) fn value(&self) -> &[u8] {
        match self {
            Self::Inline { key, len, bytes } => &bytes[usize::from(*key)..usize::from(*len)],
            Self::Boxed { key, bytes } => &bytes[usize::from(*key)..],
            Self::Shared { key, bytes } => &bytes[usize::from(*key)..],
        }
    }

    /// Writes another value into the memory that it has; false if that is too small, too large, or being read.
    #[inline]
    pub(super) fn overwrite(&mut self, value: &[u8]) -> bool {
        match self {
            Self::Inline { key, len, bytes } => {
                let start = usize::from(*key);
                let Some(room) = bytes[start..].get_mut(..value.len()) else { return false };
                room.copy_from_slice(value);
                *len = (start + value.len()) as u8;
                true
            }
            Self::Boxed { key, bytes } => {
                let room = &mut bytes[usize::from(*key)..];
                let fits = room.len() == value.len();
                if fits {
                    room.copy_from_slice(value);
                }
                fits
            }
            Self::Shared { .. } => false,
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

/// Whether they are equal. Most are short, and to call the C library for it would cost more than to look.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    const SHORT: usize = 64;
    if a.len() != b.len() || a.len() > SHORT {
        return a == b;
    }
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a.iter().zip(b).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b));
    words && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}
