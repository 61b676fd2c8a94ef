//! A plugin as people read it: a name and a value on each line, and nothing that the manifest does not say.

use std::fmt::Display;

use pintle::inspect::{Abi, ENTRY, Inspection, Manifest};

use super::{Plugin, target};
use crate::{
    print::{Style, printable, size},
    screen::Look,
};

/// How wide the names are.
const WIDTH: usize = 13;

/// The lines of one plugin.
struct Lines {
    out: String,
    style: Style,
}

/// All that there is to say about a plugin.
pub(super) fn of(plugin: &Plugin, style: Style) -> String {
    let inspection = &plugin.library.inspection;
    let mut lines = Lines { out: String::new(), style };
    let title = printable(&inspection.path.display().to_string());
    lines.out.push_str(&Look::Bold.paint(&title, style.colours));
    lines.out.push('\n');
    who(&plugin.manifest, &mut lines);
    library(plugin, &mut lines);
    asks(&plugin.manifest, &mut lines);
    offers(&plugin.manifest, &mut lines);
    if plugin.refused.is_none() {
        unload(inspection, &plugin.manifest, &mut lines);
    }
    verdict(plugin, &mut lines);
    lines.out
}

fn who(manifest: &Manifest, lines: &mut Lines) {
    lines.add("id", &manifest.id);
    lines.add("version", &manifest.version);
    lines.maybe("name", manifest.name.as_ref());
    lines.maybe("description", manifest.description.as_ref());
    lines.list("authors", &manifest.authors);
    lines.maybe("license", manifest.license.as_ref());
    lines.maybe("homepage", manifest.homepage.as_ref());
}

fn library(plugin: &Plugin, lines: &mut Lines) {
    let inspection = &plugin.library.inspection;
    lines.add("abi", format_args!("{}, this host has {}", plugin.manifest.abi, Abi::HOST));
    lines.add("target", format_args!("{}", target(inspection)));
    lines.add("size", format_args!("{} ({} bytes)", size(inspection.size as f64), inspection.size));
    lines.add("sha256", &plugin.library.sha256);
    lines.add("entry", if inspection.entry { ENTRY } else { "none" });
    let beside = inspection.manifest.as_ref().and_then(|text| text.beside.as_ref());
    lines.add("manifest", beside.map_or("in the library".into(), |path| path.display().to_string()));
    lines.list("needs", &inspection.needed);
    lines.list("looks in", &inspection.run_paths);
}

fn asks(manifest: &Manifest, lines: &mut Lines) {
    let services = &manifest.services;
    let plain = [
        ("log", &services.log),
        ("config", &services.config),
        ("storage", &services.storage),
        ("database", &services.database),
        ("scheduler", &services.scheduler),
        ("idempotency", &services.idempotency),
        ("files", &services.files),
    ];
    let mut asked: Vec<(&str, String)> = Vec::new();
    for (name, service) in plain {
        if let Some(service) = service {
            asked.push((name, methods(service.methods.as_ref())));
        }
    }
    if let Some(cache) = &services.cache {
        let namespaces = cache.namespaces.as_ref().map(|names| format!("; namespaces {}", names.join(", ")));
        asked.push(("cache", methods(cache.methods.as_ref()) + &namespaces.unwrap_or_default()));
    }
    if let Some(events) = &services.events {
        let mut text = methods(events.methods.as_ref());
        for (what, topics) in [("subscribe", &events.subscribe), ("publish", &events.publish)] {
            if !topics.is_empty() {
                text = format!("{text}; {what} {}", topics.join(", "));
            }
        }
        asked.push(("events", text));
    }
    if !services.call.is_empty() {
        asked.push(("call", services.call.join(", ")));
    }
    asked.sort_unstable_by_key(|(name, _)| *name);
    if asked.is_empty() {
        lines.add("asks for", "nothing");
    }
    for (name, what) in asked {
        lines.add("asks for", format_args!("{name}: {what}"));
    }
}

fn methods(methods: Option<&Vec<String>>) -> String {
    match methods {
        None => "all methods".into(),
        Some(methods) if methods.is_empty() => "no methods".into(),
        Some(methods) => methods.join(", "),
    }
}

