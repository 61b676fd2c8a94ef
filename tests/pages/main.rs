//! The pages of the project against the project: what they list is there, and what is there is listed.
//!
//! README.md has a test of its own (`tests/readme.rs`), and so have the first plugins (`tests/first_plugin`), the promises, the
//! settings and the drawing of the house.

mod cron;
mod database;
mod dependencies;
mod manifest;
mod troubleshooting;

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn links_between_pages_lead_to_files() {
    let pages = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/contract.md"];
    let more = [
        "docs/manifest.md",
        "docs/metrics.md",
        "docs/settings.md",
        "docs/troubleshooting.md",
        "docs/promises.md",
        "docs/cron.md",
        "docs/database.md",
        "docs/events.md",
        "docs/scheduler.md",
        "docs/jobs.md",
    ];
    let first =
        ["docs/cli.md", "docs/first-plugin-c.md", "docs/first-plugin-cpp.md", "docs/first-plugin-rust.md"];
    for page in pages.into_iter().chain(more).chain(first) {
        // Code has brackets of its own.
        let text: String = read(page).split("```").step_by(2).collect();
        for (at, _) in text.match_indices("](") {
            let target = &text[at + 2..];
            let target = &target[..target.find(')').expect("a link ends")];
            let file = target.split('#').next().expect("a split gives one part at least");
            let beside = Path::new(page).parent().expect("a page lies somewhere").join(file);
            let is_there = target.starts_with("http") || file.is_empty() || root().join(beside).exists();
            assert!(is_there, "{page} leads to {target}, which is not there");
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: impl AsRef<Path>) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|cause| panic!("cannot read {}: {cause}", path.display()))
}
