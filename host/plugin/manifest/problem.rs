//! What is wrong with a manifest, and where: the validator's findings in words that an author can act on.

use std::{borrow::Cow, fmt};

use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer; empty for the manifest as a whole.
    pub path: String,
    /// What is wrong there and what would be right, without a full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// A key as one step of a JSON pointer.
pub(super) fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

/// One finding of the validator as problems; an object with three unknown keys is three of them.
pub(super) fn from_validator(schema: &Value, error: &ValidationError<'_>, into: &mut Vec<Problem>) {
    let path = error.instance_path().to_string();
    let found = error.instance().as_ref();
    let message = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known_keys(schema, error.schema_path().as_str());
            into.extend(unexpected.iter().map(|key| {
                let path = format!("{path}/{}", escaped(key));
                let near = nearest(key, known.iter().copied());
                Problem::new(
                    path,
                    match near {
                        Some(near) => format!("is an unknown key, did you mean \"{near}\"?"),
                        None if known.len() > 3 => "is an unknown key".into(),
                        None => format!("is an unknown key, known here: {}", quoted(&known)),
                    },
                )
            }));
            return;
        }
        ValidationErrorKind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            let path = format!("{path}/{}", escaped(property));
            into.push(Problem::new(path, "is missing"));
            return;
        }
        ValidationErrorKind::PropertyNames { error: inner } => {
            let key = inner.instance().as_str().unwrap_or_default();
            let path = format!("{path}/{}", escaped(key));
            into.push(Problem::new(path, format!("is not a name that may stand here: {}", plain(inner))));
            return;
        }
        ValidationErrorKind::Type { .. } => {
            let expected = schema
                .pointer(error.schema_path().as_str())
                .and_then(Value::as_str)
                .unwrap_or("value of another type");
            match (expected, found) {
                ("integer", Value::Number(_)) => format!("is {}, must be a whole number", short(found)),
                _ => format!("is {}, must be {}", article(kind_of(found)), article(expected)),
            }
        }
        _ => plain(error),
    };
    into.push(Problem::new(path, message));
}

fn plain(error: &ValidationError<'_>) -> String {
    let found = short(error.instance());
    match error.kind() {
        ValidationErrorKind::Pattern { pattern } => format!("{found} is not {}", in_words(pattern)),
        ValidationErrorKind::Minimum { limit } => format!("is {found}, must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("is {found}, must be at most {limit}"),
        ValidationErrorKind::MinLength { .. } => "is empty".into(),
        ValidationErrorKind::MaxLength { limit } => format!("is longer than {limit} characters"),
        ValidationErrorKind::MinItems { .. } => "is an empty list: name at least one, or leave it out".into(),
        ValidationErrorKind::MaxItems { limit } => format!("has more than {limit} entries"),
        ValidationErrorKind::MaxProperties { limit } => format!("has more than {limit} entries"),
        ValidationErrorKind::UniqueItems => "has an entry twice".into(),
        _ => error.to_string(),
    }
}

/// The patterns of the schema, said in words; a test holds that none is left out.
fn in_words(pattern: &str) -> Cow<'static, str> {
    match pattern {
        r"^[a-z][a-z0-9-]{0,62}$" => {
            "a plugin id: a small letter, then at most 62 of small letters, digits and `-`".into()
        }
        r"^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*$" => {
            "a service id: words of small letters, digits and `-`, with dots between them".into()
        }
        r"^[a-z][a-z0-9_]{0,62}$" => {
            "a name: a small letter, then at most 62 of small letters, digits and `_`".into()
        }
        r"^(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})$" => "MAJOR.MINOR, such as \"1.0\"".into(),
        other => format!("what {other} matches").into(),
    }
}

/// The keys that the schema knows beside the `additionalProperties` at `schema_path`.
fn known_keys<'s>(schema: &'s Value, schema_path: &str) -> Vec<&'s str> {
    schema_path
        .strip_suffix("/additionalProperties")
        .and_then(|object| schema.pointer(&format!("{object}/properties")))
        .and_then(Value::as_object)
        .map(|keys| keys.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// The known word that was most likely meant.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let most = if word.chars().count() <= 4 { 1 } else { 2 };
    known
        .map(|candidate| (distance(word, candidate, most), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters differ, a swap of two neighbours counting as one; more than `most` need not be exact.
fn distance(a: &str, b: &str, most: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().flat_map(char::to_lowercase).collect(), b.chars().flat_map(char::to_lowercase).collect());
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

fn quoted(words: &[&str]) -> String {
    if words.is_empty() {
        return "none".into();
    }
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn article(kind: &str) -> String {
    match kind {
        "null" => "null".into(),
        "integer" => "a whole number".into(),
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        "object" => "an object".into(),
        other => format!("a {other}"),
    }
}

/// A value for a message: never longer than a line.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_recognised_and_a_far_one_is_not() {
        let known = ["cache", "storage", "events", "log"];
        for (word, meant) in [
            ("cashe", Some("cache")),
            ("Cache", Some("cache")),
            ("stroage", Some("storage")),
            ("event", Some("events")),
            ("lgo", Some("log")),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }

    #[test]
    fn every_pattern_of_the_schema_is_said_in_words() {
        fn patterns(value: &Value, into: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    for (key, value) in object {
                        if let ("pattern", Value::String(pattern)) = (key.as_str(), value) {
                            into.push(pattern.clone());
                        }
                        patterns(value, into);
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| patterns(item, into)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        patterns(super::super::schema(), &mut all);
        assert!(all.len() >= 4);
        for pattern in all {
            assert!(!in_words(&pattern).contains("matches"), "{pattern} has no words");
        }
    }
}
