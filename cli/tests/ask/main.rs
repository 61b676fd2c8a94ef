//! The commands that ask a host: `pintle plugins`, `stats`, `log`, `emit`, `tail`, `events`, `config`, `cache`,
//! `storage`, `sql` and `jobs`, with one that runs beside them, and with none.
//!
//! `place` has the folder of a test, the host and the commands in it; the others have what their names say.

#![cfg(unix)]

mod answers;
mod cache;
mod dead;
mod durable;
mod events;
mod jobs;
mod nobody;
mod place;
mod sql;
mod storage;
mod strangers;
mod terminal;
