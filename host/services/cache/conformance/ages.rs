//! Fresh, stale, kept and gone, and what is known to be absent: what each function makes of it.

use std::time::Duration;

use super::{DEFAULT_MS, Owned, Scene, bytes, kind};
use crate::{
    error::ErrorKind,
    services::cache::{Age, ExpireIf, Expired, Lifetime, SetIf, Value, Write},
};

pub(in super::super) fn what_has_expired_is_in_no_listing_and_no_count(scene: &Scene) {
    let tags = [Scene::tag("t")];
    let (space, pattern) = (scene.space(), Scene::glob("**"));
    let counts: [(&str, &dyn Fn() -> u64); 5] = [
        ("keys", &|| scene.list(&space, "", 10).len() as u64),
        ("invalidate_tag", &|| scene.untag("t")),
        ("invalidate", &|| scene.cache.invalidate(&space, &pattern).expect("it is done")),
        ("clear", &|| scene.cache.clear(&space).expect("it is done")),
        ("usage", &|| scene.cache.usage().expect("it is counted").iter().map(|usage| usage.items).sum()),
    ];
    for ttl_ms in [1, 64, 5_000, 3_600_000] {
        for (what, count) in counts {
            for number in 0..20 {
                let key = number.to_string();
                scene.write(&scene.key(&key), &Write { tags: &tags, ..Write::of(b"v", Some(ttl_ms)) });
            }
            scene.write(&scene.key("later"), &Write { tags: &tags, ..Write::of(b"v", Some(ttl_ms + 1)) });
            scene.advance_ms(ttl_ms as u64);
            assert_eq!(count(), 1, "{what}, {ttl_ms} ms");
            scene.advance_ms(1);
            assert_eq!(count(), 0, "{what}, {ttl_ms} ms");
        }
    }
}

/// Writes it for 100 ms, with these spans and the tag `t`, and lets time pass to `past` ms after its end.
fn aged(scene: &Scene, stale_ms: i64, error_ms: i64, past: u64) {
    let write = Write { stale_ms, error_ms, tags: &[Scene::tag("t")], ..Write::of(b"7", Some(100)) };
    scene.write(&scene.key("k"), &write);
    scene.advance_ms(100 + past);
}

pub(in super::super) fn an_item_is_fresh_then_stale_then_kept_then_gone(scene: &Scene) {
    let at = scene.key("k");
    // (stale span, error span, milliseconds after the end, age)
    let cases = [
        (0, 0, 0, None),
        (50, 0, 0, Some(Age::Stale)),
        (50, 0, 49, Some(Age::Stale)),
        (50, 0, 50, None),
        (0, 50, 0, Some(Age::Kept)),
        (0, 50, 49, Some(Age::Kept)),
        (0, 50, 50, None),
        (30, 50, 29, Some(Age::Stale)),
        (30, 50, 30, Some(Age::Kept)),
        (30, 50, 49, Some(Age::Kept)),
        (30, 50, 50, None),
        (50, 30, 49, Some(Age::Stale)),
        (50, 30, 50, None),
        (3_600_000, 86_400_000, 3_599_999, Some(Age::Stale)),
        (3_600_000, 86_400_000, 3_600_000, Some(Age::Kept)),
        (3_600_000, 86_400_000, 86_399_999, Some(Age::Kept)),
        (3_600_000, 86_400_000, 86_400_000, None),
    ];
    for case @ (stale_ms, error_ms, past, age) in cases {
        let write = Write { stale_ms, error_ms, ..Write::of(b"7", Some(100)) };
        let version = scene.write(&at, &write);
        scene.clock.advance(Duration::from_micros(99_999));
        let item = scene.item(&at).expect("it is fresh");
        assert_eq!(
            (item.age, item.fresh, item.left),
            (Age::Fresh, Lifetime::Ms(1), Lifetime::Ms(stale_ms + 1))
        );
        scene.clock.advance(Duration::from_micros(1));
        scene.advance_ms(past);
        let there = age == Some(Age::Stale);
        let item = scene.item(&at);
        assert_eq!(item.is_some(), there, "{case:?}");
        if let Some(item) = item {
            let left = Lifetime::Ms(stale_ms - past as i64);
            assert_eq!((item.age, item.fresh, item.left), (Age::Stale, Lifetime::Ms(0), left), "{case:?}");
            assert_eq!((item.value, item.version), (bytes(b"7"), version), "{case:?}");
        }
        assert_eq!(scene.kept(&at), (age == Some(Age::Kept)).then(|| bytes(b"7")), "{case:?}");
        assert_eq!(scene.cache.exists(&at).expect("it is asked"), there, "{case:?}");
        assert_eq!(scene.cache.ttl(&at).expect("it is asked"), there.then_some(Lifetime::Ms(0)), "{case:?}");
        assert_eq!(scene.list(&scene.space(), "", 10).len(), usize::from(there), "{case:?}");
        let usage = scene.cache.usage().expect("it is counted");
        assert_eq!(usage.iter().map(|usage| usage.items).sum::<u64>(), u64::from(there), "{case:?}");
        assert_eq!(scene.cache.remove(&at).expect("it is removed"), there, "{case:?}");
        assert_eq!((scene.item(&at), scene.kept(&at)), (None, None), "{case:?}: what is kept is removed too");
    }
}

