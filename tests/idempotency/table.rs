//! What the functions of the table answer.

use crate::rig::{Place, ask, ask_of, begin_until_it_starts, expect, number, once, token};

const REFUSED: &str = "6 this start counts no more";

#[test]
fn idempotency_1_begin_tells_the_states_and_gives_the_result_to_all_who_come_later() {
    let (_place, host) = once();
    let started = expect(&host, "", "begin charge k print", "0 started attempt=1 token=");
    assert_eq!(number(&started, "left"), 60_000);
    let running = expect(&host, "", "begin charge k print", "0 progress attempt=1 left=");
    assert!((1..=60_000).contains(&number(&running, "left")), "{running}");
    assert_eq!(number(&running, "begun"), number(&started, "begun"));
    expect(&host, "", "begin charge k other", "0 mismatch attempt=1 left=");
    let token = token(&started);
    assert_eq!(ask(&host, "", &format!("complete {token} receipt")), "0");
    assert_eq!(ask(&host, "", &format!("complete {token} receipt")), "0", "the answer may have been lost");
    expect(&host, "", &format!("complete {token} other"), "6 the operation is over");
    for _ in 0..2 {
        let done = expect(&host, "", "begin charge k print", "0 done attempt=1 result=receipt/1 left=");
        assert!((86_000_000..=86_400_000).contains(&number(&done, "left")), "{done}");
    }
    expect(&host, "", "begin charge k other", "0 mismatch attempt=1 left=");
    expect(&host, "", "begin refund k other", "0 started");
    expect(&host, "acme", "begin charge k other", "0 started");
}

#[test]
fn idempotency_1_an_empty_result_is_one_empty_piece() {
    let (_place, host) = once();
    let token = token(&ask(&host, "", "begin charge k %-"));
    assert_eq!(ask(&host, "", &format!("complete {token} %-")), "0");
    expect(&host, "", "begin charge k %-", "0 done attempt=1 result=/1 left=");
    expect(&host, "", "get charge k", "0 done attempt=1 result=/1 left=");
}

#[test]
fn idempotency_2_of_64_threads_that_begin_one_key_one_starts() {
    let (_place, host) = once();
    for round in 0..10 {
        assert_eq!(ask(&host, "", &format!("race k{round}")), "started=1 progress=63 else=0");
    }
}

#[test]
fn idempotency_3_failures_are_kept_or_not() {
    let (_place, host) = once();
    let first = token(&ask(&host, "", "begin charge k print"));
    assert_eq!(ask(&host, "", &format!("fail {first} 0 busy")), "0");
    expect(&host, "", &format!("complete {first} late"), REFUSED);
    expect(&host, "", "get charge k", "1 no operation \"charge\" with the key \"k\"");
    let second = token(&expect(&host, "", "begin charge k other", "0 started attempt=1 token="));
    assert_ne!(first, second);
    for _ in 0..2 {
        assert_eq!(ask(&host, "", &format!("fail {second} 1 declined")), "0");
    }
    expect(&host, "", "begin charge k other", "0 failed attempt=1 result=declined/1 left=");
    expect(&host, "", "get charge k", "0 failed attempt=1 result=declined/1 left=");
    expect(&host, "", &format!("complete {second} late"), "6 the operation is over");
}

#[test]
fn idempotency_4_after_the_lease_another_takes_over_and_the_late_one_gets_conflict() {
    let (_place, host) = once();
    let first = token(&expect(&host, "t", "begin charge k print 20", "0 started attempt=1 token="));
    let second = begin_until_it_starts(&host, "t", "begin charge k print");
    assert!(second.starts_with("0 started attempt=2 over token="), "{second}");
    for late in [format!("complete {first} late"), format!("fail {first} 0 late"), format!("renew {first} 0")]
    {
        expect(&host, "t", &late, REFUSED);
    }
    assert_eq!(ask(&host, "t", &format!("complete {} receipt", token(&second))), "0");
    expect(&host, "t", &format!("complete {first} receipt"), REFUSED);
    expect(&host, "t", "begin charge k print", "0 done attempt=2 result=receipt/1");
}

#[test]
fn idempotency_4_a_token_is_of_its_own_plugin_and_tenant() {
    let place = Place::new().with("second", &[]);
    let host = place.started();
    let token = token(&ask(&host, "a", "begin charge k print"));
    for (plugin, tenant) in [("once", ""), ("once", "b"), ("second", "a")] {
        for command in
            [format!("complete {token} x"), format!("fail {token} 0 x"), format!("renew {token} 0")]
        {
            let answer = &ask_of(&host, plugin, tenant, &command)[0];
            assert!(answer.starts_with(REFUSED), "{plugin} for {tenant:?}: {command}: {answer}");
        }
    }
    assert_eq!(ask(&host, "a", &format!("complete {token} receipt")), "0");
    let answer = &ask_of(&host, "second", "a", "begin charge k print")[0];
    assert!(answer.starts_with("0 started attempt=1 token="), "{answer}");
}

