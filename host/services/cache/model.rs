//! The plain model of the cache: one ordered map, with every promise spelled out and no thought of speed. The other back
//! ends are compared with it; it takes everything in, and evicts nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    Address, Age, CacheBackend, Copies, Draft, Ends, ExpireIf, Expired, Fill, Glob, Item, Lifetime, Page,
    Space, Spans, Usage, Value, Whole, Written,
};
use crate::{
    error::{Error, Result},
    identity::DataScope,
    services::{clock::Clock, keys::Namespace},
};

/// As the tier in front.
impl Copies for Model {
    fn fill(&self, at: &Address<'_>, item: &Fill<'_>) -> Result<()> {
        let draft = Draft { spans: item.spans, tags: item.tags, ..Draft::of(item.value, item.fresh) };
        let mut state = self.state.lock();
        let entry = self.entry(&draft, item.version);
        state.items.insert(place(at), entry);
        Ok(())
    }

    fn forget(&self, at: &Address<'_>) -> Result<()> {
        self.remove(at).map(drop)
    }
}

/// Plugin, tenant, namespace and key.
type Place = (String, String, String, String);

pub(crate) struct Model {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: BTreeMap<Place, Entry>,
    last_version: u64,
}

#[derive(Clone, PartialEq)]
enum Owned {
    Bytes(Vec<u8>),
    Integer(i64),
    Absent,
}

struct Entry {
    value: Owned,
    version: u64,
    /// In nanoseconds; none: it does not expire.
    fresh_until: Option<u64>,
    spans: Spans,
    tags: Vec<String>,
}

const NS_A_MS: u64 = 1_000_000;

impl Entry {
    fn age(&self, now: u64) -> Option<Age> {
        let Some(end) = self.fresh_until else { return Some(Age::Fresh) };
        let over = |ms: i64| now >= end + ms as u64 * NS_A_MS;
        match (over(0), over(self.spans.stale_ms), over(self.spans.error_ms)) {
            (false, ..) => Some(Age::Fresh),
            (_, false, _) => Some(Age::Stale),
            (.., false) => Some(Age::Kept),
            _ => None,
        }
    }

    fn is_there(&self, now: u64) -> bool {
        self.value != Owned::Absent && matches!(self.age(now), Some(Age::Fresh | Age::Stale))
    }

    fn value(&self) -> Value<'_> {
        match &self.value {
            Owned::Bytes(bytes) => Value::Bytes(bytes),
            Owned::Integer(integer) => Value::Integer(*integer),
            Owned::Absent => Value::Absent,
        }
    }
}

impl Model {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn now(&self) -> u64 {
        self.clock.monotonic().as_nanos() as u64
    }

    fn until(&self, lifetime: Lifetime) -> Option<u64> {
        match lifetime {
            Lifetime::Endless => None,
            Lifetime::Ms(ms) => Some(self.now() + ms as u64 * NS_A_MS),
        }
    }

    fn entry(&self, draft: &Draft<'_>, version: u64) -> Entry {
        let value = match draft.value {
            Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Value::Absent => Owned::Absent,
            Value::Integer(_) => unreachable!("integers come of `incr`"),
        };
        let tags = draft.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
        let fresh_until = self.until(draft.lifetime);
        Entry { value, version, fresh_until, spans: draft.spans, tags }
    }

    /// Takes away what `goes` names; tells how many of them were there.
    fn take(&self, goes: impl Fn(&Place, &Entry) -> bool) -> u64 {
        let now = self.now();
        let mut there = 0;
        self.state.lock().items.retain(|place, entry| {
            let goes = goes(place, entry);
            there += u64::from(goes && entry.is_there(now));
            !goes
        });
        there
    }
}

fn place(at: &Address<'_>) -> Place {
    let (plugin, tenant, namespace) = room(&at.space());
    (plugin, tenant, namespace, at.key.as_str().into())
}

fn room(space: &Space<'_>) -> (String, String, String) {
    let (plugin, tenant) = owner(&space.scope);
    (plugin, tenant, space.namespace.as_str().into())
}

fn owner(scope: &DataScope<'_>) -> (String, String) {
    let tenant = scope.tenant().expect("a test holds its tenants");
    (scope.id.to_string(), tenant.name().to_string())
}

fn is_in(place: &Place, room: &(String, String, String)) -> bool {
    place.0 == room.0 && place.1 == room.1 && place.2 == room.2
}

fn remaining(end: Option<u64>, now: u64) -> Lifetime {
    match end {
        None => Lifetime::Endless,
        Some(end) => Lifetime::Ms(end.saturating_sub(now).div_ceil(NS_A_MS) as i64),
    }
}

