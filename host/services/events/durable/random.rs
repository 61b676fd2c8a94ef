//! Random operations on a log and on the plain model, until they differ: [`compare`].
//!
//! Every answer is compared, and after some operations all that is there. Numbers of consumers and of dead letters may be others:
//! they come in the same order, and none comes twice. `cargo test` runs some thousand turns; `full` runs millions of them.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    conformance::{Bed, START},
    log::{
        Appended, ConsumerName, ConsumerReport, Dead, DeadLetter, Dedupe, EventLog, Extent, Logged, NewEvent,
        Of, Position, Retention, Retry, Settlement, Start,
    },
    model::Model,
};
use crate::{
    error::{ErrorKind, Result},
    services::{
        clock::{Clock, ManualClock},
        events::{Event, Extension, Topic},
    },
};

/// Numbers that are random enough, and the same each time: xorshift64*.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // It must not be 0, and seeds that are close together should not begin alike.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 and up, below `below`.
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len() as u64) as usize]
    }

    /// Mostly none.
    fn few(&mut self) -> u64 {
        let most = self.one_of(&[1, 1, 1, 2, 5]);
        self.roll(most + 1)
    }
}

const PLUGINS: [&str; 3] = ["shop", "till", "application"];
const TENANTS: [&str; 4] = ["", "acme", "zeta", "acm"];
const NAMES: [&str; 2] = ["all", "new"];

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<NewEvent>),
    Read(u64, Option<&'static str>, usize),
    Get(Vec<u64>),
    Join(ConsumerName, Start),
    /// Of the n-th consumer that ever was.
    Settle(usize, Settlement),
    Consumers(Asked),
    /// Behind the n-th, so many.
    DeadLetters(Asked, usize, usize),
    /// The n-th of those that are there.
    Replay(Vec<usize>),
    DropDead(Vec<usize>),
    Retain(Retention),
    Forget(Asked),
    Pass(u64),
    /// The wall clock is set, by so much.
    Set(i64),
    Restart,
}

type Asked = [Option<&'static str>; 3];

fn of([plugin, tenant, name]: Asked) -> Of<'static> {
    Of { plugin, tenant, name }
}

/// What an operation is made after: what is there now.
struct Now {
    extent: Extent,
    /// How many consumers there ever were.
    consumers: usize,
    /// Of those that are there.
    floors: BTreeMap<usize, u64>,
    dead: usize,
    ms: i64,
}

impl Now {
    /// A sequence, most times of an event that is there.
    fn sequence(&self, dice: &mut Dice) -> u64 {
        let Extent { first, last, .. } = self.extent;
        match dice.roll(12) {
            0 => dice.roll(last + 4),
            1 => dice.one_of(&[0, last, last + 1, u64::MAX >> 2]),
            _ => first + dice.roll((last + 1).saturating_sub(first).max(1)),
        }
    }

