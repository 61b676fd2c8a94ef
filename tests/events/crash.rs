//! What a crash of the process means for an event.

use std::{env, fs, process::Command};

use super::rig::{Place, all_ok, data_of, host, seen_until};

const FOLDER: &str = "PINTLE_TEST_FOLDER";
const EMITS: &str = "PINTLE_TEST_EMITS";

/// A host in a process of its own, which emits what it is told and waits for the event `well`.
#[test]
#[ignore = "part of the other"]
fn child() {
    let folder = env::var_os(FOLDER).expect("the other test says where");
    let toml =
        fs::read_to_string(std::path::Path::new(&folder).join("toml")).expect("the other test wrote it");
    let host = host(folder.as_ref(), &toml);
    let started = host.start();
    assert!(started.failed.is_empty(), "{started:?}");
    if let Ok(emits) = env::var(EMITS) {
        all_ok(&host, "", &emits);
    }
    let seen = seen_until(&host, |seen| seen.iter().any(|one| one.data == "well"));
    assert_eq!(data_of(&seen, "d"), ["well"]);
}

#[test]
fn events_33_a_crash_of_the_process_counts_as_an_attempt() {
    let place = Place::new("follow plugin.> d auto 1 3");
    fs::write(place.path().join("toml"), place.settings()).expect("it can be written");
    let run = |emits: Option<&str>| {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.args(["--exact", "--ignored", "--nocapture", "crash::child"]).env(FOLDER, place.path());
        if let Some(emits) = emits {
            command.env(EMITS, emits);
        }
        command.output().expect("it can be started")
    };
    for (at, emits) in [Some("emit a die-now k\nemit a well k"), None, None].into_iter().enumerate() {
        let ended = run(emits);
        assert!(!ended.status.success(), "attempt {at}: {ended:?}");
        let text =
            String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(!text.contains("panicked"), "attempt {at}: {text}");
    }
    // It was the last attempt: now it is a dead letter, and what waited behind it comes.
    let ended = run(None);
    assert!(ended.status.success(), "{ended:?}");
}
