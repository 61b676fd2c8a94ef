//! Random operations on a store and on the plain model, until they differ: [`compare`].
//!
//! Every answer is compared, and after some operations all that is there. Numbers of jobs and runs may be others: they grow, and none
//! comes twice. `cargo test` runs some thousand turns; `full` runs millions of them.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{
        Overlap,
        store::{
            Claim, JobName, JobRecord, JobSpec, JobStore, Keeping, Lease, Missed, Of, OpenRun, RunEnd,
            RunKind, Timing, Wanted,
        },
    },
    conformance::{Bed, START},
    model::Model,
};
use crate::{
    error::{ErrorKind, Result},
    services::clock::{Clock, ManualClock},
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

    /// Most times one of the last ones, if there are any: others are gone.
    fn late(&mut self, many: usize) -> usize {
        if many == 0 || self.roll(20) == 0 {
            return self.roll(many as u64 + 1) as usize;
        }
        many - 1 - self.roll(many.min(12) as u64) as usize
    }
}

const PLUGINS: [&str; 3] = ["shop", "till", "application"];
const TENANTS: [&str; 3] = ["", "acme", "acm"];
const NAMES: [&str; 3] = ["a", "b", "é"];

type Asked = [Option<&'static str>; 3];

fn of([plugin, tenant, name]: Asked) -> Of<'static> {
    Of { plugin, tenant, name }
}

/// Jobs and runs by the order in which they came: one behind the last is one that never was.
#[derive(Clone, Debug)]
enum Operation {
    Put(JobName, JobSpec, Option<i64>, String, u64),
    Jobs(Asked),
    Forget(Asked),
    SetPaused(usize, bool, Option<i64>),
    Claim(usize, Wanted, i64),
    PassOver(usize, u64, Option<i64>),
    /// With a fence that is so much older.
    BeginAgain(usize, u64, i64),
    Postpone(usize, u64, i64),
    Finish(usize, u64, RunEnd, Vec<usize>, bool),
    OpenRuns(usize),
    TakeOver(usize, i64, i64),
    History(usize),
    Pass(u64),
    /// The wall clock is set, by so much.
    Set(i64),
    Restart,
}

/// What an operation is made after: how much there ever was, and what is there now.
struct Now {
    jobs: usize,
    runs: usize,
    /// By its order, when it is due.
    due: Vec<(usize, i64)>,
    ms: i64,
}

impl Now {
    fn operation(&self, dice: &mut Dice) -> Operation {
        let (job, run) = (dice.late(self.jobs), dice.late(self.runs));
        let stale = u64::from(dice.roll(10) == 0);
        match dice.roll(1_000) {
            0..170 => {
                let origin = match dice.roll(3) {
                    0 => dice.roll(30).to_string(),
                    _ => String::new(),
                };
                Operation::Put(
                    name(dice),
                    spec(dice),
                    self.time(dice),
                    origin,
                    dice.one_of(&[0, 3, 7, 99, 99]),
                )
            }
            170..200 => Operation::Jobs(asked(dice)),
            200..206 => Operation::Forget(asked(dice)),
            206..230 => Operation::SetPaused(job, dice.roll(3) == 0, self.time(dice)),
            230..480 => {
                let kind = dice.one_of(&[RunKind::Scheduled, RunKind::Missed, RunKind::Requested]);
                let (job, due_ms) = match self.due.len() {
                    0 => (job, self.time(dice)),
                    due => self
                        .due
                        .get(dice.roll(due as u64) as usize)
                        .map(|(job, ms)| (*job, Some(*ms)))
                        .expect("some"),
                };
                let due_ms = due_ms.unwrap_or(self.ms) + dice.one_of(&[0, 0, 0, 1, 5, -1]);
                let next_ms = dice.one_of(&[None, Some(due_ms + 1), Some(due_ms + 5), Some(due_ms + 60_000)]);
                let wanted = Wanted { job: 0, due_ms, kind, next_ms, passed_over: dice.one_of(&[0, 0, 3]) };
                Operation::Claim(job, wanted, self.ms + dice.one_of(&[1, 40, 1_000, 60_000]))
            }
            480..510 => Operation::PassOver(job, dice.roll(4), self.time(dice)),
            510..560 => Operation::BeginAgain(run, stale, self.ms + dice.one_of(&[0, 40, 9_000])),
            560..600 => Operation::Postpone(run, stale, self.ms + dice.one_of(&[0, 40, 9_000])),
            600..780 => {
                let error = dice.one_of(&[None, None, Some(ErrorKind::Timeout), Some(ErrorKind::Panic)]);
                let result = vec![dice.roll(256) as u8; dice.one_of(&[0, 5, 1_024, 1_025])];
                let end = RunEnd { ended_ms: self.ms, error, result };
                let follow = (0..dice.one_of(&[0, 0, 1, 3])).map(|_| dice.late(self.jobs)).collect();
                Operation::Finish(run, stale, end, follow, dice.roll(12) == 0)
            }
            780..820 => Operation::OpenRuns(dice.one_of(&[0, 1, 3, 1_000])),
            820..880 => {
                let now_ms = dice.one_of(&[self.ms, self.ms, i64::MAX]);
                Operation::TakeOver(run, now_ms, self.ms + dice.one_of(&[0, 40, 9_000]))
            }
            880..900 => Operation::History(job),
            900..908 => Operation::Set(dice.one_of(&[-600_000, -1_000, -10, -1, 1, 500, 60_000])),
            908 if dice.roll(3) == 0 => Operation::Restart,
            _ => Operation::Pass(dice.one_of(&[0, 1, 1, 5, 40, 1_000, 9_000, 60_000, 12 * 3_600_000])),
        }
    }

