//! What the boundary keeps for each thread: whether it is inside a sink, its last failures, and its share of the
//! counts. Together with the table of contexts this is all of the process-wide state.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use crate::{error::Error, identity::Seat};

/// How many contexts' last failures a thread remembers.
const REMEMBERED: usize = 16;

thread_local! {
    /// No destructor, so that the access costs no more than the address.
    static FAST: Fast = const { Fast { in_sink: Cell::new(false), counts: Cell::new(None) } };
    static FAILURES: RefCell<VecDeque<(u64, Error)>> = const { RefCell::new(VecDeque::new()) };
    /// Gives the thread's counts back at its end.
    static COUNTS: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

struct Fast {
    in_sink: Cell<bool>,
    counts: Cell<Option<&'static Counts>>,
}

/// Counts by seat. Written by one thread, read by all.
struct Counts {
    calls: [AtomicU64; Seat::COUNT],
    failures: [AtomicU64; Seat::COUNT],
}

/// All threads' counts. Never freed: those of threads that have ended are handed to new ones, and go on growing.
#[derive(Default)]
struct Pages {
    all: Vec<&'static Counts>,
    free: Vec<&'static Counts>,
}

static PAGES: LazyLock<Mutex<Pages>> = LazyLock::new(Mutex::default);

struct Lease(&'static Counts);

impl Drop for Lease {
    fn drop(&mut self) {
        // Calls that later destructors of this thread make are counted on a page that is its own until then.
        FAST.with(|fast| fast.counts.set(None));
        PAGES.lock().free.push(self.0);
    }
}

/// Whether this thread is inside the `write` of a caller's sink.
#[inline]
pub(crate) fn in_sink() -> bool {
    FAST.with(|fast| fast.in_sink.get())
}

/// Runs the `write` of a caller's sink.
pub(crate) fn inside_sink<R>(write: impl FnOnce() -> R) -> R {
    let outer = FAST.with(|fast| fast.in_sink.replace(true));
    let result = write();
    FAST.with(|fast| fast.in_sink.set(outer));
    result
}

/// Counts a call of the generation in this seat.
#[inline]
pub(crate) fn count_call(seat: u16) {
    let counts = FAST.with(|fast| fast.counts.get()).unwrap_or_else(take_page);
    increment(&counts.calls[usize::from(seat) % Seat::COUNT]);
}

/// Counts a failed call of the generation in this seat.
pub(crate) fn count_failure(seat: u16) {
    let counts = FAST.with(|fast| fast.counts.get()).unwrap_or_else(take_page);
    increment(&counts.failures[usize::from(seat) % Seat::COUNT]);
}

/// Calls and failures of the generations that have had this seat, since the process began.
pub(crate) fn counted(seat: u16) -> (u64, u64) {
    let seat = usize::from(seat);
    let pages = PAGES.lock();
    pages.all.iter().fold((0, 0), |(calls, failures), page| {
        (calls + page.calls[seat].load(Relaxed), failures + page.failures[seat].load(Relaxed))
    })
}

/// Only this thread writes, so no locked instruction is needed.
#[inline]
fn increment(count: &AtomicU64) {
    count.store(count.load(Relaxed) + 1, Relaxed);
}

#[cold]
fn take_page() -> &'static Counts {
    let mut pages = PAGES.lock();
    let page = pages.free.pop().unwrap_or_else(|| {
        let page: &'static Counts = Box::leak(Box::new(Counts {
            calls: [const { AtomicU64::new(0) }; Seat::COUNT],
            failures: [const { AtomicU64::new(0) }; Seat::COUNT],
        }));
        pages.all.push(page);
        page
    });
    drop(pages);
    // In a thread that is already ending there is no lease: its one page is lost to new threads, not to the sums.
    let _ = COUNTS.try_with(|lease| lease.replace(Some(Lease(page))));
    FAST.with(|fast| fast.counts.set(Some(page)));
    page
}

/// Remembers a failure as this thread's last one with this context.
#[cold]
pub(crate) fn remember(ctx: u64, error: Error) {
    // In a thread that is already ending nobody can ask any more.
    let _ = FAILURES.try_with(|failures| {
        let mut failures = failures.borrow_mut();
        if let Some(at) = failures.iter().position(|(of, _)| *of == ctx) {
            failures.remove(at);
        } else if failures.len() == REMEMBERED {
            failures.pop_front();
        }
        failures.push_back((ctx, error));
    });
}

/// This thread's last failure with this context.
pub(crate) fn last_failure(ctx: u64) -> Option<Error> {
    FAILURES
        .try_with(|failures| {
            failures.borrow().iter().find(|(of, _)| *of == ctx).map(|(_, error)| error.clone())
        })
        .ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn counts_outlive_their_threads() {
        let seat = 4000;
        let (before, _) = counted(seat);
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| (0..1000).for_each(|_| count_call(seat)));
            }
        });
        assert_eq!(counted(seat).0 - before, 3000);
    }

    #[test]
    fn the_last_failure_is_kept_for_each_of_the_latest_contexts() {
        for ctx in 0..20 {
            remember(ctx, Error::new(ErrorKind::NotFound, format!("first {ctx}")));
        }
        remember(19, Error::new(ErrorKind::NotFound, "second"));
        assert!(last_failure(3).is_none(), "older ones are forgotten");
        assert_eq!(last_failure(4).map(|error| error.to_string()), Some("first 4".into()));
        assert_eq!(last_failure(19).map(|error| error.to_string()), Some("second".into()));
    }
}
