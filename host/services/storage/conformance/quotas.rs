//! Quotas, and what is counted.

use super::{
    super::{Batch, Lifetime, Quota, Quotas, Step},
    Bed, Tried,
};
use crate::error::ErrorKind;

/// What a step is answered under these quotas.
fn under<B: Bed>(tried: &Tried<B>, scope: usize, quotas: Quotas, step: Step<'_>) -> Result<(), ErrorKind> {
    let batch = Batch { steps: &[step], events: &[], jobs: &[], quotas };
    let done = tried.storage.apply(&tried.scopes.at(scope), &batch);
    done.map(drop).map_err(|refused| refused.error.kind())
}

const FULL: Result<(), ErrorKind> = Err(ErrorKind::Quota);

fn of_tenant(items: Option<u64>, bytes: Option<u64>) -> Quotas {
    Quotas { plugin: Quota::default(), tenant: Quota { items, bytes } }
}

fn of_plugin(items: Option<u64>, bytes: Option<u64>) -> Quotas {
    Quotas { plugin: Quota { items, bytes }, tenant: Quota::default() }
}

pub(in super::super) fn everywhere_11_more_items_than_allowed_are_a_quota<B: Bed>() {
    let scopes = [("meter", "acme"), ("meter", ""), ("other", "acme")];
    let tried = Tried::<B>::with(&scopes);
    let two = of_tenant(Some(2), None);
    assert_eq!(under(&tried, 0, two, Step::set("a", b"1")), Ok(()));
    assert_eq!(under(&tried, 0, two, Step::incr("b", 1)), Ok(()));
    assert_eq!(under(&tried, 0, two, Step::set("c", b"")), FULL);
    assert_eq!(under(&tried, 0, two, Step::incr("c", 1)), FULL);
    assert_eq!(under(&tried, 0, two, Step::set("a", b"another value")), Ok(()), "it is no other item");
    assert_eq!(under(&tried, 1, two, Step::set("c", b"")), Ok(()), "another tenant has a quota of its own");
    assert_eq!(under(&tried, 2, two, Step::set("c", b"")), Ok(()), "and so has another plugin");
    let three = of_plugin(Some(3), None);
    assert_eq!(under(&tried, 0, three, Step::set("c", b"")), FULL, "three are there, over all tenants");
    assert_eq!(under(&tried, 1, three, Step::set("d", b"")), FULL);
    assert_eq!(under(&tried, 2, three, Step::set("d", b"")), Ok(()));
    assert!(tried.remove("a"));
    assert_eq!(under(&tried, 1, three, Step::set("d", b"")), Ok(()), "there is room again");
    assert_eq!(tried.keys_in(0, ""), ["b"]);
    assert_eq!(tried.keys_in(1, ""), ["c", "d"]);
    assert_eq!(under(&tried, 0, of_tenant(Some(0), None), Step::set("x", b"")), FULL);
    assert_eq!(under(&tried, 0, of_tenant(Some(0), None), Step::check("x", 0)), Ok(()));
}

pub(in super::super) fn everywhere_11_more_bytes_than_allowed_are_a_quota<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "")]);
    let ten = of_tenant(None, Some(10));
    assert_eq!(under(&tried, 0, ten, Step::set("ä", b"12345678")), Ok(()), "keys count by their bytes");
    assert_eq!(under(&tried, 0, ten, Step::set("b", b"")), FULL);
    assert_eq!(under(&tried, 0, ten, Step::set("ä", b"123456789")), FULL);
    assert_eq!(under(&tried, 0, ten, Step::set("ä", b"1234567")), Ok(()));
    assert_eq!(under(&tried, 0, ten, Step::set("b", b"")), Ok(()));
    assert_eq!(under(&tried, 1, ten, Step::set("b", b"123456789")), Ok(()));
    let twenty = of_plugin(None, Some(20));
    assert_eq!(under(&tried, 0, twenty, Step::set("b", b"1")), FULL);
    assert_eq!(under(&tried, 1, twenty, Step::set("b", b"12345678")), Ok(()), "that is less");
    assert_eq!(under(&tried, 0, twenty, Step::set("b", b"1")), Ok(()));
    assert_eq!(under(&tried, 0, Quotas { plugin: twenty.plugin, ..ten }, Step::incr("b", 1)), Ok(()));
    assert_eq!(under(&tried, 0, Quotas { plugin: twenty.plugin, ..ten }, Step::incr("b", 8)), FULL, "10");
    assert_eq!(tried.get("b").expect("it is there").0, b"2");
}

