//! What every back end of the cache must do, written once: [`cache_conformance!`] makes the tests for one of them.
//!
//! A back end is made for each test, with a clock that stands still until the test moves it. All goes through
//! [`Cache`], as it does for plugins. Lifetimes and integers are here; the folder has the rest.

mod ages;
mod listing;
mod tags;
mod writes;

use std::{
    ops::RangeInclusive,
    sync::{Arc, Barrier},
    time::Duration,
};

pub(super) use ages::*;
pub(super) use listing::*;
pub(super) use tags::*;
pub(super) use writes::*;

use super::{
    Address, Age, Cache, CacheBackend, ExpireIf, Expired, Glob, Item, LARGEST_VALUE, Lifetime, Lifetimes,
    Space, Value, Whole, Write,
};
use crate::{
    error::{ErrorKind, Result},
    identity::{DataScope, Tenant, Tenants},
    services::{
        clock::{Clock, ManualClock},
        keys::{Key, Namespace},
    },
};

/// The tests for one back end; `$make` is `fn(Arc<ManualClock>) -> Box<dyn CacheBackend>`.
macro_rules! cache_conformance {
    ($make:expr) => {
        use $crate::services::cache::conformance as suite;

        #[test]
        fn everywhere_2_a_value_has_up_to_1_mib_and_no_more() {
            suite::a_value_has_up_to_1_mib_and_no_more(&suite::Scene::new($make));
        }
        #[test]
        fn everywhere_3_an_empty_value_is_a_value() {
            suite::an_empty_value_is_a_value(&suite::Scene::new($make));
        }
        #[test]
        fn everywhere_4_no_names_can_be_chosen_so_that_two_scopes_meet() {
            suite::no_names_can_be_chosen_so_that_two_scopes_meet(&suite::Scene::new($make));
        }
        #[test]
        fn everywhere_5_a_failure_leaves_value_and_lifetime_as_they_were() {
            suite::a_failure_leaves_value_and_lifetime_as_they_were(&suite::Scene::new($make));
        }
        #[test]
        fn cache_1_an_item_is_bytes_or_an_integer_and_reading_tells_which() {
            suite::an_item_is_bytes_or_an_integer_and_reading_tells_which(&suite::Scene::new($make));
        }
        #[test]
        fn cache_2_a_lifetime_of_0_is_endless_and_none_is_the_default() {
            suite::a_lifetime_of_0_is_endless_and_none_is_the_default(&suite::Scene::new($make));
        }
        #[test]
        fn cache_3_a_lifetime_that_is_negative_or_overflows_writes_nothing() {
            suite::a_lifetime_that_is_negative_or_overflows_writes_nothing(&suite::Scene::new($make));
        }
        #[test]
        fn cache_4_expire_clears_sets_or_removes_and_tells_whether_the_item_existed() {
            suite::expire_clears_sets_or_removes_and_tells_whether_the_item_existed(&suite::Scene::new(
                $make,
            ));
        }
        #[test]
        fn cache_5_expire_changes_only_what_its_condition_allows() {
            suite::expire_changes_only_what_its_condition_allows(&suite::Scene::new($make));
        }
        #[test]
        fn cache_6_the_remaining_lifetime_is_read_in_milliseconds_and_never_as_0() {
            suite::the_remaining_lifetime_is_read_in_milliseconds_and_never_as_0(&suite::Scene::new($make));
        }
        #[test]
        fn cache_7_incr_counts_a_missing_item_from_0() {
            suite::incr_counts_a_missing_item_from_0(&suite::Scene::new($make));
        }
        #[test]
        fn cache_8_the_lifetime_of_incr_counts_at_creation_and_never_slides() {
            suite::the_lifetime_of_incr_counts_at_creation_and_never_slides(&suite::Scene::new($make));
        }
        #[test]
        fn cache_9_incr_takes_the_canonical_digits_of_an_integer_and_no_other_bytes() {
            suite::incr_takes_the_canonical_digits_of_an_integer_and_no_other_bytes(&suite::Scene::new(
                $make,
            ));
        }
        #[test]
        fn cache_10_an_incr_that_overflows_is_out_of_range() {
            suite::an_incr_that_overflows_is_out_of_range(&suite::Scene::new($make));
        }
        #[test]
        fn cache_11_incr_is_atomic_under_many_threads() {
            suite::incr_is_atomic_under_many_threads(&suite::Scene::new($make));
        }
        #[test]
        fn cache_13_set_replaces_value_and_lifetime() {
            suite::set_replaces_value_and_lifetime(&suite::Scene::new($make));
        }
        #[test]
        fn cache_15_remove_and_exists_tell_whether_the_item_is_there() {
            suite::remove_and_exists_tell_whether_the_item_is_there(&suite::Scene::new($make));
        }
        #[test]
        fn cache_17_what_has_expired_is_absent_for_every_function() {
            suite::what_has_expired_is_absent_for_every_function(&suite::Scene::new($make));
        }
        #[test]
        fn everywhere_5_a_failure_leaves_versions_spans_and_tags_as_they_were() {
            suite::a_failure_leaves_versions_spans_and_tags_as_they_were(&suite::Scene::new($make));
        }
        #[test]
        fn cache_13_set_replaces_spans_and_tags_too() {
            suite::set_replaces_spans_and_tags_too(&suite::Scene::new($make));
        }
        #[test]
        fn cache_14_set_keeps_lifetime_and_spans_where_it_is_told_to() {
            suite::set_keeps_lifetime_and_spans_where_it_is_told_to(&suite::Scene::new($make));
        }
        #[test]
        fn cache_14_set_writes_only_if_its_condition_holds() {
            suite::set_writes_only_if_its_condition_holds(&suite::Scene::new($make));
        }
        #[test]
        fn a_version_is_never_used_again_for_its_key() {
            suite::a_version_is_never_used_again_for_its_key(&suite::Scene::new($make));
        }
        #[test]
        fn cache_16_many_writes_get_an_answer_each() {
            suite::many_writes_get_an_answer_each(&suite::Scene::new($make));
        }
        #[test]
        fn cache_17_what_has_expired_is_in_no_listing_and_no_count() {
            suite::what_has_expired_is_in_no_listing_and_no_count(&suite::Scene::new($make));
        }
        #[test]
        fn cache_18_cache_21_an_item_is_fresh_then_stale_then_kept_then_gone() {
            suite::an_item_is_fresh_then_stale_then_kept_then_gone(&suite::Scene::new($make));
        }
        #[test]
        fn cache_18_a_stale_item_is_there_for_every_function() {
            suite::a_stale_item_is_there_for_every_function(&suite::Scene::new($make));
        }
        #[test]
        fn cache_21_a_kept_item_is_absent_for_every_function() {
            suite::a_kept_item_is_absent_for_every_function(&suite::Scene::new($make));
        }
        #[test]
        fn cache_22_what_is_known_to_be_absent_is_there_for_reading_only() {
            suite::what_is_known_to_be_absent_is_there_for_reading_only(&suite::Scene::new($make));
        }
        #[test]
        fn cache_22_what_is_known_to_be_absent_has_a_lifetime_of_its_own_and_no_spans() {
            suite::what_is_known_to_be_absent_has_a_lifetime_of_its_own_and_no_spans(&suite::Scene::new(
                $make,
            ));
        }
        #[test]
        fn cache_25_an_item_has_up_to_16_tags() {
            suite::an_item_has_up_to_16_tags(&suite::Scene::new($make));
        }
        #[test]
        fn cache_26_invalidating_a_tag_hits_all_that_was_written_with_it_before() {
            suite::invalidating_a_tag_hits_all_that_was_written_with_it_before(&suite::Scene::new($make));
        }
        #[test]
        fn an_integer_keeps_the_tags_of_the_bytes_that_it_was() {
            suite::an_integer_keeps_the_tags_of_the_bytes_that_it_was(&suite::Scene::new($make));
        }
        #[test]
        fn cache_27_a_pattern_takes_the_keys_that_it_matches() {
            suite::a_pattern_takes_the_keys_that_it_matches(&suite::Scene::new($make));
        }
        #[test]
        fn cache_30_clearing_a_namespace_takes_all_of_it_and_nothing_else() {
            suite::clearing_a_namespace_takes_all_of_it_and_nothing_else(&suite::Scene::new($make));
        }
        #[test]
        fn cache_30_keys_are_listed_by_their_literal_beginning_in_pages() {
            suite::keys_are_listed_by_their_literal_beginning_in_pages(&suite::Scene::new($make));
        }
        #[test]
        fn cache_30_a_key_that_stays_is_on_one_page_while_others_come_and_go() {
            suite::a_key_that_stays_is_on_one_page_while_others_come_and_go(&suite::Scene::new($make));
        }
        #[test]
        fn cache_30_a_cursor_that_no_page_has_had_is_refused() {
            suite::a_cursor_that_no_page_has_had_is_refused(&suite::Scene::new($make));
        }
        #[test]
        fn cache_30_items_that_are_there_are_listed_whatever_they_are() {
            suite::items_that_are_there_are_listed_whatever_they_are(&suite::Scene::new($make));
        }
        #[test]
        fn what_is_promised_of_leases_holds_on_this_back_end() {
            // They are the front's, whatever is behind it.
            for (name, case) in $crate::services::cache::OF_LEASES {
                println!("{name}");
                case(&suite::Scene::new($make));
            }
        }
        #[test]
        fn lifetimes_do_not_follow_the_wall_clock() {
            suite::lifetimes_do_not_follow_the_wall_clock(&suite::Scene::new($make));
        }
        #[test]
        fn what_a_plugin_has_is_counted_and_removed_for_it_alone() {
            suite::what_a_plugin_has_is_counted_and_removed_for_it_alone(&suite::Scene::new($make));
        }
    };
}
pub(super) use cache_conformance;

