//! What an event log does: keeps durable events in one order, and where each consumer stands in it. A log knows no handlers and no
//! time but that of its writes; what is delivered when is decided by the engine (`consumer.rs`).
//!
//! Sequences grow from 1, and none is used again. Everything that returns OK is on disk.

use std::sync::Arc;

use super::super::{Event, Extension};
use crate::error::Result;

/// An event that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) dedupe: Dedupe,
}

/// Whether the log looks for an event of the same tenant, source and id before it writes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dedupe {
    /// The id was made by the host: there is none.
    Never,
    /// Its publisher gave the id: among those that were written within so many milliseconds.
    Within(i64),
    /// It comes from an outbox, perhaps a second time: among all whose ids are still known (see [`EventLog::retain`]).
    Known,
}

/// What became of an event that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) sequence: u64,
    /// It had been written before, under this sequence; nothing was written.
    pub(crate) duplicate: bool,
}

/// An event of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) sequence: u64,
    /// When it was written, by the host's clock.
    #[cfg_attr(not(test), expect(dead_code, reason = "each log tells it, and nobody shows it yet"))]
    pub(crate) logged_ms: i64,
    /// The consumer that it was written for alone: it was its dead letter. None: it is for all.
    pub(crate) only: Option<u64>,
    pub(crate) event: Arc<Event>,
}

/// Some events of the log, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<Logged>,
    /// Everything up to this sequence has been looked at: the next page begins behind it. Never less than what was asked for.
    pub(crate) up_to: u64,
}

impl Page {
    /// About so many bytes of events are on one page.
    pub(crate) const BYTES: u64 = 1 << 20;
}

/// The bytes of an event as every log counts them: those of its payload, and of its attributes as far as their length varies.
pub(crate) fn bytes_of(event: &Event) -> u64 {
    let Event { id, source, topic, subject, content_type, key, tenant, data, extensions, .. } = event;
    let texts = [id, &**source, topic.as_str(), subject, content_type, key, tenant];
    let value = |extension: &Extension| match extension {
        Extension::Text(text) => text.len(),
        Extension::Integer(_) => size_of::<i32>(),
        Extension::Boolean(_) => size_of::<bool>(),
    };
    let extensions = extensions.iter().map(|(name, extension)| name.len() + value(extension));
    let bytes = data.len() + texts.map(str::len).iter().sum::<usize>() + extensions.sum::<usize>();
    bytes as u64
}

/// How long the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The sequence of the oldest event; that of the next one if there is none.
    pub(crate) first: u64,
    /// The sequence of the newest event that was ever written; 0: none was.
    pub(crate) last: u64,
    pub(crate) events: u64,
    /// Payload and attributes, by [`bytes_of`].
    pub(crate) bytes: u64,
}

/// Whose position it is: a durable subscription by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConsumerName {
    /// A plugin's id, or `application`.
    pub(crate) plugin: Arc<str>,
    /// The tenant that it was made under; empty: the system scope, which sees the events of all.
    pub(crate) tenant: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// Where a consumer begins that has no position yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is written from now on.
    #[default]
    New,
    /// With the oldest event.
    All,
    /// With the event of this sequence.
    Sequence(u64),
    /// With the first event that was written at this time or later, in milliseconds since 1970-01-01 UTC.
    Time(i64),
}

/// Where a consumer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// What the log knows the consumer by; never used again.
    pub(crate) consumer: u64,
    /// Everything up to this sequence is settled: acknowledged, a dead letter, or not for it.
    pub(crate) floor: u64,
    /// What is settled above the floor, in order.
    pub(crate) settled: Vec<u64>,
    /// What has failed and is to come again, in order.
    pub(crate) retries: Vec<Retry>,
}

/// An event that has failed and is to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) sequence: u64,
    /// How often it was delivered.
    pub(crate) attempts: u32,
    /// When it comes again, by the host's clock.
    pub(crate) due_ms: i64,
    /// Why it failed last, at most 1,024 bytes.
    pub(crate) reason: Arc<str>,
}

