//! Random operations on a back end and on the plain model, until they differ: [`compare`].
//!
//! Every answer is compared, and after each operation what lies under the keys that it touched. Only versions may be other
//! numbers: one stays while the model's stays, and where the model has a new one it is new for its key. `cargo test` runs
//! some ten thousand turns; `cargo xtask cache-model` runs `full`, millions of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use super::{
    Address, Age, CacheBackend, Draft, ExpireIf, Expired, Glob, Lifetime, Lost, MOST_TAGS, MemoryCache,
    SetIf, Space, Spans, Value, Written,
    conformance::{Owned, Seen},
    model::Model,
    sqlite::in_a_folder_of_its_own,
    tiered::memory_over_a_file,
};
use crate::{
    error::{ErrorKind, Result},
    identity::{DataScope, Tenant, Tenants},
    services::{
        clock::{Clock, ManualClock},
        keys::{Key, Namespace},
    },
};

/// Numbers that are random enough, and the same each time: xorshift64*.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        // It must not be 0, and seeds that are close together should not begin alike.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 and up, below `below`.
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len() as u64) as usize]
    }
}

/// How to make a back end that has room for all that is written here, so that it forgets nothing.
type Make = fn(Arc<ManualClock>) -> Box<dyn CacheBackend>;

/// The back ends that are held to the model, by the names that `cargo xtask cache-model` knows them by.
const BACKENDS: [(&str, Make); 3] = [
    ("memory", |clock| Box::new(MemoryCache::new(256 << 20, clock, Arc::<Lost>::default()))),
    ("sqlite", |clock| Box::new(in_a_folder_of_its_own(clock))),
    ("tiered", |clock| Box::new(memory_over_a_file(clock))),
];

const PLUGINS: [&str; 3] = ["a", "ab", "b"];
const TENANTS: [&str; 3] = ["", "acme", "b"];
const NAMESPACES: [&str; 3] = ["ns", "n", "ns/a"];
const TAGS: [&str; 8] = ["t", "tt", "T", "%", "_", "a,b", "é", LONG_NAME];
const LONG_NAME: &str = match str::from_utf8(&[b't'; 128]) {
    Ok(name) => name,
    Err(_) => panic!("it is ASCII"),
};
const LONG_KEY: &str = match str::from_utf8(&[b'k'; 512]) {
    Ok(key) => key,
    Err(_) => panic!("it is ASCII"),
};
const KEYS: [&str; 28] = [
    "a",
    "b",
    "ab",
    "a/",
    "a/b",
    "a/b/c",
    "a//b",
    "/",
    "user/1",
    "user/1/name",
    "user/10",
    "user/2/name",
    "user",
    "%",
    "%a",
    "_",
    "*",
    "**",
    "[a]",
    "\\",
    "é",
    "éa",
    "e\u{301}",
    "\u{1f980}/\u{1f980}",
    "\u{10ffff}",
    "0123456789012345678901234567890123456789",
    "k",
    LONG_KEY,
];
const PATTERNS: [&str; 16] = [
    "a",
    "*",
    "?",
    "**",
    "a/**",
    "**/b",
    "**/name",
    "user/*",
    "user/[0-9]/**",
    "[!a-z]*",
    "\\*",
    "k*",
    "é*",
    "*/*",
    "nothing",
    "\u{1f980}/?",
];
const PREFIXES: [&str; 10] = ["", "a", "a/", "user", "%", "_", "é", "*", "k", "none"];

/// Runs so many operations on a back end that is empty, and on the model.
///
/// # Panics
///
/// They differ: with the seed and the last operations.
pub(super) fn compare(backend: &dyn CacheBackend, clock: &Arc<ManualClock>, seed: u64, turns: u64) {
    let model = Model::new(Arc::clone(clock) as Arc<dyn Clock>);
    compare_to(&model, backend, clock, seed, turns);
}

fn compare_to(model: &Model, backend: &dyn CacheBackend, clock: &Arc<ManualClock>, seed: u64, turns: u64) {
    let tenants = Tenants::new();
    let mut duel = Duel {
        sides: [backend, model],
        ids: PLUGINS.map(Arc::from),
        held: TENANTS.map(|name| tenants.named(name)),
        tenants: &tenants,
        versions: HashMap::new(),
        used: HashSet::new(),
        last: VecDeque::new(),
    };
    let mut dice = Dice::new(seed);
    for turn in 0..turns {
        let operation = Operation::random(&mut dice);
        if let Operation::Pass(by) = operation {
            clock.advance(by);
        }
        let verdict = duel.turn(operation);
        if let Err(difference) = verdict {
            let last: Vec<String> = duel.last.iter().map(|operation| format!("  {operation:?}")).collect();
            panic!("seed {seed}, turn {turn}: {difference}; the last operations:\n{}", last.join("\n"));
        }
    }
}

