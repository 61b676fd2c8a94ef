//! What came of a step on the plugin's side and what on SQLite's, and where the two differ.

use std::fmt::Write;

use pintle_abi::*;

use super::step::{Does, Expects, How, Step};

/// What the plugin was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) text: String,
    pub(crate) code: u32,
    /// -2: nothing was written of what the statement did.
    pub(crate) offset: i64,
    pub(crate) changed: u64,
    pub(crate) last_insert_id: i64,
    /// How many rows it was told that there were.
    pub(crate) told_rows: u64,
    /// How often the names of the columns were told.
    pub(crate) named: u32,
    pub(crate) names: Vec<String>,
    /// How many rows it got.
    pub(crate) rows: u64,
    /// Of all of them, in the byte form.
    pub(crate) hash: u64,
    /// The first of them.
    pub(crate) carried: Vec<u8>,
}

/// What SQLite answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) failure: Option<Failure>,
    pub(crate) changed: u64,
    pub(crate) last_insert_id: i64,
    pub(crate) names: Vec<String>,
    pub(crate) rows: u64,
    pub(crate) hash: u64,
    pub(crate) carried: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The extended result code.
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) offset: Option<usize>,
}

impl Failure {
    /// It took too many steps.
    pub(crate) fn stopped(&self) -> bool {
        self.code == 9
    }

    /// The status that the contract has for it.
    fn status(&self) -> i32 {
        const SIZES: [&str; 6] = [
            "too many",
            "Expression tree is too large",
            "parser stack overflow",
            "LIKE or GLOB pattern too complex",
            "string or blob too big",
            "query too large",
        ];
        match self.code & 0xff {
            1 if self.text == "integer overflow" => PINTLE_OUT_OF_RANGE,
            1 if SIZES.iter().any(|size| self.text.contains(size)) => PINTLE_TOO_LARGE,
            1 => PINTLE_INVALID_ARGUMENT,
            // A STRICT column takes no such value; a rowid neither.
            19 if self.code == 3_091 => PINTLE_WRONG_TYPE,
            20 => PINTLE_WRONG_TYPE,
            19 => PINTLE_CONFLICT,
            18 => PINTLE_TOO_LARGE,
            23 => PINTLE_DENIED,
            _ => PINTLE_UNAVAILABLE,
        }
    }
}

/// Where the two differ; none: they do not.
pub(crate) fn difference(step: &Step, ours: &Outcome, plain: &Plain, most: u64) -> Option<String> {
    let mut wrong = String::new();
    let mut differ = |what: &str, ours: String, plain: String| {
        if ours != plain {
            let _ = writeln!(wrong, "  {what}: the plugin has {ours}, SQLite {plain}");
        }
    };
    if let Expects::Status(status) = step.expects {
        differ("status", told(ours.status, &ours.text), told(status, &ours.text));
        differ("rows that a refused statement gave", ours.rows.to_string(), "0".into());
        return (!wrong.is_empty()).then_some(wrong);
    }
    // What the front adds to SQLite: the limits of rows.
    let limit = if step.how == How::QueryOne { 1 } else { most };
    let gives = !matches!(step.how, How::Begin | How::Commit | How::Rollback);
    let limited = match plain.failure {
        None if gives && plain.rows > limit => Some(PINTLE_TOO_LARGE),
        None if step.how == How::QueryOne && plain.rows == 0 => Some(PINTLE_NOT_FOUND),
        _ => None,
    };
    if let Some(status) = limited {
        differ("status", told(ours.status, &ours.text), told(status, &ours.text));
        return (!wrong.is_empty()).then_some(wrong);
    }
    if let Some(failure) = &plain.failure {
        differ("status", told(ours.status, &ours.text), told(failure.status(), &ours.text));
        // A commit has no struct that would tell of the database's own words.
        let commits = step.how == How::Commit;
        if !commits && !ours.text.contains(&failure.text) {
            differ("text", format!("{:?}", ours.text), format!("{:?}", failure.text));
        }
        if !commits {
            differ("extended code", ours.code.to_string(), failure.code.to_string());
            let offset = failure.offset.map_or(-1, |offset| offset as i64);
            differ("offset", ours.offset.to_string(), offset.to_string());
        }
    } else {
        differ("status", told(ours.status, &ours.text), told(PINTLE_OK, ""));
        if ours.status == PINTLE_OK && !matches!(step.how, How::Begin | How::Commit | How::Rollback) {
            differ("extended code", ours.code.to_string(), "0".into());
            differ("offset", ours.offset.to_string(), "-1".into());
            differ("changed", ours.changed.to_string(), plain.changed.to_string());
            differ("last_insert_id", ours.last_insert_id.to_string(), plain.last_insert_id.to_string());
            let rows = if step.how == How::Script { 0 } else { plain.rows };
            if step.how != How::Script {
                differ("rows that it was told of", ours.told_rows.to_string(), rows.to_string());
            }
        }
    }
    // What fails before its first row need not tell the names.
    let may_be_silent = plain.failure.is_some() && plain.rows == 0 && ours.named == 0;
    if matches!(step.how, How::Query | How::QueryOne) && !may_be_silent {
        differ("names of columns", format!("{:?}", ours.names), format!("{:?}", plain.names));
        differ(
            "how often they were told",
            ours.named.to_string(),
            u32::from(!plain.names.is_empty()).to_string(),
        );
    }
    if matches!(step.how, How::Query | How::QueryOne) {
        differ("number of rows", ours.rows.to_string(), plain.rows.to_string());
        if ours.hash != plain.hash {
            differ("rows", rows(&ours.carried, ours.names.len()), rows(&plain.carried, plain.names.len()));
            differ("hash of all rows", ours.hash.to_string(), plain.hash.to_string());
        }
    }
    (!wrong.is_empty()).then_some(wrong)
}