pub(in super::super) fn a_stale_item_is_there_for_every_function(scene: &Scene) {
    let at = scene.key("k");
    let stale = || aged(scene, 50, 80, 20);
    stale();
    assert_eq!(scene.cache.incr(&at, 1, Some(999)).expect("it counts"), 8);
    let item = scene.item(&at).expect("it is there");
    assert_eq!((item.value, item.age, item.left), (Owned::Integer(8), Age::Stale, Lifetime::Ms(30)));
    assert_eq!(scene.untag("t"), 1, "it keeps its tags");
    let counts: [(&str, &dyn Fn() -> u64); 3] = [
        ("invalidate_tag", &|| scene.untag("t")),
        ("invalidate", &|| scene.cache.invalidate(&scene.space(), &Scene::glob("?")).expect("it is done")),
        ("clear", &|| scene.cache.clear(&scene.space()).expect("it is done")),
    ];
    for (what, count) in counts {
        stale();
        assert_eq!((count(), scene.item(&at), scene.kept(&at)), (1, None, None), "{what}");
    }
    // (condition, lifetime asked for, is it changed): it has ended, so any end that is yet to come is later.
    let cases = [
        (ExpireIf::Always, 10, true),
        (ExpireIf::Always, 0, true),
        (ExpireIf::Always, -1, true),
        (ExpireIf::Endless, 10, false),
        (ExpireIf::Set, 10, true),
        (ExpireIf::Later, 1, true),
        (ExpireIf::Later, 0, true),
        (ExpireIf::Later, -1, false),
        (ExpireIf::Earlier, 1, false),
        (ExpireIf::Earlier, 0, false),
        (ExpireIf::Earlier, -1, true),
    ];
    for case @ (condition, ttl_ms, changed) in cases {
        stale();
        let before = scene.item(&at);
        let expired = scene.cache.expire(&at, ttl_ms, condition).expect("it is asked");
        assert_eq!(expired, if changed { Expired::Changed } else { Expired::Refused }, "{case:?}");
        let after = scene.item(&at).map(|item| (item.age, item.fresh, item.left));
        let expected = match (changed, ttl_ms) {
            (false, _) => before.map(|item| (item.age, item.fresh, item.left)),
            (true, ..0) => None,
            (true, 0) => Some((Age::Fresh, Lifetime::Endless, Lifetime::Endless)),
            (true, ms) => Some((Age::Fresh, Lifetime::Ms(ms), Lifetime::Ms(ms + 50))),
        };
        assert_eq!(after, expected, "{case:?}: fresh anew, with the spans that it has");
    }
}

pub(in super::super) fn a_kept_item_is_absent_for_every_function(scene: &Scene) {
    let at = scene.key("k");
    let kept = || {
        aged(scene, 0, 80, 20);
        assert_eq!(scene.kept(&at), Some(bytes(b"7")), "it is kept");
    };
    kept();
    assert_eq!(scene.cache.incr(&at, 1, Some(30)).expect("it counts"), 1, "from 0");
    let item = scene.item(&at).expect("it is there");
    assert_eq!((item.value, item.left), (Owned::Integer(1), Lifetime::Ms(30)));
    assert_eq!(scene.untag("t"), 0, "a new item, without its tags");
    scene.advance_ms(30);
    assert_eq!(scene.kept(&at), None, "and without its spans");
    for ttl_ms in [10, 0, -1] {
        kept();
        assert_eq!(
            scene.cache.expire(&at, ttl_ms, ExpireIf::Always).expect("it is asked"),
            Expired::Missing,
            "{ttl_ms}"
        );
        assert_eq!(scene.kept(&at), Some(bytes(b"7")), "it stays as it is");
    }
    let counts: [(&str, &dyn Fn() -> u64); 3] = [
        ("invalidate_tag", &|| scene.untag("t")),
        ("invalidate", &|| scene.cache.invalidate(&scene.space(), &Scene::glob("?")).expect("it is done")),
        ("clear", &|| scene.cache.clear(&scene.space()).expect("it is done")),
    ];
    for (what, count) in counts {
        kept();
        assert_eq!((count(), scene.kept(&at)), (0, None), "{what} counts it not, and takes it all the same");
    }
}

