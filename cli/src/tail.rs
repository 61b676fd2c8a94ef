//! `pintle tail`: the events of a running host as they come.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use clap::Args;
use pintle::{ErrorKind, control::Notification, events::from_json};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    event,
    exit::{Exit, Failure},
    folder::Place,
    link::{Ended, Link},
    pen,
    print::{cannot_write, clean_json},
    screen::{Screen, is_terminal},
    signals,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows the events of a running host as they come

Each event that matches one of the patterns is one line: its time (UTC), topic, [tenant], (subject) and data; with \
--json it is the CloudEvent. Ends at SIGINT or SIGTERM, after --count events, or with the host. Events that the host \
had to drop because they were not read fast enough are told on stderr, and in the status.

Examples:
  pintle tail
  pintle tail 'plugin.threshold.>' 'pintle.>'
  pintle tail --count 1 'plugin.hello.*'
  pintle tail --json | jq .data";

/// How long to wait for events before looking whether a signal has come.
const LOOK: Duration = Duration::from_millis(100);

/// How many bytes are written at once, and one event more.
const PIECE: usize = 1 << 16;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Patterns of topics: `*` is one part, `>` all the rest; by default all events
    patterns: Vec<String>,
    /// Ends after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    place: Place,
    /// Writes the events as CloudEvents in JSON, one on a line
    #[arg(long)]
    json: bool,
}

/// The params of an event that is told.
#[derive(Deserialize)]
struct Told<'t> {
    #[serde(borrow)]
    event: &'t RawValue,
}

/// What is told, on its way to stdout.
struct Tail<'o> {
    options: &'o Options,
    /// Lines are as wide as it is, and elsewhere as long as they are.
    terminal: bool,
    /// What is to be written.
    text: String,
    shown: u64,
    dropped: u64,
}

/// Shows events.
pub(crate) fn tail(options: &Options) -> Result<Exit, Failure> {
    let mut link = Link::running(&options.place)?;
    let stopping = Arc::new(AtomicBool::new(false));
    signals::take(&stopping, || {})?;
    let voice = Voice::plain();
    let (say, params) = (link.slow(), json!({ "patterns": options.patterns }));
    let asked = signals::unless_stopping(
        &stopping,
        |time| voice.say(&say(time)),
        move || {
            let answer = link.try_ask("tail", params);
            (link, answer)
        },
    )?;
    let Some((mut link, answer)) = asked else { return Ok(Exit::Fine) };
    match answer {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::InvalidArgument => return Err(Failure::misused(error)),
        Err(error) => return Err(link.failure("tail", &error)),
    }
    let mut tail = Tail { options, terminal: is_terminal(), text: String::new(), shown: 0, dropped: 0 };
    let ended = match tail.follow(&mut link, &stopping) {
        Ok(ended) => ended,
        // A reader that takes nothing is not waited for after a signal.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe || stopping.load(SeqCst) => None,
        Err(error) => return Err(cannot_write(&error)),
    };
    let partly = if tail.dropped > 0 { Exit::Partly } else { Exit::Fine };
    match ended {
        None => Ok(partly),
        Some(Ended::Bye(why)) => {
            voice.say(&format!("the host has ended the connection: {why}"));
            // It was asked for more than there will ever be.
            Ok(if options.count.is_some() { Exit::Failed } else { partly })
        }
        Some(Ended::Cut(why)) => {
            Err(Failure::failed(format!("the host tells no more: {why}: see `pintle plugins`, and its log")))
        }
    }
}

impl Tail<'_> {
    /// Shows what comes, until there is enough of it, or a signal comes, or no more can.
    fn follow(&mut self, link: &mut Link, stopping: &AtomicBool) -> io::Result<Option<Ended>> {
        while !stopping.load(SeqCst) && self.options.count != Some(self.shown) {
            // What has come already goes out in one piece.
            let patience = if self.text.is_empty() { LOOK } else { Duration::ZERO };
            let told = link.next(patience);
            if matches!(&told, Ok(Some(told)) if told.method == "dropped") {
                // It says where they are missing.
                self.write()?;
            }
            let ended = match told {
                Ok(Some(told)) => match self.take(&told) {
                    Ok(()) if self.text.len() < PIECE => continue,
                    Ok(()) => None,
                    Err(error) => Some(Ended::Cut(format!("it tells what cannot be read: {error}"))),
                },
                Ok(None) => None,
                Err(ended) => Some(ended),
            };
            self.write()?;
            if ended.is_some() {
                return Ok(ended);
            }
        }
        self.write().map(|()| None)
    }

    fn take(&mut self, told: &Notification) -> serde_json::Result<()> {
        match told.method.as_str() {
            "event" => {
                let Told { event } = serde_json::from_str(&told.text)?;
                let line = if self.options.json { clean_json(event.get()) } else { self.line(event.get()) };
                self.text.push_str(&line);
                self.text.push('\n');
                self.shown += 1;
            }
            "dropped" => {
                let count = told.params["count"].as_u64().unwrap_or(1);
                self.dropped = self.dropped.saturating_add(count);
                let (many, were) = if count == 1 { ("", "was") } else { ("s", "were") };
                Voice::plain().say(&format!(
                    "{count} event{many} {were} dropped here: ask for fewer with patterns, or read faster"
                ));
            }
            // What later hosts may tell.
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let written = pen::STDOUT.write(self.text.as_bytes());
        self.text.clear();
        written
    }

    fn line(&self, event: &str) -> String {
        match from_json(event.as_bytes()) {
            Ok(draft) if self.terminal => event::line(&draft, Some(Screen::size().1)),
            Ok(draft) => event::line(&draft, None),
            // A later host may know more of events than this command.
            Err(_) => clean_json(event),
        }
    }
}
