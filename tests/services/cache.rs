//! The cache through its table.

use crate::keeper::{Place, ask, expect, keeper, until};

#[test]
fn cache_1_an_item_is_bytes_or_an_integer_and_reading_tells_which() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            (
                "get n k",
                "1 the cache has no such item: it was never written, has expired, or had to make room",
            ),
            ("set n k hello 0", "0"),
            ("get n k", "0 bytes hello endless"),
            ("incr n i 7 0", "0 7"),
            ("get n i", "0 integer 7 7 endless"),
            ("incr n i -9 0", "0 -2"),
            ("get n i", "0 integer -2 -2 endless"),
            ("set n i 5 0", "0"),
            ("get n i", "0 bytes 5 endless"),
            ("incr n i 1", "0 6"),
            ("get n i", "0 integer 6 6 endless"),
        ],
    );
}

#[test]
fn everywhere_1_keys_and_namespaces_keep_their_limits() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("set n %*512 v", "0"),
            ("get n %*512", "0 bytes v …"),
            ("set n %*513 v", "2 argument `key`: 513 bytes, 1 to 512 are taken"),
            ("set n %- v", "2 argument `key`: it is empty, 1 to 512 bytes are taken"),
            ("get n a%00b", "2 argument `key`: a NUL at byte 1: the length must not count a terminator"),
            ("exists n a%ff", "2 argument `key`: not UTF-8 from byte 1 on 7"),
            ("set %*128 k v", "0"),
            ("set %*129 k v", "2 argument `ns`: 129 bytes, 1 to 128 are taken"),
            ("incr %- k 1", "2 argument `ns`: it is empty, 1 to 128 bytes are taken 7777"),
            ("remove %ff k", "2 argument `ns`: not UTF-8 from byte 0 on 7"),
            ("ttl n %-", "2 argument `key`: it is empty…"),
            ("expire n %- 1 0", "2 argument `key`: it is empty, 1 to 512 bytes are taken 7"),
            (
                "into n %- 64",
                "2 argument `key`: it is empty, 1 to 512 bytes are taken len=4711 untouched=64 ",
            ),
        ],
    );
}

#[test]
fn everywhere_2_a_value_has_up_to_1_mib() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("set n k %*1048576", "0"),
            ("get n k", "0 bytes 1048576 bytes …"),
            ("set n k %*1048577", "9 argument `value`: 1048577 bytes, at most 1048576 are taken"),
            ("get n k", "0 bytes 1048576 bytes …"),
        ],
    );
}

#[test]
fn everywhere_3_an_empty_value_is_a_value() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("exists n k", "0 0"),
            ("set n k %- 0", "0"),
            ("exists n k", "0 1"),
            ("get n k", "0 bytes  endless"),
            ("into n k 0", "0 len=0 untouched=64 "),
            ("remove n k", "0 1"),
            ("get n k", "1 …"),
        ],
    );
}

#[test]
fn contract_74_a_buffer_that_is_too_small_gets_the_needed_size_and_nothing_else() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("set n k hello", "0"),
            ("into n k 5", "0 len=5 untouched=59 hello"),
            (
                "into n k 4",
                "5 the value has 5 bytes, the buffer has room for 4: pass one of that size len=5 untouched=64 ",
            ),
            (
                "into n k 0",
                "5 the value has 5 bytes, the buffer has room for 0: pass one of that size len=5 untouched=64 ",
            ),
            ("into n none 5", "1 …"),
            ("incr n i -123", "0 -123"),
            ("into n i 4", "0 len=4 untouched=60 -123"),
            ("into n i 3", "5 …"),
        ],
    );
}

