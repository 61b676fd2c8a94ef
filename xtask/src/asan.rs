//! `cargo xtask asan`: the suites that have plugins in C and C++, under AddressSanitizer and UndefinedBehaviorSanitizer.
//!
//! Only the plugins are compiled for it. The runtime is loaded before everything else, so that the heap of the whole
//! process is under watch, the host's included: a plugin that keeps what was lent to it is seen as well. The host's own
//! reads and writes are not; they are Rust's affair, and valgrind's. Before any suite, plugins with known faults must be
//! caught: a run that sees nothing would find nothing.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use pintle_test_support::{repository, samples};
use serde_json::Value;

use crate::{Failure, cargo_command, none};

/// The suites that run plugins in C and C++.
const SUITES: [&str; 7] = ["growth", "timer", "calls", "echo", "services", "bad_input", "lifecycle"];

/// Tests that cannot run like this: the suite, the test, the reason.
const LEFT_OUT: [(&str, &str, &str); 3] = [
    (
        "bad_input",
        "panics::contract_77_a_panic_in_a_call_reaches_its_caller_whatever_it_carries",
        "where dropping what a panic carries panics as well, the SDK forgets it on purpose: that is a leak",
    ),
    (
        "services",
        "database::escapes::database_7_and_database_8_bombs_end_in_time_and_within_their_room",
        "it looks at memory, and the heap of the sanitizer keeps what was freed",
    ),
    (
        "services",
        "database::escapes::database_7_a_text_that_grows_by_small_pieces_has_an_end",
        "the heap of the sanitizer copies a block each time that it grows: it would take minutes",
    ),
];

/// The suite of one plugin, which has the fault that this variable names.
const FAULTY: (&str, &str) = ("sanitizers", "PINTLE_FAULT");

/// Faults as `tests/sanitizers/faulty.c` numbers them: what the plugin does, and what must be said of it.
const FAULTS: [(&str, &str, &[&str]); 7] = [
    ("1", "writes past its heap block", &["heap-buffer-overflow", "in misbehave", "faulty.c:"]),
    ("2", "reads what it has freed", &["heap-use-after-free", "in misbehave", "faulty.c:"]),
    // Its library is gone when that is found, so that nobody knows the place any more.
    ("3", "loses memory", &["detected memory leaks", "2468 byte(s) in 2 object(s)"]),
    ("4", "reads the stack of a function that has returned", &["stack-use-after-return", "in misbehave"]),
    ("5", "overflows an int", &["signed integer overflow", "faulty.c:"]),
    (
        "6",
        "reads the data of an earlier event, which is the host's",
        &["heap-use-after-free", "in misbehave"],
    ),
    ("7", "frees a block twice", &["double-free", "in misbehave"]),
];

/// For every plugin in C and C++.
const FLAGS: &str = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer";

/// What a process ends with that a sanitizer has ended.
const CAUGHT: &str = "86";

/// Runs them; see the help of `xtask`.
pub(crate) fn run(options: &[String]) -> Result<(), Failure> {
    none(options)?;
    let begun = Instant::now();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(reason) => {
            println!("SKIPPED: {reason}, so nothing was looked at by AddressSanitizer");
            return Ok(());
        }
    };
    let programs = build()?;
    // Here, and not under watch.
    samples();
    let watch = Watch::begin(runtime, &programs)?;
    let mut failed = Vec::new();
    for suite in SUITES {
        let begun = Instant::now();
        let output = watch.suite(suite, &programs)?;
        let (fine, told) = (output.status.success(), words(&output));
        if !fine {
            println!("{told}");
            failed.push(suite);
        }
        let passed = told.lines().find_map(|line| line.strip_prefix("test result: ")).unwrap_or("no result");
        let passed = passed.split_once("; finished").map_or(passed, |(passed, _)| passed);
        let verdict = if fine { "" } else { "  FAILED" };
        println!("{suite:<10} {:>3} s  {passed}{verdict}", begun.elapsed().as_secs());
    }
    for (suite, test, reason) in LEFT_OUT {
        println!("left out: {suite} {test}: {reason}");
    }
    println!("{} suites in {} s", SUITES.len(), begun.elapsed().as_secs());
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("a sanitizer or a test failed, see above: {}", failed.join(", "))),
    }
}

/// The programs of the suites, by their names.
type Programs = Vec<(String, PathBuf)>;

/// Builds the suites, without flags: they, and the host in them, are the same as ever.
fn build() -> Result<Programs, Failure> {
    let mut cargo = cargo_command(&["test", "--quiet", "--no-run", "--message-format=json", "-p", "pintle"]);
    for suite in SUITES.iter().chain([&FAULTY.0]) {
        cargo.args(["--test", suite]);
    }
    let output = cargo.stderr(Stdio::inherit()).output();
    let output = output.map_err(|cause| format!("cargo does not start: {cause}"))?;
    if !output.status.success() {
        return Err(format!("the suites cannot be built: {}", output.status));
    }
    let messages = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let programs = messages.filter_map(|line| {
        let message: Value = serde_json::from_slice(line).ok()?;
        let program = PathBuf::from(message["executable"].as_str()?);
        Some((message["target"]["name"].as_str()?.to_owned(), program))
    });
    Ok(programs.collect())
}

