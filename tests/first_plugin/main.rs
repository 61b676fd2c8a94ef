//! `docs/first-plugin-*.md`, done by somebody who does just what they say: each file is written, each command is
//! run, and what they print is what the page shows. `page` reads, `newcomer` does, `shown` compares.

#![cfg(unix)]

mod newcomer;
mod page;
mod shown;

use std::{
    fs,
    io::{self, Write},
    time::Instant,
};

use newcomer::{Done, Newcomer};
use page::{Placed, Step};
use pintle_test_support::{has_cxx, repository};

#[test]
fn the_page_of_c_ends_in_a_working_plugin() {
    follow("docs/first-plugin-c.md");
}

#[test]
fn the_page_of_cpp_ends_in_a_working_plugin() {
    if has_cxx() {
        follow("docs/first-plugin-cpp.md");
    } else {
        // Past the harness, which keeps what a test that passes prints to itself.
        let said = writeln!(io::stderr(), "SKIPPED: docs/first-plugin-cpp.md, for there is no C++ compiler");
        said.expect("stderr can be written");
    }
}

#[test]
fn the_page_of_rust_ends_in_a_working_plugin() {
    follow("docs/first-plugin-rust.md");
}

#[test]
fn no_page_of_a_first_plugin_is_left_out() {
    let docs = repository().join("docs").read_dir().expect("the pages are there");
    let names = docs.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned());
    let mut pages: Vec<_> = names.filter(|name| name.starts_with("first-plugin")).collect();
    pages.sort();
    assert_eq!(pages, ["first-plugin-c.md", "first-plugin-cpp.md", "first-plugin-rust.md"]);
}

/// Does what the page says, from top to bottom.
fn follow(path: &str) {
    let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"));
    let rust = concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or newer");
    assert!(text.contains(rust), "{path} does not ask for {rust}");
    let steps = page::read(&text).unwrap_or_else(|wrong| panic!("{path}: {wrong}"));
    let began = Instant::now();
    let mut newcomer = Newcomer::new();
    let mut last: Option<Done> = None;
    let (mut files, mut commands) = (0, 0);
    for Placed { line, step } in steps {
        match step {
            Step::Write { name, text } => {
                newcomer.write(&name, &text);
                files += 1;
            }
            Step::Run(block) => {
                commands += page::commands(&block);
                let done = newcomer.run(&block);
                let Done { status, stdout, stderr } = &done;
                assert!(status.success(), "{path}:{line}: {status}\n{block}\n{stdout}{stderr}");
                last = Some(done);
            }
            Step::See(expected) => {
                let Done { stdout, stderr, .. } = last.as_ref().expect("output follows commands");
                let same = shown::is_shown(&expected, stdout, stderr);
                assert!(
                    same,
                    "{path}:{line} shows\n{expected}\nand there was on stdout\n{stdout}\nand on stderr\n{stderr}"
                );
            }
        }
    }
    println!("{path}: {files} files, {commands} commands, {:.1} s", began.elapsed().as_secs_f64());
}