#[test]
fn cache_2_3_6_a_lifetime_is_the_default_endless_or_as_long_as_said() {
    let place = Place::new().keeper("keeper", &[]).toml("[cache]\ndefault_ttl_ms = 60000");
    let host = place.started();
    expect(
        &host,
        "",
        &[
            ("set n default v", "0"),
            ("set n endless v 0", "0"),
            ("set n long v 90000", "0"),
            ("ttl n endless", "0 endless"),
            (
                "set n endless v -1",
                "8 `ttl_ms` is -1: 1 to 3153600000000 milliseconds are taken, and 0 for no expiry",
            ),
            ("set n endless changed 3153600000001", "8 …"),
            ("get n endless", "0 bytes v endless"),
            (
                "incr n new 1 -5",
                "8 `ttl_ms` is -5: 1 to 3153600000000 milliseconds are taken, and 0 for no expiry 7777",
            ),
            ("exists n new", "0 0"),
            ("ttl n none", "1 …"),
        ],
    );
    for (key, most) in [("default", 60_000), ("long", 90_000)] {
        let left = ask(&host, "", &format!("ttl n {key}"))[0].strip_prefix("0 ").map(str::parse::<i64>);
        let left = left.expect("it is there").expect("it is a number");
        assert!((most - 30_000..=most).contains(&left), "{key}: {left}");
    }
}

#[test]
fn cache_17_an_item_that_has_expired_is_absent_for_every_function() {
    let (_place, host) = keeper();
    expect(&host, "", &[("set n k v 20", "0"), ("incr n i 5 20", "0 5")]);
    until("both expire", || ask(&host, "", "exists n k\nexists n i") == ["0 0", "0 0"]);
    expect(
        &host,
        "",
        &[
            ("get n k", "1 …"),
            ("into n k 9", "1 …"),
            ("ttl n k", "1 …"),
            ("remove n k", "0 0"),
            ("expire n k 1000 0", "0 0"),
            ("incr n i 1", "0 1"),
        ],
    );
}

#[test]
fn cache_4_5_expire_changes_the_lifetime_if_its_condition_holds() {
    let (_place, host) = keeper();
    let refused = "6 the condition does not hold: the item keeps the lifetime that it has 1";
    expect(
        &host,
        "",
        &[
            ("expire n k 1000 0", "0 0"),
            ("set n k v 0", "0"),
            ("expire n k 100000 2", refused),
            ("expire n k 100000 3", refused),
            ("expire n k 100000 4", "0 1"),
            ("expire n k 100000 1", refused),
            ("expire n k 900000 3", "0 1"),
            ("expire n k 1 3", refused),
            ("expire n k 0 3", "0 1"),
            ("ttl n k", "0 endless"),
            ("expire n k 5 99", "15 …"),
            ("expire n k -1 4", "0 1"),
            ("exists n k", "0 0"),
        ],
    );
}

#[test]
fn cache_7_8_9_10_incr_counts_from_nothing_and_fails_without_a_trace() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("incr n i 0 50000", "0 0"),
            ("incr n i 9223372036854775807 0", "0 9223372036854775807"),
            ("incr n i 1", "8 …"),
            ("get n i", "0 integer 9223372036854775807 9223372036854775807 …"),
            ("set n digits -41", "0"),
            ("incr n digits -1", "0 -42"),
            ("set n text 041 0", "0"),
            ("incr n text 1", "7 …"),
            ("get n text", "0 bytes 041 endless"),
        ],
    );
    let left = ask(&host, "", "ttl n i")[0].strip_prefix("0 ").map(str::parse::<i64>);
    let left = left.expect("it is there").expect("a later incr does not make it endless");
    assert!((1..=50_000).contains(&left), "nor live longer: {left}");
}

#[test]
fn cache_11_incr_is_atomic_under_any_number_of_threads() {
    let names = ["keeper", "second", "third"];
    let place = names.iter().fold(Place::new(), |place, name| place.keeper(name, &[]));
    let host = place.started();
    let many = "incr n shared 1\n".repeat(500);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| ask(&host, "a", &many));
        }
    });
    expect(&host, "a", &[("incr n shared 0", "0 2000")]);
}

