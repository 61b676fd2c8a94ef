//! `pintle run`: a host, events in, events out, until a signal or until nothing is left to do.
//!
//! This file reads the settings and puts the parts together. `input` feeds events, as fast as `pace` lets it; `view`
//! says what becomes of what plugins emit: lines for `output`, or something to `watch`. What happens to all of them
//! comes together in `life`, as [`News`].

mod input;
mod life;
mod output;
mod pace;
mod view;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use pintle::{
    ErrorKind, Host, Settings,
    control::Client,
    events::{Policy, SubscribeOptions},
};

use self::{input::Feed, life::Run, pace::Pace, view::View};
use crate::{
    exit::{Exit, Failure},
    folder::{self, DEFAULT_SETTINGS, Place},
    lines::Lines,
    signals,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Runs plugins: CloudEvents in, and what the plugins emit out, both as JSON lines

Loads and enables every plugin of the plugin folders, publishes the events of --events to them, and writes the \
events that they emit to stdout. The log and all messages go to stderr. Runs until SIGINT or SIGTERM, or, with \
--until-idle, until the input has ended and nothing is left to do. While it runs, the commands plugins, stats, log, \
emit, tail and config can ask it.";

/// How long to wait for a data folder that another command looks at.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait before trying again.
const LOOK: Duration = Duration::from_millis(20);

/// How many events that plugins emit may wait until the command gets to see them: as many as a host allows.
const MOST_WAITING: usize = 65_536;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// A folder with plugins, before those of the settings; may be given several times
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// Has no data folder: nothing lasts, and no other command can ask this host
    #[arg(long, conflicts_with = "data")]
    no_data: bool,
    /// Events to publish, one CloudEvent in JSON on each line; `-` is stdin
    #[arg(long, value_name = "FILE|-")]
    events: Option<PathBuf>,
    /// Ends when the input has ended and the plugins have nothing left to do
    #[arg(long)]
    until_idle: bool,
    /// Shows what happens: a live table on a terminal, plain lines elsewhere, and a summary at the end
    #[arg(long)]
    watch: bool,
}

/// What happens while plugins run.
#[derive(Debug)]
pub(crate) enum News {
    /// A signal asks for the end.
    Signal,
    /// There is no more input; why, if it cannot be read any further.
    InputEnded(Result<(), String>),
    /// Nobody takes the output any more.
    OutputGone(io::Error),
}

/// Runs plugins.
pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    let (settings, usual) = settings(options)?;
    let input = options.events.as_deref().map(Lines::open).transpose()?;
    let (news, told) = mpsc::channel();
    let stopping = Arc::new(AtomicBool::new(false));
    let signalled = news.clone();
    // Nobody listens any more when the command is about to end anyway.
    signals::take(&stopping, move || drop(signalled.send(News::Signal)))?;

    let view = View::new(options.watch, &news)?;
    let voice = view.screen.clone().map_or_else(Voice::plain, Voice::above);
    let host = Arc::new(build(&view, &settings, usual)?);
    let keep =
        SubscribeOptions { capacity: MOST_WAITING, policy: Policy::Wait, ..SubscribeOptions::default() };
    host.subscribe_with("plugin.>", keep, view.handler()).map_err(Failure::failed)?;

    let begun = Instant::now();
    let started = host.start();
    let mut run = Run {
        host,
        view,
        voice,
        told,
        stopping,
        taken: None,
        started,
        begun,
        fed: false,
        signalled: false,
        over: false,
        failed: false,
    };
    run.tell_start(&settings);
    if run.started.enabled.is_empty() {
        run.host.stop();
        return Err(run.no_plugin(&settings));
    }
    if let Some(input) = input {
        let feed = Feed {
            host: Arc::clone(&run.host),
            output: run.view.output.clone(),
            pace: Pace::new(settings.queues.lane),
            voice: run.voice.clone(),
            stopping: Arc::clone(&run.stopping),
            news,
        };
        run.taken = Some(feed.begin(input).map_err(no_thread)?);
        run.fed = true;
    }
    run.attend(options.until_idle);
    Ok(run.end(&settings))
}

/// Makes the host. A data folder that no running host has may still be in use for a moment: a command looks at it.
fn build(view: &View, settings: &Settings, usual: bool) -> Result<Host, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let host = view.log_above(Host::builder().settings(settings.clone()), settings);
        let error = match host.build() {
            Ok(host) => return Ok(host),
            Err(error) => error,
        };
        let folder = settings.data.as_deref().unwrap_or(Path::new(""));
        let held = error.kind() == ErrorKind::Conflict;
        if held && Instant::now() < deadline && matches!(Client::connect(folder), Ok(None)) {
            thread::sleep(LOOK);
            continue;
        }
        let mend = "name another folder with --data DIR, or have none with --no-data";
        return Err(Failure::failed(match (usual, held) {
            (false, _) => error.to_string(),
            (true, true) => format!("{error}: {mend}"),
            (true, false) => format!("{error}: this is the usual data folder: {mend}"),
        }));
    }
}

/// The settings, with what the command line says in place of it or before it, and whether their data folder is the
/// usual one.
fn settings(options: &Options) -> Result<(Settings, bool), Failure> {
    let mut settings = options.place.read()?;
    // Of two plugins with one id the first wins, and what was asked for last should.
    settings.plugins.splice(0..0, options.plugins.iter().cloned());
    if settings.plugins.is_empty() {
        return Err(Failure::misused(format!(
            "there is no folder to look for plugins in: name one with --plugins DIR, or with `plugins` in {}",
            options.place.file().unwrap_or(Path::new(DEFAULT_SETTINGS)).display()
        )));
    }
    if options.no_data {
        settings.data = None;
        return Ok((settings, false));
    }
    let usual = settings.data.is_none();
    if usual {
        let folder = folder::usual()
            .map_err(|failure| Failure { text: failure.text + ", or have none with --no-data", ..failure })?;
        settings.data = Some(folder);
    }
    Ok((settings, usual))
}

fn no_thread(error: io::Error) -> Failure {
    Failure::failed(format!("no thread can be made: {error}"))
}