    fn operation(&self, dice: &mut Dice) -> Operation {
        match dice.roll(1_000) {
            0..270 => Operation::Append((0..1 + dice.few()).map(|_| event(dice)).collect()),
            270..370 => {
                let tenant = (dice.roll(3) > 0).then(|| dice.one_of(&TENANTS));
                Operation::Read(self.sequence(dice), tenant, dice.one_of(&[0, 1, 2, 5, 20, 1_000]))
            }
            370..420 => Operation::Get((0..dice.roll(6)).map(|_| self.sequence(dice)).collect()),
            420..500 => Operation::Join(name(dice), self.start(dice)),
            500..720 if self.consumers > 0 => {
                // The last ones more often: others are gone.
                let back = dice.roll(self.consumers.min(12) as u64) as usize;
                let at = if dice.roll(20) == 0 {
                    dice.roll(self.consumers as u64) as usize
                } else {
                    self.consumers - 1 - back
                };
                Operation::Settle(at, self.settlement(dice, at))
            }
            720..750 => Operation::Consumers(asked(dice)),
            750..790 => {
                let after = dice.roll(self.dead as u64 + 1) as usize;
                Operation::DeadLetters(asked(dice), after, dice.one_of(&[0, 1, 3, 1_000]))
            }
            790..820 => Operation::Replay(self.some_dead(dice)),
            // Some go at once, so that there are never many.
            820..825 => Operation::DropDead((0..self.dead).collect()),
            825..840 => Operation::DropDead(self.some_dead(dice)),
            840..880 => Operation::Retain(Retention {
                age_ms: dice.one_of(&[0, 1_000, 60_000, 600_000, 1 << 50]),
                bytes: dice.one_of(&[0, 300, 2_000, 20_000, u64::MAX]),
                dedupe_ms: dice.one_of(&[0, 1_000, 60_000, 600_000, 1 << 50]),
            }),
            880..886 => Operation::Forget(asked(dice)),
            886..896 => Operation::Set(dice.one_of(&[-600_000, -1_000, -10, -1, 1, 500, 60_000])),
            896 if dice.roll(3) == 0 => Operation::Restart,
            _ => Operation::Pass(dice.one_of(&[0, 1, 1, 5, 40, 1_000, 9_000, 60_000])),
        }
    }

    fn start(&self, dice: &mut Dice) -> Start {
        match dice.roll(5) {
            0 => Start::New,
            1 => Start::Sequence(self.sequence(dice)),
            2 | 3 => Start::Time(self.ms - dice.one_of(&[0, 1, 5, 40, 1_000, 60_000, 600_000, -10])),
            _ => Start::All,
        }
    }

    fn settlement(&self, dice: &mut Dice, consumer: usize) -> Settlement {
        let floor = self.floors.get(&consumer).copied().unwrap_or_default();
        let floor = match dice.roll(10) {
            0..5 => floor,
            5..8 => floor + dice.roll(4),
            8 => floor.saturating_sub(dice.roll(3)),
            _ => self.sequence(dice).min(self.extent.last),
        };
        let reason = ["", "é", "why"][dice.roll(3) as usize];
        let mut sequences = |many: u64| (0..many).map(|_| self.sequence(dice)).collect::<Vec<_>>();
        let [settled, retries, dead] = [4, 3, 2].map(&mut sequences);
        let [settled, retries, dead] = [settled, retries, dead].map(|mut all| {
            all.truncate(dice.few() as usize);
            all
        });
        let attempts = 1 + dice.roll(9) as u32;
        let due_ms = self.ms + dice.roll(9_000) as i64;
        let retry = |sequence| Retry { sequence, attempts, due_ms, reason: reason.into() };
        let die = |sequence| Dead { sequence, attempts, reason: reason.into() };
        let (retries, dead) = (retries.into_iter().map(retry), dead.into_iter().map(die));
        Settlement { floor, settled, retries: retries.collect(), dead: dead.collect() }
    }

    fn some_dead(&self, dice: &mut Dice) -> Vec<usize> {
        (0..1 + dice.few()).map(|_| dice.roll(self.dead as u64 + 2) as usize).collect()
    }
}

