//! Minutes in storage: an item for each metric and hour, `minutes/<metric>/<hour>`, with an array of minutes in order.
//!
//! Hours, because an item for each minute would make a day of one metric 1,440 reads, and because what is too old can
//! then be removed without being read.
//!
//! Whoever looks at a chart asks again and again for what changes once a minute. So what was read from storage is cached,
//! whole metrics and the list of them, all under one tag, which is invalidated when something is written or removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use pintle_plugin::{Context, Result, SetOptions};
use serde::Serialize;

use crate::minute::{self, Minute};

const PREFIX: &str = "minutes/";

/// The namespace of the cache, and the tag of all that lies in it.
const SHELF: &str = "shelf";

/// What nobody asks for any more needs no room.
const CACHED: Duration = Duration::from_secs(10 * 60);

/// How often the shelf was asked, and how often storage had to be.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Reads {
    asked: AtomicU64,
    stored: AtomicU64,
}

impl Reads {
    fn count(of: &AtomicU64) {
        of.fetch_add(1, Relaxed);
    }
}

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

/// What is cached is not true any more: minutes were added or removed.
pub(crate) fn changed(cx: &Context) -> Result<()> {
    cx.invalidate_tag(SHELF).map(drop)
}

/// The minutes of a metric, in order.
pub(crate) fn read(cx: &Context, reads: &Reads, metric: &str) -> Result<Vec<Minute>> {
    Reads::count(&reads.asked);
    let options = SetOptions::from(CACHED).tags(&[SHELF]);
    let minutes = cx.cache(SHELF).get_or_load_json(&format!("{PREFIX}{metric}"), options, || {
        Reads::count(&reads.stored);
        stored(cx, metric).map(Some)
    });
    Ok(minutes?.unwrap_or_default())
}

fn stored(cx: &Context, metric: &str) -> Result<Vec<Minute>> {
    let mut minutes = Vec::new();
    for key in cx.storage().keys(&format!("{PREFIX}{metric}/")) {
        let key = key?;
        if parse(&key).is_some_and(|(name, _)| name == metric) {
            minutes.extend(cx.storage().get_json::<Vec<Minute>>(&key)?.unwrap_or_default());
        }
    }
    Ok(minutes)
}

/// The metrics of which something is kept that has not ended before `oldest`.
pub(crate) fn metrics(cx: &Context, reads: &Reads, oldest: i64) -> Result<BTreeSet<String>> {
    Reads::count(&reads.asked);
    let options = SetOptions::from(CACHED).tags(&[SHELF]);
    let last_hours: Option<BTreeMap<String, i64>> =
        cx.cache(SHELF).get_or_load_json("metrics", options, || {
            Reads::count(&reads.stored);
            last_hours(cx).map(Some)
        })?;
    let kept =
        last_hours.unwrap_or_default().into_iter().filter(|(_, hour)| minute::end_of_hour(*hour) > oldest);
    Ok(kept.map(|(metric, _)| metric).collect())
}

/// The last hour of each metric.
fn last_hours(cx: &Context) -> Result<BTreeMap<String, i64>> {
    let mut last = BTreeMap::new();
    for key in cx.storage().keys(PREFIX) {
        let key = key?;
        // The order of keys is that of hours.
        if let Some((metric, hour)) = parse(&key) {
            last.insert(metric.to_owned(), hour);
        }
    }
    Ok(last)
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
