//! Reads a Rust file without compiling it: its code without comments and texts, and the paths that it names.
//!
//! It knows `crate::`, `super::` and `self::` paths with groups, and inline modules. Macros that put paths together
//! are beyond it; the house has none.

use std::path::{Path, PathBuf};

/// A file of the repository.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    /// Where its code stands in the crate: `["lanes", "worker"]`; `["lib"]` for the front page.
    pub(crate) module: Vec<String>,
    pub(crate) text: String,
    /// The text, with comments and the insides of string literals blanked out.
    code: String,
}

impl Source {
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        let inside = path.strip_prefix("host").unwrap_or(&path).with_extension("");
        let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let code = blank(&text);
        Self { path, module, text, code }
    }

    /// The folder or file right below `host/`.
    pub(crate) fn part(&self) -> &str {
        &self.module[0]
    }

    /// The numbers of the lines whose code has `word`: not as a part of a longer name.
    pub(crate) fn lines_with(&self, word: &str) -> impl Iterator<Item = usize> {
        let lines = self.code.lines().enumerate().filter(move |(_, line)| {
            line.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back().is_some_and(of_a_name);
                let after = line[at + word.len()..].chars().next().is_some_and(of_a_name);
                // `&*mut` is a pointer whatever stands in front, `my_unsafe` is another word.
                let within = after || (before && word.starts_with(of_a_name));
                !within
            })
        });
        lines.map(|(at, _)| at + 1)
    }

    /// `path:line` of each line whose code has `word`.
    pub(crate) fn places_of(&self, word: &str) -> impl Iterator<Item = String> {
        self.lines_with(word).map(|line| format!("{}:{line}", self.path.display()))
    }

    /// The paths that it names, from the root of the crate, with the line that they start in.
    pub(crate) fn named(&self) -> Vec<(usize, Vec<String>)> {
        let tokens = tokens(&self.code);
        let mut here = if self.module == ["lib"] { Vec::new() } else { self.module.clone() };
        let mut named = Vec::new();
        let mut depth = 0;
        let mut modules = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let (line, token) = (tokens[at].0, tokens[at].1);
            match token {
                "{" => depth += 1,
                "}" => {
                    if modules.last() == Some(&depth) {
                        modules.pop();
                        here.pop();
                    }
                    depth = usize::saturating_sub(depth, 1);
                }
                "mod" if word(&tokens, at + 2) == "{" => {
                    here.push(word(&tokens, at + 1).to_owned());
                    at += 2;
                    depth += 1;
                    modules.push(depth);
                }
                "crate" | "super" | "self" if word(&tokens, at + 1) == "::" => {
                    let mut base = if token == "crate" { Vec::new() } else { here.clone() };
                    if token == "super" {
                        base.pop();
                    }
                    at += 2;
                    while word(&tokens, at) == "super" && word(&tokens, at + 1) == "::" {
                        base.pop();
                        at += 2;
                    }
                    let mut paths = Vec::new();
                    at = tree(&tokens, at, &base, &mut paths);
                    named.extend(paths.into_iter().map(|(path, _)| (line, path)));
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        named
    }

    /// Of a front page: each name that a `use` makes known at the root, and the path that it stands for.
    pub(crate) fn passed_on(&self) -> Vec<(String, Vec<String>)> {
        let tokens = tokens(&self.code);
        let mut names = Vec::new();
        for (at, (_, token)) in tokens.iter().enumerate() {
            if *token == "use" {
                let mut paths = Vec::new();
                let start = if matches!(word(&tokens, at + 1), "crate" | "self") { at + 3 } else { at + 1 };
                tree(&tokens, start, &[], &mut paths);
                names.extend(paths.into_iter().map(|(path, name)| (name, path)));
            }
        }
        names
    }
}

/// Reads one `a::b::{c, d as e}` from `at` on; gives where it ends. Each path comes with the name that it makes known.
fn tree(
    tokens: &[(usize, &str)],
    mut at: usize,
    base: &[String],
    paths: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut path = base.to_vec();
    loop {
        match word(tokens, at) {
            "{" => {
                at += 1;
                while !matches!(word(tokens, at), "}" | "") {
                    at = tree(tokens, at, &path, paths);
                    if word(tokens, at) == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                paths.push((path, "*".to_owned()));
                return at + 1;
            }
            name if name.starts_with(of_a_name) => {
                if name != "self" {
                    path.push(name.to_owned());
                }
                at += 1;
                if word(tokens, at) == "::" && word(tokens, at + 1) != "<" {
                    at += 1;
                    continue;
                }
                let mut known_as = path.last().cloned().unwrap_or_default();
                if word(tokens, at) == "as" {
                    known_as = word(tokens, at + 1).to_owned();
                    at += 2;
                }
                paths.push((path, known_as));
                return at;
            }
            _ => return at + 1,
        }
    }
}

fn word<'a>(tokens: &[(usize, &'a str)], at: usize) -> &'a str {
    tokens.get(at).map_or("", |(_, token)| token)
}

/// Names, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if of_a_name(first) {
                rest.find(|c| !of_a_name(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((number + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Blanks out comments and the insides of literals, keeping the lines.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let within_a_name = at > 0 && of_a_name(char::from(bytes[at - 1]));
        let end = if rest.starts_with(b"//") {
            at + text[at..].find('\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            comment_end(bytes, at)
        } else if let Some(hashes) = raw_string(rest).filter(|_| !within_a_name) {
            let close = format!("\"{}", "#".repeat(hashes));
            let inside = at + 2 + hashes;
            text[inside..].find(&close).map_or(bytes.len(), |found| inside + found + close.len())
        } else if rest[0] == b'"' {
            literal_end(bytes, at, b'"')
        } else if rest[0] == b'\'' && is_char(&text[at + 1..]) {
            literal_end(bytes, at, b'\'')
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("whole literals and comments were blanked, so no character was cut")
}

fn comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn literal_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The number of `#` of a raw string that starts here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"r")?;
    let hashes = after.iter().take_while(|byte| **byte == b'#').count();
    (after.get(hashes) == Some(&b'"')).then_some(hashes)
}

/// Is what follows a quote a character, and not a lifetime?
fn is_char(after: &str) -> bool {
    let mut chars = after.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn code_is_told_from_comments_and_texts() {
    let cases = [
        ("a // unsafe\nb", "a          \nb"),
        ("a /* x /* y */ z */ b", "a                   b"),
        (r#"f("un\"safe", '"', 'a')"#, r"f(          ,    ,    )"),
        ("r#\"unsafe \" \"# end", "               end"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("for\"x\"", "for   "),
    ];
    for (text, expected) in cases {
        assert_eq!(blank(text), expected, "of {text}");
    }
}

#[test]
fn a_word_is_not_found_inside_of_another() {
    let source = Source::new(
        Path::new("host/a.rs").into(),
        "#![forbid(unsafe_code)]\nlet a: &*mut u8; unsafe {}\n".into(),
    );
    assert_eq!(source.lines_with("unsafe").collect::<Vec<_>>(), [2]);
    assert_eq!(source.lines_with("*mut").collect::<Vec<_>>(), [2]);
    assert_eq!(source.lines_with("code").count(), 0);
}
