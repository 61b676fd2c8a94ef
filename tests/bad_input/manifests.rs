//! Manifests that are missing, there twice, too large, too deep, or wrong: in real libraries, and beside them.

use std::path::PathBuf;

use pintle::ErrorKind;
use pintle_test_support::compile_c;

use crate::rig::{Rig, assert_says, file_at, relay};

const ENTRY: &str = "const void *pintle_plugin_entry_v1(void);\n\
    const void *pintle_plugin_entry_v1(void) { return 0; }\n";

/// A library with these records, of any bytes, in its section.
fn library(records: &[&[u8]]) -> PathBuf {
    let mut code = ENTRY.to_owned();
    for (at, record) in records.iter().enumerate() {
        let bytes: Vec<String> = record.iter().map(u8::to_string).collect();
        code += &format!(
            "__attribute__((section(\".pintle\"), used, aligned(8))) static const unsigned char record_{at}[] = {{ {} }};\n",
            bytes.join(",")
        );
    }
    compile_c("odd", code, &[])
}

/// A record as `PINTLE_MANIFEST` makes it.
fn record(text: &[u8]) -> Vec<u8> {
    let mut record = b"PINTLE1\0".to_vec();
    record.extend((text.len() as u64).to_le_bytes());
    record.extend(text);
    record.push(0);
    record
}

const GOOD: &str = r#"{"id":"odd","version":"1.0.0","abi":"1.0"}"#;

/// What a host says of a library, and, if there is one, of the manifest beside it. The plugin next to it works.
fn refused(library: PathBuf, beside: Option<&[u8]>) -> pintle::Error {
    let rig = Rig::of(&library).with(&relay("a"));
    if let Some(text) = beside {
        file_at(&rig.plugins().join("odd.pintle.json"), text);
    }
    let running = rig.start();
    assert_eq!(running.started.enabled, ["a"]);
    assert!(running.started.failed.is_empty(), "{:?}", running.started);
    running.wait_for_line(&["skipped", "odd.so"]);
    running.only_skipped().clone()
}

#[test]
fn contract_82_a_manifest_that_is_missing_or_there_twice_is_an_error_that_says_so() {
    let good = record(GOOD.as_bytes());
    let neither = refused(compile_c("odd", "int nothing;\n", &[]), None);
    let parts = &["odd.so is a library but no Pintle plugin: no manifest and no entry function"];
    assert_says(&neither, ErrorKind::InvalidArgument, parts);
    for missing in [library(&[]), library(&[&[0; 32]])] {
        let parts =
            &["odd.so has no manifest: not a Pintle plugin: embed one with PINTLE_MANIFEST, or put NAME"];
        assert_says(&refused(missing, None), ErrorKind::InvalidArgument, parts);
    }
    let twice = refused(library(&[&good, &good]), None);
    assert_says(&twice, ErrorKind::InvalidArgument, &["has its manifest twice", "in one source file only"]);
    let both = refused(library(&[&good]), Some(GOOD.as_bytes()));
    let parts = &["has a manifest inside", "odd.pintle.json is another: remove one of the two"];
    assert_says(&both, ErrorKind::InvalidArgument, parts);
}

#[test]
fn a_manifest_of_10_mb_is_too_large_and_is_not_read() {
    let padded = format!("{GOOD}{}", " ".repeat(10 << 20));
    let beside = refused(library(&[]), Some(padded.as_bytes()));
    let parts = &["odd.pintle.json has 10485802 bytes, at most 65536 are allowed"];
    assert_says(&beside, ErrorKind::TooLarge, parts);
    // Inside it is as large as its record says it is.
    let mut forged = record(GOOD.as_bytes());
    forged[8..16].copy_from_slice(&(10_u64 << 20).to_le_bytes());
    let inside = refused(library(&[&forged]), None);
    assert_says(
        &inside,
        ErrorKind::TooLarge,
        &["has a manifest of 10485760 bytes, at most 65536 are allowed"],
    );
    let mut endless = record(GOOD.as_bytes());
    endless[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let inside = refused(library(&[&endless]), None);
    assert_says(&inside, ErrorKind::TooLarge, &["has a manifest of 18446744073709551615 bytes"]);
    let filled = refused(library(&[&record(&vec![b' '; 65_537])]), None);
    assert_says(&filled, ErrorKind::TooLarge, &["has a manifest of 65537 bytes"]);
}

#[test]
fn a_damaged_record_is_told_from_a_wrong_manifest() {
    let good = record(GOOD.as_bytes());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut record = good.clone();
        change(&mut record);
        record
    };
    for (record, part) in [
        (changed(&|record| record[6] = b'2'), "it does not begin with the magic"),
        (changed(&|record| record[8] -= 1), "its length is not the length of its text"),
        (changed(&|record| record[9] = 1), "its text is longer than the section"),
        (changed(&|record| record.truncate(12)), "it does not begin with the magic"),
        (changed(&|record| record.extend(b"more")), "something other than zeros follows it"),
    ] {
        let error = refused(library(&[&record]), None);
        assert_says(&error, ErrorKind::InvalidArgument, &["has a damaged manifest record: ", part]);
    }
}

