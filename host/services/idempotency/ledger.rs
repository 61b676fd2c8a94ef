//! The records on the ledger: their table, and the writes as values.
//!
//! A record is found by the index over (plugin, tenant, operation, key) and by its token. Who asks for what has ended or
//! is under way is answered by a reader: only those queue up to write who may start.

use std::sync::Arc;

use rusqlite::{CachedStatement, OptionalExtension, Row, params};

use super::{
    record::{Address, Ending, Known, Start, State, Token},
    store::{IdempotencyStore, Late},
    upkeep::Upkeep,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{
        clock::Clock,
        ledger::{Fault, Ledger, Schema, Transaction, Write},
    },
};

/// The table. `state` is one of the numbers below, `token` the 64 bits of the last start, `lease_ms` and `keep_ms` what that
/// was begun for.
pub(crate) const SCHEMA: Schema = Schema {
    service: "idempotency",
    steps: &["
        CREATE TABLE idempotency_records (
            record INTEGER PRIMARY KEY,
            plugin TEXT NOT NULL,
            tenant TEXT NOT NULL,
            operation BLOB NOT NULL,
            key BLOB NOT NULL,
            state INTEGER NOT NULL,
            token INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            lease_ms INTEGER NOT NULL,
            keep_ms INTEGER NOT NULL,
            begun_ms INTEGER NOT NULL,
            lease_ends_ms INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL,
            fingerprint BLOB NOT NULL,
            result BLOB NOT NULL,
            UNIQUE (plugin, tenant, operation, key)
        ) STRICT;
        CREATE UNIQUE INDEX idempotency_tokens ON idempotency_records (token);
        CREATE INDEX idempotency_expiry ON idempotency_records (expires_ms);
    "],
};

const IN_PROGRESS: i64 = 1;
const DONE: i64 = 2;
const FAILED: i64 = 3;

/// The store that is always there.
pub(crate) struct LedgerIdempotency {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    upkeep: Upkeep,
}

impl LedgerIdempotency {
    /// The ledger must have been opened with [`SCHEMA`]. `report` is told what goes wrong where no caller waits for it.
    ///
    /// UNAVAILABLE: its thread cannot be started.
    pub(crate) fn new(
        ledger: Arc<Ledger>,
        clock: Arc<dyn Clock>,
        report: impl Fn(&Error) + Send + 'static,
    ) -> Result<Self> {
        let upkeep = Upkeep::start(&ledger, &clock, report)?;
        Ok(Self { ledger, clock, upkeep })
    }

    /// What is there now, as somebody with this fingerprint sees it; none: whoever only looks.
    fn read(&self, place: &Place, fingerprint: Option<&[u8]>) -> Result<Option<Known>> {
        let record =
            self.ledger.read(|ledger| Ok(place.find(&mut ledger.prepare_cached(FIND)?, fingerprint)?))?;
        let now = self.clock.now_ms();
        Ok(record.filter(|record| record.expires_ms > now).map(|record| record.known(now)))
    }
}

impl IdempotencyStore for LedgerIdempotency {
    fn begin(&self, address: &Address<'_>, start: &Start<'_>) -> Result<Known> {
        let place = Place::of(address)?;
        if let Some(known) = self.read(&place, Some(start.fingerprint))?
            && known.state != State::Abandoned
        {
            return Ok(known);
        }
        let &Start { fingerprint, token, lease_ms, keep_ms } = start;
        let begin = Begin { place, fingerprint: fingerprint.into(), token, lease_ms, keep_ms };
        let (known, expires_ms) = self.ledger.write(begin)?;
        self.upkeep.note(expires_ms);
        Ok(known)
    }

    fn end(&self, scope: &DataScope<'_>, token: Token, ending: Ending<'_>) -> Result<()> {
        let (state, result) = match ending {
            Ending::Done(result) => (Some(DONE), copied(result)?),
            Ending::Failed(error) => (Some(FAILED), copied(error)?),
            Ending::Dropped => (None, Vec::new()),
        };
        let expires_ms = self.ledger.write(End { owner: Owner::of(scope)?, token, state, result })??;
        self.upkeep.note(expires_ms);
        Ok(())
    }

    fn renew(&self, scope: &DataScope<'_>, token: Token, lease_ms: Option<i64>) -> Result<()> {
        let expires_ms = self.ledger.write(Renew { owner: Owner::of(scope)?, token, lease_ms })??;
        self.upkeep.note(Some(expires_ms));
        Ok(())
    }

    fn look(&self, address: &Address<'_>) -> Result<Option<Known>> {
        self.read(&Place::of(address)?, None)
    }

    fn forget(&self, address: &Address<'_>) -> Result<bool> {
        self.ledger.write(Forget { place: Place::of(address)? })
    }

    fn knows(&self, plugin: &str) -> Result<bool> {
        let now = self.clock.now_ms();
        self.ledger.read(|ledger| {
            let mut find = ledger
                .prepare_cached("SELECT 1 FROM idempotency_records WHERE plugin = ?1 AND expires_ms > ?2")?;
            Ok(find.exists(params![plugin, now])?)
        })
    }

    fn close(&self) {
        self.upkeep.end();
    }
}

impl Drop for LedgerIdempotency {
    fn drop(&mut self) {
        self.close();
    }
}

/// A scope by its names, which outlive this host.
struct Owner {
    plugin: Arc<str>,
    /// Empty for the system scope.
    tenant: Arc<str>,
}

impl Owner {
    fn of(scope: &DataScope<'_>) -> Result<Self> {
        Ok(Self { plugin: Arc::clone(scope.id), tenant: Arc::clone(scope.tenant()?.name()) })
    }
}

struct Place {
    owner: Owner,
    operation: Box<[u8]>,
    key: Box<[u8]>,
}

impl Place {
    fn of(address: &Address<'_>) -> Result<Self> {
        Ok(Self {
            owner: Owner::of(&address.scope)?,
            operation: address.operation.as_str().as_bytes().into(),
            key: address.key.as_str().as_bytes().into(),
        })
    }

    fn size(&self) -> usize {
        self.owner.plugin.len() + self.owner.tenant.len() + self.operation.len() + self.key.len()
    }

    /// The record that is there, expired or not, by [`FIND`].
    fn find(
        &self,
        find: &mut CachedStatement<'_>,
        fingerprint: Option<&[u8]>,
    ) -> rusqlite::Result<Option<Record>> {
        let Self { owner: Owner { plugin, tenant }, operation, key } = self;
        find.query_row(params![plugin, tenant, operation, key, fingerprint], Record::read).optional()
    }
}

/// With the fingerprint, where it is known: whether it is another.
const FIND: &str = "SELECT state, attempt, begun_ms, lease_ends_ms, expires_ms, fingerprint <> ?5, result
    FROM idempotency_records WHERE plugin = ?1 AND tenant = ?2 AND operation = ?3 AND key = ?4";

/// What a record says to somebody who asks by its key.
struct Record {
    state: i64,
    attempt: u32,
    begun_ms: i64,
    lease_ends_ms: i64,
    expires_ms: i64,
    differs: bool,
    result: Vec<u8>,
}

impl Record {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let differs = row.get::<_, Option<bool>>(5)?.unwrap_or_default();
        Ok(Self {
            state: row.get(0)?,
            attempt: row.get(1)?,
            begun_ms: row.get(2)?,
            lease_ends_ms: row.get(3)?,
            expires_ms: row.get(4)?,
            differs,
            // Whoever asks with another fingerprint gets nothing of it.
            result: if differs { Vec::new() } else { row.get(6)? },
        })
    }

    fn known(self, now: i64) -> Known {
        let state = match self.state {
            _ if self.differs => State::Mismatch,
            DONE => State::Done,
            FAILED => State::Failed,
            _ if self.lease_ends_ms > now => State::InProgress,
            _ => State::Abandoned,
        };
        let until = if state == State::InProgress { self.lease_ends_ms } else { self.expires_ms };
        let Self { attempt, begun_ms, result, .. } = self;
        Known { state, attempt, left_ms: until.saturating_sub(now), begun_ms, result }
    }
}

