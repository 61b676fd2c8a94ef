//! The answers of `chronicle.query` 1: what is on the shelf and what is not there yet, together, without what is too old.

use std::ops::Range;

use pintle_plugin::{Context, Error, Request, Result, Status, serde_json};
use serde::{Deserialize, Serialize};

use crate::{
    book::Book,
    minute::{self, Minute},
    shelf::{self, Measure, Reads},
};

/// How many minutes are told if nobody says otherwise, and at most: a reply has 1 MiB.
const LIMIT: usize = 60;
const MOST: usize = 5_000;

/// How many metrics lead if nobody says otherwise, and at most.
const LEADERS: usize = 10;
const MOST_LEADERS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    metric: String,
    #[serde(default)]
    from: i64,
    #[serde(default = "always")]
    to: i64,
    #[serde(default = "limit")]
    limit: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    metric: Option<String>,
}

/// Which metrics have the most.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Top {
    #[serde(default)]
    by: Measure,
    /// What their names begin with.
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    from: i64,
    #[serde(default = "always")]
    to: i64,
    #[serde(default = "few")]
    limit: usize,
}

/// All that is kept, in numbers. `from` and `to` are the first and the last minute, 0 if there is none.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Total {
    metrics: usize,
    minutes: usize,
    samples: u64,
    from: i64,
    to: i64,
}

/// What is kept of a tenant.
pub(crate) struct Kept<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) book: &'a Book,
    pub(crate) reads: &'a Reads,
    pub(crate) oldest: i64,
}

/// Answers a request.
pub(crate) fn answer(kept: &Kept<'_>, request: &Request<'_>) -> Result<Vec<u8>> {
    let json = match request.method() {
        "metrics" => serde_json::to_vec(&kept.metrics()?),
        "series" => {
            let Series { metric, from, to, limit } = request.json()?;
            must_be_limit(limit, MOST)?;
            let minutes = kept.minutes(&metric, from.max(kept.oldest)..to)?;
            serde_json::to_vec(&minutes[minutes.len().saturating_sub(limit)..])
        }
        "total" => {
            let which: Which = if request.data().is_empty() { Which::default() } else { request.json()? };
            let names = match which.metric {
                Some(metric) => vec![metric],
                None => kept.metrics()?,
            };
            let mut total = Total::default();
            for metric in names {
                total.add(&kept.minutes(&metric, kept.oldest..i64::MAX)?);
            }
            serde_json::to_vec(&total)
        }
        "top" => {
            let Top { by, prefix, from, to, limit } = request.json()?;
            must_be_limit(limit, MOST_LEADERS)?;
            let times = from.max(kept.oldest)..to;
            serde_json::to_vec(&shelf::top(kept.cx, by, &prefix, times, limit)?)
        }
        "reads" => serde_json::to_vec(kept.reads),
        _ => return Err(request.unsupported()),
    };
    Ok(json?)
}

impl Kept<'_> {
    /// The names of all metrics, in order.
    pub(crate) fn metrics(&self) -> Result<Vec<String>> {
        let mut metrics = shelf::metrics(self.cx, self.reads, self.oldest)?;
        metrics.extend(self.book.metrics().map(str::to_owned));
        Ok(metrics.into_iter().collect())
    }

    /// The minutes of a metric, in order.
    pub(crate) fn minutes(&self, metric: &str, times: Range<i64>) -> Result<Vec<Minute>> {
        let mut minutes = shelf::read(self.cx, self.reads, metric)?;
        minutes.retain(|minute| times.contains(&minute.minute));
        let open = self.book.minutes(metric).iter().filter(|minute| times.contains(&minute.minute));
        open.for_each(|open| minute::insert(&mut minutes, *open));
        Ok(minutes)
    }
}

impl Total {
    /// Adds the minutes of one more metric, which stand in order.
    fn add(&mut self, minutes: &[Minute]) {
        let (Some(first), Some(last)) = (minutes.first(), minutes.last()) else { return };
        self.from = if self.metrics == 0 { first.minute } else { self.from.min(first.minute) };
        self.to = self.to.max(last.minute);
        self.metrics += 1;
        self.minutes += minutes.len();
        self.samples += minutes.iter().map(|minute| minute.count).sum::<u64>();
    }
}

pub(crate) fn always() -> i64 {
    i64::MAX
}

fn limit() -> usize {
    LIMIT
}

fn few() -> usize {
    LEADERS
}

fn must_be_limit(limit: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(Error::new(Status::OutOfRange, format!("`limit` is {limit}, and not 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_spans_all_metrics() {
        let mut total = Total::default();
        total.add(&[]);
        assert_eq!(total, Total::default());
        let mut twice = Minute::new(120_000, 1.0);
        twice.join(&Minute::new(120_000, 2.0));
        total.add(&[twice]);
        total.add(&[Minute::new(60_000, 1.0), Minute::new(180_000, 1.0)]);
        assert_eq!(total, Total { metrics: 2, minutes: 3, samples: 4, from: 60_000, to: 180_000 });
    }
}
