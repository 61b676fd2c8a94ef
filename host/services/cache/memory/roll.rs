//! Things with a name of which a shard has few beside its items, under numbers that stay: rooms and tags.

use hashbrown::HashTable;

use super::no_memory;
use crate::error::Result;

/// What is kept under a number.
pub(super) trait Named {
    /// Of its whole name.
    fn hash(&self) -> u64;

    /// What it takes itself, without what it is asked to keep.
    fn cost(&self) -> usize;

    /// Which items belong to it: what their list takes.
    fn members_bytes(&self) -> usize;
}

#[repr(C)]
pub(super) struct Roll<T> {
    list: Vec<Option<Box<T>>>,
    /// Numbers that are not in use; some may lie past the end.
    free: Vec<u32>,
    table: HashTable<u32>,
    /// Of the things alone, and their lists of members.
    bytes: usize,
}

impl<T> Default for Roll<T> {
    fn default() -> Self {
        Self { list: Vec::new(), free: Vec::new(), table: HashTable::new(), bytes: 0 }
    }
}

const SMALLEST: usize = 4;

impl<T: Named> Roll<T> {
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.table.allocation_size() + lists(self.list.capacity().max(self.free.capacity()))
    }

    /// What it takes to have one more, beside its own cost.
    pub(super) fn growth(&self) -> usize {
        let table =
            if self.table.len() < self.table.capacity() { 0 } else { self.table.allocation_size() + 256 };
        let full = self.table.len() == self.list.capacity();
        table + if full { lists((2 * self.list.capacity()).max(SMALLEST)) } else { 0 }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        self.table.find(hash, |number| self.get(*number).is_some_and(&is)).copied()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.list.get(number as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.list.get_mut(number as usize)?.as_deref_mut()
    }

    /// Gives its number.
    pub(super) fn add(&mut self, thing: T) -> Result<u32> {
        if self.table.len() == self.list.capacity() {
            let size = (2 * self.list.capacity()).max(SMALLEST);
            self.list.try_reserve_exact(size - self.list.len()).map_err(|_| no_memory())?;
            self.free.try_reserve_exact(size - self.free.len()).map_err(|_| no_memory())?;
        }
        let list = &self.list;
        let hash_of = |number: &u32| list[*number as usize].as_ref().map_or(0, |thing| thing.hash());
        self.table.try_reserve(1, hash_of).map_err(|_| no_memory())?;
        let free = std::iter::from_fn(|| self.free.pop())
            .find(|free| self.list.get(*free as usize).is_some_and(Option::is_none));
        let number = free.unwrap_or_else(|| {
            self.list.push(None);
            self.list.len() as u32 - 1
        });
        self.bytes += thing.cost() + thing.members_bytes();
        self.table.insert_unique(thing.hash(), number, |_| unreachable!("room was reserved"));
        self.list[number as usize] = Some(Box::new(thing));
        Ok(number)
    }

    /// Does something that may change how much its list of members takes.
    #[inline]
    pub(super) fn change<R>(&mut self, number: u32, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let thing = self.list.get_mut(number as usize)?.as_deref_mut()?;
        let before = thing.members_bytes();
        let result = work(thing);
        self.bytes = self.bytes + thing.members_bytes() - before;
        Some(result)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Box<T>> {
        let thing = self.list.get_mut(number as usize)?.take()?;
        self.bytes -= thing.cost() + thing.members_bytes();
        if let Ok(found) = self.table.find_entry(thing.hash(), |other| *other == number) {
            found.remove();
        }
        self.shrink(number);
        Some(thing)
    }

    /// Gives memory back that was for many more.
    fn shrink(&mut self, free: u32) {
        if self.table.is_empty() {
            *self = Self::default();
            return;
        }
        while self.list.last().is_some_and(Option::is_none) {
            self.list.pop();
        }
        if (free as usize) < self.list.len() {
            self.free.push(free);
        }
        if self.list.capacity() > 64 && self.list.len() < self.list.capacity() / 8 {
            self.list.shrink_to(self.list.len() * 2);
            self.free.retain(|free| (*free as usize) < self.list.len());
            self.free.shrink_to(self.list.capacity());
        }
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            let list = &self.list;
            let hash = |number: &u32| list[*number as usize].as_ref().map_or(0, |thing| thing.hash());
            self.table.shrink_to(self.table.len() * 2, hash);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = self.list.iter().enumerate();
        numbered.filter_map(|(number, thing)| Some((number as u32, thing.as_deref()?)))
    }
}

/// What the list and the free numbers take.
fn lists(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { capacity * (size_of::<usize>() + size_of::<u32>()) + 32 }
}
