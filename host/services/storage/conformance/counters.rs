//! `incr`: the texts of 64-bit integers, and nothing else.

use std::thread;

use super::{
    super::{Lifetime, Step},
    Bed, Tried, key,
};
use crate::error::ErrorKind;

pub(in super::super) fn storage_6_incr_counts_a_missing_item_from_0<B: Bed>() {
    let tried = Tried::<B>::one();
    for (name, delta) in
        [("a", 0), ("b", 1), ("c", -1), ("d", i64::MAX), ("e", i64::MIN), ("f", 1_234_567_890_123)]
    {
        let done = tried.step(Step::incr(name, delta)).expect("it is a sum");
        assert_eq!(done.value, delta);
        let (value, info) = tried.get(name).expect("it was made");
        assert_eq!((value, info.version), (delta.to_string().into_bytes(), done.version));
        let done = tried.step(Step::incr(name, 0)).expect("it is a sum");
        assert_eq!(done.value, delta);
        assert!(done.version > info.version, "it is a write");
    }
}

pub(in super::super) fn storage_6_incr_takes_canonical_decimals_and_no_other_text<B: Bed>() {
    let tried = Tried::<B>::one();
    let canonical = ["0", "1", "-1", "10", "-10", "9223372036854775807", "-9223372036854775808"];
    for text in canonical {
        tried.set("a", text.as_bytes());
        let number: i64 = text.parse().expect("it is one");
        let delta = if number > 0 { -1 } else { 1 };
        assert_eq!(tried.step(Step::incr("a", delta)).expect("it is a number").value, number + delta);
        assert_eq!(tried.get("a").map(|(value, _)| value), Some((number + delta).to_string().into_bytes()));
    }
    let others: [&[u8]; 22] = [
        b"",
        b" ",
        b"+1",
        b"01",
        b"-01",
        b"-0",
        b"00",
        b" 1",
        b"1 ",
        b"1\n",
        b"1.0",
        b"1e3",
        b"0x1",
        b"1_000",
        b"--1",
        b"-",
        b"\0",
        b"1\0",
        "\u{661}".as_bytes(),
        b"\xff",
        b"9223372036854775808",
        b"-9223372036854775809",
    ];
    for text in others {
        tried.set("a", text);
        let before = tried.get("a");
        let refused = tried.step(Step::incr("a", 1)).expect_err("it is no number");
        assert_eq!(refused.error.kind(), ErrorKind::WrongType, "{:?}", String::from_utf8_lossy(text));
        assert!(refused.error.to_string().contains("\"a\""), "{}", refused.error);
        assert_eq!(tried.get("a"), before);
    }
}

pub(in super::super) fn storage_6_a_sum_that_is_none_is_out_of_range<B: Bed>() {
    let tried = Tried::<B>::one();
    let cases = [
        (i64::MAX, 1),
        (i64::MAX, i64::MAX),
        (i64::MIN, -1),
        (i64::MIN, i64::MIN),
        (-2, i64::MIN),
        (1, i64::MAX),
    ];
    for (start, delta) in cases {
        tried.set("a", start.to_string().as_bytes());
        let before = tried.get("a");
        let refused = tried.step(Step::incr("a", delta)).expect_err("it is no 64-bit integer");
        assert_eq!(refused.error.kind(), ErrorKind::OutOfRange, "{start} and {delta}");
        assert_eq!(tried.get("a"), before);
    }
    tried.set("a", b"9223372036854775806");
    assert_eq!(tried.step(Step::incr("a", 1)).expect("it just fits").value, i64::MAX);
    tried.set("a", b"-1");
    assert_eq!(tried.step(Step::incr("a", i64::MIN + 1)).expect("it just fits").value, i64::MIN);
}

pub(in super::super) fn storage_6_the_lifetime_of_incr_counts_at_creation_and_never_slides<B: Bed>() {
    let tried = Tried::<B>::one();
    let expires = |name| tried.get(name).expect("it is there").1.expires_ms;
    let incr = |name, lifetime| tried.step(Step::incr(name, 1).living(lifetime)).expect("it counts").value;
    assert_eq!(incr("a", Lifetime::Ms(5_000)), 1);
    assert_eq!(expires("a"), Some(super::START + 5_000));
    tried.pass(1_000);
    assert_eq!((incr("a", Lifetime::Ms(9_000)), expires("a")), (2, Some(super::START + 5_000)));
    assert_eq!((incr("a", Lifetime::Endless), expires("a")), (3, Some(super::START + 5_000)));
    tried.set("endless", b"1");
    assert_eq!((incr("endless", Lifetime::Ms(1)), expires("endless")), (2, None));
    tried.pass(4_000);
    assert_eq!((incr("a", Lifetime::Endless), expires("a")), (1, None), "the old one has expired");
}

pub(in super::super) fn storage_6_incr_goes_by_versions_too<B: Bed>() {
    let tried = Tried::<B>::one();
    let first = tried.step(Step::incr("a", 5).only_if(0)).expect("it was absent").version;
    let refused = tried.step(Step::incr("a", 5).only_if(0)).expect_err("it is there");
    assert_eq!((refused.error.kind(), refused.current), (ErrorKind::Conflict, first));
    let done = tried.step(Step::incr("a", 5).only_if(first)).expect("it is that version");
    assert_eq!(done.value, 10);
    // What it is asked for first is the version.
    let text = tried.set("b", b"text");
    let refused = tried.step(Step::incr("b", 1).only_if(text + 1)).expect_err("it is another version");
    assert_eq!((refused.error.kind(), refused.current), (ErrorKind::Conflict, text));
}

pub(in super::super) fn storage_6_incr_is_atomic_under_many_threads<B: Bed>() {
    const THREADS: i64 = 8;
    const TIMES: i64 = 50;
    let tried = Tried::<B>::one();
    let mut sums: Vec<i64> = thread::scope(|threads| {
        let counters: Vec<_> = (0..THREADS)
            .map(|_| {
                let (storage, scopes) = (&tried.storage, &tried.scopes);
                threads.spawn(move || {
                    let count = || storage.steps(&scopes.at(0), &[Step::incr("n", 1)]);
                    (0..TIMES).map(|_| count().expect("it counts")[0].value).collect::<Vec<_>>()
                })
            })
            .collect();
        counters.into_iter().flat_map(|counter| counter.join().expect("no panic")).collect()
    });
    sums.sort_unstable();
    assert_eq!(sums, (1..=THREADS * TIMES).collect::<Vec<_>>(), "each sum is told once");
    let found = tried.storage.fetch(&tried.scopes.at(0), key("n")).expect("it can be read");
    assert_eq!(found.expect("it is there").0, (THREADS * TIMES).to_string().into_bytes());
}
