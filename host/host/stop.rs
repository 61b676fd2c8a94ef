//! How a host ends: everything in its order, and all of it by the deadline.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::AcqRel, mpsc},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{A_YEAR, Host};
use crate::{
    error::{Error, ErrorKind},
    services::{
        ledger::close_within,
        log::{Field, Level},
    },
};

/// How many plugins are unloaded at once when a host stops: as many as can hang, so that they use up nobody's time but
/// their own.
const STOPPERS: usize = 256;

/// How long a stop looks at least at what plugins keep.
const LEAST_LOOK: Duration = Duration::from_millis(50);

/// What became of a stop.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// What did not end by the deadline: which plugin, in what, or which part of the host. Its thread is left behind, and
    /// so is what it uses: a plugin's library, the ledger's file.
    pub left: Vec<String>,
    /// What plugins answered that failed on the way.
    pub failed: Vec<Error>,
}

impl Host {
    /// Disables and unloads all plugins and ends all threads, within the stop deadline of the settings. What hangs is
    /// left behind and named. The second call does nothing.
    pub fn stop(&self) -> Stopped {
        self.stop_within(self.inner.stop)
    }

    /// Like `stop`, within another deadline.
    pub fn stop_within(&self, timeout: Duration) -> Stopped {
        if self.inner.stopped.swap(true, AcqRel) {
            return Stopped::default();
        }
        let started = Instant::now();
        let timeout = timeout.min(A_YEAR);
        let until = |percent: u32| started + timeout * percent / 100;
        let still_served = self.inner.metrics.get().is_some_and(|listener| !listener.stop(until(5)));
        let supervised = self.inner.plugins.close(until(10));
        let control = self.inner.control.lock().take();
        self.inner.core.database.stop_own();
        // Who is in the middle of a request may still come to its end, with the plugin that it is about.
        if let Some(control) = &control {
            control.shut(until(12));
        }
        self.inner.core.scheduler.shutdown();
        let failed = self.unload_all(until(75));
        // What plugins emitted last still reaches the application.
        self.inner.core.pool.wait_idle(until(80));
        self.inner.core.events.shutdown();
        self.inner.application.close();
        self.inner.listeners.close();
        self.inner.plugins.close_lanes();
        let mut left = self.inner.core.pool.shut_down(until(90));
        left.extend(control.map(|control| control.close(until(91))).unwrap_or_default());
        if still_served {
            left.push("the listener for metrics: the system had no socket to wake it with in time".into());
        }
        if !supervised {
            left.push("the supervisor of budgets".into());
        }
        for left in &left {
            self.inner.core.log.host(
                Level::Error,
                "a call did not end in time and is left behind",
                [Field::text("left", left)],
            );
        }
        self.keep_use(until(93));
        // What is left behind gets UNAVAILABLE from here on.
        let core = self.inner.core;
        // What it has not published is published at the next start.
        let outbox = self.inner.outbox.clone();
        drop(close_within(until(93), "pintle-outbox", move || outbox.close()));
        // Notes how runs of durable jobs have ended; what it does not get to is begun again at the next start.
        drop(close_within(until(93), "pintle-jobs", || core.scheduler.close()));
        // Notes what was acknowledged: where the ledger hangs, its thread ends when that does.
        drop(close_within(until(94), "pintle-events", || core.durable.close()));
        // What its thread is in the middle of is a write of the ledger, which is waited for there.
        drop(close_within(until(94), "pintle-storage", || core.storage.close()));
        let uncached = close_within(until(95), "pintle-cache", || core.cache.close()).err();
        let unfiled = close_within(until(96), "pintle-files", move || core.files.close()).err();
        let undone = close_within(until(97), "pintle-sql", move || core.database.close()).err();
        let unclosed = self.inner.ledger.close_by(until(98)).err();
        // Its thread writes to the ledger: where that hangs it does too, and ends when that does.
        if unclosed.is_none() {
            core.idempotency.close();
        }
        for (unclosed, what, lies) in [
            (&uncached, "the cache", "the last items of the cache may be lost"),
            (&unfiled, "the store of files", "what no file has any more is removed at the next start"),
            (&undone, "the databases of plugins", "what was committed is in their logs, beside their files"),
            (&unclosed, "the ledger", "what was stored is in its log, beside its file"),
        ] {
            if unclosed.is_some() {
                let text = format!("{what} could not be closed in time and is left behind: {lies}");
                core.log.host(Level::Error, &text, []);
                left.push(format!(
                    "{what}: its disk, or another process that has its file locked, kept it from being closed in time"
                ));
            }
        }
        let rest = until(100).saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
        if !self.inner.core.log.shutdown(rest) {
            left.push("the log: its target did not take all records in time".into());
        }
        self.inner.plugins.close_metrics();
        let folder = self.inner.folder.lock().take().map(Arc::new);
        // No other host may have it before all files are closed.
        for unclosed in [uncached, unfiled, undone, unclosed].into_iter().flatten() {
            unclosed.keep(folder.clone());
        }
        Stopped { left, failed }
    }

    /// Notes what plugins had in cache and storage, unless the disk that tells it hangs: then the numbers are missing.
    fn keep_use(&self, deadline: Instant) {
        let (tell, told) = mpsc::channel::<()>();
        let plugins = self.inner.plugins.clone();
        let look = move || {
            plugins.keep_use();
            drop(tell);
        };
        if thread::Builder::new().name("pintle-usage".into()).spawn(look).is_ok() {
            let left = deadline.saturating_duration_since(Instant::now()).max(LEAST_LOOK);
            let _ = told.recv_timeout(left);
        }
    }

    /// Newest first, many at once.
    fn unload_all(&self, deadline: Instant) -> Vec<Error> {
        let ids: Mutex<VecDeque<String>> = Mutex::new(self.inner.plugins.to_unload());
        let failed = Mutex::new(Vec::new());
        let work = || {
            while let Some(id) = { ids.lock().pop_front() } {
                // One whose load was under way may have failed meanwhile, or somebody else has unloaded it.
                let outcome = self.inner.plugins.unload_within(&id, deadline);
                if let Some(error) = outcome.unwrap_or_else(Some)
                    && error.kind() != ErrorKind::NotFound
                {
                    self.inner.core.log.host(Level::Error, &error.to_string(), []);
                    failed.lock().push(error);
                }
            }
        };
        let wanted = STOPPERS.min(ids.lock().len());
        thread::scope(|threads| {
            // A system that has no more threads must not end the stop with a panic: those that there are do it.
            let made = (0..wanted)
                .take_while(|_| thread::Builder::new().spawn_scoped(threads, work).is_ok())
                .count();
            if made == 0 {
                work();
            }
        });
        failed.into_inner()
    }
}
