//! What has changed: told to whoever listens, and to whoever comes later and asks from a version on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use parking_lot::Mutex;

use super::{
    super::{Change, ChangeKind, Lifetime, Listener, Step, model::REMEMBERED_MS},
    Bed, START, Tried,
};
use crate::error::ErrorKind;

use ChangeKind::{Cleared, Removed, Set};

fn short(changes: &[Change]) -> Vec<(ChangeKind, &str, u64)> {
    changes.iter().map(|change| (change.kind, &*change.key, change.version)).collect()
}

pub(in super::super) fn storage_8_changes_tell_the_last_of_each_key_in_the_order_of_versions<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", ""), ("other", "acme")]);
    let start = tried.version();
    let a1 = tried.set("a", b"1");
    let b1 = tried.set("b", b"1");
    tried.set_in(1, "a", b"1");
    tried.set_in(2, "a", b"1");
    tried.pass(10);
    let a2 = tried.set("a", b"2");
    let c = tried.step(Step::incr("c", 1)).expect("it counts").version;
    let gone = tried.step(Step::remove("b")).expect("it is there").version;
    tried.remove("none");
    let expired = tried.step(Step::expire("c", Lifetime::Ms(1_000_000))).expect("it is there").version;
    assert!(c < gone && gone < expired);
    let all = [(Set, "a", a2), (Removed, "b", gone), (Set, "c", expired)];
    for (after, expected) in [
        (a1, &all[..]),
        (b1, &all),
        (a2, &all[1..]),
        (c, &all[1..]),
        (gone, &all[2..]),
        (expired, &[]),
        // From the beginning what is there is told, and no removal from before.
        (0, &[all[0], all[2]]),
    ] {
        assert_eq!(short(&tried.told("", after)), expected, "after {after}, from {start}");
    }
    let times: Vec<_> = tried.told("", a1).iter().map(|change| change.at_ms).collect();
    assert_eq!(times, [START + 10; 3]);
    assert_eq!(short(&tried.told("b", a1)), [(Removed, "b", gone)]);
    assert_eq!(tried.told("aa", a1), []);
    let tried = tried.restart();
    assert_eq!(short(&tried.told("", a1)), all, "after a restart");
}

pub(in super::super) fn storage_8_changes_go_by_literal_prefix<B: Bed>() {
    let tried = Tried::<B>::one();
    let names = ["a", "a%", "a%b", "a_", "aX", "a*", "ä", "b"];
    let last = tried.version();
    for name in names {
        tried.set(name, b"");
    }
    for (prefix, expected) in
        [("", &names[..]), ("a", &names[..6]), ("a%", &names[1..3]), ("a_", &names[3..4]), ("ä", &["ä"])]
    {
        for after in [0, last] {
            let told = tried.told(prefix, after);
            let keys: Vec<_> = told.iter().map(|change| &*change.key).collect();
            assert_eq!(keys, expected, "{prefix:?} after {after}");
        }
    }
}

pub(in super::super) fn storage_8_changes_come_in_pages_that_miss_nothing<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    let start = tried.set_in(1, "x", b"");
    let mut versions = Vec::new();
    for number in 0..30 {
        versions.push(tried.set(&format!("k{number}"), b""));
        tried.set_in(1, "x", b"");
    }
    for limit in [1, 2, 7, 29, 30, 31, 1_000] {
        let (mut after, mut seen) = (start, Vec::new());
        loop {
            let page = tried.storage.changes(&tried.scopes.at(0), "k", after, limit).expect("it answers");
            assert!(page.list.len() <= limit);
            assert!(page.list.iter().all(|change| after < change.version && change.version <= page.up_to));
            seen.extend(page.list.iter().map(|change| change.version));
            if page.list.is_empty() {
                assert!(page.up_to >= after);
                break;
            }
            after = page.up_to;
        }
        assert_eq!(seen, versions, "{limit} at a time");
    }
    let page = tried.storage.changes(&tried.scopes.at(0), "nothing", start, 5).expect("it answers");
    assert_eq!((page.list, page.up_to), (vec![], tried.version()), "nothing is missing up to now");
}

