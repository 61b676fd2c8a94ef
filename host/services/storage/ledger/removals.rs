//! What goes by time: items that expire, removals that need not be remembered any longer, and scopes that have neither.

use std::{collections::HashMap, sync::Arc};

use rusqlite::params;

use super::{
    super::{Change, ChangeKind},
    quota::{Growth, count},
    schema,
    state::{Place, State},
    upkeep::{MOST_ROWS, few},
    write::note_removal,
};
use crate::services::ledger::{Fault, Transaction, Write};

/// Removes some of the items that have expired.
pub(super) struct Sweep {
    pub(super) state: Arc<State>,
}

/// What was removed, and from where.
type Swept = Vec<(Place, Change)>;

/// An item that has expired.
struct Old {
    version: i64,
    scope: i64,
    key: Box<[u8]>,
    bytes: i64,
    /// None where the scope was cleared since: then that is what there is to be told.
    place: Option<Place>,
}

impl Write for Sweep {
    type Answer = Swept;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Swept, Fault> {
        let at_ms = transaction.now_ms();
        self.state.hot.expired(at_ms);
        let mut find = transaction.prepare(
            "SELECT version, length(key) + length(value), i.scope, key, plugin, tenant
            FROM storage_items i INDEXED BY storage_expiring LEFT JOIN storage_scopes s ON s.scope = i.scope
            WHERE expires_ms <= ?1 ORDER BY expires_ms",
        )?;
        let (items, _) = few(find.query([at_ms])?, 1, |row| {
            let plugin: Option<Arc<str>> = row.get(4)?;
            let tenant: Option<Arc<str>> = row.get(5)?;
            let place = plugin.zip(tenant).map(|(plugin, tenant)| Place { plugin, tenant });
            let (version, bytes) = (row.get(0)?, row.get(1)?);
            Ok(Old { version, bytes, scope: row.get(2)?, key: row.get(3)?, place })
        })?;
        let mut grown = HashMap::<i64, (Arc<str>, Growth)>::new();
        let mut gone = Vec::new();
        let mut delete = transaction.prepare("DELETE FROM storage_items WHERE version = ?1")?;
        for Old { version, scope, key, bytes, place } in items {
            delete.execute([version])?;
            let Some(place) = place else { continue };
            let version = self.state.versions.next();
            note_removal(transaction, version, scope, &key, schema::EXPIRED, at_ms)?;
            let (_, less) =
                grown.entry(scope).or_insert_with(|| (Arc::clone(&place.plugin), Growth::default()));
            *less += Growth::from(Some(bytes), None);
            let key = String::from_utf8_lossy(&key).into();
            gone.push((place, Change { kind: ChangeKind::Expired, key, version, at_ms }));
        }
        for (scope, (plugin, grown)) in grown {
            count(transaction, &self.state, &plugin, scope, grown)?;
        }
        Ok(gone)
    }

    fn size(&self) -> usize {
        0
    }

    fn committed(&self, swept: &Swept) {
        let Some((_, last)) = swept.last() else { return };
        self.state.versions.committed(last.version);
        self.state.due.removed(swept.len() as u64);
        self.state.listeners.tell(swept.iter().map(|(place, change)| (place, change.clone())));
    }
}

/// Forgets some removals, the oldest first.
pub(super) struct Prune {
    /// Those that happened until then.
    pub(super) until_ms: i64,
    /// So many at least.
    pub(super) excess: u64,
}

impl Write for Prune {
    /// How many it has forgotten.
    type Answer = u64;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<u64, Fault> {
        let mut find =
            transaction.prepare("SELECT version, at_ms FROM storage_removed ORDER BY version LIMIT ?1")?;
        let mut oldest = find.query([MOST_ROWS])?;
        let (mut count, mut last) = (0, None);
        while let Some(row) = oldest.next()? {
            let (version, at_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
            if at_ms > self.until_ms && count >= self.excess {
                break;
            }
            (count, last) = (count + 1, Some(version));
        }
        drop(oldest);
        if let Some(last) = last {
            let mut delete = transaction
                .prepare("DELETE FROM storage_removed WHERE version <= ?1 RETURNING scope, version")?;
            let mut gone = delete.query([last])?;
            let mut floors = HashMap::<i64, i64>::new();
            while let Some(row) = gone.next()? {
                let floor = floors.entry(row.get(0)?).or_default();
                *floor = row.get::<_, i64>(1)?.max(*floor);
            }
            drop(gone);
            // None where the scope was cleared since: that is told of in their place.
            let mut raise =
                transaction.prepare("UPDATE storage_scopes SET floor = max(floor, ?2) WHERE scope = ?1")?;
            for floor in floors {
                raise.execute(floor)?;
            }
            raise_floor(transaction, last, 0)?;
        }
        Ok(count)
    }

    fn size(&self) -> usize {
        0
    }
}

/// Forgets some scopes that have no items, and of which no removal is remembered.
pub(super) struct Forget {
    pub(super) state: Arc<State>,
    /// Those that were cleared, if at all, until then.
    pub(super) until_ms: i64,
}

impl Write for Forget {
    type Answer = Vec<Place>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Vec<Place>, Fault> {
        let mut forget = transaction.prepare(
            "DELETE FROM storage_scopes WHERE scope IN (
                SELECT scope FROM storage_scopes s
                WHERE items = 0 AND (cleared_ms IS NULL OR cleared_ms <= ?1)
                    AND NOT EXISTS (SELECT 1 FROM storage_removed r WHERE r.scope = s.scope)
                LIMIT ?2
            ) RETURNING scope, plugin, tenant, max(floor, iif(cleared_ms IS NULL, 0, scope))",
        )?;
        let mut forgotten = forget.query(params![self.until_ms, MOST_ROWS])?;
        let (mut places, mut last, mut floor) = (Vec::new(), 0, 0);
        while let Some(row) = forgotten.next()? {
            last = last.max(row.get(0)?);
            floor = floor.max(row.get(3)?);
            places.push(Place { plugin: row.get(1)?, tenant: row.get(2)? });
        }
        drop(forgotten);
        // Its number was a version, and its clear is a removal.
        if !places.is_empty() {
            raise_floor(transaction, last, floor)?;
        }
        places.iter().for_each(|place| self.state.numbers.forget(place));
        Ok(places)
    }

    fn size(&self) -> usize {
        0
    }

    fn committed(&self, places: &Vec<Place>) {
        // Again: a write before it in the group may have said it since.
        places.iter().for_each(|place| self.state.numbers.forget(place));
    }
}

/// No version up to `version` is given again, and removals up to `forgotten` may be unknown where there is no scope.
fn raise_floor(transaction: &Transaction<'_>, version: i64, forgotten: i64) -> Result<(), Fault> {
    transaction
        .prepare("UPDATE storage_floor SET version = max(version, ?1), forgotten = max(forgotten, ?2)")?
        .execute([version, forgotten])?;
    Ok(())
}
