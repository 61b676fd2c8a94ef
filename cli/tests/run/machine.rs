//! Plugin folders full of what is no plugin: the machine's own libraries, files that are damaged on purpose, and what is
//! no file at all. Each is passed over with its reason, none is executed, and it comes to an end.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use pintle_test_support::{compile_c, repository, samples};
use serde_json::Value;

use super::place::{Ended, Place};

/// How many of the machine's libraries are looked at where `PINTLE_ALL_LIBRARIES` is not set.
const SOME: usize = 300;

/// How long one run may look at files of which none is a plugin. It takes a second or two where nothing else runs.
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn every_library_of_the_machine_is_passed_over_with_a_reason_and_none_is_executed() {
    let all: Vec<PathBuf> = libraries().into_iter().collect();
    assert!(!all.is_empty(), "/usr/lib has no libraries");
    let step = if env::var_os("PINTLE_ALL_LIBRARIES").is_some() { 1 } else { all.len().div_ceil(SOME) };
    let place = Place::with(&[]);
    let planted = plant(&place, "plugins/planted.so", &[]);
    // By links, whatever their names end with: a plugin folder has files called *.so.
    let mut expected = BTreeMap::from([(place.path("plugins/planted.so"), None)]);
    for (number, library) in all.iter().step_by(step).enumerate() {
        let link = place.path(&format!("plugins/{number:05}.so"));
        symlink(library, &link).expect("the folder is ours");
        expected.insert(link, Some(library));
    }
    let reasons = Reasons::of(&run(&place, &["--plugins", "plugins"]));
    for (file, library) in &expected {
        let name = file.file_name().expect("it has one").to_string_lossy();
        let reason = reasons.of_file(&name).unwrap_or_else(|| panic!("nothing is said of {library:?}"));
        assert!(reason.len() > name.len() + 20, "{reason}");
    }
    assert_eq!(reasons.0.len(), expected.len(), "{:?}", reasons.0.last());
    assert!(planted.marks().is_empty(), "something was executed: {:?}", planted.marks());
}

#[test]
fn the_folders_of_the_machine_are_no_plugin_folders() {
    let libraries = libraries();
    let folders: BTreeSet<&Path> = libraries.iter().filter_map(|library| library.parent()).collect();
    let mut arguments = Vec::new();
    for folder in folders {
        arguments.extend(["--plugins", folder.to_str().expect("the machine's folders have plain names")]);
    }
    let reasons = Reasons::of(&run(&Place::with(&[]), &arguments));
    let named = libraries.iter().filter(|library| library.extension().is_some_and(|end| end == "so")).count();
    // There may be more: links have such names that lead to files with others.
    assert!(reasons.0.len() >= named, "{} reasons for {named} libraries", reasons.0.len());
}

#[test]
fn a_library_that_is_refused_has_not_run_and_one_that_is_loaded_has() {
    for (name, flags, code, reason) in [
        ("bare", &[][..], 3, "no manifest and no entry function"),
        ("newer", &["-DPLUGIN=9"], 3, "9.0"),
        ("fine", &["-DPLUGIN=1"], 0, ""),
    ] {
        let place = Place::with(&[]);
        let planted = plant(&place, &format!("plugins/{name}.so"), flags);
        let ended = place.run(&["--plugins", "plugins", "--until-idle"]);
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{name}: {}", ended.stderr);
        // It would have left its marks, by each way.
        let mut ways = vec!["constructor", "destructor", "init", "init_array"];
        if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
            ways.insert(2, "ifunc");
        }
        assert_eq!(planted.marks(), if code == 0 { ways } else { vec![] }, "{name}");
    }
}

