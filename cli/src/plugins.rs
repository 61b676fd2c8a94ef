//! `pintle plugins`: the plugins of a host, and what an operator does with single ones.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::Place,
    link::Link,
    print::{self, Report, Style, count, json_line, sized, state, suspension, table, text},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows the plugins of a host, and loads, enables, disables and unloads single ones

Asks the host that runs on the data folder. Without one, list shows what is in the plugin folders and in the storage. \
States are enabled, loaded, unloaded, failed, stuck (a call is past its deadline), suspended (the host has disabled it \
because of what it did), available (it lies in a plugin folder and was not loaded) and absent (it has only left \
something in the storage).

Examples:
  pintle plugins
  pintle plugins --json | jq -r 'select(.stuck).id'
  pintle plugins disable hello sysmon
  pintle plugins --data /var/lib/pintle unload hello";

const HEADS: [&str; 11] = [
    "ID",
    "VERSION",
    "STATE",
    "GENERATION",
    "CALLS",
    "ERRORS",
    "HANDLED",
    "FAILURES",
    "WAITING",
    "STORAGE",
    "NOTE",
];

#[derive(Debug, Args)]
pub(crate) struct Options {
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
    /// Shows the plugins; what is done if nothing is named
    List,
    /// Loads plugins without enabling them
    Load(Named),
    /// Enables plugins; loads them first
    Enable(Named),
    /// Disables plugins; they stay loaded
    Disable(Named),
    /// Unloads plugins; disables them first
    Unload(Named),
    /// Lets plugins go that the host has disabled because of what they did, before their time is up
    Release(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The plugins
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// Shows plugins, or does something with them.
pub(crate) fn plugins(options: &Options) -> Result<Exit, Failure> {
    let (method, done, Named { ids }) = match &options.action {
        None | Some(Action::List) => return list(options),
        Some(Action::Load(named)) => ("plugin.load", "loaded", named),
        Some(Action::Enable(named)) => ("plugin.enable", "enabled", named),
        Some(Action::Disable(named)) => ("plugin.disable", "disabled", named),
        Some(Action::Unload(named)) => ("plugin.unload", "unloaded", named),
        Some(Action::Release(named)) => ("plugin.release", "released", named),
    };
    let mut link = Link::running(&options.place)?;
    let (mut report, mut exit) = (Report::new(), Exit::Fine);
    for id in ids {
        let outcome = link.try_ask(method, json!({ "id": id }));
        report.tell(|out| {
            if options.json {
                let error = outcome.as_ref().err();
                let error =
                    error.map(|error| json!({ "kind": error.kind().name(), "text": error.to_string() }));
                let line = json!({ "id": id, "done": outcome.is_ok().then_some(done), "error": error });
                out.write_all(json_line(&line)?.as_bytes())?;
            } else if outcome.is_ok() {
                writeln!(out, "{}\t{done}", print::printable(id))?;
            }
            // One at a time: each may take long.
            out.flush()
        });
        if let Err(error) = outcome {
            let failure = link.failure(method, &error);
            Voice::plain().say(&failure.text);
            // Of several that differ none alone is the truth.
            exit = if [Exit::Fine, failure.exit].contains(&exit) { failure.exit } else { Exit::Failed };
        }
    }
    report.end(exit)
}

fn list(options: &Options) -> Result<Exit, Failure> {
    let mut link = Link::open(&options.place)?;
    let answer = link.ask("plugins", json!({ "available": true }))?;
    let plugins = answer["plugins"].as_array().cloned().unwrap_or_default();
    let exit = print::answer(|out| {
        write(out, &plugins, options.json)?;
        Ok(Exit::Fine)
    })?;
    let voice = Voice::plain();
    if link.is_made() {
        voice.say(&format!(
            "no host runs on {}: these are the plugins of its folders, and what is in its storage",
            link.folder.display()
        ));
        if link.settings.plugins.is_empty() {
            voice.say(
                "the settings name no plugin folder: name the ones that the host has with --settings FILE",
            );
        }
    } else if plugins.is_empty() {
        voice.say("this host has no plugin");
    }
    Ok(exit)
}

fn write(out: &mut dyn Write, plugins: &[Value], json: bool) -> std::io::Result<()> {
    if json {
        return plugins.iter().try_for_each(|plugin| out.write_all(json_line(plugin)?.as_bytes()));
    }
    if plugins.is_empty() {
        return Ok(());
    }
    let style = Style::of_stdout();
    let rows: Vec<Vec<String>> = plugins.iter().map(|plugin| row(plugin, style)).collect();
    out.write_all(table(&HEADS, &rows, style).as_bytes())
}

fn row(plugin: &Value, style: Style) -> Vec<String> {
    let number = |name: &str| count(plugin, name).to_string();
    vec![
        text(plugin, "id").to_owned(),
        text(plugin, "version").to_owned(),
        state(plugin).to_owned(),
        plugin["generation"].as_u64().map(|generation| generation.to_string()).unwrap_or_default(),
        number("calls"),
        number("failed_calls"),
        number("handled"),
        number("failed_handled"),
        number("waiting"),
        sized(count(plugin, "storage_bytes"), style),
        note(plugin),
    ]
}

/// What an operator should know of it beside its state.
fn note(plugin: &Value) -> String {
    suspension(plugin).unwrap_or_else(|| {
        let said = ["note", "why"].into_iter().map(|name| text(plugin, name));
        let said = said.chain([text(&plugin["error"], "text")]).find(|text| !text.is_empty());
        said.unwrap_or_default().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_does_not_work_says_so_first() {
        let suspended = json!({ "text": "3 of 3 handlers failed", "until_ms": 1_000 });
        let by_hand = json!({ "text": "3 of 3 handlers failed", "until_ms": null });
        let error = json!({ "kind": "INTERNAL", "text": "no" });
        for (plugin, state, note) in [
            (json!({ "state": "enabled", "suspended": null }), "enabled", ""),
            (json!({ "state": "failed", "error": error }), "failed", "no"),
            (json!({ "state": "enabled", "stuck": true }), "stuck", ""),
            (
                json!({ "state": "loaded", "suspended": suspended, "error": error }),
                "suspended",
                "3 of 3 handlers failed: until 00:00:01.000Z, or `pintle plugins release`",
            ),
            (
                json!({ "state": "loaded", "stuck": true, "suspended": by_hand }),
                "stuck",
                "3 of 3 handlers failed: until `pintle plugins release`",
            ),
        ] {
            let row = row(&plugin, Style { terminal: false, colours: false });
            assert_eq!((&*row[2], &*row[10]), (state, note), "{plugin}");
        }
    }
}
