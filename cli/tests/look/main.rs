//! The commands that only look: `pintle inspect`, `list`, `cron`, `completions` and `man`, as whoever runs them sees them.
//!
//! `place` has the folder of a test and the command in it; the others have what their names say.

#![cfg(unix)]

mod cron;
mod inspect;
mod list;
mod machine;
mod pages;
mod place;
mod reader;
