//! The plainest store that keeps the promises: a map under a lock. What it answers, every other answers too.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{
    record::{Address, Ending, Known, Start, State, Token},
    store::{IdempotencyStore, Late},
};
use crate::{error::Result, identity::DataScope, services::clock::Clock};

/// Plugin, tenant, operation, key.
pub(super) type Place = [String; 4];

#[derive(Clone)]
enum Now {
    Begun { lease_ends_ms: i64 },
    Over { failed: bool, result: Vec<u8>, since_ms: i64 },
}

#[derive(Clone)]
pub(super) struct Record {
    token: Token,
    fingerprint: Vec<u8>,
    attempt: u32,
    begun_ms: i64,
    lease_ms: i64,
    keep_ms: i64,
    now: Now,
}

impl Record {
    fn expires_ms(&self) -> i64 {
        self.keep_ms
            + match self.now {
                Now::Begun { lease_ends_ms } => lease_ends_ms,
                Now::Over { since_ms, .. } => since_ms,
            }
    }

    fn known(&self, now_ms: i64) -> Known {
        let left_ms = self.expires_ms() - now_ms;
        let (state, left_ms, result) = match &self.now {
            Now::Begun { lease_ends_ms } if *lease_ends_ms > now_ms => {
                (State::InProgress, lease_ends_ms - now_ms, Vec::new())
            }
            Now::Begun { .. } => (State::Abandoned, left_ms, Vec::new()),
            Now::Over { failed: false, result, .. } => (State::Done, left_ms, result.clone()),
            Now::Over { failed: true, result, .. } => (State::Failed, left_ms, result.clone()),
        };
        Known { state, attempt: self.attempt, left_ms, begun_ms: self.begun_ms, result }
    }
}

/// What outlives a host: whoever has it makes stores of it.
pub(super) type Records = Arc<Mutex<BTreeMap<Place, Record>>>;

/// The store.
pub(super) struct ModelStore {
    records: Records,
    clock: Arc<dyn Clock>,
}

impl ModelStore {
    pub(super) fn new(records: &Records, clock: Arc<dyn Clock>) -> Self {
        Self { records: Arc::clone(records), clock }
    }

    /// Runs with what is there now.
    fn with<T>(&self, run: impl FnOnce(&mut BTreeMap<Place, Record>, i64) -> T) -> T {
        let (mut records, now_ms) =
            (self.records.lock().expect("no test panics with it"), self.clock.now_ms());
        records.retain(|_, record| record.expires_ms() > now_ms);
        run(&mut records, now_ms)
    }

    fn with_token<T>(
        &self,
        scope: &DataScope<'_>,
        token: Token,
        run: impl FnOnce(&mut BTreeMap<Place, Record>, &Place, i64) -> Result<T, Late>,
    ) -> Result<T> {
        let tenant = scope.tenant()?;
        self.with(|records, now_ms| {
            let place = records
                .iter()
                .find(|([plugin, of, ..], record)| {
                    record.token == token && **plugin == **scope.id && **of == **tenant.name()
                })
                .map(|(place, _)| place.clone());
            Ok(run(records, &place.ok_or(Late::Unknown)?, now_ms)?)
        })
    }
}

fn place(address: &Address<'_>) -> Result<Place> {
    let tenant = address.scope.tenant()?;
    Ok([&**address.scope.id, tenant.name(), address.operation.as_str(), address.key.as_str()]
        .map(str::to_owned))
}

impl IdempotencyStore for ModelStore {
    fn begin(&self, address: &Address<'_>, start: &Start<'_>) -> Result<Known> {
        let place = place(address)?;
        self.with(|records, now_ms| {
            let before = records.get(&place);
            if let Some(record) = before {
                let known = record.known(now_ms);
                if record.fingerprint != start.fingerprint {
                    let left_ms = record.expires_ms() - now_ms;
                    return Ok(Known { state: State::Mismatch, left_ms, result: Vec::new(), ..known });
                }
                if known.state != State::Abandoned {
                    return Ok(known);
                }
            }
            let taken_over = before.is_some();
            let (attempt, begun_ms) = before.map_or((1, now_ms), |old| (old.attempt + 1, old.begun_ms));
            let &Start { fingerprint, token, lease_ms, keep_ms } = start;
            let now = Now::Begun { lease_ends_ms: now_ms + lease_ms };
            let fingerprint = fingerprint.to_vec();
            records.insert(place, Record { token, fingerprint, attempt, begun_ms, lease_ms, keep_ms, now });
            let state = State::Started { token, taken_over };
            Ok(Known { state, attempt, left_ms: lease_ms, begun_ms, result: Vec::new() })
        })
    }

    fn end(&self, scope: &DataScope<'_>, token: Token, ending: Ending<'_>) -> Result<()> {
        self.with_token(scope, token, |records, place, since_ms| {
            let record = records.get_mut(place).expect("it was found there");
            match (&record.now, ending) {
                (Now::Begun { .. }, Ending::Dropped) => drop(records.remove(place)),
                (Now::Begun { .. }, Ending::Done(result) | Ending::Failed(result)) => {
                    let failed = matches!(ending, Ending::Failed(_));
                    record.now = Now::Over { failed, result: result.to_vec(), since_ms };
                }
                (Now::Over { failed: false, result, .. }, Ending::Done(again)) if result == again => {}
                (Now::Over { failed: true, result, .. }, Ending::Failed(again)) if result == again => {}
                (Now::Over { .. }, _) => return Err(Late::Over),
            }
            Ok(())
        })
    }

    fn renew(&self, scope: &DataScope<'_>, token: Token, lease_ms: Option<i64>) -> Result<()> {
        self.with_token(scope, token, |records, place, now_ms| {
            let record = records.get_mut(place).expect("it was found there");
            match &mut record.now {
                Now::Begun { lease_ends_ms } => *lease_ends_ms = now_ms + lease_ms.unwrap_or(record.lease_ms),
                Now::Over { .. } => return Err(Late::Over),
            }
            Ok(())
        })
    }

    fn look(&self, address: &Address<'_>) -> Result<Option<Known>> {
        let place = place(address)?;
        Ok(self.with(|records, now_ms| records.get(&place).map(|record| record.known(now_ms))))
    }

    fn forget(&self, address: &Address<'_>) -> Result<bool> {
        let place = place(address)?;
        Ok(self.with(|records, _| records.remove(&place).is_some()))
    }

    fn knows(&self, plugin: &str) -> Result<bool> {
        Ok(self.with(|records, _| records.keys().any(|[of, ..]| of == plugin)))
    }

    fn close(&self) {}
}
