//! What every event log must do, written once against the trait. A log runs all of it by naming it in [`suites`].

mod consumers;
mod dead;
mod reading;
mod retention;
mod writing;

use std::{borrow::Cow, sync::Arc, time::Duration};

pub(super) use consumers::*;
pub(super) use dead::*;
pub(super) use reading::*;
pub(super) use retention::*;
pub(super) use writing::*;

use super::log::{
    ConsumerName, Dead, Dedupe, EventLog, Logged, NewEvent, Of, Position, Retention, Retry, Settlement, Start,
};
use crate::{
    error::{ErrorKind, Result},
    services::{
        clock::ManualClock,
        events::{Event, Extension, Topic},
    },
};

/// When the tests begin.
pub(super) const START: i64 = 1_700_000_000_000;

/// A log under test.
pub(super) trait Bed: Sized {
    /// An empty one, by this clock.
    fn new(clock: &Arc<ManualClock>) -> Self;

    fn log(&self) -> Arc<dyn EventLog>;

    /// The host ends and comes again.
    fn restart(self) -> Self;
}

/// The tests of a log. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty) => {
        $crate::services::events::durable::conformance::each! { $bed {
            #[test]
            fn events_25_an_event_that_was_appended_is_there_after_a_restart();
            #[test]
            fn events_25_an_event_is_read_as_it_was_written_in_every_field();
            #[test]
            fn events_that_are_appended_together_lie_together();
            #[test]
            fn to_append_nothing_writes_nothing();
            #[test]
            fn events_31_an_id_that_comes_again_within_its_window_is_a_duplicate();
            #[test]
            fn events_31_the_window_begins_with_what_was_written_last();
            #[test]
            fn events_31_what_an_outbox_sends_is_known_as_long_as_its_id_is();
            #[test]
            fn events_31_an_id_is_one_tenants_and_one_sources();
            #[test]
            fn events_31_an_id_that_comes_twice_at_once_is_written_once();
            #[test]
            fn events_31_an_id_that_the_host_made_is_neither_looked_for_nor_kept();
            #[test]
            fn events_31_an_id_is_known_after_a_restart_and_when_its_event_is_gone();
            #[test]
            fn a_page_has_as_many_events_as_were_asked_for_and_says_how_far_it_went();
            #[test]
            fn a_page_has_about_a_mebibyte_but_one_event_at_least();
            #[test]
            fn the_events_of_one_tenant_are_read_without_those_of_others();
            #[test]
            fn an_event_is_found_by_its_sequence();
            #[test]
            fn the_extent_tells_the_ends_and_what_lies_between();
            #[test]
            fn events_25_a_reader_misses_nothing_of_eight_that_write_at_once();
            #[test]
            fn events_30_new_begins_with_what_comes();
            #[test]
            fn events_30_all_begins_with_the_oldest_that_is_there();
            #[test]
            fn events_30_a_sequence_begins_there_or_with_the_oldest_behind();
            #[test]
            fn events_30_a_time_begins_with_the_first_event_of_then_or_later();
            #[test]
            fn events_30_a_time_is_found_where_the_clock_was_set();
            #[test]
            fn events_42_a_position_is_there_after_a_restart_and_no_start_changes_it();
            #[test]
            fn a_higher_floor_forgets_what_was_known_below_and_none_is_ever_lower();
            #[test]
            fn an_event_is_settled_or_comes_again_as_was_said_last();
            #[test]
            fn a_consumer_that_is_not_there_is_not_found_and_nothing_happens();
            #[test]
            fn a_consumer_is_known_by_its_whole_name();
            #[test]
            fn consumers_are_listed_by_all_that_is_given();
            #[test]
            fn events_42_what_is_forgotten_is_gone_and_the_rest_is_not();
            #[test]
            fn no_number_of_a_consumer_is_used_again();
            #[test]
            fn events_28_a_dead_letter_tells_what_died_why_and_when();
            #[test]
            fn events_28_dead_letters_are_listed_by_all_that_is_given_and_in_pages();
            #[test]
            fn events_28_a_dead_letter_outlives_its_event_and_the_host();
            #[test]
            fn events_28_a_dead_letter_counts_as_settled();
            #[test]
            fn events_28_of_an_event_that_is_gone_there_is_no_dead_letter();
            #[test]
            fn events_28_what_is_replayed_comes_anew_for_its_consumer_alone();
            #[test]
            fn events_28_to_replay_looks_at_no_id_and_passes_over_what_is_not_there();
            #[test]
            fn events_28_what_is_dropped_is_gone_and_its_number_is_not_used_again();
            #[test]
            fn events_32_events_go_when_they_are_old_enough_and_not_before();
            #[test]
            fn events_32_the_newest_stay_that_have_so_many_bytes();
            #[test]
            fn events_32_what_is_to_come_again_or_for_one_alone_goes_with_the_rest();
            #[test]
            fn events_32_nothing_goes_before_what_is_older();
            #[test]
            fn events_32_who_had_not_settled_all_that_is_gone_is_told();
            #[test]
            fn events_32_what_is_much_goes_in_steps();
            #[test]
            fn no_sequence_is_used_again_when_all_events_are_gone();
            #[test]
            fn events_31_ids_go_when_they_are_old_enough_and_not_before();
            #[test]
            fn a_log_that_is_closed_answers_unavailable();
        } }
    };
}
macro_rules! each {
    ($bed:ty { $(#[test] fn $test:ident();)* }) => {
        $(#[test] fn $test() { $crate::services::events::durable::conformance::$test::<$bed>(); })*
    };
}
pub(super) use {each, suites};

/// Keeps everything.
pub(super) const ENDLESS: Retention = Retention { age_ms: 1 << 50, bytes: u64::MAX, dedupe_ms: 1 << 50 };

/// A log, and the time.
struct Tried<B> {
    bed: B,
    log: Arc<dyn EventLog>,
    clock: Arc<ManualClock>,
}

impl<B: Bed> Tried<B> {
    fn new() -> Self {
        let clock = ManualClock::at(START);
        let bed = B::new(&clock);
        Self { log: bed.log(), bed, clock }
    }

    fn restart(self) -> Self {
        let Self { bed, log, clock } = self;
        log.close();
        drop(log);
        let bed = bed.restart();
        Self { log: bed.log(), bed, clock }
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Appends the events, of which none is looked for; answers their sequences.
    fn append(&self, events: &[Event]) -> Vec<u64> {
        let events: Vec<NewEvent> = events.iter().map(|event| new(event, Dedupe::Never)).collect();
        let appended = self.log.append(&events).expect("the log answers");
        assert!(appended.iter().all(|one| !one.duplicate), "{appended:?}");
        appended.iter().map(|one| one.sequence).collect()
    }

    /// So many events of the tenant acme, each in a write of its own; answers the last sequence.
    fn fill(&self, many: usize) -> u64 {
        (0..many).map(|number| self.append(&[event("acme", &number.to_string())])[0]).last().expect("some")
    }

    /// Appends an event that is looked for; answers its sequence, and whether it was a duplicate.
    fn offer(&self, event: &Event, dedupe: Dedupe) -> (u64, bool) {
        let appended = self.log.append(&[new(event, dedupe)]).expect("the log answers");
        assert_eq!(appended.len(), 1);
        (appended[0].sequence, appended[0].duplicate)
    }

    /// All that is there.
    fn all(&self) -> Vec<Logged> {
        self.log.read(0, None, usize::MAX).expect("the log answers").events
    }

    fn sequences(&self) -> Vec<u64> {
        self.all().iter().map(|logged| logged.sequence).collect()
    }

    fn join(&self, name: &ConsumerName, start: Start) -> Position {
        self.log.join(name, start).expect("the log answers")
    }

    /// Where the consumer stands, who is there.
    fn stands(&self, name: &ConsumerName) -> Position {
        self.join(name, Start::Sequence(1 << 40))
    }

    #[track_caller]
    fn settle(&self, consumer: u64, settlement: &Settlement) {
        self.log.settle(consumer, settlement).expect("the consumer is there");
    }

    /// These of the consumer's events have failed for the last time.
    #[track_caller]
    fn bury(&self, consumer: u64, sequences: &[u64]) {
        self.settle(consumer, &bury(sequences));
    }

    /// The numbers and sequences of all dead letters.
    fn letters(&self) -> Vec<(u64, u64)> {
        let letters = self.log.dead_letters(&Of::default(), 0, usize::MAX).expect("the log answers");
        letters.iter().map(|letter| (letter.number, letter.sequence)).collect()
    }

    /// Clears all that may go, in steps; answers how many events, how many bytes, and who was late.
    fn retain(&self, retention: Retention) -> (u64, u64, Vec<ConsumerName>) {
        let (mut events, mut bytes, mut late) = (0, 0, Vec::new());
        loop {
            let cleared = self.log.retain(&retention).expect("the log answers");
            (events, bytes) = (events + cleared.events, bytes + cleared.bytes);
            late.extend(cleared.late);
            late.sort();
            late.dedup();
            if !cleared.more {
                return (events, bytes, late);
            }
        }
    }

    /// Nothing is left of the events.
    fn clear(&self) {
        self.retain(Retention { bytes: 0, ..ENDLESS });
        assert_eq!(self.sequences(), [0_u64; 0]);
    }
}

/// An event with something in every field.
pub(super) fn event(tenant: &str, id: &str) -> Event {
    Event {
        id: id.into(),
        source: "/plugins/shop".into(),
        topic: Topic::parse("plugin.shop.sold").expect("it is a topic"),
        subject: "shoe".into(),
        content_type: "text/plain".into(),
        key: "customer 7".into(),
        tenant: tenant.into(),
        time_ms: START - 5,
        depth: 3,
        data: (*b"42 EUR").into(),
        extensions: Vec::new(),
    }
}

pub(super) fn new(event: &Event, dedupe: Dedupe) -> NewEvent {
    NewEvent { event: Arc::new(event.clone()), dedupe }
}

fn consumer(plugin: &str, tenant: &str, name: &str) -> ConsumerName {
    ConsumerName { plugin: plugin.into(), tenant: tenant.into(), name: name.into() }
}

/// A consumer of the system scope.
pub(super) fn audit() -> ConsumerName {
    consumer("audit", "", "all")
}

fn retry(sequence: u64, attempts: u32) -> Retry {
    Retry { sequence, attempts, due_ms: START + 1_000, reason: "it is raining".into() }
}

fn dead(sequence: u64) -> Dead {
    Dead { sequence, attempts: 10, reason: "the shop is closed".into() }
}

/// These have failed for the last time.
pub(super) fn bury(sequences: &[u64]) -> Settlement {
    let dead = sequences.iter().map(|sequence| dead(*sequence)).collect();
    Settlement { dead, ..Settlement::default() }
}

fn kind<T>(done: Result<T>) -> Option<ErrorKind> {
    done.err().map(|error| error.kind())
}

#[track_caller]
fn same(found: &[Logged], expected: &[Logged]) {
    let parts = |logged: &Logged| (logged.sequence, logged.logged_ms, logged.only, Arc::clone(&logged.event));
    let [found, expected] = [found, expected].map(|list| list.iter().map(parts).collect::<Vec<_>>());
    assert_eq!(found, expected);
}

pub(super) fn a_log_that_is_closed_answers_unavailable<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.append(&[event("acme", "1")]);
    let position = tried.join(&audit(), Start::All);
    let log = &tried.log;
    log.close();
    log.close();
    let of = Of::default();
    let answers = [
        ("append", kind(log.append(&[new(&event("acme", "2"), Dedupe::Never)]))),
        ("append nothing", kind(log.append(&[]))),
        ("read", kind(log.read(0, None, 1))),
        ("read one tenant", kind(log.read(0, Some("acme"), 1))),
        ("read nothing", kind(log.read(0, None, 0))),
        ("get", kind(log.get(&[1]))),
        ("extent", kind(log.extent())),
        ("join", kind(log.join(&audit(), Start::All))),
        ("settle", kind(log.settle(position.consumer, &Settlement::default()))),
        ("consumers", kind(log.consumers(&of))),
        ("dead_letters", kind(log.dead_letters(&of, 0, 1))),
        ("replay", kind(log.replay(&[1]))),
        ("replay nothing", kind(log.replay(&[]))),
        ("drop_dead", kind(log.drop_dead(&[1]))),
        ("drop_dead nothing", kind(log.drop_dead(&[]))),
        ("retain", kind(log.retain(&ENDLESS))),
        ("forget", kind(log.forget(&of))),
    ];
    for (what, answer) in answers {
        assert_eq!(answer, Some(ErrorKind::Unavailable), "{what}");
    }
    let tried = tried.restart();
    assert_eq!(tried.sequences(), [1], "nothing has happened");
    assert_eq!(tried.stands(&audit()), position);
}
