//! Patterns over keys: [`Glob`] is parsed once, and then asked of each key of a namespace.
//!
//! The rules are our own, so no crate has them: `glob`, `globset` and the like are about paths, take `**` in the middle of
//! a segment for something, let sets or `?` cross a `/`, or build regular expressions whose cost nobody promises.
//!
//! A pattern and a key are segments with `/` between them; a segment may be empty. `**` is a segment of its own and stands
//! for any number of segments of the key, none included; every other segment stands for exactly one. In it `*` is any run
//! of characters, `?` one character, `[a-z]` one of a set, `[!a-z]` one that is not in it; `\` takes the meaning from the
//! character behind it, in a set too. Neither a run nor `?` nor a set stands for `/`. Everything else stands for itself,
//! `^`, `{` and a `]` outside of a set included. Characters are Unicode scalar values; nothing is folded or normalised.
//!
//! So `a/**/b` matches `a/b`, and by the same rule `a/**` matches `a` itself. Others differ there: bash, doublestar and
//! picomatch say so too, gitignore and globset do not. "All of a user" is what `users/7/**` is written for, and an item
//! that is loaded once more is a smaller harm than one that stays behind; `users/7/**/*` is for all that is below.

#[cfg(any(test, feature = "fuzz-entry"))]
pub(crate) mod naive;
mod parse;
#[cfg(test)]
mod tests;

use std::{ops::Range, str::Chars};

use crate::{error::Result, services::keys::Key};

/// A pattern over keys.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    /// What every key that matches begins with.
    prefix: String,
    /// What the rest of such a key is held against.
    elements: Box<[Element]>,
    /// The ranges of all sets, both ends included.
    ranges: Box<[CharRange]>,
}

type CharRange = (char, char);

/// A part of a pattern. None is shorter than it is written: [`Glob::walk`] rests on that.
#[derive(Clone, Debug, PartialEq)]
enum Element {
    /// This character, which may be `/`.
    Char(char),
    /// Any character of a segment.
    Any,
    /// A character of a segment that is in one of the ranges, or in none of them.
    Set { within: Range<usize>, negated: bool },
    /// Any number of characters of a segment.
    Run,
    /// `**/`: any number of segments, each with the `/` behind it.
    Segments,
    /// `/**` at the end: nothing, or a `/` and anything.
    Below,
    /// `**` alone: anything.
    Everything,
}

impl Glob {
    /// INVALID_ARGUMENT, naming the argument and the place, if it is no pattern.
    pub(crate) fn parse(argument: &'static str, pattern: &[u8]) -> Result<Self> {
        // The same 1 to 512 bytes of UTF-8 without NUL: a pattern without a special character is a key.
        let text = Key::parse(argument, pattern)?.as_str();
        let (mut elements, ranges) = parse::elements(argument, text)?;
        let literal = |element: &Element| match element {
            Element::Char(char) => Some(*char),
            _ => None,
        };
        let prefix: String = elements.iter().map_while(literal).collect();
        elements.drain(..prefix.chars().count());
        Ok(Self { prefix, elements: elements.into(), ranges: ranges.into() })
    }

    /// Whether the whole key is what the pattern says.
    pub(crate) fn matches(&self, key: &str) -> bool {
        self.walk(key, &mut |_| {})
    }

    /// What every key that matches begins with, for a back end that finds keys by their beginning. All of the pattern,
    /// if no character of it is special; empty, if its first one is.
    pub(crate) fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    /// As [`matches`](Self::matches), with the number of steps that it took.
    #[cfg(any(test, feature = "fuzz-entry"))]
    pub(crate) fn matches_counted(&self, key: &str) -> (bool, usize) {
        let mut steps = 0;
        let matches = self.walk(key, &mut |more| steps += more);
        (matches, steps)
    }

    /// Holds the key against the elements. Where a character does not fit, the last run takes one more; if it cannot, the
    /// last `**/` takes one more segment. What was before these needs no other try: a run that is followed by another one
    /// of its segment has left as much of the key as it could, a segment ends where the key's does, and the same goes for
    /// `**/`. So there are two places to go back to, and nothing else to remember.
    ///
    /// A step is an element, a range of a set, a byte of the prefix, or the end of the pattern, held against one
    /// character. It takes at most as many as the pattern has bytes times the bytes of the key: from where a run or a `**/`
    /// began, an element and a character meet in one way only, and the next run or `**/` begins behind both. Each pair
    /// thus meets once, the end of the pattern counted as an element. That one is held against more than one character only
    /// if there is a run or a `**/`, which is not held against any, so that there are never more to hold than bytes.
    /// Between two steps are at most one run and one `**/`, which are only noted, and the characters that `**/` skips.
    fn walk(&self, key: &str, count: &mut impl FnMut(usize)) -> bool {
        count(self.prefix.len().min(key.len()));
        let Some(key) = key.strip_prefix(self.prefix.as_str()) else { return false };
        let (mut element, mut rest) = (0, key.chars());
        // The element behind it, and the characters that it has left.
        let mut run: Option<(usize, Chars<'_>)> = None;
        let mut segments: Option<(usize, Chars<'_>)> = None;
        loop {
            let here = rest.clone();
            let (wanted, next) = (self.elements.get(element), rest.next());
            match wanted {
                Some(Element::Run) => {
                    rest = here;
                    element += 1;
                    run = Some((element, rest.clone()));
                    continue;
                }
                Some(Element::Segments) => {
                    rest = here;
                    element += 1;
                    (run, segments) = (None, Some((element, rest.clone())));
                    continue;
                }
                Some(Element::Everything) => return true,
                Some(_) | None => {}
            }
            let Some(next) = next else {
                // Later beginnings would find the end of the key even sooner.
                return matches!(wanted, None | Some(Element::Below));
            };
            match wanted {
                Some(Element::Below) if next == '/' => return true,
                Some(wanted) if self.takes(wanted, next, count) => {
                    element += 1;
                    if next == '/' {
                        run = None;
                    }
                    continue;
                }
                Some(_) => {}
                None => count(1),
            }
            if let Some((behind, left)) = &mut run
                && left.next().is_some_and(|char| char != '/')
            {
                (element, rest) = (*behind, left.clone());
            } else if let Some((behind, left)) = &mut segments
                && left.any(|char| char == '/')
            {
                (element, rest, run) = (*behind, left.clone(), None);
            } else {
                return false;
            }
        }
    }

    /// Whether an element stands for a character.
    fn takes(&self, element: &Element, char: char, count: &mut impl FnMut(usize)) -> bool {
        match element {
            Element::Set { within, negated } => {
                let ranges = &self.ranges[within.clone()];
                count(ranges.len());
                let found = ranges.iter().any(|(first, last)| (*first..=*last).contains(&char));
                char != '/' && found != *negated
            }
            other => {
                count(1);
                match other {
                    Element::Char(own) => *own == char,
                    Element::Any => char != '/',
                    _ => false,
                }
            }
        }
    }
}
