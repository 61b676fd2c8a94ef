//! The storage as most tests use it: one item at a time, by value, and steps in few words.

use std::sync::Arc;

use super::{
    Action, Batch, Info, Lifetime, Listener, Outcome, Quotas, Refused, Step, Storage, conformance::key,
};
use crate::{
    error::{ErrorKind, Result},
    identity::DataScope,
    services::keys::Key,
};

/// What became of a write with a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Under this version.
    Done(u64),
    /// Nothing was written: the item has this version; 0: it is not there.
    Conflict(u64),
}

impl Storage {
    /// Has somebody else told too.
    pub(super) fn listen(&self, listener: Arc<dyn Listener>) {
        self.backend.listen(listener);
    }

    pub(super) fn fetch(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<Option<(Vec<u8>, Info)>> {
        let mut found = None;
        let there = self.get(scope, key, &mut |value, info| {
            assert!(found.replace((value.to_vec(), info)).is_none(), "it is lent once");
        })?;
        assert_eq!(there, found.is_some(), "it tells whether it is there");
        Ok(found)
    }

    /// Writes an item that does not expire.
    pub(super) fn set(
        &self,
        scope: &DataScope<'_>,
        key: Key<'_>,
        value: &[u8],
        if_version: Option<u64>,
    ) -> Result<Written> {
        let action = Action::Set { value, lifetime: Lifetime::Endless };
        match self.apply_one(scope, Step { key, if_version, action }, Quotas::default()) {
            Ok(done) => Ok(Written::Done(done.version)),
            Err(refused) if refused.error.kind() == ErrorKind::Conflict => {
                Ok(Written::Conflict(refused.current))
            }
            Err(refused) => Err(refused.error),
        }
    }

    /// Tells whether it was there.
    pub(super) fn remove(&self, scope: &DataScope<'_>, key: Key<'_>) -> Result<bool> {
        let step = Step { key, if_version: None, action: Action::Remove };
        let done = self.apply_one(scope, step, Quotas::default());
        done.map(|done| done.value != 0).map_err(|refused| refused.error)
    }

    /// Does the steps without quotas, events and jobs.
    pub(super) fn steps(&self, scope: &DataScope<'_>, steps: &[Step<'_>]) -> Result<Vec<Outcome>, Refused> {
        self.apply(scope, &Batch { steps, events: &[], jobs: &[], quotas: Quotas::default() })
    }
}

impl<'a> Step<'a> {
    /// Writes an item that does not expire.
    pub(super) fn set(name: &'a str, value: &'a [u8]) -> Self {
        Self::of(name, Action::Set { value, lifetime: Lifetime::Endless })
    }

    pub(super) fn remove(name: &'a str) -> Self {
        Self::of(name, Action::Remove)
    }

    /// Adds to an item that does not expire.
    pub(super) fn incr(name: &'a str, delta: i64) -> Self {
        Self::of(name, Action::Incr { delta, lifetime: Lifetime::Endless })
    }

    pub(super) fn expire(name: &'a str, lifetime: Lifetime) -> Self {
        Self::of(name, Action::Expire { lifetime })
    }

    pub(super) fn check(name: &'a str, version: u64) -> Self {
        Self::of(name, Action::Check).only_if(version)
    }

    pub(super) fn only_if(self, version: u64) -> Self {
        Self { if_version: Some(version), ..self }
    }

    /// The same write with this lifetime.
    pub(super) fn living(self, lifetime: Lifetime) -> Self {
        let action = match self.action {
            Action::Set { value, .. } => Action::Set { value, lifetime },
            Action::Incr { delta, .. } => Action::Incr { delta, lifetime },
            Action::Expire { .. } => Action::Expire { lifetime },
            Action::Remove | Action::Check => panic!("it has no lifetime"),
        };
        Self { action, ..self }
    }

    fn of(name: &'a str, action: Action<'a>) -> Self {
        Self { key: key(name), if_version: None, action }
    }
}
