//! What may be kept, and for whom: any bytes, in scopes that never meet.

use super::{Bed, LARGEST, Tried};
use crate::error::ErrorKind;

pub(in super::super) fn everywhere_2_a_value_has_up_to_4_mib<B: Bed>() {
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

pub(in super::super) fn everywhere_3_an_empty_value_is_a_value_and_any_byte_is_kept<B: Bed>() {
    let tried = Tried::<B>::one();
    let every: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\0", b"a\0b", b"\xff\xfe", b"123", &every] {
        tried.set("a", value);
        assert!(tried.exists("a"));
        assert_eq!(tried.get("a").map(|(value, _)| value).as_deref(), Some(value));
        assert_eq!(tried.keys_in(0, ""), ["a"]);
    }
}

pub(in super::super) fn everywhere_4_no_names_can_be_chosen_so_that_scopes_meet<B: Bed>() {
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
