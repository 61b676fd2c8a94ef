//! What a plugin passes to the host's functions: pointers, lengths, texts, sizes, flags, limits. Each table has every
//! case of one method of `probe`, with the status and a part of what `last_error` says.

use pintle_abi::*;

use crate::rig::{Cases, Expected, Rig, plugin, relay};

/// A fresh probe's answer.
fn probed(method: &str) -> Cases {
    let running = Rig::of(&plugin("probe", &[])).with(&relay("a")).start_well();
    let cases = running.probe(method, "");
    // Whatever was passed, the plugin and the host go on.
    running.probe("tables", "");
    cases
}

/// Every text of every function, with the name that the error gives the argument.
const TEXTS: [(&str, &str); 64] = [
    ("emit_topic", "topic"),
    ("emit_id", "options.id"),
    ("emit_subject", "options.subject"),
    ("emit_content_type", "options.content_type"),
    ("emit_key", "options.key"),
    ("sync_key", "options.key"),
    ("sync_topic", "topic"),
    ("subscribe_pattern", "pattern"),
    ("subscribe_name", "options.name"),
    ("cron_name", "name"),
    ("cron_rule", "rule"),
    ("cron_zone", "options.zone"),
    ("interval_name", "name"),
    ("once_name", "name"),
    ("config_get", "pointer"),
    ("config_text", "pointer"),
    ("config_integer", "pointer"),
    ("config_number", "pointer"),
    ("config_boolean", "pointer"),
    ("call_service", "service"),
    ("call_method", "method"),
    ("service_id", "id"),
    ("log_message", "message"),
    ("log_field_name", "fields.name"),
    ("log_field_text", "fields.text"),
    ("logger_field_name", "fields.name"),
    ("set_error", "message"),
    ("cache_get_ns", "ns"),
    ("cache_get_key", "key"),
    ("cache_get_into_ns", "ns"),
    ("cache_get_into_key", "key"),
    ("cache_set_ns", "ns"),
    ("cache_set_key", "key"),
    ("cache_remove_ns", "ns"),
    ("cache_remove_key", "key"),
    ("cache_exists_ns", "ns"),
    ("cache_exists_key", "key"),
    ("cache_incr_ns", "ns"),
    ("cache_incr_key", "key"),
    ("cache_expire_ns", "ns"),
    ("cache_expire_key", "key"),
    ("cache_ttl_ns", "ns"),
    ("cache_ttl_key", "key"),
    ("cache_get_many_ns", "ns"),
    ("cache_get_many_keys", "keys"),
    ("cache_set_many_ns", "ns"),
    ("cache_set_many_key", "key"),
    ("cache_set_many_tags", "options.tags"),
    ("cache_set_tags", "options.tags"),
    ("cache_set_absent_ns", "ns"),
    ("cache_set_absent_key", "key"),
    ("cache_invalidate_ns", "ns"),
    ("cache_invalidate_pattern", "pattern"),
    ("cache_invalidate_tag", "tag"),
    ("cache_clear_ns", "ns"),
    ("cache_keys_ns", "ns"),
    ("cache_keys_prefix", "prefix"),
    ("cache_keys_cursor", "cursor"),
    ("storage_get_key", "key"),
    ("storage_set_key", "key"),
    ("storage_remove_key", "key"),
    ("storage_exists_key", "key"),
    ("storage_keys_prefix", "prefix"),
    ("storage_keys_cursor", "cursor"),
];

/// Texts that may be anything: what is no UTF-8 is replaced in them, and what is no letter is escaped.
const FREE_TEXTS: [&str; 3] = ["log_message", "log_field_text", "set_error"];

