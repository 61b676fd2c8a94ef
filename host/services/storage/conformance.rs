//! What every back end of the storage must do, written once against the trait. A back end runs all of it by naming it in
//! [`suites`].

mod batches;
mod carry;
mod changes;
mod counters;
mod lifetimes;
mod listing;
mod quotas;
mod scopes;
mod versions;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub(super) use self::{
    batches::*, carry::*, changes::*, counters::*, lifetimes::*, listing::*, quotas::*, scopes::*,
    versions::*,
};
use super::{
    Change, Info, Lifetime, Listener, Outcome, Page, Refused, Step, Storage, StorageBackend, Usage,
    plain::Written,
};
use crate::{
    error::Result,
    services::{clock::ManualClock, keys::Key},
};

/// The most bytes that a value may have here: the contract's own limit.
const LARGEST: usize = 4 << 20;

/// When the tests begin.
const START: i64 = 1_000_000;

/// A back end under test.
pub(super) trait Bed: Sized {
    /// An empty one, by this clock.
    fn new(clock: &Arc<ManualClock>) -> Self;

    fn backend(&self) -> Box<dyn StorageBackend>;

    /// The host ends and comes again.
    fn restart(self) -> Self;
}

/// The tests of a back end. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty) => {
        $crate::services::storage::conformance::each! { $bed {
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
            fn what_was_written_is_there_after_a_restart();
            #[test]
            fn storage_2_the_version_of_the_newest_is_not_given_again_when_it_is_gone();
            #[test]
            fn storage_3_each_write_may_have_its_condition();
            #[test]
            fn storage_3_adding_up_on_versions_loses_nothing();
            #[test]
            fn storage_4_later_steps_see_what_earlier_ones_wrote();
            #[test]
            fn storage_4_a_condition_is_about_what_earlier_steps_left();
            #[test]
            fn storage_4_a_batch_that_fails_anywhere_changes_nothing();
            #[test]
            fn storage_4_what_is_over_the_quota_at_the_end_changes_nothing();
            #[test]
            fn storage_4_a_batch_has_up_to_128_steps();
            #[test]
            fn storage_4_a_value_that_is_too_large_is_refused_with_its_step();
            #[test]
            fn storage_5_events_and_jobs_are_steps_of_the_batch();
            #[test]
            fn storage_4_nobody_sees_a_batch_by_half();
            #[test]
            fn storage_4_a_batch_of_conditions_writes_nothing();
            #[test]
            fn everywhere_5_what_fails_leaves_value_expiry_and_version_as_they_were();
            #[test]
            fn storage_6_incr_counts_a_missing_item_from_0();
            #[test]
            fn storage_6_incr_takes_canonical_decimals_and_no_other_text();
            #[test]
            fn storage_6_a_sum_that_is_none_is_out_of_range();
            #[test]
            fn storage_6_the_lifetime_of_incr_counts_at_creation_and_never_slides();
            #[test]
            fn storage_6_incr_goes_by_versions_too();
            #[test]
            fn storage_6_incr_is_atomic_under_many_threads();
            #[test]
            fn storage_7_an_item_is_there_until_its_lifetime_is_over();
            #[test]
            fn storage_7_what_has_expired_is_absent_for_every_function();
            #[test]
            fn storage_7_what_has_just_expired_is_not_cleared();
            #[test]
            fn storage_7_what_has_expired_is_not_counted_when_there_was_time_to_sweep();
            #[test]
            fn storage_7_keep_leaves_the_lifetime_as_it_is();
            #[test]
            fn storage_7_expire_gives_another_lifetime_and_nothing_else();
            #[test]
            fn storage_7_lifetimes_outlive_a_restart();
            #[test]
            fn storage_7_lifetimes_go_by_the_wall_clock_wherever_it_is_set();
            #[test]
            fn storage_7_a_lifetime_that_ends_beyond_all_time_is_out_of_range();
            #[test]
            fn storage_8_that_an_item_expired_is_told();
            #[test]
            fn storage_8_changes_tell_the_last_of_each_key_in_the_order_of_versions();
            #[test]
            fn storage_8_changes_go_by_literal_prefix();
            #[test]
            fn storage_8_changes_come_in_pages_that_miss_nothing();
            #[test]
            fn storage_8_clear_is_told_once_for_all();
            #[test]
            fn storage_8_nobody_resumes_after_a_version_that_is_still_to_come();
            #[test]
            fn storage_8_removals_are_remembered_for_a_day_and_never_forgotten_in_silence();
            #[test]
            fn storage_8_whoever_listens_is_told_before_the_write_returns();
            #[test]
            fn storage_8_whoever_listens_is_told_in_the_order_of_versions();
            #[test]
            fn storage_8_listening_and_catching_up_miss_nothing();
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
            fn everywhere_11_more_items_than_allowed_are_a_quota();
            #[test]
            fn everywhere_11_more_bytes_than_allowed_are_a_quota();
            #[test]
            fn everywhere_11_above_a_quota_what_makes_it_no_worse_is_allowed();
            #[test]
            fn everywhere_11_what_has_expired_makes_room();
            #[test]
            fn everywhere_12_usage_is_what_is_there();
            #[test]
            fn storage_14_what_is_exported_is_the_same_where_it_is_imported();
            #[test]
            fn storage_14_an_export_of_one_tenant_is_about_no_other();
            #[test]
            fn storage_15_what_is_there_is_in_the_way_or_goes_or_stays();
            #[test]
            fn storage_15_an_import_that_fails_anywhere_changes_nothing();
            #[test]
            fn storage_8_an_import_is_told_as_other_writes_are();
        } }
    };
}
macro_rules! each {
    ($bed:ty { $(#[test] fn $test:ident();)* }) => {
        $(#[test] fn $test() { $crate::services::storage::conformance::$test::<$bed>(); })*
    };
}
pub(super) use {each, suites};

pub(super) use crate::services::scopes::Scopes;

pub(super) fn key(text: &str) -> Key<'_> {
    Key::parse("key", text.as_bytes()).expect("it is a key")
}

struct Tried<B: Bed> {
    bed: B,
    storage: Storage,
    clock: Arc<ManualClock>,
    scopes: Scopes,
    heard: Arc<Heard>,
}

/// All changes of all scopes, as they were told: plugin, tenant and change.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, String, Change)>>);

impl Listener for Heard {
    fn changed(&self, plugin: &str, tenant: &str, change: &Change) {
        self.0.lock().push((plugin.to_owned(), tenant.to_owned(), change.clone()));
    }
}

/// Key, value and what is known of an item.
type Found = (String, Vec<u8>, Info);

impl<B: Bed> Tried<B> {
    fn with(scopes: &[(&str, &str)]) -> Self {
        let clock = ManualClock::at(START);
        Self::on(B::new(&clock), clock, Scopes::of(scopes), Arc::default())
    }

    fn on(bed: B, clock: Arc<ManualClock>, scopes: Scopes, heard: Arc<Heard>) -> Self {
        let backend = bed.backend();
        backend.listen(Arc::clone(&heard) as _);
        let storage = Storage::new(backend, LARGEST, Arc::clone(&clock) as _);
        Self { bed, storage, clock, scopes, heard }
    }

    fn one() -> Self {
        Self::with(&[("meter", "acme")])
    }

    fn restart(self) -> Self {
        self.storage.close();
        drop(self.storage);
        Self::on(self.bed.restart(), self.clock, self.scopes, self.heard)
    }

    /// Time passes.
    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Time passes, in steps that whoever does something now and then may use.
    fn pass_slowly(&self, ms: i64) {
        for _ in 0..60 {
            self.pass(ms as u64 / 60 + 1);
        }
    }

    /// Time passes until a back end has done what it does now and then.
    ///
    /// # Panics
    ///
    /// After 20 s of real time.
    fn pass_until(&self, what: &str, is_done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_done() {
            assert!(Instant::now() < deadline, "never: {what}");
            self.pass(60_000);
            thread::yield_now();
        }
    }

    fn set_in(&self, scope: usize, name: &str, value: &[u8]) -> u64 {
        match self.storage.set(&self.scopes.at(scope), key(name), value, None) {
            Ok(Written::Done(version)) => version,
            other => panic!("{name} was not set: {other:?}"),
        }
    }

    fn set(&self, name: &str, value: &[u8]) -> u64 {
        self.set_in(0, name, value)
    }

    fn set_for(&self, name: &str, value: &[u8], lifetime: Lifetime) {
        self.step(Step::set(name, value).living(lifetime)).expect("nothing is in its way");
    }

    fn set_if(&self, name: &str, value: &[u8], version: u64) -> Result<Written> {
        self.storage.set(&self.scopes.at(0), key(name), value, Some(version))
    }

    fn step(&self, step: Step<'_>) -> Result<Outcome, Refused> {
        let done = self.steps(&[step])?;
        assert_eq!(done.len(), 1, "there is an outcome for each step");
        Ok(done[0])
    }

    fn steps(&self, steps: &[Step<'_>]) -> Result<Vec<Outcome>, Refused> {
        let done = self.storage.steps(&self.scopes.at(0), steps)?;
        assert_eq!(done.len(), steps.len(), "there is an outcome for each step");
        Ok(done)
    }

    fn get_in(&self, scope: usize, name: &str) -> Option<(Vec<u8>, Info)> {
        self.storage.fetch(&self.scopes.at(scope), key(name)).expect("it can be read")
    }

    fn get(&self, name: &str) -> Option<(Vec<u8>, Info)> {
        self.get_in(0, name)
    }

    fn remove(&self, name: &str) -> bool {
        self.storage.remove(&self.scopes.at(0), key(name)).expect("it can be written")
    }

    fn exists(&self, name: &str) -> bool {
        self.storage.exists(&self.scopes.at(0), key(name)).expect("it can be read")
    }

    fn clear(&self, scope: usize) -> u64 {
        self.storage.clear(&self.scopes.at(scope)).expect("it can be written")
    }

    fn page(&self, prefix: &str, cursor: &str, limit: u32) -> Result<Page> {
        self.storage.keys(&self.scopes.at(0), prefix, cursor, limit)
    }

    fn keys_in(&self, scope: usize, prefix: &str) -> Vec<String> {
        let page = self.storage.keys(&self.scopes.at(scope), prefix, "", 1_000).expect("it can be read");
        assert_eq!(page.next, None);
        page.keys
    }

    /// Everything that is there, scope by scope.
    fn all(&self) -> Vec<Vec<Found>> {
        let whole = |scope, name: String| {
            let (value, info) = self.get_in(scope, &name).expect("it is listed");
            (name, value, info)
        };
        let scopes = 0..self.scopes.held.len();
        scopes.map(|at| self.keys_in(at, "").into_iter().map(|name| whole(at, name)).collect()).collect()
    }

    /// Plugin, tenant, items and bytes.
    fn usage(&self) -> Vec<(String, String, u64, u64)> {
        let usage = self.storage.usage().expect("it can be read");
        let mut usage: Vec<_> = usage
            .into_iter()
            .map(|Usage { plugin, tenant, items, bytes }| {
                (plugin.to_string(), tenant.to_string(), items, bytes)
            })
            .collect();
        usage.sort();
        usage
    }

    fn counts(&self, scope: usize) -> (u64, u64) {
        let Usage { plugin, tenant, items, bytes } =
            self.storage.usage_of(&self.scopes.at(scope)).expect("it can be read");
        let (id, held) = &self.scopes.held[scope];
        assert_eq!((&*plugin, &*tenant), (&**id, &**held.name()));
        (items, bytes)
    }

    fn version(&self) -> u64 {
        self.storage.version().expect("it can be read")
    }

    /// What has changed after a version.
    fn told(&self, prefix: &str, after: u64) -> Vec<Change> {
        // What has expired may be swept at any time, and then there is a newer version afterwards.
        let version = self.version();
        let told = self.storage.changes(&self.scopes.at(0), prefix, after, 1_000).expect("it is remembered");
        assert!(told.list.len() < 1_000 && told.up_to >= version, "it is all");
        told.list
    }

    /// What was told of the first scope since the test began.
    fn heard(&self) -> Vec<Change> {
        let (plugin, tenant) = &self.scopes.held[0];
        let heard = self.heard.0.lock();
        let of_it = heard.iter().filter(|(of, by, _)| **of == **plugin && **by == **tenant.name());
        of_it.map(|(_, _, change)| change.clone()).collect()
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.storage.listen(listener);
    }
}
