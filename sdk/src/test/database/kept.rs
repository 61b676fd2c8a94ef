//! The databases of a test host, and the transactions that are open in them: whose they are, what is nested in them, and when
//! they end.
//!
//! A database is one connection, which has what was committed. A transaction is a copy of it that takes its place when it is
//! committed, so nobody else sees what it writes before. Nobody waits: where a real host would wait for who writes, it is BUSY.

use std::collections::BTreeMap;

use pintle_abi::{PintleCtx, PintleTransaction};

use super::{
    super::inside::{Call, Tenant},
    session::{Done, Session, Statement},
    statement::{Fault, Given},
};
use crate::{Error, Result, Status};

/// How many may be nested in one.
const DEEPEST: usize = 32;

/// All databases.
#[derive(Default)]
pub(in crate::test) struct Kept {
    places: BTreeMap<Tenant, Place>,
    open: BTreeMap<PintleTransaction, Open>,
}

/// One of them.
struct Place {
    committed: Session,
    /// The rows of a statement that writes are handed over just now, by another thread.
    is_busy: bool,
}

/// A transaction.
struct Open {
    tenant: Tenant,
    generation: u64,
    ctx: PintleCtx,
    read_only: bool,
    until_ms: i64,
    state: std::result::Result<Session, Fault>,
    /// Those that are nested in it, the innermost last, with the contexts that they were begun under.
    nested: Vec<(PintleTransaction, PintleCtx)>,
    is_busy: bool,
}

impl Open {
    /// Rolls it back for what went wrong. What SQLite said of it was told once.
    fn doom(&mut self, why: Fault) {
        self.state = Err(Fault { code: 0, offset: None, ..why });
    }

    /// What it is in, if `tx` may be used now.
    fn innermost(&mut self, tx: PintleTransaction, now_ms: i64) -> Result<&mut Session, Fault> {
        if self.state.is_ok() && now_ms >= self.until_ms {
            self.doom(Error::new(Status::Timeout, "the transaction was open for too long").into());
        }
        let innermost = self.nested.last().is_none_or(|(last, _)| *last == tx);
        match &mut self.state {
            Err(why) => Err(why.clone()),
            Ok(_) if !innermost => {
                Err(Error::new(Status::Busy, "a transaction nested in this one is open: end that first")
                    .into())
            }
            Ok(_) if self.is_busy => {
                Err(Error::new(Status::Busy, "another thread runs a statement of this transaction").into())
            }
            Ok(session) => Ok(session),
        }
    }

    /// Undoes what is nested in it from `depth` on.
    fn undo(&mut self, depth: usize) -> Result<()> {
        self.nested.truncate(depth);
        match &self.state {
            Ok(session) => session.own(&format!("ROLLBACK TO nested_{depth}; RELEASE nested_{depth}")),
            Err(_) => Ok(()),
        }
    }
}

impl Kept {
    fn place(&mut self, tenant: &Tenant) -> Result<&mut Place> {
        if !self.places.contains_key(tenant) {
            self.places.insert(tenant.clone(), Place { committed: Session::new()?, is_busy: false });
        }
        Ok(self.places.get_mut(tenant).expect("it is there now"))
    }

    /// BUSY, where somebody writes to this database.
    fn must_be_free(&mut self, tenant: &Tenant) -> Result<()> {
        let writes = |open: &Open| open.tenant == *tenant && !open.read_only && open.state.is_ok();
        if self.open.values().any(writes) || self.place(tenant)?.is_busy {
            let text =
                "a transaction writes to this database, and nobody waits in the test host: end it first";
            return Err(Error::new(Status::Busy, text));
        }
        Ok(())
    }

    /// The outermost transaction of a handle, with its own number.
    fn find(&mut self, call: &Call, tx: PintleTransaction) -> Result<(PintleTransaction, &mut Open)> {
        let own = |(number, open): &(&PintleTransaction, &mut Open)| {
            open.generation == call.entry.generation
                && open.tenant == call.entry.tenant
                && (**number == tx || open.nested.iter().any(|(one, _)| *one == tx))
        };
        let found = self.open.iter_mut().find(own).map(|(number, open)| (*number, open));
        found.ok_or_else(|| Error::new(Status::StaleHandle, "the transaction has ended, or never was one"))
    }

