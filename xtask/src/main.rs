//! The chores of the project: `cargo xtask` lists them; `cargo demo` is one.
//!
//! One table below has each command's words, its help and its function. `demo`, `asan`, `fuzz` and
//! `cron_differential` have files of their own.

#![forbid(unsafe_code)]

mod asan;
mod cron_differential;
mod demo;
mod fuzz;

use std::{
    env, fs,
    process::{Command, ExitCode},
};

use pintle_test_support::{repository, samples};

/// Why a chore was not done: one sentence for whoever asked for it.
type Failure = String;

/// A chore.
struct Chore {
    name: &'static str,
    options: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

const CHORES: [Chore; 19] = [
    Chore {
        name: "asan",
        options: "",
        help: "runs the tests of plugins in C and C++ under AddressSanitizer",
        run: asan::run,
    },
    Chore {
        name: "cache-kill",
        options: "[--rounds N]",
        help: "kills a host that writes to its cache's file so many times, 100 by default, and looks at the file",
        run: cache_kill,
    },
    Chore {
        name: "cache-model",
        options: "[--turns N] [--seed S] [--backend NAME]",
        help: "runs random operations on a back end of the cache and on its model, ten million by default",
        run: cache_model,
    },
    Chore {
        name: "cron-differential",
        options: "[--cases N] [--seed S]",
        help: "compares random cron rules with cronsim in Python, 20000 by default, where Python and pip are there",
        run: cron_differential::run,
    },
    Chore {
        name: "cycles",
        options: "",
        help: "loads and unloads plugins some thousand times in one process and shows what memory did",
        run: cycles,
    },
    Chore {
        name: "demo",
        options: "[--seconds N | --forever]",
        help: "builds the command and the sample plugins and runs them, for 10 seconds by default",
        run: demo::run,
    },
    Chore {
        name: "events-kill",
        options: "[--rounds N] [--seed S]",
        help: "kills a host that publishes and delivers durable events so many times, 100 by default",
        run: events_kill,
    },
    Chore {
        name: "events-model",
        options: "[--turns N] [--seed S]",
        help: "runs random operations on the log of events and on its model, a million by default",
        run: events_model,
    },
    Chore {
        name: "events-routes",
        options: "[--pairs N] [--seed S]",
        help: "holds the routes of events against the rule for so many topics and patterns, ten million by default",
        run: events_routes,
    },
    Chore {
        name: "fuzz",
        options: "[TARGET] [--seconds N]",
        help: "feeds what takes any bytes with any bytes, each target for 60 seconds by default",
        run: fuzz::run,
    },
    Chore { name: "header", options: "", help: "writes include/pintle/plugin.h anew from abi/", run: header },
    Chore {
        name: "jobs-model",
        options: "[--turns N] [--seed S]",
        help: "runs random operations on the store of durable jobs and on its model, a million by default",
        run: jobs_model,
    },
    Chore {
        name: "million",
        options: "",
        help: "runs the command under a million events, optimised, and shows its pace and its memory",
        run: million,
    },
    Chore {
        name: "model",
        options: "[TIMES]",
        help: "runs each model of the lanes through so many interleavings, 50000 by default",
        run: model,
    },
    Chore {
        name: "samples",
        options: "",
        help: "builds every sample plugin and says where it is",
        run: list_samples,
    },
    Chore {
        name: "sql-differential",
        options: "[--queries N] [--seed S]",
        help: "runs random SQL through a plugin and through SQLite itself and compares the answers, 20000 by default",
        run: sql_differential,
    },
    Chore {
        name: "storage-kill",
        options: "[--rounds N] [--seed S] [--tmpfs] [--inject]",
        help: "kills a host that writes to its storage so many times, 200 by default, fills its disk, or has it fail",
        run: storage_kill,
    },
    Chore {
        name: "storage-model",
        options: "[--turns N] [--seed S] [--listing KEYS]",
        help: "runs random operations on the storage and on its model, five million by default, or lists many keys",
        run: storage_model,
    },
    Chore {
        name: "valgrind",
        options: "",
        help: "runs a host with plugins for a whole life cycle under valgrind and shows what it says",
        run: valgrind,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let (name, options) = match words.split_first() {
        Some((name, options)) if !matches!(name.as_str(), "help" | "-h" | "--help") => (name, options),
        _ => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
    };
    let done = match CHORES.iter().find(|chore| chore.name == name) {
        Some(chore) => (chore.run)(options),
        None => Err(format!("there is no chore called `{name}`\n\n{}", help())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let chores = CHORES.iter().map(|chore| {
        let usage = format!("{} {}", chore.name, chore.options);
        format!("  {usage:<32} {}\n", chore.help)
    });
    format!("cargo xtask CHORE\n\n{}", chores.collect::<String>())
}

fn header(options: &[String]) -> Result<(), Failure> {
    none(options)?;
    let path = repository().join("include/pintle/plugin.h");
    let before = fs::read(&path).unwrap_or_default();
    // build.rs writes it before the host is compiled, so a host that does not compile yet is no hindrance.
    let compiles = cargo(&["check", "--quiet", "-p", "pintle"], &[("PINTLE_UPDATE_HEADERS", "1")]);
    let after = fs::read(&path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))?;
    println!("{} {}", path.display(), if before == after { "was fresh" } else { "is written" });
    compiles
}

fn model(options: &[String]) -> Result<(), Failure> {
    let times = match options {
        [] => "50000",
        [times] if times.parse::<usize>().is_ok_and(|times| times > 0) => times,
        _ => return Err("it takes one number: how many interleavings".into()),
    };
    cargo(&["test", "--quiet", "--release", "-p", "pintle-model"], &[("PINTLE_MODEL", times)])
}

fn list_samples(options: &[String]) -> Result<(), Failure> {
    none(options)?;
    for (name, library) in samples().all() {
        println!("{name:<24} {}", library.display());
    }
    Ok(())
}

/// The full form of what `host/services/cache/sqlite/kill_tests.rs` does at every test run.
fn cache_kill(options: &[String]) -> Result<(), Failure> {
    let rounds = match options {
        [] => "100",
        [option, rounds] if option == "--rounds" && rounds.parse::<u64>().is_ok_and(|rounds| rounds > 0) => {
            rounds
        }
        _ => return Err("it takes `--rounds` and a number, and nothing else".into()),
    };
    cargo(
        &[
            "test",
            "--quiet",
            "-p",
            "pintle",
            "--lib",
            "services::cache::sqlite::kill_tests",
            "--",
            "--nocapture",
        ],
        &[("PINTLE_CACHE_KILL_ROUNDS", rounds)],
    )
}

/// The full form of what `host/services/cache/random.rs` does at every test run.
fn cache_model(options: &[String]) -> Result<(), Failure> {
    let (mut turns, mut seed, mut backend) = (10_000_000_u64, 0_u64, "memory");
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` is no option, or lacks its value"))?;
        let number = || value.parse().map_err(|_| format!("`{word}` takes a number, and `{value}` is none"));
        match word.as_str() {
            "--turns" => turns = number()?,
            "--seed" => seed = number()?,
            "--backend" => backend = value,
            _ => return Err(format!("`{word}` is none of --turns, --seed and --backend")),
        }
    }
    cargo(
        &[
            "test",
            "--quiet",
            "--release",
            "-p",
            "pintle",
            "--lib",
            "--",
            "--ignored",
            "--exact",
            "services::cache::random::tests::full",
            "--nocapture",
        ],
        &[("PINTLE_CACHE_MODEL", &format!("{backend} {turns} {seed}"))],
    )
}

/// The full form of what `tests/events/kill.rs` does at every test run.
fn events_kill(options: &[String]) -> Result<(), Failure> {
    let (mut rounds, mut seed) = (100_u64, 0_u64);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            _ => return Err(format!("`{word}` is none of --rounds and --seed")),
        }
    }
    cargo(
        &["test", "--quiet", "-p", "pintle", "--test", "events", "kill::", "--", "--nocapture"],
        &[("PINTLE_EVENTS_KILL", &format!("{rounds} {seed}"))],
    )
}

/// The full form of what `host/services/events/durable/random.rs` does at every test run.
fn events_model(options: &[String]) -> Result<(), Failure> {
    let (mut turns, mut seed) = (1_000_000_u64, 0_u64);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--turns" => turns = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            _ => return Err(format!("`{word}` is none of --turns and --seed")),
        }
    }
    let test = "services::events::durable::random::tests::full";
    let how = ["test", "--quiet", "--release", "-p", "pintle", "--lib", "--", "--ignored", "--exact"];
    cargo(
        &[&how[..], &[test, "--nocapture"]].concat(),
        &[("PINTLE_EVENTS_MODEL", &format!("ledger {turns} {seed}"))],
    )
}

/// The full form of what `host/services/events/routes_tests.rs` does at every test run.
fn events_routes(options: &[String]) -> Result<(), Failure> {
    let (mut pairs, mut seed) = (10_000_000_u64, 0_u64);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--pairs" => pairs = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            _ => return Err(format!("`{word}` is none of --pairs and --seed")),
        }
    }
    let test = "services::events::routes_tests::full";
    let how = ["test", "--quiet", "--release", "-p", "pintle", "--lib", "--", "--ignored", "--exact"];
    cargo(
        &[&how[..], &[test, "--nocapture"]].concat(),
        &[("PINTLE_EVENTS_ROUTES", &format!("{pairs} {seed}"))],
    )
}

/// The full form of what `host/services/scheduler/durable/random.rs` does at every test run.
fn jobs_model(options: &[String]) -> Result<(), Failure> {
    let (mut turns, mut seed) = (1_000_000_u64, 0_u64);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--turns" => turns = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            _ => return Err(format!("`{word}` is none of --turns and --seed")),
        }
    }
    let test = "services::scheduler::durable::random::tests::full";
    let how = ["test", "--quiet", "--release", "-p", "pintle", "--lib", "--", "--ignored", "--exact"];
    cargo(
        &[&how[..], &[test, "--nocapture"]].concat(),
        &[("PINTLE_JOBS_MODEL", &format!("ledger {turns} {seed}"))],
    )
}

/// The full form of what `tests/sql` does at every test run.
fn sql_differential(options: &[String]) -> Result<(), Failure> {
    let (mut queries, mut seed) = (20_000_u64, 0_u64);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--queries" => queries = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            _ => return Err(format!("`{word}` is none of --queries and --seed")),
        }
    }
    let how = ["test", "--quiet", "--release", "-p", "pintle", "--test", "sql", "--", "--ignored", "--exact"];
    cargo(
        &[&how[..], &["full", "--nocapture"]].concat(),
        &[("PINTLE_SQL_DIFFERENTIAL", &format!("{queries} {seed}"))],
    )
}

/// The full forms of what `host/services/storage/{kill_tests,full_disk_tests}.rs` do at every test run.
fn storage_kill(options: &[String]) -> Result<(), Failure> {
    let (mut rounds, mut seed, mut test) = (200_u64, 0_u64, "kill_tests::storage_13_after_a_kill");
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            "--tmpfs" => test = "full_disk_tests::storage_13_on_a_disk_of_a_mebibyte",
            "--inject" => test = "kill_tests::storage_13_where_the_disk_fails",
            _ => return Err(format!("`{word}` is none of --rounds, --seed, --tmpfs and --inject")),
        }
    }
    let test = format!("services::storage::{test}");
    cargo(
        &["test", "--quiet", "-p", "pintle", "--lib", &test, "--", "--nocapture"],
        &[("PINTLE_STORAGE_KILL", &format!("{rounds} {seed}"))],
    )
}

/// The full forms of what `host/services/storage/{random,listing_tests}.rs` do at every test run.
fn storage_model(options: &[String]) -> Result<(), Failure> {
    let (mut turns, mut seed, mut listing) = (5_000_000_u64, 0_u64, None);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--turns" => turns = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            "--listing" => listing = Some(number(word, words.next())?),
            _ => return Err(format!("`{word}` is none of --turns, --seed and --listing")),
        }
    }
    let (test, variable, value) = match listing {
        Some(keys) => ("listing_tests::full", "PINTLE_STORAGE_LISTING", keys.to_string()),
        None => ("random::tests::full", "PINTLE_STORAGE_MODEL", format!("ledger {turns} {seed}")),
    };
    let test = format!("services::storage::{test}");
    let how = ["test", "--quiet", "--release", "-p", "pintle", "--lib", "--", "--ignored", "--exact"];
    cargo(&[&how[..], &[&*test, "--nocapture"]].concat(), &[(variable, &value)])
}

fn number(option: &str, value: Option<&String>) -> Result<u64, Failure> {
    let value = value.ok_or_else(|| format!("`{option}` lacks its number"))?;
    value.parse().map_err(|_| format!("`{option}` takes a number, and `{value}` is none"))
}

/// The full form of what `tests/cycles.rs` does at every test run.
fn cycles(options: &[String]) -> Result<(), Failure> {
    none(options)?;
    println!("some thousand rounds, each in a process with its like: this takes minutes");
    cargo(
        &[
            "test",
            "--quiet",
            "-p",
            "pintle",
            "--test",
            "cycles",
            "--",
            "--ignored",
            "--exact",
            "full",
            "--nocapture",
        ],
        &[],
    )
}

/// The full form of what `cli/tests/run/million.rs` does at every test run.
fn million(options: &[String]) -> Result<(), Failure> {
    none(options)?;
    cargo(
        &[
            "test",
            "--quiet",
            "--release",
            "-p",
            "pintle-cli",
            "--test",
            "run",
            "--",
            "million",
            "--nocapture",
            "--test-threads=1",
        ],
        &[("PINTLE_MILLION", "1")],
    )
}

/// What `examples/rust/tests/greeter.rs` does at every test run, with valgrind's words in sight.
fn valgrind(options: &[String]) -> Result<(), Failure> {
    none(options)?;
    let there =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        return Err(
            "valgrind is not there: install it, with `apt-get install valgrind` or the like".to_owned()
        );
    }
    cargo(
        &[
            "test",
            "--quiet",
            "-p",
            "pintle-examples",
            "--test",
            "greeter",
            "--",
            "valgrind",
            "--nocapture",
            "--test-threads=1",
        ],
        &[],
    )
}

fn none(options: &[String]) -> Result<(), Failure> {
    match options {
        [] => Ok(()),
        [first, ..] => Err(format!("it takes no options, and `{first}` is one")),
    }
}

/// Runs cargo in the repository, its output in sight.
fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), Failure> {
    let status = cargo_command(arguments)
        .envs(variables.iter().copied())
        .status()
        .map_err(|cause| format!("cargo does not start: {cause}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed: {status}", arguments.join(" "))) }
}

/// Cargo in the repository.
fn cargo_command(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).args(arguments);
    cargo
}
