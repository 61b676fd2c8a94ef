//! Who writes: one at a time, in the order in which they came.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::super::patience::Patience;
use crate::{
    error::{Error, Result},
    services::clock::{Alarm, Clock},
};

/// What one at a time may have. Those that wait have it in the order in which they came.
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: bool,
    waiting: VecDeque<Arc<Turn>>,
}

struct Turn {
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
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Right> {
        let mut state = self.state.lock();
        if state.taken {
            return None;
        }
        state.taken = true;
        Some(Right(Arc::clone(self)))
    }

    /// Waits for the right to write, as long as `patience` lasts; `late` is why it then fails.
    pub(super) fn enter(self: &Arc<Self>, patience: &Patience, late: impl Fn() -> Error) -> Result<Right> {
        let turn = {
            let mut state = self.state.lock();
            if !state.taken {
                state.taken = true;
                return Ok(Right(Arc::clone(self)));
            }
            let turn = Arc::new(Turn { alarm: self.clock.alarm(), come: Mutex::new(false) });
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
                    turn.alarm.leave();
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

impl Drop for Right {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match state.waiting.pop_front() {
            Some(next) => {
                *next.come.lock() = true;
                next.alarm.ring();
            }
            None => state.taken = false,
        }
    }
}