#[test]
fn cache_15_remove_and_exists_tell_whether_the_item_is_there() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("remove n k", "0 0"),
            ("set n k v", "0"),
            ("exists n k", "0 1"),
            ("exists other k", "0 0"),
            ("remove other k", "0 0"),
            ("remove n k", "0 1"),
            ("exists n k", "0 0"),
        ],
    );
}

#[test]
fn cache_35_the_cache_is_bounded_by_bytes_and_tells_who_has_how_much() {
    let place = Place::new().keeper("keeper", &[]).keeper("second", &[]).toml("[cache]\ncapacity = 2097152");
    let host = place.started();
    expect(&host, "", &[("set n mine 12345 0", "0")]);
    let used = |id: &str| {
        let info = host.plugins().into_iter().find(|info| info.id == id).expect("it is loaded");
        (info.counters.cache_items, info.counters.cache_bytes)
    };
    let (items, bytes) = used("keeper");
    assert!(items == 1 && (10..1_000).contains(&bytes), "{items} items, {bytes} bytes");
    assert_eq!(used("second"), (0, 0));
    for round in 0..40 {
        let commands: String = (0..10).map(|at| format!("set n {round}-{at} %*10000 0\n")).collect();
        assert!(ask(&host, "", &commands).iter().all(|answer| answer == "0"));
        let (_, bytes) = used("keeper");
        assert!(bytes <= 2_097_152, "{bytes} after {round} rounds");
    }
    let (items, bytes) = used("keeper");
    assert!(items > 100 && bytes > 1_000_000, "it is made use of: {items} items, {bytes} bytes");
    expect(&host, "", &[("exists n 39-9", "0 1")]);
}

#[test]
fn cache_14_a_write_keeps_its_condition() {
    let (_place, host) = keeper();
    let version = |key: &str| {
        let answer = ask(&host, "", &format!("version n {key}")).remove(0);
        answer.strip_prefix("0 ").and_then(|version| version.parse::<u64>().ok()).expect("it is there")
    };
    expect(
        &host,
        "",
        &[
            ("set n k 1 0 new", "0"),
            ("set n k 2 0 new", "6 the item is there, with version …"),
            ("set n k 2 0 version=0", "6 the item is there, with version …"),
            ("set n other 1 0 version=0", "0"),
            ("set n none 1 0 version=5", "6 the item is not there, so it has no version 5…"),
            ("set n k 2 0 new version=0", "2 argument `options`: …"),
            ("set n k 2 5000 keep", "0"),
            ("get n k", "0 bytes 2 endless"),
        ],
    );
    let second = version("k");
    expect(&host, "", &[(&format!("set n k 3 0 version={second}"), "0"), ("get n k", "0 bytes 3 endless")]);
    let late = format!("set n k 4 0 version={second}");
    let there = format!("6 the item has version {}, not {second}: …", version("k"));
    expect(&host, "", &[(&late, &there), ("get n k", "0 bytes 3 endless")]);
    assert_ne!(version("k"), second, "and no version comes twice");
}

#[test]
fn cache_16_what_is_asked_for_together_is_answered_one_by_one() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("setmany n a 1 b 2 c 3", "0 0 0 0"),
            ("setmany n a 4 %*513 5", "0 0 2 argument `key`: 513 bytes, 1 to 512 are taken (element 1)"),
            ("absent n none", "0"),
            ("incr n i 7", "0 7"),
            ("getmany n a b nobody none i", "0 0:0:4 1:0:2 2:1: 3:1:absent 4:0:7"),
            ("getmany n a %ff", "2 argument `keys`: not UTF-8 from byte 0 on (element 1)"),
            ("getmany %- a", "2 argument `ns`: it is empty, …"),
            ("setmany %- a 1", "2 argument `ns`: it is empty, …"),
        ],
    );
}