#[test]
fn idempotency_5_renew_prolongs_the_lease() {
    let (_place, host) = once();
    let token = token(&ask(&host, "", "begin charge k print 10000"));
    assert_eq!(ask(&host, "", &format!("renew {token} 80000000")), "0");
    let left = number(&ask(&host, "", "begin charge k print"), "left");
    assert!((70_000_000..=80_000_000).contains(&left), "{left}");
    assert_eq!(ask(&host, "", &format!("renew {token} 0")), "0");
    let left = number(&ask(&host, "", "begin charge k print"), "left");
    assert!((1..=10_000).contains(&left), "as long as it was begun for: {left}");
}

#[test]
fn idempotency_6_get_looks_without_starting() {
    let (_place, host) = once();
    for _ in 0..2 {
        expect(&host, "", "get charge k", "1 no operation");
    }
    let token = token(&expect(&host, "", "begin charge k print", "0 started attempt=1 token="));
    expect(&host, "", "get charge k", "0 progress attempt=1 left=");
    expect(&host, "t", "get charge k", "1 no operation");
    assert_eq!(ask(&host, "", &format!("complete {token} receipt")), "0");
    expect(&host, "", "get charge k", "0 done attempt=1 result=receipt/1");
}

#[test]
fn idempotency_7_results_and_leases_outlive_the_host() {
    let (place, host) = once();
    let done = token(&ask(&host, "t", "begin charge done print"));
    let short = token(&ask(&host, "t", "begin charge short print 20"));
    let long = token(&ask(&host, "t", "begin charge long print"));
    ask(&host, "t", &format!("complete {done} receipt"));
    host.stop();
    let host = place.started();
    expect(&host, "t", "begin charge done print", "0 done attempt=1 result=receipt/1");
    expect(&host, "t", "begin charge long print", "0 progress attempt=1");
    assert_eq!(ask(&host, "t", &format!("complete {long} finished")), "0", "its token outlives the host too");
    // Who held it has died with the host.
    let taken = begin_until_it_starts(&host, "t", "begin charge short print");
    assert!(taken.starts_with("0 started attempt=2 over token="), "{taken}");
    expect(&host, "t", &format!("complete {short} late"), REFUSED);
}

#[test]
fn idempotency_7_settings_say_how_long_results_are_kept() {
    let place = Place::new().toml("[idempotency]\nlease_ms = 30000\nkeep_ms = 5000\nmax_result = 1024\n");
    let host = place.started();
    let started = ask(&host, "", "begin charge k print");
    assert_eq!(number(&started, "left"), 30_000);
    let token = token(&started);
    let refused =
        "9 argument `result`: 1025 bytes, at most 1024 are taken (idempotency.max_result in the settings)";
    assert_eq!(ask(&host, "", &format!("complete {token} %*1025")), refused);
    assert_eq!(ask(&host, "", &format!("complete {token} %*1024")), "0");
    let done = expect(&host, "", "begin charge k print", "0 done attempt=1 1024 bytes left=");
    assert!((1..=5_000).contains(&number(&done, "left")), "{done}");
}

#[test]
fn everywhere_2_results_fingerprints_and_names_keep_their_limits() {
    let (_place, host) = once();
    let token = token(&ask(&host, "", "begin %*128 %*512 %*256"));
    expect(
        &host,
        "",
        &format!("complete {token} %*1048577"),
        "9 argument `result`: 1048577 bytes, at most 1048576",
    );
    expect(
        &host,
        "",
        &format!("fail {token} 0 %*1048577"),
        "9 argument `error`: 1048577 bytes, at most 1048576",
    );
    assert_eq!(ask(&host, "", &format!("complete {token} %*1048576")), "0");
    expect(&host, "", "begin %*128 %*512 %*256", "0 done attempt=1 1048576 bytes");
    expect(&host, "", "begin %*129 k p", "2 argument `operation`: 129 bytes, 1 to 128 are taken");
    expect(&host, "", "begin o %*513 p", "2 argument `key`: 513 bytes, 1 to 512 are taken");
    expect(&host, "", "begin o k %*257", "9 argument `fingerprint`: 257 bytes, at most 256 are taken");
}

#[test]
fn contract_16_in_load_operations_are_not_begun() {
    let place = Place::new().toml(
        "[plugin.once]\nconfig = { load = \"begin o k p\\ncomplete 5 x\\nfail 5 0 x\\nrenew 5 0\\nget o k\" }\n",
    );
    let host = place.started();
    let answers = ask_of(&host, "once", "", "loaded");
    let refused = "14 a plugin does not act in `load` and `restore`: emit and write from `enable` on";
    assert_eq!(answers[..4], [refused; 4]);
    assert!(answers[4].starts_with("1 no operation"), "{answers:?}");
}

#[test]
fn contract_33_what_the_manifest_does_not_ask_for_is_denied() {
    let place = Place::new().with("second", &["-DASKS={ \"methods\": [\"get\"] }"]);
    let host = place.started();
    let answers = ask_of(&host, "second", "", "get o k\nbegin o k p\ncomplete 5 x\nfail 5 0 x\nrenew 5 0");
    assert!(answers[0].starts_with("1 "), "{answers:?}");
    for (answer, method) in answers[1..].iter().zip(["begin", "complete", "fail", "renew"]) {
        let said = format!("3 plugin \"second\": it may not call idempotency.{method}: add");
        assert!(answer.starts_with(&said), "{answer}");
    }
}
