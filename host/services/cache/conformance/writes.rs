//! What a write does: what it replaces, what it keeps, when it is refused, and the versions that it gives.

use std::collections::HashSet;

use super::{Scene, bytes, kind};
use crate::{
    error::{Error, ErrorKind},
    services::cache::{Age, ExpireIf, Expired, LARGEST_VALUE, Lifetime, MOST_TAGS, SetIf, Value, Write},
};

pub(in super::super) fn set_replaces_spans_and_tags_too(scene: &Scene) {
    let at = scene.key("k");
    let [old, new] = ["old", "new"].map(Scene::tag);
    let first = Write { stale_ms: 50, error_ms: 90, tags: &[old], ..Write::of(b"1", Some(10)) };
    let second = Write { tags: &[new], ..Write::of(b"2", Some(10)) };
    scene.write(&at, &first);
    scene.write(&at, &second);
    assert_eq!(scene.untag("old"), 0, "it has the tag no more");
    assert_eq!(scene.item(&at).expect("it stays").value, bytes(b"2"));
    scene.advance_ms(10);
    assert_eq!((scene.item(&at), scene.kept(&at)), (None, None), "the spans are gone too");
    scene.write(&at, &second);
    scene.write(&at, &first);
    assert_eq!(scene.untag("new"), 0);
    scene.advance_ms(10);
    assert_eq!(scene.item(&at).expect("it is stale").age, Age::Stale);
    scene.write(&at, &second);
    assert_eq!(scene.item(&at).expect("it is fresh").left, Lifetime::Ms(10));
    assert_eq!(scene.untag("new"), 1);
    assert_eq!(scene.item(&at), None);
}

pub(in super::super) fn set_keeps_lifetime_and_spans_where_it_is_told_to(scene: &Scene) {
    let keep = |ttl_ms| Write { keep_ttl: true, stale_ms: 7, tags: &[], ..Write::of(b"new", ttl_ms) };
    let at = scene.key("k");
    // (lifetime and stale span before, what passes, left fresh, left in all)
    let cases = [
        (0, 0, 0, Lifetime::Endless, Lifetime::Endless),
        (100, 0, 40, Lifetime::Ms(60), Lifetime::Ms(60)),
        (100, 50, 40, Lifetime::Ms(60), Lifetime::Ms(110)),
        (100, 50, 120, Lifetime::Ms(0), Lifetime::Ms(30)),
    ];
    for case @ (ttl_ms, stale_ms, passes, fresh, left) in cases {
        for asked in [None, Some(0), Some(5)] {
            scene
                .write(&at, &Write { stale_ms, tags: &[Scene::tag("t")], ..Write::of(b"old", Some(ttl_ms)) });
            scene.advance_ms(passes);
            scene.write(&at, &keep(asked));
            let item = scene.item(&at).expect("it is there");
            assert_eq!((item.value, item.fresh, item.left), (bytes(b"new"), fresh, left), "{case:?}");
            assert_eq!(scene.untag("t"), 0, "its tags are replaced all the same");
            scene.cache.remove(&at).expect("it is removed");
        }
    }
    // Where nothing is there, its own ones count; what is expired, kept or known to be absent is not there.
    let befores: [(&str, &dyn Fn()); 4] = [
        ("nothing", &|| ()),
        ("expired", &|| scene.set(&at, b"old", 10)),
        ("kept", &|| {
            scene.write(&at, &Write { error_ms: 100, ..Write::of(b"old", Some(10)) });
        }),
        ("absent", &|| scene.note(&at, Some(100))),
    ];
    for (before, make) in befores {
        make();
        scene.advance_ms(10);
        scene.write(&at, &keep(Some(5)));
        let item = scene.item(&at).expect("it is there");
        assert_eq!((item.fresh, item.left), (Lifetime::Ms(5), Lifetime::Ms(12)), "over {before}");
        scene.cache.remove(&at).expect("it is removed");
    }
    scene.cache.incr(&at, 1, Some(30)).expect("it counts");
    scene.write(&at, &keep(Some(0)));
    assert_eq!(
        scene.read(&at),
        Some((bytes(b"new"), Lifetime::Ms(30))),
        "that of an integer is kept as well"
    );
}

