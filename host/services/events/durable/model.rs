//! The plainest log that keeps the promises: lists under a lock. What it answers, every other answers too.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    conformance::Bed,
    log::{
        Appended, Cleared, ConsumerName, ConsumerReport, DeadLetter, Dedupe, EventLog, Extent, Logged,
        NewEvent, Of, Page, Position, Retention, Retry, Settlement, Start, bytes_of,
    },
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::{Clock, ManualClock},
        events::Event,
    },
};

/// Tenant, source, id.
type Id = [String; 3];

#[derive(Default)]
struct State {
    last: u64,
    events: VecDeque<Logged>,
    /// In the order in which they were written.
    ids: BTreeMap<u64, (Id, i64)>,
    last_consumer: u64,
    consumers: BTreeMap<u64, Consumer>,
    last_dead: u64,
    dead: BTreeMap<u64, (u64, DeadLetter)>,
}

struct Consumer {
    name: ConsumerName,
    floor: u64,
    settled: BTreeSet<u64>,
    retries: BTreeMap<u64, Retry>,
}

/// The log. Those that were made of one have the same content.
pub(super) struct Model {
    state: Arc<Mutex<State>>,
    clock: Arc<ManualClock>,
    closed: AtomicBool,
}

impl Bed for Model {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self { state: Arc::default(), clock: Arc::clone(clock), closed: AtomicBool::new(false) }
    }

    fn log(&self) -> Arc<dyn EventLog> {
        let (state, clock) = (Arc::clone(&self.state), Arc::clone(&self.clock));
        Arc::new(Self { state, clock, closed: AtomicBool::new(false) })
    }

    fn restart(self) -> Self {
        self
    }
}

impl Model {
    fn with<T>(&self, run: impl FnOnce(&mut State, i64) -> Result<T>) -> Result<T> {
        if self.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "it is closed"));
        }
        run(&mut self.state.lock().expect("no test panics with it"), self.clock.now_ms())
    }
}

impl State {
    /// The sequence of the oldest event, or of the next.
    fn first(&self) -> u64 {
        self.events.front().map_or(self.last + 1, |event| event.sequence)
    }

    fn write(&mut self, event: &Arc<Event>, only: Option<u64>, logged_ms: i64) -> Logged {
        self.last += 1;
        let logged = Logged { sequence: self.last, logged_ms, only, event: Arc::clone(event) };
        self.events.push_back(logged.clone());
        logged
    }

    fn append(&mut self, new: &NewEvent, now_ms: i64) -> Appended {
        let Event { tenant, source, id, .. } = &*new.event;
        let id = [&**tenant, &**source, &**id].map(str::to_owned);
        let before = self.ids.iter().find(|(_, (other, _))| *other == id).map(|(seq, (_, ms))| (*seq, *ms));
        let counts = match (before, new.dedupe) {
            (None, _) | (_, Dedupe::Never) => None,
            (Some((sequence, _)), Dedupe::Known) => Some(sequence),
            (Some((sequence, ms)), Dedupe::Within(span)) => (ms > now_ms - span).then_some(sequence),
        };
        if let Some(sequence) = counts {
            return Appended { sequence, duplicate: true };
        }
        let sequence = self.write(&new.event, None, now_ms).sequence;
        if new.dedupe != Dedupe::Never {
            before.map(|(sequence, _)| self.ids.remove(&sequence));
            self.ids.insert(sequence, (id, now_ms));
        }
        Appended { sequence, duplicate: false }
    }

    fn of(&self, of: &Of<'_>) -> Vec<u64> {
        let is = |asked: Option<&str>, found: &str| asked.is_none_or(|asked| asked == found);
        let wanted = |consumer: &Consumer| {
            let ConsumerName { plugin, tenant, name } = &consumer.name;
            is(of.plugin, plugin) && is(of.tenant, tenant) && is(of.name, name)
        };
        self.consumers.iter().filter(|(_, consumer)| wanted(consumer)).map(|(number, _)| *number).collect()
    }