    fn time(&self, dice: &mut Dice) -> Option<i64> {
        (dice.roll(5) > 0).then(|| self.ms + dice.one_of(&[-60_000, -5, -1, 0, 0, 1, 5, 1_000, 60_000]))
    }
}

fn spec(dice: &mut Dice) -> JobSpec {
    let cron = |rule: &str, zone: &str| Timing::Cron { rule: rule.into(), zone: zone.into() };
    let timing = match dice.roll(6) {
        0 => cron("@daily", dice.one_of(&["", "Asia/Tokyo"])),
        1 => Timing::Once(dice.one_of(&[0, 5])),
        2 => Timing::After(dice.one_of(&NAMES).into()),
        // Often the same, so that it is the same as before.
        _ => Timing::Every(dice.one_of(&[5, 5, 5, 6])),
    };
    let keeping = match dice.roll(3) {
        0 => Keeping {
            overlap: dice.one_of(&[Overlap::Skip, Overlap::Queue, Overlap::Allow]),
            missed: dice.one_of(&[Missed::Once, Missed::Skip, Missed::All]),
            retries: dice.roll(101) as u32,
            jitter_ms: dice.roll(9) as i64,
            ..Keeping::default()
        },
        _ => Keeping::default(),
    };
    let bytes = dice.one_of(&[0, 0, 9, 9, 6_000]);
    JobSpec { timing, keeping, data: vec![dice.roll(2) as u8; bytes].into() }
}

fn name(dice: &mut Dice) -> JobName {
    let [plugin, tenant] = [dice.one_of(&PLUGINS), dice.one_of(&TENANTS)].map(Arc::from);
    JobName { plugin, tenant, name: dice.one_of(&NAMES).into() }
}

