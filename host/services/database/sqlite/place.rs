//! Where the database of a plugin and a tenant lies: `sql/<plugin>/<tenant>.db` in the data folder.
//!
//! No two names meet, also on a disk that does not tell `A` from `a`, and none leads out of the folder: what is not a small letter, a
//! digit or `-` is written in hexadecimal, and what would be too long for a disk goes by its hash. Each file says itself whose it is.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The folder in the data folder.
pub(super) const FOLDER: &str = "sql";

/// What a database's name ends with.
pub(super) const ENDING: &str = ".db";

/// The system scope's. No tenant's begins so.
const SYSTEM: &str = "system";

/// The longest name of a tenant that is not hashed: with what SQLite hangs on it a disk takes it.
const LONGEST: usize = 200;

/// The folder of a plugin.
pub(super) fn folder(root: &Path, plugin: &str) -> PathBuf {
    root.join(FOLDER).join(written("p-", plugin))
}

/// The file of a plugin and a tenant.
pub(super) fn file(root: &Path, plugin: &str, tenant: &str) -> PathBuf {
    let name = if tenant.is_empty() { SYSTEM.into() } else { written("t-", tenant) };
    folder(root, plugin).join(format!("{name}{ENDING}"))
}

/// Whether a folder is called like one of a plugin.
pub(super) fn is_folder(name: &str) -> bool {
    name.starts_with("p-") || name.starts_with("hp-")
}

/// Whether a file is called like a database.
pub(super) fn is_file(name: &str) -> bool {
    name.strip_suffix(ENDING)
        .is_some_and(|name| name == SYSTEM || name.starts_with("t-") || name.starts_with("ht-"))
}

fn written(front: &str, name: &str) -> String {
    let mut written = String::from(front);
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => written.push(char::from(byte)),
            _ => written.push_str(&format!("_{byte:02x}")),
        }
    }
    if written.len() <= LONGEST {
        return written;
    }
    // A third kind of front: no name that is written out begins so.
    let hash = Sha256::digest(name);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("h{front}{hash}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_names_meet_and_none_leads_out() {
        let long = "x".repeat(128);
        let hashed = "Ä".repeat(64);
        let names = [
            "", "system", "System", "SYSTEM", "t-system", "a", "A", "_41", "a.b", "a/b", "../a", "..", ".",
            "a\\b", "con", "nul", "a b", "a_20b", "ä", "a\u{308}", "h-", "ht-", "-wal", &long, &hashed,
        ];
        let root = Path::new("/data");
        let mut seen = HashSet::new();
        for plugin in ["a", "a-b", "system"] {
            for tenant in names {
                let path = file(root, plugin, tenant);
                let text = path.to_str().expect("it is text").to_owned();
                assert!(text.starts_with("/data/sql/p-") && !text.contains(".."), "{text}");
                assert_eq!(path.components().count(), 5, "{text}");
                assert!(path.file_name().expect("it has one").len() <= 210, "{text}");
                assert!(seen.insert(text.to_lowercase()), "{tenant:?} of {plugin:?} meets another: {text}");
            }
        }
    }
}
