//! How much there is, and how much there may be: looked at after a batch has run, in its own transaction, so that what
//! shares its commit counts too.
//!
//! A scope's row has its count. What a plugin has in all of its scopes is the sum of many rows, so once it was needed it is
//! kept, in a table of the writer's connection alone: that is in memory, and undone with the write that changed it.

use std::{
    ops::{AddAssign, Neg},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rusqlite::{OptionalExtension, Row, params};

use super::{
    super::{Quota, Quotas},
    state::{Place, State},
};
use crate::{
    error::{Error, ErrorKind},
    services::ledger::{Fault, Transaction, Write},
};

/// Whether there is a plugin whose total is kept.
#[derive(Default)]
pub(super) struct Totals(AtomicBool);

/// Makes the table of totals, with nothing in it.
pub(super) struct MakeTotals;

impl Write for MakeTotals {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        for statement in [
            "CREATE TEMP TABLE IF NOT EXISTS storage_totals
                (plugin TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID, STRICT",
            // Another storage may have been here.
            "DELETE FROM storage_totals",
        ] {
            transaction.prepare(statement)?.execute([])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

impl Totals {
    /// The plugin has so much more.
    pub(super) fn add(
        &self,
        transaction: &Transaction<'_>,
        plugin: &Arc<str>,
        grown: Growth,
    ) -> Result<(), Fault> {
        if self.0.load(Relaxed) {
            transaction
                .prepare(
                    "UPDATE storage_totals SET items = items + ?2, bytes = bytes + ?3 WHERE plugin = ?1",
                )?
                .execute(params![plugin, grown.items, grown.bytes])?;
        }
        Ok(())
    }

    /// What the plugin has, and from here on it is kept.
    fn of(&self, transaction: &Transaction<'_>, plugin: &Arc<str>) -> Result<Growth, Fault> {
        let kept = transaction
            .prepare("SELECT items, bytes FROM storage_totals WHERE plugin = ?1")?
            .query_row([plugin], Growth::read)
            .optional()?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        // It stays so where this write is undone: then there is one to look for, and no more.
        self.0.store(true, Relaxed);
        let sum = transaction
            .prepare(
                "INSERT INTO storage_totals
                SELECT plugin, sum(items), sum(bytes) FROM storage_scopes WHERE plugin = ?1 GROUP BY plugin
                RETURNING items, bytes",
            )?
            .query_row([plugin], Growth::read)?;
        Ok(sum)
    }
}

/// Adds to what a scope has.
pub(super) fn count(
    transaction: &Transaction<'_>,
    state: &State,
    plugin: &Arc<str>,
    scope: i64,
    grown: Growth,
) -> Result<(), Fault> {
    if grown == Growth::default() {
        return Ok(());
    }
    transaction
        .prepare("UPDATE storage_scopes SET items = items + ?2, bytes = bytes + ?3 WHERE scope = ?1")?
        .execute([scope, grown.items, grown.bytes])?;
    state.totals.add(transaction, plugin, grown)
}

/// What there is more of, or less, than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) items: i64,
    /// Of keys and values.
    pub(super) bytes: i64,
}

impl Growth {
    /// What it means that an item of so many bytes became one of so many.
    pub(super) fn from(old: Option<i64>, new: Option<i64>) -> Self {
        Self {
            items: i64::from(new.is_some()) - i64::from(old.is_some()),
            bytes: new.unwrap_or(0) - old.unwrap_or(0),
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { items: row.get(0)?, bytes: row.get(1)? })
    }
}

impl Neg for Growth {
    type Output = Self;

    fn neg(self) -> Self {
        Self { items: -self.items, bytes: -self.bytes }
    }
}

impl AddAssign for Growth {
    fn add_assign(&mut self, more: Self) {
        self.items += more.items;
        self.bytes += more.bytes;
    }
}

/// QUOTA: the scope, or the plugin over all tenants, has more than it may, and `grown` made it more.
pub(super) fn check(
    transaction: &Transaction<'_>,
    state: &State,
    place: &Place,
    scope: i64,
    quotas: &Quotas,
    grown: Growth,
) -> Result<(), Fault> {
    if *quotas == Quotas::default() || (grown.items <= 0 && grown.bytes <= 0) {
        return Ok(());
    }
    if quotas.tenant != Quota::default() {
        let there = transaction
            .prepare("SELECT items, bytes FROM storage_scopes WHERE scope = ?1")?
            .query_row([scope], Growth::read)?;
        let over = Over::find(quotas.tenant, there, grown, || expired_of_scope(transaction, scope))?;
        if let Some(over) = over {
            let whose: Arc<str> = match &*place.tenant {
                "" => " in the system scope".into(),
                tenant => format!(" for tenant {tenant:?}").into(),
            };
            return Err(over.error(&place.plugin, whose, "tenant_"));
        }
    }
    if quotas.plugin != Quota::default() {
        let there = state.totals.of(transaction, &place.plugin)?;
        let over = Over::find(quotas.plugin, there, grown, || expired_of_plugin(transaction, &place.plugin))?;
        if let Some(over) = over {
            return Err(over.error(&place.plugin, " for all tenants".into(), ""));
        }
    }
    Ok(())
}

fn expired_of_scope(transaction: &Transaction<'_>, scope: i64) -> Result<Growth, Fault> {
    let expired = transaction
        .prepare(
            "SELECT count(*), coalesce(sum(length(key) + length(value)), 0)
            FROM storage_items INDEXED BY storage_expiring
            WHERE expires_ms <= ?1 AND scope = ?2",
        )?
        .query_row([transaction.now_ms(), scope], Growth::read)?;
    Ok(expired)
}

fn expired_of_plugin(transaction: &Transaction<'_>, plugin: &Arc<str>) -> Result<Growth, Fault> {
    let expired = transaction
        .prepare(
            "SELECT count(*), coalesce(sum(length(key) + length(value)), 0)
            FROM storage_items INDEXED BY storage_expiring
            WHERE expires_ms <= ?1 AND scope IN (SELECT scope FROM storage_scopes WHERE plugin = ?2)",
        )?
        .query_row(params![transaction.now_ms(), plugin], Growth::read)?;
    Ok(expired)
}

/// A quota that is exceeded.
struct Over {
    what: &'static str,
    before: i64,
    after: i64,
    most: u64,
}

impl Over {
    /// `there`: after the batch, what has expired and lies there still included: that is asked only where it matters.
    fn find(
        quota: Quota,
        mut there: Growth,
        grown: Growth,
        expired: impl FnOnce() -> Result<Growth, Fault>,
    ) -> Result<Option<Self>, Fault> {
        if Self::look(quota, there, grown).is_none() {
            return Ok(None);
        }
        there += -expired()?;
        Ok(Self::look(quota, there, grown))
    }

    fn look(quota: Quota, there: Growth, grown: Growth) -> Option<Self> {
        let over = |what, most: Option<u64>, after: i64, grown: i64| {
            let most = most?;
            let is_over = grown > 0 && u64::try_from(after).is_ok_and(|after| after > most);
            is_over.then_some(Self { what, before: after - grown, after, most })
        };
        over("items", quota.items, there.items, grown.items)
            .or_else(|| over("bytes", quota.bytes, there.bytes, grown.bytes))
    }

    fn error(self, plugin: &Arc<str>, whose: Arc<str>, setting: &'static str) -> Fault {
        let Self { what, before, after, most } = self;
        let plugin = Arc::clone(plugin);
        Error::lazy(ErrorKind::Quota, move || {
            format!(
                "the storage of plugin {plugin:?}{whose} has {before} {what}, with this it would have {after}, at most {most} are allowed: remove some, or raise plugin.{plugin}.quota.{setting}storage_{what} in the settings"
            )
        })
        .into()
    }
}
