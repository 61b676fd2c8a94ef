//! The outbox: events to be published and jobs to be scheduled, kept in the commit of the batch that they belong to, until
//! whoever drains them has done so.
//!
//! They are drained at least once. An event is known again by its source and id, a job by `dedupe`, which no other job of any ledger
//! has.

use std::{
    hash::{BuildHasher as _, RandomState},
    process,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rusqlite::{Row, params};

use super::{
    super::{Batch, JobDraft, JobTiming},
    state::Place,
};
use crate::{
    error::Result as Answer,
    services::{
        events::{Draft, Event, Extension, Topic},
        ledger::{Fault, Ledger, Schema, Transaction, Write},
        scheduler::{
            Overlap,
            store::{JobName, JobSpec, Keeping, Timing},
        },
    },
};

/// The overlap policies by the numbers that the table has for them.
const SKIP: u32 = 0;
const QUEUE: u32 = 1;
const ALLOW: u32 = 2;

/// The tables of the outbox. `seq` is never used again. `tenant` is on whose behalf; `extensions` a JSON object of the
/// event's other attributes. `due_ms` is when a job first runs, unless its rule says so; `delay_ms`, of one that runs once, how long
/// after the commit that is.
pub(crate) const OUTBOX: Schema = Schema {
    service: "outbox",
    steps: &[
        "
        CREATE TABLE outbox_events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            source TEXT NOT NULL,
            type TEXT NOT NULL,
            subject TEXT NOT NULL,
            content_type TEXT NOT NULL,
            key TEXT NOT NULL,
            depth INTEGER NOT NULL,
            time_ms INTEGER NOT NULL,
            extensions TEXT NOT NULL,
            data BLOB NOT NULL
        ) STRICT;
        CREATE TABLE outbox_jobs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            dedupe TEXT NOT NULL,
            name TEXT NOT NULL,
            rule TEXT,
            zone TEXT,
            every_ms INTEGER,
            due_ms INTEGER,
            overlap INTEGER NOT NULL,
            data BLOB NOT NULL
        ) STRICT;
    ",
        "
        ALTER TABLE outbox_jobs ADD COLUMN delay_ms INTEGER;
    ",
    ],
};

/// What a batch leads to. Ids are made before it runs, so that it has the same ones when it runs again.
pub(super) struct Outbox {
    events: Vec<(String, Draft)>,
    jobs: Vec<(String, JobDraft)>,
}

impl Outbox {
    /// None if there is nothing to be kept.
    pub(super) fn of(batch: &Batch<'_>) -> Option<Self> {
        if batch.events.is_empty() && batch.jobs.is_empty() {
            return None;
        }
        let events =
            batch.events.iter().map(|event| (event.id.clone().unwrap_or_else(new_id), event.clone()));
        let jobs = batch.jobs.iter().map(|job| (new_id(), job.clone()));
        Some(Self { events: events.collect(), jobs: jobs.collect() })
    }

    pub(super) fn size(&self) -> usize {
        let events = self.events.iter().map(|(_, event)| event.data.len() + event.subject.len());
        let jobs = self.jobs.iter().map(|(_, job)| job.data.len() + job.name.len());
        events.chain(jobs).sum()
    }

    pub(super) fn write(&self, transaction: &Transaction<'_>, place: &Place) -> Result<(), Fault> {
        for (id, event) in &self.events {
            write_event(transaction, place, id, event)?;
        }
        for (id, job) in &self.jobs {
            write_job(transaction, place, id, job)?;
        }
        Ok(())
    }
}

fn write_event(transaction: &Transaction<'_>, place: &Place, id: &str, event: &Draft) -> Result<(), Fault> {
    transaction
        .prepare(
            "INSERT INTO outbox_events
                (plugin, tenant, id, source, type, subject, content_type, key, depth, time_ms, extensions, data)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            place.plugin,
            place.tenant,
            id,
            event.source,
            event.topic.as_str(),
            event.subject,
            event.content_type,
            event.key,
            event.depth,
            event.time_ms.unwrap_or_else(|| transaction.now_ms()),
            extensions(event),
            &*event.data,
        ])?;
    Ok(())
}

