//! The storage: durable items, each under (plugin, tenant, key). A write that has returned is on disk.
//!
//! [`Storage`] is the front that the tables call: it knows the limits, the same for every back end. [`StorageBackend`]
//! is what a back end does; `ledger` is the one that is always there. [`item`] says what is kept and asked for, [`watch`]
//! who is told of changes.

mod backend;
mod export;
mod item;
mod ledger;
mod watch;

#[cfg(test)]
mod carry_tests;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod listing_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod random;
#[cfg(test)]
mod watch_tests;
#[cfg(test)]
mod writers;

use std::sync::Arc;

pub use self::export::{ExportReport, ImportMode, ImportReport, StorageCheck};
use self::watch::{Next, Watches};
pub(crate) use self::{
    backend::{Listener, StorageBackend},
    export::{Carried, ExportPlan, GoOn, Import, Imported, is_plugin_id},
    item::{
        Action, Batch, Change, ChangeKind, Changes, Info, JobDraft, JobTiming, Lifetime, Outcome, Page,
        Quota, Quotas, Refused, Step, Usage,
    },
    ledger::{LedgerStorage, OUTBOX, SCHEMA, StorageOptions, outbox},
    watch::{Deliver, Turn, Watch},
};
use super::{
    clock::Clock,
    cursor,
    keys::{Key, page_limit},
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// The most steps that a batch may have, events and jobs included.
pub(crate) const MOST_STEPS: usize = 128;

/// The most bytes that the steps of a batch may have together, unless one value may have more.
const LARGEST_BATCH: usize = 16 << 20;

/// The storage of one host.
pub(crate) struct Storage {
    backend: Box<dyn StorageBackend>,
    largest_value: usize,
    clock: Arc<dyn Clock>,
    watches: Arc<Watches>,
}

impl Storage {
    pub(crate) fn new(backend: Box<dyn StorageBackend>, largest_value: usize, clock: Arc<dyn Clock>) -> Self {
        let watches = Watches::new(Arc::clone(&clock));
        backend.listen(watches.clone());
        Self { backend, largest_value, clock, watches }
    }

    /// Lends the item's value and what is known of it to `read`, once, if it is there; tells whether it is. `read` must not
    /// call the storage.
    pub(crate) fn get(
        &self,
        scope: &DataScope<'_>,
        key: Key<'_>,
        read: &mut dyn FnMut(&[u8], Info),
    ) -> Result<bool> {
        self.backend.get(scope, key, read)
    }

    pub(crate) fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        self.backend.exists(scope, key)
    }

    /// One step on its own: what it did, or why not, and on CONFLICT the version that there is.
    pub(crate) fn apply_one(
        &self,
        scope: &DataScope<'_>,
        step: Step<'_>,
        quotas: Quotas,
    ) -> Result<Outcome, Refused> {
        let done = self.apply(scope, &Batch { steps: &[step], events: &[], jobs: &[], quotas })?;
        Ok(done.into_iter().next().unwrap_or_default())
    }

    /// Does all steps in their order, with events and jobs, in one commit, or nothing.
    pub(crate) fn apply(&self, scope: &DataScope<'_>, batch: &Batch<'_>) -> Result<Vec<Outcome>, Refused> {
        self.check(batch)?;
        self.backend.apply(scope, batch)
    }

    /// The lifetime that a write asks for with `ttl_ms`; none: it asks for none.
    ///
    /// OUT_OF_RANGE: it is negative, or ends beyond all time.
    pub(crate) fn lifetime(&self, ttl_ms: Option<i64>) -> Result<Lifetime> {
        match ttl_ms {
            None | Some(0) => Ok(Lifetime::Endless),
            Some(ms) if ms > 0 && self.clock.now_ms().checked_add(ms).is_some() => Ok(Lifetime::Ms(ms)),
            Some(ms) => Err(Error::lazy(ErrorKind::OutOfRange, move || {
                format!("argument `ttl_ms`: {ms} ms from now is no time that an item can end at")
            })),
        }
    }

    /// How long an item that was just read is still there, in milliseconds, at least 1: a plugin may pass it on as a lifetime,
    /// and 0 would be none. None: it does not expire.
    pub(crate) fn left_ms(&self, info: &Info) -> Option<i64> {
        info.expires_ms.map(|end| end.saturating_sub(self.clock.now_ms()).max(1))
    }

    /// A page of the keys that begin with `prefix`. `cursor`: empty for the first one, else what the page before it
    /// said; `limit`: 0 is 100.
    pub(crate) fn keys(&self, scope: &DataScope<'_>, prefix: &str, cursor: &str, limit: u32) -> Result<Page> {
        let limit = page_limit(limit)?;
        let after = cursor::read(cursor, prefix)?;
        let after = after.as_deref().map(|key| Key::parse("cursor", key.as_bytes())).transpose()?;
        // One more than asked for tells whether there is a next page.
        let mut keys = self.backend.keys(scope, prefix, after, limit + 1)?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|last| cursor::after(last));
        Ok(Page { keys, next })
    }

    /// Removes all items of the scope at once, and tells how many there were.
    pub(crate) fn clear(&self, scope: &DataScope<'_>) -> Result<u64> {
        self.backend.clear(scope)
    }

    /// Of what has changed in the scope after a version the first `limit`.
    pub(crate) fn changes(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: u64,
        limit: usize,
    ) -> Result<Changes> {
        self.backend.changes(scope, prefix, after, limit)
    }

    /// The time that lifetimes go by, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Goes on with what `changes` has begun with 0 when the version was `begun`: what was removed until then is none of
    /// the asker's business, and may be forgotten.
    pub(crate) fn changes_since(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: u64,
        begun: u64,
        limit: usize,
    ) -> Result<Changes> {
        self.backend.changes_since(scope, prefix, after, begun, limit)
    }

    /// Watches the items whose keys begin with `prefix`; it is not live yet. `after`: it begins with what has changed after
    /// this version, and not with what changes from now on.
    ///
    /// OUT_OF_RANGE: removals after that version are forgotten, or there was no such version.
    pub(crate) fn watch(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<u64>,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Arc<Watch>> {
        if let Some(after) = after {
            self.changes(scope, prefix, after, 1)?;
        }
        Ok(self.watches.add(scope.id, scope.tenant()?.name(), prefix, after, deliver))
    }

    /// Nothing more is told to it.
    pub(crate) fn unwatch(&self, watch: &Watch) {
        self.watches.remove(watch);
    }

    /// Whether its changes are told. While they are not they wait, or are read later.
    pub(crate) fn set_live(&self, watch: &Watch, live: bool) {
        self.watches.set_live(watch, live);
    }

    /// Begins the turn that [`Deliver`] was told of. When it is dropped, the watch stands in line again if there is more.
    pub(crate) fn turn<'a>(&'a self, watch: &'a Watch) -> Turn<'a> {
        self.watches.turn(watch)
    }

    /// The next change to be told in this turn; `scope` is the one that is watched. Reads from the back end if the watch is
    /// behind. None: there is nothing more now.
    ///
    /// An error is what the operator is to be told of: the first of several in a row.
    pub(crate) fn next_change(&self, turn: &Turn<'_>, scope: &DataScope<'_>) -> Result<Option<Change>> {
        loop {
            let (after, begun, missed) = match turn.next() {
                Next::Tell(change) => return Ok(Some(change)),
                Next::Rest => return Ok(None),
                Next::Read { after, begun, missed } => (after, begun, missed),
            };
            match self.page(scope, turn.prefix(), after, begun) {
                Ok((page, begun)) => turn.was_read(page, begun, missed),
                Err(error) => return turn.was_not_read(error).map_or(Ok(None), Err),
            }
        }
    }

    /// What a watch reads next; and, of one that reads everything that is there, the version at which it began to.
    fn page(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: u64,
        begun: Option<u64>,
    ) -> Result<(Changes, Option<u64>)> {
        let begun = match (after, begun) {
            (0, None) => Some(self.backend.version()?),
            (_, begun) => begun,
        };
        let page = match begun {
            Some(begun) => self.changes_since(scope, prefix, after, begun, watch::PAGE)?,
            None => self.changes(scope, prefix, after, watch::PAGE)?,
        };
        Ok((page, begun))
    }

    /// The version that was given last.
    pub(crate) fn version(&self) -> Result<u64> {
        self.backend.version()
    }

    /// The most bytes that a value may have.
    pub(crate) fn largest_value(&self) -> usize {
        self.largest_value
    }

    /// What the scope has.
    pub(crate) fn usage_of(&self, scope: &DataScope<'_>) -> Result<Usage> {
        self.backend.usage_of(scope)
    }

    /// What each scope has that has anything, in no order.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>> {
        self.backend.usage()
    }

    /// Nobody is to call it any more.
    pub(crate) fn close(&self) {
        self.watches.end();
        self.backend.close();
    }

    /// The limits that do not depend on what is there.
    fn check(&self, batch: &Batch<'_>) -> Result<(), Refused> {
        let Batch { steps, events, jobs, .. } = batch;
        let count = steps.len() + events.len() + jobs.len();
        if count > MOST_STEPS {
            let text = format!("a batch of {count} steps, at most {MOST_STEPS} are taken: split it");
            return Err(Error::new(ErrorKind::TooLarge, text).into());
        }
        let mut bytes = events.iter().map(|event| event.data.len()).sum::<usize>();
        bytes += jobs.iter().map(|job| job.data.len()).sum::<usize>();
        for (at, step) in steps.iter().enumerate() {
            let Action::Set { value, .. } = step.action else { continue };
            bytes += value.len();
            let (len, largest) = (value.len(), self.largest_value);
            if len > largest {
                let error = Error::lazy(ErrorKind::TooLarge, move || {
                    format!(
                        "argument `value`: {len} bytes, at most {largest} are taken (storage.max_value in the settings)"
                    )
                });
                return Err(Refused { step: Some(at), current: 0, error });
            }
        }
        let largest = LARGEST_BATCH.max(self.largest_value);
        if bytes > largest {
            let text = format!("a batch of {bytes} bytes, at most {largest} are taken: split it");
            return Err(Error::new(ErrorKind::TooLarge, text).into());
        }
        Ok(())
    }
}
