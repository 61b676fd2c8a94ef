//! Cursors of listings in byte order: the last key of a page, written so that nobody takes it for one. What is listed
//! behind a key is the same whatever comes and goes, the key itself included.

use data_encoding::BASE64URL_NOPAD;

use super::keys::Key;
use crate::error::{Error, Result};

/// So that another form can come later.
const FORM: &str = "1.";

/// The cursor of the page behind `key`.
pub(super) fn after(key: &str) -> String {
    format!("{FORM}{}", BASE64URL_NOPAD.encode(key.as_bytes()))
}

/// The key behind which the page begins; none for an empty cursor. What is in the cursor is nothing that its owner
/// knows, so that an error speaks of the cursor alone.
pub(super) fn read(cursor: &str, prefix: &str) -> Result<Option<String>> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let key = cursor.strip_prefix(FORM).and_then(|key| BASE64URL_NOPAD.decode(key.as_bytes()).ok());
    let key = key
        .filter(|key| Key::parse("cursor", key).is_ok())
        .and_then(|key| String::from_utf8(key).ok())
        .filter(|key| key.starts_with(prefix));
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(Error::argument(
            "cursor",
            "is none of this listing: pass what `next` got for the same prefix, or nothing for the first page",
        )),
    }
}
