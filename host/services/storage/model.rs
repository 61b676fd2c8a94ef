//! The plain model of the storage: ordered maps, with every promise spelled out and no thought of speed. The other back
//! ends are compared with it. It keeps no events and no jobs: what becomes of those is told by whoever drains them.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use super::{
    Action, Batch, Carried, Change, ChangeKind, Changes, GoOn, Import, ImportMode, Imported, Info, Lifetime,
    Listener, Outcome, Quota, Refused, Step, StorageBackend, StorageCheck, Usage, export::occupied, item,
};
use crate::{
    error::Result,
    identity::DataScope,
    services::{clock::Clock, keys::Key},
};

/// For how long removals are remembered, in milliseconds.
pub(super) const REMEMBERED_MS: i64 = 24 * 3_600_000;

/// Plugin and tenant.
type Place = (Arc<str>, Arc<str>);

/// Whoever has a clone has the same storage.
#[derive(Clone)]
pub(super) struct Model {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    scopes: BTreeMap<Place, Scope>,
    /// The version that was given last.
    last: u64,
    /// The newest version of a removal that is not remembered any more.
    forgotten: u64,
    listeners: Vec<Arc<dyn Listener>>,
}

#[derive(Clone, Default)]
struct Scope {
    items: BTreeMap<Arc<str>, Item>,
    gone: BTreeMap<Arc<str>, Gone>,
    /// Versions and times.
    cleared: Vec<(u64, i64)>,
}

#[derive(Clone)]
struct Item {
    value: Arc<[u8]>,
    info: Info,
}

/// An item that was removed or has expired.
#[derive(Clone)]
struct Gone {
    kind: ChangeKind,
    version: u64,
    at_ms: i64,
    /// Where it has expired: when that was, and the bytes that it may still count for a moment.
    expired_ms: Option<i64>,
    bytes: u64,
}

/// A change, and whether every back end must tell it: one that a later `clear` covers, an earlier `clear` too, and an item that has expired but is
/// perhaps not swept yet, need not be told.
pub(super) struct Told {
    pub(super) change: Change,
    pub(super) must: bool,
}

impl Model {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Another storage that has what this one has now.
    pub(super) fn copy(&self) -> Self {
        let state = self.enter().clone();
        Self { clock: Arc::clone(&self.clock), state: Arc::new(Mutex::new(state)) }
    }

    /// All changes of the scope after this version; after 0 what is there.
    pub(super) fn told(&self, scope: &DataScope<'_>, prefix: &str, after: u64) -> Vec<Told> {
        let place = place(scope).expect("the scope is held");
        let state = self.enter();
        let mut told = state.scopes.get(&place).map(|scope| scope.told(prefix, after)).unwrap_or_default();
        told.retain(|told| after != 0 || told.change.kind == ChangeKind::Set);
        told
    }

    /// The newest version of a removal that is not remembered any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.enter().forgotten
    }

    /// What has expired in the scope and may count for a moment: items and bytes.
    pub(super) fn lingering(&self, plugin: &str, tenant: &str) -> (u64, u64) {
        let state = self.enter();
        let Some(scope) = state.scopes.get(&(plugin.into(), tenant.into())) else { return (0, 0) };
        let expired = scope.gone.values().filter(|gone| gone.kind == ChangeKind::Expired);
        expired.fold((0, 0), |(items, bytes), gone| (items + 1, bytes + gone.bytes))
    }

    /// The latest end of a lifetime that is over: a clock that is set back behind it might show the item again, or not.
    pub(super) fn last_expiry(&self) -> Option<i64> {
        let state = self.enter();
        state.scopes.values().flat_map(|scope| scope.gone.values()).filter_map(|gone| gone.expired_ms).max()
    }

    /// The state, where what has expired is gone and old removals are forgotten.
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.expire(self.clock.now_ms());
        state
    }
}

