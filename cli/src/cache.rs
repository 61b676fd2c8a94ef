//! `pintle cache`: what plugins have in the cache, in a running host or, where `cache.db` keeps it, in its data folder.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::Place,
    keys,
    link::Link,
    print::{self, Style, clock, count, duration, json_line, printable, size, table, text},
    screen::Look,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows what plugins have in the cache, and takes it away

Asks the host that runs on the data folder. Without one it looks into cache.db there, if the settings say that there is \
one (`cache.backend = \"sqlite\"`); what a host has in memory alone is gone with it.

Items belong to a plugin and a tenant, and lie in namespaces. In a PATTERN `*` stands for any number of characters, `?` \
for one, `[a-z]` for one of a set, none of them for `/`; `**` stands for any number of whole segments.

Examples:
  pintle cache
  pintle cache list --plugin prices quotes EUR/
  pintle cache get --plugin prices --tenant acme quotes EUR/USD
  pintle cache invalidate --plugin prices quotes 'EUR/**'
  pintle cache invalidate --plugin prices --tag feed-7";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Writes JSON objects, one on a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows how large the cache is, and what each plugin has in it; what is done if nothing is named
    Stats {
        /// Shows this plugin alone
        #[arg(long, value_name = "ID")]
        plugin: Option<String>,
    },
    /// Lists the keys of a namespace, in no order
    List {
        #[command(flatten)]
        of: Of,
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        ns: String,
        /// What the keys begin with; by default all
        #[arg(value_name = "PREFIX", default_value = "")]
        prefix: String,
        /// Lists at most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Lists all, however many
        #[arg(long, conflicts_with = "limit")]
        all: bool,
    },
    /// Shows an item
    Get {
        #[command(flatten)]
        of: Of,
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        ns: String,
        /// The key
        #[arg(value_name = "KEY")]
        key: String,
        /// Writes the value and nothing else, as it is
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Removes items: those whose keys match a pattern, those with a tag, or all of a namespace
    Invalidate {
        #[command(flatten)]
        of: Of,
        /// The namespace
        #[arg(value_name = "NAMESPACE", required_unless_present = "tag", conflicts_with = "tag")]
        ns: Option<String>,
        /// What the keys match
        #[arg(value_name = "PATTERN", required_unless_present_any = ["tag", "all"], conflicts_with_all = ["tag", "all"])]
        pattern: Option<String>,
        /// Removes what was written with this tag, in all namespaces
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
        /// Removes all of the namespace
        #[arg(long, conflicts_with = "tag")]
        all: bool,
    },
}

/// Whose items.
#[derive(Debug, Args)]
struct Of {
    /// The plugin
    #[arg(long, value_name = "ID", required = true)]
    plugin: String,
    /// The tenant; by default none: what the plugin has on nobody's behalf
    #[arg(long, value_name = "TENANT", default_value = "")]
    tenant: String,
}

impl Of {
    fn params(&self, more: Value) -> Value {
        let mut params = json!({ "plugin": self.plugin, "tenant": self.tenant });
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    }
}

/// Shows what is in the cache, or removes some of it.
pub(crate) fn cache(options: &Options) -> Result<Exit, Failure> {
    let mut link = Link::with_cache(&options.place)?;
    tell_of_the_folder(&mut link)?;
    match &options.action {
        None => stats(&mut link, None, options.json),
        Some(Action::Stats { plugin }) => stats(&mut link, plugin.as_deref(), options.json),
        Some(Action::List { of, ns, prefix, limit, all }) => {
            let limit = if *all { u64::MAX } else { *limit };
            let of = of.params(json!({ "ns": ns, "prefix": prefix }));
            keys::list(&mut link, "cache.list", &of, limit, options.json)
        }
        Some(Action::Get { of, ns, key, raw }) => {
            let params = of.params(json!({ "ns": ns, "key": key }));
            let item = link.ask("cache.get", params.clone())?["item"].take();
            if item.is_null() {
                let text = format!("there is no item {key:?} in {ns:?}: `pintle cache list` shows the keys");
                return Err(Failure::failed(text));
            }
            show(&params, &item, *raw, options.json)
        }
        Some(Action::Invalidate { of, ns, pattern, tag, .. }) => {
            let mut params = of.params(json!({}));
            for (name, given) in [("ns", ns), ("pattern", pattern), ("tag", tag)] {
                if let Some(given) = given {
                    params[name] = given.as_str().into();
                }
            }
            let answer = link.ask("cache.invalidate", params)?;
            print::answer(|out| {
                match options.json {
                    true => out.write_all(json_line(&answer)?.as_bytes())?,
                    false => writeln!(out, "{}", count(&answer, "count"))?,
                }
                Ok(Exit::Fine)
            })
        }
    }
}

