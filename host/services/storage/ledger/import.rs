//! Takes the items of an export, all in one write of the ledger: so they are there at once, or none of them is.
//!
//! They are read from their file as they are written. Only their keys are kept, to tell those who listen.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::{
    super::{Carried, Change, ChangeKind, Import, ImportMode, Imported, export::occupied},
    clear::renumber,
    quota::{Growth, count},
    state::{Place, State},
};
use crate::{
    error::{Error, ErrorKind},
    services::ledger::{Fault, Transaction, Write},
};

/// An import as a write.
pub(super) struct Take {
    pub(super) state: Arc<State>,
    pub(super) import: Import,
}

/// What was taken.
pub(super) struct Taken {
    pub(super) done: Imported,
    /// The scopes that were cleared, with their new numbers.
    cleared: Vec<(Place, u64)>,
    /// The scopes that items went into.
    places: Vec<Place>,
    keys: Keys,
    /// When the first of them expires.
    soonest: Option<i64>,
    /// The last version that was given.
    version: Option<u64>,
    at_ms: i64,
}

/// The keys of the items, where somebody listens. Their versions follow one another.
#[derive(Default)]
struct Keys {
    text: String,
    /// Of each the number of its place, and where its key ends.
    ends: Vec<(usize, usize)>,
    first: u64,
}

impl Write for Take {
    type Answer = Taken;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Taken, Fault> {
        let mut taking = Taking::begin(self, transaction)?;
        // The source knows errors of the host's alone.
        let mut fault = None;
        let given = self.import.source.each(&mut |item| {
            taking.take(item).map_err(|because| {
                fault = Some(because);
                Error::new(ErrorKind::Cancelled, "an item was not taken")
            })
        });
        match fault {
            Some(fault) => Err(fault),
            None => {
                given?;
                taking.leave()?;
                Ok(taking.taken)
            }
        }
    }

    fn size(&self) -> usize {
        usize::try_from(self.import.bytes).unwrap_or(usize::MAX)
    }

    fn committed(&self, taken: &Taken) {
        let state = &self.state;
        // Again: a write before it in the group may have said an old number since.
        taken.cleared.iter().for_each(|(place, _)| state.numbers.forget(place));
        if let Some(version) = taken.version {
            state.versions.committed(version);
        }
        if let Some(soonest) = taken.soonest {
            state.due.expires(soonest);
        }
        if !taken.cleared.is_empty() {
            state.due.cleared();
        }
        state.listeners.tell(taken.changes());
    }
}

impl Taken {
    /// In the order of their versions.
    fn changes(&self) -> impl Iterator<Item = (&Place, Change)> {
        let change = |kind, key, version| Change { kind, key, version, at_ms: self.at_ms };
        let cleared = self
            .cleared
            .iter()
            .map(move |(place, version)| (place, change(ChangeKind::Cleared, Arc::default(), *version)));
        let mut begin = 0;
        let set = (self.keys.first..).zip(&self.keys.ends).map(move |(version, (place, end))| {
            let key = self.keys.text[begin..*end].into();
            begin = *end;
            (&self.places[*place], change(ChangeKind::Set, key, version))
        });
        cleared.chain(set)
    }
}

/// An import within its transaction.
struct Taking<'a> {
    take: &'a Take,
    transaction: &'a Transaction<'a>,
    /// The number of the last of the places, and what it has more.
    open: Option<(i64, Growth)>,
    listened: bool,
    taken: Taken,
}

impl<'a> Taking<'a> {
    /// Makes way for the items.
    fn begin(take: &'a Take, transaction: &'a Transaction<'a>) -> Result<Self, Fault> {
        let mut taken = Taken {
            done: Imported::default(),
            cleared: Vec::new(),
            places: Vec::new(),
            keys: Keys::default(),
            soonest: None,
            version: None,
            at_ms: transaction.now_ms(),
        };
        let Take { state, import } = take;
        if import.mode != ImportMode::Merge {
            for There { place, scope, items, kept } in there(import, transaction)? {
                if import.mode == ImportMode::Empty && items > 0 {
                    return Err(occupied(&place.plugin, &place.tenant, items).into());
                }
                let version = renumber(transaction, state, &place, scope, kept)?;
                taken.done.removed += items;
                taken.version = Some(version);
                taken.cleared.push((place, version));
            }
        }
        Ok(Self { take, transaction, open: None, listened: !state.listeners.is_empty(), taken })
    }

