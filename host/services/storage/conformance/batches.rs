//! Batches: in order, wholly or not at all.

use std::thread;

use super::{
    super::{Batch, JobDraft, JobTiming, Lifetime, MOST_STEPS, Outcome, Quota, Quotas, Refused, Step},
    Bed, Tried, key,
};
use crate::{
    error::ErrorKind,
    services::events::{Draft, Topic},
};

fn failed<T>(done: Result<T, Refused>) -> (ErrorKind, Option<usize>, u64) {
    let Err(refused) = done else { panic!("it did not fail") };
    (refused.error.kind(), refused.step, refused.current)
}

pub(in super::super) fn storage_4_later_steps_see_what_earlier_ones_wrote<B: Bed>() {
    let tried = Tried::<B>::one();
    let start = tried.set("old", b"1");
    let done = tried.steps(&[
        Step::set("a", b"5").only_if(0),
        Step::incr("a", 37),
        Step::set("b", b"x"),
        Step::remove("b"),
        Step::check("b", 0),
        Step::set("b", b"y").only_if(0),
        Step::check("old", start),
        Step::remove("old").only_if(start),
        Step::remove("old"),
        Step::incr("old", -1),
        Step::expire("none", Lifetime::Ms(5)),
        Step::remove("none").only_if(0),
    ]);
    let done = done.expect("each condition holds when its turn comes");
    let values: Vec<_> = done.iter().map(|Outcome { version, value }| (*version != 0, *value)).collect();
    let expected = [
        (true, 0),
        (true, 42),
        (true, 0),
        (true, 1),
        (false, 0),
        (true, 0),
        (false, 0),
        (true, 1),
        (false, 0),
        (true, -1),
        (false, 0),
        (false, 0),
    ];
    assert_eq!(values, expected);
    let versions: Vec<_> = done.iter().map(|done| done.version).filter(|version| *version != 0).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?} are in the order of the steps");
    assert!(versions[0] > start);
    let seen = |name| tried.get(name).map(|(value, info)| (value, info.version));
    assert_eq!(seen("a"), Some((b"42".into(), done[1].version)));
    assert_eq!(seen("b"), Some((b"y".into(), done[5].version)));
    assert_eq!(seen("old"), Some((b"-1".into(), done[9].version)));
}

pub(in super::super) fn storage_4_a_condition_is_about_what_earlier_steps_left<B: Bed>() {
    let tried = Tried::<B>::one();
    let version = tried.set("a", b"1");
    let cases: [(&[Step<'_>], usize); 6] = [
        (&[Step::set("b", b"2"), Step::set("b", b"3").only_if(0)], 1),
        (&[Step::remove("a"), Step::set("a", b"3").only_if(version)], 1),
        (&[Step::set("a", b"2"), Step::set("a", b"3").only_if(version)], 1),
        (&[Step::incr("a", 1), Step::check("a", version)], 1),
        (&[Step::expire("a", Lifetime::Ms(9)), Step::check("a", version)], 1),
        (&[Step::check("a", version), Step::remove("a"), Step::incr("b", 1), Step::check("b", 0)], 3),
    ];
    let before = tried.all();
    for (steps, at) in cases {
        let (kind, step, _) = failed(tried.steps(steps));
        assert_eq!((kind, step), (ErrorKind::Conflict, Some(at)), "{steps:?}");
        assert_eq!(tried.all(), before, "{steps:?}");
    }
}

/// Every kind of failure, as each step of a batch of as many as there may be.
pub(in super::super) fn storage_4_a_batch_that_fails_anywhere_changes_nothing<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    let version = tried.set("there", b"kept");
    tried.set("text", b"no number");
    tried.set("most", b"9223372036854775807");
    tried.set("0", b"written before");
    tried.set("expires", b"1");
    tried.set_in(1, "there", b"another's");
    tried.steps(&[Step::expire("expires", Lifetime::Ms(50_000))]).expect("it is there");
    let names: Vec<_> = (0..MOST_STEPS).map(|number| number.to_string()).collect();
    let wrong = version + 1_000;
    let failures = [
        (Step::set("there", b"x").only_if(0), ErrorKind::Conflict, version),
        (Step::set("there", b"x").only_if(wrong), ErrorKind::Conflict, version),
        (Step::set("absent", b"x").only_if(version), ErrorKind::Conflict, 0),
        (Step::remove("there").only_if(wrong), ErrorKind::Conflict, version),
        (Step::incr("there", 1).only_if(wrong), ErrorKind::Conflict, version),
        (Step::expire("there", Lifetime::Endless).only_if(wrong), ErrorKind::Conflict, version),
        (Step::check("there", wrong), ErrorKind::Conflict, version),
        (Step::check("there", 0), ErrorKind::Conflict, version),
        (Step::check("absent", version), ErrorKind::Conflict, 0),
        (Step::incr("text", 1), ErrorKind::WrongType, 0),
        (Step::incr("most", 1), ErrorKind::OutOfRange, 0),
    ];
    let before = (tried.all(), tried.usage(), tried.told("", 0));
    let last = tried.version();
    tried.clock.set_wall(super::START + 3);
    for (failing, kind, current) in failures {
        for at in [0, 1, 63, MOST_STEPS - 2, MOST_STEPS - 1] {
            let mut steps: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(number, name)| match number % 4 {
                    0 => Step::set(name, b"new"),
                    1 => Step::incr(name, 7),
                    2 => Step::remove("expires"),
                    _ => Step::set("expires", b"again"),
                })
                .collect();
            steps[at] = failing;
            assert_eq!(failed(tried.steps(&steps)), (kind, Some(at), current), "{failing:?} at {at}");
            let now = (tried.all(), tried.usage(), tried.told("", 0));
            assert_eq!(now, before, "{failing:?} at {at}");
        }
    }
    assert_eq!(tried.told("", last), [], "nobody is told of what did not happen");
    assert!(tried.heard().iter().all(|change| change.version <= last));
}