/// That no host runs, and what became of a file that was no good.
fn tell_of_the_folder(link: &mut Link) -> Result<(), Failure> {
    if !link.is_made() {
        return Ok(());
    }
    let voice = Voice::plain();
    voice.say(&format!("no host runs on {}: this is what is in its cache.db", link.folder.display()));
    let stats = link.ask("cache.stats", json!({}))?;
    if let Some(why) = stats["reported"].as_str() {
        voice.say(why);
    }
    Ok(())
}

fn stats(link: &mut Link, plugin: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let mut stats = link.ask("cache.stats", json!({}))?;
    if let (Some(id), Some(plugins)) = (plugin, stats["plugins"].as_array_mut()) {
        plugins.retain(|plugin| plugin["id"] == id);
        if plugins.is_empty() {
            let text = format!("the cache knows of no plugin {id:?}: `pintle cache` shows all");
            return Err(Failure { exit: Exit::NoPlugin, text });
        }
    }
    print::answer(|out| {
        match json {
            true => out.write_all(json_line(&stats)?.as_bytes())?,
            false => out.write_all(report(&stats, Style::of_stdout()).as_bytes())?,
        }
        Ok(Exit::Fine)
    })
}

/// For people wherever it goes: `--json` is for programs.
fn report(stats: &Value, style: Style) -> String {
    let bytes = |name: &str| size(count(stats, name) as f64);
    let works = match &stats["down"] {
        Value::Null => "it works".to_owned(),
        down => format!(
            "down since {}: {}",
            clock(down["since_ms"].as_i64().unwrap_or_default()),
            text(down, "text")
        ),
    };
    let mut lines = vec![
        ("back end", format!("{}: {works}", text(stats, "backend"))),
        (
            "has",
            format!(
                "{} of {}; {} are guaranteed to each plugin",
                bytes("used"),
                bytes("capacity"),
                bytes("guaranteed")
            ),
        ),
    ];
    if let Some(why) = stats["reported"].as_str() {
        lines.push(("reported", why.to_owned()));
    }
    let mut out = labelled(&lines, style);
    let mut rows = Vec::new();
    for plugin in stats["plugins"].as_array().into_iter().flatten() {
        let (hits, misses) = (count(plugin, "hits"), count(plugin, "misses"));
        rows.push(vec![
            text(plugin, "id").to_owned(),
            String::new(),
            count(plugin, "items").to_string(),
            size(count(plugin, "bytes") as f64),
            count(plugin, "evicted").to_string(),
            hits.to_string(),
            misses.to_string(),
            share(hits, misses),
        ]);
        let tenants = plugin["tenants"].as_array().into_iter().flatten();
        // One that has only the system scope is told above.
        for tenant in tenants.filter(|tenant| tenant["tenant"] != "") {
            let (hits, misses) = (count(tenant, "hits"), count(tenant, "misses"));
            let name = tenant["tenant"].as_str().unwrap_or("(others)").to_owned();
            let mut row = vec![text(plugin, "id").to_owned(), name];
            row.extend([const { String::new() }; 3]);
            row.extend([hits.to_string(), misses.to_string(), share(hits, misses)]);
            rows.push(row);
        }
    }
    if !rows.is_empty() {
        let heads = ["PLUGIN", "TENANT", "ITEMS", "BYTES", "EVICTED", "HITS", "MISSES", "FOUND"];
        out.push('\n');
        out.push_str(&table(&heads, &rows, Style { terminal: true, ..style }));
    }
    out
}

/// How many of a hundred reads found something.
fn share(hits: u64, misses: u64) -> String {
    let reads = hits + misses;
    if reads == 0 { String::new() } else { format!("{:.1} %", hits as f64 * 100.0 / reads as f64) }
}

fn show(of: &Value, item: &Value, raw: bool, json: bool) -> Result<Exit, Failure> {
    let bytes = match item["value_base64"].as_str() {
        None => text(item, "value").as_bytes().to_vec(),
        Some(coded) => data_encoding::BASE64
            .decode(coded.as_bytes())
            .map_err(|error| Failure::failed(format!("the host gave a value that is no base64: {error}")))?,
    };
    print::answer(|out| {
        if raw {
            out.write_all(&bytes)?;
        } else if json {
            let mut line = of.clone();
            if let (Value::Object(line), Value::Object(item)) = (&mut line, item.clone()) {
                line.extend(item);
            }
            out.write_all(json_line(&line)?.as_bytes())?;
        } else {
            out.write_all(labelled(&described(item, &bytes), Style::of_stdout()).as_bytes())?;
        }
        Ok(Exit::Fine)
    })
}

