//! The storage on the ledger: the suite that every back end passes, and what only this one can show.

use std::sync::Arc;

use tempfile::TempDir;

use super::{
    LedgerStorage, OUTBOX, SCHEMA, StorageBackend, StorageOptions,
    conformance::{Bed, Scopes, key, suites},
};
use crate::services::{
    clock::ManualClock,
    ledger::{Durability, Ledger, LedgerOptions},
};

/// A ledger in a folder of its own.
pub(super) struct OnLedger {
    folder: TempDir,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
}

impl OnLedger {
    fn open(folder: TempDir, clock: &Arc<ManualClock>) -> Self {
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(clock) as _,
            schemas: vec![SCHEMA, OUTBOX],
            report: Box::new(|error| eprintln!("{error}")),
        };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way");
        Self { folder, clock: Arc::clone(clock), ledger: Arc::new(ledger) }
    }
}

impl OnLedger {
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Bed for OnLedger {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn backend(&self) -> Box<dyn StorageBackend> {
        let options = StorageOptions::new(Arc::clone(&self.clock) as _, |error| eprintln!("{error}"));
        Box::new(LedgerStorage::open(Arc::clone(&self.ledger), options).expect("it can be read"))
    }

    fn restart(self) -> Self {
        let Self { folder, clock, ledger } = self;
        drop(Arc::into_inner(ledger).expect("the storage has let go of it"));
        Self::open(folder, &clock)
    }
}

/// A clock that is wrong, or one that somebody sets while plugins run.
#[test]
fn items_tell_the_times_that_the_clock_showed_whatever_it_was() {
    let (year_1900, year_2101) = (-2_208_988_800_000, 4_133_980_800_000);
    let clock = ManualClock::at(year_2101);
    let bed = OnLedger::new(&clock);
    let storage = super::Storage::new(bed.backend(), 1 << 20, Arc::clone(&clock) as _);
    let scopes = Scopes::of(&[("meter", "acme")]);
    let mut last = 0;
    for (created, updated) in
        [(year_2101, year_1900), (year_1900, year_2101), (-1, 0), (i64::MAX, i64::MIN), (i64::MIN, i64::MAX)]
    {
        let name = created.to_string();
        for now in [created, updated] {
            clock.set_wall(now);
            let written = storage.set(&scopes.at(0), key(&name), b"1", None);
            let Ok(super::plain::Written::Done(version)) = written else { panic!("{now}: {written:?}") };
            assert!(version > last, "versions follow no clock");
            last = version;
        }
        let (_, info) =
            storage.fetch(&scopes.at(0), key(&name)).expect("it can be read").expect("it is there");
        assert_eq!((info.created_ms, info.updated_ms), (created, updated));
    }
}

suites!(OnLedger);
