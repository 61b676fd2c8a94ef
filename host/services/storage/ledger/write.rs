//! A batch as a write of the ledger: its steps one after the other, then what the quotas say, then the outbox.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{OptionalExtension, params};

use super::{
    super::{Action, Batch, Change, ChangeKind, Lifetime, Outcome, Quotas, Refused, item},
    outbox::Outbox,
    quota::{self, Growth},
    schema,
    state::{Place, State},
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        keys::Key,
        ledger::{Fault, Transaction, Write},
    },
};

/// The longest text of a 64-bit integer.
const LONGEST_NUMBER: usize = 20;

/// A batch, copied.
pub(super) struct Apply {
    state: Arc<State>,
    place: Place,
    steps: Vec<Step>,
    outbox: Option<Outbox>,
    quotas: Quotas,
    size: usize,
    failed: Arc<Mutex<Option<Failed>>>,
}

struct Step {
    key: Arc<str>,
    if_version: Option<u64>,
    deed: Deed,
}

/// As [`Action`], with what is written.
enum Deed {
    Set { value: Box<[u8]>, lifetime: Lifetime },
    Remove,
    Incr { delta: i64, lifetime: Lifetime },
    Expire { lifetime: Lifetime },
    Check,
}

/// Where a batch failed.
#[derive(Clone, Copy)]
struct Failed {
    step: usize,
    current: u64,
    kind: ErrorKind,
}

/// What a batch has done.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    /// The scope's number, where it had to be looked up.
    looked_up: Option<i64>,
    /// When the first of what it wrote expires.
    soonest: Option<i64>,
    removed: u64,
    now_ms: i64,
}

impl Apply {
    pub(super) fn of(state: &Arc<State>, place: Place, batch: &Batch<'_>) -> Result<Self> {
        let mut steps = Vec::with_capacity(batch.steps.len());
        let mut size = 0;
        for step in batch.steps {
            let deed = match step.action {
                Action::Set { value, lifetime } => {
                    size += value.len();
                    Deed::Set { value: copied(value)?, lifetime }
                }
                Action::Remove => Deed::Remove,
                Action::Incr { delta, lifetime } => Deed::Incr { delta, lifetime },
                Action::Expire { lifetime } => Deed::Expire { lifetime },
                Action::Check => Deed::Check,
            };
            size += step.key.as_str().len();
            steps.push(Step { key: step.key.as_str().into(), if_version: step.if_version, deed });
        }
        let outbox = Outbox::of(batch);
        size += outbox.as_ref().map_or(0, Outbox::size);
        let (state, failed) = (Arc::clone(state), Arc::default());
        Ok(Self { state, place, steps, outbox, quotas: batch.quotas, size, failed })
    }

    /// Says of an error that this write is going to answer where it failed.
    pub(super) fn refusal(&self) -> impl FnOnce(Error) -> Refused + use<> {
        let failed = Arc::clone(&self.failed);
        move |error| match failed.lock().take() {
            // The disk may have failed after the step did.
            Some(Failed { step, current, kind }) if kind == error.kind() => {
                Refused { step: Some(step), current, error }
            }
            _ => error.into(),
        }
    }

    fn run(&self, transaction: &Transaction<'_>) -> Result<Done, Fault> {
        let mut run = Run::new(self, transaction);
        let mut outcomes = Vec::with_capacity(self.steps.len());
        for (at, step) in self.steps.iter().enumerate() {
            match run.step(step) {
                Ok(outcome) => outcomes.push(outcome),
                Err(fault) => {
                    if let Fault::Refused(error) = &fault {
                        let kind = error.kind();
                        let current = if kind == ErrorKind::Conflict { run.found } else { 0 };
                        *self.failed.lock() = Some(Failed { step: at, current, kind });
                    }
                    return Err(fault);
                }
            }
        }
        run.count()?;
        if let Some(outbox) = &self.outbox {
            outbox.write(transaction, &self.place)?;
        }
        let looked_up = run.scope.filter(|_| run.looked_up);
        Ok(Done {
            outcomes,
            looked_up,
            soonest: run.soonest,
            removed: run.removed,
            now_ms: transaction.now_ms(),
        })
    }
}

impl Write for Apply {
    type Answer = Done;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Done, Fault> {
        // It may be run again.
        *self.failed.lock() = None;
        self.run(transaction)
    }

    fn size(&self) -> usize {
        self.size
    }

