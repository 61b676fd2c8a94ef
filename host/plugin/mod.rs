//! From a file to a running plugin.

pub mod discover;
pub mod inspect;
pub mod manifest;
pub mod ownership;
pub mod stage;

#[cfg(test)]
mod fixtures;
