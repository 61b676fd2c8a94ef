//! Bad input, each with its expected error, through the public surface: what a plugin, a file or an application can
//! do wrong is answered as the header and docs/promises.md say, and harms nobody else.
//!
//! `rig` makes hosts; `arguments`, `contexts` and `sinks` ask the plugin `probe` what it got back.

#![cfg(unix)]

mod arguments;
mod contexts;
mod entries;
mod errors;
mod exceptions;
mod files;
mod hosts;
mod manifests;
mod panics;
mod queries;
mod rig;
mod sinks;
mod steps;
mod waits;
