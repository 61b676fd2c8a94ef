//! What every store must do, written once against the trait, through the front. A store runs all of it by naming it in
//! [`suites`].

use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use super::{Address, Idempotency, IdempotencyStore, Known, Limits, State, Token};
use crate::{
    error::{ErrorKind, Result},
    services::{
        clock::{Clock, ManualClock},
        keys::{Key, Namespace},
    },
};

/// When the tests begin.
pub(super) const START: i64 = 1_000_000;

/// As without settings.
pub(super) const LIMITS: Limits = Limits { lease_ms: 60_000, keep_ms: 86_400_000, largest_result: 1 << 20 };

/// A store under test.
pub(super) trait Bed: Sized {
    /// An empty one, by this clock.
    fn new(clock: &Arc<ManualClock>) -> Self;

    fn store(&self) -> Box<dyn IdempotencyStore>;

    /// The host ends and comes again.
    fn restart(self) -> Self;
}

/// The tests of a store. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty) => {
        $crate::services::idempotency::conformance::each! { $bed {
            #[test]
            fn idempotency_1_begin_tells_the_four_states();
            #[test]
            fn idempotency_1_an_empty_fingerprint_and_an_empty_result_are_as_good_as_others();
            #[test]
            fn idempotency_1_completing_twice_with_one_result_is_well_and_with_another_a_conflict();
            #[test]
            fn idempotency_2_of_many_that_begin_at_once_one_starts();
            #[test]
            fn idempotency_3_a_failure_that_is_not_kept_lets_the_key_start_again();
            #[test]
            fn idempotency_3_a_failure_that_is_kept_is_the_answer_to_later_begins();
            #[test]
            fn idempotency_4_after_the_lease_somebody_else_takes_over_and_the_old_token_is_a_conflict();
            #[test]
            fn idempotency_4_who_is_late_and_was_not_taken_over_may_still_end();
            #[test]
            fn idempotency_4_an_old_token_is_a_conflict_where_the_record_is_gone_too();
            #[test]
            fn idempotency_5_renew_prolongs_the_lease();
            #[test]
            fn idempotency_6_look_does_not_start();
            #[test]
            fn idempotency_7_results_are_kept_for_24_hours_or_as_long_as_was_asked();
            #[test]
            fn idempotency_7_everything_is_there_after_a_restart();
            #[test]
            fn everywhere_2_a_result_has_up_to_1_mib_and_a_fingerprint_256_bytes();
            #[test]
            fn everywhere_4_no_names_can_be_chosen_so_that_records_meet();
            #[test]
            fn everywhere_5_what_fails_leaves_the_record_as_it_was();
            #[test]
            fn what_is_forgotten_may_begin_again();
            #[test]
            fn a_clock_that_is_set_moves_what_is_left_with_it();
        } }
    };
}
macro_rules! each {
    ($bed:ty { $(#[test] fn $test:ident();)* }) => {
        $(#[test] fn $test() { $crate::services::idempotency::conformance::$test::<$bed>(); })*
    };
}
pub(super) use {each, suites};

pub(super) use crate::services::scopes::Scopes;

impl Scopes {
    pub(super) fn address<'a>(&'a self, at: usize, operation: &'a str, key: &'a str) -> Address<'a> {
        Address {
            scope: self.at(at),
            operation: Namespace::parse("operation", operation.as_bytes()).expect("it is a name"),
            key: Key::parse("key", key.as_bytes()).expect("it is a key"),
        }
    }
}

struct Tried<B: Bed> {
    bed: B,
    service: Idempotency,
    clock: Arc<ManualClock>,
    scopes: Scopes,
}

impl<B: Bed> Tried<B> {
    fn with(scopes: &[(&str, &str)]) -> Self {
        let clock = ManualClock::at(START);
        let bed = B::new(&clock);
        let service = Idempotency::new(bed.store(), LIMITS);
        Self { bed, service, clock, scopes: Scopes::of(scopes) }
    }

    fn one() -> Self {
        Self::with(&[("shop", "acme")])
    }

    fn restart(self) -> Self {
        self.service.close();
        drop(self.service);
        let bed = self.bed.restart();
        let service = Idempotency::new(bed.store(), LIMITS);
        Self { bed, service, clock: self.clock, scopes: self.scopes }
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    fn begin_in(&self, scope: usize, operation: &str, key: &str, fingerprint: &[u8]) -> Known {
        let address = self.scopes.address(scope, operation, key);
        self.service.begin(&address, fingerprint, 0, 0).expect("the store answers")
    }

    fn begin(&self, key: &str) -> Known {
        self.begin_in(0, "charge", key, b"print")
    }

    /// What it began with, and whether it took over.
    #[track_caller]
    fn start(&self, key: &str) -> (Token, bool) {
        started(&self.begin(key))
    }

    fn complete(&self, token: Token, result: &[u8]) -> Result<()> {
        self.service.complete(&self.scopes.at(0), token, result)
    }

    fn fail(&self, token: Token, keep: bool, error: &[u8]) -> Result<()> {
        self.service.fail(&self.scopes.at(0), token, keep, error)
    }

    fn renew(&self, token: Token, lease_ms: i64) -> Result<()> {
        self.service.renew(&self.scopes.at(0), token, lease_ms)
    }

    fn look(&self, key: &str) -> Option<Known> {
        self.service.look(&self.scopes.address(0, "charge", key)).expect("the store answers")
    }

    /// Every way to use a token is a conflict.
    #[track_caller]
    fn counts_no_more(&self, token: Token, result: &[u8]) {
        for (what, done) in [
            ("complete", self.complete(token, result)),
            ("fail", self.fail(token, false, b"")),
            ("fail for good", self.fail(token, true, result)),
            ("renew", self.renew(token, 0)),
        ] {
            assert_eq!(kind(done), Some(ErrorKind::Conflict), "{what}");
        }
    }
}

#[track_caller]
fn started(known: &Known) -> (Token, bool) {
    match known.state {
        State::Started { token, taken_over } if token != 0 => (token, taken_over),
        _ => panic!("it did not start: {known:?}"),
    }
}

fn kind(done: Result<()>) -> Option<ErrorKind> {
    done.err().map(|error| error.kind())
}

fn ended(state: State, left_ms: i64, result: &[u8]) -> Known {
    Known { state, attempt: 1, left_ms, begun_ms: START, result: result.into() }
}

pub(super) fn idempotency_1_begin_tells_the_four_states<B: Bed>() {
    let tried = Tried::<B>::one();
    let known = tried.begin("k");
    let (token, taken_over) = started(&known);
    assert!(!taken_over);
    assert_eq!((known.attempt, known.left_ms, known.begun_ms), (1, 60_000, START));
    tried.pass(20_000);
    assert_eq!(tried.begin("k"), ended(State::InProgress, 40_000, b""), "it is told when to ask again");
    let other = |known: Known| {
        assert_eq!((known.state, known.result.len()), (State::Mismatch, 0));
        known.left_ms
    };
    let mismatched = || other(tried.begin_in(0, "charge", "k", b"other"));
    assert_eq!(mismatched(), 40_000 + 86_400_000, "while it is in progress");
    tried.complete(token, b"receipt").expect("it was started");
    for _ in 0..2 {
        assert_eq!(tried.begin("k"), ended(State::Done, 86_400_000, b"receipt"));
        assert_eq!(mismatched(), 86_400_000, "after it is done");
    }
    let _ = tried.start("another");
    started(&tried.begin_in(0, "refund", "k", b"other"));
    tried.pass(60_000);
    assert_eq!(other(tried.begin_in(0, "charge", "another", b"other")), 86_400_000, "after its lease");
}

pub(super) fn idempotency_1_an_empty_fingerprint_and_an_empty_result_are_as_good_as_others<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = started(&tried.begin_in(0, "charge", "k", b""));
    assert_eq!(tried.begin_in(0, "charge", "k", b"\0").state, State::Mismatch);
    tried.complete(token, b"").expect("it was started");
    assert_eq!(tried.begin_in(0, "charge", "k", b""), ended(State::Done, 86_400_000, b""));
    tried.complete(token, b"").expect("it has ended with just this");
    assert_eq!(kind(tried.complete(token, b"\0")), Some(ErrorKind::Conflict));
}

pub(super) fn idempotency_1_completing_twice_with_one_result_is_well_and_with_another_a_conflict<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = tried.start("k");
    for _ in 0..3 {
        tried.complete(token, b"receipt").expect("the answer may have been lost");
    }
    assert_eq!(kind(tried.complete(token, b"other")), Some(ErrorKind::Conflict));
    assert_eq!(kind(tried.fail(token, true, b"receipt")), Some(ErrorKind::Conflict));
    assert_eq!(kind(tried.fail(token, false, b"")), Some(ErrorKind::Conflict));
    assert_eq!(kind(tried.renew(token, 0)), Some(ErrorKind::Conflict));
    assert_eq!(tried.begin("k"), ended(State::Done, 86_400_000, b"receipt"), "nothing of it was changed");
    let (token, _) = tried.start("l");
    for _ in 0..2 {
        tried.fail(token, true, b"declined").expect("the answer may have been lost");
    }
    assert_eq!(kind(tried.complete(token, b"declined")), Some(ErrorKind::Conflict));
}

