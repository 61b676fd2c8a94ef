//! What manifests are held to, as tables.

use serde_json::{Value, json};

use super::*;

const FULL: &str = r#"{
  "id": "access-stats", "version": "1.4.0", "abi": "1.0",
  "name": "Access statistics", "description": "…", "authors": ["…"], "license": "MIT", "homepage": "…",
  "services": {
    "log": {}, "config": {},
    "cache": { "methods": ["get", "set", "incr"], "namespaces": ["hits", "reports"] },
    "storage": {}, "database": {},
    "events": { "subscribe": ["access.>"], "publish": ["report.ready"] },
    "scheduler": {},
    "call": ["geo.lookup"]
  },
  "provides": { "stats.query": { "major": 1, "methods": ["top", "total"] } },
  "requires": { "geo": "^1.2" },
  "config": { "type": "object", "properties": { "window": { "type": "integer", "minimum": 1, "default": 60 } } },
  "limits": { "storage_bytes": 10485760 },
  "concurrency": 1, "state": 3, "files": ["flags.csv"], "direct": false, "keep_mapped": false
}"#;

fn least() -> Value {
    json!({ "id": "a", "version": "1.0.0", "abi": "1.0" })
}

fn problems(text: &[u8]) -> Vec<String> {
    Manifest::parse(text).expect_err("has problems").iter().map(Problem::to_string).collect()
}

/// The problems of the least manifest with `key` set to `value`.
fn with(key: &str, value: Value) -> Vec<String> {
    let mut manifest = least();
    manifest[key] = value;
    Manifest::parse(manifest.to_string().as_bytes())
        .err()
        .unwrap_or_default()
        .iter()
        .map(Problem::to_string)
        .collect()
}

#[test]
fn every_field_of_the_contracts_example_is_read() {
    let manifest = Manifest::parse(FULL.as_bytes()).expect("is valid");
    assert_eq!(manifest.id, "access-stats");
    assert_eq!(manifest.version, Version::new(1, 4, 0));
    assert_eq!(manifest.abi, Abi { major: 1, minor: 0 });
    assert_eq!(manifest.authors, ["…"]);
    let cache = manifest.services.cache.expect("asked for");
    assert_eq!(cache.methods.expect("named"), ["get", "set", "incr"]);
    assert_eq!(cache.namespaces.expect("named"), ["hits", "reports"]);
    assert_eq!(manifest.services.storage, Some(Asked { methods: None }));
    assert_eq!(manifest.services.files, None);
    let events = manifest.services.events.expect("asked for");
    assert_eq!((events.subscribe, events.publish), (vec!["access.>".into()], vec!["report.ready".into()]));
    assert_eq!(manifest.services.call, ["geo.lookup"]);
    assert_eq!(manifest.provides["stats.query"].methods, ["top", "total"]);
    assert!(manifest.requires["geo"].matches(&Version::new(1, 3, 0)));
    assert_eq!(manifest.config.expect("given")["properties"]["window"]["default"], 60);
    assert_eq!(manifest.limits["storage_bytes"], 10_485_760);
    assert_eq!((manifest.concurrency, manifest.state), (1, 3));
    assert_eq!(manifest.files, ["flags.csv"]);
    assert!(!manifest.direct && !manifest.keep_mapped);
}

#[test]
fn what_is_left_out_has_its_default() {
    let manifest = Manifest::parse(least().to_string().as_bytes()).expect("is valid");
    assert_eq!((manifest.concurrency, manifest.state), (1, 0));
    assert_eq!(manifest.services, Services::default());
    assert!(manifest.files.is_empty() && manifest.config.is_none());
}

#[test]
fn contract_83_all_problems_are_told_at_once_each_with_its_place() {
    let text = r#"{ "id": "Bad Id", "version": "one", "abi": 1,
        "services": { "cashe": {}, "events": { "subscribe": ["a..b", "ok.>"], "publish": [7] } },
        "provides": { "x.y": { "major": 1 } }, "requires": { "geo": "latest" },
        "config": { "type": "object", "properties": { "n": { "type": "integr" } } },
        "limits": { "storage_bytes": -1 }, "concurrency": 65, "files": ["../secret"], "colour": "red" }"#;
    let found = problems(text.as_bytes());
    for expected in [
        "/id: \"Bad Id\" is not a plugin id: a small letter",
        "/version: \"one\" is not a version such as \"1.4.0\"",
        "/abi: is a number, must be a string",
        "/services/cashe: is an unknown key, did you mean \"cache\"?",
        "/services/events/subscribe/0: \"a..b\": has an empty token",
        "/services/events/publish/0: is a number, must be a string",
        "/provides/x.y: has no methods",
        "/requires/geo: \"latest\" is not a range of versions",
        "/config/properties/n/type: is not a valid JSON Schema",
        "/limits/storage_bytes: is -1, must be at least 0",
        "/concurrency: is 65, must be at most 64",
        "/files/0: \"../secret\" has a `.` or `..`",
        "/colour: is an unknown key",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected} not in {found:#?}");
    }
    assert_eq!(found.len(), 13, "{found:#?}");
}

