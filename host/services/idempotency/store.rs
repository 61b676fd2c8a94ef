//! What a store of the idempotency service does: [`IdempotencyStore`]. The ledger, and later one behind a network that
//! several hosts share, keep the same promises, and `conformance` tests them all.

use super::record::{Address, Ending, Known, Start, Token};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// A store of records. What it answers is on disk, or rests on what is. Of several that write at the same time, on one
/// host or on several, each sees what the one before has done: so one alone begins.
///
/// Time is the store's own wall clock, of which there is one, whoever asks. A record that has expired is not there, for
/// every function. UNAVAILABLE where the store cannot be reached, is full, or fails: then nothing was changed.
pub(crate) trait IdempotencyStore: Send + Sync {
    /// Starts, if nobody else has, or if the lease of whoever has is over; else tells what is there, with its result.
    fn begin(&self, address: &Address<'_>, start: &Start<'_>) -> Result<Known>;

    /// Ends what was started under this token, or tells that it has ended so before.
    ///
    /// CONFLICT: the token is not that of a record of the scope, or the record has ended otherwise.
    fn end(&self, scope: &DataScope<'_>, token: Token, ending: Ending<'_>) -> Result<()>;

    /// From now on others keep off for so many milliseconds, or for as long as it was begun for.
    ///
    /// CONFLICT: the token is not that of a record of the scope, or the record has ended.
    fn renew(&self, scope: &DataScope<'_>, token: Token, lease_ms: Option<i64>) -> Result<()>;

    /// What is there, if anything is; sees every write that has returned. Changes nothing.
    fn look(&self, address: &Address<'_>) -> Result<Option<Known>>;

    /// Removes a record, whatever its state; tells whether there was one.
    fn forget(&self, address: &Address<'_>) -> Result<bool>;

    /// Whether there is any record of a plugin, of whatever tenant.
    fn knows(&self, plugin: &str) -> Result<bool>;

    /// Nobody is to call it any more: ends its threads.
    fn close(&self);
}

/// Why what was started cannot be ended or prolonged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// There is no record with this token in the scope.
    Unknown,
    /// The record has ended with something else.
    Over,
}

impl From<Late> for Error {
    fn from(late: Late) -> Self {
        match late {
            Late::Unknown => Self::new(
                ErrorKind::Conflict,
                "this start counts no more: its lease was over and somebody else has started again, or it has failed, was forgotten, has expired, or was begun in another scope",
            )
            .mend("begin again, to be told what became of it"),
            Late::Over => {
                Self::new(ErrorKind::Conflict, "the operation is over, and what it ended with first is kept")
                    .mend("begin again, to be told what that is")
            }
        }
    }
}
