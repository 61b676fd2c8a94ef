//! `cargo xtask fuzz`: the targets of `fuzz/`, under libFuzzer and, where it is there, AddressSanitizer.
//!
//! cargo-fuzz would do the same, and can be used on the folder; it is not needed. What the compiler is told here is what it
//! tells it. What is kept in `fuzz/corpus` is where each run begins; what a run finds beside it goes below the target folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pintle_test_support::repository;

use crate::{Failure, cargo_command};

const TARGETS: [&str; 2] = ["cache_key", "glob"];

/// What makes the compiler count which way each branch went, for libFuzzer to see.
const COVERAGE: &str = "--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs them; see the help of `xtask`.
pub(crate) fn run(options: &[String]) -> Result<(), Failure> {
    let (targets, seconds) = asked(options)?;
    let compiler = Compiler::found()?;
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let folder = folder.join("fuzz");
    build(&compiler, &folder)?;
    let mut failed = Vec::new();
    for target in targets {
        println!("{target}: {seconds} s");
        if !fuzz(&compiler, &folder, target, seconds)? {
            failed.push(target);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("libFuzzer has found something, see above: {}", failed.join(", "))),
    }
}

fn asked(options: &[String]) -> Result<(Vec<&'static str>, u64), Failure> {
    let (mut targets, mut seconds) = (TARGETS.to_vec(), 60);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().and_then(|number| number.parse().ok()).filter(|seconds| *seconds > 0);
            seconds = number.ok_or("`--seconds` takes a number")?;
            continue;
        }
        let target = TARGETS.into_iter().find(|target| target == word);
        targets =
            vec![target.ok_or_else(|| format!("`{word}` is no target: there are {}", TARGETS.join(", ")))?];
    }
    Ok((targets, seconds))
}

/// What the compiler at hand can do.
struct Compiler {
    /// The machine that it compiles for.
    host: String,
    /// AddressSanitizer's runtime is there.
    asan: bool,
}

impl Compiler {
    fn found() -> Result<Self, Failure> {
        let told = rustc(&["-vV"])?;
        let host = told.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
        let libraries = PathBuf::from(rustc(&["--print", "target-libdir"])?.trim());
        let asan = fs::read_dir(&libraries).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_rt.asan"))
        });
        if !asan {
            let libraries = libraries.display();
            println!(
                "SKIPPED: no AddressSanitizer in {libraries}, so nobody looks for wrong reads and writes"
            );
        }
        let cpp = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let there = Command::new(&cpp).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err(format!("libFuzzer is in C++, and `{cpp}` does not run: install g++, or set CXX"));
        }
        Ok(Self { host: host.to_owned(), asan })
    }
}

fn rustc(arguments: &[&str]) -> Result<String, Failure> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(arguments).output();
    let output = output.map_err(|cause| format!("rustc does not start: {cause}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn build(compiler: &Compiler, folder: &Path) -> Result<(), Failure> {
    let mut cargo =
        cargo_command(&["build", "--quiet", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target named, what runs while building is compiled without all this.
    cargo.args(["--target", &compiler.host]).arg("--target-dir").arg(folder);
    let sanitizer = if compiler.asan { " -Zsanitizer=address" } else { "" };
    // `-Z` is for nightly compilers; this makes one of any.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", format!("{COVERAGE}{sanitizer}"));
    let status = cargo.status().map_err(|cause| format!("cargo does not start: {cause}"))?;
    if status.success() { Ok(()) } else { Err(format!("the targets cannot be built: {status}")) }
}

/// Whether it found nothing.
fn fuzz(compiler: &Compiler, folder: &Path, target: &str, seconds: u64) -> Result<bool, Failure> {
    let program = folder.join(&compiler.host).join("release").join(target);
    let (found, artifacts) = (folder.join("corpus").join(target), folder.join("artifacts").join(target));
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).map_err(|cause| format!("cannot make {}: {cause}", folder.display()))?;
    }
    let status = Command::new(&program)
        .arg(&found)
        .arg(repository().join("fuzz/corpus").join(target))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([&format!("-max_total_time={seconds}"), "-max_len=4096", "-timeout=5"])
        .args(["-print_final_stats=1", "-verbosity=0"])
        .status();
    let status = status.map_err(|cause| format!("{} does not start: {cause}", program.display()))?;
    Ok(status.success())
}
