//! `pintle-abi`: the contract between a Pintle host and its plugins.
//!
//! Only `repr(C)` types, constants and layout asserts; no logic, no allocation, no `std`. The C header
//! `include/pintle/plugin.h` is generated from these files, so what is written here is what a C author reads.
//! `docs/contract.md` has the rules of growth. Read in this order: [`PintlePlugin`] (what a plugin is),
//! [`PintleHost`] (what it is handed), then the tables of the services.

#![no_std]

mod cache;
mod config;
mod database;
mod events;
mod files;
mod host;
mod idempotency;
#[cfg(feature = "layout-check")]
pub mod layout;
mod log;
mod plugin;
mod scheduler;
mod status;
mod storage;
mod value;

pub use cache::*;
pub use config::*;
pub use database::*;
pub use events::*;
pub use files::*;
pub use host::*;
pub use idempotency::*;
pub use log::*;
pub use plugin::*;
pub use scheduler::*;
pub use status::*;
pub use storage::*;
pub use value::*;

/// The major version of this contract. It is in the name of the entry function, so it never differs at run time.
pub const PINTLE_ABI_MAJOR: u32 = 1;

/// The minor version of this contract: what a plugin was built against, and what a host offers at least.
pub const PINTLE_ABI_MINOR: u32 = 0;

/// A deadline that never comes: what `remaining` answers where nobody waits.
pub const PINTLE_FOREVER: i64 = i64::MAX;