pub(in super::super) fn storage_4_what_is_over_the_quota_at_the_end_changes_nothing<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.set("a", b"1");
    let before = (tried.all(), tried.usage());
    let tenant = Quota { items: Some(2), bytes: None };
    let quotas = Quotas { tenant, ..Quotas::default() };
    let apply = |steps: &[Step<'_>]| {
        let batch = Batch { steps, events: &[], jobs: &[], quotas };
        tried.storage.apply(&tried.scopes.at(0), &batch)
    };
    let steps = [Step::set("b", b"1"), Step::set("c", b"1")];
    assert_eq!(failed(apply(&steps)).0, ErrorKind::Quota);
    assert_eq!((tried.all(), tried.usage()), before);
    let steps = [Step::set("b", b"1"), Step::set("c", b"1"), Step::remove("a")];
    apply(&steps).expect("what counts is how many there are at the end");
    assert_eq!(tried.keys_in(0, ""), ["b", "c"]);
}

pub(in super::super) fn storage_4_a_batch_has_up_to_128_steps<B: Bed>() {
    let tried = Tried::<B>::one();
    let names: Vec<_> = (0..=MOST_STEPS).map(|number| format!("{number:03}")).collect();
    let steps: Vec<_> = names.iter().map(|name| Step::set(name, name.as_bytes())).collect();
    assert_eq!(failed(tried.steps(&steps)), (ErrorKind::TooLarge, None, 0));
    assert_eq!(tried.keys_in(0, ""), [""; 0]);
    let done = tried.steps(&steps[..MOST_STEPS]).expect("so many are taken");
    assert_eq!(tried.keys_in(0, ""), names[..MOST_STEPS]);
    for (name, done) in names.iter().zip(&done) {
        let (value, info) = tried.get(name).expect("it was written");
        assert_eq!((value, info.version), (name.clone().into_bytes(), done.version));
    }
}

pub(in super::super) fn storage_4_a_value_that_is_too_large_is_refused_with_its_step<B: Bed>() {
    let tried = Tried::<B>::one();
    let large = vec![0; super::LARGEST + 1];
    let steps = [Step::set("a", b"1"), Step::remove("a"), Step::set("b", &large)];
    assert_eq!(failed(tried.steps(&steps)), (ErrorKind::TooLarge, Some(2), 0));
    let large = vec![7; super::LARGEST];
    let names = ["a", "b", "c", "d", "e"];
    let steps = names.map(|name| Step::set(name, &large));
    assert_eq!(failed(tried.steps(&steps)), (ErrorKind::TooLarge, None, 0), "20 MiB are too many");
    assert_eq!(tried.keys_in(0, ""), [""; 0]);
    tried.steps(&steps[..4]).expect("16 MiB are taken");
    assert_eq!(tried.keys_in(0, ""), names[..4]);
    assert!(names[..4].iter().all(|name| tried.get(name).is_some_and(|(value, _)| value == large)));
}