/// What has changed in a consumer's position. All of it happens or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// The new floor, not below the old one: what was known of events up to it is forgotten, dead letters aside.
    pub(crate) floor: u64,
    /// What is settled now above the floor.
    pub(crate) settled: Vec<u64>,
    /// What has failed, or failed again.
    pub(crate) retries: Vec<Retry>,
    /// What has failed for the last time; above the floor it counts as settled too.
    pub(crate) dead: Vec<Dead>,
}

/// An event that has failed for the last time. The log keeps a copy of it, whatever becomes of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) sequence: u64,
    pub(crate) attempts: u32,
    pub(crate) reason: Arc<str>,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    /// Grows, and is never used again.
    pub(crate) number: u64,
    pub(crate) consumer: ConsumerName,
    pub(crate) event: Arc<Event>,
    pub(crate) sequence: u64,
    pub(crate) attempts: u32,
    pub(crate) reason: Arc<str>,
    /// When it failed for the last time.
    pub(crate) died_ms: i64,
}

/// Which consumers, or their dead letters: those that are of all that is given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Of<'a> {
    pub(crate) plugin: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// A consumer as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerReport {
    pub(crate) consumer: u64,
    pub(crate) name: ConsumerName,
    pub(crate) floor: u64,
    /// What is settled above the floor.
    pub(crate) settled: u64,
    pub(crate) retries: u64,
    pub(crate) dead: u64,
}

/// What the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Events for so many milliseconds from when they were written.
    pub(crate) age_ms: i64,
    /// The newest events, so many bytes of them.
    pub(crate) bytes: u64,
    /// Ids, so that events that come twice are known again, for so many milliseconds.
    pub(crate) dedupe_ms: i64,
}

/// What one step of clearing has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleared {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// The consumers that had not settled all of what is gone.
    pub(crate) late: Vec<ConsumerName>,
    /// There is more to be cleared now.
    pub(crate) more: bool,
}

/// Keeps durable events, and the positions of those who consume them. Called from any thread.
///
/// # Errors
///
/// Each answers UNAVAILABLE where the disk is full or fails, and after its end; nothing of what was asked for has happened then.
pub(crate) trait EventLog: Send + Sync {
    /// Writes the events in this order, with nothing in between that somebody else writes: all of them or none.
    fn append(&self, events: &[NewEvent]) -> Result<Vec<Appended>>;

    /// Events behind `after`, of one tenant or of all (none), at most `most` of them and about a mebibyte, but one at least if there
    /// is one. Whoever sees a sequence sees all events before it, then or earlier: none appears behind his back.
    fn read(&self, after: u64, tenant: Option<&str>, most: usize) -> Result<Page>;

    /// These events, as far as they are there, in the order of the log.
    fn get(&self, sequences: &[u64]) -> Result<Vec<Logged>>;

    fn extent(&self) -> Result<Extent>;

    /// Where the consumer of this name stands. It is made if it is not there, and then begins at `start`.
    fn join(&self, name: &ConsumerName, start: Start) -> Result<Position>;

    /// Notes what has become of events. NOT_FOUND: there is no such consumer any more.
    fn settle(&self, consumer: u64, settlement: &Settlement) -> Result<()>;

    fn consumers(&self, of: &Of<'_>) -> Result<Vec<ConsumerReport>>;

    /// Dead letters behind the number `after`, in order.
    fn dead_letters(&self, of: &Of<'_>, after: u64, most: usize) -> Result<Vec<DeadLetter>>;

    /// Writes these dead letters anew, each for its consumer alone, and forgets them; those that are not there are passed over. Answers
    /// the new events.
    fn replay(&self, numbers: &[u64]) -> Result<Vec<Logged>>;

    /// Forgets these dead letters; tells how many there were.
    fn drop_dead(&self, numbers: &[u64]) -> Result<u64>;

    /// Takes away what need not be kept, the oldest first, a bounded number at once. An event that was written for one consumer alone,
    /// and one that is to come again, is kept as long as any other.
    fn retain(&self, retention: &Retention) -> Result<Cleared>;

    /// Forgets the consumers, with their positions and dead letters; tells how many there were.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "uninstallation and the removal of tenants will ask for it")
    )]
    fn forget(&self, of: &Of<'_>) -> Result<u64>;

    /// Lets nobody in any more.
    fn close(&self);
}
