//! The outbox: events to be published and jobs to be scheduled, kept in the commit of the batch that they belong to, until
//! whoever drains them has done so.
//!
//! They are drained at least once. An event is known again by its source and id, a job by `dedupe`.

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
    },
};

/// The tables of the outbox. `seq` is never used again. `tenant` is on whose behalf; `extensions` a JSON object of the
/// event's other attributes. `due_ms` is when a job first runs, unless its rule says so.
pub(crate) const OUTBOX: Schema = Schema {
    service: "outbox",
    steps: &["
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
    "],
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
    let (rule, zone, every, due) = match &job.timing {
        JobTiming::Cron { rule, zone } => (Some(rule), Some(zone), None, None),
        JobTiming::Every(ms) => (None, None, Some(*ms), Some(*ms)),
        JobTiming::Once(delay) => (None, None, None, Some(*delay)),
    };
    let due = due.map(|span| transaction.now_ms().saturating_add(span));
    transaction
        .prepare(
            "INSERT INTO outbox_jobs
                (plugin, tenant, dedupe, name, rule, zone, every_ms, due_ms, overlap, data)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
            job.overlap,
            job.data
        ])?;
    Ok(())
}

/// Events of the outbox.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// By their numbers, in order.
    pub(crate) events: Vec<(i64, Event)>,
    /// Those that cannot be read.
    pub(crate) damaged: Vec<i64>,
    /// The last that was looked at; none: there is none.
    pub(crate) last: Option<i64>,
}

/// The first events of the outbox behind this number, at most `most`, and about a mebibyte.
pub(crate) fn read(ledger: &Ledger, after: i64, most: usize) -> Answer<Page> {
    const ENOUGH: usize = 1 << 20;
    ledger.read(|ledger| {
        let mut rows = ledger.prepare_cached(
            "SELECT seq, tenant, id, source, type, subject, content_type, key, depth, time_ms, extensions, data
            FROM outbox_events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut rows = rows.query(params![after, i64::try_from(most).unwrap_or(i64::MAX)])?;
        let (mut page, mut bytes) = (Page::default(), 0);
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            page.last = Some(number);
            match event(row) {
                Some(event) => {
                    bytes += event.data.len();
                    page.events.push((number, event));
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
pub(crate) fn remove(ledger: &Ledger, numbers: Vec<i64>) -> Answer<()> {
    ledger.write(Remove(numbers))
}

struct Remove(Vec<i64>);

impl Write for Remove {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let mut remove = transaction.prepare("DELETE FROM outbox_events WHERE seq = ?1")?;
        for number in &self.0 {
            remove.execute([number])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(&*self.0)
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
