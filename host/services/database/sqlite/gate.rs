//! Who writes: one at a time, in the order in which they came.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, ThreadId},
};

use parking_lot::Mutex;

use super::super::patience::Patience;
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::{Alarm, Clock},
};

/// What one at a time may have. Those that wait have it in the order in which they came.
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who has it.
    taken: Option<Holder>,
    waiting: VecDeque<Arc<Turn>>,
}

/// Whom somebody has it for, and the thread that took it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Holder {
    caller: u64,
    thread: ThreadId,
}

struct Turn {
    holder: Holder,
    alarm: Arc<Alarm>,
    /// It has come.
    come: Mutex<bool>,
}

/// The right to write. Ends when it is dropped.
pub(super) struct Right(Arc<Gate>);

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// The right to write, if nobody has it and nobody waits for it.
    ///
    /// # Errors
    ///
    /// BUSY: whoever asks has it already, in a transaction or while rows are handed over, and would wait for itself.
    pub(super) fn try_enter(self: &Arc<Self>, patience: &Patience) -> Result<Option<Right>> {
        let holder = Holder::of(patience);
        let mut state = self.state.lock();
        match state.taken {
            None => {
                state.taken = Some(holder);
                Ok(Some(Right(Arc::clone(self))))
            }
            Some(taken) if taken == holder => Err(Error::new(
                ErrorKind::Busy,
                "this very call is writing to the database, in a transaction or in a statement whose rows it is being given, and would wait for itself: pass that transaction, or end it first",
            )),
            Some(_) => Ok(None),
        }
    }

    /// Waits for the right to write, as long as `patience` lasts; `late` is why it then fails.
    pub(super) fn enter(self: &Arc<Self>, patience: &Patience, late: impl Fn() -> Error) -> Result<Right> {
        let holder = Holder::of(patience);
        let turn = {
            let mut state = self.state.lock();
            if state.taken.is_none() {
                state.taken = Some(holder);
                return Ok(Right(Arc::clone(self)));
            }
            let turn = Arc::new(Turn { holder, alarm: self.clock.alarm(), come: Mutex::new(false) });
            state.waiting.push_back(Arc::clone(&turn));
            turn
        };
        loop {
            if *turn.come.lock() {
                return Ok(Right(Arc::clone(self)));
            }
            match patience.next_look(&*self.clock, &late) {
                Ok(until) => self.clock.wait(&turn.alarm, Some(until)),
                Err(error) => {
                    let mut state = self.state.lock();
                    state.waiting.retain(|other| !Arc::ptr_eq(other, &turn));
                    drop(state);
                    // Given just now: whoever comes next has it.
                    if *turn.come.lock() {
                        drop(Right(Arc::clone(self)));
                    }
                    return Err(error);
                }
            }
        }
    }
}

impl Holder {
    fn of(patience: &Patience) -> Self {
        Self { caller: patience.caller.id, thread: thread::current().id() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.alarm.leave();
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match state.waiting.pop_front() {
            Some(next) => {
                state.taken = Some(next.holder);
                *next.come.lock() = true;
                next.alarm.ring();
            }
            None => state.taken = None,
        }
    }
}
