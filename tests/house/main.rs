//! The house stays as it is drawn: who may know whom, where `unsafe` may live, what a file begins with.
//!
//! The drawing is in ARCHITECTURE.md ("Who may know whom"); the tables here are that page as data. Change both, or
//! neither. `source` reads Rust files without compiling them.

mod page;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use source::Source;

/// Each part of `host/`, and the parts that it may name. A part may always name itself.
const MAY_KNOW: [(&str, &[&str]); 13] = [
    ("error", &[]),
    ("identity", &["error"]),
    ("lanes", &["identity", "error"]),
    ("services", &["identity", "error"]),
    ("stats", &["services"]),
    ("metrics", &["error", "stats"]),
    ("boundary", &["error", "identity", "lanes", "services", "stats"]),
    ("plugin", &["error", "identity", "lanes", "services", "settings", "boundary", "stats"]),
    ("application", &["error", "lanes", "services", "boundary"]),
    ("folder", &["error", "plugin::stage"]),
    (
        "control",
        &[
            "host",
            "events",
            "error",
            "plugin",
            "services",
            "stats",
            "boundary::status_of",
            "lanes::panic_text",
        ],
    ),
    ("embed", &["host", "error"]),
    ("settings", &["error", "services::log", "services::config"]),
];

/// The composition root and the front page: they may know every part, and only `control` and `embed` may know them.
const MAY_KNOW_ALL: [&str; 2] = ["host", "lib"];

/// The parts of `host/` that may name the contract.
const MAY_NAME_THE_CONTRACT: [&str; 4] = ["boundary", "plugin", "embed", "host"];

/// Where `unsafe` may be written, below `host/`.
const MAY_BE_UNSAFE: [&str; 7] = [
    "boundary/",
    "embed/",
    "identity/table.rs",
    "plugin/crash.rs",
    "plugin/library.rs",
    "plugin/ownership.rs", // geteuid has no safe form in libc
    "plugin/stage.rs",
];

/// What C looks like in Rust: not in the engines.
const OF_C: [&str; 10] =
    ["pintle_abi", "extern", "*const", "*mut", "c_void", "c_char", "c_int", "CStr", "CString", "libc"];

/// Each crate, and the crates of this workspace that it may depend on.
const CRATES_MAY_KNOW: [(&str, &[&str]); 6] = [
    ("abi", &[]),
    ("sdk", &["pintle-abi"]),
    (".", &["pintle-abi"]),
    ("cli", &["pintle"]),
    ("tests/support", &[]),
    ("xtask", &["pintle", "pintle-test-support"]),
];

#[test]
fn nobody_in_the_host_knows_whom_he_should_not() {
    let host = Sources::of("host");
    let wrong: Vec<String> = host.edges().iter().filter_map(|edge| edge.problem()).collect();
    assert!(wrong.is_empty(), "against ARCHITECTURE.md, \"Who may know whom\":\n{}", wrong.join("\n"));
}

#[test]
fn folders_know_each_other_in_no_circle() {
    let mut knows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for edge in Sources::of("host").edges() {
        let (from, to) = (room(&edge.from), room(&edge.to));
        // What `services/mod.rs` re-exports of its own sub-folders is a table of contents, not knowledge.
        let contents = edge.file.ends_with("mod.rs") && to.starts_with(&format!("{from}::"));
        if from != to && !contents && !MAY_KNOW_ALL.contains(&from.as_str()) {
            knows.entry(from).or_default().insert(to);
        }
    }
    assert_eq!(
        circle_in(&knows),
        None,
        "these folders know each other in a circle: draw a trait between them"
    );
}

#[test]
fn the_drawing_itself_has_no_circle() {
    let drawn = MAY_KNOW.iter().map(|(part, others)| {
        let tops = others.iter().map(|other| top(other).to_owned()).filter(|other| other != part);
        ((*part).to_owned(), tops.collect())
    });
    assert_eq!(circle_in(&drawn.collect()), None);
}

#[test]
fn the_engines_know_nothing_of_c() {
    let host = Sources::of("host");
    let engines: Vec<_> = host.files.iter().filter(|source| source.part() == "services").collect();
    assert!(!engines.is_empty(), "host/services is gone");
    for word in OF_C {
        let wrong: Vec<_> = engines.iter().flat_map(|source| source.places_of(word)).collect();
        assert!(wrong.is_empty(), "`{word}` belongs into host/boundary:\n{}", wrong.join("\n"));
    }
}

