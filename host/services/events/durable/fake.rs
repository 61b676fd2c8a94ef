//! An event log in memory, for tests: as `log.rs` says, and it can be made to fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::log::*;
use crate::error::{Error, ErrorKind, Result};

/// The disk. It outlives processes, which see it through a [`FakeLog`] each.
#[derive(Default)]
pub(super) struct Disk {
    kept: Mutex<Kept>,
    /// What is written fails.
    pub(super) full: AtomicBool,
    /// What is read fails, too.
    pub(super) broken: AtomicBool,
    pub(super) settled: AtomicU64,
    pub(super) read: AtomicU64,
}

/// The log as one process sees it.
pub(super) struct FakeLog {
    pub(super) disk: Arc<Disk>,
    /// The process is no more.
    pub(super) gone: AtomicBool,
    /// What clearing answers next.
    pub(super) cleared: Mutex<Vec<Cleared>>,
    pub(super) clearings: AtomicU64,
}

#[derive(Default)]
struct Kept {
    events: Vec<Logged>,
    last: u64,
    consumers: BTreeMap<u64, (ConsumerName, Position)>,
    dead: Vec<DeadLetter>,
    last_consumer: u64,
    last_dead: u64,
}

impl FakeLog {
    pub(super) fn on(disk: &Arc<Disk>) -> Arc<Self> {
        Arc::new(Self {
            disk: Arc::clone(disk),
            gone: AtomicBool::new(false),
            cleared: Mutex::default(),
            clearings: AtomicU64::new(0),
        })
    }

    fn reads(&self) -> Result<()> {
        self.check(self.disk.broken.load(Ordering::SeqCst))
    }

    fn writes(&self) -> Result<()> {
        self.check(self.disk.broken.load(Ordering::SeqCst) || self.disk.full.load(Ordering::SeqCst))
    }

    fn check(&self, fails: bool) -> Result<()> {
        if fails || self.gone.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the disk fails"));
        }
        Ok(())
    }
}

impl Disk {
    /// Where a consumer stands.
    pub(super) fn position(&self, consumer: u64) -> Position {
        self.kept.lock().consumers[&consumer].1.clone()
    }

    /// Whether the log says that an event is settled for a consumer.
    pub(super) fn is_settled(&self, consumer: u64, sequence: u64) -> bool {
        let position = self.position(consumer);
        sequence <= position.floor || position.settled.contains(&sequence)
    }

    /// How often the log says that an event was delivered to a consumer.
    pub(super) fn attempts(&self, consumer: u64, sequence: u64) -> u32 {
        let position = self.position(consumer);
        position.retries.iter().find(|retry| retry.sequence == sequence).map_or(0, |retry| retry.attempts)
    }

    pub(super) fn dead(&self) -> Vec<DeadLetter> {
        self.kept.lock().dead.clone()
    }

    /// Retention took an event away.
    pub(super) fn lose(&self, sequence: u64) {
        self.kept.lock().events.retain(|logged| logged.sequence != sequence);
    }
}

impl EventLog for FakeLog {
    fn append(&self, events: &[NewEvent]) -> Result<Vec<Appended>> {
        self.writes()?;
        let mut kept = self.disk.kept.lock();
        let mut appended = Vec::new();
        for new in events {
            let same = |logged: &&Logged| {
                (&logged.event.id, &logged.event.source) == (&new.event.id, &new.event.source)
            };
            let before = if new.dedupe == Dedupe::Never { None } else { kept.events.iter().find(same) };
            appended.push(match before {
                Some(before) => Appended { sequence: before.sequence, duplicate: true },
                None => {
                    kept.last += 1;
                    let (sequence, event) = (kept.last, Arc::clone(&new.event));
                    kept.events.push(Logged { sequence, logged_ms: event.time_ms, only: None, event });
                    Appended { sequence, duplicate: false }
                }
            });
        }
        Ok(appended)
    }

    fn read(&self, after: u64, tenant: Option<&str>, most: usize) -> Result<Page> {
        self.reads()?;
        self.disk.read.fetch_add(1, Ordering::SeqCst);
        let kept = self.disk.kept.lock();
        let from = kept.events.partition_point(|logged| logged.sequence <= after);
        let of = |logged: &&Logged| tenant.is_none_or(|tenant| *logged.event.tenant == *tenant);
        let events: Vec<_> = kept.events[from..].iter().filter(of).take(most).cloned().collect();
        let up_to = match events.last() {
            Some(last) if events.len() == most => last.sequence,
            _ => kept.last.max(after),
        };
        Ok(Page { events, up_to })
    }

    fn get(&self, sequences: &[u64]) -> Result<Vec<Logged>> {
        self.reads()?;
        let kept = self.disk.kept.lock();
        Ok(kept.events.iter().filter(|logged| sequences.contains(&logged.sequence)).cloned().collect())
    }

    fn extent(&self) -> Result<Extent> {
        self.reads()?;
        let kept = self.disk.kept.lock();
        let first = kept.events.first().map_or(kept.last + 1, |logged| logged.sequence);
        Ok(Extent { first, last: kept.last, events: kept.events.len() as u64, bytes: 0 })
    }

