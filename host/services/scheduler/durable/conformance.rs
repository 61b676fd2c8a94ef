//! What every job store must do, written once against the trait. A store runs all of it by naming it in [`suites`].

mod claims;
mod history;
mod jobs;
mod runs;

use std::{sync::Arc, time::Duration};

pub(super) use claims::*;
pub(super) use history::*;
pub(super) use jobs::*;
pub(super) use runs::*;

use super::super::{
    Overlap,
    store::{
        Claim, EndedRun, HISTORY, JobName, JobRecord, JobSpec, JobStore, Keeping, Lease, Missed, Of, OpenRun,
        RESULT_BYTES, RunEnd, RunKind, Timing, Wanted,
    },
};
use crate::{
    error::{ErrorKind, Result},
    services::clock::ManualClock,
};

/// When the tests begin.
pub(super) const START: i64 = 1_700_000_000_000;

/// A store under test.
pub(super) trait Bed: Sized {
    /// An empty one, by this clock.
    fn new(clock: &Arc<ManualClock>) -> Self;

    /// The store for one engine; those of one bed have the same content.
    fn store(&self) -> Arc<dyn JobStore>;

    /// The host ends and comes again.
    fn restart(self) -> Self;
}

/// The tests of a store. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty) => {
        $crate::services::scheduler::durable::conformance::each! { $bed {
            #[test]
            fn scheduler_27_a_job_is_there_after_a_restart_as_it_was_asked_for();
            #[test]
            fn scheduler_2_a_job_that_is_scheduled_again_stays_where_it_stands();
            #[test]
            fn scheduler_2_a_job_with_another_timing_begins_anew_with_its_counts_and_history();
            #[test]
            fn a_job_is_known_by_its_whole_name();
            #[test]
            fn a_name_is_any_text();
            #[test]
            fn jobs_are_listed_by_all_that_is_given_in_the_order_of_their_names();
            #[test]
            fn a_plugin_has_as_many_jobs_as_it_may_and_no_more();
            #[test]
            fn who_asks_a_second_time_asks_in_vain();
            #[test]
            fn a_day_later_it_is_not_known_any_more_who_has_asked();
            #[test]
            fn what_is_forgotten_is_gone_with_its_runs_and_the_rest_is_not();
            #[test]
            fn no_number_of_a_job_or_a_run_is_used_again();
            #[test]
            fn scheduler_25_a_job_is_paused_until_it_goes_on();
            #[test]
            fn due_times_are_passed_over_once();
            #[test]
            fn scheduler_28_a_due_time_is_claimed_once();
            #[test]
            fn scheduler_28_a_claim_leaves_no_earlier_due_time_behind();
            #[test]
            fn a_run_is_not_claimed_before_the_job_is_due();
            #[test]
            fn of_a_job_that_is_gone_no_run_is_claimed();
            #[test]
            fn scheduler_25_a_paused_job_runs_on_request_only();
            #[test]
            fn scheduler_25_a_run_on_request_moves_nothing();
            #[test]
            fn a_due_time_that_another_run_has_is_a_millisecond_more();
            #[test]
            fn scheduler_28_of_eight_engines_one_gets_each_run();
            #[test]
            fn scheduler_28_a_run_is_taken_over_when_its_lease_has_ended_and_not_before();
            #[test]
            fn scheduler_28_whoever_comes_with_an_older_fence_does_nothing();
            #[test]
            fn scheduler_28_of_eight_engines_one_takes_a_run_over();
            #[test]
            fn open_runs_come_in_the_order_in_which_their_leases_end();
            #[test]
            fn scheduler_27_an_open_run_is_there_after_a_restart();
            #[test]
            fn scheduler_23_an_attempt_that_begins_counts_and_one_that_is_put_off_does_not();
            #[test]
            fn scheduler_24_a_run_that_has_ended_well_makes_others_due();
            #[test]
            fn scheduler_10_a_job_that_runs_once_is_gone_with_its_run();
            #[test]
            fn scheduler_10_a_job_that_was_scheduled_anew_meanwhile_stays();
            #[test]
            fn scheduler_26_the_last_fifty_runs_are_remembered_the_newest_first();
            #[test]
            fn scheduler_26_a_history_tells_all_of_a_run();
            #[test]
            fn scheduler_26_the_newest_run_is_the_one_that_ended_last();
            #[test]
            fn a_store_that_is_closed_answers_unavailable();
        } }
    };
}
macro_rules! each {
    ($bed:ty { $(#[test] fn $test:ident();)* }) => {
        $(#[test] fn $test() { $crate::services::scheduler::durable::conformance::$test::<$bed>(); })*
    };
}
pub(super) use {each, suites};

/// A store, and the time.
struct Tried<B> {
    bed: B,
    store: Arc<dyn JobStore>,
    clock: Arc<ManualClock>,
}

impl<B: Bed> Tried<B> {
    fn new() -> Self {
        let clock = ManualClock::at(START);
        let bed = B::new(&clock);
        Self { store: bed.store(), bed, clock }
    }

    fn restart(self) -> Self {
        let Self { bed, store, clock } = self;
        store.close();
        drop(store);
        let bed = bed.restart();
        Self { store: bed.store(), bed, clock }
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    fn put(&self, name: &JobName, spec: &JobSpec, next_ms: Option<i64>) -> JobRecord {
        self.store.put(name, spec, next_ms, "", 1_000).expect("it answers").expect("nobody has asked before")
    }

    /// A job that is due every hour, first at [`START`].
    fn hourly(&self, name: &str) -> u64 {
        self.put(&own(name), &hourly(), Some(START)).job
    }

    fn jobs(&self) -> Vec<JobRecord> {
        self.store.jobs(&Of::default()).expect("it answers")
    }

    #[track_caller]
    fn job(&self, job: u64) -> JobRecord {
        self.jobs().into_iter().find(|record| record.job == job).expect("it is there")
    }

    fn claim(&self, wanted: &Wanted) -> Claim {
        self.store.claim(wanted, START, START + 1_000).expect("it answers")
    }

    #[track_caller]
    fn granted(&self, wanted: &Wanted) -> Lease {
        match self.claim(wanted) {
            Claim::Granted(lease) => lease,
            other => panic!("{wanted:?}: {other:?}"),
        }
    }

    /// A run on request, claimed.
    #[track_caller]
    fn requested(&self, job: u64) -> Lease {
        self.granted(&requested(job, START))
    }

    #[track_caller]
    fn finish(&self, lease: &Lease) {
        assert!(self.store.finish(lease, &ok(START + 5), &[], false).expect("it answers"), "{lease:?}");
    }

    fn open(&self) -> Vec<OpenRun> {
        self.store.open_runs(usize::MAX).expect("it answers")
    }

    fn history(&self, job: u64) -> Vec<EndedRun> {
        self.store.history(job).expect("it answers")
    }
}

fn name(plugin: &str, tenant: &str, name: &str) -> JobName {
    JobName { plugin: plugin.into(), tenant: tenant.into(), name: name.into() }
}

/// Of the plugin shop for the tenant acme.
fn own(own: &str) -> JobName {
    name("shop", "acme", own)
}

fn spec(timing: Timing) -> JobSpec {
    JobSpec { timing, keeping: Keeping::default(), data: (*b"data").into() }
}

fn hourly() -> JobSpec {
    spec(Timing::Every(HOUR))
}

const HOUR: i64 = 3_600_000;

/// The run that is due at `START` by a job of [`hourly`].
fn first(job: u64) -> Wanted {
    by_schedule(job, START, Some(START + HOUR))
}

fn by_schedule(job: u64, due_ms: i64, next_ms: Option<i64>) -> Wanted {
    Wanted { job, due_ms, kind: RunKind::Scheduled, next_ms, passed_over: 0 }
}

fn requested(job: u64, due_ms: i64) -> Wanted {
    Wanted { job, due_ms, kind: RunKind::Requested, next_ms: Some(77), passed_over: 0 }
}

fn ok(ended_ms: i64) -> RunEnd {
    RunEnd { ended_ms, error: None, result: b"done".to_vec() }
}

fn failed(ended_ms: i64) -> RunEnd {
    RunEnd { ended_ms, error: Some(ErrorKind::Timeout), result: b"too late".to_vec() }
}

fn kind<T>(done: Result<T>) -> Option<ErrorKind> {
    done.err().map(|error| error.kind())
}

pub(super) fn a_store_that_is_closed_answers_unavailable<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let lease = tried.granted(&first(job));
    let before = (tried.jobs(), tried.open());
    let store = &tried.store;
    store.close();
    store.close();
    let answers = [
        ("put", kind(store.put(&own("b"), &hourly(), None, "", 9))),
        ("put again", kind(store.put(&own("a"), &hourly(), None, "", 9))),
        ("jobs", kind(store.jobs(&Of::default()))),
        ("forget", kind(store.forget(&Of::default()))),
        ("set_paused", kind(store.set_paused(job, true, None))),
        ("claim", kind(store.claim(&requested(job, START), START, START))),
        ("pass_over", kind(store.pass_over(job, 1, None))),
        ("begin_again", kind(store.begin_again(&lease, START))),
        ("postpone", kind(store.postpone(&lease, START))),
        ("finish", kind(store.finish(&lease, &ok(START), &[job], true))),
        ("open_runs", kind(store.open_runs(1))),
        ("take_over", kind(store.take_over(lease.run, i64::MAX, START))),
        ("history", kind(store.history(job))),
    ];
    for (what, answer) in answers {
        assert_eq!(answer, Some(ErrorKind::Unavailable), "{what}");
    }
    let tried = tried.restart();
    assert_eq!((tried.jobs(), tried.open()), before, "nothing has happened");
}