    fn committed(&self, done: &Done) {
        let Self { state, place, .. } = self;
        if let Some(number) = done.looked_up {
            state.numbers.keep(place, number);
        }
        if let Some(last) = done.outcomes.iter().map(|outcome| outcome.version).max() {
            state.versions.committed(last);
        }
        if let Some(soonest) = done.soonest {
            state.due.expires(soonest);
        }
        if done.removed > 0 {
            state.due.removed(done.removed);
        }
        let written = self.steps.iter().zip(&done.outcomes).filter(|(_, outcome)| outcome.version > 0);
        state.listeners.tell(written.map(|(step, outcome)| {
            let kind = match step.deed {
                Deed::Remove => ChangeKind::Removed,
                _ => ChangeKind::Set,
            };
            let change =
                Change { kind, key: Arc::clone(&step.key), version: outcome.version, at_ms: done.now_ms };
            (place, change)
        }));
    }
}

/// The item that lies under a key, expired or not.
struct Old {
    version: u64,
    created_ms: i64,
    expires_ms: Option<i64>,
    /// Of key and value.
    bytes: i64,
    /// The value of a counter, if it was asked for; empty if it is too long for one.
    number: Option<Vec<u8>>,
}

/// A batch that runs.
struct Run<'a> {
    batch: &'a Apply,
    transaction: &'a Transaction<'a>,
    /// None where the scope has no row yet.
    scope: Option<i64>,
    looked_up: bool,
    /// The version that the last step's item had; 0: it was not there.
    found: u64,
    /// What there is more or less of.
    kept: Growth,
    /// The same, of what has not expired.
    live: Growth,
    soonest: Option<i64>,
    removed: u64,
}

impl<'a> Run<'a> {
    fn new(batch: &'a Apply, transaction: &'a Transaction<'a>) -> Self {
        let (kept, live) = (Growth::default(), Growth::default());
        let scope = None;
        Self { batch, transaction, scope, looked_up: false, found: 0, kept, live, soonest: None, removed: 0 }
    }

    fn step(&mut self, step: &Step) -> Result<Outcome, Fault> {
        let counts = matches!(step.deed, Deed::Incr { .. });
        let old = self.find(&step.key, counts)?;
        let now = self.transaction.now_ms();
        let there = old.as_ref().filter(|old| old.expires_ms.is_none_or(|at| at > now));
        self.found = there.map_or(0, |old| old.version);
        if let Some(wanted) = step.if_version
            && wanted != self.found
        {
            return Err(item::conflict(key(step), wanted, self.found).into());
        }
        let at = |lifetime| match lifetime {
            Lifetime::Endless => None,
            Lifetime::Ms(ms) => Some(now.saturating_add(ms)),
            Lifetime::Keep => there.and_then(|old| old.expires_ms),
        };
        match &step.deed {
            Deed::Check => Ok(Outcome::default()),
            Deed::Set { value, lifetime } => {
                let version = self.put(step, value, at(*lifetime), old.as_ref(), there)?;
                Ok(Outcome { version, value: 0 })
            }
            Deed::Incr { delta, lifetime } => {
                let number = there.map(|old| old.number.as_deref().unwrap_or_default());
                let value = item::sum(key(step), number, *delta)?;
                let lifetime = if there.is_some() { Lifetime::Keep } else { *lifetime };
                let text = itoa::Buffer::new().format(value).to_owned();
                let version = self.put(step, text.as_bytes(), at(lifetime), old.as_ref(), there)?;
                Ok(Outcome { version, value })
            }
            Deed::Remove => match there {
                Some(old) => Ok(Outcome { version: self.remove(step, old)?, value: 1 }),
                None => Ok(Outcome::default()),
            },
            Deed::Expire { lifetime } => match there {
                Some(old) => Ok(Outcome { version: self.expire(old, at(*lifetime))?, value: 1 }),
                None => Ok(Outcome::default()),
            },
        }
    }

    fn find(&mut self, key: &str, counts: bool) -> Result<Option<Old>, Fault> {
        if self.scope.is_none() {
            self.find_scope()?;
        }
        let Some(scope) = self.scope else { return Ok(None) };
        let mut find = self.transaction.prepare(
            "SELECT version, created_ms, expires_ms, length(key) + length(value),
                CASE WHEN ?3 AND length(value) <= ?4 THEN value END
            FROM storage_items WHERE scope = ?1 AND key = ?2",
        )?;
        let found = find.query_row(params![scope, key.as_bytes(), counts, LONGEST_NUMBER], |row| {
            Ok(Old {
                version: row.get(0)?,
                created_ms: row.get(1)?,
                expires_ms: row.get(2)?,
                bytes: row.get(3)?,
                number: row.get(4)?,
            })
        });
        Ok(found.optional()?)
    }

    fn find_scope(&mut self) -> Result<(), Fault> {
        let Apply { state, place, .. } = self.batch;
        self.scope = state.numbers.find_written(place);
        if self.scope.is_none() {
            self.scope = self
                .transaction
                .prepare("SELECT scope FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2")?
                .query_row(params![place.plugin, place.tenant], |row| row.get(0))
                .optional()?;
            self.looked_up = true;
        }
        Ok(())
    }