fn asked(dice: &mut Dice) -> Asked {
    let mut one = |all: &[&'static str]| (dice.roll(3) > 0).then(|| dice.one_of(all));
    [one(&PLUGINS), one(&TENANTS), one(&NAMES)]
}

/// Runs so many operations on a store that is empty, and on the model.
///
/// # Panics
///
/// They differ: with the seed and the last operations.
pub(super) fn compare<B: Bed>(seed: u64, turns: u64) {
    let clock = ManualClock::at(START);
    let bed = B::new(&clock);
    let stores = [Some(bed.store()), Some(Model::new(&clock, false).again() as _)];
    let (jobs, runs, last) = Default::default();
    let mut duel = Duel { bed: Some(bed), stores, clock, jobs, runs, last };
    let mut dice = Dice::new(seed);
    for turn in 0..turns {
        let done = duel.now().and_then(|now| duel.turn(now.operation(&mut dice)));
        let done = done.and_then(|()| if turn % 16 == 0 { duel.look() } else { Ok(()) });
        if let Err(difference) = done {
            let tell = |operation| format!("  {:.300}", format!("{operation:?}"));
            let last: Vec<String> = duel.last.iter().map(tell).collect();
            panic!("seed {seed}, turn {turn}: {difference}; the last operations:\n{}", last.join("\n"));
        }
    }
}

/// How many operations are told where a difference is found.
const TOLD: usize = 30;

/// A store and the model.
struct Duel<B> {
    bed: Option<B>,
    /// The store, the model. None while it begins anew.
    stores: [Option<Arc<dyn JobStore>>; 2],
    clock: Arc<ManualClock>,
    /// The numbers of each job that ever was.
    jobs: Vec<[u64; 2]>,
    /// The numbers of each run that ever was, and the fence of its last claim.
    runs: Vec<([u64; 2], u64)>,
    last: VecDeque<Operation>,
}

/// What is wrong.
type Verdict<T = ()> = Result<T, String>;

impl<B: Bed> Duel<B> {
    fn side(&self, side: usize) -> &dyn JobStore {
        &**self.stores[side].as_ref().expect("it is there between restarts")
    }

    /// Asks both.
    fn ask<T>(&self, ask: impl Fn(&dyn JobStore, usize) -> Result<T>) -> [Result<T, ErrorKind>; 2] {
        [0, 1].map(|side| ask(self.side(side), side).map_err(|error| error.kind()))
    }

    /// Asks both, and compares what they answer.
    fn both<T: PartialEq + Debug>(
        &self,
        what: &str,
        ask: impl Fn(&dyn JobStore, usize) -> Result<T>,
    ) -> Verdict<Result<T, ErrorKind>> {
        let [found, expected] = self.ask(ask);
        same(what, &found, &expected)?;
        Ok(found)
    }

    fn job(&self, at: usize, side: usize) -> u64 {
        self.jobs.get(at).map_or(u64::MAX >> 1, |numbers| numbers[side])
    }

    fn lease(&self, at: usize, older: u64, side: usize) -> Lease {
        let (run, fence) = self.runs.get(at).map_or((u64::MAX >> 1, 1), |(runs, fence)| (runs[side], *fence));
        Lease { run, fence: fence - older.min(fence) }
    }

    /// A record with the order of the job in the place of its number.
    fn plain(&self, side: usize, record: JobRecord) -> JobRecord {
        JobRecord { job: self.order(side, record.job), ..record }
    }

    fn order(&self, side: usize, job: u64) -> u64 {
        self.jobs.binary_search_by_key(&job, |numbers| numbers[side]).map_or(u64::MAX, |at| at as u64)
    }

    /// The same of a run.
    fn plain_run(&self, side: usize, run: OpenRun) -> OpenRun {
        let lease = Lease { run: self.run_order(side, run.lease.run), ..run.lease };
        OpenRun { job: self.order(side, run.job), lease, ..run }
    }

    fn run_order(&self, side: usize, run: u64) -> u64 {
        self.runs.binary_search_by_key(&run, |(numbers, _)| numbers[side]).map_or(u64::MAX, |at| at as u64)
    }

    fn now(&self) -> Verdict<Now> {
        let records = self.side(1).jobs(&Of::default()).map_err(|error| error.to_string())?;
        let due = |record: &JobRecord| Some((self.order(1, record.job) as usize, record.next_ms?));
        let due = records.iter().filter_map(due).collect();
        Ok(Now { jobs: self.jobs.len(), runs: self.runs.len(), due, ms: self.clock.now_ms() })
    }

    fn turn(&mut self, operation: Operation) -> Verdict {
        if self.last.len() == TOLD {
            self.last.pop_front();
        }
        self.last.push_back(operation.clone());
        match operation {
            Operation::Put(name, spec, next_ms, origin, most) => {
                self.put(&name, &spec, next_ms, &origin, most)
            }
            Operation::Jobs(asked) => self.records(asked),
            Operation::Forget(asked) => {
                self.both("it forgets", |store, _| store.forget(&of(asked))).map(drop)
            }
            Operation::SetPaused(job, paused, next_ms) => self
                .both("it pauses", |store, side| store.set_paused(self.job(job, side), paused, next_ms))
                .map(drop),
            Operation::Claim(job, wanted, until_ms) => self.claim(job, wanted, until_ms),
            Operation::PassOver(job, skipped, next_ms) => self
                .both("it passes over", |store, side| store.pass_over(self.job(job, side), skipped, next_ms))
                .map(drop),
            Operation::BeginAgain(run, older, until_ms) => self
                .both("it begins", |store, side| store.begin_again(&self.lease(run, older, side), until_ms))
                .map(drop),
            Operation::Postpone(run, older, until_ms) => self
                .both("it postpones", |store, side| store.postpone(&self.lease(run, older, side), until_ms))
                .map(drop),
            Operation::Finish(run, older, end, follow, once) => {
                let finish = |store: &dyn JobStore, side| {
                    let follow: Vec<u64> = follow.iter().map(|job| self.job(*job, side)).collect();
                    store.finish(&self.lease(run, older, side), &end, &follow, once)
                };
                self.both("it finishes", finish).map(drop)
            }
            Operation::OpenRuns(most) => self.open_runs(most),
            Operation::TakeOver(run, now_ms, until_ms) => {
                let take = |store: &dyn JobStore, side| {
                    let taken = store.take_over(self.lease(run, 0, side).run, now_ms, until_ms)?;
                    Ok(taken.map(|taken| self.plain_run(side, taken)))
                };
                if let Ok(Some(taken)) = self.both("it takes over", take)? {
                    self.runs[run].1 = taken.lease.fence;
                }
                Ok(())
            }
            Operation::History(job) => self.history(job),
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
                self.stores[0] = None;
                let bed = self.bed.take().expect("it is there between restarts").restart();
                self.stores[0] = Some(bed.store());
                self.bed = Some(bed);
                self.look()
            }
        }
    }

    fn put(
        &mut self,
        name: &JobName,
        spec: &JobSpec,
        next_ms: Option<i64>,
        origin: &str,
        most: u64,
    ) -> Verdict {
        let answers = self.ask(|store, _| store.put(name, spec, next_ms, origin, most));
        if let [Ok(Some(found)), Ok(Some(expected))] = &answers {
            let numbers = [found.job, expected.job];
            if !self.jobs.contains(&numbers) {
                grows(self.jobs.last().map_or(0, |last| last[0]), found.job)?;
                self.jobs.push(numbers);
            }
        }
        let mut side = 0..;
        let [found, expected] = answers.map(|answer| {
            let side = side.next().expect("there are two");
            answer.map(|record| record.map(|record| self.plain(side, record)))
        });
        same("it has put", &found, &expected)
    }

    fn claim(&mut self, job: usize, wanted: Wanted, until_ms: i64) -> Verdict {
        let now_ms = self.clock.now_ms();
        let claim = |store: &dyn JobStore, side| {
            store.claim(&Wanted { job: self.job(job, side), ..wanted }, now_ms, until_ms)
        };
        let mut answers = self.ask(claim);
        if let [Ok(Claim::Granted(found)), Ok(Claim::Granted(expected))] = &mut answers {
            grows(self.runs.last().map_or(0, |(numbers, _)| numbers[0]), found.run)?;
            self.runs.push(([found.run, expected.run], found.fence));
            (found.run, expected.run) = (0, 0);
        }
        same("it has answered the claim", &answers[0], &answers[1])
    }

    fn records(&self, asked: Asked) -> Verdict {
        let records = |store: &dyn JobStore, side| {
            let records = store.jobs(&of(asked))?;
            Ok(records.into_iter().map(|record| self.plain(side, record)).collect::<Vec<_>>())
        };
        self.both("there are", records).map(drop)
    }

    fn open_runs(&self, most: usize) -> Verdict {
        let open = |store: &dyn JobStore, side| {
            let open = store.open_runs(most)?;
            Ok(open.into_iter().map(|run| self.plain_run(side, run)).collect::<Vec<_>>())
        };
        self.both("these are open", open).map(drop)
    }

    fn history(&self, job: usize) -> Verdict {
        let history = |store: &dyn JobStore, side| {
            let mut history = store.history(self.job(job, side))?;
            history.iter_mut().for_each(|run| run.run = self.run_order(side, run.run));
            Ok(history)
        };
        self.both("its history is", history).map(drop)
    }

    /// Compares all that is there.
    fn look(&self) -> Verdict {
        self.records([None; 3])?;
        self.open_runs(usize::MAX)?;
        for record in self.side(1).jobs(&Of::default()).map_err(|error| error.to_string())? {
            self.history(self.order(1, record.job) as usize)?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what} {found:?}, and the model {expected:?}")) }
}

fn grows(last: u64, number: u64) -> Verdict {
    if number > last { Ok(()) } else { Err(format!("the number {number} comes after {last}")) }
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
            Self(Model::new(&ManualClock::at(START), false))
        }

        fn store(&self) -> Arc<dyn JobStore> {
            self.0.again()
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

    /// The full form: `PINTLE_JOBS_MODEL` is `STORE TURNS SEED`.
    #[test]
    #[ignore = "it takes minutes: cargo xtask jobs-model"]
    fn full() {
        let asked = std::env::var("PINTLE_JOBS_MODEL").expect("cargo xtask jobs-model sets it");
        let words: Vec<&str> = asked.split(' ').collect();
        let [store, turns, seed] = words[..] else { panic!("`{asked}` is not STORE TURNS SEED") };
        let (turns, seed) = (turns.parse().expect("a number"), seed.parse().expect("a number"));
        let begin = Instant::now();
        match store {
            "ledger" => compare::<OnLedger>(seed, turns),
            "model" => compare::<Model>(seed, turns),
            _ => panic!("there is no store `{store}`: there are ledger and model"),
        }
        let pace = turns as f64 / begin.elapsed().as_secs_f64();
        println!("{store}: {turns} turns with seed {seed}, and no difference; {pace:.0} a second");
    }
}
