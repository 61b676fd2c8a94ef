//! What is done to the items within one transaction: statements, and the counting that goes with them.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, params, types::ValueRef};

use super::{
    Limits, Place,
    accounting::{self, Accounting, Change},
};
use crate::{
    error::{Error, ErrorKind},
    identity::DataScope,
    services::{
        cache::{Draft, ExpireIf, Expired, Glob, Lifetime, Space, Spans, Value, Written},
        keys::Namespace,
        ledger::Fault,
    },
};

/// The most rows that one step takes away.
pub(super) const STEP: usize = 256;

/// How many that have gone a write takes along: more than it adds, so that none is left for long.
const SWEPT_BY_A_WRITE: usize = 8;

/// How many are looked at to make room before it is asked again whose turn it is.
const EVICTED_AT_ONCE: usize = 16;

/// Versions that are given before the file is told again that they may have been.
const VERSIONS: u64 = 4_096;

/// In the unit of the file, microseconds.
pub(super) const A_MS: i64 = 1_000;

/// The one sequence that versions come from. What the file keeps is a bound that none has passed, so that most writes
/// leave it alone; a host that starts goes on behind it.
#[derive(Clone, Copy)]
pub(super) struct Versions {
    pub(super) last: u64,
    pub(super) bound: u64,
}

/// A transaction under way.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    pub(super) accounting: &'a mut Accounting,
    pub(super) versions: &'a mut Versions,
    /// Nothing goes earlier.
    pub(super) due: &'a mut i64,
    pub(super) limits: &'a Limits,
    pub(super) now: i64,
}

/// An item that lies there, in whatever age.
struct Old {
    item: i64,
    version: u64,
    size: u64,
    fresh_until: Option<i64>,
    spans: Spans,
    tagged: bool,
    there: bool,
}

/// What is to lie there.
struct New<'a> {
    value: Value<'a>,
    fresh_until: Option<i64>,
    spans: Spans,
    size: u64,
    /// None: those of the item that is there.
    tags: Option<&'a [Namespace<'a>]>,
}

impl<'a> Work<'a> {
    pub(super) fn set(&mut self, place: &Place<'_>, draft: &Draft<'_>) -> Result<Written, Fault> {
        self.sweep(SWEPT_BY_A_WRITE)?;
        let old = self.find(place)?;
        let there = old.as_ref().filter(|old| old.there);
        let version = there.map_or(0, |old| old.version);
        if !draft.condition.holds(version) {
            return Ok(Written::Refused(version));
        }
        let (fresh_until, spans) = match there {
            Some(old) if draft.keep_lifetime => (old.fresh_until, old.spans),
            _ => (until(self.now, draft.lifetime), draft.spans),
        };
        let tags = draft.tags.iter().map(|tag| tag.as_str().len());
        let size = accounting::size(place.bytes(), length(draft.value), tags);
        let new = New { value: draft.value, fresh_until, spans, size, tags: Some(draft.tags) };
        Ok(Written::Done(self.put(place, old, &new)?))
    }

    pub(super) fn incr(&mut self, place: &Place<'_>, delta: i64, lifetime: Lifetime) -> Result<i64, Fault> {
        self.sweep(SWEPT_BY_A_WRITE)?;
        let old = self.find(place)?;
        let there = old.as_ref().filter(|old| old.there);
        let Some(there) = there else {
            let size = accounting::size(place.bytes(), 8, [].into_iter());
            let (fresh_until, spans) = (until(self.now, lifetime), Spans::default());
            let new = New { value: Value::Integer(delta), fresh_until, spans, size, tags: Some(&[]) };
            self.put(place, old, &new)?;
            return Ok(delta);
        };
        let mut value = self.prepare("SELECT value FROM items WHERE item = ?1")?;
        let mut rows = value.query([there.item])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let value = value_of(row.get_ref(0)?)?;
        let sum = value.plus(delta)?;
        drop(rows);
        let (fresh_until, spans) = (there.fresh_until, there.spans);
        // The size stays too: digits are about as long as the integer.
        let new = New { value: Value::Integer(sum), fresh_until, spans, size: there.size, tags: None };
        self.put(place, old, &new)?;
        Ok(sum)
    }

