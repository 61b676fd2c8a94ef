//! What a JSON Schema cannot say of a manifest. Each rule looks only at values of the type that the schema asks
//! for, so that it runs beside the schema's findings and never says the same thing twice.

use semver::{Version, VersionReq};
use serde_json::{Map, Value};

use super::problem::{Problem, escaped, nearest, short};

/// The services that a plugin may provide although their ids are the host's own.
const KNOWN_TABLES: [&str; 1] = ["pintle.cache-backend"];

pub(super) fn check(manifest: &Value, problems: &mut Vec<Problem>) {
    let Some(manifest) = manifest.as_object() else { return };
    let id = manifest.get("id").and_then(Value::as_str).unwrap_or_default();
    whole_numbers(manifest, problems);
    version(manifest, problems);
    if let Some(services) = manifest.get("services").and_then(Value::as_object) {
        namespaces(services, problems);
        topics(services, id, problems);
    }
    provides(manifest, problems);
    requires(manifest, id, problems);
    config(manifest, problems);
    files(manifest, problems);
}

/// JSON Schema takes 2.0 for a whole number; a reader of the manifest should not have to.
fn whole_numbers(manifest: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let mut look = |path: String, value: &Value| {
        if let Some(number) = value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0) {
            let shown = short(value);
            let problem = if number.is_sign_negative() || number >= u64::MAX as f64 {
                return; // outside of the schema's limits
            } else if number < 1e15 {
                format!("is {shown}, write it as {number:.0}")
            } else {
                format!("is {shown}, write it with digits only")
            };
            problems.push(Problem::new(path, problem));
        }
    };
    for key in ["concurrency", "state"] {
        if let Some(value) = manifest.get(key) {
            look(format!("/{key}"), value);
        }
    }
    for (key, value) in members(manifest, "limits") {
        look(format!("/limits/{}", escaped(key)), value);
    }
    for (key, value) in members(manifest, "provides") {
        if let Some(major) = value.get("major") {
            look(format!("/provides/{}/major", escaped(key)), major);
        }
    }
}

fn version(manifest: &Map<String, Value>, problems: &mut Vec<Problem>) {
    if let Some(text) = manifest.get("version").and_then(Value::as_str).filter(|text| !text.is_empty())
        && let Err(error) = Version::parse(text)
    {
        let message = format!("\"{text}\" is not a version such as \"1.4.0\": {error}");
        problems.push(Problem::new("/version", message));
    }
}

fn namespaces(services: &Map<String, Value>, problems: &mut Vec<Problem>) {
    for (index, name) in strings(services.get("cache"), "namespaces") {
        let wrong = if name.len() > 128 && name.chars().count() <= 128 {
            "is longer than 128 bytes"
        } else if name.contains('\0') {
            "has a NUL"
        } else {
            continue;
        };
        problems.push(Problem::new(format!("/services/cache/namespaces/{index}"), wrong));
    }
}

fn topics(services: &Map<String, Value>, id: &str, problems: &mut Vec<Problem>) {
    let events = services.get("events");
    for (index, pattern) in strings(events, "subscribe") {
        if let Err(wrong) = check_pattern(pattern) {
            let path = format!("/services/events/subscribe/{index}");
            problems.push(Problem::new(path, format!("{}: {wrong}", short(&pattern.into()))));
        }
    }
    for (index, pattern) in strings(events, "publish") {
        let path = format!("/services/events/publish/{index}");
        let front = format!("plugin.{id}.");
        // The whole topic, with its front, has to keep to the limits.
        let wrong = match check_pattern(pattern) {
            Err(wrong) => format!("{}: {wrong}", short(&pattern.into())),
            Ok(()) if pattern.starts_with(&front) => {
                format!(
                    "\"{pattern}\" begins with \"{front}\", which the host adds: write \"{}\"",
                    &pattern[front.len()..]
                )
            }
            Ok(()) if pattern.split('.').count() + 2 > 16 || pattern.len() + front.len() > 256 => {
                format!("with \"{front}\" before it this is longer than 16 tokens or 256 bytes")
            }
            Ok(()) => continue,
        };
        problems.push(Problem::new(path, wrong));
    }
}

