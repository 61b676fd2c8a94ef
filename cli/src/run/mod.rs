//! `pintle run`: a host, events in, events out, until a signal or until nothing is left to do.
//!
//! `input` feeds events, as fast as `pace` lets it; `output` writes lines; `watch` shows things to a person;
//! `signals` takes signals. What happens to them comes together here, as [`News`].

mod input;
mod output;
mod pace;
mod signals;
mod watch;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use clap::Args;
use pintle::{
    Host, PluginInfo, Settings, Started, Stopped,
    events::{Event, Policy, SubscribeOptions, Totals, to_json},
    log,
};

use self::{
    input::{Feed, Input, Taken},
    output::Output,
    pace::Pace,
    watch::{Board, Report, Width},
};
use crate::{
    exit::{Exit, Failure},
    screen::{Look, Screen},
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

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// How long to wait for the plugins to be done before looking whether something else has happened.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait where only news ends the wait.
const NO_HURRY: Duration = Duration::from_secs(3600);

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
    signals::take(Arc::clone(&stopping), news.clone())
        .map_err(|error| Failure::failed(format!("signals cannot be taken: {error}")))?;

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

/// What becomes of the events that plugins emit.
struct View {
    /// Lines on stdout; none if there is a table.
    output: Option<Arc<Output>>,
    /// A table on the terminal.
    screen: Option<Arc<Screen>>,
    /// What is shown and summed up, if anything is.
    board: Option<Arc<Mutex<Board>>>,
}

impl View {
    fn new(watch: bool, news: &Sender<News>) -> Result<Self, Failure> {
        let screen = if watch { Screen::on_terminal() } else { None };
        let output = match screen {
            Some(_) => None,
            None => Some(Output::start(news.clone()).map_err(no_thread)?),
        };
        Ok(Self { output, screen, board: watch.then(Arc::default) })
    }

    /// Lets a log that would be written to the same terminal be written above the table.
    fn log_above(&self, host: pintle::HostBuilder, settings: &Settings) -> pintle::HostBuilder {
        match &self.screen {
            Some(screen) if settings.log.file.is_none() && io::stderr().is_terminal() => {
                let format = match settings.log.format {
                    log::Format::Auto => log::Format::Text,
                    other => other,
                };
                host.log(log::Options {
                    target: log::Target::Writer(Box::new(screen.writer())),
                    format,
                    level: settings.log.level,
                    buffer: settings.log.buffer,
                    ..log::Options::default()
                })
            }
            _ => host,
        }
    }

    /// What is called with each event.
    fn handler(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let (output, board) = (self.output.clone(), self.board.clone());
        move |event| {
            if let Some(board) = &board {
                board.lock().unwrap_or_else(PoisonError::into_inner).note(event);
            }
            match (&output, &board) {
                (Some(output), None) => output.line(&to_json(event)),
                (Some(output), Some(_)) => output.line(&watch::line(event)),
                (None, _) => {}
            }
        }
    }
}

/// Plugins at work.
struct Run {
    host: Arc<Host>,
    view: View,
    voice: Voice,
    told: Receiver<News>,
    stopping: Arc<AtomicBool>,
    /// What was taken of the input, if there is one.
    taken: Option<Arc<Taken>>,
    started: Started,
    begun: Instant,
    /// There is still input.
    fed: bool,
    /// Somebody has asked for the end.
    signalled: bool,
    /// It is time to end.
    over: bool,
    /// Something went so wrong that this run has failed.
    failed: bool,
}

impl Run {
    /// The host has written all this to its log, which is to be seen here, unless it goes to a file.
    fn tell_start(&self, settings: &Settings) {
        if settings.log.file.is_none() {
            return;
        }
        let Started { failed, skipped, warnings, .. } = &self.started;
        for error in warnings.iter().chain(skipped.iter().map(|(_, error)| error)).chain(failed) {
            self.voice.say(&error.to_string());
        }
    }

    fn no_plugin(&self, settings: &Settings) -> Failure {
        let folders: Vec<_> = settings.plugins.iter().map(|folder| folder.display().to_string()).collect();
        let folders = folders.join(", ");
        let (failed, skipped) = (self.started.failed.len(), self.started.skipped.len());
        let text = match (failed, skipped) {
            (0, 0) => format!("no plugin is in {folders}, or none that the settings do not disable"),
            (0, _) => format!("no plugin could be started: {skipped} skipped in {folders}, see above"),
            (_, 0) => format!("no plugin could be started: {failed} failed, see above"),
            _ => format!("no plugin could be started: {failed} failed, {skipped} skipped, see above"),
        };
        Failure { exit: Exit::NoPlugin, text }
    }

    /// Waits for what happens, and draws meanwhile, until it is time to end.
    fn attend(&mut self, until_idle: bool) {
        let mut drawn: Option<Instant> = None;
        while !self.over {
            if drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
                drawn = Some(Instant::now());
                self.draw();
            }
            if until_idle && !self.fed {
                if pace::idle(&self.host, LOOK) {
                    return;
                }
                self.hear_all();
                continue;
            }
            match self.told.recv_timeout(if self.view.screen.is_some() { FRAME } else { NO_HURRY }) {
                Ok(news) => self.hear(news),
                Err(RecvTimeoutError::Timeout) => {}
                // All who could tell are gone, which the thread for signals never is.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn hear_all(&mut self) {
        while let Ok(news) = self.told.try_recv() {
            self.hear(news);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Signal => (self.signalled, self.over) = (true, true),
            News::InputEnded(ended) => {
                self.fed = false;
                if let Err(error) = ended {
                    self.trouble(error);
                }
            }
            News::OutputGone(error) => {
                self.over = true;
                // Whoever closes a pipe has seen enough.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    self.trouble(format!("stdout cannot be written: {error}"));
                }
            }
        }
    }

    fn draw(&mut self) {
        let Some(screen) = &self.view.screen else { return };
        let (lines, columns) = Screen::size();
        let width = Width { lines, columns, colours: Look::wanted() };
        let table = self.report(&self.host.plugins(), |report| report.live(width));
        if let Err(error) = screen.draw(table) {
            self.hear(News::OutputGone(error));
        }
    }

    /// Lets plugins finish what they have got, stops the host, writes what is left to be written, and says what
    /// went wrong.
    fn end(mut self, settings: &Settings) -> Exit {
        self.stopping.store(true, SeqCst);
        let patience = settings.deadlines.stop;
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut finished = false;
        while !finished && left() > patience / 2 {
            finished = pace::idle(&self.host, FRAME.min(patience / 8));
        }
        let (plugins, waited) = (self.host.plugins(), unhandled(&self.host.event_totals()));
        let stopped = self.host.stop_within(left());
        let lost = if finished { 0 } else { unhandled(&self.host.event_totals()).saturating_sub(waited) };

        self.sum_up(plugins);
        self.flush(patience);
        let exit = self.verdict(&stopped, lost);
        if !stopped.left.is_empty() {
            // Code of plugins still runs: destructors of their libraries, and of whatever they use, may do anything.
            signal_hook::low_level::exit(exit as i32);
        }
        exit
    }

    /// The summary, where the events were shown.
    fn sum_up(&self, mut plugins: Vec<PluginInfo>) {
        // They are all unloaded by now, which nobody wants to know; what they have done counts to the end.
        for now in self.host.plugins() {
            if let Some(plugin) = plugins.iter_mut().find(|plugin| plugin.id == now.id) {
                plugin.counters = now.counters;
            }
        }
        match (&self.view.screen, &self.view.output) {
            (Some(screen), _) => {
                let width = Width { colours: Look::wanted(), ..Width::PLAIN };
                screen.clear();
                let summary = self.report(&plugins, |report| report.summary(width));
                // A terminal that is gone is no matter any more.
                let _ = summary.iter().try_for_each(|line| writeln!(io::stdout(), "{line}"));
            }
            (None, Some(output)) if self.view.board.is_some() => {
                let summary = self.report(&plugins, |report| report.summary(Width::PLAIN));
                summary.iter().for_each(|line| output.line(line));
            }
            _ => {}
        }
    }

    /// Waits for the reader of stdout: as long as it takes, or, once somebody has asked for the end, for `patience`.
    fn flush(&mut self, patience: Duration) {
        let Some(output) = self.view.output.clone() else { return };
        while !output.finish(if self.signalled { patience } else { FRAME }) {
            if self.signalled {
                let error =
                    format!("{} bytes for stdout were not taken in time and are lost", output.backlog());
                self.trouble(error);
                return;
            }
            self.hear_all();
        }
        self.hear_all();
    }

    fn verdict(&self, stopped: &Stopped, lost: u64) -> Exit {
        let mut partly = !self.started.failed.is_empty() || !stopped.failed.is_empty();
        let mut missing = |count: u64, what: &str, why: &str| {
            if count > 0 {
                partly = true;
                let (many, were) = if count == 1 { ("", "was") } else { ("s", "were") };
                self.voice.say(&format!("{count} {what}{many} {were} {why}"));
            }
        };
        if let Some(taken) = &self.taken {
            missing(taken.refused.load(SeqCst), "input line", "refused, see above");
        }
        let dropped = self.host.event_totals().counters.dropped;
        missing(dropped.displaced + dropped.no_room, "event", "dropped in full queues");
        missing(dropped.not_taken, "event", "dropped because their plugin was stuck");
        missing(lost, "event", "not handled when the time to stop was up");
        if let Some(output) = &self.view.output {
            missing(output.dropped(), "line", "dropped because nobody read stdout");
        }
        for call in &stopped.left {
            self.voice.say(&format!("this did not end and was left behind: {call}"));
        }
        match (self.failed || !stopped.left.is_empty(), partly) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::Partly,
            (false, false) => Exit::Fine,
        }
    }

    fn report<T>(&self, plugins: &[PluginInfo], make: impl FnOnce(&Report<'_>) -> T) -> T {
        let board = self.view.board.clone().unwrap_or_default();
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        let input = self.taken.as_ref();
        make(&Report {
            board: &board,
            plugins,
            totals: self.host.event_totals(),
            input: input.map(|taken| (taken.events.load(SeqCst), taken.refused.load(SeqCst))),
            ran: self.begun.elapsed(),
        })
    }

    fn trouble(&mut self, error: String) {
        self.voice.say(&error);
        self.failed = true;
    }
}

/// Events that were dropped because their subscription was ending.
fn unhandled(totals: &Totals) -> u64 {
    totals.counters.dropped.not_live + totals.counters.dropped.ended
}