    fn clear(&mut self, retention: &Retention, now_ms: i64) -> Cleared {
        let mut cleared = Cleared::default();
        let mut kept: u64 = self.events.iter().map(|event| bytes_of(&event.event)).sum();
        let mut late = BTreeSet::new();
        while let Some(oldest) = self.events.front() {
            if oldest.logged_ms + retention.age_ms > now_ms && kept <= retention.bytes {
                break;
            }
            let bytes = bytes_of(&oldest.event);
            kept -= bytes;
            cleared.events += 1;
            cleared.bytes += bytes;
            let is_late = |number: u64, consumer: &Consumer| {
                let tenant = &consumer.name.tenant;
                oldest.sequence > consumer.floor
                    && !consumer.settled.contains(&oldest.sequence)
                    && oldest.only.is_none_or(|only| only == number)
                    && (tenant.is_empty() || *tenant == oldest.event.tenant)
            };
            late.extend(
                self.consumers.iter().filter(|(number, one)| is_late(**number, one)).map(|(n, _)| *n),
            );
            self.events.pop_front();
        }
        while let Some(oldest) = self.ids.first_entry()
            && oldest.get().1 + retention.dedupe_ms <= now_ms
        {
            oldest.remove();
        }
        cleared.late = late.iter().map(|number| self.consumers[number].name.clone()).collect();
        cleared
    }
}

impl Consumer {
    fn settle(&mut self, sequence: u64) {
        if sequence > self.floor {
            self.settled.insert(sequence);
            self.retries.remove(&sequence);
        }
    }
}

impl EventLog for Model {
    fn append(&self, events: &[NewEvent]) -> Result<Vec<Appended>> {
        self.with(|state, now_ms| Ok(events.iter().map(|new| state.append(new, now_ms)).collect()))
    }

    fn read(&self, after: u64, tenant: Option<&str>, most: usize) -> Result<Page> {
        self.with(|state, _| {
            let mut page = Page { events: Vec::new(), up_to: after };
            let mut bytes = 0;
            let behind = state.events.iter().filter(|event| event.sequence > after);
            for event in behind.filter(|event| tenant.is_none_or(|tenant| *tenant == *event.event.tenant)) {
                bytes += bytes_of(&event.event);
                if page.events.len() >= most || (bytes > Page::BYTES && !page.events.is_empty()) {
                    return Ok(page);
                }
                page.up_to = event.sequence;
                page.events.push(event.clone());
            }
            page.up_to = page.up_to.max(if most == 0 { 0 } else { state.last });
            Ok(page)
        })
    }

    fn get(&self, sequences: &[u64]) -> Result<Vec<Logged>> {
        self.with(|state, _| {
            let wanted = state.events.iter().filter(|event| sequences.contains(&event.sequence));
            Ok(wanted.cloned().collect())
        })
    }

    fn extent(&self) -> Result<Extent> {
        self.with(|state, _| {
            let bytes = state.events.iter().map(|event| bytes_of(&event.event)).sum();
            Ok(Extent { first: state.first(), last: state.last, events: state.events.len() as u64, bytes })
        })
    }

    fn join(&self, name: &ConsumerName, start: Start) -> Result<Position> {
        self.with(|state, _| {
            let there = state.consumers.iter().find(|(_, consumer)| consumer.name == *name);
            let number = there.map(|(number, _)| *number).unwrap_or_else(|| {
                let oldest = state.first() - 1;
                let floor = match start {
                    Start::New => state.last,
                    Start::All => oldest,
                    Start::Sequence(sequence) => sequence.saturating_sub(1).max(oldest),
                    Start::Time(ms) => {
                        let first = state.events.iter().find(|event| event.logged_ms >= ms);
                        first.map_or(state.last, |first| first.sequence - 1)
                    }
                };
                let (settled, retries) = Default::default();
                state.last_consumer += 1;
                let consumer = Consumer { name: name.clone(), floor, settled, retries };
                state.consumers.insert(state.last_consumer, consumer);
                state.last_consumer
            });
            let Consumer { floor, settled, retries, .. } = &state.consumers[&number];
            Ok(Position {
                consumer: number,
                floor: *floor,
                settled: settled.iter().copied().collect(),
                retries: retries.values().cloned().collect(),
            })
        })
    }

