//! Files that are no plugin for this host, and folders that cannot be looked into. Each is skipped with its reason, and
//! the plugin beside it works.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use pintle::{Error, ErrorKind, PluginState};

use crate::rig::{Rig, Running, SOON, assert_says, file_at, folder_at, mode, plugin, relay};

/// Starts a host beside whose bad files lies one good plugin, which works.
fn start(rig: Rig) -> Running {
    let running = rig.with(&relay("a")).start();
    assert_eq!(running.started.enabled, ["a"], "{:?}", running.started);
    assert_eq!(running.ask("a.ping", "ping", "").expect("it works"), "pong");
    running
}

/// What was said of the file or folder of this name.
#[track_caller]
fn skipped<'r>(running: &'r Running, name: &str) -> &'r Error {
    let found = running.started.skipped.iter().find(|(path, _)| path.ends_with(name));
    &found.unwrap_or_else(|| panic!("{name} was not skipped: {:?}", running.started)).1
}

#[test]
fn a_library_truncated_at_every_percent_is_skipped() {
    let whole = fs::read(plugin("misbehave", &[])).expect("it was built");
    let mut rig = Rig::new();
    for percent in 0..100 {
        let cut = whole.len() * percent / 100;
        // Each under an id of its own, so that none is skipped only for being the second.
        let bytes = renamed(&whole[..cut], percent);
        rig = rig.with_file(&format!("cut-{percent:02}.so"), bytes);
    }
    let running = rig.with(&relay("a")).start();
    assert_eq!(running.ask("a.ping", "ping", "").expect("it works"), "pong");
    // The section headers come last, so that each piece lacks something that the host looks at.
    assert_eq!(running.started.enabled, ["a"], "a piece of a library was loaded");
    assert_eq!(running.started.skipped.len(), 100);
    for (path, error) in &running.started.skipped {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}: {error}", path.display());
    }
    let said = |percent: usize| skipped(&running, &format!("cut-{percent:02}.so")).to_string();
    assert!(said(0).contains("is empty: build or copy it again"), "{}", said(0));
    for percent in [1, 10, 50, 99] {
        assert!(said(percent).contains("is truncated: "), "{}", said(percent));
        assert!(said(percent).contains("build or copy it again"), "{}", said(percent));
    }
}

/// The bytes of a library with another id of the same length in its manifest and in its entry.
fn renamed(bytes: &[u8], number: usize) -> Vec<u8> {
    let (old, new) = (b"misbehave", format!("misbeh-{number:02}"));
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(old.len()) {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
    }
    bytes
}

#[test]
fn damaged_headers_are_looked_at_without_harm() {
    // Looked at only: what the system's loader makes of a damaged header is its own affair.
    let whole = fs::read(plugin("misbehave", &[])).expect("it was built");
    let headers = 64 + 56 * usize::from(u16::from_le_bytes([whole[56], whole[57]]));
    let mut rig = Rig::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for number in 0..100 {
        let mut bytes = renamed(&whole, number);
        bytes[next() % headers] ^= 1 << (next() % 8);
        rig = rig.with_file(&format!("damaged-{number:02}.so"), bytes);
    }
    let discovery = rig.build().available();
    assert_eq!(discovery.found.len() + discovery.skipped.len(), 100);
    for skipped in &discovery.skipped {
        assert!(skipped.error.to_string().contains("damaged-"), "{}", skipped.error);
        assert_ne!(skipped.error.kind(), ErrorKind::Internal, "{}", skipped.error);
    }
}

