//! What the cache of a test host keeps: items, and the leases of those who load some. By the clock that the test moves.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::ThreadId,
};

use pintle_abi::{PINTLE_FOREVER, PintleCacheLease, PintleCtx};

use super::super::inside::Tenant;
use crate::{Error, Result, Status};

/// Tenant, namespace and key.
pub(super) type Place = (Tenant, String, String);

/// A context, and the thread if that is of no call.
pub(super) type Caller = (PintleCtx, Option<ThreadId>);

/// All of it.
#[derive(Default)]
pub(in super::super) struct Kept {
    items: BTreeMap<Place, Entry>,
    /// Those that are over stay: whoever writes under one is told another thing than who never had one.
    leases: BTreeMap<PintleCacheLease, Given>,
    last_version: u64,
}

/// An item.
pub(super) struct Entry {
    pub(super) value: Value,
    /// When its lifetime ends; `None`: it does not expire.
    pub(super) fresh_until: Option<i64>,
    /// How long it is stale, from there on.
    pub(super) stale_ms: i64,
    /// How long it is kept for those who cannot load it, from there on.
    pub(super) error_ms: i64,
    pub(super) tags: Vec<String>,
    pub(super) version: u64,
}

#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    Integer(i64),
    /// A note that there is nothing.
    Absent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    Fresh,
    Stale,
    /// For those who cannot load it; for all others it is not there.
    Kept,
}

/// A lease that somebody got.
struct Given {
    place: Place,
    generation: u64,
    by: Caller,
    until_ms: i64,
    over: bool,
    /// Tags that were invalidated since.
    refused: BTreeSet<String>,
}

impl Entry {
    fn age(&self, now_ms: i64) -> Option<Age> {
        let Some(end) = self.fresh_until else { return Some(Age::Fresh) };
        let over = |span: i64| now_ms >= end.saturating_add(span);
        match (over(0), over(self.stale_ms), over(self.error_ms)) {
            (false, ..) => Some(Age::Fresh),
            (_, false, _) => Some(Age::Stale),
            (.., false) => Some(Age::Kept),
            _ => None,
        }
    }

    fn is_there(&self, now_ms: i64) -> bool {
        self.value != Value::Absent && matches!(self.age(now_ms), Some(Age::Fresh | Age::Stale))
    }

    pub(super) fn ttl_ms(&self, now_ms: i64) -> i64 {
        self.fresh_until.map_or(PINTLE_FOREVER, |end| (end - now_ms).max(0))
    }

    pub(super) fn left_ms(&self, now_ms: i64) -> i64 {
        self.fresh_until.map_or(PINTLE_FOREVER, |end| (end.saturating_add(self.stale_ms) - now_ms).max(0))
    }
}

impl Kept {
    /// Whatever lies there, and how old it is.
    pub(super) fn look(&self, place: &Place, now_ms: i64) -> Option<(&Entry, Age)> {
        let entry = self.items.get(place)?;
        Some((entry, entry.age(now_ms)?))
    }

    /// The item, if it is there for every function.
    pub(super) fn there(&mut self, place: &Place, now_ms: i64) -> Option<&mut Entry> {
        self.items.get_mut(place).filter(|entry| entry.is_there(now_ms))
    }

    /// Writes an item, under a new version. Whoever is loading it is too late.
    pub(super) fn write(&mut self, place: Place, entry: Entry) {
        self.last_version += 1;
        self.end_leases(|given| given.place == place);
        self.items.insert(place, Entry { version: self.last_version, ..entry });
    }

    /// Takes away what `goes` names, also from those who are loading it. Tells how many items were there.
    pub(super) fn take(&mut self, now_ms: i64, goes: impl Fn(&Place) -> bool) -> u64 {
        let mut there = 0;
        self.items.retain(|place, entry| {
            let goes = goes(place);
            there += u64::from(goes && entry.is_there(now_ms));
            !goes
        });
        self.end_leases(|given| goes(&given.place));
        there
    }

