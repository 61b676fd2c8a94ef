//! Items, their versions, and writing on a condition.

use std::thread;

use super::{
    super::{Info, Lifetime, Outcome, Step, plain::Written},
    Bed, START, Tried, key,
};
use crate::{error::ErrorKind, services::clock::Clock};

pub(in super::super) fn storage_1_remove_tells_whether_the_item_was_there_and_so_does_exists<B: Bed>() {
    let tried = Tried::<B>::one();
    assert_eq!((tried.exists("a"), tried.remove("a")), (false, false));
    tried.set("a", b"1");
    assert_eq!((tried.exists("a"), tried.exists("b")), (true, false));
    assert_eq!((tried.remove("a"), tried.exists("a"), tried.remove("a")), (true, false, false));
    assert_eq!(tried.get("a"), None);
}

pub(in super::super) fn storage_2_versions_come_from_one_sequence_and_never_twice<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    let mut last = 0;
    let mut grows = |version: u64| {
        assert!(version > last, "{version} comes after {last}");
        last = version;
    };
    grows(tried.set("a", b"1"));
    grows(tried.set_in(1, "a", b"1"));
    grows(tried.set("a", b"2"));
    grows(tried.set("b", b"1"));
    assert!(tried.remove("b") && tried.remove("a"));
    tried = tried.restart();
    grows(tried.set("b", b"1"));
    assert_eq!((tried.clear(0), tried.clear(1)), (1, 1));
    grows(tried.set("b", b"1"));
    tried = tried.restart();
    tried.clear(0);
    tried = tried.restart();
    grows(tried.set("a", b"1"));
}

pub(in super::super) fn storage_2_an_item_knows_its_version_and_its_times<B: Bed>() {
    let tried = Tried::<B>::one();
    let later = || tried.clock.set_wall(tried.clock.now_ms() + 5);
    let info =
        |version, created_ms, updated_ms| Some(Info { version, created_ms, updated_ms, expires_ms: None });
    let seen = |name| tried.get(name).map(|(_, info)| info);
    let first = tried.set("a", b"1");
    assert_eq!(seen("a"), info(first, START, START));
    later();
    let second = tried.set("a", b"2");
    assert_eq!(seen("a"), info(second, START, START + 5));
    assert!(tried.remove("a"));
    later();
    let third = tried.set("a", b"3");
    assert_eq!(seen("a"), info(third, START + 10, START + 10), "it is another item");
}

pub(in super::super) fn storage_3_a_conflict_tells_the_version_and_changes_nothing<B: Bed>() {
    let tried = Tried::<B>::one();
    let set_if = |name: &str, version| tried.set_if(name, b"new", version).expect("the back end answers");
    assert_eq!(set_if("a", 7), Written::Conflict(0));
    assert_eq!(tried.get("a"), None);
    let Written::Done(first) = set_if("a", 0) else { panic!("it was absent") };
    assert_eq!(set_if("a", 0), Written::Conflict(first));
    let second = tried.set("a", b"old");
    for wrong in [first, second + 1, u64::MAX] {
        let before = tried.get("a");
        assert_eq!(set_if("a", wrong), Written::Conflict(second));
        assert_eq!(tried.get("a"), before);
    }
    let Written::Done(third) = set_if("a", second) else { panic!("it was the version") };
    assert_eq!(tried.get("a").map(|(value, info)| (value, info.version)), Some((b"new".into(), third)));
    assert!(tried.remove("a"));
    assert_eq!(set_if("a", third), Written::Conflict(0));
}

pub(in super::super) fn storage_3_of_many_that_write_on_one_version_one_does<B: Bed>() {
    let tried = Tried::<B>::one();
    let start = tried.set("sum", b"0");
    let done = std::thread::scope(|threads| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let (storage, scope) = (&tried.storage, &tried.scopes);
                threads.spawn(move || storage.set(&scope.at(0), key("sum"), &[number], Some(start)))
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().expect("no panic").expect("an answer"))
            .collect::<Vec<_>>()
    });
    let versions: Vec<_> = done
        .iter()
        .filter_map(|one| if let Written::Done(version) = one { Some(*version) } else { None })
        .collect();
    let [version] = versions[..] else { panic!("{done:?}") };
    assert!(done.iter().all(|one| matches!(one, Written::Done(v) | Written::Conflict(v) if *v == version)));
}

