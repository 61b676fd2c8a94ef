//! A Rust plugin that was built against a contract of its own: copies of `abi/` and `sdk/`, changed as text, in a
//! workspace below the target folder, where cargo keeps what it has built for the next run.

use std::{
    collections::BTreeMap,
    env::{self, consts},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use pintle_test_support::{repository, target_dir};

/// One change of a file, which must be possible exactly once.
pub(crate) enum Change {
    /// In place of the first text the second.
    Replace(&'static str, &'static str, &'static str),
    /// A struct gets one more member, its last.
    Grow(&'static str, &'static str, &'static str),
    /// A struct loses its last member, which is called so.
    Cut(&'static str, &'static str, &'static str),
}

use Change::{Cut, Grow, Replace};

/// What an author does to a contract, by the name of the plugin that is built against it.
const VARIANTS: [(&str, &str, &[Change]); 7] = [
    ("alike", "0.1.0", &[]),
    // Nothing but a later version of the crates.
    ("renumbered", "0.9.0", &[]),
    (
        "renamed",
        "0.1.0",
        &[
            Replace("abi/src/events.rs", "pub capacity: u32,", "pub limit: u32,"),
            Replace("sdk/src/events/subscribe.rs", "capacity: self.capacity,", "limit: self.capacity,"),
        ],
    ),
    // Of the same size, so that no check of sizes finds it.
    (
        "retyped",
        "0.1.0",
        &[
            Replace("abi/src/events.rs", "pub capacity: u32,", "pub capacity: f32,"),
            Replace(
                "sdk/src/events/subscribe.rs",
                "capacity: self.capacity,",
                "capacity: self.capacity as f32,",
            ),
        ],
    ),
    // A table, an options struct and a struct that the host fills in.
    (
        "grown",
        "0.1.0",
        &[
            Grow(
                "abi/src/events.rs",
                "PintleEvents",
                "/// Later.\npub replay: Option<unsafe extern \"C\" fn(ctx: PintleCtx, from: u64) -> PintleStatus>,",
            ),
            Grow("abi/src/events.rs", "PintleSubscribeOptions", "/// Later.\npub since: u64,"),
            Replace(
                "sdk/src/events/subscribe.rs",
                "capacity: self.capacity,",
                "since: 0, capacity: self.capacity,",
            ),
            Grow("abi/src/events.rs", "PintleEvent", "/// Later.\npub partition: u64,"),
        ],
    ),
    // What the host offers, and what a plugin is.
    (
        "shorter",
        "0.1.0",
        &[
            Cut("abi/src/storage.rs", "PintleStorage", "stats"),
            Replace(
                "sdk/src/storage/mod.rs",
                "function!(self.cx.host(), storage: PintleStorage, stats)",
                "Err::<unsafe extern \"C\" fn(PintleCtx, *mut PintleStorageStats) -> PintleStatus, _>(\
                    crate::table::missing(\"storage.stats\"))",
            ),
            Replace("sdk/src/storage/mod.rs", "use pintle_abi::{", "use pintle_abi::{PintleCtx, "),
            Cut("abi/src/plugin.rs", "PintlePlugin", "provide"),
            Replace("sdk/src/entry.rs", "provide: None,", ""),
        ],
    ),
    // A later version of the check itself.
    (
        "stranger",
        "0.1.0",
        &[Replace(
            "abi/src/layout.rs",
            "layout_size: size_of::<Layout>() as u32,",
            "layout_size: size_of::<Layout>() as u32 + 8,",
        )],
    ),
];

const PLUGIN: &str = r###"//! Answers each event `ask.<anything>` with an event.
#![forbid(unsafe_code)]

use pintle_plugin::{Context, Plugin, Result, SubscribeOptions, plugin};

struct Answering;

impl Plugin for Answering {
    fn load(cx: &Context) -> Result<Self> {
        let options = SubscribeOptions::new().capacity(7);
        cx.events().subscribe_with("ask.>", &options, |cx, event| {
            cx.events().emit_json("answered", &event.topic())
        })?;
        Ok(Answering)
    }
}

plugin!(Answering, inline r##"{
  "id": "NAME", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["ask.>"], "publish": ["answered"] } }
}"##);
"###;

/// The library of the plugin called `name`, built if it is not.
pub(crate) fn library(name: &'static str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    // Held while it is built: a second cargo would only wait.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name).or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    let (_, version, changes) =
        VARIANTS.iter().find(|variant| variant.0 == name).expect("it is in the table");
    let shared = target_dir().join("samples/layout");
    let folder = shared.join(name);
    let mut files = BTreeMap::new();
    for of in ["abi", "sdk"] {
        let sources = files_below(&repository().join(of).join("src"));
        for path in sources.into_iter().chain([repository().join(of).join("Cargo.toml")]) {
            let below = path.strip_prefix(repository()).expect("it was found there");
            files.insert(below.to_string_lossy().into_owned(), read(&path));
        }
    }
    for (file, text) in &mut files {
        if file.starts_with("abi/src/") {
            without_asserts(text);
        }
    }
    for change in *changes {
        let (Replace(file, ..) | Grow(file, ..) | Cut(file, ..)) = change;
        change.apply(name, files.get_mut(*file).unwrap_or_else(|| panic!("{name}: there is no {file}")));
    }
    for (file, text) in &files {
        put(&folder.join(name).join(file), text);
    }
    put(&folder.join("Cargo.toml"), &workspace(name, version));
    put(&folder.join("src/lib.rs"), &PLUGIN.replace("NAME", name));
    if !folder.join("Cargo.lock").is_file() {
        // The versions of the repository, which are here already.
        put(&folder.join("Cargo.lock"), &read(&repository().join("Cargo.lock")));
    }
    let built = shared.join("cargo");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&folder).args(["build", "--offline", "--quiet", "--target-dir"]).arg(&built);
    for of_the_outer in ["CARGO_MAKEFLAGS", "MAKEFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        cargo.env_remove(of_the_outer);
    }
    let output = cargo.output().expect("the cargo that runs this test can be started");
    assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&output.stderr));
    built.join("debug").join(format!("{}{name}{}", consts::DLL_PREFIX, consts::DLL_SUFFIX))
}

