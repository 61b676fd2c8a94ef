//! Starts and runs with too little of what a system has: files that may be open, the size of files, room on the disk,
//! the right to write. Each ends with a clear error or works, and what was acknowledged is there afterwards.
//!
//! Where the disk of one's own cannot be had (`unshare`, tmpfs), that is said, and the limits of the process remain.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use pintle_test_support::{compile_c, samples};

use super::place::{Ended, PINTLE, Place, event};

const TO_THE_END: [&str; 7] =
    ["--plugins", "plugins", "--data", "disk/data", "--until-idle", "--events", "in"];

/// Keeps what `note.set` brings, and says so once it is on disk; says to `note.ask` whether it is there.
const NOTES: &str = r#"
#include <pintle/plugin.h>

PINTLE_MANIFEST({
  "id": "notes", "version": "0.1.0", "abi": "1.0",
  "services": { "storage": {}, "events": { "subscribe": ["note.>"], "publish": ["kept", "there"] } }
});

static const pintle_host *host;

static pintle_str key_of(const pintle_event *event) {
  pintle_str key;
  key.ptr = (const char *)event->data.ptr;
  key.len = event->data.len;
  return key;
}

static pintle_status on_set(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_status status = host->storage->set(ctx, key_of(event), event->data, NULL, NULL);
  (void)user, (void)reply;
  return status == PINTLE_OK ? host->events->emit(ctx, PINTLE_STR("kept"), event->data, NULL) : status;
}

