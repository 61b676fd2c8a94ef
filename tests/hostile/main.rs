//! A hostile machine, as an application meets it: settings with anything in them, plugin folders that go away, change
//! into something else, or are full of what is none. Each case with its expected end.
//!
//! What a plugin or a file can do wrong is in `tests/bad_input`; what needs a process of its own (limits, full disks, closed
//! pipes, data folders of other versions) is tried on the command, in `cli/tests/run`: `limits`, `folders`, `readers`.
//! Clocks that are wrong are moved in the tests of the engines, which get theirs handed in.

#![cfg(unix)]

mod folders;
mod place;
mod settings;