struct Begin {
    place: Place,
    fingerprint: Box<[u8]>,
    token: Token,
    lease_ms: i64,
    keep_ms: i64,
}

impl Write for Begin {
    /// And when the record expires that was written, if one was.
    type Answer = (Known, Option<i64>);

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        let now = transaction.now_ms();
        let there = self.place.find(&mut transaction.prepare(FIND)?, Some(&self.fingerprint))?;
        let there = there.filter(|record| record.expires_ms > now).map(|record| record.known(now));
        let before = match there {
            Some(known) if known.state != State::Abandoned => return Ok((known, None)),
            before => before,
        };
        let taken_over = before.is_some();
        let (attempt, begun_ms) =
            before.map_or((1, now), |before| (before.attempt.saturating_add(1), before.begun_ms));
        let lease_ends_ms = now.saturating_add(self.lease_ms);
        let expires_ms = lease_ends_ms.saturating_add(self.keep_ms);
        let Place { owner: Owner { plugin, tenant }, operation, key } = &self.place;
        // What is in its place has expired, or its lease is over.
        transaction
            .prepare(
                "INSERT INTO idempotency_records (plugin, tenant, operation, key, state, token, attempt, lease_ms,
                    keep_ms, begun_ms, lease_ends_ms, expires_ms, fingerprint, result)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, x'')
                ON CONFLICT (plugin, tenant, operation, key) DO UPDATE SET state = ?5, token = ?6, attempt = ?7,
                    lease_ms = ?8, keep_ms = ?9, begun_ms = ?10, lease_ends_ms = ?11, expires_ms = ?12,
                    fingerprint = ?13, result = x''",
            )?
            .execute(params![
                plugin,
                tenant,
                operation,
                key,
                IN_PROGRESS,
                column(self.token),
                attempt,
                self.lease_ms,
                self.keep_ms,
                begun_ms,
                lease_ends_ms,
                expires_ms,
                self.fingerprint,
            ])?;
        let state = State::Started { token: self.token, taken_over };
        let known = Known { state, attempt, left_ms: self.lease_ms, begun_ms, result: Vec::new() };
        Ok((known, Some(expires_ms)))
    }

    fn size(&self) -> usize {
        self.place.size() + self.fingerprint.len()
    }
}

