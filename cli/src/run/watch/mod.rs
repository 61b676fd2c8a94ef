//! `--watch`: what plugins do, for a person to look at: a table that is drawn again in place on a terminal, a line
//! for each event anywhere else, and a summary at the end.
//!
//! `board` remembers what was emitted, `flat` says what an event carries in one line, `report` makes the texts. All
//! numbers of plugins are the host's own.

mod board;
mod flat;
mod report;

pub(super) use board::Board;
pub(super) use flat::line;
pub(super) use report::{Report, Width};