#[test]
fn cache_18_a_stale_item_is_still_given_and_told_as_such() {
    let (_place, host) = keeper();
    expect(&host, "", &[("set n k v 20 stale=600000", "0"), ("set n gone v 20 error=600000", "0")]);
    until("both are past their lifetimes", || {
        ask(&host, "", "get n k\nexists n gone") == ["0 bytes v 0 stale", "0 0"]
    });
    expect(
        &host,
        "",
        &[
            ("ttl n k", "0 0"),
            ("exists n k", "0 1"),
            ("get n gone", "1 …"),
            ("expire n k 50000 0", "0 1"),
            ("set n k v 10 stale=-1", "8 `stale_ms` is -1: 0 to 3153600000000 milliseconds are taken"),
            ("set n k v 10 error=3153600000001", "8 `error_ms` is 3153600000001: …"),
            ("incr n i 1 10 stale=5", "2 argument `options`: `incr` takes a lifetime only…"),
        ],
    );
    let left = ask(&host, "", "ttl n k")[0].strip_prefix("0 ").map(str::parse::<i64>);
    assert!((1..=50_000).contains(&left.expect("it is there").expect("it is fresh again")));
}

#[test]
fn cache_22_what_is_known_to_be_absent_is_so_for_a_while() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("set n k v 0", "0"),
            ("absent n k 0", "0"),
            (
                "get n k",
                "1 the cache has no such item: it is known that there is nothing to be loaded (`set_absent`) absent version=0",
            ),
            ("into n k 5", "1 …"),
            ("exists n k", "0 0"),
            ("ttl n k", "1 …"),
            ("remove n k", "0 0"),
            (
                "get n k",
                "1 the cache has no such item: it was never written, has expired, or had to make room",
            ),
            ("absent n k", "0"),
            ("incr n k 1 0", "0 1"),
            ("get n k", "0 integer 1 1 endless"),
            ("absent n k 10 stale=5", "2 argument `options`: what is absent has no stale and no error span…"),
            ("absent n other 20", "0"),
        ],
    );
    until("the note has gone", || !ask(&host, "", "get n other")[0].contains("absent version"));
}

#[test]
fn cache_25_26_a_tag_hits_what_bears_it_in_all_namespaces_of_its_scope() {
    let (_place, host) = keeper();
    let most = (0..16).map(|at| format!("t{at}")).collect::<Vec<_>>().join(",");
    expect(&host, "acme", &[("set n k v 0 tags=red", "0")]);
    expect(
        &host,
        "",
        &[
            (&format!("set n most v 0 tags={most}"), "0"),
            (
                &format!("set n most w 0 tags={most},more"),
                "2 argument `options.tags`: 17 tags, an item has at most 16",
            ),
            (
                "set n k v 0 tags=red,,blue",
                "2 argument `options.tags`: it is empty, 1 to 128 bytes are taken",
            ),
            ("set n a v 0 tags=red", "0"),
            ("set other b v 0 tags=red,blue,red", "0"),
            ("set n c v 0 tags=blue", "0"),
            ("untag red", "0 2"),
            ("untag red", "0 0"),
            ("getmany n a c most", "0 0:1: 1:0:v 2:0:v"),
            ("untag t15", "0 1"),
            ("set n a new 0", "0"),
            ("untag blue", "0 1"),
            ("exists n a", "0 1"),
            ("untag %-", "2 argument `tag`: it is empty, 1 to 128 bytes are taken 7"),
            ("untag %*129", "2 argument `tag`: 129 bytes, 1 to 128 are taken 7"),
        ],
    );
    expect(&host, "acme", &[("exists n k", "0 1")]);
}