static pintle_status on_ask(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  uint32_t there = 0;
  pintle_status status = host->storage->exists(ctx, key_of(event), &there);
  (void)user, (void)reply;
  return there ? host->events->emit(ctx, PINTLE_STR("there"), event->data, NULL) : status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_status status;
  *state = NULL;
  host = given;
  status = host->events->subscribe(ctx, PINTLE_STR("note.set"), on_set, NULL, NULL, NULL, NULL);
  if (status == PINTLE_OK)
    status = host->events->subscribe(ctx, PINTLE_STR("note.ask"), on_ask, NULL, NULL, NULL, NULL);
  return status;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("notes"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
"#;

/// How many notes a run is to keep.
const MANY: usize = 20;

fn place() -> Place {
    let place = Place::with(&[compile_c("notes", NOTES, &[]), samples().c("hello")]);
    place.folder("disk");
    place.write("pintle.toml", "[log]\nlevel = \"warn\"\n");
    let line = |topic: &str| (0..MANY).map(|n| event("1", topic, &n.to_string())).collect::<String>();
    place.write("in", line("note.set"));
    place.write("asked", line("note.ask"));
    place
}

/// The data of the events of this type.
fn told(ended: &Ended, kind: &str) -> BTreeSet<String> {
    let kind = format!("\"plugin.notes.{kind}\"");
    let lines = ended.stdout.lines().filter(|line| line.contains(&kind));
    lines.filter_map(|line| Some(line.split_once("\"data\":")?.1.trim_end_matches('}').to_owned())).collect()
}

/// It worked, or it ended with an error that says what is missing.
#[track_caller]
fn assert_clear(ended: &Ended, case: &str, missing: &[&str]) {
    let Ended { code, stdout, stderr } = ended;
    let works = *code == Some(0) && told(ended, "kept").len() == MANY;
    // That a handler fails is between the plugin and the log, and changes no status.
    let failed = matches!(code, Some(0 | 1 | 3 | 4)) && missing.iter().any(|text| stderr.contains(text));
    assert!(works || failed, "{case}: {code:?}\n{stdout}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{case}: {stderr}");
}

#[test]
fn with_few_files_it_works_or_says_that_more_are_needed() {
    let place = place();
    let with = |files: usize| {
        let ended = Place::spawn(place.after(&format!("ulimit -n {files}"), &TO_THE_END)).ended();
        let case = format!("{files} files");
        if ended.code == Some(127) {
            // The system's own loader has no file left for the command's libraries.
            assert!(files < 6 && ended.stderr.contains("shared libraries"), "{case}: {}", ended.stderr);
        } else {
            assert_clear(&ended, &case, &["(ulimit -n)"]);
        }
        ended.code
    };
    let codes: Vec<_> = (4..=20).chain([24, 28, 32]).map(with).collect();
    assert!(codes.windows(2).all(|two| two[0] != Some(0) || two[1] == Some(0)), "{codes:?}");
    assert!(codes.contains(&Some(1)) && codes.contains(&Some(3)), "too few kinds of failure: {codes:?}");
    assert_eq!(with(64), Some(0));
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_no_death() {
    let place = place();
    let mut kept = BTreeSet::new();
    let mut codes = Vec::new();
    // In blocks of 512 bytes: too small for the lock, the ledger, the copies of plugins, and finally large enough.
    for blocks in [0, 1, 8, 32, 63, 64, 65, 80, 96, 128, 160, 256, 8_192] {
        let ended = Place::spawn(place.after(&format!("ulimit -f {blocks}"), &TO_THE_END)).ended();
        assert_clear(&ended, &format!("{blocks} blocks"), &["(ulimit -f)", "File too large", "(ulimit -a)"]);
        kept.extend(told(&ended, "kept"));
        codes.push(ended.code);
        assert_all_there(&place, &kept, &format!("{blocks} blocks"));
    }
    assert_eq!((codes[0], codes[codes.len() - 1]), (Some(1), Some(0)), "{codes:?}");
}

/// With room again everything is there that was acknowledged.
#[track_caller]
fn assert_all_there(place: &Place, kept: &BTreeSet<String>, case: &str) {
    let mut arguments = TO_THE_END;
    arguments[TO_THE_END.len() - 1] = "asked";
    let ended = place.run(&arguments);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{case}, then with room: {}",
        ended.stdout
    );
    let there = told(&ended, "there");
    assert!(kept.is_subset(&there), "{case}: {kept:?} were kept, {there:?} are there");
}

/// A small disk for the commands that follow, which nobody else sees.
fn small_disk(options: &str) -> String {
    format!("mount -t tmpfs -o {options} tmpfs disk || exit 99")
}

/// Runs lines of a shell where the user may mount, if such a place can be had.
fn where_one_may_mount(place: &Place, lines: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", lines, PINTLE]);
    command.current_dir(place.path(""));
    command
}

#[test]
fn on_a_disk_that_is_full_at_any_step_it_ends_clearly_and_with_room_it_works_again() {
    let place = place();
    if Place::spawn(where_one_may_mount(&place, &small_disk("size=64k"))).ended().code != Some(0) {
        return eprintln!("SKIPPED: this user may not mount a small disk of its own (unshare, tmpfs)");
    }
    // Room for so many pages: none for the ledger, none for its log, none for copies of plugins, and so on.
    let pages =
        (1..24).chain([26, 30, 34, 38, 42, 46, 50, 60, 80, 200]).map(|pages| format!("size={}k", pages * 4));
    // Room for so many names: the folder, the lock, the staging folder, the ledger, and what lies beside it.
    let names = (2..12).map(|names| format!("size=16m,nr_inodes={names}"));
    let mut codes = BTreeSet::new();
    for options in names.chain(pages) {
        let run = |events: &str| {
            format!("\"$0\" run --plugins plugins --data disk/data --until-idle --events {events}")
        };
        let lines = [
            small_disk(&options),
            // What is said of the first run goes to files beside the disk.
            format!("{} > first.out 2> first.err; echo $? > first.code", run("in")),
            "mount -o remount,size=64m,nr_inodes=10k disk || exit 98".into(),
            format!("exec {}", run("asked")),
        ];
        let again = Place::spawn(where_one_may_mount(&place, &lines.join("\n"))).ended();
        let read = |name: &str| std::fs::read_to_string(place.path(name)).expect("the first run wrote it");
        let code = read("first.code").trim().parse().ok();
        let first = Ended { code, stdout: read("first.out"), stderr: read("first.err") };
        let missing = ["make room", "that the disk has room"];
        assert_clear(&first, &options, &missing);
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{options}, then with room");
        let (kept, there) = (told(&first, "kept"), told(&again, "there"));
        assert!(kept.is_subset(&there), "{options}: {kept:?} were kept, {there:?} are there");
        codes.insert(first.code);
    }
    let expected = [Some(0), Some(1), Some(3), Some(4)];
    assert!(codes.iter().all(|code| expected.contains(code)) && codes.len() >= 3, "{codes:?}");
}

#[test]
fn a_disk_that_has_no_room_for_the_log_file_costs_records_and_not_the_run() {
    let place = place();
    let Ok(()) = std::os::unix::fs::symlink("/dev/full", place.path("log")) else { return };
    if !PathBuf::from("/dev/full").exists() {
        return eprintln!("SKIPPED: there is no /dev/full");
    }
    place.write("pintle.toml", "[log]\nfile = \"log\"\n");
    place.write("in", event("1", "greet.you", "{}").repeat(30));
    let ended = place.run(&TO_THE_END);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 30);
    let [begins, ends] = ended.said()[..] else { panic!("{}", ended.stderr) };
    assert!(begins.contains("the log file log cannot be written: No space left on device"), "{begins}");
    assert!(ends.contains("the log file log could not be written to the end: 30 records are lost"), "{ends}");
}

/// Root writes everywhere, so this runs as somebody else.
#[test]
fn a_data_folder_that_cannot_be_written_is_refused_with_what_to_do() {
    let place = place();
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let open = |path: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.path(path), mode).expect("it is ours");
    };
    open("", 0o755);
    place.folder("disk/data");
    open("disk/data", 0o555);
    let mut command = if is_root {
        // Where the command lies, others may not be allowed to look.
        let copied = Command::new("cp").arg(PINTLE).arg(place.path("pintle")).status();
        assert!(copied.expect("cp is there").success());
        open("pintle", 0o755);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(place.path("pintle"));
        command
    } else {
        Command::new(PINTLE)
    };
    command.arg("run").args(TO_THE_END).current_dir(place.path(""));
    if is_root && Command::new("setpriv").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: nothing was tested as an ordinary user, there is no setpriv");
    }
    let ended = Place::spawn(command).ended();
    open("disk/data", 0o755);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let [said] = ended.said()[..] else { panic!("{}", ended.stderr) };
    for part in [
        "disk/data/pintle.lock cannot be used: Permission denied",
        "give this user the right to read and write",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(std::fs::read_dir(place.path("disk/data")).expect("it is ours").next().is_none());
}