/// A back end and the model.
struct Duel<'a> {
    /// The back end, the model.
    sides: [&'a dyn CacheBackend; 2],
    ids: [Arc<str>; 3],
    held: [Tenant; 3],
    tenants: &'a Tenants,
    /// The versions that an item was last seen with, on both sides, and those before.
    versions: HashMap<Spot, [[u64; 2]; 2]>,
    /// The back end's versions of each key, as far as they are remembered.
    used: HashSet<(Spot, u64)>,
    last: VecDeque<Operation>,
}

/// More are not remembered: it would take gigabytes after some millions of turns.
const MOST_USED: usize = 4_000_000;

/// How many operations are told where a difference is found.
const TOLD: usize = 30;

/// Where an item lies: a plugin and a tenant, by their numbers, a namespace and a key.
type Spot = (usize, usize, &'static str, &'static str);

#[derive(Clone, Debug)]
enum Operation {
    Get(Spot),
    Set(Spot, Wish),
    SetMany(Vec<(Spot, Wish)>),
    Remove(Spot),
    Incr(Spot, i64, Lifetime),
    Expire(Spot, Option<Lifetime>, ExpireIf),
    InvalidateTag(Spot, &'static str),
    Invalidate(Spot, &'static str),
    Clear(Spot),
    Keys(Spot, &'static str, usize),
    Usage,
    RemovePlugin(usize),
    Pass(Duration),
}

/// What is to be written.
#[derive(Clone, Debug)]
struct Wish {
    value: Owned,
    lifetime: Lifetime,
    spans: Spans,
    keep: bool,
    tags: Vec<&'static str>,
    condition: Condition,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Always,
    Absent,
    /// The version that the item was seen with last, which may be gone; or the one before.
    Seen {
        before: bool,
    },
    Number(u64),
}

/// What a side answers, without what may differ.
#[derive(Debug, PartialEq)]
enum Answer {
    Nothing,
    Failed(ErrorKind),
    /// Whether it was written; if not, whether one was there, and that with the version last seen.
    Written(Vec<std::result::Result<(), (bool, bool)>>),
    Told(bool),
    Sum(i64),
    Expired(Expired),
    Count(u64),
    Keys(Vec<String>),
    Items(BTreeMap<String, u64>),
}

impl Operation {
    fn random(dice: &mut Dice) -> Self {
        let spot = spot(dice);
        match dice.roll(1_000) {
            0..200 => Self::Get(spot),
            200..500 => Self::Set(spot, Wish::random(dice)),
            500..540 => {
                let (plugin, tenant, ns, _) = spot;
                let count = dice.roll(6);
                let near = |dice: &mut Dice| (plugin, tenant, ns, dice.one_of(&KEYS[..6]));
                Self::SetMany((0..count).map(|_| (near(dice), Wish::random(dice))).collect())
            }
            540..600 => Self::Remove(spot),
            600..720 => {
                let delta = dice.one_of(&[0, 1, 1, -1, 40, -7, i64::MAX, i64::MIN]);
                Self::Incr(spot, delta, lifetime(dice))
            }
            720..800 => {
                use ExpireIf::{Always, Earlier, Endless, Later, Set};
                let wanted = if dice.roll(6) == 0 { None } else { Some(lifetime(dice)) };
                Self::Expire(spot, wanted, dice.one_of(&[Always, Endless, Set, Later, Earlier]))
            }
            800..815 => Self::InvalidateTag(spot, dice.one_of(&TAGS)),
            815..835 => Self::Invalidate(spot, dice.one_of(&PATTERNS)),
            835..840 => Self::Clear(spot),
            840..880 => Self::Keys(spot, dice.one_of(&PREFIXES), 1 + dice.roll(12) as usize),
            880..890 => Self::Usage,
            890 => Self::RemovePlugin(spot.0),
            _ => {
                const STEPS: [u64; 12] =
                    [0, 1, 499, 500, 999, 1_000, 1_000, 2_000, 7_000, 60_000, 3_600_000, 20_000_000];
                let step = dice.one_of(&STEPS);
                // Some so long that all that ends has ended, for those are where clocks and wheels turn over.
                let rare =
                    if dice.roll(200) == 0 { dice.one_of(&[86_400_000_000, 5_000_000_000_000]) } else { 0 };
                Self::Pass(Duration::from_micros(step + rare))
            }
        }
    }

    /// The keys that it touches alone.
    fn spots(&self) -> Vec<Spot> {
        match self {
            Self::Get(spot)
            | Self::Set(spot, _)
            | Self::Remove(spot)
            | Self::Incr(spot, ..)
            | Self::Expire(spot, ..)
            | Self::InvalidateTag(spot, _)
            | Self::Invalidate(spot, _)
            | Self::Clear(spot) => vec![*spot],
            Self::SetMany(writes) => writes.iter().map(|(spot, _)| *spot).collect(),
            Self::Keys(..) | Self::Usage | Self::RemovePlugin(_) | Self::Pass(_) => Vec::new(),
        }
    }
}

impl Wish {
    fn random(dice: &mut Dice) -> Self {
        let value = match dice.roll(10) {
            0 | 1 => Owned::Absent,
            2..=4 => Owned::Bytes(dice.one_of(&["0", "7", "-3", "9223372036854775807", "x", "07"]).into()),
            5 => Owned::Bytes(vec![b'v'; dice.roll(3_000) as usize]),
            _ => Owned::Bytes(vec![b'v'; dice.roll(40) as usize]),
        };
        let spans = match (&value, dice.roll(3)) {
            (Owned::Absent, _) | (_, 0) => Spans::default(),
            _ => Spans {
                stale_ms: dice.one_of(&[0, 0, 1, 3, 50, 100_000]),
                error_ms: dice.one_of(&[0, 0, 2, 5, 80, 200_000]),
            },
        };
        let many = if dice.roll(50) == 0 { MOST_TAGS } else { dice.roll(4) as usize };
        let tags: BTreeSet<_> = (0..many).map(|_| dice.one_of(&TAGS)).collect();
        let condition = match dice.roll(12) {
            0 => Condition::Absent,
            1 => Condition::Number(0),
            // No back end counts that far: a small number may be one that it has given.
            2 => Condition::Number(dice.one_of(&[1 << 62, u64::MAX])),
            3 | 4 => Condition::Seen { before: false },
            5 => Condition::Seen { before: true },
            _ => Condition::Always,
        };
        let (lifetime, keep) = (lifetime(dice), dice.roll(5) == 0);
        Self { value, lifetime, spans, keep, tags: tags.into_iter().collect(), condition }
    }
}

fn spot(dice: &mut Dice) -> Spot {
    // The first ones more often, so that they are met again.
    let skewed = |dice: &mut Dice, below| dice.roll(below).min(dice.roll(below)) as usize;
    let (plugin, tenant) = (skewed(dice, 3), skewed(dice, 3));
    (plugin, tenant, NAMESPACES[skewed(dice, 3)], dice.one_of(&KEYS))
}

fn lifetime(dice: &mut Dice) -> Lifetime {
    match dice.one_of(&[
        0,
        0,
        1,
        2,
        5,
        63,
        64,
        1_000,
        4_096,
        60_000,
        3_600_000,
        86_400_000_000,
        super::LONGEST_MS,
    ]) {
        0 => Lifetime::Endless,
        ms => Lifetime::Ms(ms),
    }
}

impl Duel<'_> {
    /// One operation on both sides; what differs, if something does.
    fn turn(&mut self, operation: Operation) -> std::result::Result<(), String> {
        let [answer, expected] = [0, 1].map(|side| self.answer(side, &operation));
        let spots = operation.spots();
        self.last.push_back(operation);
        if self.last.len() > TOLD {
            self.last.pop_front();
        }
        same("it answers", &answer, &expected)?;
        spots.into_iter().try_for_each(|spot| self.look(spot))
    }

    fn answer(&self, side: usize, operation: &Operation) -> Answer {
        let backend = self.sides[side];
        let told = match operation {
            // What there is is looked at afterwards, as after all others.
            Operation::Get(_) | Operation::Pass(_) => Ok(Answer::Nothing),
            Operation::Set(spot, wish) => {
                Ok(Answer::Written(self.set(side, &[(*spot, wish.clone())], false)))
            }
            Operation::SetMany(writes) => Ok(Answer::Written(self.set(side, writes, true))),
            Operation::Remove(spot) => backend.remove(&self.at(*spot)).map(Answer::Told),
            Operation::Incr(spot, delta, lifetime) => {
                backend.incr(&self.at(*spot), *delta, *lifetime).map(Answer::Sum)
            }
            Operation::Expire(spot, wanted, condition) => {
                backend.expire(&self.at(*spot), *wanted, *condition).map(Answer::Expired)
            }
            Operation::InvalidateTag(spot, tag) => {
                backend.invalidate_tag(&self.at(*spot).scope, name(tag)).map(Answer::Count)
            }
            Operation::Invalidate(spot, pattern) => {
                let pattern = Glob::parse("pattern", pattern.as_bytes()).expect("it is a pattern");
                backend.invalidate(&self.at(*spot).space(), &pattern).map(Answer::Count)
            }
            Operation::Clear(spot) => backend.clear(&self.at(*spot).space()).map(Answer::Count),
            Operation::Keys(spot, prefix, limit) => {
                keys(backend, &self.at(*spot).space(), prefix, *limit).map(Answer::Keys)
            }
            Operation::Usage => items(backend).map(Answer::Items),
            Operation::RemovePlugin(plugin) => backend.remove_plugin(PLUGINS[*plugin]).map(Answer::Count),
        };
        told.unwrap_or_else(|error| Answer::Failed(error.kind()))
    }

    fn set(
        &self,
        side: usize,
        writes: &[(Spot, Wish)],
        at_once: bool,
    ) -> Vec<std::result::Result<(), (bool, bool)>> {
        let tags: Vec<Vec<Namespace<'_>>> =
            writes.iter().map(|(_, wish)| wish.tags.iter().map(|tag| name(tag)).collect()).collect();
        let drafts: Vec<(Address<'_>, Draft<'_>)> = writes
            .iter()
            .zip(&tags)
            .map(|((spot, wish), tags)| {
                let value = match &wish.value {
                    Owned::Bytes(bytes) => Value::Bytes(bytes),
                    Owned::Absent => Value::Absent,
                    Owned::Integer(_) => unreachable!("integers come of `incr`"),
                };
                let condition = self.condition(side, *spot, wish.condition);
                let (lifetime, spans, keep_lifetime) = (wish.lifetime, wish.spans, wish.keep);
                (self.at(*spot), Draft { value, lifetime, spans, keep_lifetime, tags, condition })
            })
            .collect();
        let written = if at_once {
            self.sides[side].set_many(&drafts)
        } else {
            drafts.iter().map(|(at, draft)| self.sides[side].set(at, draft)).collect()
        };
        let seen = |spot| self.versions.get(spot).map(|[seen, _]| seen[side]);
        let told = written.into_iter().zip(writes).map(|(written, (spot, _))| match written {
            Ok(Written::Done(0)) => panic!("a version is 0"),
            Ok(Written::Done(_)) => Ok(()),
            Ok(Written::Refused(there)) => Err((there != 0, Some(there) == seen(spot))),
            Err(error) => panic!("a write fails: {error}"),
        });
        told.collect()
    }

    fn condition(&self, side: usize, spot: Spot, condition: Condition) -> SetIf {
        match condition {
            Condition::Always => SetIf::Always,
            Condition::Absent => SetIf::Absent,
            Condition::Number(version) => SetIf::Version(version),
            Condition::Seen { before } => {
                let [seen, earlier] = self.versions.get(&spot).copied().unwrap_or_default();
                SetIf::Version(if before { earlier[side] } else { seen[side] })
            }
        }
    }

    /// Compares what lies there, and its versions.
    fn look(&mut self, spot: Spot) -> std::result::Result<(), String> {
        let at = self.at(spot);
        let [found, expected] = self.sides.map(|side| {
            let mut seen: Option<Seen> = None;
            let lent = side.get_whole(&at, &mut |whole| seen = Some(whole.item.into()));
            let is_given = seen.as_ref().is_some_and(|seen| seen.age != Age::Kept);
            assert_eq!(side.get(&at, &mut |_| ()).ok(), lent.as_ref().ok().map(|_| is_given));
            (lent.map_err(|error| error.kind()), seen)
        });
        let versions = [&found, &expected].map(|(_, seen)| seen.as_ref().map_or(0, |seen| seen.version));
        let plain = |(lent, seen): (std::result::Result<bool, ErrorKind>, Option<Seen>)| {
            (lent, seen.map(|seen| Seen { version: 0, ..seen }))
        };
        let kept = expected.1.as_ref().is_some_and(|seen| seen.age == Age::Kept);
        same(if kept { "it has kept" } else { "it has" }, &plain(found), &plain(expected))?;
        if versions == [0, 0] {
            return Ok(());
        }
        let known = self.versions.entry(spot).or_default();
        if known[0][1] == versions[1] {
            return same("it has version", &versions[0], &known[0][0]);
        }
        *known = [versions, known[0]];
        if self.used.len() >= MOST_USED {
            self.used.clear();
        }
        if versions[0] == 0 || !self.used.insert((spot, versions[0])) {
            return Err(format!("version {} is given to a key that has had it", versions[0]));
        }
        Ok(())
    }

    fn at(&self, (plugin, tenant, ns, key): Spot) -> Address<'_> {
        Address {
            scope: DataScope::new(
                plugin as u64 + 1,
                &self.ids[plugin],
                self.held[tenant].number(),
                self.tenants,
            ),
            namespace: name(ns),
            key: Key::parse("key", key.as_bytes()).expect("it is a key"),
        }
    }
}

fn name(name: &str) -> Namespace<'_> {
    Namespace::parse("name", name.as_bytes()).expect("it is a name")
}

