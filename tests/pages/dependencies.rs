//! Every dependency has its line in ARCHITECTURE.md: what it does here, and why it and not another.

use std::{collections::BTreeSet, path::PathBuf};

use crate::{read, root};

/// `("serde", "pintle (dev)")`: who is needed, and by whom.
type Need = (String, String);

#[test]
fn every_dependency_has_its_line_and_every_line_its_dependency() {
    let (declared, written) = (declared(), written());
    assert!(declared.len() > 20, "only {} dependencies were found", declared.len());
    let missing: Vec<_> = declared.difference(&written).collect();
    let left_over: Vec<_> = written.difference(&declared).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md, \"Dependencies\", lacks (crate, of): {missing:?}");
    assert!(
        left_over.is_empty(),
        "ARCHITECTURE.md, \"Dependencies\", has too many (crate, of): {left_over:?}"
    );
}

/// What the manifests of the workspace name, but members.
fn declared() -> BTreeSet<Need> {
    let manifests: Vec<toml::Table> = members()
        .iter()
        .map(|folder| read(folder.join("Cargo.toml")).parse().expect("cargo reads it too"))
        .collect();
    let name =
        |manifest: &toml::Table| manifest["package"]["name"].as_str().expect("a name is a text").to_owned();
    let ours: BTreeSet<String> = manifests.iter().map(name).collect();
    let mut needs = BTreeSet::new();
    for manifest in &manifests {
        let targets = manifest.get("target").and_then(toml::Value::as_table);
        let tables =
            targets.into_iter().flat_map(|targets| targets.values()).filter_map(toml::Value::as_table);
        for table in tables.chain([manifest]) {
            for (kind, mark) in
                [("dependencies", ""), ("dev-dependencies", " (dev)"), ("build-dependencies", " (build)")]
            {
                let crates =
                    table.get(kind).and_then(toml::Value::as_table).into_iter().flat_map(|all| all.keys());
                let foreign = crates.filter(|of| !ours.contains(*of));
                needs.extend(foreign.map(|of| (of.clone(), format!("{}{mark}", name(manifest)))));
            }
        }
    }
    needs
}

/// The root package, the folders that its workspace names, and `fuzz/`, which is none of them so that nobody compiles it
/// who does not fuzz.
fn members() -> Vec<PathBuf> {
    let workspace: toml::Table = read("Cargo.toml").parse().expect("cargo reads it too");
    let listed = workspace["workspace"]["members"].as_array().expect("members are a list");
    let mut folders = vec![root(), root().join("fuzz")];
    for member in listed.iter().map(|member| member.as_str().expect("a member is a path")) {
        match member.strip_suffix("/*") {
            None => folders.push(root().join(member)),
            Some(parent) => {
                let entries = root().join(parent).read_dir().expect("the folder is there");
                let below = entries.map(|entry| entry.expect("it can be read").path());
                folders.extend(below.filter(|folder| folder.join("Cargo.toml").is_file()));
            }
        }
    }
    folders
}

fn written() -> BTreeSet<Need> {
    let page = read("ARCHITECTURE.md");
    let (_, section) = page.split_once("\n## Dependencies\n").expect("the page has its section");
    let mut needs = BTreeSet::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [name, of, why, _] = cells[..] else { panic!("a row has three cells: {row}") };
        assert!(why.len() > 20, "{name} does not say what it is for");
        for of in of.split(", ") {
            let need = (name.trim_end_matches('`').to_owned(), of.to_owned());
            assert!(needs.insert(need), "{name} is there twice for {of}");
        }
    }
    needs
}