pub(super) fn idempotency_2_of_many_that_begin_at_once_one_starts<B: Bed>() {
    let tried = Tried::<B>::one();
    for round in 0..20 {
        let key = format!("round {round}");
        let gate = Barrier::new(16);
        let begun: Vec<Known> = thread::scope(|threads| {
            let begins: Vec<_> = (0..16)
                .map(|_| {
                    let (service, scopes, key, gate) = (&tried.service, &tried.scopes, &key, &gate);
                    threads.spawn(move || {
                        gate.wait();
                        service.begin(&scopes.address(0, "charge", key), b"p", 0, 0)
                    })
                })
                .collect();
            begins.into_iter().map(|one| one.join().expect("no panic").expect("an answer")).collect()
        });
        let starts = begun.iter().filter(|known| matches!(known.state, State::Started { .. })).count();
        let waits = begun.iter().filter(|known| known.state == State::InProgress).count();
        assert_eq!((starts, waits), (1, 15), "{begun:?}");
    }
}

pub(super) fn idempotency_3_a_failure_that_is_not_kept_lets_the_key_start_again<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = tried.start("k");
    tried.pass(5);
    tried.fail(token, false, b"try again").expect("it was started");
    assert_eq!(tried.look("k"), None);
    tried.counts_no_more(token, b"receipt");
    let known = tried.begin_in(0, "charge", "k", b"another request");
    let (again, taken_over) = started(&known);
    assert!(again != token && !taken_over);
    assert_eq!((known.attempt, known.begun_ms), (1, START + 5), "the record began anew");
}