#[test]
fn contract_83_every_problem_of_a_manifest_is_told_at_once_with_its_path() {
    let deep = format!(
        r#"{{"id":"odd","version":"1.0.0","abi":"1.0","config":{}1{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let wrong = r#"{"id":7,"version":"one","abi":1.0,"concurrency":"many","keep_mapped":1,"provides":[],
        "services":{"events":{"subscribe":"a"}},"files":[1]}"#;
    let unknown =
        r#"{"id":"odd","version":"1.0.0","abi":"1.0","servces":{},"services":{"cashe":{}},"x":{"y":1}}"#;
    for (text, parts) in [
        (deep.as_bytes(), &["is nested too deep, at most 32 levels are allowed"][..]),
        (
            wrong.as_bytes(),
            &[
                "/id: is a number, must be a string",
                "/version: ",
                "/abi: is a number, must be a string",
                "/concurrency: is a string, must be a whole number",
                "/keep_mapped: is a number, must be true or false",
                "/provides: is a list, must be an object",
                "/services/events/subscribe: is a string, must be a list",
                "/files/0: is a number, must be a string",
            ],
        ),
        (
            unknown.as_bytes(),
            &[
                "/servces: is an unknown key, did you mean \"services\"?",
                "/services/cashe: is an unknown key, did you mean \"cache\"?",
                "/x: is an unknown key",
            ],
        ),
        (b"", &["is empty"]),
        (b"[]", &["is a list, must be an object"]),
        (b"null", &["is null, must be an object"]),
        (b"{", &["is not JSON"]),
        (b"{} {}", &["goes on after its end"]),
        (b"{\"id\":\"\xff\"}", &["is not UTF-8 from byte 7 on"]),
        (b"{\"id\":\"a\0b\"}", &["has a NUL at byte 8"]),
        (b"\xef\xbb\xbf{}", &["begins with a byte-order mark"]),
        (b"{}", &["/id: is missing", "/version: is missing", "/abi: is missing"]),
        (br#"{"id":"odd","id":"odd","version":"1.0.0","abi":"1.0"}"#, &["/id: stands twice"]),
        (br#"{"id":"../../etc","version":"1.0.0","abi":"1.0"}"#, &["/id: \"../../etc\" is not a plugin id"]),
    ] {
        for error in [refused(library(&[&record(text)]), None), refused(library(&[]), Some(text))] {
            // An empty file beside a library is a manifest that is empty, an empty record is none at all.
            assert_says(&error, ErrorKind::InvalidArgument, parts);
        }
    }
}

#[test]
fn contract_42_a_manifest_that_asks_for_a_newer_abi_is_refused_with_both_numbers() {
    for (abi, part) in [
        ("1.999", "asks for pintle ABI 1.999, this host has 1.0: rebuild it against 1.0 or update the host"),
        ("2.0", "asks for pintle ABI 2.0, this host has 1.0"),
    ] {
        let text = GOOD.replace(r#""abi":"1.0""#, &format!(r#""abi":"{abi}""#));
        let error = refused(library(&[&record(text.as_bytes())]), None);
        assert_says(&error, ErrorKind::Unsupported, &["plugin \"odd\"", part]);
    }
}

#[test]
fn config_1_and_config_2_a_config_that_breaks_the_schema_keeps_the_plugin_from_being_loaded() {
    let config = serde_json::json!({ "load": "sometimes", "until": 7, "other": true, "status": 1.5 });
    let rig = Rig::of(&crate::rig::plugin("misbehave", &[])).with(&relay("a")).config("misbehave", config);
    let running = rig.start();
    let parts = &["plugin \"misbehave\": its config is not valid", "/load", "/until", "other", "/status"];
    assert_says(running.only_failure(), ErrorKind::InvalidArgument, parts);
    assert_says(running.only_failure(), ErrorKind::InvalidArgument, &["[plugin.misbehave]"]);
    assert_eq!(running.started.enabled, ["a"]);
    assert!(!running.has_line(&["a library was closed", "misbehave"]), "its code never ran");
}
