//! `pintle stats`: what a host counts. `report` shows all of it once, `rates` what happens from second to second.

mod rates;
mod report;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use self::rates::Rates;
pub(crate) use self::report::{durable as of_durable, events as of_events, reasons};
use crate::{
    exit::{Exit, Failure},
    folder::Place,
    link::Link,
    pen,
    print::{self, Style, cannot_write, count, json_line, text},
    screen::{Look, Screen},
    signals,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows what a host counts: calls, errors, times, events, queues

Counts are those since the start of the host; MEDIAN and P99 are upper bounds of the times of one call in 64. Without a \
running host it shows what is in the storage. --watch shows each second what has happened in it: on a terminal in \
place, elsewhere one block after another, with --json one object after another.

Examples:
  pintle stats
  pintle stats sysmon
  pintle stats --watch
  pintle stats --json | jq '.plugins[] | {id, calls}'
  pintle stats --openmetrics > /var/lib/node_exporter/pintle.prom";

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Shows this plugin alone
    #[arg(value_name = "ID")]
    plugin: Option<String>,
    /// Shows each second what has happened in it, until SIGINT or SIGTERM
    #[arg(long)]
    watch: bool,
    /// Writes OpenMetrics text
    #[arg(long, conflicts_with_all = ["json", "watch", "plugin"])]
    openmetrics: bool,
    #[command(flatten)]
    place: Place,
    /// Writes all that is counted as a JSON object
    #[arg(long)]
    json: bool,
}

/// Shows what a host counts.
pub(crate) fn stats(options: &Options) -> Result<Exit, Failure> {
    if options.openmetrics {
        let mut link = Link::running(&options.place)?;
        let answer = link.ask("metrics", json!({}))?;
        return print::answer(|out| out.write_all(text(&answer, "text").as_bytes()).map(|()| Exit::Fine));
    }
    if options.watch {
        return watch(options);
    }
    let mut link = Link::open(&options.place)?;
    let stats = look(&mut link, options.plugin.as_deref())?;
    let exit = print::answer(|out| {
        match options.json {
            true => out.write_all(json_line(&stats)?.as_bytes())?,
            false => out.write_all(report::of(&stats, link.is_made(), Style::of_stdout()).as_bytes())?,
        }
        Ok(Exit::Fine)
    })?;
    if link.is_made() {
        Voice::plain()
            .say(&format!("no host runs on {}: this is what is in its storage", link.folder.display()));
    }
    Ok(exit)
}

/// The counts of this moment; of one plugin, or of all.
fn look(link: &mut Link, plugin: Option<&str>) -> Result<Value, Failure> {
    let mut stats = link.ask("stats", json!({}))?;
    if link.is_made() {
        stats["plugins"] = stored(link)?;
    }
    if let (Some(id), Some(plugins)) = (plugin, stats["plugins"].as_array_mut()) {
        plugins.retain(|plugin| plugin["id"] == id);
        if plugins.is_empty() {
            let text =
                format!("this host has no plugin {id:?} that it has loaded: `pintle plugins` shows all");
            return Err(Failure { exit: Exit::NoPlugin, text });
        }
    }
    Ok(stats)
}

/// What plugins have in the storage that no host has loaded.
fn stored(link: &mut Link) -> Result<Value, Failure> {
    let answer = link.ask("plugins", json!({ "available": true }))?;
    let plugins = answer["plugins"].as_array().into_iter().flatten();
    let plugins = plugins.map(|plugin| {
        let kept = json!({ "items": plugin["storage_items"], "bytes": plugin["storage_bytes"] });
        json!({ "id": plugin["id"], "version": plugin["version"], "state": plugin["state"], "storage": kept })
    });
    Ok(plugins.collect())
}

fn watch(options: &Options) -> Result<Exit, Failure> {
    let mut link = Link::running(&options.place)?;
    let screen = if options.json { None } else { Screen::on_terminal() };
    let stopping = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    signals::take(&stopping, move || {
        // Nobody listens any more when the command is about to end anyway.
        let _ = tell.send(());
    })?;
    let voice = screen.clone().map_or_else(Voice::plain, Voice::above);
    let mut last: Option<(Instant, Value)> = None;
    while !stopping.load(SeqCst) {
        let (say, plugin) = (link.slow(), options.plugin.clone());
        let looked = signals::unless_stopping(
            &stopping,
            |time| voice.say(&say(time)),
            move || {
                let stats = look(&mut link, plugin.as_deref());
                (link, stats)
            },
        )?;
        let Some((back, stats)) = looked else { break };
        link = back;
        // A host that was halted meanwhile has counted now, not when it was asked.
        let now = (Instant::now(), stats?);
        let written = match (&screen, options.json) {
            (_, true) => write(&json_line(&now.1).map_err(|error| cannot_write(&error))?),
            (Some(screen), false) => {
                let rates = Rates::between(last.as_ref(), &now);
                let (lines, columns) = Screen::size();
                screen.draw(rates.live(lines, columns, Look::wanted()))
            }
            // The first look has nothing to be compared with.
            (None, false) if last.is_none() => Ok(()),
            (None, false) => write(&(Rates::between(last.as_ref(), &now).lines().join("\n") + "\n\n")),
        };
        match written {
            Ok(()) => {}
            // A reader that takes nothing is not waited for after a signal.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe || stopping.load(SeqCst) => break,
            Err(error) => return Err(cannot_write(&error)),
        }
        let next = now.0 + EVERY;
        last = Some(now);
        match told.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Ok(Exit::Fine)
}

fn write(text: &str) -> io::Result<()> {
    pen::STDOUT.write(text.as_bytes())
}

/// What all drops of these events come to.
fn dropped(events: &Value) -> u64 {
    let reasons = events["dropped"].as_object();
    reasons.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// A member of each of an object's members, together.
fn sum(of: &Value, name: &str) -> u64 {
    of.as_object().into_iter().flatten().map(|(_, member)| count(member, name)).sum()
}
