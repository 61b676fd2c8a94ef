//! What the storage of a test host keeps: items, and what is known of those that are gone, for watches. By the clock that
//! the test moves, which takes away what expires when it passes by.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use pintle_abi::{
    PINTLE_CHANGE_CLEARED, PINTLE_CHANGE_EXPIRED, PINTLE_CHANGE_REMOVED, PINTLE_CHANGE_SET, PINTLE_FOREVER,
};

use super::super::inside::Tenant;
use crate::{Error, Result, Status, cache::canonical};

/// Tenant and key.
pub(super) type Place = (Tenant, String);

/// So long removals are remembered, in milliseconds, unless an operator says otherwise.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;

/// All of it. What a batch does is tried on a copy.
#[derive(Clone, Default)]
pub(in super::super) struct Kept {
    items: BTreeMap<Place, Item>,
    /// The last removal of keys that are not there.
    gone: BTreeMap<Place, Gone>,
    /// When all items of a tenant were removed at once.
    cleared: Vec<(Tenant, Gone)>,
    last_version: u64,
    /// Up to this version removals may be forgotten.
    forgotten: u64,
}

/// An item. Values are shared, so that a copy costs little.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) value: Arc<[u8]>,
    pub(super) version: u64,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    /// None: it does not expire.
    expires_ms: Option<i64>,
}

#[derive(Clone)]
struct Gone {
    kind: u32,
    version: u64,
    at_ms: i64,
}

/// A change, as a watch is told it.
#[derive(Clone, Debug)]
pub(in super::super) struct Changed {
    pub(in super::super) kind: u32,
    pub(in super::super) key: String,
    pub(in super::super) version: u64,
    pub(in super::super) at_ms: i64,
}

/// How far a watch is.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Told {
    /// The last version that it was told.
    pub(in super::super) up_to: u64,
    /// Removals up to this version are of no interest to it.
    pub(in super::super) removals_after: u64,
}

/// How long an item is to live from the write on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    Endless,
    Ms(i64),
    /// As long as the item that is there.
    Keep,
}

/// What is to be done with one item.
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) if_version: Option<u64>,
    pub(super) action: Action,
}

pub(super) enum Action {
    Set { value: Arc<[u8]>, lifetime: Lifetime },
    Remove,
    Incr { delta: i64, lifetime: Lifetime },
    Expire { lifetime: Lifetime },
    Check,
}

/// What a step did: the version that it made, 0 for none; and a sum, or whether there was an item.
#[derive(Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) version: u64,
    pub(super) value: i64,
}

impl Item {
    /// How long it is still there.
    pub(super) fn ttl_ms(&self, now_ms: i64) -> i64 {
        self.expires_ms.map_or(PINTLE_FOREVER, |end| end - now_ms)
    }
}

impl Kept {
    pub(super) fn item(&self, place: &Place) -> Option<&Item> {
        self.items.get(place)
    }

    /// The version that was given last.
    pub(super) fn version(&self) -> u64 {
        self.last_version
    }

    /// The versions that a copy has given are never used again, whatever becomes of it.
    pub(super) fn use_up(&mut self, copy: &Self) {
        self.last_version = copy.last_version;
    }

    /// The keys of a tenant, in order.
    pub(super) fn keys(&self, tenant: &Tenant) -> impl Iterator<Item = &str> {
        self.items.keys().filter(move |(of, _)| of == tenant).map(|(_, key)| key.as_str())
    }

    /// How many items a tenant has, and their bytes.
    pub(super) fn usage(&self, tenant: &Tenant) -> (u64, u64) {
        let own = self.items.iter().filter(|((of, _), _)| of == tenant);
        own.fold((0, 0), |(items, bytes), ((_, key), item)| {
            (items + 1, bytes + (key.len() + item.value.len()) as u64)
        })
    }

    /// Does one step, or nothing. Beside a CONFLICT stands the version that the item has.
    pub(super) fn apply(&mut self, step: &Step, now_ms: i64) -> Result<Outcome, (Error, u64)> {
        let place = &step.place;
        let has = self.items.get(place).map_or(0, |item| item.version);
        if step.if_version.is_some_and(|wanted| wanted != has) {
            let text = format!("the item {:?} has the version {has}, and not the one asked for", place.1);
            return Err((Error::new(Status::Conflict, text), has));
        }
        match &step.action {
            Action::Set { value, lifetime } => {
                let version = self.write(place, Arc::clone(value), *lifetime, now_ms);
                Ok(Outcome { version, value: 0 })
            }
            Action::Remove => Ok(self.remove(place, PINTLE_CHANGE_REMOVED, now_ms)),
            Action::Incr { delta, lifetime } => {
                let sum = self.sum(place, *delta).map_err(|error| (error, 0))?;
                let lifetime = if has == 0 { *lifetime } else { Lifetime::Keep };
                let version = self.write(place, sum.to_string().into_bytes().into(), lifetime, now_ms);
                Ok(Outcome { version, value: sum })
            }
            Action::Expire { lifetime } => match self.items.get(place).map(|item| Arc::clone(&item.value)) {
                Some(value) => Ok(Outcome { version: self.write(place, value, *lifetime, now_ms), value: 1 }),
                None => Ok(Outcome::default()),
            },
            Action::Check => Ok(Outcome::default()),
        }
    }

