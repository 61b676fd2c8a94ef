//! Plugins at work: from the start of the host to its end, and what is said about it.

use std::{
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use pintle::{Host, PluginInfo, Settings, Started, Stopped, events::Totals};

use super::{
    News,
    input::Taken,
    pace,
    view::View,
    watch::{Report, Width},
};
use crate::{
    exit::{Exit, Failure},
    pen,
    screen::{Look, Screen},
    voice::Voice,
};

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// How long to wait for the plugins to be done before looking whether something else has happened.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait where only news ends the wait.
const NO_HURRY: Duration = Duration::from_secs(3600);

/// Plugins at work.
pub(super) struct Run {
    pub(super) host: Arc<Host>,
    pub(super) view: View,
    pub(super) voice: Voice,
    pub(super) told: Receiver<News>,
    pub(super) stopping: Arc<AtomicBool>,
    /// What was taken of the input, if there is one.
    pub(super) taken: Option<Arc<Taken>>,
    pub(super) started: Started,
    pub(super) begun: Instant,
    /// There is still input.
    pub(super) fed: bool,
    /// Somebody has asked for the end.
    pub(super) signalled: bool,
    /// It is time to end.
    pub(super) over: bool,
    /// Something went so wrong that this run has failed.
    pub(super) failed: bool,
}

impl Run {
    /// The host has written all this to its log, which is to be seen here, unless it goes to a file.
    pub(super) fn tell_start(&self, settings: &Settings) {
        if settings.log.file.is_none() {
            return;
        }
        let Started { failed, skipped, warnings, .. } = &self.started;
        for error in warnings.iter().chain(skipped.iter().map(|(_, error)| error)).chain(failed) {
            self.voice.say(&error.to_string());
        }
    }

    pub(super) fn no_plugin(&self, settings: &Settings) -> Failure {
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
    pub(super) fn attend(&mut self, until_idle: bool) {
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
    pub(super) fn end(mut self, settings: &Settings) -> Exit {
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

        if !stopped.left.is_empty() {
            // It may be the reader of stderr that the log has waited for.
            pen::hurry();
        }
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
                screen.above(summary.iter().fold(String::new(), |text, line| text + line + "\n").as_bytes());
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
        missing(dropped.not_taken, "event", "dropped because their plugin was stuck or its lane full");
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
