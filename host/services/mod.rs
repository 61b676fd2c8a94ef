//! The engines behind the tables. Safe Rust: no C type, no plugin known by pointer.

#![forbid(unsafe_code)]

pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod config;
mod cursor;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod ledger;
pub mod log;
pub(crate) mod outbox;
mod part;
pub(crate) mod scheduler;
#[cfg(test)]
mod scopes;
#[cfg(test)]
pub(crate) mod small_disk;
pub(crate) mod storage;
