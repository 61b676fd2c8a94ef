//! The methods about configs: shown without secrets, and changed by whoever was shown that.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::methods::Answer;
use crate::{
    Host,
    error::{Error, ErrorKind, Result},
    services::config::HIDDEN,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigOf {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewConfig {
    id: String,
    config: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigPatch {
    id: String,
    /// A JSON Merge Patch (RFC 7396).
    patch: Value,
}

/// `config.get`.
pub(super) fn get(host: &Host, ConfigOf { id }: ConfigOf) -> Answer {
    let configs = host.configs();
    match id {
        None => Ok(configs.into_iter().map(|(id, config)| (id.to_string(), config)).collect()),
        Some(id) => configs
            .get(&*id)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "it is not loaded").of(id).into()),
    }
}

/// `config.set`.
pub(super) fn set(host: &Host, NewConfig { id, config }: NewConfig) -> Answer {
    change(host, id, |_| config)
}

/// `config.patch`.
pub(super) fn patch(host: &Host, ConfigPatch { id, patch }: ConfigPatch) -> Answer {
    change(host, id, |current| {
        let mut patched = current.clone();
        merge(&mut patched, &patch);
        patched
    })
}

/// Offers a plugin a config that is made of the current one. Where it has what stands for a secret, that stays.
fn change(host: &Host, id: String, make: impl FnOnce(&Value) -> Value) -> Answer {
    let mut kept = Ok(());
    host.configure_with(&id, |current| {
        // Nobody else changes it meanwhile: what is shown here is this.
        let shown = host.configs().remove(&*id).unwrap_or_default();
        let mut new = make(current);
        kept = keep_secrets(&mut new, &shown, current, &mut "config".to_owned());
        if kept.is_ok() {
            *current = new;
        }
    })?;
    kept.map_err(|error| error.of(id.as_str()))?;
    get(host, ConfigOf { id: Some(id) })
}

/// Puts secrets back where `new`, which lies at `path`, has what is `shown` in their place: whoever changes a config begins
/// with what he is shown.
///
/// # Errors
///
/// INVALID_ARGUMENT: an element of a list has a secret that is hidden, and cannot be told from others. One element's
/// secret must not get to another.
fn keep_secrets(new: &mut Value, shown: &Value, current: &Value, path: &mut String) -> Result<()> {
    match (new, shown, current) {
        (Value::Object(new), Value::Object(shown), Value::Object(current)) => {
            for (name, new) in new {
                if let (Some(shown), Some(current)) = (shown.get(name), current.get(name)) {
                    below(path, name, |path| keep_secrets(new, shown, current, path))?;
                }
            }
        }
        (Value::Array(_), Value::Array(shown), Value::Array(current)) if shown == current => {}
        (Value::Array(new), Value::Array(shown), Value::Array(current)) => {
            let mut changed = new.iter().zip(shown).filter(|(new, shown)| new != shown);
            // All that were there are, or one of them was changed where it stands.
            let in_place = match new.len().checked_sub(shown.len()) {
                None => false,
                Some(0) => changed.nth(1).is_none(),
                Some(_) => changed.next().is_none(),
            };
            for (at, new) in new.iter_mut().enumerate() {
                let origin = match (shown.get(at), current.get(at)) {
                    (Some(shown), Some(current)) if in_place => Some((shown, current)),
                    _ => only_one(new, shown, current),
                };
                below(path, &at.to_string(), |path| match origin {
                    Some((shown, current)) => keep_secrets(new, shown, current, path),
                    None if hides(new) => Err(unknown_secret(path)),
                    None => Ok(()),
                })?;
            }
        }
        (new, shown, current) => {
            if new == shown && shown.as_str() == Some(HIDDEN) {
                new.clone_from(current);
            }
        }
    }
    Ok(())
}

/// The element of a list that `new` is equal to, as it is shown and as it is; none if there are several.
fn only_one<'a>(new: &Value, shown: &'a [Value], current: &'a [Value]) -> Option<(&'a Value, &'a Value)> {
    let mut equal = shown.iter().zip(current).filter(|(shown, _)| *shown == new);
    let first = equal.next()?;
    equal.all(|(_, current)| current == first.1).then_some(first)
}

/// Whether something in there may stand for a secret.
fn hides(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(hides),
        Value::Array(elements) => elements.iter().any(hides),
        other => other.as_str() == Some(HIDDEN),
    }
}

fn unknown_secret(path: &str) -> Error {
    let text = format!(
        "{path}: the list was changed so that nobody can tell which secret {HIDDEN:?} stands for here"
    );
    Error::new(ErrorKind::InvalidArgument, text)
        .mend("write the secret in its place, or change one element of the list at a time")
}

/// Does something with the path of a member or element.
fn below<T>(path: &mut String, name: &str, act: impl FnOnce(&mut String) -> T) -> T {
    let above = path.len();
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
    let outcome = act(path);
    path.truncate(above);
    outcome
}

/// JSON Merge Patch, RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn a_merge_patch_does_what_its_rfc_says() {
        for (target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{target} with {patch}");
        }
    }

    #[test]
    fn what_stands_for_a_secret_leaves_it_as_it_is_in_a_patch_too() {
        let current = json!({ "token": "real", "list": [{ "name": "a", "key": "k" }], "open": 1 });
        let shown = json!({ "token": "***", "list": [{ "name": "a", "key": "***" }], "open": 1 });
        for (patch, expected) in [
            (
                json!({ "token": "***", "open": 2 }),
                json!({ "token": "real", "list": current["list"], "open": 2 }),
            ),
            (json!({ "token": "new" }), json!({ "token": "new", "list": current["list"], "open": 1 })),
            (json!({ "list": shown["list"] }), current.clone()),
        ] {
            let mut patched = current.clone();
            merge(&mut patched, &patch);
            keep_secrets(&mut patched, &shown, &current, &mut String::new()).expect("it can be told");
            assert_eq!(patched, expected, "{patch}");
        }
    }
}
