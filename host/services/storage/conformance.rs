//! What every back end of the storage must do, written once against the trait. A back end runs all of it by naming it in
//! [`suites`].

use std::sync::Arc;

use super::{Info, Storage, StorageBackend, Usage, Written};
use crate::{
    error::{ErrorKind, Result},
    identity::{DataScope, Tenant, Tenants},
    services::{clock::ManualClock, keys::Key},
};

/// The most bytes that a value may have here: the contract's own limit.
const LARGEST: usize = 4 << 20;

/// When the tests begin.
const START: i64 = 1_000_000;

/// A back end under test.
pub(super) trait Bed: Sized {
    /// An empty one, by this clock.
    fn new(clock: &Arc<ManualClock>) -> Self;

    fn backend(&self) -> Box<dyn StorageBackend>;

    /// The host ends and comes again.
    fn restart(self) -> Self;
}

/// The tests of a back end. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty { $(#[test] fn $test:ident();)* }) => {
        $(#[test] fn $test() { super::conformance::$test::<$bed>(); })*
    };
}
pub(super) use suites;

/// The scopes that a test uses.
pub(super) struct Scopes {
    tenants: Tenants,
    held: Vec<(Arc<str>, Tenant)>,
}

impl Scopes {
    /// Of (plugin, tenant) each.
    pub(super) fn of(names: &[(&str, &str)]) -> Self {
        let tenants = Tenants::new();
        let held = names.iter().map(|(plugin, tenant)| ((*plugin).into(), tenants.named(tenant))).collect();
        Self { tenants, held }
    }

    pub(super) fn at(&self, at: usize) -> DataScope<'_> {
        let (plugin, tenant) = &self.held[at];
        let number = self.held.iter().position(|(other, _)| other == plugin).expect("it is there itself");
        DataScope::new(number as u64, plugin, tenant.number(), &self.tenants)
    }
}

pub(super) fn key(text: &str) -> Key<'_> {
    Key::parse("key", text.as_bytes()).expect("it is a key")
}

struct Tried<B: Bed> {
    bed: B,
    storage: Storage,
    clock: Arc<ManualClock>,
    scopes: Scopes,
}

impl<B: Bed> Tried<B> {
    fn with(scopes: &[(&str, &str)]) -> Self {
        let clock = ManualClock::at(START);
        let bed = B::new(&clock);
        let storage = Storage::new(bed.backend(), LARGEST);
        Self { bed, storage, clock, scopes: Scopes::of(scopes) }
    }

    fn one() -> Self {
        Self::with(&[("meter", "acme")])
    }

    fn restart(self) -> Self {
        drop(self.storage);
        let bed = self.bed.restart();
        let storage = Storage::new(bed.backend(), LARGEST);
        Self { bed, storage, clock: self.clock, scopes: self.scopes }
    }

    fn set_in(&self, scope: usize, name: &str, value: &[u8]) -> u64 {
        match self.storage.set(&self.scopes.at(scope), key(name), value, None) {
            Ok(Written::Done(version)) => version,
            other => panic!("{name} was not set: {other:?}"),
        }
    }

    fn set(&self, name: &str, value: &[u8]) -> u64 {
        self.set_in(0, name, value)
    }

    fn set_if(&self, name: &str, value: &[u8], version: u64) -> Result<Written> {
        self.storage.set(&self.scopes.at(0), key(name), value, Some(version))
    }

    fn get_in(&self, scope: usize, name: &str) -> Option<(Vec<u8>, Info)> {
        self.storage.get(&self.scopes.at(scope), key(name)).expect("it can be read")
    }

    fn get(&self, name: &str) -> Option<(Vec<u8>, Info)> {
        self.get_in(0, name)
    }

    fn remove(&self, name: &str) -> bool {
        self.storage.remove(&self.scopes.at(0), key(name)).expect("it can be written")
    }

    fn exists(&self, name: &str) -> bool {
        self.storage.exists(&self.scopes.at(0), key(name)).expect("it can be read")
    }

    fn clear(&self, scope: usize) -> u64 {
        self.storage.clear(&self.scopes.at(scope)).expect("it can be written")
    }

    fn page(&self, prefix: &str, cursor: &str, limit: u32) -> Result<super::Page> {
        self.storage.keys(&self.scopes.at(0), prefix, cursor, limit)
    }

    fn keys_in(&self, scope: usize, prefix: &str) -> Vec<String> {
        let page = self.storage.keys(&self.scopes.at(scope), prefix, "", 1_000).expect("it can be read");
        assert_eq!(page.next, None);
        page.keys
    }

    fn usage(&self) -> Vec<(String, u64, u64)> {
        let usage = self.storage.usage().expect("it can be read");
        let mut usage: Vec<_> = usage
            .into_iter()
            .map(|Usage { plugin, items, bytes }| (plugin.to_string(), items, bytes))
            .collect();
        usage.sort();
        usage
    }
}

