//! One run: worlds, one after the other, each with a database of its own on both sides; statements until enough were compared.
//! A difference is made small and told with everything that leads to it.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use super::{
    bare::Bare,
    change::{change, define},
    courier::Courier,
    dice::Dice,
    expression::Writer,
    outcome::{Failure, Outcome, Plain, asks, difference, worked},
    refused::refused,
    step::{Does, Expects, How, Step, Value, quoted},
    world::World,
    wrong::wrong,
};

/// How many statements a world has, beside those that make it.
const EACH: usize = 150;

/// How many rows a statement may give in the host that is tried. One more must be TOO_LARGE.
pub(crate) const MOST_ROWS: u64 = 250;

const LAST_ID: &str = "SELECT last_insert_rowid()";

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) worlds: usize,
    /// Of random statements, those that make worlds not counted.
    pub(crate) statements: usize,
    pub(crate) queries: usize,
    pub(crate) changes: usize,
    pub(crate) definitions: usize,
    /// That SQLite ran to their end.
    pub(crate) succeeded: usize,
    /// Queries that gave rows.
    pub(crate) with_rows: usize,
    /// Changes that changed rows.
    pub(crate) with_changes: usize,
    pub(crate) rows: u64,
    /// Ended in TOO_LARGE or NOT_FOUND by the front's own rules.
    pub(crate) limited: usize,
    /// Denied or too large, as our lists say.
    pub(crate) refused: usize,
    /// Statements that fail on both sides, by code and text.
    pub(crate) failures: BTreeMap<String, usize>,
    pub(crate) differences: Vec<String>,
}

/// Compares about so many random statements.
pub(crate) fn run(statements: usize, seed: u64) -> Figures {
    let courier = Courier::start(MOST_ROWS);
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let mut figures = Figures::default();
    let mut world = 0;
    while figures.statements < statements && figures.differences.len() < 5 {
        world += 1;
        // A world depends on its own number alone, so that one can be made again by itself.
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(world));
        let (steps, made) = scene(&mut dice);
        let plains = plainly(&folder.path().join(format!("{world}.db")), &steps);
        let (steps, plains) = kept(steps, plains);
        let ours = courier.carry(&format!("w{world}"), &steps);
        figures.worlds += 1;
        for (at, ((step, ours), plain)) in steps.iter().zip(&ours).zip(&plains).enumerate() {
            if at >= made {
                figures.note(step, plain);
            }
            if let Some(wrong) = difference(step, ours, plain, MOST_ROWS) {
                let small = Shrink { courier: &courier, folder: folder.path(), tried: 0, world };
                let text = small.tell(&steps[..=at], &wrong);
                figures.differences.push(format!("seed {seed}, world {world}, step {at}:\n{text}"));
                // What comes behind may differ for that reason alone.
                break;
            }
        }
    }
    figures
}

/// What SQLite makes of the steps, in a new file.
fn plainly(path: &Path, steps: &[Step]) -> Vec<Plain> {
    let mut bare = Bare::open(path);
    steps.iter().map(|step| bare.run(step)).collect()
}

/// Without queries that take too long, and without those after the last id where the statement before inserted nothing: what it is
/// then, the connection says that somebody happens to have.
fn kept(steps: Vec<Step>, plains: Vec<Plain>) -> (Vec<Step>, Vec<Plain>) {
    let mut inserted = false;
    let both = steps.into_iter().zip(plains).filter(|(step, plain)| {
        let stopped = plain.failure.as_ref().is_some_and(Failure::stopped);
        let nobody_knows = step.sql == LAST_ID && !inserted;
        inserted = plain.last_insert_id != 0;
        !stopped && !nobody_knows
    });
    both.unzip()
}

