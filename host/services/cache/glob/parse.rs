//! From the text of a pattern to its elements, or to what is wrong with it and where.

use std::str::Chars;

use super::{CharRange, Element};
use crate::error::{Error, Result};

/// The elements of a pattern, and the ranges of its sets.
pub(super) fn elements(argument: &'static str, text: &str) -> Result<(Vec<Element>, Vec<CharRange>)> {
    Parser { argument, text, rest: text.chars(), elements: Vec::new(), ranges: Vec::new() }.all()
}

/// Goes through the text of a pattern once.
struct Parser<'a> {
    argument: &'static str,
    text: &'a str,
    rest: Chars<'a>,
    elements: Vec<Element>,
    ranges: Vec<CharRange>,
}

impl Parser<'_> {
    fn all(mut self) -> Result<(Vec<Element>, Vec<CharRange>)> {
        let mut begins = true;
        loop {
            let at = self.at();
            if begins && self.rest.as_str().starts_with("**") {
                self.segments(at)?;
            }
            let at = self.at();
            let Some(char) = self.rest.next() else { return Ok((self.elements, self.ranges)) };
            let element = match char {
                '*' if self.elements.last() == Some(&Element::Run) => return Err(self.no_segment(at - 1)),
                '*' => Element::Run,
                '?' => Element::Any,
                '[' => self.set(at)?,
                '\\' => Element::Char(self.escaped(at)?),
                char => Element::Char(char),
            };
            begins = element == Element::Char('/');
            self.elements.push(element);
        }
    }

    /// Takes a `**` that a segment begins with, and those that follow it, for they add nothing.
    fn segments(&mut self, at: usize) -> Result<()> {
        let mut at = at;
        loop {
            let behind = &self.rest.as_str()[2..];
            if behind.is_empty() {
                self.rest = behind.chars();
                let end = match self.elements.last() {
                    // The `/` goes with it, for `a/**` matches `a`.
                    Some(Element::Char('/')) => {
                        self.elements.pop();
                        Element::Below
                    }
                    _ => Element::Everything,
                };
                self.elements.push(end);
                return Ok(());
            }
            let Some(next) = behind.strip_prefix('/').or_else(|| behind.strip_prefix("\\/")) else {
                return Err(self.no_segment(at));
            };
            self.rest = next.chars();
            if !next.starts_with("**") {
                self.elements.push(Element::Segments);
                return Ok(());
            }
            at = self.at();
        }
    }

    /// What is behind the `[` at `at`, up to the `]`.
    fn set(&mut self, at: usize) -> Result<Element> {
        let negated = self.skip('!');
        let from = self.ranges.len();
        loop {
            let begin = self.at();
            let first = match self.rest.next() {
                Some(']') if self.ranges.len() > from => break,
                Some(char) => self.member(char, begin)?,
                None => return Err(self.unclosed(at)),
            };
            let mut ahead = self.rest.clone();
            let last = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(char)) if char != ']' => {
                    self.rest.next();
                    let place = self.at();
                    self.rest = ahead;
                    self.member(char, place)?
                }
                _ => first,
            };
            if last < first {
                let problem = format!("the range at byte {begin} ends before it begins");
                return Err(self.problem(problem, "turn it round"));
            }
            self.ranges.push((first, last));
        }
        Ok(Element::Set { within: from..self.ranges.len(), negated })
    }

    /// A character of a set, the first of which is `char`, at `at`.
    fn member(&mut self, char: char, at: usize) -> Result<char> {
        let char = if char == '\\' { self.escaped(at)? } else { char };
        if char != '/' {
            return Ok(char);
        }
        let problem = format!("a `/` in a set, at byte {at}, which no set stands for");
        Err(self.problem(problem, "write it outside"))
    }

    /// What is behind the `\` at `at`.
    fn escaped(&mut self, at: usize) -> Result<char> {
        self.rest.next().ok_or_else(|| {
            let problem = format!("nothing is behind the `\\` at byte {at}");
            self.problem(problem, "write `\\\\` for the character")
        })
    }

    fn skip(&mut self, char: char) -> bool {
        let found = self.rest.as_str().starts_with(char);
        if found {
            self.rest.next();
        }
        found
    }

    /// The byte that comes next.
    fn at(&self) -> usize {
        self.text.len() - self.rest.as_str().len()
    }

    fn unclosed(&self, at: usize) -> Error {
        let inside = &self.text[at + 1..];
        let hint = if inside.strip_prefix('!').unwrap_or(inside).starts_with(']') {
            " (a `]` that comes first is one of the set)"
        } else {
            ""
        };
        let problem = format!("the set that begins at byte {at} has no end{hint}");
        self.problem(problem, "close it with `]`, or write `\\[` for the character")
    }

    fn no_segment(&self, at: usize) -> Error {
        let problem = format!("the `**` at byte {at} is not a whole segment");
        self.problem(problem, "put it between slashes, or write `*` for a run within a segment")
    }

    fn problem(&self, problem: String, mend: &'static str) -> Error {
        Error::argument(self.argument, problem).mend(mend)
    }
}
