//! Minutes in storage: an item for each metric and hour, `minutes/<metric>/<hour>`, with an array of minutes in order.
//!
//! Hours, because an item for each minute would make a day of one metric 1,440 reads, and because what is too old can
//! then be removed without being read.

use std::collections::BTreeSet;

use pintle_plugin::{Context, Result};

use crate::minute::{self, Minute};

const PREFIX: &str = "minutes/";

/// Adds minutes that stand in order, in one write for each hour.
pub(crate) fn add(cx: &Context, metric: &str, minutes: &[Minute]) -> Result<()> {
    for minutes in minutes.chunk_by(|a, b| hour(a) == hour(b)) {
        let Some(first) = minutes.first() else { continue };
        let key = key(metric, hour(first));
        let mut stored: Vec<Minute> = cx.storage().get_json(&key)?.unwrap_or_default();
        minutes.iter().for_each(|minute| minute::insert(&mut stored, *minute));
        cx.storage().set_json(&key, &stored)?;
    }
    Ok(())
}

/// The minutes of a metric from `from` on and before `to`, in order.
pub(crate) fn read(cx: &Context, metric: &str, from: i64, to: i64) -> Result<Vec<Minute>> {
    let mut minutes = Vec::new();
    for key in cx.storage().keys(&format!("{PREFIX}{metric}/")) {
        let key = key?;
        let within = |hour| minute::end_of_hour(hour) > from && minute::end_of_hour(hour - 1) < to;
        if parse(&key).is_some_and(|(name, hour)| name == metric && within(hour)) {
            let stored: Vec<Minute> = cx.storage().get_json(&key)?.unwrap_or_default();
            minutes.extend(stored.into_iter().filter(|minute| (from..to).contains(&minute.minute)));
        }
    }
    Ok(minutes)
}

/// The metrics of which something is kept.
pub(crate) fn metrics(cx: &Context, oldest: i64) -> Result<BTreeSet<String>> {
    let mut metrics = BTreeSet::new();
    for key in cx.storage().keys(PREFIX) {
        let key = key?;
        if let Some((metric, hour)) = parse(&key)
            && minute::end_of_hour(hour) > oldest
        {
            metrics.insert(metric.to_owned());
        }
    }
    Ok(metrics)
}

/// Removes the hours that have ended before `oldest`.
pub(crate) fn remove_older(cx: &Context, oldest: i64) -> Result<()> {
    for key in cx.storage().keys(PREFIX) {
        let key = key?;
        if parse(&key).is_some_and(|(_, hour)| minute::end_of_hour(hour) <= oldest) {
            cx.storage().remove(&key)?;
        }
    }
    Ok(())
}

fn hour(minute: &Minute) -> i64 {
    minute::hour_of(minute.minute)
}

/// With zeros in front, so that the order of keys is that of hours.
fn key(metric: &str, hour: i64) -> String {
    format!("{PREFIX}{metric}/{hour:010}")
}

fn parse(key: &str) -> Option<(&str, i64)> {
    let (metric, hour) = key.strip_prefix(PREFIX)?.rsplit_once('/')?;
    Some((metric, hour.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_metric_and_hour_and_stand_in_the_order_of_hours() {
        for metric in ["cpu.busy", "disk.cciss/c0d0.busy", "n/0000000001"] {
            assert_eq!(parse(&key(metric, 479_000)), Some((metric, 479_000)));
            assert!(key(metric, 99_999) < key(metric, 100_000));
        }
        for odd in ["", "minutes/", "minutes/cpu.busy", "minutes/cpu.busy/x", "other/cpu.busy/1"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