/// All keys with the prefix, in order, out of pages.
fn keys(backend: &dyn CacheBackend, space: &Space<'_>, prefix: &str, limit: usize) -> Result<Vec<String>> {
    let (mut keys, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = backend.keys(space, prefix, cursor.as_deref(), limit)?;
        assert!(page.keys.len() <= limit, "{} keys on a page of {limit}", page.keys.len());
        keys.extend(page.keys);
        cursor = page.next;
        if cursor.is_none() {
            keys.sort_unstable();
            return Ok(keys);
        }
    }
}

/// How many items each plugin has; their bytes are every back end's own affair.
fn items(backend: &dyn CacheBackend) -> Result<BTreeMap<String, u64>> {
    let usage = backend.usage()?;
    let some = usage.into_iter().filter(|usage| usage.items > 0);
    Ok(some.map(|usage| (usage.plugin.to_string(), usage.items)).collect())
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> std::result::Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} {found:?}, and the model {expected:?}")) }
}

mod tests {
    use super::*;

    fn on(make: impl Fn(Arc<ManualClock>) -> Box<dyn CacheBackend>, seed: u64, turns: u64) {
        let clock = ManualClock::at(1_700_000_000_000);
        compare(&*make(Arc::clone(&clock)), &clock, seed, turns);
    }