impl Change {
    fn apply(&self, name: &str, text: &mut String) {
        let (file, from, to) = match *self {
            Replace(file, from, to) => (file, from.to_owned(), to.to_owned()),
            Grow(file, grows, member) => {
                let whole = body(text, grows);
                (file, whole.clone(), format!("{whole}{member}\n"))
            }
            Cut(file, shrinks, member) => {
                let whole = body(text, shrinks);
                let lines: Vec<&str> = whole.lines().collect();
                let last =
                    lines.iter().rposition(|line| line.starts_with("    pub ")).expect("it has members");
                assert!(lines[last].starts_with(&format!("    pub {member}:")), "{name}: {}", lines[last]);
                let comment =
                    lines[..last].iter().rev().take_while(|line| line.starts_with("    ///")).count();
                (file, whole.clone(), format!("{}\n", lines[..last - comment].join("\n")))
            }
        };
        let found = text.matches(&from).count();
        assert_eq!(found, 1, "{name}: to be changed once, and found {found} times in {file}:\n{from}");
        *text = text.replace(&from, &to);
    }
}

/// A struct from its name to its last member.
fn body(text: &str, of: &str) -> String {
    let start = text.find(&format!("pub struct {of} {{\n")).unwrap_or_else(|| panic!("there is no {of}"));
    let end = text[start..].find("\n}\n").expect("a struct ends");
    text[start..start + end + 1].to_owned()
}

/// Sizes and offsets are asserted where the types are, which is what a changed contract would be stopped by first.
fn without_asserts(text: &mut String) {
    while let Some(start) = text.find("\nconst _: () = {\n") {
        let end = start + text[start..].find("\n};\n").expect("a block ends");
        text.replace_range(start..end + "\n};\n".len(), "\n");
    }
}

/// A workspace like the repository's, with the plugin as its root. Cargo tells packages apart by their path below the
/// workspace, and all variants are built into one folder: so the copies lie in one that has the variant's name.
fn workspace(name: &str, version: &str) -> String {
    let manifest = read(&repository().join("Cargo.toml"));
    let start = manifest.find("[workspace.package]").expect("it is a workspace");
    let end = manifest.find("\n[package]").expect("its root is a package");
    let shared = manifest[start..end].replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
    let shared = shared.replace("path = \"abi\"", &format!("path = \"{name}/abi\""));
    let shared = shared.replace("path = \"sdk\"", &format!("path = \"{name}/sdk\""));
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"{name}/abi\", \"{name}/sdk\"]\n\n{shared}\n\
         [package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition.workspace = true\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\npintle-plugin = {{ workspace = true, features = [\"layout-check\"] }}\n"
    )
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = listed.map(|entry| entry.expect("the folder can be read").path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes what is not there yet: a file that is touched is compiled anew.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    let parent = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
