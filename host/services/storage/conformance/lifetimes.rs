//! Lifetimes: an item that has expired is not there, for every function, from that millisecond on.

use super::{
    super::{ChangeKind, Lifetime, Outcome, Step, plain::Written},
    Bed, START, Tried,
};
use crate::error::ErrorKind;

pub(in super::super) fn storage_7_an_item_is_there_until_its_lifetime_is_over<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    tried.set_for("b", b"1", Lifetime::Endless);
    let (_, info) = tried.get("a").expect("it was set");
    assert_eq!(info.expires_ms, Some(START + 1_000));
    assert_eq!(tried.get("b").expect("it was set").1.expires_ms, None);
    tried.pass(999);
    assert!(tried.exists("a") && tried.get("a").is_some());
    tried.pass(1);
    assert!(!tried.exists("a") && tried.get("a").is_none());
    tried.pass(1_000_000_000);
    assert!(tried.exists("b"));
}

/// By the wall clock alone, so that nobody had an occasion to sweep; and with time for it.
pub(in super::super) fn storage_7_what_has_expired_is_absent_for_every_function<B: Bed>() {
    for swept in [false, true] {
        let tried = Tried::<B>::one();
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        for name in names {
            tried.set_for(name, b"7", Lifetime::Ms(10_000));
        }
        let old = tried.get("a").expect("it was set").1.version;
        tried.set("stays", b"1");
        if swept {
            tried.pass(10_000)
        } else {
            tried.clock.set_wall(START + 10_000)
        }
        assert_eq!(tried.keys_in(0, ""), ["stays"], "swept: {swept}");
        let told: Vec<_> = tried.told("", 0).into_iter().map(|change| change.key).collect();
        assert_eq!(told.iter().map(|key| &**key).collect::<Vec<_>>(), ["stays"]);
        assert!(names.iter().all(|name| !tried.exists(name) && tried.get(name).is_none()));
        let step = |step| tried.step(step).map_err(|refused| (refused.error.kind(), refused.current));
        assert_eq!(step(Step::check("a", old)), Err((ErrorKind::Conflict, 0)));
        assert_eq!(step(Step::set("a", b"x").only_if(old)), Err((ErrorKind::Conflict, 0)));
        assert_eq!(step(Step::check("a", 0)), Ok(Outcome::default()));
        assert_eq!(step(Step::remove("b")), Ok(Outcome::default()));
        assert_eq!(step(Step::expire("c", Lifetime::Endless)), Ok(Outcome::default()));
        assert_eq!(step(Step::incr("d", 1)).map(|done| done.value), Ok(1));
        let Ok(Written::Done(new)) = tried.set_if("e", b"new", 0) else { panic!("it is absent") };
        assert!(new > old);
        let (_, info) = tried.get("e").expect("it was set");
        assert_eq!((info.created_ms, info.expires_ms), (START + 10_000, None), "it is another item");
        tried.set_for("f", b"new", Lifetime::Keep);
        assert_eq!(tried.get("f").expect("it was set").1.expires_ms, None, "there is nothing to keep");
        assert!(!tried.exists("b") && !tried.exists("c"));
        assert_eq!(tried.clear(0), 4, "d, e, f and the one that stays");
        assert_eq!(tried.clear(0), 0);
    }
}

/// Nothing is written between the end of their time and the question.
pub(in super::super) fn storage_7_what_has_just_expired_is_not_cleared<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    tried.set_for("b", b"1", Lifetime::Ms(1_000));
    tried.set("c", b"1");
    tried.clock.set_wall(START + 1_000);
    assert_eq!(tried.clear(0), 1);
    assert_eq!(tried.keys_in(0, ""), [""; 0]);
}

pub(in super::super) fn storage_7_what_has_expired_is_not_counted_when_there_was_time_to_sweep<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    for number in 0..300 {
        tried.set_for(&format!("{number}"), b"12345", Lifetime::Ms(1 + number % 7));
    }
    tried.set("stays", b"12");
    tried.set_in(1, "other", b"1");
    tried.pass_until("what has expired is not counted", || tried.counts(0) == (1, 7));
    assert_eq!(tried.counts(1), (1, 6));
    assert_eq!(tried.usage().len(), 2);
}

pub(in super::super) fn storage_7_keep_leaves_the_lifetime_as_it_is<B: Bed>() {
    let tried = Tried::<B>::one();
    let expires = |name| tried.get(name).expect("it is there").1.expires_ms;
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    tried.pass(400);
    tried.set_for("a", b"2", Lifetime::Keep);
    assert_eq!(expires("a"), Some(START + 1_000));
    tried.set_for("a", b"3", Lifetime::Ms(1_000));
    assert_eq!(expires("a"), Some(START + 1_400));
    tried.set("a", b"4");
    assert_eq!(expires("a"), None, "a write says how long its item lives");
    tried.set_for("b", b"1", Lifetime::Keep);
    assert_eq!(expires("b"), None);
    tried.set_for("b", b"2", Lifetime::Keep);
    assert_eq!(expires("b"), None);
}

