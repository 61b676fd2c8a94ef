//! `pintle config`: the configs of plugins, as a running host has them, or, without one, as the settings have them; and
//! changes of them in a running host.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::Place,
    lines,
    link::Link,
    print::{self, Style, json_line, table},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows the configs of plugins, and changes them in a running host

Shows `***` in place of secrets. Without a running host it shows what the settings say. A change is checked against the \
plugin's schema, counts if the plugin takes it, and lasts until the plugin is unloaded: what is to last stands under \
[plugin.<id>.config] in the settings.

A KEY is a name, or several joined by dots, or a JSON pointer: limits.memory, /limits/memory. A VALUE is JSON, or else \
text; an object is merged into the one that is there.

Examples:
  pintle config
  pintle config sysmon
  pintle config set sysmon interval_ms=500 'disks=[\"/\"]'
  pintle config unset sysmon disks
  pintle config set sysmon --file sysmon.json";

/// The most bytes that a config has; a request has no more.
const MOST_BYTES: u64 = 2 << 20;

/// What stands where a value is not shown.
const HIDDEN: &str = "***";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The plugin; by default all
    #[arg(value_name = "ID")]
    plugin: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Writes a JSON object for each plugin, one on a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows configs; what is done if nothing is named
    Get {
        /// The plugin; by default all
        #[arg(value_name = "ID")]
        plugin: Option<String>,
    },
    /// Changes single values, or with --file all of them
    Set {
        /// The plugin
        #[arg(value_name = "ID")]
        plugin: String,
        /// What is to be changed
        #[arg(value_name = "KEY=VALUE", required_unless_present = "file", conflicts_with = "file")]
        changes: Vec<String>,
        /// The whole config, a JSON object; `-` is stdin
        #[arg(long, value_name = "FILE|-")]
        file: Option<PathBuf>,
    },
    /// Takes values away, so that the defaults count
    Unset {
        /// The plugin
        #[arg(value_name = "ID")]
        plugin: String,
        /// What is to be taken away
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
}

/// Shows configs, or changes one.
pub(crate) fn config(options: &Options) -> Result<Exit, Failure> {
    // Not by `args_conflicts_with_subcommands`: for that --data before the command would be in conflict too.
    if let (Some(plugin), Some(_)) = (&options.plugin, &options.action) {
        return Err(Failure::misused(format!(
            "{plugin:?} stands before what is to be done: write the command first, as in `pintle config set {plugin} KEY=VALUE`"
        )));
    }
    let (plugin, method, params) = match &options.action {
        None => return get(options, options.plugin.as_deref()),
        Some(Action::Get { plugin }) => return get(options, plugin.as_deref()),
        Some(Action::Set { plugin, file: Some(file), .. }) => {
            (plugin, "config.set", json!({ "id": plugin, "config": read(file)? }))
        }
        Some(Action::Set { plugin, changes, file: None }) => (
            plugin,
            "config.patch",
            json!({ "id": plugin, "patch": patch(changes.iter().map(|it| change(it)))? }),
        ),
        Some(Action::Unset { plugin, keys }) => {
            let gone = keys.iter().map(|key| Ok((path(key)?, Value::Null)));
            (plugin, "config.patch", json!({ "id": plugin, "patch": patch(gone)? }))
        }
    };
    let mut link = Link::running(&options.place)?;
    let config = link.ask(method, params)?;
    let exit = show(&[(plugin.clone(), config)], options.json)?;
    Voice::plain().say(&format!(
        "this counts until {plugin} is unloaded: to make it last, write it under [plugin.{plugin}.config] in the settings"
    ));
    Ok(exit)
}

fn get(options: &Options, plugin: Option<&str>) -> Result<Exit, Failure> {
    let mut link = Link::open(&options.place)?;
    if link.is_made() {
        return set_down(&link, options, plugin);
    }
    let configs = match plugin {
        Some(id) => vec![(id.to_owned(), link.ask("config.get", json!({ "id": id }))?)],
        None => match link.ask("config.get", json!({}))? {
            Value::Object(all) => all.into_iter().collect(),
            _ => Vec::new(),
        },
    };
    show(&configs, options.json)
}

/// What the settings say. What of it is secret only the plugin's manifest tells.
fn set_down(link: &Link, options: &Options, plugin: Option<&str>) -> Result<Exit, Failure> {
    let found = link.made().map(|host| host.available().found).unwrap_or_default();
    let wanted = |id: &str| plugin.is_none_or(|plugin| plugin == id);
    let (mut configs, mut hidden) = (Vec::new(), Vec::new());
    for (id, settings) in link.settings.plugin.iter().filter(|(id, _)| wanted(id)) {
        let config = Value::Object(settings.config.clone());
        let manifest = found.iter().map(|candidate| &candidate.manifest).find(|manifest| manifest.id == *id);
        let shown = match manifest.and_then(|manifest| manifest.without_secrets(&config)) {
            Some(shown) => shown,
            None if settings.config.is_empty() => config,
            None => {
                hidden.push(id.clone());
                settings.config.keys().map(|name| (name.clone(), Value::from(HIDDEN))).collect()
            }
        };
        configs.push((id.clone(), shown));
    }
    let exit = show(&configs, options.json)?;
    let voice = Voice::plain();
    let file = options.place.file().map_or("there are none".into(), |file| file.display().to_string());
    voice.say(&format!("no host runs on {}: this is what the settings say ({file})", link.folder.display()));
    if !hidden.is_empty() {
        voice.say(&format!(
            "the values of {} are hidden: its manifest is in no plugin folder, or they do not fit its schema, so that what \
             is secret cannot be told",
            hidden.join(", ")
        ));
    }
    match plugin {
        Some(id) if configs.is_empty() => Err(Failure {
            exit: Exit::NoPlugin,
            text: format!(
                "the settings say nothing of a plugin {id:?}: `pintle config` shows all that they do"
            ),
        }),
        _ => Ok(exit),
    }
}

