//! The record that holds a manifest inside a library: magic, length, text, NUL, as `PINTLE_MANIFEST` of the
//! header writes it. Talks to [`Source`] only.

use super::source::{Flaw, Source};
use crate::{error::ErrorKind, plugin::manifest::MAX_TEXT};

const MAGIC: &[u8; 8] = b"PINTLE1\0";
const HEADER: usize = 16;

/// A section is read up to this size: a manifest of the greatest length and a generous rest.
const MOST: u64 = 2 * MAX_TEXT as u64;

/// The manifest's text in the section at `offset`. `None` if the section is empty.
pub(super) fn read(
    source: &Source<'_>,
    offset: u64,
    size: u64,
    little: bool,
) -> Result<Option<Vec<u8>>, Flaw> {
    source.holds("the manifest's section", offset, size)?;
    let section = source.at("the manifest's section", offset, size.min(MOST), MOST)?;
    if section.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if section.len() < HEADER || !section.starts_with(MAGIC) {
        return Err(damaged("it does not begin with the magic of a record"));
    }
    let mut length = [0; 8];
    length.copy_from_slice(&section[8..HEADER]);
    let length = if little { u64::from_le_bytes(length) } else { u64::from_be_bytes(length) };
    if length > MAX_TEXT as u64 {
        let text = format!("has a manifest of {length} bytes, at most {MAX_TEXT} are allowed");
        return Err(Flaw::new(ErrorKind::TooLarge, text));
    }
    let end = HEADER + length as usize;
    match section.get(end) {
        None => return Err(damaged("its text is longer than the section")),
        Some(0) => {}
        Some(_) => return Err(damaged("its length is not the length of its text")),
    }
    if let Some(at) = section[end..].iter().position(|byte| *byte != 0) {
        return Err(if section[end + at..].starts_with(MAGIC) {
            twice()
        } else {
            damaged("something other than zeros follows it")
        });
    }
    if size > MOST {
        return Err(damaged("its section is far larger than its text"));
    }
    Ok(Some(section[HEADER..end].to_vec()))
}

/// What is said where a second record is found.
pub(super) fn twice() -> Flaw {
    Flaw::invalid("has its manifest twice").mend("use PINTLE_MANIFEST in one source file only")
}

fn damaged(what: &str) -> Flaw {
    Flaw::invalid(format!("has a damaged manifest record: {what}"))
        .mend("use PINTLE_MANIFEST of the header, or put NAME.pintle.json beside the library")
}
