//! `chronicle`: keeps what `sysmon` measured, minute by minute: how often, the least, the most, the mean and the last
//! value of each metric, and how many alarms and lines there were. Each tenant has a chronicle of its own.
//!
//! The minute that is under way is in memory (`book.rs`, of `minute.rs`); a job writes what has ended to storage
//! (`shelf.rs`), once a minute, and `disable` writes the rest. A crash loses at most the last minute. What is read from
//! storage is cached until something is written. What an event says
//! is read in `reading.rs`; `query.rs` answers the service `chronicle.query` 1:
//!
//! | method | request | reply |
//! |---|---|---|
//! | `metrics` | | the names, as an array |
//! | `series` | `{"metric", "from", "to", "limit"}` | `[{"minute", "count", "min", "max", "mean", "last"}]` |
//! | `total` | `{"metric"}`, or nothing for all | `{"metrics", "minutes", "samples", "from", "to"}` |
//! | `reads` | | `{"asked", "stored"}`: how often these looked for something stored, and how often storage was read for it |
//!
//! Times are milliseconds since 1970. `from` counts and `to` does not; of more than `limit` minutes (60) the last ones come.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use book::Book;
use minute::MINUTE;
use pintle_plugin::{
    Context, Event, Held, Plugin, QueuePolicy, Request, Result, SubscribeOptions, plugin, serde_json::Value,
};
use query::Kept;
use serde::Deserialize;
use shelf::Reads;

mod book;
mod minute;
mod query;
mod reading;
mod shelf;

/// The plugin.
#[derive(Debug)]
pub struct Chronicle {
    desk: Arc<Desk>,
}

/// What handlers, job and queries share.
#[derive(Debug)]
struct Desk {
    keep_minutes: AtomicI64,
    /// What time it is by the host's clock, as events and runs of the job tell it.
    now: AtomicI64,
    /// Those of whom something is in memory; the system scope is the empty name.
    tenants: Mutex<BTreeMap<String, Tenant>>,
    reads: Reads,
}

#[derive(Debug)]
struct Tenant {
    /// A context of this tenant, for writing when none of its events is at hand.
    held: Held,
    book: Book,
    /// It has been said that there is no room for a metric.
    told_full: bool,
    /// The hour in which what is too old was looked for last.
    swept: Option<i64>,
}

#[derive(Deserialize)]
struct Settings {
    keep_minutes: i64,
}

impl Plugin for Chronicle {
    fn load(cx: &Context) -> Result<Self> {
        let Settings { keep_minutes } = cx.config().get("")?;
        let desk = Arc::new(Desk {
            keep_minutes: AtomicI64::new(keep_minutes),
            now: AtomicI64::new(millis(SystemTime::now())),
            tenants: Mutex::default(),
            reads: Reads::default(),
        });
        for pattern in ["plugin.sysmon.>", "plugin.threshold.alarm", "plugin.tail.line"] {
            let desk = Arc::clone(&desk);
            // A gap in a chronicle cannot be seen afterwards: who emits faster than this reads may wait.
            let options = SubscribeOptions::new().capacity(8_192).policy(QueuePolicy::Wait);
            cx.events().subscribe_with(pattern, &options, move |cx, event| desk.note(cx, event))?;
        }
        let own = Arc::clone(&desk);
        cx.scheduler().cron("write", "* * * * *", move |_, run| {
            own.now.store(millis(run.due()), Ordering::Relaxed);
            own.write(minute::of(millis(run.due())))
        })?;
        Ok(Self { desk })
    }

    fn disable(&self, _: &Context) -> Result<()> {
        let written = self.desk.write(i64::MAX);
        // The contexts end with this function.
        self.desk.tenants().clear();
        written
    }

    fn configure(&self, _: &Context, config: &Value) -> Result<()> {
        let Settings { keep_minutes } = Settings::deserialize(config)?;
        self.desk.keep_minutes.store(keep_minutes, Ordering::Relaxed);
        self.desk.tenants().values_mut().for_each(|tenant| tenant.swept = None);
        Ok(())
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        let tenants = self.desk.tenants();
        let nothing = Book::default();
        let tenant = tenants.get(cx.tenant()?.unwrap_or_default().as_str());
        let book = tenant.map_or(&nothing, |tenant| &tenant.book);
        let kept = Kept { cx, book, reads: &self.desk.reads, oldest: self.desk.oldest_kept() };
        query::answer(&kept, request)
    }
}

plugin!(Chronicle, "plugin.json");

impl Desk {
    /// Takes note of what an event says.
    fn note(&self, cx: &Context, event: &Event<'_>) -> Result<()> {
        let readings = reading::of(event.topic(), &event.json()?);
        if readings.is_empty() {
            return Ok(());
        }
        let name = event.tenant().unwrap_or_default();
        let mut tenants = self.tenants();
        if !tenants.contains_key(name) {
            let tenant = Tenant { held: cx.hold()?, book: Book::default(), told_full: false, swept: None };
            tenants.insert(name.to_owned(), tenant);
        }
        let Some(tenant) = tenants.get_mut(name) else { return Ok(()) };
        self.now.store(millis(event.time()), Ordering::Relaxed);
        let minute = minute::of(millis(event.time()));
        for (metric, value) in readings {
            if !tenant.book.note(&metric, minute, value) && !tenant.told_full {
                tenant.told_full = true;
                cx.log().warn(
                    "this metric, and maybe others, is not kept: there are too many, or its name is too long",
                    &[("metric", metric.as_str().into())],
                );
            }
        }
        Ok(())
    }

    /// Writes the minutes that have ended before `end`, and removes what is too old. What cannot be written stays for
    /// the next time.
    fn write(&self, end: i64) -> Result<()> {
        let (oldest, hour) = (self.oldest_kept(), minute::hour_of(self.now.load(Ordering::Relaxed)));
        let mut outcome = Ok(());
        let mut tenants = self.tenants();
        for Tenant { held, book, swept, .. } in tenants.values_mut() {
            let ended = book.take_ended(end);
            let changes = !ended.is_empty() || *swept != Some(hour);
            for (metric, minutes) in ended {
                if let Err(error) = shelf::add(held, &metric, &minutes) {
                    book.put_back(&metric, minutes);
                    outcome = outcome.and(Err(error));
                }
            }
            if *swept != Some(hour) {
                match shelf::remove_older(held, oldest) {
                    Ok(()) => *swept = Some(hour),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
            if changes {
                outcome = outcome.and(shelf::changed(held));
            }
        }
        // Whoever is silent needs no context.
        tenants.retain(|_, tenant| !tenant.book.is_empty());
        outcome
    }

    fn oldest_kept(&self) -> i64 {
        minute::of(self.now.load(Ordering::Relaxed)) - self.keep_minutes.load(Ordering::Relaxed) * MINUTE
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
