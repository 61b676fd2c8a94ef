//! Which keys a pattern matches: in short, for tests. The real host's rules are in `host/services/cache/glob.rs`, and
//! `tests/parity` compares the two.

use std::{iter::Peekable, str::Chars};

use super::input;
use crate::Result;

/// A pattern over keys.
pub(super) struct Glob(Vec<Segment>);

enum Segment {
    /// `**`: any number of segments.
    Any,
    One(Vec<Element>),
}

enum Element {
    Char(char),
    /// `?`
    Any,
    /// `*`
    Run,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    pub(super) fn parse(pattern: &str) -> Result<Self> {
        let mut segments = vec![Vec::new()];
        let mut rest = pattern.chars().peekable();
        while let Some(char) = rest.next() {
            let element = match char {
                '/' => None,
                '\\' => Some(Element::Char(rest.next().ok_or_else(|| wrong("it ends with a `\\`"))?)),
                '*' => Some(Element::Run),
                '?' => Some(Element::Any),
                '[' => Some(set(&mut rest)?),
                char => Some(Element::Char(char)),
            };
            match element {
                None | Some(Element::Char('/')) => segments.push(Vec::new()),
                Some(element) => segments.last_mut().expect("it begins with one").push(element),
            }
        }
        let segments = segments.into_iter().map(|segment| match segment[..] {
            [Element::Run, Element::Run] => Ok(Segment::Any),
            _ if segment.windows(2).any(|two| matches!(two, [Element::Run, Element::Run])) => {
                Err(wrong("a `**` is not a whole segment"))
            }
            _ => Ok(Segment::One(segment)),
        });
        segments.collect::<Result<_>>().map(Self)
    }

    pub(super) fn matches(&self, key: &str) -> bool {
        let key: Vec<Vec<char>> = key.split('/').map(|segment| segment.chars().collect()).collect();
        walk(
            &self.0,
            &key,
            |segment| matches!(segment, Segment::Any),
            |segment, part| match segment {
                Segment::Any => true,
                Segment::One(elements) => {
                    walk(elements, part, |element| matches!(element, Element::Run), Element::takes)
                }
            },
        )
    }
}

impl Element {
    fn takes(&self, char: &char) -> bool {
        match self {
            Self::Char(own) => own == char,
            Self::Any | Self::Run => true,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(first, last)| (first..=last).contains(&char)) != *negated
            }
        }
    }
}

/// Holds a key against a pattern, part by part. Where one does not fit, the last run takes one more: what was before it
/// needs no other try, so this is never slower than one times the other.
fn walk<P, K>(pattern: &[P], key: &[K], is_run: impl Fn(&P) -> bool, fits: impl Fn(&P, &K) -> bool) -> bool {
    let (mut at, mut of, mut run) = (0, 0, None);
    loop {
        match (pattern.get(at), key.get(of)) {
            (Some(part), _) if is_run(part) => {
                at += 1;
                run = Some((at, of));
            }
            (Some(part), Some(here)) if fits(part, here) => {
                at += 1;
                of += 1;
            }
            (None, None) => return true,
            _ => match &mut run {
                Some((behind, taken)) if *taken < key.len() => {
                    *taken += 1;
                    (at, of) = (*behind, *taken);
                }
                _ => return false,
            },
        }
    }
}

/// What is behind a `[`, up to its `]`.
fn set(rest: &mut Peekable<Chars<'_>>) -> Result<Element> {
    let negated = rest.next_if_eq(&'!').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Ok(Element::Set { negated, ranges });
        }
        let first = member(rest)?;
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(next)) if next != ']' => {
                rest.next();
                member(rest)?
            }
            _ => first,
        };
        if last < first {
            return Err(wrong("a range of a set ends before it begins"));
        }
        ranges.push((first, last));
    }
}

fn member(rest: &mut Peekable<Chars<'_>>) -> Result<char> {
    let char = match rest.next() {
        Some('\\') => rest.next(),
        char => char,
    };
    match char {
        None => Err(wrong("a set has no end")),
        Some('/') => Err(wrong("a `/` in a set")),
        Some(char) => Ok(char),
    }
}

fn wrong(problem: &str) -> crate::Error {
    input::wrong("pattern", problem)
}
