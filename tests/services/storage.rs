//! The storage through its table.

mod batch;
mod items;
mod quota;
mod watch;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use pintle::{ErrorKind, Host, Settings};

use crate::keeper::{Place, ask, expect, keeper, until};

/// The version that an answer tells.
fn version(answer: &str) -> u64 {
    let version = answer.split("version=").nth(1).expect("it tells one");
    version.split(' ').next().and_then(|digits| digits.parse().ok()).expect("it is a number")
}

#[test]
fn storage_1_remove_is_idempotent_and_tells_and_so_does_exists() {
    let (_place, host) = keeper();
    expect(
        &host,
        "",
        &[
            ("sexists k", "0 0"),
            ("sremove k", "0 0"),
            ("sset k v", "0 version=…"),
            ("sexists k", "0 1"),
            ("sget k", "0 v version=…"),
            ("sremove k", "0 1"),
            ("sremove k", "0 0"),
            ("sget k", "1 the storage has no item \"k\" in this scope"),
        ],
    );
}

#[test]
fn everywhere_1_2_3_keys_and_values_keep_their_limits() {
    let place = Place::new().keeper("keeper", &[]).toml("[storage]\nmax_value = 2048");
    let host = place.started();
    expect(
        &host,
        "",
        &[
            ("sset %*512 v", "0 …"),
            ("sset %*513 v", "2 argument `key`: 513 bytes, 1 to 512 are taken version=7777"),
            ("sset %- v", "2 argument `key`: it is empty, 1 to 512 bytes are taken version=7777"),
            ("sget a%00", "2 …"),
            ("sexists %ff", "2 …"),
            ("sremove %-", "2 …"),
            ("sset k %-", "0 …"),
            ("sget k", "0  version=…"),
            ("sset k %*2048", "0 …"),
            (
                "sset k %*2049",
                "9 argument `value`: 2049 bytes, at most 2048 are taken (storage.max_value in the settings) version=7777",
            ),
            ("sget k", "0 2048 bytes version=…"),
        ],
    );
}

#[test]
fn everywhere_2_without_settings_a_stored_value_has_up_to_4_mib() {
    let (_place, host) = keeper();
    let refused =
        "9 argument `value`: 4194305 bytes, at most 4194304 are taken (storage.max_value in the settings)…";
    expect(
        &host,
        "",
        &[
            ("sset k %*4194304", "0 …"),
            ("sset k %*4194305", refused),
            ("sget k", "0 4194304 bytes version=…"),
        ],
    );
}

#[test]
fn storage_2_3_versions_grow_are_never_reused_and_guard_writes() {
    let (_place, host) = keeper();
    let first = version(&ask(&host, "", "sset k one")[0]);
    let other = version(&ask(&host, "t", "sset k other")[0]);
    let second = version(&ask(&host, "", "sset k two")[0]);
    assert!(first < other && other < second);
    let answers =
        ask(&host, "", &format!("sset k three {first}\nsset k three 0\nsset new x {first}\nsget k"));
    assert_eq!(
        answers[..3],
        [
            format!(
                "6 the item \"k\" has version {second}, {first} was asked for: read it again, then write version={second}"
            ),
            format!(
                "6 the item \"k\" is there already, with version {second}: nothing was written version={second}"
            ),
            format!(
                "6 the item \"new\" is not there, version {first} was asked for: nothing was written version=0"
            ),
        ]
    );
    assert!(answers[3].starts_with("0 two "), "{answers:?}");
    let third = version(&ask(&host, "", &format!("sset k three {second}"))[0]);
    ask(&host, "", "sremove k");
    let again = version(&ask(&host, "", "sset k four 0")[0]);
    assert!(third < again);
    let told = &ask(&host, "", "sget k")[0];
    assert_eq!(version(told), again);
}

#[test]
fn storage_9_10_listing_is_by_literal_prefix_in_byte_order_and_in_pages() {
    let (_place, host) = keeper();
    for key in ["b", "a%25", "a_", "a*", "a", "ab", "%c3%a4", "B", "aa"] {
        ask(&host, "", &format!("sset {key} v"));
    }
    expect(
        &host,
        "",
        &[
            ("skeys %- %- 0", "0 B a a%25 a* a_ aa ab b %c3%a4 next="),
            ("skeys a %- 0", "0 a a%25 a* a_ aa ab next="),
            ("skeys a%25 %- 0", "0 a%25 next="),
            ("skeys a_ %- 0", "0 a_ next="),
            ("skeys a* %- 0", "0 a* next="),
            ("skeys %c3 %- 0", "2 …"),
            ("skeys %c3%a4 %- 0", "0 %c3%a4 next="),
            ("skeys zz %- 0", "0 next="),
            ("skeys %- %- 1001", "2 argument `limit`: is 1001, at most 1000 are given next="),
            ("skeys %- nonsense 0", "2 argument `cursor`: is none of this listing…"),
        ],
    );
    let mut seen = Vec::new();
    let mut cursor = String::from("%-");
    loop {
        let answer = &ask(&host, "", &format!("skeys a {cursor} 2"))[0];
        let (keys, next) =
            answer.strip_prefix("0").and_then(|rest| rest.split_once("next=")).expect("a page");
        let keys: Vec<_> = keys.split_whitespace().map(str::to_owned).collect();
        // What was seen goes, and something comes where nobody looks any more: nothing is missed or seen twice.
        for key in &keys {
            ask(&host, "", &format!("sremove {key}"));
        }
        seen.extend(keys);
        if next.is_empty() {
            break;
        }
        cursor = next.to_owned();
    }
    assert_eq!(seen, ["a", "a%25", "a*", "a_", "aa", "ab"]);
}