pub(super) fn idempotency_3_a_failure_that_is_kept_is_the_answer_to_later_begins<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = tried.start("k");
    tried.fail(token, true, b"declined").expect("it was started");
    for _ in 0..2 {
        assert_eq!(tried.begin("k"), ended(State::Failed, 86_400_000, b"declined"));
    }
    assert_eq!(tried.begin_in(0, "charge", "k", b"other").state, State::Mismatch);
    tried.pass(86_400_000);
    let _ = tried.start("k");
}

pub(super) fn idempotency_4_after_the_lease_somebody_else_takes_over_and_the_old_token_is_a_conflict<
    B: Bed,
>() {
    let tried = Tried::<B>::one();
    let (first, _) = tried.start("k");
    tried.pass(59_999);
    assert_eq!(tried.begin("k").left_ms, 1);
    tried.pass(1);
    let known = tried.begin("k");
    let (second, taken_over) = started(&known);
    assert!(taken_over && second != first);
    assert_eq!((known.attempt, known.begun_ms, known.left_ms), (2, START, 60_000));
    tried.counts_no_more(first, b"late");
    assert_eq!(tried.begin("k").state, State::InProgress, "the late one has changed nothing");
    tried.complete(second, b"receipt").expect("it is the one who has it");
    tried.counts_no_more(first, b"receipt");
    assert_eq!(tried.begin("k").result, b"receipt");
}