fn offers(manifest: &Manifest, lines: &mut Lines) {
    for (service, provided) in &manifest.provides {
        let methods =
            if provided.methods.is_empty() { "no methods".into() } else { provided.methods.join(", ") };
        lines.add("provides", format_args!("{service} {}: {methods}", provided.major));
    }
    for (plugin, versions) in &manifest.requires {
        lines.add("requires", format_args!("{plugin} {versions}"));
    }
    if let Some(schema) = &manifest.config {
        config(schema, lines);
    }
    for (limit, most) in &manifest.limits {
        lines.add("limit", format_args!("{limit} {most}"));
    }
    if manifest.concurrency != 1 {
        lines.add("concurrency", manifest.concurrency);
    }
    if manifest.state != 0 {
        lines.add("state", manifest.state);
    }
    lines.list("files", &manifest.files);
    if manifest.direct {
        lines.add("direct", "the application may call its tables from any thread");
    }
}

/// The keys of the settings, those that must be there first said to be.
fn config(schema: &serde_json::Value, lines: &mut Lines) {
    let required = |key: &str| {
        let all = schema.get("required").and_then(|all| all.as_array());
        all.is_some_and(|all| all.iter().any(|other| other == key))
    };
    let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) else {
        return lines.add("config", "has a schema without named keys");
    };
    for (key, property) in properties {
        let mut about = Vec::new();
        match property.get("type") {
            Some(serde_json::Value::String(kind)) => about.push(kind.clone()),
            Some(kinds) => about.push(kinds.to_string()),
            None => {}
        }
        if required(key) {
            about.push("required".into());
        }
        let secret = ["writeOnly", "x-secret"].iter().any(|mark| property.get(mark) == Some(&true.into()));
        match property.get("default") {
            _ if secret => about.push("secret".into()),
            Some(default) => about.push(format!("default {default}")),
            None => {}
        }
        let about = if about.is_empty() { String::new() } else { format!(": {}", about.join(", ")) };
        lines.add("config", format_args!("{key}{about}"));
    }
}

/// What an operator wonders about who sees memory that is not given back.
fn unload(inspection: &Inspection, manifest: &Manifest, lines: &mut Lines) {
    let mut told = Vec::new();
    if manifest.keep_mapped {
        told.push("stays in memory, as its manifest asks (keep_mapped)");
    }
    if inspection.no_delete {
        told.push("stays in memory: it is linked with -z nodelete");
    }
    if inspection.unique_symbols {
        told.push("stays in memory: it has GNU-unique symbols, build it with -fno-gnu-unique");
    }
    if inspection.thread_exit {
        told.push("closed when the threads that ran it have ended");
    }
    if inspection.thread_keys {
        told.push("each load takes one of the process's 1,024 thread-local keys");
    }
    if told.is_empty() {
        told.push("closed at once");
    }
    for text in told {
        lines.add("unload", text);
    }
}

fn verdict(plugin: &Plugin, lines: &mut Lines) {
    match (&plugin.refused, &plugin.distrusted) {
        (Some(error), _) => lines.painted("loadable", &format!("no: {error}"), Look::Red),
        (None, Some(_)) => lines.painted("loadable", "yes, but not from where it lies", Look::Red),
        (None, None) => lines.painted("loadable", "yes", Look::Green),
    }
    for note in plugin.distrusted.iter().chain(&plugin.warnings) {
        lines.add("note", note);
    }
}

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        let value = printable(&value.to_string());
        self.push(name, &value);
    }

    fn painted(&mut self, name: &str, value: &str, look: Look) {
        let value = look.paint(&printable(value), self.style.colours);
        self.push(name, &value);
    }

    fn maybe(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn list(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.add(name, values.join(", "));
        }
    }

    fn push(&mut self, name: &str, value: &str) {
        let name = Look::Dim.paint(&format!("{name:WIDTH$}"), self.style.colours);
        self.out.push_str(&format!("  {name}{value}\n"));
    }
}
