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
const TEXTS: [(&str, &str); 27] = [
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
];

/// Texts that may be anything: what is no UTF-8 is replaced in them, and what is no letter is escaped.
const FREE_TEXTS: [&str; 3] = ["log_message", "log_field_text", "set_error"];

/// The cases of all texts, wrong in the same way, and those of a table.
fn with_texts(cases: &Cases, problem: &str, others: &[Expected<'_>]) {
    let said: Vec<_> = TEXTS.map(|(_, argument)| format!("argument `{argument}`: {problem}")).into();
    let texts =
        TEXTS.iter().zip(&said).map(|((case, _), said)| (*case, PINTLE_INVALID_ARGUMENT, said.as_str()));
    cases.are(&texts.chain(others.iter().copied()).collect::<Vec<_>>());
}

/// The same, where free texts are taken.
fn with_wrong_letters(cases: &Cases, problem: &str) {
    let said: Vec<_> = TEXTS.map(|(_, argument)| format!("argument `{argument}`: {problem}")).into();
    let texts = TEXTS.iter().zip(&said).map(|((case, _), said)| match FREE_TEXTS.contains(case) {
        true => (*case, PINTLE_OK, ""),
        false => (*case, PINTLE_INVALID_ARGUMENT, said.as_str()),
    });
    cases.are(&texts.collect::<Vec<_>>());
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
            // Allowed by their pages.
            ("service_itself", PINTLE_OK, ""),
            ("emit_empty_null", PINTLE_OK, ""),
            ("sync_all_null", PINTLE_OK, ""),
        ],
    );
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
    with_texts(
        &probed("lengths"),
        half,
        &[
            ("emit_data", bad, &data),
            ("sync_data", bad, &data),
            ("call_request", bad, &request),
            ("emit_data_max", bad, &data_max),
            ("emit_topic_max", bad, &topic_max),
            ("log_count", PINTLE_TOO_LARGE, count),
            ("logger_count", PINTLE_TOO_LARGE, count),
        ],
    );
}

#[test]
fn contract_38_contract_40_and_contract_41_sizes_flags_and_values_of_no_known_host_are_refused() {
    let (bad, new) = (PINTLE_INVALID_ARGUMENT, PINTLE_UNSUPPORTED);
    let cases = probed("options");
    cases.are(&[
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
        ("subscribe_flag", new, "argument `options`: this host does not know the flags 0x1"),
        ("job_overlap", new, "argument `options.overlap`: this host does not know the value 99"),
        ("job_reserved", new, "argument `options.reserved`: this host does not know the value 1"),
        ("field_size_zero", bad, "argument `fields`: its `size` is 0"),
        ("field_size_huge", bad, "argument `fields`: its `size` is 4097"),
        ("field_kind", bad, "argument `fields.kind`: 99 is no PINTLE_FIELD_"),
        ("log_level", bad, "argument `level`: 99, PINTLE_LOG_TRACE (0) to PINTLE_LOG_FATAL (5) are taken"),
        ("scope_size_zero", bad, "argument `out`: its `size` is 0, set it to sizeof(pintle_scope_info)"),
        ("scope_size_short", PINTLE_OK, ""),
    ]);
    assert_eq!(cases.number("scope_generation_untouched"), 1, "CONTRACT-40: the host writes no further");
}

#[test]
fn everywhere_8_calls_6_and_events_1_what_is_just_outside_of_a_limit_or_grant_is_refused() {
    let (bad, range, large) = (PINTLE_INVALID_ARGUMENT, PINTLE_OUT_OF_RANGE, PINTLE_TOO_LARGE);
    probed("limits").are(&[
        ("emit_1_mib", PINTLE_OK, ""),
        ("emit_more", large, "argument `data`: 1048577 bytes, at most 1048576 are taken"),
        ("sync_1_mib", PINTLE_OK, ""),
        ("sync_more", large, "argument `data`: 1048577 bytes, at most 1048576 are taken"),
        ("sync_topic_257", bad, "argument `topic`: 257 bytes, at most 256 are taken"),
        ("sync_wildcard", bad, "argument `topic`: \"out.*\" has a `*` at byte 4"),
        ("sync_not_granted", PINTLE_DENIED, "plugin \"probe\" may not publish \"other\""),
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
            "plugin \"probe\" may not publish \"other\": add it to \"services\": { \"events\": { \"publish\": [\"other\"] } }",
        ),
        (
            "subscribe_not_granted",
            PINTLE_DENIED,
            "plugin \"probe\" may not subscribe to \"other.>\": add it to \"services\": { \"events\": { \"subscribe\": [\"other.>\"] } }",
        ),
        ("subscribe_bad_pattern", bad, "\"probe.>.x\" has a `>` at byte 6, it may only be the last token"),
        (
            "call_not_granted",
            PINTLE_DENIED,
            "plugin \"probe\" may not call \"b.ping\": add it to \"services\": { \"call\": [\"b.ping\"] }",
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
    ]);
}

#[test]
fn contract_32_no_table_is_null_and_one_that_is_not_built_yet_has_only_its_size() {
    let cases = probed("tables");
    for (table, size) in [
        ("host", size_of::<PintleHost>()),
        ("log", size_of::<PintleLog>()),
        ("config", size_of::<PintleConfig>()),
        ("events", size_of::<PintleEvents>()),
        ("scheduler", size_of::<PintleScheduler>()),
        ("cache", size_of::<PintleCache>()),
        ("storage", size_of::<PintleStorage>()),
        ("database", 4),
        ("idempotency", 4),
        ("files", 4),
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
