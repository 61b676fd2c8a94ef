//! One item at a time: JSON, lifetimes, numbers, reading into a buffer, statistics.

use super::version;
use crate::keeper::{ask, expect, keeper, until};

#[test]
fn storage_11_what_is_no_json_text_is_refused_with_its_place_and_nothing_is_written() {
    let (_place, host) = keeper();
    let refused = |problem: &str| {
        format!("2 argument `value`: is no JSON text, and the options say that it is: {problem} version=7777")
    };
    expect(&host, "", &[("sput k {\"a\":[1,-2.5e3,null,\"%c3%a4\"]} json", "0 version=…")]);
    let table = [
        ("%-", "EOF while parsing a value at line 1 column 0"),
        ("{\"a\":1,}", "key must be a string at line 1 column 8"),
        ("[1,%0a,2]", "expected value at line 2 column 1"),
        ("[]%20[]", "trailing characters at line 1 column 4"),
        ("NaN", "expected value at line 1 column 1"),
        ("01", "invalid number at line 1 column 2"),
        ("'a'", "expected value at line 1 column 1"),
        ("%ef%bb%bf1", "expected value at line 1 column 1"),
        ("[%0a\"%ff\"]", "not UTF-8 at line 2 column 2"),
        ("\"%01\"", "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 1"),
    ];
    for (value, problem) in table {
        assert_eq!(ask(&host, "", &format!("sput k {value} json")), [refused(problem)], "{value}");
    }
    expect(&host, "", &[("sget k", "0 {\"a\":[1,-2.5e3,null,\"%c3%a4\"]} version=…")]);
    // As deep as it fits: nobody's stack ends.
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    expect(
        &host,
        "",
        &[(&format!("sput deep {deep} json"), "0 version=…"), ("sput k no-json", "0 version=…")],
    );
}

#[test]
fn storage_7_an_item_whose_lifetime_is_over_is_absent_and_the_rest_keep_theirs() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("sput k v", "0 version=…"),
            ("slife k", "0 endless"),
            ("sput k v ttl=155000000", "0 version=…"),
            ("sput k w keep", "0 version=…"),
            ("slife k", "0 15…"),
            ("sput k w", "0 version=…"),
            ("slife k", "0 endless"),
            (
                "sput k v ttl=-1",
                "8 argument `ttl_ms`: -1 ms from now is no time that an item can end at version=7777",
            ),
            ("sput k v ttl=9223372036854775807", "8 …"),
            ("sput new v keep", "0 version=…"),
            ("slife new", "0 endless"),
            ("sexpire k 155000000", "0 1"),
            ("slife k", "0 15…"),
            ("sexpire k 0", "0 1"),
            ("slife k", "0 endless"),
            ("sexpire k 9223372036854775807", "8 …"),
            ("sexpire absent 5", "0 0"),
            ("sexpire absent -5", "0 0"),
            ("sexpire k -1", "0 1"),
            ("sexists k", "0 0"),
            ("sexpire %- 1", "2 argument `key`: it is empty…"),
            ("sput short v ttl=1", "0 version=…"),
            ("sincr counter 1 ttl=155000000", "0 1 version=…"),
            ("sincr counter 1 ttl=1", "0 2 version=…"),
            ("slife counter", "0 15…"),
        ],
    );
    until("it expires", || ask(&host, "", "sexists short") == ["0 0"]);
    expect(
        &host,
        "",
        &[("sget short", "1 the storage has no item \"short\" in this scope"), ("skeys s %- 0", "0 next=")],
    );
    assert!(ask(&host, "", "slife counter")[0].starts_with("0 15"), "a lifetime of a counter never slides");
}

#[test]
fn storage_6_incr_counts_from_nothing_and_refuses_what_is_no_number() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("sincr n 5", "0 5 version=…"),
            ("sincr n -7", "0 -2 version=…"),
            ("sget n", "0 -2 version=…"),
            ("sput n 9223372036854775806", "0 version=…"),
            ("sincr n 1", "0 9223372036854775807 version=…"),
            ("sincr n 1", "8 …"),
            ("sget n", "0 9223372036854775807 version=…"),
            ("sput text 007", "0 version=…"),
            ("sincr text 1", "7 …"),
            ("sget text", "0 007 version=…"),
            ("sincr n 1 version=0", "6 …"),
            ("sincr other 1 version=0", "0 1 version=…"),
            ("sincr n 1 ttl=-1", "8 …"),
        ],
    );
    let conflict = &ask(&host, "", "sincr other 1 version=0")[0];
    let there = &ask(&host, "", "sget other")[0];
    assert_eq!(version(conflict), version(there), "a conflict tells the version that there is");
    assert!(conflict.contains(" 7777 version="), "no sum is told: {conflict}");
}

