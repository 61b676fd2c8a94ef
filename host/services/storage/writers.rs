//! Sixteen writers, and the books of what they were told is written: for processes that are killed, and for disks that
//! fail.
//!
//! A writer says each acknowledged write in a line of its own, with the version; the books take the lines, and are then held
//! against what a storage on the same file has. A value repeats its key and its stamp, which says which write it is of, so
//! that another's or a half would be seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::Path,
    thread,
};

use super::{
    Batch, ChangeKind, Outcome, Quotas, Refused, Step, Storage,
    conformance::{Scopes, key},
    plain::Written,
    random::Dice,
};
use crate::{
    error::{Error, ErrorKind},
    services::{
        events::{Draft, Topic},
        ledger::{Fault, Ledger, Transaction, Write},
    },
};

/// In a child's output, what is in front of an acknowledged write.
pub(super) const ON_DISK: &str = "on disk: ";

/// In a child's output, what is in front of the error that a write got.
pub(super) const REFUSED: &str = "refused: ";

pub(super) const WRITERS: u64 = 16;

/// Keys of each writer's own.
const OWN: u64 = 20;

/// Keys that a writer writes only on the version that it has read.
const SHARED: u64 = 3;

const COUNTERS: u64 = 3;

/// Keys that are always written together, with one stamp; the n-th group has n times two of them.
const GROUPS: u64 = 10;

fn members(group: u64) -> Vec<String> {
    (0..2 * (group + 1)).map(|member| format!("group/{group}/{member:02}")).collect()
}

fn value(name: &str, stamp: &str) -> Vec<u8> {
    let times = 1 + name.len() * stamp.len() % 23;
    format!("{name} {stamp};").repeat(times).into_bytes()
}

pub(super) fn scopes() -> Scopes {
    Scopes::of(&[("meter", "acme")])
}

/// One writer's part.
pub(super) struct Writer<'a> {
    pub(super) storage: &'a Storage,
    pub(super) scopes: &'a Scopes,
    pub(super) dice: Dice,
    pub(super) round: u64,
    pub(super) number: u64,
}

/// What a write was answered.
pub(super) type Answer = Result<Option<String>, Error>;

/// Has all of them write, each until it `goes_on` no more: that gets the line of an acknowledged write, none where the write
/// had no occasion, or the error.
pub(super) fn all_write(
    storage: &Storage,
    round: u64,
    seed: u64,
    goes_on: &(dyn Fn(u64, Answer) -> bool + Sync),
) {
    let scopes = scopes();
    thread::scope(|threads| {
        for number in 0..WRITERS {
            let dice = Dice::new(seed ^ (round * WRITERS + number));
            let mut writer = Writer { storage, scopes: &scopes, dice, round, number };
            threads.spawn(move || {
                for turn in 0.. {
                    let answer = writer.write(turn);
                    if !goes_on(turn, answer) {
                        break;
                    }
                }
            });
        }
    });
}

