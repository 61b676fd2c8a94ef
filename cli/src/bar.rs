//! How far long work is: one line on stderr, where that is a terminal, drawn over again and taken away at the end. What
//! is quick shows none.

use std::{
    env,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use crate::pen;

/// Work that is done within this time shows no bar.
const QUICK: Duration = Duration::from_millis(500);

/// How often it is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// How many cells the bar has.
const CELLS: u64 = 24;

/// The progress of one piece of work.
pub(crate) struct Bar {
    what: &'static str,
    /// How much there is to do, if that is known.
    total: Option<u64>,
    /// When it may be drawn next; None: nobody would see it.
    next: Option<Instant>,
    shown: bool,
}

impl Bar {
    /// Begins. `total` is in the same unit as what `at` is told.
    pub(crate) fn of(what: &'static str, total: Option<u64>) -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let next = (io::stderr().is_terminal() && !dumb).then(|| Instant::now() + QUICK);
        Self { what, total, next, shown: false }
    }

    /// So much is done, and `note` is to be said of it.
    pub(crate) fn at(&mut self, done: u64, note: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now >= next) {
            self.next = Some(now + FRAME);
            self.shown = true;
            let line = line(self.what, done, self.total, &note());
            // If the terminal is gone there is nobody left to tell. What is too long is cut off, not wrapped.
            let _ = pen::STDERR.write(format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h").as_bytes());
        }
    }

    /// Makes room for other lines.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            self.shown = false;
            let _ = pen::STDERR.write(b"\r\x1b[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(what: &str, done: u64, total: Option<u64>, note: &str) -> String {
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let done = done.min(total);
            let cells = (u128::from(done) * u128::from(CELLS) / u128::from(total)) as usize;
            let bar = "#".repeat(cells) + &".".repeat(CELLS as usize - cells);
            let percent = u128::from(done) * 100 / u128::from(total);
            format!("{what} [{bar}] {percent:>3}%  {note}")
        }
        None => format!("{what}  {note}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_work_that_is_done() {
        for (done, total, expected) in [
            (0, Some(10), "reading [........................]   0%  n"),
            (5, Some(10), "reading [############............]  50%  n"),
            (10, Some(10), "reading [########################] 100%  n"),
            // A file that grows meanwhile.
            (11, Some(10), "reading [########################] 100%  n"),
            (u64::MAX, Some(u64::MAX), "reading [########################] 100%  n"),
            (7, None, "reading  n"),
            (0, Some(0), "reading  n"),
        ] {
            assert_eq!(line("reading", done, total, "n"), expected);
        }
    }
}
