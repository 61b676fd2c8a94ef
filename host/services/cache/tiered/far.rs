//! L2, and whether it can be reached. What reads it and what changes it are apart: a disk that is full can be read. While one of
//! the two fails, nobody asks for it but one caller at a time, each after a pause that doubles; the others are told at once.
//! What that one comes to decides whether it works again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat};
use parking_lot::Mutex;

use super::super::{Address, CacheBackend, Draft, Written};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::Clock,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is told of an L2.
#[derive(Clone, Debug)]
pub(crate) enum Outage {
    /// It cannot be reached, for this reason.
    Begins(Error),
    /// All of it can be reached again, after so long.
    Ends(Duration),
}

pub(super) struct Far {
    backend: Box<dyn CacheBackend>,
    clock: Arc<dyn Clock>,
    report: Box<dyn Fn(&Outage) + Send + Sync>,
    reads: Way,
    writes: Way,
    /// How many ways are cut, and since when the first is. Locked with that of a way held.
    cut: Mutex<(usize, Duration)>,
}

/// One of the ways to it.
#[derive(Default)]
struct Way {
    /// Whether it is cut: looked at by all who go it, so that while it is open no lock is taken.
    is_cut: AtomicBool,
    cut: Mutex<Option<Cut>>,
}

struct Cut {
    why: Error,
    /// As the operator's clock had it.
    since_ms: i64,
    pause: Duration,
    /// When somebody may try again.
    next: Duration,
    trying: bool,
}

/// Somebody who tries a way that is cut. Nobody else does until this is dropped.
struct Try<'w>(&'w Way);

impl Far {
    pub(super) fn new(
        backend: Box<dyn CacheBackend>,
        clock: Arc<dyn Clock>,
        report: Box<dyn Fn(&Outage) + Send + Sync>,
    ) -> Self {
        let (reads, writes) = (Way::default(), Way::default());
        Self { backend, clock, report, reads, writes, cut: Mutex::default() }
    }

    /// It itself, for what it answers whether it can be reached or not.
    pub(super) fn here(&self) -> &dyn CacheBackend {
        &*self.backend
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.reads.is_cut.load(Relaxed)
    }

    /// Asks it for something. UNAVAILABLE means that it cannot be reached.
    pub(super) fn read<R>(&self, ask: impl FnOnce(&dyn CacheBackend) -> Result<R>) -> Result<R> {
        self.go(&self.reads, ask, |result| match result {
            Err(error) if error.kind() == ErrorKind::Unavailable => Some(error.clone()),
            _ => None,
        })
    }

    /// Has it change something. UNAVAILABLE can also mean that it found no room: it is asked which.
    pub(super) fn write<R>(&self, ask: impl FnOnce(&dyn CacheBackend) -> Result<R>) -> Result<R> {
        self.go(&self.writes, ask, |result| match result {
            Err(error) if error.kind() == ErrorKind::Unavailable => self.backend.health().err(),
            _ => None,
        })
    }

    /// The same for many.
    pub(super) fn write_many(&self, writes: &[(Address<'_>, Draft<'_>)]) -> Vec<Result<Written>> {
        let is_refused = |answer: &Result<Written>| {
            answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)
        };
        let answers = self.go(
            &self.writes,
            |far| Ok(far.set_many(writes)),
            |answers| {
                let refused = answers.as_ref().is_ok_and(|answers| answers.iter().any(is_refused));
                if refused { self.backend.health().err() } else { None }
            },
        );
        answers.unwrap_or_else(|error| writes.iter().map(|_| Err(error.clone())).collect())
    }

    /// Whether it can be reached, or since when and why not. Tries what is cut, if it is time to.
    pub(super) fn health(&self) -> Result<()> {
        for way in [&self.reads, &self.writes] {
            if way.is_cut.load(Relaxed) {
                self.go(way, |far| far.health(), |health| health.as_ref().err().cloned())?;
            }
        }
        self.backend.health()
    }

    /// `lost`: why it cannot be reached, if the answer says so.
    fn go<R>(
        &self,
        way: &Way,
        ask: impl FnOnce(&dyn CacheBackend) -> Result<R>,
        lost: impl FnOnce(&Result<R>) -> Option<Error>,
    ) -> Result<R> {
        let attempt = if way.is_cut.load(Relaxed) { way.attempt(self.clock.monotonic())? } else { None };
        let result = ask(&*self.backend);
        match lost(&result) {
            Some(why) => self.is_lost(way, why, attempt.is_some()),
            None if attempt.is_some() => self.is_found(way),
            None => {}
        }
        result
    }

    fn is_lost(&self, way: &Way, why: Error, tried: bool) {
        let now = self.clock.monotonic();
        let mut cut = way.cut.lock();
        match &mut *cut {
            Some(cut) if tried => {
                cut.pause = (cut.pause * 2).min(LONGEST_PAUSE);
                cut.next = now + cut.pause;
                cut.why = why;
                return;
            }
            // Of those who asked before it was known one is enough.
            Some(_) => return,
            None => {}
        }
        let (since_ms, pause, next) = (self.clock.now_ms(), FIRST_PAUSE, now + FIRST_PAUSE);
        *cut = Some(Cut { why: why.clone(), since_ms, pause, next, trying: false });
        way.is_cut.store(true, Relaxed);
        let begins = {
            let mut ways = self.cut.lock();
            ways.0 += 1;
            if ways.0 == 1 {
                ways.1 = now;
            }
            ways.0 == 1
        };
        drop(cut);
        if begins {
            (self.report)(&Outage::Begins(why));
        }
    }

    fn is_found(&self, way: &Way) {
        let mut cut = way.cut.lock();
        way.is_cut.store(false, Relaxed);
        if cut.take().is_none() {
            return;
        }
        let ended = {
            let mut ways = self.cut.lock();
            ways.0 -= 1;
            (ways.0 == 0).then_some(ways.1)
        };
        drop(cut);
        if let Some(since) = ended {
            (self.report)(&Outage::Ends(self.clock.monotonic().saturating_sub(since)));
        }
    }
}

impl Way {
    /// Asks to be the one who tries. UNAVAILABLE: it is not the time, or another one does; none: it is open again.
    fn attempt(&self, now: Duration) -> Result<Option<Try<'_>>> {
        let mut cut = self.cut.lock();
        let Some(state) = &mut *cut else { return Ok(None) };
        if state.trying || now < state.next {
            let (why, since_ms) = (state.why.clone(), state.since_ms);
            return Err(Error::lazy(ErrorKind::Unavailable, move || {
                let since = DateTime::from_timestamp_millis(since_ms).unwrap_or_default();
                let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("the back end of the cache is down since {since}: {why}")
            }));
        }
        state.trying = true;
        Ok(Some(Try(self)))
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if let Some(cut) = &mut *self.0.cut.lock() {
            cut.trying = false;
        }
    }
}
