//! `cargo xtask cron-differential`: cron rules against cronsim and croniter, by `xtask/cron_differential.py`.
//!
//! The packages go into a virtual environment below the target folder. Where there is no Python, or they cannot be had,
//! nothing is compared, and that is said.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pintle_test_support::{repository, target_dir};

use crate::{Failure, cargo, number};

/// What is compared with. The time zones are of the same release of the IANA database as chrono-tz has compiled in, and
/// a test in `host/services/scheduler/rule_tests.rs` says when that is another one.
const PACKAGES: [&str; 3] = ["cronsim==2.8", "croniter==7.0.0", "tzdata==2025.2"];

/// Compares; see the help of `xtask`.
pub(crate) fn run(options: &[String]) -> Result<(), Failure> {
    let (mut cases, mut seed) = (20_000_u64, 0_u64);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--cases" => cases = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            _ => return Err(format!("`{word}` is none of --cases and --seed")),
        }
    }
    let python = match environment() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("SKIPPED: cron rules are not compared with cronsim: {why}");
            return Ok(());
        }
    };
    let target = target_dir().to_string_lossy();
    cargo(&["build", "--quiet", "-p", "pintle-cli", "--target-dir", &target], &[])?;
    let program = env::current_exe().map_err(|cause| format!("this program has no place: {cause}"))?;
    let status = Command::new(python)
        .arg(repository().join("xtask/cron_differential.py"))
        .arg(program.with_file_name(format!("pintle{}", env::consts::EXE_SUFFIX)))
        .args([cases.to_string(), seed.to_string()])
        // The time zones of the package, not those of the machine.
        .env("PYTHONTZPATH", "")
        .status()
        .map_err(|cause| format!("Python does not start: {cause}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("there are differences that no class explains, see above".into())
    }
}

/// The Python of an environment that has the packages.
fn environment() -> Result<PathBuf, String> {
    let folder = target_dir().join("cron-differential");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if has_packages(&python) {
        return Ok(python);
    }
    quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .map_err(|why| format!("python3 makes no environment: {why}"))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    quiet(Command::new(&python).args(install).args(PACKAGES))
        .map_err(|why| format!("pip has no {}: {why}", PACKAGES.join(", ")))?;
    Ok(python)
}

fn has_packages(python: &Path) -> bool {
    let look = "import sys; from importlib.metadata import version\n\
                sys.exit(any(version(p.split('==')[0]) != p.split('==')[1] for p in sys.argv[1:]))";
    quiet(Command::new(python).args(["-c", look]).args(PACKAGES)).is_ok()
}

/// Runs it, and on failure gives the last line of what it said.
fn quiet(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|cause| cause.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().map_or_else(|| output.status.to_string(), str::to_owned))
}
