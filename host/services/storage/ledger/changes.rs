//! What has changed after a version: a range of the items and one of the removals, in the order of versions.
//!
//! The rows of other scopes lie between, so it is read in steps, each from one state of the tables and of so many rows at
//! most. A change that happens between two steps has a higher version than all that was read, and comes later.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{Change, ChangeKind, Changes, item},
    read::{behind, number, text},
    schema::{EXPIRED, HIGHEST},
    state::Place,
};
use crate::{
    error::Result,
    services::ledger::{Fault, Ledger},
};

/// Rows that are looked through in one step, of items and of removals each.
const STEP: i64 = if cfg!(test) { 8 } else { 10_000 };

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) place: &'a Place,
    pub(super) prefix: &'a str,
    pub(super) after: u64,
    /// Removals up to this version are none of the asker's business.
    pub(super) begun: u64,
    pub(super) limit: usize,
    pub(super) now: i64,
}

struct Scope {
    number: u64,
    cleared_ms: Option<i64>,
    /// Removals up to there may be forgotten.
    floor: u64,
}

impl Asked<'_> {
    pub(super) fn answer(&self, ledger: &Ledger) -> Result<Changes> {
        let mut changes = Changes { list: Vec::new(), up_to: self.after };
        loop {
            let done = ledger.read(|ledger| {
                // Several questions, one state.
                let state = ledger.unchecked_transaction()?;
                self.step(&state, &mut changes)
            })?;
            if done {
                return Ok(changes);
            }
        }
    }

    /// Goes on; tells whether that is all.
    fn step(&self, state: &Connection, changes: &mut Changes) -> Result<bool, Fault> {
        let highest = number(state, HIGHEST)?.map_or(0, i64::cast_unsigned);
        if self.after > highest {
            return Err(item::not_given(self.after, highest).into());
        }
        let scope = self.scope(state)?;
        let floor = match &scope {
            Some(scope) => scope.floor,
            None => number(state, "SELECT forgotten FROM storage_floor")?.map_or(0, i64::cast_unsigned),
        };
        let asked = self.after.max(self.begun);
        if asked < floor {
            return Err(item::forgotten(asked, floor).into());
        }
        let after = changes.up_to;
        let bounds = [
            "SELECT version FROM storage_items WHERE version > ?1 ORDER BY version LIMIT 1 OFFSET ?2",
            "SELECT version FROM storage_removed WHERE version > ?1 ORDER BY version LIMIT 1 OFFSET ?2",
        ];
        let mut up_to = highest;
        for bound in bounds {
            let bound: Option<u64> = state
                .prepare_cached(bound)?
                .query_row(params![after, STEP - 1], |row| row.get(0))
                .optional()?;
            up_to = up_to.min(bound.unwrap_or(up_to));
        }
        let mut list = match scope {
            Some(scope) => self.between(state, &scope, after, up_to)?,
            None => Vec::new(),
        };
        list.sort_unstable_by_key(|change| change.version);
        let room = self.limit - changes.list.len();
        if list.len() >= room {
            list.truncate(room);
            up_to = list.last().map_or(after, |last| last.version);
        }
        changes.list.append(&mut list);
        changes.up_to = up_to;
        Ok(changes.list.len() >= self.limit || up_to >= highest)
    }

    fn scope(&self, state: &Connection) -> Result<Option<Scope>, Fault> {
        let Place { plugin, tenant } = self.place;
        let mut find = state.prepare_cached(
            "SELECT scope, cleared_ms, floor FROM storage_scopes WHERE plugin = ?1 AND tenant = ?2",
        )?;
        let found = find.query_row(params![plugin, tenant], |row| {
            Ok(Scope { number: row.get(0)?, cleared_ms: row.get(1)?, floor: row.get(2)? })
        });
        Ok(found.optional()?)
    }

    /// The changes of the scope after one version and up to another; of each kind at most as many as may be told.
    fn between(
        &self,
        state: &Connection,
        scope: &Scope,
        after: u64,
        up_to: u64,
    ) -> Result<Vec<Change>, Fault> {
        let Scope { number: scope, cleared_ms, .. } = *scope;
        let (first, behind) = (self.prefix.as_bytes(), behind(self.prefix));
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        // The plus keeps the index over (scope, key) out of it.
        let mut list = state
            .prepare_cached(
                "SELECT version, key, updated_ms, 0 FROM storage_items
                WHERE version > ?1 AND version <= ?2 AND +scope = ?3 AND key >= ?4 AND key < ?5
                    AND (expires_ms IS NULL OR expires_ms > ?6)
                ORDER BY version LIMIT ?7",
            )?
            .query_map(params![after, up_to, scope, first, behind, self.now, limit], change)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let after = after.max(self.begun);
        let mut removals = state.prepare_cached(
            "SELECT version, key, at_ms, kind FROM storage_removed r
            WHERE version > ?1 AND version <= ?2 AND +scope = ?3 AND key >= ?4 AND key < ?5
                AND NOT EXISTS (SELECT 1 FROM storage_items i WHERE i.scope = r.scope AND i.key = r.key)
            ORDER BY version LIMIT ?6",
        )?;
        for removal in removals.query_map(params![after, up_to, scope, first, behind, limit], change)? {
            list.push(removal?);
        }
        if let Some(at_ms) = cleared_ms
            && scope > after
            && scope <= up_to
        {
            list.push(Change { kind: ChangeKind::Cleared, key: Arc::default(), version: scope, at_ms });
        }
        Ok(list)
    }
}

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let kind = match row.get(3)? {
        0 => ChangeKind::Set,
        EXPIRED => ChangeKind::Expired,
        _ => ChangeKind::Removed,
    };
    Ok(Change { kind, key: text(row, 1)?.into(), version: row.get(0)?, at_ms: row.get(2)? })
}