/// A topic pattern: tokens of `[A-Za-z0-9_-]+` with dots between them, `*` for one, `>` for the rest.
fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.len() > 256 {
        return Err("is longer than 256 bytes".into());
    }
    let tokens: Vec<&str> = pattern.split('.').collect();
    if tokens.len() > 16 {
        return Err(format!("has {} tokens, at most 16 are allowed", tokens.len()));
    }
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "" => return Err("has an empty token: nothing before, after or between dots".into()),
            ">" if index + 1 < tokens.len() => return Err("`>` stands for the rest: only at the end".into()),
            ">" | "*" => {}
            _ => {
                let odd = token.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
                match odd {
                    Some('*' | '>') => {
                        return Err(format!("`{token}`: a wildcard stands for a whole token, not a part"));
                    }
                    Some(odd) => {
                        return Err(format!("{odd:?} may not stand in a topic: only A-Z a-z 0-9 _ -"));
                    }
                    None => {}
                }
            }
        }
    }
    Ok(())
}

fn provides(manifest: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let direct = manifest.get("direct") == Some(&Value::Bool(true));
    for (service, provided) in members(manifest, "provides") {
        let path = format!("/provides/{}", escaped(service));
        if service.starts_with("pintle.") {
            if !KNOWN_TABLES.contains(&service.as_str()) {
                let mend = match nearest(service, KNOWN_TABLES.into_iter()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "choose another name".into(),
                };
                problems.push(Problem::new(path, format!("`pintle.` is the host's own: {mend}")));
            }
        } else if provided.is_object() && provided.get("methods").is_none() && !direct {
            let message =
                "has no methods: list those that `call` answers, or say \"direct\": true for a table only";
            problems.push(Problem::new(path, message));
        }
    }
}

fn requires(manifest: &Map<String, Value>, id: &str, problems: &mut Vec<Problem>) {
    for (plugin, range) in members(manifest, "requires") {
        let path = format!("/requires/{}", escaped(plugin));
        if plugin == id {
            problems.push(Problem::new(path.as_str(), "is the plugin itself: remove it"));
        }
        if let Some(text) = range.as_str().filter(|text| !text.is_empty())
            && let Err(error) = VersionReq::parse(text)
        {
            let message = format!("\"{text}\" is not a range of versions such as \"^1.2\": {error}");
            problems.push(Problem::new(path, message));
        }
    }
}

fn config(manifest: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let Some(config) = manifest.get("config").filter(|config| config.is_object()) else { return };
    if let Some(kind) = config.get("type").filter(|kind| *kind != "object") {
        let message = format!("is {}, must be \"object\": a plugin's settings are one", short(kind));
        problems.push(Problem::new("/config/type", message));
    }
    if let Err(error) = jsonschema::options().offline().build(config) {
        let path = format!("/config{}", error.instance_path());
        problems.push(Problem::new(path, format!("is not a valid JSON Schema: {error}")));
    }
}

fn files(manifest: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let Some(list) = manifest.get("files").and_then(Value::as_array) else { return };
    for (index, name) in list.iter().enumerate() {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty())
            && let Err(wrong) = check_file(name)
        {
            problems.push(Problem::new(format!("/files/{index}"), format!("\"{name}\" {wrong}")));
        }
    }
}

/// A resource's name: relative, `/` between folders, the same on every platform.
fn check_file(name: &str) -> Result<(), &'static str> {
    if name.starts_with('/') {
        return Err("is absolute: name it relative to the library's folder");
    }
    if name.contains(['\\', ':', '\0']) || name.chars().any(char::is_control) {
        return Err(
            "has a character that file names do not have everywhere: use `/` between folders, no `\\` or `:`",
        );
    }
    for part in name.split('/') {
        match part {
            "" => return Err("has an empty part"),
            "." | ".." => return Err("has a `.` or `..`: resources lie beside the library, not outside"),
            _ if part.len() > 255 => return Err("has a part longer than 255 bytes"),
            _ => {}
        }
    }
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(".pintle.json") {
        return Err("is the manifest itself, which is staged anyway");
    }
    if [".so", ".dll", ".dylib"].iter().any(|end| lower.ends_with(end)) || lower.contains(".so.") {
        return Err("is a library, which would be loaded unchecked: link it statically");
    }
    Ok(())
}

/// The members of the object under `key`, none if it is not an object.
fn members<'m>(object: &'m Map<String, Value>, key: &str) -> impl Iterator<Item = (&'m String, &'m Value)> {
    object.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The strings of the list under `key`, with their places; other values are the schema's business.
fn strings<'m>(object: Option<&'m Value>, key: &str) -> impl Iterator<Item = (usize, &'m str)> {
    let list = object.and_then(|object| object.get(key)).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, item)| item.as_str().filter(|text| !text.is_empty()).map(|text| (index, text)))
}
