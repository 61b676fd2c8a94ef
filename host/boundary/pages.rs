//! Memory for the slots of the cache in memory: blocks as large as a large page of the processor, cut into pieces.
//!
//! A block is given back when nothing of it is lent any more, and pieces of full blocks are lent first, so that others get
//! there. The first block stays in small pages, for a small cache is to take little.

use std::{
    collections::{BTreeMap, BTreeSet},
    ptr::NonNull,
};

use parking_lot::Mutex;

use crate::services::cache::{ENTRIES, Entries, Hot, PIECE, Piece, Slab};

const BLOCK: usize = 2 << 20;

/// Of a piece, whatever is in it.
const SIZE: usize = size_of::<[Hot; PIECE]>();

const _: () = assert!(SIZE == size_of::<[u32; ENTRIES]>() && SIZE.is_multiple_of(align_of::<Hot>()));

/// How many pieces a block has.
const PIECES: usize = BLOCK / SIZE;

/// Blocks of which pieces are lent.
#[derive(Default)]
pub(crate) struct Pages(Mutex<Blocks>);

#[derive(Default)]
struct Blocks {
    /// By address.
    all: BTreeMap<usize, Block>,
    /// Those that have a piece to lend.
    open: BTreeSet<usize>,
    /// How many pieces are lent.
    lent: usize,
}

struct Block {
    start: NonNull<u8>,
    /// A bit for each piece that is not lent.
    free: [u64; PIECES / 64],
}

// SAFETY: a block is memory that nobody else knows of, and what was lent of it is not touched through it.
unsafe impl Send for Block {}

impl Slab for Pages {
    fn lend(&self) -> Option<Piece> {
        let piece = self.take()?.cast::<[Hot; PIECE]>();
        let slots = piece.cast::<Hot>();
        // SAFETY: it is as large and aligned as that, and nobody's but ours until it is taken back. It is written before a
        // reference to it is made.
        unsafe {
            for slot in 0..PIECE {
                slots.add(slot).write(Hot::HOLE);
            }
            Some(&mut *piece.as_ptr())
        }
    }

    fn take_back(&self, piece: Piece) {
        let piece = NonNull::from(piece);
        // SAFETY: it was lent for good, so whoever gives it back has the only way to it, and has it no longer.
        unsafe { piece.drop_in_place() };
        self.put(piece.cast());
    }

    fn lend_entries(&self) -> Option<Entries> {
        let entries = self.take()?.cast::<[u32; ENTRIES]>();
        // SAFETY: as in `lend`.
        unsafe {
            entries.write_bytes(0, 1);
            Some(&mut *entries.as_ptr())
        }
    }

    fn take_back_entries(&self, entries: Entries) {
        self.put(NonNull::from(entries).cast());
    }
}

impl Pages {
    /// A piece that nobody has.
    fn take(&self) -> Option<NonNull<u8>> {
        let mut blocks = self.0.lock();
        let address = match blocks.open.first() {
            Some(address) => *address,
            None => blocks.grow()?,
        };
        let block = blocks.all.get_mut(&address)?;
        let number = block.take()?;
        // SAFETY: the block has as many pieces.
        let piece = unsafe { block.start.add(number * SIZE) };
        let is_lent = block.is_lent();
        blocks.lent += 1;
        if is_lent {
            blocks.open.remove(&address);
        }
        Some(piece)
    }

    /// Nobody has it any more.
    fn put(&self, piece: NonNull<u8>) {
        let mut blocks = self.0.lock();
        let address = piece.addr().get() / BLOCK * BLOCK;
        let Some(block) = blocks.all.get_mut(&address) else { return };
        block.put((piece.addr().get() - address) / SIZE);
        let is_whole = block.is_whole();
        blocks.open.insert(address);
        blocks.lent -= 1;
        if blocks.lent == 0 {
            *blocks = Blocks::default();
        } else if is_whole && blocks.open.len() > 1 {
            // Where no other one has a piece to lend, it stays for the next who asks.
            blocks.open.remove(&address);
            blocks.all.remove(&address);
        }
    }
}

impl Blocks {
    /// One block more; tells where it is.
    fn grow(&mut self) -> Option<usize> {
        let start = memory::block()?;
        if !self.all.is_empty() {
            memory::prefer_large_pages(start);
        }
        let address = start.addr().get();
        self.all.insert(address, Block { start, free: [u64::MAX; PIECES / 64] });
        self.open.insert(address);
        Some(address)
    }
}

impl Block {
    fn take(&mut self) -> Option<usize> {
        let word = self.free.iter().position(|word| *word != 0)?;
        let bit = self.free[word].trailing_zeros() as usize;
        self.free[word] &= self.free[word] - 1;
        Some(word * 64 + bit)
    }