fn write_job(transaction: &Transaction<'_>, place: &Place, id: &str, job: &JobDraft) -> Result<(), Fault> {
    let (rule, zone, every, delay) = match &job.timing {
        JobTiming::Cron { rule, zone } => (Some(rule), Some(zone), None, None),
        JobTiming::Every(ms) => (None, None, Some(*ms), None),
        JobTiming::Once(delay) => (None, None, None, Some(*delay)),
    };
    let due = every.or(delay).map(|span| transaction.now_ms().saturating_add(span));
    transaction
        .prepare(
            "INSERT INTO outbox_jobs
                (plugin, tenant, dedupe, name, rule, zone, every_ms, due_ms, delay_ms, overlap, data)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            place.plugin,
            place.tenant,
            id,
            job.name,
            rule,
            zone,
            every,
            due,
            delay,
            job.overlap,
            job.data
        ])?;
    Ok(())
}

/// A job of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptJob {
    pub(crate) name: JobName,
    pub(crate) spec: JobSpec,
    /// When it is due first, counted from the commit; none: its rule says so.
    pub(crate) first_ms: Option<i64>,
    /// What it is known again by, whoever drains it, in this ledger and among others.
    pub(crate) origin: String,
}

/// Events or jobs of the outbox.
#[derive(Debug)]
pub(crate) struct Page<T> {
    /// By their numbers, in order.
    pub(crate) found: Vec<(i64, T)>,
    /// Those that cannot be read.
    pub(crate) damaged: Vec<i64>,
    /// The last that was looked at; none: there is none.
    pub(crate) last: Option<i64>,
}

/// The first events of the outbox behind this number, at most `most`, and about a mebibyte.
pub(crate) fn events(ledger: &Ledger, after: i64, most: usize) -> Answer<Page<Event>> {
    const READ: &str =
        "SELECT seq, tenant, id, source, type, subject, content_type, key, depth, time_ms, extensions, data
        FROM outbox_events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    page(ledger, READ, (after, most), event, |event| event.data.len())
}

/// The same of jobs.
pub(crate) fn jobs(ledger: &Ledger, after: i64, most: usize) -> Answer<Page<KeptJob>> {
    const READ: &str =
        "SELECT seq, plugin, tenant, dedupe, name, rule, zone, every_ms, due_ms, delay_ms, overlap, data
        FROM outbox_jobs WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    page(ledger, READ, (after, most), job, |job| job.spec.data.len())
}

fn page<T>(
    ledger: &Ledger,
    statement: &str,
    (after, most): (i64, usize),
    read: fn(&Row<'_>) -> Option<T>,
    bytes_of: fn(&T) -> usize,
) -> Answer<Page<T>> {
    const ENOUGH: usize = 1 << 20;
    ledger.read(|ledger| {
        let mut rows = ledger.prepare_cached(statement)?;
        let mut rows = rows.query(params![after, i64::try_from(most).unwrap_or(i64::MAX)])?;
        let (mut page, mut bytes) = (Page { found: Vec::new(), damaged: Vec::new(), last: None }, 0);
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            page.last = Some(number);
            match read(row) {
                Some(one) => {
                    bytes += bytes_of(&one);
                    page.found.push((number, one));
                }
                None => page.damaged.push(number),
            }
            if bytes >= ENOUGH {
                break;
            }
        }
        Ok(page)
    })
}

