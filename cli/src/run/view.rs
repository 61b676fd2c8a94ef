//! What becomes of the events that plugins emit: lines on stdout, or a table on a terminal.

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError, mpsc::Sender},
};

use pintle::{
    HostBuilder, Settings,
    events::{Event, to_json},
    log,
};

use super::{
    News, no_thread,
    output::Output,
    watch::{self, Board},
};
use crate::{exit::Failure, screen::Screen};

/// What becomes of the events that plugins emit.
pub(super) struct View {
    /// Lines on stdout; none if there is a table.
    pub(super) output: Option<Arc<Output>>,
    /// A table on the terminal.
    pub(super) screen: Option<Arc<Screen>>,
    /// What is shown and summed up, if anything is.
    pub(super) board: Option<Arc<Mutex<Board>>>,
}

impl View {
    pub(super) fn new(watch: bool, news: &Sender<News>) -> Result<Self, Failure> {
        let screen = if watch { Screen::on_terminal() } else { None };
        let output = match screen {
            Some(_) => None,
            None => Some(Output::start(news.clone()).map_err(no_thread)?),
        };
        Ok(Self { output, screen, board: watch.then(Arc::default) })
    }

    /// Lets a log that would be written to the same terminal be written above the table.
    pub(super) fn log_above(&self, host: HostBuilder, settings: &Settings) -> HostBuilder {
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
    pub(super) fn handler(&self) -> impl Fn(&Event) + Send + Sync + 'static {
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