/// A process in which sanitizers watch.
struct Watch {
    /// What is loaded before everything else.
    runtime: String,
    leaks: bool,
}

impl Watch {
    /// Holds the sanitizers to the faults that are known.
    fn begin(runtime: String, programs: &Programs) -> Result<Self, Failure> {
        let mut watch = Self { runtime, leaks: true };
        let mut sound = watch.faulty("0", programs)?;
        if words(&sound).contains("LeakSanitizer has encountered a fatal error") {
            // It stops the process as a debugger does, which containers may forbid.
            println!("SKIPPED: nobody may trace a process here, so nobody looks for leaks");
            watch.leaks = false;
            sound = watch.faulty("0", programs)?;
        }
        if !sound.status.success() {
            return Err(format!("a plugin without a fault is not let through\n{}", words(&sound)));
        }
        for (fault, what, expected) in FAULTS {
            if fault == "3" && !watch.leaks {
                continue;
            }
            let output = watch.faulty(fault, programs)?;
            let told = words(&output);
            if output.status.success() || !expected.iter().all(|text| told.contains(text)) {
                return Err(format!("a plugin that {what} is not caught with {expected:?}\n{told}"));
            }
            println!("caught: a plugin that {what}");
        }
        Ok(watch)
    }

    fn faulty(&self, fault: &str, programs: &Programs) -> Result<Output, Failure> {
        self.output(self.command(FAULTY.0, programs)?.env(FAULTY.1, fault))
    }

    fn suite(&self, suite: &str, programs: &Programs) -> Result<Output, Failure> {
        let mut command = self.command(suite, programs)?;
        // Without a test to be run it is about those that are skipped, whose names begin others' otherwise.
        command.arg("--exact");
        for (_, test, _) in LEFT_OUT.iter().filter(|(of, _, _)| *of == suite) {
            command.args(["--skip", test]);
        }
        self.output(&mut command)
    }

    fn command(&self, suite: &str, programs: &Programs) -> Result<Command, Failure> {
        let program = programs.iter().find(|(name, _)| name == suite);
        let (_, program) = program.ok_or_else(|| format!("cargo has built no suite {suite}"))?;
        let mut command = Command::new(program);
        let leaks = u8::from(self.leaks);
        command.current_dir(repository()).env("LD_PRELOAD", &self.runtime);
        command.env(
            "ASAN_OPTIONS",
            format!("detect_leaks={leaks}:detect_stack_use_after_return=1:halt_on_error=1:exitcode={CAUGHT}"),
        );
        command.env("UBSAN_OPTIONS", format!("print_stacktrace=1:halt_on_error=1:exitcode={CAUGHT}"));
        command.envs([("CC", "gcc"), ("CXX", "g++"), ("PINTLE_PLUGIN_FLAGS", FLAGS)]);
        // Rust keeps what it has read of a library to name the places in it, and a plugin that is unloaded leaves its
        // own behind: megabytes for each that panicked.
        command.env("RUST_BACKTRACE", "0");
        Ok(command)
    }

    fn output(&self, command: &mut Command) -> Result<Output, Failure> {
        let program = command.get_program().to_owned();
        let output = command.stdin(Stdio::null()).output();
        output.map_err(|cause| format!("{} does not start: {cause}", program.display()))
    }
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What must be loaded first: the runtime of gcc's sanitizers, and the library whose exceptions it hooks, which must be
/// there before it looks. Or why that is not possible.
fn runtime() -> Result<String, String> {
    let runtime = [("gcc", "libasan.so"), ("gcc", "libubsan.so"), ("g++", "libstdc++.so.6")];
    let found = runtime.map(|(compiler, library)| library_of(compiler, library));
    let mut paths = Vec::new();
    for path in found {
        paths.push(path?.display().to_string());
    }
    Ok(paths.join(" "))
}

/// Where a compiler has a library; some have a text there that says where.
fn library_of(compiler: &str, library: &str) -> Result<PathBuf, String> {
    let asked = Command::new(compiler).arg(format!("-print-file-name={library}")).output();
    let asked = asked.map_err(|_| format!("{compiler} is not there"))?;
    let path = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let missing = || format!("{compiler} has no {library}");
    // What it does not have it answers by the bare name.
    if !path.is_absolute() {
        return Err(missing());
    }
    let mut magic = [0; 4];
    let mut file = fs::File::open(&path).map_err(|_| missing())?;
    if file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF" {
        return Ok(path);
    }
    let text = fs::read_to_string(&path).map_err(|_| missing())?;
    let named = text.split_whitespace().find(|word| Path::new(word).is_absolute());
    named.map(PathBuf::from).ok_or_else(missing)
}