pub(in super::super) fn set_writes_only_if_its_condition_holds(scene: &Scene) {
    let at = scene.key("k");
    let set =
        |condition, value: &[u8]| scene.cache.set(&at, &Write { condition, ..Write::of(value, Some(100)) });
    let refused = |condition| {
        let before = scene.item(&at);
        let error = set(condition, b"refused").expect_err("the condition does not hold");
        assert_eq!((error.kind(), scene.item(&at)), (ErrorKind::Conflict, before), "{condition:?}");
        error.to_string()
    };
    // Nothing is there: in four ways.
    let nothings: [(&str, &dyn Fn()); 4] = [
        ("nothing", &|| ()),
        ("expired", &|| {
            scene.set(&at, b"old", 10);
            scene.advance_ms(10);
        }),
        ("kept", &|| {
            scene.write(&at, &Write { error_ms: 100, ..Write::of(b"old", Some(10)) });
            scene.advance_ms(10);
        }),
        ("absent", &|| scene.note(&at, Some(100))),
    ];
    for (nothing, make) in nothings {
        for condition in [SetIf::Absent, SetIf::Version(0)] {
            make();
            set(condition, b"new").unwrap_or_else(|error| panic!("{condition:?} over {nothing}: {error}"));
            assert_eq!(scene.read(&at), Some((bytes(b"new"), Lifetime::Ms(100))));
            scene.cache.remove(&at).expect("it is removed");
        }
        make();
        let expected = "the item is not there, so it has no version 77: nothing was written";
        assert_eq!(refused(SetIf::Version(77)), expected, "over {nothing}");
        scene.cache.remove(&at).expect("it is removed");
    }
    // Something is: fresh, stale, an integer.
    let somethings: [(&str, &dyn Fn()); 3] = [
        ("fresh", &|| scene.set(&at, b"old", 10)),
        ("stale", &|| {
            scene.write(&at, &Write { stale_ms: 100, ..Write::of(b"old", Some(10)) });
            scene.advance_ms(10);
        }),
        ("an integer", &|| {
            scene.cache.incr(&at, 1, None).expect("it counts");
        }),
    ];
    for (something, make) in somethings {
        make();
        let version = scene.item(&at).expect("it is there").version;
        let there = format!("the item is there, with version {version}: nothing was written");
        assert_eq!(refused(SetIf::Absent), there, "over {something}");
        for wanted in [0, version + 1, version.wrapping_sub(1), u64::MAX] {
            let has =
                format!("the item has version {version}, not {wanted}: nothing was written; read it again");
            assert_eq!(refused(SetIf::Version(wanted)), has, "over {something}");
        }
        let now = set(SetIf::Version(version), b"new").expect("it has this version");
        assert_eq!(scene.item(&at).expect("it is there").version, now);
        refused(SetIf::Version(version));
        scene.cache.remove(&at).expect("it is removed");
    }
}

pub(in super::super) fn a_version_is_never_used_again_for_its_key(scene: &Scene) {
    let keys = ["k", "other"].map(|key| scene.key(key));
    let mut seen = keys.map(|_| HashSet::from([0]));
    let endings: [(&str, &dyn Fn()); 7] = [
        ("overwriting", &|| ()),
        ("removal", &|| {
            for at in &keys {
                assert!(scene.cache.remove(at).expect("it is removed"));
            }
        }),
        ("expiry", &|| scene.advance_ms(10)),
        ("`expire`", &|| {
            for at in &keys {
                assert_eq!(
                    scene.cache.expire(at, -1, ExpireIf::Always).expect("it is asked"),
                    Expired::Changed
                );
            }
        }),
        ("clearing", &|| assert_eq!(scene.cache.clear(&scene.space()).expect("it is cleared"), 2)),
        ("its tag", &|| assert_eq!(scene.untag("t"), 2)),
        ("a note", &|| keys.iter().for_each(|at| scene.note(at, None))),
    ];
    for round in 0..3 {
        for (what, end) in endings {
            for (at, seen) in keys.iter().zip(&mut seen) {
                let tags = [Scene::tag("t")];
                let answered = scene.write(at, &Write { tags: &tags, ..Write::of(b"5", Some(10)) });
                let read = scene.item(at).expect("it is there").version;
                assert_eq!(answered, read, "reading tells what writing answered");
                assert!(seen.insert(read), "after {what}, round {round}: version {read} again");
                scene.cache.incr(at, 1, None).expect("it counts");
                let counted = scene.item(at).expect("it is there").version;
                assert!(seen.insert(counted), "`incr` gives one of its own, not {counted} again");
            }
            end();
        }
    }
    let at = &keys[0];
    scene.set(at, b"v", 10);
    let version = scene.item(at).expect("it is there").version;
    scene.cache.expire(at, 20, ExpireIf::Always).expect("it is asked");
    scene.cache.exists(at).expect("it is asked");
    assert_eq!(scene.item(at).expect("it is there").version, version, "what writes no value gives none");
}