/// An operator may set a quota below what is there.
pub(in super::super) fn everywhere_11_above_a_quota_what_makes_it_no_worse_is_allowed<B: Bed>() {
    let tried = Tried::<B>::one();
    for name in ["a", "b", "c", "d"] {
        tried.set(name, b"123456789");
    }
    let version = tried.get("a").expect("it was set").1.version;
    for quotas in [of_tenant(Some(2), Some(15)), of_plugin(Some(2), Some(15))] {
        let apply = |step| under(&tried, 0, quotas, step);
        assert_eq!(apply(Step::set("a", b"987654321")), Ok(()), "as large as before");
        assert_eq!(apply(Step::set("a", b"98765432")), Ok(()), "smaller");
        assert_eq!(apply(Step::set("a", b"987654321")), FULL, "larger than it is now");
        assert_eq!(apply(Step::expire("a", Lifetime::Endless)), Ok(()));
        assert_eq!(apply(Step::set("e", b"")), FULL);
        assert_eq!(apply(Step::remove("none")), Ok(()));
        tried.set("a", b"123456789");
    }
    assert!(tried.get("a").expect("it is there").1.version > version);
    let quotas = of_tenant(Some(2), Some(15));
    let swap = [Step::remove("d"), Step::set("e", b"12345678")];
    let batch = Batch { steps: &swap, events: &[], jobs: &[], quotas };
    tried.storage.apply(&tried.scopes.at(0), &batch).expect("as many items and fewer bytes");
    assert_eq!(tried.keys_in(0, ""), ["a", "b", "c", "e"]);
}

pub(in super::super) fn everywhere_11_what_has_expired_makes_room<B: Bed>() {
    let tried = Tried::<B>::one();
    let one = of_tenant(Some(1), Some(100));
    tried.set_for("a", b"1", Lifetime::Ms(1_000));
    assert_eq!(under(&tried, 0, one, Step::set("b", b"1")), FULL);
    tried.pass_until("there is room", || under(&tried, 0, one, Step::set("b", b"1")) == Ok(()));
    assert_eq!(under(&tried, 0, one, Step::set("c", b"1")), FULL);
    tried.clear(0);
    assert_eq!(under(&tried, 0, one, Step::set("c", b"1")), Ok(()));
}

pub(in super::super) fn everywhere_12_usage_is_what_is_there<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("meter", ""), ("other", "acme"), ("none", "")]);
    assert_eq!(tried.usage(), []);
    tried.set_in(0, "ab", b"123");
    tried.set_in(1, "ab", b"");
    tried.set_in(2, "ä", b"1");
    let row = |plugin: &str, tenant: &str, items, bytes| (plugin.to_owned(), tenant.to_owned(), items, bytes);
    let expected = [row("meter", "", 1, 2), row("meter", "acme", 1, 5), row("other", "acme", 1, 3)];
    assert_eq!(tried.usage(), expected);
    tried.set_in(0, "ab", b"1234567");
    tried.set_in(2, "ä", b"");
    tried = tried.restart();
    let expected = [row("meter", "", 1, 2), row("meter", "acme", 1, 9), row("other", "acme", 1, 2)];
    assert_eq!(tried.usage(), expected);
    assert_eq!([0, 1, 2, 3].map(|scope| tried.counts(scope)), [(1, 9), (1, 2), (1, 2), (0, 0)]);
    assert_eq!(tried.step(Step::incr("n", -100)).expect("it counts").value, -100);
    assert_eq!(tried.counts(0), (2, 14));
    tried.step(Step::expire("n", Lifetime::Ms(1_000))).expect("it is there");
    assert_eq!(tried.counts(0), (2, 14));
    assert!(tried.remove("n") && tried.remove("ab"));
    assert!(!tried.remove("ab"));
    tried.clear(2);
    assert_eq!(tried.usage(), [row("meter", "", 1, 2)]);
}
