//! Minutes in the database of their tenant: a row for each metric and minute. What was measured twice in one minute, because a
//! restart came between, is joined by the database.
//!
//! All that is written for a tenant at once is one transaction: no metric is there by half. Rows do not go by themselves, so
//! whoever looks after a tenant removes what is too old.
//!
//! Whoever looks at a chart asks again and again for what changes once a minute. So what was read is cached, whole metrics and
//! the list of them, all under one tag, which is invalidated when something is written or removed. Which metrics lead is
//! asked rarely, and differently each time: that the database tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use pintle_plugin::{Context, Database, Migration, Result, SetOptions, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::minute::Minute;

const HISTORY: &[Migration<'_>] = &[
    Migration::new(
        1,
        "minutes",
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
     CREATE TABLE minutes (
         metric INTEGER NOT NULL REFERENCES metrics (id),
         minute INTEGER NOT NULL,
         count INTEGER NOT NULL,
         min REAL NOT NULL, max REAL NOT NULL, mean REAL NOT NULL, last REAL NOT NULL,
         PRIMARY KEY (metric, minute)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX minutes_by_time ON minutes (minute);",
    ),
    Migration::new(
        2,
        "entered",
        "CREATE TABLE entered (event TEXT PRIMARY KEY, minute INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     CREATE INDEX entered_by_time ON entered (minute);",
    ),
];

/// The same as `Minute::join`.
const ADD: &str = "INSERT INTO minutes
    SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM metrics WHERE name = ?1
    ON CONFLICT DO UPDATE SET
        count = count + excluded.count,
        min = min(min, excluded.min),
        max = max(max, excluded.max),
        mean = mean + (excluded.mean - mean) * (1.0 * excluded.count / (count + excluded.count)),
        last = excluded.last";

/// The namespace of the cache, and the tag of all that lies in it.
const SHELF: &str = "shelf";

/// What nobody asks for any more needs no room.
const CACHED: Duration = Duration::from_secs(10 * 60);

/// How often the shelf was asked for what may be cached, and how often the database had to be.
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

/// The minutes of one metric, in order.
pub(crate) type Piece = (String, Vec<Minute>);

/// The tenant's database, with its tables. Where they are there already this costs about as much as a query.
pub(crate) fn database(cx: &Context) -> Result<Database<'_>> {
    cx.database().migrate(HISTORY)?;
    Ok(cx.database())
}

/// Adds minutes: all of them, or none.
pub(crate) fn add(cx: &Context, pieces: &[Piece]) -> Result<()> {
    database(cx)?.transaction(|tx| write(tx, pieces))
}

/// Adds what a durable event says, of this minute. It may come more than once: which were added is in the same commit as what they
/// added, so that each counts once.
pub(crate) fn add_once(cx: &Context, event: &str, minute: i64, pieces: &[Piece]) -> Result<()> {
    database(cx)?.transaction(|tx| {
        let note = "INSERT INTO entered (event, minute) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        match tx.execute(note, params![event, minute])?.changed {
            0 => Ok(()),
            _ => write(tx, pieces),
        }
    })
}

fn write(tx: &Transaction<'_>, pieces: &[Piece]) -> Result<()> {
    for (metric, minutes) in pieces {
        tx.execute("INSERT INTO metrics (name) VALUES (?1) ON CONFLICT DO NOTHING", params![metric])?;
        for Minute { minute, count, min, max, mean, last } in minutes {
            let count = i64::try_from(*count)?;
            tx.execute(ADD, params![metric, *minute, count, *min, *max, *mean, *last])?;
        }
    }
    Ok(())
}

/// Removes the minutes that have ended before `oldest`, and metrics that have none then. Tells whether anything is left.
pub(crate) fn remove_older(cx: &Context, oldest: i64) -> Result<bool> {
    database(cx)?.transaction(|tx| {
        tx.execute("DELETE FROM minutes WHERE minute < ?1", params![oldest])?;
        tx.execute("DELETE FROM entered WHERE minute < ?1", params![oldest])?;
        let without = "DELETE FROM metrics WHERE NOT EXISTS (SELECT 1 FROM minutes WHERE metric = id)";
        tx.execute(without, params![])?;
        Ok(tx.query_one_as::<i64>("SELECT EXISTS (SELECT 1 FROM metrics)", params![])? != 0)
    })
}

/// What is cached is not true any more: minutes were added or removed.
pub(crate) fn changed(cx: &Context) -> Result<()> {
    cx.invalidate_tag(SHELF).map(drop)
}

/// The minutes of a metric, in order.
pub(crate) fn read(cx: &Context, reads: &Reads, metric: &str) -> Result<Vec<Minute>> {
    Reads::count(&reads.asked);
    let options = SetOptions::from(CACHED).tags(&[SHELF]);
    let minutes = cx.cache(SHELF).get_or_load_json(&format!("minutes/{metric}"), options, || {
        Reads::count(&reads.stored);
        let all = "SELECT minute, count, min, max, mean, last FROM minutes
            WHERE metric = (SELECT id FROM metrics WHERE name = ?1) ORDER BY minute";
        database(cx)?.query_as::<Minute>(all, params![metric]).map(Some)
    });
    Ok(minutes?.unwrap_or_default())
}

/// The metrics of which something is kept that has not ended before `oldest`.
pub(crate) fn metrics(cx: &Context, reads: &Reads, oldest: i64) -> Result<BTreeSet<String>> {
    Reads::count(&reads.asked);
    let options = SetOptions::from(CACHED).tags(&[SHELF]);
    let last_minutes: Option<BTreeMap<String, i64>> =
        cx.cache(SHELF).get_or_load_json("metrics", options, || {
            Reads::count(&reads.stored);
            let last = "SELECT name, max(minute) FROM metrics JOIN minutes ON metric = id GROUP BY id";
            let last: Vec<(String, i64)> = database(cx)?.query_as(last, params![])?;
            Ok(Some(last.into_iter().collect()))
        })?;
    let kept = last_minutes.unwrap_or_default().into_iter().filter(|(_, minute)| *minute >= oldest);
    Ok(kept.map(|(metric, _)| metric).collect())
}

/// What metrics are compared by.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    Count,
    Min,
    #[default]
    Max,
    Mean,
}

/// A metric over a span of time.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Leader {
    metric: String,
    count: i64,
    min: f64,
    max: f64,
    mean: f64,
}

/// The metrics with the most, the first one first, and by name where they have as much. Those that begin with `prefix`.
pub(crate) fn top(
    cx: &Context,
    by: Measure,
    prefix: &str,
    times: Range<i64>,
    limit: usize,
) -> Result<Vec<Leader>> {
    let column = match by {
        Measure::Count => "2",
        Measure::Min => "3",
        Measure::Max => "4",
        Measure::Mean => "5",
    };
    // The mean by shares: a sum of all values could be more than a number can be.
    let sql = format!(
        "SELECT name AS metric, max(samples) AS count, min(min) AS min, max(max) AS max,
                sum(mean * (1.0 * count / samples)) AS mean
         FROM (
             SELECT *, sum(count) OVER (PARTITION BY metric) AS samples FROM minutes
             WHERE minute >= ?1 AND minute < ?2
         ) AS chosen JOIN metrics ON metrics.id = chosen.metric
         WHERE substr(name, 1, length(?3)) = ?3
         GROUP BY metrics.id ORDER BY {column} DESC, 1 LIMIT ?4"
    );
    let limit = i64::try_from(limit)?;
    database(cx)?.query_as(&sql, params![times.start, times.end, prefix, limit])
}