/// That they are kept is for whoever drains them to see: here, that they count and hinder nothing.
pub(in super::super) fn storage_5_events_and_jobs_are_steps_of_the_batch<B: Bed>() {
    let tried = Tried::<B>::one();
    let topic = Topic::parse("plugin.meter.read").expect("it is a topic");
    let events = vec![Draft::new(topic, "/plugins/meter", *b"{}"); 100];
    let job = JobDraft { name: "later".into(), timing: JobTiming::Once(5), overlap: 0, data: b"1".into() };
    let jobs = vec![job; MOST_STEPS - 101];
    let steps = [Step::set("a", b"1"), Step::set("b", b"1"), Step::check("a", 0)];
    let apply = |steps| {
        let batch = Batch { steps, events: &events, jobs: &jobs, quotas: Quotas::default() };
        tried.storage.apply(&tried.scopes.at(0), &batch)
    };
    assert_eq!(failed(apply(&steps[..2])), (ErrorKind::TooLarge, None, 0), "that is one step too many");
    assert_eq!(tried.keys_in(0, ""), [""; 0]);
    let done = apply(&steps[..1]).expect("so many are taken");
    assert_eq!(done.len(), 1, "only steps have outcomes");
    assert_eq!(failed(apply(&steps[2..])), (ErrorKind::Conflict, Some(0), done[0].version));
    assert_eq!(apply(&[]).expect("nothing is in their way"), [], "events and jobs alone");
    assert_eq!(tried.keys_in(0, ""), ["a"]);
}

pub(in super::super) fn storage_4_nobody_sees_a_batch_by_half<B: Bed>() {
    const ROUNDS: usize = 40;
    let tried = Tried::<B>::one();
    let names = ["a", "b", "c", "d"];
    tried.steps(&names.map(|name| Step::set(name, b"100"))).expect("nothing is in its way");
    thread::scope(|threads| {
        for number in 0..4 {
            let (storage, scopes) = (&tried.storage, &tried.scopes);
            threads.spawn(move || {
                for round in 0..ROUNDS {
                    let (from, to) = (names[number], names[(number + 1 + round % 3) % 4]);
                    let moved = storage.steps(&scopes.at(0), &[Step::incr(from, -3), Step::incr(to, 3)]);
                    moved.expect("nothing is in its way");
                }
            });
        }
        // Whoever reads one version of them all with a batch that only looks sees a whole sum.
        for _ in 0..ROUNDS {
            let found = names.map(|name| tried.get(name).expect("it is always there"));
            let looks: Vec<_> =
                names.iter().zip(&found).map(|(name, (_, info))| Step::check(name, info.version)).collect();
            if tried.steps(&looks).is_ok() {
                assert_eq!(found.map(|(value, _)| number(&value)).iter().sum::<i64>(), 400);
            }
        }
    });
    assert_eq!(names.map(|name| number(&tried.get(name).expect("it is there").0)).iter().sum::<i64>(), 400);
}

fn number(text: &[u8]) -> i64 {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("it is a number")
}

pub(in super::super) fn storage_4_a_batch_of_conditions_writes_nothing<B: Bed>() {
    let tried = Tried::<B>::one();
    let version = tried.set("a", b"1");
    let (before, last) = (tried.all(), tried.version());
    let done = tried.steps(&[Step::check("a", version), Step::check("b", 0)]).expect("they hold");
    assert_eq!(done, [Outcome::default(); 2]);
    assert_eq!(tried.steps(&[]).expect("nothing fails in it"), []);
    assert_eq!((tried.all(), tried.version()), (before, last));
    let key = key("a");
    assert!(tried.storage.exists(&tried.scopes.at(0), key).expect("it can be read"));
}

pub(in super::super) fn everywhere_5_what_fails_leaves_value_expiry_and_version_as_they_were<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.steps(&[Step::set("a", b"kept").living(Lifetime::Ms(9_000))]).expect("nothing is in its way");
    let version = tried.get("a").expect("it was set").1.version;
    let before = (tried.get("a"), tried.usage());
    tried.clock.set_wall(super::START + 99);
    let same = |what: &str| assert_eq!((tried.get("a"), tried.usage()), before, "after {what}");
    let large = vec![0; super::LARGEST + 1];
    let cases = [
        ("a conflict", Step::set("a", b"x").only_if(version + 1)),
        ("a removal of another version", Step::remove("a").only_if(version + 1)),
        ("another lifetime for another version", Step::expire("a", Lifetime::Endless).only_if(0)),
        ("a value that is too large", Step::set("a", &large)),
        ("counting a text", Step::incr("a", 1).living(Lifetime::Ms(1))),
    ];
    for (what, step) in cases {
        assert!(tried.steps(&[step]).is_err(), "{what}");
        same(what);
    }
    assert!(tried.page("", "?", 1).is_err());
    same("a cursor that is none");
}
