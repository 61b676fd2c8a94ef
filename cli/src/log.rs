//! `pintle log`: from which level on a running host and its plugins write to the log.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::Place,
    link::Link,
    print::{self, Style, json_line, table, text},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows and sets the log levels of a running host

Without LEVEL it shows the levels: the default first, then those of plugins that have one of their own. What is set \
counts until the host stops; what lasts is `log.level` and `plugin.<id>.log` in the settings.

Examples:
  pintle log
  pintle log debug
  pintle log trace --plugin hello
  pintle log default --plugin hello
  pintle log --reopen";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The level; `default` takes a plugin's own level away
    level: Option<Wanted>,
    /// Sets the level of this plugin; by default that of the host and all plugins without one of their own
    #[arg(long, value_name = "ID", requires = "level")]
    plugin: Option<String>,
    /// Opens the log file again by its path, after a rotation
    #[arg(long)]
    reopen: bool,
    #[command(flatten)]
    place: Place,
    /// Writes a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
    Default,
}

impl Wanted {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Trace => Some("trace"),
            Self::Debug => Some("debug"),
            Self::Info => Some("info"),
            Self::Warn => Some("warn"),
            Self::Error => Some("error"),
            Self::Fatal => Some("fatal"),
            Self::Default => None,
        }
    }
}

/// Shows levels, or sets one.
pub(crate) fn log(options: &Options) -> Result<Exit, Failure> {
    if options.level == Some(Wanted::Default) && options.plugin.is_none() {
        return Err(Failure::misused(
            "`default` takes a plugin's own level away: name the plugin with --plugin ID, or a level for the host",
        ));
    }
    let mut link = Link::running(&options.place)?;
    if options.reopen {
        link.ask("log.reopen", json!({}))?;
        if options.level.is_none() {
            return Ok(Exit::Fine);
        }
    }
    let levels = match options.level {
        None => link.ask("log.levels", json!({}))?,
        Some(level) => link.ask("log.level", json!({ "level": level.name(), "plugin": options.plugin }))?,
    };
    let exit = print::answer(|out| {
        write(out, &levels, options.json)?;
        Ok(Exit::Fine)
    })?;
    if let Some(plugin) = &options.plugin
        && !link.knows(plugin).unwrap_or(true)
    {
        let taken = options.level == Some(Wanted::Default);
        let then = if taken { "a level for it counts no more" } else { "the level counts if one comes" };
        Voice::plain()
            .say(&format!("this host has no plugin {plugin:?}: {then}; `pintle plugins` shows all"));
    }
    Ok(exit)
}

fn write(out: &mut dyn Write, levels: &Value, json: bool) -> std::io::Result<()> {
    if json {
        return out.write_all(json_line(levels)?.as_bytes());
    }
    let row = |name: &str, level: &str| vec![name.to_owned(), level.to_owned()];
    let mut rows = vec![row("(default)", text(levels, "default"))];
    for (id, level) in levels["plugins"].as_object().into_iter().flatten() {
        rows.push(row(id, level.as_str().unwrap_or_default()));
    }
    out.write_all(table(&["PLUGIN", "LEVEL"], &rows, Style::of_stdout()).as_bytes())
}