    fn sum(&self, (tenant, key): &Place, delta: i64) -> Result<i64> {
        let old = match self.items.get(&(tenant.clone(), key.clone())) {
            None => 0,
            Some(item) => canonical(&item.value).ok_or_else(|| {
                Error::new(Status::WrongType, format!("the item {key:?} is no decimal 64-bit integer"))
            })?,
        };
        old.checked_add(delta).ok_or_else(|| {
            Error::new(Status::OutOfRange, format!("the item {key:?} is {old}: the sum is no 64-bit integer"))
        })
    }

    fn write(&mut self, place: &Place, value: Arc<[u8]>, lifetime: Lifetime, now_ms: i64) -> u64 {
        self.last_version += 1;
        self.gone.remove(place);
        let expires = |kept| match lifetime {
            Lifetime::Endless => None,
            Lifetime::Ms(ms) => Some(now_ms + ms),
            Lifetime::Keep => kept,
        };
        let (version, updated_ms) = (self.last_version, now_ms);
        match self.items.entry(place.clone()) {
            Entry::Occupied(mut there) => {
                let old = there.get();
                let (created_ms, expires_ms) = (old.created_ms, expires(old.expires_ms));
                there.insert(Item { value, version, created_ms, updated_ms, expires_ms });
            }
            Entry::Vacant(free) => {
                free.insert(Item {
                    value,
                    version,
                    created_ms: now_ms,
                    updated_ms,
                    expires_ms: expires(None),
                });
            }
        }
        version
    }

    fn remove(&mut self, place: &Place, kind: u32, at_ms: i64) -> Outcome {
        if self.items.remove(place).is_none() {
            return Outcome::default();
        }
        self.last_version += 1;
        self.gone.insert(place.clone(), Gone { kind, version: self.last_version, at_ms });
        Outcome { version: self.last_version, value: 1 }
    }

    /// Removes all items of a tenant, and tells how many there were.
    pub(super) fn clear(&mut self, tenant: &Tenant, at_ms: i64) -> u64 {
        let before = self.items.len();
        self.items.retain(|(of, _), _| of != tenant);
        let removed = before - self.items.len();
        if removed > 0 {
            self.last_version += 1;
            let gone = Gone { kind: PINTLE_CHANGE_CLEARED, version: self.last_version, at_ms };
            self.cleared.push((tenant.clone(), gone));
        }
        removed as u64
    }

    /// When the next item expires.
    pub(in super::super) fn next_expiry(&self) -> Option<i64> {
        self.items.values().filter_map(|item| item.expires_ms).min()
    }

    /// Takes away what has expired by now, and forgets what was removed long ago.
    pub(in super::super) fn pass(&mut self, now_ms: i64) {
        let over = |item: &Item| item.expires_ms.is_some_and(|end| end <= now_ms);
        let mut expired: Vec<(i64, Place)> = self
            .items
            .iter()
            .filter(|(_, item)| over(item))
            .map(|(place, item)| (item.expires_ms.unwrap_or(now_ms), place.clone()))
            .collect();
        expired.sort();
        for (end, place) in expired {
            self.remove(&place, PINTLE_CHANGE_EXPIRED, end);
        }
        let mut forgotten = self.forgotten;
        let mut keep = |gone: &Gone| {
            let keep = now_ms - gone.at_ms <= REMEMBERED_MS;
            if !keep {
                forgotten = forgotten.max(gone.version);
            }
            keep
        };
        self.gone.retain(|_, gone| keep(gone));
        self.cleared.retain(|(_, gone)| keep(gone));
        self.forgotten = forgotten;
    }

    /// Where a watch begins that asks for what is behind this version; none: for what changes from now on.
    pub(super) fn begin(&self, after: Option<u64>) -> Result<Told> {
        match after {
            None => Ok(Told { up_to: self.last_version, removals_after: self.last_version }),
            Some(0) => Ok(Told { up_to: 0, removals_after: self.last_version }),
            Some(after) if self.forgotten <= after && after <= self.last_version => {
                Ok(Told { up_to: after, removals_after: after })
            }
            Some(after) => {
                let text = format!("changes after {after} are forgotten, or there was no such version");
                Err(Error::new(Status::OutOfRange, text))
            }
        }
    }

    /// The next change that a watch is to be told.
    pub(in super::super) fn next_change(&self, tenant: &Tenant, prefix: &str, told: Told) -> Option<Changed> {
        let near = |(of, key): &Place| of == tenant && key.starts_with(prefix);
        let written = self.items.iter().filter(|(place, item)| near(place) && item.version > told.up_to).map(
            |((_, key), item)| Changed {
                kind: PINTLE_CHANGE_SET,
                key: key.clone(),
                version: item.version,
                at_ms: item.updated_ms,
            },
        );
        let new = |gone: &Gone| gone.version > told.up_to.max(told.removals_after);
        let removed = self.gone.iter().filter(|(place, gone)| near(place) && new(gone));
        let removed = removed.map(|((_, key), gone)| (key.clone(), gone));
        let cleared = self.cleared.iter().filter(|(of, gone)| of == tenant && new(gone));
        let cleared = cleared.map(|(_, gone)| (String::new(), gone));
        let gone = removed.chain(cleared).map(|(key, gone)| Changed {
            kind: gone.kind,
            key,
            version: gone.version,
            at_ms: gone.at_ms,
        });
        written.chain(gone).min_by_key(|change| change.version)
    }
}
