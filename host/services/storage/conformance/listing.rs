//! Listing and clearing.

use super::{super::Page, Bed, Tried};
use crate::error::ErrorKind;

pub(in super::super) fn storage_9_listing_is_by_literal_prefix_in_byte_order<B: Bed>() {
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

pub(in super::super) fn storage_10_pages_go_on_where_they_were_whatever_is_deleted<B: Bed>() {
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
    assert_eq!(tried.page("n/", &next, 10).expect("it can be read"), Page::default());
}

pub(in super::super) fn storage_10_a_page_that_is_full_to_the_last_key_is_the_last<B: Bed>() {
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

pub(in super::super) fn storage_12_clear_empties_the_scope_and_no_other<B: Bed>() {
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
    assert_eq!([0, 1, 2, 3].map(|scope| tried.counts(scope)), [(0, 0), (0, 0), (3, 18), (3, 18)]);
}