#[test]
fn what_is_no_library_of_this_machine_is_skipped_with_what_it_is() {
    let fixtures = pintle_test_support::repository().join("tests/fixtures");
    let foreign = |name: &str| fs::read(fixtures.join(name)).expect("it is checked in");
    let whole = fs::read(plugin("misbehave", &[])).expect("it was built");
    let patched = |changes: &[(usize, u8)]| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            bytes[*at] = *byte;
        }
        bytes
    };
    let cases: [(&str, Vec<u8>, ErrorKind, &[&str]); 12] = [
        ("empty.so", vec![], ErrorKind::InvalidArgument, &["empty.so is empty"]),
        (
            "text.so",
            b"#!/bin/sh\n".to_vec(),
            ErrorKind::InvalidArgument,
            &["text.so is not a library: not an ELF"],
        ),
        ("zeros.so", vec![0; 1 << 16], ErrorKind::InvalidArgument, &["zeros.so is not a library"]),
        ("magic.so", b"\x7fELF".to_vec(), ErrorKind::InvalidArgument, &["magic.so is damaged"]),
        (
            "arm.so",
            patched(&[(18, 183)]),
            ErrorKind::Unsupported,
            &["arm.so is for aarch64 linux (ELF), this host is x86_64 linux: rebuild it for x86_64 linux"],
        ),
        ("strange.so", patched(&[(18, 0xff), (19, 0xfe)]), ErrorKind::Unsupported, &["is for machine 0x"]),
        ("bsd.so", patched(&[(7, 9)]), ErrorKind::Unsupported, &["is for x86_64 freebsd (ELF)"]),
        (
            "object.so",
            patched(&[(16, 1)]),
            ErrorKind::InvalidArgument,
            &["not a shared library", "-shared -fPIC"],
        ),
        ("order.so", patched(&[(5, 9)]), ErrorKind::InvalidArgument, &["has no byte order"]),
        (
            "foreign.dll",
            foreign("foreign.dll"),
            ErrorKind::Unsupported,
            &["is for windows, by its name", "use the build for linux"],
        ),
        ("foreign.dylib", foreign("foreign.dylib"), ErrorKind::Unsupported, &["is for macos, by its name"]),
        (
            "dll.so",
            foreign("foreign.dll"),
            ErrorKind::Unsupported,
            &["is for x86_64 windows (PE), this host is x86_64 linux"],
        ),
    ];
    let mut rig = Rig::new();
    for (name, bytes, ..) in &cases {
        rig = rig.with_file(name, bytes);
    }
    let running = start(rig);
    assert_eq!(running.started.skipped.len(), cases.len());
    for (name, _, kind, parts) in &cases {
        assert_says(skipped(&running, name), *kind, parts);
        running.wait_for_line(&["warn", "skipped", name]);
    }
}

#[test]
fn links_in_a_circle_and_files_that_are_none_are_skipped() {
    let rig = Rig::new();
    let at = rig.plugins().to_owned();
    symlink("self.so", at.join("self.so")).expect("it can be made");
    symlink("there.so", at.join("back.so")).expect("it can be made");
    symlink("back.so", at.join("there.so")).expect("it can be made");
    symlink("nowhere", at.join("dangling.so")).expect("it can be made");
    symlink(&at, at.join("above")).expect("it can be made");
    symlink("round", at.join("round")).expect("it can be made");
    folder_at(&at.join("folder.so"));
    let made = Command::new("mkfifo").arg(at.join("pipe.so")).status().expect("mkfifo is there");
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(at.join("socket.so")).expect("it can be made");
    symlink("/dev/zero", at.join("device.so")).expect("it can be made");
    let running = start(rig);
    let (bad, unavailable) = (ErrorKind::InvalidArgument, ErrorKind::Unavailable);
    for (name, kind, part) in [
        ("self.so", unavailable, "cannot be read: Too many levels of symbolic links"),
        ("back.so", unavailable, "cannot be read: Too many levels of symbolic links"),
        ("there.so", unavailable, "cannot be read: Too many levels of symbolic links"),
        ("round", unavailable, "cannot be read: Too many levels of symbolic links"),
        ("dangling.so", ErrorKind::NotFound, "is not there"),
        ("folder.so", bad, "is a folder, not a file"),
        ("pipe.so", bad, "is not a regular file"),
        ("socket.so", bad, "is not a regular file"),
        ("device.so", bad, "is not a regular file"),
    ] {
        assert_says(skipped(&running, name), kind, &[name, part]);
    }
    assert_eq!(running.started.skipped.len(), 9, "{:?}", running.started);
}

#[test]
fn plugin_folders_that_cannot_be_looked_into_are_skipped_or_warned_of() {
    let mut rig = Rig::new();
    let at = rig.path("");
    file_at(&at.join("file"), "");
    symlink("round", at.join("round")).expect("it can be made");
    folder_at(&at.join("open"));
    mode(&at.join("open"), 0o777);
    let long = "x".repeat(300);
    for name in ["file", "file/below", "round", "open", "missing", long.as_str()] {
        rig.settings.plugins.push(at.join(name));
    }
    let running = start(rig);
    let (bad, unavailable) = (ErrorKind::InvalidArgument, ErrorKind::Unavailable);
    for (name, kind, part) in [
        ("file", bad, "is a file, not a plugin folder"),
        ("file/below", unavailable, "cannot be read: Not a directory"),
        ("round", unavailable, "cannot be read: Too many levels of symbolic links"),
        ("open", ErrorKind::Denied, "has mode 0777, so that every user may change it: chmod o-w"),
        (&long, ErrorKind::NotFound, "its name is too long"),
    ] {
        assert_says(skipped(&running, name), kind, &[part]);
    }
    assert_eq!(running.started.skipped.len(), 5, "{:?}", running.started);
    let [warning] = &running.started.warnings[..] else { panic!("{:?}", running.started) };
    let parts = &["missing is not there: make it, or take it out of the settings"];
    assert_says(warning, ErrorKind::NotFound, parts);
}

