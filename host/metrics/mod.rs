//! Metrics for those who watch hosts: a [`Stats`] as OpenMetrics 1.0 text, and a small HTTP server that gives it out.
//!
//! `families` says what every metric is called and means, `page` writes it, `listener` serves the text on a loopback
//! address, `http` reads the requests for it. It knows nothing of a host but what [`Stats`] says; `docs/metrics.md` is its page, and a
//! test holds the two to each other.

mod families;
mod http;
mod listener;
mod page;

use prometheus_client::{encoding::text, registry::Registry};

pub(crate) use listener::{Bound, Listener, Patience};

use crate::stats::Stats;

/// What a scraper is to be told that [`open_metrics`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of it as OpenMetrics 1.0 text. Every family is there at any time, also those that have nothing to say yet.
#[must_use]
pub fn open_metrics(stats: &Stats) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families::Families(stats.clone())));
    let mut text = String::new();
    // Only a writer that refuses text can make it fail, and a `String` takes all.
    let _ = text::encode(&mut text, &registry);
    text
}
