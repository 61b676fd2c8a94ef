//! `pintle run` as whoever runs it sees it: what goes in and comes out, what is said, and how it ends.
//!
//! `place` has the folder of a test and the command in it; the others have what their names say.

#![cfg(unix)]

mod end;
mod folders;
mod limits;
mod machine;
mod million;
mod place;
mod readers;
mod settings;
mod start;
mod stream;
mod watch;
