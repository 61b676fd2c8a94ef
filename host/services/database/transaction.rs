//! Transactions: a session that somebody has for longer than one statement, with those nested in it, until it ends, its deadline
//! passes, or whoever it belongs to is gone.
//!
//! One that was rolled back for what went wrong answers with that until it is ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    backend::{SqlSession, Stopper},
    fault::Fault,
    patience::Patience,
    value::Writes,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::Clock,
};

/// How many may be nested in one.
const DEEPEST: usize = 32;

/// How long an end waits for a statement that was told to stop, before it leaves the rest to whoever runs it.
const LONGEST_STOP: Duration = Duration::from_millis(200);

/// An open transaction, the outermost of those nested in it.
pub(crate) struct Transaction {
    tenant: u64,
    read_only: bool,
    /// When it is rolled back, in the clock's monotonic time.
    pub(super) until: Duration,
    stopper: Arc<dyn Stopper>,
    /// Why it is to be rolled back, if it is: whoever runs a statement of it does it then.
    doomed: OnceLock<Error>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

enum State {
    Open(Open),
    /// It was rolled back, and nobody has been told in a way that ends it.
    RolledBack(Error),
    Ended,
}

struct Open {
    session: Box<dyn SqlSession>,
    /// The nested ones that are open, by number, the innermost last.
    nested: Vec<u64>,
    last: u64,
}

/// A transaction or one nested in it.
#[derive(Clone)]
pub(crate) struct Handle {
    transaction: Arc<Transaction>,
    /// 0: the outermost.
    nested: u64,
}

impl Transaction {
    pub(super) fn new(
        session: Box<dyn SqlSession>,
        tenant: u64,
        read_only: bool,
        until: Duration,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            read_only,
            until,
            stopper: session.stopper(),
            doomed: OnceLock::new(),
            clock,
            state: Mutex::new(State::Open(Open { session, nested: Vec::new(), last: 0 })),
        })
    }

    /// Whether it still has a session.
    pub(super) fn is_open(&self) -> bool {
        // Who holds it uses it.
        self.state.try_lock().is_none_or(|state| matches!(*state, State::Open(_)))
    }

    /// Rolls it back, for `why`; what runs in it is stopped.
    pub(super) fn doom(&self, why: Error) {
        let _ = self.doomed.set(why);
        self.stopper.stop();
        // Who runs a statement meanwhile does it when that has stopped.
        if let Some(mut state) = self.state.try_lock_for(LONGEST_STOP) {
            self.settle(&mut state);
        }
    }

    /// Whoever has had the state may have to roll back what was doomed meanwhile, or find it rolled back by the database.
    fn settle(&self, state: &mut State) {
        let State::Open(open) = state else { return };
        if let Some(why) = self.doomed.get() {
            open.session.rollback();
            *state = State::RolledBack(why.clone());
        }
    }

    fn lock(&self, patience: &Patience) -> Result<MutexGuard<'_, State>> {
        if let Some(state) = self.state.try_lock() {
            return Ok(state);
        }
        loop {
            patience.next_look(&*self.clock, || {
                Error::new(ErrorKind::Busy, "another thread runs a statement of this transaction")
            })?;
            if let Some(state) = self.state.try_lock_for(super::patience::LOOK) {
                return Ok(state);
            }
        }
    }
}

impl Handle {
    pub(super) fn outermost(transaction: Arc<Transaction>) -> Self {
        Self { transaction, nested: 0 }
    }

    /// The tenant on whose behalf it was begun.
    pub(crate) fn tenant(&self) -> u64 {
        self.transaction.tenant
    }

    /// Whether it is the outermost.
    pub(crate) fn is_outermost(&self) -> bool {
        self.nested == 0
    }

