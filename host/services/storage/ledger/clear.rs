//! How all items of a scope go at once: the scope gets another number, and what lies under the old one is deleted later, in
//! small steps.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::{
    super::{Change, ChangeKind},
    quota::Growth,
    state::{Place, State},
    upkeep::{Step, few},
};
use crate::services::ledger::{Fault, Transaction, Write};

/// Clears a scope, and answers how many items there were.
pub(super) struct Clear {
    pub(super) state: Arc<State>,
    pub(super) place: Place,
}

/// What was cleared.
pub(super) struct Cleared {
    pub(super) items: u64,
    /// None: there was nothing.
    version: Option<u64>,
    at_ms: i64,
}

impl Write for Clear {
    type Answer = Cleared;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Cleared, Fault> {
        let Place { plugin, tenant } = &self.place;
        let at_ms = transaction.now_ms();
        let found = transaction
            .prepare(
                "SELECT s.scope, items - count(version), items, bytes
                FROM storage_scopes s LEFT JOIN storage_items i INDEXED BY storage_expiring
                    ON i.scope = s.scope AND expires_ms <= ?3
                WHERE plugin = ?1 AND tenant = ?2 GROUP BY s.scope",
            )?
            .query_row(params![plugin, tenant, at_ms], |row| {
                Ok((row.get(0)?, row.get(1)?, Growth { items: row.get(2)?, bytes: row.get(3)? }))
            })
            .optional()?;
        // What has expired is no more, and is told of as such.
        let Some((old, items, kept)) = found.filter(|(_, items, _)| *items > 0) else {
            return Ok(Cleared { items: 0, version: None, at_ms });
        };
        let old: i64 = old;
        let version = renumber(transaction, &self.state, &self.place, old, kept)?;
        Ok(Cleared { items, version: Some(version), at_ms })
    }

    fn size(&self) -> usize {
        0
    }

    fn committed(&self, cleared: &Cleared) {
        let Some(version) = cleared.version else { return };
        let Self { state, place } = self;
        // Again: a write before it in the group may have said the old one since.
        state.numbers.forget(place);
        state.versions.committed(version);
        state.due.cleared();
        let (kind, key) = (ChangeKind::Cleared, Arc::default());
        state.listeners.tell([(place, Change { kind, key, version, at_ms: cleared.at_ms })]);
    }
}

/// Gives the scope another number, and leaves its items, of which it has `kept`, to be erased.
pub(super) fn renumber(
    transaction: &Transaction<'_>,
    state: &State,
    place: &Place,
    old: i64,
    kept: Growth,
) -> Result<u64, Fault> {
    state.numbers.forget(place);
    let version = state.versions.next();
    transaction.prepare("INSERT INTO storage_cleared VALUES (?1)")?.execute([old])?;
    transaction
        .prepare(
            "UPDATE storage_scopes SET scope = ?2, items = 0, bytes = 0, cleared_ms = ?3 WHERE scope = ?1",
        )?
        .execute(params![old, version, transaction.now_ms()])?;
    state.totals.add(transaction, &place.plugin, -kept)?;
    Ok(version)
}

/// Deletes some of the items under a number that no scope has any more.
pub(super) struct Erase {
    pub(super) scope: i64,
}

impl Write for Erase {
    type Answer = Step;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Step, Fault> {
        let mut find = transaction.prepare(
            "SELECT version, length(value) FROM storage_items INDEXED BY sqlite_autoindex_storage_items_1
            WHERE scope = ?1",
        )?;
        let (items, step) = few(find.query([self.scope])?, 1, |row| row.get::<_, i64>(0))?;
        let mut delete = transaction.prepare("DELETE FROM storage_items WHERE version = ?1")?;
        for item in items {
            delete.execute([item])?;
        }
        if step == Step::Last {
            transaction.prepare("DELETE FROM storage_cleared WHERE scope = ?1")?.execute([self.scope])?;
        }
        Ok(step)
    }

    fn size(&self) -> usize {
        0
    }
}