/// The cases of all texts, wrong in the same way, and those of a table.
fn with_texts(cases: &Cases, problem: &str, others: &[Expected<'_>]) {
    let said: Vec<_> = TEXTS.map(|(_, argument)| format!("argument `{argument}`: {problem}")).into();
    let texts =
        TEXTS.iter().zip(&said).map(|((case, _), said)| (*case, PINTLE_INVALID_ARGUMENT, said.as_str()));
    cases.are(&texts.chain(others.iter().copied()).collect::<Vec<_>>());
    kept(cases, "texts");
}

/// The items of cache and storage that the bad calls were about are as they were.
#[track_caller]
fn kept(cases: &Cases, of: &str) {
    assert_eq!(cases.number(&format!("items_kept_of_{of}")), 1, "EVERYWHERE-5: {of}");
}

/// The same, where free texts are taken.
fn with_wrong_letters(cases: &Cases, problem: &str) {
    let said: Vec<_> = TEXTS.map(|(_, argument)| format!("argument `{argument}`: {problem}")).into();
    let texts = TEXTS.iter().zip(&said).map(|((case, _), said)| match FREE_TEXTS.contains(case) {
        true => (*case, PINTLE_OK, ""),
        false => (*case, PINTLE_INVALID_ARGUMENT, said.as_str()),
    });
    cases.are(&texts.collect::<Vec<_>>());
    kept(cases, "texts");
}

#[test]
fn contract_66_and_contract_69_null_with_a_length_and_null_outputs_are_invalid() {
    let cases = probed("pointers");
    let bad = PINTLE_INVALID_ARGUMENT;
    let null = "the pointer is null, the length is 5: null goes with length 0 only";
    let (data, request) = (format!("argument `data`: {null}"), format!("argument `request`: {null}"));
    let out = |name: &str| {
        format!("argument `{name}`: the pointer is null: pass where the result is to be written")
    };
    let (value, held, ms, logger) = (out("value"), out("held"), out("ms"), out("logger"));
    let (table, scope) = (out("table"), out("out"));
    let handler = "argument `handler`: the pointer is null: pass the function to be called";
    let sink = "argument `out`: its `write` is null: pass a sink such as pintle_buf_sink(&buf)";
    let (stored, buffer) = (format!("argument `value`: {null}"), format!("argument `buf`: {null}"));
    let (exists, ttl, len) = (out("exists"), out("ttl_ms"), out("len"));
    let (statuses, stats) = (out("statuses"), out("stats"));
    with_texts(
        &cases,
        "the pointer is null, the length is 3: null goes with length 0 only",
        &[
            ("emit_data", bad, &data),
            ("sync_data", bad, &data),
            ("call_request", bad, &request),
            ("call_reply", bad, "argument `reply`: its `write` is null"),
            ("subscribe_handler", bad, handler),
            ("cron_handler", bad, handler),
            ("interval_handler", bad, handler),
            ("once_handler", bad, handler),
            ("config_get_out", bad, sink),
            ("config_text_out", bad, sink),
            ("config_integer_out", bad, &value),
            ("config_number_out", bad, &value),
            ("config_boolean_out", bad, &value),
            ("log_fields", bad, "argument `fields`: the pointer is null, the count is not 0"),
            ("log_enabled_out", bad, &scope),
            ("logger_out", bad, &logger),
            ("hold_out", bad, &held),
            ("scope_out", bad, &scope),
            ("remaining_out", bad, &ms),
            ("service_table", bad, &table),
            ("cache_set_value", bad, &stored),
            ("storage_set_value", bad, &stored),
            ("cache_get_out", bad, sink),
            ("storage_get_out", bad, sink),
            ("storage_keys_out", bad, sink),
            ("cache_get_into_buf", bad, &buffer),
            ("cache_get_into_len", bad, &len),
            ("cache_exists_out", bad, &exists),
            ("cache_ttl_out", bad, &ttl),
            ("storage_exists_out", bad, &exists),
            ("get_many_keys", bad, "argument `keys`: the pointer is null, the count is not 0"),
            ("get_many_each", bad, "argument `each`: the pointer is null: pass the function"),
            ("set_many_entries", bad, "argument `entries`: the pointer is null, the count is not 0"),
            ("set_many_statuses", bad, &statuses),
            ("set_many_call", PINTLE_OK, ""),
            ("cache_set_null_tags", bad, "argument `options.tags`: the pointer is null, the count is not 0"),
            ("cache_keys_out", bad, sink),
            ("cache_stats_out", bad, &stats),
            // Allowed by their pages.
            ("cache_get_no_info", PINTLE_OK, ""),
            ("cache_get_into_asked_size", PINTLE_BUFFER_TOO_SMALL, "the value has 5 bytes"),
            ("cache_set_empty", PINTLE_OK, ""),
            ("cache_get_into_empty", PINTLE_OK, ""),
            ("cache_expire_null", PINTLE_OK, ""),
            ("cache_remove_null", PINTLE_OK, ""),
            ("cache_incr_null", PINTLE_OK, ""),
            ("get_many_nothing", PINTLE_OK, ""),
            ("set_many_nothing", PINTLE_OK, ""),
            ("cache_keys_no_next", PINTLE_OK, ""),
            ("cache_invalidate_null", PINTLE_OK, ""),
            ("cache_invalidate_tag_null", PINTLE_OK, ""),
            ("cache_clear_null", PINTLE_OK, ""),
            ("storage_get_no_info", PINTLE_OK, ""),
            ("storage_set_empty", PINTLE_OK, ""),
            ("storage_remove_null", PINTLE_OK, ""),
            ("storage_keys_no_next", PINTLE_OK, ""),
            ("storage_clear_null", PINTLE_OK, ""),
            ("service_itself", PINTLE_OK, ""),
            ("emit_empty_null", PINTLE_OK, ""),
            ("sync_all_null", PINTLE_OK, ""),
        ],
    );
    assert_eq!(cases.number("into_len_untouched"), 1);
    assert_eq!(cases.number("set_many_value"), i64::from(bad), "the answer to the one entry");
    kept(&cases, "pointers");
    assert_eq!(cases.number("last_error_out"), i64::from(bad), "last_error remembers no failure of its own");
}

#[test]
fn contract_67_text_that_is_not_utf8_is_invalid() {
    with_wrong_letters(&probed("utf8"), "not UTF-8 from byte 4 on");
}

#[test]
fn contract_67_text_with_a_nul_inside_is_invalid() {
    with_wrong_letters(&probed("nul"), "a NUL at byte 4: the length must not count a terminator");
}

#[test]
fn contract_68_a_length_of_2_63_is_invalid_and_nothing_is_read() {
    let bad = PINTLE_INVALID_ARGUMENT;
    let (half, all) =
        ("the length is 9223372036854775808, no memory", "the length is 18446744073709551615, no memory");
    let (data, request) = (format!("argument `data`: {half}"), format!("argument `request`: {half}"));
    let (data_max, topic_max) = (format!("argument `data`: {all}"), format!("argument `topic`: {all}"));
    let count = "argument `fields`: 9223372036854775808 elements, at most 64 are taken";
    let (value, value_max) = (format!("argument `value`: {half}"), format!("argument `value`: {all}"));
    let (buffer, buffer_max) = (format!("argument `buf`: {half}"), format!("argument `buf`: {all}"));
    let key_max = format!("argument `key`: {all}");
    let of = |name: &str, count: &str| format!("argument `{name}`: {count} elements, at most 1024 are taken");
    let cases = probed("lengths");
    with_texts(
        &cases,
        half,
        &[
            ("emit_data", bad, &data),
            ("sync_data", bad, &data),
            ("call_request", bad, &request),
            ("emit_data_max", bad, &data_max),
            ("emit_topic_max", bad, &topic_max),
            ("log_count", PINTLE_TOO_LARGE, count),
            ("logger_count", PINTLE_TOO_LARGE, count),
            ("cache_set_value", bad, &value),
            ("storage_set_value", bad, &value),
            ("cache_get_into_cap", bad, &buffer),
            ("cache_set_value_max", bad, &value_max),
            ("storage_set_value_max", bad, &value_max),
            ("cache_get_into_cap_max", bad, &buffer_max),
            ("cache_get_key_max", bad, &key_max),
            ("storage_get_key_max", bad, &key_max),
            ("get_many_huge", PINTLE_TOO_LARGE, &of("keys", "9223372036854775808")),
            ("get_many_max", PINTLE_TOO_LARGE, &of("keys", "18446744073709551615")),
            ("get_many_1025", PINTLE_TOO_LARGE, &of("keys", "1025")),
            ("set_many_huge", PINTLE_TOO_LARGE, &of("entries", "9223372036854775808")),
            ("set_many_1025", PINTLE_TOO_LARGE, &of("entries", "1025")),
            ("tags_max", bad, "argument `options.tags`: 18446744073709551615 tags, an item has at most 16"),
            ("get_many_1024", PINTLE_OK, ""),
            ("set_many_1024", PINTLE_OK, ""),
        ],
    );
    assert_eq!((cases.number("many_untouched"), cases.number("many_told")), (1, 1024));
    assert_eq!(cases.number("into_untouched"), 1);
    kept(&cases, "lengths");
}

#[test]
fn contract_38_contract_40_and_contract_41_sizes_flags_and_values_of_no_known_host_are_refused() {
    let (bad, new) = (PINTLE_INVALID_ARGUMENT, PINTLE_UNSUPPORTED);
    let cases = probed("options");
    let items = of_items();
    let items = items.iter().map(|(case, status, text)| (case.as_str(), *status, *text));
    let others = [
        ("emit_size_zero", bad, "argument `options`: its `size` is 0, set it to the sizeof of the struct"),
        // An older plugin's struct is shorter, and a newer one's longer, as long as it asks for nothing new.
        ("emit_size_older", PINTLE_OK, ""),
        ("emit_tail_zero", PINTLE_OK, ""),
        ("emit_tail_set", new, "argument `options`: it sets a member that this host does not know yet"),
        ("sync_tail_set", new, "argument `options`: it sets a member that this host does not know yet"),
        ("sync_flag", new, "argument `options`: this host does not know the flags 0x80000000"),
        (
            "sync_wait",
            bad,
            "argument `options.wait_ms`: 1, emit_sync takes 0 only: `timeout_ms` says how long it waits",
        ),
        ("sync_zeroes", PINTLE_OK, ""),
        ("emit_size_huge", bad, "argument `options`: its `size` is 4097"),
        ("emit_flag", new, "argument `options`: this host does not know the flags 0x80000000"),
        ("emit_wait_negative", bad, "argument `options.wait_ms`: -1, 0 to 60000 are taken"),
        ("emit_wait_long", bad, "argument `options.wait_ms`: 60001, 0 to 60000 are taken"),
        ("subscribe_policy", new, "argument `options.policy`: this host does not know the value 99"),
        ("subscribe_capacity", bad, "argument `capacity`: is 65537, at most 65536"),
        ("subscribe_flag", new, "argument `options`: this host does not know the flags 0x4"),
        ("job_overlap", new, "argument `options.overlap`: this host does not know the value 99"),
        ("job_reserved", new, "argument `options.reserved`: this host does not know the value 1"),
        ("job_flag", new, "argument `options`: this host does not know the flags 0x80000000"),
        ("field_size_zero", bad, "argument `fields`: its `size` is 0"),
        ("field_size_huge", bad, "argument `fields`: its `size` is 4097"),
        ("field_kind", bad, "argument `fields.kind`: 99 is no PINTLE_FIELD_"),
        ("log_level", bad, "argument `level`: 99, PINTLE_LOG_TRACE (0) to PINTLE_LOG_FATAL (5) are taken"),
        ("scope_size_zero", bad, "argument `out`: its `size` is 0, set it to sizeof(pintle_scope_info)"),
        ("scope_size_short", PINTLE_OK, ""),
        ("entry_size_7", bad, "argument `entries`: its `size` is 7"),
        ("entry_size_huge", bad, "argument `entries`: its `size` is 4097"),
        ("entry_unequal", bad, "argument `entries`: element 1 has size 0, the first one 48"),
        ("entry_reserved", new, "argument `entries.reserved`: this host does not know the value 1"),
        ("entry_tail_set", new, "argument `entries`: it sets a member that this host does not know yet"),
        ("entry_tail_zero", PINTLE_OK, ""),
        ("stats_size_7", bad, "argument `stats`: its `size` is 7, set it to sizeof(pintle_cache_stats)"),
        ("stats_size_16", PINTLE_OK, ""),
        ("expire_condition_5", new, "argument `condition`: this host does not know the value 5"),
        ("expire_condition_max", new, "argument `condition`: this host does not know the value 4294967295"),
    ];
    cases.are(&others.into_iter().chain(items).collect::<Vec<_>>());
    assert_eq!(cases.number("scope_generation_untouched"), 1, "CONTRACT-40: the host writes no further");
    assert_eq!(cases.number("stats_written_16"), 1, "CONTRACT-40: the host writes no further");
    assert_eq!(cases.number("statuses_untouched"), 1, "CONTRACT-75: outputs are written only on OK");
    for function in ["cache_set", "cache_incr", "cache_set_absent", "cache_set_many", "storage_set", "many"] {
        kept(&cases, function);
    }
    for (function, whole) in [("cache_get", 40), ("cache_get_into", 40), ("storage_get", 40)] {
        for size in [0, 7, 4097, u32::MAX, 8, 12, 16, 64, 4096] {
            let refused = !(8..=4096).contains(&size);
            let written = if refused { 4 } else { size.min(whole) };
            let case = format!("{function}_written_{size}");
            assert_eq!(cases.number(&case), i64::from(written), "CONTRACT-40: {case}");
        }
    }
}

/// Options and infos of cache and storage: each function with each case.
fn of_items() -> Vec<(String, PintleStatus, &'static str)> {
    let (bad, new) = (PINTLE_INVALID_ARGUMENT, PINTLE_UNSUPPORTED);
    let options = [
        ("size_zero", bad, "argument `options`: its `size` is 0, set it to the sizeof of the struct"),
        ("size_7", bad, "argument `options`: its `size` is 7"),
        ("size_huge", bad, "argument `options`: its `size` is 4097"),
        ("tail_set", new, "argument `options`: it sets a member that this host does not know yet"),
        ("flag", new, "argument `options`: this host does not know the flags 0x10"),
        ("flag_beside_a_known_one", new, "argument `options`: this host does not know the flags 0x80000000"),
        ("size_older", PINTLE_OK, ""),
        ("tail_zero", PINTLE_OK, ""),
        ("value_without_its_flag", PINTLE_OK, ""),
    ];
    let mut cases = Vec::new();
    // What an older plugin's struct does not reach is 0: no expiry, and version 0 is "not there".
    let there = (PINTLE_CONFLICT, "the item \"kept\" is there already");
    let fine = (PINTLE_OK, "");
    for (function, (status, text)) in [
        ("cache_set", fine),
        ("cache_incr", fine),
        ("cache_set_absent", fine),
        ("cache_set_many", fine),
        ("storage_set", there),
    ] {
        let last = ("flag_of_what_it_does_not_reach", status, text);
        for (case, status, text) in options.into_iter().chain([last]) {
            cases.push((format!("{function}_{case}"), status, text));
        }
    }
    let infos = [
        ("cache_get", "set it to sizeof(pintle_cache_info)"),
        ("cache_get_into", "set it to sizeof(pintle_cache_info)"),
        ("storage_get", "set it to sizeof(pintle_storage_info)"),
    ];
    for (function, problem) in infos {
        for size in [0, 7, 4097, u32::MAX] {
            cases.push((format!("{function}_info_{size}"), bad, problem));
        }
        for size in [8, 12, 16, 64, 4096] {
            cases.push((format!("{function}_info_{size}"), PINTLE_OK, ""));
        }
    }
    cases
}

#[test]
fn everywhere_8_calls_6_and_events_1_what_is_just_outside_of_a_limit_or_grant_is_refused() {
    let (bad, range, large) = (PINTLE_INVALID_ARGUMENT, PINTLE_OUT_OF_RANGE, PINTLE_TOO_LARGE);
    let cases = probed("limits");
    let lifetime = "1 to 3153600000000 milliseconds are taken, and 0 for no expiry";
    let cursor = "argument `cursor`: is none of this listing";
    cases.are(&[
        ("emit_1_mib", PINTLE_OK, ""),
        ("emit_more", large, "argument `data`: 1048577 bytes, at most 1048576 are taken"),
        ("sync_1_mib", PINTLE_OK, ""),
        ("sync_more", large, "argument `data`: 1048577 bytes, at most 1048576 are taken"),
        ("sync_topic_257", bad, "argument `topic`: 257 bytes, at most 256 are taken"),
        ("sync_wildcard", bad, "argument `topic`: \"out.*\" has a `*` at byte 4"),
        ("sync_not_granted", PINTLE_DENIED, "plugin \"probe\": it may not publish \"other\""),
        ("sync_timeout_negative", range, "argument `timeout_ms`: -1, 1 to 3600000 are taken"),
        ("sync_timeout_long", range, "argument `timeout_ms`: 3600001, 1 to 3600000 are taken"),
        ("sync_timeout_most", PINTLE_OK, ""),
        ("call_more", large, "argument `request`: 1048577 bytes, at most 1048576 are taken"),
        ("emit_topic_257", bad, "argument `topic`: 257 bytes, at most 256 are taken"),
        ("emit_17_tokens", bad, "argument `topic`: has 17 tokens, at most 16 are allowed"),
        ("emit_topic_empty", bad, "argument `topic`: is empty, at least one token"),
        ("emit_empty_token", bad, "argument `topic`: \"out..x\" has an empty token, number 2 at byte 4"),
        ("emit_wildcard", bad, "argument `topic`: \"out.*\" has a `*` at byte 4, which only patterns may have"),
        (
            "emit_not_granted",
            PINTLE_DENIED,
            "plugin \"probe\": it may not publish \"other\": add it to \"services\": { \"events\": { \"publish\": [\"other\"] } }",
        ),
        (
            "subscribe_not_granted",
            PINTLE_DENIED,
            "plugin \"probe\": it may not subscribe to \"other.>\": add it to \"services\": { \"events\": { \"subscribe\": [\"other.>\"] } }",
        ),
        ("subscribe_bad_pattern", bad, "\"probe.>.x\" has a `>` at byte 6, it may only be the last token"),
        (
            "call_not_granted",
            PINTLE_DENIED,
            "plugin \"probe\": it may not call \"b.ping\": add it to \"services\": { \"call\": [\"b.ping\"] }",
        ),
        ("call_timeout_negative", range, "argument `timeout_ms`: -1, 1 to 3600000 are taken"),
        ("call_timeout_long", range, "argument `timeout_ms`: 3600001, 1 to 3600000 are taken"),
        ("log_64_fields", PINTLE_OK, ""),
        ("log_65_fields", large, "argument `fields`: 65 elements, at most 64 are taken"),
        ("interval_zero", range, "argument `every_ms`: 0 ms is outside of 1 to 31622400000 ms (366 days)"),
        ("interval_negative", range, "argument `every_ms`: -1 ms is outside"),
        ("interval_long", range, "argument `every_ms`: 31622400001 ms is outside"),
        ("once_negative", range, "argument `delay_ms`: -1 ms is outside of 0 to 31622400000 ms"),
        ("once_min", range, "argument `delay_ms`: -9223372036854775808 ms is outside"),
        ("once_long", range, "argument `delay_ms`: 9223372036854775807 ms is outside"),
        ("cron_rule", bad, "argument `rule`: field 1 (minute), character 1: `61` is outside of 0 to 59"),
        ("config_pointer", bad, "argument `pointer`: not a JSON pointer: it is empty or begins with `/`"),
        ("config_missing", PINTLE_NOT_FOUND, "config value `/missing` is not there"),
        ("config_wrong_type", PINTLE_WRONG_TYPE, "config value `/n` is a number, not a string"),
        ("cache_set_ttl_min", range, lifetime),
        ("cache_set_ttl_max", range, lifetime),
        ("cache_incr_ttl_max", range, lifetime),
        ("cache_expire_ttl_max", range, lifetime),
        ("cache_set_stale_negative", range, "`stale_ms` is -1: 0 to 3153600000000 milliseconds are taken"),
        ("cache_set_error_max", range, "`error_ms` is 9223372036854775807: 0 to 3153600000000"),
        ("cache_set_version_max", PINTLE_CONFLICT, "not 18446744073709551615: nothing was written; read it again"),
        ("cache_set_there", PINTLE_CONFLICT, "the item is there, with version"),
        ("cache_keys_limit_max", bad, "argument `limit`: is 4294967295, at most 1000 are given"),
        ("cache_incr_text", PINTLE_WRONG_TYPE, "the item is no integer"),
        ("cache_incr_delta_min", range, "-1 and -9223372036854775808 make no 64-bit integer"),
        (
            "storage_set_version_max",
            PINTLE_CONFLICT,
            "18446744073709551615 was asked for: read it again, then write",
        ),
        ("storage_set_more", large, "argument `value`: 4194305 bytes, at most 4194304 are taken"),
        ("storage_set_4_mib", PINTLE_OK, ""),
        ("storage_keys_limit_max", bad, "argument `limit`: is 4294967295, at most 1000 are given"),
        ("storage_keys_prefix_512", PINTLE_OK, ""),
        ("storage_keys_prefix_513", bad, "argument `prefix`: 513 bytes, at most 512 are taken"),
        ("storage_keys_cursor_1025", bad, "argument `cursor`: 1025 bytes, at most 1024 are taken"),
        ("cursor_empty_key", bad, cursor),
        ("cursor_padded", bad, cursor),
        ("cursor_other_form", bad, cursor),
        ("cursor_nul", bad, cursor),
        ("cursor_no_utf8", bad, cursor),
        ("cursor_other_prefix", bad, cursor),
        ("cache_expire_min", PINTLE_OK, ""),
        ("cache_gone", PINTLE_NOT_FOUND, "the cache has no such item"),
    ]);
    kept(&cases, "limits");
    assert_eq!(cases.number("sum_untouched"), 1);
    assert_eq!(cases.number("version_told"), 1, "on CONFLICT the version that it has");
}

#[test]
fn contract_32_no_table_is_null_and_each_says_its_size() {
    let cases = probed("tables");
    for (table, size) in [
        ("host", size_of::<PintleHost>()),
        ("log", size_of::<PintleLog>()),
        ("config", size_of::<PintleConfig>()),
        ("events", size_of::<PintleEvents>()),
        ("scheduler", size_of::<PintleScheduler>()),
        ("cache", size_of::<PintleCache>()),
        ("storage", size_of::<PintleStorage>()),
        ("database", size_of::<PintleDatabase>()),
        ("idempotency", size_of::<PintleIdempotency>()),
        ("files", size_of::<PintleFiles>()),
        ("has_emit", 1),
        ("has_files", 1),
    ] {
        assert_eq!(cases.number(table), size as i64, "{table}");
    }
    assert_eq!(cases.number("abi_minor"), i64::from(PINTLE_ABI_MINOR));
}

#[test]
fn contract_44_a_status_that_the_host_does_not_know_is_a_failure() {
    let running = Rig::of(&plugin("probe", &[])).start_well();
    for (status, kind) in [
        (PINTLE_CONFLICT, pintle::ErrorKind::Conflict),
        (PINTLE_PANIC, pintle::ErrorKind::Panic),
        (4711, pintle::ErrorKind::Internal),
        (i32::MAX, pintle::ErrorKind::Internal),
    ] {
        let error = running.ask("probe.run", "fail", &status.to_string()).expect_err("it fails");
        crate::rig::assert_says(&error, kind, &["plugin \"probe\": probe was told to fail"]);
    }
}
