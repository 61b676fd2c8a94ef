//! Runs a compiler, and says in its own words why it failed.

use std::process::{Command, Output, Stdio};

/// Runs `command` and gives what it wrote to stdout.
///
/// # Panics
/// If it cannot be started or fails: with the command line and what it wrote to stderr.
pub(crate) fn run(command: &mut Command, purpose: &str) -> Vec<u8> {
    // What watches over a test (`cargo xtask asan`) is not to watch over its compilers.
    command.env_remove("LD_PRELOAD");
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap_or_else(|cause| {
        panic!("cannot {purpose}: {:?} does not start: {cause}", command.get_program())
    });
    assert!(
        status.success(),
        "cannot {purpose}: {status}\n{command:?}\n{}",
        String::from_utf8_lossy(&stderr)
    );
    stdout
}
