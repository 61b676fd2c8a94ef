//! What a page shows against what was printed.

use std::collections::HashSet;

/// Is this what the page shows? In a line `…` stands for anything, and a line of nothing else for any lines. Stdout and
/// stderr keep their own order; how they mix on a screen is left to chance, so any mixture will do.
pub(crate) fn is_shown(shown: &str, stdout: &str, stderr: &str) -> bool {
    let [shown, stdout, stderr] = [shown, stdout, stderr].map(|text| text.lines().collect::<Vec<_>>());
    // Where one can be: so many lines of each were taken. Each is looked at once.
    let (mut seen, mut next) = (HashSet::new(), vec![(0, 0, 0)]);
    while let Some((page, out, err)) = next.pop() {
        if !seen.insert((page, out, err)) {
            continue;
        }
        let Some(line) = shown.get(page) else {
            if out == stdout.len() && err == stderr.len() {
                return true;
            }
            continue;
        };
        let any = *line == "…";
        if any {
            next.push((page + 1, out, err));
        }
        // A line that stands for any lines is kept for the next one too.
        let page = if any { page } else { page + 1 };
        if stdout.get(out).is_some_and(|found| fits(line, found)) {
            next.push((page, out + 1, err));
        }
        if stderr.get(err).is_some_and(|found| fits(line, found)) {
            next.push((page, out, err + 1));
        }
    }
    false
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
