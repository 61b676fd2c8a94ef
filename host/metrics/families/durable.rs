//! The metrics of durable events.

use std::fmt;

use prometheus_client::metrics::MetricType::Counter;

use crate::{
    metrics::page::{Is, Page},
    stats::DurableStats,
};

pub(super) fn of_durable(page: &mut Page<'_>, stats: &DurableStats) -> fmt::Result {
    let DurableStats { written, duplicates, delivered, redelivered, acknowledged, retried, dead, replayed } =
        *stats;
    for (name, help, value) in [
        (
            "pintle_durable_events_written",
            "Durable events that were published and written to the log.",
            written,
        ),
        (
            "pintle_durable_events_duplicates",
            "Durable events that were published and not written, because they were there already under their id and source.",
            duplicates,
        ),
        (
            "pintle_durable_events_delivered",
            "Deliveries of durable events whose handler was run, each attempt one.",
            delivered,
        ),
        (
            "pintle_durable_events_redelivered",
            "Those of the delivered that were not the first attempt at their event.",
            redelivered,
        ),
        (
            "pintle_durable_events_acknowledged",
            "Deliveries of durable events that were acknowledged.",
            acknowledged,
        ),
        (
            "pintle_durable_events_retried",
            "Deliveries of durable events that have failed, and whose event was to come again.",
            retried,
        ),
        (
            "pintle_durable_events_dead",
            "Deliveries of durable events that have failed for the last time, so that their event became a dead letter.",
            dead,
        ),
        (
            "pintle_durable_events_replayed",
            "Dead letters that were written to the log again, to be delivered once more.",
            replayed,
        ),
    ] {
        page.one(Counter, name, None, help, Is::Count(value))?;
    }
    Ok(())
}