fn show(configs: &[(String, Value)], json: bool) -> Result<Exit, Failure> {
    print::answer(|out| {
        if json {
            for (id, config) in configs {
                out.write_all(json_line(&json!({ "id": id, "config": config }))?.as_bytes())?;
            }
            return Ok(Exit::Fine);
        }
        let mut rows = Vec::new();
        for (id, config) in configs {
            let before = rows.len();
            flatten(id, "", config, &mut rows);
            if rows.len() == before {
                rows.push(vec![id.clone(), String::new(), String::new()]);
            }
        }
        if !rows.is_empty() {
            out.write_all(table(&["PLUGIN", "KEY", "VALUE"], &rows, Style::of_stdout()).as_bytes())?;
        }
        Ok(Exit::Fine)
    })
}

/// A row for each value, with the key by which `set` knows it.
fn flatten(id: &str, below: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                flatten(id, &format!("{below}/{name}"), member, rows);
            }
        }
        Value::Object(_) if below.is_empty() => {}
        value => {
            // Where nothing is escaped, dots read better.
            let plain = !below.contains(['~', '.']);
            let key = if plain { below.trim_start_matches('/').replace('/', ".") } else { below.to_owned() };
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            rows.push(vec![id.to_owned(), key, value]);
        }
    }
}

type Change = (Vec<String>, Value);

fn change(text: &str) -> Result<Change, Failure> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(Failure::misused(format!("{text:?} is no change: write KEY=VALUE")));
    };
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    if value.is_null() {
        return Err(Failure::misused(format!(
            "{text:?}: null is no value that can be set: `pintle config unset` takes {key} away"
        )));
    }
    Ok((path(key)?, value))
}

/// The names that lead to a value.
fn path(key: &str) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = match key.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect(),
        None => key.split('.').map(str::to_owned).collect(),
    };
    if names.iter().any(String::is_empty) {
        return Err(Failure::misused(format!(
            "{key:?} is no key: write names joined by dots, or a JSON pointer such as /limits/memory"
        )));
    }
    Ok(names)
}

/// All changes as one JSON Merge Patch (RFC 7396).
fn patch(changes: impl Iterator<Item = Result<Change, Failure>>) -> Result<Value, Failure> {
    let mut patch = Value::Object(Map::new());
    for change in changes {
        let (names, value) = change?;
        let mut at = &mut patch;
        for name in &names {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[name];
        }
        *at = value;
    }
    Ok(patch)
}

/// A whole config.
fn read(file: &Path) -> Result<Value, Failure> {
    let name = if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() };
    let text =
        lines::whole(file, "config", MOST_BYTES, "a host takes no such request: name the JSON of a config")?;
    match serde_json::from_slice(&text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => {
            Err(Failure::misused(format!("the config in {name} is no JSON object: write one, such as {{}}")))
        }
        Err(error) => Err(Failure::misused(format!("the config in {name} is no JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_become_one_merge_patch() {
        for (changes, expected) in [
            (&["a=1"][..], json!({"a":1})),
            (&["a=text", "b=\"1\"", "c=[1,2]"], json!({"a":"text","b":"1","c":[1,2]})),
            (&["a.b=1", "a.c={\"d\":true}"], json!({"a":{"b":1,"c":{"d":true}}})),
            (&["/a.b/c~1d~0=x=y"], json!({"a.b":{"c/d~":"x=y"}})),
            (&["a=", "b=nul"], json!({"a":"","b":"nul"})),
            (&["a=1", "a.b=2"], json!({"a":{"b":2}})),
        ] {
            assert_eq!(patch(changes.iter().map(|it| change(it))).unwrap(), expected, "{changes:?}");
        }
    }

    #[test]
    fn what_is_no_change_is_told() {
        for (text, said) in [
            ("a", "write KEY=VALUE"),
            ("=1", "is no key"),
            ("a..b=1", "is no key"),
            ("/=1", "is no key"),
            ("a=null", "`pintle config unset` takes a away"),
        ] {
            let failure = change(text).unwrap_err();
            assert!(failure.exit == Exit::Misused && failure.text.contains(said), "{text}: {}", failure.text);
        }
    }

    #[test]
    fn each_value_is_shown_with_a_key_that_leads_to_it() {
        let config = json!({"a":{"b":1,"c.d":"x"},"e":[],"f":{},"g/h":null});
        let mut rows = Vec::new();
        flatten("p", "", &config, &mut rows);
        let shown: Vec<_> = rows.iter().map(|row| (&*row[1], &*row[2])).collect();
        let expected = [("a.b", "1"), ("/a/c.d", "x"), ("e", "[]"), ("f", "{}"), ("/g~1h", "null")];
        assert_eq!(shown, expected);
        for (key, _) in shown {
            let pointer: String =
                path(key).unwrap().iter().map(|name| format!("/{}", name.replace('/', "~1"))).collect();
            assert!(config.pointer(&pointer).is_some(), "{key}");
        }
    }
}
