//! The process's thread-local keys, which Rust libraries use up.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::inspect::Inspection;
use crate::{
    error::{Error, ErrorKind, Result},
    services::log::{Field, Level, Log},
};

/// A process has 1,024 thread-local keys, and a Rust library takes one for good at each load: the host warns early and
/// stops before the process would abort.
pub(super) fn take(inspection: &Inspection, log: &Log) -> Result<()> {
    const WARN: u32 = 800;
    const MOST: u32 = 1000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    if !inspection.thread_keys {
        return Ok(());
    }
    let taken = TAKEN.fetch_update(Relaxed, Relaxed, |taken| (taken < MOST).then_some(taken + 1)).map_err(|taken| {
        Error::new(
            ErrorKind::Unavailable,
            format!("this process has loaded {taken} libraries that take a thread-local key for good, of which it has 1,024: restart it"),
        )
    })?;
    if taken >= WARN && taken % 50 == 0 {
        let fields = [Field::unsigned("loaded", u64::from(taken)), Field::unsigned("most", u64::from(MOST))];
        log.host(
            Level::Warn,
            "libraries that take a thread-local key for good are running out: plan a restart",
            fields,
        );
    }
    Ok(())
}