/// None: the row is damaged.
fn job(row: &Row<'_>) -> Option<KeptJob> {
    let text = |at: usize| row.get_ref(at).ok()?.as_str().ok();
    let number = |at: usize| row.get::<_, Option<i64>>(at).ok();
    let rule = row.get_ref(5).ok()?.as_str_or_null().ok()?;
    let (every_ms, first_ms) = (number(7)?, number(8)?);
    let timing = match (rule, every_ms, first_ms) {
        (Some(rule), None, None) => Timing::Cron { rule: rule.into(), zone: text(6)?.into() },
        (None, Some(every_ms), Some(_)) => Timing::Every(every_ms),
        // A host that did not keep the delay yet has kept when it is over, and that counts.
        (None, None, Some(_)) => Timing::Once(number(9)?.unwrap_or(0)),
        _ => return None,
    };
    let overlap = match row.get(10).ok()? {
        SKIP => Overlap::Skip,
        QUEUE => Overlap::Queue,
        ALLOW => Overlap::Allow,
        _ => return None,
    };
    Some(KeptJob {
        name: JobName { plugin: text(1)?.into(), tenant: text(2)?.into(), name: text(4)?.into() },
        spec: JobSpec {
            timing,
            keeping: Keeping { overlap, ..Keeping::default() },
            data: row.get_ref(11).ok()?.as_blob().ok()?.into(),
        },
        first_ms,
        origin: Some(text(3)?).filter(|origin| !origin.is_empty())?.to_owned(),
    })
}

/// None: the row is damaged.
fn event(row: &Row<'_>) -> Option<Event> {
    let text = |at: usize| row.get_ref(at).ok()?.as_str().ok();
    Some(Event {
        tenant: text(1)?.into(),
        id: text(2)?.into(),
        source: text(3)?.into(),
        topic: Topic::parse(text(4)?).ok()?,
        subject: text(5)?.to_owned(),
        content_type: text(6)?.to_owned().into(),
        key: text(7)?.to_owned(),
        depth: row.get(8).ok()?,
        time_ms: row.get(9).ok()?,
        extensions: read_extensions(text(10)?)?,
        data: row.get_ref(11).ok()?.as_blob().ok()?.into(),
    })
}

/// Takes these events out.
pub(crate) fn remove_events(ledger: &Ledger, numbers: Vec<i64>) -> Answer<()> {
    ledger.write(Remove { statement: "DELETE FROM outbox_events WHERE seq = ?1", numbers })
}

/// Takes these jobs out.
pub(crate) fn remove_jobs(ledger: &Ledger, numbers: Vec<i64>) -> Answer<()> {
    ledger.write(Remove { statement: "DELETE FROM outbox_jobs WHERE seq = ?1", numbers })
}

struct Remove {
    statement: &'static str,
    numbers: Vec<i64>,
}

impl Write for Remove {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let mut remove = transaction.prepare(self.statement)?;
        for number in &self.numbers {
            remove.execute([number])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(&*self.numbers)
    }
}

fn read_extensions(object: &str) -> Option<Vec<(String, Extension)>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).ok()?;
    let pair = |(name, value): (String, serde_json::Value)| {
        let extension = match value {
            serde_json::Value::String(text) => Extension::Text(text),
            serde_json::Value::Bool(boolean) => Extension::Boolean(boolean),
            serde_json::Value::Number(number) => Extension::Integer(number.as_i64()?.try_into().ok()?),
            _ => return None,
        };
        Some((name, extension))
    };
    object.into_iter().map(pair).collect()
}

/// As one JSON object.
fn extensions(event: &Draft) -> String {
    let value = |extension: &Extension| match extension {
        Extension::Text(text) => text.as_str().into(),
        Extension::Integer(integer) => (*integer).into(),
        Extension::Boolean(boolean) => (*boolean).into(),
    };
    let object: serde_json::Map<String, serde_json::Value> =
        event.extensions.iter().map(|(name, extension)| (name.clone(), value(extension))).collect();
    serde_json::Value::Object(object).to_string()
}

/// An id that no other host has either, made as the event engine makes them.
fn new_id() -> String {
    static PREFIX: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(process::id()));
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:x}", *PREFIX, NUMBER.fetch_add(1, Relaxed))
}
