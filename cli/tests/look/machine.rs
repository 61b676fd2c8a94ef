//! The machine's own libraries, of all of which none is a plugin.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use super::place::Place;

/// How many are looked at where `PINTLE_ALL_LIBRARIES` is not set.
const SOME: usize = 300;

#[test]
fn every_library_of_the_machine_is_refused_with_a_reason() {
    let all = libraries();
    assert!(!all.is_empty(), "/usr/lib has no libraries");
    let step = if env::var_os("PINTLE_ALL_LIBRARIES").is_some() { 1 } else { all.len().div_ceil(SOME) };
    let place = Place::new();
    let chosen: Vec<&str> = all.iter().step_by(step).map(String::as_str).collect();
    for files in chosen.chunks(100) {
        let answer = place.ask(&[&["inspect", "--json"], files].concat());
        assert_eq!(answer.code, Some(3), "{}", answer.stderr);
        let (lines, said) = (answer.json(), answer.stderr.lines().collect::<Vec<_>>());
        assert_eq!((lines.len(), said.len()), (files.len(), files.len()));
        for ((file, line), said) in files.iter().zip(&lines).zip(said) {
            let error = line["error"]["text"].as_str().unwrap_or_default();
            assert_eq!((line["file"].as_str(), line["plugin"].as_bool()), (Some(*file), Some(false)));
            assert!(error.starts_with(file) && error.len() > file.len() + 10, "{line}");
            assert_eq!(said, format!("pintle: {error}"));
        }
    }
}

/// Every regular file below `/usr/lib` that is named as a library, once.
fn libraries() -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![PathBuf::from("/usr/lib")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && (name.ends_with(".so") || name.contains(".so.")) {
                found.extend(entry.path().to_str().map(str::to_owned));
            }
        }
    }
    found
}