/// The steps of a world, and how many of them make it.
fn scene(dice: &mut Dice) -> (Vec<Step>, usize) {
    let mut steps = Vec::new();
    let mut world = World::make(dice, &mut steps);
    let made = steps.len();
    let (mut depth, mut left) = (0, 0);
    while steps.len() < made + EACH || depth > 0 {
        if depth > 0 && left == 0 {
            steps.push(Step::transaction(if dice.chance(70) { How::Commit } else { How::Rollback }));
            depth -= 1;
            left = dice.roll(4);
            continue;
        }
        if dice.chance(if depth == 0 { 6 } else { 8 }) && depth < 3 {
            steps.push(Step::transaction(How::Begin));
            depth += 1;
            left = dice.between(2, 12);
            continue;
        }
        left = left.saturating_sub(1);
        if depth > 0
            && let Some(last) = steps.last()
            && last.does == Does::Insert
            && dice.chance(25)
        {
            // Of what was done last on the same connection.
            let asked = dice.one_of(&[LAST_ID, "SELECT changes()"]);
            steps.push(Step::new(Does::Read, asked.into()));
            continue;
        }
        let mut step = match dice.roll(100) {
            0..=62 => query(dice, &world),
            63..=66 => wrong(dice, &world),
            67..=93 => change(dice, &mut world),
            // What is undone by a rollback the world would not know of.
            94..=96 if depth == 0 => define(dice, &mut world),
            94..=97 => look(dice, &world),
            _ if depth == 0 => refused(dice),
            _ => query(dice, &world),
        };
        if step.expects == Expects::Same {
            step.how = match dice.roll(20) {
                0 if step.does == Does::Read => How::QueryOne,
                1 | 2 => How::Execute,
                3 if step.values.is_empty() => How::Script,
                _ => How::Query,
            };
            named(dice, &mut step);
        }
        steps.push(step);
    }
    // What lies in the tables at the end.
    for table in &world.tables {
        steps.push(Step::new(
            Does::Read,
            format!(
                "SELECT *, typeof({0}) FROM {1} LIMIT 200",
                quoted(&table.columns[0].name),
                quoted(&table.name)
            ),
        ));
    }
    steps.push(Step::new(Does::Read, "PRAGMA integrity_check".into()));
    steps.push(Step::new(Does::Read, "PRAGMA foreign_key_check".into()));
    (steps, made)
}

fn query(dice: &mut Dice, world: &World) -> Step {
    let plain = dice.chance(15);
    let mut writer = Writer { dice, world, values: Vec::new(), aliases: 0, subqueries: 2, plain };
    let sql = writer.query();
    Step { values: writer.values, ..Step::new(Does::Read, sql) }
}

/// A look at the schema.
fn look(dice: &mut Dice, world: &World) -> Step {
    let table = &world.tables[dice.roll(world.tables.len())];
    let name = quoted(&table.name);
    let sql = match dice.roll(8) {
        0 => format!("PRAGMA table_info({name})"),
        1 => format!("PRAGMA table_xinfo({name})"),
        2 => format!("PRAGMA foreign_key_list({name})"),
        3 => format!("PRAGMA index_list({name})"),
        4 => "PRAGMA user_version".into(),
        5 => "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'pintle\\_%' ESCAPE '\\' ORDER BY name".into(),
        6 => format!("EXPLAIN QUERY PLAN SELECT * FROM {name} WHERE {} > 3", quoted(&table.columns[0].name)),
        _ => format!("SELECT name, type FROM pragma_table_info('{}')", table.name.replace('\'', "''")),
    };
    Step::new(Does::Read, sql)
}

/// Now and then `$1` for `?1`: it has the same number, wherever it stands.
fn named(dice: &mut Dice, step: &mut Step) {
    if !step.values.is_empty() && dice.chance(15) {
        step.sql = step.sql.replace('?', "$");
    }
}

