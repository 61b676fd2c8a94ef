//! A page, read into what it tells a reader to do. What it cannot read it refuses: nothing on a page is passed over.

/// One thing that a page tells its reader to do, or to see.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Run these commands, in one shell.
    Run(String),
    /// See this, printed by the commands before.
    See(String),
    /// Write a file.
    Write { name: String, text: String },
}

/// A step and the line of the page that its block begins at.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) line: usize,
    pub(crate) step: Step,
}

/// The languages of files. Another one is a misspelling until it is named here.
const LANGUAGES: [&str; 7] = ["c", "cpp", "rust", "toml", "json", "sh", "text"];

/// Every block of the page, in order.
///
/// # Errors
/// A block of an unknown kind, one that does not end, one that is indented, output of nothing, or a file that the text
/// before it does not name: with the line.
pub(crate) fn read(page: &str) -> Result<Vec<Placed>, String> {
    let mut steps: Vec<Placed> = Vec::new();
    let mut prose = String::new();
    let mut lines = page.lines().enumerate().map(|(at, line)| (at + 1, line));
    while let Some((at, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            // Other ways to show code, of which a reader copies too and which would not be run.
            if line.contains("```") || line.trim_start().starts_with("~~~") || line.starts_with("    ") {
                return Err(format!("line {at}: code that is no fenced block at the margin: {line}"));
            }
            prose.push_str(line);
            prose.push('\n');
            continue;
        };
        let mut text = String::new();
        loop {
            match lines.next() {
                None => return Err(format!("line {at}: the block does not end")),
                Some((_, "```")) => break,
                Some((_, line)) => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        let after_commands = matches!(steps.last(), Some(Placed { step: Step::Run(_), .. }));
        let step = match kind.split_once(" file=") {
            Some((language, name)) if LANGUAGES.contains(&language) => {
                if !prose.contains(&format!("`{name}`")) {
                    return Err(format!("line {at}: the text before does not say that this is `{name}`"));
                }
                Step::Write { name: name.to_owned(), text }
            }
            None if kind == "sh" => Step::Run(text),
            None if kind == "output" && after_commands => Step::See(text),
            None if kind == "output" => return Err(format!("line {at}: output, and no commands before")),
            _ => return Err(format!("line {at}: nobody knows what to do with a block of `{kind}`")),
        };
        steps.push(Placed { line: at, step });
        prose.clear();
    }
    Ok(steps)
}

/// How many commands a block has: lines but those that go on in the next, and comments.
pub(crate) fn commands(block: &str) -> usize {
    let lines = block.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.ends_with('\\')).count()
}

#[test]
fn a_page_is_read_in_its_order() {
    let page = "# Title\n\n`a.c`:\n\n```c file=a.c\nint a;\n```\n\n```sh\nls\n```\n\n```output\na.c\n```\n";
    let steps: Vec<_> = read(page).expect("it is right").into_iter().map(|placed| placed.step).collect();
    let file = Step::Write { name: "a.c".into(), text: "int a;\n".into() };
    assert_eq!(steps, [file, Step::Run("ls\n".into()), Step::See("a.c\n".into())]);
}

#[test]
fn what_nobody_would_run_is_refused() {
    let cases = [
        ("```c\nint a;\n```\n", "line 1: nobody knows what to do with a block of `c`"),
        ("```bash\nls\n```\n", "line 1: nobody knows"),
        ("```sh ignore\nls\n```\n", "line 1: nobody knows"),
        ("`a.c`\n```C file=a.c\nint a;\n```\n", "line 2: nobody knows"),
        ("```c file=a.c\nint a;\n```\n", "line 1: the text before does not say that this is `a.c`"),
        ("```output\na.c\n```\n", "line 1: output, and no commands before"),
        ("```sh\nls\n", "line 1: the block does not end"),
        ("text\n\n    ls\n", "line 3: code that is no fenced block"),
        ("- text\n  ```sh\n  ls\n  ```\n", "line 2: code that is no fenced block"),
        ("~~~sh\nls\n~~~\n", "line 1: code that is no fenced block"),
    ];
    for (page, said) in cases {
        let error = read(page).expect_err(page);
        assert!(error.starts_with(said), "{page}: {error}");
    }
}