fn event(dice: &mut Dice) -> NewEvent {
    let extensions = match dice.roll(6) {
        0 => vec![
            ("b".to_owned(), Extension::Integer(dice.one_of(&[0, -7, i32::MAX]))),
            ("a".to_owned(), Extension::Boolean(dice.roll(2) == 0)),
            ("b".to_owned(), Extension::Text(dice.one_of(&["", "7", "\"é\\"]).to_owned())),
        ],
        _ => Vec::new(),
    };
    let bytes = match dice.roll(400) {
        0 => 400_000,
        1..10 => 6_000,
        _ => dice.roll(80),
    };
    let event = Event {
        id: (*dice.one_of(&["1", "2", "3", "4", "5", "é"])).into(),
        source: dice.one_of(&["/plugins/shop", "/plugins/till"]).into(),
        topic: Topic::parse(dice.one_of(&["plugin.shop.sold", "order", "a.b"])).expect("it is a topic"),
        subject: dice.one_of(&["", "shoe"]).to_owned(),
        content_type: dice.one_of(&["", "application/json", "text/plain"]).into(),
        key: dice.one_of(&["", "k", "customer 7"]).to_owned(),
        tenant: dice.one_of(&TENANTS).into(),
        time_ms: dice.roll(1 << 41) as i64,
        depth: dice.roll(65) as u32,
        data: vec![dice.roll(256) as u8; bytes as usize].into(),
        extensions,
    };
    let dedupe = match dice.roll(5) {
        0 | 1 => Dedupe::Never,
        2 => Dedupe::Known,
        _ => Dedupe::Within(dice.one_of(&[0, 1, 40, 1_000, 60_000, 600_000])),
    };
    NewEvent { event: Arc::new(event), dedupe }
}

fn name(dice: &mut Dice) -> ConsumerName {
    let [plugin, tenant] = [dice.one_of(&PLUGINS), dice.one_of(&TENANTS)].map(Arc::from);
    ConsumerName { plugin, tenant, name: dice.one_of(&NAMES).into() }
}