    pub(super) fn remove(&mut self, place: &Place<'_>) -> Result<bool, Fault> {
        let Some(old) = self.find(place)? else { return Ok(false) };
        self.take(old.item, place.plugin, old.size, 0)?;
        Ok(old.there)
    }

    pub(super) fn expire(
        &mut self,
        place: &Place<'_>,
        lifetime: Option<Lifetime>,
        condition: ExpireIf,
    ) -> Result<Expired, Fault> {
        let Some(old) = self.find(place)?.filter(|old| old.there) else { return Ok(Expired::Missing) };
        let new = lifetime.map_or(Some(i64::MIN), |lifetime| until(self.now, lifetime));
        if !condition.holds(old.fresh_until, new) {
            return Ok(Expired::Refused);
        }
        if lifetime.is_none() {
            self.take(old.item, place.plugin, old.size, 0)?;
            return Ok(Expired::Changed);
        }
        let (left_until, gone_at) = self.ends(new, old.spans);
        self.prepare("UPDATE items SET fresh_until = ?2, left_until = ?3, gone_at = ?4 WHERE item = ?1")?
            .execute(params![old.item, new, left_until, gone_at])?;
        Ok(Expired::Changed)
    }

    pub(super) fn invalidate_tag(
        &mut self,
        scope: &DataScope<'_>,
        tenant: &str,
        tag: Namespace<'_>,
    ) -> Result<u64, Fault> {
        let which = "item IN (SELECT item FROM tags WHERE plugin = ?2 AND tenant = ?3 AND tag = ?4)";
        let now = self.now;
        self.take_all(scope.id, which, params![now, &**scope.id, tenant, tag.as_str()])
    }

    pub(super) fn clear(&mut self, space: &Space<'_>, tenant: &str) -> Result<u64, Fault> {
        let which = "plugin = ?2 AND tenant = ?3 AND namespace = ?4";
        let (id, namespace) = (space.scope.id, space.namespace.as_str());
        let now = self.now;
        self.take_all(id, which, params![now, &**id, tenant, namespace])
    }

    /// In batches, so that it has few of them in memory.
    pub(super) fn invalidate(
        &mut self,
        space: &Space<'_>,
        tenant: &str,
        pattern: &Glob,
    ) -> Result<u64, Fault> {
        let id = space.scope.id;
        let (mut after, mut there) = (String::new(), 0);
        // In the order of keys those that can match lie side by side.
        let front = pattern.literal_prefix();
        loop {
            let mut list = self.prepare(
                "SELECT item, size, key, value IS NOT NULL AND (left_until IS NULL OR left_until > ?5) FROM items
                WHERE plugin = ?1 AND tenant = ?2 AND namespace = ?3 AND key > ?4 AND key >= ?7 ORDER BY key LIMIT ?6",
            )?;
            let namespace = space.namespace.as_str();
            let mut rows =
                list.query(params![&**id, tenant, namespace, after, self.now, STEP as i64, front])?;
            let (mut seen, mut hit) = (0, Vec::new());
            while let Some(row) = rows.next()? {
                let key = text(row.get_ref(2)?)?;
                if !key.starts_with(front) {
                    break;
                }
                if pattern.matches(key) {
                    hit.push((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?));
                    there += u64::from(row.get::<_, bool>(3)?);
                }
                seen += 1;
                if seen == STEP {
                    after = key.to_owned();
                }
            }
            drop(rows);
            for (item, size) in hit {
                self.take(item, id, size, 0)?;
            }
            if seen < STEP {
                return Ok(there);
            }
        }
    }

    pub(super) fn remove_plugin(&mut self, id: &str) -> Result<u64, Fault> {
        let now = self.now;
        self.take_all(id, "plugin = ?2", params![now, id])
    }

