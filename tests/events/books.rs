//! What the parent of `kill.rs` knows: what was published and delivered, by the notes of all its children, and what the last of them
//! left in its database.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt, fs,
    path::Path,
};

use rusqlite::Connection;

use super::load::{ALL, Follows, NOTES};

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) kills: u64,
    pub(crate) redeliveries: u64,
    deliveries: u64,
    failures: u64,
    interrupted: u64,
    /// Attempts that count and that no handler has seen: the process ended in between.
    unseen: u64,
    /// How much of the notes was read.
    read: usize,
    /// What was published, as its publisher was told.
    published: HashSet<String>,
    /// The events of the log, and by what they are told apart.
    log: BTreeMap<u64, Logged>,
    sequences: HashMap<String, u64>,
    /// The newest of each publisher.
    newest: HashMap<String, String>,
    batches: usize,
    subscriptions: [Subscription; ALL.len()],
}

struct Logged {
    topic: String,
    data: String,
}

/// One subscription.
#[derive(Default)]
struct Subscription {
    /// Everything up to here is settled, as the notes say; and as the last child left it.
    floor: u64,
    floor_seen: u64,
    /// What was settled above the floor at the end of the last child.
    settled: HashSet<u64>,
    /// Its dead letters: how often each was delivered.
    dead: HashMap<u64, u32>,
    events: HashMap<u64, Delivered>,
    /// The newest event of each key.
    keys: HashMap<String, u64>,
    /// What others of the key went past without that it was handled: it has failed for good, and nobody has seen how.
    must_be_dead: BTreeSet<u64>,
    unseen: u64,
}

/// What is known of an event that a subscription was given.
#[derive(Default)]
struct Delivered {
    started: u32,
    /// The highest number of its attempts that was seen.
    attempt: u32,
    /// Attempts that the log or the file of what is being handled knows: the next is above that.
    known: u32,
    unseen: u32,
    /// The attempt that a handler has.
    running: Option<u32>,
    /// It was acknowledged at least once.
    acknowledged: bool,
}

