//! Data folders that are not as a host left them, and plugin folders that are somewhere else than one expects. What is
//! refused is named, and kept as it is.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use pintle_test_support::{install, samples};

use super::place::{Place, event};

const RUN: [&str; 7] = ["--plugins", "plugins", "--data", "data", "--until-idle", "--events", "in"];

/// A place whose data folder a host has used.
fn used() -> Place {
    let place = Place::with(&[samples().c("hello")]);
    place.write("in", event("1", "greet.you", "{}"));
    let ended = place.run(&RUN);
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{}", ended.stderr);
    place
}

/// Every file below a folder with what is in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").path())
    {
        if entry.is_dir() {
            found.insert(entry.clone(), Vec::new());
            found.extend(files(&entry));
        } else if entry.is_file() {
            found.insert(entry.clone(), fs::read(&entry).expect("it is ours"));
        }
    }
    found
}

/// What is done to a data folder, and what is said of it.
type Case = (&'static str, fn(&Path), &'static [&'static str]);

const UPDATE: &str = "update the host or use another data folder";

#[test]
fn a_data_folder_of_a_newer_version_is_refused_by_name_and_kept_byte_by_byte() {
    let cases: &[Case] = &[
        (
            "a newer ledger",
            |data| {
                let mut ledger = fs::read(data.join("pintle.db")).expect("it is there");
                // Where SQLite keeps what `PRAGMA user_version` tells.
                ledger[60..64].copy_from_slice(&7_i32.to_be_bytes());
                fs::write(data.join("pintle.db"), ledger).expect("it is ours");
            },
            &["data/pintle.db was written by a newer host: it has form 7, this host knows 1", UPDATE],
        ),
        (
            "a lock that says more",
            |data| {
                fs::write(data.join("pintle.lock"), "{\"host\":17,\"socket\":\"x\"}\n").expect("it is ours")
            },
            &[
                "data/pintle.lock was not written by this version of pintle",
                "update the host, or use another data folder",
            ],
        ),
        (
            "a lock that is another file",
            |data| {
                fs::write(data.join("diary"), "4 letters, and 2 more\n").expect("it is ours");
                fs::remove_file(data.join("pintle.lock")).expect("it is there");
                symlink("diary", data.join("pintle.lock")).expect("it can be made");
            },
            &["data/pintle.lock was not written by this version of pintle"],
        ),
        (
            "a lock of 10 MB",
            |data| fs::write(data.join("pintle.lock"), "1".repeat(10_000_000)).expect("it is ours"),
            &["data/pintle.lock was not written by this version of pintle"],
        ),
        (
            "a ledger that is a pipe",
            |data| {
                fs::rename(data.join("pintle.db"), data.join("moved")).expect("it is there");
                let made = Command::new("mkfifo").arg(data.join("pintle.db")).status();
                assert!(made.expect("mkfifo is there").success());
            },
            &["data/pintle.db cannot be used: ", "move it away"],
        ),
        (
            "a lock that is a pipe",
            |data| {
                fs::remove_file(data.join("pintle.lock")).expect("it is there");
                let made = Command::new("mkfifo").arg(data.join("pintle.lock")).status();
                assert!(made.expect("mkfifo is there").success());
            },
            &["data/pintle.lock cannot be used: it is not a file: move it away"],
        ),
    ];
    for (name, prepare, says) in cases {
        let place = used();
        let data = place.path("data");
        // What a newer version may keep here, and what somebody may have put here.
        fs::write(data.join("pintle.sock"), "").expect("it is ours");
        fs::create_dir_all(data.join("later/deep")).expect("it is ours");
        fs::write(data.join("later/deep/file"), "theirs").expect("it is ours");
        fs::write(data.join("staging/letter.txt"), "theirs").expect("it is ours");
        prepare(&data);
        let before = files(&data);
        for _ in 0..2 {
            let ended = Place::spawn(place.command(&RUN)).ended();
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{name}: {}", ended.stderr);
            let [said] = ended.said()[..] else { panic!("{name}: {}", ended.stderr) };
            assert!(says.iter().all(|part| said.contains(part)), "{name}: {said} does not say {says:?}");
        }
        let after = files(&data);
        let changed: Vec<_> = before.iter().filter(|(file, text)| after.get(*file) != Some(*text)).collect();
        // SQLite's index of a log, and a log that has nothing in it, come with every look at a ledger.
        let goes = |file: &Path, text: &[u8]| match file.extension().map(|end| end.to_string_lossy()) {
            Some(end) => end == "db-shm" || end == "db-wal" && text.is_empty(),
            None => false,
        };
        let made = after.iter().filter(|(file, text)| !before.contains_key(*file) && !goes(file, text));
        let made: Vec<_> = made.map(|(file, _)| file).collect();
        assert!(changed.is_empty() && made.is_empty(), "{name}: {changed:?} {made:?}");
    }
}

#[test]
fn what_lies_beside_the_files_of_a_host_is_kept_and_what_a_crash_left_is_mended() {
    let place = used();
    let data = place.path("data");
    fs::create_dir(data.join("staging/photos")).expect("it is ours");
    for (name, text) in
        [("notes.txt", "theirs"), ("staging/letter.txt", "theirs"), ("staging/photos/1-a.jpg", "theirs")]
    {
        fs::write(data.join(name), text).expect("it is ours");
    }
    let kept = files(&data);
    // Copies that a host has left, and its lock as a power failure leaves it.
    fs::write(data.join("staging/17-hello.so"), "left").expect("it is ours");
    fs::create_dir(data.join("staging/17.files")).expect("it is ours");
    fs::write(data.join("staging/17.files/page"), "left").expect("it is ours");
    for lock in ["", "4711\n", "4711", "\0\0\0\0\0", "12\n\0\0"] {
        fs::write(data.join("pintle.lock"), lock).expect("it is ours");
        let ended = place.run(&RUN);
        assert_eq!(ended.code, Some(0), "{lock:?}: {}", ended.stderr);
        assert!(kept == files(&data), "{lock:?}: {:?}", files(&data).keys());
    }
}

#[test]
fn plugin_and_data_folders_may_lie_anywhere_to_each_other() {
    for (plugins, data) in [
        (".", "."),
        ("plugins", "plugins"),
        ("plugins", "plugins/data"),
        ("data/plugins", "data"),
        ("a/../b", "b/./c"),
    ] {
        let place = Place::with(&[]);
        for folder in ["a", "b", "data", "data/plugins"] {
            place.folder(folder);
        }
        place.write("in", event("1", "greet.you", "{}").repeat(3));
        install(&samples().c("hello"), &place.path(plugins));
        // The second time there is what the first one has left.
        for _ in 0..2 {
            let given = [
                "--plugins",
                plugins,
                "--plugins",
                plugins,
                "--data",
                data,
                "--until-idle",
                "--events",
                "in",
            ];
            let ended = place.run(&given);
            assert_eq!(
                (ended.code, ended.stdout.lines().count()),
                (Some(0), 3),
                "{plugins} {data}: {}",
                ended.stderr
            );
            assert!(!ended.stderr.contains("\"warn\""), "{plugins} {data}: {}", ended.stderr);
        }
        assert!(place.path(plugins).join("hello.so").is_file(), "{plugins} {data}");
    }
}

#[test]
fn the_folder_of_copies_is_no_plugin_folder() {
    let place = used();
    let copies = place.path("data/staging");
    let plugin = install(&samples().c("hello"), &copies);
    let ended = place.run(&["--plugins", "data/staging", "--data", "data", "--until-idle"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let says = "data/staging is where a host keeps copies of its plugins: name the folder that the plugins themselves lie in";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert!(plugin.is_file(), "what somebody has put there is kept");
}
