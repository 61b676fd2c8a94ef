//! A result that one thread waits for and a lane's task delivers; the waiter may give up first.

use std::{sync::Arc, time::Instant};

use super::sync::{Condvar, Mutex};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::expire,
};

/// The waiter's side.
pub(crate) struct Pending<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// The task's side. If it goes without a result (its lane was closed, its task panicked), the waiter is told.
pub(crate) struct Promise<T>(Arc<Pending<T>>);

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
    /// The two sides of a new one.
    pub(crate) fn pair() -> (Arc<Self>, Promise<T>) {
        let pending = Arc::new(Self { state: Mutex::new(State::Open), changed: Condvar::new() });
        (pending.clone(), Promise(pending))
    }

    /// Waits for the result until `deadline`, then gives up with TIMEOUT.
    pub(crate) fn wait(&self, deadline: Instant) -> Result<T> {
        let mut state = self.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::GivenUp(ErrorKind::Internal)) {
                State::Done(value) => return Ok(value),
                State::GivenUp(why) => {
                    *state = State::GivenUp(why);
                    return Err(ended(why));
                }
                waiting => *state = waiting,
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                // A result that came in the same moment stays; the loop finds it.
                Self::give_up_in(&mut state, ErrorKind::Timeout);
            }
        }
    }

    /// Ends the wait with this reason; nothing if it is over.
    pub(crate) fn give_up(&self, why: ErrorKind) {
        Self::give_up_in(&mut self.state.lock(), why);
        self.changed.notify_all();
    }

    fn give_up_in(state: &mut State<T>, why: ErrorKind) {
        match *state {
            State::Done(_) | State::GivenUp(_) => return,
            // The task cannot end its call and begin another meanwhile: it comes through `finish` first, and
            // that takes the lock held here.
            State::Running(ctx) if ctx != 0 => expire(ctx),
            State::Open | State::Running(_) => {}
        }
        *state = State::GivenUp(why);
    }
}

impl<T> Promise<T> {
    /// The task begins under `ctx` (0: none). False if nobody waits any more: then it should not.
    pub(crate) fn start(&self, ctx: u64) -> bool {
        let mut state = self.0.state.lock();
        if let State::GivenUp(_) = *state {
            return false;
        }
        *state = State::Running(ctx);
        true
    }

    /// Whether the waiter has gone.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(*self.0.state.lock(), State::GivenUp(_))
    }

    /// Delivers the result, after the task's context has ended. Gives it back if nobody waits any more.
    pub(crate) fn finish(&self, value: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        if let State::GivenUp(_) = *state {
            return Err(value);
        }
        *state = State::Done(value);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // One that has begun and does not end has panicked on the way.
        let begun = matches!(*self.0.state.lock(), State::Running(_));
        self.0.give_up(if begun { ErrorKind::Internal } else { ErrorKind::Unavailable });
    }
}

/// A wait that can be ended from outside, whatever it waits for.
pub(super) trait Wake: Send + Sync {
    fn wake(&self, why: ErrorKind);

    /// Whether it has been answered or ended, although its thread may not have noticed yet.
    fn is_over(&self) -> bool;
}

impl<T: Send> Wake for Pending<T> {
    fn wake(&self, why: ErrorKind) {
        self.give_up(why);
    }

    fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::Done(_) | State::GivenUp(_))
    }
}

fn ended(why: ErrorKind) -> Error {
    let text = match why {
        ErrorKind::Timeout => "the answer did not come in time",
        ErrorKind::Stopping => "the caller is stopping, its waits were ended",
        ErrorKind::Unavailable => "the plugin was unloaded, or its host has stopped, before it answered",
        ErrorKind::Internal => "the host failed before there was an answer: its log says how",
        _ => "the wait was ended",
    };
    Error::new(why, text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kind<T>(outcome: Result<T>) -> Option<ErrorKind> {
        outcome.err().map(|error| error.kind())
    }

    #[test]
    fn a_result_is_delivered_once_and_a_late_one_is_given_back() {
        let (pending, promise) = Pending::pair();
        assert!(promise.start(0));
        assert_eq!(promise.finish(7), Ok(()));
        assert_eq!(pending.wait(Instant::now()).expect("it is there"), 7);

        let (pending, promise) = Pending::pair();
        assert_eq!(kind(pending.wait(Instant::now())), Some(ErrorKind::Timeout));
        assert!(promise.is_given_up());
        assert!(!promise.start(0));
        assert_eq!(promise.finish(8), Err(8));
    }

    #[test]
    fn a_waiter_can_be_woken() {
        let (pending, _promise) = Pending::<()>::pair();
        std::thread::scope(|threads| {
            let waiter = threads.spawn(|| pending.wait(Instant::now() + Duration::from_secs(60)));
            pending.wake(ErrorKind::Stopping);
            assert_eq!(kind(waiter.join().expect("the waiter does not panic")), Some(ErrorKind::Stopping));
        });
    }

    #[test]
    fn a_promise_that_goes_without_a_result_ends_the_wait() {
        let (pending, promise) = Pending::<()>::pair();
        drop(promise);
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(kind(pending.wait(far)), Some(ErrorKind::Unavailable));

        let (pending, promise) = Pending::<()>::pair();
        assert!(promise.start(0));
        drop(promise);
        assert_eq!(kind(pending.wait(far)), Some(ErrorKind::Internal));
    }
}
