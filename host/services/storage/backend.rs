//! What a back end of the storage does: [`StorageBackend`]. The ledger, and later one behind a network, keep the same
//! promises, and `conformance` tests them all.

use std::sync::Arc;

use super::{
    export::{Carried, GoOn, Import, Imported, StorageCheck},
    item::{Batch, Change, Changes, Info, Outcome, Refused, Usage},
};
use crate::{error::Result, identity::DataScope, services::keys::Key};

/// A back end of the storage. A write that answers OK, or CONFLICT, is on disk, or rests on what is; one that fails has
/// changed nothing. An item that has expired is not there, for every function. UNAVAILABLE where the back end cannot be
/// reached, is full, or fails.
pub(crate) trait StorageBackend: Send + Sync {
    /// Lends the item's value and what is known of it to `read`, once, if it is there; tells whether it is. `read` must not
    /// call the storage. Sees every write that has returned.
    fn get(&self, scope: &DataScope<'_>, key: Key<'_>, read: &mut dyn FnMut(&[u8], Info)) -> Result<bool>;

    fn exists(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool>;

    /// The first `limit` keys that begin with `prefix`, in byte order, and behind `after` if there is one.
    fn keys(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<Key<'_>>,
        limit: usize,
    ) -> Result<Vec<String>>;

    /// Does all steps in their order, and keeps events and jobs for whoever drains them; all in one commit, or nothing. One
    /// outcome for each step.
    ///
    /// CONFLICT: a condition does not hold. WRONG_TYPE, OUT_OF_RANGE: an `Incr`. QUOTA: after the batch there would be more
    /// than the quotas allow, and more than before it.
    fn apply(&self, scope: &DataScope<'_>, batch: &Batch<'_>) -> Result<Vec<Outcome>, Refused>;

    /// Removes all items of the scope at once, whatever their number, and tells how many there were. Where there are none
    /// nothing is written, and no change told.
    fn clear(&self, scope: &DataScope<'_>) -> Result<u64>;

    /// Of what has changed in the scope after version `after` the first `limit`, in the order of versions: of each key below
    /// the prefix its last change, and each [`Cleared`](super::ChangeKind::Cleared). `after` 0: every item that is there, and
    /// no removal from before. Of what happened before a clear that alone is told, and of clears the last.
    /// May be shorter than `limit` only where nothing is left.
    ///
    /// OUT_OF_RANGE: removals after that version are forgotten, or there was no such version yet.
    fn changes(&self, scope: &DataScope<'_>, prefix: &str, after: u64, limit: usize) -> Result<Changes>;

    /// Goes on with what [`Self::changes`] has begun with 0 when the version was `begun`: what was removed until then is
    /// none of the asker's business, and may be forgotten.
    fn changes_since(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: u64,
        begun: u64,
        limit: usize,
    ) -> Result<Changes> {
        let _ = begun;
        self.changes(scope, prefix, after, limit)
    }

    /// The version that was given last.
    fn version(&self) -> Result<u64>;

    /// From now on `listener` is told of every change of every scope, by this host and by others.
    fn listen(&self, listener: Arc<dyn Listener>);

    /// What the scope has.
    fn usage_of(&self, scope: &DataScope<'_>) -> Result<Usage>;

    /// What each scope has that has anything, in no order.
    fn usage(&self) -> Result<Vec<Usage>>;

    /// Lends every item that the plugin has, for one tenant or for all, to `each`, up to its first error, which is the answer:
    /// in the order of tenants and keys, as they were at one moment. Holds up no writer. `each` must not call the storage.
    fn export(
        &self,
        plugin: &str,
        tenant: Option<&str>,
        each: &mut dyn FnMut(Carried<'_>) -> Result<()>,
    ) -> Result<()>;

    /// Takes all items that the source gives and that have not expired, with their times and under new versions, or changes
    /// nothing. Watches are told of it as of other writes. Quotas do not count.
    ///
    /// CONFLICT: there are items already, and the mode wants none. Otherwise what the source answers.
    fn import(&self, import: Import) -> Result<Imported>;

    /// Looks at all that is kept, whether it is whole. `thorough`: compares indexes with tables too. Ends soon, with what
    /// `go_on` answers, once that is an error.
    fn verify(&self, thorough: bool, go_on: &GoOn) -> Result<StorageCheck>;

    /// Nobody is to call it any more: ends its threads, and gives back what it has in memory.
    fn close(&self);
}

/// Told what has changed.
pub(crate) trait Listener: Send + Sync {
    /// Something has changed and is on disk. In the order of versions; before the write returns to its caller, on whatever
    /// thread. Must not wait, nor call the storage.
    fn changed(&self, plugin: &str, tenant: &str, change: &Change);
}