pub(in super::super) fn what_was_written_is_there_after_a_restart<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "")]);
    tried.set_in(0, "a", b"1");
    tried.set_in(1, "a", b"2");
    tried.set_in(0, "b", b"3");
    assert!(tried.remove("b"));
    let seen = |tried: &Tried<B>| [tried.get_in(0, "a"), tried.get_in(1, "a"), tried.get("b")];
    let before = seen(&tried);
    tried = tried.restart();
    assert_eq!(seen(&tried), before);
}

pub(in super::super) fn storage_2_the_version_of_the_newest_is_not_given_again_when_it_is_gone<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    let mut last = 0;
    for round in 0..4 {
        let version = tried.set("a", b"1");
        let gone = tried.step(Step::remove("a")).expect("it is there").version;
        assert!(last < version && version < gone, "{last}, {version}, {gone}");
        assert_eq!(tried.version(), gone);
        last = gone;
        if round % 2 == 0 {
            tried = tried.restart();
        }
        assert!(tried.version() >= last, "it goes on behind the removal");
        last = tried.set_in(1, "b", b"1");
        assert!(last > gone);
        tried.clear(1);
        assert!(tried.version() > last, "that is a change too");
        last = tried.version();
        tried = tried.restart();
        assert!(tried.version() >= last);
    }
}

pub(in super::super) fn storage_3_each_write_may_have_its_condition<B: Bed>() {
    let tried = Tried::<B>::one();
    let step = |step| tried.step(step).map_err(|refused| (refused.error.kind(), refused.current));
    let conflict = |current| Err((ErrorKind::Conflict, current));
    assert_eq!(step(Step::remove("a").only_if(0)), Ok(Outcome::default()), "it is not there");
    assert_eq!(step(Step::remove("a").only_if(7)), conflict(0));
    assert_eq!(step(Step::expire("a", Lifetime::Endless).only_if(7)), conflict(0));
    let version = tried.set("a", b"1");
    assert_eq!(step(Step::check("a", version)), Ok(Outcome::default()));
    assert_eq!(step(Step::check("a", 0)), conflict(version));
    assert_eq!(step(Step::remove("a").only_if(0)), conflict(version));
    assert_eq!(step(Step::remove("a").only_if(u64::MAX)), conflict(version));
    assert_eq!(step(Step::expire("a", Lifetime::Endless).only_if(version + 1)), conflict(version));
    let done = step(Step::expire("a", Lifetime::Ms(9)).only_if(version)).expect("it is that version");
    assert_eq!(step(Step::remove("a").only_if(version)), conflict(done.version));
    assert_eq!(step(Step::remove("a").only_if(done.version)).map(|done| done.value), Ok(1));
    assert!(!tried.exists("a"));
}

pub(in super::super) fn storage_3_adding_up_on_versions_loses_nothing<B: Bed>() {
    const THREADS: u64 = 6;
    const TIMES: u64 = 20;
    let tried = Tried::<B>::one();
    tried.set("sum", b"0");
    thread::scope(|threads| {
        for _ in 0..THREADS {
            let (storage, scopes) = (&tried.storage, &tried.scopes);
            threads.spawn(move || {
                let add = || {
                    let found = storage.fetch(&scopes.at(0), key("sum")).expect("it can be read");
                    let (text, info) = found.expect("it is always there");
                    let sum: u64 =
                        str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).expect("a sum");
                    let sum = (sum + 1).to_string();
                    storage.set(&scopes.at(0), key("sum"), sum.as_bytes(), Some(info.version))
                };
                for _ in 0..TIMES {
                    while let Written::Conflict(_) = add().expect("nothing else fails") {}
                }
            });
        }
    });
    let (sum, _) = tried.get("sum").expect("it is there");
    assert_eq!(sum, (THREADS * TIMES).to_string().into_bytes());
}
