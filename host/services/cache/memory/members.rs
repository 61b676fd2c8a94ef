//! The items that belong together, in no order: each knows its place among them, so that one goes without a search.

use std::collections::TryReserveError;

use super::body::allocated;

const SMALLEST: usize = 4;

pub(super) struct Members<T> {
    list: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { list: Vec::new() }
    }
}

impl<T: Copy> Members<T> {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn bytes(&self) -> usize {
        bytes::<T>(self.list.capacity())
    }

    /// What it takes more, while it grows, if one joins.
    pub(super) fn growth(&self) -> usize {
        if self.has_room() { 0 } else { bytes::<T>(self.next_size()) }
    }

    fn has_room(&self) -> bool {
        self.list.len() < self.list.capacity()
    }

    fn next_size(&self) -> usize {
        (2 * self.list.capacity()).max(SMALLEST)
    }

    /// Makes sure that the next one finds memory.
    pub(super) fn try_reserve(&mut self) -> Result<(), TryReserveError> {
        if self.has_room() {
            return Ok(());
        }
        self.list.try_reserve_exact(self.next_size() - self.list.len())
    }

    pub(super) fn get(&self, place: u32) -> Option<T> {
        self.list.get(place as usize).copied()
    }

    /// Gives its place.
    pub(super) fn join(&mut self, member: T) -> u32 {
        self.list.push(member);
        self.list.len() as u32 - 1
    }

    pub(super) fn replace(&mut self, place: u32, member: T) {
        self.list[place as usize] = member;
    }

    /// Gives the one that has this place now, if another one has.
    pub(super) fn leave(&mut self, place: u32) -> Option<T> {
        self.list.swap_remove(place as usize);
        let capacity = self.list.capacity();
        if capacity > 64 && self.list.len() < capacity / 4 {
            self.list.shrink_to(capacity / 2);
        }
        self.get(place)
    }
}

fn bytes<T>(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { allocated(capacity * size_of::<T>()) }
}
