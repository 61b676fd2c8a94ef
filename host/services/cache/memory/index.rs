//! Finds the slots of a shard by hash: open addressing over one array of 8 bytes an entry, so that a look-up reads one
//! cache line where a table with its control bytes apart reads two.
//!
//! Entries are probed one after the other, and what is removed leaves no mark behind: those after it move up.

use std::collections::TryReserveError;

use super::body::allocated;

const SMALLEST: usize = 16;

#[derive(Default)]
pub(super) struct Index {
    /// 0 is empty; else 32 bits of the hash, by whose lowest an entry has its place, and the slot and 1. As many as a
    /// power of two, or none.
    entries: Vec<u64>,
    len: usize,
}

fn entry(tag: u32, slot: u32) -> u64 {
    u64::from(tag) << 32 | (u64::from(slot) + 1)
}

fn tag_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn slot_of(entry: u64) -> u32 {
    entry as u32 - 1
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        bytes(self.entries.len())
    }

    /// What it takes more, while it grows, if one is added.
    pub(super) fn growth(&self) -> usize {
        if self.has_room() { 0 } else { bytes(self.next_size()) }
    }

    fn has_room(&self) -> bool {
        self.len * 10 < self.entries.len() * 7
    }

    fn next_size(&self) -> usize {
        (self.entries.len() * 2).max(SMALLEST)
    }

    /// Makes sure that the next [`Self::add`] finds memory.
    pub(super) fn try_reserve(&mut self) -> Result<(), TryReserveError> {
        if self.has_room() { Ok(()) } else { self.resize(self.next_size()) }
    }

    /// The slot for which `is` holds among those of this tag.
    #[inline]
    pub(super) fn find(&self, tag: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = tag as usize & mask;
        loop {
            let entry = *self.entries.get(place)?;
            if entry == 0 {
                return None;
            }
            if tag_of(entry) == tag && is(slot_of(entry)) {
                return Some(slot_of(entry));
            }
            place = (place + 1) & mask;
        }
    }

    /// After [`Self::try_reserve`].
    pub(super) fn add(&mut self, tag: u32, slot: u32) {
        put(&mut self.entries, entry(tag, slot));
        self.len += 1;
    }

    pub(super) fn remove(&mut self, tag: u32, slot: u32) {
        let Some(mut hole) = self.place(tag, slot) else { return };
        let mask = self.entries.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry == 0 {
                break;
            }
            // It may move into the hole unless it would lie before its own place then.
            let from_home = place.wrapping_sub(tag_of(entry) as usize) & mask;
            if from_home >= place.wrapping_sub(hole) & mask {
                self.entries[hole] = entry;
                hole = place;
            }
        }
        self.entries[hole] = 0;
        self.len -= 1;
        self.shrink();
    }

    /// What lay in slot `from` lies in `to` now.
    pub(super) fn moved(&mut self, tag: u32, from: u32, to: u32) {
        if let Some(place) = self.place(tag, from) {
            self.entries[place] = entry(tag, to);
        }
    }

    fn place(&self, tag: u32, slot: u32) -> Option<usize> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = tag as usize & mask;
        loop {
            match *self.entries.get(place)? {
                0 => return None,
                found if found == entry(tag, slot) => return Some(place),
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Gives memory back that was for many more.
    fn shrink(&mut self) {
        let size = self.entries.len();
        if self.len == 0 {
            self.entries = Vec::new();
        } else if size > 4 * SMALLEST && self.len < size / 8 {
            // Without memory for a smaller one it stays as it is.
            drop(self.resize(size / 4));
        }
    }

    fn resize(&mut self, size: usize) -> Result<(), TryReserveError> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(size)?;
        entries.extend(std::iter::repeat_n(0, size));
        for entry in self.entries.iter().filter(|entry| **entry != 0) {
            put(&mut entries, *entry);
        }
        self.entries = entries;
        Ok(())
    }
}

fn put(entries: &mut [u64], entry: u64) {
    let mask = entries.len() - 1;
    let mut place = tag_of(entry) as usize & mask;
    while entries[place] != 0 {
        place = (place + 1) & mask;
    }
    entries[place] = entry;
}

fn bytes(entries: usize) -> usize {
    if entries == 0 { 0 } else { allocated(entries * size_of::<u64>()) }
}