pub(super) fn idempotency_4_who_is_late_and_was_not_taken_over_may_still_end<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = tried.start("k");
    let (failing, _) = tried.start("l");
    let (renewing, _) = tried.start("m");
    tried.pass(3_600_000);
    assert_eq!(tried.look("k").map(|known| known.state), Some(State::Abandoned));
    tried.complete(token, b"receipt").expect("nobody else began");
    assert_eq!(tried.begin("k"), ended(State::Done, 86_400_000, b"receipt"));
    tried.fail(failing, true, b"declined").expect("nobody else began");
    tried.renew(renewing, 0).expect("nobody else began");
    assert_eq!(tried.begin("m").state, State::InProgress);
}

pub(super) fn idempotency_4_an_old_token_is_a_conflict_where_the_record_is_gone_too<B: Bed>() {
    let tried = Tried::<B>::one();
    let address = |key| tried.scopes.address(0, "charge", key);
    let (expired, _) = tried.start("expired");
    let (forgotten, _) = tried.start("forgotten");
    assert!(tried.service.forget(&address("forgotten")).expect("the store answers"));
    tried.counts_no_more(forgotten, b"");
    tried.pass(60_000 + 86_400_000 - 1);
    tried.renew(expired, 1).expect("it is still there");
    tried.pass(1 + 86_400_000);
    tried.counts_no_more(expired, b"");
    assert_eq!(tried.look("expired"), None);
    let known = tried.begin("expired");
    assert_eq!((started(&known).1, known.attempt), (false, 1), "it is as if it never was");
    for nobodys in [1, u64::MAX, 1 << 63] {
        tried.counts_no_more(nobodys, b"");
    }
}

pub(super) fn idempotency_5_renew_prolongs_the_lease<B: Bed>() {
    let tried = Tried::<B>::one();
    let address = tried.scopes.address(0, "charge", "k");
    let known = tried.service.begin(&address, b"print", 1_000, 0).expect("the store answers");
    let (token, _) = started(&known);
    tried.pass(900);
    tried.renew(token, 0).expect("it is its own");
    assert_eq!(tried.begin("k").left_ms, 1_000, "as long as it was begun for");
    tried.renew(token, 5_000).expect("it is its own");
    assert_eq!(tried.begin("k").left_ms, 5_000);
    tried.pass(4_999);
    assert_eq!(tried.begin("k").state, State::InProgress);
    tried.renew(token, 0).expect("it is its own");
    assert_eq!(tried.begin("k").left_ms, 1_000, "that is still what it was begun for");
    tried.pass(1_000);
    assert!(tried.start("k").1);
    assert_eq!(kind(tried.renew(token, 0)), Some(ErrorKind::Conflict));
}

pub(super) fn idempotency_6_look_does_not_start<B: Bed>() {
    let tried = Tried::<B>::one();
    assert_eq!(tried.look("k"), None);
    let (token, taken_over) = tried.start("k");
    assert!(!taken_over, "looking has begun nothing");
    tried.pass(10_000);
    assert_eq!(tried.look("k"), Some(ended(State::InProgress, 50_000, b"")));
    tried.pass(50_000);
    assert_eq!(tried.look("k"), Some(ended(State::Abandoned, 86_400_000, b"")));
    tried.complete(token, b"receipt").expect("looking has taken nothing over");
    assert_eq!(tried.look("k"), Some(ended(State::Done, 86_400_000, b"receipt")));
    assert_eq!(tried.look("other"), None);
}