    fn join(&self, name: &ConsumerName, start: Start) -> Result<Position> {
        self.reads()?;
        let mut kept = self.disk.kept.lock();
        if let Some((_, position)) = kept.consumers.values().find(|(known, _)| known == name) {
            return Ok(position.clone());
        }
        drop(kept);
        self.writes()?;
        kept = self.disk.kept.lock();
        let floor = match start {
            Start::New => kept.last,
            Start::All => 0,
            Start::Sequence(sequence) => sequence.saturating_sub(1),
            Start::Time(ms) => {
                let from = kept.events.partition_point(|logged| logged.logged_ms < ms);
                kept.events.get(from).map_or(kept.last, |logged| logged.sequence - 1)
            }
        };
        kept.last_consumer += 1;
        let position = Position { consumer: kept.last_consumer, floor, ..Position::default() };
        kept.consumers.insert(position.consumer, (name.clone(), position.clone()));
        Ok(position)
    }

    fn settle(&self, consumer: u64, settlement: &Settlement) -> Result<()> {
        self.writes()?;
        self.disk.settled.fetch_add(1, Ordering::SeqCst);
        let mut kept = self.disk.kept.lock();
        let Kept { events, consumers, dead, last_dead, .. } = &mut *kept;
        let Some((name, position)) = consumers.get_mut(&consumer) else {
            return Err(Error::new(ErrorKind::NotFound, "there is no such consumer"));
        };
        assert!(settlement.floor >= position.floor, "a floor does not sink: {settlement:?} at {position:?}");
        for gone in &settlement.dead {
            let settled = gone.sequence <= position.floor || position.settled.contains(&gone.sequence);
            assert!(!settled, "what is settled does not die: {gone:?} at {position:?}");
            let event = events.iter().find(|logged| logged.sequence == gone.sequence);
            let event = Arc::clone(&event.expect("it is there").event);
            *last_dead += 1;
            dead.push(DeadLetter {
                number: *last_dead,
                consumer: name.clone(),
                event,
                sequence: gone.sequence,
                attempts: gone.attempts,
                reason: Arc::clone(&gone.reason),
                died_ms: 0,
            });
        }
        position.floor = settlement.floor;
        position.settled.extend(&settlement.settled);
        position.settled.extend(settlement.dead.iter().map(|gone| gone.sequence));
        position.settled.retain(|sequence| *sequence > settlement.floor);
        position.settled.sort_unstable();
        position.settled.dedup();
        for retry in &settlement.retries {
            assert!(retry.sequence > settlement.floor, "what comes again is above the floor");
            assert!(!position.settled.contains(&retry.sequence), "what is settled does not come again");
            position.retries.retain(|old| old.sequence != retry.sequence);
            position.retries.push(retry.clone());
        }
        let Position { floor, settled, retries, .. } = position;
        retries.retain(|retry| retry.sequence > *floor && !settled.contains(&retry.sequence));
        retries.sort_by_key(|retry| retry.sequence);
        Ok(())
    }

    fn consumers(&self, _: &Of<'_>) -> Result<Vec<ConsumerReport>> {
        self.reads()?;
        let kept = self.disk.kept.lock();
        let report = |(name, position): &(ConsumerName, Position)| ConsumerReport {
            consumer: position.consumer,
            name: name.clone(),
            floor: position.floor,
            settled: position.settled.len() as u64,
            retries: position.retries.len() as u64,
            dead: kept.dead.iter().filter(|dead| dead.consumer == *name).count() as u64,
        };
        Ok(kept.consumers.values().map(report).collect())
    }

    fn dead_letters(&self, _: &Of<'_>, after: u64, most: usize) -> Result<Vec<DeadLetter>> {
        self.reads()?;
        let dead = self.disk.dead();
        Ok(dead.into_iter().filter(|dead| dead.number > after).take(most).collect())
    }

    fn replay(&self, numbers: &[u64]) -> Result<Vec<Logged>> {
        self.writes()?;
        let mut kept = self.disk.kept.lock();
        let (again, stay) =
            std::mem::take(&mut kept.dead).into_iter().partition(|dead| numbers.contains(&dead.number));
        kept.dead = stay;
        let again: Vec<DeadLetter> = again;
        let mut written = Vec::new();
        for dead in again {
            kept.last += 1;
            let only =
                kept.consumers.values().find(|(name, _)| *name == dead.consumer).map(|(_, p)| p.consumer);
            written.push(Logged { sequence: kept.last, logged_ms: 0, only, event: dead.event });
        }
        kept.events.extend(written.iter().cloned());
        Ok(written)
    }

    fn drop_dead(&self, numbers: &[u64]) -> Result<u64> {
        self.writes()?;
        let mut kept = self.disk.kept.lock();
        let before = kept.dead.len();
        kept.dead.retain(|dead| !numbers.contains(&dead.number));
        Ok((before - kept.dead.len()) as u64)
    }

    fn retain(&self, _: &Retention) -> Result<Cleared> {
        self.writes()?;
        self.clearings.fetch_add(1, Ordering::SeqCst);
        let mut cleared = self.cleared.lock();
        Ok(if cleared.is_empty() { Cleared::default() } else { cleared.remove(0) })
    }

    fn forget(&self, of: &Of<'_>) -> Result<u64> {
        self.writes()?;
        let mut kept = self.disk.kept.lock();
        let before = kept.consumers.len();
        kept.consumers.retain(|_, (name, _)| of.plugin.is_some_and(|plugin| *name.plugin != *plugin));
        Ok((before - kept.consumers.len()) as u64)
    }

    fn close(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}
