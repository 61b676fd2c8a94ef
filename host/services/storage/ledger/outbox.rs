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

use rusqlite::params;

use super::{
    super::{Batch, JobDraft, JobTiming},
    state::Place,
};
use crate::services::{
    events::{Draft, Extension},
    ledger::{Fault, Schema, Transaction},
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