pub(in super::super) fn storage_7_expire_gives_another_lifetime_and_nothing_else<B: Bed>() {
    let tried = Tried::<B>::one();
    let first = tried.set("a", b"1");
    tried.pass(10);
    let expire = |lifetime| tried.step(Step::expire("a", lifetime)).expect("nothing is in its way");
    let done = expire(Lifetime::Ms(50));
    assert!(done.version > first && done.value == 1, "{done:?} is a write");
    let (value, info) = tried.get("a").expect("it is there");
    assert_eq!(value, b"1");
    assert_eq!((info.version, info.created_ms), (done.version, START));
    assert_eq!((info.updated_ms, info.expires_ms), (START + 10, Some(START + 60)));
    assert_eq!(expire(Lifetime::Endless).value, 1);
    assert_eq!(tried.get("a").expect("it is there").1.expires_ms, None);
    expire(Lifetime::Ms(5));
    tried.pass(5);
    assert!(!tried.exists("a"));
    assert_eq!(expire(Lifetime::Ms(5)), Outcome::default());
    assert!(!tried.exists("a"));
}

pub(in super::super) fn storage_7_lifetimes_outlive_a_restart<B: Bed>() {
    let mut tried = Tried::<B>::one();
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    tried.set_for("b", b"1", Lifetime::Ms(2_000));
    let before = tried.get("b");
    tried = tried.restart();
    assert_eq!(tried.get("b"), before);
    tried.clock.set_wall(START + 1_500);
    tried = tried.restart();
    assert_eq!((tried.exists("a"), tried.exists("b")), (false, true));
    tried.clock.set_wall(START + 2_000);
    assert!(!tried.exists("b"));
    assert_eq!(tried.keys_in(0, ""), [""; 0]);
}

/// Somebody sets the clock: what counts is what it shows.
pub(in super::super) fn storage_7_lifetimes_go_by_the_wall_clock_wherever_it_is_set<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    tried.clock.set_wall(START - 5_000_000);
    assert!(tried.exists("a"), "its end is further away");
    tried.set_for("b", b"1", Lifetime::Ms(1_000));
    assert_eq!(tried.get("b").expect("it was set").1.expires_ms, Some(START - 5_000_000 + 1_000));
    tried.clock.set_wall(START);
    assert_eq!((tried.exists("a"), tried.exists("b")), (true, false));
    tried.clock.set_wall(START + 1_000);
    assert_eq!(tried.keys_in(0, ""), [""; 0]);
}

pub(in super::super) fn storage_7_a_lifetime_that_ends_beyond_all_time_is_out_of_range<B: Bed>() {
    let tried = Tried::<B>::one();
    for ttl_ms in [-1, i64::MIN, i64::MAX, i64::MAX - START + 1] {
        let error = tried.storage.lifetime(Some(ttl_ms)).expect_err("it is no time");
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{ttl_ms}");
    }
    let longest = tried.storage.lifetime(Some(i64::MAX - START)).expect("it is just a time");
    tried.set_for("a", b"1", longest);
    assert_eq!(tried.get("a").expect("it is there").1.expires_ms, Some(i64::MAX));
    let none = [None, Some(0)].map(|ttl_ms| tried.storage.lifetime(ttl_ms).expect("it is none"));
    assert_eq!(none, [Lifetime::Endless; 2]);
}

pub(in super::super) fn storage_8_that_an_item_expired_is_told<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    tried.set_for("b", b"1", Lifetime::Ms(2_000));
    let last = tried.set("c", b"1");
    tried.pass_until("both are told", || tried.told("", last).len() == 2);
    let told = tried.told("", last);
    let mut kinds: Vec<_> = told.iter().map(|change| (change.kind, &*change.key)).collect();
    kinds.sort_by_key(|(_, key)| *key);
    assert_eq!(kinds, [(ChangeKind::Expired, "a"), (ChangeKind::Expired, "b")]);
    assert!(told.iter().all(|change| change.version > last));
    let heard = tried.heard();
    assert_eq!(heard[3..], told, "whoever listens is told the same");
    // One that comes again is told as it is then.
    let version = tried.set("a", b"2");
    let told = tried.told("", last);
    let kinds: Vec<_> = told.iter().map(|change| (change.kind, &*change.key)).collect();
    assert_eq!(kinds, [(ChangeKind::Expired, "b"), (ChangeKind::Set, "a")]);
    assert_eq!(told[1].version, version);
}
