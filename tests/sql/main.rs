//! The same answers as SQLite itself: random statements over random schemas and data, through a plugin's table and through
//! bare rusqlite, row for row, type for type, name for name, error for error. And: memory stays flat, however many rows there
//! are.
//!
//! `world` makes schemas and data, `expression`, `query` and `change` statements, `wrong` those that SQLite refuses, `refused` those that our lists deny;
//! `courier` is the plugin's side (`courier.c`), `bare` SQLite's; `outcome` compares, `run` drives and makes a difference
//! small. `cargo xtask sql-differential` runs the full form.

mod bare;
mod change;
mod courier;
mod dice;
mod expression;
#[cfg(target_os = "linux")]
mod memory;
mod outcome;
mod query;
mod refused;
mod run;
mod step;
mod world;
mod wrong;

use std::env;

/// Names how many statements and which seed `full` takes: `20000 0`.
const FULL: &str = "PINTLE_SQL_DIFFERENTIAL";

#[test]
fn a_plugin_gets_the_same_answers_as_sqlite_itself() {
    compare(2_000, 1);
}

#[test]
#[ignore = "takes long: cargo xtask sql-differential runs it"]
fn full() {
    let words = env::var(FULL).unwrap_or_else(|_| "20000 0".into());
    let numbers: Vec<u64> = words.split(' ').map(|word| word.parse().expect("two numbers")).collect();
    let [statements, seed] = numbers[..] else { panic!("{FULL} has how many statements and a seed") };
    compare(statements as usize, seed);
}

fn compare(statements: usize, seed: u64) {
    let figures = run::run(statements, seed);
    println!("seed {seed}: {}", figures.tell());
    assert!(figures.differences.is_empty(), "{}", figures.differences.join("\n\n"));
    // Statements that fail, or that give nothing, would prove little.
    let asked = figures.statements - figures.refused;
    assert!(figures.succeeded * 100 > asked * 80, "too few succeed: {}", figures.tell());
    assert!(figures.with_rows * 100 > figures.queries * 60, "too few give rows: {}", figures.tell());
    assert!(figures.refused > 0 && figures.limited > 0, "the limits were not reached: {}", figures.tell());
}
