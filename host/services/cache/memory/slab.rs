//! Where the hot halves of slots lie: in pieces of one size that a slab lends.
//!
//! A hit reads two lines of a slot that lies anywhere, and with many items the processor knows by heart where only some of
//! the pages are. Pieces that lie side by side in large pages spare it the search. Where memory comes from and how it is
//! paged is not for an engine to say, so the slab is handed in, as the clock is.

use super::slots::Hot;

/// How many slots a piece has.
pub(crate) const PIECE: usize = 64;

/// Slots to have until they are given back.
pub(crate) type Piece = &'static mut [Hot; PIECE];

/// How many entries of an index take as much.
pub(crate) const ENTRIES: usize = PIECE * size_of::<Hot>() / size_of::<u32>();

/// Entries to have until they are given back.
pub(crate) type Entries = &'static mut [u32; ENTRIES];

/// Lends pieces to all shards of a cache.
pub(crate) trait Slab: Send + Sync {
    /// A piece of holes; none: there is no memory.
    fn lend(&self) -> Option<Piece>;

    /// Takes one back. What lies in it goes.
    fn take_back(&self, piece: Piece);

    /// As many zeroes as a page of an index has; none: there is no memory.
    fn lend_entries(&self) -> Option<Entries>;

    fn take_back_entries(&self, entries: Entries);
}

/// A slab of tests: what it is given back it lends again, and what is left in the end is lost.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Lost {
    free: parking_lot::Mutex<Vec<Piece>>,
    entries: parking_lot::Mutex<Vec<Entries>>,
}

#[cfg(test)]
impl Slab for Lost {
    fn lend(&self) -> Option<Piece> {
        let piece = self.free.lock().pop();
        Some(piece.unwrap_or_else(|| Box::leak(Box::new([Hot::HOLE; PIECE]))))
    }

    fn take_back(&self, piece: Piece) {
        *piece = [Hot::HOLE; PIECE];
        self.free.lock().push(piece);
    }

    fn lend_entries(&self) -> Option<Entries> {
        let entries = self.entries.lock().pop();
        Some(entries.unwrap_or_else(|| Box::leak(Box::new([0; ENTRIES]))))
    }

    fn take_back_entries(&self, entries: Entries) {
        *entries = [0; ENTRIES];
        self.entries.lock().push(entries);
    }
}