/// The default lifetime in these tests.
const DEFAULT_MS: i64 = 3_600_000;

const LIFETIMES: Lifetimes = Lifetimes { items: Lifetime::Ms(DEFAULT_MS), absent: Lifetime::Ms(10_000) };

/// A cache, its clock, and callers.
pub(super) struct Scene {
    pub(super) cache: Cache,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tenants: Tenants,
    pub(super) ids: [Arc<str>; 3],
}

/// A value with no borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    Bytes(Vec<u8>),
    Integer(i64),
    Absent,
}

impl From<Value<'_>> for Owned {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Value::Integer(integer) => Self::Integer(integer),
            Value::Absent => Self::Absent,
        }
    }
}

/// An item with no borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) value: Owned,
    pub(super) age: Age,
    pub(super) version: u64,
    pub(super) fresh: Lifetime,
    pub(super) left: Lifetime,
}

impl From<Item<'_>> for Seen {
    fn from(item: Item<'_>) -> Self {
        let (fresh, left) = (item.fresh(), item.left());
        Self { value: item.value.into(), age: item.age, version: item.version, fresh, left }
    }
}

impl Scene {
    pub(super) fn new(make: impl FnOnce(Arc<ManualClock>) -> Box<dyn CacheBackend>) -> Self {
        let clock = ManualClock::at(1_700_000_000_000);
        let cache = Cache::new(make(Arc::clone(&clock)), LIFETIMES, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { cache, clock, tenants: Tenants::new(), ids: ["a".into(), "ab".into(), "b".into()] }
    }

    /// Under plugin `plugin` and this tenant.
    pub(super) fn at<'a>(&'a self, plugin: usize, tenant: &Tenant, ns: &'a str, key: &'a str) -> Address<'a> {
        Address {
            scope: DataScope::new(plugin as u64 + 1, &self.ids[plugin], tenant.number(), &self.tenants),
            namespace: Namespace::parse("ns", ns.as_bytes()).expect("a namespace of a test"),
            key: Key::parse("key", key.as_bytes()).expect("a key of a test"),
        }
    }

    /// Under the first plugin, in the system scope.
    pub(super) fn key<'a>(&'a self, key: &'a str) -> Address<'a> {
        self.at(0, &self.tenants.named(""), "ns", key)
    }

    /// Under the first plugin, in the system scope.
    pub(super) fn space(&self) -> Space<'_> {
        self.key("any").space()
    }

    pub(super) fn tag(name: &str) -> Namespace<'_> {
        Namespace::parse("tag", name.as_bytes()).expect("a tag of a test")
    }

    pub(super) fn glob(pattern: &str) -> Glob {
        Glob::parse("pattern", pattern.as_bytes()).expect("a pattern of a test")
    }

    /// What a plugin reads: the item, or the note that there is nothing.
    pub(super) fn item(&self, at: &Address<'_>) -> Option<Seen> {
        let mut found = Vec::new();
        let there = self.cache.get(at, &mut |item| found.push(item.into()));
        assert_eq!(there.expect("the back end answers"), !found.is_empty());
        assert!(found.len() <= 1, "it is lent once");
        found.pop()
    }

    pub(super) fn read(&self, at: &Address<'_>) -> Option<(Owned, Lifetime)> {
        self.item(at).map(|item| (item.value, item.fresh))
    }

    /// What the back end has for those who cannot load it.
    pub(super) fn kept(&self, at: &Address<'_>) -> Option<Owned> {
        let mut kept = None;
        let lend = &mut |whole: Whole<'_>| {
            kept = (whole.item.age == Age::Kept).then(|| whole.item.value.into());
        };
        self.cache.backend.get_whole(at, lend).expect("the back end answers");
        kept
    }

    /// All keys that begin with `prefix`, in order, out of pages of up to `limit`.
    pub(super) fn list(&self, space: &Space<'_>, prefix: &str, limit: usize) -> Vec<String> {
        let (mut keys, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.cache.keys(space, prefix, cursor.as_deref(), limit).expect("it is listed");
            assert!(page.keys.len() <= limit, "{} keys on a page of {limit}", page.keys.len());
            keys.extend(page.keys);
            assert!(page.next.is_none() || page.next != cursor, "it goes on");
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "each is told once: {keys:?}");
        keys
    }

    fn write(&self, at: &Address<'_>, write: &Write<'_>) -> u64 {
        self.cache.set(at, write).expect("it can be written")
    }

    /// Writes that there is nothing.
    fn note(&self, at: &Address<'_>, ttl_ms: Option<i64>) {
        self.write(at, &Write { value: Value::Absent, ..Write::of(b"", ttl_ms) });
    }

    /// Invalidates a tag of the first plugin, in the system scope.
    fn untag(&self, tag: &str) -> u64 {
        self.cache.invalidate_tag(&self.space().scope, Self::tag(tag)).expect("it is done")
    }

    fn set(&self, at: &Address<'_>, value: &[u8], ttl_ms: i64) {
        self.cache.set(at, &Write::of(value, Some(ttl_ms))).expect("it can be written");
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

fn bytes(value: &[u8]) -> Owned {
    Owned::Bytes(value.to_vec())
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("it fails").kind()
}

pub(super) fn a_value_has_up_to_1_mib_and_no_more(scene: &Scene) {
    let at = scene.key("k");
    let largest = vec![7; LARGEST_VALUE];
    scene.set(&at, &largest, 0);
    assert!(scene.read(&at) == Some((Owned::Bytes(largest.clone()), Lifetime::Endless)));
    let error =
        scene.cache.set(&at, &Write::of(&[largest, vec![0]].concat(), None)).expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.to_string(), "argument `value`: 1048577 bytes, at most 1048576 are taken");
    assert!(scene.cache.exists(&at).expect("it is asked"), "the old value stays");
}