#[test]
fn text_that_is_no_manifest_is_refused_with_a_reason() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_but_short = format!(r#"{{"config":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let large = format!(r#"{{"id":"{}"}}"#, "a".repeat(MAX_TEXT));
    let cases: &[(&[u8], &str)] = &[
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf{}", "begins with a byte-order mark"),
        (b"{\"id\":\"a\0\"}", "has a NUL at byte 8"),
        (b"{\"id\":\"\xff\"}", "is not UTF-8 from byte 7 on"),
        (b"{} x", "goes on after its end: trailing characters at line 1 column 4"),
        (b"{\"id\":", "is not JSON: EOF while parsing"),
        (b"{'id': 1}", "is not JSON: key must be a string at line 1 column 2"),
        (b"[]", "is a list, must be an object"),
        (b"null", "is null, must be an object"),
        (br#"{"limits":{"x":1e999}}"#, "is not JSON: number out of range"),
        (br#"{"id":"\ud800"}"#, "is not JSON: "),
        (deep.as_bytes(), "has 200000 bytes, at most 65536 are allowed"),
        (deep_but_short.as_bytes(), "is nested too deep, at most 32 levels are allowed"),
        (large.as_bytes(), "has 65545 bytes, at most 65536 are allowed"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found[0].starts_with(expected), "{expected}: {found:?}");
    }
}

#[test]
fn thirty_two_levels_are_read() {
    // The manifest, `config` and `default` are three levels; a list may hold 29 more.
    let text = |lists: usize| {
        let list = format!("{}{}", "[".repeat(lists), "]".repeat(lists));
        format!(r#"{{"id":"a","version":"1.0.0","abi":"1.0","config":{{"default":{list}}}}}"#)
    };
    assert!(Manifest::parse(text(30).as_bytes()).is_ok());
    assert!(problems(text(31).as_bytes())[0].contains("nested too deep"));
}

#[test]
fn a_key_that_stands_twice_is_a_problem_at_any_level() {
    let text = br#"{"id":"a","id":"b","version":"1.0.0","abi":"1.0",
        "config":{"properties":{"x/y":{"enum":[{"k":1,"k":2}]}}}}"#;
    assert_eq!(
        problems(text),
        [
            "/id: stands twice: remove one of the two",
            "/config/properties/x~1y/enum/0/k: stands twice: remove one of the two",
        ]
    );
}

#[test]
fn topics_keep_to_their_grammar() {
    let long = ["a"; 17].join(".");
    let wide = "a".repeat(257);
    for (pattern, wrong) in [
        ("a.b", None),
        ("A_-9.*.c", None),
        (">", None),
        ("*", None),
        ("a.>", None),
        ("a.>.b", Some("only at the end")),
        ("a*", Some("a wildcard stands for a whole token")),
        ("a.b>", Some("a wildcard stands for a whole token")),
        (".a", Some("empty token")),
        ("a.", Some("empty token")),
        ("a b", Some("may not stand in a topic")),
        ("ä", Some("may not stand in a topic")),
        (long.as_str(), Some("has 17 tokens, at most 16")),
        (wide.as_str(), Some("longer than 256")),
        ("", Some("is empty")),
    ] {
        let found = with("services", json!({ "events": { "subscribe": [pattern] } }));
        match wrong {
            None => assert!(found.is_empty(), "{pattern}: {found:?}"),
            Some(wrong) => assert!(found[0].contains(wrong), "{pattern}: {found:?}"),
        }
    }
}

#[test]
fn published_topics_are_written_without_their_front() {
    let found = with("services", json!({ "events": { "publish": ["plugin.a.report"] } }));
    assert!(found[0].ends_with("which the host adds: write \"report\""), "{found:?}");
    let found = with("services", json!({ "events": { "publish": [(["a"; 15].join("."))] } }));
    assert!(found[0].contains("longer than 16 tokens"), "{found:?}");
    assert!(with("services", json!({ "events": { "publish": [(["a"; 14].join(".")), "x.>"] } })).is_empty());
}

#[test]
fn each_rule_beyond_the_schema_is_told() {
    let cases = [
        ("requires", json!({ "a": "^1" }), "/requires/a: is the plugin itself"),
        ("requires", json!({ "B": "^1" }), "/requires/B: is not a name that may stand here"),
        (
            "provides",
            json!({ "pintle.cashe-backend": { "major": 1 } }),
            "did you mean \"pintle.cache-backend\"?",
        ),
        ("provides", json!({ "x": { "major": 1, "methods": [] } }), "/provides/x/methods: is an empty list"),
        ("provides", json!({ "x": { "methods": ["m"] } }), "/provides/x/major: is missing"),
        ("concurrency", json!(0), "is 0, must be at least 1"),
        ("concurrency", json!(2.0), "/concurrency: is 2.0, write it as 2"),
        ("concurrency", json!(1.5), "/concurrency: is 1.5, must be a whole number"),
        ("state", json!(4_294_967_296_u64), "/state: is 4294967296, must be at most 4294967295"),
        ("limits", json!({ "cache_bytes": 1e3 }), "/limits/cache_bytes: is 1000.0, write it as 1000"),
        (
            "limits",
            json!({ "cache_bytes": "1 MB" }),
            "/limits/cache_bytes: is a string, must be a whole number",
        ),
        ("limits", json!({ "x": 1e30 }), "/limits/x: "),
        ("files", json!(["/etc/passwd"]), "is absolute"),
        ("files", json!(["a//b"]), "has an empty part"),
        ("files", json!(["a\\b"]), "use `/` between folders"),
        ("files", json!(["./a"]), "has a `.` or `..`"),
        ("files", json!(["libz.so.1"]), "link it statically"),
        ("files", json!(["x.pintle.json"]), "is the manifest itself"),
        ("files", json!(["a", "a"]), "has an entry twice"),
        ("config", json!({ "type": "array" }), "/config/type: is \"array\", must be \"object\""),
        ("config", json!({ "properties": { "x": { "pattern": "(" } } }), "is not a valid JSON Schema"),
        ("config", json!({ "$ref": "https://example.com/x.json" }), "is not a valid JSON Schema"),
        ("config", json!({ "$ref": "#/$defs/none" }), "is not a valid JSON Schema"),
        ("services", json!({ "cache": { "namespaces": ["ü".repeat(65)] } }), "is longer than 128 bytes"),
        ("services", json!({ "call": ["Geo"] }), "is not a service id"),
        ("services", json!({ "storage": null }), "/services/storage: is null, must be an object"),
        ("services", json!({ "storage": { "method": [] } }), "did you mean \"methods\"?"),
        ("services", json!({ "storage": { "colour": [] } }), "known here: \"methods\""),
        ("abi", json!("1"), "is not MAJOR.MINOR"),
        ("abi", json!("01.0"), "is not MAJOR.MINOR"),
        ("id", json!("a".repeat(64)), "is not a plugin id"),
        ("version", json!("1.0"), "is not a version"),
    ];
    for (key, value, expected) in cases {
        let found = with(key, value.clone());
        assert_eq!(found.len(), 1, "{key} {value}: {found:?}");
        assert!(found[0].contains(expected), "{key} {value}: {found:?}");
    }
}

#[test]
fn a_table_only_service_needs_no_methods() {
    assert!(with("provides", json!({ "pintle.cache-backend": { "major": 1 } })).is_empty());
    let text = r#"{"id":"a","version":"1.0.0","abi":"1.0","direct":true,"provides":{"x":{"major":1}}}"#;
    assert!(Manifest::parse(text.as_bytes()).is_ok());
}

#[test]
fn contract_42_a_host_serves_its_own_major_and_no_newer_minor() {
    let host = Abi::HOST;
    assert!(host.check().is_ok());
    let mut manifest = Manifest::parse(least().to_string().as_bytes()).expect("is valid");
    manifest.abi.minor = host.minor + 7;
    let error = manifest.check_abi().expect_err("is too new");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        format!(
            "plugin \"a\": asks for pintle ABI 1.{}, this host has {host}: rebuild it against {host} or update the host",
            host.minor + 7
        )
    );
    assert!(Abi { major: host.major + 1, minor: 0 }.check().is_err());
    assert!(
        Abi { major: 0, minor: 0 }
            .check()
            .expect_err("is old")
            .to_string()
            .ends_with("rebuild it against 1.0")
    );
}

#[test]
fn a_thousand_problems_are_cut_short() {
    let many: Vec<String> = (0..2000).map(|n| format!("\"k{n}\":1")).collect();
    let found = problems(format!("{{{}}}", many.join(",")).as_bytes());
    assert_eq!(found.len(), MAX_PROBLEMS);
}

#[test]
fn no_text_makes_the_reader_panic() {
    let mut seed = 7_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for _ in 0..1500 {
        let mut bytes = FULL.as_bytes().to_vec();
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len();
            match next() % 3 {
                0 => bytes[at] = (next() & 0xff) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:0-"[next() % 9]),
            }
        }
        let _ = Manifest::parse(&bytes).map_err(|problems| assert!(!problems.is_empty()));
    }
}

/// `cargo test --release -p pintle --lib how_long_reading -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_reading_a_manifest_takes() {
    for (name, text) in [("full", FULL.to_owned()), ("least", least().to_string())] {
        Manifest::parse(text.as_bytes()).expect("is valid");
        let start = std::time::Instant::now();
        for _ in 0..5000 {
            std::hint::black_box(Manifest::parse(std::hint::black_box(text.as_bytes()))).expect("is valid");
        }
        println!("{name}: {:.1} us", start.elapsed().as_secs_f64() * 1e6 / 5000.0);
    }
}
