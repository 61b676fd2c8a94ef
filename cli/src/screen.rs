//! A live table on a terminal: drawn again in place, with room above it for lines that stay.
//!
//! Nothing is switched that would have to be switched back at the end (no other screen, no hidden cursor), so that a
//! command that is killed leaves a usable terminal behind.

use std::{
    env,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::pen;

/// The table, and the terminal on stdout that it is drawn on.
#[derive(Default)]
pub(crate) struct Screen {
    /// The lines that stand on the terminal now.
    shown: Mutex<Vec<String>>,
}

/// How a piece of text looks.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    Bold,
    Dim,
    Red,
    Green,
}

impl Screen {
    /// A table on stdout, if that is a terminal which understands it.
    pub(crate) fn on_terminal() -> Option<Arc<Self>> {
        is_terminal().then(Arc::default)
    }

    /// How many lines and columns there are; the smallest of usual terminals if that cannot be told.
    pub(crate) fn size() -> (usize, usize) {
        let size = terminal_size::terminal_size();
        size.map_or((24, 80), |(columns, lines)| {
            (usize::from(lines.0).max(4), usize::from(columns.0).max(20))
        })
    }

    /// Draws the table anew, in the place of the last one.
    pub(crate) fn draw(&self, lines: Vec<String>) -> io::Result<()> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        up(&mut out, shown.len());
        table(&mut out, &lines);
        *shown = lines;
        write(&out)
    }

    /// Writes lines that stay, above the table.
    pub(crate) fn above(&self, text: &[u8]) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(text);
        let mut out = String::new();
        if shown.is_empty() {
            out.push_str(&text);
        } else {
            up(&mut out, shown.len());
            // Down to the end of the terminal.
            out.push_str("\x1b[J");
            out.push_str(&text);
            table(&mut out, &shown);
        }
        // If the terminal is gone, the next drawing will tell.
        let _ = write(&out);
    }

    /// Takes the table away.
    pub(crate) fn clear(&self) {
        let _ = self.draw(Vec::new());
    }

    /// Something that writes above the table.
    pub(crate) fn writer(self: &Arc<Self>) -> impl Write + Send + 'static {
        Above(Arc::clone(self))
    }
}

impl Look {
    /// `text` so that it looks like this, if `wanted`.
    pub(crate) fn paint(self, text: &str, wanted: bool) -> String {
        let code = match self {
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
        };
        if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Whether colours are wanted on a terminal: <https://no-color.org>.
    pub(crate) fn wanted() -> bool {
        env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }
}

/// Whether stdout is a terminal that understands more than text.
pub(crate) fn is_terminal() -> bool {
    let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && !dumb
}

struct Above(Arc<Screen>);

impl Write for Above {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.above(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn up(out: &mut String, lines: usize) {
    out.push('\r');
    if lines > 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, "\x1b[{lines}A");
    }
}

/// A line that is too wide is cut off by the terminal: if it were wrapped, the way up would be longer than the table.
fn table(out: &mut String, lines: &[String]) {
    out.push_str("\x1b[?7l");
    for line in lines {
        out.push_str("\x1b[2K");
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str("\x1b[J\x1b[?7h");
}

fn write(text: &str) -> io::Result<()> {
    pen::STDOUT.write(text.as_bytes())
}
