//! From a file to a running plugin.

pub mod discover;
pub mod inspect;
pub mod manifest;
pub mod ownership;
pub mod stage;

#[cfg(all(test, unix))]
mod fixtures;
