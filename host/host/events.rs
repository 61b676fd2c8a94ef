//! What an application and an operator do with durable events: publish them, see who stands where in the log, and look after
//! dead letters.

use std::{sync::Arc, time::Duration};

use super::Host;
use crate::{
    error::Result,
    services::{
        events::{
            Counters, Draft, Emitted, Event, Pattern,
            durable::log::{self, ConsumerName, ConsumerReport, EventLog, Extent, Of},
            durable::{DurableReport, DurableTotals},
        },
        keys::page_limit,
    },
};

#[cfg(test)]
mod tests;

/// How many dead letters are read of the log at once: each may have an event of a mebibyte.
const READ: usize = 16;

/// How many dead letters are delivered again, or dropped, at once.
const STEP: usize = 64;

/// How many bytes of events a page of dead letters has, and one event more.
const PAGE_BYTES: usize = 4 << 20;

/// What the log has of durable events, and who stands where in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventLogStats {
    /// How many events there are.
    pub events: u64,
    /// The bytes of their payloads and attributes.
    pub bytes: u64,
    /// The sequence of the oldest event; that of the next one if there is none.
    pub first: u64,
    /// The sequence of the newest event that was ever written; 0: none was.
    pub last: u64,
    /// Who has a position in it, whether it is subscribed now or not.
    pub consumers: Vec<ConsumerStats>,
}

/// Where a durable subscription stands in the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// The plugin's id, or `application`.
    pub plugin: String,
    /// The tenant that it was made under; empty: the system scope, which sees the events of all.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Everything up to this sequence is settled: acknowledged, a dead letter, or not for it.
    pub floor: u64,
    /// How many events of the log are not settled, as far as it is known: those that are not for it count until they were looked
    /// at, and those of other tenants too.
    pub behind: u64,
    /// Events that have failed and are to come again.
    pub retries: u64,
    /// Its dead letters.
    pub dead: u64,
    /// The subscription, if there is one under the name now.
    pub live: Option<LiveConsumer>,
}

/// A durable subscription while it lasts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveConsumer {
    /// Which topics it is for.
    pub pattern: Pattern,
    /// Its counts since it was made; failed are those that have become dead letters.
    pub counters: Counters,
    /// Deliveries that have failed, those of dead letters included.
    pub failures: u64,
    /// Events that are delivered and neither acknowledged nor failed.
    pub in_flight: u64,
}

/// An event that a durable subscription has failed to handle for the last time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Grows, and is never used again.
    pub number: u64,
    /// Whose subscription it is: a plugin's id, or `application`.
    pub plugin: String,
    /// The tenant that the subscription was made under; empty: the system scope. The event has a tenant of its own.
    pub tenant: String,
    /// The subscription's name.
    pub name: String,
    /// The event.
    pub event: Arc<Event>,
    /// The sequence of the event in the log, which may have forgotten it.
    pub sequence: u64,
    /// How often it was delivered.
    pub attempts: u32,
    /// Why it failed last.
    pub reason: String,
    /// When it failed for the last time, in milliseconds since 1970-01-01 UTC.
    pub died_ms: i64,
}

/// Some dead letters.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DeadLetters {
    /// The dead letters, in the order of their numbers.
    pub letters: Vec<DeadLetter>,
    /// The number behind which the next page begins; None: this is the last.
    pub next: Option<u64>,
}

/// Whose dead letters: those that are of all that is given; with nothing, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLettersOf {
    /// Of the subscriptions of this plugin; `application`: of the application's.
    pub plugin: Option<String>,
    /// Of the subscriptions that were made under this tenant; empty: in the system scope.
    pub tenant: Option<String>,
    /// Of the subscriptions of this name.
    pub name: Option<String>,
}

impl Host {
    /// Publishes a durable event on behalf of a tenant (empty: the system scope): it is written to the log before this returns, and
    /// delivered to each durable subscription that matches until that has acknowledged it, whatever happens to the process.
    /// Transient subscriptions get it as any other event; `wait` and the answer are about those, as in
    /// [`emit_and_wait`](Self::emit_and_wait).
    ///
    /// An event whose id and source are those of one that was written for the same tenant a short time ago is that event, and is not
    /// delivered again.
    ///
    /// # Errors
    ///
    /// As `emit`, and UNAVAILABLE: it cannot be written; then nobody gets it.
    pub fn emit_durable(&self, tenant: &str, event: Draft, wait: Duration) -> Result<Emitted> {
        event.topic.check_application_topic()?;
        let core = self.inner.core;
        core.durable.emit(&core.events, None, Draft { tenant: tenant.into(), ..event }, wait)
    }

    /// What the log has of durable events, and who stands where in it.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk fails, or the host has stopped.
    pub fn event_log(&self) -> Result<EventLogStats> {
        let log = self.inner.core.durable.log();
        let Extent { first, last, events, bytes } = log.extent()?;
        let mut live = self.live();
        let consumers = log.consumers(&Of::default())?.into_iter().map(|report| {
            let at = live.iter().position(|(name, _)| *name == report.name);
            ConsumerStats::of(report, first, last, at.map(|at| live.swap_remove(at).1))
        });
        Ok(EventLogStats { events, bytes, first, last, consumers: consumers.collect() })
    }

    /// What became of all durable events since the host was made.
    #[must_use]
    pub fn durable_totals(&self) -> DurableTotals {
        self.inner.core.durable.totals()
    }

