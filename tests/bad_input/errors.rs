//! What a failure leaves behind: its text, and nothing else. Asked by the plugin `asker`, whose manifest asks for
//! nothing.

use pintle::ErrorKind;
use pintle_abi::*;

use crate::rig::{Cases, Rig, Running, assert_says, own_plugin, relay};

fn asker() -> Running {
    Rig::of(&own_plugin("asker")).with(&relay("a")).start_well()
}

fn asked(running: &Running, method: &str) -> Cases {
    Cases::read(&running.ask("asker.run", method, "").unwrap_or_else(|error| panic!("{method}: {error}")))
}

#[test]
fn contract_33_and_calls_6_a_service_that_the_manifest_did_not_ask_for_is_denied_with_the_line_to_add() {
    let denied = |function: &str| {
        let (service, _) = function.split_once('.').expect("it is one of a service");
        format!(
            "plugin \"asker\": it may not call {function}: add \"{service}\": {{}} to \"services\" in its manifest"
        )
    };
    let texts: Vec<_> = [
        ("emit", "events.emit"),
        ("subscribe", "events.subscribe"),
        ("unsubscribe", "events.unsubscribe"),
        ("emit_sync", "events.emit_sync"),
        ("cron", "scheduler.cron"),
        ("interval", "scheduler.interval"),
        ("once", "scheduler.once"),
        ("remove", "scheduler.remove"),
        ("cache_get", "cache.get"),
        ("cache_get_into", "cache.get"), // one grant for both
        ("cache_set", "cache.set"),
        ("cache_remove", "cache.remove"),
        ("cache_exists", "cache.exists"),
        ("cache_incr", "cache.incr"),
        ("cache_expire", "cache.expire"),
        ("cache_ttl", "cache.ttl"),
        ("cache_get_many", "cache.get"),
        ("cache_set_many", "cache.set"),
        ("cache_set_absent", "cache.set"),
        ("cache_invalidate", "cache.invalidate"),
        ("cache_invalidate_tag", "cache.invalidate"),
        ("cache_clear", "cache.clear"),
        ("cache_keys", "cache.keys"),
        ("cache_stats", "cache.stats"),
        ("storage_set", "storage.set"),
        ("storage_get", "storage.get"),
        ("storage_exists", "storage.exists"),
        ("storage_keys", "storage.keys"),
        ("storage_remove", "storage.remove"),
        ("storage_clear", "storage.clear"),
        ("storage_get_into", "storage.get"),
        ("storage_incr", "storage.incr"),
        ("storage_expire", "storage.expire"),
        ("storage_batch", "storage.batch"),
        ("storage_watch", "storage.watch"),
        ("storage_unwatch", "storage.watch"),
        ("storage_stats", "storage.stats"),
    ]
    .map(|(case, function)| (case, denied(function)))
    .into();
    let mut expected: Vec<_> =
        texts.iter().map(|(case, text)| (*case, PINTLE_DENIED, text.as_str())).collect();
    let call =
        "plugin \"asker\": it may not call \"a.ping\": add it to \"services\": { \"call\": [\"a.ping\"] }";
    expected.extend([("call", PINTLE_DENIED, call), ("log", PINTLE_OK, ""), ("config", PINTLE_OK, "")]);
    let running = asker();
    asked(&running, "denied").are(&expected);
    assert_eq!(running.info("a").counters.handled, 0);
}

#[test]
fn contract_34_service_answers_for_built_in_tables_and_is_silent_about_what_is_not_there() {
    let running = asker();
    let cases = asked(&running, "service");
    cases.are(&[
        ("log", PINTLE_OK, ""),
        ("cache", PINTLE_OK, ""),
        ("longer", PINTLE_NOT_FOUND, "no service \"pintle.log\" of major 1 that reaches 49 bytes"),
        ("other_major", PINTLE_NOT_FOUND, "no service \"pintle.log\" of major 2"),
        ("nobodys", PINTLE_NOT_FOUND, "no service \"pintle.teleport\" of major 1"),
        ("empty", PINTLE_NOT_FOUND, "no service \"\""),
    ]);
    for same in ["log_is_the_table", "cache_is_the_table", "still_the_cache"] {
        assert_eq!(cases.number(same), 1, "{same}");
    }
    assert!(!running.has_line(&["teleport"]), "nobody is told of a question");
}

#[test]
fn contract_39_sizes_in_an_array_are_equal_and_are_the_stride() {
    let running = asker();
    asked(&running, "arrays").are(&[
        ("unequal", PINTLE_INVALID_ARGUMENT, "element 1 has size 48, the first one 56: they must be equal"),
        ("second_zero", PINTLE_INVALID_ARGUMENT, "element 1 has size 0, the first one 56"),
        ("longer", PINTLE_OK, ""),
        ("longer_set", PINTLE_UNSUPPORTED, "it sets a member that this host does not know yet"),
    ]);
    running.wait_for_line(&["\"message\":\"longer\"", "\"n\":1"]);
    assert!(
        !running.has_line(&["\"message\":\"n\""]),
        "a record was written although its fields were refused"
    );
}

#[test]
fn contract_75_outputs_of_a_call_that_fails_are_not_written() {
    let cases = asked(&asker(), "outputs");
    for case in [
        "wrong_type_integer",
        "wrong_type_number",
        "wrong_type_boolean",
        "not_found",
        "bad_level",
        "bad_field",
        "stale_hold",
        "stale_remaining",
        "stale_scope",
        "no_service",
    ] {
        assert_eq!(cases.number(case), 77, "{case}");
    }
}

#[test]
fn contract_70_an_empty_value_is_one_empty_piece_and_no_value_is_none() {
    let cases = asked(&asker(), "sinks");
    for (case, expected) in
        [("empty_pieces", 1), ("empty_bytes", 0), ("full_bytes", 5), ("missing_pieces", 0)]
    {
        assert_eq!(cases.number(case), expected, "{case}");
    }
}

#[test]
fn contract_26_and_contract_27_last_error_is_of_this_thread_and_this_context_and_success_keeps_it() {
    let cases = asked(&asker(), "errors");
    let not_found = PINTLE_NOT_FOUND;
    cases.are(&[
        ("first", not_found, "config value `/first` is not there"),
        ("after_success", not_found, "config value `/first` is not there"),
        ("other_context", PINTLE_STALE_HANDLE, "the context or handle is not valid"),
        ("after_other_context", not_found, "config value `/first` is not there"),
        ("elsewhere", not_found, "config value `/elsewhere` is not there"),
        ("after_elsewhere", not_found, "config value `/first` is not there"),
        ("second", not_found, "config value `/second` is not there"),
    ]);
    for before in ["before", "elsewhere_before"] {
        assert_eq!(cases.number(before), i64::from(not_found), "{before}");
    }
}

#[test]
fn contract_28_set_error_goes_with_its_own_calls_failure_only() {
    let running = asker();
    let fails = |method: &str| running.ask("asker.run", method, "").expect_err("it fails");
    running.ask("asker.run", "say", "").expect("an error's text is no error");
    let parts = &["plugin \"asker\": \"asker.run.silent\" failed (CONFLICT) and did not say why"];
    assert_says(&fails("silent"), ErrorKind::Conflict, parts);
    let error = fails("twice");
    assert_eq!(
        error.to_string(),
        "plugin \"asker\": the second  [31m",
        "the last one, on one line, without escapes"
    );
    assert_says(&fails("silent"), ErrorKind::Conflict, parts);
    assert_eq!(fails("long").to_string().len(), "plugin \"asker\": ".len() + 4096);
}
