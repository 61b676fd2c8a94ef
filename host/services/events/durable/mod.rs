//! Durable events: written to a log before anybody is told of them, and delivered to each consumer until it has acknowledged them.
//!
//! [`log`] says what a log does.
#![allow(dead_code, reason = "the engine comes next")]

#[cfg(test)]
mod conformance;
pub(crate) mod ledger;
pub(crate) mod log;
#[cfg(test)]
mod model;
#[cfg(test)]
mod random;