impl State {
    fn expire(&mut self, now: i64) {
        let Self { scopes, last, forgotten, listeners } = self;
        for (place, scope) in scopes.iter_mut() {
            let is_over = |item: &Item| item.info.expires_ms.is_some_and(|end| end <= now);
            let over: Vec<_> = scope
                .items
                .iter()
                .filter(|(_, item)| is_over(item))
                .map(|(key, _)| Arc::clone(key))
                .collect();
            for key in over {
                *last += 1;
                let change = Change { kind: ChangeKind::Expired, key, version: *last, at_ms: now };
                scope.bury(&change);
                tell(listeners, place, &change);
            }
            let mut forget = |version: u64, at_ms: i64| {
                let old = at_ms.saturating_add(REMEMBERED_MS) <= now;
                if old {
                    *forgotten = version.max(*forgotten);
                }
                !old
            };
            scope.gone.retain(|_, gone| forget(gone.version, gone.at_ms));
            scope.cleared.retain(|(version, at_ms)| forget(*version, *at_ms));
        }
    }

    fn usage(&self, plugin: &str, tenant: Option<&str>) -> (u64, u64) {
        let of = self
            .scopes
            .iter()
            .filter(|((id, of), _)| &**id == plugin && tenant.is_none_or(|tenant| tenant == &**of));
        of.fold((0, 0), |(items, bytes), (_, scope)| {
            (items + scope.items.len() as u64, bytes + scope.bytes())
        })
    }
}

impl Scope {
    fn bytes(&self) -> u64 {
        self.items.iter().map(|(key, item)| (key.len() + item.value.len()) as u64).sum()
    }

    fn set(&mut self, change: &Change, value: Arc<[u8]>, expires_ms: Option<i64>) {
        let Change { key, version, at_ms: now, .. } = change;
        let created_ms = self.items.get(key).map_or(*now, |item| item.info.created_ms);
        let info = Info { version: *version, created_ms, updated_ms: *now, expires_ms };
        self.gone.remove(key);
        self.items.insert(Arc::clone(key), Item { value, info });
    }

    fn bury(&mut self, change: &Change) {
        let Change { kind, key, version, at_ms } = change;
        let Some(Item { value, info }) = self.items.remove(key) else { return };
        let expired_ms = info.expires_ms.filter(|_| *kind == ChangeKind::Expired);
        let bytes = (key.len() + value.len()) as u64;
        let gone = Gone { kind: *kind, version: *version, at_ms: *at_ms, expired_ms, bytes };
        self.gone.insert(Arc::clone(key), gone);
    }

    /// In the order of versions.
    fn told(&self, prefix: &str, after: u64) -> Vec<Told> {
        let told = |kind, key: &Arc<str>, version, at_ms, must| {
            let change = Change { kind, key: Arc::clone(key), version, at_ms };
            Told { change, must }
        };
        let items = self
            .items
            .iter()
            .map(|(key, Item { info, .. })| told(ChangeKind::Set, key, info.version, info.updated_ms, true));
        let gone = self.gone.iter().map(|(key, gone)| {
            let covered = self.cleared.iter().any(|(version, _)| *version > gone.version);
            let must = gone.kind == ChangeKind::Removed && !covered;
            told(gone.kind, key, gone.version, gone.at_ms, must)
        });
        let nothing = Arc::from("");
        let cleared = self.cleared.iter().map(|(version, at_ms)| {
            let is_newest = self.cleared.last().is_none_or(|(newest, _)| newest == version);
            told(ChangeKind::Cleared, &nothing, *version, *at_ms, is_newest)
        });
        let mut list: Vec<_> = items.chain(gone).chain(cleared).collect();
        list.retain(|told| {
            let Change { kind, key, version, .. } = &told.change;
            *version > after && (*kind == ChangeKind::Cleared || key.starts_with(prefix))
        });
        list.sort_by_key(|told| told.change.version);
        list
    }
}

/// A batch on its way: on a copy of the scope, which is thrown away if it fails.
struct Attempt {
    scope: Scope,
    last: u64,
    now: i64,
    changes: Vec<Change>,
}

