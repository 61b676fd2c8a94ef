//! `pintle tail`: the events of a running host as they come.

use std::{
    io::{self, BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use clap::Args;
use pintle::{control::Notification, events::from_json};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    event,
    exit::{Exit, Failure},
    folder::Place,
    link::{Ended, Link},
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
    out: BufWriter<io::StdoutLock<'static>>,
    /// How wide lines may be; as wide as they are away from terminals.
    terminal: bool,
    shown: u64,
    dropped: u64,
}

/// Shows events.
pub(crate) fn tail(options: &Options) -> Result<Exit, Failure> {
    let mut link = Link::running(&options.place)?;
    let stopping = Arc::new(AtomicBool::new(false));
    signals::take(&stopping, || {})?;
    link.ask("tail", json!({ "patterns": options.patterns }))?;
    let out = BufWriter::new(io::stdout().lock());
    let mut tail = Tail { options, out, terminal: is_terminal(), shown: 0, dropped: 0 };
    let ended = loop {
        if stopping.load(SeqCst) || options.count == Some(tail.shown) {
            break None;
        }
        match link.next(LOOK) {
            Ok(Some(told)) => match tail.take(&told) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break None,
                Err(error) => return Err(cannot_write(&error)),
            },
            Ok(None) => {}
            Err(ended) => break Some(ended),
        }
    };
    let voice = Voice::plain();
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
    fn take(&mut self, told: &Notification) -> io::Result<()> {
        match told.method.as_str() {
            "event" => {
                let Told { event } = serde_json::from_str(&told.text)?;
                let mut line =
                    if self.options.json { clean_json(event.get()) } else { self.line(event.get()) };
                line.push('\n');
                self.shown += 1;
                self.out.write_all(line.as_bytes())?;
                self.out.flush()
            }
            "dropped" => {
                let count = told.params["count"].as_u64().unwrap_or(1);
                self.dropped += count;
                let (many, were) = if count == 1 { ("", "was") } else { ("s", "were") };
                Voice::plain().say(&format!(
                    "{count} event{many} {were} dropped here: ask for fewer with patterns, or read faster"
                ));
                Ok(())
            }
            // What later hosts may tell.
            _ => Ok(()),
        }
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
