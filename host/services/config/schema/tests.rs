//! What a schema takes, refuses, fills in and hides.

use serde_json::json;

use super::*;

fn compiled(schema: Value) -> Schema {
    Schema::compile(&schema).unwrap_or_else(|problems| panic!("{schema}: {problems:?}"))
}

fn told(problems: Vec<Problem>) -> Vec<String> {
    let mut told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    told.sort();
    told
}

fn refused(schema: &Schema, config: Value) -> Vec<String> {
    told(schema.check(&config).expect_err("refused"))
}

#[test]
fn config_2_all_problems_are_told_at_once_each_with_its_path() {
    let schema = compiled(json!({
        "type": "object", "additionalProperties": false, "required": ["host"],
        "properties": {
            "host": { "type": "string" },
            "window": { "type": "integer", "minimum": 1 },
            "mode": { "enum": ["fast", "safe"] },
            "port": { "type": ["integer", "null"], "maximum": 65535 },
            "names": { "type": "array", "items": { "type": "string", "pattern": "^[a-z]+$" }, "maxItems": 2 },
            "nested": { "type": "object", "additionalProperties": false, "properties": { "depth": {} } }
        }
    }));
    let config = json!({
        "windw": 5, "window": 0, "mode": "slow", "port": "80", "names": ["ok", "Bad", 3], "nested": { "dephts": 1, "other": 2 }
    });
    assert_eq!(
        refused(&schema, config),
        [
            "/host: is required and missing",
            "/mode: \"slow\" is none of [\"fast\",\"safe\"]",
            "/names/1: \"Bad\" does not match the pattern ^[a-z]+$",
            "/names/2: 3 is not of type string",
            "/names: has more than 2 elements",
            "/nested/dephts: there is no such setting: did you mean `depth`",
            "/nested/other: there is no such setting: there are `depth`",
            "/port: \"80\" is not of type null or integer",
            "/window: 0 is less than 1",
            "/windw: there is no such setting: did you mean `window`",
        ]
    );
}

#[test]
fn config_3_defaults_fill_what_is_missing_and_nothing_else() {
    let schema = compiled(json!({
        "type": "object",
        "$defs": {
            "server": { "type": "object", "properties": { "port": { "type": "integer", "default": 80 }, "tls": { "default": false } } },
            "level": { "default": "info" }
        },
        "properties": {
            "window": { "type": "integer", "default": 60 },
            "server": { "$ref": "#/$defs/server", "default": {} },
            "spare": { "$ref": "#/$defs/server" },
            "servers": { "type": "array", "items": { "$ref": "#/$defs/server" } },
            "pair": { "prefixItems": [{ "properties": { "first": { "default": 1 } } }], "items": { "properties": { "rest": { "default": 2 } } } },
            "level": { "$ref": "#/$defs/level" },
            "nothing": { "default": null }, "late": {},
            "either": { "anyOf": [{ "properties": { "a": { "default": 1 } } }, {}] }
        },
        "additionalProperties": { "$ref": "#/$defs/server" },
        "allOf": [{ "properties": { "late": { "default": [1] } } }]
    }));
    let all = json!({
        "window": 60, "server": { "port": 80, "tls": false }, "level": "info", "nothing": null, "late": [1]
    });
    assert_eq!(schema.check(&json!({})).expect("valid"), all);
    let mut given = json!({
        "window": 1, "server": { "port": 81 }, "spare": {}, "servers": [{}, { "tls": true }], "pair": [{}, {}],
        "level": "warn", "nothing": 0, "late": [], "extra": {}, "either": {}
    });
    let filled = schema.check(&given).expect("valid");
    for (pointer, value) in [
        ("/server", json!({ "port": 81, "tls": false })),
        ("/spare", json!({ "port": 80, "tls": false })),
        ("/servers", json!([{ "port": 80, "tls": false }, { "port": 80, "tls": true }])),
        ("/pair", json!([{ "first": 1 }, { "rest": 2 }])),
        ("/extra", json!({ "port": 80, "tls": false })),
    ] {
        *given.pointer_mut(pointer).expect("given") = value;
    }
    assert_eq!(filled, given, "what was given stands, also where it is empty, null or zero");
}