pub(super) fn an_empty_value_is_a_value(scene: &Scene) {
    let at = scene.key("k");
    assert_eq!(scene.read(&at), None);
    scene.set(&at, b"", 0);
    assert_eq!(scene.read(&at), Some((bytes(b""), Lifetime::Endless)));
    assert!(scene.cache.exists(&at).expect("it is asked"));
}

pub(super) fn no_names_can_be_chosen_so_that_two_scopes_meet(scene: &Scene) {
    let tenants: Vec<Tenant> =
        ["", "a", "ab", "b", "a/b"].iter().map(|name| scene.tenants.named(name)).collect();
    let names = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc", "a"),
        ("a", "b:c"),
        ("a:b", "c"),
        ("a/b", "c"),
        ("a", "b/c"),
        ("A", "bc"),
        ("\u{1}", "\u{1}\u{1}"),
        ("\u{1}\u{1}", "\u{1}"),
        ("%", "_"),
        ("é", "e\u{301}"),
    ];
    let all = || {
        let scopes = (0..3).flat_map(|plugin| tenants.iter().map(move |tenant| (plugin, tenant)));
        scopes.flat_map(|(plugin, tenant)| names.map(|(ns, key)| scene.at(plugin, tenant, ns, key)))
    };
    for (number, at) in all().enumerate() {
        assert_eq!(scene.read(&at), None, "nobody wrote it yet");
        scene.set(&at, number.to_string().as_bytes(), 0);
    }
    for (number, at) in all().enumerate() {
        let expected = bytes(number.to_string().as_bytes());
        assert_eq!(scene.read(&at), Some((expected, Lifetime::Endless)));
    }
    for at in all().step_by(2) {
        assert!(scene.cache.remove(&at).expect("it is removed"));
    }
    for (number, at) in all().enumerate() {
        assert_eq!(scene.cache.exists(&at).expect("it is asked"), number % 2 == 1);
    }
}