impl Attempt {
    fn step(&mut self, step: &Step<'_>) -> Result<Outcome, Refused> {
        let old = self.scope.items.get(step.key.as_str()).cloned();
        let current = old.as_ref().map_or(0, |old| old.info.version);
        if let Some(wanted) = step.if_version.filter(|wanted| *wanted != current) {
            return Err(Refused { step: None, current, error: item::conflict(step.key, wanted, current) });
        }
        let expires = old.as_ref().and_then(|old| old.info.expires_ms);
        match step.action {
            Action::Check => Ok(Outcome::default()),
            Action::Set { value, lifetime } => {
                let expires = if lifetime == Lifetime::Keep { expires } else { self.end(lifetime) };
                Ok(Outcome { version: self.set(step.key, value.into(), expires), value: 0 })
            }
            Action::Incr { delta, lifetime } => {
                let sum = item::sum(step.key, old.as_ref().map(|old| &*old.value), delta)?;
                let expires = if old.is_some() { expires } else { self.end(lifetime) };
                let text: Arc<[u8]> = sum.to_string().into_bytes().into();
                Ok(Outcome { version: self.set(step.key, text, expires), value: sum })
            }
            Action::Remove | Action::Expire { .. } if old.is_none() => Ok(Outcome::default()),
            Action::Remove => {
                let change = self.change(ChangeKind::Removed, step.key);
                self.scope.bury(&change);
                Ok(Outcome { version: change.version, value: 1 })
            }
            Action::Expire { lifetime } => {
                let value = old.map(|old| old.value).unwrap_or_default();
                let expires = self.end(lifetime);
                Ok(Outcome { version: self.set(step.key, value, expires), value: 1 })
            }
        }
    }

    fn set(&mut self, key: Key<'_>, value: Arc<[u8]>, expires_ms: Option<i64>) -> u64 {
        let change = self.change(ChangeKind::Set, key);
        self.scope.set(&change, value, expires_ms);
        change.version
    }

    fn change(&mut self, kind: ChangeKind, key: Key<'_>) -> Change {
        self.last += 1;
        let change = Change { kind, key: key.as_str().into(), version: self.last, at_ms: self.now };
        self.changes.push(change.clone());
        change
    }

    fn end(&self, lifetime: Lifetime) -> Option<i64> {
        match lifetime {
            Lifetime::Ms(ms) => Some(self.now.saturating_add(ms)),
            Lifetime::Endless | Lifetime::Keep => None,
        }
    }
}

impl StorageBackend for Model {
    fn get(&self, scope: &DataScope<'_>, key: Key<'_>, read: &mut dyn FnMut(&[u8], Info)) -> Result<bool> {
        let place = place(scope)?;
        let state = self.enter();
        let found = state.scopes.get(&place).and_then(|scope| scope.items.get(key.as_str()));
        let Some(Item { value, info }) = found.cloned() else { return Ok(false) };
        drop(state);
        read(&value, info);
        Ok(true)
    }

    fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        self.get(scope, key, &mut |_, _| ())
    }

    fn keys(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<Key<'_>>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let place = place(scope)?;
        let state = self.enter();
        let Some(scope) = state.scopes.get(&place) else { return Ok(Vec::new()) };
        let listed = scope
            .items
            .keys()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| &***key > after.as_str()));
        Ok(listed.take(limit).map(|key| key.to_string()).collect())
    }

    fn apply(&self, scope: &DataScope<'_>, batch: &Batch<'_>) -> Result<Vec<Outcome>, Refused> {
        let place = place(scope)?;
        let mut state = self.enter();
        let mut attempt = Attempt {
            scope: state.scopes.get(&place).cloned().unwrap_or_default(),
            last: state.last,
            now: self.clock.now_ms(),
            changes: Vec::new(),
        };
        let mut outcomes = Vec::new();
        for (at, step) in batch.steps.iter().enumerate() {
            let done = attempt.step(step);
            outcomes.push(done.map_err(|refused| Refused { step: Some(at), ..refused })?);
        }
        let (plugin, tenant) = &place;
        let [of_plugin, of_tenant] = [None, Some(&**tenant)].map(|tenant| state.usage(plugin, tenant));
        let (items, bytes) = (attempt.scope.items.len() as u64, attempt.scope.bytes());
        let after = (of_plugin.0 - of_tenant.0 + items, of_plugin.1 - of_tenant.1 + bytes);
        check(batch.quotas.plugin, of_plugin, after)?;
        check(batch.quotas.tenant, of_tenant, (items, bytes))?;
        state.last = attempt.last;
        for change in &attempt.changes {
            tell(&state.listeners, &place, change);
        }
        state.scopes.insert(place, attempt.scope);
        Ok(outcomes)
    }

    fn clear(&self, scope: &DataScope<'_>) -> Result<u64> {
        let place = place(scope)?;
        let now = self.clock.now_ms();
        let mut state = self.enter();
        let version = state.last + 1;
        let Some(scope) = state.scopes.get_mut(&place).filter(|scope| !scope.items.is_empty()) else {
            return Ok(0);
        };
        let removed = scope.items.len() as u64;
        scope.items.clear();
        scope.cleared.push((version, now));
        state.last = version;
        let change = Change { kind: ChangeKind::Cleared, key: "".into(), version, at_ms: now };
        tell(&state.listeners, &place, &change);
        Ok(removed)
    }

    fn changes(&self, scope: &DataScope<'_>, prefix: &str, after: u64, limit: usize) -> Result<Changes> {
        let begun = if after == 0 { self.version()? } else { 0 };
        self.changes_since(scope, prefix, after, begun, limit)
    }

    fn changes_since(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: u64,
        begun: u64,
        limit: usize,
    ) -> Result<Changes> {
        let place = place(scope)?;
        let state = self.enter();
        let asked = after.max(begun);
        if after > state.last || asked < state.forgotten {
            return Err(item::forgotten(asked, state.forgotten));
        }
        let mut list = state.scopes.get(&place).map(|scope| scope.told(prefix, after)).unwrap_or_default();
        list.retain(|Told { change, .. }| change.kind == ChangeKind::Set || change.version > begun);
        let more = list.len() > limit;
        list.truncate(limit);
        let list: Vec<_> = list.into_iter().map(|told| told.change).collect();
        let up_to = list.last().filter(|_| more).map_or(state.last, |last| last.version);
        Ok(Changes { list, up_to })
    }

    fn version(&self) -> Result<u64> {
        Ok(self.enter().last)
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.enter().listeners.push(listener);
    }

    fn usage_of(&self, scope: &DataScope<'_>) -> Result<Usage> {
        let (plugin, tenant) = place(scope)?;
        let (items, bytes) = self.enter().usage(&plugin, Some(&tenant));
        Ok(Usage { plugin, tenant, items, bytes })
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        let state = self.enter();
        let some = state.scopes.iter().filter(|(_, scope)| !scope.items.is_empty());
        let usage = some.map(|((plugin, tenant), scope)| Usage {
            plugin: Arc::clone(plugin),
            tenant: Arc::clone(tenant),
            items: scope.items.len() as u64,
            bytes: scope.bytes(),
        });
        Ok(usage.collect())
    }

    fn export(
        &self,
        plugin: &str,
        tenant: Option<&str>,
        each: &mut dyn FnMut(Carried<'_>) -> Result<()>,
    ) -> Result<()> {
        let scopes = self.enter().scopes.clone();
        for ((id, of), scope) in &scopes {
            if **id == *plugin && tenant.is_none_or(|tenant| *tenant == **of) {
                for (key, Item { value, info }) in &scope.items {
                    let key = Key::parse("key", key.as_bytes())?;
                    each(Carried { tenant: of, key, value, info: *info })?;
                }
            }
        }
        Ok(())
    }

    fn import(&self, import: Import) -> Result<Imported> {
        let mut state = self.enter();
        let mut taking = Taking { state: state.clone(), done: Imported::default(), changes: Vec::new() };
        let now = self.clock.now_ms();
        if import.mode != ImportMode::Merge {
            taking.make_way(&import, now)?;
        }
        import.source.each(&mut |item| {
            taking.take((Arc::clone(&import.plugin), item.tenant.into()), &item, now);
            Ok(())
        })?;
        *state = taking.state;
        for (place, change) in &taking.changes {
            tell(&state.listeners, place, change);
        }
        Ok(taking.done)
    }

    fn verify(&self, _thorough: bool, go_on: &GoOn) -> Result<StorageCheck> {
        go_on()?;
        let mut found = StorageCheck::default();
        for usage in self.usage()? {
            found.scopes += 1;
            (found.items, found.bytes) = (found.items + usage.items, found.bytes + usage.bytes);
        }
        Ok(found)
    }

    fn close(&self) {}
}