    /// Does something in it. What a failure has rolled back stays so.
    pub(super) fn within<T>(
        &self,
        writes: Writes,
        patience: &Patience,
        work: impl FnOnce(&mut dyn SqlSession, Writes, &Patience) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let transaction = &*self.transaction;
        let mut state = transaction.lock(patience)?;
        transaction.settle(&mut state);
        let open = self.innermost(&mut state)?;
        let writes =
            if transaction.read_only && writes == Writes::Allowed { Writes::ReadOnly } else { writes };
        let patience = Patience { until: patience.until.min(transaction.until), ..*patience };
        // Whoever takes the rows may panic: what was begun then is not to be kept by a later commit.
        let done = match catch_unwind(AssertUnwindSafe(|| work(&mut *open.session, writes, &patience))) {
            Ok(done) => done,
            Err(panic) => {
                open.session.rollback();
                *state = State::RolledBack(rolled_back(&Error::new(
                    ErrorKind::Panic,
                    "what takes its rows has panicked",
                )));
                resume_unwind(panic);
            }
        };
        if let Err(fault) = &done
            && !open.session.in_transaction()
        {
            // One that was stopped because its transaction was doomed says why that was.
            let why = transaction.doomed.get().cloned();
            *state = State::RolledBack(why.unwrap_or_else(|| rolled_back(&fault.error)));
        }
        transaction.settle(&mut state);
        match (&*state, done) {
            // It was stopped for that.
            (State::RolledBack(why), Err(fault)) if transaction.doomed.get().is_some() => {
                Err(Fault { error: why.clone(), ..fault })
            }
            (_, done) => done,
        }
    }

    /// Begins one that is nested in it.
    pub(super) fn nest(&self, patience: &Patience) -> Result<Self> {
        let mut state = self.transaction.lock(patience)?;
        self.transaction.settle(&mut state);
        let open = self.innermost(&mut state)?;
        if open.nested.len() >= DEEPEST {
            let text = format!("{DEEPEST} transactions are nested in one already: end some");
            return Err(Error::new(ErrorKind::Quota, text));
        }
        open.session.nest(open.nested.len() + 1)?;
        open.last += 1;
        open.nested.push(open.last);
        Ok(Self { transaction: Arc::clone(&self.transaction), nested: open.last })
    }

    /// Ends it and keeps what it wrote.
    pub(crate) fn commit(&self, patience: &Patience) -> Result<()> {
        let mut state = self.transaction.lock(patience)?;
        self.transaction.settle(&mut state);
        let is_outermost = self.is_outermost();
        let open = self.innermost(&mut state)?;
        if !is_outermost {
            let depth = open.nested.len();
            open.session.keep(depth)?;
            open.nested.pop();
            return Ok(());
        }
        let committed = open.session.commit();
        if committed.is_err() {
            open.session.rollback();
        }
        *state = State::Ended;
        committed
    }

    /// Ends it and undoes what it wrote.
    pub(crate) fn rollback(&self) {
        self.transaction.stop_for(self);
    }

    /// What it is in, if it may be used now.
    fn innermost<'s>(&self, state: &'s mut State) -> Result<&'s mut Open> {
        match state {
            State::Open(open) => match open.nested.last() {
                None if self.nested == 0 => Ok(open),
                Some(last) if *last == self.nested => Ok(open),
                _ if self.nested == 0 || open.nested.contains(&self.nested) => Err(Error::new(
                    ErrorKind::Busy,
                    "a transaction nested in this one is open: end that first",
                )),
                _ => Err(over()),
            },
            State::RolledBack(why) => Err(why.clone()),
            State::Ended => Err(over()),
        }
    }
}

impl Transaction {
    fn stop_for(&self, handle: &Handle) {
        let mut state = match self.state.try_lock() {
            Some(state) => state,
            None => {
                self.stopper.stop();
                self.state.lock()
            }
        };
        self.settle(&mut state);
        let State::Open(open) = &mut *state else {
            if handle.is_outermost() {
                *state = State::Ended;
            }
            return;
        };
        if handle.is_outermost() {
            open.session.rollback();
            *state = State::Ended;
            return;
        }
        let Some(at) = open.nested.iter().position(|number| *number == handle.nested) else { return };
        match open.session.undo(at + 1) {
            Ok(()) => open.nested.truncate(at),
            // Then nothing of it may stay.
            Err(error) => {
                open.session.rollback();
                *state = State::RolledBack(rolled_back(&error));
            }
        }
    }
}

fn rolled_back(why: &Error) -> Error {
    let (kind, why) = (why.kind(), why.clone());
    Error::lazy(kind, move || format!("the transaction was rolled back when a statement of it failed: {why}"))
}

/// The handle's transaction has ended.
fn over() -> Error {
    Error::new(
        ErrorKind::StaleHandle,
        "the transaction has ended: it was committed or rolled back, by itself or with the one around it",
    )
}