pub(super) fn a_failure_leaves_value_and_lifetime_as_they_were(scene: &Scene) {
    let (text, count) = (scene.key("text"), scene.key("count"));
    scene.set(&text, b"no number", 500);
    scene.cache.incr(&count, i64::MAX, Some(500)).expect("it counts");
    let cases: [(&str, &dyn Fn() -> ErrorKind, ErrorKind); 8] = [
        ("incr of a text", &|| kind(scene.cache.incr(&text, 1, Some(9))), ErrorKind::WrongType),
        ("incr over the end", &|| kind(scene.cache.incr(&count, 1, Some(9))), ErrorKind::OutOfRange),
        ("incr for a negative time", &|| kind(scene.cache.incr(&count, -1, Some(-1))), ErrorKind::OutOfRange),
        ("incr for too long", &|| kind(scene.cache.incr(&count, -1, Some(i64::MAX))), ErrorKind::OutOfRange),
        (
            "set of too much",
            &|| kind(scene.cache.set(&text, &Write::of(&vec![0; LARGEST_VALUE + 1], Some(9)))),
            ErrorKind::TooLarge,
        ),
        (
            "set for a negative time",
            &|| kind(scene.cache.set(&text, &Write::of(b"x", Some(-1)))),
            ErrorKind::OutOfRange,
        ),
        (
            "set for too long",
            &|| kind(scene.cache.set(&text, &Write::of(b"x", Some(i64::MAX)))),
            ErrorKind::OutOfRange,
        ),
        (
            "expire for too long",
            &|| kind(scene.cache.expire(&text, i64::MAX, ExpireIf::Always)),
            ErrorKind::OutOfRange,
        ),
    ];
    for (what, fail, expected) in cases {
        assert_eq!(fail(), expected, "{what}");
        assert_eq!(scene.read(&text), Some((bytes(b"no number"), Lifetime::Ms(500))), "{what}");
        assert_eq!(scene.read(&count), Some((Owned::Integer(i64::MAX), Lifetime::Ms(500))), "{what}");
    }
    let refused = scene.cache.expire(&text, 9, ExpireIf::Endless).expect("it is asked");
    assert_eq!(refused, Expired::Refused);
    assert_eq!(scene.read(&text), Some((bytes(b"no number"), Lifetime::Ms(500))));
}