    fn put(&mut self, number: usize) {
        self.free[number / 64] |= 1 << (number % 64);
    }

    fn is_lent(&self) -> bool {
        self.free.iter().all(|word| *word == 0)
    }

    fn is_whole(&self) -> bool {
        self.free.iter().all(|word| *word == u64::MAX)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // What is lent still may be used still.
        if self.is_whole() {
            // SAFETY: it is a block, and nobody has a piece of it.
            unsafe { memory::give_back(self.start) };
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod memory {
    use std::ptr::{NonNull, null_mut};

    use super::BLOCK;

    /// Memory as large as a block and at a multiple of that.
    pub(super) fn block() -> Option<NonNull<u8>> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: it asks for new memory, which is nobody's.
        let start = unsafe { libc::mmap(null_mut(), 2 * BLOCK, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let before = start.addr().wrapping_neg() % BLOCK;
        let block = start.cast::<u8>().wrapping_add(before);
        // SAFETY: what lies before the block and behind it was mapped here and is known to nobody.
        unsafe {
            if before > 0 {
                libc::munmap(start, before);
            }
            libc::munmap(block.wrapping_add(BLOCK).cast(), BLOCK - before);
        }
        NonNull::new(block)
    }

    /// Where the system has none, nothing changes.
    pub(super) fn prefer_large_pages(block: NonNull<u8>) {
        // SAFETY: the advice changes how memory is paged, and nothing that can be read in it.
        unsafe { libc::madvise(block.as_ptr().cast(), BLOCK, libc::MADV_HUGEPAGE) };
    }

    /// # Safety
    /// It comes from [`block`], and nobody uses it.
    pub(super) unsafe fn give_back(block: NonNull<u8>) {
        // SAFETY: the caller vouches for it.
        unsafe { libc::munmap(block.as_ptr().cast(), BLOCK) };
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod memory {
    use std::{
        alloc::{Layout, alloc, dealloc},
        ptr::NonNull,
    };

    use super::BLOCK;

    const LAYOUT: Layout = match Layout::from_size_align(BLOCK, BLOCK) {
        Ok(layout) => layout,
        Err(_) => panic!("a block is a power of two"),
    };

    /// Memory as large as a block and at a multiple of that.
    pub(super) fn block() -> Option<NonNull<u8>> {
        // SAFETY: it is not of no size.
        NonNull::new(unsafe { alloc(LAYOUT) })
    }

    pub(super) fn prefer_large_pages(_: NonNull<u8>) {}

    /// # Safety
    /// It comes from [`block`], and nobody uses it.
    pub(super) unsafe fn give_back(block: NonNull<u8>) {
        // SAFETY: the caller vouches for it.
        unsafe { dealloc(block.as_ptr(), LAYOUT) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(pages: &Pages) -> usize {
        pages.0.lock().all.len()
    }

    #[test]
    fn pieces_do_not_overlap_and_their_memory_goes_with_the_last_of_them() {
        let pages = Pages::default();
        let entries: Vec<Entries> = (0..2 * PIECES).map(|_| pages.lend_entries().expect("memory")).collect();
        let pieces: Vec<Piece> = (0..PIECES).map(|_| pages.lend().expect("memory")).collect();
        assert_eq!(blocks(&pages), 3, "they lie close together");
        let entries: Vec<Entries> = entries
            .into_iter()
            .enumerate()
            .map(|(number, entries)| {
                assert_eq!(*entries, [0; ENTRIES]);
                *entries = [number as u32; ENTRIES];
                entries
            })
            .collect();
        for (number, entries) in entries.into_iter().enumerate() {
            assert_eq!(*entries, [number as u32; ENTRIES], "nobody else wrote there");
            pages.take_back_entries(entries);
        }
        assert!(blocks(&pages) <= 2, "what nobody has is given back, but for one block");
        for piece in pieces {
            pages.take_back(piece);
        }
        assert_eq!(blocks(&pages), 0);
    }

    #[test]
    fn what_was_given_back_is_lent_first_and_empty() {
        let pages = Pages::default();
        let kept = pages.lend().expect("memory");
        for _ in 0..3 * PIECES {
            let entries = pages.lend_entries().expect("memory");
            assert_eq!(*entries, [0; ENTRIES]);
            entries.fill(7);
            pages.take_back_entries(entries);
        }
        assert_eq!(blocks(&pages), 1);
        pages.take_back(kept);
    }

    #[test]
    fn what_is_lent_outlives_the_one_who_lent_it() {
        let pages = Pages::default();
        let entries = pages.lend_entries().expect("memory");
        drop(pages);
        entries.fill(7);
        assert_eq!(entries[ENTRIES - 1], 7);
    }
}