/// An import on its way: on a copy of everything, which is thrown away if it fails.
struct Taking {
    state: State,
    done: Imported,
    changes: Vec<(Place, Change)>,
}

impl Taking {
    /// What is there goes, or is in the way.
    fn make_way(&mut self, import: &Import, now: i64) -> Result<()> {
        let State { scopes, last, .. } = &mut self.state;
        for (place, scope) in scopes {
            let (plugin, tenant) = place;
            let items = scope.items.len() as u64;
            if *plugin != import.plugin || items == 0 || !import.tenants.include(tenant) {
                continue;
            }
            if import.mode == ImportMode::Empty {
                return Err(occupied(plugin, tenant, items));
            }
            *last += 1;
            scope.items.clear();
            scope.cleared.push((*last, now));
            self.done.removed += items;
            let change = Change { kind: ChangeKind::Cleared, key: "".into(), version: *last, at_ms: now };
            self.changes.push((place.clone(), change));
        }
        Ok(())
    }

    fn take(&mut self, place: Place, item: &Carried<'_>, now: i64) {
        if item.info.expires_ms.is_some_and(|ends| ends <= now) {
            self.done.expired += 1;
            return;
        }
        self.state.last += 1;
        let (key, version): (Arc<str>, _) = (item.key.as_str().into(), self.state.last);
        let scope = self.state.scopes.entry(place.clone()).or_default();
        scope.gone.remove(&key);
        scope
            .items
            .insert(Arc::clone(&key), Item { value: item.value.into(), info: Info { version, ..item.info } });
        self.done.items += 1;
        self.done.bytes += (key.len() + item.value.len()) as u64;
        self.changes.push((place, Change { kind: ChangeKind::Set, key, version, at_ms: now }));
    }
}

fn place(scope: &DataScope<'_>) -> Result<Place> {
    Ok((Arc::clone(scope.id), Arc::clone(scope.tenant()?.name())))
}

/// QUOTA if there would be more than allowed, and more than before.
fn check(quota: Quota, before: (u64, u64), after: (u64, u64)) -> Result<(), Refused> {
    use crate::error::{Error, ErrorKind};
    let over = |most: Option<u64>, before, after| most.is_some_and(|most| after > most) && after > before;
    if over(quota.items, before.0, after.0) || over(quota.bytes, before.1, after.1) {
        return Err(Error::new(ErrorKind::Quota, "the model is full").into());
    }
    Ok(())
}

fn tell(listeners: &[Arc<dyn Listener>], (plugin, tenant): &Place, change: &Change) {
    for listener in listeners {
        listener.changed(plugin, tenant, change);
    }
}

mod tests {
    use super::{
        super::{
            StorageBackend,
            conformance::{Bed, suites},
        },
        Model,
    };
    use crate::services::clock::ManualClock;
    use std::sync::Arc;

    impl Bed for Model {
        fn new(clock: &Arc<ManualClock>) -> Self {
            Self::new(Arc::clone(clock) as _)
        }

        fn backend(&self) -> Box<dyn StorageBackend> {
            Box::new(self.clone())
        }

        fn restart(self) -> Self {
            self.state.lock().listeners.clear();
            self
        }
    }

    suites!(Model);
}