/// Whether a step did what it was meant to do on SQLite's side.
pub(crate) fn worked(step: &Step, plain: &Plain) -> bool {
    step.expects == Expects::Same && plain.failure.is_none()
}

/// Whether it is one of those whose answers say something.
pub(crate) fn asks(step: &Step) -> bool {
    step.expects == Expects::Same
        && step.does != Does::Define
        && !matches!(step.how, How::Begin | How::Commit | How::Rollback)
}

fn told(status: i32, text: &str) -> String {
    let name = match status {
        PINTLE_OK => "OK",
        PINTLE_INVALID_ARGUMENT => "INVALID_ARGUMENT",
        PINTLE_CONFLICT => "CONFLICT",
        PINTLE_WRONG_TYPE => "WRONG_TYPE",
        PINTLE_OUT_OF_RANGE => "OUT_OF_RANGE",
        PINTLE_DENIED => "DENIED",
        PINTLE_TOO_LARGE => "TOO_LARGE",
        PINTLE_NOT_FOUND => "NOT_FOUND",
        PINTLE_UNAVAILABLE => "UNAVAILABLE",
        _ => "another",
    };
    if status == PINTLE_OK { name.into() } else { format!("{name} ({status}; {text})") }
}

/// Rows in the byte form, to be read by people: the first ones.
fn rows(mut bytes: &[u8], columns: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    while let Some((kind, rest)) = bytes.split_first() {
        if text.len() > 3_000 {
            return text + " …";
        }
        let (part, length) = match kind {
            1 if rest.len() >= 8 => {
                (i64::from_ne_bytes(rest[..8].try_into().expect("8 bytes")).to_string(), 8)
            }
            2 if rest.len() >= 8 => {
                (format!("{:?}", f64::from_ne_bytes(rest[..8].try_into().expect("8 bytes"))), 8)
            }
            3 | 4 if rest.len() >= 4 => {
                let length = u32::from_ne_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
                let bytes = &rest[4..(4 + length).min(rest.len())];
                let part = if *kind == 3 {
                    format!("{:?}", String::from_utf8_lossy(bytes))
                } else {
                    format!("x{bytes:02x?}")
                };
                (part, 4 + length)
            }
            0 => ("NULL".to_owned(), 0),
            _ => break,
        };
        if length > rest.len() {
            break;
        }
        bytes = &rest[length..];
        column += 1;
        text += &part;
        text += if column % columns.max(1) == 0 { "; " } else { ", " };
    }
    text
}