impl Figures {
    fn note(&mut self, step: &Step, plain: &Plain) {
        if step.expects != Expects::Same {
            self.statements += 1;
            self.refused += 1;
            return;
        }
        if matches!(step.how, How::Begin | How::Commit | How::Rollback) {
            return;
        }
        self.statements += 1;
        match step.does {
            Does::Read => self.queries += 1,
            Does::Insert | Does::Change => self.changes += 1,
            Does::Define => self.definitions += 1,
        }
        if worked(step, plain) {
            self.succeeded += 1;
            self.rows += plain.rows;
            self.with_rows += usize::from(step.does == Does::Read && plain.rows > 0);
            self.with_changes += usize::from(plain.changed > 0);
            let most = if step.how == How::QueryOne { 1 } else { MOST_ROWS };
            self.limited += usize::from(
                asks(step) && (plain.rows > most || step.how == How::QueryOne && plain.rows == 0),
            );
        } else if let Some(failure) = &plain.failure {
            // Names differ from world to world.
            let text: String =
                failure.text.split([':', '"']).next().unwrap_or_default().chars().take(60).collect();
            *self.failures.entry(format!("{} {text}", failure.code)).or_default() += 1;
        }
    }

    /// Shares in percent, and the rest.
    pub(crate) fn tell(&self) -> String {
        let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        let asked = self.statements - self.refused;
        let mut text = format!(
            "{} worlds, {} statements: {} queries, {} changes, {} definitions, {} refused as listed\n\
            {:.1} % of the rest succeeded; {:.1} % of the queries gave rows ({} in all), {:.1} % of the changes changed some; {} ended by limits of rows\n",
            self.worlds,
            self.statements,
            self.queries,
            self.changes,
            self.definitions,
            self.refused,
            share(self.succeeded, asked),
            share(self.with_rows, self.queries),
            self.rows,
            share(self.with_changes, self.changes),
            self.limited,
        );
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (failure, count) in failures.iter().take(25) {
            let _ = writeln!(text, "  {count:>5} failed alike: {failure}");
        }
        let _ = writeln!(text, "{} differences", self.differences.len());
        text
    }
}

/// A value, its beginning if it is long.
fn short(value: &Value) -> String {
    let text = format!("{value:?}");
    if text.chars().count() <= 80 { text } else { text.chars().take(80).chain("…".chars()).collect() }
}

/// Leaves steps out as long as the last one still differs.
struct Shrink<'a> {
    courier: &'a Courier,
    folder: &'a Path,
    tried: usize,
    world: u64,
}

impl Shrink<'_> {
    const TRIES: usize = 250;

    fn tell(mut self, steps: &[Step], first: &str) -> String {
        let mut steps = steps.to_vec();
        let mut wrong = first.to_owned();
        let mut piece = steps.len() / 2;
        while piece > 0 {
            let mut at = 0;
            while at + piece < steps.len() && self.tried < Self::TRIES {
                let less: Vec<Step> = [&steps[..at], &steps[at + piece..]].concat();
                match self.differs(&less) {
                    Some(still) => (steps, wrong) = (less, still),
                    None => at += piece,
                }
            }
            piece /= 2;
        }
        let mut text = String::new();
        for step in &steps {
            let sql: String = step.sql.chars().take(3_000).collect();
            let _ = writeln!(text, "  {:?}: {sql}", step.how);
            if !step.values.is_empty() {
                let values: Vec<_> = step.values.iter().map(short).collect();
                let _ = writeln!(text, "      with {}", values.join(", "));
            }
        }
        text + "ends in\n" + &wrong
    }

    fn differs(&mut self, steps: &[Step]) -> Option<String> {
        // Transactions that no longer fit are not tried.
        let mut depth = 0_i32;
        for step in steps {
            depth += match step.how {
                How::Begin => 1,
                How::Commit | How::Rollback => -1,
                _ => 0,
            };
            if depth < 0 {
                return None;
            }
        }
        self.tried += 1;
        let name = format!("s{}-{}", self.world, self.tried);
        let plains = plainly(&self.folder.join(format!("{name}.db")), steps);
        let ours: Vec<Outcome> = self.courier.carry(&name, steps);
        let (step, ours, plain) = (steps.last()?, ours.last()?, plains.last()?);
        difference(step, ours, plain, MOST_ROWS)
    }
}