pub(super) fn an_item_is_bytes_or_an_integer_and_reading_tells_which(scene: &Scene) {
    let at = scene.key("k");
    scene.set(&at, b"12", 0);
    assert_eq!(scene.read(&at), Some((bytes(b"12"), Lifetime::Endless)));
    assert_eq!(scene.cache.incr(&at, 0, None).expect("digits count"), 12);
    assert_eq!(scene.read(&at), Some((Owned::Integer(12), Lifetime::Endless)));
    scene.set(&at, b"12", 0);
    assert_eq!(scene.read(&at), Some((bytes(b"12"), Lifetime::Endless)), "set makes bytes of it again");
}

pub(super) fn a_lifetime_of_0_is_endless_and_none_is_the_default(scene: &Scene) {
    let at = scene.key("k");
    for (ttl_ms, expected) in
        [(Some(0), Lifetime::Endless), (None, Lifetime::Ms(DEFAULT_MS)), (Some(7), Lifetime::Ms(7))]
    {
        scene.cache.set(&at, &Write::of(b"v", ttl_ms)).expect("it can be written");
        assert_eq!(scene.cache.ttl(&at).expect("it is asked"), Some(expected));
        scene.cache.remove(&at).expect("it is removed");
        scene.cache.incr(&at, 1, ttl_ms).expect("it counts");
        assert_eq!(scene.cache.ttl(&at).expect("it is asked"), Some(expected));
        scene.cache.remove(&at).expect("it is removed");
    }
}

pub(super) fn a_lifetime_that_is_negative_or_overflows_writes_nothing(scene: &Scene) {
    let at = scene.key("k");
    for ttl_ms in [-1, i64::MIN, i64::MAX] {
        assert_eq!(kind(scene.cache.set(&at, &Write::of(b"v", Some(ttl_ms)))), ErrorKind::OutOfRange);
        assert_eq!(kind(scene.cache.incr(&at, 1, Some(ttl_ms))), ErrorKind::OutOfRange);
        assert_eq!(scene.read(&at), None);
    }
    let longest = super::LONGEST_MS;
    scene.set(&at, b"v", longest);
    assert_eq!(scene.cache.ttl(&at).expect("it is asked"), Some(Lifetime::Ms(longest)));
    assert_eq!(kind(scene.cache.set(&at, &Write::of(b"w", Some(longest + 1)))), ErrorKind::OutOfRange);
}

pub(super) fn expire_clears_sets_or_removes_and_tells_whether_the_item_existed(scene: &Scene) {
    let at = scene.key("k");
    let expire = |ttl_ms| scene.cache.expire(&at, ttl_ms, ExpireIf::Always).expect("it is asked");
    for ttl_ms in [0, 10, -1] {
        assert_eq!(expire(ttl_ms), Expired::Missing);
    }
    scene.set(&at, b"v", 10);
    assert_eq!(expire(0), Expired::Changed);
    scene.advance_ms(1_000_000);
    assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Endless)));
    assert_eq!(expire(10), Expired::Changed);
    assert_eq!(expire(5), Expired::Changed);
    scene.advance_ms(4);
    assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Ms(1))));
    assert_eq!(expire(20), Expired::Changed);
    scene.advance_ms(19);
    assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Ms(1))));
    assert_eq!(expire(-5), Expired::Changed);
    assert_eq!(scene.read(&at), None);
    assert_eq!(expire(-5), Expired::Missing);
}

