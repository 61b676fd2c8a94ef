//! What is kept and what is asked for: items, the steps of a batch, and what every back end says of them in the same words.

use std::sync::Arc;

use crate::{
    error::{Error, ErrorKind, Result},
    services::{events::Draft, keys::Key},
};

/// What is known of an item beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// Grows with every write, over all items of all scopes, and is never used again; never 0.
    pub(crate) version: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) created_ms: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) updated_ms: i64,
    /// From when on it is not there, in milliseconds since 1970-01-01 UTC; none: it does not expire.
    pub(crate) expires_ms: Option<i64>,
}

/// How long an item is to live from the write on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Endless,
    /// At least 1.
    Ms(i64),
    /// As long as the item that is there; endless where there is none.
    Keep,
}

/// What a step does with its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    Set {
        value: &'a [u8],
        lifetime: Lifetime,
    },
    Remove,
    /// The lifetime counts only where the item is created.
    Incr {
        delta: i64,
        lifetime: Lifetime,
    },
    /// Another lifetime, never [`Lifetime::Keep`]; nothing where there is no item.
    Expire {
        lifetime: Lifetime,
    },
    /// Nothing: the condition is all.
    Check,
}

/// One step of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    pub(crate) key: Key<'a>,
    /// The version that the item must have; 0: it must not be there.
    pub(crate) if_version: Option<u64>,
    pub(crate) action: Action<'a>,
}

/// What happens together or not at all.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// In their order; later ones see what earlier ones wrote.
    pub(crate) steps: &'a [Step<'a>],
    /// To be published once this is committed.
    pub(crate) events: &'a [Draft],
    /// To be scheduled once this is committed.
    pub(crate) jobs: &'a [JobDraft],
    pub(crate) quotas: Quotas,
}

/// A durable job to be scheduled. Checked before it gets here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobDraft {
    pub(crate) name: String,
    pub(crate) timing: JobTiming,
    /// One of the contract's `PINTLE_OVERLAP_…`.
    pub(crate) overlap: u32,
    /// What its runs are given.
    pub(crate) data: Vec<u8>,
}

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobTiming {
    /// By a cron rule in a time zone; UTC if that is empty.
    Cron { rule: String, zone: String },
    /// So often, in milliseconds.
    Every(i64),
    /// Once, so many milliseconds after the commit.
    Once(i64),
}

/// How much may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quotas {
    /// By the plugin, for all tenants together.
    pub(crate) plugin: Quota,
    /// By the plugin for one tenant, or in the system scope.
    pub(crate) tenant: Quota,
}

/// The most that may be kept; none: as much as there is room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) items: Option<u64>,
    /// Of keys and values.
    pub(crate) bytes: Option<u64>,
}

impl Quotas {
    /// What one tenant may have at most: the quota of all tenants together is one of each, too.
    pub(crate) fn least(&self) -> Quota {
        fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
            one.into_iter().chain(other).min()
        }
        let Self { plugin, tenant } = self;
        Quota { items: least(plugin.items, tenant.items), bytes: least(plugin.bytes, tenant.bytes) }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The new version of the item, that of its removal too; 0: nothing was written.
    pub(crate) version: u64,
    /// The sum of an `Incr`; 1 for a `Remove` or `Expire` whose item was there; else 0.
    pub(crate) value: i64,
}

/// Why a batch did not happen.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The step that failed; none: it was none of them.
    pub(crate) step: Option<usize>,
    /// On CONFLICT the version that the item of that step has; 0: it is not there.
    pub(crate) current: u64,
    pub(crate) error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { step: None, current: 0, error }
    }
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Set,
    Removed,
    Expired,
    /// All items of the scope were removed at once.
    Cleared,
}

/// A change, as watches are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// Empty for [`ChangeKind::Cleared`].
    pub(crate) key: Arc<str>,
    pub(crate) version: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) at_ms: i64,
}

/// Some of what has changed since a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Of each key the last one, in the order of their versions.
    pub(crate) list: Vec<Change>,
    /// Up to here nothing is missing in the list.
    pub(crate) up_to: u64,
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// In byte order.
    pub(crate) keys: Vec<String>,
    /// Where the next page begins, for whoever made the page; none: this was the last.
    pub(crate) next: Option<String>,
}

/// What a plugin has in the storage for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) plugin: Arc<str>,
    /// Empty: the system scope.
    pub(crate) tenant: Arc<str>,
    pub(crate) items: u64,
    /// Of keys and values.
    pub(crate) bytes: u64,
}

/// The sum of a counter and `delta`; one that is not there counts from 0.
///
/// WRONG_TYPE: the item is no canonical decimal i64. OUT_OF_RANGE: the sum is none.
pub(crate) fn sum(key: Key<'_>, old: Option<&[u8]>, delta: i64) -> Result<i64> {
    let key = || key.as_str().to_owned();
    let old = match old {
        None => 0,
        Some(text) => canonical(text).ok_or_else(|| {
            let key = key();
            Error::lazy(ErrorKind::WrongType, move || {
                format!(
                    "the item {key:?} is no decimal 64-bit integer, nothing can be added to it: write it anew with `set`"
                )
            })
        })?,
    };
    old.checked_add(delta).ok_or_else(|| {
        let key = key();
        Error::lazy(ErrorKind::OutOfRange, move || {
            format!("the item {key:?} is {old}, with {delta} added it is no 64-bit integer any more")
        })
    })
}

/// The integer that a text is the one way to write of.
fn canonical(text: &[u8]) -> Option<i64> {
    let integer: i64 = str::from_utf8(text).ok()?.parse().ok()?;
    (itoa::Buffer::new().format(integer).as_bytes() == text).then_some(integer)
}

/// A condition that does not hold.
pub(crate) fn conflict(key: Key<'_>, wanted: u64, current: u64) -> Error {
    let key = key.as_str().to_owned();
    Error::lazy(ErrorKind::Conflict, move || match (wanted, current) {
        (0, _) => format!("the item {key:?} is there already, with version {current}: nothing was written"),
        (_, 0) => {
            format!("the item {key:?} is not there, version {wanted} was asked for: nothing was written")
        }
        _ => format!(
            "the item {key:?} has version {current}, {wanted} was asked for: read it again, then write"
        ),
    })
}

/// Resuming after a version whose later removals are not known any more.
pub(crate) fn forgotten(after: u64, oldest: u64) -> Error {
    Error::lazy(ErrorKind::OutOfRange, move || {
        format!(
            "removals are remembered from version {oldest} on, changes after {after} were asked for: begin anew with 0, and take what is not told for removed"
        )
    })
}

/// Resuming after a version that there never was: of another data folder, or of one that was put back.
pub(super) fn not_given(after: u64, last: u64) -> Error {
    Error::lazy(ErrorKind::OutOfRange, move || {
        format!(
            "changes after version {after} were asked for, and the last one is {last}: begin anew with 0, and take what is not told for removed"
        )
    })
}