    fn take(&mut self, item: Carried<'_>) -> Result<(), Fault> {
        if item.info.expires_ms.is_some_and(|ends| ends <= self.taken.at_ms) {
            self.taken.done.expired += 1;
            return Ok(());
        }
        let version = self.take.state.versions.next();
        if self.taken.places.last().is_none_or(|last| *last.tenant != *item.tenant) {
            self.leave()?;
            self.enter(item.tenant, version)?;
        }
        let (scope, _) = self.open.expect("it was entered");
        let old = match self.take.import.mode {
            ImportMode::Merge => self.find(scope, &item)?,
            ImportMode::Empty | ImportMode::Replace => None,
        };
        self.put(scope, &item, version, old.map(|(version, _)| version))?;
        let bytes = item.key.as_str().len() + item.value.len();
        if let Some((_, grown)) = &mut self.open {
            *grown += Growth::from(old.map(|(_, bytes)| bytes), Some(bytes as i64));
        }
        let taken = &mut self.taken;
        (taken.done.items, taken.done.bytes) = (taken.done.items + 1, taken.done.bytes + bytes as u64);
        taken.version = Some(version);
        if let Some(ends) = item.info.expires_ms {
            taken.soonest = Some(taken.soonest.map_or(ends, |soonest| soonest.min(ends)));
        }
        if self.listened {
            if taken.keys.ends.is_empty() {
                taken.keys.first = version;
            }
            taken.keys.text.push_str(item.key.as_str());
            taken.keys.ends.push((taken.places.len() - 1, taken.keys.text.len()));
        }
        Ok(())
    }

    /// Version and bytes of the item that lies under the key, expired or not.
    fn find(&self, scope: i64, item: &Carried<'_>) -> Result<Option<(u64, i64)>, Fault> {
        let mut find = self.transaction.prepare(
            "SELECT version, length(key) + length(value) FROM storage_items WHERE scope = ?1 AND key = ?2",
        )?;
        let key = item.key.as_str().as_bytes();
        Ok(find.query_row(params![scope, key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn put(&self, scope: i64, item: &Carried<'_>, version: u64, old: Option<u64>) -> Result<(), Fault> {
        let (key, info) = (item.key.as_str().as_bytes(), &item.info);
        match old {
            Some(old) => self
                .transaction
                .prepare(
                    "UPDATE storage_items
                    SET version = ?2, created_ms = ?3, updated_ms = ?4, expires_ms = ?5, value = ?6
                    WHERE version = ?1",
                )?
                .execute(params![
                    old,
                    version,
                    info.created_ms,
                    info.updated_ms,
                    info.expires_ms,
                    item.value
                ])?,
            None => self
                .transaction
                .prepare(
                    "INSERT INTO storage_items (version, scope, key, created_ms, updated_ms, expires_ms, value)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    version,
                    scope,
                    key,
                    info.created_ms,
                    info.updated_ms,
                    info.expires_ms,
                    item.value
                ])?,
        };
        Ok(())
    }

    /// Begins with the items of a tenant, of which `version` is the first.
    fn enter(&mut self, tenant: &str, version: u64) -> Result<(), Fault> {
        let place = Place { plugin: Arc::clone(&self.take.import.plugin), tenant: tenant.into() };
        let found = self
            .transaction
            .prepare("SELECT scope FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2")?
            .query_row(params![place.plugin, place.tenant], |row| row.get(0))
            .optional()?;
        let scope = match found {
            Some(scope) => scope,
            None => self
                .transaction
                .prepare(
                    "INSERT INTO storage_scopes (scope, plugin, tenant, items, bytes, floor)
                    SELECT ?1, ?2, ?3, 0, 0, forgotten FROM storage_floor
                    RETURNING scope",
                )?
                .query_row(params![version, place.plugin, place.tenant], |row| row.get(0))?,
        };
        self.open = Some((scope, Growth::default()));
        self.taken.places.push(place);
        Ok(())
    }

    /// Is done with the items of a tenant.
    fn leave(&mut self) -> Result<(), Fault> {
        match self.open.take() {
            Some((scope, grown)) => {
                let Take { state, import } = self.take;
                count(self.transaction, state, &import.plugin, scope, grown)
            }
            None => Ok(()),
        }
    }
}

/// A scope that the import is about, and that has items.
struct There {
    place: Place,
    scope: i64,
    /// Those that have not expired.
    items: u64,
    /// Those too that have.
    kept: Growth,
}

fn there(import: &Import, transaction: &Transaction<'_>) -> Result<Vec<There>, Fault> {
    let mut list = transaction.prepare(
        "SELECT tenant, s.scope, items - count(version), items, bytes
        FROM storage_scopes s LEFT JOIN storage_items i INDEXED BY storage_expiring
            ON i.scope = s.scope AND expires_ms <= ?2
        WHERE plugin = ?1 AND items > 0 GROUP BY s.scope ORDER BY tenant",
    )?;
    let all = list.query_map(params![import.plugin, transaction.now_ms()], |row| {
        let place = Place { plugin: Arc::clone(&import.plugin), tenant: row.get(0)? };
        let kept = Growth { items: row.get(3)?, bytes: row.get(4)? };
        Ok(There { place, scope: row.get(1)?, items: row.get(2)?, kept })
    })?;
    let mut all = all.collect::<rusqlite::Result<Vec<_>>>()?;
    all.retain(|there| import.tenants.include(&there.place.tenant));
    Ok(all)
}
