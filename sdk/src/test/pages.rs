//! Lists of keys in pages: of storage, of files and of the cache.

use pintle_abi::{PintleSink, PintleStr};

use super::input;
use crate::Result;

/// What a cursor begins with, and as many bytes as the longest has.
const CURSOR: &str = "key-";
const LONGEST_CURSOR: usize = CURSOR.len() + 2 * 512;

/// A page as it is asked for.
pub(super) struct Asked<'a> {
    prefix: &'a str,
    /// The key behind which it begins; empty for the first.
    after: String,
    limit: usize,
}

/// Keys, and the cursor of the page behind, empty after the last.
pub(super) struct Page {
    keys: String,
    cursor: String,
}

impl<'a> Asked<'a> {
    /// # Safety
    /// Both texts are readable for `'a`.
    pub(super) unsafe fn read(prefix: PintleStr, cursor: PintleStr, limit: u32) -> Result<Self> {
        // SAFETY: the caller's promise.
        let (prefix, cursor) =
            unsafe { (input::text("prefix", prefix, 512)?, input::text("cursor", cursor, LONGEST_CURSOR)?) };
        let limit = match limit {
            0 => 100,
            1..=1_000 => limit as usize,
            _ => {
                let problem = format!("{limit}, 1 to 1,000 are taken, or 0 for 100");
                return Err(input::wrong("limit", problem));
            }
        };
        let after = behind(cursor).filter(|after| cursor.is_empty() || after.starts_with(prefix));
        let after = after.ok_or_else(|| input::wrong("cursor", "no page of this prefix gave it"))?;
        Ok(Self { prefix, after, limit })
    }

    /// The page of these keys, which stand in byte order.
    pub(super) fn page<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Page {
        let mut keys = keys.filter(|key| key.starts_with(self.prefix) && *key > self.after.as_str());
        let page: Vec<&str> = keys.by_ref().take(self.limit).collect();
        let cursor = keys.next().and(page.last()).map_or(String::new(), |last| cursor_of(last));
        Page { keys: page.iter().flat_map(|key| [key, "\0"]).collect(), cursor }
    }
}

impl Page {
    /// # Safety
    /// The sinks are ones that the plugin lent for this call.
    pub(super) unsafe fn give(&self, out: PintleSink, next: PintleSink) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { input::give("out", out, self.keys.as_bytes()) }?;
        if next.write.is_none() {
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { input::give("next", next, self.cursor.as_bytes()) }
    }
}

/// The cursor of the page behind this key: in digits, so that nobody takes it for a key.
fn cursor_of(last: &str) -> String {
    last.bytes().fold(CURSOR.to_owned(), |cursor, byte| cursor + &format!("{byte:02x}"))
}

/// The key behind which the page of this cursor begins; empty for the first. `None` if it is no cursor.
fn behind(cursor: &str) -> Option<String> {
    if cursor.is_empty() {
        return Some(String::new());
    }
    let digits = cursor.strip_prefix(CURSOR).filter(|digits| digits.is_ascii())?;
    let bytes =
        digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}
