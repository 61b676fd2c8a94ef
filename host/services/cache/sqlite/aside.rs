//! What becomes of a file that is no good: it is renamed, so that somebody may look at it, and only the newest few are
//! kept. Only files named after the cache's own are ever touched.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::file::family;
use crate::error::{Error, ErrorKind, Result, mend_of};

/// How many are kept.
const KEPT: usize = 3;

/// What follows on the name of the cache's file.
const CORRUPT: &str = ".corrupt-";

/// Renames the file at `path` and those that go with it; answers its name now. `now_ms` is the wall clock's time.
pub(super) fn set_aside(path: &Path, now_ms: i64) -> Result<PathBuf> {
    let time = chrono::DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    let time = time.format("%Y%m%dT%H%M%S%.3fZ");
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        // Several within a millisecond are told apart, and stay in order.
        name.push(format!(
            "{CORRUPT}{time}{}",
            if number == 0 { String::new() } else { format!("-{number:03}") }
        ));
        PathBuf::from(name)
    };
    let free = |aside: &PathBuf| family(aside).iter().all(|(file, _)| fs::symlink_metadata(file).is_err());
    let aside = (0..1_000).map(named).find(free).unwrap_or_else(|| named(0));
    // The file first: if this ends in between, what is left of it is found and set aside the next time.
    for ((from, _), (to, _)) in family(path).iter().zip(&family(&aside)) {
        if fs::symlink_metadata(from).is_err() {
            continue;
        }
        fs::rename(from, to).map_err(|error| {
            let what = format!("{} is no good, and cannot be moved away: {error}", from.display());
            let mend = "move it away, and see that the host may write its folder";
            Error::new(ErrorKind::Unavailable, what).mend(mend_of(&error).unwrap_or(mend))
        })?;
    }
    forget(path);
    Ok(aside)
}

/// Removes all but the newest. What cannot be removed stays: it is in nobody's way.
fn forget(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let Some(front) = name.to_str().map(|name| format!("{name}{CORRUPT}")) else { return };
    // A path without a folder is one in this folder.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(folder) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut times: Vec<String> = names
        .filter_map(|name| Some(name.strip_prefix(&front)?.to_owned()))
        .filter(|time| !["-wal", "-shm", "-journal"].iter().any(|ending| time.ends_with(ending)))
        .collect();
    times.sort_unstable();
    times.truncate(times.len().saturating_sub(KEPT));
    for time in times {
        let file = folder.join(OsString::from(format!("{front}{time}")));
        for (file, _) in family(&file) {
            // Folders stay, unless they are empty: nobody knows what somebody has put in there.
            let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
        }
    }
}
