//! The engines behind the tables. Safe Rust: no C type, no plugin known by pointer.

#![forbid(unsafe_code)]

pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod ledger;
pub mod log;
pub(crate) mod scheduler;
pub(crate) mod storage;