#[test]
fn a_schema_that_nobody_can_use_is_refused_with_all_its_problems() {
    for (schema, expected) in [
        (json!([]), vec!["a config schema is a JSON object, as in `{ \"type\": \"object\" }`"]),
        (json!(true), vec!["a config schema is a JSON object, as in `{ \"type\": \"object\" }`"]),
        (
            json!({ "$ref": "https://example.com/a.json", "properties": { "a": { "$ref": "other.json#/a" }, "b": { "$ref": "#/$defs/none" }, "c": { "$ref": "file:///etc/passwd" } } }),
            vec![
                "/$ref: \"https://example.com/a.json\" leads out of the schema: only references that begin with `#` are followed",
                "/properties/a/$ref: \"other.json#/a\" leads out of the schema: only references that begin with `#` are followed",
                "/properties/b/$ref: \"#/$defs/none\" leads to no schema in the document",
                "/properties/c/$ref: \"file:///etc/passwd\" leads out of the schema: only references that begin with `#` are followed",
            ],
        ),
        (
            json!({ "properties": { "a": { "$dynamicRef": "x#y" } } }),
            vec![
                "/properties/a/$dynamicRef: \"x#y\" leads out of the schema: only references that begin with `#` are followed",
            ],
        ),
        (
            json!({ "$schema": "https://example.com/my-draft" }),
            vec!["/$schema: is none of the drafts 4, 6, 7, 2019-09 and 2020-12 of JSON Schema"],
        ),
        (
            json!({ "properties": { "a": { "$id": "https://example.com/" } } }),
            vec!["/properties/a/$id: only the whole schema may have an `$id`"],
        ),
        (
            json!({ "$ref": "#/x/a", "x": { "a": { "$ref": "#/x/a", "writeOnly": true } } }),
            vec!["/$ref: \"#/x/a\" leads to no schema in the document"],
        ),
        (json!({ "$ref": "#" }), vec!["/$ref: leads back to itself"]),
        (
            json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "$ref": "#/$defs/a" } } }),
            vec!["/$defs/a/anyOf/0/$ref: leads back to itself", "/$defs/b/$ref: leads back to itself"],
        ),
        (json!({ "properties": { "a": { "$ref": "#", "default": {} } } }), vec![ENDLESS]),
        (
            json!({ "properties": { "a": { "$ref": "#", "default": {} }, "b": { "$ref": "#", "default": {} } } }),
            vec![ENDLESS],
        ),
        (
            json!({ "properties": { "a": { "type": "integer", "minimum": 1, "default": 0 } } }),
            vec!["the default of /a does not fit: 0 is less than 1"],
        ),
    ] {
        assert_eq!(told(Schema::compile(&schema).expect_err("refused")), expected, "{schema}");
    }
    let problems =
        Schema::compile(&json!({ "type": "objekt", "properties": { "a": { "minimum": "1" }, "b": 3 } }));
    let paths: Vec<_> = problems.expect_err("refused").into_iter().map(|problem| problem.path).collect();
    for path in ["/type", "/properties/a/minimum", "/properties/b"] {
        assert!(paths.iter().any(|found| found == path), "{path}: {paths:?}");
    }
}

#[test]
fn a_pattern_that_could_run_for_ever_is_refused_or_runs_in_linear_time() {
    let evil = compiled(json!({ "properties": { "a": { "type": "string", "pattern": "^(a+)+$" } } }));
    let text = format!("{}!", "a".repeat(50_000));
    assert_eq!(refused(&evil, json!({ "a": text })), ["/a: the value does not match the pattern ^(a+)+$"]);
    Schema::compile(&json!({ "properties": { "a": { "pattern": "(?=x)x" } } }))
        .expect_err("needs backtracking");
    Schema::compile(&json!({ "properties": { "a": { "pattern": "(" } } })).expect_err("not a pattern");
}

#[test]
fn a_format_is_checked_if_it_is_known() {
    let schema =
        compiled(json!({ "properties": { "a": { "format": "ipv4" }, "b": { "format": "shoe-size" } } }));
    assert_eq!(
        refused(&schema, json!({ "a": "1.2.3", "b": "x" })),
        ["/a: \"1.2.3\" is not of the format ipv4"]
    );
    schema.check(&json!({ "a": "1.2.3.4", "b": "x" })).expect("valid");
}

#[test]
fn references_inside_of_the_document_are_followed_also_to_themselves() {
    let tree = compiled(json!({
        "$id": "https://example.com/tree",
        "properties": { "left": { "$ref": "#" }, "name": { "$ref": "#name" }, "odd": { "$ref": "#/$defs/a%20b~1c" }, "$ref": { "type": "string" } },
        "additionalProperties": false,
        "$defs": { "n": { "$anchor": "name", "type": "string" }, "a b/c": { "type": "integer" } }
    }));
    tree.check(&json!({ "left": { "left": { "name": "x" } }, "odd": 1, "$ref": "a setting's name" }))
        .expect("valid");
    assert_eq!(
        refused(&tree, json!({ "left": { "left": { "name": 1, "odd": "x" } } })),
        ["/left/left/name: 1 is not of type string", "/left/left/odd: \"x\" is not of type integer"]
    );
}

