//! The rooms of a shard: for each (plugin, tenant, namespace) that has items here, once, what they have in common, and
//! which they are.
//!
//! A room holds the tenant for as long as it has items, so the tenant's number means the same for as long, and it
//! goes with the last of them: a plugin that makes up namespaces leaves nothing behind.

use super::{
    body::{allocated, same},
    members::Members,
    no_memory,
    roll::{Named, Roll},
};
use crate::{error::Result, identity::Tenant, services::cache::Space};

pub(super) struct Room {
    pub(super) plugin: u64,
    pub(super) tenant: u64,
    namespace: Box<str>,
    hash: u64,
    /// Of the shard: which plugin it is of.
    pub(super) owner: u32,
    /// Slots.
    pub(super) members: Members<u32>,
    /// Held, so that its number is not forgotten.
    _tenant: Tenant,
}

impl Room {
    #[inline]
    pub(super) fn is(&self, space: &Space<'_>) -> bool {
        self.plugin == space.scope.plugin
            && self.tenant == space.scope.tenant_number()
            && same(self.namespace.as_bytes(), space.namespace.as_str().as_bytes())
    }
}

impl Named for Room {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn cost(&self) -> usize {
        cost(&self.namespace)
    }

    fn members_bytes(&self) -> usize {
        self.members.bytes()
    }
}

/// What a room takes, beside its place in the roll and the list of its items.
pub(super) fn cost(namespace: &str) -> usize {
    allocated(size_of::<Room>()) + allocated(namespace.len())
}

pub(super) type Rooms = Roll<Room>;

impl Rooms {
    /// The room of this space.
    pub(super) fn of(&self, hash: u64, space: &Space<'_>) -> Option<u32> {
        self.find(hash, |room| room.is(space))
    }

    /// What it takes that one more lies there.
    pub(super) fn growth_for(&self, hash: u64, space: &Space<'_>) -> usize {
        match self.of(hash, space).and_then(|room| self.get(room)) {
            Some(room) => room.members.growth(),
            None => cost(space.namespace.as_str()) + Members::<u32>::default().growth() + self.growth(),
        }
    }

    /// The room of this space, with memory for one more; a new one stays only if somebody enters it.
    pub(super) fn open(&mut self, hash: u64, space: &Space<'_>, owner: u32) -> Result<u32> {
        let number = match self.of(hash, space) {
            Some(number) => number,
            None => {
                let room = Room {
                    plugin: space.scope.plugin,
                    tenant: space.scope.tenant_number(),
                    namespace: space.namespace.as_str().into(),
                    hash,
                    owner,
                    members: Members::default(),
                    _tenant: space.scope.tenant()?,
                };
                self.add(room)?
            }
        };
        if let Some(Err(_)) = self.change(number, |room| room.members.try_reserve()) {
            self.close_if_empty(number);
            return Err(no_memory());
        }
        Ok(number)
    }

    /// Tells what it took, if it is gone.
    pub(super) fn close_if_empty(&mut self, number: u32) -> Option<usize> {
        if self.get(number)?.members.len() > 0 {
            return None;
        }
        self.remove(number).map(|room| room.cost())
    }
}
