//! The events that come in: one CloudEvent in JSON on each line of a file or of stdin.
//!
//! A line that is no event, or one that the host refuses, is told with its number, and the stream goes on.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
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
use crate::{exit::Failure, voice::Voice};

/// The longest line that the host's reader of events takes, in bytes.
const LONGEST_LINE: usize = 2 << 20;

/// How long an event waits for room in queues whose owners want publishers to wait; there is room, mostly.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where events come from.
pub(super) struct Input {
    name: String,
    lines: BufReader<Box<dyn Read + Send>>,
}

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

impl Input {
    /// Opens a file; `-` is stdin.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let (name, source): (_, Box<dyn Read + Send>) = if path.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(io::stdin()))
        } else {
            let unusable = |error: io::Error| {
                Failure::misused(format!("the events in {} cannot be read: {error}", path.display()))
            };
            let file = File::open(path).map_err(unusable)?;
            if file.metadata().map_err(unusable)?.is_dir() {
                return Err(unusable(io::ErrorKind::IsADirectory.into()));
            }
            (path.display().to_string(), Box::new(file))
        };
        Ok(Self { name, lines: BufReader::with_capacity(1 << 16, source) })
    }

    /// Feeds the events, on a thread of its own, until the input ends or the command is to stop.
    pub(super) fn feed(self, mut feed: Feed) -> io::Result<Arc<Taken>> {
        let taken = Arc::new(Taken::default());
        let counts = Arc::clone(&taken);
        thread::Builder::new().name("pintle-input".into()).spawn(move || {
            let Self { name, mut lines } = self;
            let ended = feed.all(&name, &mut lines, &counts);
            let ended = ended.map_err(|error| format!("{name} cannot be read any further: {error}"));
            // Nobody listens any more when the command is about to end anyway.
            let _ = feed.news.send(News::InputEnded(ended));
        })?;
        Ok(taken)
    }
}

impl Feed {
    fn all(&mut self, name: &str, lines: &mut impl BufRead, taken: &Taken) -> io::Result<()> {
        let mut line = Vec::new();
        let mut number: u64 = 0;
        while !self.stopping.load(SeqCst) {
            let read = read_line(lines, &mut line)?;
            number += 1;
            let event = match read {
                LineRead::End => break,
                LineRead::TooLong => Err(format!("a line of more than {LONGEST_LINE} bytes is no event")),
                LineRead::Line => {
                    let mut text = line.as_slice();
                    if number == 1 {
                        text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
                    }
                    if text.trim_ascii().is_empty() {
                        continue;
                    }
                    if !self.pace.wait(text.len(), &self.host, self.output.as_deref(), &self.stopping) {
                        break;
                    }
                    // Of this text every place is on its line 1, beside the number of the line that is confusing.
                    self.publish(text)
                        .map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
                }
            };
            match event {
                Ok(()) => taken.events.fetch_add(1, SeqCst),
                // It is the end that is in the way, not the event.
                Err(_) if self.stopping.load(SeqCst) => break,
                Err(error) => {
                    self.voice.say(&format!("{name}:{number}: {error}"));
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

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
enum LineRead {
    Line,
    /// It was passed over.
    TooLong,
    End,
}

/// Reads a line, without its end. The last one needs none. No more of it is kept than an event may have.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<LineRead> {
    line.clear();
    let mut length = 0_usize;
    loop {
        let part = match lines.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            part => part?,
        };
        let end = part.iter().position(|byte| *byte == b'\n');
        let text = &part[..end.unwrap_or(part.len())];
        let (ended, used) = (end.is_some() || part.is_empty(), text.len() + usize::from(end.is_some()));
        length += text.len();
        if length <= LONGEST_LINE {
            line.extend_from_slice(text);
        }
        lines.consume(used);
        match (ended, end) {
            (true, None) if length == 0 => return Ok(LineRead::End),
            (true, _) if length > LONGEST_LINE => return Ok(LineRead::TooLong),
            (true, _) => return Ok(LineRead::Line),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], buffer: usize) -> Vec<(LineRead, usize)> {
        let mut lines = BufReader::with_capacity(buffer, text);
        let mut line = Vec::new();
        let next = || {
            let read = read_line(&mut lines, &mut line).unwrap();
            (read != LineRead::End).then_some((read, line.len()))
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn lines_are_read_whatever_the_buffer() {
        for buffer in [1, 2, 3, 100] {
            for (text, expected) in
                [("", &[][..]), ("\n", &[0]), ("ab", &[2]), ("ab\n", &[2]), ("ab\n\nc\r\nde", &[2, 0, 2, 2])]
            {
                let expected: Vec<_> = expected.iter().map(|length| (LineRead::Line, *length)).collect();
                assert_eq!(all(text.as_bytes(), buffer), expected, "{text:?} by {buffer}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept_and_the_next_one_is_read() {
        let mut text = vec![b'x'; LONGEST_LINE];
        text.extend_from_slice(b"\nshort\n");
        text.extend_from_slice(&vec![b'y'; 3 * LONGEST_LINE]);
        text.extend_from_slice(b"\nend");
        let found = all(&text, 1 << 16);
        assert_eq!(found[0], (LineRead::Line, LONGEST_LINE));
        assert_eq!(found[1], (LineRead::Line, 5));
        assert_eq!(found[2].0, LineRead::TooLong);
        assert!(found[2].1 <= LONGEST_LINE);
        assert_eq!(found[3], (LineRead::Line, 3));
    }
}
