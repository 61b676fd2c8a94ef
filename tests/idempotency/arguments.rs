//! Arguments that are wrong: each is answered with its status, names what is wrong, and changes nothing.

use crate::rig::{ask_of, once};

#[test]
fn everywhere_5_arguments_that_are_wrong_are_refused_and_change_nothing() {
    let (_place, host) = once();
    let told = ask_of(&host, "once", "", "bad");
    let expected = [
        "operation_null 2 argument `operation`: the pointer is null, the length is 3",
        "operation_empty 2 argument `operation`: it is empty",
        "operation_utf8 2 argument `operation`: not UTF-8 from byte 0 on",
        "key_null 2 argument `key`: the pointer is null, the length is 3",
        "key_nul 2 argument `key`: a NUL at byte 1",
        "fingerprint_null 2 argument `fingerprint`: the pointer is null, the length is 3",
        "info_null 2 argument `info`: the pointer is null",
        "info_size 2 argument `info`: its `size` is 0",
        "info_size 2 argument `info`: its `size` is 7",
        "info_size 2 argument `info`: its `size` ends before `token`",
        "info_size 2 argument `info`: its `size` is 4097",
        "flags 15 argument `options`: this host does not know the flags 0x1",
        "options_size 2 argument `options`: its `size` is 7",
        "lease_below 8 argument `lease_ms`: -1, 1 to 86400000 are taken, 0 is the default",
        "lease_above 8 argument `lease_ms`: 86400001",
        "keep_below 8 argument `keep_ms`: -1, 1 to 31536000000 are taken, 0 is the default",
        "keep_above 8 argument `keep_ms`: 31536000001",
        "get_operation 2 argument `operation`: it is empty",
        "get_info 2 argument `info`: the pointer is null",
        "nothing_begun 1 no operation \"bad\" with the key \"k\"",
        "stale 4 ",
        "untouched 77",
        "deaf 0",
        "complete_null 2 argument `result`: the pointer is null, the length is 3",
        "complete_zero 2 argument `token`: is 0, which no start has",
        "fail_null 2 argument `error`: the pointer is null, the length is 3",
        "fail_keep 15 argument `keep`: this host does not know the value 2",
        "fail_zero 2 argument `token`: is 0",
        "renew_zero 2 argument `token`: is 0",
        "renew_below 8 argument `lease_ms`: -1",
        "renew_above 8 argument `lease_ms`: 86400001",
        "forged 6 this start counts no more",
        "still_there 0",
        "refused 12 the sink that was passed refused the result with status 13",
        "refused_get 12 the sink that was passed refused the result with status 13",
        "untouched 77",
        "short 0",
        "short 3 4711",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n  expected {expected}…");
    }
    assert_eq!(told.len(), expected.len());
}