fn described(item: &Value, bytes: &[u8]) -> Vec<(&'static str, String)> {
    let value = match (text(item, "kind"), item["value"].as_str()) {
        ("absent", _) => "none: the plugin has noted that there is nothing".to_owned(),
        (_, Some(text)) => text.to_owned(),
        (_, None) => format!("no text, {}: --raw writes it", size(bytes.len() as f64)),
    };
    let lasts =
        |name: &str| item[name].as_u64().map_or("for ever".into(), |ms| format!("for {}", duration(ms)));
    let fresh = if item["stale"] == true { "no: it is stale".into() } else { lasts("ttl_ms") };
    let mut lines = vec![("kind", text(item, "kind").to_owned())];
    if item["kind"] == "bytes" {
        lines.push(("size", size(bytes.len() as f64)));
    }
    lines.extend([
        ("fresh", fresh),
        ("there", lasts("left_ms")),
        ("version", count(item, "version").to_string()),
        ("value", value),
    ]);
    lines
}

/// Lines with what they are about in front.
fn labelled(lines: &[(&str, String)], style: Style) -> String {
    let label = |name: &str| Look::Dim.paint(&format!("{name:10}"), style.colours);
    lines.iter().map(|(name, value)| format!("{}{}\n", label(name), printable(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { terminal: false, colours: false };

    #[test]
    fn a_back_end_that_is_down_and_a_file_that_was_set_aside_are_told_first() {
        let stats = json!({
            "backend": "sqlite", "down": { "since_ms": 1_000, "text": "the disk is full" }, "capacity": 1 << 30,
            "used": 1 << 20, "guaranteed": 1 << 29, "reported": "cache.db was damaged", "plugins": [],
        });
        assert_eq!(
            report(&stats, PLAIN),
            "back end  sqlite: down since 00:00:01.000Z: the disk is full\n\
             has       1.0 MiB of 1.0 GiB; 512.0 MiB are guaranteed to each plugin\n\
             reported  cache.db was damaged\n"
        );
    }

    #[test]
    fn hits_and_misses_are_told_of_each_plugin_and_each_of_its_tenants() {
        let tenants = json!([
            { "tenant": "", "hits": 1, "misses": 0 }, { "tenant": "acme", "hits": 2, "misses": 1 },
            { "tenant": null, "hits": 0, "misses": 0 },
        ]);
        let plugin = json!({
            "id": "p", "items": 3, "bytes": 2_048, "evicted": 4, "hits": 3, "misses": 1, "tenants": tenants,
        });
        let stats = json!({ "backend": "memory", "down": null, "plugins": [plugin] });
        let told = report(&stats, PLAIN);
        let rows: Vec<Vec<&str>> = told
            .lines()
            .skip(4)
            .map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect())
            .collect();
        assert_eq!(
            rows,
            [
                ["p", "-", "3", "2.0 KiB", "4", "3", "1", "75.0 %"],
                ["p", "acme", "-", "-", "-", "2", "1", "66.7 %"],
                ["p", "(others)", "-", "-", "-", "0", "0", "-"],
            ]
        );
    }

    #[test]
    fn an_item_is_described_by_what_it_is_and_how_long_it_is_good_for() {
        let described = |item: Value, bytes: &[u8]| labelled(&described(&item, bytes), PLAIN);
        let text = json!({ "kind": "bytes", "value": "a\u{1b}", "stale": false, "version": 7, "ttl_ms": 1_500, "left_ms": null });
        assert_eq!(
            described(text, b"a\x1b"),
            "kind      bytes\nsize      2 B\nfresh     for 1.5 s\nthere     for ever\nversion   7\nvalue     a\\u{1b}\n"
        );
        let stale = json!({ "kind": "bytes", "value_base64": "/w==", "stale": true, "version": 8, "ttl_ms": 0, "left_ms": 10 });
        let told = described(stale, b"\xff");
        assert!(told.contains("fresh     no: it is stale\nthere     for 10 ms\n"), "{told}");
        assert!(told.ends_with("value     no text, 1 B: --raw writes it\n"), "{told}");
        let absent =
            json!({ "kind": "absent", "stale": false, "version": 9, "ttl_ms": 10_000, "left_ms": 10_000 });
        assert!(described(absent, b"").starts_with("kind      absent\nfresh     for 10.0 s\n"));
    }
}