    fn settle(&self, consumer: u64, settlement: &Settlement) -> Result<()> {
        self.with(|state, died_ms| {
            let number = consumer;
            let consumer = state.consumers.get_mut(&number);
            let consumer = consumer.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such consumer"))?;
            consumer.floor = consumer.floor.max(settlement.floor);
            consumer.settled = consumer.settled.split_off(&(consumer.floor + 1));
            consumer.retries = consumer.retries.split_off(&(consumer.floor + 1));
            for sequence in &settlement.settled {
                consumer.settle(*sequence);
            }
            for retry in &settlement.retries {
                if retry.sequence > consumer.floor {
                    consumer.settled.remove(&retry.sequence);
                    consumer.retries.insert(retry.sequence, retry.clone());
                }
            }
            for dead in &settlement.dead {
                consumer.settle(dead.sequence);
                let there =
                    |(of, letter): &(u64, DeadLetter)| *of == number && letter.sequence == dead.sequence;
                let event = state.events.iter().find(|event| event.sequence == dead.sequence);
                if let Some(event) = event
                    && !state.dead.values().any(there)
                {
                    state.last_dead += 1;
                    let letter = DeadLetter {
                        number: state.last_dead,
                        consumer: consumer.name.clone(),
                        event: Arc::clone(&event.event),
                        sequence: dead.sequence,
                        attempts: dead.attempts,
                        reason: Arc::clone(&dead.reason),
                        died_ms,
                    };
                    state.dead.insert(state.last_dead, (number, letter));
                }
            }
            Ok(())
        })
    }

    fn consumers(&self, of: &Of<'_>) -> Result<Vec<ConsumerReport>> {
        self.with(|state, _| {
            let report = |number: u64| {
                let Consumer { name, floor, settled, retries } = &state.consumers[&number];
                let dead = state.dead.values().filter(|(of, _)| *of == number).count() as u64;
                ConsumerReport {
                    consumer: number,
                    name: name.clone(),
                    floor: *floor,
                    settled: settled.len() as u64,
                    retries: retries.len() as u64,
                    dead,
                }
            };
            Ok(state.of(of).into_iter().map(report).collect())
        })
    }

    fn dead_letters(&self, of: &Of<'_>, after: u64, most: usize) -> Result<Vec<DeadLetter>> {
        self.with(|state, _| {
            let of = state.of(of);
            let behind = state.dead.range(after.saturating_add(1)..).map(|(_, letter)| letter);
            let wanted = behind.filter(|(consumer, _)| of.contains(consumer)).take(most);
            Ok(wanted.map(|(_, letter)| letter.clone()).collect())
        })
    }

    fn replay(&self, numbers: &[u64]) -> Result<Vec<Logged>> {
        self.with(|state, now_ms| {
            let mut written = Vec::new();
            for number in numbers {
                if let Some((consumer, letter)) = state.dead.remove(number) {
                    written.push(state.write(&letter.event, Some(consumer), now_ms));
                }
            }
            Ok(written)
        })
    }

    fn drop_dead(&self, numbers: &[u64]) -> Result<u64> {
        self.with(|state, _| {
            let dropped = numbers.iter().filter(|number| state.dead.remove(number).is_some());
            Ok(dropped.count() as u64)
        })
    }

    fn retain(&self, retention: &Retention) -> Result<Cleared> {
        self.with(|state, now_ms| Ok(state.clear(retention, now_ms)))
    }

    fn forget(&self, of: &Of<'_>) -> Result<u64> {
        self.with(|state, _| {
            let gone = state.of(of);
            state.consumers.retain(|number, _| !gone.contains(number));
            state.dead.retain(|_, (consumer, _)| !gone.contains(consumer));
            Ok(gone.len() as u64)
        })
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

mod on_model {
    use super::{super::conformance::suites, Model};

    suites!(Model);
}
