//! `docs/troubleshooting.md` quotes what the host really says: each quoted text is in the sources, piece by piece.

use std::path::{Path, PathBuf};

use crate::{read, root};

#[test]
fn every_quoted_text_is_one_of_the_code() {
    let sources = sources();
    let page = read("docs/troubleshooting.md");
    let quotes: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    assert!(quotes.len() > 20, "only {} quotes were found", quotes.len());
    let mut wrong = Vec::new();
    for quote in quotes {
        // `…` stands for what differs from case to case, and `: ` goes before the mend.
        let pieces = quote.split('…').flat_map(|piece| piece.split(": ")).map(str::trim);
        let pieces: Vec<&str> = pieces.filter(|piece| piece.len() > 3).collect();
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() < 20 {
            wrong.push(format!("this quote says nothing: {quote}"));
        }
        let unsaid = pieces.iter().filter(|piece| !sources.contains(**piece));
        wrong.extend(unsaid.map(|piece| format!("no source says `{piece}`, of the quote: {quote}")));
    }
    assert!(wrong.is_empty(), "docs/troubleshooting.md:\n{}", wrong.join("\n"));
}

/// All texts of the host and the SDK as a reader sees them: without escapes.
fn sources() -> String {
    let mut folders: Vec<PathBuf> = ["host", "sdk/src"].iter().map(|folder| root().join(folder)).collect();
    let mut texts = String::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("the repository can be read") {
            let path = entry.expect("it can be read").path();
            let is_test = path.ends_with(Path::new("tests.rs"));
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_test {
                texts.push_str(&read(&path).replace("\\\"", "\"").replace("{{", "{").replace("}}", "}"));
            }
        }
    }
    texts
}
