//! `pintle run`: a host, events in, events out, until a signal or until nothing is left to do.
//!
//! This file reads the settings and puts the parts together. `input` feeds events, as fast as `pace` lets it; `view`
//! says what becomes of what plugins emit: lines for `output`, or something to `watch`; `signals` takes signals.
//! What happens to all of them comes together in `life`, as [`News`].

mod input;
mod life;
mod output;
mod pace;
mod signals;
mod view;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Instant,
};

use clap::Args;
use pintle::{
    Host, Settings,
    events::{Policy, SubscribeOptions},
};

use self::{
    input::{Feed, Input},
    life::Run,
    pace::Pace,
    view::View,
};
use crate::{
    exit::{Exit, Failure},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Runs plugins: CloudEvents in, and what the plugins emit out, both as JSON lines

Loads and enables every plugin of the plugin folders, publishes the events of --events to them, and writes the \
events that they emit to stdout. The log and all messages go to stderr. Runs until SIGINT or SIGTERM, or, with \
--until-idle, until the input has ended and nothing is left to do.";

/// The settings file that is read if none is named.
const DEFAULT_SETTINGS: &str = "pintle.toml";

/// How many events that plugins emit may wait until the command gets to see them: as many as a host allows.
const MOST_WAITING: usize = 65_536;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The settings; by default pintle.toml, if it is there
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// A folder with plugins, before those of the settings; may be given several times
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// The folder for what lasts, in place of that of the settings
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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
    let settings = settings(options)?;
    let input = options.events.as_deref().map(Input::open).transpose()?;
    let (news, told) = mpsc::channel();
    let stopping = Arc::new(AtomicBool::new(false));
    signals::take(Arc::clone(&stopping), news.clone()).map_err(|error| {
        Failure::failed(format!(
            "signals cannot be taken: {error}: allow this process more files (ulimit -n)"
        ))
    })?;

    let view = View::new(options.watch, &news)?;
    let voice = view.screen.clone().map_or_else(Voice::plain, Voice::above);
    let host = view.log_above(Host::builder().settings(settings.clone()), &settings);
    let host = Arc::new(host.build().map_err(Failure::failed)?);
    let keep = SubscribeOptions { capacity: MOST_WAITING, policy: Policy::Wait };
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
        run.taken = Some(input.feed(feed).map_err(no_thread)?);
        run.fed = true;
    }
    run.attend(options.until_idle);
    Ok(run.end(&settings))
}

/// The settings, with what the command line says in place of it or before it.
fn settings(options: &Options) -> Result<Settings, Failure> {
    let default = Path::new(DEFAULT_SETTINGS);
    let file = match &options.settings {
        Some(file) => Some(file.as_path()),
        None => default.try_exists().unwrap_or(true).then_some(default),
    };
    let mut settings = match file {
        Some(file) => Settings::from_file(file).map_err(Failure::misused)?,
        None => Settings::default(),
    };
    // Of two plugins with one id the first wins, and what was asked for last should.
    settings.plugins.splice(0..0, options.plugins.iter().cloned());
    if options.data.is_some() {
        settings.data.clone_from(&options.data);
    }
    if settings.plugins.is_empty() {
        return Err(Failure::misused(format!(
            "there is no folder to look for plugins in: name one with --plugins DIR, or with `plugins` in {}",
            file.unwrap_or(default).display()
        )));
    }
    Ok(settings)
}

fn no_thread(error: io::Error) -> Failure {
    Failure::failed(format!("no thread can be made: {error}"))
}