pub(in super::super) fn what_is_known_to_be_absent_is_there_for_reading_only(scene: &Scene) {
    let at = scene.key("k");
    let tags = [Scene::tag("t")];
    let note = || {
        let note = Write { value: Value::Absent, tags: &tags, ..Write::of(b"", Some(100)) };
        scene.write(&at, &note);
        assert_eq!(scene.read(&at), Some((Owned::Absent, Lifetime::Ms(100))));
    };
    note();
    assert!(!scene.cache.exists(&at).expect("it is asked"));
    assert_eq!(scene.cache.ttl(&at).expect("it is asked"), None);
    assert_eq!(scene.list(&scene.space(), "", 10), [""; 0]);
    for ttl_ms in [10, 0, -1] {
        let expired = scene.cache.expire(&at, ttl_ms, ExpireIf::Always).expect("it is asked");
        assert_eq!((expired, scene.read(&at)), (Expired::Missing, Some((Owned::Absent, Lifetime::Ms(100)))));
    }
    let takes: [(&str, &dyn Fn() -> u64); 4] = [
        ("remove", &|| u64::from(scene.cache.remove(&at).expect("it is done"))),
        ("invalidate_tag", &|| scene.untag("t")),
        ("invalidate", &|| scene.cache.invalidate(&scene.space(), &Scene::glob("k")).expect("it is done")),
        ("clear", &|| scene.cache.clear(&scene.space()).expect("it is done")),
    ];
    for (what, take) in takes {
        note();
        assert_eq!((take(), scene.read(&at)), (0, None), "{what} counts it not, and takes it all the same");
    }
    note();
    assert_eq!(scene.cache.incr(&at, 5, Some(9)).expect("it counts"), 5);
    assert_eq!(scene.read(&at), Some((Owned::Integer(5), Lifetime::Ms(9))));
    assert_eq!(scene.untag("t"), 0, "the integer has none of its tags");
    for condition in [SetIf::Absent, SetIf::Version(0)] {
        note();
        scene.write(&at, &Write { condition, ..Write::of(b"v", None) });
        assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Ms(DEFAULT_MS))));
        let if_not_there = Write { value: Value::Absent, condition, ..Write::of(b"", None) };
        assert_eq!(kind(scene.cache.set(&at, &if_not_there)), ErrorKind::Conflict, "the item is there");
    }
    note();
    assert_eq!(scene.untag("t"), 0);
    note();
    let usage = scene.cache.usage().expect("it is counted");
    assert_eq!(usage.iter().map(|usage| usage.items).sum::<u64>(), 1, "what it takes is counted");
    scene.advance_ms(100);
    assert_eq!((scene.read(&at), scene.kept(&at)), (None, None), "it has a lifetime");
}

pub(in super::super) fn what_is_known_to_be_absent_has_a_lifetime_of_its_own_and_no_spans(scene: &Scene) {
    let at = scene.key("k");
    for (ttl_ms, expected) in
        [(None, Lifetime::Ms(10_000)), (Some(0), Lifetime::Endless), (Some(7), Lifetime::Ms(7))]
    {
        // Over an item as well, which it replaces.
        scene.set(&at, b"v", 0);
        scene.note(&at, ttl_ms);
        assert_eq!(scene.read(&at), Some((Owned::Absent, expected)));
    }
    let note = Write { value: Value::Absent, ..Write::of(b"", Some(5)) };
    for (stale_ms, error_ms) in [(1, 0), (0, 1)] {
        let error = scene.cache.set(&at, &Write { stale_ms, error_ms, ..note }).expect_err("it has none");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let expected = "argument `options`: what is absent has no stale and no error span: leave them 0";
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(kind(scene.cache.set(&at, &Write { ttl_ms: Some(-1), ..note })), ErrorKind::OutOfRange);
    assert_eq!(scene.read(&at), Some((Owned::Absent, Lifetime::Ms(7))), "it stays as it was");
}
