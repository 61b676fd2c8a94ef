//! The events that come in: one CloudEvent in JSON on each line of a file or of stdin.
//!
//! A line that is no event, or one that the host refuses, is told with its number, and the stream goes on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

use pintle::{Host, Result, events};

use super::{News, output::Output, pace::Pace};
use crate::{
    lines::{Lines, Next},
    voice::Voice,
};

/// How long an event waits for room in queues whose owners want publishers to wait; there is room, mostly.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the input so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Lines that were events.
    pub(super) events: AtomicU64,
    /// Lines that were none, or none that an application may publish.
    pub(super) refused: AtomicU64,
}

/// Where the events go, and who is told.
pub(super) struct Feed {
    pub(super) host: Arc<Host>,
    /// Lines on stdout, if that is what results become.
    pub(super) output: Option<Arc<Output>>,
    pub(super) pace: Pace,
    pub(super) voice: Voice,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) news: Sender<News>,
}

impl Feed {
    /// Feeds the events, on a thread of its own, until the input ends or the command is to stop.
    pub(super) fn begin(mut self, mut lines: Lines) -> io::Result<Arc<Taken>> {
        let taken = Arc::new(Taken::default());
        let counts = Arc::clone(&taken);
        thread::Builder::new().name("pintle-input".into()).spawn(move || {
            let ended = self.all(&mut lines, &counts);
            let ended = ended.map_err(|error| format!("{} cannot be read any further: {error}", lines.name));
            // Nobody listens any more when the command is about to end anyway.
            let _ = self.news.send(News::InputEnded(ended));
        })?;
        Ok(taken)
    }

    fn all(&mut self, lines: &mut Lines, taken: &Taken) -> io::Result<()> {
        while !self.stopping.load(SeqCst) {
            let event = match lines.next()? {
                Next::End => break,
                Next::None(why) => Err(why),
                Next::Line(text) => {
                    if !self.pace.wait(text.len(), &self.host, self.output.as_deref(), &self.stopping) {
                        break;
                    }
                    self.publish(text).map_err(|error| error.to_string())
                }
            };
            match event {
                Ok(()) => taken.events.fetch_add(1, SeqCst),
                // It is the end that is in the way, not the event.
                Err(_) if self.stopping.load(SeqCst) => break,
                Err(error) => {
                    self.voice.say(&lines.fault(&error));
                    taken.refused.fetch_add(1, SeqCst)
                }
            };
        }
        Ok(())
    }

    fn publish(&self, line: &[u8]) -> Result<()> {
        let event = events::from_json(line)?;
        let tenant = event.tenant.to_string();
        // A plugin that is stuck makes no room, however long one waits.
        let stuck = self.host.workers().stuck > 0;
        self.host.emit_and_wait(&tenant, event, if stuck { Duration::ZERO } else { PATIENCE })?;
        Ok(())
    }
}
