//! What a plugin passes to the functions of the database: each wrong argument is named, and nothing is done.

use pintle_abi::*;

use crate::rig::{Cases, Rig, own_plugin};

#[test]
fn contract_66_67_68_and_contract_38_of_the_database_wrong_arguments_are_named_and_change_nothing() {
    let running = Rig::of(&own_plugin("querier")).start_well();
    let told = running.ask("querier.run", "bad", "").expect("it answers");
    let cases = Cases::read(&told);
    let expected = expected();
    let expected: Vec<_> =
        expected.iter().map(|(name, status, text)| (name.as_str(), *status, text.as_str())).collect();
    cases.are(&expected);
    assert_eq!((cases.number("untouched"), cases.number("rows")), (1, 1));
}

type Case = (String, PintleStatus, String);

fn expected() -> Vec<Case> {
    let bad = PINTLE_INVALID_ARGUMENT;
    let mut all: Vec<Case> = ["made", "read", "longer_options", "longer_info", "null_rows"]
        .map(|name| (name.to_owned(), PINTLE_OK, String::new()))
        .into();
    all.extend(texts());
    all.extend(sizes());
    let initialised = "which this host does not know: was it initialised";
    for (of, status, says) in [
        ("kind", PINTLE_UNSUPPORTED, format!("value 0 has the `kind` 5, {initialised}")),
        ("kind_max", PINTLE_UNSUPPORTED, format!("value 0 has the `kind` 4294967295, {initialised}")),
        ("reserved", PINTLE_UNSUPPORTED, format!("value 0 has the `reserved` 9, {initialised}")),
        ("text_null", bad, "the pointer is null, the length is 3: null goes with length 0 only".to_owned()),
        ("blob_null", bad, "the pointer is null, the length is 3: null goes with length 0 only".to_owned()),
        ("text_huge", bad, "the length is 18446744073709551615, no memory".to_owned()),
        ("text_utf8", bad, "value 0 is no UTF-8 from byte 3 on: pass it as a BLOB".to_owned()),
    ] {
        all.push((format!("{of}_bound"), status, format!("argument `values`: {says}")));
        all.push((format!("{of}_default"), status, format!("argument `columns`: {says}")));
    }
    let (new, large, range) = (PINTLE_UNSUPPORTED, PINTLE_TOO_LARGE, PINTLE_OUT_OF_RANGE);
    let negative = "a time is not negative; 0 is the default";
    let single: [(&str, PintleStatus, &str); 30] = [
        ("values_null", bad, "argument `values`: the pointer is null, the count is not 0"),
        ("values_many", large, "argument `values`: 100001 values, at most 100000 are taken"),
        ("values_max", large, "argument `values`: 18446744073709551615 values, at most 100000 are taken"),
        ("values_none", bad, "argument `values`: the statement has placeholders for 1 values, 0 were passed"),
        (
            "values_spare",
            bad,
            "argument `values`: the statement has placeholders for 0 values, 1 were passed",
        ),
        ("flags_options", new, "argument `options`: this host does not know the flags 0x1"),
        ("flags_begin", new, "argument `options`: this host does not know the flags 0x2"),
        ("flags_migrate", new, "argument `options`: this host does not know the flags 0x2"),
        ("negative_timeout", range, "argument `timeout_ms`: -1, "),
        ("negative_wait", range, "argument `wait_ms`: -1, "),
        ("negative_migrate", range, "argument `timeout_ms`: -1, "),
        ("negative_begin", range, negative),
        ("late_migrate", range, "argument `timeout_ms`: 3600001, at most 3600000 are taken"),
        ("newer_options", new, "argument `options`: it sets a member that this host does not know yet"),
        ("unequal_step", bad, "argument `migrations`: element 1 has size 8, the first one 40"),
        ("unequal_columns", bad, "argument `columns`: element 1 has size 8, the first one 40"),
        (
            "reserved_column",
            new,
            "argument `columns`: column 0 has the `reserved` 3, which this host does not know",
        ),
        ("null_migrations", bad, "argument `migrations`: the pointer is null, the count is not 0"),
        ("null_columns", bad, "argument `columns`: the pointer is null, the count is not 0"),
        ("many_migrations", large, "argument `migrations`: 10001 elements, at most 10000 are taken"),
        ("many_columns", large, "argument `columns`: 257 elements, at most 256 are taken"),
        ("null_tx", bad, "argument `tx`: the pointer is null: pass where the result is to be written"),
        ("null_stats", bad, "argument `stats`: the pointer is null"),
        ("null_created", bad, "argument `columns`: there are none, 1 to 256 are taken"),
        ("stale_execute", PINTLE_STALE_HANDLE, "the context or handle is not valid"),
        ("stale_begin", PINTLE_STALE_HANDLE, "the context or handle is not valid"),
        ("stale_migrate", PINTLE_STALE_HANDLE, "the context or handle is not valid"),
        ("stale_stats", PINTLE_STALE_HANDLE, "the context or handle is not valid"),
        ("size_7_info", bad, "argument `info`: its `size` is 7"),
        ("size_7_stats", bad, "argument `stats`: its `size` is 7"),
    ];
    all.extend(single.map(|(name, status, text)| (name.to_owned(), status, text.to_owned())));
    all
}

/// Each text of each function, wrong in the same way.
fn texts() -> Vec<Case> {
    let places = [
        ("execute", "sql"),
        ("query", "sql"),
        ("query_one", "sql"),
        ("script", "sql"),
        ("migration_name", "name"),
        ("migration_sql", "sql"),
        ("table", "table"),
        ("column", "columns"),
    ];
    let wrong = [
        ("null", "the pointer is null, the length is 3: null goes with length 0 only"),
        ("huge", "the length is 18446744073709551615, no memory"),
        ("utf8", "not UTF-8 from byte 4 on"),
        ("nul", "a NUL at byte 4: the length must not count a terminator"),
    ];
    let cases = wrong.iter().flat_map(|(of, says)| {
        places.iter().map(move |(place, argument)| {
            let text = format!("argument `{argument}`: {says}");
            (format!("{of}_{place}"), PINTLE_INVALID_ARGUMENT, text)
        })
    });
    cases.collect()
}

/// Structs whose size is none. What is 7 of an info stands with the others.
fn sizes() -> Vec<Case> {
    let places = [
        ("options", "options"),
        ("info", "info"),
        ("begin", "options"),
        ("migrate", "options"),
        ("migrated", "info"),
        ("step", "migrations"),
        ("columns", "columns"),
        ("stats", "stats"),
    ];
    let mut cases = Vec::new();
    for size in [0, 7, 4097] {
        for (place, argument) in places {
            if size == 7 && ["info", "stats"].contains(&place) {
                continue;
            }
            let text = format!("argument `{argument}`: its `size` is {size}");
            cases.push((format!("size_{size}_{place}"), PINTLE_INVALID_ARGUMENT, text));
        }
    }
    cases
}
