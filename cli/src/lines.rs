//! What comes from a file or from stdin: events, one on each line, or all of it at once.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use crate::exit::Failure;

/// The longest line that the host's reader of events takes, in bytes.
const LONGEST_LINE: usize = 2 << 20;

/// Where events come from.
pub(crate) struct Lines {
    pub(crate) name: String,
    from: BufReader<Box<dyn Read + Send>>,
    /// How many lines were read.
    number: u64,
    /// How many bytes were read.
    pub(crate) taken: u64,
    /// How many there are, if that is known.
    pub(crate) total: Option<u64>,
    line: Vec<u8>,
}

/// All of a file, which has at most so many bytes; `-` is stdin. `what` says what is in it, `mend` what to do if there is
/// more.
pub(crate) fn whole(file: &Path, what: &str, most: u64, mend: &str) -> Result<Vec<u8>, Failure> {
    let stdin = file.as_os_str() == "-";
    let name = if stdin { "standard input".into() } else { file.display().to_string() };
    let unreadable =
        |error: io::Error| Failure::misused(format!("the {what} in {name} cannot be read: {error}"));
    let mut from: Box<dyn Read> = match stdin {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(file).map_err(unreadable)?),
    };
    let mut bytes = Vec::new();
    from.by_ref().take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(Failure::misused(format!("the {what} in {name} has more than {most} bytes: {mend}")));
    }
    Ok(bytes)
}

/// What comes next.
pub(crate) enum Next<'l> {
    /// A line that is not empty.
    Line(&'l [u8]),
    /// One that can be no event, and why; it was passed over.
    None(String),
    /// There are no more.
    End,
}

impl Lines {
    /// Opens a file; `-` is stdin.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let (name, source, total): (_, Box<dyn Read + Send>, _) = if path.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(io::stdin()), None)
        } else {
            let unusable = |error: io::Error| {
                Failure::misused(format!("the events in {} cannot be read: {error}", path.display()))
            };
            let file = File::open(path).map_err(unusable)?;
            let about = file.metadata().map_err(unusable)?;
            if about.is_dir() {
                return Err(unusable(io::ErrorKind::IsADirectory.into()));
            }
            (path.display().to_string(), Box::new(file), about.is_file().then_some(about.len()))
        };
        let from = BufReader::with_capacity(1 << 16, source);
        Ok(Self { name, from, number: 0, taken: 0, total, line: Vec::new() })
    }

    /// The next line that is not empty. The first may begin with a byte order mark.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        let text = loop {
            let read = read_line(&mut self.from, &mut self.line, LONGEST_LINE, &mut self.taken)?;
            self.number += 1;
            match read {
                LineRead::End => return Ok(Next::End),
                LineRead::TooLong => {
                    return Ok(Next::None(format!("a line of more than {LONGEST_LINE} bytes is no event")));
                }
                LineRead::Line => {}
            }
            let mark = if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
            if !self.line[mark..].trim_ascii().is_empty() {
                break mark..;
            }
        };
        Ok(Next::Line(&self.line[text]))
    }

    /// What is wrong with the line that was read last, with its place.
    pub(crate) fn fault(&self, error: &str) -> String {
        // Of this text every place is on its line 1, beside the number of the line that is confusing.
        format!("{}:{}: {}", self.name, self.number, error.replace(" at line 1 column ", " at column "))
    }
}

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineRead {
    /// It is there, without its end.
    Line,
    /// It was passed over.
    TooLong,
    /// There are no more.
    End,
}

/// Reads a line, without its end. The last one needs none. No more of it is kept than `longest` bytes.
pub(crate) fn read_line(
    lines: &mut impl BufRead,
    line: &mut Vec<u8>,
    longest: usize,
    taken: &mut u64,
) -> io::Result<LineRead> {
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
        if length <= longest {
            line.extend_from_slice(text);
        }
        lines.consume(used);
        *taken += used as u64;
        match (ended, end) {
            (true, None) if length == 0 => return Ok(LineRead::End),
            (true, _) if length > longest => return Ok(LineRead::TooLong),
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
            let read = read_line(&mut lines, &mut line, LONGEST_LINE, &mut 0).unwrap();
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
