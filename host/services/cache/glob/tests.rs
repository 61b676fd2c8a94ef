//! What patterns mean, what is none, and what it costs to match them.

use super::{Glob, naive};
use crate::{error::ErrorKind, services::cache::random::Dice};

fn glob(pattern: &str) -> Glob {
    Glob::parse("pattern", pattern.as_bytes()).unwrap_or_else(|error| panic!("`{pattern}`: {error}"))
}

/// Asks `pattern` of `key`, and holds the answer to the bound and to the naive matcher.
fn matches(pattern: &str, key: &str) -> bool {
    let glob = glob(pattern);
    let (matches, steps) = glob.matches_counted(key);
    assert!(steps <= pattern.len() * key.len(), "`{pattern}` on `{key}` took {steps} steps");
    assert_eq!(matches, naive::matches(pattern, key), "`{pattern}` on `{key}`");
    assert_eq!(matches, glob.matches(key), "`{pattern}` on `{key}`");
    assert!(!matches || key.starts_with(glob.literal_prefix()), "`{pattern}` on `{key}`");
    matches
}

#[test]
fn cache_27_in_globs_nothing_but_two_stars_crosses_a_slash() {
    // (pattern, keys that match, keys that do not)
    let cases: [(&str, &[&str], &[&str]); 37] = [
        ("a", &["a"], &["b", "aa", "A", "a/"]),
        ("*", &["a", "abc", "ü", "*"], &["a/b", "/", "/a", "a/"]),
        ("a*", &["a", "ab", "a*"], &["ba", "a/b", "a/"]),
        ("*a", &["a", "ba", "aa"], &["ab", "b/a"]),
        ("a*b*c", &["abc", "aXbYc", "abbcc", "abcabc"], &["ab", "acb", "a/bc", "abc/"]),
        ("*/*", &["a/b", "/", "a/", "/b"], &["a", "a/b/c"]),
        ("?", &["a", "ü", "\u{1f980}", "?"], &["ab", "/", "e\u{301}"]),
        ("a?c", &["abc", "a c"], &["ac", "a/c", "abbc"]),
        ("[a-c]", &["a", "b", "c"], &["d", "-", "A", "ab"]),
        ("[!a-c]", &["d", "-", "A", "!"], &["a", "b", "/", "dd"]),
        ("[^a]", &["^", "a"], &["b"]),
        ("[a!]", &["a", "!"], &["b"]),
        ("[]a]", &["]", "a"], &["b", "[]a]"]),
        ("[!]a]", &["b", "["], &["]", "a"]),
        ("[-a]", &["-", "a"], &["b"]),
        ("[a-]", &["-", "a"], &["b"]),
        ("[a-c-e]", &["a", "b", "c", "-", "e"], &["d"]),
        (r"[a\-c]", &["a", "-", "c"], &["b", r"\"]),
        (r"[\]\\]", &["]", r"\"], &["a"]),
        (r"[+-\]]", &["+", "9", "A", "["], &["/", "a"]),
        ("[ä-ö]x", &["äx", "öx", "åx"], &["ax", "ä", "üx"]),
        ("x[?*[]y", &["x?y", "x*y", "x[y"], &["xay"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b", "a//b", "a/b/b"], &["a/xb", "ab", "a/b/", "xa/b"]),
        ("**", &["a", "a/b", "/", "//", "a/b/c/"], &[]),
        ("a/**", &["a", "a/", "a/b", "a/b/c"], &["ab", "ab/c", "b", "b/a"]),
        ("a/**/*", &["a/", "a/b", "a/b/c"], &["a", "ab/c"]),
        ("**/a", &["a", "b/a", "/a", "x/y/a", "a/a"], &["ab", "ba", "a/b", "a/"]),
        ("**/a/**", &["a", "a/b", "b/a", "x/a/y", "x/a/y/a/z"], &["ba", "ab", "x/ab/y"]),
        ("**/**", &["a", "a/b", "/"], &[]),
        ("a/**/**", &["a", "a/b"], &["ab"]),
        ("**/", &["/", "a/", "a/b/"], &["a", "a/b"]),
        ("**/a*/b?", &["a/bc", "x/ay/bz", "ab/ab/bc"], &["a/b", "a/x/bc", "x/ay/bz/"]),
        ("/**", &["/", "/a", "/a/b"], &["a", "a/b"]),
        (r"\*\?\[a]", &["*?[a]"], &["x?[a]", r"\*\?\[a]"]),
        (r"a\/b\/**", &["a/b", "a/b/c"], &["a/bc"]),
        (r"\a\ü\\", &[r"aü\"], &["aü"]),
        ("]{a,b}%_^$.", &["]{a,b}%_^$."], &["]a%_^$."]),
    ];
    for (pattern, these, others) in cases {
        for (keys, expected) in [(these, true), (others, false)] {
            for key in keys {
                assert_eq!(matches(pattern, key), expected, "`{pattern}` on `{key}`");
            }
        }
    }
}

#[test]
fn cache_28_a_bad_pattern_is_refused_with_the_place_and_what_to_do() {
    let (longest, unclosed) = ("p".repeat(513), "*[".to_owned() + &"a".repeat(500));
    let star = "put it between slashes, or write `*` for a run within a segment";
    let set = "close it with `]`, or write `\\[` for the character";
    let first = "(a `]` that comes first is one of the set)";
    let cases: [(&[u8], &str); 26] = [
        (b"", "it is empty, 1 to 512 bytes are taken"),
        (longest.as_bytes(), "513 bytes, 1 to 512 are taken"),
        (b"a\0", "a NUL at byte 1: the length must not count a terminator"),
        (b"a*\xff", "not UTF-8 from byte 2 on"),
        (b"a**", &format!("the `**` at byte 1 is not a whole segment: {star}")),
        (b"**a", &format!("the `**` at byte 0 is not a whole segment: {star}")),
        (b"a/**b/c", &format!("the `**` at byte 2 is not a whole segment: {star}")),
        (b"a/b**/c", &format!("the `**` at byte 3 is not a whole segment: {star}")),
        (b"***", &format!("the `**` at byte 0 is not a whole segment: {star}")),
        (b"**/***", &format!("the `**` at byte 3 is not a whole segment: {star}")),
        (b"\\***", &format!("the `**` at byte 2 is not a whole segment: {star}")),
        ("ü[a".as_bytes(), &format!("the set that begins at byte 2 has no end: {set}")),
        (unclosed.as_bytes(), &format!("the set that begins at byte 1 has no end: {set}")),
        (b"[", &format!("the set that begins at byte 0 has no end: {set}")),
        (b"[!", &format!("the set that begins at byte 0 has no end: {set}")),
        (b"[a-", &format!("the set that begins at byte 0 has no end: {set}")),
        (b"[]", &format!("the set that begins at byte 0 has no end {first}: {set}")),
        (b"x[!]", &format!("the set that begins at byte 1 has no end {first}: {set}")),
        (b"[]/a", "a `/` in a set, at byte 2, which no set stands for: write it outside"),
        (b"[a\\/]", "a `/` in a set, at byte 2, which no set stands for: write it outside"),
        (b"[a-/]", "a `/` in a set, at byte 3, which no set stands for: write it outside"),
        (b"x[z-a]", "the range at byte 2 ends before it begins: turn it round"),
        (b"[ab-\\a]", "the range at byte 2 ends before it begins: turn it round"),
        (b"a\\", "nothing is behind the `\\` at byte 1: write `\\\\` for the character"),
        (b"[a\\", "nothing is behind the `\\` at byte 2: write `\\\\` for the character"),
        (b"[a-\\", "nothing is behind the `\\` at byte 3: write `\\\\` for the character"),
    ];
    for (pattern, expected) in cases {
        let error = Glob::parse("pattern", pattern).map(drop).expect_err("it is no pattern");
        let text = pattern.escape_ascii();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        assert_eq!(error.to_string(), format!("argument `pattern`: {expected}"), "{text}");
    }
}

#[test]
fn cache_29_a_match_takes_no_more_steps_than_pattern_times_key() {
    let keys = ["a".repeat(512), "a/".repeat(256), "/".repeat(512), "a".repeat(511) + "b", "ü".repeat(256)];
    let mut patterns = vec![
        "*?".repeat(128),
        "?*".repeat(128),
        "*a".repeat(128),
        "*a".repeat(127) + "*b",
        "*[!b]".repeat(51) + "b",
        "*[b-cd-ef-gh-ia]".repeat(16),
        "*?/".repeat(85),
        "**/a/".repeat(51),
        "**/a/**/*?".to_owned() + &"/**/*a".repeat(40),
        "**/*a*a*a*a*a*b/*a*b/**/c".to_owned(),
        "**/".to_owned() + &"/".repeat(253) + "b",
        "a".repeat(256),
        "?".repeat(256),
    ];
    let mut dice = Dice::new(29);
    for _ in 0..200 {
        let mut pattern = String::new();
        while pattern.len() < 256 {
            let element = if pattern.ends_with('*') || dice.roll(2) == 0 { '?' } else { '*' };
            pattern.push(element);
        }
        patterns.push(pattern);
    }
    let mut most = 0;
    for pattern in &patterns {
        for key in &keys {
            let (_, steps) = glob(pattern).matches_counted(key);
            assert!(steps <= pattern.len() * key.len(), "`{pattern}` on `{key}` took {steps} steps");
            most = most.max(steps);
        }
    }
    assert!(most > 512, "the steps are counted");
}

#[test]
fn what_a_pattern_begins_with_is_told_without_its_escapes() {
    let cases = [
        ("a/b", "a/b"),
        ("a/b*", "a/b"),
        ("a/**", "a"),
        ("a/**/b", "a/"),
        ("*a", ""),
        ("**", ""),
        (r"\*a[b]", "*a"),
        ("ü?", "ü"),
    ];
    for (pattern, prefix) in cases {
        assert_eq!(glob(pattern).literal_prefix(), prefix, "`{pattern}`");
    }
}

#[test]
fn cache_27_random_patterns_match_what_the_naive_matcher_says() {
    const OF_PATTERNS: [&str; 20] = [
        "a", "b", "ü", "/", "/", "*", "*", "?", "**", "/**/", "**/", "/**", "[ab]", "[!a]", "[a-ü]", "[]-]",
        "\\*", "\\/", "[", "-",
    ];
    const OF_KEYS: [&str; 10] = ["a", "a", "b", "b", "ü", "/", "/", "*", "]", "\u{1f980}"];
    let mut dice = Dice::new(27);
    let mut text = |parts: &[&str], longest| -> String {
        (0..=dice.roll(longest)).map(|_| parts[dice.roll(parts.len() as u64) as usize]).collect()
    };
    let (mut patterns, mut found) = (0, 0);
    while patterns < 10_000 {
        let pattern = text(&OF_PATTERNS, 7);
        if Glob::parse("pattern", pattern.as_bytes()).is_err() {
            continue;
        }
        patterns += 1;
        for _ in 0..8 {
            found += u32::from(matches(&pattern, &text(&OF_KEYS, 7)));
        }
    }
    assert!(found > 2_000, "only {found} matches");
}
