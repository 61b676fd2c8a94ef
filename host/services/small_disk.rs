//! A disk that really is full: a small one of a test's own, in a process that alone sees it. That process is this program
//! again, and runs one test, which is ignored otherwise.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Output},
};

/// Tells the child where the small disk is.
const PLACE: &str = "PINTLE_SMALL_DISK";

/// What the child prints once a write was refused for want of room.
const WAS_FULL: &str = "the disk was full";

/// Runs the test `child` in a process where [`place`] is a disk of `size`, as `mount` writes it. Where this user may not
/// mount one, it says so on stderr and does nothing.
///
/// # Panics
///
/// If the child fails, or ends without having said that `the disk was full`: with all that it said.
pub(crate) fn run(size: &str, child: &str) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let mounted = format!("mount -t tmpfs -o size={size} tmpfs \"$0\"");
    let here = |script: &str| -> Option<Output> {
        let program = env::current_exe().expect("this program lies somewhere");
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .args([folder.path(), &program])
            .env(PLACE, folder.path())
            .output()
            .ok()
    };
    if !here(&mounted).is_some_and(|tried| tried.status.success()) {
        let why = "this user may not mount a small disk of its own (unshare, tmpfs)";
        // Not eprint: the test runner would swallow it.
        let _ = io::stderr().write_all(format!("SKIPPED: {child}: {why}\n").as_bytes());
        return;
    }
    let script = format!("{mounted} && exec \"$1\" --ignored --exact {child} --nocapture");
    let output = here(&script).expect("it could be started before");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    let summary = told.lines().find(|line| line.contains(WAS_FULL));
    println!("{}", summary.unwrap_or_else(|| panic!("{told}\n{errors}")));
}

/// Where the small disk is, in the child; none where somebody else runs the ignored tests.
pub(crate) fn place() -> Option<PathBuf> {
    env::var_os(PLACE).map(PathBuf::from)
}
