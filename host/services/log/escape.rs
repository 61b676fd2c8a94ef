//! Text that a plugin gave, made harmless: always valid UTF-8, always on one line, nothing that moves a cursor.
//!
//! Clean ASCII, nearly all of what is logged, is recognised in one pass and copied whole.

/// Appends `text` as the inside of a JSON string.
pub(super) fn json(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().fold(true, |clean, &byte| clean & is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        with(out, text, |c, utf16| match c {
            '"' => Escape::Short(b'"'),
            '\\' => Escape::Short(b'\\'),
            '\n' => Escape::Short(b'n'),
            '\r' => Escape::Short(b'r'),
            '\t' => Escape::Short(b't'),
            c if is_dangerous(c) => Escape::Units(c.encode_utf16(utf16)),
            _ => Escape::No,
        });
    }
}

/// Appends `text` for the terminal form, where quotes and backslashes stand for themselves.
pub(super) fn terminal(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().fold(true, |clean, &byte| clean & is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        with(out, text, |c, utf16| match c {
            '\n' => Escape::Short(b'n'),
            '\r' => Escape::Short(b'r'),
            '\t' => Escape::Short(b't'),
            c if is_dangerous(c) => Escape::Units(c.encode_utf16(utf16)),
            _ => Escape::No,
        });
    }
}

/// Appends `text` in quotes, for a value of the terminal form that would not be seen as one word.
pub(super) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    json(out, text);
    out.push(b'"');
}

enum Escape<'a> {
    No,
    Short(u8),
    Units(&'a [u16]),
}

fn with(out: &mut Vec<u8>, text: &[u8], escape: impl for<'a> Fn(char, &'a mut [u16; 2]) -> Escape<'a>) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, c) in valid.char_indices() {
            let mut utf16 = [0; 2];
            let escape = escape(c, &mut utf16);
            if matches!(escape, Escape::No) {
                continue;
            }
            out.extend_from_slice(&valid.as_bytes()[copied..at]);
            copied = at + c.len_utf8();
            match escape {
                Escape::No => {}
                Escape::Short(letter) => out.extend_from_slice(&[b'\\', letter]),
                Escape::Units(units) => units.iter().for_each(|&unit| push_unit(out, unit)),
            }
        }
        out.extend_from_slice(&valid.as_bytes()[copied..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| HEX[usize::from(unit >> shift) & 15];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// Needs no look at it in either form.
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the marks that turn the direction of
/// writing around, with which a line can be made to look like another.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&[u8], &str, &str); 15] = [
        (b"", "", ""),
        (b"plain text, 100%", "plain text, 100%", "plain text, 100%"),
        (b"two\nlines\r\n\tand a tab", r"two\nlines\r\n\tand a tab", r"two\nlines\r\n\tand a tab"),
        (br#"a "quoted" back\slash"#, r#"a \"quoted\" back\\slash"#, r#"a "quoted" back\slash"#),
        (b"\0\x01\x1f\x7f", r"\u0000\u0001\u001f\u007f", r"\u0000\u0001\u001f\u007f"),
        (b"\x1b[31mred\x1b[0m", r"\u001b[31mred\u001b[0m", r"\u001b[31mred\u001b[0m"),
        ("C1 \u{85}\u{9b}31m".as_bytes(), r"C1 \u0085\u009b31m", r"C1 \u0085\u009b31m"),
        ("\u{2028}\u{2029}".as_bytes(), r"\u2028\u2029", r"\u2028\u2029"),
        ("\u{202e}gnp.exe".as_bytes(), r"\u202egnp.exe", r"\u202egnp.exe"),
        ("\u{2066}\u{2069}".as_bytes(), r"\u2066\u2069", r"\u2066\u2069"),
        ("grüße 漢字 🦀".as_bytes(), "grüße 漢字 🦀", "grüße 漢字 🦀"),
        (b"\xff\xfe", "\u{FFFD}\u{FFFD}", "\u{FFFD}\u{FFFD}"),
        (b"cut \xf0\x9f\xa6", "cut \u{FFFD}", "cut \u{FFFD}"),
        (
            b"\xed\xa0\x80 surrogate",
            "\u{FFFD}\u{FFFD}\u{FFFD} surrogate",
            "\u{FFFD}\u{FFFD}\u{FFFD} surrogate",
        ),
        (b"overlong \xc0\x8a", "overlong \u{FFFD}\u{FFFD}", "overlong \u{FFFD}\u{FFFD}"),
    ];

    #[test]
    fn what_could_forge_a_line_is_escaped_and_the_rest_is_kept() {
        for (given, as_json, as_terminal) in CASES {
            let mut out = Vec::new();
            json(&mut out, given);
            assert_eq!(str::from_utf8(&out), Ok(as_json));
            let read: String = serde_json::from_str(&format!("\"{as_json}\"")).expect("valid JSON");
            assert_eq!(read, String::from_utf8_lossy(given), "a reader gets back what was logged");
            out.clear();
            terminal(&mut out, given);
            assert_eq!(str::from_utf8(&out), Ok(as_terminal));
        }
    }
}
