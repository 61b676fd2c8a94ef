//! What a path of a file is. It is looked at once, here; what is a [`FilePath`] needs no other look.
//!
//! No path ever becomes one of the disk: files lie there under numbers. The rules are for people, and for tools that
//! write files out under their names one day.

use std::fmt;

use crate::{
    error::{Error, Result},
    services::keys::Key,
};

/// A path: 1 to 512 bytes of UTF-8 without control characters and `\`, of segments that are neither empty nor `.` nor
/// `..`, with `/` between them. Two are the same if their bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FilePath<'a>(&'a str);

impl<'a> FilePath<'a> {
    /// INVALID_ARGUMENT, naming the argument and what is wrong, if the bytes are no path.
    pub(crate) fn parse(argument: &'static str, bytes: &'a [u8]) -> Result<Self> {
        let text = Key::parse(argument, bytes)?.as_str();
        match problem(text) {
            None => Ok(Self(text)),
            Some(problem) => Err(Error::argument(argument, problem)),
        }
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for FilePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a path, and what would be right.
fn problem(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return Some("it begins with `/`: paths have no root, begin with the first segment".into());
    }
    if path.ends_with('/') {
        return Some("it ends with `/`: name a file, there are no folders to name".into());
    }
    if let Some(at) = path.find('\\') {
        return Some(format!("a `\\` at byte {at}: write `/` between segments"));
    }
    if let Some((at, control)) = path.char_indices().find(|(_, character)| character.is_control()) {
        return Some(format!(
            "the control character U+{:04X} at byte {at}: leave it out",
            u32::from(control)
        ));
    }
    path.split('/').find_map(|segment| match segment {
        "" => Some("an empty segment: write one `/` between segments".into()),
        "." | ".." => Some(format!("the segment `{segment}`: name the file by its segments alone")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_2_each_refusal_says_what_is_wrong_with_the_path() {
        let long = "p".repeat(513);
        let cases: [(&[u8], &str); 17] = [
            (b"", "it is empty"),
            (long.as_bytes(), "513 bytes"),
            (b"a\0b", "a NUL at byte 1"),
            (b"a\xff", "not UTF-8 from byte 1 on"),
            (b"/", "begins with `/`"),
            (b"/etc/passwd", "begins with `/`"),
            (b"a/", "ends with `/`"),
            (b"a//b", "an empty segment"),
            (b".", "the segment `.`"),
            (b"..", "the segment `..`"),
            (b"a/../b", "the segment `..`"),
            (b"a/./b", "the segment `.`"),
            (b"a/..", "the segment `..`"),
            (b"a\\b", "a `\\` at byte 1"),
            (b"a\nb", "U+000A at byte 1"),
            (b"a\x7f", "U+007F at byte 1"),
            ("a\u{85}".as_bytes(), "U+0085 at byte 1"),
        ];
        for (path, expected) in cases {
            let told = FilePath::parse("path", path).expect_err("it is none").to_string();
            assert!(told.starts_with("argument `path`: ") && told.contains(expected), "{path:?}: {told}");
        }
        for path in ["a", "a/b", "...", "..a", "a..", " ", "a b", "C:", "~", "%2e%2e", "ü", &long[..512]] {
            assert_eq!(FilePath::parse("path", path.as_bytes()).expect("it is one").as_str(), path);
        }
    }
}
