//! The storage on the ledger: the suite that every back end passes, and what only this one can show.

use std::sync::Arc;

use tempfile::TempDir;

use super::{
    LedgerStorage, SCHEMA, StorageBackend,
    conformance::{Bed, Scopes, key, suites},
};
use crate::services::{
    clock::ManualClock,
    ledger::{Durability, Ledger, LedgerOptions},
};

/// A ledger in a folder of its own.
struct OnLedger {
    folder: TempDir,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
}

impl OnLedger {
    fn open(folder: TempDir, clock: &Arc<ManualClock>) -> Self {
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(clock) as _,
            schemas: vec![SCHEMA],
            report: Box::new(|error| eprintln!("{error}")),
        };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way");
        Self { folder, clock: Arc::clone(clock), ledger: Arc::new(ledger) }
    }
}

impl Bed for OnLedger {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn backend(&self) -> Box<dyn StorageBackend> {
        Box::new(LedgerStorage::new(Arc::clone(&self.ledger)))
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
    let storage = super::Storage::new(bed.backend(), 1 << 20);
    let scopes = Scopes::of(&[("meter", "acme")]);
    let mut last = 0;
    for (created, updated) in
        [(year_2101, year_1900), (year_1900, year_2101), (-1, 0), (i64::MAX, i64::MIN), (i64::MIN, i64::MAX)]
    {
        let name = created.to_string();
        for now in [created, updated] {
            clock.set_wall(now);
            let written = storage.set(&scopes.at(0), key(&name), b"1", None);
            let Ok(super::Written::Done(version)) = written else { panic!("{now}: {written:?}") };
            assert!(version > last, "versions follow no clock");
            last = version;
        }
        let (_, info) = storage.get(&scopes.at(0), key(&name)).expect("it can be read").expect("it is there");
        assert_eq!((info.created_ms, info.updated_ms), (created, updated));
    }
}

suites! { OnLedger {
    #[test]
    fn storage_1_remove_tells_whether_the_item_was_there_and_so_does_exists();
    #[test]
    fn storage_2_versions_come_from_one_sequence_and_never_twice();
    #[test]
    fn storage_2_an_item_knows_its_version_and_its_times();
    #[test]
    fn storage_3_a_conflict_tells_the_version_and_changes_nothing();
    #[test]
    fn storage_3_of_many_that_write_on_one_version_one_does();
    #[test]
    fn storage_9_listing_is_by_literal_prefix_in_byte_order();
    #[test]
    fn storage_10_pages_go_on_where_they_were_whatever_is_deleted();
    #[test]
    fn storage_10_a_page_that_is_full_to_the_last_key_is_the_last();
    #[test]
    fn storage_12_clear_empties_the_scope_and_no_other();
    #[test]
    fn everywhere_2_a_value_has_up_to_4_mib();
    #[test]
    fn everywhere_3_an_empty_value_is_a_value_and_any_byte_is_kept();
    #[test]
    fn everywhere_4_no_names_can_be_chosen_so_that_scopes_meet();
    #[test]
    fn everywhere_5_what_fails_leaves_value_and_version_as_they_were();
    #[test]
    fn usage_is_what_is_there();
    #[test]
    fn what_was_written_is_there_after_a_restart();
} }
