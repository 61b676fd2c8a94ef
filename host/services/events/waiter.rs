//! Publishers that wait for room: what wakes them, and the list in which one that stops is found.
//!
//! A waiter sleeps until room is made in a queue (see [`subscription`](super::subscription)), until its deadline, or
//! until its publisher is to wait no longer. It is listed before it asks whether that is so, and who stops says so
//! before it looks at the list: one of the two sees the other.

use std::{sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

/// Who publishes an event, if it is somebody who can be stopped.
#[derive(Clone, Copy)]
pub(crate) struct Publisher<'a> {
    /// For [`Events::stop_waits`](super::Events::stop_waits): a number that means nothing here.
    pub number: u64,
    /// Whether it is to wait for nobody any more. Called without any lock of the engine.
    pub stopping: &'a dyn Fn() -> bool,
}

/// A publisher that waits for room, in one subscription or in several at once.
#[derive(Default)]
pub(super) struct Waiter {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    /// There is something to look at.
    woken: bool,
    /// It does not sleep again.
    given_up: bool,
}

/// The waiters whose publishers can be stopped.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<(u64, Arc<Waiter>)>>);

/// A waiter's place in the list; it leaves when this is dropped.
pub(super) struct Listed<'a> {
    waiters: &'a Waiters,
    waiter: Arc<Waiter>,
}

impl Waiters {
    /// Lists a waiter of `publisher`, which gives up at once if that is stopping already.
    pub(super) fn list(&self, publisher: Publisher<'_>, waiter: &Arc<Waiter>) -> Listed<'_> {
        self.0.lock().push((publisher.number, Arc::clone(waiter)));
        let listed = Listed { waiters: self, waiter: Arc::clone(waiter) };
        if (publisher.stopping)() {
            waiter.give_up();
        }
        listed
    }

    /// Makes all waiters of a publisher give up.
    pub(super) fn stop(&self, publisher: u64) {
        for (_, waiter) in self.0.lock().iter().filter(|(number, _)| *number == publisher) {
            waiter.give_up();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.waiters.0.lock().retain(|(_, other)| !Arc::ptr_eq(other, &self.waiter));
    }
}

impl Waiter {
    /// Sleeps until there is something to look at. False: the deadline came first, or it has given up.
    pub(super) fn sleep(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.woken && !state.given_up {
            if self.bell.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        std::mem::take(&mut state.woken) && !state.given_up
    }

    pub(super) fn wake(&self) {
        self.state.lock().woken = true;
        self.bell.notify_one();
    }

    fn give_up(&self) {
        self.state.lock().given_up = true;
        self.bell.notify_one();
    }
}
