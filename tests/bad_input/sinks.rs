//! Sinks: those of a plugin that refuse or call the host, and the host's own, used too late or wrongly.

use pintle::ErrorKind;
use pintle_abi::*;

use crate::contexts;
use crate::rig::{Rig, Running, assert_says, plugin, relay};

fn probe() -> Running {
    Rig::of(&plugin("probe", &[])).with(&relay("a")).start_well()
}

#[test]
fn contract_70_contract_71_contract_72_and_contract_79_sinks_that_refuse_call_the_host_or_have_a_thread_call_it()
 {
    let refused = (PINTLE_CANCELLED, "the sink that was passed refused the result with status 99");
    let inside = (PINTLE_REENTRANT, "the host was called from inside a sink's `write`");
    let cases = probe().probe("sinks", "");
    let items = ["in_cache", "in_storage", "in_keys"].map(|around| {
        ["cache_get", "cache_set", "storage_get", "storage_set", "storage_keys"]
            .map(|called| (format!("{around}_{called}"), inside.0, inside.1))
    });
    // CONTRACT-79: nothing is locked while a sink is written to, the item itself included.
    let beside = ["beside_cache_", "beside_cache_large_", "beside_storage_", "beside_keys_"]
        .map(|around| contexts::ITEM_USES.map(|called| (format!("{around}{called}"), PINTLE_OK, "")));
    let items = items.iter().flatten().chain(beside.iter().flatten());
    let items = items.map(|(case, status, text)| (case.as_str(), *status, *text));
    let others = [
        ("refused_get", refused.0, refused.1),
        ("refused_text", refused.0, refused.1),
        ("refused_scope", refused.0, refused.1),
        ("refused_call", refused.0, refused.1),
        ("inside_emit", inside.0, inside.1),
        ("inside_scope", inside.0, inside.1),
        ("inside_config", inside.0, inside.1),
        ("inside_log", inside.0, inside.1),
        ("inside_set_error", PINTLE_OK, ""),
        ("get_around", PINTLE_OK, ""),
        ("afterwards", PINTLE_OK, ""),
        ("refused_cache_get", refused.0, refused.1),
        ("refused_storage_get", refused.0, refused.1),
        ("refused_keys_out", refused.0, refused.1),
        ("refused_keys_next", refused.0, refused.1),
        ("around_in_cache", PINTLE_OK, ""),
        ("around_in_storage", PINTLE_OK, ""),
        ("around_in_keys", PINTLE_OK, ""),
    ];
    cases.are(&others.into_iter().chain(items).collect::<Vec<_>>());
    for right in
        ["infos_untouched", "intact_in_cache", "intact_in_storage", "items_kept_of_sinks", "sizes_in_turn"]
    {
        assert_eq!(cases.number(right), 1, "{right}");
    }
    for (number, expected) in [
        ("empty_pieces", 4),
        ("empty_bytes", 0),
        ("missing_pieces", 0),
        ("taken_cache", 5),
        ("taken_cache_large", 1 << 20),
        ("taken_storage", 100_000),
        ("taken_keys", 5),
    ] {
        assert_eq!(cases.number(number), expected, "{number}");
    }
    assert_eq!(cases.number("refused_last_error"), i64::from(PINTLE_CANCELLED));
    assert_eq!(cases.number("inside_last_error"), i64::from(PINTLE_OK));
}

#[test]
fn contract_73_a_reply_sink_is_stale_after_its_call() {
    let running = probe();
    running.probe("reply_stash", "");
    running.probe("reply_late", "").are(&[(
        "late",
        PINTLE_STALE_HANDLE,
        "the context or handle is not valid: its call has ended",
    )]);
}

#[test]
fn contract_63_a_reply_takes_1_mib_and_neither_null_nor_forged_sinks() {
    let stale = (PINTLE_STALE_HANDLE, "the context or handle is not valid");
    let bad = PINTLE_INVALID_ARGUMENT;
    // It answers at all although four writes to its reply failed: nothing of them is in it.
    probe().probe("reply_bad", "").are(&[
        ("null", bad, "argument `piece`: the pointer is null, the length is 5"),
        ("length_2_63", bad, "argument `piece`: the length is 9223372036854775808"),
        ("data_null", stale.0, stale.1),
        ("data_forged", stale.0, stale.1),
    ]);
}

/// A handler that takes no notice of it does not pass a part of its reply for the whole.
#[test]
fn contract_63_a_reply_above_1_mib_fails_the_call_also_where_the_handler_answers_ok() {
    let running = probe();
    for (pieces, size) in [("", 1_048_577), ("in pieces", 1_048_576)] {
        let error = running.ask("probe.run", "reply_more", pieces).expect_err("it is too large");
        let parts = &["plugin \"probe\": \"probe.run.reply_more\" answered more than 1 MiB"];
        assert_says(&error, ErrorKind::TooLarge, parts);
        let more = format!("a reply has at most 1 MiB, and {size} bytes more do not fit: the call fails");
        running.probe("reply_told", "").are(&[
            ("before", PINTLE_OK, ""),
            ("more", PINTLE_TOO_LARGE, &more),
            ("behind", PINTLE_TOO_LARGE, "a reply has at most 1 MiB"),
        ]);
    }
    running.probe("tables", "");
}

#[test]
fn a_result_can_be_written_to_the_reply_as_it_is() {
    let running = probe();
    for (what, expected) in [("cache", "value"), ("storage", "value"), ("keys", "kept\0")] {
        let reply = running.ask("probe.run", "reply_passed", what).expect("it fits");
        assert_eq!(reply, expected, "{what}");
        running.probe("reply_told", "").are(&[("passed", PINTLE_OK, "")]);
    }
    let error = running.ask("probe.run", "reply_passed", "more").expect_err("it does not fit");
    assert_says(&error, ErrorKind::TooLarge, &["\"probe.run.reply_passed\" answered more than 1 MiB"]);
    let refused = "the sink that was passed refused the result with status 9";
    running.probe("reply_told", "").are(&[("passed", PINTLE_CANCELLED, refused)]);
}

#[test]
fn contract_63_a_request_above_1_mib_is_too_large_before_anything_runs() {
    let running = probe();
    let most = "x".repeat(1 << 20);
    running.ask("a.ping", "ping", &most).expect("1 MiB is taken");
    let error = running.ask("a.ping", "ping", &(most + "x")).expect_err("one byte more is not");
    assert_says(&error, ErrorKind::TooLarge, &["the request has 1048577 bytes, at most 1 MiB is taken"]);
    assert_eq!(running.info("a").counters.handled, 1);
}