pub(in super::super) fn storage_8_clear_is_told_once_for_all<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "")]);
    let first = tried.set("a", b"1");
    tried.set("b", b"1");
    let elsewhere = tried.set_in(1, "a", b"1");
    tried.pass(5);
    assert_eq!(tried.clear(0), 2);
    let cleared = tried.version();
    let again = tried.set("b", b"2");
    let told = tried.told("", first);
    assert_eq!(short(&told), [(Cleared, "", cleared), (Set, "b", again)]);
    assert_eq!(told[0].at_ms, START + 5);
    assert_eq!(short(&tried.told("none", first)), [(Cleared, "", cleared)], "below every prefix");
    assert_eq!(short(&tried.told("", cleared)), [(Set, "b", again)]);
    assert_eq!(short(&tried.told("", 0)), [(Set, "b", again)]);
    tried.pass(5);
    tried.clear(0);
    let twice = tried.version();
    // The second covers the first.
    assert_eq!(short(&tried.told("", first)).last(), Some(&(Cleared, "", twice)));
    assert_eq!(short(&tried.told("", cleared)), [(Cleared, "", twice)]);
    let page = tried.storage.changes(&tried.scopes.at(1), "", 0, 10).expect("it answers");
    assert_eq!(short(&page.list), [(Set, "a", elsewhere)], "another scope is not cleared");
    let page = tried.storage.changes(&tried.scopes.at(1), "", elsewhere, 10).expect("it answers");
    assert_eq!(page.list, []);
}

pub(in super::super) fn storage_8_nobody_resumes_after_a_version_that_is_still_to_come<B: Bed>() {
    let tried = Tried::<B>::one();
    let version = tried.set("a", b"1");
    for after in [version + 1, version + 1_000_000, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let error = tried.storage.changes(&tried.scopes.at(0), "", after, 10).expect_err("there is none yet");
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{after}");
    }
    assert_eq!(tried.told("", version), []);
}

pub(in super::super) fn storage_8_removals_are_remembered_for_a_day_and_never_forgotten_in_silence<B: Bed>() {
    let tried = Tried::<B>::one();
    let first = tried.set("a", b"1");
    tried.set("b", b"1");
    let gone = tried.step(Step::remove("a")).expect("it is there").version;
    tried.pass_slowly(REMEMBERED_MS - 60_000);
    let kept = tried.set("b", b"2");
    assert_eq!(short(&tried.told("", first)), [(Removed, "a", gone), (Set, "b", kept)]);
    for _ in 0..3 {
        tried.pass_slowly(REMEMBERED_MS);
        tried.set("c", b"1");
    }
    let resumed = || tried.storage.changes(&tried.scopes.at(0), "", first, 10).map_err(|error| error.kind());
    tried.pass_until("it is forgotten", || resumed() == Err(ErrorKind::OutOfRange));
    // Who begins anew can go on, page by page, though what the first ends with is older.
    let (begun, mut after, mut seen) = (tried.version(), 0, Vec::new());
    while after < begun {
        let page = tried.storage.changes_since(&tried.scopes.at(0), "", after, begun, 1).expect("it goes on");
        seen.extend(page.list.into_iter().map(|change| change.key));
        after = page.up_to;
    }
    assert_eq!(seen.iter().map(|key| &**key).collect::<Vec<_>>(), ["b", "c"]);
    // Who has seen the removal misses nothing, nor does who begins anew.
    let version = tried.version();
    for after in [gone, kept, version] {
        let told = tried.told("", after);
        let keys: BTreeSet<_> = told.iter().map(|change| &*change.key).collect();
        let expected: &[&str] = if after == gone { &["b", "c"] } else { &["c"] };
        assert!(keys.iter().copied().eq(expected.iter().copied().filter(|_| after != version)), "{told:?}");
    }
    assert_eq!(tried.told("", 0).len(), 2);
}

pub(in super::super) fn storage_8_whoever_listens_is_told_before_the_write_returns<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    let a = tried.set("a", b"1");
    assert_eq!(short(&tried.heard()), [(Set, "a", a)]);
    tried.set_in(1, "a", b"1");
    assert_eq!(tried.heard().len(), 1, "that is another scope");
    let done = tried.steps(&[Step::set("b", b"1"), Step::remove("a"), Step::check("a", 0)]);
    let [b, gone, _] = done.expect("nothing is in its way")[..] else { panic!("it had three steps") };
    assert_eq!(short(&tried.heard())[1..], [(Set, "b", b.version), (Removed, "a", gone.version)]);
    assert!(tried.steps(&[Step::set("c", b"1"), Step::check("b", 0)]).is_err());
    assert!(!tried.remove("a"));
    assert_eq!(tried.heard().len(), 3, "nothing happened");
    tried.pass(7);
    tried.clear(0);
    let heard = tried.heard();
    assert_eq!(short(&heard)[3..], [(Cleared, "", tried.version())]);
    assert_eq!(heard[3].at_ms, START + 7);
}

