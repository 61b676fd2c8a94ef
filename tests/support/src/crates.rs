//! The plugins written in Rust: built by one cargo into a target folder of their own.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{place, tool};

/// Builds every cdylib crate of `sample-plugins/rust`, `tests/plugins` and `benches/plugins`; by the name of its folder.
pub(crate) fn build_all() -> BTreeMap<String, PathBuf> {
    let root = place::repository();
    let mut folders = BTreeMap::new();
    for parent in ["sample-plugins/rust", "tests/plugins", "benches/plugins"] {
        for folder in crates_in(&root.join(parent)) {
            let name = folder.file_name().expect("it has one").to_string_lossy().into_owned();
            if let Some(other) = folders.insert(name, folder.clone()) {
                panic!("two Rust plugins have one name: {} and {}", other.display(), folder.display());
            }
        }
    }
    if folders.is_empty() {
        return BTreeMap::new();
    }
    let mut libraries = libraries_of(&tool::run(&mut cargo(folders.values()), "build the Rust plugins"));
    let installed = place::folder(if optimised() { "rust/release" } else { "rust/debug" });
    let plugins = folders.into_iter().filter_map(|(name, folder)| {
        let library = libraries.remove(&folder)?;
        Some((name, place::install(&library, &installed)))
    });
    plugins.collect()
}

/// The one command that builds them: samples are as fast or as slow as the program that uses them.
fn cargo<'a>(folders: impl Iterator<Item = &'a PathBuf>) -> Command {
    let root = place::repository();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--lib", "--message-format=json-render-diagnostics"]);
    cargo.arg("--target-dir").arg(place::samples_dir().join("cargo"));
    if optimised() {
        cargo.arg("--release");
    }
    if root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    for folder in folders {
        cargo.arg("-p").arg(format!("file://{}", folder.display()));
    }
    // Of the cargo that runs this program: it would take them for its own.
    for of_the_outer in ["CARGO_MAKEFLAGS", "MAKEFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        cargo.env_remove(of_the_outer);
    }
    cargo
}

/// Reads cargo's messages: the folder of each cdylib crate and the library that came out.
fn libraries_of(messages: &[u8]) -> BTreeMap<PathBuf, PathBuf> {
    let mut libraries = BTreeMap::new();
    for line in messages.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).expect("cargo writes a JSON object on each line");
        let kinds = message["target"]["crate_types"].as_array();
        if message["reason"] != "compiler-artifact"
            || !kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        {
            continue;
        }
        let folder = message["manifest_path"].as_str().and_then(|manifest| Path::new(manifest).parent());
        let library = message["filenames"].as_array().into_iter().flatten().find_map(|file| {
            file.as_str().filter(|file| file.ends_with(env::consts::DLL_SUFFIX)).map(PathBuf::from)
        });
        libraries.extend(folder.map(Path::to_path_buf).zip(library));
    }
    libraries
}

fn crates_in(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten();
    let folders = entries.map(|entry| entry.expect("the folder can be read").path());
    folders.filter(|folder| folder.join("Cargo.toml").is_file()).collect()
}

const fn optimised() -> bool {
    !cfg!(debug_assertions)
}