pub(in super::super) fn many_writes_get_an_answer_each(scene: &Scene) {
    let too_large = vec![0; LARGEST_VALUE + 1];
    let names: Vec<String> = (0..=MOST_TAGS).map(|number| format!("t{number}")).collect();
    let tags: Vec<_> = names.iter().map(|name| Scene::tag(name)).collect();
    let if_absent = |value| Write { condition: SetIf::Absent, ..Write::of(value, None) };
    let writes = [
        ("a", Write::of(b"1", Some(10)), None),
        ("b", Write::of(&too_large, None), Some(ErrorKind::TooLarge)),
        ("c", Write::of(b"3", Some(-1)), Some(ErrorKind::OutOfRange)),
        ("d", Write { tags: &tags, ..Write::of(b"4", None) }, Some(ErrorKind::InvalidArgument)),
        ("e", Write { condition: SetIf::Version(5), ..Write::of(b"5", None) }, Some(ErrorKind::Conflict)),
        ("f", if_absent(b"6"), None),
        ("f", if_absent(b"again"), Some(ErrorKind::Conflict)),
        ("g", Write { value: Value::Absent, ..Write::of(b"", None) }, None),
        ("g", if_absent(b"7"), None),
        ("a", Write::of(b"8", None), None),
        ("h", Write { stale_ms: -1, ..Write::of(b"9", None) }, Some(ErrorKind::OutOfRange)),
        ("i", Write::of(b"", Some(0)), None),
    ];
    let all: Vec<_> = writes.iter().map(|(key, write, _)| (scene.key(key), *write)).collect();
    let answers = scene.cache.set_many(&scene.space(), &all);
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, writes.map(|(.., expected)| expected));
    let values = [
        ("a", Some(b"8".as_slice())),
        ("b", None),
        ("c", None),
        ("d", None),
        ("e", None),
        ("f", Some(b"6")),
        ("g", Some(b"7")),
        ("h", None),
        ("i", Some(b"")),
    ];
    for (key, value) in values {
        assert_eq!(scene.item(&scene.key(key)).map(|item| item.value), value.map(bytes), "{key}");
    }
    let done =
        answers.iter().zip(&writes).filter_map(|(answer, (key, ..))| Some((key, answer.as_ref().ok()?)));
    assert_eq!(done.collect::<HashSet<_>>().len(), 6, "each write of a key has a version of its own");
    assert_eq!(scene.item(&scene.key("a")).map(|item| item.version), answers[9].as_ref().ok().copied());
    assert!(scene.cache.set_many(&scene.space(), &[]).is_empty());
}

pub(in super::super) fn a_failure_leaves_versions_spans_and_tags_as_they_were(scene: &Scene) {
    let (text, count) = (scene.key("text"), scene.key("count"));
    let names: Vec<String> = (0..=MOST_TAGS).map(|number| format!("t{number}")).collect();
    let tags: Vec<_> = names.iter().map(|name| Scene::tag(name)).collect();
    let written =
        Write { stale_ms: 60, error_ms: 90, tags: &[Scene::tag("t")], ..Write::of(b"no number", Some(50)) };
    let large = vec![0; LARGEST_VALUE + 1];
    let set = |write: Write<'_>| kind(scene.cache.set(&text, &write));
    let new = Write::of(b"new", Some(9));
    let failures: [(&str, &dyn Fn() -> ErrorKind, ErrorKind); 13] = [
        ("too large", &|| set(Write { value: Value::Bytes(&large), ..new }), ErrorKind::TooLarge),
        ("a negative lifetime", &|| set(Write { ttl_ms: Some(-1), ..new }), ErrorKind::OutOfRange),
        ("a negative stale span", &|| set(Write { stale_ms: -1, ..new }), ErrorKind::OutOfRange),
        ("a stale span too long", &|| set(Write { stale_ms: i64::MAX, ..new }), ErrorKind::OutOfRange),
        ("a negative error span", &|| set(Write { error_ms: -1, ..new }), ErrorKind::OutOfRange),
        ("an error span too long", &|| set(Write { error_ms: i64::MAX, ..new }), ErrorKind::OutOfRange),
        ("too many tags", &|| set(Write { tags: &tags, ..new }), ErrorKind::InvalidArgument),
        (
            "a note with a span",
            &|| set(Write { value: Value::Absent, error_ms: 1, ..new }),
            ErrorKind::InvalidArgument,
        ),
        ("if absent", &|| set(Write { condition: SetIf::Absent, ..new }), ErrorKind::Conflict),
        ("if version 0", &|| set(Write { condition: SetIf::Version(0), ..new }), ErrorKind::Conflict),
        ("incr of a text", &|| kind(scene.cache.incr(&text, 1, Some(9))), ErrorKind::WrongType),
        ("incr over the end", &|| kind(scene.cache.incr(&count, 1, Some(9))), ErrorKind::OutOfRange),
        (
            "expire for too long",
            &|| kind(scene.cache.expire(&text, i64::MAX, ExpireIf::Always)),
            ErrorKind::OutOfRange,
        ),
    ];
    // While it is fresh, and while it is stale.
    for passes in [20, 70] {
        scene.write(&text, &written);
        scene.cache.incr(&count, i64::MAX, Some(500)).expect("it counts");
        scene.advance_ms(passes);
        let before = [&text, &count].map(|at| scene.item(at).expect("it is there"));
        for (what, fail, expected) in failures {
            assert_eq!(fail(), expected, "{what}");
            let after = [&text, &count].map(|at| scene.item(at).expect("it is still there"));
            assert_eq!(after, before, "{what}, after {passes} ms");
        }
        assert_eq!(scene.untag("t0"), 0);
        assert_eq!(scene.untag("t"), 1, "it has the tag that it had");
        scene.cache.remove(&count).expect("it is removed");
    }
}