pub(super) fn idempotency_7_results_are_kept_for_24_hours_or_as_long_as_was_asked<B: Bed>() {
    let tried = Tried::<B>::one();
    let address = tried.scopes.address(0, "charge", "short");
    let short = tried.service.begin(&address, b"print", 0, 500).expect("the store answers");
    let (day, _) = tried.start("day");
    tried.pass(30_000);
    tried.complete(started(&short).0, b"short").expect("it was started");
    tried.complete(day, b"day").expect("it was started");
    tried.pass(499);
    assert_eq!(tried.begin("short").left_ms, 1, "it counts from the end");
    tried.pass(1);
    let _ = tried.start("short");
    tried.pass(86_400_000 - 501);
    assert_eq!(tried.begin("day").result, b"day");
    tried.pass(1);
    let known = tried.begin_in(0, "charge", "day", b"another request");
    assert_eq!((started(&known).1, known.attempt), (false, 1), "it is as if it never was");
    tried.counts_no_more(day, b"day");
}

pub(super) fn idempotency_7_everything_is_there_after_a_restart<B: Bed>() {
    let mut tried = Tried::<B>::one();
    let (done, _) = tried.start("done");
    let (failed, _) = tried.start("failed");
    let (running, _) = tried.start("running");
    let (left, _) = tried.start("left");
    tried.complete(done, b"receipt").expect("it was started");
    tried.fail(failed, true, b"declined").expect("it was started");
    tried = tried.restart();
    assert_eq!(tried.begin("done"), ended(State::Done, 86_400_000, b"receipt"));
    assert_eq!(tried.begin("failed"), ended(State::Failed, 86_400_000, b"declined"));
    assert_eq!(tried.begin("running"), ended(State::InProgress, 60_000, b""));
    assert_eq!(tried.begin_in(0, "charge", "done", b"other").state, State::Mismatch);
    tried.complete(done, b"receipt").expect("it has ended with just this");
    tried.complete(running, b"receipt").expect("its token outlives the host");
    tried.pass(60_000);
    tried = tried.restart();
    assert!(tried.start("left").1, "whoever had it is gone");
    tried.counts_no_more(left, b"late");
}

