//! Random operations on a back end and on the plain model, until they differ: [`compare`].
//!
//! Every answer is compared, and after each operation what lies under the keys that it touched. Only versions may be other
//! numbers: they are in the same order, and none is given twice. What has expired a back end may sweep when it likes: it may
//! tell of it or not, and count it for a moment. `cargo test` runs some ten thousand turns; `cargo xtask storage-model` runs
//! `full`, millions of them.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    fmt::{self, Debug},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Action, Batch, Change, ChangeKind, Info, Lifetime, MOST_STEPS, Outcome, Quota, Quotas, Refused, Step,
    Storage, StorageBackend, Usage,
    conformance::{Bed, Scopes, key},
    model::{Model, REMEMBERED_MS},
};
use crate::{
    error::{ErrorKind, Result},
    services::clock::{Clock, ManualClock},
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

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len() as u64) as usize]
    }
}

/// Plugin and tenant. The last plugin has quotas and no lifetimes: what has expired may count for a moment.
const SCOPES: [(&str, &str); 6] = [("a", ""), ("a", "b"), ("ab", ""), ("A", "b"), ("q", ""), ("q", "acme")];
const PLAIN: usize = 4;

const LONG_KEY: &str = match str::from_utf8(&[b'k'; 512]) {
    Ok(key) => key,
    Err(_) => panic!("it is ASCII"),
};
const KEYS: [&str; 22] = [
    "a",
    "b",
    "ab",
    "a/",
    "a/b",
    "a/b/c",
    "A",
    "%",
    "%a",
    "_",
    "*",
    "é",
    "éa",
    "e\u{301}",
    "\u{10ffff}",
    "user/1",
    "user/10",
    "user/2",
    "user",
    "0123456789012345678901234567890123456789",
    "k",
    LONG_KEY,
];
const PREFIXES: [&str; 11] = ["", "a", "a/", "user", "%", "_", "é", "*", "k", "none", "\u{10ffff}"];
const VALUES: [&str; 9] =
    ["0", "7", "-3", "9223372036854775807", "-9223372036854775808", "x", "07", "", "+1"];