/// Root reads everything, so this host runs as somebody else, in a process of its own.
#[test]
fn what_this_user_may_not_read_is_skipped() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    mode(folder.path(), 0o755);
    let rig = Rig::new();
    let closed = folder.path().join("closed");
    folder_at(&closed);
    pintle_test_support::install(&relay("a"), &closed);
    mode(&closed, 0o300);
    drop(rig);
    let output =
        as_an_ordinary_user("files::a_host_that_may_not_read", &[("PINTLE_TEST_FOLDER", folder.path())]);
    mode(&closed, 0o755);
    let Some(output) = output else { return };
    assert!(output.contains("closed may not be read by this user"), "{output}");
    assert!(output.contains("Denied"), "{output}");
}

#[test]
#[ignore = "run by what_this_user_may_not_read_is_skipped, as another user"]
fn a_host_that_may_not_read() {
    let Some(folder) = std::env::var_os("PINTLE_TEST_FOLDER").map(PathBuf::from) else { return };
    let mut rig = Rig::new();
    rig.settings.plugins.push(folder.join("closed"));
    rig.settings.trust.allow_foreign = true;
    println!("{:?}", rig.start().started);
}

/// Runs one test of this program as a user who is not root, and gives what it printed. Says so loudly where that
/// cannot be done.
fn as_an_ordinary_user(test: &str, environment: &[(&str, &Path)]) -> Option<String> {
    let program = std::env::current_exe().expect("a test knows its program");
    let mut command = if is_root() {
        // Where the program lies, others may not be allowed to look. Copied by another process: a file that this one
        // has open for writing cannot be executed as long as a child forked meanwhile has it open as well.
        let copy = environment[0].1.join("program");
        let copied = Command::new("cp").arg(&program).arg(&copy).status().expect("cp is there");
        assert!(copied.success());
        mode(&copy, 0o755);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
        command
    } else {
        Command::new(program)
    };
    command.args(["--exact", test, "--ignored", "--nocapture"]).envs(environment.iter().copied());
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => {
            eprintln!("SKIPPED: nothing was tested as an ordinary user, setpriv does not start: {error}");
            None
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

#[test]
fn contract_86_files_that_strangers_may_write_are_refused_and_the_setting_makes_it_a_warning() {
    let rig = Rig::of(&plugin("misbehave", &[]));
    mode(&rig.plugins().join("misbehave.so"), 0o666);
    let running = start(rig);
    let parts = &["misbehave.so has mode 0666, so that every user may change it: chmod o-w"];
    assert_says(running.only_skipped(), ErrorKind::Denied, parts);

    let mut rig = Rig::of(&plugin("misbehave", &[]));
    mode(&rig.plugins().join("misbehave.so"), 0o666);
    rig.settings.trust.allow_foreign = true;
    let running = rig.start();
    assert_eq!(running.started.enabled, ["misbehave"]);
    assert_says(&running.started.warnings[0], ErrorKind::Denied, parts);
}

#[test]
fn contract_85_a_library_that_changes_after_it_was_found_is_judged_again() {
    let rig = Rig::of(&plugin("misbehave", &[])).with(&relay("a"));
    let path = rig.plugins().join("misbehave.so");
    let running = rig.start_well();
    running.unload("misbehave").expect("nothing of it fails");
    // Overwritten in place, as `cp` does it; then by something else altogether.
    fs::write(&path, fs::read(plugin("misbehave", &["-DVARIANT=LOAD_NULL"])).expect("it was built"))
        .expect("ours");
    let error = running.load("misbehave").expect_err("this one is wrong");
    assert_says(&error, ErrorKind::InvalidArgument, &["its `load` is null"]);
    fs::write(&path, "text").expect("ours");
    let error = running.load("misbehave").expect_err("this is no library");
    assert_says(&error, ErrorKind::NotFound, &["misbehave.so was skipped", "is not a library"]);
    fs::write(&path, fs::read(plugin("misbehave", &[])).expect("it was built")).expect("ours");
    running.enable("misbehave").expect("it is good again");
    assert_eq!(running.state("misbehave"), PluginState::Enabled);
    // While it is loaded, the original may be destroyed.
    fs::write(&path, "").expect("ours");
    assert_eq!(running.ask("misbehave.run", "run", "still there").expect("it works"), "still there");
    running.unload("misbehave").expect("nothing of it fails");
    assert!(running.wait_closed(SOON));
}
