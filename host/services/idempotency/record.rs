//! What is known of an operation, and what is asked of it.

use crate::{
    identity::DataScope,
    services::keys::{Key, Namespace},
};

/// Names one start; never 0.
pub(crate) type Token = u64;

/// Where a record is.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) scope: DataScope<'a>,
    /// What is done.
    pub(crate) operation: Namespace<'a>,
    /// Which one.
    pub(crate) key: Key<'a>,
}

/// How an operation is begun.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    /// What the request looks like: another one under the same key is another request.
    pub(crate) fingerprint: &'a [u8],
    /// What the start will be known by, if it becomes one. No other record has it.
    pub(crate) token: Token,
    /// How long others keep off.
    pub(crate) lease_ms: i64,
    /// How long the record is kept: after its end, or, if it does not end, after its lease.
    pub(crate) keep_ms: i64,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending<'a> {
    /// With a result, which is kept.
    Done(&'a [u8]),
    /// It has failed for good: what with is kept.
    Failed(&'a [u8]),
    /// It has failed, and may begin again at once: nothing is kept.
    Dropped,
}

/// What is known of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) state: State,
    /// How often it was started, since there is a record of it.
    pub(crate) attempt: u32,
    /// How long the lease still lasts, where there is one; else how long the record is still kept.
    pub(crate) left_ms: i64,
    /// When it was begun first.
    pub(crate) begun_ms: i64,
    /// What it ended with; empty unless it has.
    pub(crate) result: Vec<u8>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The caller has started it.
    Started {
        token: Token,
        /// The lease of the one who had started it before was over.
        taken_over: bool,
    },
    /// Somebody else has, and has the lease.
    InProgress,
    /// Somebody has, and the lease is over: the next one who begins it starts. Told to those alone who only look.
    Abandoned,
    Done,
    Failed,
    /// The key was begun with another fingerprint.
    Mismatch,
}