#[test]
fn storage_12_clear_empties_the_scope_and_no_other() {
    let place = Place::new().keeper("keeper", &[]).keeper("second", &[]);
    let host = place.started();
    for tenant in ["", "a", "b"] {
        for name in ["keeper", "second"] {
            crate::keeper::ask_of(&host, name, tenant, "sset k v\nsset l w");
        }
    }
    expect(&host, "a", &[("sclear", "0 2"), ("skeys %- %- 0", "0 next="), ("sclear", "0 0")]);
    for tenant in ["", "b"] {
        expect(&host, tenant, &[("skeys %- %- 0", "0 k l next=")]);
    }
    assert_eq!(crate::keeper::ask_of(&host, "second", "a", "skeys %- %- 0"), ["0 k l next="]);
}

#[test]
fn what_is_stored_is_there_after_a_restart_with_its_version_and_times() {
    let (place, host) = keeper();
    ask(&host, "a", "sset k v\nsset gone x\nsremove gone");
    let before = ask(&host, "a", "sget k");
    let used = host.plugins()[0].counters;
    assert_eq!((used.storage_items, used.storage_bytes), (1, 2));
    host.stop();
    let host = place.started();
    assert_eq!(ask(&host, "a", "sget k"), before);
    assert_eq!(host.plugins()[0].counters.storage_items, 1);
    expect(&host, "", &[("sget k", "1 …")]);
}

#[test]
fn contract_16_in_load_durable_writes_answer_unavailable() {
    let place = Place::new().keeper("keeper", &[]);
    let place = place.toml(
        "[plugin.keeper]\nconfig = { load = \"sset k v\\nsremove k\\nsclear\\nsget k\\nsexists k\\nset n k v\\nget n k\\nsincr k 1\\nsexpire k 5\\nsbatch check:k:version=0\" }",
    );
    let host = place.started();
    let answers = ask(&host, "", "loaded");
    let refused = "14 a plugin does not act in `load` and `restore`: emit and write from `enable` on";
    assert!(answers[0].starts_with(&format!("0 {refused}")), "{answers:?}");
    assert!(answers[1].starts_with(refused) && answers[2].starts_with(refused), "{answers:?}");
    assert_eq!(&answers[3..6], ["1 the storage has no item \"k\" in this scope", "0 0", "0"], "{answers:?}");
    assert!(answers[6].starts_with("0 bytes v"), "{answers:?}");
    for answer in &answers[7..10] {
        assert!(answer.starts_with(refused), "{answers:?}");
    }
}

#[test]
fn a_data_folder_that_is_no_database_is_refused_and_kept() {
    let place = Place::new().keeper("keeper", &[]);
    fs::create_dir_all(place.data()).expect("the folder can be written");
    let file = place.data().join("pintle.db");
    let garbage = b"this is no database, and must not be overwritten".repeat(100);
    fs::write(&file, &garbage).expect("the folder can be written");
    let error = Host::builder().settings(Settings::default()).data(place.data()).build();
    let error = error.expect_err("it cannot be used").to_string();
    assert!(error.contains("pintle.db"), "{error}");
    assert_eq!(fs::read(&file).expect("it is still there"), garbage);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_what_plugins_store() {
    use std::os::unix::fs::PermissionsExt;
    let (place, host) = keeper();
    ask(&host, "", "sset k v");
    for entry in fs::read_dir(place.data()).expect("it is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("pintle.db") {
            let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name} has mode {mode:o}");
        }
    }
}

/// Another process that has the file locked stands for a disk that hangs: the write that is under way cannot end.
#[test]
fn contract_24_the_stop_is_in_time_while_a_write_hangs_and_the_folder_is_held_until_the_ledger_is_closed() {
    let (place, host) = keeper();
    let calls = |host: &Host| host.plugins()[0].counters.calls;
    let before = calls(&host);
    let other = rusqlite::Connection::open(place.data().join("pintle.db")).expect("it is a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
    thread::scope(|threads| {
        let commands = "sset k v\nsset l v\nsget k\nset n k v";
        let calling = threads.spawn(|| ask(&host, "", commands));
        until("it writes", || calls(&host) > before);
        let begun = Instant::now();
        let stopped = host.stop_within(Duration::from_millis(500));
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1_200), "it took {took:?}");
        let left = |what: &str| stopped.left.iter().any(|left| left.starts_with(what));
        assert!(left("the ledger: ") && left("plugin \"keeper\" in "), "{stopped:?}");
        let second = || Host::builder().data(place.data()).build();
        let error = second().expect_err("the file is still in use");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        drop(other);
        let answers = calling.join().expect("the call returns");
        assert!(answers[0].starts_with("0 "), "what was begun before the end is done: {answers:?}");
        for answer in &answers[1..] {
            assert!(answer.contains("the host has stopped"), "what comes after it is refused: {answers:?}");
        }
        until("it is closed, and the folder is free", || second().is_ok());
    });
}
