//! Pintle: a host for native plugins.

#![deny(unsafe_code)]

mod error;
mod identity;
mod lanes;
mod plugin;
mod services;
mod settings;

pub use error::{Error, ErrorKind, Result};
