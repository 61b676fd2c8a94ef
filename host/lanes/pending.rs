//! A result that one thread waits for and a lane's task delivers; the waiter may give up first.

use std::time::Instant;

use super::sync::{Condvar, Mutex};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::expire,
};

/// The place where a waiter and a task meet.
pub(crate) struct Pending<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    /// Not begun, or begun without a context that could be told.
    Open,
    /// It runs under this context.
    Running(u64),
    Done(T),
    /// The waiter has gone, for this reason.
    GivenUp(ErrorKind),
}

impl<T> Pending<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Open), changed: Condvar::new() }
    }

    /// The task begins under `ctx` (0: none). False if nobody waits any more: then it should not.
    pub(crate) fn start(&self, ctx: u64) -> bool {
        let mut state = self.state.lock();
        if let State::GivenUp(_) = *state {
            return false;
        }
        *state = State::Running(ctx);
        true
    }

    /// Whether the waiter has gone.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(*self.state.lock(), State::GivenUp(_))
    }

    /// Delivers the result, after the task's context has ended. Gives it back if nobody waits any more.
    pub(crate) fn finish(&self, value: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if let State::GivenUp(_) = *state {
            return Err(value);
        }
        *state = State::Done(value);
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the wait with this reason; nothing if it is over.
    pub(super) fn give_up(&self, why: ErrorKind) {
        let mut state = self.state.lock();
        match *state {
            State::Done(_) | State::GivenUp(_) => return,
            // The task cannot end its call and begin another meanwhile: it comes through `finish` first, and
            // that takes the lock held here.
            State::Running(ctx) if ctx != 0 => expire(ctx),
            State::Open | State::Running(_) => {}
        }
        *state = State::GivenUp(why);
        self.changed.notify_all();
    }

    /// Waits for the result until `deadline`, then gives up with TIMEOUT.
    pub(crate) fn wait(&self, deadline: Instant) -> Result<T> {
        let mut state = self.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::GivenUp(ErrorKind::Internal)) {
                State::Done(value) => return Ok(value),
                State::GivenUp(why) => {
                    *state = State::GivenUp(why);
                    return Err(match why {
                        ErrorKind::Stopping => {
                            Error::new(why, "the caller is stopping, its waits were ended")
                        }
                        _ => Error::new(why, "the wait was ended"),
                    });
                }
                waiting => *state = waiting,
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() && !matches!(*state, State::Done(_))
            {
                drop(state);
                self.give_up(ErrorKind::Timeout);
                // The result may have come between the two locks.
                state = self.state.lock();
                if matches!(*state, State::GivenUp(ErrorKind::Timeout)) {
                    return Err(Error::new(ErrorKind::Timeout, "the answer did not come in time"));
                }
            }
        }
    }
}

/// A wait that can be ended from outside, whatever it waits for.
pub(super) trait Wake: Send + Sync {
    fn wake(&self, why: ErrorKind);
}

impl<T: Send> Wake for Pending<T> {
    fn wake(&self, why: ErrorKind) {
        self.give_up(why);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_result_is_delivered_once_and_a_late_one_is_given_back() {
        let pending = Pending::new();
        assert!(pending.start(0));
        assert_eq!(pending.finish(7), Ok(()));
        assert_eq!(pending.wait(Instant::now()).expect("it is there"), 7);

        let pending = Pending::new();
        let kind = pending.wait(Instant::now()).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::Timeout));
        assert!(!pending.start(0));
        assert_eq!(pending.finish(8), Err(8));
    }

    #[test]
    fn a_waiter_can_be_woken() {
        let pending: Pending<()> = Pending::new();
        std::thread::scope(|threads| {
            let waiter = threads.spawn(|| pending.wait(Instant::now() + Duration::from_secs(60)));
            pending.wake(ErrorKind::Stopping);
            let outcome = waiter.join().expect("the waiter does not panic");
            assert_eq!(outcome.map_err(|error| error.kind()), Err(ErrorKind::Stopping));
        });
    }
}