pub(super) fn storage_1_remove_tells_whether_the_item_was_there_and_so_does_exists<B: Bed>() {
    let tried = Tried::<B>::one();
    assert_eq!((tried.exists("a"), tried.remove("a")), (false, false));
    tried.set("a", b"1");
    assert_eq!((tried.exists("a"), tried.exists("b")), (true, false));
    assert_eq!((tried.remove("a"), tried.exists("a"), tried.remove("a")), (true, false, false));
    assert_eq!(tried.get("a"), None);
}

pub(super) fn storage_2_versions_come_from_one_sequence_and_never_twice<B: Bed>() {
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

pub(super) fn storage_2_an_item_knows_its_version_and_its_times<B: Bed>() {
    let tried = Tried::<B>::one();
    let later = || tried.clock.set_wall(crate::services::clock::Clock::now_ms(&*tried.clock) + 5);
    let info = |version, created_ms, updated_ms| Some(Info { version, created_ms, updated_ms });
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

pub(super) fn storage_3_a_conflict_tells_the_version_and_changes_nothing<B: Bed>() {
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

pub(super) fn storage_3_of_many_that_write_on_one_version_one_does<B: Bed>() {
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

pub(super) fn storage_9_listing_is_by_literal_prefix_in_byte_order<B: Bed>() {
    let tried = Tried::<B>::one();
    let all = [
        "B",
        "a",
        "a%",
        "a%b",
        "a*",
        "a/",
        "a/1",
        "a/10",
        "a/2",
        "aX",
        "a_",
        "ab",
        "z",
        "ä",
        "äb",
        "\u{10ffff}",
    ];
    for name in all.iter().rev() {
        tried.set(name, b"");
    }
    let cases: [(&str, &[&str]); 10] = [
        ("", &all),
        ("a/", &["a/", "a/1", "a/10", "a/2"]),
        ("a%", &["a%", "a%b"]),
        ("a_", &["a_"]),
        ("a*", &["a*"]),
        ("A", &[]),
        ("ä", &["ä", "äb"]),
        ("\u{10ffff}", &["\u{10ffff}"]),
        ("b", &[]),
        ("a/10/", &[]),
    ];
    for (prefix, expected) in cases {
        assert_eq!(tried.keys_in(0, prefix), expected, "with the prefix {prefix:?}");
    }
}

pub(super) fn storage_10_pages_go_on_where_they_were_whatever_is_deleted<B: Bed>() {
    let tried = Tried::<B>::one();
    let names: Vec<_> = (0..25).map(|number| format!("n/{number:02}")).collect();
    for name in &names {
        tried.set(name, b"");
    }
    tried.set("m", b"");
    tried.set("o", b"");
    let first = tried.page("n/", "", 10).expect("it can be read");
    assert_eq!(first.keys, names[..10]);
    let next = first.next.expect("there is more");
    assert!(!next.contains("n/"), "a cursor is not for reading: {next}");
    // The key that the cursor stands on, one before and one behind it.
    for gone in ["n/09", "n/03", "n/10"] {
        assert!(tried.remove(gone));
    }
    tried.set("n/095", b"");
    let second = tried.page("n/", &next, 10).expect("it can be read");
    assert_eq!(second.keys[0], "n/095", "what came meanwhile is listed");
    assert_eq!(second.keys[1..], names[11..20]);
    let third = tried.page("n/", &second.next.expect("there is more"), 10).expect("it can be read");
    assert_eq!((&third.keys[..], third.next), (&names[20..], None));
    tried.clear(0);
    assert_eq!(tried.page("n/", &next, 10).expect("it can be read"), super::Page::default());
}

pub(super) fn storage_10_a_page_that_is_full_to_the_last_key_is_the_last<B: Bed>() {
    let tried = Tried::<B>::one();
    for number in 0..101 {
        tried.set(&format!("{number:03}"), b"");
    }
    let sizes = |limit| {
        let page = tried.page("", "", limit).expect("it can be read");
        (page.keys.len(), page.next.is_some())
    };
    assert_eq!(
        [sizes(0), sizes(1), sizes(101), sizes(1_000)],
        [(100, true), (1, true), (101, false), (101, false)]
    );
    let page = tried.page("", "", 100).expect("it can be read");
    tried.set("1", b"");
    let cursor = page.next.expect("there is more");
    for (prefix, cursor, limit) in [("x", &*cursor, 1), ("", "garbage", 1), ("", "1.!", 1), ("", "", 1_001)] {
        let error = tried.page(prefix, cursor, limit).expect_err("it is none of this listing");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

pub(super) fn storage_12_clear_empties_the_scope_and_no_other<B: Bed>() {
    let scopes = [("meter", "acme"), ("meter", ""), ("meter", "other"), ("meterb", "acme")];
    let tried = Tried::<B>::with(&scopes);
    for scope in 0..scopes.len() {
        for name in ["a", "b", "c"] {
            tried.set_in(scope, name, b"value");
        }
    }
    for cleared in [1, 0] {
        assert_eq!(tried.clear(cleared), 3);
        assert_eq!(tried.clear(cleared), 0);
        assert!(tried.keys_in(cleared, "").is_empty());
        assert_eq!(tried.get_in(cleared, "a"), None);
    }
    for other in [2, 3] {
        assert_eq!(tried.keys_in(other, ""), ["a", "b", "c"]);
        assert!(tried.get_in(other, "b").is_some());
    }
    assert_eq!(tried.usage(), [("meter".into(), 3, 18), ("meterb".into(), 3, 18)]);
}

pub(super) fn everywhere_2_a_value_has_up_to_4_mib<B: Bed>() {
    let tried = Tried::<B>::one();
    let largest: Vec<u8> = (0..LARGEST).map(|at| (at * 31 % 251) as u8).collect();
    let version = tried.set("a", &largest);
    let (value, info) = tried.get("a").expect("it was set");
    assert!(value == largest && info.version == version);
    let error = tried.set_if("a", &[&largest[..], &[0]].concat(), version).expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("4194304"), "{error}");
    assert_eq!(tried.get("a").expect("it is still there").1, info);
}

pub(super) fn everywhere_3_an_empty_value_is_a_value_and_any_byte_is_kept<B: Bed>() {
    let tried = Tried::<B>::one();
    let every: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\0", b"a\0b", b"\xff\xfe", b"123", &every] {
        tried.set("a", value);
        assert!(tried.exists("a"));
        assert_eq!(tried.get("a").map(|(value, _)| value).as_deref(), Some(value));
        assert_eq!(tried.keys_in(0, ""), ["a"]);
    }
}

pub(super) fn everywhere_4_no_names_can_be_chosen_so_that_scopes_meet<B: Bed>() {
    let scopes = [
        ("a", "b"),
        ("ab", ""),
        ("a", ""),
        ("a", "b/c"),
        ("a", "%"),
        ("a", "_"),
        ("a", "B"),
        ("A", "b"),
        ("a/b", "c"),
        ("a", "b'; DROP TABLE storage_items; --"),
        ("a", "1:b"),
    ];
    let names = ["k", "b", "b/k", "1:k", "K", "k ", "'", "%", "_"];
    let tried = Tried::<B>::with(&scopes);
    for (scope, parts) in scopes.iter().enumerate() {
        for name in names {
            let value = format!("{parts:?} {name}");
            assert_eq!(tried.get_in(scope, name), None, "{value} before it was set");
            tried.set_in(scope, name, value.as_bytes());
        }
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for (scope, parts) in scopes.iter().enumerate() {
        assert_eq!(tried.keys_in(scope, ""), sorted);
        for name in names {
            let expected = format!("{parts:?} {name}");
            assert_eq!(tried.get_in(scope, name).map(|(value, _)| value), Some(expected.into_bytes()));
        }
    }
}

pub(super) fn everywhere_5_what_fails_leaves_value_and_version_as_they_were<B: Bed>() {
    let tried = Tried::<B>::one();
    let version = tried.set("a", b"kept");
    let before = (tried.get("a"), tried.usage());
    tried.clock.set_wall(START + 99);
    let same = |what: &str| assert_eq!((tried.get("a"), tried.usage()), before, "after {what}");
    assert_eq!(tried.set_if("a", b"x", version + 1).expect("an answer"), Written::Conflict(version));
    same("a conflict");
    assert!(tried.set_if("a", &vec![0; LARGEST + 1], version).is_err());
    same("a value that is too large");
    assert!(tried.page("", "?", 1).is_err());
    same("a cursor that is none");
}

pub(super) fn usage_is_what_is_there<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("meter", ""), ("other", "acme")]);
    assert_eq!(tried.usage(), []);
    tried.set_in(0, "ab", b"123");
    tried.set_in(1, "ab", b"");
    tried.set_in(2, "ä", b"1");
    assert_eq!(tried.usage(), [("meter".into(), 2, 7), ("other".into(), 1, 3)]);
    tried.set_in(0, "ab", b"1234567");
    tried.set_in(2, "ä", b"");
    tried = tried.restart();
    assert_eq!(tried.usage(), [("meter".into(), 2, 11), ("other".into(), 1, 2)]);
    assert!(tried.remove("ab"));
    assert!(!tried.remove("ab"));
    tried.clear(2);
    assert_eq!(tried.usage(), [("meter".into(), 1, 2)]);
}

pub(super) fn what_was_written_is_there_after_a_restart<B: Bed>() {
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