/// Where an item lies: a scope, and a key.
type Spot = (usize, &'static str);

#[derive(Clone, Debug)]
enum Operation {
    Get(Spot),
    Apply(usize, Vec<Wish>, Quotas),
    Clear(usize),
    Keys(usize, &'static str, u32),
    Changes(usize, &'static str, After, usize),
    Usage,
    Pass(u64),
    /// The wall clock is set, by so much.
    Set(i64),
    Restart,
}

/// A step, as far as it is the same on both sides.
#[derive(Clone, Debug)]
struct Wish {
    key: &'static str,
    does: Does,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Does {
    Set(Text, Lifetime),
    Remove,
    Incr(i64, Lifetime),
    Expire(Lifetime),
    Check,
}

/// A value, and how it is told.
#[derive(Clone)]
struct Text(Vec<u8>);

impl Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            short if short.len() <= 20 => write!(f, "{:?}", String::from_utf8_lossy(short)),
            long => write!(f, "{} bytes", long.len()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Always,
    Absent,
    /// The version that the item was seen with last, which may be gone; or the one before.
    Seen {
        before: bool,
    },
    /// No back end counts that far.
    Never,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Beginning,
    /// The n-th last of the versions that are remembered.
    Past(u64),
    Now,
    Future(u64),
}

impl Operation {
    fn random(dice: &mut Dice) -> Self {
        // The first ones more often, so that they are met again.
        let scope = dice.roll(6).min(dice.roll(9)) as usize;
        let spot = (scope, dice.one_of(&KEYS));
        match dice.roll(1_000) {
            0..100 => Self::Get(spot),
            100..720 => {
                let most = dice.one_of(&[1, 1, 1, 1, 2, 3, 5, 8, 20]);
                let most = if dice.roll(300) == 0 { MOST_STEPS as u64 + 1 } else { most };
                let steps = (0..1 + dice.roll(most)).map(|_| Wish::random(dice, scope < PLAIN)).collect();
                let quotas = if scope < PLAIN { Quotas::default() } else { quotas(dice) };
                Self::Apply(scope, steps, quotas)
            }
            720..726 => Self::Clear(scope),
            726..780 => Self::Keys(scope, dice.one_of(&PREFIXES), 1 + dice.roll(12) as u32),
            780..880 => {
                let after = match dice.roll(8) {
                    0 | 1 => After::Beginning,
                    2 => After::Now,
                    3 => After::Future(dice.one_of(&[1, 2, 1_000, 1 << 40, u64::MAX >> 1])),
                    _ => {
                        let far = dice.one_of(&[5, 50, 2_000]);
                        After::Past(dice.roll(far))
                    }
                };
                Self::Changes(scope, dice.one_of(&PREFIXES), after, 1 + dice.roll(30) as usize)
            }
            880..900 => Self::Usage,
            900..910 => Self::Set(dice.one_of(&[-3_600_000, -1_000, -10, -1, 1, 500, 60_000])),
            910 if dice.roll(6) == 0 => Self::Restart,
            _ => {
                let ms = dice.one_of(&[0, 1, 1, 2, 3, 5, 40, 1_000, 9_000, 60_000, 600_000]);
                // Some so long that removals are forgotten.
                let rare = if dice.roll(400) == 0 { dice.one_of(&[86_400_000, 400_000_000]) } else { 0 };
                Self::Pass(ms + rare)
            }
        }
    }

    /// The keys that it touches alone.
    fn spots(&self) -> BTreeSet<Spot> {
        match self {
            Self::Get(spot) => BTreeSet::from([*spot]),
            Self::Apply(scope, steps, _) => steps.iter().map(|step| (*scope, step.key)).collect(),
            Self::Clear(scope) => BTreeSet::from([(*scope, KEYS[0])]),
            _ => BTreeSet::new(),
        }
    }
}

impl Wish {
    fn random(dice: &mut Dice, lifetimes: bool) -> Self {
        let lifetime = |dice: &mut Dice| match dice.roll(10) {
            0 => Lifetime::Keep,
            1..4 if lifetimes => {
                Lifetime::Ms(dice.one_of(&[1, 1, 2, 5, 1_000, 60_000, 3_600_000, 90_000_000]))
            }
            _ => Lifetime::Endless,
        };
        let does = match dice.roll(100) {
            0..45 => {
                let value = match dice.roll(10) {
                    0..5 => dice.one_of(&VALUES).into(),
                    5 => vec![b'v'; dice.roll(6_000) as usize],
                    _ => vec![b'v'; dice.roll(40) as usize],
                };
                Does::Set(Text(value), lifetime(dice))
            }
            45..65 => Does::Remove,
            65..85 => {
                let delta = dice.one_of(&[0, 1, 1, -1, 40, -7, i64::MAX, i64::MIN]);
                Does::Incr(delta, lifetime(dice))
            }
            85..92 => match lifetime(dice) {
                Lifetime::Keep => Does::Expire(Lifetime::Endless),
                lifetime => Does::Expire(lifetime),
            },
            _ => Does::Check,
        };
        let condition = match dice.roll(12) {
            0 => Condition::Absent,
            1 if dice.roll(3) == 0 => Condition::Never,
            2 | 3 => Condition::Seen { before: false },
            4 if dice.roll(3) == 0 => Condition::Seen { before: true },
            _ if matches!(does, Does::Check) => Condition::Seen { before: false },
            _ => Condition::Always,
        };
        // A few keys more often, so that one is twice in a batch.
        let key = if dice.roll(2) == 0 { dice.one_of(&KEYS[..5]) } else { dice.one_of(&KEYS) };
        Self { key, does, condition }
    }

    fn step(&self, if_version: Option<u64>) -> Step<'_> {
        let action = match &self.does {
            Does::Set(Text(value), lifetime) => Action::Set { value, lifetime: *lifetime },
            Does::Remove => Action::Remove,
            Does::Incr(delta, lifetime) => Action::Incr { delta: *delta, lifetime: *lifetime },
            Does::Expire(lifetime) => Action::Expire { lifetime: *lifetime },
            Does::Check => Action::Check,
        };
        Step { key: key(self.key), if_version, action }
    }
}

fn quotas(dice: &mut Dice) -> Quotas {
    let mut quota = || Quota {
        items: dice.one_of(&[None, Some(0), Some(3), Some(6), Some(12)]),
        bytes: dice.one_of(&[None, None, Some(50), Some(700), Some(5_000)]),
    };
    Quotas { plugin: quota(), tenant: quota() }
}

/// Runs so many operations on a back end that is empty, and on the model.
///
/// # Panics
///
/// They differ: with the seed and the last operations.
pub(super) fn compare<B: Bed>(seed: u64, turns: u64) {
    let clock = ManualClock::at(START);
    let bed = B::new(&clock);
    let model = Model::new(Arc::clone(&clock) as _);
    let front = |backend| Storage::new(backend, LARGEST, Arc::clone(&clock) as _);
    let mut duel = Duel {
        storages: [Some(front(bed.backend())), Some(front(Box::new(model.clone())))],
        bed: Some(bed),
        model,
        clock: Arc::clone(&clock),
        latest: START,
        scopes: Scopes::of(&SCOPES),
        seen: HashMap::new(),
        past: VecDeque::new(),
        forgotten: 0,
        told_of_nothing: HashSet::new(),
        last: VecDeque::new(),
    };
    let mut dice = Dice::new(seed);
    for turn in 0..turns {
        if let Err(difference) = duel.turn(Operation::random(&mut dice)) {
            let last: Vec<String> = duel.last.iter().map(|operation| format!("  {operation:?}")).collect();
            panic!("seed {seed}, turn {turn}: {difference}; the last operations:\n{}", last.join("\n"));
        }
    }
}

const START: i64 = 1_700_000_000_000;

const LARGEST: usize = 5_000;

/// How many operations are told where a difference is found.
const TOLD: usize = 30;

/// A back end and the model.
struct Duel<B> {
    bed: Option<B>,
    /// The back end, the model. None while it begins anew.
    storages: [Option<Storage>; 2],
    model: Model,
    clock: Arc<ManualClock>,
    /// The latest that the wall clock has shown.
    latest: i64,
    scopes: Scopes,
    /// The versions that an item was last written with, on both sides, and those before.
    seen: HashMap<Spot, [Pair; 2]>,
    /// The versions of the last day, with their times; the newest is the last.
    past: VecDeque<(Pair, i64)>,
    /// The back end's newest version that is older than removals must be remembered.
    forgotten: u64,
    /// Scopes that were cleared where nothing but expired items was left: that may be told or not.
    told_of_nothing: HashSet<usize>,
    last: VecDeque<Operation>,
}

/// The back end's version, the model's.
type Pair = [u64; 2];

type Verdict = std::result::Result<(), String>;

impl<B: Bed> Duel<B> {
    /// One operation on both sides; what differs, if something does.
    fn turn(&mut self, operation: Operation) -> Verdict {
        self.last.push_back(operation.clone());
        if self.last.len() > TOLD {
            self.last.pop_front();
        }
        match &operation {
            Operation::Get(_) => {}
            Operation::Apply(scope, steps, quotas) => self.apply(*scope, steps, *quotas)?,
            Operation::Clear(scope) => self.clear(*scope)?,
            Operation::Keys(scope, prefix, limit) => {
                let [found, expected] = [0, 1].map(|side| self.keys(side, *scope, prefix, *limit));
                same("it lists", &found, &expected)?;
            }
            Operation::Changes(scope, prefix, after, limit) => {
                self.changes(*scope, prefix, *after, *limit)?
            }
            Operation::Usage => self.usage()?,
            Operation::Pass(ms) => self.clock.advance(Duration::from_millis(*ms)),
            Operation::Set(by) => self.set_clock(*by),
            Operation::Restart => self.restart(),
        }
        self.latest = self.clock.now_ms().max(self.latest);
        operation.spots().into_iter().try_for_each(|spot| self.look(spot))?;
        let [version, newest] = [self.side(0).version(), Ok(self.newest()[0])].map(Result::ok);
        if version >= newest { Ok(()) } else { Err(format!("version {version:?} is behind {newest:?}")) }
    }

    fn side(&self, side: usize) -> &Storage {
        self.storages[side].as_ref().expect("it has begun")
    }

    fn newest(&self) -> Pair {
        self.past.back().map_or([self.forgotten, 0], |(pair, _)| *pair)
    }

    fn apply(&mut self, scope: usize, wishes: &[Wish], quotas: Quotas) -> Verdict {
        let [found, expected] = [0, 1].map(|side| {
            let steps: Vec<_> =
                wishes.iter().map(|wish| wish.step(self.condition(side, (scope, wish.key), wish))).collect();
            let batch = Batch { steps: &steps, events: &[], jobs: &[], quotas };
            self.side(side).apply(&self.scopes.at(scope), &batch)
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let values = |done: &[Outcome]| -> Vec<_> {
                    done.iter().map(|done| (done.version != 0, done.value)).collect()
                };
                same("it answers", &values(&found), &values(&expected))?;
                for ((wish, found), expected) in wishes.iter().zip(&found).zip(&expected) {
                    self.written((scope, wish.key), [found.version, expected.version])?;
                }
                Ok(())
            }
            (Err(found), Err(expected)) => self.refused(scope, wishes, &found, &expected),
            (found, expected) => Err(format!("it answers {found:?}, and the model {expected:?}")),
        }
    }

    fn refused(&self, scope: usize, wishes: &[Wish], found: &Refused, expected: &Refused) -> Verdict {
        same("it refuses", &found.error.kind(), &expected.error.kind())?;
        if expected.error.kind() == ErrorKind::Quota {
            return Ok(());
        }
        same("it refuses step", &found.step, &expected.step)?;
        let Some((at, wish)) = expected.step.map(|at| (at, &wishes[at])) else { return Ok(()) };
        // What an earlier step of the batch would have written is nobody's version.
        if expected.error.kind() == ErrorKind::Conflict
            && wishes[..at].iter().all(|other| other.key != wish.key)
        {
            let known = self.seen.get(&(scope, wish.key)).map_or([0; 2], |[last, _]| *last);
            if expected.current != 0 {
                same("the model's conflict is with", &expected.current, &known[1])?;
                return same("the conflict is with", &found.current, &known[0]);
            }
            return same("the conflict is with", &found.current, &0);
        }
        Ok(())
    }

    fn condition(&self, side: usize, spot: Spot, wish: &Wish) -> Option<u64> {
        match wish.condition {
            Condition::Always => None,
            Condition::Absent => Some(0),
            Condition::Never => Some(u64::MAX),
            Condition::Seen { before } => {
                let [last, earlier] = self.seen.get(&spot).copied().unwrap_or_default();
                Some(if before { earlier[side] } else { last[side] })
            }
        }
    }

    /// Both sides have given a version.
    fn written(&mut self, spot: Spot, pair: Pair) -> Verdict {
        if pair == [0; 2] {
            return Ok(());
        }
        let newest = self.newest();
        if pair[0] <= newest[0] || pair[1] <= newest[1] {
            return Err(format!("versions {pair:?} come after {newest:?}"));
        }
        let known = self.seen.entry(spot).or_default();
        *known = [pair, known[0]];
        self.past.push_back((pair, self.clock.now_ms()));
        Ok(())
    }

    fn clear(&mut self, scope: usize) -> Verdict {
        let [found, expected] =
            [0, 1].map(|side| self.side(side).clear(&self.scopes.at(scope)).map_err(|error| error.kind()));
        if expected == Ok(0) {
            self.told_of_nothing.insert(scope);
        }
        same("it clears", &found, &expected)
    }

    /// All keys with the prefix, out of pages.
    fn keys(&self, side: usize, scope: usize, prefix: &str, limit: u32) -> Result<Vec<String>, ErrorKind> {
        let (mut keys, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.side(side).keys(&self.scopes.at(scope), prefix, &cursor, limit);
            let page = page.map_err(|error| error.kind())?;
            assert!(page.keys.len() <= limit as usize, "{} keys on a page of {limit}", page.keys.len());
            keys.extend(page.keys);
            match page.next {
                Some(next) => cursor = next,
                None => return Ok(keys),
            }
        }
    }

    fn changes(&mut self, scope: usize, prefix: &str, after: After, limit: usize) -> Verdict {
        let Some([after, of_model]) = self.after(after) else { return Ok(()) };
        // Not the oldest alone: where the clock was set back, what is newer may be older by the clock.
        if let Some(last) = self.past.iter().rposition(|(_, at)| at + REMEMBERED_MS <= self.latest) {
            self.forgotten = self.past.drain(..=last).next_back().map_or(0, |([version, _], _)| version);
        }
        // What has expired right behind that version, and is as old, may be forgotten too.
        let may_be_forgotten = after != 0 && after <= self.forgotten;
        let told = match self.drain(scope, prefix, after, limit) {
            Ok(told) => told,
            Err(ErrorKind::OutOfRange) if may_be_forgotten => return Ok(()),
            Err(kind) => {
                let version = self.side(0).version().map_err(|error| error.to_string())?;
                let is_right = kind == ErrorKind::OutOfRange && after > version;
                return if is_right { Ok(()) } else { Err(format!("changes after {after}: {kind:?}")) };
            }
        };
        if after > self.side(0).version().map_err(|error| error.to_string())? {
            return Err(format!("it tells changes after {after}, which is still to come"));
        }
        if of_model != 0 && of_model < self.model.forgotten() {
            return Ok(());
        }
        let expected = self.model.told(&self.scopes.at(scope), prefix, of_model);
        self.compare_told(scope, &told, &expected).map_err(|difference| {
            let expected: Vec<_> = expected.iter().map(|told| (&told.change, told.must)).collect();
            let now = self.clock.now_ms();
            format!("{difference}; at {now}, after {after} and {of_model}: it told {told:?}, and the model {expected:?}")
        })
    }

    fn after(&self, after: After) -> Option<Pair> {
        let now = [0, 1].map(|side| self.side(side).version().expect("it answers"));
        match after {
            After::Beginning => Some([0; 2]),
            After::Now => Some(now),
            After::Future(by) => Some(now.map(|version| version.saturating_add(by))),
            After::Past(back) => {
                let at = (self.past.len() as u64).checked_sub(back + 1)?;
                Some(self.past[at as usize].0)
            }
        }
    }

    /// All changes of the back end, out of pages.
    fn drain(
        &self,
        scope: usize,
        prefix: &str,
        mut after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, ErrorKind> {
        let version = self.side(0).version().map_err(|error| error.kind())?;
        let (mut all, begun) = (Vec::new(), if after == 0 { version } else { 0 });
        let mut first = true;
        loop {
            let (storage, scope) = (self.side(0), self.scopes.at(scope));
            let page = match first {
                true => storage.changes(&scope, prefix, after, limit),
                false => storage.changes_since(&scope, prefix, after, begun, limit),
            };
            first = false;
            let page = page.map_err(|error| error.kind())?;
            assert!(page.list.len() <= limit, "{} changes on a page of {limit}", page.list.len());
            let versions = [after].into_iter().chain(page.list.iter().map(|change| change.version));
            assert!(versions.is_sorted_by(|one, next| one < next), "{page:?} after {after}");
            assert!(page.list.last().is_none_or(|last| last.version <= page.up_to), "{page:?}");
            let ends = page.list.len() < limit;
            all.extend(page.list);
            if ends {
                return Ok(all);
            }
            after = page.up_to;
        }
    }

    fn compare_told(&self, scope: usize, told: &[Change], model: &[super::model::Told]) -> Verdict {
        let short = |change: &Change| (change.kind, Arc::clone(&change.key), change.at_ms);
        let mut model = model;
        let mut keys = HashSet::new();
        for change in told {
            if change.kind != ChangeKind::Cleared && !keys.insert(&change.key) {
                return Err(format!("it tells {:?} twice", change.key));
            }
            // When something expired is told, and where between the others, is the back end's affair.
            if change.kind == ChangeKind::Expired {
                let there = self.model.exists(&self.scopes.at(scope), key(&change.key));
                same("what has expired is there", &Ok(false), &there.map_err(|error| error.kind()))?;
                continue;
            }
            // Up to the next that must be told any may be left out: two clears of one moment look alike, and the last counts.
            let next = model.iter().position(|told| told.must).map_or(model.len(), |at| at + 1);
            let fits = model[..next].iter().rposition(|told| short(&told.change) == short(change));
            if fits.is_none() && change.kind == ChangeKind::Cleared && self.told_of_nothing.contains(&scope) {
                continue;
            }
            let expected = fits.or(next.checked_sub(1)).map(|at| &model[at].change);
            same("it tells", &Some(short(change)), &expected.map(short))?;
            model = &model[fits.map_or(0, |at| at + 1)..];
            self.compare_versions(scope, change, expected.map_or(0, |change| change.version))?;
        }
        let missing = model.iter().find(|told| told.must).map(|told| &told.change);
        if missing.is_some() { Err(format!("it does not tell {missing:?}")) } else { Ok(()) }
    }

    fn compare_versions(&self, scope: usize, change: &Change, of_model: u64) -> Verdict {
        let spot = KEYS.iter().find(|key| ***key == *change.key).map(|key| (scope, *key));
        let Some([last, _]) = spot.and_then(|spot| self.seen.get(&spot)) else { return Ok(()) };
        same("it tells versions", &[change.version, of_model], last)
    }

    fn usage(&self) -> Verdict {
        let [found, expected] = [0, 1].map(|side| self.side(side).usage().expect("it answers"));
        for (scope, (plugin, tenant)) in SCOPES.iter().enumerate() {
            let of = |all: &[Usage]| {
                let mut of_scope = all.iter().filter(|one| (&*one.plugin, &*one.tenant) == (plugin, tenant));
                let usage = of_scope.next().map_or((0, 0), |one| (one.items, one.bytes));
                assert!(of_scope.next().is_none(), "{plugin} {tenant} is there twice");
                usage
            };
            let (found, expected) = (of(&found), of(&expected));
            let alone = self.side(0).usage_of(&self.scopes.at(scope)).expect("it answers");
            same("alone it counts", &(alone.items, alone.bytes), &found)?;
            let (items, bytes) = self.model.lingering(plugin, tenant);
            let may_be = (expected.0..=expected.0 + items).contains(&found.0)
                && (expected.1..=expected.1 + bytes).contains(&found.1);
            if !may_be {
                return Err(format!("{plugin} {tenant} has {found:?}, and by the model {expected:?}"));
            }
        }
        Ok(())
    }

    /// Never so far back that what has expired, and is perhaps swept, would be there again.
    fn set_clock(&mut self, by: i64) {
        let wall = self.clock.now_ms() + by;
        if by > 0 || self.model.last_expiry().is_none_or(|last| last <= wall) {
            self.clock.set_wall(wall);
            // What expires before the next write counts from here.
            if let Some((newest, _)) = self.past.back().copied() {
                self.past.push_back((newest, wall));
            }
        }
    }

    fn restart(&mut self) {
        self.side(0).close();
        self.storages[0] = None;
        let bed = self.bed.take().expect("it is there between restarts").restart();
        self.storages[0] = Some(Storage::new(bed.backend(), LARGEST, Arc::clone(&self.clock) as _));
        self.bed = Some(bed);
    }

    /// Compares what lies there, and its versions.
    fn look(&self, spot: Spot) -> Verdict {
        let (scope, name) = spot;
        let found = [0, 1].map(|side| {
            let (storage, scope) = (self.side(side), self.scopes.at(scope));
            let found = storage.fetch(&scope, key(name)).map_err(|error| error.kind());
            let exists = storage.exists(&scope, key(name)).map_err(|error| error.kind());
            assert_eq!(exists, found.as_ref().map(Option::is_some).map_err(|kind| *kind), "{name}");
            found
        });
        let plain = |found: &Result<Option<(Vec<u8>, Info)>, ErrorKind>| {
            let found = found.clone()?;
            Ok::<_, ErrorKind>(found.map(|(value, info)| (value, Info { version: 0, ..info })))
        };
        same("it has", &plain(&found[0]), &plain(&found[1]))?;
        let version = |found: &Result<Option<(Vec<u8>, Info)>, _>| {
            found.as_ref().ok().and_then(|found| found.as_ref()).map_or(0, |(_, info)| info.version)
        };
        let pair = [version(&found[0]), version(&found[1])];
        let known = self.seen.get(&spot).map_or([0; 2], |[last, _]| *last);
        if pair == [0; 2] { Ok(()) } else { same("it has versions", &pair, &known) }
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what} {found:?}, and the model {expected:?}")) }
}

mod tests {
    use super::{super::ledger_tests::OnLedger, *};

    #[test]
    fn random_operations_on_the_ledger_answer_what_the_model_answers() {
        compare::<OnLedger>(1, 20_000);
    }

    #[test]
    fn the_model_is_like_itself() {
        compare::<Model>(2, 20_000);
    }

    /// The model, but what has expired stays, for on its clock no time passes.
    struct Late(Model);

    impl Bed for Late {
        fn new(_: &Arc<ManualClock>) -> Self {
            Self(Model::new(ManualClock::at(START) as _))
        }

        fn backend(&self) -> Box<dyn StorageBackend> {
            Box::new(self.0.clone())
        }

        fn restart(self) -> Self {
            self
        }
    }

    #[test]
    fn a_difference_is_told_with_the_seed_and_what_was_done_last() {
        let told = std::panic::catch_unwind(|| compare::<Late>(7, 10_000));
        let told = told.expect_err("they differ");
        let told = told.downcast_ref::<String>().expect("it is a text");
        assert!(told.starts_with("seed 7, turn "), "{told}");
        assert!(told.contains("and the model"), "{told}");
        assert!((2..=TOLD + 1).contains(&told.lines().count()), "{told}");
    }

    /// What `cargo xtask storage-model` runs: `PINTLE_STORAGE_MODEL` is `BACKEND TURNS SEED`.
    #[test]
    #[ignore = "it takes minutes: cargo xtask storage-model"]
    fn full() {
        let asked = std::env::var("PINTLE_STORAGE_MODEL").expect("cargo xtask storage-model sets it");
        let words: Vec<&str> = asked.split(' ').collect();
        let [backend, turns, seed] = words[..] else { panic!("`{asked}` is not BACKEND TURNS SEED") };
        let (turns, seed) = (turns.parse().expect("a number"), seed.parse().expect("a number"));
        let begin = Instant::now();
        match backend {
            "ledger" => compare::<OnLedger>(seed, turns),
            "model" => compare::<Model>(seed, turns),
            _ => panic!("there is no back end `{backend}`: there are ledger and model"),
        }
        let pace = turns as f64 / begin.elapsed().as_secs_f64();
        println!("{backend}: {turns} turns with seed {seed}, and no difference; {pace:.0} a second");
    }
}
