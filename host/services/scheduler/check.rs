//! What a request may ask for.

use super::store::Keeping;
use crate::error::{Error, ErrorKind, Result};

const NAME_BYTES: usize = 128;
const DATA_BYTES: usize = 65_536;
const A_DAY_MS: i64 = 86_400_000;
const MOST_RETRIES: u32 = 100;

/// A job's name.
pub(super) fn name(argument: &'static str, name: &str) -> Result<()> {
    let problem = match name.len() {
        0 => "is empty: a job's name has 1 to 128 bytes".into(),
        1..=NAME_BYTES if name.contains('\0') => "contains NUL".into(),
        1..=NAME_BYTES => return Ok(()),
        len => format!("has {len} bytes, the limit is {NAME_BYTES}"),
    };
    Err(Error::argument(argument, problem))
}

/// A job's name, or the beginning of names and `*`: tells which beginning, and whether it is one.
pub(super) fn pattern(pattern: &str) -> Result<(&str, bool)> {
    name("pattern", pattern)?;
    let (front, open) = pattern.strip_suffix('*').map_or((pattern, false), |front| (front, true));
    if front.contains('*') {
        let problem = format!("`{pattern}` has a `*` before its end: only the last byte may be one");
        return Err(Error::argument("pattern", problem));
    }
    Ok((front, open))
}

/// A span in milliseconds.
pub(super) fn span(argument: &'static str, ms: i64, least: i64, most: i64) -> Result<i64> {
    if (least..=most).contains(&ms) {
        return Ok(ms);
    }
    Err(Error::lazy(ErrorKind::OutOfRange, move || {
        let days = if most == super::LONGEST_MS { " (366 days)" } else { "" };
        format!("argument `{argument}`: {ms} ms is outside of {least} to {most} ms{days}")
    }))
}

/// How a job is to be kept.
pub(super) fn keeping(keeping: &Keeping) -> Result<()> {
    let &Keeping { start_deadline_ms, jitter_ms, timeout_ms, backoff_ms, retries, .. } = keeping;
    if *keeping == Keeping::USUAL {
        return Ok(());
    }
    span("options.start_deadline_ms", start_deadline_ms, 0, super::LONGEST_MS)?;
    span("options.jitter_ms", jitter_ms, 0, A_DAY_MS)?;
    span("options.timeout_ms", timeout_ms, 0, A_DAY_MS)?;
    span("options.backoff_ms", backoff_ms, 0, Keeping::LONGEST_BACKOFF_MS)?;
    if retries > MOST_RETRIES {
        return Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("argument `options.retries`: {retries}, 0 to {MOST_RETRIES} are taken")
        }));
    }
    Ok(())
}

/// What its runs are given.
pub(super) fn data(data: &[u8]) -> Result<()> {
    let len = data.len();
    if len <= DATA_BYTES {
        return Ok(());
    }
    Err(Error::lazy(ErrorKind::TooLarge, move || {
        format!("argument `options.data`: {len} bytes, the limit is {DATA_BYTES}")
    }))
}
