//! The words of JSON Schema: where in a schema others stand, and which of them speak of a member or an element.

use serde_json::{Map, Value};

use super::pointer;

/// Keywords with one schema each.
const ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords with a list of schemas each.
const LIST: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// Keywords with named schemas.
const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
const REFERENCES: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$ref"];

/// The references of a schema: keyword and value.
pub(super) fn references(schema: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    REFERENCES.into_iter().filter_map(|key| Some((key, schema.get(key)?)))
}

/// Shows every schema of the document with its path: only what stands where a schema is expected, so that a
/// setting that happens to be called `$ref` is none.
pub(super) fn walk(root: &Value, see: &mut impl FnMut(&str, &Value)) {
    let mut open = vec![(String::new(), root)];
    while let Some((path, schema)) = open.pop() {
        see(&path, schema);
        open.extend(parts(schema).into_iter().map(|(below, part)| (format!("{path}{below}"), part)));
    }
}

pub(super) fn subschemas(root: &Value) -> Vec<&Value> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(schema) = found.get(at) {
        found.extend(parts(schema).into_iter().map(|(_, part)| part));
        at += 1;
    }
    found
}

pub(super) fn parts(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for key in ONE {
        if let Some(part @ (Value::Object(_) | Value::Bool(_))) = schema.get(key) {
            found.push((pointer::join("", key), part));
        }
    }
    for key in LIST {
        let list = schema.get(key).and_then(Value::as_array).into_iter().flatten().enumerate();
        found.extend(list.map(|(at, part)| (format!("/{key}/{at}"), part)));
    }
    for key in NAMED {
        let named = schema.get(key).and_then(Value::as_object).into_iter().flatten();
        found.extend(named.map(|(name, part)| (pointer::join(&format!("/{key}"), name), part)));
    }
    found
}

pub(super) fn member_schemas<'s>(schemas: &[&'s Value], name: &str) -> Vec<&'s Value> {
    let mut found = Vec::new();
    for schema in schemas {
        let own = schema.get("properties").and_then(|properties| properties.get(name));
        // Every pattern counts: better a value too many hidden than one too few.
        found.extend(
            schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values),
        );
        if own.is_none() {
            found.extend(
                ["additionalProperties", "unevaluatedProperties"].iter().filter_map(|key| schema.get(key)),
            );
        }
        found.extend(own);
    }
    found
}

/// The one schema that says what the element at this place is.
pub(super) fn element_schema(schema: &Value, at: usize) -> Option<&Value> {
    let (first, rest) = match schema.get("prefixItems") {
        None => match schema.get("items")? {
            // Drafts before 2020-12.
            Value::Array(list) => (list.as_slice(), schema.get("additionalItems")),
            all => (&[][..], Some(all)),
        },
        Some(list) => (list.as_array()?.as_slice(), schema.get("items")),
    };
    first.get(at).or(rest)
}

/// Every schema that may say something about the element at this place.
pub(super) fn element_schemas(schema: &Value, at: usize) -> Vec<&Value> {
    let mut found = Vec::new();
    for key in ["items", "prefixItems"] {
        match schema.get(key) {
            Some(Value::Array(list)) => found.extend(list.get(at)),
            Some(part) => found.push(part),
            None => {}
        }
    }
    found
        .extend(["additionalItems", "unevaluatedItems", "contains"].iter().filter_map(|key| schema.get(key)));
    found
}

/// `writeOnly` is JSON Schema's own word for what is put in and never shown again; the drafts before 7 do not have
/// it, and for them there is `x-secret`.
pub(super) fn is_marked(schema: &Value) -> bool {
    ["writeOnly", "x-secret"].iter().any(|key| schema.get(key) == Some(&Value::Bool(true)))
}

pub(super) fn percent_decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [_, _, after @ ..]) = (first, tail) {
            bytes.push(u8::from_str_radix(str::from_utf8(&tail[..2]).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}
