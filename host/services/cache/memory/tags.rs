//! The tags of a shard: for each that an item here bears, which items bear it.
//!
//! A tag is its scope's and its name's. The items that bear it lie in rooms of its scope, which hold the tenant.

use super::{
    body::allocated,
    members::Members,
    no_memory,
    roll::{Named, Roll},
    slots::{Held, Slots},
};
use crate::{error::Result, identity::DataScope, services::keys::Namespace};

pub(super) struct Tag {
    plugin: u64,
    tenant: u64,
    name: Box<str>,
    hash: u64,
    members: Members<Bearer>,
}

/// An item that bears a tag.
#[derive(Clone, Copy)]
pub(super) struct Bearer {
    pub(super) slot: u32,
    /// Among the tags of the item.
    nth: u32,
}

impl Tag {
    fn is(&self, scope: &DataScope<'_>, name: &str) -> bool {
        self.plugin == scope.plugin && self.tenant == scope.tenant_number() && *self.name == *name
    }

    pub(super) fn bearers(&self) -> &Members<Bearer> {
        &self.members
    }
}

impl Named for Tag {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn cost(&self) -> usize {
        cost(&self.name)
    }

    fn members_bytes(&self) -> usize {
        self.members.bytes()
    }
}

/// What a tag takes, beside its place in the roll and the list of those that bear it.
fn cost(name: &str) -> usize {
    allocated(size_of::<Tag>()) + allocated(name.len())
}

/// The tags of an item that is to be written, with the hash of each.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) names: &'a [Namespace<'a>],
    pub(super) hashes: &'a [u64],
}

impl<'a> Wanted<'a> {
    fn iter(self) -> impl Iterator<Item = (&'a str, u64)> {
        self.names.iter().map(|name| name.as_str()).zip(self.hashes.iter().copied())
    }
}

pub(super) type Tags = Roll<Tag>;

impl Tags {
    pub(super) fn of(&self, hash: u64, scope: &DataScope<'_>, name: &str) -> Option<u32> {
        self.find(hash, |tag| tag.is(scope, name))
    }

    /// What it takes at most that one more item bears these.
    pub(super) fn growth_for(&self, scope: &DataScope<'_>, wanted: Wanted<'_>) -> usize {
        let mut new = 0;
        let mut bytes = 0;
        for (name, hash) in wanted.iter() {
            bytes += match self.of(hash, scope, name).and_then(|tag| self.get(tag)) {
                Some(tag) => tag.members.growth(),
                None => {
                    new += 1;
                    cost(name) + Members::<Bearer>::default().growth()
                }
            };
        }
        // Sixteen may make the roll grow more than once.
        bytes + if new == 0 { 0 } else { self.growth() * 2 + new * 2 * (size_of::<usize>() + 32) }
    }

    /// Makes sure that all of them are there, with memory for one more; gives their numbers, and what those took that were
    /// not there. A new one stays only if an item bears it.
    pub(super) fn open(&mut self, scope: &DataScope<'_>, wanted: Wanted<'_>) -> Result<(Vec<u32>, usize)> {
        let (mut numbers, mut cost) = (Vec::with_capacity(wanted.names.len()), 0);
        for (name, hash) in wanted.iter() {
            let number = match self.of(hash, scope, name) {
                Some(number) => Ok(number),
                None => {
                    let tag = Tag {
                        plugin: scope.plugin,
                        tenant: scope.tenant_number(),
                        name: name.into(),
                        hash,
                        members: Members::default(),
                    };
                    cost += tag.cost();
                    self.add(tag)
                }
            };
            let ready = number.and_then(|number| {
                numbers.push(number);
                let reserved = self.change(number, |tag| tag.members.try_reserve());
                reserved.unwrap_or(Ok(())).map_err(|_| no_memory())
            });
            if let Err(error) = ready {
                for number in numbers {
                    self.close_if_empty(number);
                }
                return Err(error);
            }
        }
        Ok((numbers, cost))
    }

    /// The item in `slot` bears these now, which were opened for it.
    pub(super) fn join(&mut self, numbers: &[u32], slot: u32) -> Box<[Held]> {
        let held = numbers.iter().zip(0..).map(|(number, nth)| {
            let place = self.change(*number, |tag| tag.members.join(Bearer { slot, nth }));
            Held { tag: *number, place: place.unwrap_or_default() }
        });
        held.collect()
    }

    /// An item bears these no more; tells what those took that nobody bears now.
    pub(super) fn leave(&mut self, slots: &mut Slots, held: &[Held]) -> usize {
        let mut cost = 0;
        for Held { tag: number, place } in held {
            let moved = self.change(*number, |tag| tag.members.leave(*place)).flatten();
            if let Some(moved) = moved
                && let Some(extras) = &mut slots.cold_mut(moved.slot).extras
                && let Some(held) = extras.tags.get_mut(moved.nth as usize)
            {
                held.place = *place;
            }
            cost += self.close_if_empty(*number);
        }
        cost
    }

    /// The item that bears these lies in slot `to` now.
    pub(super) fn moved(&mut self, held: &[Held], to: u32) {
        for (Held { tag: number, place }, nth) in held.iter().zip(0..) {
            if let Some(tag) = self.get_mut(*number) {
                tag.members.replace(*place, Bearer { slot: to, nth });
            }
        }
    }

    /// What would go with an item that bears these.
    pub(super) fn going_with(&self, held: &[Held]) -> usize {
        let last = held.iter().filter_map(|held| self.get(held.tag)).filter(|tag| tag.members.len() == 1);
        last.map(Named::cost).sum()
    }

    fn close_if_empty(&mut self, number: u32) -> usize {
        if self.get(number).is_none_or(|tag| tag.members.len() > 0) {
            return 0;
        }
        self.remove(number).map_or(0, |tag| tag.cost())
    }
}