    /// The scope's number; a new scope is called after the version that is its first.
    fn make_scope(&mut self, version: u64) -> Result<i64, Fault> {
        if let Some(scope) = self.scope {
            return Ok(scope);
        }
        let Place { plugin, tenant } = &self.batch.place;
        let scope = self
            .transaction
            .prepare(
                "INSERT INTO storage_scopes (scope, plugin, tenant, items, bytes, floor)
                SELECT ?1, ?2, ?3, 0, 0, forgotten FROM storage_floor
                RETURNING scope",
            )?
            .query_row(params![version, plugin, tenant], |row| row.get(0))?;
        self.scope = Some(scope);
        Ok(scope)
    }

    /// Writes an item in the place of `old`, of which `there` is what had not expired.
    fn put(
        &mut self,
        step: &Step,
        value: &[u8],
        expires_ms: Option<i64>,
        old: Option<&Old>,
        there: Option<&Old>,
    ) -> Result<u64, Fault> {
        let version = self.batch.state.versions.next();
        let scope = self.make_scope(version)?;
        let now = self.transaction.now_ms();
        let created = there.map_or(now, |old| old.created_ms);
        match old {
            Some(old) => self
                .transaction
                .prepare(
                    "UPDATE storage_items
                    SET version = ?2, created_ms = ?3, updated_ms = ?4, expires_ms = ?5, value = ?6
                    WHERE version = ?1",
                )?
                .execute(params![old.version, version, created, now, expires_ms, value])?,
            None => self
                .transaction
                .prepare(
                    "INSERT INTO storage_items (version, created_ms, updated_ms, expires_ms, value, scope, key)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![version, created, now, expires_ms, value, scope, step.key.as_bytes()])?,
        };
        let bytes = length(step.key.as_bytes()) + length(value);
        self.kept += Growth::from(old.map(|old| old.bytes), Some(bytes));
        self.live += Growth::from(there.map(|old| old.bytes), Some(bytes));
        self.expires(expires_ms);
        Ok(version)
    }

    fn remove(&mut self, step: &Step, old: &Old) -> Result<u64, Fault> {
        let version = self.batch.state.versions.next();
        let scope = self.make_scope(version)?;
        self.transaction.prepare("DELETE FROM storage_items WHERE version = ?1")?.execute([old.version])?;
        note_removal(
            self.transaction,
            version,
            scope,
            step.key.as_bytes(),
            schema::REMOVED,
            self.transaction.now_ms(),
        )?;
        self.removed += 1;
        self.kept += Growth::from(Some(old.bytes), None);
        self.live += Growth::from(Some(old.bytes), None);
        Ok(version)
    }

    fn expire(&mut self, old: &Old, expires_ms: Option<i64>) -> Result<u64, Fault> {
        let version = self.batch.state.versions.next();
        self.transaction
            .prepare(
                "UPDATE storage_items SET version = ?2, updated_ms = ?3, expires_ms = ?4 WHERE version = ?1",
            )?
            .execute(params![old.version, version, self.transaction.now_ms(), expires_ms])?;
        self.expires(expires_ms);
        Ok(version)
    }

    fn expires(&mut self, at: Option<i64>) {
        self.soonest = match (self.soonest, at) {
            (Some(soonest), Some(at)) => Some(soonest.min(at)),
            (soonest, at) => soonest.or(at),
        };
    }

    /// After the last step: what the scope has, and whether it may.
    fn count(&self) -> Result<(), Fault> {
        let Some(scope) = self.scope else { return Ok(()) };
        let Apply { state, place, quotas, .. } = self.batch;
        quota::count(self.transaction, state, &place.plugin, scope, self.kept)?;
        quota::check(self.transaction, state, place, scope, quotas, self.live)
    }
}

/// Remembers that an item is gone, in the place of what was remembered of its key.
pub(super) fn note_removal(
    transaction: &Transaction<'_>,
    version: u64,
    scope: i64,
    key: &[u8],
    kind: i64,
    at_ms: i64,
) -> Result<(), Fault> {
    transaction
        .prepare(
            "INSERT OR REPLACE INTO storage_removed (version, scope, key, kind, at_ms)
            VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![version, scope, key, kind, at_ms])?;
    Ok(())
}

fn key(step: &Step) -> Key<'_> {
    Key::parse("key", step.key.as_bytes()).expect("it was copied from one")
}

/// A plugin says how large a value is, so that there may be no memory for it: no reason to end the process.
fn copied(value: &[u8]) -> Result<Box<[u8]>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(value.len()).map_err(|_| {
        let len = value.len();
        Error::lazy(ErrorKind::Unavailable, move || {
            format!("the storage got no memory from the system for a value of {len} bytes")
        })
    })?;
    copy.extend_from_slice(value);
    Ok(copy.into_boxed_slice())
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).expect("nothing in memory is longer")
}
