//! The embedded manifest: the record that hosts look for in the library's file, and `id` and `version`, which are
//! read from the text while the plugin is compiled, because the entry function must do no work.

use pintle_abi::PintleBytes;

/// The record in the section `.pintle`: magic, length, text, and a NUL, as `PINTLE_MANIFEST` makes it in C.
#[repr(C)]
#[derive(Debug)]
pub struct Record<const N: usize> {
    magic: [u8; 8],
    length: u64,
    text: [u8; N],
    end: u8,
}

impl<const N: usize> Record<N> {
    /// Of a text with `N` bytes.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        assert!(text.len() == N, "the record is as long as the text");
        let Some(text) = text.as_bytes().first_chunk::<N>() else { panic!("the text has N bytes") };
        Self { magic: *b"PINTLE1\0", length: N as u64, text: *text, end: 0 }
    }

    /// The whole record, for `pintle_plugin.manifest`.
    #[must_use]
    pub const fn bytes(&'static self) -> PintleBytes {
        PintleBytes { ptr: (&raw const *self).cast(), len: size_of::<Self>() }
    }
}

/// What `pintle_plugin` repeats of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The plugin's id.
    pub id: &'static str,
    /// The plugin's version.
    pub version: &'static str,
}

/// Finds the top-level `id` and `version`. Panics, which is an error of the compiler, where there is none or the text is
/// not an object. It is no full check: the host reports everything that is wrong with a manifest, all at once.
#[must_use]
pub const fn identity(text: &'static str) -> Identity {
    let json = text.as_bytes();
    let (mut id, mut version) = (None, None);
    let mut at = expect(json, space(json, 0), b'{', "the manifest is not a JSON object");
    loop {
        let key = expect(json, space(json, at), b'"', "the manifest: a name in quotes must follow here");
        let key_end = string_end(json, key);
        at = expect(json, space(json, key_end + 1), b':', "the manifest: a colon must follow a name");
        at = space(json, at);
        if is(json, key, key_end, b"id") {
            assert!(id.is_none(), "the manifest has two `id`");
            id = Some(text_at(json, at));
        } else if is(json, key, key_end, b"version") {
            assert!(version.is_none(), "the manifest has two `version`");
            version = Some(text_at(json, at));
        }
        at = space(json, value_end(json, at));
        assert!(at < json.len(), "the manifest ends too early");
        match json[at] {
            b',' => at += 1,
            b'}' => break,
            _ => panic!("the manifest: a comma or the closing brace must follow a value"),
        }
    }
    assert!(space(json, at + 1) == json.len(), "the manifest goes on after its closing brace");
    match (id, version) {
        (Some(id), Some(version)) => Identity { id, version },
        (None, _) => panic!("the manifest has no `id`"),
        (_, None) => panic!("the manifest has no `version`"),
    }
}

/// The first place at or after `at` that is not white space.
const fn space(json: &[u8], mut at: usize) -> usize {
    while at < json.len() && matches!(json[at], b' ' | b'\t' | b'\r' | b'\n') {
        at += 1;
    }
    at
}

/// Behind `wanted`, which must be at `at`.
const fn expect(json: &[u8], at: usize, wanted: u8, otherwise: &'static str) -> usize {
    if at >= json.len() || json[at] != wanted {
        panic!("{}", otherwise);
    }
    at + 1
}

/// The closing quote of the string whose first character is at `at`.
const fn string_end(json: &[u8], mut at: usize) -> usize {
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    assert!(at < json.len(), "the manifest: a string is not closed");
    at
}

