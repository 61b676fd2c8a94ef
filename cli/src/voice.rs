//! What the command says for itself on stderr, as lines `pintle: …`: never into the middle of a live table, never
//! with control characters of somebody else's, and never failing because nobody listens.

use std::{fmt::Write as _, sync::Arc};

use crate::{pen, screen::Screen};

/// Says something to whoever runs the command.
#[derive(Clone, Default)]
pub(crate) struct Voice {
    /// A live table on the same terminal, above which it must be said.
    screen: Option<Arc<Screen>>,
}

impl Voice {
    /// Straight to stderr.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// Above a live table.
    pub(crate) fn above(screen: Arc<Screen>) -> Self {
        Self { screen: Some(screen) }
    }

    /// Says `text`, which may have several lines.
    pub(crate) fn say(&self, text: &str) {
        let mut said = String::with_capacity(text.len() + 16);
        for line in text.lines() {
            said.push_str("pintle: ");
            push_printable(&mut said, line);
            said.push('\n');
        }
        match &self.screen {
            Some(screen) => screen.above(said.as_bytes()),
            None => {
                // Where stderr itself is gone there is nobody left to tell.
                let _ = pen::STDERR.write(said.as_bytes());
            }
        }
    }
}

/// Appends `text` with its control characters spelled out: what comes from a plugin or a file must not steer the
/// terminal.
pub(crate) fn push_printable(to: &mut String, text: &str) {
    for character in text.chars() {
        if steers(character) {
            // Writing to a String cannot fail.
            let _ = write!(to, "{}", character.escape_default());
        } else {
            to.push(character);
        }
    }
}

/// Whether a terminal might do something else with it than show it: control characters, and those that turn the
/// direction of writing.
pub(crate) fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out() {
        for (text, expected) in [
            ("plain, äöü", "plain, äöü"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\rb\tc\nd", "a\\rb\\tc\\nd"),
            ("\u{9b}31m \u{202e}drow", "\\u{9b}31m \\u{202e}drow"),
        ] {
            let mut said = String::new();
            push_printable(&mut said, text);
            assert_eq!(said, expected);
        }
    }
}
