//! Lines of bounded length from a stream, for both sides of the control socket.

use std::io::{self, BufRead, BufReader, Read};

/// As much is kept of the room for a line when a long one has been dealt with.
const KEPT: usize = 1 << 16;

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// Without its end.
    Whole(&'l [u8]),
    /// It was passed over.
    TooLong,
    /// Nothing comes any more. A line that has no end counts for nothing.
    End,
}

/// Reads lines.
pub(super) struct Lines<R> {
    source: BufReader<R>,
    limit: usize,
    /// Of the line that is under way.
    text: Vec<u8>,
    length: usize,
    /// The last line has been given out.
    ended: bool,
    /// Long lines are passed over to their ends, before it is said that they are long.
    passes_over: bool,
}

impl<R: Read> Lines<R> {
    /// No more than `limit` bytes of a line are kept.
    pub(super) fn new(source: R, limit: usize) -> Self {
        let source = BufReader::with_capacity(1 << 14, source);
        Self { source, limit, text: Vec::new(), length: 0, ended: false, passes_over: true }
    }

    /// The same, for a source that is not read any further after a long line, which need not end at all.
    pub(super) fn until_too_long(source: R, limit: usize) -> Self {
        Self { passes_over: false, ..Self::new(source, limit) }
    }

    /// The next line. `heard` is called whenever something has come, with whether the line is whole now.
    ///
    /// # Errors
    ///
    /// What reading answered. What there is of a line stays, and the next call goes on with it.
    pub(super) fn next(&mut self, mut heard: impl FnMut(bool)) -> io::Result<Line<'_>> {
        if std::mem::take(&mut self.ended) {
            self.length = 0;
            self.text.clear();
            self.text.shrink_to(KEPT);
        }
        loop {
            let part = match self.source.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                part => part?,
            };
            if part.is_empty() {
                return Ok(Line::End);
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            let text = &part[..end.unwrap_or(part.len())];
            self.length = self.length.saturating_add(text.len());
            if self.length <= self.limit {
                self.text.extend_from_slice(text);
            } else if !self.text.is_empty() {
                self.text = Vec::new();
            }
            let used = text.len() + usize::from(end.is_some());
            self.source.consume(used);
            heard(end.is_some());
            let too_long = self.length > self.limit;
            if end.is_some() || (too_long && !self.passes_over) {
                self.ended = true;
                return Ok(if too_long { Line::TooLong } else { Line::Whole(&self.text) });
            }
        }
    }

    pub(super) fn source(&mut self) -> &mut R {
        self.source.get_mut()
    }
}
