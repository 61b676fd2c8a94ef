//! Writes families of metrics, each whole, with the crate `prometheus-client`.

use std::{borrow::Cow, fmt, iter};

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType::{self, Counter, Info},
    registry::Unit,
};

use crate::stats::Times;

/// Names and values. No name is there twice.
pub(super) type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// The text that is being written.
pub(super) struct Page<'e> {
    pub(super) encoder: DescriptorEncoder<'e>,
}

/// What a sample is.
pub(super) enum Is<'t> {
    /// A fact, told by its labels.
    A,
    Count(u64),
    Seconds(f64),
    Times(&'t Times),
}

impl Page<'_> {
    /// A family with the samples that `fill` puts into it. The unit becomes the end of its name.
    pub(super) fn family(
        &mut self,
        kind: MetricType,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        fill: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let encoder = self.encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        fill(&mut Samples { kind, encoder })
    }

    pub(super) fn info(
        &mut self,
        name: &str,
        help: &str,
        fill: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(Info, name, None, help, fill)
    }

    /// A family of one sample.
    pub(super) fn one(
        &mut self,
        kind: MetricType,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        value: Is<'_>,
    ) -> fmt::Result {
        self.family(kind, name, unit, help, |to| to.put(Labels::new(), value))
    }
}

/// The samples of one family.
pub(super) struct Samples<'e> {
    kind: MetricType,
    encoder: MetricEncoder<'e>,
}

impl Samples<'_> {
    pub(super) fn put(&mut self, labels: Labels<'_>, value: Is<'_>) -> fmt::Result {
        if let Is::A = value {
            return self.encoder.encode_info(&labels);
        }
        if labels.is_empty() {
            return write(self.kind, &mut self.encoder, value);
        }
        write(self.kind, &mut self.encoder.encode_family(&labels)?, value)
    }
}

fn write(kind: MetricType, to: &mut MetricEncoder<'_>, value: Is<'_>) -> fmt::Result {
    match (kind, value) {
        (Counter, Is::Count(count)) => to.encode_counter::<NoLabelSet, _, f64>(&count, None),
        (Counter, Is::Seconds(seconds)) => to.encode_counter::<NoLabelSet, _, f64>(&seconds, None),
        (_, Is::Count(count)) => to.encode_gauge(&count),
        (_, Is::Seconds(seconds)) => to.encode_gauge(&seconds),
        (_, Is::Times(times)) => {
            let bounds = Times::BOUNDS_NS.map(|ns| ns as f64 / 1e9).into_iter().chain([f64::INFINITY]);
            let counts = times.buckets.iter().copied().chain(iter::repeat(0));
            let buckets: Vec<_> = bounds.zip(counts).collect();
            to.encode_histogram::<NoLabelSet>(times.sum_ns as f64 / 1e9, times.count, &buckets, None)
        }
        (_, Is::A) => Ok(()),
    }
}
