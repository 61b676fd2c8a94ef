//! Keys and names: what every service that keeps something says of them, in one place.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The most bytes that a key may have.
pub(crate) const LONGEST_KEY: usize = 512;

/// The most bytes that a namespace may have.
pub(crate) const LONGEST_NAME: usize = 128;

/// How many keys a page has if the caller does not say.
const DEFAULT_PAGE: usize = 100;

/// The most keys that a page may have.
const LARGEST_PAGE: usize = 1_000;

/// A key: 1 to 512 bytes of UTF-8 without NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a>(&'a str);

/// A namespace: 1 to 128 bytes of UTF-8 without NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Namespace<'a>(&'a str);

impl<'a> Key<'a> {
    /// A key of text that [`is_plain`]; none if it is empty or too long.
    #[inline]
    pub(crate) fn plain(text: &'a str) -> Option<Self> {
        debug_assert!(is_plain(text.as_bytes()));
        (1..=LONGEST_KEY).contains(&text.len()).then_some(Self(text))
    }

    /// INVALID_ARGUMENT, naming the argument, if the bytes are no key.
    pub(crate) fn parse(argument: &'static str, bytes: &'a [u8]) -> Result<Self> {
        parse(argument, bytes, LONGEST_KEY).map(Self)
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

impl<'a> Namespace<'a> {
    /// A namespace of text that [`is_plain`]; none if it is empty or too long.
    #[inline]
    pub(crate) fn plain(text: &'a str) -> Option<Self> {
        debug_assert!(is_plain(text.as_bytes()));
        (1..=LONGEST_NAME).contains(&text.len()).then_some(Self(text))
    }

    /// INVALID_ARGUMENT, naming the argument, if the bytes are no namespace.
    pub(crate) fn parse(argument: &'static str, bytes: &'a [u8]) -> Result<Self> {
        parse(argument, bytes, LONGEST_NAME).map(Self)
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Namespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many keys a page is to have, if `limit` are asked for; 0: the default.
///
/// INVALID_ARGUMENT: more than a page has.
pub(crate) fn page_limit(limit: u32) -> Result<usize> {
    match limit as usize {
        0 => Ok(DEFAULT_PAGE),
        limit @ 1..=LARGEST_PAGE => Ok(limit),
        limit => Err(Error::argument("limit", format!("is {limit}, at most {LARGEST_PAGE} are given"))),
    }
}

/// Whether bytes are ASCII without NUL, as nearly all keys are: that is seen in one pass over words of eight bytes, and they
/// need no other look. False says nothing.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    /// Has the high bit of a byte set where that byte is not plain. A byte above a NUL may have it too.
    #[inline]
    fn odd(word: u64) -> u64 {
        (word | word.wrapping_sub(0x0101_0101_0101_0101)) & 0x8080_8080_8080_8080
    }
    let mut seen = 0;
    if let Some(last) = bytes.last_chunk::<8>() {
        for word in bytes.as_chunks::<8>().0 {
            seen |= odd(u64::from_le_bytes(*word));
        }
        // Overlaps the one before, where their number is no multiple of eight.
        return seen | odd(u64::from_le_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
        return odd(word) == 0;
    }
    bytes.iter().all(|byte| (1..0x80).contains(byte))
}

#[inline]
fn parse<'a>(argument: &'static str, bytes: &'a [u8], longest: usize) -> Result<&'a str> {
    if (1..=longest).contains(&bytes.len())
        && !bytes.contains(&0)
        && let Ok(text) = str::from_utf8(bytes)
    {
        return Ok(text);
    }
    Err(problem(argument, bytes, longest))
}

#[cold]
#[inline(never)]
fn problem(argument: &'static str, bytes: &[u8], longest: usize) -> Error {
    let len = bytes.len();
    let wrong_utf8 = str::from_utf8(bytes).err().map(|error| error.valid_up_to());
    let nul = bytes.iter().position(|byte| *byte == 0);
    Error::lazy(ErrorKind::InvalidArgument, move || match (len, nul, wrong_utf8) {
        (0, ..) => format!("argument `{argument}`: it is empty, 1 to {longest} bytes are taken"),
        (len, ..) if len > longest => {
            format!("argument `{argument}`: {len} bytes, 1 to {longest} are taken")
        }
        (_, Some(at), _) => {
            format!("argument `{argument}`: a NUL at byte {at}: the length must not count a terminator")
        }
        (_, None, at) => {
            format!("argument `{argument}`: not UTF-8 from byte {} on", at.unwrap_or_default())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everywhere_1_a_key_has_1_to_512_bytes_of_utf_8_without_nul() {
        let longest = "k".repeat(512);
        for key in ["k", "ü", "a b", "%_*[", "../x", &longest] {
            assert_eq!(Key::parse("key", key.as_bytes()).expect("it is one").as_str(), key);
        }
        let cases: [(&[u8], &str); 4] = [
            (b"", "argument `key`: it is empty, 1 to 512 bytes are taken"),
            (&[b'k'; 513], "argument `key`: 513 bytes, 1 to 512 are taken"),
            (b"a\0b", "argument `key`: a NUL at byte 1: the length must not count a terminator"),
            (b"ab\xff", "argument `key`: not UTF-8 from byte 2 on"),
        ];
        for (key, expected) in cases {
            let error = Key::parse("key", key).expect_err("it is none");
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidArgument, expected));
        }
    }

    #[test]
    fn plain_is_what_is_ascii_and_has_no_nul_at_any_length_and_place() {
        for len in 0..40 {
            let good = vec![b'~'; len];
            assert!(is_plain(&good), "{len}");
            for at in 0..len {
                for (byte, plain) in
                    [(0, false), (1, true), (0x7f, true), (0x80, false), (0x81, false), (0xff, false)]
                {
                    let mut bytes = good.clone();
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), plain, "{byte} at {at} of {len}");
                }
            }
        }
        assert!(Key::plain("").is_none() && Key::plain(&"k".repeat(513)).is_none());
        assert!(Namespace::plain("n").is_some() && Namespace::plain(&"n".repeat(129)).is_none());
    }

    #[test]
    fn a_namespace_has_1_to_128_bytes() {
        assert!(Namespace::parse("ns", &[b'n'; 128]).is_ok());
        let error = Namespace::parse("ns", &[b'n'; 129]).expect_err("it is none");
        assert_eq!(error.to_string(), "argument `ns`: 129 bytes, 1 to 128 are taken");
    }
}
