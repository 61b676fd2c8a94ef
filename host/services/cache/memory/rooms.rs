//! The rooms of a shard: for each (plugin, tenant, namespace) that has items here, once, what they have in common.
//!
//! A room holds the tenant for as long as it has items, so the tenant's number means the same for as long, and it
//! goes with the last of them: a plugin that makes up namespaces leaves nothing behind.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use hashbrown::HashTable;

use super::slots::allocated;
use crate::{
    error::{Error, ErrorKind, Result},
    identity::Tenant,
    services::cache::Address,
};

pub(super) struct Room {
    plugin: u64,
    tenant: u64,
    namespace: Box<str>,
    hash: u64,
    /// Both only change under the shard's lock.
    items: AtomicU64,
    bytes: AtomicU64,
    id: Arc<str>,
    /// Held, so that its number is not forgotten.
    _tenant: Tenant,
}

impl Room {
    #[inline]
    pub(super) fn is(&self, at: &Address<'_>) -> bool {
        self.plugin == at.scope.plugin
            && self.tenant == at.scope.tenant_number()
            && *self.namespace == *at.namespace.as_str()
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    /// Of its items and its own.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// One item more, of so many bytes.
    pub(super) fn enter(&self, bytes: usize) {
        self.items.store(self.items() + 1, Relaxed);
        self.resize(0, bytes);
    }

    /// An item has `now` bytes instead of `before`.
    pub(super) fn resize(&self, before: usize, now: usize) {
        self.bytes.store(self.bytes() + now as u64 - before as u64, Relaxed);
    }
}

/// What a room takes, beside its place in the table.
pub(super) fn cost(namespace: &str) -> usize {
    allocated(size_of::<Room>() + 2 * size_of::<usize>()) + allocated(namespace.len())
}

#[derive(Default)]
pub(super) struct Rooms {
    table: HashTable<Arc<Room>>,
    /// Of the rooms alone.
    bytes: usize,
}

impl Rooms {
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.table.allocation_size()
    }

    /// What it takes to have this room too.
    pub(super) fn growth(&self, hash: u64, at: &Address<'_>) -> usize {
        if self.find(hash, at).is_some() { 0 } else { cost(at.namespace.as_str()) + growth(&self.table) }
    }

    fn find(&self, hash: u64, at: &Address<'_>) -> Option<&Arc<Room>> {
        self.table.find(hash, |room| room.is(at))
    }

    /// The room of this address; a new one is empty, and stays only if somebody enters it.
    pub(super) fn open(&mut self, hash: u64, at: &Address<'_>) -> Result<Arc<Room>> {
        if let Some(room) = self.find(hash, at) {
            return Ok(Arc::clone(room));
        }
        let namespace = at.namespace.as_str();
        let room = Arc::new(Room {
            plugin: at.scope.plugin,
            tenant: at.scope.tenant_number(),
            namespace: namespace.into(),
            hash,
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(cost(namespace) as u64),
            id: Arc::clone(at.scope.id),
            _tenant: at.scope.tenant()?,
        });
        self.table.try_reserve(1, |room| room.hash).map_err(|_| no_memory())?;
        self.table.insert_unique(hash, Arc::clone(&room), |room| room.hash);
        self.bytes += cost(namespace);
        Ok(room)
    }

    /// An item of so many bytes goes; with the last one the room goes.
    pub(super) fn leave(&mut self, room: &Arc<Room>, bytes: usize) {
        room.resize(bytes, 0);
        room.items.store(room.items() - 1, Relaxed);
        if room.items() > 0 {
            return;
        }
        if let Ok(found) = self.table.find_entry(room.hash, |other| Arc::ptr_eq(other, room)) {
            found.remove();
            self.bytes -= cost(&room.namespace);
            shrink(&mut self.table, |room| room.hash);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.table.iter()
    }
}

/// What the table takes more if one is added: never less than it is.
pub(super) fn growth<T>(table: &HashTable<T>) -> usize {
    if table.len() < table.capacity() { 0 } else { table.allocation_size() + 256 }
}

/// Gives memory back that was for many more.
pub(super) fn shrink<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.is_empty() {
        *table = HashTable::new();
    } else if table.capacity() > 64 && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}

pub(super) fn no_memory() -> Error {
    Error::new(ErrorKind::Unavailable, "the cache got no memory from the system")
}