pub(super) fn expire_changes_only_what_its_condition_allows(scene: &Scene) {
    use ExpireIf::{Earlier, Endless, Later, Set};
    let at = scene.key("k");
    // (lifetime before, condition, lifetime asked for, is it changed)
    let cases = [
        (0, Endless, 5, true),
        (0, Endless, 0, true),
        (0, Endless, -1, true),
        (9, Endless, 5, false),
        (9, Endless, -1, false),
        (0, Set, 5, false),
        (9, Set, 5, true),
        (9, Set, 0, true),
        (9, Set, -1, true),
        (9, Later, 10, true),
        (9, Later, 9, false),
        (9, Later, 8, false),
        (9, Later, 0, true),
        (9, Later, -1, false),
        (0, Later, 10, false),
        (0, Later, 0, false),
        (9, Earlier, 8, true),
        (9, Earlier, 9, false),
        (9, Earlier, 10, false),
        (9, Earlier, 0, false),
        (9, Earlier, -1, true),
        (0, Earlier, 10, true),
        (0, Earlier, 0, false),
        (0, Earlier, -1, true),
    ];
    let lifetime = |ms| if ms == 0 { Lifetime::Endless } else { Lifetime::Ms(ms) };
    for case @ (before, condition, asked, changed) in cases {
        assert_eq!(scene.cache.expire(&at, asked, condition).expect("it is asked"), Expired::Missing);
        scene.set(&at, b"v", before);
        let expected = if changed { Expired::Changed } else { Expired::Refused };
        assert_eq!(scene.cache.expire(&at, asked, condition).expect("it is asked"), expected, "{case:?}");
        let left = match (changed, asked) {
            (true, ..0) => None,
            (true, asked) => Some(lifetime(asked)),
            (false, _) => Some(lifetime(before)),
        };
        assert_eq!(scene.cache.ttl(&at).expect("it is asked"), left, "{case:?}");
        scene.cache.remove(&at).expect("it is removed");
    }
}

pub(super) fn the_remaining_lifetime_is_read_in_milliseconds_and_never_as_0(scene: &Scene) {
    let at = scene.key("k");
    let ttl = || scene.cache.ttl(&at).expect("it is asked");
    assert_eq!(ttl(), None);
    scene.set(&at, b"v", 100);
    scene.advance_ms(40);
    assert_eq!(ttl(), Some(Lifetime::Ms(60)));
    scene.advance_ms(59);
    scene.clock.advance(Duration::from_micros(999));
    assert_eq!(ttl(), Some(Lifetime::Ms(1)), "a microsecond is left");
    scene.clock.advance(Duration::from_micros(1));
    assert_eq!(ttl(), None);
}

pub(super) fn incr_counts_a_missing_item_from_0(scene: &Scene) {
    for (key, deltas) in [("a", &[1, 1, 40][..]), ("b", &[-5, 0, i64::MAX]), ("c", &[0]), ("d", &[i64::MIN])]
    {
        let at = scene.key(key);
        let mut sum = 0;
        for delta in deltas {
            sum += delta;
            assert_eq!(scene.cache.incr(&at, *delta, None).expect("it counts"), sum);
            assert_eq!(scene.read(&at), Some((Owned::Integer(sum), Lifetime::Ms(DEFAULT_MS))));
        }
    }
}

pub(super) fn the_lifetime_of_incr_counts_at_creation_and_never_slides(scene: &Scene) {
    let (at, endless) = (scene.key("k"), scene.key("endless"));
    scene.cache.incr(&endless, 1, Some(0)).expect("it counts");
    scene.cache.incr(&at, 1, Some(100)).expect("it counts");
    scene.advance_ms(60);
    for ttl_ms in [Some(100), Some(0), None] {
        scene.cache.incr(&at, 1, ttl_ms).expect("it counts");
        assert_eq!(scene.cache.ttl(&at).expect("it is asked"), Some(Lifetime::Ms(40)));
        scene.cache.incr(&endless, 1, ttl_ms).expect("it counts");
        assert_eq!(scene.cache.ttl(&endless).expect("it is asked"), Some(Lifetime::Endless));
    }
    scene.advance_ms(40);
    assert_eq!(scene.cache.incr(&at, 1, Some(7)).expect("it counts"), 1, "the old one has expired");
    assert_eq!(scene.cache.ttl(&at).expect("it is asked"), Some(Lifetime::Ms(7)));
    // Also where bytes become an integer.
    scene.set(&at, b"5", 30);
    assert_eq!(scene.cache.incr(&at, 1, Some(99)).expect("it counts"), 6);
    assert_eq!(scene.cache.ttl(&at).expect("it is asked"), Some(Lifetime::Ms(30)));
}