#[test]
fn a_value_is_read_into_a_buffer_or_its_length_and_what_is_known_are_told() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("sput k value", "0 version=…"),
            ("sinto k 64", "0 len=5 untouched=59 known=1 value"),
            ("sinto k 5", "0 len=5 untouched=59 known=1 value"),
            (
                "sinto k 4",
                "5 the value has 5 bytes, the buffer has room for 4: pass one of that size len=5 untouched=64 known=1 ",
            ),
            ("sinto k 0", "5 …"),
            (
                "sinto none 64",
                "1 the storage has no item \"none\" in this scope len=4711 untouched=64 known=0 ",
            ),
            ("sput empty %-", "0 version=…"),
            ("sinto empty 0", "0 len=0 untouched=64 known=1 "),
        ],
    );
}

#[test]
fn statistics_are_of_the_scope_and_tell_its_limits_and_the_newest_version() {
    let (_place, host) = keeper();
    expect(
        &host,
        "t",
        &[("sput a 12345", "0 version=…"), ("sput bc 1", "0 version=…"), ("sremove bc", "0 1")],
    );
    let newest = version(&ask(&host, "", "sput elsewhere x")[0]);
    let told = format!("0 items=1 bytes=6 most_items=0 most_bytes=0 version={newest}");
    assert_eq!(ask(&host, "t", "sstats"), [told.as_str()]);
    assert_eq!(ask(&host, "nobody", "sstats"), [told.replace("items=1 bytes=6", "items=0 bytes=0")]);
}

#[test]
fn what_is_wrong_with_an_argument_is_told_by_its_name() {
    let (_place, host) = keeper();
    let table = [
        ("key", "2 argument `key`: the pointer is null, the length is 3: null goes with length 0 only"),
        ("sink", "2 argument `out`: its `write` is null: pass a sink such as pintle_buf_sink(&buf)"),
        ("info", "2 argument `info`: its `size` is 4, set it to sizeof(pintle_storage_info)"),
        ("exists", "2 argument `exists`: the pointer is null: pass where the result is to be written"),
        ("len", "2 argument `len`: the pointer is null: pass where the result is to be written"),
        ("buf", "2 argument `buf`: the pointer is null, the length is 8: null goes with length 0 only"),
        ("stats", "2 argument `stats`: the pointer is null: pass where the result is to be written"),
        ("stats-size", "2 argument `stats`: its `size` is 7, set it to sizeof(pintle_storage_stats)"),
        ("short", "0 items=0 bytes=0"),
        (
            "flags",
            "15 argument `options`: this host does not know the flags 0x40: update the host or leave them out",
        ),
        ("options-size", "2 argument `options`: its `size` is 4097, set it to the sizeof of the struct"),
        (
            "newer",
            "15 argument `options`: it sets a member that this host does not know yet: leave it 0 or update the host",
        ),
        (
            "ttl-twice",
            "2 argument `options`: its flags have PINTLE_STORAGE_TTL and PINTLE_STORAGE_KEEP_TTL: only one of them is taken",
        ),
        (
            "incr-json",
            "2 argument `options`: an incr takes PINTLE_STORAGE_IF_VERSION and PINTLE_STORAGE_TTL, not the flags 0x8: leave them out",
        ),
        ("handler", "2 argument `handler`: the pointer is null: pass the function to be called"),
        ("prefix", "2 argument `prefix`: the pointer is null, the length is 3: null goes with length 0 only"),
        (
            "watch-flags",
            "15 argument `options`: this host does not know the flags 0x2: update the host or leave them out",
        ),
        ("no-watch", "4 …"),
        ("longer", "0"),
    ];
    for (fault, told) in table {
        expect(&host, "", &[(&format!("wrong {fault}"), told), ("sremove k", "0 …")]);
    }
}