#[test]
fn a_plugin_without_a_schema_takes_no_settings() {
    let schema = Schema::none();
    assert_eq!(schema.check(&json!({})), Ok(json!({})));
    let told = refused(&schema, json!({ "a": "hunter2", "b": 1 }));
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("/a: the plugin takes no settings") && !told[0].contains("hunter2"),
        "{told:?}"
    );
    let any = compiled(json!({}));
    assert_eq!(any.check(&json!({ "a": [1] })), Ok(json!({ "a": [1] })));
    for config in [json!([]), json!(null), json!("x")] {
        assert_eq!(refused(&any, config.clone()), ["a config is an object"], "{config}");
        assert_eq!(refused(&schema, config), ["a config is an object"]);
    }
}

fn with_secrets() -> Schema {
    compiled(json!({
        "type": "object",
        "$defs": {
            "secret": { "type": "string", "minLength": 20, "writeOnly": true },
            "account": { "type": "object", "additionalProperties": false, "properties": { "user": { "type": "string" }, "password": { "$ref": "#/$defs/secret" } } }
        },
        "properties": {
            "open": { "type": "string", "maxLength": 3 },
            "token": { "type": "string", "pattern": "^tok", "x-secret": true },
            "account": { "$ref": "#/$defs/account" },
            "accounts": { "type": "array", "uniqueItems": true, "items": { "$ref": "#/$defs/account" } },
            "keys": { "type": "object", "patternProperties": { "^k": { "writeOnly": true, "type": "integer" } }, "additionalProperties": { "$ref": "#/$defs/account" } },
            "whole": { "type": "object", "writeOnly": true, "properties": { "inner": { "type": "integer" } } },
            "either": { "anyOf": [{ "type": "integer" }, { "$ref": "#/$defs/secret" }] },
            "one": { "oneOf": [{ "type": "object", "required": ["x"], "properties": { "x": { "const": 1 } } }, { "$ref": "#/$defs/account" }] },
            "tuple": { "prefixItems": [{ "type": "string" }, { "writeOnly": true, "type": "string" }], "items": false },
            "word": { "x-secret": true, "enum": ["a", "b"] }
        }
    }))
}

#[test]
fn secrets_are_hidden_wherever_the_schema_marks_them() {
    let config = json!({
        "open": "abc", "token": "tok-hunter2", "account": { "user": "me", "password": "hunter2" },
        "accounts": [{ "user": "me", "password": "hunter2" }], "keys": { "k1": 1, "team": { "password": "hunter2" } },
        "whole": { "inner": 1 }, "either": "hunter2", "tuple": ["a", "hunter2"]
    });
    assert_eq!(
        with_secrets().redacted(&config),
        json!({
            "open": "abc", "token": "***", "account": { "user": "me", "password": "***" },
            "accounts": [{ "user": "me", "password": "***" }],
            "keys": { "k1": "***", "team": "***" }, "whole": "***", "either": "***", "tuple": ["a", "***"]
        })
    );
    let misplaced = json!({ "tuple": "hunter2", "open": "abc" });
    assert_eq!(with_secrets().redacted(&misplaced), json!({ "tuple": "***", "open": "abc" }));
    let plain = compiled(json!({ "properties": { "writeOnly": { "default": true } } }));
    assert_eq!(
        plain.redacted(&json!({ "writeOnly": true, "x-secret": 1 })),
        json!({ "writeOnly": true, "x-secret": 1 })
    );
}

#[test]
fn no_problem_tells_a_secret_however_wrongly_it_was_written() {
    let schema = with_secrets();
    for config in [
        json!({ "token": "hunter2" }),
        json!({ "token": ["hunter2"] }),
        json!({ "token": { "hunter": "hunter2" } }),
        json!({ "account": "hunter2" }),
        json!({ "account": ["hunter2"] }),
        json!({ "account": { "password": "hunter2" } }),
        json!({ "account": { "pasword": "hunter2" } }),
        json!({ "accounts": "hunter2" }),
        json!({ "accounts": ["hunter2"] }),
        json!({ "accounts": [{ "password": "hunter2hunter2hunter2" }, { "password": "hunter2hunter2hunter2" }] }),
        json!({ "keys": { "k1": "hunter2" } }),
        json!({ "keys": { "other": "hunter2" } }),
        json!({ "keys": "hunter2" }),
        json!({ "whole": { "inner": "hunter2" } }),
        json!({ "whole": "hunter2" }),
        json!({ "either": "hunter2" }),
        json!({ "one": { "password": "hunter2" } }),
        json!({ "one": "hunter2" }),
        json!({ "tuple": ["a", 2, "hunter2"] }),
        json!({ "word": "hunter2" }),
    ] {
        let problems = refused(&schema, config.clone());
        assert!(
            !problems.is_empty() && problems.iter().all(|told| !told.contains("hunter2")),
            "{config}: {problems:?}"
        );
    }
    assert_eq!(
        refused(&schema, json!({ "open": "shown" })),
        ["/open: \"shown\" is longer than 3 characters"]
    );
}
