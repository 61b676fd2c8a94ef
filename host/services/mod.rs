//! The engines behind the tables. Safe Rust: no C type, no plugin known by pointer.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod events;
pub mod log;
pub mod scheduler;