    pub(super) fn must_be_open(&mut self, call: &Call, tx: PintleTransaction) -> Result<()> {
        if tx == 0 { Ok(()) } else { self.find(call, tx).map(drop) }
    }

    /// Runs a statement. One that writes is left open, and [`end`](Kept::end) is to be called for it.
    pub(super) fn run(
        &mut self,
        call: &Call,
        (tx, now_ms): (PintleTransaction, i64),
        mut asked: Statement<'_>,
        given: &mut Given,
    ) -> Result<Done, Fault> {
        if tx == 0 {
            let tenant = &call.entry.tenant;
            if let Err(busy) = self.must_be_free(tenant) {
                asked.refusal.get_or_insert_with(|| busy.into());
            }
            let place = self.place(tenant)?;
            let done = place.committed.run(&asked, given)?;
            place.is_busy = done.open;
            return Ok(done);
        }
        let (_, open) = self.find(call, tx)?;
        let read_only = open.read_only;
        let session = open.innermost(tx, now_ms)?;
        let done = session.run(&refusing(asked, read_only), given);
        let still = session.in_transaction();
        open.is_busy = done.as_ref().is_ok_and(|done| done.open);
        if let Err(fault) = &done
            && !still
        {
            open.doom(fault.clone());
        }
        done
    }

    /// Keeps what a statement wrote that was left open, or undoes it.
    pub(super) fn end(&mut self, call: &Call, tx: PintleTransaction, keep: bool) -> Result<(), Fault> {
        let (session, is_busy) = if tx == 0 {
            let place = self.place(&call.entry.tenant)?;
            (&mut place.committed, &mut place.is_busy)
        } else {
            let (_, open) = self.find(call, tx)?;
            let Ok(session) = &mut open.state else { return Ok(()) };
            (session, &mut open.is_busy)
        };
        *is_busy = false;
        if keep { session.keep() } else { Ok(session.undo()?) }
    }

    /// Runs all statements of a text as a whole.
    pub(super) fn script(
        &mut self,
        call: &Call,
        (tx, now_ms): (PintleTransaction, i64),
        asked: Statement<'_>,
    ) -> Result<Done, Fault> {
        if tx == 0 {
            if let Some(refusal) = asked.refusal {
                return Err(refusal);
            }
            return self.whole(&call.entry.tenant, |session| session.run_all(&asked));
        }
        let (_, open) = self.find(call, tx)?;
        let read_only = open.read_only;
        let session = open.innermost(tx, now_ms)?;
        session.own("SAVEPOINT script")?;
        let done = session.run_all(&refusing(asked, read_only));
        match &done {
            Ok(_) => session.own("RELEASE script")?,
            Err(_) if session.in_transaction() => session.own("ROLLBACK TO script; RELEASE script")?,
            Err(fault) => {
                let fault = fault.clone();
                open.doom(fault);
            }
        }
        done
    }

    /// Does something in a transaction of its own.
    pub(super) fn whole<T>(
        &mut self,
        tenant: &Tenant,
        work: impl FnOnce(&Session) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.must_be_free(tenant)?;
        let place = self.place(tenant)?;
        let session = place.committed.begin(false)?;
        let done = work(&session)?;
        session.commit(&mut place.committed)?;
        Ok(done)
    }

    /// Does something with what was committed.
    pub(super) fn committed<T>(
        &mut self,
        tenant: &Tenant,
        ask: impl FnOnce(&Session) -> Result<T>,
    ) -> Result<T> {
        ask(&self.place(tenant)?.committed)
    }

    /// Does something in the transaction `tx`, or by itself where that is 0, as a whole.
    pub(super) fn within<T>(
        &mut self,
        call: &Call,
        (tx, now_ms): (PintleTransaction, i64),
        work: impl FnOnce(&Session) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if tx == 0 {
            return self.whole(&call.entry.tenant, work);
        }
        let (_, open) = self.find(call, tx)?;
        let read_only = open.read_only;
        let session = open.innermost(tx, now_ms)?;
        if read_only { Err(reads_only()) } else { work(session) }
    }