impl Books {
    /// Looks at what a child has left, which runs no more.
    pub(crate) fn look(&mut self, folder: &Path) {
        let notes = fs::read(folder.join(NOTES)).unwrap_or_default();
        let new = String::from_utf8(notes[self.read..].to_vec()).expect("notes are text");
        self.read = notes.len();
        // The database knows the topics, and which notes go together.
        let left = Left::of(folder);
        for line in new.lines() {
            // One that was cut off tells nothing.
            if let Some(line) = line.strip_suffix(" .") {
                self.note(line);
            }
        }
        for subscription in &mut self.subscriptions {
            for delivered in subscription.events.values_mut() {
                let Some(attempt) = delivered.running.take() else { continue };
                delivered.known = delivered.known.max(attempt);
                self.interrupted += 1;
            }
        }
        if let Some(left) = left {
            self.compare(left);
        } else {
            assert!(self.published.is_empty(), "there is no database");
        }
    }

    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap_or_else(|_| panic!("no number: {line}"));
        match words[..] {
            ["O", data] => assert!(self.published.insert(data.to_owned()), "{data} was published twice"),
            ["F", name, floor] => {
                let subscription = &mut self.subscriptions[at(name)];
                assert!(number(floor) >= subscription.floor, "the floor went down: {line}");
                subscription.floor = number(floor);
            }
            ["B", name, data, sequence, attempt, key] => {
                self.begins(at(name), data, number(sequence), number(attempt) as u32, key);
            }
            ["E", name, _, sequence, _, answer] => {
                let delivered = self.delivered(name, number(sequence));
                delivered.running = None;
                delivered.acknowledged |= answer == "ok";
                self.failures += u64::from(answer == "fail");
            }
            ["A", name, _, sequence, _, answer] => {
                self.delivered(name, number(sequence)).acknowledged = answer == "ok";
            }
            _ => panic!("no note: {line}"),
        }
    }

    fn delivered(&mut self, name: &str, sequence: u64) -> &mut Delivered {
        let known = self.subscriptions[at(name)].events.get_mut(&sequence);
        known.unwrap_or_else(|| panic!("{name}: the delivery of event {sequence} ends and never began"))
    }

    fn begins(&mut self, at: usize, data: &str, sequence: u64, attempt: u32, key: &str) {
        let Follows { name, most, .. } = ALL[at];
        let about = format!("{name}: event {sequence}, {data}, attempt {attempt}");
        let known = *self.sequences.entry(data.to_owned()).or_insert(sequence);
        assert_eq!(known, sequence, "{about}: the event is in the log twice");
        let subscription = &mut self.subscriptions[at];
        assert!(
            sequence > subscription.floor && !subscription.settled.contains(&sequence),
            "{about}: it was settled, the floor is {}",
            subscription.floor
        );
        assert!(attempt <= most, "{about}: {most} are allowed");
        self.deliveries += 1;
        let first = !subscription.events.contains_key(&sequence);
        self.redeliveries += u64::from(!first);
        let delivered = subscription.events.entry(sequence).or_default();
        assert!(attempt > delivered.known, "{about}: {} attempts count already", delivered.known);
        assert!(delivered.running.is_none(), "{about}: another attempt still runs");
        let unseen = attempt.saturating_sub(delivered.attempt + 1);
        delivered.started += 1;
        delivered.attempt = delivered.attempt.max(attempt);
        delivered.unseen += unseen;
        delivered.running = Some(attempt);
        // At each kill, one that was about to begin.
        subscription.unseen += u64::from(unseen);
        self.unseen += u64::from(unseen);
        assert!(subscription.unseen <= self.kills, "{about}: {unseen} attempts were not made");
        if first && !key.is_empty() {
            let before = subscription.keys.insert(key.to_owned(), sequence).unwrap_or(0);
            assert!(before < sequence, "{about}: event {before} of the key {key} came before");
            if before > 0 && !subscription.events[&before].acknowledged {
                subscription.must_be_dead.insert(before);
            }
        }
    }

    /// Holds the notes against the database.
    fn compare(&mut self, left: Left) {
        for (sequence, topic, data) in left.log {
            if self.log.contains_key(&sequence) {
                continue;
            }
            let known = *self.sequences.entry(data.clone()).or_insert(sequence);
            assert_eq!(known, sequence, "{data}: the event is in the log twice");
            // What a publisher has published one after the other is in the log so.
            if let Some(name) = data.find(|c: char| c.is_ascii_digit()).filter(|_| !data.starts_with("end")) {
                let name = &data[name..];
                let thread = name.split('-').nth(1).expect("it has a number").to_owned();
                let newest = self.newest.entry(thread).or_default();
                assert!(newest.as_str() < name, "{data} is behind {newest} in the log");
                name.clone_into(newest);
            }
            self.batches += usize::from(data.contains("-batch-"));
            self.log.insert(sequence, Logged { topic, data });
        }
        // Published is what is in the log, or in the outbox on its way there; of a batch exactly what has an item.
        for data in &self.published {
            assert!(
                self.sequences.contains_key(data) || left.outbox.contains(data),
                "{data} was published, and is lost"
            );
        }
        for item in &left.items {
            let there = self.sequences.contains_key(item) || left.outbox.contains(item);
            assert!(there, "the batch of {item} was committed, and its event is lost");
        }
        let of_batches = self.log.values().map(|logged| &logged.data).chain(&left.outbox);
        for data in of_batches.filter(|data| data.contains("-batch-")) {
            assert!(left.items.contains(data), "the event {data} is of a batch that was not committed");
        }
        for (at, stands) in left.consumers.into_iter().enumerate() {
            self.stands(at, stands);
        }
    }

    fn stands(&mut self, at: usize, stands: Stands) {
        let Follows { name, topics, most } = ALL[at];
        let subscription = &mut self.subscriptions[at];
        assert!(stands.floor >= subscription.floor, "{name}: the floor went down to {}", stands.floor);
        for (sequence, attempts) in &stands.dead {
            let nothing = Delivered::default();
            let delivered = subscription.events.get(sequence).unwrap_or(&nothing);
            // No handler may have seen the last attempt.
            let missing = attempts - delivered.attempt.min(*attempts);
            assert_eq!(*attempts, most, "{name}: event {sequence} was given up early");
            assert!(
                delivered.started + delivered.unseen + missing >= most,
                "{name}: event {sequence} was started {} times and is dead",
                delivered.started
            );
            if missing > 0 && !subscription.dead.contains_key(sequence) {
                subscription.unseen += u64::from(missing);
                self.unseen += u64::from(missing);
                assert!(subscription.unseen <= self.kills, "{name}: event {sequence} is dead too early");
            }
        }
        // Whatever is settled was handled, or is dead.
        let old = subscription.floor_seen;
        let settled = self.log.range(old + 1..stands.floor.max(old) + 1).map(|(sequence, _)| sequence);
        for sequence in settled.chain(&stands.settled) {
            let Some(logged) = self.log.get(sequence).filter(|logged| logged.topic.starts_with(topics))
            else {
                continue;
            };
            let handled = subscription.events.get(sequence).is_some_and(|delivered| delivered.acknowledged);
            assert!(
                handled || stands.dead.contains_key(sequence),
                "{name}: event {sequence}, {}, counts as done with, and was not handled",
                logged.data
            );
        }
        for (sequence, attempts) in stands.retries {
            if let Some(delivered) = subscription.events.get_mut(&sequence) {
                delivered.known = delivered.known.max(attempts);
            }
        }
        subscription.floor = stands.floor;
        subscription.floor_seen = stands.floor;
        subscription.settled = stands.settled.into_iter().collect();
        subscription.dead = stands.dead;
    }

    /// All was said: nothing is missing.
    pub(crate) fn close(&self) {
        for (subscription, Follows { name, topics, .. }) in self.subscriptions.iter().zip(&ALL) {
            for (sequence, logged) in self.log.iter().filter(|(_, logged)| logged.topic.starts_with(topics)) {
                let about = format!("{name}: event {sequence}, {}", logged.data);
                let dead = subscription.dead.contains_key(sequence);
                let delivered = subscription.events.get(sequence);
                let handled = delivered.is_some_and(|delivered| delivered.acknowledged);
                assert!(handled || dead, "{about} is lost");
                assert!(dead || !logged.data.starts_with("fail"), "{about}: who has acknowledged it?");
                assert!(
                    dead || !subscription.must_be_dead.contains(sequence),
                    "{about}: another of its key went past"
                );
                assert!(*sequence <= subscription.floor, "{about}: it is not settled");
            }
        }
        for data in &self.published {
            assert!(self.sequences.contains_key(data), "{data} was published, and is lost");
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dead: usize = self.subscriptions.iter().map(|subscription| subscription.dead.len()).sum();
        write!(
            f,
            "{} kills, {} events in the log ({} of them of batches, {} acknowledged to their publishers), {} deliveries, {} \
             again, {} failed, {} interrupted, {} more interrupted before the handler saw them, {dead} dead letters",
            self.kills,
            self.log.len(),
            self.batches,
            self.published.len(),
            self.deliveries,
            self.redeliveries,
            self.failures,
            self.interrupted,
            self.unseen
        )
    }
}

