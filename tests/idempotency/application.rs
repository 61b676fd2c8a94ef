//! What an application sees of its plugins' operations, and forgets.

use std::time::{Duration, SystemTime};

use pintle::{ErrorKind, idempotency::IdempotencyState};

use crate::rig::{Place, ask, expect, once, token};

#[test]
fn an_application_looks_at_operations_and_starts_none() {
    let (_place, host) = once();
    let operations = host.idempotency("once", "acme").expect("it is loaded");
    assert_eq!((operations.plugin(), operations.tenant()), ("once", "acme"));
    let look = || operations.get("charge", "k").expect("it can be read");
    assert_eq!(look(), None);
    let before = SystemTime::now() - Duration::from_millis(1);
    let token = token(&expect(&host, "acme", "begin charge k print", "0 started attempt=1"));
    let record = look().expect("it was begun");
    assert_eq!((record.state, record.attempt), (IdempotencyState::InProgress, 1));
    assert!(record.left <= Duration::from_secs(60) && record.result.is_empty(), "{record:?}");
    assert!(record.begun >= before && record.begun <= SystemTime::now(), "{record:?}");
    let of_nobody = host.idempotency("once", "").expect("it is loaded");
    assert_eq!(of_nobody.get("charge", "k").expect("it can be read"), None);
    ask(&host, "acme", &format!("complete {token} receipt"));
    let record = look().expect("it is done");
    assert_eq!((record.state, &record.result[..]), (IdempotencyState::Done, &b"receipt"[..]));
    assert!(record.left > Duration::from_secs(86_000), "{record:?}");
    for (operation, key) in [("", "k"), ("charge", ""), ("charge", "a\0b")] {
        let error = operations.get(operation, key).expect_err("it is none");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

#[test]
fn what_an_application_forgets_can_be_begun_anew() {
    let (_place, host) = once();
    let operations = host.idempotency("once", "").expect("it is loaded");
    assert!(!operations.forget("charge", "k").expect("it can be written"));
    let first = token(&ask(&host, "", "begin charge k print"));
    assert!(operations.forget("charge", "k").expect("it can be written"));
    expect(&host, "", &format!("complete {first} late"), "6 this start counts no more");
    let second = token(&expect(&host, "", "begin charge k other", "0 started attempt=1 token="));
    ask(&host, "", &format!("fail {second} 1 declined"));
    assert_eq!(
        operations.get("charge", "k").expect("it can be read").expect("it failed").state,
        IdempotencyState::Failed
    );
    assert!(operations.forget("charge", "k").expect("it can be written"));
    expect(&host, "", "begin charge k print", "0 started attempt=1 token=");
}

#[test]
fn operations_of_a_plugin_that_is_not_loaded_can_be_looked_at() {
    let place = Place::new();
    let host = place.started();
    ask(&host, "acme", "begin charge k print");
    host.stop();
    let host = place.build();
    let operations = host.idempotency("once", "acme").expect("it has begun something");
    assert!(operations.get("charge", "k").expect("it can be read").is_some());
    let error = host.idempotency("nobody", "").expect_err("nobody knows it");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    host.stop();
    let error = operations.get("charge", "k").expect_err("the host has stopped");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
