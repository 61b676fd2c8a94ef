//! Pintle: a host for native plugins.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "raw pointers become values here")]
mod boundary;
mod error;
mod identity;
mod lanes;
mod plugin;
mod services;
mod settings;

pub use error::{Error, ErrorKind, Result};

/// Parts that the benches measure on their own. No promise is made about them.
#[doc(hidden)]
pub mod bench_parts {
    pub use crate::services::log;
}
