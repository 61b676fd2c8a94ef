//! Finds the slots of a shard by hash: open addressing over one array of 4 bytes an entry, so that a look-up reads one
//! cache line where a table with its control bytes apart reads two, and so that many lines stay in the processor's cache.
//!
//! In an array of 2^n entries the number of a slot takes the lowest n bits of one, and the hash of its item the others.
//! The lowest n bits of the hash are where the search begins. What is removed leaves no mark behind: those after it move
//! up, and for that, as for a larger array, the whole hash is asked of the slot. A large array is cut into pages that the
//! slab lends.

use std::sync::Arc;

use super::{
    body::allocated,
    no_memory,
    slab::{ENTRIES, Entries, Slab},
};
use crate::error::Result;

const SMALLEST: usize = 16;

pub(super) struct Index {
    /// 0 is empty. As many as a power of two, or none.
    entries: Table,
    len: usize,
    slab: Arc<dyn Slab>,
}

/// Entries by place.
enum Table {
    /// Less than a page of them.
    Few(Vec<u32>),
    Pages(Vec<Entries>),
}

/// `mask`: the bits of the slot. Slots and the hole are fewer than entries, so there is a bit pattern left for "empty".
#[inline]
fn entry(mask: usize, tag: u32, slot: u32) -> u32 {
    debug_assert!((slot as usize) < mask);
    tag & !mask as u32 | (slot + 1)
}

#[inline]
fn slot_of(mask: usize, entry: u32) -> u32 {
    (entry & mask as u32) - 1
}

impl Index {
    pub(super) fn new(slab: Arc<dyn Slab>) -> Self {
        Self { entries: Table::NONE, len: 0, slab }
    }

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
    pub(super) fn try_reserve(&mut self, tag_of: impl Fn(u32) -> u32) -> Result<()> {
        if self.has_room() { Ok(()) } else { self.resize(self.next_size(), tag_of) }
    }

    /// The slot for which `is` holds among those of this tag.
    #[inline]
    pub(super) fn find(&self, tag: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = tag as usize & mask;
        loop {
            let entry = self.entries.get(place)?;
            if entry == 0 {
                return None;
            }
            if (entry ^ tag) & !mask as u32 == 0 && is(slot_of(mask, entry)) {
                return Some(slot_of(mask, entry));
            }
            place = (place + 1) & mask;
        }
    }

    /// After [`Self::try_reserve`].
    pub(super) fn add(&mut self, tag: u32, slot: u32) {
        self.entries.put(tag, slot);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, tag: u32, slot: u32, tag_of: impl Fn(u32) -> u32) {
        let Some(mut hole) = self.place(tag, slot) else { return };
        let mask = self.entries.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = *self.entries.at(place);
            if entry == 0 {
                break;
            }
            // It may move into the hole unless it would lie before its own place then.
            let from_home = place.wrapping_sub(tag_of(slot_of(mask, entry)) as usize) & mask;
            if from_home >= place.wrapping_sub(hole) & mask {
                *self.entries.at(hole) = entry;
                hole = place;
            }
        }
        *self.entries.at(hole) = 0;
        self.len -= 1;
        self.shrink(tag_of);
    }

    /// What lay in slot `from` lies in `to` now.
    pub(super) fn moved(&mut self, tag: u32, from: u32, to: u32) {
        if let Some(place) = self.place(tag, from) {
            *self.entries.at(place) = entry(self.entries.len() - 1, tag, to);
        }
    }

    fn place(&self, tag: u32, slot: u32) -> Option<usize> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = tag as usize & mask;
        loop {
            match self.entries.get(place)? {
                0 => return None,
                found if found == entry(mask, tag, slot) => return Some(place),
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Gives memory back that was for many more.
    fn shrink(&mut self, tag_of: impl Fn(u32) -> u32) {
        let size = self.entries.len();
        if self.len == 0 {
            self.replace(Table::NONE);
        } else if size > 4 * SMALLEST && self.len < size / 8 {
            // Without memory for a smaller one it stays as it is.
            drop(self.resize(size / 4, tag_of));
        }
    }

    fn resize(&mut self, size: usize, tag_of: impl Fn(u32) -> u32) -> Result<()> {
        let mut entries = Table::of(size, &*self.slab)?;
        let mask = self.entries.len().wrapping_sub(1);
        for entry in (0..self.entries.len()).filter_map(|place| self.entries.get(place)) {
            if entry != 0 {
                let slot = slot_of(mask, entry);
                entries.put(tag_of(slot), slot);
            }
        }
        self.replace(entries);
        Ok(())
    }

    fn replace(&mut self, entries: Table) {
        if let Table::Pages(pages) = std::mem::replace(&mut self.entries, entries) {
            give_back(pages, &*self.slab);
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.replace(Table::NONE);
    }
}

impl Table {
    const NONE: Self = Self::Few(Vec::new());

    /// All of them empty.
    fn of(size: usize, slab: &dyn Slab) -> Result<Self> {
        if size < ENTRIES {
            let mut entries = Vec::new();
            entries.try_reserve_exact(size).map_err(|_| no_memory())?;
            entries.extend(std::iter::repeat_n(0, size));
            return Ok(Self::Few(entries));
        }
        let mut pages = Vec::new();
        pages.try_reserve_exact(size / ENTRIES).map_err(|_| no_memory())?;
        for _ in 0..size / ENTRIES {
            let Some(page) = slab.lend_entries() else {
                give_back(pages, slab);
                return Err(no_memory());
            };
            pages.push(page);
        }
        Ok(Self::Pages(pages))
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Few(entries) => entries.len(),
            Self::Pages(pages) => pages.len() * ENTRIES,
        }
    }

    #[inline]
    fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Few(entries) => entries.get(place).copied(),
            Self::Pages(pages) => Some(pages.get(place / ENTRIES)?[place % ENTRIES]),
        }
    }

    fn at(&mut self, place: usize) -> &mut u32 {
        match self {
            Self::Few(entries) => &mut entries[place],
            Self::Pages(pages) => &mut pages[place / ENTRIES][place % ENTRIES],
        }
    }

    /// At the first place from its own one on that is empty.
    fn put(&mut self, tag: u32, slot: u32) {
        let mask = self.len() - 1;
        let mut place = tag as usize & mask;
        while *self.at(place) != 0 {
            place = (place + 1) & mask;
        }
        *self.at(place) = entry(mask, tag, slot);
    }
}

fn give_back(pages: Vec<Entries>, slab: &dyn Slab) {
    for page in pages {
        slab.take_back_entries(page);
    }
}

fn bytes(entries: usize) -> usize {
    match entries {
        0 => 0,
        few @ 1..ENTRIES => allocated(few * size_of::<u32>()),
        many => many * size_of::<u32>() + allocated(many / ENTRIES * size_of::<Entries>()),
    }
}