pub(super) fn incr_takes_the_canonical_digits_of_an_integer_and_no_other_bytes(scene: &Scene) {
    // Keys short and long: where the item lies differs.
    for key in ["k", &"k".repeat(512)] {
        let at = scene.key(key);
        for integer in [0, 7, -7, 10, 1_234_567_890_123, i64::MAX, i64::MIN] {
            scene.set(&at, integer.to_string().as_bytes(), 0);
            assert_eq!(scene.cache.incr(&at, 0, None).expect("it counts"), integer);
            assert_eq!(scene.read(&at), Some((Owned::Integer(integer), Lifetime::Endless)));
        }
        let others: [&[u8]; 19] = [
            b"",
            b"-",
            b"-0",
            b"+1",
            b"01",
            b"-01",
            b"00",
            b" 1",
            b"1 ",
            b"1\n",
            b"1\0",
            b"1.0",
            b"1e3",
            b"0x1",
            b"--1",
            b"9223372036854775808",
            b"-9223372036854775809",
            "٣".as_bytes(),
            b"\xff",
        ];
        for other in others {
            scene.set(&at, other, 50);
            let text = other.escape_ascii();
            assert_eq!(kind(scene.cache.incr(&at, 1, None)), ErrorKind::WrongType, "\"{text}\"");
            assert_eq!(scene.read(&at), Some((bytes(other), Lifetime::Ms(50))), "\"{text}\"");
        }
    }
}

pub(super) fn an_incr_that_overflows_is_out_of_range(scene: &Scene) {
    let at = scene.key("k");
    for (from, delta) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN)] {
        scene.set(&at, from.to_string().as_bytes(), 0);
        assert_eq!(kind(scene.cache.incr(&at, delta, None)), ErrorKind::OutOfRange, "of the digits");
        assert_eq!(scene.read(&at), Some((bytes(from.to_string().as_bytes()), Lifetime::Endless)));
        assert_eq!(scene.cache.incr(&at, 0, None).expect("it counts"), from);
        assert_eq!(kind(scene.cache.incr(&at, delta, None)), ErrorKind::OutOfRange, "of the integer");
        assert_eq!(scene.read(&at), Some((Owned::Integer(from), Lifetime::Endless)));
    }
}

pub(super) fn incr_is_atomic_under_many_threads(scene: &Scene) {
    const THREADS: i64 = 16;
    const EACH: i64 = 2_000;
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                let at = scene.key("k");
                start.wait();
                let mut last = 0;
                for _ in 0..EACH {
                    let sum = scene.cache.incr(&at, 1, None).expect("it counts");
                    assert!(sum > last, "each sum is answered once, and later ones are larger");
                    last = sum;
                }
            });
        }
    });
    assert_eq!(scene.cache.incr(&scene.key("k"), 0, None).expect("it counts"), THREADS * EACH);
}

pub(super) fn set_replaces_value_and_lifetime(scene: &Scene) {
    let at = scene.key("k");
    let large = vec![1; 100_000];
    let values: [(&[u8], i64); 8] = [
        (b"short", 5),
        (&large, 0),
        (&large[..99_999], 3),
        (b"", 9),
        (&[2; 200], 8),
        (&[3; 200], 0),
        (b"x", 1),
        (&large, 2),
    ];
    for (value, ttl_ms) in values {
        scene.set(&at, value, ttl_ms);
        let lifetime = if ttl_ms == 0 { Lifetime::Endless } else { Lifetime::Ms(ttl_ms) };
        assert!(scene.read(&at) == Some((bytes(value), lifetime)), "{} bytes", value.len());
    }
    scene.set(&at, b"v", 1_000);
    scene.set(&at, b"v", 10);
    scene.advance_ms(10);
    assert_eq!(scene.read(&at), None, "the earlier end counts");
    scene.set(&at, b"v", 10);
    scene.set(&at, b"v", 1_000);
    scene.advance_ms(10);
    assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Ms(990))), "the later end counts");
}

