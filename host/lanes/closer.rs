//! The closer: a thread that joins workers that end, and closes libraries that nobody is left to have run. There is
//! one while there is something to do.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    handover::State,
    pool::Pool,
    sync::{Builder, JoinHandle},
    worker::Worker,
};

/// A worker's thread that ends. Destructors of libraries that it ran may still run on it.
pub(super) struct Ending {
    pub(super) record: Arc<Worker>,
    /// None while it is being joined.
    pub(super) thread: Option<JoinHandle<()>>,
}

/// A generation whose library is to be closed.
pub(super) struct Retiring {
    /// The threads that have run it and have not been joined.
    pub(super) left: HashSet<u32>,
    /// None while it runs.
    pub(super) close: Option<Box<dyn FnOnce() + Send>>,
}

impl Pool {
    pub(super) fn start_closer(self: &Arc<Self>, state: &mut State) {
        if state.closer {
            return;
        }
        let pool = self.clone();
        let started = Builder::new().name("pintle-closer".into()).spawn(move || pool.join_and_close());
        // Where no thread can be had, the next worker that ends or generation that is retired tries again.
        state.closer_thread = started.ok();
        state.closer = state.closer_thread.is_some();
    }

    fn join_and_close(self: &Arc<Self>) {
        let mut state = self.state.lock();
        loop {
            let ended: Vec<_> = state
                .ending
                .iter_mut()
                .filter_map(|(number, ending)| Some((*number, ending.thread.take()?)))
                .collect();
            let joined = !ended.is_empty();
            if joined {
                drop(state);
                let numbers: Vec<u32> =
                    ended.into_iter().map(|(number, thread)| join(number, thread)).collect();
                state = self.state.lock();
                for number in numbers {
                    state.ending.remove(&number);
                    for retiring in &mut state.retiring {
                        retiring.left.remove(&number);
                    }
                }
            }
            let closable: Vec<_> = state
                .retiring
                .iter_mut()
                .filter(|retiring| retiring.left.is_empty())
                .filter_map(|retiring| retiring.close.take())
                .collect();
            if closable.is_empty() {
                if joined {
                    continue;
                }
                state.closer = false;
                self.changed.notify_all();
                return;
            }
            drop(state);
            for close in closable {
                // A library's own destructors run here; a panic of the host's part is no reason to stop.
                let _ = catch_unwind(AssertUnwindSafe(close));
            }
            state = self.state.lock();
            state.retiring.retain(|retiring| retiring.close.is_some());
            self.changed.notify_all();
        }
    }
}

fn join(number: u32, thread: JoinHandle<()>) -> u32 {
    // One that panicked has ended as well.
    let _ = thread.join();
    number
}
