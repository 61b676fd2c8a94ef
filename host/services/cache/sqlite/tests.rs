//! What the back end promises beyond the conformance suite.

use super::{super::conformance::cache_conformance, *};
use crate::services::clock::ManualClock;

/// In a folder of its own, which goes with it.
struct Own(SqliteCache, tempfile::TempDir);

cache_conformance!(|clock: Arc<ManualClock>| {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let report = Box::new(|error: &Error| panic!("nothing goes wrong: {error}"));
    let options = SqliteOptions { capacity: 64 << 20, clock, report };
    let cache = SqliteCache::open(folder.path().join("cache.db"), options).expect("nothing is in its way");
    Box::leak(Box::new(folder));
    Box::new(cache)
});