pub(in super::super) fn storage_8_whoever_listens_is_told_in_the_order_of_versions<B: Bed>() {
    let tried = Tried::<B>::one();
    thread::scope(|threads| {
        for caller in 0..6 {
            let (storage, scopes) = (&tried.storage, &tried.scopes);
            threads.spawn(move || {
                let name = format!("k{}", caller % 4);
                for number in 0..40 {
                    let other = format!("o{caller}");
                    let steps = [Step::incr(&name, 1), Step::set(&other, b"x"), Step::remove(&other)];
                    let steps = if number % 3 == 0 { &steps[..] } else { &steps[..1] };
                    storage.steps(&scopes.at(0), steps).expect("nothing is in its way");
                }
            });
        }
    });
    let versions: Vec<_> = tried.heard().iter().map(|change| change.version).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    let heard = tried.heard();
    let last: BTreeMap<_, _> = heard.iter().map(|change| (&*change.key, change)).collect();
    for name in ["k0", "k1", "k2", "k3"] {
        let (_, info) = tried.get(name).expect("it counts");
        assert_eq!(last[name].version, info.version, "the last of {name} is told");
    }
}

/// As a watch does it: first it listens, then it catches up, and of what it heard it takes what is newer.
pub(in super::super) fn storage_8_listening_and_catching_up_miss_nothing<B: Bed>() {
    /// The newest change of each key.
    #[derive(Default)]
    struct Heard(Mutex<Vec<Change>>);
    impl Listener for Heard {
        fn changed(&self, _: &str, _: &str, change: &Change) {
            self.0.lock().push(change.clone());
        }
    }
    let tried = Tried::<B>::one();
    for number in 0..20 {
        tried.set(&format!("{number}"), b"0");
    }
    let ended = AtomicBool::new(false);
    let views = thread::scope(|threads| {
        let (storage, scopes, ended) = (&tried.storage, &tried.scopes, &ended);
        for caller in 0..3 {
            threads.spawn(move || {
                let mut number: usize = caller;
                while !ended.load(Relaxed) {
                    let name = format!("{}", number * 7 % 20);
                    let step =
                        if number.is_multiple_of(5) { Step::remove(&name) } else { Step::set(&name, b"x") };
                    storage.steps(&scopes.at(0), &[step]).expect("nothing is in its way");
                    if caller == 0 && number.is_multiple_of(40) {
                        storage.clear(&scopes.at(0)).expect("nothing is in its way");
                    }
                    number += 3;
                }
            });
        }
        let views: Vec<_> = [0, 3, 50]
            .into_iter()
            .map(|limit| {
                let heard = Arc::new(Heard::default());
                tried.listen(Arc::clone(&heard) as _);
                // From the beginning, in pages of different sizes.
                let (mut view, mut after) = (BTreeMap::new(), 0);
                let begun = storage.version().expect("it answers");
                loop {
                    let page = storage.changes_since(&scopes.at(0), "", after, begun, limit + 1);
                    let page = page.expect("it answers");
                    follow(&mut view, &page.list);
                    after = page.up_to;
                    if page.list.len() <= limit {
                        break;
                    }
                }
                (view, after, heard)
            })
            .collect();
        ended.store(true, Relaxed);
        views
    });
    let there: BTreeMap<_, _> =
        tried.all()[0].iter().map(|(name, _, info)| (Arc::from(name.as_str()), info.version)).collect();
    for (mut view, up_to, heard) in views {
        let newer: Vec<_> = heard.0.lock().iter().filter(|change| change.version > up_to).cloned().collect();
        follow(&mut view, &newer);
        assert_eq!(view, there);
    }
}

/// Does to a view of what is there what has happened.
fn follow(view: &mut BTreeMap<Arc<str>, u64>, changes: &[Change]) {
    for change in changes {
        match change.kind {
            Set => drop(view.insert(Arc::clone(&change.key), change.version)),
            Cleared => view.clear(),
            _ => drop(view.remove(&change.key)),
        }
    }
}
