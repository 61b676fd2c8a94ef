//! Filters of subscriptions: read from JSON, and asked of events.

use pintle_abi::PintleStr;
use serde_json::Value;

use super::{Emitted, input};
use crate::{Error, Result};

/// The most bytes of a filter, levels, filters within it, and bytes of a value.
const MOST: (usize, usize, usize, usize) = (4_096, 8, 64, 512);

#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// Attributes that must all have the value.
    Exact(Vec<(String, String)>),
    Prefix(Vec<(String, String)>),
    Suffix(Vec<(String, String)>),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

impl Filter {
    /// None for empty text, which lets everything through.
    ///
    /// # Safety
    /// As for [`crate::wire::bytes`].
    pub(super) unsafe fn take(text: PintleStr) -> Result<Option<Self>> {
        // SAFETY: the caller's promise.
        let text = unsafe { input::text("options.filter", text, MOST.0) }?;
        if text.is_empty() {
            return Ok(None);
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| input::wrong("options.filter", error))?;
        let mut there = 0;
        Self::read(&value, "$", 1, &mut there).map(Some)
    }

    fn read(value: &Value, path: &str, depth: usize, there: &mut usize) -> Result<Self> {
        *there += 1;
        if depth > MOST.1 || *there > MOST.2 {
            return Err(wrong(path, "at most 8 levels and 64 filters are taken"));
        }
        let member = value.as_object().filter(|all| all.len() == 1).and_then(|all| all.iter().next());
        let (kind, inner) = member.ok_or_else(|| wrong(path, "a filter is an object with one member"))?;
        let path = format!("{path}.{kind}");
        match (kind.as_str(), inner) {
            ("exact", inner) => attributes(inner, &path).map(Self::Exact),
            ("prefix", inner) => attributes(inner, &path).map(Self::Prefix),
            ("suffix", inner) => attributes(inner, &path).map(Self::Suffix),
            ("all" | "any", Value::Array(all)) if !all.is_empty() => {
                let each = all.iter().enumerate();
                let filters = each
                    .map(|(at, one)| Self::read(one, &format!("{path}[{at}]"), depth + 1, there))
                    .collect::<Result<_>>()?;
                Ok(if kind == "all" { Self::All(filters) } else { Self::Any(filters) })
            }
            ("all" | "any", _) => Err(wrong(&path, "it has a list of one or more filters")),
            ("not", one) => Ok(Self::Not(Box::new(Self::read(one, &path, depth + 1, there)?))),
            _ => Err(wrong(&path, "`exact`, `prefix`, `suffix`, `all`, `any` and `not` are known")),
        }
    }

    pub(super) fn takes(&self, event: &Emitted) -> bool {
        let all_of = |all: &[(String, String)], fulfils: fn(&str, &str) -> bool| {
            all.iter().all(|(name, value)| attribute(event, name).is_some_and(|there| fulfils(there, value)))
        };
        match self {
            Self::Exact(all) => all_of(all, |there, value| there == value),
            Self::Prefix(all) => all_of(all, |there, value| there.starts_with(value)),
            Self::Suffix(all) => all_of(all, |there, value| there.ends_with(value)),
            Self::All(filters) => filters.iter().all(|one| one.takes(event)),
            Self::Any(filters) => filters.iter().any(|one| one.takes(event)),
            Self::Not(filter) => !filter.takes(event),
        }
    }
}

fn wrong(path: &str, problem: &str) -> Error {
    input::wrong("options.filter", format_args!("at {path}: {problem}"))
}

fn attributes(value: &Value, path: &str) -> Result<Vec<(String, String)>> {
    let all = value.as_object().filter(|all| !all.is_empty());
    let all = all.ok_or_else(|| wrong(path, "it is an object with one or more attributes"))?;
    let each = all.iter().map(|(name, value)| {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !plain || !(1..=64).contains(&name.len()) {
            return Err(wrong(path, "an attribute's name is 1 to 64 of a-z and 0-9"));
        }
        if ["data", "specversion", "time"].contains(&name.as_str()) {
            return Err(wrong(path, "`data`, `specversion` and `time` cannot be asked for"));
        }
        match value.as_str() {
            Some(value) if (1..=MOST.3).contains(&value.len()) => Ok((name.clone(), value.to_owned())),
            _ => Err(wrong(path, "an attribute's value is text of 1 to 512 bytes")),
        }
    });
    each.collect()
}

/// Events of tests have no extensions.
fn attribute<'a>(event: &'a Emitted, name: &str) -> Option<&'a str> {
    match name {
        "type" => Some(&event.topic),
        "id" => Some(&event.id),
        "source" => Some(&event.source),
        "subject" => event.subject.as_deref(),
        "datacontenttype" => Some(&event.content_type),
        "partitionkey" => event.key.as_deref(),
        "tenant" => event.tenant.as_deref(),
        _ => None,
    }
}