    /// Begins a transaction, or one nested in `outer`, under the number `tx`.
    pub(super) fn begin(
        &mut self,
        call: &Call,
        tx: PintleTransaction,
        (outer, now_ms): (PintleTransaction, i64),
        (read_only, timeout_ms): (bool, i64),
    ) -> Result<()> {
        let ctx = call.ctx;
        if outer != 0 {
            let (_, open) = self.find(call, outer)?;
            let depth = open.nested.len();
            let session = open.innermost(outer, now_ms).map_err(|fault| fault.error())?;
            if depth == DEEPEST {
                let text = format!("{DEEPEST} transactions are nested in one already: end some");
                return Err(Error::new(Status::Quota, text));
            }
            session.own(&format!("SAVEPOINT nested_{depth}"))?;
            open.nested.push((tx, ctx));
            return Ok(());
        }
        let tenant = &call.entry.tenant;
        if !read_only {
            self.must_be_free(tenant)?;
        }
        let session = self.place(tenant)?.committed.begin(read_only)?;
        let open = Open {
            tenant: tenant.clone(),
            generation: call.entry.generation,
            ctx,
            read_only,
            until_ms: now_ms.saturating_add(timeout_ms),
            state: Ok(session),
            nested: Vec::new(),
            is_busy: false,
        };
        self.open.insert(tx, open);
        Ok(())
    }

    pub(super) fn commit(&mut self, call: &Call, (tx, now_ms): (PintleTransaction, i64)) -> Result<()> {
        let (number, open) = self.find(call, tx)?;
        let depth = open.nested.len();
        match open.innermost(tx, now_ms) {
            Err(fault) if fault.status == Status::Busy => return Err(fault.error()),
            Err(fault) => {
                self.forget(number, tx);
                return Err(fault.error());
            }
            Ok(session) if number != tx => {
                session.own(&format!("RELEASE nested_{}", depth - 1))?;
                open.nested.pop();
                return Ok(());
            }
            Ok(_) => {}
        }
        let Some(Open { tenant, state: Ok(session), read_only, .. }) = self.open.remove(&number) else {
            return Ok(());
        };
        if read_only { Ok(()) } else { session.commit(&mut self.place(&tenant)?.committed) }
    }

    pub(super) fn rollback(&mut self, call: &Call, tx: PintleTransaction) -> Result<()> {
        let (number, open) = self.find(call, tx)?;
        if let Some(depth) = open.nested.iter().position(|(one, _)| *one == tx) {
            return open.undo(depth);
        }
        self.open.remove(&number);
        Ok(())
    }

    /// A handle is over whose transaction was rolled back before.
    fn forget(&mut self, number: PintleTransaction, tx: PintleTransaction) {
        if number == tx {
            self.open.remove(&number);
        } else if let Some(open) = self.open.get_mut(&number) {
            open.nested.retain(|(one, _)| *one != tx);
        }
    }

    /// How many are open on behalf of whom a call is made.
    pub(super) fn count(&self, call: &Call) -> u32 {
        let (generation, tenant) = (call.entry.generation, &call.entry.tenant);
        let own = |open: &&Open| open.generation == generation && open.tenant == *tenant;
        self.open.values().filter(own).count() as u32
    }

    /// A context is over, or the function that was given it has returned.
    pub(in crate::test) fn end_of(&mut self, ctx: PintleCtx) {
        self.open.retain(|_, open| open.ctx != ctx);
        for open in self.open.values_mut() {
            if let Some(depth) = open.nested.iter().position(|(_, of)| *of == ctx)
                && let Err(error) = open.undo(depth)
            {
                open.doom(error.into());
            }
        }
    }

    pub(in crate::test) fn end_generation(&mut self, generation: u64) {
        self.open.retain(|_, open| open.generation != generation);
    }
}

/// A transaction that only reads refuses what writes, unless there is a reason before that.
fn refusing(asked: Statement<'_>, read_only: bool) -> Statement<'_> {
    let refusal = asked.refusal.or_else(|| read_only.then(reads_only));
    Statement { refusal, ..asked }
}

fn reads_only() -> Fault {
    Error::new(Status::InvalidArgument, "it writes, and the transaction was begun to read only").into()
}
