//! The storage on the ledger: the back end that is always there.
//!
//! `schema.rs` has the tables. A batch is a write of the ledger (`write.rs`, with `quota.rs` and `outbox.rs`), and so is a
//! clear (`clear.rs`); what is asked is in `read.rs` and `changes.rs`. `upkeep.rs` is a thread that removes what goes by
//! time (`removals.rs`) and what was cleared. Whole plugins come and go by `export.rs` and `import.rs`, and `verify.rs`
//! looks through all that is there. `state.rs` is what all of them have in memory, and `hot.rs` what was read not long ago.

mod changes;
mod clear;
mod export;
mod hot;
mod import;
pub(crate) mod outbox;
mod quota;
mod read;
mod removals;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod upkeep;
mod verify;
mod write;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

#[cfg(test)]
pub(super) use self::read::LIST_KEYS;
use self::{
    changes::Asked,
    clear::Clear,
    hot::Hot,
    import::Take,
    state::{Place, State, Versions},
    upkeep::{Due, Upkeep},
    write::Apply,
};
pub(crate) use self::{outbox::OUTBOX, schema::SCHEMA};
use super::{
    Action, Batch, Carried, Changes, GoOn, Import, Imported, Info, Listener, Outcome, Refused,
    StorageBackend, StorageCheck, Usage,
};
use crate::{
    error::{Error, Result},
    identity::DataScope,
    services::{clock::Clock, keys::Key, ledger::Ledger},
};

/// How long removals are remembered, for watches that are resumed.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The most removals that are remembered.
const MOST_REMOVALS: u64 = 1_000_000;

/// How many bytes of memory values may take that were read not long ago.
const READ_CACHE: usize = 32 << 20;

/// How the storage is opened.
pub(crate) struct StorageOptions {
    pub(crate) clock: Arc<dyn Clock>,
    /// How long removals are remembered, about.
    pub(crate) remembered: Duration,
    /// How many removals are remembered, about.
    pub(crate) most_removals: u64,
    /// How many bytes of memory values may take that were read not long ago.
    pub(crate) read_cache: usize,
    /// Told what goes wrong where no caller waits for it; on the storage's own thread.
    pub(crate) report: Box<dyn Fn(&Error) + Send + Sync>,
}

impl StorageOptions {
    pub(crate) fn new(clock: Arc<dyn Clock>, report: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        let report = Box::new(report);
        Self { clock, remembered: REMEMBERED, most_removals: MOST_REMOVALS, read_cache: READ_CACHE, report }
    }
}

/// The back end that is always there. Ends with `close`, or when it is dropped.
pub(crate) struct LedgerStorage {
    ledger: Arc<Ledger>,
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    /// Held by whoever reads for long, so that all of them together take one of the few connections that everybody reads
    /// with.
    long: Mutex<()>,
    /// None when it is closed.
    upkeep: Mutex<Option<Upkeep>>,
}

impl LedgerStorage {
    /// The ledger must have been opened with [`SCHEMA`] and [`OUTBOX`], and have no other storage.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the ledger cannot be read or written.
    pub(crate) fn open(ledger: Arc<Ledger>, options: StorageOptions) -> Result<Self> {
        let last = ledger.read(|ledger| read::number(ledger, schema::HIGHEST))?;
        let clock = Arc::clone(&options.clock);
        let state = Arc::new(State {
            versions: Versions::after(last.map_or(0, i64::cast_unsigned)),
            numbers: state::Numbers::default(),
            listeners: state::Listeners::default(),
            due: Due::new(clock.alarm(), options.most_removals),
            totals: quota::Totals::default(),
            hot: Hot::new(options.read_cache),
        });
        ledger.write(quota::MakeTotals)?;
        let upkeep = Mutex::new(Some(Upkeep::start(&ledger, &state, options)?));
        Ok(Self { ledger, state, clock, long: Mutex::new(()), upkeep })
    }
}

impl StorageBackend for LedgerStorage {
    fn get(&self, scope: &DataScope<'_>, key: Key<'_>, read: &mut dyn FnMut(&[u8], Info)) -> Result<bool> {
        let (hot, now) = (&self.state.hot, || self.clock.now_ms());
        let bytes = key.as_str().as_bytes();
        let Err(miss) = hot.get(scope, bytes, now, read) else { return Ok(true) };
        read::get(&self.ledger, &self.state.numbers, &Place::of(scope)?, key, now, &mut |value, info| {
            hot.fill(miss, bytes, value, info);
            read(value, info);
        })
    }

    fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        read::exists(&self.ledger, &Place::of(scope)?, key, || self.clock.now_ms())
    }

    fn keys(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<Key<'_>>,
        limit: usize,
    ) -> Result<Vec<String>> {
        read::keys(&self.ledger, &Place::of(scope)?, prefix, after, limit, self.clock.now_ms())
    }

    fn apply(&self, scope: &DataScope<'_>, batch: &Batch<'_>) -> Result<Vec<Outcome>, Refused> {
        let apply = Apply::of(&self.state, Place::of(scope)?, batch)?;
        let refusal = apply.refusal();
        let keys = batch.steps.iter().filter(|step| step.action != Action::Check);
        let _writing = self.state.hot.writing(scope, keys.map(|step| step.key.as_str().as_bytes()));
        self.ledger.write(apply).map(|done| done.outcomes).map_err(refusal)
    }

    fn clear(&self, scope: &DataScope<'_>) -> Result<u64> {
        let clear = Clear { state: Arc::clone(&self.state), place: Place::of(scope)? };
        let _clearing = self.state.hot.clearing(scope);
        Ok(self.ledger.write(clear)?.items)
    }

    fn changes(&self, scope: &DataScope<'_>, prefix: &str, after: u64, limit: usize) -> Result<Changes> {
        let begun = if after == 0 { self.state.versions.last() } else { after };
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
        let place = &Place::of(scope)?;
        Asked { place, prefix, after, begun, limit, now: self.clock.now_ms() }.answer(&self.ledger)
    }

    fn version(&self) -> Result<u64> {
        Ok(self.state.versions.last())
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.state.listeners.add(listener);
    }

    fn usage_of(&self, scope: &DataScope<'_>) -> Result<Usage> {
        read::usage_of(&self.ledger, &Place::of(scope)?, self.clock.now_ms())
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        read::usage(&self.ledger, self.clock.now_ms())
    }

    fn export(
        &self,
        plugin: &str,
        tenant: Option<&str>,
        each: &mut dyn FnMut(Carried<'_>) -> Result<()>,
    ) -> Result<()> {
        let _long = self.long.lock();
        export::export(&self.ledger, plugin, tenant, self.clock.now_ms(), each)
    }

    fn import(&self, import: Import) -> Result<Imported> {
        let _importing = self.state.hot.importing();
        Ok(self.ledger.write(Take { state: Arc::clone(&self.state), import })?.done)
    }

    fn verify(&self, thorough: bool, go_on: &GoOn) -> Result<StorageCheck> {
        let _long = self.long.lock();
        verify::verify(&self.ledger, thorough, go_on)
    }

    fn close(&self) {
        let upkeep = self.upkeep.lock().take();
        if let Some(upkeep) = upkeep {
            upkeep.end();
        }
        self.state.hot.empty();
    }
}

impl Drop for LedgerStorage {
    fn drop(&mut self) {
        self.close();
    }
}