    /// Takes away what a tenant has with this tag, and notes that it is refused from those who are loading something.
    pub(super) fn take_tagged(&mut self, now_ms: i64, tenant: &Tenant, tag: &str) -> u64 {
        let tagged =
            |place: &Place, entry: &Entry| place.0 == *tenant && entry.tags.iter().any(|own| own == tag);
        let places: BTreeSet<Place> = self
            .items
            .iter()
            .filter(|(place, entry)| tagged(place, entry))
            .map(|(place, _)| place.clone())
            .collect();
        for given in self.leases.values_mut().filter(|given| given.place.0 == *tenant) {
            given.refused.insert(tag.to_owned());
        }
        self.take(now_ms, |place| places.contains(place))
    }

    /// The places of a tenant's namespace whose items are there, in order.
    pub(super) fn keys(&self, now_ms: i64, tenant: &Tenant, ns: &str) -> impl Iterator<Item = &str> {
        let there = self.items.iter().filter(move |(_, entry)| entry.is_there(now_ms));
        there
            .filter(move |((of, space, _), _)| of == tenant && space == ns)
            .map(|((.., key), _)| key.as_str())
    }

    /// How many items there are, of all tenants, and their bytes.
    pub(super) fn usage(&self, now_ms: i64) -> (u64, u64) {
        let there = self.items.iter();
        let there = there.filter(|(_, entry)| matches!(entry.age(now_ms), Some(Age::Fresh | Age::Stale)));
        there.fold((0, 0), |(items, bytes), ((_, ns, key), entry)| {
            let value = match &entry.value {
                Value::Bytes(bytes) => bytes.len(),
                Value::Integer(_) | Value::Absent => 8,
            };
            (items + 1, bytes + (ns.len() + key.len() + value) as u64)
        })
    }

    /// Who is loading it now, if somebody is.
    pub(super) fn loading(&self, place: &Place, now_ms: i64) -> Option<Caller> {
        let mut live = self.leases.values().filter(|given| !given.over && given.until_ms > now_ms);
        live.find(|given| given.place == *place).map(|given| given.by)
    }

    /// Notes a lease under this number.
    pub(super) fn give(
        &mut self,
        number: PintleCacheLease,
        place: Place,
        (generation, by): (u64, Caller),
        (now_ms, long_ms): (i64, i64),
    ) -> Result<()> {
        /// The most that a plugin may have at a time.
        const MOST: usize = 1_024;
        let live = |given: &&Given| given.generation == generation && !given.over && given.until_ms > now_ms;
        if self.leases.values().filter(live).count() >= MOST {
            return Err(Error::new(Status::Quota, format!("a plugin has at most {MOST} leases at a time")));
        }
        let refused = BTreeSet::new();
        let given = Given { place, generation, by, until_ms: now_ms + long_ms, over: false, refused };
        self.leases.insert(number, given);
        Ok(())
    }

    /// May this be written under the lease? 0 is none.
    pub(super) fn must_hold(
        &self,
        number: PintleCacheLease,
        place: &Place,
        tags: &[String],
        now_ms: i64,
    ) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        let given = self.leases.get(&number).filter(|given| given.place.0 == place.0);
        let given = given.ok_or_else(never_given)?;
        if given.place != *place {
            let text = "argument `options.lease`: the lease is of another item";
            return Err(Error::new(Status::InvalidArgument, text));
        }
        let refused = tags.iter().find(|tag| given.refused.contains(*tag));
        if given.over || given.until_ms <= now_ms || refused.is_some() {
            let text = "the lease is over: it has lapsed, or the item was written or invalidated since";
            return Err(Error::new(Status::Conflict, text));
        }
        Ok(())
    }

    /// Ends a lease of a tenant; the item that it was for.
    pub(super) fn end(&mut self, number: PintleCacheLease, tenant: &Tenant, now_ms: i64) -> Result<Place> {
        let live = |given: &&mut Given| !given.over && given.until_ms > now_ms && given.place.0 == *tenant;
        let given = self.leases.get_mut(&number).filter(live).ok_or_else(never_given)?;
        given.over = true;
        Ok(given.place.clone())
    }

    /// Ends all leases of a generation.
    pub(in super::super) fn end_generation(&mut self, generation: u64) {
        self.end_leases(|given| given.generation == generation);
    }

    fn end_leases(&mut self, which: impl Fn(&Given) -> bool) {
        self.leases.values_mut().filter(|given| which(given)).for_each(|given| given.over = true);
    }
}

fn never_given() -> Error {
    Error::new(Status::StaleHandle, "the lease is over, or was never given")
}