fn at(name: &str) -> usize {
    let at = ALL.iter().position(|follows| follows.name == name);
    at.unwrap_or_else(|| panic!("there is no subscription {name}"))
}

/// What a child has left in its database.
struct Left {
    log: Vec<(u64, String, String)>,
    outbox: HashSet<String>,
    items: HashSet<String>,
    consumers: [Stands; ALL.len()],
}

#[derive(Default)]
struct Stands {
    floor: u64,
    settled: Vec<u64>,
    retries: Vec<(u64, u32)>,
    dead: HashMap<u64, u32>,
}

impl Left {
    /// Of a copy: the next child is to find it as it is. None: there is no database yet.
    fn of(folder: &Path) -> Option<Self> {
        let copied = tempfile::tempdir().expect("there is a place for temporary files");
        for name in ["pintle.db", "pintle.db-wal"] {
            let from = folder.join("data").join(name);
            if from.exists() {
                fs::copy(from, copied.path().join(name)).expect("it can be copied");
            }
        }
        let file = copied.path().join("pintle.db");
        let connection = file.exists().then(|| Connection::open(file).expect("it opens"))?;
        if rows(&connection, "SELECT 1 FROM sqlite_schema WHERE name = 'events_consumers'", |row| {
            row.get::<_, u64>(0)
        })
        .is_empty()
        {
            return None;
        }
        let texts = |sql| rows(&connection, sql, |row| row.get(0)).into_iter().collect();
        let consumers = ALL.each_ref().map(|follows| {
            let of = |sql: &str| {
                sql.replace(
                    "MINE",
                    &format!("(SELECT consumer FROM events_consumers WHERE name = '{}')", follows.name),
                )
            };
            let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let floor = of("SELECT floor FROM events_consumers WHERE consumer = MINE");
            let settled = of("SELECT seq FROM events_settled WHERE consumer = MINE");
            let retries = of("SELECT seq, attempts FROM events_retries WHERE consumer = MINE");
            let dead =
                rows(&connection, &of("SELECT seq, attempts FROM events_dead WHERE consumer = MINE"), pair);
            let stands = Stands {
                floor: rows(&connection, &floor, |row| row.get(0)).pop().unwrap_or(0),
                settled: rows(&connection, &settled, |row| row.get(0)),
                retries: rows(&connection, &retries, pair),
                dead: dead.iter().copied().collect(),
            };
            assert_eq!(stands.dead.len(), dead.len(), "{}: an event is dead twice", follows.name);
            stands
        });
        Some(Self {
            log: rows(
                &connection,
                "SELECT seq, type, CAST(data AS TEXT) FROM events_log ORDER BY seq",
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            ),
            outbox: texts("SELECT CAST(data AS TEXT) FROM outbox_events"),
            items: texts("SELECT CAST(key AS TEXT) FROM storage_items"),
            consumers,
        })
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = statement.query_map([], each).expect("it reads");
    rows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
}