/// What a start needs to know of its record.
struct Held {
    record: i64,
    state: i64,
    lease_ms: i64,
    keep_ms: i64,
    /// It has ended with just this.
    same: bool,
}

impl Owner {
    /// The record of this token, unless it is another's, or has expired.
    fn held(
        &self,
        transaction: &Transaction<'_>,
        token: Token,
        result: &[u8],
    ) -> Result<Result<Held, Late>, Fault> {
        let mut find = transaction.prepare(
            "SELECT record, state, lease_ms, keep_ms, result = ?5 FROM idempotency_records
            WHERE token = ?1 AND plugin = ?2 AND tenant = ?3 AND expires_ms > ?4",
        )?;
        let Self { plugin, tenant } = self;
        let found =
            find.query_row(params![column(token), plugin, tenant, transaction.now_ms(), result], |row| {
                Ok(Held {
                    record: row.get(0)?,
                    state: row.get(1)?,
                    lease_ms: row.get(2)?,
                    keep_ms: row.get(3)?,
                    same: row.get(4)?,
                })
            });
        Ok(found.optional()?.ok_or(Late::Unknown))
    }
}

struct End {
    owner: Owner,
    token: Token,
    /// None: nothing is kept.
    state: Option<i64>,
    result: Vec<u8>,
}

impl Write for End {
    /// When the record expires, if it was written.
    type Answer = Result<Option<i64>, Late>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        let held = match self.owner.held(transaction, self.token, &self.result)? {
            Ok(held) => held,
            Err(late) => return Ok(Err(late)),
        };
        if held.state != IN_PROGRESS {
            // It has ended. That its caller was not told so is possible: the answer may have been lost.
            let same = self.state == Some(held.state) && held.same;
            return Ok(if same { Ok(None) } else { Err(Late::Over) });
        }
        let Some(state) = self.state else {
            transaction
                .prepare("DELETE FROM idempotency_records WHERE record = ?1")?
                .execute([held.record])?;
            return Ok(Ok(None));
        };
        let expires_ms = transaction.now_ms().saturating_add(held.keep_ms);
        transaction
            .prepare(
                "UPDATE idempotency_records SET state = ?2, expires_ms = ?3, result = ?4 WHERE record = ?1",
            )?
            .execute(params![held.record, state, expires_ms, self.result])?;
        Ok(Ok(Some(expires_ms)))
    }

    fn size(&self) -> usize {
        self.result.len()
    }
}

struct Renew {
    owner: Owner,
    token: Token,
    lease_ms: Option<i64>,
}

impl Write for Renew {
    /// When the record expires.
    type Answer = Result<i64, Late>;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Self::Answer, Fault> {
        let held = match self.owner.held(transaction, self.token, &[])? {
            Ok(held) if held.state == IN_PROGRESS => held,
            Ok(_) => return Ok(Err(Late::Over)),
            Err(late) => return Ok(Err(late)),
        };
        let ends_ms = transaction.now_ms().saturating_add(self.lease_ms.unwrap_or(held.lease_ms));
        let expires_ms = ends_ms.saturating_add(held.keep_ms);
        transaction
            .prepare("UPDATE idempotency_records SET lease_ends_ms = ?2, expires_ms = ?3 WHERE record = ?1")?
            .execute([held.record, ends_ms, expires_ms])?;
        Ok(Ok(expires_ms))
    }

    fn size(&self) -> usize {
        0
    }
}

struct Forget {
    place: Place,
}

impl Write for Forget {
    type Answer = bool;

    fn apply(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let Place { owner: Owner { plugin, tenant }, operation, key } = &self.place;
        // One that has expired was not there, but is none the worse for being removed.
        let mut remove = transaction.prepare(
            "DELETE FROM idempotency_records
            WHERE plugin = ?1 AND tenant = ?2 AND operation = ?3 AND key = ?4 RETURNING expires_ms > ?5",
        )?;
        let there =
            remove.query_row(params![plugin, tenant, operation, key, transaction.now_ms()], |row| row.get(0));
        Ok(there.optional()?.unwrap_or_default())
    }

    fn size(&self) -> usize {
        self.place.size()
    }
}

/// A token as a column has it: SQLite knows no 64 bits without a sign.
fn column(token: Token) -> i64 {
    token.cast_signed()
}

/// A plugin says how large a result is, so that there may be no memory for it: no reason to end the process.
fn copied(result: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(result.len()).map_err(|_| {
        let len = result.len();
        Error::lazy(ErrorKind::Unavailable, move || {
            format!("there is no memory from the system for a result of {len} bytes")
        })
    })?;
    copy.extend_from_slice(result);
    Ok(copy)
}
