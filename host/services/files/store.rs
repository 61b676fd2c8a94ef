//! What keeps files: [`FileStore`]. The one on the disk, and later one behind a network, keep the same promises, and
//! `conformance` tests them all.

use super::item::{Info, Part, Put, Refused, Usage};
use crate::{error::Result, identity::DataScope, services::files::FilePath};

/// A store of files. A write that answers OK, or CONFLICT, is on disk, or rests on what is; one that fails has changed
/// nothing. Whoever reads sees one version of a file, whole, whatever is written meanwhile. UNAVAILABLE where the store
/// cannot be reached, is full, or fails, or a file is damaged.
pub(crate) trait FileStore: Send + Sync {
    /// Writes a file, in place of the one that is there.
    ///
    /// CONFLICT: it has not the version asked for. QUOTA: there would be more than the quotas allow, and more than before.
    fn put(&self, scope: &DataScope<'_>, path: FilePath<'_>, put: &Put<'_>) -> Result<Info, Refused>;

    /// Hands a part of a file to `take`, in pieces of moderate size and in their order; none if it is not there. Where `take`
    /// fails that is the end. Holds nothing that another call waits for while `take` runs.
    fn read(
        &self,
        scope: &DataScope<'_>,
        path: FilePath<'_>,
        part: Part,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Info>>;

    /// What is known of a file; none if it is not there.
    fn stat(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<Option<Info>>;

    /// The first `limit` paths that begin with `prefix`, in byte order, and behind `after` if there is one.
    fn list(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>>;

    /// Removes a file; tells whether it was there.
    fn remove(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<bool>;

    /// What each scope has that has any file, in no order.
    fn usage(&self) -> Result<Vec<Usage>>;

    /// Nobody is to call it any more: ends its threads.
    fn close(&self);
}