/// Behind the value that begins at `at`. Nested ones are only counted, not understood.
const fn value_end(json: &[u8], mut at: usize) -> usize {
    let start = at;
    let mut depth = 0_u32;
    while at < json.len() {
        match json[at] {
            b'"' => at = string_end(json, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => break,
            _ => {}
        }
        let nested_or_text = matches!(json[at], b'"' | b'}' | b']');
        at += 1;
        if depth == 0 && nested_or_text {
            break;
        }
    }
    assert!(at > start, "the manifest: a value must follow the colon");
    at
}

/// The string value at `at`.
const fn text_at(json: &[u8], at: usize) -> &str {
    let start = expect(json, at, b'"', "the manifest: `id` and `version` must be strings");
    let end = string_end(json, start);
    let mut look = start;
    while look < end {
        assert!(json[look] != b'\\', "the manifest: `id` and `version` must be written without escapes");
        look += 1;
    }
    assert!(end > start, "the manifest: `id` and `version` must not be empty");
    match str::from_utf8(json.split_at(start).1.split_at(end - start).0) {
        Ok(text) => text,
        Err(_) => panic!("part of a str between two ASCII quotes is a str"),
    }
}

/// Is the key between `at` and `end` this word? Escapes in it are refused, for they could hide one.
const fn is(json: &[u8], at: usize, end: usize, word: &[u8]) -> bool {
    let mut same = end - at == word.len();
    let mut look = at;
    while look < end {
        assert!(json[look] != b'\\', "the manifest: its top-level names must be written without escapes");
        same = same && json[look] == word[look - at];
        look += 1;
    }
    same
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn id_and_version_are_those_of_the_top_level() {
        let cases = [
            (r#"{"id":"a","version":"1.0.0"}"#, "a", "1.0.0"),
            ("\n{ \"version\" : \"2.0.0-rc.1\" ,\r\n\t\"id\" : \"b-c\" }\n", "b-c", "2.0.0-rc.1"),
            (r#"{"x":{"id":"no","version":"no"},"id":"yes","y":[{"id":"no"}],"version":"1"}"#, "yes", "1"),
            (r#"{"x":"\"id\":\"no\",","id":"yes","y":"}\\","version":"1","z":"\\\""}"#, "yes", "1"),
            (r#"{"x":[1,-2.5e3,true,null,"]"],"id":"yes","version":"1","n":-1}"#, "yes", "1"),
            (r#"{"description":"id","name":"version","id":"yes","version":"1","Id":"no"}"#, "yes", "1"),
            (r#"{"äö":"ü","id":"yes","version":"1"}"#, "yes", "1"),
        ];
        for (text, id, version) in cases {
            assert_eq!(identity(text), Identity { id, version }, "{text}");
        }
    }

    #[test]
    fn what_has_no_identity_does_not_compile() {
        let cases = [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{}", "a name in quotes"),
            (r#"{"id":"a"}"#, "no `version`"),
            (r#"{"version":"1"}"#, "no `id`"),
            (r#"{"x":{"id":"a"},"version":"1"}"#, "no `id`"),
            (r#"{"id":"a","id":"b","version":"1"}"#, "two `id`"),
            (r#"{"id":"a","version":1}"#, "must be strings"),
            (r#"{"id":"","version":"1"}"#, "must not be empty"),
            (r#"{"id":"\u0061","version":"1"}"#, "without escapes"),
            (r#"{"\u0069d":"a","id":"b","version":"1"}"#, "without escapes"),
            (r#"{"id":"a","version":"1","#, "a name in quotes"),
            (r#"{"id":"a","version":"1",}"#, "a name in quotes"),
            (r#"{"id":"a","version":"1""#, "ends too early"),
            (r#"{"id":"a","version":"1"#, "not closed"),
            (r#"{"id":"a" "version":"1"}"#, "a comma"),
            (r#"{"id":,"version":"1"}"#, "must be strings"),
            (r#"{"x":,"id":"a","version":"1"}"#, "a value must follow"),
            (r#"{"id":"a","version":"1"} {}"#, "goes on"),
            (r#"{"id" "a","version":"1"}"#, "a colon"),
            (r#"{"id":"a\"#, "not closed"),
        ];
        for (text, reason) in cases {
            let panic = catch_unwind(|| identity(text)).expect_err(text);
            let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a text");
            assert!(said.contains(reason), "{text}: {said}");
        }
    }

    #[test]
    fn the_record_is_magic_length_text_and_nul() {
        static RECORD: Record<2> = Record::new("{}");
        let bytes = RECORD.bytes();
        assert_eq!(bytes.len % 8, 0, "as in C, where the struct is aligned to 8 as well");
        assert_eq!((RECORD.magic, RECORD.length, RECORD.text, RECORD.end), (*b"PINTLE1\0", 2, *b"{}", 0));
        assert_eq!(std::mem::offset_of!(Record<2>, text), 16);
    }
}