/// Says a line in one write, which a pipe takes whole.
pub(super) fn say(front: &str, text: &str) {
    let line = format!("{front}{text}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
}

impl Writer<'_> {
    fn write(&mut self, turn: u64) -> Answer {
        let stamp = format!("{}.{}.{turn}", self.round, self.number);
        match self.dice.roll(10) {
            0..3 => self.own(&stamp),
            3 => self.shared(&stamp),
            4..6 => self.count(),
            _ => self.group(&stamp),
        }
    }

    /// A key of its own: it knows what is there, for nobody else writes it.
    fn own(&mut self, stamp: &str) -> Answer {
        let name = format!("own/{}/{}", self.number, self.dice.roll(OWN));
        let there = self.storage.fetch(&self.scopes.at(0), key(&name))?.map_or(0, |(_, info)| info.version);
        let value = value(&name, stamp);
        let (step, said) = match self.dice.roll(4) {
            0 => (Step::remove(&name), "-"),
            1 => (Step::set(&name, &value), stamp),
            _ => (Step::set(&name, &value).only_if(there), stamp),
        };
        let [Outcome { version, .. }] = self.apply(&[step])?[..] else { panic!("it is one step") };
        Ok((version != 0).then(|| format!("key {name} {version} {said}")))
    }

    /// A key of all: another may be first.
    fn shared(&mut self, stamp: &str) -> Answer {
        let name = format!("shared/{}", self.dice.roll(SHARED));
        let scope = self.scopes.at(0);
        let there = self.storage.fetch(&scope, key(&name))?.map_or(0, |(_, info)| info.version);
        match self.storage.set(&scope, key(&name), &value(&name, stamp), Some(there))? {
            Written::Done(version) => Ok(Some(format!("key {name} {version} {stamp}"))),
            Written::Conflict(_) => Ok(None),
        }
    }

    fn count(&mut self) -> Answer {
        let name = format!("count/{}", self.dice.roll(COUNTERS));
        let done = self.apply(&[Step::incr(&name, 1)])?;
        Ok(Some(format!("count {name} {} {}", done[0].version, done[0].value)))
    }

    fn group(&mut self, stamp: &str) -> Answer {
        let group = self.dice.roll(GROUPS);
        let names = members(group);
        let values: Vec<_> = names.iter().map(|name| value(name, stamp)).collect();
        let steps: Vec<_> = names.iter().zip(&values).map(|(name, value)| Step::set(name, value)).collect();
        // With an event that says the stamp too.
        let topic = Topic::parse("plugin.meter.group").expect("it is a topic");
        let events = [Draft::new(topic, "/plugins/meter", stamp.as_bytes())];
        let batch = Batch { steps: &steps, events: &events, jobs: &[], quotas: Quotas::default() };
        let done = self.storage.apply(&self.scopes.at(0), &batch);
        let done = done.map_err(|Refused { error, .. }| error)?;
        let (first, last) = (done[0].version, done[done.len() - 1].version);
        Ok(Some(format!("group {group} {first} {last} {stamp}")))
    }

    fn apply(&self, steps: &[Step<'_>]) -> Result<Vec<Outcome>, Error> {
        self.storage.steps(&self.scopes.at(0), steps).map_err(|Refused { error, .. }| error)
    }
}

/// What was acknowledged.
#[derive(Clone, Default)]
pub(super) struct Books {
    /// The newest version of each key, and its stamp; none: it is gone.
    keys: BTreeMap<String, (u64, Option<String>)>,
    /// The first version of the newest write of a group, and its stamp.
    groups: BTreeMap<u64, (u64, String)>,
    /// How often each was counted, and the highest sum.
    counts: BTreeMap<String, (i64, i64)>,
    /// Versions of this round.
    versions: BTreeSet<u64>,
    /// The highest of earlier rounds.
    before: u64,
    /// Stamps of groups of this round, with each of which an event was committed.
    stamps: BTreeSet<String>,
    /// The last event of earlier rounds.
    last_event: i64,
    pub(super) acknowledged: u64,
}

impl Books {
    pub(super) fn take(&mut self, line: &str) {
        self.acknowledged += 1;
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap_or_else(|_| panic!("a child said {line:?}"));
        match words[..] {
            ["key", name, _, stamp] => {
                self.is_new(number(2), line);
                let stamp = (stamp != "-").then(|| stamp.to_owned());
                let known = self.keys.entry(name.to_owned()).or_default();
                if known.0 < number(2) {
                    *known = (number(2), stamp);
                }
            }
            ["count", name, _, sum] => {
                self.is_new(number(2), line);
                let (times, highest) = self.counts.entry(name.to_owned()).or_default();
                *times += 1;
                *highest = sum.parse::<i64>().expect("it is a sum").max(*highest);
            }
            ["group", _, _, _, stamp] => {
                self.is_new(number(2), line);
                self.is_new(number(3), line);
                self.stamps.insert(stamp.to_owned());
                let known = self.groups.entry(number(1)).or_default();
                if known.0 < number(2) {
                    *known = (number(2), stamp.to_owned());
                }
            }
            _ => panic!("a child said {line:?}"),
        }
    }

    fn is_new(&mut self, version: u64, line: &str) {
        assert!(version > self.before, "{line}: version {version} was given before, up to {}", self.before);
        assert!(self.versions.insert(version), "{line}: version {version} twice");
    }

    /// Holds what is there against what was acknowledged; `unsaid`: so many writes at most were done and not said.
    pub(super) fn check(&mut self, storage: &Storage, unsaid: Option<u64>) {
        let scopes = scopes();
        let there = everything(storage, &scopes);
        let newest = self.versions.last().copied().unwrap_or_default().max(self.before);
        let version = storage.version().expect("it can be read");
        assert!(version >= newest, "the sequence is at {version}, and {newest} was acknowledged");
        for (name, (version, stamp)) in &self.keys {
            match (there.get(name), stamp) {
                (Some((found, found_stamp)), Some(stamp)) if found == version => {
                    assert_eq!(found_stamp, stamp, "{name} has version {version}");
                }
                (Some((found, _)), _) => assert!(found > version, "{name}: {version} became {found}"),
                (None, None) => {}
                (None, Some(_)) => {
                    let later = storage.changes(&scopes.at(0), name, *version, 100).expect("it can be read");
                    let gone = |kind, key: &str| kind == ChangeKind::Removed && key == name;
                    let is_gone = later.list.iter().any(|change| gone(change.kind, &change.key));
                    assert!(is_gone, "{name} was acknowledged as {version} and is lost");
                }
            }
        }
        self.check_groups(&there);
        for (name, (times, highest)) in &self.counts {
            let (_, sum) = there.get(name).unwrap_or_else(|| panic!("{name} is lost"));
            let sum: i64 = sum.parse().expect("it is a sum");
            assert!(sum >= *times && sum >= *highest, "{name} is {sum}: {times} times, up to {highest}");
            if let Some(unsaid) = unsaid {
                assert!(sum <= *times + unsaid as i64, "{name} is {sum}, and was counted {times} times");
            }
        }
        self.before = version;
        self.versions.clear();
    }

    /// Each write of a group that was acknowledged has its event in the outbox, once.
    pub(super) fn check_outbox(&mut self, ledger: &Ledger) {
        let events = ledger.read(|ledger| {
            let mut list =
                ledger.prepare("SELECT seq, data FROM outbox_events WHERE seq > ?1 ORDER BY seq")?;
            let events = list.query_map([self.last_event], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(events.collect::<rusqlite::Result<Vec<(i64, Vec<u8>)>>>()?)
        });
        let mut stamps = BTreeSet::new();
        for (seq, stamp) in events.expect("it can be read") {
            self.last_event = seq;
            let stamp = String::from_utf8(stamp).expect("it is a text");
            assert!(stamps.insert(stamp.clone()), "the event of {stamp} is there twice");
        }
        let lost: Vec<_> = self.stamps.difference(&stamps).collect();
        assert!(lost.is_empty(), "events are lost: {lost:?}");
        self.stamps.clear();
    }

    fn check_groups(&self, there: &BTreeMap<String, (u64, String)>) {
        for group in 0..GROUPS {
            let names = members(group);
            let found: Vec<_> = names.iter().filter_map(|name| there.get(name)).collect();
            let known = self.groups.get(&group);
            if known.is_none() && found.is_empty() {
                continue;
            }
            assert_eq!(found.len(), names.len(), "group {group} is there by half");
            assert!(found.iter().all(|(_, stamp)| *stamp == found[0].1), "group {group} is torn: {found:?}");
            assert!(found.is_sorted_by_key(|(version, _)| version), "group {group}: {found:?}");
            if let Some((version, stamp)) = known {
                assert!(found[0].0 >= *version, "group {group}: {version} became {}", found[0].0);
                assert!(found[0].0 > *version || found[0].1 == *stamp, "group {group} is another");
            }
        }
    }
}

/// All keys with version and stamp (of counters the sum), after a look that each is whole, and that what is counted and what is
/// told of changes is the same.
fn everything(storage: &Storage, scopes: &Scopes) -> BTreeMap<String, (u64, String)> {
    let scope = scopes.at(0);
    let mut all = BTreeMap::new();
    let (mut cursor, mut bytes) = (String::new(), 0);
    loop {
        let page = storage.keys(&scope, "", &cursor, 1_000).expect("it can be read");
        for name in page.keys {
            let found = storage.fetch(&scope, key(&name)).expect("it can be read");
            let (found, info) = found.unwrap_or_else(|| panic!("{name} is listed and not there"));
            bytes += (name.len() + found.len()) as u64;
            let text = str::from_utf8(&found).expect("it is a text");
            let stamp = if name.starts_with("count/") {
                text.to_owned()
            } else {
                let stamp = text.split(';').next().and_then(|first| first.split(' ').nth(1));
                let stamp = stamp.unwrap_or_else(|| panic!("{name} is {text:?}")).to_owned();
                assert!(found == value(&name, &stamp), "{name} is not whole: {text}");
                stamp
            };
            all.insert(name, (info.version, stamp));
        }
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    let usage = storage.usage_of(&scope).expect("it can be read");
    assert_eq!((usage.items, usage.bytes), (all.len() as u64, bytes), "what is counted is what is there");
    let told = storage.changes(&scope, "", 0, 100_000).expect("it can be read");
    let told: BTreeMap<_, _> =
        told.list.iter().map(|change| (change.key.to_string(), change.version)).collect();
    let versions: BTreeMap<_, _> = all.iter().map(|(name, (version, _))| (name.clone(), *version)).collect();
    assert_eq!(told, versions, "what is told from the beginning is what is there");
    all
}

/// What goes on where the disk fails: writes, of which each is acknowledged or UNAVAILABLE.
pub(super) fn is_acknowledged(answer: &Answer) -> bool {
    match answer {
        Ok(line) => line.is_some(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            false
        }
    }
}

/// As whoever publishes the events would: they are gone from the outbox.
pub(super) struct Drain;

impl Write for Drain {
    type Answer = ();

    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        transaction.prepare("DELETE FROM outbox_events")?.execute([])?;
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

/// Looks through all pages and indexes of the file.
pub(super) fn check_file(ledger: &Ledger) {
    let check = ledger.read(|ledger| {
        Ok(ledger.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0))?)
    });
    assert_eq!(check.expect("it can be read"), "ok");
}

/// Copies a ledger as it lies there, log included, as a host that was killed left it.
pub(super) fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let name = format!("ledger.db{end}");
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).expect("there is room");
        }
    }
}

mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Mutex,
    };

    use super::{super::model::Model, *};
    use crate::services::clock::ManualClock;

    fn on(model: &Model) -> Storage {
        Storage::new(Box::new(model.clone()), 1 << 20, ManualClock::at(0))
    }

    fn write(model: &Model, round: u64, books: &Mutex<Books>) {
        all_write(&on(model), round, 5, &|turn, answer| {
            if is_acknowledged(&answer) {
                books.lock().expect("no panic").take(&answer.expect("it is one").expect("it says so"));
            }
            turn < 40
        });
    }

    #[test]
    fn the_books_notice_what_is_lost_torn_or_older() {
        let (model, books) = (Model::new(ManualClock::at(0) as _), Mutex::default());
        write(&model, 0, &books);
        let before = model.copy();
        write(&model, 1, &books);
        let books = books.into_inner().expect("no panic");
        books.clone().check(&on(&model), Some(0));
        let is_noticed = |storage: &Storage, unsaid| {
            catch_unwind(AssertUnwindSafe(|| books.clone().check(storage, unsaid))).is_err()
        };
        assert!(is_noticed(&on(&before), None), "what came later is lost");
        let tampered = |steps: &[Step<'_>]| {
            let storage = on(&model.copy());
            storage.steps(&scopes().at(0), steps).expect("nothing is in its way");
            storage
        };
        let wrong = value("group/3/02", "7.7.7");
        let cases = [
            Step::set("group/3/02", &wrong),
            Step::remove("group/3/02"),
            Step::set("own/1/1", b"own/1/1 1.1"),
            Step::remove("count/0"),
            Step::set("count/0", b"5"),
        ];
        for step in cases {
            assert!(is_noticed(&tampered(&[step]), None), "{step:?}");
        }
        assert!(is_noticed(&tampered(&[Step::incr("count/0", 1)]), Some(0)), "nobody counted that");
        assert!(!is_noticed(&tampered(&[Step::incr("count/0", 1)]), Some(1)));
        assert!(!is_noticed(&tampered(&[Step::remove("shared/0")]), None), "that is a later write");
        let mut again = books.clone();
        again.check(&on(&model), None);
        let old = catch_unwind(AssertUnwindSafe(|| again.take("key shared/0 1 0.0.0")));
        assert!(old.is_err(), "a version that comes again");
    }
}
