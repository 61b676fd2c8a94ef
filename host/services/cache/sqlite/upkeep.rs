//! What is done beside the callers, on a thread of its own: what has gone is taken away, empty pages leave the file, the
//! write-ahead log is moved into it, and where the file cannot be worked on it is tried again.
//!
//! All of it in small steps, between which those who wait to write have their turn.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use super::{State, Store, work::STEP};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::Alarm,
};

/// For so long what has gone lies in the file, in microseconds, unless a write takes it away: many go in one round.
/// Also how long it waits before it tries again.
pub(super) const GRAIN: i64 = 1_000_000;

/// How many pages leave the file in one step.
const PAGES: u32 = 256;

/// So many empty pages may stay; and a quarter of the file: they are needed again soon.
const SPARE: u32 = 64;

/// The thread.
pub(super) struct Upkeep {
    ended: Arc<AtomicBool>,
    alarm: Weak<Alarm>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    pub(super) fn start(store: &Arc<Store>, alarm: Arc<Alarm>) -> Result<Self> {
        let ended = Arc::<AtomicBool>::default();
        let rings = Arc::downgrade(&alarm);
        let thread = thread::Builder::new().name("pintle-cache".into()).spawn({
            let (store, ended) = (Arc::clone(store), Arc::clone(&ended));
            move || Round { store, ended, alarm, sweeps_from: i64::MIN, fails: false }.run()
        });
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the cache's thread cannot be started: {error}"))
        })?;
        Ok(Self { ended, alarm: rings, thread })
    }

    /// Returns when the thread has ended.
    pub(super) fn end(self) {
        self.ended.store(true, Relaxed);
        if let Some(alarm) = self.alarm.upgrade() {
            alarm.ring();
        }
        // A panic there has been written to stderr, and there is nothing to be saved from it.
        let _ = self.thread.join();
    }
}

struct Round {
    store: Arc<Store>,
    ended: Arc<AtomicBool>,
    alarm: Arc<Alarm>,
    /// Not earlier: a round for each item that goes would be more work than the items are.
    sweeps_from: i64,
    fails: bool,
}

impl Round {
    fn run(mut self) {
        while !self.ended.load(Relaxed) {
            let now = self.store.time.now();
            let due = self.store.due.load(Relaxed);
            if now >= self.sweeps_from && (due <= now || self.is_ill()) {
                self.sweeps_from = now.saturating_add(GRAIN);
                self.store.try_again(&self.alarm);
                let done = self.probe().and_then(|()| self.sweep()).and_then(|()| self.give_back());
                self.note(done);
            }
            let moved = self.store.with(|connections| connections.checkpoint());
            self.note(moved);
            let until = self.next().map(|time| self.store.time.at(time));
            self.store.time.clock.wait(&self.alarm, until);
        }
    }

    /// Whether the file can be written again, after something went wrong.
    fn probe(&self) -> Result<()> {
        if self.store.health.tell().is_ok() {
            return Ok(());
        }
        self.store.write(|work| work.probe())?;
        self.store.health.well();
        Ok(())
    }

    /// Takes away what has gone, and what there is no room for.
    fn sweep(&self) -> Result<()> {
        // What is written from here on tells for itself when it goes.
        self.store.due.store(i64::MAX, Relaxed);
        loop {
            let swept = self.store.write(|work| Ok(work.sweep(STEP)? + work.shrink()?));
            if swept.is_err() {
                self.store.due.store(i64::MIN, Relaxed);
            }
            if swept? == 0 || self.ended.load(Relaxed) {
                return Ok(());
            }
            thread::yield_now();
        }
    }

    fn give_back(&self) -> Result<()> {
        while self.store.with(|connections| connections.give_back(PAGES, SPARE))? && !self.ended.load(Relaxed)
        {
        }
        Ok(())
    }

    /// When there is something to be done, if nobody rings before.
    fn next(&self) -> Option<i64> {
        let due = self.store.due.load(Relaxed);
        if self.is_ill() {
            return Some(self.sweeps_from);
        }
        // A whole grain after the first of them, so that others go with it.
        (due != i64::MAX).then(|| due.saturating_add(GRAIN).max(self.sweeps_from))
    }

    fn is_ill(&self) -> bool {
        matches!(&*self.store.state.read(), State::Broken { .. }) || self.store.health.tell().is_err()
    }

    /// Said once, until it has worked again.
    fn note(&mut self, done: Result<()>) {
        if let Err(error) = &done
            && !self.fails
            && !self.ended.load(Relaxed)
        {
            (self.store.report)(error);
        }
        self.fails = done.is_err();
    }
}