#[test]
fn cache_27_28_a_pattern_hits_the_keys_that_match_it_and_a_bad_one_none() {
    let (_place, host) = keeper();
    let keys = ["user/1", "user/12", "user/1/name", "user/a", "users"];
    let sets: Vec<String> = keys.iter().map(|key| format!("set n {key} v 0")).collect();
    assert!(ask(&host, "", &sets.join("\n")).iter().all(|answer| answer == "0"));
    expect(
        &host,
        "",
        &[
            ("set other user/1 v 0", "0"),
            ("invalidate n user/?", "0 2"),
            ("getmany n user/1 user/12 user/1/name user/a users", "0 0:1: 1:0:v 2:0:v 3:1: 4:0:v"),
            ("invalidate n nothing*", "0 0"),
            ("invalidate n [z-a]", "2 argument `pattern`: …"),
            ("invalidate n %-", "2 argument `pattern`: it is empty, 1 to 512 bytes are taken 7"),
            ("invalidate n **/name", "0 1"),
            ("invalidate n user*", "0 1"),
            ("invalidate n user/*", "0 1"),
            ("exists other user/1", "0 1"),
        ],
    );
}

#[test]
fn cache_30_a_namespace_is_cleared_and_listed_in_pages() {
    let (_place, host) = keeper();
    let sets: Vec<String> = (0..25).map(|at| format!("set n p{at} v 0")).collect();
    assert!(ask(&host, "", &sets.join("\n")).iter().all(|answer| answer == "0"));
    expect(&host, "", &[("set n q v 0", "0"), ("set other p v 0", "0"), ("absent n p99 0", "0")]);
    expect(&host, "acme", &[("set n p v 0", "0"), ("keys n %- %- 0", "0 p next=")]);
    let (mut seen, mut cursor, mut pages) = (Vec::new(), "%-".to_owned(), 0);
    while !cursor.is_empty() {
        let answer = ask(&host, "", &format!("keys n p {cursor} 10")).remove(0);
        let (keys, next) = answer.split_once(" next=").expect("it ends with the cursor");
        let keys: Vec<_> = keys.strip_prefix("0").expect("it went well").split_whitespace().collect();
        assert!(keys.len() <= 10, "{answer}");
        seen.extend(keys.into_iter().map(str::to_owned));
        cursor = next.to_owned();
        pages += 1;
    }
    seen.sort_by_key(|key| key[1..].parse::<u32>().expect("a number"));
    assert_eq!((seen, pages), ((0..25).map(|at| format!("p{at}")).collect(), 3));
    expect(
        &host,
        "",
        &[
            ("keys n %- nobodys 0", "2 argument `cursor`: …"),
            ("keys n %- %- 1001", "2 argument `limit`: is 1001, at most 1000 are given next="),
            ("keys n %*513 %- 0", "2 argument `prefix`: 513 bytes, at most 512 are taken next="),
            ("keys nobody %- %- 0", "0 next="),
            ("clear n", "0 26"),
            ("clear n", "0 0"),
            ("exists other p", "0 1"),
            ("clear %-", "2 argument `ns`: it is empty, 1 to 128 bytes are taken 7"),
        ],
    );
    expect(&host, "acme", &[("exists n p", "0 1")]);
}

#[test]
fn cache_35_a_plugin_is_told_what_it_has_for_all_tenants_and_what_there_is_room_for() {
    let place = Place::new().keeper("keeper", &[]).keeper("second", &[]).toml("[cache]\ncapacity = 2097152");
    let host = place.started();
    expect(&host, "", &[("set n a 1 0", "0")]);
    expect(&host, "acme", &[("set n a 1 0", "0"), ("set n b 1 0", "0")]);
    assert_eq!(crate::keeper::ask_of(&host, "second", "", "set n a 1 0"), ["0"]);
    let told = ask(&host, "", "stats").remove(0);
    let number = |name: &str| {
        let word = told.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
        word.and_then(|word| word.parse::<u64>().ok()).unwrap_or_else(|| panic!("{name} in {told}"))
    };
    assert!(told.starts_with("0 items=3 "), "{told}");
    assert!((2_000_000..=2_097_152).contains(&number("of")) && number("evicted") == 0, "{told}");
    assert!((1..=number("of") / 2).contains(&number("guaranteed")), "half of it is shared out: {told}");
    assert!((3..1_000).contains(&number("bytes")), "{told}");
}
