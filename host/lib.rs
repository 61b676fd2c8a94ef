//! Pintle: a host for native plugins.

#![deny(unsafe_code)]

mod error;
mod identity;

pub use error::{Error, ErrorKind, Result};