impl CacheBackend for Model {
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let mut lent = false;
        self.get_whole(at, &mut |whole| {
            if whole.item.age != Age::Kept {
                lent = true;
                read(whole.item);
            }
        })?;
        Ok(lent)
    }

    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        let (state, now) = (self.state.lock(), self.now());
        let found = state.items.get(&place(at)).and_then(|entry| Some((entry, entry.age(now)?)));
        let Some((entry, age)) = found else { return Ok(false) };
        let gone = entry.fresh_until.map(|end| end + entry.spans.stale_ms as u64 * NS_A_MS);
        let item = Item {
            value: entry.value(),
            age,
            version: entry.version,
            ends: Ends::In { fresh: remaining(entry.fresh_until, now), left: remaining(gone, now) },
        };
        let tags = entry.tags.iter().map(|tag| Namespace::parse("tags", tag.as_bytes()));
        let fresh_for = entry.fresh_until.map(|end| Duration::from_nanos(end.saturating_sub(now)));
        read(Whole { item, tags: &tags.collect::<Result<Vec<_>>>()?, fresh_for });
        Ok(true)
    }

    fn set(&self, at: &Address<'_>, draft: &Draft<'_>) -> Result<Written> {
        let mut state = self.state.lock();
        let (now, place) = (self.now(), place(at));
        let there = state.items.get(&place).filter(|entry| entry.is_there(now));
        let version = there.map_or(0, |entry| entry.version);
        if !draft.condition.holds(version) {
            return Ok(Written::Refused(version));
        }
        let kept = there.filter(|_| draft.keep_lifetime).map(|entry| (entry.fresh_until, entry.spans));
        state.last_version += 1;
        let version = state.last_version;
        let mut entry = self.entry(draft, version);
        if let Some((fresh_until, spans)) = kept {
            (entry.fresh_until, entry.spans) = (fresh_until, spans);
        }
        state.items.insert(place, entry);
        Ok(Written::Done(version))
    }

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        let place = place(at);
        Ok(self.take(|other, _| *other == place) > 0)
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        let mut state = self.state.lock();
        let (now, place) = (self.now(), place(at));
        let there = state.items.get(&place).filter(|entry| entry.is_there(now));
        let sum = there.map_or(Ok(delta), |entry| entry.value().plus(delta))?;
        let (fresh_until, spans, tags) = match there {
            Some(entry) => (entry.fresh_until, entry.spans, entry.tags.clone()),
            None => (self.until(lifetime), Spans::default(), Vec::new()),
        };
        state.last_version += 1;
        let version = state.last_version;
        state.items.insert(place, Entry { value: Owned::Integer(sum), version, fresh_until, spans, tags });
        Ok(sum)
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        let mut state = self.state.lock();
        let (now, place) = (self.now(), place(at));
        let Some(entry) = state.items.get_mut(&place).filter(|entry| entry.is_there(now)) else {
            return Ok(Expired::Missing);
        };
        // To be removed is earlier than any end, those that have passed included.
        let new = lifetime.map_or(Some(0), |lifetime| self.until(lifetime));
        if !condition.holds(entry.fresh_until, new) {
            return Ok(Expired::Refused);
        }
        entry.fresh_until = new;
        if lifetime.is_none() {
            state.items.remove(&place);
        }
        Ok(Expired::Changed)
    }

    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        let owner = owner(scope);
        Ok(self.take(|place, entry| {
            place.0 == owner.0 && place.1 == owner.1 && entry.tags.iter().any(|own| own == tag.as_str())
        }))
    }

    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        let room = room(space);
        Ok(self.take(|place, _| is_in(place, &room) && pattern.matches(&place.3)))
    }

    fn clear(&self, space: &Space<'_>) -> Result<u64> {
        let room = room(space);
        Ok(self.take(|place, _| is_in(place, &room)))
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page> {
        let (state, now, room) = (self.state.lock(), self.now(), room(space));
        let after = match cursor.map(|cursor| cursor.strip_prefix('>')) {
            None => None,
            Some(Some(key)) => Some(key),
            Some(None) => return Err(Error::argument("cursor", "no page has had it")),
        };
        let mut keys = state.items.iter().filter_map(|(place, entry)| {
            let key = &place.3;
            let fits = is_in(place, &room) && entry.is_there(now) && key.starts_with(prefix);
            (fits && after.is_none_or(|after| key.as_str() > after)).then(|| key.clone())
        });
        let page: Vec<_> = keys.by_ref().take(limit).collect();
        let next = keys.next().and(page.last()).map(|key| format!(">{key}"));
        Ok(Page { keys: page, next })
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        let (state, now) = (self.state.lock(), self.now());
        let mut plugins: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (place, entry) in &state.items {
            if matches!(entry.age(now), Some(Age::Fresh | Age::Stale)) {
                let (items, bytes) = plugins.entry(&place.0).or_default();
                *items += 1;
                *bytes += place.3.len() as u64
                    + match &entry.value {
                        Owned::Bytes(bytes) => bytes.len() as u64,
                        Owned::Integer(_) | Owned::Absent => 8,
                    };
            }
        }
        let used =
            |(plugin, (items, bytes)): (&str, _)| Usage { plugin: plugin.into(), items, bytes, evicted: 0 };
        Ok(plugins.into_iter().map(used).collect())
    }

    fn capacity(&self) -> u64 {
        u64::MAX
    }

    fn guaranteed(&self) -> u64 {
        u64::MAX
    }

    fn set_plugins(&self, _: usize) {}

    fn remove_plugin(&self, id: &str) -> Result<u64> {
        Ok(self.take(|place, _| place.0 == id))
    }

    fn close(&self) {
        self.state.lock().items.clear();
    }
}

mod tests {
    use super::{super::conformance::cache_conformance, Model};

    cache_conformance!(|clock| Box::new(Model::new(clock)));
}