fn asked(dice: &mut Dice) -> Asked {
    let mut one = |all: &[&'static str]| (dice.roll(2) == 0).then(|| dice.one_of(all));
    [one(&PLUGINS), one(&TENANTS), one(&NAMES)]
}

/// Runs so many operations on a log that is empty, and on the model.
///
/// # Panics
///
/// They differ: with the seed and the last operations.
pub(super) fn compare<B: Bed>(seed: u64, turns: u64) {
    let clock = ManualClock::at(START);
    let bed = B::new(&clock);
    let logs = [Some(bed.log()), Some(Model::new(&clock).log())];
    let (consumers, letters, last) = Default::default();
    let mut duel = Duel { bed: Some(bed), logs, clock, consumers, letters, last_letter: 0, last };
    let mut dice = Dice::new(seed);
    let mut lap = Instant::now();
    for turn in 0..turns {
        if turn > 0 && turn % LAP == 0 {
            // Who ends a long run early has seen how far it came, and whether its pace holds.
            println!(
                "{turn} turns; the last {LAP} at {:.0} a second",
                LAP as f64 / lap.elapsed().as_secs_f64()
            );
            lap = Instant::now();
        }
        let done = duel.now().and_then(|now| duel.turn(now.operation(&mut dice)));
        let done = done.and_then(|()| if turn % 16 == 0 { duel.look() } else { Ok(()) });
        if let Err(difference) = done {
            let last: Vec<String> = duel.last.iter().map(|operation| format!("  {operation:?}")).collect();
            panic!("seed {seed}, turn {turn}: {difference}; the last operations:\n{}", last.join("\n"));
        }
    }
}

/// After how many turns a long run tells its pace.
const LAP: u64 = 20_000;

/// How many operations are told where a difference is found.
const TOLD: usize = 30;

/// A log and the model.
struct Duel<B> {
    bed: Option<B>,
    /// The log, the model. None while it begins anew.
    logs: [Option<Arc<dyn EventLog>>; 2],
    clock: Arc<ManualClock>,
    /// The numbers of each consumer that ever was.
    consumers: Vec<[u64; 2]>,
    /// The numbers of the dead letters that are there.
    letters: BTreeMap<u64, u64>,
    /// The highest number of a dead letter of the log that ever was.
    last_letter: u64,
    last: VecDeque<Operation>,
}

/// What is wrong.
type Verdict<T = ()> = Result<T, String>;

/// An event of the log as both sides should tell it.
type Plain = (u64, i64, Option<usize>, Arc<Event>);

impl<B: Bed> Duel<B> {
    fn side(&self, side: usize) -> &dyn EventLog {
        &**self.logs[side].as_ref().expect("it is there between restarts")
    }

    /// Asks both, and compares what they answer.
    fn both<T: PartialEq + Debug>(
        &self,
        what: &str,
        ask: impl Fn(&dyn EventLog, usize) -> Result<T>,
    ) -> Verdict<Result<T, ErrorKind>> {
        let [found, expected] = [0, 1].map(|side| ask(self.side(side), side).map_err(|error| error.kind()));
        same(what, &found, &expected)?;
        Ok(found)
    }

    fn now(&self) -> Verdict<Now> {
        let extent =
            self.both("its extent is", |log, _| log.extent())?.map_err(|kind| format!("{kind:?}"))?;
        let reports = self.side(1).consumers(&Of::default()).map_err(|error| error.to_string())?;
        let floors = reports.iter().map(|report| (self.nth(1, report.consumer), report.floor)).collect();
        let (consumers, dead) = (self.consumers.len(), self.letters.len());
        Ok(Now { extent, consumers, floors, dead, ms: self.clock.now_ms() })
    }

    fn turn(&mut self, operation: Operation) -> Verdict {
        if self.last.len() == TOLD {
            self.last.pop_front();
        }
        self.last.push_back(operation.clone());
        match operation {
            Operation::Append(events) => {
                let appended = self.both("it has appended", |log, _| log.append(&events))?;
                let whole = appended.is_ok_and(|all: Vec<Appended>| all.len() == events.len());
                if whole { Ok(()) } else { Err("it has not appended all".into()) }
            }
            Operation::Read(after, tenant, most) => {
                self.both("it reads", |log, side| Ok(self.drain(log, side, after, tenant, most))).map(drop)
            }
            Operation::Get(sequences) => {
                self.both("it gets", |log, side| Ok(self.plain(side, log.get(&sequences)?))).map(drop)
            }
            Operation::Join(name, start) => self.join(&name, start),
            Operation::Settle(consumer, settlement) => {
                let numbers = self.consumers[consumer];
                self.both("it settles", |log, side| log.settle(numbers[side], &settlement))?.ok();
                self.letters()
            }
            Operation::Consumers(asked) => self.reports(asked),
            Operation::DeadLetters(asked, after, most) => self.dead_letters(asked, after, most),
            Operation::Replay(which) => {
                let numbers = self.dead(&which);
                self.both("it replays", |log, side| Ok(self.plain(side, log.replay(&numbers[side])?)))?.ok();
                self.letters()
            }
            Operation::DropDead(which) => {
                let numbers = self.dead(&which);
                self.both("it drops", |log, side| log.drop_dead(&numbers[side]))?.ok();
                self.letters()
            }
            Operation::Retain(retention) => self.both("it clears", |log, _| clear(log, &retention)).map(drop),
            Operation::Forget(asked) => {
                self.both("it forgets", |log, _| log.forget(&of(asked)))?.ok();
                self.letters()
            }
            Operation::Pass(ms) => {
                self.clock.advance(Duration::from_millis(ms));
                Ok(())
            }
            Operation::Set(by) => {
                self.clock.set_wall(self.clock.now_ms() + by);
                Ok(())
            }
            Operation::Restart => {
                self.side(0).close();
                self.logs[0] = None;
                let bed = self.bed.take().expect("it is there between restarts").restart();
                self.logs[0] = Some(bed.log());
                self.bed = Some(bed);
                self.look()
            }
        }
    }

    /// So many events, out of pages.
    fn drain(
        &self,
        log: &dyn EventLog,
        side: usize,
        after: u64,
        tenant: Option<&str>,
        most: usize,
    ) -> Vec<Plain> {
        let (mut found, mut up_to) = (Vec::new(), after);
        while found.len() < most {
            let last = log.extent().expect("it answers").last;
            let page = log.read(up_to, tenant, most - found.len()).expect("it answers");
            let sequences = page.events.iter().map(|event| event.sequence);
            let ends = [up_to].into_iter().chain(sequences).collect::<Vec<_>>();
            assert!(ends.is_sorted_by(|one, next| one < next), "{page:?} after {up_to}");
            assert!(page.up_to >= ends[ends.len() - 1], "{page:?} after {up_to}");
            up_to = page.up_to;
            if page.events.is_empty() {
                assert!(up_to >= last, "one at least if there is one: {page:?} after {up_to}");
                break;
            }
            found.extend(page.events);
        }
        self.plain(side, found)
    }

    fn plain(&self, side: usize, events: Vec<Logged>) -> Vec<Plain> {
        let consumer = |number: u64| self.nth(side, number);
        events
            .into_iter()
            .map(|one| (one.sequence, one.logged_ms, one.only.map(consumer), one.event))
            .collect()
    }

    /// Which consumer has this number on one side. Numbers grow, and there are more and more consumers: it is not looked for one by one.
    fn nth(&self, side: usize, number: u64) -> usize {
        let at = self.consumers.binary_search_by_key(&number, |numbers| numbers[side]);
        at.expect("it is one that was there once")
    }

    fn join(&mut self, name: &ConsumerName, start: Start) -> Verdict {
        let answers = [0, 1].map(|side| self.side(side).join(name, start).expect("it answers"));
        let numbers = answers.each_ref().map(|position| position.consumer);
        if self.consumers.binary_search(&numbers).is_err() {
            let last = self.consumers.last().copied().unwrap_or_default();
            if numbers[0] <= last[0] || numbers[1] <= last[1] {
                return Err(format!("the consumers {numbers:?} come after {last:?}"));
            }
            self.consumers.push(numbers);
        }
        let [found, expected] = answers.map(|position| Position { consumer: 0, ..position });
        same("it joins at", &found, &expected)
    }

    fn reports(&self, asked: Asked) -> Verdict {
        let reports = |log: &dyn EventLog, side: usize| {
            let mut reports = log.consumers(&of(asked))?;
            for ConsumerReport { consumer, .. } in &mut reports {
                *consumer = self.nth(side, *consumer) as u64;
            }
            Ok(reports)
        };
        self.both("its consumers are", reports).map(drop)
    }

    /// The numbers on both sides of the n-th dead letters; such as there are not where there are not so many.
    fn dead(&self, which: &[usize]) -> [Vec<u64>; 2] {
        let behind = self.last_letter + 1_000;
        let pair =
            |at: &usize| self.letters.iter().nth(*at).map_or((behind, behind), |(log, model)| (*log, *model));
        let (log, model) = which.iter().map(pair).unzip();
        [log, model]
    }

    fn dead_letters(&self, asked: Asked, after: usize, most: usize) -> Verdict {
        let after = match after.checked_sub(1) {
            Some(before) => self.dead(&[before]).map(|numbers| numbers[0]),
            None => [0; 2],
        };
        let letters = |log: &dyn EventLog, side: usize| {
            let letters = log.dead_letters(&of(asked), after[side], most)?;
            Ok(letters.into_iter().map(|letter| self.told(side, letter)).collect::<Vec<_>>())
        };
        self.both("its dead letters are", letters).map(drop)
    }

    /// A dead letter as both sides should tell it.
    fn told(&self, side: usize, letter: DeadLetter) -> impl PartialEq + Debug + use<B> {
        let DeadLetter { number, consumer, event, sequence, attempts, reason, died_ms } = letter;
        let number = if side == 0 { self.letters.get(&number).copied() } else { Some(number) };
        (number, consumer, event, sequence, attempts, reason, died_ms)
    }

    /// Looks what dead letters there are now.
    fn letters(&mut self) -> Verdict {
        let all =
            |side: usize| self.side(side).dead_letters(&Of::default(), 0, usize::MAX).expect("it answers");
        let [found, expected] = [0, 1].map(all);
        same("so many have died", &found.len(), &expected.len())?;
        let before = std::mem::take(&mut self.letters);
        for (found, expected) in found.iter().zip(&expected) {
            let known = before.get(&found.number);
            if known.is_none() && found.number <= self.last_letter {
                return Err(format!(
                    "the number {} of a dead letter comes after {}",
                    found.number, self.last_letter
                ));
            }
            if known.is_some_and(|known| *known != expected.number) {
                return Err(format!("the dead letter {} is not what it was", found.number));
            }
            self.last_letter = self.last_letter.max(found.number);
            self.letters.insert(found.number, expected.number);
        }
        Ok(())
    }

    /// Compares all that is there.
    fn look(&self) -> Verdict {
        self.both("there are", |log, side| Ok(self.drain(log, side, 0, None, usize::MAX)))?.ok();
        self.reports([None; 3])?;
        self.dead_letters([None; 3], 0, usize::MAX)?;
        for report in self.side(1).consumers(&Of::default()).map_err(|error| error.to_string())? {
            let position =
                |log: &dyn EventLog, _| Ok(Position { consumer: 0, ..log.join(&report.name, Start::New)? });
            self.both("it stands at", position)?.ok();
        }
        Ok(())
    }
}

/// Clears all that may go; answers how many events, how many bytes, and who was late.
fn clear(log: &dyn EventLog, retention: &Retention) -> Result<(u64, u64, Vec<ConsumerName>)> {
    let (mut events, mut bytes, mut late) = (0, 0, Vec::new());
    loop {
        let cleared = log.retain(retention)?;
        (events, bytes) = (events + cleared.events, bytes + cleared.bytes);
        late.extend(cleared.late);
        if !cleared.more {
            late.sort();
            late.dedup();
            return Ok((events, bytes, late));
        }
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what} {found:?}, and the model {expected:?}")) }
}

mod tests {
    use super::{super::ledger::tests::OnLedger, *};

    #[test]
    fn random_operations_on_the_ledger_answer_what_the_model_answers() {
        for seed in 1..=3 {
            compare::<OnLedger>(seed, 3_000);
        }
    }

    #[test]
    fn the_model_is_like_itself() {
        compare::<Model>(4, 3_000);
    }

    /// The model, but on its clock no time passes.
    struct Late(Model);

    impl Bed for Late {
        fn new(_: &Arc<ManualClock>) -> Self {
            Self(Model::new(&ManualClock::at(START)))
        }

        fn log(&self) -> Arc<dyn EventLog> {
            self.0.log()
        }

        fn restart(self) -> Self {
            self
        }
    }

    #[test]
    fn a_difference_is_told_with_the_seed_and_what_was_done_last() {
        let told = std::panic::catch_unwind(|| compare::<Late>(7, 3_000));
        let told = told.expect_err("they differ");
        let told = told.downcast_ref::<String>().expect("it is a text");
        assert!(told.starts_with("seed 7, turn "), "{told}");
        assert!(told.contains("and the model"), "{told}");
        assert!((2..=TOLD + 1).contains(&told.lines().count()), "{told}");
    }

    /// The full form: `PINTLE_EVENTS_MODEL` is `LOG TURNS SEED`.
    #[test]
    #[ignore = "it takes minutes: cargo xtask events-model"]
    fn full() {
        let asked = std::env::var("PINTLE_EVENTS_MODEL").expect("cargo xtask events-model sets it");
        let words: Vec<&str> = asked.split(' ').collect();
        let [log, turns, seed] = words[..] else { panic!("`{asked}` is not LOG TURNS SEED") };
        let (turns, seed) = (turns.parse().expect("a number"), seed.parse().expect("a number"));
        let begin = Instant::now();
        match log {
            "ledger" => compare::<OnLedger>(seed, turns),
            "model" => compare::<Model>(seed, turns),
            _ => panic!("there is no log `{log}`: there are ledger and model"),
        }
        let pace = turns as f64 / begin.elapsed().as_secs_f64();
        println!("{log}: {turns} turns with seed {seed}, and no difference; {pace:.0} a second");
    }
}