    #[test]
    fn random_operations_on_memory_answer_what_the_model_answers() {
        let [(_, memory), ..] = BACKENDS;
        for seed in 0..4 {
            on(memory, seed, 10_000);
        }
    }

    #[test]
    fn random_operations_on_a_file_answer_what_the_model_answers() {
        let [_, (_, sqlite), _] = BACKENDS;
        on(sqlite, 1, 4_000);
    }

    #[test]
    fn random_operations_on_two_tiers_answer_what_the_model_answers() {
        let [.., (_, tiered)] = BACKENDS;
        on(tiered, 2, 4_000);
    }

    #[test]
    fn the_model_is_like_itself() {
        on(|clock| Box::new(Model::new(clock)), 1, 20_000);
    }

    /// A back end on whose clock no time passes keeps what has expired.
    #[test]
    fn a_difference_is_told_with_the_seed_and_what_was_done_last() {
        let clock = ManualClock::at(0);
        let late = Model::new(ManualClock::at(0));
        let told =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compare(&late, &clock, 7, 10_000)));
        let told = told.expect_err("they differ");
        let told = told.downcast_ref::<String>().expect("it is a text");
        assert!(told.starts_with("seed 7, turn "), "{told}");
        assert!(told.contains("and the model"), "{told}");
        assert!((2..=TOLD + 1).contains(&told.lines().count()), "{told}");
    }

    /// What `cargo xtask cache-model` runs: `PINTLE_CACHE_MODEL` is `BACKEND TURNS SEED`.
    #[test]
    #[ignore = "it takes minutes: cargo xtask cache-model"]
    fn full() {
        let asked = std::env::var("PINTLE_CACHE_MODEL").expect("cargo xtask cache-model sets it");
        let words: Vec<&str> = asked.split(' ').collect();
        let [wanted, turns, seed] = words[..] else { panic!("`{asked}` is not BACKEND TURNS SEED") };
        let (turns, seed) = (turns.parse().expect("a number"), seed.parse().expect("a number"));
        let known = BACKENDS.map(|(name, _)| name);
        let (_, make) = BACKENDS
            .into_iter()
            .find(|(name, _)| *name == wanted)
            .unwrap_or_else(|| panic!("there is no back end `{wanted}`: there are {known:?}"));
        on(make, seed, turns);
        println!("{wanted}: {turns} turns with seed {seed}, and no difference");
    }
}