    /// Takes away up to `most` items that have gone; tells how many it found.
    pub(super) fn sweep(&mut self, most: usize) -> Result<usize, Fault> {
        if *self.due > self.now {
            return Ok(0);
        }
        let mut gone = Vec::new();
        let mut list = self
            .prepare("SELECT item, size, plugin FROM items WHERE gone_at <= ?1 ORDER BY gone_at LIMIT ?2")?;
        let mut rows = list.query([self.now, most as i64])?;
        while let Some(row) = rows.next()? {
            gone.push((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?, row.get::<_, String>(2)?));
        }
        drop(rows);
        for (item, size, plugin) in &gone {
            self.take(*item, plugin, *size, 0)?;
        }
        if gone.len() < most {
            let next = self
                .prepare("SELECT min(gone_at) FROM items WHERE gone_at IS NOT NULL")?
                .query_row([], |row| row.get::<_, Option<i64>>(0))?;
            *self.due = next.unwrap_or(i64::MAX);
        }
        Ok(gone.len())
    }

    /// Takes away up to [`STEP`] items if all together are more than there is room for; tells how many.
    pub(super) fn shrink(&mut self) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < STEP && self.accounting.total() > self.limits.capacity() {
            let capacity = self.limits.capacity();
            let mut more = self.evict(None, capacity, 0)?;
            if more == 0
                && let Some(largest) = self.accounting.most_above(0, |_| true)
            {
                // After a change of the settings a single item can be more than there is room for at all.
                more = self.evict(Some(&largest), capacity, 0)?;
            }
            if more == 0 {
                break;
            }
            taken += more;
        }
        Ok(taken)
    }

    /// Writes, and changes nothing.
    pub(super) fn probe(&mut self) -> Result<(), Fault> {
        only_one(self.prepare("UPDATE sequence SET bound = ?1")?.execute([self.versions.bound])?)
    }

    /// Makes the item that is to lie there lie there; answers its version.
    fn put(&mut self, place: &Place<'_>, old: Option<Old>, new: &New<'_>) -> Result<u64, Fault> {
        let capacity = self.limits.capacity();
        if new.size > capacity {
            let len = length(new.value);
            let what =
                format!("an item of {len} bytes does not fit into a cache that has {capacity} for items");
            return Err(Error::new(ErrorKind::TooLarge, what)
                .mend("give it more room in the settings")
                .into());
        }
        let before = self.accounting.total();
        let version = self.next_version()?;
        let (left_until, gone_at) = self.ends(new.fresh_until, new.spans);
        let Spans { stale_ms, error_ms } = new.spans;
        let value = match new.value {
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Integer(integer) => ValueRef::Integer(integer),
            Value::Absent => ValueRef::Null,
        };
        let value = rusqlite::types::ToSqlOutput::Borrowed(value);
        let tagged = new.tags.map_or(old.as_ref().is_some_and(|old| old.tagged), |tags| !tags.is_empty());
        let change =
            |items, before: u64| Change { items, bytes: new.size as i64 - before as i64, evicted: 0 };
        let times = (new.fresh_until, left_until, gone_at);
        let item = match &old {
            Some(old) => {
                if old.tagged && new.tags.is_some() {
                    self.prepare("DELETE FROM tags WHERE item = ?1")?.execute([old.item])?;
                }
                let changed = self
                    .prepare(
                        "UPDATE items SET version = ?2, size = ?3, fresh_until = ?4, left_until = ?5, gone_at = ?6,
                        stale_ms = ?7, error_ms = ?8, tagged = ?9, value = ?10 WHERE item = ?1",
                    )?
                    .execute(params![
                        old.item, version, new.size, times.0, times.1, times.2, stale_ms, error_ms, tagged,
                        value
                    ])?;
                only_one(changed)?;
                self.accounting.change(place.plugin, change(0, old.size));
                old.item
            }
            None => {
                self.prepare(
                    "INSERT INTO items (plugin, tenant, namespace, key, version, size, fresh_until, left_until, gone_at,
                    stale_ms, error_ms, tagged, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                )?
                .execute(params![
                    &**place.plugin, place.tenant(), place.namespace, place.key, version, new.size, times.0,
                    times.1, times.2, stale_ms, error_ms, tagged, value
                ])?;
                self.accounting.change(place.plugin, change(1, 0));
                self.connection.last_insert_rowid()
            }
        };
        for tag in new.tags.unwrap_or_default() {
            self.prepare("INSERT INTO tags (item, tag, plugin, tenant) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![item, tag.as_str(), &**place.plugin, place.tenant()])?;
        }
        self.make_room(place.plugin, item, before)?;
        Ok(version)
    }

    /// After a write of `own` into `item`, before which all together had `before` bytes: what is above the capacity goes.
    /// What was above it before is left to those who come later: it may be very much, after a change of the settings.
    fn make_room(&mut self, own: &str, item: i64, before: u64) -> Result<(), Fault> {
        let most = self.limits.capacity().max(before);
        while self.accounting.total() > most {
            if self.sweep(STEP)? > 0 {
                continue;
            }
            if self.evict(Some(own), most, item)? == 0 {
                let what = "the cache found no room: the rest of it is guaranteed to other plugins";
                return Err(Error::new(ErrorKind::Unavailable, what).into());
            }
        }
        Ok(())
    }

    /// Takes away some items, for all together to have `most` bytes; tells how many. Of the plugin that has most above
    /// what is guaranteed to it those that were written longest ago, as long as that leaves it so much; else of `own`,
    /// whose write it is, all but `spared`.
    fn evict(&mut self, own: Option<&str>, most: u64, spared: i64) -> Result<usize, Fault> {
        let guaranteed = self.limits.guaranteed(self.accounting.plugins());
        let mut passed: Vec<Arc<str>> = Vec::new();
        while let Some(plugin) =
            self.accounting.most_above(guaranteed, |plugin| !passed.iter().any(|id| **id == *plugin))
        {
            let least = if own == Some(&*plugin) { 0 } else { guaranteed };
            let taken = self.evict_of(&plugin, most, least, spared)?;
            if taken > 0 {
                return Ok(taken);
            }
            passed.push(plugin);
        }
        own.map_or(Ok(0), |own| self.evict_of(own, most, 0, spared))
    }

    /// Of one plugin, as long as that leaves it `least` bytes.
    fn evict_of(&mut self, plugin: &str, most: u64, least: u64, spared: i64) -> Result<usize, Fault> {
        let mut list = self.prepare(
            "SELECT item, size FROM items INDEXED BY items_order WHERE plugin = ?1 ORDER BY version LIMIT ?2",
        )?;
        let oldest: Vec<(i64, u64)> = list
            .query_map(params![plugin, EVICTED_AT_ONCE as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut taken = 0;
        for (item, size) in oldest.into_iter().filter(|(item, _)| *item != spared) {
            if self.accounting.total() <= most {
                break;
            }
            if self.accounting.bytes(plugin).saturating_sub(size) < least {
                // Others may be small enough.
                continue;
            }
            self.take(item, plugin, size, 1)?;
            taken += 1;
        }
        Ok(taken)
    }

    fn find(&self, place: &Place<'_>) -> Result<Option<Old>, Fault> {
        let mut find = self.prepare(
            "SELECT item, version, size, fresh_until, left_until, stale_ms, error_ms, tagged, value IS NOT NULL
            FROM items WHERE plugin = ?1 AND tenant = ?2 AND namespace = ?3 AND key = ?4",
        )?;
        let found = find.query_row(place.names(), |row| {
            let left_until: Option<i64> = row.get(4)?;
            let is_value: bool = row.get(8)?;
            Ok(Old {
                item: row.get(0)?,
                version: row.get(1)?,
                size: row.get(2)?,
                fresh_until: row.get(3)?,
                spans: Spans { stale_ms: row.get(5)?, error_ms: row.get(6)? },
                tagged: row.get(7)?,
                there: is_value && left_until.is_none_or(|end| end > self.now),
            })
        });
        Ok(found.optional()?)
    }

    /// Takes one item away; `evicted` is 1 if it makes room for others.
    fn take(&mut self, item: i64, plugin: &str, size: u64, evicted: u64) -> Result<(), Fault> {
        only_one(self.prepare("DELETE FROM items WHERE item = ?1")?.execute([item])?)?;
        self.accounting.change(plugin, Change { items: -1, bytes: -(size as i64), evicted });
        Ok(())
    }

    /// Takes all items of a plugin away that `which` names; tells how many of them were there. The first parameter is
    /// the time.
    fn take_all(&mut self, plugin: &str, which: &str, names: impl Params + Clone) -> Result<u64, Fault> {
        let count = format!(
            "SELECT count(*), coalesce(sum(size), 0), count(CASE WHEN value IS NOT NULL AND (left_until IS NULL OR left_until > ?1)
            THEN 1 END) FROM items WHERE {which}"
        );
        let (items, bytes, there) = self.prepare(&count)?.query_row(names.clone(), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, u64>(2)?))
        })?;
        if items == 0 {
            return Ok(0);
        }
        // The time is asked for, so that both take the same parameters.
        let taken =
            self.prepare(&format!("DELETE FROM items WHERE ?1 IS NOT NULL AND {which}"))?.execute(names)?;
        if taken as i64 != items {
            return Err(changed());
        }
        self.accounting.change(plugin, Change { items: -items, bytes: -bytes, evicted: 0 });
        Ok(there)
    }

    fn next_version(&mut self) -> Result<u64, Fault> {
        let version = self.versions.last + 1;
        if version > self.versions.bound {
            let bound = version + VERSIONS;
            only_one(self.prepare("UPDATE sequence SET bound = ?1")?.execute([bound])?)?;
            self.versions.bound = bound;
        }
        self.versions.last = version;
        Ok(version)
    }

    /// When the item is past its stale span, and when it is past both.
    fn ends(&mut self, fresh_until: Option<i64>, spans: Spans) -> (Option<i64>, Option<i64>) {
        let after = |ms: i64| fresh_until.map(|end| end.saturating_add(ms.saturating_mul(A_MS)));
        let gone_at = after(spans.stale_ms.max(spans.error_ms));
        *self.due = (*self.due).min(gone_at.unwrap_or(i64::MAX));
        (after(spans.stale_ms), gone_at)
    }

    fn prepare(&self, statement: &str) -> Result<CachedStatement<'a>, Fault> {
        Ok(self.connection.prepare_cached(statement)?)
    }
}

/// The value in a column.
pub(super) fn value_of(value: ValueRef<'_>) -> rusqlite::Result<Value<'_>> {
    match value {
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes)),
        ValueRef::Integer(integer) => Ok(Value::Integer(integer)),
        ValueRef::Null => Ok(Value::Absent),
        other => Err(wrong_type(other)),
    }
}

pub(super) fn text(value: ValueRef<'_>) -> rusqlite::Result<&str> {
    value.as_str().map_err(|_| wrong_type(value))
}

fn wrong_type(value: ValueRef<'_>) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(0, String::new(), value.data_type())
}

fn until(now: i64, lifetime: Lifetime) -> Option<i64> {
    match lifetime {
        Lifetime::Endless => None,
        Lifetime::Ms(ms) => Some(now.saturating_add(ms.saturating_mul(A_MS))),
    }
}

fn length(value: Value<'_>) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Integer(_) | Value::Absent => 8,
    }
}

/// An index that names a row that is not there is damage that SQLite does not look for.
fn only_one(changed: usize) -> Result<(), Fault> {
    if changed == 1 { Ok(()) } else { Err(self::changed()) }
}

fn changed() -> Fault {
    rusqlite::Error::QueryReturnedNoRows.into()
}