pub(super) fn everywhere_2_a_result_has_up_to_1_mib_and_a_fingerprint_256_bytes<B: Bed>() {
    let tried = Tried::<B>::one();
    let print: Vec<u8> = (0..=255).collect();
    let (token, _) = started(&tried.begin_in(0, "charge", "k", &print));
    let largest: Vec<u8> = (0..1 << 20).map(|at: usize| (at * 31 % 251) as u8).collect();
    let larger = [&largest[..], &[0]].concat();
    for done in
        [tried.complete(token, &larger), tried.fail(token, true, &larger), tried.fail(token, false, &larger)]
    {
        let error = done.expect_err("it is too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("1048576"), "{error}");
    }
    tried.complete(token, &largest).expect("it fits");
    assert!(tried.begin_in(0, "charge", "k", &print).result == largest);
    let address = tried.scopes.address(0, "charge", "l");
    let error =
        tried.service.begin(&address, &[&print[..], &[0]].concat(), 0, 0).expect_err("it is too long");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(tried.look("l"), None, "nothing was begun");
}

pub(super) fn everywhere_4_no_names_can_be_chosen_so_that_records_meet<B: Bed>() {
    let scopes = [("a", "b"), ("ab", ""), ("a", ""), ("a", "b/c"), ("a", "%"), ("A", "b"), ("a", "B")];
    let names = ["k", "b", "k/b", "1:k", "K", "k ", "'", "%"];
    let tried = Tried::<B>::with(&scopes);
    let mut tokens = Vec::new();
    for scope in 0..scopes.len() {
        for operation in names {
            for key in names {
                let (token, taken_over) = started(&tried.begin_in(scope, operation, key, b"p"));
                assert!(!taken_over);
                tokens.push((scope, operation, key, token));
            }
        }
    }
    for (scope, operation, key, token) in &tokens {
        for other in (0..scopes.len()).filter(|other| other != scope) {
            let done = tried.service.complete(&tried.scopes.at(other), *token, b"stolen");
            assert_eq!(kind(done), Some(ErrorKind::Conflict), "{:?} in {:?}", scopes[*scope], scopes[other]);
        }
        let result = format!("{scope} {operation} {key}");
        tried.service.complete(&tried.scopes.at(*scope), *token, result.as_bytes()).expect("it is its own");
    }
    for (scope, operation, key, _) in tokens {
        let known = tried.begin_in(scope, operation, key, b"p");
        assert_eq!(known.result, format!("{scope} {operation} {key}").into_bytes());
    }
}

pub(super) fn everywhere_5_what_fails_leaves_the_record_as_it_was<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = tried.start("k");
    let before = tried.look("k");
    let address = tried.scopes.address(0, "charge", "k");
    let refused = |lease_ms, keep_ms| {
        let error =
            tried.service.begin(&address, b"print", lease_ms, keep_ms).expect_err("it is out of range");
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
    };
    for ms in [-1, i64::MIN, i64::MAX, 86_400_001] {
        refused(ms, 0);
        assert_eq!(kind(tried.renew(token, ms)), Some(ErrorKind::OutOfRange));
    }
    for ms in [-1, i64::MIN, i64::MAX, 31_536_000_001] {
        refused(0, ms);
    }
    for done in [tried.complete(0, b""), tried.fail(0, true, b""), tried.renew(0, 0)] {
        assert_eq!(kind(done), Some(ErrorKind::InvalidArgument));
    }
    assert!(tried.complete(token, &vec![0; (1 << 20) + 1]).is_err());
    assert_eq!(kind(tried.complete(token ^ 1, b"")), Some(ErrorKind::Conflict));
    assert_eq!(tried.look("k"), before);
    tried
        .service
        .begin(&tried.scopes.address(0, "charge", "l"), b"", 86_400_000, 31_536_000_000)
        .expect("in range");
}

pub(super) fn what_is_forgotten_may_begin_again<B: Bed>() {
    let tried = Tried::<B>::with(&[("shop", "acme"), ("shop", ""), ("till", "acme")]);
    let forget = |scope, key| tried.service.forget(&tried.scopes.address(scope, "charge", key));
    let knows = |plugin| tried.service.knows(plugin).expect("the store answers");
    assert!(!knows("shop"));
    let (token, _) = tried.start("k");
    assert!(knows("shop") && !knows("till") && !knows("sho"));
    tried.complete(token, b"receipt").expect("it was started");
    let forgot = |scope, key| forget(scope, key).expect("the store answers");
    assert_eq!(
        [forgot(1, "k"), forgot(2, "k"), forgot(0, "l"), forgot(0, "k"), forgot(0, "k")],
        [false, false, false, true, false]
    );
    assert!(!knows("shop"));
    assert_eq!(tried.look("k"), None);
    assert!(!tried.start("k").1);
    tried.pass(60_000 + 86_400_000);
    assert!(!knows("shop") && !forgot(0, "k"), "what has expired is not there");
}

/// Leases go by the wall clock, which somebody may set.
pub(super) fn a_clock_that_is_set_moves_what_is_left_with_it<B: Bed>() {
    let tried = Tried::<B>::one();
    let (token, _) = tried.start("k");
    tried.clock.set_wall(START - 5_000);
    assert_eq!(tried.begin("k").left_ms, 65_000);
    tried.complete(token, b"receipt").expect("it was started");
    tried.clock.set_wall(START + 86_395_000 - 1);
    assert_eq!(tried.begin("k").left_ms, 1);
    tried.clock.set_wall(tried.clock.now_ms() + 1);
    let _ = tried.start("k");
}