#[test]
fn only_the_border_names_the_contract() {
    let host = Sources::of("host");
    let inner = host.files.iter().filter(|source| !MAY_NAME_THE_CONTRACT.contains(&source.part()));
    let wrong: Vec<_> = inner.flat_map(|source| source.places_of("pintle_abi")).collect();
    assert!(wrong.is_empty(), "only {MAY_NAME_THE_CONTRACT:?} may name pintle_abi:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_where_it_is_looked_for() {
    let mut wrong = Vec::new();
    for tree in ["host", "cli/src", "xtask/src", "tests/support/src", "sample-plugins/rust"] {
        for source in &Sources::of(tree).files {
            let inside = source.path.strip_prefix("host").unwrap_or(Path::new("outside")).to_string_lossy();
            if !MAY_BE_UNSAFE.iter().any(|allowed| inside.starts_with(allowed)) {
                wrong.extend(source.places_of("unsafe"));
            }
        }
    }
    assert!(wrong.is_empty(), "`unsafe` is for {MAY_BE_UNSAFE:?}, abi/ and sdk/ only:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let mut wrong = Vec::new();
    for tree in
        ["host", "abi", "sdk", "cli", "xtask", "tests", "sample-plugins", "examples", "benches", "fuzz"]
    {
        for source in Sources::of(tree).files {
            let opening = source.text.lines().next().unwrap_or_default();
            if !opening.starts_with("//! ") {
                wrong.push(format!("{} opens with `{opening}`", source.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "a file opens with `//!`, what it owns and whom it talks to:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_are_called_by_what_they_are() {
    const SAY_NOTHING: [&str; 8] =
        ["manager", "helper", "helpers", "util", "utils", "common", "misc", "types"];
    for source in Sources::of("host").files {
        let name = source.path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let empty = name.split('_').any(|word| SAY_NOTHING.contains(&word));
        let numbered = name.ends_with(|last: char| last.is_ascii_digit()) && !name.starts_with("sha");
        assert!(!empty && !numbered, "{} is a name in nobody's words", source.path.display());
    }
}

#[test]
fn crates_know_only_those_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plugins = fs::read_dir(root.join("sample-plugins/rust")).into_iter().flatten();
    let plugins =
        plugins.map(|entry| entry.expect("it can be read").path()).map(|path| (path, &["pintle-plugin"][..]));
    let crates = CRATES_MAY_KNOW.iter().map(|(folder, others)| (root.join(folder), *others)).chain(plugins);
    for (folder, others) in crates {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("every crate has one");
        let manifest: toml::Table = manifest.parse().expect("cargo reads it too");
        let Some(needs) = manifest.get("dependencies").and_then(toml::Value::as_table) else { continue };
        for need in needs.keys().filter(|need| need.starts_with("pintle")) {
            assert!(others.contains(&need.as_str()), "{} may not depend on {need}", folder.display());
        }
        // Unless somebody asks for the layout check.
        let always =
            needs.iter().filter(|(_, need)| need.get("optional").is_none_or(|it| it.as_bool() != Some(true)));
        assert!(!folder.ends_with("abi") || always.count() == 0, "the contract depends on nothing");
    }
}

#[test]
fn what_should_not_be_known_is_noticed() {
    let lib = "pub mod host;\nmod error;\npub use error::{Error, kind::Kind as K};\npub use host::Host;";
    let cases: [(&str, &str, &[&str]); 12] = [
        ("identity/table.rs", "use crate::error::Error;", &[]),
        ("identity/table.rs", "use crate::Error;", &[]),
        ("identity/table.rs", "fn f() -> crate::K { }", &[]),
        (
            "identity/mod.rs",
            "use crate::{\n  lanes::Lane, // why\n  error::{self, Error}};",
            &["identity -> lanes::Lane"],
        ),
        ("lanes/worker.rs", "use super::super::plugin::Library;", &["lanes -> plugin::Library"]),
        ("lanes/worker.rs", "mod tests { use super::*; use super::super::queue::Queue; }", &[]),
        (
            "lanes/worker.rs",
            "/* crate::plugin */ let a = \"crate::plugin\"; let b = 'c'; // crate::plugin",
            &[],
        ),
        (
            "lanes/worker.rs",
            "let a = '\"'; fn f<'a>() { crate::boundary::table() }",
            &["lanes -> boundary::table"],
        ),
        (
            "plugin/state.rs",
            "use crate::{services::ledger::Ledger, folder::DataFolder};",
            &["plugin -> folder::DataFolder"],
        ),
        ("embed/mod.rs", "use crate::Host; use crate::lanes::*;", &["embed -> lanes"]),
        ("cellar/mod.rs", "use crate::error::Error;", &["cellar -> error::Error"]),
        ("services/log/mod.rs", "use crate::Nowhere;", &["services -> Nowhere"]),
    ];
    for (file, text, expected) in cases {
        let sources = Sources::made_up(&[("lib.rs", lib), (file, text)]);
        let found = sources.edges().into_iter().filter(|edge| edge.problem().is_some());
        let found: Vec<_> = found.map(|edge| format!("{} -> {}", edge.from[0], edge.to.join("::"))).collect();
        assert_eq!(found, expected, "in {file}: {text}");
    }
    let knows = |edges: &[(&str, &str)]| {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            all.entry((*from).into()).or_default().insert((*to).into());
        }
        circle_in(&all)
    };
    assert_eq!(knows(&[("a", "b"), ("b", "c"), ("a", "c")]), None);
    assert_eq!(knows(&[("a", "b"), ("b", "c"), ("c", "b")]).as_deref(), Some("b -> c -> b"));
}

/// The files of a tree.
struct Sources {
    files: Vec<Source>,
}

/// One file of `host/` naming something of another.
struct Edge {
    file: PathBuf,
    line: usize,
    from: Vec<String>,
    to: Vec<String>,
}

impl Sources {
    fn of(tree: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        let mut folders = vec![root.join(tree)];
        while let Some(folder) = folders.pop() {
            // A tree that a later issue plants is not there yet.
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("the repository can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    let text = fs::read_to_string(&path).expect("the repository can be read");
                    let path = path.strip_prefix(root).expect("it is below").to_path_buf();
                    files.push(Source::new(path, text));
                }
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self { files }
    }

    fn made_up(files: &[(&str, &str)]) -> Self {
        let made =
            files.iter().map(|(path, text)| Source::new(Path::new("host").join(path), (*text).to_owned()));
        Self { files: made.collect() }
    }

    /// Everything that `crate::…` and `super::…` name outside of the file's own part, through the names that the
    /// front page passes on.
    fn edges(&self) -> Vec<Edge> {
        let front = self.files.iter().find(|source| source.part() == "lib").expect("host/lib.rs is there");
        let passed_on: BTreeMap<String, Vec<String>> = front.passed_on().into_iter().collect();
        let mut edges = Vec::new();
        for source in &self.files {
            for (line, mut to) in source.named() {
                let Some(first) = to.first() else { continue };
                if let Some(real) = passed_on.get(first) {
                    to = real.clone();
                }
                let from = source.module.clone();
                edges.push(Edge { file: source.path.clone(), line, from, to });
            }
        }
        edges
    }
}

impl Edge {
    fn problem(&self) -> Option<String> {
        let (from, to) = (self.from[0].as_str(), self.to.join("::"));
        let Edge { file, line, .. } = self;
        if from == self.to[0] || MAY_KNOW_ALL.contains(&from) {
            return None;
        }
        let Some((_, others)) = MAY_KNOW.iter().find(|(part, _)| *part == from) else {
            return Some(format!("{}: host/{from} is in no drawing, so it may know nobody", file.display()));
        };
        let may = others.iter().any(|other| to == *other || to.starts_with(&format!("{other}::")));
        (!may).then(|| format!("{}:{line}: {from} may not know crate::{to}, only {others:?}", file.display()))
    }
}

/// The folder that a path lies in; of the services each is a folder of its own.
fn room(path: &[String]) -> String {
    let depth = if path[0] == "services" && path.get(1).is_some_and(|name| is_folder(name)) { 2 } else { 1 };
    path[..depth].join("::")
}

fn is_folder(service: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("host/services").join(service).is_dir()
}

fn top(path: &str) -> &str {
    path.split("::").next().expect("a split gives one part at least")
}

fn circle_in(knows: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    fn walk<'a>(
        at: &'a str,
        knows: &'a BTreeMap<String, BTreeSet<String>>,
        trail: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<String> {
        if let Some(start) = trail.iter().position(|seen| *seen == at) {
            return Some(format!("{} -> {at}", trail[start..].join(" -> ")));
        }
        if !done.insert(at) {
            return None;
        }
        trail.push(at);
        let found = knows.get(at).into_iter().flatten().find_map(|next| walk(next, knows, trail, done));
        trail.pop();
        found
    }
    let mut done = BTreeSet::new();
    knows.keys().find_map(|start| walk(start, knows, &mut Vec::new(), &mut done))
}
