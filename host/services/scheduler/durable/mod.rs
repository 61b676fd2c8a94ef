//! Durable jobs: kept in a store, so that they outlive the host, and each run claimed there before it begins.

#[cfg(test)]
mod conformance;
pub(crate) mod ledger;
#[cfg(test)]
mod model;
#[cfg(test)]
mod random;
