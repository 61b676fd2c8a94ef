//! `docs/manifest.md` explains each key of `docs/manifest.schema.json`, and its example is a manifest.

use std::collections::BTreeSet;

use pintle::inspect::Manifest;
use serde_json::Value;

use crate::read;

#[test]
fn every_key_of_the_schema_is_explained_and_nothing_else() {
    let schema: Value = serde_json::from_str(&read("docs/manifest.schema.json")).expect("the schema is JSON");
    let mut keys = BTreeSet::new();
    collect(&schema, &schema, "", &mut keys);
    assert!(keys.contains("services.events.subscribe") && keys.contains("provides.<id>.major"), "{keys:?}");
    let page = read("docs/manifest.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: BTreeSet<String> =
        rows.filter_map(|row| row.split_once("` |")).map(|(key, _)| key.to_owned()).collect();
    assert_eq!(explained, keys, "docs/manifest.md and docs/manifest.schema.json differ");
}

#[test]
fn the_examples_of_the_page_are_valid() {
    let page = read("docs/manifest.md");
    let mut examples = 0;
    for block in page.split("```json\n").skip(1) {
        let text = block.split("```").next().expect("a split gives one part at least");
        if let Err(problems) = Manifest::parse(text.as_bytes()) {
            panic!("an example is wrong: {problems:?}\n{text}");
        }
        examples += 1;
    }
    assert!(examples >= 2, "only {examples} examples");
}

#[test]
fn the_limits_of_the_page_are_those_of_the_host() {
    let page = read("docs/manifest.md");
    for (text, size) in [("64 KiB", 64 * 1024), ("64 KiB", 64 * 1024 + 1)] {
        assert!(page.contains(text), "the page does not say {text}");
        let problems = Manifest::parse(&vec![b' '; size]).expect_err("blanks are no manifest");
        let too_large = problems[0].message.contains("at most 65536");
        assert_eq!(too_large, size > 64 * 1024, "{problems:?}");
    }
}

/// The paths of all keys below `schema`, with `<id>` for names that authors choose.
fn collect(document: &Value, schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    let schema = match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).expect("references lead somewhere"),
        None => schema,
    };
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        into.insert(below(key));
        collect(document, value, &below(key), into);
    }
    if schema["additionalProperties"].is_object() {
        collect(document, &schema["additionalProperties"], &below("<id>"), into);
    }
}
