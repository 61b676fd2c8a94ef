//! `chronicle`: keeps what `sysmon` measured, minute by minute: how often, the least, the most, the mean and the last
//! value of each metric, and how many alarms and lines there were. Each tenant has a chronicle of its own.
//!
//! The minute that is under way is in memory (`book.rs`, of `minute.rs`); a job writes what has ended to the tenant's SQL
//! database (`shelf.rs`), once a minute, all of a tenant's in one transaction, and `disable` writes the rest. A crash loses at
//! most the last minute, and nothing by half. Alarms are durable events, followed under the name `alarms`: those that were raised while
//! chronicle was not there come later, each is written before it is acknowledged, and one that comes again is known by its id. What is read from there is cached until something is written. What an event says
//! is read in `reading.rs`; `query.rs` and `report.rs` answer the service `chronicle.query` 1:
//!
//! | method | request | reply |
//! |---|---|---|
//! | `metrics` | | the names, as an array |
//! | `series` | `{"metric", "from", "to", "limit"}` | `[{"minute", "count", "min", "max", "mean", "last"}]` |
//! | `total` | `{"metric"}`, or nothing for all | `{"metrics", "minutes", "samples", "from", "to"}` |
//! | `top` | `{"by", "prefix", "from", "to", "limit"}` | the metrics with the most by `count`, `min`, `max` (if nothing is said) or `mean`, as `[{"metric", "count", "min", "max", "mean"}]` |
//! | `reads` | | `{"asked", "stored"}`: how often `metrics`, `series` and `total` looked for something stored, and how often the database was read for it |
//! | `report` | `{"key", "from", "to"}` | `{"path", "rows"}`: a file with all minutes as CSV, written once for each key |
//!
//! Times are milliseconds since 1970. `from` counts and `to` does not; of more than `limit` minutes (60) the last ones come.
//! `top` tells 10 metrics unless `limit` says otherwise, of minutes that are written: not of the one that is under way.
//!
//! What is too old is told no longer at once, and removed once an hour, for tenants of whom an event or a request has come since
//! the plugin was enabled. Before there was SQL, minutes were items of the storage. They are not carried over: what is left of them there
//! expires by itself, as it always did, within `keep_minutes`.

#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use book::Book;
use minute::{MINUTE, Minute};
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
mod report;
mod shelf;

/// What alarms come as.
const ALARM: &str = "plugin.threshold.alarm";

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
    /// The database may have something of it.
    kept: bool,
    /// What was too old in this hour is removed: in milliseconds, of the oldest minute that is kept.
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
        for pattern in ["plugin.sysmon.>", "plugin.tail.line"] {
            let desk = Arc::clone(&desk);
            // A gap in a chronicle cannot be seen afterwards: who emits faster than this reads may wait.
            let options = SubscribeOptions::new().capacity(8_192).policy(QueuePolicy::Wait);
            cx.events().subscribe_with(pattern, &options, move |cx, event| desk.note(cx, event))?;
        }
        let own = Arc::clone(&desk);
        let options = SubscribeOptions::new().name("alarms").durable();
        cx.events().subscribe_with(ALARM, &options, move |cx, event| own.enter(cx, event))?;
        let own = Arc::clone(&desk);
        cx.scheduler().cron("write", "* * * * *", move |_, run| {
            own.now.store(millis(run.due()), Ordering::Relaxed);
            own.write(minute::of(millis(run.due())))
        })?;
        Ok(Self { desk })
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        // Tenants' own databases are brought up to date when they are used.
        shelf::database(cx).map(drop)
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
        Ok(())
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        match request.method() {
            "report" => {
                report::answer(cx, request, |times| self.desk.look(cx, |kept| report::csv(kept, times)))
            }
            _ => self.desk.look(cx, |kept| query::answer(kept, request)),
        }
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
        let mut tenants = self.tenants();
        let tenant = attended(&mut tenants, cx, event.tenant().unwrap_or_default())?;
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

    /// Writes what an alarm says, at once: with the OK of this function the host is done with the event, and where the database fails it
    /// comes again.
    fn enter(&self, cx: &Context, event: &Event<'_>) -> Result<()> {
        let minute = minute::of(millis(event.time()));
        let values = reading::of(event.topic(), &event.json()?).into_iter();
        let pieces: Vec<_> =
            values.map(|(metric, value)| (metric, vec![Minute::new(minute, value)])).collect();
        if pieces.is_empty() {
            return Ok(());
        }
        let mut tenants = self.tenants();
        let tenant = attended(&mut tenants, cx, event.tenant().unwrap_or_default())?;
        shelf::add_once(cx, event.id(), minute, &pieces)?;
        tenant.kept = true;
        shelf::changed(cx)
    }

    /// Looks at what is kept of the context's tenant. Events wait meanwhile.
    fn look<T>(&self, cx: &Context, at: impl FnOnce(&Kept<'_>) -> Result<T>) -> Result<T> {
        let mut tenants = self.tenants();
        let tenant = attended(&mut tenants, cx, &cx.tenant()?.unwrap_or_default())?;
        at(&Kept { cx, book: &tenant.book, reads: &self.reads, oldest: self.oldest_kept() })
    }

    /// Writes the minutes that have ended before `end`. What cannot be written stays for the next time.
    fn write(&self, end: i64) -> Result<()> {
        let oldest = self.oldest_kept();
        let mut outcome = Ok(());
        let mut tenants = self.tenants();
        for tenant in tenants.values_mut() {
            outcome = outcome.and(tenant.write(end, oldest));
        }
        // Of whom nothing is left needs no context.
        tenants.retain(|_, tenant| tenant.kept || !tenant.book.is_empty());
        outcome
    }

    fn oldest_kept(&self) -> i64 {
        minute::of(self.now.load(Ordering::Relaxed)) - self.keep_minutes.load(Ordering::Relaxed) * MINUTE
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    /// Writes the minutes that have ended before `end`, and removes those before `oldest`.
    fn write(&mut self, end: i64, oldest: i64) -> Result<()> {
        let ended = self.book.take_ended(end);
        let mut changes = !ended.is_empty();
        let mut outcome = Ok(());
        if changes {
            outcome = shelf::add(&self.held, &ended);
            match outcome {
                Ok(()) => self.kept = true,
                Err(_) => {
                    ended.into_iter().for_each(|(metric, minutes)| self.book.put_back(&metric, minutes))
                }
            }
        }
        let hour = oldest.div_euclid(60 * MINUTE);
        if self.swept != Some(hour) {
            match shelf::remove_older(&self.held, oldest) {
                Ok(kept) => (self.kept, self.swept) = (kept, Some(hour)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
            changes = true;
        }
        if changes { outcome.and(shelf::changed(&self.held)) } else { outcome }
    }
}

/// The context's tenant, who is looked after from now on, as long as something of him is kept.
fn attended<'t>(
    tenants: &'t mut BTreeMap<String, Tenant>,
    cx: &Context,
    name: &str,
) -> Result<&'t mut Tenant> {
    match tenants.entry(name.to_owned()) {
        Entry::Occupied(taken) => Ok(taken.into_mut()),
        Entry::Vacant(free) => Ok(free.insert(Tenant {
            held: cx.hold()?,
            book: Book::default(),
            told_full: false,
            kept: true,
            swept: None,
        })),
    }
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
