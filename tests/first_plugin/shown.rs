//! What a page shows against what was printed.

/// Is this what the page shows? In a line `…` stands for anything, and a line of nothing else for any lines. Stdout and
/// stderr keep their own order; how they mix on a screen is left to chance, so any mixture will do.
pub(crate) fn is_shown(shown: &str, stdout: &str, stderr: &str) -> bool {
    let [shown, stdout, stderr] = [shown, stdout, stderr].map(|text| text.lines().collect::<Vec<_>>());
    mixes(&shown, &stdout, &stderr)
}

fn mixes(shown: &[&str], stdout: &[&str], stderr: &[&str]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return stdout.is_empty() && stderr.is_empty() };
    let any = *first == "…";
    if any && mixes(rest, stdout, stderr) {
        return true;
    }
    // A line that stands for any lines is kept for the next one too.
    let left = if any { shown } else { rest };
    let out = stdout.split_first().is_some_and(|(line, more)| fits(first, line) && mixes(left, more, stderr));
    out || stderr.split_first().is_some_and(|(line, more)| fits(first, line) && mixes(left, stdout, more))
}

fn fits(shown: &str, line: &str) -> bool {
    let Some((front, pieces)) = shown.split_once('…') else { return shown == line };
    let Some(mut line) = line.strip_prefix(front) else { return false };
    let mut pieces = pieces.split('…').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return line.ends_with(piece);
        }
        match line.split_once(piece) {
            Some((_, rest)) => line = rest,
            None => return false,
        }
    }
    true
}

#[test]
fn what_is_shown_fits_what_is_alike_and_nothing_else() {
    // What the page shows, what stdout and stderr had, and whether that is the same.
    let cases = [
        ("a\nb\n", "a\nb\n", "", true),
        ("a\nb\n", "b\n", "a\n", true),
        ("a\nb\n", "a\n", "b\n", true),
        ("a\nb\n", "b\na\n", "", false),
        ("a\n", "a\na\n", "", false),
        ("a\n", "a\n", "more\n", false),
        ("a\nb\n", "a\n", "", false),
        ("", "", "", true),
        ("", "a\n", "", false),
        ("…\nb\n", "x\ny\nb\n", "z\n", true),
        ("…\nb\n", "b\n", "", true),
        ("…\nb\n", "x\n", "", false),
        ("a\n…\n", "a\nx\n", "", true),
        ("x…y\n", "x1y\n", "", true),
        ("x…y\n", "x1z\n", "", false),
        ("x…y\n", "w1y\n", "", false),
        ("{…\"n\":1,…}\n", "{\"id\":7,\"n\":1,\"t\":2}\n", "", true),
        ("{…\"n\":1,…}\n", "{\"id\":7,\"n\":2,\"t\":2}\n", "", false),
        ("x…xy\n", "xy\n", "", false),
    ];
    for (shown, stdout, stderr, is) in cases {
        assert_eq!(is_shown(shown, stdout, stderr), is, "{shown:?} of {stdout:?} and {stderr:?}");
    }
}