    /// Dead letters with a number above `after`, at most `limit` of them (0: 100; 1,000 at most), and fewer where their events are large.
    ///
    /// ```no_run
    /// use pintle::events::DeadLettersOf;
    ///
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").data("data").build()?;
    /// let of = DeadLettersOf { plugin: Some("orders".into()), ..DeadLettersOf::default() };
    /// let page = host.dead_letters(&of, 0, 0)?;
    /// for letter in &page.letters {
    ///     println!("{}: {} failed {} times: {}", letter.number, letter.event.topic, letter.attempts, letter.reason);
    /// }
    /// // What was wrong is mended: let the plugin have them once more.
    /// let numbers: Vec<u64> = page.letters.iter().map(|letter| letter.number).collect();
    /// host.replay_dead_letters(&numbers)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the limit. UNAVAILABLE: the disk fails, or the host has stopped.
    pub fn dead_letters(&self, of: &DeadLettersOf, after: u64, limit: u32) -> Result<DeadLetters> {
        page(&**self.inner.core.durable.log(), &of.borrowed(), after, page_limit(limit)?)
    }

    /// Lets subscriptions have these dead letters once more, each its own: they are new events at the end of the log, for it alone, and no
    /// dead letters any more. Its filter is not asked again; a pattern that was changed since and is not for their topic passes over them. Those that are not there are passed over; tells how many were.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk fails, or the host has stopped. What was done of many before that stays done.
    pub fn replay_dead_letters(&self, numbers: &[u64]) -> Result<u64> {
        in_steps(numbers, |numbers| self.inner.core.durable.replay(numbers))
    }

    /// The same with all dead letters that there are of these subscriptions now.
    ///
    /// # Errors
    ///
    /// As `replay_dead_letters`.
    pub fn replay_all_dead_letters(&self, of: &DeadLettersOf) -> Result<u64> {
        self.replay_dead_letters(&numbers(&**self.inner.core.durable.log(), &of.borrowed())?)
    }

    /// Forgets these dead letters. Those that are not there are passed over; tells how many were.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: the disk fails, or the host has stopped. What was done of many before that stays done.
    pub fn drop_dead_letters(&self, numbers: &[u64]) -> Result<u64> {
        let log = self.inner.core.durable.log();
        in_steps(numbers, |numbers| log.drop_dead(numbers))
    }

    /// The same with all dead letters that there are of these subscriptions now.
    ///
    /// # Errors
    ///
    /// As `drop_dead_letters`.
    pub fn drop_all_dead_letters(&self, of: &DeadLettersOf) -> Result<u64> {
        self.drop_dead_letters(&numbers(&**self.inner.core.durable.log(), &of.borrowed())?)
    }

    /// Those who are subscribed now.
    fn live(&self) -> Vec<(ConsumerName, LiveConsumer)> {
        let live = |report: DurableReport| {
            let DurableReport { name, pattern, counters, failures, in_flight, .. } = report;
            (name, LiveConsumer { pattern, counters, failures, in_flight })
        };
        self.inner.core.durable.consumers().into_iter().map(live).collect()
    }
}

impl ConsumerStats {
    /// Of a log that begins with `first` and ends with `last`.
    fn of(report: ConsumerReport, first: u64, last: u64, live: Option<LiveConsumer>) -> Self {
        let ConsumerReport { consumer: _, name, floor, settled, retries, dead } = report;
        // What the log has forgotten does not come any more, settled or not.
        let behind = last.saturating_sub(floor.max(first.saturating_sub(1))).saturating_sub(settled);
        let ConsumerName { plugin, tenant, name } = &name;
        Self {
            plugin: plugin.to_string(),
            tenant: tenant.to_string(),
            name: name.to_string(),
            floor,
            behind,
            retries,
            dead,
            live,
        }
    }
}

impl From<log::DeadLetter> for DeadLetter {
    fn from(letter: log::DeadLetter) -> Self {
        let log::DeadLetter { number, consumer, event, sequence, attempts, reason, died_ms } = letter;
        Self {
            number,
            plugin: consumer.plugin.to_string(),
            tenant: consumer.tenant.to_string(),
            name: consumer.name.to_string(),
            event,
            sequence,
            attempts,
            reason: reason.to_string(),
            died_ms,
        }
    }
}

impl DeadLettersOf {
    fn borrowed(&self) -> Of<'_> {
        let Self { plugin, tenant, name } = self;
        Of { plugin: plugin.as_deref(), tenant: tenant.as_deref(), name: name.as_deref() }
    }
}

/// Dead letters behind the number `after`, so many at most, and no more than go into a page.
fn page(log: &dyn EventLog, of: &Of<'_>, mut after: u64, most: usize) -> Result<DeadLetters> {
    let (mut letters, mut bytes) = (Vec::<DeadLetter>::new(), 0);
    loop {
        // One more tells whether there are more.
        let wanted = READ.min(most + 1 - letters.len());
        let read = log.dead_letters(of, after, wanted)?;
        let last = read.len() < wanted;
        for letter in read {
            if letters.len() == most || bytes >= PAGE_BYTES {
                return Ok(DeadLetters { letters, next: Some(after) });
            }
            after = letter.number;
            bytes += letter.event.data.len();
            letters.push(letter.into());
        }
        if last {
            return Ok(DeadLetters { letters, next: None });
        }
    }
}

/// The numbers of all that there are now. What dies meanwhile may be among them; it is looked for before anything comes of it, so that what
/// dies again because it was replayed is not.
fn numbers(log: &dyn EventLog, of: &Of<'_>) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    loop {
        let read = log.dead_letters(of, numbers.last().copied().unwrap_or(0), READ)?;
        numbers.extend(read.iter().map(|letter| letter.number));
        if read.len() < READ {
            return Ok(numbers);
        }
    }
}

fn in_steps(numbers: &[u64], mut step: impl FnMut(&[u64]) -> Result<u64>) -> Result<u64> {
    numbers.chunks(STEP).try_fold(0, |done, numbers| Ok(done + step(numbers)?))
}