#[test]
fn hostile_files_are_passed_over_with_a_reason_each_and_the_plugin_beside_them_works() {
    let place = Place::with(&[]);
    let whole = fs::read(samples().c("threshold")).expect("it was built");
    let put = |name: &str, bytes: &[u8]| mode(&place.write(&format!("plugins/{name}"), bytes), 0o644);
    let mut cut: Vec<usize> = vec![1, 3, 4, 15, 16, 63, 64, 65, 120, 4_095, 4_096, 4_097];
    let steps = if env::var_os("PINTLE_ALL_LIBRARIES").is_some() { 500 } else { 30 };
    cut.extend((1..steps).map(|part| whole.len() * part / steps));
    cut.push(whole.len() - 1);
    for length in &cut {
        put(&format!("cut-{length}.so"), &whole[..*length]);
    }
    // The fields of an ELF header; all ones is more than any of them may be.
    for field in [0, 1, 4, 5, 16, 18, 32, 40, 54, 56, 58, 60, 62] {
        let mut bytes = whole.clone();
        let width = match field {
            0..16 => 1,
            32..48 => 8,
            _ => 2,
        };
        bytes[field..field + width].fill(0xff);
        put(&format!("field-{field}.so"), &bytes);
    }
    put("empty.so", b"");
    put("text.so", b"#!/bin/sh\ntouch executed\n");
    put("program.so", &fs::read("/bin/ls").expect("/bin/ls is everywhere"));
    let sparse = place.write("plugins/sparse.so", &whole);
    fs::File::options()
        .write(true)
        .open(&sparse)
        .expect("it is ours")
        .set_len(4 << 30)
        .expect("it has holes");
    mode(&sparse, 0o644);
    place.folder("plugins/folder.so");
    let made = Command::new("mkfifo").arg(place.path("plugins/pipe.so")).status().expect("mkfifo is there");
    assert!(made.success());
    symlink("loop.so", place.path("plugins/loop.so")).expect("the folder is ours");
    symlink("/nowhere", place.path("plugins/dangling.so")).expect("the folder is ours");
    symlink("/dev/zero", place.path("plugins/device.so")).expect("the folder is ours");
    symlink("/proc/self/mem", place.path("plugins/memory.so")).expect("the folder is ours");

    let reasons = Reasons::of(&run(&place, &["--plugins", "plugins"]));
    for (name, said) in [
        ("empty.so", "is empty"),
        ("text.so", "is not a library"),
        ("program.so", "program.so"),
        ("sparse.so", "has 4294967296 bytes, at most"),
        ("folder.so", "is a folder, not a file"),
        ("pipe.so", "is not a regular file"),
        ("loop.so", "loop.so"),
        ("dangling.so", "is not there"),
        ("device.so", "is not a regular file"),
        ("memory.so", "memory.so"),
    ] {
        let reason = reasons.of_file(name).unwrap_or_else(|| panic!("nothing is said of {name}"));
        assert!(reason.contains(said), "{reason}");
    }
    for entry in fs::read_dir(place.path("plugins")).expect("it is there") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        assert!(reasons.of_file(&name).is_some(), "nothing is said of {name}");
    }

    // And they keep no plugin from working.
    pintle_test_support::install(&samples().c("hello"), &place.path("plugins"));
    place.write("in", super::place::event("1", "greet.you", "{}"));
    let ended = place.run(&["--plugins", "plugins", "--until-idle", "--events", "in"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
}

#[test]
fn what_only_the_loader_of_the_system_looks_at_is_told_in_its_words() {
    // The version of the format, twice: inspection leaves it to whoever loads.
    for field in [6, 20] {
        let place = Place::with(&[]);
        let mut bytes = fs::read(samples().c("hello")).expect("it was built");
        bytes[field] = 0xff;
        mode(&place.write("plugins/odd.so", bytes), 0o644);
        let ended = place.run(&["--plugins", "plugins", "--until-idle"]);
        assert_eq!(ended.code, Some(3), "{field}: {}", ended.stderr);
        assert!(ended.stderr.contains("ELF file version"), "{field}: {}", ended.stderr);
        assert_eq!(ended.said(), ["no plugin could be started: 1 failed, see above"], "{field}");
    }
}

/// Runs where no plugin is: it must say so, in time.
#[track_caller]
fn run(place: &Place, arguments: &[&str]) -> Ended {
    let begun = Instant::now();
    let ended = place.run(arguments);
    let took = begun.elapsed();
    assert_eq!((ended.code, &*ended.stdout), (Some(3), ""), "{}", ended.stderr);
    assert!(ended.said().last().is_some_and(|said| said.starts_with("no plugin ")), "{}", ended.stderr);
    assert!(took < LONGEST, "it took {took:?}");
    ended
}

/// Why files were passed over, as the log says it.
struct Reasons(Vec<String>);

impl Reasons {
    fn of(ended: &Ended) -> Self {
        let records = ended.stderr.lines().filter(|line| !line.starts_with("pintle: "));
        let records = records.map(|line| serde_json::from_str::<Value>(line).expect("the log is JSON"));
        let skipped = records.filter(|record| record["level"] == "warn");
        Self(skipped.map(|record| record["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// What is said of the file of this name, which must be one thing.
    #[track_caller]
    fn of_file(&self, name: &str) -> Option<&str> {
        let named = format!("/{name}");
        let mut about = self.0.iter().filter(|reason| reason.contains(&named));
        let first = about.next();
        assert_eq!(about.next(), None, "{first:?} and more");
        first.map(String::as_str)
    }
}

/// A library that leaves marks where it runs.
struct Planted {
    folder: PathBuf,
}

fn plant(place: &Place, name: &str, flags: &[&str]) -> Planted {
    let folder = place.path("marks");
    place.folder("marks");
    let mark = format!("-DMARK=\"{}/mark\"", folder.display());
    let own = [&mark[..], "-std=gnu99", "-D_GNU_SOURCE", "-Wl,-init=started", "-Wl,-z,lazy"];
    let source = repository().join("cli/tests/run/planted.c");
    let library = compile_c("planted", source, &[&own, flags].concat());
    fs::copy(library, place.path(name)).expect("there is room");
    mode(&place.path(name), 0o644);
    Planted { folder }
}

impl Planted {
    /// How it was executed.
    fn marks(&self) -> Vec<String> {
        let marks = fs::read_dir(&self.folder).expect("it is there");
        let names =
            marks.map(|mark| mark.expect("it can be read").file_name().to_string_lossy().into_owned());
        let ways: BTreeSet<String> = names.map(|name| name.trim_start_matches("mark.").to_owned()).collect();
        ways.into_iter().collect()
    }
}

/// Every regular file below `/usr/lib` that is named as a library: by one name, where it has several.
fn libraries() -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![PathBuf::from("/usr/lib")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && (name.ends_with(".so") || name.contains(".so.")) {
                let Ok(metadata) = entry.metadata() else { continue };
                found.insert((metadata.dev(), metadata.ino()), entry.path());
            }
        }
    }
    found.into_values().collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}