pub(super) fn remove_and_exists_tell_whether_the_item_is_there(scene: &Scene) {
    let (at, other) = (scene.key("k"), scene.key("other"));
    scene.set(&other, b"v", 0);
    let there = || scene.cache.exists(&at).expect("it is asked");
    let remove = || scene.cache.remove(&at).expect("it is removed");
    assert!(!there() && !remove());
    scene.set(&at, b"v", 0);
    assert!(there() && remove());
    assert!(!there() && !remove());
    scene.cache.incr(&at, 1, None).expect("it counts");
    assert!(there() && remove());
    assert!(scene.cache.exists(&other).expect("it is asked"));
}

pub(super) fn what_has_expired_is_absent_for_every_function(scene: &Scene) {
    let at = scene.key("k");
    let cases: [(&str, &dyn Fn()); 8] = [
        ("get", &|| assert_eq!(scene.read(&at), None)),
        ("exists", &|| assert!(!scene.cache.exists(&at).expect("it is asked"))),
        ("ttl", &|| assert_eq!(scene.cache.ttl(&at).expect("it is asked"), None)),
        ("remove", &|| assert!(!scene.cache.remove(&at).expect("it is removed"))),
        ("incr", &|| assert_eq!(scene.cache.incr(&at, 1, Some(50)).expect("it counts"), 1)),
        ("usage", &|| assert_eq!(scene.cache.usage().expect("it is counted"), [])),
        ("remove_plugin", &|| assert_eq!(scene.cache.remove_plugin("a").expect("it is removed"), 0)),
        ("expire", &|| {
            for ttl_ms in [0, 5, -1] {
                let expired = scene.cache.expire(&at, ttl_ms, ExpireIf::Always).expect("it is asked");
                assert_eq!(expired, Expired::Missing);
            }
        }),
    ];
    // Near and far ends are kept differently.
    for ttl_ms in [1, 63, 64, 1_000, 4_096, 3_600_000, 86_400_000_000] {
        for (what, is_absent) in cases {
            scene.set(&at, b"41", ttl_ms);
            scene.advance_ms(ttl_ms as u64 - 1);
            scene.clock.advance(Duration::from_micros(999));
            assert_eq!(scene.read(&at), Some((bytes(b"41"), Lifetime::Ms(1))), "{ttl_ms} ms, before {what}");
            scene.clock.advance(Duration::from_micros(1));
            is_absent();
            scene.cache.remove(&at).expect("what `incr` made is removed");
        }
    }
}

pub(super) fn lifetimes_do_not_follow_the_wall_clock(scene: &Scene) {
    let at = scene.key("k");
    scene.set(&at, b"v", 100);
    for wall_ms in [0, 4_000_000_000_000] {
        scene.clock.set_wall(wall_ms);
        assert_eq!(scene.read(&at), Some((bytes(b"v"), Lifetime::Ms(100))));
    }
}

pub(super) fn what_a_plugin_has_is_counted_and_removed_for_it_alone(scene: &Scene) {
    const ITEMS: RangeInclusive<u64> = 1..=200;
    let tenants = ["", "acme"].map(|name| scene.tenants.named(name));
    let keys: Vec<String> = ITEMS.map(|number| format!("k{number}")).collect();
    for plugin in 0..3 {
        for (tenant, key) in tenants.iter().flat_map(|tenant| keys.iter().map(move |key| (tenant, key))) {
            scene.set(&scene.at(plugin, tenant, "ns", key), &[b'v'; 300], 0);
        }
    }
    let usage = || {
        let mut usage = scene.cache.usage().expect("it is counted");
        usage.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        usage
            .into_iter()
            .map(|usage| (usage.plugin.to_string(), usage.items, usage.bytes))
            .collect::<Vec<_>>()
    };
    let full = usage();
    assert_eq!(full.len(), 3);
    for (plugin, items, bytes) in &full {
        assert_eq!(*items, 400, "{plugin}");
        assert!((400 * 302..400 * 1_000).contains(bytes), "{plugin}: {bytes} bytes");
    }
    assert_eq!(scene.cache.remove_plugin("ab").expect("it is removed"), 400);
    assert_eq!(scene.cache.remove_plugin("ab").expect("it is removed"), 0);
    assert_eq!(scene.cache.remove_plugin("nobody").expect("it is removed"), 0);
    assert_eq!(usage(), [full[0].clone(), full[2].clone()]);
    for (plugin, there) in [(0, true), (1, false), (2, true)] {
        for (tenant, key) in tenants.iter().flat_map(|tenant| keys.iter().map(move |key| (tenant, key))) {
            assert_eq!(scene.cache.exists(&scene.at(plugin, tenant, "ns", key)).expect("it is asked"), there);
        }
    }
}
