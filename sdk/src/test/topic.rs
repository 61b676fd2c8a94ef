//! Topics and patterns: which of them are any, and which of the two meet.

use crate::{Error, Result, Status};

/// The most tokens and bytes that a topic or a pattern may have.
const MOST: (usize, usize) = (16, 256);

/// INVALID_ARGUMENT if it is no topic.
pub(super) fn check(topic: &str) -> Result<()> {
    well_formed("topic", topic, |_, _| false)
}

/// INVALID_ARGUMENT if it is no pattern.
pub(super) fn check_pattern(pattern: &str) -> Result<()> {
    well_formed("pattern", pattern, |token, last| token == "*" || token == ">" && last)
}

fn well_formed(what: &str, text: &str, wildcard: impl Fn(&str, bool) -> bool) -> Result<()> {
    let tokens = text.split('.').count();
    let plain = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let right =
        text.split('.').enumerate().all(|(at, token)| plain(token) || wildcard(token, at + 1 == tokens));
    if right && tokens <= MOST.0 && text.len() <= MOST.1 {
        return Ok(());
    }
    Err(Error::new(Status::InvalidArgument, format!("argument `{what}`: {text:?} is none")))
}

/// Is `topic` one of those that `pattern` means?
pub(super) fn matches(pattern: &str, topic: &str) -> bool {
    within(topic, pattern)
}

/// Does every topic that matches `pattern` also match `granted`?
pub(super) fn within(pattern: &str, granted: &str) -> bool {
    let mut granted = granted.split('.');
    for mine in pattern.split('.') {
        match (mine, granted.next()) {
            (_, Some(">")) => return true,
            (mine, Some("*")) if mine != ">" => {}
            (mine, Some(theirs)) if mine == theirs => {}
            _ => return false,
        }
    }
    granted.next().is_none()
}
